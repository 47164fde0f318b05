/*
 * Informer (client/informer.h): a state machine on the client's I/O thread.
 *
 *     start ──▶ LISTING ──all pages──▶ WATCHING ──ended, lost──▶ WATCHING from the last revision
 *                  ▲                       │       (after a pause, unless the server ended it in time)
 *                  └────────(pause)────────┘ 410 Gone, or refused
 *
 * Pauses grow until a watch has proved itself, not when a list succeeds: who may list and not watch, or gets 410 each
 * time, would else list everything twenty times a second.
 *
 * Pages of a list are gathered beside the cache and replace it at once when the last is here; the
 * difference becomes handler calls. Every object is copied out of the answer into an arena of its
 * own of just its size, so that the cache holds no answer buffers.
 */
#include "client/client_internal.h"

#include "client/informer.h"
#include "client/informer_cache.h"
#include "client/workqueue.h"

#include "api/codec.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include <assert.h>
#include <stdio.h>

#define HANDLERS_MAX 16
#define PAGE_ITEMS 500
#define WATCH_TIMEOUT_S 300 /* plus up to as much again, so that watches do not end all at once */
#define PAUSE_MIN_MS 50
#define PAUSE_MAX_MS 5000
/* A watch that lasted so long works, also when it told nothing. */
#define WATCH_PROVED_MS PAUSE_MAX_MS
/* So many times the server is asked again for a resource it does not serve, before that is believed: another one may
 * know it already. A second or so. */
#define ABSENT_TRIES 5

enum state { STATE_NEW, STATE_LISTING, STATE_WATCHING, STATE_PAUSED, STATE_STOPPED };

/* A list page under way; outlives the informer when that is freed meanwhile. */
struct page_call {
    struct informer *informer; /* NULL: nobody waits any more */
};

struct informer {
    struct client *client;
    const struct resource *resource;
    char *ns, *label_selector, *field_selector;
    bool metadata_only;
    void (*trim)(void *msg);
    struct informer_handler handlers[HANDLERS_MAX];
    size_t handlers_len;

    struct informer_cache cache; /* with its lock */
    pthread_cond_t synced_cond;  /* with the cache's lock */
    bool synced;                 /* under the cache's lock */
    _Atomic uint64_t revision;

    /* I/O thread only. */
    enum state state;
    unsigned absent; /* times in a row that the resource was not served */
    bool list_next;  /* what to do when the pause is over */
    uint64_t pause_ms;
    struct loop_task start_task;
    struct loop_timer timer;
    struct client_watch *watch;
    uint64_t watch_from, watch_since_ms; /* the revision it resumed from; when */
    struct page_call *page;
    struct map incoming; /* key → struct object: pages so far */
    char *continue_token;
    uint64_t list_revision;
    bool newest; /* the version known may never come: list the newest state, whatever it is */
};

static void list_start(struct informer *i);
static void watch_start(struct informer *i);

/* --------------------------------------------------------------------------------- objects --- */

static uint64_t revision_of(const char *text)
{
    uint64_t v = 0;
    return str_to_u64(str_from(text), &v) ? v : 0;
}

static struct object *object_from(struct informer *i, void *msg)
{
    Meta__V1__ObjectMeta *meta = object_meta(msg);
    meta->n_managed_fields = 0;
    if (i->trim)
        i->trim(msg);
    struct arena a;
    arena_init(&a);
    struct object *o = arena_new(&a, struct object);
    o->msg = object_clone(&a, msg);
    meta = object_meta(o->msg);
    atomic_init(&o->refs, 1);
    o->ns = meta->namespace_;
    o->name = meta->name;
    o->uid = meta->uid;
    o->resource_version = meta->resource_version;
    o->revision = revision_of(meta->resource_version);
    o->arena = a;
    return o;
}

static void advance(struct informer *i, uint64_t revision)
{
    if (revision > atomic_load(&i->revision))
        atomic_store(&i->revision, revision);
}

/* --------------------------------------------------------------------------------- handlers --- */

