"""Patches of all kinds and server-side apply, scripted, and random sequences of writes, for api_diff_test.py."""
import copy
import json
import random

from api_diff_apply import foretold
from api_diff_cases import PATCHES, Of, defined, label, merged, namespace
from api_diff_objects import GADGET, GADGETS, KINDS, kind

POD = {"spec": {"containers": [
    {"name": "c", "image": "i", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
     "ports": [{"containerPort": 80, "name": "http"}, {"containerPort": 81, "protocol": "UDP"}], "args": ["x", "y"],
     "volumeMounts": [{"name": "v", "mountPath": "/v"}]},
    {"name": "d", "image": "j"}],
    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "configMap": {"name": "m"}}],
    "tolerations": [{"key": "k", "operator": "Exists"}], "imagePullSecrets": [{"name": "s"}, {"name": "t"}],
    "hostAliases": [{"ip": "1.2.3.4", "hostnames": ["a"]}], "nodeSelector": {"a": "b"}}}


def gadgets(p):
    return defined(p, GADGETS, GADGET)


def deployment(p, ns, name):
    one = Of(p, kind("deployments"), ns)
    one.create(name, {"spec": {"template": {"spec": POD["spec"]}}}, finalizers=["a.b/c", "d.e/f"], labels={"l": "1", "m": "2"})
    return one


def template(**spec):
    return {"spec": {"template": {"spec": spec}}}


JSON_PATCHES = [
    [], [{"op": "add", "path": "/metadata/labels/x", "value": "y"}], [{"op": "add", "path": "/metadata/annotations/x", "value": "y"}],
    [{"op": "replace", "path": "/metadata/labels/none", "value": "y"}], [{"op": "remove", "path": "/metadata/labels/none"}],
    [{"op": "remove", "path": "/metadata/labels/l"}], [{"op": "test", "path": "/metadata/labels/m", "value": "2"}],
    [{"op": "test", "path": "/metadata/labels/m", "value": "3"}], [{"op": "test", "path": "/metadata/labels/none", "value": None}],
    [{"op": "move", "from": "/metadata/labels/m", "path": "/metadata/labels/moved"}],
    [{"op": "copy", "from": "/metadata/labels/m", "path": "/metadata/labels/copied"}],
    [{"op": "copy", "from": "/metadata/labels/none", "path": "/metadata/labels/copied"}],
    [{"op": "add", "path": "/spec/template/spec/containers/-", "value": {"name": "e", "image": "k"}}],
    [{"op": "add", "path": "/spec/template/spec/containers/0", "value": {"name": "f", "image": "k"}}],
    [{"op": "add", "path": "/spec/template/spec/containers/99", "value": {"name": "g", "image": "k"}}],
    [{"op": "remove", "path": "/spec/template/spec/containers/-1"}], [{"op": "replace", "path": "/spec/replicas", "value": "x"}],
    [{"op": "replace", "path": "/spec/replicas", "value": 1.5}], [{"op": "replace", "path": "/spec/unknown", "value": 1}],
    [{"op": "add", "path": "/spec/unknown", "value": 1}], [{"op": "nonsense", "path": "/x"}], [{"op": "add"}], [{"path": "/x"}],
    [{"op": "add", "path": "no slash", "value": 1}], [{"op": "add", "path": "/metadata/annotations", "value": {"a~1b": "c"}}],
    [{"op": "replace", "path": "/metadata/annotations/a~01b", "value": "d"}], [{"op": "replace", "path": "", "value": {"kind": "Deployment"}}],
    [{"op": "replace", "path": "/metadata/name", "value": "other"}], [{"op": "replace", "path": "/kind", "value": "Other"}],
    [{"op": "replace", "path": "/apiVersion", "value": "v1"}], [{"op": "add", "path": "/metadata/resourceVersion", "value": "1"}],
    [{"op": "add", "path": "/metadata/resourceVersion", "value": ""}], [{"op": "remove", "path": "/metadata/resourceVersion"}],
    [{"op": "remove", "path": "/metadata/uid"}], [{"op": "replace", "path": "/metadata/uid", "value": "x"}],
    [{"op": "remove", "path": "/metadata/managedFields"}], [{"op": "replace", "path": "/metadata/managedFields", "value": []}],
    [{"op": "replace", "path": "/metadata/managedFields", "value": [{}]}], {"op": "add"}, "x", [3], None,
    [{"op": "add", "path": "/metadata/finalizers/-", "value": "g.h/i"}], [{"op": "test", "path": "/spec/replicas", "value": 1}],
    [{"op": "add", "path": "/metadata/labels", "value": None}], [{"op": "remove", "path": "/metadata/name"}]]

