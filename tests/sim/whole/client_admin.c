/*
 * What an operator asks of a member: compaction, defragmentation, another leader, an alarm cleared.
 */
#include "shim_net.h"
#include "client.h"

#include "base/arena.h"
#include "base/error.h"
#include "kvstore/alarm.h"
#include "kvstore/kv_defrag.h"

/* ---- compaction, leadership ---- */

static void compacted(void *ctx, int code, int64_t rev)
{
    struct call *c = ctx;
    call_answered(c);
    if (code == 0 && O.compact_rev < c->rev)
        broken("compaction to %lld is acknowledged, but nobody has applied it", (long long)c->rev);
    if (code == 0) {
        counts.compactions++;
        member_saw(c->member, rev);
    }
    call_done(c);
}

static void compact_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    c->rev = MAX(kv_current_revision(c->member->kv) - (int64_t)chance_below(40), 1);
    kv_compact(c->member->kv, c->rev, chance(300), c->member->loop, compacted, c);
}

void client_compact(struct member *m)
{
    call_post(call_new(m, CALL_COMPACT), compact_invoke);
}

static void moved(void *ctx, int code, int64_t rev)
{
    struct call *c = ctx;
    (void)rev;
    trace("leadership moves away from member %u: code %d", c->member->number, code);
    call_done(c);
}

static void move_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    uint64_t to = chance(300) ? 0 : W.members[chance_below(W.members_len)].id;
    kv_move_leader(c->member->kv, to, c->member->loop, moved, c);
}

void client_move_leader(struct member *m)
{
    call_post(call_new(m, CALL_COMPACT), move_invoke);
}

/* ---- defragmentation ---- */

static void *defrag_main(void *arg)
{
    struct member *m = arg;
    static const atomic_bool never;
    struct logdb_defrag_info info;
    struct error err = {.message = ""};
    if (m->state != MEMBER_UP)
        return NULL;
    m->users++;
    int rc = kv_defragment(m->kv, &never, &info, &err);
    trace("member %u is defragmented: code %d %s", m->number, rc, rc ? err.message : "");
    if (rc == 0)
        counts.defrags++;
    if (rc == ERR_CORRUPT && !rot_explains(m, rc))
        broken("member %u: defragmentation: %s", m->number, err.message);
    m->users--;
    return NULL;
}

void client_defrag(struct member *m)
{
    fiber_start(m, "defrag", defrag_main, m)->detached = true;
}

/* ---- alarms ---- */

static void disarmed(void *ctx, int code, int64_t rev)
{
    struct call *c = ctx;
    (void)rev;
    trace("an alarm is cleared at member %u: code %d", c->member->number, code);
    call_done(c);
}

/* Of a damaged disk only when its member is given up: else it is cleared by who is rebuilt. */
static bool may_be_cleared(const struct kv_alarm *a)
{
    const struct member *m = member_of_id(a->member);
    return a->type == KV_ALARM_NOSPACE || !m || m->ruined;
}

static void disarm_invoke(struct loop_task *task)
{
    struct call *c = container_of(task, struct call, task);
    struct kv_alarm *alarms;
    size_t n;
    struct arena a;
    arena_init(&a);
    kv_alarm_list(c->member->kv, &a, &alarms, &n);
    while (n > 0 && !may_be_cleared(&alarms[n - 1]))
        n--;
    if (n)
        kv_alarm_clear(c->member->kv, alarms[n - 1].member, alarms[n - 1].type, c->member->loop,
                       disarmed, c);
    else
        call_done(c);
    arena_free(&a);
}

void client_disarm(struct member *m)
{
    if (m->state == MEMBER_UP && !m->closing &&
        (kv_alarm_active(m->kv, KV_ALARM_NOSPACE) ||
         (W.ruined && kv_alarm_active(m->kv, KV_ALARM_CORRUPT))))
        call_post(call_new(m, CALL_COMPACT), disarm_invoke);
}
