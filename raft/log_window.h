/*
 * What the core knows of the log: the term of every entry, and the recent entries themselves.
 *
 *      base            applied                 stable            last
 *       │                 │                       │                │
 *   ────┼─────────────────┼───────────────────────┼────────────────┤
 *       │ terms known for all of (base, last]     │ flush under way│
 *       │         ┌───────┴───────────────────────┴────────────────┤
 *       │         │ entries in memory: all unapplied ones, and as  │
 *       │         │ many applied ones as the cache limit allows    │
 *                 first
 *
 * Terms are kept as runs, a handful for millions of entries. Entries behind `first` are read from the
 * stored log by the driver when a peer needs them.
 */
#ifndef C8S_RAFT_LOG_WINDOW_H
#define C8S_RAFT_LOG_WINDOW_H

#include "base/vec.h"
#include "raft/raft.h"

struct raft_log {
    uint64_t base_index, base_term; /* the entry before the log */
    uint64_t last_index;
    VEC(struct raft_term_run) runs; /* cover (base_index, last_index]; ascending in both fields */
    /* Entries [first_index, last_index] are items[head …]; first_index = last_index + 1: none. */
    VEC(struct raft_entry) window;
    size_t head;
    uint64_t first_index;
    uint64_t bytes;        /* of all entries in the window */
    uint64_t pinned_bytes; /* of those above `pinned` */
    uint64_t pinned;       /* entries above this index must stay (unapplied) */
};

/* `tail` must be (applied, last_index]; references are taken. False when the boot data is
 * inconsistent (see struct raft_boot). */
bool raft_log_init(struct raft_log *log, const struct raft_boot *boot);
void raft_log_free(struct raft_log *log);

/* 0 outside [base_index, last_index] (and for base_index 0). */
uint64_t raft_log_term(const struct raft_log *log, uint64_t index);
uint64_t raft_log_last_term(const struct raft_log *log);

/* Append at the end; e->index must be last_index + 1 and its term not below the last. Takes a
 * reference. */
void raft_log_append(struct raft_log *log, const struct raft_entry *e);
/* Forget entries above `last` (≥ base_index, ≥ pinned). */
void raft_log_truncate(struct raft_log *log, uint64_t last);
/* The log becomes empty behind (index, term). */
void raft_log_reset(struct raft_log *log, uint64_t index, uint64_t term);
/* Entries up to base_index (≤ pinned) are gone from the stored log. */
void raft_log_compact(struct raft_log *log, uint64_t base_index);
/* Entries up to `pinned` are applied; keep at most cache_bytes of those. */
void raft_log_unpin(struct raft_log *log, uint64_t pinned, uint64_t cache_bytes);

/* Entries from lo to at most hi, at most `bytes` of them but at least one: how many, and where they
 * are (valid until the log changes). 0 when lo is not in memory or lo > hi. */
size_t raft_log_slice(const struct raft_log *log, uint64_t lo, uint64_t hi, uint64_t bytes,
                      const struct raft_entry **out);

/* The highest index ≤ `index` whose term is ≤ `term`; base_index when there is none in the log. */
uint64_t raft_log_find_term(const struct raft_log *log, uint64_t index, uint64_t term);

#endif
