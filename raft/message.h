/*
 * Messages between cores, and their wire form.
 *
 * Fields not named for a type are zero. `term` is the sender's term, except in pre-vote requests and
 * granted pre-vote answers, where it is the term the election would have. `news` of election messages:
 * commit and, in hint, the term of the entry there (see raft_learn_commit).
 */
#ifndef C8S_RAFT_MESSAGE_H
#define C8S_RAFT_MESSAGE_H

#include "raft/entry.h"

enum raft_message_type {
    RAFT_MSG_PRE_VOTE = 1,   /* index, log_term: candidate's last entry; flags TRANSFER; news */
    RAFT_MSG_PRE_VOTE_REPLY, /* reject; news */
    RAFT_MSG_VOTE,           /* as PRE_VOTE */
    RAFT_MSG_VOTE_REPLY,     /* reject; news */
    RAFT_MSG_APPEND,         /* index, log_term: the entry before entries[0]; commit; entries */
    RAFT_MSG_APPEND_REPLY,   /* index: highest entry known to agree and flushed; or reject: index is
                               * the refused previous index, hint and log_term where to try next */
    RAFT_MSG_HEARTBEAT,      /* commit (≤ what the peer has), context: read round */
    RAFT_MSG_HEARTBEAT_REPLY,  /* context echoed */
    RAFT_MSG_SNAPSHOT,         /* snapshot: already received and staged by the driver */
    RAFT_MSG_TIMEOUT_NOW,      /* campaign at once: leadership transfer */
    RAFT_MSG_READ_INDEX,       /* context: the follower's request */
    RAFT_MSG_READ_INDEX_REPLY, /* context, index; reject: ask again */
    RAFT_MSG_TYPE_MAX = RAFT_MSG_READ_INDEX_REPLY,
};
const char *raft_message_name(enum raft_message_type t);

enum raft_message_flags {
    RAFT_MSG_TRANSFER = 1, /* ordered by the leader: leases do not apply */
    RAFT_MSG_NO_REPLY = 2, /* APPEND that only tells the commit index: success needs no answer */
};

struct raft_message {
    enum raft_message_type type;
    uint32_t flags;
    uint64_t from, to;
    uint64_t term;
    uint64_t index;
    uint64_t log_term;
    uint64_t commit;
    uint64_t hint;
    uint64_t context;
    bool reject;
    struct raft_entry *entries; /* APPEND; owned as the place that hands out the message says */
    size_t entries_len;
    struct raft_snapshot_meta *snapshot; /* SNAPSHOT */
};

#define RAFT_MESSAGE_ENTRIES_MAX 65536          /* entries in one message */
#define RAFT_ENTRY_DATA_MAX (16u * 1024 * 1024) /* bytes of one entry */

/* Release what a decoded or copied message owns: references, the arrays; not the struct. */
void raft_message_clear(struct raft_message *m);
/* A deep-enough copy: own arrays, shared blobs. */
void raft_message_copy(struct raft_message *dst, const struct raft_message *src);

/* Append the wire form (fixed head, then entries or snapshot metadata; CRC-32C is the framing's). */
void raft_message_encode(const struct raft_message *m, struct buf *out);
/*
 * Parse; every length is bounded before it is used, indexes of entries must be contiguous after
 * `index`, terms must not fall and must not exceed `term`. ERR_CORRUPT with the reason otherwise.
 * On success the message owns its arrays and references.
 */
int raft_message_decode(struct str in, struct raft_message *out, struct error *err);

#endif
