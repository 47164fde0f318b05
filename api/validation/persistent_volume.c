/*
 * Validation of persistent volumes and claims.
 */
#include "api/quantity.h"
#include "api/validation/pod.h"
#include "api/validation/volume.h"

#define NOT_INLINE "may not be specified in the context of inline volumes"
#define BETA_CLASS "volume.beta.kubernetes.io/storage-class"

static void check_access_modes(struct field_errors *e, const struct path *at, char *const *modes,
                               size_t n)
{
    static const char *const known[] = {"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce",
                                        "ReadWriteOncePod", NULL};
    bool once_pod = false, other = false;
    for (size_t i = 0; i < n; i++) {
        bool good = check_one_of(e, at, modes[i], known);
        if (strcmp(modes[i], "ReadWriteOncePod") == 0)
            once_pod = true;
        else
            other |= good;
    }
    if (once_pod && other)
        err_forbidden(e, at, "may not use ReadWriteOncePod with other access modes");
}

static void check_volume_mode(struct field_errors *e, const struct path *at, const char *mode)
{
    if (mode)
        check_one_of(e, at, mode, ONE_OF("Block", "Filesystem"));
}

/* --- sources ---------------------------------------------------------------------------------- */

static void check_iscsi_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__ISCSIPersistentVolumeSource *v = source;
    check_iscsi(e, at, v->iqn, v->lun, v->initiator_name,
                v->chap_auth_discovery || v->chap_auth_session, v->secret_ref);
    if (v->secret_ref)
        check_required(e, AT(AT(at, "secretRef"), "name"), v->secret_ref->name);
}

static void check_glusterfs_source(struct field_errors *e, const struct path *at,
                                   const void *source)
{
    const char *ns =
        ((const Core__V1__GlusterfsPersistentVolumeSource *)source)->endpoints_namespace;
    if (ns && !*ns)
        err_invalid(e, AT(at, "endpointsNamespace"), ns,
                    "if the endpointnamespace is set, it must be a valid namespace name");
    else
        check_optional(e, AT(at, "endpointsNamespace"), ns, validate_dns1123_label);
}

static void check_named_secret(struct field_errors *e, const struct path *at,
                               const Core__V1__SecretReference *r)
{
    if (!r)
        return;
    check_required(e, AT(AT(at, "secretRef"), "name"), r->name);
    check_required(e, AT(AT(at, "secretRef"), "namespace"), r->namespace_);
}

static void check_cinder_source(struct field_errors *e, const struct path *at, const void *source)
{
    check_named_secret(e, at, ((const Core__V1__CinderPersistentVolumeSource *)source)->secret_ref);
}

static void check_flex_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__FlexPersistentVolumeSource *v = source;
    check_flex_options(e, at, v->options, v->n_options);
}

static void check_azure_file_source(struct field_errors *e, const struct path *at,
                                    const void *source)
{
    const char *ns = ((const Core__V1__AzureFilePersistentVolumeSource *)source)->secret_namespace;
    if (ns)
        check_required(e, AT(at, "secretNamespace"), ns);
}

static void check_local_source(struct field_errors *e, const struct path *at, const void *source)
{
    const char *path = ((const Core__V1__LocalVolumeSource *)source)->path;
    if (check_required(e, AT(at, "path"), path) && has_parent_step(path))
        err_invalid(e, AT(at, "path"), path, "must not contain '..'");
}

static void check_storageos_source(struct field_errors *e, const struct path *at,
                                   const void *source)
{
    const Core__V1__StorageOSPersistentVolumeSource *v = source;
    check_storageos_names(e, at, v->volume_name, v->volume_namespace);
    if (!v->secret_ref)
        return;
    check_required(e, AT(AT(at, "secretRef"), "name"), v->secret_ref->name);
    check_required(e, AT(AT(at, "secretRef"), "namespace"), v->secret_ref->namespace_);
}

static void check_csi_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__CSIPersistentVolumeSource *v = source;
    const struct {
        const Core__V1__SecretReference *ref;
        const char *name;
    } secrets[] = {{v->controller_publish_secret_ref, "controllerPublishSecretRef"},
                   {v->controller_expand_secret_ref, "controllerExpandSecretRef"},
                   {v->node_publish_secret_ref, "nodePublishSecretRef"},
                   {v->node_expand_secret_ref, "nodeExpandSecretRef"}};
    check_csi_driver_name(e, AT(at, "driver"), v->driver);
    check_required(e, AT(at, "volumeHandle"), v->volume_handle);
    for (size_t i = 0; i < sizeof secrets / sizeof *secrets; i++) {
        const struct path *ref = AT(at, secrets[i].name);
        if (!secrets[i].ref)
            continue;
        check_required_string(e, AT(ref, "name"), secrets[i].ref->name, validate_dns1123_subdomain);
        check_required_string(e, AT(ref, "namespace"), secrets[i].ref->namespace_,
                              validate_dns1123_label);
    }
}

