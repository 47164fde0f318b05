/*
 * net/stream.h over a simulated network. A connection carries segments in each direction, in order,
 * each with its delay. Where a link is cut, segments wait and are tried again, as TCP does; a
 * process that dies resets its connections as soon as the other side can be told, a machine that loses
 * power is silent until it is up again.
 */
#include "shim_net.h"
#include "whole.h"

#include "base/buf.h"
#include "base/mem.h"
#include <assert.h>
#include <string.h>
#include <unistd.h>

#define FD_FIRST 1000000 /* descriptors of accepted connections: no real ones */
#define RETRY_US (60 * MS)
#define LINGER_US (5 * SECOND)

enum segment_kind { SEGMENT_DATA, SEGMENT_OPEN, SEGMENT_END, SEGMENT_RESET };

struct segment {
    struct list link;
    enum segment_kind kind;
    uint64_t due;
    size_t n;
    char data[];
};

/* One end of a connection. Lives until the seed is over. */
struct stream {
    struct list all;       /* net.ends */
    struct list in_member; /* member->streams, while its process lives */
    struct member *member;
    uint64_t incarnation;
    struct stream *other; /* NULL: not there yet */
    struct loop *loop;    /* NULL: not accepted yet */
    const struct stream_events *events;
    void *ctx;
    enum { END_CONNECTING, END_OPEN, END_DEAD } state;
    bool paused, closing;
    bool tell_open, tell_drain, tell_close, posted;
    bool above_low_water;
    int close_code;
    struct loop_task task;
    struct loop_deferred flush;
    struct buf out;     /* written in this iteration */
    struct list flying; /* segments on their way to the other end */
    size_t flying_bytes;
    struct event arrival; /* of the first of them */
    uint64_t last_due;
    struct list inbox; /* arrived, not handed over yet */
    size_t low_water;
    char address[64];
    uint64_t deadline; /* CONNECTING */
    struct event connect;
    struct listener *listener;
};

struct listener {
    struct list link; /* member->listeners */
    struct member *member;
    struct loop *loop;
    listener_fn *fn;
    void *ctx;
    char address[64];
};

struct accepting {
    struct loop_task task;
    struct stream *end;
};

static struct {
    struct list ends;
    VEC(struct stream *) accepted; /* by descriptor */
} net;

static struct list *ends(void)
{
    if (!net.ends.next)
        list_init(&net.ends);
    return &net.ends;
}

static bool alive(const struct stream *s)
{
    return s->state != END_DEAD && s->member->incarnation == s->incarnation &&
           s->member->state != MEMBER_DOWN;
}

static bool link_up(const struct stream *from, const struct stream *to)
{
    return !W.cut[from->member->number][to->member->number];
}

static uint64_t delay(void)
{
    if (W.calm)
        return 100 + chance_below(500);
    if (chance(W.weather.slow))
        return chance_below(W.weather.slow_us) + 1;
    return 60 + chance_below(W.weather.delay_us);
}

static void attend(struct loop_task *t);
static void arrive(struct event *e);
static void flush(struct loop_deferred *d);

static void post(struct stream *s)
{
    if (s->posted || !s->loop)
        return;
    s->posted = true;
    s->task.fn = attend;
    loop_post(s->loop, &s->task);
}

static struct stream *end_new(struct member *m)
{
    struct stream *s = mem_zalloc(sizeof *s);
    s->member = m;
    s->incarnation = m->incarnation;
    s->low_water = 64 * 1024;
    s->arrival.fn = arrive;
    list_init(&s->flying);
    list_init(&s->inbox);
    list_init(&s->in_member);
    list_init(&s->all);
    list_push_back(&m->streams, &s->in_member);
    list_push_back(ends(), &s->all);
    buf_init(&s->out);
    loop_deferred_init(&s->flush, flush);
    return s;
}

/* ---- segments ---- */

