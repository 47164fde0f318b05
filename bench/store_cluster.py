"""Clusters of c8s or etcd for the store's benchmarks: starting, stopping, and what a run costs them."""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../tests/integration"))
from ports import free_ports  # noqa: E402

TICK = os.sysconf("SC_CLK_TCK")
PAGE = 4096


class Program:
    """A server to measure: c8s or an etcd, which understand the same flags."""

    def __init__(self, name, path, extra=()):
        self.name, self.path, self.extra = name, path, list(extra)


class Cluster:
    """`size` members of one program on this machine, each in a directory of its own."""

    def __init__(self, program, cli, size=3, parent=None):
        self.program, self.cli, self.size = program, cli, size
        self.directory = tempfile.mkdtemp(prefix="c8s-bench-", dir=parent)
        ports = free_ports(2 * size)
        self.peers = [f"http://127.0.0.1:{p}" for p in ports[:size]]
        self.clients = [f"http://127.0.0.1:{p}" for p in ports[size:]]
        self.members = [None] * size
        for i in range(size):
            self.start(i)
        self.wait_ready()

    def start(self, i):
        initial = ",".join(f"m{k}={peer}" for k, peer in enumerate(self.peers))
        with open(os.path.join(self.directory, f"m{i}.log"), "ab") as log:
            self.members[i] = subprocess.Popen(
                [self.program.path, *self.program.extra, "--name", f"m{i}",
                 "--data-dir", os.path.join(self.directory, f"m{i}"),
                 "--listen-peer-urls", self.peers[i], "--initial-advertise-peer-urls", self.peers[i],
                 "--listen-client-urls", self.clients[i], "--advertise-client-urls", self.clients[i],
                 "--initial-cluster", initial, "--initial-cluster-state", "new",
                 "--quota-backend-bytes", str(8 << 30)],
                stdout=log, stderr=log)

    def kv(self, *args, endpoints=None, check=False):
        return subprocess.run([self.cli, "kv", *args, "--endpoints", ",".join(endpoints or self.clients)],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=check)

    def wait_ready(self, timeout=30):
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            if self.kv("put", "ready", "yes").returncode == 0 and self.leader() is not None:
                return
            time.sleep(0.1)
        sys.exit(f"{self.program.name}: the cluster did not become ready, see {self.directory}")

    def statuses(self, endpoints=None):
        out = self.kv("endpoint", "status", "-w", "json", endpoints=endpoints)
        try:
            return [s["Status"] for s in json.loads(out.stdout)]
        except (ValueError, KeyError):
            return []

    def leader(self):
        """Index of the leader, or None."""
        for i, url in enumerate(self.clients):
            if self.members[i] is None:
                continue
            for s in self.statuses([url]):
                if s.get("leader") and s["leader"] == s["header"]["member_id"]:
                    return i
        return None

    def kill(self, i):
        self.members[i].kill()
        self.members[i].wait()
        self.members[i] = None

    def stop(self):
        running = [m for m in self.members if m]
        for m in running:
            m.send_signal(signal.SIGTERM)
        for m in running:
            try:
                m.wait(20)
            except subprocess.TimeoutExpired:
                m.kill()
                m.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    # ---- what it costs ----

    def pids(self):
        return [m.pid for m in self.members if m]

    def cpu_s(self):
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def status_mb(self, key):
        values = []
        for pid in self.pids():
            with open(f"/proc/{pid}/status") as f:
                values += [int(line.split()[1]) for line in f if line.startswith(key + ":")]
        return max(values) / 1024

    def socket_mb(self):
        """What the kernel holds in socket buffers for the biggest member."""
        out = subprocess.run(["ss", "-tmpnH"], stdout=subprocess.PIPE, text=True, check=False).stdout
        held = {pid: 0 for pid in self.pids()}
        for line in out.splitlines():
            owner, memory = re.search(r"pid=(\d+)", line), re.search(r"skmem:\(r(\d+),rb\d+,t(\d+),tb\d+,f\d+,w(\d+)", line)
            if owner and memory and int(owner[1]) in held:
                held[int(owner[1])] += int(memory[1]) + int(memory[3])
        return max(held.values(), default=0) / (1 << 20)

    def memory_mb(self):
        return self.status_mb("RssAnon") + self.socket_mb()

    def switches(self):
        """Context switches of all threads of all members."""
        total = 0
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                try:
                    with open(f"/proc/{pid}/task/{task}/status") as f:
                        total += sum(int(line.split()[1]) for line in f if "ctxt_switches" in line)
                except FileNotFoundError:
                    pass
        return total

    def written_bytes(self):
        """By the member that wrote most: pages made dirty, whenever they reach the disk."""
        values = []
        for pid in self.pids():
            with open(f"/proc/{pid}/io") as f:
                values += [int(line.split()[1]) for line in f if line.startswith("write_bytes")]
        return max(values)

    def flushes(self, puts):
        """Flushes per put and, of c8s, bytes of journal pages per put at the leader; None: no strace."""
        if not shutil.which("strace"):
            return None
        leader = self.leader()
        pid, trace = self.pids()[leader], os.path.join(self.directory, "strace")
        tracer = subprocess.Popen(["strace", "-f", "-y", "-e", "trace=fdatasync,fsync,pwrite64", "-s", "0",
                                   "-o", trace, "-p", str(pid)], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        self.kv("bench", "put", "--val-size", "256", "--total", str(puts), endpoints=[self.clients[leader]])
        tracer.terminate()
        tracer.wait()
        flushes = pages = 0
        with open(trace, errors="replace") as f:
            for line in f:
                journal = re.search(r"pwrite64\(\d+<[^>]*\.seg>.*?, (\d+), (\d+)", line)
                if journal:
                    size, offset = int(journal[1]), int(journal[2])
                    pages += (offset + size - 1) // PAGE - offset // PAGE + 1
                if re.search(r"f(data)?sync\(\d+<[^>]*(\.seg|\.wal)>", line):
                    flushes += 1
        return flushes / puts, pages * PAGE / puts


def load(cluster, args, endpoints=None, timeout=900):
    """One run of `c8s kv bench`; its figures, and what it cost the servers per request."""
    cpu, written, switches = cluster.cpu_s(), cluster.written_bytes(), cluster.switches()
    out = subprocess.run([cluster.cli, "kv", "bench", *args, "--endpoints", ",".join(endpoints or cluster.clients),
                          "-w", "json"], stdout=subprocess.PIPE, check=False, timeout=timeout)
    if not out.stdout:
        sys.exit(f"{cluster.program.name}: c8s kv bench {' '.join(args)} failed")
    result = json.loads(out.stdout)
    ops = result.get("puts") or result["total"]
    result.update(cpu_us=(cluster.cpu_s() - cpu) * 1e6 / ops, written=(cluster.written_bytes() - written) / ops,
                  switches=(cluster.switches() - switches) / ops, memory_mb=cluster.memory_mb(),
                  rss_mb=cluster.status_mb("VmRSS"))
    return result
