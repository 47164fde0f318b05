/*
 * The journal, and the two threads that share the raft loop and it.
 *
 * One of the two has the loop: it runs it. The other one has the journal: it takes every batch that waits
 * there, makes them durable with one call, and reports them to the loop, which passes them on to the stored log.
 *
 * To wake a thread, and to be woken by it, takes as long as a quick disk's flush. So whoever has the loop leaves it
 * for a small batch and flushes that itself, as long as nothing else is at the disk and the disk is quick.
 * The journal's thread, which then has nothing to do, looks whether it comes back: after STALL_MS it takes
 * the loop over, and who is stuck in the flush has the journal from then on. So a stalled disk stops no heartbeat.
 * The loop is left in the same way to apply a few entries (node_apply.c), which may wait for the disk as well.
 */
#include "raft/node_internal.h"

#include "base/clock.h"
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

/* ---- with the loop ---- */

static bool may_flush_here(const struct raft_node *n, const struct raft_persist *batch)
{
    if (!batch || n->at_journal || batch->entries_len >= FLUSH_HERE_ENTRIES ||
        atomic_load(&n->flush_ns) >= QUICK_NS)
        return false;
    uint64_t bytes = 0;
    for (size_t i = 0; i < batch->entries_len; i++)
        bytes += raft_entry_size(&batch->entries[i]);
    return bytes < FLUSH_HERE_BYTES;
}

static void to_journal(struct raft_node *n, struct journal_job *job)
{
    struct queue *q = &n->journal;
    list_push_back(&n->flush_here, &job->link);
    list_for_each (it, &n->flush_here)
        n->at_journal++;
    pthread_mutex_lock(&q->mutex);
    list_splice_back(&q->jobs, &n->flush_here);
    queue_wake_unlock(q, true);
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
    if (may_flush_here(n, batch)) {
        list_push_back(&n->flush_here, &job->link);
        loop_leave(n->loop);
    } else {
        to_journal(n, job);
    }
}

static void jobs_free(struct list *jobs)
{
    while (!list_empty(jobs)) {
        struct journal_job *b = list_first(jobs, struct journal_job, link);
        list_remove(&b->link);
        journal_job_free(b);
    }
}

