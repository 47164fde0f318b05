/*
 * Three members over real sockets in one process: writes and watches on any of them, a member that
 * stops and comes back (by the log, and by a snapshot, at the pace of raft/pace.h), a delete of very many keys in one range, and a disk
 * that stalls. Many large lists at once: tests/integration/many_lists_test.py.
 *
 * C8S_SCALE=full runs the size the project promises (1 M keys).
 */
#include "kvstore/kv.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "base/random.h"
#include "base/vec.h"
#include "net/loop.h"
#include "raft/pace.h"
#include "tests/test_port.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MEMBERS 3

/* ---- a disk that stalls ---- */

static char stalled_dirs[2][128]; /* each written once, before it is pointed to */
static char *_Atomic stalled_dir;
static _Atomic uint64_t stall_until;

int fdatasync(int fd)
{
    char link[64], path[256];
    uint64_t until = atomic_load(&stall_until);
    if (until > clock_mono_ns()) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        const char *dir = atomic_load(&stalled_dir);
        if (n > 0 && strncmp(path, dir, strlen(dir)) == 0)
            while (clock_mono_ns() < until)
                usleep(1000);
    }
    return (int)syscall(SYS_fdatasync, fd);
}

/* ---- cluster ---- */

struct cluster {
    char dir[STORE_DIR_MAX];
    int ports[MEMBERS];
    struct kv *kv[MEMBERS];
    struct metrics *metrics[MEMBERS];
    struct loop *loop;
    struct arena arena;
    uint64_t log_keep;
};

static bool full_scale(void)
{
    const char *s = getenv("C8S_SCALE");
    return s && strcmp(s, "full") == 0;
}

static void member_start(struct cluster *c, int i)
{
    char dir[128], names[MEMBERS][8], urls[MEMBERS][64];
    struct kv_member_config m[MEMBERS];
    struct str url[MEMBERS];
    struct error err;
    for (int k = 0; k < MEMBERS; k++) {
        snprintf(names[k], sizeof names[k], "m%d", k);
        snprintf(urls[k], sizeof urls[k], "http://127.0.0.1:%d", c->ports[k]);
        url[k] = str_from(urls[k]);
        m[k] = (struct kv_member_config){str_from(names[k]), &url[k], 1};
    }
    snprintf(dir, sizeof dir, "%s/m%d", c->dir, i);
    struct kv_options o = {.data_dir = dir,
                           .name = str_from(names[i]),
                           .members = m,
                           .members_len = MEMBERS,
                           .map_bytes = full_scale() ? 16ull << 30 : 1ull << 30,
                           .quota_bytes = full_scale() ? 4ull << 30 : 512u << 20,
                           .request_timeout_ms = 60000,
                           .metrics = c->metrics[i] = metrics_new(),
                           .log_keep_entries = c->log_keep};
    c->kv[i] = kv_open(&o, &err);
    if (!c->kv[i])
        fail_msg("member %d: %s", i, err.message);
}

static void member_stop(struct cluster *c, int i)
{
    kv_close(c->kv[i]);
    metrics_free(c->metrics[i]);
    c->kv[i] = NULL;
    c->metrics[i] = NULL;
}

static int setup(void **state)
{
    struct cluster *c = mem_zalloc(sizeof *c);
    store_dir_make(c->dir, "cluster");
    arena_init(&c->arena);
    c->loop = loop_start("test");
    c->log_keep = 200;
    for (int i = 0; i < MEMBERS; i++)
        c->ports[i] = test_port();
    for (int i = 0; i < MEMBERS; i++)
        member_start(c, i);
    *state = c;
    return 0;
}

static int teardown(void **state)
{
    struct cluster *c = *state;
    for (int i = 0; i < MEMBERS; i++)
        member_stop(c, i);
    loop_join(c->loop);
    arena_free(&c->arena);
    store_dir_remove(c->dir);
    mem_free(c);
    return 0;
}

static int64_t put(struct kv *kv, const char *key, const char *value)
{
    struct kv_op op = {.type = KV_OP_PUT, .put = {.key = str_from(key), .value = str_from(value)}};
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    struct kv_txn_result *r = kv_txn_wait(kv, &t);
    if (r->code)
        fail_msg("put %s: %d %s", key, r->code, r->message);
    int64_t rev = r->rev;
    kv_txn_result_free(r);
    return rev;
}

