/*
 * The registry of custom resources: see registry.h.
 *
 * Sets are small (a pointer per definition), so that a change makes a new one; compiling a definition
 * happens outside the lock.
 */
#include "apiserver/custom/registry.h"
#include "api/codec.h"
#include "apiserver/custom/controller.h"
#include "apiserver/server.h"
#include "apiserver/watch/hub.h"
#include "base/log.h"
#include "base/mem.h"
#include <pthread.h>
#include <stdlib.h>

struct custom_registry {
    struct apiserver *s;
    pthread_mutex_t lock; /* current and the sets' refs */
    struct custom_set *current;
    struct kv_watch *watch;
    struct arena arena;
    struct custom_controller *controller;
};

/* ---- sets ---- */

static void set_free(struct custom_set *set)
{
    for (size_t i = 0; i < set->types_len; i++)
        custom_type_unref(set->types[i]);
    mem_free(set->types);
    mem_free(set);
}

const struct custom_set *custom_set_get(struct custom_registry *r)
{
    pthread_mutex_lock(&r->lock);
    struct custom_set *set = r->current;
    set->refs++;
    pthread_mutex_unlock(&r->lock);
    return set;
}

void custom_set_put(struct custom_registry *r, const struct custom_set *set)
{
    struct custom_set *mutable = (struct custom_set *)set;
    pthread_mutex_lock(&r->lock);
    bool last = --mutable->refs == 0;
    pthread_mutex_unlock(&r->lock);
    if (last)
        set_free(mutable);
}

uint64_t custom_generation(struct custom_registry *r)
{
    pthread_mutex_lock(&r->lock);
    uint64_t generation = r->current->generation;
    pthread_mutex_unlock(&r->lock);
    return generation;
}

static struct custom_type *set_find(const struct custom_set *set, struct str name)
{
    for (size_t i = 0; i < set->types_len; i++)
        if (str_eqz(name, set->types[i]->name))
            return set->types[i];
    return NULL;
}

static int by_group(const void *x, const void *y)
{
    const struct custom_type *a = *(struct custom_type *const *)x,
                             *b = *(struct custom_type *const *)y;
    int order = strcmp(a->group, b->group);
    return order ? order : strcmp(a->name, b->name);
}

/* A copy with one type replaced, added (old NULL) or left out (now NULL). */
static struct custom_set *set_with(const struct custom_set *from, const struct custom_type *old,
                                   struct custom_type *now)
{
    struct custom_set *set = mem_zalloc(sizeof *set);
    set->refs = 1;
    set->generation = from->generation + 1;
    set->types = mem_zalloc((from->types_len + 1) * sizeof *set->types);
    for (size_t i = 0; i < from->types_len; i++)
        if (from->types[i] != old)
            set->types[set->types_len++] = custom_type_ref(from->types[i]);
    if (now)
        set->types[set->types_len++] = custom_type_ref(now);
    qsort(set->types, set->types_len, sizeof *set->types, by_group);
    return set;
}

/* ---- watches that end ---- */

struct ending {
    struct loop_task task;
    struct worker *worker;
    char *prefix;
};

static void end_here(struct loop_task *task)
{
    struct ending *e = container_of(task, struct ending, task);
    watch_hubs_end(e->worker->hubs, e->prefix, rest_watch_end);
    mem_free(e->prefix);
    mem_free(e);
}

static void end_watches(struct custom_registry *r, const struct custom_type *t)
{
    for (size_t i = 0; i < r->s->workers_len; i++) {
        struct ending *e = mem_zalloc(sizeof *e);
        e->task.fn = end_here;
        e->worker = &r->s->workers[i];
        e->prefix = mem_strdup(t->stored->resource.storage_prefix);
        loop_post(e->worker->loop, &e->task);
    }
}

