/*
 * The store, in process: a replicated, versioned map from byte strings to byte strings.
 *
 * The etcd v3 services (kvstore/etcd_*.c) and the API server program against this header; neither
 * sees Raft, the journal or LMDB. The model is etcd's: every write transaction gets the next
 * revision; a key has a create revision, a modification revision, a version and maybe a lease; past
 * revisions can be read and watched until they are compacted.
 *
 *     write   kv_txn ──▶ encode ──▶ raft (journal, quorum) ──▶ apply or raft thread ──▶ LMDB commit ──▶ callback
 *     read    kv_range / kv_scan: an LMDB read transaction on the calling thread, no lock, no queue
 *     watch   LMDB commit ──▶ ring of recent revisions ──▶ each loop's watchers; from history when behind
 *
 * One watermark. Answers, watch events, progress notices and reads are all released by the revision
 * of the last state transaction made on this member (kv_current_revision). A client of one
 * member therefore reads its own writes, and never sees revision N in one place and N-1 in another.
 * The commit of a small transaction may come after its answer, with the next ones' (machine.c): the
 * journal has it, and whoever begins a read waits for that commit.
 *
 * Threads. Every function may be called on any thread unless it says otherwise. An asynchronous
 * function takes a `struct loop *`, and its callback runs exactly once, on that loop's thread, never
 * from inside the call. With loop NULL the callback runs on one of the store's own threads and must
 * be short, must not block and must not call a function of this header that waits (kv_*_wait). The
 * loops given to the store must exist until kv_close has returned.
 *
 * Memory. Requests are copied before the call returns. Results come in an arena of their own.
 */
#ifndef C8S_KVSTORE_KV_H
#define C8S_KVSTORE_KV_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kv;
struct loop;
struct metrics;

/* Failures that the callers' protocols tell apart, beside those of base/error.h. The comment is
 * etcd's gRPC status. ERR_COMPACTED (OutOfRange), ERR_TIMEOUT (outcome unknown), ERR_UNAVAILABLE
 * (no leader, or shutting down) and ERR_CANCELLED are used with their general meaning. */
enum kv_err {
    KV_ERR_FUTURE_REV = -101,      /* OutOfRange: revision not yet reached */
    KV_ERR_KEY_NOT_FOUND = -102,   /* InvalidArgument: ignore_value/ignore_lease on an absent key */
    KV_ERR_LEASE_NOT_FOUND = -103, /* NotFound */
    KV_ERR_LEASE_EXISTS = -104,    /* FailedPrecondition */
    KV_ERR_LEASE_TTL = -105,       /* OutOfRange: TTL above KV_LEASE_TTL_MAX_S */
    KV_ERR_NO_SPACE = -106,        /* ResourceExhausted: quota exceeded; deletes still work */
    KV_ERR_TOO_MANY_OPS = -107,    /* InvalidArgument: more than the asker may have in one txn */
    KV_ERR_TOO_LARGE = -108,       /* InvalidArgument: request above options.request_bytes_max */
    KV_ERR_DUPLICATE_KEY = -109,   /* InvalidArgument: a txn puts one key twice */
    KV_ERR_RESPONSE_TOO_LARGE =
        -110,                 /* applied (if a write), but its answer passes the response limit */
    KV_ERR_READS_LONG = -111, /* kv_txn of a brief request: ask kv_txn_read */
};

#define KV_LEASE_TTL_MAX_S 9000000000ll /* etcd's limit */
#define KV_TXN_DEPTH_MAX 16             /* nesting of transactions */
#define KV_OWN_OPS_MAX 1024             /* operations in one txn of this process's own */

/* ---- opening -------------------------------------------------------------------------------- */

struct kv_member_config {
    struct str name;
    const struct str *peer_urls; /* "https://10.0.0.1:2380" */
    size_t peer_urls_len;
};

#define KV_QUOTA_NONE UINT64_MAX /* as options.quota_bytes: the disk is the limit */

