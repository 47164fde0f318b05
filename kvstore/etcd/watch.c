/*
 * etcd's Watch service: many watches on one stream.
 *
 * Each watch is a kv_watch on the stream's loop. When a client reads slowly the stream's queue grows past a
 * mark and all its watches pause; they hold nothing meanwhile and go on from the store's history. No more
 * requests are read from it either (grpc.h). As in etcd, a client that has half-closed keeps its watches.
 *
 * All events of a revision come in one response, or, to watches that ask for it, in fragments. A revision that
 * is larger than the store's batches is put together here first.
 *
 *   create ─▶ created ─▶ events … ─▶ canceled (by the client, compaction, or a bad request)
 */
#include "kvstore/etcd/auth.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "net/protobuf.h"

#define WATCHES_MAX 100000    /* on one stream */
#define HELD_MAX (256u << 20) /* see hold */
#define INVALID_WATCH_ID (-1)

struct watch_stream {
    struct etcd_server *server;
    struct grpc_call *call;
    struct list watches;
    struct map by_id;
    size_t watches_len;
    int64_t next_id;
    bool paused;
    bool finished;
    size_t progress_pending; /* watches that still have to report for a progress request */
    bool progress_again;     /* another request came meanwhile */
    int64_t progress_rev;    /* least revision reported */
    int64_t events_rev;      /* greatest revision of a response with events */
};

struct watch {
    struct list link;
    struct watch_stream *stream;
    int64_t id;
    struct kv_watch *kv_watch;
    bool progress_notify, prev_kv, fragment;
    bool progress_pending;
    struct buf whole; /* without `fragment`: what has come of a revision larger than a batch */
    size_t held;      /* its bytes, counted in the server's watch_held */
};

static struct str id_key(const int64_t *id)
{
    return str_make(id, sizeof *id);
}

static void respond(struct watch_stream *s, Etcdserverpb__WatchResponse *r, int64_t rev)
{
    Etcdserverpb__ResponseHeader header;
    if (s->finished || grpc_cancelled(s->call))
        return;
    etcd_header(s->server, &header, rev);
    r->header = &header;
    grpc_send(s->call, &r->base);
}

/* ----------------------------------------------------------------------- events --- */

static size_t event_bytes(const struct kv_event *e, bool prev)
{
    return 64 + e->kv.key.n + e->kv.value.n + (prev ? 64 + e->prev.key.n + e->prev.value.n : 0);
}

struct event_message {
    Mvccpb__Event event;
    Mvccpb__KeyValue kv, prev;
};

/* The pair before is left out where etcd could not look it up any more. */
static void event_of(const struct watch *w, const struct kv_event *e, struct event_message *out)
{
    mvccpb__event__init(&out->event);
    etcd_kv_of_pair(&e->kv, &out->kv);
    out->event.kv = &out->kv;
    out->event.type = e->type == KV_EVENT_DELETE ? MVCCPB__EVENT__EVENT_TYPE__DELETE
                                                 : MVCCPB__EVENT__EVENT_TYPE__PUT;
    if (w->prev_kv && e->prev.version > 0 &&
        e->kv.mod_rev > kv_compacted_revision(w->stream->server->kv)) {
        etcd_kv_of_pair(&e->prev, &out->prev);
        out->event.prev_kv = &out->prev;
    }
}

/* Memory of revisions being put together, on all streams: past it a watch is cancelled. */
static bool hold(struct watch *w, size_t bytes)
{
    size_t now = atomic_fetch_add(&w->stream->server->watch_held, bytes) + bytes;
    w->held += bytes;
    return now <= HELD_MAX;
}

static void release(struct watch *w)
{
    atomic_fetch_sub(&w->stream->server->watch_held, w->held);
    w->held = 0;
    buf_free(&w->whole);
    buf_init(&w->whole);
}

static void event_pack(struct buf *out, const Mvccpb__Event *event)
{
    size_t n = mvccpb__event__get_packed_size(event);
    buf_append_char(out, 11 << 3 | 2); /* WatchResponse.events */
    buf_append_varint(out, n);
    char *at = buf_reserve(out, n);
    mvccpb__event__pack(event, (uint8_t *)at);
    out->len += n;
}

