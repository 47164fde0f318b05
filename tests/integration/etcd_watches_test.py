#!/usr/bin/python3
"""Many watches on one stream and many streams on one connection, with what they cost; and a reader so slow that its events
queue up: what says "you have seen everything up to here" never overtakes an event.

Usage: etcd_watches_test.py BIN_DIR [WATCHES [STREAMS [PUTS]]]     (10000, 1000, 3000)
"""
import os
import queue
import subprocess
import sys
import tempfile
import time

from etcd_lib import Client, M
from ports import free_port

MEMORY_MAX_KB = 2          # a watch, on one stream
SLOW_MAX_KB = 24 << 10     # a slow reader, however much is put: what the store keeps of it anyway, and a queue of 1 MiB


def anon_kb(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


def sanitized(pid):
    """Built with AddressSanitizer, which keeps what is freed: memory says nothing."""
    return "libasan" in open(f"/proc/{pid}/maps").read()


def ok(answer):
    assert answer[0] == "OK", answer[:2]
    return answer[2]


def cpu_s(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def many_on_a_stream(c, pid, n):
    """n watches on one stream, each of a key of its own: every one gets its event, and no other."""
    before, began, cpu = anon_kb(pid), time.monotonic(), cpu_s(pid)
    w = c.watch()
    for i in range(n):
        w.send(create_request=dict(key=b"many/%05d" % i))
    w.wait(lambda x: len(x) >= n, "created", 120)
    assert [r.watch_id for r in w.seen] == list(range(n)) and all(r.created for r in w.seen)
    created, kb = time.monotonic() - began, anon_kb(pid) - before
    at = time.monotonic()
    for k in range(0, n, 100):
        ok(c.call("Txn", M.TxnRequest(success=[dict(request_put=dict(key=b"many/%05d" % i, value=b"%d" % i)) for i in range(k, min(k + 100, n))])))
    w.wait(lambda x: len(x) >= 2 * n, "events", 120)
    got = {r.watch_id: [e.kv.value for e in r.events] for r in w.seen[n:]}
    assert got == {i: [b"%d" % i] for i in range(n)}
    told = time.monotonic() - at
    for i in range(0, n, 2):
        w.send(cancel_request=dict(watch_id=i))
    w.wait(lambda x: len(x) >= 2 * n + (n + 1) // 2, "cancelled", 120)
    ok(c.call("DeleteRange", M.DeleteRangeRequest(key=b"many/", range_end=b"many0")))
    w.wait(lambda x: len(x) >= 2 * n + (n + 1) // 2 + n // 2, "deletions", 120)
    assert sorted(r.watch_id for r in w.seen[-(n // 2):]) == list(range(1, n, 2))
    w.cancel()
    print(f"{n} watches on a stream: created in {created:.2f} s, {kb} KiB more, told in {told:.2f} s, server CPU {cpu_s(pid) - cpu:.2f} s")
    if not sanitized(pid):
        assert kb < MEMORY_MAX_KB * n + 8192, f"{kb} KiB"


def many_streams(c, pid, n):
    """n streams on one connection, all of one key."""
    before, began = anon_kb(pid), time.monotonic()
    f = c.channel.stream_stream("/etcdserverpb.Watch/Watch", request_serializer=lambda m: m.SerializeToString(),
                                response_deserializer=M.WatchResponse.FromString)
    calls = [f(iter([M.WatchRequest(create_request=dict(key=b"one"))])) for _ in range(n)]  # and half-closes: the watch stays
    for call in calls:
        assert next(call).created
    created, kb, at = time.monotonic() - began, anon_kb(pid) - before, time.monotonic()
    ok(c.call("Put", M.PutRequest(key=b"one", value=b"v")))
    for call in calls:
        assert next(call).events[0].kv.value == b"v"
    told = time.monotonic() - at
    for call in calls:
        call.cancel()
    print(f"{n} watch streams on a connection: created in {created:.2f} s, {kb} KiB more, told in {told:.2f} s")


def a_slow_reader(c, pid, puts):
    """Puts of 8 KiB while nothing is read, and requests for progress between them; then everything is read, in order."""
    before = anon_kb(pid)
    f = c.channel.stream_stream("/etcdserverpb.Watch/Watch", request_serializer=lambda m: m.SerializeToString(),
                                response_deserializer=M.WatchResponse.FromString)
    requests = queue.Queue()
    responses = f(iter(requests.get, None))
    requests.put(M.WatchRequest(create_request=dict(key=b"slow", progress_notify=True)))
    requests.put(M.WatchRequest(create_request=dict(key=b"slow", filters=["NODELETE"])))
    assert next(responses).created and next(responses).created
    revs = []
    for i in range(puts):
        revs.append(ok(c.call("Put", M.PutRequest(key=b"slow", value=b"x" * 8192))).header.revision)
        if i % 50 == 0:
            requests.put(M.WatchRequest(progress_request={}))
    kb = anon_kb(pid) - before
    requests.put(M.WatchRequest(progress_request={}))
    seen, progress = {0: [], 1: []}, 0
    while len(seen[0]) < puts or len(seen[1]) < puts or progress < revs[-1]:
        r = next(responses)
        if r.events:
            assert all(e.kv.mod_revision > progress for e in r.events), f"progress {progress} overtook an event"
            seen[r.watch_id] += [e.kv.mod_revision for e in r.events]
        else:
            assert r.watch_id == -1 or not r.canceled
            progress = max(progress, r.header.revision)
            for i in (0, 1):
                due = sum(1 for rev in revs if rev <= r.header.revision)
                assert len(seen[i]) >= due, f"watch {i}: progress {r.header.revision} before {due - len(seen[i])} events"
    assert seen[0] == revs and seen[1] == revs
    responses.cancel()
    print(f"a slow reader: {puts * 8 // 1024} MiB of values put, {kb} KiB more in the server, every event before its progress")
    assert sanitized(pid) or kb < SLOW_MAX_KB, f"{kb} KiB for a reader that does not read"


def main():
    watches = int(sys.argv[2]) if len(sys.argv) > 2 else 10000
    streams = int(sys.argv[3]) if len(sys.argv) > 3 else 1000
    puts = int(sys.argv[4]) if len(sys.argv) > 4 else 3000
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="c8s-watches-") as d:
        log = open(d + "/log", "wb")
        p = subprocess.Popen([os.path.join(sys.argv[1], "c8s-apiserver"), "--store-only", "--data-dir", d + "/data", "--listen-client-urls", url,
                              "--advertise-client-urls", url], stdout=log, stderr=log)
        try:
            c = Client(port)
            deadline = time.monotonic() + 60
            while c.call("Range", M.RangeRequest(key=b"x"), 1)[0] != "OK":
                assert p.poll() is None and time.monotonic() < deadline, open(d + "/log").read()[-2000:]
                time.sleep(0.1)
            many_on_a_stream(c, p.pid, watches)
            many_streams(c, p.pid, streams)
            a_slow_reader(c, p.pid, puts)
            c.channel.close()
            assert "HTTP/2 flood" not in open(d + "/log").read(), "the cancelled streams were taken for a flood"
        finally:
            p.terminate()
            code = p.wait(60)
        assert code == 0, open(d + "/log").read()[-3000:]


if __name__ == "__main__":
    main()
