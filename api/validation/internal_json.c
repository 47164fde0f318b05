/*
 * JSON of upstream's internal types: see diff.h. Theirs are the fields of the published types, but in another
 * order here and there, with names of their own, and some stand elsewhere.
 */
#include "api/codec_internal.h"
#include "api/json_indent.h"
#include "api/validation/diff.h"
#include "proto/core_v1.pb-c.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include <strings.h>

/*
 * The fields of a type, in order. `Name` is the field whose JSON name is the same but for case; `Name=json` says
 * which; `^Name` stands in the enclosing message where the API has it; `@` stands for the members of the inlined
 * messages, `*json` for those of a message that is embedded there.
 */
#define CONTAINER                                                                                \
    "Name Image Command Args WorkingDir Ports EnvFrom Env Resources ResizePolicy RestartPolicy " \
    "RestartPolicyRules VolumeMounts VolumeDevices LivenessProbe ReadinessProbe StartupProbe "   \
    "Lifecycle TerminationMessagePath TerminationMessagePolicy ImagePullPolicy SecurityContext " \
    "Stdin StdinOnce TTY"
#define ISCSI                                                      \
    "TargetPortal IQN Lun ISCSIInterface FSType ReadOnly Portals " \
    "DiscoveryCHAPAuth=chapAuthDiscovery SessionCHAPAuth=chapAuthSession SecretRef InitiatorName"
#define RBD                                                                                      \
    "CephMonitors=monitors RBDImage=image FSType RBDPool=pool RadosUser=user Keyring SecretRef " \
    "ReadOnly"
#define SCALE_IO                                                                               \
    "Gateway System SecretRef SSLEnabled ProtectionDomain StoragePool StorageMode VolumeName " \
    "FSType ReadOnly"

