/*
 * The linearizability checker (linearizability.h).
 *
 * A key's operations become a list of events in the order of time: each operation's call, and, unless
 * its end is unknown, its return. The search walks the list: a call may be linearized now if the register
 * allows it; then both its events are lifted out and the walk begins anew. At a return, the operation
 * should have been linearized before: take the last decision back. Configurations (set of linearized
 * operations, value of the register) that were met before are not entered again.
 */
#include "linearizability.h"

#include "base/mem.h"
#include "base/vec.h"
#include <assert.h>
#include <stdlib.h>

#define CONFIGURATIONS_MAX 4000000

struct event {
    struct event *prev, *next;
    struct event *match; /* a call's return (NULL: unknown end); NULL for returns */
    bool is_call;
    uint64_t time;
    uint32_t op; /* index within the key */
};

/* ---- configurations seen: a hash set of (bits, value) ---- */

struct seen {
    size_t words;    /* of one bit set */
    uint64_t *slots; /* capacity × (words + 1); the last word is value + 1, 0: free */
    size_t len, capacity;
};

static uint64_t hash_of(const struct seen *s, const uint64_t *bits, uint64_t value)
{
    uint64_t h = value * 0x9e3779b97f4a7c15ull + 1;
    for (size_t i = 0; i < s->words; i++)
        h = (h ^ bits[i]) * 0xff51afd7ed558ccdull, h ^= h >> 32;
    return h;
}

static uint64_t *slot_of(const struct seen *s, const uint64_t *bits, uint64_t value)
{
    size_t stride = s->words + 1, at = (size_t)hash_of(s, bits, value) & (s->capacity - 1);
    for (;; at = (at + 1) & (s->capacity - 1)) {
        uint64_t *slot = s->slots + at * stride;
        if (slot[s->words] == 0 ||
            (slot[s->words] == value + 1 && memcmp(slot, bits, s->words * sizeof *bits) == 0))
            return slot;
    }
}

static void seen_grow(struct seen *s)
{
    struct seen bigger = {.words = s->words, .len = s->len};
    size_t stride = s->words + 1;
    bigger.capacity = s->capacity ? s->capacity * 2 : 1024;
    bigger.slots = mem_zalloc(bigger.capacity * stride * sizeof *bigger.slots);
    for (size_t i = 0; i < s->capacity; i++) {
        const uint64_t *slot = s->slots + i * stride;
        if (slot[s->words])
            memcpy(slot_of(&bigger, slot, slot[s->words] - 1), slot, stride * sizeof *slot);
    }
    mem_free(s->slots);
    *s = bigger;
}

/* True when it was not there before. */
static bool seen_add(struct seen *s, const uint64_t *bits, uint64_t value)
{
    if (s->len * 2 >= s->capacity)
        seen_grow(s);
    uint64_t *slot = slot_of(s, bits, value);
    if (slot[s->words])
        return false;
    memcpy(slot, bits, s->words * sizeof *bits);
    slot[s->words] = value + 1;
    s->len++;
    return true;
}

/* ---- the register ---- */

/* Can `op` happen now? Then *value is what the register holds afterwards. */
static bool apply(const struct history_op *op, uint64_t *value)
{
    switch (op->kind) {
    case HISTORY_PUT:
        *value = op->b;
        return true;
    case HISTORY_GET:
        return *value == op->b;
    case HISTORY_CAS:
        if (op->unknown) { /* whatever it did, it did right */
            if (*value == op->a)
                *value = op->b;
            return true;
        }
        if ((*value == op->a) != op->succeeded)
            return false;
        if (op->succeeded)
            *value = op->b;
        return true;
    }
    return false;
}

/* ---- one key ---- */

static int by_time(const void *x, const void *y)
{
    const struct event *a = *(const struct event *const *)x, *b = *(const struct event *const *)y;
    if (a->time != b->time)
        return a->time < b->time ? -1 : 1;
    return b->is_call - a->is_call; /* at the same instant they count as concurrent */
}

/* Events in order of time, linked behind `head`; one block to free. */
static struct event *make_events(const struct history_op *ops, size_t n, struct event *head)
{
    struct event *events = mem_zalloc(2 * n * sizeof *events);
    struct event **order = mem_alloc(2 * n * sizeof *order);
    size_t len = 0;
    for (size_t i = 0; i < n; i++) {
        struct event *call = &events[2 * i], *ret = &events[2 * i + 1];
        *call = (struct event){.is_call = true, .time = ops[i].start_ns, .op = (uint32_t)i};
        order[len++] = call;
        if (ops[i].unknown)
            continue;
        call->match = ret;
        *ret = (struct event){.time = ops[i].end_ns, .op = (uint32_t)i};
        order[len++] = ret;
    }
    qsort(order, len, sizeof *order, by_time);
    struct event *last = head;
    *head = (struct event){0};
    for (size_t i = 0; i < len; i++) {
        last->next = order[i];
        order[i]->prev = last;
        last = order[i];
    }
    mem_free(order);
    return events;
}

