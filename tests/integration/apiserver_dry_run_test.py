#!/usr/bin/env python3
"""Dry runs: every verb answers as if it had been done, and nothing is stored, claimed or counted. And the names that
the server makes up when all of them are taken.

    apiserver_dry_run_test.py BINARY [NAME…]     run all tests, or those whose name contains NAME
"""
import os
import sys

from apiserver_admission_test import check, created, equal, namespace, ok, pod, quota
from apiserver_lib import Member, Server, run_tests

DRY = "?dryRun=All"
APPLY = {"content_type": "application/apply-patch+yaml"}


def service(name, **spec):
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": dict({"ports": [{"port": 80}]}, **spec)}


def claim(name):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "none", "resources": {"requests": {"storage": "1Gi"}}}}


def deployment(name):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}


def crd():
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "dries.x.io"}, "spec": {
        "group": "x.io", "scope": "Namespaced", "names": {"plural": "dries", "singular": "dry", "kind": "Dry", "listKind": "DryList"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {
            "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def kept(c, path):
    """All that a dry run could have changed."""
    lists = [path + "/" + r for r in ("pods", "services", "persistentvolumeclaims", "configmaps", "resourcequotas", "serviceaccounts",
                                      "secrets")]
    apps = path.replace("/api/v1", "/apis/apps/v1")
    policy = path.replace("/api/v1", "/apis/policy/v1")
    lists += [apps + "/deployments", policy + "/poddisruptionbudgets", "/apis/networking.k8s.io/v1/ipaddresses",
              "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "/apis/certificates.k8s.io/v1/certificatesigningrequests",
              "/api/v1/namespaces"]
    return {p: ok(c.get(p))["items"] for p in lists}


def test_every_verb(c, _):
    path = namespace(c, "dry")
    apps = path.replace("/api/v1", "/apis/apps/v1")
    created(c.post(path + "/resourcequotas", quota("q", pods="5", services="3", **{"services.nodeports": "3"})))
    ok(c.put(path + "/resourcequotas/q/status", dict(ok(c.get(path + "/resourcequotas/q")))))
    bound = pod("bound", nodeName="n")
    bound["metadata"]["labels"] = {"app": "e"}
    bound["spec"]["containers"][0]["resources"] = {"requests": {"cpu": "1"}}
    created(c.post(path + "/pods", bound))
    created(c.post(path + "/pods", pod("free")))
    created(c.post(path + "/services", service("s")))
    created(c.post(path + "/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}))
    created(c.post(apps + "/deployments", deployment("d")))
    created(c.post(path.replace("/api/v1", "/apis/policy/v1") + "/poddisruptionbudgets", {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "b"},
        "spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": "e"}}}}))
    one = path + "/configmaps/m"
    scale = apps + "/deployments/d/scale"
    m = ok(c.get(one))
    changed = dict(m, data={"a": "2"})
    size = ok(c.get(scale))

    def is_changed(o):
        return o["data"]["a"] == "2"

    def resized(cpu):
        return {"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}}

    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "free"}, "target": {"kind": "Node", "name": "n"}}
    node_port = {"type": "NodePort"}
    cases = [
        # what, answer, code, what the answer shows
        ("create", c.post(path + "/pods" + DRY, pod("new")), 201, lambda o: o["metadata"]["uid"] and o["status"]["phase"] == "Pending"),
        ("a made up name", c.post(path + "/configmaps" + DRY, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "g-"}}),
         201, lambda o: len(o["metadata"]["name"]) == 7),
        ("create of what is there", c.post(path + "/pods" + DRY, pod("free")), 409, lambda o: o["reason"] == "AlreadyExists"),
        ("create of what is bad", c.post(path + "/pods" + DRY, pod("Bad")), 422, lambda o: o["reason"] == "Invalid"),
        ("a service", c.post(path + "/services" + DRY, service("t", **node_port)), 201,
         lambda o: o["spec"]["clusterIP"] and o["spec"]["ports"][0]["nodePort"]),
        ("a claim", c.post(path + "/persistentvolumeclaims" + DRY, claim("c")), 201, lambda o: o["status"]["phase"] == "Pending"),
        ("a definition", c.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions" + DRY, crd()), 201,
         lambda o: o["spec"]["group"] == "x.io"),
        ("a namespace", c.post("/api/v1/namespaces" + DRY, {"metadata": {"name": "dry-2"}}), 201,
         lambda o: o["spec"]["finalizers"] == ["kubernetes"]),
        ("update", c.put(one + DRY, changed), 200, is_changed),
        ("update of what changed", c.put(one + DRY, dict(changed, metadata=dict(m["metadata"], resourceVersion="1"))), 409,
         lambda o: o["reason"] == "Conflict"),
        ("update that creates", c.put(path + "/endpoints/e" + DRY, {"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "e"}}), 201,
         lambda o: o["metadata"]["uid"]),
        ("a service's ports", c.patch(path + "/services/s" + DRY, {"spec": node_port}), 200,
         lambda o: o["spec"]["ports"][0]["nodePort"]),
        ("JSON patch", c.patch(one + DRY, [{"op": "replace", "path": "/data/a", "value": "2"}], "json-patch"), 200, is_changed),
        ("merge patch", c.patch(one + DRY, {"data": {"a": "2"}}, "merge-patch"), 200, is_changed),
        ("strategic merge patch", c.patch(one + DRY, {"data": {"a": "2"}}), 200, is_changed),
        ("apply", c.request("PATCH", one + DRY + "&fieldManager=f&force=true",
                            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "2"}}, **APPLY), 200, is_changed),
        ("apply that creates", c.request("PATCH", path + "/configmaps/n" + DRY + "&fieldManager=f", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "n"}, "data": {"a": "2"}}, **APPLY), 201, is_changed),
        ("status", c.patch(path + "/pods/bound/status" + DRY, {"status": {"phase": "Running"}}), 200,
         lambda o: o["status"]["phase"] == "Running"),
        ("resize", c.patch(path + "/pods/bound/resize" + DRY, resized("2")), 200,
         lambda o: o["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "2" and o["metadata"]["generation"] == 2),
        ("ephemeral containers", c.patch(path + "/pods/bound/ephemeralcontainers" + DRY, {
            "spec": {"ephemeralContainers": [{"name": "e", "image": "i"}]}}), 200, lambda o: o["spec"]["ephemeralContainers"]),
        ("scale", c.put(scale + DRY, dict(size, spec={"replicas": 4})), 200, lambda o: o["spec"]["replicas"] == 4),
        ("scale by patch", c.patch(scale + DRY, {"spec": {"replicas": 4}}, "merge-patch"), 200, lambda o: o["spec"]["replicas"] == 4),
        ("bind", c.post(path + "/pods/free/binding" + DRY, binding), 201, lambda o: o["status"] == "Success"),
        ("bind, the old way", c.post(path + "/bindings" + DRY, binding), 201, lambda o: o["status"] == "Success"),
        ("evict", c.post(path + "/pods/bound/eviction" + DRY, {
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "bound"}}), 201, lambda o: o["status"] == "Success"),
        ("a token", c.post(path + "/serviceaccounts/default/token" + DRY, {"spec": {}}), 201, lambda o: o["kind"] == "TokenRequest"),
        ("delete", c.delete(one + DRY), 200, lambda o: o["status"] == "Success"),
        ("delete, said in the body", c.delete(one, {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]}), 200,
         lambda o: o["status"] == "Success"),
        ("delete with grace", c.delete(path + "/pods/bound" + DRY), 200, lambda o: o["metadata"]["deletionGracePeriodSeconds"] == 30),
        ("delete of a service", c.delete(path + "/services/s" + DRY), 200, lambda o: o["metadata"]["name"] == "s"),
        ("delete of what is not there", c.delete(path + "/configmaps/none" + DRY), 404, lambda o: o["reason"] == "NotFound"),
        ("delete of all", c.delete(path + "/configmaps" + DRY), 200, lambda o: [i["metadata"]["name"] for i in o["items"]] == ["m"]),
        ("delete of the namespace", c.delete("/api/v1/namespaces/dry" + DRY), 200, lambda o: o["status"]["phase"] == "Terminating"),
    ]
    for what, answer, code, shows in cases:
        equal(answer.code, code, what, answer)
        check(shows(answer.json), what, answer)
    # the quota has room for three more; asking five times takes none of it
    for _ in range(5):
        created(c.post(path + "/pods" + DRY, pod("new")))


