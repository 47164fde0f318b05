/*
 * The store through its public header, single member: the first things a reader wants to see work.
 */
#include "kvstore/kv.h"
#include "kvstore/kv_auth.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "net/loop.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct fixture {
    char dir[STORE_DIR_MAX];
    struct kv *kv;
    struct loop *loop;
    struct arena arena;
};

static struct kv *open_store(const char *dir)
{
    struct kv_options o = {
        .data_dir = dir, .map_bytes = 256u << 20, .quota_bytes = 128u << 20, .checkpoint_ms = 50};
    return store_open(&o);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    store_dir_make(f->dir, "kv");
    arena_init(&f->arena);
    f->loop = loop_start("test");
    f->kv = open_store(f->dir);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    kv_close(f->kv);
    loop_join(f->loop);
    arena_free(&f->arena);
    store_dir_remove(f->dir);
    mem_free(f);
    return 0;
}

static struct kv_txn_result *run_op(struct kv *kv, struct kv_op op)
{
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    return kv_txn_wait(kv, &t);
}

static int64_t put(struct kv *kv, const char *key, const char *value)
{
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = str_from(key), .value = str_from(value)}};
    struct kv_txn_result *r = run_op(kv, op);
    if (r->code)
        fail_msg("put %s: %d %s", key, r->code, r->message);
    int64_t rev = r->rev;
    kv_txn_result_free(r);
    return rev;
}

static int64_t del(struct kv *kv, const char *key, const char *end)
{
    struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = str_from(key), .end = str_from(end)}};
    struct kv_txn_result *r = run_op(kv, op);
    assert_int_equal(r->code, 0);
    int64_t n = r->ops[0].del.deleted;
    kv_txn_result_free(r);
    return n;
}

static struct kv_range_result get(struct fixture *f, const char *key, const char *end, int64_t rev)
{
    struct kv_range_request q = {.key = str_from(key), .end = str_from(end), .rev = rev};
    struct kv_range_result out;
    struct error err;
    int rc = kv_range(f->kv, &q, &f->arena, &out, &err);
    if (rc)
        fail_msg("range %s: %s", key, err.message);
    return out;
}

static void put_then_get(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(kv_current_revision(f->kv), 1);
    assert_int_equal(put(f->kv, "a", "1"), 2);
    assert_int_equal(put(f->kv, "a", "2"), 3);
    assert_int_equal(put(f->kv, "b", "x"), 4);
    struct kv_range_result r = get(f, "a", "", 0);
    assert_int_equal(r.count, 1);
    assert_true(str_eq(r.pairs[0].value, STR("2")));
    assert_int_equal(r.pairs[0].create_rev, 2);
    assert_int_equal(r.pairs[0].mod_rev, 3);
    assert_int_equal(r.pairs[0].version, 2);
    r = get(f, "a", "z", 3);
    assert_int_equal(r.count, 1);
    assert_int_equal(r.rev, 3);
    assert_int_equal(r.current, 4);
    r = get(f, "a", "", 2);
    assert_true(str_eq(r.pairs[0].value, STR("1")));
}

static void delete_and_past(void **state)
{
    struct fixture *f = *state;
    put(f->kv, "k1", "a");
    int64_t rev = put(f->kv, "k2", "b");
    put(f->kv, "q", "c");
    assert_int_equal(del(f->kv, "k", "l"), 2);
    assert_int_equal(get(f, "k", "l", 0).count, 0);
    assert_int_equal(get(f, "k", "l", rev).count, 2);
    assert_int_equal(del(f->kv, "k", "l"), 0);
    int64_t now = kv_current_revision(f->kv);
    put(f->kv, "k1", "again");
    struct kv_range_result r = get(f, "k1", "", 0);
    assert_int_equal(r.pairs[0].version, 1);
    assert_int_equal(r.pairs[0].create_rev, now + 1);
}

static void count_compacted(void *ctx, int code, int64_t rev)
{
    (void)rev;
    atomic_fetch_add((atomic_int *)ctx, code == 0);
}

