#!/usr/bin/env python3
"""Custom resources on three members: definitions and objects through any of them, and kubectl.

    apiserver_crd_test.py BINARY [KUBECTL…]     each KUBECTL does a tour of its own; without any, those that
                                                tests/e2e/get-kubectl.sh has fetched
"""
import base64
import copy
import json
import os
import subprocess
import sys
import tempfile
import time
import traceback

from apiserver_lib import Cluster, leads
from apiserver_test import PROTOBUF, TABLE, check, created, equal, failed, wait_for

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "stable.example.com"
STRATEGIC = "strategic-merge-patch"


def spec_schema():
    return {"type": "object", "required": ["cronSpec"], "properties": {
        "cronSpec": {"type": "string", "pattern": r"^(\d+|\*)(/\d+)?(\s+(\d+|\*)(/\d+)?){4}$"},
        "image": {"type": "string", "default": "busybox:1"},
        "replicas": {"type": "integer", "minimum": 1, "maximum": 10},
        "suspend": {"type": "boolean", "nullable": True},
        "port": {"x-kubernetes-int-or-string": True},
        "env": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"], "items": {
            "type": "object", "required": ["name"], "properties": {
                "name": {"type": "string"}, "value": {"type": "string", "default": ""}}}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "policy": {"type": "string", "enum": ["Allow", "Forbid"]}}}


def schema():
    return {"type": "object", "properties": {
        "spec": spec_schema(),
        "status": {"type": "object", "properties": {
            "replicas": {"type": "integer"}, "phase": {"type": "string", "maxLength": 10}, "selector": {"type": "string"}}}}}


