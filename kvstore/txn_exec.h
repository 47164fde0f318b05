/*
 * Running one transaction against a state: decide the branches, check, execute, build the answer.
 *
 * All comparisons, also those of nested transactions, look at the state before; so do the checks
 * (leases exist, keys exist where they must, revisions can be read). After the checks nothing can fail
 * but the disk: a transaction happens as a whole or not at all, alike on every member.
 */
#ifndef C8S_KVSTORE_TXN_EXEC_H
#define C8S_KVSTORE_TXN_EXEC_H

#include "kvstore/lease.h"
#include "kvstore/mvcc.h"

struct txn_exec {
    struct mvcc_view view;    /* of the state before */
    struct mvcc_write *write; /* NULL for a transaction that only reads */
    struct lease_table *leases;
    int64_t rev; /* newest complete revision before */
    int64_t compact_rev;
    struct arena *scratch;        /* for the run only */
    struct kv_txn_result *result; /* NULL: nobody waits for an answer */
    size_t bytes_left;            /* of the answer */
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; past it ERR_TIMEOUT. 0, for whatever writes: none */
    /* the rest is txn_exec's own */
    bool *branches; /* which branch each transaction takes, in order of the walk */
    size_t branches_len, branches_cap, next_branch;
    bool too_large;
};

/*
 * 0: done (result filled in, if there is one). A KV_ERR_* or ERR_COMPACTED, ERR_INVALID: refused, with
 * nothing changed; result->code says it too. ERR_IO, ERR_CORRUPT: the disk; the caller stops.
 */
int txn_exec_run(struct txn_exec *x, const struct kv_txn_request *t, struct error *err);

/* Is this the kind of failure that stops the member? */
static inline bool txn_exec_is_fatal(int rc)
{
    return rc == ERR_IO || rc == ERR_CORRUPT || rc == ERR_INTERNAL;
}

struct kv_txn_result *txn_result_new(void);
void txn_result_fail(struct kv_txn_result *r, int code, const char *message);

#endif