MERGES = [
    {}, {"metadata": {"labels": {"x": "y", "l": None}}}, {"spec": {"replicas": None}}, {"spec": {"replicas": 4}}, {"spec": {"replicas": "4"}},
    {"spec": None}, {"spec": {"template": None}}, {"spec": {"unknown": 1}}, template(containers=[{"name": "z", "image": "q"}]),
    template(containers=None), template(nodeSelector={"a": None, "c": "d"}), template(volumes=None),
    template(containers=[{"name": "z", "image": "q"}], volumes=[]), {"metadata": {"name": "other"}}, {"kind": "Other"}, {"apiVersion": "v1"},
    {"metadata": {"resourceVersion": "1"}}, {"metadata": {"resourceVersion": None}}, {"metadata": {"uid": "x"}}, {"metadata": None},
    {"metadata": {"managedFields": []}}, {"metadata": {"managedFields": [{}]}}, {"metadata": {"finalizers": ["x.y/z"]}}, [], 3, "x",
    {"metadata": {"annotations": {"a": 3}}}, {"metadata": {"annotations": {"a": None}}}, {"spec": {"strategy": {"type": "Recreate"}}},
    {"spec": {"strategy": {"type": "Recreate", "rollingUpdate": None}}}, {"spec": {"selector": {"matchLabels": {"b": "c"}}}},
    {"metadata": {"namespace": "other"}}, {"metadata": {"labels": []}}, {"spec": []}, {"status": {"replicas": 9}}]

