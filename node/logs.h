/*
 * Container logs: files in CRI's format, one line each
 *
 *     2026-11-21T08:15:49.123456789Z stdout F the text
 *
 * (P instead of F: the line goes on in the next record), written by the runtime, rotated by the
 * agent (LOG, LOG.20261121-081549 …), read for `kubectl logs`.
 */
#ifndef C8S_NODE_LOGS_H
#define C8S_NODE_LOGS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

/* Times are nanoseconds in 64 bits: up to the year 2262. */
#define LOG_TIME_MAX_S (INT64_MAX / 1000000000 - 1)

struct log_record {
    int64_t time_ns;
    struct str stamp; /* the time as written */
    bool is_stderr;
    bool partial;    /* the line is not over yet */
    struct str text; /* without the line feed */
};
/* One line of the file, without its line feed; false when it is no record. */
bool log_parse(struct str line, struct log_record *out);

struct log_options {
    int64_t tail_lines;  /* -1: all */
    int64_t since_ns;    /* records at or after that time; 0: all */
    int64_t limit_bytes; /* of output; -1: none */
    bool timestamps;
    int stream; /* 0 both, 1 stdout, 2 stderr */
};

/*
 * A reader of one container's log, also while it is written: each call appends what is new to
 * `out`. Follows a rotation (the file at the path is another one) after it has read the old one to
 * its end.
 */
struct log_reader;
struct log_reader *log_reader_open(const char *path, const struct log_options *o,
                                   struct error *err);
void log_reader_free(struct log_reader *r);
/* Appends at most about `max` bytes. Returns 1 when there may be more right away, 0 at the end for
 * now, 2 when the limit is reached, negative on a read error. */
int log_reader_read(struct log_reader *r, size_t max, struct buf *out, struct error *err);

/* The last lines of a log as text, at most `bytes`; "" when there are none. */
const char *logs_tail(const char *path, size_t lines, size_t bytes, struct arena *a);

/* Rename a log that is larger than bytes_max and remove the oldest beyond files_max (the live one
 * counted). True when it was renamed: the runtime must then be told to open it anew. */
bool logs_rotate(const char *path, int64_t bytes_max, int64_t files_max);
/* Remove a log and its rotated predecessors. */
void logs_remove(const char *path);

#endif
