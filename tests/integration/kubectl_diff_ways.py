"""What kubectl_diff_test.py asks besides: objects with events, every form of output, watches, rollouts, waits, refusals, sets that are applied.

No controllers run; what they would have written (replica sets, revisions, conditions) is written here, the same to both servers.
"""
import json
import os
import re
import shutil

from kubectl_diff_cases import POD, SETTINGS, WEB, all_of, space, tour

APPS = "/apis/apps/v1/namespaces/%s/"
MERGE = "application/merge-patch+json"
SERVICE = """apiVersion: v1
kind: Service
metadata: {name: web, labels: {app: web}}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: http}]}
"""


def patch(k, path, body):
    """What a controller writes: a merge patch to both, not compared."""
    for side in k.pair.sides:
        code, _, answer = side.request("PATCH", path, json.dumps(body), {"Content-Type": MERGE})
        assert code == 200, (side.name, path, answer)


def make(k, path, body):
    """An object that a controller makes, in both; `body` is a function of the server's name."""
    for side in k.pair.sides:
        code, _, answer = side.request("POST", path, json.dumps(body(side.name)), {"Content-Type": "application/json"})
        assert code == 201, (side.name, path, answer)


def seen(k, path):
    """What each server has at a path: {its name: the object}."""
    return {side.name: side.json("GET", path) for side in k.pair.sides}


def case_described(k):
    """Every kind described with an event of its own."""
    space(k, "told")
    documents = {kind: d.replace("namespace: tour", "namespace: told").replace("name: tour-", "name: told-")
                 for kind, d in tour().items() if kind not in ("Namespace", "Event", "ResourceQuota")}
    documents["Namespace"] = "apiVersion: v1\nkind: Namespace\nmetadata: {name: told-space}\n"
    for n, (kind, d) in enumerate(documents.items()):
        k.write(kind + ".yaml", d)
        k.raw("create -f %s.yaml" % kind)
        objects = [json.loads(out) if not code else None for code, out, _ in k.raw("get -o json -f %s.yaml" % kind)]
        if not all(objects):  # kinds of which a client wants a version that the older server has not: told of elsewhere
            continue
        for side, o in zip(k.pair.sides, objects):
            of = o["metadata"]
            side.request("POST", "/api/v1/namespaces/%s/events" % of.get("namespace", "default"), json.dumps({
                "metadata": {"name": "told-%d" % n}, "reason": "Told", "message": "said of " + kind, "type": "Warning" if n % 2 else "Normal",
                "involvedObject": {"kind": kind, "apiVersion": o["apiVersion"], "name": of["name"], "uid": of["uid"],
                                   **({"namespace": of["namespace"]} if "namespace" in of else {})},
                "source": {"component": "teller"}, "count": n + 1, "firstTimestamp": "2026-01-01T00:00:00Z",
                "lastTimestamp": "2026-01-01T00:00:0%dZ" % (n % 10)}), {"Content-Type": "application/json"})
        k.run("describe -f %s.yaml" % kind)
        k.run("describe -f %s.yaml --show-events=false" % kind)
    all_of(k, """
        get events
        get events -o wide
        get events --sort-by=.count
        get events --sort-by=.lastTimestamp -o custom-columns=R:.reason,C:.count,K:.involvedObject.kind
        get events --field-selector type=Warning
        get events --field-selector involvedObject.kind=Pod
        get events --field-selector involvedObject.kind=Pod,reason!=Told
        get events --field-selector reason=Told,type=Normal -o name
        get events --field-selector source=teller
        get events.events.k8s.io
        get ev told-0 -o yaml
        describe ev told-0
        events
        events --for=pod/told-pod
        events --for=nothing/x
        events --types=Warning
        events --types=Nonsense
        events -o json
        delete events --all
        get events
    """)


