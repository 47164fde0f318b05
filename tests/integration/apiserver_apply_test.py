#!/usr/bin/env python3
"""Patches, server-side apply, managed fields and the parameters of writes, over HTTPS and by kubectl.

    apiserver_apply_test.py BINARY [KUBECTL…]    without KUBECTL those that tests/e2e/get-kubectl.sh has fetched
"""
import json
import os
import stat
import subprocess
import sys
import tempfile

from apiserver_lib import Server, fetched_kubectls, run_tests

CM = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY = "application/apply-patch+yaml"
REFUSED = "the server rejected our request due to an error in our request"


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, want, *what):
    check(got == want, *what, "got", repr(got), "want", repr(want))


def failed(answer, code, reason, message):
    equal(answer.code, code, answer)
    s = answer.json
    equal((s["kind"], s["status"], s.get("reason"), s["code"]), ("Status", "Failure", reason, code), answer)
    equal(s["message"], message)
    return s


def config_map(name, data, **meta):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": dict(meta, name=name), "data": data}


def deployment(name, **spec):
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": dict({
        "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
            "containers": [{"name": "c", "image": "i:1"}]}}}, **spec)}


def apply(c, path, body, manager, force=False, query=""):
    return c.request("PATCH", "%s?fieldManager=%s%s%s" % (path, manager, "&force=true" if force else "", query),
                     body if isinstance(body, str) else json.dumps(body), content_type=APPLY)


def owners(answer):
    """{manager/operation[/subresource]: fields}"""
    entries = answer.json["metadata"].get("managedFields", [])
    for e in entries:
        equal(e["fieldsType"], "FieldsV1")
        check(e["apiVersion"])
    return {"/".join(filter(None, (e["manager"], e["operation"], e.get("subresource")))): e["fieldsV1"] for e in entries}


def version(answer):
    return answer.json["metadata"]["resourceVersion"]


def warnings(answer):
    return [w.split('"', 1)[1].rsplit('"', 1)[0].replace('\\"', '"') for w in answer.headers.get_all("Warning") or []]


# ---- managed fields ----

def test_every_write_is_recorded(c, _):
    agent = {"User-Agent": "web-console/1.2 (linux)"}
    r = c.post(CM, config_map("m", {"a": "1"}, labels={"l": "1"}), headers=agent)
    equal(owners(r), {"web-console/Update": {"f:data": {".": {}, "f:a": {}}, "f:metadata": {"f:labels": {".": {}, "f:l": {}}}}})
    check(r.json["metadata"]["managedFields"][0]["time"])
    r = c.patch(CM + "/m?fieldManager=two", {"data": {"a": "2", "b": "1"}}, "merge-patch", headers=agent)
    equal(owners(r)["two/Update"], {"f:data": {"f:a": {}, "f:b": {}}})
    equal(owners(r)["web-console/Update"], {"f:data": {}, "f:metadata": {"f:labels": {".": {}, "f:l": {}}}})
    before = version(r)
    r = c.patch(CM + "/m?fieldManager=three", {"data": {"a": "2"}}, "merge-patch")
    equal((version(r), "three/Update" in owners(r)), (before, False), "a patch that changes nothing")
    body = r.json
    body["data"] = {"b": "1"}
    r = c.put(CM + "/m?fieldManager=two", body)
    equal(owners(r)["two/Update"], {"f:data": {"f:b": {}}})


def test_subresources_have_their_own_entries(c, _):
    r = c.post(DEPLOYMENTS + "?fieldManager=kubectl-create", deployment("s", replicas=1))
    equal(r.code, 201, r)
    fields = owners(r)["kubectl-create/Update"]["f:spec"]
    equal(sorted(fields), ["f:progressDeadlineSeconds", "f:replicas", "f:revisionHistoryLimit", "f:selector", "f:strategy", "f:template"])
    d = r.json
    d["status"] = {"replicas": 1, "observedGeneration": 1}
    r = c.put(DEPLOYMENTS + "/s/status?fieldManager=controller", d)
    equal(owners(r)["controller/Update/status"], {"f:status": {"f:observedGeneration": {}, "f:replicas": {}}})
    r = c.patch(DEPLOYMENTS + "/s/scale?fieldManager=scaler", {"spec": {"replicas": 3}}, "merge-patch")
    equal(r.code, 200, r)
    r = c.get(DEPLOYMENTS + "/s")
    equal(owners(r)["scaler/Update/scale"], {"f:spec": {"f:replicas": {}}})
    check("f:replicas" not in owners(r)["kubectl-create/Update"]["f:spec"])
    # the status in an object that is applied is nobody's
    d = deployment("s2")
    d["status"] = {"replicas": 7}
    r = apply(c, DEPLOYMENTS + "/s2", d, "one")
    equal((r.code, "f:status" in owners(r)["one/Apply"], r.json["status"]), (201, False, {}))
    r = apply(c, DEPLOYMENTS + "/s2/status", {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "s2"},
                                              "spec": {"replicas": 9}, "status": {"replicas": 7}}, "one")
    equal((r.code, owners(r)["one/Apply/status"], r.json["status"]["replicas"], r.json["spec"]["replicas"]),
          (200, {"f:status": {"f:replicas": {}}}, 7, 1))
    equal(apply(c, DEPLOYMENTS + "/none/status", deployment("none"), "one").code, 404)


