/*
 * The store inside an informer (client/informer_cache.h), reference counts and index functions.
 *
 * An index is a map from value to a bucket, an unordered array of objects (borrowed from the map of
 * objects). Index functions are called again on removal: objects are immutable, so they give the
 * same values then.
 */
#include "client/informer_cache.h"

#include "api/object.h"
#include "base/mem.h"
#include "base/vec.h"
#include "proto/core_v1.pb-c.h"
#include <assert.h>

struct bucket {
    VEC(struct object *) objects;
};

/* ------------------------------------------------------------------------------- references --- */

struct object *object_ref(struct object *o)
{
    atomic_fetch_add_explicit(&o->refs, 1, memory_order_relaxed);
    return o;
}

void object_unref(struct object *o)
{
    if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) != 1)
        return;
    struct arena a = o->arena; /* o itself lives in it */
    arena_free(&a);
}

void object_refs_free(struct object_refs *l)
{
    for (size_t i = 0; i < l->len; i++)
        object_unref(l->items[i]);
    vec_free(l);
}

char *informer_key(struct arena *a, const char *ns, const char *name)
{
    return ns && *ns ? arena_printf(a, "%s/%s", ns, name) : arena_strdup(a, name);
}

/* --------------------------------------------------------------------------- index functions ---
 */

void index_by_node(const void *msg, void (*emit)(void *emit_ctx, const char *value), void *emit_ctx)
{
    const Core__V1__Pod *pod = msg;
    if (*pod->spec->node_name)
        emit(emit_ctx, pod->spec->node_name);
}

void index_by_controller(const void *msg, void (*emit)(void *emit_ctx, const char *value),
                         void *emit_ctx)
{
    const Meta__V1__ObjectMeta *meta = object_meta(msg);
    for (size_t i = 0; i < meta->n_owner_references; i++)
        if (api_get(meta->owner_references[i], controller, false))
            emit(emit_ctx, meta->owner_references[i]->uid);
}

void index_by_owner(const void *msg, void (*emit)(void *emit_ctx, const char *value),
                    void *emit_ctx)
{
    const Meta__V1__ObjectMeta *meta = object_meta(msg);
    for (size_t i = 0; i < meta->n_owner_references; i++)
        emit(emit_ctx, meta->owner_references[i]->uid);
}

static void index_by_namespace(const void *msg, void (*emit)(void *emit_ctx, const char *value),
                               void *emit_ctx)
{
    const Meta__V1__ObjectMeta *meta = object_meta(msg);
    if (meta->namespace_ && *meta->namespace_)
        emit(emit_ctx, meta->namespace_);
}

/* ------------------------------------------------------------------------------------ cache --- */

void informer_cache_init(struct informer_cache *c, index_fn *const functions[INFORMER_INDEXES_MAX])
{
    memset(c, 0, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->objects);
    for (int i = 0; i < CACHE_INDEXES; i++) {
        c->functions[i] = i == CACHE_BY_NAMESPACE ? index_by_namespace : functions[i];
        map_init(&c->indexes[i]);
    }
}

void informer_cache_free(struct informer_cache *c)
{
    struct map_iter it = {0};
    while (map_next(&c->objects, &it))
        object_unref(it.value);
    map_free(&c->objects);
    for (int i = 0; i < CACHE_INDEXES; i++) {
        struct map_iter b = {0};
        while (map_next(&c->indexes[i], &b)) {
            struct bucket *bucket = b.value;
            vec_free(&bucket->objects);
            mem_free(bucket);
        }
        map_free(&c->indexes[i]);
    }
    pthread_mutex_destroy(&c->lock);
}

struct emit_to {
    struct map *index;
    struct object *object;
};

static void bucket_add(void *ctx, const char *value)
{
    struct emit_to *to = ctx;
    struct bucket *b = map_get(to->index, str_from(value));
    if (!b) {
        b = mem_zalloc(sizeof *b);
        map_put(to->index, str_from(value), b);
    }
    vec_push(&b->objects, to->object);
}

static void bucket_remove(void *ctx, const char *value)
{
    struct emit_to *to = ctx;
    struct bucket *b = map_get(to->index, str_from(value));
    assert(b);
    for (size_t i = 0; i < b->objects.len; i++) {
        if (b->objects.items[i] == to->object) {
            b->objects.items[i] = b->objects.items[b->objects.len - 1];
            b->objects.len--;
            break;
        }
    }
    if (b->objects.len == 0) {
        map_remove(to->index, str_from(value));
        vec_free(&b->objects);
        mem_free(b);
    }
}

static void index_all(struct informer_cache *c, struct object *o,
                      void (*change)(void *ctx, const char *value))
{
    for (int i = 0; i < CACHE_INDEXES; i++) {
        struct emit_to to = {&c->indexes[i], o};
        if (c->functions[i])
            c->functions[i](o->msg, change, &to);
    }
}

#define KEY_MAX 600 /* namespace ≤ 63, name ≤ 253 */

static struct str key_text(char *out, const char *ns, const char *name)
{
    int n =
        ns && *ns ? snprintf(out, KEY_MAX, "%s/%s", ns, name) : snprintf(out, KEY_MAX, "%s", name);
    return str_make(out, MIN((size_t)n, KEY_MAX - 1));
}

struct object *informer_cache_put(struct informer_cache *c, struct object *o)
{
    char key[KEY_MAX];
    pthread_mutex_lock(&c->lock);
    struct object *old = map_put(&c->objects, key_text(key, o->ns, o->name), object_ref(o));
    if (old)
        index_all(c, old, bucket_remove);
    index_all(c, o, bucket_add);
    pthread_mutex_unlock(&c->lock);
    return old;
}

struct object *informer_cache_remove(struct informer_cache *c, const char *ns, const char *name)
{
    char key[KEY_MAX];
    pthread_mutex_lock(&c->lock);
    struct object *old = map_remove(&c->objects, key_text(key, ns, name));
    if (old)
        index_all(c, old, bucket_remove);
    pthread_mutex_unlock(&c->lock);
    return old;
}

struct object *informer_cache_get_key(struct informer_cache *c, const char *key)
{
    pthread_mutex_lock(&c->lock);
    struct object *o = map_get(&c->objects, str_from(key));
    if (o)
        object_ref(o);
    pthread_mutex_unlock(&c->lock);
    return o;
}

struct object *informer_cache_get(struct informer_cache *c, const char *ns, const char *name)
{
    char key[KEY_MAX];
    key_text(key, ns, name);
    return informer_cache_get_key(c, key);
}

void informer_cache_list(struct informer_cache *c, int index, const char *value, struct object_refs *out)
{
    pthread_mutex_lock(&c->lock);
    if (index == CACHE_ALL) {
        vec_reserve(out, out->len + c->objects.len);
        struct map_iter it = {0};
        while (map_next(&c->objects, &it))
            vec_push(out, object_ref(it.value));
    } else {
        struct bucket *b = map_get(&c->indexes[index], str_from(value));
        for (size_t i = 0; b && i < b->objects.len; i++)
            vec_push(out, object_ref(b->objects.items[i]));
    }
    pthread_mutex_unlock(&c->lock);
}

size_t informer_cache_count(struct informer_cache *c)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->objects.len;
    pthread_mutex_unlock(&c->lock);
    return n;
}
