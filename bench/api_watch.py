#!/usr/bin/env python3
"""Watches of the API server: how late the last of many watchers is, what thousands of node agents cost, and how much
memory many objects take.

    bench/api_watch.py [--bin build/release/bin] [--load build/release/bench/watch_load] [--watchers 10000] [--nodes 5000]
                       [--pods 100000]

Server and load share the machine. Needs about 4 GB for the load; raises its limit of open files.
"""
import argparse
import concurrent.futures
import os
import subprocess
import sys

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
sys.path.insert(0, os.path.join(ROOT, "tests/integration"))
from apiserver_lib import Server  # noqa: E402


def pod(i, size=0):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "pod-%d" % i, "labels": {"app": "bench"}, "annotations": {"pad": "x" * size}},
            "spec": {"nodeName": "node-%d" % i, "containers": [{"name": "c", "image": "busybox:1", "resources": {"requests": {"cpu": "1m"}}}]}}


class Bench:
    def __init__(self, options):
        self.options = options
        self.server = Server(os.path.abspath(os.path.join(options.bin, "c8s-apiserver")))
        with open(self.server.pki.path("tokens.csv"), "a") as f:
            f.write('bench,bench,u-2,"system:masters"\n')
        self.server.start()
        self.client = self.server.client()
        self.client.post("/api/v1/namespaces", {"metadata": {"name": "bench"}})
        self.client.post("/api/v1/namespaces/bench/serviceaccounts", {"metadata": {"name": "default"}})
        for i in range(100):
            answer = self.client.post("/api/v1/namespaces/bench/pods", pod(i))
            assert answer.code == 201, answer

    def cpu(self):
        with open("/proc/%d/stat" % self.server.process.pid) as f:
            fields = f.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mb(self, name="RssAnon"):
        with open("/proc/%d/status" % self.server.process.pid) as f:
            return next(int(line.split()[1]) for line in f if line.startswith(name)) / 1024

    def load(self, watchers, selector, writes, per_second):
        """(the server's CPU seconds for the writes, what watch_load says)"""
        revision = self.client.get("/api/v1/namespaces/bench/pods?limit=1").json["metadata"]["resourceVersion"]
        p = subprocess.Popen([self.options.load, "https://127.0.0.1:%d" % self.server.port, self.server.pki.path("ca.crt"), "bench",
                              revision, str(watchers), selector, str(writes), str(per_second)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert "are open" in p.stdout.readline(), self.server.log_tail()
        held, before = self.memory_mb(), self.cpu()
        p.stdin.write("\n")
        p.stdin.flush()
        out = p.stdout.readline().strip()
        cpu = self.cpu() - before
        assert p.wait() == 0 and out, "watch_load ended with %d: %s" % (p.returncode, out)
        return cpu, held, out

    def many_pods(self, count):
        def create(first):
            c = self.client.connect()
            context = {"Content-Type": "application/json", "Authorization": "Bearer bench"}
            import json
            for i in range(first, count, 8):
                c.request("POST", "/api/v1/namespaces/bench/pods", json.dumps(pod(1000 + i, 500)), context)
                r = c.getresponse()
                r.read()
                assert r.status == 201, r.status

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            list(pool.map(create, range(8)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--bin", default=os.path.join(ROOT, "build/release/bin"))
    parser.add_argument("--load", default=os.path.join(ROOT, "build/release/bench/watch_load"))
    parser.add_argument("--watchers", type=int, default=10000)
    parser.add_argument("--nodes", type=int, default=5000)
    parser.add_argument("--pods", type=int, default=0, help="also create so many pods; minutes for 100,000")
    options = parser.parse_args()
    bench = Bench(options)
    try:
        print("idle: %.1f MB anonymous" % bench.memory_mb())
        cpu, held, out = bench.load(options.watchers, "all", 20, 0)
        print("%d watchers, %.0f MB: %s; %.2f s of server CPU" % (options.watchers, held, out, cpu))
        alone, _, out = bench.load(0, "node", 5000, 1000)
        print("nobody watches: %s; %.0f us of server CPU a write" % (out, alone / 5000 * 1e6))
        watched, held, out = bench.load(options.nodes, "node", 5000, 1000)
        print("%d watch a node each, %.0f MB: %s; %.0f us a write, x%.2f" % (options.nodes, held, out, watched / 5000 * 1e6, watched / alone))
        if options.pods:
            bench.many_pods(options.pods)
            print("%d pods: %.0f MB anonymous, %.0f MB with mapped files" % (options.pods, bench.memory_mb(), bench.memory_mb("VmRSS")))
        assert bench.server.stop() == 0, bench.server.log_tail()
    finally:
        bench.server.remove()


if __name__ == "__main__":
    main()
