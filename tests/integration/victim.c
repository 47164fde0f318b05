/*
 * A member to be killed, and its peers (victim.h).
 */
#include "victim.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mem.h"
#include "kvstore/kv_defrag.h"
#include "kvstore/kv_integrity.h"
#include "kvstore/store.h"
#include "tests/test_port.h"
#include "tests/unit/store_test.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define VALUE_BYTES 900 /* so that journal segments fill up */
#define SEGMENT_BYTES (64u << 10)

static struct kv *open_member(const char *dir, const int ports[3], int i,
                              void (*fail_stop)(void *ctx, const struct error *why),
                              struct error *err)
{
    char names[3][8], urls[3][64];
    struct kv_member_config m[3];
    struct str url[3];
    for (int k = 0; k < 3; k++) {
        snprintf(names[k], sizeof names[k], "m%d", k);
        snprintf(urls[k], sizeof urls[k], "http://127.0.0.1:%d", ports[k]);
        url[k] = str_from(urls[k]);
        m[k] = (struct kv_member_config){str_from(names[k]), &url[k], 1};
    }
    struct kv_options o = {.data_dir = dir,
                           .name = str_from(names[i]),
                           .members = m,
                           .members_len = 3,
                           .map_bytes = 256u << 20,
                           .quota_bytes = 64u << 20,
                           .journal_segment_bytes = SEGMENT_BYTES,
                           .checkpoint_ms = 20,
                           .log_keep_entries = 150,
                           .snapshot_log_ms = 100,      /* the next one soon lags, too */
                           .request_timeout_ms = 10000, /* what is lost with a leader that dies */
                           .heartbeat_ms = 50,
                           .election_ms = 500,
                           .fail_stop = fail_stop};
    return kv_open(&o, err);
}

static int put(struct kv *kv, const char *key, long n, int64_t *rev)
{
    static char value[VALUE_BYTES];
    char text[VALUE_BYTES];
    memcpy(text, value, sizeof text);
    snprintf(text, sizeof text, "%ld", n);
    struct kv_op op = {.type = KV_OP_PUT,
                       .put = {.key = str_from(key), .value = str_make(text, sizeof text)}};
    struct kv_txn_request t = {.then = &op, .then_len = 1};
    struct kv_txn_result *r = kv_txn_wait(kv, &t);
    int code = r->code;
    if (rev)
        *rev = r->rev;
    kv_txn_result_free(r);
    return code;
}

static void key_name(char out[64], const char *whose, long n)
{
    snprintf(out, 64, "/%s/%02ld", whose, n % VICTIM_KEYS);
}

/* ---- the victim's process ---- */

static void say(const char *format, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof line, format, ap);
    va_end(ap);
    if (write(STDOUT_FILENO, line, (size_t)n) != n) /* whole: shorter than PIPE_BUF */
        _exit(1);
}

static void stopped(void *ctx, const struct error *why)
{
    (void)ctx;
    fprintf(stderr, "victim stops: %s\n", why->message);
    _exit(VICTIM_STOPPED);
}

static void fault_then(void)
{
    _exit(VICTIM_STOPPED);
}

struct writing {
    struct kv *kv;
    long next;
};

static void *write_all_the_time(void *arg)
{
    struct writing *w = arg;
    for (long n = w->next;; n++) {
        char key[64];
        key_name(key, "victim", n);
        say("try %ld\n", n);
        if (put(w->kv, key, n, NULL) == 0)
            say("ack %ld\n", n);
        else
            usleep(1000);
    }
    return NULL;
}

static void on_stray(void *ctx, struct kv_txn_result *r)
{
    (void)ctx;
    kv_txn_result_free(r);
}

/* Without waiting for answers: what is proposed last, by a leader that is alone, nobody else gets. */
static void *write_strays(void *arg)
{
    for (;;) {
        struct kv_op op = {.type = KV_OP_PUT,
                           .put = {.key = STR("/stray"), .value = STR("nobody's")}};
        struct kv_txn_request t = {.then = &op, .then_len = 1};
        kv_txn(arg, &t, NULL, on_stray, NULL);
        usleep(5000);
    }
    return NULL;
}

