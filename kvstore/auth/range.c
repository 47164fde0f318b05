/*
 * What a user may read or write, as few ranges as possible (kvstore/auth/auth.h).
 *
 * Permissions of several roles add up: [a, c) and [c, e) together allow a range read of [a, e), as in etcd. A
 * permission on one key is the range from it to its direct successor, itself and a zero byte.
 */
#include "kvstore/auth/auth.h"
#include <assert.h>
#include <stdlib.h>

static bool is_open(struct str end)
{
    return end.n == 1 && end.p[0] == 0;
}

static struct auth_span span_make(struct arena *a, const struct kv_auth_permission *p)
{
    struct auth_span s = {.from = str_make(arena_dup(a, p->key.p, p->key.n), p->key.n)};
    if (is_open(p->end)) {
        s.open = true;
    } else if (p->end.n) {
        s.end = str_make(arena_dup(a, p->end.p, p->end.n), p->end.n);
    } else {
        char *end = arena_zalloc(a, p->key.n + 1);
        memcpy(end, s.from.p, s.from.n);
        s.end = str_make(end, p->key.n + 1);
    }
    return s;
}

static int by_from(const void *a, const void *b)
{
    return str_cmp(((const struct auth_span *)a)->from, ((const struct auth_span *)b)->from);
}

/* Does `end` of the first lie behind the end of the second? */
static bool ends_later(const struct auth_span *a, const struct auth_span *b)
{
    return !b->open && (a->open || str_cmp(a->end, b->end) > 0);
}

struct auth_ranges auth_ranges_make(struct arena *a, const struct kv_auth_permission *perms,
                                    size_t n, bool write)
{
    struct auth_ranges r = {.items = arena_array(a, struct auth_span, n)};
    size_t found = 0;
    for (size_t i = 0; i < n; i++)
        if (perms[i].type == KV_AUTH_READWRITE || (perms[i].type == KV_AUTH_WRITE) == write)
            r.items[found++] = span_make(a, &perms[i]);
    if (found)
        qsort(r.items, found, sizeof *r.items, by_from);
    for (size_t i = 0; i < found; i++) {
        struct auth_span *last = r.len ? &r.items[r.len - 1] : NULL;
        if (!last || (!last->open && str_cmp(last->end, r.items[i].from) < 0)) {
            r.items[r.len++] = r.items[i];
        } else if (ends_later(&r.items[i], last)) {
            last->end = r.items[i].end;
            last->open = r.items[i].open;
        }
    }
    assert(r.len <= n);
    return r;
}

bool auth_ranges_cover(const struct auth_ranges *r, struct str key, struct str end)
{
    size_t lo = 0, hi = r->len; /* the last span that begins at or before key */
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (str_cmp(r->items[mid].from, key) <= 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == 0)
        return false;
    const struct auth_span *s = &r->items[lo - 1];
    if (s->open)
        return end.n == 0 || is_open(end) || str_cmp(end, s->from) > 0;
    if (str_cmp(key, s->end) >= 0 || is_open(end))
        return false;
    return end.n == 0 || (str_cmp(end, s->end) <= 0 && str_cmp(end, s->from) > 0);
}

bool auth_range_valid(struct str key, struct str end)
{
    return key.n > 0 && (end.n == 0 || is_open(end) || str_cmp(key, end) < 0);
}
