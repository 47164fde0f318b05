/*
 * Disks that rot: bits of one member's disk flip, in what LMDB has stored and in the journal, while it runs. It
 * must serve nothing of that, find it, and be rebuilt from the others; or, when its promises are damaged, refuse to
 * start until an operator has replaced it. One member of at least three, so that the others are enough.
 *
 * What flips are bytes of LMDB's values, in pages in use. LMDB's own headers have no checksum, and a wrong offset
 * there sends it anywhere in a memory that all simulated members share: that is left to tests with real processes
 * (docs/testing.md). In the journal the last record is spared: it cannot be told from one that was never finished.
 */
#include "disk.h"
#include "client.h"

#include "kvstore/kv_members.h"
#include "kvstore/store.h"
#include "raft/log_state.h"
#include <inttypes.h>
#include <lmdb.h>
#include <string.h>

/* On the medium, too, if that has what processes see. */
static void flip(struct inode *f, uint64_t at)
{
    char bit = (char)(1 << chance_below(8));
    bool stored = at < f->durable_len && f->durable[at] == f->data[at];
    if (f->backing && stored) { /* an older page may lie there, and be one of LMDB's own */
        uint64_t page = at & ~4095ull;
        stored =
            page + 4096 <= f->durable_len && memcmp(f->durable + page, f->data + page, 4096) == 0;
    }
    f->data[at] ^= bit;
    if (stored)
        f->durable[at] ^= bit;
    W.flips++;
}

/* Where a value lies in LMDB's file: its page says which one it is. */
static uint64_t value_offset(const MDB_val *v)
{
    uintptr_t address = (uintptr_t)v->mv_data;
    uint64_t page;
    memcpy(&page, (const char *)v->mv_data - (address & 4095), sizeof page);
    return page * 4096 + (address & 4095);
}

static bool random_value(MDB_txn *txn, MDB_val *v)
{
    MDB_dbi dbi = 2 + (MDB_dbi)chance_below(LOGDB_TREES_MAX); /* 0 and 1 are LMDB's own */
    MDB_cursor *c;
    MDB_stat st;
    MDB_val k;
    if (mdb_stat(txn, dbi, &st) || st.ms_entries == 0 || mdb_cursor_open(txn, dbi, &c))
        return false;
    uint64_t nth = chance_below(st.ms_entries);
    int rc = mdb_cursor_get(c, &k, v, MDB_FIRST);
    while (rc == 0 && nth-- > 0)
        rc = mdb_cursor_get(c, &k, v, MDB_NEXT);
    mdb_cursor_close(c);
    return rc == 0 && v->mv_size > 0;
}

static void rot_state(struct member *m)
{
    const struct logdb *db = m->kv->db;
    char path[LOGDB_PATH_MAX + 16];
    MDB_txn *txn;
    MDB_val v;
    snprintf(path, sizeof path, "%s/data.mdb", db->env.dir);
    struct inode *f = disk_find(path, NULL, NULL);
    if (!f || mdb_txn_begin(db->env.mdb, NULL, MDB_RDONLY, &txn))
        return;
    for (int tries = 0; tries < 20; tries++)
        if (random_value(txn, &v)) {
            uint64_t at = value_offset(&v) + chance_below(v.mv_size);
            trace("member %u: a bit of its state flips, at %" PRIu64, m->number, at);
            flip(f, at);
            break;
        }
    mdb_txn_abort(txn);
}

static void rot_journal(struct member *m)
{
    struct journal_pos end = m->journal_sure;
    char path[64];
    if (!end.segment)
        return;
    uint64_t segment = end.segment - (end.segment > 1 && chance(300));
    snprintf(path, sizeof path, "/sim/m%u/journal/%016" PRIx64 ".seg", m->number, segment);
    const uint64_t header = 64; /* of a segment */
    struct inode *f = disk_find(path, NULL, NULL);
    uint64_t to = f && segment < end.segment ? f->len : end.offset;
    if (!f || to <= header)
        return;
    uint64_t at = header + chance_below(to - header);
    trace("member %u: a bit of its journal flips, at %" PRIu64 ":%" PRIu64, m->number, segment, at);
    flip(f, at);
}

static bool enough_without(const struct member *m)
{
    return O.config.voters.len >= 3 && !raft_config_is_joint(&O.config) && seat_in(m) &&
           m->state == MEMBER_UP && !m->closing;
}

/* A member whose promises are lost is replaced, as the store says. */
static void replace(struct member *m)
{
    struct member *by = leading_member();
    if (by)
        client_disarm(by);
    if (!seat_in(m))
        seat_removed(m);
    else if (by && by->state == MEMBER_UP)
        seat_remove(by, m);
}

void happen_rot(void)
{
    struct member *m = W.rotten;
    if (m && m->ruined)
        replace(m);
    if (!m && W.flips == 0)
        m = &W.members[chance_below(W.members_len)];
    if (!m || m->ruined || !enough_without(m))
        return;
    W.rotten = m;
    for (uint64_t n = 1 + chance_below(3); n > 0; n--)
        if (chance(700))
            rot_state(m);
        else
            rot_journal(m);
}

bool rot_explains(const struct member *m, int code)
{
    return m == W.rotten && code == ERR_CORRUPT;
}
