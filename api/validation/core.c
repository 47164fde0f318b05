/*
 * Validation of configuration, leases and bindings.
 */
#include "api/codec.h"
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
        err_too_long(e, NAMELESS, DATA_SIZE_MAX);
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

static void check_docker_config(struct field_errors *e, const Core__V1__Secret *s, const char *key)
{
    const Meta__V1__BytesEntry *data = secret_data(s, key);
    struct error why;
    yyjson_val *root;
    const char *problem = NULL;
    if (!data)
        return;
    struct str text = {(const char *)data->value.data, data->value.len};
    if (data->value.len == 0)
        problem = "unexpected end of JSON input";
    else if (json_read(e->arena, text, &root, &why) < 0)
        problem = why.message;
    else if (!yyjson_is_obj(root) && !yyjson_is_null(root))
        problem = arena_printf(e->arena,
                               "json: cannot unmarshal %s into Go value of type "
                               "map[string]interface {}",
                               yyjson_is_arr(root)   ? "array"
                               : yyjson_is_str(root) ? "string"
                               : yyjson_is_num(root) ? "number"
                                                     : "bool");
    if (problem)
        err_invalid(e, KEY(AT(NULL, "data"), key), "<secret contents redacted>",
                    arena_strdup(e->arena, problem));
}

/* What each type of secret must hold. */
static void check_secret_type(struct field_errors *e, const Core__V1__Secret *s)
{
    static const struct {
        const char *type;
        const char *keys[2];
    } types[] = {{"kubernetes.io/dockercfg", {".dockercfg"}},
                 {"kubernetes.io/dockerconfigjson", {".dockerconfigjson"}},
                 {"kubernetes.io/tls", {"tls.crt", "tls.key"}}};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (!cstr_eq(s->type, types[i].type))
            continue;
        for (int k = 0; k < 2 && types[i].keys[k]; k++) {
            if (!secret_data(s, types[i].keys[k]))
                err_required(e, KEY(AT(NULL, "data"), types[i].keys[k]), "");
        }
    }
    if (cstr_eq(s->type, "kubernetes.io/dockercfg"))
        check_docker_config(e, s, ".dockercfg");
    if (cstr_eq(s->type, "kubernetes.io/dockerconfigjson"))
        check_docker_config(e, s, ".dockerconfigjson");
    const Meta__V1__BytesEntry *key = secret_data(s, "ssh-privatekey");
    if (cstr_eq(s->type, "kubernetes.io/ssh-auth") && (!key || key->value.len == 0))
        err_required(e, KEY(AT(NULL, "data"), "ssh-privatekey"), "");
    if (cstr_eq(s->type, "kubernetes.io/basic-auth") && !secret_data(s, "username") &&
        !secret_data(s, "password")) { /* either may be left out, or empty */
        err_required(e, KEY(AT(NULL, "data"), "username"), "");
        err_required(e, KEY(AT(NULL, "data"), "password"), "");
    }
    const char *account = annotations_get(s->metadata, "kubernetes.io/service-account.name");
    if (cstr_eq(s->type, "kubernetes.io/service-account-token") && !(account && *account))
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

/* --- leases and bindings ---------------------------------------------------------------------------------- */

static void validate_lease(const void *object, struct field_errors *e)
{
    const Coordination__V1__LeaseSpec *spec = ((const Coordination__V1__Lease *)object)->spec;
    if (spec->has_lease_duration_seconds && spec->lease_duration_seconds <= 0)
        err_invalid_int(e, AT(SPEC, "leaseDurationSeconds"), spec->lease_duration_seconds,
                        "must be greater than 0");
    if (spec->has_lease_transitions)
        check_non_negative(e, AT(SPEC, "leaseTransitions"), spec->lease_transitions);
    const struct path *strategy = AT(AT(SPEC, "strategy"), "strategy"); /* as published */
    if (spec->strategy && strchr(spec->strategy, '/'))
        check_string(e, strategy, spec->strategy, validate_qualified_name);
    else if (spec->strategy)
        check_one_of(e, strategy, spec->strategy, ONE_OF("OldestEmulationVersion"));
    if (spec->preferred_holder && *spec->preferred_holder && (!spec->strategy || !*spec->strategy))
        err_forbidden(e, AT(SPEC, "preferredHolder"),
                      "may only be specified if `strategy` is defined");
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
    {.message = Core__V1__Binding__SCHEMA, .create = validate_binding},
    {.message = Coordination__V1__Lease__SCHEMA, .create = validate_lease},
};
const struct rule_table core_rules = RULE_TABLE(rows);
