/*
 * Small resources in memory: see object_cache.h.
 */
#include "apiserver/object_cache.h"
#include "api/codec.h"
#include "api/kinds.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "kvstore/kv.h"
#include "net/loop.h"
#include "proto/core_v1.pb-c.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/node_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"
#include <stdio.h>

static const int messages[CACHED_KINDS] = {
    [CACHED_NAMESPACES] = Core__V1__Namespace__SCHEMA,
    [CACHED_SERVICE_ACCOUNTS] = Core__V1__ServiceAccount__SCHEMA,
    [CACHED_LIMIT_RANGES] = Core__V1__LimitRange__SCHEMA,
    [CACHED_RESOURCE_QUOTAS] = Core__V1__ResourceQuota__SCHEMA,
    [CACHED_PRIORITY_CLASSES] = Scheduling__V1__PriorityClass__SCHEMA,
    [CACHED_RUNTIME_CLASSES] = Node__V1__RuntimeClass__SCHEMA,
    [CACHED_STORAGE_CLASSES] = Storage__V1__StorageClass__SCHEMA,
    [CACHED_INGRESS_CLASSES] = Networking__V1__IngressClass__SCHEMA,
    [CACHED_FLOW_SCHEMAS] = Flowcontrol__V1__FlowSchema__SCHEMA,
    [CACHED_PRIORITY_LEVELS] = Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA,
};

struct kind_cache {
    struct object_cache *cache;
    const struct resource *r;
    char prefix[96]; /* "/registry/namespaces/" */
    struct kv_watch *watch;
    bool ready;
    struct map objects;         /* "ns/name" → struct cached_object */
    struct map spaces;          /* "ns" → the first of its objects */
    void (*changed)(void *ctx); /* NULL: nobody asks */
    void *changed_ctx;
};

struct object_cache {
    struct kv *kv;
    struct loop *loop;
    struct kind_cache kinds[CACHED_KINDS];
};

int cached_kind_message(enum cached_kind kind)
{
    return messages[kind];
}

/* ---- changing ---- */

/* The key below the prefix: "ns/name", or "/name" for cluster-scoped kinds. */
static struct str sub_key(const struct kind_cache *k, struct str key, char *buf, size_t size)
{
    struct str rest = str_slice(key, strlen(k->prefix), key.n);
    int n = snprintf(buf, size, k->r->namespaced ? "%.*s" : "/%.*s", STR_ARG(rest));
    return n > 0 && (size_t)n < size ? str_make(buf, (size_t)n) : STR_NONE;
}

static struct str space_of(struct str sub)
{
    ptrdiff_t slash = str_find_char(sub, '/');
    return slash < 0 ? sub : str_slice(sub, 0, (size_t)slash);
}

static void object_free(struct cached_object *o)
{
    arena_free(&o->arena);
    mem_free(o);
}

static void unlink_object(struct kind_cache *k, struct str sub, struct cached_object *o)
{
    struct str ns = space_of(sub);
    struct cached_object *first = map_get(&k->spaces, ns);
    if (first == o) {
        if (o->next)
            map_put(&k->spaces, ns, o->next);
        else
            map_remove(&k->spaces, ns);
        return;
    }
    while (first && first->next != o)
        first = first->next;
    if (first)
        first->next = o->next;
}

static void drop(struct kind_cache *k, struct str sub)
{
    struct cached_object *o = map_remove(&k->objects, sub);
    if (!o)
        return;
    unlink_object(k, sub, o);
    object_free(o);
}

static void put(struct kind_cache *k, const struct kv_pair *pair)
{
    char buf[1024];
    struct str sub = sub_key(k, pair->key, buf, sizeof buf);
    struct error err;
    struct cached_object *old = map_get(&k->objects, sub);
    if (!sub.n || (old && old->mod_rev >= pair->mod_rev))
        return;
    struct cached_object *o = mem_zalloc(sizeof *o);
    arena_init(&o->arena);
    o->mod_rev = pair->mod_rev;
    struct str value = str_make(arena_dup(&o->arena, pair->value.p, pair->value.n), pair->value.n);
    drop(k, sub);
    if (stored_decode(&o->arena, value, pair->mod_rev, NULL, &o->object, &err) < 0) {
        log_error("cache", "object not readable, ignored key=%.*s error=\"%s\"", STR_ARG(pair->key),
                  err.message);
        object_free(o);
        return;
    }
    map_put(&k->objects, sub, o);
    o->next = map_put(&k->spaces, space_of(sub), o);
}

