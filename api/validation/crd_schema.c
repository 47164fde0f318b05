/*
 * Schemas of CustomResourceDefinitions: they must be structural (every value has one type, said in one
 * place; junctors only restrict), complete, and their defaults must be valid by themselves.
 */
#include "api/structural/internal.h"
#include "api/validation/crd.h"
#include <stdlib.h>

enum level { ROOT, ITEMS_LEVEL, FIELD_LEVEL };

static const Props *items_of(const Props *p)
{
    return p->items ? p->items->schema : NULL;
}

static const Props *additional_of(const Props *p)
{
    return p->additional_properties ? p->additional_properties->schema : NULL;
}

static const Props *property_of(const Props *p, const char *name)
{
    for (size_t i = 0; i < p->n_properties; i++)
        if (cstr_eq(p->properties[i]->key, name))
            return p->properties[i]->value;
    return NULL;
}

static bool preserves(const Props *p)
{
    return p->has_x_kubernetes_preserve_unknown_fields && p->x_kubernetes_preserve_unknown_fields;
}

static bool has_default(const Props *p)
{
    return p->default_ && p->default_->has_raw && p->default_->raw.len > 0;
}

/* ---- structure: what a schema node may say ---- */

/* Nothing but this type. */
static bool only_type(const Props *p, const char *type)
{
    struct buf b;
    char wanted[32];
    buf_init(&b);
    json_encode(p, JSON_NO_TYPE_META, &b);
    snprintf(wanted, sizeof wanted, "{\"type\":\"%s\"}", type);
    bool same = str_eqz(buf_str(&b), wanted);
    buf_free(&b);
    return same;
}

/* The one place where junctors may speak of types: anyOf integer, string. */
static bool is_int_or_string(Props *const *any_of, size_t n)
{
    return n == 2 && only_type(any_of[0], "integer") && only_type(any_of[1], "string");
}

static void check_values(struct field_errors *e, const struct path *at, const Props *p, bool nested,
                         bool skip_any_of, bool skip_first_all_of);

static void forbid(struct field_errors *e, const struct path *at, const char *name, bool present,
                   const char *detail)
{
    if (present)
        err_forbidden(e, AT(at, name), detail);
}

/* Below a junctor a schema restricts values and says nothing about structure. */
static void check_nested(struct field_errors *e, const struct path *at, const Props *p,
                         bool skip_any_of)
{
    if (!p)
        return;
    check_values(e, at, p, true, skip_any_of, false);
    check_nested(e, AT(at, "items"), items_of(p), false);
    for (size_t i = 0; i < p->n_properties; i++)
        check_nested(e, KEY(AT(at, "properties"), p->properties[i]->key), p->properties[i]->value,
                     false);
    forbid(e, at, "type", *p->type, "must be empty to be structural");
    forbid(e, at, "additionalProperties", p->additional_properties,
           "must be undefined to be structural");
    forbid(e, at, "default", has_default(p), "must be undefined to be structural");
    forbid(e, at, "title", *p->title, "must be empty to be structural");
    forbid(e, at, "description", *p->description, "must be empty to be structural");
    forbid(e, at, "nullable", p->nullable, "must be false to be structural");
    forbid(e, at, "x-kubernetes-preserve-unknown-fields", preserves(p),
           "must be false to be structural");
    forbid(e, at, "x-kubernetes-embedded-resource", p->x_kubernetes_embedded_resource,
           "must be false to be structural");
    forbid(e, at, "x-kubernetes-int-or-string", p->x_kubernetes_int_or_string,
           "must be false to be structural");
    forbid(e, at, "x-kubernetes-list-map-keys", p->n_x_kubernetes_list_map_keys,
           "must be empty to be structural");
    forbid(e, at, "x-kubernetes-list-type", p->x_kubernetes_list_type,
           "must be undefined to be structural");
    forbid(e, at, "x-kubernetes-map-type", p->x_kubernetes_map_type,
           "must be undefined to be structural");
    forbid(e, at, "x-kubernetes-validations", p->n_x_kubernetes_validations,
           "must be empty to be structural");
    if (property_of(p, "metadata"))
        err_forbidden(e, KEY(AT(at, "properties"), "metadata"),
                      "must not be specified in a nested context");
}