def definition(plural="crontabs", kind="CronTab", **version):
    v = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema()},
         "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                                                  "statusReplicasPath": ".status.replicas",
                                                  "labelSelectorPath": ".status.selector"}},
         "selectableFields": [{"jsonPath": ".spec.image"}],
         "additionalPrinterColumns": [
             {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec", "description": "The schedule."},
             {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
             {"name": "Image", "type": "string", "jsonPath": ".spec.image", "priority": 1},
             {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]}
    v.update(version)
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": plural + "." + GROUP},
            "spec": {"group": GROUP, "scope": "Namespaced", "versions": [v],
                     "names": {"plural": plural, "kind": kind, "shortNames": [plural[:2]], "categories": ["all"]}}}


def path(plural="crontabs", version="v1", ns="default"):
    return "/apis/%s/%s/namespaces/%s/%s" % (GROUP, version, ns, plural)


def crontab(name, kind="CronTab", version="v1", **spec):
    return {"apiVersion": GROUP + "/" + version, "kind": kind, "metadata": {"name": name},
            "spec": dict({"cronSpec": "* * * * */5"}, **spec)}


def condition(crd, kind):
    return {c["type"]: c for c in crd.get("status", {}).get("conditions") or []}.get(kind, {})


SERVED_AFTER = []  # seconds each definition took


def establish(clients, crd):
    """Create a definition by the first member, and wait until all serve it."""
    made = created(clients[0].post(CRDS, crd))
    name, plural = made["metadata"]["name"], crd["spec"]["names"]["plural"]
    version = next(v["name"] for v in crd["spec"]["versions"] if v["served"])
    began = time.monotonic()
    for c in clients:
        wait_for(lambda: c.get("/apis/%s/%s/%s" % (crd["spec"]["group"], version, plural)).code == 200, name + " to be served", 60)
    SERVED_AFTER.append(time.monotonic() - began)
    print("     %s served by all after %.3f s" % (name, SERVED_AFTER[-1]))
    return made


def drop(clients, plural="crontabs"):
    equal(clients[0].delete(CRDS + "/%s.%s" % (plural, GROUP)).code, 200)
    for c in clients:
        wait_for(lambda: c.get(CRDS + "/%s.%s" % (plural, GROUP)).code == 404, "the definition to go", 60)


# ---- definitions ----

def test_live_within_a_second(clients):
    """By every member; of several definitions one at least, since a machine may stand still."""
    for _ in range(10):
        establish(clients, definition())
        drop(clients)
        if SERVED_AFTER[-1] < 1:
            return
    check(False, SERVED_AFTER)


def test_definition(clients):
    made = establish(clients, definition())
    equal(made["spec"]["names"]["singular"], "crontab")
    equal(made["spec"]["names"]["listKind"], "CronTabList")
    equal(made["spec"]["conversion"], {"strategy": "None"})
    equal(made["status"]["storedVersions"], ["v1"])
    equal(made["metadata"]["generation"], 1)
    for c in clients:
        now = c.get(CRDS + "/crontabs." + GROUP).json
        equal(condition(now, "NamesAccepted")["reason"], "NoConflicts")
        equal(condition(now, "Established")["reason"], "InitialNamesAccepted")
        equal(condition(now, "Established")["status"], "True")
        equal(now["status"]["acceptedNames"]["shortNames"], ["cr"])
        groups = {g["name"]: g for g in c.get("/apis").json["groups"]}
        equal(groups[GROUP]["preferredVersion"]["version"], "v1")
        equal(c.get("/apis/" + GROUP).json["versions"][0]["groupVersion"], GROUP + "/v1")
        found = {r["name"]: r for r in c.get("/apis/%s/v1" % GROUP).json["resources"]}
        equal(sorted(found), ["crontabs", "crontabs/scale", "crontabs/status"])
        equal(found["crontabs"]["shortNames"], ["cr"])
        equal(found["crontabs"]["categories"], ["all"])
        equal(found["crontabs/scale"]["group"], "autoscaling")
        aggregated = c.get("/apis", accept="application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList").json
        mine = [g for g in aggregated["items"] if g["metadata"]["name"] == GROUP]
        equal(mine[0]["versions"][0]["resources"][0]["resource"], "crontabs")
        check("apis/%s/v1" % GROUP in c.get("/openapi/v3").json["paths"], "OpenAPI lacks the group")
    drop(clients)
    for c in clients:
        wait_for(lambda: GROUP not in c.get("/apis").body.decode(), "discovery to forget", 60)
        equal(c.get(path()).code, 404)


def broken(change):
    crd = definition("bads", "Bad")
    change(crd)
    return crd


def at_schema(*path_and_value):
    *where, value = path_and_value

    def change(crd):
        node = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for key in where[:-1]:
            node = node[key]
        node[where[-1]] = value
    return change


def test_invalid_definitions(clients):
    s = "spec.validation.openAPIV3Schema"  # what all versions have in common is spoken of at the spec
    cases = [
        (lambda d: d["metadata"].update(name="x.y.z"), 'metadata.name: Invalid value: "x.y.z": must be spec.names.plural+"."+spec.group'),
        (lambda d: d["spec"].update(scope="Everywhere"), 'spec.scope: Unsupported value: "Everywhere": supported values: "Cluster", "Namespaced"'),
        (lambda d: d["spec"].update(group="nodot") or d["metadata"].update(name="bads.nodot"),
         'spec.group: Invalid value: "nodot": should be a domain with at least one dot'),
        (lambda d: d["spec"]["names"].update(kind=""), "spec.names.kind: Required value"),
        (lambda d: d["spec"]["versions"][0].update(storage=False), "must have exactly one version marked as storage version"),
        (lambda d: d["spec"]["versions"][0].pop("schema"), "spec.versions[0].schema.openAPIV3Schema: Required value: schemas are required"),
        (lambda d: d["spec"].update(preserveUnknownFields=True), "spec.preserveUnknownFields: Invalid value: true: cannot set to true"),
        (at_schema("properties", "spec", "properties", "image", {}), s + ".properties[spec].properties[image].type: Required value: must not be empty for specified object fields"),
        (at_schema("anyOf", [{"properties": {"x": {"minimum": 1}}}]),
         s + ".properties[x]: Required value: because it is defined in " + s + ".anyOf[0].properties[x]"),
        (at_schema("properties", "spec", "oneOf", [{"type": "object"}]), s + ".properties[spec].oneOf[0].type: Forbidden: must be empty to be structural"),
        (at_schema("properties", "spec", "uniqueItems", True), s + ".properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since the runtime complexity becomes quadratic"),
        (at_schema("properties", "spec", "properties", "image", "default", 5),
         s + '.properties[spec].properties[image].default: Invalid value: "integer": ' + s + '.properties[spec].properties[image].default in body must be of type string: "integer"'),
        (at_schema("properties", "spec", "properties", "cronSpec", "pattern", "("), "must be a valid regular expression, but isn't: error parsing regexp"),
        (at_schema("properties", "spec", "$ref", "#/x"), s + ".properties[spec].$ref: Forbidden: $ref is not supported"),
        (at_schema("properties", "spec", "properties", "env", "x-kubernetes-list-map-keys", ["nope"]),
         s + '.properties[spec].properties[env].x-kubernetes-list-map-keys: Invalid value: ["nope"]: entries must all be names of item properties'),
        (at_schema("nullable", True), s + ".nullable: Forbidden: nullable cannot be true at the root"),
        (at_schema("additionalProperties", {"type": "string"}), s + ".additionalProperties: Forbidden: must not be used at the root"),
        (lambda d: d["spec"]["versions"][0]["additionalPrinterColumns"][0].update(jsonPath="x"),
         'spec.additionalPrinterColumns[0].JSONPath: Invalid value: "x": must be a simple json path starting with .'),
        (lambda d: d["spec"]["versions"][0]["additionalPrinterColumns"][0].update(type="text"), "must be one of boolean,date,integer,number,string"),
        (lambda d: d["spec"]["versions"][0]["subresources"]["scale"].update(specReplicasPath=".status.n"),
         'spec.subresources.scale.specReplicasPath: Invalid value: ".status.n": should be a json path under .spec'),
        (lambda d: d["spec"].update(conversion={"strategy": "Webhook"}), "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook"),
        (lambda d: d["spec"]["versions"][0].update(selectableFields=[{"jsonPath": ".spec.nope"}]), "selectableFields[0].jsonPath: Invalid value: \".spec.nope\": is an invalid path"),
    ]
    for change, message in cases:
        failed(clients[0].post(CRDS, broken(change)), 422, "Invalid", message)


def test_immutable_and_conflicting_names(clients):
    establish(clients, definition())
    crd = clients[1].get(CRDS + "/crontabs." + GROUP).json
    crd["spec"]["names"]["kind"] = "Other"
    crd["spec"]["scope"] = "Cluster"
    failed(clients[1].put(CRDS + "/crontabs." + GROUP, crd), 422, "Invalid", "spec.scope: Invalid value: \"Cluster\": field is immutable",
           "spec.names.kind: Invalid value: \"Other\": field is immutable")
    # The same kind and a short name twice: not accepted, so not served.
    second = definition("cronjobsagain", "CronTab")
    second["spec"]["names"]["shortNames"] = ["cr", "new"]
    created(clients[2].post(CRDS, second))
    name = CRDS + "/cronjobsagain." + GROUP
    wait_for(lambda: condition(clients[0].get(name).json, "NamesAccepted").get("status") == "False", "the conflict", 60)
    now = clients[0].get(name).json
    equal(condition(now, "NamesAccepted")["reason"], "ListKindConflict")
    equal(condition(now, "NamesAccepted")["message"], '"CronTabList" is already in use')
    equal(condition(now, "Established")["reason"], "NotAccepted")
    equal(clients[0].get(path("cronjobsagain")).code, 404)
    # With the first one gone, its names are free.
    drop(clients)
    for c in clients:
        wait_for(lambda: c.get(path("cronjobsagain")).code == 200, "the second to be served", 60)
    drop(clients, "cronjobsagain")


# ---- objects ----

def test_objects(clients):
    a, b, third = clients
    establish(clients, definition())
    made = created(a.post(path(), crontab("one", replicas=3, unknown=1, free={"any": {"thing": [1, 2.5]}}, suspend=None)))
    equal(made["spec"], {"cronSpec": "* * * * */5", "image": "busybox:1", "replicas": 3, "free": {"any": {"thing": [1, 2.5]}},
                         "suspend": None}, "pruned, defaulted")
    equal(made["metadata"]["generation"], 1)
    equal(b.get(path() + "/one").json, made, "a follower says the same")
    failed(b.post(path(), crontab("one")), 409, "AlreadyExists", 'crontabs.stable.example.com "one" already exists')
    equal(third.get(path() + "/none").code, 404)
    # Updates: generation counts what is not metadata; status is left alone.
    made["spec"]["replicas"] = 4
    made["status"] = {"phase": "sly"}
    changed = b.put(path() + "/one", made)
    equal(changed.code, 200, changed)
    equal(changed.json["metadata"]["generation"], 2)
    check("status" not in changed.json, changed)
    failed(a.put(path() + "/one", made), 409, "Conflict", "the object has been modified")
    labelled = a.patch(path() + "/one", {"metadata": {"labels": {"app": "x"}}}, "merge-patch").json
    equal(labelled["metadata"]["generation"], 2)
    status = dict(labelled, status={"replicas": 4, "phase": "Up", "selector": "app=x", "extra": 1}, spec={"cronSpec": "bad"})
    written = b.put(path() + "/one/status", status)
    equal(written.code, 200, written)
    equal(written.json["status"], {"phase": "Up", "replicas": 4, "selector": "app=x"})
    equal(written.json["spec"]["replicas"], 4)
    equal(written.json["metadata"]["generation"], 2)
    failed(b.patch(path() + "/one/status", {"status": {"phase": "much too long"}}, "merge-patch"), 422, "Invalid",
           "status.phase: Too long: may not be more than 10 bytes")
    # Patches.
    equal(third.patch(path() + "/one", [{"op": "replace", "path": "/spec/replicas", "value": 5}], "json-patch").json["spec"]["replicas"], 5)
    equal(third.patch(path() + "/one", {"spec": {"image": None, "policy": "Allow"}}, "merge-patch").json["spec"]["image"], "busybox:1")
    failed(third.patch(path() + "/one", {"spec": {}}, STRATEGIC), 415, "UnsupportedMediaType",
           "application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml")
    failed(a.patch(path() + "/one", {"kind": "X", "apiVersion": GROUP + "/v9"}, "merge-patch"), 422, "Invalid",
           'X.%s "one" is invalid: [kind: Invalid value: "X": must be CronTab, apiVersion: Invalid value: "%s/v9": must be %s/v1]' % (GROUP, GROUP, GROUP))
    # Selectors and tables.
    created(a.post(path(), crontab("two", image="nginx")))
    names = lambda c, q: [i["metadata"]["name"] for i in c.get(path() + q).json["items"]]
    equal(names(b, "?labelSelector=app%3Dx"), ["one"])
    equal(names(b, "?fieldSelector=metadata.name%3Dtwo"), ["two"])
    equal(names(b, "?fieldSelector=spec.image%3Dnginx"), ["two"])
    failed(b.get(path() + "?fieldSelector=spec.replicas%3D1"), 400, "BadRequest", "field label not supported: spec.replicas")
    items = b.get(path()).json
    equal((items["kind"], items["apiVersion"], items["items"][0]["kind"]), ("CronTabList", GROUP + "/v1", "CronTab"))
    table = b.get(path(), accept=TABLE).json
    equal([(c["name"], c["type"], c["priority"]) for c in table["columnDefinitions"]],
          [("Name", "string", 0), ("Spec", "string", 0), ("Replicas", "integer", 0), ("Image", "string", 1), ("Age", "date", 0)])
    equal([r["cells"][:4] for r in table["rows"]], [["one", "* * * * */5", 5, "busybox:1"], ["two", "* * * * */5", None, "nginx"]])
    partial = b.get(path() + "/one", accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io").json
    equal((partial["kind"], "spec" in partial), ("PartialObjectMetadata", False))
    equal(b.get("/apis/%s/v1/crontabs?limit=1" % GROUP).json["metadata"].get("continue", "") != "", True)
    # Media: YAML as JSON; protobuf for metadata only.
    check(b"cronSpec:" in b.get(path() + "/one", accept="application/yaml").body)
    answer = b.get(path() + "/one", accept=PROTOBUF)
    equal((answer.code, answer.headers["content-type"], answer.body[:4]), (406, PROTOBUF, b"k8s\0"), "told as it was asked")
    check(b"NotAcceptable" in answer.body, answer.body)
    equal(b.get(path() + "/one", accept=PROTOBUF + ",application/json").json["kind"], "CronTab")
    equal(b.get(path() + "/one", accept=PROTOBUF + ";as=PartialObjectMetadata;g=meta.k8s.io;v=v1").body[:4], b"k8s\0")
    failed(b.post(path(), b"k8s\0", content_type=PROTOBUF), 400, "BadRequest", "empty body")
    # Deletion, with and without finalizers.
    a.patch(path() + "/one", {"metadata": {"finalizers": ["example.com/wait"]}}, "merge-patch")
    check(b.delete(path() + "/one").json["metadata"]["deletionTimestamp"], "held")
    equal(a.patch(path() + "/one", {"metadata": {"finalizers": []}}, "merge-patch").code, 200)
    equal(b.get(path() + "/one").code, 404)
    gone = b.delete(path() + "/two").json
    equal((gone["status"], gone["details"]["kind"], gone["details"]["group"]), ("Success", "crontabs", GROUP))
    drop(clients)


def test_defaults_without_end(clients):
    """A long default for each item of a long list: refused, as it would not fit into any store."""
    c = clients[0]
    crd = definition("hoards", "Hoard", schema={"openAPIV3Schema": {"type": "object", "properties": {
        "spec": {"type": "object", "properties": {
            "cronSpec": {"type": "string"}, "list": {"type": "array", "items": {"type": "object", "properties": {
                "long": {"type": "string", "default": "x" * 500000}}}}}}}}})
    del crd["spec"]["versions"][0]["selectableFields"], crd["spec"]["versions"][0]["subresources"]
    establish(clients, crd)
    created(c.post(path("hoards"), crontab("one", "Hoard", list=[{}])))
    failed(c.post(path("hoards"), crontab("many", "Hoard", list=[{}] * 200000)), 400, "BadRequest",
           "defaults of its schema add more than 3145728 bytes")
    failed(c.patch(path("hoards") + "/one", {"spec": {"list": [{}] * 200000}}, kind="merge-patch"), 422, "Invalid",
           "defaults of its schema add more than 3145728 bytes")
    equal(len(c.get(path("hoards")).json["items"]), 1)
    drop(clients, "hoards")


def test_quota_counts_them(clients):
    a = clients[0]
    establish(clients, definition())
    created(a.post("/api/v1/namespaces", {"metadata": {"name": "counted"}}))
    quotas, name = "/api/v1/namespaces/counted/resourcequotas", "count/crontabs." + GROUP
    for n in ("1", "2"):
        created(a.post(path(ns="counted"), crontab("c" + n)))
        created(a.post(quotas, {"metadata": {"name": "q" + n}, "spec": {"hard": {name: "9", "count/others." + GROUP: "1"}}}))
        equal(a.get(quotas + "/q" + n).json["status"]["used"], {name: n, "count/others." + GROUP: "0"})
    drop(clients)


def test_scale(clients):
    a, b, _ = clients
    establish(clients, definition())
    created(a.post(path(), crontab("s", replicas=2)))
    b.patch(path() + "/s/status", {"status": {"replicas": 1, "selector": "app=s"}}, "merge-patch")
    scale = b.get(path() + "/s/scale").json
    equal((scale["kind"], scale["apiVersion"], scale["spec"], scale["status"]),
          ("Scale", "autoscaling/v1", {"replicas": 2}, {"replicas": 1, "selector": "app=s"}))
    equal(a.patch(path() + "/s/scale", {"spec": {"replicas": 7}}, "merge-patch").json["spec"]["replicas"], 7)
    equal(b.get(path() + "/s").json["spec"]["replicas"], 7)
    scale = a.get(path() + "/s/scale").json
    scale["spec"]["replicas"] = 11
    failed(a.put(path() + "/s/scale", scale), 422, "Invalid", "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10")
    applied = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "s"}, "spec": {"replicas": 8}}
    hpa = path() + "/s/scale?fieldManager=hpa&force=true"
    equal(a.request("PATCH", hpa, json.dumps(applied), content_type="application/apply-patch+yaml").json["spec"], {"replicas": 8})
    entries = b.get(path() + "/s").json["metadata"]["managedFields"]
    equal([(e["apiVersion"], e["subresource"], e["fieldsV1"]) for e in entries if e["manager"] == "hpa"],
          [(GROUP + "/v1", "scale", {"f:spec": {"f:replicas": {}}})])
    a.patch(path() + "/s", {"spec": {"replicas": None}}, "merge-patch")
    failed(a.get(path() + "/s/scale"), 500, "InternalError", 'the spec replicas field ".spec.replicas" does not exist')
    failed(a.patch(path() + "/s/scale", {}, "merge-patch"), 400, "BadRequest", 'the spec replicas field ".spec.replicas" cannot be empty')
    drop(clients)


