/*
 * The leases of a member in memory: ids, TTLs and deadlines. Which leases exist is part of the
 * replicated state (mvcc.h keeps them on disk); when they end is not: only the leader acts on deadlines, by
 * proposing a revocation. Every grant and keep-alive comes through the log, so each member knows a
 * deadline about as well as the leader; a new leader grants every lease its full TTL again.
 *
 * Changed by the apply thread, read by any.
 */
#ifndef C8S_KVSTORE_LEASE_H
#define C8S_KVSTORE_LEASE_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/map.h"
#include <pthread.h>

struct lease {
    int64_t id;
    int64_t ttl_s;
    uint64_t deadline_ns;  /* monotonic */
    struct heap_item item; /* key: deadline, or when to propose the revocation again */
};

struct lease_table {
    pthread_mutex_t lock;
    struct map by_id;
    struct heap heap;
};

void lease_table_init(struct lease_table *t);
void lease_table_free(struct lease_table *t);
void lease_table_clear(struct lease_table *t);
void lease_table_add(struct lease_table *t, int64_t id, int64_t ttl_s, uint64_t now_ns);
void lease_table_remove(struct lease_table *t, int64_t id);
/* TTL and what remains of it; false when there is no such lease. */
bool lease_table_get(struct lease_table *t, int64_t id, uint64_t now_ns, int64_t *ttl_s,
                     int64_t *remaining_s);
bool lease_table_has(struct lease_table *t, int64_t id);
/* Full TTL from now on; false when there is no such lease. */
bool lease_table_renew(struct lease_table *t, int64_t id, uint64_t now_ns, int64_t *ttl_s);
void lease_table_renew_all(struct lease_table *t, uint64_t now_ns);
/* Up to `max` leases past their deadline; each comes again only retry_ns later. */
size_t lease_table_expired(struct lease_table *t, uint64_t now_ns, uint64_t retry_ns, int64_t *ids,
                           size_t max);
size_t lease_table_len(struct lease_table *t);
/* Ascending, in `a`. */
void lease_table_list(struct lease_table *t, struct arena *a, int64_t **ids, size_t *len);

#endif
