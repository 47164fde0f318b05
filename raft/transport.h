/*
 * Peer transport: framed messages over TLS streams on one loop (the raft thread's), and channels of
 * their own for snapshots, so that those delay no heartbeat.
 *
 * Each pair of members uses two message connections, one made by each side; a member sends on the one
 * it made and receives on the one it accepted, so nothing has to be agreed on. Both sides must show a
 * certificate of the peer CA (the TLS contexts see to it), and that of a member (raft/peer_rules.h).
 *
 *   connection = hello frame*
 *   hello      = "C8SP" version:1 purpose:1 level:2 cluster_id:8 from:8 to:8  (32 bytes, big-endian)
 *   frame      = length:4 crc32c:4 kind:1 0:3 body                            (length of the body)
 *
 * purpose: 1 messages, 2 channel, 3 question (cluster_id, from and to are 0). level: the sender's
 * feature level; 0 from programs before there were any, which means 1. Frames of a message connection
 * flow one way, but for what the accepting side says about the connection itself (REMOVED, WHO); on a
 * channel both ways; a question connection carries one QUESTION and one ANSWER. A wrong magic, version, cluster, `to`, a length over the limit or a bad checksum closes the
 * connection. What is queued to a slow or absent peer is bounded; past the bound frames are
 * dropped and the core is told. A connection whose peer has been silent for RAFT_SILENCE_MS is
 * made anew: after a partition TCP itself would be slow to notice that the way is free.
 *
 * Everything here runs on the loop's thread, except new, and close while the loop does not run.
 */
#ifndef C8S_RAFT_TRANSPORT_H
#define C8S_RAFT_TRANSPORT_H

#include "net/stream.h"
#include "raft/message.h"
#include "raft/peer_rules.h"

struct raft_transport;
struct raft_channel; /* one snapshot connection */

#define RAFT_HELLO_SIZE 32
#define RAFT_FRAME_HEAD 12
#define RAFT_FRAME_MAX (64u * 1024 * 1024)      /* body bytes */
#define RAFT_PEER_QUEUE_MAX (32u * 1024 * 1024) /* bytes queued to one peer before dropping */
#define RAFT_CHANNELS_MAX 8                     /* accepted snapshot connections at once */
#define RAFT_CONNECT_MS 1500
#define RAFT_PING_MS 500
#define RAFT_SILENCE_MS 2500

enum raft_frame_kind {
    RAFT_FRAME_MESSAGE = 1, /* one raft_message */
    RAFT_FRAME_FORWARD = 2, /* proposals of a follower (raft/forward.h) */
    RAFT_FRAME_FORWARD_REPLY = 3,
    RAFT_FRAME_PING = 4,          /* empty: I am here */
    RAFT_FRAME_SNAPSHOT_META = 5, /* channel: a message with metadata, then chunks, then the end */
    RAFT_FRAME_SNAPSHOT_CHUNK = 6,
    RAFT_FRAME_SNAPSHOT_END = 7,
    RAFT_FRAME_SNAPSHOT_REPLY = 8, /* one byte: 1 taken, 0 refused */
    RAFT_FRAME_REMOVED = 9,        /* acceptor: you were removed from the cluster; empty */
    RAFT_FRAME_WHO = 10,           /* acceptor: I do not know you; empty */
    RAFT_FRAME_IDENTITY = 11,      /* the answer: raft_peer_rules.identity */
    RAFT_FRAME_QUESTION = 12,
    RAFT_FRAME_ANSWER = 13,
    RAFT_FRAME_CALL = 14, /* raft_node_call, and what it is answered with */
    RAFT_FRAME_CALL_REPLY = 15,
    RAFT_FRAME_SNAPSHOT_WANT = 16, /* channel, from who made it: send me a snapshot; empty */
    RAFT_FRAME_KIND_MAX = RAFT_FRAME_SNAPSHOT_WANT,
};

