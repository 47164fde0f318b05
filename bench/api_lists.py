#!/usr/bin/env python3
"""Memory of the API server under many concurrent lists of 10 MB that are read slowly.

    bench/api_lists.py [BINARY] [LISTS]     default: build/release/bin/c8s-apiserver, 1000

JSON lists are streamed page by page; protobuf lists are gathered within a shared budget. Prints the
member's anonymous memory before, at its peak and afterwards; the last line is the figure.
"""
import os
import selectors
import socket
import ssl
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "tests", "integration"))
from apiserver_lib import Server  # noqa: E402


def anonymous_kb(pid):
    with open("/proc/%d/status" % pid) as f:
        return int([line for line in f if line.startswith("RssAnon")][0].split()[1])


def run(server, client, count, accept):
    request = ("GET /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nAccept: %s\r\nConnection: close\r\n\r\n" % accept).encode()
    selector = selectors.DefaultSelector()
    done, total, peak, started, answers = 0, 0, 0, time.monotonic(), {}
    for _ in range(count):
        raw = socket.create_connection(("127.0.0.1", server.port))
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s = client.context.wrap_socket(raw, server_hostname="127.0.0.1")
        s.sendall(request)
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, [None])
    asked = time.monotonic()
    peak = anonymous_kb(server.process.pid)
    while done < count:
        for key, _ in selector.select(1):
            try:
                data = key.fileobj.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            total += len(data)
            if key.data[0] is None and data:
                key.data[0] = data[:12]
                answers[data[:12]] = answers.get(data[:12], 0) + 1
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()
                done += 1
        peak = max(peak, anonymous_kb(server.process.pid))
    print("%s: %d lists, %.1f MB each, asked in %.1f s, read in %.1f s, peak %d kB anonymous" % (
        accept, count, total / count / 1e6, asked - started, time.monotonic() - asked, peak), flush=True)
    if set(answers) != {b"HTTP/1.1 200"}:
        print("not all were answered:", answers)
    return peak


def main():
    binary = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "..", "build", "release", "bin", "c8s-apiserver")
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    server = Server(binary, ["--max-requests-inflight=0"])
    try:
        server.start()
        client = server.client()

        def fill(part):
            for i in range(250):
                r = client.post("/api/v1/namespaces/default/configmaps",
                                {"metadata": {"name": "big-%d-%d" % (part, i)}, "data": {"x": "y" * 10000}})
                assert r.code == 201, r

        threads = [threading.Thread(target=fill, args=(p,)) for p in range(4)]
        [t.start() for t in threads]
        [t.join() for t in threads]
        before = anonymous_kb(server.process.pid)
        print("before: %d kB" % before)
        peak = run(server, client, count, "application/json")
        wire = run(server, client, count // 5, "application/vnd.kubernetes.protobuf")
        time.sleep(1)
        print("afterwards: %d kB" % anonymous_kb(server.process.pid))
        print("api lists: %d lists of 10 MB, peak %d MB (JSON), %d MB (protobuf)" % (count, peak // 1024, wire // 1024))
    finally:
        server.remove()


if __name__ == "__main__":
    main()