/* Do objects look another way to clients than before? */
static bool looks_different(const struct custom_type *old, const struct custom_type *now)
{
    return !now || strcmp(old->uid, now->uid) != 0 || old->spec_hash != now->spec_hash ||
           old->accepted != now->accepted ||
           !object_equal(old->crd->status->accepted_names, now->crd->status->accepted_names);
}

/* ---- following the store ---- */

/*
 * What the store had under `name` at revision `as_of`: `t` (taken over) or nothing. Requests look at the store by
 * themselves beside the watch, and who looked first may come last: what is newer stays.
 */
static void publish(struct custom_registry *r, struct str name, struct custom_type *t,
                    int64_t as_of)
{
    struct custom_type *ended = NULL;
    struct custom_set *before = NULL;
    pthread_mutex_lock(&r->lock);
    struct custom_type *old = set_find(r->current, name);
    bool newer = t ? !old || t->mod_rev > old->mod_rev : old && old->mod_rev <= as_of;
    if (newer) {
        before = r->current;
        r->current = set_with(before, old, t);
        if (old && looks_different(old, t))
            ended = custom_type_ref(old);
        if (--before->refs > 0)
            before = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    if (ended) {
        atomic_store(&ended->retired, true);
        end_watches(r, ended);
        custom_type_unref(ended);
    }
    if (before)
        set_free(before);
    custom_type_unref(t);
    if (newer && r->controller)
        custom_controller_wake(r->controller);
}

static void take(struct custom_registry *r, const struct kv_pair *pair)
{
    struct arena a;
    void *object;
    struct error err;
    struct custom_type *t = NULL;
    struct str name = str_slice(pair->key, strlen(CRD_PREFIX), pair->key.n);
    arena_init(&a);
    const struct schema_message *m =
        schema_get(Apiextensions__V1__CustomResourceDefinition__SCHEMA);
    if (stored_decode(&a, pair->value, pair->mod_rev, m, &object, &err) == 0)
        t = custom_type_new(object, pair->create_rev, pair->mod_rev, &err);
    if (!t)
        log_error("custom", "definition cannot be served name=%.*s error=\"%s\"", STR_ARG(name),
                  err.message);
    publish(r, name, t, pair->mod_rev);
    arena_free(&a);
}

static int take_pair(void *ctx, const struct kv_pair *pair)
{
    take(ctx, pair);
    return 0;
}

static void on_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct custom_registry *r = ctx;
    (void)watch;
    for (size_t i = 0; i < batch->events_len; i++) {
        const struct kv_event *e = batch->events[i];
        if (e->type == KV_EVENT_PUT)
            take(r, &e->kv);
        else
            publish(r, str_slice(e->kv.key, strlen(CRD_PREFIX), e->kv.key.n), NULL, e->kv.mod_rev);
    }
}

static void follow(struct custom_registry *r);
static void refresh(struct custom_registry *r, struct arena *a, struct str name, int64_t known_rev);

/* Compacted away under us: begin anew. Requests look for themselves meanwhile. */
static void on_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct custom_registry *r = ctx;
    (void)compact_rev;
    kv_watch_close(watch);
    r->watch = NULL;
    if (code == ERR_COMPACTED)
        follow(r);
}

static const struct kv_watch_callbacks callbacks = {.events = on_events, .closed = on_closed};

/* Those of which the end was not heard: its event has been compacted away. */
static void forget_removed(struct custom_registry *r)
{
    struct arena a;
    const struct custom_set *set = custom_set_get(r);
    arena_init(&a);
    for (size_t i = 0; i < set->types_len; i++)
        refresh(r, &a, str_from(set->types[i]->name), set->types[i]->mod_rev);
    custom_set_put(r, set);
    arena_free(&a);
}

