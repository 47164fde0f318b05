#!/usr/bin/env python3
"""The node agent on real containerd, under a real API server: a cluster of one member and two nodes made by
`c8s up`, pods of many kinds, what their status, events and logs say, and what is left when they are gone.

    agent_test.py [NAME…]     run all tests, or those whose name contains NAME

C8S_BIN names the directory of the executables. Exit code 77: skipped (not root, no containerd).
"""
import base64
import glob
import http.client
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
BIN = os.environ.get("C8S_BIN") or os.path.join(HERE, "../../build/debug/bin")
CLUSTER = "agent%d" % os.getpid()
IMAGE = "c8s.io/web:1"
PODS = "/api/v1/namespaces/default/pods"
STATE = "/var/lib/c8s/clusters/" + CLUSTER


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, want, *what):
    check(got == want, *what, "got", repr(got), "want", repr(want))


def eventually(seconds, what, fn):
    """The first true value fn returns; fails, naming what was waited for, when the time is over."""
    deadline = time.monotonic() + seconds
    while True:
        value = fn()
        if value:
            return value
        check(time.monotonic() < deadline, "not within %d s:" % seconds, what)
        time.sleep(0.1)


class Api:
    """The cluster's API server, by the administrator's kubeconfig."""

    def __init__(self, kubeconfig):
        text = open(kubeconfig).read()
        self.host, self.port = re.search(r"server: https://([^:\s]+):(\d+)", text).groups()
        self.dir = tempfile.mkdtemp()
        for name in ("certificate-authority", "client-certificate", "client-key"):
            data = re.search(name + r"-data: (\S+)", text).group(1)
            with open(self.path(name), "wb") as f:
                f.write(base64.b64decode(data))
        self.context = ssl.create_default_context(cafile=self.path("certificate-authority"))
        self.context.load_cert_chain(self.path("client-certificate"), self.path("client-key"))

    def path(self, name):
        return os.path.join(self.dir, name)

    def request(self, method, path, body=None):
        c = http.client.HTTPSConnection(self.host, int(self.port), context=self.context, timeout=30)
        try:
            c.request(method, path, body=json.dumps(body) if body is not None else None,
                      headers={"Content-Type": "application/json"})
            r = c.getresponse()
            return r.status, r.read().decode()
        finally:
            c.close()

    def get(self, path):
        code, body = self.request("GET", path)
        check(code == 200, "GET", path, code, body)
        return json.loads(body)

    def make(self, path, body):
        code, text = self.request("POST", path, body)
        check(code == 201, "POST", path, code, text)
        return json.loads(text)

    def pod(self, name):
        code, body = self.request("GET", PODS + "/" + name)
        return json.loads(body) if code == 200 else None

    def log(self, name, query=""):
        return self.request("GET", "%s/%s/log%s" % (PODS, name, query))

    def events(self, name):
        got = self.get("/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=" + name)
        return [(e["reason"], e["message"]) for e in got["items"]]

    def delete(self, name, grace=None):
        body = {} if grace is None else {"gracePeriodSeconds": grace}
        return self.request("DELETE", PODS + "/" + name, body)


api = None


def container(command=None, **more):
    c = {"name": "c", "image": IMAGE}
    if command:
        c["command"] = ["sh", "-c", command]
    c.update(more)
    return c


def run(name, *containers, **spec):
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": dict({"terminationGracePeriodSeconds": 1, "containers": list(containers)}, **spec)}
    return api.make(PODS, body)


def status(name):
    return (api.pod(name) or {}).get("status", {})


def container_status(name, index=0):
    return status(name).get("containerStatuses", [{}] * (index + 1))[index]


def phase(name, wanted, seconds=60):
    eventually(seconds, "%s: phase %s, status %s" % (name, wanted, json.dumps(status(name))),
               lambda: status(name).get("phase") == wanted)
    return api.pod(name)


