/*
 * Objects: making, copying and comparing structs by their schema.
 */
#include "api/codec_internal.h"
#include "api/quantity.h"
#include "base/map.h"
#include <stdlib.h>

const char zero_struct[ZERO_STRUCT_SIZE];
const char empty_list[1];

size_t element_size(const struct schema_field *f)
{
    switch ((enum schema_type)f->type) {
    case SCHEMA_BOOL:
        return sizeof(protobuf_c_boolean);
    case SCHEMA_INT32:
        return sizeof(int32_t);
    case SCHEMA_INT64:
    case SCHEMA_DOUBLE:
        return sizeof(int64_t);
    case SCHEMA_BYTES:
        return sizeof(ProtobufCBinaryData);
    case SCHEMA_STRING:
    case SCHEMA_MESSAGE:
        return sizeof(void *);
    }
    return 0;
}

void *object_alloc(struct arena *a, const struct schema_message *m)
{
    assert(m->size <= ZERO_STRUCT_SIZE);
    void *object = arena_zalloc(a, m->size);
    *(const struct schema_message **)object = m;
    return object;
}

void object_fill(struct arena *a, const struct schema_message *m, void *object)
{
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->label != SCHEMA_VALUE)
            continue;
        if (f->type == SCHEMA_STRING && !MEMBER(object, f, char *))
            MEMBER(object, f, const char *) = "";
        else if (f->type == SCHEMA_MESSAGE && !MEMBER(object, f, void *))
            MEMBER(object, f, void *) = object_new(a, schema_field_message(f));
    }
}

size_t object_fill_size(const struct schema_message *m, const void *object)
{
    size_t total = 0;
    if (m->filled_size == m->size)
        return 0;
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->label == SCHEMA_VALUE && f->type == SCHEMA_MESSAGE &&
            !MEMBER_CONST(object, f, void *))
            total += schema_field_message(f)->filled_size;
    }
    return total;
}

void *object_new(struct arena *a, const struct schema_message *m)
{
    void *object = object_alloc(a, m);
    object_fill(a, m, object);
    return object;
}

void *object_grow_(struct arena *a, void *items, size_t n, size_t item_size)
{
    return arena_grow(a, items, n * item_size, (n + 1) * item_size);
}

void *array_grow(struct arena *a, void *items, size_t n, size_t item_size)
{
    if (n & (n - 1))
        return items; /* room up to the next power of two */
    return arena_grow(a, items, n * item_size, (n ? 2 * n : 1) * item_size);
}

/* --- maps --------------------------------------------------------------------------------------
 */

static int entry_compare(const void *a, const void *b)
{
    return strcmp(entry_key(*(void *const *)a), entry_key(*(void *const *)b));
}

/* Stable: insertion sort for what is nearly sorted or short, merge for the rest. */
static void entries_sort(void **entries, size_t n)
{
    if (n < 2)
        return;
    if (n <= 8) {
        for (size_t i = 1; i < n; i++) {
            void *e = entries[i];
            size_t j = i;
            for (; j > 0 && entry_compare(&entries[j - 1], &e) > 0; j--)
                entries[j] = entries[j - 1];
            entries[j] = e;
        }
        return;
    }
    size_t half = n / 2;
    entries_sort(entries, half);
    entries_sort(entries + half, n - half);
    void **left = mem_dup(entries, half * sizeof *entries);
    size_t i = 0, j = half, k = 0;
    while (i < half && j < n)
        entries[k++] = entry_compare(&entries[j], &left[i]) < 0 ? entries[j++] : left[i++];
    while (i < half)
        entries[k++] = left[i++];
    mem_free(left);
}

void map_normalize(void **entries, size_t *n)
{
    bool ascending = true;
    for (size_t i = 1; i < *n && ascending; i++)
        ascending = entry_compare(&entries[i - 1], &entries[i]) < 0;
    if (ascending)
        return;
    entries_sort(entries, *n);
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        if (kept > 0 && entry_compare(&entries[kept - 1], &entries[i]) == 0)
            kept--; /* the later one wins */
        entries[kept++] = entries[i];
    }
    *n = kept;
}

const char *string_map_get(StringEntry *const *entries, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entries[i]->key, key) == 0)
            return entries[i]->value ? entries[i]->value : "";
    }
    return NULL;
}