static void *compact_to_the_newest(void *arg)
{
    struct fixture *f = arg;
    static atomic_int done;
    for (int i = 0; i < 300; i++) {
        kv_compact(f->kv, put(f->kv, "k", "v"), false, NULL, count_compacted, &done);
        while (atomic_load(&done) <= i)
            usleep(20);
    }
    return NULL;
}

/* Whoever asks for the present is never told that it was compacted. */
static void the_present_is_not_compacted(void **state)
{
    struct fixture *f = *state;
    pthread_t writer;
    void *fault;
    put(f->kv, "k", "v");
    assert_int_equal(pthread_create(&writer, NULL, compact_to_the_newest, f), 0);
    while (pthread_tryjoin_np(writer, &fault) != 0) {
        assert_int_equal(get(f, "k", "", 0).count, 1);
        arena_reset(&f->arena);
    }
    assert_null(fault);
}

static void txn_compare_and_swap(void **state)
{
    struct fixture *f = *state;
    int64_t rev = put(f->kv, "k", "a");
    struct kv_compare c = {
        .target = KV_COMPARE_MOD, .result = KV_EQUAL, .key = STR("k"), .number = rev};
    struct kv_op then = {.type = KV_OP_PUT, .put = {.key = STR("k"), .value = STR("b")}};
    struct kv_op otherwise = {.type = KV_OP_RANGE, .range = {.key = STR("k")}};
    struct kv_txn_request t = {&c, 1, &then, 1, &otherwise, 1};
    struct kv_txn_result *r = kv_txn_wait(f->kv, &t);
    assert_int_equal(r->code, 0);
    assert_true(r->succeeded);
    assert_int_equal(r->rev, rev + 1);
    kv_txn_result_free(r);
    r = kv_txn_wait(f->kv, &t);
    assert_false(r->succeeded);
    assert_int_equal(r->ops[0].range.count, 1);
    assert_true(str_eq(r->ops[0].range.pairs[0].value, STR("b")));
    assert_int_equal(r->rev, rev + 1);
    kv_txn_result_free(r);
}

static void refused_requests(void **state)
{
    struct fixture *f = *state;
    struct kv_op ops[2] = {{.type = KV_OP_PUT, .put = {.key = STR("k")}},
                           {.type = KV_OP_PUT, .put = {.key = STR("k")}}};
    struct kv_txn_request t = {.then = ops, .then_len = 2};
    struct kv_txn_result *r = kv_txn_wait(f->kv, &t);
    assert_int_equal(r->code, KV_ERR_DUPLICATE_KEY);
    kv_txn_result_free(r);
    ops[0].put.lease = 77;
    t.then_len = 1;
    r = kv_txn_wait(f->kv, &t);
    assert_int_equal(r->code, KV_ERR_LEASE_NOT_FOUND);
    kv_txn_result_free(r);
    ops[0].put = (struct kv_put){.key = STR("k"), .ignore_value = true};
    r = kv_txn_wait(f->kv, &t);
    assert_int_equal(r->code, KV_ERR_KEY_NOT_FOUND);
    kv_txn_result_free(r);
    ops[0].put = (struct kv_put){.key = STR_NONE};
    r = kv_txn_wait(f->kv, &t);
    assert_int_equal(r->code, ERR_INVALID);
    kv_txn_result_free(r);
    assert_int_equal(kv_current_revision(f->kv), 1);
}

/* ---- waiting for callbacks ---- */

struct sync {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int done;
    int code;
    int64_t rev;
    struct kv_lease_result lease;
};

static void sync_init(struct sync *s)
{
    *s = (struct sync){0};
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->cond, NULL);
}

