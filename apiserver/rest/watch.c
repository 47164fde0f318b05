/*
 * WATCH: the stream of one client, as lines or frames of an HTTP answer or as messages of a WebSocket. Optionally the current objects first (as ADDED events, and a bookmark
 * that says where they end), then what changes.
 *
 * A client that does not take its events is bounded: initial objects wait for it (on_drain), and live
 * events past WATCH_QUEUE_MAX end its stream; it starts again from the last version it saw.
 */
#include "api/custom/custom.h"
#include "api/meta.h"
#include "apiserver/flow/flow_filter.h"
#include "apiserver/rest/list_version.h"
#include "apiserver/table/table.h"
#include "apiserver/watch/hub.h"
#include "base/mem.h"
#include "base/random.h"
#include "net/websocket.h"

#define WATCH_QUEUE_MAX (4u << 20)
#define INITIAL_QUEUE_MAX (1u << 20)
#define PAGE_BYTES (512u << 10)
#define INITIAL_END "k8s.io/initial-events-end"

/* Asked of the cluster, for a watch that may end meanwhile. */
struct future_question {
    struct watch *watch; /* NULL: it has ended */
};

struct watch {
    struct watcher watcher; /* first: callbacks get it */
    struct rest *rq;
    struct websocket *ws; /* NULL: a plain answer */
    struct selection select;
    struct loop_timer deadline;
    struct loop_timer future; /* runs while this member is not at `start` */
    struct future_question *asked;
    uint64_t timeout_ms;
    enum media media;
    bool bookmarks;      /* allowWatchBookmarks */
    bool initial;        /* objects first */
    bool initial_marked; /* …and the annotated bookmark after them */
    bool finished;
    struct table_options table; /* no_headers once the columns have been sent */
    int64_t start;              /* deliver what comes after this revision */
    /* While the initial objects are sent. */
    bool listing;
    int64_t rev;
    struct str next, end;
    struct error err;
};

static struct watch *watch_of(struct watcher *w)
{
    return container_of(w, struct watch, watcher);
}

/* ---- writing ---- */

static size_t queued(const struct watch *w)
{
    return w->ws ? websocket_queued(w->ws) : http_stream_queued(w->rq->x);
}

/* An event; a message has its length itself, without the four bytes that stand before a frame of protobuf. */
static void put(struct watch *w, struct str event)
{
    bool wire = w->media == MEDIA_PROTOBUF;
    if (w->ws)
        websocket_send(w->ws, !wire, STR(""), wire ? str_slice(event, 4, event.n) : event);
    else
        http_stream_write(w->rq->x, event);
}

static void put_shared(struct watch *w, struct blob *event)
{
    if (w->ws)
        put(w, blob_str(event));
    else
        http_stream_write_blob(w->rq->x, event);
}

/* ---- the end ---- */

/* All that is under way for it; false: it had ended before. */
static bool stop(struct watch *w)
{
    if (w->finished)
        return false;
    w->finished = true;
    watcher_stop(&w->watcher);
    loop_timer_stop(&w->deadline);
    loop_timer_stop(&w->future);
    if (w->asked)
        w->asked->watch = NULL;
    atomic_fetch_sub(&w->rq->server->watchers, 1);
    return true;
}

static void end(struct watch *w, bool abort)
{
    if (!stop(w))
        return;
    struct rest *rq = w->rq;
    if (w->ws) {
        websocket_close(w->ws, abort ? WEBSOCKET_INTERNAL : WEBSOCKET_NORMAL, "");
        return;
    }
    rq->x->on_close = NULL;
    rq->x->on_drain = NULL;
    if (abort)
        http_abort(rq->x);
    else
        http_stream_end(rq->x, NULL, 0);
}

static void send_bookmark(struct watch *w, int64_t rev, bool initial_end);

/* The last word says how far the stream has come, so that its client need not begin further back. */
static void on_deadline(struct loop_timer *timer)
{
    struct watch *w = container_of(timer, struct watch, deadline);
    if (w->bookmarks && !w->listing && w->watcher.hub)
        send_bookmark(w, watcher_revision(&w->watcher), false);
    end(w, false);
}

static void on_close(struct http_exchange *x)
{
    struct rest *rq = x->user;
    end(rq->op, false);
}

void rest_watch_end(struct watcher *w)
{
    end(watch_of(w), false);
}

