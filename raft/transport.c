/*
 * Peer transport (raft/transport.h).
 */
#include "raft/transport.h"

#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "raft/wire.h"
#include <assert.h>
#include <stdio.h>
#include <unistd.h>

#define TRANSPORT_VERSION 1
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000
#define CHANNEL_LOW_WATER (256 * 1024)

#define REFUSALS_LOGGED 5 /* a second: whoever knocks must not fill the log */
#define STRANGERS_MAX \
    64 /* accepted connections of nobody known yet, or with a question: the oldest goes */
#define STRANGER_MS 10000

enum purpose { PURPOSE_MESSAGES = 1, PURPOSE_CHANNEL = 2, PURPOSE_QUESTION = 3 };

/* One connection of either purpose and direction; a raft_channel is one of purpose CHANNEL. */
struct raft_channel {
    struct list link; /* in transport.conns */
    struct raft_transport *transport;
    struct stream *stream; /* NULL once closed */
    enum purpose purpose;
    bool outgoing, open, greeted; /* greeted: the peer's hello was read (incoming) */
    bool closing;
    uint64_t peer; /* 0 until greeted */
    uint64_t opened_ms;
    struct buf in; /* a frame that has not arrived completely */
    const struct raft_channel_events *events;
    void *ctx;
};

struct peer {
    struct list link;
    struct raft_transport *transport;
    uint64_t id;
    char *address;
    struct raft_channel *out; /* the message connection we made; NULL: none */
    struct loop_timer retry;
    uint32_t backoff_ms;
    uint64_t heard_ms; /* 0: never */
    bool was_open;     /* for the log: tell each change once */
    char failure[160]; /* why connecting failed last; "" once connected */
};

struct raft_transport {
    struct loop *loop;
    uint64_t id, cluster_id;
    unsigned level;
    const struct raft_peer_rules *rules;
    void *rules_ctx;
    uint64_t refusals_since_ms;
    unsigned refusals, refusals_unlogged;
    struct tls_context *tls_server, *tls_client;
    const struct raft_transport_events *events;
    void *ctx;
    struct listener *listener;
    struct list conns, peers;
    uint32_t channels_len; /* accepted ones */
    struct loop_timer ping;
    bool closing;
    void (*done)(void *ctx);
    void *done_ctx;
    struct loop_task finish;
};

static struct peer *find_peer(const struct raft_transport *t, uint64_t id)
{
    for (struct list *it = t->peers.next; it != &t->peers; it = it->next) {
        struct peer *p = list_entry(it, struct peer, link);
        if (p->id == id)
            return p;
    }
    return NULL;
}

/* ---- frames ---- */

static void hello_write(uint8_t h[RAFT_HELLO_SIZE], enum purpose purpose, unsigned level,
                        uint64_t cluster, uint64_t from, uint64_t to)
{
    static const uint8_t start[] = {'C', '8', 'S', 'P', TRANSPORT_VERSION};
    memcpy(h, start, sizeof start);
    h[5] = (uint8_t)purpose;
    h[6] = (uint8_t)(level >> 8);
    h[7] = (uint8_t)level;
    wire_put_be64(h + 8, cluster);
    wire_put_be64(h + 16, from);
    wire_put_be64(h + 24, to);
}

static void write_hello(struct raft_channel *c)
{
    uint8_t h[RAFT_HELLO_SIZE];
    const struct raft_transport *t = c->transport;
    hello_write(h, c->purpose, t->level, t->cluster_id, t->id, c->peer);
    stream_write(c->stream, h, sizeof h);
}

void raft_question_hello(uint8_t out[RAFT_HELLO_SIZE])
{
    hello_write(out, PURPOSE_QUESTION, 0, 0, 0, 0);
}

void raft_frame_head(uint8_t out[RAFT_FRAME_HEAD], enum raft_frame_kind kind, struct str body)
{
    assert(body.n <= RAFT_FRAME_MAX);
    memset(out, 0, RAFT_FRAME_HEAD);
    out[8] = (uint8_t)kind;
    wire_put_be32(out, (uint32_t)body.n);
    wire_put_be32(out + 4, crc32c(crc32c(0, out + 8, 4), body.p, body.n));
}

static void write_frame(struct raft_channel *c, enum raft_frame_kind kind, struct str body)
{
    uint8_t h[RAFT_FRAME_HEAD];
    raft_frame_head(h, kind, body);
    stream_write(c->stream, h, sizeof h);
    if (body.n)
        stream_write(c->stream, body.p, body.n);
}

