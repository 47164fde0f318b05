/*
 * Feature levels (kvstore/members/level.h).
 */
#include "kvstore/members/level.h"
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
    /* CLUSTER raises the level itself: proposed once all members are known to understand it. */
    return kind <= PROPOSAL_MEMBER || kind == PROPOSAL_CLUSTER ? KV_LEVEL_1 : KV_LEVEL_2;
}
