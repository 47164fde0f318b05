/*
 * Encoding and decoding of stored versions (kvstore/record.h).
 */
#include "kvstore/record.h"
#include "base/encode.h"
#include "base/varint.h"
#include <assert.h>

enum { FLAG_TOMBSTONE = 1, FLAG_LEASE = 2, FLAG_KEY = 4, FLAGS_KNOWN = 7 };

/* Links are stored as distances from the record's own revision, 0 for none. */
static uint64_t link_distance(const struct kv_record *r, struct kv_revid to)
{
    return to.rev ? (uint64_t)(r->id.rev - to.rev) + 1 : 0;
}

static size_t link_size(const struct kv_record *r, struct kv_revid to)
{
    return varint_size(link_distance(r, to)) + (to.rev ? varint_size(to.sub) : 0);
}

static char *put_link(char *p, const struct kv_record *r, struct kv_revid to)
{
    assert(to.rev <= r->id.rev);
    p = varint_put(p, link_distance(r, to));
    return to.rev ? varint_put(p, to.sub) : p;
}

size_t kv_record_size(const struct kv_record *r)
{
    size_t n =
        5 + varint_size((uint64_t)r->id.rev) + varint_size(r->id.sub) + varint_size(r->depth);
    if (!r->tombstone)
        n += varint_size((uint64_t)(r->id.rev - r->create_rev)) + varint_size((uint64_t)r->version);
    if (r->lease)
        n += varint_size((uint64_t)r->lease);
    n += link_size(r, r->prev) + link_size(r, r->jump);
    if (r->key.n)
        n += varint_size(r->key.n) + r->key.n;
    return n + r->value.n;
}

static uint32_t record_crc(struct str seed, const char *p, size_t n)
{
    return crc32c(crc32c(0, seed.p, seed.n), p, n);
}

void kv_record_write(const struct kv_record *r, struct str seed, char *p, size_t size)
{
    char *at = p + 4;
    assert(r->tombstone ? r->value.n == 0 && r->lease == 0 : r->version >= 1 && r->create_rev >= 1);
    *at++ = (char)((r->tombstone ? FLAG_TOMBSTONE : 0) | (r->lease ? FLAG_LEASE : 0) |
                   (r->key.n ? FLAG_KEY : 0));
    at = varint_put(at, (uint64_t)r->id.rev);
    at = varint_put(at, r->id.sub);
    at = varint_put(at, r->depth);
    if (!r->tombstone) {
        at = varint_put(at, (uint64_t)(r->id.rev - r->create_rev));
        at = varint_put(at, (uint64_t)r->version);
    }
    if (r->lease)
        at = varint_put(at, (uint64_t)r->lease);
    at = put_link(at, r, r->prev);
    at = put_link(at, r, r->jump);
    if (r->key.n) {
        at = varint_put(at, r->key.n);
        memcpy(at, r->key.p, r->key.n);
        at += r->key.n;
    }
    if (r->value.n)
        memcpy(at, r->value.p, r->value.n);
    assert(at + r->value.n == p + size);
    uint32_t crc = record_crc(seed, p + 4, size - 4);
    memcpy(p, &crc, sizeof crc);
}

static struct kv_revid get_link(struct varint_reader *r, int64_t rev)
{
    struct kv_revid id = {0};
    uint64_t distance = varint_read(r);
    if (distance == 0)
        return id;
    if (rev < 1 || distance - 1 >= (uint64_t)rev) {
        r->failed = true;
        return id;
    }
    id.rev = rev - (int64_t)(distance - 1);
    id.sub = (uint32_t)varint_read(r);
    return id;
}

int kv_record_read(struct str in, struct str seed, struct kv_record *out, struct error *err)
{
    uint32_t crc;
    if (in.n < 8)
        return error_set(err, ERR_CORRUPT, "stored record has %zu bytes", in.n);
    memcpy(&crc, in.p, sizeof crc);
    if (crc != record_crc(seed, in.p + 4, in.n - 4))
        return error_set(err, ERR_CORRUPT, "stored record fails its checksum");
    return kv_record_parse(in, out, err);
}

int kv_record_parse(struct str in, struct kv_record *out, struct error *err)
{
    uint32_t crc;
    if (in.n < 8)
        return error_set(err, ERR_CORRUPT, "stored record has %zu bytes", in.n);
    memcpy(&crc, in.p, sizeof crc);
    struct varint_reader r = {.left = str_make(in.p + 5, in.n - 5)};
    unsigned flags = (unsigned char)in.p[4];
    *out = (struct kv_record){.tombstone = flags & FLAG_TOMBSTONE, .crc = crc};
    out->id.rev = (int64_t)varint_read(&r);
    out->id.sub = (uint32_t)varint_read(&r);
    out->depth = (uint32_t)varint_read(&r);
    if (!out->tombstone) {
        out->create_rev = (int64_t)((uint64_t)out->id.rev - varint_read(&r));
        out->version = (int64_t)varint_read(&r);
    }
    if (flags & FLAG_LEASE)
        out->lease = (int64_t)varint_read(&r);
    out->prev = get_link(&r, out->id.rev);
    out->jump = get_link(&r, out->id.rev);
    if (flags & FLAG_KEY)
        out->key = varint_read_bytes(&r);
    bool sane = out->id.rev >= 1 &&
                (out->tombstone ||
                 (out->create_rev >= 1 && out->create_rev <= out->id.rev && out->version >= 1));
    if (r.failed || flags & ~(unsigned)FLAGS_KNOWN || !sane)
        return error_set(err, ERR_CORRUPT, "stored record has a wrong form");
    out->value = r.left;
    return 0;
}

uint32_t kv_jump_depth(uint32_t depth)
{
    assert(depth >= 1);
    uint64_t left = depth, weight = 1;
    while (2 * weight + 1 <= left)
        weight = 2 * weight + 1;
    for (;;) { /* greedy: largest weights first; what is taken last is the jump */
        if (left == weight)
            return (uint32_t)(depth - weight);
        if (left > weight)
            left -= weight;
        else
            weight /= 2;
    }
}