STRATEGIC = [
    template(containers=[{"name": "c", "image": "new"}]), template(containers=[{"name": "n", "image": "new"}]),
    template(containers=[{"name": "d", "$patch": "delete"}]), template(containers=[{"$patch": "replace"}, {"name": "r", "image": "q"}]),
    template(containers=[{"name": "c", "env": [{"name": "A", "$patch": "delete"}, {"name": "C", "value": "3"}]}]),
    template(containers=[{"name": "c", "env": [{"$patch": "replace"}]}]),
    template(containers=[{"name": "c", "env": [{"name": "B", "value": "9"}], "$setElementOrder/env": [{"name": "B"}, {"name": "A"}]}]),
    {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "d"}, {"name": "c"}], "containers": [{"name": "c", "image": "o"}]}}}},
    {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "d"}], "containers": [{"name": "c", "image": "o"}]}}}},
    template(containers=[{"image": "noname"}]), template(containers=[{"name": "c", "ports": [{"containerPort": 80, "hostPort": 8}]}]),
    template(containers=[{"name": "c", "ports": [{"containerPort": 82}]}]), template(containers=[{"name": "c", "args": ["z"]}]),
    template(volumes=[{"name": "v", "$patch": "delete"}]), template(volumes=[{"name": "w", "$retainKeys": ["name", "emptyDir"], "emptyDir": {}}]),
    template(volumes=[{"name": "w", "emptyDir": {}}]), template(tolerations=[{"key": "z", "operator": "Exists"}]),
    template(nodeSelector={"$patch": "replace", "z": "z"}), template(nodeSelector={"$patch": "delete"}), template(nodeSelector={"a": None}),
    template(nodeSelector={"$patch": "nonsense"}), template(imagePullSecrets=[{"name": "s", "$patch": "delete"}, {"name": "u"}]),
    {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a.b/c"]}}, {"metadata": {"finalizers": ["n.o/p"]}},
    {"metadata": {"finalizers": ["q.r/s"], "$setElementOrder/finalizers": ["q.r/s", "d.e/f"]}}, {"$patch": "replace", "metadata": {"name": "x"}},
    {"$patch": "delete"}, {"spec": {"$patch": "replace", "replicas": 2}}, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}},
    {"spec": {"strategy": {"$patch": "replace", "type": "Recreate"}}}, {"spec": {"template": {"spec": {"containers": "x"}}}},
    {"spec": {"template": {"spec": {"containers": [3]}}}}, {"spec": {"unknown": {"a": 1}}}, {"spec": {"replicas": "x"}}, [], 3, {"metadata": {"labels": {"l": None}}},
    {"metadata": {"ownerReferences": [{"uid": "u", "apiVersion": "v1", "kind": "Pod", "name": "n"}]}},
    template(hostAliases=[{"ip": "1.2.3.4", "hostnames": ["b"]}, {"ip": "2.2.2.2"}]),
    template(containers=[{"name": "c", "volumeMounts": [{"mountPath": "/v", "$patch": "delete"}, {"mountPath": "/w", "name": "w"}]}]),
    template(initContainers=[{"name": "i", "image": "x"}]), template(topologySpreadConstraints=[{"topologyKey": "t", "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}])]


def case_patches(p):
    for form, patches in (("json", JSON_PATCHES), ("merge", MERGES), ("strategic", STRATEGIC)):
        ns = namespace(p)
        for i, patch in enumerate(patches):
            name = "%s-%d" % (form, i)
            one = deployment(p, ns, name)
            one.patch(name, patch, form)
            one.patch(name, patch, form, query="?fieldManager=second")
            one.get(name)
        for text in ("", "{", "a: b", "null", "[", '{"a":1} x', '{"metadata":{"labels":{"d":"1","d":"2"}}}'):
            one.patch(name, text, form, note=text)


def case_patches_custom(p):
    ns, k = namespace(p), gadgets(p)
    one = Of(p, k, ns)
    for i, (form, patch) in enumerate([
            ("json", [{"op": "add", "path": "/spec/size", "value": 7}]), ("json", [{"op": "add", "path": "/spec/unknown", "value": 7}]),
            ("json", [{"op": "replace", "path": "/spec/parts/0/count", "value": "x"}]), ("merge", {"spec": {"parts": None}}),
            ("json", [{"op": "remove", "path": "/spec/size"}]), ("merge", {"spec": {"color": None}}), ("merge", {"spec": {"free": {"z": None, "y": {"a": 1}}}}),
            ("strategic", {"spec": {"size": 5}}), ("merge", {"metadata": {"name": "z"}}), ("merge", {"metadata": {"unknown": "z"}}),
            ("merge", {"unknown": "z"}), ("merge", {"kind": "X"}), ("merge", {"apiVersion": "differ.example/v2"}),
            ("json", [{"op": "test", "path": "/spec/size", "value": 4}]), ("merge", {"spec": {"parts": [{"name": "q"}]}})]):
        name = "w%d" % i
        one.create(name)
        one.patch(name, patch, form)
        one.patch(name, patch, form)
        one.get(name)


# ------------------------------------------------------------------------------------------ apply


def applied(one, name, change, manager, force=False, sub=""):
    """An apply of these fields alone."""
    k, p = one.k, one.p
    change = {**change, "metadata": {"name": name, **change.get("metadata", {})}}
    at = one.at(name, sub, "?fieldManager=" + manager + ("&force=true" if force else ""))
    return p.same("PATCH", at, lambda s: json.dumps({"apiVersion": k.api_version(s), "kind": k.kind, **change}),
                  Content_Type=PATCHES["apply"], note="%s applies %s%s" % (manager, json.dumps(change), " by force" if force else ""))


def case_apply(p):
    ns = namespace(p)
    k = kind("configmaps")
    one = Of(p, k, ns)
    applied(one, "m", {"data": {"a": "1", "b": "2"}}, "one")
    applied(one, "m", {"data": {"a": "1", "b": "2"}}, "one")
    applied(one, "m", {"data": {"a": "1"}}, "two")
    applied(one, "m", {"data": {"a": "2"}}, "two")
    applied(one, "m", {"data": {"a": "2", "b": "3"}}, "two")
    applied(one, "m", {"data": {"a": "2"}}, "two", True)
    applied(one, "m", {"data": {"b": "2"}}, "one")
    applied(one, "m", {}, "two")
    applied(one, "m", {}, "one")
    one.patch("m", {"data": {"x": "by patch"}}, query="?fieldManager=patcher")
    applied(one, "m", {"data": {"x": "other"}}, "one")
    applied(one, "m", {"data": {"x": "by patch"}}, "one")
    one.put("m", lambda o: o["data"].update(x="put"), query="?fieldManager=putter")
    applied(one, "m", {"data": {"x": "again"}}, "one")
    one.get("m")
    for body in ("", "{}", "[]", "a: b\n---\nc: d", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: other}", "{", "apiVersion: v1\nkind: Pod\nmetadata: {name: m}",
                 "kind: ConfigMap\nmetadata: {name: m}", "apiVersion: v1\nmetadata: {name: m}", "apiVersion: v2\nkind: ConfigMap\nmetadata: {name: m}",
                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, managedFields: [{}]}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, unknown: 3}",
                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\nunknown: 3", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: [1]",
                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: 1}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, resourceVersion: '1'}",
                 "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m, uid: x}", "apiVersion: v1\nkind: ConfigMap\nmetadata: {}\ndata: {z: z}"):
        one.patch("m", body, "apply", query="?fieldManager=three")
        one.patch("fresh", body, "apply", query="?fieldManager=three")
    one.patch("m", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}", "apply")
    one.patch("m", "{}", "merge", query="?force=true&fieldManager=x")
    applied(one, "dry", {"data": {"a": "1"}}, "one&dryRun=All")
    one.get("dry")


