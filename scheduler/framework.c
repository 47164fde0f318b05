/*
 * Runs the plugins of a profile over the nodes of a snapshot (scheduler/framework.h).
 */
#include "scheduler/framework.h"

#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

#define ENOUGH_MIN 100

size_t framework_enough(size_t nodes)
{
    if (nodes <= ENOUGH_MIN)
        return nodes;
    size_t percent = nodes / 125 >= 45 ? 5 : 50 - nodes / 125;
    return MAX(nodes * percent / 100, ENOUGH_MIN);
}

void normalize_by_max(int64_t *scores, size_t len, bool reverse)
{
    int64_t max = 0;
    for (size_t i = 0; i < len; i++)
        max = MAX(max, scores[i]);
    for (size_t i = 0; i < len; i++) {
        scores[i] = max ? scores[i] * SCORE_MAX / max : 0;
        if (reverse)
            scores[i] = SCORE_MAX - scores[i];
    }
}

bool framework_pre_enqueue(const struct plugin *const *plugins, size_t len,
                           const struct pod_facts *facts)
{
    for (size_t i = 0; i < len; i++)
        if (plugins[i]->pre_enqueue && !plugins[i]->pre_enqueue(facts))
            return false;
    return true;
}

/* ------------------------------------------------------------------------- why no node fits --- */

/* How many nodes gave each reason. */
struct tally {
    struct arena *arena;
    struct {
        const char *reason;
        size_t count;
    } * items;
    size_t len;
};

static void tally_add(struct tally *t, const struct reasons *why)
{
    for (size_t r = 0; r < why->len; r++) {
        size_t i = 0;
        while (i < t->len && strcmp(t->items[i].reason, why->items[r]) != 0)
            i++;
        if (i == t->len) {
            t->items = arena_grow(t->arena, t->items, t->len * sizeof *t->items,
                                  (t->len + 1) * sizeof *t->items);
            t->items[t->len].reason = why->items[r];
            t->items[t->len++].count = 0;
        }
        t->items[i].count++;
    }
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* "0/3 nodes are available: 1 Insufficient memory, 2 Insufficient cpu." in the order of the texts,
 * as people and tools know it. */
static char *tally_message(const struct tally *t, size_t nodes)
{
    struct arena *a = t->arena;
    if (t->len == 0)
        return arena_printf(a, "0/%zu nodes are available.", nodes);
    char **texts = arena_array(a, char *, t->len);
    for (size_t i = 0; i < t->len; i++)
        texts[i] = arena_printf(a, "%zu %s", t->items[i].count, t->items[i].reason);
    qsort(texts, t->len, sizeof *texts, by_text);
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "0/%zu nodes are available: ", nodes);
    for (size_t i = 0; i < t->len; i++)
        buf_printf(&b, "%s%s", i ? ", " : "", texts[i]);
    buf_append_char(&b, '.');
    char *out = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return out;
}

/* ------------------------------------------------------------------------------------ steps --- */

struct attempt {
    const struct plugin *const *plugins;
    size_t len;
    struct cycle *cycle;
    struct tally tally;
    struct decision *out;
    struct node_info **feasible;
};

static bool run_pre_filters(struct attempt *t)
{
    for (unsigned p = 0; p < t->len; p++) {
        if (!t->plugins[p]->pre_filter)
            continue;
        struct reasons why = {0};
        switch (t->plugins[p]->pre_filter(t->cycle, p, &why)) {
        case VERDICT_SUCCESS:
            break;
        case VERDICT_SKIP:
            t->cycle->skip_filter |= 1u << p;
            break;
        case VERDICT_ERROR:
            t->out->verdict = VERDICT_ERROR;
            t->out->message = arena_strdup(&t->cycle->arena, why.len ? why.items[0] : "failed");
            return false;
        default:
            t->out->events |= t->plugins[p]->events;
            t->out->message =
                arena_printf(&t->cycle->arena, "0/%zu nodes are available: %s.",
                             t->cycle->snapshot->nodes_len, why.len ? why.items[0] : "refused");
            return false;
        }
    }
    return true;
}

/* The first plugin that rejects the node decides its reason, as in upstream. */
static bool node_fits(struct attempt *t, const struct node_info *n)
{
    for (unsigned p = 0; p < t->len; p++) {
        if (!t->plugins[p]->filter || t->cycle->skip_filter & 1u << p)
            continue;
        struct reasons why = {0};
        enum verdict v = t->plugins[p]->filter(t->cycle, p, n, &why);
        if (v == VERDICT_SUCCESS)
            continue;
        t->out->events |= t->plugins[p]->events;
        tally_add(&t->tally, &why);
        return false;
    }
    return true;
}

static void run_filters(struct attempt *t, size_t *start)
{
    const struct snapshot *s = t->cycle->snapshot;
    size_t enough = framework_enough(s->nodes_len);
    size_t i = 0;
    for (; i < s->nodes_len && t->out->feasible < enough; i++) {
        struct node_info *n = s->nodes[(*start + i) % s->nodes_len];
        if (node_fits(t, n))
            t->feasible[t->out->feasible++] = n;
    }
    t->out->evaluated = i;
    *start = s->nodes_len ? (*start + i) % s->nodes_len : 0;
}

static int64_t *run_scores(struct attempt *t)
{
    struct cycle *c = t->cycle;
    size_t n = t->out->feasible;
    int64_t *total = arena_array(&c->arena, int64_t, n);
    int64_t *scores = arena_array(&c->arena, int64_t, n);
    for (unsigned p = 0; p < t->len; p++) {
        const struct plugin *plugin = t->plugins[p];
        if (!plugin->score)
            continue;
        if (plugin->pre_score && plugin->pre_score(c, p, t->feasible, n) == VERDICT_SKIP)
            continue;
        for (size_t i = 0; i < n; i++)
            scores[i] = plugin->score(c, p, t->feasible[i]);
        if (plugin->normalize)
            plugin->normalize(c, p, scores, n);
        for (size_t i = 0; i < n; i++)
            total[i] += scores[i] * plugin->weight;
    }
    return total;
}

/* The highest score; among equals one at random, so that they share the load. */
static const char *best_of(struct attempt *t, const int64_t *total)
{
    size_t best = 0, equals = 1;
    for (size_t i = 1; i < t->out->feasible; i++) {
        if (total[i] > total[best]) {
            best = i;
            equals = 1;
        } else if (total[i] == total[best] && rng_below(t->cycle->rng, ++equals) == 0) {
            best = i;
        }
    }
    return t->feasible[best]->name;
}

void framework_decide(const struct plugin *const *plugins, size_t len, struct cycle *c,
                      size_t *start, struct decision *out)
{
    *out = (struct decision){.verdict = VERDICT_UNSCHEDULABLE};
    struct attempt t = {.plugins = plugins, .len = len, .cycle = c, .out = out};
    t.tally.arena = &c->arena;
    if (c->snapshot->nodes_len == 0) {
        out->message = arena_strdup(&c->arena, "no nodes available to schedule pods");
        out->events = EVENT_NODE_ADDED;
        return;
    }
    if (!run_pre_filters(&t))
        return;
    t.feasible = arena_array(&c->arena, struct node_info *, c->snapshot->nodes_len);
    run_filters(&t, start);
    if (out->feasible == 0) {
        out->events |= EVENT_NODE_ADDED;
        out->message = tally_message(&t.tally, c->snapshot->nodes_len);
        return;
    }
    out->node = out->feasible == 1 ? t.feasible[0]->name : best_of(&t, run_scores(&t));
    out->verdict = VERDICT_SUCCESS;
}