#define SOURCE(member, ...)                                             \
    {                                                                   \
        offsetof(Core__V1__PersistentVolumeSource, member), __VA_ARGS__ \
    }
static const struct source_row sources[] = {
    SOURCE(host_path, "hostPath", .check = check_host_path_source),
    SOURCE(gce_persistent_disk, "gcePersistentDisk", .path = "persistentDisk",
           .required = {"pdName"}, .check = check_partition_source),
    SOURCE(aws_elastic_block_store, "awsElasticBlockStore", .required = {"volumeID"},
           .check = check_partition_source),
    SOURCE(glusterfs, "glusterfs", .required = {"endpoints", "path"},
           .check = check_glusterfs_source),
    SOURCE(flocker, "flocker", .check = check_flocker_source),
    SOURCE(nfs, "nfs", .required = {"server", "path"}, .check = check_nfs_source),
    SOURCE(rbd, "rbd", .required = {"image"}, .check = check_rbd_source),
    SOURCE(quobyte, "quobyte", .check = check_quobyte_source),
    SOURCE(cephfs, "cephFS", .path = "cephfs", .check = check_ceph_source),
    SOURCE(iscsi, "iscsi", .required = {"targetPortal"}, .check = check_iscsi_source),
    SOURCE(cinder, "cinder", .required = {"volumeID"}, .check = check_cinder_source),
    SOURCE(fc, "fc", .check = check_fc_source),
    SOURCE(flex_volume, "flexVolume", .required = {"driver"}, .check = check_flex_source),
    SOURCE(azure_file, "azureFile", .required = {"secretName", "shareName"},
           .check = check_azure_file_source),
    SOURCE(vsphere_volume, "vsphereVolume", .required = {"volumePath"}),
    SOURCE(photon_persistent_disk, "photonPersistentDisk", .required = {"pdID"}),
    SOURCE(portworx_volume, "portworxVolume", .required = {"volumeID"}),
    SOURCE(azure_disk, "azureDisk", .required = {"diskName", "diskURI"},
           .check = check_azure_disk_source),
    SOURCE(scale_io, "scaleIO", .required = {"gateway", "system", "volumeName"}),
    SOURCE(local, "local", .check = check_local_source),
    SOURCE(storageos, "storageos", .check = check_storageos_source),
    SOURCE(csi, "csi", .check = check_csi_source),
};

/* --- volumes ---------------------------------------------------------------------------------- */

static void check_capacity(struct field_errors *e, const struct path *at,
                           const Core__V1__PersistentVolumeSpec *spec)
{
    if (spec->n_capacity == 0)
        err_required(e, at, "");
    if (spec->n_capacity != 1 || strcmp(spec->capacity[0]->key, "storage") != 0) {
        struct buf json;
        buf_init(&json);
        buf_append_char(&json, '{');
        for (size_t i = 0; i < spec->n_capacity; i++)
            buf_printf(&json, "%s\"%s\":\"%s\"", i ? "," : "", spec->capacity[i]->key,
                       spec->capacity[i]->value->string);
        buf_append_char(&json, '}');
        err_not_supported_raw(
            e, at, spec->n_capacity ? arena_strndup(e->arena, json.data, json.len) : "null",
            ONE_OF("storage"));
        buf_free(&json);
    }
    for (size_t i = 0; i < spec->n_capacity; i++) {
        const struct path *key = KEY(at, spec->capacity[i]->key);
        const char *text = spec->capacity[i]->value->string;
        if (quantity_of(text).nanos < 0)
            err_invalid_int(e, key, quantity_value(quantity_of(text)),
                            "must be a valid resource quantity");
        check_quantity_positive(e, key, text);
    }
}

/* What a volume that stands in an attachment may not say. */
static void check_inline_volume(struct field_errors *e, const struct path *at,
                                const Core__V1__PersistentVolumeSpec *spec)
{
    const char *mode = spec->volume_mode, *policy = spec->persistent_volume_reclaim_policy;
    if (*policy && strcmp(policy, "Retain") != 0)
        err_forbidden(e, AT(at, "persistentVolumeReclaimPolicy"),
                      "may only be Retain in the context of inline volumes");
    if (spec->node_affinity)
        err_forbidden(e, AT(at, "nodeAffinity"), NOT_INLINE);
    if (*spec->storage_class_name)
        err_forbidden(e, AT(at, "storageClassName"), NOT_INLINE);
    if (mode && strcmp(mode, "Filesystem") != 0)
        err_forbidden(e, AT(at, "volumeMode"),
                      "may not specify volumeMode other than Filesystem in the context of inline "
                      "volumes");
}

