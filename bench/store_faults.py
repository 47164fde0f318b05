"""The store's benchmarks in adversity: slow flushes, a follower far behind, a cold start."""
import contextlib
import os
import shutil
import statistics
import subprocess
import tempfile
import time

from store_cluster import Cluster, load

@contextlib.contextmanager
def slow_disk(binary, parent):
    """A directory on which every flush takes 1 ms longer."""
    below, mounted = (tempfile.mkdtemp(prefix="c8s-slow-", dir=parent) for _ in range(2))
    server = subprocess.Popen([binary, below, mounted, "1000"], stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while not os.path.ismount(mounted) and server.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        yield mounted if os.path.ismount(mounted) else None
    finally:
        subprocess.run(["fusermount3", "-u", "-z", mounted], stderr=subprocess.DEVNULL, check=False)
        server.terminate()
        server.wait()
        os.rmdir(mounted)
        shutil.rmtree(below, ignore_errors=True)


def slow_flushes(programs, args):
    binary = os.path.join(args.bin, "..", "bench", "slow_fs")
    for program in programs:
        with slow_disk(binary, args.dir) as directory:
            if not directory:
                print("flushes 1 ms slower: no slow_fs, or it cannot be mounted here; left out")
                return
            with Cluster(program, args.cli, parent=directory) as cluster:
                leader = [cluster.clients[cluster.leader() or 0]]
                one = load(cluster, ["put", "--val-size", "256", "--total", str(int(2000 * args.scale))], leader)
                many = load(cluster, ["put", "--val-size", "256", "--clients", "1000", "--connections", "100",
                                      "--total", str(int(50000 * args.scale))])
                print(f"{program.name:9s} flushes 1 ms slower: sequential put p50 {one['p50_ms']:.2f} ms, "
                      f"p99 {one['p99_ms']:.2f}; 1,000 clients {many['throughput']:.0f}/s", flush=True)


def applied(cluster, i):
    status = cluster.statuses([cluster.clients[i]])
    return status[0].get("raftAppliedIndex", status[0].get("raftIndex", 0)) if status else -1


def catch_up(program, args):
    """A follower is away for 1 M puts and comes back while the others go on serving."""
    behind = int(1000000 * args.scale)
    steady = ["put", "--val-size", "256", "--clients", "100", "--connections", "10", "--rate", "1000",
              "--key-space-size", "100000", "--random"]
    with Cluster(program, args.cli, parent=args.dir) as cluster:
        leader = cluster.leader()
        follower = (leader + 1) % 3
        rest = [url for i, url in enumerate(cluster.clients) if i != follower]
        cluster.kill(follower)
        load(cluster, ["put", "--val-size", "256", "--clients", "1000", "--connections", "100",
                       "--key-space-size", "1000000", "--total", str(behind)], rest)
        leader = cluster.leader()

        def window():
            return load(cluster, [*steady, "--duration", "3s"], [cluster.clients[leader]])
        before = [window() for _ in range(4)]
        target = applied(cluster, leader)
        began = time.monotonic()
        cluster.start(follower)
        during = []
        while applied(cluster, follower) < target and time.monotonic() - began < 120:
            during.append(window())
        took = time.monotonic() - began

        def p99(windows):
            return statistics.median(w["p99_ms"] for w in windows), max(w["p99_ms"] for w in windows)
        (a, a_max), (b, b_max) = p99(before), p99(during)
        print(f"{program.name:9s} {behind} entries behind: caught up in {took:.0f} s; the leader's p99 (median, worst of "
              f"windows of 3 s) {a:.2f}, {a_max:.2f} ms before, {b:.2f}, {b_max:.2f} during (×{b / a:.2f}, ×{b_max / a_max:.2f})",
              flush=True)


def drop_caches():
    try:
        os.sync()
        with open("/proc/sys/vm/drop_caches", "w") as f:
            f.write("3\n")
        return "cold"
    except OSError:
        return "warm"


def restart(program, args):
    """SIGKILL with a million keys, while they are written; from starting the process to the first linearizable read."""
    keys = int(1000000 * args.scale)
    with Cluster(program, args.cli, size=1, parent=args.dir) as cluster:
        load(cluster, ["put", "--val-size", "256", "--clients", "1000", "--connections", "100",
                       "--key-space-size", str(keys), "--total", str(keys)])
        memory = cluster.memory_mb()
        times = []
        for _ in range(5):
            writes = subprocess.Popen([cluster.cli, "kv", "bench", "put", "--val-size", "256", "--clients", "100",
                                       "--connections", "10", "--key-space-size", str(keys), "--random", "--duration", "2s",
                                       "--endpoints", cluster.clients[0]],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(1.5)
            cluster.kill(0)
            writes.wait()
            cache = drop_caches()
            began = time.monotonic()
            cluster.start(0)
            while cluster.kv("get", "ready", "--dial-timeout", "20ms", "--command-timeout",
                             "1s").returncode != 0:
                time.sleep(0.005)
            times.append(time.monotonic() - began)
        print(f"{program.name:9s} start with {keys} keys, {cache} cache: {', '.join(f'{t:.2f}' for t in times)} s; "
              f"memory {memory:.1f} MB before", flush=True)


def run(programs, args):
    if args.fault in ("all", "flushes"):
        slow_flushes(programs, args)
    for program in programs:
        if program.name == "c8s" and args.fault in ("all", "behind"):
            catch_up(program, args)
        if program.name == "c8s" and args.fault in ("all", "restart"):
            restart(program, args)