void string_map_set(struct arena *a, StringEntry ***entries, size_t *n, const char *key,
                    const char *value)
{
    StringEntry *entry = api_new(a, Meta__V1__StringEntry);
    entry->key = (char *)key;
    entry->value = (char *)value;
    for (size_t i = 0; i < *n; i++) {
        if (strcmp((*entries)[i]->key, key) == 0) {
            /* A fresh array and entry: clones and cached objects may share the old ones. */
            *entries = arena_dup(a, *entries, *n * sizeof **entries);
            (*entries)[i] = entry;
            return;
        }
    }
    *entries = object_grow_(a, *entries, *n, sizeof **entries);
    (*entries)[(*n)++] = entry;
}

bool string_map_remove(StringEntry **entries, size_t *n, const char *key)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(entries[i]->key, key) == 0) {
            memmove(&entries[i], &entries[i + 1], (*n - i - 1) * sizeof *entries);
            (*n)--;
            return true;
        }
    }
    return false;
}

#define FEW_ENTRIES 16 /* so many are looked for one by one */

bool string_map_contains(StringEntry *const *entries, size_t n, StringEntry *const *subset,
                         size_t subset_len)
{
    bool many = n > FEW_ENTRIES && subset_len > FEW_ENTRIES, all = true;
    struct map index;
    map_init(&index);
    for (size_t i = many ? n : 0; i-- > 0;) /* of two of a key the first one counts */
        map_put(&index, str_from(entries[i]->key), entries[i]->value);
    for (size_t i = 0; i < subset_len && all; i++) {
        const char *key = subset[i]->key;
        const char *value =
            many ? map_get(&index, str_from(key)) : string_map_get(entries, n, key);
        all = value && cstr_eq(value, subset[i]->value);
    }
    map_free(&index);
    return all;
}

const char *quantity_map_get(Meta__V1__QuantityEntry *const *entries, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(entries[i]->key, key) == 0)
            return entries[i]->value && entries[i]->value->string ? entries[i]->value->string : "0";
    }
    return NULL;
}

void quantity_map_set(struct arena *a, Meta__V1__QuantityEntry ***entries, size_t *n,
                      const char *key, const char *quantity)
{
    Meta__V1__QuantityEntry *entry = api_new(a, Meta__V1__QuantityEntry);
    entry->key = (char *)key;
    entry->value->string = (char *)quantity;
    for (size_t i = 0; i < *n; i++) {
        if (strcmp((*entries)[i]->key, key) == 0) {
            *entries = arena_dup(a, *entries, *n * sizeof **entries);
            (*entries)[i] = entry;
            return;
        }
    }
    *entries = object_grow_(a, *entries, *n, sizeof **entries);
    (*entries)[(*n)++] = entry;
}

void quantity_map_fill(struct arena *a, Meta__V1__QuantityEntry ***entries, size_t *n,
                       Meta__V1__QuantityEntry *const *from, size_t from_len)
{
    size_t total = 0;
    if (from_len <= FEW_ENTRIES) {
        for (size_t i = 0; i < from_len; i++) {
            if (!quantity_map_get(*entries, *n, from[i]->key))
                quantity_map_set(a, entries, n, from[i]->key, from[i]->value->string);
        }
        return;
    }
    Meta__V1__QuantityEntry **all = arena_array(a, Meta__V1__QuantityEntry *, *n + from_len);
    for (size_t i = 0; i < from_len; i++) {
        all[total] = api_new(a, Meta__V1__QuantityEntry);
        all[total]->key = from[i]->key;
        all[total++]->value->string = from[i]->value->string;
    }
    for (size_t i = 0; i < *n; i++)
        all[total++] = (*entries)[i];
    map_normalize((void **)all, &total); /* of two of a key the later one stays */
    *entries = all;
    *n = total;
}

/* --- clone -------------------------------------------------------------------------------------
 */

static ProtobufCBinaryData bytes_clone(struct arena *a, ProtobufCBinaryData b)
{
    return (ProtobufCBinaryData){b.len, b.len ? arena_dup(a, b.data, b.len) : NULL};
}

static void list_clone(struct arena *a, const struct schema_field *f, const void *from, void *to)
{
    size_t n = member_count_get(from, f);
    const void *items = MEMBER_CONST(from, f, void *);
    *member_count(to, f) = n;
    if (n == 0) {
        MEMBER(to, f, const void *) = items == empty_list ? items : NULL;
        return;
    }
    void *copy = arena_dup(a, items, n * element_size(f));
    MEMBER(to, f, void *) = copy;
    for (size_t i = 0; i < n; i++) {
        if (f->type == SCHEMA_MESSAGE)
            ((void **)copy)[i] = object_clone(a, ((void *const *)items)[i]);
        else if (f->type == SCHEMA_STRING)
            ((char **)copy)[i] = arena_strdup(a, ((char *const *)items)[i]);
        else if (f->type == SCHEMA_BYTES)
            ((ProtobufCBinaryData *)copy)[i] =
                bytes_clone(a, ((const ProtobufCBinaryData *)items)[i]);
    }
}

