/*
 * Validation of configuration, nodes, events, leases and bindings.
 */
#include "api/meta.h"
#include "api/validation/internal.h"
#include "proto/coordination_v1.pb-c.h"

#define DATA_SIZE_MAX (1024 * 1024)

/* --- config maps and secrets ---------------------------------------------------------------------------- */

static void validate_config_map(const void *object, struct field_errors *e)
{
    const Core__V1__ConfigMap *map = object;
    size_t total = 0;
    for (size_t i = 0; i < map->n_data; i++) {
        const char *key = map->data[i]->key;
        check_string(e, KEY(AT(NULL, "data"), key), key, validate_config_map_key);
        total += strlen(map->data[i]->value);
    }
    for (size_t i = 0; i < map->n_binary_data; i++) {
        const char *key = map->binary_data[i]->key;
        check_string(e, KEY(AT(NULL, "binaryData"), key), key, validate_config_map_key);
        if (string_map_get(map->data, map->n_data, key))
            err_invalid(e, KEY(AT(NULL, "data"), key), key,
                        "duplicate of key present in binaryData");
        total += map->binary_data[i]->value.len;
    }
    if (total > DATA_SIZE_MAX)
        err_too_long(e, NULL, DATA_SIZE_MAX);
}

static bool bytes_map_equal(Meta__V1__BytesEntry *const *a, size_t n,
                            Meta__V1__BytesEntry *const *b, size_t m)
{
    if (n != m)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!object_equal(a[i], b[i]))
            return false;
    }
    return true;
}

static void validate_config_map_update(const void *object, const void *old_object,
                                       struct field_errors *e)
{
    const Core__V1__ConfigMap *map = object, *old = old_object;
    if (!old->has_immutable || !old->immutable)
        return;
    const char *why = "field is immutable when `immutable` is set";
    if (!map->has_immutable || !map->immutable)
        err_forbidden(e, AT(NULL, "immutable"), why);
    if (map->n_data != old->n_data ||
        !string_map_contains(map->data, map->n_data, old->data, old->n_data))
        err_forbidden(e, AT(NULL, "data"), why);
    if (!bytes_map_equal(map->binary_data, map->n_binary_data, old->binary_data,
                         old->n_binary_data))
        err_forbidden(e, AT(NULL, "binaryData"), why);
}

static const Meta__V1__BytesEntry *secret_data(const Core__V1__Secret *s, const char *key)
{
    for (size_t i = 0; i < s->n_data; i++) {
        if (cstr_eq(s->data[i]->key, key))
            return s->data[i];
    }
    return NULL;
}

/* What each type of secret must hold. */
static void check_secret_type(struct field_errors *e, const Core__V1__Secret *s)
{
    static const struct {
        const char *type;
        const char *keys[2];
    } types[] = {{"kubernetes.io/dockercfg", {".dockercfg"}},
                 {"kubernetes.io/dockerconfigjson", {".dockerconfigjson"}},
                 {"kubernetes.io/ssh-auth", {"ssh-privatekey"}},
                 {"kubernetes.io/tls", {"tls.crt", "tls.key"}}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!cstr_eq(s->type, types[i].type))
            continue;
        for (int k = 0; k < 2 && types[i].keys[k]; k++) {
            if (!secret_data(s, types[i].keys[k]))
                err_required(e, KEY(AT(NULL, "data"), types[i].keys[k]), "");
        }
    }
    if (cstr_eq(s->type, "kubernetes.io/service-account-token") &&
        !annotations_get(s->metadata, "kubernetes.io/service-account.name"))
        err_required(
            e, KEY(AT(AT(NULL, "metadata"), "annotations"), "kubernetes.io/service-account.name"),
            "");
}

static void validate_secret(const void *object, struct field_errors *e)
{
    const Core__V1__Secret *s = object;
    size_t total = 0;
    for (size_t i = 0; i < s->n_data; i++) {
        check_string(e, KEY(AT(NULL, "data"), s->data[i]->key), s->data[i]->key,
                     validate_config_map_key);
        total += s->data[i]->value.len;
    }
    if (total > DATA_SIZE_MAX)
        err_too_long(e, AT(NULL, "data"), DATA_SIZE_MAX);
    check_secret_type(e, s);
}

