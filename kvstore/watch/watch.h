/*
 * The watch hub: from committed transactions to watchers.
 *
 *     apply thread ──hub_publish──▶ ring of recent revisions ──(one wake-up per loop)──▶ shard of a loop
 *                                                                                          │ index
 *     history thread ◀── watchers behind the ring; one slice under way per watcher ──────▶ watchers
 *
 * Nobody queues events for a watcher. The ring holds recent revisions once, for all; each loop has a
 * shard with a position in the ring and an index of its watchers, and delivers on its own thread. A watcher
 * that is paused or falls behind the ring holds nothing but a revision number; it continues from
 * history in LMDB, slice by slice, each asked for only when the one before has been delivered, until the
 * ring has what it needs. So a slow watcher costs no memory and delays nobody.
 *
 * A revision with more than WATCH_REV_EVENTS_MAX changes (a delete of a million keys) is never in
 * memory: the ring marks it, and every watcher that meets the mark takes the detour over history.
 */
#ifndef C8S_KVSTORE_WATCH_WATCH_H
#define C8S_KVSTORE_WATCH_WATCH_H

#include "base/vec.h"
#include "kvstore/mvcc.h"

#define WATCH_REV_EVENTS_MAX 1024
#define WATCH_REV_BYTES_MAX (4u << 20)

struct watch_hub;
struct kv_watch;

/* All changes of one revision, while they are being made (apply thread). */
struct watch_revision {
    int64_t rev;
    struct kv_event **events; /* references; NULL with history_only */
    uint32_t events_len, events_cap;
    bool history_only;
    size_t bytes;
};

struct watch_hub_options {
    struct kv *kv;
    struct logdb *db;
    const struct mvcc_trees *trees;
    size_t ring_bytes;
    void (*cache_free)(void *cached);
};

struct watch_hub *watch_hub_new(const struct watch_hub_options *o, int64_t rev);
/* Every watch gets `closed` on its loop; joins the history thread. Shards and watches live on until their loops
 * have let go of them. */
void watch_hub_close(struct watch_hub *h);

struct kv_watch *watch_hub_watch(struct watch_hub *h, const struct kv_watch_request *request,
                                 struct loop *loop, const struct kv_watch_callbacks *callbacks,
                                 void *ctx, int64_t current_rev, int64_t compact_rev);

/* A new event with copies of all bytes; `prev` NULL: none. One reference. */
struct kv_event *watch_event_new(const struct watch_hub *h, struct str key,
                                 const struct kv_record *now, const struct kv_record *prev);
void watch_revision_add(struct watch_revision *r, struct kv_event *event); /* takes the reference */
void watch_revision_clear(struct watch_revision *r);

/* After the commit: takes the events of `n` consecutive revisions over and wakes the shards. */
void watch_hub_publish(struct watch_hub *h, struct watch_revision *revs, size_t n);
/* A snapshot replaced the state: nothing before `rev` + 1 will be published; watchers go by history. */
void watch_hub_reset(struct watch_hub *h, int64_t rev);
/* Periodic progress notices are due. */
void watch_hub_progress(struct watch_hub *h);
void watch_hub_count(struct watch_hub *h, size_t *watchers, size_t *slow);

#endif
