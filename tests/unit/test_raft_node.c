/*
 * The driver, three members in one process over real sockets: elections, proposals at leader and
 * followers, reads, restarts, snapshots to a member that was away, membership, transfer, a disk that
 * stalls.
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "raft/node_internal.h"
#include "raft_memory_machine.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#define MEMBERS_MAX 4
#define WAIT_MS 60000

struct member {
    uint64_t id;
    struct memory_machine machine;
    struct raft_node *node;
    int port;
};

struct cluster {
    struct member members[MEMBERS_MAX];
    size_t len;
};

/* ---- waiting without fixed sleeps: a condition, polled, with a limit ---- */

#define eventually(condition)                                     \
    do {                                                          \
        uint64_t give_up = clock_mono_ns() + WAIT_MS * NS_PER_MS; \
        while (!(condition)) {                                    \
            if (clock_mono_ns() > give_up)                        \
                fail_msg("waited in vain for: %s", #condition);   \
            usleep(2000);                                         \
        }                                                         \
    } while (0)

struct waiter {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int expected, applied, rejected, unknown;
    int code;
    uint64_t index;
};

static void waiter_init(struct waiter *w, int expected)
{
    *w = (struct waiter){.expected = expected};
    pthread_mutex_init(&w->mutex, NULL);
    pthread_cond_init(&w->changed, NULL);
}

static void proposed(void *ctx, enum raft_outcome outcome, int code, uint64_t index)
{
    struct waiter *w = ctx;
    pthread_mutex_lock(&w->mutex);
    w->applied += outcome == RAFT_APPLIED;
    w->rejected += outcome == RAFT_REJECTED;
    w->unknown += outcome == RAFT_UNKNOWN;
    w->code = code;
    w->index = index;
    pthread_cond_signal(&w->changed);
    pthread_mutex_unlock(&w->mutex);
}

static void read_done(void *ctx, int code, uint64_t index)
{
    proposed(ctx, code == 0 ? RAFT_APPLIED : RAFT_REJECTED, code, index);
}

static void done(void *ctx, int code)
{
    proposed(ctx, code == 0 ? RAFT_APPLIED : RAFT_REJECTED, code, 0);
}

static void wait_all(struct waiter *w)
{
    pthread_mutex_lock(&w->mutex);
    while (w->applied + w->rejected + w->unknown < w->expected)
        pthread_cond_wait(&w->changed, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
}

static void propose_text(struct member *m, struct waiter *w, const char *text)
{
    struct blob *b = raft_proposal_new(strlen(text));
    memcpy(raft_proposal_payload(b), text, strlen(text));
    raft_propose_data(m->node, b, 0, proposed, w);
}

static void put(struct member *m, int n)
{
    struct waiter w;
    waiter_init(&w, n);
    for (int i = 0; i < n; i++)
        propose_text(m, &w, "some bytes of payload");
    wait_all(&w);
    assert_int_equal(w.applied, n);
}

/* ---- cluster ---- */

static void member_start(struct member *m)
{
    char listen[32];
    snprintf(listen, sizeof listen, "127.0.0.1:%d", m->port);
    struct raft_boot boot;
    memory_machine_boot(&m->machine, &boot);
    struct raft_node_options o = {.id = m->id,
                                  .cluster_id = 77,
                                  .host = host_posix(),
                                  .heartbeat_ms = 50,
                                  .election_ms = 400,
                                  .listen = listen,
                                  .boot = &boot,
                                  .ops = &memory_machine_ops,
                                  .machine_ctx = &m->machine};
    struct error err;
    if (raft_node_start(&o, &m->node, &err) < 0)
        fail_msg("%s", err.message);
    m->port = raft_node_port(m->node);
    memory_machine_boot_free(&boot);
}

static void introduce(struct cluster *c)
{
    for (size_t i = 0; i < c->len; i++)
        for (size_t k = 0; k < c->len; k++) {
            char address[32];
            snprintf(address, sizeof address, "127.0.0.1:%d", c->members[k].port);
            if (i != k && c->members[i].node)
                raft_node_set_peer(c->members[i].node, c->members[k].id, address);
        }
}

static void member_stop(struct member *m)
{
    raft_node_stop(m->node);
    m->node = NULL;
}

static void cluster_start(struct cluster *c, size_t voters, size_t len)
{
    struct raft_config founders = {0};
    *c = (struct cluster){.len = len};
    for (uint64_t id = 1; id <= voters; id++)
        raft_ids_add(&founders.voters, id);
    for (size_t i = 0; i < len; i++) {
        c->members[i].id = i + 1;
        memory_machine_init(&c->members[i].machine, i < voters ? &founders : NULL);
        member_start(&c->members[i]);
    }
    introduce(c);
}

static void cluster_stop(struct cluster *c)
{
    for (size_t i = 0; i < c->len; i++) {
        if (c->members[i].node)
            member_stop(&c->members[i]);
        memory_machine_close(&c->members[i].machine);
    }
}

static struct raft_node_status status(struct member *m)
{
    struct raft_node_status s;
    raft_node_status(m->node, &s);
    return s;
}

/* The member that leads and is followed by all who run; NULL: not yet. */
static struct member *settled_leader(struct cluster *c)
{
    uint64_t leader = 0, term = 0;
    for (size_t i = 0; i < c->len; i++) {
        if (!c->members[i].node)
            continue;
        struct raft_node_status s = status(&c->members[i]);
        if (s.leader == 0 || (leader && (s.leader != leader || s.term != term)))
            return NULL;
        leader = s.leader;
        term = s.term;
    }
    struct member *m = leader ? &c->members[leader - 1] : NULL;
    return m && m->node && status(m).role == RAFT_LEADER ? m : NULL;
}

static struct member *leader_of(struct cluster *c)
{
    struct member *leader;
    eventually((leader = settled_leader(c)) != NULL);
    return leader;
}

static struct member *follower_of(struct cluster *c)
{
    return &c->members[leader_of(c)->id % c->len];
}

static bool converged(struct cluster *c)
{
    uint64_t applied = 0, count = 0, digest = 0;
    for (size_t i = 0; i < c->len; i++) {
        uint64_t a, n, d;
        if (!c->members[i].node)
            continue;
        memory_machine_state(&c->members[i].machine, &a, &n, &d);
        if (applied && (a != applied || n != count || d != digest))
            return false;
        applied = a;
        count = n;
        digest = d;
    }
    return true;
}

static uint64_t read_index(struct member *m)
{
    struct waiter w;
    waiter_init(&w, 1);
    raft_node_read_index(m->node, 0, read_done, &w);
    wait_all(&w);
    assert_int_equal(w.applied, 1);
    return w.index;
}

/* ---- tests ---- */

static void one_member_alone(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 1, 1);
    put(leader_of(&c), 100);
    uint64_t a, n, d;
    memory_machine_state(&c.members[0].machine, &a, &n, &d);
    assert_int_equal(n, 100);
    assert_true(read_index(&c.members[0]) >= a);
    member_stop(&c.members[0]);
    member_start(&c.members[0]);
    put(leader_of(&c), 1);
    cluster_stop(&c);
}

struct numbers {
    struct raft_node *node;
    uint64_t of[3]; /* the last proposal, read and question */
};

static void take_numbers(void *arg)
{
    struct numbers *n = arg;
    n->of[0] = n->node->last_seq;
    n->of[1] = n->node->last_context;
    n->of[2] = n->node->last_call;
}

/*
 * The answer to what a member asked may come when it has started anew. It must find nobody: were numbers given again, a
 * new read would take it for its own, and read the past (the simulator's seed 100136).
 */
static void numbers_of_an_earlier_start_are_not_given_again(void **state)
{
    (void)state;
    struct cluster c;
    struct numbers before, after;
    cluster_start(&c, 1, 1);
    put(leader_of(&c), 3);
    for (int i = 0; i < 3; i++)
        read_index(&c.members[0]);
    before.node = c.members[0].node;
    loop_call(raft_node_loop(before.node), take_numbers, &before);
    member_stop(&c.members[0]);
    member_start(&c.members[0]);
    after.node = c.members[0].node;
    loop_call(raft_node_loop(after.node), take_numbers, &after);
    for (int i = 0; i < 3; i++) { /* drawn anew, of 2⁶⁴: not even near */
        uint64_t apart = before.of[i] - after.of[i];
        assert_true(MIN(apart, -apart) > 1000000);
    }
    cluster_stop(&c);
}

static void proposals_and_reads_on_every_member(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    leader_of(&c);
    for (size_t i = 0; i < c.len; i++)
        put(&c.members[i], 200);
    uint64_t a, n, d;
    eventually(converged(&c));
    memory_machine_state(&c.members[0].machine, &a, &n, &d);
    assert_int_equal(n, 600);
    for (size_t i = 0; i < c.len; i++)
        assert_true(read_index(&c.members[i]) >= a);
    /* many that arrive together share flushes */
    struct memory_machine *m = &leader_of(&c)->machine;
    assert_true(atomic_load(&m->persists) < 600);
    cluster_stop(&c);
}

static void the_leader_dies_and_comes_back(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    struct member *old = leader_of(&c);
    put(old, 50);
    member_stop(old);
    put(leader_of(&c), 50);
    member_start(old);
    introduce(&c);
    eventually(settled_leader(&c) && converged(&c));
    uint64_t a, n, d;
    memory_machine_state(&old->machine, &a, &n, &d);
    assert_int_equal(n, 100);
    cluster_stop(&c);
}

static void no_quorum_gives_definite_and_unknown_ends(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    struct member *leader = leader_of(&c);
    put(leader, 1);
    for (size_t i = 0; i < c.len; i++)
        if (&c.members[i] != leader)
            member_stop(&c.members[i]);
    /* In its log while it believes to lead: nobody can say how it ends. */
    struct waiter w;
    waiter_init(&w, 1);
    struct blob *b = raft_proposal_new(1);
    *raft_proposal_payload(b) = 'x';
    raft_propose_data(leader->node, b, 300, proposed, &w);
    wait_all(&w);
    assert_int_equal(w.unknown, 1);
    assert_int_equal(w.code, ERR_TIMEOUT);
    /* Stepped down for want of a quorum: nothing is put into a log any more. */
    eventually(status(leader).leader == 0);
    waiter_init(&w, 1);
    b = raft_proposal_new(1);
    *raft_proposal_payload(b) = 'y';
    raft_propose_data(leader->node, b, 200, proposed, &w);
    wait_all(&w);
    assert_int_equal(w.rejected, 1);
    assert_int_equal(w.code, ERR_UNAVAILABLE);
    waiter_init(&w, 1);
    raft_node_read_index(leader->node, 200, read_done, &w);
    wait_all(&w);
    assert_int_equal(w.code, ERR_UNAVAILABLE);
    cluster_stop(&c);
}

static uint64_t log_base(struct member *m)
{
    pthread_mutex_lock(&m->machine.mutex);
    uint64_t base = m->machine.base_index;
    pthread_mutex_unlock(&m->machine.mutex);
    return base;
}

static void a_member_far_behind_gets_a_snapshot(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    struct member *away = follower_of(&c);
    for (size_t i = 0; i < c.len; i++)
        c.members[i].machine.retain = 20;
    put(leader_of(&c), 10);
    member_stop(away);
    for (int i = 0; i < 10; i++)
        put(leader_of(&c), 50);
    eventually(log_base(leader_of(&c)) > 100);
    member_start(away);
    introduce(&c);
    eventually(settled_leader(&c) && converged(&c));
    assert_int_equal(atomic_load(&away->machine.installs), 1);
    uint64_t a, n, d;
    memory_machine_state(&away->machine, &a, &n, &d);
    assert_int_equal(n, 510);
    put(away, 5);
    cluster_stop(&c);
}

static int change(struct member *m, enum raft_change_op_kind kind, uint64_t id)
{
    struct waiter w;
    waiter_init(&w, 1);
    struct raft_change c = {.ops_len = 1, .ops = {{kind, id}}};
    raft_propose_config(m->node, &c, 0, proposed, &w);
    wait_all(&w);
    return w.applied ? 0 : w.code;
}

static void members_join_and_leave(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 4);
    eventually(status(&c.members[0]).leader != 0);
    put(&c.members[0], 20);
    /* a new leader refuses changes until its first entry is committed: by now it is */
    eventually(change(&c.members[1], RAFT_ADD_LEARNER, 4) == 0);
    eventually(converged(&c) && settled_leader(&c));
    assert_int_equal(change(&c.members[0], RAFT_REMOVE, 9), ERR_INVALID);
    assert_int_equal(change(&c.members[0], RAFT_ADD_VOTER, 4), 0);
    put(&c.members[3], 20);
    struct member *leader;
    /* nor while the leader has not heard yet that the change before is applied there */
    eventually((leader = leader_of(&c)) && change(leader, RAFT_REMOVE, leader->id) == 0);
    member_stop(leader);
    struct member *next = leader_of(&c);
    put(next, 20);
    struct raft_config config = status(next).config;
    assert_int_equal(config.voters.len, 3);
    assert_false(raft_ids_has(&config.voters, leader->id));
    cluster_stop(&c);
}

