/*
 * Shared by the fuzz targets.
 */
#ifndef C8S_TESTS_FUZZ_H
#define C8S_TESTS_FUZZ_H

#include "base/buf.h"
#include "base/mem.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Not assert: the message of the sanitizer's stack is what a finding needs. */
static inline void require(bool ok)
{
    if (!ok)
        abort();
}

/* A copy of exactly the input's size, so that the sanitizer sees one byte too far; mem_free it. */
static inline struct str fuzz_input(const uint8_t *data, size_t size)
{
    return str_make(mem_dup(data, size), size);
}

static inline void fuzz_input_free(struct str in)
{
    mem_free((void *)in.p);
}

#endif
