/*
 * Single-key operations judged by the revisions that the store reported with them.
 *
 * The store claims more than that each key is a linearizable register (tests/partition/linearizability.h
 * searches for that without believing any revision): every write has a revision of its own, the order of
 * revisions is the order of effects and respects real time, and an answer with header revision R shows exactly
 * the state after R. With that claim the check needs no search.
 */
#ifndef C8S_ROBUSTNESS_CHECK_REVISIONS_H
#define C8S_ROBUSTNESS_CHECK_REVISIONS_H

#include "tests/robustness/verdict.h"
#include <stddef.h>

enum rev_kind {
    REV_PUT,    /* key := value */
    REV_DELETE, /* key := nothing (value 0) */
    REV_CAS, /* succeeded: key held `expected`, and became value. A failed one is recorded as REV_GET. */
    REV_GET, /* saw value (0: no such key) with mod, create, version */
};

struct rev_op {
    uint32_t key, client;
    enum rev_kind kind;
    bool unknown;             /* writes only; a read without an answer is not recorded */
    bool serializable;        /* a read that may be stale: only bound to its own revision */
    uint64_t value, expected; /* values written are unique over the whole history */
    int64_t revision;         /* header revision; of a write: its own; 0 when unknown */
    int64_t mod, create, version;
    uint64_t start_ns, end_ns;
};

/* Sorts `ops`. A DELETE that found nothing writes nothing: record it as REV_GET of value 0. */
void check_revisions(struct rev_op *ops, size_t n, struct verdict *v);

#endif
