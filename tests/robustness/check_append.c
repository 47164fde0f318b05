/*
 * The list-append checker (check_append.h): what is wrong with single reads and lists. The dependency
 * graph is in append_graph.c.
 */
#include "tests/robustness/check_append.h"

#include "base/mem.h"
#include "tests/robustness/append_graph.h"
#include <inttypes.h>
#include <stdlib.h>

static int by_key_value(const void *x, const void *y)
{
    const struct append_write *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

const struct append_write *append_writer(const struct append_history *h, uint32_t key,
                                         uint64_t value)
{
    const struct append_write wanted = {.key = key, .value = value};
    if (h->writes.len == 0)
        return NULL;
    return bsearch(&wanted, h->writes.items, h->writes.len, sizeof wanted, by_key_value);
}

/* All appends, and for each whether its transaction appends to the key again. */
static bool collect_writes(struct append_history *h, struct verdict *v)
{
    for (uint32_t t = 0; t < h->txns_len; t++) {
        const struct append_txn *txn = &h->txns[t];
        for (size_t i = 0; i < txn->ops_len; i++) {
            const struct append_op *o = &txn->ops[i];
            if (o->key >= h->keys_len)
                h->keys_len = o->key + 1;
            if (!o->append)
                continue;
            bool last = true;
            for (size_t j = i + 1; j < txn->ops_len; j++)
                last = last && !(txn->ops[j].append && txn->ops[j].key == o->key);
            vec_push(&h->writes, (struct append_write){o->key, o->value, t, last});
        }
    }
    check_sort(h->writes.items, h->writes.len, sizeof *h->writes.items, by_key_value);
    for (size_t i = 1; i < h->writes.len; i++)
        if (by_key_value(&h->writes.items[i - 1], &h->writes.items[i]) == 0)
            return verdict_fail(v, "the history appends %" PRIu64 " to key %u twice",
                                h->writes.items[i].value, h->writes.items[i].key);
    return true;
}

/* One list that somebody read, by itself. */
static bool check_list(const struct append_history *h, uint32_t t, const struct append_op *o,
                       struct verdict *v)
{
    for (size_t i = 0; i < o->list_len; i++) {
        const struct append_write *w = append_writer(h, o->key, o->list[i]);
        if (!w)
            return verdict_fail(v, "garbage: key %u has %" PRIu64 ", which nobody appended", o->key,
                                o->list[i]);
        if (h->txns[w->txn].outcome == APPEND_ABORTED)
            return verdict_fail(v,
                                "G1a: transaction %u read %" PRIu64 " of key %u, which the aborted "
                                "transaction %u appended",
                                t, w->value, o->key, w->txn);
        if (i + 1 == o->list_len && w->txn != t && !w->last)
            return verdict_fail(v,
                                "G1b: transaction %u read key %u up to %" PRIu64
                                ", the middle of transaction %u",
                                t, o->key, w->value, w->txn);
        for (size_t j = 0; j < i; j++)
            if (o->list[j] == o->list[i])
                return verdict_fail(v, "duplicate: %" PRIu64 " is in key %u twice", w->value,
                                    o->key);
    }
    return true;
}

/* A read must end in what its own transaction appended before, and agree with its earlier reads. */
static bool check_internal(uint32_t t, const struct append_txn *txn, size_t at, struct verdict *v)
{
    const struct append_op *o = &txn->ops[at];
    size_t own = 0; /* appends to the key since the earlier read, or the beginning */
    for (size_t i = at; i-- > 0;) {
        const struct append_op *before = &txn->ops[i];
        if (before->key != o->key)
            continue;
        if (before->append) {
            own++;
            if (own > o->list_len || o->list[o->list_len - own] != before->value)
                return verdict_fail(v,
                                    "internal: transaction %u does not read its own append %" PRIu64
                                    " to key %u",
                                    t, before->value, o->key);
            continue;
        }
        if (before->list_len + own != o->list_len ||
            (before->list_len &&
             memcmp(before->list, o->list, before->list_len * sizeof *o->list) != 0))
            return verdict_fail(v, "internal: transaction %u reads key %u differently twice", t,
                                o->key);
        return true;
    }
    return true;
}

/* Every list read of a key must be the beginning of the longest one. */
static bool check_orders(struct append_history *h, struct verdict *v)
{
    h->orders = mem_zalloc((h->keys_len + 1) * sizeof *h->orders);
    for (int pass = 0; pass < 2; pass++)
        for (uint32_t t = 0; t < h->txns_len; t++)
            for (size_t i = 0; i < h->txns[t].ops_len; i++) {
                const struct append_op *o = &h->txns[t].ops[i];
                if (o->append || h->txns[t].outcome != APPEND_COMMITTED)
                    continue;
                struct append_order *order = &h->orders[o->key];
                if (pass == 0 && o->list_len > order->len)
                    *order = (struct append_order){o->list, o->list_len};
                if (pass == 1 && o->list_len &&
                    memcmp(o->list, order->list, o->list_len * sizeof *o->list) != 0)
                    return verdict_fail(v, "incompatible order: key %u was read in two orders",
                                        o->key);
            }
    return true;
}

/* An acknowledged append must be in a list that was read from its key later. */
static bool check_lost(const struct append_history *h, struct verdict *v)
{
    uint64_t *last_read = mem_zalloc((h->keys_len + 1) * sizeof *last_read);
    for (uint32_t t = 0; t < h->txns_len; t++)
        for (size_t i = 0; i < h->txns[t].ops_len; i++) {
            const struct append_op *o = &h->txns[t].ops[i];
            if (!o->append && h->txns[t].outcome == APPEND_COMMITTED &&
                h->txns[t].start_ns > last_read[o->key])
                last_read[o->key] = h->txns[t].start_ns;
        }
    for (size_t i = 0; i < h->writes.len && !v->bad; i++) {
        const struct append_write *w = &h->writes.items[i];
        const struct append_txn *txn = &h->txns[w->txn];
        const struct append_order *order = &h->orders[w->key];
        bool found = false;
        if (txn->outcome != APPEND_COMMITTED || txn->end_ns >= last_read[w->key])
            continue;
        for (size_t k = 0; k < order->len && !found; k++)
            found = order->list[k] == w->value;
        if (!found)
            verdict_fail(v,
                         "lost append: %" PRIu64
                         " of transaction %u is in no list of key %u, which was "
                         "read later",
                         w->value, w->txn, w->key);
    }
    mem_free(last_read);
    return !v->bad;
}

static bool check_reads(const struct append_history *h, struct verdict *v)
{
    for (uint32_t t = 0; t < h->txns_len; t++) {
        if (h->txns[t].outcome != APPEND_COMMITTED)
            continue;
        for (size_t i = 0; i < h->txns[t].ops_len; i++)
            if (!h->txns[t].ops[i].append &&
                (!check_list(h, t, &h->txns[t].ops[i], v) || !check_internal(t, &h->txns[t], i, v)))
                return false;
    }
    return true;
}

void check_append(const struct append_txn *txns, size_t txns_len, struct verdict *v)
{
    struct append_history h = {.txns = txns, .txns_len = (uint32_t)txns_len};
    if (collect_writes(&h, v) && check_reads(&h, v) && check_orders(&h, v) && check_lost(&h, v))
        append_check_graph(&h, v);
    vec_free(&h.writes);
    mem_free(h.orders);
}
