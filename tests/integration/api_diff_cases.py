"""The scripted requests of api_diff_test.py: verbs, refusals, deletion, lists, tables, watches, subresources, custom resources, discovery."""
import copy
import itertools
import json

from api_diff_lib import until
from api_diff_objects import KINDS, WIDGET, WIDGETS, kind, pod_spec

_names = itertools.count()


def namespace(p, account=True):
    """A new one, the same in both, with the account that pods get."""
    name = "ns-%d" % next(_names)
    for s in p.sides:
        s.json("POST", "/api/v1/namespaces", json.dumps({"metadata": {"name": name}}), JSON)
        if account:
            s.json("POST", "/api/v1/namespaces/%s/serviceaccounts" % name, json.dumps({"metadata": {"name": "default"}}), JSON)
    return name


JSON = {"Content-Type": "application/json"}
MERGE = {"Content_Type": "application/merge-patch+json"}
PATCHES = {"json": "application/json-patch+json", "merge": "application/merge-patch+json",
           "strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml"}
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Of:
    """Requests about one kind in a namespace."""

    def __init__(self, p, k, ns):
        self.p, self.k, self.ns = p, k, ns

    def at(self, name="", sub="", query=""):
        return lambda s: self.k.path(s, self.ns, name, sub) + query

    def body(self, name, change=None, **metadata):
        def made(s):
            o = copy.deepcopy(self.k.object(s, name, **metadata))
            o = json.loads(json.dumps(o).replace("@NAMESPACE@", self.ns))
            return merged(o, change or {})
        return made

    def create(self, name, change=None, query="", **metadata):
        return self.p.same("POST", self.at(query=query), self.body(name, change, **metadata))

    def get(self, name, sub="", query="", **headers):
        return self.p.same("GET", self.at(name, sub, query), note=headers.get("Accept", ""), **headers)

    def patch(self, name, patch, form="merge", sub="", query="", **headers):
        return self.p.same("PATCH", self.at(name, sub, query), patch if isinstance(patch, str) else json.dumps(patch),
                           Content_Type=PATCHES[form], **headers)

    def delete(self, name, body=None, query=""):
        return self.p.same("DELETE", self.at(name, query=query), body)

    def put(self, name, edit, sub="", query=""):
        """What each has, edited."""
        return self.p.same("PUT", self.at(name, sub, query), lambda s: edited(s, self.k.path(s, self.ns, name), edit))


def edited(side, path, edit):
    o = side.json("GET", path)
    out = edit(o)
    return o if out is None else out


def merged(o, change):
    for key, v in change.items():
        if isinstance(v, dict) and isinstance(o.get(key), dict):
            merged(o[key], v)
        else:
            o[key] = v
    return o


def widgets(p):
    return defined(p, WIDGETS, WIDGET)


def defined(p, definition, k):
    """The kind of a definition, which is established."""
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    for s in p.sides:
        s.json("POST", path, json.dumps(definition), JSON)
    for s in p.sides:
        until(k.plural + " in " + s.name, lambda s=s: s.request("GET", k.path(s, ""))[0] == 200)
    return k


def every(p):
    return [*KINDS, widgets(p)]


def label(k):
    return "name-" + str(next(_names))


# ------------------------------------------------------------------------------------------ verbs


def case_verbs(p):
    ns = namespace(p)
    for k in every(p):
        one = Of(p, k, ns)
        name = "widgets-x" if k.plural == "apiservices" else label(k)
        if k.plural == "apiservices":
            name = "v1.x.y"
        one.create(name, query="?dryRun=All")
        one.get(name)
        one.create(name, labels={"l": "1"}, annotations={"a": "b"})
        one.create(name)
        one.get(name)
        one.put(name, lambda o: None)
        one.put(name, lambda o: merged(o, copy.deepcopy(k.change)), query="?dryRun=All")
        one.put(name, lambda o: merged(o, copy.deepcopy(k.change)))
        one.put(name, lambda o: o["metadata"].update(resourceVersion="1"))
        one.put(name, lambda o: o["metadata"].update(uid="11111111-2222-3333-4444-555555555555"))
        one.put(name, lambda o: o["metadata"].update(name="other"))
        one.put(name, lambda o: o["metadata"].pop("resourceVersion") and None)
        one.patch(name, {"metadata": {"labels": {"m": "2", "l": None}}})
        one.patch(name, {"metadata": {"labels": {"m": "2"}}})
        one.patch(name, {"metadata": {"generation": 77, "creationTimestamp": None, "selfLink": "x"}})
        one.patch(name, {"status": {"phase": "x"}})
        one.delete(name, query="?dryRun=All")
        one.delete(name, {"preconditions": {"uid": "11111111-2222-3333-4444-555555555555"}})
        one.delete(name, {"preconditions": {"resourceVersion": "1"}})
        one.delete(name)
        one.get(name)
        one.delete(name)


def case_put_creates(p):
    """Kinds whose update creates what is not there, and those whose does not."""
    ns = namespace(p)
    for k in every(p):
        if k.plural in ("apiservices",):
            continue
        one, name = Of(p, k, ns), label(k)
        p.same("PUT", one.at(name), one.body(name))
        p.same("PUT", one.at(name), one.body(name, resourceVersion="5"))
        one.patch(name + "x", {"metadata": {"labels": {"a": "b"}}})


def case_status(p):
    ns = namespace(p)
    for k in every(p):
        one, name = Of(p, k, ns), label(k)
        if k.plural in ("apiservices", "namespaces"):
            continue
        one.create(name)
        one.get(name, "status")
        one.put(name, lambda o: merged(o, {"metadata": {"labels": {"by": "status"}}, **copy.deepcopy(k.change)}), "status")
        one.patch(name, {"metadata": {"annotations": {"x": "y"}, "finalizers": ["a.b/c"]}}, sub="status")
        one.patch(name, {"status": {"nonsense": 1}}, sub="status")
        one.delete(name, query="")
        p.same("DELETE", one.at(name, "status"))
        p.same("POST", one.at(name, "status"), one.body(name))


def case_generation(p):
    ns = namespace(p)
    for k in every(p):
        if k.plural in ("apiservices",):
            continue
        one, name = Of(p, k, ns), label(k)
        one.create(name, generation=9)
        one.patch(name, {"metadata": {"labels": {"a": "b"}}})
        if k.change:
            one.patch(name, k.change)
            one.patch(name, k.change)
        one.patch(name, {"metadata": {"generation": 50}})
        one.patch(name, {"metadata": {"finalizers": ["x.y/z"]}})
        one.delete(name)
        one.patch(name, {"metadata": {"finalizers": ["x.y/z", "x.y/w"]}})
        one.patch(name, {"metadata": {"finalizers": None}})
        one.get(name)


# --------------------------------------------------------------------------------------- refusals