def ready(name, seconds=60):
    def is_ready():
        return any(c["type"] == "Ready" and c["status"] == "True" for c in status(name).get("conditions", []))
    eventually(seconds, "%s is ready" % name, is_ready)
    return api.pod(name)


def waiting(name, reason, seconds=60):
    eventually(seconds, "%s waits for %s: %s" % (name, reason, json.dumps(status(name))),
               lambda: container_status(name).get("state", {}).get("waiting", {}).get("reason") == reason)
    return container_status(name)


def gone(name, seconds=60):
    eventually(seconds, "%s is gone" % name, lambda: api.pod(name) is None)


# ---- what a container gets ----

def test_environment_and_volumes(_):
    api.make("/api/v1/namespaces/default/configmaps",
             {"metadata": {"name": "cm"}, "data": {"a": "one", "b": "two"}})
    api.make("/api/v1/namespaces/default/secrets", {"metadata": {"name": "sec"}, "stringData": {"token": "s3cret"}})
    show = ("for f in /cm/a /sec/token /data/f /sub /pod/labels "
            "/var/run/secrets/kubernetes.io/serviceaccount/namespace; do echo \"$f=$(cat $f)\"; done; "
            "env; id; cat /etc/hosts; df /mem | tail -1; touch /x || echo read-only; echo over; sleep 1000")

    def mount(name, path, **more):
        return dict({"name": name, "mountPath": path}, **more)
    run("vols",
        container(show, securityContext={"runAsUser": 1000, "runAsGroup": 2000, "readOnlyRootFilesystem": True},
                  resources={"limits": {"memory": "32Mi", "cpu": "100m"}},
                  env=[{"name": "MY_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                       {"name": "MY_KEY", "valueFrom": {"configMapKeyRef": {"name": "cm", "key": "a"}}},
                       {"name": "MY_REF", "value": "$(MY_KEY)-$(NONE)"}],
                  volumeMounts=[mount("cm", "/cm"), mount("sec", "/sec"), mount("data", "/data"), mount("mem", "/mem"),
                                mount("pod", "/pod"), mount("cm", "/sub", subPath="b")]),
        initContainers=[dict(container("echo init >/data/f", volumeMounts=[mount("data", "/data")]), name="i")],
        volumes=[{"name": "cm", "configMap": {"name": "cm"}}, {"name": "sec", "secret": {"secretName": "sec"}},
                 {"name": "data", "emptyDir": {}}, {"name": "mem", "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
                 {"name": "pod", "downwardAPI": {"items": [
                     {"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}}])
    pod = ready("vols")
    log = eventually(60, "the log", lambda: "over" in api.log("vols")[1] and api.log("vols")[1])
    ip = pod["status"]["podIP"]
    service = api.get("/api/v1/namespaces/default/services/kubernetes")["spec"]["clusterIP"]
    for line in ("/cm/a=one", "/sec/token=s3cret", "/data/f=init", "/sub=two", '/pod/labels=app="vols"',
                 "/var/run/secrets/kubernetes.io/serviceaccount/namespace=default", "MY_IP=" + ip, "MY_KEY=one",
                 "MY_REF=one-$(NONE)", "KUBERNETES_SERVICE_HOST=" + service, "uid=1000 gid=2000 groups=2000",
                 ip + "\tvols", "read-only"):
        check(line in log.splitlines(), "log lacks", line, log)
    check(re.search(r"tmpfs +1024 ", log), "memory volume", log)
    limits = glob.glob("/sys/fs/cgroup/memory/c8s/%s/*/kubepods/*/pod%s/*/memory.limit_in_bytes"
                       % (CLUSTER, pod["metadata"]["uid"]))
    if os.path.isdir("/sys/fs/cgroup/memory"):
        shares = glob.glob("/sys/fs/cgroup/cpu/c8s/%s/*/kubepods/*/pod%s/cpu.shares" % (CLUSTER, pod["metadata"]["uid"]))
        equal([open(f).read().strip() for f in shares], ["102"], "CPU shares of the pod")
        check(any(open(f).read().strip() == str(32 << 20) for f in limits), "memory limit", limits)
    paths = glob.glob(STATE + "/node*/agent/pods/%s/volumes/kubernetes.io~configmap/cm/..data" % pod["metadata"]["uid"])
    equal(len(paths), 1, "the volume's ..data link")


def test_what_is_missing_is_said(_):
    run("nocm", container(envFrom=[{"configMapRef": {"name": "nope"}}]))
    check("configmap \"nope\" not found" in waiting("nocm", "CreateContainerConfigError")["state"]["waiting"]["message"],
          container_status("nocm"))
    run("novol", container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
        volumes=[{"name": "v", "secret": {"secretName": "nope"}}])
    eventually(60, "FailedMount", lambda: any(r == "FailedMount" and "nope" in m for r, m in api.events("novol")))
    api.make("/api/v1/namespaces/default/secrets", {"metadata": {"name": "nope"}, "stringData": {"x": "y"}})
    ready("novol")


def test_images(_):
    run("pull", dict(container(), image="localhost:1/none:1"))
    run("never", dict(container(), image="c8s.io/none:1", imagePullPolicy="Never"))
    waiting("never", "ErrImageNeverPull")
    check("localhost:1/none:1" in waiting("pull", "ImagePullBackOff")["state"]["waiting"]["message"])
    reasons = [r for r, _ in api.events("pull")]
    check("Pulling" in reasons and "Failed" in reasons and "BackOff" in reasons, reasons)
    equal(status("pull")["phase"], "Pending")


# ---- how containers end ----

def test_jobs(_):
    run("done", container("echo done"), restartPolicy="Never")
    run("fails", container("exit 4"), restartPolicy="Never")
    run("retries", container("exit 5"), restartPolicy="OnFailure")
    state = phase("done", "Succeeded")["status"]["containerStatuses"][0]["state"]["terminated"]
    equal((state["exitCode"], state["reason"]), (0, "Completed"))
    state = phase("fails", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    equal((state["exitCode"], state["reason"]), (4, "Error"))
    waiting("retries", "CrashLoopBackOff")
    equal(api.log("done")[1], "done\n")


def test_ephemeral_containers(_):
    run("debugged", container("sleep 1000"))
    ready("debugged")
    pod = api.pod("debugged")
    pod["spec"]["ephemeralContainers"] = [
        {"name": "looker", "image": IMAGE, "command": ["sh", "-c", "cat /proc/1/comm; exit 3"], "targetContainerName": "c"},
        {"name": "lost", "image": IMAGE, "command": ["sleep", "1000"], "targetContainerName": "c"}]
    code, text = api.request("PUT", PODS + "/debugged/ephemeralcontainers", pod)
    equal(code, 200, text)

    def states():
        return {s["name"]: s for s in status("debugged").get("ephemeralContainerStatuses", [])}
    eventually(60, "one ends, one runs: %s" % json.dumps(status("debugged")),
               lambda: "terminated" in states().get("looker", {}).get("state", {}) and "running" in states().get("lost", {}).get("state", {}))
    looker = states()["looker"]
    equal((looker["state"]["terminated"]["exitCode"], looker["restartCount"], looker["ready"]), (3, 0, False))
    equal(api.log("debugged", "?container=looker")[1].strip(), "sleep", "it sees its target's processes")
    equal(container_status("debugged")["restartCount"], 0)
    equal(status("debugged")["phase"], "Running")
    api.delete("debugged")
    gone("debugged")


def test_the_log_of_an_ephemeral_container_is_followed(_):
    run("followed", container("sleep 1000"))
    ready("followed")
    pod = api.pod("followed")
    pod["spec"]["ephemeralContainers"] = [
        {"name": "speaker", "image": IMAGE, "command": ["sh", "-c", "echo one; until [ -e /proc/1/root/tmp/go ]; do "
                                                        "sleep 0.1; done; echo two"], "targetContainerName": "c"}]
    code, text = api.request("PUT", PODS + "/followed/ephemeralcontainers", pod)
    equal(code, 200, text)
    eventually(60, "it speaks", lambda: api.log("followed", "?container=speaker")[1] == "one\n")
    follow = subprocess.Popen(["curl", "-sN", "--cacert", api.path("certificate-authority"), "--cert",
                               api.path("client-certificate"), "--key", api.path("client-key"),
                               "https://%s:%s%s/followed/log?follow=true&container=speaker" % (api.host, api.port, PODS)],
                              stdout=subprocess.PIPE, text=True)
    try:
        equal(follow.stdout.readline(), "one\n")
        for _ in range(30):  # looks of the server at the log: it must not think that it is over
            check(follow.poll() is None, "the log ended while the container runs")
            time.sleep(0.1)
        root = glob.glob("/proc/[0-9]*/cmdline")
        mine = [p for p in root if b"sleep\x001000\x00" == read_bytes(p) and
                pod["metadata"]["uid"] in read_bytes(os.path.dirname(p) + "/cgroup").decode()]
        open(os.path.dirname(mine[0]) + "/root/tmp/go", "w").close()
        equal(follow.communicate(timeout=60)[0], "two\n")
    finally:
        follow.kill()
    api.delete("followed")
    gone("followed")


def read_bytes(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def test_last_words_of_every_kind(_):
    run("long", container("dd if=/dev/zero bs=1000 count=9 2>/dev/null | tr '\\0' a >/dev/termination-log; "
                          "printf 'the end' >>/dev/termination-log; exit 1"), restartPolicy="Never")
    run("binary", container("printf '\\377\\376 words' >/dev/termination-log; exit 1"), restartPolicy="Never")

    def words(name):
        return phase(name, "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]["message"]
    equal(words("long"), "a" * 4089 + "the end")
    equal(words("binary"), "\ufffd\ufffd words")


def test_what_is_mounted_at_the_termination_log_stays(_):
    with tempfile.TemporaryDirectory(dir="/var/lib") as d:
        kept = os.path.join(d, "kept")
        with open(kept, "w") as file:
            file.write("the host's")
        run("mounted", container("exit 1", volumeMounts=[{"name": "host", "mountPath": "/words", "readOnly": True}],
                                 terminationMessagePath="/words"), volumes=[{"name": "host", "hostPath": {"path": kept}}])
        eventually(90, "it was restarted, and its first instance is tidied",
                   lambda: container_status("mounted").get("restartCount", 0) >= 2)
        equal(read_bytes(kept), b"the host's", "the host's file (a runtime makes a directory where one is missing)")
        api.delete("mounted", 0)
        gone("mounted")


def test_a_resize_is_answered(_):
    run("sized", container("sleep 1000", resources={"requests": {"cpu": "10m"}, "limits": {"memory": "32Mi"}}))
    ready("sized")
    pod = api.pod("sized")
    pod["spec"]["containers"][0]["resources"]["requests"]["cpu"] = "20m"
    code, text = api.request("PUT", PODS + "/sized/resize", pod)
    equal(code, 200, text)

    def pending():
        return [c for c in status("sized")["conditions"] if c["type"] == "PodResizePending"]
    c = eventually(60, "the resize is answered", pending)[0]
    equal((c["status"], c["reason"]), ("True", "Infeasible"))
    s = status("sized")
    equal(s["observedGeneration"], 2)
    equal(s["containerStatuses"][0]["allocatedResources"], {"cpu": "10m", "memory": "32Mi"})
    equal(s["containerStatuses"][0]["restartCount"], 0)
    api.delete("sized")
    gone("sized")


def test_a_crash_loop(_):
    run("crash", container("echo run; echo last words >/dev/termination-log; exit 3"))
    s = waiting("crash", "CrashLoopBackOff")
    check("back-off 10s restarting failed container=c pod=crash_default" in s["state"]["waiting"]["message"], s)
    equal(s["restartCount"], 1)
    equal((s["lastState"]["terminated"]["exitCode"], s["lastState"]["terminated"]["message"]), (3, "last words\n"))
    equal(api.log("crash", "?previous=true"), (200, "run\n"))
    eventually(60, "the second restart", lambda: container_status("crash").get("restartCount") == 2)
    check(any(r == "BackOff" for r, _ in api.events("crash")), api.events("crash"))


def test_out_of_memory(_):
    run("oom", container("x=a; while :; do x=$x$x; done", resources={"limits": {"memory": "16Mi"}}), restartPolicy="Never")
    state = phase("oom", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    equal((state["exitCode"], state["reason"]), (137, "OOMKilled"))


def test_graceful_deletion(_):
    run("polite", container("trap 'echo heard; sleep 1; echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done",
                            lifecycle={"preStop": {"exec": {"command": ["sh", "-c", "echo hook >/proc/1/fd/1"]}}}),
        terminationGracePeriodSeconds=90)
    run("stubborn", container("trap '' TERM; while :; do sleep 0.1; done"), terminationGracePeriodSeconds=2)
    uid = ready("polite")["metadata"]["uid"]
    ready("stubborn")
    follow = subprocess.Popen(["curl", "-sN", "--cacert", api.path("certificate-authority"), "--cert",
                               api.path("client-certificate"), "--key", api.path("client-key"),
                               "https://%s:%s%s/polite/log?follow=true" % (api.host, api.port, PODS)],
                              stdout=subprocess.PIPE, text=True)
    equal(follow.stdout.readline(), "up\n")
    begin = time.monotonic()
    equal(api.delete("polite")[0], 200)
    equal(api.delete("stubborn")[0], 200)
    check(api.pod("polite")["metadata"].get("deletionTimestamp"), "the pod stays while it ends")
    gone("polite")
    gone("stubborn")
    check(time.monotonic() - begin < 80, "the whole grace period was waited")
    try:
        rest = follow.communicate(timeout=60)[0]
    finally:
        follow.kill()
    equal(rest, "hook\nheard\nbye\n", "the followed log")
    eventually(60, "nothing of it is left", lambda: not glob.glob(STATE + "/node*/agent/pods/" + uid) and
               not glob.glob(STATE + "/node*/agent/log/pods/*" + uid) and
               not glob.glob("/sys/fs/cgroup/*/c8s/%s/*/kubepods/*/pod%s" % (CLUSTER, uid)))


def test_a_deletion_can_be_hastened(_):
    stubborn = "trap '' TERM; while :; do sleep 0.1; done"
    uids = {}
    for name in ("forced", "shortened"):
        run(name, container(stubborn), terminationGracePeriodSeconds=90)
        uids[name] = ready(name)["metadata"]["uid"]
        equal(api.delete(name)[0], 200)
    time.sleep(1)  # its worker waits by now
    check(api.pod("forced") and api.pod("shortened"), "both end slowly")
    begin = time.monotonic()
    equal(api.delete("forced", 0)[0], 200)
    equal(api.delete("shortened", 2)[0], 200)
    gone("shortened")
    eventually(60, "nothing of the forced one is left",
               lambda: not glob.glob(STATE + "/node*/agent/log/pods/*" + uids["forced"]))
    check(time.monotonic() - begin < 80, "the first grace period went on")


def test_configmaps_reach_volumes_when_they_change(_):
    path = "/api/v1/namespaces/default/configmaps"
    made = api.make(path, {"metadata": {"name": "moving"}, "data": {"k": "old"}})
    run("watcher", container("cat /cm/k; until [ \"$(cat /cm/k)\" = new ]; do sleep 0.2; done; cat /cm/k",
                             volumeMounts=[{"name": "cm", "mountPath": "/cm"}]),
        restartPolicy="Never", volumes=[{"name": "cm", "configMap": {"name": "moving"}}])
    ready("watcher")
    made["data"]["k"] = "new"
    equal(api.request("PUT", path + "/moving", made)[0], 200)
    phase("watcher", "Succeeded", 90)
    equal(api.log("watcher")[1], "oldnew")


# ---- probes ----

def test_probes(_):
    run("live", container("touch /tmp/ok; sleep 3; rm /tmp/ok; sleep 1000",
                          startupProbe={"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1},
                          livenessProbe={"exec": {"command": ["cat", "/tmp/ok"]}, "periodSeconds": 1,
                                         "failureThreshold": 1}))
    run("never-ready", container("sleep 1000", readinessProbe={"tcpSocket": {"port": 9}, "periodSeconds": 1}))
    run("http", container(ports=[{"name": "web", "containerPort": 8080}],
                          readinessProbe={"httpGet": {"path": "/", "port": "web"}, "periodSeconds": 1}))
    ready("http")
    eventually(60, "a restart", lambda: container_status("live").get("restartCount", 0) >= 1)
    events = api.events("live")
    check(any(r == "Unhealthy" and m.startswith("Liveness probe failed") for r, m in events), events)
    check(any(r == "Killing" and m == "Container c failed liveness probe, will be restarted" for r, m in events), events)
    phase("never-ready", "Running")
    equal(container_status("never-ready")["ready"], False)


def test_slow_probes_hold_up_no_others(_):
    slow = {"exec": {"command": ["sleep", "3600"]}, "timeoutSeconds": 3600, "periodSeconds": 1}
    node = api.get("/api/v1/nodes")["items"][0]["metadata"]["name"]
    run("slow", *[container("sleep 1000", name="c%d" % i, readinessProbe=slow) for i in range(6)], nodeName=node)
    phase("slow", "Running")
    time.sleep(2)  # so that its probes are under way
    run("quick", container("sleep 1000", readinessProbe={"exec": {"command": ["true"]}, "periodSeconds": 1}), nodeName=node)
    ready("quick", 30)
    for name in ("slow", "quick"):
        api.delete(name, 0)
        gone(name)


def test_grpc_probes(_):
    if not shutil.which("etcd"):
        print("     etcd is not installed: nothing here answers gRPC health checks; skipped")
        return
    node = api.get("/api/v1/nodes")["items"][0]
    address = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"][0]
    url = "http://%s:12379" % address
    peer = "http://%s:12380" % address
    with tempfile.TemporaryDirectory() as d:
        etcd = subprocess.Popen(["nsenter", "--net=/run/netns/c8s-" + node["metadata"]["name"], "etcd", "--data-dir", d,
                                 "--listen-client-urls", url, "--advertise-client-urls", url, "--listen-peer-urls", peer,
                                 "--initial-advertise-peer-urls", peer, "--initial-cluster", "default=" + peer],
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for name, port in (("served", 12379), ("unserved", 12381)):
                run(name, container("sleep 1000", readinessProbe={"grpc": {"port": port}, "periodSeconds": 1}),
                    hostNetwork=True, nodeName=node["metadata"]["name"])
            ready("served")
            equal(container_status("unserved")["ready"], False)
            eventually(60, "a failed probe", lambda: any(r == "Unhealthy" for r, _ in api.events("unserved")))
        finally:
            etcd.kill()
            etcd.wait()


# ---- network ----

def test_pods_reach_each_other_and_services(_):
    nodes = [n["metadata"]["name"] for n in api.get("/api/v1/nodes")["items"]]
    for i, node in enumerate(nodes):
        run("peer%d" % i, container(ports=[{"containerPort": 8080}], env=[{"name": "MESSAGE", "value": "m%d" % i}]),
            nodeName=node)
    run("hostnet", container(env=[{"name": "PORT", "value": "8099"}]), hostNetwork=True, nodeName=nodes[0])
    run("hostport", container(ports=[{"containerPort": 8080, "hostPort": 8098}]), nodeName=nodes[0])
    ips = [ready("peer%d" % i)["status"]["podIP"] for i in range(2)]
    address = [a["address"] for a in api.get("/api/v1/nodes/" + nodes[0])["status"]["addresses"]
               if a["type"] == "InternalIP"][0]
    equal(ready("hostnet")["status"]["podIP"], address)
    ready("hostport")
    for i in range(2):
        ask = "nc -w 3 %s 8080 </req | tail -1; rm /req" % ips[1 - i]
        run("ask%d" % i, container("printf 'GET / HTTP/1.0\\r\\n\\r\\n' >/req; " + ask), restartPolicy="Never",
            nodeName=nodes[i])
        phase("ask%d" % i, "Succeeded")
        equal(api.log("ask%d" % i)[1], "m%d from peer%d\n" % (1 - i, 1 - i))
    curl = ["curl", "-s", "-m", "5"]
    for port, name in ((8099, nodes[0]), (8098, "hostport")):
        got = eventually(60, "port %d of the host" % port, lambda: subprocess.run(
            curl + ["http://%s:%d/" % (address, port)], capture_output=True, text=True).stdout)
        check(got.startswith("hello from"), got)


# ---- the agent itself ----

def pids():
    return {n: int(open(n).read().split()[0]) for n in glob.glob("/run/c8s/%s/node*/c8s-node.pid" % CLUSTER)}


def test_restart_of_the_agent_restarts_nothing(_):
    run("stays", container(readinessProbe={"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}))
    before = ready("stays")["status"]
    for pid in pids().values():
        os.kill(pid, signal.SIGKILL)
    up()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        now = status("stays")
        equal(now["containerStatuses"], before["containerStatuses"])
        equal([c for c in now["conditions"] if c["type"] == "Ready"],
              [c for c in before["conditions"] if c["type"] == "Ready"])
        time.sleep(0.3)
    # It still does its work, and a pod that was deleted while no agent ran is ended.
    for pid in pids().values():
        os.kill(pid, signal.SIGKILL)
    equal(api.delete("stays", 0)[0], 200)
    gone("stays")
    up()
    run("after", container())
    ready("after")
    left = "/run/c8s/%s/*/containerd.sock" % CLUSTER
    eventually(60, "the deleted pod's container ends", lambda: not any(
        "stays" in subprocess.run(["ctr", "-a", s, "-n", "k8s.io", "containers", "ls"], capture_output=True,
                                  text=True).stdout for s in glob.glob(left)) and not glob.glob(
        STATE + "/node*/agent/log/pods/default_stays_*"))


def test_what_dead_agents_left_is_tidied(_):
    old = time.time() - 3600
    for where in ("pods/0-1-2", "log/pods/default_x_0-1-2", "log/pods/unrelated"):
        path = STATE + "/node1/agent/" + where
        os.makedirs(path + "/sub")
        os.utime(path, (old, old))
    eventually(60, "the leftovers go", lambda: not os.path.exists(STATE + "/node1/agent/pods/0-1-2") and
               not os.path.exists(STATE + "/node1/agent/log/pods/default_x_0-1-2"))
    check(os.path.exists(STATE + "/node1/agent/log/pods/unrelated"), "what is nobody's pod stays")


def test_a_runtime_that_dies_is_noticed_and_comes_back(_):
    run("survivor", container())
    before = ready("survivor")
    node = before["spec"]["nodeName"]
    pid_file = "/run/c8s/%s/%s/containerd.pid" % (CLUSTER, node.rsplit("-", 1)[1])

    def node_ready():
        return [c["status"] for c in api.get("/api/v1/nodes/" + node)["status"]["conditions"]
                if c["type"] == "Ready"] == ["True"]
    os.kill(int(open(pid_file).read().split()[0]), signal.SIGKILL)
    eventually(60, "the node is not ready", lambda: not node_ready())
    up()
    eventually(60, "the node is ready again", node_ready)
    equal(container_status("survivor")["containerID"], before["status"]["containerStatuses"][0]["containerID"])


def test_the_server_knows_its_callers(_):
    node = api.get("/api/v1/nodes")["items"][0]
    address = [a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP"][0]
    kubeconfig = open(STATE + "/%s/kubelet.conf" % node["metadata"]["name"].rsplit("-", 1)[1]).read()
    with tempfile.TemporaryDirectory() as d:
        for name in ("client-certificate", "client-key"):
            found = re.search(name + r"(-data)?: (\S+)", kubeconfig)
            data = base64.b64decode(found.group(2)) if found.group(1) else open(found.group(2), "rb").read()
            open(os.path.join(d, name), "wb").write(data)

        def code(*more, path="/healthz"):
            return subprocess.run(["curl", "-sk", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", *more,
                                   "https://%s:10250%s" % (address, path)], capture_output=True, text=True).stdout
        admin = ["--cert", api.path("client-certificate"), "--key", api.path("client-key")]
        equal(code(), "000", "without a certificate")
        equal(code("--cert", d + "/client-certificate", "--key", d + "/client-key"), "403", "another node")
        equal(code(*admin), "200")
        equal(code(*admin, path="/pods"), "200")
        equal(code(*admin, path="/metrics"), "200")
        equal(code(*admin, path="/nothing"), "404")
        equal(code(*admin, path="/containerLogs/default/none/c"), "404")
        equal(code(*admin, path="/containerLogs/default/%2e%2e/c"), "404")
        equal(code("-X", "DELETE", *admin, path="/pods"), "405")
    run("logs", container("for i in 1 2 3 4 5; do echo line $i; done; sleep 1000"))
    ready("logs")
    eventually(60, "five lines", lambda: api.log("logs")[1].count("\n") == 5)
    equal(api.log("logs", "?tailLines=2"), (200, "line 4\nline 5\n"))
    equal(api.log("logs", "?limitBytes=9"), (200, "line 1\nli"))
    check(re.match(r"\d{4}-\d\d-\d\dT\S+Z line 1\n", api.log("logs", "?timestamps=true")[1]))
    equal(api.log("logs", "?previous=true")[0], 400)


# ---- running them ----

def up():
    subprocess.run([os.path.join(BIN, "c8s"), "up", "-q", "--name", CLUSTER, "--members", "1", "--nodes", "2"],
                   check=True, timeout=120)


def show_logs():
    for f in glob.glob("/run/c8s/%s/node*/c8s-node.log" % CLUSTER):
        print("---", f)
        print("".join(open(f).readlines()[-25:]))


def one(name, fn):
    begin = time.monotonic()
    try:
        fn(None)
        print("ok   %s (%.1f s)" % (name, time.monotonic() - begin), flush=True)
        return True
    except Exception:
        print("FAIL %s" % name)
        traceback.print_exc(file=sys.stdout)
        return False
    finally: # room for the next
        for p in api.get(PODS)["items"]:
            api.delete(p["metadata"]["name"], 0)


def main():
    global api
    if os.geteuid() != 0 or not shutil.which("containerd"):
        print("skipped: needs root and containerd")
        return 77
    wanted = sys.argv[1:]
    tests = [(n[5:], f) for n, f in sorted(globals().items()) if n.startswith("test_") and
             (not wanted or any(w in n for w in wanted))]
    failures = 0
    try:
        up()
        api = Api(STATE + "/admin.conf")
        for name, fn in tests:
            failures += not one(name, fn)
        if failures:
            show_logs()
    finally:
        down = subprocess.run([os.path.join(BIN, "c8s"), "down", "--name", CLUSTER])
        if api:
            shutil.rmtree(api.dir)
    left = [l for l in open("/proc/mounts") if "/%s/" % CLUSTER in l] + glob.glob("/sys/fs/cgroup/*/c8s/" + CLUSTER)
    if down.returncode or left or os.path.exists(STATE):
        print("FAIL something is left:", left)
        failures += 1
    print("%d of %d failed" % (failures, len(tests)))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
