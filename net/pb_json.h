/*
 * protobuf-c messages as JSON and back, along their descriptors: the proto3 mapping as etcd's JSON gateway
 * speaks it. Written: field names as in the .proto file, 64-bit numbers as strings, bytes in standard base64,
 * enums by name, what is zero or empty left out. Read: field names of the .proto file or in lowerCamelCase,
 * numbers as numbers or strings, either base64 alphabet with or without padding, enums by name or number,
 * null for "not given", unknown fields skipped.
 */
#ifndef C8S_NET_PB_JSON_H
#define C8S_NET_PB_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include <protobuf-c/protobuf-c.h>

#define PB_JSON_DEPTH_MAX 64

void pb_json_write(struct buf *out, const ProtobufCMessage *message);

/* A JSON object (empty text: an empty message), in `arena`. NULL and *err: ERR_INVALID, ERR_LIMIT. */
ProtobufCMessage *pb_json_read(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                               struct str json, struct error *err);

/*
 * Where the first JSON object of a stream of them ends: 0 when it is not all there yet, −1 when what is
 * there is none. White space before it counts as part of it. Looks at brackets and strings only.
 */
struct pb_json_scan { /* zero at the beginning of each object */
    size_t at;
    unsigned depth;
    bool in_string, escaped;
};
ptrdiff_t pb_json_end(struct pb_json_scan *scan, struct str text);

#endif