def test_invalid_objects(clients):
    c = clients[1]
    establish(clients, definition())
    cases = [
        ({"cronSpec": "x"}, r"spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match"),
        ({"cronSpec": 5}, 'spec.cronSpec: Invalid value: "integer": spec.cronSpec in body must be of type string: "integer"'),
        ({"replicas": 11}, "spec.replicas: Invalid value: 11: spec.replicas in body should be less than or equal to 10"),
        ({"replicas": "3"}, 'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"'),
        ({"policy": "Deny"}, 'spec.policy: Unsupported value: "Deny": supported values: "Allow", "Forbid"'),
        ({"port": True}, 'spec.port: Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"'),
        ({"env": [{"name": "a"}, {"name": "a"}]}, 'spec.env[1]: Duplicate value: {"name":"a"}'),
        ({"env": [{}]}, "spec.env[0].name: Required value"),
    ]
    for spec, message in cases:
        failed(c.post(path(), crontab("bad", **spec)), 422, "Invalid", 'CronTab.stable.example.com "bad" is invalid', message.replace('\\"', '"'))
    failed(c.post(path(), dict(crontab("bad"), spec={})), 422, "Invalid", "spec.cronSpec: Required value")
    failed(c.post(path(), crontab("Bad_Name")), 422, "Invalid", "metadata.name: Invalid value")
    failed(c.post(path(), dict(crontab("bad"), kind="Other")), 400, "BadRequest", "does not match the expected API version")
    failed(c.post(path(), {"metadata": {"name": "x"}}), 400, "BadRequest", "Object 'Kind' is missing")
    failed(c.post(path() + "?fieldValidation=Strict", crontab("bad", nope=1, deep={"x": 1})), 400, "BadRequest",
           'strict decoding error: unknown field "spec.deep", unknown field "spec.nope"')
    warned = c.post(path() + "?fieldValidation=Warn&dryRun=All", crontab("bad", nope=1))
    equal(warned.code, 201, warned)
    check('unknown field \\"spec.nope\\"' in warned.headers.get("Warning", ""), warned.headers)
    equal(c.get(path() + "/bad").code, 404, "dry run")
    # What was wrong before and is not touched may stay; what is touched must be right.
    created(c.post(path(), crontab("old", replicas=9)))
    crd = c.get(CRDS + "/crontabs." + GROUP).json
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["replicas"]["maximum"] = 5
    equal(c.put(CRDS + "/crontabs." + GROUP, crd).code, 200)
    equal(c.patch(path() + "/old", {"spec": {"image": "x"}}, "merge-patch").code, 200, "ratcheting")
    failed(c.patch(path() + "/old", {"spec": {"replicas": 8}}, "merge-patch"), 422, "Invalid", "should be less than or equal to 5")
    drop(clients)