/* A part of a revision, for a watch that wants no fragments: kept until the rest has come. False: there
 * is no room for it. */
static bool keep_part(struct watch *w, struct kv_event *const *events, size_t n)
{
    size_t before = w->whole.len;
    for (size_t i = 0; i < n; i++) {
        struct event_message m;
        event_of(w, events[i], &m);
        event_pack(&w->whole, &m.event);
    }
    return hold(w, w->whole.len - before);
}

/* The kept parts as one response. */
static void send_whole(struct watch *w, int64_t rev)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    struct arena a;
    arena_init(&a);
    r.watch_id = w->id;
    r.header = &header;
    etcd_header(w->stream->server, &header, rev);
    struct str head = pb_pack(&a, &r.base); /* protobuf lets the events stand behind it */
    buf_append_str(&w->whole, head);
    if (!w->stream->finished && !grpc_cancelled(w->stream->call))
        grpc_send_bytes(w->stream->call, buf_str(&w->whole));
    arena_free(&a);
    release(w);
}

/* Events from..to as one response. */
static void send_events(struct watch *w, struct kv_event *const *events, size_t n, int64_t rev,
                        bool fragment)
{
    struct event_message *messages = mem_alloc(n * sizeof *messages);
    Mvccpb__Event **list = mem_alloc(n * sizeof(void *));
    for (size_t i = 0; i < n; i++) {
        event_of(w, events[i], &messages[i]);
        list[i] = &messages[i].event;
    }
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = w->id;
    r.n_events = n;
    r.events = list;
    r.fragment = fragment;
    respond(w->stream, &r, rev);
    mem_free(list);
    mem_free(messages);
}

static void pause_if_slow(struct watch_stream *s)
{
    if (s->paused || grpc_queued(s->call) < ETCD_QUEUE_PAUSE_BYTES)
        return;
    s->paused = true;
    list_for_each (it, &s->watches)
        kv_watch_pause(list_entry(it, struct watch, link)->kv_watch);
}

static void on_drain(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct watch_stream *s = grpc_user(call);
    if (!s->paused || s->finished)
        return;
    s->paused = false;
    list_for_each (it, &s->watches)
        kv_watch_resume(list_entry(it, struct watch, link)->kv_watch);
}

/* In pieces of about the maximal request, as etcd does; every piece but the last says that more comes. */
static void send_fragments(struct watch *w, const struct kv_watch_batch *batch)
{
    size_t from = 0, bytes = 0, max = w->stream->server->config.request_bytes_max;
    if (batch->events_len == 0) { /* what the last fragment announced is nothing */
        Etcdserverpb__WatchResponse end = ETCDSERVERPB__WATCH_RESPONSE__INIT;
        end.watch_id = w->id;
        respond(w->stream, &end, batch->rev);
    }
    for (size_t i = 0; i < batch->events_len; i++) {
        bytes += event_bytes(batch->events[i], w->prev_kv);
        bool last = i + 1 == batch->events_len;
        if (!last && bytes + event_bytes(batch->events[i + 1], w->prev_kv) < max)
            continue;
        send_events(w, batch->events + from, i + 1 - from, batch->rev, !last || batch->partial);
        from = i + 1;
        bytes = 0;
    }
}

static void cancel_unasked(struct watch *w, const char *why);

static void on_events(void *ctx, struct kv_watch *kv_watch, const struct kv_watch_batch *batch)
{
    (void)kv_watch;
    struct watch *w = ctx;
    struct watch_stream *s = w->stream;
    s->events_rev = MAX(s->events_rev, batch->rev);
    if (w->fragment) {
        send_fragments(w, batch);
    } else if (!batch->partial && !w->whole.len) {
        send_events(w, batch->events, batch->events_len, batch->rev, false);
    } else if (!keep_part(w, batch->events, batch->events_len)) {
        cancel_unasked(w,
                       "etcdserver: a revision is too large for one response, watch in fragments");
        return;
    } else if (!batch->partial) {
        send_whole(w, batch->rev);
    }
    pause_if_slow(s);
}