void *object_clone(struct arena *a, const void *object)
{
    if (!object)
        return NULL;
    const struct schema_message *m = schema_of(object);
    void *copy = arena_dup(a, object, m->size);
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (field_is_list(f)) {
            list_clone(a, f, object, copy);
        } else if (f->type == SCHEMA_MESSAGE) {
            MEMBER(copy, f, void *) = object_clone(a, MEMBER_CONST(object, f, void *));
        } else if (f->type == SCHEMA_STRING && MEMBER_CONST(object, f, char *)) {
            const char *s = MEMBER_CONST(object, f, char *);
            MEMBER(copy, f, const char *) = *s ? arena_strdup(a, s) : "";
        } else if (f->type == SCHEMA_BYTES) {
            MEMBER(copy, f, ProtobufCBinaryData) =
                bytes_clone(a, MEMBER_CONST(object, f, ProtobufCBinaryData));
        }
    }
    return copy;
}

/* --- equality ----------------------------------------------------------------------------------
 */

static bool message_equal(const struct schema_message *m, const void *a, const void *b);

static bool bytes_equal(ProtobufCBinaryData a, ProtobufCBinaryData b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static bool element_equal(const struct schema_field *f, const void *a, const void *b, size_t i)
{
    switch ((enum schema_type)f->type) {
    case SCHEMA_BOOL:
        return ((const protobuf_c_boolean *)a)[i] == ((const protobuf_c_boolean *)b)[i];
    case SCHEMA_INT32:
        return ((const int32_t *)a)[i] == ((const int32_t *)b)[i];
    case SCHEMA_INT64:
        return ((const int64_t *)a)[i] == ((const int64_t *)b)[i];
    case SCHEMA_DOUBLE:
        return ((const double *)a)[i] == ((const double *)b)[i];
    case SCHEMA_STRING:
        return cstr_eq(((char *const *)a)[i], ((char *const *)b)[i]);
    case SCHEMA_BYTES:
        return bytes_equal(((const ProtobufCBinaryData *)a)[i],
                           ((const ProtobufCBinaryData *)b)[i]);
    case SCHEMA_MESSAGE:
        return message_equal(schema_field_message(f), ((void *const *)a)[i], ((void *const *)b)[i]);
    }
    return false;
}

static bool map_equal(const struct schema_field *f, void *const *a, void *const *b, size_t n)
{
    const struct schema_field *value = schema_map_value(f);
    for (size_t i = 0; i < n; i++) {
        size_t j = i; /* most maps are in the same order */
        if (strcmp(entry_key(a[i]), entry_key(b[i])) != 0) {
            for (j = 0; j < n && strcmp(entry_key(a[i]), entry_key(b[j])) != 0; j++)
                ;
            if (j == n)
                return false;
        }
        if (!element_equal(value, (const char *)a[i] + value->offset,
                           (const char *)b[j] + value->offset, 0))
            return false;
    }
    return true;
}

bool member_equal(const struct schema_field *f, const void *a, const void *b)
{
    if (field_is_list(f)) {
        size_t n = member_count_get(a, f);
        if (n != member_count_get(b, f))
            return false;
        const void *x = MEMBER_CONST(a, f, void *), *y = MEMBER_CONST(b, f, void *);
        if (f->label == SCHEMA_MAP)
            return map_equal(f, (void *const *)x, (void *const *)y, n);
        for (size_t i = 0; i < n; i++) {
            if (!element_equal(f, x, y, i))
                return false;
        }
        return true;
    }
    const char *x = (const char *)a + f->offset, *y = (const char *)b + f->offset;
    if (f->label == SCHEMA_POINTER) {
        if (f->type == SCHEMA_STRING || f->type == SCHEMA_MESSAGE) {
            if (!*(void *const *)x != !*(void *const *)y)
                return false;
            if (!*(void *const *)x)
                return true;
        } else if (f->type != SCHEMA_BYTES) {
            if (member_has(a, f) != member_has(b, f))
                return false;
            if (!member_has(a, f))
                return true;
        }
    }
    return element_equal(f, x, y, 0);
}

static bool special_equal(const struct schema_message *m, const void *a, const void *b, bool *equal)
{
    if (m->special == SCHEMA_QUANTITY) {
        *equal = quantity_cmp(quantity_of(((const Meta__V1__Quantity *)a)->string),
                              quantity_of(((const Meta__V1__Quantity *)b)->string)) == 0;
        return true;
    }
    if (m->special == SCHEMA_TIME) {
        *equal = ((const Meta__V1__Time *)a)->seconds == ((const Meta__V1__Time *)b)->seconds;
        return true;
    }
    return false;
}

static bool message_equal(const struct schema_message *m, const void *a, const void *b)
{
    if (a == b)
        return true;
    a = a ? a : zero_struct;
    b = b ? b : zero_struct;
    bool equal;
    if (special_equal(m, a, b, &equal))
        return equal;
    for (unsigned i = 0; i < m->field_count; i++) {
        if (!member_equal(schema_field_at(m, i), a, b))
            return false;
    }
    return true;
}

bool object_equal(const void *a, const void *b)
{
    if (!a || !b)
        return a == b;
    assert(schema_of(a) == schema_of(b));
    return message_equal(schema_of(a), a, b);
}

bool object_equal_except(const void *a, const void *b, const char *json_name)
{
    const struct schema_message *m = schema_of(a);
    assert(m == schema_of(b));
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (strcmp(schema_string(f->json_name), json_name) != 0 && !member_equal(f, a, b))
            return false;
    }
    return true;
}

