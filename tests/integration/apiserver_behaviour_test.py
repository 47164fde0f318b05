#!/usr/bin/env python3
"""What api_diff_test.py found by comparing with a real kube-apiserver, kept where CI runs it.

    apiserver_behaviour_test.py BINARY [NAME…]     run all tests, or those whose name contains NAME
"""
import base64
import gzip
import json
import subprocess
import sys
import tempfile
import threading
import time

from apiserver_admission_test import check, created, equal, namespace, ok, pod
from apiserver_lib import Server, run_tests
from apiserver_test import config_map, failed, wait_for

WRONG = "11111111-2222-3333-4444-555555555555"


def fields(answer):
    return {k: v for e in answer["metadata"].get("managedFields", []) for k, v in e["fieldsV1"].items()}


def test_what_the_server_adds_to_a_new_object_has_no_owner(c, _):
    path = namespace(c, "unowned")
    job = {"metadata": {"name": "j"}, "spec": {"template": {"spec": {"restartPolicy": "Never",
                                                                     "containers": [{"name": "c", "image": "i"}]}}}}
    made = created(c.post(path.replace("/api/v1", "/apis/batch/v1") + "/jobs", job))
    check(made["spec"]["selector"], "a selector", made)
    check("f:selector" not in fields(made)["f:spec"], "the selector has no owner", made)
    check("f:metadata" not in fields(made)["f:spec"]["f:template"], "nor have the labels", made)
    jobs = path.replace("/api/v1", "/apis/batch/v1") + "/jobs"
    equal(made["metadata"]["labels"], made["spec"]["template"]["metadata"]["labels"])  # a job without labels has its pods'
    equal(ok(c.get(jobs + "?labelSelector=job-name%3Dj"))["items"][0]["metadata"]["labels"], made["metadata"]["labels"])
    job["metadata"] = {"name": "k", "labels": {"a": "b"}}
    equal(created(c.post(jobs, job))["metadata"]["labels"], {"a": "b"})
    made = created(c.post("/api/v1/namespaces", {"metadata": {"name": "unowned-2"}}))
    equal(set(fields(made)), {"f:metadata"})
    equal(made["status"], {"phase": "Active"})
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    made = created(c.post(path + "/persistentvolumeclaims", claim))
    equal(set(fields(made)), {"f:spec"})
    equal(made["status"], {"phase": "Pending"})
    node = {"metadata": {"name": "unowned"}, "status": {"capacity": {"cpu": "1"}}}
    made = created(c.post("/api/v1/nodes", node))
    check("f:status" not in fields(made), "a node's status belongs to who updates the status", made)
    equal(made["status"]["capacity"], {"cpu": "1"})
    ok(c.delete("/api/v1/nodes/unowned"))


def test_preconditions_in_published_words(c, _):
    path = namespace(c, "preconditions") + "/configmaps"
    made = created(c.post(path, config_map("a")))
    uid = made["metadata"]["uid"]
    failed(c.delete(path + "/a", {"preconditions": {"uid": WRONG}}), 409, "Conflict",
           'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition (%s) does not match the UID in record (%s). '
           "The object might have been deleted and then recreated" % (WRONG, uid))
    failed(c.delete(path + "/a", {"preconditions": {"resourceVersion": "1"}}), 409, "Conflict",
           "the ResourceVersion in the precondition (1) does not match the ResourceVersion in record (%s). The object might have been "
           "modified" % made["metadata"]["resourceVersion"])
    failed(c.put(path + "/a", {"metadata": {"name": "a", "uid": WRONG}}), 409, "Conflict",
           "StorageError: invalid object, Code: 4, Key: /registry/configmaps/preconditions/a, ResourceVersion: 0, AdditionalErrorMsg: "
           "Precondition failed: UID in precondition: %s, UID in object meta: %s" % (WRONG, uid))
    failed(c.patch(path + "/a", {"metadata": {"uid": WRONG}}, "merge-patch"), 422, "Invalid",
           'metadata.uid: Invalid value: "%s": field is immutable' % WRONG)
    failed(c.get(path + "/a?resourceVersion=999999999"), 504, "Timeout", "Timeout: Too large resource version: 999999999, current: ")


def grant(server, user, ns, rules):
    admin, rbac = server.client(), "/apis/rbac.authorization.k8s.io/v1/namespaces/%s/" % ns
    created(admin.post(rbac + "roles", {"metadata": {"name": user}, "rules": rules}))
    created(admin.post(rbac + "rolebindings", {
        "metadata": {"name": user}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}]}))


