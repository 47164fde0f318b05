/*
 * The apply thread: flushed entries into the stored log and committed entries into the state, in one
 * transaction, then the callbacks of the proposals among them.
 *
 * It begins transactions and commits them. Into one that it holds open meanwhile the raft thread puts a few small
 * entries itself (node_apply_here): waking a thread takes longer than applying them. The queue's `busy` says
 * that one of the two is at it; the jobs before are done then, so that the order of the log is kept.
 *
 * Flushed entries alone are in no hurry: until they are applied the core keeps them in memory. They
 * wait for a transaction with something to apply, or for the next round of housekeeping, which saves
 * a transaction per write.
 */
#include "raft/node_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include <assert.h>

/* ---- raft thread ---- */

void node_apply_push(struct raft_node *n, struct apply_job *job, bool urgent)
{
    struct queue *q = &n->apply;
    pthread_mutex_lock(&q->mutex);
    list_push_back(&q->jobs, &job->link);
    q->bytes += job->kind == APPLY_LOG ? job->bytes : 0;
    q->entries += job->len;
    bool wake = (urgent || q->bytes > APPEND_LAZY_BYTES) && !q->urgent;
    if (wake)
        q->urgent = true;
    queue_wake_unlock(q, wake);
}

/* Is what waits so little, and nobody at it? With the mutex held. */
static bool may_apply_here(const struct raft_node *n)
{
    const struct queue *q = &n->apply;
    return n->ops->apply_held && !q->busy && !q->urgent && !q->stop &&
           q->entries <= APPLY_HERE_ENTRIES && q->bytes <= FLUSH_HERE_BYTES;
}

void node_apply_hurry(struct raft_node *n, bool here)
{
    struct queue *q = &n->apply;
    n->apply_put_off = false;
    pthread_mutex_lock(&q->mutex);
    /* While this thread is at the disk the apply thread gets on with it. */
    n->apply_here = here && list_empty(&n->flush_here) && may_apply_here(n);
    bool wake = !n->apply_here && !q->urgent && !list_empty(&q->jobs);
    if (wake)
        q->urgent = true;
    queue_wake_unlock(q, wake);
    if (n->apply_here)
        loop_leave(n->loop);
}

void raft_node_nudge(struct raft_node *n)
{
    struct queue *q = &n->apply;
    pthread_mutex_lock(&q->mutex);
    bool wake = !q->urgent;
    q->urgent = true;
    queue_wake_unlock(q, wake);
}

/* Does anybody here wait for what these entries do? Only in a stream of writes can they wait for more
 * to come. */
static bool is_awaited(struct raft_node *n, const struct apply_job *job)
{
    uint64_t now = node_now_ms(n), last = n->applying_ms;
    n->applying_ms = now;
    for (size_t i = 0; i < job->len; i++)
        if (job->proposals[i])
            return true;
    return now - last > SOON_MS || job->configs || job->len >= APPLY_NEWS || !n->ops->awaited ||
           n->ops->awaited(n->machine);
}

/* The configuration after a CONFIG entry; as the core, a change that makes no sense is none. */
static void advance_config(struct raft_node *n, const struct raft_entry *e)
{
    struct raft_change change;
    if (raft_change_decode(raft_entry_payload(e), &change, NULL) == 0)
        raft_config_change(&n->handed_config, &change, &n->handed_config, NULL);
}

void node_apply_entries(struct raft_node *n, const struct raft_ready *ready)
{
    struct apply_job *job = mem_zalloc(sizeof *job);
    size_t len = ready->apply_len, configs = 0;
    for (size_t i = 0; i < len; i++)
        configs += ready->apply[i].kind == RAFT_ENTRY_CONFIG;
    job->kind = APPLY_ENTRIES;
    job->len = len;
    job->entries = mem_zalloc(len * sizeof *job->entries);
    job->proposals = mem_zalloc(len * sizeof *job->proposals);
    job->configs = configs ? mem_alloc(configs * sizeof *job->configs) : NULL;
    configs = 0;
    for (size_t i = 0; i < len; i++) {
        struct raft_apply *a = &job->entries[i];
        a->entry = ready->apply[i];
        blob_ref(a->entry.data);
        job->proposals[i] = node_take_proposal(n, &a->entry);
        a->proposal = job->proposals[i] ? job->proposals[i]->ctx : NULL;
        if (a->entry.kind == RAFT_ENTRY_CONFIG) {
            advance_config(n, &a->entry);
            job->configs[configs] = n->handed_config;
            a->config = &job->configs[configs++];
        }
    }
    node_settle_proposals(n, ready->apply[len - 1].index, RAFT_REJECTED);
    bool urgent = is_awaited(n, job), here = !job->configs && len <= APPLY_HERE_AWAITED;
    node_apply_push(n, job, urgent && !here);
    if (urgent && here) {
        node_apply_hurry(n, true);
    } else if (!urgent) {
        n->apply_put_off = true;
        node_soon(n);
    }
}

