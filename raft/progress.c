/*
 * A peer's replication state and its flow control (raft/progress.h).
 */
#include "raft/progress.h"

#include "base/mem.h"
#include <assert.h>

void raft_progress_init(struct raft_progress *p, uint64_t id, uint64_t next, uint32_t inflight_max)
{
    assert(id != 0 && next >= 1);
    assert(inflight_max >= 1 && inflight_max <= RAFT_INFLIGHT_MAX);
    *p = (struct raft_progress){.id = id, .state = RAFT_PROBE, .next = next};
    p->capacity = inflight_max;
    p->ring = mem_alloc(inflight_max * sizeof *p->ring);
}

void raft_progress_close(struct raft_progress *p)
{
    mem_free(p->ring);
    p->ring = NULL;
}

static void window_clear(struct raft_progress *p)
{
    p->start = p->count = 0;
    p->inflight_bytes = 0;
    p->probe_sent = false;
    p->fetch_id = 0;
    p->commit_sent = 0;
}

void raft_progress_probe(struct raft_progress *p, uint64_t next)
{
    assert(next > p->match);
    window_clear(p);
    p->state = RAFT_PROBE;
    p->next = next;
}

void raft_progress_replicate(struct raft_progress *p)
{
    window_clear(p);
    p->state = RAFT_REPLICATE;
    p->next = p->match + 1;
}

void raft_progress_snapshot(struct raft_progress *p)
{
    window_clear(p);
    p->state = RAFT_SNAPSHOT;
}

bool raft_progress_may_send(const struct raft_progress *p, uint64_t inflight_bytes_max)
{
    if (p->fetch_id)
        return false;
    switch (p->state) {
    case RAFT_PROBE:
        return !p->probe_sent;
    case RAFT_REPLICATE:
        return p->count < p->capacity && p->inflight_bytes < inflight_bytes_max;
    case RAFT_SNAPSHOT:
        return false;
    }
    return false;
}

void raft_progress_sent(struct raft_progress *p, size_t n, uint64_t bytes)
{
    assert(p->state != RAFT_SNAPSHOT);
    if (p->state == RAFT_PROBE) {
        p->probe_sent = true;
        return;
    }
    if (n == 0)
        return;
    assert(p->count < p->capacity);
    p->next += n;
    uint32_t at = (p->start + p->count++) % p->capacity;
    p->ring[at] = (struct raft_inflight){p->next - 1, bytes};
    p->inflight_bytes += bytes;
}

static void window_pop(struct raft_progress *p)
{
    assert(p->count > 0 && p->inflight_bytes >= p->ring[p->start].bytes);
    p->inflight_bytes -= p->ring[p->start].bytes;
    p->start = (p->start + 1) % p->capacity;
    p->count--;
}

bool raft_progress_acked(struct raft_progress *p, uint64_t index)
{
    bool news = index > p->match;
    if (news)
        p->match = index;
    if (p->next <= p->match)
        p->next = p->match + 1;
    while (p->count > 0 && p->ring[p->start].last_index <= index)
        window_pop(p);
    assert(p->match < p->next);
    return news;
}

bool raft_progress_rejected(struct raft_progress *p, uint64_t rejected, uint64_t hint)
{
    /* At or below match: an old message, refused before it was acknowledged. (Or the peer has lost
     * what it acknowledged: it must come back as a new member; no use asking again at once.) */
    if (p->state == RAFT_SNAPSHOT || rejected <= p->match)
        return false;
    if (p->state == RAFT_REPLICATE) {
        raft_progress_probe(p, p->match + 1);
        return true;
    }
    if (rejected != p->next - 1)
        return false;
    uint64_t next = MIN(rejected, hint + 1);
    raft_progress_probe(p, MAX(next, p->match + 1));
    return true;
}

void raft_progress_nudge(struct raft_progress *p, uint64_t inflight_bytes_max)
{
    p->recent_active = true;
    p->probe_sent = false;
    /* Should all replies of a full window be lost, freeing one place lets the next append find out. */
    if (p->state == RAFT_REPLICATE && p->count > 0 &&
        !raft_progress_may_send(p, inflight_bytes_max) && !p->fetch_id)
        window_pop(p);
}