/* --- generic access ----------------------------------------------------------------------------
 */

Meta__V1__ObjectMeta *object_meta(const void *object)
{
    const struct schema_message *m = schema_of(object);
    if (!(m->flags & SCHEMA_HAS_OBJECT_META))
        return NULL;
    return MEMBER_CONST(object, schema_field_at(m, 0), Meta__V1__ObjectMeta *);
}

Meta__V1__ListMeta *object_list_meta(const void *object)
{
    const struct schema_message *m = schema_of(object);
    if (!(m->flags & SCHEMA_HAS_LIST_META))
        return NULL;
    return MEMBER_CONST(object, schema_field_at(m, 0), Meta__V1__ListMeta *);
}

const char *object_api_version(const void *object)
{
    return message_api_version(schema_of(object));
}

const char *object_kind(const void *object)
{
    return message_kind(schema_of(object));
}

static const struct schema_field *list_items_field(const void *list)
{
    const struct schema_message *m = schema_of(list);
    assert(m->flags & SCHEMA_HAS_LIST_META);
    const struct schema_field *f = schema_field_by_number(m, 2);
    assert(f && f->label == SCHEMA_REPEATED && f->type == SCHEMA_MESSAGE);
    return f;
}

size_t object_list_len(const void *list)
{
    return member_count_get(list, list_items_field(list));
}

void *object_list_item(const void *list, size_t i)
{
    const struct schema_field *f = list_items_field(list);
    assert(i < member_count_get(list, f));
    return MEMBER_CONST(list, f, void **)[i];
}

void *object_member(const void *object, const char *json_path, const struct schema_field **field)
{
    struct str rest = str_from(json_path), part;
    const struct schema_message *m = schema_of(object);
    const char *at = object;
    while (str_split(&rest, '.', &part)) {
        const struct schema_field *via, *f = schema_field_by_json(m, part, &via);
        while (f && via) { /* step into the inlined message, which may inline another */
            at = MEMBER_CONST(at, via, char *);
            if (!at)
                return NULL;
            m = schema_field_message(via);
            f = schema_field_by_json(m, part, &via);
        }
        if (!f)
            return NULL;
        if (!rest.p) {
            *field = f;
            return (char *)at + f->offset;
        }
        if (f->type != SCHEMA_MESSAGE || field_is_list(f))
            return NULL;
        at = MEMBER_CONST(at, f, char *);
        if (!at)
            return NULL;
        m = schema_field_message(f);
    }
    return NULL;
}

const char *object_string(const void *object, const char *json_path)
{
    const struct schema_field *f;
    void *member = object_member(object, json_path, &f);
    return member && f->type == SCHEMA_STRING && !field_is_list(f) ? *(char **)member : NULL;
}

void object_share_member(void *to, const void *from, const char *json_name)
{
    assert(schema_of(to) == schema_of(from));
    const struct schema_field *f, *g;
    void *target = object_member(to, json_name, &f);
    void *source = object_member(from, json_name, &g);
    if (!target || !source)
        return;
    memcpy(target, source, field_is_list(f) ? sizeof(void *) : element_size(f));
    if (field_is_list(f))
        *member_count(to, f) = member_count_get(from, f);
    else if (f->count_offset)
        *(protobuf_c_boolean *)((char *)to + f->count_offset) = member_has(from, f);
}
