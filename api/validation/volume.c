/*
 * Validation of pods' volumes.
 */
#include "api/validation/volume.h"
#include "api/quantity.h"
#include "api/validation/pod.h"

/* --- files from objects ---------------------------------------------------------------------- */

static void check_mode(struct field_errors *e, const struct path *at, bool set, int32_t mode)
{
    if (set && (mode < 0 || mode > 0777))
        err_invalid_int(e, at, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

static void check_items(struct field_errors *e, const struct path *at,
                        Core__V1__KeyToPath *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(AT(at, "items"), i);
        check_required(e, AT(item, "key"), items[i]->key);
        check_required(e, AT(item, "path"), items[i]->path);
        check_local_path(e, AT(item, "path"), items[i]->path);
        check_mode(e, AT(item, "mode"), items[i]->has_mode, items[i]->mode);
    }
}

static void check_secret_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__SecretVolumeSource *v = source;
    check_mode(e, AT(at, "defaultMode"), v->has_default_mode, v->default_mode);
    check_items(e, at, v->items, v->n_items);
}

static void check_config_map_source(struct field_errors *e, const struct path *at,
                                    const void *source)
{
    const Core__V1__ConfigMapVolumeSource *v = source;
    check_mode(e, AT(at, "defaultMode"), v->has_default_mode, v->default_mode);
    check_items(e, at, v->items, v->n_items);
}

/* Upstream says the rules of a file of the volume, without its index. */
static void check_downward_file(struct field_errors *e, const struct path *at,
                                const Core__V1__DownwardAPIVolumeFile *f)
{
    check_required(e, AT(at, "path"), f->path);
    check_local_path(e, AT(at, "path"), f->path);
    if (f->field_ref) {
        check_object_field(e, AT(at, "fieldRef"), f->field_ref,
                           ONE_OF("metadata.annotations", "metadata.labels", "metadata.name",
                                  "metadata.namespace", "metadata.uid"));
        if (f->resource_field_ref)
            err_invalid(e, at, "resource",
                        "fieldRef and resourceFieldRef can not be specified simultaneously");
    } else if (f->resource_field_ref) {
        check_resource_field(e, AT(at, "resourceFieldRef"), f->resource_field_ref, true);
    } else {
        err_required(e, at, "one of fieldRef and resourceFieldRef is required");
    }
    check_mode(e, AT(at, "mode"), f->has_mode, f->mode);
}

static void check_downward_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__DownwardAPIVolumeSource *v = source;
    check_mode(e, AT(at, "defaultMode"), v->has_default_mode, v->default_mode);
    for (size_t i = 0; i < v->n_items; i++)
        check_downward_file(e, at, v->items[i]);
}

/* --- projected volumes ----------------------------------------------------------------------- */

/* The paths that the sources before have taken. */
struct taken_paths {
    const char **items;
    size_t n, cap;
};

static bool take_path(struct field_errors *e, struct taken_paths *t, const char *path)
{
    for (size_t i = 0; i < t->n; i++) {
        if (strcmp(t->items[i], path) == 0)
            return false;
    }
    if (t->n == t->cap) {
        size_t cap = t->cap ? 2 * t->cap : 8;
        t->items =
            arena_grow(e->arena, t->items, t->cap * sizeof *t->items, cap * sizeof *t->items);
        t->cap = cap;
    }
    t->items[t->n++] = path;
    return true;
}

static void check_projected_items(struct field_errors *e, const struct path *volume,
                                  const struct path *at, const char *name,
                                  Core__V1__KeyToPath *const *items, size_t n,
                                  struct taken_paths *taken)
{
    check_required(e, AT(at, "name"), name);
    check_items(e, at, items, n);
    for (size_t i = 0; i < n; i++) {
        if (*items[i]->path && !take_path(e, taken, items[i]->path))
            err_invalid(e, volume, name, "conflicting duplicate paths");
    }
}

static void check_token(struct field_errors *e, const struct path *volume, const struct path *at,
                        const Core__V1__ServiceAccountTokenProjection *t)
{
    if (t->expiration_seconds < 600)
        err_invalid_int(e, AT(at, "expirationSeconds"), t->expiration_seconds,
                        "may not specify a duration less than 10 minutes");
    if (t->expiration_seconds > 1LL << 32)
        err_invalid_int(e, AT(at, "expirationSeconds"), t->expiration_seconds,
                        "may not specify a duration larger than 2^32 seconds");
    if (check_required(e, AT(volume, "path"), t->path))
        check_local_path(e, AT(volume, "path"), t->path);
}

