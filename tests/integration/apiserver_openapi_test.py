#!/usr/bin/env python3
"""OpenAPI v2 and v3 of a real server: forms, entity tags, references, and what kubectl makes of them.

    apiserver_openapi_test.py BINARY [KUBECTL…]     each KUBECTL is asked to explain and to validate; without
                                                    any, those that tests/e2e/get-kubectl.sh has fetched

The protobuf form of v2 is decoded here by the field numbers of gnostic's OpenAPIv2.proto and must say
what the JSON form says.
"""
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
import time

from apiserver_lib import Server, fetched_kubectls, run_tests
from apiserver_test import wait_for

PB_OLD = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PB = "application/com.github.proto-openapi.spec.v2.v1+protobuf"


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, want, *what):
    check(got == want, *what, "got", repr(got)[:2000], "want", repr(want)[:2000])


# ---- gnostic's messages: field number → (JSON name, what it holds) ----

ANY, MANY_ANY, STRING, STRINGS, BOOL, INT, NUMBER = "any", "anys", "string", "strings", "bool", "int", "number"
SCHEMA = {1: ("$ref", STRING), 2: ("format", STRING), 3: ("title", STRING), 4: ("description", STRING), 5: ("default", ANY),
          7: ("maximum", NUMBER), 9: ("minimum", NUMBER), 11: ("maxLength", INT), 12: ("minLength", INT), 13: ("pattern", STRING),
          14: ("maxItems", INT), 15: ("minItems", INT), 16: ("uniqueItems", BOOL), 19: ("required", STRINGS),
          20: ("enum", MANY_ANY), 21: ("additionalProperties", "schema-or-bool"), 22: ("type", "type"), 23: ("items", "item"),
          24: ("allOf", "schemas"), 25: ("properties", "properties"), 31: (None, "named any")}
PATH = {2: ("get", "operation"), 3: ("put", "operation"), 4: ("post", "operation"), 5: ("delete", "operation"),
        6: ("options", "operation"), 7: ("head", "operation"), 8: ("patch", "operation"), 9: ("parameters", "parameters")}
OPERATION = {1: ("tags", STRINGS), 3: ("description", STRING), 5: ("operationId", STRING), 6: ("produces", STRINGS),
             7: ("consumes", STRINGS), 8: ("parameters", "parameters"), 9: ("responses", "responses"), 10: ("schemes", STRINGS),
             13: (None, "named any")}
RESPONSE = {1: ("description", STRING), 2: ("schema", "item")}
BODY = {1: ("description", STRING), 2: ("name", STRING), 3: ("in", STRING), 4: ("required", BOOL), 5: ("schema", "schema")}
QUERY = {1: ("required", BOOL), 2: ("in", STRING), 3: ("description", STRING), 4: ("name", STRING), 6: ("type", STRING),
         20: ("uniqueItems", BOOL)}
IN_PATH = {1: ("required", BOOL), 2: ("in", STRING), 3: ("description", STRING), 4: ("name", STRING), 5: ("type", STRING),
           19: ("uniqueItems", BOOL)}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 2:
            n, at = varint(data, at)
            check(at + n <= len(data), "a field longer than its message")
            yield key >> 3, data[at:at + n]
            at += n
        elif key & 7 == 0:
            value, at = varint(data, at)
            yield key >> 3, value
        else:
            equal(key & 7, 1, "wire type")
            yield key >> 3, struct.unpack("<d", data[at:at + 8])[0]
            at += 8


def one(data, number):
    return dict(fields(data))[number]


def named(data):
    d = dict(fields(data))
    return d[1].decode(), d.get(2, b"")


def any_value(data):
    return json.loads(one(data, 2))


def value_of(kind, v):
    if kind == STRING:
        return v.decode()
    if kind == BOOL:
        return bool(v)
    if kind in (INT, NUMBER):
        return v
    if kind == ANY:
        return any_value(v)
    if kind == "schema":
        return message(SCHEMA, v)
    if kind == "item":
        return message(SCHEMA, one(v, 1))
    if kind == "type":
        return one(v, 1).decode()
    if kind == "schema-or-bool":
        return message(SCHEMA, one(v, 1)) if 1 in dict(fields(v)) else bool(one(v, 2))
    if kind == "properties":
        return {n: message(SCHEMA, s) for n, s in (named(e) for _, e in fields(v))}
    if kind == "operation":
        return message(OPERATION, v)
    equal(kind, "responses")
    return {n: message(RESPONSE, one(r, 1)) for n, r in (named(e) for _, e in fields(v))}


def parameter(data):
    number, v = next(iter(fields(data)))
    if number == 1:
        return message(BODY, v)
    number, v = next(iter(fields(v)))
    return message({3: QUERY, 4: IN_PATH}[number], v)


