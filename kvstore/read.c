/*
 * Reading and waiting: ranges on any thread, read index, waiting for a revision, the response budget,
 * pins (kvstore/kv.h, "reading").
 */
#include "kvstore/store.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/mem.h"
#include <assert.h>

int64_t kv_current_revision(const struct kv *kv)
{
    return atomic_load(&kv->watermark);
}

int64_t kv_compacted_revision(const struct kv *kv)
{
    return atomic_load(&kv->compacted);
}

struct str kv_prefix_end(struct arena *a, struct str prefix)
{
    for (size_t n = prefix.n; n > 0; n--)
        if ((unsigned char)prefix.p[n - 1] != 0xff) {
            char *end = arena_dup(a, prefix.p, n);
            end[n - 1] = (char)((unsigned char)end[n - 1] + 1);
            return str_make(end, n);
        }
    return str_make("", 1);
}

/* ---- pins ---- */

bool pin_take(struct kv *kv, int64_t rev, int *slot)
{
    *slot = -1;
    pthread_mutex_lock(&kv->pin_lock);
    if (rev >= kv->compacting)
        for (int i = 0; i < PINS_MAX && *slot < 0; i++)
            if (kv->pins[i].rev == 0) {
                kv->pins[i].rev = rev;
                *slot = i;
            }
    pthread_mutex_unlock(&kv->pin_lock);
    return *slot >= 0;
}

void pin_drop(struct kv *kv, int slot)
{
    if (slot < 0)
        return;
    pthread_mutex_lock(&kv->pin_lock);
    kv->pins[slot].rev = 0;
    bool held_back = kv->pins_hold;
    kv->pins_hold = false;
    pthread_mutex_unlock(&kv->pin_lock);
    if (held_back)
        house_wake(kv); /* compaction goes on */
}

int64_t pin_limit(struct kv *kv, int64_t target)
{
    int64_t limit = target;
    pthread_mutex_lock(&kv->pin_lock);
    for (int i = 0; i < PINS_MAX; i++)
        if (kv->pins[i].rev && kv->pins[i].rev < limit)
            limit = kv->pins[i].rev;
    kv->pins_hold = limit < target;
    kv->compacting = MAX(kv->compacting, limit);
    pthread_mutex_unlock(&kv->pin_lock);
    return limit;
}

bool pins_hold_compaction(struct kv *kv)
{
    pthread_mutex_lock(&kv->pin_lock);
    bool hold = kv->pins_hold;
    pthread_mutex_unlock(&kv->pin_lock);
    return hold;
}

/* ---- ranges ---- */

/* A walk at one revision over as many read transactions as it takes. */
struct long_walk {
    struct kv *kv;
    struct key_range range;
    int64_t rev, current;
    mvcc_visit_fn *visit;
    void *ctx;
    struct buf resume;
    bool more;  /* keys remain behind the place where the visitor stopped: `resume` */
    bool begun; /* the visitor may have seen something */
};

static int revision_choose(struct kv *kv, int64_t asked, int64_t *rev, int64_t *current,
                           struct error *err)
{
    *current = kv_current_revision(kv);
    *rev = asked > 0 ? asked : *current;
    if (*rev > *current)
        return error_set(err, KV_ERR_FUTURE_REV, "required revision is a future revision");
    if (*rev < kv_compacted_revision(kv))
        return error_set(err, ERR_COMPACTED, "required revision has been compacted");
    return 0;
}

static int compacted(struct error *err)
{
    return error_set(err, ERR_COMPACTED, "required revision has been compacted");
}

/* One read transaction's part. MVCC_WALK_DEADLINE: w->resume says where to go on, and the revision is
 * pinned. */
static int long_walk_slice(struct long_walk *w, int *slot, struct error *err)
{
    struct kv *kv = w->kv;
    struct mvcc_state state;
    MDB_txn *txn;
    int rc = kv_may_serve(kv, err);
    if (rc == 0)
        rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    struct mvcc_view v = {&kv->trees, txn, w->rev};
    rc = mvcc_state_load(kv->db, txn, &state, err);
    if (rc == 0 && *slot < 0 && w->rev < state.compact_rev)
        rc = compacted(err);
    if (rc == 0)
        w->begun = true;
    if (rc == 0)
        rc = mvcc_walk(&v, &w->range, w->visit, w->ctx, clock_mono_ns() + READ_SLICE_NS, &w->resume,
                       &w->more, err);
    /* Pinned before the transaction that still holds everything ends. */
    if (rc == MVCC_WALK_DEADLINE && *slot < 0 && !pin_take(kv, w->rev, slot))
        rc = compacted(err);
    logdb_read_end(kv->db, txn);
    return kv_check_code(kv, rc, err);
}