static void reach(struct kv *kv, int64_t rev)
{
    struct store_call call;
    store_call_begin(&call);
    kv_wait_revision(kv, rev, 60000, NULL, store_call_ended, &call);
    assert_int_equal(store_call_wait(&call), 0);
}

static int leader_of(struct cluster *c)
{
    for (;;) {
        for (int i = 0; i < MEMBERS; i++) {
            struct kv_status st;
            if (!c->kv[i])
                continue;
            kv_status(c->kv[i], &st);
            if (st.leader_id == st.member_id)
                return i;
        }
        usleep(10000);
    }
}

static void all_equal(struct cluster *c, int64_t rev)
{
    uint32_t hash[MEMBERS];
    int64_t hr, hc;
    struct error err;
    for (int i = 0; i < MEMBERS; i++) {
        reach(c->kv[i], rev);
        assert_int_equal(kv_hash(c->kv[i], rev, &hash[i], &hr, &hc, &err), 0);
        assert_int_equal(hr, rev);
    }
    for (int i = 1; i < MEMBERS; i++)
        assert_int_equal(hash[0], hash[i]);
}

/* ---- a watcher that checks that it sees every revision once, in order ---- */

struct watcher {
    struct kv *kv;
    struct loop *loop;
    struct kv_watch *watch;
    int64_t start;
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int64_t last; /* mod_rev of the last event */
    uint64_t events;
    bool disorder;
    int closed;
};

static void w_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *b)
{
    struct watcher *w = ctx;
    (void)watch;
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < b->events_len; i++) {
        int64_t rev = b->events[i]->kv.mod_rev;
        w->disorder = w->disorder || rev < w->last || rev > w->last + 1;
        w->last = rev;
        w->events++;
    }
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static void w_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct watcher *w = ctx;
    (void)watch;
    (void)compact_rev;
    pthread_mutex_lock(&w->lock);
    w->closed = code;
    pthread_cond_signal(&w->cond);
    pthread_mutex_unlock(&w->lock);
}

static void w_open(void *arg)
{
    static const struct kv_watch_callbacks callbacks = {w_events, NULL, w_closed};
    struct watcher *w = arg;
    struct kv_watch_request q = {
        .key = str_make("", 1), .end = str_make("", 1), .start_rev = w->start, .prev_kv = true};
    w->watch = kv_watch(w->kv, &q, w->loop, &callbacks, w, NULL);
}

static void w_close(void *arg)
{
    kv_watch_close(((struct watcher *)arg)->watch);
}

static struct watcher *watch(struct cluster *c, int member, int64_t start)
{
    struct watcher *w = mem_zalloc(sizeof *w);
    w->kv = c->kv[member];
    w->loop = c->loop;
    w->start = start;
    w->last = start - 1;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->cond, NULL);
    loop_call(c->loop, w_open, w);
    return w;
}

static void watch_reach(struct watcher *w, int64_t rev)
{
    pthread_mutex_lock(&w->lock);
    while (w->last < rev && !w->closed)
        pthread_cond_wait(&w->cond, &w->lock);
    assert_int_equal(w->closed, 0);
    assert_false(w->disorder);
    assert_int_equal(w->last, rev);
    pthread_mutex_unlock(&w->lock);
}

static void watch_free(struct watcher *w)
{
    loop_call(w->loop, w_close, w);
    mem_free(w);
}

/* ---- tests ---- */

