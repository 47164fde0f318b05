/*
 * A second state machine, slow and obvious: every version ever written, in lists. It is fed with the log
 * as the first member applies it, so it is never behind anything that a client may see; every other member
 * must then apply the same.
 */
#ifndef C8S_TESTS_SIM_WHOLE_ORACLE_H
#define C8S_TESTS_SIM_WHOLE_ORACLE_H

#include "base/arena.h"
#include "kvstore/kv.h"
#include "raft/config.h"
#include "raft/entry.h"
#include "whole.h"

struct oracle_event {    /* one version of one key */
    struct kv_pair now;  /* version 0: deleted */
    struct kv_pair prev; /* version 0: there was none */
};

struct oracle_index {       /* after applying an entry */
    uint64_t content, term; /* content 0: not seen by anybody (before the founding) */
    int64_t rev, compact_rev;
};

struct oracle_lease {
    int64_t id, ttl_s;
    bool live;
    uint64_t ended_us;      /* when it was revoked */
    uint64_t good_until_us; /* what clients were promised */
    uint64_t renewed_us;    /* the last attempt to renew it, or its grant */
    bool client_revoked;    /* somebody asked for it */
};

struct oracle {
    struct arena arena;
    int64_t rev, compact_rev;
    VEC(struct oracle_index) indexes; /* [index] */
    VEC(struct oracle_event) events;  /* in order of revision */
    VEC(struct oracle_lease) leases;
    struct raft_config config; /* who is a member */
    uint64_t config_index;     /* the entry that made it so */
};
extern struct oracle O;

void oracle_init(void);
void oracle_free(void);
/* `m` is about to apply this entry. */
void oracle_entry(struct member *m, const struct raft_entry *e);
/* … and it makes this the configuration. */
void oracle_config(struct member *m, uint64_t index, const struct raft_config *config);
uint64_t oracle_last_index(void);
/* What must be published after applying `index`. */
const struct oracle_index *oracle_after(uint64_t index);

/* The pairs of a range at a revision, in order of key; in `a`. */
void oracle_range(struct arena *a, const struct kv_range_request *q, int64_t rev,
                  struct kv_range_result *out);
bool oracle_in_range(struct str key, struct str end, struct str k);
/* The first event with revision ≥ rev. */
size_t oracle_event_at(int64_t rev);
struct oracle_lease *oracle_lease(int64_t id); /* NULL: never granted */
bool oracle_lease_has_keys(int64_t id);

/* A number for everything that a client can see in a result. */
uint64_t result_digest(const struct kv_txn_result *r);
uint64_t range_digest(const struct kv_range_result *r);
void result_print(const char *who, const struct kv_txn_result *r);

/* client.c: the entry of an operation that a client waits for, or gave up; 0: of nobody. */
void client_applied(uint64_t op, uint64_t index, const struct kv_txn_result *expected);
/* The mark that a client put into a transaction; 0: none. */
uint64_t client_op_of(const struct kv_txn_request *t);

#endif
