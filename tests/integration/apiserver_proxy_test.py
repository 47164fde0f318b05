#!/usr/bin/env python3
"""pods/proxy, services/proxy and nodes/proxy of a real API server, towards a real HTTP server on this host.

    apiserver_proxy_test.py BINARY [NAME…]
"""
import hashlib
import http.server
import json
import socket
import ssl
import sys
import threading
import time

from apiserver_lib import Server, run_tests
from apiserver_test import NS, check, created, equal, failed, pod, service_account


def host_ip():
    """An address of this host that is not a loopback one, to which requests may be proxied; None: there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        try:
            s.connect(("192.0.2.1", 9))
        except OSError:
            return None
        ip = s.getsockname()[0]
        return None if ip.startswith("127.") else ip


class Backend(http.server.BaseHTTPRequestHandler):
    """Says what it was asked; /redirect, /stream, /sum and upgrades."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, code, body, **headers):
        self.send_response(code)
        for k, v in headers.items():
            self.send_header(k.replace("_", "-"), v)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            data = b""
            while True:
                n = int(self.rfile.readline(), 16)
                data += self.rfile.read(n)
                self.rfile.readline()
                if n == 0:
                    return data
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def any(self):
        if self.headers.get("Upgrade"):
            saw = json.dumps(sorted(self.headers.items())).encode()
            self.connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nX-Saw: %s\r\n\r\n" % saw)
            while True:
                data = self.connection.recv(4096)
                if not data:
                    self.close_connection = True
                    return
                self.connection.sendall(data.upper())
        body = self.body()
        if self.path.startswith("/redirect"):
            self.answer(302, b"", Location=self.path.split("?to=")[1])
        elif self.path == "/sum":
            self.answer(200, hashlib.sha256(body).hexdigest().encode())
        elif self.path == "/stream":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for i in range(3):
                self.wfile.write(b"6\r\npiece%d\r\n" % i)
                self.wfile.flush()
                if i == 0:
                    self.server.go_on.wait(10)
            self.wfile.write(b"0\r\n\r\n")
        else:
            said = {"method": self.command, "path": self.path, "body": body.decode("latin1"),
                    "headers": {k.lower(): v for k, v in self.headers.items()}}
            self.answer(418 if self.path == "/teapot" else 200, json.dumps(said).encode(), X_Backend="yes", Set_Cookie="a=b")

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = any


class World:
    """The API server, and pods, a service and a node that lead to the backend."""

    def __init__(self, server, ip):
        self.server, self.ip = server, ip
        self.plain = http.server.ThreadingHTTPServer((ip, 0), Backend)
        self.secure = http.server.ThreadingHTTPServer((ip, 0), Backend)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.pki.path("server.crt"), server.pki.path("server.key"))
        self.secure.socket = context.wrap_socket(self.secure.socket, server_side=True)
        for s in (self.plain, self.secure):
            s.daemon_threads = True
            s.go_on = threading.Event()
            threading.Thread(target=s.serve_forever, daemon=True).start()
        self.http, self.https = self.plain.server_address[1], self.secure.server_address[1]

    def populate(self, c):
        service_account(c)
        p = pod("web", nodeName="n1")
        p["spec"]["containers"][0]["ports"] = [{"containerPort": self.http}]
        created(c.post(NS + "/pods", p))
        created(c.post(NS + "/pods", pod("nowhere")))
        equal(c.put(NS + "/pods/web/status", dict(c.get(NS + "/pods/web").json, status={
            "phase": "Running", "podIP": self.ip, "podIPs": [{"ip": self.ip}]})).code, 200)
        created(c.post(NS + "/services", {"metadata": {"name": "web"}, "spec": {"ports": [
            {"name": "http", "port": 80, "targetPort": self.http}, {"name": "tls", "port": 443, "targetPort": self.https}]}}))
        created(c.post(NS + "/services", {"metadata": {"name": "empty"}, "spec": {"ports": [{"port": 80}]}}))
        def endpoint(name):
            return {"addresses": [self.ip], "conditions": {"ready": True},
                    "targetRef": {"kind": "Pod", "name": name, "namespace": "default"}}
        ports = [{"name": "http", "port": self.http, "protocol": "TCP"}, {"name": "tls", "port": self.https, "protocol": "TCP"}]
        slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        created(c.post(slices, {"metadata": {"name": "web-1", "labels": {"kubernetes.io/service-name": "web"}},
                                "addressType": "IPv4", "endpoints": [endpoint("web")], "ports": ports}))
        created(c.post(slices, {"metadata": {"name": "forged", "labels": {"kubernetes.io/service-name": "empty"}},
                                "addressType": "IPv4", "endpoints": [endpoint("nowhere")], "ports": [{"port": self.http}]}))
        created(c.post("/api/v1/nodes", {"metadata": {"name": "n1"}, "status": {
            "addresses": [{"type": "InternalIP", "address": self.ip}], "daemonEndpoints": {"kubeletEndpoint": {"Port": self.https}}}}))


