#!/usr/bin/python3
"""What a store does with clients that ask too much, ask nonsense, or never listen: each is a check of its own, after
which the member still serves, and holds neither their memory nor their descriptors.

Usage: limits_test.py BIN_DIR [--long] [CHECK…]
"""
import http.client
import json
import os
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time

from limits_lib import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PING, PREFACE,
                        RST_STREAM, SETTINGS, WINDOW_UPDATE, Member, Raw, field, frame, grpc, grpc_headers,
                        in_request_op, literal, message, put, random_bytes, varint)
from ports import free_ports

PUT, RANGE, TXN = "/etcdserverpb.KV/Put", "/etcdserverpb.KV/Range", "/etcdserverpb.KV/Txn"
WATCH, KEEP_ALIVE = "/etcdserverpb.Watch/Watch", "/etcdserverpb.Lease/LeaseKeepAlive"
MIB = 1 << 20
OPS_MAX, REQUEST_MAX = 128, 3 * MIB // 2
long_form = "--long" in sys.argv


def settings(**values):
    numbers = {"window": 4}
    return b"".join(struct.pack(">HI", numbers[k], v) for k, v in values.items())


def equal(got, want):
    assert got == want, f"got {got!r}, want {want!r}"


# --- limits of requests: codes and messages are etcd's ---


def request_too_large(m):
    equal(m.call(PUT, put(b"k", b"x" * REQUEST_MAX)), (3, "etcdserver: request is too large"))
    body = put(b"k", b"x" * (3 * MIB))
    equal(m.call(PUT, body), (8, f"grpc: received message larger than max ({len(body)} vs. {2 * MIB})"))
    equal(m.call(PUT, put(b"k", b"x" * (REQUEST_MAX - 100)))[0], 0)


def txn_operations(m):
    ops = b"".join(field(2, in_request_op(2, put(b"k%d" % i))) for i in range(OPS_MAX + 1))
    equal(m.call(TXN, ops), (3, "etcdserver: too many operations in txn request"))
    compares = b"".join(field(1, field(3, b"k")) for _ in range(OPS_MAX + 1))
    equal(m.call(TXN, compares), (3, "etcdserver: too many operations in txn request"))
    equal(m.call(TXN, b"".join(field(2, in_request_op(2, put(b"k%d" % i))) for i in range(OPS_MAX)))[0], 0)


def duplicate_keys(m):
    twice = field(2, in_request_op(2, put(b"k"))) * 2
    equal(m.call(TXN, twice), (3, "etcdserver: duplicate key given in txn request"))
    nested = field(2, in_request_op(2, put(b"k"))) + field(2, in_request_op(4, field(2, in_request_op(2, put(b"k")))))
    equal(m.call(TXN, nested), (3, "etcdserver: duplicate key given in txn request"))
    deleted = field(2, in_request_op(2, put(b"k"))) + field(2, in_request_op(3, field(1, b"a") + field(2, b"z")))
    equal(m.call(TXN, deleted), (3, "etcdserver: duplicate key given in txn request"))


def keys_of_every_length(m):
    for path in (PUT, RANGE, "/etcdserverpb.KV/DeleteRange"):
        equal(m.call(path, b""), (3, "etcdserver: key is not provided"))
    for n in (1, 2, 489, 490, 491, 510, 511, 512, 981, 4096, 65535, 65536, MIB, REQUEST_MAX - 64):
        key = b"K" * n
        equal(m.call(PUT, put(key, b"long"))[0], 0)
        code, answer = m.call(RANGE, field(1, key))
        assert code == 0 and b"long" in answer and key in answer, n
    code, answer = m.call(RANGE, field(1, b"K") + field(2, b"L") + field(9, 1))
    assert code == 0 and answer.endswith(field(4, 14)), answer[-20:]
    code, answer = m.call("/etcdserverpb.KV/DeleteRange", field(1, b"K") + field(2, b"L"))
    assert code == 0 and answer.endswith(field(2, 14)), answer[-20:]
    equal(m.call(PUT, put(b"K" * REQUEST_MAX)), (3, "etcdserver: request is too large"))