static void check_volume_details(struct field_errors *e, const struct path *at,
                                 const Core__V1__PersistentVolumeSpec *spec, bool in_attachment)
{
    const Core__V1__PersistentVolumeSource *source = spec->persistent_volume_source;
    const char *policy = spec->persistent_volume_reclaim_policy;
    if (source->local && (in_attachment || !spec->node_affinity))
        err_required(e, AT(at, "nodeAffinity"), "Local volume requires node affinity");
    if (source->host_path && cstr_eq(policy, "Recycle") &&
        strcmp(source->host_path->path, "/") == 0)
        err_forbidden(e, AT(at, "persistentVolumeReclaimPolicy"),
                      "may not be 'recycle' for a hostPath mount of '/'");
    if (!in_attachment) {
        check_optional(e, AT(at, "storageClassName"), spec->storage_class_name,
                       validate_dns1123_subdomain);
        check_volume_mode(e, AT(at, "volumeMode"), spec->volume_mode);
    }
    if (!spec->volume_attributes_class_name)
        return;
    if (!*spec->volume_attributes_class_name)
        err_required(e, AT(at, "volumeAttributesClassName"), "an empty string is disallowed");
    else
        check_string(e, AT(at, "volumeAttributesClassName"), spec->volume_attributes_class_name,
                     validate_dns1123_subdomain);
    if (!source->csi)
        err_required(e, AT(at, "csi"), "has to be specified when using volumeAttributesClassName");
}

static void check_own_volume(struct field_errors *e, const struct path *at,
                             const Core__V1__PersistentVolumeSpec *spec)
{
    check_capacity(e, AT(at, "capacity"), spec);
    if (*spec->persistent_volume_reclaim_policy)
        check_one_of(e, AT(at, "persistentVolumeReclaimPolicy"),
                     spec->persistent_volume_reclaim_policy, ONE_OF("Delete", "Recycle", "Retain"));
    if (spec->node_affinity && spec->node_affinity->required)
        check_node_selector(e, AT(AT(at, "nodeAffinity"), "required"),
                            spec->node_affinity->required);
    else if (spec->node_affinity)
        err_required(e, AT(AT(at, "nodeAffinity"), "required"),
                     "must specify required node constraints");
}

void check_volume_spec(struct field_errors *e, const struct path *at, const char *name,
                       const Core__V1__PersistentVolumeSpec *spec, bool in_attachment)
{
    const Core__V1__ISCSIPersistentVolumeSource *iscsi = spec->persistent_volume_source->iscsi;
    if (in_attachment && spec->claim_ref)
        err_forbidden(e, AT(at, "claimRef"), NOT_INLINE);
    if (in_attachment && spec->n_capacity > 0)
        err_forbidden(e, AT(at, "capacity"), NOT_INLINE);
    if (in_attachment && !spec->persistent_volume_source->csi)
        err_required(e, AT(at, "csi"), "has to be specified in the context of inline volumes");
    if (spec->n_access_modes == 0)
        err_required(e, AT(at, "accessModes"), "");
    check_access_modes(e, AT(at, "accessModes"), spec->access_modes, spec->n_access_modes);
    if (in_attachment)
        check_inline_volume(e, at, spec);
    else
        check_own_volume(e, at, spec);
    check_sources(e, at, spec->persistent_volume_source, sources, sizeof sources / sizeof *sources);
    if (iscsi && iscsi->initiator_name && strlen(name) + 1 + strlen(iscsi->target_portal) > 64)
        err_invalid(e, AT(AT(at, "iscsi"), "targetportal"), iscsi->target_portal,
                    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                    "characters if iscsi.initiatorName is specified.");
    check_volume_details(e, at, spec, in_attachment);
}

static void validate_volume(const void *object, struct field_errors *e)
{
    const Core__V1__PersistentVolume *pv = object;
    check_volume_spec(e, SPEC, pv->metadata->name, pv->spec, false);
}

