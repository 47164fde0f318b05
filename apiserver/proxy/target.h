/*
 * Where a proxied request goes: from "https:web:8443" of a path, and what is stored of that pod, service or node,
 * to an address.
 */
#ifndef C8S_APISERVER_PROXY_TARGET_H
#define C8S_APISERVER_PROXY_TARGET_H

#include "apiserver/rest/rest.h"

struct proxy_target {
    const char *address;            /* "host:port", "[v6]:port" */
    struct tls_context *tls;        /* NULL: plain */
    struct tls_context *stream_tls; /* the same for HTTP/1.1 */
};

/* "[scheme:]name[:port]" in its parts, each "" when absent; in the arena. False: not of that form. */
bool proxy_name_split(struct arena *a, const char *id, const char **scheme, const char **name,
                      const char **port);
/* An address that requests may be sent to: no loopback, link-local, multicast or unspecified one. */
bool proxy_address_allowed(const char *ip);
/* The request's target, by what is stored here. False with *bad set. */
bool proxy_target_find(struct rest *rq, struct proxy_target *out, struct status **bad);

#endif
