#!/usr/bin/env python3
"""Real scheduler and controllers against a real API server; nodes are played by the test.

    control_test.py BIN_DIR [NAME…]     run all tests, or those whose name contains NAME

A thread plays the node agents: what is bound to a node runs and becomes ready, what is deleted ends.
"""
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

from apiserver_lib import Client, Server, free_port

NS = "/api/v1/namespaces/default"
APPS = "/apis/apps/v1/namespaces/default"


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def eventually(what, probe, seconds=60):
    """Wait until probe() is true; its last value is in the failure."""
    deadline = time.monotonic() + seconds
    value = None
    while time.monotonic() < deadline:
        value = probe()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("not within %d s: %s; last: %r" % (seconds, what, value))


class Nodes(threading.Thread):
    """Node agents: heartbeats, and pods that run as soon as they are bound."""

    def __init__(self, client, names, cpu="4"):
        super().__init__(daemon=True)
        self.client, self.names, self.cpu = client, list(names), cpu
        self.silent, self.image_ready, self.done = set(), lambda pod: True, threading.Event()
        self.address = 0
        for name in self.names:
            self.register(name)

    def register(self, name):
        resources = {"cpu": self.cpu, "memory": "8Gi", "pods": "110", "ephemeral-storage": "10Gi"}
        answer = self.client.post("/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}}})
        check(answer.code == 201, answer)
        answer = self.client.patch("/api/v1/nodes/%s/status" % name, {"status": {
            "capacity": resources, "allocatable": resources,
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady",
                            "lastHeartbeatTime": now(), "lastTransitionTime": now()}]}})
        check(answer.code == 200, answer)
        self.client.post("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", {
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "namespace": "kube-node-lease"},
            "spec": {"holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": micro_now()}})

    def heartbeat(self):
        for name in self.names:
            if name not in self.silent:
                self.client.patch("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/" + name,
                                  {"spec": {"renewTime": micro_now()}}, kind="merge-patch")

    def step(self):
        for pod in self.client.get("/api/v1/pods").json["items"]:
            node = pod["spec"].get("nodeName")
            if not node or node in self.silent:
                continue
            path = "/api/v1/namespaces/%s/pods/%s" % (pod["metadata"]["namespace"], pod["metadata"]["name"])
            if pod["metadata"].get("deletionTimestamp"):
                self.client.delete(path, {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0})
            elif pod["status"].get("phase") != "Running":
                self.run_pod(pod, path)

    def run_pod(self, pod, path):
        ready = "True" if self.image_ready(pod) else "False"
        self.address += 1
        ip = "10.9.%d.%d" % (self.address // 250, self.address % 250 + 1)
        self.client.patch(path + "/status", {"status": {
            "phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "startTime": now(),
            "conditions": [{"type": t, "status": ready if t in ("Ready", "ContainersReady") else "True",
                            "lastTransitionTime": now()}
                           for t in ("Initialized", "Ready", "ContainersReady", "PodScheduled")]}})

    def run(self):
        last = 0
        while not self.done.is_set():
            try:
                if time.monotonic() - last > 1:
                    self.heartbeat()
                    last = time.monotonic()
                self.step()
            except (OSError, KeyError, ValueError):
                pass  # the API server is being restarted by a test
            self.done.wait(0.1)


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def micro_now():
    t = time.time()
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t)) + ".%06dZ" % (t % 1 * 1e6)