static void follow(struct custom_registry *r)
{
    struct kv *kv = r->s->kv;
    struct kv_range_result out;
    struct error err;
    struct kv_range_request range = {.key = STR(CRD_PREFIX),
                                     .end = kv_prefix_end(&r->arena, STR(CRD_PREFIX))};
    if (kv_scan(kv, &range, take_pair, r, &r->arena, &out, &err) < 0) {
        log_error("custom", "definitions not readable error=\"%s\"", err.message);
        out.rev = kv_current_revision(kv);
    }
    forget_removed(r);
    struct kv_watch_request watch = {.key = range.key, .end = range.end, .start_rev = out.rev + 1};
    r->watch = kv_watch(kv, &watch, r->s->workers[0].loop, &callbacks, r, NULL);
}

struct custom_registry *custom_registry_new(struct apiserver *s)
{
    struct custom_registry *r = mem_zalloc(sizeof *r);
    r->s = s;
    pthread_mutex_init(&r->lock, NULL);
    arena_init(&r->arena);
    r->current = mem_zalloc(sizeof *r->current);
    r->current->refs = 1;
    return r;
}

void custom_registry_follow(struct custom_registry *r)
{
    r->controller = custom_controller_start(r->s, r);
    follow(r);
}

void custom_registry_stop(struct custom_registry *r)
{
    if (r)
        custom_controller_stop(r->controller);
}

void custom_registry_unfollow(struct custom_registry *r)
{
    if (r && r->watch)
        kv_watch_close(r->watch);
    if (r)
        r->watch = NULL;
}

void custom_registry_free(struct custom_registry *r)
{
    if (!r)
        return;
    custom_controller_free(r->controller);
    set_free(r->current);
    arena_free(&r->arena);
    pthread_mutex_destroy(&r->lock);
    mem_free(r);
}

/* ---- looking up ---- */

/* Bring one definition up to what the store has; the watch may be a moment behind. What was read may be old by the
 * time that it is compiled and in its place: it is looked at once more then. */
static void refresh(struct custom_registry *r, struct arena *a, struct str name, int64_t known_rev)
{
    struct kv_range_result out;
    struct error err;
    struct kv_range_request range = {
        .key = str_from(arena_printf(a, CRD_PREFIX "%.*s", STR_ARG(name))), .keys_only = true};
    for (;;) {
        range.keys_only = true;
        if (kv_range(r->s->kv, &range, a, &out, &err) < 0)
            return;
        int64_t rev = out.pairs_len ? out.pairs[0].mod_rev : 0;
        if (rev == known_rev)
            return;
        known_rev = rev;
        if (!rev) {
            publish(r, name, NULL, out.rev);
            continue;
        }
        range.keys_only = false;
        if (kv_range(r->s->kv, &range, a, &out, &err) < 0)
            return;
        if (out.pairs_len) {
            known_rev = out.pairs[0].mod_rev;
            take(r, &out.pairs[0]);
        }
    }
}

static const struct custom_version *find(struct custom_registry *r, struct str name,
                                         struct str version, int64_t *known_rev)
{
    const struct custom_version *v = NULL;
    *known_rev = 0;
    pthread_mutex_lock(&r->lock);
    struct custom_type *t = set_find(r->current, name);
    if (t) {
        *known_rev = t->mod_rev;
        v = t->accepted ? custom_type_version(t, version) : NULL;
        if (v && v->served)
            custom_type_ref(t);
        else
            v = NULL;
    }
    pthread_mutex_unlock(&r->lock);
    return v;
}

const struct resource *custom_resource_find(struct custom_registry *r, struct str group,
                                            struct str version, struct str plural)
{
    struct arena a;
    int64_t known, now;
    if (!r || group.n == 0)
        return NULL;
    arena_init(&a);
    struct str name = str_from(arena_printf(&a, "%.*s.%.*s", STR_ARG(plural), STR_ARG(group)));
    const struct custom_version *v = find(r, name, version, &known);
    refresh(r, &a, name, known);
    const struct custom_version *after = find(r, name, version, &now);
    if (v)
        custom_type_unref(v->type);
    arena_free(&a);
    return after ? &after->resource : NULL;
}
