/*
 * Watches: each sees every matching event once, in order, whatever member serves it; none is missing when it is
 * resumed elsewhere; progress never overtakes an event.
 */
#include "shim_net.h"
#include "client.h"

#include "base/mem.h"
#include <assert.h>
#include <string.h>

#define WATCHES_MAX 8

struct watcher {
    struct loop_task task;
    unsigned number;
    struct str key, end;
    bool no_put, no_delete, prev_kv, progress;
    struct member *member; /* NULL: between two */
    uint64_t incarnation;
    struct kv_watch *watch;
    size_t next;      /* the first event of the oracle not seen yet */
    int64_t next_rev; /* everything before has been seen */
    bool paused;
    bool posted; /* task */
};

static struct watcher watchers[WATCHES_MAX];
static unsigned watchers_len;

static bool wants(const struct watcher *w, const struct oracle_event *e)
{
    return (e->now.version ? !w->no_put : !w->no_delete) &&
           oracle_in_range(w->key, w->end, e->now.key);
}

static size_t next_wanted(const struct watcher *w)
{
    size_t i = w->next;
    while (i < O.events.len && !wants(w, &O.events.items[i]))
        i++;
    return i;
}

/* Nothing up to `rev` is left to be seen. */
static void check_complete(struct watcher *w, int64_t rev, const char *what)
{
    size_t i = next_wanted(w);
    if (i < O.events.len && O.events.items[i].now.mod_rev <= rev)
        broken("watch %u on member %u: %s at revision %lld, but the event of %.*s at %lld was not "
               "delivered",
               w->number, w->member->number, what, (long long)rev,
               STR_ARG(O.events.items[i].now.key), (long long)O.events.items[i].now.mod_rev);
    w->next = MAX(w->next, oracle_event_at(rev + 1));
    w->next_rev = MAX(w->next_rev, rev + 1);
}

static bool same_pair(const struct kv_pair *a, const struct kv_pair *b)
{
    return str_eq(a->key, b->key) && str_eq(a->value, b->value) && a->create_rev == b->create_rev &&
           a->mod_rev == b->mod_rev && a->version == b->version && a->lease == b->lease;
}

static void check_event(struct watcher *w, const struct kv_event *e)
{
    size_t i = next_wanted(w);
    if (i >= O.events.len)
        broken("watch %u on member %u: an event of %.*s at revision %lld, which never was",
               w->number, w->member->number, STR_ARG(e->kv.key), (long long)e->kv.mod_rev);
    const struct oracle_event *o = &O.events.items[i];
    if (!str_eq(o->now.key, e->kv.key) || o->now.mod_rev != e->kv.mod_rev)
        broken("watch %u on member %u: the event of %.*s at revision %lld comes, the one of %.*s "
               "at %lld is due",
               w->number, w->member->number, STR_ARG(e->kv.key), (long long)e->kv.mod_rev,
               STR_ARG(o->now.key), (long long)o->now.mod_rev);
    bool is_put = e->type == KV_EVENT_PUT;
    if (is_put != (o->now.version != 0) || (is_put && !same_pair(&e->kv, &o->now)))
        broken("watch %u on member %u: the event of %.*s at revision %lld is not what was written",
               w->number, w->member->number, STR_ARG(e->kv.key), (long long)e->kv.mod_rev);
    bool prev = e->prev.version != 0;
    if (prev ? !same_pair(&e->prev, &o->prev)
             : w->prev_kv && o->prev.version && o->prev.mod_rev > O.compact_rev)
        broken(
            "watch %u on member %u: the event of %.*s at revision %lld has a wrong previous pair",
            w->number, w->member->number, STR_ARG(e->kv.key), (long long)e->kv.mod_rev);
    w->next = i + 1;
    counts.watch_events++;
}

static void on_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *b)
{
    struct watcher *w = ctx;
    assert(w->watch == watch && w->incarnation == w->member->incarnation);
    for (size_t i = 0; i < b->events_len; i++)
        check_event(w, b->events[i]);
    if (!b->partial)
        check_complete(w, b->rev, "a batch ends");
    member_saw(w->member, b->rev);
    if (chance(60) && !w->paused) {
        w->paused = true;
        kv_watch_pause(watch);
    }
}

static void on_progress(void *ctx, struct kv_watch *watch, int64_t rev)
{
    struct watcher *w = ctx;
    assert(w->watch == watch);
    check_complete(w, rev, "progress");
    member_saw(w->member, rev);
}

