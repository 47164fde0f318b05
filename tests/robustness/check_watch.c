/*
 * The watch checker (check_watch.h). First the events of all sessions are united into the one history that there
 * must be; then every session is compared with it.
 */
#include "tests/robustness/check_watch.h"

#include "base/mem.h"
#include "base/vec.h"
#include <inttypes.h>
#include <stdlib.h>

typedef VEC(struct watch_event) events;

static int by_revision(const void *x, const void *y)
{
    const struct watch_event *a = x, *b = y;
    if (a->revision != b->revision)
        return a->revision < b->revision ? -1 : 1;
    return a->key < b->key ? -1 : a->key > b->key;
}

static bool same_event(const struct watch_event *a, const struct watch_event *b)
{
    return a->value == b->value &&
           (a->value == 0 || (a->create == b->create && a->version == b->version));
}

/* Everybody's events, each once. */
static bool unite(const struct watch_history *h, events *all, struct verdict *v)
{
    for (size_t s = 0; s < h->sessions_len; s++)
        for (size_t r = 0; r < h->sessions[s].responses_len; r++)
            for (size_t e = 0; e < h->sessions[s].responses[r].events_len; e++)
                vec_push(all, h->sessions[s].responses[r].events[e]);
    if (all->len == 0)
        return true;
    check_sort(all->items, all->len, sizeof *all->items, by_revision);
    size_t kept = 1;
    for (size_t i = 1; i < all->len; i++) {
        struct watch_event *last = &all->items[kept - 1], *e = &all->items[i];
        if (by_revision(last, e) != 0) {
            all->items[kept++] = *e;
            continue;
        }
        if (!same_event(last, e) ||
            (last->has_prev && e->has_prev &&
             (last->prev_mod != e->prev_mod || last->prev_value != e->prev_value)))
            return verdict_fail(v,
                                "watchers disagree on key %" PRIu64 " at revision %" PRId64
                                ": %" PRIu64 " and %" PRIu64,
                                e->key, e->revision, last->value, e->value);
        if (e->has_prev)
            *last = *e;
    }
    all->len = kept;
    return true;
}

/* ---- one session ---- */

struct position {
    const struct watch_session *session;
    const events *all;
    size_t next;       /* the event of `all` that must come next */
    int64_t covered;   /* everything up to here was delivered, or is known to be nothing */
    bool in_fragments; /* the response is not complete */
};

static bool check_order(const struct position *p, const struct watch_event *e, bool first,
                        const struct watch_event *before, struct verdict *v)
{
    uint32_t who = p->session->watcher;
    if (e->revision < p->session->start_revision)
        return verdict_fail(v, "watcher %u asked for %" PRId64 " on and got revision %" PRId64, who,
                            p->session->start_revision, e->revision);
    if (first && !p->in_fragments && e->revision <= p->covered)
        return verdict_fail(v,
                            "watcher %u got an event of revision %" PRId64 " (key %" PRIu64
                            ") twice or late: it had everything up to %" PRId64,
                            who, e->revision, e->key, p->covered);
    if (before && by_revision(before, e) == 0)
        return verdict_fail(v, "watcher %u got key %" PRIu64 " of revision %" PRId64 " twice", who,
                            e->key, e->revision);
    if (before && e->revision < before->revision)
        return verdict_fail(v, "watcher %u got revision %" PRId64 " behind %" PRId64, who,
                            e->revision, before->revision);
    if (p->session->wants_prev && !e->has_prev && (e->value == 0 || e->version > 1))
        return verdict_fail(
            v, "watcher %u: no previous pair with key %" PRIu64 " of revision %" PRId64, who,
            e->key, e->revision);
    return true;
}

/* Everything that the history has up to `revision` must have come; a revision comes whole. */
static bool check_complete(struct position *p, int64_t revision, struct verdict *v)
{
    const struct watch_event *due = p->next < p->all->len ? &p->all->items[p->next] : NULL;
    if (due && due->revision <= revision)
        return verdict_fail(v,
                            "missing event: watcher %u is at revision %" PRId64
                            " and never got key %" PRIu64 " of revision %" PRId64,
                            p->session->watcher, revision, due->key, due->revision);
    if (revision > p->covered)
        p->covered = revision;
    return true;
}

