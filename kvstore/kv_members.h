/*
 * Changing who the members are. Beside kvstore/kv.h, whose rules about threads and callbacks hold here too.
 *
 *     kv_member_change ─▶ (forwarded to the leader) ─▶ checked there ─▶ one CONFIG entry ─▶ applied ─▶ callback
 *
 * The leader checks a change against everything applied so far and lets one change at a time into the log,
 * so a change that was taken is never refused later; one that comes while another is under way waits for
 * it. A change moves one vote at most.
 *
 * Who was removed is remembered for ever (by id): ids are never used again. A removed member stops
 * (options.on_removed), because it applied its own removal or because a peer told it; after a restart, too.
 *
 * Start-up (kv_open with an empty data directory, kvstore/members/start.c): the peers named in options.members are
 * asked first. With join_existing the member takes the id under which its peer URLs were added. A member
 * whose id has been seen before has lost its log and is refused in either mode: its votes and promises are
 * gone, so it must come back as a new member.
 */
#ifndef C8S_KVSTORE_KV_MEMBERS_H
#define C8S_KVSTORE_KV_MEMBERS_H

#include "kvstore/kv.h"

/* Beside enum kv_err and ERR_*; the comment is etcd's gRPC status. */
enum kv_member_err {
    KV_ERR_MEMBER_EXISTS = -201,      /* FailedPrecondition: id already there */
    KV_ERR_PEER_URL_EXISTS = -202,    /* FailedPrecondition: another member has that peer URL */
    KV_ERR_MEMBER_NOT_FOUND = -203,   /* NotFound: no such id, or removed */
    KV_ERR_MEMBER_NOT_LEARNER = -204, /* FailedPrecondition: only learners are promoted */
    KV_ERR_LEARNER_NOT_READY = -205,  /* FailedPrecondition: it lags */
    KV_ERR_TOO_MANY_LEARNERS = -206,  /* FailedPrecondition: more than options.learners_max */
    KV_ERR_NOT_ENOUGH_STARTED =
        -207,                  /* FailedPrecondition: a quorum would need members that never ran */
    KV_ERR_UNHEALTHY = -208,   /* Unavailable: the quorum would depend on members not heard of */
    KV_ERR_MEMBER_URLS = -209, /* InvalidArgument: no URL, or not scheme://host:port */
    KV_ERR_DOWNGRADE_FORMAT = -210,     /* InvalidArgument: not MAJOR.MINOR[.PATCH] */
    KV_ERR_DOWNGRADE_TARGET = -211,     /* InvalidArgument: not one minor version below */
    KV_ERR_DOWNGRADE_IN_PROCESS = -212, /* FailedPrecondition */
    KV_ERR_NO_DOWNGRADE = -213,         /* FailedPrecondition: nothing to cancel */
};

enum kv_member_change_kind {
    KV_MEMBER_ADD = 1,
    KV_MEMBER_ADD_LEARNER,
    KV_MEMBER_UPDATE,  /* its peer URLs */
    KV_MEMBER_PROMOTE, /* a learner that has caught up becomes a voter */
    KV_MEMBER_REMOVE,
};

struct kv_member_change {
    enum kv_member_change_kind kind;
    uint64_t id;                 /* not for ADD*: drawn by the store */
    const struct str *peer_urls; /* ADD*, UPDATE: at least one */
    size_t peer_urls_len;
};

/* Applied here (code 0; `id` of the member changed, kv_member_list shows it), certainly not made (a code
 * above), or unknown (ERR_TIMEOUT). */
typedef void kv_member_fn(void *ctx, int code, uint64_t id);
void kv_member_change(struct kv *kv, const struct kv_member_change *change, struct loop *loop,
                      kv_member_fn *cb, void *ctx);

/* This member has no vote yet, as applied here. Any thread, costs nothing. */
bool kv_is_learner(const struct kv *kv);

/* ---- downgrades, as etcd's Maintenance.Downgrade answers -------------------------------------------- */

#define KV_CLUSTER_VERSION "3.6.0" /* etcd's, as clients see it */

/* Would a downgrade to `version` ("3.5", "3.5.0") be taken? 0 or KV_ERR_DOWNGRADE_*. */
int kv_downgrade_check(struct kv *kv, struct str version);
/* Announce it to all members (Status shows it); version empty: take that back. */
void kv_downgrade_set(struct kv *kv, struct str version, struct loop *loop, kv_revision_fn *cb,
                      void *ctx);
/* The version announced, into `out` (at least 16 bytes); "": none. */
void kv_downgrade_target(struct kv *kv, char *out, size_t size);

#endif
