/*
 * What clients of the store send: gRPC's frames, the requests in them, the same as JSON. The first byte chooses
 * which, the second a message type or where to cut.
 */
#include "kvstore/etcd/internal.h"
#include "net/grpc_internal.h"
#include "net/pb_json.h"
#include "net/protobuf.h"
#include "proto/etcd/auth_rpc.pb-c.h"
#include "tests/fuzz/fuzz.h"
#include <string.h>

static const ProtobufCMessageDescriptor *const types[] = {
    &etcdserverpb__range_request__descriptor,
    &etcdserverpb__put_request__descriptor,
    &etcdserverpb__delete_range_request__descriptor,
    &etcdserverpb__txn_request__descriptor,
    &etcdserverpb__watch_request__descriptor,
    &etcdserverpb__member_add_request__descriptor,
    &etcdserverpb__alarm_request__descriptor,
    &etcdserverpb__auth_role_grant_permission_request__descriptor,
};

static const ProtobufCMessageDescriptor *type_of(uint8_t choice)
{
    return types[choice % ARRAY_LEN(types)];
}

/* What is read can be written, and is the same when read again. */
static void json(uint8_t choice, struct str in)
{
    struct arena a;
    struct error err = {0};
    arena_init(&a);
    const ProtobufCMessage *m = pb_json_read(&a, type_of(choice), in, &err);
    if (m) {
        struct buf first = {0}, second = {0};
        pb_json_write(&first, m);
        const ProtobufCMessage *again = pb_json_read(&a, type_of(choice), buf_str(&first), &err);
        require(again != NULL);
        pb_json_write(&second, again);
        require(str_eq(buf_str(&first), buf_str(&second)));
        buf_free(&first);
        buf_free(&second);
    } else {
        require(err.message[0] != '\0');
    }
    arena_free(&a);
}

/* An object's end is the same however its bytes come. */
static void json_stream(uint8_t cut, struct str in)
{
    struct pb_json_scan whole = {0}, pieces = {0};
    ptrdiff_t end = pb_json_end(&whole, in), found = 0;
    for (size_t n = MIN((size_t)cut % 16, in.n); found == 0 && n <= in.n; n++)
        found = pb_json_end(&pieces, str_make(in.p, n));
    require(found == end);
}

static void use(const ProtobufCMessage *m, struct arena *a)
{
    struct etcd_server s = {.config = {.txn_ops_max = 128, .request_bytes_max = 65536}};
    const char *message = NULL;
    int status = 0;
    struct kv_range_request range;
    struct kv_put put;
    struct kv_delete delete;
    struct kv_txn_request txn;
    if (m->descriptor == types[0])
        status = etcd_range_request((const void *)m, &range, &message);
    else if (m->descriptor == types[1])
        status = etcd_put_request((const void *)m, &put, &message);
    else if (m->descriptor == types[2])
        status = etcd_delete_request((const void *)m, &delete, &message);
    else if (m->descriptor == types[3])
        status = etcd_txn_request(&s, (const void *)m, a, &txn, &message);
    require(status == 0 || message != NULL);
}

static void request(uint8_t choice, struct str in)
{
    struct arena a;
    struct error err = {0};
    arena_init(&a);
    const ProtobufCMessage *m = pb_unpack(&a, type_of(choice), in, &err);
    if (m)
        use(m, &a);
    else
        require(err.message[0] != '\0');
    arena_free(&a);
}

/* All messages, one after another; and the rest. */
static void deframe(size_t piece, struct str in, struct buf *out)
{
    struct grpc_deframer d = {.message_max = 4096};
    bool ended = false;
    buf_init(&d.partial);
    for (size_t at = 0; at < in.n && !ended; at += piece) {
        struct str rest = str_slice(in, at, MIN(at + piece, in.n)), message;
        size_t announced;
        while (rest.n && !ended) {
            enum grpc_deframe e = grpc_deframe_next(&d, &rest, &message, &announced);
            ended = e == GRPC_DEFRAME_TOO_LARGE || e == GRPC_DEFRAME_COMPRESSED;
            require(e != GRPC_DEFRAME_MORE || rest.n == 0);
            if (e == GRPC_DEFRAME_MESSAGE)
                buf_append_str(out, message);
            if (e != GRPC_DEFRAME_MORE) /* how often that is depends on the pieces */
                buf_append_char(out, (char)('0' + e));
        }
    }
    require(d.partial.cap <= 2 * 65536 + 4096);
    buf_free(&d.partial);
}

static void frames(uint8_t cut, struct str in)
{
    struct buf whole = {0}, pieces = {0};
    deframe(in.n ? in.n : 1, in, &whole);
    deframe(1 + cut % 64u, in, &pieces);
    require(str_eq(buf_str(&whole), buf_str(&pieces)));
    buf_free(&whole);
    buf_free(&pieces);
    struct arena a;
    arena_init(&a);
    struct str encoded = grpc_message_encode(&a, grpc_message_decode(&a, in));
    require(cstr_eq(grpc_message_decode(&a, encoded), grpc_message_decode(&a, in)));
    grpc_timeout_parse(in);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const what[])(uint8_t, struct str) = {json, json_stream, request, frames};
    if (size < 2)
        return 0;
    struct str in = fuzz_input(data + 2, size - 2);
    what[data[0] % ARRAY_LEN(what)](data[1], in);
    fuzz_input_free(in);
    return 0;
}