/* ---- whoever applies ---- */

static void job_free(struct apply_job *job)
{
    if (job->kind == APPLY_LOG)
        while (!list_empty(&job->batches)) {
            struct journal_job *b = list_first(&job->batches, struct journal_job, link);
            list_remove(&b->link);
            journal_job_free(b);
        }
    for (size_t i = 0; i < job->len; i++)
        blob_unref(job->entries[i].entry.data);
    mem_free(job->entries);
    mem_free(job->proposals);
    mem_free(job->configs);
    mem_free(job);
}

/*
 * The raft thread looks at what is applied whenever something else wakes it, at the latest with its
 * next tick. It is woken for it only when it has a use for it: a configuration takes effect, or
 * much memory is to be freed.
 */
static void tell_raft(struct raft_node *n, bool wake)
{
    if (wake && !atomic_exchange(&n->applied_posted, true))
        loop_post(n->loop, &n->applied_task);
}

static void batch_add(struct apply_scratch *b, const struct apply_job *job)
{
    if (job->kind == APPLY_LOG)
        list_for_each (it, &job->batches)
            vec_push(&b->persisted, list_entry(it, struct journal_job, link)->batch);
    for (size_t i = 0; i < job->len; i++)
        vec_push(&b->apply, job->entries[i]);
}

static void call_back(const struct apply_job *job)
{
    for (size_t i = 0; i < job->len; i++)
        if (job->proposals[i])
            proposal_applied(job->proposals[i], job->entries[i].entry.index);
}

static bool has_config(const struct apply_scratch *b)
{
    for (size_t i = 0; i < b->apply.len; i++)
        if (b->apply.items[i].config)
            return true;
    return false;
}

/* One transaction's from the head of `jobs`, up to an installation. */
static struct raft_apply_batch take_batch(struct raft_node *n, struct list *jobs,
                                          struct list *taken)
{
    struct apply_scratch *b = &n->scratch;
    vec_clear(&b->persisted);
    vec_clear(&b->apply);
    while (!list_empty(jobs) && b->apply.len < APPLY_BATCH_MAX) {
        struct apply_job *job = list_first(jobs, struct apply_job, link);
        if (job->kind == APPLY_INSTALL)
            break;
        list_remove(&job->link);
        list_push_back(taken, &job->link);
        batch_add(b, job);
    }
    return (struct raft_apply_batch){b->persisted.items, b->persisted.len, b->apply.items,
                                     b->apply.len};
}

static void batch_applied(struct raft_node *n, struct list *taken)
{
    const struct apply_scratch *b = &n->scratch;
    if (b->apply.len)
        atomic_store(&n->applied, b->apply.items[b->apply.len - 1].entry.index);
    tell_raft(n, has_config(b) || b->apply.len >= APPLY_NEWS);
    while (!list_empty(taken)) {
        struct apply_job *job = list_first(taken, struct apply_job, link);
        list_remove(&job->link);
        call_back(job);
        job_free(job);
    }
}

/* ---- raft thread, which has left the loop ---- */

/* What waits, for whoever asks to be at the state machine; false: it is for the apply thread. */
static bool take_jobs_here(struct raft_node *n, struct list *jobs)
{
    struct queue *q = &n->apply;
    pthread_mutex_lock(&q->mutex);
    bool mine = may_apply_here(n);
    bool wake = !mine && !q->urgent && !list_empty(&q->jobs);
    if (wake)
        q->urgent = true;
    if (mine) {
        list_splice_back(jobs, &q->jobs);
        q->busy = true;
        q->bytes = 0;
        q->entries = 0;
    }
    queue_wake_unlock(q, wake);
    return mine;
}

