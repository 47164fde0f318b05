/*
 * What the files of the REST client share; not for others.
 */
#ifndef C8S_CLIENT_CLIENT_INTERNAL_H
#define C8S_CLIENT_CLIENT_INTERNAL_H

#include "client/client.h"
#include "base/buf.h"
#include "net/http_client.h"
#include "net/loop.h"

#define CALL_TIMEOUT_MS 30000
#define ERROR_BODY_MAX 65536 /* of a failed stream: enough for any Status */

#define MEDIA_TYPE_PROTOBUF "application/vnd.kubernetes.protobuf"

struct client {
    struct loop *loop;
    struct http_client *http;
    char *user_agent;
    struct client_config *config; /* deep copy, for client_clone */
    struct arena config_arena;
    struct loop_timer token_timer; /* token_file is read again */
    struct list waiting;           /* calls that wait for Retry-After; I/O thread only */
    bool closing;                  /* nothing is sent again; I/O thread only */
};

/* Path with query of a resource request; name NULL for the collection. Sticky failure of `out` only
 * past its limit. */
void request_path(struct buf *out, const struct resource *r, const char *ns, const char *name,
                  const struct client_options *o, bool write);
/* "key=value" with & or ? in front, value percent-encoded; nothing when value is NULL or "". */
void request_query(struct buf *path, const char *key, const char *value);
/* `list`: the answer is a list, which has a form of its own. */
const char *request_accept(const struct client_options *o, bool list);

/* An HTTP status and its body as an error (see the table in client.h). */
int status_to_error(int http_status, const char *content_type, struct str body,
                    struct client_status *status, struct error *err);
/* A Status message as an error. */
int status_message_to_error(const Meta__V1__Status *s, struct client_status *status,
                            struct error *err);
/* Decode a body by its content type: JSON or envelope. */
int decode_body(struct arena *a, const struct schema_message *m, const char *content_type,
                struct str body, void **out, struct error *err);

/* One buffered HTTP exchange from a worker thread, with 429/503 Retry-After obeyed until the
 * time-out. The client may be freed meanwhile: ERR_CANCELLED. */
int client_exchange(struct client *c, const struct http_request *request, uint32_t timeout_ms,
                    struct arena *a, struct http_response *out, struct error *err);
/* One buffered HTTP exchange without waiting, with Retry-After obeyed, too. Everything is copied. */
typedef void exchange_done_fn(void *ctx, const struct http_response *r, const struct error *err);
void client_exchange_async(struct client *c, const char *method, struct str path,
                           const char *accept, const char *content_type, struct str body,
                           uint32_t timeout_ms, exchange_done_fn *done, void *ctx);
/* The client ends: what waits to be sent again will not be. I/O thread. */
void exchanges_cancel_waiting(struct client *c);

#endif