class Cluster:
    def __init__(self, bin_dir):
        self.bin = bin_dir
        self.processes = {}
        self.server = Server(os.path.join(bin_dir, "c8s-apiserver"))
        try:
            self.begin()
        except BaseException:
            self.remove()
            raise

    def begin(self):
        self.server.start()
        self.client = self.server.client()
        self.kubeconfig = self.write_kubeconfig("admin")
        for user in ("kube-controller-manager", "kube-scheduler"):  # with no more rights than upstream gives them
            self.server.pki.client(user, "/CN=system:" + user)
            self.write_kubeconfig(user)
        self.start("c8s-controllers", "--allocate-node-cidrs", "--cluster-cidr=10.244.0.0/16",
                   "--root-ca-file=" + self.server.pki.path("ca.crt"), "--node-monitor-grace-period=4s",
                   "--node-monitor-period=500ms")
        self.start("c8s-scheduler")
        self.nodes = Nodes(self.server.client(), ["n1", "n2"])
        self.nodes.start()

    def write_kubeconfig(self, user):
        p = self.server.pki.path
        config = {"apiVersion": "v1", "kind": "Config", "current-context": "t",
                  "clusters": [{"name": "t", "cluster": {"server": "https://127.0.0.1:%d" % self.server.port,
                                                         "certificate-authority": p("ca.crt")}}],
                  "users": [{"name": "t", "user": {"client-certificate": p(user + ".crt"),
                                                   "client-key": p(user + ".key")}}],
                  "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}]}
        with open(p(user + ".conf"), "w") as f:
            json.dump(config, f)
        return p(user + ".conf")

    def start(self, name, *flags):
        log = open(self.server.pki.path(name + ".log"), "ab")
        self.processes[name] = subprocess.Popen(
            [os.path.join(self.bin, name), "--secure-port=0", "--kubeconfig=" + self.server.pki.path(
                "kube-scheduler.conf" if name == "c8s-scheduler" else "kube-controller-manager.conf"),
             "--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s",
             "--leader-elect-retry-period=300ms", *flags], stdout=log, stderr=log)
        self.processes[name].flags = flags

    def restart(self, name):
        p = self.processes[name]
        p.send_signal(signal.SIGKILL)
        p.wait()
        self.start(name, *p.flags)

    def c8s(self, *args, code=0, stdin=None):
        r = subprocess.run([os.path.join(self.bin, "c8s"), *args, "--kubeconfig=" + self.kubeconfig],
                           capture_output=True, text=True, timeout=60, input=stdin)
        check(r.returncode == code, "c8s", " ".join(args), "exit", r.returncode, r.stdout, r.stderr)
        return r.stdout + r.stderr

    def c8s_kv(self, *args):
        subprocess.run([os.path.join(self.bin, "c8s"), "kv", "--endpoints", "127.0.0.1:%d" % self.server.client_port, *args],
                       check=True, stdout=subprocess.DEVNULL, timeout=60)

    def alive(self):
        for name, p in self.processes.items():
            check(p.poll() is None, name, "ended with", p.poll(), self.log(name))

    def log(self, name, lines=40):
        with open(self.server.pki.path(name + ".log"), errors="replace") as f:
            return "".join(f.readlines()[-lines:])

    def stop(self):
        """Graceful end of all; sanitizers report by the exit code."""
        self.nodes.done.set()
        self.nodes.join()
        for name, p in self.processes.items():
            p.send_signal(signal.SIGTERM)
            check(p.wait(timeout=60) == 0, name, "exit code", p.returncode, self.log(name))
        check(self.server.stop() == 0, "API server's exit code", self.server.log_tail())

    def remove(self):
        for p in self.processes.values():
            if p.poll() is None:
                p.kill()
        self.server.remove()

    # --- questions

    def pods(self, selector="", namespace="default"):
        path = "/api/v1/namespaces/%s/pods?labelSelector=%s" % (namespace, selector)
        return self.client.get(path).json["items"]

    def ready(self, selector):
        return [p for p in self.pods(selector) if not p["metadata"].get("deletionTimestamp") and any(
            c["type"] == "Ready" and c["status"] == "True" for c in p["status"].get("conditions", []))]

    def deployment(self, name):
        return self.client.get(APPS + "/deployments/" + name).json

    def sets(self, app):
        return self.client.get(APPS + "/replicasets?labelSelector=app%3D" + app).json["items"]

    def events(self, reason):
        return [e for e in self.client.get(NS + "/events").json["items"] if e["reason"] == reason]


def deployment(name, replicas, image="app:1", **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": dict({"replicas": replicas, "selector": {"matchLabels": {"app": name}},
                          "template": {"metadata": {"labels": {"app": name}},
                                       "spec": {"containers": [{"name": "c", "image": image}]}}}, **spec)}


