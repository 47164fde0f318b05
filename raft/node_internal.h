/*
 * The driver's state, private to raft/node*.c. Fields say which thread they belong to; what crosses
 * threads is handed over by value in jobs, through the queues below or by posting to the loop.
 *
 *   node.c            start, stop, the raft thread's pump, status
 *   node_proposals.c  proposals: waiting, forwarding, their ends
 *   node_reads.c      read index
 *   node_calls.c      questions between the state machines of members
 *   node_journal.c    the journal, and the two threads that share the loop and it
 *   node_apply.c      apply thread, and applying in its place
 *   node_peer.c       peer thread: fetches; runs jobs for the snapshots; the pace of both
 *   node_snapshot.c   snapshots out and in
 */
#ifndef C8S_RAFT_NODE_INTERNAL_H
#define C8S_RAFT_NODE_INTERNAL_H

#include "base/heap.h"
#include "base/list.h"
#include "base/vec.h"
#include "raft/node.h"
#include "raft/node_metrics.h"
#include "raft/pace.h"
#include "raft/transport.h"
#include <pthread.h>
#include <semaphore.h>

#define PROPOSALS_MAX 65536 /* waiting at once, of this member's callers */
#define APPLY_GAP_MAX \
    5000 /* committed and not applied here: more proposals are refused, as etcd does */
#define PROPOSAL_BUCKETS 16384   /* power of two */
#define PROPOSAL_TIMEOUT_MS 5000 /* default */
#define PROPOSE_BATCH_MAX 1024   /* proposals in one call of the core, and in one forward frame */
#define FORWARD_BYTES_MAX (1024 * 1024)
#define READ_ROUNDS_MAX 2     /* read index requests of ours under way */
#define APPLY_BATCH_MAX 16384 /* entries in one state transaction */
#define APPEND_LAZY_BYTES \
    (1024 * 1024)      /* flushed entries that may wait for a transaction to join */
#define APPLY_NEWS 256 /* entries applied at once that are worth waking the raft thread for */
#define SOON_MS 3      /* what may wait for company waits so long */
/* With so many entries at the disk, or proposals on their way to the leader, new ones gather until
 * that is done: fewer and larger batches when there is much to do. */
#define GATHER_MIN 64
/* A batch with fewer entries and bytes is flushed by the thread that has the loop, while flushes take less
 * than QUICK_NS; after STALL_MS in one the other thread takes the loop over. It looks for a second more
 * whether there is another to watch. */
#define FLUSH_HERE_ENTRIES GATHER_MIN
#define FLUSH_HERE_BYTES (64 * 1024)
#define QUICK_NS (2 * NS_PER_MS)
/* So many committed entries at most are applied by the thread that has the loop; so many when they are awaited:
 * where several clients write, the next batch is not to wait for it. */
#define APPLY_HERE_ENTRIES 16
#define APPLY_HERE_AWAITED 2
#define STALL_MS 20
#define WATCH_MS 1000
#define MAINTAIN_MS 100
#define FETCH_ENTRIES_MAX 4096

/* ---- proposals ---- */

enum proposal_state {
    PROPOSAL_WAITING,   /* not in any log: no leader, or not connected to it */
    PROPOSAL_FORWARDED, /* sent to the leader; no answer yet */
    PROPOSAL_ACCEPTED,  /* in a leader's log at (index, term) */
};

struct proposal { /* raft thread, but for the posting and the apply thread's callback */
    struct loop_task task;
    struct raft_node *node;
    struct blob *data;
    bool is_config;
    enum proposal_state state;
    raft_propose_fn *fn;
    void *ctx;
    uint64_t seq;
    uint64_t timeout_ms;
    uint64_t index, term; /* ACCEPTED */
    struct heap_item by_deadline, by_index;
    struct list link;      /* WAITING: in node->waiting, in order of arrival */
    struct proposal *next; /* hash chain */
};

/* ---- reads ---- */

struct read_request {
    struct loop_task task;
    struct raft_node *node;
    raft_read_fn *fn;
    void *ctx;
    uint64_t deadline_ms;
    struct list link;
};

struct read_round { /* one request to the core, for everybody in `requests` */
    struct list link;
    uint64_t context;
    uint64_t sent_ms;
    struct list requests;
};

/* ---- queues between threads ---- */

struct journal_job { /* raft → journal → raft → apply */
    struct list link;
    bool barrier;              /* nothing to write: tells that all before it is flushed */
    struct raft_persist batch; /* entries owned, with references */
};

struct apply_job { /* raft → apply */
    struct list link;
    enum { APPLY_LOG, APPLY_ENTRIES, APPLY_INSTALL } kind;
    struct list batches;         /* LOG: journal_jobs of one persist call */
    struct raft_apply *entries;  /* ENTRIES; owned, with references */
    struct proposal **proposals; /* ENTRIES; parallel; owned: their callbacks are ours to call */
    struct raft_config *configs; /* ENTRIES; what entries' config points to */
    size_t len;
    uint64_t bytes;
    struct raft_snapshot_writer *writer; /* INSTALL */
    struct raft_snapshot_meta meta;
    struct raft_hard_state hard;
};