def parameter_item(data):
    number, v = next(iter(fields(data)))
    return parameter(v) if number == 1 else {"$ref": one(v, 1).decode()}


LISTS = {STRINGS: bytes.decode, MANY_ANY: any_value, "schemas": lambda v: message(SCHEMA, v), "parameters": parameter_item}


def message(table, data):
    out = {}
    for number, v in fields(data):
        name, kind = table[number]
        if kind == "named any":
            name, inner = named(v)
            out[name] = any_value(inner)
        elif kind in LISTS:
            out.setdefault(name, []).append(LISTS[kind](v))
        else:
            out[name] = value_of(kind, v)
    return out


def document(data):
    out = {}
    for number, v in fields(data):
        if number == 1:
            out["swagger"] = v.decode()
        elif number == 2:
            out["info"] = {{1: "title", 2: "version"}[n]: s.decode() for n, s in fields(v)}
        elif number == 8:
            out["paths"] = {n: message(PATH, p) for n, p in (named(e) for _, e in fields(v))}
        elif number == 9:
            out["definitions"] = {n: message(SCHEMA, s) for n, s in (named(e) for _, e in fields(v))}
        elif number == 10:
            out["parameters"] = {n: parameter(p) for n, p in (named(e) for _, e in fields(v))}
    return out


# ---- tests ----

def resolve(root, node, where="#"):
    """Every $ref leads somewhere."""
    count = 0
    if isinstance(node, dict):
        ref = node.get("$ref")
        if isinstance(ref, str):
            target = root
            for part in ref[2:].split("/"):
                check(part in target, where, "refers to", ref)
                target = target[part]
            count += 1
        for key, value in node.items():
            count += resolve(root, value, where + "/" + key)
    elif isinstance(node, list):
        for value in node:
            count += resolve(root, value, where)
    return count


def test_v2_json(c, _):
    a = c.get("/openapi/v2")
    equal((a.code, a.headers["content-type"]), (200, "application/json"))
    doc = a.json
    check(resolve(doc, doc) > 5000)
    again = c.get("/openapi/v2", headers={"If-None-Match": a.headers["etag"]})
    equal((again.code, again.body), (304, b""))
    equal(c.get("/openapi/v2", headers={"If-None-Match": '"other", W/' + a.headers["etag"]}).code, 304)
    equal(c.get("/openapi/v2", headers={"If-None-Match": '"other"'}).code, 200)
    zipped = c.get("/openapi/v2", headers={"Accept-Encoding": "deflate, gzip;q=0.5"})
    equal(zipped.headers["content-encoding"], "gzip")
    equal(gzip.decompress(zipped.body), a.body)
    equal(c.get("/openapi/v2", headers={"Accept-Encoding": "gzip;q=0"}).headers["content-encoding"], None)
    equal(c.get("/openapi/v2", accept="text/html").code, 406)
    equal(c.get("/openapi/v2", accept="text/html,*/*;q=0.1").json, doc)


def test_v2_protobuf_says_what_json_says(c, _):
    want = c.get("/openapi/v2").json
    for accept in (PB_OLD, PB, "application/json;q=0.4," + PB):
        a = c.get("/openapi/v2", accept=accept)
        equal((a.code, a.headers["content-type"]), (200, PB), accept)
    got = document(a.body)
    for part in ("swagger", "info", "parameters"):
        equal(got[part], want[part], part)
    for part in ("paths", "definitions"):
        equal(set(got[part]), set(want[part]), part)
        for name in want[part]:
            equal(got[part][name], want[part][name], name)


def test_v3_documents(c, _):
    index = c.get("/openapi/v3")
    paths = index.json["paths"]
    check({"api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version", "openid/v1/jwks"} <= set(paths), sorted(paths))
    equal(c.get("/openapi/v3", headers={"If-None-Match": index.headers["etag"]}).code, 304)
    kinds, ids = set(), set()
    for path, entry in paths.items():
        url = entry["serverRelativeURL"]
        check(url.startswith("/openapi/v3/" + path + "?hash="), url)
        a = c.get(url)
        equal((a.code, a.headers["content-type"]), (200, "application/json"), url)
        check("immutable" in a.headers["cache-control"] and a.headers["expires"], a.headers)
        equal(a.headers["etag"], '"%s"' % url.split("=")[1], "the hash is the tag")
        doc = a.json
        equal(doc["openapi"], "3.0.0")
        resolve(doc, doc)
        for schema in doc["components"]["schemas"].values():
            for kind in schema.get("x-kubernetes-group-version-kind", []):
                kinds.add((kind["group"], kind["version"], kind["kind"]))
        for item in doc["paths"].values():
            for method, operation in item.items():
                if method != "parameters":
                    check(operation["operationId"] not in ids, operation["operationId"])
                    ids.add(operation["operationId"])
    check({("", "v1", "Pod"), ("apps", "v1", "Deployment"), ("autoscaling", "v2", "HorizontalPodAutoscaler")} <= kinds)
    v2 = c.get("/openapi/v2").json
    equal(ids, {o["operationId"] for p in v2["paths"].values() for m, o in p.items() if m != "parameters"}, "v2 and v3")
    plain = c.get("/openapi/v3/apis/apps/v1")
    check("immutable" not in plain.headers["cache-control"], plain.headers)
    old = c.get("/openapi/v3/apis/apps/v1?hash=OLD")
    equal((old.code, old.headers["location"]), (301, paths["apis/apps/v1"]["serverRelativeURL"]))
    equal(c.get("/openapi/v3/apis/nope/v1").code, 404)
    equal(c.get("/openapi/v3/v2").code, 404)
    equal(c.get("/openapi/v3/api/v1", accept="application/com.github.proto-openapi.spec.v3@v1.0+protobuf").code, 406)


