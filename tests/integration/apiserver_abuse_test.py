#!/usr/bin/env python3
"""What nobody should send to an API server, over TLS: it stays responsive, and its memory bounded.

    apiserver_abuse_test.py BINARY [NAME…]
"""
import gzip
import json
import os
import ssl
import struct
import sys
import threading
import time
import traceback

from apiserver_lib import Client, Server
from limits_lib import (CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, RST_STREAM, Raw, frame,
                        literal)

PATH = "/api/v1/namespaces/default/configmaps"


class Target:
    def __init__(self, server):
        self.server, self.client = server, server.client()
        self.sanitized = b"__asan" in open(server.binary, "rb").read()

    def context(self, protocol, user="admin"):
        c = ssl.create_default_context(cafile=self.server.pki.path("ca.crt"))
        c.check_hostname = False
        if user:
            c.load_cert_chain(self.server.pki.path(user + ".crt"), self.server.pki.path(user + ".key"))
        c.set_alpn_protocols([protocol])
        return c

    def h2(self, **kw):
        return Raw(self.server.port, tls=self.context("h2"), **kw)

    def h1(self, user="admin"):
        return Raw(self.server.port, h2=False, tls=self.context("http/1.1", user))

    def responsive(self, seconds=15):
        began = time.monotonic()
        answer = self.client.get(PATH)
        took = time.monotonic() - began
        assert answer.code == 200 and took < seconds, (answer, took)

    def rss_mb(self):
        with open("/proc/%d/status" % self.server.process.pid) as f:
            return int(next(line for line in f if line.startswith("VmRSS")).split()[1]) / 1024

    def bounded(self, before, most_mb):
        if not self.sanitized:  # which keep what is freed
            assert self.rss_mb() - before < most_mb, "%.0f MB, %.0f before" % (self.rss_mb(), before)


class Bystander:
    """Another client, who asks on a new connection several times a second while somebody misbehaves: he is answered, and soon; and the
    server does not grow meanwhile (some tests have narrower bounds of their own)."""

    ANSWERED_S, GROWTH_MB = 15, 100

    def __init__(self, t):
        self.t, self.done, self.worst, self.asked, self.wrong = t, threading.Event(), 0, 0, []
        self.before = self.most = t.rss_mb()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.done.wait(0.2):
            began = time.monotonic()
            try:
                code = self.t.client.get(PATH + "/none").code
            except OSError as e:
                code = e
            self.worst = max(self.worst, time.monotonic() - began)
            self.asked += 1
            if code != 404:
                self.wrong.append(code)
            self.most = max(self.most, self.t.rss_mb())

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, kind, *_):
        self.done.set()
        self.thread.join()
        if kind:
            return
        assert not self.wrong, "of %d answers to others: %s" % (self.asked, self.wrong[:5])
        assert self.worst < self.ANSWERED_S, "another client waited %.1f s" % self.worst
        assert self.t.sanitized or self.most - self.before < self.GROWTH_MB, "%.0f MB, %.0f before" % (self.most, self.before)


def headers(path, method="GET", more=()):
    pairs = [(":method", method), (":scheme", "https"), (":path", path), (":authority", "x")] + list(more)
    return b"".join(literal(n, v) for n, v in pairs)


def status(raw):
    """The code of an HTTP/1.1 answer; None: closed without one."""
    raw.sock.settimeout(30)
    data = b""
    try:
        while b"\r\n" not in data:
            piece = raw.sock.recv(4096)
            if not piece:
                return None
            data += piece
    except OSError:
        return None
    return int(data.split()[1])


