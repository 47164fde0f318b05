/*
 * CustomResourceDefinitions: names, versions, subresources, columns, conversion, status. (Schemas:
 * crd_schema.c.) What all versions have in common is spoken of as if it stood at the spec: that is where the published
 * server moves it before it looks.
 */
#include "api/validation/admission.h"
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
    char *joined = arena_strdup(e->arena, wrong ? wrong : "");
    for (char *c = joined; *c; c++)
        *c = *c == '\n' ? ',' : *c;
    if (wrong)
        err_invalid(
            e, at, kind,
            arena_printf(e->arena, "may have mixed case, but should otherwise match: %s", joined));
}

static void check_names(struct field_errors *e, const struct path *at, const Names *n)
{
    if (*n->plural)
        check_string_joined(e, AT(at, "plural"), n->plural, validate_dns1035_label, ",");
    if (*n->singular)
        check_string_joined(e, AT(at, "singular"), n->singular, validate_dns1035_label, ",");
    check_kind(e, AT(at, "kind"), n->kind);
    check_kind(e, AT(at, "listKind"), n->list_kind);
    for (size_t i = 0; i < n->n_short_names; i++)
        check_string_joined(e, ITEM(AT(at, "shortNames"), i), n->short_names[i],
                            validate_dns1035_label, ",");
    if (*n->kind && cstr_eq(n->kind, n->list_kind))
        err_invalid(e, AT(at, "listKind"), n->list_kind, "kind and listKind may not be the same");
    for (size_t i = 0; i < n->n_categories; i++)
        check_string_joined(e, ITEM(AT(at, "categories"), i), n->categories[i],
                            validate_dns1035_label, ",");
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
    if (!*group)
        err_required(e, at, "");
    else if (validate_dns1123_subdomain(group))
        check_string_joined(e, at, group, validate_dns1123_subdomain, ",");
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

/* Whether it leads somewhere. */
static bool check_selectable_path(struct field_errors *e, const struct path *at, const char *path,
                                  const Props *schema)
{
    const char *unknown = "";
    if (strchr(path, '[') || path[0] != '.') {
        err_invalid(e, at, path,
                    path[0] != '.' ? "is an invalid path: expected [ or . but got the path's start"
                                   : "is an invalid path: does not refer to a valid field");
        return false;
    }
    if (strncmp(path, ".metadata", 9) == 0 && (path[9] == '.' || !path[9])) {
        err_invalid(e, at, path, "must not point to fields in metadata");
        return true;
    }
    const Props *p = props_at(e->arena, schema, path, &unknown);
    if (!p)
        err_invalid(e, at, path, "is an invalid path: does not refer to a valid field");
    else if (!is_one_of(p->type, ONE_OF("string", "boolean", "integer")))
        err_invalid(e, at, path,
                    "must point to a field of type string, boolean or integer. Enum string fields "
                    "and strings with formats are allowed.");
    return p != NULL;
}

static bool same_selectable(const Version *a, const Version *b)
{
    bool same = a->n_selectable_fields == b->n_selectable_fields;
    for (size_t i = 0; same && i < a->n_selectable_fields; i++)
        same = object_equal(a->selectable_fields[i], b->selectable_fields[i]);
    return same;
}

/* Is there one of that name that has as many and the same? Then they may stay. */
static bool had_selectable(const Version *v, const Spec *old)
{
    for (size_t i = 0; old && i < old->n_versions; i++)
        if (cstr_eq(old->versions[i]->name, v->name))
            return same_selectable(old->versions[i], v);
    return false;
}

static void check_selectable(struct field_errors *e, const struct path *list, const Version *v,
                             const Spec *old, const char *without_schema)
{
    size_t unique = 0;
    if (v->n_selectable_fields == 0)
        return;
    if (!v->schema || !v->schema->open_api_v3_schema) {
        err_invalid(e, list, "", without_schema);
        return;
    }
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < v->n_selectable_fields; i++) {
        const char *path = v->selectable_fields[i]->json_path;
        const struct path *here = AT(ITEM(list, i), "jsonPath");
        bool twice = seen_again(&seen, path);
        if (!*path) {
            err_required(e, here, "");
            continue;
        }
        if (!check_selectable_path(e, here, path, v->schema->open_api_v3_schema))
            continue;
        if (twice)
            err_duplicate(e, here, path);
        unique += !twice;
    }
    if (unique > SELECTABLE_MAX && !had_selectable(v, old))
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

/* What is the same in all versions (and there): it is looked at once, at the spec. */
struct common {
    bool schema, subresources, columns, selectable;
};

static bool same_columns(const Version *a, const Version *b)
{
    bool same = a->n_additional_printer_columns == b->n_additional_printer_columns;
    for (size_t i = 0; same && i < a->n_additional_printer_columns; i++)
        same = object_equal(a->additional_printer_columns[i], b->additional_printer_columns[i]);
    return same;
}

static struct common common_of(const Spec *spec)
{
    struct common c = {true, true, true, true};
    for (size_t i = 1; i < spec->n_versions; i++) {
        const Version *first = spec->versions[0], *v = spec->versions[i];
        c.schema &= object_equal(first->schema, v->schema);
        c.subresources &= object_equal(first->subresources, v->subresources);
        c.columns &= same_columns(first, v);
        c.selectable &= same_selectable(first, v);
    }
    return c;
}

static void check_columns(struct field_errors *e, const struct path *at, const Version *v)
{
    const struct path *columns = AT(at, "additionalPrinterColumns");
    for (size_t i = 0; i < v->n_additional_printer_columns; i++)
        check_column(e, ITEM(columns, i), v->additional_printer_columns[i]);
}

static void check_schema(struct field_errors *e, const struct path *at, const Version *v,
                         bool status)
{
    if (v->schema && v->schema->open_api_v3_schema)
        check_crd_schema(e, AT(at, "openAPIV3Schema"), v->schema->open_api_v3_schema, status);
}

static bool has_status(const Version *v)
{
    return v->subresources && v->subresources->status;
}

static void check_version(struct field_errors *e, const struct path *at, const Version *v,
                          const struct common *common, const Spec *old)
{
    check_string_joined(e, AT(at, "name"), v->name, validate_dns1035_label, ",");
    check_deprecation(e, AT(at, "deprecationWarning"), v);
    if (!common->schema)
        check_schema(e, AT(at, "schema"), v, has_status(v));
    if (!common->subresources)
        check_subresources(e, AT(at, "subresources"), v->subresources);
    if (!common->columns)
        check_columns(e, at, v);
    if (!common->selectable)
        check_selectable(e, AT(at, "selectableFields"), v, old,
                         "may only be set when `version.schema.openAPIV3Schema` is not included");
}

/* After the names, what stands in all versions. */
static void check_common(struct field_errors *e, const struct path *at, const Spec *spec,
                         const Spec *old)
{
    struct common common = common_of(spec);
    bool status = false;
    if (spec->n_versions == 0)
        return;
    const Version *v = spec->versions[0];
    for (size_t i = 0; i < spec->n_versions; i++)
        status |= has_status(spec->versions[i]);
    if (common.schema)
        check_schema(e, AT(at, "validation"), v, status);
    if (common.subresources)
        check_subresources(e, AT(at, "subresources"), v->subresources);
    if (common.columns)
        check_columns(e, at, v);
    if (common.selectable)
        check_selectable(e, AT(at, "selectableFields"), v, old,
                         "may only be set when validations.schema is included");
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

static bool has_defaults(const Spec *spec)
{
    for (size_t i = 0; i < spec->n_versions; i++)
        if (spec->versions[i]->schema &&
            crd_schema_has_default(spec->versions[i]->schema->open_api_v3_schema))
            return true;
    return false;
}

static void check_versions(struct field_errors *e, const struct path *at, const Spec *spec,
                           const Spec *old)
{
    struct common common = common_of(spec);
    size_t storage = 0;
    bool unique = true;
    struct seen seen = {.arena = e->arena};
    if (spec->n_versions > CUSTOM_VERSIONS_MAX) {
        err_too_many(e, at, spec->n_versions, CUSTOM_VERSIONS_MAX);
        return;
    }
    for (size_t i = 0; i < spec->n_versions; i++) {
        const Version *v = spec->versions[i];
        if (!v->schema || !v->schema->open_api_v3_schema)
            err_required(e, AT(AT(ITEM(at, i), "schema"), "openAPIV3Schema"),
                         "schemas are required");
    }
    if (spec->preserve_unknown_fields && has_defaults(spec))
        err_invalid_raw(e, AT(at->up, "preserveUnknownFields"), "true",
                        "must be false in order to use defaults in the schema");
    for (size_t i = 0; i < spec->n_versions; i++) {
        storage += spec->versions[i]->storage;
        unique &= !seen_again(&seen, spec->versions[i]->name);
        check_version(e, ITEM(at, i), spec->versions[i], &common, old);
    }
    if (!unique)
        versions_invalid(e, at, spec, "must contain unique version names");
    if (storage != 1)
        versions_invalid(e, at, spec, "must have exactly one version marked as storage version");
    if (spec->n_versions > 0 && *spec->versions[0]->name)
        check_string_joined(e, AT(at->up, "version"), spec->versions[0]->name,
                            validate_dns1035_label, ",");
}

/* ---- conversion ---- */

static void check_webhook_client(struct field_errors *e, const struct path *at,
                                 const Apiextensions__V1__WebhookClientConfig *client)
{
    if (!client)
        err_required(e, at, "required when strategy is set to Webhook");
    else if (!client->url == !client->service)
        err_required(e, at, "exactly one of url or service is required");
    else if (client->url)
        check_webhook_url(e, AT(at, "url"), client->url);
    else
        check_webhook_service(e, AT(at, "service"), client->service->namespace_,
                              client->service->name, client->service->path, client->service->port);
}

/* `known`: one of the review versions must be. */
static void check_conversion(struct field_errors *e, const struct path *at, const Spec *spec,
                             bool known)
{
    const Apiextensions__V1__CustomResourceConversion *c = spec->conversion;
    const struct path *client_at = AT(at, "webhookClientConfig");
    const struct path *reviews_at = AT(at, "conversionReviewVersions");
    static const char unwanted[] = "should not be set when strategy is not set to Webhook";
    if (!c)
        return;
    char *const *reviews = c->webhook ? c->webhook->conversion_review_versions : NULL;
    size_t n = c->webhook ? c->webhook->n_conversion_review_versions : 0;
    const Apiextensions__V1__WebhookClientConfig *client =
        c->webhook ? c->webhook->client_config : NULL;
    if (spec->preserve_unknown_fields && !cstr_eq(c->strategy, "None"))
        err_invalid(e, AT(at, "strategy"), c->strategy,
                    "must be None if spec.preserveUnknownFields is true");
    check_required_one_of(e, AT(at, "strategy"), c->strategy, ONE_OF("None", "Webhook"));
    if (cstr_eq(c->strategy, "Webhook")) {
        check_webhook_client(e, client_at, client);
        check_review_versions(e, reviews_at, reviews, n, "", known);
        return;
    }
    if (client)
        err_forbidden(e, client_at, unwanted);
    if (n > 0)
        err_forbidden(e, reviews_at, unwanted);
}

static bool reviews_are_known(const Spec *spec)
{
    const Apiextensions__V1__WebhookConversion *w =
        spec->conversion ? spec->conversion->webhook : NULL;
    return !w ||
           has_known_review_version(w->conversion_review_versions, w->n_conversion_review_versions);
}

/* ---- the whole ---- */

static void check_spec(struct field_errors *e, const struct path *at, const Spec *spec,
                       const Spec *old)
{
    check_group(e, AT(at, "group"), spec->group);
    check_required_one_of(e, AT(at, "scope"), spec->scope, ONE_OF("Cluster", "Namespaced"));
    check_versions(e, AT(at, "versions"), spec, old);
    check_required_names(e, AT(at, "names"), spec->names);
    check_names(e, AT(at, "names"), spec->names);
    if (spec->n_versions <= CUSTOM_VERSIONS_MAX)
        check_common(e, at, spec, old);
    check_conversion(e, AT(at, "conversion"), spec, !old || reviews_are_known(old));
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

/* "scheme://host…" */
static bool is_url(const char *s)
{
    size_t n = 0;
    while (isalnum((unsigned char)s[n]) || (n > 0 && s[n] && strchr("+-.", s[n])))
        n++;
    return isalpha((unsigned char)s[0]) && strncmp(s + n, "://", 3) == 0 && s[n + 3] &&
           !strchr("/?#", s[n + 3]) && !strpbrk(s, " \t\r\n");
}

#define PROTECTED "protected groups must have approval annotation \"" CRD_APPROVED "\""
#define SEE_APPROVAL "see https://github.com/kubernetes/enhancements/pull/1111"

enum crd_approval crd_approval_of(struct arena *a, const Crd *crd, const char **reason)
{
    const char *group = crd->spec->group;
    struct str g = str_from(group);
    if (!cstr_eq(group, "k8s.io") && !str_has_suffix(g, STR(".k8s.io")) &&
        !cstr_eq(group, "kubernetes.io") && !str_has_suffix(g, STR(".kubernetes.io")))
        return CRD_UNPROTECTED;
    const char *value = annotations_get(crd->metadata, CRD_APPROVED);
    *reason = PROTECTED ", " SEE_APPROVAL;
    if (!value || !*value)
        return CRD_APPROVAL_MISSING;
    *reason = arena_printf(a, "not approved: %s", field_quote(a, value));
    if (strncmp(value, "unapproved", 10) == 0)
        return CRD_APPROVAL_BYPASSED;
    *reason = arena_printf(a, "approved in %s", value);
    if (is_url(value))
        return CRD_APPROVAL_GIVEN;
    *reason =
        PROTECTED " with either a URL or a reason starting with \"unapproved\", " SEE_APPROVAL;
    return CRD_APPROVAL_INVALID;
}

/* Groups of the community need a pointer to the approval; what was so before may stay so. */
static void check_approval(struct field_errors *e, const Crd *crd, const Crd *old)
{
    const struct path *at = KEY(AT(AT(NULL, "metadata"), "annotations"), CRD_APPROVED);
    const char *reason, *before;
    enum crd_approval now = crd_approval_of(e->arena, crd, &reason);
    if (old && crd_approval_of(e->arena, old, &before) == now)
        return;
    if (now == CRD_APPROVAL_MISSING)
        err_required(e, at, reason);
    else if (now == CRD_APPROVAL_INVALID)
        err_invalid(e, at, annotations_get(crd->metadata, CRD_APPROVED), reason);
}

static void check_crd(const Crd *crd, const Crd *old, struct field_errors *e)
{
    check_spec(e, SPEC, crd->spec, old ? old->spec : NULL);
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
