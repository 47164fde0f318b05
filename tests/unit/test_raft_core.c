/*
 * The core's rules one by one, each as a short story played by hand: messages are delivered, lost and
 * flushed where the story says so. (Everything at once, at random, is the simulator's part.)
 */
#include "base/mem.h"
#include "raft/state.h"
#include "raft/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define N 5

struct actor {
    struct raft *raft;
    VEC(struct raft_message) outbox; /* sent, not delivered */
    VEC(uint64_t) unflushed;         /* batch numbers */
    VEC(struct raft_entry) applied;
    VEC(struct raft_read) reads;
    VEC(struct raft_fetch) fetches;
    VEC(uint64_t) snapshots;
    bool slow_disk; /* batches wait for flush() */
    bool slow_apply;
    bool cut;
    bool install;
    struct raft_hard_state install_hard, hard;
};

static struct actor actors[N + 1];

static struct raft_config voters(uint64_t n)
{
    struct raft_config c = {0};
    for (uint64_t id = 1; id <= n; id++)
        raft_ids_add(&c.voters, id);
    return c;
}

static struct raft_boot founding(const struct raft_config *c)
{
    return (struct raft_boot){.hard = {1, 0, 1},
                              .config = *c,
                              .applied = 1,
                              .base_index = 1,
                              .base_term = 1,
                              .last_index = 1};
}

static void act(struct actor *a);

static void start(uint64_t id, const struct raft_boot *boot)
{
    struct raft_params p;
    raft_params_default(&p);
    p.id = id;
    p.seed = id * 77;
    p.heartbeat_ticks = 1;
    p.election_ticks = 10;
    p.append_bytes_max = 200;
    p.inflight_max = 4;
    p.cache_bytes_max = 100000;
    p.unstable_bytes_max = 10000;
    actors[id] = (struct actor){0};
    struct error err;
    if (raft_new(&p, boot, &actors[id].raft, &err) < 0)
        fail_msg("%s", err.message);
}

static void start_all(uint64_t n, const struct raft_config *c)
{
    struct raft_boot boot = founding(c), empty = {0};
    for (uint64_t id = 1; id <= n; id++)
        start(id, raft_ids_has(&c->voters, id) || raft_ids_has(&c->learners, id) ? &boot : &empty);
}

static void actor_free(struct actor *a)
{
    for (size_t i = 0; i < a->outbox.len; i++)
        raft_message_clear(&a->outbox.items[i]);
    for (size_t i = 0; i < a->applied.len; i++)
        blob_unref(a->applied.items[i].data);
    vec_free(&a->outbox);
    vec_free(&a->unflushed);
    vec_free(&a->applied);
    vec_free(&a->reads);
    vec_free(&a->fetches);
    vec_free(&a->snapshots);
    raft_free(a->raft);
    *a = (struct actor){0};
}

static int finish(void **state)
{
    (void)state;
    for (int id = 1; id <= N; id++)
        actor_free(&actors[id]);
    return 0;
}

/* Take the core's output; flush and apply at once unless told otherwise. */
static void act(struct actor *a)
{
    struct raft_ready r;
    while (raft_take_ready(a->raft, &r)) {
        for (size_t i = 0; i < r.messages_len; i++) {
            struct raft_message m;
            raft_message_copy(&m, &r.messages[i]);
            vec_push(&a->outbox, m);
        }
        for (size_t i = 0; i < r.apply_len; i++) {
            vec_push(&a->applied, r.apply[i]);
            blob_ref(r.apply[i].data);
        }
        for (size_t i = 0; i < r.reads_len; i++)
            vec_push(&a->reads, r.reads[i]);
        for (size_t i = 0; i < r.fetches_len; i++)
            vec_push(&a->fetches, r.fetches[i]);
        for (size_t i = 0; i < r.snapshots_len; i++)
            vec_push(&a->snapshots, r.snapshots[i]);
        if (r.install) {
            a->install = true;
            a->install_hard = r.install_hard;
        }
        uint64_t applied = r.apply_len ? r.apply[r.apply_len - 1].index : 0;
        if (r.persist.seq) {
            a->hard = r.persist.hard;
            vec_push(&a->unflushed, r.persist.seq);
            if (!a->slow_disk) {
                raft_persisted(a->raft, r.persist.seq);
                vec_clear(&a->unflushed);
            }
        }
        if (applied && !a->slow_apply)
            raft_applied(a->raft, applied);
    }
}

/* The oldest batch under way is flushed. */
static void flush_one(uint64_t id)
{
    struct actor *a = &actors[id];
    assert_true(a->unflushed.len > 0);
    uint64_t seq = a->unflushed.items[0];
    vec_remove(&a->unflushed, 0);
    raft_persisted(a->raft, seq);
    act(a);
}

static void flush_all(uint64_t id)
{
    while (actors[id].unflushed.len)
        flush_one(id);
}

static void deliver(struct raft_message *m)
{
    struct actor *to = &actors[m->to];
    if (to->raft && !to->cut && !actors[m->from].cut) {
        raft_step(to->raft, m);
        act(to);
    }
    raft_message_clear(m);
}

/* Deliver until nothing is under way. */
static void settle(void)
{
    for (bool busy = true; busy;) {
        busy = false;
        for (int id = 1; id <= N; id++) {
            struct actor *a = &actors[id];
            if (!a->raft)
                continue;
            act(a);
            while (a->outbox.len) {
                struct raft_message m = a->outbox.items[0];
                vec_remove(&a->outbox, 0);
                deliver(&m);
                busy = true;
            }
        }
    }
}

