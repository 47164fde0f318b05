/*
 * Custom types: a CustomResourceDefinition made into resources.
 */
#include "api/codec_internal.h"
#include "api/custom/custom.h"
#include "api/jsonpath.h"
#include "base/map.h"
#include <ctype.h>
#include <stdlib.h>

#define ALL_VERBS                                                                            \
    (VERB_CREATE | VERB_DELETE | VERB_DELETECOLLECTION | VERB_GET | VERB_LIST | VERB_PATCH | \
     VERB_UPDATE | VERB_WATCH)
#define TERMINATING_VERBS (VERB_DELETE | VERB_DELETECOLLECTION | VERB_GET | VERB_LIST | VERB_WATCH)
#define SUB_VERBS (VERB_GET | VERB_PATCH | VERB_UPDATE)

typedef Apiextensions__V1__CustomResourceDefinition Crd;
typedef Apiextensions__V1__CustomResourceDefinitionVersion CrdVersion;

/* ---- the order of versions ---- */

/* v1 before v1beta2 before v1alpha1; all others after, by name. */
struct version_rank {
    int stability; /* 3 stable, 2 beta, 1 alpha, 0 something else */
    int64_t major, minor;
};

static struct version_rank rank_of(const char *name)
{
    struct version_rank r = {0, 0, 0}, none = r;
    char *end;
    if (name[0] != 'v' || !isdigit((unsigned char)name[1]))
        return none;
    r.major = strtoll(name + 1, &end, 10);
    r.stability = 3;
    if (*end == 0)
        return r;
    r.stability = strncmp(end, "beta", 4) == 0 ? 2 : strncmp(end, "alpha", 5) == 0 ? 1 : 0;
    end += r.stability == 2 ? 4 : 5;
    if (r.stability == 0 || !isdigit((unsigned char)*end))
        return none;
    r.minor = strtoll(end, &end, 10);
    return *end ? none : r;
}

static int by_preference(const void *x, const void *y)
{
    const char *a = ((const struct custom_version *)x)->resource.version;
    const char *b = ((const struct custom_version *)y)->resource.version;
    struct version_rank p = rank_of(a), q = rank_of(b);
    if (p.stability != q.stability)
        return q.stability - p.stability;
    if (p.major != q.major)
        return p.major < q.major ? 1 : -1;
    if (p.minor != q.minor)
        return p.minor < q.minor ? 1 : -1;
    return strcmp(a, b);
}

int custom_version_order(const char *a, const char *b)
{
    struct custom_version x = {.resource.version = a}, y = {.resource.version = b};
    return by_preference(&x, &y);
}

/* ---- pieces of a version ---- */

