/* SPDY/3.1: the dictionary, the frames we write, the frames we read however they are cut. */
#include "base/mem.h"
#include "net/spdy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

static void the_dictionary_is_the_published_one(void **state)
{
    (void)state;
    uint8_t d[SPDY_DICTIONARY_BYTES];
    spdy_dictionary(d);
    assert_int_equal(adler32(1, d, sizeof d), 0xe3c6a7c2);
}

/* ---- writing ---- */

static uint32_t be32(const char *p)
{
    const uint8_t *u = (const uint8_t *)p;
    return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

/* What a peer's inflater makes of the header block of the frame at `at`; returns where the next one begins. */
static size_t inflate_block(z_stream *z, const struct buf *b, size_t at, char *out, size_t room)
{
    uint8_t d[SPDY_DICTIONARY_BYTES];
    size_t length = be32(b->data + at + 4) & 0xffffff;
    z->next_in = (Bytef *)b->data + at + 18;
    z->avail_in = (uInt)(length - 10);
    z->next_out = (Bytef *)out;
    z->avail_out = (uInt)room;
    int rc = inflate(z, Z_SYNC_FLUSH);
    if (rc == Z_NEED_DICT) {
        spdy_dictionary(d);
        assert_int_equal(inflateSetDictionary(z, d, sizeof d), Z_OK);
        rc = inflate(z, Z_SYNC_FLUSH);
    }
    assert_int_equal(rc, Z_OK);
    assert_int_equal(z->avail_in, 0);
    return at + 8 + length;
}

static void streams_are_opened_with_headers(void **state)
{
    (void)state;
    struct spdy_writer *w = spdy_writer_new();
    struct http_header h[2] = {{STR("streamtype"), STR("stdout")}, {STR("x"), STR("")}};
    struct buf b;
    char out[128];
    z_stream z = {0};
    buf_init(&b);
    inflateInit(&z);
    spdy_open(w, &b, 1, h, 2);
    size_t first = b.len;
    spdy_open(w, &b, 3, h, 1);
    assert_memory_equal(b.data, "\x80\x03\x00\x01\x00", 5);
    assert_int_equal(be32(b.data + 8), 1);
    assert_int_equal(be32(b.data + first + 8), 3);
    assert_int_equal(inflate_block(&z, &b, 0, out, sizeof out), first);
    static const char want[] = "\0\0\0\x02\0\0\0\x0astreamtype\0\0\0\x06stdout\0\0\0\x01x\0\0\0\0";
    assert_memory_equal(out, want, sizeof want - 1);
    /* the second one goes on in the same zlib stream */
    assert_int_equal(inflate_block(&z, &b, first, out, sizeof out), b.len);
    assert_memory_equal(out, "\0\0\0\x01\0\0\0\x0astreamtype\0\0\0\x06stdout", 28);
    inflateEnd(&z);
    buf_free(&b);
    spdy_writer_free(w);
}

static void data_is_cut_into_frames(void **state)
{
    (void)state;
    struct buf b;
    char *bytes = mem_zalloc(2 * SPDY_DATA_MAX + 5);
    buf_init(&b);
    spdy_data(&b, 7, str_make(bytes, 2 * SPDY_DATA_MAX + 5), true);
    assert_int_equal(b.len, 3 * 8 + 2 * SPDY_DATA_MAX + 5);
    assert_memory_equal(b.data, "\0\0\0\x07\0\0\x80\0", 8);
    assert_memory_equal(b.data + 2 * (8 + SPDY_DATA_MAX), "\0\0\0\x07\x01\0\0\x05", 8);
    buf_clear(&b);
    spdy_data(&b, 7, str_make(bytes, SPDY_DATA_MAX), true);
    assert_memory_equal(b.data, "\0\0\0\x07\x01\0\x80\0", 8);
    assert_int_equal(b.len, 8 + SPDY_DATA_MAX);
    buf_clear(&b);
    spdy_data(&b, 7, STR(""), true);
    assert_int_equal(b.len, 8);
    assert_memory_equal(b.data, "\0\0\0\x07\x01\0\0\0", 8);
    buf_clear(&b);
    spdy_ping(&b, 2);
    spdy_reset(&b, 5, 3);
    assert_memory_equal(
        b.data, "\x80\x03\0\x06\0\0\0\x04\0\0\0\x02\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x03",
        28);
    buf_free(&b);
    mem_free(bytes);
}

/* ---- reading ---- */

#define BYTES(s)         \
    {                    \
        s, sizeof(s) - 1 \
    }

/* Frames, and what the reader says of them: d STREAM bytes [.] (fin), r STREAM STATUS, p ID, g, ! (error). */
static const struct {
    struct str frames;
    const char *want;
} readings[] = {
    {BYTES("\0\0\0\x05\0\0\0\x03"
           "abc"),
     "d5 abc "},
    {BYTES("\0\0\0\x05\x01\0\0\x03"
           "abc"),
     "d5 abc. "},
    {BYTES("\0\0\0\x05\x01\0\0\0"), "d5 . "},
    {BYTES("\0\0\0\x05\0\0\0\0\0\0\0\x07\0\0\0\x01z"), "d5  d7 z "},
    {BYTES("\x80\x03\0\x02\0\0\0\x08\0\0\0\x01WXYZ"), ""},                 /* SYN_REPLY */
    {BYTES("\x80\x03\0\x02\x01\0\0\x08\0\0\0\x01WXYZ"), "d1 . "},          /* with FIN */
    {BYTES("\x80\x03\0\x03\0\0\0\x08\0\0\0\x05\0\0\0\x02"), "r5 2 "},      /* RST_STREAM */
    {BYTES("\x80\x03\0\x04\0\0\0\x0c\0\0\0\x01\0\0\0\x04\0\0\0\x64"), ""}, /* SETTINGS */
    {BYTES("\x80\x03\0\x06\0\0\0\x04\0\0\0\x02"), "p2 "},
    {BYTES("\x80\x03\0\x07\0\0\0\x08\0\0\0\0\0\0\0\0"), "g "},
    {BYTES("\x80\x03\0\x08\0\0\0\x06\0\0\0\x01zz\0\0\0\x01\0\0\0\x01q"), "d1 q "}, /* HEADERS */
    {BYTES("\x80\x03\0\x09\0\0\0\x08\0\0\0\x01\0\0\x10\0\0\0\0\x01\0\0\0\x01q"),
     "d1 q "},                                                       /* WINDOW_UPDATE */
    {BYTES("\x80\x03\0\x63\0\0\0\0\0\0\0\x01\0\0\0\x01q"), "d1 q "}, /* not known, empty */
    {BYTES("\x80\x02\0\x06\0\0\0\x04\0\0\0\x02"), "!"},              /* SPDY/2 */
    {BYTES("\x80\x03\0\x06\0\0\0\x02\0\0"), "!"},                    /* too short */
    {BYTES("\x80\x03\0\x06\0\0\0\0"), "!"},
    {BYTES("\x80\x03\0\x03\0\0\0\x04\0\0\0\x01"), "!"},
    {BYTES("\x80\x03\0\x02\0\0\0\x02\0\0"), "!"},
    {BYTES("HTTP/1.1 400 Bad Request\r\n"),
     ""}, /* a data frame that goes on: nothing is kept of it */
};

struct transcript {
    struct buf text;
    uint32_t stream; /* whose bytes came last, to join pieces; 0: other */
};

static void end_data(struct transcript *t)
{
    if (t->stream)
        buf_append_char(&t->text, ' ');
    t->stream = 0;
}

static void on_data(void *ctx, uint32_t stream, struct str bytes, bool fin)
{
    struct transcript *t = ctx;
    if (t->stream != stream) {
        end_data(t);
        buf_printf(&t->text, "d%u ", stream);
    }
    t->stream = stream;
    buf_append_str(&t->text, bytes);
    if (fin)
        buf_append_char(&t->text, '.');
}

static void on_reset(void *ctx, uint32_t stream, uint32_t status)
{
    struct transcript *t = ctx;
    end_data(t);
    buf_printf(&t->text, "r%u %u ", stream, status);
}

static void on_ping(void *ctx, uint32_t id)
{
    struct transcript *t = ctx;
    end_data(t);
    buf_printf(&t->text, "p%u ", id);
}

static void on_goaway(void *ctx)
{
    struct transcript *t = ctx;
    end_data(t);
    buf_append_cstr(&t->text, "g ");
}

static const struct spdy_events events = {on_data, on_reset, on_ping, on_goaway};

static void check_reading(struct str frames, const char *want, size_t piece)
{
    struct transcript t = {.stream = 0};
    struct spdy_reader r = {.left = 0};
    int rc = 0;
    buf_init(&t.text);
    for (size_t at = 0; at < frames.n && rc == 0; at += piece) {
        /* its own allocation: a byte too far is seen */
        struct str part = str_slice(frames, at, at + piece);
        char *copy = mem_dup(part.p, part.n);
        rc = spdy_read(&r, str_make(copy, part.n), &events, &t);
        mem_free(copy);
    }
    end_data(&t);
    if (rc < 0)
        buf_append_char(&t.text, '!');
    if (*want || !t.text.len || t.text.data[0] != 'd') /* the last row has bytes of its own */
        assert_string_equal(buf_cstr(&t.text), want);
    buf_free(&t.text);
}

static void frames_are_read_however_they_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(readings); i++)
        for (size_t piece = 1; piece <= readings[i].frames.n; piece++)
            check_reading(readings[i].frames, readings[i].want, piece);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_dictionary_is_the_published_one),
        cmocka_unit_test(streams_are_opened_with_headers),
        cmocka_unit_test(data_is_cut_into_frames),
        cmocka_unit_test(frames_are_read_however_they_are_cut),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
