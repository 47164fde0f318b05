/*
 * Validation of storage classes, CSI drivers and nodes, attachments, capacities, attribute classes.
 */
#include "proto/storage_v1.pb-c.h"
#include "api/validation/internal.h"
#include "api/validation/volume.h"
#include "base/arena_text.h"
#include <ctype.h>
#include <stdlib.h>

#define PARAMETERS_SIZE_MAX (256 * 1024)
#define PARAMETERS_MAX 512
#define METADATA_SIZE_MAX (256 * 1024)
#define VOLUME_ERROR_MAX 1024
#define NODE_ID_MAX 256

static size_t map_size(StringEntry *const *items, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += strlen(items[i]->key) + strlen(items[i]->value);
    return total;
}

static bool same_map(StringEntry *const *a, size_t n, StringEntry *const *b, size_t m)
{
    return n == m && string_map_contains(a, n, b, m);
}

static void check_parameters(struct field_errors *e, StringEntry *const *items, size_t n,
                             bool required)
{
    const struct path *at = AT(NULL, "parameters");
    if (required && n == 0) {
        err_required(e, at, "must contain at least one key/value pair");
        return;
    }
    if (n > PARAMETERS_MAX) {
        err_too_long(e, at, PARAMETERS_MAX);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!*items[i]->key)
            err_invalid(e, at, "", "field can not be empty.");
    }
    if (map_size(items, n) > PARAMETERS_SIZE_MAX)
        err_too_long(e, at, PARAMETERS_SIZE_MAX);
}

/* --- storage classes -------------------------------------------------------------------------------- */

static void check_topology(struct field_errors *e, const struct path *at,
                           const Core__V1__TopologySelectorTerm *t)
{
    struct seen keys = {.arena = e->arena};
    for (size_t i = 0; i < t->n_match_label_expressions; i++) {
        const struct path *item = ITEM(AT(at, "matchLabelExpressions"), i);
        const Core__V1__TopologySelectorLabelRequirement *r = t->match_label_expressions[i];
        if (r->n_values == 0)
            err_required(e, AT(item, "values"), "");
        struct seen values = {.arena = e->arena};
        for (size_t k = 0; k < r->n_values; k++) {
            if (seen_again(&values, r->values[k]))
                err_duplicate(e, ITEM(AT(item, "values"), k), r->values[k]);
        }
        check_string(e, AT(item, "key"), r->key, validate_qualified_name);
        if (seen_again(&keys, r->key))
            err_duplicate(e, AT(item, "key"), r->key);
    }
}

/* A driver's name in lower case is a qualified name; that is how it is shown, too. */
static void check_provisioner(struct field_errors *e, const struct path *at, const char *name)
{
    char *lower = arena_strdup(e->arena, name);
    for (char *p = lower; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    check_required_string(e, at, lower, validate_qualified_name);
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void append_sorted(struct buf *out, const char **texts, size_t n)
{
    qsort(texts, n, sizeof *texts, compare_texts);
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || strcmp(texts[i], texts[i - 1]) != 0)
            buf_printf(out, "%s,", texts[i]);
    }
}

/* The expressions as a map of sets, in one form: neither their order nor that of their values matters, and of two of a
 * key the later one stands. */
static const char *topology_text(struct arena *a, const Core__V1__TopologySelectorTerm *t)
{
    const char **texts = arena_array(a, const char *, t->n_match_label_expressions + 1);
    struct seen keys = {.arena = a};
    struct buf out = {0};
    size_t n = 0;
    for (size_t i = t->n_match_label_expressions; i-- > 0;) {
        const Core__V1__TopologySelectorLabelRequirement *r = t->match_label_expressions[i];
        if (seen_again(&keys, r->key))
            continue;
        const char **values = arena_array(a, const char *, r->n_values + 1);
        for (size_t k = 0; k < r->n_values; k++)
            values[k] = field_quote(a, r->values[k]);
        out.len = 0;
        buf_printf(&out, "%s:", field_quote(a, r->key));
        append_sorted(&out, values, r->n_values);
        texts[n++] = arena_strdup(a, buf_cstr(&out));
    }
    out.len = 0;
    append_sorted(&out, texts, n);
    const char *text = arena_strdup(a, buf_cstr(&out));
    buf_free(&out);
    return text;
}