static void send_segment(struct stream *s, enum segment_kind kind, const char *data, size_t n)
{
    struct segment *g = mem_alloc(sizeof *g + n);
    g->kind = kind;
    g->n = n;
    if (n)
        memcpy(g->data, data, n);
    g->due = MAX(s->last_due, now_us() + delay());
    s->last_due = g->due;
    list_push_back(&s->flying, &g->link);
    s->flying_bytes += n;
    if (!event_pending(&s->arrival))
        event_in(&s->arrival, g->due - now_us());
}

static void inbox_clear(struct list *l)
{
    while (!list_empty(l)) {
        struct segment *g = list_first(l, struct segment, link);
        list_remove(&g->link);
        mem_free(g);
    }
}

static void arrive(struct event *e)
{
    struct stream *s = container_of(e, struct stream, arrival), *to = s->other;
    if (to && !link_up(s, to)) {
        event_in(e, RETRY_US + chance_below(RETRY_US));
        return;
    }
    while (!list_empty(&s->flying)) {
        struct segment *g = list_first(&s->flying, struct segment, link);
        if (g->due > now_us())
            break;
        list_remove(&g->link);
        s->flying_bytes -= g->n;
        if (to && alive(to) && !to->closing) {
            list_push_back(&to->inbox, &g->link);
            post(to);
        } else {
            mem_free(g);
        }
    }
    if (!list_empty(&s->flying))
        event_in(e, list_first(&s->flying, struct segment, link)->due - now_us());
    if (s->above_low_water && s->flying_bytes < s->low_water && alive(s)) {
        s->above_low_water = false;
        s->tell_drain = true;
        post(s);
    }
}

static void flush(struct loop_deferred *d)
{
    struct stream *s = container_of(d, struct stream, flush);
    if (s->out.len == 0 || s->state != END_OPEN)
        return;
    send_segment(s, SEGMENT_DATA, s->out.data, s->out.len);
    buf_clear(&s->out);
    if (s->flying_bytes >= s->low_water)
        s->above_low_water = true;
}

/* ---- on the loop ---- */

static void end_close(struct stream *s, int code)
{
    if (s->tell_close)
        return;
    s->tell_close = true;
    s->close_code = code;
    post(s);
}

static void take(struct stream *s, struct segment *g)
{
    switch (g->kind) {
    case SEGMENT_OPEN:
        if (s->state == END_CONNECTING) {
            s->state = END_OPEN;
            event_cancel(&s->connect);
            if (s->events->on_open)
                s->events->on_open(s, s->ctx);
        }
        break;
    case SEGMENT_DATA:
        s->events->on_data(s, s->ctx, g->data, g->n);
        break;
    case SEGMENT_END:
        end_close(s, 0);
        break;
    case SEGMENT_RESET:
        end_close(s, ERR_IO);
        break;
    }
}

static void attend(struct loop_task *t)
{
    struct stream *s = container_of(t, struct stream, task);
    s->posted = false;
    if (s->tell_open && !s->closing) {
        s->tell_open = false;
        if (s->events->on_open)
            s->events->on_open(s, s->ctx);
    }
    while (!list_empty(&s->inbox) && !s->paused && !s->closing && !s->tell_close) {
        struct segment *g = list_first(&s->inbox, struct segment, link);
        list_remove(&g->link);
        take(s, g);
        mem_free(g);
    }
    if (s->tell_drain && !s->closing && !s->tell_close) {
        s->tell_drain = false;
        if (s->events->on_drain)
            s->events->on_drain(s, s->ctx);
    }
    if (!s->tell_close || s->state == END_DEAD)
        return;
    if (!s->closing && s->other)
        send_segment(s, SEGMENT_END, NULL, 0);
    s->state = END_DEAD;
    event_cancel(&s->connect);
    loop_deferred_cancel(&s->flush);
    list_remove(&s->in_member);
    inbox_clear(&s->inbox);
    s->events->on_close(s, s->ctx, s->close_code, s->close_code ? "connection lost" : "closed");
}

/* ---- connecting ---- */

