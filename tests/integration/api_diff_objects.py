"""One small object of each kind that api_diff_test.py asks two API servers about."""

import json

CORE = "/api/v1"


class Kind:
    """A resource: where it is served (by each of the two, where that differs), an object, and a change of its spec."""

    def __init__(self, kind, plural, group, body, namespaced=True, change=None, theirs=None):
        self.kind, self.plural, self.group, self.namespaced = kind, plural, group, namespaced
        self.theirs = theirs or group  # the apiVersion that the older server has
        self.body, self.change = body, change or {}

    def api_version(self, side):
        return self.theirs if side.name == "kube" else self.group

    def path(self, side, namespace, name="", sub=""):
        version = self.api_version(side)
        base = CORE if version == "v1" else "/apis/" + version
        path = base + ("/namespaces/" + namespace if self.namespaced and namespace else "") + "/" + self.plural
        return path + ("/" + name if name else "") + ("/" + sub if sub else "")

    def object(self, side, name, **metadata):
        return {"apiVersion": self.api_version(side), "kind": self.kind, "metadata": {"name": name, **metadata}, **self.body}


def pod_spec(**more):
    return {"containers": [{"name": "c", "image": "registry.example/app"}], **more}


def template(**labels):
    return {"metadata": {"labels": labels or {"app": "a"}}, "spec": pod_spec()}


def workload(**more):
    return {"selector": {"matchLabels": {"app": "a"}}, "template": template(), **more}


RULES = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
SUBJECTS = [{"kind": "ServiceAccount", "name": "s", "namespace": "x"}, {"kind": "User", "name": "u"}]

