"""A cluster of store members for the robustness tests: each in a network namespace of its own, on one bridge.

Everything made here is undone by close(), which may be called at any time and twice. Processes are
killed by their number only.
"""
import email.utils
import http.client
import itertools
import json
import os
import shutil
import signal
import ssl
import subprocess
import tempfile
import time

FAKETIME = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1"
COUNT = itertools.count()  # of clusters of this process
TMPFS_MB = 400  # a member's disk when disks are to fill up


def sh(*command, check=True, **more):
    return subprocess.run(command, check=check, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          **more).stdout


class Member:
    """One member: its namespace, its directory and, while it runs, its process."""

    def __init__(self, cluster, number):
        self.cluster = cluster
        self.number = number
        self.name = f"m{number}"
        self.ns = f"c8srob-{cluster.id}-{number}"
        self.ip = f"{cluster.net}.{number}"
        self.dir = os.path.join(cluster.dir, self.name)
        self.log = os.path.join(cluster.dir, f"{self.name}.log")
        self.clock = os.path.join(cluster.dir, f"{self.name}.clock")
        self.fifo = os.path.join(cluster.dir, f"{self.name}.power")
        self.starts = 0
        self.process = None
        self.proxy = None
        self.paused = False
        self.expected_down = False  # killed by a fault, or allowed to stop by one
        self.replacing = None  # by an operator: how to wait for the end
        self.in_replacement = False
        self.log_from = 0  # what the process running now has written begins there
        self.kept_up = False  # started again whenever it stops, as a service manager would
        self.disk = os.path.join(cluster.dir, f"{self.name}.disk")  # below `dir`, when that is a faulty file system
        self.disk_fault = os.path.join(cluster.dir, f"{self.name}.faults")
        self.disk_process = None
        self.state = "new"  # --initial-cluster-state
        self.initial = None  # --initial-cluster, when not the cluster's first one
        self.extra_env = {}

    @property
    def client_url(self):
        return f"{self.cluster.scheme}://{self.ip}:2379"

    @property
    def peer_url(self):
        return f"{self.cluster.scheme}://{self.ip}:{2382 if self.cluster.with_proxy else 2380}"

    def environment(self):
        env = dict(os.environ, **self.extra_env)
        preload = []
        if self.cluster.with_clock:
            preload.append(FAKETIME)
            env.update(FAKETIME_TIMESTAMP_FILE=self.clock, FAKETIME_CACHE_DURATION="1",
                       FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_DONT_RESET="1")
        if self.cluster.power_lib:
            preload.append(self.cluster.power_lib)
            self.starts += 1
            env.update(C8S_POWER_DIR=self.dir, C8S_POWER_FIFO=self.fifo,
                       C8S_POWER_SEED=str(self.cluster.seed * 1000 + self.number * 100 + self.starts))
        if preload:
            env["LD_PRELOAD"] = " ".join(preload)
        return env

    def command(self):
        c = self.cluster
        listen_peer = f"{c.scheme}://{self.ip}:2380"
        args = ["ip", "netns", "exec", self.ns, os.path.join(c.bin, "c8s-apiserver"), "--store-only",
                "--name", self.name, "--data-dir", self.dir, "--listen-client-urls", self.client_url,
                "--advertise-client-urls", self.client_url, "--listen-peer-urls", listen_peer,
                "--initial-advertise-peer-urls", self.peer_url, "--initial-cluster", self.initial or c.initial,
                "--initial-cluster-state", self.state, "--initial-cluster-token", f"robustness-{c.id}",
                "--snapshot-catchup-entries", str(c.log_kept)]
        if c.tls:
            mine = os.path.join(c.dir, self.name)
            args += ["--cert-file", mine + ".crt", "--key-file", mine + ".key", "--trusted-ca-file", c.ca,
                     "--client-cert-auth", "--peer-cert-file", mine + ".crt", "--peer-key-file", mine + ".key",
                     "--peer-trusted-ca-file", c.ca, "--peer-client-cert-auth"]
        return args

    def refuses(self):
        """Did it end saying that what it has promised is damaged?"""
        with open(self.log, errors="replace") as log:
            log.seek(self.log_from)
            return "cannot come back as it is" in log.read()

    def start(self):
        self.log_from = os.path.getsize(self.log) if os.path.exists(self.log) else 0
        with open(self.log, "a") as log:
            # exec'd by `ip netns exec`: the process is the member itself
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment())
        self.expected_down = False
        self.paused = False

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.expected_down = True
        if self.running():
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()

    def power_off(self):
        """Whatever was not flushed is lost, torn or reordered; see power_loss.c."""
        self.expected_down = True
        if self.running():
            with open(self.fifo, "w") as f:
                f.write("!")
            self.process.wait(60)
            boot = os.path.join(self.dir, "boot")
            if os.path.exists(boot):  # what the machine's next start would be known by
                with open(boot, "w") as f:
                    f.write("00000000-0000-0000-0000-000000000000 before the power failed\n")

    def mount_faulty_disk(self):
        os.makedirs(self.disk, exist_ok=True)
        self.tell_disk("well")
        self.disk_process = subprocess.Popen(
            [os.path.join(self.cluster.bin, "..", "bench", "slow_fs"), self.disk, self.dir, "0", self.disk_fault])
        deadline = time.monotonic() + 20
        while not os.path.ismount(self.dir):
            if time.monotonic() > deadline or self.disk_process.poll() is not None:
                raise RuntimeError("no FUSE mount")
            time.sleep(0.02)

    def tell_disk(self, what):
        """What is wrong with it, as slow_fs has it."""
        with open(self.disk_fault, "w") as f:
            f.write(what + "\n")

    def wipe(self):
        for name in os.listdir(self.dir):
            path = os.path.join(self.dir, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def wall_clock(self):
        """Seconds since 1970 as the member has them (its answers are dated), or None."""
        c = self.cluster
        try:
            if c.tls:
                context = ssl.create_default_context(cafile=c.ca)
                context.load_cert_chain(os.path.join(c.dir, "client.crt"), os.path.join(c.dir, "client.key"))
                h = http.client.HTTPSConnection(self.ip, 2379, timeout=2, context=context)
            else:
                h = http.client.HTTPConnection(self.ip, 2379, timeout=2)
            h.request("GET", "/version")
            date = h.getresponse().getheader("date")
            h.close()
            return email.utils.parsedate_to_datetime(date).timestamp() if date else None
        except (OSError, http.client.HTTPException):
            return None

    def pause(self):
        if self.running():
            self.process.send_signal(signal.SIGSTOP)
            self.paused = True

    def resume(self):
        if self.paused and self.running():
            self.process.send_signal(signal.SIGCONT)
        self.paused = False

    def nft(self, rules):
        sh("ip", "netns", "exec", self.ns, "nft", "-f", "-", input=rules)


class Cluster:
    def __init__(self, bin_dir, members=3, tls=False, proxy=False, clock=False, tmpfs=False, power_lib=None, fuse=False,
                 log_kept=10000, seed=1):
        self.id = os.getpid() % 100000 * 100 + next(COUNT) % 100
        self.bin = bin_dir
        self.load = os.path.join(bin_dir, "..", "tests", "robustness_load")
        self.scheme = "https" if tls else "http"
        self.tls, self.with_proxy, self.with_clock, self.tmpfs = tls, proxy, clock, tmpfs
        self.power_lib, self.fuse = power_lib, fuse
        self.clock_jumps = self.clock_jumps_seen = 0
        self.replaced = self.stopped_when_removed = 0
        self.replace = None  # faults.replace, where members may need it
        self.complaints = []  # of faults that did not go as they must
        self.log_kept = log_kept
        self.seed = seed
        self.net = f"10.{self.id // 100 % 200 + 20}.{79 + self.id % 100}"
        self.bridge = f"c8srb{self.id}"
        self.dir = tempfile.mkdtemp(prefix="c8s-robustness.")
        self.ca = os.path.join(self.dir, "ca.crt")
        self.members = [Member(self, i + 1) for i in range(members)]
        self.initial = ",".join(f"{m.name}={m.peer_url}" for m in self.members)
        self.mounts = []

    # ---- up and down ----

    def up(self):
        sh("ip", "link", "add", self.bridge, "type", "bridge")
        sh("ip", "addr", "add", f"{self.net}.254/24", "dev", self.bridge)
        sh("ip", "link", "set", self.bridge, "up")
        if self.tls:
            self.make_certificates()
        for m in self.members:
            self.add_network(m)
            os.makedirs(m.dir, exist_ok=True)
            os.mkfifo(m.fifo)
            with open(m.clock, "w") as f:
                f.write("+0\n")
            if self.tmpfs:
                under = m.disk if self.fuse else m.dir
                os.makedirs(under, exist_ok=True)
                sh("mount", "-t", "tmpfs", "-o", f"size={TMPFS_MB}m", "c8s-robustness", under)
                self.mounts.append(under)
            if self.fuse:
                m.mount_faulty_disk()
                self.mounts.append(m.dir)
            if self.with_proxy:
                m.proxy = subprocess.Popen(
                    ["ip", "netns", "exec", m.ns, os.path.join(os.path.dirname(self.load), "peer_proxy"),
                     f"{m.ip}:2382", f"{m.ip}:2380", str(m.number)], stdin=subprocess.PIPE, text=True)
        for m in self.members:
            m.start()

    def add_network(self, m):
        veth = self.veth(m)
        sh("ip", "netns", "add", m.ns)
        sh("ip", "link", "add", veth, "type", "veth", "peer", "name", "eth0", "netns", m.ns)
        sh("ip", "link", "set", veth, "master", self.bridge, "up")
        sh("ip", "-n", m.ns, "addr", "add", f"{m.ip}/24", "dev", "eth0")
        sh("ip", "-n", m.ns, "link", "set", "eth0", "up")
        sh("ip", "-n", m.ns, "link", "set", "lo", "up")

    def veth(self, m):
        return f"c8r{m.number}-{self.id}"

    def make_certificates(self):
        def file(name):
            return os.path.join(self.dir, name)

        sh("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
           "-subj", "/CN=robustness-ca", "-keyout", file("ca.key"), "-out", self.ca)
        for name, ip in [(m.name, m.ip) for m in self.members] + [("client", None)]:
            sh("openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
               f"/CN={name}", "-keyout", file(name + ".key"), "-out", file(name + ".csr"))
            with open(file("ext"), "w") as f:
                f.write("extendedKeyUsage=serverAuth,clientAuth\n")
                f.write(f"subjectAltName=IP:{ip}\n" if ip else "")
            sh("openssl", "x509", "-req", "-in", file(name + ".csr"), "-CA", self.ca, "-CAkey", file("ca.key"),
               "-CAcreateserial", "-days", "2", "-extfile", file("ext"), "-out", file(name + ".crt"))

    def close(self, keep=None):
        for m in self.members:
            for p in (m.process, m.proxy):
                if p and p.poll() is None:
                    p.send_signal(signal.SIGCONT)
                    p.kill()
                    p.wait()
        for m in self.members:
            sh("ip", "link", "del", self.veth(m), check=False)
            sh("ip", "netns", "del", m.ns, check=False)
        sh("ip", "link", "del", self.bridge, check=False)
        for mount in reversed(self.mounts):
            sh("umount", "-l", mount, check=False)
        self.mounts = []
        for m in self.members:
            if m.disk_process:
                try:
                    m.disk_process.wait(10)
                except subprocess.TimeoutExpired:
                    m.disk_process.kill()
                    m.disk_process.wait()
                m.disk_process = None
        if keep and os.path.isdir(self.dir):
            shutil.copytree(self.dir, keep, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.power"))
        shutil.rmtree(self.dir, ignore_errors=True)

    # ---- looking at it ----

    def tls_args(self):
        return ["--tls", self.ca] + [os.path.join(self.dir, f"client.{x}") for x in ("crt", "key")] if self.tls else []

    def urls(self):
        return [m.client_url for m in self.members]

    def status(self):
        """(member id, leader id, term, applied index) per member, None for those that do not answer."""
        out = sh(self.load, "status", *self.tls_args(), *self.urls(), check=False)
        lines = [line.split() for line in out.splitlines()]
        return [(x[0], x[1], int(x[2]), int(x[3])) if len(x) == 4 else None for x in lines]

    def leader(self):
        """The member that leads in the highest term, or None."""
        best = None
        for m, s in zip(self.members, self.status()):
            if s and s[0] == s[1] and (best is None or s[2] > best[1]):
                best = (m, s[2])
        return best[0] if best else None

    def etcdctl(self, *args, member=None, timeout=20, check=True):
        member = member or self.members[0]
        command = ["etcdctl", "--endpoints", member.client_url, f"--command-timeout={timeout}s"]
        if self.tls:
            command += ["--cacert", self.ca, "--cert", os.path.join(self.dir, "client.crt"), "--key",
                        os.path.join(self.dir, "client.key")]
        try:
            p = subprocess.run(command + list(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               timeout=timeout + 10, env=dict(os.environ, ETCDCTL_API="3"))
        except subprocess.TimeoutExpired:
            p = None
        if check and (p is None or p.returncode != 0):
            raise RuntimeError(f"etcdctl {' '.join(args)}: {p.stderr.strip() if p else 'no end'}")
        return p.stdout if p and p.returncode == 0 else None

    def member_list(self, member):
        """What `member` says who belongs to the cluster: {peer URL: (id in hex, learner)}; None without an answer."""
        out = self.etcdctl("member", "list", "-w", "json", member=member, timeout=3, check=False)
        if out is None:
            return None
        return {m["peerURLs"][0]: (f"{m['ID']:x}", m.get("isLearner", False)) for m in json.loads(out)["members"]}

    def disarm(self):
        """Clears alarms NOSPACE; were there any?"""
        for m in self.members:
            out = self.etcdctl("alarm", "list", member=m, timeout=3, check=False)
            if out is None:
                continue
            if "NOSPACE" in out:
                self.etcdctl("alarm", "disarm", member=m, timeout=3, check=False)
            return "NOSPACE" in out
        return True

    def keep_up(self):
        for m in self.members:
            if m.replacing and not m.replacing.busy():
                m.replacing = None
                others = [o for o in self.members if o is not m]
                self.etcdctl("alarm", "disarm", member=others[0], timeout=5, check=False)
            # Whoever is being replaced is started by who replaces it, on an empty disk: a second process would be in the way.
            if m.replacing or m.in_replacement or not m.kept_up or m.running():
                continue
            if m.refuses():
                others = [o for o in self.members if o is not m]
                m.replacing = self.replace(self, m, others)  # None: nobody knows of it now; again later
            else:
                m.start()

    def died(self):
        """Members that ended without anybody having asked them to."""
        return [m for m in self.members if not m.expected_down and not m.kept_up and m.process and m.process.poll() is not None]

    def wait_healthy(self, seconds):
        """Every member answers, all know one leader, and each takes a write."""
        deadline = time.monotonic() + seconds
        why = "nothing was tried"
        while time.monotonic() < deadline:
            self.keep_up()
            if self.tmpfs:
                self.disarm()
            s = self.status()
            leaders = {x[1] for x in s if x}
            if None not in s and len(leaders) == 1 and "0" not in leaders:
                missing = [m for m in self.members
                           if self.etcdctl("put", "rob-health", m.name, member=m, timeout=3, check=False) is None]
                if not missing:
                    return
                why = f"{[m.name for m in missing]} take no write"
            else:
                why = f"status {s}"
            if self.died():
                break
            time.sleep(0.3)
        dead = [f"{m.name} ended with {m.process.returncode}" for m in self.died()]
        raise RuntimeError(f"not healthy within {seconds} s: {dead or why}")

    def tails(self, lines=12):
        for m in self.members:
            if os.path.exists(m.log):
                print(f"---- {m.name}.log")
                print(sh("tail", "-n", str(lines), m.log, check=False))