static void any_member_serves(void **state)
{
    struct cluster *c = *state;
    struct watcher *w[MEMBERS];
    for (int i = 0; i < MEMBERS; i++)
        w[i] = watch(c, i, 2);
    int64_t rev = 0;
    for (int i = 0; i < 60; i++) {
        char key[16], value[16];
        snprintf(key, sizeof key, "key%d", i % 7);
        snprintf(value, sizeof value, "v%d", i);
        rev = put(c->kv[i % MEMBERS], key, value);
        assert_int_equal(rev, i + 2);
        /* read your write on the member that took it; linearizable on another one */
        struct kv_range_request q = {.key = str_from(key)};
        struct kv_range_result r;
        struct error err;
        assert_int_equal(kv_range(c->kv[i % MEMBERS], &q, &c->arena, &r, &err), 0);
        assert_true(str_eq(r.pairs[0].value, str_from(value)));
        struct store_call ready;
        store_call_begin(&ready);
        kv_read_index(c->kv[(i + 1) % MEMBERS], c->loop, store_call_ended, &ready);
        assert_int_equal(store_call_wait(&ready), 0);
        assert_true(ready.rev >= rev);
        assert_int_equal(kv_range(c->kv[(i + 1) % MEMBERS], &q, &c->arena, &r, &err), 0);
        assert_true(str_eq(r.pairs[0].value, str_from(value)));
    }
    for (int i = 0; i < MEMBERS; i++) {
        watch_reach(w[i], rev);
        watch_free(w[i]);
    }
    all_equal(c, rev);
    struct kv_member *members;
    size_t n;
    struct error err;
    assert_int_equal(kv_member_list(c->kv[1], &c->arena, &members, &n, &err), 0);
    assert_int_equal(n, MEMBERS);
}

static void a_member_comes_back(void **state)
{
    struct cluster *c = *state;
    int64_t rev = put(c->kv[0], "a", "1");
    int first = leader_of(c);
    member_stop(c, first);
    int other = (first + 1) % MEMBERS;
    for (int i = 0; i < 50; i++)
        rev = put(c->kv[other], "a", "without the first leader");
    member_start(c, first);
    all_equal(c, rev);
    /* further behind than the log reaches back: by snapshot, while a watch stands */
    struct watcher *w = watch(c, other, 2);
    member_stop(c, first);
    for (int i = 0; i < 3000; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%d", i % 500);
        rev = put(c->kv[other], key, "much");
    }
    member_start(c, first);
    all_equal(c, rev);
    rev = put(c->kv[first], "b", "through the one that came back");
    watch_reach(w, rev);
    watch_free(w);
    struct watcher *past = watch(c, first, 2); /* it got the history too */
    watch_reach(past, rev);
    watch_free(past);
    member_stop(c, first); /* and it stays what it is after another restart */
    member_start(c, first);
    all_equal(c, put(c->kv[other], "c", "last"));
}

static void fill(struct kv *kv, const char *prefix, size_t keys, size_t value_len)
{
    struct kv_op ops[100];
    char names[100][40], *value = mem_alloc(value_len);
    memset(value, 'v', value_len);
    for (size_t at = 0; at < keys; at += 100) {
        size_t n = MIN(keys - at, 100);
        for (size_t i = 0; i < n; i++) {
            snprintf(names[i], sizeof names[i], "%s%08zu", prefix, at + i);
            ops[i] = (struct kv_op){
                .type = KV_OP_PUT, .put = {.key = str_from(names[i]), .value = {value, value_len}}};
        }
        struct kv_txn_request t = {.then = ops, .then_len = n};
        struct kv_txn_result *r = kv_txn_wait(kv, &t);
        if (r->code)
            fail_msg("fill: %d %s", r->code, r->message);
        kv_txn_result_free(r);
    }
    mem_free(value);
}

/* ---- the pace of catching up ---- */

/* The sum of a name's values, whatever their labels. */
static double metric(struct cluster *c, int member, const char *name)
{
    struct buf text;
    double sum = 0;
    size_t n = strlen(name);
    buf_init(&text);
    metrics_render(c->metrics[member], &text);
    buf_append_char(&text, 0);
    for (char *line = text.data, *end; line; line = end ? end + 1 : NULL) {
        end = strchr(line, '\n');
        if (end)
            *end = 0;
        if (strncmp(line, name, n) == 0 && (line[n] == ' ' || line[n] == '{'))
            sum += strtod(strrchr(line, ' '), NULL);
    }
    buf_free(&text);
    return sum;
}

struct writer {
    struct kv *kv;
    pthread_t thread;
    int number;
    _Atomic bool stop;
    _Atomic uint64_t writes, slowest_ms;
};

