#!/usr/bin/env python3
"""Admission over HTTPS: each plugin as a client sees it.

    apiserver_admission_test.py BINARY [NAME…]     run all tests, or those whose name contains NAME
"""
import base64
import concurrent.futures
import sys
import time

from apiserver_lib import Client, Member, Server, openssl, run_tests

CONFIG = """
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
- name: PodSecurity
  configuration:
    apiVersion: pod-security.admission.config.k8s.io/v1
    kind: PodSecurityConfiguration
    exemptions: {namespaces: [exempt], usernames: [trusted], runtimeClasses: [trusted]}
"""

POD_FIELDS = {"containers": [{"name": "c", "image": "busybox:1"}]}


def check(condition, *what):
    if not condition:
        raise AssertionError(" ".join(str(w) for w in what))


def equal(got, want, *what):
    check(got == want, *what, "got", repr(got), "want", repr(want))


def created(answer):
    equal(answer.code, 201, answer)
    return answer.json


def refused(answer, code, message):
    equal(answer.code, code, answer)
    equal(answer.json["message"], message)
    return answer.json


def ok(answer):
    equal(answer.code, 200, answer)
    return answer.json


def warnings(answer):
    return [w.split('"', 1)[1].rsplit('"', 1)[0].replace('\\"', '"') for w in answer.headers.get_all("warning") or []]


def namespace(c, name, **labels):
    """A namespace with its default account; the path below it."""
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    created(c.post("/api/v1/namespaces", body))
    path = "/api/v1/namespaces/" + name
    created(c.post(path + "/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}))
    return path


def pod(name, annotations=None, labels=None, **spec):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations or {}, "labels": labels or {}},
            "spec": dict(POD_FIELDS, **spec)}


def container(name="c", **fields):
    return dict({"name": name, "image": "busybox:1"}, **fields)


def cluster(c, group, plural, kind, name, **fields):
    version = "v1" if group == "" else group + "/v1"
    path = "/api/v1" if group == "" else "/apis/" + version
    meta = fields.pop("metadata", {})
    body = dict({"apiVersion": version, "kind": kind, "metadata": dict(meta, name=name)}, **fields)
    return c.post("%s/%s" % (path, plural), body)


# ---- namespaces ----

def test_namespace_lifecycle(c, _):
    refused(c.post("/api/v1/namespaces/nowhere/pods", pod("a")), 404, 'namespaces "nowhere" not found')
    for name in ("default", "kube-system", "kube-public"):
        refused(c.delete("/api/v1/namespaces/" + name), 403, 'namespaces "%s" is forbidden: this namespace may not be deleted' % name)
    path = namespace(c, "going")
    ok(c.delete(path))
    status = refused(c.post(path + "/pods", pod("a")), 403,
                     'pods "a" is forbidden: unable to create new content in namespace going because it is being terminated')
    equal(status["details"]["causes"], [{"reason": "NamespaceTerminating", "message": "namespace going is being terminated",
                                         "field": "metadata.namespace"}])


# ---- limits ----