static const struct {
    int message;
    const char *fields;
} types[] = {
    {Flowcontrol__V1__ResourcePolicyRule__SCHEMA,
     "Verbs APIGroups Resources ClusterScope Namespaces"},
    {Core__V1__PodSpec__SCHEMA,
     "Volumes InitContainers Containers EphemeralContainers RestartPolicy "
     "TerminationGracePeriodSeconds ActiveDeadlineSeconds DNSPolicy NodeSelector "
     "ServiceAccountName AutomountServiceAccountToken NodeName SecurityContext ImagePullSecrets "
     "Hostname Subdomain SetHostnameAsFQDN Affinity SchedulerName Tolerations HostAliases "
     "PriorityClassName Priority PreemptionPolicy DNSConfig ReadinessGates RuntimeClassName "
     "Overhead EnableServiceLinks TopologySpreadConstraints OS SchedulingGates ResourceClaims "
     "Resources HostnameOverride WorkloadRef"},
    {Core__V1__PodSecurityContext__SCHEMA,
     "^HostNetwork ^HostPID ^HostIPC ^ShareProcessNamespace ^HostUsers SELinuxOptions "
     "WindowsOptions RunAsUser RunAsGroup RunAsNonRoot SupplementalGroups "
     "SupplementalGroupsPolicy FSGroup FSGroupChangePolicy Sysctls SeccompProfile "
     "AppArmorProfile SELinuxChangePolicy"},
    {Core__V1__Container__SCHEMA, CONTAINER},
    {Core__V1__EphemeralContainerCommon__SCHEMA, CONTAINER},
    {Core__V1__VolumeMount__SCHEMA,
     "Name ReadOnly RecursiveReadOnly MountPath SubPath MountPropagation SubPathExpr"},
    {Core__V1__VolumeSource__SCHEMA,
     "HostPath EmptyDir GCEPersistentDisk AWSElasticBlockStore GitRepo Secret NFS ISCSI Glusterfs "
     "PersistentVolumeClaim RBD Quobyte FlexVolume Cinder CephFS Flocker DownwardAPI FC AzureFile "
     "ConfigMap VsphereVolume AzureDisk PhotonPersistentDisk Projected PortworxVolume ScaleIO "
     "StorageOS CSI Ephemeral Image"},
    {Core__V1__VolumeProjection__SCHEMA,
     "Secret DownwardAPI ConfigMap ServiceAccountToken ClusterTrustBundle PodCertificate"},
    {Core__V1__ProjectedVolumeSource__SCHEMA, "Sources DefaultMode"},
    {Core__V1__SecretVolumeSource__SCHEMA, "SecretName Items DefaultMode Optional"},
    {Core__V1__ServiceAccountTokenProjection__SCHEMA, "Audience ExpirationSeconds Path"},
    {Core__V1__AWSElasticBlockStoreVolumeSource__SCHEMA, "VolumeID FSType Partition ReadOnly"},
    {Core__V1__GCEPersistentDiskVolumeSource__SCHEMA, "PDName FSType Partition ReadOnly"},
    {Core__V1__GlusterfsVolumeSource__SCHEMA, "EndpointsName=endpoints Path ReadOnly"},
    {Core__V1__GlusterfsPersistentVolumeSource__SCHEMA,
     "EndpointsName=endpoints Path ReadOnly EndpointsNamespace"},
    {Core__V1__ISCSIVolumeSource__SCHEMA, ISCSI},
    {Core__V1__ISCSIPersistentVolumeSource__SCHEMA, ISCSI},
    {Core__V1__RBDVolumeSource__SCHEMA, RBD},
    {Core__V1__RBDPersistentVolumeSource__SCHEMA, RBD},
    {Core__V1__ScaleIOVolumeSource__SCHEMA, SCALE_IO},
    {Core__V1__ScaleIOPersistentVolumeSource__SCHEMA, SCALE_IO},
    {Core__V1__CinderVolumeSource__SCHEMA, "VolumeID FSType ReadOnly SecretRef"},
    {Core__V1__CinderPersistentVolumeSource__SCHEMA, "VolumeID FSType ReadOnly SecretRef"},
    {Core__V1__AzureDiskVolumeSource__SCHEMA,
     "DiskName DataDiskURI=diskURI CachingMode FSType ReadOnly Kind"},
    {Core__V1__CSIVolumeSource__SCHEMA,
     "Driver ReadOnly FSType VolumeAttributes NodePublishSecretRef"},
    {Core__V1__CSIPersistentVolumeSource__SCHEMA,
     "Driver VolumeHandle ReadOnly FSType VolumeAttributes ControllerPublishSecretRef "
     "NodeStageSecretRef NodePublishSecretRef ControllerExpandSecretRef NodeExpandSecretRef"},
    {Core__V1__PersistentVolumeSource__SCHEMA,
     "GCEPersistentDisk AWSElasticBlockStore HostPath Glusterfs NFS RBD Quobyte ISCSI FlexVolume "
     "Cinder CephFS FC Flocker AzureFile VsphereVolume AzureDisk PhotonPersistentDisk "
     "PortworxVolume ScaleIO Local StorageOS CSI"},
    {Core__V1__PersistentVolumeClaimSpec__SCHEMA,
     "AccessModes Selector Resources VolumeName StorageClassName VolumeMode DataSource "
     "DataSourceRef VolumeAttributesClassName"},
    {Core__V1__PersistentVolumeClaimTemplate__SCHEMA, "*metadata Spec"},
    {Core__V1__PodTemplateSpec__SCHEMA, "*metadata Spec"},
    {Core__V1__ObjectReference__SCHEMA,
     "Kind Namespace Name UID APIVersion ResourceVersion FieldPath"},
    {Core__V1__TypedLocalObjectReference__SCHEMA, "APIGroup Kind Name"},
    {Core__V1__TypedObjectReference__SCHEMA, "APIGroup Kind Name Namespace"},
    {Core__V1__EnvFromSource__SCHEMA, "Prefix ConfigMapRef SecretRef"},
    {Core__V1__ObjectFieldSelector__SCHEMA, "APIVersion FieldPath"},
    {Core__V1__Probe__SCHEMA,
     "@ InitialDelaySeconds TimeoutSeconds PeriodSeconds SuccessThreshold FailureThreshold "
     "TerminationGracePeriodSeconds"},
    {Core__V1__ProbeHandler__SCHEMA, "Exec HTTPGet TCPSocket GRPC"},
    {Core__V1__LifecycleHandler__SCHEMA, "Exec HTTPGet TCPSocket Sleep"},
    {Core__V1__HTTPGetAction__SCHEMA, "Path Port Host Scheme HTTPHeaders"},
    {Core__V1__GRPCAction__SCHEMA, "Port Service"},
    {Core__V1__ContainerPort__SCHEMA, "Name HostPort ContainerPort Protocol HostIP"},
    {Core__V1__SecurityContext__SCHEMA,
     "Capabilities Privileged SELinuxOptions WindowsOptions RunAsUser RunAsGroup RunAsNonRoot "
     "ReadOnlyRootFilesystem AllowPrivilegeEscalation ProcMount SeccompProfile AppArmorProfile"},
    {Core__V1__WindowsSecurityContextOptions__SCHEMA,
     "GMSACredentialSpecName GMSACredentialSpec RunAsUserName HostProcess"},
    {Core__V1__HostAlias__SCHEMA, "IP Hostnames"},
    {Core__V1__TopologySpreadConstraint__SCHEMA,
     "MaxSkew TopologyKey WhenUnsatisfiable LabelSelector MinDomains NodeAffinityPolicy "
     "NodeTaintsPolicy MatchLabelKeys"},
    {Core__V1__FCVolumeSource__SCHEMA, "TargetWWNs Lun FSType ReadOnly WWIDs"},
};

