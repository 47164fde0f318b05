/*
 * The in-memory state machine of the driver's tests (raft_memory_machine.h).
 */
#include "raft_memory_machine.h"

#include "base/encode.h"
#include "base/mem.h"
#include "raft/wire.h"
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

void memory_machine_init(struct memory_machine *m, const struct raft_config *founders)
{
    *m = (struct memory_machine){0};
    pthread_mutex_init(&m->mutex, NULL);
    if (!founders)
        return;
    m->base_index = m->applied = RAFT_FOUNDING_INDEX;
    m->base_term = m->applied_term = RAFT_FOUNDING_TERM;
    m->hard = (struct raft_hard_state){RAFT_FOUNDING_TERM, 0, RAFT_FOUNDING_INDEX};
    m->config = *founders;
}

static void log_clear(struct memory_machine *m)
{
    while (m->log.len)
        blob_unref(vec_pop(&m->log).data);
}

void memory_machine_close(struct memory_machine *m)
{
    log_clear(m);
    vec_free(&m->log);
    pthread_mutex_destroy(&m->mutex);
}

static uint64_t last_index(const struct memory_machine *m)
{
    return m->base_index + m->log.len;
}

void memory_machine_boot(struct memory_machine *m, struct raft_boot *boot)
{
    VEC(struct raft_term_run) runs = {0};
    for (size_t i = 0; i < m->log.len; i++)
        if (runs.len == 0 || runs.items[runs.len - 1].term != m->log.items[i].term)
            vec_push(&runs, (struct raft_term_run){m->log.items[i].index, m->log.items[i].term});
    m->hard.commit = MAX(m->hard.commit, m->applied);
    *boot = (struct raft_boot){.hard = m->hard,
                               .config = m->config,
                               .applied = m->applied,
                               .base_index = m->base_index,
                               .base_term = m->base_term,
                               .runs = runs.items,
                               .runs_len = runs.len,
                               .last_index = last_index(m),
                               .tail_len = (size_t)(last_index(m) - m->applied)};
    if (boot->tail_len)
        boot->tail = m->log.items + (m->applied - m->base_index);
}

void memory_machine_boot_free(struct raft_boot *boot)
{
    mem_free((void *)boot->runs);
}

void memory_machine_state(struct memory_machine *m, uint64_t *applied, uint64_t *count,
                          uint64_t *digest)
{
    pthread_mutex_lock(&m->mutex);
    *applied = m->applied;
    *count = m->count;
    *digest = m->digest;
    pthread_mutex_unlock(&m->mutex);
}

static int memory_persist(void *ctx, const struct raft_persist *batches, size_t n,
                          struct error *err)
{
    struct memory_machine *m = ctx;
    (void)err;
    struct loop *loop = atomic_load(&m->loop);
    if (loop && loop_is_current(loop))
        atomic_fetch_add(&m->persists_on_loop, 1);
    uint32_t stall = atomic_exchange(&m->stall_ms, 0);
    if (stall)
        usleep(stall * 1000);
    pthread_mutex_lock(&m->mutex);
    for (size_t i = 0; i < n; i++) {
        m->hard = batches[i].hard;
        for (size_t k = 0; k < batches[i].entries_len; k++) {
            const struct raft_entry *e = &batches[i].entries[k];
            assert(e->index > m->base_index && e->index <= last_index(m) + 1);
            while (last_index(m) >= e->index) {
                assert(last_index(m) > m->applied);
                blob_unref(vec_pop(&m->log).data);
            }
            vec_push(&m->log, *e);
            blob_ref(e->data);
        }
    }
    atomic_fetch_add(&m->persists, 1);
    atomic_fetch_add(&m->persisted_batches, n);
    pthread_mutex_unlock(&m->mutex);
    return 0;
}

static void apply_batch(struct memory_machine *m, const struct raft_apply_batch *batch)
{
    pthread_mutex_lock(&m->mutex);
    atomic_fetch_add(&m->transactions, 1);
    for (size_t i = 0; i < batch->apply_len; i++) {
        const struct raft_apply *a = &batch->apply[i];
        assert(a->entry.index == m->applied + 1 && a->entry.index <= last_index(m));
        m->applied = a->entry.index;
        m->applied_term = a->entry.term;
        if (a->config)
            m->config = *a->config;
        if (a->entry.kind != RAFT_ENTRY_DATA)
            continue;
        struct str payload = raft_entry_payload(&a->entry);
        m->count++;
        m->digest = m->digest * 31 + crc32c(0, payload.p, payload.n);
    }
    pthread_mutex_unlock(&m->mutex);
}

static int memory_apply(void *ctx, const struct raft_apply_batch *batch, struct error *err)
{
    struct memory_machine *m = ctx;
    (void)err;
    if (atomic_fetch_add(&m->applying, 1) != 0)
        abort();
    while (atomic_load(&m->hold))
        usleep(1000);
    apply_batch(m, batch);
    atomic_fetch_sub(&m->applying, 1);
    return 0;
}

/* Every eighth time the transaction has just been committed. */
static int memory_apply_held(void *ctx, const struct raft_apply_batch *batch, struct error *err)
{
    struct memory_machine *m = ctx;
    (void)err;
    assert(batch->apply_len > 0);
    if (!atomic_load(&m->held) || atomic_fetch_add(&m->held_asked, 1) % 8 == 7)
        return 0;
    if (atomic_fetch_add(&m->applying, 1) != 0)
        abort();
    uint32_t stall = atomic_exchange(&m->here_ms, 0);
    if (stall)
        usleep(stall * 1000);
    bool refuse = stall && atomic_load(&m->here_refuses);
    if (!refuse)
        apply_batch(m, batch);
    atomic_fetch_sub(&m->applying, 1);
    atomic_fetch_add(&m->held_done, !refuse);
    return !refuse;
}

