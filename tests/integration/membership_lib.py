"""Members as processes, etcdctl to drive them, and a write load whose acknowledged writes are all checked: what the
tests of membership and of rolling upgrades stand on.

Every member has a loopback address of its own (127.A.B.N, drawn from the process id), so that ports never collide and
each can have a peer certificate of its own.
"""
import base64
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

JOBS = 3  # scenarios at once: they mostly wait
WAIT_S = 60  # for a condition; generous, since machines are slow
failures = []
clusters = []  # all that are up: closed whatever happens


def check(name, ok, detail=""):
    print(("ok   " if ok else "FAIL ") + name + ("" if ok else f"\n  {detail}"), flush=True)
    if not ok:
        failures.append(name)


def wait_for(what, condition, seconds=WAIT_S):
    """Poll until `condition` gives something true, which is returned; a failure when it never does."""
    deadline = time.monotonic() + seconds
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
        except (OSError, RuntimeError, http.client.HTTPException, ValueError) as e:
            last = None
            error = e
        else:
            error = None
        if last:
            return last
        time.sleep(0.05)
    raise RuntimeError(f"waited {seconds} s for: {what} ({error or last})")


class Dead(Exception):
    """Waiting longer is of no use."""


class Member:
    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.name = f"m{number}"
        self.ip = f"127.{cluster.net}.{number}"
        self.peer_port = 2380
        self.dir = os.path.join(cluster.dir, self.name)
        self.log = os.path.join(cluster.dir, f"{self.name}.log")
        self.process = None
        self.args = []
        self.env = {}
        self.program = cluster.program
        self.learner = False

    @property
    def client(self):
        return f"{self.ip}:2379"

    @property
    def peer_url(self):
        return f"{'https' if self.cluster.tls else 'http'}://{self.ip}:{self.peer_port}"

    def start(self, members=None, state=None, args=()):
        """`members`: who --initial-cluster names; `state`: --initial-cluster-state."""
        c = self.cluster
        client = f"http://{self.client}"
        command = [self.program, "--store-only", "--name", self.name, "--data-dir", self.dir, "--listen-client-urls",
                   client, "--advertise-client-urls", client, "--listen-peer-urls", self.peer_url,
                   "--initial-advertise-peer-urls", self.peer_url, "--initial-cluster-token", "membership"]
        if members:
            command += ["--initial-cluster", ",".join(f"{m.name}={m.peer_url}" for m in members)]
        if state:
            command += ["--initial-cluster-state", state]
        if c.tls:
            mine = os.path.join(c.dir, self.name)
            command += ["--peer-cert-file", mine + ".crt", "--peer-key-file", mine + ".key", "--peer-trusted-ca-file",
                        os.path.join(c.dir, "ca.crt"), "--peer-client-cert-auth"]
        self.command = command + c.args + list(self.args) + list(args)
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=dict(os.environ, **self.env))
        return self

    def restart(self):
        """As it was started last."""
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=dict(os.environ, **self.env))

    def running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, number):
        if self.running():
            self.process.send_signal(number)
        return self.process.wait(WAIT_S) if self.process else None

    def kill(self):
        return self.end(signal.SIGKILL)

    def stop(self):
        return self.end(signal.SIGTERM)

    def exit_code(self):
        """Waits for the process to end by itself."""
        try:
            return self.process.wait(WAIT_S)
        except subprocess.TimeoutExpired:
            return None

    def wipe(self):
        shutil.rmtree(self.dir)

    def said(self, pattern):
        return os.path.exists(self.log) and re.search(pattern, open(self.log).read())

    def post(self, path, body=None, timeout=30):
        """(HTTP status, answer) of the JSON gateway."""
        c = http.client.HTTPConnection(self.ip, 2379, timeout=timeout)
        try:
            c.request("POST", path, json.dumps(body or {}))
            r = c.getresponse()
            return r.status, json.loads(r.read())
        finally:
            c.close()

    def get(self, path, timeout=30):
        c = http.client.HTTPConnection(self.ip, 2379, timeout=timeout)
        try:
            c.request("GET", path)
            return c.getresponse().read().decode()
        finally:
            c.close()

    def status(self):
        """Maintenance.Status with numbers as text, or None."""
        try:
            code, answer = self.post("/v3/maintenance/status", timeout=5)
            return answer if code == 200 else None
        except (OSError, http.client.HTTPException, ValueError):
            return None

    def etcdctl(self, *args, timeout=60):
        return self.cluster.etcdctl(*args, members=[self], timeout=timeout)