static void check_topologies(struct field_errors *e, const struct path *at,
                             Core__V1__TopologySelectorTerm *const *terms, size_t n)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        check_topology(e, ITEM(at, i), terms[i]);
        if (terms[i]->n_match_label_expressions == 0 || /* says nothing, as if there */
            seen_again(&seen, topology_text(e->arena, terms[i])))
            err_duplicate(e, AT(ITEM(at, i), "matchLabelExpressions"), "");
    }
}

static void validate_storage_class(const void *object, struct field_errors *e)
{
    const Storage__V1__StorageClass *c = object;
    check_provisioner(e, AT(NULL, "provisioner"), c->provisioner);
    check_parameters(e, c->parameters, c->n_parameters, false);
    if (c->reclaim_policy && *c->reclaim_policy)
        check_one_of(e, AT(NULL, "reclaimPolicy"), c->reclaim_policy, ONE_OF("Delete", "Retain"));
    if (!c->volume_binding_mode)
        err_required(e, AT(NULL, "volumeBindingMode"), "");
    else
        check_one_of(e, AT(NULL, "volumeBindingMode"), c->volume_binding_mode,
                     ONE_OF("Immediate", "WaitForFirstConsumer"));
    check_topologies(e, AT(NULL, "allowedTopologies"), c->allowed_topologies,
                     c->n_allowed_topologies);
}

static void validate_storage_class_update(const void *object, const void *old_object,
                                          struct field_errors *e)
{
    const Storage__V1__StorageClass *c = object, *old = old_object;
    if (!same_map(c->parameters, c->n_parameters, old->parameters, old->n_parameters))
        err_forbidden(e, AT(NULL, "parameters"), "updates to parameters are forbidden.");
    if (!cstr_eq(c->provisioner, old->provisioner))
        err_forbidden(e, AT(NULL, "provisioner"), "updates to provisioner are forbidden.");
    if (!cstr_eq(c->reclaim_policy, old->reclaim_policy))
        err_forbidden(e, AT(NULL, "reclaimPolicy"), "updates to reclaimPolicy are forbidden.");
    check_immutable_string(e, AT(NULL, "volumeBindingMode"), c->volume_binding_mode,
                           old->volume_binding_mode);
}

static void validate_attributes_class(const void *object, struct field_errors *e)
{
    const Storage__V1__VolumeAttributesClass *c = object;
    check_provisioner(e, AT(NULL, "driverName"), c->driver_name);
    check_parameters(e, c->parameters, c->n_parameters, true);
}

static void validate_attributes_class_update(const void *object, const void *old_object,
                                             struct field_errors *e)
{
    const Storage__V1__VolumeAttributesClass *c = object, *old = old_object;
    if (!cstr_eq(c->driver_name, old->driver_name))
        err_forbidden(e, AT(NULL, "driverName"), "updates to driverName are forbidden.");
    if (!same_map(c->parameters, c->n_parameters, old->parameters, old->n_parameters))
        err_forbidden(e, AT(NULL, "parameters"), "updates to parameters are forbidden.");
}

/* --- CSI drivers -------------------------------------------------------------------------------------- */

static void check_token_requests(struct field_errors *e, const struct path *at,
                                 const Storage__V1__CSIDriverSpec *spec)
{
    struct seen audiences = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_token_requests; i++) {
        const struct path *item = ITEM(at, i), *expiry = AT(item, "expirationSeconds");
        const Storage__V1__TokenRequest *r = spec->token_requests[i];
        if (seen_again(&audiences, r->audience)) {
            err_duplicate(e, AT(item, "audience"), r->audience);
            continue;
        }
        if (r->has_expiration_seconds && r->expiration_seconds < 600)
            err_invalid_int(e, expiry, r->expiration_seconds,
                            "may not specify a duration less than 10 minutes");
        if (r->has_expiration_seconds && r->expiration_seconds > 1LL << 32)
            err_invalid_int(e, expiry, r->expiration_seconds,
                            "may not specify a duration larger than 2^32 seconds");
    }
}

