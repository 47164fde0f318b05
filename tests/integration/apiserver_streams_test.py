#!/usr/bin/env python3
"""exec, attach and port-forward through the API server to a node agent of this test's own, which speaks SPDY/3.1:
WebSocket v5 and the port-forward tunnel are translated, everything older passes as bytes.

    apiserver_streams_test.py BINARY [NAME…]
"""
import base64
import hashlib
import json
import os
import socket
import ssl
import struct
import sys
import threading
import zlib

from apiserver_lib import Server, run_tests
from apiserver_test import NS, check, created, equal, failed, pod, service_account, wait_for

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
WORDS = """options head post put delete trace accept accept-charset accept-encoding accept-language accept-ranges age allow
authorization cache-control connection content-base content-encoding content-language content-length content-location
content-md5 content-range content-type date etag expect expires from host if-match if-modified-since if-none-match if-range
if-unmodified-since last-modified location max-forwards pragma proxy-authenticate proxy-authorization range referer
retry-after server te trailer transfer-encoding upgrade user-agent vary via warning www-authenticate method get
status""".split() + ["200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin"]
TEXT = ("100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 Non-Authoritative "
        "Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not Found500 Internal "
        "Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, "
        "Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,"
        "application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
        "charset=iso-8859-1,utf-,*,enq=0.")
DICTIONARY = b"".join(struct.pack(">I", len(w)) + w.encode() for w in WORDS) + TEXT.encode()
assert zlib.adler32(DICTIONARY) == 0xe3c6a7c2  # as published


def read_exactly(f, n):
    data = b""
    while len(data) < n:
        more = f.recv(n - len(data))
        if not more:
            return None
        data += more
    return data


class Node:
    """The agent: a process that copies its input to its output until the input ends."""

    def __init__(self, pki):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pki.path("server.crt"), pki.path("server.key"))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heads, self.opened, self.followers_gone = [], [], []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            raw, _ = self.listener.accept()
            threading.Thread(target=self.serve, args=(raw,), daemon=True).start()

    def serve(self, raw):
        try:
            f = self.context.wrap_socket(raw, server_side=True)
            head = b""
            while b"\r\n\r\n" not in head:
                head += f.recv(1)
            head = head.decode()
            self.heads.append(head)
            path = head.split(" ")[1]
            if "/missing" in path:
                f.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\ncontainer not found")
                return
            if path.startswith("/containerLogs/"):
                text = b"x" * (4 << 20) if "tailLines=7" in path else b"said\n" if "follow" in path else b"container is alive\n"
                f.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(text), text))
                if "follow" in path:  # nothing more is said, until the server lets go
                    self.followers_gone.append(f.recv(1) == b"")
                    return
                f.sendall(b"0\r\n\r\n")
                f.recv(1)
                return
            f.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n")
            if path.startswith("/portForward/") or "upgrade: websocket" in head.lower():
                self.echo(f)
            else:
                self.spdy(f, path)
        except OSError:
            pass
        finally:
            raw.close()

    def echo(self, f):
        while True:
            data = f.recv(65536)
            if not data:
                return
            f.sendall(data[::-1])

    def spdy(self, f, path):
        inflate, streams = zlib.decompressobj(zdict=DICTIONARY), {}

        def data(kind, payload, flags=0):
            for number, name in streams.items():
                if name == kind:
                    f.sendall(struct.pack(">II", number, flags << 24 | len(payload)) + payload)

        def end(status):
            data("error", json.dumps(status).encode())
            f.sendall(struct.pack(">HHIII", 0x8003, 7, 8, 0, 0))  # GOAWAY
            # Closing with something unread would reset the connection, and what was said could be lost.
            f.shutdown(socket.SHUT_WR)
            f.settimeout(10)
            while f.recv(65536):
                pass

        f.sendall(struct.pack(">HHII", 0x8003, 6, 4, 2))  # PING, which must come back
        while True:
            head = read_exactly(f, 8)
            if head is None:
                return
            first, second = struct.unpack(">II", head)
            body = read_exactly(f, second & 0xffffff) if second & 0xffffff else b""
            if not first >> 31:
                kind, fin = streams[first], second >> 24 & 1
                if kind == "stdin":
                    data("stdout", body.upper())
                    if fin:
                        end({"metadata": {}, "status": "Success"})
                        return
                elif kind == "resize":
                    data("stdout", b"<" + body + b">")
            elif first & 0xffff == 6:
                self.opened.append("pong")
            elif first & 0xffff == 1:
                number = struct.unpack(">I", body[:4])[0]
                block = inflate.decompress(body[10:])
                pairs, at = {}, 4
                for _ in range(struct.unpack(">I", block[:4])[0]):
                    for part in ("n", "v"):
                        n = struct.unpack(">I", block[at:at + 4])[0]
                        part_text, at = block[at + 4:at + 4 + n].decode(), at + 4 + n
                        if part == "n":
                            name = part_text
                        else:
                            pairs[name] = part_text
                streams[number] = pairs["streamtype"]
                self.opened.append(pairs["streamtype"])
                f.sendall(struct.pack(">HHII", 0x8003, 2, 8, number) + b"\0\0\0\0")
                if "command=exit3" in path and len(streams) == 2:
                    end({"status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": [{"reason": "ExitCode", "message": "3"}]}})
                    return
                if "command=big" in path and len(streams) == 2:
                    for _ in range(64):
                        data("stdout", b"x" * 65536)
                    end({"status": "Success"})
                    return
                if "command=die" in path and len(streams) == 2:
                    return


