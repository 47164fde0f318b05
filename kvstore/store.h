/*
 * The insides of struct kv, shared by the files of the store: kv.c (open, close), request.c (writes),
 * read.c (reads, waiting), apply.c and machine.c (the state machine under Raft), snapshot.c, house.c
 * (background work). The etcd services and the API server do not include this.
 */
#ifndef C8S_KVSTORE_STORE_H
#define C8S_KVSTORE_STORE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/vec.h"
#include "kvstore/alarm.h"
#include "kvstore/auth/auth.h"
#include "kvstore/disk_space.h"
#include "kvstore/lease.h"
#include "kvstore/members/members.h"
#include "kvstore/mvcc.h"
#include "kvstore/proposal.h"
#include "kvstore/quota.h"
#include "kvstore/slow.h"
#include "kvstore/txn_exec.h"
#include "kvstore/watch/watch.h"
#include "net/loop.h"
#include "raft/node.h"
#include <pthread.h>

#define READ_SLICE_NS (50 * 1000 * 1000ull) /* a read transaction is renewed after this */
#define READ_BRIEF_NS (5 * 1000 * 1000ull)  /* a transaction that only reads, on a loop */
#define BULK_KEYS 2000                      /* keys deleted in one transaction of a large delete */
#define PINS_MAX 1024                       /* as many as LMDB readers */

struct driver;

/* A revision that a long walk reads at: compaction leaves it alone until it is let go. */
struct pin {
    int64_t rev; /* 0: free */
};

/* Somebody who waits for the applied index or the watermark to reach `target`. */
struct waiter {
    struct heap_item by_target;
    struct heap_item by_deadline;
    struct kv *kv;
    struct loop *loop;
    kv_revision_fn *cb;
    void *ctx;
    int code;
    int64_t rev;
    struct loop_task task;
};

struct waiter_heap {
    struct heap by_target, by_deadline;
};

#define BUDGET_FLOWS 256 /* flows are told apart by so many remainders */

struct budget_waiter {
    struct list link;
    size_t bytes;
    uint64_t flow;
    struct waiter *waiter;
};

/* A transaction of the apply thread, into which the raft thread may apply as well (machine.c). */
struct apply {
    struct kv *kv;
    struct mvcc_write write;
    struct logdb_txn txn; /* .mdb NULL: none is open */
    uint64_t now_ns;
    uint64_t since_ns; /* its beginning */
    size_t entries, bytes;
    bool visited; /* the raft thread is at it */
};

struct kv {
    struct kv_options o; /* strings and arrays: owned by `arena` */
    struct arena arena;
    struct host *host;
    struct logdb *db;
    struct mvcc_trees trees;
    struct driver *driver;
    uint64_t cluster_id, member_id;

    /* ---- apply thread, or the raft thread in its place ---- */
    struct mvcc_state state;
    struct apply apply; /* between batches: the transaction that is held */
    struct arena apply_arena;
    VEC(struct watch_revision) revisions; /* made by the transaction under way */
    uint64_t log_base;                    /* as last reported to Raft */
    uint64_t log_keep, log_measured_ns; /* entries to keep now, by the log's size; when measured */
    uint64_t log_bytes;                 /* as measured then */
    /* Snapshots on their way to followers: what came since is kept for them (snapshot.c). */
    _Atomic uint32_t snapshots_out;
    _Atomic uint64_t snapshot_index; /* of the oldest */
    _Atomic uint64_t snapshot_log_until_ns;
    uint64_t bulk_index;  /* the large delete that bulk_from belongs to; 0: none */
    struct buf bulk_from; /* where it goes on: what comes before is deleted */

    /* ---- published by them after each batch ---- */
    _Atomic int64_t watermark;
    _Atomic int64_t compacted;
    _Atomic uint64_t applied;
    atomic_bool failed;
    atomic_bool fail_told; /* fail_stop has returned: whoever fails after the first may go on */
    atomic_bool stopping;
    _Atomic unsigned level; /* the cluster's (level.h) */
    atomic_bool learner;    /* this member is one */

    struct lease_table leases;
    struct alarm_set alarms;
    struct members members;
    struct quota quota;
    struct disk_space disk;
    struct integrity *integrity;
    struct auto_compact *auto_compact; /* NULL: off */
    struct slow_log slow_apply, slow_flush;
    atomic_bool rebuilt;          /* the alarm CORRUPT is to be cleared */
    struct list lease_calls;      /* struct lease_call: to be tried again; house_lock */
    _Atomic uint64_t leader_term; /* the term this member leads in; 0: it does not */
    struct auth_store auth;       /* changed by the apply thread only */
    struct watch_hub *hub;

