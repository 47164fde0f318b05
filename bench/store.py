#!/usr/bin/env python3
"""The store against its peer: three members of c8s and three of Debian's etcd, one after the other.

    bench/store.py [--bin build/release/bin] [--peer etcd] [--scale 1.0] [--only c8s|etcd]

Both run on this machine with data directories on the same file system, plain HTTP on loopback, and
are driven by the same load generator (`c8s kv bench`). For each load it prints throughput, latency,
CPU of all three servers per operation, memory (RssAnon of the biggest member) and bytes that one
member wrote per operation. Machines are noisy: read the ratios, which the last lines give.
"""
import argparse
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TICK = os.sysconf("SC_CLK_TCK")


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


class Cluster:
    """Three members of one program, started with etcd's flags, which both understand."""

    def __init__(self, program, extra, directory):
        ports = free_ports(6)
        peers = [f"http://127.0.0.1:{p}" for p in ports[:3]]
        self.endpoints = [f"http://127.0.0.1:{p}" for p in ports[3:]]
        initial = ",".join(f"m{i}={peer}" for i, peer in enumerate(peers))
        self.members = []
        for i in range(3):
            log = open(os.path.join(directory, f"m{i}.log"), "wb")
            self.members.append(subprocess.Popen(
                [program, *extra, "--name", f"m{i}", "--data-dir", os.path.join(directory, f"m{i}"),
                 "--listen-peer-urls", peers[i], "--initial-advertise-peer-urls", peers[i],
                 "--listen-client-urls", self.endpoints[i],
                 "--advertise-client-urls", self.endpoints[i],
                 "--initial-cluster", initial, "--initial-cluster-state", "new"],
                stdout=log, stderr=log))

    def stop(self):
        for m in self.members:
            m.send_signal(signal.SIGTERM)
        for m in self.members:
            try:
                m.wait(20)
            except subprocess.TimeoutExpired:
                m.kill()
                m.wait()

    def cpu_s(self):
        total = 0
        for m in self.members:
            with open(f"/proc/{m.pid}/stat") as f:
                fields = f.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total / TICK

    def status_kb(self, key):
        values = []
        for m in self.members:
            with open(f"/proc/{m.pid}/status") as f:
                values += [int(line.split()[1]) for line in f if line.startswith(key + ":")]
        return max(values)

    def written_bytes(self):
        values = []
        for m in self.members:
            with open(f"/proc/{m.pid}/io") as f:
                values += [int(line.split()[1]) for line in f if line.startswith("write_bytes")]
        return max(values)


def wait_ready(cli, endpoints):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        done = subprocess.run([cli, "kv", "put", "--endpoints", ",".join(endpoints), "ready", "yes"],
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        if done.returncode == 0:
            return
        time.sleep(0.2)
    sys.exit("cluster did not become ready")


def run_load(cli, cluster, name, args):
    cpu, written = cluster.cpu_s(), cluster.written_bytes()
    out = subprocess.run([cli, "kv", "bench", *args, "--endpoints", ",".join(cluster.endpoints),
                          "-w", "json"], stdout=subprocess.PIPE, check=True, timeout=600)
    result = json.loads(out.stdout)
    ops = result["total"]
    result.update(cpu_us=(cluster.cpu_s() - cpu) * 1e6 / ops,
                  written=(cluster.written_bytes() - written) / ops,
                  anon_mb=cluster.status_kb("RssAnon") / 1024,
                  rss_mb=cluster.status_kb("VmRSS") / 1024)
    print(f"  {name:34s} {result['throughput']:9.0f}/s  p50 {result['p50_ms']:7.2f} ms  "
          f"p99 {result['p99_ms']:7.2f}  p99.9 {result['p999_ms']:7.2f}  cpu {result['cpu_us']:6.1f} µs/op  "
          f"{result['written'] / 1024:6.1f} KiB/op  anon {result['anon_mb']:6.1f} MB  "
          f"rss {result['rss_mb']:6.1f} MB  errors {result['errors']}", flush=True)
    return result


def loads(scale):
    def n(count):
        return str(max(1000, int(count * scale)))
    many = ["--connections", "100", "--clients", "1000", "--val-size", "256"]
    return [
        ("sequential put", ["put", "--connections", "1", "--clients", "1", "--val-size", "256",
                            "--key-space-size", "1", "--total", n(5000)]),
        ("put, 1,000 clients, one key", ["put", *many, "--key-space-size", "1", "--total", n(200000)]),
        ("put, 1,000 clients, 1 M random keys", ["put", *many, "--key-space-size", "1000000",
                                                 "--random", "--total", n(200000)]),
        ("linearizable read, 1,000 clients", ["range", *many, "--total", n(200000)]),
        ("serializable read, 1,000 clients", ["range", *many, "--consistency", "s", "--total", n(200000)]),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=os.path.join(HERE, "..", "build", "release", "bin"))
    parser.add_argument("--peer", default="etcd", help="the etcd binary")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of requests")
    parser.add_argument("--only", choices=["c8s", "etcd"])
    parser.add_argument("--dir", help="where data directories go (default: a temporary directory)")
    args = parser.parse_args()
    cli = os.path.join(args.bin, "c8s")
    programs = {"c8s": (os.path.join(args.bin, "c8s-apiserver"), ["--store-only"]),
                "etcd": (args.peer, [])}
    results = {}
    for name, (program, extra) in programs.items():
        if args.only and name != args.only:
            continue
        directory = tempfile.mkdtemp(prefix="c8s-bench-", dir=args.dir)
        cluster = Cluster(program, extra, directory)
        try:
            wait_ready(cli, cluster.endpoints)
            print(f"{name}: 3 members, idle RssAnon {cluster.status_kb('RssAnon') / 1024:.1f} MB")
            results[name] = {load: run_load(cli, cluster, load, spec) for load, spec in loads(args.scale)}
        finally:
            cluster.stop()
            shutil.rmtree(directory, ignore_errors=True)
    if len(results) == 2:
        for load in results["c8s"]:
            ours, theirs = results["c8s"][load], results["etcd"][load]
            print(f"ratio {load:34s} throughput ×{ours['throughput'] / theirs['throughput']:.2f}  "
                  f"p50 ×{ours['p50_ms'] / theirs['p50_ms']:.2f}  cpu ×{ours['cpu_us'] / theirs['cpu_us']:.2f}  "
                  f"memory ×{ours['anon_mb'] / theirs['anon_mb']:.2f}")


if __name__ == "__main__":
    main()