static void check_values(struct field_errors *e, const struct path *at, const Props *p, bool nested,
                         bool skip_any_of, bool skip_first_all_of)
{
    struct error err;
    (void)nested;
    for (size_t i = 0; i < p->n_any_of && !skip_any_of; i++)
        check_nested(e, ITEM(AT(at, "anyOf"), i), p->any_of[i], false);
    for (size_t i = 0; i < p->n_all_of; i++)
        check_nested(e, ITEM(AT(at, "allOf"), i), p->all_of[i], skip_first_all_of && i == 0);
    for (size_t i = 0; i < p->n_one_of; i++)
        check_nested(e, ITEM(AT(at, "oneOf"), i), p->one_of[i], false);
    check_nested(e, AT(at, "not"), p->not_, false);
    if (!*p->pattern)
        return;
    struct structural_pattern *compiled = structural_pattern_new(p->pattern, &err);
    if (!compiled)
        err_invalid(e, AT(at, "pattern"), p->pattern,
                    arena_printf(e->arena, "must be a valid regular expression, but isn't: %s",
                                 err.message));
    structural_pattern_free(compiled);
}

/* Metadata of the root: what is there may only restrict the name. */
static bool metadata_is_plain(const Props *p)
{
    struct buf b;
    bool names = true;
    buf_init(&b);
    for (size_t i = 0; i < p->n_properties; i++)
        names &= is_one_of(p->properties[i]->key, ONE_OF("generateName", "name"));
    Props plain = *p;
    plain.n_properties = 0;
    plain.type = (char *)"object";
    plain.default_ = NULL; /* refused elsewhere */
    json_encode(&plain, JSON_NO_TYPE_META, &b);
    bool same = names && str_eqz(buf_str(&b), "{\"type\":\"object\"}");
    buf_free(&b);
    return same;
}

static void check_meta_properties(struct field_errors *e, const struct path *at, const Props *p,
                                  enum level level)
{
    const struct path *props = AT(at, "properties");
    bool resource = level == ROOT || p->x_kubernetes_embedded_resource;
    const Props *kind = property_of(p, "kind"), *version = property_of(p, "apiVersion"),
                *metadata = property_of(p, "metadata");
    if (resource && kind && !cstr_eq(kind->type, "string"))
        err_invalid(e, AT(KEY(props, "kind"), "type"), kind->type, "must be string");
    if (resource && version && !cstr_eq(version->type, "string"))
        err_invalid(e, AT(KEY(props, "apiVersion"), "type"), version->type, "must be string");
    if (resource && metadata && !cstr_eq(metadata->type, "object"))
        err_invalid(e, AT(KEY(props, "metadata"), "type"), metadata->type, "must be object");
    if (level == ROOT && metadata && !metadata_is_plain(metadata))
        err_forbidden(e, KEY(props, "metadata"),
                      "must not specify anything other than name and generateName, but metadata is "
                      "implicitly specified");
}

static void check_type(struct field_errors *e, const struct path *at, const Props *p,
                       enum level level)
{
    static const char *const missing[] = {"must not be empty at the root",
                                          "must not be empty for specified array items",
                                          "must not be empty for specified object fields"};
    const struct path *type = AT(at, "type");
    if (p->x_kubernetes_embedded_resource && !cstr_eq(p->type, "object")) {
        if (*p->type)
            err_invalid(e, type, p->type,
                        "must be object if x-kubernetes-embedded-resource is true");
        else
            err_required(e, type, "must be object if x-kubernetes-embedded-resource is true");
    } else if (!*p->type && !p->x_kubernetes_int_or_string && !preserves(p)) {
        err_required(e, type, missing[level]);
    }
    if (level == ROOT && *p->type && !cstr_eq(p->type, "object"))
        err_invalid(e, type, p->type, "must be object at the root");
}

