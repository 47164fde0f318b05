/*
 * WebSocket protocols that container runtimes do not speak, translated to SPDY/3.1 towards the node agent:
 *
 *   v5.channel.k8s.io          exec, attach: a message is a channel's number and bytes; 255 and a number closes that
 *                              channel (which v4 cannot say: the end of standard input)
 *   SPDY/3.1+portforward.k8s.io  the bytes of a SPDY connection, in messages
 *
 *     kubectl ⇄ struct websocket ⇄ translate ⇄ SPDY ⇄ struct http_upgrade ⇄ node agent ⇄ runtime
 *
 * The node is asked first: what it refuses is answered as if the WebSocket had never been asked for, so that the
 * client learns why.
 */
#ifndef C8S_APISERVER_PROXY_STREAM_TRANSLATE_H
#define C8S_APISERVER_PROXY_STREAM_TRANSLATE_H

#include "apiserver/rest/rest.h"
#include "net/http_pass.h"

#define PROTOCOL_V5 "v5.channel.k8s.io"
#define PROTOCOL_TUNNEL "SPDY/3.1+portforward.k8s.io"

/* Which streams are wanted. */
struct translate_streams {
    bool in, out, err, tty;
};

/* Answer an exec or attach request whose client offers PROTOCOL_V5. Takes over x->on_close and what
 * websocket_accept does. */
void translate_exec(struct rest *rq, const struct http_pass_target *target,
                    const struct translate_streams *streams);
/* Answer a portforward request whose client offers PROTOCOL_TUNNEL. */
void translate_tunnel(struct rest *rq, const struct http_pass_target *target);

#endif