static int long_walk_run(struct long_walk *w, struct error *err)
{
    struct buf from;
    int slot = -1, rc;
    buf_init(&from);
    while ((rc = long_walk_slice(w, &slot, err)) == MVCC_WALK_DEADLINE) {
        buf_clear(&from);
        buf_append_str(&from, buf_str(&w->resume));
        w->range.from = buf_str(&from);
    }
    pin_drop(w->kv, slot);
    buf_free(&from);
    return rc < 0 ? rc : 0;
}

/* At `rev`; 0: at the newest, chosen again when that is compacted before it is looked at. */
static int long_walk_at(struct long_walk *w, int64_t rev, struct error *err)
{
    int rc;
    do {
        rc = revision_choose(w->kv, rev, &w->rev, &w->current, err);
        if (rc == 0)
            rc = long_walk_run(w, err);
    } while (rc == ERR_COMPACTED && rev <= 0 && !w->begun);
    return rc;
}

int kv_range(struct kv *kv, const struct kv_range_request *request, struct arena *a,
             struct kv_range_result *out, struct error *err)
{
    struct range_collector c;
    struct long_walk w = {.kv = kv, .visit = range_collect, .ctx = &c};
    *out = (struct kv_range_result){0};
    int rc = range_request_check(request, err);
    if (rc < 0)
        return rc;
    w.range = key_range_of(request);
    range_collector_init(&c, request, a, kv->o.response_bytes_max, out);
    buf_init(&w.resume);
    rc = long_walk_at(&w, request->rev, err);
    buf_free(&w.resume);
    if (rc == KV_ERR_RESPONSE_TOO_LARGE)
        return error_set(err, rc, "the answer is larger than %zu bytes", c.bytes_max);
    if (rc < 0)
        return rc;
    range_collector_finish(&c);
    out->rev = w.rev;
    out->current = w.current;
    return 0;
}

struct scan {
    const struct kv_range_request *request;
    kv_visit_fn *visit;
    void *ctx;
    int64_t visited;
    size_t bytes;
};

static int scan_one(void *ctx, struct str key, const struct kv_record *r)
{
    struct scan *s = ctx;
    const struct kv_range_request *q = s->request;
    struct kv_pair p = mvcc_pair(key, r);
    if ((q->min_mod_rev && p.mod_rev < q->min_mod_rev) ||
        (q->max_mod_rev && p.mod_rev > q->max_mod_rev) ||
        (q->min_create_rev && p.create_rev < q->min_create_rev) ||
        (q->max_create_rev && p.create_rev > q->max_create_rev))
        return 0;
    if (q->keys_only)
        p.value = STR_NONE;
    s->visited++;
    s->bytes += key.n + p.value.n;
    int rc = q->count_only ? 0 : s->visit(s->ctx, &p);
    if (rc != 0)
        return rc;
    return (q->limit && s->visited >= q->limit) || (q->bytes_max && s->bytes >= q->bytes_max);
}

int kv_scan(struct kv *kv, const struct kv_range_request *request, kv_visit_fn *visit, void *ctx,
            struct arena *a, struct kv_range_result *out, struct error *err)
{
    struct scan s = {.request = request, .visit = visit, .ctx = ctx};
    struct long_walk w = {.kv = kv, .visit = scan_one, .ctx = &s};
    *out = (struct kv_range_result){0};
    int rc = range_request_check(request, err);
    if (rc == 0 && (request->sort_order == KV_SORT_DESCEND ||
                    (request->sort_order && request->sort_target != KV_SORT_KEY)))
        rc = error_set(err, ERR_INVALID, "a scan goes in key order");
    if (rc < 0)
        return rc;
    w.range = key_range_of(request);
    buf_init(&w.resume);
    rc = long_walk_at(&w, request->rev, err);
    if (rc == 0) {
        out->rev = w.rev;
        out->current = w.current;
        out->count = s.visited;
        out->more = w.more;
        if (w.more)
            out->next = str_make(arena_dup(a, w.resume.data, w.resume.len), w.resume.len);
    }
    buf_free(&w.resume);
    return rc;
}

/* ---- waiting ---- */

static void waiter_done(struct loop_task *task)
{
    struct waiter *w = container_of(task, struct waiter, task);
    w->cb(w->ctx, w->code, w->rev);
    mem_free(w);
}

