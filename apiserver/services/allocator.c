/*
 * Candidates for cluster IPs and node ports: see allocator.h.
 */
#include "apiserver/services/allocator.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <stdio.h>

/* min(max(least, size / step), most), and none in a range that is hardly larger: as upstream. */
struct band {
    uint64_t least, most, step;
};
static const struct band address_band = {16, 256, 16}, port_band = {16, 128, 32};

static uint64_t band_size(const struct band *b, uint64_t size)
{
    return size <= b->least ? 0 : MIN(MAX(b->least, size / b->step), b->most);
}

/* ---- addresses ---- */

bool ip_address_parse(const char *text, struct ip_address *out)
{
    *out = (struct ip_address){.v6 = false};
    if (inet_pton(AF_INET, text, out->bytes) == 1)
        return true;
    out->v6 = true;
    return inet_pton(AF_INET6, text, out->bytes) == 1;
}

void ip_address_format(const struct ip_address *a, char out[INET6_ADDRSTRLEN])
{
    inet_ntop(a->v6 ? AF_INET6 : AF_INET, a->bytes, out, INET6_ADDRSTRLEN);
}

const char *ip_family(bool v6)
{
    return v6 ? "IPv6" : "IPv4";
}

static size_t address_size(const struct ip_address *a)
{
    return a->v6 ? 16 : 4;
}

/* Bits from `bits` on become zero. */
static void mask(struct ip_address *a, unsigned bits)
{
    for (size_t i = 0; i < address_size(a); i++) {
        unsigned from = (unsigned)i * 8;
        if (from >= bits)
            a->bytes[i] = 0;
        else if (bits - from < 8)
            a->bytes[i] &= (uint8_t)(0xff << (8 - (bits - from)));
    }
}

/* base + offset, which stays within the range: no carry beyond 64 bits. */
static struct ip_address at_offset(const struct ip_range *r, uint64_t offset)
{
    struct ip_address a = r->base;
    for (size_t i = address_size(&a); i-- > 0 && offset; offset >>= 8)
        a.bytes[i] |= (uint8_t)offset;
    return a;
}

static uint64_t offset_of(const struct ip_range *r, const struct ip_address *a)
{
    uint64_t offset = 0;
    size_t n = address_size(a);
    for (size_t i = n > 8 ? n - 8 : 0; i < n; i++)
        offset = offset << 8 | (uint8_t)(a->bytes[i] & ~r->base.bytes[i]);
    return offset;
}

/* ---- ranges ---- */

int ip_range_parse(struct str cidr, struct ip_range *out, struct error *err)
{
    char text[INET6_ADDRSTRLEN];
    ptrdiff_t slash = str_find_char(cidr, '/');
    int64_t bits;
    *out = (struct ip_range){0};
    if (slash < 0 || (size_t)slash >= sizeof text ||
        !str_to_i64(str_slice(cidr, (size_t)slash + 1, cidr.n), &bits))
        return error_set(err, ERR_INVALID, "%.*s: not a range like 10.96.0.0/12", STR_ARG(cidr));
    memcpy(text, cidr.p, (size_t)slash);
    text[slash] = 0;
    if (!ip_address_parse(text, &out->base))
        return error_set(err, ERR_INVALID, "%.*s: not an address", STR_ARG(cidr));
    bool v6 = out->base.v6;
    if (v6 ? bits < 64 || bits > 126 : bits < 8 || bits > 30)
        return error_set(err, ERR_INVALID, "%.*s: want a prefix length from %s", STR_ARG(cidr),
                         v6 ? "/64 to /126" : "/8 to /30");
    out->bits = (unsigned)bits;
    mask(&out->base, out->bits);
    unsigned host_bits = (v6 ? 128 : 32) - out->bits;
    uint64_t most = UINT64_MAX >> (64 - host_bits); /* the highest offset */
    out->last = v6 ? most : most - 1;               /* IPv4: that is the broadcast address */
    out->low = band_size(&address_band, MIN(most, UINT64_MAX - 1) + 1);
    return 0;
}