struct kv_options {
    const char *data_dir;    /* created (0700) when absent; locked with flock while open */
    struct metrics *metrics; /* may be NULL */

    /* Limits; 0 takes the default in brackets. */
    uint64_t quota_bytes; /* bytes in use past which puts are refused [2 GiB] */
    uint64_t
        map_bytes; /* address space for LMDB, fixed while open [quota × 2 + 1 GiB; 1 TiB without quota] */
    size_t request_bytes_max;    /* one proposal [1.5 MiB] */
    size_t txn_ops_max;          /* operations in one txn of a client's [128] */
    size_t response_bytes_max;   /* one kv_txn result or kv_range answer [64 MiB] */
    size_t response_budget;      /* bytes handed out by kv_budget_* over all requests [64 MiB] */
    size_t watch_ring_bytes;     /* recent events kept in memory [8 MiB] */
    uint64_t log_keep_entries;   /* applied entries kept for followers that lag [20000] */
    uint32_t snapshot_log_ms;    /* and after a snapshot to one, what came since it began [10000] */
    uint32_t checkpoint_ms;      /* [1000]; up to five times that while little is written */
    uint64_t checkpoint_bytes;   /* journal bytes that force a checkpoint [64 MiB] */
    uint32_t lease_checkpoint_s; /* between two checkpoints of a long lease [300] */
    uint32_t watch_progress_ms;  /* --watch-progress-notify-interval [600000] */
    uint32_t request_timeout_ms; /* after which a write's outcome is reported as unknown [7000] */

    /* Cluster. With members_len ≤ 1 the store is a single member and needs no peer address. */
    struct str name; /* this member's; must be in `members` when there are any */
    const struct kv_member_config *members; /* --initial-cluster */
    size_t members_len;
    bool join_existing;                 /* --initial-cluster-state=existing */
    struct str cluster_token;           /* --initial-cluster-token ["etcd-cluster"] */
    const struct str *listen_peer_urls; /* [this member's peer_urls] */
    size_t listen_peer_urls_len;
    const struct str *client_urls; /* advertised to others, for the member list */
    size_t client_urls_len;
    const char *peer_cert_file, *peer_key_file, *peer_ca_file; /* NULL with http:// peer URLs */
    bool peer_client_cert_auth;        /* always so when peer_ca_file is given */
    const struct str *peer_allowed_cn; /* peers' certificates must have one of these common names */
    size_t peer_allowed_cn_len;        /* 0: any */
    const struct str *peer_allowed_hostnames; /* and one of these among their names */
    size_t peer_allowed_hostnames_len;        /* 0: any */
    bool strict_reconfig;   /* refuse changes of membership that endanger the quorum */
    unsigned learners_max;  /* --max-learners [1] */
    bool force_new_cluster; /* forget all other members: the last survivor's way out. The directory
                                must not be empty */
    /* This member was removed from the cluster and should stop: called once, from a thread of the
     * store's, some time after it was learnt. NULL: nobody cares. */
    void (*on_removed)(void *ctx);
    void *on_removed_ctx;
    const char *peer_crl_file, *cipher_suites, *tls_min_version, *tls_max_version; /* net/tls.h */
    uint64_t disk_reserve_bytes; /* for a full disk (disk_space.h), at most 1/16 of it; 0: none */
    uint32_t check_ms;          /* between walks over everything stored [600000] (kv_integrity.h) */
    uint32_t compare_ms;        /* between comparisons of digests with the others [60000] */
    bool initial_corrupt_check; /* a walk before anything is served */

    uint64_t auto_compact_ns;       /* history younger than this is kept (kvstore/auto_compact.h) */
    int64_t auto_compact_revs;      /* or so many revisions are; neither: no compaction by itself */
    uint32_t auto_compact_check_ms; /* tests: between looks */
    uint64_t warning_apply_ns;      /* --warning-apply-duration [100 ms] */

    uint32_t heartbeat_ms; /* [100] */
    uint32_t election_ms;  /* [1000] */

