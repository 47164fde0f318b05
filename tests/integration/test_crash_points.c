/*
 * A member dies at every place where something becomes durable (base/crash_point.h), under load, and comes
 * back: nothing acknowledged is lost, its state is its peers'. Every point of the table is driven; one
 * that is not reached fails the test.
 */
#include "victim.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mem.h"
#include "kvstore/integrity/integrity.h"
#include "kvstore/kv_members.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What it takes to come by a point. */
enum way {
    BY_WRITES,   /* anybody's; the default */
    BY_FOUNDING, /* the first start */
    BY_COMPACTION,
    BY_DEFRAG,
    BY_ELECTION,
    BY_CONFLICT, /* entries of the victim's own that never were committed */
    BY_LAG,      /* a snapshot */
    BY_DAMAGE,   /* a rebuild */
    BY_MEMBER,   /* one that joins and leaves */
};

static const struct {
    enum crash_point point;
    enum way way;
    int pass; /* which time it dies; 0: 1 */
} how[] = {
    {CRASH_config_change_before, BY_FOUNDING},
    {CRASH_config_change_after, BY_FOUNDING},
    {CRASH_config_change_before, BY_MEMBER},
    {CRASH_config_change_after, BY_MEMBER},
    {CRASH_file_rename_before, BY_LAG, 1},
    {CRASH_file_rename_after, BY_LAG, 1},
    {CRASH_file_rename_synced, BY_LAG, 1},
    {CRASH_journal_write_before, BY_WRITES, 20},
    {CRASH_journal_write_after, BY_WRITES, 20},
    {CRASH_journal_flush_after, BY_WRITES, 20},
    {CRASH_apply_commit_before, BY_WRITES, 20},
    {CRASH_apply_commit_after, BY_WRITES, 20},
    {CRASH_hard_state_after, BY_ELECTION},
    {CRASH_compaction_before, BY_COMPACTION, 3},
    {CRASH_compaction_after, BY_COMPACTION, 3},
    {CRASH_defrag_sealed, BY_DEFRAG},
    {CRASH_defrag_renamed, BY_DEFRAG},
    {CRASH_defrag_swapped, BY_DEFRAG},
    {CRASH_defrag_named, BY_DEFRAG},
    {CRASH_defrag_old_removed, BY_DEFRAG},
    {CRASH_log_cut_before, BY_CONFLICT},
    {CRASH_log_cut_after, BY_CONFLICT},
    {CRASH_stage_begun, BY_LAG},
    {CRASH_stage_commit_before, BY_LAG},
    {CRASH_stage_commit_after, BY_LAG},
    {CRASH_stage_finished, BY_LAG},
    {CRASH_stage_sealed, BY_LAG},
    {CRASH_stage_renamed, BY_LAG},
    {CRASH_stage_current_before, BY_LAG},
    {CRASH_stage_current_after, BY_LAG},
    {CRASH_stage_swapped, BY_LAG},
    {CRASH_stage_old_removed, BY_LAG},
    {CRASH_rebuild_installed, BY_DAMAGE},
    {CRASH_rebuild_marked, BY_DAMAGE},
};

static void on_rev(void *ctx, int code, int64_t rev)
{
    (void)ctx, (void)code, (void)rev;
}

static uint64_t victim_id(struct victim *v)
{
    struct arena a;
    struct kv_member *m;
    size_t n;
    struct error err;
    uint64_t id = 0;
    arena_init(&a);
    assert_int_equal(kv_member_list(v->peers[0], &a, &m, &n, &err), 0);
    /* the names of the others are known only once they have run; the address always is */
    char port[16];
    snprintf(port, sizeof port, ":%d", v->ports[VICTIM]);
    for (size_t i = 0; i < n; i++)
        if (m[i].peer_urls_len && str_has_suffix(m[i].peer_urls[0], str_from(port)))
            id = m[i].id;
    arena_free(&a);
    assert_int_not_equal(id, 0);
    return id;
}

static bool peer_leads(struct kv *kv)
{
    struct kv_status st;
    kv_status(kv, &st);
    return st.leader_id == st.member_id;
}

/* Leadership goes to the other peer, or, if the victim has it, to whoever gets it. */
static void move_leader(struct victim *v)
{
    for (int i = 0; i < 2; i++) {
        struct kv_status st;
        kv_status(v->peers[!i], &st);
        if (peer_leads(v->peers[i]))
            kv_move_leader(v->peers[i], st.member_id, NULL, on_rev, NULL);
    }
}

static void victim_leads(struct victim *v)
{
    uint64_t id = victim_id(v);
    bool leads = false;
    for (int tries = 0; tries < 600 && !leads; tries++) {
        for (int i = 0; i < 2; i++)
            if (peer_leads(v->peers[i]))
                kv_move_leader(v->peers[i], id, NULL, on_rev, NULL);
        assert_true(victim_listen(v, 100));
        assert_true(victim_ask(v, "where"));
        leads = v->said[0] == '1';
    }
    assert_true(leads);
}

/*
 * The victim leads, takes writes while the peers go, and dies. True: the last of them are in its log only. (It may
 * have lost the leadership before, or the peers may have got all.)
 */
static bool leaves_strays(struct victim *v)
{
    uint64_t commit = 0, stable = 0;
    victim_leads(v);
    assert_true(victim_ask(v, "stray"));
    peer_stop(v, 0);
    peer_stop(v, 1);
    for (int tries = 0; tries < 100 && stable < commit + 10; tries++) {
        victim_listen(v, 10);
        assert_true(victim_ask(v, "log"));
        assert_int_equal(sscanf(v->said, "%" SCNu64 " %" SCNu64, &commit, &stable), 2);
    }
    victim_kill(v);
    peer_start(v, 0);
    peer_start(v, 1);
    return stable > peers_log_end(v);
}