static void validate_secret_update(const void *object, const void *old_object,
                                   struct field_errors *e)
{
    const Core__V1__Secret *s = object, *old = old_object;
    if (!cstr_eq(s->type, old->type))
        err_invalid(e, AT(NULL, "type"), s->type, IMMUTABLE);
    if (!old->has_immutable || !old->immutable)
        return;
    const char *why = "field is immutable when `immutable` is set";
    if (!s->has_immutable || !s->immutable)
        err_forbidden(e, AT(NULL, "immutable"), why);
    if (!bytes_map_equal(s->data, s->n_data, old->data, old->n_data))
        err_forbidden(e, AT(NULL, "data"), why);
}

/* --- nodes, events, leases -------------------------------------------------------------------------------- */

static void validate_node(const void *object, struct field_errors *e)
{
    static const char *const effects[] = {"NoExecute", "NoSchedule", "PreferNoSchedule", NULL};
    const Core__V1__NodeSpec *spec = ((const Core__V1__Node *)object)->spec;
    for (size_t i = 0; i < spec->n_taints; i++) {
        const struct path *item = ITEM(AT(SPEC, "taints"), i);
        const Core__V1__Taint *t = spec->taints[i];
        check_string(e, AT(item, "key"), t->key, validate_qualified_name);
        check_string(e, AT(item, "value"), t->value, validate_label_value);
        check_required_one_of(e, AT(item, "effect"), t->effect, effects);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(spec->taints[k]->key, t->key) &&
                cstr_eq(spec->taints[k]->effect, t->effect)) {
                err_duplicate(e, item, t->key);
                break;
            }
        }
    }
}

static void validate_node_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Core__V1__NodeSpec *spec = ((const Core__V1__Node *)object)->spec;
    const Core__V1__NodeSpec *old = ((const Core__V1__Node *)old_object)->spec;
    if (*old->pod_cidr && !cstr_eq(spec->pod_cidr, old->pod_cidr))
        err_forbidden(e, AT(SPEC, "podCIDRs"),
                      "node updates may not change podCIDR except from \"\" to valid");
    if (*old->provider_id && !cstr_eq(spec->provider_id, old->provider_id))
        err_forbidden(e, AT(SPEC, "providerID"),
                      "node updates may not change providerID except from \"\" to valid");
}

/* An event lives where its object lives; cluster-scoped objects' events in any namespace. */
static void validate_event(const void *object, struct field_errors *e)
{
    const Core__V1__Event *event = object;
    const char *of = event->involved_object->namespace_;
    if (*of && !cstr_eq(of, event->metadata->namespace_))
        err_invalid(e, AT(AT(NULL, "involvedObject"), "namespace"), of,
                    "does not match event.namespace");
    if (!*of && !cstr_eq(event->metadata->namespace_, "default") &&
        !cstr_eq(event->metadata->namespace_, "kube-system") &&
        micro_time_ns(event->event_time) == 0)
        err_invalid(e, AT(AT(NULL, "involvedObject"), "namespace"), of,
                    "does not match event.namespace");
}

static void validate_lease(const void *object, struct field_errors *e)
{
    const Coordination__V1__LeaseSpec *spec = ((const Coordination__V1__Lease *)object)->spec;
    if (spec->has_lease_duration_seconds && spec->lease_duration_seconds <= 0)
        err_invalid_int(e, AT(SPEC, "leaseDurationSeconds"), spec->lease_duration_seconds,
                        "must be greater than 0");
    if (spec->has_lease_transitions)
        check_non_negative(e, AT(SPEC, "leaseTransitions"), spec->lease_transitions);
    /* An empty holder is how clients give a lease back. */
}

static void validate_binding(const void *object, struct field_errors *e)
{
    static const char *const kinds[] = {"Node", "<empty>", NULL};
    const Core__V1__ObjectReference *target = ((const Core__V1__Binding *)object)->target;
    if (*target->kind && !cstr_eq(target->kind, "Node"))
        err_not_supported(e, AT(AT(NULL, "target"), "kind"), target->kind, kinds);
    check_required(e, AT(AT(NULL, "target"), "name"), target->name);
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__ConfigMap__SCHEMA,
     .create = validate_config_map,
     .update = validate_config_map_update},
    {.message = Core__V1__Secret__SCHEMA,
     .create = validate_secret,
     .update = validate_secret_update},
    {.message = Core__V1__Node__SCHEMA, .create = validate_node, .update = validate_node_update},
    {.message = Core__V1__Event__SCHEMA, .create = validate_event},
    {.message = Core__V1__Binding__SCHEMA, .create = validate_binding},
    {.message = Coordination__V1__Lease__SCHEMA, .create = validate_lease},
};
const struct rule_table core_rules = RULE_TABLE(rows);