struct raft_transport_events {
    /* A frame from `from` (as its hello said); body is valid during the call. False closes the
     * connection (the body was malformed). */
    bool (*on_frame)(void *ctx, uint64_t from, enum raft_frame_kind kind, struct str body);
    /* The connection to `peer` was lost or its queue overflowed: frames are missing. */
    void (*on_unreachable)(void *ctx, uint64_t peer);
    /* A peer opened a channel: attach to it with raft_channel_attach, or return false to refuse. */
    bool (*on_channel)(void *ctx, uint64_t from, struct raft_channel *channel);
};

struct raft_transport_options {
    uint64_t id, cluster_id;
    unsigned level;                      /* feature level to claim; 0: 1 */
    const struct raft_peer_rules *rules; /* NULL: everybody of the cluster is admitted */
    void *rules_ctx;
    const char *listen;                          /* NULL: accept nobody */
    struct tls_context *tls_server, *tls_client; /* referenced; NULL: plain TCP */
    const struct raft_transport_events *events;
    void *ctx;
};

/* Binds at once (ERR_IO with the address in the message). */
struct raft_transport *raft_transport_new(struct loop *loop, const struct raft_transport_options *o,
                                          struct error *err);
/* Closes all connections; `done` runs on the loop, once, when everything is gone and freed. */
void raft_transport_close(struct raft_transport *t, void (*done)(void *ctx), void *ctx);
int raft_transport_port(const struct raft_transport *t);

/* Connect to `id` at "host:port" and stay connected, with back-off; NULL: disconnect and forget. */
void raft_transport_set_peer(struct raft_transport *t, uint64_t id, const char *address);

/* Forget a member that was removed, tell it so on the connections it has made, and close them. */
void raft_transport_expel(struct raft_transport *t, uint64_t id);

/* For raft_ask (raft/ask.c): the first bytes of a connection that asks, and a frame's head. */
void raft_question_hello(uint8_t out[RAFT_HELLO_SIZE]);
void raft_frame_head(uint8_t out[RAFT_FRAME_HEAD], enum raft_frame_kind kind, struct str body);

/*
 * Queue a frame; false when it was dropped (unknown peer, not connected, queue full), so that nothing
 * of it was or will be sent. What is queued in one loop iteration leaves in as few writes as possible.
 */
bool raft_transport_send(struct raft_transport *t, uint64_t to, enum raft_frame_kind kind,
                         struct str body);
/* Write what is queued to all peers now instead of at the end of the iteration. */
void raft_transport_flush(struct raft_transport *t);
/* Milliseconds since anything was heard from `id`; UINT64_MAX: never. */
uint64_t raft_transport_silence_ms(const struct raft_transport *t, uint64_t id);
/* Our connection to `id` stands and it was heard of within RAFT_SILENCE_MS. */
bool raft_transport_active(const struct raft_transport *t, uint64_t id);

/* ---- channels ---- */

struct raft_channel_events {
    void (*on_open)(void *ctx); /* for the side that made it; may be NULL */
    bool (*on_frame)(void *ctx, enum raft_frame_kind kind, struct str body); /* false closes it */
    void (*on_drain)(void *ctx); /* what was queued is (nearly) sent; may be NULL */
    void (*on_close)(void *ctx); /* exactly once, last; never from inside a call of ours */
};

/* Open a channel to a known peer; NULL when it is unknown. Failure is told by on_close. */
struct raft_channel *raft_channel_open(struct raft_transport *t, uint64_t to,
                                       const struct raft_channel_events *events, void *ctx);
/* Whose the channel is from now on; may change, also from on_frame. */
void raft_channel_attach(struct raft_channel *c, const struct raft_channel_events *events,
                         void *ctx);
void raft_channel_send(struct raft_channel *c, enum raft_frame_kind kind, struct str body);
size_t raft_channel_queued(const struct raft_channel *c);
void raft_channel_pause(struct raft_channel *c); /* read no more until resumed */
void raft_channel_resume(struct raft_channel *c);
void raft_channel_close(struct raft_channel *c); /* after what is queued is written */

#endif