def test_entries_can_be_cleared_and_come_back(c, _):
    c.post(CM + "?fieldManager=one", config_map("r", {"a": "1"}))
    for clear in ([], [{}]):
        r = c.patch(CM + "/r", {"metadata": {"managedFields": clear}}, "merge-patch")
        equal((r.code, owners(r)), (200, {}), "cleared by", clear)
    r = c.patch(CM + "/r?fieldManager=one", {"data": {"b": "1"}}, "merge-patch")
    equal(owners(r), {}, "not tracked until it is applied")
    r = apply(c, CM + "/r", config_map("r", {"a": "1"}), "two")
    equal(owners(r), {"before-first-apply/Update": {"f:data": {".": {}, "f:a": {}, "f:b": {}}}, "two/Apply": {"f:data": {"f:a": {}}}})
    entry = {"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:b": {}}}}
    r = c.patch(CM + "/r", {"metadata": {"managedFields": [entry]}}, "merge-patch")
    equal(owners(r), {"x/Update": {"f:data": {"f:b": {}}}})


# ---- apply ----

def test_apply_and_its_conflicts(c, _):
    path = CM + "/a"
    r = apply(c, path, config_map("a", {"k": "1", "l": "1"}), "one")
    equal((r.code, owners(r)), (201, {"one/Apply": {"f:data": {"f:k": {}, "f:l": {}}}}))
    again = apply(c, path, config_map("a", {"k": "1", "l": "1"}), "one")
    equal((again.code, version(again), again.json["metadata"]["managedFields"]),
          (200, version(r), r.json["metadata"]["managedFields"]), "nothing to do")
    s = failed(apply(c, path, config_map("a", {"k": "2"}), "two"), 409, "Conflict",
               'Apply failed with 1 conflict: conflict with "one": .data.k')
    equal(s["details"]["causes"], [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".data.k"}])
    c.patch(path + "?fieldManager=three", {"data": {"l": "3"}}, "merge-patch")
    s = failed(apply(c, path, config_map("a", {"k": "2", "l": "2"}), "two"), 409, "Conflict",
               'Apply failed with 2 conflicts: conflicts with "one":\n- .data.k\nconflicts with "three" using v1:\n- .data.l')
    equal(len(s["details"]["causes"]), 2)
    r = apply(c, path, config_map("a", {"k": "2", "l": "2"}), "two", force=True)
    equal((r.json["data"], owners(r)), ({"k": "2", "l": "2"}, {"two/Apply": {"f:data": {"f:k": {}, "f:l": {}}}}))
    r = apply(c, path, config_map("a", {"l": "2"}), "two", query="&dryRun=All")
    equal((r.code, r.json["data"], c.get(path).json["data"]), (200, {"l": "2"}, {"k": "2", "l": "2"}))
    yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\ndata:\n  l: \"2\"\n"
    r = apply(c, path, yaml, "two")
    equal((r.code, r.json["data"]), (200, {"l": "2"}))
    twice = yaml + "  l: \"3\"\n"
    r = apply(c, path, twice, "two", query="&dryRun=All")
    equal((r.code, r.json["data"], warnings(r)), (200, {"l": "3"}, ['line 7: key "l" already set in map']), "the last counts")
    failed(apply(c, path, twice, "two", query="&fieldValidation=Strict"), 400, "BadRequest",
           'error strict decoding patch: error converting YAML to JSON: yaml: unmarshal errors:\n  line 7: key "l" already set in map')
    equal(warnings(apply(c, path, twice, "two", query="&dryRun=All&fieldValidation=Ignore")), [])
    stale = config_map("a", {"l": "4"}, resourceVersion="1")
    equal(apply(c, path, stale, "two").json["reason"], "Conflict")