static void check_structure(struct field_errors *e, const struct path *at, const Props *p,
                            enum level level)
{
    if (!p)
        return;
    if (cstr_eq(p->type, "array") && !items_of(p))
        err_required(e, AT(at, "items"), "must be specified");
    check_structure(e, AT(at, "items"), items_of(p), ITEMS_LEVEL);
    for (size_t i = 0; i < p->n_properties; i++)
        check_structure(e, KEY(AT(at, "properties"), p->properties[i]->key),
                        p->properties[i]->value, FIELD_LEVEL);
    if (p->additional_properties && level == ROOT)
        err_forbidden(e, AT(at, "additionalProperties"), "must not be used at the root");
    check_structure(e, AT(at, "additionalProperties"), additional_of(p), FIELD_LEVEL);
    if (p->x_kubernetes_int_or_string && preserves(p))
        err_invalid_raw(e, AT(at, "x-kubernetes-preserve-unknown-fields"), "true",
                        "must be false if x-kubernetes-int-or-string is true");
    if (p->x_kubernetes_int_or_string && p->x_kubernetes_embedded_resource)
        err_invalid_raw(e, AT(at, "x-kubernetes-embedded-resource"), "true",
                        "must be false if x-kubernetes-int-or-string is true");
    bool all_of = p->n_all_of && is_int_or_string(p->all_of[0]->any_of, p->all_of[0]->n_any_of);
    check_values(e, at, p, false, is_int_or_string(p->any_of, p->n_any_of), all_of);
    check_type(e, at, p, level);
    if (p->x_kubernetes_embedded_resource && p->additional_properties)
        err_forbidden(e, AT(at, "additionalProperties"),
                      "must not be used if x-kubernetes-embedded-resource is set");
    check_meta_properties(e, at, p, level);
    if (p->x_kubernetes_embedded_resource && !preserves(p) && p->n_properties == 0)
        err_required(e, AT(at, "properties"),
                     "must not be empty if x-kubernetes-embedded-resource is true without "
                     "x-kubernetes-preserve-unknown-fields");
}

/* ---- completeness: what junctors restrict is there ---- */

static void check_complete(struct field_errors *e, const Props *v, const Props *s,
                           const struct path *s_at, const struct path *v_at);

static void check_junctors_complete(struct field_errors *e, const Props *v, const Props *s,
                                    const struct path *s_at, const struct path *v_at)
{
    check_complete(e, v->not_, s, s_at, AT(v_at, "not"));
    for (size_t i = 0; i < v->n_all_of; i++)
        check_complete(e, v->all_of[i], s, s_at, ITEM(AT(v_at, "allOf"), i));
    for (size_t i = 0; i < v->n_any_of; i++)
        check_complete(e, v->any_of[i], s, s_at, ITEM(AT(v_at, "anyOf"), i));
    for (size_t i = 0; i < v->n_one_of; i++)
        check_complete(e, v->one_of[i], s, s_at, ITEM(AT(v_at, "oneOf"), i));
}

static void missing(struct field_errors *e, const struct path *s_at, const struct path *v_at)
{
    err_required(e, s_at,
                 arena_printf(e->arena, "because it is defined in %s", path_text(e->arena, v_at)));
}

static void check_complete(struct field_errors *e, const Props *v, const Props *s,
                           const struct path *s_at, const struct path *v_at)
{
    if (!v)
        return;
    if (!s) {
        missing(e, s_at, v_at);
        return;
    }
    check_junctors_complete(e, v, s, s_at, v_at);
    check_complete(e, items_of(v), items_of(s), AT(s_at, "items"), AT(v_at, "items"));
    for (size_t i = 0; i < v->n_properties; i++) {
        const char *name = v->properties[i]->key;
        check_complete(e, v->properties[i]->value, property_of(s, name),
                       KEY(AT(s_at, "properties"), name), KEY(AT(v_at, "properties"), name));
    }
}

/* ---- defaults ---- */