def case_bodies(p):
    """Wrong bodies and media types."""
    ns = namespace(p)
    for k in [kind("configmaps"), kind("deployments"), kind("nodes"), kind("clusterroles"), widgets(p)]:
        one = Of(p, k, ns)
        one.create("there")
        for body in ("", "{", "[]", "null", "3", '"x"', "{}", '{"metadata":3}', '{"metadata":{"name":3}}', '{"metadata":{"labels":[]}}',
                     '{"kind":"Other"}', '{"apiVersion":"other/v1"}', '{"kind":"Other","apiVersion":"v1"}',
                     '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"x"}}', "a: b", "\x00", '{"metadata":{"name":"a"}} trailing',
                     '{"metadata":{"name":"Bad Name"}}', '{"metadata":{"namespace":"other","name":"a"}}', '{"metadata":{}}',
                     '{"metadata":{"generateName":"Bad "}}', '{"metadata":{"name":"a","labels":{"a b":"c"}}}',
                     '{"metadata":{"name":"a","annotations":{"a":3}}}', '{"metadata":{"name":"a","finalizers":["x"]}}',
                     '{"metadata":{"name":"a","ownerReferences":[{"name":"x"}]}}', '{"metadata":{"name":"a","creationTimestamp":"x"}}',
                     '{"metadata":{"name":"a","uid":"x","resourceVersion":"3"}}'):
            p.same("POST", one.at(), body, Content_Type="application/json", note=body)
            p.same("PUT", one.at("there"), body, Content_Type="application/json", note=body)
        for media in ("text/plain", "application/xml", "application/json; charset=utf-8", "application/yaml", "", "nonsense",
                      "application/json;stream=watch", "application/merge-patch+json"):
            p.same("POST", one.at(query="?dryRun=All"), one.body("m"), note=media, **{"Content-Type": media})
            p.same("PATCH", one.at("there"), '{"metadata":{"labels":{"a":"b"}}}', note=media, **{"Content-Type": media})
        for accept in ("text/plain", "application/xml", "application/yaml", "*/*", "application/*", "text/html, application/json;q=0.5",
                       "application/json;as=Table;v=v9;g=meta.k8s.io", "application/json;as=Nonsense;v=v1;g=meta.k8s.io", TABLE, PARTIAL,
                       PARTIAL_LIST, "application/yaml;as=Table;v=v1;g=meta.k8s.io", "application/json;pretty=1", ""):
            one.get("there", Accept=accept)
            one.get("", query="?fieldSelector=metadata.name=there", Accept=accept)
            one.get("absent", Accept=accept)


