/* Inside net/ only: gRPC framing shared by server and client. */
#ifndef C8S_NET_GRPC_INTERNAL_H
#define C8S_NET_GRPC_INTERNAL_H

#include "base/buf.h"
#include "net/grpc.h"

#define GRPC_PREFIX_BYTES 5

/* Cuts a byte stream into length-prefixed messages. */
struct grpc_deframer {
    struct buf partial; /* beginning of a message whose end has not come */
    size_t message_max;
};
enum grpc_deframe {
    GRPC_DEFRAME_MORE,
    GRPC_DEFRAME_MESSAGE,
    GRPC_DEFRAME_TOO_LARGE,
    GRPC_DEFRAME_COMPRESSED
};
/*
 * The next message out of *in, which is advanced past what was used. The message is a slice of *in,
 * or of d->partial; it is valid until the next call. *announced: its length (also when too large).
 */
enum grpc_deframe grpc_deframe_next(struct grpc_deframer *d, struct str *in, struct str *message,
                                    size_t *announced);
void grpc_prefix(char out[GRPC_PREFIX_BYTES], size_t message_bytes);

/* grpc-message's percent encoding. */
struct str grpc_message_encode(struct arena *a, const char *message);
char *grpc_message_decode(struct arena *a, struct str text);
/* "100m", "5S": milliseconds; UINT64_MAX on anything else. */
uint64_t grpc_timeout_parse(struct str text);

#endif