/* --------------------------------------------------------------------- progress --- */

static void progress_complete(struct watch_stream *s);

/* Ask every watch where it is; answered when all have said so. */
static void progress_begin(struct watch_stream *s)
{
    s->progress_rev = INT64_MAX;
    list_for_each (it, &s->watches) {
        struct watch *w = list_entry(it, struct watch, link);
        w->progress_pending = true;
        s->progress_pending++;
    }
    if (!s->progress_pending) {
        s->progress_rev = kv_current_revision(s->server->kv);
        progress_complete(s);
        return;
    }
    list_for_each (it, &s->watches)
        kv_watch_request_progress(list_entry(it, struct watch, link)->kv_watch);
}

static void progress_complete(struct watch_stream *s)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    if (s->progress_rev < s->events_rev && s->watches_len > 0) {
        progress_begin(s); /* some watch has gone on since another one said where it is */
        return;
    }
    r.watch_id = INVALID_WATCH_ID; /* of the whole stream */
    respond(s, &r, s->progress_rev);
    if (s->progress_again) {
        s->progress_again = false;
        progress_begin(s);
    }
}

static void progress_of(struct watch *w, int64_t rev)
{
    struct watch_stream *s = w->stream;
    if (!w->progress_pending)
        return;
    w->progress_pending = false;
    s->progress_rev = MIN(s->progress_rev, rev);
    if (--s->progress_pending == 0)
        progress_complete(s);
}

static void on_progress(void *ctx, struct kv_watch *kv_watch, int64_t rev)
{
    (void)kv_watch;
    struct watch *w = ctx;
    if (w->progress_pending) {
        progress_of(w, rev);
        return;
    }
    if (!w->progress_notify)
        return;
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = w->id;
    respond(w->stream, &r, rev);
}

/* -------------------------------------------------------------- beginning and end --- */

static void watch_free(struct watch *w)
{
    struct watch_stream *s = w->stream;
    list_remove(&w->link);
    map_remove(&s->by_id, id_key(&w->id));
    s->watches_len--;
    release(w);
    kv_watch_close(w->kv_watch);
    if (w->progress_pending) { /* nobody waits for it any more */
        w->progress_pending = false;
        s->progress_rev = MIN(s->progress_rev, kv_current_revision(s->server->kv));
        if (--s->progress_pending == 0 && !s->finished)
            progress_complete(s);
    }
    mem_free(w);
}

static void cancel_unasked(struct watch *w, const char *why)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = w->id;
    r.canceled = true;
    r.cancel_reason = (char *)why;
    respond(w->stream, &r, 0);
    watch_free(w);
}

static void on_closed(void *ctx, struct kv_watch *kv_watch, int code, int64_t compact_rev)
{
    (void)kv_watch;
    struct watch *w = ctx;
    int status;
    if (code != ERR_COMPACTED) {
        cancel_unasked(w, etcd_error_message(code, &status));
        return;
    }
    /* As etcd: the revision is the reason, and the header has none. */
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = w->id;
    r.canceled = true;
    r.compact_revision = compact_rev;
    r.header = &header;
    etcd_header(w->stream->server, &header, 0);
    header.revision = 0;
    if (!w->stream->finished && !grpc_cancelled(w->stream->call))
        grpc_send(w->stream->call, &r.base);
    watch_free(w);
}

static struct watch *find(struct watch_stream *s, int64_t id)
{
    return map_get(&s->by_id, id_key(&id));
}

static void refuse(struct watch_stream *s, const char *why)
{
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = INVALID_WATCH_ID;
    r.created = true;
    r.canceled = true;
    r.cancel_reason = (char *)why;
    respond(s, &r, 0);
}

static int64_t pick_id(struct watch_stream *s, int64_t wanted)
{
    if (wanted)
        return wanted;
    /* Only clients that chose ids of their own make this search go on. */
    while (find(s, s->next_id))
        s->next_id++;
    return s->next_id++;
}

