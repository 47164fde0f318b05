/*
 * Terms and recent entries of the log (raft/log_window.h).
 */
#include "raft/log_window.h"

#include <assert.h>

static bool boot_runs_valid(const struct raft_boot *boot)
{
    uint64_t index = boot->base_index, term = boot->base_term;
    for (size_t i = 0; i < boot->runs_len; i++) {
        const struct raft_term_run *run = &boot->runs[i];
        /* the first run starts right behind the base, perhaps with the base's own term */
        bool first = i == 0;
        if (first ? run->index != index + 1 || run->term < term
                  : run->index <= index || run->term <= term)
            return false;
        if (run->index > boot->last_index || run->term == 0)
            return false;
        index = run->index;
        term = run->term;
    }
    return boot->runs_len > 0 || boot->last_index == boot->base_index;
}

static bool boot_tail_valid(const struct raft_boot *boot)
{
    if (boot->applied + boot->tail_len != boot->last_index)
        return false;
    for (size_t i = 0; i < boot->tail_len; i++)
        if (boot->tail[i].index != boot->applied + 1 + i)
            return false;
    return true;
}

bool raft_log_init(struct raft_log *log, const struct raft_boot *boot)
{
    *log = (struct raft_log){0};
    if (boot->base_index > boot->applied || boot->applied > boot->last_index ||
        !boot_runs_valid(boot) || !boot_tail_valid(boot))
        return false;
    log->base_index = boot->base_index;
    log->base_term = boot->base_term;
    log->last_index = boot->applied;
    log->first_index = boot->applied + 1;
    log->pinned = boot->applied;
    for (size_t i = 0; i < boot->runs_len && boot->runs[i].index <= boot->applied; i++)
        vec_push(&log->runs, boot->runs[i]);
    for (size_t i = 0; i < boot->tail_len; i++) {
        if (boot->tail[i].term < raft_log_last_term(log)) {
            raft_log_free(log);
            return false;
        }
        raft_log_append(log, &boot->tail[i]);
    }
    return true;
}

void raft_log_free(struct raft_log *log)
{
    for (size_t i = log->head; i < log->window.len; i++)
        blob_unref(log->window.items[i].data);
    vec_free(&log->window);
    vec_free(&log->runs);
}

uint64_t raft_log_term(const struct raft_log *log, uint64_t index)
{
    if (index < log->base_index || index > log->last_index)
        return 0;
    if (index == log->base_index)
        return log->base_term;
    size_t lo = 0, hi = log->runs.len; /* the last run with run.index <= index */
    while (hi - lo > 1) {
        size_t mid = lo + (hi - lo) / 2;
        if (log->runs.items[mid].index <= index)
            lo = mid;
        else
            hi = mid;
    }
    assert(log->runs.len > 0 && log->runs.items[lo].index <= index);
    return log->runs.items[lo].term;
}

uint64_t raft_log_last_term(const struct raft_log *log)
{
    return log->runs.len ? log->runs.items[log->runs.len - 1].term : log->base_term;
}

/* Move the window to the start of its array when most of the array is behind it. */
static void window_tidy(struct raft_log *log)
{
    size_t live = log->window.len - log->head;
    if (log->head < 64 || log->head < live)
        return;
    memmove(log->window.items, log->window.items + log->head, live * sizeof log->window.items[0]);
    log->window.len = live;
    log->head = 0;
    if (live == 0 && log->window.cap > 4096)
        vec_free(&log->window);
}

void raft_log_append(struct raft_log *log, const struct raft_entry *e)
{
    uint64_t last_term = raft_log_last_term(log);
    assert(e->index == log->last_index + 1);
    assert(e->term >= last_term && e->term > 0);
    if (log->runs.len == 0 || e->term > last_term)
        vec_push(&log->runs, (struct raft_term_run){e->index, e->term});
    if (log->window.len == log->head)
        log->first_index = e->index;
    vec_push(&log->window, *e);
    blob_ref(e->data);
    log->last_index = e->index;
    log->bytes += raft_entry_size(e);
    log->pinned_bytes += raft_entry_size(e);
}

