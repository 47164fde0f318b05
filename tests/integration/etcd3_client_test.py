#!/usr/bin/python3
"""The store's etcd v3 API with python3-etcd3 (grpc's C core): a client that shares no code with etcdctl.

Usage: etcd3_client_test.py BIN_DIR
"""
import os
import subprocess
import sys
import tempfile
import threading
import time

from ports import free_port

try:
    import etcd3
except ImportError:
    print("SKIP: python3-etcd3 is not installed")
    sys.exit(77)


def wait_ready(port):
    deadline = time.monotonic() + 60
    while True:
        try:
            client = etcd3.client("127.0.0.1", port, timeout=1)
            client.get("ready")
            return etcd3.client("127.0.0.1", port, timeout=10)
        except etcd3.exceptions.Etcd3Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def check_kv(c):
    assert c.status().version == "3.6.0"
    c.put("a", "1")
    value, meta = c.get("a")
    assert (value, meta.version) == (b"1", 1)
    big = os.urandom(700_000).hex()[:1_400_000]
    c.put("big", big)
    assert c.get("big")[0].decode() == big
    for i in range(300):
        c.put("many/%03d" % i, "y" * 5000)
    found = list(c.get_prefix("many/"))
    assert [m.key for _, m in found] == [b"many/%03d" % i for i in range(300)]
    assert all(v == b"y" * 5000 for v, _ in found)
    down = list(c.get_prefix("many/", sort_order="descend", sort_target="mod"))
    assert [m.key for _, m in down] == [m.key for _, m in reversed(found)]
    assert c.delete_prefix("many/").deleted == 300
    try:
        c.put("big", "x" * 1_700_000)
        raise AssertionError("an oversized request was taken")
    except Exception as e:  # grpc's own exception type, which etcd3 lets through
        assert "request is too large" in str(e), e


def check_txn(c):
    t = c.transactions
    c.put("t", "1")
    ok, answers = c.transaction(compare=[t.value("t") == "1", t.version("t") > 0, t.create("none") == 0],
                                success=[t.put("t", "2"), t.get("t")], failure=[t.put("t", "no")])
    assert ok and answers[1][0][0] == b"2", answers
    ok, _ = c.transaction(compare=[t.value("t") == "1"], success=[], failure=[t.delete("t")])
    assert not ok and c.get("t")[0] is None
    assert c.put_if_not_exists("once", "1") and not c.put_if_not_exists("once", "2")


def check_watch(c):
    events, cancel = c.watch_prefix("w/", prev_kv=True)
    seen = []
    reader = threading.Thread(target=lambda: seen.extend(next(events) for _ in range(200)))
    reader.start()
    for i in range(100):
        c.put("w/%d" % i, str(i))
        c.delete("w/%d" % i)
    reader.join(60)
    assert not reader.is_alive(), len(seen)
    cancel()
    for i, e in enumerate(seen):
        assert e.key == b"w/%d" % (i // 2), (i, e)
        assert type(e).__name__ == ("PutEvent", "DeleteEvent")[i % 2]
    revisions = [e.mod_revision for e in seen]
    assert revisions == sorted(set(revisions))
    again, cancel = c.watch_prefix("w/", start_revision=revisions[50])
    assert [next(again).mod_revision for _ in range(100)] == revisions[50:150]
    cancel()


def check_lease(c):
    lease = c.lease(60)  # longer than the machine stands still
    c.put("renewed", "x", lease)
    assert lease.keys == [b"renewed"]
    deadline = time.monotonic() + 60
    while lease.remaining_ttl > 57:
        assert time.monotonic() < deadline, "the lease's time does not run"
        time.sleep(0.1)
    before = lease.remaining_ttl
    assert list(lease.refresh())[0].TTL == 60
    assert lease.remaining_ttl > before
    lease.revoke()
    assert c.get("renewed")[0] is None
    c.put("leased", "x", c.lease(4))
    deadline = time.monotonic() + 60
    while c.get("leased")[0] is not None:
        assert time.monotonic() < deadline, "the lease did not expire"
        time.sleep(0.1)


def check_compaction(c):
    c.put("old", "1")
    revision = c.get("old")[1].mod_revision
    c.put("old", "2")
    c.compact(revision + 1)
    events, cancel = c.watch("old", start_revision=revision)
    try:
        next(events)
        raise AssertionError("a watch of a compacted revision was served")
    except etcd3.exceptions.RevisionCompactedError as e:
        assert e.compacted_revision == revision + 1
    cancel()


def main():
    binary = os.path.join(sys.argv[1], "c8s-apiserver")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as directory:
        server = subprocess.Popen([binary, "--store-only", "--name", "p", "--data-dir", directory + "/data",
                                   "--listen-client-urls", url, "--advertise-client-urls", url],
                                  stderr=subprocess.DEVNULL)
        try:
            client = wait_ready(port)
            for check in (check_kv, check_txn, check_watch, check_lease, check_compaction):
                check(client)
                print("ok  ", check.__name__)
        finally:
            server.terminate()
            code = server.wait(20)
    assert code == 0, f"the server ended with {code}"
    print("etcd3_client_test: all passed")


if __name__ == "__main__":
    main()