static void send_error(struct watch *w, const struct status *s)
{
    struct buf object, event;
    buf_init(&object);
    buf_init(&event);
    if (w->media == MEDIA_PROTOBUF) {
        struct buf raw;
        buf_init(&raw);
        status_encode_wire(s, &raw);
        envelope_write(&object, STR("v1"), STR("Status"), buf_str(&raw));
        buf_free(&raw);
    } else {
        status_encode_json(s, &object);
        object.len--; /* the newline */
    }
    watch_event_write(&event, w->media, "ERROR", buf_str(&object));
    put(w, buf_str(&event));
    buf_free(&object);
    buf_free(&event);
}

/* ---- events ---- */

/* A table with columns, or with whole objects or none, is this client's alone. */
static int send_table(struct watch *w, enum watch_type type, struct str stored, int64_t rev,
                      struct error *err)
{
    struct buf event;
    buf_init(&event);
    int rc = watch_event_table(w->rq->r, type, stored, rev, &w->table, &event, err);
    w->table.no_headers = true;
    if (rc == 0)
        put(w, buf_str(&event));
    buf_free(&event);
    return rc;
}

static int send_event(struct watch *w, enum watch_type type, struct kv_event *event,
                      struct str stored, int64_t rev, struct error *err)
{
    struct rest *rq = w->rq;
    if (rq->accept.transform == TRANSFORM_TABLE && !watch_table_shared(&w->table))
        return send_table(w, type, stored, rev, err);
    struct blob *b =
        watch_event_blob(rq->r, event, type, stored, rev, w->media, rq->accept.transform, err);
    if (!b)
        return -1;
    put_shared(w, b);
    blob_unref(b);
    return 0;
}

static void on_event(struct watcher *watcher, enum watch_type type, struct kv_event *event,
                     struct str stored, int64_t rev)
{
    struct watch *w = watch_of(watcher);
    struct rest *rq = w->rq;
    struct error err;
    if (send_event(w, type, event, stored, rev, &err) < 0) {
        send_error(w, status_internal(rq->a, "%s", err.message));
        end(w, false);
        return;
    }
    if (queued(w) > WATCH_QUEUE_MAX)
        end(w, true);
}

/* An object of the kind that holds nothing but a resourceVersion. */
static void bookmark_object(struct watch *w, int64_t rev, bool initial_end, struct buf *out)
{
    struct rest *rq = w->rq;
    struct arena a;
    arena_init(&a);
    if (rq->accept.transform == TRANSFORM_TABLE) {
        struct table_writer t;
        table_begin(&t, rq->r, w->table, out);
        table_end(&t, rev, "", -1);
        w->table.no_headers = true;
    } else {
        void *object = rq->accept.transform == TRANSFORM_METADATA
                           ? object_new(&a, schema_get(Meta__V1__PartialObjectMetadata__SCHEMA))
                           : object_new(&a, rest_message(rq->r));
        Meta__V1__ObjectMeta *meta = object_meta(object);
        meta->resource_version = arena_printf(&a, "%lld", (long long)rev);
        if (initial_end)
            annotations_set(&a, meta, INITIAL_END, "true");
        if (w->media == MEDIA_PROTOBUF)
            envelope_encode(object, out);
        else
            json_encode(object, JSON_DEFAULT, out);
    }
    arena_free(&a);
}

static void send_bookmark(struct watch *w, int64_t rev, bool initial_end)
{
    struct buf object, event;
    buf_init(&object);
    buf_init(&event);
    bookmark_object(w, rev, initial_end, &object);
    watch_event_write(&event, w->media, "BOOKMARK", buf_str(&object));
    put(w, buf_str(&event));
    buf_free(&object);
    buf_free(&event);
}

static void on_progress(struct watcher *watcher, int64_t rev)
{
    struct watch *w = watch_of(watcher);
    if (w->bookmarks)
        send_bookmark(w, rev, false);
}

static void on_closed(struct watcher *watcher, int code)
{
    struct watch *w = watch_of(watcher);
    struct rest *rq = w->rq;
    if (code == ERR_COMPACTED)
        send_error(
            w, status_expired(rq->a,
                              arena_printf(rq->a, "too old resource version: %lld (%lld)",
                                           (long long)w->start,
                                           (long long)kv_compacted_revision(rq->server->kv) + 1)));
    else if (code != ERR_CANCELLED)
        send_error(w, status_internal(rq->a, "watch ended: %s", error_code_name(code)));
    end(w, false);
}

static const struct watcher_events watcher_events = {
    .event = on_event, .progress = on_progress, .closed = on_closed};

/* ---- a start in the future ---- */

/* Every version up to the cluster's is here now. One beyond it nobody can have been told, unless the store was restored
 * from a backup since: then its client would wait until as much has been written again, and miss all that. It is told
 * to list (410; the list says which version is too large). */