static void command(struct kv *kv, char *line)
{
    struct error err = {0};
    int64_t rev, compact;
    uint32_t hash;
    line[strcspn(line, "\n")] = 0;
    if (sscanf(line, "hash %" SCNd64, &rev) == 1) {
        while (kv_current_revision(kv) < rev)
            usleep(2000);
        int rc = kv_hash(kv, rev, &hash, &rev, &compact, &err);
        say("ok %d %x %" PRId64 "\n", rc, hash, compact);
    } else if (strcmp(line, "check") == 0) {
        int rc = kv_check(kv, &err);
        say("ok %d %s\n", rc, err.message);
    } else if (strcmp(line, "range") == 0) {
        struct arena a;
        struct kv_range_request q = {.key = str_make("", 1), .end = str_make("", 1)};
        struct kv_range_result r;
        arena_init(&a);
        int rc = kv_range(kv, &q, &a, &r, &err);
        say("ok %d %zu\n", rc, rc ? 0 : r.pairs_len);
        arena_free(&a);
    } else if (strcmp(line, "defragment") == 0) {
        struct logdb_defrag_info info;
        int rc = kv_defragment(kv, NULL, &info, &err);
        say("ok %d %s\n", rc, err.message);
#ifdef C8S_CRASH_POINTS
    } else if (strncmp(line, "arm ", 4) == 0) {
        setenv("C8S_CRASH_AT", line + 4, 1);
        say("ok 0\n");
        crash_points_arm();
#endif
    } else if (strcmp(line, "stray") == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, write_strays, kv);
        say("ok 0\n");
    } else if (strcmp(line, "log") == 0) {
        struct raft_node_status st;
        driver_status(kv->driver, &st);
        say("ok %" PRIu64 " %" PRIu64 "\n", st.commit, st.stable);
    } else if (strcmp(line, "where") == 0) {
        struct kv_status st;
        kv_status(kv, &st);
        say("ok %d %" PRId64 "\n", st.leader_id == st.member_id, st.revision);
    } else {
        say("ok -1 what is %s\n", line);
    }
}

void victim_main(int argc, char **argv)
{
    int ports[3];
    struct error err;
    char line[256];
    pthread_t thread;
    if (argc != 8 || strcmp(argv[1], "--victim") != 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int i = 0; i < 3; i++)
        ports[i] = atoi(argv[3 + i]);
    log_set_level(getenv("VICTIM_LOG") ? LOG_INFO : LOG_ERROR);
    struct kv *kv = open_member(argv[2], ports, VICTIM, stopped, &err);
    if (!kv) {
        fprintf(stderr, "victim cannot open: %s\n", err.message);
        _exit(err.code == ERR_CORRUPT ? 4 : VICTIM_STOPPED);
    }
    kv_catch_faults(kv, fault_then);
    say("ready\n");
    struct writing w = {kv, atol(argv[6])};
    if (!atoi(argv[7]))
        pthread_create(&thread, NULL, write_all_the_time, &w);
    while (fgets(line, sizeof line, stdin)) {
        if (strncmp(line, "exit", 4) == 0)
            break;
        command(kv, line);
    }
    _exit(0);
}

/* ---- the test's side ---- */

void peer_start(struct victim *v, int i)
{
    char dir[128];
    struct error err;
    snprintf(dir, sizeof dir, "%s/m%d", v->dir, i);
    v->peers[i] = open_member(dir, v->ports, i, NULL, &err);
    if (!v->peers[i])
        fail_msg("peer %d: %s", i, err.message);
}

void peer_stop(struct victim *v, int i)
{
    kv_close(v->peers[i]);
    v->peers[i] = NULL;
}

void peers_tell(struct victim *v)
{
    print_message("%ld written\n", atomic_load(&v->written));
    for (int i = 0; i < 2; i++) {
        struct kv_status st;
        if (!v->peers[i])
            continue;
        kv_status(v->peers[i], &st);
        print_message("peer %d: member %" PRIx64 " leader %" PRIx64 " term %" PRIu64 " log %" PRIu64
                      " applied %" PRIu64 " failed %d\n",
                      i, st.member_id, st.leader_id, st.term, st.raft_index, st.applied_index,
                      st.failed);
    }
}

static void *write_through_peers(void *arg)
{
    struct victim *v = arg;
    for (long n = 0; !atomic_load(&v->writer_stop); n++) {
        char key[64];
        key_name(key, "peers", n);
        if (put(v->peers[n % 2], key, n, NULL) == 0)
            atomic_fetch_add(&v->written, 1);
        usleep(500);
    }
    return NULL;
}

void peers_write(struct victim *v, int n)
{
    char key[64];
    uint64_t until = clock_mono_ns() + 60 * NS_PER_S;
    for (int i = 0; i < n;) {
        key_name(key, "peers", i);
        if (put(v->peers[i % 2], key, i, NULL) == 0)
            i++;
        else
            usleep(1000);
        if (clock_mono_ns() > until)
            fail_msg("the peers' writes are not acknowledged");
    }
}

