/*
 * Garbage collector: deletes what no owner is left for, and carries out foreground and orphan
 * deletion.
 *
 * For every resource that can be listed and deleted there is a monitor: the shared informer where a
 * controller has one, else one of metadata alone. Together with a map from uid to object, and each
 * informer's index by owner uid, they are the graph; nothing else is kept. Keys are
 * "<monitor>:<ns/name>".
 *
 *     an object came or changed ──▶ itself, if it has owners that are not seen, or is being deleted
 * with our finalizers it went                   ──▶ its dependents, and its owners (they may wait
 * for it)
 *
 * Before anything is deleted the object and its owners are asked for once more at the server: the
 * caches of different resources are not of the same moment.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/buf.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "client/discovery.h"
#include "controllers/garbagecollector.h"
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define DISCOVERY_MS 30000
#define DISCOVERY_RETRY_MS 1000
#define DISCOVERY_KEY "discovery"

struct collector;

struct monitor {
    struct collector *collector;
    const struct resource *resource;
    struct informer *informer;
    unsigned index; /* in collector.monitors */
    bool own;       /* made here, freed here */
};

/* Where the object of a uid is. */
struct located {
    struct monitor *monitor;
    char *key;
};

struct collector {
    struct manager *manager;
    struct client *client;
    struct workqueue *queue;
    pthread_mutex_t lock;
    VEC(struct monitor *) monitors; /* only grows; under lock */
    struct map by_uid;              /* → struct located; under lock */
    struct arena resources;         /* custom resources' descriptions; the worker that discovers */
};

/* -------------------------------------------------------------------------------------- graph ---
 */

static void enqueue(struct collector *c, const struct monitor *m, const char *key)
{
    char *text = mem_printf("%u:%s", m->index, key);
    workqueue_add(c->queue, text);
    mem_free(text);
}

static void enqueue_uid(struct collector *c, const char *uid)
{
    pthread_mutex_lock(&c->lock);
    struct located *l = map_get(&c->by_uid, str_from(uid));
    if (l)
        enqueue(c, l->monitor, l->key);
    pthread_mutex_unlock(&c->lock);
}

/* A copy of the list of monitors: informers must not be called under our lock. */
static size_t monitors_copy(struct collector *c, struct monitor ***out)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->monitors.len;
    *out = mem_alloc(sizeof **out * (n + 1));
    memcpy(*out, c->monitors.items, sizeof **out * n);
    pthread_mutex_unlock(&c->lock);
    return n;
}

struct dependents {
    struct object_refs objects;
    VEC(struct monitor *) monitors; /* parallel */
};

static void dependents_of(struct collector *c, const char *uid, struct dependents *out)
{
    struct monitor **monitors;
    size_t n = monitors_copy(c, &monitors);
    for (size_t i = 0; i < n; i++) {
        informer_list_index(monitors[i]->informer, BY_OWNER, uid, &out->objects);
        while (out->monitors.len < out->objects.len)
            vec_push(&out->monitors, monitors[i]);
    }
    mem_free(monitors);
}

static void dependents_free(struct dependents *d)
{
    object_refs_free(&d->objects);
    vec_free(&d->monitors);
}

static void enqueue_dependents(struct collector *c, const char *uid)
{
    struct dependents d = {0};
    dependents_of(c, uid, &d);
    for (size_t i = 0; i < d.objects.len; i++) {
        struct arena a;
        arena_init(&a);
        enqueue(c, d.monitors.items[i],
                informer_key(&a, d.objects.items[i]->ns, d.objects.items[i]->name));
        arena_free(&a);
    }
    dependents_free(&d);
}

static void locate(struct collector *c, struct monitor *m, const struct object *o, bool present)
{
    pthread_mutex_lock(&c->lock);
    struct located *l = map_get(&c->by_uid, str_from(o->uid));
    if (present && !l) {
        struct arena a;
        arena_init(&a);
        l = mem_zalloc(sizeof *l);
        l->monitor = m;
        l->key = mem_strdup(informer_key(&a, o->ns, o->name));
        map_put(&c->by_uid, str_from(o->uid), l);
        arena_free(&a);
    } else if (!present && l) {
        map_remove(&c->by_uid, str_from(o->uid));
        mem_free(l->key);
        mem_free(l);
    }
    pthread_mutex_unlock(&c->lock);
}

