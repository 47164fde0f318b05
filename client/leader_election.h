/*
 * Leader election by a Lease (coordination.k8s.io/v1), with upstream's protocol and times, so that
 * `kubectl get lease -n kube-system` shows what people know.
 *
 * A candidate takes the lease when it is free or has not been renewed for lease_duration as seen by
 * its own clock (clocks of different hosts are never compared), by an update that fails if somebody
 * was faster. The leader renews every retry_period; when it could not for renew_deadline it stops
 * leading, before another candidate may start: renew_deadline < lease_duration.
 */
#ifndef C8S_CLIENT_LEADER_ELECTION_H
#define C8S_CLIENT_LEADER_ELECTION_H

#include "client/client.h"

struct leader_config {
    struct client *client;
    const char *ns;             /* "kube-system" when NULL */
    const char *name;           /* the lease: "c8s-scheduler" */
    const char *identity;       /* unique: NULL makes hostname_uuid */
    uint32_t lease_duration_ms; /* 0: 15000 */
    uint32_t renew_deadline_ms; /* 0: 10000; less than lease_duration_ms */
    uint32_t retry_period_ms;   /* 0: 2000; less than renew_deadline_ms */
    bool release_on_stop; /* give the lease up on leader_election_free: the next takes over at once
                           */
    /* On the election's thread. started: begin working (must return soon). stopped: the lease is
     * lost; what was started must not write any more when it returns (most programs exit). */
    void (*started)(void *ctx);
    void (*stopped)(void *ctx);
    void (*observed)(void *ctx,
                     const char *identity); /* somebody (also oneself) leads now; may be NULL */
    void *ctx;
};

struct leader_election;
/* Starts a thread with a small stack. Strings are copied. */
struct leader_election *leader_election_start(const struct leader_config *config);
bool leader_election_is_leader(struct leader_election *e);
/* Ends the thread; calls stopped if it led. */
void leader_election_free(struct leader_election *e);

#endif