static void sync_signal(struct sync *s)
{
    pthread_mutex_lock(&s->lock);
    s->done++;
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static void sync_wait(struct sync *s, int n)
{
    pthread_mutex_lock(&s->lock);
    while (s->done < n)
        pthread_cond_wait(&s->cond, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void on_rev(void *ctx, int code, int64_t rev)
{
    struct sync *s = ctx;
    s->code = code;
    s->rev = rev;
    sync_signal(s);
}

static void on_lease(void *ctx, const struct kv_lease_result *r)
{
    struct sync *s = ctx;
    s->lease = *r;
    sync_signal(s);
}

static int compact(struct fixture *f, int64_t rev)
{
    struct sync s;
    sync_init(&s);
    kv_compact(f->kv, rev, true, f->loop, on_rev, &s);
    sync_wait(&s, 1);
    return s.code;
}

static void compaction(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 20; i++)
        put(f->kv, "k", "v");
    put(f->kv, "dead", "v");
    del(f->kv, "dead", "");
    int64_t rev = kv_current_revision(f->kv);
    put(f->kv, "k", "last");
    assert_int_equal(compact(f, rev), 0);
    assert_int_equal(compact(f, rev), ERR_COMPACTED);
    assert_int_equal(compact(f, rev + 100), KV_ERR_FUTURE_REV);
    assert_int_equal(kv_compacted_revision(f->kv), rev);
    struct kv_range_request q = {.key = STR("k"), .rev = rev - 1};
    struct kv_range_result out;
    struct error err;
    assert_int_equal(kv_range(f->kv, &q, &f->arena, &out, &err), ERR_COMPACTED);
    struct kv_range_result r = get(f, "k", "", rev);
    assert_int_equal(r.pairs[0].version, 20);
    assert_int_equal(get(f, "dead", "", 0).count, 0);
    assert_int_equal(get(f, "k", "", 0).pairs[0].version, 21);
}

static int64_t compacted_for_good(struct fixture *f)
{
    struct mvcc_compaction c;
    MDB_txn *txn;
    assert_int_equal(logdb_read_begin(f->kv->db, &txn, NULL), 0);
    assert_int_equal(mvcc_compaction_load(f->kv->db, txn, &c, NULL), 0);
    logdb_read_end(f->kv->db, txn);
    return c.done.rev;
}

static void wait_until_compacted(struct fixture *f, int64_t rev)
{
    for (int i = 0; i < 30000 && compacted_for_good(f) < rev; i++)
        usleep(1000);
    assert_int_equal(compacted_for_good(f), rev);
}

/* Who reads at a revision keeps it, and compaction goes on when he has done, without waiting for the next one. */
static void compaction_held_back(void **state)
{
    struct fixture *f = *state;
    int slot, later;
    int64_t first = put(f->kv, "k", "v"), rev = first;
    for (int i = 0; i < 20; i++)
        rev = put(f->kv, "k", "v");
    assert_true(pin_take(f->kv, first + 5, &slot));
    assert_true(pin_take(f->kv, first + 9, &later));
    static atomic_int done;
    kv_compact(f->kv, rev, false, NULL, count_compacted, &done);
    wait_until_compacted(f, first + 5);
    pin_drop(f->kv, slot);
    wait_until_compacted(f, first + 9);
    pin_drop(f->kv, later);
    wait_until_compacted(f, rev);
}

/* What one nested transaction puts the next may delete; nothing else twice. */
static void nested_writes(void **state)
{
    struct fixture *f = *state;
    struct kv_op put_k = {.type = KV_OP_PUT, .put = {.key = STR("k"), .value = STR("v")}};
    struct kv_op del_k = {.type = KV_OP_DELETE, .del = {.key = STR("a"), .end = STR("z")}};
    struct kv_txn_request puts = {.then = &put_k, .then_len = 1};
    struct kv_txn_request dels = {.then = &del_k, .then_len = 1};
    struct kv_op putter = {.type = KV_OP_TXN, .txn = &puts};
    struct kv_op deleter = {.type = KV_OP_TXN, .txn = &dels};
    const struct {
        struct kv_op ops[2];
        int code;
    } cases[] = {
        {{putter, deleter}, 0},
        {{deleter, putter}, KV_ERR_DUPLICATE_KEY},
        {{putter, putter}, KV_ERR_DUPLICATE_KEY},
        {{deleter, deleter}, 0},
        {{put_k, deleter}, KV_ERR_DUPLICATE_KEY},
        {{putter, del_k}, KV_ERR_DUPLICATE_KEY},
        {{putter, put_k}, KV_ERR_DUPLICATE_KEY},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct kv_txn_request t = {.then = (struct kv_op *)cases[i].ops, .then_len = 2};
        struct kv_txn_result *r = kv_txn_wait(f->kv, &t);
        assert_int_equal(r->code, cases[i].code);
        kv_txn_result_free(r);
        assert_int_equal(get(f, "k", "", 0).count, 0);
    }
}

static int put_many(struct fixture *f, size_t n, size_t again, const struct kv_auth_info *as)
{
    struct kv_op *ops = arena_array(&f->arena, struct kv_op, n);
    for (size_t i = 0; i < n; i++)
        ops[i] = (struct kv_op){
            .type = KV_OP_PUT,
            .put = {.key = str_from(arena_printf(&f->arena, "m/%zu", i)), .value = STR("v")}};
    if (again)
        ops[n - 1].put.key = ops[again - 1].put.key;
    struct kv_txn_request t = {.then = ops, .then_len = n, .as = as};
    struct kv_txn_result *r = kv_txn_wait(f->kv, &t);
    int code = r->code;
    kv_txn_result_free(r);
    return code;
}

/* What bounds clients' transactions does not bound this process's own. */
static void large_transactions(void **state)
{
    struct fixture *f = *state;
    const struct kv_auth_info client = {0};
    int64_t rev = kv_current_revision(f->kv);
    assert_int_equal(put_many(f, 129, 0, &client), KV_ERR_TOO_MANY_OPS);
    assert_int_equal(put_many(f, KV_OWN_OPS_MAX + 1, 0, NULL), KV_ERR_TOO_MANY_OPS);
    static const size_t twice[] = {1, 32, 33, 500, KV_OWN_OPS_MAX - 1};
    for (size_t i = 0; i < ARRAY_LEN(twice); i++)
        assert_int_equal(put_many(f, KV_OWN_OPS_MAX, twice[i], NULL), KV_ERR_DUPLICATE_KEY);
    assert_int_equal(get(f, "m/", "m0", 0).count, 0);
    assert_int_equal(put_many(f, 128, 0, &client), 0);
    assert_int_equal(put_many(f, KV_OWN_OPS_MAX, 0, NULL), 0);
    assert_int_equal(get(f, "m/", "m0", 0).count, KV_OWN_OPS_MAX);
    assert_int_equal(kv_current_revision(f->kv), rev + 2);
}

static void leases(void **state)
{
    struct fixture *f = *state;
    struct sync s;
    struct error err;
    struct kv_lease_info info;
    sync_init(&s);
    kv_lease_grant(f->kv, 7, 100, f->loop, on_lease, &s);
    sync_wait(&s, 1);
    assert_int_equal(s.lease.code, 0);
    kv_lease_grant(f->kv, 7, 100, f->loop, on_lease, &s);
    sync_wait(&s, 2);
    assert_int_equal(s.lease.code, KV_ERR_LEASE_EXISTS);
    struct kv_op op = {.type = KV_OP_PUT,
                       .put = {.key = STR("leased"), .value = STR("v"), .lease = 7}};
    kv_txn_result_free(run_op(f->kv, op));
    assert_int_equal(kv_lease_time_to_live(f->kv, 7, true, &f->arena, &info, &err), 0);
    assert_int_equal(info.ttl_s, 100);
    assert_in_range(info.remaining_s, 95, 100);
    assert_int_equal(info.keys_len, 1);
    assert_true(str_eq(info.keys[0], STR("leased")));
    kv_lease_keep_alive(f->kv, 7, f->loop, on_lease, &s);
    sync_wait(&s, 3);
    assert_int_equal(s.lease.code, 0);
    assert_int_equal(s.lease.ttl_s, 100);
    kv_lease_revoke(f->kv, 7, f->loop, on_lease, &s);
    sync_wait(&s, 4);
    assert_int_equal(s.lease.code, 0);
    assert_int_equal(get(f, "leased", "", 0).count, 0);
    kv_lease_keep_alive(f->kv, 7, f->loop, on_lease, &s);
    sync_wait(&s, 5);
    assert_int_equal(s.lease.code, KV_ERR_LEASE_NOT_FOUND);
    /* one that ends by itself */
    kv_lease_grant(f->kv, 8, 1, f->loop, on_lease, &s);
    sync_wait(&s, 6);
    op.put.lease = 8;
    kv_txn_result_free(run_op(f->kv, op));
    int64_t rev = kv_current_revision(f->kv);
    struct sync gone;
    sync_init(&gone);
    kv_wait_revision(f->kv, rev + 1, 5000, f->loop, on_rev, &gone);
    sync_wait(&gone, 1);
    assert_int_equal(gone.code, 0);
    assert_int_equal(get(f, "leased", "", 0).count, 0);
}

/* ---- watches ---- */

struct watcher {
    struct fixture *f;
    struct kv_watch *watch;
    struct kv_watch_request request;
    struct sync sync; /* done: events seen */
    struct arena arena;
    VEC(struct kv_pair) seen;
    VEC(struct kv_pair) prev;
    int closed_code;
    int64_t created, progress;
};

static void w_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *b)
{
    struct watcher *w = ctx;
    (void)watch;
    for (size_t i = 0; i < b->events_len; i++) {
        struct kv_pair p = b->events[i]->kv, q = b->events[i]->prev;
        p.key = (struct str){arena_dup(&w->arena, p.key.p, p.key.n), p.key.n};
        p.value = (struct str){arena_dup(&w->arena, p.value.p, p.value.n), p.value.n};
        q.value = (struct str){arena_dup(&w->arena, q.value.p, q.value.n), q.value.n};
        vec_push(&w->seen, p);
        vec_push(&w->prev, q);
        sync_signal(&w->sync);
    }
}

static void w_progress(void *ctx, struct kv_watch *watch, int64_t rev)
{
    struct watcher *w = ctx;
    (void)watch;
    w->progress = rev;
    sync_signal(&w->sync);
}

static void w_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct watcher *w = ctx;
    (void)watch;
    (void)compact_rev;
    w->closed_code = code;
    sync_signal(&w->sync);
}