static void *write_on(void *arg)
{
    struct writer *w = arg;
    while (!atomic_load(&w->stop)) {
        char key[48], value[32];
        uint64_t i = atomic_load(&w->writes), began = clock_mono_ns();
        snprintf(key, sizeof key, "writer%d/%llu", w->number, (unsigned long long)(i % 100));
        snprintf(value, sizeof value, "%llu", (unsigned long long)i);
        put(w->kv, key, value); /* ends the test when it fails */
        uint64_t took_ms = (clock_mono_ns() - began) / NS_PER_MS;
        if (took_ms > atomic_load(&w->slowest_ms))
            atomic_store(&w->slowest_ms, took_ms);
        atomic_store(&w->writes, i + 1);
    }
    return NULL;
}

#define WRITERS 3
#define BEHIND_KEYS 8000
#define BEHIND_BYTES 1000
#define CALM_MS \
    1500 /* after so long the leader's pace has forgotten how quickly the keys were filled in */

static void writers_start(struct cluster *c, struct writer *w, int leader, int other)
{
    for (int i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.kv = c->kv[i % 2 ? other : leader], .number = i};
        assert_int_equal(pthread_create(&w[i].thread, NULL, write_on, &w[i]), 0);
    }
    uint64_t began = clock_mono_ns();
    for (int i = 0; i < WRITERS; i++) /* more than the log keeps, together */
        while (atomic_load(&w[i].writes) < 100 || clock_mono_ns() - began < CALM_MS * NS_PER_MS)
            usleep(1000);
}

static void writers_stop(struct writer *w, uint64_t *writes, uint64_t *slowest_ms)
{
    *writes = *slowest_ms = 0;
    for (int i = 0; i < WRITERS; i++) {
        atomic_store(&w[i].stop, true);
        pthread_join(w[i].thread, NULL);
        *writes += w[i].writes;
        *slowest_ms = MAX(*slowest_ms, w[i].slowest_ms);
    }
}

/* Both ends hear of a snapshot's end a moment after the state is there. */
static void streams_end(struct cluster *c)
{
    uint64_t until = clock_mono_ns() + 60 * NS_PER_S;
    double open;
    do {
        open = 0;
        for (int i = 0; i < MEMBERS; i++)
            open += metric(c, i, "etcd_network_snapshot_send_inflights_total") +
                    metric(c, i, "etcd_network_snapshot_receive_inflights_total");
        usleep(1000);
    } while (open > 0 && clock_mono_ns() < until);
    assert_true(open == 0);
}

/*
 * A follower misses 8 MB, more than the log keeps, and comes back while clients write through the other two: it gets
 * a snapshot, then the log. Its pieces wait for the pace; they need not only where each takes longer anyway, or where
 * the machine stood still (with no commit for half a second there is nobody to spare).
 */
static void a_member_catches_up_at_the_pace(void **state)
{
    struct cluster *c = *state;
    struct writer w[WRITERS];
    put(c->kv[0], "a", "1");
    int leader = leader_of(c), away = (leader + 1) % MEMBERS, other = (leader + 2) % MEMBERS;
    member_stop(c, away);
    fill(c->kv[leader], "behind/", BEHIND_KEYS, BEHIND_BYTES);
    writers_start(c, w, leader, other);
    member_start(c, away);
    reach(c->kv[away], kv_current_revision(c->kv[leader]));
    uint64_t writes, slowest_ms;
    writers_stop(w, &writes, &slowest_ms);
    all_equal(c, MAX(kv_current_revision(c->kv[leader]), kv_current_revision(c->kv[other])));

    streams_end(c);
    double received = metric(c, away, "etcd_network_snapshot_receive_success");
    assert_true(received >= 1);
    double sent = metric(c, leader, "etcd_network_snapshot_send_success");
    if (sent < received) {
        printf("the machine stood still: another member led and sent the snapshot\n");
        return;
    }
    double given = metric(c, leader, "c8s_store_catch_up_bytes_total");
    double waits = metric(c, leader, "c8s_store_catch_up_waits_total");
    double took = metric(c, leader, "etcd_network_snapshot_send_total_duration_seconds_sum");
    printf("%.0f KB in %.2f s with %.0f waits; %llu writes, the slowest %llu ms\n", given / 1024,
           took, waits, (unsigned long long)writes, (unsigned long long)slowest_ms);
    assert_true(given >= BEHIND_KEYS * BEHIND_BYTES);
    assert_true(waits > 0 || slowest_ms >= 400 ||
                took > BEHIND_KEYS * BEHIND_BYTES / (1.5 * PACE_START));
}

