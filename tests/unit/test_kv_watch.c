/*
 * Watches under load: every event of a range once, in order, whole revisions at a time, whatever the
 * watcher does: pauses, falls behind the ring, resumes, starts in the past, ends at compaction.
 * The ring is made small, so that the way over history is taken all the time.
 */
#include "kvstore/kv.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include "net/loop.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KEYS 30
#define WATCHERS 24

/* What was written: the events of all revisions, in order. */
struct written {
    int64_t rev;
    int key;
    bool put;
    int value; /* number of the write */
    int prev;  /* value before, -1: none */
};

struct world {
    char dir[STORE_DIR_MAX];
    struct kv *kv;
    struct loop *loops[2];
    VEC(struct written) log;
    int value[KEYS]; /* present value, -1: absent */
    int64_t rev, compacted;
};

struct watcher {
    struct world *world;
    struct loop *loop;
    struct kv_watch *watch;
    struct kv_watch_request request;
    int from, to; /* keys [from, to) */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    VEC(struct written) seen;
    int64_t reached, last_batch;
    int closed;
    struct rng rng;
    bool pauses;
    struct loop_timer resume;
    char key[16], end[16];
};

static void key_name(int k, char out[16])
{
    snprintf(out, 16, "w/%03d", k);
}

static void resume(struct loop_timer *t)
{
    struct watcher *w = container_of(t, struct watcher, resume);
    kv_watch_resume(w->watch);
}

static void events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *b)
{
    struct watcher *w = ctx;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < b->events_len; i++) {
        const struct kv_event *e = b->events[i];
        struct written s = {.rev = e->kv.mod_rev, .put = e->type == KV_EVENT_PUT, .prev = -1};
        char text[32];
        snprintf(text, sizeof text, "%.*s", STR_ARG(e->kv.key));
        s.key = atoi(text + 2);
        snprintf(text, sizeof text, "%.*s", STR_ARG(e->kv.value));
        s.value = s.put ? atoi(text) : -1;
        if (e->prev.version) {
            snprintf(text, sizeof text, "%.*s", STR_ARG(e->prev.value));
            s.prev = atoi(text);
        }
        vec_push(&w->seen, s);
    }
    w->reached = b->rev;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
    if (w->pauses && rng_below(&w->rng, 3) == 0) {
        kv_watch_pause(watch);
        loop_timer_start(&w->resume, rng_below(&w->rng, 15));
    }
}

static void progress(void *ctx, struct kv_watch *watch, int64_t rev)
{
    struct watcher *w = ctx;
    (void)watch;
    pthread_mutex_lock(&w->lock);
    w->reached = rev;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static void closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct watcher *w = ctx;
    (void)watch;
    (void)compact_rev;
    pthread_mutex_lock(&w->lock);
    w->closed = code;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static const struct kv_watch_callbacks callbacks = {events, progress, closed};

static void open_watch(void *arg)
{
    struct watcher *w = arg;
    loop_timer_init(w->loop, &w->resume, resume);
    w->watch = kv_watch(w->world->kv, &w->request, w->loop, &callbacks, w, NULL);
}

static void ask_progress(void *arg)
{
    kv_watch_request_progress(((struct watcher *)arg)->watch);
}

static void close_watch(void *arg)
{
    struct watcher *w = arg;
    loop_timer_stop(&w->resume);
    kv_watch_close(w->watch);
}

static struct watcher *watcher_new(struct world *world, struct rng *rng, int64_t start)
{
    struct watcher *w = mem_zalloc(sizeof *w);
    w->world = world;
    w->loop = world->loops[rng_below(rng, 2)];
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->cond, NULL);
    rng_seed(&w->rng, rng_next(rng));
    w->pauses = rng_below(rng, 2);
    w->request = (struct kv_watch_request){.start_rev = start, .prev_kv = true};
    w->from = (int)rng_below(rng, KEYS);
    switch (rng_below(rng, 4)) {
    case 0: /* one key */
        w->to = w->from + 1;
        key_name(w->from, w->key);
        break;
    case 1: /* a prefix of ten keys */
        w->from = w->from / 10 * 10;
        w->to = w->from + 10;
        snprintf(w->key, sizeof w->key, "w/%02d", w->from / 10);
        snprintf(w->end, sizeof w->end, "w/%02d", w->from / 10 + 1);
        break;
    case 2: /* everything */
        w->from = 0;
        w->to = KEYS;
        strcpy(w->key, "w/");
        strcpy(w->end, "w0");
        break;
    default: /* a range that is no prefix */
        w->to = w->from + 1 + (int)rng_below(rng, 7);
        key_name(w->from, w->key);
        key_name(w->to, w->end);
        break;
    }
    w->request.key = str_from(w->key);
    w->request.end = str_from(w->end);
    w->request.no_put = rng_below(rng, 6) == 0;
    w->request.no_delete = !w->request.no_put && rng_below(rng, 6) == 0;
    loop_call(w->loop, open_watch, w);
    return w;
}