static void leadership_is_handed_over(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    struct member *leader = leader_of(&c), *to = follower_of(&c);
    struct waiter w;
    waiter_init(&w, 1);
    raft_node_transfer(leader->node, to->id, done, &w);
    wait_all(&w);
    assert_int_equal(w.code, 0);
    assert_ptr_equal(leader_of(&c), to);
    waiter_init(&w, 1);
    raft_node_transfer(leader->node, 1, done, &w);
    wait_all(&w);
    assert_int_equal(w.code, ERR_UNAVAILABLE); /* not the leader any more */
    cluster_stop(&c);
}

/* Puts until the thread that has the loop has flushed one itself. */
static void put_until_flushed_on_loop(struct member *leader, struct member *at)
{
    uint64_t before = atomic_load(&at->machine.persists_on_loop);
    atomic_store(&at->machine.loop, raft_node_loop(at->node));
    for (int i = 0; i < 1000 && atomic_load(&at->machine.persists_on_loop) == before; i++)
        put(leader, 1);
    assert_true(atomic_load(&at->machine.persists_on_loop) > before);
}

/*
 * A disk that takes two seconds for a flush stops nobody's heart: not the leader's, not a follower's, though who runs
 * the loop is the one who is stuck. The loop has changed hands then, and goes on as before when the disk is well.
 */