class WebSocket:
    def __init__(self, client, path, protocols, key=None):
        self.raw = client.context.wrap_socket(socket.create_connection(("127.0.0.1", client.port), 20), server_hostname="localhost")
        key = key or base64.b64encode(os.urandom(16)).decode()
        self.raw.sendall(("GET %s HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                          "Sec-WebSocket-Key: %s\r\nSec-WebSocket-Protocol: %s\r\n\r\n" % (path, key, protocols)).encode())
        self.head = b""
        while b"\r\n\r\n" not in self.head:
            byte = self.raw.recv(1)
            if not byte:
                break
            self.head += byte
        self.head = self.head.decode()
        self.code = int(self.head.split(" ")[1])
        if self.code == 101 and "v5" in self.head:
            check(base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode() in self.head, self.head)

    def send(self, payload, opcode=2, fin=True, length=None):
        n = len(payload) if length is None else length
        head = bytes([(0x80 if fin else 0) | opcode])
        head += bytes([0x80 | n]) if n < 126 else struct.pack(">BH", 0xfe, n) if n < 65536 else struct.pack(">BQ", 0xff, n)
        mask = os.urandom(4)
        self.raw.sendall(head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload)))

    def recv(self):
        """(opcode, payload); None when the connection is closed."""
        head = read_exactly(self.raw, 2)
        if head is None:
            return None
        n = head[1] & 127
        check(not head[1] & 128, "the server does not mask")
        if n == 126:
            n = struct.unpack(">H", read_exactly(self.raw, 2))[0]
        elif n == 127:
            n = struct.unpack(">Q", read_exactly(self.raw, 8))[0]
        return head[0] & 15, read_exactly(self.raw, n) if n else b""

    def channels(self):
        """Everything until the end, by channel, and the close code."""
        out, code = {}, None
        while True:
            m = self.recv()
            if m is None:
                return out, code
            if m[0] == 8:
                code = struct.unpack(">H", m[1][:2])[0]
            elif m[0] == 2:
                out[m[1][0]] = out.get(m[1][0], b"") + m[1][1:]


NODE = None
EXEC = NS + "/pods/p/exec?container=c&command=cat&stdin=true&stdout=true"
V5 = "v5.channel.k8s.io"
TUNNEL = "SPDY/3.1+portforward.k8s.io"


def test_v5_is_translated(c, _):
    NODE.opened.clear()
    w = WebSocket(c, EXEC + "&stderr=true", V5 + ", v4.channel.k8s.io")
    equal(w.code, 101, w.head)
    check("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n" in w.head, w.head)
    equal(w.recv(), (2, b"\x01"), "says that it is connected")
    w.send(b"\x00hello ")
    w.send(b"\x00wor", fin=False)
    w.send(b"ld", opcode=0)
    w.send(b"\x01not for the process")
    w.send(b"\xff\x00")
    got, code = w.channels()
    equal((got[1], json.loads(got[3])["status"], code), (b"HELLO WORLD", "Success", 1000))
    equal(sorted(NODE.opened), ["error", "pong", "stderr", "stdin", "stdout"])
    head = NODE.heads[-1]
    check(head.startswith("POST /exec/default/p/c?command=cat&input=1&output=1&error=1 HTTP/1.1"), head)
    check("x-stream-protocol-version: v4.channel.k8s.io" in head, head)