static void batches_flushed(struct raft_node *n, struct list *batches)
{
    struct apply_job *job;
    list_for_each (it, batches)
        n->at_journal--;
    if (n->stopping)
        jobs_free(batches); /* the next start replays it from the journal */
    if (list_empty(batches))
        return;
    job = mem_zalloc(sizeof *job);
    job->kind = APPLY_LOG;
    list_init(&job->batches);
    list_splice_back(&job->batches, batches);
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

static void report_arrives(struct loop_task *task)
{
    struct journal_done *done = container_of(task, struct journal_done, task);
    struct raft_node *n = done->node;
    batches_flushed(n, &done->batches);
    if (done->barrier) {
        n->at_journal--;
        if (!n->stopping)
            node_barrier_passed(n);
    }
    if (!n->stopping)
        node_wake(n);
    mem_free(done);
}

/* ---- with the journal ---- */

static void report(struct raft_node *n, struct list *batches, bool barrier)
{
    struct journal_done *done = mem_zalloc(sizeof *done);
    done->task.fn = report_arrives;
    done->node = n;
    done->barrier = barrier;
    list_init(&done->batches);
    list_splice_back(&done->batches, batches);
    loop_post(n->loop, &done->task);
}

/* A flush that takes for ever counts as a few slow ones: a disk that is well again is soon believed. */
static void measure(struct raft_node *n, uint64_t took)
{
    uint64_t mean = atomic_load(&n->flush_ns);
    atomic_store(&n->flush_ns, mean - mean / 8 + MIN(took, 4 * QUICK_NS) / 8);
}

/* Make the batches durable with one call. */
static void flush(struct raft_node *n, const struct list *jobs)
{
    VEC(struct raft_persist) batches = {0};
    list_for_each (it, jobs)
        vec_push(&batches, list_entry(it, struct journal_job, link)->batch);
    struct error err;
    uint64_t began = host_mono_ns(n->options.host);
    if (batches.len && n->ops->persist(n->machine, batches.items, batches.len, &err) < 0)
        node_fatal("writing the journal", &err);
    if (batches.len)
        measure(n, host_mono_ns(n->options.host) - began);
    vec_free(&batches);
}

/* Flush the jobs up to the first barrier, in one call; leaves the rest in `jobs`. */
static void flush_some(struct raft_node *n, struct list *jobs)
{
    struct list taken;
    bool barrier = false;
    list_init(&taken);
    while (!list_empty(jobs) && !barrier) {
        struct journal_job *job = list_first(jobs, struct journal_job, link);
        list_remove(&job->link);
        barrier = job->barrier;
        if (barrier)
            journal_job_free(job);
        else
            list_push_back(&taken, &job->link);
    }
    flush(n, &taken);
    report(n, &taken, barrier);
}

/* ---- the loop changes hands ---- */

static bool take_loop(struct raft_node *n)
{
    bool left = true;
    return atomic_compare_exchange_strong(&n->loop_left, &left, false);
}

/* From here on the other thread may take the loop, and with it all that belongs to who has it. */
static void let_loop_go(struct raft_node *n)
{
    atomic_store(&n->loop_left_ns, host_mono_ns(n->options.host));
    atomic_store(&n->loop_left, true);
    if (!atomic_exchange(&n->loop_watched, true)) {
        pthread_mutex_lock(&n->journal.mutex);
        queue_wake_unlock(&n->journal, true);
    }
}

/* Who has the loop has left it for this. False: the other thread has it now. */
static bool flush_here(struct raft_node *n)
{
    struct list batches;
    if (list_empty(&n->flush_here)) /* more came, and all went to the journal's thread */
        return true;
    list_init(&batches);
    list_for_each (it, &n->flush_here)
        n->at_journal++;
    list_splice_back(&batches, &n->flush_here);
    let_loop_go(n);
    flush(n, &batches);
    if (take_loop(n)) {
        batches_flushed(n, &batches);
        node_pump(n);
        return true;
    }
    report(n, &batches, false);
    return false;
}

static bool apply_here(struct raft_node *n)
{
    n->apply_here = false;
    if (!list_empty(&n->flush_here)) { /* came after it: not both in a row */
        node_apply_hurry(n, false);
        return true;
    }
    let_loop_go(n);
    node_apply_here(n);
    return take_loop(n);
}

static bool is_stalled(struct raft_node *n)
{
    uint64_t left = atomic_load(&n->loop_left_ns), now = host_mono_ns(n->options.host);
    if (now > left + WATCH_MS * NS_PER_MS) {
        atomic_store(&n->loop_watched, false);
        if (atomic_load(&n->loop_left)) /* just now: it may not have seen that nobody watches */
            atomic_store(&n->loop_watched, true);
    }
    return atomic_load(&n->loop_left) && now > left + STALL_MS * NS_PER_MS;
}

/* Sleep until there is something to do, with the queue's mutex held. True: take the loop. */
static bool wait_for_batches(struct raft_node *n)
{
    struct queue *q = &n->journal;
    while (list_empty(&q->jobs) && !q->stop) {
        struct timespec until;
        bool watch = atomic_load(&n->loop_watched);
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)(STALL_MS * NS_PER_MS);
        if (until.tv_nsec >= (long)NS_PER_S) {
            until.tv_nsec -= (long)NS_PER_S;
            until.tv_sec++;
        }
        queue_sleep(q, watch ? &until : NULL);
        if (watch && is_stalled(n) && take_loop(n))
            return true;
    }
    return false;
}

/* Until there is a loop to take: true; false: stopped and drained. */
static bool have_journal(struct raft_node *n)
{
    struct queue *q = &n->journal;
    for (;;) {
        struct list jobs;
        list_init(&jobs);
        pthread_mutex_lock(&q->mutex);
        bool loop = wait_for_batches(n);
        if (!loop)
            list_splice_back(&jobs, &q->jobs);
        pthread_mutex_unlock(&q->mutex);
        if (loop || list_empty(&jobs))
            return loop;
        while (!list_empty(&jobs))
            flush_some(n, &jobs);
    }
}

/* Until it is lost in a stalled flush: true; false: stopped. */
static bool have_loop(struct raft_node *n)
{
    while (loop_run(n->loop))
        if ((n->apply_here && !apply_here(n)) || !flush_here(n))
            return true;
    return false;
}

void *node_loop_thread(void *arg)
{
    struct raft_node *n = arg;
    while (have_loop(n)) {
        pthread_setname_np(pthread_self(), "raft-journal");
        if (!have_journal(n))
            break;
        pthread_setname_np(pthread_self(), "raft");
    }
    return NULL;
}

void *node_journal_thread(void *arg)
{
    struct raft_node *n = arg;
    if (have_journal(n)) {
        pthread_setname_np(pthread_self(), "raft");
        node_loop_thread(n);
    }
    return NULL;
}