def test_versions(clients):
    a, b, third = clients
    crd = definition()
    second = copy.deepcopy(crd["spec"]["versions"][0])
    second.update(name="v1beta1", storage=False, deprecated=True)
    del second["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["policy"]
    crd["spec"]["versions"].append(second)
    crd["spec"]["versions"].append(dict(copy.deepcopy(second), name="v2", deprecated=False, served=False))
    establish(clients, crd)
    created(a.post(path(), crontab("v", policy="Allow")))
    old = b.get(path(version="v1beta1") + "/v")
    equal((old.json["apiVersion"], "policy" in old.json["spec"]), (GROUP + "/v1beta1", False))
    # Whoever uses a deprecated version is told so, whatever he does.
    at = path(version="v1beta1")
    warned = crontab("warned", version="v1beta1")
    apply = dict(content_type="application/apply-patch+yaml")
    for answer in (old, a.get(at), b.post(at, warned), third.put(at + "/warned", a.get(at + "/warned").json),
                   b.patch(at + "/warned", {"spec": {"replicas": 2}}, "merge-patch"),
                   a.patch(at + "/warned", [{"op": "add", "path": "/spec/image", "value": "x"}], "json-patch"),
                   b.request("PATCH", at + "/warned?fieldManager=x", warned, **apply),
                   b.request("PATCH", at + "/warned/status?fieldManager=x", warned, **apply),
                   a.patch(at + "/warned/status", {"status": {"phase": "Up"}}, "merge-patch"),
                   a.get(at + "/warned/scale"), a.delete(at + "/warned"), b.delete(at + "?fieldSelector=metadata.name%3Dnone")):
        check(answer.code < 300, answer)
        equal(answer.headers.get_all("Warning"), ['299 - "stable.example.com/v1beta1 CronTab is deprecated"'])
    equal(a.get(path() + "/v").headers.get("Warning"), None)
    equal(third.get(path(version="v2")).code, 404, "not served")
    made = created(b.post(path(version="v1beta1"), crontab("w", version="v1beta1")))
    equal(made["apiVersion"], GROUP + "/v1beta1")
    equal(a.get(path() + "/w").json["apiVersion"], GROUP + "/v1")
    equal([i["apiVersion"] for i in a.get(path(version="v1beta1")).json["items"]], [GROUP + "/v1beta1"] * 2)
    equal([v["version"] for v in a.get("/apis/" + GROUP).json["versions"]], ["v1", "v1beta1"])
    # Another storage version: both are remembered, and the first may not go.
    now = a.get(CRDS + "/crontabs." + GROUP).json
    for v in now["spec"]["versions"]:
        v["storage"] = v["name"] == "v1beta1"
    equal(a.put(CRDS + "/crontabs." + GROUP, now).json["status"]["storedVersions"], ["v1", "v1beta1"])
    equal(b.get(path() + "/v").json["spec"]["cronSpec"], "* * * * */5")
    now = a.get(CRDS + "/crontabs." + GROUP).json
    now["spec"]["versions"] = [v for v in now["spec"]["versions"] if v["name"] != "v1"]
    failed(a.put(CRDS + "/crontabs." + GROUP, now), 422, "Invalid", 'status.storedVersions[0]: Invalid value: "v1": missing from spec.versions')
    drop(clients)


def test_stored_versions_are_let_go(clients):
    """After a migration: the old version goes from the status by hand, then from the spec."""
    a, b, third = clients
    crd = definition()
    crd["spec"]["versions"].append(dict(copy.deepcopy(crd["spec"]["versions"][0]), name="v2", storage=False))
    crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] = [
        {"rule": "self.replicas <= 10", "message": "too many"}]
    establish(clients, crd)
    name = CRDS + "/crontabs." + GROUP
    kept = a.get(name).json["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    equal(kept["x-kubernetes-validations"], [{"rule": "self.replicas <= 10", "message": "too many"}], "rules are kept for later")
    created(a.post(path(), crontab("old")))
    now = a.get(name).json
    for v in now["spec"]["versions"]:
        v["storage"] = v["name"] == "v2"
    now = a.put(name, now).json
    equal(now["status"]["storedVersions"], ["v1", "v2"])
    equal(a.put(name, dict(now, status={"storedVersions": ["v2"]})).json["status"]["storedVersions"], ["v1", "v2"], "not by the object")
    equal(b.put(path(version="v2") + "/old", b.get(path(version="v2") + "/old").json).code, 200, "written again")
    now["status"]["storedVersions"] = ["v2"]
    equal(a.put(name + "/status", now).json["status"]["storedVersions"], ["v2"])
    now = a.get(name).json
    now["spec"]["versions"] = [v for v in now["spec"]["versions"] if v["name"] == "v2"]
    equal(a.put(name, now).code, 200)
    for c in clients:
        wait_for(lambda: c.get(path()).code == 404, "the old version to go", 60)
        equal(c.get(path(version="v2") + "/old").json["apiVersion"], GROUP + "/v2")
    drop(clients)


def test_forms_of_custom_objects(clients):
    """Lists and watches in every media type and form there is, by selectors of both kinds."""
    a, b, third = clients
    establish(clients, definition())
    wire = PROTOBUF + ";as=%s;v=v1;g=meta.k8s.io"
    for n, image in (("a", "x"), ("b", "y"), ("c", "y")):
        created(a.post(path(), crontab(n, image=image)))
    equal(b.get(path(), accept=PROTOBUF).code, 406, "there is no protobuf of them")
    equal(b.request("POST", path(), b"k8s\0x", content_type=PROTOBUF).code, 400)
    listed = b.get(path(), accept=wire % "PartialObjectMetadataList")
    equal((listed.code, listed.headers["content-type"], listed.body[:4]), (200, PROTOBUF, b"k8s\0"))
    check(b"PartialObjectMetadataList" in listed.body and b"busybox" not in listed.body)
    yaml = b.get(path(), accept="application/yaml").body
    check(b"kind: CronTabList" in yaml and b"image: y" in yaml, yaml)
    check(b"kind: Table" in b.get(path(), accept="application/yaml;as=Table;v=v1;g=meta.k8s.io").body)
    created(third.request("POST", path(), json.dumps(crontab("d", image="z")), content_type="application/yaml"))
    picked = path() + "?watch=1&timeoutSeconds=30&fieldSelector=spec.image%3Dy"
    with b.watch(picked, accept=TABLE) as table, b.watch(picked, accept="application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io") as meta, \
            b.watch(picked, accept=wire % "PartialObjectMetadata") as frames, b.watch(picked) as whole:
        cells = [[e["object"]["rows"][0]["cells"][0], "columnDefinitions" in e["object"] and bool(e["object"]["columnDefinitions"])]
                 for e in (table.next(), table.next())]
        equal(cells, [["b", True], ["c", False]], "columns come once")
        equal([meta.next()["object"]["kind"] for _ in "bc"], ["PartialObjectMetadata"] * 2)
        equal(frames.response.headers["content-type"], PROTOBUF + ";stream=watch")
        equal([b"PartialObjectMetadata" in frames.next_frame() for _ in "bc"], [True, True])
        equal([whole.next()["object"]["spec"]["image"] for _ in "bc"], ["y", "y"])
        # An object that leaves the selection is deleted for whoever watches it.
        equal(a.patch(path() + "/b", {"spec": {"image": "x"}}, "merge-patch").code, 200)
        for event in (meta.next(), whole.next()):
            equal((event["type"], event["object"]["metadata"]["name"]), ("DELETED", "b"))
        check(b"DELETED" in frames.next_frame())
        equal(table.next()["type"], "DELETED")
    gone = a.delete(path() + "?fieldSelector=spec.image%3Dx&labelSelector=!none").json
    equal([o["metadata"]["name"] for o in gone["items"]], ["a", "b"])
    equal([o["metadata"]["name"] for o in a.get(path()).json["items"]], ["c", "d"])
    equal(a.delete(path() + "?limit=1").code, 200)
    equal([o["metadata"]["name"] for o in a.get(path()).json["items"]], ["d"], "a limit bounds what is deleted")
    equal(a.delete(path()).code, 200)
    drop(clients)


def test_approval_of_protected_groups(clients):
    def protected(plural, kind, annotation):
        crd = definition(plural, kind)
        crd["spec"]["group"] = "crd-test.k8s.io"
        crd["metadata"] = {"name": plural + ".crd-test.k8s.io", "annotations": {"api-approved.kubernetes.io": annotation} if annotation else {}}
        return crd

    failed(clients[0].post(CRDS, protected("firsts", "First", None)), 422, "Invalid", "metadata.annotations[api-approved.kubernetes.io]: Required value: "
           'protected groups must have approval annotation "api-approved.kubernetes.io", see https://github.com/kubernetes/enhancements/pull/1111')
    failed(clients[0].post(CRDS, protected("firsts", "First", "yes")), 422, "Invalid", 'Invalid value: "yes": protected groups must have approval annotation')
    pull = "https://github.com/kubernetes/kubernetes/pull/78458"
    for plural, annotation, status, reason, message in (
            ("firsts", pull, "True", "ApprovedAnnotation", "approved in " + pull),
            ("seconds", "unapproved, a test", "False", "UnapprovedAnnotation", 'not approved: "unapproved, a test"')):
        created(clients[0].post(CRDS, protected(plural, plural[:-1].capitalize(), annotation)))
        name = CRDS + "/%s.crd-test.k8s.io" % plural
        kind = "KubernetesAPIApprovalPolicyConformant"
        wait_for(lambda: condition(clients[1].get(name).json, kind), "the condition", 60)
        now = condition(clients[1].get(name).json, kind)
        equal((now["status"], now["reason"], now["message"]), (status, reason, message))
        equal(clients[0].delete(name).code, 200)
        wait_for(lambda: clients[0].get(name).code == 404, "the definition to go", 60)


def test_watches_and_removal(clients):
    a, b, third = clients
    establish(clients, definition())
    created(a.post(path(), crontab("first")))
    rv = b.get(path()).json["metadata"]["resourceVersion"]
    with third.watch(path() + "?watch=1&resourceVersion=" + rv) as w:
        created(a.post(path(), crontab("held", replicas=1)))
        event = w.next()
        equal((event["type"], event["object"]["metadata"]["name"]), ("ADDED", "held"))
        a.patch(path() + "/held", {"metadata": {"finalizers": ["example.com/hold"]}}, "merge-patch")
        equal(w.next()["type"], "MODIFIED")
        gone = b.delete(CRDS + "/crontabs." + GROUP).json
        equal(gone["metadata"]["finalizers"], ["customresourcecleanup.apiextensions.k8s.io"])
        equal(condition(gone, "Terminating")["reason"], "InstanceDeletionPending")
        seen = {(e["type"], e["object"]["metadata"]["name"]) for e in (w.next(), w.next())}
        equal(seen, {("DELETED", "first"), ("MODIFIED", "held")})
        failed(third.post(path(), crontab("late")), 403, "Forbidden", "create not allowed while custom resource definition is terminating")
        check(third.get(CRDS + "/crontabs." + GROUP).code == 200, "a finalizer holds the object, and it the definition")
        equal(third.patch(path() + "/held", {"metadata": {"finalizers": []}}, "merge-patch").code, 200)
        equal(w.next()["type"], "DELETED")
        equal(w.next(), None, "the watch ends")
    for c in clients:
        wait_for(lambda: c.get(CRDS + "/crontabs." + GROUP).code == 404, "the definition to go", 60)
        equal(c.get(path()).code, 404)
        equal(c.post(path(), crontab("x")).code, 404)


def test_cluster_scope_and_recreation(clients):
    crd = definition("globs", "Glob", subresources={}, schema={"openAPIV3Schema": {
        "type": "object", "x-kubernetes-preserve-unknown-fields": True}}, selectableFields=[], additionalPrinterColumns=[])
    crd["spec"]["scope"] = "Cluster"
    where = "/apis/%s/v1/globs" % GROUP
    for i in range(2):
        establish(clients, crd)
        equal(clients[1].get(where).json["items"], [], "nothing is left of the last one")
        made = created(clients[i].post(where, {"apiVersion": GROUP + "/v1", "kind": "Glob", "metadata": {"name": "g", "namespace": ""}, "status": {"a": 1}, "x": [None, {"y": "ü<"}]}))
        equal((made["x"], made["status"]), ([None, {"y": "ü<"}], {"a": 1}))
        made["status"]["a"] = 2
        equal(clients[2].put(where + "/g", made).json["metadata"]["generation"], 2, "without a status subresource it counts")
        equal([c["name"] for c in clients[0].get(where, accept=TABLE).json["columnDefinitions"]], ["Name", "Age"])
        equal(clients[0].delete(where).code, 200)
        wait_for(lambda: clients[2].get(where + "/g").code == 404, "the collection to go", 60)
        created(clients[0].post(where, {"apiVersion": GROUP + "/v1", "kind": "Glob", "metadata": {"name": "left"}}))
        drop(clients, "globs")


# ---- kubectl ----

class Kubectl:
    def __init__(self, binary, member, directory):
        self.binary, self.dir = binary, directory
        p = member.pki.path
        data = lambda name: base64.b64encode(open(p(name), "rb").read()).decode()
        self.config = os.path.join(directory, "config")
        with open(self.config, "w") as f:
            json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "x",
                       "clusters": [{"name": "x", "cluster": {"server": "https://127.0.0.1:%d" % member.port, "certificate-authority-data": data("ca.crt")}}],
                       "users": [{"name": "x", "user": {"client-certificate-data": data("admin.crt"), "client-key-data": data("admin.key")}}],
                       "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}]}, f)

    def __call__(self, *args, data=None, ok=True):
        env = dict(os.environ, KUBECONFIG=self.config, HOME=self.dir)
        r = subprocess.run([self.binary, *args], input=data, env=env, capture_output=True, text=True, timeout=120)
        check((r.returncode == 0) == ok, args, r.stdout, r.stderr)
        return r.stdout if ok else r.stderr


def tour(k, clients):
    crd = json.dumps(definition())
    equal(k("apply", "-f", "-", data=crd), "customresourcedefinition.apiextensions.k8s.io/crontabs.%s created\n" % GROUP)
    k("wait", "--for=condition=established", "crd/crontabs." + GROUP, "--timeout=20s")
    equal(k("apply", "-f", "-", data=json.dumps(crontab("one", replicas=2))), "crontab.stable.example.com/one created\n")
    lines = [line.split() for line in k("get", "cr").splitlines()]
    equal(lines[0], ["NAME", "SPEC", "REPLICAS", "AGE"])
    equal(lines[1][0], "one")
    check("IMAGE" in k("get", "crontab", "-o", "wide"))
    check("crontab.stable.example.com/one" in k("get", "all"), "category")
    check("crontabs" in k("api-resources", "--api-group=" + GROUP))
    equal(k("get", "ct", ok=False).strip(), 'error: the server doesn\'t have a resource type "ct"')
    equal(k("scale", "crontab/one", "--replicas=4"), "crontab.stable.example.com/one scaled\n")
    equal(k("get", "crontabs.v1." + GROUP, "one", "-o", "jsonpath={.spec.replicas}"), "4")
    equal(k("patch", "crontab", "one", "--type=merge", "-p", '{"spec":{"policy":"Forbid"}}'), "crontab.stable.example.com/one patched\n")
    check("status.phase" in k("patch", "crontab", "one", "--type=merge", "--subresource=status", "-p", '{"status":{"phase":"far too long"}}', ok=False))
    k("patch", "crontab", "one", "--type=merge", "--subresource=status", "-p", '{"status":{"phase":"Up"}}')
    equal(k("get", "crontab", "one", "-o", "jsonpath={.status.phase}"), "Up")
    equal(k("label", "crontab", "one", "app=x"), "crontab.stable.example.com/one labeled\n")
    check("Spec:" in k("describe", "crontab", "one") and "Cron Spec:" in k("describe", "crontab", "one"))
    check("spec.replicas: Invalid value: 50" in k("apply", "-f", "-", data=json.dumps(crontab("one", replicas=50)), ok=False))
    check('unknown field "spec.oops"' in k("create", "-f", "-", data=json.dumps(crontab("two", oops=1)), ok=False))
    equal(k("apply", "-f", "-", data=json.dumps(crontab("one", replicas=5))), "crontab.stable.example.com/one configured\n")
    equal(k("delete", "crontab", "one").split()[0], "crontab.stable.example.com")
    k("apply", "-f", "-", data=json.dumps(crontab("last")))
    k("delete", "crd", "crontabs." + GROUP, "--timeout=30s")
    for c in clients:
        equal(c.get(path()).code, 404)


# A definition with what those in use have: rules that wait for their evaluation, columns of every type, selectable
# fields of every type, list and map types, defaults, an older version that is deprecated.
THINGS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.stable.example.com, annotations: {controller-gen.kubebuilder.io/version: v0.17.0}}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: things, singular: thing, kind: Thing, listKind: ThingList, shortNames: [th]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources: {status: {}}
    selectableFields: [{jsonPath: .spec.color}, {jsonPath: .spec.size}, {jsonPath: .spec.ready}]
    additionalPrinterColumns:
    - {name: Str, type: string, jsonPath: .spec.color}
    - {name: Int, type: integer, format: int64, jsonPath: .spec.size}
    - {name: Num, type: number, jsonPath: .spec.ratio}
    - {name: Bool, type: boolean, jsonPath: .spec.ready}
    - {name: Date, type: date, jsonPath: .spec.born}
    - {name: Wide, type: string, priority: 1, description: Not always., jsonPath: .spec.color}
    - {name: First, type: string, jsonPath: '.spec.items[*].name'}
    - {name: Found, type: string, jsonPath: '.spec.items[?(@.name=="b")].value'}
    - {name: Map, type: string, jsonPath: .spec.map}
    - {name: Other, type: integer, jsonPath: .spec.color}
    schema:
      openAPIV3Schema:
        type: object
        required: [spec]
        properties:
          spec:
            type: object
            x-kubernetes-validations:
            - {rule: self.size <= 10, message: too big, reason: FieldValueInvalid, fieldPath: .size, optionalOldSelf: true}
            - {rule: self.size > 0, messageExpression: "'not ' + string(self.size)"}
            properties:
              color: {type: string, enum: [red, green], default: red, x-kubernetes-validations: [{rule: self == oldSelf}]}
              size: {type: integer, format: int32, minimum: 0}
              ratio: {type: number}
              ready: {type: boolean}
              born: {type: string, format: date-time}
              map: {type: object, x-kubernetes-map-type: atomic, additionalProperties: {type: string}}
              items:
                type: array
                x-kubernetes-list-type: map
                x-kubernetes-list-map-keys: [name]
                items: {type: object, required: [name], properties: {name: {type: string}, value: {x-kubernetes-int-or-string: true}}}
              kinds: {type: array, x-kubernetes-list-type: set, items: {type: string}}
              raw: {type: object, x-kubernetes-preserve-unknown-fields: true}
              pod: {type: object, x-kubernetes-embedded-resource: true, x-kubernetes-preserve-unknown-fields: true}
          status: {type: object, x-kubernetes-preserve-unknown-fields: true}
  - name: v1beta1
    served: true
    storage: false
    deprecated: true
    deprecationWarning: things of yesterday
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
TWO_THINGS = """
apiVersion: stable.example.com/v1
kind: Thing
metadata: {name: one}
spec: {size: 11, ratio: 1.5, ready: true, born: "2026-01-01T00:00:00Z", map: {a: b}, kinds: [u, v], raw: {z: 1},
       items: [{name: a, value: 3}, {name: b, value: x}], pod: {apiVersion: v1, kind: Pod, metadata: {name: p}}}
---
apiVersion: stable.example.com/v1
kind: Thing
metadata: {name: two}
spec: {size: 2, color: green, ready: false}
"""


