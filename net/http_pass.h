/*
 * Passing an upgraded connection on: a request that asks for an upgrade (SPDY, WebSocket) is sent to another
 * server, and once that has agreed (101) bytes go both ways as they come, its answer first. Neither side is
 * read faster than the other takes it. What it answers instead is passed back, and then the connection ends.
 *
 *     client ──HTTP/1.1, Upgrade──▶ exchange ⇄ struct http_pass ⇄ stream ──▶ node agent, container runtime
 */
#ifndef C8S_NET_HTTP_PASS_H
#define C8S_NET_HTTP_PASS_H

#include "net/http.h"

struct http_pass_target {
    const char *address; /* "host:port" */
    const char *path;    /* and query, encoded */
    struct tls_context *tls;
    uint64_t connect_timeout_ms; /* 0: 10 s */
};

/*
 * Pass `x` on, from its handler, when http_tunnel_wanted(x). The request's headers go along, but credentials
 * (authorization, cookies, impersonation) do not. `failed` is called when the server cannot be reached or answers
 * nothing, with the exchange still unanswered; also when the client went meanwhile. Otherwise the exchange is answered here.
 * Takes over x->on_close, x->on_drain and x->tunnel; x->user and x->on_done stay the caller's.
 */
void http_pass(struct http_exchange *x, const struct http_pass_target *target,
               void (*failed)(struct http_exchange *x, const char *why));

#endif
