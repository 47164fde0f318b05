#!/usr/bin/env python3
"""What the published conformance suite (get-e2e-test.sh) and the published integration tests found, kept where CI runs it.

    apiserver_conformance_test.py BINARY [NAME…]     run all tests, or those whose name contains NAME
"""
import json
import sys

from apiserver_admission_test import check, created, equal, namespace, ok
from apiserver_lib import Server, run_tests
from apiserver_test import failed, wait_for

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def warnings(answer):
    return [json.loads(w.split(" ", 2)[2]) for w in answer.headers.get_all("warning") or []]


def test_what_is_only_posted_has_no_table(c, _):
    path = namespace(c, "tables")
    asked = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    failed(c.post(reviews, asked, accept=TABLE), 406, "NotAcceptable", "only the following media types are accepted")
    equal(created(c.post(reviews, asked, accept=TABLE + ",application/json"))["kind"], "SelfSubjectAccessReview")
    created(c.post(path + "/serviceaccounts", {"metadata": {"name": "a"}}))
    failed(c.post(path + "/serviceaccounts/a/token", {}, accept=TABLE), 406, "NotAcceptable")
    equal(created(c.post(path + "/configmaps", {"metadata": {"name": "c"}}, accept=TABLE))["kind"], "Table")


def test_timeouts_are_durations(c, _):
    for at in ("/version", "/healthz", "/api/v1/namespaces/default/configmaps"):
        failed(c.get(at + "?timeout=invalid"), 400, "BadRequest",
               'invalid timeout specified in the request URL - time: invalid duration "invalid"')
        for fine in ("3m", "0s", "-1s", "1.5h", ""):
            equal(c.get(at + "?timeout=" + fine).code, 200, fine)
    failed(c.get("/version?timeout=30"), 400, "BadRequest", 'time: missing unit in duration "30"')
    failed(c.get("/version?timeout=1m3x"), 400, "BadRequest", 'time: unknown unit "x" in duration "1m3x"')
    nobody = c.get("/version?timeout=1..s", accept="application/yaml")
    equal((nobody.code, nobody.headers["content-type"]), (400, "application/yaml"))


def test_checks_of_health(c, _):
    ready = ["ping", "log", "etcd", "leader", "poststarthook/bootstrap", "shutdown"]
    for page, names in (("/healthz", ready[:3]), ("/livez", ready[:3]), ("/readyz", ready)):
        equal(c.get(page).body, b"ok")
        want = ["[+]%s ok" % n for n in names] + [page[1:] + " check passed", ""]
        equal(c.get(page + "?verbose").body.decode().split("\n"), want)
        want[1:3] = ["[+]log excluded: ok", "[+]etcd excluded: ok"]
        want[-2:] = ['warn: some health checks cannot be excluded: no matches for "x","y"'] + want[-2:]
        equal(c.get(page + "?verbose&exclude=etcd&exclude=x&exclude=log&exclude=y").body.decode().split("\n"), want)
        for n in ready:
            equal(c.get(page + "/" + n).body, b"ok")
        equal(c.get(page + "/none").code, 404)
        equal(c.get(page + "/").code, 404)


DEPLOYMENT = """apiVersion: apps/v1
kind: Deployment
metadata:
  name: a
  name: d
  unknownMeta: 1
spec:
  unknown2: 1
  unknown1: 1
  paused: true
  paused: false
  selector:
    matchLabels: {a: b}
  template:
    metadata:
      labels: {a: b}
    spec:
      containers:
      - name: c
        unknownNested: 1
        image: i
        image: j
"""
LINES = ['line 5: key "name" already set in map', 'line 11: key "paused" already set in map',
         'line 22: key "image" already set in map']
FIELDS = ["metadata.unknownMeta", "spec.template.spec.containers[0].unknownNested", "spec.unknown1", "spec.unknown2"]


def test_keys_that_stand_twice_in_yaml(c, _):
    path = namespace(c, "yaml").replace("/api/v1", "/apis/apps/v1") + "/deployments"

    def post(how):
        return c.request("POST", path + "?dryRun=All" + how, DEPLOYMENT, content_type="application/yaml")
    failed(post("&fieldValidation=Strict"), 400, "BadRequest",
           'Deployment in version "v1" cannot be handled as a Deployment: strict decoding error: yaml: unmarshal errors:\n  ' +
           "\n  ".join(LINES) + ", " + ", ".join('unknown field "%s"' % f for f in FIELDS))
    for how in ("", "&fieldValidation=Warn"):
        answer = post(how)
        equal(created(answer)["spec"]["template"]["spec"]["containers"][0]["image"], "j")
        equal(warnings(answer), LINES + ['unknown field "%s"' % f for f in FIELDS])
    equal(warnings(post("&fieldValidation=Ignore")), [])