def resident(server):
    with open("/proc/%d/status" % server.process.pid) as f:
        return int([line for line in f if line.startswith("RssAnon")][0].split()[1])


def test_documents_are_small(c, server):
    """With every document made and sent in both codings, the server is hardly larger than before. (Runs first, by its name.)"""
    with open("/proc/%d/maps" % server.process.pid) as f:
        if "libasan" in f.read():
            return # sanitizers multiply memory
    before = resident(server)
    for coding in ("gzip", "identity"):
        h = {"Accept-Encoding": coding}
        c.get("/openapi/v2", headers=h)
        c.get("/openapi/v2", accept=PB, headers=h)
        for entry in c.get("/openapi/v3").json["paths"].values():
            c.get(entry["serverRelativeURL"], headers=h)
    after = resident(server)
    print("     %d KiB resident, %d after all documents" % (before, after))
    check(after - before < 4 << 10, before, after, "KiB")


def test_slow_reader_of_a_plain_document(c, server):
    """It is expanded as it is taken; who leaves in the middle harms nobody."""
    want = c.get("/openapi/v2")
    equal(int(want.headers["content-length"]), len(want.body))
    leavers = []
    for _ in range(5):
        leaver = c.connect()
        leaver.request("GET", "/openapi/v2")
        equal(leaver.getresponse().read(1000), want.body[:1000])
        leavers.append(leaver)
    slow = c.connect()
    slow.request("GET", "/openapi/v2")
    answer = slow.getresponse()
    got = answer.read(100000)
    for leaver in leavers:
        leaver.close()
    time.sleep(0.1)
    while True:
        piece = answer.read(200000)
        if not piece:
            break
        got += piece
    equal(got == want.body, True, len(got), len(want.body))
    slow.close()
    equal(c.request("HEAD", "/openapi/v2").code, 200)


CRD = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "trams.openapi.example.com"},
       "spec": {"group": "openapi.example.com", "scope": "Namespaced", "names": {"plural": "trams", "kind": "Tram"}, "versions": [
           {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
               "spec": {"type": "object", "properties": {"line": {"type": "string", "description": "Where it goes."}}}}}}}]}}


