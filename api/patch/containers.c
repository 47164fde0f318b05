/*
 * Large arrays and objects of a document: see containers.h.
 *
 * An array's chain is known by the first node of every so many (a chunk); an object's by name, with the neighbours of
 * each member.
 */
#include "api/patch/containers.h"
#include "api/patch/internal.h"
#include "base/vec.h"

#define FEW 64    /* so many are walked */
#define CHUNK 256 /* nodes, when it is made; at most twice as many */

struct chunk {
    yyjson_mut_val *first;
    size_t len;
};

struct named {
    yyjson_mut_val *key;
    struct named *before, *after;
};

struct container {
    VEC(struct chunk) chunks; /* of an array */
    struct map names;         /* of an object: name → struct named */
    struct named *last;
};

void containers_init(struct containers *c)
{
    arena_init(&c->arena);
    map_init(&c->known);
}

void containers_free(struct containers *c)
{
    struct map_iter it = {0};
    while (map_next(&c->known, &it)) {
        struct container *one = it.value;
        vec_free(&one->chunks);
        map_free(&one->names);
    }
    map_free(&c->known);
    arena_free(&c->arena);
}

static struct str address(yyjson_mut_val *const *v)
{
    return str_make((const char *)v, sizeof *v);
}

static struct container *known(struct containers *c, yyjson_mut_val *v)
{
    return c->known.len ? map_get(&c->known, address(&v)) : NULL;
}

static struct container *know(struct containers *c, yyjson_mut_val *v)
{
    struct container *one = arena_new(&c->arena, struct container);
    map_init(&one->names);
    map_put(&c->known, address(&v), one);
    return one;
}

/* ---- arrays ---- */

static yyjson_mut_val *last_of(const yyjson_mut_val *container)
{
    return container->uni.ptr;
}

/* NULL: it is short, and walked. */
static struct container *array_of(struct containers *c, yyjson_mut_val *array)
{
    struct container *one = known(c, array);
    size_t n = yyjson_mut_arr_size(array);
    if (one || n <= FEW)
        return one;
    one = know(c, array);
    yyjson_mut_val *v = last_of(array)->next;
    for (size_t i = 0; i < n; i++, v = v->next) {
        struct chunk chunk = {v, MIN(CHUNK, n - i)};
        if (i % CHUNK == 0)
            vec_push(&one->chunks, chunk);
    }
    return one;
}

struct position {
    size_t chunk, offset; /* the chunk behind the last one: the end */
};

static struct position position_of(const struct container *one, size_t i)
{
    struct position p = {0, i};
    while (p.chunk < one->chunks.len && p.offset >= one->chunks.items[p.chunk].len)
        p.offset -= one->chunks.items[p.chunk++].len;
    return p;
}

static yyjson_mut_val *node_at(const struct container *one, size_t chunk, size_t offset)
{
    yyjson_mut_val *v = one->chunks.items[chunk].first;
    while (offset-- > 0)
        v = v->next;
    return v;
}

/* The node before a position, around the end of the chain if need be. */
static yyjson_mut_val *node_before(const struct container *one, const yyjson_mut_val *array,
                                   struct position p)
{
    if (p.offset > 0)
        return node_at(one, p.chunk, p.offset - 1);
    if (p.chunk == 0 || p.chunk == one->chunks.len)
        return last_of(array);
    return node_at(one, p.chunk - 1, one->chunks.items[p.chunk - 1].len - 1);
}

static void split(struct container *one, size_t chunk)
{
    if (one->chunks.items[chunk].len <= 2 * CHUNK)
        return;
    struct chunk rest = {node_at(one, chunk, CHUNK), one->chunks.items[chunk].len - CHUNK};
    one->chunks.items[chunk].len = CHUNK;
    vec_push(&one->chunks, rest);
    struct chunk *items = one->chunks.items;
    memmove(items + chunk + 2, items + chunk + 1, (one->chunks.len - chunk - 2) * sizeof *items);
    items[chunk + 1] = rest;
}

yyjson_mut_val *items_get(struct containers *c, yyjson_mut_val *array, size_t i)
{
    const struct container *one = array_of(c, array);
    if (!one)
        return yyjson_mut_arr_get(array, i);
    struct position p = position_of(one, i);
    return node_at(one, p.chunk, p.offset);
}

static void insert_first(struct container *one, yyjson_mut_val *array, yyjson_mut_val *value)
{
    struct chunk chunk = {value, 1};
    vec_push(&one->chunks, chunk);
    yyjson_mut_arr_append(array, value);
}

void items_insert(struct containers *c, yyjson_mut_val *array, size_t i, yyjson_mut_val *value)
{
    struct container *one = array_of(c, array);
    size_t n = yyjson_mut_arr_size(array);
    if (!one) {
        yyjson_mut_arr_insert(array, value, i);
        return;
    }
    if (n == 0) {
        insert_first(one, array, value);
        return;
    }
    struct position p = position_of(one, i);
    yyjson_mut_val *before = node_before(one, array, p);
    value->next = before->next;
    before->next = value;
    if (i == n) {
        array->uni.ptr = value;
        p.chunk--;
    } else if (p.offset == 0) {
        one->chunks.items[p.chunk].first = value;
    }
    one->chunks.items[p.chunk].len++;
    unsafe_yyjson_set_len(array, n + 1);
    split(one, p.chunk);
}

