/*
 * A small API server for tests of clients: pods in memory, over plain HTTP on loopback.
 *
 * It serves list (with limit and continue), watch (from a revision, with bookmarks), get, create, update and delete of
 * pods, with revisions, conflicts, 410 after fake_compact and for watches from the future, 504 for lists of it, 410 for lists of
 * exactly a version (a limit and resourceVersion without resourceVersionMatch) that is not the current one, and faults on request:
 * refuse the next requests, break all watches, die, come back. State can be copied to a second server, which then lags.
 */
#ifndef C8S_TESTS_FAKE_API_H
#define C8S_TESTS_FAKE_API_H

#include "proto/core_v1.pb-c.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct fake_api;

struct fake_api *fake_api_new(void);
void fake_api_free(struct fake_api *f);
/* "http://127.0.0.1:port"; lives as long as f. */
const char *fake_api_url(const struct fake_api *f);

/* Changes as by another client; return the new revision. node NULL: unassigned. */
uint64_t fake_put_pod(struct fake_api *f, const char *ns, const char *name, const char *node);
uint64_t fake_delete_pod(struct fake_api *f, const char *ns, const char *name);
/* Advance the revision without a change of pods, and tell watchers by a bookmark. */
uint64_t fake_bookmark(struct fake_api *f);
uint64_t fake_revision(struct fake_api *f);

/* Forget history: watches from before the current revision get 410. */
void fake_compact(struct fake_api *f);
/* Break every watch off in the middle. */
void fake_break_watches(struct fake_api *f);
/* Answer every watch with this status from now on; 200: it ends at once; 0: as usual. */
void fake_watches(struct fake_api *f, int status);
/* Answer the next `times` requests (watches too) with this status; retry_after_s < 0: no such header. */
void fake_refuse(struct fake_api *f, unsigned times, int status, int retry_after_s);
/* Close the port and all connections; listen again on the same port. */
void fake_die(struct fake_api *f);
void fake_revive(struct fake_api *f);
/* Make `to` know exactly what `from` knows now. */
void fake_copy(struct fake_api *to, struct fake_api *from);

/* A member that lags cannot say what is newest: lists without a version get 504 until it is copied to. */
void fake_lag(struct fake_api *f);

/* What was asked, since the start. */
struct fake_counts {
    unsigned lists, watches, gets, creates, updates, deletes, refused;
};
struct fake_counts fake_counts(struct fake_api *f);

#endif