void ip_range_format(const struct ip_range *r, char out[INET6_ADDRSTRLEN + 4])
{
    char address[INET6_ADDRSTRLEN];
    ip_address_format(&r->base, address);
    snprintf(out, INET6_ADDRSTRLEN + 4, "%s/%u", address, r->bits);
}

bool ip_range_contains(const struct ip_range *r, const struct ip_address *a)
{
    struct ip_address masked = *a;
    if (a->v6 != r->base.v6)
        return false;
    mask(&masked, r->bits);
    return memcmp(masked.bytes, r->base.bytes, sizeof masked.bytes) == 0;
}

bool ip_range_usable(const struct ip_range *r, const struct ip_address *a)
{
    if (!ip_range_contains(r, a))
        return false;
    uint64_t offset = offset_of(r, a);
    return offset >= 1 && offset <= r->last;
}

bool ip_range_contains_range(const struct ip_range *outer, const struct ip_range *inner)
{
    return outer->bits <= inner->bits && ip_range_contains(outer, &inner->base);
}

bool ip_range_candidate(const struct ip_range *r, uint64_t seed, uint64_t i,
                        char out[INET6_ADDRSTRLEN])
{
    uint64_t first = MAX(r->low, 1u);
    uint64_t upper = r->last - first + 1, lower = first - 1, offset;
    if (i < upper)
        offset = first + (seed % upper + i) % upper;
    else if (i - upper < lower)
        offset = 1 + (seed % lower + (i - upper)) % lower;
    else
        return false;
    struct ip_address a = at_offset(r, offset);
    ip_address_format(&a, out);
    return true;
}

void ip_range_first(const struct ip_range *r, char out[INET6_ADDRSTRLEN])
{
    struct ip_address a = at_offset(r, 1);
    ip_address_format(&a, out);
}

/* ---- the flags ---- */

int service_net_parse(const char *cidrs, unsigned port_min, unsigned port_max,
                      struct service_net *out, struct error *err)
{
    struct str rest = str_from(cidrs), one;
    *out = (struct service_net){.port_min = port_min, .port_max = port_max};
    while (str_split(&rest, ',', &one)) {
        if (out->ranges_len == SERVICE_RANGES_MAX)
            return error_set(err, ERR_INVALID,
                             "--service-cluster-ip-range must not contain more than two entries");
        if (ip_range_parse(str_trim(one), &out->ranges[out->ranges_len], err) < 0)
            return error_wrap(err, "--service-cluster-ip-range");
        out->ranges_len++;
    }
    if (out->ranges_len == 2 && out->ranges[0].base.v6 == out->ranges[1].base.v6)
        return error_set(
            err, ERR_INVALID,
            "--service-cluster-ip-range[0] and --service-cluster-ip-range[1] must be of "
            "different IP family");
    if (port_min < 1 || port_max > 65535 || port_min > port_max)
        return error_set(err, ERR_INVALID, "--service-node-port-range %u-%u: not a range of ports",
                         port_min, port_max);
    out->port_low = (unsigned)band_size(&port_band, port_max - port_min + 1);
    return 0;
}

bool service_net_has(const struct service_net *n, bool v6)
{
    for (size_t i = 0; i < n->ranges_len; i++)
        if (n->ranges[i].base.v6 == v6)
            return true;
    return false;
}

bool service_port_candidate(const struct service_net *n, uint64_t seed, uint32_t i, int32_t *port)
{
    uint32_t lower = n->port_low, upper = n->port_max - n->port_min + 1 - lower;
    if (i < upper)
        *port = (int32_t)(n->port_min + lower + (uint32_t)((seed + i) % upper));
    else if (i - upper < lower)
        *port = (int32_t)(n->port_min + (uint32_t)((seed + i) % lower));
    else
        return false;
    return true;
}