struct waiter *waiter_new(struct kv *kv, struct loop *loop, kv_revision_fn *cb, void *ctx)
{
    struct waiter *w = mem_zalloc(sizeof *w);
    w->kv = kv;
    w->loop = loop;
    w->cb = cb;
    w->ctx = ctx;
    w->task.fn = waiter_done;
    return w;
}

void waiter_end(struct waiter *w, int code, int64_t rev)
{
    w->code = code;
    w->rev = rev;
    if (w->loop)
        loop_post(w->loop, &w->task);
    else
        waiter_done(&w->task);
}

void waiters_init(struct kv *kv)
{
    heap_init(&kv->index_waiters.by_target);
    heap_init(&kv->index_waiters.by_deadline);
    heap_init(&kv->rev_waiters.by_target);
    heap_init(&kv->rev_waiters.by_deadline);
}

void waiters_free(struct kv *kv)
{
    heap_free(&kv->index_waiters.by_target);
    heap_free(&kv->index_waiters.by_deadline);
    heap_free(&kv->rev_waiters.by_target);
    heap_free(&kv->rev_waiters.by_deadline);
}

static void waiter_take(struct waiter_heap *h, struct waiter *w)
{
    heap_remove(&h->by_target, &w->by_target);
    heap_remove(&h->by_deadline, &w->by_deadline);
    atomic_fetch_sub(&w->kv->waiting, 1);
}

typedef VEC(struct waiter *) waiter_vec;

static void take_reached(struct waiter_heap *h, uint64_t reached, waiter_vec *out)
{
    struct heap_item *item;
    while ((item = heap_peek(&h->by_target)) && item->key <= reached) {
        struct waiter *w = container_of(item, struct waiter, by_target);
        waiter_take(h, w);
        vec_push(out, w);
    }
}

static void take_expired(struct waiter_heap *h, uint64_t now_ns, waiter_vec *out)
{
    struct heap_item *item;
    while ((item = heap_peek(&h->by_deadline)) && item->key <= now_ns) {
        struct waiter *w = container_of(item, struct waiter, by_deadline);
        waiter_take(h, w);
        vec_push(out, w);
    }
}

static void end_all(waiter_vec *v, int code, int64_t rev)
{
    for (size_t i = 0; i < v->len; i++)
        waiter_end(v->items[i], code, rev);
    vec_free(v);
}

void waiters_release(struct kv *kv, uint64_t applied, int64_t rev)
{
    waiter_vec out = {0};
    pthread_mutex_lock(&kv->wait_lock);
    take_reached(&kv->index_waiters, applied, &out);
    take_reached(&kv->rev_waiters, (uint64_t)rev, &out);
    pthread_mutex_unlock(&kv->wait_lock);
    end_all(&out, 0, rev);
}

void waiters_expire(struct kv *kv, uint64_t now_ns)
{
    waiter_vec out = {0};
    pthread_mutex_lock(&kv->wait_lock);
    take_expired(&kv->index_waiters, now_ns, &out);
    take_expired(&kv->rev_waiters, now_ns, &out);
    pthread_mutex_unlock(&kv->wait_lock);
    end_all(&out, ERR_TIMEOUT, kv_current_revision(kv));
}

void waiters_cancel_all(struct kv *kv)
{
    waiter_vec out = {0};
    pthread_mutex_lock(&kv->wait_lock);
    take_expired(&kv->index_waiters, UINT64_MAX, &out);
    take_expired(&kv->rev_waiters, UINT64_MAX, &out);
    pthread_mutex_unlock(&kv->wait_lock);
    end_all(&out, ERR_CANCELLED, kv_current_revision(kv));
}

/* Wait in `h` for `target`; the caller has checked that it is not reached, this checks again under the
 * lock that releasing takes. */
static void wait_for(struct kv *kv, struct waiter_heap *h, uint64_t target, uint64_t timeout_ms,
                     bool by_index, struct waiter *w)
{
    pthread_mutex_lock(&kv->wait_lock);
    uint64_t reached = by_index ? atomic_load(&kv->applied) : (uint64_t)kv_current_revision(kv);
    bool wait = reached < target && !atomic_load(&kv->stopping);
    if (wait) {
        heap_insert(&h->by_target, &w->by_target, target);
        heap_insert(&h->by_deadline, &w->by_deadline, clock_mono_ns() + timeout_ms * NS_PER_MS);
        atomic_fetch_add(&kv->waiting, 1);
    }
    pthread_mutex_unlock(&kv->wait_lock);
    if (wait && by_index) /* on the Raft thread, which told us the index */
        driver_hurry(kv->driver);
    if (!wait)
        waiter_end(w, reached >= target ? 0 : ERR_CANCELLED, kv_current_revision(kv));
}