    /* Frees what somebody stored in kv_event.cache; called on any thread. May be NULL. */
    void (*event_cache_free)(void *cached);

    const char
        *auth_token; /* --auth-token: "simple" [NULL], "jwt,…", "" (see kvstore/auth/auth.h) */
    uint32_t auth_token_ttl_s; /* of a simple token after its last use [300] */
    unsigned bcrypt_cost;      /* of new passwords, 4…31 [10] */

    uint64_t journal_segment_bytes; /* [16 MiB] */
    unsigned level; /* tests: claims a lower feature level (kvstore/members/level.h) [KV_LEVEL] */
    const char *boot_id; /* tests: pretends to be another boot; NULL: ask the kernel */

    /* A failed disk write or sync is final: nothing is retried. NULL: log and abort(). Called on the
     * failing thread; after it returns the store answers everything with ERR_IO (tests use this). */
    void (*fail_stop)(void *ctx, const struct error *why);
    void *fail_stop_ctx;
};

/* Open or create the store, recover it, and start its threads. A member may be without a leader for
 * some time after. Returns NULL and sets err; codes ERR_IO, ERR_CORRUPT, ERR_INVALID (options),
 * ERR_EXISTS (data directory in use). */
struct kv *kv_open(const struct kv_options *options, struct error *err);

/* Stop: requests still waiting get ERR_CANCELLED, watches get `closed`. Joins all threads, writes a
 * checkpoint. Callbacks already posted to loops still run when those loops do. */
void kv_close(struct kv *kv);

/* ---- data ----------------------------------------------------------------------------------- */

struct kv_pair {
    struct str key;
    struct str value; /* empty with keys_only */
    int64_t create_rev;
    int64_t mod_rev;
    int64_t version; /* 1 after creation; 0: a deleted key */
    int64_t lease;   /* 0: none */
};

enum kv_sort_target { KV_SORT_KEY, KV_SORT_VERSION, KV_SORT_CREATE, KV_SORT_MOD, KV_SORT_VALUE };
enum kv_sort_order { KV_SORT_NONE, KV_SORT_ASCEND, KV_SORT_DESCEND };

/*
 * Which keys: `end` empty: the one key; end = "\0" (one zero byte): every key ≥ key; else [key, end).
 * A key must not be empty; key = "\0", end = "\0" is everything.
 */
struct kv_range_request {
    struct str key, end;
    int64_t rev;   /* 0: the current one; −1, in a txn: as etcd, a compacted one */
    int64_t limit; /* pairs; 0: no limit */
    enum kv_sort_target sort_target;
    enum kv_sort_order sort_order; /* NONE with target KEY costs nothing; anything else holds the
                                      whole range in memory, within response_bytes_max. NONE with
                                      another target, as etcd: ascending, but what the limit leaves
                                      in key order (and one more) is all that is sorted */
    bool keys_only;
    bool count_only;
    bool no_count;    /* `count` is not wanted: stop at the limit instead of walking to the end */
    size_t bytes_max; /* 0: options.response_bytes_max, past which the call fails. Otherwise stop
                         before the pair that would pass it (never before the first) with `more`
                         and `next`: for answering page by page at a fixed revision */
    int64_t min_mod_rev, max_mod_rev, min_create_rev, max_create_rev; /* 0: no bound */
};

struct kv_range_result {
    int64_t rev;     /* the revision read at: rev of the request, or the watermark */
    int64_t current; /* the watermark when read (the header revision of an answer) */
    int64_t count;   /* keys in the range regardless of limit (see no_count; min/max bounds do not
                         change it, as in etcd) */
    bool more;       /* keys remain past the limit or bytes_max */
    struct str next; /* with `more` in key order: the key to go on from (rev must be pinned) */
    struct kv_pair *pairs; /* in the caller's arena */
    size_t pairs_len;
};

/* The end of the range of all keys that start with `prefix`, in `a`: its last byte below 0xff
 * incremented, or "\0" when there is none. */