def test_limit_ranger(c, _):
    path = namespace(c, "limits")
    created(c.post(path + "/limitranges", {
        "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "l"}, "spec": {"limits": [
            {"type": "Container", "default": {"cpu": "500m", "memory": "256Mi"}, "defaultRequest": {"cpu": "100m"},
             "max": {"cpu": "2"}, "min": {"cpu": "50m"}, "maxLimitRequestRatio": {"cpu": "10"}},
            {"type": "Pod", "max": {"cpu": "3"}},
            {"type": "PersistentVolumeClaim", "min": {"storage": "1Gi"}, "max": {"storage": "2Gi"}}]}}))
    made = created(c.post(path + "/pods", pod("plain")))
    equal(made["spec"]["containers"][0]["resources"],
          {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m", "memory": "256Mi"}})
    equal(made["metadata"]["annotations"]["kubernetes.io/limit-ranger"],
          "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c")
    big = pod("big", containers=[container(resources={"limits": {"cpu": "4"}, "requests": {"cpu": "1"}})])
    refused(c.post(path + "/pods", big), 403, 'pods "big" is forbidden: '
            "[maximum cpu usage per Container is 2, but limit is 4, maximum cpu usage per Pod is 3, but limit is 4]")
    ratio = pod("ratio", containers=[container(resources={"limits": {"cpu": "2"}, "requests": {"cpu": "100m"}})])
    refused(c.post(path + "/pods", ratio), 403, 'pods "ratio" is forbidden: '
            "cpu max limit to request ratio per Container is 10, but provided ratio is 20.000000")
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "c"},
             "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}}
    refused(c.post(path + "/persistentvolumeclaims", claim), 403, 'persistentvolumeclaims "c" is forbidden: '
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi")


# ---- pods ----

def test_pods_wait_for_a_new_namespaces_account(c, _):
    created(c.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "young"}}))
    path = "/api/v1/namespaces/young"
    refused(c.post(path + "/pods", pod("early")), 403,
            'pods "early" is forbidden: error looking up service account young/default: serviceaccount "default" not found')
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        made = [pool.submit(c.post, path + "/pods", pod("a%d" % i)) for i in range(20)]
        created(c.post(path + "/serviceaccounts", {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}}))
        for m in made:
            created(m.result())


def test_service_account(c, _):
    path = namespace(c, "accounts")
    refused(c.post(path + "/pods", pod("a", serviceAccountName="none")), 403,
            'pods "a" is forbidden: error looking up service account accounts/none: serviceaccount "none" not found')
    made = created(c.post(path + "/pods", pod("a")))
    equal(made["spec"]["serviceAccountName"], "default")
    mount = made["spec"]["containers"][0]["volumeMounts"][0]
    equal(mount["mountPath"], "/var/run/secrets/kubernetes.io/serviceaccount")
    created(c.post(path + "/serviceaccounts", {
        "apiVersion": "v1", "kind": "ServiceAccount", "automountServiceAccountToken": False, "imagePullSecrets": [{"name": "pull"}],
        "metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}}))
    made = created(c.post(path + "/pods", pod("b", serviceAccountName="strict")))
    check("volumeMounts" not in made["spec"]["containers"][0], made)
    equal(made["spec"]["imagePullSecrets"], [{"name": "pull"}])
    refused(c.post(path + "/pods", pod("c", serviceAccountName="strict", volumes=[{"name": "v", "secret": {"secretName": "s"}}])), 403,
            'pods "c" is forbidden: volume with secret.secretName="s" is not allowed because service account strict '
            "does not reference that secret")


def test_accounts_that_allow_their_own_secrets_only(c, _):
    path = namespace(c, "mountable")
    created(c.post(path + "/serviceaccounts", {
        "apiVersion": "v1", "kind": "ServiceAccount", "secrets": [{"name": "own"}],
        "metadata": {"name": "strict", "annotations": {"kubernetes.io/enforce-mountable-secrets": "1"}}}))
    end = ' referencing secret.secretName="%s" is not allowed because service account strict does not reference that secret'

    def env(secret):
        return {"env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": secret, "key": "k"}}}]}

    def env_from(secret):
        return {"envFrom": [{"secretRef": {"name": secret}}]}
    for fields, how in ((env, "envVar E"), (env_from, "envFrom")):
        for spec, what in (({"containers": [container(**fields("other"))]}, "container c"),
                           ({"initContainers": [container("i", **fields("other"))]}, "init container i")):
            refused(c.post(path + "/pods", pod("p", serviceAccountName="strict", **spec)), 403,
                    'pods "p" is forbidden: %s with %s' % (what, how) + end % "other")
    created(c.post(path + "/pods", pod("p", serviceAccountName="strict", containers=[container(**dict(env("own"), **env_from("own")))])))
    debug = path + "/pods/p/ephemeralcontainers"
    for fields, how in ((env, "envVar E"), (env_from, "envFrom")):
        refused(c.patch(debug, {"spec": {"ephemeralContainers": [container("d", **fields("other"))]}}), 403,
                'pods "p" is forbidden: ephemeral container d with %s' % how + end % "other")
    ok(c.patch(debug, {"spec": {"ephemeralContainers": [container("d", **env_from("own"))]}}))