static void create(struct watch_stream *s, const Etcdserverpb__WatchCreateRequest *c)
{
    static const struct kv_watch_callbacks callbacks = {
        .events = on_events, .progress = on_progress, .closed = on_closed};
    struct kv_watch_request q = {
        .key =
            c->key.len ? etcd_str(c->key) : str_make("\0", 1), /* as etcd: from the first key on */
        .end = etcd_str(c->range_end),
        .start_rev = c->start_revision > 0 ? c->start_revision : 0,
        .prev_kv = c->prev_kv,
        .progress = c->progress_notify,
    };
    for (size_t i = 0; i < c->n_filters; i++) {
        q.no_put |= c->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
        q.no_delete |= c->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    }
    if (c->start_revision < 0) {
        refuse(s, "etcdserver: mvcc: required revision has been compacted");
        return;
    }
    bool open_end = q.end.n == 1 && q.end.p[0] == 0;
    int denied = etcd_auth_range(s->server, s->call, q.key, q.end);
    if (denied) {
        refuse(s, etcd_auth_cancel_reason(s->call, denied));
        return;
    }
    if (c->watch_id && find(s, c->watch_id)) {
        refuse(s, "mvcc: duplicate watch ID provided on the WatchStream");
        return;
    }
    if (q.end.n && !open_end && str_cmp(q.key, q.end) >= 0) {
        refuse(s, "mvcc: watcher range is empty");
        return;
    }
    if (s->watches_len >= WATCHES_MAX) {
        refuse(s, "etcdserver: too many requests");
        return;
    }
    struct watch *w = mem_zalloc(sizeof *w);
    w->stream = s;
    w->id = pick_id(s, c->watch_id);
    w->prev_kv = c->prev_kv;
    w->progress_notify = c->progress_notify;
    w->fragment = c->fragment;
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = w->id;
    r.created = true;
    int64_t created_rev;
    w->kv_watch = kv_watch(s->server->kv, &q, etcd_loop(s->call), &callbacks, w, &created_rev);
    buf_init(&w->whole);
    list_push_back(&s->watches, &w->link);
    map_put(&s->by_id, id_key(&w->id), w);
    s->watches_len++;
    respond(s, &r, created_rev);
    if (s->paused)
        kv_watch_pause(w->kv_watch);
}

static void cancel(struct watch_stream *s, int64_t id)
{
    struct watch *w = find(s, id);
    if (!w)
        return;
    Etcdserverpb__WatchResponse r = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    r.watch_id = id;
    r.canceled = true;
    watch_free(w);
    respond(s, &r, 0);
}

static void on_open(struct grpc_call *call, void *ctx)
{
    struct watch_stream *s = arena_new(grpc_arena(call), struct watch_stream);
    s->server = ctx;
    s->call = call;
    list_init(&s->watches);
    map_init(&s->by_id);
    grpc_set_user(call, s);
}

static void on_message(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                       struct str raw)
{
    (void)ctx, (void)raw;
    struct watch_stream *s = grpc_user(call);
    const Etcdserverpb__WatchRequest *q = (const void *)message;
    switch (q->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        create(s, q->create_request);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        cancel(s, q->cancel_request->watch_id);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        if (s->progress_pending)
            s->progress_again = true;
        else
            progress_begin(s);
        break;
    default: /* a request we do not know: etcd ignores it as well */
        break;
    }
}

static void finish(struct watch_stream *s, int status, const char *message)
{
    if (s->finished)
        return;
    s->finished = true;
    while (!list_empty(&s->watches))
        watch_free(list_first(&s->watches, struct watch, link));
    map_free(&s->by_id);
    grpc_finish(s->call, status, message);
}

static void on_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    finish(grpc_user(call), GRPC_CANCELLED, "context canceled");
}

const struct grpc_method etcd_watch_methods[] = {
    {.path = "/etcdserverpb.Watch/Watch",
     .client_streaming = true,
     .request = &etcdserverpb__watch_request__descriptor,
     .response = &etcdserverpb__watch_response__descriptor,
     .on_open = on_open,
     .on_message = on_message,
     .on_cancel = on_cancel,
     .on_drain = on_drain},
};
const size_t etcd_watch_methods_len = ARRAY_LEN(etcd_watch_methods);
