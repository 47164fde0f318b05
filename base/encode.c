/*
 * Base64, hex, percent encoding, UTF-8 and CRC-32C.
 */
#include "base/encode.h"

#include <pthread.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

/* --- base64 (RFC 4648) --- */

static void encode64(struct buf *out, struct str in, const char *alphabet, bool pad)
{
    const unsigned char *p = (const unsigned char *)in.p;
    size_t i = 0;
    for (; in.n - i >= 3; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16 | (uint32_t)p[i + 1] << 8 | p[i + 2];
        buf_append(out,
                   (char[]){alphabet[v >> 18], alphabet[v >> 12 & 63], alphabet[v >> 6 & 63],
                            alphabet[v & 63]},
                   4);
    }
    size_t left = in.n - i;
    if (left == 0)
        return;
    uint32_t v = (uint32_t)p[i] << 16 | (left == 2 ? (uint32_t)p[i + 1] << 8 : 0);
    char tail[4] = {alphabet[v >> 18], alphabet[v >> 12 & 63],
                    left == 2 ? alphabet[v >> 6 & 63] : '=', '='};
    buf_append(out, tail, pad ? 4 : left + 1);
}

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void base64_encode(struct buf *out, struct str in)
{
    encode64(out, in, standard, true);
}

void base64url_encode(struct buf *out, struct str in)
{
    encode64(out, in, url, false);
}

/* Value of one character of either alphabet, or -1. */
static int sextet(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    return -1;
}

bool base64_decode(struct buf *out, struct str in)
{
    size_t padding = 0;
    while (padding < 2 && in.n && in.p[in.n - 1] == '=') {
        in.n--;
        padding++;
    }
    if (in.n % 4 == 1 || (padding && (in.n + padding) % 4 != 0))
        return false;
    uint32_t v = 0;
    for (size_t i = 0; i < in.n; i++) {
        int s = sextet(in.p[i]);
        if (s < 0)
            return false;
        v = v << 6 | (uint32_t)s;
        if (i % 4 == 3)
            buf_append(out, (char[]){(char)(v >> 16), (char)(v >> 8), (char)v}, 3);
    }
    /* The bits of the last character that no byte takes must be zero (RFC 4648 §3.5). */
    switch (in.n % 4) {
    case 2:
        if (v & 0xf)
            return false;
        buf_append_char(out, (char)(v >> 4));
        break;
    case 3:
        if (v & 0x3)
            return false;
        buf_append(out, (char[]){(char)(v >> 10), (char)(v >> 2)}, 2);
        break;
    default:
        break;
    }
    return true;
}

/* --- hex and percent --- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

void hex_encode(struct buf *out, struct str in)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        buf_append(out, (char[]){digits[c >> 4], digits[c & 15]}, 2);
    }
}

bool hex_decode(struct buf *out, struct str in)
{
    if (in.n % 2)
        return false;
    for (size_t i = 0; i < in.n; i += 2) {
        int hi = hex_digit(in.p[i]), lo = hex_digit(in.p[i + 1]);
        if (hi < 0 || lo < 0)
            return false;
        buf_append_char(out, (char)(hi << 4 | lo));
    }
    return true;
}

static bool unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void percent_encode(struct buf *out, struct str in)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        if (unreserved(in.p[i]))
            buf_append_char(out, in.p[i]);
        else
            buf_append(out, (char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
    }
}

bool percent_decode(struct buf *out, struct str in, bool plus_is_space)
{
    char *to = buf_reserve(out, in.n); /* never longer than what it is of */
    if (!to)
        return in.n == 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            int hi = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1;
            int lo = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
            if (hi < 0 || lo < 0)
                return false;
            c = (char)(hi << 4 | lo);
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        *to++ = c;
        out->len++;
    }
    return true;
}

/* --- UTF-8 (RFC 3629) --- */

/* Length of the valid sequence at p, 0 when there is none. The first byte is ≥ 0x80. */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    unsigned char lead = p[0];
    size_t n = lead >= 0xc2 && lead <= 0xdf   ? 2
               : (lead & 0xf0) == 0xe0        ? 3
               : lead >= 0xf0 && lead <= 0xf4 ? 4
                                              : 0;
    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    /* The second byte's range shrinks after these leads: overlong, surrogates, past U+10FFFF. */
    if ((lead == 0xe0 && p[1] < 0xa0) || (lead == 0xed && p[1] > 0x9f) ||
        (lead == 0xf0 && p[1] < 0x90) || (lead == 0xf4 && p[1] > 0x8f))
        return 0;
    return n;
}

bool utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t i = 0;
    while (i < s.n) {
        uint64_t word;
        if (s.n - i >= sizeof word) {
            memcpy(&word, p + i, sizeof word);
            if ((word & 0x8080808080808080ull) == 0) {
                i += sizeof word;
                continue;
            }
        }
        if (p[i] < 0x80) {
            i++;
            continue;
        }
        size_t n = utf8_sequence(p + i, s.n - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* --- CRC-32C (RFC 3720 appendix B.4), reflected polynomial 0x82f63b78 --- */

static uint32_t crc_table[256];
static pthread_once_t crc_table_once = PTHREAD_ONCE_INIT;

static void crc_table_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c >> 1 ^ (c & 1 ? 0x82f63b78u : 0);
        crc_table[i] = c;
    }
}

uint32_t crc32c_table(uint32_t crc, const void *data, size_t n)
{
    pthread_once(&crc_table_once, crc_table_init);
    const unsigned char *p = data;
    crc = ~crc;
    while (n--)
        crc = crc >> 8 ^ crc_table[(crc ^ *p++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_sse42(uint32_t crc, const void *data,
                                                               size_t n)
{
    const unsigned char *p = data;
    uint64_t c = (uint32_t)~crc;
    for (; n >= 8; n -= 8, p += 8) {
        uint64_t word;
        memcpy(&word, p, 8);
        c = _mm_crc32_u64(c, word);
    }
    while (n--)
        c = _mm_crc32_u8((uint32_t)c, *p++);
    return ~(uint32_t)c;
}
#endif

uint32_t crc32c(uint32_t crc, const void *p, size_t n)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2"))
        return crc32c_sse42(crc, p, n);
#endif
    return crc32c_table(crc, p, n);
}