static long anon_kb(void)
{
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "RssAnon: %ld", &kb) == 1)
            break;
    if (f)
        fclose(f);
    return kb;
}

/* One range deletion of very many keys: one revision, no leader change, readers in between see all or
 * nothing, memory stays bounded. */
static void a_very_large_delete(void **state)
{
    struct cluster *c = *state;
    size_t keys = full_scale() ? 1000000 : 30000;
    fill(c->kv[0], "big/", keys, full_scale() ? 256 : 64);
    int leader = leader_of(c);
    struct kv_status before, after;
    reach(c->kv[leader], kv_current_revision(c->kv[0]));
    kv_status(c->kv[leader], &before);
    long memory = anon_kb();
    struct watcher *w = watch(c, 1, before.revision + 1);
    reach(c->kv[1], before.revision);
    struct kv_op op = {.type = KV_OP_DELETE, .del = {.key = STR("big/"), .end = STR("big0")}};
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    uint64_t began = clock_mono_ns();
    struct kv_txn_result *r = kv_txn_wait(c->kv[leader], &t);
    uint64_t took_ms = (clock_mono_ns() - began) / NS_PER_MS;
    assert_int_equal(r->code, 0);
    assert_int_equal(r->ops[0].del.deleted, keys);
    assert_int_equal(r->rev, before.revision + 1);
    kv_txn_result_free(r);
    kv_status(c->kv[leader], &after);
    assert_int_equal(before.term, after.term);
    assert_int_equal(after.leader_id, after.member_id);
    all_equal(c, after.revision);
    pthread_mutex_lock(&w->lock);
    while (w->events < keys)
        pthread_cond_wait(&w->cond, &w->lock);
    assert_false(w->disorder);
    pthread_mutex_unlock(&w->lock);
    watch_free(w);
    struct kv_range_request q = {
        .key = STR("big/"), .end = STR("big0"), .rev = before.revision, .count_only = true};
    struct kv_range_result out;
    struct error err;
    assert_int_equal(kv_range(c->kv[2], &q, &c->arena, &out, &err), 0);
    assert_int_equal(out.count, keys);
    q.rev = 0;
    assert_int_equal(kv_range(c->kv[2], &q, &c->arena, &out, &err), 0);
    assert_int_equal(out.count, 0);
    printf("deleted %zu keys in %llu ms, memory grew by %ld MB\n", keys,
           (unsigned long long)took_ms, (anon_kb() - memory) / 1024);
}

/* Two seconds without a flush on the leader, then on a follower: nobody else leads afterwards. */
static void a_stalled_disk(void **state)
{
    struct cluster *c = *state;
    put(c->kv[0], "a", "1");
    int leader = leader_of(c);
    struct kv_status before, after;
    kv_status(c->kv[leader], &before);
    for (int k = 0; k < 2; k++) {
        int who = k == 0 ? leader : (leader + 1) % MEMBERS, other = (leader + 2) % MEMBERS;
        snprintf(stalled_dirs[k], sizeof stalled_dirs[k], "%s/m%d", c->dir, who);
        atomic_store(&stalled_dir, stalled_dirs[k]);
        atomic_store(&stall_until, clock_mono_ns() + 2 * NS_PER_S);
        uint64_t began = clock_mono_ns();
        for (int i = 0; i < 20; i++)
            put(c->kv[other], "a", "while one disk stalls"); /* the other two are a quorum */
        assert_true(clock_mono_ns() - began < 1800 * NS_PER_MS);
        while (clock_mono_ns() < atomic_load(&stall_until))
            usleep(10000);
    }
    all_equal(c, put(c->kv[0], "a", "after"));
    kv_status(c->kv[leader], &after);
    assert_int_equal(before.term, after.term);
    assert_int_equal(after.leader_id, after.member_id);
}

int main(void)
{
    log_set_level(LOG_ERROR);
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(any_member_serves),   T(a_member_comes_back), T(a_member_catches_up_at_the_pace),
        T(a_very_large_delete), T(a_stalled_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