static void leave(struct watcher *w)
{
    w->member = NULL;
    w->watch = NULL;
    w->paused = w->posted = false;
    /* In the middle of a revision that came in parts: from its beginning again. */
    w->next = oracle_event_at(w->next_rev);
}

static void on_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct watcher *w = ctx;
    assert(w->watch == watch);
    trace("watch %u is closed by member %u: code %d", w->number, w->member->number, code);
    if (code == ERR_COMPACTED) {
        if (compact_rev > O.compact_rev || w->next_rev > compact_rev)
            broken(
                "watch %u at revision %lld is ended by a compaction at %lld (the newest is %lld)",
                w->number, (long long)w->next_rev, (long long)compact_rev,
                (long long)O.compact_rev);
        w->next_rev = compact_rev + 1;
    } else if (code != ERR_CANCELLED && !rot_explains(w->member, code)) {
        broken("watch %u is ended with code %d", w->number, code);
    }
    kv_watch_close(watch);
    leave(w);
}

static void open_watch(struct loop_task *task)
{
    static const struct kv_watch_callbacks callbacks = {on_events, on_progress, on_closed};
    struct watcher *w = container_of(task, struct watcher, task);
    w->posted = false;
    if (w->member->state != MEMBER_UP) {
        leave(w);
        return;
    }
    struct kv_watch_request q = {.key = w->key,
                                 .end = w->end,
                                 .start_rev = w->next_rev,
                                 .prev_kv = w->prev_kv,
                                 .no_put = w->no_put,
                                 .no_delete = w->no_delete,
                                 .progress = w->progress};
    trace("watch %u goes on at member %u from revision %lld", w->number, w->member->number,
          (long long)w->next_rev);
    struct member *m = w->member;
    m->users++;
    w->watch = kv_watch(m->kv, &q, m->loop, &callbacks, w, NULL);
    m->users--;
}

static void attend_watch(struct loop_task *task)
{
    struct watcher *w = container_of(task, struct watcher, task);
    w->posted = false;
    if (!w->watch || w->member->state != MEMBER_UP)
        return;
    uint64_t what = chance_below(10);
    struct member *m = w->member;
    m->users++;
    if (w->paused) {
        w->paused = false;
        kv_watch_resume(w->watch);
    } else if (what < 4) {
        kv_watch_request_progress(w->watch);
    } else if ((what < 6 && !W.calm) || m->out) {
        kv_watch_close(w->watch);
        leave(w);
    }
    m->users--;
}

static void post(struct watcher *w, void (*fn)(struct loop_task *task))
{
    if (w->posted)
        return;
    w->posted = true;
    w->task.fn = fn;
    loop_post(w->member->loop, &w->task);
}

/* Find a member, or do something with the watch there is. */
static void watcher_step(void *ctx)
{
    struct watcher *w = ctx;
    struct member *m = random_client_member();
    if (!w->member && m && !m->retired && !m->out) {
        w->member = m;
        w->incarnation = m->incarnation;
        post(w, open_watch);
    } else if (w->watch && w->member->state == MEMBER_UP) {
        post(w, attend_watch);
    }
    later((W.calm ? 100 * MS : 20 * MS) + chance_below(300 * MS), watcher_step, w);
}

void watches_start(void)
{
    memset(watchers, 0, sizeof watchers);
    watchers_len = 2 + (unsigned)chance_below(WATCHES_MAX - 2);
    for (unsigned i = 0; i < watchers_len; i++) {
        struct watcher *w = &watchers[i];
        w->number = i + 1;
        w->next_rev = 2;
        if (i == 0)
            w->key = w->end = str_make("", 1); /* everything */
        else
            random_range(&w->key, &w->end);
        w->no_put = i > 1 && chance(100);
        w->no_delete = i > 1 && chance(100);
        w->prev_kv = chance(400);
        w->progress = chance(500);
        later(300 * MS + chance_below(500 * MS), watcher_step, w);
    }
}

void watches_member_died(struct member *m)
{
    for (unsigned i = 0; i < watchers_len; i++)
        if (watchers[i].member == m)
            leave(&watchers[i]);
}

bool watches_settled(void)
{
    for (unsigned i = 0; i < watchers_len; i++)
        if (next_wanted(&watchers[i]) < O.events.len)
            return false;
    return true;
}

void watches_free(void)
{
    memset(watchers, 0, sizeof watchers);
}
