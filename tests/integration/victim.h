/*
 * A cluster of three of which one member, the victim, is a process of its own, to be killed, damaged or given
 * a bad disk, while the other two run in the test's process.
 *
 * The test program starts itself again for the victim: main must call victim_main first. The victim
 * writes keys all the time, one after the other, and says through a pipe which writes were acknowledged;
 * the test's own members are written to, too. Whatever happens to the victim, once it runs again and has caught
 * up, victims_agree demands that no acknowledged write is lost and that all three states are equal.
 */
#ifndef C8S_TESTS_VICTIM_H
#define C8S_TESTS_VICTIM_H

#include "base/buf.h"
#include "base/clock.h"
#include "kvstore/kv.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/types.h>

#define VICTIM 2 /* its number; 0 and 1 are the peers */
#define VICTIM_KEYS 40
#define VICTIM_STOPPED 3 /* exit code of a victim that its store told to stop */

struct victim {
    char dir[96];
    int ports[3];
    struct kv *peers[2];

    pid_t pid; /* 0: not running */
    int to, from;
    struct buf partial;      /* of a line */
    long acked[VICTIM_KEYS]; /* the last acknowledged value of each of the victim's keys */
    long last;               /* the last number used, acknowledged or not */
    unsigned acks;           /* since it was started */
    bool ready;              /* it has said so since it was started */
    char said[1024];         /* the last answer to a command */
    bool answered;

    pthread_t writer; /* of the peers */
    atomic_bool writer_stop;
    atomic_long written;
};

/* If this process was started as a victim: be one, and never return. */
void victim_main(int argc, char **argv);

/* Starts the peers and their writer, not the victim. `dir` NULL: a new temporary directory. */
void victims_open(struct victim *v, const char *victim_dir);
void victims_close(struct victim *v);
/* Stop and start one of the test's own members. */
void peer_stop(struct victim *v, int i);
void peer_start(struct victim *v, int i);
/* Writes through the peers while it runs. */
void writer_start(struct victim *v);
void writer_end(struct victim *v);
/* So many writes through the peers, not one more. */
void peers_write(struct victim *v, int n);
/* The last entry in a log of theirs. */
uint64_t peers_log_end(struct victim *v);

/* Start the victim; each of `env` ("NAME=value", NULL-terminated; may be NULL) is set for it. Quiet: it writes
 * nothing by itself. */
void victim_start(struct victim *v, const char *const *env, bool quiet);
/* Read what it says for at most `ms`. Returns false when it has ended (victim_end tells how). */
bool victim_listen(struct victim *v, int ms);
/* Wait, listening, until it has written `n` more acknowledged values. False: it has ended. */
bool victim_writes(struct victim *v, unsigned n);
/* Wait until it has ended; its status as of waitpid. Fails after a minute. */
int victim_end(struct victim *v);
/* Send a command and wait for the answer (in v->said). False: it has ended. */
bool victim_ask(struct victim *v, const char *command);
void victim_kill(struct victim *v);
/* The victim runs: it has caught up, its state is equal to the peers', everything acknowledged is there. */
void victims_agree(struct victim *v);

/* How things stand with the peers, for whoever reads why the test has failed. */
void peers_tell(struct victim *v);

/* Wait up to a minute for a condition, listening to the victim. */
#define WAIT_UNTIL(v, condition)                                \
    do {                                                        \
        uint64_t wait_end = clock_mono_ns() + 60 * NS_PER_S;    \
        while (!(condition)) {                                  \
            if (clock_mono_ns() > wait_end) {                   \
                peers_tell(v);                                  \
                fail_msg("waited in vain for: %s", #condition); \
            }                                                   \
            victim_listen(v, 10);                               \
        }                                                       \
    } while (0)

#endif
