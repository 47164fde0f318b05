/*
 * Single-key operations judged by their revisions (check_revisions.h).
 *
 * First the writes are put in their order: acknowledged ones by the revision answered, unknown ones whose
 * value somebody read by the modification revision seen with it. Then each answer is compared with the order.
 */
#include "tests/robustness/check_revisions.h"

#include "base/mem.h"
#include "base/vec.h"
#include <inttypes.h>
#include <stdlib.h>

/* A write whose revision is known. */
struct write {
    uint32_t key;
    int64_t revision;
    uint64_t value; /* 0: deleted */
};
typedef VEC(struct write) writes;

static bool is_write(const struct rev_op *o)
{
    return o->kind != REV_GET;
}

static int by_value(const void *x, const void *y)
{
    const struct rev_op *a = x, *b = y;
    if (a->value != b->value)
        return a->value < b->value ? -1 : 1;
    return (int)is_write(b) - (int)is_write(a); /* the write before its readers */
}

static int by_revision(const void *x, const void *y)
{
    const struct write *a = x, *b = y;
    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static int by_key(const void *x, const void *y)
{
    const struct write *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return by_revision(x, y);
}

/* All operations of one value: who wrote it, and did everybody see it at the same revision? */
static bool resolve_value(const struct rev_op *o, size_t n, writes *out, struct verdict *v)
{
    if (!is_write(&o[0]))
        return verdict_fail(v, "out of thin air: key %u read as %" PRIu64 ", which nobody wrote",
                            o[0].key, o[0].value);
    int64_t revision = o[0].unknown ? 0 : o[0].revision;
    for (size_t i = 1; i < n; i++) {
        if (is_write(&o[i]) || o[i].key != o[0].key)
            return verdict_fail(v, "value %" PRIu64 " of key %u found on key %u", o[0].value,
                                o[0].key, o[i].key);
        if (revision && o[i].mod != revision)
            return verdict_fail(v,
                                "applied twice, or moved: value %" PRIu64
                                " of key %u at revision %" PRId64 " and at %" PRId64,
                                o[0].value, o[0].key, revision, o[i].mod);
        if (o[i].end_ns < o[0].start_ns)
            return verdict_fail(v, "value %" PRIu64 " of key %u was read before it was written",
                                o[0].value, o[0].key);
        revision = o[i].mod;
    }
    if (revision)
        vec_push(out, (struct write){o[0].key, revision, o[0].value});
    return true;
}

static bool resolve(struct rev_op *ops, size_t n, writes *out, struct verdict *v)
{
    check_sort(ops, n, sizeof *ops, by_value);
    for (size_t i = 0, end; i < n; i = end) {
        end = i + 1;
        if (ops[i].value == 0) { /* deletes have no value: each stands for itself */
            if (is_write(&ops[i]) && !ops[i].unknown)
                vec_push(out, (struct write){ops[i].key, ops[i].revision, 0});
            continue;
        }
        while (end < n && ops[end].value == ops[i].value)
            end++;
        if (!resolve_value(ops + i, end - i, out, v))
            return false;
    }
    check_sort(out->items, out->len, sizeof *out->items, by_revision);
    for (size_t i = 1; i < out->len; i++)
        if (out->items[i].revision == out->items[i - 1].revision)
            return verdict_fail(v, "two writes (keys %u and %u) have revision %" PRId64,
                                out->items[i - 1].key, out->items[i].key, out->items[i].revision);
    return true;
}

/* The last write of a key at or before a revision; NULL: none. */
static const struct write *last_write(const writes *w, uint32_t key, int64_t revision)
{
    size_t low = 0, high = w->len;
    const struct write wanted = {.key = key, .revision = revision};
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (by_key(&w->items[middle], &wanted) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low > 0 && w->items[low - 1].key == key ? &w->items[low - 1] : NULL;
}

/* Could an unanswered delete have removed the key between two revisions, before the reader's end? */
static bool maybe_deleted(const struct rev_op *ops, size_t n, const struct rev_op *reader)
{
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == REV_DELETE && ops[i].unknown && ops[i].key == reader->key &&
            ops[i].start_ns < reader->end_ns)
            return true;
    return false;
}

/* What a read saw, against the writes in order. */
static bool check_read(const struct rev_op *ops, size_t n, const struct rev_op *o, const writes *w,
                       struct verdict *v)
{
    const struct write *last = last_write(w, o->key, o->revision);
    if (o->value == 0) {
        if (last && last->value != 0 && !maybe_deleted(ops, n, o))
            return verdict_fail(v,
                                "lost write: key %u read as absent at revision %" PRId64
                                ", written at %" PRId64 " (client %u)",
                                o->key, o->revision, last->revision, o->client);
        return true;
    }
    if (o->mod > o->revision || o->create > o->mod || o->create < 1 || o->version < 1)
        return verdict_fail(v,
                            "key %u at header revision %" PRId64 " has create %" PRId64
                            ", mod %" PRId64 ", version %" PRId64,
                            o->key, o->revision, o->create, o->mod, o->version);
    if ((o->version == 1) != (o->create == o->mod))
        return verdict_fail(v, "key %u: version %" PRId64 " with create %" PRId64 ", mod %" PRId64,
                            o->key, o->version, o->create, o->mod);
    if (last && last->revision != o->mod)
        return verdict_fail(v,
                            "stale read: key %u read at revision %" PRId64
                            " shows the write of %" PRId64 ", there is one of %" PRId64
                            " (client %u)",
                            o->key, o->revision, o->mod, last->revision, o->client);
    return true;
}

static bool check_cas(const struct rev_op *ops, size_t n, const struct rev_op *o, const writes *w,
                      struct verdict *v)
{
    const struct write *before = last_write(w, o->key, o->revision - 1);
    uint64_t value = before ? before->value : 0;
    if (value == o->expected || (o->expected == 0 && maybe_deleted(ops, n, o)))
        return true;
    return verdict_fail(v,
                        "lost update: cas of key %u at revision %" PRId64 " expected %" PRIu64
                        " and succeeded over %" PRIu64,
                        o->key, o->revision, o->expected, value);
}

/* ---- real time ---- */

struct moment {
    uint64_t ns;
    bool end;
    const struct rev_op *op;
};

static int by_time(const void *x, const void *y)
{
    const struct moment *a = x, *b = y;
    if (a->ns != b->ns)
        return a->ns < b->ns ? -1 : 1;
    return (int)a->end - (int)b->end; /* at one instant they count as concurrent */
}

/* An answer is from a revision no smaller than any that was answered before it was asked for. */
static bool check_real_time(const struct rev_op *ops, size_t n, struct verdict *v)
{
    VEC(struct moment) moments = {0};
    int64_t *floor = mem_zalloc((n + 1) * sizeof *floor), newest = 0;
    for (size_t i = 0; i < n; i++) {
        if (ops[i].unknown)
            continue;
        vec_push(&moments, (struct moment){ops[i].start_ns, false, &ops[i]});
        vec_push(&moments, (struct moment){ops[i].end_ns, true, &ops[i]});
    }
    check_sort(moments.items, moments.len, sizeof *moments.items, by_time);
    for (size_t i = 0; i < moments.len && !v->bad; i++) {
        const struct rev_op *o = moments.items[i].op;
        if (!moments.items[i].end) {
            floor[o - ops] = newest;
            continue;
        }
        int64_t least = floor[o - ops] + (is_write(o) ? 1 : 0);
        if (o->revision < least && !o->serializable)
            verdict_fail(v,
                         "back in time: %s of key %u (client %u) answered at revision %" PRId64
                         ", %" PRId64 " was answered before it began",
                         is_write(o) ? "write" : "read", o->key, o->client, o->revision,
                         floor[o - ops]);
        if (o->revision > newest)
            newest = o->revision;
    }
    mem_free(floor);
    vec_free(&moments);
    return !v->bad;
}

/* ---- create revision and version ---- */

static int by_key_and_mod(const void *x, const void *y)
{
    const struct rev_op *a = *(const struct rev_op *const *)x,
                        *b = *(const struct rev_op *const *)y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->mod < b->mod ? -1 : a->mod > b->mod;
}

/* Of what was read of a key: one version per modification; versions grow while the key lives. */
static bool check_versions(const struct rev_op *ops, size_t n, struct verdict *v)
{
    VEC(const struct rev_op *) seen = {0};
    for (size_t i = 0; i < n; i++)
        if (ops[i].kind == REV_GET && ops[i].value != 0)
            vec_push(&seen, &ops[i]);
    check_sort(seen.items, seen.len, sizeof *seen.items, by_key_and_mod);
    for (size_t i = 1; i < seen.len && !v->bad; i++) {
        const struct rev_op *a = seen.items[i - 1], *b = seen.items[i];
        if (a->key != b->key)
            continue;
        bool same = a->mod == b->mod, one_life = a->create == b->create;
        if ((same && (!one_life || a->version != b->version)) ||
            (!same && one_life && a->version >= b->version) || (!one_life && b->create <= a->mod))
            verdict_fail(v,
                         "key %u: (create %" PRId64 ", mod %" PRId64 ", version %" PRId64
                         ") and (%" PRId64 ", %" PRId64 ", %" PRId64 ") do not go together",
                         a->key, a->create, a->mod, a->version, b->create, b->mod, b->version);
    }
    vec_free(&seen);
    return !v->bad;
}

void check_revisions(struct rev_op *ops, size_t n, struct verdict *v)
{
    writes w = {0};
    if (resolve(ops, n, &w, v) && check_real_time(ops, n, v) && check_versions(ops, n, v)) {
        check_sort(w.items, w.len, sizeof *w.items, by_key);
        for (size_t i = 0; i < n && !v->bad; i++) {
            if (ops[i].kind == REV_GET)
                check_read(ops, n, &ops[i], &w, v);
            else if (ops[i].kind == REV_CAS && !ops[i].unknown)
                check_cas(ops, n, &ops[i], &w, v);
        }
    }
    vec_free(&w);
}
