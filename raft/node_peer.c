/*
 * The peer thread: whatever a peer needs from disk, away from the raft thread: entries that are not
 * in memory any more, and the pieces of snapshots (node_snapshot.c).
 */
#include "raft/node_internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A peer that lags may wait a little longer; who is served may not. Still a third of a thread's due where the
 * processors are never idle, so that a peer that lags does come back. */
#define PEER_NICE 5

static void job_returns(struct loop_task *task)
{
    struct peer_job *job = container_of(task, struct peer_job, task);
    job->done(job);
}

void node_peer_push(struct raft_node *n, struct peer_job *job)
{
    job->node = n;
    job->task.fn = job_returns;
    queue_push(&n->peer, &job->link);
}

void *node_peer_thread(void *arg)
{
    struct raft_node *n = arg;
    struct queue *q = &n->peer;
    if (setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), PEER_NICE) < 0)
        log_warn("raft", "the peer thread keeps its priority errno=%d", errno);
    for (;;) {
        pthread_mutex_lock(&q->mutex);
        while (list_empty(&q->jobs) && !q->stop)
            queue_sleep(q, NULL);
        if (list_empty(&q->jobs)) {
            pthread_mutex_unlock(&q->mutex);
            return NULL;
        }
        struct peer_job *job = list_first(&q->jobs, struct peer_job, link);
        list_remove(&job->link);
        pthread_mutex_unlock(&q->mutex);
        job->run(job);
        loop_post(n->loop, &job->task);
    }
}

/* ---- the pace ---- */

bool node_may_give(struct raft_node *n)
{
    uint64_t wait = pace_wait_ns(&n->pace, host_mono_ns(n->options.host));
    if (wait && !loop_timer_active(&n->bulk)) {
        loop_timer_start(&n->bulk, (wait + NS_PER_MS - 1) / NS_PER_MS);
        if (n->metrics.given_waits)
            counter_add(n->metrics.given_waits, 1);
    }
    return wait == 0;
}

void node_given(struct raft_node *n, uint64_t bytes)
{
    pace_taken(&n->pace, bytes, host_mono_ns(n->options.host));
    if (n->metrics.given_bytes)
        counter_add(n->metrics.given_bytes, bytes);
}

/* ---- fetches ---- */

#define FETCH_BYTES_MAX (256 * 1024) /* small steps, so that the pace is even */

struct fetch_job {
    struct peer_job job; /* its link: in node->fetches, then in the peer thread's queue */
    struct raft_fetch fetch;
    struct raft_entry *entries;
    size_t len;
};

static void fetch_run(struct peer_job *job)
{
    struct fetch_job *f = container_of(job, struct fetch_job, job);
    struct raft_node *n = job->node;
    struct error err;
    f->entries = mem_alloc(FETCH_ENTRIES_MAX * sizeof *f->entries);
    int got = n->ops->read_log(n->machine, f->fetch.lo, f->fetch.hi, f->fetch.bytes_max, f->entries,
                               FETCH_ENTRIES_MAX, &err);
    if (got < 0)
        log_error("raft", "cannot read the stored log from=%llu reason=\"%s\"",
                  (unsigned long long)f->fetch.lo, err.message);
    f->len = got > 0 ? (size_t)got : 0;
}

/* One at a time: what it comes to is known afterwards. */
static void go_on_fetching(struct raft_node *n)
{
    if (n->fetch_out || list_empty(&n->fetches) || !node_may_give(n))
        return;
    struct fetch_job *f = list_first(&n->fetches, struct fetch_job, job.link);
    list_remove(&f->job.link);
    n->fetch_out = true;
    node_peer_push(n, &f->job);
}

static void fetch_done(struct peer_job *job)
{
    struct fetch_job *f = container_of(job, struct fetch_job, job);
    struct raft_node *n = job->node;
    uint64_t bytes = f->len * PACE_ENTRY_BYTES;
    for (size_t i = 0; i < f->len; i++)
        bytes += raft_entry_size(&f->entries[i]);
    node_given(n, bytes);
    if (!n->stopping) {
        raft_fetched(n->raft, &f->fetch, f->entries, f->len);
        node_wake(n);
    }
    for (size_t i = 0; i < f->len; i++)
        blob_unref(f->entries[i].data);
    mem_free(f->entries);
    mem_free(f);
    n->fetch_out = false;
    if (!n->stopping)
        go_on_fetching(n);
}

void node_fetch(struct raft_node *n, const struct raft_fetch *fetch)
{
    struct fetch_job *f = mem_zalloc(sizeof *f);
    f->fetch = *fetch;
    f->fetch.bytes_max = MIN(fetch->bytes_max, FETCH_BYTES_MAX);
    f->job.run = fetch_run;
    f->job.done = fetch_done;
    list_push_back(&n->fetches, &f->job.link);
    go_on_fetching(n);
}

void node_cancel_fetches(struct raft_node *n)
{
    while (!list_empty(&n->fetches)) {
        struct fetch_job *f = list_first(&n->fetches, struct fetch_job, job.link);
        list_remove(&f->job.link);
        mem_free(f);
    }
}

void node_bulk(struct loop_timer *timer)
{
    struct raft_node *n = container_of(timer, struct raft_node, bulk);
    go_on_fetching(n);
    node_go_on_sending(n);
}
