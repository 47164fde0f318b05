/*
 * gRPC framing, statuses and header texts, for both sides. See grpc.h.
 */
#include "net/grpc_internal.h"
#include "net/protobuf.h"
#include "base/mem.h"

#include <stdio.h>

#define FIRST_PIECE (64u * 1024)

const char *grpc_status_name(int status)
{
    static const char *const names[] = {
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    };
    return status >= 0 && status < (int)ARRAY_LEN(names) ? names[status] : "Unknown";
}

static const struct {
    int status, err;
} status_err[] = {
    {GRPC_OK, ERR_OK},
    {GRPC_CANCELLED, ERR_CANCELLED},
    {GRPC_INVALID_ARGUMENT, ERR_INVALID},
    {GRPC_DEADLINE_EXCEEDED, ERR_TIMEOUT},
    {GRPC_NOT_FOUND, ERR_NOT_FOUND},
    {GRPC_ALREADY_EXISTS, ERR_EXISTS},
    {GRPC_PERMISSION_DENIED, ERR_DENIED},
    {GRPC_UNAUTHENTICATED, ERR_DENIED},
    {GRPC_RESOURCE_EXHAUSTED, ERR_LIMIT},
    {GRPC_FAILED_PRECONDITION, ERR_CONFLICT},
    {GRPC_ABORTED, ERR_CONFLICT},
    {GRPC_OUT_OF_RANGE, ERR_COMPACTED},
    {GRPC_UNIMPLEMENTED, ERR_UNSUPPORTED},
    {GRPC_UNAVAILABLE, ERR_UNAVAILABLE},
    {GRPC_DATA_LOSS, ERR_CORRUPT},
};

int grpc_status_to_err(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(status_err); i++)
        if (status_err[i].status == status)
            return status_err[i].err;
    return ERR_INTERNAL;
}

int grpc_status_from_err(int err)
{
    for (size_t i = 0; i < ARRAY_LEN(status_err); i++)
        if (status_err[i].err == err)
            return status_err[i].status;
    return err == ERR_IO ? GRPC_UNAVAILABLE : GRPC_UNKNOWN;
}

void grpc_prefix(char out[GRPC_PREFIX_BYTES], size_t n)
{
    out[0] = 0;
    out[1] = (char)(n >> 24);
    out[2] = (char)(n >> 16);
    out[3] = (char)(n >> 8);
    out[4] = (char)n;
}

struct blob *grpc_frame(const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    struct blob *b = blob_new(GRPC_PREFIX_BYTES + n);
    grpc_prefix(b->data, n);
    protobuf_c_message_pack(message, (uint8_t *)b->data + GRPC_PREFIX_BYTES);
    return b;
}

/* Length and flag of a prefix. */
static enum grpc_deframe check_prefix(const struct grpc_deframer *d, const char *p, size_t *n)
{
    const unsigned char *u = (const unsigned char *)p;
    *n = (size_t)u[1] << 24 | (size_t)u[2] << 16 | (size_t)u[3] << 8 | u[4];
    if (u[0] != 0)
        return GRPC_DEFRAME_COMPRESSED;
    return *n > d->message_max ? GRPC_DEFRAME_TOO_LARGE : GRPC_DEFRAME_MESSAGE;
}

static void take(struct buf *to, struct str *in, size_t want)
{
    size_t n = MIN(want - MIN(want, to->len), in->n);
    buf_append(to, in->p, n);
    in->p += n;
    in->n -= n;
}

enum grpc_deframe grpc_deframe_next(struct grpc_deframer *d, struct str *in, struct str *message,
                                    size_t *announced)
{
    size_t n;
    struct buf *partial = &d->partial;
    if (partial->len == 0 && in->n >= GRPC_PREFIX_BYTES) {
        enum grpc_deframe e = check_prefix(d, in->p, &n);
        *announced = n;
        if (e != GRPC_DEFRAME_MESSAGE)
            return e;
        if (in->n - GRPC_PREFIX_BYTES >= n) {
            *message = str_make(in->p + GRPC_PREFIX_BYTES, n);
            in->p += GRPC_PREFIX_BYTES + n;
            in->n -= GRPC_PREFIX_BYTES + n;
            return GRPC_DEFRAME_MESSAGE;
        }
    }
    take(partial, in, GRPC_PREFIX_BYTES);
    if (partial->len < GRPC_PREFIX_BYTES)
        return GRPC_DEFRAME_MORE;
    enum grpc_deframe e = check_prefix(d, partial->data, &n);
    *announced = n;
    if (e != GRPC_DEFRAME_MESSAGE)
        return e;
    if (in->n)
        /* As much again as has come: whoever announces much holds no memory by that. */
        buf_reserve(partial,
                    MIN(n + GRPC_PREFIX_BYTES - partial->len, MAX(partial->len, FIRST_PIECE)));
    take(partial, in, GRPC_PREFIX_BYTES + n);
    if (partial->len < GRPC_PREFIX_BYTES + n)
        return GRPC_DEFRAME_MORE;
    *message = str_make(partial->data + GRPC_PREFIX_BYTES, n);
    partial->len = 0; /* the bytes stay until the next call */
    return GRPC_DEFRAME_MESSAGE;
}

struct str grpc_message_encode(struct arena *a, const char *message)
{
    size_t n = strlen(message), len = 0;
    char *out = arena_alloc(a, 3 * n + 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)message[i];
        if (c >= 0x20 && c <= 0x7e && c != '%')
            out[len++] = (char)c;
        else
            len += (size_t)sprintf(out + len, "%%%02X", c);
    }
    return str_make(out, len);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

char *grpc_message_decode(struct arena *a, struct str text)
{
    char *out = arena_alloc(a, text.n + 1);
    size_t len = 0;
    for (size_t i = 0; i < text.n; i++) {
        int hi = -1, lo = -1;
        if (text.p[i] == '%' && i + 2 < text.n) {
            hi = hex_digit(text.p[i + 1]);
            lo = hex_digit(text.p[i + 2]);
        }
        if (hi >= 0 && lo >= 0) {
            out[len++] = (char)(hi << 4 | lo);
            i += 2;
        } else {
            out[len++] = text.p[i];
        }
    }
    out[len] = 0;
    return out;
}

uint64_t grpc_timeout_parse(struct str text)
{
    uint64_t v;
    if (text.n < 2 || text.n > 9 || !str_to_u64(str_slice(text, 0, text.n - 1), &v))
        return UINT64_MAX;
    switch (text.p[text.n - 1]) {
    case 'H':
        return v * 3600000;
    case 'M':
        return v * 60000;
    case 'S':
        return v * 1000;
    case 'm':
        return v;
    case 'u':
        return (v + 999) / 1000;
    case 'n':
        return (v + 999999) / 1000000;
    default:
        return UINT64_MAX;
    }
}