static void clear(struct kind_cache *k)
{
    struct map_iter it = {0};
    while (map_next(&k->objects, &it))
        object_free(it.value);
    map_clear(&k->objects);
    map_clear(&k->spaces);
}

static void tell(const struct kind_cache *k)
{
    if (k->changed)
        k->changed(k->changed_ctx);
}

/* ---- loading and following ---- */

static int on_scan(void *ctx, const struct kv_pair *pair)
{
    put(ctx, pair);
    return 0;
}

static void load(struct kind_cache *k)
{
    struct arena a;
    arena_init(&a);
    struct str prefix = str_from(k->prefix);
    struct kv_range_request rq = {
        .key = prefix, .end = kv_prefix_end(&a, prefix), .no_count = true};
    struct kv_range_result out;
    struct error err;
    clear(k);
    k->ready = kv_scan(k->cache->kv, &rq, on_scan, k, &a, &out, &err) == 0;
    if (!k->ready)
        log_error("cache", "cannot read %s → asking the store each time error=\"%s\"", k->r->plural,
                  err.message);
    arena_free(&a);
    tell(k);
}

static void on_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct kind_cache *k = ctx;
    char buf[1024];
    (void)watch;
    for (size_t i = 0; i < batch->events_len; i++) {
        const struct kv_event *e = batch->events[i];
        if (e->type != KV_EVENT_DELETE) {
            put(k, &e->kv);
            continue;
        }
        struct str sub = sub_key(k, e->kv.key, buf, sizeof buf);
        struct cached_object *o = map_get(&k->objects, sub);
        if (o && o->mod_rev < e->kv.mod_rev)
            drop(k, sub);
    }
    tell(k);
}

static void follow(struct kind_cache *k);

/* A member that was sent a snapshot ends its watches: watch anew and read everything again. */
static void on_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct kind_cache *k = ctx;
    (void)compact_rev;
    if (code == ERR_CANCELLED)
        return;
    log_warn("cache", "watch of %s ended → reading again code=%d", k->r->plural, code);
    kv_watch_close(watch);
    follow(k);
}

static const struct kv_watch_callbacks callbacks = {.events = on_events, .closed = on_closed};

/* Watch first, then read: what changes in between comes by both ways, the older version is ignored. */
static void follow(struct kind_cache *k)
{
    struct arena a;
    arena_init(&a);
    struct str prefix = str_from(k->prefix);
    struct kv_watch_request rq = {.key = prefix, .end = kv_prefix_end(&a, prefix)};
    k->watch = kv_watch(k->cache->kv, &rq, k->cache->loop, &callbacks, k, NULL);
    arena_free(&a);
    load(k);
}

struct object_cache *object_cache_new(struct kv *kv, struct loop *loop)
{
    struct object_cache *c = mem_zalloc(sizeof *c);
    c->kv = kv;
    c->loop = loop;
    for (int i = 0; i < CACHED_KINDS; i++) {
        struct kind_cache *k = &c->kinds[i];
        k->cache = c;
        k->r = resource_of_message(messages[i]);
        snprintf(k->prefix, sizeof k->prefix, "%s/", k->r->storage_prefix);
        map_init(&k->objects);
        map_init(&k->spaces);
        follow(k);
    }
    return c;
}

void object_cache_free(struct object_cache *c)
{
    if (!c)
        return;
    for (int i = 0; i < CACHED_KINDS; i++) {
        kv_watch_close(c->kinds[i].watch);
        clear(&c->kinds[i]);
        map_free(&c->kinds[i].objects);
        map_free(&c->kinds[i].spaces);
    }
    mem_free(c);
}

/* ---- asking ---- */

bool object_cache_ready(const struct object_cache *c, enum cached_kind kind)
{
    return c->kinds[kind].ready;
}

const struct cached_object *object_cache_get(const struct object_cache *c, enum cached_kind kind,
                                             const char *ns, const char *name)
{
    char key[1024];
    size_t space = strlen(ns), n = strlen(name);
    if (space + n >= sizeof key)
        return NULL;
    memcpy(key, ns, space);
    key[space] = '/';
    memcpy(key + space + 1, name, n);
    return map_get(&c->kinds[kind].objects, str_make(key, space + 1 + n));
}

const struct cached_object *object_cache_first(const struct object_cache *c, enum cached_kind kind,
                                               const char *ns)
{
    return map_get(&c->kinds[kind].spaces, str_from(ns));
}

void object_cache_on_change(struct object_cache *c, enum cached_kind kind, void (*fn)(void *ctx),
                            void *ctx)
{
    c->kinds[kind].changed = fn;
    c->kinds[kind].changed_ctx = ctx;
}
