"""What kubectl shows of 1.20 otherwise than of 1.35, which c8s follows: in which commands, where, and why."""
from api_diff_lib import Known



def only_ours(why, request, error=""):
    """A command that 1.20 refuses with this error and c8s obeys."""
    return [Known(why, r"^exit$", request, "^1$", "^0$"), Known(why, r"^stderr(\.line \d+)?$", request, error or "^$"),
            Known(why, r"^stdout(\.line \d+)?$", request, "^$")]


KNOWN = [
    # ---- objects (api_diff_known.py has most)
    Known("1.33: Endpoints are deprecated", r"^stderr", ours="^Warning: v1 Endpoints is deprecated"),
    Known("an apply that changes nothing but who owns what has no time (1.20 gave it one)", r"managedFields\[\d+\]\.time$", ours="none"),
    Known("… nor in a diff", r"^stdout\.line", r"^kubectl diff --server-side ", r'^\+  time: "<time> "$', "^$"),
    Known("… which a diff shows where a second has passed", r"^stdout\.line", r"^kubectl diff -f web.yaml", r'\n-  time: "<time> "\n\+  time: "<time> "\n', "^$"),
    Known("… of which kubectl 1.22 asks whether it has dry runs", r"^stderr", r"^kubectl create (pdb|cronjob) .*--dry-run=server$", r"(PodDisruptionBudget|CronJob) doesn't support dry-run$"),
    Known("the older server's version of the kind", r"apiVersion$", "", r"autoscaling/v2beta2", "autoscaling/v2"),
    Known("autoscaling/v2: conditions and currentReplicas are left out when empty", r"status\.(conditions|currentReplicas)$", "Autoscaler|hpa|autoscale|objects"),
    Known("1.33: pods have a generation", r"metadata\.generation$", "", "none", r"^\d+$"),
    Known("1.27: labels of jobs have a prefix; a job without labels has those", r"labels(\.(batch\.kubernetes\.io/)?(controller-uid|job-name))?$|matchLabels", "[Jj]ob|objects"),
    Known("1.21 to 1.24: jobs can be indexed and suspended", r"completionMode|podReplacementPolicy|f:suspend|spec\.suspend", "[Jj]ob|objects"),
    Known("1.22: internalTrafficPolicy; 1.24: allocateLoadBalancerNodePorts", r"internalTrafficPolicy|allocateLoadBalancerNodePorts"),
    Known("1.22: daemon sets may surge", r"maxSurge", "DaemonSet|objects| ds/"),
    Known("1.27: claims of stateful sets have a policy; 1.22: availableReplicas", r"persistentVolumeClaimRetentionPolicy|availableReplicas", "StatefulSet|objects| sts/"),
    Known("1.21: storageCapacity, requiresRepublish; 1.27: seLinuxMount", r"storageCapacity|requiresRepublish|seLinuxMount", "CSIDriver|objects"),
    Known("1.21: a namespace has its name as a label", r"kubernetes\.io/metadata\.name|labels$|^stdout\.line", "describe (ns|-f Namespace)|Namespace|ns ",
          ours="kubernetes.io/metadata.name|^{}$|^None$"),
    Known("c8s counts a quota's use with the quota; 1.20 leaves it to a controller", r"status\.(hard|used)$|^stdout\.line", "quota|Quota"),
    Known("1.22: a dry run of a service has addresses and ports", r"spec\.(clusterIPs?|ports\[\d+\]\.nodePort|healthCheckNodePort)$",
          r"^kubectl (create service|expose|run exposed|create -f objects).*--dry-run=server", r"none|^\d+$", r"address|node port|^\d+$"),
    Known("… which are checked", r"^(exit|stderr.*|stdout.*)$", r"^kubectl create service (nodeport node[23]|clusterip fixed2|clusterip far|nodeport node) .*--dry-run=server",
          r"^0$|^$|'kind': 'Service'|node port", r"^1$|^$|provided (port|IP)|failed to allocate"),

    Known("templates have no creationTimestamp of null any more (1.35)", r"creationTimestamp$", "", "^null$", "none"),
    *only_ours("kubectl 1.35 makes autoscalers of autoscaling/v2, which came with 1.23", "^kubectl autoscale ", "failed to create autoscaling/v2 HPA"),
    Known("… and describes endpoints from discovery.k8s.io/v1, which came with 1.21", r"^stdout\.line", r"describe .*[Ii]ng", "could not find the requested resource"),
    Known("1.26: autoscaling/v2beta2, which kubectl 1.22 shows all metrics of, is gone", r"^stdout\.line", r"describe (hpa|-f HorizontalPodAutoscaler|-f objects)",
          r"^Metrics:|resource cpu on pods", r"Target CPU utilization|Current CPU utilization"),
    Known("described: 1.22's internal traffic policy", r"^stdout\.line", r"describe (svc|-f Service|-f objects)", "^$", "^Internal Traffic Policy:  Cluster$"),

    *only_ours("1.20 wants the addresses of a service that is put said (1.21: patched from the old object)", r"^kubectl replace -f Service.yaml",
               "primary clusterIP can not be unset"),
    *only_ours("ports have a protocol by default in the schema since 1.21", r"^kubectl apply --server-side .*Service.yaml", "omits key field .protocol"),

    Known("… so that nobody applied it", r"last-applied-configuration$|managedFields$", r"^kubectl get -o yaml --show-managed-fields -f Service.yaml"),
    Known("1.22: who scales owns the replicas, for which 1.20 has no entry", r"managedFields$", r"^kubectl get deployment web -o yaml --show-managed-fields"),
    Known("1.20 writes the annotation that follows an apply into the object it compares with, so that no generation is counted", r"metadata\.generation$",
          r"^kubectl get -o yaml --show-managed-fields -f Deployment.yaml", "^2$", "^3$"),
    Known("1.22: who is left with a map alone owns nothing that comes into it (structured-merge-diff 4.1.1)", r"fieldsV1\.f:metadata\.f:annotations\.(\.|f:other|f:note)$",
          r"^kubectl get cm (settings -o yaml --show-managed-fields|--watch --output-watch-events -o json)", "^{}$", "none"),
    Known("1.22: who scales a custom object owns its replicas", r"managedFields(\[\d+\]\..*)?$", r"^kubectl get wd w -o yaml --show-managed-fields"),
    Known("1.23: what is applied gives the order of merged lists (structured-merge-diff 203)", r"spec\.parts\[\d\]\.(name|count)$", r"^kubectl get wd w -o yaml --show-managed-fields"),
    Known("the count of its templates, which a put daemon set does not give, is the client's in 1.20, which compares it as 0; nobody's in c8s", r"managedFields$",
          r"^kubectl get -o yaml --show-managed-fields -f DaemonSet.yaml", "kubectl-replace"),
    Known("slices count generations since", r"metadata\.generation$", r"EndpointSlice", "^1$", r"^\d+$"),
    Known("the older server's version of the kind, in what was applied", r"last-applied-configuration$", "", r"autoscaling/v2beta2", "autoscaling/v2"),

    # ---- tables and descriptions
    Known("columns that came since (kubectl_diff_lib.py takes them out where they have heads)", r"^stdout\.line", "^kubectl get .*--no-headers"),
    Known("1.27: labels of jobs have a prefix", r"^stdout\.line", "[Jj]ob|objects", "controller-uid=", r"batch\.kubernetes\.io/controller-uid="),
    Known("subresources have columns since kubernetes 103516", r"^stdout\.line", "^kubectl get deploy web --subresource=(scale|status)$", r"^NAME  AGE"),
    Known("1.30: targets name their metric", r"^stdout\.line", "", r"<unknown>/50%", r"cpu: <unknown>/50%"),
    Known("described: labels and completion mode of jobs, node of endpoints, fields of drivers, generation of templates, metrics of autoscalers", r"^stdout\.line",
          "describe", ours=r"batch\.kubernetes\.io|Completion Mode|NodeName|Requires Republish|Generation:|current / target|Se Linux"),
    Known("a template's creationTimestamp is no longer there", r"^stdout\.line", "describe|diff", r"Creation Timestamp:  <nil>|creationTimestamp: null"),
    *only_ours("kubectl describes these as batch/v1, policy/v1 and discovery.k8s.io/v1, which came with 1.21", r"^kubectl describe (-f )?(CronJob|cj|PodDisruptionBudget|pdb|EndpointSlice|objects)",
               "the server could not find the requested resource|No resources found"),
    Known("… and makes them as such", r"^(stderr|stdout|exit)", r"^kubectl create (pdb|cronjob) ", r"could not find the requested resource|^$|^1$"),
    Known("the state of controllers and scheduler is known by their leases in c8s, by asking a port of this machine in 1.20", r"^stdout\.line", "get cs$",
          "dial tcp|NAME|etcd", "lease|NAME|etcd"),
    Known("the service kubernetes: each server's own port, and endpoints, which 1.20 refuses for a loopback address", r"targetPort$|^stdout\.line", "svc -n default kubernetes",
          r"^\d+$|^TargetPort|^Endpoints", r"^\d+$|^TargetPort|^Endpoints"),
    *only_ours("1.25: ephemeral containers (1.20 has them off)", "^kubectl debug ", "ephemeral containers are disabled"),
    *only_ours("1.28: selfsubjectreviews of authentication.k8s.io/v1", "^kubectl auth whoami", "selfsubjectreviews API is not enabled"),
    Known("1.25: pod security policies are gone", r"^stderr", "podsecuritypolicies", ours="doesn't have a resource type"),
    Known("the proxy looks at slices, as upstream after 1.35 (kubernetes 134860); 1.20 misses the Endpoints, and names what was asked for", r"^stderr", r"get --raw \S*/services/web(:http)?/proxy/",
          'services "web" not found', 'no endpoints available for service "web"'),

    # ---- words
    Known("1.21: values in messages are JSON, not Go's syntax", r"^stderr", "", r"(Invalid|Unsupported) value: .*(0x[0-9a-f]+|map\[string\]\w+|\[\][\w.]+[{(]|\w+\.[A-Z]\w+\{|\(nil\))", r"(Invalid|Unsupported) value: "),
    Known("… nor nil in quotes", r"^stderr", "", r'Invalid value: "null"', r"Invalid value: null"),
    Known("a decoder of 1.20 tells where in the text it stopped", r"^stderr", "", r"error found in #|readObjectStart|ReadMapCB|unmarshalerDecoder"),
    Known("clients before 1.27 check by OpenAPI, the server has another version of the kind", r"^stderr", "", r"ValidationError\(.*v\dbeta\d"),
    Known("1.25: the server checks fields (ServerSideFieldValidation), so the client does not", r"^stderr", "", r"error validating"),
    Known("… and tells of unknown and doubled ones", r"^stderr", "", "^$|error|Error", ours=r"Warning: (unknown|duplicate) field|strict decoding error: .*(unknown|duplicate) field"),
    Known("1.20 kept ingresses in the group extensions", r"^stderr", "", r"Ingress.extensions|ingresses.extensions"),
    Known("1.20 forgot a name in paths of secrets' data", r"^stderr", "", r"data\[%s\]"),
    Known("1.27: addresses come from objects, which has other words for failures", r"^stderr", "", r"failed to allocated ip"),
    Known("1.22: words of pod updates; the difference is of JSON", r"^stderr", "", r"pod updates may not change fields other than"),
    Known("1.31: the limit is said", r"^stderr", "", r"must be less than or equal to cpu limit$"),
    Known("1.23: label selectors' messages", r"^stderr", "-l ", r"unable to parse requirement"),
    Known("1.21: patch objects are typed by name", r"^stderr", "server-side", r"failed to create typed patch object"),
    Known("1.26: JSON patches of what is not there are refused (jsonpatch 4.12)", r"^(exit|stdout.*)$", r'"op":"(replace|remove)","path":"/(data/none|metadata/labels/where)"', r"^0$|patched|^$", r"^1$|^$"),
    Known("…", r"^stderr", r'"op":"(replace|remove)","path":"/(data/none|metadata/labels/where)"', r"^$", r"The request is invalid"),
    Known("… so that there is something to take away", r"^stdout", '"none":null', "patched$", "no change"),
    Known("1.20 tells where kinds are registered", r"^stderr", '"apiVersion":"v9"', "is registered for version", "does not match the expected API version"),
    Known("… and an object in a message has its members in another order", r"^stderr", '--type=merge -p .{"apiVersion":"v9"}', r'patch: Invalid value: "{', r'patch: Invalid value: "{.*v9'),
    Known("1.25: patches are decoded strictly first", r"^stderr", "^kubectl patch ", r"unexpected EOF|jsonpatch.Patch|^Error from server: "),
    Known("1.22: the namespace is looked at before the name, in other words", r"^stderr", "^kubectl patch ", "namespace of the object"),
    Known("1.33: a scale target must name its group", r"^stderr", "HorizontalPodAutoscaler", ours="apiVersion must specify API group"),
    Known("1.22: the pods of stateful sets are validated", r"^stderr", "StatefulSet", ours="containers: Required value"),
    Known("another version is said to differ", r"^stderr", "^kubectl version", r"version difference between client .* and server"),
    Known("the version is its own", r"^stdout\.line", "^kubectl version", "^Server Version: ", "^Server Version: "),

    # ---- rights
    Known("1.26: selfsubjectreviews; 1.27: paths with a slash at the end", r"^stdout\.line", "can-i --list", ours="selfsubjectreviews|openid-configuration/|jwks/"),
    Known("c8s's node agents are the service proxy, too: system:node-proxier is theirs", r"^stdout\.line", "can-i --list.*system:nodes",
          "^$", r"^(nodes|endpointslices\.discovery\.k8s\.io)  "),
    Known("discovery orders batch/v1 and v1beta1 otherwise", r"^stderr\.line", "get all --as jane", "cronjobs.batch|^$", "cronjobs.batch|^$"),

    # ---- discovery
    Known("the version is its own", r"^stdout\.(serverVersion\.)?(compiler|git\w+|goVersion|minor|major|buildDate|platform|emulation\w+|minCompat\w+)$", "version"),
    Known("1.27: discovery names singulars", r"singularName$"),
    Known("1.25: pod security policies are gone", r"resources\.podsecuritypolicies\.policy$", "api-resources", ours="none"),
    Known("… younger resources of networking.k8s.io", r"^stdout\.line", "api-resources .*--api-group=networking", "^$", "^(ipaddresses|servicecidrs) "),
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
    Known("1.25: the server checks fields: a manifest of one that does is not checked by Helm", r"^(exit|stdout.*)$", "^helm template x web --validate --set replicaCount=no", r"^1$|^$"),
    Known("… so that a release is refused by the server, and kept as failed, which 1.20's client had refused", r"^stdout\.line", "^helm list", "^$", r"^number\s"),
    Known("…", r"^stdout$", "^helm list -A --all -o json", ours="'name': 'number'"),
    *only_ours("1.20 wants the addresses of a service that is put said", "^helm upgrade fresh .*--force", "primary clusterIP can not be unset"),
    Known("the chart prints the server's version", r"^stdout", "get manifest tour", "v1.20", "v1.35"),
]