def test_who_may_update_may_not_create(c, server):
    """A PUT that makes the object needs both rights."""
    path = namespace(c, "put-creates").replace("/api/v1", "/apis/coordination.k8s.io/v1") + "/leases"
    grant(server, "alice", "put-creates", [{"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["update"]}])
    alice, lease = server.client("alice"), {"metadata": {"name": "l"}, "spec": {"holderIdentity": "x"}}
    failed(alice.put(path + "/l", lease), 403, "Forbidden",
           'User "alice" cannot create resource "leases" in API group "coordination.k8s.io" in the namespace "put-creates"')
    made = created(c.put(path + "/l", lease))
    equal(alice.put(path + "/l", made).code, 200)


def test_who_may_escalate_a_role_may_not_make_it(c, server):
    """By the request's name, which a POST has none of."""
    path = namespace(c, "escalates").replace("/api/v1", "/apis/rbac.authorization.k8s.io/v1") + "/roles"
    grant(server, "alice", "escalates", [
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create", "update"]},
        {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["escalate"], "resourceNames": ["r"]}])
    alice, role = server.client("alice"), {"metadata": {"name": "r"}, "rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}
    failed(alice.post(path, role), 403, "Forbidden", "is attempting to grant RBAC permissions not currently held")
    equal(alice.put(path + "/r", role).code, 201)


def test_removed_definitions_stay_removed(c, server):
    """Requests that are taking a definition over while it goes do not bring it back into discovery."""
    crds, group, stop = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "ghosts.example.com", threading.Event()
    long = {"p%d" % i: {"type": "object", "properties": {"q%d" % k: {"type": "string", "pattern": "^a%d_%d$" % (i, k)} for k in range(40)}}
            for i in range(60)}

    def ask():
        connection = server.client().connect()
        while not stop.is_set():
            connection.request("GET", "/apis/%s/v1/things" % group)
            connection.getresponse().read()
    for n in range(20):
        stop.clear()
        askers = [threading.Thread(target=ask) for _ in range(6)]
        for t in askers:
            t.start()
        created(c.post(crds, {"metadata": {"name": "things." + group}, "spec": {
            "group": group, "scope": "Namespaced", "names": {"plural": "things", "kind": "Thing"}, "versions": [{
                "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": long}}}]}}))
        c.delete(crds + "/things." + group)
        wait_for(lambda: c.get(crds + "/things." + group).code == 404, "the definition is gone")
        stop.set()
        for t in askers:
            t.join()
        wait_for(lambda: c.get("/apis/" + group).code == 404, "the group is gone")


def test_grace_periods_have_an_end(c, _):
    path = namespace(c, "grace") + "/pods"
    created(c.post(path, pod("p", nodeName="n")))
    gone = ok(c.delete(path + "/p?gracePeriodSeconds=9223372036854775807"))
    check(gone["metadata"]["deletionTimestamp"].startswith("21"), "a time that can be read", gone["metadata"])
    gone = ok(c.delete(path + "/p?gracePeriodSeconds=5"))
    equal(gone["metadata"]["deletionGracePeriodSeconds"], 5)
    check(gone["metadata"]["deletionTimestamp"].startswith("20"), "soon", gone["metadata"])
    ok(c.delete(path + "/p?gracePeriodSeconds=0"))


def test_what_new_pods_are_told(c, _):
    path = namespace(c, "told") + "/pods"
    made = created(c.post(path, pod("gated", schedulingGates=[{"name": "example.com/g"}])))
    gate = made["status"]["conditions"][0]
    equal((gate["type"], gate["status"], gate["reason"], gate["message"]), (
        "PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates"))
    sizes = {"cpu": "1", "memory": "1Gi"}
    made = created(c.post(path, pod("whole", resources={"requests": sizes, "limits": sizes})))
    equal(made["status"]["qosClass"], "Guaranteed", "what is said of the whole pod counts")
    term = {"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "a"}}, "matchLabelKeys": ["rev", "absent"], "mismatchLabelKeys": ["app"]}
    p = pod("near", affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
                              "podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": term}]}})
    p["metadata"]["labels"] = {"rev": "7", "app": "b"}
    affinity = created(c.post(path, p))["spec"]["affinity"]
    wanted = [{"key": "rev", "operator": "In", "values": ["7"]}, {"key": "app", "operator": "NotIn", "values": ["b"]}]
    equal(affinity["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][0]["labelSelector"]["matchExpressions"], wanted)
    equal(affinity["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"]["labelSelector"][
        "matchExpressions"], wanted)
    # So do spread constraints; a key that the selector has already is one of both only where the pod has that label.
    constraint = {"topologyKey": "zone", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "matchLabelKeys": ["rev", "absent"],
                  "labelSelector": {"matchLabels": {"app": "a"}}}
    p = pod("spread", topologySpreadConstraints=[constraint])
    p["metadata"]["labels"] = {"rev": "7"}
    made = created(c.post(path, p))
    equal(made["spec"]["topologySpreadConstraints"][0], dict(constraint, labelSelector={
        "matchLabels": {"app": "a"}, "matchExpressions": [{"key": "rev", "operator": "In", "values": ["7"]}]}))
    made["metadata"]["annotations"] = {"a": "b"}
    ok(c.put(path + "/spread", made))  # and stay so
    p["metadata"]["name"] = "twice"
    constraint["labelSelector"] = {"matchExpressions": [{"key": "absent", "operator": "Exists"}, {"key": "rev", "operator": "Exists"}]}
    failed(c.post(path, p), 422, "Invalid", 'spec.topologySpreadConstraints[0][0]: Invalid value: "rev": exists in both matchLabelKeys and labelSelector')
    term["labelSelector"] = {"matchLabels": {"rev": "6"}}
    p = pod("twice", affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    p["metadata"]["labels"] = {"rev": "7"}
    failed(c.post(path, p), 422, "Invalid", 'spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0][0]: Invalid value: "rev": '
           "exists in both matchLabelKeys and labelSelector")


def test_options_of_deletions(c, _):
    path = namespace(c, "deletions") + "/configmaps"
    created(c.post(path, config_map("a")))
    failed(c.delete(path + "/a", {"dryRun": ["x"]}), 422, "Invalid", 'DeleteOptions.meta.k8s.io "" is invalid: dryRun: ')
    failed(c.delete(path + "/a?dryRun="), 422, "Invalid", "dryRun: ")
    failed(c.delete(path + "/a?orphanDependents=true&propagationPolicy=Orphan"), 422, "Invalid", "cannot be both set")
    equal(failed(c.delete(path + "/a", "{"), 400, "BadRequest")["message"], "couldn't get version/kind; json parse error: unexpected end of JSON input")
    equal(c.delete("/api/v1/configmaps").code, 405)
    failed(c.get(path + "?limit="), 400, "BadRequest", 'strconv.ParseInt: parsing "": invalid syntax')
    failed(c.get(path + "?timeoutSeconds=x"), 400, "BadRequest", 'strconv.ParseInt: parsing "x": invalid syntax')
    ok(c.get(path + "/a"))
    ok(c.delete(path + "/a?fieldManager=%01"))  # which deletions do not have
    for i in range(3):
        created(c.post(path, config_map("l-%d" % i)))
    page = ok(c.delete(path + "?limit=2"))["metadata"]
    equal(page["remainingItemCount"], 1)
    equal([o["metadata"]["name"] for o in ok(c.get(path + "?limit=2&continue=" + page["continue"]))["items"]], ["l-2"])
    equal([o["metadata"]["name"] for o in ok(c.get(path))["items"]], ["l-2"])


def test_events_wait_for_nobody(c, _):
    path = namespace(c, "no-dependents") + "/events"
    event = {"metadata": {"name": "e"}, "involvedObject": {"namespace": "no-dependents", "name": "x", "kind": "Pod"}}
    for policy in ("Orphan", "Foreground"):
        created(c.post(path, event))
        ok(c.delete(path + "/e", {"propagationPolicy": policy}))
        equal(c.get(path + "/e").code, 404)


def test_deleting_is_not_changed_by_updates(c, _):
    path = namespace(c, "terminating")
    hpas = path.replace("/api/v1", "/apis/autoscaling/v1") + "/horizontalpodautoscalers"
    hpa = {"metadata": {"name": "h", "finalizers": ["x.y/z"]},
           "spec": {"maxReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}}
    created(c.post(hpas, hpa))
    failed(c.patch(hpas + "/h", {"metadata": {"deletionGracePeriodSeconds": 9}}, "merge-patch"), 422, "Invalid",
           "metadata.deletionGracePeriodSeconds: Invalid value: 9: field is immutable")
    failed(c.patch(hpas + "/h", {"metadata": {"deletionTimestamp": "2020-01-01T00:00:00Z"}}, "merge-patch"), 422, "Invalid",
           "metadata.deletionTimestamp: ")
    equal(ok(c.delete(hpas + "/h"))["metadata"]["deletionGracePeriodSeconds"], 0)
    # checked in the version that is stored, which is another one
    failed(c.patch(hpas + "/h", {"metadata": {"finalizers": ["x.y/z", "x.y/w"]}}, "merge-patch"), 422, "Invalid",
           "no new finalizers can be added if the object is being deleted")
    last = ok(c.patch(hpas + "/h", {"metadata": {"finalizers": None}}, "merge-patch"))
    check("finalizers" not in last["metadata"], "the answer is what was asked for", last)
    equal(c.get(hpas + "/h").code, 404)
    created(c.post("/api/v1/namespaces", {"metadata": {"name": "terminating-2"}}))
    ended = ok(c.delete("/api/v1/namespaces/terminating-2"))
    check("deletionTimestamp" in ended["metadata"] and "deletionGracePeriodSeconds" not in ended["metadata"], "of a namespace", ended)


def test_tables_of_an_older_version_show_the_same(c, _):
    path = namespace(c, "tables").replace("/api/v1", "/apis/autoscaling/v1") + "/horizontalpodautoscalers"
    created(c.post(path, {"metadata": {"name": "h"}, "spec": {
        "maxReplicas": 3, "targetCPUUtilizationPercentage": 70,
        "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}}))
    rows = [ok(c.get(at + "/h", accept="application/json;as=Table;v=v1;g=meta.k8s.io"))["rows"]
            for at in (path, path.replace("/v1/", "/v2/"))]
    equal(rows[0][0]["cells"][:6], ["h", "Deployment/d", "cpu: <unknown>/70%", "1", 3, 0])
    equal(rows[0][0]["cells"][:6], rows[1][0]["cells"][:6])


def test_local_reviews_ask_about_their_namespace(c, _):
    path = namespace(c, "reviews")
    reviews = path.replace("/api/v1", "/apis/authorization.k8s.io/v1") + "/localsubjectaccessreviews"
    asked = {"user": "u", "resourceAttributes": {"namespace": "reviews", "verb": "get", "resource": "pods"}}
    equal(created(c.post(reviews, {"spec": asked}))["status"]["allowed"], False)
    failed(c.post(reviews, {"metadata": {"namespace": "other"}, "spec": asked}), 400, "BadRequest",
           "the namespace of the provided object does not match the namespace sent on the request")
    failed(c.post(reviews, {"spec": {"user": "u", "nonResourceAttributes": {"path": "/x", "verb": "get"}}}), 422, "Invalid",
           'spec.nonResourceAttributes: Invalid value: {"path":"/x","verb":"get"}: disallowed on this kind of request')


def test_a_binding_names_its_pod(c, _):
    path = namespace(c, "bindings")
    created(c.post(path + "/pods", pod("p")))
    for named in ({}, {"name": "q"}):
        failed(c.post(path + "/pods/p/binding", {"metadata": named, "target": {"name": "n"}}), 400, "BadRequest",
               "name in URL does not match name in Binding object")
    created(c.post(path + "/pods/p/binding", {"metadata": {"name": "p"}, "target": {"name": "n"}}))


HOOK = {"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://x/y"}}
ROWS = [  # where, the object, its cells but name and age
    ("storage.k8s.io/v1/csidrivers", {"spec": {"attachRequired": False, "tokenRequests": [{"audience": "a"}, {"audience": "b"}]}},
     [False, False, False, "a,b", False, "Persistent"]),
    ("storage.k8s.io/v1/csinodes", {"spec": {"drivers": [{"name": "x.y", "nodeID": "n"}]}}, [1]),
    ("storage.k8s.io/v1/volumeattachments", {"spec": {"attacher": "x.y", "nodeName": "n", "source": {"persistentVolumeName": "p"}}},
     ["x.y", "p", "n", False]),
    ("storage.k8s.io/v1/volumeattributesclasses", {"driverName": "x.y", "parameters": {"a": "b"}}, ["x.y"]),
    ("admissionregistration.k8s.io/v1/mutatingwebhookconfigurations", {"webhooks": [HOOK]}, [1]),
    ("admissionregistration.k8s.io/v1/validatingwebhookconfigurations", {"webhooks": [HOOK, dict(HOOK, name="d.e.f")]}, [2]),
    ("apiregistration.k8s.io/v1/apiservices", {"spec": {"group": "x.y", "version": "v1", "groupPriorityMinimum": 5, "versionPriority": 6,
                                                        "service": {"name": "s", "namespace": "n"}, "insecureSkipTLSVerify": True}}, ["n/s"]),
    ("flowcontrol.apiserver.k8s.io/v1/flowschemas", {"spec": {"priorityLevelConfiguration": {"name": "x"}, "matchingPrecedence": 7,
                                                              "distinguisherMethod": {"type": "ByUser"}}}, ["x", 7, "ByUser"]),
    ("flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations", {"spec": {"type": "Limited", "limited": {
        "nominalConcurrencyShares": 3, "limitResponse": {"type": "Queue", "queuing": {"queues": 4, "handSize": 2, "queueLengthLimit": 5}}}}},
     ["Limited", 3, 4, 2, 5]),
    ("resource.k8s.io/v1/resourceslices", {"spec": {"driver": "x.y", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1}}},
     ["n", "x.y", "p"]),
]


def test_every_column_has_cells(c, _):
    for where, body, cells in ROWS:
        name = "v1.x.y" if where.endswith("apiservices") else "row"
        created(c.post("/apis/" + where, {"metadata": {"name": name}, **body}))
        row = ok(c.get("/apis/%s/%s" % (where, name), accept="application/json;as=Table;v=v1;g=meta.k8s.io"))["rows"][0]["cells"]
        equal(row[:1 + len(cells)], [name, *cells], where)
        check(None not in row, where, row)
        ok(c.delete("/apis/%s/%s" % (where, name)))


def test_dry_runs_answer_like_the_real_thing(c, _):
    path = namespace(c, "dry-answers")
    made = created(c.post(path + "/configmaps?dryRun=All", config_map("a")))
    check("resourceVersion" not in made["metadata"], "not stored, no version", made)
    created(c.post(path + "/pods", pod("p")))
    gone = ok(c.delete(path + "/pods/p?dryRun=All"))
    equal(gone["metadata"]["deletionGracePeriodSeconds"], 0)
    check("deletionTimestamp" in gone["metadata"], "marked", gone)
    check("deletionTimestamp" not in ok(c.get(path + "/pods/p"))["metadata"], "nothing was done")


def test_paths_that_lead_nowhere(c, _):
    text = ["/nonsense", "/openapi", "/healthz/", "/healthz/nonsense", "/apis/none", "/apis/none/v1", "/apis/none/v1/things", "/apis//apps/v1",
            "//api/v1/namespaces"]
    for path in text:
        gone = c.get(path)
        equal((gone.code, gone.body, gone.headers["content-type"]), (404, b"404 page not found\n", "text/plain; charset=utf-8"), path)
    for path in ("/api/v2", "/api/v1/nonsense", "/apis/apps/v9", "/apis/apps/v9/deployments", "/api//v1/namespaces", "/api/v1//namespaces",
                 "/api/v1/namespaces//default", "/api/v1/namespaces/default//pods"):
        failed(c.get(path), 404, "NotFound", "the server could not find the requested resource")
    for path in ("/api/v1/namespaces/", "/healthz/etcd", "/readyz/leader"):
        equal(c.get(path).code, 200, path)


def test_null_is_an_empty_object(c, _):
    path = namespace(c, "nulls") + "/configmaps"
    failed(c.post(path, "null"), 422, "Invalid", "name or generateName is required")
    failed(c.post(path, "1"), 400, "BadRequest")
    created(c.post(path, config_map("a")))
    ok(c.delete(path + "/a", " null\n"))
    equal(c.get(path + "/a").code, 404)
    for body in ("null", "\n", " "):  # YAML may have nothing in it
        failed(c.request("POST", path, body, content_type="application/yaml"), 422, "Invalid", "name or generateName is required")
        created(c.post(path, config_map("a")))
        ok(c.request("DELETE", path + "/a", body, content_type="application/yaml"))
    failed(c.post(path, " "), 400, "BadRequest")


def test_a_patch_says_what_it_is(c, _):
    path = namespace(c, "untyped") + "/configmaps"
    created(c.post(path, config_map("a")))
    for kind in (None, "", ";", "text/plain"):
        answer = c.request("PATCH", path + "/a?fieldManager=x", "{}", content_type=kind)
        failed(answer, 415, "UnsupportedMediaType", "the body of the request was in an unknown format - accepted media types include: ")
    ok(c.get(path + "/a"))


def test_field_selectors_of_nothing(c, _):
    path = namespace(c, "selectors") + "/configmaps"
    created(c.post(path, config_map("a")))
    for selector in ("=", "==", "!=", "metadata.name=a,="):
        equal([o["metadata"]["name"] for o in ok(c.get(path + "?fieldSelector=" + selector))["items"]], ["a"], selector)
    everywhere = "/api/v1/configmaps?fieldSelector=metadata.name%3Da,metadata.namespace%3Dselectors"
    equal([o["metadata"]["name"] for o in ok(c.get(everywhere))["items"]], ["a"], everywhere)
    with c.watch(everywhere + "&watch=1") as w:
        equal(w.next()["object"]["metadata"]["name"], "a", "watched by name in all namespaces")
    for selector in ("=a", "metadata.name%20=a"):
        failed(c.get(path + "?fieldSelector=" + selector), 400, "BadRequest", "is not a known field selector")


def test_connections_want_a_pod_first(c, _):
    path = namespace(c, "connections") + "/pods"
    for sub in ("exec?command=x", "attach", "portforward"):
        failed(c.get(path + "/none/" + sub), 404, "NotFound", 'pods "none" not found')


def test_api_says_where_the_server_is(c, _):
    where = ok(c.get("/api"))["serverAddressByClientCIDRs"]
    equal([w["clientCIDR"] for w in where], ["0.0.0.0/0"])
    address, port = where[0]["serverAddress"].rsplit(":", 1)  # of the member that answers
    check(address.startswith("127.0.0.") and port.isdigit(), "an address and a port", where)


def test_a_dry_run_says_what_is_wrong_before_that_the_name_is_taken(c, _):
    path = namespace(c, "taken") + "/configmaps"
    created(c.post(path, config_map("a")))
    failed(c.post(path + "?dryRun=All", config_map("a")), 409, "AlreadyExists", 'configmaps "a" already exists')
    wrong = {"metadata": {"name": "a"}, "data": {"a b": "1"}}
    for query in ("", "?dryRun=All"):
        failed(c.post(path + query, wrong), 422, "Invalid", 'data[a b]: Invalid value: "a b": a valid config key must consist of')


def test_finalizers_that_need_no_domain(c, _):
    path = namespace(c, "finalizers")
    group = lambda g: "/apis/" + g + path[len("/api/v1"):]  # noqa: E731
    pdb = {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}
    event = {"involvedObject": {"namespace": "finalizers", "name": "x", "kind": "Pod"}}
    for where, body in ((group("policy/v1") + "/poddisruptionbudgets", pdb), (group("coordination.k8s.io/v1") + "/leases", {}),
                        ("/apis/node.k8s.io/v1/runtimeclasses", {"handler": "h"}), (path + "/events", event)):
        created(c.post(where + "?dryRun=All", {"metadata": {"name": "mine", "finalizers": ["mine"]}, **body}))
    failed(c.post(path + "/configmaps", {"metadata": {"name": "mine", "finalizers": ["mine"]}}), 422, "Invalid",
           'metadata.finalizers[0]: Invalid value: "mine": name is neither a standard finalizer name nor is it fully qualified')


def test_rules_of_a_superuser_are_all_that_bindings_give(c, _):
    review = created(c.post("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", {"spec": {"namespace": "default"}}))
    rules = review["status"]["resourceRules"]
    check({"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]} in rules, "cluster-admin's", rules)
    check(any("selfsubjectaccessreviews" in r["resources"] for r in rules), "those of every user", rules)
    paths = [p for r in review["status"]["nonResourceRules"] for p in r["nonResourceURLs"]]
    check("*" in paths and "/healthz" in paths, "paths", paths)


def test_discovery_tells_what_version_objects_are_stored_as(c, _):
    def hashes(path):
        return {r["name"]: r.get("storageVersionHash") for r in ok(c.get(path))["resources"]}
    equal(hashes("/apis/apps/v1")["deployments"], "8aSe+NMegvE=")  # as published for apps/v1 Deployment
    equal(hashes("/apis/apps/v1")["deployments/scale"], None)
    equal(hashes("/apis/events.k8s.io/v1")["events"], hashes("/api/v1")["events"])
    equal(hashes("/apis/authorization.k8s.io/v1")["subjectaccessreviews"], None)


def test_openapi_as_clients_take_it(c, _):
    definitions = ok(c.get("/openapi/v2"))["definitions"]
    status = definitions["io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceSubresourceStatus"]
    check("properties" not in status, "an object without properties is a map", status)
    equal(definitions["io.k8s.api.core.v1.Container"]["properties"]["imagePullPolicy"]["enum"], ["Always", "IfNotPresent", "Never"])
    request = definitions["io.k8s.api.certificates.v1.CertificateSigningRequestSpec"]["properties"]["request"]
    equal((request["format"], request["x-kubernetes-list-type"]), ("byte", "atomic"))
    for name in ("WatchEvent", "DeleteOptions"):
        kinds = definitions["io.k8s.apimachinery.pkg.apis.meta.v1." + name]["x-kubernetes-group-version-kind"]
        equal({k["kind"] for k in kinds}, {name})
    equal(definitions["io.k8s.api.core.v1.SeccompProfile"]["x-kubernetes-unions"],
          [{"discriminator": "type", "fields-to-discriminateBy": {"localhostProfile": "LocalhostProfile"}}])


def test_a_volume_without_capacity(c, _):
    failed(c.post("/api/v1/persistentvolumes", {"metadata": {"name": "none"}, "spec": {}}), 422, "Invalid",
           'spec.capacity: Unsupported value: null: supported values: "storage"')


def test_a_node_without_an_address(c, _):
    created(c.post("/api/v1/nodes", {"metadata": {"name": "lost"}, "status": {"addresses": [{"type": "ExternalDNS", "address": "x.y"}]}}))
    failed(c.get("/api/v1/nodes/lost/proxy/healthz"), 500, None, "no preferred addresses found; known addresses: [{ExternalDNS x.y}]")
    ok(c.delete("/api/v1/nodes/lost"))


def binding(name, **meta):
    return {"apiVersion": "v1", "kind": "Binding", "metadata": dict(name=name, **meta), "target": {"kind": "Node", "name": "n"}}


def eviction(name):
    return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}


def test_nothing_is_made_in_a_namespace_that_goes(c, _):
    path = namespace(c, "going")
    created(c.post(path + "/pods", pod("p")))
    ok(c.delete(path))
    for url, body, plural, name in (
            (path + "/configmaps", config_map("a"), "configmaps", "a"),
            (path + "/serviceaccounts/default/token", {"spec": {}}, "serviceaccounts", "default"),
            (path + "/pods/p/binding", binding("p"), "pods", "p"),
            (path + "/pods/p/eviction", eviction("p"), "pods", "p")):
        body.setdefault("apiVersion", "authentication.k8s.io/v1")
        body.setdefault("kind", "TokenRequest")
        answer = failed(c.post(url, body), 403, "Forbidden", '%s "%s" is forbidden: unable to create new content in namespace going because '
                        "it is being terminated" % (plural, name))
        equal(answer["details"]["causes"], [{"reason": "NamespaceTerminating", "message": "namespace going is being terminated",
                                             "field": "metadata.namespace"}])
    ok(c.delete(path + "/pods/p?gracePeriodSeconds=0"))


def test_bindings_name_a_version(c, _):
    path = namespace(c, "bound") + "/pods"
    made = created(c.post(path, pod("p")))
    version = made["metadata"]["resourceVersion"]
    failed(c.post(path + "/p/binding", binding("p", resourceVersion="1")), 409, "Conflict",
           "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: %s" % version)
    created(c.post(path + "/p/binding", binding("p", resourceVersion=version, uid=made["metadata"]["uid"])))
    equal(ok(c.get(path + "/p"))["spec"]["nodeName"], "n")


def test_what_is_new_stands_before_what_only_the_server_has(c, _):
    path = namespace(c, "orders") + "/pods"
    created(c.post(path, pod("a")))
    merged = ok(c.patch(path + "/a", {"metadata": {"finalizers": ["x.y/1", "x.y/2"]}}))
    equal(merged["metadata"]["finalizers"], ["x.y/1", "x.y/2"])
    merged = ok(c.patch(path + "/a", {"metadata": {"finalizers": ["x.y/new"]}}))
    equal(merged["metadata"]["finalizers"], ["x.y/new", "x.y/1", "x.y/2"])
    merged = ok(c.patch(path + "/a", {"metadata": {"finalizers": ["x.y/2", "x.y/newer"]}}))
    equal(merged["metadata"]["finalizers"], ["x.y/new", "x.y/1", "x.y/2", "x.y/newer"])
    merged = ok(c.patch(path + "/a", {"metadata": {"finalizers": None}}))
    check("finalizers" not in merged["metadata"], "none are left", merged)


def test_apply_of_bodies_that_are_no_object(c, _):
    path = namespace(c, "bodies") + "/configmaps"

    def apply(name, body):
        return c.request("PATCH", path + "/" + name + "?fieldManager=m", body, content_type="application/apply-patch+yaml")
    for body in ("", "null", "{}", "a: b", "kind: ConfigMap"):
        failed(apply("a", body), 400, "BadRequest", "invalid object type: /, Kind=")
    first = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: first}\n---\nkind: Other\n"
    equal(created(apply("a", first))["data"], {"k": "first"})  # and no other document is looked at
    failed(apply("b", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, uid: x}"), 409, "Conflict", "uid mismatch")


def test_bodies_that_are_no_objects(c, _):
    path = namespace(c, "no-objects") + "/configmaps"
    start = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: "
    for body, words in [("{", "unexpected end of JSON input ({)"), ("a: b", "invalid character 'a' looking for beginning of value (613a2062)"),
                        ('{"a":1} x', "invalid character 'x' after top-level value ({\"a\":1} x)"), ('{"a" 1}', "invalid character '1' after object key"),
                        ('{"a":[1 2]}', "invalid character '2' after array element"), ('{"a":1,}', "invalid character '}' looking for beginning of object key"),
                        ('{"a":tru}', "invalid character '}' in literal true (expecting 'e')"), ('{"a":"\\x"}', "invalid character 'x' in string escape code"),
                        ('{"a":1.}', "invalid character '}' after decimal point in numeric literal"), ('{"a":"\n"}', "invalid character '\\n' in string literal"),
                        ("[]", "json: cannot unmarshal array into Go value of type struct { APIVersion string"), ("3", "json: cannot unmarshal number"),
                        ('{"a":{"b":[{}],"c":[]}', "unexpected end of JSON input"), ('{"a":[],"b":{}]', "invalid character ']' after object key:value pair")]:
        failed(c.post(path, body), 400, "BadRequest", start + words)
    failed(c.post(path, ""), 400, "BadRequest", start + "unexpected end of JSON input (<empty>)")


PROTOBUF = "application/vnd.kubernetes.protobuf"


def test_protobuf_that_is_no_object(c, server):
    path = namespace(c, "no-protobuf") + "/configmaps"
    m = b"k8s\0" + b"\x0a\x0f\x0a\x02v1\x12\x09ConfigMap" + b"\x12\x05\x0a\x03\x0a\x01x"
    start = "the object provided is unrecognized (must be of type %s): "
    for body, words in [(b"", "empty data (<empty>)"), (b"k8s\0", "empty body (6b387300)"), (m[:-2], "unexpected EOF (6b387300"),
                        (m[4:], "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0] (0a0f0a02")]:
        failed(c.post(path, body, content_type=PROTOBUF), 400, "BadRequest", start % "ConfigMap" + words)
    equal(c.post(path, m, content_type=PROTOBUF).code, 201)
    definition(c, "wires")
    wires = "/apis/w.example/v1/wires"
    wait_for(lambda: c.get(wires).code == 200, "wires are served")
    failed(c.post(wires, b"k8s\0", content_type=PROTOBUF), 400, "BadRequest", start % "Wires" + "empty body (6b387300)")
    failed(c.post(wires, m, content_type=PROTOBUF), 400, "BadRequest", 'ConfigMap in version "v1" cannot be handled as a Wires: '
           "Object 'Kind' is missing in 'object has no kind field '")
    refused = c.get(wires, accept=PROTOBUF)
    equal((refused.code, refused.headers["content-type"]), (406, PROTOBUF))
    ok(c.delete("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/wires.w.example"))


def test_references_that_are_there_twice(c, _):
    path = namespace(c, "twice") + "/configmaps"
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": WRONG}
    other = {**owner, "controller": True}  # the same uid, and not the same
    told = ("API server dedups owner references in 1.20+, and may reject such requests as early as 1.24; please fix your requests; "
            "duplicate UID(s) observed: %s" % WRONG)
    made = c.post(path, {"metadata": {"name": "a", "ownerReferences": [owner, other, owner]}})
    equal(created(made)["metadata"]["ownerReferences"], [owner, other])
    check(told in made.headers["warning"], "a warning", made.headers["warning"])
    made = c.patch(path + "/a", {"metadata": {"ownerReferences": [other, other]}}, "merge-patch")
    equal(ok(made)["metadata"]["ownerReferences"], [other])
    check(told in made.headers["warning"], "a warning", made.headers["warning"])
    made = c.put(path + "/a", {"metadata": {"name": "a", "ownerReferences": [owner, other]}})
    equal((made.code, made.headers["warning"]), (200, None))
    failed(c.post(path, {"metadata": {"name": "b", "ownerReferences": [{**owner, "apiVersion": "a/b/c"}]}}), 422, "Invalid",
           'metadata.ownerReferences.apiVersion: Invalid value: "a/b/c": version must not be empty')


def test_what_is_deleted_with_its_dependents_is_accepted(c, _):
    path = namespace(c, "accepted") + "/configmaps"
    for options, code in [({"orphanDependents": False}, 202), ({"orphanDependents": True}, 200), ({"propagationPolicy": "Background"}, 200)]:
        created(c.post(path, {"metadata": {"name": "held", "finalizers": ["a.b/c"]}}))
        equal(c.delete(path + "/held", options).code, code)
        ok(c.patch(path + "/held", {"metadata": {"finalizers": None}}, "merge-patch"))
        equal(c.get(path + "/held").code, 404)
    created(c.post(path, {"metadata": {"name": "free"}}))
    equal(c.delete(path + "/free", {"orphanDependents": False}).code, 200)


def request_pem(name):
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", d + "/k", "-out", d + "/r", "-subj", "/CN=" + name],
                       check=True, capture_output=True)
        with open(d + "/r", "rb") as f:
            return base64.b64encode(f.read()).decode()


def test_approvals_say_whether(c, _):
    base = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    created(c.post(base, {"metadata": {"name": "whether"}, "spec": {"request": request_pem("u"), "signerName": "a.b/c", "usages": ["client auth"]}}))
    approved = {"status": {"conditions": [{"type": "Approved", "reason": "r"}]}}
    failed(c.patch(base + "/whether/approval", approved, "merge-patch"), 422, "Invalid", "status.conditions[0].status: Required value")
    approved["status"]["conditions"][0]["status"] = "True"
    ok(c.patch(base + "/whether/approval", approved, "merge-patch"))
    ok(c.delete(base + "/whether"))


def test_conditions_of_certificate_requests(c, _):
    """Times that nobody gives: that of the change stays while type and status do, that of the update is now. Who signs
    leaves decisions as they are, whatever he says of them, and adds others."""
    base = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    created(c.post(base, {"metadata": {"name": "times"}, "spec": {"request": request_pem("u"), "signerName": "a.b/c", "usages": ["client auth"]}}))
    long_ago = "2020-01-01T00:00:00Z"

    def write(sub, *conditions):
        answer = c.patch(base + "/times/" + sub, {"status": {"conditions": list(conditions)}}, "merge-patch")
        return ok(answer)["status"]["conditions"]

    approved = {"type": "Approved", "status": "True", "reason": "a"}
    other = {"type": "Other", "status": "False"}
    first = write("approval", dict(approved, lastTransitionTime=long_ago, lastUpdateTime=long_ago), dict(other, lastTransitionTime=long_ago))
    equal([x["lastTransitionTime"] for x in first], [long_ago, long_ago], "times that are given stay")
    equal(first[0]["lastUpdateTime"], long_ago)
    check(first[1]["lastUpdateTime"] > "2026", first)
    second = write("approval", dict(other, status="Unknown"), dict(approved, reason="b"), {"type": "New", "status": "True"})
    check(second[0]["lastTransitionTime"] > "2026", "another status is a change", second)
    equal((second[1]["lastTransitionTime"], second[1]["reason"]), (long_ago, "b"))
    check(second[1]["lastUpdateTime"] > "2026" and second[2]["lastTransitionTime"] > "2026", second)
    signed = write("status", {"type": "Approved", "status": "True", "reason": "signer"}, dict(other, status="Unknown", message="m"),
                   {"type": "Failed", "status": "True"})
    equal(signed[0], second[1], "who signs does not approve")
    equal((signed[1]["message"], signed[1]["lastTransitionTime"], signed[2]["type"]), ("m", second[0]["lastTransitionTime"], "Failed"))
    for sub, conditions, words in (
            ("status", signed[1:], 'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'),
            ("approval", signed[1:], 'status.conditions: Forbidden: updates may not remove a condition of type "Approved"'),
            ("approval", signed[:2], 'status.conditions: Forbidden: updates may not remove a condition of type "Failed"'),
            ("status", signed + [{"type": "Denied", "status": "True"}], 'status.conditions: Forbidden: updates may not add a condition of type "Denied"'),
            ("approval", signed + [{"type": "Denied", "status": "True"}],
             'status.conditions: Invalid value: "Denied": Approved and Denied conditions are mutually exclusive'),
            ("approval", signed + [signed[1]], 'status.conditions[3].type: Duplicate value: "Other"'),
            ("approval", [dict(signed[0], status="False")] + signed[1:],
             'status.conditions[0].status: Unsupported value: "False": supported values: "True"'),
            ("approval", signed + [{"type": "", "status": "True"}], "status.conditions[3].type: Required value")):
        failed(c.patch(base + "/times/" + sub, {"status": {"conditions": conditions}}, "merge-patch"), 422, "Invalid", words)
    whole = ok(c.get(base + "/times"))
    equal(whole["status"]["conditions"], signed, "nothing of what was refused")
    plain = ok(c.put(base + "/times", dict(whole, status={}, metadata=dict(whole["metadata"], labels={"a": "b"}))))
    equal((plain["status"], plain["metadata"]["labels"]), (whole["status"], {"a": "b"}), "an update has no say in the status")
    ok(c.delete(base + "/times"))


def test_devices_of_claims(c, _):
    """What drivers say of a device goes when its allocation goes, by driver, pool and name; what never was allocated is
    refused, and order stays."""
    path = namespace(c, "claims").replace("/api/v1", "/apis/resource.k8s.io/v1") + "/resourceclaims"
    created(c.post(path, {"metadata": {"name": "c"}, "spec": {"devices": {"requests": [
        {"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 4}}]}}}))
    devices = [{"driver": driver, "pool": pool, "device": name}
               for driver, pool, name in (("x.io", "p", "a"), ("x.io", "q", "a"), ("y.io", "p", "a"), ("x.io", "p", "b"))]

    def status(allocated, said):
        return c.patch(path + "/c/status", {"status": {
            "allocation": {"devices": {"results": [dict(d, request="r") for d in allocated]}}, "devices": said}}, "merge-patch")

    def names(answer):
        return [(d["driver"], d["pool"], d["device"]) for d in ok(answer)["status"].get("devices", [])]

    equal(names(status(devices, devices)), [tuple(d.values()) for d in devices])
    kept = [devices[3], devices[1]]
    equal(names(c.patch(path + "/c/status", {"status": {"allocation": None}}, "merge-patch")), [], "nothing is allocated any more")
    equal(names(status(devices[:1], devices[:1])), [tuple(devices[0].values())])
    for other in devices[1:]:  # only what was allocated goes
        failed(c.patch(path + "/c/status", {"status": {"allocation": None, "devices": [devices[0], other]}}, "merge-patch"), 422, "Invalid",
               "status.devices[0]: Invalid value")
    equal(names(c.patch(path + "/c/status", {"status": {"allocation": None}}, "merge-patch")), [])
    equal(names(status(devices, devices)), [tuple(d.values()) for d in devices])
    answer = status(kept, devices)
    equal(answer.code, 422, "an allocation is another only when it is made anew", answer)
    equal(names(c.patch(path + "/c/status", {"status": {"allocation": None, "devices": kept}}, "merge-patch")), [])
    failed(status(kept, devices), 422, "Invalid", "status.devices[0]: Invalid value")
    equal(names(status(kept, kept)), [tuple(d.values()) for d in kept])
    failed(status(kept, kept + [devices[0]]), 422, "Invalid", "status.devices[2]: Invalid value")
    failed(status(kept, kept + [kept[0]]), 422, "Invalid", "status.devices[2]: Duplicate value")
    equal(names(status(kept, kept[1:])), [tuple(d.values()) for d in kept[1:]], "a driver takes back what it said")
    ok(c.delete(path + "/c"))


def definition(c, plural):
    """A kind without namespaces whose objects may hold anything."""
    created(c.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
        "metadata": {"name": plural + ".w.example"}, "spec": {
            "group": "w.example", "scope": "Cluster", "names": {"plural": plural, "kind": plural.capitalize()},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}))


def test_bodies_of_another_kind(c, _):
    """Named as what they say they are, as upstream's own test of `kubectl create --raw` wants it."""
    path = namespace(c, "other-kinds")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    for where, body, words in [
            ("/api/v1/namespaces", pod, 'Pod in version "v1" cannot be handled as a Namespace: converting (v1.Pod) to (core.Namespace): unknown conversion'),
            (path + "/configmaps", dict(config_map("a"), kind="Deployment", apiVersion="apps/v1"),
             'Deployment in version "v1" cannot be handled as a ConfigMap: converting (v1.Deployment) to (core.ConfigMap): unknown conversion'),
            (path + "/configmaps", dict(config_map("a"), kind="Nonsense"),
             'Nonsense in version "v1" cannot be handled as a ConfigMap: no kind "Nonsense" is registered for version "v1"'),
            (path + "/configmaps", dict(config_map("a"), kind="ConfigMap", apiVersion="v7"),
             'ConfigMap in version "v7" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version "v7"'),
            (path.replace("/api/v1", "/apis/autoscaling/v2") + "/horizontalpodautoscalers",
             {"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "h"}},
             "the API version in the data (autoscaling/v1) does not match the expected API version (autoscaling/v2)")]:
        equal(failed(c.post(where, body), 400, "BadRequest")["message"], words)
    created(c.post(path + "/configmaps", config_map("kept")))
    equal(failed(c.delete(path + "/configmaps/kept", {"apiVersion": "v1", "kind": "Pod"}), 400, "BadRequest")["message"],
          'no kind "Pod" is registered for version "v1"')
    long = dict(config_map("a"), kind="\u00e9" * 100000)
    check(len(failed(c.post(path + "/configmaps", long), 400, "BadRequest")["message"]) < 2000)


def test_answers_for_people_are_indented(c, _):
    """curl, wget and browsers get JSON on many lines, as do those who ask for it; and only JSON."""
    path = namespace(c, "indented") + "/configmaps"
    created(c.post(path, config_map("a", text='{"[,: \\"', other="<&>")))
    curl, wget, browser = ({"User-Agent": a} for a in ("curl/8.5.0", "Wget/1.21", "Mozilla/5.0 (X11; Linux) Gecko/1"))

    def lines(where, headers=None, accept=None):
        a = c.get(where, headers=headers, accept=accept)
        return a.body.count(b"\n"), a

    for where in (path + "/a", path, path + "/none", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/api/v1/nothing", "/api/v1/namespaces?limit=1"):
        compact = lines(where)[1]
        check(lines(where)[0] <= 1 and not compact.body.endswith(b"\n\n"), where, compact)
        for headers in (curl, wget, browser):
            n, a = lines(where, headers)
            check(n > 4 and not a.body.endswith(b"\n"), where, headers, a)
            if "/namespaces" not in where or where.endswith("/a"):
                equal(a.json, compact.json, where)
                equal(a.body.decode(), json.dumps(a.json, indent=2, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
        q = where + ("&" if "?" in where else "?")
        check(lines(q + "pretty=false", curl)[0] <= 1 and lines(q + "pretty=0", curl)[0] <= 1, where)
        check(lines(q + "pretty=true")[0] > 4 and lines(q + "pretty=1")[0] > 4 and lines(q + "pretty=", curl)[0] > 4, where)
        check(lines(where, accept="application/json;pretty=1")[0] > 4, where)
        equal(lines(where, {"User-Agent": "kubectl/v1.35.0"})[0] <= 1, True, where)
    table = lines(path, curl, "application/json;as=Table;v=v1;g=meta.k8s.io")
    check(table[0] > 10 and table[1].json["kind"] == "Table", table)
    equal(c.get(path + "/a", headers=curl, accept="application/yaml").body, c.get(path + "/a", accept="application/yaml").body)
    equal(c.get(path + "/a", headers=curl, accept="application/vnd.kubernetes.protobuf").body[:4], b"k8s\0")
    check(c.post(path, config_map("b"), headers=curl).body.count(b"\n") > 5)
    events = c.get(path + "?watch=1&resourceVersion=0&timeoutSeconds=1", headers=curl).body.splitlines()
    equal({json.loads(e)["type"] for e in events}, {"ADDED"})  # of a watch each event is a line
    for i in range(40):  # so long that it is streamed, in pieces cut anywhere
        created(c.post(path, config_map("long-%d" % i, text='"[{\\,:}]"' * 5000)))
    for headers in (curl, dict(curl, **{"Accept-Encoding": "gzip"})):
        deadline = time.monotonic() + 60
        while True:
            plain, a = c.get(path), c.get(path, headers=headers)
            body = gzip.decompress(a.body) if a.headers["content-encoding"] == "gzip" else a.body
            if c.get(path).body == plain.body:
                break
            check(time.monotonic() < deadline, "the store's revision stands still for three lists")
        equal(json.loads(body), plain.json)
        check(body.count(b"\n") > 40 * 8, len(body))


def test_names_that_are_taken(c, _):
    path = namespace(c, "taken-names") + "/configmaps"
    created(c.post(path, {"metadata": {"name": "a", "finalizers": ["x.y/z"]}}))
    failed(c.post(path, config_map("a")), 409, "AlreadyExists", 'configmaps "a" already exists')
    failed(c.post(path, {"metadata": {"name": "a", "generateName": "a-"}}), 409, "AlreadyExists",
           'configmaps "a" already exists, the server was not able to generate a unique name for the object')
    ok(c.delete(path + "/a"))
    failed(c.post(path, config_map("a")), 409, "AlreadyExists", 'object is being deleted: configmaps "a" already exists')
    kept = ok(c.get(path + "/a"))["metadata"]["resourceVersion"]
    equal(ok(c.patch(path + "/a", {"metadata": {"finalizers": None}}, "merge-patch"))["metadata"]["resourceVersion"], kept)
    equal(c.get(path + "/a").code, 404)


def test_namespaces_end_as_they_were_told_first(c, _):
    path = "/api/v1/namespaces/ends"
    made = created(c.post("/api/v1/namespaces", {"metadata": {"name": "ends"}}))["metadata"]
    failed(c.delete(path, {"preconditions": {"uid": WRONG}}), 409, "Conflict", 'Operation cannot be fulfilled on namespaces "ends": '
           "Precondition failed: UID in precondition: %s, UID in object meta: %s" % (WRONG, made["uid"]))
    failed(c.delete(path, {"preconditions": {"resourceVersion": "1"}}), 409, "Conflict",
           "Precondition failed: ResourceVersion in precondition: 1, ResourceVersion in object meta: " + made["resourceVersion"])
    for policy in ("Orphan", "Foreground", "Background"):
        equal(ok(c.delete(path, {"propagationPolicy": policy}))["metadata"]["finalizers"], ["orphan"], policy)


def test_pods_end_with_the_last_grace_period(c, _):
    path = namespace(c, "last-grace") + "/pods"
    created(c.post(path, pod("p", nodeName="n")))
    equal(ok(c.delete(path + "/p", {"gracePeriodSeconds": 20}))["metadata"]["deletionGracePeriodSeconds"], 20)
    equal(ok(c.delete(path + "/p", {"gracePeriodSeconds": 0}))["metadata"]["deletionGracePeriodSeconds"], 0)
    equal(c.get(path + "/p").code, 404)


def test_pods_that_have_ended_say_so_beside_their_cells(c, _):
    path = namespace(c, "ended") + "/pods"
    for phase, message in (("Succeeded", "The pod has completed successfully."), ("Failed", "The pod failed."), ("Running", None)):
        name = phase.lower()
        created(c.post(path, pod(name)))
        ok(c.patch(path + "/%s/status" % name, {"status": {"phase": phase}}, "merge-patch"))
        row = ok(c.get(path + "/" + name, accept="application/json;as=Table;v=v1;g=meta.k8s.io"))["rows"][0]
        equal(row.get("conditions"), message and [{"type": "Completed", "status": "True", "reason": phase, "message": message}])


def test_questions_have_owners_too(c, _):
    path = namespace(c, "questions")
    asked = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods"}}}
    reviews = "/apis/authorization.k8s.io/v1/"
    equal(set(fields(created(c.post(reviews + "selfsubjectaccessreviews", asked)))["f:spec"]), {"f:resourceAttributes"})
    created(c.post(path + "/serviceaccounts", {"metadata": {"name": "a"}}))
    made = created(c.post(path + "/serviceaccounts/a/token", {}))
    equal([(e["subresource"], e["fieldsV1"]) for e in made["metadata"]["managedFields"]], [("token", {"f:spec": {"f:expirationSeconds": {}}})])
    failed(c.post(reviews + "subjectaccessreviews", {"spec": {}}), 422, "Invalid",
           '.authorization.k8s.io "" is invalid: [spec.resourceAttributes: Invalid value: "null": exactly one of nonResourceAttributes or '
           'resourceAttributes must be specified, spec.user: Invalid value: "": at least one of user or group must be specified]')
    rules = created(c.post(reviews + "selfsubjectrulesreviews", {"spec": {"namespace": "questions"}}))
    equal(rules["spec"], {})
    check(any("selfsubjectaccessreviews" in r["resources"] for r in rules["status"]["resourceRules"]), "what everybody may", rules)
    equal(created(c.post("/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "nonsense"}}))["status"]["error"],
          "invalid bearer token")


def test_owners_of_references_and_defaults(c, _):
    volume = {"metadata": {"name": "owned"}, "spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"},
                                                      "claimRef": {"namespace": "a", "name": "b"}}}
    made = created(c.post("/api/v1/persistentvolumes", volume))
    equal(fields(made)["f:spec"]["f:claimRef"], {".": {}, "f:name": {}, "f:namespace": {}})
    ok(c.delete("/api/v1/persistentvolumes/owned"))
    path = namespace(c, "defaulted")
    hpa = {"metadata": {"name": "h"}, "spec": {"maxReplicas": 1, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}}
    made = created(c.post(path.replace("/api/v1", "/apis/autoscaling/v1") + "/horizontalpodautoscalers", hpa))
    check("f:targetCPUUtilizationPercentage" in fields(made)["f:spec"], "a default of the other version", made)
    made = created(c.post(path + "/services", {"metadata": {"name": "s"}, "spec": {"clusterIP": "None", "ports": [{"port": 1}]}}))
    equal(made["spec"]["clusterIPs"], ["None"])
    check("f:clusterIPs" not in fields(made)["f:spec"], "what follows from the other field", made)
    check("f:spec" not in fields(ok(c.get("/api/v1/namespaces/default"))), "finalizers are nobody's")


def test_a_rest_that_a_token_names_is_deleted(c, _):
    path = namespace(c, "rests") + "/configmaps"
    for i in range(4):
        created(c.post(path, config_map("r-%d" % i)))
    token = ok(c.get(path + "?limit=3"))["metadata"]["continue"]
    equal([o["metadata"]["name"] for o in ok(c.delete(path + "?continue=" + token))["items"]], ["r-3"])
    equal([o["metadata"]["name"] for o in ok(c.get(path))["items"]], ["r-0", "r-1", "r-2"])
    failed(c.delete(path + "?continue=x"), 400, "BadRequest", "continue")


def test_paths_without_their_namespace(c, _):
    for call in (c.get, c.delete, lambda at: c.put(at, {}), lambda at: c.post(at, {})):
        failed(call("/api/v1/pods/x"), 404, "NotFound", "the server could not find the requested resource")
    failed(c.post("/api/v1/namespaces/default/bindings", {"target": {"name": "n"}}), 400, "BadRequest", "Name parameter required.")
    failed(c.get("/apis/apps/v1/namespaces/default/deployments/none/scale"), 404, "NotFound", 'deployments/scale.apps "none" not found')


def test_media_of_discovery_and_of_errors(c, _):
    for path in ("/api", "/apis", "/api/v1"):
        equal(c.get(path, accept="text/html").code, 406, path)
        equal(c.get(path, accept="application/yaml").headers["content-type"], "application/yaml", path)
        equal(c.get(path, accept="text/html, */*").code, 200, path)
    gone = c.get("/api/v1/namespaces/none", accept="application/yaml;as=Table;v=v1;g=meta.k8s.io")
    equal((gone.code, gone.headers["content-type"]), (404, "application/json"))
    failed(c.get("/apis/rbac.authorization.k8s.io/v1/clusterroles", accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"), 406,
           "NotAcceptable", "the requested object is a list (*rbac.ClusterRoleList)")


def test_amounts_are_kept_to_the_thousandth(c, _):
    path = namespace(c, "amounts")
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [
        {"name": "c", "image": "x", "resources": {"limits": {"cpu": "100u", "memory": "1Gi"}, "requests": {"cpu": "0.00001"}}}]}}
    equal(created(c.post(path + "/pods", pod))["spec"]["containers"][0]["resources"],
          {"limits": {"cpu": "1m", "memory": "1Gi"}, "requests": {"cpu": "1m", "memory": "1Gi"}})
    web = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}},
                                                                                                     "spec": pod["spec"]}}}
    made = created(c.post(path.replace("/api/v1", "/apis/apps/v1") + "/deployments", web))
    equal(made["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"], {"cpu": "1m"})
    claim = {"metadata": {"name": "c"}, "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1000.0001"}}}}
    equal(created(c.post(path + "/persistentvolumeclaims", claim))["spec"]["resources"], {"requests": {"storage": "1000001m"}})
    volume = {"metadata": {"name": "amounts"}, "spec": {"capacity": {"storage": "1n"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}
    equal(created(c.post("/api/v1/persistentvolumes", volume))["spec"]["capacity"], {"storage": "1m"})
    ok(c.delete("/api/v1/persistentvolumes/amounts"))
    limits = {"metadata": {"name": "l"}, "spec": {"limits": [{"type": "Pod", "max": {"cpu": "1.0001"}}]}}
    equal(created(c.post(path + "/limitranges", limits))["spec"]["limits"][0]["max"], {"cpu": "1001m"})
    equal(created(c.post(path + "/resourcequotas", {"metadata": {"name": "q"}, "spec": {"hard": {"cpu": "1u"}}}))["spec"]["hard"], {"cpu": "1m"})
    node = {"metadata": {"name": "amounts"}, "status": {"capacity": {"cpu": "7u"}}}
    equal(created(c.post("/api/v1/nodes", node))["status"]["allocatable"], {"cpu": "1m"})
    ok(c.delete("/api/v1/nodes/amounts"))


def test_templates_of_daemons_count_their_changes(c, _):
    path = namespace(c, "daemons").replace("/api/v1", "/apis/apps/v1") + "/daemonsets"
    daemon = {"metadata": {"name": "d"}, "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}}

    def counted(o):
        return o["metadata"]["annotations"]["deprecated.daemonset.template.generation"], o["metadata"]["generation"]
    equal(counted(created(c.post(path, daemon))), ("1", 1))
    equal(counted(ok(c.put(path + "/d", daemon))), ("1", 1), "put again as it was sent")
    daemon["spec"]["minReadySeconds"] = 3
    equal(counted(ok(c.put(path + "/d", daemon))), ("1", 2))
    daemon["spec"]["template"]["spec"]["containers"][0]["image"] = "y"
    equal(counted(ok(c.put(path + "/d", daemon))), ("2", 3))


def test_a_strategic_patch_may_name_another_kind(c, _):
    at = namespace(c, "kinds") + "/configmaps/a"
    created(c.post(at[:-2], config_map("a")))
    version = ok(c.get(at))["metadata"]["resourceVersion"]
    for patch, words in (({"kind": "Secret"}, "converting (v1.Secret) to (core.ConfigMap): unknown conversion"),
                         ({"apiVersion": "v9"}, 'no kind "ConfigMap" is registered for version "v9"'),
                         ({"apiVersion": "apps/v1", "kind": "Deployment"}, "converting (v1.Deployment) to (core.ConfigMap): unknown conversion")):
        equal([ok(c.patch(at, patch, "strategic-merge-patch"))[k] for k in ("kind", "apiVersion")], ["ConfigMap", "v1"])
        failed(c.patch(at, patch, "merge-patch"), 422, "Invalid", words)
    equal(ok(c.get(at))["metadata"]["resourceVersion"], version)


def test_a_node_that_is_gone_is_called_by_what_was_asked(c, _):
    path = namespace(c, "homeless")
    created(c.post(path + "/pods", {"metadata": {"name": "p"}, "spec": {"nodeName": "gone", "containers": [{"name": "c", "image": "x"}]}}))
    for sub in ("log", "exec?command=x", "attach?stdout=1", "portforward"):
        failed(c.get(path + "/pods/p/" + sub), 404, "NotFound", 'pods "gone" not found')


if __name__ == "__main__":
    sys.exit(run_tests(Server(sys.argv[1]), globals(), sys.argv[2:]))
