/*
 * Shared by fuzz_http1, fuzz_http2 and fuzz_websocket: a server whose loop is turned by hand, fed through a socket pair.
 */
#ifndef C8S_TESTS_FUZZ_HTTP_H
#define C8S_TESTS_FUZZ_HTTP_H

#include "net/grpc.h"
#include "net/http_internal.h"
#include "net/websocket.h"
#include "proto/etcd/rpc.pb-c.h"
#include "tests/fuzz/fuzz.h"

#include <sys/socket.h>
#include <unistd.h>

static struct loop *fuzz_loop;
static struct http_server *fuzz_server;
static struct grpc_server *fuzz_grpc;
static unsigned fuzz_requests; /* handed to the handlers */

static void fuzz_stream_body(struct http_exchange *x, struct str data, bool end)
{
    if (end)
        http_stream_end(x, NULL, 0);
    else
        http_stream_write(x, data);
}

static void fuzz_stream_closed(struct http_exchange *x)
{
    http_stream_end(x, NULL, 0); /* every exchange is answered, also without a listener */
}

static void fuzz_on_headers(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (grpc_server_take(fuzz_grpc, x))
        return;
    if (str_eqz(x->path, "/early")) {
        http_respond(x, 200, NULL, 0, STR("early"));
    } else if (str_eqz(x->path, "/stream")) {
        x->on_close = fuzz_stream_closed;
        http_stream_start(x, 200, NULL, 0);
        http_body_stream(x, fuzz_stream_body);
    }
}

static void fuzz_on_message(struct websocket *w, void *ctx, bool text, struct str data)
{
    (void)ctx;
    require(data.n <= WEBSOCKET_MESSAGE_MAX);
    websocket_send(w, text, data, STR_NONE);
}

static void fuzz_websocket_closed(struct websocket *w, void *ctx)
{
    (void)w, (void)ctx;
}

static const struct websocket_events fuzz_websocket_events = {.on_message = fuzz_on_message,
                                                              .on_close = fuzz_websocket_closed};

static void fuzz_on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    fuzz_requests++;
    require(x->method.n > 0 && x->path.n > 0);
    for (size_t i = 0; i < x->headers_len; i++)
        for (size_t k = 0; k < x->headers[i].name.n; k++)
            require(x->headers[i].name.p[k] < 'A' || x->headers[i].name.p[k] > 'Z');
    for (struct http_query q = {.rest = x->query}; http_query_next(x, &q);)
        require(q.name.p != NULL);
    if (websocket_wanted(x) && websocket_accept(x, NULL, &fuzz_websocket_events, NULL))
        return;
    http_respond(x, 200, NULL, 0, x->body);
}

static void fuzz_on_txn(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                        struct str raw)
{
    (void)ctx, (void)raw;
    grpc_reply(call, m);
}

static const struct grpc_method fuzz_methods[] = {
    {.path = "/etcdserverpb.KV/Txn",
     .request = &etcdserverpb__txn_request__descriptor,
     .on_message = fuzz_on_txn}};

static void fuzz_turn(int times)
{
    for (int i = 0; i < times; i++)
        uv_run(loop_uv(fuzz_loop), UV_RUN_NOWAIT);
}

static void fuzz_setup(void)
{
    fuzz_loop = loop_new();
    fuzz_grpc = grpc_server_new(&(struct grpc_server_options){.message_bytes_max = 4096});
    grpc_server_add(fuzz_grpc, fuzz_methods, 1);
    fuzz_server = http_server_new(&(struct http_server_options){.loops = &fuzz_loop,
                                                                .loops_len = 1,
                                                                .on_headers = fuzz_on_headers,
                                                                .on_request = fuzz_on_request,
                                                                .body_bytes_max = 8192});
}

static void fuzz_send(int fd, const void *data, size_t n)
{
    const char *p = data;
    while (n) {
        ssize_t w = send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (w <= 0)
            return; /* the server closed, or its pipeline is full: both are fine */
        p += w;
        n -= (size_t)w;
        fuzz_turn(1);
    }
}

/* One connection: `head`, the input in two pieces, then the end. Nothing may be left of it. */
static void fuzz_connection(const void *head, size_t head_n, const uint8_t *data, size_t size)
{
    int fds[2];
    if (!fuzz_loop)
        fuzz_setup();
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    http_server_accept(fuzz_server, fuzz_loop, fds[0], NULL);
    fuzz_turn(2);
    size_t cut = size ? data[0] % size : 0;
    fuzz_send(fds[1], head, head_n);
    fuzz_send(fds[1], data, cut);
    fuzz_turn(2);
    fuzz_send(fds[1], data + cut, size - cut);
    fuzz_turn(3);
    char answer[65536];
    while (recv(fds[1], answer, sizeof answer, MSG_DONTWAIT) > 0)
        fuzz_turn(1);
    close(fds[1]);
    for (int i = 0; i < 100 && http_server_connections(fuzz_server); i++)
        fuzz_turn(1);
    require(http_server_connections(fuzz_server) == 0);
}

#endif
