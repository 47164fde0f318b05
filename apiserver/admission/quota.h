/*
 * ResourceQuota: usage is kept exactly, in the quota's status, by the very transactions that create,
 * change and remove the objects it counts.
 *
 *     attempt ─▶ change ─▶ quota_charge: delta = cost(new) − cost(old), for each quota of the namespace
 *                              │  nothing touched: go on
 *                              │  does not fit: 403
 *                              ▼
 *                  compare(quota unchanged), put(quota with used + delta) join the object's transaction
 *
 * Writes of one worker that touch the quotas of one namespace take turns (they would only lose to
 * each other); those of other workers and members are met by the compare, and the loser tries again.
 * Some 1,000 quotas of 1 KiB fit into a transaction: a write that would take more of them is refused if it can be (403),
 * and else counted by them later.
 * What goes around the write path (events that expire, quotas that another member did not know yet
 * when it wrote) is found by quota_recount, which the leader runs now and then.
 */
#ifndef C8S_APISERVER_ADMISSION_QUOTA_H
#define C8S_APISERVER_ADMISSION_QUOTA_H

#include "apiserver/write.h"
#include "proto/core_v1.pb-c.h"

enum quota_answer {
    QUOTA_FINE,    /* go on; the transaction has what it needs */
    QUOTA_REFUSED, /* *s is the error */
    QUOTA_WAIT,    /* somebody else's turn: the write is resumed by write_again */
};

/* After `change` has succeeded. Only writes of namespaced objects. */
enum quota_answer quota_charge(struct write *w, struct status **s);
/* The write is over, however it ended: the next one's turn. */
void quota_done(struct write *w);

/* Turns by namespace, one table per worker. */
struct quota_turns *quota_turns_new(void);
void quota_turns_free(struct quota_turns *t);

/* hard and used of a quota from what is stored in its namespace now. Any thread. */
struct arena;
int quota_count(struct apiserver *s, struct arena *a, const Core__V1__ResourceQuota *quota,
                Core__V1__ResourceQuotaStatus *out, struct error *err);
/* Count every quota of the cluster anew and correct those that are wrong: blocking, on the keeper's
 * thread. Returns how many were corrected. */
unsigned quota_recount(struct apiserver *s);

#endif
