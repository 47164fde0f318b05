/*
 * A member's driver under simulation: the same contract with the core as raft/node.h, with the journal
 * thread, the apply thread and the peer thread as events.
 */
#include "sim.h"

#include <assert.h>

struct sim_member *sim_member(struct sim *s, uint64_t id)
{
    assert(id >= 1 && id <= s->members_len);
    return &s->members[id - 1];
}

static struct sim_event *member_after(struct sim *s, struct sim_member *m, uint64_t delay,
                                      void (*fn)(struct sim *s, struct sim_event *e))
{
    struct sim_event *e = sim_after(s, delay, fn);
    e->member = m->id;
    e->incarnation = m->incarnation;
    return e;
}

/* ---- journal ---- */

static void journal_start(struct sim *s, struct sim_member *m);
static void apply_start(struct sim *s, struct sim_member *m);
static void install_try(struct sim *s, struct sim_member *m);

static struct sim_job *job_new(struct sim_member *m)
{
    struct sim_job *j = mem_zalloc(sizeof *j);
    vec_push(&m->jobs, j);
    return j;
}

static void flush_done(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = sim_member(s, e->member);
    struct sim_disk *d = &m->disk;
    m->flushing = false;
    uint64_t seq = 0;
    for (size_t i = 0; i < d->journal.len; i++) {
        struct sim_record *r = d->journal.items[i];
        if (r->pos <= d->flushed || r->pos > e->arg)
            continue;
        seq = r->seq;
        if (r->entries.len) {
            const struct raft_entry *last = &r->entries.items[r->entries.len - 1];
            d->promised_last = last->index;
            d->promised_last_term = last->term;
        }
        job_new(m)->pos = r->pos;
        m->jobs.items[m->jobs.len - 1]->record = r;
    }
    d->flushed = e->arg;
    assert(seq > 0);
    raft_persisted(m->raft, seq);
    journal_start(s, m);
    apply_start(s, m);
    sim_pump(s, m);
}

/* Write everything queued as records, then flush them together. */
static void journal_start(struct sim *s, struct sim_member *m)
{
    if (m->flushing || m->queue.len == 0)
        return;
    for (size_t i = 0; i < m->queue.len; i++) {
        m->queue.items[i]->pos = ++m->disk.written;
        vec_push(&m->disk.journal, m->queue.items[i]);
    }
    vec_clear(&m->queue);
    m->flushing = true;
    uint64_t latency = 50 + sim_rand(s, s->calm ? 500 : s->weather.flush_us);
    if (m->stalled && !s->calm)
        latency = sim_rand(s, 3000 * SIM_MS);
    member_after(s, m, latency, flush_done)->arg = m->disk.written;
}

static void queue_persist(struct sim *s, struct sim_member *m, const struct raft_persist *p)
{
    struct sim_record *r = mem_zalloc(sizeof *r);
    r->seq = p->seq;
    r->hard = p->hard;
    uint64_t previous = p->entries_len ? raft_term_at(m->raft, p->entries[0].index - 1) : 0;
    for (size_t i = 0; i < p->entries_len; i++) {
        const struct raft_entry *e = &p->entries[i];
        vec_push(&r->entries, *e);
        blob_ref(e->data);
        sim_check_entry(s, m->id, e, previous);
        previous = e->term;
    }
    vec_push(&m->queue, r);
    journal_start(s, m);
}

/* ---- apply ---- */

static void apply_one(struct sim *s, struct sim_member *m, const struct raft_entry *e)
{
    struct sim_db *db = &m->disk.live;
    if (e->index != db->applied + 1)
        sim_fail(s, "member %llu: applies %llu after %llu", (unsigned long long)m->id,
                 (unsigned long long)e->index, (unsigned long long)db->applied);
    db->digest = (db->digest ^ sim_content(e)) * 0x9e3779b97f4a7c15ull + e->term;
    db->applied = e->index;
    db->applied_term = e->term;
    if (e->kind == RAFT_ENTRY_CONFIG) {
        struct raft_change change;
        if (raft_change_decode(raft_entry_payload(e), &change, NULL) == 0 &&
            raft_config_change(&db->config, &change, &db->config, NULL) == 0) {
            s->checks.changes_applied++;
            if (raft_role(m->raft) == RAFT_LEADER)
                sim_ambush(s, m->id);
        }
    }
    sim_check_applied(s, m, e, db->digest);
}