static const struct kv_watch_callbacks w_callbacks = {w_events, w_progress, w_closed};

static void w_open(void *arg)
{
    struct watcher *w = arg;
    w->watch = kv_watch(w->f->kv, &w->request, w->f->loop, &w_callbacks, w, &w->created);
}

static void w_close(void *arg)
{
    struct watcher *w = arg;
    kv_watch_close(w->watch);
}

static void w_ask(void *arg)
{
    struct watcher *w = arg;
    kv_watch_request_progress(w->watch);
}

static struct watcher *watch(struct fixture *f, const char *key, const char *end, int64_t start)
{
    struct watcher *w = mem_zalloc(sizeof *w);
    w->f = f;
    w->request = (struct kv_watch_request){
        .key = str_from(key), .end = str_from(end), .start_rev = start, .prev_kv = true};
    sync_init(&w->sync);
    arena_init(&w->arena);
    loop_call(f->loop, w_open, w);
    return w;
}

static void watcher_free(struct watcher *w)
{
    loop_call(w->f->loop, w_close, w);
    arena_free(&w->arena);
    vec_free(&w->seen);
    vec_free(&w->prev);
    mem_free(w);
}

static void watch_live_and_history(void **state)
{
    struct fixture *f = *state;
    put(f->kv, "a/1", "one"); /* 2 */
    struct watcher *live = watch(f, "a/", "a0", 0);
    assert_int_equal(live->created, 2);
    put(f->kv, "a/1", "two"); /* 3 */
    put(f->kv, "b", "no");    /* 4 */
    del(f->kv, "a/1", "");    /* 5 */
    sync_wait(&live->sync, 2);
    assert_int_equal(live->seen.items[0].mod_rev, 3);
    assert_true(str_eq(live->prev.items[0].value, STR("one")));
    assert_int_equal(live->seen.items[1].mod_rev, 5);
    assert_int_equal(live->seen.items[1].version, 0);
    struct watcher *past = watch(f, "a/", "a0", 2);
    sync_wait(&past->sync, 3);
    assert_int_equal(past->seen.items[0].mod_rev, 2);
    assert_int_equal(past->seen.items[2].mod_rev, 5);
    assert_true(str_eq(past->prev.items[2].value, STR("two")));
    struct watcher *future = watch(f, "a/", "a0", 7);
    put(f->kv, "a/2", "6");
    put(f->kv, "a/2", "7");
    sync_wait(&future->sync, 1);
    assert_int_equal(future->seen.items[0].mod_rev, 7);
    loop_call(f->loop, w_ask, live);
    sync_wait(&live->sync, 5);
    assert_int_equal(live->progress, 7);
    watcher_free(live);
    watcher_free(past);
    watcher_free(future);
}

