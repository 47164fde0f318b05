/*
 * LIST: a consistent view at one revision, filtered and paged.
 *
 * Small answers are made in one go. A larger one is streamed: pages are read at the list's revision, each
 * within its share of the memory that all answers have (kv_budget), and the next one only when the peer
 * has taken the last. Protobuf wants its length in front, so that a large list is walked twice at one
 * revision: first to learn how long the items are, then to send them.
 */
#include "apiserver/rest/continue_token.h"
#include "apiserver/rest/list_cache.h"
#include "apiserver/rest/list_options.h"
#include "apiserver/rest/list_version.h"
#include "apiserver/table/table.h"
#include "base/gzip.h"
#include "base/map.h"

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
    } pass;                     /* protobuf goes on to the others when it is large */
    size_t items;               /* bytes of protobuf items: seen so far, then of the whole answer */
    size_t sent;                /* of those */
    struct gzip *gzip;          /* of a streamed answer that is compressed */
    struct str key;             /* in the cache of answers; empty: it has no place there */
    bool keep;                  /* put it there */
    struct continue_token from; /* the one that we go on from */
    bool continued;
    int64_t remaining;      /* objects after the answer; -1: not known */
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

/* The revision is gone. A list that was being continued may go on at the newest one, with a token for
 * it, if its client can bear that what it gets does not hang together. */
static struct status *expired(struct lister *l)
{
    struct rest *rq = l->rq;
    if (!l->continued)
        return status_expired(rq->a, "The resourceVersion for the provided list is too old.");
    struct status *s = status_expired(
        rq->a,
        "The provided continue parameter is too old to display a consistent list result. You can "
        "start a new list without the continue parameter, or use the continue token in this "
        "response to retrieve the remainder of the results. Continuing with the provided token "
        "results in an inconsistent list - objects that were created, modified, or deleted between "
        "the time the first chunk was returned and now may show up in the list.");
    struct continue_token next = {CONTINUE_NEWEST, l->from.start, -1};
    s->next = continue_token_make(rq->a, &next);
    return s;
}

static void fail(struct lister *l, const struct error *err)
{
    struct rest *rq = l->rq;
    if (l->streaming) {
        gzip_free(l->gzip);
        http_abort(rq->x);
        buf_free(&l->out);
        return;
    }
    struct status *s =
        err->code == ERR_COMPACTED ? expired(l)
        : err->code == KV_ERR_FUTURE_REV
            ? status_too_large_version(rq->a, l->rev, kv_current_revision(rq->server->kv))
            : status_internal(rq->a, "%s", err->message);
    buf_free(&l->out);
    rest_status(rq, s);
}

/* How many objects follow the answer: counted at the list's first page, then told by its token. Unknown
 * where a selector picks among them. */
static int64_t count_remaining(struct lister *l)
{
    struct rest *rq = l->rq;
    struct error err;
    struct kv_range_result result;
    if (!l->more || !selection_is_all(&l->select))
        return -1;
    if (l->continued && l->from.remaining >= l->found)
        return l->from.remaining - l->found;
    struct kv_range_request range = {
        .key = l->last, .end = l->end, .rev = l->rev, .count_only = true};
    if (kv_range(rq->server->kv, &range, rq->a, &result, &err) < 0)
        return -1;
    return result.count - 1; /* the last one is in the answer */
}

/* Also finds l->remaining. */
static const char *continue_token(struct lister *l)
{
    struct rest *rq = l->rq;
    l->remaining = count_remaining(l);
    if (!l->more)
        return "";
    size_t base = strlen(rq->r->storage_prefix) + 1;
    struct buf b;
    buf_init(&b);
    buf_append(&b, l->last.p + base, l->last.n - base);
    buf_append_char(&b, 0);
    struct continue_token next = {l->rev, buf_str(&b), l->remaining};
    const char *token = continue_token_make(rq->a, &next);
    buf_free(&b);
    return token;
}