static void check_trust_bundle(struct field_errors *e, const struct path *at,
                               const Core__V1__ClusterTrustBundleProjection *b)
{
    if (b->name && b->signer_name)
        err_invalid_object(e, at, b, "only one of name and signerName may be used");
    else if (b->name) {
        if (!*b->name)
            err_required(e, AT(at, "name"), "must be a valid object name");
        if (b->label_selector)
            err_invalid_object(e, AT(at, "labelSelector"), b->label_selector,
                               "labelSelector must be unset if name is specified");
    } else if (b->signer_name) {
        if (!*b->signer_name)
            err_required(e, AT(at, "signerName"), "must be a valid signer name");
        check_label_selector(e, AT(at, "labelSelector"), b->label_selector);
    } else {
        err_required(e, at, "either name or signerName must be specified");
    }
    check_required(e, AT(at, "path"), b->path);
    check_local_path(e, AT(at, "path"), b->path);
}

static void check_pod_certificate(struct field_errors *e, const struct path *at,
                                  const Core__V1__PodCertificateProjection *c)
{
    check_required(e, AT(at, "signerName"), c->signer_name);
    check_required_one_of(
        e, AT(at, "keyType"), c->key_type,
        ONE_OF("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"));
    if (c->has_max_expiration_seconds &&
        (c->max_expiration_seconds < 3600 || c->max_expiration_seconds > 7862400))
        err_invalid_int(e, AT(at, "maxExpirationSeconds"), c->max_expiration_seconds,
                        "must be between 3600 and 7862400, inclusive");
    if (!*c->credential_bundle_path && !*c->key_path && !*c->certificate_chain_path)
        err_required(e, at, "specify at least one of keyPath and credentialBundlePath");
    if (*c->certificate_chain_path && !*c->key_path)
        err_required(e, AT(at, "keyPath"), "");
    if (*c->key_path && !*c->certificate_chain_path)
        err_required(e, AT(at, "certificateChainPath"), "");
}

static size_t check_projection(struct field_errors *e, const struct path *volume,
                               const struct path *source, const Core__V1__VolumeProjection *s,
                               struct taken_paths *taken)
{
    if (s->secret)
        check_projected_items(e, volume, AT(source, "secret"),
                              s->secret->local_object_reference->name, s->secret->items,
                              s->secret->n_items, taken);
    if (s->config_map)
        check_projected_items(e, volume, AT(source, "configMap"),
                              s->config_map->local_object_reference->name, s->config_map->items,
                              s->config_map->n_items, taken);
    for (size_t i = 0; s->downward_api && i < s->downward_api->n_items; i++) {
        const Core__V1__DownwardAPIVolumeFile *f = s->downward_api->items[i];
        check_downward_file(e, AT(source, "downwardAPI"), f);
        if (*f->path && !take_path(e, taken, f->path))
            err_invalid(e, volume, f->path, "conflicting duplicate paths");
    }
    if (s->service_account_token)
        check_token(e, volume, AT(source, "serviceAccountToken"), s->service_account_token);
    if (s->cluster_trust_bundle) {
        check_trust_bundle(e, AT(source, "clusterTrustBundle"), s->cluster_trust_bundle);
        if (!take_path(e, taken, s->cluster_trust_bundle->path))
            err_invalid(e, volume, s->cluster_trust_bundle->path, "conflicting duplicate paths");
    }
    if (s->pod_certificate)
        check_pod_certificate(e, AT(source, "podCertificate"), s->pod_certificate);
    return (size_t) !!s->secret + !!s->config_map + !!s->downward_api + !!s->service_account_token +
           !!s->cluster_trust_bundle + !!s->pod_certificate;
}

static void check_projected_source(struct field_errors *e, const struct path *at,
                                   const void *source)
{
    const Core__V1__ProjectedVolumeSource *v = source;
    struct taken_paths taken = {0};
    check_mode(e, AT(at, "defaultMode"), v->has_default_mode, v->default_mode);
    for (size_t i = 0; i < v->n_sources; i++) {
        const struct path *item = ITEM(AT(at, "sources"), i);
        if (check_projection(e, at, item, v->sources[i], &taken) > 1)
            err_forbidden(e, item, "may not specify more than 1 volume type per source");
    }
}

