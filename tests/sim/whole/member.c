/*
 * A member's process: started, killed, stopped in good order, and started again on the same disk.
 */
#include "shim_net.h"
#include "whole.h"
#include "faults.h"
#include "oracle.h"

#include "base/mem.h"
#include "kvstore/kv.h"
#include "kvstore/members/members.h"
#include <assert.h>
#include <lmdb.h>

uint64_t member_mono_ns(const struct member *m)
{
    return m->mono_base_ns + (now_us() - m->clock_set_us) * m->rate_ppm / 1000;
}

struct member *member_of_id(uint64_t id)
{
    for (uint32_t i = 0; i < W.members_len; i++)
        if (W.members[i].id == id)
            return &W.members[i];
    return NULL;
}

/* ---- start ---- */

static void stopped_by_failure(void *ctx, const struct error *why)
{
    struct member *m = ctx;
    trace("member %u stops: %s", m->number, why->message);
    if (!m->disk_failed && m != W.rotten)
        broken("member %u stops, though its disk is well: %s", m->number, why->message);
    m->how = DEATH_CRASH;
    fiber_die();
}

struct naming {
    char dir[32], name[MEMBERS_MAX][8], url[MEMBERS_MAX][32], boot[32];
    struct str urls[MEMBERS_MAX];
    struct kv_member_config members[MEMBERS_MAX];
};

static void options_make(struct member *m, struct naming *n, struct kv_options *o)
{
    uint32_t n_members = 0;
    /* A founder is told of the founders; who joins, of everybody there may be. */
    for (uint32_t i = 0; i < W.members_len; i++) {
        snprintf(n->name[i], sizeof n->name[i], "m%u", i + 1);
        snprintf(n->url[i], sizeof n->url[i], "http://m%u:2380", i + 1);
        n->urls[i] = str_from(n->url[i]);
        if (i < W.weather.founders || m->seat != SEAT_FOUNDER)
            n->members[n_members++] =
                (struct kv_member_config){str_from(n->name[i]), &n->urls[i], 1};
    }
    snprintf(n->dir, sizeof n->dir, "/sim/m%u", m->number);
    snprintf(n->boot, sizeof n->boot, "boot %llu", (unsigned long long)m->boot);
    *o = (struct kv_options){.data_dir = n->dir,
                             .name = str_from(n->name[m->number - 1]),
                             .cluster_token = STR("etcd-cluster"),
                             .members = n->members,
                             .members_len = n_members,
                             .join_existing = m->seat != SEAT_FOUNDER,
                             .strict_reconfig = true,
                             .learners_max = 2,
                             .disk_reserve_bytes = W.weather.full_us ? 128u << 10 : 0,
                             .on_removed = seat_removed,
                             .on_removed_ctx = m,
                             .map_bytes = 14u << 20,
                             .quota_bytes = 512u << 20,
                             .watch_ring_bytes = W.weather.ring_bytes,
                             .log_keep_entries = W.weather.log_keep,
                             .checkpoint_ms = W.weather.checkpoint_ms,
                             .checkpoint_bytes = 256u << 10,
                             .journal_segment_bytes = W.weather.segment_bytes,
                             .watch_progress_ms = 700,
                             .check_ms = 2500,
                             .compare_ms = 1500,
                             .request_timeout_ms = 2500,
                             .heartbeat_ms = 100,
                             .election_ms = 500,
                             .boot_id = n->boot,
                             .fail_stop = stopped_by_failure,
                             .fail_stop_ctx = m};
}

static void *open_main(void *arg)
{
    struct member *m = arg;
    struct naming *n = mem_zalloc(sizeof *n);
    struct kv_options o;
    struct error err = {.message = "?"};
    options_make(m, n, &o);
    if (m->seat == SEAT_FOUNDER)
        m->id = member_id_from(o.cluster_token, &n->members[m->number - 1]);
    m->loop = loop_start("clients");
    m->kv = kv_open(&o, &err);
    mem_free(n);
    if (!m->kv) {
        trace("member %u does not start: %s", m->number, err.message);
        bool refused = m->seat == SEAT_JOINING && !m->id; /* not added yet, or nobody answers */
        if (m->id && err.code == ERR_DENIED && O.config_index && !seat_in(m)) {
            refused = true;
            seat_removed(m);
        }
        if (rot_explains(m, err.code)) {
            m->ruined = refused = true;
            W.ruined++;
        }
        if (!m->disk_failed && !refused) {
            disk_dump(m->disk);
            broken("member %u does not start: %s", m->number, err.message);
        }
        m->how = DEATH_CRASH;
        fiber_die();
    }
    m->state = MEMBER_UP;
    trace("member %u is up", m->number);
    return NULL;
}

void member_start(struct member *m)
{
    assert(m->state == MEMBER_DOWN);
    m->state = MEMBER_STARTING;
    m->incarnation++;
    m->disk_failed = false;
    m->removed_before = W.removed_len;
    m->users = 0;
    m->closing = false;
    m->rev_seen = 0;
    m->journal_end = m->journal_sure = (struct journal_pos){0};
    m->mono_base_ns = (1 + chance_below(1000)) * 1000000000ull;
    m->clock_set_us = now_us();
    m->rate_ppm =
        1000000 - W.weather.drift_ppm + (uint32_t)chance_below(2 * W.weather.drift_ppm + 1);
    trace("member %u starts", m->number);
    struct fiber *f = fiber_start(m, "main", open_main, m);
    f->detached = true;
}

/* ---- end ---- */

static void ended(struct member *m)
{
    m->state = MEMBER_DOWN;
    m->dying = false;
    m->kv = NULL;
    m->loop = NULL;
    m->node = NULL;
    m->raft = NULL;
    fibers_drop(m);
    while (m->envs.len)
        plain_env_close(m->envs.items[m->envs.len - 1]);
    net_member_died(m);
    disk_calls_close(m);
    disk_process_died(m->disk);
}

void member_crash(struct member *m, enum death how)
{
    if (m->state == MEMBER_DOWN)
        return;
    m->how = how;
    trace("member %u %s", m->number, how == DEATH_POWER ? "loses power" : "crashes");
    W.crashes++;
    clients_member_died(m);
    ended(m);
    if (how == DEATH_POWER) {
        W.powers++;
        m->boot++;
        disk_power_lost(m->disk);
    }
}

static void stop_finished(void *ctx)
{
    struct member *m = ctx;
    if (m->state != MEMBER_STOPPING)
        return; /* it crashed at the last moment */
    trace("member %u has stopped", m->number);
    m->how = DEATH_CRASH;
    clients_member_died(m);
    ended(m);
}

static void *stop_main(void *arg)
{
    struct member *m = arg;
    while (m->users)
        fiber_wait_for(1 * MS);
    m->closing = true;
    kv_close(m->kv);
    loop_join(m->loop);
    later(0, stop_finished, m);
    return NULL;
}

void member_stop(struct member *m)
{
    assert(m->state == MEMBER_UP);
    trace("member %u stops in good order", m->number);
    m->state = MEMBER_STOPPING;
    struct fiber *f = fiber_start(m, "stop", stop_main, m);
    f->detached = true;
}

void members_free(void)
{
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        if (m->state != MEMBER_DOWN) {
            m->how = DEATH_CRASH;
            ended(m);
        }
        disk_free(m->disk);
        vec_free(&m->envs);
    }
}
