/*
 * Transactions over several lists, judged by the graph of their dependencies.
 *
 * Values appended to a key are unique, so a list that was read tells the order of all appends before it. From the
 * lists follow the edges "wrote before" (ww), "read what it wrote" (wr), "read before it was overwritten" (rw,
 * the anti-dependency), and from the clock "ended before it began" (rt). A serializable history has no cycle
 * of ww, wr and rw; a strictly serializable one none with rt either. (Adya's phenomena; the way of Kingsbury and
 * Alvaro's Elle.)
 */
#ifndef C8S_ROBUSTNESS_CHECK_APPEND_H
#define C8S_ROBUSTNESS_CHECK_APPEND_H

#include "tests/robustness/verdict.h"
#include <stddef.h>

struct append_op {
    bool append; /* else a read of the whole list */
    uint32_t key;
    uint64_t value;       /* appended: unique per key */
    const uint64_t *list; /* read; valid while checked */
    size_t list_len;
};

enum append_outcome { APPEND_COMMITTED, APPEND_ABORTED, APPEND_UNKNOWN };

struct append_txn {
    uint32_t client;
    const struct append_op
        *ops; /* in order: a read sees the appends of its transaction before it */
    size_t ops_len;
    enum append_outcome outcome; /* what was read counts only when committed */
    uint64_t start_ns, end_ns;
};

/*
 * Found, with the name in the verdict: internal (a transaction contradicts itself), duplicate, garbage, incompatible order,
 * lost append, G1a (aborted read), G1b (intermediate read), G0 (write cycle), G1c (circular information flow),
 * G-single (one anti-dependency: read skew, lost update), G2 (several: write skew); "-realtime" where the
 * cycle needs the clock (stale reads of otherwise sound transactions).
 */
void check_append(const struct append_txn *txns, size_t txns_len, struct verdict *v);

#endif
