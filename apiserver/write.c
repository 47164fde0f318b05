/*
 * The compare-and-swap loop: see write.h.
 */
#include "apiserver/write.h"
#include "apiserver/admission/quota.h"
#include "apiserver/strategy/strategy.h"
#include "base/arena_str.h"

static void attempt(struct write *w);

static void finish(struct write *w, struct status *s)
{
    quota_done(w);
    arena_free(&w->charged);
    w->done(w, s);
}

static void confirmed(void *ctx, int code, int64_t rev)
{
    struct write *w = ctx;
    (void)rev;
    if (code < 0) {
        struct error err;
        error_set(&err, code, "no quorum");
        finish(w, status_from_error(w->rq->a, &err));
        return;
    }
    w->confirmed = true;
    attempt(w);
}

/* Read again, linearizably, and try once more. */
static void retry(struct write *w)
{
    kv_read_index(w->rq->server->kv, w->rq->x->loop, confirmed, w);
}

static void waited(struct loop_timer *timer)
{
    retry(container_of(timer, struct write, wait));
}

/* The error holds for what was read: is that current, and will it stay so? */
static void fail(struct write *w, struct status *s)
{
    bool believed = w->confirmed || s->code == 400 || s->code == 415;
    if (!believed) {
        retry(w);
    } else if (w->awaited && w->waits < WRITE_WAITS_MAX && !w->quota_turn &&
               !http_closed(w->rq->x)) {
        w->waits++;
        loop_timer_init(w->rq->x->loop, &w->wait, waited);
        loop_timer_start(&w->wait, WRITE_WAIT_MS);
    } else {
        finish(w, s);
    }
}

static void lost(struct write *w)
{
    struct arena *a = w->rq->a;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    /* Who changes a quota meets every other writer of the namespace. */
    if (w->attempts >= (w->quota_turn ? WRITE_QUOTA_ATTEMPTS_MAX : WRITE_ATTEMPTS_MAX)) {
        finish(w, status_conflict(a, &about, STATUS_MODIFIED));
        return;
    }
    w->confirmed = w->unread = false;
    retry(w);
}

static void applied(void *ctx, struct kv_txn_result *result)
{
    struct write *w = ctx;
    int code = result->code;
    bool ok = result->succeeded;
    w->rev = w->updated ? w->old_pair.mod_rev : result->rev;
    struct error err;
    if (code < 0)
        error_set(&err, code, "%s", result->message);
    kv_txn_result_free(result);
    if (code == KV_ERR_TOO_LARGE) {
        finish(w, status_new(w->rq->a, 413, "RequestEntityTooLarge",
                             "Request entity too large: limit is 3145728"));
        return;
    }
    if (code < 0)
        finish(w, status_from_error(w->rq->a, &err));
    else if (ok)
        finish(w, NULL);
    else
        lost(w);
}

static void commit(struct write *w)
{
    struct arena *a = w->rq->a;
    struct kv_compare *compares = arena_array(a, struct kv_compare, w->compares_len + 1);
    struct kv_op *ops = arena_array(a, struct kv_op, w->ops_len + 1);
    compares[0] = (struct kv_compare){.target = KV_COMPARE_MOD,
                                      .result = KV_EQUAL,
                                      .key = w->key,
                                      .number = w->old ? w->old_pair.mod_rev : 0};
    if (w->remove)
        ops[0] = (struct kv_op){.type = KV_OP_DELETE, .del = {.key = w->key}};
    else
        ops[0] = (struct kv_op){.type = KV_OP_PUT,
                                .put = {.key = w->key, .value = w->stored, .lease = w->lease}};
    for (size_t i = 0; i < w->compares_len; i++)
        compares[i + 1] = w->compares[i];
    for (size_t i = 0; i < w->ops_len; i++)
        ops[i + 1] = w->ops[i];
    struct kv_txn_request txn = {.compares = compares,
                                 .compares_len = w->compares_len + 1,
                                 .then = ops,
                                 .then_len = w->ops_len + 1};
    kv_txn(w->rq->server->kv, &txn, w->rq->x->loop, applied, w);
}

static int read_old(struct write *w, struct error *err)
{
    w->old = NULL;
    w->old_pair = (struct kv_pair){0};
    if (w->unread && !w->dry_run)
        return 0;
    int rc = rest_read(w->rq, w->key, &w->old_pair, err);
    if (rc <= 0)
        return rc;
    return stored_decode(w->rq->a, w->old_pair.value, w->old_pair.mod_rev, rest_kept_message(w->r),
                         &w->old, err);
}

