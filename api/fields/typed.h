/*
 * Typed values: a JSON tree seen with its field types, and the operations of server-side apply on it.
 *
 * The walk is made once: every part of the value that merges on its own becomes a node with its path
 * element, sorted among its siblings, so that comparing two values, merging them or taking a set of
 * fields out of one is a walk along sorted lists. Semantics are those published for structured merges;
 * null stands for an empty map or list wherever one is expected.
 *
 * Nodes live in the arena, JSON values in the document; neither operand is ever changed (results
 * contain copies).
 */
#ifndef C8S_API_FIELDS_TYPED_H
#define C8S_API_FIELDS_TYPED_H

#include "api/fields/field_set.h"
#include <yyjson.h>

enum typed_form { TYPED_LEAF, TYPED_MAP, TYPED_LIST };

struct typed {
    struct field_step step;
    struct field_type type;
    enum typed_form form;
    bool declared;  /* a declared member of a struct */
    bool duplicate; /* another item of its list has the same step */
    uint32_t index; /* in its list or object */
    yyjson_mut_val *value;
    const struct field_set *mark; /* scratch of one operation */
    struct typed **children;      /* TYPED_MAP, TYPED_LIST: sorted by step */
    struct typed **in_order;      /* TYPED_LIST: as they stand in the list */
    size_t len;
};

struct typed_space {
    struct arena *a;
    yyjson_mut_doc *doc;
};

/*
 * `strict`: as an applied configuration must be: only declared fields, scalars of their type, no item twice.
 * ERR_INVALID then says which field (".spec.foo: field not declared in schema"). Otherwise what does
 * not fit is one value, and duplicates are kept apart.
 */
int typed_new(struct typed_space *s, const struct field_type *type, yyjson_mut_val *value,
              bool strict, struct typed **out, struct error *err);
/* Every leaf of a configuration, and its list items and map keys. */
struct field_set *typed_fields(struct typed_space *s, const struct typed *v);

struct field_delta {
    struct field_set *added, *modified, *removed;
};
void typed_compare(struct typed_space *s, const struct typed *old, const struct typed *now,
                   struct field_delta *out);
/* `over` laid over `base`: what only base has stays, in its order. */
yyjson_mut_val *typed_merge(struct typed_space *s, const struct typed *base,
                            const struct typed *over);
/* A copy without the members of the set, and what is below them. */
yyjson_mut_val *typed_without(struct typed_space *s, const struct typed *v,
                              const struct field_set *set);
/* Equal as JSON: numbers by value, members in any order. */
bool json_values_equal(yyjson_mut_val *a, yyjson_mut_val *b);

#endif
