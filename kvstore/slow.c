/*
 * Keeping warnings few (kvstore/slow.h).
 */
#include "kvstore/slow.h"
#include "base/clock.h"

bool slow_may_say(struct slow_log *s, uint64_t now_ns, unsigned *left_out)
{
    uint64_t last = atomic_load(&s->last_ns);
    if ((last && now_ns - last < NS_PER_S) ||
        !atomic_compare_exchange_strong(&s->last_ns, &last, now_ns)) {
        atomic_fetch_add(&s->left_out, 1);
        return false;
    }
    *left_out = atomic_exchange(&s->left_out, 0);
    return true;
}