static void emit_internal(struct buf *out, const void *object, const void *parent);

static bool is_absent(const struct schema_field *f, const void *object)
{
    if (f->label == SCHEMA_REPEATED || f->label == SCHEMA_MAP)
        return member_count_get(object, f) == 0;
    if (f->label != SCHEMA_POINTER)
        return false;
    if (f->type == SCHEMA_STRING || f->type == SCHEMA_MESSAGE)
        return !MEMBER_CONST(object, f, void *);
    return !*(const protobuf_c_boolean *)((const char *)object + f->count_offset);
}

static void emit_one(struct buf *out, const struct schema_field *f, const void *p,
                     const void *parent)
{
    if (f->type == SCHEMA_MESSAGE)
        emit_internal(out, *(void *const *)p, parent);
    else
        emit_value(out, f, p);
}

static void emit_field(struct buf *out, const struct schema_field *f, const void *object)
{
    const char *items = (const char *)object + f->offset;
    if (is_absent(f, object)) {
        buf_append_cstr(out, "null");
        return;
    }
    if (f->label != SCHEMA_REPEATED && f->label != SCHEMA_MAP) {
        emit_one(out, f, items, object);
        return;
    }
    bool map = f->label == SCHEMA_MAP;
    size_t size = element_size(f);
    items = MEMBER_CONST(object, f, char *);
    buf_append_char(out, map ? '{' : '[');
    for (size_t i = 0; i < member_count_get(object, f); i++) {
        buf_append_cstr(out, i ? "," : "");
        if (map) {
            const char *entry = ((const char *const *)(const void *)items)[i];
            const struct schema_field *value = schema_map_value(f);
            emit_string(out, str_from(entry_key(entry)));
            buf_append_char(out, ':');
            emit_one(out, value, entry + value->offset, object);
        } else
            emit_one(out, f, items + i * size, object);
    }
    buf_append_char(out, map ? '}' : ']');
}

static const char *fields_of(const struct schema_message *m)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (types[i].message == m->id)
            return types[i].fields;
    }
    return NULL;
}

static const struct schema_field *find_field(const struct schema_message *m, struct str json)
{
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->json_len == json.n && strncasecmp(schema_string(f->json_name), json.p, json.n) == 0)
            return f;
    }
    return NULL;
}

static void emit_members_of(struct buf *out, const void *object, const void *parent, bool *first);

static void emit_inlined(struct buf *out, const void *object, bool *first)
{
    const struct schema_message *m = schema_of(object);
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->flags & SCHEMA_INLINE)
            emit_members_of(out, MEMBER_CONST(object, f, void *), object, first);
    }
}

/* Metadata: what it has, without the braces. */
static void emit_embedded(struct buf *out, const struct schema_field *f, const void *object,
                          bool *first)
{
    struct buf json;
    buf_init(&json);
    json_encode(MEMBER_CONST(object, f, void *), JSON_NO_TYPE_META, &json);
    if (json.len > 2) {
        buf_append_cstr(out, *first ? "" : ",");
        buf_append(out, json.data + 1, json.len - 2);
        *first = false;
    }
    buf_free(&json);
}

