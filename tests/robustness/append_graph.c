/*
 * Cycles among transactions (append_graph.h).
 *
 * Edges carry their kind; a phenomenon is a cycle over some kinds. For each, weakest first, the strongly connected
 * components of the graph restricted to those kinds are found (Tarjan, without recursion), and in one of
 * them a shortest cycle (breadth first), which is printed.
 */
#include "tests/robustness/append_graph.h"

#include "base/mem.h"
#include <stdlib.h>

enum edge_kind { WW = 1, WR = 2, RW = 4, RT = 8 };

struct edge {
    uint32_t from, to;
    enum edge_kind kind;
};

struct graph {
    uint32_t n;
    VEC(struct edge) edges; /* sorted by `from` once built */
    uint32_t *first;        /* index of the first edge of each node; n + 1 */
    uint32_t *component;    /* of the last search; nodes of one cycle share it */
};

static void add_edge(struct graph *g, uint32_t from, uint32_t to, enum edge_kind kind)
{
    if (from != to)
        vec_push(&g->edges, (struct edge){from, to, kind});
}

/* ---- data dependencies ---- */

static void add_write_edges(struct graph *g, const struct append_history *h)
{
    for (uint32_t key = 0; key < h->keys_len; key++)
        for (size_t i = 1; i < h->orders[key].len; i++)
            add_edge(g, append_writer(h, key, h->orders[key].list[i - 1])->txn,
                     append_writer(h, key, h->orders[key].list[i])->txn, WW);
}

static void add_read_edges(struct graph *g, const struct append_history *h, uint32_t t,
                           const struct append_op *o)
{
    const struct append_order *order = &h->orders[o->key];
    size_t outside = o->list_len; /* without what the transaction itself appended */
    while (outside > 0 && append_writer(h, o->key, o->list[outside - 1])->txn == t)
        outside--;
    if (outside > 0)
        add_edge(g, append_writer(h, o->key, o->list[outside - 1])->txn, t, WR);
    if (o->list_len < order->len)
        add_edge(g, t, append_writer(h, o->key, order->list[o->list_len])->txn, RW);
}

/* ---- real time ---- */

struct moment {
    uint64_t ns;
    bool end;
    uint32_t txn;
};

static int by_time(const void *x, const void *y)
{
    const struct moment *a = x, *b = y;
    if (a->ns != b->ns)
        return a->ns < b->ns ? -1 : 1;
    return (int)a->end - (int)b->end;
}

/*
 * An edge from every transaction that ended to those that began after it; left out are the ones that follow
 * from others: when T ends, all that had ended before T began are reached through T.
 */
static void add_time_edges(struct graph *g, const struct append_history *h)
{
    VEC(struct moment) moments = {0};
    VEC(uint32_t) frontier = {0};
    for (uint32_t t = 0; t < h->txns_len; t++) {
        if (h->txns[t].outcome == APPEND_ABORTED)
            continue;
        vec_push(&moments, (struct moment){h->txns[t].start_ns, false, t});
        if (h->txns[t].outcome == APPEND_COMMITTED)
            vec_push(&moments, (struct moment){h->txns[t].end_ns, true, t});
    }
    check_sort(moments.items, moments.len, sizeof *moments.items, by_time);
    for (size_t i = 0; i < moments.len; i++) {
        uint32_t t = moments.items[i].txn;
        if (!moments.items[i].end) {
            for (size_t k = 0; k < frontier.len; k++)
                add_edge(g, frontier.items[k], t, RT);
            continue;
        }
        size_t kept = 0;
        for (size_t k = 0; k < frontier.len; k++)
            if (h->txns[frontier.items[k]].end_ns >= h->txns[t].start_ns)
                frontier.items[kept++] = frontier.items[k];
        frontier.len = kept;
        vec_push(&frontier, t);
    }
    vec_free(&moments);
    vec_free(&frontier);
}

static int by_from(const void *x, const void *y)
{
    const struct edge *a = x, *b = y;
    return a->from < b->from ? -1 : a->from > b->from;
}

static void build(struct graph *g, const struct append_history *h)
{
    *g = (struct graph){.n = h->txns_len};
    add_write_edges(g, h);
    for (uint32_t t = 0; t < h->txns_len; t++)
        for (size_t i = 0; h->txns[t].outcome == APPEND_COMMITTED && i < h->txns[t].ops_len; i++)
            if (!h->txns[t].ops[i].append)
                add_read_edges(g, h, t, &h->txns[t].ops[i]);
    add_time_edges(g, h);
    check_sort(g->edges.items, g->edges.len, sizeof *g->edges.items, by_from);
    g->first = mem_zalloc((g->n + 2) * sizeof *g->first);
    g->component = mem_zalloc((g->n + 1) * sizeof *g->component);
    for (size_t i = 0; i < g->edges.len; i++)
        g->first[g->edges.items[i].from + 1]++;
    for (uint32_t i = 0; i < g->n; i++)
        g->first[i + 1] += g->first[i];
}

/* ---- strongly connected components ---- */

struct frame {
    uint32_t node, edge;
};

struct tarjan {
    uint32_t *order, *low; /* 0: not visited */
    bool *on_stack;
    VEC(uint32_t) stack;
    VEC(struct frame) frames;
    uint32_t next, components;
};

static void visit(struct tarjan *s, const struct graph *g, uint32_t node)
{
    s->order[node] = s->low[node] = ++s->next;
    s->on_stack[node] = true;
    vec_push(&s->stack, node);
    vec_push(&s->frames, (struct frame){node, g->first[node]});
}