def own_limits(m):
    other = Member(m.bin_dir, "--max-request-bytes", "10000", "--max-txn-ops", "3")
    try:
        equal(other.call(PUT, put(b"k", b"x" * 10000)), (3, "etcdserver: request is too large"))
        equal(other.call(PUT, put(b"k", b"x" * 9000))[0], 0)
        ops = [field(2, in_request_op(2, put(b"k%d" % i))) for i in range(4)]
        equal(other.call(TXN, b"".join(ops)), (3, "etcdserver: too many operations in txn request"))
        equal(other.call(TXN, b"".join(ops[:3]))[0], 0)
    finally:
        equal(other.stop(), 0)


# --- messages that are none ---


def txns_without_end(m):
    for depth in (10, 100, 1000, 10000, 150000):
        heads, n = [], 0
        for _ in range(depth):  # from the inside out
            head = b"\x22" + varint(n)
            head = b"\x12" + varint(len(head) + n) + head
            heads.append(head)
            n += len(head)
        code, text = m.call(TXN, b"".join(reversed(heads)))
        assert code in (0, 3, 8, 13) and (depth < 1000 or code), (depth, code, text)


def groups_without_end(m):
    for body in (b"\x7b" * MIB, b"\x7b" * 10 + b"\x7c" * 10, b"\x7c" * 100, put(b"k") + b"\x7b" * 100000 + b"\x7c" * 100000):
        code, text = m.call(PUT, body)
        assert code in (3, 13), (code, text)


def messages_of_noise(m):
    methods = [PUT, RANGE, TXN, "/etcdserverpb.KV/DeleteRange", "/etcdserverpb.KV/Compact",
               "/etcdserverpb.Lease/LeaseGrant", "/etcdserverpb.Lease/LeaseTimeToLive", "/etcdserverpb.Cluster/MemberAdd",
               "/etcdserverpb.Cluster/MemberUpdate", "/etcdserverpb.Auth/RoleGrantPermission", "/v3lockpb.Lock/Unlock",
               "/etcdserverpb.Auth/UserGet", "/grpc.health.v1.Health/Check", "/etcdserverpb.Maintenance/Downgrade"]
    wholes = [put(b"k", b"v" * 50), field(2, in_request_op(2, put(b"k"))) * 3, field(1, b"a") + field(2, b"z")]
    with grpc.insecure_channel(f"127.0.0.1:{m.client}") as channel:
        for i in range(400 if not long_form else 20000):
            noise = random_bytes(i, 64)
            whole = bytearray(wholes[i % 3])
            whole[noise[0] % len(whole)] ^= 1 << noise[1] % 8
            for body in (noise[:2 + noise[2] % 60], bytes(whole[:1 + noise[3] % len(whole)])):
                try:
                    channel.unary_unary(methods[i % len(methods)])(body, timeout=20)
                except grpc.RpcError as e:
                    assert e.code() not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED), e


def json_without_end(m):
    for body in (b"[" * MIB, b'{"key":' * 100000, b'{"a":' + b"[" * 500000 + b"]" * 500000 + b"}",
                 b'{"success":[{"requestTxn":' * 5000 + b"{}" + b"}]}" * 5000, b'"' + b"x" * MIB, b'{"key":"' + b"\\" * 1000,
                 b'{"key":1e999999}', b'{"limit":"99999999999999999999999"}', b'{"key":"***"}', b"\0" * 1000, b"", b"\xff\xfe",
                 b'{"key":"YQ==","key":' + b"9" * 100000 + b"}"):
        status, answer = m.json("/v3/kv/txn" if b"success" in body else "/v3/kv/range", body)
        assert status == 400, (body[:30], status, answer[:100])
    status, answer = m.json("/v3/kv/put", b'{"key":"' + b"A" * (4 * MIB) + b'"}')
    equal(status, 413)
    with Raw(m.client, h2=False) as c:  # a stream's objects, one that never ends
        c.send(b"POST /v3/watch HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n")
        c.send(b"80000\r\n" + b"{" * 0x80000 + b"\r\n")
        for _ in range(20):
            if not c.send(b"80000\r\n" + b'"' + b"x" * 0x7ffff + b"\r\n"):
                break
        c.sock.settimeout(60)
        assert b"error" in c.sock.recv(4096)


