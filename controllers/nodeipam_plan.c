/*
 * A pool of address ranges (controllers/nodeipam.h).
 */
#include "controllers/nodeipam.h"

#include "base/mem.h"
#include "base/str.h"
#include <arpa/inet.h>
#include <stdio.h>

static bool parse(const char *cidr, uint32_t *base, int *prefix)
{
    const char *slash = strchr(cidr, '/');
    char address[INET_ADDRSTRLEN];
    int64_t bits;
    struct in_addr in;
    if (!slash || (size_t)(slash - cidr) >= sizeof address ||
        !str_to_i64(str_from(slash + 1), &bits) || bits < 0 || bits > 32)
        return false;
    memcpy(address, cidr, (size_t)(slash - cidr));
    address[slash - cidr] = '\0';
    if (inet_pton(AF_INET, address, &in) != 1)
        return false;
    *base = ntohl(in.s_addr);
    *prefix = (int)bits;
    return true;
}

int cidr_pool_init(struct cidr_pool *p, const char *cidr, int part_prefix, struct error *err)
{
    memset(p, 0, sizeof *p);
    if (!parse(cidr, &p->base, &p->prefix))
        return error_set(err, ERR_INVALID, "--cluster-cidr: `%s` is not an IPv4 range", cidr);
    if (part_prefix < p->prefix || part_prefix > 32 || part_prefix - p->prefix > 16)
        return error_set(err, ERR_INVALID,
                         "--node-cidr-mask-size: /%d does not divide %s into 1 to 65536 parts",
                         part_prefix, cidr);
    uint32_t mask = p->prefix ? ~0u << (32 - p->prefix) : 0;
    p->base &= mask;
    p->part_prefix = part_prefix;
    p->parts = 1u << (part_prefix - p->prefix);
    p->used = mem_zalloc(sizeof *p->used * ((p->parts + 63) / 64));
    return 0;
}

void cidr_pool_free(struct cidr_pool *p)
{
    mem_free(p->used);
    p->used = NULL;
}

static bool index_of(const struct cidr_pool *p, const char *cidr, uint32_t *index)
{
    uint32_t base;
    int prefix;
    if (!parse(cidr, &base, &prefix) || prefix != p->part_prefix || base < p->base)
        return false;
    uint64_t i = (uint64_t)(base - p->base) >> (32 - p->part_prefix);
    *index = (uint32_t)i;
    return i < p->parts;
}

bool cidr_pool_occupy(struct cidr_pool *p, const char *cidr)
{
    uint32_t i;
    if (!index_of(p, cidr, &i))
        return false;
    p->used[i / 64] |= 1ull << i % 64;
    return true;
}

void cidr_pool_release(struct cidr_pool *p, const char *cidr)
{
    uint32_t i;
    if (index_of(p, cidr, &i))
        p->used[i / 64] &= ~(1ull << i % 64);
}

int cidr_pool_take(struct cidr_pool *p, char out[CIDR_TEXT_MAX], struct error *err)
{
    for (uint32_t n = 0; n < p->parts; n++) {
        uint32_t i = (p->next + n) % p->parts;
        if (p->used[i / 64] & 1ull << i % 64)
            continue;
        p->used[i / 64] |= 1ull << i % 64;
        p->next = i + 1;
        uint64_t offset = (uint64_t)i << (32 - p->part_prefix);
        struct in_addr in = {.s_addr = htonl(p->base + (uint32_t)offset)};
        char address[INET_ADDRSTRLEN];
        inet_ntop(AF_INET, &in, address, sizeof address);
        snprintf(out, CIDR_TEXT_MAX, "%s/%d", address, p->part_prefix);
        return 0;
    }
    return error_set(err, ERR_LIMIT, "all %u node ranges of the cluster's range are used",
                     p->parts);
}