/* `jobs`: what is still to be done, before what came meanwhile. */
static void give_jobs_back(struct raft_node *n, struct list *jobs)
{
    struct queue *q = &n->apply;
    pthread_mutex_lock(&q->mutex);
    if (!list_empty(jobs)) {
        list_splice_back(jobs, &q->jobs);
        list_splice_back(&q->jobs, jobs);
        q->urgent = true;
    }
    q->busy = false;
    queue_wake_unlock(q, q->urgent || q->stop);
}

void node_apply_here(struct raft_node *n)
{
    struct list jobs, taken;
    struct error err;
    list_init(&jobs);
    list_init(&taken);
    if (!take_jobs_here(n, &jobs))
        return;
    struct raft_apply_batch batch = take_batch(n, &jobs, &taken);
    assert(list_empty(&jobs)); /* few entries, and an installation is always urgent */
    int rc = batch.apply_len ? n->ops->apply_held(n->machine, &batch, &err) : 0;
    if (rc < 0)
        node_fatal("applying", &err);
    if (rc > 0)
        batch_applied(n, &taken);
    give_jobs_back(n, &taken);
}

/* ---- apply thread ---- */

static void apply_some(struct raft_node *n, struct list *jobs)
{
    struct list taken;
    struct error err;
    list_init(&taken);
    struct raft_apply_batch batch = take_batch(n, jobs, &taken);
    if (n->ops->apply(n->machine, &batch, &err) < 0)
        node_fatal("applying", &err);
    batch_applied(n, &taken);
}

struct installed {
    struct loop_task task;
    struct raft_node *node;
};

static void installed_arrives(struct loop_task *task)
{
    struct installed *i = container_of(task, struct installed, task);
    if (!i->node->stopping)
        node_installed(i->node);
    mem_free(i);
}

static void settle(struct raft_node *n)
{
    struct error err;
    if (n->ops->settle && n->ops->settle(n->machine, &err) < 0)
        node_fatal("committing", &err);
}

static void install(struct raft_node *n, struct list *jobs)
{
    struct apply_job *job = list_first(jobs, struct apply_job, link);
    list_remove(&job->link);
    struct error err;
    settle(n);
    if (n->ops->snapshot_install(n->machine, job->writer, &job->meta, &job->hard, &err) < 0)
        node_fatal("installing a snapshot", &err);
    struct installed *done = mem_zalloc(sizeof *done);
    done->task.fn = installed_arrives;
    done->node = n;
    loop_post(n->loop, &done->task);
    job_free(job);
}

/* Wait for something urgent, or for the time of housekeeping, and until the raft thread is not at it; take
 * everything. False: stopped. */
static bool wait_for_jobs(struct queue *q, struct list *jobs)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(MAINTAIN_MS * NS_PER_MS);
    if (until.tv_nsec >= (long)NS_PER_S) {
        until.tv_nsec -= (long)NS_PER_S;
        until.tv_sec++;
    }
    pthread_mutex_lock(&q->mutex);
    q->busy = false;
    while (q->busy || (!q->urgent && !q->stop)) {
        bool until_free = q->urgent || q->stop; /* whoever is busy wakes us */
        if (!queue_sleep(q, until_free ? NULL : &until))
            q->urgent = true;
    }
    bool go_on = !q->stop || !list_empty(&q->jobs);
    list_splice_back(jobs, &q->jobs);
    q->busy = true;
    q->urgent = false;
    q->bytes = 0;
    q->entries = 0;
    pthread_mutex_unlock(&q->mutex);
    return go_on;
}

void *node_apply_thread(void *arg)
{
    struct raft_node *n = arg;
    struct list jobs;
    list_init(&jobs);
    while (wait_for_jobs(&n->apply, &jobs)) {
        while (!list_empty(&jobs)) {
            if (list_first(&jobs, struct apply_job, link)->kind == APPLY_INSTALL)
                install(n, &jobs);
            else
                apply_some(n, &jobs);
        }
        uint64_t base = n->ops->maintain(n->machine, host_mono_ns(n->options.host));
        if (base > atomic_load(&n->log_base))
            atomic_store(&n->log_base, base);
    }
    settle(n);
    return NULL;
}