static void a_stalled_disk_changes_no_leader(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    struct member *leader = leader_of(&c), *follower = follower_of(&c);
    put(leader, 10);
    put_until_flushed_on_loop(leader, leader);
    put_until_flushed_on_loop(leader, follower);
    uint64_t term = status(leader).term;
    uint64_t start = clock_mono_ns();
    atomic_store(&follower->machine.stall_ms, 2000);
    put(leader, 50);
    assert_true(clock_mono_ns() - start < 1500 * NS_PER_MS); /* the other two suffice */
    atomic_store(&leader->machine.stall_ms, 2000);
    put(&c.members[5 - leader->id - follower->id], 20); /* the third one */
    eventually(converged(&c));
    put_until_flushed_on_loop(leader, leader);
    put_until_flushed_on_loop(leader, follower);
    assert_int_equal(status(leader).term, term);
    assert_int_equal(status(leader).role, RAFT_LEADER);
    cluster_stop(&c);
}

/* With company each is applied by the apply thread, alone by the raft thread: in order, by one of them at a time. */
static void a_few_entries_are_applied_without_a_switch(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    struct member *leader = leader_of(&c);
    for (size_t i = 0; i < 3; i++)
        atomic_store(&c.members[i].machine.held, true);
    for (int i = 0; i < 40; i++) {
        put(leader, 1);
        put(leader, i);
        put(follower_of(&c), 1);
    }
    eventually(converged(&c));
    assert_true(atomic_load(&leader->machine.held_done) >= 20);
    assert_true(atomic_load(&leader->machine.held_asked) > atomic_load(&leader->machine.held_done));
    cluster_stop(&c);
}

