/*
 * The peer thread: whatever a peer needs from disk, away from the raft thread: entries that are not
 * in memory any more, and the pieces of snapshots (node_snapshot.c).
 */
#include "raft/node_internal.h"

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

/* ---- fetches ---- */

struct fetch_job {
    struct peer_job job;
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

static void fetch_done(struct peer_job *job)
{
    struct fetch_job *f = container_of(job, struct fetch_job, job);
    struct raft_node *n = job->node;
    if (!n->stopping) {
        raft_fetched(n->raft, &f->fetch, f->entries, f->len);
        node_wake(n);
    }
    for (size_t i = 0; i < f->len; i++)
        blob_unref(f->entries[i].data);
    mem_free(f->entries);
    mem_free(f);
}

void node_fetch(struct raft_node *n, const struct raft_fetch *fetch)
{
    struct fetch_job *f = mem_zalloc(sizeof *f);
    f->fetch = *fetch;
    f->job.run = fetch_run;
    f->job.done = fetch_done;
    node_peer_push(n, &f->job);
}
