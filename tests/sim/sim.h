/*
 * A whole cluster in one deterministic program: N members run the real consensus core (built with
 * plantable faults, raft/faults.h) over a virtual network, virtual disks and drifting clocks, all driven
 * by one seeded generator. The same seed gives the same run.
 *
 *   sim_run.c      one seed: the event loop, safety phase, healing, convergence
 *   sim_member.c   a member's driver: persist → flush → apply, reads, fetches, snapshots
 *   sim_disk.c     what survives a crash of the process, and a loss of power
 *   sim_net.c      delay, loss, duplication, reordering, partitions
 *   sim_world.c    what happens to the cluster: load, membership changes, crashes, partitions
 *   sim_check.c    the properties that must hold after every step
 *   sim_main.c     many seeds over several processes, the command line
 */
#ifndef C8S_TESTS_SIM_H
#define C8S_TESTS_SIM_H

#include "base/heap.h"
#include "base/random.h"
#include "base/vec.h"
#include "raft/faults.h"
#include "raft/raft.h"
#include <setjmp.h>

#define SIM_MEMBERS_MAX 7
#define SIM_MS 1000ull /* virtual time is in microseconds */
#define SIM_TICK_US (50 * SIM_MS)

struct sim;
struct sim_member;

/* ---- events ---- */

struct sim_event {
    struct heap_item item;
    void (*fn)(struct sim *s,
               struct sim_event *e);   /* runs and frees what it owns; e itself is freed after */
    void (*drop)(struct sim_event *e); /* frees what it owns when it never runs; or NULL */
    uint64_t member;                   /* id, or 0 */
    uint64_t incarnation; /* the event is void when the member has crashed since; 0: always valid */
    uint64_t arg;
    void *data;
};

struct sim_event *sim_after(struct sim *s, uint64_t delay_us,
                            void (*fn)(struct sim *s, struct sim_event *e));
uint64_t sim_rand(struct sim *s, uint64_t below);
bool sim_chance(struct sim *s, uint32_t per_mille);

/* ---- disk ---- */

typedef VEC(struct raft_entry) sim_entries;

/* LMDB: log and state in one place; a commit is visible at once and not durable. */
struct sim_db {
    uint64_t base_index, base_term;
    sim_entries log; /* (base_index, …]; references */
    struct raft_hard_state hard;
    struct raft_config config; /* as of applied */
    uint64_t applied, applied_term;
    uint64_t digest;      /* of everything applied, in order */
    uint64_t journal_pos; /* records up to here are in */
};

/* One journal record: a persist batch. */
struct sim_record {
    uint64_t pos; /* 1, 2, … over the life of the disk */
    uint64_t seq; /* of the incarnation that wrote it */
    struct raft_hard_state hard;
    sim_entries entries;
};

struct sim_disk {
    struct sim_db live;       /* what the process sees */
    struct sim_db checkpoint; /* what a loss of power leaves of it */
    VEC(struct sim_record *) journal;
    uint64_t written, flushed; /* positions */
    /* What was reported durable: must be there after any crash. */
    uint64_t promised_last, promised_last_term;
};

void sim_disk_init(struct sim_disk *d, const struct raft_config *config);
void sim_disk_free(struct sim_disk *d);
void sim_record_free(struct sim_record *r);
/* The process dies; written records survive. power: unflushed ones may be lost, LMDB goes back. */
void sim_disk_crash(struct sim *s, struct sim_disk *d, bool power);
/* Replay the journal into the database; fails the run when something promised is missing. */
void sim_disk_recover(struct sim *s, struct sim_member *m);
void sim_disk_append(struct sim *s, struct sim_db *db, const struct sim_record *r, uint64_t id);
void sim_disk_checkpoint(struct sim *s, struct sim_disk *d);
uint64_t sim_db_last(const struct sim_db *db);
uint64_t sim_db_term(const struct sim_db *db, uint64_t index); /* 0: not there */
void sim_db_compact(struct sim_db *db, uint64_t base);
void sim_db_copy(struct sim_db *to, const struct sim_db *from);
void sim_db_free(struct sim_db *db);

/* ---- members ---- */

struct sim_job {               /* for the apply thread, in order */
    struct sim_record *record; /* append to the log; owned by the disk */
    sim_entries apply;         /* or apply these */
    uint64_t pos;
};

struct sim_snapshot {
    struct raft_snapshot_meta meta;
    uint64_t digest;
};

