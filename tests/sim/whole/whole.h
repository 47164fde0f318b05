/*
 * Whole members under simulation: the real store (kvstore/kv.h) with the real Raft node, journal, LMDB,
 * MVCC, leases, watches, compaction and snapshots, several members in one process and one thread, driven
 * by one seed. The same seed gives the same run.
 *
 * Nothing of the store knows of it. Its sources are compiled a second time with shim.h included before
 * everything else, which turns threads into fibers of the seeded scheduler, clocks into the virtual one and
 * the end of the process into the end of the member. Below that, the calls into files (LMDB's included)
 * and into TCP streams go to the simulated disk and network:
 *
 *     kv.h                  ◀── client.c: operations of simulated clients     ──▶ model.c: what they may see
 *     kvstore/, raft/       the real code, raft core with plantable faults (raft/faults.h)
 *     pthread_*, loop_*     fiber.c, fiber_sync.c, loop.c: fibers; who runs next is drawn
 *     stream_*, listener_*  net.c: TCP with delay, broken and silent connections, partitions
 *     host_*, pwrite, …     disk.c, disk_calls.c: what a crash, a power loss or a bad disk leaves
 *     raft_node_start, …    faults.c: wrapped, to listen to what is applied and to plant faults
 *
 *   world.c      weather of a seed, happenings: crashes, partitions, pauses, clocks, membership
 *   member.c     a member's processes: start, crash, stop
 *   seats.c      membership: who is added, promoted, removed, replaced
 *   rot.c        bits that flip on disks
 *   oracle.c     a slow and obvious second state machine, fed with the committed log
 *   run.c        one seed: storm, then calm with convergence
 *   main.c       many seeds over several processes, the command line
 */
#ifndef C8S_TESTS_SIM_WHOLE_H
#define C8S_TESTS_SIM_WHOLE_H

#include "base/heap.h"
#include "base/list.h"
#include "base/random.h"
#include "base/vec.h"
#include "raft/journal.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define MEMBERS_MAX 7 /* ids 1 … */
#define MS 1000ull    /* virtual time is in microseconds */
#define SECOND (1000 * MS)

struct member;
struct fiber;
struct disk;

/* ---- scheduler (run.c) ---- */

struct event {
    struct heap_item item;
    void (*fn)(struct event *e);
};

/* (Re)schedule `delay_us` from now; ties are broken by chance. */
void event_in(struct event *e, uint64_t delay_us);
void event_cancel(struct event *e);
static inline bool event_pending(const struct event *e)
{
    return e->item.index != 0;
}
/* Call fn(ctx) later; cannot be cancelled. */
void later(uint64_t delay_us, void (*fn)(void *ctx), void *ctx);

