/*
 * What a request over HTTP/2 must keep to beyond framing (RFC 9113 §8.1.1–8.3): its pseudo-header
 * fields, which fields it may carry, and that the body is as long as announced.
 *
 * These rules are here and not nghttp2's, because nghttp2 refuses an :authority that is not a host, and
 * etcd's own clients of several versions send one like "http://10.0.0.1:2379" or "#initially=[…]".
 */
#ifndef C8S_NET_HTTP2_RULES_H
#define C8S_NET_HTTP2_RULES_H

#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>

struct http2_rules {
    uint8_t seen;      /* pseudo-header fields, a bit each */
    bool regular;      /* a regular field came: no pseudo-header field may follow */
    int64_t announced; /* content-length; -1: none */
    uint64_t body;     /* bytes so far */
};

void http2_rules_init(struct http2_rules *r);
/* A field of the request's header block, in order. False: the request is malformed. */
bool http2_rules_header(struct http2_rules *r, struct str name, struct str value);
/* A field of the trailers. */
bool http2_rules_trailer(struct str name, struct str value);
/* The header block is complete. */
bool http2_rules_headers_end(const struct http2_rules *r);
/* `n` more bytes of body; `end`: and no more come. */
bool http2_rules_body(struct http2_rules *r, uint64_t n, bool end);

#endif
