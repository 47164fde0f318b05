/*
 * SPDY/3.1 frames: see spdy.h.
 */
#include "net/spdy.h"
#include "base/mem.h"

#include <assert.h>
#include <stdlib.h>
#include <zlib.h>

#define VERSION 3
#define FLAG_FIN 1u
#define LENGTH_MAX 0xffffffu

enum frame_type {
    SYN_STREAM = 1,
    SYN_REPLY = 2,
    RST_STREAM = 3,
    SETTINGS = 4,
    PING = 6,
    GOAWAY = 7
};

/* ---- the dictionary ---- */

/* Strings that come with their length, and text without (SPDY/3, 2.6.10.1). */
static const char *const words[] = {"options",
                                    "head",
                                    "post",
                                    "put",
                                    "delete",
                                    "trace",
                                    "accept",
                                    "accept-charset",
                                    "accept-encoding",
                                    "accept-language",
                                    "accept-ranges",
                                    "age",
                                    "allow",
                                    "authorization",
                                    "cache-control",
                                    "connection",
                                    "content-base",
                                    "content-encoding",
                                    "content-language",
                                    "content-length",
                                    "content-location",
                                    "content-md5",
                                    "content-range",
                                    "content-type",
                                    "date",
                                    "etag",
                                    "expect",
                                    "expires",
                                    "from",
                                    "host",
                                    "if-match",
                                    "if-modified-since",
                                    "if-none-match",
                                    "if-range",
                                    "if-unmodified-since",
                                    "last-modified",
                                    "location",
                                    "max-forwards",
                                    "pragma",
                                    "proxy-authenticate",
                                    "proxy-authorization",
                                    "range",
                                    "referer",
                                    "retry-after",
                                    "server",
                                    "te",
                                    "trailer",
                                    "transfer-encoding",
                                    "upgrade",
                                    "user-agent",
                                    "vary",
                                    "via",
                                    "warning",
                                    "www-authenticate",
                                    "method",
                                    "get",
                                    "status",
                                    "200 OK",
                                    "version",
                                    "HTTP/1.1",
                                    "url",
                                    "public",
                                    "set-cookie",
                                    "keep-alive",
                                    "origin"};
static const char text[] =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 "
    "Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service "
    "UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, "
    "Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,application/"
    "xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8"
    "charset=iso-8859-1,utf-,*,enq=0.";

static void put_be32(uint8_t *out, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(v >> (24 - 8 * i));
}

static uint32_t get_be32(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

void spdy_dictionary(uint8_t out[SPDY_DICTIONARY_BYTES])
{
    size_t at = 0;
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        size_t n = strlen(words[i]);
        put_be32(out + at, (uint32_t)n);
        memcpy(out + at + 4, words[i], n);
        at += 4 + n;
    }
    memcpy(out + at, text, sizeof text - 1);
    assert(at + sizeof text - 1 == SPDY_DICTIONARY_BYTES);
}

/* ---- writing ---- */

struct spdy_writer {
    z_stream z;
};

struct spdy_writer *spdy_writer_new(void)
{
    uint8_t dictionary[SPDY_DICTIONARY_BYTES];
    struct spdy_writer *w = mem_zalloc(sizeof *w);
    spdy_dictionary(dictionary);
    /* A small window and memory: a connection opens a handful of streams. */
    if (deflateInit2(&w->z, Z_BEST_SPEED, Z_DEFLATED, 11, 4, Z_DEFAULT_STRATEGY) != Z_OK ||
        deflateSetDictionary(&w->z, dictionary, sizeof dictionary) != Z_OK)
        abort(); /* out of memory */
    return w;
}

void spdy_writer_free(struct spdy_writer *w)
{
    if (!w)
        return;
    deflateEnd(&w->z);
    mem_free(w);
}

static void control_head(struct buf *out, enum frame_type type, uint8_t flags, size_t length)
{
    buf_append_be32(out, 0x80000000u | VERSION << 16 | type);
    buf_append_be32(out, (uint32_t)flags << 24 | (uint32_t)length);
}

static void append_pair(struct buf *b, struct str name, struct str value)
{
    buf_append_be32(b, (uint32_t)name.n);
    buf_append_str(b, name);
    buf_append_be32(b, (uint32_t)value.n);
    buf_append_str(b, value);
}

static void compress_block(struct spdy_writer *w, const struct buf *plain, struct buf *out)
{
    size_t room = deflateBound(&w->z, plain->len) + 16; /* and the flush's marker */
    w->z.next_in = (Bytef *)plain->data;
    w->z.avail_in = (uInt)plain->len;
    w->z.next_out = (Bytef *)buf_reserve(out, room);
    w->z.avail_out = (uInt)room;
    int rc = deflate(&w->z, Z_SYNC_FLUSH);
    assert(rc == Z_OK && w->z.avail_in == 0 && w->z.avail_out > 0);
    (void)rc;
    out->len += room - w->z.avail_out;
}