/* Forget what `id` has sent. */
static void lose(uint64_t id)
{
    struct actor *a = &actors[id];
    act(a);
    while (a->outbox.len) {
        struct raft_message m = vec_pop(&a->outbox);
        raft_message_clear(&m);
    }
}

/* Take the first message of the type out of what `id` has sent. */
static struct raft_message pick(uint64_t id, uint64_t to, enum raft_message_type type)
{
    struct actor *a = &actors[id];
    act(a);
    for (size_t i = 0; i < a->outbox.len; i++) {
        struct raft_message m = a->outbox.items[i];
        if (m.to != to || m.type != type)
            continue;
        vec_remove(&a->outbox, i);
        return m;
    }
    fail_msg("%d sends no %s to %d", (int)id, raft_message_name(type), (int)to);
    return (struct raft_message){0};
}

static bool sends(uint64_t id, enum raft_message_type type)
{
    struct actor *a = &actors[id];
    act(a);
    for (size_t i = 0; i < a->outbox.len; i++)
        if (a->outbox.items[i].type == type)
            return true;
    return false;
}

static void tick(uint64_t id, int times)
{
    while (times-- > 0)
        raft_tick(actors[id].raft);
    act(&actors[id]);
}

/* `id` campaigns, undisturbed by leases. */
static void campaign(uint64_t id)
{
    for (int i = 1; i <= N; i++)
        if (actors[i].raft)
            actors[i].raft->election_elapsed = 1000000;
    raft_campaign(actors[id].raft, true, false);
    act(&actors[id]);
}

static struct raft *elect(uint64_t id)
{
    campaign(id);
    settle();
    assert_int_equal(raft_role(actors[id].raft), RAFT_LEADER);
    return actors[id].raft;
}

static uint64_t propose(uint64_t id, size_t payload)
{
    struct blob *b = blob_new(RAFT_PROPOSAL_HEADER + payload);
    memset(b->data, (int)id, b->len);
    uint64_t index = 0;
    struct error err;
    int rc = raft_propose(actors[id].raft, &b, 1, &index, &err);
    blob_unref(b);
    act(&actors[id]);
    return rc == 0 ? index : 0;
}

static int propose_change(uint64_t id, enum raft_change_op_kind kind, uint64_t member, bool joint)
{
    struct raft_change c = {.ops_len = 1, .ops = {{kind, member}}, .joint = joint};
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < RAFT_PROPOSAL_HEADER; i++)
        buf_append_char(&b, 0);
    raft_change_encode(&c, &b);
    struct blob *data = blob_from(b.data, b.len);
    buf_free(&b);
    uint64_t index;
    int rc = raft_propose_change(actors[id].raft, data, &index, NULL);
    blob_unref(data);
    act(&actors[id]);
    return rc;
}

/* ---- elections ---- */

static void three_elect_one(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft *leader = elect(1);
    assert_int_equal(raft_term(leader), 2);
    assert_true(raft_term_committed(leader)); /* its empty entry */
    assert_int_equal(raft_commit_index(leader), 2);
    for (int id = 2; id <= 3; id++) {
        assert_int_equal(raft_leader(actors[id].raft), 1);
        assert_int_equal(raft_commit_index(actors[id].raft), 2);
    }
}

static void the_timeout_is_between_one_and_two(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    tick(1, 9);
    assert_false(sends(1, RAFT_MSG_PRE_VOTE));
    tick(1, 11);
    assert_true(sends(1, RAFT_MSG_PRE_VOTE));
    assert_int_equal(raft_term(actors[1].raft), 1); /* asking costs no term */
}

static void a_vote_leaves_after_its_flush(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    actors[2].slow_disk = true;
    campaign(1);
    struct raft_message m = pick(1, 2, RAFT_MSG_PRE_VOTE);
    deliver(&m);
    m = pick(2, 1, RAFT_MSG_PRE_VOTE_REPLY);
    deliver(&m);
    m = pick(1, 2, RAFT_MSG_VOTE);
    deliver(&m);
    assert_false(sends(2, RAFT_MSG_VOTE_REPLY));
    assert_int_equal(actors[2].hard.vote, 1); /* in the batch that is under way */
    flush_all(2);
    m = pick(2, 1, RAFT_MSG_VOTE_REPLY);
    assert_false(m.reject);
    deliver(&m);
    assert_int_equal(raft_role(actors[1].raft), RAFT_LEADER);
}

static void a_candidate_counts_itself_after_its_flush(void **state)
{
    (void)state;
    struct raft_config c = voters(1);
    start_all(1, &c);
    actors[1].slow_disk = true;
    raft_campaign(actors[1].raft, true, false);
    act(&actors[1]);
    assert_int_equal(raft_role(actors[1].raft), RAFT_CANDIDATE);
    flush_one(1);
    assert_int_equal(raft_role(actors[1].raft), RAFT_LEADER);
}

static void one_vote_in_a_term(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft_message ask = {
        .type = RAFT_MSG_VOTE, .from = 1, .to = 3, .term = 5, .index = 1, .log_term = 1};
    raft_step(actors[3].raft, &ask);
    struct raft_message reply = pick(3, 1, RAFT_MSG_VOTE_REPLY);
    assert_false(reply.reject);
    raft_step(actors[3].raft, &ask); /* again, the same: the same answer */
    reply = pick(3, 1, RAFT_MSG_VOTE_REPLY);
    assert_false(reply.reject);
    ask.from = 2;
    raft_step(actors[3].raft, &ask);
    reply = pick(3, 2, RAFT_MSG_VOTE_REPLY);
    assert_true(reply.reject);
}

