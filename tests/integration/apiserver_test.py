#!/usr/bin/env python3
"""The API server over HTTPS, on a real store: what the API promises, and what bad input gets.

    apiserver_test.py BINARY [NAME…]     run all tests, or those whose name contains NAME
"""
import base64
import http.server
import json
import re
import socket
import ssl
import sys
import threading
import time

from apiserver_lib import Client, Server, run_tests

NS = "/api/v1/namespaces/default"
CM = NS + "/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PROTOBUF = "application/vnd.kubernetes.protobuf"


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, want, *what):
    check(got == want, *what, "got", repr(got), "want", repr(want))


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def pod(name, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": dict({"containers": [{"name": "c", "image": "busybox:1"}]}, **spec)}


def created(answer):
    equal(answer.code, 201, answer)
    return answer.json


def failed(answer, code, reason, *words):
    equal(answer.code, code, answer)
    status = answer.json
    equal(status["kind"], "Status")
    equal(status["status"], "Failure")
    equal(status.get("reason"), reason, answer)
    equal(status["code"], code)
    for w in words:
        check(w in status["message"], "message lacks", repr(w), status["message"])
    return status


def service_account(c, namespace="default", name="default"):
    c.post("/api/v1/namespaces/%s/serviceaccounts" % namespace,
           {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})


# ---- objects ----

def test_create_get_update_delete(c, _):
    made = created(c.post(CM, config_map("a", x="1")))
    meta = made["metadata"]
    check(re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", meta["uid"]), meta)
    equal(meta["namespace"], "default")
    equal(c.get(CM + "/a").json, made)
    made["data"]["x"] = "2"
    updated = c.put(CM + "/a", made)
    equal(updated.code, 200)
    check(int(updated.json["metadata"]["resourceVersion"]) > int(meta["resourceVersion"]))
    failed(c.put(CM + "/a", made), 409, "Conflict", "the object has been modified")
    same = c.put(CM + "/a", updated.json)
    equal(same.json["metadata"]["resourceVersion"], updated.json["metadata"]["resourceVersion"], "a no-op writes nothing")
    failed(c.post(CM, config_map("a")), 409, "AlreadyExists", 'configmaps "a" already exists')
    failed(c.post(CM + "?dryRun=All", config_map("a")), 409, "AlreadyExists")
    again = c.post(CM, dict(config_map("a"), dataa={}))
    equal((again.code, again.headers.get_all("warning")), (409, ['299 - "unknown field \\"dataa\\""']), "read twice, said once")
    failed(c.post(CM, config_map("a", **{"no key": "x"})), 422, "Invalid")  # whatever is wrong with the object comes first
    gone = c.delete(CM + "/a")
    equal((gone.code, gone.json["status"], gone.json["details"]["uid"]), (200, "Success", meta["uid"]))
    failed(c.get(CM + "/a"), 404, "NotFound", 'configmaps "a" not found')
    failed(c.delete(CM + "/a"), 404, "NotFound")


def test_generate_name_and_dry_run(c, _):
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}
    names = {created(c.post(CM, body))["metadata"]["name"] for _ in range(5)}
    equal(len(names), 5)
    check(all(re.fullmatch(r"gen-[a-z0-9]{5}", n) for n in names), names)
    created(c.post(CM + "?dryRun=All", config_map("ghost")))
    failed(c.get(CM + "/ghost"), 404, "NotFound")
    equal(c.post(CM + "?dryRun=Some", config_map("ghost")).code, 422)
    created(c.post(CM, config_map("real")))
    equal(c.delete(CM + "/real?dryRun=All").code, 200)
    equal(c.get(CM + "/real").code, 200)


def test_patches(c, _):
    created(c.post(CM, config_map("p", a="1", b="2")))
    r = c.patch(CM + "/p", {"data": {"a": None, "c": "3"}}, "merge-patch")
    equal(r.json["data"], {"b": "2", "c": "3"}, r)
    r = c.patch(CM + "/p", [{"op": "test", "path": "/data/b", "value": "2"}, {"op": "replace", "path": "/data/b", "value": "x"}],
                "json-patch")
    equal(r.json["data"], {"b": "x", "c": "3"}, r)
    r = c.patch(CM + "/p", {"metadata": {"labels": {"l": "1"}}})
    equal(r.json["metadata"]["labels"], {"l": "1"}, r)
    stale = {"metadata": {"resourceVersion": "1", "labels": {"l": "2"}}}
    failed(c.patch(CM + "/p", stale, "merge-patch"), 409, "Conflict")
    check(c.patch(CM + "/p", [{"op": "nonsense"}], "json-patch").code in (400, 422))
    equal(c.patch(CM + "/p", [{"op": "test", "path": "/data/b", "value": "no"}], "json-patch").code, 422)
    failed(c.patch(CM + "/p", {}, "strange-patch"), 415, "UnsupportedMediaType")
    failed(c.patch(CM + "/nope", {"data": {}}, "merge-patch"), 404, "NotFound")
    service_account(c)
    created(c.post(NS + "/pods", pod("patched")))
    r = c.patch(NS + "/pods/patched", {"spec": {"containers": [{"name": "c", "image": "busybox:2"}]}})
    equal([x["image"] for x in r.json["spec"]["containers"]], ["busybox:2"], "lists merge by name")
    equal(r.json["metadata"]["generation"], 2)


def apply(c, path, body, manager, force=False):
    return c.request("PATCH", "%s?fieldManager=%s&force=%s" % (path, manager, str(force).lower()), json.dumps(body),
                     content_type="application/apply-patch+yaml")


def test_server_side_apply(c, _):
    path = CM + "/ssa"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa", "labels": {"l": "1"}}, "data": {"a": "1", "b": "2"}}
    r = apply(c, path, body, "one")
    equal(r.code, 201, r)
    entry = r.json["metadata"]["managedFields"][0]
    equal((entry["manager"], entry["operation"], entry["fieldsV1"]),
          ("one", "Apply", {"f:metadata": {"f:labels": {"f:l": {}}}, "f:data": {"f:a": {}, "f:b": {}}}))
    again = apply(c, path, body, "one")
    equal((again.code, again.json["metadata"]["resourceVersion"]), (200, r.json["metadata"]["resourceVersion"]), "nothing to do")
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "ssa"}, "data": {"a": "changed", "c": "3"}}
    s = failed(apply(c, path, other, "two"), 409, "Conflict", 'conflict with "one": .data.a')
    equal(s["details"]["causes"][0]["reason"], "FieldManagerConflict")
    r = apply(c, path, other, "two", force=True)
    equal(r.json["data"], {"a": "changed", "b": "2", "c": "3"})
    del body["data"]["b"], body["data"]["a"]
    r = apply(c, path, body, "one")
    equal(r.json["data"], {"a": "changed", "c": "3"}, "b goes, a belongs to two")
    equal(c.request("PATCH", path, "{}", content_type="application/apply-patch+yaml").code, 422, "no field manager")
    failed(apply(c, path, [1], "one"), 400, "BadRequest")
    base = "/apis/apps/v1/namespaces/default/deployments/ssa"
    d = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "ssa"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
            {"name": "x", "image": "i:1", "ports": [{"containerPort": 80}]}, {"name": "y", "image": "i:2"}]}}}}
    equal(apply(c, base, d, "one").code, 201)
    c.patch(base, {"spec": {"replicas": 4}}, "merge-patch")
    d["spec"]["template"]["spec"]["containers"] = [{"name": "x", "image": "i:3", "ports": [{"containerPort": 80}]}]
    r = apply(c, base, d, "one").json
    equal([(x["name"], x["image"]) for x in r["spec"]["template"]["spec"]["containers"]], [("x", "i:3")])
    equal(len(r["spec"]["template"]["spec"]["containers"][0]["ports"]), 1)
    equal(r["spec"]["replicas"], 4, "what is not applied stays")


