/*
 * CustomResourceDefinitions: names, versions, subresources, columns, conversion, status. (Schemas:
 * crd_schema.c.) The webhook of a conversion is checked for its form; it is not called yet.
 */
#include "api/validation/crd.h"
#include <ctype.h>

typedef Apiextensions__V1__CustomResourceDefinition Crd;
typedef Apiextensions__V1__CustomResourceDefinitionSpec Spec;
typedef Apiextensions__V1__CustomResourceDefinitionVersion Version;
typedef Apiextensions__V1__CustomResourceDefinitionNames Names;

#define SELECTABLE_MAX 8

/* ---- names ---- */

static const char *lower(struct arena *a, const char *s)
{
    char *out = arena_strdup(a, s);
    for (char *p = out; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return out;
}

static void check_kind(struct field_errors *e, const struct path *at, const char *kind)
{
    const char *wrong = *kind ? validate_dns1035_label(lower(e->arena, kind)) : NULL;
    if (wrong)
        err_invalid(
            e, at, kind,
            arena_printf(e->arena, "may have mixed case, but should otherwise match: %s", wrong));
}

static void check_names(struct field_errors *e, const struct path *at, const Names *n)
{
    check_optional(e, AT(at, "plural"), n->plural, validate_dns1035_label);
    check_optional(e, AT(at, "singular"), n->singular, validate_dns1035_label);
    check_kind(e, AT(at, "kind"), n->kind);
    check_kind(e, AT(at, "listKind"), n->list_kind);
    for (size_t i = 0; i < n->n_short_names; i++)
        check_string(e, ITEM(AT(at, "shortNames"), i), n->short_names[i], validate_dns1035_label);
    if (*n->kind && cstr_eq(n->kind, n->list_kind))
        err_invalid(e, AT(at, "listKind"), n->list_kind, "kind and listKind may not be the same");
    for (size_t i = 0; i < n->n_categories; i++)
        check_string(e, ITEM(AT(at, "categories"), i), n->categories[i], validate_dns1035_label);
}

static void check_required_names(struct field_errors *e, const struct path *at, const Names *n)
{
    check_required(e, AT(at, "plural"), n->plural);
    check_required(e, AT(at, "singular"), n->singular);
    check_required(e, AT(at, "kind"), n->kind);
    check_required(e, AT(at, "listKind"), n->list_kind);
}

static void check_group(struct field_errors *e, const struct path *at, const char *group)
{
    const char *wrong = *group ? validate_dns1123_subdomain(group) : NULL;
    if (!*group)
        err_required(e, at, "");
    else if (wrong)
        err_invalid(e, at, group, wrong);
    else if (!strchr(group, '.'))
        err_invalid(e, at, group, "should be a domain with at least one dot");
}

/* ---- a version ---- */

static bool check_simple_path(struct field_errors *e, const struct path *at, const char *path)
{
    if (*path == '.')
        return true;
    err_invalid(e, at, path, "must be a simple json path starting with .");
    return false;
}

static void check_scale_path(struct field_errors *e, const struct path *at, const char *path,
                             const char *prefix, const char *where)
{
    if (!*path)
        err_required(e, at, "");
    else if (check_simple_path(e, at, path) && strncmp(path, prefix, strlen(prefix)) != 0)
        err_invalid(e, at, path, arena_printf(e->arena, "should be a json path under %s", where));
}

static void check_subresources(struct field_errors *e, const struct path *at,
                               const Apiextensions__V1__CustomResourceSubresources *s)
{
    if (!s || !s->scale)
        return;
    check_scale_path(e, AT(at, "scale.specReplicasPath"), s->scale->spec_replicas_path, ".spec.",
                     ".spec");
    check_scale_path(e, AT(at, "scale.statusReplicasPath"), s->scale->status_replicas_path,
                     ".status.", ".status");
    const char *selector = s->scale->label_selector_path;
    const struct path *selector_at = AT(at, "scale.labelSelectorPath");
    if (selector && *selector && check_simple_path(e, selector_at, selector) &&
        strncmp(selector, ".spec.", 6) != 0 && strncmp(selector, ".status.", 8) != 0)
        err_invalid(e, selector_at, selector,
                    "should be a json path under either .spec or .status");
}

static void check_column(struct field_errors *e, const struct path *at,
                         const Apiextensions__V1__CustomResourceColumnDefinition *c)
{
    static const char *const types[] = {"boolean", "date", "integer", "number", "string", NULL};
    static const char *const formats[] = {"byte",  "date",  "date-time", "double", "float",
                                          "int32", "int64", "password",  NULL};
    const char *one_of_types = "must be one of boolean,date,integer,number,string";
    check_required(e, AT(at, "name"), c->name);
    if (!*c->type)
        err_required(e, AT(at, "type"), one_of_types);
    else if (!is_one_of(c->type, types))
        err_invalid(e, AT(at, "type"), c->type, one_of_types);
    if (*c->format && !is_one_of(c->format, formats))
        err_invalid(e, AT(at, "format"), c->format,
                    "must be one of byte,date,date-time,double,float,int32,int64,password");
    if (!*c->json_path)
        err_required(e, AT(at, "JSONPath"), "");
    else
        check_simple_path(e, AT(at, "JSONPath"), c->json_path);
}

/* The schema at a path of plain names; NULL: none, and *unknown is the name that leads nowhere. */
static const Props *props_at(struct arena *a, const Props *p, const char *path,
                             const char **unknown)
{
    struct str rest = str_from(path + (*path == '.')), name;
    while (p && str_split(&rest, '.', &name)) {
        const Props *next = NULL;
        *unknown = arena_strndup(a, name.p, name.n);
        for (size_t i = 0; i < p->n_properties && !next; i++)
            if (str_eqz(name, p->properties[i]->key))
                next = p->properties[i]->value;
        if (!next && p->additional_properties)
            next = p->additional_properties->schema;
        p = next;
    }
    return p;
}

static void check_selectable_path(struct field_errors *e, const struct path *at, const char *path,
                                  const Props *schema)
{
    const char *unknown = "";
    if (strchr(path, '[') || path[0] != '.') {
        err_invalid(e, at, path,
                    path[0] != '.' ? "is an invalid path: expected [ or . but got the path's start"
                                   : "is an invalid path: does not refer to a valid field");
        return;
    }
    if (strncmp(path, ".metadata", 9) == 0 && (path[9] == '.' || !path[9])) {
        err_invalid(e, at, path, "must not point to fields in metadata");
        return;
    }
    const Props *p = props_at(e->arena, schema, path, &unknown);
    if (!p)
        err_invalid(e, at, path,
                    arena_printf(e->arena, "is an invalid path: does not refer to a valid field"));
    else if (!is_one_of(p->type, ONE_OF("string", "boolean", "integer")))
        err_invalid(e, at, path,
                    "must point to a field of type string, boolean or integer. Enum string fields "
                    "and strings with formats are allowed.");
}

static void check_selectable(struct field_errors *e, const struct path *at, const Version *v)
{
    const struct path *list = AT(at, "selectableFields");
    size_t unique = 0;
    if (v->n_selectable_fields == 0 || !v->schema || !v->schema->open_api_v3_schema)
        return;
    for (size_t i = 0; i < v->n_selectable_fields; i++) {
        const char *path = v->selectable_fields[i]->json_path;
        const struct path *here = AT(ITEM(list, i), "jsonPath");
        bool seen = false;
        for (size_t k = 0; k < i; k++)
            seen |= cstr_eq(path, v->selectable_fields[k]->json_path);
        if (!*path) {
            err_required(e, here, "");
            continue;
        }
        check_selectable_path(e, here, path, v->schema->open_api_v3_schema);
        if (seen)
            err_duplicate(e, here, path);
        unique += !seen;
    }
    if (unique > SELECTABLE_MAX)
        err_too_many(e, list, unique, SELECTABLE_MAX);
}

static void check_deprecation(struct field_errors *e, const struct path *at, const Version *v)
{
    const char *text = v->deprecation_warning;
    if (!text)
        return;
    if (!v->deprecated) {
        err_invalid(e, at, text, "can only be set for deprecated versions");
        return;
    }
    if (strlen(text) > 256)
        err_invalid(e, at, text, "must be <= 256 characters long");
    if (!*text)
        err_invalid(e, at, text, "must not be an empty string");
    for (const char *p = text; *p; p++) {
        if ((unsigned char)*p >= 0x20 && *p != 0x7f)
            continue;
        err_invalid(e, at, text,
                    arena_printf(e->arena,
                                 "must only contain printable UTF-8 characters; non-printable "
                                 "character found at index %zu",
                                 (size_t)(p - text)));
        break;
    }
}

static void check_version(struct field_errors *e, const struct path *at, const Version *v)
{
    check_string(e, AT(at, "name"), v->name, validate_dns1035_label);
    check_deprecation(e, AT(at, "deprecationWarning"), v);
    bool status = v->subresources && v->subresources->status;
    const Props *schema = v->schema ? v->schema->open_api_v3_schema : NULL;
    if (schema)
        check_crd_schema(e, AT(AT(at, "schema"), "openAPIV3Schema"), schema, status);
    check_subresources(e, AT(at, "subresources"), v->subresources);
    for (size_t i = 0; i < v->n_additional_printer_columns; i++)
        check_column(e, ITEM(AT(at, "additionalPrinterColumns"), i),
                     v->additional_printer_columns[i]);
    check_selectable(e, at, v);
}

/* An error about the versions as a whole shows them all. */
static void versions_invalid(struct field_errors *e, const struct path *at, const Spec *spec,
                             const char *detail)
{
    struct buf b;
    buf_init(&b);
    buf_append_char(&b, '[');
    for (size_t i = 0; i < spec->n_versions; i++) {
        buf_append_cstr(&b, i ? "," : "");
        json_encode(spec->versions[i], JSON_NO_TYPE_META, &b);
    }
    buf_append_char(&b, ']');
    err_invalid_raw(e, at, b.len > 4000 ? "[…]" : buf_cstr(&b), detail);
    buf_free(&b);
}

static void check_versions(struct field_errors *e, const struct path *at, const Spec *spec)
{
    size_t storage = 0;
    bool unique = true;
    if (spec->n_versions > CUSTOM_VERSIONS_MAX) {
        err_too_many(e, at, spec->n_versions, CUSTOM_VERSIONS_MAX);
        return;
    }
    for (size_t i = 0; i < spec->n_versions; i++) {
        const Version *v = spec->versions[i];
        if ((!v->schema || !v->schema->open_api_v3_schema) && !spec->preserve_unknown_fields)
            err_required(e, AT(AT(ITEM(at, i), "schema"), "openAPIV3Schema"), "");
    }
    for (size_t i = 0; i < spec->n_versions; i++) {
        storage += spec->versions[i]->storage;
        for (size_t k = 0; k < i; k++)
            unique &= !cstr_eq(spec->versions[i]->name, spec->versions[k]->name);
        check_version(e, ITEM(at, i), spec->versions[i]);
    }
    if (!unique)
        versions_invalid(e, at, spec, "must contain unique version names");
    if (storage != 1)
        versions_invalid(e, at, spec, "must have exactly one version marked as storage version");
}

/* ---- conversion ---- */

static void check_conversion(struct field_errors *e, const struct path *at,
                             const Apiextensions__V1__CustomResourceConversion *c)
{
    if (!c || !check_required_one_of(e, AT(at, "strategy"), c->strategy, ONE_OF("None", "Webhook")))
        return;
    const struct path *client_at = AT(at, "webhookClientConfig");
    if (cstr_eq(c->strategy, "None")) {
        if (c->webhook)
            err_forbidden(e, client_at, "should not be set when strategy is not set to Webhook");
        return;
    }
    const Apiextensions__V1__WebhookClientConfig *client =
        c->webhook ? c->webhook->client_config : NULL;
    if (!client)
        err_required(e, client_at, "required when strategy is set to Webhook");
    else if (!client->url == !client->service)
        err_required(e, client_at, "exactly one of url or service is required");
    else if (client->url && strncmp(client->url, "https://", 8) != 0)
        err_invalid(e, AT(client_at, "url"), client->url,
                    "'https' is the only allowed URL scheme; desired format: "
                    "https://host[/path]");
    else if (client->service) {
        check_required(e, AT(AT(client_at, "service"), "name"), client->service->name);
        check_required(e, AT(AT(client_at, "service"), "namespace"), client->service->namespace_);
    }
    check_review_versions(e, AT(at, "conversionReviewVersions"),
                          c->webhook ? c->webhook->conversion_review_versions : NULL,
                          c->webhook ? c->webhook->n_conversion_review_versions : 0, "", true);
}

/* ---- the whole ---- */

static void check_spec(struct field_errors *e, const struct path *at, const Spec *spec)
{
    check_group(e, AT(at, "group"), spec->group);
    check_required_one_of(e, AT(at, "scope"), spec->scope, ONE_OF("Cluster", "Namespaced"));
    check_versions(e, AT(at, "versions"), spec);
    check_required_names(e, AT(at, "names"), spec->names);
    check_names(e, AT(at, "names"), spec->names);
    check_conversion(e, AT(at, "conversion"), spec->conversion);
}

static void check_stored_versions(struct field_errors *e, const struct path *at, const Crd *crd)
{
    const Apiextensions__V1__CustomResourceDefinitionStatus *s = crd->status;
    if (s->n_stored_versions == 0) {
        err_invalid_list(e, at, NULL, 0, "must have at least one stored version");
        return;
    }
    for (size_t i = 0; i < crd->spec->n_versions; i++) {
        const Version *v = crd->spec->versions[i];
        if (v->storage && !string_list_has(s->stored_versions, s->n_stored_versions, v->name))
            err_invalid_list(e, at, s->stored_versions, s->n_stored_versions,
                             arena_printf(e->arena, "must have the storage version %s", v->name));
    }
    for (size_t i = 0; i < s->n_stored_versions; i++) {
        bool known = false;
        const char *name = s->stored_versions[i];
        for (size_t k = 0; k < crd->spec->n_versions; k++)
            known |= cstr_eq(crd->spec->versions[k]->name, name);
        if (!known)
            err_invalid(e, ITEM(at, i), name,
                        arena_printf(e->arena,
                                     "missing from spec.versions; %s was previously a storage "
                                     "version, and must remain in spec.versions until a storage "
                                     "migration ensures no data remains persisted in %s and "
                                     "removes %s from status.storedVersions",
                                     name, name, name));
    }
}

/* Groups of the community need a pointer to the approval. */
static void check_approval(struct field_errors *e, const Crd *crd, const Crd *old)
{
    static const char key[] = "api-approved.kubernetes.io";
    const char *group = crd->spec->group;
    struct str g = str_from(group);
    if (!cstr_eq(group, "k8s.io") && !str_has_suffix(g, STR(".k8s.io")) &&
        !cstr_eq(group, "kubernetes.io") && !str_has_suffix(g, STR(".kubernetes.io")))
        return;
    const char *value = annotations_get(crd->metadata, key);
    if (old && cstr_eq(value, annotations_get(old->metadata, key)))
        return;
    const struct path *at = KEY(AT(AT(NULL, "metadata"), "annotations"), key);
    if (!value)
        err_required(e, at,
                     "protected groups must have approval annotation "
                     "\"api-approved.kubernetes.io\", see "
                     "https://github.com/kubernetes/enhancements/pull/1111");
    else if (strncmp(value, "unapproved", 10) != 0 && strncmp(value, "https://", 8) != 0)
        err_invalid(e, at, value,
                    "protected groups must have approval annotation "
                    "\"api-approved.kubernetes.io\" with either a URL or a reason starting with "
                    "\"unapproved\", see https://github.com/kubernetes/enhancements/pull/1111");
}

static void check_crd(const Crd *crd, const Crd *old, struct field_errors *e)
{
    check_spec(e, SPEC, crd->spec);
    check_names(e, AT(AT(NULL, "status"), "acceptedNames"), crd->status->accepted_names);
    check_stored_versions(e, AT(AT(NULL, "status"), "storedVersions"), crd);
    check_approval(e, crd, old);
    if (crd->spec->preserve_unknown_fields && (!old || !old->spec->preserve_unknown_fields))
        err_invalid_raw(e, AT(SPEC, "preserveUnknownFields"), "true",
                        "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                        "spec.versions[*].schema instead");
}

void validate_crd(const void *object, struct field_errors *e)
{
    const Crd *crd = object;
    const char *name = arena_printf(e->arena, "%s.%s", crd->spec->names->plural, crd->spec->group);
    if (*crd->metadata->name && !cstr_eq(crd->metadata->name, name))
        err_invalid(e, AT(AT(NULL, "metadata"), "name"), crd->metadata->name,
                    "must be spec.names.plural+\".\"+spec.group");
    check_crd(crd, NULL, e);
}

static bool is_established(const Crd *crd)
{
    for (size_t i = 0; i < crd->status->n_conditions; i++)
        if (cstr_eq(crd->status->conditions[i]->type, "Established"))
            return cstr_eq(crd->status->conditions[i]->status, "True");
    return false;
}

void validate_crd_update(const void *object, const void *before, struct field_errors *e)
{
    const Crd *crd = object, *old = before;
    check_crd(crd, old, e);
    if (is_established(old)) {
        check_immutable_string(e, AT(SPEC, "scope"), crd->spec->scope, old->spec->scope);
        check_immutable_string(e, AT(AT(SPEC, "names"), "kind"), crd->spec->names->kind,
                               old->spec->names->kind);
    }
    check_immutable_string(e, AT(SPEC, "group"), crd->spec->group, old->spec->group);
    check_immutable_string(e, AT(AT(SPEC, "names"), "plural"), crd->spec->names->plural,
                           old->spec->names->plural);
}

void validate_crd_status(const void *object, const void *before, struct field_errors *e)
{
    const Crd *crd = object;
    (void)before;
    check_names(e, AT(AT(NULL, "status"), "acceptedNames"), crd->status->accepted_names);
}

/* ---- defaults ---- */

void crd_defaults(struct arena *a, Crd *crd)
{
    Names *n = crd->spec->names;
    if (!*n->singular)
        n->singular = (char *)lower(a, n->kind);
    if (!*n->list_kind && *n->kind)
        n->list_kind = arena_printf(a, "%sList", n->kind);
    if (!crd->spec->conversion) {
        crd->spec->conversion = api_new(a, Apiextensions__V1__CustomResourceConversion);
        crd->spec->conversion->strategy = (char *)"None";
    }
    Apiextensions__V1__WebhookClientConfig *client =
        crd->spec->conversion->webhook ? crd->spec->conversion->webhook->client_config : NULL;
    if (client && client->service && !client->service->has_port)
        api_set(client->service, port, 443);
    for (size_t i = 0; i < crd->spec->n_versions && crd->status->n_stored_versions == 0; i++)
        if (crd->spec->versions[i]->storage)
            api_append(a, crd->status, stored_versions, crd->spec->versions[i]->name);
}
