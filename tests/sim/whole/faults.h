/*
 * Where the simulator listens to the store and plants faults: functions wrapped by the linker (--wrap).
 * Each fault removes one safeguard; the simulator must find out.
 */
#ifndef C8S_TESTS_SIM_WHOLE_FAULTS_H
#define C8S_TESTS_SIM_WHOLE_FAULTS_H

#include <lmdb.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bits above those of the core's own faults (raft/faults.h). */
enum whole_fault {
    FAULT_JOIN_ALONE = 1 << 14,            /* who joins believes whoever lags most */
    FAULT_REMOVED_LEAVES = 1 << 15,        /* whoever is removed takes its vote along at once */
    FAULT_JOURNAL_UNFLUSHED = 1 << 16,     /* the journal is acknowledged before its flush */
    FAULT_CHECKPOINT_UNFLUSHED = 1 << 17,  /* meta pages are kept before data.mdb is flushed */
    FAULT_JOURNAL_RECYCLED = 1 << 18,      /* segments are recycled before the checkpoint */
    FAULT_DIRECTORY_UNSYNCED = 1 << 19,    /* renames and new files: the directory is not flushed */
    FAULT_APPLY_DIFFERS = 1 << 20,         /* now and then one member applies something else */
    FAULT_PROPOSAL_RESENT = 1 << 21,       /* a forwarded proposal is sent twice */
    FAULT_LEASE_ENDS_EARLY = 1 << 22,      /* leases end more than half a second early */
    FAULT_WATCH_SKIPS = 1 << 23,           /* a watch that is resumed begins one revision late */
    FAULT_READ_RELEASED_EARLY = 1 << 24,   /* reads do not wait for their index to be applied */
    FAULT_PIN_IGNORED = 1 << 25,           /* compaction takes what a walk still reads */
    FAULT_SNAPSHOT_LOSES_LEASES = 1 << 26, /* a snapshot carries no leases */
    FAULT_ERROR_SWALLOWED = 1 << 27,       /* a failed flush counts as done */
    FAULT_APPLIED_TWICE = 1 << 28,         /* the applied index is not stored with the state */
    FAULT_DEFRAG_FORGETS =
        1 << 29, /* not all that is written while defragmenting gets into the copy */
    FAULT_CHECKSUM_IGNORED = 1 << 30, /* a stored version is served whatever its checksum says */
};

struct fault_name {
    const char *name;
    uint64_t fault;
    bool rare; /* takes hundreds of seeds: by name only, not with --all-faults */
};
extern const struct fault_name fault_names[];
extern const size_t fault_names_len;

static inline bool faulty(uint64_t faults, uint64_t f)
{
    return (faults & f) != 0;
}

void faults_reset(void); /* between two seeds */
void plain_env_close(MDB_env *env);

#endif