def test_concurrent_patches_all_land(c, server):
    created(c.post(CM, config_map("race")))

    def work(i):
        for k in range(5):
            r = server.client().patch(CM + "/race", {"data": {"k%d-%d" % (i, k): "v"}}, "merge-patch")
            equal(r.code, 200, r)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(len(c.get(CM + "/race").json["data"]), 30)


def test_lists_pages_and_selectors(c, _):
    created(c.post("/api/v1/namespaces", {"metadata": {"name": "many"}}))
    base = "/api/v1/namespaces/many/configmaps"
    for i in range(25):
        body = config_map("m%02d" % i)
        body["metadata"]["labels"] = {"even": str(i % 2 == 0).lower()}
        created(c.post(base, body))
    names, token, pages, rv = [], "", 0, None
    while True:
        page = c.get(base + "?limit=10" + ("&continue=" + token if token else "")).json
        names += [i["metadata"]["name"] for i in page["items"]]
        check(rv is None or rv == page["metadata"]["resourceVersion"], "pages are of one revision")
        rv = page["metadata"]["resourceVersion"]
        pages += 1
        if pages == 1:
            created(c.post(base, config_map("m00-late")))
        token = page["metadata"].get("continue")
        if not token:
            break
    equal(names, ["m%02d" % i for i in range(25)], "the late one is not in this snapshot")
    equal(pages, 3)
    equal(len(c.get(base + "?labelSelector=even%3Dtrue").json["items"]), 13)
    equal(len(c.get(base + "?labelSelector=even%20in%20(true,false),even!%3Dtrue").json["items"]), 12)
    equal(len(c.get(base + "?labelSelector=!even").json["items"]), 1)
    equal([i["metadata"]["name"] for i in c.get(base + "?fieldSelector=metadata.name%3Dm07").json["items"]], ["m07"])
    exact = c.get(base + "?resourceVersion=%s&resourceVersionMatch=Exact" % rv).json
    equal(len(exact["items"]), 25)
    equal(exact["metadata"]["resourceVersion"], rv)
    equal(c.get(base + "?resourceVersion=0").code, 200)
    late = failed(c.get(base + "?resourceVersion=999999999"), 504, "Timeout", "Too large resource version")
    equal(late["details"]["causes"][0]["reason"], "ResourceVersionTooLarge")
    failed(c.get(base + "?continue=garbage"), 400, "BadRequest", "continue")
    failed(c.get(base + "?limit=x"), 400, "BadRequest", "strconv.ParseInt")
    failed(c.get(base + "?labelSelector=a%20b"), 400, "BadRequest")
    failed(c.get(base + "?fieldSelector=spec.foo%3Dx"), 400, "BadRequest", '"spec.foo" is not a known field selector')
    failed(c.get(base + "?resourceVersion=abc"), 400, "BadRequest", "resourceVersion")
    equal(c.delete(base).code, 200)
    equal(c.get(base).json["items"], [])


def test_large_lists_are_whole(c, _):
    created(c.post("/api/v1/namespaces", {"metadata": {"name": "large"}}))
    base = "/api/v1/namespaces/large/configmaps"
    connection = c.connect()
    for i in range(300):
        connection.request("POST", base, json.dumps(config_map("big%03d" % i, x="y" * 10000)), {"Content-Type": "application/json"})
        r = connection.getresponse()
        r.read()
        equal(r.status, 201)
    connection.close()
    items = c.get(base).json["items"]
    equal([i["metadata"]["name"] for i in items], ["big%03d" % i for i in range(300)])
    check(all(len(i["data"]["x"]) == 10000 for i in items))
    wire = c.get(base, accept=PROTOBUF)
    check(wire.body.startswith(b"k8s\x00") and len(wire.body) > 3000000, len(wire.body))
    equal(wire.body.count(b"y" * 10000), 300)
    equal(len(c.get(base, accept=TABLE).json["rows"]), 300)
    equal([i["metadata"]["name"] for i in c.get(base + "?fieldSelector=metadata.name%3Dbig299").json["items"]], ["big299"])
    page = c.get(base + "?limit=250").json
    equal((len(page["items"]), "continue" in page["metadata"]), (250, True))
    with c.watch(base + "?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true") as w:
        seen = 0
        while w.next()["type"] == "ADDED":
            seen += 1
        equal(seen, 300)
    equal(c.delete(base).code, 200)
    equal(c.get(base).json["items"], [])


def test_finalizers_and_owner_propagation(c, _):
    body = config_map("held")
    body["metadata"]["finalizers"] = ["example.com/hold"]
    created(c.post(CM, body))
    r = c.delete(CM + "/held")
    equal(r.code, 200)
    check("deletionTimestamp" in r.json["metadata"], r)
    equal(c.get(CM + "/held").code, 200)
    r = c.patch(CM + "/held", {"metadata": {"finalizers": []}}, "merge-patch")
    equal(r.code, 200)
    failed(c.get(CM + "/held"), 404, "NotFound")
    for policy, finalizer in (("Orphan", "orphan"), ("Foreground", "foregroundDeletion")):
        created(c.post(CM, config_map("owner")))
        r = c.delete(CM + "/owner", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy})
        equal(r.json["metadata"]["finalizers"], [finalizer])
        c.patch(CM + "/owner", {"metadata": {"finalizers": None}}, "merge-patch")
        failed(c.get(CM + "/owner"), 404, "NotFound")
    equal(c.delete(CM + "/x", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Sideways"}).code, 422)
    made = created(c.post(CM, config_map("pre")))
    wrong = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "other"}}
    failed(c.delete(CM + "/pre", wrong), 409, "Conflict", "the UID in the precondition (other) does not match")
    right = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": made["metadata"]["uid"]}}
    equal(c.delete(CM + "/pre", right).code, 200)


def test_namespaces(c, _):
    ns = "/api/v1/namespaces"
    made = created(c.post(ns, {"metadata": {"name": "going"}}))
    equal(made["spec"]["finalizers"], ["kubernetes"])
    equal(made["status"]["phase"], "Active")
    equal(made["metadata"]["labels"], {"kubernetes.io/metadata.name": "going"})
    r = c.delete(ns + "/going")
    equal(r.json["status"]["phase"], "Terminating")
    status = failed(c.post(ns + "/going/configmaps", config_map("late")), 403, "Forbidden", "being terminated")
    equal(status["details"]["causes"][0]["reason"], "NamespaceTerminating")
    body = c.get(ns + "/going").json
    body["spec"]["finalizers"] = []
    equal(c.put(ns + "/going/finalize", body).code, 200)
    failed(c.get(ns + "/going"), 404, "NotFound")
    failed(c.post(ns + "/nowhere/configmaps", config_map("x")), 404, "NotFound", 'namespaces "nowhere" not found')
    failed(c.delete(ns + "/default"), 403, "Forbidden", "may not be deleted")
    for name in ("default", "kube-system", "kube-public", "kube-node-lease"):
        equal(c.get(ns + "/" + name).code, 200)