uint64_t peers_log_end(struct victim *v)
{
    uint64_t last = 0;
    for (int i = 0; i < 2; i++) {
        struct raft_node_status st;
        driver_status(v->peers[i]->driver, &st);
        last = MAX(last, st.last);
    }
    return last;
}

void writer_start(struct victim *v)
{
    atomic_store(&v->writer_stop, false);
    assert_int_equal(pthread_create(&v->writer, NULL, write_through_peers, v), 0);
}

void writer_end(struct victim *v)
{
    atomic_store(&v->writer_stop, true);
    pthread_join(v->writer, NULL);
}

void victims_open(struct victim *v, const char *victim_dir)
{
    char link[128];
    signal(SIGPIPE, SIG_IGN);
    *v = (struct victim){.to = -1, .from = -1};
    buf_init(&v->partial);
    for (int i = 0; i < VICTIM_KEYS; i++)
        v->acked[i] = -1;
    store_dir_make(v->dir, "victim");
    snprintf(link, sizeof link, "%s/m%d", v->dir, VICTIM);
    if (victim_dir)
        assert_int_equal(symlink(victim_dir, link), 0);
    for (int i = 0; i < 3; i++)
        v->ports[i] = test_port();
    for (int i = 0; i < 2; i++)
        peer_start(v, i);
    writer_start(v);
}

void victims_close(struct victim *v)
{
    victim_kill(v);
    writer_end(v);
    for (int i = 0; i < 2; i++)
        kv_close(v->peers[i]);
    store_dir_remove(v->dir);
    buf_free(&v->partial);
}

