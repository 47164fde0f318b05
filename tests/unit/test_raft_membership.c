/*
 * The core's rules one by one, each as a short story played by hand (raft_story.h): changes of membership, leadership
 * handed over, snapshots.
 */
#include "raft_story.h"
#include "base/mem.h"
#include "raft/wire.h"

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
    while (raft_role(actors[1].raft) != RAFT_LEADER)
        deliver_one();
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
    while (raft_role(actors[1].raft) == RAFT_LEADER) /* commits and applies it */
        deliver_one();
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
