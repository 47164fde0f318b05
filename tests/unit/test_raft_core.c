/*
 * The core's rules one by one, each as a short story played by hand (raft_story.h): elections, replication, reads.
 * Membership and snapshots: test_raft_membership.c. Everything at once, at random, is the simulator's part.
 */
#include "raft_story.h"
#include "base/mem.h"
#include "raft/wire.h"

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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