KINDS = [
    Kind("ConfigMap", "configmaps", "v1", {"data": {"a": "1"}, "binaryData": {"b": "AAEC"}}, change={"data": {"a": "2"}}),
    Kind("Secret", "secrets", "v1", {"stringData": {"a": "1"}, "data": {"b": "AAEC"}}, change={"data": {"a": "Mg=="}}),
    Kind("Service", "services", "v1", {"spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}},
         change={"spec": {"selector": {"a": "c"}}}),
    Kind("ServiceAccount", "serviceaccounts", "v1", {}, change={"imagePullSecrets": [{"name": "x"}]}),
    Kind("Endpoints", "endpoints", "v1", {"subsets": [{"addresses": [{"ip": "1.2.3.4"}], "ports": [{"port": 1}]}]},
         change={"subsets": [{"addresses": [{"ip": "1.2.3.5"}], "ports": [{"port": 1}]}]}),
    Kind("Pod", "pods", "v1", {"spec": pod_spec()}, change={"spec": {"activeDeadlineSeconds": 5}}),
    Kind("PodTemplate", "podtemplates", "v1", {"template": template()}, change={"template": {"metadata": {"labels": {"x": "y"}}}}),
    Kind("ReplicationController", "replicationcontrollers", "v1", {"spec": {"template": template()}}, change={"spec": {"replicas": 3}}),
    Kind("LimitRange", "limitranges", "v1", {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "4000"}}]}},
         change={"spec": {"limits": [{"type": "Pod", "max": {"cpu": "5000"}}]}}),
    Kind("ResourceQuota", "resourcequotas", "v1", {"spec": {"hard": {"pods": "1k"}}}, change={"spec": {"hard": {"pods": "2k"}}}),
    Kind("PersistentVolumeClaim", "persistentvolumeclaims", "v1",
         {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "", "resources": {"requests": {"storage": "1Gi"}}}}),
    Kind("Deployment", "deployments", "apps/v1", {"spec": workload()}, change={"spec": {"replicas": 3}}),
    Kind("ReplicaSet", "replicasets", "apps/v1", {"spec": workload()}, change={"spec": {"replicas": 3}}),
    Kind("DaemonSet", "daemonsets", "apps/v1", {"spec": workload()}, change={"spec": {"minReadySeconds": 3}}),
    Kind("StatefulSet", "statefulsets", "apps/v1", {"spec": workload(serviceName="x")}, change={"spec": {"replicas": 3}}),
    Kind("ControllerRevision", "controllerrevisions", "apps/v1", {"revision": 1, "data": {"a": [1]}}, change={"revision": 2}),
    Kind("Job", "jobs", "batch/v1", {"spec": {"template": {"spec": pod_spec(restartPolicy="Never")}}},
         change={"spec": {"parallelism": 3}}),
    Kind("CronJob", "cronjobs", "batch/v1",
         {"spec": {"schedule": "* * * * *", "jobTemplate": {"spec": {"template": {"spec": pod_spec(restartPolicy="Never")}}}}},
         change={"spec": {"suspend": True}}, theirs="batch/v1beta1"),
    Kind("HorizontalPodAutoscaler", "horizontalpodautoscalers", "autoscaling/v1",
         {"spec": {"maxReplicas": 3, "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}}},
         change={"spec": {"maxReplicas": 4}}),
    Kind("Ingress", "ingresses", "networking.k8s.io/v1",
         {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
         change={"spec": {"defaultBackend": {"service": {"name": "t", "port": {"number": 80}}}}}),
    Kind("NetworkPolicy", "networkpolicies", "networking.k8s.io/v1", {"spec": {"podSelector": {}}},
         change={"spec": {"podSelector": {"matchLabels": {"a": "b"}}}}),
    Kind("PodDisruptionBudget", "poddisruptionbudgets", "policy/v1",
         {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}}, change={"spec": {"minAvailable": "50%"}},
         theirs="policy/v1beta1"),
    Kind("Role", "roles", "rbac.authorization.k8s.io/v1", {"rules": RULES}, change={"rules": []}),
    Kind("RoleBinding", "rolebindings", "rbac.authorization.k8s.io/v1",
         {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"}, "subjects": SUBJECTS},
         change={"subjects": []}),
    Kind("Lease", "leases", "coordination.k8s.io/v1", {"spec": {"holderIdentity": "h", "leaseDurationSeconds": 5}},
         change={"spec": {"holderIdentity": "i"}}),
    Kind("EndpointSlice", "endpointslices", "discovery.k8s.io/v1",
         {"addressType": "IPv4", "endpoints": [{"addresses": ["1.2.3.4"]}], "ports": [{"port": 80}]},
         change={"ports": [{"port": 81}]}, theirs="discovery.k8s.io/v1beta1"),
    Kind("Event", "events", "v1", {"involvedObject": {"namespace": "@NAMESPACE@", "name": "x", "kind": "Pod"}, "reason": "r",
                                   "message": "m", "type": "Normal"}, change={"count": 3}),
    Kind("Event", "events", "events.k8s.io/v1",
         {"eventTime": "2020-01-01T00:00:00.000000Z", "regarding": {"namespace": "@NAMESPACE@", "name": "x", "kind": "Pod"},
          "reason": "r", "note": "m", "type": "Normal", "action": "a", "reportingController": "x.y/z", "reportingInstance": "i"},
         change={"series": {"count": 2, "lastObservedTime": "2020-01-01T00:00:00.000000Z"}}),
    Kind("Namespace", "namespaces", "v1", {}, False),
    Kind("Node", "nodes", "v1", {"spec": {"podCIDR": "10.9.0.0/24"}}, False, change={"spec": {"unschedulable": True}}),
    Kind("PersistentVolume", "persistentvolumes", "v1",
         {"spec": {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}}, False,
         change={"spec": {"capacity": {"storage": "2Gi"}}}),
    Kind("ClusterRole", "clusterroles", "rbac.authorization.k8s.io/v1", {"rules": RULES}, False, change={"rules": []}),
    Kind("ClusterRoleBinding", "clusterrolebindings", "rbac.authorization.k8s.io/v1",
         {"roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}, "subjects": SUBJECTS}, False,
         change={"subjects": []}),
    Kind("StorageClass", "storageclasses", "storage.k8s.io/v1", {"provisioner": "x.y/z"}, False,
         change={"allowVolumeExpansion": True}),
    Kind("VolumeAttachment", "volumeattachments", "storage.k8s.io/v1",
         {"spec": {"attacher": "x.y", "nodeName": "n", "source": {"persistentVolumeName": "p"}}}, False),
    Kind("CSIDriver", "csidrivers", "storage.k8s.io/v1", {"spec": {"attachRequired": False}}, False,
         change={"metadata": {"labels": {"z": "z"}}}),
    Kind("CSINode", "csinodes", "storage.k8s.io/v1", {"spec": {"drivers": [{"name": "x.y", "nodeID": "n"}]}}, False),
    Kind("PriorityClass", "priorityclasses", "scheduling.k8s.io/v1", {"value": 5}, False, change={"description": "d"}),
    Kind("IngressClass", "ingressclasses", "networking.k8s.io/v1", {"spec": {"controller": "x.y/z"}}, False,
         change={"spec": {"parameters": {"kind": "K", "name": "n", "apiGroup": "g.h"}}}),
    Kind("RuntimeClass", "runtimeclasses", "node.k8s.io/v1", {"handler": "h"}, False, change={"overhead": {"podFixed": {"cpu": "1"}}}),
    Kind("MutatingWebhookConfiguration", "mutatingwebhookconfigurations", "admissionregistration.k8s.io/v1",
         {"webhooks": [{"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                        "clientConfig": {"url": "https://x/y"}}]}, False),
    Kind("ValidatingWebhookConfiguration", "validatingwebhookconfigurations", "admissionregistration.k8s.io/v1",
         {"webhooks": [{"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"],
                        "clientConfig": {"service": {"name": "s", "namespace": "n"}}}]}, False),
    Kind("APIService", "apiservices", "apiregistration.k8s.io/v1",
         {"spec": {"group": "x.y", "version": "v1", "groupPriorityMinimum": 5, "versionPriority": 6,
                   "service": {"name": "s", "namespace": "n"}, "insecureSkipTLSVerify": True}}, False),
]


def kind(plural, group=None):
    return next(k for k in KINDS if k.plural == plural and group in (None, k.group))


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.differ.example"},
    "spec": {
        "group": "differ.example", "scope": "Namespaced",
        "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]},
        "versions": [{
            "name": "v1", "served": True, "storage": True,
            "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas",
                                                     "labelSelectorPath": ".status.selector"}},
            "additionalPrinterColumns": [
                {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
                {"name": "Parts", "type": "string", "jsonPath": ".spec.parts[*].name", "priority": 1},
                {"name": "Since", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                "spec": {"type": "object", "required": ["size"], "properties": {
                    "size": {"type": "integer", "minimum": 1, "maximum": 100},
                    "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
                    "replicas": {"type": "integer"},
                    "mode": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "nullable": True},
                    "parts": {"type": "array", "maxItems": 4, "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                              "items": {"type": "object", "required": ["name"], "properties": {
                                  "name": {"type": "string"}, "count": {"type": "integer", "default": 1}}}},
                    "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
                    "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                    "either": {"x-kubernetes-int-or-string": True},
                    "map": {"type": "object", "additionalProperties": {"type": "integer"}}}},
                "status": {"type": "object", "properties": {
                    "replicas": {"type": "integer"}, "selector": {"type": "string"}, "phase": {"type": "string"}}}}}}}]}}