/* One line in the log for a connection refused, a few a second. */
static void log_refusal(struct raft_channel *c, struct stream *s, const char *why)
{
    struct raft_transport *t = c->transport;
    uint64_t now = loop_now_ms(t->loop);
    if (now - t->refusals_since_ms >= 1000) {
        t->refusals_since_ms = now;
        t->refusals = 0;
    }
    if (t->refusals++ >= REFUSALS_LOGGED) {
        t->refusals_unlogged++;
        return;
    }
    log_warn("raft", "peer connection refused remote=%s peer=%llx reason=\"%s\" not_logged=%u",
             stream_remote(s), (unsigned long long)c->peer, why, t->refusals_unlogged);
    t->refusals_unlogged = 0;
}

static bool refuse(struct raft_channel *c, const char *why)
{
    log_refusal(c, c->stream, why);
    return false;
}

/* Ask the rules about a member that says it is c->peer. */
static bool admit(struct raft_channel *c, unsigned level)
{
    struct raft_transport *t = c->transport;
    struct error why = {0};
    if (!t->rules)
        return true;
    switch (t->rules->admit(t->rules_ctx, c->peer, level, stream_peer(c->stream), &why)) {
    case RAFT_ADMIT:
        return true;
    case RAFT_ADMIT_STRANGER:
        if (level > 1 && c->purpose == PURPOSE_MESSAGES)
            write_frame(c, RAFT_FRAME_WHO, STR_NONE);
        return true;
    case RAFT_ADMIT_REMOVED:
        refuse(c, "it was removed from the cluster");
        write_frame(c, RAFT_FRAME_REMOVED, STR_NONE);
        raft_channel_close(c);
        return true; /* closed once that is written */
    case RAFT_ADMIT_REFUSE:
        break;
    }
    return refuse(c, why.message);
}

/* The first bytes of an accepted connection: who is it and what for? */
static bool recv_hello(struct raft_channel *c, struct str in)
{
    struct raft_transport *t = c->transport;
    struct wire w = wire_init(in);
    struct str magic = wire_bytes(&w, 4);
    uint8_t version = wire_u8(&w), purpose = wire_u8(&w);
    unsigned level = (unsigned)wire_be(&w, 2);
    uint64_t cluster = wire_be64(&w), from = wire_be64(&w), to = wire_be64(&w);
    assert(wire_done(&w));
    if (!str_eq(magic, STR("C8SP")) || version != TRANSPORT_VERSION)
        return refuse(c, "not a peer of a version known here");
    c->greeted = true;
    if (purpose == PURPOSE_QUESTION && t->rules) {
        c->purpose = PURPOSE_QUESTION;
        return true;
    }
    if (cluster != t->cluster_id)
        return refuse(c, "it belongs to another cluster");
    if (to != t->id || from == t->id || from == 0)
        return refuse(c, "it looks for another member");
    c->peer = from;
    if (purpose != PURPOSE_MESSAGES && purpose != PURPOSE_CHANNEL)
        return refuse(c, "unknown purpose");
    if (purpose == PURPOSE_CHANNEL) {
        if (t->channels_len >= RAFT_CHANNELS_MAX)
            return refuse(c, "too many channels");
        c->purpose = PURPOSE_CHANNEL;
        t->channels_len++;
    }
    if (!admit(c, MAX(level, 1u)))
        return false;
    if (purpose == PURPOSE_MESSAGES || c->closing)
        return true;
    return t->events->on_channel(t->ctx, from, c) && c->events;
}

/* On a connection that we made: what the other side says about it. */
static bool recv_notice(struct raft_channel *c, enum raft_frame_kind kind)
{
    struct raft_transport *t = c->transport;
    if (kind == RAFT_FRAME_REMOVED && t->rules) {
        t->rules->on_removed(t->rules_ctx, c->peer);
        return true;
    }
    if (kind != RAFT_FRAME_WHO || !t->rules)
        return false;
    struct buf identity;
    buf_init(&identity);
    t->rules->identity(t->rules_ctx, &identity);
    write_frame(c, RAFT_FRAME_IDENTITY, buf_str(&identity));
    buf_free(&identity);
    return true;
}

static bool recv_question(struct raft_channel *c, enum raft_frame_kind kind, struct str body)
{
    struct raft_transport *t = c->transport;
    struct error why = {0};
    struct buf answer;
    if (kind != RAFT_FRAME_QUESTION || body.n > RAFT_QUESTION_MAX)
        return false;
    buf_init(&answer);
    bool ok = t->rules->answer(t->rules_ctx, body, stream_peer(c->stream), &answer, &why);
    if (ok) {
        write_frame(c, RAFT_FRAME_ANSWER, buf_str(&answer));
        raft_channel_close(c);
    } else {
        refuse(c, why.message);
    }
    buf_free(&answer);
    return ok;
}

