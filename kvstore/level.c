/*
 * Feature levels (kvstore/level.h).
 */
#include "kvstore/level.h"
#include "kvstore/store.h"

unsigned kv_level(const struct kv *kv)
{
    return atomic_load_explicit(&kv->level, memory_order_relaxed);
}

unsigned kv_level_own(const struct kv *kv)
{
    return kv->o.level;
}

unsigned proposal_kind_level(enum proposal_kind kind)
{
    return kind <= PROPOSAL_MEMBER ? KV_LEVEL_1 : KV_LEVEL_2;
}