def case_apply_lists(p):
    ns = namespace(p)
    one = Of(p, kind("deployments"), ns)
    base = {"spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {"metadata": {"labels": {"app": "a"}}, "spec": POD["spec"]}}}
    c = {"name": "c", "image": "i"}

    def containers(*list_):
        return {"spec": {"template": {"spec": {"containers": list(list_)}}}}
    applied(one, "d", base, "one")
    for change, manager, force in [
            (containers(c), "two", False), (containers({**c, "image": "k"}), "two", False), (containers({**c, "image": "k"}), "two", True),
            (containers({"name": "n", "image": "n"}), "three", False), (containers({**c, "env": [{"name": "Z", "value": "z"}]}), "two", False),
            (containers({**c, "args": ["q"]}), "two", False), (containers({**c, "args": ["q"]}), "two", True),
            (containers({**c, "ports": [{"containerPort": 80}]}), "two", False), (containers({**c, "ports": [{"containerPort": 80, "protocol": "TCP", "name": "w"}]}), "two", False),
            (containers({"image": "no name"}), "two", False), (containers(c, c), "two", False), ({"spec": {"replicas": 3}}, "four", False),
            ({"spec": {"replicas": 4}}, "five", False), ({"spec": {"replicas": 4}}, "five", True), ({}, "five", False), ({}, "two", False),
            ({"spec": {"template": {"spec": {"tolerations": [{"key": "x"}]}}}}, "two", False),
            ({"spec": {"template": {"spec": {"nodeSelector": {"a": "c"}}}}}, "two", False),
            ({"spec": {"template": {"spec": {"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}}}}, "two", False),
            ({"spec": {"strategy": {"type": "Recreate"}}}, "two", False), ({"spec": {"paused": None}}, "two", False),
            ({"spec": {"template": {"spec": {"containers": []}}}}, "one", False), ({"spec": {"selector": {"matchLabels": {"b": "c"}}}}, "two", True),
            ({"spec": {"unknown": 3}}, "two", False), ({"spec": {"replicas": "x"}}, "two", False), (base, "one", False), (base, "one", True)]:
        applied(one, "d", change, manager, force)
        one.get("d")
    applied(one, "d", {"status": {"replicas": 3}}, "six", sub="status")
    applied(one, "d", {"status": {"replicas": 3, "conditions": [{"type": "A", "status": "True"}]}}, "six", sub="status")
    applied(one, "d", {"status": {"conditions": [{"type": "A", "status": "False"}]}}, "seven", sub="status")
    one.patch("d", {"metadata": {"managedFields": [{}]}})
    applied(one, "d", containers({**c, "image": "z"}), "eight")
    one.get("d")


def case_apply_scaled(p):
    """Who scaled owns the replicas: 1.20 has no entry for it."""
    ns = namespace(p)
    one = Of(p, kind("deployments"), ns)
    one.create("scaled", {"spec": {"template": {"spec": POD["spec"]}}})
    applied(one, "scaled", {"spec": {"replicas": 2}}, "four", True)
    one.patch("scaled", {"spec": {"replicas": 9}}, sub="scale", query="?fieldManager=scaler")
    one.get("scaled")
    applied(one, "scaled", {"spec": {"replicas": 3}}, "four", True)


def case_apply_kinds(p):
    """Every kind is applied twice, and changed by a second manager."""
    ns = namespace(p)
    for k in [*KINDS, gadgets(p)]:
        if k.plural in ("apiservices",):
            continue
        one, name = Of(p, k, ns), label(k)
        body = json.loads(json.dumps(k.body).replace("@NAMESPACE@", ns))
        if k.plural == "services":  # 1.20 wants all keys of an item
            body["spec"]["ports"][0]["protocol"] = "TCP"
        applied(one, name, body, "one")
        applied(one, name, body, "one")
        applied(one, name, copy.deepcopy(k.change), "two")
        applied(one, name, copy.deepcopy(k.change), "two", True)
        applied(one, name, body, "one")
        applied(one, name, {}, "one")
        one.get(name)


# ----------------------------------------------------------------------------------------- random


def leaf(r):
    return r.choice(["1", "2", "3"])


def random_map(r, keys="abc"):
    """Never empty: whose an empty map is has changed since 1.20."""
    return {k: leaf(r) for k in keys if r.random() < 0.5} or {keys[0]: leaf(r)}


def random_container(r, name):
    c = {"name": name, "image": r.choice(["i", "j"])}
    if r.random() < 0.4:
        c["env"] = [{"name": n, "value": leaf(r)} for n in r.sample("XYZ", r.randint(0, 3))]
    if r.random() < 0.3:
        c["ports"] = [{"containerPort": n, "protocol": r.choice(["TCP", "UDP"])} for n in r.sample([80, 81, 82], r.randint(0, 3))]
    if r.random() < 0.3:
        c["args"] = [leaf(r) for _ in range(r.randint(0, 2))]
    if r.random() < 0.3:
        c["resources"] = {"limits": {"cpu": r.choice(["1", "1000m", "2"])}}
    return c


def random_config(r):
    return {"data": random_map(r), "metadata": {"labels": random_map(r), "annotations": random_map(r, "d")}}


def random_deployment(r):
    spec = {"template": {"metadata": {"labels": {"app": "a", **random_map(r)}},
                         "spec": {"containers": [random_container(r, n) for n in r.sample(["c", "d", "e"], r.randint(1, 3))]}}}
    if r.random() < 0.5:
        spec["replicas"] = r.randint(0, 3)
    if r.random() < 0.3:
        spec["template"]["spec"]["tolerations"] = [{"key": k, "operator": "Exists"} for k in r.sample("xyz", r.randint(0, 2))]
    spec["selector"] = {"matchLabels": {"app": "a"}}
    return {"spec": spec, "metadata": {"labels": random_map(r)}}


def random_service(r):
    """Among its ports one number with both protocols."""
    ports = [{"port": n, "protocol": q, "name": "p%d-%s" % (n, q.lower())}
             for n, q in r.sample([(53, "TCP"), (53, "UDP"), (80, "TCP"), (81, "UDP")], r.randint(1, 4))]
    return {"spec": {"ports": ports, "selector": {"a": "b"}, **({"sessionAffinity": r.choice(["None", "ClientIP"])} if r.random() < 0.3 else {})},
            "metadata": {"annotations": random_map(r)}}


def random_items(r, keys, more):
    """Items of a list map."""
    return [{**key, **({more: r.randint(1, 3) if more == "count" else leaf(r)} if r.random() < 0.6 else {})}
            for key in r.sample(keys, r.randint(1, len(keys)))]


def random_gadget(r):
    spec = {"size": r.randint(1, 5), "color": r.choice(["red", "blue"])}
    if r.random() < 0.4:
        spec["parts"] = random_items(r, [{"name": n} for n in "abc"], "count")
    if r.random() < 0.4:
        spec["ports"] = random_items(r, [{"port": n, "protocol": q} for n in (53, 80) for q in ("TCP", "UDP")], "note")
    if r.random() < 0.3:
        spec["tags"] = r.sample("xyz", r.randint(1, 3))
    if r.random() < 0.3:
        spec["order"] = [leaf(r) for _ in range(r.randint(1, 3))]
    if r.random() < 0.3:
        spec["whole"] = random_map(r)
    if r.random() < 0.5:
        spec["mode"] = r.choice("xyz")
    if r.random() < 0.3:
        spec["free"] = {"k": random_map(r)}
    if r.random() < 0.3:
        spec["map"] = {k: r.randint(0, 2) for k in r.sample("ab", r.randint(1, 2))}
    return {"spec": spec, "metadata": {"labels": random_map(r)}}


def random_status(r, k):
    """Of those that have one; its managers apply nothing else, since 1.20 has one entry for both."""
    status = {"conditions": [{"type": n, "status": r.choice(["True", "False"])} for n in r.sample("AB", r.randint(1, 2))]}
    if r.random() < 0.5:
        status["replicas"] = r.randint(0, 2)
    return {"apiVersion": k.group, "kind": k.kind, "status": status}


def retaining(r):
    """A strategic patch that says which members stay."""
    if r.random() < 0.5:
        return {"spec": {"strategy": {"$retainKeys": ["type"], "type": r.choice(["Recreate", "RollingUpdate"])}}}
    return {"spec": {"template": {"spec": {"volumes": [{"name": "v", **r.choice([
        {"$retainKeys": ["name", "emptyDir"], "emptyDir": {"medium": "Memory"}}, {"$retainKeys": ["name", "configMap"], "configMap": {"name": leaf(r)}}])}]}}}}


def pruned(r, o, keep=0.7):
    """Some of the fields of an object, and no empty maps."""
    out = {}
    for key, v in o.items():
        if r.random() > keep and key not in ("name", "containerPort", "port", "protocol"):
            continue
        out[key] = pruned(r, v, keep) if isinstance(v, dict) else v
    return {k: v for k, v in out.items() if v != {}}


def random_step(r, one, make, name):
    """One write. Where the older server is known to do otherwise, the object is made anew: what follows is compared again."""
    p, k = one.p, one.k
    live = p.sides[1].json("GET", k.path(p.sides[1], one.ns, name))
    judged = p.judged
    p.judge = foretold(k.plural, live, None)
    try:
        random_write(r, one, make, name, live)
    finally:
        p.judge = None
    if p.judged > judged:
        for s in p.sides:
            s.request("DELETE", k.path(s, one.ns, name))


def applied_at_random(one, name, config, live, *how):
    one.p.judge = foretold(one.k.plural, live, config)
    applied(one, name, config, *how)


def random_write(r, one, make, name, live):
    manager = r.choice(["alpha", "beta", "gamma"])
    query = "?fieldManager=" + manager
    what = r.random()
    if what < 0.40:
        body = make(r)
        if r.random() < 0.5:
            body = pruned(r, body)
        applied_at_random(one, name, body, live, manager, r.random() < 0.5)
    elif what < 0.44 and one.k.plural in ("deployments", "gadgets"):
        applied_at_random(one, name, random_status(r, one.k), live, "status-" + manager, r.random() < 0.5, "status")
    elif what < 0.46:
        applied_at_random(one, name, pruned(r, make(r), 0.3), live, manager, r.random() < 0.5)  # most is given up
    elif what < 0.49 and one.k.plural == "deployments":
        one.patch(name, retaining(r), "strategic", query=query)
    elif what < 0.57:
        new = make(r)
        one.put(name, lambda o: merged(o, copy.deepcopy(new)), query=query)
    elif what < 0.75:
        one.patch(name, pruned(r, make(r)), "merge", query=query)
    elif what < 0.88:
        one.patch(name, pruned(r, make(r)), "strategic", query=query)
    elif what < 0.92:
        op, label = r.choice(["add", "replace", "remove"]), r.choice("abc")
        if op == "replace" and label not in live.get("metadata", {}).get("labels", {}):
            op = "add"  # 1.26 refuses it, which is scripted
        one.patch(name, [{"op": op, "path": "/metadata/labels/" + label, "value": leaf(r)}], "json", query=query)
    elif what < 0.94:
        one.patch(name, {"metadata": {"managedFields": [{}]}})
    elif what < 0.96:
        one.delete(name)
    else:
        one.create(name, make(r), query)


def random_writes(p, seed, steps=60):
    r = random.Random(seed)
    ns = namespace(p)
    made = [(kind("configmaps"), random_config), (kind("deployments"), random_deployment), (kind("services"), random_service),
            (gadgets(p), random_gadget)]
    for k, make in made:
        one = Of(p, k, ns)
        for i in range(steps):
            random_step(r, one, make, "r-%d" % (i // 20))
        one.get("")


def case_random(p):
    random_writes(p, 1)