def scale(name, replicas, **meta):
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": dict(meta, name=name, namespace="default"),
            "spec": {"replicas": replicas}}


def test_scale_is_applied(c, _):
    path = DEPLOYMENTS + "/sc"
    equal(apply(c, path, deployment("sc", replicas=1), "one").code, 201)
    s = failed(apply(c, path + "/scale", scale("sc", 3), "hpa"), 409, "Conflict",
               'Apply failed with 1 conflict: conflict with "one": .spec.replicas')
    equal(s["details"]["causes"], [{"reason": "FieldManagerConflict", "message": 'conflict with "one"', "field": ".spec.replicas"}])
    r = apply(c, path + "/scale", scale("sc", 3), "hpa", force=True)
    equal((r.code, r.json["kind"], r.json["spec"], r.json["metadata"].get("managedFields")), (200, "Scale", {"replicas": 3}, None))
    r = c.get(path)
    equal((r.json["spec"]["replicas"], owners(r)["hpa/Apply/scale"], r.json["metadata"]["generation"]),
          (3, {"f:spec": {"f:replicas": {}}}, 2))
    equal([e["apiVersion"] for e in r.json["metadata"]["managedFields"]], ["apps/v1", "apps/v1"])
    check("f:replicas" not in owners(r)["one/Apply"]["f:spec"], r)
    before = version(r)
    equal(version(apply(c, path + "/scale", scale("sc", 3), "hpa")), before, "nothing to do")
    s = failed(apply(c, path, deployment("sc", replicas=2), "one"), 409, "Conflict",
               'Apply failed with 1 conflict: conflict with "hpa" with subresource "scale": .spec.replicas')
    r = apply(c, path, deployment("sc"), "one")  # no longer says how many: they stay
    equal((r.code, r.json["spec"]["replicas"]), (200, 3))
    r = c.patch(path + "/scale?fieldManager=kubectl", [{"op": "replace", "path": "/spec/replicas", "value": 5}], "json-patch")
    equal((r.code, r.json["spec"]), (200, {"replicas": 5}))
    equal(owners(c.get(path))["kubectl/Update/scale"], {"f:spec": {"f:replicas": {}}})
    failed(apply(c, path + "/scale", scale("sc", -1), "hpa", force=True), 422, "Invalid",
           'Scale.autoscaling "sc" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0')
    failed(apply(c, path + "/scale", scale("other", 1), "hpa", force=True), 400, "BadRequest",
           "the name of the object (other) does not match the name on the URL (sc)")
    failed(apply(c, path + "/scale", deployment("sc"), "hpa"), 400, "BadRequest", "invalid object type: apps/v1, Kind=Deployment")
    failed(apply(c, path + "/scale", scale("sc", 1, uid="x"), "hpa", force=True), 409, "Conflict",
           'Operation cannot be fulfilled on deployments/scale.apps "sc": Precondition failed: UID in precondition: x, '
           "UID in object meta: " + r.json["metadata"]["uid"])
    r = c.patch(path + "/scale", {"spec": {"odd": 1}}, "merge-patch")
    equal((r.code, warnings(r)), (200, ['unknown field "spec.odd"']))
    equal(apply(c, path + "/scale", scale("sc", 1, resourceVersion="1"), "hpa", force=True).json["reason"], "Conflict")
    equal(apply(c, DEPLOYMENTS + "/none/scale", scale("none", 1), "hpa").code, 404)
    equal(c.request("PATCH", path + "/scale?fieldManager=x", "{}", content_type="text/plain").code, 415)