def case_paths(p):
    for path in ("/", "/api", "/apis", "/api/v2", "/api/v1", "/apis/none.such", "/apis/apps", "/apis/apps/v9", "/apis/apps/v1",
                 "/api/v1/nonsense", "/api/v1/nonsense/x", "/apis/apps/v1/nonsense", "/api/v1/namespaces/default/nonsense",
                 "/api/v1/namespaces/default/nodes", "/api/v1/namespaces/default/pods/x/nonsense", "/api/v1/pods/x",
                 "/api/v1/namespaces/none/configmaps", "/api/v1/namespaces/none/configmaps/x", "/nonsense", "/healthz/nonsense", "/apis/",
                 "/api/v1/", "/api/v1/namespaces/", "/api//v1/namespaces", "/api/v1/namespaces/default/", "/version/", "/openapi",
                 "/api/v1/namespaces/default/configmaps/", "/api/v1/watch", "/api/v1/watch/nonsense", "/api/v1/proxy",
                 "/api/v1/namespaces/default/pods/x/log", "/api/v1/namespaces/default/pods/x/exec",
                 "/api/v1/namespaces/default/pods/x/proxy", "/api/v1/namespaces/default/services/x/proxy", "/api/v1/nodes/x/proxy",
                 "/apis/differ.none/v1/things", "/apis/metrics.k8s.io/v1beta1/nodes", "/healthz", "/livez", "/readyz", "/livez/ping"):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
            body = None if method in ("GET", "DELETE", "OPTIONS", "TRACE") else "{}"
            p.same(method, path, body, **({"Content_Type": PATCHES["merge"]} if method == "PATCH" else {}))
    for method, path in [("PUT", "/api/v1/namespaces/default/configmaps"), ("PATCH", "/api/v1/namespaces/default/configmaps"),
                         ("POST", "/api/v1/namespaces/default/configmaps/x"), ("DELETE", "/api/v1/namespaces"),
                         ("DELETE", "/api/v1/configmaps"), ("POST", "/api/v1/configmaps"), ("PUT", "/api/v1/pods"),
                         ("POST", "/api/v1/pods"), ("GET", "/api/v1/componentstatuses/nonsense"), ("POST", "/api/v1/componentstatuses"),
                         ("GET", "/apis/authentication.k8s.io/v1/tokenreviews"), ("DELETE", "/api/v1/namespaces/default/services"),
                         ("GET", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"), ("PUT", "/api/v1/namespaces/x/finalize"),
                         ("GET", "/api/v1/namespaces/x/finalize"), ("GET", "/api/v1/namespaces/default/pods/x/binding"),
                         ("GET", "/api/v1/namespaces/default/pods/x/eviction"), ("GET", "/api/v1/namespaces/default/bindings"),
                         ("GET", "/api/v1/namespaces/default/serviceaccounts/x/token")]:
        p.same(method, path, "{}" if method in ("POST", "PUT", "PATCH") else None,
               **({"Content_Type": PATCHES["merge"]} if method == "PATCH" else {}))


QUERIES = ["limit=-1", "limit=x", "limit=", "limit=0", "limit=1", "limit=99999999999999999999", "continue=garbage", "continue=e30",
           "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJ4In0", "resourceVersion=garbage", "resourceVersion=-1",
           "resourceVersion=0", "resourceVersion=1", "resourceVersion=999999999", "resourceVersion=", "timeoutSeconds=x",
           "timeoutSeconds=-1", "timeoutSeconds=0", "labelSelector=a b", "labelSelector==", "labelSelector=a in", "labelSelector=a in ()",
           "labelSelector=a in (b,c),d!=e,!f", "labelSelector=a>1", "labelSelector=a>x", "labelSelector=a=" + "v" * 70,
           "labelSelector=" + "/".join("abc"), "labelSelector=-a", "labelSelector=a===b", "labelSelector=,", "labelSelector=a,,b",
           "fieldSelector=nonsense=1", "fieldSelector=metadata.name=x", "fieldSelector=metadata.namespace=x", "fieldSelector=metadata.name",
           "fieldSelector==", "fieldSelector=metadata.name>x", "fieldSelector=metadata.labels.a=x", "fieldSelector=metadata.name!=x",
           "fieldSelector=metadata.name=x,metadata.name=y", "fieldSelector=spec.x=", "fieldSelector=,", "pretty=true", "pretty=x",
           "export=true", "exact=true", "nonsense=1", "watch=nonsense&timeoutSeconds=1", "watch=0", "watch=false", "watch=2&timeoutSeconds=1",
           "allowWatchBookmarks=x", "allowWatchBookmarks=true", "resourceVersionMatch=Exact", "resourceVersionMatch=NotOlderThan",
           "resourceVersionMatch=nonsense", "resourceVersionMatch=Exact&resourceVersion=0", "resourceVersionMatch=Exact&resourceVersion=1",
           "resourceVersionMatch=nonsense&resourceVersion=1", "resourceVersionMatch=Exact&resourceVersion=1&continue=x",
           "resourceVersionMatch=Exact&resourceVersion=1&watch=1", "resourceVersionMatch=NotOlderThan&resourceVersion=0",
           "resourceVersionMatch=NotOlderThan&resourceVersion=0&limit=1", "resourceVersionMatch=NotOlderThan&resourceVersion=x",
           "continue=garbage&resourceVersion=1", "limit=1&resourceVersion=0", "limit=1&resourceVersion=x",
           "watch=1&resourceVersion=x", "watch=1&resourceVersion=-1", "watch=1&labelSelector==", "watch=1&fieldSelector=nonsense=1",
           "watch=1&timeoutSeconds=x", "watch=1&continue=x", "watch=1&limit=1&timeoutSeconds=1&fieldSelector=metadata.name=none",
           "watch=1&allowWatchBookmarks=x&timeoutSeconds=1&fieldSelector=metadata.name=none", "includeObject=Nonsense", "dryRun=x"]


def quoted(query):
    if "watch=" in query and "timeoutSeconds" not in query:
        query += "&timeoutSeconds=1"
    return "?" + query.replace(" ", "%20").replace(">", "%3E")


def case_queries(p):
    ns = namespace(p)
    for k in [kind("configmaps"), kind("pods"), kind("nodes"), widgets(p)]:
        one = Of(p, k, ns)
        for name in ("q-a", "q-b"):
            one.create(name, labels={"a": name})
        for q in QUERIES:
            one.get("", query=quoted(q) if k.namespaced else quoted(q).replace("fieldSelector=metadata.namespace=x", "fieldSelector=none=x"))
        for q in ("resourceVersion=0", "resourceVersion=1", "resourceVersion=x", "resourceVersion=999999999", "pretty=true", "export=true",
                  "exact=1", "resourceVersionMatch=Exact"):
            one.get("q-a", query=quoted(q))
            one.get("none", query=quoted(q))
        for q in ("dryRun=x", "dryRun=", "dryRun=All,All", "dryRun=All&dryRun=All", "dryRun=all", "fieldManager=", "fieldManager=a",
                  "fieldManager=%01", "fieldManager=" + "m" * 129, "pretty=true", "fieldValidation=Strict", "fieldValidation=Warn",
                  "force=true", "force=x"):
            one.create("q-c", query="?" + q)
            one.patch("q-a", {"metadata": {"labels": {"b": "c"}}}, query="?" + q)
            one.put("q-a", lambda o: None, query="?" + q)
            p.same("DELETE", one.at("q-c", query="?" + q))
        for body in ({"dryRun": ["x"]}, {"dryRun": ["All"]}, {"gracePeriodSeconds": -1}, {"gracePeriodSeconds": "x"}, {"nonsense": 1},
                     {"propagationPolicy": "x"}, {"propagationPolicy": "Orphan", "orphanDependents": True}, {"orphanDependents": "x"},
                     {"kind": "Pod", "apiVersion": "v1"}, {"kind": "DeleteOptions", "apiVersion": "v1", "dryRun": ["All"]},
                     {"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1", "dryRun": ["All"]},
                     {"kind": "DeleteOptions", "apiVersion": "apps/v1", "dryRun": ["All"]},
                     {"kind": "DeleteOptions", "apiVersion": "x/v1", "dryRun": ["All"]}, {"preconditions": {}}, {"preconditions": {"uid": 3}}):
            one.delete("q-b", body)
            one.create("q-b", labels={"a": "q-b"})
        for q in ("gracePeriodSeconds=x", "gracePeriodSeconds=-1", "propagationPolicy=x", "propagationPolicy=Foreground&dryRun=All",
                  "orphanDependents=x", "orphanDependents=true&propagationPolicy=Orphan", "gracePeriodSeconds=0"):
            one.delete("q-b", query="?" + q)
        one.delete("q-b", {"propagationPolicy": "Orphan"}, query="?propagationPolicy=Foreground")


# --------------------------------------------------------------------------------------- deletion


def case_deletion(p):
    ns = namespace(p)
    for k in every(p):
        if k.plural in ("apiservices",):
            continue
        one = Of(p, k, ns)
        for policy in ("Orphan", "Foreground", "Background"):
            name = label(k)
            one.create(name)
            one.delete(name, {"propagationPolicy": policy})
            one.get(name)
            one.delete(name, {"propagationPolicy": "Foreground"})
            one.delete(name, {"propagationPolicy": "Background"})
            one.delete(name, {"gracePeriodSeconds": 0})
            one.patch(name, {"metadata": {"finalizers": None}})
            one.get(name)
        name = label(k)
        one.create(name, finalizers=["x.y/z", "orphan"])
        one.delete(name, {"gracePeriodSeconds": 3})
        one.create(name)
        one.patch(name, {"metadata": {"deletionTimestamp": None, "deletionGracePeriodSeconds": 9}})
        one.patch(name, {"metadata": {"finalizers": ["x.y/z"]}})
        one.put(name, lambda o: o["metadata"].pop("finalizers") and None)
        one.get(name)


def case_delete_collection(p):
    for k in every(p):
        if k.plural in ("apiservices", "namespaces", "services", "nodes", "storageclasses", "clusterroles", "clusterrolebindings",
                        "priorityclasses", "persistentvolumes"):
            continue
        ns = namespace(p)
        one = Of(p, k, ns)
        for i in range(4):
            one.create("c-%d" % i, labels={"n": str(i), "all": "c"}, finalizers=["x.y/z"] if i == 3 else [])
        p.same("DELETE", one.at(query="?labelSelector=n=0&dryRun=All"))
        p.same("DELETE", one.at(query="?labelSelector=n=0,all=c"))
        p.same("DELETE", one.at(query="?fieldSelector=metadata.name=c-1"))
        p.same("DELETE", one.at(query="?labelSelector==="))
        p.same("DELETE", one.at(query="?limit=1&labelSelector=all=c"))
        p.same("DELETE", one.at(query="?labelSelector=all=c"), {"gracePeriodSeconds": 0})
        one.get("", query="?labelSelector=all=c")
        one.get("", query="?labelSelector=all=none")


def case_pod_deletion(p):
    ns = namespace(p)
    pods = Of(p, kind("pods"), ns)
    pods.create("free")
    pods.delete("free", {"gracePeriodSeconds": 30})
    for i, grace in enumerate((None, 0, 1, 30)):
        name = "bound-%d" % i
        pods.create(name, {"spec": {"nodeName": "n", "terminationGracePeriodSeconds": 20}})
        pods.delete(name, {"gracePeriodSeconds": grace} if grace is not None else None)
        pods.get(name)
        pods.delete(name, {"gracePeriodSeconds": 60})
        pods.delete(name, {"gracePeriodSeconds": 5})
        pods.delete(name)
        pods.patch(name, {"metadata": {"deletionGracePeriodSeconds": 50}})
        pods.delete(name, {"gracePeriodSeconds": 0, "preconditions": {"uid": "x"}})
        pods.delete(name, {"gracePeriodSeconds": 0})
        pods.get(name)


def case_generate_name(p):
    ns = namespace(p)
    for k in [kind("configmaps"), kind("pods"), kind("namespaces"), widgets(p)]:
        def body(s, k=k, **metadata):
            o = copy.deepcopy(k.object(s, ""))
            o["metadata"] = {"generateName": "gen-", **metadata}
            return o
        p.same("POST", lambda s, k=k: k.path(s, ns), body)
        p.same("POST", lambda s, k=k: k.path(s, ns) + "?dryRun=All", body)
        p.same("POST", lambda s, k=k: k.path(s, ns), lambda s, body=body: body(s, name="named-gen"), note="a name beside the prefix")
        p.same("POST", lambda s, k=k: k.path(s, ns), lambda s, body=body: body(s, name="named-gen"), note="a name beside the prefix")
        p.same("POST", lambda s, k=k: k.path(s, ns), lambda s, body=body: body(s, generateName="Bad_"))
        p.same("POST", lambda s, k=k: k.path(s, ns), lambda s, body=body: body(s, generateName="g" * 300))


def case_namespaces(p):
    names = Of(p, kind("namespaces"), "")
    for finalize in (False, True):
        name = "life-%d" % finalize
        names.create(name)
        pods = Of(p, kind("configmaps"), name)
        pods.create("in")
        names.delete(name)
        names.delete(name)
        pods.create("late")
        pods.patch("in", {"data": {"x": "y"}})
        names.patch(name, {"metadata": {"labels": {"x": "y"}}})
        p.same("PUT", "/api/v1/namespaces/%s/finalize" % name, {"metadata": {"name": "other"}, "spec": {}})
        if finalize:
            names.put(name, lambda o: o["spec"].update(finalizers=["kubernetes", "x.y/z"]), "finalize")
        names.put(name, lambda o: o["spec"].pop("finalizers", None) and None, "finalize")
        names.get(name)
        pods.create("later")
    for name in ("default", "kube-system", "kube-public"):
        names.delete(name)


# ------------------------------------------------------------------------------------ lists, tables


def newest(side, path):
    """The version of the newest object there: 1.20's cache of a kind has not heard of later ones."""
    return str(max(int(o["metadata"]["resourceVersion"]) for o in side.json("GET", path)["items"]))


def case_lists(p):
    ns = namespace(p)
    for k in [kind("configmaps"), kind("deployments"), kind("clusterroles"), widgets(p)]:
        one = Of(p, k, ns)
        for i in range(7):
            one.create("l-%d" % i, labels={"odd": str(i % 2), "set": "lists"})
        selector = "labelSelector=set=lists"
        for size, query in [(3, ""), (1, "&fieldSelector=metadata.name!=l-3"), (2, ",odd=1"), (7, ""), (8, ""), (500, "")]:
            after = [""] * 2
            for _ in range(9):
                paths = ["%s?%s%s&limit=%d%s" % (k.path(s, ns), selector, query, size, "&continue=" + t if t else "")
                         for s, t in zip(p.sides, after)]
                raw = [s.request("GET", at) for s, at in zip(p.sides, paths)]
                p.compare("GET " + paths[0].split("&continue")[0] + " (piece)", *[s.answer(r) for s, r in zip(p.sides, raw)])
                after = [json.loads(r[2])["metadata"].get("continue", "") for r in raw]
                if not all(after):
                    break
        one.get("", query="?limit=2&" + selector, Accept=TABLE)
        one.get("", query="?limit=2&" + selector, Accept=PARTIAL_LIST)
        for v in ("0", "1", "now"):
            for match in ("", "Exact", "NotOlderThan"):
                for limit in ("", "&limit=2"):
                    def path(s, v=v, match=match, limit=limit, k=k):
                        at = newest(s, k.path(s, ns) + "?" + selector) if v == "now" else v
                        return "%s?%s&resourceVersion=%s%s%s" % (k.path(s, ns), selector, at,
                                                                  "&resourceVersionMatch=" + match if match else "", limit)
                    p.same("GET", path, note="%s %s" % (v, match))


def case_tables(p):
    ns = namespace(p)
    for k in every(p):
        one, name = Of(p, k, ns), "v1.x.y" if k.plural == "apiservices" else label(k)
        one.create(name, labels={"t": "1"})
        for what in ("", "?includeObject=None", "?includeObject=Object", "?includeObject=Metadata"):
            one.get(name, query=what, Accept=TABLE)
        one.get("", query="?labelSelector=t=1", Accept=TABLE)
        one.get("", query="?labelSelector=t=none", Accept=TABLE)
        one.get(name, Accept=PARTIAL)
        one.get("", query="?labelSelector=t=1", Accept=PARTIAL_LIST)
        one.get(name, Accept=TABLE.replace("v=v1;", "v=v1beta1;"))
        p.same("POST", one.at(query="?dryRun=All"), one.body(name + "x"), Accept=TABLE)
        p.same("DELETE", one.at(name), Accept=PARTIAL)


STATUSES = [
    ("pods", {"phase": "Running", "podIP": "1.2.3.4", "startTime": "2020-01-01T00:00:00Z", "containerStatuses": [
        {"name": "c", "ready": True, "restartCount": 3, "image": "i", "imageID": "j", "state": {"running": {}}}]}),
    ("pods", {"phase": "Pending", "containerStatuses": [
        {"name": "c", "ready": False, "restartCount": 0, "image": "i", "imageID": "", "state": {"waiting": {"reason": "ImagePullBackOff"}}}]}),
    ("pods", {"phase": "Failed", "reason": "Evicted", "message": "x"}),
    ("pods", {"phase": "Running", "containerStatuses": [
        {"name": "c", "ready": False, "restartCount": 1, "image": "i", "imageID": "",
         "state": {"terminated": {"exitCode": 3, "reason": "Error"}}}]}),
    ("pods", {"phase": "Running", "containerStatuses": [
        {"name": "c", "ready": False, "restartCount": 1, "image": "i", "imageID": "", "state": {"terminated": {"exitCode": 0, "signal": 9}}}]}),
    ("pods", {"phase": "Succeeded", "nominatedNodeName": "nn", "conditions": [{"type": "Ready", "status": "False"}]}),
    ("deployments", {"replicas": 3, "readyReplicas": 2, "updatedReplicas": 1, "availableReplicas": 2, "observedGeneration": 1}),
    ("replicasets", {"replicas": 3, "readyReplicas": 2, "availableReplicas": 1, "fullyLabeledReplicas": 3}),
    ("statefulsets", {"replicas": 3, "readyReplicas": 2, "currentRevision": "x"}),
    ("daemonsets", {"desiredNumberScheduled": 5, "currentNumberScheduled": 4, "numberReady": 3, "numberMisscheduled": 0,
                    "updatedNumberScheduled": 2, "numberAvailable": 1}),
    ("jobs", {"succeeded": 1, "startTime": "2020-01-01T00:00:00Z", "completionTime": "2020-01-01T00:01:05Z",
              "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}]}),
    ("cronjobs", {"lastScheduleTime": "2020-01-01T00:00:00Z", "active": [{"name": "x"}]}),
    ("nodes", {"conditions": [{"type": "Ready", "status": "True"}], "addresses": [{"type": "InternalIP", "address": "1.2.3.4"}],
               "nodeInfo": {"kubeletVersion": "v9", "kernelVersion": "k", "osImage": "o", "containerRuntimeVersion": "c"}}),
    ("persistentvolumeclaims", {"phase": "Bound", "capacity": {"storage": "2Gi"}, "accessModes": ["ReadWriteOnce"]}),
    ("persistentvolumes", {"phase": "Released", "reason": "why"}),
    ("services", {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"hostname": "h.example"}]}}),
    ("ingresses", {"loadBalancer": {"ingress": [{"ip": "5.6.7.8"}, {"hostname": "h.example"}]}}),
    ("poddisruptionbudgets", {"disruptionsAllowed": 2, "currentHealthy": 3, "desiredHealthy": 1, "expectedPods": 3, "observedGeneration": 1}),
    ("horizontalpodautoscalers", {"currentReplicas": 2, "desiredReplicas": 3, "currentCPUUtilizationPercentage": 40}),
    ("replicationcontrollers", {"replicas": 2, "readyReplicas": 1, "fullyLabeledReplicas": 1, "availableReplicas": 1}),
    ("resourcequotas", {"hard": {"pods": "3"}, "used": {"pods": "1"}}),
    ("widgets", {"replicas": 3, "selector": "a=b", "phase": "p"}),
]


