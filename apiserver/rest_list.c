/*
 * LIST: a consistent view at one revision, filtered and paged.
 *
 * Small answers are made in one go. A large JSON answer is streamed: pages are read at the list's
 * revision and written while the peer takes them, so that its memory is a page, whatever its length.
 * Protobuf needs its length in front and is gathered whole, within the budget that all answers share.
 */
#include "apiserver/continue_token.h"
#include "apiserver/list_options.h"
#include "apiserver/table.h"

#define PAGE_BYTES (1u << 20)
#define STREAM_QUEUE_MAX (2u << 20)
#define GATHER_BUDGET (16u << 20)
#define LIMIT_MAX 1000000

struct lister {
    struct rest *rq;
    struct selection select;
    int64_t limit;   /* 0: none */
    int64_t rev;     /* the revision of the answer; 0 until the first page */
    struct str next; /* key to go on from */
    struct str end;
    int64_t found;
    struct str last; /* last key put into the answer */
    struct buf out;
    struct list_writer plain;
    struct table_writer table;
    bool streaming, begun, reading, more;
    struct error err;
};

/* kv_scan's visitor: append a match; stop once one past the limit is known to exist. */
static int visit(void *ctx, const struct kv_pair *pair)
{
    struct lister *l = ctx;
    if (!selection_matches(&l->select, pair->value))
        return 0;
    if (l->limit && l->found == l->limit) {
        l->more = true;
        return 1;
    }
    int rc = l->rq->accept.transform == TRANSFORM_TABLE
                 ? table_add(&l->table, pair->value, pair->mod_rev, &l->err)
                 : list_add(&l->plain, pair->value, pair->mod_rev, &l->err);
    if (rc < 0)
        return rc;
    l->found++;
    if (l->limit && l->found == l->limit)
        l->last = str_make(arena_dup(l->rq->a, pair->key.p, pair->key.n), pair->key.n);
    return 0;
}

static bool can_stream(const struct lister *l)
{
    return l->rq->accept.media == MEDIA_JSON && !l->rq->pretty;
}

static void begin(struct lister *l)
{
    struct rest *rq = l->rq;
    if (l->begun)
        return;
    l->begun = true;
    if (rq->accept.transform == TRANSFORM_TABLE)
        table_begin(&l->table, rq->r, table_options(rq), &l->out);
    else
        list_begin(&l->plain, rq->r, rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON,
                   rq->accept.transform == TRANSFORM_METADATA ? FORM_METADATA : FORM_FULL, &l->out);
}

static void fail(struct lister *l, const struct error *err)
{
    struct rest *rq = l->rq;
    if (l->streaming) {
        http_abort(rq->x);
        buf_free(&l->out);
        return;
    }
    struct status *s = err->code == ERR_COMPACTED
                           ? status_expired(rq->a, "The provided continue parameter is too old to display a consistent "
                                                   "list result. You must start a new list without the continue "
                                                   "parameter.")
                       : err->code == KV_ERR_FUTURE_REV
                           ? status_too_large_version(rq->a, l->rev, kv_current_revision(rq->server->kv))
                           : status_internal(rq->a, "%s", err->message);
    buf_free(&l->out);
    rest_status(rq, s);
}

/* Close the answer: metadata with revision and continue token. */
static void finish(struct lister *l)
{
    struct rest *rq = l->rq;
    const char *token = "";
    if (l->more) {
        size_t base = strlen(rq->r->storage_prefix) + 1;
        struct buf b;
        buf_init(&b);
        buf_append(&b, l->last.p + base, l->last.n - base);
        buf_append_char(&b, 0);
        token = continue_token_make(rq->a, l->rev, buf_str(&b));
        buf_free(&b);
    }
    if (rq->accept.transform == TRANSFORM_TABLE)
        table_end(&l->table, l->rev, token, -1);
    else
        list_end(&l->plain, l->rev, token, -1);
}

static void respond(struct lister *l)
{
    struct rest *rq = l->rq;
    enum media media = rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON;
    struct buf out = l->out; /* l goes with the exchange */
    if (media == MEDIA_JSON)
        buf_append_char(&out, '\n');
    if (l->streaming) {
        http_stream_write(rq->x, buf_str(&out));
        http_stream_end(rq->x, NULL, 0);
    } else {
        rest_json_or_wire(rq, 200, &out);
    }
    buf_free(&out);
}

static void advance(struct lister *l);

static void on_drain(struct http_exchange *x)
{
    struct rest *rq = x->user;
    struct lister *l = rq->op;
    if (!l->reading && http_stream_queued(x) < STREAM_QUEUE_MAX)
        advance(l);
}

/* A page of a streamed answer is on its way: hand it to the peer. */
static void flush(struct lister *l)
{
    struct rest *rq = l->rq;
    if (!l->streaming) {
        l->streaming = true;
        rest_stream_start(rq, media_type(MEDIA_JSON));
        rq->x->on_drain = on_drain;
    }
    http_stream_write(rq->x, buf_str(&l->out));
    buf_clear(&l->out);
}