static bool is_located(struct collector *c, const char *uid)
{
    pthread_mutex_lock(&c->lock);
    bool found = map_has(&c->by_uid, str_from(uid));
    pthread_mutex_unlock(&c->lock);
    return found;
}

/* ----------------------------------------------------------------------------------- handlers ---
 * They look into other informers, which the manager frees when it ends: none does anything after
 * that begins.
 */

static bool wants_us(const Meta__V1__ObjectMeta *meta)
{
    return !time_is_zero(meta->deletion_timestamp) &&
           (has_finalizer(meta, FINALIZER_FOREGROUND) || has_finalizer(meta, FINALIZER_ORPHAN));
}

static bool has_unseen_owner(struct collector *c, const Meta__V1__ObjectMeta *meta)
{
    for (size_t i = 0; i < meta->n_owner_references; i++)
        if (!is_located(c, meta->owner_references[i]->uid))
            return true;
    return false;
}

static void came(void *ctx, struct object *o)
{
    struct monitor *m = ctx;
    struct collector *c = m->collector;
    if (!manager_running(c->manager))
        return;
    const Meta__V1__ObjectMeta *meta = object_meta(o->msg);
    struct arena a;
    arena_init(&a);
    locate(c, m, o, true);
    if (wants_us(meta) || has_unseen_owner(c, meta))
        enqueue(c, m, informer_key(&a, o->ns, o->name));
    arena_free(&a);
}

static bool same_owners(const Meta__V1__ObjectMeta *a, const Meta__V1__ObjectMeta *b)
{
    if (a->n_owner_references != b->n_owner_references)
        return false;
    for (size_t i = 0; i < a->n_owner_references; i++)
        if (!object_equal(a->owner_references[i], b->owner_references[i]))
            return false;
    return true;
}

static void changed(void *ctx, struct object *old, struct object *o)
{
    struct monitor *m = ctx;
    struct collector *c = m->collector;
    if (!manager_running(c->manager))
        return;
    const Meta__V1__ObjectMeta *before = object_meta(old->msg), *meta = object_meta(o->msg);
    bool owners = !same_owners(before, meta);
    struct arena a;
    arena_init(&a);
    if (wants_us(meta) || owners)
        enqueue(c, m, informer_key(&a, o->ns, o->name));
    arena_free(&a);
    /* A dependent that no longer blocks may end its former owner's waiting. */
    for (size_t i = 0; owners && i < before->n_owner_references; i++)
        enqueue_uid(c, before->owner_references[i]->uid);
}

static void went(void *ctx, struct object *o)
{
    struct monitor *m = ctx;
    struct collector *c = m->collector;
    if (!manager_running(c->manager))
        return;
    const Meta__V1__ObjectMeta *meta = object_meta(o->msg);
    locate(c, m, o, false);
    enqueue_dependents(c, o->uid);
    for (size_t i = 0; i < meta->n_owner_references; i++)
        enqueue_uid(c, meta->owner_references[i]->uid);
}

/* ---------------------------------------------------------------------------------- discovery ---
 */

/* Nothing worth collecting, or without an identity of its own. */
static bool is_ignored(const struct resource *r)
{
    return strcmp(r->plural, "events") == 0;
}

static bool is_monitored(struct collector *c, const struct resource *r)
{
    for (size_t i = 0; i < c->monitors.len; i++)
        if (strcmp(c->monitors.items[i]->resource->plural, r->plural) == 0 &&
            strcmp(c->monitors.items[i]->resource->group, r->group) == 0)
            return true;
    return false;
}