def test_terminals_are_resized(c, _):
    NODE.opened.clear()
    w = WebSocket(c, EXEC + "&tty=true&stderr=true", V5)
    w.recv()
    w.send(b'\x04{"Width":80}')
    equal(w.recv(), (2, b'\x01<{"Width":80}>'))
    w.send(b"", opcode=9)
    equal(w.recv(), (10, b""), "a ping is answered")
    w.send(b"\xff\x00")
    equal(w.channels()[1], 1000)
    check("stderr" not in NODE.opened and "resize" in NODE.opened, NODE.opened)


def test_ends_of_all_kinds(c, _):
    got, code = WebSocket(c, NS + "/pods/p/exec?command=exit3&stdout=true", V5).channels()
    equal((json.loads(got[3])["details"]["causes"][0]["message"], code), ("3", 1000))
    got, code = WebSocket(c, NS + "/pods/p/exec?command=die&stdout=true", V5).channels()
    equal((json.loads(got[3])["status"], json.loads(got[3])["code"], code), ("Failure", 500, 1000))
    got, code = WebSocket(c, NS + "/pods/p/exec?command=big&stdout=true", V5).channels()
    equal((len(got[1]), set(got[1]), code), (64 * 65536, {ord("x")}, 1000))
    w = WebSocket(c, NS + "/pods/missing/exec?command=x&stdout=true", V5)
    equal(w.code, 400)
    check(w.raw.recv(65536).find(b"container not found") >= 0)


def test_large_input(c, _):
    w = WebSocket(c, EXEC, V5)
    data = os.urandom(1 << 20).hex().encode()
    threading.Thread(target=lambda: [w.send(b"\0" + data), w.send(b"\xff\0")], daemon=True).start()
    got, _ = w.channels()
    equal(got[1], data.upper())


def test_frames_have_bounds(c, _):
    for bad in ("length", "unmasked", "reserved"):
        w = WebSocket(c, EXEC, V5)
        w.recv()
        if bad == "length":
            w.send(b"\0", length=1 << 40)
        else:
            w.raw.sendall(b"\x82\x01\x00" if bad == "unmasked" else b"\xf2\x81\0\0\0\0\0")
        got, code = w.channels()
        equal(code, 1009 if bad == "length" else 1002, bad)


def test_port_forward_tunnel(c, _):
    w = WebSocket(c, NS + "/pods/p/portforward?ports=80", TUNNEL)
    equal(w.code, 101, w.head)
    check("Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n" in w.head, w.head)
    w.send(b"\x80\x03abc")
    equal(w.recv(), (2, b"cba\x03\x80"))
    head = NODE.heads[-1]
    check(head.startswith("POST /portForward/default/p?port=80 HTTP/1.1") and "x-stream-protocol-version: portforward.k8s.io" in head, head)
    w.send(struct.pack(">H", 1000), opcode=8)
    check(w.recv()[0] == 8)


