/*
 * Is a recorded history of operations on registers linearizable?
 *
 * Each key is a register of its own and is checked by itself (a history is linearizable exactly if its
 * part for each object is). The search is Wing and Gong's with Lowe's memory of configurations seen:
 * take any operation that nothing else had to come before, apply it to the register, go on; go back
 * when stuck.
 *
 * Values are numbers; 0 is "no such key". An operation whose outcome the client never learnt may have
 * taken effect at any time after its start, or not at all.
 */
#ifndef C8S_TESTS_LINEARIZABILITY_H
#define C8S_TESTS_LINEARIZABILITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum history_kind {
    HISTORY_PUT, /* value := b */
    HISTORY_GET, /* saw b */
    HISTORY_CAS, /* if value = a then value := b; succeeded says whether */
};

struct history_op {
    uint32_t key;
    uint32_t client; /* for people */
    enum history_kind kind;
    uint64_t a, b;
    bool succeeded;
    bool unknown; /* no answer: PUT and CAS only; end_ns is then ignored */
    uint64_t start_ns, end_ns;
};

struct history_verdict {
    bool linearizable;
    bool gave_up;         /* the search grew past its limit: nothing is proven */
    uint32_t key;         /* the offending one */
    size_t checked;       /* operations */
    size_t unknown;       /* of those, without an answer and possibly effective */
    struct history_op op; /* not linearizable: the first operation that no order could pass */
};

/* Sorts `ops`. */
void history_check(struct history_op *ops, size_t n, struct history_verdict *out);

#endif
