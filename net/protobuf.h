/*
 * Unpacking protobuf-c messages from outside bytes.
 *
 * protobuf-c alone recurses without bound, cuts strings at a NUL and takes bad UTF-8. Here the
 * bytes are walked along the descriptor first: nesting ≤ 64, strings checked, and the memory the
 * structs will take bounded; then protobuf-c unpacks into an arena.
 */
#ifndef C8S_NET_PROTOBUF_H
#define C8S_NET_PROTOBUF_H

#include "base/arena.h"
#include "base/blob.h"
#include "base/error.h"
#include "base/str.h"
#include <protobuf-c/protobuf-c.h>

#define PB_DEPTH_MAX 64
#define PB_MEMORY_MAX (256u << 20) /* bytes of structs made from one message */

/* The message, living in the arena (never call free_unpacked on it). NULL and *err (ERR_INVALID or
 * ERR_LIMIT) if the bytes are not one. */
ProtobufCMessage *pb_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                            struct str bytes, struct error *err);
/* Packed bytes of a message, in the arena or as a blob. */
struct str pb_pack(struct arena *arena, const ProtobufCMessage *message);
struct blob *pb_pack_blob(const ProtobufCMessage *message);

#endif