def tour_of_things(k, clients):
    name = "customresourcedefinition.apiextensions.k8s.io/things." + GROUP
    equal(k("apply", "-f", "-", data=THINGS), name + " created\n")
    k("wait", "--for=condition=established", "crd/things." + GROUP, "--timeout=60s")
    equal(k("apply", "-f", "-", data=THINGS), name + " unchanged\n")
    equal(k("apply", "--server-side", "--force-conflicts", "-f", "-", data=THINGS), name + " serverside-applied\n")
    spec = clients[1].get(CRDS + "/things." + GROUP).json["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    equal(spec["x-kubernetes-validations"], [
        {"rule": "self.size <= 10", "message": "too big", "reason": "FieldValueInvalid", "fieldPath": ".size", "optionalOldSelf": True},
        {"rule": "self.size > 0", "messageExpression": "'not ' + string(self.size)"}], "rules are kept")
    made = "thing.stable.example.com/one %s\nthing.stable.example.com/two %s\n"
    equal(k("apply", "-f", "-", data=TWO_THINGS), made % ("created", "created"), "and not evaluated yet")
    equal(k("apply", "-f", "-", data=TWO_THINGS), made % ("unchanged", "unchanged"))
    equal(k("apply", "--server-side", "-f", "-", data=TWO_THINGS), made % (("serverside-applied",) * 2))
    lines = [line.split() for line in k("get", "th", "-o", "wide").splitlines()]
    equal(lines[0], ["NAME", "STR", "INT", "NUM", "BOOL", "DATE", "WIDE", "FIRST", "FOUND", "MAP", "OTHER"])
    equal((lines[1][:5], lines[1][6:]), (["one", "red", "11", "1.5", "true"], ["red", "a", "x", '{"a":"b"}']))
    equal(lines[2], ["two", "green", "2", "false", "green"])
    for selector, want in (("spec.color=green", ["two"]), ("spec.size=11", ["one"]), ("spec.ready=false", ["two"]), ("spec.color!=green", ["one"]),
                           ("spec.color=red,spec.size=2", []), ("metadata.name=two", ["two"])):
        equal(k("get", "th", "--field-selector", selector, "-o", "name").split(), ["thing.stable.example.com/" + w for w in want], selector)
    check("field label not supported: spec.ratio" in k("get", "th", "--field-selector", "spec.ratio=1.5", ok=False))
    equal(k("get", "things.v1beta1." + GROUP, "two", "-o", "jsonpath={.apiVersion} {.spec.color}"), "stable.example.com/v1beta1 green")
    check("born" in k("explain", "things.spec", "--api-version=" + GROUP + "/v1"))
    with clients[2].watch(path("things") + "?watch=1&fieldSelector=spec.color%3Dgreen") as w:
        equal((lambda e: (e["type"], e["object"]["metadata"]["name"]))(w.next()), ("ADDED", "two"))
        for color, what in (("green", "ADDED"), ("red", "DELETED")):
            k("patch", "thing", "one", "--type=merge", "-p", '{"spec":{"color":"%s"}}' % color)
            equal((lambda e: (e["type"], e["object"]["metadata"]["name"]))(w.next()), (what, "one"))
    k("delete", "crd", "things." + GROUP, "--timeout=60s")