static void future_answered(void *ctx, int code, int64_t rev)
{
    struct future_question *q = ctx;
    struct watch *w = q->watch;
    (void)rev;
    mem_free(q);
    if (!w)
        return;
    w->asked = NULL;
    int64_t now = kv_current_revision(w->rq->server->kv);
    if (now >= w->start)
        return;
    if (code != 0) {
        loop_timer_start(&w->future, FUTURE_REVISION_WAIT_MS);
        return;
    }
    send_error(w, status_expired(w->rq->a, arena_printf(w->rq->a,
                                                        "too large resource version: %lld, "
                                                        "current: %lld",
                                                        (long long)w->start, (long long)now)));
    end(w, false);
}

static void on_future(struct loop_timer *timer)
{
    struct watch *w = container_of(timer, struct watch, future);
    struct kv *kv = w->rq->server->kv;
    if (kv_current_revision(kv) >= w->start)
        return;
    w->asked = mem_zalloc(sizeof *w->asked);
    w->asked->watch = w;
    kv_read_index(kv, w->rq->x->loop, future_answered, w->asked);
}

static void go_live(struct watch *w, int64_t seen, bool resumed)
{
    const struct custom_version *custom = w->rq->r->custom;
    if (custom && atomic_load(&custom->type->retired)) {
        end(w, false); /* its definition changed meanwhile */
        return;
    }
    w->watcher.select = &w->select;
    w->watcher.events = &watcher_events;
    w->start = seen;
    if (kv_current_revision(w->rq->server->kv) < seen)
        loop_timer_start(&w->future, FUTURE_REVISION_WAIT_MS);
    watcher_start(w->rq->worker->hubs, &w->watcher, seen, resumed);
}

/* ---- initial objects ---- */

static int send_initial(void *ctx, const struct kv_pair *pair)
{
    struct watch *w = ctx;
    struct rest *rq = w->rq;
    if (!selection_matches(&w->select, pair->value))
        return 0;
    if (rq->accept.transform == TRANSFORM_TABLE)
        return send_table(w, WATCH_ADDED, pair->value, pair->mod_rev, &w->err);
    struct buf object, event;
    buf_init(&object);
    buf_init(&event);
    int rc = stored_answer(rq->r, pair->value, pair->mod_rev, w->media,
                           rq->accept.transform == TRANSFORM_METADATA ? FORM_METADATA : FORM_FULL,
                           false, &object, &w->err);
    if (rc == 0) {
        watch_event_write(&event, w->media, "ADDED", buf_str(&object));
        put(w, buf_str(&event));
    }
    buf_free(&object);
    buf_free(&event);
    return rc;
}

/* Pages of the list at w->rev, as fast as the peer takes them. */
static void list_on(struct watch *w)
{
    struct rest *rq = w->rq;
    while (w->listing && !w->finished && queued(w) < INITIAL_QUEUE_MAX) {
        struct kv_range_request range = {.key = w->next,
                                         .end = w->end,
                                         .rev = w->rev,
                                         .no_count = true,
                                         .bytes_max = PAGE_BYTES};
        struct kv_range_result result;
        struct arena page;
        arena_init(&page);
        int rc = kv_scan(rq->server->kv, &range, send_initial, w, &page, &result, &w->err);
        w->listing = rc == 0 && result.more;
        if (w->listing)
            w->next = str_make(arena_dup(rq->a, result.next.p, result.next.n), result.next.n);
        arena_free(&page);
        if (rc < 0) {
            if (rc == ERR_COMPACTED)
                send_error(w, status_expired(
                                  rq->a, "The resourceVersion for the provided watch is too old."));
            else
                send_error(w, status_internal(rq->a, "%s", w->err.message));
            end(w, false);
            return;
        }
    }
    if (w->listing || w->finished)
        return;
    if (w->initial_marked)
        send_bookmark(w, w->rev, true);
    flow_filter_begun(rq);
    go_live(w, w->rev, false);
}

static void on_drain(struct http_exchange *x)
{
    struct rest *rq = x->user;
    struct watch *w = rq->op;
    if (w->listing)
        list_on(w);
}

/* ---- the request ---- */

static void ws_drain(struct websocket *ws, void *ctx)
{
    struct watch *w = ctx;
    (void)ws;
    if (w->listing && !w->finished)
        list_on(w);
}

/* The watch goes with its exchange when this returns. */
static void ws_close(struct websocket *ws, void *ctx)
{
    struct watch *w = ctx;
    (void)ws;
    w->ws = NULL;
    stop(w);
}