struct str kv_prefix_end(struct arena *a, struct str prefix);

/* ---- reading -------------------------------------------------------------------------------- */

/* The watermark: the revision of the last write visible on this member. 1 in a new store. */
int64_t kv_current_revision(const struct kv *kv);
/* Revisions below this were compacted; reads and watches from exactly this one still work. 0: none. */
int64_t kv_compacted_revision(const struct kv *kv);

/*
 * Read from what this member has, without asking the others (serializable). Pairs are copied into
 * `a`. For a linearizable read call kv_read_index first. Codes: ERR_COMPACTED, KV_ERR_FUTURE_REV,
 * ERR_INVALID, KV_ERR_RESPONSE_TOO_LARGE, ERR_CORRUPT (a record's checksum fails).
 */
int kv_range(struct kv *kv, const struct kv_range_request *request, struct arena *a,
             struct kv_range_result *out, struct error *err);

/*
 * As kv_range, without copying: `visit` sees each pair in key order, its bytes valid only during the
 * call. It returns 0 to go on, > 0 to stop (the pair counts as consumed; `more` and `next` are set if
 * keys remain), < 0 to fail with that code. Sort orders other than NONE/KEY-ASCEND are refused with
 * ERR_INVALID. `limit`, `bytes_max` and `no_count` (assumed) work as above; out->pairs stays empty;
 * out->next is in `a`. The walk renews its LMDB transaction by itself and stays at one revision.
 */
typedef int kv_visit_fn(void *ctx, const struct kv_pair *pair);
int kv_scan(struct kv *kv, const struct kv_range_request *request, kv_visit_fn *visit, void *ctx,
            struct arena *a, struct kv_range_result *out, struct error *err);

/* Make reads after it linearizable: once a quorum has confirmed the leader and this member has applied
 * up to that point, calls back with code 0 and the watermark. ERR_UNAVAILABLE / ERR_TIMEOUT without a
 * quorum. Many at once share one round. */
typedef void kv_revision_fn(void *ctx, int code, int64_t rev);
void kv_read_index(struct kv *kv, struct loop *loop, kv_revision_fn *cb, void *ctx);

/* Call back once the watermark is ≥ rev (code 0), or with ERR_TIMEOUT after timeout_ms. */
void kv_wait_revision(struct kv *kv, int64_t rev, uint32_t timeout_ms, struct loop *loop,
                      kv_revision_fn *cb, void *ctx);

/*
 * Memory for answers, limited over all requests (options.response_budget): reserve before copying a large
 * range out, return it when the bytes are on the wire. Who waits gets it in turn, first the one whose `flow`
 * (a user's number, by hash; 0: nobody's in particular) holds the fewest bytes. One waiter may ask for at most
 * the whole budget (more is cut to it). Returns true when granted at once (cb is not called), false when cb
 * will be called with code 0, or ERR_CANCELLED at kv_close.
 */
bool kv_budget_take(struct kv *kv, size_t bytes, uint64_t flow, struct loop *loop,
                    kv_revision_fn *cb, void *ctx);
void kv_budget_give(struct kv *kv, size_t bytes, uint64_t flow);
bool kv_budget_wanted(struct kv *kv); /* does anybody wait? */

/* ---- writing -------------------------------------------------------------------------------- */

enum kv_compare_target {
    KV_COMPARE_VERSION,
    KV_COMPARE_CREATE,
    KV_COMPARE_MOD,
    KV_COMPARE_VALUE,
    KV_COMPARE_LEASE
};
enum kv_compare_result { KV_EQUAL, KV_GREATER, KV_LESS, KV_NOT_EQUAL };

/* "Every key of the range satisfies: its target RESULT operand." On an absent single key the numbers
 * are 0 and a VALUE comparison is false; a range without keys satisfies all but VALUE comparisons in
 * the way etcd does: numbers compare as 0. */
struct kv_compare {
    enum kv_compare_target target;
    enum kv_compare_result result;
    struct str key, end; /* as in kv_range_request */
    int64_t number;      /* operand of all targets but VALUE */
    struct str value;    /* operand of VALUE */
};

