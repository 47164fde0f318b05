/*
 * What a member's raft thread counts about its peers, under etcd's names; label To is the peer's id.
 */
#ifndef C8S_RAFT_NODE_METRICS_H
#define C8S_RAFT_NODE_METRICS_H

#include "raft/message.h"
#include "base/metrics.h"

#define NODE_METRICS_PEERS 32 /* of one life of the process; more are not counted */

/* Snapshots in one direction. */
struct snapshot_metrics {
    struct counter *done, *failures;
    struct gauge *under_way;
    struct histogram *seconds;
};

struct peer_metrics {
    uint64_t id; /* 0: free */
    struct counter *failures, *sent_bytes, *received_bytes;
    struct histogram *round_trip; /* of the leader's heartbeats */
    struct snapshot_metrics sent, taken_in;
    uint64_t asked_ns; /* when the heartbeat not answered yet was sent; 0: none */
};

struct node_metrics {
    struct metrics *registry; /* NULL: nothing is counted */
    struct peer_metrics peers[NODE_METRICS_PEERS];
};

/* All of them on the raft thread. */
void node_metrics_sent(struct node_metrics *n, const struct raft_message *m, size_t bytes, bool ok);
void node_metrics_received(struct node_metrics *n, const struct raft_message *m, size_t bytes);
/* A snapshot to (`out`) or from a peer; each that begins ends once. */
void node_metrics_snapshot_begins(struct node_metrics *n, uint64_t peer, bool out);
void node_metrics_snapshot_ends(struct node_metrics *n, uint64_t peer, bool out, bool ok,
                                uint64_t took_ms);

#endif