# --- clients that do not listen ---


def fill(m, n, size):
    """n values of that size below "big/"."""
    with Raw(m.client) as c:
        for i in range(n):
            stream = 2 * i + 1
            assert c.request(stream, PUT, put(b"big/%06d" % i, b"x" * size))
            assert c.answer(stream) is not None


def ranges_never_read(m):
    fill(m, 20, MIB)
    everything = field(1, b"big/") + field(2, b"big0")
    conns = []
    for _ in range(1 if m.sanitized() else 4):
        c = Raw(m.client, settings(window=0x7FFFFFFF), receive=4096)
        c.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFF0000)))
        for i in range(30):
            c.request(2 * i + 1, RANGE, everything)
        conns.append(c)
    time.sleep(1)
    serves(m)
    memory(m, 400)
    for c in conns:
        c.sock.close()


def windows_of_nothing(m):
    everything = field(1, b"big/") + field(2, b"big0")
    with Raw(m.client, settings(window=0)) as c:
        for i in range(100):
            c.request(2 * i + 1, RANGE, everything)
        time.sleep(1)
        serves(m)
        memory(m, 400)
        # Stream after stream lets a byte through.
        for i in range(100):
            c.send(frame(WINDOW_UPDATE, 0, 2 * i + 1, struct.pack(">I", 1)))
        serves(m)