static void job_run(struct sim *s, struct sim_member *m, struct sim_job *j)
{
    if (j->record)
        sim_disk_append(s, &m->disk.live, j->record, m->id);
    for (size_t i = 0; i < j->apply.len; i++) {
        apply_one(s, m, &j->apply.items[i]);
        blob_unref(j->apply.items[i].data);
    }
    vec_free(&j->apply);
    mem_free(j);
}

static void apply_done(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = sim_member(s, e->member);
    m->applying = false;
    size_t n = 1 + (size_t)sim_rand(s, m->jobs.len);
    for (size_t i = 0; i < n; i++)
        job_run(s, m, m->jobs.items[i]);
    memmove(m->jobs.items, m->jobs.items + n, (m->jobs.len - n) * sizeof m->jobs.items[0]);
    m->jobs.len -= n;
    struct sim_db *db = &m->disk.live;
    raft_applied(m->raft, db->applied);
    if (db->applied > db->base_index + 2 * s->weather.retain) {
        sim_db_compact(db, db->applied - s->weather.retain);
        raft_compacted(m->raft, db->base_index);
    }
    apply_start(s, m);
    install_try(s, m);
    sim_pump(s, m);
}

static void apply_start(struct sim *s, struct sim_member *m)
{
    if (m->applying || m->jobs.len == 0)
        return;
    m->applying = true;
    member_after(s, m, 20 + sim_rand(s, s->calm ? 200 : 20 * SIM_MS), apply_done);
}

static void queue_apply(struct sim *s, struct sim_member *m, const struct raft_ready *ready)
{
    struct sim_job *j = job_new(m);
    for (size_t i = 0; i < ready->apply_len; i++) {
        vec_push(&j->apply, ready->apply[i]);
        blob_ref(ready->apply[i].data);
    }
    apply_start(s, m);
}

/* ---- fetches ---- */

static void fetch_done(struct sim *s, struct sim_event *e)
{
    struct raft_fetch *f = e->data;
    struct sim_member *m = sim_member(s, e->member);
    const struct sim_db *db = &m->disk.live;
    size_t n = 0;
    const struct raft_entry *first = NULL;
    if (f->lo > db->base_index && f->lo <= f->hi && f->hi <= sim_db_last(db)) {
        first = &db->log.items[f->lo - db->base_index - 1];
        uint64_t bytes = 0, most = f->hi - f->lo + 1;
        while (n < most && (n == 0 || bytes + raft_entry_size(&first[n]) <= f->bytes_max))
            bytes += raft_entry_size(&first[n++]);
    }
    raft_fetched(m->raft, f, first, n);
    sim_pump(s, m);
    mem_free(f);
}

static void fetch_drop(struct sim_event *e)
{
    mem_free(e->data);
}

/* ---- snapshots ---- */

struct transfer {
    uint64_t from, to;
    uint64_t incarnation; /* of the sender */
    struct raft_message message;
    struct sim_snapshot *snapshot;
};

static void transfer_free(struct sim_event *e)
{
    struct transfer *t = e->data;
    mem_free(t->message.snapshot);
    mem_free(t->snapshot);
    mem_free(t);
}

/* The stream ends: staged at the receiver and offered to its core, or lost on the way. */
static void transfer_done(struct sim *s, struct sim_event *e)
{
    struct transfer *t = e->data;
    struct sim_member *to = sim_member(s, t->to), *from = sim_member(s, t->from);
    uint64_t index = t->snapshot->meta.index;
    bool ok = to->alive && sim_link_up(s, t->from, t->to) && !to->staged &&
              (s->calm || !sim_chance(s, 200));
    if (ok) {
        to->staged = t->snapshot;
        t->snapshot = NULL;
        sim_trace(s, "%llu staged snapshot %llu", (unsigned long long)to->id,
                  (unsigned long long)index);
        raft_step(to->raft, &t->message);
        sim_pump(s, to);
        if (to->staged && !to->install_pending) { /* not wanted */
            mem_free(to->staged);
            to->staged = NULL;
        }
    }
    if (from->alive && from->incarnation == t->incarnation) {
        raft_snapshot_sent(from->raft, t->to, index, ok);
        sim_pump(s, from);
    }
    transfer_free(e);
}