def test_apply_refuses(c, _):
    failed(apply(c, CM + "/b", config_map("b2", {}), "one"), 400, "BadRequest",
           "the name of the object (b2) does not match the name on the URL (b)")
    failed(apply(c, CM + "/b", config_map("b", {}, namespace="other"), "one"), 400, "BadRequest",
           "the namespace of the provided object does not match the namespace sent on the request")
    failed(apply(c, CM + "/b", config_map("b", {}, managedFields=[{}]), "one"), 400, "BadRequest", "metadata.managedFields must be nil")
    failed(apply(c, CM + "/b", deployment("b"), "one"), 400, "BadRequest", "invalid object type: apps/v1, Kind=Deployment")
    failed(apply(c, DEPLOYMENTS + "/b", deployment("b", replicaz=1), "one"), 500, None,
           "failed to create typed patch object (/b; apps/v1, Kind=Deployment): .spec.replicaz: field not declared in schema")
    failed(c.request("PATCH", CM + "/b", "{}", content_type=APPLY), 422, "Invalid",
           'PatchOptions.meta.k8s.io "" is invalid: fieldManager: Required value: is required for apply patch')
    r = c.request("PATCH", CM + "/b?fieldManager=x", b"\xd9\xd9\xf7\xa0", content_type="application/apply-patch+cbor")
    equal((r.code, r.json["reason"]), (415, "UnsupportedMediaType"))
    equal(c.request("PATCH", CM + "/b?fieldManager=x", "{}", content_type="text/plain").code, 415)


# ---- parameters ----

def test_parameters_are_checked(c, _):
    body = config_map("p", {"a": "1"})
    for query, message in (
            ("fieldManager=" + "x" * 129, 'fieldManager: Too long: may not be more than 128 bytes'),
            ("fieldManager=a%01b", 'fieldManager: Invalid value: "a\\x01b": invalid character U+0001 (at position 1)'),
            ("dryRun=yes", 'dryRun: Unsupported value: []string{"yes"}: supported values: "All"'),
            ("fieldValidation=some", 'fieldValidation: Unsupported value: "some": supported values: "", "Ignore", "Strict", "Warn"')):
        failed(c.post(CM + "?" + query, body), 422, "Invalid", 'CreateOptions.meta.k8s.io "" is invalid: ' + message)
        failed(c.put(CM + "/p?" + query, body), 422, "Invalid", 'UpdateOptions.meta.k8s.io "" is invalid: ' + message)
        failed(c.patch(CM + "/p?" + query, {}), 422, "Invalid", 'PatchOptions.meta.k8s.io "" is invalid: ' + message)
    failed(c.patch(CM + "/p?force=true", {}), 422, "Invalid",
           'PatchOptions.meta.k8s.io "" is invalid: force: Forbidden: may not be specified for non-apply patch')
    r = c.post(CM + "?dryRun=All&fieldManager=%C3%BCml", body)
    equal((r.code, list(owners(r)), c.get(CM + "/p").code), (201, ["üml/Update"], 404))


def test_field_validation(c, _):
    bad = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"f"},"data":{"a":"1","a":"2"},"datum":{},"metadata":{"name":"f","labelz":{}}}'
    found = ['duplicate field "data.a"', 'unknown field "datum"', 'duplicate field "metadata"', 'unknown field "metadata.labelz"']
    r = c.post(CM + "?dryRun=All", bad)
    equal((r.code, sorted(warnings(r))), (201, sorted(found)), "warned of by default")
    equal(warnings(c.post(CM + "?dryRun=All&fieldValidation=Ignore", bad)), [])
    r = c.post(CM + "?fieldValidation=Strict", bad)
    equal((r.code, r.json["reason"]), (400, "BadRequest"))
    start = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: '
    check(r.json["message"].startswith(start), r)
    equal(sorted(r.json["message"][len(start):].split(", ")), sorted(found))
    yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: f\ndatum: {}\n"
    r = c.post(CM + "?dryRun=All", yaml, content_type="application/yaml")
    equal((r.code, warnings(r)), (201, ['unknown field "datum"']))
    equal(c.post(CM + "?fieldValidation=Strict", yaml, content_type="application/yaml").code, 400)
    c.post(DEPLOYMENTS, deployment("f"))
    patches = (("merge-patch", {"spec": {"foo": 1}}, ['unknown field "spec.foo"']),
               ("strategic-merge-patch", {"spec": {"foo": 1}}, ['unknown field "spec.foo"']),
               ("json-patch", [{"op": "add", "path": "/spec/foo", "value": 1, "x": 2}],
                ['json patch unknown field "[0].x"', 'unknown field "spec.foo"']))
    for kind, patch, words in patches:
        r = c.patch(DEPLOYMENTS + "/f", patch, kind)
        equal((r.code, warnings(r)), (200, words), kind)
        equal(warnings(c.patch(DEPLOYMENTS + "/f?fieldValidation=Ignore", patch, kind)), [], kind)
        r = c.patch(DEPLOYMENTS + "/f?fieldValidation=Strict", patch, kind)
        equal((r.code, r.json["reason"]), (422, "Invalid"), r)
        check(r.json["message"].startswith(' "" is invalid: patch: Invalid value: "'), r)
        check(r.json["message"].endswith(": strict decoding error: " + ", ".join(words)), r)