def watches_never_read(m):
    conns = []
    for _ in range(10):
        c = Raw(m.client, receive=4096)
        for i in range(10):
            c.request(2 * i + 1, WATCH, field(1, field(1, b"big/") + field(2, b"big0")), end=False)
        conns.append(c)
    fill(m, 100, MIB // 2)
    serves(m)
    memory(m, 400)
    for c in conns:
        c.sock.close()


def answers_never_read(m):
    """Requests whose answers are longer than they: a stream of them must stop being read."""
    def flood(path, body):
        with Raw(m.client, receive=4096) as c:
            c.sock.settimeout(2)
            c.request(1, path, body, end=False)
            many = frame(DATA, 0, 1, message(body) * (16000 // (len(body) + 5)))
            sent = 0
            while sent < (4 if m.sanitized() else 16) * MIB and c.send(many):
                sent += len(many)
            memory(m, 400)

    flood(WATCH, field(3, b""))  # progress, please
    flood(WATCH, field(2, field(1, 77)))  # cancel what is not there
    flood(WATCH, field(1, field(1, b"a") + field(7, 5)))  # the same id again and again
    flood(KEEP_ALIVE, field(1, 4711))


def silent_clients(m):
    other = Member(m.bin_dir, "--grpc-keepalive-interval", "1s", "--grpc-keepalive-timeout", "3s")
    try:
        time.sleep(0.2)
        idle = other.files()
        with Raw(other.client) as silent, Raw(other.client) as polite:
            watch = field(1, field(1, b"a"))
            silent.request(1, WATCH, watch, end=False)
            polite.request(1, WATCH, watch, end=False)
            ended, pinged, over = [], [], threading.Event()

            def listen():
                while not over.is_set():
                    for f in polite.frames(0.2):
                        if f is None:
                            ended.append(1)
                            return
                        if f[0] == PING and not f[1] & ACK:
                            pinged.append(1)
                            polite.send(frame(PING, ACK, 0, f[3]))
            thread = threading.Thread(target=listen)
            thread.start()
            began = time.monotonic()
            closed = silent.closed(60)
            over.set()
            thread.join()
            assert closed, "who answers no ping stays connected"
            assert pinged and not ended, "who answers was closed"
            assert time.monotonic() - began > 1
        # A process that is stopped: its kernel goes on to acknowledge, but nobody answers.
        eventually(60, lambda: not polite.sock.fileno() >= 0 and other.files() <= idle, "closed connections stay")
        before = other.files()
        child = subprocess.Popen([sys.executable, "-c", "import sys; sys.path.insert(0, sys.argv[1])\n"
                                  "from limits_lib import *\nc = Raw(int(sys.argv[2]))\n"
                                  f"c.request(1, '{WATCH}', {watch!r}, end=False)\nprint('on', flush=True)\n"
                                  "for f in c.frames(60): c.send(frame(PING, ACK, 0, f[3])) if f and f[0] == PING else 0",
                                  os.path.dirname(os.path.abspath(__file__)), str(other.client)], stdout=subprocess.PIPE)
        try:
            child.stdout.readline()
            eventually(60, lambda: other.files() > before, "no connection")
            child.send_signal(signal.SIGSTOP)
            eventually(60, lambda: other.files() <= before, "a stopped client stays connected")
        finally:
            child.kill()
            child.wait()
            child.stdout.close()
    finally:
        equal(other.stop(), 0)


def half_open_connections(m):
    """In a network of its own, where packets can be dropped without a word to either side."""
    done = subprocess.run(["unshare", "-n", sys.executable, os.path.abspath(__file__), m.bin_dir, "--half-open"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=180, check=False)
    assert done.returncode == 0, done.stdout.decode(errors="replace")


def cut_off(bin_dir):
    """A client that watches and keeps a lease alive vanishes: what it held comes back, and others do not wait for it."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    other = Member(bin_dir, "--grpc-keepalive-interval", "1s", "--grpc-keepalive-timeout", "3s")
    try:
        time.sleep(0.2)
        idle = other.files()
        lease = json.loads(other.json("/v3/lease/grant", {"TTL": 2})[1])["ID"]
        leased = {"key": "bGVhc2Vk", "value": "MQ==", "lease": lease}
        equal(other.json("/v3/kv/put", leased)[0], 200)
        with Raw(other.client) as client:
            client.request(1, WATCH, field(1, field(1, b"a") + field(2, b"z")), end=False)
            client.request(3, KEEP_ALIVE, field(1, int(lease)), end=False)
            answered = set()
            for f in client.frames(60):
                answered.add(f and f[0] == DATA and f[2])
                if answered >= {1, 3}:
                    break
            assert answered >= {1, 3}, f"answers on {answered}"
            port = client.sock.getsockname()[1]
            rules = [f"add rule inet cut input tcp {side} {port} drop" for side in ("sport", "dport")]
            subprocess.run(["nft", "\n".join(["add table inet cut", "add chain inet cut input "
                                              "{ type filter hook input priority 0; }", *rules])], check=True)
            assert other.serves(30), "others wait for who is cut off"
            eventually(60, lambda: other.files() <= idle, "the connection of who is cut off stays")
            assert not client.closed(0.5), "it was told"
            eventually(60, lambda: b"kvs" not in other.json("/v3/kv/range", {"key": leased["key"]})[1],
                       "its lease stays")
    finally:
        code = other.stop()
    equal(code, 0)


# --- floods of HTTP/2 ---


def streams_reset(m):
    with Raw(m.client) as c:
        for i in range(8000):
            c.send(frame(HEADERS, END_HEADERS, 2 * i + 1, grpc_headers(RANGE)) +
                   frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8)))
        equal(c.sent_away(), (ENHANCE_YOUR_CALM, True))
    with Raw(m.client) as c:  # made to reset them itself
        for i in range(3000):
            c.send(frame(HEADERS, END_HEADERS, 2 * i + 1, grpc_headers(RANGE)) +
                   frame(WINDOW_UPDATE, 0, 2 * i + 1, struct.pack(">I", 0)))
        error, ended = c.sent_away()
        assert ended and error in (1, ENHANCE_YOUR_CALM), error
    with Raw(m.client) as c:  # in the middle of their bodies, and of their answers
        for i in range(100):
            c.request(2 * i + 1, PUT, put(b"k", b"x" * 1000), end=False)
            c.send(frame(RST_STREAM, 0, 2 * i + 1, struct.pack(">I", 8)))
        assert c.request(1001, PUT, put(b"k"))
        assert c.answer(1001) is not None


def frames_that_do_nothing(m):
    for name, one in (("ping", frame(PING, 0, 0, b"12345678")), ("settings", frame(SETTINGS, 0, 0)),
                      ("empty data", frame(DATA, 0, 1))):
        with Raw(m.client) as c:
            if name == "empty data":
                c.send(frame(HEADERS, END_HEADERS, 1, grpc_headers(WATCH)))
            for _ in range(20):
                c.send(one * 1000)
            error, ended = c.sent_away()
            assert ended and error in (ENHANCE_YOUR_CALM, None), (name, error)


def pings_too_often(m):
    with Raw(m.client) as c:
        assert c.request(1, WATCH, field(1, field(1, b"a")), end=False)
        for f in c.frames(60):
            if f and f[0] == DATA:
                break
        for _ in range(5):
            c.send(frame(PING, 0, 0, b"12345678"))
        equal(c.sent_away(), (ENHANCE_YOUR_CALM, True))


def headers_without_end(m):
    start = frame(HEADERS, 0, 1, grpc_headers(RANGE))
    with Raw(m.client) as c:
        c.send(start)
        piece = frame(CONTINUATION, 0, 1, literal("x-more", "y" * 16000))
        for _ in range(2000):
            if not c.send(piece):
                break
        assert c.sent_away()[1], "an endless header block was taken"
    with Raw(m.client) as c:  # of nothing
        c.send(start)
        for _ in range(200):
            if not c.send(frame(CONTINUATION, 0, 1) * 1000):
                break
        assert c.sent_away()[1], "an endless header block of nothing was taken"
    with Raw(m.client) as c:  # a table of one byte each to say thousands
        c.send(frame(HEADERS, END_HEADERS, 1, grpc_headers(RANGE) + b"\x40" + literal("x", "y" * 3900)[1:] + b"\xbe" * 12000))
        kinds = c.answer(1)
        assert kinds is None or HEADERS in kinds[0] or RST_STREAM in kinds[0], kinds
    with Raw(m.client) as c:
        c.request(1, RANGE, field(1, b"a"), more=[(f"x-{i}", "y") for i in range(1000)])
        assert c.answer(1) is not None
        assert c.request(3, RANGE, field(1, b"a")) and c.answer(3)[1] > 0


def lengths_that_lie(m):
    with Raw(m.client) as c:
        c.send(frame(HEADERS, END_HEADERS, 1, grpc_headers(PUT)) + frame(DATA, 0, 1, message(b"x", 0xFFFFFFFF)))
        assert c.answer(1) is not None, "no answer to a message of 4 GiB"
        for i, body in enumerate((b"", b"\0", b"\0\0\0\0\5abc", b"\1\0\0\0\1x", b"\xff" * 100, message(b"") * 3), 1):
            stream = 2 * i + 1
            c.send(frame(HEADERS, END_HEADERS, stream, grpc_headers(PUT)) + frame(DATA, END_STREAM, stream, body))
            assert c.answer(stream) is not None, body
    # Messages begun and never ended, on every stream that one may have, on several connections.
    conns = []
    for _ in range(1 if m.sanitized() else 4):
        c = Raw(m.client)
        c.sock.settimeout(1)
        for i in range(300):
            if not c.send(frame(HEADERS, END_HEADERS, 2 * i + 1, grpc_headers(PUT)) +
                          b"".join(frame(DATA, 0, 2 * i + 1, (message(b"", 2 * MIB - 1) if j == 0 else b"") + b"x" * 16000)
                                   for j in range(60))):
                break
        conns.append(c)
    memory(m, 500)
    serves(m)
    for c in conns:
        c.sock.close()


# --- garbage on every port ---


def hello_of_tls():
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname="x")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return outgoing.read()


def garbage_everywhere(m):
    peer_hello = b"C8SP\1"
    pieces = [random_bytes(n, size) for n, size in enumerate((1, 31, 32, 33, 1000, 100000))] + [
        hello_of_tls(), PREFACE, PREFACE[:10], PREFACE + b"\0" * 1000, PREFACE + b"\xff" * 1000,
        b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 200000, b"\0" * 10000, b"\r\n" * 10000,
        b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 100000, b"GET / HTTP/1.1\r\nx: " + b"y" * 200000,
        b"POST /v3/kv/put HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999999999999\r\n\r\n",
        b"POST /v3/kv/put HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        b"POST /v3/kv/put HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v3/watch HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        peer_hello + b"\1\0\1" + b"\0" * 24, peer_hello + b"\3\0\1" + b"\0" * 24 + b"\3\xff\xff\xff" + b"\0" * 8,
        peer_hello + b"\3\0\1" + b"\0" * 24 + b"\0\0\0\4" + b"\0" * 100, peer_hello + b"\xff" * 27 + b"\xff" * 1000]
    for port in (m.client, m.metrics, m.peer):
        for piece in pieces:
            with Raw(port, h2=False) as c:
                c.sock.settimeout(2)
                if c.send(piece):
                    c.sock.settimeout(0.02)
                    try:
                        c.sock.recv(4096)
                    except OSError:
                        pass


def garbage_to_tls(m):
    d = m.directory.name
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", d + "/k", "-out", d + "/c", "-days",
                    "2", "-subj", "/CN=x", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, stderr=subprocess.DEVNULL)
    plain, secure = free_ports(2)
    other = Member(m.bin_dir, "--listen-client-urls", f"http://127.0.0.1:{plain},https://127.0.0.1:{secure}", "--cert-file",
                   d + "/c", "--key-file", d + "/k", ready=plain)
    try:
        for piece in (PREFACE, b"GET / HTTP/1.1\r\n\r\n", random_bytes(1, 1000), hello_of_tls()[:50], b"\x16\3\1\xff\xff" * 1000,
                      b"\x16\3\1\0\5\1\xff\xff\xff\xff" + b"x" * 70000):
            with Raw(secure, h2=False) as c:
                c.send(piece)
                c.sock.settimeout(0.05)
                try:
                    c.sock.recv(4096)
                except OSError:
                    pass
        context = ssl.create_default_context(cafile=d + "/c")
        asking = http.client.HTTPSConnection("127.0.0.1", secure, timeout=60, context=context)
        asking.request("GET", "/version")
        equal("etcdserver" in json.loads(asking.getresponse().read()), True)
        asking.close()
    finally:
        equal(other.stop(), 0)


# --- many, and slow ---


def messages_never_complete(m):
    """Only in the long form: the time for a body is a minute."""
    if not long_form:
        return
    with Raw(m.client) as c:
        c.send(frame(HEADERS, END_HEADERS, 1, grpc_headers(PUT)) + frame(DATA, 0, 1, message(b"x", 100)))
        c.request(3, PUT, put(b"k"), end=False)
        kinds = {1: [], 3: []}
        for f in c.frames(90):
            if f and f[2]:
                kinds[f[2]].append(f[0])
            if RST_STREAM in kinds[1] and RST_STREAM in kinds[3]:
                return
        raise AssertionError(f"half a message may stay for ever: {kinds}")


def slow_clients(m):
    """A byte now and then, of a request, of a preface, of nothing; on each port."""
    conns = [Raw(port, h2=False) for port in (m.client, m.metrics, m.peer) for _ in range(100)]
    for i, c in enumerate(conns):
        c.send((b"GET / HT", PREFACE[:12], b"", b"C8SP")[i % 4])
    serves(m)
    began = time.monotonic()
    if not long_form:
        for c in conns:
            c.sock.close()
        return
    while conns and time.monotonic() - began < 60:
        time.sleep(1)
        conns = [c for c in conns if c.send(b"x") and not c.closed(0.001)]
    assert not conns, f"{len(conns)} slow clients stay connected"


def more_clients_than_descriptors(m):
    other = Member(m.bin_dir, files=400)
    try:
        early = Raw(other.client)
        assert early.request(1, PUT, put(b"a")) and early.answer(1)
        conns = []
        for port in (other.client, other.peer):
            for _ in range(400):
                try:
                    conns.append(Raw(port))
                except OSError:
                    pass
        assert early.request(3, PUT, put(b"b")) and early.answer(3), "an old connection is not served any more"
        spare = 400 - other.files()
        assert spare >= 20, f"{spare} descriptors are left"
        for c in conns:
            c.sock.close()
        eventually(60, lambda: other.serves(2), "no connection after all others have gone")
        early.sock.close()
    finally:
        equal(other.stop(), 0)


# --- the run ---


def eventually(seconds, holds, what):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def serves(m):
    assert m.process.poll() is None, "the member ended: " + m.logged()[-3000:]
    assert m.serves(60), "the member serves nobody"


def memory(m, most):
    rss = m.rss_mb()
    most += 500 if m.sanitized() else 0  # what is freed waits there a while
    assert rss <= most, f"the member holds {rss} MB, {most} are allowed"


CHECKS = [request_too_large, txn_operations, duplicate_keys, keys_of_every_length, own_limits, txns_without_end,
          groups_without_end, messages_of_noise, json_without_end, streams_reset, frames_that_do_nothing, pings_too_often,
          headers_without_end, lengths_that_lie, garbage_everywhere, garbage_to_tls,
          messages_never_complete, slow_clients, ranges_never_read,
          windows_of_nothing, watches_never_read, answers_never_read, silent_clients, half_open_connections, more_clients_than_descriptors]
NEED_GRPC = {request_too_large, txn_operations, duplicate_keys, keys_of_every_length, own_limits, txns_without_end,
             groups_without_end, messages_of_noise}


def main():
    if "--half-open" in sys.argv:
        return cut_off(sys.argv[1])
    wanted = [a for a in sys.argv[2:] if not a.startswith("--")]
    m = Member(sys.argv[1])
    m.bin_dir = sys.argv[1]
    failed = 0
    files = m.files()
    for check in CHECKS:
        name = check.__name__.replace("_", " ")
        if wanted and check.__name__ not in wanted:
            continue
        if check in NEED_GRPC and not grpc:
            print("skip", name, "(python3-grpcio is not installed)")
            continue
        began = time.monotonic()
        try:
            check(m)
            serves(m)
            memory(m, 500)
            eventually(60, lambda: m.files() <= files + 12, f"{m.files()} descriptors open, {files} before")
            print(f"ok   {name} ({time.monotonic() - began:.1f} s, {m.rss_mb()} MB)", flush=True)
        except Exception as e:  # pylint: disable=broad-except
            failed += 1
            print(f"FAIL {name}: {type(e).__name__}: {e}", flush=True)
            if m.process.poll() is not None:
                break
    code = m.process.poll()
    code = m.stop() if code is None else code
    if code != 0:
        print(f"FAIL the member ended with {code}")
        failed += 1
    print(f"limits_test: {'all passed' if not failed else f'{failed} failed'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
