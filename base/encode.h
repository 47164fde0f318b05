/*
 * Text encodings and checksums of outside bytes.
 */
#ifndef C8S_BASE_ENCODE_H
#define C8S_BASE_ENCODE_H

#include "base/buf.h"

void base64_encode(struct buf *out, struct str in);    /* standard alphabet, padded */
void base64url_encode(struct buf *out, struct str in); /* URL alphabet, no padding (JWT) */
/* Both alphabets, padded or not, no white space; false on anything else (out then holds a part). */
bool base64_decode(struct buf *out, struct str in);
void hex_encode(struct buf *out, struct str in);
bool hex_decode(struct buf *out, struct str in);
void percent_encode(struct buf *out, struct str in); /* all but RFC 3986 unreserved */
bool percent_decode(struct buf *out, struct str in, bool plus_is_space);
/* Strict UTF-8: no overlong forms, surrogates or values past U+10FFFF. */
bool utf8_valid(struct str s);
/* CRC-32C (Castagnoli), SSE 4.2 where present. Chain by passing the previous value; start with 0.
 */
uint32_t crc32c(uint32_t crc, const void *p, size_t n);
/* The same, always by table: the fallback, public so that tests compare the two. */
uint32_t crc32c_table(uint32_t crc, const void *p, size_t n);

#endif