class Cluster:
    def __init__(self, bin_dir, tls=False, args=()):
        self.program = os.path.join(bin_dir, "c8s-apiserver")
        self.bin = bin_dir
        self.tls = tls
        self.args = list(args)
        self.dir = tempfile.mkdtemp(prefix="c8s-membership.")
        self.net = f"{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250 + 1}"
        self.all = {}
        self.loads = []
        clusters.append(self)
        if tls:
            openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=membership-ca", "-keyout", os.path.join(self.dir, "ca.key"), "-out", os.path.join(self.dir, "ca.crt"))

    def member(self, number):
        if number not in self.all:
            m = self.all[number] = Member(self, number)
            if self.tls:
                self.certificate(m.name, m.ip, "serverAuth,clientAuth")
        return self.all[number]

    def certificate(self, name, ip, usage):
        path = os.path.join(self.dir, name)
        openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout",
                path + ".key", "-out", path + ".csr")
        with open(path + ".ext", "w") as f:
            f.write(f"extendedKeyUsage={usage}\nsubjectAltName=IP:{ip}\n")
        openssl("x509", "-req", "-in", path + ".csr", "-CA", os.path.join(self.dir, "ca.crt"), "-CAkey",
                os.path.join(self.dir, "ca.key"), "-CAcreateserial", "-days", "2", "-extfile", path + ".ext", "-out",
                path + ".crt")

    def found(self, n=3):
        members = [self.member(i + 1) for i in range(n)]
        for m in members:
            m.start(members, "new")
        for m in members:
            self.wait_serving(m)
        return members

    def running(self):
        """Those that serve clients: learners do not."""
        return [m for m in list(self.all.values()) if m.running() and not m.learner]  # the load asks in its threads

    def etcdctl(self, *args, members=None, timeout=60):
        """(exit code, output, error) of one command."""
        endpoints = ",".join(m.client for m in members or self.running())
        p = subprocess.run(["etcdctl", "--endpoints", endpoints, f"--command-timeout={timeout}s", *args],
                           stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=timeout + 30,
                           env=dict(os.environ, ETCDCTL_API="3"))
        error = [line for line in p.stderr.splitlines() if line and not line.startswith("{")]
        return p.returncode, p.stdout.strip(), error[0] if error else ""

    def ok(self, *args, members=None, timeout=60):
        code, out, error = self.etcdctl(*args, members=members, timeout=timeout)
        if code != 0:
            raise RuntimeError(f"etcdctl {' '.join(args)}: {error}")
        return out

    def check_ok(self, name, *args, members=None):
        code, out, error = self.etcdctl(*args, members=members)
        check(name, code == 0, error)
        return out

    def check_error(self, name, wanted, *args, members=None):
        code, out, error = self.etcdctl(*args, members=members)
        check(name, code != 0 and error == f"Error: {wanted}", f"exit {code}, output {out!r}, error {error!r}")

    def list(self, member=None):
        """{name or peer URL: entry of the member list}; as confirmed by the leader (Debian's etcdctl asks for no more
        than what some member has), or as one member has it."""
        code, answer = (member or self.leader()).post("/v3/cluster/member/list", {"linearizable": member is None})
        if code != 200:
            raise RuntimeError(f"member list: {answer}")
        return {m.get("name") or m["peerURLs"][0]: m for m in answer["members"]}

    def id_of(self, member):
        entries = self.list()
        entry = entries.get(member.name) or entries[member.peer_url]
        return f"{int(entry['ID']):x}"

    def wait_serving(self, member):
        def answers():
            if not member.running():
                raise Dead(f"{member.name} ended with {member.process.returncode}\n" + tail(member.log))
            return member.etcdctl("get", "nothing", timeout=2)[0] == 0
        wait_for(f"{member.name} to answer", answers)

    def leader(self):
        def find():
            best = None
            for m in self.running():
                s = m.status()
                if s and s.get("leader") == s["header"]["member_id"] and (
                        not best or int(s["raftTerm"]) > int(best[1]["raftTerm"])):
                    best = (m, s)
            return best[0] if best else None
        return wait_for("a leader", find)

    def load(self, members=None, threads=3, pause_s=0.002):
        load = Load(self, f"load{len(self.loads)}", members, threads, pause_s)
        self.loads.append(load)
        return load

    def close(self):
        clusters.remove(self)
        for load in self.loads:
            load.stop()
        for m in self.all.values():
            m.kill()
        if failures:
            for m in self.all.values():
                print(f"---- {m.log}\n" + tail(m.log))
        if not os.environ.get("C8S_KEEP"):
            shutil.rmtree(self.dir, ignore_errors=True)


