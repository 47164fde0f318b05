/*
 * ReplicaSet controller: keeps as many pods of a template running as spec.replicas says.
 *
 * Pods are created in growing batches (1, 2, 4, …), so that a template that the server refuses
 * costs one request and not five hundred. Expectations keep it from acting twice on a cache that
 * lags.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "controllers/expectations.h"
#include "controllers/pods.h"
#include "controllers/replicaset.h"
#include <pthread.h>

struct replicasets {
    struct manager *manager;
    struct client *client;
    struct workqueue *queue;
    struct informer *sets, *pods;
    struct expectations *expectations;
    struct recorder *recorder;
};

/* ----------------------------------------------------------------------------------- handlers ---
 */

/* The key of the set that controls the object; NULL when none does. */
static char *owner_key(struct arena *a, const struct object *o)
{
    const Meta__V1__OwnerReference *ref = controller_of(object_meta(o->msg));
    if (!ref || !cstr_eq(ref->kind, "ReplicaSet"))
        return NULL;
    return informer_key(a, o->ns, ref->name);
}

/* Sets that might adopt an orphan. */
static void enqueue_matching(struct replicasets *c, const struct object *pod)
{
    struct object_refs sets = {0};
    informer_list(c->sets, pod->ns, &sets);
    for (size_t i = 0; i < sets.len; i++) {
        struct arena a;
        arena_init(&a);
        const Apps__V1__ReplicaSet *rs = sets.items[i]->msg;
        struct label_selector selector;
        if (label_selector_from(&a, rs->spec->selector, &selector, NULL) == 0 && selector.len &&
            label_selector_matches_meta(&selector, object_meta(pod->msg)))
            workqueue_add(c->queue, informer_key(&a, pod->ns, sets.items[i]->name));
        arena_free(&a);
    }
    object_refs_free(&sets);
}

static void pod_gone(struct replicasets *c, const struct object *pod)
{
    struct arena a;
    arena_init(&a);
    char *key = owner_key(&a, pod);
    if (key) {
        deletion_observed(c->expectations, key, pod->uid);
        workqueue_add(c->queue, key);
    }
    arena_free(&a);
}

static void pod_add(void *ctx, struct object *pod)
{
    struct replicasets *c = ctx;
    if (pod_is_terminating(pod->msg)) {
        pod_gone(c, pod);
        return;
    }
    struct arena a;
    arena_init(&a);
    char *key = owner_key(&a, pod);
    if (key) {
        creation_observed(c->expectations, key);
        workqueue_add(c->queue, key);
    } else if (!controller_of(object_meta(pod->msg))) {
        enqueue_matching(c, pod);
    }
    arena_free(&a);
}

static void pod_update(void *ctx, struct object *old, struct object *pod)
{
    struct replicasets *c = ctx;
    if (pod_is_terminating(pod->msg)) {
        pod_gone(c, pod);
        return;
    }
    struct arena a;
    arena_init(&a);
    char *key = owner_key(&a, pod), *old_key = owner_key(&a, old);
    if (old_key && !cstr_eq(old_key, key))
        workqueue_add(c->queue, old_key);
    if (key)
        workqueue_add(c->queue, key);
    else if (!controller_of(object_meta(pod->msg)))
        enqueue_matching(c, pod);
    arena_free(&a);
}

static void pod_delete(void *ctx, struct object *pod)
{
    pod_gone(ctx, pod);
}

static void set_delete(void *ctx, struct object *rs)
{
    struct replicasets *c = ctx;
    struct arena a;
    arena_init(&a);
    char *key = informer_key(&a, rs->ns, rs->name);
    expectations_forget(c->expectations, key);
    workqueue_add(c->queue, key);
    arena_free(&a);
}

/* ------------------------------------------------------------------------------------- writes ---
 */

/* A batch of requests under way; the reconcile waits for all. */
struct batch {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    unsigned left, failed;
    struct error first; /* failure */
};

struct batch_item {
    struct batch *batch;
    struct replicasets *c;
    const char *key;
    const struct object *set;
    const char *pod, *uid; /* uid: deletions only */
    bool creating;
};