/* Entries of the victim's own that its peers replace by others, of which they keep enough. */
static void conflict(struct victim *v)
{
    int tries = 0;
    writer_end(v);
    while (!leaves_strays(v)) {
        assert_true(++tries < 20);
        victim_start(v, NULL, false);
    }
    peers_write(v, 20);
}

/* Behind by more than the peers keep of their logs. */
static void lag(struct victim *v)
{
    victim_kill(v);
    long written = atomic_load(&v->written);
    WAIT_UNTIL(v, atomic_load(&v->written) > written + 400);
}

static void damage(struct victim *v)
{
    char path[160];
    victim_kill(v);
    snprintf(path, sizeof path, "%s/m%d/" INTEGRITY_DAMAGED, v->dir, VICTIM);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs("says the test", f);
    fclose(f);
}

static void on_member(void *ctx, int code, uint64_t id)
{
    (void)ctx, (void)code, (void)id;
}

/* A learner that never runs is added when there is none, and removed when there is one. */
static void change_members(struct victim *v)
{
    struct str url = STR("http://127.0.0.1:1");
    struct kv_member_change c = {
        .kind = KV_MEMBER_ADD_LEARNER, .peer_urls = &url, .peer_urls_len = 1};
    struct arena a;
    struct kv_member *m;
    size_t n;
    struct error err;
    arena_init(&a);
    assert_int_equal(kv_member_list(v->peers[0], &a, &m, &n, &err), 0);
    for (size_t i = 0; i < n; i++)
        if (m[i].is_learner)
            c = (struct kv_member_change){.kind = KV_MEMBER_REMOVE, .id = m[i].id};
    kv_member_change(v->peers[0], &c, NULL, on_member, NULL);
    arena_free(&a);
}

static void drive(struct victim *v, enum way way)
{
    if (way == BY_MEMBER)
        change_members(v);
    if (way == BY_COMPACTION)
        kv_compact(v->peers[0], kv_current_revision(v->peers[0]) - 5, false, NULL, on_rev, NULL);
    else if (way == BY_DEFRAG)
        victim_ask(v, "defragment");
    else if (way == BY_ELECTION)
        move_leader(v);
}

static void crash_at(struct victim *v, enum crash_point point, enum way way, int pass)
{
    char at[96], line[112];
    snprintf(at, sizeof at, "C8S_CRASH_AT=%s:%d", crash_point_name(point), pass);
    const char *env[] = {at, NULL};
    bool start = true;
    switch (way) {
    case BY_CONFLICT:
        conflict(v);
        break;
    case BY_LAG:
        lag(v);
        break;
    case BY_DAMAGE:
        damage(v);
        break;
    case BY_FOUNDING:
        victim_kill(v);
        break;
    default:
        start = false;
    }
    if (start) {
        victim_start(v, env, false);
    } else {
        snprintf(line, sizeof line, "arm %s", at + strlen("C8S_CRASH_AT="));
        victim_ask(v, line); /* it may die before it has answered */
    }
    uint64_t until = clock_mono_ns() + 60 * NS_PER_S;
    while (victim_listen(v, 20)) {
        drive(v, way);
        if (clock_mono_ns() > until)
            fail_msg("%s was not reached", crash_point_name(point));
    }
    if (way == BY_CONFLICT)
        writer_start(v);
    int status = victim_end(v);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("%s: the victim ended with status %x instead of dying there",
                 crash_point_name(point), status);
}

static void recovers(struct victim *v)
{
    victim_start(v, NULL, false);
    victims_agree(v);
}

/* How often it passes by before it dies: in later rounds another number each time, where it does so often. */
static int pass_of(int pass, enum way way, int round)
{
    bool once = way == BY_FOUNDING || way == BY_CONFLICT || way == BY_LAG || way == BY_DAMAGE;
    pass = pass ? pass : 1;
    return round && !once ? 1 + rand() % (2 * pass) : pass;
}

static void say_point(enum crash_point point)
{
    if (getenv("C8S_CRASH_VERBOSE"))
        print_message("%s\n", crash_point_name(point));
}

static void drive_all(struct victim *v, int round, bool done[CRASH_POINTS_MAX])
{
    for (size_t i = 0; i < ARRAY_LEN(how); i++) {
        done[how[i].point] = true;
        if (how[i].way == BY_FOUNDING && round)
            continue; /* a cluster is founded once */
        say_point(how[i].point);
        crash_at(v, how[i].point, how[i].way, pass_of(how[i].pass, how[i].way, round));
        /* and the victim's first start has two points to die at */
        if (how[i].way != BY_FOUNDING || how[i + 1].way != BY_FOUNDING)
            recovers(v);
    }
    for (int p = 1; p < CRASH_POINTS_MAX; p++)
        if (!done[p]) {
            say_point((enum crash_point)p);
            crash_at(v, (enum crash_point)p, BY_WRITES, pass_of(3, BY_WRITES, round));
            recovers(v);
            done[p] = true;
        }
}

static void a_member_survives_every_crash_point(void **state)
{
    static struct victim v; /* its writer may outlive a failure */
    const char *rounds = getenv("C8S_CRASH_ROUNDS");
    (void)state;
    victims_open(&v, NULL);
    for (int round = 0; round < (rounds ? atoi(rounds) : 1); round++) {
        bool done[CRASH_POINTS_MAX] = {0};
        drive_all(&v, round, done);
    }
    print_message("%d crash points, each reached and survived\n", CRASH_POINTS_MAX - 1);
    victims_close(&v);
}

int main(int argc, char **argv)
{
    victim_main(argc, argv);
    log_set_level(getenv("VICTIM_LOG") ? LOG_INFO : LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_survives_every_crash_point),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
