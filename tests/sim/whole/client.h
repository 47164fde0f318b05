/*
 * What the world asks of clients; and what client.c (writes, reads), client_watch.c (watches) and
 * client_lease.c (leases) share.
 */
#ifndef C8S_TESTS_SIM_WHOLE_CLIENT_H
#define C8S_TESTS_SIM_WHOLE_CLIENT_H

#include "kvstore/kv.h"
#include "oracle.h"
#include "shim_net.h"
#include "whole.h"

struct member *leading_member(void); /* believes that it leads; NULL: nobody */
void client_move_leader(struct member *m);
void client_compact(struct member *m);
void client_defrag(struct member *m);
void client_disarm(
    struct member *m); /* NOSPACE, or CORRUPT of a member that is given up, if it is raised */

enum call_kind {
    CALL_TXN,
    CALL_DELETE,
    CALL_READ,
    CALL_GRANT,
    CALL_KEEP_ALIVE,
    CALL_REVOKE,
    CALL_COMPACT,
    CALL_CHANGE
};
enum call_state {
    CALL_WAITING,
    CALL_DONE,     /* answered */
    CALL_REJECTED, /* certainly never applied */
    CALL_UNKNOWN,  /* the member died, or did not know */
};

/* One operation of a client. Transactions are kept to the end of the seed: one that was rejected must never
 * be applied, and none twice. */
struct call {
    struct loop_task task;
    void (*invoke)(struct loop_task *task);
    uint64_t number; /* 1 … */
    enum call_kind kind;
    enum call_state state;
    struct member *member;
    uint64_t incarnation;
    uint64_t invoked_us;
    uint64_t index_before; /* applied somewhere before it was invoked */
    int64_t rev_before;
    /* from the oracle: when its entry was applied first */
    uint64_t index;
    int expected_code;
    int64_t expected_rev;
    uint64_t expected_digest;
    /* what it asks */
    struct kv_range_request range;
    bool linearizable;
    int64_t lease, ttl_s;
    struct str key, end;
    int64_t rev;
    bool physical;
    bool through_log; /* a keep-alive at a member that does not know the cluster's level yet */
    int change;       /* enum kv_member_change_kind */
    uint64_t change_id, config_before;
    uint32_t seat;
};

struct call *call_new(struct member *m, enum call_kind kind);
/* Run fn on the clients' loop of the member; void if it dies before. */
void call_post(struct call *c, void (*fn)(struct loop_task *task));
/* Answered: forget it (transactions are kept). */
void call_done(struct call *c);
/* The member that answers is the one that was asked, and has not been reborn. */
void call_answered(const struct call *c);
/* Is this the member's state that `rev` can come from? Raises what is seen. */
void member_saw(struct member *m, int64_t rev);
struct member *random_client_member(void);
struct str random_key(void);
void random_range(struct str *key, struct str *end);

void watches_start(void);
void watches_member_died(struct member *m);
bool watches_settled(void); /* everybody has everything */
void watches_free(void);

void lease_step(struct member *m); /* grant, renew or revoke one */
int64_t random_lease(void);        /* of those alive; 0: none */
bool leases_settled(void);         /* all that nobody renews have ended */

#endif