def test_priority_and_tolerations(c, _):
    path = namespace(c, "priorities")
    created(cluster(c, "scheduling.k8s.io", "priorityclasses", "PriorityClass", "high", value=1000, preemptionPolicy="Never"))
    made = created(c.post(path + "/pods", pod("a", priorityClassName="high")))["spec"]
    equal((made["priority"], made["preemptionPolicy"]), (1000, "Never"))
    equal(sorted((t["key"], t["effect"], t["tolerationSeconds"]) for t in made["tolerations"]),
          [("node.kubernetes.io/not-ready", "NoExecute", 300), ("node.kubernetes.io/unreachable", "NoExecute", 300)])
    for own in ([{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 7},
                 {"key": "node.kubernetes.io/unreachable", "operator": "Exists"}], [{"operator": "Exists"}]):
        equal(created(c.post(path + "/pods?dryRun=All", pod("own", tolerations=own)))["spec"]["tolerations"], own)
    elsewhere = [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoSchedule"}, {"key": "a", "operator": "Exists"}]
    equal(len(created(c.post(path + "/pods?dryRun=All", pod("own", tolerations=elsewhere)))["spec"]["tolerations"]), 4)
    refused(c.post(path + "/pods", pod("b", priorityClassName="none")), 403,
            'pods "b" is forbidden: no PriorityClass with name none was found')
    refused(c.post(path + "/pods", pod("b", priority=7)), 403, 'pods "b" is forbidden: the integer value of priority (7) must not be '
            "provided in pod spec; priority admission controller computed 0 from the given PriorityClass name")
    created(cluster(c, "scheduling.k8s.io", "priorityclasses", "PriorityClass", "usual", value=5, globalDefault=True))
    refused(cluster(c, "scheduling.k8s.io", "priorityclasses", "PriorityClass", "other", value=6, globalDefault=True), 403,
            'priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already marked as default. '
            "Only one default can exist")
    deadline = time.monotonic() + 60  # the class reaches the cache by a watch
    while True:
        made = created(c.post(path + "/pods", pod("d%d" % time.monotonic_ns())))["spec"]
        if made["priority"] == 5:
            break
        check(time.monotonic() < deadline, "the default class never took effect", made)
    equal(made["priorityClassName"], "usual")
    ok(c.delete("/apis/scheduling.k8s.io/v1/priorityclasses/usual"))


def test_runtime_class(c, _):
    path = namespace(c, "runtimes")
    created(cluster(c, "node.k8s.io", "runtimeclasses", "RuntimeClass", "vm", handler="vm", overhead={"podFixed": {"cpu": "100m"}},
                    scheduling={"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm", "operator": "Exists"}]}))
    made = created(c.post(path + "/pods", pod("a", runtimeClassName="vm")))["spec"]
    equal(made["overhead"], {"cpu": "100m"})
    equal(made["nodeSelector"], {"vm": "yes"})
    check({"key": "vm", "operator": "Exists"} in made["tolerations"], made["tolerations"])
    # What another toleration covers goes, whichever of the two brought it.
    created(cluster(c, "node.k8s.io", "runtimeclasses", "RuntimeClass", "wide", handler="vm", scheduling={
        "tolerations": [{"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Equal", "value": "x", "effect": "NoSchedule"}]}))
    own = [{"key": "a", "operator": "Equal", "value": "1", "effect": "NoSchedule"}, {"key": "b", "operator": "Exists", "effect": "NoSchedule"},
           {"key": "c", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}]
    made = created(c.post(path + "/pods", pod("wide", runtimeClassName="wide", tolerations=own)))["spec"]
    equal([t for t in made["tolerations"] if not t["key"].startswith("node.kubernetes.io/")], own[1:] + [{"key": "a", "operator": "Exists"}])
    refused(c.post(path + "/pods", pod("b", runtimeClassName="none")), 403,
            'pods "b" is forbidden: pod rejected: RuntimeClass "none" not found')
    refused(c.post(path + "/pods", pod("b", runtimeClassName="vm", nodeSelector={"vm": "no"})), 403, 'pods "b" is forbidden: '
            "conflict: runtimeClass.scheduling.nodeSelector[vm] = yes; pod.spec.nodeSelector[vm] = no")
    refused(c.post(path + "/pods", pod("b", overhead={"cpu": "1"})), 403,
            'pods "b" is forbidden: pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead')


