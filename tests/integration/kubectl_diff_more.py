"""What kubectl_diff_test.py asks besides: discovery, explain, OpenAPI, wrong objects of every kind, and Helm."""
import json
import os
import re
import shutil

from kubectl_diff_cases import HERE, all_of, space, tour

KINDS = ("pods nodes services configmaps secrets serviceaccounts endpoints events namespaces limitranges resourcequotas podtemplates "
         "replicationcontrollers persistentvolumes persistentvolumeclaims bindings componentstatuses deployments.apps replicasets.apps "
         "statefulsets.apps daemonsets.apps controllerrevisions.apps jobs.batch cronjobs.batch ingresses.networking.k8s.io "
         "ingressclasses networkpolicies.networking.k8s.io poddisruptionbudgets roles rolebindings clusterroles clusterrolebindings "
         "storageclasses volumeattachments csidrivers csinodes priorityclasses leases runtimeclasses certificatesigningrequests "
         "mutatingwebhookconfigurations validatingwebhookconfigurations customresourcedefinitions apiservices "
         "tokenreviews subjectaccessreviews selfsubjectrulesreviews endpointslices events.events.k8s.io").split()
OLDER_VERSION = re.compile(r"\b(policy|batch|discovery\.k8s\.io)/v1(beta1)?\b")


def explained(text):
    """What is said of fields but for descriptions: {path: type}, and what stands above them."""
    head, _, fields = text.partition("FIELDS:\n")
    said = {"head": [OLDER_VERSION.sub(r"\1", re.sub(" +", " ", m)) for m in re.findall(r"^(?:KIND|VERSION|RESOURCE|FIELD): .*$", head, re.M)]}
    stack = []
    for indent, name, kind in re.findall(r"^( +)(\S+)\t<(.*)$", fields, re.M):
        while stack and stack[-1][0] >= len(indent):
            stack.pop()
        stack.append((len(indent), name))
        said[".".join(n for _, n in stack)] = kind
    return said


def explain(k, path):
    (code, out, err), (code2, out2, err2) = k.raw("explain " + path)
    a, b = explained(out), explained(out2)
    k.pair.compare("kubectl explain " + path, {"exit": code, "error": err, "fields": a},
                   {"exit": code2, "error": err2, "fields": {f: t for f, t in b.items() if f in a}})


def case_explain(k):
    """Fields of the older server are in c8s, with the same types; later ones may be there, too."""
    if k.minor >= 27:  # these speak OpenAPI v3 to c8s, which the older server has not, and print that otherwise
        return
    for kind in KINDS:
        for more in ("", " --recursive"):
            explain(k, kind + more)
    for path in ("pods.spec", "pods.spec.containers", "pods.spec.containers.env.valueFrom", "pod.metadata", "deploy.spec.strategy", "po.status"):
        explain(k, path)
    all_of(k, """
        explain nothing
        explain pods.nothing
        explain pods.spec.containers.nothing
        explain pods.spec.nodeName.nothing
        explain deployments --api-version=apps/v9
    """)


def listed(text):
    """The lines of api-resources: {resource and group: the rest}."""
    said = {}
    for line in text.splitlines():
        m = re.match(r"(\S+) +(\S+)? +(\S+) +(true|false) +(\S+)(?: +(\S.*))?$", line)
        if not m:
            said[line] = ""
            continue
        name, short, version, namespaced, kind, verbs = m.groups()
        group = version.split("/")[0] if "/" in version else ""
        said[name + "." + group] = {"short": short, "namespaced": namespaced, "kind": kind, "verbs": verbs}
    return said


