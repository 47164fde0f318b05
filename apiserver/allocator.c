/*
 * Candidates for cluster IPs and node ports: see allocator.h.
 */
#include "apiserver/allocator.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <stdio.h>

#define LOW_MIN 16u
#define LOW_MAX 256u

int service_net_parse(const char *cidr, unsigned port_min, unsigned port_max,
                      struct service_net *out, struct error *err)
{
    char text[64];
    unsigned bits = 0;
    struct in_addr in;
    const char *slash = strchr(cidr, '/');
    int64_t n;
    if (!slash || (size_t)(slash - cidr) >= sizeof text || !str_to_i64(str_from(slash + 1), &n) ||
        n < 12 || n > 30)
        return error_set(
            err, ERR_INVALID,
            "--service-cluster-ip-range %s: want an IPv4 range like 10.96.0.0/12 (/12 to /30)",
            cidr);
    bits = (unsigned)n;
    memcpy(text, cidr, (size_t)(slash - cidr));
    text[slash - cidr] = 0;
    if (inet_pton(AF_INET, text, &in) != 1)
        return error_set(err, ERR_INVALID, "--service-cluster-ip-range %s: not an IPv4 address",
                         cidr);
    if (port_min < 1 || port_max > 65535 || port_min > port_max)
        return error_set(err, ERR_INVALID, "--service-node-port-range %u-%u: not a range of ports",
                         port_min, port_max);
    uint32_t size = 1u << (32 - bits);
    *out = (struct service_net){.base = ntohl(in.s_addr) & ~(size - 1),
                                .size = size,
                                .port_min = port_min,
                                .port_max = port_max};
    /* As upstream: min(max(16, size/16), 256) addresses are kept for static use. */
    out->low = MIN(MAX(LOW_MIN, size / 16), LOW_MAX);
    if (out->low > size / 2)
        out->low = 0;
    return 0;
}

static void format(const struct service_net *n, uint32_t offset, char out[INET_ADDRSTRLEN])
{
    struct in_addr in = {.s_addr = htonl(n->base + offset)};
    inet_ntop(AF_INET, &in, out, INET_ADDRSTRLEN);
}

void service_net_first(const struct service_net *n, char out[INET_ADDRSTRLEN])
{
    format(n, 1, out);
}

bool service_net_contains(const struct service_net *n, const char *ip)
{
    struct in_addr in;
    if (inet_pton(AF_INET, ip, &in) != 1)
        return false;
    uint32_t offset = ntohl(in.s_addr) - n->base;
    return ntohl(in.s_addr) >= n->base && offset > 0 && offset < n->size - 1;
}

bool service_net_candidate(const struct service_net *n, uint64_t seed, uint32_t i,
                           char out[INET_ADDRSTRLEN])
{
    uint32_t first = MAX(n->low, 1u), last = n->size - 2; /* inclusive offsets of the upper part */
    uint32_t upper = last - first + 1, lower = first - 1;
    if (i < upper)
        format(n, first + (uint32_t)((seed + i) % upper), out);
    else if (i - upper < lower)
        format(n, 1 + (uint32_t)((seed + i) % lower), out);
    else
        return false;
    return true;
}

bool service_port_candidate(const struct service_net *n, uint64_t seed, uint32_t i, int32_t *port)
{
    uint32_t count = n->port_max - n->port_min + 1;
    if (i >= count)
        return false;
    *port = (int32_t)(n->port_min + (uint32_t)((seed + i) % count));
    return true;
}