static void no_vote_for_a_shorter_log(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    actors[3].cut = true;
    elect(1);
    propose(1, 8);
    settle();
    actors[3].cut = false;
    actors[1].cut = true;
    campaign(3);
    settle();
    campaign(3); /* it was told of the newer term by now */
    settle();
    assert_int_equal(raft_role(actors[3].raft), RAFT_PRE_CANDIDATE);
    campaign(2);
    settle();
    assert_int_equal(raft_role(actors[2].raft), RAFT_LEADER);
}

static void somebody_cut_off_disturbs_nobody(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft *leader = elect(1);
    uint64_t term = raft_term(leader);
    actors[3].cut = true;
    tick(3, 100);
    lose(3);
    actors[3].cut = false;
    assert_int_equal(raft_term(actors[3].raft), term); /* pre-vote: its term did not grow */
    for (int i = 0; i < 5; i++) {
        tick(1, 1);
        settle();
    }
    assert_int_equal(raft_term(leader), term);
    assert_int_equal(raft_role(leader), RAFT_LEADER);
    assert_int_equal(raft_leader(actors[3].raft), 1);
}

static void a_leader_without_a_quorum_steps_down(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft *leader = elect(1);
    actors[1].cut = true;
    tick(1, 25);
    lose(1);
    assert_int_equal(raft_role(leader), RAFT_FOLLOWER);
    assert_int_equal(raft_leader(leader), 0);
    assert_int_equal(propose(1, 8), 0);
}

/* ---- replication ---- */

static void a_leader_never_counts_what_it_has_not_flushed(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft *leader = elect(1);
    actors[1].slow_disk = true;
    actors[3].cut = true;
    uint64_t index = propose(1, 8);
    settle();
    /* 2 has it flushed, the leader has not: one of three */
    assert_int_equal(raft_stable_index(actors[2].raft), index);
    assert_true(raft_commit_index(leader) < index);
    actors[3].cut = false;
    tick(1, 1); /* heartbeat; its answer brings the entry */
    settle();
    tick(1, 1);
    settle();
    /* 2 and 3 have it: committed without the leader; it applies it only after its own flush */
    assert_int_equal(raft_commit_index(leader), index);
    assert_true(actors[1].applied.items[actors[1].applied.len - 1].index < index);
    flush_all(1);
    assert_int_equal(actors[1].applied.items[actors[1].applied.len - 1].index, index);
}

static void an_append_is_acknowledged_after_its_flush(void **state)
{
    (void)state;
    struct raft_config c = voters(2);
    start_all(2, &c);
    struct raft *leader = elect(1);
    actors[2].slow_disk = true;
    uint64_t index = propose(1, 8);
    settle();
    assert_true(raft_commit_index(leader) < index);
    /* yet heartbeats are answered: a slow disk is no silence */
    tick(1, 1);
    struct raft_message beat = pick(1, 2, RAFT_MSG_HEARTBEAT);
    deliver(&beat);
    assert_true(sends(2, RAFT_MSG_HEARTBEAT_REPLY));
    flush_all(2);
    settle();
    assert_int_equal(raft_commit_index(leader), index);
}

/*
 * A flush that is reported late must not count for what has replaced the entries meanwhile:
 *   1. 3 gets entry 3 of term 2 from leader 1; its flush takes long.
 *   2. Leader 2 of term 3 replaces it by its own entry 3.
 *   3. The first flush is reported: entry 3 of term 3 is not flushed.
 */
static void a_late_flush_counts_for_what_it_flushed(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    actors[3].slow_disk = true;
    actors[2].cut = true;
    propose(1, 8);
    settle();
    assert_int_equal(raft_last_index(actors[3].raft), 3);
    assert_int_equal(raft_term_at(actors[3].raft, 3), 2);
    struct raft_entry other = {3, 3, RAFT_ENTRY_EMPTY, NULL};
    struct raft_message m = {.type = RAFT_MSG_APPEND,
                             .from = 2,
                             .to = 3,
                             .term = 3,
                             .index = 2,
                             .log_term = 2,
                             .commit = 2,
                             .entries = &other,
                             .entries_len = 1};
    raft_step(actors[3].raft, &m);
    act(&actors[3]);
    assert_int_equal(raft_term_at(actors[3].raft, 3), 3);
    assert_int_equal(actors[3].unflushed.len, 2);
    flush_one(3);
    assert_int_equal(raft_stable_index(actors[3].raft), 2);
    assert_false(sends(3, RAFT_MSG_APPEND_REPLY));
    flush_one(3);
    assert_int_equal(raft_stable_index(actors[3].raft), 3);
    struct raft_message reply = pick(3, 2, RAFT_MSG_APPEND_REPLY);
    assert_int_equal(reply.index, 3);
}

static void a_late_append_cuts_nothing(void **state)
{
    (void)state;
    struct raft_config c = voters(2);
    start_all(2, &c);
    elect(1);
    uint64_t first = propose(1, 8);
    struct raft_message early = pick(1, 2, RAFT_MSG_APPEND), copy;
    raft_message_copy(&copy, &early);
    deliver(&early);
    uint64_t second = propose(1, 8);
    settle();
    assert_int_equal(raft_last_index(actors[2].raft), second);
    deliver(&copy); /* the first again */
    assert_int_equal(raft_last_index(actors[2].raft), second);
    assert_true(second > first);
}

