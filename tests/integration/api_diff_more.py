"""What api_diff_cases.py leaves out, of every kind: lists of media, tables of watches, field selectors, collections of kinds without a namespace,
conditions of deletions, owners and finalizers under each policy, status, certificates. For api_diff_test.py."""
import base64
import copy
import json
import subprocess
import tempfile

from api_diff_cases import JSON, MERGE, PARTIAL, PARTIAL_LIST, STATUSES, TABLE, Of, every, label, merged, namespace, widgets
from api_diff_objects import kind

OLD_TABLE = TABLE.replace("v=v1;", "v=v1beta1;")
KUBECTL = "%s,%s,application/json" % (TABLE, OLD_TABLE)
WRONG = "11111111-2222-3333-4444-555555555555"
# Whose objects the servers make themselves; a collection of them is deleted by a label.
SHARED = ("namespaces", "services")


def plain(p):
    """The kinds whose objects are there as soon as they are made."""
    return [k for k in every(p) if k.plural != "apiservices"]


def case_accept_lists(p):
    """As kubectl, client-go, controllers and browsers ask."""
    ns = namespace(p)
    for k in plain(p):
        one, name = Of(p, k, ns), label(k)
        one.create(name, labels={"accept": name})
        for accept in (KUBECTL, OLD_TABLE + ",application/json", "application/json, */*", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                       "%s, %s" % (TABLE.replace("v=v1;", "v=v9;"), TABLE), "application/json;q=0.1, application/yaml;q=0.9", "application/xml, application/json",
                       PARTIAL + ",application/json", "application/json;as=Table;g=meta.k8s.io"):
            one.get(name, Accept=accept)
            one.get("", query="?labelSelector=accept=" + name, Accept=accept.replace(PARTIAL, PARTIAL_LIST))
        one.get("none", Accept=KUBECTL)
        one.delete(name)


def watched(p, k, ns, start, asked):
    """The same watches at both, from where each began, compared."""
    said = []
    for s, version in zip(p.sides, start):
        at = "%s?watch=1&timeoutSeconds=2&resourceVersion=%s" % (k.path(s, ns), version)
        said.append(s.at_once([("GET", at + query, None, {"Accept": accept}) for query, accept in asked]))
    for (query, accept), theirs, ours in zip(asked, *said):
        p.compare("WATCH %s?%s %s" % (k.path(p.sides[0], ns), query, accept), p.sides[0].events(theirs), p.sides[1].events(ours))


def case_watches_of_every_kind(p):
    """Events as objects, as rows and as metadata."""
    for k in plain(p):
        if k.plural == "namespaces":
            continue
        ns = namespace(p)
        one, name = Of(p, k, ns), label(k)
        start = p.both(lambda s, k=k, ns=ns: s.json("GET", k.path(s, ns) + "?limit=1")["metadata"]["resourceVersion"])
        one.create(name, labels={"w": name})
        one.patch(name, {"metadata": {"annotations": {"x": "y"}}})
        one.patch(name, {"metadata": {"finalizers": ["x.y/z"]}})
        one.delete(name)
        one.patch(name, {"metadata": {"finalizers": None}})
        of = "&fieldSelector=metadata.name=" + name
        watched(p, k, ns, start, [(of, "application/json"), (of, KUBECTL), (of, PARTIAL), (of + "&includeObject=None", TABLE), ("&labelSelector=w=" + name, "application/json"),
                                  ("&labelSelector=w=none", "application/json")])