static bool recv_frame(struct raft_channel *c, enum raft_frame_kind kind, struct str body)
{
    struct raft_transport *t = c->transport;
    if (c->purpose == PURPOSE_CHANNEL)
        return (kind < RAFT_FRAME_REMOVED || kind == RAFT_FRAME_SNAPSHOT_WANT) &&
               c->events->on_frame(c->ctx, kind, body);
    if (c->purpose == PURPOSE_QUESTION)
        return recv_question(c, kind, body);
    if (c->outgoing)
        return recv_notice(c, kind);
    struct peer *p = find_peer(t, c->peer);
    if (p)
        p->heard_ms = loop_now_ms(t->loop);
    if (kind == RAFT_FRAME_PING)
        return true;
    if (kind == RAFT_FRAME_IDENTITY && t->rules) {
        t->rules->on_identity(t->rules_ctx, c->peer, body);
        return true;
    }
    return t->events->on_frame(t->ctx, c->peer, kind, body);
}

/* Take one hello or frame from the front of `in`: bytes used, 0: incomplete, −1: broken. */
static ptrdiff_t take_one(struct raft_channel *c, struct str in)
{
    if (!c->outgoing && !c->greeted) {
        if (in.n < RAFT_HELLO_SIZE)
            return 0;
        return recv_hello(c, str_make(in.p, RAFT_HELLO_SIZE)) ? RAFT_HELLO_SIZE : -1;
    }
    if (in.n < RAFT_FRAME_HEAD)
        return 0;
    struct wire w = wire_init(str_make(in.p, RAFT_FRAME_HEAD));
    uint32_t n = wire_be32(&w), crc = wire_be32(&w);
    uint8_t kind = wire_u8(&w);
    uint32_t most =
        c->purpose == PURPOSE_QUESTION && !c->outgoing ? RAFT_QUESTION_MAX : RAFT_FRAME_MAX;
    if (n > most || kind == 0 || kind > RAFT_FRAME_KIND_MAX)
        return refuse(c, "bad frame") - 1;
    if (in.n - RAFT_FRAME_HEAD < n)
        return 0;
    struct str body = str_make(in.p + RAFT_FRAME_HEAD, n);
    if (crc32c(crc32c(0, in.p + 8, 4), body.p, body.n) != crc)
        return refuse(c, "bad checksum") - 1;
    if (!recv_frame(c, (enum raft_frame_kind)kind, body))
        return refuse(c, "malformed frame") - 1;
    return (ptrdiff_t)(RAFT_FRAME_HEAD + n);
}

/* Whole frames straight from what arrived; what is left waits in c->in. */
static void on_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    struct raft_channel *c = ctx;
    if (c->closing)
        return;
    struct str in = str_make(data, n);
    if (c->in.len > 0) {
        buf_append(&c->in, data, n);
        in = buf_str(&c->in);
    }
    size_t used = 0;
    while (used < in.n && !c->closing) {
        ptrdiff_t took = take_one(c, str_make(in.p + used, in.n - used));
        if (took < 0) {
            c->closing = true;
            stream_close(s, ERR_CORRUPT, "peer broke the protocol");
            return;
        }
        if (took == 0)
            break;
        used += (size_t)took;
    }
    if (c->in.len > 0)
        buf_consume(&c->in, used);
    else
        buf_append(&c->in, in.p + used, in.n - used);
}

/* ---- connections ---- */

static void connect_peer(struct peer *p);
static void retry_later(struct peer *p);
static void finish_close(struct raft_transport *t);

static void on_open(struct stream *s, void *ctx)
{
    struct raft_channel *c = ctx;
    if (!c->outgoing || c->closing)
        return;
    struct raft_transport *t = c->transport;
    struct error why = {0};
    if (t->rules && !t->rules->is_member(t->rules_ctx, c->peer, stream_peer(s), &why)) {
        stream_close(s, ERR_DENIED, why.message);
        c->closing = true;
        return;
    }
    c->open = true;
    c->opened_ms = loop_now_ms(t->loop);
    write_hello(c);
    if (c->purpose == PURPOSE_CHANNEL) {
        if (c->events->on_open)
            c->events->on_open(c->ctx);
        return;
    }
    struct peer *p = find_peer(t, c->peer);
    if (!p || p->out != c)
        return;
    p->failure[0] = 0;
    write_frame(c, RAFT_FRAME_PING, STR_NONE);
    if (!p->was_open)
        log_info("raft", "connected to peer peer=%llx address=%s", (unsigned long long)p->id,
                 p->address);
    p->was_open = true;
}

