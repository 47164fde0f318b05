/*
 * The clients of the robustness tests: what all workloads share.
 *
 * A workload is a struct of functions. Its `client` is called again and again, on a thread per client, until time
 * is over; each call does a little (one operation, one lease's life). When the faults are healed and the members
 * serve again, `finish` runs once, on the main thread: it reads what is there from every member, gives the
 * whole history to its checker, and says in a line what was done.
 *
 * Every error of a call counts as "no answer", whatever its code, but for those that a workload names: a client must
 * not conclude more.
 */
#ifndef C8S_ROBUSTNESS_LOAD_H
#define C8S_ROBUSTNESS_LOAD_H

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include "net/grpc.h"
#include "proto/etcd/rpc.pb-c.h"
#include "tests/robustness/verdict.h"
#include <pthread.h>
#include <stdatomic.h>

#define MEMBERS_MAX 9
#define CALL_MS 2500
#define FINISH_S 90       /* limit on waiting for members after the faults are healed */
#define GENERATION_S 5    /* keys are changed for new ones so often: bounds histories per key */
#define EXPIRY_SLACK_S 30 /* a lease may outlive its time so long on a loaded machine */

struct load {
    char **urls;
    int members;
    struct tls_context *tls;
    struct loop *loop;
    struct grpc_channel *channels[MEMBERS_MAX]; /* of the main thread */
    uint64_t seed, start_ns;
    _Atomic bool stop;
    _Atomic uint64_t stopped_ns; /* when the faults were healed */
    _Atomic uint64_t next_value; /* values written are unique over the run; never 0 */
    bool stale_reads;            /* the test of the test: ask for reads that may be stale */
};

struct client {
    struct load *load;
    int member; /* the one it talks to */
    uint32_t number;
    struct grpc_channel *channel;
    struct rng rng;
    _Atomic size_t answered, unanswered;
    void *user; /* of the workload; NULL at first */
};

struct workload {
    const char *name;
    int clients;       /* per member */
    uint32_t pause_us; /* about so long between two steps of a client */
    void *(*create)(struct load *l);
    void (*client)(void *state, struct client *c);
    /* `figures`: a line of what was done. Frees the state. */
    void (*finish)(void *state, struct load *l, struct verdict *v, char *figures,
                   size_t figures_max);
};

extern const struct workload register_workload, set_workload, append_workload, watch_workload,
    lease_workload, lock_workload;

/* Key generations: which set of keys is in use now. */
uint32_t load_generation(const struct load *l);
uint64_t load_value(struct load *l);
struct grpc_channel *load_channel(struct load *l, int member);
/* Wait `ms`, or until the load is to stop. */
void load_pause(const struct load *l, uint64_t ms);

/* ---- calls: true with an answer, which lives in `arena` ---- */

ProtobufCBinaryData load_bytes(const char *text);
/* The end of the range of keys that begin with `prefix`; in `arena`. */
ProtobufCBinaryData load_prefix_end(struct arena *arena, const char *prefix);
uint64_t load_number(const ProtobufCBinaryData *value); /* decimal text; 0 for none */
bool load_put(struct grpc_channel *ch, struct arena *arena, const char *key, const char *value,
              int64_t lease, int64_t *revision);
bool load_delete(struct grpc_channel *ch, struct arena *arena, const char *key, int64_t *revision,
                 int64_t *deleted);
/* prefix: all keys that begin with `key`. revision 0: now. */
bool load_get(struct grpc_channel *ch, struct arena *arena, const char *key, bool prefix,
              bool serializable, int64_t revision, const Etcdserverpb__RangeResponse **out);
bool load_txn(struct grpc_channel *ch, struct arena *arena, const Etcdserverpb__TxnRequest *request,
              const Etcdserverpb__TxnResponse **out);
bool load_grant(struct grpc_channel *ch, int64_t ttl_s, int64_t *id, int64_t *ttl_given);
/* *ttl 0: no such lease. */
bool load_keep_alive(struct grpc_channel *ch, int64_t id, int64_t *ttl);
bool load_revoke(struct grpc_channel *ch, int64_t id);

/* ---- pieces of transactions; all in `arena` ---- */

Etcdserverpb__Compare *txn_mod_is(struct arena *arena, const char *key, int64_t mod);
Etcdserverpb__Compare *txn_create_is(struct arena *arena, const char *key, int64_t create);
Etcdserverpb__Compare *txn_value_is(struct arena *arena, const char *key, const char *value);
Etcdserverpb__RequestOp *txn_put(struct arena *arena, const char *key, const char *value,
                                 int64_t lease);
Etcdserverpb__RequestOp *txn_get(struct arena *arena, const char *key);
Etcdserverpb__RequestOp *txn_delete(struct arena *arena, const char *key);

#endif