/* The events of one response, compared as a set per revision: their order within is the server's. */
static bool take_events(struct position *p, const struct watch_response *r, struct verdict *v)
{
    events sorted = {0};
    int64_t last = p->covered;
    for (size_t i = 0; i < r->events_len && !v->bad; i++) {
        const struct watch_event *e = &r->events[i];
        if (check_order(p, e, i == 0, i ? &r->events[i - 1] : NULL, v))
            vec_push(&sorted, *e);
        last = e->revision;
    }
    if (!v->bad && last > r->revision)
        verdict_fail(v, "watcher %u: header revision %" PRId64 " with an event of %" PRId64,
                     p->session->watcher, r->revision, last);
    check_sort(sorted.items, sorted.len, sizeof *sorted.items, by_revision);
    for (size_t i = 0; i < sorted.len && !v->bad; i++, p->next++) {
        const struct watch_event *due = p->next < p->all->len ? &p->all->items[p->next] : NULL;
        if (!due || by_revision(due, &sorted.items[i]) > 0)
            verdict_fail(v, "watcher %u got key %" PRIu64 " of revision %" PRId64 " twice",
                         p->session->watcher, sorted.items[i].key, sorted.items[i].revision);
        else if (by_revision(due, &sorted.items[i]) < 0)
            check_complete(p, sorted.items[i].revision, v);
    }
    vec_free(&sorted);
    p->in_fragments = r->fragment;
    return !v->bad && (r->fragment || check_complete(p, last, v));
}

static size_t first_from(const events *all, int64_t revision)
{
    size_t i = 0;
    while (i < all->len && all->items[i].revision < revision)
        i++;
    return i;
}

static bool take_response(struct position *p, const struct watch_response *r, struct verdict *v)
{
    switch (r->kind) {
    case WATCH_CREATED:
        if (p->session->start_revision == 0) { /* what comes next: nothing up to here */
            p->covered = r->revision;
            p->next = first_from(p->all, r->revision + 1);
        }
        return true;
    case WATCH_EVENTS:
        return take_events(p, r, v);
    case WATCH_PROGRESS:
        if (p->in_fragments)
            return verdict_fail(v, "watcher %u: progress between fragments", p->session->watcher);
        if (r->revision < p->covered)
            return verdict_fail(
                v, "watcher %u: progress %" PRId64 " after it had everything up to %" PRId64,
                p->session->watcher, r->revision, p->covered);
        return check_complete(p, r->revision, v);
    case WATCH_COMPACTED:
        if (r->revision <= p->covered)
            return verdict_fail(v,
                                "watcher %u at revision %" PRId64 " was told that %" PRId64
                                " is compacted, which it does not need",
                                p->session->watcher, p->covered, r->revision);
        return true;
    }
    return false;
}

/* *covered: what the watcher had before this session, and what it has after. */
static bool check_session(const struct watch_session *s, const events *all, int64_t *covered,
                          struct verdict *v)
{
    struct position p = {.session = s, .all = all, .covered = *covered};
    if (s->start_revision > 0) {
        p.covered = s->start_revision - 1;
        p.next = first_from(all, s->start_revision);
    }
    for (size_t i = 0; i < s->responses_len; i++)
        if (!take_response(&p, &s->responses[i], v))
            return false;
    *covered = p.covered;
    return true;
}

/* Sessions of a watcher go on where the one before ended, or behind a compaction that they were told of. */
static bool check_sessions(const struct watch_history *h, const events *all, struct verdict *v)
{
    for (size_t i = 0; i < h->sessions_len; i++) {
        const struct watch_session *s = &h->sessions[i], *before = NULL;
        for (size_t k = i; k-- > 0 && !before;)
            if (h->sessions[k].watcher == s->watcher)
                before = &h->sessions[k];
        if (before)
            continue; /* judged with its first session */
        int64_t covered = 0, compacted = 0;
        for (size_t k = i; k < h->sessions_len && !v->bad; k++) {
            const struct watch_session *next = &h->sessions[k];
            if (next->watcher != s->watcher)
                continue;
            if (k > i && next->start_revision > covered + 1 && next->start_revision > compacted)
                verdict_fail(v,
                             "watcher %u left a gap itself: from %" PRId64 " to %" PRId64
                             ", with no compaction there",
                             s->watcher, covered, next->start_revision);
            if (!v->bad)
                check_session(next, all, &covered, v);
            for (size_t r = 0; r < next->responses_len; r++)
                if (next->responses[r].kind == WATCH_COMPACTED)
                    compacted = next->responses[r].revision;
        }
        if (!v->bad && h->last_revision && covered < h->last_revision)
            verdict_fail(v, "watcher %u got no further than revision %" PRId64 " of %" PRId64,
                         s->watcher, covered, h->last_revision);
    }
    return !v->bad;
}

