/*
 * Peer transport: framed messages over TLS streams on the raft thread's loop, and snapshots on
 * connections of their own, on another thread, so that they delay no heartbeat.
 *
 * Each pair of members uses two connections, one made by each side; a member sends on the one it
 * made and receives on the one it accepted, so nothing has to be agreed on. Both sides must show a
 * certificate of the peer CA (the contexts see to it).
 *
 *   connection = hello frame*
 *   hello      = "C8SP" version:1 purpose:1 0:2 cluster_id:8 from:8 to:8      (32 bytes, big-endian)
 *   frame      = length:4 crc32c:4 kind:1 0:3 body                            (length of the body)
 *
 * purpose: 1 messages, 2 snapshot. A wrong magic, version, cluster, `to`, a length over the limit or
 * a bad checksum closes the connection. What is queued to a slow or absent peer is bounded; past the
 * bound messages are dropped and the core is told (raft_peer_unreachable).
 */
#ifndef C8S_RAFT_TRANSPORT_H
#define C8S_RAFT_TRANSPORT_H

#include "net/stream.h"
#include "raft/message.h"

struct raft_transport;

#define RAFT_FRAME_HEAD 12
#define RAFT_HELLO_SIZE 32
#define RAFT_FRAME_MAX (64u * 1024 * 1024)  /* body bytes */
#define RAFT_PEER_QUEUE_MAX (32u * 1024 * 1024) /* bytes queued to one peer before dropping */

enum raft_frame_kind {
    RAFT_FRAME_MESSAGE = 1,       /* one raft_message */
    RAFT_FRAME_FORWARD = 2,       /* proposals of a follower (raft/forward.h) */
    RAFT_FRAME_FORWARD_REPLY = 3,
    RAFT_FRAME_SNAPSHOT_META = 4, /* snapshot connection: message with metadata, then chunks, end */
    RAFT_FRAME_SNAPSHOT_CHUNK = 5,
    RAFT_FRAME_SNAPSHOT_END = 6,
    RAFT_FRAME_SNAPSHOT_REPLY = 7, /* one byte: 1 staged, 0 refused; then the receiver closes */
};

struct raft_transport_events {
    /* A frame from `from` (checked in the hello); body valid during the call. Loop thread. Returning
     * false closes the connection (the body was malformed). */
    bool (*on_frame)(void *ctx, uint64_t from, enum raft_frame_kind kind, struct str body);
    /* The connection to `peer` was lost or its queue overflowed. Loop thread. */
    void (*on_unreachable)(void *ctx, uint64_t peer);
    /* A peer opened a snapshot connection: the descriptor's stream is handed over as its hello was
     * read. Loop thread; the callee owns it. */
};

struct raft_transport_options {
    uint64_t id, cluster_id;
    const char *listen; /* NULL: accept nobody */
    struct tls_context *tls_server, *tls_client;
    const struct raft_transport_events *events;
    void *ctx;
};

/* Everything on `loop`'s thread. */
struct raft_transport *raft_transport_new(struct loop *loop, const struct raft_transport_options *o,
                                          struct error *err);
/* Closes all connections; `done` runs on the loop when the last is gone. */
void raft_transport_close(struct raft_transport *t, void (*done)(void *ctx), void *ctx);
int raft_transport_port(const struct raft_transport *t);

/* Connect to (and keep connected with back-off) `id` at `address`; NULL: disconnect and forget. */
void raft_transport_set_peer(struct raft_transport *t, uint64_t id, const char *address);

/* Queue a frame; false when it was dropped (unknown peer, not connected, queue full). What is queued
 * in one loop iteration leaves in as few writes as possible. */
bool raft_transport_send(struct raft_transport *t, uint64_t to, enum raft_frame_kind kind,
                         struct str body);

#endif