static void on_drain(struct stream *s, void *ctx)
{
    struct raft_channel *c = ctx;
    (void)s;
    if (c->events && c->events->on_drain && !c->closing)
        c->events->on_drain(c->ctx);
}

/* Why a peer cannot be reached, once for each reason. */
static void log_failure(struct peer *p, const char *reason)
{
    if (strncmp(p->failure, reason, sizeof p->failure - 1) == 0)
        return;
    snprintf(p->failure, sizeof p->failure, "%s", reason);
    log_info("raft", "cannot connect to peer peer=%llx address=%s reason=\"%s\"",
             (unsigned long long)p->id, p->address, reason);
}

static void on_close(struct stream *s, void *ctx, int code, const char *reason)
{
    struct raft_channel *c = ctx;
    struct raft_transport *t = c->transport;
    if (!c->outgoing && !c->greeted && code < 0 && !t->closing)
        log_refusal(c, s, reason ? reason : "broken off");
    c->stream = NULL;
    list_remove(&c->link);
    if (c->purpose == PURPOSE_CHANNEL && !c->outgoing)
        t->channels_len--;
    if (c->events)
        c->events->on_close(c->ctx);
    struct peer *p = c->outgoing && c->purpose == PURPOSE_MESSAGES ? find_peer(t, c->peer) : NULL;
    if (p && p->out == c) {
        p->out = NULL;
        /* Whoever accepts and hangs up, as those do who have removed us, is not called all the time. */
        if (c->open && loop_now_ms(t->loop) - c->opened_ms >= BACKOFF_MAX_MS)
            p->backoff_ms = BACKOFF_MIN_MS;
        if (p->was_open)
            log_warn("raft", "lost connection to peer peer=%llx reason=\"%s\"",
                     (unsigned long long)p->id, reason ? reason : "closed");
        else
            log_failure(p, reason ? reason : "closed");
        p->was_open = false;
        if (!t->closing) {
            t->events->on_unreachable(t->ctx, p->id);
            retry_later(p);
        }
    }
    buf_free(&c->in);
    mem_free(c);
    if (t->closing)
        finish_close(t);
}

static const struct stream_events stream_callbacks = {
    .on_open = on_open, .on_data = on_data, .on_drain = on_drain, .on_close = on_close};

static struct raft_channel *conn_new(struct raft_transport *t, enum purpose purpose, bool outgoing)
{
    struct raft_channel *c = mem_zalloc(sizeof *c);
    c->transport = t;
    c->purpose = purpose;
    c->outgoing = outgoing;
    buf_init_limited(&c->in, RAFT_FRAME_MAX + RAFT_FRAME_HEAD + 1024 * 1024);
    list_push_back(&t->conns, &c->link);
    return c;
}

static void conn_start(struct raft_channel *c, const struct peer *p)
{
    struct raft_transport *t = c->transport;
    c->peer = p->id;
    c->opened_ms = loop_now_ms(t->loop);
    c->stream = stream_connect(t->loop, p->address, t->tls_client, NULL, RAFT_CONNECT_MS,
                               &stream_callbacks, c);
}

static void conn_close(struct raft_channel *c, const char *reason)
{
    if (c->closing)
        return;
    c->closing = true;
    stream_close(c->stream, ERR_CANCELLED, reason);
}

/* Anybody can connect: nothing says yet that it is a member. */
static bool is_stranger(const struct raft_channel *c)
{
    return !c->outgoing && (!c->greeted || c->purpose == PURPOSE_QUESTION);
}

/* Members say at once who they are: whoever has not done so for longest makes room for them. */
static void limit_strangers(struct raft_transport *t)
{
    struct raft_channel *oldest = NULL;
    size_t n = 0;
    for (struct list *it = t->conns.next; it != &t->conns; it = it->next) {
        struct raft_channel *c = list_entry(it, struct raft_channel, link);
        if (!is_stranger(c) || c->closing)
            continue;
        oldest = oldest ? oldest : c;
        n++;
    }
    if (n >= STRANGERS_MAX)
        conn_close(oldest, "too many that do not say who they are");
}

