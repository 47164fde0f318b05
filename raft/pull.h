/*
 * Fetching a snapshot from another member without taking part in Raft: for a member whose state is
 * damaged while its log is not (kvstore/kv_integrity.h). The stream is the one a leader sends to a
 * follower that lags (raft/node.h, struct raft_machine_ops), asked for instead of offered; any member
 * has it, since whatever a member has applied is committed.
 */
#ifndef C8S_RAFT_PULL_H
#define C8S_RAFT_PULL_H

#include "raft/node.h"

struct raft_pull_options {
    uint64_t id, cluster_id;            /* who asks */
    unsigned level;                     /* feature level */
    uint64_t peer;                      /* who is asked */
    const char *address;                /* "host:port" */
    struct tls_context *tls;            /* a client context; NULL: plain TCP */
    const struct raft_machine_ops *ops; /* snapshot_begin, _write, _finish, _abort */
    void *machine;
    uint64_t index_min; /* an older snapshot is refused: ERR_UNAVAILABLE */
    uint32_t idle_ms;   /* without a byte for so long: ERR_TIMEOUT */
};

/*
 * Waits for the whole stream; the functions of `ops` run on a thread of its own. On success *out is finished
 * and the caller's, and *meta says what it is of. Not on a loop's thread.
 */
int raft_pull_snapshot(const struct raft_pull_options *o, struct raft_snapshot_writer **out,
                       struct raft_snapshot_meta *meta, struct error *err);

#endif
