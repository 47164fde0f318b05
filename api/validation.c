/*
 * Field errors, the Status they become, metadata rules, and the table of kinds.
 */
#include "api/validation.h"
#include "api/codec.h"
#include "api/meta.h"
#include "api/validation_internal.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

#define ANNOTATIONS_SIZE_MAX (256 * 1024)

/* --- errors ------------------------------------------------------------------------------------- */

static const char *const type_texts[] = {
    [FIELD_REQUIRED] = "Required value",
    [FIELD_INVALID] = "Invalid value",
    [FIELD_NOT_SUPPORTED] = "Unsupported value",
    [FIELD_DUPLICATE] = "Duplicate value",
    [FIELD_FORBIDDEN] = "Forbidden",
    [FIELD_NOT_FOUND] = "Not found",
    [FIELD_TOO_LONG] = "Too long",
    [FIELD_TOO_MANY] = "Too many",
    [FIELD_INTERNAL] = "Internal error",
};

static const char *const type_reasons[] = {
    [FIELD_REQUIRED] = "FieldValueRequired",
    [FIELD_INVALID] = "FieldValueInvalid",
    [FIELD_NOT_SUPPORTED] = "FieldValueNotSupported",
    [FIELD_DUPLICATE] = "FieldValueDuplicate",
    [FIELD_FORBIDDEN] = "FieldValueForbidden",
    [FIELD_NOT_FOUND] = "FieldValueNotFound",
    [FIELD_TOO_LONG] = "FieldValueTooLong",
    [FIELD_TOO_MANY] = "FieldValueTooMany",
    [FIELD_INTERNAL] = "InternalError",
};

const char *field_quote(struct arena *a, const char *s)
{
    struct buf b;
    buf_init(&b);
    buf_append_json_string(&b, str_from(s));
    const char *out = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return out;
}

void field_error_add(struct field_errors *e, enum field_error_type type, const char *field,
                     const char *bad, const char *format, ...)
{
    if (e->len >= FIELD_ERRORS_MAX)
        return;
    if (e->len == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 8;
        e->items =
            arena_grow(e->arena, e->items, e->cap * sizeof *e->items, cap * sizeof *e->items);
        e->cap = cap;
    }
    va_list args;
    va_start(args, format);
    const char *detail = arena_vprintf(e->arena, format, args);
    va_end(args);
    const char *text = arena_printf(e->arena, "%s%s%s%s%s", type_texts[type], bad ? ": " : "",
                                    bad ? bad : "", *detail ? ": " : "", detail);
    e->items[e->len++] = (struct field_error){type, arena_strdup(e->arena, field), text};
}

void field_errors_message(const struct field_errors *e, struct buf *out)
{
    if (e->len > 1)
        buf_append_char(out, '[');
    for (size_t i = 0; i < e->len; i++) {
        if (i)
            buf_append_cstr(out, ", ");
        buf_printf(out, "%s: %s", e->items[i].field, e->items[i].detail);
    }
    if (e->len > 1)
        buf_append_char(out, ']');
}

Meta__V1__Status *field_errors_status(struct arena *a, const struct field_errors *e,
                                      const struct resource *r, const char *name)
{
    struct buf text;
    buf_init(&text);
    field_errors_message(e, &text);
    Meta__V1__Status *status =
        status_failure(a, 422, "Invalid", r->group, r->kind, name, "%s%s%s \"%s\" is invalid: %s",
                       r->kind, *r->group ? "." : "", r->group, name, buf_cstr(&text));
    buf_free(&text);
    if (!status->details)
        status->details = api_new(a, Meta__V1__StatusDetails);
    status->details->causes = arena_array(a, Meta__V1__StatusCause *, e->len);
    status->details->n_causes = e->len;
    for (size_t i = 0; i < e->len; i++) {
        Meta__V1__StatusCause *cause = api_new(a, Meta__V1__StatusCause);
        cause->reason = (char *)type_reasons[e->items[i].type];
        cause->message = (char *)e->items[i].detail;
        cause->field = (char *)e->items[i].field;
        status->details->causes[i] = cause;
    }
    return status;
}