static void lift(struct event *call)
{
    struct event *both[] = {call, call->match};
    for (size_t i = 0; i < 2 && both[i]; i++) {
        both[i]->prev->next = both[i]->next;
        if (both[i]->next)
            both[i]->next->prev = both[i]->prev;
    }
}

static void unlift(struct event *call)
{
    struct event *both[] = {call->match, call};
    for (size_t i = 0; i < 2; i++) {
        if (!both[i])
            continue;
        both[i]->prev->next = both[i];
        if (both[i]->next)
            both[i]->next->prev = both[i];
    }
}

struct decision {
    struct event *call;
    uint64_t value_before;
};

struct search {
    const struct history_op *ops;
    uint64_t *bits;
    uint64_t value;
    struct seen seen;
    VEC(struct decision) stack;
    size_t returns_left; /* operations with an answer that are not linearized yet */
};

static void flip(struct search *s, uint32_t op)
{
    s->bits[op / 64] ^= 1ull << (op % 64);
}

/* Linearize the operation called at `e` if that leads somewhere new. */
static bool try_call(struct search *s, struct event *e)
{
    uint64_t value = s->value;
    if (!apply(&s->ops[e->op], &value))
        return false;
    flip(s, e->op);
    if (!seen_add(&s->seen, s->bits, value)) {
        flip(s, e->op);
        return false;
    }
    vec_push(&s->stack, (struct decision){e, s->value});
    s->value = value;
    s->returns_left -= e->match != NULL;
    lift(e);
    return true;
}

static struct event *take_back(struct search *s)
{
    struct decision d = vec_pop(&s->stack);
    s->value = d.value_before;
    s->returns_left += d.call->match != NULL;
    flip(s, d.call->op);
    unlift(d.call);
    return d.call->next;
}

static bool check_key(const struct history_op *ops, size_t n, struct history_verdict *out)
{
    struct event head;
    struct event *events = make_events(ops, n, &head);
    struct search s = {.ops = ops};
    size_t deepest = 0;
    bool ok = true;
    s.seen.words = (n + 63) / 64;
    s.bits = mem_zalloc(s.seen.words * sizeof *s.bits);
    for (size_t i = 0; i < n; i++)
        s.returns_left += !ops[i].unknown;
    struct event *e = head.next;
    while (s.returns_left > 0) {
        if (e && e->is_call) {
            e = try_call(&s, e) ? head.next : e->next;
            continue;
        }
        if (e && s.stack.len >= deepest) { /* a return that came too early */
            deepest = s.stack.len;
            out->op = ops[e->op];
        }
        if (s.stack.len == 0 || s.seen.len > CONFIGURATIONS_MAX) {
            out->gave_up = s.stack.len > 0;
            ok = false;
            break;
        }
        e = take_back(&s);
    }
    mem_free(s.bits);
    mem_free(s.seen.slots);
    vec_free(&s.stack);
    mem_free(events);
    return ok;
}

/* ---- the whole history ---- */

static bool saw(const struct history_op *ops, size_t n, const bool *dropped,
                const struct history_op *write)
{
    uint64_t value = write->b;
    for (size_t i = 0; i < n; i++) {
        if (dropped[i])
            continue;
        /* a comparison that failed may have seen just this, without saying so */
        if (ops[i].kind == HISTORY_CAS && !ops[i].succeeded && !ops[i].unknown &&
            ops[i].end_ns >= write->start_ns)
            return true;
        if (ops[i].kind == HISTORY_GET && ops[i].b == value)
            return true;
        if (ops[i].kind == HISTORY_CAS && (ops[i].succeeded || ops[i].unknown) && ops[i].a == value)
            return true;
    }
    return false;
}

/*
 * Leave out operations without an answer whose value nobody saw: if they took effect at all, they were
 * overwritten unseen, and the history is linearizable with them exactly if it is without. (Values are
 * unique.) They would make the search long.
 */
static size_t drop_unseen(struct history_op *ops, size_t n)
{
    bool *dropped = mem_zalloc(n);
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < n; i++)
            if (ops[i].unknown && !dropped[i] && !saw(ops, n, dropped, &ops[i]))
                dropped[i] = again = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!dropped[i])
            ops[kept++] = ops[i];
    mem_free(dropped);
    return kept;
}

static int by_key(const void *x, const void *y)
{
    const struct history_op *a = x, *b = y;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->start_ns < b->start_ns ? -1 : a->start_ns > b->start_ns;
}

void history_check(struct history_op *ops, size_t n, struct history_verdict *out)
{
    *out = (struct history_verdict){.linearizable = true};
    qsort(ops, n, sizeof *ops, by_key);
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && ops[end].key == ops[i].key)
            end++;
        size_t kept = drop_unseen(ops + i, end - i);
        out->checked += kept;
        for (size_t k = 0; k < kept; k++)
            out->unknown += ops[i + k].unknown;
        if (kept && !check_key(ops + i, kept, out)) {
            out->linearizable = false;
            out->key = ops[i].key;
            return;
        }
        i = end;
    }
}