def main():
    binary, kubectls = sys.argv[1], sys.argv[2:]
    fetched = [os.path.join(os.environ.get("C8S_KUBECTL_DIR", "/var/cache/c8s-test-clients"), "v%d" % minor, "kubectl/kubectl") for minor in (29, 35)]
    older = [k.replace("/v29/", "/v22/") for k in fetched[:1]]
    kubectls = kubectls or [k for k in older + fetched if os.access(k, os.X_OK)]
    cluster = Cluster(binary, 3)
    tests = [(n, f) for n, f in sorted(globals().items()) if n.startswith("test_")]
    bad = 0
    try:
        cluster.start()
        clients = [m.client() for m in sorted(cluster.members, key=leads)]  # the first does not lead
        for i, kubectl in enumerate(kubectls):
            def run(clients, kubectl=kubectl, member=cluster.members[i % 3]):
                with tempfile.TemporaryDirectory(prefix="c8s-crd-") as d:
                    if kubectl not in older: # they cannot patch a status
                        tour(Kubectl(kubectl, member, d), clients)
                    tour_of_things(Kubectl(kubectl, member, d), clients)
            tests.append((kubectl, run))
        for name, run in tests:
            began = time.monotonic()
            try:
                run(clients)
                print("ok   %-45s %.2f s" % (name, time.monotonic() - began), flush=True)
            except Exception:
                bad += 1
                print("FAIL %s" % name)
                traceback.print_exc()
                sys.stdout.flush()
        codes = [m.stop() for m in cluster.members]
        if any(codes):
            bad += 1
            print("FAIL exit codes", codes, cluster.members[0].log_tail())
    finally:
        cluster.remove()
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
