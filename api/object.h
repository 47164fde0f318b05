/*
 * Objects: making, copying, comparing and reading any API struct generically.
 *
 * Structs live in an arena and are freed with it. Everything made here or decoded has
 * base.descriptor set (see schema_of), value messages never NULL and value strings never NULL.
 *
 *     Core__V1__Pod *pod = api_new(&arena, Core__V1__Pod);
 *     pod->metadata->name = "web-1";                      // strings may be literals: nothing is
 * freed api_append(&arena, pod->spec, containers, api_new(&arena, Core__V1__Container)); const char
 * *app = labels_get(pod->metadata, "app");
 */
#ifndef C8S_API_OBJECT_H
#define C8S_API_OBJECT_H

#include "api/schema.h"
#include "base/buf.h"
#include "base/error.h"
#include "proto/meta_v1.pb-c.h"

/* A zeroed struct of the schema with its value messages made, recursively. */
void *object_new(struct arena *a, const struct schema_message *m);
#define api_new(arena, Type) ((Type *)object_new((arena), schema_get(Type##__SCHEMA)))

/* Append to a repeated member: api_append(arena, pod->spec, containers, c). The array grows in
 * place when it was the arena's last allocation, else it is copied (never written past its end,
 * wherever it came from): for long lists, allocate the array once with arena_array instead. */
#define api_append(arena, owner, member, ...)                                                     \
    do {                                                                                          \
        (owner)->member =                                                                         \
            object_grow_((arena), (owner)->member, (owner)->n_##member, sizeof *(owner)->member); \
        (owner)->member[(owner)->n_##member++] = (__VA_ARGS__);                                   \
    } while (0)
void *object_grow_(struct arena *a, void *items, size_t n, size_t item_size);

/* Set an optional scalar: api_set(spec, replicas, 3). */
#define api_set(owner, member, ...) ((owner)->has_##member = 1, (owner)->member = (__VA_ARGS__))
/* Read an optional scalar or a fallback: api_get(spec, replicas, 1). */
#define api_get(owner, member, fallback) ((owner)->has_##member ? (owner)->member : (fallback))

/* Deep copy into the arena; strings and bytes are copied too. NULL gives NULL. */
void *object_clone(struct arena *a, const void *object);
#define api_clone(arena, object) ((__typeof__(object))object_clone((arena), (object)))

/* Semantic equality, as apiserver and controllers use it: NULL and empty lists, maps and strings
 * are equal; map order does not matter; quantities compare by value (1 == 1000m); times by instant.
 * Both must be of the same message. NULL equals only NULL. */
bool object_equal(const void *a, const void *b);
/* The same, leaving out one top-level member ("status", "metadata"): did the spec change? */
bool object_equal_except(const void *a, const void *b, const char *json_name);

/* metadata of any top-level struct; NULL when the message has none. */
Meta__V1__ObjectMeta *object_meta(const void *object);
Meta__V1__ListMeta *object_list_meta(const void *object);
/* apiVersion and kind (from the schema); "" for messages that are no kind. */
const char *object_api_version(const void *object);
const char *object_kind(const void *object);

/* Items of a list struct: count, and the i-th as a generic object. */
size_t object_list_len(const void *list);
void *object_list_item(const void *list, size_t i);

/* A member by JSON path ("spec.template.metadata"), inline messages included: where it lies. For
 * scalars *field says how to read *member. Returns NULL when a pointer on the way is NULL or there
 * is no such field. Lists are not descended. */
void *object_member(const void *object, const char *json_path, const struct schema_field **field);
/* A string member by path; NULL when absent or not a string. */
const char *object_string(const void *object, const char *json_path);
/* Set (value is a shallow pointer) or clear a top-level message member: used to keep status from
 * the old object on updates. Copies the pointer, not the content. */
void object_share_member(void *to, const void *from, const char *json_name);

/* --- string maps (labels, annotations, data) -------------------------------------------------- */

typedef Meta__V1__StringEntry StringEntry;

/* NULL when absent. */
const char *string_map_get(StringEntry *const *entries, size_t n, const char *key);
/* Insert or replace (key and value are not copied). */
void string_map_set(struct arena *a, StringEntry ***entries, size_t *n, const char *key,
                    const char *value);
/* True when it was there. */
bool string_map_remove(StringEntry **entries, size_t *n, const char *key);
/* Every entry of `subset` is in `entries` with the same value. */
bool string_map_contains(StringEntry *const *entries, size_t n, StringEntry *const *subset,
                         size_t subset_len);

#define labels_get(meta, key) string_map_get((meta)->labels, (meta)->n_labels, (key))
#define labels_set(arena, meta, key, value) \
    string_map_set((arena), &(meta)->labels, &(meta)->n_labels, (key), (value))
#define annotations_get(meta, key) string_map_get((meta)->annotations, (meta)->n_annotations, (key))
#define annotations_set(arena, meta, key, value) \
    string_map_set((arena), &(meta)->annotations, &(meta)->n_annotations, (key), (value))
#define annotations_remove(meta, key) \
    string_map_remove((meta)->annotations, &(meta)->n_annotations, (key))

/* Quantity maps (requests, limits, capacity): the quantity's text, NULL when absent. */
const char *quantity_map_get(Meta__V1__QuantityEntry *const *entries, size_t n, const char *key);
void quantity_map_set(struct arena *a, Meta__V1__QuantityEntry ***entries, size_t *n,
                      const char *key, const char *quantity);
/* Insert what `from` has and `entries` lack. Maps may be long: it takes n log n. */
void quantity_map_fill(struct arena *a, Meta__V1__QuantityEntry ***entries, size_t *n,
                       Meta__V1__QuantityEntry *const *from, size_t from_len);

#endif
