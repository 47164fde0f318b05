/*
 * LIST: a consistent view at one revision, filtered and paged.
 *
 * Small answers are made in one go. A larger one is streamed: pages are read at the list's revision, each
 * within its share of the memory that all answers have (kv_budget), and the next one only when the peer
 * has taken the last. Protobuf wants its length in front, so that a large list is walked twice at one
 * revision: first to learn how long the items are, then to send them. A large JSON answer is not indented
 * for ?pretty=true.
 */
#include "apiserver/continue_token.h"
#include "apiserver/list_options.h"
#include "apiserver/table.h"

#define FIRST_PAGE_BYTES (64u << 10) /* of stored objects: without a share of the budget */
#define PAGE_BYTES (256u << 10)
#define PAGE_BUDGET (768u << 10)    /* a page as JSON, and its copy on the way out */
#define WHOLE_PAGE_BYTES (1u << 20) /* answers up to this are made in one go while few are */
#define BUSY_REQUESTS 32
#define LOW_WATER (64u << 10) /* http_server_options.queue_low_water */
#define LIMIT_MAX 1000000

struct lister {
    struct rest *rq;
    struct selection select;
    int64_t limit;          /* 0: none */
    int64_t rev;            /* the revision of the answer; 0 until the first page */
    struct str start, next; /* the first key, the key to go on from */
    struct str end;
    int64_t found;
    struct str last; /* last key put into the answer */
    struct buf out;
    struct list_writer plain;
    struct table_writer table;
    enum {
        ONE_PASS,
        MEASURING,
        MEASURED
    } pass;                 /* protobuf goes on to the others when it is large */
    size_t items;           /* bytes of protobuf items: seen so far, then of the whole answer */
    size_t sent;            /* of those */
    const char *token;      /* of a measured answer */
    struct loop_task go_on; /* lets others have the loop between pages that nobody waits for */
    bool streaming, begun, more;
    bool waiting; /* for a share of the budget */
    bool paused;  /* until the peer has taken what is queued */
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

static void begin(struct lister *l)
{
    struct rest *rq = l->rq;
    if (l->begun)
        return;
    l->begun = true;
    if (rq->accept.transform == TRANSFORM_TABLE)
        table_begin(&l->table, rq->r, table_options(rq), &l->out);
    else
        list_begin(&l->plain, rq->r,
                   rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON,
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
    struct status *s =
        err->code == ERR_COMPACTED
            ? status_expired(rq->a,
                             "The provided continue parameter is too old to display a consistent "
                             "list result. You must start a new list without the continue "
                             "parameter.")
        : err->code == KV_ERR_FUTURE_REV
            ? status_too_large_version(rq->a, l->rev, kv_current_revision(rq->server->kv))
            : status_internal(rq->a, "%s", err->message);
    buf_free(&l->out);
    rest_status(rq, s);
}

static const char *continue_token(struct lister *l)
{
    struct rest *rq = l->rq;
    if (!l->more)
        return "";
    size_t base = strlen(rq->r->storage_prefix) + 1;
    struct buf b;
    buf_init(&b);
    buf_append(&b, l->last.p + base, l->last.n - base);
    buf_append_char(&b, 0);
    const char *token = continue_token_make(rq->a, l->rev, buf_str(&b));
    buf_free(&b);
    return token;
}

/* Close the answer: metadata with revision and continue token. */
static void finish(struct lister *l)
{
    if (l->pass == MEASURED)
        list_tail(&l->plain); /* the token stands in front */
    else if (l->rq->accept.transform == TRANSFORM_TABLE)
        table_end(&l->table, l->rev, continue_token(l), -1);
    else
        list_end(&l->plain, l->rev, continue_token(l), -1);
}

/* Nobody listens any more. */
static void abandon(struct lister *l)
{
    buf_free(&l->out);
    if (l->streaming)
        http_stream_end(l->rq->x, NULL, 0);
    else
        http_abort(l->rq->x);
}

static void respond(struct lister *l)
{
    struct rest *rq = l->rq;
    struct buf out = l->out; /* l goes with the exchange */
    if (rq->accept.media != MEDIA_PROTOBUF)
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

static void give_budget(struct rest *rq)
{
    if (rq->budget)
        kv_budget_give(rq->server->kv, rq->budget);
    rq->budget = 0;
}

static void budget_here(void *ctx, int code, int64_t rev)
{
    struct lister *l = ctx;
    (void)rev;
    l->waiting = false;
    if (code == 0) {
        advance(l);
        return;
    }
    struct error err;
    error_set(&err, code, "stopping");
    l->rq->budget = 0;
    fail(l, &err);
}

/* Hold a share of the memory for answers; false: budget_here goes on when there is one. */
static bool take_budget(struct lister *l)
{
    struct rest *rq = l->rq;
    if (rq->budget)
        return true;
    rq->budget = PAGE_BUDGET;
    l->waiting = !kv_budget_take(rq->server->kv, PAGE_BUDGET, rq->x->loop, budget_here, l);
    return !l->waiting;
}

/* The peer has taken the last page: its share goes to whoever waits longest, maybe us. */
static void on_drain(struct http_exchange *x)
{
    struct rest *rq = x->user;
    struct lister *l = rq->op;
    if (!l->paused)
        return;
    l->paused = false;
    give_budget(rq);
    if (take_budget(l))
        advance(l);
}

/* The peer went away in the middle: nobody will drain the queue any more. While waiting for a share of
 * the budget the exchange must live on; advance() sees it then. */
static void on_close(struct http_exchange *x)
{
    struct rest *rq = x->user;
    struct lister *l = rq->op;
    if (!l->paused)
        return;
    l->paused = false;
    abandon(l);
}

/* Hand a page to the peer; true: it was so small that nobody will tell when it is taken. */
static bool flush(struct lister *l)
{
    struct rest *rq = l->rq;
    if (!l->streaming) {
        l->streaming = true;
        rest_stream_start(
            rq, media_type(rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON));
        rq->x->on_drain = on_drain;
        rq->x->on_close = on_close;
    }
    http_stream_write(rq->x, buf_str(&l->out));
    buf_free(&l->out);
    buf_init(&l->out);
    return http_stream_queued(rq->x) < LOW_WATER;
}

/* Read a page: 1 when more follow, 0 at the end, negative with l->err. */
static int read_page(struct lister *l)
{
    struct rest *rq = l->rq;
    bool busy = atomic_load(&rq->server->inflight) > BUSY_REQUESTS;
    size_t bytes = l->streaming || l->pass == MEASURING ? PAGE_BYTES
                   : busy || l->pass == MEASURED        ? FIRST_PAGE_BYTES
                                                        : WHOLE_PAGE_BYTES;
    struct kv_range_request range = {
        .key = l->next, .end = l->end, .rev = l->rev, .no_count = true, .bytes_max = bytes};
    struct kv_range_result result;
    struct arena page;
    arena_init(&page);
    int rc = kv_scan(rq->server->kv, &range, visit, l, &page, &result, &l->err);
    if (rc < 0 && l->err.code == 0)
        error_set(&l->err, rc, "list failed");
    if (rc == 0 && result.more && !l->more) {
        l->next = str_make(arena_dup(rq->a, result.next.p, result.next.n), result.next.n);
        rc = 1;
    }
    arena_free(&page);
    return rc;
}

static void go_on(struct loop_task *task)
{
    advance(container_of(task, struct lister, go_on));
}

/* The length is known: put it in front and walk again, to send. */
static void measured(struct lister *l)
{
    l->token = continue_token(l);
    l->pass = MEASURED;
    l->next = l->start;
    l->found = 0;
    l->more = false;
    list_head(&l->plain, l->rev, l->token, -1, l->items);
    l->sent = 0;
}

/* A page of a protobuf list was encoded: count it and forget it. True: go on at once. */
static bool measure_page(struct lister *l, bool last)
{
    l->pass = MEASURING;
    l->items += l->out.len;
    buf_free(&l->out);
    buf_init(&l->out);
    if (last) {
        measured(l);
        return true;
    }
    l->go_on.fn = go_on;
    loop_post(l->rq->x->loop, &l->go_on);
    return false;
}

/* Read pages until the answer is complete, the peer is behind or memory is short. */
static void advance(struct lister *l)
{
    struct rest *rq = l->rq;
    if (l->rev == 0)
        l->rev = kv_current_revision(rq->server->kv);
    begin(l);
    for (;;) {
        if (http_closed(rq->x) && (l->streaming || l->pass != ONE_PASS)) {
            abandon(l);
            return;
        }
        size_t before = l->out.len;
        int rc = read_page(l);
        if (rc < 0) {
            fail(l, &l->err);
            return;
        }
        if (l->pass == MEASURING ||
            (rc == 1 && l->pass == ONE_PASS && rq->accept.media == MEDIA_PROTOBUF)) {
            if (!measure_page(l, rc == 0))
                return;
            continue;
        }
        l->sent += l->out.len - before;
        if (rc == 0 && l->pass == MEASURED && l->sent != l->items) {
            error_set(&l->err, ERR_INTERNAL, "the list is %zu bytes long, not %zu as announced",
                      l->sent, l->items);
            fail(l, &l->err);
            return;
        }
        if (rc == 0) {
            finish(l);
            respond(l);
            return;
        }
        if (!flush(l)) {
            l->paused = true;
            return;
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
        rest_status(rq,
                    status_bad_request(rq->a, "continue key is not valid: it is of another list"));
        return false;
    }
    l->next = l->start = key;
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
        bad = status_bad_request(
            rq->a, "resourceVersionMatch is forbidden unless resourceVersion is provided");
    else if (match && strcmp(match, "Exact") == 0 && strcmp(*await, "0") == 0)
        bad = status_bad_request(
            rq->a, "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
    else if (token && *token && **await && strcmp(*await, "0") != 0)
        bad = status_bad_request(rq->a,
                                 "specifying resource version is not allowed when using continue");
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
        rest_status(
            rq, status_bad_request(rq->a, "limit: Invalid value: must be a non-negative number"));
        return;
    }
    l->limit = MIN(l->limit, LIMIT_MAX);
    const char *token = query_get(rq->a, rq->info.query, "continue");
    const char *await;
    if (!parse_version(l, token, &await))
        return;
    l->next = l->start = l->select.prefix;
    l->end = l->select.exact ? STR_NONE : kv_prefix_end(rq->a, l->select.prefix);
    if (token && *token) {
        if (!parse_continue(l, token))
            return;
        await = "0";
    }
    rest_await(rq, await, list_ready);
}
