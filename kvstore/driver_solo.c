/*
 * The smallest driver for the state machine: a single member that needs nobody's vote.
 *
 * One thread takes what has been proposed, makes it one batch of entries, has it flushed, and
 * applies it. Log and hard state are those of a Raft member that leads its term alone.
 */
#include "kvstore/store.h"
#include "base/mem.h"
#include <assert.h>

#define BATCH_MAX 4096
#define BATCH_BYTES_MAX (8u << 20)

struct solo_proposal {
    struct list link;
    struct blob *data;
    raft_propose_fn *fn;
    void *ctx;
};

struct solo_read {
    struct list link;
    raft_read_fn *fn;
    void *ctx;
};

struct driver {
    struct kv *kv;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_t thread;
    struct list proposals, reads;
    bool stopping, failed;
    struct raft_hard_state hard;
    struct raft_config config;
    uint64_t last_index; /* as of the last batch; also applied, between batches */
    uint64_t seq;
    uint64_t epoch, sequence;
};

struct blob *driver_proposal_new(size_t len)
{
    return blob_new(RAFT_PROPOSAL_HEADER + len);
}

static void put_be64(char *p, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        p[i] = (char)(v >> (56 - 8 * i));
}

void driver_propose(struct driver *d, struct blob *proposal, raft_propose_fn *fn, void *ctx)
{
    struct solo_proposal *p = mem_zalloc(sizeof *p);
    p->data = proposal;
    p->fn = fn;
    p->ctx = ctx;
    pthread_mutex_lock(&d->lock);
    bool refused = d->stopping || d->failed;
    if (!refused) {
        put_be64(proposal->data, d->kv->member_id);
        put_be64(proposal->data + 8, d->epoch);
        put_be64(proposal->data + 16, ++d->sequence);
        list_push_back(&d->proposals, &p->link);
        pthread_cond_signal(&d->wake);
    }
    pthread_mutex_unlock(&d->lock);
    if (refused) {
        blob_unref(proposal);
        mem_free(p);
        fn(ctx, RAFT_REJECTED, ERR_CANCELLED, 0);
    }
}

void driver_read_index(struct driver *d, raft_read_fn *fn, void *ctx)
{
    struct solo_read *r = mem_zalloc(sizeof *r);
    r->fn = fn;
    r->ctx = ctx;
    pthread_mutex_lock(&d->lock);
    list_push_back(&d->reads, &r->link);
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
}

/* One batch: log, flush, apply, answer. */
static int run_batch(struct driver *d, struct list *batch, size_t n, struct error *err)
{
    struct raft_entry *entries = mem_zalloc(n * sizeof *entries);
    struct raft_apply *apply = mem_zalloc(n * sizeof *apply);
    size_t i = 0;
    list_for_each (it, batch) {
        struct solo_proposal *p = list_entry(it, struct solo_proposal, link);
        entries[i] = (struct raft_entry){.index = d->last_index + 1 + i,
                                         .term = d->hard.term,
                                         .kind = RAFT_ENTRY_DATA,
                                         .data = p->data};
        apply[i] = (struct raft_apply){.entry = entries[i], .proposal = p->ctx};
        i++;
    }
    assert(i == n);
    d->hard.commit = d->last_index + n;
    struct raft_persist persist = {
        .seq = ++d->seq, .hard = d->hard, .entries = entries, .entries_len = n};
    struct raft_apply_batch b = {
        .persisted = &persist, .persisted_len = 1, .apply = apply, .apply_len = n};
    int rc = kv_machine_ops.persist(d->kv, &persist, 1, err);
    if (rc == 0)
        rc = kv_machine_ops.apply(d->kv, &b, err);
    if (rc == 0)
        d->last_index += n;
    mem_free(entries);
    mem_free(apply);
    return rc;
}

static void end_proposals(struct list *batch, enum raft_outcome outcome, int code, uint64_t index)
{
    while (!list_empty(batch)) {
        struct solo_proposal *p = list_first(batch, struct solo_proposal, link);
        list_remove(&p->link);
        p->fn(p->ctx, outcome, code, index);
        blob_unref(p->data);
        mem_free(p);
    }
}

static void end_reads(struct list *reads, int code, uint64_t index)
{
    while (!list_empty(reads)) {
        struct solo_read *r = list_first(reads, struct solo_read, link);
        list_remove(&r->link);
        r->fn(r->ctx, code, index);
        mem_free(r);
    }
}

/* Move up to a batch's worth out of the queue. Lock held. */
static size_t take_batch(struct driver *d, struct list *batch)
{
    size_t n = 0, bytes = 0;
    while (!list_empty(&d->proposals) && n < BATCH_MAX && bytes < BATCH_BYTES_MAX) {
        struct solo_proposal *p = list_first(&d->proposals, struct solo_proposal, link);
        list_remove(&p->link);
        list_push_back(batch, &p->link);
        bytes += p->data->len;
        n++;
    }
    return n;
}