/* Start `id` again with the log (1, 2] of term 2: what is behind it, its disk has not. */
static void restart_with_two(uint64_t id, const struct raft_config *c)
{
    static const struct raft_term_run run = {2, 2};
    struct raft_boot boot = founding(c);
    boot.hard = (struct raft_hard_state){2, 1, 2};
    boot.applied = boot.last_index = 2;
    boot.runs = &run;
    boot.runs_len = 1;
    actor_free(&actors[id]);
    start(id, &boot);
}

static void who_forgets_what_it_acknowledged_is_told(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    actors[3].slow_disk = true;
    uint64_t index = propose(1, 8);
    settle();
    assert_int_equal(raft_commit_index(actors[1].raft), index);
    tick(1, 1);
    struct raft_message late = pick(1, 2, RAFT_MSG_HEARTBEAT), again;
    assert_int_equal(late.commit, index);
    raft_message_copy(&again, &late);
    deliver(&late);
    settle();
    /* 3 had it in memory only: it has forgotten nothing, and gets it again */
    restart_with_two(3, &c);
    for (int i = 0; i < 3; i++) {
        tick(1, 1);
        settle();
    }
    assert_int_equal(raft_forgotten(actors[3].raft), 0);
    assert_int_equal(raft_last_index(actors[3].raft), index);
    /* 2 had acknowledged it */
    assert_int_equal(raft_forgotten(actors[2].raft), 0);
    restart_with_two(2, &c);
    deliver(&again);
    assert_int_equal(raft_forgotten(actors[2].raft), index);
    /* the leader does not fill the gap: what else has been forgotten nobody knows */
    tick(1, 1);
    settle();
    assert_int_equal(raft_last_index(actors[2].raft), 2);
}

/* Raft §5.4.2, figure 8: an old term's entry on a majority is not committed by that. */
static void an_old_terms_entry_is_not_committed_by_counting(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    actors[2].cut = actors[3].cut = true;
    uint64_t index = propose(1, 150); /* fills a message of its own */
    lose(1);
    uint64_t before = raft_commit_index(actors[1].raft);
    raft_become_follower(actors[1].raft, 5, 0);
    actors[2].cut = actors[3].cut = false;
    raft_become_follower(actors[2].raft, 5, 0);
    raft_become_follower(actors[3].raft, 5, 0);
    campaign(1);
    while (raft_role(actors[1].raft) != RAFT_LEADER)
        for (int id = 1; id <= 3; id++)
            while (actors[id].outbox.len && raft_role(actors[1].raft) != RAFT_LEADER) {
                struct raft_message m = actors[id].outbox.items[0];
                vec_remove(&actors[id].outbox, 0);
                deliver(&m);
            }
    /* 2 says that it has the old entry, and only that */
    struct raft_message ack = {.type = RAFT_MSG_APPEND_REPLY,
                               .from = 2,
                               .to = 1,
                               .term = raft_term(actors[1].raft),
                               .index = index};
    raft_step(actors[1].raft, &ack);
    assert_int_equal(raft_commit_index(actors[1].raft), before);
    ack.index = raft_last_index(actors[1].raft); /* the new term's own entry: now both */
    raft_step(actors[1].raft, &ack);
    assert_int_equal(raft_commit_index(actors[1].raft), ack.index);
}

static void diverged_logs_are_repaired_in_a_few_steps(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    actors[1].cut = true;
    for (int i = 0; i < 40; i++) /* never committed */
        propose(1, 8);
    lose(1);
    elect(2);
    for (int i = 0; i < 40; i++)
        propose(2, 8);
    settle();
    actors[1].cut = false;
    tick(2, 1);
    settle();
    tick(2, 1);
    settle();
    assert_int_equal(raft_last_index(actors[1].raft), raft_last_index(actors[2].raft));
    for (uint64_t i = 1; i <= raft_last_index(actors[2].raft); i++)
        assert_int_equal(raft_term_at(actors[1].raft, i), raft_term_at(actors[2].raft, i));
}

static size_t count_appends(uint64_t id, uint64_t to)
{
    size_t n = 0;
    for (size_t i = 0; i < actors[id].outbox.len; i++)
        n += actors[id].outbox.items[i].type == RAFT_MSG_APPEND &&
             actors[id].outbox.items[i].to == to && actors[id].outbox.items[i].entries_len > 0;
    return n;
}

static void what_is_under_way_is_bounded(void **state)
{
    (void)state;
    struct raft_config c = voters(2);
    start_all(2, &c);
    elect(1);
    for (int i = 0; i < 50; i++)
        propose(1, 100);
    assert_int_equal(count_appends(1, 2), 4); /* inflight_max, each of at most 200 bytes */
    settle();
    assert_int_equal(raft_commit_index(actors[2].raft), raft_last_index(actors[1].raft));
    /* and what waits for the disk: then proposals are refused */
    actors[1].slow_disk = actors[2].slow_disk = true;
    int taken = 0;
    while (propose(1, 1000))
        taken++;
    assert_in_range(taken, 9, 11);
    for (int i = 0; i < 10; i++) {
        flush_all(1);
        flush_all(2);
        settle();
    }
    assert_true(propose(1, 1000) > 0);
}

