/*
 * Counting messages between members (raft/node_metrics.h).
 */
#include "raft/node_metrics.h"
#include "base/clock.h"
#include "base/mem.h"
#include <inttypes.h>
#include <stdio.h>

#define LOST_NS (5 * NS_PER_S) /* an answer that did not come by then will not */

static void register_snapshots(struct metrics *m, struct snapshot_metrics *s, const char *verb,
                               const char *label)
{
    static const double bounds[] = {0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2};
    char name[80];
    snprintf(name, sizeof name, "etcd_network_snapshot_%s_success", verb);
    s->done = metrics_counter(m, name, label, "Snapshots of the state that arrived.");
    snprintf(name, sizeof name, "etcd_network_snapshot_%s_failures", verb);
    s->failures = metrics_counter(m, name, label, "Snapshots of the state that were given up.");
    snprintf(name, sizeof name, "etcd_network_snapshot_%s_inflights_total", verb);
    s->under_way = metrics_gauge(m, name, label, "Snapshots of the state under way.");
    snprintf(name, sizeof name, "etcd_network_snapshot_%s_total_duration_seconds", verb);
    s->seconds = metrics_histogram(m, name, label, "Time that a snapshot of the state took.",
                                   bounds, ARRAY_LEN(bounds));
}

static void register_peer(struct node_metrics *n, struct peer_metrics *p, uint64_t id)
{
    static const double bounds[] = {0.0001, 0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.0064, 0.0128,
                                    0.0256, 0.0512, 0.1024, 0.2048, 0.4096, 0.8192, 1.6384, 3.2768};
    char to[32], from[32];
    snprintf(to, sizeof to, "To=\"%" PRIx64 "\"", id);
    snprintf(from, sizeof from, "From=\"%" PRIx64 "\"", id);
    p->id = id;
    p->failures = metrics_counter(n->registry, "etcd_network_peer_sent_failures_total", to,
                                  "Messages to a peer that could not be sent.");
    p->sent_bytes = metrics_counter(n->registry, "etcd_network_peer_sent_bytes_total", to,
                                    "Bytes of messages sent to a peer.");
    p->received_bytes = metrics_counter(n->registry, "etcd_network_peer_received_bytes_total", from,
                                        "Bytes of messages received from a peer.");
    p->round_trip = metrics_histogram(n->registry, "etcd_network_peer_round_trip_time_seconds", to,
                                      "Time from a heartbeat of this leader to its answer.", bounds,
                                      ARRAY_LEN(bounds));
    register_snapshots(n->registry, &p->sent, "send", to);
    register_snapshots(n->registry, &p->taken_in, "receive", from);
}

static struct peer_metrics *find(struct node_metrics *n, uint64_t id)
{
    if (!n->registry || id == 0)
        return NULL;
    for (size_t i = 0; i < NODE_METRICS_PEERS; i++) {
        struct peer_metrics *p = &n->peers[i];
        if (p->id == 0)
            register_peer(n, p, id);
        if (p->id == id)
            return p;
    }
    return NULL;
}

void node_metrics_sent(struct node_metrics *n, const struct raft_message *m, size_t bytes, bool ok)
{
    struct peer_metrics *p = find(n, m->to);
    if (!p)
        return;
    if (!ok) {
        counter_add(p->failures, 1);
        return;
    }
    counter_add(p->sent_bytes, bytes);
    uint64_t now = clock_mono_ns();
    if (m->type == RAFT_MSG_HEARTBEAT && (!p->asked_ns || now - p->asked_ns > LOST_NS))
        p->asked_ns = now;
}

void node_metrics_received(struct node_metrics *n, const struct raft_message *m, size_t bytes)
{
    struct peer_metrics *p = find(n, m->from);
    if (!p)
        return;
    counter_add(p->received_bytes, bytes);
    if (m->type == RAFT_MSG_HEARTBEAT_REPLY && p->asked_ns) {
        histogram_observe(p->round_trip, (double)(clock_mono_ns() - p->asked_ns) / 1e9);
        p->asked_ns = 0;
    }
}

void node_metrics_snapshot_begins(struct node_metrics *n, uint64_t peer, bool out)
{
    struct peer_metrics *p = find(n, peer);
    if (p)
        gauge_add(out ? p->sent.under_way : p->taken_in.under_way, 1);
}

void node_metrics_snapshot_ends(struct node_metrics *n, uint64_t peer, bool out, bool ok,
                                uint64_t took_ms)
{
    struct peer_metrics *p = find(n, peer);
    if (!p)
        return;
    struct snapshot_metrics *s = out ? &p->sent : &p->taken_in;
    gauge_add(s->under_way, -1);
    counter_add(ok ? s->done : s->failures, 1);
    if (ok)
        histogram_observe(s->seconds, (double)took_ms / 1e3);
}
