#!/usr/bin/env python3
"""Many large lists at once, read slowly, from the leader of three members: memory stays bounded, nobody else leads.

    tests/integration/many_lists_test.py BINARY      200 lists of 4 MB of each kind; with C8S_SCALE=full 1,000 of 10 MB

Lists of the API as JSON and as protobuf over TLS, and Range calls of the etcd protocol by h2load, plain and
sorted. The answers of all requests share a budget of 64 MiB (kv_options.response_budget); a connection with a
request on it has its own buffers besides. Prints what it measured; the last line says how it went.
"""
import json
import os
import selectors
import shutil
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

from apiserver_lib import Cluster

FULL = os.environ.get("C8S_SCALE") == "full"
LISTS = 1000 if FULL else 200
OBJECTS = 1000 if FULL else 400
BUDGET_KB = 64 << 10
CONNECTION_KB = 150  # TLS, HTTP, a first page of 64 KB
SLACK_KB = 24 << 10


def anonymous_kb(pid):
    with open("/proc/%d/status" % pid) as f:
        return int([line for line in f if line.startswith("RssAnon")][0].split()[1])


class Peak:
    """The member's anonymous memory at its highest while the block runs."""

    def __init__(self, pid):
        self.pid, self.kb, self.done = pid, 0, threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def sample(self):
        while not self.done.is_set():
            self.kb = max(self.kb, anonymous_kb(self.pid))
            self.done.wait(0.02)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.done.set()
        self.thread.join()


def status(members):
    """(term, leader's member id, index of the leader) as etcdctl sees it."""
    urls = ["http://127.0.0.1:%d" % m.client_port for m in members]
    out = subprocess.run(["etcdctl", "--endpoints=" + ",".join(urls), "endpoint", "status", "-w", "json"],
                         check=True, stdout=subprocess.PIPE, env=dict(os.environ, ETCDCTL_API="3"), timeout=60).stdout
    answers = {a["Endpoint"]: a["Status"] for a in json.loads(out)}
    first = answers[urls[0]]
    leader = [i for i, u in enumerate(urls) if answers[u]["header"]["member_id"] == first["leader"]]
    return first["raftTerm"], first["leader"], leader[0]


def fill(client):
    def part(number):
        for i in range(OBJECTS // 4):
            r = client.post("/api/v1/namespaces/default/configmaps",
                            {"metadata": {"name": "big-%d-%d" % (number, i)}, "data": {"x": "y" * 10000}})
            assert r.code == 201, r

    threads = [threading.Thread(target=part, args=(p,)) for p in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]


def api_lists(member, accept):
    """All lists asked before any is read; returns how many bytes came."""
    context = member.client().context
    request = ("GET /api/v1/namespaces/default/configmaps HTTP/1.1\r\nHost: x\r\nAccept: %s\r\n"
               "Connection: close\r\n\r\n" % accept).encode()
    selector, total, open_ = selectors.DefaultSelector(), 0, 0
    for _ in range(LISTS):
        raw = socket.create_connection(("127.0.0.1", member.port), timeout=60)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        s = context.wrap_socket(raw, server_hostname="127.0.0.1")
        s.sendall(request)
        s.setblocking(False)
        selector.register(s, selectors.EVENT_READ, bytearray())
        open_ += 1
    deadline = time.monotonic() + 600
    while open_:
        assert time.monotonic() < deadline, "%d lists did not end" % open_
        for key, _ in selector.select(1):
            try:
                data = key.fileobj.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
                continue
            total += len(data)
            if len(key.data) < 12:
                key.data.extend(data[:12])
            if not data:
                assert key.data[:12] == b"HTTP/1.1 200", bytes(key.data)
                selector.unregister(key.fileobj)
                key.fileobj.close()
                open_ -= 1
    return total


def field(number, data):
    assert len(data) < 128
    return bytes([number << 3 | 2, len(data)]) + data


def etcd_lists(member, sort):
    """Range calls by h2load with the smallest windows; returns how many bytes came."""
    request = field(1, b"/registry/configmaps/") + field(2, b"/registry/configmaps0")
    if sort:
        request += bytes([5 << 3, 2, 6 << 3, 3])  # descending by modification revision
    directory = tempfile.mkdtemp(prefix="c8s-many-lists-")
    try:
        body = os.path.join(directory, "body")
        with open(body, "wb") as f:
            f.write(b"\0" + struct.pack(">I", len(request)) + request)
        out = subprocess.run(
            ["h2load", "-n", str(LISTS), "-c", str(LISTS), "-w", "16", "-W", "16", "-d", body, "-H",
             "content-type: application/grpc", "-H", "te: trailers",
             "http://127.0.0.1:%d/etcdserverpb.KV/Range" % member.client_port],
            check=True, stdout=subprocess.PIPE, timeout=900).stdout.decode()
    finally:
        shutil.rmtree(directory)
    requests = [line for line in out.splitlines() if line.startswith("requests:")][0]
    assert "%d succeeded" % LISTS in requests, out
    traffic = [line for line in out.splitlines() if line.startswith("traffic:")][0]
    return int(traffic.split("(")[1].split(")")[0])


def main():
    cluster = Cluster(sys.argv[1], 3)
    for m in cluster.members:
        m.flags.append("--max-requests-inflight=0")
    failed = 0
    try:
        cluster.start()
        fill(cluster.members[0].client())
        before = status(cluster.members)
        leader = cluster.members[before[2]]
        bytes_min = OBJECTS * 10000 * LISTS
        kinds = [
            ("JSON", lambda: api_lists(leader, "application/json")),
            ("protobuf", lambda: api_lists(leader, "application/vnd.kubernetes.protobuf")),
            ("etcd", lambda: etcd_lists(leader, False)),
            ("etcd sorted", lambda: etcd_lists(leader, True)),
        ]
        for name, run in kinds:
            start, began = anonymous_kb(leader.process.pid), time.monotonic()
            with Peak(leader.process.pid) as peak:
                total = run()
            grew = peak.kb - start
            limit = BUDGET_KB + LISTS * CONNECTION_KB + SLACK_KB
            good = total >= bytes_min and grew <= limit and status(cluster.members)[:2] == before[:2]
            failed += not good
            print("%s: %d lists of %.1f MB in %.1f s, grew by %d MB (at most %d MB) from %d MB%s" % (
                name, LISTS, total / LISTS / 1e6, time.monotonic() - began, grew >> 10, limit >> 10, start >> 10,
                "" if good else ": FAILED, status %s, then %s" % (before, status(cluster.members))), flush=True)
    finally:
        cluster.remove()
    print("%d passed, %d failed" % (len(kinds) - failed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