static void reserved(void *ctx, int code, int64_t rev)
{
    struct lister *l = ctx;
    (void)rev;
    if (code == 0) {
        advance(l);
        return;
    }
    struct error err;
    error_set(&err, code, "stopping");
    l->rq->budget = 0;
    fail(l, &err);
}

/* An answer that must be gathered whole turned out large: wait for its share of the memory that all
 * such answers have. False: `reserved` goes on. */
static bool reserve(struct lister *l)
{
    struct rest *rq = l->rq;
    if (rq->budget)
        return true;
    rq->budget = GATHER_BUDGET;
    return kv_budget_take(rq->server->kv, GATHER_BUDGET, rq->x->loop, reserved, l);
}

/* Read pages until the answer is complete or the peer is behind. */
static void advance(struct lister *l)
{
    struct rest *rq = l->rq;
    l->reading = true;
    for (;;) {
        if (l->streaming && http_closed(rq->x)) {
            buf_free(&l->out);
            http_stream_end(rq->x, NULL, 0);
            return;
        }
        struct kv_range_request range = {
            .key = l->next, .end = l->end, .rev = l->rev, .no_count = true, .bytes_max = PAGE_BYTES};
        struct kv_range_result result;
        struct arena page;
        arena_init(&page);
        if (l->rev == 0)
            l->rev = range.rev = kv_current_revision(rq->server->kv);
        begin(l);
        int rc = kv_scan(rq->server->kv, &range, visit, l, &page, &result, &l->err);
        if (rc < 0) {
            if (l->err.code == 0)
                error_set(&l->err, rc, "list failed");
            arena_free(&page);
            fail(l, &l->err);
            return;
        }
        if (!result.more || l->more) {
            arena_free(&page);
            finish(l);
            respond(l);
            return;
        }
        l->next = str_make(arena_dup(rq->a, result.next.p, result.next.n), result.next.n);
        arena_free(&page);
        if (!can_stream(l)) {
            if (!reserve(l))
                return;
        } else {
            flush(l);
            if (http_stream_queued(rq->x) >= STREAM_QUEUE_MAX) {
                l->reading = false;
                return;
            }
        }
    }
}

static bool parse_continue(struct lister *l, const char *token)
{
    struct rest *rq = l->rq;
    struct str start;
    struct error err;
    if (continue_token_parse(rq->a, token, &l->rev, &start, &err) < 0) {
        rest_status(rq, status_bad_request(rq->a, "%s", err.message));
        return false;
    }
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s/", rq->r->storage_prefix);
    buf_append_str(&b, start);
    struct str key = str_make(arena_dup(rq->a, b.data, b.len), b.len);
    buf_free(&b);
    if (!str_has_prefix(key, l->select.prefix)) {
        rest_status(rq, status_bad_request(rq->a, "continue key is not valid: it is of another list"));
        return false;
    }
    l->next = key;
    return true;
}

static void list_ready(struct rest *rq)
{
    advance(rq->op);
}

/* resourceVersion and resourceVersionMatch, as the API's table of their combinations has it. */
static bool parse_version(struct lister *l, const char *token, const char **await)
{
    struct rest *rq = l->rq;
    const char *rv = query_get(rq->a, rq->info.query, "resourceVersion");
    const char *match = query_get(rq->a, rq->info.query, "resourceVersionMatch");
    *await = rv ? rv : "";
    struct status *bad = NULL;
    if (match && *match && strcmp(match, "Exact") != 0 && strcmp(match, "NotOlderThan") != 0)
        bad = status_bad_request(rq->a, "resourceVersionMatch: Unsupported value: \"%s\"", match);
    else if (match && *match && !**await)
        bad = status_bad_request(rq->a, "resourceVersionMatch is forbidden unless resourceVersion is provided");
    else if (match && strcmp(match, "Exact") == 0 && strcmp(*await, "0") == 0)
        bad = status_bad_request(rq->a, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    else if (token && *token && **await && strcmp(*await, "0") != 0)
        bad = status_bad_request(rq->a, "specifying resource version is not allowed when using continue");
    if (bad) {
        rest_status(rq, bad);
        return false;
    }
    int64_t n;
    if (match && strcmp(match, "Exact") == 0 && str_to_i64(str_from(*await), &n))
        l->rev = n;
    return true;
}

void rest_list(struct rest *rq)
{
    struct lister *l = arena_new(rq->a, struct lister);
    l->rq = rq;
    rq->op = l;
    buf_init(&l->out);
    struct status *bad = selection_parse(rq, &l->select);
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    if (query_i64(rq->a, rq->info.query, "limit", &l->limit) < 0 || l->limit < 0) {
        rest_status(rq, status_bad_request(rq->a, "limit: Invalid value: must be a non-negative number"));
        return;
    }
    l->limit = MIN(l->limit, LIMIT_MAX);
    const char *token = query_get(rq->a, rq->info.query, "continue");
    const char *await;
    if (!parse_version(l, token, &await))
        return;
    l->next = l->select.prefix;
    l->end = l->select.exact ? STR_NONE : kv_prefix_end(rq->a, l->select.prefix);
    if (token && *token) {
        if (!parse_continue(l, token))
            return;
        await = "0";
    }
    rest_await(rq, await, list_ready);
}