    pthread_mutex_t wait_lock;
    struct waiter_heap index_waiters; /* read index: target is a log index */
    struct waiter_heap rev_waiters;
    atomic_uint waiting; /* in both heaps */

    pthread_mutex_t budget_lock;
    size_t budget_left;
    size_t budget_held[BUDGET_FLOWS]; /* bytes */
    struct list budget_queue;

    pthread_mutex_t pin_lock;
    struct pin pins[PINS_MAX];
    int64_t compacting; /* physical compaction removes up to here; 0: none under way */
    bool pins_hold;     /* and would go further without a pin */

    /* ---- house (leases, timeouts, compaction) and checkpoint threads ---- */
    pthread_mutex_t house_lock;
    pthread_cond_t house_wake, checkpoint_wake;
    pthread_t house_thread, checkpoint_thread;
    bool threads_started;
    atomic_int apply_busy;                  /* compaction gives way */
    atomic_ullong commit_wanted_ns;         /* when somebody last wanted what is held (machine.c) */
    _Atomic uint64_t checkpoint_file_bytes; /* size of data.mdb at the last checkpoint */
    pthread_cond_t checkpoint_done;         /* house_lock */
    bool checkpoint_wanted;                 /* house_lock: at once */
    uint64_t checkpoints_done;              /* house_lock */
    VEC(struct waiter *) compact_waiters;   /* physical compaction; house_lock */
    uint64_t member_seq;                    /* house thread: own MEMBER proposal sent */
    atomic_bool leader;
    atomic_uint in_flight; /* proposals and reads given to the driver */
    pthread_cond_t idle;   /* with wait_lock: in_flight became 0 */

    struct {
        struct gauge *db_size, *db_in_use, *quota, *revision, *compacted, *watchers, *slow_watchers,
            *leases, *defragmenting;
        struct counter *slow_apply;
        struct histogram *fsync, *commit, *transaction, *defrag;
    } metrics; /* all NULL without options.metrics */
};

/* ---- a write waiting for its end (request.c) ---- */

struct pending {
    struct kv *kv;
    enum proposal_kind kind;
    struct loop *loop;
    union {
        kv_txn_fn *txn_cb;
        kv_lease_fn *lease_cb;
        kv_revision_fn *rev_cb;
        kv_auth_fn *auth_cb;
    };
    void *ctx;
    struct kv_txn_result *txn; /* TXN: allocated by whoever ends it first */
    struct kv_lease_result lease;
    int code;
    int64_t rev;
    int64_t compact_rev; /* COMPACT with `physical` */
    bool physical;
    char *token;  /* AUTH: a new one */
    bool applied; /* the state machine filled the answer in */
    struct loop_task task;
};

/* A new one; the caller sets the callback. */
struct pending *pending_new(struct kv *kv, enum proposal_kind kind, struct loop *loop, void *ctx);
/* Put into the proposal who asks. */
void proposal_ask(const struct kv *kv, struct proposal *p, const struct kv_auth_info *who);
/* Propose; takes `p` over. */
void pending_propose(struct pending *p, const struct proposal *proposal);
/* A proposal that is answered with code and revision. */
struct pending *pending_new_rev(struct kv *kv, enum proposal_kind kind, kv_revision_fn *cb,
                                void *ctx);
/* Propose to renew the lease through the log; and to revoke it, if the entry gets this term. */
void lease_renew_logged(struct kv *kv, int64_t id, kv_lease_fn *cb, void *ctx);
void lease_expire_propose(struct kv *kv, int64_t id, uint64_t term, kv_lease_fn *cb);
/* Answer without proposing. */
void pending_fail(struct pending *p, int code, const char *message);
/* Run the callback, on its loop. */
void pending_finish(struct pending *p);

/* ---- apply.c ---- */

/* One committed DATA entry. 0: done; 1: the transaction should be committed and the same entry applied
 * again, there is more to do; < 0: stop the member. */
int apply_entry(struct apply *a, const struct raft_entry *e, struct pending *p, struct error *err);
/* Has it ranges? They hold any number of keys. Else apply_entry does it in one go. */
bool txn_may_take_long(const struct kv_txn_request *t);
extern const struct raft_machine_ops kv_machine_ops;
/* logdb_options.want_commit */
void machine_want_commit(void *ctx, bool ours);
/* machine.c: after a commit, or at start and after a snapshot: publish and release those who wait. */
void kv_publish(struct kv *kv, uint64_t applied);
int kv_load_state(struct kv *kv, struct error *err);

