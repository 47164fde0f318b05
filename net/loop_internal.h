/*
 * Inside net/ only: memory that the connections of one loop share, since only one of them reads or
 * writes at a time. An idle connection then holds no buffer of its own.
 */
#ifndef C8S_NET_LOOP_INTERNAL_H
#define C8S_NET_LOOP_INTERNAL_H

#include "base/buf.h"
#include "net/loop.h"
#include "net/pool.h"

#define LOOP_SCRATCH_READ_BYTES (64u * 1024)

struct loop_scratch {
    char *read;      /* LOOP_SCRATCH_READ_BYTES; what was just received */
    struct buf wire; /* TLS records made but not yet sent; empty between two streams' turns */
};
struct loop_scratch *loop_scratch(struct loop *loop);
/* Small objects of the loop's connections. */
struct pool *loop_pool(struct loop *loop);

#endif