def test_slow_headers(t):
    """Hundreds that never finish their headers are sent away in half a minute; nobody else waits."""
    before, slow = t.rss_mb(), []
    for _ in range(300):
        c = t.h1(user=None)
        c.send(b"GET /api HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        slow.append(c)
    t.responsive()
    t.bounded(before, 40)
    deadline = time.monotonic() + 40
    while slow and time.monotonic() < deadline:
        for c in list(slow):
            if not c.send(b"y"):
                c.sock.close()
                slow.remove(c)
        time.sleep(0.5)
    assert not slow, "%d are still there" % len(slow)
    t.responsive()


def test_slow_bodies(t):
    before, slow = t.rss_mb(), []
    for i in range(200):
        c = t.h1()
        c.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 3000000\r\n\r\n{" % PATH.encode())
        c.send(b"x" * 10000)
        slow.append(c)
    t.responsive()
    t.bounded(before, 60)
    for c in slow:
        c.sock.close()


def test_long_bodies(t):
    """Of 4 MB each, from many at once: refused by their announced length, or by what is buffered in all."""
    before = t.rss_mb()
    for length in (3 * 1024 * 1024 + 1, 1 << 40):
        with t.h1() as c:
            c.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (PATH.encode(), length))
            assert status(c) == 413
    with t.h1() as c:
        c.send(b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH.encode())
        for _ in range(400):
            if not c.send(b"4000\r\n" + b"x" * 0x4000 + b"\r\n"):
                break
        assert status(c) in (413, None)
    t.bounded(before, 40)
    t.responsive()


def test_rapid_reset(t):
    with t.h2() as c:
        for i in range(20000):
            if not c.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, headers(PATH)) +
                          frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8))):
                break
        assert c.sent_away()[1], "a rapid reset was let go on"
    t.responsive()


def test_many_streams(t):
    """A hundred thousand requests on one connection, many at a time, are all answered."""
    before, count, at_once = t.rss_mb(), 20000 if t.sanitized else 100000, 200
    with t.h2() as c:
        asked = answered = 0
        while answered < count:
            batch = b""
            while asked < count and asked - answered < at_once:
                batch += frame(HEADERS, END_HEADERS | END_STREAM, 2 * asked + 1, headers("/version"))
                asked += 1
            assert c.send(batch), "closed after %d" % answered
            got = 0
            window = 0
            for f in c.frames(30):
                assert f, "closed after %d" % answered
                if f[0] == DATA:
                    window += len(f[3])
                if f[0] in (DATA, HEADERS) and f[1] & END_STREAM:
                    got += 1
                    if got >= at_once // 2 or answered + got == count:
                        break
            assert got, "no answer after %d" % answered
            answered += got
            c.send(frame(8, 0, 0, struct.pack(">I", window)))
    t.bounded(before, 40)
    t.responsive()


def test_more_streams_than_allowed(t):
    with t.h2() as c:
        watch = headers(PATH + "?watch=1")
        c.send(b"".join(frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1, watch) for i in range(5000)))
        refused = sum(1 for f in c.frames(5) if f and f[0] == RST_STREAM)
        assert refused == 0 or refused >= 4000, refused  # refused one by one, or the connection as a whole
    t.responsive()


def test_huge_headers(t):
    for text in (b"GET /api HTTP/1.1\r\nHost: x\r\nX-Large: " + b"y" * 200000 + b"\r\n\r\n",
                 b"GET /api HTTP/1.1\r\nHost: x\r\n" + b"".join(b"x-%d: y\r\n" % i for i in range(5000)) + b"\r\n"):
        with t.h1() as c:
            c.send(text)
            assert status(c) in (431, None)
    with t.h1() as c:
        c.send(b"GET /" + b"p" * 200000 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        assert status(c) in (414, 431, None)
    with t.h2() as c:
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, headers(PATH, more=[("x-%d" % i, "y") for i in range(1000)])))
        assert c.answer(1) is not None
    t.responsive()


