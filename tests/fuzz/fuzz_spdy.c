/*
 * SPDY frames as a node agent may send them: in one piece and byte by byte they mean the same.
 */
#include "net/spdy.h"
#include "tests/fuzz/fuzz.h"

struct sum {
    uint64_t bytes, fins, others;
};

static void on_data(void *ctx, uint32_t stream, struct str bytes, bool fin)
{
    struct sum *s = ctx;
    require(stream <= INT32_MAX);
    for (size_t i = 0; i < bytes.n; i++)
        s->bytes = s->bytes * 31 + (uint8_t)bytes.p[i] + stream;
    s->fins += fin;
}

static void on_reset(void *ctx, uint32_t stream, uint32_t status)
{
    struct sum *s = ctx;
    s->others = s->others * 31 + stream + status;
}

static void on_ping(void *ctx, uint32_t id)
{
    struct sum *s = ctx;
    s->others = s->others * 31 + id;
}

static void on_goaway(void *ctx)
{
    ((struct sum *)ctx)->others++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct spdy_events events = {on_data, on_reset, on_ping, on_goaway};
    struct spdy_reader whole = {.left = 0}, pieces = {.left = 0};
    struct sum a = {0}, b = {0};
    struct str in = fuzz_input(data, size);
    int rc = spdy_read(&whole, in, &events, &a), piecewise = 0;
    for (size_t i = 0; i < size && piecewise == 0; i++)
        piecewise = spdy_read(&pieces, str_slice(in, i, i + 1), &events, &b);
    require(rc == piecewise);
    require(a.bytes == b.bytes && a.fins == b.fins && a.others == b.others);
    require(rc < 0 || (whole.left == pieces.left && whole.head_len == pieces.head_len));
    fuzz_input_free(in);
    return 0;
}
