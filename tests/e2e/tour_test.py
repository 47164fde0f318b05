#!/usr/bin/env python3
"""Every everyday verb of the real kubectl on every resource, against a control plane without nodes.

    tour_test.py BIN_DIR [--through leader|follower|moving] [--whole] KUBECTL…

Each KUBECTL is a kubectl binary; the tour runs with each in turn. One API server and the controllers are
started; with --through, three API servers: kubectl then speaks to the member named, or, "moving", to any
while the leadership moves every 3 s. The objects are those of tour/objects.yaml: one of each resource.
--whole has every resource explained, which takes a while.
"""
import argparse
import base64
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../integration"))
from apiserver_lib import Cluster, Member, leads, move_leader, openssl  # noqa: E402

# Columns that `kubectl get` shows beside NAME and AGE are the API's promise (facts/columns.tsv); a few stand here.
COLUMNS = {
    "configmap": "NAME DATA AGE", "secret": "NAME TYPE DATA AGE", "node": "NAME STATUS ROLES AGE VERSION",
    "pod": "NAME READY STATUS RESTARTS AGE", "service": "NAME TYPE CLUSTER-IP EXTERNAL-IP PORT(S) AGE",
    "deployment": "NAME READY UP-TO-DATE AVAILABLE AGE", "replicaset": "NAME DESIRED CURRENT READY AGE",
    "statefulset": "NAME READY AGE",
    "daemonset": "NAME DESIRED CURRENT READY UP-TO-DATE AVAILABLE NODE SELECTOR AGE",
    "replicationcontroller": "NAME DESIRED CURRENT READY AGE", "controllerrevision": "NAME CONTROLLER REVISION AGE",
    "cronjob": "NAME SCHEDULE TIMEZONE SUSPEND ACTIVE LAST SCHEDULE AGE", "job": "NAME STATUS COMPLETIONS DURATION AGE",
    "persistentvolume": "NAME CAPACITY ACCESS MODES RECLAIM POLICY STATUS CLAIM STORAGECLASS VOLUMEATTRIBUTESCLASS REASON AGE",
    "persistentvolumeclaim": "NAME STATUS VOLUME CAPACITY ACCESS MODES STORAGECLASS VOLUMEATTRIBUTESCLASS AGE",
    "namespace": "NAME STATUS AGE", "serviceaccount": "NAME SECRETS AGE", "endpoints": "NAME ENDPOINTS AGE",
    "event": "LAST SEEN TYPE REASON OBJECT MESSAGE", "limitrange": "NAME CREATED AT",
    "resourcequota": "NAME REQUEST LIMIT AGE", "podtemplate": "NAME CONTAINERS IMAGES POD LABELS",
    "horizontalpodautoscaler": "NAME REFERENCE TARGETS MINPODS MAXPODS REPLICAS AGE",
    "poddisruptionbudget": "NAME MIN AVAILABLE MAX UNAVAILABLE ALLOWED DISRUPTIONS AGE",
    "ingressclass": "NAME CONTROLLER PARAMETERS AGE", "ingress": "NAME CLASS HOSTS ADDRESS PORTS AGE",
    "networkpolicy": "NAME POD-SELECTOR AGE", "servicecidr": "NAME CIDRS AGE", "ipaddress": "NAME PARENTREF",
    "endpointslice": "NAME ADDRESSTYPE PORTS ENDPOINTS AGE", "clusterrole": "NAME CREATED AT",
    "clusterrolebinding": "NAME ROLE AGE", "role": "NAME CREATED AT", "rolebinding": "NAME ROLE AGE",
    "csinode": "NAME DRIVERS AGE", "priorityclass": "NAME VALUE GLOBAL-DEFAULT AGE PREEMPTIONPOLICY",
    "lease": "NAME HOLDER AGE", "runtimeclass": "NAME HANDLER AGE",
    "storageclass": "NAME PROVISIONER RECLAIMPOLICY VOLUMEBINDINGMODE ALLOWVOLUMEEXPANSION AGE",
    "volumeattachment": "NAME ATTACHER PV NODE ATTACHED AGE", "volumeattributesclass": "NAME DRIVERNAME AGE",
    "certificatesigningrequest": "NAME AGE SIGNERNAME REQUESTOR REQUESTEDDURATION CONDITION",
    "mutatingwebhookconfiguration": "NAME WEBHOOKS AGE", "validatingwebhookconfiguration": "NAME WEBHOOKS AGE",
    "validatingadmissionpolicy": "NAME VALIDATIONS PARAMKIND AGE",
    "validatingadmissionpolicybinding": "NAME POLICYNAME PARAMREF AGE",
    "flowschema": "NAME PRIORITYLEVEL MATCHINGPRECEDENCE DISTINGUISHERMETHOD AGE MISSINGPL",
    "prioritylevelconfiguration":
        "NAME TYPE NOMINALCONCURRENCYSHARES QUEUES HANDSIZE QUEUELENGTHLIMIT AGE",
    "deviceclass": "NAME AGE", "resourceclaim": "NAME STATE AGE", "resourceclaimtemplate": "NAME AGE",
    "resourceslice": "NAME NODE DRIVER POOL AGE", "customresourcedefinition": "NAME CREATED AT",
}