/* One after the other, and the first that `at` applies on the raft thread takes two seconds. */
static void write_while_applying_stalls(struct member *leader, struct member *at)
{
    struct waiter w;
    waiter_init(&w, 100);
    atomic_store(&at->machine.here_ms, 2000);
    for (int i = 0; i < w.expected; i++) {
        uint64_t before = status(leader).commit;
        propose_text(leader, &w, "some bytes of payload");
        eventually(status(leader).commit > before);
    }
    wait_all(&w);
    assert_int_equal(w.applied, w.expected);
    assert_int_equal(atomic_load(&at->machine.here_ms), 0);
}

/*
 * Who is stuck while applying in the apply thread's place has lost the loop to the other thread; what comes
 * meanwhile waits its turn, also if nothing was applied in the end.
 */
static void applying_that_stalls_changes_no_leader(void **state)
{
    (void)state;
    struct cluster c;
    cluster_start(&c, 3, 3);
    struct member *leader = leader_of(&c), *follower = follower_of(&c);
    uint64_t term = status(leader).term;
    atomic_store(&follower->machine.held, true);
    atomic_store(&leader->machine.held, true);
    write_while_applying_stalls(leader, follower);
    eventually(converged(&c)); /* so that the followers could choose another one */
    write_while_applying_stalls(leader, leader);
    atomic_store(&leader->machine.here_refuses, true);
    write_while_applying_stalls(leader, leader);
    eventually(converged(&c));
    assert_int_equal(status(leader).term, term);
    assert_int_equal(status(leader).role, RAFT_LEADER);
    uint64_t before = atomic_load(&leader->machine.held_done);
    put(leader, 1);
    for (int i = 0; i < 1000 && atomic_load(&leader->machine.held_done) == before; i++)
        put(leader, 1);
    assert_true(atomic_load(&leader->machine.held_done) > before);
    cluster_stop(&c);
}

