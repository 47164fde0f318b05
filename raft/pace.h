/*
 * How fast a member gives to those who are behind: bytes of snapshots and of the stored log, at a rate that
 * follows how long commits take here. Members may share processors, disks or networks with the one that catches
 * up, or with each other; what it costs shows in the commits wherever that is.
 *
 * In each window of 100 ms the slowest commit counts (of the window's hundred writes it is about the 99th
 * percentile). What is usual is learnt while nobody catches up; while somebody does, the rate falls by a quarter
 * in a window whose recent commits took more than 1.5 times that, and grows by an eighth in others.
 *
 * That always comes to an end: the rate never falls below PACE_FLOOR, nor below PACE_AHEAD times what is appended
 * to the log meanwhile. So the log that has to be kept for a follower that takes a snapshot is at most a quarter
 * of that snapshot, and the log behind it is given four times as fast as it grows. And where nothing is committed at
 * all (perhaps because it needs just the one that is behind) there is nobody to spare.
 *
 * Pure: no clock, no locks. Times are nanoseconds of one clock.
 */
#ifndef C8S_RAFT_PACE_H
#define C8S_RAFT_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACE_FLOOR (8ull << 20)  /* bytes a second */
#define PACE_START (32ull << 20) /* when somebody begins to catch up */
#define PACE_MAX (1ull << 30)
#define PACE_AHEAD 4
#define PACE_UNDER_WAY 64
#define PACE_ENTRY_BYTES 1024 /* what an entry costs besides its bytes: it is flushed and applied */

struct pace {
    uint64_t rate;       /* bytes a second */
    uint64_t next_ns;    /* when what was taken so far is paid for */
    uint64_t taken_ns;   /* when somebody last took something; 0: never */
    uint64_t window_ns;  /* beginning of the window */
    uint64_t slowest_ns; /* commit in the window */
    uint64_t usual_ns;   /* slowest commits while nobody catches up, smoothed; 0: not known */
    uint64_t recent_ns;  /* the same in the last windows */
    uint64_t appended;   /* bytes in the window */
    uint64_t arriving;   /* appended bytes a second, smoothed */
    struct {
        uint64_t index, at_ns;
    } under_way[PACE_UNDER_WAY]; /* appended and not committed: a ring, oldest at `first` */
    uint32_t first, count;
};

void pace_init(struct pace *p, uint64_t now_ns);
/* A leader appended entries up to `index`. Only as many as fit are watched. */
void pace_appended(struct pace *p, uint64_t index, uint64_t bytes, uint64_t now_ns);
void pace_committed(struct pace *p, uint64_t index, uint64_t now_ns);
/* Leads no more: nothing is under way. */
void pace_reset(struct pace *p);

/* 0: more may be given now; else how long to wait. */
uint64_t pace_wait_ns(struct pace *p, uint64_t now_ns);
void pace_taken(struct pace *p, uint64_t bytes, uint64_t now_ns);

#endif
