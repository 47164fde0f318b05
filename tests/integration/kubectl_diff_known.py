"""What kubectl shows of 1.20 otherwise than of 1.35, which c8s follows: in which commands, where, and why."""
from api_diff_lib import Known

KNOWN = [
    # ---- objects (api_diff_known.py has most)
    Known("1.33: Endpoints are deprecated", r"^stderr", ours="^Warning: v1 Endpoints is deprecated"),
    Known("an apply that changes nothing but who owns what has no time (1.20 gave it one)", r"managedFields\[\d+\]\.time$", ours="none"),
    Known("the older server's version of the kind", r"apiVersion$", "", r"autoscaling/v2beta2", "autoscaling/v2"),
    Known("autoscaling/v2: conditions and currentReplicas are left out when empty", r"status\.(conditions|currentReplicas)$", "Autoscaler|hpa|autoscale"),
    Known("1.33: pods have a generation", r"metadata\.generation$", "", "none", r"^\d+$"),
    Known("1.27: labels of jobs have a prefix; a job without labels has those", r"labels(\.(batch\.kubernetes\.io/)?(controller-uid|job-name))?$|matchLabels", "[Jj]ob"),
    Known("1.21 to 1.24: jobs can be indexed and suspended", r"completionMode|podReplacementPolicy|f:suspend|spec\.suspend", "[Jj]ob"),
    Known("1.22: internalTrafficPolicy; 1.24: allocateLoadBalancerNodePorts", r"internalTrafficPolicy|allocateLoadBalancerNodePorts"),
    Known("1.22: daemon sets may surge", r"maxSurge", "DaemonSet|objects"),
    Known("1.27: claims of stateful sets have a policy; 1.22: availableReplicas", r"persistentVolumeClaimRetentionPolicy|availableReplicas", "StatefulSet|objects"),
    Known("1.21: storageCapacity, requiresRepublish; 1.27: seLinuxMount", r"storageCapacity|requiresRepublish|seLinuxMount", "CSIDriver|objects"),
    Known("1.21: a namespace has its name as a label", r"kubernetes\.io/metadata\.name|labels$|^stdout\.line", "describe (ns|-f Namespace)|Namespace|ns ",
          ours="kubernetes.io/metadata.name|^{}$|^None$"),
    Known("c8s counts a quota's use with the quota; 1.20 leaves it to a controller", r"status\.(hard|used)$|^stdout\.line", "quota|Quota"),
    Known("1.20 has code of its own for services: a dry run has no address and checks none", r"", r"--dry-run=server.*|^kubectl (create service|expose|run exposed).*dry-run",
          r"none|^$|^0$|\{'apiVersion'|\d", r"address|nodePort|node port|^1$|provided|^$|\d"),

    Known("templates have no creationTimestamp of null any more (1.35)", r"creationTimestamp$", "", "^null$", "none"),
    Known("kubectl 1.35 makes autoscalers of v2, which 1.20 has not", r"", "autoscale|hpa", r"autoscaling/v1: empty|^1$|^$|No resources", r"autoscaler|^0$|^$"),
    Known("kubectl 1.35 looks for discovery.k8s.io/v1", r"^stdout\.line", "describe ing", "could not find the requested resource"),
    Known("described: a service's internal traffic policy", r"^stdout\.line", "describe svc", ours="Internal Traffic Policy|^$"),

    Known("1.21: a put service keeps its addresses (1.20 wants them said), ports have a protocol by default in the schema, too", r"",
          "(replace|apply --server-side).*Service.yaml", r"^1$|can not be unset|omits key field|^$", r"^0$|service/tour-service|^$"),

    # ---- tables and descriptions
    Known("columns that came or were turned since (and whole lines of tables that have them)", r"^stdout\.line", "",
          ours=r"VOLUMEATTRIBUTESCLASS|<unset>|TIMEZONE|PREEMPTIONPOLICY|PreemptLowerPriority|REQUESTEDDURATION|REQUIRESREPUBLISH|cpu: <unknown>/"
               r"|NAME +STATUS +COMPLETIONS|Running +0/1|Persistent +<age>|Complete|SuccessCriteria"),
    Known("… of requests for certificates: the duration asked for", r"^stdout\.line", "csr|CertificateSigningRequest|objects", ours="<none>"),
    Known("… of cron jobs: the time zone", r"^stdout\.line", "CronJob|objects", ours="<none>"),
    Known("described: labels and completion mode of jobs, node of endpoints, fields of drivers, generation of templates, metrics of autoscalers", r"^stdout\.line",
          "describe", ours=r"batch\.kubernetes\.io|Completion Mode|NodeName|Requires Republish|Generation:|current / target|Se Linux"),
    Known("a template's creationTimestamp is no longer there", r"^stdout\.line", "describe|diff", r"Creation Timestamp:  <nil>|creationTimestamp: null"),
    Known("kubectl wants batch/v1 and policy/v1 of these, which 1.20 has not", r"", "(describe|get) .*(CronJob|cj|PodDisruptionBudget|pdb)|describe -f objects",
          r"could not find|No resources|^1$|^$|NAME"),
    Known("1.26: component statuses come from leases and the store", r"^stdout", "get cs|componentstatuses"),
    Known("the service kubernetes: each server's own port and endpoints", r"targetPort$|^stdout\.line", "svc -n default"),

    # ---- words
    Known("1.21: values in messages are JSON, not Go's syntax", r"^stderr", "", r"0x0|map\[|\[\][\w.]+[{(]|v1\.|core\.|runtime\.|\(nil\)|resource\.|networking\."),
    Known("a decoder of 1.20 tells where in the text it stopped", r"^stderr", "", r"error found in #|readObjectStart|ReadMapCB|unmarshalerDecoder"),
    Known("clients before 1.27 check by OpenAPI, the server has another version of the kind", r"^stderr", "", r"ValidationError\(.*v\dbeta\d"),
    Known("1.25: the server checks fields (ServerSideFieldValidation), so the client does not", r"^stderr|^exit|^stdout", "", r"error validating"),
    Known("… and tells of unknown and doubled ones", r"^stderr|^exit|^stdout", "", ours=r"(unknown|duplicate) field"),
    Known("1.20 kept ingresses in the group extensions", r"^stderr", "", r"Ingress.extensions|ingresses.extensions"),
    Known("1.20 forgot a name in paths of secrets' data", r"^stderr", "", r"data\[%s\]"),
    Known("1.27: addresses come from objects, which has other words for failures", r"^stderr", "", r"failed to allocated ip"),
    Known("1.22: words of pod updates; the difference is of JSON", r"^stderr", "", r"pod updates may not change fields other than"),
    Known("1.31: the limit is said", r"^stderr", "", r"must be less than or equal to cpu limit$"),
    Known("1.23: label selectors' messages", r"^stderr", "-l ", r"unable to parse requirement"),
    Known("1.21: patch objects are typed by name", r"^stderr", "server-side", r"failed to create typed patch object"),
    Known("1.26: JSON patches of what is not there are refused (library)", r"", "--type=json|show-managed-fields|cm settings"),
    Known("words of what is no patch changed with strict decoding (1.25)", r"^stderr", "patch ", r"unexpected EOF|jsonpatch.Patch|namespace of the object"),
    Known("1.33: a scale target must name its group", r"^stderr", "HorizontalPodAutoscaler", ours="apiVersion must specify API group"),
    Known("1.22: the pods of stateful sets are validated", r"^stderr", "StatefulSet", ours="containers: Required value"),
    Known("another version is said to differ", r"^stderr", "version", r"version"),

    # ---- rights
    Known("1.26: selfsubjectreviews; 1.27: paths with a slash at the end", r"^stdout\.line", "can-i --list", ours="selfsubjectreviews|openid-configuration/"),
    Known("c8s's node agents are the service proxy, too: system:node-proxier is theirs", r"^stdout\.line", "can-i --list.*system:nodes"),
    Known("discovery orders batch/v1 and v1beta1 otherwise", r"^stderr\.line", "get all --as jane", "cronjobs.batch|^$", "cronjobs.batch|^$"),

    # ---- discovery
    Known("the version is its own", r"^stdout\.(serverVersion\.)?(compiler|git\w+|goVersion|minor|major|buildDate|platform|emulation\w+|minCompat\w+)$", "version"),
    Known("1.27: discovery names singulars", r"singularName$"),
    Known("1.25: pod security policies are gone", r"podsecuritypolicies|\border", "api-resources"),
    Known("1.23: services have deletecollection", r"services\.\.verbs$", "api-resources"),
    Known("each server's own address", r"serverAddress$"),

    # ---- fields that are gone: 1.21 export's readOnly; 1.22 topologyKeys, topology; 1.24 clusterName
    Known("gone", r"fields\.(.*\.)?(clusterName|topologyKeys|topology)$|ephemeral\.readOnly$", "explain", ours="none"),
    Known("descriptions are our own", r"^stdout\.line", "explain pods.spec.nodeName.nothing"),

    # ---- OpenAPI
    Known("1.21 and later: lists and maps say how they merge, also with (listType)", r"x-kubernetes-(list-type|list-map-keys|map-type)$", "openapi definition", "none"),
    Known("1.24: enumerations are published", r"\.enum$", "openapi", "none"),
    Known("1.21: export is gone", r"query (exact|export)$", "openapi path"),
    Known("1.25: fieldValidation; 1.27: sendInitialEvents; 1.33: ignoreStoreReadErrorWithClusterBreakingPotential",
          r"query (fieldValidation|sendInitialEvents|ignoreStoreReadErrorWithClusterBreakingPotential)$", "openapi path", "none"),
    Known("1.20 wrote patches without the answer to one that creates", r"responses\.201$", "openapi path patch", "none"),
    Known("1.33: serviceName need not be; 1.29: names of images; 1.22: metadata of events; 1.34: podSelector", r"^required$", "StatefulSetSpec|ContainerImage|events.v1.Event|NetworkPolicySpec"),
    Known("1.22: paths have types (as networking/v1 always wanted); 1.29: addresses of aliases and pods", r"^required$", "HTTPIngressPath|HostAlias|PodIP"),
    Known("1.23: ports of ephemeral containers", r"patch-(merge-key|strategy)$", "EphemeralContainer"),
    Known("1.26: keys of selectors' requirements are no merge keys", r"patch-(merge-key|strategy)$", "LabelSelectorRequirement"),
    Known("1.23: handlers of a container's life and of probes are two; definitions of their own for claims' resources (1.29), parameters of classes (1.21), an ingress's status (1.26)",
          r"\$ref$|^there$", r"core\.v1\.(Lifecycle|Handler|PersistentVolumeClaimSpec)$|networking\.v1\.(IngressClassSpec|IngressStatus)$"),
    Known("gone", r"properties\.(clusterName|topologyKeys|readOnly)$", "ObjectMeta|ServiceSpec|EphemeralVolumeSource", ours="none"),
    Known("the groups that each serves", r"group-version-kind$", "DeleteOptions|WatchEvent"),
    Known("1.22: evictions are of policy/v1", r"\$ref$|group-version-kind", "eviction"),
    Known("1.32: streams of logs", r"query stream$", "log"),
    Known("1.23: services have a DELETE like all others", r"\$ref$", r"delete \S*services/"),

    # ---- Helm
    Known("1.25: the server checks fields, so Helm (kubectl 1.24's library) does not", r"", "replicaCount=(no|many)|helm list|upgrade fresh", theirs=r"error validating|^1$|^$|none|resourceVersion", ours=r"^0$|web-0\.1\.0|serviceaccount|upgraded|^$|none|unmarshal"),
    Known("a release that was refused by the client is not in 1.20's list", r"^stdout", "helm list"),
    Known("the chart prints the server's version", r"^stdout", "get manifest tour", "v1.20", "v1.35"),
]