static void watcher_free(struct watcher *w)
{
    loop_call(w->loop, close_watch, w);
    vec_free(&w->seen);
    mem_free(w);
}

/* One transaction of one to three changes of different keys. */
static void write_some(struct world *world, struct rng *rng)
{
    struct kv_op ops[3];
    char keys[3][16], values[3][16];
    size_t n = 1 + rng_below(rng, 3);
    int first = (int)rng_below(rng, KEYS);
    struct written w[3];
    bool any = false;
    for (size_t i = 0; i < n; i++) {
        int k = (first + (int)i * 7) % KEYS;
        w[i] = (struct written){.rev = world->rev + 1,
                                .key = k,
                                .put = rng_below(rng, 4) != 0,
                                .prev = world->value[k],
                                .value = -1};
        key_name(k, keys[i]);
        if (w[i].put) {
            w[i].value = (int)(world->log.len + i);
            snprintf(values[i], sizeof values[i], "%d", w[i].value);
            ops[i] = (struct kv_op){
                .type = KV_OP_PUT, .put = {.key = str_from(keys[i]), .value = str_from(values[i])}};
        } else {
            ops[i] = (struct kv_op){.type = KV_OP_DELETE, .del = {.key = str_from(keys[i])}};
        }
        any = any || w[i].put || w[i].prev >= 0;
    }
    struct kv_txn_request t = {.then = ops, .then_len = n};
    struct kv_txn_result *r = kv_txn_wait(world->kv, &t);
    assert_int_equal(r->code, 0);
    kv_txn_result_free(r);
    for (size_t i = 0; i < n; i++)
        if (w[i].put || w[i].prev >= 0) {
            world->value[w[i].key] = w[i].value;
            vec_push(&world->log, w[i]);
        }
    world->rev += any;
    assert_int_equal(kv_current_revision(world->kv), world->rev);
}

/* Wait until it has everything, then compare with what was written. */
static void check_watcher(struct world *world, struct watcher *w)
{
    loop_call(w->loop, ask_progress, w);
    pthread_mutex_lock(&w->lock);
    while (w->reached < world->rev && !w->closed)
        pthread_cond_wait(&w->cond, &w->lock);
    assert_int_equal(w->closed, 0);
    size_t at = 0;
    for (size_t i = 0; i < world->log.len; i++) {
        const struct written *e = &world->log.items[i];
        if (e->rev < w->request.start_rev || e->key < w->from || e->key >= w->to ||
            (e->put ? w->request.no_put : w->request.no_delete))
            continue;
        assert_true(at < w->seen.len);
        const struct written *s = &w->seen.items[at++];
        assert_int_equal(s->rev, e->rev);
        assert_int_equal(s->key, e->key);
        assert_int_equal(s->put, e->put);
        assert_int_equal(s->value, e->value);
        if (e->rev != world->compacted || s->prev != -1) /* what was before it may be gone */
            assert_int_equal(s->prev, e->prev);
    }
    assert_int_equal(at, w->seen.len);
    pthread_mutex_unlock(&w->lock);
}

