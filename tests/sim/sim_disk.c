/*
 * The virtual disk of one member, at the level of the journal and the database above it.
 *
 * A record is written, then flushed. A crash of the process loses neither what is written nor LMDB's
 * pages (both are in the page cache). A loss of power keeps some prefix of the records written since
 * the last flush, and of LMDB only what the last checkpoint flushed. Recovery replays the journal
 * behind the database's journal position.
 */
#include "sim.h"

#include <assert.h>

static void entries_free(sim_entries *v)
{
    for (size_t i = 0; i < v->len; i++)
        blob_unref(v->items[i].data);
    vec_free(v);
}

static void entries_push(sim_entries *v, const struct raft_entry *e)
{
    vec_push(v, *e);
    blob_ref(e->data);
}

void sim_record_free(struct sim_record *r)
{
    entries_free(&r->entries);
    mem_free(r);
}

void sim_db_free(struct sim_db *db)
{
    entries_free(&db->log);
}

void sim_db_copy(struct sim_db *to, const struct sim_db *from)
{
    assert(to != from);
    sim_db_free(to);
    *to = *from;
    to->log = (sim_entries){0};
    for (size_t i = 0; i < from->log.len; i++)
        entries_push(&to->log, &from->log.items[i]);
}

void sim_disk_init(struct sim_disk *d, const struct raft_config *config)
{
    *d = (struct sim_disk){0};
    if (config->voters.len > 0)
        d->live = (struct sim_db){.base_index = RAFT_FOUNDING_INDEX,
                                  .base_term = RAFT_FOUNDING_TERM,
                                  .hard = {RAFT_FOUNDING_TERM, 0, RAFT_FOUNDING_INDEX},
                                  .config = *config,
                                  .applied = RAFT_FOUNDING_INDEX,
                                  .applied_term = RAFT_FOUNDING_TERM};
    d->checkpoint = d->live;
}

void sim_disk_free(struct sim_disk *d)
{
    sim_db_free(&d->live);
    sim_db_free(&d->checkpoint);
    for (size_t i = 0; i < d->journal.len; i++)
        sim_record_free(d->journal.items[i]);
    vec_free(&d->journal);
}

uint64_t sim_db_last(const struct sim_db *db)
{
    return db->base_index + db->log.len;
}

uint64_t sim_db_term(const struct sim_db *db, uint64_t index)
{
    if (index == db->base_index)
        return db->base_term;
    if (index < db->base_index || index > sim_db_last(db))
        return 0;
    return db->log.items[index - db->base_index - 1].term;
}

void sim_db_compact(struct sim_db *db, uint64_t base)
{
    if (base <= db->base_index)
        return;
    assert(base <= db->applied);
    size_t n = (size_t)(base - db->base_index);
    db->base_term = sim_db_term(db, base);
    for (size_t i = 0; i < n; i++)
        blob_unref(db->log.items[i].data);
    memmove(db->log.items, db->log.items + n, (db->log.len - n) * sizeof db->log.items[0]);
    db->log.len -= n;
    db->base_index = base;
}

void sim_disk_append(struct sim *s, struct sim_db *db, const struct sim_record *r, uint64_t id)
{
    for (size_t i = 0; i < r->entries.len; i++) {
        const struct raft_entry *e = &r->entries.items[i];
        if (e->index <= db->base_index)
            continue; /* replayed over a database that has applied and compacted it */
        if (e->index > sim_db_last(db) + 1)
            sim_fail(s, "member %llu: journal skips from %llu to %llu", (unsigned long long)id,
                     (unsigned long long)sim_db_last(db), (unsigned long long)e->index);
        while (sim_db_last(db) >= e->index)
            blob_unref(vec_pop(&db->log).data);
        entries_push(&db->log, e);
    }
    db->hard = r->hard;
    db->journal_pos = r->pos;
}

static void journal_cut(struct sim_disk *d, uint64_t pos)
{
    size_t n = 0;
    while (n < d->journal.len && d->journal.items[n]->pos <= pos)
        sim_record_free(d->journal.items[n++]);
    if (n == 0)
        return;
    memmove(d->journal.items, d->journal.items + n,
            (d->journal.len - n) * sizeof d->journal.items[0]);
    d->journal.len -= n;
}

void sim_disk_checkpoint(struct sim *s, struct sim_disk *d)
{
    sim_db_copy(&d->checkpoint, &d->live);
    /* Only behind what the checkpoint covers; records after it are all that a power loss leaves. The
     * fault cuts at the journal's own end. (Apply jobs refer to records: keep those unflushed.) */
    if (s->faults & RAFT_FAULT_JOURNAL_CUT)
        d->checkpoint.journal_pos = d->flushed;
    journal_cut(d, MIN(d->checkpoint.journal_pos, d->live.journal_pos));
}

void sim_disk_crash(struct sim *s, struct sim_disk *d, bool power)
{
    if (!power)
        return;
    uint64_t keep = d->flushed + sim_rand(s, d->written - d->flushed + 1);
    while (d->journal.len && d->journal.items[d->journal.len - 1]->pos > keep)
        sim_record_free(vec_pop(&d->journal));
    d->written = keep;
    sim_db_copy(&d->live, &d->checkpoint);
}

static void replay(struct sim *s, struct sim_member *m, uint64_t upto)
{
    struct sim_disk *d = &m->disk;
    for (size_t i = 0; i < d->journal.len && d->journal.items[i]->pos <= upto; i++)
        if (d->journal.items[i]->pos > d->live.journal_pos)
            sim_disk_append(s, &d->live, d->journal.items[i], m->id);
}

void sim_disk_recover(struct sim *s, struct sim_member *m)
{
    struct sim_disk *d = &m->disk;
    unsigned long long id = m->id;
    replay(s, m, d->flushed);
    /* What was reported durable is judged without the records that merely happened to survive: those
     * may have cut it back. */
    if (d->promised_last > d->live.base_index &&
        sim_db_term(&d->live, d->promised_last) != d->promised_last_term)
        sim_fail(s, "member %llu: entry %llu of term %llu was reported durable and is gone", id,
                 (unsigned long long)d->promised_last, (unsigned long long)d->promised_last_term);
    replay(s, m, d->written);
    d->promised_last = sim_db_last(&d->live);
    d->promised_last_term = sim_db_term(&d->live, d->promised_last);
    d->live.hard.commit = MAX(d->live.hard.commit, d->live.applied);
    d->flushed = d->written; /* what survived is flushed before anything is promised on it */
    if (d->live.applied > sim_db_last(&d->live))
        sim_fail(s, "member %llu: state has applied %llu but the log ends at %llu", id,
                 (unsigned long long)d->live.applied, (unsigned long long)sim_db_last(&d->live));
    if (d->live.hard.commit > sim_db_last(&d->live))
        sim_fail(s, "member %llu: commit index %llu is behind the end of the log %llu", id,
                 (unsigned long long)d->live.hard.commit,
                 (unsigned long long)sim_db_last(&d->live));
}