/* A leader that tells commits lazily: with the next entries, when told to, or where they are awaited. */
static void a_commit_waits_for_company(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft *leader = elect(1);
    leader->params.commit_lazy = true;
    uint64_t first = propose(1, 1);
    settle();
    assert_int_equal(raft_commit_index(leader), first);
    assert_int_equal(raft_commit_index(actors[2].raft), first - 1);
    assert_true(raft_commit_untold(leader));
    /* with the next entries */
    uint64_t second = propose(1, 1);
    settle();
    assert_int_equal(raft_commit_index(leader), second);
    assert_int_equal(raft_commit_index(actors[2].raft), first);
    /* when told to */
    raft_tell_commit(leader);
    settle();
    assert_int_equal(raft_commit_index(actors[2].raft), second);
    assert_int_equal(raft_commit_index(actors[3].raft), second);
    assert_false(raft_commit_untold(leader));
    /* where a caller waits */
    uint64_t third = propose(1, 1);
    raft_commit_awaited(leader, 2, third);
    settle();
    assert_int_equal(raft_commit_index(actors[2].raft), third);
    assert_int_equal(raft_commit_index(actors[3].raft), second);
    /* a read's index comes with the commit that it waits for */
    assert_int_equal(raft_read_index(actors[3].raft, 8, NULL), 0);
    settle();
    assert_int_equal(actors[3].reads.len, 1);
    assert_int_equal(actors[3].reads.items[0].index, third);
    assert_int_equal(raft_commit_index(actors[3].raft), third);
    /* a change of configuration is told at once */
    assert_int_equal(propose_change(1, RAFT_ADD_LEARNER, 4, false), 0);
    settle();
    assert_int_equal(raft_commit_index(actors[2].raft), raft_commit_index(leader));
    assert_int_equal(raft_commit_index(actors[3].raft), raft_commit_index(leader));
}

static void old_entries_are_fetched(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    actors[3].cut = true;
    propose(1, 50);
    settle();
    raft_log_unpin(&actors[1].raft->log, raft_applied_index(actors[1].raft), 0); /* no cache */
    actors[3].cut = false;
    for (int i = 0; i < 3 && !actors[1].fetches.len; i++) {
        tick(1, 1);
        settle();
    }
    assert_int_equal(actors[1].fetches.len, 1);
    struct raft_fetch f = actors[1].fetches.items[0];
    assert_int_equal(f.peer, 3);
    assert_int_equal(f.lo, 3);
    /* the driver has read it */
    const struct raft_entry *e = NULL;
    for (size_t i = 0; i < actors[1].applied.len; i++)
        if (actors[1].applied.items[i].index == f.lo)
            e = &actors[1].applied.items[i];
    assert_non_null(e);
    raft_fetched(actors[1].raft, &f, e, 1);
    settle();
    assert_int_equal(raft_last_index(actors[3].raft), raft_last_index(actors[1].raft));
    raft_fetched(actors[1].raft, &f, e, 1); /* an answer to an old question */
    assert_false(sends(1, RAFT_MSG_APPEND));
}

/* ---- reads ---- */

static void reads_wait_for_the_terms_first_commit(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    actors[1].slow_disk = false;
    campaign(1);
    while (raft_role(actors[1].raft) != RAFT_LEADER) {
        for (int id = 1; id <= 3; id++) {
            act(&actors[id]);
            if (actors[id].outbox.len && raft_role(actors[1].raft) != RAFT_LEADER) {
                struct raft_message m = actors[id].outbox.items[0];
                vec_remove(&actors[id].outbox, 0);
                deliver(&m);
            }
        }
    }
    assert_false(raft_term_committed(actors[1].raft));
    assert_int_equal(raft_read_index(actors[1].raft, 42, NULL), 0);
    assert_int_equal(actors[1].reads.len, 0);
    settle();
    assert_int_equal(actors[1].reads.len, 1);
    assert_int_equal(actors[1].reads.items[0].context, 42);
    assert_int_equal(actors[1].reads.items[0].index, 2);
}

static void reads_ask_a_quorum(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    actors[2].cut = actors[3].cut = true;
    assert_int_equal(raft_read_index(actors[1].raft, 7, NULL), 0);
    settle();
    assert_int_equal(actors[1].reads.len, 0);
    actors[2].cut = false;
    tick(1, 1); /* the next heartbeat carries the round again */
    settle();
    assert_int_equal(actors[1].reads.len, 1);
    /* from a follower */
    assert_int_equal(raft_read_index(actors[2].raft, 8, NULL), 0);
    settle();
    assert_int_equal(actors[2].reads.len, 1);
    assert_int_equal(actors[2].reads.items[0].context, 8);
    /* from nobody's follower */
    assert_int_equal(raft_read_index(actors[3].raft, 9, NULL), 0);
    raft_become_follower(actors[3].raft, 9, 0);
    assert_int_equal(raft_read_index(actors[3].raft, 9, NULL), ERR_UNAVAILABLE);
}

/* ---- membership ---- */

static void one_change_at_a_time(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(4, &c);
    elect(1);
    actors[1].slow_apply = true;
    assert_int_equal(propose_change(1, RAFT_ADD_LEARNER, 4, false), 0);
    settle();
    assert_int_equal(propose_change(1, RAFT_ADD_VOTER, 4, false),
                     ERR_CONFLICT); /* committed only */
    actors[1].slow_apply = false;
    raft_applied(actors[1].raft, raft_commit_index(actors[1].raft));
    act(&actors[1]);
    assert_true(raft_config_is_learner(raft_configuration(actors[1].raft), 4));
    assert_int_equal(propose_change(1, RAFT_REMOVE, 9, false), ERR_INVALID);
    assert_int_equal(propose_change(1, RAFT_REMOVE, 4, false), 0);
}

/*
 * The known fault of single-server changes: two leaders in turn, each with a change of its own in the log, count with
 * configurations that do not overlap. It cannot happen when a leader first commits an entry of its own term.
 */