def test_nothing_is_kept(c, server):
    path = "/api/v1/namespaces/dry-kept"
    namespace(c, "dry-kept")
    created(c.post(path + "/pods", pod("p", nodeName="n")))
    created(c.post(path + "/services", service("s")))
    created(c.post(path + "/configmaps", {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "1"}}))
    before = kept(c, path)
    for answer in (c.post(path + "/services" + DRY, service("t", type="NodePort", clusterIP=None)),
                   c.post(path + "/services" + DRY, service("u", type="LoadBalancer", externalTrafficPolicy="Local")),
                   c.patch(path + "/services/s" + DRY, {"spec": {"type": "NodePort"}}),
                   c.delete(path + "/services/s" + DRY), c.delete(path + "/pods/p" + DRY + "&gracePeriodSeconds=0"),
                   c.delete(path + "/configmaps" + DRY), c.patch(path + "/configmaps/m" + DRY, {"data": {"a": "2"}}),
                   c.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions" + DRY, crd())):
        check(answer.code in (200, 201), answer)
    after = kept(c, path)
    for p in before:
        equal(after[p], before[p], p)
    # an address and a port that a dry run named are free
    port = 31999
    for dry in (DRY, DRY, ""):
        body = service("w", type="NodePort", ports=[{"port": 80, "nodePort": port}])
        equal(created(c.post(path + "/services" + dry, body))["spec"]["ports"][0]["nodePort"], port)
    equal(c.post(path + "/services" + DRY, service("x", type="NodePort", ports=[{"port": 80, "nodePort": port}])).code, 422)


def test_the_last_finalizer(c, _):
    """A deletion that takes the garbage collector's last finalizer away is answered with the object when it is tried,
    and with a Status when it is done, as published."""
    path = namespace(c, "dry-last") + "/configmaps"
    for held, asked in (("orphan", "Background"), ("foregroundDeletion", "Orphan"), ("foregroundDeletion", "Background")):
        created(c.post(path, {"metadata": {"name": "m", "finalizers": [held]}}))
        options = {"propagationPolicy": asked}
        answer = ok(c.delete(path + "/m", dict(options, dryRun=["All"])))
        left = ["orphan"] if asked == "Orphan" else None
        equal((answer["kind"], answer["metadata"]["name"], answer["metadata"].get("finalizers")), ("ConfigMap", "m", left), held, asked)
        equal("deletionTimestamp" in answer["metadata"], asked == "Orphan")
        there = ok(c.get(path + "/m"))
        equal((there["metadata"]["finalizers"], "deletionTimestamp" in there["metadata"]), ([held], False), "nothing is kept")
        equal(answer["metadata"]["resourceVersion"], there["metadata"]["resourceVersion"])
        done = ok(c.delete(path + "/m", {"propagationPolicy": "Background"}))
        equal((done["kind"], done["status"]), ("Status", "Success"))
        equal(c.get(path + "/m").code, 404)
    created(c.post(path, {"metadata": {"name": "m"}}))
    equal(ok(c.delete(path + "/m", {"dryRun": ["All"]}))["kind"], "Status", "where there was none")


def test_names_run_out(c, server):
    """In builds for tests (with sanitizers) the server can be told what to make up."""
    os.environ["C8S_GENERATED_SUFFIX"] = "aaaaa"
    unlucky = Member(server.members[0].binary if hasattr(server, "members") else server.binary)
    try:
        unlucky.start()
        del os.environ["C8S_GENERATED_SUFFIX"]
        c = unlucky.client()
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "gen-"}}
        path = "/api/v1/namespaces/default/configmaps"
        if created(c.post(path, body))["metadata"]["name"] != "gen-aaaaa":
            print("     (not a build for tests: its names cannot be chosen)")
            return
        answer = c.post(path, body)
        equal((answer.code, answer.json["reason"], answer.json["message"], answer.json["details"]),
              (409, "AlreadyExists",
               'configmaps "gen-aaaaa" already exists, the server was not able to generate a unique name for the object',
               {"name": "gen-aaaaa", "kind": "configmaps", "retryAfterSeconds": 1}))
        equal(answer.headers["Retry-After"], "1")
        ok(c.delete(path + "/gen-aaaaa"))
        created(c.post(path, body))
    finally:
        unlucky.remove()


if __name__ == "__main__":
    sys.exit(run_tests(Server(sys.argv[1]), globals(), sys.argv[2:]))