# ---- pods ----

def test_pod_life(c, _):
    service_account(c)
    made = created(c.post(NS + "/pods", pod("life")))
    spec = made["spec"]
    equal(made["status"]["phase"], "Pending")
    equal(made["status"]["qosClass"], "BestEffort")
    equal(spec["serviceAccountName"], "default")
    volume = [v for v in spec["volumes"] if v["name"].startswith("kube-api-access-")][0]
    equal([list(s)[0] for s in volume["projected"]["sources"]], ["serviceAccountToken", "configMap", "downwardAPI"])
    equal(spec["containers"][0]["volumeMounts"][0]["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount")
    equal({t["key"]: t["tolerationSeconds"] for t in spec["tolerations"]},
          {"node.kubernetes.io/not-ready": 300, "node.kubernetes.io/unreachable": 300})
    equal(spec["priority"], 0)
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "life"}, "target": {"kind": "Node", "name": "n1"}}
    equal(c.post(NS + "/pods/life/binding", binding).code, 201)
    bound = c.get(NS + "/pods/life").json
    equal(bound["spec"]["nodeName"], "n1")
    equal([x["status"] for x in bound["status"]["conditions"] if x["type"] == "PodScheduled"], ["True"])
    failed(c.post(NS + "/pods/life/binding", binding), 409, "Conflict", "already assigned to node")
    equal([i["metadata"]["name"] for i in c.get("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").json["items"]], ["life"])
    bound["status"]["phase"] = "Running"
    bound["spec"]["nodeName"] = "elsewhere"
    r = c.put(NS + "/pods/life/status", bound)
    equal((r.json["status"]["phase"], r.json["spec"]["nodeName"]), ("Running", "n1"), "status updates leave spec alone")
    r = c.delete(NS + "/pods/life")
    equal(r.json["metadata"]["deletionGracePeriodSeconds"], 30)
    equal(c.get(NS + "/pods/life").code, 200, "until the node agent lets go")
    equal(c.delete(NS + "/pods/life", {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}).code, 200)
    failed(c.get(NS + "/pods/life"), 404, "NotFound")
    created(c.post(NS + "/pods", pod("unscheduled")))
    equal(c.delete(NS + "/pods/unscheduled").code, 200)
    failed(c.get(NS + "/pods/unscheduled"), 404, "NotFound")
    failed(c.post(NS + "/pods", pod("x", serviceAccountName="nobody")), 403, "Forbidden", "service account default/nobody")
    failed(c.post(NS + "/pods", pod("x", priorityClassName="urgent")), 403, "Forbidden", "no PriorityClass")
    equal(created(c.post(NS + "/pods", pod("crit", priorityClassName="system-node-critical")))["spec"]["priority"], 2000001000)


def test_logs_and_eviction(c, _):
    service_account(c)
    created(c.post(NS + "/pods", pod("ev")))
    nothing = c.get(NS + "/pods/ev/log")
    equal((nothing.code, nothing.body), (204, b""), "a pod without a node has said nothing")
    failed(c.get(NS + "/pods/ev/log?sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z"), 422, "Invalid",
           'PodLogOptions "ev" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be specified')
    failed(c.post(CM, {"metadata": {"name": "long"}, "data": {"a": "a" * (1 << 20), "b": "b"}}), 422, "Invalid",
           'ConfigMap "long" is invalid: []: Too long: may not be more than 1048576 bytes')
    failed(c.get(NS + "/pods/ev/log?container=zz"), 400, "BadRequest", "container zz is not valid")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "ev", "namespace": "default"}}
    equal(c.post(NS + "/pods/ev/eviction", eviction).code, 201)
    failed(c.get(NS + "/pods/ev"), 404, "NotFound")


def test_evictions_count_their_budget_down(c, _):
    service_account(c)

    def evict(name, **options):
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": "default"}}
        return c.post(NS + "/pods/%s/eviction" % name, dict(body, **({"deleteOptions": options} if options else {})))

    def running(name, ready="True"):
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": ready}]}
        equal(c.patch(NS + "/pods/%s/status" % name, {"status": status}, "merge-patch").code, 200)

    for name in ("e1", "e2", "e3"):
        body = pod(name, nodeName="n")
        body["metadata"]["labels"] = {"app": "e"}
        created(c.post(NS + "/pods", body))
        running(name)
    pdbs = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
              "spec": {"minAvailable": 2, "selector": {"matchLabels": {"app": "e"}}}}
    created(c.post(pdbs, budget))
    why = "Cannot evict pod as it would violate the pod's disruption budget."
    r = evict("e1")
    s = failed(r, 429, "TooManyRequests", why)
    equal(s["details"]["causes"], [{"reason": "DisruptionBudget",
                                    "message": "The disruption budget b is still being processed by the server."}])
    equal(r.headers["Retry-After"], "10")
    status = {"observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 3, "desiredHealthy": 2, "expectedPods": 3,
              "conditions": [{"type": "DisruptionAllowed", "status": "True", "reason": "SufficientPods", "message": "",
                              "lastTransitionTime": "2026-01-01T00:00:00Z"}]}
    equal(c.patch(pdbs + "/b/status", {"status": status}, "merge-patch").code, 200)
    equal(evict("e1", dryRun=["All"]).code, 201)
    equal((c.get(pdbs + "/b").json["status"]["disruptionsAllowed"], "deletionTimestamp" in c.get(NS + "/pods/e1").json["metadata"]),
          (1, False), "a dry run")
    equal(evict("e1").code, 201)
    after = c.get(pdbs + "/b").json["status"]
    equal((after["disruptionsAllowed"], list(after["disruptedPods"]), after["conditions"][0]["status"], after["conditions"][0]["reason"]),
          (0, ["e1"], "False", "InsufficientPods"))
    gone = c.get(NS + "/pods/e1").json
    equal([(x["status"], x["reason"], x["message"]) for x in gone["status"]["conditions"] if x["type"] == "DisruptionTarget"],
          [("True", "EvictionByEvictionAPI", "Eviction API: evicting")])
    check(gone["metadata"]["deletionTimestamp"])
    equal(evict("e1").code, 201, "it is going already")
    s = failed(evict("e2"), 429, "TooManyRequests", why)
    equal(s["details"]["causes"][0]["message"], "The disruption budget b needs 2 healthy pods and has 3 currently")
    running("e2", ready="False")
    equal(evict("e2").code, 201, "enough others are healthy")
    equal(c.get(pdbs + "/b").json["status"]["disruptionsAllowed"], 0)
    created(c.post(pdbs, dict(budget, metadata={"name": "b2"})))
    failed(evict("e3"), 500, None, "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.")
    failed(c.post(NS + "/pods/e3/eviction", {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "x"}}), 400,
           "BadRequest", "name in URL does not match name in Eviction object")
    failed(evict("none"), 404, "NotFound")
    for name in ("b", "b2"):
        c.delete(pdbs + "/" + name)