def case_discovery(k):
    for options in ("", " --namespaced=true", " --namespaced=false", " --verbs=list,get", " --sort-by=name", " --sort-by=kind", " -o wide"):
        (code, out, err), (code2, out2, err2) = k.raw("api-resources --no-headers" + options)
        a, b = listed(out), listed(out2)
        k.pair.compare("kubectl api-resources" + options, {"exit": code, "error": err, "resources": a},
                       {"exit": code2, "error": err2, "resources": {r: v for r, v in b.items() if r in a}})
        order = [[r for r in x if r in a and r in b] for x in (a, b)]
        k.pair.compare("kubectl api-resources, order" + options, {"order": order[0]}, {"order": order[1]})
    (code, out, err), (code2, out2, err2) = k.raw("api-versions")
    k.pair.compare("kubectl api-versions", {"exit": code, "error": err, "versions": [v for v in out.split() if "beta" not in v and "alpha" not in v]},
                   {"exit": code2, "error": err2, "versions": [v for v in out2.split() if v in out.split()]})
    all_of(k, """
        api-resources --api-group=apps
        api-resources --api-group=apps -o wide
        api-resources --api-group=rbac.authorization.k8s.io
        api-resources --api-group=none
        api-resources --verbs=nonsense
        api-resources nonsense
        api-versions nonsense
        get --raw /apis/apps
        get --raw /apis/apps/v1
        get --raw /apis/batch/v1/nothing
        get --raw /apis/none.example
        get --raw /version/
        version -o json
    """)


def wrong(document):
    """(what is wrong, the document with that) of one good object."""
    yield "name", re.sub(r"name: [\w.-]+", "name: Wrong_Name", document, count=1)
    yield "label", re.sub(r"metadata: \{", "metadata: {labels: {'a b': 'c d'}, annotations: {'x y': z}, ", document, count=1)
    yield "kind of value", re.sub(r"^(spec|data|rules|webhooks|subsets|template|roleRef|parameters|value|handler|driverName): .*?(?=^\w|\Z)",
                                  r"\1: [[1]]\n", document, flags=re.M | re.S)
    yield "nothing but a name", "".join(re.findall(r"^(?:apiVersion|kind|metadata): .*\n", document, re.M))
    yield "a field too many", document.rstrip("\n") + "\nnonsense: {a: 1}\n"
    yield "the wrong namespace", re.sub(r"metadata: \{", "metadata: {namespace: elsewhere, ", re.sub(r", namespace: \w+", "", document), count=1)
    yield "finalizer", re.sub(r"metadata: \{", "metadata: {finalizers: [a b], ", document, count=1)


def case_wrong(k):
    """What is wrong with an object of every kind, checked by the client and by the server alone."""
    space(k, "tour")
    documents = tour()
    for kind, document in documents.items():
        for what, text in wrong(document):
            if text == document:
                continue
            for validate in ((True, False) if what in ("kind of value", "a field too many") and k.minor < 25 else (False,)):
                k.run("create --validate=%s --dry-run=server -f -" % str(validate).lower(), stdin=text, note="%s, %s" % (kind, what))


# ---- OpenAPI


def definition(d):
    """What tools go by: names, types, formats, extensions; no descriptions."""
    if isinstance(d, dict):
        return {k: definition(v) for k, v in d.items() if k != "description" or not isinstance(v, str)}
    return [definition(v) for v in d] if isinstance(d, list) else d


def case_openapi(k):
    """Every definition, path, operation and parameter of the older document for what both serve."""
    documents = [json.loads(out) for _, out, _ in k.raw("get --raw /openapi/v2")]
    a, b = ({section: definition(d[section]) for section in ("definitions", "paths", "swagger", "security", "securityDefinitions") if section in d}
            for d in documents)
    shared = documents[1].get("parameters", {})  # 1.27 and later have what many operations share in one place
    for section in ("swagger", "security", "securityDefinitions"):
        k.pair.compare("openapi " + section, {section: a.get(section)}, {section: b.get(section)})
    for name, d in a["definitions"].items():
        if name not in b["definitions"]:
            k.pair.compare("openapi definition " + name, {"there": True}, {"there": bool(re.search("beta|alpha", name))})
            continue
        ours = b["definitions"][name]
        if "properties" in d:
            ours = dict(ours, properties={f: v for f, v in ours.get("properties", {}).items() if f in d["properties"]})
        k.pair.compare("openapi definition " + name, d, ours)
    for path, d in a["paths"].items():
        if re.search("(alpha|beta)[0-9]|^/logs", path):
            continue
        for method, operation in d.items():
            ours = b["paths"].get(path, {}).get(method)
            k.pair.compare("openapi path %s %s" % (method, path), normal_operation(operation), normal_operation(ours, shared))


