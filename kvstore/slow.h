/*
 * Warnings of what takes longer than it should: applying (--warning-apply-duration), flushing the journal, calls
 * (--warning-unary-request-duration). At most one line a second of each kind; it says how many were left out.
 */
#ifndef C8S_KVSTORE_SLOW_H
#define C8S_KVSTORE_SLOW_H

#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>

#define SLOW_APPLY_NS (100 * 1000 * 1000ull)  /* etcd's defaults */
#define SLOW_FLUSH_NS (1000 * 1000 * 1000ull) /* fixed, as etcd's */
#define SLOW_CALL_NS (300 * 1000 * 1000ull)

struct slow_log {
    _Atomic uint64_t last_ns;
    atomic_uint left_out;
};

/* May a line be written now? *left_out: how many were not since the last. */
bool slow_may_say(struct slow_log *s, uint64_t now_ns, unsigned *left_out);

#endif