SELECTED = {  # by plural: what is made, and which of its fields select
    "pods": [({"spec": {"nodeName": "n", "restartPolicy": "Never", "schedulerName": "s", "serviceAccountName": "default"}},
              ["spec.nodeName=n", "spec.nodeName=", "spec.nodeName!=n", "spec.restartPolicy=Never", "spec.restartPolicy=Always", "spec.schedulerName=s",
               "spec.serviceAccountName=default", "status.phase=Pending", "status.phase!=Pending", "status.podIP=", "status.podIPs=", "status.nominatedNodeName=",
               "spec.nodeName=n,status.phase=Pending", "spec.hostname=x"])],
    "secrets": [({"type": "x.y/z"}, ["type=x.y/z", "type=Opaque", "type!=x.y/z"])],
    "nodes": [({"spec": {"unschedulable": True}}, ["spec.unschedulable=true", "spec.unschedulable=false", "spec.unschedulable=x"])],
    "events": [({}, ["involvedObject.kind=Pod", "involvedObject.name=x", "reason=r", "reportingComponent=", "source=", "type=Normal", "type=Warning",
                     "involvedObject.uid=", "involvedObject.resourceVersion=", "involvedObject.fieldPath=", "involvedObject.apiVersion=", "involvedObject.namespace=x",
                     "reason=ScaledUp", "regarding.kind=Pod"])],
    "replicasets": [({}, ["status.replicas=0", "status.replicas=1"])],
    "replicationcontrollers": [({}, ["status.replicas=0", "status.replicas=1"])],
    "jobs": [({}, ["status.successful=0", "status.successful=1"])],
    "namespaces": [({}, ["status.phase=Active", "status.phase=Terminating"])],
}
ANY = ["metadata.name=@", "metadata.name!=@", "metadata.name=@,metadata.name!=none", "metadata.namespace=@NS", "metadata.namespace!=@NS", "metadata.uid=x", "spec=x",
       "metadata.labels.a=b", "status.phase=x", "metadata.name=@,,", "metadata.name==@", "metadata.name=a\\,b", "metadata.name=\\x", "metadata.name"]


def case_field_selectors(p):
    """In lists of a namespace and of all, in deletions of collections (dry ones) and at watches."""
    ns = namespace(p)
    for k in plain(p):
        one = Of(p, k, ns)
        for change, fields in SELECTED.get(k.plural, [({}, [])]):
            name = label(k)
            one.create(name, copy.deepcopy(change), labels={"f": name})
            for selector in [f.replace("@NS", ns).replace("@", name) for f in ANY] + fields:
                query = "?labelSelector=f=%s&fieldSelector=%s" % (name, selector)
                one.get("", query=query)
                if k.namespaced:
                    p.same("GET", lambda s, k=k, query=query: k.path(s, "") + query)
                if k.plural not in SHARED:
                    p.same("DELETE", one.at(query=query + "&dryRun=All"))
                p.same("GET", one.at(query=query + "&watch=1&timeoutSeconds=0&resourceVersion=x"))


def case_collections_without_namespace(p):
    for k in plain(p):
        if k.namespaced or k.plural in SHARED:
            continue
        one, base = Of(p, k, ""), label(k)
        for i in range(4):
            one.create("%s-%d" % (base, i), labels={"n": str(i), "of": base}, finalizers=["x.y/z"] if i == 3 else [])
        for query in ("labelSelector=of=%s,n=0&dryRun=All", "labelSelector=of=%s,n=0", "labelSelector=of=%s&fieldSelector=metadata.name=" + base + "-1",
                      "labelSelector=of=%s&limit=1&dryRun=All", "labelSelector=of=%s,n%%20in%%20(2,3)"):
            p.same("DELETE", one.at(query="?" + query % base))
        one.get("", query="?labelSelector=of=" + base)
        one.patch(base + "-3", {"metadata": {"finalizers": None}})


def case_collections_with_options(p):
    """Policies and conditions of a whole collection."""
    for k in (kind("configmaps"), kind("deployments"), kind("pods"), widgets(p)):
        for body in ({"propagationPolicy": "Foreground"}, {"propagationPolicy": "Orphan"}, {"propagationPolicy": "Background"}, {"preconditions": {"uid": WRONG}},
                     {"preconditions": {"resourceVersion": "1"}}, {"gracePeriodSeconds": 5}, {"dryRun": ["All"]}, {"orphanDependents": True}):
            one = Of(p, k, namespace(p))
            for i in range(3):
                one.create("o-%d" % i, labels={"a": "b"}, finalizers=["x.y/z"] if i == 2 else [])
            p.same("DELETE", one.at(query="?labelSelector=a=b"), body)
            one.get("")