void victim_start(struct victim *v, const char *const *env, bool quiet)
{
    int to[2], from[2];
    char dir[128], args[5][32];
    assert_int_equal(v->pid, 0);
    assert_int_equal(pipe2(to, O_CLOEXEC), 0);
    assert_int_equal(pipe2(from, O_CLOEXEC), 0);
    snprintf(dir, sizeof dir, "%s/m%d", v->dir, VICTIM);
    for (int i = 0; i < 3; i++)
        snprintf(args[i], sizeof args[i], "%d", v->ports[i]);
    snprintf(args[3], sizeof args[3], "%ld", v->last + 1);
    snprintf(args[4], sizeof args[4], "%d", quiet);
    char *argv[] = {"victim", "--victim", dir, args[0], args[1], args[2], args[3], args[4], NULL};
    v->pid = fork();
    assert_true(v->pid >= 0);
    if (v->pid == 0) {
        dup2(to[0], STDIN_FILENO);
        dup2(from[1], STDOUT_FILENO);
        for (; env && *env; env++)
            putenv((char *)*env);
        execv("/proc/self/exe", argv);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    v->to = to[1];
    v->from = from[0];
    v->acks = 0;
    v->ready = false;
    buf_clear(&v->partial);
}

static void heard(struct victim *v, const char *line)
{
    long n;
    if (sscanf(line, "ack %ld", &n) == 1) {
        v->acked[n % VICTIM_KEYS] = n;
        v->acks++;
    } else if (sscanf(line, "try %ld", &n) == 1) {
        v->last = n;
    } else if (strncmp(line, "ok ", 3) == 0) {
        snprintf(v->said, sizeof v->said, "%s", line + 3);
        v->answered = true;
    } else if (strcmp(line, "ready") == 0) {
        v->ready = true;
    }
}

bool victim_listen(struct victim *v, int ms)
{
    char chunk[4096];
    struct pollfd p = {v->from, POLLIN, 0};
    if (v->pid == 0) {
        usleep((unsigned)ms * 1000);
        return false;
    }
    if (poll(&p, 1, ms) <= 0)
        return true;
    ssize_t n = read(v->from, chunk, sizeof chunk);
    if (n <= 0)
        return false;
    for (ssize_t i = 0; i < n; i++) {
        if (chunk[i] != '\n') {
            buf_append_char(&v->partial, chunk[i]);
            continue;
        }
        heard(v, buf_cstr(&v->partial));
        buf_clear(&v->partial);
    }
    return true;
}

bool victim_writes(struct victim *v, unsigned n)
{
    unsigned before = v->acks;
    uint64_t until = clock_mono_ns() + 60 * NS_PER_S;
    while (v->acks < before + n) {
        if (!victim_listen(v, 100))
            return false;
        if (clock_mono_ns() > until)
            fail_msg("the victim's writes are not acknowledged");
    }
    return true;
}

int victim_end(struct victim *v)
{
    uint64_t until = clock_mono_ns() + 60 * NS_PER_S;
    int status;
    while (victim_listen(v, 100))
        if (clock_mono_ns() > until)
            fail_msg("the victim lives on");
    assert_int_equal(waitpid(v->pid, &status, 0), v->pid);
    close(v->to);
    close(v->from);
    v->pid = 0;
    return status;
}

void victim_kill(struct victim *v)
{
    if (!v->pid)
        return;
    kill(v->pid, SIGKILL);
    victim_end(v);
}

bool victim_ask(struct victim *v, const char *text)
{
    char line[256];
    int n = snprintf(line, sizeof line, "%s\n", text);
    uint64_t until = clock_mono_ns() + 60 * NS_PER_S;
    v->answered = false;
    if (write(v->to, line, (size_t)n) != n)
        return false;
    while (!v->answered) {
        if (!victim_listen(v, 100))
            return false;
        if (clock_mono_ns() > until)
            fail_msg("the victim does not answer: %s", text);
    }
    return true;
}

static void nothing_is_lost(struct victim *v)
{
    struct arena a;
    struct error err;
    struct kv_range_result r;
    arena_init(&a);
    for (long i = 0; i < VICTIM_KEYS; i++) {
        char key[64];
        if (v->acked[i] < 0)
            continue;
        key_name(key, "victim", i);
        struct kv_range_request q = {.key = str_from(key)};
        assert_int_equal(kv_range(v->peers[0], &q, &a, &r, &err), 0);
        if (r.pairs_len != 1)
            fail_msg("%s is lost; acknowledged: %ld", key, v->acked[i]);
        if (atol(r.pairs[0].value.p) < v->acked[i])
            fail_msg("%s is %s; acknowledged: %ld", key, r.pairs[0].value.p, v->acked[i]);
    }
    arena_free(&a);
}

/* One member's hash at a revision that it has, and how far it had forgotten then. */
struct hashed {
    int code;
    uint32_t hash;
    int64_t compacted;
};

static struct hashed peers_hash(struct victim *v, int i, int64_t rev)
{
    struct hashed h;
    struct error err;
    int64_t hash_rev;
    for (int k = 0; k < 6000 && kv_current_revision(v->peers[i]) < rev; k++)
        usleep(10000);
    h.code = kv_hash(v->peers[i], rev, &h.hash, &hash_rev, &h.compacted, &err);
    return h;
}

static struct hashed victims_hash(struct victim *v, int64_t rev)
{
    struct hashed h;
    char ask[64];
    snprintf(ask, sizeof ask, "hash %" PRId64, rev);
    if (!victim_ask(v, ask))
        fail_msg("the victim has ended");
    assert_int_equal(sscanf(v->said, "%d %x %" SCNd64, &h.code, &h.hash, &h.compacted), 3);
    return h;
}

/* Hashes leave out what is compacted: they compare only when no compaction came between them. */
static bool comparable(const struct hashed h[3])
{
    for (int i = 0; i < 3; i++)
        if (h[i].code || h[i].compacted != h[0].compacted)
            return false;
    return true;
}

void victims_agree(struct victim *v)
{
    int64_t rev = 0;
    int rc = -1, tries = 0;
    struct hashed h[3];
    /* a write now is behind everything acknowledged so far, on every member that has it */
    for (int i = 0; i < 6000 && (rc = put(v->peers[0], "/agree", i, &rev)) != 0; i++)
        usleep(10000);
    assert_int_equal(rc, 0);
    nothing_is_lost(v);
    do {
        h[0] = peers_hash(v, 0, rev);
        h[1] = peers_hash(v, 1, rev);
        h[2] = victims_hash(v, rev);
        if (++tries == 1000)
            fail_msg("no hashes at one compacted revision: %d %" PRId64 ", %d %" PRId64
                     ", the victim's %d %" PRId64,
                     h[0].code, h[0].compacted, h[1].code, h[1].compacted, h[2].code,
                     h[2].compacted);
    } while (!comparable(h));
    if (h[0].hash != h[1].hash || h[0].hash != h[2].hash)
        fail_msg("hashes at %" PRId64 ", compacted at %" PRId64 ": %x and %x, the victim's %x", rev,
                 h[0].compacted, h[0].hash, h[1].hash, h[2].hash);
    if (!victim_ask(v, "check") || strncmp(v->said, "0 ", 2) != 0)
        fail_msg("the victim's check: %s", v->said);
}