enum kv_op_type { KV_OP_RANGE, KV_OP_PUT, KV_OP_DELETE, KV_OP_TXN };

struct kv_put {
    struct str key, value;
    int64_t lease;
    bool prev_kv;      /* answer with the pair before */
    bool ignore_value; /* keep the value, change the lease */
    bool ignore_lease; /* keep the lease */
};

struct kv_delete {
    struct str key, end;
    bool prev_kv;
};

struct kv_txn_request;
struct kv_op {
    enum kv_op_type type;
    union {
        struct kv_range_request range;
        struct kv_put put;
        struct kv_delete del;
        const struct kv_txn_request *txn;
    };
};

/* If all compares hold, `then` is done, else `otherwise`; ops see the effects of those before them;
 * all changes have one revision. A single put or delete is a txn with one op and no compares. */
struct kv_auth_info; /* kvstore/kv_auth.h */
struct kv_txn_request {
    const struct kv_compare *compares;
    size_t compares_len;
    const struct kv_op *then;
    size_t then_len;
    const struct kv_op *otherwise;
    size_t otherwise_len;
    const struct kv_auth_info *as; /* who asks; NULL: this process, which may do everything */
    bool serializable; /* if it only reads: from what this member has, without asking the others */
    bool
        brief; /* if it only reads, and that takes more than a moment, end with KV_ERR_READS_LONG: on a loop others wait */
};

struct kv_txn_result;
struct kv_op_result {
    enum kv_op_type type;
    int64_t
        rev; /* of the store when this operation was done: the txn's own once it has changed anything */
    union {
        struct kv_range_result range;
        struct {
            bool has_prev;
            struct kv_pair prev;
        } put;
        struct {
            int64_t deleted;
            struct kv_pair *prev; /* with prev_kv: `deleted` pairs */
            size_t prev_len;
        } del;
        struct kv_txn_result *txn;
    };
};

struct kv_txn_result {
    int code; /* 0, or what failed; `message` then says why. ERR_TIMEOUT: it may or may not happen */
    const char *message; /* never NULL */
    int64_t rev;         /* the store's revision after the txn (its own, if it changed anything) */
    bool succeeded;      /* which branch ran */
    struct kv_op_result *ops;
    size_t ops_len;
    struct arena arena; /* holds all of it */
};

/* The callback owns `result` and frees it with kv_txn_result_free. */
typedef void kv_txn_fn(void *ctx, struct kv_txn_result *result);
/* Linearizable, also when it only reads. Checked before proposing (so the callback gets it without a
 * round trip): limits, duplicate puts, quota. */
void kv_txn(struct kv *kv, const struct kv_txn_request *request, struct loop *loop, kv_txn_fn *cb,
            void *ctx);
/* Blocks the calling thread, which must not be a loop's. The result is never NULL. */
struct kv_txn_result *kv_txn_wait(struct kv *kv, const struct kv_txn_request *request);
/* One that only reads, at once and on the calling thread, from what this member has: a loop's clients must not wait for
 * it. For a linearizable answer the read index has been waited for (kv_txn that ended with KV_ERR_READS_LONG has).
 * ERR_TIMEOUT after `for_ns`: so long it may keep LMDB from using freed pages again. The result is never NULL. */
struct kv_txn_result *kv_txn_read(struct kv *kv, const struct kv_txn_request *request,
                                  uint64_t for_ns);
void kv_txn_result_free(struct kv_txn_result *result);

/* Forget history up to `rev` (which itself stays readable). With `physical` the callback waits until
 * the records are gone. ERR_COMPACTED when rev ≤ the compacted revision, KV_ERR_FUTURE_REV. */
void kv_compact(struct kv *kv, int64_t rev, bool physical, struct loop *loop, kv_revision_fn *cb,
                void *ctx);

/* ---- leases --------------------------------------------------------------------------------- */