static void watch_after_restart_and_compaction(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 50; i++)
        put(f->kv, i % 2 ? "odd" : "even", "v");
    kv_close(f->kv);
    f->kv = open_store(f->dir);
    assert_int_equal(kv_current_revision(f->kv), 51);
    struct watcher *w = watch(f, "odd", "", 2); /* the ring is empty: history */
    sync_wait(&w->sync, 25);
    for (int i = 0; i < 25; i++)
        assert_int_equal(w->seen.items[i].mod_rev, 3 + 2 * i);
    put(f->kv, "odd", "live");
    sync_wait(&w->sync, 26);
    assert_int_equal(w->seen.items[25].mod_rev, 52);
    assert_true(str_eq(w->prev.items[25].value, STR("v")));
    assert_int_equal(compact(f, 40), 0);
    struct watcher *late = watch(f, "odd", "", 30);
    sync_wait(&late->sync, 1);
    assert_int_equal(late->closed_code, ERR_COMPACTED);
    watcher_free(late);
    watcher_free(w);
}

static void restart_keeps_everything(void **state)
{
    struct fixture *f = *state;
    struct sync s;
    sync_init(&s);
    kv_lease_grant(f->kv, 9, 1000, NULL, on_lease, &s);
    sync_wait(&s, 1);
    for (int i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%03d", i);
        put(f->kv, key, "value");
    }
    kv_close(f->kv);
    f->kv = open_store(f->dir);
    assert_int_equal(get(f, "key", "kez", 0).count, 100);
    assert_int_equal(kv_current_revision(f->kv), 101);
    struct kv_lease_info info;
    struct error err;
    assert_int_equal(kv_lease_time_to_live(f->kv, 9, false, &f->arena, &info, &err), 0);
    put(f->kv, "more", "x");
}

