/*
 * A set to which unique elements are added, and which is read as a whole.
 */
#ifndef C8S_ROBUSTNESS_CHECK_SET_H
#define C8S_ROBUSTNESS_CHECK_SET_H

#include "tests/robustness/verdict.h"
#include <stddef.h>

struct set_add {
    uint64_t element; /* unique */
    bool unknown;
    int64_t revision; /* 0 when unknown */
    uint64_t start_ns, end_ns;
};

struct set_read {
    const uint64_t *elements; /* in any order */
    size_t elements_len;
    int64_t revision;
    uint64_t start_ns, end_ns;
};

/* Linearizable: what was acknowledged, or seen, before a read began is in it; nothing is in it that was
 * not asked for before its end. A read of revision R has every element added up to R. Sorts both. */
void check_set(struct set_add *adds, size_t adds_len, struct set_read *reads, size_t reads_len,
               struct verdict *v);

#endif