/*
 * Of jobs, to a thread of the node. A semaphore instead of a condition: who wakes up does not take the
 * mutex first, and a wake-up costs one system call on each side. `asleep` says that the consumer waits
 * and has not been woken yet; a wake-up too many only makes it look once more.
 */
struct queue {
    pthread_mutex_t mutex;
    sem_t wake;
    struct list jobs;
    bool stop;
    bool asleep;
    bool urgent;    /* apply: something in it is awaited, or it is time for housekeeping */
    uint64_t bytes; /* apply: flushed entries that wait for their transaction */
    size_t entries; /* apply: committed ones */
    bool busy;      /* apply: the apply thread or the raft thread is at the state machine */
};

struct apply_scratch { /* one transaction's */
    VEC(struct raft_persist) persisted;
    VEC(struct raft_apply) apply;
};

struct peer_job { /* raft → peer thread → raft */
    struct list link;
    struct loop_task task;
    struct raft_node *node;
    void (*run)(struct peer_job *job);  /* peer thread */
    void (*done)(struct peer_job *job); /* raft thread; frees the job */
};

#define CALL_BUCKETS 1024 /* power of two */
struct call;

struct snapshot_out;
struct snapshot_in;

struct transfer {
    raft_done_fn *fn;
    void *ctx;
    uint64_t deadline_ms;
};

struct raft_node {
    struct raft_node_options options;
    const struct raft_machine_ops *ops;
    void *machine;
    uint64_t epoch; /* of this start; goes into proposals' headers */
    uint32_t tick_ms;
    uint32_t election_ms;

    /* raft thread */
    struct loop *loop;
    struct raft *raft;
    struct raft_transport *transport;
    struct loop_timer tick;
    struct loop_timer soon; /* tells commit indexes, hurries the apply thread, forwards */
    struct loop_deferred pump;
    uint64_t committed_ms; /* when there was last a commit index to tell */
    uint64_t applying_ms;  /* when entries were last handed to the apply thread */
    bool apply_put_off;    /* committed entries wait for the apply thread in no hurry */
    bool apply_here;       /* and now for the loop to be left */
    struct buf frame;      /* scratch */
    bool stopping, retired;
    struct loop_task retire;
    enum raft_role role_seen;
    uint64_t term_seen, leader_seen, leader_changes;

    struct list waiting; /* proposals */
    size_t waiting_len;
    uint64_t unflushed;      /* entries to be flushed and not reported */
    struct list flush_here;  /* journal_jobs that wait for the loop to be left */
    size_t at_journal;       /* journal_jobs, besides those, that are not reported */
    uint64_t forwarded_open; /* proposals forwarded since `forwarded_ms` and not answered */
    uint64_t forwarded_ms;
    struct proposal *buckets[PROPOSAL_BUCKETS];
    size_t proposals_len;
    uint64_t last_seq;
    struct heap by_deadline, by_index;
    uint64_t settled; /* entries up to here have been handed over, or came in a snapshot */
    struct raft_config handed_config; /* after the last entry handed to the apply thread */

    struct list reads_waiting;
    struct list read_rounds;
    size_t read_rounds_len;
    uint64_t last_context;

    struct list calls; /* struct call: questions without an answer yet */
    struct call *call_buckets[CALL_BUCKETS];
    size_t calls_len;
    uint64_t last_call;

    struct transfer transfer; /* fn NULL and deadline 0: none */
    struct pace pace;         /* of what follows */
    struct loop_timer bulk;
    struct list fetches; /* struct fetch_job: stored entries that may not be read yet */
    bool fetch_out;      /* one is with the peer thread */
    struct list snapshots_out;
    struct snapshot_in *snapshot_in;     /* being received; one at a time */
    struct raft_snapshot_writer *staged; /* offered to the core, or being installed */
    bool installing;
    struct raft_snapshot_meta install_meta;
    struct raft_hard_state install_hard;

    /* queues and their threads */
    struct queue journal, apply, peer;
    pthread_t loop_threads[2], apply_thread, peer_thread;

    /* the two threads that share loop and journal (node_journal.c) */
    _Atomic bool loop_left; /* for a flush: who comes first, of the two, has the loop next */
    _Atomic bool loop_watched;
    _Atomic uint64_t loop_left_ns; /* when it was last */
    _Atomic uint64_t flush_ns;     /* what a flush takes, smoothed */

    struct apply_scratch scratch; /* of who has made the apply queue busy */

    /* apply → raft */
    _Atomic uint64_t applied, log_base;
    _Atomic bool applied_posted;
    struct loop_task applied_task;