static void call_add(struct informer *i, struct object *o)
{
    for (size_t h = 0; h < i->handlers_len; h++)
        if (i->handlers[h].on_add)
            i->handlers[h].on_add(i->handlers[h].ctx, o);
}

static void call_update(struct informer *i, struct object *old, struct object *o)
{
    for (size_t h = 0; h < i->handlers_len; h++)
        if (i->handlers[h].on_update)
            i->handlers[h].on_update(i->handlers[h].ctx, old, o);
}

static void call_delete(struct informer *i, struct object *old)
{
    for (size_t h = 0; h < i->handlers_len; h++)
        if (i->handlers[h].on_delete)
            i->handlers[h].on_delete(i->handlers[h].ctx, old);
}

/* Put an object into the cache and tell. Takes over the reference. An object that was deleted and
 * made again while nobody looked has another uid: that is two events. */
static void object_put(struct informer *i, struct object *o)
{
    struct object *old = informer_cache_put(&i->cache, o);
    if (old && !cstr_eq(old->uid, o->uid)) {
        call_delete(i, old);
        call_add(i, o);
    } else if (old) {
        call_update(i, old, o);
    } else {
        call_add(i, o);
    }
    object_unref(old);
    object_unref(o);
}

/* An event: what is no newer than the object known is from before a relist. */
static void object_arrived(struct informer *i, struct object *o)
{
    struct object *known = informer_cache_get(&i->cache, o->ns, o->name);
    if (known && known->revision >= o->revision && o->revision)
        object_unref(o);
    else
        object_put(i, o);
    object_unref(known);
}

static void object_left(struct informer *i, const char *ns, const char *name)
{
    struct object *old = informer_cache_remove(&i->cache, ns, name);
    if (!old)
        return;
    call_delete(i, old);
    object_unref(old);
}

/* ------------------------------------------------------------------------------------ pause --- */

static void pause_over(struct loop_timer *timer)
{
    struct informer *i = container_of(timer, struct informer, timer);
    if (i->list_next)
        list_start(i);
    else
        watch_start(i);
}

/* Wait a little, longer each time, with jitter: all informers lose a dead server at the same
 * moment. */
static void pause_then(struct informer *i, bool list)
{
    i->state = STATE_PAUSED;
    i->list_next = list;
    i->pause_ms = i->pause_ms ? MIN(i->pause_ms * 2, PAUSE_MAX_MS) : PAUSE_MIN_MS;
    loop_timer_start(&i->timer, i->pause_ms / 2 + random_u64() % (i->pause_ms / 2 + 1));
}

/* ------------------------------------------------------------------------------------- list --- */

static void incoming_drop(struct informer *i)
{
    struct map_iter it = {0};
    while (map_next(&i->incoming, &it))
        object_unref(it.value);
    map_clear(&i->incoming);
    mem_free(i->continue_token);
    i->continue_token = NULL;
}

static void synced_now(struct informer *i)
{
    pthread_mutex_lock(&i->cache.lock);
    bool first = !i->synced;
    i->synced = true;
    pthread_cond_broadcast(&i->synced_cond);
    pthread_mutex_unlock(&i->cache.lock);
    if (!first)
        return;
    for (size_t h = 0; h < i->handlers_len; h++)
        if (i->handlers[h].on_synced)
            i->handlers[h].on_synced(i->handlers[h].ctx);
}

/* An object of a complete list takes the place of what is known, older or not: the list is what there is. */
static void object_listed(struct informer *i, struct object *o)
{
    struct object *known = informer_cache_get(&i->cache, o->ns, o->name);
    if (known && known->revision == o->revision && cstr_eq(known->uid, o->uid))
        object_unref(o);
    else
        object_put(i, o);
    object_unref(known);
}

/* A linearizable list of an older revision than what was seen: what was seen is no part of the history any more. */
static void revision_listed(struct informer *i)
{
    uint64_t seen = atomic_load(&i->revision);
    if (i->newest && i->list_revision < seen) {
        log_warn("informer",
                 "the store is older than what was seen of it, restored? → beginning from its state"
                 " resource=%s seen=%llu now=%llu",
                 i->resource->plural, (unsigned long long)seen,
                 (unsigned long long)i->list_revision);
        atomic_store(&i->revision, i->list_revision);
    }
    i->newest = false;
    advance(i, i->list_revision);
}