static void snapshot_send(struct sim *s, struct sim_member *m, uint64_t peer)
{
    const struct sim_db *db = &m->disk.live;
    struct transfer *t = mem_zalloc(sizeof *t);
    t->from = m->id;
    t->to = peer;
    t->incarnation = m->incarnation;
    t->snapshot = mem_zalloc(sizeof *t->snapshot);
    t->snapshot->meta = (struct raft_snapshot_meta){db->applied, db->applied_term, db->config};
    t->snapshot->digest = db->digest;
    t->message = (struct raft_message){
        .type = RAFT_MSG_SNAPSHOT, .from = m->id, .to = peer, .term = raft_term(m->raft)};
    t->message.snapshot = mem_dup(&t->snapshot->meta, sizeof t->snapshot->meta);
    struct sim_event *e = sim_after(s, sim_rand(s, (s->calm ? 20 : 300) * SIM_MS), transfer_done);
    e->data = t;
    e->drop = transfer_free;
}

static void install_done(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = sim_member(s, e->member);
    struct sim_disk *d = &m->disk;
    struct sim_snapshot *snap = m->staged;
    sim_db_free(&d->live);
    d->live = (struct sim_db){.base_index = snap->meta.index,
                              .base_term = snap->meta.term,
                              .hard = m->install_hard,
                              .config = snap->meta.config,
                              .applied = snap->meta.index,
                              .applied_term = snap->meta.term,
                              .digest = snap->digest,
                              .journal_pos = d->written};
    d->promised_last = 0; /* an installation is durable at once, in one step, journal included */
    sim_db_copy(&d->checkpoint, &d->live);
    while (d->journal.len)
        sim_record_free(vec_pop(&d->journal));
    d->flushed = d->written;
    mem_free(snap);
    m->staged = NULL;
    m->install_pending = m->applying = false;
    s->checks.snapshots_installed++;
    sim_trace(s, "%llu installed snapshot %llu", (unsigned long long)m->id,
              (unsigned long long)d->live.applied);
    raft_snapshot_installed(m->raft);
    sim_pump(s, m);
}

/* Earlier batches and applies finish first. */
static void install_try(struct sim *s, struct sim_member *m)
{
    if (!m->install_pending || m->flushing || m->queue.len || m->jobs.len || m->applying)
        return;
    m->applying = true; /* nothing else meanwhile */
    member_after(s, m, 100 + sim_rand(s, 30 * SIM_MS), install_done);
}

/* ---- the pump ---- */

static void handle(struct sim *s, struct sim_member *m, const struct raft_ready *ready)
{
    if (ready->persist.seq)
        queue_persist(s, m, &ready->persist);
    for (size_t i = 0; i < ready->messages_len; i++)
        sim_send(s, &ready->messages[i]);
    if (ready->apply_len)
        queue_apply(s, m, ready);
    for (size_t i = 0; i < ready->reads_len; i++)
        sim_check_read(s, m, &ready->reads[i]);
    for (size_t i = 0; i < ready->fetches_len; i++) {
        struct sim_event *e = member_after(s, m, 50 + sim_rand(s, 5 * SIM_MS), fetch_done);
        e->data = mem_dup(&ready->fetches[i], sizeof ready->fetches[i]);
        e->drop = fetch_drop;
    }
    for (size_t i = 0; i < ready->snapshots_len; i++)
        snapshot_send(s, m, ready->snapshots[i]);
    if (ready->install) {
        assert(m->staged && m->staged->meta.index == ready->install->index);
        m->install_pending = true;
        m->install_hard = ready->install_hard;
    }
}

void sim_pump(struct sim *s, struct sim_member *m)
{
    struct raft_ready ready;
    sim_check_member(s, m);
    while (raft_take_ready(m->raft, &ready))
        handle(s, m, &ready);
    install_try(s, m);
}

/* ---- life ---- */

static void tick(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = sim_member(s, e->member);
    if (!s->calm && sim_chance(s, 5))
        m->tick_us =
            SIM_TICK_US * (60 + sim_rand(s, 90)) / 100; /* the clock drifts otherwise now */
    raft_tick(m->raft);
    sim_pump(s, m);
    member_after(s, m, m->tick_us, tick);
}

