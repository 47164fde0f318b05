/*
 * What watchers were told, judged against each other and against the writers' own history.
 */
#ifndef C8S_ROBUSTNESS_CHECK_WATCH_H
#define C8S_ROBUSTNESS_CHECK_WATCH_H

#include "tests/robustness/verdict.h"
#include <stddef.h>

struct watch_event {
    int64_t revision;
    uint64_t key;   /* a number for the key */
    uint64_t value; /* unique per write; 0: deleted */
    int64_t create, version;
    bool has_prev; /* the previous pair was asked for and came */
    int64_t prev_mod;
    uint64_t prev_value;
};

enum watch_answer { WATCH_CREATED, WATCH_EVENTS, WATCH_PROGRESS, WATCH_COMPACTED };

struct watch_response {
    enum watch_answer kind;
    int64_t revision; /* of the header; COMPACTED: compact_revision */
    bool fragment;    /* more of the same response follows */
    const struct watch_event *events;
    size_t events_len;
};

/* One watch from its creation until it was cancelled or its stream broke; all over the same range of keys. */
struct watch_session {
    uint32_t watcher;
    int64_t start_revision; /* asked for; 0: what comes next */
    bool wants_prev; /* every change of something that was there must come with the previous pair */
    const struct watch_response *responses;
    size_t responses_len;
};

/* A write as its client knows it. */
struct watch_write {
    uint64_t key, value; /* 0: delete */
    bool unknown;
    int64_t revision; /* 0 when unknown */
};

struct watch_history {
    const struct watch_session *sessions; /* of one watcher in order of time */
    size_t sessions_len;
    const struct watch_write *writes;
    size_t writes_len;
    /* Somebody saw all of what is between these; everybody got to the last. 0: not known. */
    int64_t first_revision, last_revision;
    bool from_nothing; /* no key was there before first_revision */
};

/*
 * Judged: order, also across the responses of a session; a revision comes in one response (or its fragments)
 * and once; nothing from before the start; nothing missing up to the last event or progress notification, which
 * no event may come behind; a resumed watch goes on where the last one ended, or names a compaction past that;
 * all watchers agree; created revision, version and previous pair fit the event before; every acknowledged write
 * is an event, and every event a write that was asked for.
 */
void check_watch(const struct watch_history *h, struct verdict *v);

#endif