/* --- errors at paths ----------------------------------------------------------------------------- */

static void path_print(struct buf *out, const struct path *p)
{
    if (!p)
        return;
    path_print(out, p->up);
    if (!p->name)
        buf_printf(out, "[%zu]", p->index);
    else if (p->key)
        buf_printf(out, "[%s]", p->name);
    else
        buf_printf(out, "%s%s", out->len ? "." : "", p->name);
}

static void add(struct field_errors *e, enum field_error_type type, const struct path *at,
                const char *bad, const char *detail)
{
    struct buf path;
    buf_init(&path);
    path_print(&path, at);
    field_error_add(e, type, buf_cstr(&path), bad, "%s", detail);
    buf_free(&path);
}

void err_required(struct field_errors *e, const struct path *at, const char *detail)
{
    add(e, FIELD_REQUIRED, at, NULL, detail);
}

void err_invalid(struct field_errors *e, const struct path *at, const char *value,
                 const char *detail)
{
    add(e, FIELD_INVALID, at, field_quote(e->arena, value ? value : ""), detail);
}

void err_invalid_int(struct field_errors *e, const struct path *at, int64_t value,
                     const char *detail)
{
    add(e, FIELD_INVALID, at, arena_printf(e->arena, "%lld", (long long)value), detail);
}

void err_invalid_raw(struct field_errors *e, const struct path *at, const char *value,
                     const char *detail)
{
    add(e, FIELD_INVALID, at, value, detail);
}

void err_invalid_object(struct field_errors *e, const struct path *at, const void *object,
                        const char *detail)
{
    struct buf json;
    buf_init(&json);
    if (object)
        json_encode(object, JSON_NO_TYPE_META, &json);
    else
        buf_append_cstr(&json, "null");
    add(e, FIELD_INVALID, at, arena_strndup(e->arena, json.data, MIN(json.len, 2000)), detail);
    buf_free(&json);
}

void err_duplicate(struct field_errors *e, const struct path *at, const char *value)
{
    add(e, FIELD_DUPLICATE, at, field_quote(e->arena, value), "");
}

void err_forbidden(struct field_errors *e, const struct path *at, const char *detail)
{
    add(e, FIELD_FORBIDDEN, at, NULL, detail);
}

void err_not_found(struct field_errors *e, const struct path *at, const char *value)
{
    add(e, FIELD_NOT_FOUND, at, field_quote(e->arena, value), "");
}

void err_too_long(struct field_errors *e, const struct path *at, size_t max)
{
    add(e, FIELD_TOO_LONG, at, NULL, arena_printf(e->arena, "may not be more than %zu bytes", max));
}

void err_not_supported(struct field_errors *e, const struct path *at, const char *value,
                       const char *const *allowed)
{
    struct buf list;
    buf_init(&list);
    buf_append_cstr(&list, "supported values: ");
    for (size_t i = 0; allowed[i]; i++)
        buf_printf(&list, "%s\"%s\"", i ? ", " : "", allowed[i]);
    add(e, FIELD_NOT_SUPPORTED, at, field_quote(e->arena, value ? value : ""), buf_cstr(&list));
    buf_free(&list);
}

/* --- common checks -------------------------------------------------------------------------------- */

bool check_string(struct field_errors *e, const struct path *at, const char *value,
                  const char *(*rule)(const char *))
{
    const char *message = rule(value);
    if (message)
        err_invalid(e, at, value, message);
    return !message;
}

bool check_one_of(struct field_errors *e, const struct path *at, const char *value,
                  const char *const *allowed)
{
    for (size_t i = 0; allowed[i]; i++) {
        if (cstr_eq(value, allowed[i]))
            return true;
    }
    err_not_supported(e, at, value, allowed);
    return false;
}

bool check_required_one_of(struct field_errors *e, const struct path *at, const char *value,
                           const char *const *allowed)
{
    return check_required(e, at, value) && check_one_of(e, at, value, allowed);
}

bool check_non_negative(struct field_errors *e, const struct path *at, int64_t value)
{
    if (value < 0)
        err_invalid_int(e, at, value, NON_NEGATIVE);
    return value >= 0;
}

