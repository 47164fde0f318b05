/*
 * The client's side of an upgraded connection: a request that asks for another protocol is sent, and when the server
 * agrees (101) the connection carries bytes. One connection, no pool; on one loop.
 */
#ifndef C8S_NET_HTTP_UPGRADE_H
#define C8S_NET_HTTP_UPGRADE_H

#include "net/http.h"
#include "net/http_pass.h"

struct http_upgrade;

struct http_upgrade_events {
    void (*on_open)(struct http_upgrade *u, void *ctx); /* the server agreed */
    void (*on_data)(struct http_upgrade *u, void *ctx, struct str data);
    void (*on_drain)(struct http_upgrade *u, void *ctx); /* may be NULL */
    /* Once, last, never from inside the functions below; u is freed when it returns. `status`: what the server
     * answered instead of 101, and `reason` the beginning of its body; 0: `reason` says how the connection ended. */
    void (*on_close)(struct http_upgrade *u, void *ctx, int status, const char *reason);
};

/* POST target->path; `headers` (lower-case names) have to say which protocol. All is copied. */
struct http_upgrade *http_upgrade_new(struct loop *loop, const struct http_pass_target *target,
                                      const struct http_header *headers, size_t headers_len,
                                      const struct http_upgrade_events *events, void *ctx);
/* From on_open on. */
void http_upgrade_write(struct http_upgrade *u, struct str data);
size_t http_upgrade_queued(const struct http_upgrade *u);
void http_upgrade_pause(struct http_upgrade *u);
void http_upgrade_resume(struct http_upgrade *u);
/* Write what is queued, close; on_close follows. */
void http_upgrade_close(struct http_upgrade *u);

#endif
