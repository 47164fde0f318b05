/*
 * The journal thread: takes every batch that waits, makes them durable with one call, and reports
 * them to the raft thread, which passes them on to the stored log.
 */
#include "raft/node_internal.h"

#include "base/mem.h"
#include <assert.h>

struct journal_done { /* journal → raft */
    struct loop_task task;
    struct raft_node *node;
    struct list batches; /* journal_jobs flushed by one call */
    bool barrier;
};

void journal_job_free(struct journal_job *job)
{
    struct raft_entry *entries = (struct raft_entry *)job->batch.entries;
    for (size_t i = 0; i < job->batch.entries_len; i++)
        blob_unref(entries[i].data);
    mem_free(entries);
    mem_free(job);
}

void node_journal_push(struct raft_node *n, const struct raft_persist *batch)
{
    struct journal_job *job = mem_zalloc(sizeof *job);
    job->barrier = !batch;
    if (batch) {
        job->batch = *batch;
        job->batch.entries = NULL;
        if (batch->entries_len) {
            struct raft_entry *copy =
                mem_dup(batch->entries, batch->entries_len * sizeof *batch->entries);
            for (size_t i = 0; i < batch->entries_len; i++)
                blob_ref(copy[i].data);
            job->batch.entries = copy;
            n->unflushed += batch->entries_len;
        }
    }
    queue_push(&n->journal, &job->link);
}

/* Raft thread. */
static void flushed(struct loop_task *task)
{
    struct journal_done *done = container_of(task, struct journal_done, task);
    struct raft_node *n = done->node;
    while (n->stopping && !list_empty(&done->batches)) {
        struct journal_job *b = list_first(&done->batches, struct journal_job, link);
        list_remove(&b->link); /* the next start replays it from the journal */
        journal_job_free(b);
    }
    if (!list_empty(&done->batches)) {
        struct apply_job *job = mem_zalloc(sizeof *job);
        job->kind = APPLY_LOG;
        list_init(&job->batches);
        list_splice_back(&job->batches, &done->batches);
        uint64_t seq = list_entry(job->batches.prev, struct journal_job, link)->batch.seq;
        list_for_each (it, &job->batches) {
            const struct journal_job *b = list_entry(it, struct journal_job, link);
            n->unflushed -= b->batch.entries_len;
            for (size_t i = 0; i < b->batch.entries_len; i++)
                job->bytes += raft_entry_size(&b->batch.entries[i]);
        }
        node_apply_push(n, job, false);
        raft_persisted(n->raft, seq);
    }
    if (done->barrier && !n->stopping)
        node_barrier_passed(n);
    if (!n->stopping)
        node_wake(n);
    mem_free(done);
}

static void report(struct raft_node *n, struct list *batches, bool barrier)
{
    struct journal_done *done = mem_zalloc(sizeof *done);
    done->task.fn = flushed;
    done->node = n;
    done->barrier = barrier;
    list_init(&done->batches);
    list_splice_back(&done->batches, batches);
    loop_post(n->loop, &done->task);
}

/* Flush the jobs up to the first barrier, in one call; leaves the rest in `jobs`. */
static void flush_some(struct raft_node *n, struct list *jobs)
{
    VEC(struct raft_persist) batches = {0};
    struct list taken;
    bool barrier = false;
    list_init(&taken);
    while (!list_empty(jobs) && !barrier) {
        struct journal_job *job = list_first(jobs, struct journal_job, link);
        list_remove(&job->link);
        barrier = job->barrier;
        if (barrier) {
            journal_job_free(job);
            break;
        }
        list_push_back(&taken, &job->link);
        vec_push(&batches, job->batch);
    }
    struct error err;
    if (batches.len && n->ops->persist(n->machine, batches.items, batches.len, &err) < 0)
        node_fatal("writing the journal", &err);
    vec_free(&batches);
    report(n, &taken, barrier);
}

void *node_journal_thread(void *arg)
{
    struct raft_node *n = arg;
    struct queue *q = &n->journal;
    for (;;) {
        struct list jobs;
        list_init(&jobs);
        pthread_mutex_lock(&q->mutex);
        while (list_empty(&q->jobs) && !q->stop)
            queue_sleep(q, NULL);
        list_splice_back(&jobs, &q->jobs);
        pthread_mutex_unlock(&q->mutex);
        if (list_empty(&jobs))
            return NULL; /* stopped and drained */
        while (!list_empty(&jobs))
            flush_some(n, &jobs);
    }
}
