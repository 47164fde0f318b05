/*
 * Shared by the patch files: objects as arrays of pairs with a key index.
 */
#ifndef C8S_API_PATCH_INTERNAL_H
#define C8S_API_PATCH_INTERNAL_H

#include "api/patch/patch.h"
#include "base/map.h"
#include "base/mem.h"

#define PATCH_DEPTH_MAX 200

/* The members of an object, taken out so that they can be put into another (a value of yyjson's
 * mutable trees is in one container at a time). With duplicate keys the last counts. */
struct members {
    struct member {
        yyjson_mut_val *key, *value;
        bool used;
    } * items;
    size_t len;
    struct map index; /* key → item */
};

void members_take(struct members *m, yyjson_mut_val *object); /* NULL or no object: none */
void members_free(struct members *m);
struct member *members_find(const struct members *m, struct str key);

/* How a member merges: from its schema field, or as plain JSON without one. */
struct merge_rule {
    const struct schema_message
        *message;          /* of the member, or of its items or values; NULL: untyped */
    const char *merge_key; /* lists of objects; "" none */
    bool map;              /* the member's own members are keys */
    bool merge_list;       /* items merge: by key, or as a set */
    bool replace;
    bool retain_keys;
};

/* The rule of a JSON member of `m` (NULL: untyped), inlined messages included. */
struct merge_rule merge_rule_of(const struct schema_message *m, struct str name);

static inline struct str mut_str(yyjson_mut_val *v)
{
    return str_make(yyjson_mut_get_str(v), yyjson_mut_get_len(v));
}

/* The items of an array, taken out. Free with mem_free. */
yyjson_mut_val **items_take(yyjson_mut_val *array, size_t *n);
/* Text that is equal for equal scalars: a merge key's value, a primitive list's item. p NULL for
 * others. */
struct str scalar_key(yyjson_mut_val *v);
/* As Go prints a value with %v: map[a:1 b:[x y] c:<nil>]. For messages that clients compare. */
void go_format(yyjson_mut_val *v, struct buf *out);
#define SHOWN_MAX 200 /* of a value in a message */
/*
 * The directives of one object of a strategic patch: $retainKeys is a list and names every member,
 * $setElementOrder/x fits the items of x, $deleteFromPrimitiveList/x is a list. ERR_INVALID, or
 * ERR_INTERNAL where items and their order contradict each other.
 */
int directives_check(const struct members *patch, const struct schema_message *m,
                     struct error *err);
/* Nested no deeper than PATCH_DEPTH_MAX? Patches recurse. */
bool depth_is_fine(yyjson_val *v, int depth);
bool mut_depth_is_fine(yyjson_mut_val *v, int depth);

#endif