WORKLOAD = {"selector": {"matchLabels": {"st": "st"}}, "template": {"metadata": {"labels": {"st": "st"}},
                                                                     "spec": {"containers": [{"name": "c", "image": "i"}]}}}
# path, object, a change that counts for the generation (None: none does), what of the metadata a status update may change
STATUS = [
    ("/apis/apps/v1/namespaces/default/statefulsets", {"spec": WORKLOAD}, {"spec": {"replicas": 2}}, {"labels", "annotations"}),
    ("/apis/apps/v1/namespaces/default/deployments", {"spec": WORKLOAD}, {"spec": {"replicas": 2}}, {"annotations"}),
    ("/api/v1/namespaces", {}, None, {"labels", "annotations"}),
    (NS + "/resourcequotas", {"spec": {"hard": {"secrets": "9"}}}, None, {"labels", "annotations"}),
    ("/apis/policy/v1/namespaces/default/poddisruptionbudgets", {"spec": {"minAvailable": 1}}, {"spec": {"minAvailable": 2}},
     {"labels", "annotations"}),
    ("/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas", {"spec": {"priorityLevelConfiguration": {"name": "exempt"}}},
     {"spec": {"matchingPrecedence": 7}}, set()),
    ("/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations", {"webhooks": []}, {"webhooks": [
        {"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://x.invalid"},
         "namespaceSelector": {"matchLabels": {"no": "where"}}}]}, None),
    ("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", {"addressType": "IPv4", "endpoints": []},
     {"metadata": {"labels": {"a": "b"}}}, None),
    ("/apis/scheduling.k8s.io/v1/priorityclasses", {"value": 1}, None, None),
    ("/apis/resource.k8s.io/v1/deviceclasses", {"spec": {}}, {"spec": {"selectors": [{"cel": {"expression": "true"}}]}}, None),
]


def test_generations_and_what_a_status_update_changes(c, _):
    for path, body, change, taken in STATUS:
        o = created(c.post(path, dict(body, metadata={"name": "st"})))
        generation = o["metadata"].get("generation", 0)
        equal(generation, 1 if change or "priorityclasses" in path else 0, path)
        r = c.patch(path + "/st", {"metadata": {"annotations": {"x": "y"}}}, "merge-patch").json
        counts = "deployments" in path
        equal(r["metadata"].get("generation", 0), generation + counts, path)
        if change:
            equal(c.patch(path + "/st", change, "merge-patch").json["metadata"]["generation"], generation + counts + 1, path)
        if taken is not None:
            meta = {"labels": {"s": "t"}, "annotations": {"s": "t"}}
            r = c.patch(path + "/st/status", {"metadata": meta, "spec": {"odd": None}}, "merge-patch")
            equal(r.code, 200, r)
            got = {k for k in meta if r.json["metadata"].get(k, {}).get("s") == "t"}
            equal(got, taken, path)
        c.delete(path + "/st")