/* All successors of the top frame's node are done. */
static void leave(struct tarjan *s, struct graph *g)
{
    uint32_t node = vec_pop(&s->frames).node, other;
    if (s->frames.len > 0) {
        uint32_t parent = s->frames.items[s->frames.len - 1].node;
        if (s->low[node] < s->low[parent])
            s->low[parent] = s->low[node];
    }
    if (s->low[node] != s->order[node])
        return;
    s->components++;
    do {
        other = vec_pop(&s->stack);
        s->on_stack[other] = false;
        g->component[other] = s->components;
    } while (other != node);
}

static void search_from(struct tarjan *s, struct graph *g, uint32_t root, unsigned kinds)
{
    visit(s, g, root);
    while (s->frames.len > 0) {
        struct frame *f = &s->frames.items[s->frames.len - 1];
        if (f->edge == g->first[f->node + 1]) {
            leave(s, g);
            continue;
        }
        const struct edge *e = &g->edges.items[f->edge++];
        if (!(e->kind & kinds))
            continue;
        if (s->order[e->to] == 0)
            visit(s, g, e->to);
        else if (s->on_stack[e->to] && s->order[e->to] < s->low[e->from])
            s->low[e->from] = s->order[e->to];
    }
}

static void find_components(struct graph *g, unsigned kinds)
{
    struct tarjan s = {0};
    s.order = mem_zalloc((g->n + 1) * sizeof *s.order);
    s.low = mem_zalloc((g->n + 1) * sizeof *s.low);
    s.on_stack = mem_zalloc(g->n + 1);
    for (uint32_t node = 0; node < g->n; node++)
        if (s.order[node] == 0)
            search_from(&s, g, node, kinds);
    mem_free(s.order);
    mem_free(s.low);
    mem_free(s.on_stack);
    vec_free(&s.stack);
    vec_free(&s.frames);
}

/* ---- cycles ---- */

/* A shortest way from `from` to `to` over these kinds; *by gets the edge that each node was reached by. */
static bool find_way(const struct graph *g, uint32_t from, uint32_t to, unsigned kinds,
                     const struct edge **by)
{
    VEC(uint32_t) queue = {0};
    memset(by, 0, g->n * sizeof *by);
    vec_push(&queue, from);
    bool found = from == to;
    for (size_t at = 0; at < queue.len && !found; at++)
        for (uint32_t i = g->first[queue.items[at]]; i < g->first[queue.items[at] + 1]; i++) {
            const struct edge *e = &g->edges.items[i];
            if (!(e->kind & kinds) || by[e->to] || e->to == from)
                continue;
            by[e->to] = e;
            found = found || e->to == to;
            vec_push(&queue, e->to);
        }
    vec_free(&queue);
    return found;
}

static const char *kind_name(enum edge_kind kind)
{
    return kind == WW ? "ww" : kind == WR ? "wr" : kind == RW ? "rw" : "rt";
}

/* The edge `closing`, then the way back from its end to its beginning. */
static void tell_cycle(const char *name, const struct edge *closing, const struct edge **by,
                       struct verdict *v)
{
    char text[300];
    size_t n = 0;
    VEC(const struct edge *) way = {0};
    for (uint32_t at = closing->from; at != closing->to; at = by[at]->from)
        vec_push(&way, by[at]);
    n += (size_t)snprintf(text, sizeof text, "%u -%s-> %u", closing->from, kind_name(closing->kind),
                          closing->to);
    for (size_t i = way.len; i-- > 0 && n < sizeof text;)
        n += (size_t)snprintf(text + n, sizeof text - n, " -%s-> %u", kind_name(way.items[i]->kind),
                              way.items[i]->to);
    vec_free(&way);
    verdict_fail(v, "%s: %s", name, text);
}

static const struct phenomenon {
    const char *name;
    unsigned first, rest; /* kinds of one edge of the cycle, and of the others */
} phenomena[] = {
    {"G0", WW, WW},
    {"G1c", WW | WR, WW | WR},
    {"G-single", RW, WW | WR},
    {"G2", RW, WW | WR | RW},
    {"G0-realtime", WW | RT, WW | RT},
    {"G1c-realtime", WW | WR | RT, WW | WR | RT},
    {"G-single-realtime", RW, WW | WR | RT},
    {"G2-realtime", RW, WW | WR | RW | RT},
};

static bool search_phenomenon(struct graph *g, const struct phenomenon *p, const struct edge **by,
                              struct verdict *v)
{
    find_components(g, p->first | p->rest);
    for (size_t i = 0; i < g->edges.len; i++) {
        const struct edge *e = &g->edges.items[i];
        if (!(e->kind & p->first) || g->component[e->from] != g->component[e->to] ||
            !find_way(g, e->to, e->from, p->rest, by))
            continue;
        tell_cycle(p->name, e, by, v);
        return false;
    }
    return true;
}

bool append_check_graph(const struct append_history *h, struct verdict *v)
{
    struct graph g;
    build(&g, h);
    const struct edge **by = mem_alloc((g.n + 1) * sizeof *by);
    for (size_t i = 0; i < sizeof phenomena / sizeof *phenomena; i++)
        if (!search_phenomenon(&g, &phenomena[i], by, v))
            break;
    mem_free(by);
    mem_free(g.first);
    mem_free(g.component);
    vec_free(&g.edges);
    return !v->bad;
}