/* --- the others ------------------------------------------------------------------------------ */

static void check_empty_dir_source(struct field_errors *e, const struct path *at,
                                   const void *source)
{
    const Core__V1__EmptyDirVolumeSource *v = source;
    if (v->size_limit && quantity_of(v->size_limit->string).nanos < 0)
        err_forbidden(e, AT(at, "sizeLimit"), "SizeLimit field must be a valid resource quantity");
}

static void check_git_repo_source(struct field_errors *e, const struct path *at, const void *source)
{
    check_descending_path(e, AT(at, "directory"),
                          ((const Core__V1__GitRepoVolumeSource *)source)->directory);
}

static void check_iscsi_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__ISCSIVolumeSource *v = source;
    check_iscsi(e, at, v->iqn, v->lun, v->initiator_name,
                v->chap_auth_discovery || v->chap_auth_session, v->secret_ref);
}

static void check_cinder_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__CinderVolumeSource *v = source;
    if (v->secret_ref)
        check_required(e, AT(AT(at, "secretRef"), "name"), v->secret_ref->name);
}

static void check_flex_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__FlexVolumeSource *v = source;
    check_flex_options(e, at, v->options, v->n_options);
}

static void check_storageos_source(struct field_errors *e, const struct path *at,
                                   const void *source)
{
    const Core__V1__StorageOSVolumeSource *v = source;
    check_storageos_names(e, at, v->volume_name, v->volume_namespace);
    if (v->secret_ref)
        check_required(e, AT(AT(at, "secretRef"), "name"), v->secret_ref->name);
}

static void check_csi_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__CSIVolumeSource *v = source;
    check_csi_driver_name(e, AT(at, "driver"), v->driver);
    if (!v->node_publish_secret_ref)
        return;
    if (check_required(e, AT(AT(at, "nodePublishSecretRef"), "name"),
                       v->node_publish_secret_ref->name))
        check_string(e, AT(at, "name"), v->node_publish_secret_ref->name,
                     validate_dns1123_subdomain);
}

static void check_ephemeral_source(struct field_errors *e, const struct path *at,
                                   const void *source)
{
    const Core__V1__PersistentVolumeClaimTemplate *t =
        ((const Core__V1__EphemeralVolumeSource *)source)->volume_claim_template;
    const struct path *template = AT(at, "volumeClaimTemplate");
    if (!t) {
        err_required(e, template, "");
        return;
    }
    check_template_meta(e, AT(template, "metadata"), t->metadata, true);
    check_claim_spec(e, AT(template, "spec"), t->spec);
}

static void check_image_source(struct field_errors *e, const struct path *at, const void *source)
{
    check_pull_policy(e, AT(at, "pullPolicy"),
                      ((const Core__V1__ImageVolumeSource *)source)->pull_policy);
}

/* In upstream's order. */
#define SOURCE(member, ...)                                   \
    {                                                         \
        offsetof(Core__V1__VolumeSource, member), __VA_ARGS__ \
    }