def case_conditional_deletes(p):
    """By uid and version, the right ones, the wrong ones, and both."""
    ns = namespace(p)
    for k in plain(p):
        one, name = Of(p, k, ns), label(k)

        def delete(uid=None, version=None, dry=(), one=one, k=k, name=name):
            def body(s):
                has = s.json("GET", k.path(s, ns, name))["metadata"]
                wanted = {"uid": has.get("uid") if uid == "own" else uid, "resourceVersion": has.get("resourceVersion") if version == "own" else version}
                return {"preconditions": {key: v for key, v in wanted.items() if v is not None}, "dryRun": list(dry)}
            p.same("DELETE", one.at(name), body, note="uid %s, version %s" % (uid, version))
        one.create(name, finalizers=["x.y/z"])
        delete("own", "1")
        delete(WRONG, "own")
        delete("", None)
        delete(None, "")
        delete("own", "own", ["All"])
        delete("own", "own")
        delete(WRONG, None)
        delete(None, "1")
        delete("own", "own")
        one.patch(name, {"metadata": {"finalizers": None}})
        p.same("DELETE", one.at(name), {"preconditions": {"uid": WRONG}})


def case_owners_and_finalizers(p):
    """Each policy of an object with owners, dependents and the collector's own finalizers; nobody collects here."""
    ns = namespace(p)
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "o", "uid": WRONG}
    for k in plain(p):
        if k.plural == "namespaces":
            continue
        one = Of(p, k, ns)
        for references in ([owner], [{**owner, "blockOwnerDeletion": True, "controller": True}], [{**owner, "controller": True}, {**owner, "uid": "other", "controller": True}],
                           [{**owner, "apiVersion": "a/b/c"}], [{**owner, "name": ""}], [{**owner, "kind": "Event"}], [owner, owner]):
            name = label(k)
            one.create(name, ownerReferences=references)
            one.patch(name, {"metadata": {"ownerReferences": None}})
            one.delete(name)
        for finalizers in (["orphan"], ["foregroundDeletion"], ["orphan", "foregroundDeletion"], ["x.y/z", "foregroundDeletion"]):
            for policy in ("Orphan", "Foreground", "Background"):
                name = label(k)
                one.create(name, finalizers=finalizers)
                one.delete(name, {"propagationPolicy": policy, "dryRun": ["All"]})
                one.delete(name, {"propagationPolicy": policy})
                one.delete(name, {"orphanDependents": policy == "Orphan"})
                one.patch(name, {"metadata": {"finalizers": None}})
                one.get(name)


def case_generated_names(p):
    """But of limit ranges, which 1.20 calls by a uid before it looks for a prefix."""
    ns = namespace(p)
    for k in plain(p):
        if k.plural == "limitranges":
            continue
        def body(s, k=k):
            o = json.loads(json.dumps(k.object(s, "")).replace("@NAMESPACE@", ns))
            o["metadata"] = {"generateName": "gen-"}
            return o
        p.same("POST", lambda s, k=k: k.path(s, ns) + "?dryRun=All", body)


def case_statuses(p):
    """A status by update, each kind of patch and apply; what else is sent with it is left."""
    ns = namespace(p)
    w = widgets(p)
    for plural, status in STATUSES:
        k = w if plural == "widgets" else kind(plural)
        one, name = Of(p, k, ns), label(k)
        one.create(name)
        one.patch(name, {"status": copy.deepcopy(status)}, sub="status")
        one.patch(name, {"status": copy.deepcopy(status)}, sub="status")
        one.patch(name, {"status": None}, sub="status")
        if plural != "widgets":
            one.patch(name, {"status": copy.deepcopy(status)}, "strategic", sub="status")
        one.patch(name, [{"op": "test", "path": "/metadata/name", "value": name}, {"op": "add", "path": "/metadata/labels", "value": {"s": "t"}}], "json", sub="status")
        one.put(name, lambda o, status=status: merged(o, {"status": copy.deepcopy(status), "metadata": {"annotations": {"u": "v"}}}), "status", "?dryRun=All")
        one.put(name, lambda o: o["metadata"].update(resourceVersion="1"), "status")
        one.put(name, lambda o: o["metadata"].update(uid=WRONG), "status")
        one.put(name, lambda o: o.pop("status", None) and None, "status")
        one.get(name)


def request(user):
    """A certificate request in PEM."""
    with tempfile.TemporaryDirectory() as d:
        subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", d + "/k", "-out", d + "/r", "-subj", "/O=g/CN=" + user],
                       check=True, capture_output=True)
        with open(d + "/r", "rb") as f:
            return base64.b64encode(f.read()).decode()


