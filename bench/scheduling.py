#!/usr/bin/env python3
"""Pods created and scheduled per second, over TLS, with everything on this machine; and memory when idle.

    scheduling.py BIN_DIR [NODES [PODS]]      (100 nodes, 5000 pods)

BIN_DIR holds the programs; scheduling_load lies beside it, in bench/. The last line is the figure.
"""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "integration"))
from control_test import Cluster  # noqa: E402


def memory(pid):
    with open("/proc/%d/status" % pid) as f:
        return {k: int(v.split()[0]) // 1 for k, v in (x.split(":", 1) for x in f) if k in ("RssAnon", "VmRSS")}


def cpu(pid):
    with open("/proc/%d/stat" % pid) as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report(c, when):
    for name, p in [("c8s-apiserver", c.server.process)] + list(c.processes.items()):
        m = memory(p.pid)
        print("%s: %s RssAnon %.1f MB, VmRSS %.1f MB, CPU %.2f s" % (
            when, name, m["RssAnon"] / 1024, m["VmRSS"] / 1024, cpu(p.pid)))


def main():
    bin_dir = os.path.abspath(sys.argv[1])
    nodes, pods = (sys.argv[2:] + ["100", "5000"][len(sys.argv) - 2:])[:2]
    c = Cluster(bin_dir)
    try:
        c.nodes.done.set()  # no node agents: pods are only bound
        c.nodes.join()
        for node in c.nodes.names:
            c.client.delete("/api/v1/nodes/" + node)
        time.sleep(2)
        report(c, "idle")
        subprocess.run([os.path.join(bin_dir, "..", "bench", "scheduling_load"), c.kubeconfig, nodes, pods], check=True)
        report(c, "after")
    finally:
        c.remove()


if __name__ == "__main__":
    main()