static void validate_csi_driver(const void *object, struct field_errors *e)
{
    const Storage__V1__CSIDriverSpec *spec = ((const Storage__V1__CSIDriver *)object)->spec;
    const struct {
        bool set;
        const char *name;
    } required[] = {{spec->has_attach_required, "attachedRequired"},
                    {spec->has_pod_info_on_mount, "podInfoOnMount"},
                    {spec->has_storage_capacity, "storageCapacity"}};
    for (size_t i = 0; i < sizeof required / sizeof *required; i++) {
        if (!required[i].set)
            err_required(e, AT(SPEC, required[i].name), "");
    }
    if (spec->fs_group_policy)
        check_one_of(e, AT(SPEC, "fsGroupPolicy"), spec->fs_group_policy,
                     ONE_OF("File", "None", "ReadWriteOnceWithFSType"));
    check_token_requests(e, AT(SPEC, "tokenRequests"), spec);
    for (size_t i = 0; i < spec->n_volume_lifecycle_modes; i++)
        check_one_of(e, AT(SPEC, "volumeLifecycleModes"), spec->volume_lifecycle_modes[i],
                     ONE_OF("Persistent", "Ephemeral"));
    if (!spec->has_se_linux_mount)
        err_required(e, AT(SPEC, "seLinuxMount"), "");
    if (spec->has_node_allocatable_update_period_seconds &&
        spec->node_allocatable_update_period_seconds < 10)
        err_invalid_int(e, AT(SPEC, "nodeAllocatableUpdatePeriodSeconds"),
                        spec->node_allocatable_update_period_seconds,
                        "must be greater than or equal to 10 seconds");
    if (spec->has_service_account_token_in_secrets && spec->n_token_requests == 0)
        err_invalid_raw(e, AT(SPEC, "serviceAccountTokenInSecrets"),
                        spec->service_account_token_in_secrets ? "true" : "false",
                        "serviceAccountTokenInSecrets is set but no tokenRequests are specified");
}

static void validate_csi_driver_update(const void *object, const void *old_object,
                                       struct field_errors *e)
{
    const Storage__V1__CSIDriverSpec *spec = ((const Storage__V1__CSIDriver *)object)->spec;
    const Storage__V1__CSIDriverSpec *old = ((const Storage__V1__CSIDriver *)old_object)->spec;
    if (spec->has_attach_required != old->has_attach_required ||
        spec->attach_required != old->attach_required)
        err_invalid_raw(e, AT(SPEC, "attachedRequired"), spec->attach_required ? "true" : "false",
                        IMMUTABLE);
    if (!string_lists_equal(spec->volume_lifecycle_modes, spec->n_volume_lifecycle_modes,
                            old->volume_lifecycle_modes, old->n_volume_lifecycle_modes))
        err_invalid_list(e, AT(SPEC, "volumeLifecycleModes"), spec->volume_lifecycle_modes,
                         spec->n_volume_lifecycle_modes, IMMUTABLE);
}

/* --- CSI nodes ---------------------------------------------------------------------------------------- */

static void check_node_driver(struct field_errors *e, const struct path *at,
                              const Storage__V1__CSINodeDriver *d, struct seen *names)
{
    struct seen keys = {.arena = e->arena};
    check_csi_driver_name(e, AT(at, "name"), d->name);
    check_required(e, AT(at, "nodeID"), d->node_id);
    if (strlen(d->node_id) > NODE_ID_MAX)
        err_invalid(e, AT(at, "nodeID"), d->node_id, "must be 256 characters or less");
    if (d->allocatable && d->allocatable->has_count)
        check_non_negative(e, AT(AT(at, "allocatable"), "count"), d->allocatable->count);
    if (seen_again(names, d->name))
        err_duplicate(e, AT(at, "name"), d->name);
    for (size_t k = 0; k < d->n_topology_keys; k++) {
        const char *key = d->topology_keys[k];
        if (!*key)
            err_required(e, at, "");
        if (seen_again(&keys, key))
            err_duplicate(e, at, key);
        check_string(e, at, key, validate_qualified_name);
    }
}

