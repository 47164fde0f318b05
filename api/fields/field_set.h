/*
 * Field sets: paths of fields in an object, as managedFields records them (FieldsV1).
 *
 *     {"f:spec":{"f:replicas":{},"f:template":{".":{},"f:spec":{…}}}}
 *
 * A set is a tree of nodes in an arena. A node stands for a path; it is a member of the set itself
 * (".") or only leads to members. Children are sorted by kind and name, so that every operation is one
 * walk along both operands. Sets are immutable once made: results share nodes with their operands.
 * NULL is the empty set. Nothing is deeper than FIELD_SET_DEPTH_MAX (who makes sets sees to that).
 */
#ifndef C8S_API_FIELDS_FIELD_SET_H
#define C8S_API_FIELDS_FIELD_SET_H

#include "api/fields/field_type.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

#define FIELD_SET_DEPTH_MAX 128

/* A path element: one step from an object to its part. */
struct field_step {
    char kind; /* 'f' member, 'k' item by its keys, 'v' item of a set, 'i' index; 0: the root */
    struct str
        name; /* f: the name; k: {"name":"a"} (keys sorted); v: the value as JSON; i: digits */
};

struct field_set {
    struct field_step step;
    bool member;
    struct field_set *children, *next;
};

/* Order of steps among siblings. */
int field_step_compare(const struct field_step *a, const struct field_step *b);
static inline struct field_step field_step_member(struct str name)
{
    return (struct field_step){'f', name};
}
/* As people read it: `.replicas`, `[name="web"]`, `[="a"]`. */
void field_step_text(struct arena *a, const struct field_step *s, struct buf *out);

/* ---- making ---- */

struct field_set *field_set_new(struct arena *a, struct field_step step, bool member);
/* Append children in order; `tail` starts as &parent->children. NULL is not appended. */
static inline struct field_set **field_set_append(struct field_set **tail, struct field_set *child)
{
    if (!child)
        return tail;
    *tail = child;
    return &child->next;
}

/* ---- FieldsV1 ---- */

/* "" and {} give NULL. ERR_INVALID: not nested objects, or an element that is none. */
int field_set_parse(struct arena *a, struct str fields_v1, struct field_set **out,
                    struct error *err);
void field_set_write(const struct field_set *s, struct buf *out);

/* ---- operations ---- */

struct field_set *field_set_union(struct arena *a, const struct field_set *x,
                                  const struct field_set *y);
struct field_set *field_set_intersection(struct arena *a, const struct field_set *x,
                                         const struct field_set *y);
/* What is in x and not in y. A parent in y does not take its children with it. */
struct field_set *field_set_difference(struct arena *a, const struct field_set *x,
                                       const struct field_set *y);
/* The same, but a member of y takes everything below it along. */
struct field_set *field_set_without_trees(struct arena *a, const struct field_set *x,
                                          const struct field_set *y);
bool field_set_equal(const struct field_set *x, const struct field_set *y);
/* The set and, as members, all declared members of structs that lead to its members. */
struct field_set *field_set_with_named(struct arena *a, const struct field_set *s,
                                       const struct field_type *type);

/* Every member's path as people read it: `.spec.containers[name="web"].image`. */
typedef void field_set_path_fn(void *ctx, const char *path);
void field_set_each(struct arena *a, const struct field_set *s, field_set_path_fn *each, void *ctx);

#endif
