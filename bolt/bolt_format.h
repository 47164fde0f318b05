/*
 * The structures of a bbolt file, for bolt_write.c and bolt_read.c only. See bolt.h for their meaning. As
 * stored: little-endian, no padding.
 */
#ifndef C8S_BOLT_BOLT_FORMAT_H
#define C8S_BOLT_BOLT_FORMAT_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#define BOLT_MAGIC 0xED0CDAEDu
#define BOLT_VERSION 2u
#define BOLT_BUCKET_ENTRY 1u

enum bolt_page_flags { BOLT_BRANCH = 1, BOLT_LEAF = 2, BOLT_META = 4, BOLT_FREELIST = 16 };

struct bolt_page {
    uint64_t id;
    uint16_t flags, count;
    uint32_t overflow;
};

struct bolt_leaf_element {
    uint32_t flags, pos, key_size, value_size;
};

struct bolt_branch_element {
    uint32_t pos, key_size;
    uint64_t page;
};

struct bolt_bucket {
    uint64_t root, sequence;
};

struct bolt_meta {
    uint32_t magic, version, page_size, flags;
    struct bolt_bucket root;
    uint64_t freelist, pages, txid, checksum;
};

static_assert(sizeof(struct bolt_page) == 16 && sizeof(struct bolt_leaf_element) == 16 &&
                  sizeof(struct bolt_branch_element) == 16 && sizeof(struct bolt_meta) == 64,
              "as stored");

/* FNV-1a of the fields before it. */
static inline uint64_t bolt_checksum(const struct bolt_meta *m)
{
    uint64_t h = 0xcbf29ce484222325ull;
    for (size_t i = 0; i < offsetof(struct bolt_meta, checksum); i++)
        h = (h ^ ((const unsigned char *)m)[i]) * 0x100000001b3ull;
    return h;
}

#endif
