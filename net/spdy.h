/*
 * SPDY/3.1 frames, as much as a client of Kubernetes' stream protocols needs: streams are opened with headers, carry
 * bytes both ways and are half-closed; pings are answered.
 *
 *     control  │1│ version 3 (15) │ type (16) │ flags (8) │ length (24) │ …
 *     data     │0│ stream (31)                │ flags (8) │ length (24) │ bytes
 *
 * Header blocks are compressed with one zlib stream per direction that starts from the protocol's dictionary. Those
 * that come are skipped: nothing is wanted from them. Windows are not kept: neither Kubernetes nor containerd does
 * (their peers would wait for ever), TCP's own has to do. Nothing is buffered that comes, however long a frame
 * claims to be.
 */
#ifndef C8S_NET_SPDY_H
#define C8S_NET_SPDY_H

#include "base/buf.h"
#include "base/error.h"
#include "net/http.h"

/* ---- writing ---- */

struct spdy_writer;

struct spdy_writer *spdy_writer_new(void);
void spdy_writer_free(struct spdy_writer *w);
/* Append frames to `out`. Streams that a client opens have odd ids, in ascending order. */
void spdy_open(struct spdy_writer *w, struct buf *out, uint32_t stream,
               const struct http_header *headers, size_t headers_len);
/* Any number of frames of at most SPDY_DATA_MAX bytes; `fin` half-closes the stream after them. */
void spdy_data(struct buf *out, uint32_t stream, struct str bytes, bool fin);
void spdy_ping(struct buf *out, uint32_t id);
void spdy_reset(struct buf *out, uint32_t stream, uint32_t status);
#define SPDY_DATA_MAX 32768u

/* ---- reading ---- */

struct spdy_reader {
    uint8_t head[8];
    size_t head_len;
    uint32_t left;    /* of the frame's length */
    uint8_t start[8]; /* of a control frame's content */
    size_t start_len;
};

/* Called in the order of the frames; each may be NULL. */
struct spdy_events {
    void (*on_data)(void *ctx, uint32_t stream, struct str bytes,
                    bool fin); /* in pieces; fin on the last */
    void (*on_reset)(void *ctx, uint32_t stream, uint32_t status);
    void (*on_ping)(void *ctx, uint32_t id);
    void (*on_goaway)(void *ctx);
};

/* Take in bytes. ERR_INVALID: not SPDY/3; nothing further may be read. */
int spdy_read(struct spdy_reader *r, struct str bytes, const struct spdy_events *events, void *ctx);

/* The dictionary that header blocks are compressed with. */
#define SPDY_DICTIONARY_BYTES 1423
void spdy_dictionary(uint8_t out[SPDY_DICTIONARY_BYTES]);

#endif