static void checkpoint(struct sim *s, struct sim_event *e)
{
    struct sim_member *m = sim_member(s, e->member);
    if (!m->install_pending)
        sim_disk_checkpoint(s, &m->disk);
    member_after(s, m, s->weather.checkpoint_us / 2 + sim_rand(s, s->weather.checkpoint_us),
                 checkpoint);
}

/* Term runs of the stored log, as the core wants them. */
static void boot_from(const struct sim_db *db, struct raft_boot *boot)
{
    VEC(struct raft_term_run) runs = {0};
    for (size_t i = 0; i < db->log.len; i++)
        if (runs.len == 0 || runs.items[runs.len - 1].term != db->log.items[i].term)
            vec_push(&runs, (struct raft_term_run){db->log.items[i].index, db->log.items[i].term});
    *boot = (struct raft_boot){.hard = db->hard,
                               .config = db->config,
                               .applied = db->applied,
                               .base_index = db->base_index,
                               .base_term = db->base_term,
                               .runs = runs.items,
                               .runs_len = runs.len,
                               .last_index = sim_db_last(db),
                               .tail = db->log.items + (db->applied - db->base_index),
                               .tail_len = (size_t)(sim_db_last(db) - db->applied)};
}

void sim_member_start(struct sim *s, struct sim_member *m)
{
    assert(!m->alive);
    sim_disk_recover(s, m);
    m->incarnation++;
    m->alive = true;
    m->tick_us = SIM_TICK_US * (s->calm ? 100 : 60 + sim_rand(s, 90)) / 100;
    struct raft_params params;
    raft_params_default(&params);
    params.id = m->id;
    params.seed = rng_next(&s->rng);
    params.heartbeat_ticks = 2;
    params.election_ticks = 10;
    params.append_bytes_max = 64 + (uint32_t)sim_rand(s, 300);
    params.inflight_max = 1 + (uint32_t)sim_rand(s, 8);
    params.inflight_bytes_max = 100 + sim_rand(s, 2000);
    params.unstable_bytes_max = 2000 + sim_rand(s, 4000);
    params.cache_bytes_max = sim_rand(s, 600);
    params.pending_reads_max = 16;
    params.faults = s->faults;
    struct raft_boot boot;
    struct error err;
    boot_from(&m->disk.live, &boot);
    if (raft_new(&params, &boot, &m->raft, &err) < 0)
        sim_fail(s, "member %llu: does not start: %s", (unsigned long long)m->id, err.message);
    mem_free((void *)boot.runs);
    sim_check_restart(s, m);
    m->role_seen = RAFT_FOLLOWER;
    m->term_seen = raft_term(m->raft);
    m->commit_seen = 0;
    sim_trace(s, "%llu starts term=%llu vote=%llu last=%llu applied=%llu",
              (unsigned long long)m->id, (unsigned long long)raft_term(m->raft),
              (unsigned long long)raft_vote(m->raft), (unsigned long long)raft_last_index(m->raft),
              (unsigned long long)boot.applied);
    member_after(s, m, sim_rand(s, m->tick_us) + 1, tick);
    member_after(s, m, s->weather.checkpoint_us / 2 + sim_rand(s, s->weather.checkpoint_us),
                 checkpoint);
    sim_pump(s, m);
}

static void volatile_state_free(struct sim_member *m)
{
    raft_free(m->raft);
    m->raft = NULL;
    while (m->queue.len)
        sim_record_free(vec_pop(&m->queue));
    for (size_t i = 0; i < m->jobs.len; i++) {
        struct sim_job *j = m->jobs.items[i];
        for (size_t k = 0; k < j->apply.len; k++)
            blob_unref(j->apply.items[k].data);
        vec_free(&j->apply);
        mem_free(j);
    }
    vec_clear(&m->jobs);
    mem_free(m->staged);
    m->staged = NULL;
    m->install_pending = m->flushing = m->applying = false;
}

void sim_member_crash(struct sim *s, struct sim_member *m, bool power)
{
    assert(m->alive);
    sim_trace(s, "%llu crashes power=%d", (unsigned long long)m->id, power);
    volatile_state_free(m);
    m->alive = false;
    s->checks.crashes++;
    sim_disk_crash(s, &m->disk, power);
}

void sim_member_free(struct sim_member *m)
{
    volatile_state_free(m);
    vec_free(&m->queue);
    vec_free(&m->jobs);
    sim_disk_free(&m->disk);
}
