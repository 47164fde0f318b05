/*
 * Faults that can be planted in the core, to test the simulator: each removes one safeguard, and the
 * simulator must find out. They exist only when compiled with RAFT_FAULTS (the simulator's own build
 * of the core); in production RAFT_FAULT is a constant 0.
 */
#ifndef C8S_RAFT_FAULTS_H
#define C8S_RAFT_FAULTS_H

enum raft_fault {
    RAFT_FAULT_VOTE_FORGOTTEN = 1 << 0,      /* the vote is forgotten at restart */
    RAFT_FAULT_SNAPSHOT_LOSES_VOTE = 1 << 1, /* installing a snapshot stores no vote */
    RAFT_FAULT_OLD_TERM_COMMIT = 1 << 2,     /* an old term's entry is committed by counting */
    RAFT_FAULT_ACK_UNFLUSHED = 1 << 3,       /* appends are acknowledged before the flush */
    RAFT_FAULT_APPLY_UNFLUSHED = 1 << 4,     /* entries are applied before the flush */
    RAFT_FAULT_LEARNER_COUNTED = 1 << 5,     /* learners count towards commit */
    RAFT_FAULT_READ_BEFORE_COMMIT = 1 << 6,  /* ReadIndex before the term's first commit */
    RAFT_FAULT_READ_WITHOUT_QUORUM = 1 << 7, /* ReadIndex without asking a quorum */
    RAFT_FAULT_EARLY_CHANGE = 1 << 8,        /* a change proposed before the last is applied */
    RAFT_FAULT_JOINT_ONE_HALF = 1 << 9,      /* the incoming half of a joint one decides alone */
    RAFT_FAULT_TRUNCATE_MATCHED = 1 << 10,   /* every append cuts the log behind it */
    RAFT_FAULT_JOURNAL_CUT = 1 << 11,        /* simulator: journal cut past the checkpoint */
    RAFT_FAULT_CHANGE_UNFLUSHED = 1 << 12,   /* a committed change is told before it is durable */
};

#ifdef RAFT_FAULTS
#define RAFT_FAULT(r, name) (((r)->params.faults & RAFT_FAULT_##name) != 0)
#else
#define RAFT_FAULT(r, name) 0
#endif

#endif