static const struct websocket_events ws_events = {.on_drain = ws_drain, .on_close = ws_close};

/* The first subprotocol offered that is none for carrying a token; NULL: none is. */
static const char *subprotocol(struct rest *rq)
{
    struct str offered = http_header_get(rq->x, "sec-websocket-protocol"), one;
    while (offered.n && str_split(&offered, ',', &one)) {
        one = str_trim(one);
        if (one.n && !str_has_prefix(one, STR("base64url.bearer.authorization.k8s.io.")))
            return arena_strndup(rq->a, one.p, one.n);
    }
    return NULL;
}

/* Begin the answer; false: the client has gone, and is answered. */
static bool stream(struct watch *w)
{
    struct rest *rq = w->rq;
    if (websocket_wanted(rq->x)) {
        rq->code = 101;
        w->ws = websocket_accept(rq->x, subprotocol(rq), &ws_events, w);
        if (!w->ws)
            rest_status(rq, status_internal(rq->a, "the client has gone"));
    } else {
        rest_stream_start(rq, w->media == MEDIA_PROTOBUF
                                  ? "application/vnd.kubernetes.protobuf;stream=watch"
                                  : "application/json");
        rq->x->on_close = on_close;
        rq->x->on_drain = on_drain;
    }
    if (!w->ws && rq->code == 500)
        return false;
    loop_timer_init(rq->x->loop, &w->future, on_future);
    loop_timer_init(rq->x->loop, &w->deadline, on_deadline);
    loop_timer_start(&w->deadline, w->timeout_ms);
    atomic_fetch_add(&rq->server->watchers, 1);
    return true;
}

static void watch_ready(struct rest *rq)
{
    struct watch *w = rq->op;
    if (!stream(w))
        return;
    if (!w->ws && http_closed(rq->x)) {
        end(w, false);
        return;
    }
    if (!w->initial) {
        flow_filter_begun(rq);
        go_live(w, w->start ? w->start : kv_current_revision(rq->server->kv), w->start > 0);
        return;
    }
    w->rev = kv_current_revision(rq->server->kv);
    w->next = w->select.prefix;
    w->end = w->select.exact ? STR_NONE : kv_prefix_end(rq->a, w->select.prefix);
    w->listing = true;
    list_on(w);
}

static const char *query_text(struct rest *rq, const char *name)
{
    const char *v = query_get(rq->a, rq->info.query, name);
    return v ? v : "";
}

static struct status *parse(struct watch *w, int64_t *seconds, const char **await)
{
    struct rest *rq = w->rq;
    struct list_query q = {.version = query_text(rq, "resourceVersion"),
                           .match = query_text(rq, "resourceVersionMatch"),
                           .token = query_text(rq, "continue"),
                           .send = query_get(rq->a, rq->info.query, "sendInitialEvents"),
                           .watch = true};
    struct list_version version;
    if (rq->accept.media == MEDIA_YAML)
        return status_not_acceptable(rq->a, ACCEPTED_STREAMS);
    struct status *bad = selection_parse(rq, &w->select);
    if (!bad)
        bad = query_number(rq, "timeoutSeconds", seconds);
    if (!bad)
        bad = table_options_check(rq);
    if (!bad)
        bad = list_version_of(rq->a, &q, &version);
    if (bad)
        return bad;
    w->initial = version.initial;
    w->initial_marked = version.initial_end && w->bookmarks;
    w->start = version.from;
    *await = version.await;
    return NULL;
}

static uint64_t timeout_ms(struct rest *rq, int64_t seconds)
{
    if (seconds > 0)
        return (uint64_t)MIN(seconds, 1000000) * 1000;
    uint64_t base = rq->server->config.min_request_timeout_s * 1000;
    return base + (base ? random_u64() % base : 0);
}

void rest_watch(struct rest *rq)
{
    struct watch *w = arena_new(rq->a, struct watch);
    w->rq = rq;
    rq->op = w;
    w->media = rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON;
    w->bookmarks = query_bool(rq->a, rq->info.query, "allowWatchBookmarks");
    w->table = table_options(rq);
    int64_t seconds = 0;
    const char *await = "0";
    struct status *bad = parse(w, &seconds, &await);
    if (!bad && atomic_load(&rq->server->watchers) >= rq->server->config.watchers_max)
        bad = status_too_many_requests(rq->a, 1);
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    w->timeout_ms = timeout_ms(rq, seconds);
    rest_await(rq, await, watch_ready);
}