def case_certificates(p):
    base, pem = "/apis/certificates.k8s.io/v1/certificatesigningrequests", request("u")
    good = {"request": pem, "signerName": "differ.example/x", "usages": ["client auth"]}

    def csr(name, **spec):
        return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name}, "spec": {**good, **spec}}
    for spec in ({"request": "eA=="}, {"signerName": "x"}, {"signerName": "a.b/"}, {"usages": []}, {"usages": ["nonsense"]}, {"usages": ["any", "any"]}, {"signerName": ""},
                 {"username": "other", "groups": ["z"]}, {"request": None}):
        p.same("POST", base + "?dryRun=All", csr("wrong", **spec))
    condition = {"type": "Approved", "status": "True", "reason": "r", "message": "m"}
    for name, conditions in [("a", [condition]), ("b", [{**condition, "type": "Denied"}]), ("c", [condition, {**condition, "type": "Denied"}]), ("d", [condition, condition]),
                             ("e", [{**condition, "status": "False"}]), ("f", [{**condition, "type": "Failed"}]), ("g", [{"type": "Approved"}]), ("h", [{**condition, "type": ""}])]:
        p.same("POST", base, csr(name))
        for sub in ("/approval", "/status"):
            p.same("PATCH", "%s/%s%s" % (base, name, sub), json.dumps({"status": {"conditions": conditions}}), **MERGE)
            p.same("PATCH", "%s/%s%s" % (base, name, sub), json.dumps({"status": {"certificate": "eA=="}}), **MERGE)
            p.same("PATCH", "%s/%s%s" % (base, name, sub), json.dumps({"metadata": {"labels": {"a": "b"}}, "spec": {"usages": ["any"]}}), **MERGE)
        p.same("PATCH", "%s/%s" % (base, name), json.dumps({"spec": {"usages": ["any"]}, "status": {"conditions": None}}), **MERGE)
        p.same("PATCH", "%s/%s/approval" % (base, name), json.dumps({"status": {"conditions": None}}), **MERGE)
        p.same("GET", "%s/%s" % (base, name))
        p.same("GET", "%s/%s" % (base, name), Accept=TABLE)
        p.same("GET", "%s/%s/approval" % (base, name))
    p.same("GET", base + "?fieldSelector=spec.signerName=differ.example/x")
    p.same("GET", base + "?fieldSelector=spec.signerName=none")
    p.same("DELETE", base)


def case_deletions_in_protobuf(p):
    """Options in protobuf, as typed clients send them: to built-in kinds and to custom ones."""
    ns = namespace(p)
    background = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x0c\x22\x0aBackground\x1a\x00\x22\x00"
    for k in (kind("configmaps"), kind("pods"), widgets(p)):
        one = Of(p, k, ns)
        one.create("d")
        for body in (background[:-20], b"k8s\0", b"{}", background):
            p.same("DELETE", one.at("d"), body, note="options in protobuf", Content_Type="application/vnd.kubernetes.protobuf")
        one.create("d")
        p.same("DELETE", one.at(), background, note="options in protobuf", Content_Type="application/vnd.kubernetes.protobuf")


def case_ephemeral_containers(p):
    """1.20 has a kind of its own for them; what is refused before that is the same."""
    ns = namespace(p)
    pods = Of(p, kind("pods"), ns)
    pods.create("e")
    for s in p.sides:
        s.json("PUT", pods.at("e", "status")(s), json.dumps({**s.json("GET", pods.at("e")(s)), "status": {"phase": "Running"}}), JSON)
    pods.get("none", "ephemeralcontainers")
    pods.patch("none", {"spec": {"ephemeralContainers": []}}, sub="ephemeralcontainers")
    for change in ({"ephemeralContainers": [{"name": "x", "image": "i"}]}, {"containers": []}):
        pods.patch("e", {"spec": change})
        pods.put("e", lambda o, change=change: o["spec"].update(change))


def case_bodies_with_nothing_in_them(p):
    """A YAML document may be empty; null stands for an object that says nothing."""
    ns = namespace(p)
    for k in (kind("configmaps"), kind("deployments")):
        one = Of(p, k, ns)
        for media in ("application/json", "application/yaml"):
            for body in (b" ", b"\n", b"null", b"{}"):
                p.same("POST", one.at(), body, note="%s: %r" % (media, body), Content_Type=media)
                one.create("b")
                p.same("PUT", one.at("b"), body, note="%s: %r" % (media, body), Content_Type=media)
                p.same("DELETE", one.at("b"), body, note="%s: %r" % (media, body), Content_Type=media)
