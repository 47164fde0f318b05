/*
 * The stage of the core's stories (raft_story.h).
 */
#include "raft_story.h"
#include "base/mem.h"
#include "raft/wire.h"

struct actor actors[N + 1];

struct raft_config voters(uint64_t n)
{
    struct raft_config c = {0};
    for (uint64_t id = 1; id <= n; id++)
        raft_ids_add(&c.voters, id);
    return c;
}

struct raft_boot founding(const struct raft_config *c)
{
    return (struct raft_boot){.hard = {1, 0, 1},
                              .config = *c,
                              .applied = 1,
                              .base_index = 1,
                              .base_term = 1,
                              .last_index = 1};
}

void start(uint64_t id, const struct raft_boot *boot)
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

void start_all(uint64_t n, const struct raft_config *c)
{
    struct raft_boot boot = founding(c), empty = {0};
    for (uint64_t id = 1; id <= n; id++)
        start(id, raft_ids_has(&c->voters, id) || raft_ids_has(&c->learners, id) ? &boot : &empty);
}

void actor_free(struct actor *a)
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

int world_end(void **state)
{
    (void)state;
    for (int id = 1; id <= N; id++)
        actor_free(&actors[id]);
    return 0;
}

void act(struct actor *a)
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

void flush_one(uint64_t id)
{
    struct actor *a = &actors[id];
    assert_true(a->unflushed.len > 0);
    uint64_t seq = a->unflushed.items[0];
    vec_remove(&a->unflushed, 0);
    raft_persisted(a->raft, seq);
    act(a);
}

void flush_all(uint64_t id)
{
    while (actors[id].unflushed.len)
        flush_one(id);
}

void deliver(struct raft_message *m)
{
    struct actor *to = &actors[m->to];
    if (to->raft && !to->cut && !actors[m->from].cut) {
        raft_step(to->raft, m);
        act(to);
    }
    raft_message_clear(m);
}

void deliver_one(void)
{
    for (int id = 1; id <= 3; id++)
        if (actors[id].outbox.len) {
            struct raft_message m = actors[id].outbox.items[0];
            vec_remove(&actors[id].outbox, 0);
            deliver(&m);
            return;
        }
    fail_msg("nobody has anything to send");
}

void settle(void)
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

void lose(uint64_t id)
{
    struct actor *a = &actors[id];
    act(a);
    while (a->outbox.len) {
        struct raft_message m = vec_pop(&a->outbox);
        raft_message_clear(&m);
    }
}

struct raft_message pick(uint64_t id, uint64_t to, enum raft_message_type type)
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

bool sends(uint64_t id, enum raft_message_type type)
{
    struct actor *a = &actors[id];
    act(a);
    for (size_t i = 0; i < a->outbox.len; i++)
        if (a->outbox.items[i].type == type)
            return true;
    return false;
}

void tick(uint64_t id, int times)
{
    while (times-- > 0)
        raft_tick(actors[id].raft);
    act(&actors[id]);
}

void campaign(uint64_t id)
{
    for (int i = 1; i <= N; i++)
        if (actors[i].raft)
            actors[i].raft->election_elapsed = 1000000;
    raft_campaign(actors[id].raft, true, false);
    act(&actors[id]);
}

struct raft *elect(uint64_t id)
{
    campaign(id);
    settle();
    assert_int_equal(raft_role(actors[id].raft), RAFT_LEADER);
    return actors[id].raft;
}

uint64_t propose(uint64_t id, size_t payload)
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

int propose_change(uint64_t id, enum raft_change_op_kind kind, uint64_t member, bool joint)
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