# ---- patches ----

def test_patches_that_fail(c, _):
    c.post(CM, config_map("x", {"a": "1"}))
    path = CM + "/x"
    for kind, patch, code, reason, message in (
            ("json-patch", [{"op": "test", "path": "/data/a", "value": "2"}], 422, "Invalid", REFUSED),
            ("json-patch", [{"op": "remove", "path": "/data/none"}], 422, "Invalid", REFUSED),
            ("json-patch", [{"op": "fly", "path": "/data"}], 422, "Invalid", REFUSED),
            ("json-patch", "[", 400, "BadRequest", "error decoding patch: unexpected end of JSON input"),
            ("strategic-merge-patch", "{", 400, "BadRequest", "unexpected end of JSON input"),
            ("json-patch", {}, 400, "BadRequest",
             "error decoding patch: json: cannot unmarshal object into Go value of type []handlers.jsonPatchOp"),
            ("json-patch", [{"op": "test", "path": "/data/a", "value": "1"}] * 10001, 413, "RequestEntityTooLarge",
             "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"),
            ("merge-patch", [], 400, "BadRequest",
             "error decoding patch: json: cannot unmarshal array into Go value of type map[string]interface {}"),
            ("strategic-merge-patch", {"metadata": {"$patch": "x"}}, 500, None, "unknown patch type: x in map: map[$patch:x]"),
            ("merge-patch", {"metadata": {"name": "y"}}, 400, "BadRequest",
             "the name of the object (y) does not match the name on the URL (x)"),
            ("merge-patch", {"metadata": {"namespace": "y"}}, 400, "BadRequest",
             "the namespace of the provided object does not match the namespace sent on the request"),
            ("merge-patch", {"metadata": {"resourceVersion": "1"}}, 409, "Conflict",
             'Operation cannot be fulfilled on configmaps "x": the object has been modified; please apply your changes to '
             'the latest version and try again')):
        failed(c.patch(path, patch, kind), code, reason, message)
    for kind in ("json-patch", "merge-patch", "strategic-merge-patch"):
        failed(c.patch(CM + "/none", [] if kind == "json-patch" else {}, kind), 404, "NotFound", 'configmaps "none" not found')
    r = c.patch(path, {"data": {"a": 1}}, "merge-patch")
    equal((r.code, r.json["reason"], r.json["details"]["causes"][0]["field"]), (422, "Invalid", "patch"), r)
    r = c.patch(path, {"metadata": {"resourceVersion": version(c.get(path))}, "data": {"a": "2"}}, "merge-patch")
    equal((r.code, r.json["data"]), (200, {"a": "2"}))


# ---- kubectl ----