static void validate_volume_update(const void *object, const void *old_object,
                                   struct field_errors *e)
{
    const Core__V1__PersistentVolumeSpec *spec = ((const Core__V1__PersistentVolume *)object)->spec;
    const Core__V1__PersistentVolumeSpec *old =
        ((const Core__V1__PersistentVolume *)old_object)->spec;
    Core__V1__PersistentVolumeSource *source =
        object_clone(e->arena, spec->persistent_volume_source);
    const Core__V1__CSIPersistentVolumeSource *csi = old->persistent_volume_source->csi;
    if (csi && !csi->controller_expand_secret_ref && source->csi)
        source->csi->controller_expand_secret_ref = NULL; /* may be added */
    if (!object_equal(source, old->persistent_volume_source))
        err_forbidden_diff(e, AT(SPEC, "persistentvolumesource"), old->persistent_volume_source,
                           source, "spec.persistentvolumesource is immutable after creation");
    check_immutable_string(e, AT(NULL, "volumeMode"), spec->volume_mode, old->volume_mode);
    if (old->node_affinity && !object_equal(spec->node_affinity, old->node_affinity))
        err_invalid_object(e, AT(NULL, "nodeAffinity"), spec->node_affinity,
                           IMMUTABLE ", except for updating from beta label to GA");
    if (old->volume_attributes_class_name && !spec->volume_attributes_class_name)
        err_forbidden(e, AT(SPEC, "volumeAttributesClassName"),
                      "update from non-nil value to nil is forbidden");
}

/* --- claims ----------------------------------------------------------------------------------- */

static void check_data_source(struct field_errors *e, const struct path *at, const char *name,
                              const char *kind, const char *group)
{
    check_required(e, AT(at, "name"), name);
    check_required(e, AT(at, "kind"), kind);
    if ((!group || !*group) && strcmp(kind, "PersistentVolumeClaim") != 0)
        err_invalid(e, at, kind,
                    "must be 'PersistentVolumeClaim' when referencing the default apiGroup");
    check_optional(e, AT(at, "apiGroup"), group, validate_dns1123_subdomain);
}

static void check_data_sources(struct field_errors *e, const struct path *at,
                               const Core__V1__PersistentVolumeClaimSpec *spec)
{
    const Core__V1__TypedLocalObjectReference *local = spec->data_source;
    const Core__V1__TypedObjectReference *ref = spec->data_source_ref;
    if (local)
        check_data_source(e, AT(at, "dataSource"), local->name, local->kind, local->api_group);
    if (!ref)
        return;
    check_data_source(e, AT(at, "dataSourceRef"), ref->name, ref->kind, ref->api_group);
    check_optional(e, AT(AT(at, "dataSourceRef"), "namespace"), ref->namespace_,
                   validate_dns1123_label);
    if (!local)
        return;
    if (ref->namespace_ && *ref->namespace_)
        err_invalid_raw(e, at, "{}",
                        "may not be specified when dataSourceRef.namespace is specified");
    else if (!cstr_eq(local->name, ref->name) || !cstr_eq(local->kind, ref->kind) ||
             !cstr_eq(local->api_group, ref->api_group))
        err_invalid_raw(e, at, "{}", "must match dataSourceRef");
}

static const char *claim_storage(const Core__V1__PersistentVolumeClaimSpec *spec)
{
    return quantity_map_get(spec->resources->requests, spec->resources->n_requests, "storage");
}

void check_claim_spec(struct field_errors *e, const struct path *at,
                      const Core__V1__PersistentVolumeClaimSpec *spec)
{
    if (spec->n_access_modes == 0)
        err_required(e, AT(at, "accessModes"), "at least 1 access mode is required");
    check_label_selector(e, AT(at, "selector"), spec->selector);
    check_access_modes(e, AT(at, "accessModes"), spec->access_modes, spec->n_access_modes);
    const char *storage = claim_storage(spec);
    const struct path *key = KEY(AT(at, "resources"), "storage");
    if (!storage)
        err_required(e, key, "");
    else
        check_quantity_positive(e, key, storage);
    check_optional(e, AT(at, "storageClassName"), spec->storage_class_name,
                   validate_dns1123_subdomain);
    check_volume_mode(e, AT(at, "volumeMode"), spec->volume_mode);
    check_data_sources(e, at, spec);
    check_optional(e, AT(at, "volumeAttributesClassName"), spec->volume_attributes_class_name,
                   validate_dns1123_subdomain);
}

static void validate_claim(const void *object, struct field_errors *e)
{
    check_claim_spec(e, SPEC, ((const Core__V1__PersistentVolumeClaim *)object)->spec);
}

/* Does an unset class become the one that the old annotation, if any, names? */
static bool class_is_filled_in(const Core__V1__PersistentVolumeClaim *new,
                               const Core__V1__PersistentVolumeClaim *old)
{
    const char *annotation = annotations_get(old->metadata, BETA_CLASS);
    return new->spec->storage_class_name && !old->spec->storage_class_name &&
           (!annotation || strcmp(annotation, new->spec->storage_class_name) == 0);
}