def case_outputs(k):
    """The forms in which kubectl prints what it gets."""
    space(k, "forms")
    k.write("columns.txt", "NAME               QOS\nmetadata.name      status.qosClass\n")
    k.write("template.txt", "{{range .items}}{{.metadata.name}}\n{{end}}")
    k.write("path.txt", "{.items[*].metadata.name}")
    for n, cpu in (("a", "500m"), ("b", "2"), ("c", "1500m"), ("d", "100u")):
        k.raw(["run", n, "--image=example.com/app:" + n, "--labels=rank=%s" % n,
               '--overrides={"spec":{"containers":[{"name":"%s","image":"x","resources":{"limits":{"cpu":"%s"}}}],"priority":0}}' % (n, cpu)])
    for n in ("a", "b"):
        patch(k, "/api/v1/namespaces/forms/pods/%s/status" % n, {"status": {
            "phase": "Running", "podIP": "192.0.2.7", "hostIP": "192.0.2.1", "startTime": "2026-01-0%dT00:00:00Z" % (2 if n == "a" else 1),
            "conditions": [{"type": "Ready", "status": "True" if n == "a" else "False", "reason": "Because"}],
            "containerStatuses": [{"name": n, "ready": n == "a", "restartCount": 3, "image": "x", "imageID": "i", "containerID": "c://1",
                                   "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}} if n == "a" else
                                   {"waiting": {"reason": "CrashLoopBackOff", "message": "again"}},
                                   "lastState": {"terminated": {"exitCode": 1, "reason": "Error", "finishedAt": "2026-01-01T00:00:00Z"}}}]}})
    k.write("deploy.yaml", WEB)
    k.write("service.yaml", SERVICE)
    all_of(k, r"""
        create -f deploy.yaml -f service.yaml
        get pods
        get pods -o wide
        describe pod a
        describe pod b
        get pods --sort-by=.metadata.name
        get pods --sort-by=.status.startTime
        get pods --sort-by=.spec.containers[0].resources.limits.cpu
        get pods --sort-by='{.status.containerStatuses[0].restartCount}'
        get pods --sort-by=.spec
        get pods --sort-by=metadata.labels.rank -o name
        get pods --sort-by=.x.y -o name
        get pods --sort-by='{.x'
        get pods -o custom-columns=N:.metadata.name,C:.spec.containers[*].resources.limits.cpu,X:.nothing,L:.metadata.labels
        get pods -o custom-columns=N:metadata.name,T:.status.conditions[?(@.type=="Ready")].status
        get pods -o custom-columns=N
        get pods -o custom-columns=N:.metadata[
        get pods -o custom-columns=
        get pods -o custom-columns-file=columns.txt
        get pods -o custom-columns-file=missing.txt
        get pods --no-headers -o custom-columns=N:.metadata.name
        get pods -o jsonpath={.items[0].metadata.name}
        get pods -o jsonpath={.items[-1:].metadata.name}
        get pods -o jsonpath={.items[0:2].metadata.name}
        get pods -o 'jsonpath={.items[?(@.metadata.name=="b")].status.phase}'
        get pods -o 'jsonpath={.items[?(@.status.phase!="Pending")].metadata.name}'
        get pods -o 'jsonpath={range .items[*]}{@.metadata.name}{"\t"}{.status.conditions[?(@.type=="Ready")].reason}{"\n"}{end}'
        get pods -o jsonpath={.items[*]['metadata.name','status.phase']}
        get pods -o jsonpath={.items[9].metadata.name}
        get pods -o jsonpath={.items[*].spec.containers[*].image}
        get pods -o jsonpath-as-json={.items[*].metadata.labels}
        get pods -o jsonpath-as-json={.items[*].status.conditions}
        get pods -o jsonpath-file=path.txt
        get pods -o jsonpath-file=missing.txt
        get pod a -o jsonpath={.kind}/{.apiVersion}/{.metadata.namespace}
        get pod a -o jsonpath={.nothing} --allow-missing-template-keys=false
        get pods -o 'go-template={{range .items}}{{.metadata.name}}:{{with .status.podIP}}{{.}}{{else}}none{{end}} {{end}}'
        get pods -o 'go-template={{len .items}}'
        get pods -o 'go-template={{.x.y.z}}'
        get pods -o 'go-template={{'
        get pods -o 'go-template={{range .items}}{{index .metadata.labels "rank"}}{{end}}'
        get pods -o 'go-template={{range .items}}{{.metadata.name|printf "%s-%s" "x"}} {{end}}'
        get pod a -o 'go-template={{.data.x | base64decode}}'
        get pods -o go-template-file=template.txt
        get pods -o templatefile=template.txt
        get pods --template='{{(index .items 0).kind}}'
        get pods --server-print=false
        get pods,svc --server-print=false
        get deploy,svc,pods -o wide
        get deploy,svc,pods --show-kind --show-labels
        get pods a --show-kind
        get pods -L rank,none --show-labels
        get pod a --show-managed-fields
        get pod a -o json --show-managed-fields
        get pod a -o name
        get pod/a deploy/web -o name
        get pod/a deploy/web -o json
        get pod/a deploy/web -o yaml
        get pod/a deploy/missing
        get pod/a deploy/missing -o json
        get pod/a deploy/missing --ignore-not-found
        get deploy web --subresource=scale
        get deploy web --subresource=scale -o yaml
        get deploy web --subresource=status
        get deploy web --subresource=status -o name
        get pod a --subresource=status -o jsonpath={.status.phase}
        get pod a --subresource=scale
        get cm --subresource=status
        patch deploy web --subresource=scale --type=merge -p '{"spec":{"replicas":5}}'
        patch deploy web --subresource=status --type=merge -p '{"status":{"replicas":5}}'
        patch deploy web --subresource=status -p '{"status":{"observedGeneration":2}}'
        patch deploy web --subresource=nonsense -p '{}'
        patch pod a --subresource=status --type=json -p '[{"op":"replace","path":"/status/phase","value":"Failed"}]'
        patch pod a --subresource=status -p '{"status":{"phase":"Nonsense"}}'
        patch pod a --subresource=status -p '{"spec":{"nodeName":"x"},"status":{"reason":"R"}}'
        edit deploy web --subresource=status
        get deploy web
        get deploy web -o wide
        get pods
        get pods --field-selector=status.phase=Failed
        get pods --field-selector=status.phase==Running,metadata.name!=a -o name
        get pods --field-selector=spec.restartPolicy=Always -o name
        get pods --field-selector=spec.serviceAccountName=default -o name
        get pods --field-selector=status.podIP=192.0.2.7 -o name
        get pods --field-selector=spec.schedulerName=x
        get pods -A --field-selector=metadata.namespace!=forms -o name
        get pods -l rank --field-selector=metadata.name=a
        get pods -l 'rank in (a,b),rank!=a'
        get svc --field-selector=metadata.name=web
        get pods --limit=2
        get pods --chunk-size=1 -o json
        get pods --request-timeout=10s -o name
        get pods --request-timeout=x
        get pods -v=0 --cache-dir=here -o name
        get --raw '/api/v1/namespaces/forms/pods?limit=1&fieldSelector=metadata.name%3Db'
        get --raw /api/v1/namespaces/forms/pods/a/log
        get --raw /api/v1/namespaces/forms/pods/a/nothing
        get -k .
        get -f missing.yaml
        get -f https://127.0.0.1:1/x.yaml
        get
        get pods a b c missing -o name
    """, env={"EDITOR": "sed -i s/replicas:/replicas:/"})