static void emit_named(struct buf *out, struct str name, const struct schema_field *f,
                       const void *object, bool *first)
{
    buf_append_cstr(out, *first ? "" : ",");
    *first = false;
    emit_string(out, name);
    buf_append_char(out, ':');
    emit_field(out, f, object);
}

/* Types without a row: as published, with a capital. */
static void emit_as_published(struct buf *out, const void *object, bool *first)
{
    const struct schema_message *m = schema_of(object);
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        char name[128];
        if (f->flags & SCHEMA_INLINE) {
            emit_members_of(out, MEMBER_CONST(object, f, void *), object, first);
            continue;
        }
        snprintf(name, sizeof name, "%s", schema_string(f->json_name));
        name[0] = (char)(name[0] >= 'a' && name[0] <= 'z' ? name[0] - 32 : name[0]);
        emit_named(out, str_from(name), f, object, first);
    }
}

static void emit_members_of(struct buf *out, const void *object, const void *parent, bool *first)
{
    const char *fields = object ? fields_of(schema_of(object)) : NULL;
    struct str rest = str_from(fields ? fields : ""), name, json;
    if (!object)
        return;
    if (!fields)
        emit_as_published(out, object, first);
    while (fields && str_split(&rest, ' ', &name)) {
        if (str_eq(name, str_from("@"))) {
            emit_inlined(out, object, first);
            continue;
        }
        if (name.p[0] == '*') {
            emit_embedded(out, find_field(schema_of(object), str_make(name.p + 1, name.n - 1)),
                          object, first);
            continue;
        }
        const void *holder = name.p[0] == '^' ? parent : object;
        if (name.p[0] == '^')
            name = str_make(name.p + 1, name.n - 1);
        const char *other = memchr(name.p, '=', name.n);
        json = other ? str_make(other + 1, (size_t)(name.p + name.n - other - 1)) : name;
        if (other)
            name.n = (size_t)(other - name.p);
        const struct schema_field *f = holder ? find_field(schema_of(holder), json) : NULL;
        if (f) /* not of a feature that is off here */
            emit_named(out, name, f, holder, first);
    }
}

/* Types of meta/v1 are upstream's internal ones, too. */
static bool has_own_json(const struct schema_message *m)
{
    return m->special != SCHEMA_PLAIN ||
           strncmp(schema_string(m->full_name), "meta.v1.", strlen("meta.v1.")) == 0;
}

static void emit_internal(struct buf *out, const void *object, const void *parent)
{
    bool first = true;
    if (!object) {
        buf_append_cstr(out, "null");
    } else if (has_own_json(schema_of(object))) {
        json_encode(object, JSON_NO_TYPE_META, out);
    } else {
        buf_append_char(out, '{');
        emit_members_of(out, object, parent, &first);
        buf_append_char(out, '}');
    }
}

const char *internal_json(struct arena *a, const void *object)
{
    struct buf json;
    buf_init(&json);
    emit_internal(&json, object, NULL);
    const char *copy = arena_strndup(a, json.data, json.len);
    buf_free(&json);
    return copy;
}

static const char *indented(struct arena *a, const char *json)
{
    struct buf text;
    buf_init(&text);
    struct json_indent state = {.width = 1};
    json_indent(&state, str_from(json), &text);
    const char *copy = arena_strndup(a, text.data, text.len);
    buf_free(&text);
    return copy;
}

const char *internal_diff(struct arena *a, const void *old, const void *new)
{
    return unified_diff(a, indented(a, internal_json(a, old)), indented(a, internal_json(a, new)));
}

static const char *list_text(struct arena *a, const void *const *items, size_t n)
{
    struct buf json;
    buf_init(&json);
    for (size_t i = 0; i < n; i++) {
        buf_append_char(&json, i ? ',' : '[');
        emit_internal(&json, items[i], NULL);
    }
    buf_append_cstr(&json, n ? "]" : "null");
    const char *text = indented(a, buf_cstr(&json));
    buf_free(&json);
    return text;
}

const char *internal_list_diff(struct arena *a, const void *const *old, size_t n_old,
                               const void *const *new, size_t n_new)
{
    return unified_diff(a, list_text(a, old, n_old), list_text(a, new, n_new));
}