void kv_wait_revision(struct kv *kv, int64_t rev, uint32_t timeout_ms, struct loop *loop,
                      kv_revision_fn *cb, void *ctx)
{
    struct waiter *w = waiter_new(kv, loop, cb, ctx);
    wait_for(kv, &kv->rev_waiters, (uint64_t)MAX(rev, 0), timeout_ms, false, w);
}

void kv_wait_applied(struct kv *kv, uint64_t index, uint32_t timeout_ms, struct loop *loop,
                     kv_revision_fn *cb, void *ctx)
{
    struct waiter *w = waiter_new(kv, loop, cb, ctx);
    wait_for(kv, &kv->index_waiters, index, timeout_ms, true, w);
}

static void read_index_known(void *ctx, int code, uint64_t index)
{
    struct waiter *w = ctx;
    struct kv *kv = w->kv;
    if (code)
        waiter_end(w, code, kv_current_revision(kv));
    else
        wait_for(kv, &kv->index_waiters, index, kv->o.request_timeout_ms, true, w);
}

void kv_read_index(struct kv *kv, struct loop *loop, kv_revision_fn *cb, void *ctx)
{
    struct waiter *w = waiter_new(kv, loop, cb, ctx);
    if (atomic_load(&kv->failed))
        waiter_end(w, ERR_IO, kv_current_revision(kv));
    else if (kv_is_damaged(kv))
        waiter_end(w, ERR_CORRUPT, kv_current_revision(kv));
    else if (atomic_load(&kv->stopping))
        waiter_end(w, ERR_CANCELLED, kv_current_revision(kv));
    else
        driver_read_index(kv->driver, read_index_known, w);
}

/* ---- the response budget ---- */

static size_t *budget_held(struct kv *kv, uint64_t flow)
{
    return &kv->budget_held[flow % BUDGET_FLOWS];
}

static void budget_hold(struct kv *kv, size_t bytes, uint64_t flow)
{
    kv->budget_left -= bytes;
    *budget_held(kv, flow) += bytes;
}

/* The first of those that wait for the flow that holds the least. */
static struct budget_waiter *budget_next(struct kv *kv)
{
    struct budget_waiter *best = NULL;
    list_for_each (it, &kv->budget_queue) {
        struct budget_waiter *b = list_entry(it, struct budget_waiter, link);
        if (!best || *budget_held(kv, b->flow) < *budget_held(kv, best->flow))
            best = b;
        if (*budget_held(kv, best->flow) == 0)
            break;
    }
    return best;
}

/* Grant as far as it goes, without passing over who is next; collects who to tell. */
static void budget_grant(struct kv *kv, waiter_vec *out)
{
    struct budget_waiter *b;
    while ((b = budget_next(kv)) && b->bytes <= kv->budget_left) {
        budget_hold(kv, b->bytes, b->flow);
        list_remove(&b->link);
        vec_push(out, b->waiter);
        mem_free(b);
    }
}

bool kv_budget_take(struct kv *kv, size_t bytes, uint64_t flow, struct loop *loop,
                    kv_revision_fn *cb, void *ctx)
{
    bytes = MIN(bytes, kv->o.response_budget);
    pthread_mutex_lock(&kv->budget_lock);
    bool now = list_empty(&kv->budget_queue) && bytes <= kv->budget_left;
    if (now) {
        budget_hold(kv, bytes, flow);
    } else {
        struct budget_waiter *b = mem_zalloc(sizeof *b);
        b->bytes = bytes;
        b->flow = flow;
        b->waiter = waiter_new(kv, loop, cb, ctx);
        list_push_back(&kv->budget_queue, &b->link);
    }
    pthread_mutex_unlock(&kv->budget_lock);
    return now;
}

bool kv_budget_wanted(struct kv *kv)
{
    pthread_mutex_lock(&kv->budget_lock);
    bool wanted = !list_empty(&kv->budget_queue);
    pthread_mutex_unlock(&kv->budget_lock);
    return wanted;
}

void kv_budget_give(struct kv *kv, size_t bytes, uint64_t flow)
{
    waiter_vec out = {0};
    bytes = MIN(bytes, kv->o.response_budget);
    pthread_mutex_lock(&kv->budget_lock);
    kv->budget_left += bytes;
    *budget_held(kv, flow) -= bytes;
    assert(kv->budget_left <= kv->o.response_budget);
    budget_grant(kv, &out);
    pthread_mutex_unlock(&kv->budget_lock);
    end_all(&out, 0, kv_current_revision(kv));
}