def test_pod_security(c, server):
    path = namespace(c, "strict", **{"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/enforce-version": "v1.35"})
    refused(c.post(path + "/pods", pod("a")), 403,
            'pods "a" is forbidden: violates PodSecurity "restricted:v1.35": allowPrivilegeEscalation != false (container "c" must set '
            'securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "c" must set '
            'securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or container "c" must set '
            'securityContext.runAsNonRoot=true), seccompProfile (pod or container "c" must set securityContext.seccompProfile.type '
            'to "RuntimeDefault" or "Localhost")')
    good = pod("good", securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
               containers=[container(securityContext={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}})])
    equal(warnings(c.post(path + "/pods", good)), [])
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": dict(POD_FIELDS, hostNetwork=True)}}}
    answer = c.post("/apis/apps/v1/namespaces/strict/deployments", deployment)
    created(answer)
    equal(len(warnings(answer)), 1, answer.headers)
    check(warnings(answer)[0].startswith('would violate PodSecurity "restricted:v1.35": host namespaces (hostNetwork=true), '),
          warnings(answer))
    deployment["metadata"]["name"] = "long"
    deployment["spec"]["template"]["spec"]["containers"] = [container("c%d" % i + 50 * "x") for i in range(100)]
    said = warnings(c.post("/apis/apps/v1/namespaces/strict/deployments", deployment))
    equal([len(w) for w in said], [256], "cut short, as published")
    check(said[0].startswith('would violate PodSecurity "restricted:v1.35": host namespaces (hostNetwork=true), '), said)
    bad = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "x", "labels": {"pod-security.kubernetes.io/enforce": "none"}}}
    refused(c.post("/api/v1/namespaces", bad), 422,
            'Namespace "x" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "none": '
            "must be one of privileged, baseline, restricted")
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "pod-security.kubernetes.io/warn-version": "v1.30",
              "pod-security.kubernetes.io/audit": "baseline"}
    answer = c.post("/api/v1/namespaces?dryRun=All", {"metadata": {"name": "exempt", "labels": labels}})
    equal(warnings(answer), ['namespace "exempt" is exempt from Pod Security, and the policy '
                             '(enforce=restricted:latest, audit=baseline:latest, warn=restricted:v1.30) will be ignored'])
    exempt = namespace(c, "exempt", **{"pod-security.kubernetes.io/enforce": "restricted"})
    created(c.post(exempt + "/pods", pod("a", hostNetwork=True)))
    loose = namespace(c, "loose")
    for name in ("p1", "p2"):
        created(c.post(loose + "/pods", pod(name, hostPID=True)))
    of_one = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r", "uid": "u", "controller": True}]
    for name in ("r1", "r2", "r3"):
        made = pod(name, containers=[container(securityContext={"privileged": True})])
        made["metadata"]["ownerReferences"] = of_one
        created(c.post(loose + "/pods", made))
    created(cluster(c, "node.k8s.io", "runtimeclasses", "RuntimeClass", "trusted", handler="t"))
    created(c.post(loose + "/pods", pod("t", hostPID=True, runtimeClassName="trusted")))
    answer = c.patch(loose, {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline"}}})
    ok(answer)
    equal(warnings(answer), ['existing pods in namespace "loose" violate the new PodSecurity enforce level "baseline:latest"',
                             "p1 (and 1 other pod): host namespaces", "r1 (and 2 other pods): privileged"])
    created(c.post(loose + "/pods", pod("t2", hostPID=True, runtimeClassName="trusted")))
    created(server.client("trusted").post(loose + "/pods", pod("t3", hostPID=True)))


def test_pod_security_without_namespace(_, server):
    """Where nobody asks whether the namespace is there: who is exempt, and what is only warned of, needs none."""
    alone = Member(sys.argv[1], ["--authorization-mode=Node,RBAC", "--disable-admission-plugins=NamespaceLifecycle,ServiceAccount",
                                 "--admission-control-config-file=" + server.pki.path("admission.yaml")])
    try:
        alone.start()
        c = alone.client()
        created(c.post("/api/v1/namespaces/exempt/pods", pod("a", hostNetwork=True)))
        answer = c.post("/api/v1/namespaces/none/pods", pod("a"))
        refused(answer, 500, 'Internal error occurred: failed to lookup namespace "none"')
        template = {"metadata": {"labels": {"a": "b"}}, "spec": dict(POD_FIELDS, hostNetwork=True)}
        created(c.post("/api/v1/namespaces/none/podtemplates", {"metadata": {"name": "t"}, "template": template}))
        equal(alone.stop(), 0)
    finally:
        alone.remove()


# ---- storage, ingress, nodes ----

def test_storage(c, _):
    path = namespace(c, "storage")
    created(cluster(c, "storage.k8s.io", "storageclasses", "StorageClass", "fast", provisioner="x.io/y",
                    metadata={"annotations": {"storageclass.kubernetes.io/is-default-class": "true"}}))

    def claim(name, **spec):
        return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name},
                "spec": dict({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}, **spec)}

    deadline = time.monotonic() + 60
    while True:
        name = "c%d" % time.monotonic_ns()
        made = created(c.post(path + "/persistentvolumeclaims", claim(name)))
        if made["spec"].get("storageClassName"):
            break
        check(time.monotonic() < deadline, "the default class never took effect", made)
    equal(made["spec"]["storageClassName"], "fast")
    equal(made["metadata"]["finalizers"], ["kubernetes.io/pvc-protection"])
    equal(created(c.post(path + "/persistentvolumeclaims", claim("none", storageClassName="")))["spec"]["storageClassName"], "")
    old = claim("old")
    old["metadata"]["annotations"] = {"volume.beta.kubernetes.io/storage-class": "slow"}
    check("storageClassName" not in created(c.post(path + "/persistentvolumeclaims", old))["spec"], "it names its class the old way")
    volume = created(cluster(c, "", "persistentvolumes", "PersistentVolume", "v", spec={
        "capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}))
    equal(volume["metadata"]["finalizers"], ["kubernetes.io/pv-protection"])
    attributes = {"driverName": "x.io", "parameters": {"iops": "1"}}
    for held in ([], ["a.b/c"], ["kubernetes.io/vac-protection"]):
        made_class = created(cluster(c, "storage.k8s.io", "volumeattributesclasses", "VolumeAttributesClass", "gold", metadata={"finalizers": held},
                                     **attributes))
        equal(sorted(made_class["metadata"]["finalizers"]), sorted(set(held + ["kubernetes.io/vac-protection"])))
        gold = "/apis/storage.k8s.io/v1/volumeattributesclasses/gold"
        ok(c.delete(gold))
        check(ok(c.get(gold))["metadata"]["deletionTimestamp"], "it is held")
        ok(c.patch(gold, {"metadata": {"finalizers": None}}, "merge-patch"))
        equal(c.get(gold).code, 404)
    grown = {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}
    answer = c.patch(path + "/persistentvolumeclaims/" + name, grown)
    check(answer.code in (403, 422), answer)
    made["status"] = {"phase": "Bound"}
    made["spec"]["volumeName"] = "v"
    ok(c.put(path + "/persistentvolumeclaims/" + name, made))
    ok(c.patch(path + "/persistentvolumeclaims/%s/status" % name, {"status": {"phase": "Bound"}}))
    refused(c.patch(path + "/persistentvolumeclaims/" + name, grown), 403,
            'persistentvolumeclaims "%s" is forbidden: only dynamically provisioned pvc can be resized and the storageclass that '
            "provisions the pvc must support resize" % name)
    ok(c.patch("/apis/storage.k8s.io/v1/storageclasses/fast", {"allowVolumeExpansion": True}))
    ok(c.patch(path + "/persistentvolumeclaims/" + name, grown))
    ok(c.delete("/apis/storage.k8s.io/v1/storageclasses/fast"))


def test_default_ingress_class(c, _):
    namespace(c, "ingress")
    created(cluster(c, "networking.k8s.io", "ingressclasses", "IngressClass", "nginx", spec={"controller": "x.io/y"},
                    metadata={"annotations": {"ingressclass.kubernetes.io/is-default-class": "true"}}))
    deadline = time.monotonic() + 60
    while True:
        body = {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i%d" % time.monotonic_ns()},
                "spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}}
        made = created(c.post("/apis/networking.k8s.io/v1/namespaces/ingress/ingresses", body))
        if made["spec"].get("ingressClassName") == "nginx":
            break
        check(time.monotonic() < deadline, "the default class never took effect", made)
    path = "/apis/networking.k8s.io/v1/namespaces/ingress/ingresses?dryRun=All"
    body["metadata"]["name"] = "own"
    body["spec"]["ingressClassName"] = "other"
    equal(created(c.post(path, body))["spec"]["ingressClassName"], "other")
    del body["spec"]["ingressClassName"]
    body["metadata"]["annotations"] = {"kubernetes.io/ingress.class": "old"}
    check("ingressClassName" not in created(c.post(path, body))["spec"], "it names its class the old way")


def test_nodes_are_tainted_and_tell_their_topology(c, _):
    path = namespace(c, "topology")
    made = created(cluster(c, "", "nodes", "Node", "n1", metadata={"labels": {"topology.kubernetes.io/zone": "z1", "other": "x"}}))
    equal(made["spec"]["taints"], [{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    created(c.post(path + "/pods", pod("a")))
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n1"}}
    created(c.post(path + "/pods/a/binding", binding))
    equal(ok(c.get(path + "/pods/a"))["metadata"]["labels"], {"topology.kubernetes.io/zone": "z1"})
    equal(created(c.post(path + "/pods", pod("b", nodeName="n1")))["metadata"]["labels"], {"topology.kubernetes.io/zone": "z1"})
    check("labels" not in created(c.post(path + "/pods", pod("c", nodeName="n-unknown")))["metadata"], "of a node that is not there")
    made["spec"]["taints"] = []
    check("taints" not in ok(c.put("/api/v1/nodes/n1", made))["spec"], "only a new node is tainted")


# ---- quotas ----

def quota(name, scopes=None, **hard):
    spec = {"hard": {k.replace("__", "/").replace("_", "."): v for k, v in hard.items()}}
    if scopes:
        spec["scopes"] = scopes
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}, "spec": spec}


def used(c, path, name):
    return ok(c.get(path + "/resourcequotas/" + name))["status"]["used"]


def until_refused(c, path, make, message):
    """A quota reaches the other loops' caches by a watch."""
    deadline = time.monotonic() + 60
    while True:
        answer = c.post(path, make())
        if answer.code == 403:
            equal(answer.json["message"], message)
            return
        check(time.monotonic() < deadline, "the quota never took effect", answer)


def test_quota_counts(c, _):
    path = namespace(c, "quotas")
    created(c.post(path + "/pods", pod("old")))
    made = created(c.post(path + "/resourcequotas", quota("q", pods="3", count__configmaps="2")))
    equal(made["status"]["used"], {"pods": "1", "count/configmaps": "0"})
    equal(made["status"]["hard"], {"pods": "3", "count/configmaps": "2"})
    time.sleep(0)
    for name in ("a", "b"):
        created(c.post(path + "/pods", pod(name)))
    deadline = time.monotonic() + 60  # what passed before the quota was known is counted by the keeper
    while used(c, path, "q")["pods"] != "3":
        check(time.monotonic() < deadline, "the pods are not counted", used(c, path, "q"))
    refused(c.post(path + "/pods", pod("c")), 403,
            'pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3')
    refused(c.post(path + "/pods?dryRun=All", pod("c")), 403,
            'pods "c" is forbidden: exceeded quota: q, requested: pods=1, used: pods=3, limited: pods=3')
    ok(c.patch(path + "/pods/a/status", {"status": {"phase": "Succeeded"}}))
    equal(used(c, path, "q")["pods"], "2", "an ended pod counts no more")
    ok(c.delete(path + "/pods/b?gracePeriodSeconds=0"))
    equal(used(c, path, "q")["pods"], "1", "nor a deleted one")
    changed = ok(c.patch(path + "/resourcequotas/q", {"spec": {"hard": {"pods": "1"}}}))
    equal(changed["status"]["hard"]["pods"], "1")


def test_quota_of_compute_resources(c, _):
    path = namespace(c, "compute")
    created(c.post(path + "/resourcequotas", quota("r", requests_cpu="1", limits_memory="1Gi")))
    created(c.post(path + "/resourcequotas", quota("best", ["BestEffort"], pods="1")))
    until_refused(c, path + "/pods", lambda: pod("x%d" % time.monotonic_ns()) if False else pod("bare"),
                  'pods "bare" is forbidden: failed quota: r: must specify limits.memory for: c; requests.cpu for: c')
    sized = [container(resources={"requests": {"cpu": "600m"}, "limits": {"memory": "512Mi"}})]
    created(c.post(path + "/pods", pod("a", containers=sized)))
    equal(used(c, path, "r"), {"requests.cpu": "600m", "limits.memory": "512Mi"})
    equal(used(c, path, "best"), {"pods": "0"})
    refused(c.post(path + "/pods", pod("b", containers=sized)), 403,
            'pods "b" is forbidden: exceeded quota: r, requested: requests.cpu=600m, used: requests.cpu=600m, limited: requests.cpu=1')


def test_quota_of_services(c, _):
    path = namespace(c, "services")
    created(c.post(path + "/resourcequotas", quota("s", services="5", services_nodeports="1")))

    def service(name, kind):
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {"type": kind, "ports": [{"port": 80}]}}

    deadline = time.monotonic() + 60
    n = 0
    while used(c, path, "s")["services.nodeports"] == "0":
        check(time.monotonic() < deadline, "never counted")
        n += 1
        created(c.post(path + "/services", service("s%d" % n, "NodePort")))
    refused(c.post(path + "/services", service("b", "NodePort")), 403, 'services "b" is forbidden: exceeded quota: s, '
            "requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1")
    ok(c.patch(path + "/services/s%d" % n, {"spec": {"type": "ClusterIP", "ports": [{"port": 80, "nodePort": None}]}}))
    equal(used(c, path, "s")["services.nodeports"], "0")


# ---- node agents ----

def test_node_restriction(c, server):
    path = namespace(c, "nodes")
    n = Client(server.port, server.pki, "node-n7")
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n7"}}
    made = created(n.post("/api/v1/nodes", node))
    other = n.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n8"}})
    refused(other, 403, 'nodes "n8" is forbidden: node "n7" is not allowed to modify node "n8"')
    refused(n.patch("/api/v1/nodes/n7", {"metadata": {"labels": {"node-restriction.kubernetes.io/x": "y", "kubernetes.io/z": "1"}}}), 403,
            'nodes "n7" is forbidden: is not allowed to modify labels: kubernetes.io/z, node-restriction.kubernetes.io/x')
    ok(n.patch("/api/v1/nodes/n7", {"metadata": {"labels": {"kubernetes.io/os": "linux", "mine": "x"}}}))
    refused(n.patch("/api/v1/nodes/n7", {"spec": {"taints": []}}, kind="merge-patch"), 403,
            'nodes "n7" is forbidden: node "n7" is not allowed to modify taints')
    refused(n.post(path + "/pods", pod("a", nodeName="n7")), 403,
            'pods "a" is forbidden: pod does not have "kubernetes.io/config.mirror" annotation, node "n7" can only create mirror pods')
    mirror = pod("m", annotations={"kubernetes.io/config.mirror": "x"}, nodeName="n7")
    refused(n.post(path + "/pods", mirror), 403,
            'pods "m" is forbidden: node "n7" can only create pods with an owner reference set to itself')
    mirror["metadata"]["ownerReferences"] = [{"apiVersion": "v1", "kind": "Node", "name": "n7", "uid": made["metadata"]["uid"],
                                              "controller": True}]
    created(n.post(path + "/pods", mirror))
    created(c.post(path + "/pods", pod("elsewhere", nodeName="n8")))
    refused(n.patch(path + "/pods/elsewhere/status", {"status": {"phase": "Failed"}}), 403,
            'pods "elsewhere" is forbidden: node "n7" can only update pod status for pods with spec.nodeName set to itself')
    ok(n.patch(path + "/pods/m/status", {"status": {"phase": "Running"}}))


# ---- certificates ----

def csr(pki, name, subject, signer="kubernetes.io/kube-apiserver-client"):
    pki.key(name)
    openssl("req", "-new", "-key", pki.path(name + ".key"), "-out", pki.path(name + ".csr"), "-subj", subject)
    with open(pki.path(name + ".csr"), "rb") as f:
        request = base64.b64encode(f.read()).decode()
    return {"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": name},
            "spec": {"request": request, "signerName": signer, "usages": ["client auth"]}}


def test_certificate_requests(c, server):
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
    refused(c.post(path, csr(server.pki, "master", "/O=system:masters/CN=eve")), 403,
            'certificatesigningrequests.certificates.k8s.io "master" is forbidden: use of kubernetes.io/kube-apiserver-client signer '
            "with system:masters group is not allowed")
    created(c.post(path, csr(server.pki, "tester", "/O=testers/CN=eve")))
    created(c.post(path, csr(server.pki, "elsewhere", "/O=system:masters/CN=eve", "example.com/own")))
    # Two requests, the first with a byte behind its last line that OpenSSL passes over, and for which Go passes over the block.
    harmless, master = (base64.b64decode(csr(server.pki, name, subject)["spec"]["request"])
                        for name, subject in (("first", "/CN=eve"), ("second", "/O=system:masters/CN=eve")))
    both = csr(server.pki, "both", "/CN=eve")
    both["spec"]["request"] = base64.b64encode(harmless.rstrip() + b"\v\n" + master).decode()
    refused(c.post(path, both), 403,
            'certificatesigningrequests.certificates.k8s.io "both" is forbidden: use of kubernetes.io/kube-apiserver-client signer '
            "with system:masters group is not allowed")


def main():
    server = Server(sys.argv[1], ["--authorization-mode=Node,RBAC"])
    config = server.pki.path("admission.yaml")
    with open(config, "w") as f:
        f.write(CONFIG)
    server.flags.append("--admission-control-config-file=" + config)
    server.pki.client("node-n7", "/O=system:nodes/CN=system:node:n7")
    server.pki.client("trusted", "/O=system:masters/CN=trusted")
    return run_tests(server, globals(), sys.argv[2:])


if __name__ == "__main__":
    sys.exit(main())