class Tour:
    def __init__(self, kubectl, clients, work, whole):
        self.kubectl, self.clients, self.work, self.whole = kubectl, clients, work, whole
        self.home = tempfile.mkdtemp(dir=work)  # what another version remembers of discovery is not for this one
        self.passed = self.failed = self.turn = 0
        version = json.loads(subprocess.run([kubectl, "version", "--client", "-o", "json"], check=True,
                                            capture_output=True).stdout)["clientVersion"]
        self.minor = int(re.match(r"\d+", version["minor"]).group())
        self.name = version["gitVersion"]

    def run(self, *args, stdin=None, env=None, seconds=300):
        """(exit code, standard output and error together)"""
        self.turn += 1
        config = self.clients[self.turn % len(self.clients)]
        try:
            p = subprocess.run([self.kubectl, "--kubeconfig=" + config, *args], input=stdin, text=True, timeout=seconds,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               env=dict(os.environ, HOME=self.home, **(env or {})))
        except subprocess.TimeoutExpired as e:
            return -1, "not within %d s: %s" % (seconds, e.stdout)
        # That Endpoints are deprecated is said whenever they are used.
        return p.returncode, re.sub(r"^Warning: v1 Endpoints is deprecated in v1\.33\+; use .*\n", "", p.stdout, flags=re.M)

    def check(self, what, good, detail=""):
        if good:
            self.passed += 1
            return True
        self.failed += 1
        detail = str(detail).rstrip()
        if len(detail) > 2000:
            detail = detail[:500] + "\n…\n" + detail[-1500:]
        print("FAIL %s: %s: %s" % (self.name, what, detail), flush=True)
        return False

    def says(self, what, pattern, *args, code=0, **kw):
        """Exit code and every line of what is printed: `pattern` (or each of a list) must be found."""
        got, out = self.run(*args, **kw)
        missing = [p for p in ([pattern] if isinstance(pattern, str) else pattern) if not re.search(p, out, re.M)]
        return self.check(what, got == code and not missing, "exit %d, without %s:\n%s" % (got, missing, out))

    def each(self, what, names, word, *args, **kw):
        """One line per object of the file: `configmap/tour-cm labeled`."""
        got, out = self.run(*args, **kw)
        missing = [n for n in names if not re.search(r"^%s %s" % (re.escape(n), word), out, re.M)]
        return self.check(what, got == 0 and not missing, "exit %d, without %s:\n%s" % (got, missing, out))

    def eventually(self, what, pattern, *args, seconds=60, code=0):
        until = time.monotonic() + seconds
        while True:
            got, out = self.run(*args)
            if got == code and re.search(pattern, out, re.M):
                return self.check(what, True)
            if time.monotonic() > until:
                return self.check(what, False, "exit %d:\n%s" % (got, out))
            time.sleep(0.2)

    # ---- the stages ----

    def objects(self):
        """tour/objects.yaml as a file, and the names kubectl gives its objects."""
        key, request = os.path.join(self.work, "k"), os.path.join(self.work, "csr")
        openssl("ecparam", "-genkey", "-name", "prime256v1", "-noout", "-out", key)
        openssl("req", "-new", "-key", key, "-subj", "/CN=tourist", "-out", request)
        with open(request, "rb") as f:
            encoded = base64.b64encode(f.read()).decode()
        with open(os.path.join(HERE, "tour/objects.yaml")) as f:
            text = f.read().replace("CSR_REQUEST", encoded)
        if self.minor < 24:  # the schema in the client of that time does not know `exactly` and others; the server does
            self.validate = ["--validate=false"]
        else:
            self.validate = []
        path = os.path.join(self.work, "objects.yaml")
        with open(path, "w") as f:
            f.write(text)
        return path

    def without(self, path, kinds):
        """A copy of the file without the objects of some kinds."""
        copy = os.path.join(self.work, "some.yaml")
        with open(path) as f, open(copy, "w") as g:
            g.write("---\n".join(d for d in f.read().split("---\n") if not any("\nkind: %s\n" % k in "\n" + d for k in kinds)))
        return copy

    def everyday(self):
        path = self.objects()
        code, first = self.run("create", "namespace", "tour")
        until = time.monotonic() + 60
        while self.run("get", "serviceaccount", "default", "-n", "tour")[0] != 0 and time.monotonic() < until:
            time.sleep(0.1)  # a controller makes it, and the pod wants it
        code, out = self.run("create", "-f", self.without(path, ["Namespace"]), *self.validate)
        out = first + out
        names = re.findall(r"^(\S+/\S+) created$", out, re.M)
        kinds = len(re.findall(r"^kind:", open(path).read(), re.M))
        if not self.check("create every resource", code == 0 and len(names) == kinds, out):
            print("%d of %d created" % (len(names), kinds))
        singular = {n: n.split("/")[0].split(".")[0] for n in names}
        self.tables(path, singular)
        self.says("get -o name", [re.escape(n) for n in names], "get", "-f", path, "-o", "name")
        self.says("get -o yaml", [r"^  kind: \w+"], "get", "-f", path, "-o", "yaml")
        code, out = self.run("get", "-f", path, "-o", "json")
        try:
            items = json.loads(out)["items"]
            self.check("get -o json", code == 0 and len(items) == len(names), "%d items" % len(items))
            bare = [i["kind"] for i in items if not i["metadata"].get("uid") or not i["metadata"].get("creationTimestamp")]
            self.check("objects have uid and creation time", not bare, bare)
            unmanaged = [i["kind"] for i in items]
            code, out = self.run("get", "-f", path, "-o", "json", "--show-managed-fields")
            unmanaged = [i["kind"] for i in json.loads(out)["items"] if not i["metadata"].get("managedFields")]
            self.check("objects have managed fields", not unmanaged, unmanaged)
        except ValueError:
            self.check("get -o json", False, out)
        self.says("get -o jsonpath", r"^tour,", "get", "-f", path, "-o", "jsonpath={range .items[*]}{.metadata.name},{end}")
        self.says("get -o custom-columns", r"^N +K$", "get", "-f", path, "-o", "custom-columns=N:.metadata.name,K:.kind")
        self.says("get -o go-template", "tour-cm", "get", "-f", path, "-o", "go-template={{range .items}}{{.metadata.name}} {{end}}")
        # These describe some kinds by versions of before they were stable, which are served no more.
        young = {"ServiceCIDR", "IPAddress", "VolumeAttributesClass"} if 27 <= self.minor < 34 else set()
        described = [n for n in names if n.split("/")[0].split(".")[0] not in {k.lower() for k in young}]
        self.says("describe", [r"^Name: +" + re.escape(n.split("/")[1]) + r"$" for n in described if n != "event/tour-event"],
                  "describe", "-f", self.without(path, young))
        self.changes(path, names)
        self.applies(path, names)
        self.particular()
        self.deletes(path, names)

    def tables(self, path, singular):
        code, out = self.run("get", "-f", path)
        heads = {}
        for block in out.split("\n\n"):
            lines = [line for line in block.splitlines() if line.strip()]
            if len(lines) >= 2:
                prefix = re.match(r"(\S+)/", lines[1])
                column = lines[0].split()
                if prefix:
                    heads[prefix.group(1).split(".")[0]] = " ".join(column)
                else:  # events do not show their name
                    heads["event"] = " ".join(column)
        wrong = ["%s: %s, not %s" % (k, heads.get(k), COLUMNS[k]) for k in sorted(set(singular.values()))
                 if k in COLUMNS and heads.get(k) != COLUMNS[k]]
        self.check("get shows the published columns", code == 0 and not wrong, "exit %d\n%s" % (code, "\n".join(wrong)))
        self.says("get -o wide", r"CONTAINERS +IMAGES +SELECTOR", "get", "-f", path, "-o", "wide")
        self.says("get --show-labels", r"kubernetes.io/os=linux", "get", "-f", path, "--show-labels")
        self.says("get --sort-by", r"tour-cm", "get", "cm", "-n", "tour", "--sort-by=.metadata.name")

    def changes(self, path, names):
        self.each("label", names, "labeled", "label", "-f", path, "tour=yes")
        self.each("label again", names, "(not )?labeled", "label", "-f", path, "tour=yes", "--overwrite")
        self.says("label with another value needs --overwrite", "already has a value", "label", "cm", "tour-cm", "-n", "tour",
                  "tour=no", code=1)
        self.each("remove a label", names, "unlabeled|labeled", "label", "-f", path, "tour-")
        self.each("annotate", names, "annotated", "annotate", "-f", path, "note=hello")
        self.each("merge patch", names, "patched", "patch", "-f", path, "--type=merge", "-p",
                  '{"metadata":{"labels":{"way":"merge"}}}')
        self.each("json patch", names, "patched", "patch", "-f", path, "--type=json", "-p",
                  '[{"op":"replace","path":"/metadata/labels/way","value":"json"}]')
        self.each("strategic merge patch", names, "patched", "patch", "-f", path, "-p",
                  '{"metadata":{"labels":{"way":null}}}')
        self.says("patch that changes nothing", r"patched \(no change\)", "patch", "cm", "tour-cm", "-n", "tour", "--type=merge", "-p",
                  '{"metadata":{"annotations":{"note":"hello"}}}')
        # Who keeps flow control looks at it every few seconds: a version read before that would be refused after.
        self.eventually("a flow schema's status is told", "^False$", "get", "flowschema", "tour-flows", "-o",
                        'jsonpath={.status.conditions[?(@.type=="Dangling")].status}')
        code, out = self.run("get", "-f", path, "-o", "yaml")
        live = os.path.join(self.work, "live.yaml")
        with open(live, "w") as f:
            f.write(out)
        self.each("replace with what is there", names, "replaced", "replace", "-f", live, *self.validate)
        editor = os.path.join(self.work, "editor")
        with open(editor, "w") as f:
            f.write('#!/bin/sh\nexec sed -i "s/note: hello/note: edited/" "$1"\n')
        os.chmod(editor, 0o755)
        self.says("edit", "configmap/tour-cm edited", "edit", "cm", "tour-cm", "-n", "tour", env={"KUBE_EDITOR": editor})
        self.says("the edit is there", "^edited$", "get", "cm", "tour-cm", "-n", "tour", "-o",
                  "jsonpath={.metadata.annotations.note}")

    def applies(self, path, names):
        # What `create` made has no record of the last applied configuration: kubectl warns and adds it.
        self.each("apply over created objects", names, "(configured|unchanged)", "apply", "-f", path, *self.validate)
        # A budget's selector is replaced as a whole, which kubectl takes for a change each time.
        self.each("apply again", [n for n in names if "tour-budget" not in n], "unchanged", "apply", "-f", path, *self.validate)
        self.each("apply --dry-run=server", names, r"(unchanged|configured) \(server dry run\)", "apply", "-f", path,
                  "--dry-run=server", *self.validate)
        self.says("diff finds nothing", r"\A\Z", "diff", "-f", path)
        self.each("apply --server-side", names, "serverside-applied", "apply", "--server-side", "--force-conflicts", "-f", path,
                  *self.validate)
        self.each("apply --server-side again", names, "serverside-applied", "apply", "--server-side", "-f", path,
                  *self.validate)
        self.says("a conflict names its manager", ["conflict", "tour-cm|other"], "apply", "--server-side", "--field-manager=other",
                  "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tour-cm, namespace: tour}\ndata: {a: c}\n",
                  code=1)
        self.says("diff --server-side", r"^\+  a: c$", "diff", "--server-side", "--force-conflicts", "--field-manager=other", "-f", "-",
                  stdin="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tour-cm, namespace: tour}\ndata: {a: c}\n", code=1)

    def particular(self):
        t = ["-n", "tour"]
        self.says("get all", ["^pod/tour-pod", "^deployment.apps/tour-deployment", "^cronjob.batch/tour-cron"], "get", "all", *t)
        self.says("get by label", "tour-pod", "get", "pods", *t, "-l", "app in (tour-pod, x),!none")
        self.says("get by field", "tour-pod", "get", "pods", *t, "--field-selector", "status.phase=Pending,metadata.name=tour-pod")
        self.says("get in all namespaces", r"^tour +tour-pod", "get", "pods", "-A")
        self.says("get in chunks", r"system:node", "get", "clusterroles", "--chunk-size=5")
        self.says("get --raw", '"kind": ?"PodList"', "get", "--raw", "/api/v1/namespaces/tour/pods")
        self.says("scale", "scaled", "scale", *t, "deployment/tour-deployment", "--replicas=2")
        self.says("scale by condition", "[Ee]xpected replicas", "scale", *t, "deployment/tour-deployment", "--current-replicas=7",
                  "--replicas=3", code=1)
        self.eventually("the deployment has its pods", "^2$", "get", "deployment", *t, "tour-deployment", "-o",
                        "jsonpath={.status.replicas}")
        self.says("autoscale", "autoscaled", "autoscale", *t, "deployment", "tour-deployment", "--name=tour-second", "--max=4",
                  "--cpu-percent=80" if self.minor < 34 else "--cpu=80%")
        self.says("set image", "image updated", "set", "image", *t, "deployment/tour-deployment", "web=c8s.io/web:2")
        self.says("set env", "env updated", "set", "env", *t, "deployment/tour-deployment", "A=B")
        self.says("set resources", "resource requirements updated", "set", "resources", *t, "deployment/tour-deployment",
                  "--requests=cpu=10m")
        self.says("set serviceaccount", "serviceaccount updated", "set", "serviceaccount", *t, "deployment/tour-deployment", "tour-sa")
        self.says("set selector", "selector updated", "set", "selector", *t, "service/tour-service", "app=tour-other")
        self.says("set subject", "subjects updated", "set", "subject", *t, "rolebinding/tour-binding", "--user=tourist")
        self.says("rollout restart", "restarted", "rollout", "restart", *t, "deployment/tour-deployment")
        self.says("rollout pause", "paused", "rollout", "pause", *t, "deployment/tour-deployment")
        self.says("rollout resume", "resumed", "rollout", "resume", *t, "deployment/tour-deployment")
        self.eventually("rollout history", "^2 ", "rollout", "history", *t, "deployment/tour-deployment")
        self.says("rollout undo", "rolled back", "rollout", "undo", *t, "deployment/tour-deployment")
        self.says("expose", "exposed", "expose", *t, "deployment/tour-deployment", "--port=80", "--name=tour-exposed")
        self.says("cordon", "cordoned", "cordon", "tour-node")
        self.says("uncordon", "uncordoned", "uncordon", "tour-node")
        self.says("drain", "drained|evicted", "drain", "tour-node", "--ignore-daemonsets", "--force", "--timeout=50s")
        self.says("taint", "tainted", "taint", "node", "tour-node", "a=b:NoSchedule")
        self.says("untaint", "untainted", "taint", "node", "tour-node", "a-")
        self.says("certificate approve", "approved", "certificate", "approve", "tour-csr")
        self.says("the approval shows", "Approved", "get", "csr", "tour-csr")
        self.says("auth can-i", "^yes", "auth", "can-i", "create", "pods", *t)
        self.says("auth can-i as somebody", "^no", "auth", "can-i", "create", "pods", *t, "--as=tour-nobody", code=1)
        self.says("auth can-i get as somebody", "^yes", "auth", "can-i", "get", "pods", "--as=tour-nobody")
        self.says("auth can-i --list", r"^pods +\[\] +\[\] +\[get\]", "auth", "can-i", "--list", *t, "--as=tour-nobody")
        if self.minor >= 28:
            self.says("auth whoami", "system:masters", "auth", "whoami")
        self.says("auth reconcile", "reconciled", "auth", "reconcile", "-f", "-", stdin="apiVersion: rbac.authorization.k8s.io/v1\n"
                  "kind: Role\nmetadata: {name: tour-role, namespace: tour}\n"
                  "rules: [{apiGroups: [\"\"], resources: [pods], verbs: [get, list]}]\n")
        self.says("impersonation", "Forbidden|forbidden", "get", "secrets", *t, "--as=tour-nobody", code=1)
        if self.minor >= 24:
            self.says("create token", r"^ey[\w-]+\.[\w-]+\.[\w-]+", "create", "token", "tour-sa", *t)
        if self.minor >= 26:
            self.says("events", "Touring", "events", *t)
            self.says("events --for", "Touring", "events", *t, "--for=configmap/tour-cm")
        self.says("get events", "Touring", "get", "events", *t)
        self.says("top says why not", "[Mm]etrics", "top", "pods", *t, code=1)
        self.says("top node says why not", "[Mm]etrics", "top", "nodes", code=1)
        self.says("explain --recursive", ["containers", "resources"], "explain", "pods.spec", "--recursive")
        self.says("explain", "replicas", "explain", "deployments.spec")
        self.says("explain another version", "targetCPUUtilizationPercentage", "explain", "hpa.spec", "--api-version=autoscaling/v1")
        self.says("api-resources", [r"^deployments +deploy +apps/v1 +true +Deployment", r"^nodes +no +v1 +false +Node"],
                  "api-resources")
        self.says("api-resources --verbs", "bindings", "api-resources", "--verbs=create")
        self.says("api-versions", ["^v1$", "^apps/v1$", "^autoscaling/v2$"], "api-versions")
        self.says("version", r"Server Version.*v1\.35", "version")
        self.says("cluster-info", "control plane", "cluster-info")
        if self.whole:
            self.explained()
        self.creators()
        self.says("wait", "condition met", "wait", "--for=condition=Approved", "csr/tour-csr", "--timeout=50s")
        if self.minor >= 23:
            self.says("wait for a value", "condition met", "wait", "--for=jsonpath={.status.phase}=Pending", "pod/tour-pod", *t,
                      "--timeout=50s")
        if self.minor >= 24:
            self.says("status subresource", '"Pending"', "get", "pod", "tour-pod", *t, "--subresource=status", "-o", "json")
            self.says("patch status", "patched", "patch", "pod", "tour-pod", *t, "--subresource=status", "--type=merge", "-p",
                      '{"status":{"message":"on tour"}}')
        self.says("debug a copy", "tour-copy|Creat|creat|Defaulting", "debug", "tour-pod", *t, "--image=c8s.io/web:1",
                  "--copy-to=tour-copy", "--attach=false", "--", "true")
        self.says("debug with an ephemeral container", r"Defaulting|\A\Z|Targeting|Warning|profile", "debug", "tour-pod", *t,
                  "--image=c8s.io/web:1", "--attach=false", "-c", "looker", "--", "true")
        self.says("the ephemeral container is there", "looker", "get", "pod", "tour-pod", *t, "-o",
                  "jsonpath={.spec.ephemeralContainers[*].name}")
        self.custom(t)
        self.seldom(t)
        self.errors(t)

    def seldom(self, t):
        """What is used less often than every day, each in one or two commands."""
        cm = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s, namespace: tour, labels: {prune: me}}\ndata: {a: %s}\n"
        self.says("diff of what is not there", r"^\+  name: seldom$", "diff", "-f", "-", stdin=cm % ("seldom", "b"), code=1)
        self.says("diff that cannot be made", "error", "diff", "-f", "-", stdin="apiVersion: v1\nkind: ConfigMap\n", code=2)
        both = cm % ("seldom", "b") + "---\n" + cm % ("seldom-2", "b")
        self.says("apply two", ["seldom created", "seldom-2 created"], "apply", "-f", "-", stdin=both)
        self.says("apply --prune", ["seldom unchanged", "seldom-2 pruned"], "apply", "-f", "-", "--prune", "-l", "prune=me", *t,
                  *(["--prune-allowlist=core/v1/ConfigMap"] if self.minor >= 26 else ["--prune-whitelist=core/v1/ConfigMap"]),
                  stdin=cm % ("seldom", "b"))
        if self.minor >= 27:
            sets = {"KUBECTL_APPLYSET": "true"}
            flags = ["--prune", "--applyset=configmaps/tour-set", *t]
            self.says("apply a set", ["seldom-a created", "seldom-b created"], "apply", "-f", "-", *flags, env=sets,
                      stdin=(cm % ("seldom-a", "b") + "---\n" + cm % ("seldom-b", "b")).replace("prune: me", "set: one"))
            self.says("what left the set is pruned", "seldom-b pruned", "apply", "-f", "-", *flags, env=sets,
                      stdin=(cm % ("seldom-a", "b")).replace("prune: me", "set: one"))
        self.says("delete it again", "deleted", "delete", "cm", "seldom", *t)
        self.says("wait --for=delete", "", "wait", "--for=delete", "cm/seldom", *t, "--timeout=50s")
        if self.minor >= 31:
            self.says("wait --for=create", "condition met", "wait", "--for=create", "cm/tour-cm", *t, "--timeout=50s")
        self.says("wait that ends in vain", "timed out", "wait", "--for=condition=Ready", "pod/tour-pod", *t, "--timeout=1s", code=1)
        if self.minor >= 24:
            self.says("create token --bound-object", r"^ey[\w-]+\.[\w-]+\.[\w-]+", "create", "token", "tour-sa", *t,
                      "--bound-object-kind=Secret", "--bound-object-name=tour-secret", "--duration=20m", "--audience=x")
        self.says("debug a node", "tour-node", "debug", "node/tour-node", *t, "--image=c8s.io/web:1", "--attach=false", "--", "true")
        self.says("it is there", r"^node-debugger-tour-node-\w+ +tour-node$", "get", "pods", *t, "--no-headers", "-o",
                  "custom-columns=N:.metadata.name,H:.spec.nodeName")
        self.says("api-resources -o wide", [r"^NAME +.*VERBS", r"^nodes +no +v1 +false +Node +\S*create"], "api-resources", "-o", "wide", "--sort-by=kind", "--namespaced=false")
        self.says("cluster-info dump", ['"kind": "NodeList"', '"kind": "EventList"', "==== START logs for container|\"kind\": \"PodList\""],
                  "cluster-info", "dump", "--namespaces=tour")
        self.says("get --raw of another path", "ok", "get", "--raw", "/readyz")
        self.says("rollout status", "successfully rolled out", "rollout", "status", *t, "deployment/c-deployment", "--timeout=50s")
        self.says("rollout history of a revision", "Pod Template", "rollout", "history", *t, "deployment/tour-deployment", "--revision=2")
        if self.minor >= 27:
            self.says("explain by OpenAPI v2", "replicas", "explain", "deployments.spec", "--output=plaintext-openapiv2")
        self.proxied()

    def proxied(self):
        """kubectl proxy answers HTTP on a port that it picks."""
        p = subprocess.Popen([self.kubectl, "--kubeconfig=" + self.clients[0], "proxy", "--port=0"], text=True, stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT)
        try:
            port = re.search(r":(\d+)$", p.stdout.readline().strip())
            with urllib.request.urlopen("http://127.0.0.1:%s/api/v1/namespaces/tour" % port.group(1), timeout=20) as answer:
                self.check("proxy", json.load(answer)["metadata"]["name"] == "tour")
        except (AttributeError, OSError, ValueError) as e:
            self.check("proxy", False, repr(e))
        finally:
            p.kill()
            p.wait()

    def explained(self):
        """Every resource, with all its fields."""
        code, out = self.run("api-resources", "--no-headers", "--sort-by=name")
        rows = [(line.split()[0], *line.split()[-3:]) for line in out.splitlines()]  # short names may stand between
        self.check("api-resources has every resource", code == 0 and len(rows) > 55, out)
        for name, version, _, kind in rows:
            self.says("explain --recursive " + name, [r"^KIND: +" + kind + "$", r"^ +metadata\s+<"],
                      "explain", name, "--recursive", "--api-version=" + version)

    def creators(self):
        t = ["-n", "tour"]
        for what, args in {
                "namespace": ["namespace", "tour-2"], "configmap": ["configmap", "c-cm", "--from-literal=a=b"],
                "secret generic": ["secret", "generic", "c-secret", "--from-literal=a=b"],
                "secret docker-registry": ["secret", "docker-registry", "c-docker", "--docker-server=x", "--docker-username=u",
                                           "--docker-password=p"],
                "serviceaccount": ["serviceaccount", "c-sa"], "role": ["role", "c-role", "--verb=get", "--resource=pods"],
                "rolebinding": ["rolebinding", "c-binding", "--role=c-role", "--user=u"],
                "clusterrole": ["clusterrole", "c-clusterrole", "--verb=get", "--resource=nodes"],
                "clusterrolebinding": ["clusterrolebinding", "c-clusterbinding", "--clusterrole=c-clusterrole", "--user=u"],
                "deployment": ["deployment", "c-deployment", "--image=c8s.io/web:1", "--replicas=0"],
                "service clusterip": ["service", "clusterip", "c-clusterip", "--tcp=80:80"],
                "service nodeport": ["service", "nodeport", "c-nodeport", "--tcp=80:80"],
                "service loadbalancer": ["service", "loadbalancer", "c-loadbalancer", "--tcp=80:80"],
                "service externalname": ["service", "externalname", "c-external", "--external-name=example.com"],
                "job": ["job", "c-job", "--image=c8s.io/web:1"], "job from cronjob": ["job", "c-job-2", "--from=cronjob/tour-cron"],
                "cronjob": ["cronjob", "c-cron", "--image=c8s.io/web:1", "--schedule=0 0 * * *"],
                "ingress": ["ingress", "c-ingress", "--rule=a.example.com/*=tour-service:80"],
                "poddisruptionbudget": ["poddisruptionbudget", "c-budget", "--selector=app=x", "--min-available=1"],
                "priorityclass": ["priorityclass", "c-priority", "--value=5"], "quota": ["quota", "c-quota", "--hard=services=100"]}.items():
            scoped = [] if args[0] in ("namespace", "clusterrole", "clusterrolebinding", "priorityclass") else t
            self.says("create " + what, "created", "create", *args, *scoped)
        self.says("run", "created", "run", "c-pod", "--image=c8s.io/web:1", *t, "--overrides",
                  '{"spec":{"nodeSelector":{"tour":"nowhere"},"containers":[{"name":"c","image":"x","resources":{"requests":{"cpu":"1"}}}]}}')
        self.says("delete what create made", "deleted", "delete", "clusterrole/c-clusterrole", "clusterrolebinding/c-clusterbinding",
                  "priorityclass/c-priority", "namespace/tour-2")

    def custom(self, t):
        crd, stop = os.path.join(HERE, "tour/crd.yaml"), os.path.join(HERE, "tour/stop.yaml")
        self.says("create a type", "created", "create", "-f", crd)
        self.says("wait for the type", "condition met", "wait", "--for=condition=Established", "-f", crd, "--timeout=50s")
        # kubectl remembers each member's short names, and old ones do not ask again for one that they do not know: each is asked here.
        for _ in range(2 * len(self.clients) - 1):
            self.eventually("the type is discovered", "^stops +stp +tour.example.com/v1 +true +Stop", "api-resources",
                            "--api-group=tour.example.com")
        if not self.says("apply an object of it", "created", "apply", "-f", stop, *self.validate):
            self.run("delete", "-f", crd)
            return
        self.says("get by short name", [r"^NAME +TOWN +REPLICAS$", r"^tour-stop +Bern +1$"], "get", "stp", *t)
        self.says("its default", "^30$", "get", "stop", "tour-stop", *t, "-o", "jsonpath={.spec.minutes}")
        self.says("it is in its category", "stop.tour.example.com/tour-stop", "get", "all", *t)
        self.says("apply it again", "unchanged", "apply", "-f", stop, *self.validate)
        self.says("apply it on the server", "serverside-applied", "apply", "--server-side", "--force-conflicts", "-f", stop, *self.validate)
        self.says("scale it", "scaled", "scale", "stop/tour-stop", *t, "--replicas=3")
        self.says("patch it", "patched", "patch", "stop", "tour-stop", *t, "--type=merge", "-p", '{"spec":{"minutes":45}}')
        self.says("a bad value is refused", r"spec\.town: Invalid value", "patch", "stop", "tour-stop", *t, "--type=merge", "-p",
                  '{"spec":{"town":"bern"}}', code=1)
        self.says("describe it", "Town: +Bern", "describe", "stop", "tour-stop", *t)
        self.eventually("explain it", "Where the tour stops", "explain", "stops.spec")
        self.says("delete it", "deleted", "delete", "stop", "tour-stop", *t)
        self.says("delete the type", "deleted", "delete", "-f", crd)

    def errors(self, t):
        bad = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: Bad_Name, namespace: tour}\n"
        self.says("a bad name", 'Invalid value: "Bad_Name"', "create", "-f", "-", stdin=bad, code=1)
        self.says("it is there already", "AlreadyExists|already exists", "create", "configmap", "tour-cm", *t, code=1)
        self.says("it is not there", r'configmaps "none" not found', "get", "configmap", "none", *t, code=1)
        self.says("no such type", "the server doesn't have a resource type", "get", "nothings", code=1)
        if self.minor >= 27:
            self.says("an unknown field", 'unknown field "spec.replica"', "apply", "-f", "-", code=1,
                      stdin="apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x, namespace: tour}\nspec: {replica: 1, "
                      "selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: b}]}}}\n")
        self.says("an immutable field", "field is immutable", "patch", "deployment", "tour-deployment", *t, "--type=merge", "-p",
                  '{"spec":{"selector":{"matchLabels":{"app":"other"}}}}', code=1)

    def deletes(self, path, names):
        # The namespace last: what is in it would go with it, and kubectl would not find it.
        rest = self.without(path, {"Namespace"})
        for what, flags in (("delete --dry-run=server", ["--dry-run=server"]), ("delete everything", ["--timeout=60s"])):
            code, out = self.run("delete", "-f", rest, *flags)
            missing = [n.split("/")[1] for n in names if n != "namespace/tour" and '"%s" ' % n.split("/")[1] not in out]
            self.check(what, code == 0 and not missing, "exit %d, without %s:\n%s" % (code, missing, out))
            if flags == ["--dry-run=server"]:
                self.says("a dry run leaves everything", "tour-cm", "get", "cm", "-n", "tour", "tour-cm")
        self.says("delete the namespace", '"tour" deleted', "delete", "namespace", "tour", "--timeout=60s")
        self.says("nothing is left", r"not found", "get", "ns", "tour", code=1)


