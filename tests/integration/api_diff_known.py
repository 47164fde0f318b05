"""What 1.20 answers otherwise than 1.35, which c8s follows: where it shows, in which requests, and why."""
from api_diff_lib import Known

OWNED = r"managedFields\[\d+\]\.fieldsV1"

KNOWN = [
    # ---- objects
    Known("1.21: namespaces have their name as a label (NamespaceDefaultLabelName)", r"labels(\.f:labels)?(\.(f:)?kubernetes\.io/metadata\.name)?$|f:metadata$",
          "", ours="kubernetes.io/metadata.name|^{}$|^ns-|^life-|^name-"),
    Known("templates have no creationTimestamp of null any more (1.35's omitzero)", r"(^|\.)creationTimestamp$", theirs="^(None|null)$", ours="none"),
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
    Known("whether an API service is there is found out meanwhile", r"^body\.(status|metadata\.resourceVersion|(rows\[\d+\]\.object|items\[\d+\])\.metadata\.resourceVersion|rows\[\d+\]\.(cells|object\.status))",
          "apiservices"),

    Known("a generation given at creation stays in 1.20 where the kind counts none; c8s sets it aside", r"metadata\.generation$", "", "^(9|1[0-9])$", "none"),
    Known("1.20's discovery has versions that are gone", r"^body\.(groups|versions|preferredVersion)", "/apis"),

    # ---- verbs
    Known("1.24: what is deleted is answered with the version of its deletion", r"metadata\.resourceVersion$", "^(DELETE|WATCH)"),
    Known("1.20 has code of its own for services: no dry run of addresses, always a resourceVersion, a Status of a deletion, no collection",
          r"", r"^(PUT|DELETE|POST) \S*/services"),
    Known("1.20 compares a revision's data as bytes and finds it changed", r"", r"^(PATCH|PUT|GET|DELETE) \S*/controllerrevisions/"),
    Known("batch/v1beta1 orphaned by default", r"", r"^(GET|DELETE|PATCH) \S*/cronjobs(/|\?labelSelector=)"),
    Known("1.21: a new object with a resourceVersion is a bad request", r"", r'^POST .*"resourceVersion":"3"'),
    Known("c8s looks for another match before it says that there is more", r"metadata\.continue$", r"clusterroles\?labelSelector=set=lists.*\(piece\)$", ours="none"),
    Known("1.21: an empty continue of a list from the cache", r"metadata\.(continue|remainingItemCount)$|^body\.items$",
          "resourceVersion=0.*limit=|limit=.*resourceVersion=0"),
    Known("1.20 kept ingresses and policies in the group extensions", r"(message|details\.group)$", "ingresses|networkpolicies", theirs="extensions"),
    Known("1.23: services have deletecollection", r"", "^DELETE /api/v1/namespaces/default/services$"),

    Known("1.20 owns what a put object says of its status (no resetFields), so that an unchanged object put back is a change of its owners",
          r"metadata\.resourceVersion$", r"^PUT [^?]*/[^/?]+$"),
    Known("… or what is put to its status says of the rest", r"metadata\.resourceVersion$", r"^(PUT|PATCH) \S*/(volumeattachments|deployments|widgets)/[^/?]+/status$"),
    Known("labels of jobs have a prefix since 1.27", r"labels$|labels\.(controller-uid|job-name)|f:labels", "jobs"),
    Known("… and jobs, cron jobs count generations", r"metadata\.generation$", "jobs"),

    # ---- paths that are no resources: c8s has one answer for all of them
    Known("1.20 lets any method read them; c8s refuses all but GET and HEAD with 405", r"",
          r"^(POST|PUT|DELETE|PATCH|OPTIONS|TRACE) (/|/version/?|/openapi|/nonsense|/healthz\S*|/livez\S*|/readyz|/apis?(/[a-z0-9.]*){0,2}/?)$"),
    Known("paths that are nowhere: 1.20 lists those that there are; since 1.23 plain text", r"", r"^\w+ (/nonsense|/openapi|/healthz/nonsense)"),
    Known("1.20 finds no kind in them and calls that an internal error", r"", r"^\w+ /api/v1/(watch|proxy)\b"),
    Known("1.35: impersonation without a user is a bad request", r"", "a group without a user"),

    # ---- tables
    Known("columns that came or were turned since: volume attributes, job status, quotas, selectors, preemption", r"columnDefinitions$|columnDefinitions\[\d+\]\.(name|type|priority|format)$|cells$",
          "persistentvolume|jobs|resourcequotas|services|pods|networkpolicies|priorityclasses|csidrivers|endpoints|poddisruption|ingressclasses|customresource"),
    Known("1.22: restarts are text; 1.30: targets name their metric; 1.28: ages of events count from their time", r"cells\[\d+\]$", "pods|horizontalpod|events|resourcequotas|cronjobs"),
    Known("rows of a table of v1beta1 (clients before 1.16) say v1 in c8s", r"object\.apiVersion$", theirs="v1beta1"),
    Known("1.20 leaves the continue of custom lists empty instead of out", r"metadata\.continue$", "widgets", theirs="^$"),

    # ---- refusals
    Known("1.21: the accept header of custom resources; details of 406 and 415", r"details$", theirs="^{}$|none", ours="^{}$|none"),
    Known("1.20: 500 for what is a bad request since", r"^(status|body\.(code|reason|message|details|kind|apiVersion|metadata|status))", "garbage|resourceVersion=(x|-1)|continue=",),
    Known("a decoder of 1.20 tells where in the text it stopped", r"message$", theirs="error found in #|unmarshalerDecoder"),
    Known("1.26: JSON patches of what is not there are refused (library)", r"", r"^(PATCH|GET) \S*/deployments/json-(3|11|18|36|37|40|45)\b"),

    # ---- owners
    Known("selectors and references of one object are atomic since 1.21 (+structType=atomic)",
          OWNED + r".*f:(selector|nodeSelector|roleRef|involvedObject|regarding|scaleTargetRef|port|secretRef|parameters|resource|target)\."),
    Known("1.20 takes the lists of custom resources for atomic", OWNED + r".*f:(parts|tags|finalizers)"),
    Known("1.22: a status in an object is not owned by who writes the object (resetFields)", OWNED + r"\.f:status$", ours="none"),
    Known("1.22: entries name the subresource", r"managedFields\[\d+\]\.subresource$"),
    Known("1.22: what a status update says of the rest is not owned (resetFields)",
          OWNED + r"\.f:spec\.f:(activeDeadlineSeconds|minReadySeconds|unschedulable)$", "pods|daemonsets|nodes", "^{}$", "none"),
    Known("… nor its metadata where the strategy keeps the old one", OWNED + r"\.f:metadata(\.f:labels)?$",
          "deployments|widgets|volumeattachments", "f:by", "none"),
    Known("1.22: who scales a custom object owns its replicas", OWNED + r"\.f:spec\.f:replicas$", "widgets", "none", "^{}$"),
    Known("a quota's status is there before somebody updates it: its maps are not new", OWNED + r"\.f:status\.f:(hard|used)\.\.$",
          "resourcequotas", "^{}$", "none"),
    Known("1.22: conditions of definitions are a map by type; their stored versions are the server's", OWNED + r"\.f:status(\.f:(conditions|storedVersions)\b.*)?$",
          "customresourcedefinitions"),
    Known("1.26: external IPs make a service accessible from outside, with a policy", OWNED + r"\.f:spec\.f:externalTrafficPolicy$|spec\.externalTrafficPolicy$",
          "services", "none"),
    Known("the fields of an empty list, which is none in what is stored, are nobody's in c8s", r"managedFields$", "limitranges", "f:limits", "none"),
    Known("API services have managed fields since their server has (1.21)", r"managedFields$", "apiservices", theirs="none"),

    Known("pull secrets and owner references are atomic items since 1.21", OWNED + r".*(f:imagePullSecrets|f:ownerReferences)\.k:[^.]*\.", ours="none"),
    Known("1.21: who applies an empty map owns it (structured-merge-diff 184)", OWNED + r".*f:(emptyDir|podSelector|labels|annotations|data|metadata|nodeSelector)$",
          "applies|/(deployments/d|networkpolicies/name-)", theirs="none", ours=r"^({'f:(labels|annotations|data)': {}}|{})$"),
    Known("1.22: an apply that changes no more than owners leaves their entry without a time", r"managedFields\[\d+\]\.time$", theirs="<time>", ours="none"),
    Known("1.26: what stands twice in a set is somebody's; 1.20 dropped all owners of such an object", r"managedFields$", r"/json-42\b", theirs="none"),
    Known("1.22: whoever scales owns the replicas", r"managedFields", "deployments/scaled"),
    Known("1.21: what a schema leaves open is deduced member by member, not a whole", OWNED + r"\.f:spec\.f:free\.f:[a-z]\.", "gadgets", theirs="none"),
    Known("1.22: a conflict names the subresource", r"message$", "applies", ours='with subresource "status"'),
    Known("… and what is atomic is in conflict as a whole", r"(message|causes\[0\]\.field)$", "applies", theirs=r"(nodeSelector|spec\.selector)\.a$"),
    Known("1.20 owns what a patch says of the status (no resetFields)", r"managedFields$", r"/merge-34\b", theirs="f:status"),
    Known("1.25: nothing may follow the patch", r"", r"^PATCH \S*/strategic-41 \({.a.:1} x\)"),

    # ---- patches and their refusals
    Known("1.27: nulls and directives of what is not there go (discardNullValuesFromPatch, dropDirectives)", r"", r"/strategic-(18|19)\b"),
    Known("jsonpatch 4.12: the whole document can be replaced", r"", r"^PATCH \S*/json-26\b"),
    Known("1.25: patches are decoded strictly first, and what is no patch is a bad request", r"^(status|body\.(code|reason|message|details))$",
          r"^PATCH \S*/(json-(38|39|45)|merge-(23|24|25|34)|strategic-(38|39|40|41))\b"),
    Known("1.22: the namespace is looked at before the name, in other words", r"message$", r"^PATCH \S*/merge-31\b"),
    Known("an object in a message: its members in another order", r"message$", r"^PATCH", theirs=r'patch: Invalid value: "|^Invalid value: "{'),
    Known("1.22: the words of what is no good to apply", r"message$", r"fieldManager=", ours="invalid object type: |^error decoding YAML: "),
    Known("1.21: an apply that cannot be typed names its object", r"message$", r"applies|fieldManager=three", theirs="^failed to create typed patch object: "),
    Known("1.22: a patch of another kind is a bad request", r"body\.(code|reason|status)$|^status$|message$", r"/(m|fresh)\?fieldManager=three", theirs="500|none|failed to"),
    Known("1.21: an item without its keys cannot be typed", r"", "two applies .*no name"),
    Known("1.23: faults in custom objects have indexes and their own reason", r"causes\[0\]\.(field|message|reason)$|message$", r"/w2\b", theirs=r"parts\.count|FieldValueInvalid"),
    Known("1.21: nil shows as null without quotes", r"message$", "", theirs='"null"'),
    Known("rules and words that changed since, which validation_diff.py compares: here for what is left when nothing is applied", r"body\.(message|details)",
          r"one applies {\"metadata\": {\"name\": \"name-\d+\"}}"),

    # ---- watches
    Known("1.20: 500 for what is a bad request since", r"^(status|events\[0\]\.(code|reason))$", r"^WATCH \S*resourceVersion=(x|-1)$"),
    Known("1.27: what goes with sendInitialEvents", r"^events\[0\]\.(message|details\.causes)$", r"^WATCH \S*resourceVersionMatch="),
    Known("1.20 looks for bookmarks that are due once a second, and misses those of short watches", r"^bookmarks$", r"^WATCH \S*allowWatchBookmarks", theirs=r"^\[\]$"),

    # ---- protobuf
    Known("the servers' own roles and bindings are others", r"^items$", r"^GET \S*/clusterrole(binding)?s "),
    Known("1.20 has code of its own for services: what has an address already is refused", r"", r"^(GET|POST) \S*/services/name-\d+-of-(kube|c8s)$"),

    # ---- warnings and words
    Known("1.25: unknown fields are warned of (ServerSideFieldValidation); 1.19 and later: deprecations", r"headers\.warning", theirs="none"),
    Known("Table columns: c8s describes them in words of its own", r"columnDefinitions\[\d+\]\.description$"),
    Known("1.21: values in messages are JSON, not Go's syntax", r"message$", theirs=r"0x0|map\[|\[\]string|v1\.|runtime\.|authorization\.\w+{|apiextensions\.\w+{|\(nil\)"),
    Known("1.21: 415 and 406 say what is accepted", r"message$", theirs="^(415: Unsupported Media Type|406: Not Acceptable)"),

    # ---- discovery
    Known("1.27: singular names", r"singularName$", theirs="^$"),
    Known("1.22: evictions are policy/v1", r"^version$", "^GET /api/v1 pods/eviction$"),
    Known("1.23: services have deletecollection", r"^verbs$", "^GET /api/v1 services$"),
    Known("… all of which shows in the whole list", r"^body\.resources$", "^GET /api/v1/?$"),
    Known("paths: each lists its own", r"^body\.paths$", "^GET /$"),
    Known("versions and builds", r"^body\.(gitVersion|gitCommit|gitTreeState|major|minor|buildDate|goVersion|compiler|platform|emulation\w+|minCompat\w+)$", "^GET /version"),

    # ---- words and codes
    Known("names the Go file that registers kinds", r"message$", theirs="no kind \"\\w+\" is registered for version", ours="does not match the expected API version"),
    Known("1.20 and later call options that cannot be read an internal error; c8s a bad request", r"^(status|body\.(code|reason))$", "^DELETE",
          r"^(500|\(none\))$", "^(400|BadRequest)$"),
    Known("… and the same with the target of a binding", r"^(status|body\.(code|reason|details|message))$", "^POST .*/pods/one/binding$",
          r"^(500|\(none\)|target\.kind: .*)$", "^422|Invalid|target.kind"),
    Known("… an unknown component", r"^(status|body\.(code|reason|details|message))$", "componentstatuses/nonsense"),
    Known("… and a list of one custom object", r"^(status|body\.(code|reason|message))$", r"widgets/there \(application/json;as=PartialObjectMetadataList"),
    Known("1.22: a binding's uid is a precondition", r"^(status|body\.(code|reason|details|message|status))$", "/pods/five/binding$"),
    Known("1.20's routes know no application/*", r"^(status|body)\b", r"\(application/\*\)$", "^406$|none|Status|NotAcceptable|Failure|Not Acceptable|^v1$|^\\{\\}$"),
    Known("a token's key is the server's own: c8s wants it in the list", r"^(status|body)\b", "continue=eyJ"),
    Known("1.21: export is gone", r"^body\.", "export=true$", theirs="none"),
    Known("1.24: the words of label selectors", r"message$", "labelSelector=", ours=r"expected: in, notin|values\[0\]|<nil>: Invalid value"),
    Known("1.27: initial events", r"(message|causes)$", "resourceVersionMatch=.*watch=1", ours="sendInitialEvents"),
    Known("1.32: what is too long may not be more than", r"message$", theirs="must have at most \\d+ bytes", ours="may not be more than"),
    Known("1.33: fields that must not be empty are not named again", r"message$", '"ownerReferences"', "(kind|uid) must not be empty"),
    Known("1.21: an object's namespace is compared before its name", r"message$", r'^PUT .*"namespace":"other"'),
    Known("1.20 finds no apiVersion late", r"^(status|body\.(code|reason|details|message))$", r'widgets.* \(\{"kind":"Other"\}\)$'),
    Known("1.27: custom objects' errors have types, indexes and the words of built-in ones", r"(details\.causes(\[\d+\]\.(reason|message|field))?|message)$", "widgets",
          "^FieldValueInvalid$|spec\\.(parts|tags|mode)|spec in body must be of type"),
    Known("1.20's merge patches lost what is null in a list; base-24 is refused since", r"", "^PATCH \\S*/widgets/base-24"),
    Known("… the same twice where it is not JSON yet", r"causes$", "^POST .*/customresourcedefinitions", "apiextensions\\.\\w+{"),
    Known("1.27: a name that is taken is no internal error where there is a prefix, too", r"^(status|headers\.retry-after|body\.(code|reason|details\.\w+|message))$",
          r"\(a name beside the prefix\)$"),
    Known("1.33: lengths are bytes", r"message$", theirs="must be no more than \\d+ characters", ours="must be no more than \\d+ bytes"),
    Known("1.20 does not know a number beyond 64 bits again", r"resourceVersion$", "widgets(/base-27|$)"),
    Known("… and of base-24 there is what it took", r"^body\.items\[\d+\]\.spec\.(parts|size)$", "^GET /apis/differ.example/v1/widgets$"),
    Known("names of definitions are accepted a moment later", r"^body\.(status\.acceptedNames|metadata\.resourceVersion)", "^PATCH .*/customresourcedefinitions/"),
    Known("the words of the regular expressions' library", r"message$", theirs="error parsing regexp"),
    Known("1.29: jobs, services and pods that end have more to say", r"status\.conditions$", "pods", ours="DisruptionTarget"),
    Known("1.26: addresses only of load balancers", r"status\.loadBalancer\.ingress$", "services", ours="none"),
    Known("1.22: ephemeral containers are read with the pod", r"", "/ephemeralcontainers$"),
    Known("c8s deletes a pod that waits for nothing in one step: its last event shows it as it was", r"metadata\.deletion(Timestamp|GracePeriodSeconds)$",
          r"^WATCH \S*/pods\?", ours="none"),

    # ---- tables
    Known("the annotation that v1 has of a status comes with it", OWNED + r"\.f:metadata$", "horizontalpodautoscalers", "current-metrics", "none"),
    Known("1.20 makes metadata for tables from another form of the object, without the annotations a version adds", r"metadata\.annotations$",
          "daemonsets|horizontalpodautoscalers", "none", r"deprecated\.daemonset|current-metrics"),
    Known("no rows: null where the default printer made none", r"^body\.rows$", theirs="^None$", ours=r"^\[\]$"),

    # ---- tokens and reviews
    Known("1.21: requests for tokens carry names and time, and name the account first", r"^(status|body\.(metadata\.(name|namespace|creationTimestamp)|status|code|reason|details|message|kind|apiVersion|metadata|spec)\b.*)$",
          "^POST token of (sa .*(\"name\": \"other\")|sa .*|none .*expirationSeconds.*)$", ours="none|sa|ns-|time|404|422|Invalid|not found|NotFound|serviceaccounts|Status|v1|Failure|cannot bind|^{"),
    Known("1.28: everybody may ask who he is", r"status\.resourceRules(\[\d+\]\.resources)?$", "selfsubjectrulesreviews", ours="selfsubjectreviews"),
    Known("1.21: an object in another namespace than its path is a bad request", r"^(status|body\.(code|reason|details|message))$", "/localsubjectaccessreviews$",
          "must match|^(400|422|BadRequest|Invalid|\\(none\\))$|FieldValueInvalid", "^(400|422|BadRequest|Invalid|\\(none\\))$|must match|the namespace of the provided object"),

    # ---- told by what the other has done by then
    Known("compaction goes by the clock", r"^(status|body)\b", r"resourceVersion=1(&resourceVersionMatch=\w+)?(&limit=2)? \(1 ",
          ours="none|^410$|^v1$|Status|Failure|Expired|too old"),
    Known("1.21: export is gone: 1.20's answer has no time", r"creationTimestamp$", "export=true$", "None|null"),
    Known("1.25: a binding's labels are the pod's", r"metadata\.labels\.l$", "/pods/one", "none", "^m$"),
    Known("1.23: conditions of jobs are one value", OWNED + r"\.f:status\.f:conditions\.", "/jobs/", ours="none"),
    Known("1.20 owns what a patch of the object says of its status, too", r"metadata\.resourceVersion$", r"^PATCH \S*/(pods|nodes|persistentvolumes|widgets)/[^/?]+$"),
    Known("batch/v1beta1 orphaned by default: the first is still there", r"^body\.items", r"^DELETE \S*/cronjobs\?limit=1"),
]