bool check_required(struct field_errors *e, const struct path *at, const char *value)
{
    bool present = value && *value;
    if (!present)
        err_required(e, at, "");
    return present;
}

void check_labels(struct field_errors *e, const struct path *at, StringEntry *const *labels,
                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_string(e, at, labels[i]->key, validate_qualified_name);
        check_string(e, at, labels[i]->value, validate_label_value);
    }
}

void check_annotations(struct field_errors *e, const struct path *at, StringEntry *const *items,
                       size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        char lower[512];
        size_t len = strlen(items[i]->key);
        total += len + strlen(items[i]->value);
        for (size_t k = 0; k <= len && k < sizeof lower; k++) {
            char c = items[i]->key[k];
            lower[k] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        lower[sizeof lower - 1] = 0;
        const char *message = validate_qualified_name(lower);
        if (message)
            err_invalid(e, at, items[i]->key, message);
    }
    if (total > ANNOTATIONS_SIZE_MAX)
        err_too_long(e, at, ANNOTATIONS_SIZE_MAX);
}

static void check_requirement(struct field_errors *e, const struct path *at,
                              const Meta__V1__LabelSelectorRequirement *r)
{
    bool list = cstr_eq(r->operator_, "In") || cstr_eq(r->operator_, "NotIn");
    bool none = cstr_eq(r->operator_, "Exists") || cstr_eq(r->operator_, "DoesNotExist");
    if (list && r->n_values == 0)
        err_required(e, AT(at, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
    if (none && r->n_values > 0)
        err_forbidden(e, AT(at, "values"),
                      "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    if (!list && !none)
        err_invalid(e, AT(at, "operator"), r->operator_, "not a valid selector operator");
    check_string(e, AT(at, "key"), r->key, validate_qualified_name);
    for (size_t i = 0; i < r->n_values; i++)
        check_string(e, ITEM(AT(at, "values"), i), r->values[i], validate_label_value);
}

void check_label_selector(struct field_errors *e, const struct path *at,
                          const Meta__V1__LabelSelector *s)
{
    if (!s)
        return;
    check_labels(e, AT(at, "matchLabels"), s->match_labels, s->n_match_labels);
    for (size_t i = 0; i < s->n_match_expressions; i++)
        check_requirement(e, ITEM(AT(at, "matchExpressions"), i), s->match_expressions[i]);
}

void check_int_or_percent(struct field_errors *e, const struct path *at,
                          const Meta__V1__IntOrString *v)
{
    int64_t number;
    if (!v)
        return;
    if (v->type == 0) {
        check_non_negative(e, at, v->int_val);
        return;
    }
    struct str s = str_from(v->str_val);
    if (!str_has_suffix(s, STR("%")) || !str_to_u64(str_slice(s, 0, s.n - 1), &(uint64_t){0}) ||
        !str_to_i64(str_slice(s, 0, s.n - 1), &number))
        err_invalid(
            e, at, v->str_val,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
            "'1%',  or '93%', regex used for validation is '[0-9]+%')");
}

void check_port_number(struct field_errors *e, const struct path *at, int64_t port)
{
    const char *message = validate_port_number(port);
    if (message)
        err_invalid_int(e, at, port, message);
}

void check_port_ref(struct field_errors *e, const struct path *at,
                    const Meta__V1__IntOrString *port)
{
    if (port->type == 0)
        check_port_number(e, at, port->int_val);
    else
        check_string(e, at, port->str_val, validate_port_name);
}

/* --- metadata ------------------------------------------------------------------------------------- */

static void check_owner(struct field_errors *e, const struct path *at,
                        const Meta__V1__OwnerReference *o)
{
    struct str group, version;
    api_version_split(str_from(o->api_version), &group, &version);
    if (version.n == 0)
        err_invalid(e, AT(at, "apiVersion"), o->api_version, "version must not be empty");
    if (!*o->kind)
        err_invalid(e, AT(at, "kind"), o->kind, "must not be empty");
    if (!*o->name)
        err_invalid(e, AT(at, "name"), o->name, "must not be empty");
    if (!*o->uid)
        err_invalid(e, AT(at, "uid"), o->uid, "must not be empty");
}

static void check_owners(struct field_errors *e, const struct path *at,
                         const Meta__V1__ObjectMeta *meta)
{
    size_t controllers = 0;
    for (size_t i = 0; i < meta->n_owner_references; i++) {
        check_owner(e, ITEM(at, i), meta->owner_references[i]);
        controllers +=
            meta->owner_references[i]->has_controller && meta->owner_references[i]->controller;
    }
    if (controllers > 1)
        err_invalid(e, at, "", "Only one reference can have Controller set to true");
}

static void check_finalizers(struct field_errors *e, const struct path *at,
                             const Meta__V1__ObjectMeta *meta)
{
    bool orphan = has_finalizer(meta, "orphan"),
         foreground = has_finalizer(meta, "foregroundDeletion");
    for (size_t i = 0; i < meta->n_finalizers; i++)
        check_string(e, at, meta->finalizers[i], validate_qualified_name);
    if (orphan && foreground)
        err_invalid(e, at, "foregroundDeletion",
                    "finalizer orphan and foregroundDeletion cannot be both set");
}

static void check_meta(const Meta__V1__ObjectMeta *meta, const struct resource *r, bool namespaced,
                       const struct path *at, struct field_errors *e)
{
    const char *message;
    if (*meta->generate_name && (message = validate_name_of(r, meta->generate_name, true)))
        err_invalid(e, AT(at, "generateName"), meta->generate_name, message);
    if (!*meta->name)
        err_required(e, AT(at, "name"), "name or generateName is required");
    else if ((message = validate_name_of(r, meta->name, false)))
        err_invalid(e, AT(at, "name"), meta->name, message);
    if (namespaced && !*meta->namespace_)
        err_required(e, AT(at, "namespace"), "");
    else if (namespaced)
        check_string(e, AT(at, "namespace"), meta->namespace_, validate_dns1123_label);
    else if (*meta->namespace_)
        err_forbidden(e, AT(at, "namespace"), "not allowed on this type");
    if (meta->generation < 0)
        err_invalid_int(e, AT(at, "generation"), meta->generation, NON_NEGATIVE);
    check_labels(e, AT(at, "labels"), meta->labels, meta->n_labels);
    check_annotations(e, AT(at, "annotations"), meta->annotations, meta->n_annotations);
    check_owners(e, AT(at, "ownerReferences"), meta);
    check_finalizers(e, AT(at, "finalizers"), meta);
}

void validate_object_meta(const Meta__V1__ObjectMeta *meta, bool namespaced, const char *path,
                          struct field_errors *e)
{
    check_meta(meta, NULL, namespaced, AT(NULL, path), e);
}

static void check_meta_update(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *old,
                              struct field_errors *e)
{
    const struct path *at = AT(NULL, "metadata");
    if (!cstr_eq(meta->name, old->name))
        err_invalid(e, AT(at, "name"), meta->name, IMMUTABLE);
    if (!cstr_eq(meta->namespace_, old->namespace_))
        err_invalid(e, AT(at, "namespace"), meta->namespace_, IMMUTABLE);
    if (!cstr_eq(meta->uid, old->uid))
        err_invalid(e, AT(at, "uid"), meta->uid, IMMUTABLE);
    if (time_ns(meta->creation_timestamp) != time_ns(old->creation_timestamp))
        err_invalid(e, AT(at, "creationTimestamp"), time_text(e->arena, meta->creation_timestamp),
                    IMMUTABLE);
    if (time_ns(meta->deletion_timestamp) != time_ns(old->deletion_timestamp))
        err_invalid(e, AT(at, "deletionTimestamp"), time_text(e->arena, meta->deletion_timestamp),
                    IMMUTABLE);
    if (meta->generation < old->generation)
        err_invalid_int(e, AT(at, "generation"), meta->generation, "must not be decremented");
    if (time_is_zero(old->deletion_timestamp))
        return;
    for (size_t i = 0; i < meta->n_finalizers; i++) {
        if (!has_finalizer(old, meta->finalizers[i]))
            err_forbidden(e, AT(at, "finalizers"),
                          "no new finalizers can be added if the object is being deleted");
    }
}

/* --- the table ------------------------------------------------------------------------------------ */

struct kind_rules {
    int message;
    void (*create)(const void *object, struct field_errors *e);
    void (*update)(const void *object, const void *old, struct field_errors *e);
    void (*status)(const void *object, const void *old, struct field_errors *e);
};

static const struct kind_rules kinds[] = {
    {Core__V1__Pod__SCHEMA, validate_pod, validate_pod_update, validate_pod_status_update},
    {Apps__V1__Deployment__SCHEMA, validate_deployment, validate_deployment_update, NULL},
    {Apps__V1__ReplicaSet__SCHEMA, validate_replica_set, validate_replica_set_update, NULL},
    {Apps__V1__DaemonSet__SCHEMA, validate_daemon_set, validate_daemon_set_update, NULL},
    {Apps__V1__StatefulSet__SCHEMA, validate_stateful_set, validate_stateful_set_update, NULL},
    {Batch__V1__Job__SCHEMA, validate_job, validate_job_update, NULL},
    {Batch__V1__CronJob__SCHEMA, validate_cron_job, NULL, NULL},
    {Autoscaling__V1__Scale__SCHEMA, validate_scale, NULL, NULL},
    {Core__V1__Service__SCHEMA, validate_service, validate_service_update, NULL},
    {Core__V1__ConfigMap__SCHEMA, validate_config_map, validate_config_map_update, NULL},
    {Core__V1__Secret__SCHEMA, validate_secret, validate_secret_update, NULL},
    {Core__V1__Node__SCHEMA, validate_node, validate_node_update, NULL},
    {Core__V1__Event__SCHEMA, validate_event, NULL, NULL},
    {Core__V1__Binding__SCHEMA, validate_binding, NULL, NULL},
    {Discovery__V1__EndpointSlice__SCHEMA, validate_endpoint_slice, validate_endpoint_slice_update,
     NULL},
    {Coordination__V1__Lease__SCHEMA, validate_lease, NULL, NULL},
    {Rbac__V1__Role__SCHEMA, validate_role, NULL, NULL},
    {Rbac__V1__ClusterRole__SCHEMA, validate_cluster_role, NULL, NULL},
    {Rbac__V1__RoleBinding__SCHEMA, validate_role_binding, validate_role_binding_update, NULL},
    {Rbac__V1__ClusterRoleBinding__SCHEMA, validate_cluster_role_binding,
     validate_cluster_role_binding_update, NULL},
};

static const struct kind_rules *rules_of(const void *object)
{
    int id = schema_of(object)->id;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (kinds[i].message == id)
            return &kinds[i];
    }
    return NULL;
}

/* Names of bindings, reviews and scales are the business of what they are about. */
static bool has_own_name(const struct resource *r, const void *object)
{
    return r && schema_of(object)->id == r->message && *r->storage_prefix;
}

void validate_create(const struct resource *r, const void *object, struct field_errors *e)
{
    const struct kind_rules *rules = rules_of(object);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    if (meta && has_own_name(r, object))
        check_meta(meta, r, r->namespaced, AT(NULL, "metadata"), e);
    if (rules && rules->create)
        rules->create(object, e);
}

void validate_update(const struct resource *r, const void *object, const void *old,
                     struct field_errors *e)
{
    const struct kind_rules *rules = rules_of(object);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    if (meta && has_own_name(r, object)) {
        check_meta(meta, r, r->namespaced, AT(NULL, "metadata"), e);
        check_meta_update(meta, object_meta(old), e);
    }
    if (rules && rules->create)
        rules->create(object, e);
    if (rules && rules->update)
        rules->update(object, old, e);
}

void validate_update_status(const struct resource *r, const void *object, const void *old,
                            struct field_errors *e)
{
    const struct kind_rules *rules = rules_of(object);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    if (meta && has_own_name(r, object)) {
        check_meta(meta, r, r->namespaced, AT(NULL, "metadata"), e);
        check_meta_update(meta, object_meta(old), e);
    }
    if (rules && rules->status)
        rules->status(object, old, e);
}
