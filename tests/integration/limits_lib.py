"""For limits_test.py: a member of its own, and clients that keep to no rules: HTTP/2 frames by hand, gRPC by bytes."""
import http.client
import json
import os
import random
import re
import resource
import socket
import struct
import subprocess
import tempfile
import time

from ports import free_ports

try:
    import grpc
except ImportError:  # python3-grpcio comes with python3-etcd3 where the distribution has it
    grpc = None

# --- protobuf by hand ---


def varint(n):
    out = bytearray()
    while True:
        out.append(n & 127 | (128 if n > 127 else 0))
        n >>= 7
        if not n:
            return bytes(out)


def field(number, value):
    """An integer or a length-delimited field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def put(key, value=b"v"):
    return field(1, key) + field(2, value)


def in_request_op(number, request):
    return field(number, request)


# --- HTTP/2 by hand ---

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS = 1, 1, 4
ENHANCE_YOUR_CALM = 11


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header, neither indexed nor compressed."""
    out = b"\0"
    for text in (name, value):
        text = text if isinstance(text, bytes) else text.encode()
        if len(text) < 127:
            out += bytes([len(text)])
        else:
            out += b"\x7f" + varint(len(text) - 127)
        out += text
    return out


def grpc_headers(path, more=()):
    pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "x"),
             ("content-type", "application/grpc"), ("te", "trailers")] + list(more)
    return b"".join(literal(n, v) for n, v in pairs)


def message(body, announced=None):
    return b"\0" + struct.pack(">I", len(body) if announced is None else announced) + body


class Raw:
    """A connection that says what it is told to; what comes back is read only when asked for."""

    def __init__(self, port, settings=b"", h2=True, receive=None, tls=None):
        """`tls`: an ssl.SSLContext that offers h2 or http/1.1 itself."""
        self.sock = socket.socket()
        if receive:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.sock.settimeout(60)
        self.sock.connect(("127.0.0.1", port))
        if tls:
            self.sock = tls.wrap_socket(self.sock)
        self.buffer = b""
        if h2:
            self.send(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(SETTINGS, ACK, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def send(self, data):
        """False when the server has closed, or takes nothing for a while."""
        try:
            self.sock.sendall(data)
            return True
        except OSError:
            return False

    def request(self, stream, path, body, end=True, more=()):
        body = message(body)
        pieces = [body[i:i + 16384] for i in range(0, len(body), 16384)]
        return self.send(frame(HEADERS, END_HEADERS, stream, grpc_headers(path, more)) + b"".join(
            frame(DATA, END_STREAM if end and p is pieces[-1] else 0, stream, p) for p in pieces))

    def frames(self, seconds):
        """All that come within so long, or until the end: the last is None if the server closed."""
        deadline = time.monotonic() + seconds
        while True:
            while len(self.buffer) >= 9:
                n = int.from_bytes(self.buffer[:3], "big")
                if len(self.buffer) < 9 + n:
                    break
                kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
                payload, self.buffer = self.buffer[9:9 + n], self.buffer[9 + n:]
                yield kind, flags, stream, payload
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self.sock.settimeout(left)
            try:
                data = self.sock.recv(1 << 16)
            except socket.timeout:
                return
            except OSError:
                data = b""
            if not data:
                yield None
                return
            self.buffer += data

    def sent_away(self, seconds=60):
        """(the error of GOAWAY or None, whether the connection ended)."""
        error = None
        for f in self.frames(seconds):
            if f is None:
                return error, True
            if f[0] == GOAWAY:
                error = struct.unpack(">I", f[3][4:8])[0]
                if error:
                    return error, True
        return error, False

    def answer(self, stream, seconds=60):
        """The kinds of frames that came for a stream until it ended, and the bytes of data; None: it did not end."""
        kinds, data = [], 0
        for f in self.frames(seconds):
            if f is None:
                return None
            if f[2] == stream:
                kinds.append(f[0])
                data += len(f[3]) if f[0] == DATA else 0
                if f[0] == RST_STREAM or f[0] in (DATA, HEADERS) and f[1] & END_STREAM:
                    return kinds, data
        return None

    def closed(self, seconds):
        for f in self.frames(seconds):
            if f is None:
                return True
        return False


# --- a member ---


class Member:
    def __init__(self, bin_dir, *flags, files=None, ready=None):
        self.client, self.peer, self.metrics = free_ports(3)
        self.directory = tempfile.TemporaryDirectory()
        self.log = os.path.join(self.directory.name, "log")
        url = f"http://127.0.0.1:{self.client}"
        peer = f"http://127.0.0.1:{self.peer}"
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))) if files else None
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [os.path.join(bin_dir, "c8s-apiserver"), "--store-only", "--name", "m", "--data-dir",
                 self.directory.name + "/data", "--listen-client-urls", url, "--advertise-client-urls", url,
                 "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "m=" + peer,
                 "--listen-metrics-urls", f"http://127.0.0.1:{self.metrics}", *flags],
                stderr=log, preexec_fn=limit)
        self.client = ready or self.client
        deadline = time.monotonic() + 60
        while not self.serves(1):
            assert time.monotonic() < deadline and self.process.poll() is None, self.logged()
            time.sleep(0.1)

    def logged(self):
        with open(self.log, encoding="utf-8", errors="replace") as f:
            return f.read()

    def json(self, path, body, timeout=20):
        """(HTTP status, answer) of the JSON gateway; bytes are sent as they are."""
        c = http.client.HTTPConnection("127.0.0.1", self.client, timeout=timeout)
        try:
            c.request("POST", path, body if isinstance(body, bytes) else json.dumps(body),
                      {"content-type": "application/json"})
            r = c.getresponse()
            return r.status, r.read()
        finally:
            c.close()

    def serves(self, timeout=20):
        try:
            return (self.json("/v3/kv/put", {"key": "YWxpdmU=", "value": "MQ=="}, timeout)[0] == 200 and
                    b'"MQ=="' in self.json("/v3/kv/range", {"key": "YWxpdmU="}, timeout)[1])
        except (OSError, http.client.HTTPException):
            return False

    def rss_mb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) // 1024

    def sanitized(self):
        with open(f"/proc/{self.process.pid}/maps", encoding="ascii") as f:
            return "libasan" in f.read()

    def files(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def call(self, path, body, timeout=30):
        """A unary call by gRPC: (code, message)."""
        with grpc.insecure_channel(f"127.0.0.1:{self.client}", [("grpc.max_send_message_length", -1),
                                                                ("grpc.max_receive_message_length", -1)]) as channel:
            try:
                return 0, channel.unary_unary(path)(body, timeout=timeout)
            except grpc.RpcError as e:
                return e.code().value[0], e.details()

    def stop(self):
        self.process.terminate()
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = "no answer to SIGTERM"
        self.directory.cleanup()
        return code


def random_bytes(seed, n):
    return random.Random(seed).randbytes(n)
