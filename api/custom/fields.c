/*
 * Field types of custom objects, for server-side apply: by their structural schema (see field_type.h).
 */
#include "api/custom/custom.h"
#include "api/fields/field_type.h"
#include "api/structural/internal.h"
#include <stdlib.h>

static enum field_declared root_member(const struct field_type *t, struct str name,
                                       struct field_type *out);
static enum field_declared member(const struct field_type *t, struct str name,
                                  struct field_type *out);
static void item(const struct field_type *t, struct field_type *out);
static size_t keys(const struct field_type *t, struct field_key out[FIELD_KEYS_MAX]);

/* Nodes: a custom_version at the root, below it a struct structural. */
static const struct field_schema root_fields = {root_member, item, keys};
static const struct field_schema fields = {member, item, keys};

static struct field_type scalar(enum field_scalar s)
{
    return (struct field_type){.kind = FIELD_SCALAR, .scalar = s};
}

static struct field_type of_kind(enum field_kind kind, const struct structural *s)
{
    return (struct field_type){.kind = kind, .schema = &fields, .node = s};
}

static struct field_type type_of(const struct structural *s)
{
    if (!s)
        return field_type_untyped();
    if (s->int_or_string)
        return scalar(FIELD_ANY);
    switch (s->type) {
    case STRUCTURAL_OBJECT:
        if (s->atomic_map)
            return field_type_atomic();
        return of_kind(s->has_additional && s->properties_len == 0 ? FIELD_MAP : FIELD_STRUCT, s);
    case STRUCTURAL_ARRAY:
        if (s->list_type == STRUCTURAL_LIST_ATOMIC || !s->items)
            return field_type_atomic();
        return of_kind(s->list_type == STRUCTURAL_LIST_MAP ? FIELD_LIST_MAP : FIELD_LIST_SET, s);
    case STRUCTURAL_STRING:
        return scalar(FIELD_STRING);
    case STRUCTURAL_INTEGER:
    case STRUCTURAL_NUMBER:
        return scalar(FIELD_NUMBER);
    case STRUCTURAL_BOOLEAN:
        return scalar(FIELD_BOOLEAN);
    case STRUCTURAL_ANY:
        break;
    }
    return field_type_untyped();
}

/* apiVersion, kind and metadata of the root and of embedded resources. */
static bool meta_member(struct str name, struct field_type *out)
{
    bool version = str_eqz(name, "apiVersion") || str_eqz(name, "kind");
    if (version)
        *out = scalar(FIELD_STRING);
    else if (str_eqz(name, "metadata"))
        *out = field_type_of_message(schema_get(Meta__V1__ObjectMeta__SCHEMA));
    else
        return false;
    return true;
}

static enum field_declared member_of(const struct structural *s, struct str name,
                                     struct field_type *out)
{
    const struct structural *below = structural_member(s, name);
    *out = type_of(below);
    if (!s || s->preserve_unknown || s->has_additional) {
        return s && structural_find(s, name) ? FIELD_DECLARED : FIELD_UNDECLARED;
    }
    return below ? FIELD_DECLARED : FIELD_UNKNOWN;
}

static enum field_declared root_member(const struct field_type *t, struct str name,
                                       struct field_type *out)
{
    const struct custom_version *v = t->node;
    if (meta_member(name, out))
        return FIELD_DECLARED;
    enum field_declared declared = member_of(v->schema, name, out);
    return declared == FIELD_UNKNOWN && v->keep_unknown ? FIELD_UNDECLARED : declared;
}

static enum field_declared member(const struct field_type *t, struct str name,
                                  struct field_type *out)
{
    const struct structural *s = t->node;
    if (s->embedded_resource && meta_member(name, out))
        return FIELD_DECLARED;
    return member_of(s, name, out);
}

static void item(const struct field_type *t, struct field_type *out)
{
    const struct structural *s = t->node;
    *out = type_of(s->items);
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct field_key *)a)->name, ((const struct field_key *)b)->name);
}

static size_t keys(const struct field_type *t, struct field_key out[FIELD_KEYS_MAX])
{
    const struct structural *s = t->node;
    size_t n = 0;
    for (const char *const *k = s->list_keys; *k && n < FIELD_KEYS_MAX; k++) {
        const struct structural *key = structural_member(s->items, str_from(*k));
        const char *value = key ? key->default_json : NULL;
        out[n++] = (struct field_key){str_from(*k), value ? str_from(value) : STR_NONE};
    }
    qsort(out, n, sizeof *out, by_name);
    return n;
}

struct field_type field_type_of_custom(const struct custom_version *v)
{
    return (struct field_type){.kind = FIELD_STRUCT, .schema = &root_fields, .node = v};
}