def test_continuation_flood(t):
    for piece, times in ((literal("x-more", "y" * 16000), 2000), (b"", 200000)):
        with t.h2() as c:
            c.send(frame(HEADERS, 0, 1, headers(PATH)))
            each = frame(CONTINUATION, 0, 1, piece)
            block = each * max(1, 16000 // len(each))
            for _ in range(times // max(1, 16000 // len(each)) + 1):
                if not c.send(block):
                    break
            assert c.sent_away()[1], "an endless header block was taken"
    t.responsive()


def test_header_table_bomb(t):
    """One long header in the table, then a byte each to say it thousands of times."""
    before = t.rss_mb()
    with t.h2() as c:
        for i in range(20):
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, 2 * i + 1,
                         headers(PATH) + b"\x40" + literal("x", "y" * 3900)[1:] + b"\xbe" * 12000))
        c.answer(39)
    t.bounded(before, 30)
    t.responsive()


def test_compressed_bombs(t):
    before = t.rss_mb()
    bomb = gzip.compress(b'{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"bomb"},"data":{"x":"' + b"y" * (200 << 20) + b'"}}')
    answer = t.client.post(PATH, bomb, headers={"Content-Encoding": "gzip"})
    assert answer.code in (400, 413, 415), answer
    t.bounded(before, 40)
    t.responsive()


def test_json_bombs(t):
    """Nested without end, wide without end: an error, not the end."""
    for body in (b"[" * 1000000, b'{"a":' * 500000, b'{"metadata":{"name":"x","annotations":{' + b",".join(b'"k%d":"v"' % i for i in range(200000)) + b"}}}",
                 b'{"spec":' * 2000 + b"1" + b"}" * 2000):
        answer = t.client.post(PATH, body)
        assert answer.code in (400, 413, 422), answer
    alias = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join("%s: &%s [%s]\n" % (b, b, ",".join(["*" + a] * 9)) for a, b in zip("abcdefgh", "bcdefghi"))
    answer = t.client.post(PATH, alias.encode(), content_type="application/yaml")
    assert answer.code in (400, 413, 415, 422), answer
    patch = [{"op": "copy", "from": "/data", "path": "/data/x%d" % i} for i in range(40)]
    t.client.post(PATH, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "grows"}, "data": {"a": "b" * 1000}})
    answer = t.client.patch(PATH + "/grows", patch, kind="json-patch")
    assert answer.code in (400, 413, 422), answer
    t.responsive()