def definition():
    embedded = {"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "known": {"type": "string"}, "embedded": embedded, "list": {"type": "array", "items": embedded}}}}}
    return {"metadata": {"name": "embs.conformance.example.com"}, "spec": {
        "group": "conformance.example.com", "scope": "Namespaced", "names": {"plural": "embs", "kind": "Emb"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}]}}


def test_metadata_of_embedded_resources(c, _):
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    created(c.post(definitions, definition()))
    path = namespace(c, "embedded").replace("/api/v1", "/apis/conformance.example.com/v1") + "/embs"
    wait_for(lambda: c.get(path).code == 200, "the kind is served")
    inner = '{"apiVersion": "v1", "kind": "X", "extra": 1, "metadata": {"unknownEmbedded": 1, "name": "x", "labels": {"a": "b"}}}'
    body = ('{"apiVersion": "conformance.example.com/v1", "kind": "Emb", "metadata": {"name": "e", "unknownMeta": 1, "name": "e"}, "spec": '
            '{"unknown": 1, "unknown": 2, "known": "a", "known": "b", "embedded": %s, "list": [%s]}}' % (inner, inner))
    said = ['duplicate field "metadata.name"', 'duplicate field "spec.unknown"', 'duplicate field "spec.known"',
            'unknown field "metadata.unknownMeta"', 'unknown field "spec.unknown"',
            'unknown field "spec.embedded.metadata.unknownEmbedded"', 'unknown field "spec.list[0].metadata.unknownEmbedded"']
    failed(c.request("POST", path + "?fieldValidation=Strict", body), 400, "BadRequest", "strict decoding error: " + ", ".join(said))
    answer = c.request("POST", path, body)
    want = {"apiVersion": "v1", "kind": "X", "extra": 1, "metadata": {"name": "x", "labels": {"a": "b"}}}
    equal(created(answer)["spec"], {"known": "b", "embedded": want, "list": [want]})
    equal(warnings(answer), said)
    # What is malformed is not dropped but refused.
    bad = {"metadata": {"name": "bad"}, "spec": {"embedded": {"apiVersion": "v1", "kind": "X", "metadata": {"name": 1}}}}
    bad.update({"apiVersion": "conformance.example.com/v1", "kind": "Emb"})
    check(c.post(path, bad).code in (400, 422), "malformed metadata")
    ok(c.delete(definitions + "/embs.conformance.example.com"))


def test_what_keeps_unknown_fields_has_no_type_in_v2(c, _):
    """Older kubectl would take it for a map and refuse nulls in it."""
    definitions, kept = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {"x-kubernetes-preserve-unknown-fields": True}
    schema = {"type": "object", "properties": {
        "map": {"type": "object", **kept, "properties": {"known": {"type": "object"}}},
        "list": {"type": "array", **kept, "items": {"type": "string"}}, "text": {"type": "string", **kept}}}
    crd = definition()
    crd["metadata"]["name"], crd["spec"]["names"] = "keeps.conformance.example.com", {"plural": "keeps", "kind": "Keep"}
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"] = schema
    created(c.post(definitions, crd))

    def published():
        return ok(c.get("/openapi/v2"))["definitions"].get("com.example.conformance.v1.Keep", {}).get("properties")
    wait_for(published, "the kind is published")
    got = published()
    equal([got["map"], got["list"], got["text"]], [kept, kept, {"type": "string", **kept}])
    ok(c.delete(definitions + "/keeps.conformance.example.com"))


def test_the_source_of_new_events_is_who_reports_them(c, _):
    path = namespace(c, "sources")
    event = {"metadata": {"name": "e", "namespace": "sources"}, "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "watcher",
             "reportingInstance": "i", "action": "Do", "reason": "Test", "type": "Normal", "regarding": {"namespace": "sources"}}
    new = path.replace("/api/v1", "/apis/events.k8s.io/v1") + "/events"
    created(c.post(new, event))

    def names(at, selector):
        return [e["metadata"]["name"] for e in ok(c.get(at + "?fieldSelector=" + selector))["items"]]
    equal(names(path + "/events", "source%3Dwatcher"), ["e"])
    equal(names(path + "/events", "source%21%3Dwatcher"), [])
    equal(names(path + "/events", "reportingComponent%3Dwatcher"), ["e"])
    equal(names(new, "reportingController%3Dwatcher"), ["e"])
    old = {"metadata": {"name": "o"}, "involvedObject": {"namespace": "sources"}, "source": {"component": "s"}, "reportingComponent": "watcher"}
    created(c.post(path + "/events", old))
    equal(names(path + "/events", "source%3Dwatcher"), ["e"])
    equal(names(path + "/events", "source%3Ds"), ["o"])


if __name__ == "__main__":
    sys.exit(run_tests(Server(sys.argv[1]), globals(), sys.argv[2:]))