def case_watches(k):
    """What a watch prints while something happens."""
    k.write("settings.yaml", SETTINGS)
    k.write("settings2.yaml", SETTINGS.replace(', b: "2"', ', c: "2"'))
    k.write("pod.yaml", (POD % ("single", "single")).replace("spec: {", "spec: {nodeName: gone, "))
    verbs = """
        create -f settings.yaml
        label cm settings seen=yes
        annotate cm settings note=two --overwrite
        patch cm settings -p '{"data":{"x":"y"}}'
        patch cm settings -p '{"data":{"x":"y"}}'
        replace -f settings2.yaml
        apply --server-side --force-conflicts -f settings.yaml
        label cm settings seen-
        patch cm settings --type=merge -p '{"metadata":{"finalizers":["example.com/f"]}}'
        delete cm settings --wait=false
        patch cm settings --type=merge -p '{"metadata":{"finalizers":null}}'
    """
    for n, form in enumerate(("", " -o name", " -o wide --show-labels", " --output-watch-events", " --output-watch-events -o json", " -o yaml",
                              " --output-watch-events -o name -l seen=yes", " --output-watch-events -l 'seen!=yes'", " --watch-only",
                              " -o custom-columns=N:.metadata.name,D:.data", " -o jsonpath={.metadata.name}:{.data}{\"\\n\"}",
                              " --output-watch-events --field-selector metadata.name!=first", " -A --field-selector metadata.namespace=watch-{n}",
                              " --no-headers", " --show-kind --show-managed-fields=false", " --sort-by=.metadata.name")):
        space(k, "watch-%d" % n)
        k.run("create cm first")
        k.run("label cm first seen=yes")
        labels = '{"seen":"%s"}' % ("yes" if "seen=yes" in form else "no")

        def happen(labels=labels):
            for line in verbs.strip().splitlines():
                k.raw(line.strip())
            k.raw("create -f -", stdin='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"over","labels":%s}}' % labels)
        k.watch("get cm --watch" + form.replace("{n}", str(n)), happen)
    space(k, "watch-pods")
    k.run("run first --image=x")  # it ends as failed at the first round

    def pods():
        k.raw("create -f pod.yaml")
        for status in ({"phase": "Running", "podIP": "192.0.2.1"}, {"conditions": [{"type": "Ready", "status": "True"}]},
                       {"containerStatuses": [{"name": "c", "ready": True, "restartCount": 2, "image": "", "imageID": ""}]}):
            patch(k, "/api/v1/namespaces/watch-pods/pods/single/status", {"status": status})
        patch(k, "/api/v1/namespaces/watch-pods/pods/first/status", {"status": {"phase": "Failed", "reason": "Evicted"}})
        k.raw("delete pod single --wait=false")
        k.raw("delete pod single --grace-period=0 --force --wait=false")
        k.raw("run over --image=x")
    for form in ("", " -o wide", " --output-watch-events", " --field-selector status.phase=Running --output-watch-events"):
        k.watch("get pods -w" + form, pods, r"\bover\b" if "selector" not in form else "DELETED")
        k.raw("delete pod over --grace-period=0 --force --wait=true")
    all_of(k, """
        get all --watch
        get cm,pods --watch
        get cm missing --watch
        get nothing --watch
        get cm -w -l 'a b'
        get cm -w --field-selector a=b
        get cm -w --as jane
    """, seconds=20)


