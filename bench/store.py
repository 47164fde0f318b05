#!/usr/bin/env python3
"""The store against its peers: three members of c8s, of Debian's etcd, and of the next release's.

    bench/store.py [--scale 1.0] [--only NAME…] [--loads WORD] [--faults] [--only-faults [WHICH]] [--peer35 PATH] [--short]

All run on this machine, one after the other, with data directories on the same file system and plain
HTTP on loopback, driven by the same load generator (`c8s kv bench`). For each load: throughput, latency,
CPU of all three servers per operation, context switches, memory of the biggest member after the load
(RssAnon and socket buffers; VmRSS beside it), bytes that the busiest member wrote per operation, and for
sequential puts the flushes of the leader's log. Machines are noisy: read the ratios, which come last.

--faults adds (for c8s and the etcds where it makes sense): flushes that take 1 ms longer, a follower that
comes back 1 M entries behind, and a start with a million keys and a cold cache.
--short is a smoke test: everything once, with few requests, and no figures asserted.

etcd 3.5 is unpacked from the next Debian release with
    deploy/install-deps.sh --unpack-later etcd-server build/peers/etcd35
"""
import argparse
import os
import subprocess
import sys

import store_faults
from store_cluster import HERE, Cluster, Program, load

TOP = os.path.dirname(HERE)


def loads(scale):
    """Name, arguments, only to the leader."""
    def n(count):
        return str(max(500, int(count * scale)))
    many = ["--connections", "100", "--clients", "1000", "--val-size", "256"]
    return [
        ("sequential put", ["put", "--val-size", "256", "--total", n(5000)], True),
        ("put, 1,000 clients, one key", ["put", *many, "--total", n(200000)], False),
        ("put, 1,000 clients, 1 M random keys",
         ["put", *many, "--key-space-size", "1000000", "--random", "--total", n(200000)], False),
        ("linearizable read, 1,000 clients", ["range", *many, "--total", n(200000)], False),
        ("serializable read, 1,000 clients", ["range", *many, "--consistency", "s", "--total", n(200000)], False),
        ("txn of 4, half only read, 1,000 clients", ["txn", *many, "--total", n(50000)], False),
        ("watch, 100 watchers, 10 clients put",
         ["watch", "--watchers", "100", "--connections", "10", "--clients", "10", "--val-size", "256",
          "--total", n(5000)], False),
        ("lease keep-alive, 1,000 clients",
         ["lease", "--connections", "100", "--clients", "1000", "--total", n(100000)], False),
    ]


def print_result(name, r):
    print(f"  {name:40s} {r['throughput']:9.0f}/s  p50 {r['p50_ms']:7.2f} ms  p99 {r['p99_ms']:7.2f}  "
          f"p99.9 {r['p999_ms']:7.2f}  cpu {r['cpu_us']:7.1f} µs  switches {r['switches']:5.2f}  "
          f"{r['written'] / 1024:5.1f} KiB  memory {r['memory_mb']:6.1f} MB  rss {r['rss_mb']:6.1f} MB  "
          f"errors {r['errors']}", flush=True)


def run_program(program, args):
    results = {}
    with Cluster(program, args.cli, parent=args.dir) as cluster:
        print(f"{program.name}: 3 members, idle {cluster.memory_mb():.1f} MB", flush=True)
        for name, spec, to_leader in loads(args.scale):
            if args.loads and args.loads not in name:
                continue
            endpoints = [cluster.clients[cluster.leader() or 0]] if to_leader else None
            results[name] = load(cluster, spec, endpoints)
            print_result(name, results[name])
        flushes = None if args.loads and args.loads not in "flushes" else cluster.flushes(50 if args.short else 300)
        if flushes:
            journal = f", {flushes[1] / 1024:.1f} KiB of journal pages" if flushes[1] else ""
            print(f"  the leader, per sequential put: {flushes[0]:.2f} flushes of its log{journal}", flush=True)
    return results


def print_ratios(results):
    ours = results.get("c8s", {})
    for peer, theirs in results.items():
        if peer == "c8s":
            continue
        for name in ours:
            a, b = ours[name], theirs.get(name)
            if b and b["throughput"] and b["cpu_us"]:
                print(f"c8s : {peer:8s} {name:40s} throughput ×{a['throughput'] / b['throughput']:.2f}  "
                      f"p50 ×{a['p50_ms'] / b['p50_ms']:.2f}  p99 ×{a['p99_ms'] / b['p99_ms']:.2f}  "
                      f"cpu ×{a['cpu_us'] / b['cpu_us']:.2f}  memory ×{a['memory_mb'] / b['memory_mb']:.2f}")


def programs(args):
    found = [Program("c8s", os.path.join(args.bin, "c8s-apiserver"), ["--store-only"])]
    for name, path in (("etcd 3.4", args.peer), ("etcd 3.5", args.peer35)):
        try:
            version = subprocess.run([path, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):
            print(f"{name}: not found as {path}, left out")
            continue
        print(f"{name}: {version.splitlines()[0]}")
        found.append(Program(name, path))
    return [p for p in found if not args.only or p.name.replace(" ", "") in args.only]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=os.path.join(TOP, "build", "release", "bin"))
    parser.add_argument("--peer", default="etcd", help="etcd 3.4's binary")
    parser.add_argument("--peer35", default=os.path.join(TOP, "build", "peers", "etcd35", "usr", "bin", "etcd"))
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the number of requests")
    parser.add_argument("--only", nargs="*", choices=["c8s", "etcd3.4", "etcd3.5"])
    parser.add_argument("--loads", help="only those whose name contains this")
    parser.add_argument("--faults", action="store_true", help="slow flushes, catching up, a cold start as well")
    parser.add_argument("--only-faults", dest="fault", nargs="?", const="all", choices=["all", "flushes", "behind", "restart"],
                        help="nothing else, or one of them")
    parser.add_argument("--short", action="store_true", help="a smoke test of c8s alone")
    parser.add_argument("--dir", help="where data directories go (default: a temporary directory)")
    args = parser.parse_args()
    args.cli = os.path.join(args.bin, "c8s")
    if args.short:
        args.scale, args.only = 0.002, ["c8s"]
    chosen = programs(args)
    only_faults, args.fault = args.fault, args.fault or "all"
    if not only_faults:
        results = {p.name: run_program(p, args) for p in chosen}
        print_ratios(results)
        if args.short and any(r["errors"] for r in results["c8s"].values()):
            sys.exit("requests failed")
    if args.faults or only_faults:
        store_faults.run(chosen, args)


if __name__ == "__main__":
    main()