static struct monitor *monitor_new(struct collector *c, const struct resource *r)
{
    struct monitor *m = mem_zalloc(sizeof *m);
    m->collector = c;
    m->resource = r;
    m->index = (unsigned)c->monitors.len;
    return m;
}

static void handle(struct monitor *m)
{
    informer_add_handler(m->informer,
                         &(struct informer_handler){
                             .on_add = came, .on_update = changed, .on_delete = went, .ctx = m});
}

static const struct resource *keep_resource(struct collector *c, const struct resource *r)
{
    if (r->message != SCHEMA_NONE)
        return r; /* a constant row */
    struct resource *copy = arena_dup(&c->resources, r, sizeof *r);
    copy->group = arena_strdup(&c->resources, r->group);
    copy->version = arena_strdup(&c->resources, r->version);
    copy->api_version = arena_strdup(&c->resources, r->api_version);
    copy->kind = arena_strdup(&c->resources, r->kind);
    copy->list_kind = arena_strdup(&c->resources, r->list_kind);
    copy->plural = arena_strdup(&c->resources, r->plural);
    copy->singular = arena_strdup(&c->resources, r->singular);
    return copy;
}

static void add_monitor(struct collector *c, const struct resource *found)
{
    const struct resource *r = keep_resource(c, found);
    struct monitor *m = monitor_new(c, r);
    struct informer_config config = {.resource = r, .metadata_only = true};
    config.indexes[BY_OWNER] = index_by_owner;
    m->informer = informer_new(c->client, &config);
    m->own = true;
    handle(m);
    pthread_mutex_lock(&c->lock);
    vec_push(&c->monitors, m);
    pthread_mutex_unlock(&c->lock);
    informer_start(m->informer);
}

/* Monitor what is new, and come back: custom resources come at any time. */
static int discover(struct collector *c, struct error *err)
{
    struct discovery d;
    const uint32_t needed = VERB_LIST | VERB_WATCH | VERB_DELETE;
    int rc = discovery_load(c->client, &d, err);
    for (size_t i = 0; rc == 0 && i < d.len; i++)
        if ((d.items[i].verbs & needed) == needed && !is_ignored(d.items[i].resource) &&
            !is_monitored(c, d.items[i].resource))
            add_monitor(c, d.items[i].resource);
    discovery_free(&d);
    workqueue_add_after(c->queue, DISCOVERY_KEY, rc ? DISCOVERY_RETRY_MS : DISCOVERY_MS);
    return 0;
}

static bool all_synced(struct collector *c)
{
    struct monitor **monitors;
    size_t n = monitors_copy(c, &monitors);
    bool synced = n > 0;
    for (size_t i = 0; i < n && synced; i++)
        synced = informer_has_synced(monitors[i]->informer);
    mem_free(monitors);
    return synced;
}

/* ------------------------------------------------------------------------------------- owners ---
 */