static void check_default(struct field_errors *e, const struct path *at, const Props *p)
{
    struct structural *s;
    struct error err;
    yyjson_mut_doc *doc = json_doc_new(e->arena);
    if (structural_new(e->arena, p, &s, &err) < 0) {
        err_invalid(e, at, "", err.message);
        return;
    }
    if (s->default_value) {
        yyjson_mut_val *value = yyjson_val_mut_copy(doc, s->default_value);
        yyjson_mut_val *pruned = yyjson_val_mut_copy(doc, s->default_value);
        const char *path = path_text(e->arena, AT(at, "default"));
        size_t before = e->len;
        if (s->embedded_resource)
            structural_prune(pruned, s, NULL, NULL);
        else
            structural_prune_value(pruned, s);
        if (!mut_equal(value, pruned))
            err_invalid_raw(e, AT(at, "default"), s->default_json, "must not have unknown fields");
        structural_validate_embedded(s, value, path, e);
        if (e->len == before)
            structural_validate(s, value, NULL, path, e);
    }
    structural_free(s);
}

static void check_defaults(struct field_errors *e, const struct path *at, const Props *p)
{
    if (!p)
        return;
    if (has_default(p))
        check_default(e, at, p);
    check_defaults(e, AT(at, "items"), items_of(p));
    for (size_t i = 0; i < p->n_properties; i++)
        check_defaults(e, KEY(AT(at, "properties"), p->properties[i]->key),
                       p->properties[i]->value);
}

static bool any_default(Props *const *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (crd_schema_has_default(all[i]))
            return true;
    return false;
}

bool crd_schema_has_default(const Props *p)
{
    if (!p)
        return false;
    if (has_default(p) || crd_schema_has_default(items_of(p)) ||
        crd_schema_has_default(additional_of(p)) || crd_schema_has_default(p->not_))
        return true;
    if (any_default(p->all_of, p->n_all_of) || any_default(p->any_of, p->n_any_of) ||
        any_default(p->one_of, p->n_one_of))
        return true;
    for (size_t i = 0; i < p->n_properties; i++)
        if (crd_schema_has_default(p->properties[i]->value))
            return true;
    return false;
}

/* ---- every node by itself, junctors included ---- */

struct context {
    bool inside_meta;
    const char *no_defaults; /* why; NULL: they are allowed */
};

static void check_unsupported(struct field_errors *e, const struct path *at, const Props *p,
                              const struct context *c)
{
    static const char *const types[] = {"array",  "boolean", "integer", "null",
                                        "number", "object",  "string",  NULL};
    if (*p->type)
        check_one_of(e, AT(at, "type"), p->type, types);
    if (has_default(p) && c->no_defaults)
        err_forbidden(e, AT(at, "default"),
                      arena_printf(e->arena, "must not be set %s", c->no_defaults));
    forbid(e, at, "id", *p->id, "id is not supported");
    forbid(e, at, "additionalItems", p->additional_items, "additionalItems is not supported");
    forbid(e, at, "patternProperties", p->n_pattern_properties,
           "patternProperties is not supported");
    forbid(e, at, "definitions", p->n_definitions, "definitions is not supported");
    forbid(e, at, "dependencies", p->n_dependencies, "dependencies is not supported");
    forbid(e, at, "$ref", p->ref, "$ref is not supported");
    forbid(e, at, "type", cstr_eq(p->type, "null"),
           "type cannot be set to null, use nullable as an alternative");
    forbid(e, at, "items", p->items && p->items->n_json_schemas,
           "items must be a schema object and not an array");
    forbid(e, at, "x-kubernetes-embedded-resource",
           c->inside_meta && p->x_kubernetes_embedded_resource,
           "must not be used inside of resource meta");
    forbid(e, at, "uniqueItems", p->unique_items,
           "uniqueItems cannot be set to true since the runtime complexity becomes quadratic");
    if (p->has_x_kubernetes_preserve_unknown_fields && !p->x_kubernetes_preserve_unknown_fields)
        err_invalid_raw(e, AT(at, "x-kubernetes-preserve-unknown-fields"), "false",
                        "must be true or undefined");
}

static void check_map_type(struct field_errors *e, const struct path *at, const Props *p)
{
    const char *why = "must be object if x-kubernetes-map-type is specified";
    if (!p->x_kubernetes_map_type)
        return;
    if (!*p->type)
        err_required(e, AT(at, "type"), why);
    else if (!cstr_eq(p->type, "object"))
        err_invalid(e, AT(at, "type"), p->type, why);
    check_one_of(e, AT(at, "x-kubernetes-map-type"), p->x_kubernetes_map_type,
                 ONE_OF("atomic", "granular"));
}