WORLD = None
POD = NS + "/pods/web/proxy"


def test_a_request_goes_through_as_it_is(c, _):
    a = c.post(POD + "/a%20b//c/?x=1&y=%2F", "hello", content_type="text/weird", headers={"X-Mine": "1", "Cookie": "k=v"})
    equal(a.code, 200, a)
    said = a.json
    equal((said["method"], said["path"], said["body"]), ("POST", "/a%20b//c/?x=1&y=%2F", "hello"))
    h = said["headers"]
    equal((h["content-type"], h["x-mine"], h["cookie"], h["content-length"]), ("text/weird", "1", "k=v", "5"))
    equal((h["x-forwarded-uri"], h["x-forwarded-proto"]), (POD + "/a%20b//c/", "https"))
    check("authorization" not in h)
    h = c.get(POD + "/x", headers={"Proxy-Authorization": "Basic eDp5", "X-Hop": "1", "X-End": "2", "Connection": "close, X-Hop"}).json["headers"]
    equal([k for k in ("proxy-authorization", "x-hop", "x-end") if k in h], ["x-end"])
    equal((a.headers["X-Backend"], a.headers["Set-Cookie"]), ("yes", "a=b"))


def carol(server):
    """A client by a token, who may everything."""
    c = server.client(user=None, token="sekret")
    server.client().post("/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", {
        "metadata": {"name": "carol"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "carol"}]})
    deadline = time.monotonic() + 60
    while (a := c.get(POD + "/x")).code != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    equal(a.code, 200, a)
    return c


def test_credentials_stay_here(_, server):
    check("authorization" not in carol(server).get(POD + "/x").json["headers"])


def test_every_method_and_status(c, _):
    for method in ("GET", "PUT", "PATCH", "DELETE", "OPTIONS"):
        equal(c.request(method, POD + "/m").json["method"], method)
    equal(c.request("HEAD", POD + "/m").code, 200)
    equal(c.get(POD + "/teapot").code, 418)


def test_a_path_without_a_slash_is_completed(c, _):
    a = c.get(POD + "?q=1")
    equal((a.code, a.headers["Location"]), (301, POD + "/?q=1"))
    equal(c.get(POD + "/").json["path"], "/")
    equal(c.post(POD, "x").json["path"], "/")


def test_redirects_lead_back_through_the_proxy(c, _):
    for to, want in (("/there", POD + "/there"), ("there", "there"), ("http://%s:%d/abs?x=1" % (WORLD.ip, WORLD.http), POD + "/abs?x=1"),
                     ("http://example.com/", "http://example.com/"),
                     ("http://%s:%d9/other" % (WORLD.ip, WORLD.http), "http://%s:%d9/other" % (WORLD.ip, WORLD.http)), (POD + "/in", POD + "/in")):
        a = c.get(POD + "/redirect?to=" + to)
        equal((a.code, a.headers["Location"]), (302, want))