static void a_new_leader_changes_nothing_before_its_term_commits(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(4, &c);
    campaign(1);
    while (raft_role(actors[1].raft) != RAFT_LEADER) {
        struct raft_message m = {0};
        for (int id = 1; id <= 3 && m.type == 0; id++)
            if (actors[id].outbox.len) {
                m = actors[id].outbox.items[0];
                vec_remove(&actors[id].outbox, 0);
            }
        assert_int_not_equal(m.type, 0);
        deliver(&m);
    }
    assert_false(raft_term_committed(actors[1].raft));
    assert_int_equal(raft_may_change(actors[1].raft, NULL), ERR_CONFLICT);
    assert_int_equal(propose_change(1, RAFT_ADD_LEARNER, 4, false), ERR_CONFLICT);
    settle();
    assert_int_equal(propose_change(1, RAFT_ADD_LEARNER, 4, false), 0);
}

/* Nobody waits for an election timeout when the leader has removed itself: the voters take turns at once. */
static void a_removed_leader_is_followed_at_once(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    assert_int_equal(propose_change(1, RAFT_REMOVE, 1, false), 0);
    while (raft_role(actors[1].raft) == RAFT_LEADER) { /* commits and applies it */
        struct raft_message m = {0};
        for (int id = 1; id <= 3 && m.type == 0; id++)
            if (actors[id].outbox.len) {
                m = actors[id].outbox.items[0];
                vec_remove(&actors[id].outbox, 0);
            }
        assert_int_not_equal(m.type, 0);
        deliver(&m);
    }
    /* It calls upon somebody, but those who have applied its removal do not listen to it any more. */
    for (size_t i = actors[1].outbox.len; i-- > 0;)
        if (actors[1].outbox.items[i].type == RAFT_MSG_TIMEOUT_NOW)
            vec_remove(&actors[1].outbox, i);
    settle();
    for (int id = 2; id <= 3; id++) {
        assert_false(raft_config_is_voter(raft_configuration(actors[id].raft), 1));
        assert_int_equal(raft_leader(actors[id].raft), 0);
    }
    for (int i = 0; i < 4; i++)
        for (int id = 2; id <= 3; id++) {
            tick((uint64_t)id, 1);
            settle();
        }
    assert_int_equal(raft_role(actors[2].raft), RAFT_LEADER);
    assert_int_equal(raft_leader(actors[3].raft), 2);
}

/* See raft_commit_durable: one of two removes the other, and must not be able to forget that it may. */
static void a_change_is_durable_before_it_is_told(void **state)
{
    (void)state;
    struct raft_config c = voters(2);
    start_all(2, &c);
    struct raft *leader = elect(1);
    actors[1].slow_disk = true;
    assert_int_equal(propose_change(1, RAFT_REMOVE, 2, false), 0);
    uint64_t index = raft_last_index(leader);
    flush_all(1); /* the entry */
    lose(1);
    struct raft_message ack = raft_message_to(actors[2].raft, 1, RAFT_MSG_APPEND_REPLY);
    ack.index = index;
    raft_step(leader, &ack);
    act(&actors[1]);
    /* It is committed, but nobody hears of it and nothing is applied, heartbeats included. */
    assert_int_equal(raft_commit_index(leader), index);
    assert_int_equal(actors[1].hard.commit, index); /* under way to the disk */
    assert_int_equal(actors[1].unflushed.len, 1);
    tick(1, 1);
    for (size_t i = 0; i < actors[1].outbox.len; i++)
        assert_true(actors[1].outbox.items[i].commit < index);
    assert_true(raft_applied_index(leader) < index);
    assert_true(raft_config_is_voter(raft_configuration(leader), 2));
    flush_one(1);
    struct raft_message news = {0};
    for (size_t i = 0; i < actors[1].outbox.len; i++)
        if (actors[1].outbox.items[i].commit == index)
            news = actors[1].outbox.items[i];
    assert_int_equal(news.to, 2); /* who leaves is told as well */
    assert_int_equal(raft_applied_index(leader), index);
    assert_false(raft_config_is_voter(raft_configuration(leader), 2));
}

static void a_learner_does_not_count(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    raft_ids_add(&c.learners, 4);
    start_all(4, &c);
    struct raft *leader = elect(1);
    actors[2].cut = actors[3].cut = true;
    uint64_t index = propose(1, 8);
    settle();
    assert_int_equal(raft_last_index(actors[4].raft), index);
    assert_true(raft_commit_index(leader) < index);
    tick(4, 100);
    assert_int_equal(raft_role(actors[4].raft), RAFT_FOLLOWER); /* nor does it campaign */
}

static void joint_needs_both_halves_and_leaves_by_itself(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    raft_ids_add(&c.learners, 4);
    raft_ids_add(&c.learners, 5);
    start_all(5, &c);
    struct raft *leader = elect(1);
    struct raft_change change = {
        .ops_len = 4,
        .ops = {{RAFT_ADD_VOTER, 4}, {RAFT_ADD_VOTER, 5}, {RAFT_REMOVE, 2}, {RAFT_REMOVE, 3}}};
    struct buf b;
    buf_init(&b);
    for (int i = 0; i < RAFT_PROPOSAL_HEADER; i++)
        buf_append_char(&b, 0);
    raft_change_encode(&change, &b);
    struct blob *data = blob_from(b.data, b.len);
    buf_free(&b);
    uint64_t index;
    assert_int_equal(raft_propose_change(leader, data, &index, NULL), 0);
    blob_unref(data);
    act(&actors[1]);
    actors[4].cut = actors[5].cut = true;
    settle();
    /* the change is committed by the old voters; what follows needs the new ones too */
    assert_true(raft_config_is_joint(raft_configuration(leader)));
    uint64_t commit = raft_commit_index(leader);
    uint64_t next = propose(1, 8);
    settle();
    assert_int_equal(raft_commit_index(leader), commit);
    actors[4].cut = false; /* 1 and 4 of {1 4 5}, 1 2 3 of the old */
    tick(1, 1);
    settle();
    tick(1, 1);
    settle();
    assert_true(raft_commit_index(leader) >= next);
    assert_false(raft_config_is_joint(raft_configuration(leader)));
    assert_true(raft_ids_has(&raft_configuration(leader)->voters, 5));
    assert_false(raft_config_is_voter(raft_configuration(leader), 2));
}