def owned(o, kind, version="apps/v1"):
    return [{"apiVersion": version, "kind": kind, "name": o["metadata"]["name"], "uid": o["metadata"]["uid"], "controller": True,
             "blockOwnerDeletion": True}]


def case_rollouts(k):
    """Rollouts of the three kinds, with what their controllers would have kept."""
    space(k, "rollouts")
    k.write("web.yaml", WEB)
    k.write("set.yaml", WEB.replace("Deployment", "StatefulSet").replace("  selector", "  serviceName: web\n  selector"))
    k.write("daemon.yaml", WEB.replace("Deployment", "DaemonSet").replace("  replicas: 2\n", ""))
    all_of(k, """
        create -f web.yaml
        create -f set.yaml
        create -f daemon.yaml
        rollout history deploy/web
        rollout history sts/web
        rollout history ds/web
        rollout status deploy/web --watch=false
        rollout status sts/web --watch=false
        rollout status ds/web --watch=false
        rollout undo deploy/web
        rollout undo sts/web
        rollout undo ds/web
    """)
    base = APPS % "rollouts"
    deployments, sets, daemons = (seen(k, base + kind + "/web") for kind in ("deployments", "statefulsets", "daemonsets"))
    for n in (1, 2, 3):
        def replicas(name, n=n):
            d = deployments[name]
            template = json.loads(json.dumps(d["spec"]["template"]))
            template["spec"]["containers"][0]["image"] = "example.com/web:%d" % n
            labels = {"app": "web", "pod-template-hash": "hash%d" % n}
            template["metadata"]["labels"] = labels
            return {"metadata": {"name": "web-hash%d" % n, "labels": labels, "ownerReferences": owned(d, "Deployment"), "annotations": {
                "deployment.kubernetes.io/revision": str(n), **({"kubernetes.io/change-cause": "cause %d" % n} if n != 2 else {})}},
                "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template}}

        def revision(of, kind, n=n):
            def body(name):
                return {"metadata": {"name": "web-%s-%d" % (kind.lower(), n), "labels": {"app": "web", "controller-revision-hash": "h%d" % n},
                                     "ownerReferences": owned(of[name], kind),
                                     "annotations": {"kubernetes.io/change-cause": "cause %d" % n} if n == 2 else {}}, "revision": n,
                        "data": {"spec": {"template": {"$patch": "replace", "metadata": {"labels": {"app": "web"}}, "spec": {
                            "containers": [{"name": "web", "image": "example.com/web:%d" % n}]}}}}}
            return body
        make(k, base + "replicasets", replicas)
        make(k, base + "controllerrevisions", revision(sets, "StatefulSet"))
        make(k, base + "controllerrevisions", revision(daemons, "DaemonSet"))
    patch(k, base + "deployments/web", {"metadata": {"annotations": {"deployment.kubernetes.io/revision": "3"}}})
    commands = """
        rollout history {}
        rollout history {} --revision=1
        rollout history {} --revision=2
        rollout history {} --revision=9
        rollout history {} -o yaml
        rollout history {} -o json --revision=2
        rollout undo {} --dry-run=server
        rollout undo {} --dry-run=client
        rollout undo {}
        get {} -o yaml
        rollout undo {} --to-revision=1
        rollout undo {} --to-revision=1
        rollout undo {} --to-revision=9
        get {} -o jsonpath={.spec.template.spec.containers[0].image}
        rollout pause {}
        rollout undo {}
        rollout resume {}
        rollout restart {} --dry-run=server
        rollout restart {}
        get {} -o jsonpath={.spec.template.spec.containers[0].name}
        rollout status {} --timeout=1s
        rollout status {} --watch=false --revision=9
        rollout nonsense {}
    """
    for of in ("deploy/web", "sts/web", "ds/web"):
        all_of(k, commands.replace("{}", of))
    all_of(k, """
        rollout pause deploy/web
        rollout restart deploy/web
        rollout resume deploy/web
    """)
    generation = 99
    status = {"observedGeneration": generation, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    for more in ({}, {"updatedReplicas": 2}, {"replicas": 3}, {"replicas": 2, "availableReplicas": 2, "readyReplicas": 2}):
        status.update(more)
        patch(k, base + "deployments/web/status", {"status": status})
        k.run("rollout status deploy/web --watch=false", note=str(more))
        patch(k, base + "statefulsets/web/status", {"status": {**status, "currentRevision": "a", "updateRevision": "b" if not more else "a"}})
        k.run("rollout status sts/web --watch=false", note=str(more))
        patch(k, base + "daemonsets/web/status", {"status": {
            "observedGeneration": generation, "desiredNumberScheduled": 2, "currentNumberScheduled": 2, "numberMisscheduled": 0,
            "numberReady": 2, "updatedNumberScheduled": status["updatedReplicas"], "numberAvailable": status["availableReplicas"]}})
        k.run("rollout status ds/web --watch=false", note=str(more))
        for kind in ("deploy", "sts", "ds"):
            k.run("get %s web" % kind, note=str(more))
            k.run("get %s web -o wide" % kind, note=str(more))
            k.run("describe %s web" % kind, note=str(more))
    patch(k, base + "deployments/web/status", {"status": {"conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "late"}]}})
    all_of(k, """
        rollout status deploy/web --watch=false
        rollout status deploy/web
        rollout status deploy -l app=web
        rollout restart deploy,ds -l app=web
        rollout pause deploy web missing
        rollout status missing/web
        rollout status rs/web-hash1
        rollout history rs/web-hash1
        rollout undo rs/web-hash1
        rollout restart rs/web-hash1
        rollout restart deploy/web --as jane
        rollout status deploy/web --as jane
        rollout history deploy/web --as jane
        rollout undo deploy/web --as jane
        get rs
        get rs -o wide
        describe rs web-hash1
        get controllerrevisions
        describe controllerrevision web-daemonset-1
        scale rs web-hash1 --replicas=2
        autoscale rs web-hash1 --max=3
        expose rs web-hash1 --port=80
        delete deploy web --cascade=orphan
        get rs web-hash1 -o yaml
    """)


def case_waits(k):
    """Waiting for conditions, values, creation and deletion."""
    space(k, "waits")
    k.write("web.yaml", WEB)
    k.write("settings.yaml", SETTINGS)
    all_of(k, """
        create -f web.yaml
        create -f settings.yaml
        run one --image=x
        run two --image=x --labels=app=web
        wait --for=condition=Ready pod/one --timeout=1s
        wait --for=condition=Ready pod/one pod/two --timeout=1s
        wait --for=condition=Ready pods --all --timeout=1s
        wait --for=condition=Ready pods -l app=web --timeout=1s
        wait --for=condition=Ready pods -l app=none --timeout=1s
        wait --for=condition=Ready pod/missing --timeout=1s
        wait --for=condition=Available -f web.yaml --timeout=1s
        wait --for=condition=PodScheduled=false pod/one --timeout=1s
        wait --for=jsonpath={.status.phase}=Pending pod/one --timeout=5s
        wait --for=jsonpath={.status.phase}=Running pod/one --timeout=1s
        wait --for=jsonpath={.status.nothing}=x pod/one --timeout=1s
        wait --for=jsonpath={.status.phase} pod/one --timeout=5s
        wait --for=jsonpath={.status.nothing} pod/one --timeout=1s
        wait --for=jsonpath={.data.a}=1 cm/settings --timeout=5s
        wait --for=jsonpath={.data}=1 cm/settings --timeout=1s
        wait --for=jsonpath={.data.*}=1 cm/settings --timeout=1s
        wait --for=jsonpath={.x cm/settings --timeout=1s
        wait --for=nonsense pod/one --timeout=1s
        wait --for=delete pod/one --timeout=1s
        wait --for=delete pod/missing --timeout=1s
        wait --for=delete pods -l app=none --timeout=1s
        wait --for=create pod/one --timeout=5s
        wait --for=create pod/missing --timeout=1s
        wait --for=condition=Ready pod/one --timeout=0
        wait --for=condition=Ready pod/one --timeout=x
        wait pod/one
        wait --for=condition=Ready nothing/one --timeout=1s
        wait --for=condition=Ready pod/one --timeout=1s --as jane
        wait --for=delete pod/one --timeout=1s --as jane
    """)
    pod = "/api/v1/namespaces/waits/pods/one"

    def ready():
        patch(k, pod + "/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}})
        patch(k, pod + "/status", {"status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}})
    k.meanwhile("wait --for=condition=Ready pod/one --timeout=30s", ready)
    k.run("wait --for=condition=Ready pod/one --timeout=5s")
    k.run("wait --for=condition=ready=TRUE pod/one --timeout=5s")
    k.run("wait --for=jsonpath='{.status.conditions[?(@.type==\"Ready\")].status}'=True pod/one --timeout=5s")
    k.meanwhile("wait --for=condition=Ready=false pod/one --timeout=30s", lambda: patch(
        k, pod + "/status", {"status": {"conditions": [{"type": "Ready", "status": "False"}]}}))
    if k.minor >= 23:
        k.meanwhile("wait --for=jsonpath={.status.phase}=Succeeded pod/one --timeout=30s", lambda: patch(
            k, pod + "/status", {"status": {"phase": "Succeeded"}}))
    k.meanwhile("wait --for=condition=Available deployment/web --timeout=30s", lambda: (
        patch(k, APPS % "waits" + "deployments/web/status", {"status": {"observedGeneration": 0, "conditions": [
            {"type": "Available", "status": "False"}]}}),
        patch(k, APPS % "waits" + "deployments/web/status", {"status": {"observedGeneration": 1, "conditions": [
            {"type": "Available", "status": "True"}]}})))
    k.meanwhile("wait --for=delete pod/one --timeout=30s", lambda: k.raw("delete pod one --force --grace-period=0 --wait=false"))
    k.meanwhile("delete cm settings", lambda: None)
    k.run("create -f settings.yaml")
    patch(k, "/api/v1/namespaces/waits/configmaps/settings", {"metadata": {"finalizers": ["example.com/f"]}})
    k.meanwhile("delete cm settings --timeout=30s", lambda: patch(
        k, "/api/v1/namespaces/waits/configmaps/settings", {"metadata": {"finalizers": None}}))
    k.run("run three --image=x --labels=a=b")
    patch(k, "/api/v1/namespaces/waits/pods/three", {"metadata": {"finalizers": ["example.com/f"]}})
    all_of(k, """
        delete pod three --timeout=1s
        delete pods -l a=b --timeout=1s
        get pod three
        wait --for=delete pods -l a=b --timeout=1s
        wait --for=delete pods --all --timeout=1s
        replace --force -f web.yaml
        replace --force -f web.yaml --grace-period=0
        replace --force -f web.yaml --cascade=orphan
        replace --force --dry-run=server -f web.yaml
        replace --force -f settings.yaml
        replace --force -f settings.yaml --timeout=5s
        replace --force -f settings.yaml --as jane
        replace --grace-period=3 -f settings.yaml
        get -f web.yaml -o jsonpath={.metadata.generation}
        delete -f web.yaml --cascade=nonsense
        delete -f web.yaml --cascade=foreground --timeout=1s
        delete -f web.yaml --now --wait=false
        delete -f settings.yaml --grace-period=-5
        delete -f settings.yaml --force --grace-period=5
        delete -f settings.yaml -o name
    """)


def case_refusals(k):
    """What needs a running pod, asked of those that do not run."""
    space(k, "refused")
    for name in ("pending", "placed", "done", "failed"):
        k.write("pod.yaml", POD % (name, name) if name == "pending" else (POD % (name, name)).replace("spec: {", "spec: {nodeName: gone, "))
        k.run("create -f pod.yaml")
    for name, phase in (("done", "Succeeded"), ("failed", "Failed"), ("placed", "Running")):
        patch(k, "/api/v1/namespaces/refused/pods/%s/status" % name, {"status": {"phase": phase}})
    k.write("local.txt", "text\n")
    k.write("web.yaml", WEB.replace("{app: web}", "{app: web, name: placed}"))
    k.write("service.yaml", SERVICE.replace("selector: {app: web}", "selector: {name: placed}"))
    for name in ("pending", "placed", "done", "failed", "missing"):
        all_of(k, """
            logs {}
            logs {} -c c
            logs {} -c nothing
            logs {} --all-containers
            logs {} -c c --previous
            logs {} -c c --tail=x
            logs {} -c c --since=1h --since-time=2026-01-01T00:00:00Z
            exec {} -- ls
            exec {} -c side -- ls
            exec {} -c nothing -- ls
            exec {}
            exec {} ls
            attach {} -c c
            attach {} -c nothing
            cp local.txt {}:/tmp/x
            cp {}:/tmp/x here
            cp missing.txt {}:/tmp/x
            cp local.txt {}:/tmp/x -c nothing
            port-forward {} 1:80
            port-forward {} 99999999
            get --raw /api/v1/namespaces/refused/pods/{}/proxy/x
        """.replace("{}", name))
    all_of(k, """
        create -f web.yaml
        create -f service.yaml
        logs deploy/web
        exec deploy/web -- ls
        attach deploy/web
        port-forward svc/web 1:80
        port-forward svc/web 1:81
        port-forward deploy/web 1:80
        logs svc/web
        logs -l app=web
        logs -l app=none
        logs cm/x
        exec cm/x -- ls
        exec -f service.yaml -- ls
        cp local.txt other.txt
        cp pending:/a placed:/b
        get --raw /api/v1/namespaces/refused/services/web/proxy/
        get --raw /api/v1/namespaces/refused/services/web:http/proxy/
        get --raw /api/v1/namespaces/refused/services/missing/proxy/
        get --raw /api/v1/nodes/gone/proxy/
        logs pending --as jane
        exec pending --as jane -- ls
        cp local.txt pending:/x --as jane
        attach pending --as jane
        port-forward pending 1:80 --as jane
        top pod pending
        debug pending --image=busybox -c dbg
        debug missing --image=busybox -c dbg
    """, seconds=30)


def case_sets(k):
    """Sets of objects that are applied, pruned, compared and made from folders."""
    space(k, "sets")
    for n, names in (("one", "abc"), ("two", "ab"), ("three", "ad")):
        k.write(n + ".yaml", "---\n".join(SETTINGS.replace("name: settings", "name: " + c) for c in names))
    k.write("web.yaml", WEB)
    k.write("web2.yaml", WEB.replace("replicas: 2", "replicas: 4").replace('value: "1"', 'value: "2"'))
    for d in k.dirs.values():
        os.makedirs(os.path.join(d, "base"), exist_ok=True)
        shutil.copy(os.path.join(d, "web.yaml"), os.path.join(d, "base", "web.yaml"))
        with open(os.path.join(d, "base", "kustomization.yaml"), "w") as f:
            f.write("resources: [web.yaml]\nnamePrefix: my-\ncommonLabels: {set: k}\nconfigMapGenerator: [{name: conf, literals: [a=b]}]\n")
    allow = "prune-allowlist" if k.minor >= 26 else "prune-whitelist"
    all_of(k, """
        apply -f one.yaml
        apply -f two.yaml --prune -l app=web --ALLOW=core/v1/ConfigMap --dry-run=server
        apply -f two.yaml --prune -l app=web --ALLOW=core/v1/ConfigMap --dry-run=client
        apply -f two.yaml --prune -l app=web --ALLOW=core/v1/ConfigMap
        apply -f three.yaml --prune --all --ALLOW=core/v1/ConfigMap
        get cm -l app=web -o name
        apply -f one.yaml --prune
        apply -f one.yaml --prune --all -l app=web
        apply -f one.yaml --prune -l app=web --ALLOW=core/v1/Nonsense
        apply -f one.yaml --prune -l app=web --ALLOW=nonsense
        apply -f two.yaml --prune -l app=web --ALLOW=core/v1/ConfigMap --as jane
        diff -f two.yaml --prune -l app=web --ALLOW=core/v1/ConfigMap
        diff -f one.yaml
        diff --server-side -f one.yaml
        apply --server-side --force-conflicts -f one.yaml
        diff --server-side -f one.yaml
        diff --server-side -f three.yaml
        diff --server-side --field-manager=other -f three.yaml
        diff --server-side --force-conflicts --field-manager=other -f three.yaml
        diff -f web.yaml
        diff --server-side -f web.yaml
        apply -f web.yaml
        diff -f web2.yaml
        diff --server-side -f web2.yaml
        diff --server-side --force-conflicts -f web2.yaml
        diff -f web2.yaml --as jane
        diff --server-side -f web2.yaml --as jane
        apply -k base --dry-run=server
        apply -k base
        diff -k base
        get -k base
        delete -k base --wait=false
        apply -f . --dry-run=server
        apply -R -f base --dry-run=server
        create -f base/web.yaml --edit --dry-run=server
        apply -f web.yaml --server-side --dry-run=client
        apply -f web.yaml --server-side --prune -l app=web --ALLOW=core/v1/ConfigMap
        apply -f web2.yaml --server-side --field-manager=x --dry-run=server
        apply -f web2.yaml --force --grace-period=0
        apply -f web2.yaml --openapi-patch=false
        apply edit-last-applied deploy web
        apply view-last-applied deploy web -o json
        apply view-last-applied -l app=web deploy
        apply set-last-applied -f web.yaml --create-annotation
        annotate deploy web a=b --list
        label deploy web --list
        annotate --all cm x=y --dry-run=server
        label --local -f web.yaml a=b -o name
        convert -f web.yaml
        kustomize base
    """.replace("ALLOW", allow), env={"EDITOR": "true"})
    sets = {"KUBECTL_APPLYSET": "true"}
    if k.minor >= 27:
        all_of(k, """
            apply -f one.yaml --prune --applyset=mine
            apply -f two.yaml --prune --applyset=mine --dry-run=server
            apply -f two.yaml --prune --applyset=mine
            get cm -l applyset.kubernetes.io/part-of -o name
            apply -f two.yaml --prune --applyset=configmaps/set
            apply -f two.yaml --prune --applyset=nothings/set
            apply -f three.yaml --prune --applyset=mine --server-side --force-conflicts
            get cm -o name
        """, env=sets)


def case_rules(k):
    """Rights, reviews and requests once more: what auth can do and what certificates are asked."""
    space(k, "rules")
    k.write("roles.yaml", """apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: rules-sum}
aggregationRule: {clusterRoleSelectors: [{matchLabels: {rules: "yes"}}]}
rules: []
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: rules-all}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: rules-sum}
subjects: [{kind: ServiceAccount, name: robot, namespace: rules}, {apiGroup: rbac.authorization.k8s.io, kind: Group, name: g}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: r, namespace: nowhere}
rules: [{apiGroups: [apps], resources: ["*"], verbs: ["*"]}]
""")
    all_of(k, """
        auth reconcile -f roles.yaml --dry-run=server
        auth reconcile -f roles.yaml --dry-run=client
        auth reconcile -f roles.yaml
        auth reconcile -f roles.yaml -o json
        auth reconcile -f roles.yaml --as jane
        get clusterrole rules-sum -o yaml
        get clusterrolebinding rules-all -o yaml
        get clusterrolebinding rules-all -o wide
        describe clusterrolebinding rules-all
        describe clusterrole rules-sum
        set subject clusterrolebinding rules-all --user=x --serviceaccount=rules:other
        set subject clusterrolebinding rules-all --group=
        set subject clusterrolebinding rules-all --serviceaccount=wrong
        patch clusterrolebinding rules-all --type=merge -p '{"roleRef":{"name":"view"}}'
        patch clusterrolebinding rules-all --type=merge -p '{"subjects":[{"kind":"User","name":"x"}]}'
        patch clusterrolebinding rules-all --type=merge -p '{"subjects":[{"kind":"ServiceAccount","name":"x"}]}'
        auth whoami
        auth can-i create pods --subresource=exec --as x --as-group=g
        auth can-i '*' deployments.apps --as x --as-group=g
        auth can-i use podsecuritypolicies/x
        auth can-i impersonate users --as jane
        auth can-i bind clusterroles --as jane
        auth can-i --list --as x --as-group=g
        certificate approve none
        certificate deny none
        certificate nonsense x
        create token robot
        create serviceaccount robot
        create token robot --duration=1s
        create token robot --duration=10m --bound-object-kind=Pod --bound-object-name=none
        create token robot --audience=a --audience=b --as jane
        create quota q --hard=nonsense=1
        create pdb p --selector=app=web --min-available=1 --dry-run=server
        create pdb p --selector=app=web --max-unavailable=50% --dry-run=server
        create pdb p --selector=app=web --dry-run=server
        create cronjob c --image=x --schedule='* * * * *' --dry-run=server
        create cronjob c --image=x --schedule='nonsense' --dry-run=server
        create secret tls t --cert=missing --key=missing
        delete -f roles.yaml
        api-resources -o wide --api-group=rbac.authorization.k8s.io
        api-resources -o wide --api-group=networking.k8s.io --no-headers
        api-resources -o name --api-group=apps
        api-resources --categories=all -o name
        api-resources --cached --api-group=apps
        api-resources -o nonsense
    """)
