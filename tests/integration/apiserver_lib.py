"""A real c8s-apiserver for tests: certificates, process, and a small HTTPS client.

No packages beyond Python's own. Every wait has a deadline and names what it waits for.

With C8S_THROUGH=follower in the environment, what a test gets as its server is three members, and the test
speaks to one that does not lead (with "leader", to the one that does; see Through).
"""
import http.client
import json
import os
import shutil
import signal
import ssl
import struct
import subprocess
import tempfile
import time
import traceback

from ports import free_port


def openssl(*args, data=None):
    subprocess.run(["openssl", *args], check=True, input=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


class Pki:
    """A CA, a server certificate and client certificates, in a directory."""

    def __init__(self, directory):
        self.dir = directory
        self.ca("ca")
        self.ca("other-ca")
        self.cert("server", "/CN=kube-apiserver", "subjectAltName=IP:127.0.0.1,DNS:localhost\n")
        self.client("admin", "/O=system:masters/CN=admin")
        self.client("alice", "/O=dev/CN=alice")
        self.client("stranger", "/O=system:masters/CN=stranger", ca="other-ca")
        openssl("genrsa", "-out", self.path("sa.key"), "2048")
        openssl("rsa", "-in", self.path("sa.key"), "-pubout", "-out", self.path("sa.pub"))
        with open(self.path("tokens.csv"), "w") as f:
            f.write('sekret,carol,u-1,"dev,ops"\n')

    def path(self, name):
        return os.path.join(self.dir, name)

    def key(self, name):
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", self.path(name + ".key"))

    def ca(self, name):
        self.key(name)
        openssl("req", "-x509", "-new", "-key", self.path(name + ".key"), "-out", self.path(name + ".crt"),
                "-days", "30", "-subj", "/CN=" + name)

    def cert(self, name, subject, extensions, ca="ca"):
        self.key(name)
        openssl("req", "-new", "-key", self.path(name + ".key"), "-out", self.path(name + ".csr"), "-subj", subject)
        with open(self.path(name + ".ext"), "w") as f:
            f.write(extensions)
        openssl("x509", "-req", "-in", self.path(name + ".csr"), "-CA", self.path(ca + ".crt"), "-CAkey",
                self.path(ca + ".key"), "-CAcreateserial", "-days", "30", "-out", self.path(name + ".crt"),
                "-extfile", self.path(name + ".ext"))

    def client(self, name, subject, ca="ca"):
        self.cert(name, subject, "extendedKeyUsage=clientAuth\n", ca)


class Answer:
    def __init__(self, code, headers, body):
        self.code, self.headers, self.body = code, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return "HTTP %d %s" % (self.code, self.body[:600])


class Client:
    def __init__(self, port, pki, user="admin", token=None):
        self.port, self.token = port, token
        self.context = ssl.create_default_context(cafile=pki.path("ca.crt"))
        if user:
            self.context.load_cert_chain(pki.path(user + ".crt"), pki.path(user + ".key"))

    def connect(self, timeout=60):
        return http.client.HTTPSConnection("127.0.0.1", self.port, context=self.context, timeout=timeout)

    def request(self, method, path, body=None, content_type="application/json", accept=None, headers=None):
        h = dict(headers or {})
        if accept:
            h["Accept"] = accept
        if self.token:
            h["Authorization"] = "Bearer " + self.token
        if body is not None:
            if content_type is not None:
                h["Content-Type"] = content_type
            if not isinstance(body, (bytes, str)):
                body = json.dumps(body)
        c = self.connect()
        try:
            c.request(method, path, body=body, headers=h)
            r = c.getresponse()
            return Answer(r.status, r.headers, r.read())
        finally:
            c.close()

    def get(self, path, **kw):
        return self.request("GET", path, **kw)

    def post(self, path, body, **kw):
        return self.request("POST", path, body, **kw)

    def put(self, path, body, **kw):
        return self.request("PUT", path, body, **kw)

    def delete(self, path, body=None, **kw):
        return self.request("DELETE", path, body, **kw)

    def patch(self, path, body, kind="strategic-merge-patch", **kw):
        return self.request("PATCH", path, body, content_type="application/%s+json" % kind, **kw)

    def watch(self, path, accept=None, timeout=60):
        return Watch(self, path, accept, timeout)


class Watch:
    """Events of a watch stream, one by one."""

    def __init__(self, client, path, accept, timeout):
        self.connection = client.connect(timeout)
        headers = {"Accept": accept} if accept else {}
        if client.token:
            headers["Authorization"] = "Bearer " + client.token
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        self.code = self.response.status

    def next(self):
        """The next event; None at the end of the stream; socket.timeout when nothing comes."""
        line = self.response.readline()
        return json.loads(line) if line.strip() else None

    def next_frame(self):
        head = self.response.read(4)
        return self.response.read(struct.unpack(">I", head)[0]) if len(head) == 4 else None

    def close(self):
        self.connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Member:
    """One member: alone with a store of its own, or of a cluster (see Cluster)."""

    def __init__(self, binary, flags=(), name="m1", pki=None, address="127.0.0.1"):
        self.binary, self.flags, self.name, self.address = binary, list(flags), name, address
        self.dir = tempfile.mkdtemp(prefix="c8s-apiserver-test-")
        self.pki = pki or Pki(self.dir)
        self.port = free_port()
        self.client_port = free_port()
        self.addresses = [address]  # that the service `kubernetes` leads to
        self.process = None

    def start(self, wait=True):
        p = self.pki.path
        args = [self.binary, "--name=" + self.name, "--data-dir=" + os.path.join(self.dir, "store"),
                "--bind-address=127.0.0.1", "--secure-port=%d" % self.port, "--advertise-address=" + self.address,
                "--listen-client-urls=http://127.0.0.1:%d" % self.client_port,
                "--advertise-client-urls=http://127.0.0.1:%d" % self.client_port,
                "--tls-cert-file=" + p("server.crt"), "--tls-private-key-file=" + p("server.key"),
                "--client-ca-file=" + p("ca.crt"), "--service-account-key-file=" + p("sa.pub"),
                "--service-account-signing-key-file=" + p("sa.key"), "--token-auth-file=" + p("tokens.csv"), *self.flags]
        with open(self.log_path(), "ab") as log:
            self.process = subprocess.Popen(args, stdout=log, stderr=log)
        if wait:
            self.wait_ready()

    def log_path(self):
        return os.path.join(self.dir, "log")

    def wait_ready(self, seconds=60):
        client = Client(self.port, self.pki)
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                if client.get("/readyz").code == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise AssertionError("server is not ready; its log ends:\n" + self.log_tail())

    def log_tail(self):
        with open(self.log_path(), errors="replace") as f:
            return "".join(f.readlines()[-40:])

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Graceful; returns the exit code (sanitizers report through it)."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def client(self, user="admin", token=None):
        return Client(self.port, self.pki, user, token)


class Cluster:
    """Members m1, m2, … with one CA; their advertised addresses are 127.0.0.1, 127.0.0.2, …"""

    def __init__(self, binary, size, flags=()):
        peers = [free_port() for _ in range(size)]
        everyone = ",".join("m%d=http://127.0.0.1:%d" % (i + 1, port) for i, port in enumerate(peers))
        self.members = []
        for i, port in enumerate(peers):
            url = "http://127.0.0.1:%d" % port
            own = ["--listen-peer-urls=" + url, "--initial-advertise-peer-urls=" + url, "--initial-cluster=" + everyone]
            pki = self.members[0].pki if self.members else None
            self.members.append(Member(binary, [*own, *flags], "m%d" % (i + 1), pki, "127.0.0.%d" % (i + 1)))

    def start(self):
        """Those that do not run; returns when all are ready."""
        started = [m for m in self.members if m.process is None or m.process.poll() is not None]
        for m in started:
            m.start(wait=False)
        for m in started:
            m.wait_ready()

    def remove(self):
        for m in reversed(self.members):
            m.remove()


def maintenance(member, call, body):
    """A call of the store's Maintenance service at a member, by its JSON gateway."""
    c = http.client.HTTPConnection("127.0.0.1", member.client_port, timeout=30)
    try:
        c.request("POST", "/v3/maintenance/" + call, body=json.dumps(body))
        return json.loads(c.getresponse().read())
    finally:
        c.close()


def leads(member):
    status = maintenance(member, "status", {})
    return status["leader"] == status["header"]["member_id"]


def move_leader(members, target=None):
    """The leadership goes to `target`, or to the member after the one that has it. Between two leaders, nothing happens."""
    try:
        status = [maintenance(m, "status", {}) for m in members]
        ids = [s["header"]["member_id"] for s in status]
        at = next(i for i, s in enumerate(status) if s["leader"] == ids[i])
        to = ids[members.index(target) if target else (at + 1) % len(members)]
        if to != ids[at]:
            maintenance(members[at], "transfer-leadership", {"targetID": to})
    except (OSError, http.client.HTTPException, StopIteration, ValueError, KeyError):
        pass


class Through(Cluster):
    """Three members that look like one server: the test speaks to the last one, which leads or does not, as `mode` says.

    What is done to the server is done to all: flags, kill, stop, start. The ports stay the same over a restart."""

    def __init__(self, binary, mode, flags=()):
        assert mode in ("leader", "follower"), mode
        super().__init__(binary, 3)
        self.binary, self.mode, self.flags = binary, mode, list(flags)
        self.front = self.members[2]
        self.own_flags = [m.flags for m in self.members]
        self.pki, self.port, self.client_port = self.front.pki, self.front.port, self.front.client_port
        self.name, self.address, self.dir = self.front.name, self.front.address, self.front.dir

    @property
    def process(self):
        return self.front.process

    @property
    def addresses(self):
        return [m.address for m in self.members]

    def start(self):
        for m, own in zip(self.members, self.own_flags):
            m.flags = own + self.flags
        super().start()
        self.settle()

    def settle(self, seconds=60):
        """The front leads, or does not, as the mode says (an election may have changed it)."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                if any(leads(m) for m in self.members) and leads(self.front) == (self.mode == "leader"):
                    return
            except (OSError, http.client.HTTPException, ValueError, KeyError):
                pass
            move_leader(self.members, self.front if self.mode == "leader" else self.members[0])
            time.sleep(0.05)
        raise AssertionError("%s does not come to be a %s; its log ends:\n%s" % (self.name, self.mode, self.log_tail()))

    def wait_ready(self, seconds=60):
        for m in self.members:
            m.wait_ready(seconds)

    def log_path(self):
        return self.front.log_path()

    def log_tail(self):
        return "".join("== %s\n%s" % (m.name, m.log_tail()) for m in self.members)

    def kill(self):
        for m in self.members:
            m.kill()

    def stop(self):
        """The front gracefully: its exit code. The others would wait for a majority: they are killed."""
        code = self.front.stop()
        for m in self.members[:2]:
            m.kill()
        return code

    def client(self, user="admin", token=None):
        return self.front.client(user, token)


def Server(binary, flags=()):
    """What a test starts as its server: one member, or as C8S_THROUGH says."""
    mode = os.environ.get("C8S_THROUGH")
    return Through(binary, mode, flags) if mode else Member(binary, flags)


def settle(server):
    """Before a test: the server is what C8S_THROUGH says."""
    if isinstance(server, Through):
        server.settle()


def run_tests(server, names, wanted, before=None):
    """Start the server, run every test_… of `names` (a module's globals) whose name contains one of `wanted`, stop it. `before` is called
    once the server is ready; the tests that it returns, if any, pairs of name and function, are run after the others.

    Tests take a client and the server. The exit code: 0 when all passed and the server ended well."""
    tests = sorted((n, f) for n, f in names.items() if n.startswith("test_"))
    tests = [(n, f) for n, f in tests if not wanted or any(w in n for w in wanted)]
    bad = 0
    try:
        server.start()
        if before:
            tests += before() or []
        for name, run in tests:
            settle(server)
            started = time.monotonic()
            try:
                run(server.client(), server)
                print("ok   %-45s %.2f s" % (name, time.monotonic() - started), flush=True)
            except Exception:
                bad += 1
                print("FAIL %s" % name, flush=True)
                traceback.print_exc(limit=4)
                if server.process.poll() is not None:
                    print(server.log_tail())
                    server.start()
        if server.stop() != 0:
            bad += 1
            print("FAIL the server's exit code\n" + server.log_tail())
    finally:
        server.remove()
    print("%d passed, %d failed" % (len(tests) - bad, bad))
    return 1 if bad else 0


def fetched_kubectls():
    """kubectl of three versions, where tests/e2e has put them."""
    directory = os.environ.get("C8S_KUBECTL_DIR", "/var/cache/c8s-test-clients")
    paths = [os.path.join(directory, "v%d" % minor, "kubectl/kubectl") for minor in (22, 29, 35)]
    for path in paths:
        if not os.path.exists(path):
            print("no %s: not asked" % path)
    return [p for p in paths if os.path.exists(p)]
