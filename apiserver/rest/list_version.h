/*
 * Which state of the store a list or a watch is to show: resourceVersion, resourceVersionMatch, limit,
 * continue and sendInitialEvents, in the combinations that the API documents.
 *
 *     list   rv      match          limit    shows
 *            –       –                       the newest state (linearizable)
 *            0       –, NotOlderThan         what is here
 *            N       –              no       N or newer
 *            N       –              yes      N exactly
 *            N       NotOlderThan            N or newer
 *            N       Exact                   N exactly, or 410
 *            –, 0    –              token    the token's revision
 */
#ifndef C8S_APISERVER_REST_LIST_VERSION_H
#define C8S_APISERVER_REST_LIST_VERSION_H

#include "apiserver/status.h"

struct list_query {
    const char *version; /* resourceVersion; "" when absent, as all others */
    const char *match;   /* resourceVersionMatch */
    const char *token;   /* continue */
    const char *send;    /* sendInitialEvents; NULL when absent */
    int64_t limit;
    bool watch;
};

struct list_version {
    const char *await; /* for rest_await: "" newest, "0" as it is, N at least */
    int64_t exact;     /* the revision to read at; 0: the one found */
    bool initial;      /* watch: begin with what exists */
    bool initial_end;  /* …and say where that ends, if bookmarks are wanted */
    int64_t from;      /* watch without: deliver what comes after; 0: from now on */
};

/* Fill *out; NULL, or the error with the published message. */
struct status *list_version_of(struct arena *a, const struct list_query *q,
                               struct list_version *out);

#endif