    /* any thread */
    pthread_mutex_t status_mutex;
    struct raft_node_status status;
    struct {
        struct gauge *has_leader, *is_leader, *committed, *applied, *pending;
        struct counter *leader_changes, *failed, *given_bytes, *given_waits;
    } metrics;
    struct node_metrics peer_metrics; /* raft thread */

    /* stopping */
    pthread_mutex_t stop_mutex;
    pthread_cond_t stopped;
    bool transport_closed;
};

/* node.c */
void node_wake(struct raft_node *n); /* raft thread: pump at the end of this iteration */
void node_pump(struct raft_node *n); /* now */
void node_soon(struct raft_node *n); /* pump within SOON_MS, and hurry what was put off */
uint64_t node_now_ms(const struct raft_node *n);
/* A write failed: nothing is known about what is on disk any more. Ends the process. */
void node_fatal(const char *what, const struct error *err) __attribute__((noreturn));
void queue_init(struct queue *q);
void queue_close(struct queue *q);
void queue_stop(struct queue *q); /* its thread drains it and ends */
void queue_push(struct queue *q, struct list *job);
/* Wake the consumer if it sleeps; the mutex is held and is released here. */
void queue_wake_unlock(struct queue *q, bool wake);
/* The consumer, with the mutex held: sleep until woken or, unless `until` is NULL, until then (on the
 * monotonic clock). False: the time is up. */
bool queue_sleep(struct queue *q, const struct timespec *until);

/* node_proposals.c; raft thread */
void node_send_proposals(struct raft_node *n);
void node_expire_proposals(struct raft_node *n);
/* The proposal that waits for this entry here, taken out of the books; NULL: nobody. */
struct proposal *node_take_proposal(struct raft_node *n, const struct raft_entry *e);
/* Entries up to `index` have been handed over: who waited there for another one has lost. */
void node_settle_proposals(struct raft_node *n, uint64_t index, enum raft_outcome outcome);
void node_cancel_proposals(struct raft_node *n);
bool node_recv_forward(struct raft_node *n, uint64_t from, struct str body);
bool node_recv_forward_reply(struct raft_node *n, uint64_t from, struct str body);
/* Apply thread: the transaction is committed. */
void proposal_applied(struct proposal *p, uint64_t index);

/* node_reads.c; raft thread */
void node_send_reads(struct raft_node *n);
void node_recv_read(struct raft_node *n, const struct raft_read *read);
void node_expire_reads(struct raft_node *n);
void node_retry_reads(struct raft_node *n); /* the leader changed: ask again */
void node_cancel_reads(struct raft_node *n);

/* node_calls.c; raft thread */
bool node_recv_call(struct raft_node *n, uint64_t from, struct str body);
bool node_recv_answer(struct raft_node *n, uint64_t from, struct str body);
void node_expire_calls(struct raft_node *n);
/* No answer will come from `peer` (0: from anybody). */
void node_lose_calls(struct raft_node *n, uint64_t peer, int code);

/* node_journal.c */
void node_journal_push(struct raft_node *n, const struct raft_persist *batch); /* NULL: barrier */
void *node_loop_thread(void *arg);    /* begins with the loop */
void *node_journal_thread(void *arg); /* begins with the journal */
void journal_job_free(struct journal_job *job);

/* node_apply.c */
void node_apply_entries(struct raft_node *n, const struct raft_ready *ready);
void node_apply_push(struct raft_node *n, struct apply_job *job, bool urgent);
/* What waits for the apply thread waits no longer; `here`: it need not be that thread. */
void node_apply_hurry(struct raft_node *n, bool here);
/* The loop has been left for it: apply what waits, if it is little, or wake the apply thread. */
void node_apply_here(struct raft_node *n);
void *node_apply_thread(void *arg);

/* node_peer.c */
void node_peer_push(struct raft_node *n, struct peer_job *job);
void *node_peer_thread(void *arg);
void node_fetch(struct raft_node *n, const struct raft_fetch *fetch);
void node_cancel_fetches(struct raft_node *n);
/* May a follower that lags be given more now? If not, all of them are looked at again when one may. */
bool node_may_give(struct raft_node *n);
/* It was given so many bytes. */
void node_given(struct raft_node *n, uint64_t bytes);
void node_bulk(struct loop_timer *timer);

/* node_snapshot.c; raft thread */
void node_send_snapshot(struct raft_node *n, uint64_t peer);
bool node_recv_channel(struct raft_node *n, uint64_t from, struct raft_channel *channel);
void node_go_on_sending(struct raft_node *n);
void node_expire_snapshots(struct raft_node *n);
void node_install(struct raft_node *n, const struct raft_ready *ready);
void node_barrier_passed(struct raft_node *n);
void node_installed(struct raft_node *n);

#endif