/* ---- read.c ---- */

void waiters_init(struct kv *kv);
void waiters_free(struct kv *kv);
struct waiter *waiter_new(struct kv *kv, struct loop *loop, kv_revision_fn *cb, void *ctx);
/* Ends it: the callback goes to its loop. */
void waiter_end(struct waiter *w, int code, int64_t rev);
void waiters_release(struct kv *kv, uint64_t applied, int64_t rev);
void waiters_expire(struct kv *kv, uint64_t now_ns);
void waiters_cancel_all(struct kv *kv);
/* False: compaction has passed `rev` already. */
bool pin_take(struct kv *kv, int64_t rev, int *slot);
void pin_drop(struct kv *kv, int slot);
/* How far compaction may go now, at most to `target`; remembers it. */
int64_t pin_limit(struct kv *kv, int64_t target);
/* It went no further than a pin that is still there; the house thread is woken when one goes. */
bool pins_hold_compaction(struct kv *kv);

/* ---- lease_call.c ---- */

/* House thread: expiry and checkpoints when leading, calls that are to be tried again. */
void leases_step(struct kv *kv, uint64_t now_ns);
/* Raft thread: another member's question; false when it is none about leases. */
bool lease_recv_call(struct kv *kv, uint64_t from, uint64_t call_id, struct str question);
/* At kv_close, when all threads have ended. */
void lease_calls_cancel(struct kv *kv);

/* ---- house.c ---- */

int house_start(struct kv *kv, struct error *err);
void house_stop(struct kv *kv);
void house_wake(struct kv *kv);
/* On the apply thread, before a transaction: when LMDB's map is filling up with pages that only the next
 * checkpoint makes free again, wait for that checkpoint. A full map would stop the member. */
void checkpoint_make_room(struct kv *kv);
void kv_fail_stop(struct kv *kv, const struct error *why);
void compaction_wait(struct kv *kv, struct waiter *w);

/* ---- metrics.c ---- */

void kv_metrics_register(struct kv *kv);
/* House thread: what is measured from time to time. */
void kv_metrics_step(struct kv *kv, const struct logdb_info *info);

/* ---- kv.c ---- */

/* The store without its threads: for who fills a data directory (restore.c). Only its disk, trees, and what memory
 * keeps of them; no checkpoint is written by closing it. */
struct kv *kv_storage_open(const struct kv_options *options, struct error *err);
void kv_storage_close(struct kv *kv);

/* ---- driver_raft.c ---- */

int driver_start(struct kv *kv, const struct raft_boot *boot,
                 struct error *err); /* sets kv->driver */
void driver_stop(struct driver *d);  /* ends everything given to it */
struct blob *driver_proposal_new(size_t len);
void driver_propose(struct driver *d, struct blob *proposal, raft_propose_fn *fn, void *ctx);
void driver_read_index(struct driver *d, raft_read_fn *fn, void *ctx);
/* Raft thread: somebody waits for what is committed to be applied. */
void driver_hurry(struct driver *d);
/* Any thread: housekeeping on the apply thread is due. */
void driver_nudge(struct driver *d);
void driver_status(struct driver *d, struct raft_node_status *out);
/* raft_node_call and its answer. */
void driver_call(struct driver *d, uint64_t to, struct str question, uint32_t timeout_ms,
                 raft_call_fn *fn, void *ctx);
void driver_answer(struct driver *d, uint64_t to, uint64_t call_id, struct str answer);
void driver_propose_config(struct driver *d, const struct raft_change *change, uint32_t timeout_ms,
                           raft_propose_fn *fn, void *ctx);
/* Where a member is now, by the first of its peer URLs. */
void driver_set_peer(struct driver *d, const struct kv_member *member);
void driver_expel(struct driver *d, uint64_t id); /* it was removed: tell it */
void driver_retire(struct driver *d);             /* this one was */
/* Contexts for peer connections, each one reference; options without certificates: ERR_INVALID. */
int driver_peer_tls(struct kv *kv, struct tls_context **server, struct tls_context **client,
                    struct error *err);
void driver_transfer(struct driver *d, uint64_t to, raft_done_fn *fn, void *ctx);
/* A snapshot from this member, without any driver (raft/pull.h). */
int driver_pull(struct kv *kv, uint64_t peer, struct str url, uint64_t index_min,
                struct raft_snapshot_writer **out, struct error *err);

#endif
