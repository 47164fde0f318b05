/*
 * The width of lists: see flow_width.h.
 */
#include "apiserver/flow/flow_width.h"
#include "apiserver/custom/registry.h"
#include "apiserver/rest/rest.h"
#include "base/map.h"

#define STOCK_BYTES (FLOW_WIDTH_MAX * FLOW_SEAT_BYTES) /* looked at */

struct known {
    struct flow_stock stock;
    uint64_t seen_ns;
};

struct flow_stocks {
    struct map known; /* prefix of keys → struct known */
};

/* Of how many bytes there are when not all were looked at nothing is known: the megabyte stands for them, and only a limit
 * without a selector makes it less. */
unsigned flow_width_of(const struct flow_stock *stock, int64_t limit, bool selects)
{
    double bytes = (double)stock->bytes, all = (double)stock->objects;
    if (limit > 0 && stock->objects && !(selects && stock->more)) {
        double n = stock->more ? (double)limit : MIN((double)limit, all);
        bytes *= (selects ? MAX(n, all / 2) : n) / all;
    }
    uint64_t seats = ((uint64_t)MIN(bytes, STOCK_BYTES) + FLOW_SEAT_BYTES - 1) / FLOW_SEAT_BYTES;
    return (unsigned)MAX(seats, 1);
}

/* ---- what there is ---- */

struct flow_stocks *flow_stocks_new(void)
{
    struct flow_stocks *s = mem_zalloc(sizeof *s);
    map_init(&s->known);
    return s;
}

static void forget(struct flow_stocks *s)
{
    struct map_iter it = {0};
    while (map_next(&s->known, &it))
        mem_free(it.value);
    map_clear(&s->known);
}

void flow_stocks_free(struct flow_stocks *s)
{
    if (!s)
        return;
    forget(s);
    map_free(&s->known);
    mem_free(s);
}

static int add(void *ctx, const struct kv_pair *pair)
{
    struct flow_stock *stock = ctx;
    stock->objects++;
    stock->bytes += pair->value.n;
    return 0;
}

/* A store that cannot be read is the list's to tell of. */
static struct flow_stock look(struct rest *rq, struct str prefix)
{
    struct flow_stock stock = {0};
    struct kv_range_request range = {.key = prefix,
                                     .end = kv_prefix_end(rq->a, prefix),
                                     .no_count = true,
                                     .bytes_max = STOCK_BYTES};
    struct kv_range_result result;
    struct error err;
    if (kv_scan(rq->server->kv, &range, add, &stock, rq->a, &result, &err) == 0)
        stock.more = result.more;
    return stock;
}

static const struct flow_stock *stock_of(struct rest *rq, struct str prefix)
{
    struct flow_stocks *s = rq->worker->stocks;
    struct known *k = map_get(&s->known, prefix);
    if (k && rq->started_ns < k->seen_ns + (uint64_t)FLOW_STOCK_MS * 1000000)
        return &k->stock;
    if (!k) {
        if (s->known.len >= FLOW_STOCKS_MAX)
            forget(s);
        k = mem_zalloc(sizeof *k);
        map_put(&s->known, prefix, k);
    }
    k->stock = look(rq, prefix);
    k->seen_ns = rq->started_ns;
    return &k->stock;
}

/* ---- a request ---- */

bool flow_watch_lists(const struct rest *rq)
{
    return rq->info.verb == VERB_WATCH && query_bool(rq->a, rq->info.query, "sendInitialEvents");
}

static bool has_query(const struct rest *rq, const char *name)
{
    const char *v = query_get(rq->a, rq->info.query, name);
    return v && *v;
}

unsigned flow_width(struct rest *rq)
{
    const struct request_info *i = &rq->info;
    bool lists = i->verb == VERB_LIST || flow_watch_lists(rq);
    if (!lists || *i->name)
        return 1;
    struct str group = str_from(i->group), version = str_from(i->version);
    const struct resource *r = resource_find(group, version, str_from(i->resource));
    if (!r)
        r = custom_resource_find(rq->server->custom, group, version, str_from(i->resource));
    if (!r || !*r->storage_prefix) {
        resource_unref(r);
        return 1;
    }
    int64_t limit = 0; /* of a bad one, too: the list refuses it */
    query_i64(rq->a, i->query, "limit", &limit);
    bool selects = has_query(rq, "labelSelector") || has_query(rq, "fieldSelector");
    unsigned n = flow_width_of(stock_of(rq, rest_prefix(rq->a, r, i->ns)),
                               i->verb == VERB_LIST ? limit : 0, selects);
    resource_unref(r);
    return n;
}