void raft_log_truncate(struct raft_log *log, uint64_t last)
{
    assert(last >= log->base_index && last <= log->last_index);
    assert(last >= log->pinned);
    while (log->last_index > last) {
        assert(log->window.len > log->head);
        struct raft_entry e = vec_pop(&log->window);
        assert(e.index == log->last_index);
        log->bytes -= raft_entry_size(&e);
        log->pinned_bytes -= raft_entry_size(&e);
        blob_unref(e.data);
        log->last_index--;
    }
    while (log->runs.len && log->runs.items[log->runs.len - 1].index > last)
        log->runs.len--;
    if (log->window.len == log->head)
        log->first_index = log->last_index + 1;
}

void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term)
{
    for (size_t i = log->head; i < log->window.len; i++)
        blob_unref(log->window.items[i].data);
    vec_free(&log->window);
    vec_clear(&log->runs);
    log->head = 0;
    log->base_index = log->last_index = log->pinned = index;
    log->base_term = term;
    log->first_index = index + 1;
    log->bytes = log->pinned_bytes = 0;
}

/* Drop the oldest entry of the window; it must be unpinned. */
static void window_evict(struct raft_log *log)
{
    struct raft_entry *e = &log->window.items[log->head];
    assert(e->index <= log->pinned);
    log->bytes -= raft_entry_size(e);
    blob_unref(e->data);
    log->head++;
    log->first_index++;
}

void raft_log_compact(struct raft_log *log, uint64_t base_index)
{
    if (base_index <= log->base_index)
        return;
    assert(base_index <= log->pinned);
    log->base_term = raft_log_term(log, base_index);
    log->base_index = base_index;
    size_t drop = 0;
    while (drop + 1 < log->runs.len && log->runs.items[drop + 1].index <= base_index + 1)
        drop++;
    if (drop) {
        memmove(log->runs.items, log->runs.items + drop,
                (log->runs.len - drop) * sizeof log->runs.items[0]);
        log->runs.len -= drop;
    }
    if (base_index == log->last_index)
        vec_clear(&log->runs);
    else if (log->runs.items[0].index <= base_index)
        log->runs.items[0].index = base_index + 1;
    while (log->window.len > log->head && log->first_index <= base_index)
        window_evict(log);
    window_tidy(log);
}

void raft_log_unpin(struct raft_log *log, uint64_t pinned, uint64_t cache_bytes)
{
    assert(pinned <= log->last_index);
    while (log->pinned < pinned) {
        log->pinned++;
        if (log->pinned < log->first_index)
            continue;
        size_t at = log->head + (size_t)(log->pinned - log->first_index);
        log->pinned_bytes -= raft_entry_size(&log->window.items[at]);
    }
    while (log->window.len > log->head && log->first_index <= log->pinned &&
           log->bytes - log->pinned_bytes > cache_bytes)
        window_evict(log);
    window_tidy(log);
}

size_t raft_log_slice(const struct raft_log *log, uint64_t lo, uint64_t hi, uint64_t bytes,
                      const struct raft_entry **out)
{
    if (lo < log->first_index || lo > hi || lo > log->last_index)
        return 0;
    hi = MIN(hi, log->last_index);
    const struct raft_entry *e = &log->window.items[log->head + (size_t)(lo - log->first_index)];
    assert(e->index == lo);
    size_t n = 0, most = (size_t)(hi - lo + 1);
    uint64_t sum = 0;
    while (n < most && (n == 0 || sum + raft_entry_size(&e[n]) <= bytes))
        sum += raft_entry_size(&e[n++]);
    *out = e;
    return n;
}

uint64_t raft_log_find_term(const struct raft_log *log, uint64_t index, uint64_t term)
{
    if (index > log->last_index)
        index = log->last_index;
    for (size_t i = log->runs.len; i-- > 0;) {
        const struct raft_term_run *run = &log->runs.items[i];
        if (run->index > index)
            continue;
        if (run->term <= term)
            return index;
        index = run->index - 1;
    }
    return log->base_index;
}