/* The keys of a list map: scalars of the items, each there for sure. */
static void check_list_keys(struct field_errors *e, const struct path *at, const Props *p)
{
    const Props *items = items_of(p);
    for (size_t i = 0; i < p->n_x_kubernetes_list_map_keys; i++) {
        const char *key = p->x_kubernetes_list_map_keys[i];
        const Props *field = property_of(items, key);
        const struct path *field_at = KEY(AT(AT(at, "items"), "properties"), key);
        if (!field)
            err_invalid_list(e, AT(at, "x-kubernetes-list-map-keys"), p->x_kubernetes_list_map_keys,
                             p->n_x_kubernetes_list_map_keys,
                             "entries must all be names of item properties");
        else if (is_one_of(field->type, ONE_OF("array", "object")))
            err_invalid(e, AT(field_at, "type"), items->type,
                        "must be a scalar type if parent array's x-kubernetes-list-type is map");
        if (string_list_has(p->x_kubernetes_list_map_keys, i, key))
            err_invalid_list(e, AT(at, "x-kubernetes-list-map-keys"), p->x_kubernetes_list_map_keys,
                             p->n_x_kubernetes_list_map_keys, "must not contain duplicate entries");
        if (field && !string_list_has(items->required, items->n_required, key) &&
            !has_default(field))
            err_required(e, AT(field_at, "default"),
                         "this property is in x-kubernetes-list-map-keys, so it must have a "
                         "default or be a required property");
        forbid(e, field_at, "nullable", field && field->nullable,
               "this property is in x-kubernetes-list-map-keys, so it cannot be nullable");
    }
}

static void check_list_map(struct field_errors *e, const struct path *at, const Props *p)
{
    const Props *items = items_of(p);
    if (p->n_x_kubernetes_list_map_keys == 0)
        err_required(e, AT(at, "x-kubernetes-list-map-keys"),
                     "must not be empty if x-kubernetes-list-type is map");
    if (!items)
        err_required(e, AT(at, "items"), "must have a schema if x-kubernetes-list-type is map");
    else if (!cstr_eq(items->type, "object"))
        err_invalid(e, AT(AT(at, "items"), "type"), items->type,
                    "must be object if parent array's x-kubernetes-list-type is map");
    else
        check_list_keys(e, at, p);
}

/* Items of sets are compared as a whole. */
static void check_list_set(struct field_errors *e, const struct path *at, const Props *p)
{
    const Props *items = items_of(p);
    const char *why = "must be atomic as item of a list with x-kubernetes-list-type=set";
    if (!items)
        return;
    if (cstr_eq(items->type, "array") && items->x_kubernetes_list_type &&
        !cstr_eq(items->x_kubernetes_list_type, "atomic"))
        err_invalid(e, AT(AT(at, "items"), "x-kubernetes-list-type"), items->x_kubernetes_list_type,
                    why);
    if (cstr_eq(items->type, "object") && !cstr_eq(items->x_kubernetes_map_type, "atomic")) {
        const char *found = items->x_kubernetes_list_type;
        err_invalid_raw(e, AT(AT(at, "items"), "x-kubernetes-map-type"),
                        found ? field_quote(e->arena, found) : "null", why);
    }
}