/* Close the answer: metadata with revision and continue token. */
static void finish(struct lister *l)
{
    if (l->pass == MEASURED) {
        list_tail(&l->plain); /* the token stands in front */
        return;
    }
    const char *token = continue_token(l);
    if (l->rq->accept.transform == TRANSFORM_TABLE)
        table_end(&l->table, l->rev, token, l->remaining);
    else
        list_end(&l->plain, l->rev, token, l->remaining);
}

/* Nobody listens any more. */
static void abandon(struct lister *l)
{
    buf_free(&l->out);
    gzip_free(l->gzip);
    if (l->streaming)
        http_stream_end(l->rq->x, NULL, 0);
    else
        http_abort(l->rq->x);
}

/* A piece of a streamed answer, indented where that is wanted and compressed where that was agreed. */
static void stream_write(struct rest *rq, struct gzip *gzip, struct str piece, bool last)
{
    struct buf pretty, small;
    buf_init(&pretty);
    buf_init(&small);
    if (rq->pretty && rq->accept.media == MEDIA_JSON) {
        json_indent(&rq->indent, piece, &pretty);
        piece = buf_str(&pretty);
    }
    if (gzip) {
        gzip_write(gzip, piece, !last, &small);
        if (last)
            gzip_end(gzip, &small);
        piece = buf_str(&small);
    }
    http_stream_write(rq->x, piece);
    buf_free(&pretty);
    buf_free(&small);
}

/* ---- answers that are asked for again ---- */

static bool wants_gzip(struct rest *rq)
{
    return negotiate_gzip(http_header_get(rq->x, "accept-encoding"));
}

/* A list of all there is, of a built-in resource (the schema of a custom one may change between two
 * revisions), whose answer does not depend on the time. */
static void find_key(struct lister *l)
{
    struct rest *rq = l->rq;
    bool built_in = rq->r >= resources && rq->r < resources + resources_len;
    if (!built_in || rq->pretty || l->limit || l->continued || l->rev || l->select.exact ||
        !selection_is_all(&l->select) || rq->warnings_len ||
        rq->accept.transform == TRANSFORM_TABLE || rq->accept.media == MEDIA_YAML)
        return;
    l->key =
        str_from(arena_printf(rq->a, "%s %d %d %d %.*s", rq->r->api_version, rq->accept.media,
                              rq->accept.transform, wants_gzip(rq), STR_ARG(l->select.prefix)));
}

/* Answer from the cache; false: it is to be made. */
static bool respond_cached(struct lister *l)
{
    struct rest *rq = l->rq;
    int64_t rev = kv_current_revision(rq->server->kv);
    find_key(l);
    if (!l->key.n)
        return false;
    struct blob *b = list_cache_get(rq->worker->lists, l->key, rev, &l->keep);
    if (!b)
        return false;
    /* Compressed bodies begin with gzip's magic number, which no JSON and no envelope does. */
    rest_respond_blob(rq, 200, media_type(rq->accept.media), b,
                      b->len > 2 && (uint8_t)b->data[0] == 0x1f);
    return true;
}

static void respond_and_keep(struct lister *l, struct buf *out)
{
    struct rest *rq = l->rq;
    bool gzip = out->len > REST_GZIP_MIN && wants_gzip(rq);
    struct buf small;
    buf_init(&small);
    if (gzip)
        gzip_compress(buf_str(out), GZIP_FAST, &small);
    struct str body = gzip ? buf_str(&small) : buf_str(out);
    struct blob *b = blob_from(body.p, body.n);
    list_cache_put(rq->worker->lists, l->key, l->rev, b);
    rest_respond_blob(rq, 200, media_type(rq->accept.media), b, gzip);
    blob_unref(b);
    buf_free(&small);
}

static void respond(struct lister *l)
{
    struct rest *rq = l->rq;
    struct buf out = l->out; /* l goes with the exchange */
    if (rq->accept.media != MEDIA_PROTOBUF && out.len && out.data[out.len - 1] != '\n')
        buf_append_char(&out, '\n');
    if (l->streaming) {
        struct gzip *gzip = l->gzip;
        stream_write(rq, gzip, buf_str(&out), true);
        gzip_free(gzip);
        http_stream_end(rq->x, NULL, 0);
    } else if (l->keep) {
        respond_and_keep(l, &out);
    } else {
        rest_json_or_wire(rq, 200, &out);
    }
    buf_free(&out);
}

