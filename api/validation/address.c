/*
 * IP addresses and prefixes in fields.
 */
#include "api/validation/internal.h"
#include <arpa/inet.h>

/* Both families as 16 bytes, IPv4 mapped. */
static bool parse_ip(const char *s, unsigned char out[16], bool *v6)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    *v6 = inet_pton(AF_INET6, s, out) == 1;
    if (*v6)
        return true;
    memcpy(out, mapped, sizeof mapped);
    return inet_pton(AF_INET, s, out + 12) == 1;
}

bool ip_is_v6(const char *s)
{
    return strchr(s, ':') != NULL;
}

bool parse_prefix(const char *s, struct ip_prefix *out)
{
    char address[INET6_ADDRSTRLEN + 1];
    const char *slash = strchr(s, '/');
    uint64_t bits;
    if (!slash || (size_t)(slash - s) >= sizeof address ||
        !str_to_u64(str_from(slash + 1), &bits) || strlen(slash + 1) > 3)
        return false;
    memcpy(address, s, (size_t)(slash - s));
    address[slash - s] = 0;
    if (!parse_ip(address, out->address, &out->v6) || bits > (out->v6 ? 128 : 32))
        return false;
    out->bits = (int)bits;
    return true;
}

bool prefix_contains(const struct ip_prefix *outer, const struct ip_prefix *inner)
{
    int bits = outer->bits + (outer->v6 ? 0 : 96);
    if (outer->v6 != inner->v6)
        return false;
    for (int i = 0; i < bits; i++) {
        unsigned char mask = (unsigned char)(0x80 >> (i % 8));
        if ((outer->address[i / 8] ^ inner->address[i / 8]) & mask)
            return false;
    }
    return true;
}

const char *validate_cidr(const char *s)
{
    struct ip_prefix p;
    return parse_prefix(s, &p) ? NULL
                               : "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
}

/* The IPv4 address or prefix without the zeros that lead its numbers. */
static const char *without_leading_zeros(struct arena *a, const char *s)
{
    char *out = arena_strdup(a, s), *to = out;
    for (const char *c = s; *c; c++) {
        bool first = c == s || c[-1] == '.' || c[-1] == '/';
        while (first && *c == '0' && c[1] >= '0' && c[1] <= '9')
            c++;
        *to++ = *c;
    }
    *to = 0;
    return out;
}

static bool is_mapped(const unsigned char ip[16], bool v6)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    return v6 && memcmp(ip, mapped, sizeof mapped) == 0;
}

static const char *ip_text(struct arena *a, const unsigned char ip[16], bool v6)
{
    char text[INET6_ADDRSTRLEN];
    inet_ntop(v6 ? AF_INET6 : AF_INET, v6 ? ip : ip + 12, text, sizeof text);
    return arena_strdup(a, text);
}

void check_strict_ip(struct field_errors *e, const struct path *at, const char *s)
{
    unsigned char ip[16];
    bool v6;
    if (!parse_ip(s, ip, &v6)) {
        bool zeros = parse_ip(without_leading_zeros(e->arena, s), ip, &v6);
        err_invalid(e, at, s,
                    zeros ? "must not have leading 0s"
                          : "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
        return;
    }
    const char *canonical = ip_text(e->arena, ip, v6);
    if (is_mapped(ip, v6))
        err_invalid(e, at, s, "must not be an IPv4-mapped IPv6 address");
    else if (strcmp(s, canonical) != 0)
        err_invalid(e, at, s,
                    arena_printf(e->arena, "must be in canonical form (\"%s\")", canonical));
}

void check_strict_cidr(struct field_errors *e, const struct path *at, const char *s)
{
    const char *stripped = without_leading_zeros(e->arena, s);
    struct ip_prefix p;
    if (!parse_prefix(stripped, &p)) {
        err_invalid(e, at, s, validate_cidr(""));
        return;
    }
    struct ip_prefix network = p;
    for (int bit = p.bits + (p.v6 ? 0 : 96); bit < 128; bit++)
        network.address[bit / 8] &= (unsigned char)~(0x80 >> (bit % 8));
    const char *canonical =
        arena_printf(e->arena, "%s/%d", ip_text(e->arena, network.address, p.v6), p.bits);
    if (strcmp(s, stripped) != 0)
        err_invalid(e, at, s, "must not have leading 0s in IP or prefix length");
    else if (is_mapped(p.address, p.v6))
        err_invalid(e, at, s, "must not have an IPv4-mapped IPv6 address");
    else if (memcmp(network.address, p.address, sizeof p.address) != 0)
        err_invalid(e, at, s, "must not have bits set beyond the prefix length");
    else if (strcmp(s, canonical) != 0)
        err_invalid(e, at, s,
                    arena_printf(e->arena, "must be in canonical form (\"%s\")", canonical));
}

void check_interface_address(struct field_errors *e, const struct path *at, const char *s)
{
    struct ip_prefix p;
    if (!parse_prefix(without_leading_zeros(e->arena, s), &p)) {
        err_invalid(e, at, s,
                    "must be a valid address in CIDR form, (e.g. 10.9.8.7/24 or 2001:db8::1/64)");
        return;
    }
    bool mapped = is_mapped(p.address, p.v6);
    if (mapped && p.bits > 32)
        p.bits -= 96;
    const char *canonical =
        arena_printf(e->arena, "%s/%d", ip_text(e->arena, p.address, p.v6 && !mapped), p.bits);
    if (strcmp(s, canonical) != 0)
        err_invalid(e, at, s,
                    arena_printf(e->arena, "must be in canonical form (\"%s\")", canonical));
}

void check_non_special_ip(struct field_errors *e, const struct path *at, const char *s)
{
    unsigned char a[16];
    bool v6;
    if (!parse_ip(s, a, &v6)) {
        err_invalid(e, at, s, "must be a valid IP address");
        return;
    }
    static const unsigned char zero[16], one[16] = {[15] = 1};
    const unsigned char *v4 = a + 12;
    if (v6 ? memcmp(a, zero, 16) == 0 : memcmp(v4, zero, 4) == 0)
        err_invalid(e, at, s, arena_printf(e->arena, "may not be unspecified (%s)", s));
    if (v6 ? memcmp(a, one, 16) == 0 : v4[0] == 127)
        err_invalid(e, at, s, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    if (v6 ? a[0] == 0xfe && (a[1] & 0xc0) == 0x80 : v4[0] == 169 && v4[1] == 254)
        err_invalid(e, at, s, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    if (v6 ? a[0] == 0xff && (a[1] & 0x0f) == 2 : v4[0] == 224 && v4[1] == 0 && v4[2] == 0)
        err_invalid(e, at, s,
                    "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
}

void check_one_per_family(struct field_errors *e, const struct path *at, char *const *ips, size_t n,
                          const char *message)
{
    if (n > 2 || (n == 2 && ip_is_v6(ips[0]) == ip_is_v6(ips[1])))
        err_invalid_list(e, at, ips, n, message);
}
