/*
 * The insides of the watch hub, shared by watch.c (ring, shards, delivery), index.c (who wants an
 * event) and past.c (watchers behind the ring). Nobody else includes this.
 */
#ifndef C8S_KVSTORE_WATCH_STATE_H
#define C8S_KVSTORE_WATCH_STATE_H

#include "base/list.h"
#include "base/map.h"
#include "kvstore/watch/watch.h"
#include "net/loop.h"
#include <pthread.h>

typedef VEC(struct kv_watch *) watch_vec;
typedef VEC(struct kv_event *) event_vec;

/*
 * A shard's watchers by what they watch: exact keys; prefixes (ranges that hold exactly the keys with a
 * prefix), with the set of prefix lengths in use; and any other range, tried one by one.
 */
struct watch_index {
    struct map exact;    /* key → watch_vec * */
    struct map prefixes; /* prefix → watch_vec * */
    VEC(struct prefix_length {
        size_t len;
        size_t used;
        bool
            alike; /* they all end in `last`: nearly every prefix is a path's, and most keys have no slash there */
        char last;
    })
    lengths; /* ascending */
    watch_vec others;
};

void watch_index_init(struct watch_index *x);
void watch_index_free(struct watch_index *x);
void watch_index_add(struct watch_index *x, struct kv_watch *w);
void watch_index_remove(struct watch_index *x, struct kv_watch *w);
/* Calls fn for every watch whose range has the key; fn must not change the index. */
void watch_index_match(const struct watch_index *x, struct str key,
                       void (*fn)(void *ctx, struct kv_watch *w), void *ctx);

/*
 *            kv_watch                  caught up               pause, ring overtaken, big revision
 *   (new) ──────────▶ CATCH_UP ───────────────────▶ LIVE ─────────────────────────▶ PAUSED, CATCH_UP
 *                      │    ▲                                                          │ resume
 *        behind the ring    │ slice delivered                                          ▼
 *                      ▼    │                                                       CATCH_UP
 *                     HISTORY                        any ──▶ ENDED (closed called or due)
 */
enum watch_state { WATCH_CATCH_UP, WATCH_HISTORY, WATCH_LIVE, WATCH_ENDED };

struct kv_watch {
    atomic_uint refs; /* user, history request */
    struct watch_shard *shard;
    struct key_range range; /* strings owned: `bytes` */
    char *bytes;
    enum { WATCH_EXACT, WATCH_PREFIX, WATCH_RANGE } index_kind;
    struct kv_watch_request request;
    struct kv_watch_callbacks callbacks;
    void *ctx;

    enum watch_state state;
    bool paused;
    bool user_closed; /* kv_watch_close was called: no callback any more */
    bool progress_wanted;
    bool delivered_since_progress;
    bool partial; /* the last batch was one */
    int end_code; /* ENDED: what `closed` is still to be told; 0: told */
    int64_t end_compact_rev;
    /* First version not delivered yet. While LIVE, everything up to the shard's position counts as
     * delivered too. */
    struct kv_revid next;
    event_vec pending; /* references; of the delivery under way only */
    struct list link;  /* shard.watches */
    struct list work;  /* shard.work, when it needs attention in the next run */
};

/* The watchers of one loop; touched on its thread, except `posted` and the reference count. */
struct watch_shard {
    atomic_uint refs; /* hub, each watch, a posted task */
    struct watch_hub *hub;
    struct loop *loop;
    struct loop_task task;
    atomic_bool posted;
    atomic_bool progress_due;
    int64_t pos;              /* revisions up to here have been delivered to LIVE watchers */
    struct watch_index index; /* LIVE watchers */
    struct list watches;
    struct list work;
    watch_vec touched;
    struct list link; /* hub.shards */
};

struct watch_hub {
    atomic_uint refs; /* owner, each shard */
    struct watch_hub_options o;
    atomic_bool closing;
    atomic_size_t watchers, slow;

    pthread_mutex_t lock;          /* ring, shards, history queue */
    struct watch_revision *ring;   /* circular; revisions ring_first … ring_last */
    size_t ring_cap, ring_head;    /* ring_head: slot of ring_first */
    int64_t ring_first, ring_last; /* empty: first = last + 1 */
    size_t ring_bytes;
    struct list shards;

    pthread_cond_t history_wake;
    struct list history; /* struct history_request */
    pthread_t history_thread;
};

void watch_ref(struct kv_watch *w);
void watch_unref(struct kv_watch *w);
void shard_post(struct watch_shard *s);
void shard_unref(struct watch_shard *s);
/* The watch needs attention: catch up, or be told its end. On the loop's thread. */
void watch_enqueue(struct kv_watch *w);
void watch_end(struct kv_watch *w, int code, int64_t compact_rev);
/* Deliver w->pending; false when the watch was closed in the callback. */
bool watch_deliver(struct kv_watch *w, int64_t rev, bool partial);
bool watch_wants(const struct kv_watch *w, const struct kv_event *e);

/* Ask the history thread for the next slice; the watch is in HISTORY until it comes. */
void watch_history_request(struct kv_watch *w);
void *watch_history_main(void *hub);

#endif