static void validate_csi_node(const void *object, struct field_errors *e)
{
    const Storage__V1__CSINodeSpec *spec = ((const Storage__V1__CSINode *)object)->spec;
    struct seen names = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_drivers; i++)
        check_node_driver(e, ITEM(AT(SPEC, "drivers"), i), spec->drivers[i], &names);
}

/* But for what changes, how much can be attached; by the names of upstream's own fields. */
static const char *node_driver_text(struct arena *a, const Storage__V1__CSINodeDriver *d)
{
    struct arena_text keys = {.a = a};
    for (size_t i = 0; i < d->n_topology_keys; i++)
        arena_text_addf(&keys, "%c%s", i ? ',' : '[', field_quote(a, d->topology_keys[i]));
    arena_text_add(&keys, d->n_topology_keys ? "]" : "null");
    return arena_printf(a, "{\"Name\":%s,\"NodeID\":%s,\"TopologyKeys\":%s,\"Allocatable\":null}",
                        field_quote(a, d->name), field_quote(a, d->node_id), arena_text_of(&keys));
}

/* What a driver said stays, but for how much it can attach. */
static void validate_csi_node_update(const void *object, const void *old_object,
                                     struct field_errors *e)
{
    const Storage__V1__CSINodeSpec *spec = ((const Storage__V1__CSINode *)object)->spec;
    const Storage__V1__CSINodeSpec *old = ((const Storage__V1__CSINode *)old_object)->spec;
    struct seen now = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_drivers; i++)
        seen_put(&now, spec->drivers[i]->name, spec->drivers[i]);
    for (size_t i = 0; i < old->n_drivers; i++) {
        const Storage__V1__CSINodeDriver *o = old->drivers[i], *d = seen_value(&now, o->name);
        if (d && (strcmp(d->node_id, o->node_id) != 0 ||
                  !string_lists_equal(d->topology_keys, d->n_topology_keys, o->topology_keys,
                                      o->n_topology_keys)))
            err_invalid_raw(e, AT(SPEC, "drivers"), node_driver_text(e->arena, d), IMMUTABLE);
    }
}

/* --- attachments --------------------------------------------------------------------------------------- */

static void check_volume_error(struct field_errors *e, const struct path *at,
                               const Storage__V1__VolumeError *v)
{
    if (v && strlen(v->message) > VOLUME_ERROR_MAX)
        err_too_long(e, AT(at, "message"), METADATA_SIZE_MAX);
    if (v && v->has_error_code && v->error_code < 0)
        check_range(e, AT(at, "errorCode"), v->error_code, 0, INT32_MAX);
}

static void check_attachment_source(struct field_errors *e, const struct path *at,
                                    const Storage__V1__VolumeAttachmentSource *s)
{
    static const char one[] =
        "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    if (!s->inline_volume_spec && !s->persistent_volume_name)
        err_required(e, at, one);
    else if (s->inline_volume_spec && s->persistent_volume_name)
        err_forbidden(e, at, one);
    else if (s->persistent_volume_name && !*s->persistent_volume_name)
        err_required(e, AT(at, "persistentVolumeName"),
                     "must specify non empty persistentVolumeName");
    else if (s->inline_volume_spec)
        check_volume_spec(e, AT(at, "inlineVolumeSpec"), "", s->inline_volume_spec, true);
}

static void check_attachment_status(struct field_errors *e,
                                    const Storage__V1__VolumeAttachmentStatus *s)
{
    const struct path *at = AT(NULL, "status");
    if (map_size(s->attachment_metadata, s->n_attachment_metadata) > METADATA_SIZE_MAX)
        err_too_long(e, AT(at, "attachmentMetadata"), METADATA_SIZE_MAX);
    check_volume_error(e, AT(at, "attachError"), s->attach_error);
    check_volume_error(e, AT(at, "detachError"), s->detach_error);
}

