/*
 * Inside net/ only: nghttp2 sessions that take their memory from a loop's pool.
 */
#ifndef C8S_NET_HTTP2_MEM_H
#define C8S_NET_HTTP2_MEM_H

#include "net/pool.h"
#include <nghttp2/nghttp2.h>

/* The pool must outlive the session. */
nghttp2_mem http2_mem(struct pool *pool);

#endif