class Load:
    """Threads that write keys of their own through members taken in turn, and note what was acknowledged."""

    def __init__(self, cluster, prefix, members, threads, pause_s):
        self.cluster = cluster
        self.prefix = prefix
        self.members = members  # a list that the test changes, or None: whoever runs
        self.pause_s = pause_s
        self.stopping = False
        self.acked = [{} for _ in range(threads)]
        self.counters = [0] * threads  # the last acknowledged value of a key written again and again
        self.tried = [0] * threads
        self.gap_s = 0.0  # the longest time without any acknowledgement
        self.last_ack = time.monotonic()
        self.gap_at = ""
        self.errors = {}
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run, args=(i,), daemon=True) for i in range(threads)]
        for t in self.threads:
            t.start()

    def total(self):
        return sum(len(a) for a in self.acked)

    def run(self, i):
        turn, n, connection, member = i, 0, None, None
        while not self.stopping:
            if connection is None:
                members = self.members if self.members is not None else self.cluster.running()
                if not members:
                    time.sleep(0.05)
                    continue
                turn += 1
                member = members[turn % len(members)]
                connection = http.client.HTTPConnection(member.ip, 2379, timeout=10)
            n += 1
            self.tried[i] = n
            try:
                self.write(connection, i, n)
                if n % 50 == 0:  # another member now and then
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException, ValueError) as e:
                with self.lock:
                    name = str(e)[:100]
                    self.errors[name] = self.errors.get(name, 0) + 1
                connection.close()
                connection = None
                time.sleep(0.02)
            time.sleep(self.pause_s)

    def write(self, connection, i, n):
        key, value = f"{self.prefix}/{i}/{n:06d}", f"{i}.{n}"
        put = {"key": b64(key), "value": b64(value)}
        counter = {"key": b64(f"{self.prefix}/counter{i}"), "value": b64(str(n))}
        connection.request("POST", "/v3/kv/txn", json.dumps(
            {"success": [{"requestPut": put}, {"requestPut": counter}]}))
        r = connection.getresponse()
        body = r.read()
        if r.status != 200:
            raise ValueError(body.decode(errors="replace"))
        with self.lock:
            now = time.monotonic()
            if now - self.last_ack > self.gap_s:
                self.gap_s = now - self.last_ack
                self.gap_at = time.strftime("%H:%M:%S", time.gmtime())
            self.last_ack = now
            self.acked[i][key] = value
            self.counters[i] = n

    def stop(self):
        self.stopping = True
        for t in self.threads:
            t.join()

    def wait_more(self, n=20):
        """Some more writes are acknowledged: the cluster works."""
        before = self.total()
        wait_for(f"{n} more acknowledged writes", lambda: self.total() >= before + n)

    def tell(self):
        print(f"     longest time without an acknowledged write: {self.gap_s:.2f} s (until {self.gap_at}), errors {self.errors}")

    def verify(self, members):
        """Everything acknowledged is on each of these members; nothing is there that was never tried."""
        self.stop()
        for m in members:
            found, counters = {}, {}
            for i in range(len(self.acked)):
                pairs = read_prefix(m, f"{self.prefix}/{i}/")
                found.update(pairs)
                counters.update(read_prefix(m, f"{self.prefix}/counter{i}"))
            missing = [k for acked in self.acked for k, v in acked.items() if found.get(k) != v]
            strange = [k for k in found if int(k.split("/")[2]) > self.tried[int(k.split("/")[1])]]
            back = [i for i, n in enumerate(self.counters) if n and int(counters.get(f"{self.prefix}/counter{i}", 0)) < n]
            check(f"{m.name} has all {self.total()} acknowledged writes", not missing and not strange and not back,
                  f"missing {missing[:5]} ({len(missing)}), strange {strange[:5]}, counters gone back {back}")


def b64(text):
    return base64.b64encode(text.encode()).decode()


def read_prefix(member, prefix):
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    code, answer = member.post("/v3/kv/range", {"key": b64(prefix), "range_end": b64(end)}, timeout=60)
    if code != 200:
        raise RuntimeError(f"{member.name}: {answer}")
    return {base64.b64decode(kv["key"]).decode(): base64.b64decode(kv["value"]).decode() for kv in answer.get("kvs", [])}


def openssl(*args):
    p = subprocess.run(["openssl", *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if p.returncode:
        raise RuntimeError(p.stdout)


def tail(path, lines=25):
    return "".join(open(path, errors="replace").readlines()[-lines:]) if os.path.exists(path) else ""


def run(scenarios, names, script):
    """Each scenario in a process of its own, JOBS at once; a single one here. Ends the process."""
    if len(names) != 1:
        with concurrent.futures.ThreadPoolExecutor(JOBS) as pool:
            ends = list(pool.map(lambda name: run_apart(script, name), names or scenarios))
        failed = sum(ends)
        print(f"{failed} scenarios failed" if failed else "all scenarios passed", flush=True)
        sys.exit(1 if failed else 0)
    name, began = names[0], time.monotonic()
    try:
        scenarios[name]()
    except (RuntimeError, OSError, http.client.HTTPException, subprocess.SubprocessError, Dead, KeyError):
        traceback.print_exc(file=sys.stdout)
        failures.append(name)
    finally:
        while clusters:
            clusters[-1].close()
    print(f"     took {time.monotonic() - began:.1f} s")
    print(f"{len(failures)} failed: {failures}" if failures else "all passed", flush=True)
    sys.exit(1 if failures else 0)


def run_apart(script, name):
    p = subprocess.run([sys.executable, *script, name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(f"==== {name}\n{p.stdout}", end="", flush=True)
    return p.returncode != 0