static void check_attachment(struct field_errors *e, const void *object)
{
    const Storage__V1__VolumeAttachment *a = object;
    check_required(e, AT(SPEC, "attacher"), a->spec->attacher);
    check_attachment_source(e, AT(SPEC, "source"), a->spec->source);
    check_string(e, AT(SPEC, "nodeName"), a->spec->node_name, validate_dns1123_subdomain);
    check_attachment_status(e, a->status);
}

/* Two rules are of new attachments only. */
static void validate_attachment(const void *object, struct field_errors *e)
{
    const Storage__V1__VolumeAttachmentSpec *spec =
        ((const Storage__V1__VolumeAttachment *)object)->spec;
    const char *volume = spec->source->persistent_volume_name;
    check_attachment(e, object);
    check_csi_driver_name(e, AT(SPEC, "attacher"), spec->attacher);
    if (volume)
        check_string(e, AT(AT(SPEC, "source"), "persistentVolumeName"), volume,
                     validate_dns1123_subdomain);
}

/* By the names of upstream's own fields. */
static const char *attachment_text(struct arena *a, const Storage__V1__VolumeAttachmentSpec *spec)
{
    const char *volume = spec->source->persistent_volume_name;
    return arena_printf(a,
                        "{\"Attacher\":%s,\"Source\":{\"PersistentVolumeName\":%s,"
                        "\"InlineVolumeSpec\":%s},\"NodeName\":%s}",
                        field_quote(a, spec->attacher), volume ? field_quote(a, volume) : "null",
                        object_text(a, spec->source->inline_volume_spec),
                        field_quote(a, spec->node_name));
}

static void validate_attachment_update(const void *object, const void *old, struct field_errors *e)
{
    const Storage__V1__VolumeAttachmentSpec *spec =
        ((const Storage__V1__VolumeAttachment *)object)->spec;
    check_attachment(e, object);
    if (!object_equal(spec, ((const Storage__V1__VolumeAttachment *)old)->spec))
        err_invalid_raw(e, SPEC, attachment_text(e->arena, spec), IMMUTABLE);
}

static void validate_attachment_status(const void *object, const void *old, struct field_errors *e)
{
    (void)old;
    check_attachment_status(e, ((const Storage__V1__VolumeAttachment *)object)->status);
}

/* --- capacities ----------------------------------------------------------------------------------------- */

static void validate_capacity(const void *object, struct field_errors *e)
{
    const Storage__V1__CSIStorageCapacity *c = object;
    check_label_selector(e, AT(NULL, "nodeTopology"), c->node_topology);
    check_string(e, AT(NULL, "storageClassName"), c->storage_class_name,
                 validate_dns1123_subdomain);
    if (c->capacity)
        check_quantity_non_negative(e, AT(NULL, "capacity"), c->capacity->string);
}

static void validate_capacity_update(const void *object, const void *old_object,
                                     struct field_errors *e)
{
    const Storage__V1__CSIStorageCapacity *c = object, *old = old_object;
    check_immutable(e, AT(NULL, "nodeTopology"), c->node_topology, old->node_topology);
    check_immutable_string(e, AT(NULL, "storageClassName"), c->storage_class_name,
                           old->storage_class_name);
}

static const struct kind_rules rows[] = {
    {.message = Storage__V1__StorageClass__SCHEMA,
     .create = validate_storage_class,
     .update = validate_storage_class_update},
    {.message = Storage__V1__VolumeAttributesClass__SCHEMA,
     .create = validate_attributes_class,
     .update = validate_attributes_class_update},
    {.message = Storage__V1__CSIDriver__SCHEMA,
     .create = validate_csi_driver,
     .update = validate_csi_driver_update},
    {.message = Storage__V1__CSINode__SCHEMA,
     .create = validate_csi_node,
     .update = validate_csi_node_update},
    {.message = Storage__V1__VolumeAttachment__SCHEMA,
     .create = validate_attachment,
     .update = validate_attachment_update,
     .update_alone = true,
     .status = validate_attachment_status},
    {.message = Storage__V1__CSIStorageCapacity__SCHEMA,
     .create = validate_capacity,
     .update = validate_capacity_update},
};
const struct rule_table storage_rules = RULE_TABLE(rows);
