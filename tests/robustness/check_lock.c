/*
 * The lock checker (check_lock.h).
 */
#include "tests/robustness/check_lock.h"

#include <inttypes.h>
#include <stdlib.h>

static int by_token(const void *x, const void *y)
{
    const struct lock_hold *a = x, *b = y;
    return a->token < b->token ? -1 : a->token > b->token;
}

static int by_start(const void *x, const void *y)
{
    const struct lock_hold *a = x, *b = y;
    return a->from_ns < b->from_ns ? -1 : a->from_ns > b->from_ns;
}

static int by_revision(const void *x, const void *y)
{
    const struct lock_write *a = x, *b = y;
    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static bool check_overlap(struct lock_hold *holds, size_t n, struct verdict *v)
{
    const struct lock_hold *longest = NULL;
    check_sort(holds, n, sizeof *holds, by_start);
    for (size_t i = 0; i < n; i++) {
        const struct lock_hold *h = &holds[i];
        if (h->until_ns <= h->from_ns) /* over before its holder heard of it */
            continue;
        if (longest && h->from_ns < longest->until_ns)
            return verdict_fail(v,
                                "two holders: client %u (token %" PRId64
                                ") got the lock %.3f s before client %u (token %" PRId64
                                ") had released or outlived it",
                                h->client, h->token, (double)(longest->until_ns - h->from_ns) / 1e9,
                                longest->client, longest->token);
        if (!longest || h->until_ns > longest->until_ns)
            longest = h;
    }
    return true;
}

/* The smallest token of a hold that is greater than `token`; 0: none. `holds` by token. */
static int64_t next_token(const struct lock_hold *holds, size_t n, int64_t token)
{
    for (size_t i = 0; i < n; i++)
        if (holds[i].token > token)
            return holds[i].token;
    return 0;
}

void check_lock(struct lock_hold *holds, size_t holds_len, struct lock_write *writes,
                size_t writes_len, bool queued, struct verdict *v)
{
    if (!check_overlap(holds, holds_len, v))
        return;
    check_sort(holds, holds_len, sizeof *holds, by_token);
    check_sort(writes, writes_len, sizeof *writes, by_revision);
    for (size_t i = 1; i < holds_len; i++)
        if (holds[i].token == holds[i - 1].token)
            verdict_fail(v, "two holds with the token %" PRId64, holds[i].token);
    int64_t newest = 0;
    for (size_t i = 0; i < writes_len && !v->bad; i++) {
        const struct lock_write *w = &writes[i];
        const struct lock_hold wanted = {.token = w->token};
        if (!bsearch(&wanted, holds, holds_len, sizeof *holds, by_token))
            verdict_fail(v, "a write with token %" PRId64 ", which no holder had", w->token);
        if (w->revision <= w->token)
            verdict_fail(v, "a write of revision %" PRId64 " with token %" PRId64, w->revision,
                         w->token);
        if (w->token < newest)
            verdict_fail(v, "token %" PRId64 " wrote at revision %" PRId64 ", after token %" PRId64,
                         w->token, w->revision, newest);
        int64_t next = queued ? 0 : next_token(holds, holds_len, w->token);
        if (next && next < w->revision)
            verdict_fail(v,
                         "token %" PRId64 " wrote at revision %" PRId64
                         ", when the lock had passed to token %" PRId64,
                         w->token, w->revision, next);
        newest = w->token;
    }
}