static void check_claim_size(struct field_errors *e, const Core__V1__PersistentVolumeClaim *new,
                             const Core__V1__PersistentVolumeClaim *old)
{
    struct quantity now = quantity_of(claim_storage(new->spec));
    struct quantity has =
        quantity_of(quantity_map_get(old->status->capacity, old->status->n_capacity, "storage"));
    /* Down to what there is: an expansion that failed is taken back. */
    if (quantity_cmp(now, quantity_of(claim_storage(old->spec))) < 0 && quantity_cmp(now, has) <= 0)
        err_forbidden(e, AT(AT(AT(SPEC, "resources"), "requests"), "storage"),
                      "field can not be less than status.capacity");
}

static void validate_claim_update(const void *object, const void *old_object,
                                  struct field_errors *e)
{
    const Core__V1__PersistentVolumeClaim *pvc = object, *old = old_object;
    Core__V1__PersistentVolumeClaimSpec *munged = object_clone(e->arena, pvc->spec);
    Core__V1__PersistentVolumeClaimSpec *was = object_clone(e->arena, old->spec);
    bool bound = strcmp(pvc->status->phase, "Bound") == 0;
    if (!*old->spec->volume_name)
        was->volume_name = munged->volume_name; /* set once */
    if (class_is_filled_in(pvc, old))
        munged->storage_class_name = old->spec->storage_class_name;
    const char *annotation = annotations_get(pvc->metadata, BETA_CLASS);
    const char *before = annotations_get(old->metadata, BETA_CLASS);
    if (!cstr_eq(annotation ? annotation : "", before ? before : ""))
        err_invalid(e, AT(AT(AT(NULL, "metadata"), "annotations"), BETA_CLASS),
                    annotation ? annotation : "", IMMUTABLE);
    const char *storage = claim_storage(old->spec);
    if (bound && storage)
        quantity_map_set(e->arena, &munged->resources->requests, &munged->resources->n_requests,
                         "storage", storage);
    if (bound && munged->volume_attributes_class_name)
        munged->volume_attributes_class_name = old->spec->volume_attributes_class_name;
    if (!object_equal(munged, was))
        err_forbidden_diff(e, SPEC, was, munged,
                           "spec is immutable after creation except resources.requests and "
                           "volumeAttributesClassName for bound claims");
    check_claim_size(e, pvc, old);
    check_immutable_string(e, AT(NULL, "volumeMode"), pvc->spec->volume_mode,
                           old->spec->volume_mode);
    if (old->spec->volume_attributes_class_name && !pvc->spec->volume_attributes_class_name)
        err_forbidden(e, AT(SPEC, "volumeAttributesClassName"),
                      "update from non-nil value to nil is forbidden");
    else if (old->spec->volume_attributes_class_name && !*pvc->spec->volume_attributes_class_name &&
             *old->spec->volume_attributes_class_name)
        err_forbidden(e, AT(SPEC, "volumeAttributesClassName"),
                      "update from non-nil value to an empty string is forbidden");
}

static void validate_claim_status(const void *object, const void *old, struct field_errors *e)
{
    const Core__V1__PersistentVolumeClaim *pvc = object;
    const struct path *at = AT(NULL, "status");
    (void)old;
    for (size_t i = 0; i < pvc->status->n_capacity; i++) {
        struct quantity q = quantity_of(pvc->status->capacity[i]->value->string);
        if (q.nanos < 0)
            err_invalid_int(e, KEY(AT(at, "capacity"), pvc->status->capacity[i]->key),
                            quantity_value(q), "must be a valid resource quantity");
    }
    for (size_t i = 0; i < pvc->status->n_allocated_resource_statuses; i++) {
        const StringEntry *s = pvc->status->allocated_resource_statuses[i];
        if (!is_one_of(s->value,
                       ONE_OF("ControllerResizeInProgress", "ControllerResizeInfeasible",
                              "NodeResizePending", "NodeResizeInProgress", "NodeResizeInfeasible")))
            err_not_supported(e, AT(at, "allocatedResourceStatus"), s->key,
                              ONE_OF("ControllerResizeInProgress", "ControllerResizeInfeasible",
                                     "NodeResizeInProgress", "NodeResizeInfeasible",
                                     "NodeResizePending"));
    }
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__PersistentVolume__SCHEMA,
     .create = validate_volume,
     .update = validate_volume_update},
    {.message = Core__V1__PersistentVolumeClaim__SCHEMA,
     .create = validate_claim,
     .update = validate_claim_update,
     .status = validate_claim_status},
};
const struct rule_table volume_rules = RULE_TABLE(rows);