static void advance(struct lister *l);

static void give_budget(struct rest *rq)
{
    if (rq->budget)
        kv_budget_give(rq->server->kv, rq->budget, rq->budget_flow);
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
    rq->budget_flow = hash_bytes(rq->user->name, strlen(rq->user->name));
    l->waiting =
        !kv_budget_take(rq->server->kv, PAGE_BUDGET, rq->budget_flow, rq->x->loop, budget_here, l);
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
        if (wants_gzip(rq))
            l->gzip = gzip_new(GZIP_FAST);
        /* A long list as YAML is JSON, which is YAML. */
        rest_stream_start_coded(rq, media_type(rq->accept.media), l->gzip != NULL);
        rq->x->on_drain = on_drain;
        rq->x->on_close = on_close;
    }
    stream_write(rq, l->gzip, buf_str(&l->out), false);
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
    list_head(&l->plain, l->rev, l->token, l->remaining, l->items);
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

static struct status *parse_continue(struct lister *l, const char *token)
{
    struct rest *rq = l->rq;
    struct error err;
    if (continue_token_parse(rq->a, token, &l->from, &err) < 0)
        return status_bad_request(rq->a, "invalid continue token: %s", err.message);
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s/", rq->r->storage_prefix);
    buf_append_str(&b, l->from.start);
    struct str key = str_make(arena_dup(rq->a, b.data, b.len), b.len);
    buf_free(&b);
    if (!str_has_prefix(key, l->select.prefix))
        return status_bad_request(
            rq->a, "invalid continue token: continue key is not valid: it is of another list");
    l->rev = l->from.revision == CONTINUE_NEWEST ? 0 : l->from.revision;
    l->continued = true;
    l->next = l->start = key;
    return NULL;
}

static void list_ready(struct rest *rq)
{
    if (!respond_cached(rq->op))
        advance(rq->op);
}

static const char *query_text(struct rest *rq, const char *name)
{
    const char *v = query_get(rq->a, rq->info.query, name);
    return v ? v : "";
}

static struct status *parse(struct lister *l, const char **await)
{
    struct rest *rq = l->rq;
    struct list_query q = {.version = query_text(rq, "resourceVersion"),
                           .match = query_text(rq, "resourceVersionMatch"),
                           .token = query_text(rq, "continue"),
                           .send = query_get(rq->a, rq->info.query, "sendInitialEvents")};
    struct list_version version;
    struct status *bad = selection_parse(rq, &l->select);
    if (!bad)
        bad = table_options_check(rq);
    int64_t ignored; /* only watches end by it */
    if (!bad)
        bad = query_number(rq, "timeoutSeconds", &ignored);
    if (!bad)
        bad = query_number(rq, "limit", &l->limit);
    l->limit = MAX(0, MIN(l->limit, LIMIT_MAX));
    q.limit = l->limit;
    if (!bad)
        bad = list_version_of(rq->a, &q, &version);
    if (bad)
        return bad;
    *await = version.await;
    l->rev = version.exact;
    l->next = l->start = l->select.prefix;
    l->end = l->select.exact ? STR_NONE : kv_prefix_end(rq->a, l->select.prefix);
    if (*q.token)
        bad = parse_continue(l, q.token);
    /* Another member may have given the token: this one must have come as far. */
    if (l->continued)
        *await = l->rev ? arena_printf(rq->a, "%lld", (long long)l->rev) : "";
    return bad;
}

void rest_list(struct rest *rq)
{
    struct lister *l = arena_new(rq->a, struct lister);
    const char *await = "";
    l->rq = rq;
    rq->op = l;
    buf_init(&l->out);
    struct status *bad = rq->accept.transform == TRANSFORM_METADATA && !rq->accept.as_list
                             ? status_wrong_form(rq, true)
                             : parse(l, &await);
    if (bad)
        rest_status(rq, bad);
    else
        rest_await(rq, await, list_ready);
}