static void data_dir_is_locked(void **state)
{
    struct fixture *f = *state;
    struct kv_options o = {.data_dir = f->dir};
    struct error err;
    assert_null(kv_open(&o, &err));
    assert_int_equal(err.code, ERR_EXISTS);
}

/* The log is kept for lagging followers, but not at any price: large entries go sooner. */
static void large_entries_leave_the_log(void **state)
{
    struct fixture *f = *state;
    char *megabyte = mem_alloc(1u << 20);
    struct kv_status st;
    memset(megabyte, 'm', 1u << 20);
    kv_close(f->kv);
    struct error err;
    struct kv_options o = {.data_dir = f->dir, .map_bytes = 2ull << 30, .quota_bytes = 1ull << 30};
    f->kv = kv_open(&o, &err);
    assert_non_null(f->kv);
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = STR("k"), .value = {megabyte, 1u << 20}}};
    for (int i = 0; i < 150; i++) {
        struct kv_txn_result *r = run_op(f->kv, op);
        assert_int_equal(r->code, 0);
        kv_txn_result_free(r);
    }
    assert_int_equal(compact(f, kv_current_revision(f->kv)), 0);
    do { /* trimming goes with the writes; the test's time limit is the bound */
        put(f->kv, "small", "x");
        kv_status(f->kv, &st);
    } while (st.db_size_in_use > 100u << 20);
    mem_free(megabyte);
}

int main(void)
{
    log_set_level(LOG_WARN);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(put_then_get),
        T(delete_and_past),
        T(the_present_is_not_compacted),
        T(txn_compare_and_swap),
        T(refused_requests),
        T(compaction),
        T(compaction_held_back),
        T(nested_writes),
        T(large_transactions),
        T(leases),
        T(watch_live_and_history),
        T(watch_after_restart_and_compaction),
        T(restart_keeps_everything),
        T(data_dir_is_locked),
        T(large_entries_leave_the_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