/* The list is complete: deliver its difference to the cache. */
static void replace(struct informer *i)
{
    struct object_refs known = {0};
    informer_cache_list(&i->cache, CACHE_ALL, NULL, &known);
    for (size_t k = 0; k < known.len; k++) {
        struct arena a;
        arena_init(&a);
        struct object *o = known.items[k];
        if (!map_has(&i->incoming, str_from(informer_key(&a, o->ns, o->name))))
            object_left(i, o->ns, o->name);
        arena_free(&a);
    }
    object_refs_free(&known);
    struct map_iter it = {0};
    while (map_next(&i->incoming, &it))
        object_listed(i, object_ref(it.value));
    incoming_drop(i);
    revision_listed(i);
    synced_now(i);
}

/* What is not served, as when its definition is deleted, has no objects. */
static void list_absent(struct informer *i)
{
    incoming_drop(i);
    if (i->absent < ABSENT_TRIES && ++i->absent == ABSENT_TRIES) {
        log_info("informer", "not served → without objects until it is resource=%s",
                 i->resource->plural);
        i->list_revision = 0;
        replace(i);
    }
    pause_then(i, true);
}

static void list_failed(struct informer *i, const struct error *err)
{
    if (err->code == ERR_NOT_FOUND) {
        list_absent(i);
        return;
    }
    log_warn("informer", "list failed, trying again resource=%s error=\"%s\"", i->resource->plural,
             err->message);
    incoming_drop(i);
    pause_then(i, true);
}

static void page_add(struct informer *i, void *list)
{
    size_t n = object_list_len(list);
    for (size_t k = 0; k < n; k++) {
        struct object *o = object_from(i, object_list_item(list, k));
        struct arena a;
        arena_init(&a);
        object_unref(map_put(&i->incoming, str_from(informer_key(&a, o->ns, o->name)), o));
        arena_free(&a);
    }
    const Meta__V1__ListMeta *meta = object_list_meta(list);
    i->list_revision = revision_of(meta->resource_version);
    mem_free(i->continue_token);
    i->continue_token = meta->continue_ && *meta->continue_ ? mem_strdup(meta->continue_) : NULL;
}

static void page_request(struct informer *i);

static int page_read(struct informer *i, const struct http_response *r,
                     struct client_status *status, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct str type = http_response_header(r, "content-type");
    const char *t = arena_strndup(&a, type.p ? type.p : "", type.n);
    int rc = status_to_error(r->status, t, r->body, status, err);
    void *list = NULL;
    if (rc == 0)
        rc = decode_body(&a,
                         schema_get(i->metadata_only ? Meta__V1__PartialObjectMetadataList__SCHEMA
                                                     : i->resource->list_message),
                         t, r->body, &list, err);
    if (rc == 0)
        page_add(i, list);
    arena_free(&a);
    return rc;
}

static void page_done(void *ctx, const struct http_response *r, const struct error *err)
{
    struct page_call *p = ctx;
    struct informer *i = p->informer;
    mem_free(p);
    if (!i)
        return;
    i->page = NULL;
    struct error failure = {0};
    struct client_status status = {0};
    if (err)
        failure = *err;
    else
        page_read(i, r, &status, &failure);
    if (failure.code) {
        /* The version is not there yet, or no more: that of the pages to follow, too. */
        bool never = failure.code == ERR_COMPACTED;
        i->newest |= never || cstr_eq(status.cause, "ResourceVersionTooLarge");
        list_failed(i, &failure);
    } else if (i->continue_token) {
        page_request(i);
    } else {
        replace(i);
        i->absent = 0;
        watch_start(i);
    }
}