static struct listener *find_listener(const char *address)
{
    for (uint32_t i = 0; i < W.members_len; i++)
        list_for_each (it, &W.members[i].listeners)
            if (strcmp(list_entry(it, struct listener, link)->address, address) == 0)
                return list_entry(it, struct listener, link);
    return NULL;
}

/* "m3:2380" is member 3. */
static struct member *member_at(const char *address)
{
    unsigned n = 0;
    if (sscanf(address, "m%u:", &n) != 1 || n < 1 || n > W.members_len)
        broken("nobody is at \"%s\"", address);
    return &W.members[n - 1];
}

static void accept_run(struct loop_task *t)
{
    struct accepting *a = container_of(t, struct accepting, task);
    struct stream *end = a->end;
    struct listener *l = end->listener;
    mem_free(a);
    if (end->state == END_DEAD)
        return;
    vec_push(&net.accepted, end);
    end->listener = NULL;
    bool open = false; /* it may have been closed meanwhile */
    list_for_each (it, &end->member->listeners)
        open = open || list_entry(it, struct listener, link) == l;
    if (open)
        l->fn(l->ctx, l->loop, FD_FIRST + (int)net.accepted.len - 1);
}

static void connect_step(struct event *e)
{
    struct stream *s = container_of(e, struct stream, connect);
    if (!alive(s) || s->closing || s->state != END_CONNECTING)
        return;
    if (now_us() >= s->deadline) {
        end_close(s, ERR_TIMEOUT);
        return;
    }
    struct member *m = member_at(s->address);
    bool way = !W.cut[s->member->number][m->number] && !W.cut[m->number][s->member->number];
    struct listener *l = find_listener(s->address);
    if (s->other || !way || m->paused_until > now_us()) { /* no answer yet: wait for the deadline */
        event_in(e, MIN(s->deadline - now_us(), RETRY_US));
        return;
    }
    if (!l) {
        end_close(s, ERR_IO);
        return;
    }
    struct stream *end = end_new(m);
    struct accepting *a = mem_zalloc(sizeof *a);
    snprintf(end->address, sizeof end->address, "m%u:0", s->member->number);
    end->other = s;
    s->other = end;
    end->state = END_OPEN;
    end->listener = l;
    a->end = end;
    a->task.fn = accept_run;
    loop_post(l->loop, &a->task);
    send_segment(end, SEGMENT_OPEN, NULL, 0);
    event_in(e, s->deadline - now_us());
}

struct stream *stream_connect(struct loop *loop, const char *address, struct tls_context *tls,
                              const char *server_name, uint64_t timeout_ms,
                              const struct stream_events *events, void *ctx)
{
    (void)server_name;
    assert(!tls);
    struct stream *s = end_new(member_current());
    s->loop = loop;
    s->events = events;
    s->ctx = ctx;
    s->state = END_CONNECTING;
    s->deadline = now_us() + timeout_ms * MS;
    s->connect.fn = connect_step;
    snprintf(s->address, sizeof s->address, "%s", address);
    event_in(&s->connect, delay());
    return s;
}

struct stream *stream_accept(struct loop *loop, int fd, struct tls_context *tls,
                             const struct stream_events *events, void *ctx)
{
    assert(!tls && fd >= FD_FIRST && (size_t)(fd - FD_FIRST) < net.accepted.len);
    struct stream *s = net.accepted.items[fd - FD_FIRST];
    s->loop = loop;
    s->events = events;
    s->ctx = ctx;
    s->tell_open = true;
    post(s);
    return s;
}

struct listener *listener_new(struct loop *const *loops, size_t loops_len, const char *address,
                              listener_fn *fn, void *ctx, struct error *err)
{
    (void)loops_len, (void)err;
    struct listener *l = mem_zalloc(sizeof *l);
    l->member = member_current();
    l->loop = loops[0];
    l->fn = fn;
    l->ctx = ctx;
    snprintf(l->address, sizeof l->address, "%s", address);
    list_push_back(&l->member->listeners, &l->link);
    return l;
}

