/*
 * WebSocket (RFC 6455), the server's side of one connection: an HTTP/1.1 exchange that asks for it becomes messages.
 * Framing is wslay's: fragments are put together, pings answered, text checked to be UTF-8.
 *
 *     if (websocket_wanted(x))
 *         websocket_accept(x, "v5.channel.k8s.io", &events, ctx);
 *
 * Everything on the exchange's loop. A message is at most message_max bytes, else the connection is closed (1009).
 */
#ifndef C8S_NET_WEBSOCKET_H
#define C8S_NET_WEBSOCKET_H

#include "net/http.h"

#define WEBSOCKET_MESSAGE_MAX (4u << 20)

enum websocket_code {
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_INTERNAL = 1011
};

struct websocket;

struct websocket_events {
    /* A whole message; its bytes are valid during the call. NULL: what the peer says is of no interest. */
    void (*on_message)(struct websocket *w, void *ctx, bool text, struct str data);
    /* The queue fell below the low-water mark. May be NULL. */
    void (*on_drain)(struct websocket *w, void *ctx);
    /* Once, last: the exchange is answered and w freed when it returns. Never from inside websocket_accept,
     * websocket_send and websocket_close. */
    void (*on_close)(struct websocket *w, void *ctx);
};

/* A request for WebSocket version 13 with a key, on HTTP/1.1? */
bool websocket_wanted(const struct http_exchange *x);
/* Does the client offer this subprotocol? */
bool websocket_offers(const struct http_exchange *x, const char *protocol);
/*
 * Become one, from the exchange's handler, when websocket_wanted(x). `protocol` is the subprotocol agreed on, NULL for
 * none. Takes over x->on_close, x->on_drain and x->tunnel. NULL: it is not wanted, or the client has gone; x is
 * still to be answered.
 */
struct websocket *websocket_accept(struct http_exchange *x, const char *protocol,
                                   const struct websocket_events *events, void *ctx);
/* Queue one message, made of two parts; dropped when the connection is closing. */
void websocket_send(struct websocket *w, bool text, struct str head, struct str body);
size_t websocket_queued(const struct websocket *w);
/* Nothing more is read until resumed; messages of bytes that were read before still come. */
void websocket_pause(struct websocket *w);
void websocket_resume(struct websocket *w);
/* Say goodbye and close: nothing more is received, on_close follows on a later iteration. */
void websocket_close(struct websocket *w, enum websocket_code code, const char *reason);

#endif