def make(c, path, body):
    answer = c.client.post(path, body)
    check(answer.code == 201, answer)
    return answer.json


def complete(c, name, replicas, image):
    d = c.deployment(name)
    s = d.get("status", {})
    if s.get("observedGeneration") != d["metadata"]["generation"]:
        return False
    if not all(s.get(k, 0) == replicas for k in ("replicas", "updatedReplicas", "readyReplicas",
                                                "availableReplicas")):
        return False
    images = {p["spec"]["containers"][0]["image"] for p in c.ready("app%3D" + name)}
    return replicas == 0 or images == {image}


def condition(o, kind):
    for x in o.get("status", {}).get("conditions", []):
        if x["type"] == kind:
            return x
    return {}


# --- tests -----------------------------------------------------------------------------------------


def test_pods_are_made_scheduled_and_spread(c):
    make(c, APPS + "/deployments", deployment("spread", 6))
    eventually("deployment complete", lambda: complete(c, "spread", 6, "app:1"))
    by_node = {}
    for p in c.ready("app%3Dspread"):
        by_node[p["spec"]["nodeName"]] = by_node.get(p["spec"]["nodeName"], 0) + 1
        check(p["metadata"]["ownerReferences"][0]["kind"] == "ReplicaSet", p["metadata"])
        check("pod-template-hash" in p["metadata"]["labels"], p["metadata"])
    check(by_node == {"n1": 3, "n2": 3}, by_node)
    check(condition(c.deployment("spread"), "Available")["status"] == "True")
    eventually("events tell", lambda: c.events("Scheduled") and c.events("SuccessfulCreate")
               and c.events("ScalingReplicaSet"))