void items_remove(struct containers *c, yyjson_mut_val *array, size_t i)
{
    struct container *one = array_of(c, array);
    size_t n = yyjson_mut_arr_size(array);
    if (!one) {
        yyjson_mut_arr_remove(array, i);
        return;
    }
    struct position p = position_of(one, i);
    struct chunk *chunk = &one->chunks.items[p.chunk];
    yyjson_mut_val *before = node_before(one, array, p), *gone = before->next;
    before->next = gone->next;
    if (last_of(array) == gone)
        array->uni.ptr = n > 1 ? before : NULL;
    if (p.offset == 0)
        chunk->first = gone->next;
    if (--chunk->len == 0) {
        memmove(chunk, chunk + 1, (one->chunks.len - p.chunk - 1) * sizeof *chunk);
        one->chunks.len--;
    }
    unsafe_yyjson_set_len(array, n - 1);
}

void items_replace(struct containers *c, yyjson_mut_val *array, size_t i, yyjson_mut_val *value)
{
    struct container *one = array_of(c, array);
    if (!one) {
        yyjson_mut_arr_replace(array, i, value);
        return;
    }
    struct position p = position_of(one, i);
    yyjson_mut_val *before = node_before(one, array, p), *gone = before->next;
    value->next = gone->next == gone ? value : gone->next;
    if (before != gone)
        before->next = value;
    if (last_of(array) == gone)
        array->uni.ptr = value;
    if (p.offset == 0)
        one->chunks.items[p.chunk].first = value;
}

/* ---- objects ---- */

/* The last member's key is what an object points to; a value is followed by the next key. */
static void chain(yyjson_mut_val *object, struct named *last, size_t n)
{
    yyjson_mut_val *next = NULL;
    object->uni.ptr = last ? last->key : NULL;
    for (struct named *m = last; m; m = m->before) {
        m->key->next->next = next;
        next = m->key;
    }
    if (last)
        last->key->next->next = next;
    unsafe_yyjson_set_len(object, n);
}

static struct named *append(struct containers *c, struct container *one, yyjson_mut_val *key)
{
    struct named *m = arena_new(&c->arena, struct named);
    *m = (struct named){.key = key, .before = one->last};
    if (one->last)
        one->last->after = m;
    one->last = m;
    map_put(&one->names, mut_str(key), m);
    return m;
}

/* Of two members of a name the later one counts. */
static struct container *object_of(struct containers *c, yyjson_mut_val *object)
{
    struct container *one = known(c, object);
    size_t n = yyjson_mut_obj_size(object);
    if (one || n <= FEW)
        return one;
    one = know(c, object);
    yyjson_mut_val *key = last_of(object)->next->next;
    for (size_t i = 0; i < n; i++) {
        yyjson_mut_val *next = key->next->next;
        struct named *earlier = map_get(&one->names, mut_str(key));
        if (earlier)
            earlier->key->next = key->next;
        else
            append(c, one, key);
        key = next;
    }
    chain(object, one->last, one->names.len);
    return one;
}

yyjson_mut_val *named_get(struct containers *c, yyjson_mut_val *object, struct str name)
{
    const struct container *one = object_of(c, object);
    if (!one)
        return yyjson_mut_obj_getn(object, name.p, name.n);
    const struct named *m = map_get(&one->names, name);
    return m ? m->key->next : NULL;
}

void named_put(struct containers *c, yyjson_mut_val *object, yyjson_mut_val *key,
               yyjson_mut_val *value)
{
    struct container *one = object_of(c, object);
    if (!one) {
        yyjson_mut_obj_put(object, key, value);
        return;
    }
    struct named *m = map_get(&one->names, mut_str(key));
    if (m) {
        value->next = m->key->next->next;
        m->key->next = value;
        return;
    }
    yyjson_mut_obj_add(object, key, value);
    append(c, one, key);
}

void named_remove(struct containers *c, yyjson_mut_val *object, struct str name)
{
    struct container *one = object_of(c, object);
    if (!one) {
        yyjson_mut_obj_remove_keyn(object, name.p, name.n);
        return;
    }
    struct named *m = map_remove(&one->names, name);
    if (!m)
        return;
    struct named *before = m->before ? m->before : one->last; /* around the end */
    before->key->next->next = m->key->next->next;
    if (m->before)
        m->before->after = m->after;
    if (m->after)
        m->after->before = m->before;
    else
        one->last = m->before;
    object->uni.ptr = one->last ? one->last->key : NULL;
    unsafe_yyjson_set_len(object, one->names.len);
}
