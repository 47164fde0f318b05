/*
 * The leases of a member in memory: ids, TTLs and, on the leader, deadlines.
 *
 * Which leases exist, and how much of a long one was left at its last checkpoint, is part of the replicated
 * state (mvcc.h keeps it on disk). When a lease ends is known to the leader alone: it takes the keep-alives
 * (kvstore/lease_call.c) and proposes the revocations. A table is led for one term at a time:
 *
 *     lead(term): every lease gets what its last checkpoint left of it, or its full TTL, and an election
 *                 timeout on top, since clients could renew nothing while nobody led;
 *     follow():   deadlines are forgotten.
 *
 * All times are of the monotonic clock, so that a jump of the wall clock changes nothing. Changed by the
 * apply thread, the house thread and whoever renews; read by any.
 */
#ifndef C8S_KVSTORE_LEASE_H
#define C8S_KVSTORE_LEASE_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/map.h"
#include <pthread.h>

struct lease_left;

struct lease {
    int64_t id;
    int64_t ttl_s;
    int64_t remaining_s;   /* at the last checkpoint; 0: the full TTL */
    uint64_t deadline_ns;  /* while led */
    struct heap_item item; /* key: deadline, or when to propose the revocation again */
    struct heap_item
        checkpoint; /* key: when the next one is due; only leases longer than an interval */
};

struct lease_table {
    pthread_mutex_t lock;
    uint64_t term;          /* led for this term; 0: not led */
    uint64_t checkpoint_ns; /* between two checkpoints of a lease */
    struct map by_id;
    struct heap heap, checkpoints;
};

void lease_table_init(struct lease_table *t, uint64_t checkpoint_ns);
void lease_table_free(struct lease_table *t);
void lease_table_clear(struct lease_table *t);
void lease_table_add(struct lease_table *t, int64_t id, int64_t ttl_s, int64_t remaining_s,
                     uint64_t now_ns);
void lease_table_remove(struct lease_table *t, int64_t id);
bool lease_table_has(struct lease_table *t, int64_t id);
/* A checkpoint has been applied. Sets *ttl_s; false when there is no such lease. */
bool lease_table_set_remaining(struct lease_table *t, int64_t id, int64_t remaining_s,
                               uint64_t now_ns, int64_t *ttl_s);

/* This member leads in `term`: nothing happens when the table is led for it already. */
void lease_table_lead(struct lease_table *t, uint64_t term, uint64_t extend_ns, uint64_t now_ns);
void lease_table_follow(struct lease_table *t);
bool lease_table_is_led(struct lease_table *t, uint64_t term);

enum lease_state {
    LEASE_ABSENT,
    LEASE_LIVE,
    LEASE_EXPIRED,    /* past its deadline, not revoked yet */
    LEASE_CHECKPOINT, /* renewal: its checkpoint must be taken back first */
    LEASE_NOT_LED,    /* the table is not led for that term (any more) */
};
/* TTL and whole seconds left of it (rounded down, as etcd; the full TTL while not led). */
enum lease_state lease_table_get(struct lease_table *t, int64_t id, uint64_t now_ns, int64_t *ttl_s,
                                 int64_t *remaining_s);
/* Full TTL from now on, when the table is led for `term` and the state is LIVE. */
enum lease_state lease_table_renew(struct lease_table *t, uint64_t term, int64_t id,
                                   uint64_t now_ns, int64_t *ttl_s);
/* Up to `max` leases past their deadline; each comes again only retry_ns later. */
size_t lease_table_expired(struct lease_table *t, uint64_t now_ns, uint64_t retry_ns, int64_t *ids,
                           size_t max);
/* Up to `max` leases whose checkpoint is due, and what is left of them. */
size_t lease_table_checkpoints(struct lease_table *t, uint64_t now_ns, struct lease_left *out,
                               size_t max);
size_t lease_table_len(struct lease_table *t);
/* Ascending, in `a`. */
void lease_table_list(struct lease_table *t, struct arena *a, int64_t **ids, size_t *len);

#endif
