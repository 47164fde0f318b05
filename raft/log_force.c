/*
 * The last survivor's way out (logdb_force_config of raft/log.h), and whether a directory holds a member.
 */
#include "raft/log_state.h"
#include "base/mem.h"
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

bool logdb_exists(struct host *host, const char *dir)
{
    char path[LOGDB_PATH_MAX];
    struct host_file *f;
    snprintf(path, sizeof path, "%s/CURRENT", dir);
    if (host->ops->open(host, path, HOST_OPEN_READ_ONLY, &f) < 0)
        return false;
    host->ops->close(f);
    return true;
}

/* Entries of a batch without the content of those that would change the configuration. */
static bool make_neutral(struct raft_entry *entries, size_t n)
{
    bool changed = false;
    for (size_t i = 0; i < n; i++) {
        if (entries[i].kind != RAFT_ENTRY_CONFIG)
            continue;
        blob_unref(entries[i].data);
        entries[i].data = NULL;
        entries[i].kind = RAFT_ENTRY_EMPTY;
        changed = true;
    }
    return changed;
}

int logdb_force_config(struct logdb_txn *txn, const struct raft_config *config, struct error *err)
{
    struct logdb *db = txn->db;
    size_t want = db->state.last_index - db->state.applied, got = 0, n;
    struct raft_entry *tail = mem_zalloc((want + 1) * sizeof *tail);
    int rc = 0;
    assert(raft_config_valid(config) && !raft_config_is_joint(config));
    while (rc == 0 && got < want) {
        rc = logdb_entries(db, db->state.applied + 1 + got, db->state.last_index, UINT64_MAX,
                           tail + got, want - got, &n, err);
        if (rc == 0 && n == 0)
            rc = error_set(err, ERR_CORRUPT, "log entry %" PRIu64 " is missing",
                           db->state.applied + 1 + got);
        got += rc == 0 ? n : 0;
    }
    if (rc == 0 && make_neutral(tail, got))
        rc = logdb_append_entries(db, txn->mdb, tail, got, err); /* in place of those there */
    if (rc == 0)
        rc = logdb_txn_config(txn, config, err);
    for (size_t i = 0; i < got; i++)
        blob_unref(tail[i].data);
    mem_free(tail);
    return rc;
}