static void page_request(struct informer *i)
{
    char at_least[24];
    snprintf(at_least, sizeof at_least, "%llu", (unsigned long long)atomic_load(&i->revision));
    struct client_options o = {.label_selector = i->label_selector,
                               .field_selector = i->field_selector,
                               .limit = PAGE_ITEMS,
                               .continue_token = i->continue_token,
                               .metadata_only = i->metadata_only};
    /* A first list is linearizable; later ones need only not be older than what we know. A continue
     * token has its revision inside. */
    if (!i->continue_token && !i->newest && atomic_load(&i->revision))
        o.resource_version = at_least;
    struct buf path;
    buf_init(&path);
    request_path(&path, i->resource, i->ns, NULL, &o, false);
    i->page = mem_zalloc(sizeof *i->page);
    i->page->informer = i;
    client_exchange_async(i->client, "GET", buf_str(&path), request_accept(&o, true), NULL,
                          STR_NONE, 0, page_done, i->page);
    buf_free(&path);
}

static void list_start(struct informer *i)
{
    i->state = STATE_LISTING;
    page_request(i);
}

/* ------------------------------------------------------------------------------------ watch --- */

static void watch_event(void *ctx, enum watch_event_type type, void *msg, struct arena *a)
{
    (void)a;
    struct informer *i = ctx;
    uint64_t revision = revision_of(object_meta(msg)->resource_version);
    if (type == WATCH_DELETED)
        object_left(i, object_meta(msg)->namespace_, object_meta(msg)->name);
    else if (type != WATCH_BOOKMARK)
        object_arrived(i, object_from(i, msg));
    advance(i, revision);
}

/* It told something new, or lasted: whatever ended it is no reason to wait longer than for the first time. */
static bool watch_proved(const struct informer *i)
{
    return atomic_load(&i->revision) > i->watch_from ||
           loop_now_ms(i->client->loop) - i->watch_since_ms >= WATCH_PROVED_MS;
}

static void watch_end(void *ctx, const struct error *err)
{
    struct informer *i = ctx;
    bool proved = watch_proved(i);
    i->watch = NULL;
    if (proved)
        i->pause_ms = 0;
    switch (err->code) {
    case ERR_OK:
        if (proved)
            watch_start(i);
        else
            pause_then(i, false);
        break;
    case ERR_IO:
    case ERR_TIMEOUT:
    case ERR_UNAVAILABLE:
    case ERR_CANCELLED:
        log_debug("informer", "watch lost, resuming resource=%s error=\"%s\"", i->resource->plural,
                  err->message);
        pause_then(i, false);
        break;
    default:
        log_info("informer", "watch ended, listing again resource=%s error=\"%s\"",
                 i->resource->plural, err->message);
        pause_then(i, true);
    }
}

static void watch_start(struct informer *i)
{
    static const struct watch_callbacks callbacks = {.event = watch_event, .end = watch_end};
    char from[24];
    i->watch_from = atomic_load(&i->revision);
    i->watch_since_ms = loop_now_ms(i->client->loop);
    snprintf(from, sizeof from, "%llu", (unsigned long long)i->watch_from);
    struct client_options o = {.label_selector = i->label_selector,
                               .field_selector = i->field_selector,
                               .resource_version = from,
                               .metadata_only = i->metadata_only};
    i->state = STATE_WATCHING;
    i->watch = client_watch_start(i->client, i->resource, i->ns, &o,
                                  WATCH_TIMEOUT_S + (uint32_t)(random_u64() % WATCH_TIMEOUT_S),
                                  &callbacks, i);
}

/* ----------------------------------------------------------------------------- construction --- */

static void start_task(struct loop_task *task)
{
    list_start(container_of(task, struct informer, start_task));
}

struct informer *informer_new(struct client *c, const struct informer_config *config)
{
    struct informer *i = mem_zalloc(sizeof *i);
    i->client = c;
    i->resource = config->resource;
    i->ns = config->ns && *config->ns ? mem_strdup(config->ns) : NULL;
    i->label_selector = config->label_selector ? mem_strdup(config->label_selector) : NULL;
    i->field_selector = config->field_selector ? mem_strdup(config->field_selector) : NULL;
    i->metadata_only = config->metadata_only;
    i->trim = config->trim;
    informer_cache_init(&i->cache, config->indexes);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&i->synced_cond, &attr);
    pthread_condattr_destroy(&attr);
    map_init(&i->incoming);
    i->start_task.fn = start_task;
    loop_timer_init(c->loop, &i->timer, pause_over);
    return i;
}