struct kv_lease_result {
    int code;
    int64_t id;
    int64_t ttl_s;       /* granted; after keep-alive the full TTL */
    int64_t remaining_s; /* kv_lease_remaining: whole seconds left; keep-alive: all of them */
    int64_t rev;
};
typedef void kv_lease_fn(void *ctx,
                         const struct kv_lease_result *result); /* valid during the call */

/* id 0: the store picks one. A ttl_s below one and a half election timeouts is raised to that; above
 * KV_LEASE_TTL_MAX_S: KV_ERR_LEASE_TTL. */
void kv_lease_grant(struct kv *kv, int64_t id, int64_t ttl_s, struct loop *loop, kv_lease_fn *cb,
                    void *ctx);
/* Deletes the lease's keys, as one revision. */
void kv_lease_revoke(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx);
/*
 * Renew; and ask what is left. Both are answered by the leader, after its leadership has been confirmed, and do
 * not go through the log; on a follower they travel to the leader. A lease past its deadline that is not
 * revoked yet is answered when it is (KV_ERR_LEASE_NOT_FOUND) or when another leader has extended it.
 * result->rev is the watermark when the call was made. ERR_UNAVAILABLE, ERR_TIMEOUT.
 */
void kv_lease_remaining(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx);
void kv_lease_keep_alive(struct kv *kv, int64_t id, struct loop *loop, kv_lease_fn *cb, void *ctx);

struct kv_lease_info {
    int64_t id;
    int64_t ttl_s; /* granted */
    int64_t
        remaining_s; /* known to the leader only: elsewhere the full TTL (kv_lease_remaining asks him) */
    struct str *keys; /* only when asked for */
    size_t keys_len;
};
/* From this member's state (call kv_read_index first for a current answer). KV_ERR_LEASE_NOT_FOUND. */
int kv_lease_time_to_live(struct kv *kv, int64_t id, bool want_keys, struct arena *a,
                          struct kv_lease_info *out, struct error *err);
/* All lease ids, ascending, in `a`. */
int kv_lease_list(struct kv *kv, struct arena *a, int64_t **ids, size_t *ids_len,
                  struct error *err);

/* ---- watching ------------------------------------------------------------------------------- */

enum kv_event_type { KV_EVENT_PUT, KV_EVENT_DELETE };

#define KV_EVENT_CACHE_SLOTS 4

/*
 * One change of one key: immutable, shared by all its watchers, counted. A DELETE has key and mod_rev
 * in `kv`, and nothing else. `prev` is the pair before (version 0: there was none, or it has been
 * compacted); watches made without prev_kv see it too and ignore it.
 *
 * `cache` belongs to whoever encodes events (the API server): install a value once with
 * kv_event_cache_set, read it with atomic_load; options.event_cache_free frees it with the event.
 */
struct kv_event {
    atomic_uint refs;
    enum kv_event_type type;
    struct kv_pair kv;
    struct kv_pair prev;
    _Atomic(void *) cache[KV_EVENT_CACHE_SLOTS];
    void (*cache_free)(void *cached); /* options.event_cache_free */
};

struct kv_event *kv_event_ref(struct kv_event *event);
void kv_event_unref(struct kv *kv,
                    struct kv_event *event); /* also after kv_close; kv may be NULL */
/* Store `value` if the slot is empty. Returns what the slot now holds: if that is not `value`, another
 * thread was first and the caller frees its own. */
void *kv_event_cache_set(struct kv_event *event, unsigned slot, void *value);

struct kv_watch; /* belongs to its loop's thread */

struct kv_watch_request {
    struct str key, end; /* as in kv_range_request */
    int64_t start_rev;   /* first revision wanted; 0: from now on; a future one waits */
    bool prev_kv; /* with history: look the previous pairs up (live events always have them) */
    bool no_put, no_delete; /* filters */
    bool progress;          /* call `progress` every options.watch_progress_ms without events */
};

/* The events of one or more whole revisions that match the watch, in revision order; every matching
 * event comes exactly once. The array and the events are valid during the callback; kv_event_ref
 * keeps an event. */