def case_table_statuses(p):
    """What each status makes of the cells, and what a status update keeps."""
    ns = namespace(p)
    w = widgets(p)
    for plural, status in STATUSES:
        k = w if plural == "widgets" else kind(plural)
        one, name = Of(p, k, ns), label(k)
        one.create(name)
        one.put(name, lambda o, status=status: merged(o, {"status": copy.deepcopy(status)}))
        one.put(name, lambda o, status=status: merged(o, {"status": copy.deepcopy(status)}), "status")
        one.get(name, Accept=TABLE)
        one.put(name, lambda o, k=k: merged(o, {"spec": {"wrong": 1}, **copy.deepcopy(k.change)}), "status")
        one.get(name)


def case_table_specs(p):
    """Specs that show in cells."""
    ns = namespace(p)
    service = kind("services")
    for spec in ({"type": "NodePort"}, {"type": "LoadBalancer"}, {"clusterIP": "None"}, {"type": "ExternalName", "externalName": "x.y"},
                 {"externalIPs": ["9.9.9.9", "8.8.8.8"]}, {"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "b", "protocol": "UDP"}]},
                 {"type": "ExternalName", "externalName": "x.y", "ports": None}, {"sessionAffinity": "ClientIP"},
                 {"type": "LoadBalancer", "externalTrafficPolicy": "Local"}, {"selector": None}):
        one, name = Of(p, service, ns), label(service)
        one.create(name, {"spec": spec})
        one.get(name, Accept=TABLE)
    ingress = kind("ingresses")
    rule = {"host": "a.b", "http": {"paths": [{"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "s", "port": {"name": "p"}}}}]}}
    for spec in ({"rules": [rule]}, {"rules": [rule, {**rule, "host": "c.d"}], "tls": [{"hosts": ["a.b"]}], "ingressClassName": "k"},
                 {"rules": [{**rule, "host": "h%d.x" % i} for i in range(5)]}):
        one, name = Of(p, ingress, ns), label(ingress)
        one.create(name, {"spec": spec})
        one.get(name, Accept=TABLE)
    for plural, change in [
            ("poddisruptionbudgets", {"spec": {"minAvailable": None, "maxUnavailable": "10%"}}),
            ("persistentvolumeclaims", {"spec": {"volumeName": "v", "storageClassName": "k", "volumeMode": "Block"}}),
            ("persistentvolumes", {"spec": {"claimRef": {"namespace": "a", "name": "b"}, "storageClassName": "k",
                                            "accessModes": ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany"]}}),
            ("nodes", {"spec": {"unschedulable": True}, "metadata": {"labels": {"node-role.kubernetes.io/a": "", "kubernetes.io/role": "b"}}}),
            ("secrets", {"type": "kubernetes.io/basic-auth", "stringData": {"username": "u"}}),
            ("endpoints", {"subsets": [{"addresses": [{"ip": "1.1.1.%d" % i} for i in range(1, 6)], "ports": [{"port": 7, "name": "a"}]}]}),
            ("endpoints", {"subsets": None}), ("configmaps", {"data": None, "binaryData": None, "immutable": True}),
            ("storageclasses", {"metadata": {"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
                                "volumeBindingMode": "WaitForFirstConsumer", "allowVolumeExpansion": True, "reclaimPolicy": "Retain"}),
            ("networkpolicies", {"spec": {"podSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "a"]},
                                                                                {"key": "c", "operator": "Exists"}]}}}),
            ("jobs", {"spec": {"completions": 5, "parallelism": 2}}), ("jobs", {"spec": {"parallelism": 0}}),
            ("cronjobs", {"spec": {"suspend": True, "concurrencyPolicy": "Forbid"}}),
            ("daemonsets", {"spec": {"template": {"spec": {"nodeSelector": {"a": "b", "c": "d"}}}}}),
            ("pods", {"spec": {"initContainers": [{"name": "i", "image": "x"}], "nodeName": "n", "readinessGates": [{"conditionType": "a.b/c"}]}}),
            ("ingressclasses", {"spec": {"parameters": {"kind": "K", "name": "n", "apiGroup": "g.h"}}}),
            ("priorityclasses", {"globalDefault": False, "value": -5, "preemptionPolicy": "Never"}),
            ("rolebindings", {"roleRef": {"kind": "ClusterRole"}, "subjects": [
                {"kind": "Group", "name": "g", "apiGroup": "rbac.authorization.k8s.io"}, {"kind": "User", "name": "u"},
                {"kind": "User", "name": "v"}]}),
            ("limitranges", {"spec": {"limits": []}}), ("resourcequotas", {"spec": {"hard": {"cpu": "3", "requests.memory": "1Gi"}}})]:
        one, name = Of(p, kind(plural), ns), label(None)
        one.create(name, change)
        one.get(name, Accept=TABLE)
        one.get(name)
        if plural in ("storageclasses", "nodes", "priorityclasses"):
            one.delete(name)


# ---------------------------------------------------------------------------------------- watches


def case_watches(p):
    for k in [kind("configmaps"), kind("pods"), kind("deployments"), kind("leases"), widgets(p)]:
        ns = namespace(p)
        one = Of(p, k, ns)
        one.create("before", labels={"sel": "in"})
        start = p.both(lambda s: s.json("GET", k.path(s, ns))["metadata"]["resourceVersion"])
        one.create("a", labels={"sel": "in"})
        one.create("b", labels={"sel": "out"})
        one.patch("b", {"metadata": {"labels": {"sel": "in"}}})
        one.patch("a", {"metadata": {"labels": {"sel": "out"}}})
        one.patch("a", {"metadata": {"annotations": {"x": "y"}}})
        one.patch("b", {"metadata": {"annotations": {"x": "y"}}})
        one.patch("b", {"metadata": {"annotations": {"x": "y"}}})
        one.patch("b", {"metadata": {"finalizers": ["x.y/z"]}})
        one.delete("b")
        one.patch("b", {"metadata": {"finalizers": None}})
        one.delete("a")
        one.delete("before", {"gracePeriodSeconds": 0})
        one.create("last", labels={"sel": "in"})
        asked = []
        for query in ("", "&labelSelector=sel=in", "&labelSelector=sel=out", "&fieldSelector=metadata.name=b", "&labelSelector=sel!=in",
                      "&labelSelector=sel=in&fieldSelector=metadata.name!=a", "&allowWatchBookmarks=true&labelSelector=sel=in"):
            for accept in ("application/json", TABLE, PARTIAL):
                asked.append(("watch=1&resourceVersion=@" + query, accept))
        for query in ("", "&resourceVersion=0", "&labelSelector=sel=in", "&resourceVersion=0&allowWatchBookmarks=true",
                      "&resourceVersion=999999999", "old"):
            asked.append(("watch=1" + query, "application/json"))

        def heard(s, v, k=k, ns=ns, asked=asked):
            at = k.path(s, ns)
            paths = [(at.replace("/namespaces/", "/watch/namespaces/") + "?resourceVersion=0" if q.endswith("old") else
                      at + "?" + q.replace("@", v)) + "&timeoutSeconds=2" for q, _ in asked]
            return s.at_once([("GET", path, None, {"Accept": accept}) for path, (_, accept) in zip(paths, asked)])
        heard = [heard(s, v) for s, v in zip(p.sides, start)]
        for (query, accept), theirs, ours in zip(asked, *heard):
            p.compare("WATCH %s?%s %s" % (k.path(p.sides[0], ns), query, accept), p.sides[0].events(theirs), p.sides[1].events(ours))


# ---------------------------------------------------------------------------------- subresources


def case_scale(p):
    ns = namespace(p)
    for k in [kind("deployments"), kind("replicasets"), kind("statefulsets"), kind("replicationcontrollers"), widgets(p)]:
        one, name = Of(p, k, ns), label(k)
        one.create(name)
        one.get(name, "scale")
        one.patch(name, {"spec": {"replicas": 5}}, sub="scale")
        one.patch(name, {"spec": {"replicas": 5}, "status": {"replicas": 9}}, sub="scale")
        one.patch(name, {"spec": {"replicas": -1}}, sub="scale")
        one.patch(name, {"spec": {"replicas": "x"}}, sub="scale")
        one.patch(name, {"metadata": {"labels": {"a": "b"}, "name": "x"}}, sub="scale")
        one.patch(name, {"metadata": {"resourceVersion": "1"}, "spec": {"replicas": 6}}, sub="scale")
        one.patch(name, [{"op": "replace", "path": "/spec/replicas", "value": 4}], "json", sub="scale")
        p.same("PUT", one.at(name, "scale"), {"metadata": {"name": name, "namespace": ns}, "spec": {"replicas": 2}})
        p.same("PUT", one.at(name, "scale"), {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": name, "namespace": ns},
                                              "spec": {"replicas": 3}})
        p.same("PUT", one.at(name, "scale"), {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "other"}, "spec": {}})
        p.same("PUT", one.at("none", "scale"), {"kind": "Scale", "apiVersion": "autoscaling/v1",
                                                "metadata": {"name": "none", "namespace": ns}, "spec": {"replicas": 3}})
        one.get("none", "scale")
        one.get(name)


def case_pod_subresources(p):
    ns = namespace(p)
    pods, pdb = Of(p, kind("pods"), ns), Of(p, kind("poddisruptionbudgets"), ns)
    for name in ("one", "two", "three", "four", "five"):
        pods.create(name, labels={"a": "b"})

    def binding(name, **more):
        return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, **more}, "target": {"kind": "Node", "name": "n"}}
    p.same("POST", pods.at("one", "binding"), {"target": {}})
    p.same("POST", pods.at("one", "binding"), binding("other"))
    p.same("POST", pods.at("one", "binding"), {**binding("one"), "target": {"kind": "Pod", "name": "n"}})
    p.same("POST", pods.at("one", "binding", "?dryRun=All"), binding("one"))
    p.same("POST", pods.at("one", "binding"), binding("one", annotations={"x": "y"}, labels={"l": "m"}))
    p.same("POST", pods.at("one", "binding"), binding("one", annotations={"x": "y"}))
    p.same("POST", pods.at("one", "binding"), binding("one"))
    p.same("POST", pods.at("five", "binding"), binding("five", uid="x"))
    p.same("POST", pods.at("none", "binding"), binding("none"))
    p.same("POST", "/api/v1/namespaces/%s/bindings" % ns, binding("two"))
    p.same("POST", "/api/v1/namespaces/%s/bindings" % ns, binding(""))
    pods.get("one")
    pods.get("two")

    def eviction(s, name="one", **more):
        return {"apiVersion": "policy/v1beta1" if s.name == "kube" else "policy/v1", "kind": "Eviction",
                "metadata": {"name": name, "namespace": ns}, **more}
    p.same("POST", pods.at("one", "eviction"), lambda s: eviction(s, "other"))
    p.same("POST", pods.at("none", "eviction"), lambda s: eviction(s, "none"))
    p.same("POST", pods.at("one", "eviction"), lambda s: {**eviction(s), "kind": "Pod"})
    p.same("POST", pods.at("one", "eviction"), lambda s: eviction(s, deleteOptions={"dryRun": ["All"]}))
    p.same("POST", pods.at("one", "eviction", "?dryRun=All"), eviction)
    pdb.create("budget")
    pdb.put("budget", lambda o: o["status"].update(disruptionsAllowed=0, observedGeneration=1, currentHealthy=1, desiredHealthy=1,
                                                   expectedPods=1), "status")
    pods.patch("one", {"metadata": {"labels": {"a": "b"}}})
    pods.put("one", lambda o: o["status"].update(phase="Running"), "status")
    p.same("POST", pods.at("one", "eviction"), eviction)
    pdb.put("budget", lambda o: o["status"].update(disruptionsAllowed=1), "status")
    p.same("POST", pods.at("one", "eviction", "?dryRun=All"), eviction)
    p.same("POST", pods.at("one", "eviction"), lambda s: eviction(s, deleteOptions={"gracePeriodSeconds": 7}))
    pdb.get("budget")
    p.same("POST", pods.at("three", "eviction"), lambda s: eviction(s, "three"))
    pdb.create("second", {"spec": {"selector": {"matchLabels": {"a": "b"}}}})
    p.same("POST", pods.at("two", "eviction"), lambda s: eviction(s, "two"))
    pods.get("one")
    pods.get("one", "log")
    pods.get("four", "log")
    pods.get("four", "log", "?container=none")
    pods.get("four", "log", "?tailLines=-1")
    pods.get("one", "ephemeralcontainers")
    pods.get("none", "exec", "?command=x")
    pods.get("four", "exec", "?command=x")
    pods.get("four", "exec")
    pods.get("four", "attach")
    pods.get("four", "portforward")


def case_tokens(p):
    ns = namespace(p)
    accounts = Of(p, kind("serviceaccounts"), ns)
    accounts.create("sa")
    for body in ({}, {"spec": {}}, {"spec": {"audiences": ["a", "b"]}}, {"spec": {"expirationSeconds": 600}}, {"spec": {"expirationSeconds": 5}},
                 {"spec": {"expirationSeconds": 1 << 33}}, {"spec": {"boundObjectRef": {"kind": "Pod", "apiVersion": "v1", "name": "none"}}},
                 {"spec": {"boundObjectRef": {"kind": "Thing", "apiVersion": "v1", "name": "none"}}}, {"metadata": {"name": "other"}},
                 {"kind": "Other", "apiVersion": "v1"}, {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}):
        for account in ("sa", "none"):
            answers = []
            for s in p.sides:
                a = s.answer(s.request("POST", accounts.at(account, "token")(s), json.dumps(body), JSON))
                if isinstance(a["body"], dict) and (a["body"].get("status") or {}) and isinstance(a["body"]["status"], dict):
                    a["body"]["status"].pop("token", None)
                answers.append(a)
            p.compare("POST token of %s %s" % (account, json.dumps(body)), *answers)
    p.same("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {"token": "nonsense"}})
    p.same("POST", "/apis/authentication.k8s.io/v1/tokenreviews", {"spec": {}})
    for spec in ({}, {"resourceAttributes": {"verb": "get", "resource": "pods"}}, {"nonResourceAttributes": {"verb": "get", "path": "/x"}},
                 {"resourceAttributes": {}, "nonResourceAttributes": {}}):
        p.same("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": spec})
        p.same("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": {"user": "nobody", **spec}})
        p.same("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", {"spec": spec})
        p.same("POST", "/apis/authorization.k8s.io/v1/namespaces/%s/localsubjectaccessreviews" % ns, {"spec": {"user": "nobody", **spec}})
        p.same("POST", "/apis/authorization.k8s.io/v1/namespaces/%s/localsubjectaccessreviews" % ns,
               {"metadata": {"namespace": "other"}, "spec": {"user": "nobody", "resourceAttributes": {"namespace": ns, "verb": "get"}}})
    rules = p.both(lambda s: s.json("POST", "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", '{"spec":{"namespace":"x"}}', JSON))
    for side in rules:
        for which in ("resourceRules", "nonResourceRules"):  # in any order
            side["status"][which].sort(key=json.dumps)
    p.compare("POST selfsubjectrulesreviews", *rules)


def case_forbidden(p):
    """What somebody without any right is told."""
    who = {"Impersonate-User": "nobody", "Impersonate-Group": "none"}
    for method, path in [("GET", "/api/v1/namespaces/default/pods"), ("GET", "/api/v1/namespaces/default/pods/x"), ("GET", "/api/v1/nodes"),
                         ("GET", "/api/v1/nodes/x"), ("GET", "/apis/apps/v1/deployments"), ("DELETE", "/api/v1/namespaces/x"),
                         ("GET", "/api/v1/namespaces/default/pods/x/log"), ("GET", "/nonsense"), ("GET", "/apis/none.such/v1/things"),
                         ("GET", "/metrics"), ("DELETE", "/api/v1/namespaces/default/pods"), ("GET", "/api/v1/pods?watch=1"),
                         ("GET", "/api/v1/watch/pods"), ("GET", "/healthz"), ("GET", "/version"), ("GET", "/api"), ("GET", "/"),
                         ("GET", "/api/v1/namespaces"), ("GET", "/api/v1/namespaces/x"), ("GET", "/logs"), ("HEAD", "/api/v1/pods")]:
        p.same(method, path, **who)
    for method, path, body in [("POST", "/api/v1/namespaces/default/pods", "{}"), ("PUT", "/api/v1/namespaces/default/pods/x", "{}"),
                               ("PATCH", "/api/v1/nodes/x/status", "{}"), ("POST", "/api/v1/namespaces/default/pods/x/exec", "{}")]:
        p.same(method, path, body, **who)
    p.same("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "esc"}, "rules": [
        {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]}, **who)
    p.same("GET", "/api/v1/pods", note="a group without a user", Impersonate_Group="x")
    p.same("GET", "/api/v1/pods", Impersonate_User="system:anonymous")
    p.same("GET", "/api/v1/pods", Impersonate_User="system:serviceaccount:a:b")
    p.same("GET", "/api/v1/pods", Authorization="Bearer nonsense")
    p.same("GET", "/api/v1/pods", Authorization="Basic eDp5")


# ---------------------------------------------------------------------------------- custom resources


def case_custom(p):
    ns = namespace(p)
    one = Of(p, widgets(p), ns)
    specs = [{}, {"size": "x"}, {"size": 0}, {"size": 101}, {"size": 1.5}, {"size": 2, "color": "green"}, {"size": 2, "mode": None},
             {"size": 2, "mode": "UPPER"}, {"size": 2, "mode": "toolong"}, {"size": 2, "unknown": {"x": 1}}, {"size": None}, None, [],
             {"size": 2, "parts": [{}]}, {"size": 2, "parts": [{"name": "a"}, {"name": "a"}]}, {"size": 2, "tags": ["a", "a"]},
             {"size": 2, "parts": [{"name": str(i)} for i in range(5)]}, {"size": 2, "free": {"deep": {"er": [1, {"x": None}]}}},
             {"size": 2, "either": "x"}, {"size": 2, "either": 3}, {"size": 2, "either": True}, {"size": 2, "map": {"a": 1}},
             {"size": 2, "map": {"a": "x"}}, {"size": 2, "parts": "x"}, {"size": 2, "parts": [None]}, {"size": 2, "tags": [1]},
             {"size": 9007199254740993}, {"size": 2, "free": {"n": 1.0, "m": 1e3, "big": 12345678901234567890}}]
    for i, spec in enumerate(specs):
        name = "w-%d" % i
        p.same("POST", one.at(), lambda s, spec=spec, name=name: {"apiVersion": "differ.example/v1", "kind": "Widget",
                                                                  "metadata": {"name": name}, "spec": spec})
        one.create("base-%d" % i)
        one.put("base-%d" % i, lambda o, spec=spec: o.update(spec=spec))
        one.patch("base-%d" % i, {"spec": spec})
        one.patch("base-%d" % i, {"spec": spec}, "strategic")
        one.patch("base-%d" % i, {"status": {"phase": 3}}, sub="status")
        one.patch("base-%d" % i, {"status": {"phase": "x"}, "spec": {"size": 50}}, sub="status")
    p.same("GET", "/apis/differ.example/v1")
    p.same("GET", "/apis/differ.example")
    p.same("GET", "/apis/differ.example/v2")
    p.same("GET", "/apis/differ.example/v1/widgets")
    p.same("GET", "/apis/differ.example/v1/gadgets")


def case_definitions(p):
    base = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

    def definition(name, **spec):
        d = copy.deepcopy(WIDGETS)
        d["metadata"]["name"] = name + ".def.example"
        d["spec"]["group"] = "def.example"
        d["spec"]["names"] = {"plural": name, "kind": name.capitalize()}
        return merged(d, spec)
    p.same("POST", base, definition("aas"))
    for s in p.sides:
        until("aas in " + s.name, lambda s=s: s.request("GET", "/apis/def.example/v1/aas")[0] == 200)
    p.same("GET", base + "/aas.def.example")
    p.same("GET", base + "/aas.def.example", Accept=TABLE)
    p.same("GET", base + "/aas.def.example/status")
    version = WIDGETS["spec"]["versions"][0]
    for what in ({"names": {"plural": "x"}}, {"names": {"kind": "lower"}}, {"names": {"shortNames": ["Bad Name"]}}, {"scope": "Other"},
                 {"versions": []}, {"versions": [version, version]}, {"versions": [{**version, "storage": False}]},
                 {"versions": [{**version, "schema": None}]}, {"versions": [{**version, "name": "Bad"}]}, {"group": "nodots"},
                 {"versions": [{**version, "schema": {"openAPIV3Schema": {"type": "string"}}}]}, {"preserveUnknownFields": True},
                 {"versions": [{**version, "schema": {"openAPIV3Schema": {"type": "object", "properties": {"a": {}}}}}]},
                 {"versions": [{**version, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                     "a": {"type": "array"}, "b": {"type": "object", "default": {"x": 1}}}}}}]},
                 {"versions": [{**version, "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                     "a": {"type": "string", "pattern": "("}, "b": {"type": "integer", "default": "x"}}}}}]},
                 {"versions": [{**version, "additionalPrinterColumns": [{"name": "", "type": "x", "jsonPath": "bad"}]}]},
                 {"versions": [{**version, "subresources": {"scale": {"specReplicasPath": "x", "statusReplicasPath": ".spec.y"}}}]},
                 {"conversion": {"strategy": "Webhook"}}, {"conversion": {"strategy": "Other"}}):
        p.same("POST", base + "?dryRun=All", definition("bbs", spec=what))
    for change in ({"spec": {"scope": "Cluster"}}, {"spec": {"group": "x.y"}}, {"spec": {"names": {"kind": "Other"}}}, {"spec": {"names": {"shortNames": ["zz"]}}},
                   {"status": {"storedVersions": []}}, {"metadata": {"labels": {"a": "b"}}}):
        p.same("PATCH", base + "/aas.def.example", json.dumps(change), **MERGE)
    p.same("POST", "/apis/def.example/v1/namespaces/default/aas", {"apiVersion": "def.example/v1", "kind": "Aas",
                                                                   "metadata": {"name": "one"}, "spec": {"size": 1}})
    p.same("DELETE", base + "/aas.def.example")
    for s in p.sides:
        until("aas gone in " + s.name, lambda s=s: s.request("GET", base + "/aas.def.example")[0] == 404)
        until("aas not served in " + s.name, lambda s=s: s.request("GET", "/apis/def.example/v1/aas")[0] == 404)
    p.same("GET", "/apis/def.example/v1/aas")


# ---------------------------------------------------------------------------------------- discovery


def case_discovery(p):
    """Of what both serve: resources by name. Versions that only one has are not compared."""
    widgets(p)
    both = p.both(lambda s: s.json("GET", "/apis"))
    groups = [{g["name"]: g for g in b["groups"]} for b in both]
    shared = sorted(groups[0].keys() & groups[1].keys())
    for g in shared:
        versions = [{v["version"] for v in side[g]["versions"]} for side in groups]
        for v in sorted(versions[0] & versions[1]):
            discovered(p, "/apis/%s/%s" % (g, v))
        if versions[0] == versions[1]:
            p.same("GET", "/apis/" + g)
    discovered(p, "/api/v1")
    p.same("GET", "/api")
    p.same("GET", "/apis", Accept="application/yaml")
    answers = p.both(lambda s: s.json("GET", "/version"))
    p.compare("/version's fields", *[sorted(k for k in a if k not in LATER_VERSION_FIELDS) for a in answers])


LATER_VERSION_FIELDS = ("emulationMajor", "emulationMinor", "minCompatibilityMajor", "minCompatibilityMinor")


def discovered(p, path):
    answers = p.both(lambda s: s.json("GET", path))
    resources = []
    for a in answers:
        resources.append({r["name"]: {k: v for k, v in r.items() if k != "storageVersionHash"} for r in a.pop("resources", [])})
    p.compare("GET %s but its resources" % path, *answers)
    for name in sorted(resources[0].keys()):
        p.compare("GET %s %s" % (path, name), resources[0][name], resources[1].get(name))