static void expire_strangers(struct raft_transport *t, uint64_t now)
{
    for (struct list *it = t->conns.next; it != &t->conns; it = it->next) {
        struct raft_channel *c = list_entry(it, struct raft_channel, link);
        if (is_stranger(c) && !c->closing && now - c->opened_ms > STRANGER_MS)
            conn_close(c, "it does not say who it is");
    }
}

static void accepted(void *ctx, struct loop *loop, int fd)
{
    struct raft_transport *t = ctx;
    if (t->closing) {
        close(fd);
        return;
    }
    limit_strangers(t);
    struct raft_channel *c = conn_new(t, PURPOSE_MESSAGES, false);
    c->opened_ms = loop_now_ms(loop);
    c->stream = stream_accept(loop, fd, t->tls_server, &stream_callbacks, c);
    stream_set_keepalive(c->stream, 10);
}

/* ---- peers ---- */

static void connect_peer(struct peer *p)
{
    assert(!p->out && p->address);
    p->out = conn_new(p->transport, PURPOSE_MESSAGES, true);
    conn_start(p->out, p);
}

static void retry_now(struct loop_timer *timer)
{
    struct peer *p = container_of(timer, struct peer, retry);
    if (!p->out && !p->transport->closing)
        connect_peer(p);
}

static void retry_later(struct peer *p)
{
    loop_timer_start(&p->retry, p->backoff_ms);
    p->backoff_ms = MIN(p->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void peer_free(struct peer *p)
{
    loop_timer_stop(&p->retry);
    list_remove(&p->link);
    mem_free(p->address);
    mem_free(p);
}

void raft_transport_set_peer(struct raft_transport *t, uint64_t id, const char *address)
{
    struct peer *p = find_peer(t, id);
    if (id == t->id || t->closing || (p && address && cstr_eq(p->address, address)))
        return;
    if (p && p->out) {
        struct raft_channel *old = p->out;
        p->out = NULL;
        conn_close(old, "address changed");
    }
    if (!address) {
        if (p)
            peer_free(p);
        return;
    }
    if (!p) {
        p = mem_zalloc(sizeof *p);
        p->id = id;
        p->transport = t;
        loop_timer_init(t->loop, &p->retry, retry_now);
        list_push_back(&t->peers, &p->link);
    }
    mem_free(p->address);
    p->address = mem_strdup(address);
    p->backoff_ms = BACKOFF_MIN_MS;
    p->was_open = false;
    p->failure[0] = 0;
    loop_timer_stop(&p->retry);
    connect_peer(p);
}

void raft_transport_expel(struct raft_transport *t, uint64_t id)
{
    raft_transport_set_peer(t, id, NULL);
    for (struct list *it = t->conns.next; it != &t->conns; it = it->next) {
        struct raft_channel *c = list_entry(it, struct raft_channel, link);
        if (c->outgoing || c->closing || c->peer != id || c->purpose == PURPOSE_QUESTION)
            continue;
        if (c->purpose == PURPOSE_MESSAGES)
            write_frame(c, RAFT_FRAME_REMOVED, STR_NONE);
        raft_channel_close(c);
    }
}

/* Say that we are here; make connections anew whose peer is silent. */
static void ping(struct loop_timer *timer)
{
    struct raft_transport *t = container_of(timer, struct raft_transport, ping);
    uint64_t now = loop_now_ms(t->loop);
    for (struct list *it = t->peers.next; it != &t->peers; it = it->next) {
        struct peer *p = list_entry(it, struct peer, link);
        struct raft_channel *c = p->out;
        if (!c || !c->open || c->closing)
            continue;
        uint64_t since = MAX(p->heard_ms, c->opened_ms);
        if (now - since > RAFT_SILENCE_MS)
            conn_close(c, "peer is silent");
        else if (stream_queued(c->stream) < RAFT_PEER_QUEUE_MAX)
            write_frame(c, RAFT_FRAME_PING, STR_NONE);
    }
    expire_strangers(t, now);
    loop_timer_start(&t->ping, RAFT_PING_MS);
}

bool raft_transport_send(struct raft_transport *t, uint64_t to, enum raft_frame_kind kind,
                         struct str body)
{
    struct peer *p = find_peer(t, to);
    if (!p || !p->out || !p->out->open || p->out->closing)
        return false;
    if (stream_queued(p->out->stream) + body.n > RAFT_PEER_QUEUE_MAX) {
        t->events->on_unreachable(t->ctx, to);
        return false;
    }
    write_frame(p->out, kind, body);
    return true;
}

void raft_transport_flush(struct raft_transport *t)
{
    list_for_each (it, &t->peers) {
        struct peer *p = list_entry(it, struct peer, link);
        if (p->out && p->out->open && !p->out->closing)
            stream_flush(p->out->stream);
    }
}

uint64_t raft_transport_silence_ms(const struct raft_transport *t, uint64_t id)
{
    const struct peer *p = find_peer(t, id);
    return p && p->heard_ms ? loop_now_ms(t->loop) - p->heard_ms : UINT64_MAX;
}

bool raft_transport_active(const struct raft_transport *t, uint64_t id)
{
    const struct peer *p = find_peer(t, id);
    return p && p->out && p->out->open && !p->out->closing &&
           raft_transport_silence_ms(t, id) < RAFT_SILENCE_MS;
}

/* ---- channels ---- */

struct raft_channel *raft_channel_open(struct raft_transport *t, uint64_t to,
                                       const struct raft_channel_events *events, void *ctx)
{
    const struct peer *p = find_peer(t, to);
    if (!p || t->closing)
        return NULL;
    struct raft_channel *c = conn_new(t, PURPOSE_CHANNEL, true);
    c->events = events;
    c->ctx = ctx;
    conn_start(c, p);
    stream_set_low_water(c->stream, CHANNEL_LOW_WATER);
    return c;
}

void raft_channel_attach(struct raft_channel *c, const struct raft_channel_events *events,
                         void *ctx)
{
    c->events = events;
    c->ctx = ctx;
}

void raft_channel_send(struct raft_channel *c, enum raft_frame_kind kind, struct str body)
{
    if (!c->closing)
        write_frame(c, kind, body);
}

size_t raft_channel_queued(const struct raft_channel *c)
{
    return c->stream ? stream_queued(c->stream) : 0;
}

void raft_channel_pause(struct raft_channel *c)
{
    if (!c->closing)
        stream_pause(c->stream);
}

void raft_channel_resume(struct raft_channel *c)
{
    if (!c->closing)
        stream_resume(c->stream);
}

void raft_channel_close(struct raft_channel *c)
{
    if (c->closing)
        return;
    c->closing = true;
    stream_shutdown(c->stream);
}

/* ---- life ---- */

struct raft_transport *raft_transport_new(struct loop *loop, const struct raft_transport_options *o,
                                          struct error *err)
{
    struct raft_transport *t = mem_zalloc(sizeof *t);
    t->loop = loop;
    t->id = o->id;
    t->cluster_id = o->cluster_id;
    t->level = o->level ? o->level : 1;
    t->rules = o->rules;
    t->rules_ctx = o->rules_ctx;
    t->events = o->events;
    t->ctx = o->ctx;
    list_init(&t->conns);
    list_init(&t->peers);
    loop_timer_init(loop, &t->ping, ping);
    if (o->listen) {
        t->listener = listener_new(&t->loop, 1, o->listen, accepted, t, err);
        if (!t->listener) {
            error_wrap(err, "peer address");
            mem_free(t);
            return NULL;
        }
    }
    t->tls_server = tls_context_ref(o->tls_server);
    t->tls_client = tls_context_ref(o->tls_client);
    loop_timer_start(&t->ping, RAFT_PING_MS);
    return t;
}

int raft_transport_port(const struct raft_transport *t)
{
    return t->listener ? listener_port(t->listener) : 0;
}

static void finished(struct loop_task *task)
{
    struct raft_transport *t = container_of(task, struct raft_transport, finish);
    void (*done)(void *ctx) = t->done;
    void *ctx = t->done_ctx;
    tls_context_unref(t->tls_server);
    tls_context_unref(t->tls_client);
    mem_free(t);
    done(ctx);
}

static void finish_close(struct raft_transport *t)
{
    if (!list_empty(&t->conns))
        return;
    t->finish.fn = finished;
    loop_post(t->loop, &t->finish);
}

void raft_transport_close(struct raft_transport *t, void (*done)(void *ctx), void *ctx)
{
    assert(!t->closing);
    t->closing = true;
    t->done = done;
    t->done_ctx = ctx;
    loop_timer_stop(&t->ping);
    if (t->listener)
        listener_close(t->listener);
    t->listener = NULL;
    while (!list_empty(&t->peers))
        peer_free(list_first(&t->peers, struct peer, link));
    list_for_each (it, &t->conns) {
        struct raft_channel *c = list_entry(it, struct raft_channel, link);
        conn_close(c, "shutting down");
    }
    finish_close(t);
}
