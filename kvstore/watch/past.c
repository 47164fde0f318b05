/*
 * Watchers behind the ring: slices of history from LMDB (kvstore/watch/state.h).
 *
 * One thread serves them in turn. A slice is bounded in events, bytes, records looked at and time, so one
 * watcher of a rare key in a long history does not keep the others waiting, and no read transaction lives
 * long. A slice ends between two revisions, unless a single revision is larger than a slice.
 */
#include "kvstore/watch/state.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>

#define SLICE_EVENTS 512
#define SLICE_BYTES (1u << 20)
#define SLICE_RECORDS 20000
#define SLICE_NS (50 * NS_PER_MS)

struct history_request {
    struct list link;
    struct loop_task task;
    struct kv_watch *watch; /* a reference */
    struct kv_revid next;   /* in: where to begin; out: where to go on */
    /* out */
    int code; /* 0, ERR_COMPACTED, ERR_CORRUPT, ERR_IO */
    int64_t compact_rev;
    int64_t rev; /* everything up to here has been looked at */
    bool partial;
    event_vec events;
    /* during */
    const struct watch_hub *hub;
    struct mvcc_view view;
    size_t bytes;
    struct error err;
};

static void request_free(struct history_request *q)
{
    for (size_t i = 0; i < q->events.len; i++)
        kv_event_unref(NULL, q->events.items[i]);
    vec_free(&q->events);
    watch_unref(q->watch);
    mem_free(q);
}

/* On the loop's thread: deliver a slice, and go on. */
static void slice_done(struct loop_task *task)
{
    struct history_request *q = container_of(task, struct history_request, task);
    struct kv_watch *w = q->watch;
    if (w->state == WATCH_HISTORY)
        w->state = WATCH_CATCH_UP;
    if (w->state != WATCH_CATCH_UP || w->paused) {
        request_free(q); /* delivered again when resumed: next has not moved */
        return;
    }
    if (q->code) {
        watch_end(w, q->code, q->compact_rev);
        request_free(q);
        return;
    }
    w->next = q->next;
    assert(w->pending.len == 0);
    for (size_t i = 0; i < q->events.len; i++)
        vec_push(&w->pending, q->events.items[i]);
    vec_clear(&q->events);
    if (watch_deliver(w, q->rev, q->partial) && w->state == WATCH_CATCH_UP && !w->paused)
        watch_enqueue(w);
    request_free(q);
}

void watch_history_request(struct kv_watch *w)
{
    struct watch_hub *h = w->shard->hub;
    struct history_request *q = mem_zalloc(sizeof *q);
    watch_ref(w);
    q->watch = w;
    q->next = w->next;
    q->hub = h;
    q->task.fn = slice_done;
    w->state = WATCH_HISTORY;
    pthread_mutex_lock(&h->lock);
    if (atomic_load(&h->closing)) {
        pthread_mutex_unlock(&h->lock);
        request_free(q);
        return;
    }
    list_push_back(&h->history, &q->link);
    pthread_cond_signal(&h->history_wake);
    pthread_mutex_unlock(&h->lock);
}

static int visit(void *ctx, const struct kv_record *r)
{
    struct history_request *q = ctx;
    const struct kv_watch *w = q->watch;
    if (q->events.len >= SLICE_EVENTS || q->bytes >= SLICE_BYTES)
        return 1;
    if (!key_range_has(&w->range, r->key) ||
        (r->tombstone ? w->request.no_delete : w->request.no_put))
        return 0;
    struct kv_record prev = *r;
    const struct kv_record *have = NULL;
    if (w->request.prev_kv && r->prev.rev) {
        struct mvcc_view before = {q->view.trees, q->view.txn, r->id.rev - 1};
        int rc = mvcc_resolve(&before, &prev, &q->err);
        if (rc < 0 && rc != ERR_NOT_FOUND)
            return rc;
        if (rc == 0 && !prev.tombstone)
            have = &prev;
    }
    struct kv_event *e = watch_event_new(q->hub, r->key, r, have);
    vec_push(&q->events, e);
    q->bytes += sizeof *e + r->key.n + r->value.n + (have ? prev.value.n : 0);
    return 0;
}

/* The slice stopped in the middle of revision `at.rev`: hand out whole revisions only, if it holds any. */
static void cut_to_revisions(struct history_request *q, struct kv_revid at)
{
    size_t keep = q->events.len;
    while (keep > 0 && q->events.items[keep - 1]->kv.mod_rev >= at.rev)
        keep--;
    bool began_there = q->next.rev == at.rev;
    if (keep == 0 && began_there) { /* one huge revision: hand out what there is */
        q->partial = true;
        q->rev = at.rev;
        q->next = at;
        return;
    }
    while (q->events.len > keep)
        kv_event_unref(NULL, q->events.items[--q->events.len]);
    q->rev = at.rev - 1;
    q->next = (struct kv_revid){at.rev, 0};
}

static void slice_read(struct watch_hub *h, struct history_request *q)
{
    MDB_txn *txn;
    struct mvcc_state state;
    /* What is committed may be ahead of what is published, and nobody must see it before (store.h). */
    int64_t published = kv_current_revision(h->o.kv);
    q->code = logdb_read_begin(h->o.db, &txn, &q->err);
    if (q->code < 0)
        return;
    int rc = mvcc_state_load(h->o.db, txn, &state, &q->err);
    if (rc == 0 && q->next.rev < state.compact_rev) {
        rc = ERR_COMPACTED;
        q->compact_rev = state.compact_rev;
    }
    if (rc == 0) {
        struct kv_revid at = q->next;
        q->view = (struct mvcc_view){h->o.trees, txn, published};
        rc = mvcc_history(&q->view, &at, SLICE_RECORDS, clock_mono_ns() + SLICE_NS, visit, q,
                          &q->err);
        if (rc == MVCC_WALK_DONE) {
            q->rev = published;
            q->next = (struct kv_revid){MAX(published + 1, q->next.rev), 0};
        } else if (rc > 0) {
            if (rc == MVCC_WALK_STOPPED && at.sub > 0)
                at.sub--; /* the one that stopped it has not been taken */
            cut_to_revisions(q, at);
        }
    }
    logdb_read_end(h->o.db, txn);
    q->code = rc < 0 ? kv_check_code(h->o.kv, rc, &q->err) : 0;
    if (rc < 0 && rc != ERR_COMPACTED)
        log_error("watch", "history cannot be read error=\"%s\"", q->err.message);
}

void *watch_history_main(void *arg)
{
    struct watch_hub *h = arg;
    pthread_mutex_lock(&h->lock);
    while (!atomic_load(&h->closing)) {
        if (list_empty(&h->history)) {
            pthread_cond_wait(&h->history_wake, &h->lock);
            continue;
        }
        struct history_request *q = list_first(&h->history, struct history_request, link);
        list_remove(&q->link);
        pthread_mutex_unlock(&h->lock);
        slice_read(h, q);
        loop_post(q->watch->shard->loop, &q->task);
        pthread_mutex_lock(&h->lock);
    }
    struct list rest;
    list_init(&rest);
    list_splice_back(&rest, &h->history);
    pthread_mutex_unlock(&h->lock);
    while (!list_empty(&rest)) {
        struct history_request *q = list_first(&rest, struct history_request, link);
        list_remove(&q->link);
        /* On its loop, as watches may be freed there only. */
        q->code = ERR_CANCELLED;
        loop_post(q->watch->shard->loop, &q->task);
    }
    return NULL;
}