static void item_done(void *ctx, const struct error *err)
{
    struct batch_item *x = ctx;
    struct event_target about = event_target_of(RESOURCE_REPLICASETS, x->set);
    bool gone = err && !x->creating && err->code == ERR_NOT_FOUND;
    if (err && x->creating)
        creation_observed(x->c->expectations, x->key); /* it will not come */
    else if (err)
        deletion_observed(x->c->expectations, x->key, x->uid);
    if (!err)
        recorder_event(x->c->recorder, &about, EVENT_NORMAL,
                       x->creating ? "SuccessfulCreate" : "SuccessfulDelete", "%s pod: %s",
                       x->creating ? "Created" : "Deleted", x->pod);
    else if (!gone)
        recorder_event(x->c->recorder, &about, EVENT_WARNING,
                       x->creating ? "FailedCreate" : "FailedDelete", "Error %s: %s",
                       x->creating ? "creating" : "deleting", err->message);
    struct batch *b = x->batch;
    pthread_mutex_lock(&b->lock);
    if (err && !gone && b->failed++ == 0)
        b->first = *err;
    if (--b->left == 0)
        pthread_cond_signal(&b->cond);
    pthread_mutex_unlock(&b->lock);
}

static void batch_wait(struct batch *b)
{
    pthread_mutex_lock(&b->lock);
    while (b->left)
        pthread_cond_wait(&b->cond, &b->lock);
    pthread_mutex_unlock(&b->lock);
}

/* What one reconcile works with. */
struct work {
    struct replicasets *c;
    struct arena *a;
    const char *key;
    struct object *set;
    const Apps__V1__ReplicaSet *rs;
    VEC(Core__V1__Pod *) active; /* in `refs` */
    struct object_refs refs;
    int32_t terminating;
    const char *failure; /* condition reason */
};

static int create_pods(struct work *w, unsigned n, struct error *err)
{
    expect_creations(w->c->expectations, w->key, n);
    unsigned done = 0;
    for (unsigned size = 1; done < n; size *= 2) {
        struct batch b = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
        unsigned count = MIN(size, n - done);
        b.left = count;
        struct batch_item *items = arena_array(w->a, struct batch_item, count);
        for (unsigned i = 0; i < count; i++) {
            Core__V1__Pod *pod = replicaset_pod(w->a, w->rs);
            items[i] = (struct batch_item){.batch = &b,
                                           .c = w->c,
                                           .key = w->key,
                                           .set = w->set,
                                           .pod = pod->metadata->name,
                                           .creating = true};
            client_create_async(w->c->client, RESOURCE_PODS, pod, item_done, &items[i]);
        }
        batch_wait(&b);
        done += count;
        if (b.failed) {
            for (unsigned i = done; i < n; i++)
                creation_observed(w->c->expectations, w->key); /* not asked for after all */
            w->failure = "FailedCreate";
            return error_set(err, b.first.code, "%s", b.first.message);
        }
    }
    return 0;
}

static int delete_pods(struct work *w, unsigned n, struct error *err)
{
    replicaset_deletion_order(w->active.items, w->active.len);
    const char **uids = arena_array(w->a, const char *, n);
    for (unsigned i = 0; i < n; i++)
        uids[i] = w->active.items[i]->metadata->uid;
    expect_deletions(w->c->expectations, w->key, uids, n);
    struct batch b = {
        .lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER, .left = n};
    struct batch_item *items = arena_array(w->a, struct batch_item, n);
    for (unsigned i = 0; i < n; i++) {
        const Meta__V1__ObjectMeta *m = w->active.items[i]->metadata;
        items[i] = (struct batch_item){
            .batch = &b, .c = w->c, .key = w->key, .set = w->set, .pod = m->name, .uid = m->uid};
        struct delete_options d = {.grace_period_s = -1, .uid = m->uid};
        client_delete_async(w->c->client, RESOURCE_PODS, m->namespace_, m->name, &d, item_done,
                            &items[i]);
    }
    batch_wait(&b);
    if (!b.failed)
        return 0;
    w->failure = "FailedDelete";
    return error_set(err, b.first.code, "%s", b.first.message);
}

/* ---------------------------------------------------------------------------------- reconcile ---
 */

/* A set that its cache still shows may be gone: nothing is adopted for such a one. */
static bool still_there(struct work *w, struct error *err)
{
    Apps__V1__ReplicaSet *live =
        client_get(w->c->client, RESOURCE_REPLICASETS, w->set->ns, w->set->name, NULL, w->a, err);
    if (!live)
        return false;
    if (!cstr_eq(live->metadata->uid, w->set->uid) ||
        !time_is_zero(live->metadata->deletion_timestamp)) {
        error_set(err, ERR_NOT_FOUND, "%s is gone", w->key);
        return false;
    }
    return true;
}