static const char *const *string_list(struct arena *a, char *const *items, size_t n)
{
    const char **out = arena_array(a, const char *, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = items[i];
    return out;
}

static const char *without_dot(const char *path)
{
    return path && *path == '.' ? path + 1 : path ? path : "";
}

static void make_subresources(struct arena *a, struct custom_version *v, const CrdVersion *spec)
{
    struct subresource *subs = arena_array(a, struct subresource, 3);
    size_t n = 0;
    uint32_t verbs = SUB_VERBS;
    const struct resource *r = &v->resource;
    if (spec->subresources && spec->subresources->status) {
        v->has_status = true;
        subs[n++] = (struct subresource){"status", r->group, r->version, r->kind, verbs};
    }
    const Apiextensions__V1__CustomResourceSubresourceScale *scale =
        spec->subresources ? spec->subresources->scale : NULL;
    if (scale) {
        v->scale = (struct custom_scale){true, without_dot(scale->spec_replicas_path),
                                         without_dot(scale->status_replicas_path),
                                         without_dot(scale->label_selector_path)};
        subs[n++] = (struct subresource){"scale", "autoscaling", "v1", "Scale", verbs};
    }
    v->resource.subresources = subs;
}

/* The name, then what the definition says, or the age. */
static void make_columns(struct arena *a, struct custom_version *v, const CrdVersion *spec)
{
    size_t n = spec->n_additional_printer_columns;
    struct column *columns = arena_array(a, struct column, n + 3);
    const char **paths = arena_array(a, const char *, n + 2);
    columns[0] = (struct column){"Name", "string", "name",
                                 "Name of the object, unique within its kind and namespace.", 0};
    for (size_t i = 0; i < n; i++) {
        const Apiextensions__V1__CustomResourceColumnDefinition *c =
            spec->additional_printer_columns[i];
        const char *about = *c->description
                                ? c->description
                                : arena_printf(a,
                                               "Custom resource definition column (in JSONPath "
                                               "format): %s",
                                               c->json_path);
        columns[i + 1] = (struct column){c->name, c->type, c->format, about, c->priority};
        paths[i] = c->json_path;
    }
    if (n == 0) {
        columns[1] = (struct column){"Age", "date", "", "How long the object has existed.", 0};
        paths[0] = ".metadata.creationTimestamp";
    }
    v->resource.columns = columns;
    v->column_paths = paths;
}

static void make_selectable(struct arena *a, struct custom_version *v, const CrdVersion *spec)
{
    const char **paths = arena_array(a, const char *, spec->n_selectable_fields + 1);
    for (size_t i = 0; i < spec->n_selectable_fields; i++)
        paths[i] = without_dot(spec->selectable_fields[i]->json_path);
    v->selectable = paths;
}

static const char *warning_of(struct arena *a, const struct resource *r, const CrdVersion *spec)
{
    if (!spec->deprecated)
        return NULL;
    return spec->deprecation_warning
               ? spec->deprecation_warning
               : arena_printf(a, "%s %s is deprecated", r->api_version, r->kind);
}

/* What the schema's properties say, in the two forms that are asked for. */
static void make_schema(struct custom_version *v, const Apiextensions__V1__JSONSchemaProps *props,
                        struct arena *a)
{
    struct structural *schema;
    struct buf text;
    if (!props)
        return;
    buf_init(&text);
    json_encode(props, JSON_NO_TYPE_META, &text);
    v->schema_json = str_make(arena_dup(a, text.data, text.len), text.len);
    buf_free(&text);
    /* What validation here would not have let pass (an imported definition) is served without a schema. */
    if (structural_new(a, props, &schema, NULL) == 0)
        v->schema = schema;
}

/* `spec` is without its schema, `full` with it. */
static void make_version(struct custom_type *t, const Crd *crd, const CrdVersion *spec,
                         const CrdVersion *full, struct custom_version *v)
{
    struct arena *a = &t->arena;
    /* What is accepted is what is served; before that, what is asked for. */
    const Apiextensions__V1__CustomResourceDefinitionNames *names =
        *crd->status->accepted_names->plural ? crd->status->accepted_names : crd->spec->names;
    v->type = t;
    v->spec = spec;
    v->served = spec->served;
    v->message = *schema_get(Custom__V1__Object__SCHEMA);
    v->message.flags |= SCHEMA_HAS_TYPE_META;
    v->resource = (struct resource){
        .group = t->group,
        .version = spec->name,
        .api_version = arena_printf(a, "%s/%s", t->group, spec->name),
        .kind = names->kind,
        .list_kind = names->list_kind,
        .plural = crd->spec->names->plural,
        .singular = names->singular,
        .short_names = string_list(a, names->short_names, names->n_short_names),
        .categories = string_list(a, names->categories, names->n_categories),
        .storage_prefix = arena_printf(a, "/registry/%s/%s", t->group, crd->spec->names->plural),
        .verbs = ALL_VERBS,
        .message = Custom__V1__Object__SCHEMA,
        .list_message = SCHEMA_NONE,
        .stored_as = Custom__V1__Object__SCHEMA,
        .namespaced = cstr_eq(crd->spec->scope, "Namespaced"),
        .custom = v,
    };
    make_subresources(a, v, spec);
    make_columns(a, v, spec);
    make_selectable(a, v, spec);
    v->warning = warning_of(a, &v->resource, spec);
    make_schema(v, full->schema ? full->schema->open_api_v3_schema : NULL, a);
    v->keep_unknown = crd->spec->preserve_unknown_fields || !v->schema;
}

/* ---- a type ---- */

static bool condition_is(const Crd *crd, const char *type)
{
    for (size_t i = 0; i < crd->status->n_conditions; i++)
        if (cstr_eq(crd->status->conditions[i]->type, type))
            return cstr_eq(crd->status->conditions[i]->status, "True");
    return false;
}

static void free_type(struct custom_type *t)
{
    for (size_t i = 0; i < t->versions_len; i++)
        structural_free((struct structural *)t->versions[i].schema);
    struct arena a = t->arena; /* t lives in it */
    arena_free(&a);
}

/* Sorting moves the versions; what points into them comes after. */
static void settle(struct custom_type *t)
{
    qsort(t->versions, t->versions_len, sizeof *t->versions, by_preference);
    for (size_t i = 0; i < t->versions_len; i++) {
        t->versions[i].resource.custom = &t->versions[i];
        if (t->versions[i].spec->storage)
            t->stored = &t->versions[i];
    }
}

/* A copy without the schemas. */
static Crd *without_schemas(struct arena *a, const Crd *from)
{
    Crd crd = *from;
    Apiextensions__V1__CustomResourceDefinitionSpec spec = *from->spec;
    crd.spec = &spec;
    spec.versions = arena_array(a, CrdVersion *, spec.n_versions + 1);
    for (size_t i = 0; i < spec.n_versions; i++) {
        spec.versions[i] = arena_dup(a, from->spec->versions[i], sizeof(CrdVersion));
        spec.versions[i]->schema = NULL;
    }
    return api_clone(a, &crd);
}

static uint64_t hash_of(const void *object)
{
    struct buf text;
    buf_init(&text);
    wire_encode(object, &text);
    uint64_t hash = hash_bytes(text.data, text.len);
    buf_free(&text);
    return hash;
}

/* In words that last as long as `a`. */
static const char *structure_of(struct arena *a, const Crd *crd)
{
    struct arena scratch;
    arena_init(&scratch);
    const char *problem = crd_structure_problem(&scratch, crd);
    if (problem)
        problem = arena_strdup(a, problem);
    arena_free(&scratch);
    return problem;
}

struct custom_type *custom_type_new(const Crd *from, int64_t create_rev, int64_t mod_rev,
                                    struct error *err)
{
    struct arena arena;
    arena_init(&arena);
    struct custom_type *t = arena_new(&arena, struct custom_type);
    t->arena = arena;
    struct arena *a = &t->arena;
    const Crd *crd = without_schemas(a, from);
    atomic_init(&t->refs, 1);
    t->crd = crd;
    t->spec_hash = hash_of(from->spec);
    t->not_structural = structure_of(a, from);
    t->name = crd->metadata->name;
    t->uid = crd->metadata->uid;
    t->group = crd->spec->group;
    t->create_rev = create_rev;
    t->mod_rev = mod_rev;
    t->established = condition_is(crd, "Established");
    t->accepted = t->established || condition_is(crd, "NamesAccepted");
    t->terminating = crd->metadata->deletion_timestamp || condition_is(crd, "Terminating");
    t->versions = arena_array(a, struct custom_version, crd->spec->n_versions + 1);
    int rc = crd->spec->n_versions > CUSTOM_VERSIONS_MAX
                 ? error_set(err, ERR_LIMIT, "more than %d versions", CUSTOM_VERSIONS_MAX)
                 : 0;
    for (size_t i = 0; rc == 0 && i < crd->spec->n_versions; i++, t->versions_len++)
        make_version(t, crd, crd->spec->versions[i], from->spec->versions[i], &t->versions[i]);
    if (rc == 0) {
        settle(t);
        if (!t->stored)
            rc = error_set(err, ERR_INVALID, "no storage version");
    }
    if (rc < 0) {
        error_wrap(err, "%s", t->name);
        free_type(t);
        return NULL;
    }
    return t;
}

uint32_t resource_listed_verbs(const struct resource *r)
{
    return r->custom && r->custom->type->terminating ? TERMINATING_VERBS : r->verbs;
}

struct custom_type *custom_type_ref(const struct custom_type *t)
{
    struct custom_type *mutable = (struct custom_type *)t;
    if (t)
        atomic_fetch_add(&mutable->refs, 1);
    return mutable;
}

void custom_type_unref(const struct custom_type *t)
{
    struct custom_type *mutable = (struct custom_type *)t;
    if (t && atomic_fetch_sub(&mutable->refs, 1) == 1)
        free_type(mutable);
}

const struct custom_version *custom_type_version(const struct custom_type *t, struct str version)
{
    for (size_t i = 0; i < t->versions_len; i++)
        if (str_eqz(version, t->versions[i].resource.version))
            return &t->versions[i];
    return NULL;
}

const struct resource *resource_ref(const struct resource *r)
{
    if (r && r->custom)
        custom_type_ref(r->custom->type);
    return r;
}

void resource_unref(const struct resource *r)
{
    if (r && r->custom)
        custom_type_unref(r->custom->type);
}
