/*
 * The space quota (kvstore/quota.h).
 */
#include "kvstore/quota.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/mem.h"

#define PUT_OVERHEAD 256 /* beside key and value, as etcd counts */

static uint64_t ops_cost(const struct kv_op *ops, size_t n)
{
    uint64_t cost = 0;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].type == KV_OP_PUT)
            cost += PUT_OVERHEAD + 2 * (ops[i].put.key.n + ops[i].put.value.n); /* cur and hist */
        else if (ops[i].type == KV_OP_TXN)
            cost += quota_txn_cost(ops[i].txn);
    }
    return cost;
}

uint64_t quota_txn_cost(const struct kv_txn_request *t)
{
    uint64_t then = ops_cost(t->then, t->then_len);
    uint64_t otherwise = ops_cost(t->otherwise, t->otherwise_len);
    return MAX(then, otherwise);
}

bool quota_take(struct kv *kv, uint64_t cost)
{
    struct quota *q = &kv->quota;
    if (cost == 0)
        return true;
    if (kv_alarm_active(kv, KV_ALARM_NOSPACE))
        return false;
    if (!disk_space_left(&kv->disk)) {
        atomic_store(&q->exceeded, true); /* the alarm was cleared too early: raise it again */
        return false;
    }
    uint64_t promised = atomic_fetch_add_explicit(&q->promised, cost, memory_order_relaxed) + cost;
    if (atomic_load_explicit(&q->used, memory_order_relaxed) + promised <= kv->o.quota_bytes)
        return true;
    if (!atomic_exchange(&q->exceeded, true))
        house_wake(kv);
    return false;
}

static void raised(void *ctx, int code, int64_t rev)
{
    struct kv *kv = ctx;
    (void)rev;
    if (code)
        log_debug("store", "the alarm could not be raised, later again code=%d", code);
    atomic_store(&kv->quota.raising, false);
}

void quota_step(struct kv *kv, const struct logdb_info *info)
{
    struct quota *q = &kv->quota;
    uint64_t used = info->in_use_bytes - info->log_bytes;
    atomic_store(&q->used, used);
    atomic_store(&q->promised, 0);
    bool due = atomic_exchange(&q->exceeded, false) || used > kv->o.quota_bytes;
    if (!due || kv_alarm_has(kv, kv->member_id, KV_ALARM_NOSPACE) ||
        atomic_exchange(&q->raising, true))
        return;
    log_warn("store", "no space, raising an alarm in_use=%llu quota=%llu",
             (unsigned long long)used, (unsigned long long)kv->o.quota_bytes);
    kv_alarm_raise(kv, kv->member_id, KV_ALARM_NOSPACE, NULL, raised, kv);
}