struct kv_watch_batch {
    struct kv_event *const *events;
    size_t events_len;
    int64_t rev; /* header revision: all matching events at or below it have been delivered,
                      except when `partial` */
    bool
        partial; /* the last event's revision is larger than one batch; its rest follows, or, when this watch sees
                     none of it, a batch without events that is not partial */
};

struct kv_watch_callbacks {
    void (*events)(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch);
    /* Everything up to rev has been delivered. May be NULL. */
    void (*progress)(void *ctx, struct kv_watch *watch, int64_t rev);
    /* The watch has ended: ERR_COMPACTED (compact_rev: the oldest revision still watchable),
     * ERR_CANCELLED (store closing), ERR_CORRUPT or ERR_IO. Nothing follows; kv_watch_close is still
     * due. */
    void (*closed)(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev);
};

/* Call on the loop's thread; callbacks come on it too, never from inside. *created_rev, if not NULL, is
 * the watermark: with start_rev 0 the first event has a revision above it. Never NULL. */
struct kv_watch *kv_watch(struct kv *kv, const struct kv_watch_request *request, struct loop *loop,
                          const struct kv_watch_callbacks *callbacks, void *ctx,
                          int64_t *created_rev);
/* Flow control: a paused watch gets no events and holds none in memory; it goes on where it was, from
 * the ring or from history. Callable from callbacks; a batch already being delivered is not split. */
void kv_watch_pause(struct kv_watch *watch);
void kv_watch_resume(struct kv_watch *watch);
/* Ask for one `progress` callback as soon as everything up to the present has been delivered, and the
 * revision before the watch's first is reached (as for periodic ones). */
void kv_watch_request_progress(struct kv_watch *watch);
/* End and free; on the loop's thread, also from a callback. No callback comes after it returns. */
void kv_watch_close(struct kv_watch *watch);

/* ---- state of the store --------------------------------------------------------------------- */

struct kv_status {
    uint64_t cluster_id, member_id;
    uint64_t leader_id; /* 0: none known */
    uint64_t term, raft_index, applied_index;
    int64_t revision, compacted_revision;
    uint64_t db_size, db_size_in_use, quota_bytes; /* bytes */
    bool is_learner;
    bool no_space; /* the alarm NOSPACE is raised (kvstore/alarm.h): puts are refused */
    bool failed;   /* a disk write failed; the store has stopped */
    size_t watchers, slow_watchers, leases;
};
/* Waits for no write and no apply: answers also while a large transaction is being applied. Sizes are those of what
 * is committed; answered small writes may be added within 100 ms. */
void kv_status(struct kv *kv, struct kv_status *out);

struct kv_member {
    uint64_t id;
    struct str name;
    struct str *peer_urls;
    size_t peer_urls_len;
    struct str *client_urls;
    size_t client_urls_len;
    bool is_learner;
    bool started; /* has ever run */
};
/* The members as this member has applied them; in `a`. */
int kv_member_list(struct kv *kv, struct arena *a, struct kv_member **members, size_t *members_len,
                   struct error *err);

/* Hand leadership over (0: to the member that has most); calls back when done or given up. */
void kv_move_leader(struct kv *kv, uint64_t to_member, struct loop *loop, kv_revision_fn *cb,
                    void *ctx);

/*
 * etcd's hash of the key space up to `rev` (0: the current revision): CRC-32C over "key" and every revision key and value
 * as etcd would store them (kvstore/backup/schema.h). Equal on members that agree, for the same rev and compacted
 * revision, and equal to what etcd computes for the same history. Walks everything, in slices; blocks.
 * ERR_COMPACTED, KV_ERR_FUTURE_REV, ERR_CORRUPT, ERR_UNAVAILABLE.
 */
int kv_hash(struct kv *kv, int64_t rev, uint32_t *hash, int64_t *hash_rev, int64_t *compact_rev,
            struct error *err);

#endif
