#!/usr/bin/env python3
"""The resource verbs of the c8s command against a real API server, scheduler and controllers.

    cli_test.py BIN_DIR [NAME…]
"""
import json
import os
import re
import subprocess
import sys
import threading
import time
import traceback

from control_test import APPS, NS, Cluster, check, complete, condition, deployment, eventually, make

WEB = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector:
    matchLabels: {app: web}
  template:
    metadata:
      labels: {app: web}
    spec:
      containers:
      - name: web
        image: app:1
        env:
        - {name: A, value: "1"}
        - {name: B, value: "2"}
        ports:
        - {name: http, containerPort: 8080}
---
apiVersion: v1
kind: Service
metadata:
  name: web
spec:
  selector: {app: web}
  ports:
  - {port: 80, targetPort: http}
"""


def test_apply_creates_changes_and_prunes_fields(c):
    out = c.c8s("apply", "-f", "-", stdin=WEB)
    check(out == "deployment.apps/web created\nservice/web created\n", out)
    eventually("complete", lambda: complete(c, "web", 2, "app:1"))
    out = c.c8s("apply", "-f", "-", stdin=WEB)
    check(out == "deployment.apps/web unchanged\nservice/web unchanged\n", out)
    # Somebody else scales and adds an environment variable; B is taken out of the manifest.
    check(c.client.patch(APPS + "/deployments/web", {"spec": {"template": {"spec": {"containers": [
        {"name": "web", "env": [{"name": "C", "value": "3"}]}]}}}}).code == 200)
    changed = WEB.replace('        - {name: B, value: "2"}\n', "").replace("app:1", "app:2")
    out = c.c8s("apply", "-f", "-", stdin=changed)
    check(out == "deployment.apps/web configured\nservice/web unchanged\n", out)
    container = c.deployment("web")["spec"]["template"]["spec"]["containers"][0]
    check(container["image"] == "app:2", container)
    check(sorted((e["name"], e["value"]) for e in container["env"]) == [("A", "1"), ("C", "3")], container["env"])
    out = c.c8s("apply", "-f", "-", "--dry-run=server", stdin=WEB)
    check("deployment.apps/web configured (server dry run)" in out, out)
    check(c.deployment("web")["spec"]["template"]["spec"]["containers"][0]["image"] == "app:2")
    # Changing the strategy's type takes the other type's parameters away.
    out = c.c8s("apply", "-f", "-", stdin=changed.replace("  replicas: 2\n", "  replicas: 2\n  strategy: {type: Recreate}\n"))
    check(c.deployment("web")["spec"]["strategy"] == {"type": "Recreate"}, c.deployment("web")["spec"]["strategy"])
    check("spec" in c.c8s("apply", "-f", "-", stdin=WEB.replace("replicas:", "replica:"), code=1))


def test_get_forms(c):
    out = c.c8s("get", "deployment", "web")
    lines = out.splitlines()
    check(re.match(r"NAME   READY   UP-TO-DATE   AVAILABLE   AGE$", lines[0]), out)
    check(re.match(r"web    \d/2     ", lines[1]), out)
    check("CONTAINERS" in c.c8s("get", "deploy", "-o", "wide"))
    check(c.c8s("get", "deploy/web", "svc/web", "-o", "name") == "deployment.apps/web\nservice/web\n")
    one = json.loads(c.c8s("get", "deploy", "web", "-o", "json"))
    check(one["kind"] == "Deployment" and "managedFields" not in one["metadata"], one["metadata"])
    many = json.loads(c.c8s("get", "deploy,svc", "-o", "json"))
    check(many["kind"] == "List" and {i["kind"] for i in many["items"]} == {"Deployment", "Service"}, many)
    text = c.c8s("get", "deploy", "web", "-o", "yaml")
    check(text.startswith("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n"), text)
    check(c.c8s("get", "deploy", "web", "-o", "jsonpath={.metadata.name}:{.spec.template.spec.containers[0].image}") ==
          "web:app:2")
    out = c.c8s("get", "pods", "-l", "app=web", "-o",
                'jsonpath={range .items[*]}{.spec.containers[?(@.name=="web")].image}{"\\n"}{end}')
    check(set(out.split()) == {"app:2"}, out)
    check(c.c8s("get", "pods", "-l", "app=none") == "No resources found in default namespace.\n")
    out = c.c8s("get", "pods", "-A", "--no-headers", "--show-labels")
    check(re.search(r"^default +web-.* app=web,pod-template-hash=", out, re.M), out)
    out = c.c8s("get", "all-of-it", code=1)
    check('the server doesn\'t have a resource type "all-of-it"' in out, out)
    out = c.c8s("get", "pod", "none", code=1)
    check(out == 'Error from server (NotFound): pods "none" not found\n', out)
    check(c.c8s("get", "pod", "none", "--ignore-not-found") == "")
    out = c.c8s("get", "pods", "--field-selector", "spec.nodeName=nowhere")
    check("No resources found" in out, out)
    check("pods" in c.c8s("api-resources") and "deployments.apps" in c.c8s("api-resources", "-o", "name"))


def test_watch(c):
    seen = []
    p = subprocess.Popen([os.path.join(c.bin, "c8s"), "get", "configmaps", "-w", "--kubeconfig=" + c.kubeconfig],
                         stdout=subprocess.PIPE, text=True)
    threading.Thread(target=lambda: seen.extend(iter(p.stdout.readline, "")), daemon=True).start()
    eventually("list", lambda: any("kube-root-ca.crt" in x for x in seen))
    c.c8s("create", "configmap", "watched", "--from-literal=a=1")
    eventually("event", lambda: any(x.startswith("watched ") for x in seen))
    p.kill()
    p.wait()


def test_create_and_delete(c):
    check(c.c8s("create", "namespace", "made") == "namespace/made created\n")
    check('namespaces "made" already exists' in c.c8s("create", "namespace", "made", code=1))
    check(c.c8s("create", "deployment", "gen", "--image=registry/x/app:1", "--replicas=2", "--port=80", "-n", "made") ==
          "deployment.apps/gen created\n")
    d = json.loads(c.c8s("get", "deployment", "gen", "-n", "made", "-o", "json"))
    check(d["spec"]["template"]["spec"]["containers"][0]["name"] == "app", d["spec"])
    c.c8s("create", "secret", "generic", "s", "--from-literal=k=v=w", "-n", "made")
    s = json.loads(c.c8s("get", "secret", "s", "-n", "made", "-o", "json"))
    check(s["data"] == {"k": "dj13"}, s)
    check("v=w" not in c.c8s("describe", "secret", "s", "-n", "made"))
    out = c.c8s("create", "deployment", "dry", "--image=app:1", "--dry-run=client", "-o", "yaml")
    check("kind: Deployment" in out and c.client.get(APPS + "/deployments/dry").code == 404, out)
    check("deleted from made namespace" in c.c8s("delete", "deployment", "gen", "-n", "made"))
    check(c.c8s("delete", "ns", "made", "--timeout=30s") == 'namespace "made" deleted\n')
    check("not found" in c.c8s("delete", "ns", "made", code=1))
    check(c.c8s("delete", "ns", "made", "--ignore-not-found") == "")


def test_rollouts(c):
    make(c, APPS + "/deployments", deployment("r", 2))
    out = c.c8s("rollout", "status", "deployment/r", "--timeout=20s")
    check(out.endswith('deployment "r" successfully rolled out\n'), out)
    check("no rollout history" in c.c8s("rollout", "undo", "deployment/r", code=1))
    check(c.client.patch(APPS + "/deployments/r", {"spec": {"template": {"spec": {"containers": [
        {"name": "c", "image": "app:2"}]}}}}).code == 200)
    c.c8s("rollout", "status", "deployment/r", "--timeout=20s")
    out = c.c8s("rollout", "history", "deployment/r")
    check(re.search(r"^1 +<none>\n2 +<none>$", out, re.M), out)
    check(c.c8s("rollout", "undo", "deployment/r") == "deployment.apps/r rolled back\n")
    c.c8s("rollout", "status", "deployment/r", "--timeout=20s")
    eventually("back", lambda: complete(c, "r", 2, "app:1"))
    check("deployment.apps/r restarted" in c.c8s("rollout", "restart", "deployment/r"))
    c.c8s("rollout", "status", "deployment/r", "--timeout=20s")
    check("paused" in c.c8s("rollout", "pause", "deployment/r"))
    eventually("noted", lambda: condition(c.deployment("r"), "Progressing").get("reason") == "DeploymentPaused")
    check("cannot rollback a paused deployment" in c.c8s("rollout", "undo", "deployment/r", code=1))
    check("resumed" in c.c8s("rollout", "resume", "deployment/r"))


def test_describe(c):
    pod = c.ready("app%3Dr")[0]["metadata"]["name"]
    out = c.c8s("describe", "pod", pod)
    for want in (r"^Name: +" + pod + "$", r"^Node: +n[12]/", r"^Controlled By: +ReplicaSet/r-", r"^    Image: +app:1$",
                 r"^  Ready +True ?$", r"^  Normal +Scheduled +\S+ +default-scheduler +Successfully assigned"):
        check(re.search(want, out, re.M), want, out)
    out = c.c8s("describe", "deployment", "r")
    for want in (r"^Replicas: +2 desired \| 2 updated", r"^NewReplicaSet: +r-\w+ \(2/2 replicas created\)$",
                 r"ScalingReplicaSet"):
        check(re.search(want, out, re.M), want, out)
    out = c.c8s("describe", "node", "n1")
    for want in (r"^Name: +n1$", r"^  Ready +True", r"^Allocated resources:", r"^PodCIDR: +10\.244\."):
        check(re.search(want, out, re.M), want, out)
    out = c.c8s("describe", "service", "web")
    check(re.search(r"^Endpoints: +10\.9\.\d+\.\d+:8080", out, re.M), out)
    out = c.c8s("describe", "configmap", "kube-root-ca.crt")
    check(re.search(r"^Kind: +ConfigMap$", out, re.M), out)


def test_bad_input_is_named(c):
    for args, code, want in (
            (["get"], 1, "You must specify the type of resource to get"),
            (["get", "pods", "-o", "xml"], 1, 'output format "xml"'),
            (["get", "pods", "-o", "jsonpath={.a"], 1, "unclosed action"),
            (["get", "pods", "--bogus"], 1, "unknown flag: --bogus"),
            (["apply", "-f", "/nowhere.yaml"], 1, 'the path "/nowhere.yaml" does not exist'),
            (["apply"], 1, "must specify one of -f and -k"),
            (["scale", "deploy/web"], 1, "--replicas=COUNT flag is required"),
            (["delete", "pods"], 1, "no name was specified"),
            (["logs"], 1, "POD or TYPE/NAME is a required argument"),
            (["rollout", "sideways", "deploy/web"], 1, 'unknown command "sideways"')):
        out = c.c8s(*args, code=code)
        check(want in out, args, want, out)
    for text, want in (("a: [", "error parsing STDIN"), ("kind: Pod\n", "apiVersion not set"),
                       ("apiVersion: v9\nkind: Thing\nmetadata: {name: x}\n", "the server doesn't have a resource type"),
                       (WEB.replace("name: web\n  labels", "name: Web_\n  labels"), "Invalid value")):
        out = c.c8s("apply", "-f", "-", stdin=text, code=1)
        check(want in out, want, out)


def main():
    bin_dir, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_") and (not names or any(x in n for x in names))]
    cluster = Cluster(bin_dir)
    failed = 0
    try:
        for name, test in tests:
            try:
                test(cluster)
                cluster.alive()
                print("ok   " + name, flush=True)
            except Exception:
                traceback.print_exc()
                print("FAIL " + name, flush=True)
                failed += 1
        if not failed:
            cluster.stop()
    finally:
        cluster.remove()
    print("%d passed, %d failed" % (len(tests) - failed, failed))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
