/*
 * What the transport asks about peers: who may connect, who has been removed, what strangers are told.
 *
 * A member that connects says its id and its feature level (raft/transport.h, hello). Its id alone is a
 * claim: the rules compare it with the member list and with the certificate shown. A member not in the
 * list is not refused for that alone: this one may be behind, and the stranger may lead the cluster it
 * will learn of; it is asked for its address, so that it can be answered.
 *
 * Questions come on connections of their own, also from processes that are no member yet: one that
 * joins asks for the members and its own id, one with an empty directory whether it has been here before.
 *
 * All functions run on the raft thread and must not block. `tls` is NULL on plain connections.
 */
#ifndef C8S_RAFT_PEER_RULES_H
#define C8S_RAFT_PEER_RULES_H

#include "base/buf.h"
#include "base/error.h"
#include "net/tls.h"
#include <stdbool.h>
#include <stdint.h>

enum raft_admission {
    RAFT_ADMIT,          /* a member */
    RAFT_ADMIT_STRANGER, /* not in the list here; taken, and asked for its address */
    RAFT_ADMIT_REMOVED,  /* it was removed: it is told so, and disconnected */
    RAFT_ADMIT_REFUSE,   /* `why` goes to the log */
};

struct raft_peer_rules {
    /* A connection of member `from` arrived. level ≥ 1. */
    enum raft_admission (*admit)(void *ctx, uint64_t from, unsigned level,
                                 const struct tls_peer *tls, struct error *why);
    /* Our connection to `id` stands: is the certificate shown that of a member? */
    bool (*is_member)(void *ctx, uint64_t id, const struct tls_peer *tls, struct error *why);
    /* A peer says that this member was removed from the cluster. */
    void (*on_removed)(void *ctx, uint64_t by);
    /* What this member tells a peer that does not know it: its addresses. */
    void (*identity)(void *ctx, struct buf *out);
    /* The answer of a stranger. */
    void (*on_identity)(void *ctx, uint64_t id, struct str identity);
    /* Answer a question; false (with `why`) closes the connection. */
    bool (*answer)(void *ctx, struct str question, const struct tls_peer *tls, struct buf *out,
                   struct error *why);
};

#define RAFT_QUESTION_MAX 65536       /* bytes */
#define RAFT_ANSWER_MAX (1024 * 1024) /* bytes */

/* One member that is asked. */
struct raft_asked {
    const char *address; /* "host:port" */
    int code;            /* out: 0, or why there is no answer */
    struct error err;
    struct buf answer; /* out; buf_free when done, whatever the code */
};

/*
 * Ask several members the same question, at once, and wait for all of them, at most timeout_ms. `tls`: a
 * client context, or NULL for plain TCP. `answered` of them answered (returned). Not on a loop's thread.
 */
size_t raft_ask(struct raft_asked *asked, size_t n, struct tls_context *tls, struct str question,
                uint32_t timeout_ms);

#endif