static void check_list_type(struct field_errors *e, const struct path *at, const Props *p)
{
    const char *type = p->x_kubernetes_list_type;
    const struct path *list = AT(at, "x-kubernetes-list-type");
    const char *why = "must be array if x-kubernetes-list-type is specified";
    if (type && !*p->type)
        err_required(e, AT(at, "type"), why);
    else if (type && !cstr_eq(p->type, "array"))
        err_invalid(e, AT(at, "type"), p->type, why);
    else if (cstr_eq(type, "set"))
        check_list_set(e, at, p);
    if (type)
        check_one_of(e, list, type, ONE_OF("atomic", "map", "set"));
    if (p->n_x_kubernetes_list_map_keys && !cstr_eq(type, "map")) {
        const char *keys = "must be map if x-kubernetes-list-map-keys is non-empty";
        if (type)
            err_invalid(e, list, type, keys);
        else
            err_required(e, list, keys);
    }
    if (cstr_eq(type, "map"))
        check_list_map(e, at, p);
    if (type && is_one_of(type, ONE_OF("map", "set")) && items_of(p) && items_of(p)->nullable)
        err_forbidden(
            e, AT(AT(at, "items"), "nullable"),
            arena_printf(e->arena, "cannot be nullable when x-kubernetes-list-type is %s", type));
}

static bool is_blank(const char *s)
{
    return str_trim(str_from(s)).n == 0;
}

/* The form of rules only: they are kept and not evaluated yet. */
static void check_rules(struct field_errors *e, const struct path *at, const Props *p)
{
    for (size_t i = 0; i < p->n_x_kubernetes_validations; i++) {
        const Apiextensions__V1__ValidationRule *rule = p->x_kubernetes_validations[i];
        const struct path *here = ITEM(AT(at, "x-kubernetes-validations"), i);
        struct str message = str_trim(str_from(rule->message));
        if (is_blank(rule->rule))
            err_required(e, AT(here, "rule"), "rule is not specified");
        else if (*rule->message && !message.n)
            err_invalid(e, AT(here, "message"), rule->message, "must be non-empty if specified");
        else if (str_find_char(message, '\n') >= 0 || str_find_char(message, '\r') >= 0)
            err_invalid(e, AT(here, "message"), rule->message, "must not contain line breaks");
        else if (!message.n && str_find_char(str_trim(str_from(rule->rule)), '\n') >= 0)
            err_required(e, AT(here, "message"),
                         "message must be specified if rule contains line breaks");
        if (*rule->message_expression && is_blank(rule->message_expression))
            err_required(e, AT(here, "messageExpression"),
                         "messageExpression must be non-empty if specified");
        if (rule->reason)
            check_one_of(e, AT(here, "reason"), rule->reason,
                         ONE_OF("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid",
                                "FieldValueRequired"));
    }
}

static void check_node(struct field_errors *e, const struct path *at, const Props *p, bool root,
                       struct context c);

static void check_properties(struct field_errors *e, const struct path *at, const Props *p,
                             bool root, const struct context *c)
{
    for (size_t i = 0; i < p->n_properties; i++) {
        const char *name = p->properties[i]->key;
        struct context sub = *c;
        if ((root || p->x_kubernetes_embedded_resource) &&
            is_one_of(name, ONE_OF("apiVersion", "kind", "metadata"))) {
            sub.inside_meta = true;
            if (root)
                sub.no_defaults = arena_printf(e->arena, "in top-level %s", name);
        }
        check_node(e, KEY(AT(at, "properties"), name), p->properties[i]->value, false, sub);
    }
}

static void check_each(struct field_errors *e, const struct path *at, Props *const *list, size_t n,
                       const struct context *c)
{
    for (size_t i = 0; i < n; i++)
        check_node(e, ITEM(at, i), list[i], false, *c);
}

static void check_node(struct field_errors *e, const struct path *at, const Props *p, bool root,
                       struct context c)
{
    if (!p)
        return;
    check_unsupported(e, at, p, &c);
    if (p->additional_properties) {
        struct context sub = c;
        if (p->n_properties &&
            (!p->additional_properties->allows || p->additional_properties->schema))
            err_forbidden(e, AT(at, "additionalProperties"),
                          "additionalProperties and properties are mutual exclusive");
        if (c.inside_meta)
            sub.no_defaults = "inside additionalProperties applying to object metadata";
        check_node(e, AT(at, "additionalProperties"), additional_of(p), false, sub);
    }
    check_properties(e, at, p, root, &c);
    check_node(e, AT(at, "not"), p->not_, false, c);
    check_each(e, AT(at, "allOf"), p->all_of, p->n_all_of, &c);
    check_each(e, AT(at, "oneOf"), p->one_of, p->n_one_of, &c);
    check_each(e, AT(at, "anyOf"), p->any_of, p->n_any_of, &c);
    check_node(e, AT(at, "items"), items_of(p), false, c);
    check_map_type(e, at, p);
    check_list_type(e, at, p);
    check_rules(e, at, p);
}

