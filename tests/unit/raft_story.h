/*
 * A few cores and what lies between them, played by hand: messages are delivered, lost and flushed where a story says
 * so. For test_raft_core.c and test_raft_membership.c.
 */
#ifndef C8S_TESTS_UNIT_RAFT_STORY_H
#define C8S_TESTS_UNIT_RAFT_STORY_H

#include "base/vec.h"
#include "raft/state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define N 5 /* ids 1 … */

struct actor {
    struct raft *raft;
    VEC(struct raft_message) outbox; /* sent, not delivered */
    VEC(uint64_t) unflushed;         /* batch numbers */
    VEC(struct raft_entry) applied;
    VEC(struct raft_read) reads;
    VEC(struct raft_fetch) fetches;
    VEC(uint64_t) snapshots;
    bool slow_disk; /* batches wait for flush() */
    bool slow_apply;
    bool cut;
    bool install;
    struct raft_hard_state install_hard, hard;
};

extern struct actor actors[N + 1];

#define story(fn) cmocka_unit_test_teardown(fn, world_end)
int world_end(void **state); /* all are freed */

struct raft_config voters(uint64_t n);                  /* 1 to n */
struct raft_boot founding(const struct raft_config *c); /* what a founder starts with */
void start(uint64_t id, const struct raft_boot *boot);
void start_all(uint64_t n, const struct raft_config *c); /* who is not in `c` with nothing */
void actor_free(struct actor *a);

/* Take the core's output; flush and apply at once unless told otherwise. */
void act(struct actor *a);
void flush_one(uint64_t id); /* the oldest batch under way is flushed */
void flush_all(uint64_t id);
void deliver(struct raft_message *m); /* and free it; lost when one of the two is cut off */
/* The first message that one of the first three has to send; there must be one. */
void deliver_one(void);
void settle(void);      /* deliver until nothing is under way */
void lose(uint64_t id); /* forget what `id` has sent */
/* Take the first message of the type out of what `id` has sent. */
struct raft_message pick(uint64_t id, uint64_t to, enum raft_message_type type);
bool sends(uint64_t id, enum raft_message_type type);

void tick(uint64_t id, int times);
void campaign(uint64_t id); /* undisturbed by leases */
struct raft *elect(uint64_t id);
uint64_t propose(uint64_t id, size_t payload); /* its index; 0: refused */
int propose_change(uint64_t id, enum raft_change_op_kind kind, uint64_t member, bool joint);

#endif