def kubeconfig(server, path):
    p = server.pki.path
    config = {"apiVersion": "v1", "kind": "Config", "current-context": "c",
              "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:%d" % server.port,
                                                     "certificate-authority": p("ca.crt")}}],
              "users": [{"name": "u", "user": {"client-certificate": p("admin.crt"), "client-key": p("admin.key")}}],
              "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}]}
    with open(path, "w") as f:
        json.dump(config, f)
    return path


def keep_moving(members, done):
    """The leadership goes on to the next member every 3 s, until `done`."""
    while not done.wait(3):
        move_leader(members)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("bin_dir")
    parser.add_argument("kubectl", nargs="+")
    parser.add_argument("--through", choices=["leader", "follower", "moving"])
    parser.add_argument("--whole", action="store_true")
    options = parser.parse_args()
    binary = os.path.join(options.bin_dir, "c8s-apiserver")
    cluster = Cluster(binary, 3) if options.through else None
    members = cluster.members if cluster else [Member(binary)]
    processes, done, failed, passed = [], threading.Event(), 0, 0
    with tempfile.TemporaryDirectory(prefix="c8s-tour-") as work:
        try:
            for m in members:
                m.start(wait=False)
            for m in members:
                m.wait_ready()
            through = [m for m in members if options.through in (None, "moving") or
                       leads(m) == (options.through == "leader")]
            configs = [kubeconfig(m, os.path.join(work, "config-%d" % i)) for i, m in enumerate(through)]
            with open(os.path.join(work, "log"), "w") as log:
                processes.append(subprocess.Popen([os.path.join(options.bin_dir, "c8s-controllers"), "--kubeconfig=" + configs[0],
                                                   "--root-ca-file=" + members[0].pki.path("ca.crt"),
                                                   "--bind-address=127.0.0.1", "--secure-port=0"], stdout=log, stderr=log))
            mover = threading.Thread(target=keep_moving, args=(members, done))
            if options.through == "moving":
                mover.start()
            for kubectl in options.kubectl:
                began = time.monotonic()
                tour = Tour(kubectl, configs, work, options.whole)
                print("== kubectl %s%s" % (tour.name, ", through " + options.through if options.through else ""), flush=True)
                tour.everyday()
                passed, failed = passed + tour.passed, failed + tour.failed
                print("%d passed, %d failed, %.0f s" % (tour.passed, tour.failed, time.monotonic() - began), flush=True)
            if processes[0].poll() is not None or failed:
                failed += processes[0].poll() is not None
                print("the controllers' log ends:\n" + open(os.path.join(work, "log")).read()[-2000:])
        finally:
            done.set()
            for p in processes:
                p.terminate()
                p.wait(timeout=60)
            if options.through == "moving":
                mover.join()
            for m in members:
                if os.environ.get("C8S_KEEP_LOG"):
                    print(m.log_tail())
                m.remove()
    print("%d passed, %d failed" % (passed, failed))
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
