/*
 * A bearer token among the subprotocols of a WebSocket request: browsers can give no header of their own. It stands there as
 * "base64url.bearer.authorization.k8s.io." and the token in base64url without padding, beside at least one other subprotocol.
 */
#ifndef C8S_APISERVER_AUTH_AUTHN_WEBSOCKET_H
#define C8S_APISERVER_AUTH_AUTHN_WEBSOCKET_H

#include "base/arena.h"
#include "base/error.h"
#include "net/http.h"

/* Takes it out of the exchange's headers, so that nobody to whom the request is passed on sees it, and leaves it in `token`, in
 * the arena; empty: there is none. ERR_DENIED with the reason when it is not as it should be; it is taken out then, too.
 * Requests that want no WebSocket are left alone. */
int websocket_token_take(struct http_exchange *x, struct arena *a, struct str *token,
                         struct error *err);

#endif
