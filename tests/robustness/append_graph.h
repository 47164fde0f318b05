/*
 * The dependency graph of a list-append history (check_append.h), searched for cycles. Internal to the checker.
 */
#ifndef C8S_ROBUSTNESS_APPEND_GRAPH_H
#define C8S_ROBUSTNESS_APPEND_GRAPH_H

#include "base/vec.h"
#include "tests/robustness/check_append.h"

struct append_write {
    uint32_t key;
    uint64_t value;
    uint32_t txn;
    bool last; /* of its transaction on this key */
};

/* The order of a key's appends: the longest list that was read. */
struct append_order {
    const uint64_t *list;
    size_t len;
};

struct append_history {
    const struct append_txn *txns;
    uint32_t txns_len;
    VEC(struct append_write) writes; /* by key and value */
    struct append_order *orders;     /* by key */
    uint32_t keys_len;
};

/* NULL: nobody. */
const struct append_write *append_writer(const struct append_history *h, uint32_t key,
                                         uint64_t value);
/* All lists are sound by themselves and agree on an order. */
bool append_check_graph(const struct append_history *h, struct verdict *v);

#endif