class Kubectl:
    def __init__(self, server, path, directory):
        self.path, self.dir = path, directory
        self.config = os.path.join(directory, "config")
        pki = server.pki.path
        with open(self.config, "w") as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                       "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:%d" % server.port,
                                                              "certificate-authority": pki("ca.crt")}}],
                       "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                       "users": [{"name": "u", "user": {"client-certificate": pki("admin.crt"), "client-key": pki("admin.key")}}]}, f)

    def __call__(self, *args, code=0, data=None, **env):
        r = subprocess.run([self.path, "--kubeconfig", self.config, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           input=data and (data if isinstance(data, str) else json.dumps(data)), timeout=120, text=True,
                           env=dict(os.environ, HOME=self.dir, **env))
        equal(r.returncode, code, args, r.stdout)
        return r.stdout

    def json(self, *args):
        return json.loads(self(*args, "-o", "json", "--show-managed-fields"))


def kubectl_server_side(k):
    d = deployment("k", replicas=2)
    equal(k("apply", "--server-side", "-f", "-", data=d).strip(), "deployment.apps/k serverside-applied")
    d["spec"]["replicas"] = 3
    out = k("apply", "--server-side", "--field-manager=other", "-f", "-", code=1, data=d)
    check('conflict with "kubectl": .spec.replicas' in out, out)
    k("apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", data=d)
    equal(k.json("get", "deployment", "k")["spec"]["replicas"], 3)
    out = k("diff", "--server-side", "--field-manager=other", "-f", "-", code=0, data=d)
    d["spec"]["template"]["spec"]["containers"].append({"name": "d", "image": "j"})
    out = k("diff", "--server-side", "--field-manager=other", "-f", "-", code=1, data=d)
    check("+      - image: j" in out, out)
    k("delete", "deployment", "k", "--wait=false")


def kubectl_client_side(k):
    cm = config_map("k", {"a": "1", "b": "2"}, labels={"x": "y"})
    equal(k("apply", "-f", "-", data=cm).strip(), "configmap/k created")
    k("patch", "configmap", "k", "--type=merge", "-p", '{"data":{"server":"s"}}')
    del cm["data"]["b"], cm["metadata"]["labels"]
    cm["data"]["a"] = "9"
    out = k("diff", "-f", "-", code=1, data=cm)
    check("-  b: " in out, out)
    equal(k("apply", "-f", "-", data=cm).strip(), "configmap/k configured")
    got = k.json("get", "configmap", "k")
    equal((got["data"], "labels" in got["metadata"]), ({"a": "9", "server": "s"}, False))
    equal(k("apply", "-f", "-", data=cm).strip(), "configmap/k unchanged")
    k("diff", "-f", "-", data=cm)
    # going over to the server's side takes no force
    cm["data"]["a"] = "10"
    equal(k("apply", "--server-side", "-f", "-", data=cm).strip(), "configmap/k serverside-applied")
    equal(k.json("get", "configmap", "k")["data"]["a"], "10")
    cm["data"]["a"] = "11"
    k("apply", "-f", "-", data=cm)
    equal(k.json("get", "configmap", "k")["data"], {"a": "11", "server": "s"})
    k("delete", "configmap", "k")


def kubectl_everyday(k):
    k("create", "configmap", "e", "--from-literal=a=1")
    editor = os.path.join(k.dir, "editor")
    with open(editor, "w") as f:
        f.write("#!/bin/sh\nsed -i 's/a: \"1\"/a: \"2\"/' \"$1\"\n")
    os.chmod(editor, stat.S_IRWXU)
    equal(k("edit", "configmap", "e", KUBE_EDITOR=editor).strip(), "configmap/e edited")
    k("patch", "configmap", "e", "--type=json", "-p", '[{"op":"add","path":"/data/b","value":"3"}]')
    k("patch", "configmap", "e", "--type=strategic", "-p", '{"data":{"c":"4"}}')
    k("patch", "configmap", "e", "--type=merge", "-p", '{"data":{"d":"5"}}')
    out = k("patch", "configmap", "e", "--type=json", "-p", '[{"op":"remove","path":"/data/zz"}]', code=1)
    check("The request is invalid" in out, out)
    k("label", "configmap", "e", "l=m")
    k("annotate", "configmap", "e", "n=o")
    got = k.json("get", "configmap", "e")
    equal((got["data"], got["metadata"]["labels"], got["metadata"]["annotations"]),
          ({"a": "2", "b": "3", "c": "4", "d": "5"}, {"l": "m"}, {"n": "o"}))
    check({"kubectl-create", "kubectl-edit", "kubectl-patch", "kubectl-label", "kubectl-annotate"} <=
          {e["manager"] for e in got["metadata"]["managedFields"]}, got["metadata"]["managedFields"])
    got["data"] = {"only": "this"}
    equal(k("replace", "-f", "-", data=got).strip(), "configmap/e replaced")
    equal(k.json("get", "configmap", "e")["data"], {"only": "this"})
    got["metadata"]["resourceVersion"] = "1"
    check("Conflict" in k("replace", "-f", "-", data=got, code=1))
    k("label", "configmap", "e", "l-")
    check("labels" not in k.json("get", "configmap", "e")["metadata"])
    k("delete", "configmap", "e")


def main():
    binary, kubectls = sys.argv[1], sys.argv[2:] or fetched_kubectls()[-1 if os.environ.get("C8S_THROUGH") else None:]
    server = Server(binary)
    with tempfile.TemporaryDirectory() as directory:
        def by_kubectl():
            tests = []
            for i, path in enumerate(kubectls):
                home = os.path.join(directory, str(i))
                os.mkdir(home)
                k = Kubectl(server, path, home)
                for part in (kubectl_server_side, kubectl_client_side, kubectl_everyday):
                    tests.append(("%s %s" % (part.__name__, path), lambda c, s, k=k, part=part: part(k)))
            return tests
        return run_tests(server, globals(), [], by_kubectl)


if __name__ == "__main__":
    sys.exit(main())