def test_new_custom_resource_is_in_every_document(c, _):
    """Soon, and gone after its end."""
    crds, kind = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", "com.example.openapi.v1.Tram"
    where = "apis/openapi.example.com/v1"
    before = c.get("/openapi/v3").json["paths"]
    tags = [c.get("/openapi/v2").headers["etag"], c.get("/openapi/v3").headers["etag"]]

    def line(doc):
        return doc["properties"]["spec"]["properties"]["line"]["description"]

    def present():
        v3 = c.get("/openapi/v3").json["paths"]
        if where not in v3 or kind not in c.get("/openapi/v2").json["definitions"]:
            return False
        equal(line(c.get("/openapi/v2").json["definitions"][kind]), "Where it goes.")
        equal(line(document(c.get("/openapi/v2", accept=PB).body)["definitions"][kind]), "Where it goes.")
        doc = c.get(v3[where]["serverRelativeURL"]).json
        equal(line(doc["components"]["schemas"][kind]), "Where it goes.")
        check("/apis/openapi.example.com/v1/namespaces/{namespace}/trams/{name}" in doc["paths"], sorted(doc["paths"]))
        equal({k: v for k, v in v3.items() if "openapi.example.com" not in k}, before, "the others' hashes")
        return True

    def soon(what, condition):
        began = time.monotonic()
        while not condition():
            check(time.monotonic() < began + 10, what)
            time.sleep(0.02)
        print("     %s after %.3f s" % (what, time.monotonic() - began))

    equal(c.post(crds, CRD).code, 201)
    soon("in every document", present)
    equal(c.get("/openapi/v2", headers={"If-None-Match": tags[0]}).code, 200, "v2 has another tag")
    equal(c.get("/openapi/v3", headers={"If-None-Match": tags[1]}).code, 200, "the index has another tag")
    stale = c.get("/openapi/v3").json["paths"][where]["serverRelativeURL"]
    changed = c.get(crds + "/trams.openapi.example.com").json
    changed["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["line"]["description"] = "Whence."
    equal(c.put(crds + "/trams.openapi.example.com", changed).code, 200)
    soon("the change", lambda: line(c.get("/openapi/v3/" + where).json["components"]["schemas"][kind]) == "Whence.")
    equal(c.get(stale).code, 301, "the old hash leads to the new one")
    equal(c.delete(crds + "/trams.openapi.example.com").code, 200)
    soon("gone", lambda: where not in c.get("/openapi/v3").json["paths"] and kind not in c.get("/openapi/v2").json["definitions"])
    equal(c.get("/openapi/v3").json["paths"], before)
    equal(c.get("/openapi/v2").headers["etag"], tags[0])


def test_new_custom_resources_are_there_within_a_second(c, _):
    """Served, and in OpenAPI v2 and v3: of several definitions one at least, since a machine may stand still."""
    crds, taken = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", []
    for i in range(10):
        group = "soon%d.example.com" % i
        crd = json.loads(json.dumps(CRD).replace("openapi.example.com", group))
        equal(c.post(crds, crd).code, 201)
        began, where = time.monotonic(), "apis/" + group + "/v1"
        wait_for(lambda: c.get("/" + where + "/trams").code == 200, "it to be served", 60)
        wait_for(lambda: where in c.get("/openapi/v3").json["paths"], "v3 to have it", 60)
        wait_for(lambda: ("com.example.soon%d.v1.Tram" % i) in c.get("/openapi/v2").json["definitions"], "v2 to have it", 60)
        taken.append(time.monotonic() - began)
        equal(c.delete(crds + "/trams." + group).code, 200)
        wait_for(lambda: where not in c.get("/openapi/v3").json["paths"], "v3 to be without it", 60)  # other tests compare documents
        if min(taken) < 1:
            break
    print("     after %s s" % ", ".join("%.3f" % t for t in taken))
    check(min(taken) < 1, taken)


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": {
    "selector": {"matchLabels": {"a": "b"}}, "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [
        {"name": "c", "image": "x", "readinessProbe": {"httpGet": {"port": "http"}},
         "resources": {"requests": {"cpu": 1, "memory": "1Gi"}}}]}}}}


def kubectl_tests(server, kubectl, directory):
    pki = server.pki.path
    config = os.path.join(directory, "config")
    with open(config, "w") as f:
        json.dump({"apiVersion": "v1", "kind": "Config", "current-context": "c",
                   "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:%d" % server.port,
                                                          "certificate-authority": pki("ca.crt")}}],
                   "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                   "users": [{"name": "u", "user": {"client-certificate": pki("admin.crt"), "client-key": pki("admin.key")}}]}, f)

    def run(*args, ok=True, data=None):
        r = subprocess.run([kubectl, "--kubeconfig", config, *args], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           input=data, timeout=120, env=dict(os.environ, HOME=directory), text=True)
        equal(r.returncode == 0, ok, args, r.stdout)
        return r.stdout

    for kind in ("pods", "deployments", "ingresses", "customresourcedefinitions", "horizontalpodautoscalers", "cronjobs"):
        text = run("explain", kind, "--recursive")
        check("metadata" in text and "spec" in text, text[:500])
    text = run("explain", "pod.spec.containers.livenessProbe.httpGet")
    for word in ("port", "scheme", "-required-"):
        check(word in text, word, text)
    check("minReplicas" in run("explain", "hpa.spec", "--api-version=autoscaling/v1"))
    good, bad = json.loads(json.dumps(DEPLOYMENT)), json.loads(json.dumps(DEPLOYMENT))
    bad["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    run("apply", "--validate=true", "-f", "-", data=json.dumps(good))
    check("imagee" in run("apply", "--validate=true", "-f", "-", ok=False, data=json.dumps(bad)))
    run("delete", "deployment", "web", "--wait=false")


def main():
    binary, kubectls = sys.argv[1], sys.argv[2:] or fetched_kubectls()[-1 if os.environ.get("C8S_THROUGH") else None:]
    server = Server(binary)
    with tempfile.TemporaryDirectory() as directory:
        def by_kubectl():
            tests = []
            for i, path in enumerate(kubectls):
                home = os.path.join(directory, str(i))
                os.mkdir(home)
                tests.append((path, lambda c, s, path=path, home=home: kubectl_tests(s, path, home)))
            return tests
        return run_tests(server, globals(), [], by_kubectl)


if __name__ == "__main__":
    sys.exit(main())
