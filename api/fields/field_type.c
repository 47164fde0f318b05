/*
 * Field types by the schema tables: see field_type.h.
 */
#include "api/custom/custom.h"
#include "api/fields/field_type.h"
#include <stdlib.h>

static enum field_declared table_member(const struct field_type *t, struct str name,
                                        struct field_type *out);
static void table_item(const struct field_type *t, struct field_type *out);
static size_t table_keys(const struct field_type *t, struct field_key out[FIELD_KEYS_MAX]);

static const struct field_schema tables = {table_member, table_item, table_keys};

static struct field_type scalar(enum field_scalar s)
{
    return (struct field_type){.kind = FIELD_SCALAR, .scalar = s};
}

/* Messages whose JSON form is not an object of their fields. */
static struct field_type special_type(const struct schema_message *m)
{
    switch ((enum schema_special)m->special) {
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_DURATION:
        return scalar(FIELD_STRING);
    case SCHEMA_QUANTITY:
    case SCHEMA_INT_OR_STRING:
        return scalar(FIELD_ANY);
    default:
        return field_type_atomic();
    }
}

struct field_type field_type_of_message(const struct schema_message *m)
{
    if (m->special == SCHEMA_CUSTOM && custom_of_message(m))
        return field_type_of_custom(custom_of_message(m));
    if (m->special != SCHEMA_PLAIN)
        return special_type(m);
    if (m->flags & SCHEMA_MESSAGE_ATOMIC)
        return field_type_atomic();
    return (struct field_type){.kind = FIELD_STRUCT, .schema = &tables, .node = m};
}

static struct field_type element_type(const struct schema_field *f)
{
    switch ((enum schema_type)f->type) {
    case SCHEMA_MESSAGE:
        return field_type_of_message(schema_field_message(f));
    case SCHEMA_BOOL:
        return scalar(FIELD_BOOLEAN);
    case SCHEMA_INT32:
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
        return scalar(FIELD_NUMBER);
    default:
        return scalar(FIELD_STRING);
    }
}

struct field_type field_type_of_field(const struct schema_field *f)
{
    if (f->flags & SCHEMA_ATOMIC)
        return field_type_atomic();
    if (f->flags & SCHEMA_GRANULAR)
        return (struct field_type){
            .kind = FIELD_STRUCT, .schema = &tables, .node = schema_field_message(f)};
    if (f->label == SCHEMA_MAP)
        return (struct field_type){.kind = FIELD_MAP, .schema = &tables, .node = f};
    if (f->label != SCHEMA_REPEATED)
        return element_type(f);
    if (f->list_type == SCHEMA_LIST_MAP && f->type == SCHEMA_MESSAGE)
        return (struct field_type){.kind = FIELD_LIST_MAP, .schema = &tables, .node = f};
    if (f->list_type == SCHEMA_LIST_SET)
        return (struct field_type){.kind = FIELD_LIST_SET, .schema = &tables, .node = f};
    return field_type_atomic();
}

static enum field_declared table_member(const struct field_type *t, struct str name,
                                        struct field_type *out)
{
    if (t->kind == FIELD_MAP) {
        *out = element_type(schema_map_value(t->node));
        const struct schema_field *value = schema_map_value(t->node);
        if (value->label == SCHEMA_REPEATED)
            *out = field_type_of_field(value);
        return FIELD_UNDECLARED;
    }
    const struct schema_message *m = t->node;
    if ((m->flags & SCHEMA_HAS_TYPE_META) &&
        (str_eqz(name, "apiVersion") || str_eqz(name, "kind"))) {
        *out = scalar(FIELD_STRING);
        return FIELD_DECLARED;
    }
    const struct schema_field *via, *f = schema_field_by_json(m, name, &via);
    while (f && via) {
        m = schema_field_message(via);
        f = schema_field_by_json(m, name, &via);
    }
    *out = f ? field_type_of_field(f) : field_type_untyped();
    return f ? FIELD_DECLARED : FIELD_UNKNOWN;
}

static void table_item(const struct field_type *t, struct field_type *out)
{
    *out = element_type(t->node);
}

static int by_name(const void *a, const void *b)
{
    return str_cmp(((const struct field_key *)a)->name, ((const struct field_key *)b)->name);
}

static size_t table_keys(const struct field_type *t, struct field_key out[FIELD_KEYS_MAX])
{
    const struct schema_field *list = t->node, *via;
    const struct schema_message *m = schema_field_message(list);
    struct str rest = str_from(schema_string(list->list_keys)), name;
    size_t n = 0;
    while (n < FIELD_KEYS_MAX && rest.n && str_split(&rest, ',', &name)) {
        const struct schema_field *f = schema_field_by_json(m, name, &via);
        struct str value = f ? str_from(schema_string(f->default_value)) : STR_NONE;
        out[n++] = (struct field_key){name, value.n ? value : STR_NONE};
    }
    if (n > 1)
        qsort(out, n, sizeof *out, by_name);
    return n;
}

enum field_declared field_type_member(const struct field_type *t, struct str name,
                                      struct field_type *out)
{
    if (t->schema)
        return t->schema->member(t, name, out);
    *out = field_type_untyped();
    return FIELD_UNDECLARED;
}