/* Applying that falls behind committing by more than etcd allows: more is refused, definitely; what was taken ends well. */
static void proposals_are_refused_while_applying_is_behind(void **state)
{
    (void)state;
    enum { GAP = 5000, TAKEN = GAP + 1 };
    struct cluster c;
    struct waiter held, refused;
    cluster_start(&c, 1, 1);
    struct member *m = leader_of(&c);
    put(m, 1);
    uint64_t before, count, digest; /* the status may be published after the put's answer */
    memory_machine_state(&m->machine, &before, &count, &digest);
    atomic_store(&m->machine.hold, true);
    waiter_init(&held, TAKEN);
    for (int i = 0; i < TAKEN; i++)
        propose_text(m, &held, "some bytes of payload");
    eventually(status(m).commit == before + TAKEN);
    waiter_init(&refused, 100);
    for (int i = 0; i < 100; i++)
        propose_text(m, &refused, "one too many");
    wait_all(&refused);
    assert_int_equal(refused.rejected, 100);
    assert_int_equal(refused.code, ERR_LIMIT);
    assert_int_equal(held.applied + held.rejected + held.unknown, 0);
    atomic_store(&m->machine.hold, false);
    wait_all(&held);
    assert_int_equal(held.applied, TAKEN);
    put(m, 1);
    cluster_stop(&c);
}

static int quiet(void **state)
{
    (void)state;
    log_set_level(LOG_ERROR);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_member_alone),
        cmocka_unit_test(numbers_of_an_earlier_start_are_not_given_again),
        cmocka_unit_test(proposals_and_reads_on_every_member),
        cmocka_unit_test(the_leader_dies_and_comes_back),
        cmocka_unit_test(no_quorum_gives_definite_and_unknown_ends),
        cmocka_unit_test(a_member_far_behind_gets_a_snapshot),
        cmocka_unit_test(members_join_and_leave),
        cmocka_unit_test(leadership_is_handed_over),
        cmocka_unit_test(a_stalled_disk_changes_no_leader),
        cmocka_unit_test(a_few_entries_are_applied_without_a_switch),
        cmocka_unit_test(applying_that_stalls_changes_no_leader),
        cmocka_unit_test(proposals_are_refused_while_applying_is_behind),
    };
    return cmocka_run_group_tests(tests, quiet, NULL);
}
