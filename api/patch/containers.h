/*
 * Arrays and objects of a document that a JSON patch changes, reached without walking them: a patch has room for ten
 * thousand operations, and a list for a million items, which yyjson keeps as one chain each. A large one is looked
 * through once; after that an operation costs as if it were short. The chains are always whole, so that everything
 * else may read the document as before; it must be changed by these functions alone while they are in use.
 */
#ifndef C8S_API_PATCH_CONTAINERS_H
#define C8S_API_PATCH_CONTAINERS_H

#include "base/arena.h"
#include "base/map.h"
#include <yyjson.h>

struct containers {
    struct arena arena;
    struct map known; /* a value's address → what is known of it */
};

void containers_init(struct containers *c);
void containers_free(struct containers *c);

/* i must be in the array; for insertion, or its size. */
yyjson_mut_val *items_get(struct containers *c, yyjson_mut_val *array, size_t i);
void items_insert(struct containers *c, yyjson_mut_val *array, size_t i, yyjson_mut_val *value);
void items_remove(struct containers *c, yyjson_mut_val *array, size_t i);
void items_replace(struct containers *c, yyjson_mut_val *array, size_t i, yyjson_mut_val *value);

/* NULL: there is no such member. */
yyjson_mut_val *named_get(struct containers *c, yyjson_mut_val *object, struct str name);
/* In the place of what has the name, or at the end; the key is the document's. */
void named_put(struct containers *c, yyjson_mut_val *object, yyjson_mut_val *key,
               yyjson_mut_val *value);
void named_remove(struct containers *c, yyjson_mut_val *object, struct str name);

#endif
