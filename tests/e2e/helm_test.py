#!/usr/bin/env python3
"""The real Helm against real API server, controllers and scheduler; the nodes are played.

    helm_test.py BIN_DIR HELM…

Each HELM (3 or 4) is a helm binary: it creates, lints, installs, upgrades, rolls back, tests and uninstalls the
default chart, and the one in chart/, which has a type of its own and hooks.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../integration"))
from control_test import Cluster, Nodes, now  # noqa: E402


class NodesWithHooks(Nodes):
    """Pods that are not to be restarted succeed at once."""

    def run_pod(self, pod, path):
        if pod["spec"]["restartPolicy"] != "Never":
            super().run_pod(pod, path)
        elif pod["status"].get("phase") != "Succeeded":
            self.client.patch(path + "/status", {"status": {"phase": "Succeeded", "startTime": now()}})


class Chart:
    def __init__(self, helm, kubeconfig, work):
        self.helm, self.work, self.passed, self.failed = helm, work, 0, 0
        self.env = dict(os.environ, KUBECONFIG=kubeconfig, HOME=work, HELM_CACHE_HOME=work + "/c", HELM_CONFIG_HOME=work + "/f",
                        HELM_DATA_HOME=work + "/d")
        version = self.run("version", "--short")[1]
        self.name = re.search(r"^v\d+\.\d+\.\d+", version, re.M).group()  # other lines warn, and name files
        self.four = self.name.startswith("v4")

    def run(self, *args):
        p = subprocess.run([self.helm, *args], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=120,
                           cwd=self.work, env=self.env)
        return p.returncode, p.stdout

    def says(self, what, pattern, *args, code=0):
        got, out = self.run(*args)
        good = got == code and re.search(pattern, out, re.M)
        self.passed, self.failed = self.passed + bool(good), self.failed + (not good)
        if not good:
            print("FAIL helm %s: %s: exit %d, without %s:\n%s" % (self.name, what, got, pattern, out[-1500:]), flush=True)
        return good

    def life(self, chart, name, namespace, more, old, new, hooks):
        """Install, upgrade, roll back, test, uninstall; `old` and `new` are settings, each with what the manifest then says."""
        ns = ["-n", namespace]
        wait = ["--wait", "--timeout", "60s"]
        self.says("lint " + chart, "0 chart\\(s\\) failed", "lint", chart)
        self.says("template " + chart, "kind: Deployment", "template", chart)
        if not hooks:  # an object of a type that the chart brings cannot be looked up before
            self.says("install --dry-run on the server", "kind: Deployment", "install", name, chart, *ns, *more, "--create-namespace",
                      "--dry-run=server" if not self.name.startswith("v3.9") else "--dry-run")
        self.says("install " + chart, "STATUS: deployed", "install", name, chart, *ns, "--create-namespace", *more, *old[0], *wait)
        self.says("install once more is refused", "cannot re-use|still in use|reuse a name", "install", name, chart, *ns, code=1)
        self.says("list", r"^%s\s+%s\s+1\s.*deployed" % (name, namespace), "list", "-A")
        self.says("status", "STATUS: deployed", "status", name, *ns)
        self.says("get manifest", old[1], "get", "manifest", name, *ns)
        self.says("upgrade", "REVISION: 2", "upgrade", name, chart, *ns, *more, *new[0], *wait)
        self.says("the upgrade's manifest", new[1], "get", "manifest", name, *ns)
        self.says("an upgrade of nothing", "has no deployed releases", "upgrade", "nothing", chart, *ns, code=1)
        self.says("upgrade --install of something new", "REVISION: 1", "upgrade", "--install", name + "-2", chart, *ns, *more)
        self.says("uninstall that", "uninstalled", "uninstall", name + "-2", *ns, *wait)
        self.says("rollback", "Rollback was a success", "rollback", name, "1", *ns, *wait)
        self.says("history", r"^3\s.*deployed.*Rollback to 1", "history", name, *ns)
        self.says("the rollback's manifest", old[1], "get", "manifest", name, *ns)
        self.says("test", "Phase: +Succeeded", "test", name, *ns, "--timeout", "60s")
        if hooks:
            self.says("get hooks", "post-install", "get", "hooks", name, *ns)
        self.says("uninstall", "uninstalled", "uninstall", name, *ns, *wait)
        self.says("nothing is left", "not found", "status", name, *ns, code=1)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    cluster, passed, failed = Cluster(sys.argv[1]), 0, 0
    with tempfile.TemporaryDirectory(prefix="c8s-helm-") as work:
        try:
            nodes = NodesWithHooks(cluster.server.client(), ["h1"])
            cluster.nodes.done.set()
            cluster.nodes.join()
            cluster.nodes = nodes
            nodes.start()
            for i, helm in enumerate(sys.argv[2:]):
                c = Chart(helm, cluster.kubeconfig, work)
                print("== helm " + c.name, flush=True)
                shutil.rmtree(os.path.join(work, "web"), ignore_errors=True)
                c.says("create", "Creating web", "create", "web")
                image = ["--set", "image.repository=c8s.io/web,image.tag=1"]
                c.life(os.path.join(work, "web"), "web", "helm-%d" % i, image, (["--set", "replicaCount=1"], "replicas: 1"),
                       (["--set", "replicaCount=2"], "replicas: 2"), False)
                c.life(os.path.join(HERE, "chart"), "tour", "helm-%d" % i, [], ([], "town: Bern"),
                       (["--set", "town=Thun,replicas=2"], "town: Thun"), True)
                passed, failed = passed + c.passed, failed + c.failed
            cluster.alive()
        finally:
            cluster.remove()
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
