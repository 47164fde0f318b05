"""What 1.20 answers otherwise than 1.35, which c8s follows: where it shows, in which requests, and why."""
from api_diff_lib import Known

OWNED = r"managedFields\[\d+\]\.fieldsV1"

KNOWN = [
    # ---- objects
    Known("1.21: namespaces have their name as a label (NamespaceDefaultLabelName)", r"labels(\.f:labels)?(\.(f:)?kubernetes\.io/metadata\.name)?$|f:metadata$",
          "", ours="kubernetes.io/metadata.name|^{}$|^ns-|^life-|^name-"),
    Known("templates have no creationTimestamp of null any more (1.35's omitzero)", r"(^|\.)creationTimestamp$", theirs="^None$"),
    Known("… nor own it", r"f:creationTimestamp$"),
    Known("1.21: jobs can be indexed and suspended; 1.26: pods are replaced by policy; 1.27: labels with a prefix",
          r"completionMode|podReplacementPolicy|f:suspend|spec\.suspend|batch\.kubernetes\.io/|matchLabels\.controller-uid|jobTemplate", "jobs"),
    Known("1.27: claims of stateful sets have a policy; 1.22: availableReplicas", r"persistentVolumeClaimRetentionPolicy|availableReplicas", "statefulsets"),
    Known("1.22: daemon sets may surge", r"maxSurge", "daemonsets"),
    Known("1.21: storageCapacity, requiresRepublish; 1.27: seLinuxMount", r"storageCapacity|requiresRepublish|seLinuxMount", "csidrivers"),
    Known("1.22: internalTrafficPolicy; 1.24: allocateLoadBalancerNodePorts", r"internalTrafficPolicy|allocateLoadBalancerNodePorts", "services"),
    Known("1.21: parameters of ingress classes have a scope", r"parameters\.(f:)?scope", "ingressclasses"),
    Known("1.33: pods have a generation", r"metadata\.generation$|observedGeneration", "pods"),
    Known("1.21: a quota says at once what is used (1.20's admission leaves it to the controller)", r"status(\.(hard|used))?$", "resourcequotas"),

    Known("pod templates, slices and quotas count generations since", r"metadata\.generation$",
          "podtemplates|endpointslices|leases|csidrivers|ingressclasses|events|widgets"),
    Known("whether an API service is there is found out meanwhile", r"^body\.(status|metadata\.resourceVersion)", "apiservices"),

    # ---- verbs
    Known("1.24: what is deleted is answered with the version of its deletion", r"metadata\.resourceVersion$", "^(DELETE|WATCH)"),
    Known("1.20 has code of its own for services: no dry run of addresses, always a resourceVersion, a Status of a deletion, no collection",
          r"", r"^(PUT|DELETE|POST) \S*/services"),
    Known("1.20 compares a revision's data as bytes and finds it changed", r"", r"^(PATCH|PUT|GET|DELETE) \S*/controllerrevisions/"),
    Known("batch/v1beta1 orphaned by default", r"", r"^(GET|DELETE|PATCH) \S*/cronjobs/"),
    Known("1.21: a new object with a resourceVersion is a bad request", r"", r'^POST .*"resourceVersion":"3"'),
    Known("1.21: an empty continue of a list from the cache", r"metadata\.(continue|remainingItemCount)$|^body\.items$",
          "resourceVersion=0.*limit=|limit=.*resourceVersion=0"),
    Known("1.20 kept ingresses and policies in the group extensions", r"(message|details\.group)$", "ingresses|networkpolicies", theirs="extensions"),
    Known("1.23: services have deletecollection", r"", "^DELETE /api/v1/namespaces/default/services$"),

    # ---- owners
    Known("selectors and references of one object are atomic since 1.21 (+structType=atomic)",
          OWNED + r".*f:(selector|nodeSelector|roleRef|involvedObject|regarding|scaleTargetRef|port|secretRef|parameters|resource|target)\."),
    Known("1.20 takes the lists of custom resources for atomic", OWNED + r".*f:(parts|tags)"),
    Known("1.22: a status in an object is not owned by who writes the object (resetFields)", OWNED + r"\.f:status$", ours="none"),
    Known("1.22: entries name the subresource", r"managedFields\[\d+\]\.subresource$"),
    Known("API services have managed fields since their server has (1.21)", r"managedFields$", "apiservices", theirs="none"),

    # ---- warnings and words
    Known("1.25: unknown fields are warned of (ServerSideFieldValidation); 1.19 and later: deprecations", r"headers\.warning", theirs="none"),
    Known("Table columns: c8s describes them in words of its own", r"columnDefinitions\[\d+\]\.description$"),
    Known("1.21: values in messages are JSON, not Go's syntax", r"message$", theirs=r"0x0|map\[|\[\]string|v1\.|runtime\.|\(nil\)"),
    Known("1.21: 415 and 406 say what is accepted", r"message$", theirs="^(415: Unsupported Media Type|406: Not Acceptable)"),
]