void informer_add_handler(struct informer *i, const struct informer_handler *h)
{
    assert(i->state == STATE_NEW && i->handlers_len < HANDLERS_MAX);
    i->handlers[i->handlers_len++] = *h;
}

void informer_start(struct informer *i)
{
    loop_post(i->client->loop, &i->start_task);
}

static void stop_on_loop(void *arg)
{
    struct informer *i = arg;
    i->state = STATE_STOPPED;
    loop_timer_stop(&i->timer);
    if (i->watch)
        client_watch_stop(i->watch);
    if (i->page)
        i->page->informer = NULL;
    incoming_drop(i);
}

void informer_free(struct informer *i)
{
    if (!i)
        return;
    loop_call(i->client->loop, stop_on_loop, i);
    informer_cache_free(&i->cache);
    map_free(&i->incoming);
    pthread_cond_destroy(&i->synced_cond);
    mem_free(i->ns);
    mem_free(i->label_selector);
    mem_free(i->field_selector);
    mem_free(i);
}

/* ------------------------------------------------------------------------------------ reads --- */

bool informer_has_synced(const struct informer *const_i)
{
    struct informer *i = (struct informer *)const_i;
    pthread_mutex_lock(&i->cache.lock);
    bool synced = i->synced;
    pthread_mutex_unlock(&i->cache.lock);
    return synced;
}

int informer_wait_synced(struct informer *const *informers, size_t n, uint32_t timeout_ms,
                         struct error *err)
{
    uint64_t end = clock_mono_ns() + timeout_ms * NS_PER_MS;
    struct timespec ts = {.tv_sec = (time_t)(end / NS_PER_S), .tv_nsec = (long)(end % NS_PER_S)};
    for (size_t k = 0; k < n; k++) {
        struct informer *i = informers[k];
        pthread_mutex_lock(&i->cache.lock);
        int rc = 0;
        while (!i->synced && rc == 0)
            rc = pthread_cond_timedwait(&i->synced_cond, &i->cache.lock, &ts);
        bool synced = i->synced;
        pthread_mutex_unlock(&i->cache.lock);
        if (!synced)
            return error_set(err, ERR_TIMEOUT, "%s not listed within %u ms", i->resource->plural,
                             timeout_ms);
    }
    return 0;
}

struct object *informer_get(struct informer *i, const char *ns, const char *name)
{
    return informer_cache_get(&i->cache, ns, name);
}

struct object *informer_get_key(struct informer *i, const char *key)
{
    return informer_cache_get_key(&i->cache, key);
}

void informer_list(struct informer *i, const char *ns, struct object_refs *out)
{
    informer_cache_list(&i->cache, ns && *ns ? CACHE_BY_NAMESPACE : CACHE_ALL, ns, out);
}

void informer_list_index(struct informer *i, unsigned index, const char *value,
                         struct object_refs *out)
{
    assert(index < INFORMER_INDEXES_MAX);
    informer_cache_list(&i->cache, (int)index, value, out);
}

size_t informer_count(struct informer *i)
{
    return informer_cache_count(&i->cache);
}

uint64_t informer_revision(struct informer *i)
{
    return atomic_load(&i->revision);
}

/* ---------------------------------------------------------------------------------- enqueue --- */

static void enqueue(struct workqueue *q, const struct object *o)
{
    struct arena a;
    arena_init(&a);
    workqueue_add(q, informer_key(&a, o->ns, o->name));
    arena_free(&a);
}

static void enqueue_one(void *ctx, struct object *o)
{
    enqueue(ctx, o);
}

static void enqueue_update(void *ctx, struct object *old, struct object *o)
{
    (void)old;
    enqueue(ctx, o);
}

void informer_enqueue(struct informer *i, struct workqueue *q)
{
    informer_add_handler(i, &(struct informer_handler){.on_add = enqueue_one,
                                                       .on_update = enqueue_update,
                                                       .on_delete = enqueue_one,
                                                       .ctx = q});
}
