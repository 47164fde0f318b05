/*
 * A proxy between peers that delays and reorders what they say to each other.
 *
 *   peer_proxy LISTEN_IP:PORT TARGET_IP:PORT SEED
 *
 * reads commands from standard input, and ends with it:
 *   off                    pass everything on at once (the beginning)
 *   delay MS               each chunk waits up to MS milliseconds, in order, per connection
 *   reorder MS PERCENT     each Raft message waits for a time of its own up to MS, so that those of a connection overtake
 *                          each other; of a hundred chunks read PERCENT break their connection
 *
 * Messages are found by the peers' framing (raft/transport.h): a hello, then length-prefixed frames. Other frames and
 * channels stay in order, which their users rely on; and so does everything under TLS.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include "raft/transport.h"
#include "raft/wire.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define PURPOSE_AT 5
#define PURPOSE_MESSAGES 1
#define KIND_AT 8

enum mode { OFF, DELAY, REORDER };

static struct {
    enum mode mode;
    uint64_t ms, percent;
    struct rng rng;
    struct sockaddr_in target;
    char command[128];
    size_t command_len;
} proxy;

struct link;

/* One direction's way: bytes read from one side, waiting to be written to the other. */
struct side {
    uv_tcp_t tcp;
    struct link *link;
    struct side *other;
    bool first;    /* the side that connected to us: its bytes have the hello */
    bool greeted;  /* the hello has passed */
    bool framed;   /* what follows are frames of messages */
    struct buf in; /* of a frame that has not come whole */
    uint64_t last_due_ms;
};

struct link {
    struct side a, b; /* the caller, the member */
    int open;
    bool closing;
    size_t waiting; /* chunks with a timer */
};

struct chunk {
    uv_timer_t timer;
    uv_write_t write;
    struct side *to;
    size_t len;
    char data[];
};

static void side_closed(uv_handle_t *h)
{
    struct link *l = ((struct side *)h->data)->link;
    if (--l->open == 0 && l->waiting == 0) {
        buf_free(&l->a.in);
        buf_free(&l->b.in);
        mem_free(l);
    }
}

static void link_close(struct link *l)
{
    if (l->closing)
        return;
    l->closing = true;
    uv_close((uv_handle_t *)&l->a.tcp, side_closed);
    uv_close((uv_handle_t *)&l->b.tcp, side_closed);
}

static void chunk_gone(uv_handle_t *h)
{
    struct chunk *c = h->data;
    struct link *l = c->to->link;
    mem_free(c);
    if (--l->waiting == 0 && l->open == 0) {
        buf_free(&l->a.in);
        buf_free(&l->b.in);
        mem_free(l);
    }
}

static void written(uv_write_t *w, int status)
{
    struct chunk *c = w->data;
    if (status < 0)
        link_close(c->to->link);
    uv_close((uv_handle_t *)&c->timer, chunk_gone);
}

static void due(uv_timer_t *t)
{
    struct chunk *c = t->data;
    uv_buf_t b = uv_buf_init(c->data, (unsigned)c->len);
    c->write.data = c;
    if (c->to->link->closing ||
        uv_write(&c->write, (uv_stream_t *)&c->to->tcp, &b, 1, written) != 0)
        uv_close((uv_handle_t *)t, chunk_gone);
}

static void pass_on(struct side *from, const char *data, size_t n, bool overtakes)
{
    uint64_t now = uv_now(uv_default_loop()),
             wait = proxy.mode == OFF ? 0 : rng_below(&proxy.rng, proxy.ms + 1), at = now + wait;
    struct chunk *c = mem_alloc(sizeof *c + n);
    c->to = from->other;
    c->len = n;
    memcpy(c->data, data, n);
    if (!(proxy.mode == REORDER && overtakes)) { /* in order behind what waits already */
        at = at > from->last_due_ms ? at : from->last_due_ms;
        from->last_due_ms = at;
    } else if (at > from->last_due_ms) {
        from->last_due_ms = at;
    }
    uv_timer_init(uv_default_loop(), &c->timer);
    c->timer.data = c;
    from->link->waiting++;
    uv_timer_start(&c->timer, due, at - now, 0);
}

/* Pass on each frame that is complete. */
static void pass_frames(struct side *s, const char *data, size_t n)
{
    buf_append(&s->in, data, n);
    size_t at = 0;
    while (s->in.len - at >= RAFT_FRAME_HEAD) {
        struct wire w = wire_init(str_make(s->in.data + at, 4));
        size_t whole = RAFT_FRAME_HEAD + (size_t)wire_be32(&w);
        if (s->in.len - at < whole)
            break;
        pass_on(s, s->in.data + at, whole, s->in.data[at + KIND_AT] == RAFT_FRAME_MESSAGE);
        at += whole;
    }
    buf_consume(&s->in, at);
}