/* ---- the history itself ---- */

static int by_key(const void *x, const void *y)
{
    const struct watch_event *a = *(const struct watch_event *const *)x,
                             *b = *(const struct watch_event *const *)y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static bool check_step(const struct watch_event *a, const struct watch_event *b, struct verdict *v)
{
    bool was = a && a->value != 0;
    if (b->value != 0 &&
        (b->version != (was ? a->version + 1 : 1) || b->create != (was ? a->create : b->revision)))
        return verdict_fail(v,
                            "key %" PRIu64 " at revision %" PRId64 " has version %" PRId64
                            ", create %" PRId64 "; the event before it was of %" PRId64,
                            b->key, b->revision, b->version, b->create, a ? a->revision : 0);
    if (b->value == 0 && !was)
        return verdict_fail(v, "key %" PRIu64 " was deleted at %" PRId64 " and not there", b->key,
                            b->revision);
    if (b->has_prev &&
        (b->prev_mod != (was ? a->revision : 0) || b->prev_value != (was ? a->value : 0)))
        return verdict_fail(v,
                            "key %" PRIu64 " at revision %" PRId64
                            " names the previous pair of %" PRId64 ", it was of %" PRId64,
                            b->key, b->revision, b->prev_mod, was ? a->revision : 0);
    return true;
}

/* Each event must follow from the one before it of its key; only where the history is whole. */
static bool check_chains(const struct watch_history *h, const events *all, struct verdict *v)
{
    const struct watch_event **order = mem_alloc((all->len + 1) * sizeof *order);
    size_t n = 0;
    for (size_t i = 0; i < all->len; i++)
        if (all->items[i].revision >= h->first_revision)
            order[n++] = &all->items[i];
    check_sort(order, n, sizeof *order, by_key);
    for (size_t i = 0; i < n && !v->bad; i++) {
        bool first = i == 0 || order[i - 1]->key != order[i]->key;
        if (!first || h->from_nothing)
            check_step(first ? NULL : order[i - 1], order[i], v);
    }
    mem_free(order);
    return !v->bad;
}

static int write_by_value(const void *x, const void *y)
{
    const struct watch_write *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

static bool check_writes(const struct watch_history *h, const events *all, struct verdict *v)
{
    struct watch_write *sorted = mem_alloc((h->writes_len + 1) * sizeof *sorted);
    for (size_t i = 0; i < h->writes_len; i++)
        sorted[i] = h->writes[i];
    check_sort(sorted, h->writes_len, sizeof *sorted, write_by_value);
    for (size_t i = 0; i < all->len && !v->bad; i++) {
        const struct watch_event *e = &all->items[i];
        const struct watch_write wanted = {.key = e->key, .value = e->value};
        if (!bsearch(&wanted, sorted, h->writes_len, sizeof *sorted, write_by_value))
            verdict_fail(v,
                         "an event of revision %" PRId64 " (key %" PRIu64 ", value %" PRIu64
                         ") that nobody wrote",
                         e->revision, e->key, e->value);
        if (i > 0 && e->value && all->items[i - 1].revision == e->revision &&
            all->items[i - 1].value == e->value)
            verdict_fail(v, "value %" PRIu64 " is on two keys", e->value);
    }
    mem_free(sorted);
    for (size_t i = 0; i < h->writes_len && !v->bad; i++) {
        const struct watch_write *w = &h->writes[i];
        const struct watch_event wanted = {.revision = w->revision, .key = w->key};
        const struct watch_event *e = NULL;
        if (w->unknown || w->revision < h->first_revision || w->revision > h->last_revision)
            continue;
        if (all->len > 0)
            e = bsearch(&wanted, all->items, all->len, sizeof *all->items, by_revision);
        if (!e || e->value != w->value)
            verdict_fail(v,
                         "lost event: the write of %" PRIu64 " to key %" PRIu64
                         " at revision %" PRId64 " was acknowledged, watchers saw %s",
                         w->value, w->key, w->revision, e ? "another value" : "none");
    }
    return !v->bad;
}

void check_watch(const struct watch_history *h, struct verdict *v)
{
    events all = {0};
    if (unite(h, &all, v) && check_sessions(h, &all, v) && check_writes(h, &all, v) &&
        h->first_revision > 0)
        check_chains(h, &all, v);
    vec_free(&all);
}
