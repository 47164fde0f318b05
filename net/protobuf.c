/*
 * Checked unpacking of protobuf-c messages. See protobuf.h.
 */
#include "net/protobuf.h"
#include "base/encode.h"
#include "base/varint.h"

struct walk {
    size_t memory;
    struct error *err;
};

static bool skip(struct str *in, uint64_t n)
{
    if (n > in->n)
        return false;
    in->p += n;
    in->n -= n;
    return true;
}

static int walk_message(struct walk *w, const ProtobufCMessageDescriptor *d, struct str in,
                        unsigned depth);

static int walk_bytes(struct walk *w, const ProtobufCFieldDescriptor *field, struct str value,
                      unsigned depth)
{
    w->memory += value.n + sizeof(void *);
    if (!field)
        return 0;
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return walk_message(w, field->descriptor, value, depth + 1);
    if (field->type == PROTOBUF_C_TYPE_STRING &&
        ((value.n && memchr(value.p, 0, value.n)) || !utf8_valid(value)))
        return error_set(w->err, ERR_INVALID, "field %s: not UTF-8 text", field->name);
    /* packed scalars may grow from one byte to eight */
    w->memory += field->type == PROTOBUF_C_TYPE_BYTES ? sizeof(ProtobufCBinaryData) : value.n * 7;
    return 0;
}

static int walk_message(struct walk *w, const ProtobufCMessageDescriptor *d, struct str in,
                        unsigned depth)
{
    if (depth > PB_DEPTH_MAX)
        return error_set(w->err, ERR_INVALID, "message %s: nested too deeply", d->name);
    w->memory += d->sizeof_message + 64;
    while (in.n) {
        uint64_t tag, value;
        if (!varint_take(&in, &tag) || tag >> 3 == 0 || tag >> 3 > UINT32_MAX >> 3)
            return error_set(w->err, ERR_INVALID, "message %s: bad tag", d->name);
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(d, (unsigned)(tag >> 3));
        bool ok = true;
        int rc = 0;
        switch (tag & 7) {
        case 0:
            ok = varint_take(&in, &value);
            w->memory += 8;
            break;
        case 1:
            ok = skip(&in, 8);
            w->memory += 8;
            break;
        case 2:
            ok = varint_take(&in, &value) && value <= in.n;
            if (ok)
                rc = walk_bytes(w, field, str_make(in.p, (size_t)value), depth);
            ok = ok && skip(&in, value);
            break;
        case 5:
            ok = skip(&in, 4);
            w->memory += 8;
            break;
        default: /* groups: nobody sends them any more */
            ok = false;
        }
        if (!ok)
            return error_set(w->err, ERR_INVALID, "message %s: truncated or malformed", d->name);
        if (rc < 0)
            return rc;
        if (w->memory > PB_MEMORY_MAX)
            return error_set(w->err, ERR_LIMIT, "message %s: too many parts", d->name);
    }
    return 0;
}

static void *allocate(void *arena, size_t n)
{
    return arena_alloc(arena, n);
}

static void release(void *arena, void *p)
{
    (void)arena, (void)p;
}

ProtobufCMessage *pb_unpack(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                            struct str bytes, struct error *err)
{
    struct walk w = {.err = err};
    if (walk_message(&w, descriptor, bytes, 0) < 0)
        return NULL;
    ProtobufCAllocator allocator = {.alloc = allocate, .free = release, .allocator_data = arena};
    ProtobufCMessage *m = protobuf_c_message_unpack(descriptor, &allocator, bytes.n,
                                                    (const uint8_t *)(bytes.p ? bytes.p : ""));
    if (!m)
        error_set(err, ERR_INVALID, "message %s: malformed", descriptor->name);
    return m;
}

struct str pb_pack(struct arena *arena, const ProtobufCMessage *message)
{
    size_t n = protobuf_c_message_get_packed_size(message);
    uint8_t *out = arena_alloc(arena, n);
    protobuf_c_message_pack(message, out);
    return str_make(out, n);
}

struct blob *pb_pack_blob(const ProtobufCMessage *message)
{
    struct blob *b = blob_new(protobuf_c_message_get_packed_size(message));
    protobuf_c_message_pack(message, (uint8_t *)b->data);
    return b;
}