static const struct resource *resource_of(struct collector *c, const char *api_version,
                                          const char *kind)
{
    const struct resource *r = resource_find_kind(str_from(api_version), str_from(kind), NULL);
    if (r)
        return r;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->monitors.len && !r; i++) {
        const struct resource *x = c->monitors.items[i]->resource;
        if (cstr_eq(x->kind, kind) && cstr_eq(x->api_version, api_version))
            r = x;
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* Ask the server. */
static int owner_live(struct collector *c, const Meta__V1__OwnerReference *ref, const char *ns,
                      enum owner_state *out, struct arena *a, struct error *err)
{
    const struct resource *r = resource_of(c, ref->api_version, ref->kind);
    if (!r) {
        *out = OWNER_SOLID; /* a kind we do not know: never delete for it */
        return 0;
    }
    struct client_options o = {.metadata_only = true};
    struct error failure = {0};
    Meta__V1__PartialObjectMetadata *owner =
        client_get(c->client, r, r->namespaced ? ns : NULL, ref->name, &o, a, &failure);
    if (!owner && failure.code != ERR_NOT_FOUND)
        return error_set(err, failure.code, "owner %s %s: %s", ref->kind, ref->name,
                         failure.message);
    if (!owner || !cstr_eq(owner->metadata->uid, ref->uid))
        *out = OWNER_ABSENT;
    else if (!time_is_zero(owner->metadata->deletion_timestamp) &&
             has_finalizer(owner->metadata, FINALIZER_FOREGROUND))
        *out = OWNER_WAITING;
    else
        *out = OWNER_SOLID;
    return 0;
}

/* Do the caches show the owner, and that it stays? */
static bool owner_stays(struct collector *c, const Meta__V1__OwnerReference *ref, const char *ns,
                        struct arena *a)
{
    pthread_mutex_lock(&c->lock);
    struct located *l = map_get(&c->by_uid, str_from(ref->uid));
    struct informer *informer = l ? l->monitor->informer : NULL;
    char *key = l ? arena_strdup(a, l->key) : NULL;
    pthread_mutex_unlock(&c->lock);
    struct object *o = informer ? informer_get_key(informer, key) : NULL;
    bool stays = o && cstr_eq(o->uid, ref->uid) && cstr_eq(o->name, ref->name) &&
                 (!*o->ns || cstr_eq(o->ns, ns)) &&
                 time_is_zero(object_meta(o->msg)->deletion_timestamp);
    object_unref(o);
    return stays;
}

/* What the caches say is enough for an owner that stays; anything else is asked for. */
static int owner_look(struct collector *c, const Meta__V1__OwnerReference *ref, const char *ns,
                      enum owner_state *out, struct arena *a, struct error *err)
{
    if (!owner_stays(c, ref, ns, a))
        return owner_live(c, ref, ns, out, a, err);
    *out = OWNER_SOLID;
    return 0;
}

/* Everything in order as far as the caches know: the usual case, and no request. */
static bool is_settled(struct collector *c, const struct object *o, struct arena *a)
{
    const Meta__V1__ObjectMeta *meta = object_meta(o->msg);
    bool settled = !wants_us(meta);
    for (size_t i = 0; i < meta->n_owner_references && settled; i++)
        settled = owner_stays(c, meta->owner_references[i], o->ns, a);
    return settled;
}

/* ------------------------------------------------------------------------------------- writes ---
 */

static int patch_metadata(struct collector *c, const struct monitor *m,
                          const Meta__V1__ObjectMeta *meta, struct buf *patch, struct arena *a,
                          struct error *err)
{
    struct client_options o = {.metadata_only = true};
    struct error failure = {0};
    client_patch(c->client, m->resource, meta->namespace_, meta->name, PATCH_MERGE, buf_str(patch),
                 &o, a, &failure);
    return write_result(&failure, err);
}

static void append_reference(struct buf *b, const Meta__V1__OwnerReference *ref, bool first)
{
    struct buf json;
    buf_init(&json);
    json_encode(ref, JSON_DEFAULT, &json);
    buf_append_cstr(b, first ? "" : ",");
    buf_append_str(b, buf_str(&json));
    buf_free(&json);
}

/* Write the owner references that `stays` names; the object must not have changed since. */
static int write_owners(struct collector *c, const struct monitor *m,
                        const Meta__V1__ObjectMeta *meta, const bool *stays, struct arena *a,
                        struct error *err)
{
    struct buf patch;
    buf_init(&patch);
    buf_printf(&patch,
               "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%s\",\"ownerReferences\":[",
               meta->uid, meta->resource_version);
    bool first = true;
    for (size_t i = 0; i < meta->n_owner_references; i++) {
        if (!stays[i])
            continue;
        append_reference(&patch, meta->owner_references[i], first);
        first = false;
    }
    buf_append_cstr(&patch, "]}}");
    int rc = patch_metadata(c, m, meta, &patch, a, err);
    buf_free(&patch);
    return rc;
}

static int take_finalizer_off(struct collector *c, const struct monitor *m,
                              const Meta__V1__ObjectMeta *meta, const char *finalizer,
                              struct arena *a, struct error *err)
{
    struct buf patch;
    buf_init(&patch);
    buf_printf(&patch, "{\"metadata\":{\"uid\":\"%s\",\"resourceVersion\":\"%s\",\"finalizers\":[",
               meta->uid, meta->resource_version);
    bool first = true;
    for (size_t i = 0; i < meta->n_finalizers; i++) {
        if (cstr_eq(meta->finalizers[i], finalizer))
            continue;
        buf_append_cstr(&patch, first ? "" : ",");
        buf_append_json_string(&patch, str_from(meta->finalizers[i]));
        first = false;
    }
    buf_append_cstr(&patch, "]}}");
    int rc = patch_metadata(c, m, meta, &patch, a, err);
    buf_free(&patch);
    return rc;
}

static int drop_owners(struct collector *c, const struct monitor *m, const struct gc_view *v,
                       struct arena *a, struct error *err)
{
    bool *stays = arena_array(a, bool, v->object->n_owner_references);
    for (size_t i = 0; i < v->object->n_owner_references; i++)
        stays[i] = v->owners[i] == OWNER_SOLID;
    return write_owners(c, m, v->object, stays, a, err);
}

static int delete_object(struct collector *c, const struct monitor *m, const struct gc_view *v,
                         struct error *err)
{
    const Meta__V1__ObjectMeta *meta = v->object;
    /* With the resourceVersion too: somebody may be adopting it at this moment. */
    struct delete_options d = {.grace_period_s = -1,
                               .propagation = gc_propagation(v),
                               .uid = meta->uid,
                               .resource_version = meta->resource_version};
    struct error failure = {0};
    client_delete(c->client, m->resource, meta->namespace_, meta->name, &d, NULL, &failure);
    if (failure.code == 0)
        log_info("gc", "no owner left, deleted resource=%s object=%s/%s propagation=%s",
                 m->resource->plural, meta->namespace_, meta->name, d.propagation);
    return write_result(&failure, err);
}

/* Take the owner off all its dependents, then let it go. */
static int orphan(struct collector *c, const struct monitor *m, const Meta__V1__ObjectMeta *owner,
                  const struct dependents *d, struct arena *a, struct error *err)
{
    for (size_t i = 0; i < d->objects.len; i++) {
        const Meta__V1__ObjectMeta *meta = object_meta(d->objects.items[i]->msg);
        bool *stays = arena_array(a, bool, meta->n_owner_references);
        for (size_t r = 0; r < meta->n_owner_references; r++)
            stays[r] = !cstr_eq(meta->owner_references[r]->uid, owner->uid);
        if (write_owners(c, d->monitors.items[i], meta, stays, a, err) < 0)
            return err->code;
    }
    return take_finalizer_off(c, m, owner, FINALIZER_ORPHAN, a, err);
}

/* ---------------------------------------------------------------------------------- reconcile ---
 */

static size_t blocking(const struct dependents *d, const char *uid)
{
    size_t n = 0;
    for (size_t i = 0; i < d->objects.len; i++) {
        const Meta__V1__ObjectMeta *meta = object_meta(d->objects.items[i]->msg);
        for (size_t r = 0; r < meta->n_owner_references; r++)
            n += cstr_eq(meta->owner_references[r]->uid, uid) &&
                 api_get(meta->owner_references[r], block_owner_deletion, false);
    }
    return n;
}

static int act(struct collector *c, const struct monitor *m, const struct gc_view *v,
               const struct dependents *d, struct arena *a, struct error *err)
{
    switch (gc_decide(v)) {
    case GC_NOTHING:
        return 0;
    case GC_DROP_OWNERS:
        return drop_owners(c, m, v, a, err);
    case GC_DELETE:
        return delete_object(c, m, v, err);
    case GC_ORPHAN:
        return orphan(c, m, v->object, d, a, err);
    case GC_AWAIT:
        enqueue_dependents(c, v->object->uid); /* each sees that its owner waits, and goes */
        return 0;
    case GC_FINISH:
        return take_finalizer_off(c, m, v->object, FINALIZER_FOREGROUND, a, err);
    }
    return 0;
}

static int collect(struct collector *c, const struct monitor *m, const struct object *cached,
                   struct arena *a, struct error *err)
{
    struct client_options o = {.metadata_only = true};
    struct error failure = {0};
    Meta__V1__PartialObjectMetadata *live =
        client_get(c->client, m->resource, cached->ns, cached->name, &o, a, &failure);
    if (!live)
        return write_result(&failure, err);
    if (!cstr_eq(live->metadata->uid, cached->uid))
        return 0; /* another object by now; its own event comes */
    struct gc_view v = {.object = live->metadata};
    enum owner_state *owners = arena_array(a, enum owner_state, v.object->n_owner_references + 1);
    v.owners = owners;
    for (size_t i = 0; i < v.object->n_owner_references; i++)
        if (owner_look(c, v.object->owner_references[i], cached->ns, &owners[i], a, err) < 0)
            return err->code;
    struct dependents d = {0};
    dependents_of(c, cached->uid, &d);
    v.dependents = d.objects.len;
    v.blocking_dependents = blocking(&d, cached->uid);
    int rc = act(c, m, &v, &d, a, err);
    dependents_free(&d);
    return rc;
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct collector *c = ctx;
    if (strcmp(key, DISCOVERY_KEY) == 0)
        return discover(c, err);
    if (!all_synced(c)) {
        workqueue_add_after(c->queue, key,
                            200); /* an owner may be in a list that is still to come */
        return 0;
    }
    char *rest;
    unsigned long index = strtoul(key, &rest, 10);
    pthread_mutex_lock(&c->lock);
    struct monitor *m = index < c->monitors.len ? c->monitors.items[index] : NULL;
    pthread_mutex_unlock(&c->lock);
    struct object *o = m && *rest == ':' ? informer_get_key(m->informer, rest + 1) : NULL;
    if (!o)
        return 0;
    struct arena a;
    arena_init(&a);
    int rc = is_settled(c, o, &a) ? 0 : collect(c, m, o, &a, err);
    arena_free(&a);
    object_unref(o);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct collector *c = mem_zalloc(sizeof *c);
    c->manager = m;
    c->client = manager_client(m);
    c->queue = queue;
    pthread_mutex_init(&c->lock, NULL);
    map_init(&c->by_uid);
    arena_init(&c->resources);
    /* Kinds that other controllers have informers for: use theirs. */
    const struct resource *const shared[] = {
        RESOURCE_PODS,       RESOURCE_REPLICASETS, RESOURCE_DEPLOYMENTS,   RESOURCE_NODES,
        RESOURCE_NAMESPACES, RESOURCE_SERVICES,    RESOURCE_ENDPOINTSLICES};
    for (size_t i = 0; i < ARRAY_LEN(shared); i++) {
        struct monitor *x = monitor_new(c, shared[i]);
        x->informer = manager_informer(m, shared[i]);
        handle(x);
        vec_push(&c->monitors, x);
    }
    workqueue_add(queue, DISCOVERY_KEY);
    return c;
}

static void close_controller(void *ctx)
{
    struct collector *c = ctx;
    for (size_t i = 0; i < c->monitors.len; i++) {
        if (c->monitors.items[i]->own)
            informer_free(c->monitors.items[i]->informer);
        mem_free(c->monitors.items[i]);
    }
    vec_free(&c->monitors);
    struct map_iter it = {0};
    while (map_next(&c->by_uid, &it)) {
        struct located *l = it.value;
        mem_free(l->key);
        mem_free(l);
    }
    map_free(&c->by_uid);
    arena_free(&c->resources);
    pthread_mutex_destroy(&c->lock);
    mem_free(c);
}

const struct controller controller_garbagecollector = {.name = "garbagecollector",
                                                       .workers = 4,
                                                       .open = open_controller,
                                                       .reconcile = reconcile,
                                                       .close = close_controller};