static const struct source_row sources[] = {
    SOURCE(empty_dir, "emptyDir", .check = check_empty_dir_source),
    SOURCE(host_path, "hostPath", .check = check_host_path_source),
    SOURCE(git_repo, "gitRepo", .required = {"repository"}, .check = check_git_repo_source),
    SOURCE(gce_persistent_disk, "gcePersistentDisk", .path = "persistentDisk",
           .required = {"pdName"}, .check = check_partition_source),
    SOURCE(aws_elastic_block_store, "awsElasticBlockStore", .required = {"volumeID"},
           .check = check_partition_source),
    SOURCE(secret, "secret", .required = {"secretName"}, .check = check_secret_source),
    SOURCE(nfs, "nfs", .required = {"server", "path"}, .check = check_nfs_source),
    SOURCE(iscsi, "iscsi", .required = {"targetPortal"}, .check = check_iscsi_source),
    SOURCE(glusterfs, "glusterfs", .required = {"endpoints", "path"}),
    SOURCE(flocker, "flocker", .check = check_flocker_source),
    SOURCE(persistent_volume_claim, "persistentVolumeClaim", .required = {"claimName"}),
    SOURCE(rbd, "rbd", .required = {"image"}, .check = check_rbd_source),
    SOURCE(cinder, "cinder", .required = {"volumeID"}, .check = check_cinder_source),
    SOURCE(cephfs, "cephFS", .path = "cephfs", .check = check_ceph_source),
    SOURCE(quobyte, "quobyte", .check = check_quobyte_source),
    SOURCE(downward_api, "downwarAPI", .path = "downwardAPI", .check = check_downward_source),
    SOURCE(fc, "fc", .check = check_fc_source),
    SOURCE(flex_volume, "flexVolume", .required = {"driver"}, .check = check_flex_source),
    SOURCE(config_map, "configMap", .required = {"name"}, .check = check_config_map_source),
    SOURCE(azure_file, "azureFile", .required = {"secretName", "shareName"}),
    SOURCE(vsphere_volume, "vsphereVolume", .required = {"volumePath"}),
    SOURCE(photon_persistent_disk, "photonPersistentDisk", .required = {"pdID"}),
    SOURCE(portworx_volume, "portworxVolume", .required = {"volumeID"}),
    SOURCE(azure_disk, "azureDisk", .required = {"diskName", "diskURI"},
           .check = check_azure_disk_source),
    SOURCE(storageos, "storageos", .check = check_storageos_source),
    SOURCE(projected, "projected", .check = check_projected_source),
    SOURCE(scale_io, "scaleIO", .required = {"gateway", "system", "volumeName"}),
    SOURCE(csi, "csi", .check = check_csi_source),
    SOURCE(ephemeral, "ephemeral", .check = check_ephemeral_source),
    SOURCE(image, "image", .check = check_image_source),
};

/* --- volumes --------------------------------------------------------------------------------- */

/* What depends on the pod and on the volume's name. */
static void check_in_pod(struct pod_check *p, const struct path *at, const Core__V1__Volume *v)
{
    struct field_errors *e = p->e;
    const Core__V1__VolumeSource *s = v->volume_source;
    if (s->iscsi && s->iscsi->initiator_name &&
        strlen(v->name) + 1 + strlen(s->iscsi->target_portal) > 64)
        err_invalid(e, AT(at, "name"), v->name,
                    "Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
                    "characters if iscsi.initiatorName is specified.");
    if (s->image && p->is_pod && (!s->image->reference || !*s->image->reference))
        err_required(e, AT(AT(at, "image"), "reference"), "");
    if (!s->ephemeral || !p->meta || !*p->meta->name || !*v->name)
        return;
    const char *claim = arena_printf(e->arena, "%s-%s", p->meta->name, v->name);
    const char *message = validate_dns1123_subdomain(claim);
    struct str rest = str_from(message ? message : ""), line;
    while (message && str_split(&rest, '\n', &line))
        err_invalid(e, AT(at, "name"), v->name,
                    arena_printf(e->arena, "PVC name \"%s\": %.*s", claim, STR_ARG(line)));
}

/* Names of the claims that the pod's own ephemeral volumes make. */
static struct seen own_claims(const struct pod_check *p)
{
    struct seen out = {.arena = p->e->arena};
    const char *pod = p->meta ? p->meta->name : "";
    for (size_t i = 0; *pod && i < p->spec->n_volumes; i++) {
        if (p->spec->volumes[i]->volume_source->ephemeral)
            seen_again(&out, arena_printf(p->e->arena, "%s-%s", pod, p->spec->volumes[i]->name));
    }
    return out;
}

void check_volumes(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    const struct seen own = own_claims(p);
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__Volume *v = spec->volumes[i];
        size_t before = e->len;
        check_sources(e, item, v->volume_source, sources, sizeof sources / sizeof *sources);
        check_in_pod(p, item, v);
        check_required_string(e, AT(item, "name"), v->name, validate_dns1123_label);
        if (seen_value(&p->volumes, v->name))
            err_duplicate(e, AT(item, "name"), v->name);
        if (e->len == before)
            seen_put(&p->volumes, v->name, v->volume_source);
        const Core__V1__PersistentVolumeClaimVolumeSource *c =
            v->volume_source->persistent_volume_claim;
        if (c && seen_has(&own, c->claim_name))
            err_invalid(e, AT(AT(item, "persistentVolumeClaim"), "claimName"), c->claim_name,
                        "must not reference a PVC that gets created for an ephemeral volume");
    }
}