WIDGET = Kind("Widget", "widgets", "differ.example/v1",
              {"spec": {"size": 3, "parts": [{"name": "a"}, {"name": "b", "count": 2}], "tags": ["x", "y"], "free": {"z": [1]}}},
              change={"spec": {"size": 4}})


def _gadgets():
    """Widgets without what 1.20 cannot describe: it takes all lists of a kind with an int-or-string for atomic."""
    g = json.loads(json.dumps(WIDGETS).replace("widgets", "gadgets").replace("widget", "gadget").replace("Widget", "Gadget"))
    version = g["spec"]["versions"][0]
    g["spec"]["names"]["shortNames"] = ["gd"]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    del spec["either"]
    spec["ports"] = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
                     "items": {"type": "object", "required": ["port", "protocol"], "properties": {
                         "port": {"type": "integer"}, "protocol": {"type": "string"}, "note": {"type": "string"}}}}
    spec["whole"] = {"type": "object", "x-kubernetes-map-type": "atomic", "additionalProperties": {"type": "string"}}
    spec["order"] = {"type": "array", "x-kubernetes-list-type": "atomic", "items": {"type": "string"}}
    version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]["conditions"] = {
        "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"],
        "items": {"type": "object", "required": ["type"], "properties": {"type": {"type": "string"}, "status": {"type": "string"}}}}
    return g


GADGETS = _gadgets()
GADGET = Kind("Gadget", "gadgets", "differ.example/v1", WIDGET.body, change=WIDGET.change)