/* ---- the root ---- */

/* With a status subresource the root says little, so that what it says of status is not lost. */
static void check_root_of_status(struct field_errors *e, const struct path *at, const Props *p)
{
    if (*p->type && !cstr_eq(p->type, "object")) {
        err_invalid(
            e, AT(at, "type"), p->type,
            "only \"object\" is allowed as the type at the root of the schema if the status "
            "subresource is enabled");
        return;
    }
    bool more = *p->id || *p->schema || p->ref || has_default(p) || p->n_enum_ ||
                p->has_max_properties || p->has_min_properties || p->n_all_of || p->n_one_of ||
                p->n_any_of || p->not_ || p->additional_properties || p->n_pattern_properties ||
                p->n_dependencies || p->additional_items || p->n_definitions || p->nullable ||
                p->x_kubernetes_embedded_resource || p->x_kubernetes_int_or_string ||
                p->n_x_kubernetes_list_map_keys || p->x_kubernetes_list_type ||
                p->x_kubernetes_map_type;
    if (more)
        err_invalid_object(e, at, p,
                           "only [Description Type Format Title Maximum ExclusiveMaximum Minimum "
                           "ExclusiveMinimum MaxLength MinLength Pattern MaxItems MinItems "
                           "UniqueItems MultipleOf Required Items Properties ExternalDocs Example "
                           "XPreserveUnknownFields XValidations] fields are allowed at the root of "
                           "the schema if the status subresource is enabled");
}

static int by_text(const void *x, const void *y)
{
    const struct field_error *a = x, *b = y;
    int order = strcmp(a->field, b->field);
    return order ? order : strcmp(a->detail, b->detail);
}

static void check_structural(struct field_errors *e, const struct path *at, const Props *schema)
{
    check_structure(e, at, schema, ROOT);
    check_junctors_complete(e, schema, schema, at, at);
}

void check_crd_schema(struct field_errors *e, const struct path *at, const Props *schema,
                      bool status)
{
    struct structural *s;
    struct error err;
    size_t before = e->len;
    if (status)
        check_root_of_status(e, at, schema);
    if (schema->nullable)
        err_forbidden(e, AT(at, "nullable"), "nullable cannot be true at the root");
    struct field_errors structure = {.arena = e->arena};
    check_structural(&structure, at, schema);
    if (structure.len == 0)
        check_defaults(&structure, at, schema);
    else
        qsort(structure.items, structure.len, sizeof *structure.items, by_text);
    for (size_t i = 0; i < structure.len; i++)
        field_error_copy(e, &structure.items[i]);
    check_node(e, at, schema, true, (struct context){0});
    if (e->len > before)
        return;
    if (structural_new(e->arena, schema, &s, &err) < 0)
        err_invalid(e, at, "", err.message);
    structural_free(s);
}

const char *crd_structure_problem(struct arena *a,
                                  const Apiextensions__V1__CustomResourceDefinition *crd)
{
    struct field_errors e = {.arena = a};
    const struct path *versions = AT(SPEC, "versions");
    struct buf text;
    if (crd->spec->preserve_unknown_fields)
        err_invalid_raw(&e, AT(SPEC, "preserveUnknownFields"), "true", "must be false");
    for (size_t i = 0; i < crd->spec->n_versions; i++) {
        const Apiextensions__V1__CustomResourceDefinitionVersion *v = crd->spec->versions[i];
        const struct path *at = AT(AT(ITEM(versions, i), "schema"), "openAPIV3Schema");
        if (v->schema && v->schema->open_api_v3_schema)
            check_structural(&e, at, v->schema->open_api_v3_schema);
    }
    if (e.len == 0)
        return NULL;
    buf_init(&text);
    field_errors_message(&e, &text);
    const char *message = arena_strndup(a, text.data, text.len);
    buf_free(&text);
    return message;
}