static void *solo_main(void *arg)
{
    struct driver *d = arg;
    struct error err;
    struct list batch, reads;
    list_init(&batch);
    list_init(&reads);
    pthread_mutex_lock(&d->lock);
    while (!d->stopping) {
        if (list_empty(&d->proposals) && list_empty(&d->reads)) {
            pthread_cond_wait(&d->wake, &d->lock);
            continue;
        }
        size_t n = take_batch(d, &batch);
        list_splice_back(&reads, &d->reads);
        bool failed = d->failed;
        pthread_mutex_unlock(&d->lock);
        if (n && !failed)
            failed = run_batch(d, &batch, n, &err) < 0;
        end_proposals(&batch, failed ? RAFT_UNKNOWN : RAFT_APPLIED, failed ? ERR_IO : 0,
                      d->last_index);
        end_reads(&reads, failed ? ERR_IO : 0, d->last_index);
        if (!failed)
            kv_machine_ops.maintain(d->kv, host_mono_ns(d->kv->host));
        pthread_mutex_lock(&d->lock);
        d->failed = failed;
    }
    list_splice_back(&batch, &d->proposals);
    list_splice_back(&reads, &d->reads);
    pthread_mutex_unlock(&d->lock);
    end_proposals(&batch, RAFT_REJECTED, ERR_CANCELLED, 0);
    end_reads(&reads, ERR_CANCELLED, 0);
    return NULL;
}

/* What the log holds beyond the applied index is committed: nobody else has a say. */
static int apply_tail(struct driver *d, const struct raft_boot *boot, struct error *err)
{
    struct raft_apply *apply = mem_zalloc((boot->tail_len + 1) * sizeof *apply);
    for (size_t i = 0; i < boot->tail_len; i++)
        apply[i] = (struct raft_apply){.entry = boot->tail[i]};
    struct raft_apply_batch b = {.apply = apply, .apply_len = boot->tail_len};
    int rc = boot->tail_len ? kv_machine_ops.apply(d->kv, &b, err) : 0;
    mem_free(apply);
    return rc;
}

int driver_start(struct kv *kv, const struct raft_boot *boot, struct driver **out,
                 struct error *err)
{
    struct driver *d = mem_zalloc(sizeof *d);
    *out = NULL;
    if (kv->o.members_len > 1 || kv->o.join_existing) {
        mem_free(d);
        return error_set(err, ERR_UNSUPPORTED, "this build runs single-member clusters only");
    }
    d->kv = kv;
    d->hard = boot->hard;
    d->hard.term = MAX(d->hard.term, 1);
    d->hard.vote = kv->member_id;
    d->config = boot->config;
    d->last_index = boot->last_index;
    d->epoch = host_random(kv->host);
    list_init(&d->proposals);
    list_init(&d->reads);
    pthread_mutex_init(&d->lock, NULL);
    pthread_cond_init(&d->wake, NULL);
    int rc = apply_tail(d, boot, err);
    if (rc == 0 && (rc = pthread_create(&d->thread, NULL, solo_main, d)) != 0)
        rc = error_errno(err, ERR_IO, rc, "start a thread");
    if (rc < 0) {
        pthread_mutex_destroy(&d->lock);
        pthread_cond_destroy(&d->wake);
        mem_free(d);
        return rc;
    }
    *out = d;
    return 0;
}

void driver_stop(struct driver *d)
{
    pthread_mutex_lock(&d->lock);
    d->stopping = true;
    pthread_cond_signal(&d->wake);
    pthread_mutex_unlock(&d->lock);
    pthread_join(d->thread, NULL);
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->wake);
    mem_free(d);
}

void driver_status(struct driver *d, struct raft_node_status *out)
{
    pthread_mutex_lock(&d->lock);
    *out = (struct raft_node_status){.id = d->kv->member_id,
                                     .term = d->hard.term,
                                     .leader = d->failed ? 0 : d->kv->member_id,
                                     .role = d->failed ? RAFT_FOLLOWER : RAFT_LEADER,
                                     .commit = d->hard.commit,
                                     .applied = atomic_load(&d->kv->applied),
                                     .stable = d->last_index,
                                     .last = d->last_index,
                                     .config = d->config};
    pthread_mutex_unlock(&d->lock);
}

void driver_transfer(struct driver *d, uint64_t to, raft_done_fn *fn, void *ctx)
{
    fn(ctx, to == 0 || to == d->kv->member_id ? 0 : ERR_INVALID);
}