struct sim_member {
    uint64_t id;
    uint64_t incarnation; /* counts starts; 0: never started */
    bool alive;
    bool retired; /* healing: stays down */
    struct raft *raft;
    uint64_t tick_us; /* by its own clock: drifts */
    struct sim_disk disk;
    VEC(struct sim_record *) queue; /* persist batches not yet written */
    bool flushing;
    bool stalled; /* the disk takes long */
    VEC(struct sim_job *) jobs;
    bool applying;
    struct sim_snapshot *staged; /* received, offered to the core */
    bool install_pending;        /* the core wants it, earlier work is still going on */
    struct raft_hard_state install_hard;
    /* for the checks */
    enum raft_role role_seen;
    uint64_t term_seen, commit_seen;
};

void sim_member_start(struct sim *s, struct sim_member *m);
void sim_member_crash(struct sim *s, struct sim_member *m, bool power);
/* Do everything the core asks for; after every call into it. */
void sim_pump(struct sim *s, struct sim_member *m);
struct sim_member *sim_member(struct sim *s, uint64_t id);
void sim_member_free(struct sim_member *m);

/* ---- network ---- */

void sim_send(struct sim *s, const struct raft_message *m);
bool sim_link_up(struct sim *s, uint64_t from, uint64_t to);

/* ---- checks ---- */

struct sim_known {        /* an entry seen in some log */
    uint64_t index, term; /* term 0: free slot */
    uint64_t previous_term;
    uint64_t content;
};

struct sim_committed {
    uint64_t term, content;
    uint64_t by_term; /* term of the member that first knew */
};

struct sim_read {
    uint64_t context, member, incarnation;
    uint64_t least; /* highest commit index anywhere when it was asked */
};

struct sim_checks {
    struct sim_known *known;
    size_t known_len, known_cap;
    VEC(struct sim_committed) committed; /* [index − 1] */
    VEC(uint64_t) leaders;               /* [term] → id, 0: none seen */
    struct {
        uint64_t term, voted_for;
    } votes[SIM_MEMBERS_MAX + 1];
    VEC(struct sim_read) reads;
    VEC(uint64_t) digests; /* [index − 1] digest after applying index; 0: nobody yet */
    uint64_t reads_answered, changes_applied, snapshots_installed, elections, crashes;
};

void sim_check_member(struct sim *s, struct sim_member *m); /* after every step */
void sim_check_entry(struct sim *s, uint64_t id, const struct raft_entry *e,
                     uint64_t previous_term);
void sim_check_applied(struct sim *s, struct sim_member *m, const struct raft_entry *e,
                       uint64_t digest);
void sim_check_vote(struct sim *s, uint64_t voter, uint64_t term, uint64_t candidate);
void sim_check_restart(struct sim *s, struct sim_member *m); /* what was promised is remembered */
void sim_check_read(struct sim *s, struct sim_member *m, const struct raft_read *read);
uint64_t sim_content(const struct raft_entry *e);
void sim_checks_free(struct sim_checks *c);

/* ---- the world ---- */

struct sim_weather { /* drawn from the seed; per mille unless named otherwise */
    uint32_t loss, duplicate, slow;
    uint64_t delay_us, slow_us, flush_us;
    uint64_t propose_us, read_us, change_us, transfer_us, crash_us, partition_us, checkpoint_us;
    uint32_t power;    /* of crashes */
    uint32_t ambush;   /* of elections and changes: followed at once by a crash or partition */
    uint64_t retain;   /* entries kept behind applied when compacting */
    uint64_t storm_us; /* length of the safety phase */
};

struct sim {
    uint64_t seed;
    uint32_t faults;
    bool trace;
    struct rng rng;
    uint64_t now;
    struct heap events;
    uint64_t steps;
    struct sim_weather weather;
    struct sim_member members[SIM_MEMBERS_MAX];
    uint32_t members_len;
    struct raft_config first_config;
    bool cut[SIM_MEMBERS_MAX + 1][SIM_MEMBERS_MAX + 1]; /* [from][to] */
    struct sim_checks checks;
    uint64_t next_content, next_context;
    uint64_t commit_max; /* highest commit index known anywhere */
    bool calm;           /* healing: no faults any more */
    jmp_buf failed;
    char failure[512];
};

void sim_weather_draw(struct sim *s);
void sim_world_start(struct sim *s);
void sim_ambush(struct sim *s, uint64_t member); /* a delicate moment: perhaps disturb it */
void sim_propose(struct sim *s, struct sim_member *m);
void sim_ask_read(struct sim *s, struct sim_member *m);

void sim_trace(struct sim *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A property is broken: ends the run. */
void sim_fail(struct sim *s, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* One whole seed: 0, or 1 with s->failure saying what broke. */
struct sim_result {
    bool failed;
    char failure[512];
    uint64_t steps, committed, elections, reads, changes, snapshots, crashes;
};
void sim_run(uint64_t seed, uint32_t faults, bool trace, struct sim_result *out);

#endif