static void encode(struct write *w)
{
    struct buf *b = &w->rq->worker->text;
    buf_clear(b);
    stored_encode(w->obj, b);
    w->stored = arena_copy(w->rq->a, buf_str(b));
}

static void attempt(struct write *w)
{
    struct error err;
    w->attempts++;
    w->key = rest_key(w->rq->a, w->r, w->ns, w->name);
    if (read_old(w, &err) < 0) {
        finish(w, status_from_error(w->rq->a, &err));
        return;
    }
    w->obj = NULL;
    w->remove = w->updated = w->unchanged = w->created = false;
    w->compares_len = w->ops_len = 0;
    arena_reset(&w->charged);
    w->overflow = w->awaited = false;
    w->lease = w->old_pair.lease;
    struct status *s = w->change(w);
    if (!s && w->overflow)
        s = status_internal(w->rq->a, "the change takes more than %d keys", WRITE_EXTRAS_MAX);
    if (s) {
        fail(w, s);
        return;
    }
    w->key = rest_key(w->rq->a, w->r, w->ns, w->name); /* generateName has chosen one */
    w->created = !w->old && !w->remove;
    if (w->unchanged || w->remove) {
        w->stored = w->old_pair.value;
        w->rev = w->old_pair.mod_rev;
    }
    if (w->obj)
        encode(w);
    enum quota_answer quota = w->unchanged ? QUOTA_FINE : quota_charge(w, &s);
    if (quota == QUOTA_REFUSED)
        fail(w, s);
    if (quota != QUOTA_FINE)
        return;
    if (w->unchanged && !w->confirmed && !w->dry_run) {
        retry(w); /* a no-op must be one on the current object */
        return;
    }
    if (w->unchanged || w->dry_run) {
        if (!w->unchanged && !w->remove)
            w->rev = w->old_pair.mod_rev;
        finish(w, NULL);
        return;
    }
    commit(w);
}

void write_again(struct write *w)
{
    retry(w);
}

struct write *write_new(struct rest *rq, struct status *(*change)(struct write *w),
                        void (*done)(struct write *w, struct status *s), void *ctx)
{
    struct write *w = arena_new(rq->a, struct write);
    w->rq = rq;
    w->r = rq->r;
    w->ns = rq->info.ns;
    w->name = rq->info.name;
    w->change = change;
    w->done = done;
    w->ctx = ctx;
    w->dry_run = rq->dry_run;
    return w;
}

void write_run(struct write *w)
{
    w->attempts = 0;
    w->confirmed = false;
    attempt(w);
}

/* Room for one more of `size` bytes each; NULL past the maximum. */
static void *grow(struct write *w, void *items, size_t len, size_t *cap, size_t size)
{
    if (len == WRITE_EXTRAS_MAX) {
        w->overflow = true;
        return NULL;
    }
    if (len < *cap)
        return items;
    size_t wider = *cap ? 2 * *cap : 8;
    items = arena_grow(w->rq->a, items, *cap * size, wider * size);
    *cap = wider;
    return items;
}

static void add_compare(struct write *w, struct str key, int64_t mod_rev)
{
    struct kv_compare *c =
        grow(w, w->compares, w->compares_len, &w->compares_cap, sizeof *w->compares);
    if (!c)
        return;
    w->compares = c;
    c[w->compares_len++] = (struct kv_compare){
        .target = KV_COMPARE_MOD, .result = KV_EQUAL, .key = key, .number = mod_rev};
}

static void add_op(struct write *w, const struct kv_op *op)
{
    struct kv_op *ops = grow(w, w->ops, w->ops_len, &w->ops_cap, sizeof *w->ops);
    if (!ops)
        return;
    w->ops = ops;
    ops[w->ops_len++] = *op;
}

void write_extra_unchanged(struct write *w, struct str key, int64_t mod_rev)
{
    add_compare(w, key, mod_rev);
}

void write_extra_create(struct write *w, struct str key, struct str value)
{
    write_extra_replace(w, key, 0, value);
}

void write_extra_replace(struct write *w, struct str key, int64_t mod_rev, struct str value)
{
    add_compare(w, key, mod_rev);
    add_op(w, &(struct kv_op){.type = KV_OP_PUT, .put = {.key = key, .value = value}});
}

void write_extra_delete(struct write *w, struct str key)
{
    add_op(w, &(struct kv_op){.type = KV_OP_DELETE, .del = {.key = key}});
}

void write_answer(struct write *w, struct status *s)
{
    struct rest *rq = w->rq;
    if (s) {
        rest_status(rq, s);
        return;
    }
    rest_stored(rq, w->created ? 201 : 200, w->stored, w->rev);
}