static int claim_pod(struct work *w, const struct label_selector *selector, struct object *o,
                     bool *verified, struct error *err)
{
    Core__V1__Pod *pod = o->msg;
    switch (claim_decide(pod->metadata, selector, w->rs->metadata)) {
    case CLAIM_NONE:
        return 0;
    case CLAIM_RELEASE:
        return claim_release(w->c->client, RESOURCE_PODS, pod->metadata, w->rs->metadata, err);
    case CLAIM_ADOPT:
        if (!pod_is_active(pod))
            return 0;
        if (!*verified && !still_there(w, err))
            return err->code == ERR_NOT_FOUND ? 0 : err->code;
        *verified = true;
        if (claim_adopt(w->c->client, RESOURCE_PODS, pod->metadata, w->rs, err) < 0)
            return err->code;
        break;
    case CLAIM_OWNED:
        break;
    }
    if (pod_is_active(pod))
        vec_push(&w->active, pod);
    else
        w->terminating += !pod_has_ended(pod);
    return 0;
}

static int claim_pods(struct work *w, struct error *err)
{
    struct label_selector selector;
    if (label_selector_from(w->a, w->rs->spec->selector, &selector, err) < 0)
        return err->code;
    informer_list(w->c->pods, w->set->ns, &w->refs);
    bool verified = false;
    for (size_t i = 0; i < w->refs.len; i++)
        if (claim_pod(w, &selector, w->refs.items[i], &verified, err) < 0)
            return err->code;
    return 0;
}

static int manage(struct work *w, struct error *err)
{
    int missing = replicaset_missing(w->rs, w->active.len);
    if (missing > 0)
        return create_pods(w, (unsigned)missing, err);
    return missing < 0 ? delete_pods(w, (unsigned)-missing, err) : 0;
}

static int write_status(struct work *w, const struct error *failed, struct error *err)
{
    int64_t wait_s = INT64_MAX;
    Apps__V1__ReplicaSetStatus *s =
        replicaset_status(w->a, w->rs, w->active.items, w->active.len, w->terminating, w->failure,
                          failed->message, clock_wall_s(), &wait_s);
    if (wait_s != INT64_MAX)
        workqueue_add_after(w->c->queue, w->key, (uint64_t)wait_s * 1000);
    if (object_equal(s, w->rs->status))
        return 0;
    Apps__V1__ReplicaSet *next = object_clone(w->a, w->rs);
    next->status = s;
    struct error failure = {0};
    client_update_status(w->c->client, RESOURCE_REPLICASETS, next, NULL, w->a, &failure);
    return write_result(&failure, err);
}

static int reconcile_set(struct work *w, struct error *err)
{
    bool met = expectations_met(w->c->expectations, w->key);
    int rc = claim_pods(w, err);
    if (rc < 0)
        return rc;
    struct error failed = {0};
    if (met && time_is_zero(w->rs->metadata->deletion_timestamp))
        manage(w, &failed);
    rc = write_status(w, &failed, err);
    if (failed.code) /* a pod that cannot be made comes back with a back-off */
        return error_set(err, failed.code, "%s", failed.message);
    return rc;
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct replicasets *c = ctx;
    struct object *set = informer_get_key(c->sets, key);
    if (!set) {
        expectations_forget(c->expectations, key);
        return 0;
    }
    struct arena a;
    arena_init(&a);
    struct work w = {.c = c, .a = &a, .key = key, .set = set, .rs = set->msg};
    int rc = reconcile_set(&w, err);
    vec_free(&w.active);
    object_refs_free(&w.refs);
    object_unref(set);
    arena_free(&a);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct replicasets *c = mem_zalloc(sizeof *c);
    c->manager = m;
    c->client = manager_client(m);
    c->queue = queue;
    c->expectations = expectations_new();
    c->recorder = manager_recorder(m, "replicaset-controller");
    c->sets = manager_informer(m, RESOURCE_REPLICASETS);
    c->pods = manager_informer(m, RESOURCE_PODS);
    informer_enqueue(c->sets, queue);
    informer_add_handler(c->sets, &(struct informer_handler){.on_delete = set_delete, .ctx = c});
    informer_add_handler(c->pods, &(struct informer_handler){.on_add = pod_add,
                                                             .on_update = pod_update,
                                                             .on_delete = pod_delete,
                                                             .ctx = c});
    return c;
}

static void close_controller(void *ctx)
{
    struct replicasets *c = ctx;
    expectations_free(c->expectations);
    mem_free(c);
}

const struct controller controller_replicaset = {.name = "replicaset",
                                                 .workers = 3,
                                                 .open = open_controller,
                                                 .reconcile = reconcile,
                                                 .close = close_controller};