def test_why_a_pod_is_pending(c):
    d = deployment("big", 1)
    d["spec"]["template"]["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "64"}}
    make(c, APPS + "/deployments", d)
    want = "0/2 nodes are available: 2 Insufficient cpu."
    eventually("event", lambda: any(want in e["message"] for e in c.events("FailedScheduling")))
    pod = c.pods("app%3Dbig")[0]
    scheduled = eventually("condition", lambda: condition(c.pods("app%3Dbig")[0], "PodScheduled"))
    check(scheduled["reason"] == "Unschedulable" and want in scheduled["message"], scheduled)
    # It runs as soon as a node has room.
    c.nodes.cpu = "100"
    c.nodes.names.append("n3")
    c.nodes.register("n3")
    eventually("runs on the new node", lambda: [p for p in c.ready("app%3Dbig") if p["spec"]["nodeName"] == "n3"])
    check(pod["metadata"]["name"] == c.pods("app%3Dbig")[0]["metadata"]["name"])


def test_scale_up_and_down(c):
    make(c, APPS + "/deployments", deployment("size", 2))
    eventually("2", lambda: complete(c, "size", 2, "app:1"))
    check("deployment.apps/size scaled" in c.c8s("scale", "deployment/size", "--replicas=7"))
    eventually("7", lambda: complete(c, "size", 7, "app:1"))
    c.c8s("scale", "deploy", "size", "--replicas=1")
    eventually("1", lambda: complete(c, "size", 1, "app:1"))
    check(len(c.sets("size")) == 1)


def test_rolling_update_keeps_the_minimum_and_rolls_back(c):
    make(c, APPS + "/deployments", deployment("roll", 4, strategy={
        "type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": "25%"}}))
    eventually("first", lambda: complete(c, "roll", 4, "app:1"))
    low = [4]
    high = [0]

    def rolled(image):
        alive = [p for p in c.pods("app%3Droll") if not p["metadata"].get("deletionTimestamp")]
        low[0] = min(low[0], len(c.ready("app%3Droll")))
        high[0] = max(high[0], len(alive))
        return complete(c, "roll", 4, image)

    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "app:2"}]}}}}
    check(c.client.patch(APPS + "/deployments/roll", patch).code == 200)
    eventually("second", lambda: rolled("app:2"), 60)
    check(low[0] >= 3, "fell to", low[0])
    check(high[0] <= 5, "rose to", high[0])
    revisions = {s["spec"]["template"]["spec"]["containers"][0]["image"]:
                 s["metadata"]["annotations"]["deployment.kubernetes.io/revision"] for s in c.sets("roll")}
    check(revisions == {"app:1": "1", "app:2": "2"}, revisions)
    check(c.deployment("roll")["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "2")
    check(condition(c.deployment("roll"), "Progressing")["reason"] == "NewReplicaSetAvailable")
    # Back: the old set becomes the new one, with the next revision and its history.
    patch["spec"]["template"]["spec"]["containers"][0]["image"] = "app:1"
    check(c.client.patch(APPS + "/deployments/roll", patch).code == 200)
    eventually("back", lambda: complete(c, "roll", 4, "app:1"), 60)
    first = [s for s in c.sets("roll") if s["spec"]["template"]["spec"]["containers"][0]["image"] == "app:1"][0]
    check(first["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3", first["metadata"])
    check(first["metadata"]["annotations"]["deployment.kubernetes.io/revision-history"] == "1", first["metadata"])
    check(len(c.sets("roll")) == 2)


def test_recreate_pause_and_deadline(c):
    make(c, APPS + "/deployments", deployment("re", 3, strategy={"type": "Recreate"}, progressDeadlineSeconds=3))
    eventually("first", lambda: complete(c, "re", 3, "app:1"))
    both = [False]

    def rolled():
        images = {p["spec"]["containers"][0]["image"] for p in c.pods("app%3Dre")}
        both[0] |= len(images) > 1
        return complete(c, "re", 3, "app:2")

    patch = {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": "app:2"}]}}}}
    check(c.client.patch(APPS + "/deployments/re", patch).code == 200)
    eventually("second", rolled, 60)
    check(not both[0], "old and new pods at the same time")
    check(c.client.patch(APPS + "/deployments/re", {"spec": {"paused": True}}).code == 200)
    eventually("paused", lambda: condition(c.deployment("re"), "Progressing").get("reason") == "DeploymentPaused")
    patch["spec"]["template"]["spec"]["containers"][0]["image"] = "bad:3"
    check(c.client.patch(APPS + "/deployments/re", patch).code == 200)
    time.sleep(0.5)
    check(len(c.sets("re")) == 2, "a paused deployment rolled out")
    c.nodes.image_ready = lambda pod: not pod["spec"]["containers"][0]["image"].startswith("bad")
    check(c.client.patch(APPS + "/deployments/re", {"spec": {"paused": False}}).code == 200)
    eventually("stuck", lambda: condition(c.deployment("re"), "Progressing").get("reason") ==
               "ProgressDeadlineExceeded")
    c.nodes.image_ready = lambda pod: True


def test_owners_and_orphans(c):
    make(c, APPS + "/deployments", deployment("own", 2))
    eventually("complete", lambda: complete(c, "own", 2, "app:1"))
    # Orphan: sets and pods stay, without owner.
    answer = c.client.delete(APPS + "/deployments/own", {"kind": "DeleteOptions", "apiVersion": "v1",
                                                         "propagationPolicy": "Orphan"})
    check(answer.code == 200, answer)
    eventually("deployment gone", lambda: c.client.get(APPS + "/deployments/own").code == 404)
    rs = c.sets("own")[0]
    check(not rs["metadata"].get("ownerReferences"), rs["metadata"])
    check(len(c.ready("app%3Down")) == 2)
    # A new deployment with the same template adopts the set.
    make(c, APPS + "/deployments", deployment("own", 2))
    eventually("adopted", lambda: c.sets("own")[0]["metadata"].get("ownerReferences"))
    check(len(c.sets("own")) == 1)
    # Foreground: the deployment is there until everything below it is gone.
    c.client.delete(APPS + "/deployments/own", {"kind": "DeleteOptions", "apiVersion": "v1",
                                                "propagationPolicy": "Foreground"})
    order_kept = [True]

    def gone():
        if c.client.get(APPS + "/deployments/own").code == 404:
            order_kept[0] &= not c.sets("own") and not c.pods("app%3Down")
            return True

    eventually("gone", gone, 60)
    check(order_kept[0], "the owner went before its dependents")


def test_background_delete_collects_all(c):
    make(c, APPS + "/deployments", deployment("bg", 3))
    eventually("complete", lambda: complete(c, "bg", 3, "app:1"))
    out = c.c8s("delete", "deployment", "bg")
    check('deployment.apps "bg" deleted from default namespace' in out, out)
    eventually("pods gone", lambda: not c.pods("app%3Dbg") and not c.sets("bg"))


def test_a_pod_is_replaced_and_adopted(c):
    make(c, APPS + "/deployments", deployment("heal", 2))
    eventually("complete", lambda: complete(c, "heal", 2, "app:1"))
    victim = c.pods("app%3Dheal")[0]["metadata"]["name"]
    c.c8s("delete", "pod", victim)
    eventually("replaced", lambda: complete(c, "heal", 2, "app:1") and
               victim not in [p["metadata"]["name"] for p in c.pods("app%3Dheal")])
    # A pod that no longer matches is released, and another takes its place.
    released = c.pods("app%3Dheal")[0]["metadata"]["name"]
    check("labeled" in c.c8s("label", "pod", released, "app=free", "--overwrite"))
    eventually("released", lambda: not c.client.get(NS + "/pods/" + released).json["metadata"].get("ownerReferences"))
    eventually("2 again", lambda: len(c.ready("app%3Dheal")) == 2)
    c.c8s("delete", "pod", released, "--force", "--grace-period=0")


def test_endpoints_follow_pods(c):
    d = deployment("svc", 3)
    d["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"name": "web", "containerPort": 8080}]
    make(c, APPS + "/deployments", d)
    make(c, NS + "/services", {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "svc"},
                               "spec": {"selector": {"app": "svc"}, "ports": [{"port": 80, "targetPort": "web"}]}})

    def slices():
        return c.client.get("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
                            "?labelSelector=kubernetes.io/service-name%3Dsvc").json["items"]

    def addresses():
        return {e["addresses"][0] for s in slices() for e in s.get("endpoints") or [] if e["conditions"]["ready"]}

    eventually("3 endpoints", lambda: len(addresses()) == 3)
    s = slices()[0]
    check(s["ports"] == [{"name": "", "protocol": "TCP", "port": 8080}], s["ports"])
    check(all(e["nodeName"] and e["targetRef"]["kind"] == "Pod" for e in s["endpoints"]), s)
    eventually("Endpoints object", lambda: len((c.client.get(NS + "/endpoints/svc").json.get("subsets") or
                                                [{"addresses": []}])[0]["addresses"]) == 3)
    c.c8s("scale", "deployment/svc", "--replicas=1")
    eventually("1 endpoint", lambda: len(addresses()) == 1)
    check(len(slices()) == 1, slices())
    c.c8s("delete", "service", "svc")
    eventually("slices gone", lambda: not slices())
    eventually("Endpoints gone", lambda: c.client.get(NS + "/endpoints/svc").code == 404)


def test_namespaces_are_furnished_and_emptied(c):
    make(c, "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    base = "/api/v1/namespaces/shop"
    eventually("service account", lambda: c.client.get(base + "/serviceaccounts/default").code == 200)
    ca = eventually("CA", lambda: c.client.get(base + "/configmaps/kube-root-ca.crt").code == 200 and
                    c.client.get(base + "/configmaps/kube-root-ca.crt").json)
    check("BEGIN CERTIFICATE" in ca["data"]["ca.crt"], ca)
    d = deployment("web", 3)
    make(c, "/apis/apps/v1/namespaces/shop/deployments", d)
    make(c, base + "/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}})
    eventually("pods", lambda: len(c.pods("app%3Dweb", "shop")) == 3)
    out = c.c8s("delete", "namespace", "shop", "--timeout=40s")
    check('namespace "shop" deleted' in out, out)
    check(c.client.get(base).code == 404)
    check(not c.client.get(base + "/pods").json["items"])
    check(not c.client.get(base + "/configmaps").json["items"])


def test_claims_and_volumes_in_use_stay(c):
    volumes, claims = "/api/v1/persistentvolumes", NS + "/persistentvolumeclaims"
    size = {"storage": "1Gi"}
    make(c, volumes, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": {
        "capacity": size, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/tmp/v"}}})
    make(c, claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "used"}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": size}}})
    make(c, NS + "/pods", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "user"}, "spec": {
        "nodeName": "n1", "volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "used"}}],
        "containers": [{"name": "c", "image": "c8s.io/web:1"}]}})
    check(c.client.delete(claims + "/used").code == 200)
    check(c.client.delete(volumes + "/v").code == 200)
    eventually("the volume is gone", lambda: c.client.get(volumes + "/v").code == 404)
    check(c.client.get(claims + "/used").json["metadata"]["deletionTimestamp"], "the claim waits for its pod")
    c.c8s("delete", "pod", "user", "--force", "--grace-period=0")
    eventually("the claim is gone", lambda: c.client.get(claims + "/used").code == 404)


def test_classes_of_attributes_in_use_stay(c):
    classes, volumes, claims = "/apis/storage.k8s.io/v1/volumeattributesclasses", "/api/v1/persistentvolumes", NS + "/persistentvolumeclaims"
    size = {"storage": "1Gi"}
    for name in ("free", "claimed", "had", "carried"):
        make(c, classes, {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": name},
                          "driverName": "x.io", "parameters": {"iops": "1"}})
    for name, wants in (("wants", "claimed"), ("has", "free")):
        make(c, claims, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "", "volumeAttributesClassName": wants, "resources": {"requests": size}}})
    answer = c.client.patch(claims + "/has/status", {"status": {"currentVolumeAttributesClassName": "had"}})
    check(answer.code == 200, answer)
    make(c, volumes, {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "attributes"}, "spec": {
        "capacity": size, "accessModes": ["ReadWriteOnce"], "volumeAttributesClassName": "carried",
        "csi": {"driver": "x.io", "volumeHandle": "h"}}})
    # One that lost its finalizer, as one from before there was any, gets it again.
    check(c.client.patch(classes + "/free", {"metadata": {"finalizers": None}}, "merge-patch").code == 200)
    eventually("held again", lambda: c.client.get(classes + "/free").json["metadata"].get("finalizers") == ["kubernetes.io/vac-protection"])
    for name in ("claimed", "had", "carried"):
        check(c.client.delete(classes + "/" + name).code == 200)
    make(c, classes, {"apiVersion": "storage.k8s.io/v1", "kind": "VolumeAttributesClass", "metadata": {"name": "nobodys"}, "driverName": "x.io",
                      "parameters": {"iops": "1"}})
    check(c.client.delete(classes + "/nobodys").code == 200)
    eventually("the one that nobody names is gone", lambda: c.client.get(classes + "/nobodys").code == 404)  # and so the others were looked at
    for name in ("claimed", "had", "carried"):
        check(c.client.get(classes + "/" + name).json["metadata"]["deletionTimestamp"], name + " waits")
    check(c.client.patch(claims + "/has/status", {"status": {"currentVolumeAttributesClassName": "free"}}).code == 200)
    eventually("the one that a claim had is gone", lambda: c.client.get(classes + "/had").code == 404)
    check(c.client.delete(claims + "/wants").code == 200)
    eventually("the claimed one is gone", lambda: c.client.get(classes + "/claimed").code == 404)
    check(c.client.delete(volumes + "/attributes").code == 200)
    eventually("the carried one is gone", lambda: c.client.get(classes + "/carried").code == 404)
    check(c.client.get(classes + "/free").code == 200)


def test_a_silent_node_is_tainted_and_its_pods_leave(c):
    d = deployment("move", 2)
    d["spec"]["template"]["spec"]["tolerations"] = [
        {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1},
        {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 1}]
    d["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "z"}
    for n in ("n1", "n2"):
        check("labeled" in c.c8s("label", "node", n, "zone=z"))
    make(c, APPS + "/deployments", d)
    eventually("complete", lambda: complete(c, "move", 2, "app:1"))
    cidrs = {c.client.get("/api/v1/nodes/" + n).json["spec"]["podCIDR"] for n in ("n1", "n2")}
    check(len(cidrs) == 2 and all(x.startswith("10.244.") and x.endswith("/24") for x in cidrs), cidrs)
    c.nodes.silent.add("n2")
    node = eventually("unreachable", lambda: (lambda n: any(
        t["key"] == "node.kubernetes.io/unreachable" and t["effect"] == "NoExecute"
        for t in n["spec"].get("taints", [])) and n)(c.client.get("/api/v1/nodes/n2").json))
    check(condition(node, "Ready")["status"] == "Unknown", node["status"])
    eventually("both on n1", lambda: len([p for p in c.ready("app%3Dmove") if p["spec"]["nodeName"] == "n1"]) == 2)
    c.nodes.silent.discard("n2")
    check(c.client.patch("/api/v1/nodes/n2/status", {"status": {"conditions": [
        {"type": "Ready", "status": "True", "reason": "KubeletReady", "lastHeartbeatTime": now(),
         "lastTransitionTime": now()}]}}).code == 200)
    eventually("taints gone", lambda: not c.client.get("/api/v1/nodes/n2").json["spec"].get("taints"))


def test_everything_survives_restarts(c):
    make(c, APPS + "/deployments", deployment("kill", 4))
    c.restart("c8s-controllers")
    c.restart("c8s-scheduler")
    eventually("complete after both were killed", lambda: complete(c, "kill", 4, "app:1"), 60)
    c.server.kill()
    c.server.start()
    c.c8s("scale", "deployment/kill", "--replicas=6")
    eventually("complete after the API server was killed", lambda: complete(c, "kill", 6, "app:1"), 60)
    c.alive()


def test_a_stand_by_takes_over_and_a_leader_that_lost_begins_again(c):
    lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler"
    first = c.client.get(lease).json["spec"]["holderIdentity"]
    leader = c.processes.pop("c8s-scheduler")
    c.start("c8s-scheduler")
    time.sleep(1)
    check(c.client.get(lease).json["spec"]["holderIdentity"] == first, "two leaders")
    leader.send_signal(signal.SIGSTOP)  # its time runs out while it stands still
    try:
        eventually("another leads", lambda: c.client.get(lease).json["spec"]["holderIdentity"] != first)
        make(c, APPS + "/deployments", deployment("after", 2))
        eventually("scheduled", lambda: complete(c, "after", 2, "app:1"))
        leader.send_signal(signal.SIGCONT)
        eventually("it steps down and stands by", lambda: "beginning again as a stand-by" in c.log("c8s-scheduler"))
        time.sleep(1)
        check(leader.poll() is None, "it ended")
        # The leader leaves in good order: the other follows at once, not after the lease has run out.
        c.processes["c8s-scheduler"].send_signal(signal.SIGTERM)
        check(c.processes["c8s-scheduler"].wait(timeout=60) == 0, "exit code")
        c.processes["c8s-scheduler"] = leader
        leader.flags = ()
        check("could not release" not in c.log("c8s-scheduler"), c.log("c8s-scheduler"))
        c.c8s("scale", "deployment/after", "--replicas=4")
        eventually("scheduled again", lambda: complete(c, "after", 4, "app:1"))
    finally:
        if c.processes["c8s-scheduler"] is not leader:
            leader.kill()


def test_host_ports_and_cordon(c):
    for n in ("n1", "n2"):
        c.c8s("label", "node", n, "zone=z", "--overwrite")
    d = deployment("port", 3)
    d["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "z"}
    d["spec"]["template"]["spec"]["containers"][0]["ports"] = [{"containerPort": 80, "hostPort": 8080}]
    make(c, APPS + "/deployments", d)
    eventually("one a node", lambda: len(c.ready("app%3Dport")) == 2)
    check({p["spec"]["nodeName"] for p in c.ready("app%3Dport")} == {"n1", "n2"})
    eventually("third waits", lambda: any("free ports" in e["message"] for e in c.events("FailedScheduling")))
    c.c8s("delete", "deployment", "port")
    check("node/n1 cordoned" in c.c8s("cordon", "n1"))
    eventually("tainted", lambda: c.client.get("/api/v1/nodes/n1").json["spec"].get("taints"))
    d = deployment("cordon", 2)
    d["spec"]["template"]["spec"]["nodeSelector"] = {"zone": "z"}
    make(c, APPS + "/deployments", d)
    eventually("all on n2", lambda: complete(c, "cordon", 2, "app:1"))
    check({p["spec"]["nodeName"] for p in c.ready("app%3Dcordon")} == {"n2"})
    c.c8s("uncordon", "n1")
    eventually("untainted", lambda: not c.client.get("/api/v1/nodes/n1").json["spec"].get("taints"))


def test_who_was_away_past_a_compaction_lists_again(c):
    """A scheduler that stands still while the versions that it has seen are compacted: neither its watches nor lists of
    exactly that version are answered any more. It keeps its lease, so it does not simply begin again. (All stand still:
    what somebody watches the server still knows.)"""
    def begin(*flags):
        p = c.processes["c8s-scheduler"]
        p.send_signal(signal.SIGTERM)
        check(p.wait(timeout=60) == 0, "exit code", p.returncode)
        c.start("c8s-scheduler", *flags)

    def begun_again():
        return c.log("c8s-scheduler", 10000).count("beginning again as a stand-by")

    before = begun_again()
    begin("--leader-elect-lease-duration=300s", "--leader-elect-renew-deadline=200s")
    make(c, APPS + "/deployments", deployment("away", 1))
    eventually("scheduled", lambda: complete(c, "away", 1, "app:1"))
    for p in c.processes.values():
        p.send_signal(signal.SIGSTOP)
    try:
        c.server.kill()
        c.server.start()
        make(c, NS + "/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "away"}})
        newest = c.client.get(NS + "/configmaps/away").json["metadata"]["resourceVersion"]
        c.c8s_kv("compact", newest)
    finally:
        for p in c.processes.values():
            p.send_signal(signal.SIGCONT)
    c.c8s("scale", "deployment/away", "--replicas=3")
    eventually("scheduled again", lambda: complete(c, "away", 3, "app:1"))
    check(begun_again() == before, c.log("c8s-scheduler"))
    begin()


def main():
    bin_dir, names = os.path.abspath(sys.argv[1]), sys.argv[2:]
    tests = [(n, f) for n, f in globals().items() if n.startswith("test_") and (not names or any(x in n for x in names))]
    cluster = Cluster(bin_dir)
    failed = []
    try:
        for name, test in tests:
            start = time.monotonic()
            try:
                test(cluster)
                cluster.alive()
                print("ok   %s (%.1f s)" % (name, time.monotonic() - start), flush=True)
            except Exception:
                traceback.print_exc()
                print("FAIL %s" % name, flush=True)
                failed.append(name)
        if failed:
            for name in cluster.processes:
                print("--- %s\n%s" % (name, cluster.log(name)))
        else:
            cluster.stop()
            print("ok   all end without a leak")
    finally:
        cluster.remove()
    print("%d passed, %d failed" % (len(tests) - len(failed), len(failed)))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