void spdy_open(struct spdy_writer *w, struct buf *out, uint32_t stream,
               const struct http_header *headers, size_t headers_len)
{
    struct buf plain, block;
    buf_init(&plain);
    buf_init(&block);
    buf_append_be32(&plain, (uint32_t)headers_len);
    for (size_t i = 0; i < headers_len; i++)
        append_pair(&plain, headers[i].name, headers[i].value);
    compress_block(w, &plain, &block);
    assert(10 + block.len <= LENGTH_MAX);
    control_head(out, SYN_STREAM, 0, 10 + block.len);
    buf_append_be32(out, stream);
    buf_append_be32(out, 0);    /* associated to no other */
    buf_append(out, "\0\0", 2); /* priority, slot */
    buf_append(out, block.data, block.len);
    buf_free(&plain);
    buf_free(&block);
}

void spdy_data(struct buf *out, uint32_t stream, struct str bytes, bool fin)
{
    do {
        size_t n = MIN(bytes.n, (size_t)SPDY_DATA_MAX);
        bool last = n == bytes.n;
        buf_append_be32(out, stream);
        buf_append_be32(out, (fin && last ? FLAG_FIN << 24 : 0) | (uint32_t)n);
        buf_append(out, bytes.p, n);
        bytes = str_slice(bytes, n, bytes.n);
    } while (bytes.n);
}

void spdy_ping(struct buf *out, uint32_t id)
{
    control_head(out, PING, 0, 4);
    buf_append_be32(out, id);
}

void spdy_reset(struct buf *out, uint32_t stream, uint32_t status)
{
    control_head(out, RST_STREAM, 0, 8);
    buf_append_be32(out, stream);
    buf_append_be32(out, status);
}

/* ---- reading ---- */

static bool is_control(const struct spdy_reader *r)
{
    return r->head[0] & 0x80;
}

static enum frame_type type_of(const struct spdy_reader *r)
{
    return (enum frame_type)(r->head[2] << 8 | r->head[3]);
}

/* As much of a control frame as matters is here, or all of it. */
static int control_frame(struct spdy_reader *r, const struct spdy_events *e, void *ctx)
{
    uint32_t first = get_be32(r->start), second = get_be32(r->start + 4);
    size_t n = r->start_len;
    switch (type_of(r)) {
    case SYN_REPLY:
        if (n < 4)
            return ERR_INVALID;
        if ((r->head[4] & FLAG_FIN) && e->on_data)
            e->on_data(ctx, first & 0x7fffffffu, STR(""), true);
        return 0;
    case RST_STREAM:
        if (n < 8)
            return ERR_INVALID;
        if (e->on_reset)
            e->on_reset(ctx, first & 0x7fffffffu, second);
        return 0;
    case PING:
        if (n < 4)
            return ERR_INVALID;
        if (e->on_ping)
            e->on_ping(ctx, first);
        return 0;
    case GOAWAY:
        if (e->on_goaway)
            e->on_goaway(ctx);
        return 0;
    default:
        return 0; /* SETTINGS, HEADERS, WINDOW_UPDATE and what may come later */
    }
}

static int begin_frame(struct spdy_reader *r, const struct spdy_events *e, void *ctx)
{
    r->left = get_be32(r->head + 4) & LENGTH_MAX;
    r->start_len = 0;
    memset(r->start, 0, sizeof r->start);
    if (is_control(r))
        return (((uint32_t)r->head[0] & 0x7f) << 8 | r->head[1]) != VERSION ? ERR_INVALID
               : r->left                                                    ? 0
                         : control_frame(r, e, ctx);
    if (!r->left && e->on_data)
        e->on_data(ctx, get_be32(r->head), STR(""), r->head[4] & FLAG_FIN);
    return 0;
}

/* Some of the frame's content; returns how much of it was taken. */
static size_t take(struct spdy_reader *r, struct str bytes, const struct spdy_events *e, void *ctx,
                   int *rc)
{
    size_t n = MIN(bytes.n, (size_t)r->left);
    r->left -= (uint32_t)n;
    if (!is_control(r)) {
        if (e->on_data)
            e->on_data(ctx, get_be32(r->head), str_slice(bytes, 0, n),
                       !r->left && (r->head[4] & FLAG_FIN));
        return n;
    }
    size_t keep = MIN(n, sizeof r->start - r->start_len);
    memcpy(r->start + r->start_len, bytes.p, keep);
    r->start_len += keep;
    if (!r->left)
        *rc = control_frame(r, e, ctx);
    return n;
}

int spdy_read(struct spdy_reader *r, struct str bytes, const struct spdy_events *events, void *ctx)
{
    int rc = 0;
    while (bytes.n && rc == 0) {
        if (r->left) {
            bytes = str_slice(bytes, take(r, bytes, events, ctx, &rc), bytes.n);
        } else {
            size_t n = MIN(bytes.n, sizeof r->head - r->head_len);
            memcpy(r->head + r->head_len, bytes.p, n);
            r->head_len += n;
            bytes = str_slice(bytes, n, bytes.n);
            if (r->head_len == sizeof r->head)
                rc = begin_frame(r, events, ctx);
        }
        if (!r->left && r->head_len == sizeof r->head)
            r->head_len = 0;
    }
    return rc;
}