static void pass(struct side *s, const char *data, size_t n)
{
    if (!s->first || s->greeted) {
        if (s->framed)
            pass_frames(s, data, n);
        else
            pass_on(s, data, n, false);
        return;
    }
    buf_append(&s->in, data, n);
    if (s->in.len < RAFT_HELLO_SIZE)
        return;
    s->greeted = true;
    bool messages =
        memcmp(s->in.data, "C8SP", 4) == 0 && s->in.data[PURPOSE_AT] == PURPOSE_MESSAGES;
    size_t rest = s->in.len - RAFT_HELLO_SIZE;
    char *copy = mem_dup(s->in.data + RAFT_HELLO_SIZE, rest + 1);
    pass_on(s, s->in.data, RAFT_HELLO_SIZE, false);
    s->in.len = 0;
    s->framed = messages;
    if (rest)
        pass(s, copy, rest);
    mem_free(copy);
}

/* ---- connections ---- */

static void give_buffer(uv_handle_t *h, size_t suggested, uv_buf_t *out)
{
    (void)h;
    *out = uv_buf_init(mem_alloc(suggested), (unsigned)suggested);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *b)
{
    struct side *s = stream->data;
    if (n < 0 || (n > 0 && proxy.mode == REORDER && rng_below(&proxy.rng, 100) < proxy.percent))
        link_close(s->link);
    else if (n > 0)
        pass(s, b->base, (size_t)n);
    mem_free(b->base);
}

static void connected(uv_connect_t *c, int status)
{
    struct link *l = c->data;
    mem_free(c);
    if (l->closing)
        return;
    if (status < 0 || uv_read_start((uv_stream_t *)&l->a.tcp, give_buffer, on_read) != 0 ||
        uv_read_start((uv_stream_t *)&l->b.tcp, give_buffer, on_read) != 0)
        link_close(l);
}

static void side_init(struct side *s, struct link *l, struct side *other, bool first)
{
    s->link = l;
    s->other = other;
    s->first = first;
    buf_init(&s->in);
    uv_tcp_init(uv_default_loop(), &s->tcp);
    uv_tcp_nodelay(&s->tcp, 1);
    s->tcp.data = s;
    l->open++;
}

static void on_connection(uv_stream_t *server, int status)
{
    if (status < 0)
        return;
    struct link *l = mem_zalloc(sizeof *l);
    uv_connect_t *c = mem_zalloc(sizeof *c);
    side_init(&l->a, l, &l->b, true);
    side_init(&l->b, l, &l->a, false);
    c->data = l;
    if (uv_accept(server, (uv_stream_t *)&l->a.tcp) != 0 ||
        uv_tcp_connect(c, &l->b.tcp, (const struct sockaddr *)&proxy.target, connected) != 0) {
        mem_free(c);
        link_close(l);
    }
}

/* ---- commands ---- */

static void obey(const char *line)
{
    unsigned long long ms = 0, percent = 0;
    if (sscanf(line, "delay %llu", &ms) == 1)
        proxy.mode = DELAY;
    else if (sscanf(line, "reorder %llu %llu", &ms, &percent) == 2)
        proxy.mode = REORDER;
    else
        proxy.mode = OFF;
    proxy.ms = ms;
    proxy.percent = percent;
}

static void on_command(uv_stream_t *in, ssize_t n, const uv_buf_t *b)
{
    if (n < 0) {
        uv_read_stop(in);
        uv_stop(uv_default_loop());
    }
    for (ssize_t i = 0; i < n; i++) {
        if (b->base[i] == '\n') {
            proxy.command[proxy.command_len] = 0;
            obey(proxy.command);
            proxy.command_len = 0;
        } else if (proxy.command_len + 1 < sizeof proxy.command) {
            proxy.command[proxy.command_len++] = b->base[i];
        }
    }
    mem_free(b->base);
}

static bool parse(const char *text, struct sockaddr_in *out)
{
    char ip[64];
    int port;
    return sscanf(text, "%63[^:]:%d", ip, &port) == 2 && uv_ip4_addr(ip, port, out) == 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_in listen;
    static uv_tcp_t server;
    static uv_pipe_t commands;
    if (argc != 4 || !parse(argv[1], &listen) || !parse(argv[2], &proxy.target)) {
        fprintf(stderr, "usage: peer_proxy LISTEN_IP:PORT TARGET_IP:PORT SEED\n");
        return 2;
    }
    rng_seed(&proxy.rng, strtoull(argv[3], NULL, 10));
    uv_tcp_init(uv_default_loop(), &server);
    uv_pipe_init(uv_default_loop(), &commands, 0);
    int code = uv_tcp_bind(&server, (const struct sockaddr *)&listen, 0);
    if (code == 0)
        code = uv_listen((uv_stream_t *)&server, 64, on_connection);
    if (code == 0)
        code = uv_pipe_open(&commands, 0);
    if (code == 0)
        code = uv_read_start((uv_stream_t *)&commands, give_buffer, on_command);
    if (code != 0) {
        fprintf(stderr, "peer_proxy: %s\n", uv_strerror(code));
        return 1;
    }
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
    return 0;
}