def parameters(listed, shared):
    found = [definition(shared[p["$ref"].rsplit("/", 1)[1]]) if "$ref" in p else p for p in listed]
    return {"%s %s" % (p.get("in"), p.get("name")): p for p in found}


def normal_operation(o, shared=None):
    if isinstance(o, list):  # parameters of a path
        return parameters(o, shared or {})
    if not isinstance(o, dict):
        return {"there": False}
    o = dict(o)
    o["parameters"] = parameters(o.get("parameters", []), shared or {})
    for media in ("consumes", "produces"):
        o[media] = sorted(o.get(media, []))
    return o


# ---- Helm


def helm_chart(k):
    """The default chart through its life, without waiting: nothing runs."""
    k.run("create web")
    chart = os.path.join(HERE, "../e2e/chart")
    for d in k.dirs.values():
        shutil.copytree(chart, os.path.join(d, "tour"), dirs_exist_ok=True)
        path = os.path.join(d, "tour/templates/objects.yaml")
        with open(path) as f:
            text = f.read()
        with open(path, "w") as f:  # Helm 4 applies: 1.20's schema has no default for protocols
            f.write(text.replace("ports: [{port: 80}]", "ports: [{port: 80, protocol: TCP}]"))
    all_of(k, """
        lint web
        template x web --validate
        template x web --validate --set replicaCount=no
        install web web -n charts
        install web web -n charts --create-namespace --dry-run
        install web web -n charts --create-namespace
        install web web -n charts
        install web2 web -n charts --set fullnameOverride=web
        install Wrong web -n charts
        install wrong web -n charts --set service.type=Nonsense
        install wrong web -n charts --set replicaCount=-1
        install wrong2 web -n charts --set image.pullPolicy=Sometimes
        install number web -n charts --set replicaCount=many
        install ingress web -n charts --set ingress.enabled=true
        list -n charts
        list -A
        list -A --all -o json
        list -n charts --failed
        status web -n charts
        status web -n charts -o json
        get all web -n charts
        get manifest web -n charts
        get values web -n charts
        get notes web -n charts
        get hooks web -n charts
        upgrade web web -n charts --set replicaCount=2,service.port=81
        upgrade web web -n charts --set replicaCount=2,service.port=81 --dry-run
        upgrade web web -n charts --set service.type=NodePort
        upgrade web web -n charts --set service.type=Nonsense
        upgrade none web -n charts
        upgrade fresh web -n charts --install
        upgrade fresh web -n charts --install --force
        history web -n charts
        history web -n charts -o yaml
        rollback web 1 -n charts
        rollback web 99 -n charts
        rollback web 1 -n charts --dry-run
        history web -n charts
        get values web -n charts --revision 2
        test web -n charts --timeout 3s
        test none -n charts
        uninstall web -n charts --keep-history
        history web -n charts
        uninstall web -n charts
        uninstall fresh -n charts --dry-run
        uninstall fresh -n charts
        uninstall none -n charts
        status web -n charts
        list -A
        template tour tour --validate --include-crds
        install tour tour -n charts --no-hooks --set town=Bern
        list -n charts
        get manifest tour -n charts
        upgrade tour tour -n charts --no-hooks --set town=Thun,replicas=2
        rollback tour 1 -n charts --no-hooks
        history tour -n charts
        uninstall tour -n charts --no-hooks
        install tour tour -n charts --no-hooks --skip-crds
        uninstall tour -n charts --no-hooks
        install tour tour -n charts --timeout 3s
        list -n charts -a
        uninstall tour -n charts --no-hooks
        list -n charts --kube-as-user jane
        install other web -n charts --kube-as-user jane
        install other web -n default
        list
    """)