/* See raft_learn_commit: a removed leader's longer log must not block those who remain. */
static void a_removed_leader_with_a_longer_log_blocks_nobody(void **state)
{
    (void)state;
    struct raft_config c = voters(2);
    start_all(2, &c);
    elect(1);
    uint64_t before = raft_commit_index(actors[2].raft);
    assert_int_equal(propose_change(1, RAFT_REMOVE, 1, false), 0);
    struct raft_message m = pick(1, 2, RAFT_MSG_APPEND);
    deliver(&m);
    actors[1].slow_apply = true;
    m = pick(2, 1, RAFT_MSG_APPEND_REPLY);
    deliver(&m); /* committed by both */
    lose(1);     /* but 2 does not hear of it */
    propose(1, 8);
    lose(1);
    raft_applied(actors[1].raft, raft_commit_index(actors[1].raft)); /* no vote any more */
    lose(1);
    assert_int_equal(raft_role(actors[1].raft), RAFT_FOLLOWER);
    assert_true(raft_last_index(actors[1].raft) > raft_last_index(actors[2].raft));
    assert_int_equal(raft_commit_index(actors[2].raft), before);
    actors[1].slow_apply = false;
    for (int i = 0; i < 4 && raft_role(actors[2].raft) != RAFT_LEADER; i++) {
        campaign(2);
        settle();
    }
    assert_int_equal(raft_role(actors[2].raft), RAFT_LEADER);
}

/* It died before anybody had heard that its removal is committed; kvstore/members/change.c starts it for that. */
static void a_removed_member_that_comes_back_gives_its_vote(void **state)
{
    (void)state;
    static const struct raft_term_run run = {2, 2};
    struct raft_config c = voters(2);
    start_all(2, &c);
    elect(1);
    assert_int_equal(propose_change(1, RAFT_REMOVE, 1, false), 0);
    struct raft_message m = pick(1, 2, RAFT_MSG_APPEND);
    deliver(&m);
    m = pick(2, 1, RAFT_MSG_APPEND_REPLY);
    deliver(&m);
    lose(1);
    assert_false(raft_is_voter(actors[1].raft));
    uint64_t index = raft_applied_index(actors[1].raft);
    struct raft_boot boot = founding(raft_configuration(actors[1].raft));
    boot.hard = (struct raft_hard_state){2, 1, index};
    boot.applied = boot.last_index = index;
    boot.runs = &run;
    boot.runs_len = 1;
    actor_free(&actors[1]);
    campaign(2);
    settle();
    assert_int_not_equal(raft_role(actors[2].raft), RAFT_LEADER);
    start(1, &boot);
    for (int i = 0; i < 4 && raft_role(actors[2].raft) != RAFT_LEADER; i++) {
        campaign(2);
        settle();
    }
    assert_int_equal(raft_role(actors[2].raft), RAFT_LEADER);
    tick(1, 100);
    assert_int_equal(raft_role(actors[1].raft), RAFT_FOLLOWER);
}

static void leadership_moves(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft *leader = elect(1);
    assert_int_equal(raft_transfer(leader, 9, NULL), ERR_INVALID);
    actors[2].cut = true;
    propose(1, 8);
    settle();
    assert_int_equal(raft_transfer(leader, 2, NULL), 0); /* must catch up first */
    assert_int_equal(propose(1, 8), 0);                  /* nothing new meanwhile */
    settle();
    assert_int_equal(raft_role(leader), RAFT_LEADER);
    actors[2].cut = false;
    for (int i = 0; i < 3; i++) {
        tick(1, 1);
        settle();
    }
    assert_int_equal(raft_role(actors[2].raft), RAFT_LEADER);
    /* given up after an election timeout */
    assert_int_equal(raft_transfer(actors[2].raft, 3, NULL), 0);
    lose(2);
    actors[3].cut = true;
    tick(2, 10);
    settle();
    assert_true(propose(2, 8) > 0);
}

/* ---- snapshots ---- */

