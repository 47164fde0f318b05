/*
 * Sets that were made when a type merged otherwise: see owners_reconcile.
 */
#include "api/fields/managed_internal.h"

/* The type of a part that a step leads to; false: nothing is known of it. */
static bool part_type(const struct field_type *t, const struct field_step *step,
                      struct field_type *out)
{
    if (t->kind == FIELD_STRUCT || t->kind == FIELD_MAP)
        return step->kind == 'f' && field_type_member(t, step->name, out) != FIELD_UNKNOWN;
    if (t->kind != FIELD_LIST_MAP && t->kind != FIELD_LIST_SET)
        return false;
    t->schema->item(t, out);
    return true;
}

static bool has_parts_of_wholes(const struct field_set *s, const struct field_type *t)
{
    struct field_type part;
    for (const struct field_set *c = s ? s->children : NULL; c; c = c->next)
        if (c->children && part_type(t, &c->step, &part) &&
            (part.kind == FIELD_ATOMIC || has_parts_of_wholes(c, &part)))
            return true;
    return false;
}

static struct field_set *with_wholes(struct arena *a, const struct field_set *s,
                                     const struct field_type *t)
{
    struct field_set *out = field_set_new(a, s->step, s->member), **tail = &out->children;
    for (const struct field_set *c = s->children; c; c = c->next) {
        struct field_type part;
        bool known = c->children && part_type(t, &c->step, &part);
        struct field_set *copy = known && part.kind != FIELD_ATOMIC
                                     ? with_wholes(a, c, &part)
                                     : field_set_new(a, c->step, c->member || known);
        if (!known)
            copy->children = c->children;
        tail = field_set_append(tail, copy);
    }
    return out;
}

void owners_reconcile(struct owners *o, const void *live)
{
    for (size_t i = 0; i < o->len; i++) {
        struct owner *w = &o->all[i];
        const struct field_set *set = owner_set(o, w);
        const void *seen = object_at_version(o->a, live, w->api_version);
        if (!seen)
            continue;
        struct field_type type = field_type_of_message(schema_of(seen));
        if (has_parts_of_wholes(set, &type))
            owner_set_put(w, with_wholes(o->a, set, &type));
    }
}