static uint64_t memory_maintain(void *ctx, uint64_t now_ns)
{
    struct memory_machine *m = ctx;
    (void)now_ns;
    pthread_mutex_lock(&m->mutex);
    if (m->retain && m->applied > m->base_index + 2 * m->retain) {
        size_t drop = (size_t)(m->applied - m->retain - m->base_index);
        m->base_term = m->log.items[drop - 1].term;
        for (size_t i = 0; i < drop; i++)
            blob_unref(m->log.items[i].data);
        memmove(m->log.items, m->log.items + drop, (m->log.len - drop) * sizeof m->log.items[0]);
        m->log.len -= drop;
        m->base_index += drop;
    }
    uint64_t base = m->base_index;
    pthread_mutex_unlock(&m->mutex);
    return base;
}

static int memory_read_log(void *ctx, uint64_t lo, uint64_t hi, uint64_t bytes_max,
                           struct raft_entry *out, size_t max, struct error *err)
{
    struct memory_machine *m = ctx;
    (void)err;
    pthread_mutex_lock(&m->mutex);
    size_t n = 0;
    uint64_t bytes = 0;
    for (uint64_t i = lo; lo > m->base_index && i <= hi && i <= last_index(m) && n < max; i++) {
        const struct raft_entry *e = &m->log.items[i - m->base_index - 1];
        if (n > 0 && bytes + raft_entry_size(e) > bytes_max)
            break;
        bytes += raft_entry_size(e);
        out[n++] = *e;
        blob_ref(e->data);
    }
    pthread_mutex_unlock(&m->mutex);
    return (int)n;
}

/* ---- snapshots: count and digest, padded to several chunks ---- */

#define SNAPSHOT_BYTES 1500000

struct raft_snapshot_reader {
    uint64_t count, digest;
    size_t at;
};

struct raft_snapshot_writer {
    struct buf bytes;
};

static int memory_snapshot_open(void *ctx, struct raft_snapshot_reader **out,
                                struct raft_snapshot_meta *meta, struct error *err)
{
    struct memory_machine *m = ctx;
    (void)err;
    *out = mem_zalloc(sizeof **out);
    pthread_mutex_lock(&m->mutex);
    (*out)->count = m->count;
    (*out)->digest = m->digest;
    *meta = (struct raft_snapshot_meta){m->applied, m->applied_term, m->config};
    pthread_mutex_unlock(&m->mutex);
    return 0;
}

static int memory_snapshot_read(struct raft_snapshot_reader *r, struct buf *out, size_t max,
                                bool *end, struct error *err)
{
    (void)err;
    if (r->at == 0) {
        buf_append_be64(out, r->count);
        buf_append_be64(out, r->digest);
        r->at = 16;
    }
    while (out->len < max && r->at < SNAPSHOT_BYTES) {
        buf_append_char(out, (char)(r->at * 7));
        r->at++;
    }
    *end = r->at == SNAPSHOT_BYTES;
    return 0;
}

static void memory_snapshot_close(struct raft_snapshot_reader *r)
{
    mem_free(r);
}

static int memory_snapshot_begin(void *ctx, const struct raft_snapshot_meta *meta,
                                 struct raft_snapshot_writer **out, struct error *err)
{
    (void)ctx;
    (void)err;
    assert(meta->index > 0 && meta->config.voters.len > 0);
    *out = mem_zalloc(sizeof **out);
    buf_init(&(*out)->bytes);
    return 0;
}

static int memory_snapshot_write(struct raft_snapshot_writer *w, struct str chunk,
                                 struct error *err)
{
    (void)err;
    buf_append_str(&w->bytes, chunk);
    return 0;
}

static int memory_snapshot_finish(struct raft_snapshot_writer *w, struct error *err)
{
    if (w->bytes.len != SNAPSHOT_BYTES)
        return error_set(err, ERR_CORRUPT, "snapshot of %zu bytes", w->bytes.len);
    for (size_t i = 16; i < w->bytes.len; i++)
        if (w->bytes.data[i] != (char)(i * 7))
            return error_set(err, ERR_CORRUPT, "snapshot differs at %zu", i);
    return 0;
}

static void memory_snapshot_abort(struct raft_snapshot_writer *w)
{
    buf_free(&w->bytes);
    mem_free(w);
}

static int memory_snapshot_install(void *ctx, struct raft_snapshot_writer *w,
                                   const struct raft_snapshot_meta *meta,
                                   const struct raft_hard_state *hard, struct error *err)
{
    struct memory_machine *m = ctx;
    (void)err;
    struct wire in = wire_init(buf_str(&w->bytes));
    pthread_mutex_lock(&m->mutex);
    m->count = wire_be64(&in);
    m->digest = wire_be64(&in);
    log_clear(m);
    m->base_index = m->applied = meta->index;
    m->base_term = m->applied_term = meta->term;
    m->config = meta->config;
    m->hard = *hard;
    pthread_mutex_unlock(&m->mutex);
    atomic_fetch_add(&m->installs, 1);
    memory_snapshot_abort(w);
    return 0;
}

const struct raft_machine_ops memory_machine_ops = {
    .persist = memory_persist,
    .apply = memory_apply,
    .apply_held = memory_apply_held,
    .maintain = memory_maintain,
    .snapshot_install = memory_snapshot_install,
    .read_log = memory_read_log,
    .snapshot_open = memory_snapshot_open,
    .snapshot_read = memory_snapshot_read,
    .snapshot_close = memory_snapshot_close,
    .snapshot_begin = memory_snapshot_begin,
    .snapshot_write = memory_snapshot_write,
    .snapshot_finish = memory_snapshot_finish,
    .snapshot_abort = memory_snapshot_abort,
};