uint64_t now_us(void);
uint64_t chance_below(uint64_t n); /* [0, n); 0 for n ≤ 1 */
bool chance(uint32_t per_mille);
uint64_t chance_bits(void);
/* In the log of --trace. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool tracing(void);
/* A property is broken: ends the run. From anywhere. */
void broken(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* ---- fibers (fiber.c) ---- */

struct fiber {
    void *sp;
    struct stack *stack;
    struct member *member;
    struct event wake;
    struct list in_member; /* member->fibers */
    struct list waiting;   /* of whom it waits for */
    bool timed_out, done, detached;
    void *(*fn)(void *arg);
    void *arg;
    struct fiber *joiner;
    char name[16];
    void *asan_stack; /* AddressSanitizer's bookkeeping */
};

/* Runs fn(arg) as a thread of the member, from the scheduler. Freed at its end. */
struct fiber *fiber_start(struct member *m, const char *name, void *(*fn)(void *arg), void *arg);
struct fiber *fiber_current(void); /* NULL: the scheduler itself */
/* Leave the processor until fiber_wake, or for `us` (then timed_out is true). */
void fiber_wait(void);
void fiber_wait_for(uint64_t us);
void fiber_wake(struct fiber *f);
/* The fiber's member dies here and now: never returns. */
void fiber_die(void) __attribute__((noreturn));
/* All fibers of a member vanish; not from one of them. */
void fibers_drop(struct member *m);

/* ---- members (member.c) ---- */

enum death { DEATH_CRASH, DEATH_POWER };

struct member {
    uint32_t number;      /* 1 … */
    uint64_t id;          /* Raft's; 0: not known yet */
    uint64_t incarnation; /* counts starts; 0: never started */
    enum { MEMBER_DOWN, MEMBER_STARTING, MEMBER_UP, MEMBER_STOPPING } state;
    bool dying;     /* asked for by a fiber of its own: the scheduler sees to it */
    enum death how; /* with dying */
    enum { SEAT_FOUNDER, SEAT_FREE, SEAT_JOINING } seat; /* seats.c; JOINING: also once joined */
    uint64_t removed_index;  /* of the entry that removed it; 0: none did */
    uint32_t removed_before; /* W.removed_len when it was started last */
    bool leaving;            /* it was removed, and has ended because of it */
    bool out;                /* in the calm: not a member */
    bool retired;            /* stays down when the others are healed */
    unsigned users;          /* calls inside the store that it must not be closed under */
    bool closing;            /* no call any more: only answers that were on their way */
    bool disk_failed;        /* in this incarnation: it may stop */
    bool ruined;             /* its promises are damaged: it refuses to start, and is replaced */
    struct journal_pos journal_end, journal_sure; /* flushed; flushed, and not the last record */
    struct list fibers;
    struct disk *disk;
    uint64_t boot;     /* counts power losses */
    struct kv *kv;     /* UP, STOPPING */
    struct loop *loop; /* of its clients */
    struct raft_node *node;
    struct raft *raft;
    struct { /* what it has reported to be durable (faults.c) */
        uint64_t last, last_term, term, vote;
        uint64_t change; /* of membership, the last it has applied: the others may go by that */
    } promised;
    struct list listeners, streams; /* net.c */
    VEC(void *) envs; /* LMDB's open environments: their mappings outlive a crash else */
    /* clocks */
    uint32_t rate_ppm;     /* of its monotonic clock, about 1,000,000 */
    uint64_t mono_base_ns; /* at clock_set_us */
    uint64_t clock_set_us;
    int64_t wall_offset_ns;
    uint64_t paused_until; /* its processes do not run: SIGSTOP, a virtual machine that is moved */
    /* what clients saw of this incarnation */
    int64_t rev_seen;
    uint64_t applied_seen;
};

/* ---- membership (seats.c) ---- */

bool seat_in(const struct member *m);    /* by the log */
bool seat_votes(const struct member *m); /* by the log */
void seats_configured(const struct raft_config *next,
                      uint64_t index); /* before O.config becomes that */
void seat_removed(void *m);            /* options.on_removed */
/* It runs under this id from now on; before that it has forgotten who it is, or never knew. */
void seat_identified(struct member *m, uint64_t id);
void happen_change(void);
void seats_heal(void);
void seat_remove(struct member *by, const struct member *m);
void seats_keep_quorum(void);
bool seats_settled(void);

void member_start(struct member *m);
void member_crash(struct member *m, enum death how);
void member_stop(struct member *m); /* in good order; ends DOWN some time later */
struct member *member_of_id(uint64_t id);
/* The member whose code runs now; NULL: none. */
struct member *member_current(void);
uint64_t member_mono_ns(const struct member *m);
void members_free(void);

/* ---- disk (disk.c) ---- */

void disk_calls_close(struct member *m);
struct disk *disk_new(struct member *m);
void disk_free(struct disk *d);
void disk_process_died(struct disk *d); /* files are closed, the page cache stays */
void disk_power_lost(struct disk *d);
/* Before the n-th write or sync from now: the member dies. 0: never. */
void disk_crash_in(struct disk *d, uint64_t n, enum death how);
/* The n-th write or sync from now fails with this errno, and for some time whatever follows. */
void disk_fail_in(struct disk *d, uint64_t n, int error);
/* Somebody else fills the disk but for so many bytes, until freed. */
void disk_fill(struct disk *d, uint64_t leave);
void disk_unfill(struct disk *d);
void disk_dump(const struct disk *d);      /* into the trace */
void disk_process_is_well(struct disk *d); /* nothing more is to happen */
uint64_t disk_calls(const struct disk *d);

/* ---- disks that rot (rot.c) ---- */

void happen_rot(void);
/* May this member stop, refuse or not start with that code? */
bool rot_explains(const struct member *m, int code);

/* ---- network (net.c) ---- */

void net_member_died(struct member *m); /* its connections break */
void net_free(void);
bool net_close_fd(int fd); /* false: not one of the network's */

/* ---- the world (world.c) ---- */

struct weather { /* per mille unless named otherwise; intervals are means, 0: never */
    uint32_t members, founders;
    uint64_t delay_us, slow_us, flush_us;
    uint32_t slow;                   /* of segments */
    uint32_t lost, twice, overtaken; /* of Raft's messages, before they reach a connection */
    uint32_t yield;                  /* of lock operations: somebody else runs first */
    uint64_t op_us, crash_us, partition_us, pause_us, clock_us, disk_us, transfer_us, change_us,
        compact_us, defrag_us, full_us, rot_us;
    uint32_t power;    /* of crashes */
    uint32_t at_write; /* of crashes: at some write or sync to come, not at once */
    uint32_t graceful; /* of crashes: an orderly stop instead */
    uint32_t drift_ppm;
    uint32_t checkpoint_ms, segment_bytes, log_keep, ring_bytes;
    uint32_t clients, keys;
    uint64_t storm_events;
};

struct world {
    uint64_t seed;
    uint64_t faults; /* enum whole_fault */
    bool trace;
    struct rng rng;
    uint64_t now;
    struct heap events;
    uint64_t steps;
    uint64_t hash; /* of the times and draws of all events so far: the same for the same run */
    struct weather weather;
    struct member members[MEMBERS_MAX];
    uint32_t members_len;
    bool cut[MEMBERS_MAX + 1][MEMBERS_MAX + 1]; /* [from][to] */
    bool calm;
    bool power_losses; /* this seed has some: the disk keeps what it needs for them */
    uint64_t leases_asked;
    uint64_t removed[64]; /* ids, all of this run */
    uint32_t removed_len;
    struct member *rotten; /* whose disk rots; NULL: none (so far, or it was replaced) */
    uint64_t crashes, powers, restarts, snapshots, elections, disk_errors, changes, full, flips,
        rebuilt, ruined;
    uint64_t held; /* batches applied by the raft thread, into a transaction that was held */
    char failure[600];
};
extern struct world W;

void weather_draw(void);
void world_start(void);
void world_heal(void);
void world_look_after(void);  /* in the calm: whoever is down is started */
extern uint64_t storm_events; /* of a seed, on the average */

/* ---- clients (client.c), model (model.c, oracle.c) ---- */

struct client_counts {
    uint64_t writes, reads, rejected, unknown, watch_events, leases, expired, compactions, hashes,
        defrags;
};
extern struct client_counts counts;
void clients_start(void);
void clients_member_died(struct member *m);
/* A watch over everything and one write, on each member, in the calm. */
bool clients_settled(const char **awaited);
void clients_free(void);

/* ---- a seed (run.c) ---- */

struct run_result {
    uint64_t hash, steps, virtual_ms, applied, crashes, powers, snapshots, elections, disk_errors,
        changes, full, flips, rebuilt, ruined, held;
    struct client_counts counts;
};
/* Runs it; a failure ends the process after `failure` has been written to *failure (shared memory). */
void run_seed(uint64_t seed, uint64_t faults, bool with_trace, char *failure,
              struct run_result *out);

#endif