static void a_snapshot_keeps_term_and_vote(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft_message ask = {
        .type = RAFT_MSG_VOTE, .from = 1, .to = 3, .term = 5, .index = 1, .log_term = 1};
    raft_step(actors[3].raft, &ask);
    lose(3);
    struct raft_snapshot_meta meta = {50, 4, c};
    struct raft_message m = {
        .type = RAFT_MSG_SNAPSHOT, .from = 1, .to = 3, .term = 5, .snapshot = &meta};
    raft_step(actors[3].raft, &m);
    act(&actors[3]);
    assert_true(actors[3].install);
    assert_int_equal(actors[3].install_hard.term, 5);
    assert_int_equal(actors[3].install_hard.vote, 1);
    assert_int_equal(actors[3].install_hard.commit, 50);
    /* meanwhile it takes nothing, and promises nothing */
    struct raft_entry e = {2, 5, RAFT_ENTRY_EMPTY, NULL};
    struct raft_message append = {.type = RAFT_MSG_APPEND,
                                  .from = 1,
                                  .to = 3,
                                  .term = 5,
                                  .index = 1,
                                  .log_term = 1,
                                  .entries = &e,
                                  .entries_len = 1};
    raft_step(actors[3].raft, &append);
    ask.term = 6;
    ask.from = 2;
    ask.index = 60;
    ask.log_term = 5;
    actors[3].raft->election_elapsed = 1000;
    raft_step(actors[3].raft, &ask);
    act(&actors[3]);
    assert_false(sends(3, RAFT_MSG_VOTE_REPLY));
    raft_snapshot_installed(actors[3].raft);
    assert_int_equal(raft_last_index(actors[3].raft), 50);
    assert_int_equal(raft_term_at(actors[3].raft, 50), 4);
    assert_int_equal(raft_applied_index(actors[3].raft), 50);
    assert_true(sends(3, RAFT_MSG_VOTE_REPLY)); /* the vote of term 6 after its own flush */
    assert_int_equal(actors[3].hard.term, 6);
    assert_int_equal(actors[3].hard.vote, 2);
}

static void a_snapshot_that_brings_nothing_is_not_installed(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    elect(1);
    propose(1, 8);
    settle();
    struct raft_snapshot_meta old = {2, 2, c};
    struct raft_message m = {.type = RAFT_MSG_SNAPSHOT,
                             .from = 1,
                             .to = 3,
                             .term = raft_term(actors[1].raft),
                             .snapshot = &old};
    raft_step(actors[3].raft, &m);
    act(&actors[3]);
    assert_false(actors[3].install);
    /* the log agrees up to there: only the commit index is news */
    propose(1, 8);
    struct raft_message append = pick(1, 3, RAFT_MSG_APPEND);
    deliver(&append);
    old.index = raft_last_index(actors[3].raft);
    raft_step(actors[3].raft, &m);
    act(&actors[3]);
    assert_false(actors[3].install);
    assert_int_equal(raft_commit_index(actors[3].raft), old.index);
}

static void somebody_too_far_behind_gets_a_snapshot(void **state)
{
    (void)state;
    struct raft_config c = voters(3);
    start_all(3, &c);
    struct raft *leader = elect(1);
    actors[3].cut = true;
    for (int i = 0; i < 5; i++)
        propose(1, 8);
    settle();
    raft_compacted(leader, raft_applied_index(leader));
    tick(1, 25); /* 3 has been silent: no snapshot to the void */
    settle();
    assert_int_equal(actors[1].snapshots.len, 0);
    elect(1);
    actors[3].cut = false;
    for (int i = 0; i < 4 && !actors[1].snapshots.len; i++) {
        tick(1, 1);
        settle();
    }
    assert_int_equal(actors[1].snapshots.len, 1);
    assert_int_equal(actors[1].snapshots.items[0], 3);
    raft_snapshot_sent(leader, 3, 0,
                       false); /* failed: asked for again after a heartbeat's answer */
    tick(1, 1);
    settle();
    assert_int_equal(actors[1].snapshots.len, 2);
}

static void contradictory_storage_is_refused(void **state)
{
    (void)state;
    struct raft_params p;
    raft_params_default(&p);
    p.id = 1;
    struct raft_config c = voters(1);
    struct raft_boot good = founding(&c), bad = good;
    struct raft *r;
    bad.hard.commit = 9;
    assert_int_equal(raft_new(&p, &bad, &r, NULL), ERR_CORRUPT);
    bad = good;
    bad.applied = 2;
    assert_int_equal(raft_new(&p, &bad, &r, NULL), ERR_CORRUPT);
    bad = good;
    bad.hard.term = 0;
    assert_int_equal(raft_new(&p, &bad, &r, NULL), ERR_CORRUPT);
    assert_null(r);
}

#define story(fn) cmocka_unit_test_teardown(fn, finish)

int main(void)
{
    const struct CMUnitTest tests[] = {
        story(three_elect_one),
        story(the_timeout_is_between_one_and_two),
        story(a_vote_leaves_after_its_flush),
        story(a_candidate_counts_itself_after_its_flush),
        story(one_vote_in_a_term),
        story(no_vote_for_a_shorter_log),
        story(somebody_cut_off_disturbs_nobody),
        story(a_leader_without_a_quorum_steps_down),
        story(a_leader_never_counts_what_it_has_not_flushed),
        story(an_append_is_acknowledged_after_its_flush),
        story(a_late_flush_counts_for_what_it_flushed),
        story(a_late_append_cuts_nothing),
        story(who_forgets_what_it_acknowledged_is_told),
        story(an_old_terms_entry_is_not_committed_by_counting),
        story(diverged_logs_are_repaired_in_a_few_steps),
        story(what_is_under_way_is_bounded),
        story(a_commit_waits_for_company),
        story(old_entries_are_fetched),
        story(reads_wait_for_the_terms_first_commit),
        story(reads_ask_a_quorum),
        story(one_change_at_a_time),
        story(a_new_leader_changes_nothing_before_its_term_commits),
        story(a_removed_leader_is_followed_at_once),
        story(a_change_is_durable_before_it_is_told),
        story(a_learner_does_not_count),
        story(joint_needs_both_halves_and_leaves_by_itself),
        story(a_removed_leader_with_a_longer_log_blocks_nobody),
        story(a_removed_member_that_comes_back_gives_its_vote),
        story(leadership_moves),
        story(a_snapshot_keeps_term_and_vote),
        story(a_snapshot_that_brings_nothing_is_not_installed),
        story(somebody_too_far_behind_gets_a_snapshot),
        story(contradictory_storage_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