int listener_port(const struct listener *l)
{
    (void)l;
    return 2380;
}

void listener_close(struct listener *l)
{
    list_remove(&l->link);
    mem_free(l);
}

/* ---- the rest of the interface ---- */

void stream_write(struct stream *s, const void *data, size_t n)
{
    if (s->closing || s->state != END_OPEN)
        return;
    buf_append(&s->out, data, n);
    loop_defer(s->loop, &s->flush);
}

void stream_write_blob(struct stream *s, struct blob *b, size_t from, size_t n)
{
    stream_write(s, b->data + from, n);
}

size_t stream_queued(const struct stream *s)
{
    return s->out.len + s->flying_bytes;
}

uint64_t stream_write_stalled_ms(const struct stream *s)
{
    (void)s;
    return 0;
}

void stream_set_low_water(struct stream *s, size_t bytes)
{
    s->low_water = bytes;
}

void stream_pause(struct stream *s)
{
    s->paused = true;
}

void stream_resume(struct stream *s)
{
    s->paused = false;
    post(s);
}

void stream_close(struct stream *s, int code, const char *reason)
{
    (void)reason;
    if (s->closing)
        return;
    s->closing = true;
    buf_clear(&s->out);
    if (s->other)
        send_segment(s, SEGMENT_END, NULL, 0);
    end_close(s, code == ERR_CANCELLED ? 0 : code);
}

void stream_shutdown(struct stream *s)
{
    if (s->closing)
        return;
    flush(&s->flush);
    stream_close(s, 0, NULL);
}

struct loop *stream_loop(const struct stream *s)
{
    return s->loop;
}

bool stream_is_tls(const struct stream *s)
{
    (void)s;
    return false;
}

const struct tls_peer *stream_peer(const struct stream *s)
{
    (void)s;
    return NULL;
}

struct str stream_alpn(const struct stream *s)
{
    (void)s;
    return STR("");
}

const char *stream_remote(const struct stream *s)
{
    return s->address;
}

const char *stream_local(const struct stream *s)
{
    (void)s;
    return "here";
}

void stream_set_keepalive(struct stream *s, int idle_s)
{
    (void)s, (void)idle_s;
}

/* ---- death ---- */

void net_member_died(struct member *m)
{
    while (!list_empty(&m->listeners)) {
        struct listener *l = list_first(&m->listeners, struct listener, link);
        list_remove(&l->link);
        mem_free(l);
    }
    while (!list_empty(&m->streams)) {
        struct stream *s = list_first(&m->streams, struct stream, in_member);
        list_remove(&s->in_member);
        s->state = END_DEAD;
        s->posted = false;
        event_cancel(&s->connect);
        inbox_clear(&s->inbox);
        buf_free(&s->out);
        if (m->how == DEATH_POWER) {
            inbox_clear(&s->flying);
            s->flying_bytes = 0;
            s->last_due = now_us() + 500 * MS + chance_below(2 * SECOND); /* until it is up */
            event_cancel(&s->arrival);
        }
        if (s->other)
            send_segment(s, SEGMENT_RESET, NULL, 0);
    }
}

void net_free(void)
{
    while (!list_empty(ends())) {
        struct stream *s = list_first(ends(), struct stream, all);
        list_remove(&s->all);
        event_cancel(&s->arrival);
        event_cancel(&s->connect);
        inbox_clear(&s->flying);
        inbox_clear(&s->inbox);
        buf_free(&s->out);
        mem_free(s);
    }
    vec_free(&net.accepted);
}

/* A connection accepted and not taken. */
bool net_close_fd(int fd)
{
    if (fd < FD_FIRST)
        return false;
    struct stream *s = net.accepted.items[fd - FD_FIRST];
    s->state = END_DEAD;
    list_remove(&s->in_member);
    send_segment(s, SEGMENT_RESET, NULL, 0);
    return true;
}