static void world_open(struct world *w)
{
    struct error err;
    memset(w, 0, sizeof *w);
    store_dir_make(w->dir, "watch");
    for (int i = 0; i < KEYS; i++)
        w->value[i] = -1;
    w->rev = 1;
    struct kv_options o = {.data_dir = w->dir,
                           .map_bytes = 256u << 20,
                           .quota_bytes = 128u << 20,
                           .watch_ring_bytes = 4096};
    w->kv = kv_open(&o, &err);
    if (!w->kv)
        fail_msg("%s", err.message);
    w->loops[0] = loop_start("watch-0");
    w->loops[1] = loop_start("watch-1");
}

static void world_close(struct world *w)
{
    kv_close(w->kv);
    loop_join(w->loops[0]);
    loop_join(w->loops[1]);
    vec_free(&w->log);
    store_dir_remove(w->dir);
}

static void every_event_once(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    struct watcher *w[WATCHERS] = {0};
    const char *s = getenv("C8S_SEED");
    rng_seed(&rng, s ? strtoull(s, NULL, 0) : 3);
    world_open(&world);
    for (int step = 0; step < 1500; step++) {
        write_some(&world, &rng);
        if (rng_below(&rng, 10) == 0) {
            int i = (int)rng_below(&rng, WATCHERS);
            if (w[i] && rng_below(&rng, 2))
                check_watcher(&world, w[i]);
            if (w[i])
                watcher_free(w[i]);
            w[i] = watcher_new(&world, &rng, 1 + (int64_t)rng_below(&rng, (uint64_t)world.rev + 5));
        }
    }
    struct kv_status st;
    kv_status(world.kv, &st);
    assert_true(st.watchers > WATCHERS / 2);
    for (int i = 0; i < WATCHERS; i++) {
        if (!w[i])
            continue;
        while (world.rev < w[i]->request.start_rev)
            write_some(&world, &rng);
        check_watcher(&world, w[i]);
    }
    for (int i = 0; i < WATCHERS; i++)
        if (w[i])
            watcher_free(w[i]);
    kv_status(world.kv, &st);
    assert_int_equal(st.watchers, 0);
    assert_int_equal(st.slow_watchers, 0);
    world_close(&world);
}

struct compacted {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    bool done;
};

static void compaction_done(void *ctx, int code, int64_t rev)
{
    struct compacted *c = ctx;
    (void)rev;
    pthread_mutex_lock(&c->lock);
    c->done = code == 0;
    pthread_cond_signal(&c->cond);
    pthread_mutex_unlock(&c->lock);
}

static void pause_watch(void *arg)
{
    kv_watch_pause(((struct watcher *)arg)->watch);
}

static void resume_watch(void *arg)
{
    kv_watch_resume(((struct watcher *)arg)->watch);
}

/* A watcher that sleeps through a compaction is told so; one that is up to date does not notice. */
static void compaction_ends_slow_watchers(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    rng_seed(&rng, 9);
    world_open(&world);
    struct watcher *asleep = watcher_new(&world, &rng, 2), *awake = watcher_new(&world, &rng, 2);
    asleep->pauses = awake->pauses = false;
    loop_call(asleep->loop, pause_watch, asleep);
    for (int i = 0; i < 300; i++)
        write_some(&world, &rng);
    check_watcher(&world, awake);
    struct compacted c = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
    kv_compact(world.kv, world.rev - 10, true, NULL, compaction_done, &c);
    pthread_mutex_lock(&c.lock);
    while (!c.done)
        pthread_cond_wait(&c.cond, &c.lock);
    pthread_mutex_unlock(&c.lock);
    loop_call(asleep->loop, resume_watch, asleep);
    pthread_mutex_lock(&asleep->lock);
    while (!asleep->closed)
        pthread_cond_wait(&asleep->cond, &asleep->lock);
    assert_int_equal(asleep->closed, ERR_COMPACTED);
    assert_int_equal(asleep->seen.len, 0);
    pthread_mutex_unlock(&asleep->lock);
    for (int i = 0; i < 20; i++)
        write_some(&world, &rng);
    check_watcher(&world, awake);
    watcher_free(asleep);
    watcher_free(awake);
    world_close(&world);
}

