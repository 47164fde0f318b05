/*
 * A state machine and a log in memory for tests of the driver: keeps what would be on disk, so that a
 * member can be stopped and started again. Its state is the number and a digest of applied payloads.
 */
#ifndef C8S_TESTS_RAFT_MEMORY_MACHINE_H
#define C8S_TESTS_RAFT_MEMORY_MACHINE_H

#include "base/vec.h"
#include "raft/node.h"
#include <pthread.h>

struct memory_machine {
    pthread_mutex_t mutex;
    /* "disk" */
    VEC(struct raft_entry) log; /* (base_index, …] */
    uint64_t base_index, base_term;
    struct raft_hard_state hard;
    struct raft_config config;
    uint64_t applied, applied_term;
    uint64_t count, digest;
    /* knobs and marks */
    _Atomic uint64_t retain;     /* entries kept behind applied; 0: all */
    _Atomic uint32_t stall_ms;   /* the next persist takes this long */
    atomic_bool hold;            /* nothing is applied until it is false again */
    atomic_bool held;            /* a transaction is open for apply_held; now and then it is not */
    _Atomic uint32_t here_ms;    /* the next apply_held takes this long, */
    atomic_bool here_refuses;    /* and applies nothing then */
    _Atomic(struct loop *) loop; /* of the node: counts the flushes there */
    _Atomic uint64_t persists_on_loop;
    _Atomic uint64_t held_asked, held_done;
    atomic_int applying; /* at most one thread */
    _Atomic uint64_t persists, persisted_batches, transactions, installs;
};

void memory_machine_init(struct memory_machine *m, const struct raft_config *founders);
void memory_machine_close(struct memory_machine *m);
/* What storage would have recovered; free with memory_machine_boot_free. */
void memory_machine_boot(struct memory_machine *m, struct raft_boot *boot);
void memory_machine_boot_free(struct raft_boot *boot);
void memory_machine_state(struct memory_machine *m, uint64_t *applied, uint64_t *count,
                          uint64_t *digest);
extern const struct raft_machine_ops memory_machine_ops;

#endif