def make_many(t, namespace, count, data=""):
    """Config maps, on one connection after the other each used by many requests."""
    t.client.post("/api/v1/namespaces", {"metadata": {"name": namespace}})
    path = "/api/v1/namespaces/%s/configmaps" % namespace

    def some(first):
        c = t.client.connect()
        for i in range(first, count, 4):
            c.request("POST", path, json.dumps({"metadata": {"name": "c%d" % i}, "data": {"x": data}}), {"Content-Type": "application/json"})
            answer = c.getresponse()
            answer.read()
            assert answer.status == 201, answer.status
        c.close()
    threads = [threading.Thread(target=some, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return path


def test_deletions_of_many(t):
    """One request that would delete thousands of objects, or does: each is done on its own, however many there are."""
    count = 5000 if t.sanitized else 20000
    path = make_many(t, "many", count)
    before = t.rss_mb()
    answer = t.client.delete(path + "?dryRun=All")
    assert answer.code == 200 and len(answer.json["items"]) == count, answer
    answer = t.client.delete(path + "?limit=700")
    assert answer.code == 200 and len(answer.json["items"]) == 700, answer
    assert answer.json["metadata"]["remainingItemCount"] == count - 700, answer.json["metadata"]
    assert len(t.client.get(path).json["items"]) == count - 700
    t.bounded(before, 80)
    t.responsive()


def test_deletions_of_large_ones(t):
    """What a request that deletes needs is not what all it deletes need together."""
    count = 60 if t.sanitized else 150
    path = make_many(t, "large", count, "x" * 300000)
    before = t.rss_mb()
    answer = t.client.delete(path)
    assert answer.code == 200, answer.code
    assert t.client.get(path).json["items"] == []
    t.bounded(before, 80)
    t.responsive()


def test_slow_readers(t):
    """Large lists that nobody reads: another user has his once the first of them are sent away, not behind all."""
    path = make_many(t, "unread", 12, "x" * 500000)
    bound = t.client.post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": "readers"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "dev"}]})
    assert bound.code == 201, bound
    end = time.monotonic() + 30
    while t.server.client("alice").get(path + "/none").code != 404:
        assert time.monotonic() < end
    readers = []
    try:
        for _ in range(200):
            c = Raw(t.server.port, h2=False, tls=t.context("http/1.1"), receive=4096)
            c.send(b"GET %s HTTP/1.1\r\nhost: a\r\n\r\n" % path.encode())
            readers.append(c)
        began = time.monotonic()
        answer = t.server.client("alice").get(path)
        took = time.monotonic() - began
        assert answer.code == 200 and len(answer.json["items"]) == 12, answer.code
        assert took < 15 * SLOWER, "%.1f s" % took
    finally:
        for c in readers:
            c.sock.close()
    t.responsive()


def test_pings(t):
    with t.h2() as c:
        for _ in range(50):
            if not c.send(frame(PING, 0, 0, b"12345678") * 1000):
                break
        error, ended = c.sent_away()
        assert ended and error in (ENHANCE_YOUR_CALM, None), error
    t.responsive()


def test_garbage(t):
    for text in (b"\0" * 100, b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", os.urandom(5000), b"\x16\x03\x01" + os.urandom(500)):
        with t.h1() as c:
            c.send(text)
            assert status(c) in (400, 408, 505, None)
    for path in ("/api/v1/%", "/api/v1/namespaces/%00/pods", "/api/v1/namespaces/default/pods/..%2f..", "/" + "a/" * 500,
                 PATH + "?limit=-1", PATH + "?limit=x", PATH + "?continue=%7B", PATH + "?labelSelector=%28", PATH + "?timeoutSeconds=x&watch=1"):
        answer = t.client.get(path)
        assert 400 <= answer.code < 500 or answer.code == 200, (path, answer)
    t.responsive()


def quickly(answer, codes, began, seconds):
    took = time.monotonic() - began
    assert answer.code in codes, (answer.code, answer.body[:300])
    assert took < seconds, "%.1f s" % took


SLOWER = 1  # of sanitized builds


def timed(codes, call, *args, **kw):
    began = time.monotonic()
    answer = call(*args, **kw)
    quickly(answer, codes, began, 12 * SLOWER)
    return answer


def test_long_secrets(t):
    """stringData beside data: neither time nor memory with the square of their number."""
    body = {"metadata": {"name": "long"}, "stringData": {"k%d" % i: "" for i in range(40000)}, "data": {"k%d" % i: "" for i in range(0, 40000, 2)}}
    made = timed((201,), t.client.post, PATH.replace("configmaps", "secrets"), body)
    assert len(made.json["data"]) == 40000, len(made.json["data"])
    timed((200,), t.client.delete, PATH.replace("configmaps", "secrets") + "/long")


def test_services_of_many_node_ports(t):
    """More than there may be: said before any are looked for."""
    path = PATH.replace("configmaps", "services")
    many = [{"name": "p%d" % i, "port": i + 1} for i in range(40000)]
    timed((422,), t.client.post, path, {"metadata": {"name": "many"}, "spec": {"type": "NodePort", "ports": many}})
    timed((422,), t.client.post, path, {"metadata": {"name": "many"}, "spec": {"type": "LoadBalancer", "ports": many}})
    made = timed((201,), t.client.post, path, {"metadata": {"name": "few"}, "spec": {"type": "NodePort", "ports": [{"port": 1}]}}).json
    port = made["spec"]["ports"][0]["nodePort"]
    made["spec"]["ports"] = [{"port": 1}] * 60000 + [{"port": 1, "nodePort": port}]
    timed((422,), t.client.put, path + "/few", made)
    timed((200,), t.client.delete, path + "/few")


ABUSED = "abuse.example.com"


def defined(t, plural, spec):
    """A definition with that schema of the member spec; the path of its objects."""
    kind, crds = plural.capitalize(), "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    answer = t.client.post(crds, {
        "metadata": {"name": plural + "." + ABUSED}, "spec": {"group": ABUSED, "scope": "Namespaced", "names": {"plural": plural, "kind": kind},
                                                             "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
                                                                 "openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}]}})
    assert answer.code == 201, answer
    path, end = "/apis/%s/v1/namespaces/default/%s" % (ABUSED, plural), time.monotonic() + 30
    while t.client.get(path).code != 200:
        assert time.monotonic() < end
        time.sleep(0.05)
    return path, lambda spec, **meta: {"apiVersion": ABUSED + "/v1", "kind": kind, "metadata": dict({"name": "a"}, **meta), "spec": spec}


def test_patterns_that_backtrack(t):
    """A hundred thousand texts, each of which would take its time; and a long one that matches."""
    path, make = defined(t, "patterns", {"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "string", "pattern": "^(a+)+$"}},
        "loose": {"type": "array", "items": {"type": "string", "pattern": "(a+)+$"}},
        "bytes": {"type": "string", "pattern": "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{2}==)?$"}}})
    timed((201,), t.client.post, path, make({"bytes": "abcd" * 150000}, name="long"))
    timed((422,), t.client.post, path, make({"bytes": "abcd" * 150000 + "!"}))
    timed((422,), t.client.post, path, make({"list": ["a" * 28 + "b"] * 15000}))
    timed((422,), t.client.post, path, make({"loose": ["a" * 28 + "b"] * 6000}))
    timed((201,), t.client.post, path, make({"list": ["a" * 28] * 10000, "loose": ["b" + "a" * 28] * 10000}))


def test_definitions_that_cannot_go(t):
    """Their objects are held by finalizers, and looked at again and again: never all at once."""
    path, make = defined(t, "helds", {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    for i in range(60):
        timed((201,), t.client.post, path, make({"x": "y" * 200000}, name="h%d" % i, finalizers=["example.com/held"]))
    crd = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/helds." + ABUSED
    timed((200,), t.client.delete, crd)
    end = time.monotonic() + 30
    while not t.client.get(path + "/h59").json["metadata"].get("deletionTimestamp"):
        assert time.monotonic() < end
    for i in range(60):
        timed((200,), t.client.patch, path + "/h%d" % i, {"metadata": {"finalizers": None}}, kind="merge-patch")
    while t.client.get(crd).code != 404:
        assert time.monotonic() < end


def main():
    names = sys.argv[2:]
    server, passed, failed = Server(os.path.abspath(sys.argv[1])), 0, 0
    try:
        server.start()
        t = Target(server)
        if t.sanitized:
            global SLOWER
            SLOWER = 4
        for name, test in list(globals().items()):
            if not name.startswith("test_") or names and not any(n in name for n in names):
                continue
            began = time.monotonic()
            try:
                with Bystander(t) as other:
                    test(t)
                passed += 1
                print("ok   %s (%.1f s, %.0f MB; others waited %.0f ms at most)" % (name, time.monotonic() - began, t.rss_mb(),
                                                                                  1000 * other.worst), flush=True)
            except Exception:
                failed += 1
                print("FAIL %s\n%s" % (name, traceback.format_exc()[-1500:]), flush=True)
            if server.process.poll() is not None:
                raise AssertionError("the server ended with %d:\n%s" % (server.process.poll(), server.log_tail()))
        code = server.stop()
        if code:
            failed += 1
            print("FAIL the server ended with %d:\n%s" % (code, server.log_tail()))
    finally:
        server.remove()
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