def test_older_protocols_pass_as_bytes(c, _):
    w = WebSocket(c, EXEC, "v4.channel.k8s.io")
    equal(w.code, 101)
    w.raw.sendall(b"abc")
    equal(read_exactly(w.raw, 3), b"cba")
    check("sec-websocket-protocol: v4.channel.k8s.io" in NODE.heads[-1])
    raw = c.context.wrap_socket(socket.create_connection(("127.0.0.1", c.port), 20), server_hostname="localhost")
    raw.sendall(("POST %s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: portforward.k8s.io\r\n"
                 "Content-Length: 0\r\n\r\n" % (NS + "/pods/p/portforward")).encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += raw.recv(1)
    check(seen.startswith(b"HTTP/1.1 101"), seen)
    raw.sendall(b"xyz")
    equal(read_exactly(raw, 3), b"zyx")


def test_logs_come_as_messages(c, _):
    log = NS + "/pods/p/log?container=c"

    def messages(protocols, query=""):
        w, out = WebSocket(c, log + query, protocols), []
        equal(w.code, 101, w.head)
        while True:
            m = w.recv()
            if m[0] == 8:
                return w.head, out, struct.unpack(">H", m[1][:2])[0]
            out.append(m)
    head, out, code = messages("other, binary.k8s.io")
    check("Sec-WebSocket-Protocol: binary.k8s.io\r\n" in head, head)
    equal((b"".join(m[1] for m in out), {m[0] for m in out}, code), (b"container is alive\n", {2}, 1000))
    head, out, code = messages("base64.binary.k8s.io")
    check("Sec-WebSocket-Protocol: base64.binary.k8s.io\r\n" in head, head)
    equal((b"".join(base64.b64decode(m[1]) for m in out), {m[0] for m in out}, code), (b"container is alive\n", {1}, 1000))
    head, out, code = messages("", "&tailLines=7")
    check("Sec-WebSocket-Protocol" not in head, head)
    equal((sum(len(m[1]) for m in out), {m[0] for m in out}, code), (4 << 20, {2}, 1000))
    failed(c.request("GET", log, headers={
        "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "other"}), 403, "Forbidden", "not supported: [other]; supports [base64.binary.k8s.io binary.k8s.io]")
    equal(WebSocket(c, log.replace("container=c", "container=zz"), "binary.k8s.io").code, 400)
    equal(c.get(log).body, b"container is alive\n")


def test_a_log_that_nobody_reads_on_is_let_go(c, _):
    for hang_up in (False, True):
        before = len(NODE.followers_gone)
        w = WebSocket(c, NS + "/pods/p/log?container=c&follow=true", "binary.k8s.io")
        equal(w.recv(), (2, b"said\n"))
        if hang_up:
            w.raw.close()
        else:
            w.send(struct.pack(">H", 1000), opcode=8)
        wait_for(lambda: len(NODE.followers_gone) > before, "the node is left alone")


def test_refusals(c, server):
    failed(c.get(EXEC), 400, "BadRequest", "Upgrade request required")
    equal(WebSocket(c, EXEC, "v9.channel.k8s.io").code, 400)
    equal(WebSocket(c, EXEC.replace("container=c", "container=zz"), V5).code, 400)
    equal(WebSocket(c, EXEC.replace("/pods/p/", "/pods/nobody/"), V5).code, 404)


def test_verbs_of_connections(c, server):
    """A connection is "create", by POST and by GET; "get" is neither needed for it nor enough."""
    rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/"
    role = {"metadata": {"name": "r"}, "rules": [{
        "apiGroups": [""], "resources": ["pods/exec", "pods/attach", "pods/portforward"], "verbs": ["get"]}]}
    created(c.post(rbac + "roles", role))
    created(c.post(rbac + "rolebindings", {
        "metadata": {"name": "r"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "alice"}]}))
    alice = server.client("alice")
    paths = [(EXEC, V5), (EXEC.replace("/exec", "/attach"), V5), (NS + "/pods/p/portforward?ports=80", TUNNEL)]
    asked = {"spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods", "subresource": "exec", "name": "p"}}}
    wait_for(lambda: alice.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", asked).json["status"]["allowed"], "the role is known")
    for path, protocol in paths:
        equal(WebSocket(alice, path, protocol).code, 403, path)
        for answer in alice.get(path), alice.post(path, b""):
            failed(answer, 403, "Forbidden", 'cannot create resource "pods/')
    role["rules"][0]["verbs"] = ["create"]
    equal(c.put(rbac + "roles/r", role).code, 200)
    for path, protocol in paths:
        wait_for(lambda: alice.post(path, b"").code == 400, "the role is known")
        equal(WebSocket(alice, path, protocol).code, 101, path)
        failed(alice.get(path), 400, "BadRequest", "Upgrade request required")


def with_agent(server):
    """A node n1 whose agent is this process, with pods p and missing."""
    node, c = Node(server.pki), server.client()
    service_account(c)
    created(c.post("/api/v1/nodes", {"metadata": {"name": "n1"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": node.port}}}}))
    for name in ("p", "missing"):
        created(c.post(NS + "/pods", pod(name, nodeName="n1")))
    return node


def main():
    server = Server(sys.argv[1])

    def before():
        global NODE
        NODE = with_agent(server)
    return run_tests(server, globals(), sys.argv[2:], before)


if __name__ == "__main__":
    sys.exit(main())