def test_jobs_and_controllers_leave_their_pods(c, _):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    always = dict(template, spec=dict(template["spec"], restartPolicy="Always"))
    jobs = "/apis/batch/v1/namespaces/default/jobs"
    for path, spec, warns in ((jobs, {"template": template}, True),
                              (NS + "/replicationcontrollers", {"selector": {"a": "b"}, "template": always}, False)):
        created(c.post(path, {"metadata": {"name": "left"}, "spec": spec}))
        r = c.delete(path + "/left?dryRun=All")
        r = c.delete(path + "/left")
        equal((r.json["metadata"]["finalizers"], "child pods are preserved by default" in (r.headers["warning"] or "")),
              (["orphan"], warns), path)
        c.patch(path + "/left", {"metadata": {"finalizers": []}}, "merge-patch")
        failed(c.get(path + "/left"), 404, "NotFound")
        created(c.post(path, {"metadata": {"name": "left"}, "spec": spec}))
        r = c.delete(path + "/left", {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"})
        equal((r.code, r.headers["warning"]), (200, None))
        failed(c.get(path + "/left"), 404, "NotFound")


class FakeNode(threading.Thread):
    """A node agent that serves one container's log over TLS: three lines, the last one late."""

    def __init__(self, server):
        super().__init__(daemon=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(server.pki.path("server.crt"), server.pki.path("server.key"))
        self.more, self.paths = threading.Event(), []
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                node.paths.append(self.path)
                if "/missing/" in self.path:
                    self.send_response(404)
                    body = b"pod missing is not here"
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    return
                self.send_response(200)
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for line in (b"one\n", b"two\n", b"three\n"):
                    if line == b"three\n":
                        node.more.wait(10)
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.socket = context.wrap_socket(self.http.socket, server_side=True)

    def run(self):
        self.http.serve_forever()


def test_logs_stream_from_the_node(c, server):
    service_account(c)
    node = FakeNode(server)
    node.start()
    created(c.post("/api/v1/nodes", {"metadata": {"name": "lognode"}, "status": {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": node.http.server_port}}}}))
    for name in ("logger", "missing"):
        created(c.post(NS + "/pods", pod(name)))
        equal(c.post(NS + "/pods/%s/binding" % name, {"metadata": {"name": name}, "target": {"name": "lognode"}}).code, 201)
    with c.watch(NS + "/pods/logger/log?follow=true&tailLines=5") as w:
        equal(w.code, 200)
        equal([w.response.readline(), w.response.readline()], [b"one\n", b"two\n"], "before the rest is there")
        node.more.set()
        equal(w.response.read(), b"three\n")
    equal(node.paths[0], "/containerLogs/default/logger/c?follow=true&tailLines=5")
    failed(c.get(NS + "/pods/missing/log"), 400, "BadRequest", "pod missing is not here")
    node.http.shutdown()
    for name in ("logger", "missing"):
        c.delete(NS + "/pods/%s?gracePeriodSeconds=0" % name)


def test_scale_and_generation(c, _):
    base = "/apis/apps/v1/namespaces/default/deployments"
    made = created(c.post(base, {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "replicas": 2, "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}))
    equal(made["metadata"]["generation"], 1)
    equal(made["spec"]["strategy"]["rollingUpdate"], {"maxSurge": "25%", "maxUnavailable": "25%"})
    scale = c.get(base + "/d/scale").json
    table = c.get(base + "/d/scale", accept=TABLE).json
    equal([d["name"] for d in table["columnDefinitions"]], ["Name", "Desired", "Available", "Age"])
    equal((table["rows"][0]["cells"][:3], table["metadata"]), (["d", scale["spec"]["replicas"], scale["status"]["replicas"]],
                                                             {"resourceVersion": scale["metadata"]["resourceVersion"]}))
    equal(table["rows"][0]["object"], {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": scale["metadata"]})
    equal(c.get(base + "/d/scale?includeObject=Object", accept=TABLE).json["rows"][0]["object"], scale)
    for path in ("/d", "/d/scale", ""):
        failed(c.get(base + path + "?includeObject=All", accept=TABLE), 400, "BadRequest",
               "Unable to convert to Table as requested: includeObject: Invalid value: \"All\": must be")
    equal((scale["kind"], scale["apiVersion"], scale["spec"]["replicas"], scale["status"]["selector"]),
          ("Scale", "autoscaling/v1", 2, "a=b"))
    scale["spec"]["replicas"] = 5
    equal(c.put(base + "/d/scale", scale).json["spec"]["replicas"], 5)
    equal(c.patch(base + "/d/scale", {"spec": {"replicas": 6}}, "merge-patch").json["spec"]["replicas"], 6)
    failed(c.put(base + "/d/scale", scale), 409, "Conflict")
    d = c.get(base + "/d").json
    equal((d["spec"]["replicas"], d["metadata"]["generation"]), (6, 3))
    d["status"] = {"replicas": 6, "observedGeneration": 3}
    d["spec"]["replicas"] = 1
    r = c.put(base + "/d/status", d).json
    equal((r["spec"]["replicas"], r["status"]["replicas"], r["metadata"]["generation"]), (6, 6, 3))
    r["metadata"]["labels"] = {"l": "1"}
    r["status"] = {}
    r = c.put(base + "/d", r).json
    equal((r["status"]["replicas"], r["metadata"]["generation"]), (6, 3), "labels do not count")


# ---- services ----

def test_services_get_unique_addresses(c, server):
    def service(name, **spec):
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
                "spec": dict({"ports": [{"port": 80}], "selector": {"a": "b"}}, **spec)}
    base = NS + "/services"
    ips, lock = [], threading.Lock()

    def work(i):
        for k in range(5):
            s = created(server.client().post(base, service("s%d-%d" % (i, k), type="NodePort")))
            with lock:
                ips.append((s["spec"]["clusterIP"], s["spec"]["ports"][0]["nodePort"]))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    equal(len({ip for ip, _ in ips}), 20)
    equal(len({port for _, port in ips}), 20)
    check(all(30000 <= port <= 32767 for _, port in ips))
    taken = ips[0][0]
    equal(c.post(base, service("dup", clusterIP=taken)).code, 422)
    equal(c.post(base, service("out", clusterIP="192.168.0.1")).code, 422)
    equal(c.post(base, service("dup", type="NodePort", ports=[{"port": 1, "nodePort": ips[0][1]}])).code, 422)
    equal(c.get("/apis/networking.k8s.io/v1/ipaddresses/" + taken).code, 200)
    name = [s["metadata"]["name"] for s in c.get(base).json["items"] if s["spec"]["clusterIP"] == taken][0]
    c.delete(base + "/" + name)
    failed(c.get("/apis/networking.k8s.io/v1/ipaddresses/" + taken), 404, "NotFound")
    again = created(c.post(base, service("again", clusterIP=taken)))
    equal(again["spec"]["clusterIPs"], [taken])
    headless = created(c.post(base, service("headless", clusterIP="None")))
    equal(headless["spec"]["clusterIP"], "None")
    del again["spec"]["clusterIP"], again["spec"]["clusterIPs"]
    again["spec"]["ports"][0]["port"] = 81
    r = c.put(base + "/again", again)
    equal((r.code, r.json["spec"]["clusterIP"]), (200, taken), "left out means unchanged")
    k = c.get(base + "/kubernetes").json
    equal(k["spec"]["clusterIP"], "10.96.0.1")
    slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
    want = [[a] for a in server.addresses]
    wait_for(lambda: [e["addresses"] for e in c.get(slices).json.get("endpoints") or []] == want, "the endpoints of the API servers", 60)


# ---- watches ----

def test_watch_events(c, _):
    rv = c.get(CM).json["metadata"]["resourceVersion"]
    created(c.post(CM, config_map("w")))
    with c.watch(CM + "?watch=true&resourceVersion=" + rv) as w:
        equal(w.code, 200)
        e = w.next()
        equal((e["type"], e["object"]["metadata"]["name"]), ("ADDED", "w"), "from history")
        c.patch(CM + "/w", {"data": {"x": "1"}}, "merge-patch")
        e = w.next()
        equal((e["type"], e["object"]["data"]), ("MODIFIED", {"x": "1"}))
        c.delete(CM + "/w")
        e = w.next()
        equal((e["type"], e["object"]["metadata"]["name"], e["object"]["kind"]), ("DELETED", "w", "ConfigMap"))
        check(int(e["object"]["metadata"]["resourceVersion"]) > int(rv))


def test_watch_selectors_see_objects_come_and_go(c, _):
    rv = c.get(CM).json["metadata"]["resourceVersion"]
    with c.watch(CM + "?watch=1&labelSelector=color%3Dred&resourceVersion=" + rv) as w:
        created(c.post(CM, config_map("s")))
        c.patch(CM + "/s", {"metadata": {"labels": {"color": "red"}}}, "merge-patch")
        equal(w.next()["type"], "ADDED")
        c.patch(CM + "/s", {"data": {"k": "v"}}, "merge-patch")
        equal(w.next()["type"], "MODIFIED")
        c.patch(CM + "/s", {"metadata": {"labels": {"color": "blue"}}}, "merge-patch")
        e = w.next()
        equal((e["type"], e["object"]["metadata"]["labels"]), ("DELETED", {"color": "red"}), "the old object")
        now = c.get(CM + "/s").json["metadata"]["resourceVersion"]
        equal(e["object"]["metadata"]["resourceVersion"], now, "and the new version")
    c.delete(CM + "/s")


def test_watch_pods_of_a_node(c, _):
    service_account(c)
    rv = c.get(NS + "/pods").json["metadata"]["resourceVersion"]
    with c.watch("/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3Dn9&resourceVersion=" + rv) as w:
        created(c.post(NS + "/pods", pod("on-n9")))
        created(c.post(NS + "/pods", pod("elsewhere")))
        for name, node in (("elsewhere", "n8"), ("on-n9", "n9")):
            equal(c.post(NS + "/pods/%s/binding" % name, {"metadata": {"name": name}, "target": {"name": node}}).code, 201)
        e = w.next()
        equal((e["type"], e["object"]["metadata"]["name"]), ("ADDED", "on-n9"))
        for name in ("elsewhere", "on-n9"):
            c.delete(NS + "/pods/%s?gracePeriodSeconds=0" % name)
        e = w.next()
        equal((e["type"], e["object"]["metadata"]["name"]), ("DELETED", "on-n9"))


def test_watch_list(c, _):
    for i in range(3):
        created(c.post(CM, config_map("wl%d" % i)))
    query = "?watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
    with c.watch(CM + query) as w:
        names = []
        while True:
            e = w.next()
            if e["type"] == "BOOKMARK":
                break
            equal(e["type"], "ADDED")
            names.append(e["object"]["metadata"]["name"])
        check({"wl0", "wl1", "wl2"} <= set(names), names)
        equal(e["object"]["metadata"]["annotations"], {"k8s.io/initial-events-end": "true"})
        equal(e["object"]["kind"], "ConfigMap")
        created(c.post(CM, config_map("wl3")))
        equal(w.next()["object"]["metadata"]["name"], "wl3")
    failed(c.get(CM + "?watch=true&sendInitialEvents=true"), 422, "Invalid", "resourceVersionMatch")
    with c.watch(CM + "?watch=true&timeoutSeconds=1") as w:
        seen = 0
        while w.next():
            seen += 1
        check(seen >= 4, "synthetic ADDED events, then the end")
    c.delete(CM + "?labelSelector=!keep")


def test_watch_protobuf_and_tables(c, _):
    rv = c.get(CM).json["metadata"]["resourceVersion"]
    created(c.post(CM, config_map("f")))
    with c.watch(CM + "?watch=1&resourceVersion=" + rv, accept=PROTOBUF + ";stream=watch") as w:
        frame = w.next_frame()
        check(frame.startswith(b"\n\x05ADDED"), frame[:20])
        check(b"k8s\x00" in frame and b"ConfigMap" in frame)
    with c.watch(CM + "?watch=1&resourceVersion=" + rv, accept=TABLE) as w:
        e = w.next()
        equal((e["object"]["kind"], e["object"]["rows"][0]["cells"][:2]), ("Table", ["f", 0]))
    with c.watch(CM + "?watch=1&resourceVersion=" + rv, accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io") as w:
        e = w.next()
        equal((e["object"]["kind"], "data" in e["object"]), ("PartialObjectMetadata", False))
    c.delete(CM + "/f")


def test_many_watchers_share_events(c, server):
    rv = c.get(CM).json["metadata"]["resourceVersion"]
    watches = [server.client().watch(CM + "?watch=1&resourceVersion=" + rv) for _ in range(40)]
    for i in range(10):
        created(c.post(CM, config_map("share%d" % i)))
    for w in watches:
        equal([w.next()["object"]["metadata"]["name"] for _ in range(10)], ["share%d" % i for i in range(10)])
        w.close()
    c.delete(CM)


# ---- forms ----

def test_tables(c, _):
    t = c.get("/api/v1/namespaces", accept=TABLE).json
    equal((t["kind"], t["apiVersion"]), ("Table", "meta.k8s.io/v1"))
    equal([d["name"] for d in t["columnDefinitions"]], ["Name", "Status", "Age"])
    equal(t["rows"][0]["cells"][:2], ["default", "Active"])
    equal(t["rows"][0]["object"]["kind"], "PartialObjectMetadata")
    equal(c.get("/api/v1/namespaces?includeObject=None", accept=TABLE).json["rows"][0]["object"], None)
    for group in c.get("/apis").json["groups"]:
        path = "/apis/" + group["preferredVersion"]["groupVersion"]
        for r in c.get(path).json["resources"]:
            if "list" in r["verbs"] and "/" not in r["name"]:
                a = c.get("%s/%s" % (path, r["name"]), accept=TABLE)
                equal(a.code, 200, path, r["name"])
                for row in a.json["rows"]:
                    equal(len(row["cells"]), len(a.json["columnDefinitions"]), r["name"])


def test_component_statuses(c, _):
    path = "/api/v1/componentstatuses"
    leases = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"

    def conditions(answer):
        return {i["metadata"]["name"]: i["conditions"] for i in answer["items"]}
    answer = c.get(path)
    equal(answer.code, 200, answer)
    check("v1 ComponentStatus is deprecated" in answer.headers["Warning"], answer.headers)
    equal(answer.json["kind"], "ComponentStatusList")
    seen = conditions(answer.json)
    equal(sorted(seen), ["controller-manager", "etcd-0", "scheduler"])
    equal(seen["etcd-0"], [{"type": "Healthy", "status": "True", "message": "ok"}])
    equal(seen["scheduler"][0]["status"], "False")
    now = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime())
    lease = {"metadata": {"name": "kube-scheduler"},
             "spec": {"holderIdentity": "me", "leaseDurationSeconds": 3600, "renewTime": now}}
    created(c.post(leases, lease))
    equal(c.get(path + "/scheduler").json["conditions"], [{"type": "Healthy", "status": "True", "message": "ok"}])
    rows = c.get(path + "?fieldSelector=metadata.name%3Dscheduler", accept=TABLE).json["rows"]
    equal([r["cells"] for r in rows], [["scheduler", "Healthy", "ok", ""]])
    c.patch(leases + "/kube-scheduler", {"spec": {"renewTime": "2020-01-01T00:00:00.000000Z"}})
    check("is not renewed" in c.get(path + "/scheduler").json["conditions"][0]["error"])
    failed(c.get(path + "/dns"), 404, "NotFound", 'componentstatuses "dns" not found')
    equal(c.get(path + "/scheduler", accept=PROTOBUF).body[:4], b"k8s\0")
    c.delete(leases + "/kube-scheduler")


def test_protobuf_both_ways(c, _):
    created(c.post(CM, config_map("pb", k="v")))
    a = c.get(CM + "/pb", accept=PROTOBUF)
    equal(a.headers["content-type"], PROTOBUF)
    check(a.body.startswith(b"k8s\x00") and b"ConfigMap" in a.body)
    c.delete(CM + "/pb")
    # resourceVersion must go; the rest may be sent back as it is
    version = re.search(rb"\x32(.)(\d+)", a.body)
    check(version, a.body)
    r = c.request("POST", CM, a.body, content_type=PROTOBUF)
    equal(r.code, 400, "objects to be created have no resourceVersion")
    check(c.get(CM, accept=PROTOBUF).body.startswith(b"k8s\x00"))
    missing = c.get(CM + "/none", accept=PROTOBUF)
    equal(missing.code, 404)
    check(missing.body.startswith(b"k8s\x00") and b"NotFound" in missing.body)
    m = c.get(NS + "/configmaps", accept="application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io").json
    equal(m["kind"], "PartialObjectMetadataList")
    equal(c.get(CM, accept="application/yaml").body[:1].isalpha(), True)


def test_discovery(c, _):
    equal(c.get("/api").json["versions"], ["v1"])
    groups = {g["name"] for g in c.get("/apis").json["groups"]}
    check({"apps", "batch", "rbac.authorization.k8s.io", "coordination.k8s.io", "discovery.k8s.io"} <= groups, groups)
    pods = [r for r in c.get("/api/v1").json["resources"] if r["name"] == "pods"][0]
    equal((pods["kind"], pods["namespaced"], pods["shortNames"], pods["singularName"]), ("Pod", True, ["po"], "pod"))
    for version in ("v2", "v2beta1"):
        a = c.get("/apis", accept="application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList,application/json" % version)
        check("v=" + version in a.headers["content-type"], a.headers["content-type"])
        equal(a.json["kind"], "APIGroupDiscoveryList")
        apps = [g for g in a.json["items"] if g["metadata"]["name"] == "apps"][0]
        d = [r for r in apps["versions"][0]["resources"] if r["resource"] == "deployments"][0]
        equal({s["subresource"] for s in d["subresources"]}, {"scale", "status"})
        tag = a.headers["etag"]
        again = c.get("/apis", accept="application/json;g=apidiscovery.k8s.io;v=%s;as=APIGroupDiscoveryList" % version,
                      headers={"If-None-Match": tag})
        equal(again.code, 304)
    v = c.get("/version").json
    check(v["gitVersion"].startswith("v1.35.0+c8s."), v)
    index = c.get("/openapi/v3").json["paths"]
    doc = c.get(index["apis/apps/v1"]["serverRelativeURL"])
    equal(doc.code, 200)
    patch = doc.json["paths"]["/apis/apps/v1/namespaces/{namespace}/deployments/{name}"]["patch"]
    check({"dryRun", "fieldManager", "force", "fieldValidation"} <= {p["name"] for p in patch["parameters"]}, patch["parameters"])
    equal(patch["x-kubernetes-group-version-kind"], {"group": "apps", "version": "v1", "kind": "Deployment"})
    for path in ("/healthz", "/livez", "/readyz"):
        equal(c.get(path).body, b"ok")
    check(b"apiserver_request_total" in c.get("/metrics").body)


def test_events_in_both_groups(c, _):
    e = {"apiVersion": "v1", "kind": "Event", "metadata": {"name": "e1", "namespace": "default"}, "reason": "Why", "message": "m",
         "type": "Normal", "involvedObject": {"kind": "Pod", "name": "p", "namespace": "default"}, "source": {"component": "t"},
         "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:00:00Z", "count": 1}
    created(c.post(NS + "/events", e))
    other = c.get("/apis/events.k8s.io/v1/namespaces/default/events/e1").json
    equal((other["note"], other["regarding"]["name"], other["reason"]), ("m", "p", "Why"))
    equal(len(c.get(NS + "/events?fieldSelector=involvedObject.name%3Dp").json["items"]), 1)


# ---- who may ----

def test_authentication_and_rbac(c, server):
    anonymous = Client(server.port, server.pki, user=None)
    equal(anonymous.get("/version").code, 200)
    failed(anonymous.get(CM), 403, "Forbidden", 'User "system:anonymous" cannot list resource "configmaps"')
    failed(Client(server.port, server.pki, user=None, token="wrong").get(CM), 401, "Unauthorized")
    failed(Client(server.port, server.pki, user="stranger").get(CM), 401, "Unauthorized")
    failed(server.client("alice").get(CM), 403, "Forbidden", 'User "alice"', 'in the namespace "default"')
    carol = Client(server.port, server.pki, user=None, token="sekret")
    failed(carol.get("/api/v1/nodes"), 403, "Forbidden", 'User "carol"', "at the cluster scope")
    who = carol.post("/apis/authentication.k8s.io/v1/selfsubjectreviews",
                     {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}).json["status"]["userInfo"]
    equal((who["username"], who["groups"]), ("carol", ["dev", "ops", "system:authenticated"]))
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    created(c.post(rbac + "/namespaces/default/roles", {
        "metadata": {"name": "reader"}, "rules": [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list"]}]}))
    created(c.post(rbac + "/namespaces/default/rolebindings", {
        "metadata": {"name": "dev"}, "roleRef": {"kind": "Role", "name": "reader", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "Group", "name": "dev"}]}))
    wait_for(lambda: carol.get(CM).code == 200, "the binding to count")
    failed(carol.post(CM, config_map("no")), 403, "Forbidden")
    review = c.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {
        "user": "x", "groups": ["dev"], "resourceAttributes": {"namespace": "default", "verb": "list", "resource": "configmaps"}}})
    equal(review.json["status"]["allowed"], True, review)
    # nobody grants what they do not have
    created(c.post(rbac + "/clusterrolebindings", {
        "metadata": {"name": "carol-rbac"}, "roleRef": {"kind": "ClusterRole", "name": "admin", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "carol"}]}))
    wait_for(lambda: carol.get(rbac + "/namespaces/default/roles").code == 200, "the binding to count")
    failed(carol.post(rbac + "/namespaces/default/roles", {
        "metadata": {"name": "evil"}, "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]}), 403, "Forbidden",
        "attempting to grant RBAC permissions not currently held")
    failed(carol.post(rbac + "/namespaces/default/rolebindings", {
        "metadata": {"name": "evil"}, "roleRef": {"kind": "ClusterRole", "name": "cluster-admin", "apiGroup": "rbac.authorization.k8s.io"},
        "subjects": [{"kind": "User", "name": "carol"}]}), 403, "Forbidden", "not currently held")


def wait_for(condition, what, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < deadline, "waited in vain for", what)
        time.sleep(0.02)


def test_service_account_tokens(c, server):
    service_account(c, name="robot")
    created(c.post(NS + "/pods", pod("tok", serviceAccountName="robot")))
    uid = c.get(NS + "/pods/tok").json["metadata"]["uid"]
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {
        "expirationSeconds": 3607, "boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "tok", "uid": uid}}}
    made = created(c.post(NS + "/serviceaccounts/robot/token", request))
    token = made["status"]["token"]
    claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    equal(claims["sub"], "system:serviceaccount:default:robot")
    equal(claims["kubernetes.io"]["pod"], {"name": "tok", "uid": uid})
    robot = Client(server.port, server.pki, user=None, token=token)
    failed(robot.get(CM), 403, "Forbidden", "system:serviceaccount:default:robot")
    review = c.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": token}}).json["status"]
    equal(review["user"]["username"], "system:serviceaccount:default:robot")
    equal(review["authenticated"], True)
    failed(Client(server.port, server.pki, user=None, token=token[:-4] + "AAAA").get(CM), 401, "Unauthorized")
    equal(c.post(NS + "/serviceaccounts/robot/token", {"spec": {"expirationSeconds": 5}}).code, 422)
    c.delete(NS + "/pods/tok")
    failed(robot.get(CM), 401, "Unauthorized")


# ---- bad input ----

def test_bad_input(c, server):
    failed(c.post(CM, '{"a":'), 400, "BadRequest", "unexpected end of JSON input")
    failed(c.post(CM, "[]"), 400, "BadRequest")
    failed(c.post(CM, ""), 400, "BadRequest")
    failed(c.post(CM, "x", content_type="text/plain"), 415, "UnsupportedMediaType")
    failed(c.post(CM, "a: [", content_type="application/yaml"), 400, "BadRequest")
    for bad in (b"k8s\x00\xff\xff\xff", b"garbage", b"k8s\x00\x0a\x7f"):
        failed(c.request("POST", CM, bad, content_type=PROTOBUF), 400, "BadRequest")
    failed(c.get(CM, accept="text/html"), 406, "NotAcceptable")
    # What is quoted in an answer is text.
    failed(c.get(CM + "?labelSelector=a%b3"), 400, "BadRequest", "\ufffd")
    failed(c.get(CM + "?fieldSelector=a%b3=b"), 400, "BadRequest", "\ufffd")
    failed(c.get(CM + "/a%b3"), 404, "NotFound", "\ufffd")
    check(c.get(CM + "/a%b3", accept=PROTOBUF).body.decode("utf-8", "surrogateescape").count("\ufffd") >= 1, "in protobuf, too")
    failed(c.post(CM, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}}), 400, "BadRequest", 'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod)')
    wrong_type = dict(config_map("t"), data={"a": 1})
    failed(c.post(CM, wrong_type), 400, "BadRequest", "data")
    unknown = dict(config_map("u"), dataa={"x": "y"})
    failed(c.post(CM + "?fieldValidation=Strict", unknown), 400, "BadRequest", 'unknown field "dataa"')
    warned = c.post(CM + "?fieldValidation=Warn", unknown)
    equal(warned.code, 201)
    equal(warned.headers["warning"], '299 - "unknown field \\"dataa\\""')
    equal(c.post(CM + "?fieldValidation=Ignore", dict(unknown, metadata={"name": "u2"})).headers["warning"], None)
    equal(c.post(CM + "?fieldValidation=Maybe", config_map("u3")).code, 422)
    s = failed(c.post(CM, config_map("Bad_Name")), 422, "Invalid", "metadata.name")
    equal(s["details"]["causes"][0]["field"], "metadata.name")
    failed(c.post(CM, dict(config_map("v"), metadata={"name": "v", "labels": {"a b": "c"}})), 422, "Invalid", "metadata.labels")
    failed(c.post(CM, dict(config_map("v"), metadata={"name": "v", "namespace": "other"})), 400, "BadRequest", "namespace")
    failed(c.put(CM + "/v", config_map("w")), 400, "BadRequest", "does not match the name on the URL")
    failed(c.put(CM + "/v", config_map("v")), 404, "NotFound")
    service_account(c)
    failed(c.post(NS + "/pods", {"metadata": {"name": "np"}, "spec": {}}), 422, "Invalid", "spec.containers")
    equal(c.get("/apis/nothing.io/v1/things").code, 404)
    failed(c.get("/api/v1/%zz"), 400, "BadRequest")
    failed(c.request("POST", CM + "/x", config_map("x")), 405, "MethodNotAllowed")
    failed(c.delete("/api/v1/namespaces"), 405, "MethodNotAllowed")
    deep = '{"metadata":{"name":"deep"},"data":' + "[" * 5000 + "]" * 5000 + "}"
    equal(c.post(CM, deep).code, 400)
    big = c.post(CM, '{"metadata":{"name":"big"},"data":{"x":"' + "y" * (4 << 20) + '"}}')
    failed(big, 413, "RequestEntityTooLarge", "limit is 3145728")
    raw_http(server, b"GET / HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n", b"400")
    raw_http(server, b"\x16\x03garbage", None)
    equal(c.get("/readyz").code, 200, "still alive")


def raw_http(server, data, want):
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    if want is None:
        raw.sendall(data)
    else:
        context = server.client().context
        tls = context.wrap_socket(raw, server_hostname="127.0.0.1")
        tls.sendall(data)
        check(want in tls.recv(4096), "no", want)
        raw = tls
    raw.close()


# ---- the process ----

def test_requests_in_flight_are_bounded(c, server):
    small = Server(server.binary, ["--max-requests-inflight=1", "--enable-priority-and-fairness=false"])
    try:
        small.start()
        s = small.client()
        for i in range(12):
            created(s.post(CM, config_map("fat%d" % i, x="y" * 900000)))
        connection = s.connect()
        connection.request("GET", CM)  # 10 MB that nobody reads
        connection.sock.recv(1)
        refused = failed(s.get(CM + "/fat0"), 429, "TooManyRequests", "please try again later")
        equal(refused["details"]["retryAfterSeconds"], 1)
        equal(s.get("/readyz").code, 200, "health is always answered")
        created(s.post(CM, config_map("writes-have-places-of-their-own")))
        connection.close()
        wait_for(lambda: s.get(CM + "/fat0").code == 200, "the place to be free again")
    finally:
        small.remove()


def test_compacted_history_is_gone(c, server):
    short = Server(server.binary, ["--etcd-compaction-interval=1s"])
    try:
        short.start()
        s = short.client()
        rv = s.get(CM).json["metadata"]["resourceVersion"]

        def gone():
            s.post(CM, {"metadata": {"generateName": "x-"}})
            with s.watch(CM + "?watch=1&resourceVersion=" + rv) as w:
                e = w.next()
                return e["type"] == "ERROR" and (e["object"]["code"], e["object"]["reason"]) == (410, "Expired")

        wait_for(gone, "a watch of compacted history to end with 410", 60)
        equal(s.get(CM).code, 200)
    finally:
        short.remove()


def test_zz_restart_keeps_everything(c, server):
    created(c.post(CM, config_map("kept", a="b")))
    before = c.get(CM + "/kept").json
    server.kill()
    server.start()
    equal(server.client().get(CM + "/kept").json, before)
    equal(server.stop(), 0, server.log_tail())
    server.start()
    equal(server.client().get(CM + "/kept").json, before)


def protobuf_fields(data):
    """The fields of a message, in order: (number, bytes or number)."""
    def varint():
        nonlocal at
        value, shift = 0, 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value
    at, out = 0, []
    while at < len(data):
        number = varint()
        if number & 7 == 0:
            out.append((number >> 3, varint()))
            continue
        equal(number & 7, 2, "wire type")
        length = varint()
        check(at + length <= len(data), "field", number >> 3, "is cut off")
        out.append((number >> 3, data[at:at + length]))
        at += length
    return out


def test_large_lists_are_the_same_in_every_form(c, _):
    created(c.post("/api/v1/namespaces", {"metadata": {"name": "forms"}}))
    path = "/api/v1/namespaces/forms/configmaps"
    for i in range(300):
        created(c.post(path, config_map("big-%03d" % i, x="y" * 10000)))
    want = [o["metadata"]["name"] for o in c.get(path).json["items"] if o["metadata"]["name"] != "kube-root-ca.crt"]
    equal(want, ["big-%03d" % i for i in range(300)])
    others = len(c.get(path).json["items"]) - len(want)
    equal(c.get(path + "?pretty=true").json["items"], c.get(path).json["items"])
    equal(len(c.get(path, accept=TABLE).json["rows"]), len(c.get(path).json["items"]))
    for query, expect in (("?labelSelector=!a", want), ("?limit=250", want[:250])):
        answer = c.get(path + query, accept=PROTOBUF)
        equal(answer.code, 200, answer)
        equal(answer.body[:4], b"k8s\0")
        raw = dict(protobuf_fields(answer.body[4:]))[2]
        fields = protobuf_fields(raw)
        meta = dict(protobuf_fields(fields[0][1]))
        equal(bool(meta[3]), query != "?labelSelector=!a", "continue token")
        equal(meta.get(4), len(want) - 250 + others if query == "?limit=250" else None, "remainingItemCount")
        names = [dict(f for f in protobuf_fields(o) if f[0] == 1) for n, o in fields[1:] if n == 2]
        names = [bytes(m[1]) for m in names]
        found = [re.search(rb"\n\x07(big-\d\d\d)", m).group(1).decode() for m in names if b"\n\x07big-" in m]
        equal(found, expect)
    c.delete("/api/v1/namespaces/forms")


def main():
    return run_tests(Server(sys.argv[1]), globals(), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