def test_large_bodies_in_both_ways(c, _):
    big = b"0123456789abcdef" * (5 << 16)  # 5 MiB, beyond what the API server takes itself
    want = hashlib.sha256(big).hexdigest()
    equal(c.post(POD + "/sum", big).body.decode(), want)
    pieces = (big[i:i + 65536] for i in range(0, len(big), 65536))
    connection = c.connect()
    connection.request("PUT", POD + "/sum", body=pieces, encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    equal(connection.getresponse().read().decode(), want)
    a = c.post(POD + "/back", big)
    equal(len(a.json["body"]), len(big))


def test_answers_come_as_they_are_made(c, _):
    WORLD.plain.go_on.clear()
    connection = c.connect()
    connection.request("GET", POD + "/stream")
    r = connection.getresponse()
    equal(r.read(6), b"piece0")
    WORLD.plain.go_on.set()
    equal(r.read(), b"piece1piece2")


def test_headers_that_name_users_stay_here(c, _):
    """They mean something only where a front proxy says them."""
    saw = c.get(POD + "/x", headers={"X-Remote-User": "root", "X-Remote-Group": "system:masters", "X-Remote-Extra-A": "b", "X-Other": "y"}).json["headers"]
    equal({k: v for k, v in saw.items() if k.startswith("x-remote") or k == "x-other"}, {"x-other": "y"})
    raw = c.context.wrap_socket(socket.create_connection(("127.0.0.1", c.port), 10), server_hostname="localhost")
    raw.sendall(("GET %s/up HTTP/1.1\r\nHost: x\r\nX-Remote-User: root\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" % POD).encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += raw.recv(4096)
    raw.close()
    check(b"X-Saw" in seen and b"emote" not in seen, seen)


def test_an_upgrade_becomes_a_tunnel(c, _):
    raw = c.context.wrap_socket(socket.create_connection(("127.0.0.1", c.port), 10), server_hostname="localhost")
    raw.sendall(("GET %s/up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n" % POD).encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        seen += raw.recv(4096)
    check(seen.startswith(b"HTTP/1.1 101 "), seen)
    raw.sendall(b"hello")
    equal(raw.recv(4096), b"HELLO")
    raw.close()


def test_an_upgrade_takes_no_credentials_along(c, server):
    """A browser's token stands among the subprotocols (kube-apiserver takes it out, too)."""
    carol(server)
    secret = "base64url.bearer.authorization.k8s.io.c2VrcmV0"
    nobody = server.client(user=None)
    raw = nobody.context.wrap_socket(socket.create_connection(("127.0.0.1", nobody.port), 10), server_hostname="localhost")
    raw.sendall(("GET %s/up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                 "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: a, %s\r\nSec-WebSocket-Protocol: b\r\n"
                 "Proxy-Authorization: Basic eDp5\r\n\r\n" % (POD, secret)).encode())
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = raw.recv(4096)
        check(piece, seen)
        seen += piece
    raw.close()
    check(seen.startswith(b"HTTP/1.1 101 "), seen)
    saw = json.loads(seen.split(b"X-Saw: ")[1].split(b"\r\n")[0])
    equal([v for k, v in saw if k.lower() == "sec-websocket-protocol"], ["a", "b"])
    check("authorization" not in str(saw).lower(), saw)


def test_names_with_schemes_and_ports(c, _):
    equal(c.get(NS + "/pods/web:%d/proxy/p" % WORLD.http).json["path"], "/p")
    equal(c.get(NS + "/pods/https:web:%d/proxy/p" % WORLD.https).json["path"], "/p")
    equal(c.get(NS + "/services/web:http/proxy/s").json["path"], "/s")
    equal(c.get(NS + "/services/web:80/proxy/s").json["path"], "/s")
    equal(c.get(NS + "/services/https:web:443/proxy/s").json["path"], "/s")
    equal(c.get(NS + "/services/https:web:tls/proxy/s").json["path"], "/s")
    equal(c.get("/api/v1/nodes/n1/proxy/n").json["path"], "/n")
    equal(c.get("/api/v1/nodes/http:n1:%d/proxy/n" % WORLD.http).json["path"], "/n")


def test_refusals(c, server):
    for name in ("ftp:web:80", "a:b:c:d", ":80"):
        failed(c.get(NS + "/pods/%s/proxy/" % name), 400, "BadRequest", 'invalid pod request "%s"' % name)
    failed(c.get(NS + "/services/x:y:z/proxy/"), 400, "BadRequest", 'invalid service request "x:y:z"')
    failed(c.get(NS + "/pods/none/proxy/"), 404, "NotFound", 'pods "none" not found')
    failed(c.get(NS + "/services/none/proxy/"), 404, "NotFound", 'services "none" not found')
    failed(c.get("/api/v1/nodes/none/proxy/"), 404, "NotFound", 'nodes "none" not found')
    failed(c.get(NS + "/pods/nowhere/proxy/"), 400, "BadRequest", "address not allowed")
    failed(c.get(NS + "/services/web:81/proxy/"), 503, "ServiceUnavailable", 'no service port 81 found for service "web"')
    failed(c.get(NS + "/services/web/proxy/"), 503, "ServiceUnavailable", 'no endpoints available for service "web"')
    failed(c.get(NS + "/services/empty/proxy/"), 503, "ServiceUnavailable", 'no endpoints available for service "empty"')
    failed(c.get(NS + "/pods/web:1/proxy/"), 503, "ServiceUnavailable", "error trying to reach service: ")
    failed(c.post(NS + "/pods/web:1/proxy/", b"x" * (4 << 20)), 503, "ServiceUnavailable", "error trying to reach service: ")
    alice = server.client("alice")
    failed(alice.get(POD + "/"), 403, "Forbidden", 'cannot get resource "pods/proxy"')
    failed(alice.post(POD + "/", b"x" * 100), 403, "Forbidden", 'cannot create resource "pods/proxy"')
    # A name that only looks like a proxy path is none.
    created(c.post(NS + "/configmaps", {"metadata": {"name": "proxy"}}))
    equal(c.patch(NS + "/configmaps/proxy", {"data": {"a": "b"}}, "merge-patch").json["data"], {"a": "b"})


def main():
    global WORLD
    ip = host_ip()
    if not ip:
        print("skipped: this host has no address but loopback")
        return 77
    server = Server(sys.argv[1])

    def before():
        global WORLD
        WORLD = World(server, ip)
        WORLD.populate(server.client())
    return run_tests(server, globals(), sys.argv[2:], before)


if __name__ == "__main__":
    sys.exit(main())