/* etcd issues 18089 and 19179: compaction took the deletions of the revision that a watch may still ask for. */
static void a_watch_may_begin_at_the_compacted_revision(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    struct watcher *w[8];
    rng_seed(&rng, 6);
    world_open(&world);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 20; i++)
            write_some(&world, &rng);
        int64_t deleted = 0;
        for (size_t i = world.log.len; i-- > 0 && !deleted;)
            if (!world.log.items[i].put)
                deleted = world.log.items[i].rev;
        for (int i = 0; i < 10 && round % 2; i++) /* from history, not from the ring */
            write_some(&world, &rng);
        struct compacted c = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false};
        world.compacted = deleted;
        kv_compact(world.kv, deleted, true, NULL, compaction_done, &c);
        pthread_mutex_lock(&c.lock);
        while (!c.done)
            pthread_cond_wait(&c.cond, &c.lock);
        pthread_mutex_unlock(&c.lock);
        for (int i = 0; i < 8; i++)
            w[i] = watcher_new(&world, &rng, deleted);
        for (int i = 0; i < 8; i++) {
            check_watcher(&world, w[i]);
            watcher_free(w[i]);
        }
    }
    world_close(&world);
}

/* etcd issue 20221: a watch of a future revision was told of progress before it. */
static void no_progress_before_a_future_start(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    rng_seed(&rng, 5);
    world_open(&world);
    for (int i = 0; i < 20; i++)
        write_some(&world, &rng);
    struct watcher *future = watcher_new(&world, &rng, world.rev + 6), *present = NULL;
    do { /* on the same loop, so that the notice due to both is given in the same run */
        if (present)
            watcher_free(present);
        present = watcher_new(&world, &rng, world.rev + 1);
    } while (present->loop != future->loop);
    loop_call(future->loop, ask_progress, future);
    check_watcher(&world, present);
    pthread_mutex_lock(&future->lock);
    assert_int_equal(future->reached, 0);
    pthread_mutex_unlock(&future->lock);
    int64_t start = future->request.start_rev;
    while (world.rev < start - 1)
        write_some(&world, &rng);
    pthread_mutex_lock(&future->lock);
    while (future->reached == 0)
        pthread_cond_wait(&future->cond, &future->lock);
    assert_true(future->reached >= start - 1);
    pthread_mutex_unlock(&future->lock);
    watcher_free(future);
    watcher_free(present);
    world_close(&world);
}

static void closing_the_store_ends_watches(void **state)
{
    (void)state;
    struct world world;
    struct rng rng;
    struct watcher *w[8];
    rng_seed(&rng, 4);
    world_open(&world);
    for (int i = 0; i < 100; i++)
        write_some(&world, &rng);
    for (int i = 0; i < 8; i++)
        w[i] = watcher_new(&world, &rng, 1 + i % 3);
    kv_close(world.kv);
    for (int i = 0; i < 8; i++) {
        pthread_mutex_lock(&w[i]->lock);
        while (!w[i]->closed)
            pthread_cond_wait(&w[i]->cond, &w[i]->lock);
        assert_int_equal(w[i]->closed, ERR_CANCELLED);
        pthread_mutex_unlock(&w[i]->lock);
        watcher_free(w[i]);
    }
    world.kv = NULL;
    world_close(&world);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_event_once),
        cmocka_unit_test(compaction_ends_slow_watchers),
        cmocka_unit_test(a_watch_may_begin_at_the_compacted_revision),
        cmocka_unit_test(no_progress_before_a_future_start),
        cmocka_unit_test(closing_the_store_ends_watches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
