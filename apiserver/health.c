/*
 * What of this member works: see health.h.
 */
#include "apiserver/health.h"
#include "api/validation.h"
#include "apiserver/rest/rest.h"

struct health {
    bool store, leader, bootstrapped, staying;
};

struct check {
    const char *name;
    bool
        ready; /* of readiness only: a member that waits for the others is not to be killed for it */
    bool (*passes)(const struct health *h);
};

static bool answers(const struct health *h)
{
    (void)h;
    return true;
}
static bool store_works(const struct health *h)
{
    return h->store;
}
static bool leader_is_known(const struct health *h)
{
    return h->leader;
}
static bool objects_are_there(const struct health *h)
{
    return h->bootstrapped;
}
static bool is_staying(const struct health *h)
{
    return h->staying;
}

static const struct check checks[] = {
    {"ping", false, answers},
    {"log", false, answers},
    {"etcd", false, store_works},
    {"leader", true, leader_is_known},
    {"poststarthook/bootstrap", true, objects_are_there},
    {"shutdown", true, is_staying},
};

/* "healthz", "livez" or "readyz"; *one is the check of that name, or NULL for all. NULL: it is no such path. */
static const char *page_of(const char *path, const struct check **one)
{
    static const char *const pages[] = {"healthz", "livez", "readyz"};
    *one = NULL;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++) {
        size_t n = strlen(pages[i]);
        if (*path != '/' || strncmp(path + 1, pages[i], n) != 0)
            continue;
        if (!path[n + 1])
            return pages[i];
        for (size_t k = 0; path[n + 1] == '/' && k < ARRAY_LEN(checks); k++)
            if (strcmp(path + n + 2, checks[k].name) == 0) {
                *one = &checks[k];
                return pages[i];
            }
    }
    return NULL;
}

bool health_is_path(const char *path)
{
    const struct check *one;
    return page_of(path, &one) != NULL;
}

static void respond(struct rest *rq, int code, const char *text)
{
    rest_respond(rq, code, "text/plain; charset=utf-8", str_from(text));
}

static void serve_one(struct rest *rq, const struct check *one, const struct health *h)
{
    if (one->passes(h))
        respond(rq, 200, "ok");
    else
        respond(
            rq, 500,
            arena_printf(rq->a, "internal server error: %s failed: reason withheld\n", one->name));
}

/* Is the check among the excluded ones? Each of those is marked when it was found. */
static bool excluded(const char *name, const char *const *names, bool *found, size_t n)
{
    bool is = false;
    for (size_t i = 0; i < n; i++)
        if (strcmp(names[i], name) == 0)
            is = found[i] = true;
    return is;
}

#define EXCLUDED_MAX 32

void health_serve(struct rest *rq)
{
    struct apiserver *s = rq->server;
    struct kv_status st;
    const struct check *one;
    kv_status(s->kv, &st);
    struct health h = {!st.failed, st.leader_id != 0, atomic_load(&s->bootstrapped),
                       !atomic_load(&s->stopping)};
    const char *page = page_of(rq->info.path, &one), *names[EXCLUDED_MAX];
    if (one) {
        serve_one(rq, one, &h);
        return;
    }
    bool found[EXCLUDED_MAX] = {false}, ok = true;
    size_t n = query_get_all(rq->a, rq->info.query, "exclude", names, EXCLUDED_MAX);
    struct buf out;
    buf_init(&out);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        const struct check *c = &checks[i];
        if (c->ready && strcmp(page, "readyz") != 0)
            continue;
        bool left_out = excluded(c->name, names, found, n), passes = left_out || c->passes(&h);
        ok = ok && passes;
        buf_printf(&out, "[%c]%s %s\n", passes ? '+' : '-', c->name,
                   left_out ? "excluded: ok"
                   : passes ? "ok"
                            : "failed: reason withheld");
    }
    const char *sep = "warn: some health checks cannot be excluded: no matches for ";
    for (size_t i = 0; i < n; i++)
        if (!found[i]) {
            buf_printf(&out, "%s%s", sep, field_quote(rq->a, names[i]));
            sep = ",";
        }
    if (*sep == ',')
        buf_append_char(&out, '\n');
    buf_printf(&out, "%s check %s\n", page, ok ? "passed" : "failed");
    bool verbose = query_get(rq->a, rq->info.query, "verbose") != NULL;
    respond(rq, ok ? 200 : 500, ok && !verbose ? "ok" : buf_cstr(&out));
    buf_free(&out);
}
