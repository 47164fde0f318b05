/*
 * gRPC server and client against each other over loopback: unary and streaming calls, statuses, deadlines,
 * cancellation, limits, and what a decoder must refuse. The messages are the etcd API's.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "net/grpc.h"
#include "net/protobuf.h"
#include "proto/etcd/rpc.pb-c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define SERVICE "/test.Echo/"

static struct {
    struct loop *server_loop, *client_loop;
    struct http_server *http;
    struct grpc_server *grpc;
    struct grpc_channel *channel;
    char socket_path[64];
    atomic_int cancelled, freed;
} t;

/* ------------------------------------------------------------------------- server --- */

/* Echo: the key comes back as the previous pair's value. */
static void echo(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, struct str raw)
{
    (void)ctx, (void)raw;
    const Etcdserverpb__PutRequest *q = (const void *)m;
    Etcdserverpb__PutResponse r = ETCDSERVERPB__PUT_RESPONSE__INIT;
    Mvccpb__KeyValue kv = MVCCPB__KEY_VALUE__INIT;
    kv.value = q->key;
    r.prev_kv = &kv;
    grpc_reply(call, &r.base);
}

static void refuse(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, struct str raw)
{
    (void)ctx, (void)m, (void)raw;
    grpc_finish(call, GRPC_FAILED_PRECONDITION, "no\nway: 100% schön");
}

static void never(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, struct str raw)
{
    (void)call, (void)ctx, (void)m, (void)raw;
}

static void cancelled(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&t.cancelled, 1);
    grpc_finish(call, GRPC_CANCELLED, "context canceled");
}

static void freed(struct grpc_call *call, void *ctx)
{
    (void)call, (void)ctx;
    atomic_fetch_add(&t.freed, 1);
}

/* Bidirectional: each message is answered twice; the half-close ends the call. */
static void twice(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, struct str raw)
{
    (void)ctx, (void)raw;
    const Etcdserverpb__LeaseKeepAliveRequest *q = (const void *)m;
    Etcdserverpb__LeaseKeepAliveResponse r = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    r.id = q->id;
    grpc_send(call, &r.base);
    struct blob *frame = grpc_frame(&r.base);
    grpc_send_frame(call, frame);
    blob_unref(frame);
}

static void twice_end(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    grpc_finish(call, GRPC_OK, NULL);
}

static const struct grpc_method methods[] = {
    {.path = SERVICE "Echo", .request = &etcdserverpb__put_request__descriptor, .on_message = echo},
    {.path = SERVICE "Fail",
     .request = &etcdserverpb__put_request__descriptor,
     .on_message = refuse},
    {.path = SERVICE "Txn",
     .request = &etcdserverpb__txn_request__descriptor,
     .on_message = refuse},
    {.path = SERVICE "Never",
     .request = &etcdserverpb__put_request__descriptor,
     .on_message = never,
     .on_cancel = cancelled,
     .on_free = freed},
    {.path = SERVICE "Twice",
     .request = &etcdserverpb__lease_keep_alive_request__descriptor,
     .client_streaming = true,
     .on_message = twice,
     .on_end = twice_end,
     .on_cancel = cancelled},
};

static void on_headers(void *ctx, struct http_exchange *x)
{
    grpc_server_take(ctx, x);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    http_respond(x, 404, NULL, 0, STR("not gRPC\n"));
}

static int setup(void **state)
{
    (void)state;
    struct error err = {0};
    char address[80];
    snprintf(t.socket_path, sizeof t.socket_path, "/tmp/c8s-test-grpc-%d.sock", (int)getpid());
    snprintf(address, sizeof address, "unix:%s", t.socket_path);
    t.server_loop = loop_start("server");
    t.client_loop = loop_start("client");
    t.grpc = grpc_server_new(&(struct grpc_server_options){.message_bytes_max = 1 << 20});
    grpc_server_add(t.grpc, methods, ARRAY_LEN(methods));
    t.http = http_server_new(&(struct http_server_options){.loops = &t.server_loop,
                                                           .loops_len = 1,
                                                           .ctx = t.grpc,
                                                           .on_headers = on_headers,
                                                           .on_request = on_request});
    assert_int_equal(http_server_listen(t.http, address, NULL, &err), 0);
    const char *targets[] = {address, NULL};
    t.channel =
        grpc_channel_new(t.client_loop, &(struct grpc_channel_options){.targets = targets}, &err);
    assert_non_null(t.channel);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    grpc_channel_free(t.channel);
    http_server_stop_wait(t.http, 1000);
    http_server_free(t.http);
    grpc_server_free(t.grpc);
    loop_join(t.client_loop);
    loop_join(t.server_loop);
    return 0;
}

/* ------------------------------------------------------------------------ unary --- */

static int put(const char *method, size_t key_bytes, uint64_t timeout_ms, int *status,
               struct error *err)
{
    struct arena a;
    ProtobufCMessage *m;
    Etcdserverpb__PutRequest q = ETCDSERVERPB__PUT_REQUEST__INIT;
    uint8_t *key = mem_alloc(key_bytes + 1);
    memset(key, 'k', key_bytes);
    q.key = (ProtobufCBinaryData){key_bytes, key};
    char path[64];
    snprintf(path, sizeof path, SERVICE "%s", method);
    arena_init(&a);
    int rc = grpc_call_wait(t.channel, path, &q.base, &etcdserverpb__put_response__descriptor,
                            timeout_ms, &a, &m, status, err);
    if (rc == 0) {
        const Etcdserverpb__PutResponse *r = (const void *)m;
        assert_non_null(r->prev_kv);
        assert_int_equal(r->prev_kv->value.len, key_bytes);
        assert_memory_equal(r->prev_kv->value.data, key, key_bytes);
    }
    arena_free(&a);
    mem_free(key);
    return rc;
}

static void answers_unary_calls(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 2000, 16379, 16384, 70000, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        int status = -1;
        struct error err = {0};
        int rc = put("Echo", sizes[i], 5000, &status, &err);
        if (rc)
            print_message("%zu: %s\n", sizes[i], err.message);
        assert_int_equal(rc, 0);
        assert_int_equal(status, GRPC_OK);
    }
}

static void carries_status_and_message(void **state)
{
    (void)state;
    int status;
    struct error err = {0};
    assert_int_equal(put("Fail", 3, 5000, &status, &err), ERR_CONFLICT);
    assert_int_equal(status, GRPC_FAILED_PRECONDITION);
    assert_string_equal(err.message, SERVICE "Fail: FailedPrecondition: no\nway: 100% schön");
}

static void refuses_unknown_methods_and_large_messages(void **state)
{
    (void)state;
    int status;
    struct error err = {0};
    assert_int_equal(put("Nothing", 3, 5000, &status, &err), ERR_UNSUPPORTED);
    assert_int_equal(status, GRPC_UNIMPLEMENTED);
    assert_int_equal(put("Echo", 1100000, 5000, &status, &err), ERR_LIMIT);
    assert_int_equal(status, GRPC_RESOURCE_EXHAUSTED);
    assert_int_equal(put("Echo", 10, 5000, &status, &err), 0);
}

static void wait_for(atomic_int *counter, int value)
{
    for (int i = 0; i < 60000 && atomic_load(counter) < value; i++)
        usleep(1000);
    assert_int_equal(atomic_load(counter), value);
}

static void ends_a_call_at_its_deadline_on_both_sides(void **state)
{
    (void)state;
    int status;
    struct error err = {0};
    atomic_store(&t.cancelled, 0);
    atomic_store(&t.freed, 0);
    assert_int_equal(put("Never", 3, 100, &status, &err), ERR_TIMEOUT);
    assert_int_equal(status, GRPC_DEADLINE_EXCEEDED);
    wait_for(&t.cancelled, 1);
    wait_for(&t.freed, 1);
}

/* -------------------------------------------------------------------- streaming --- */

struct stream {
    uv_sem_t done;
    struct grpc_client_call *call;
    int received, status;
    int64_t sum;
    int cancel_after, to_send;
};

static void on_reply(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                     struct str raw)
{
    (void)raw;
    struct stream *s = ctx;
    s->received++;
    s->sum += ((const Etcdserverpb__LeaseKeepAliveResponse *)(const void *)m)->id;
    if (s->received == s->cancel_after)
        grpc_client_cancel(call);
}

static void on_stream_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *r)
{
    (void)call;
    struct stream *s = ctx;
    s->status = r->status;
    uv_sem_post(&s->done);
}

static void open_stream(void *arg)
{
    static const struct grpc_client_events events = {.on_message = on_reply,
                                                     .on_done = on_stream_done};
    struct stream *s = arg;
    s->call = grpc_open(t.channel, SERVICE "Twice",
                        &etcdserverpb__lease_keep_alive_response__descriptor, 0, &events, s);
    Etcdserverpb__LeaseKeepAliveRequest q = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    for (int i = 1; i <= s->to_send; i++) {
        q.id = i;
        grpc_client_send(s->call, &q.base);
    }
    if (!s->cancel_after)
        grpc_client_end(s->call);
}

static void streams_in_both_directions(void **state)
{
    (void)state;
    struct stream s = {.to_send = 10000};
    uv_sem_init(&s.done, 0);
    loop_call(t.client_loop, open_stream, &s);
    uv_sem_wait(&s.done);
    assert_int_equal(s.status, GRPC_OK);
    assert_int_equal(s.received, 20000);
    assert_int_equal(s.sum, 2ll * 10000 * 10001 / 2);
    uv_sem_destroy(&s.done);
}

static void tells_the_server_of_a_cancelled_stream(void **state)
{
    (void)state;
    struct stream s = {.to_send = 1, .cancel_after = 2};
    atomic_store(&t.cancelled, 0);
    uv_sem_init(&s.done, 0);
    loop_call(t.client_loop, open_stream, &s);
    uv_sem_wait(&s.done);
    assert_int_equal(s.status, GRPC_CANCELLED);
    wait_for(&t.cancelled, 1);
    uv_sem_destroy(&s.done);
}

/* Opens a unary call, sends no message, and gives up. */
static void open_and_leave(void *arg)
{
    static const struct grpc_client_events events = {.on_done = on_stream_done};
    struct stream *s = arg;
    s->call = grpc_open(t.channel, SERVICE "Never", NULL, 0, &events, s);
}

static void leave(void *arg)
{
    struct stream *s = arg;
    grpc_client_cancel(s->call);
}

static void frees_a_unary_call_whose_message_never_came(void **state)
{
    (void)state;
    struct stream s = {0};
    int status;
    struct error err = {0};
    atomic_store(&t.freed, 0);
    uv_sem_init(&s.done, 0);
    loop_call(t.client_loop, open_and_leave, &s);
    /* Behind it on the same connection: when this is answered, the server has seen the first. */
    assert_int_equal(put("Echo", 3, 5000, &status, &err), 0);
    loop_call(t.client_loop, leave, &s);
    uv_sem_wait(&s.done);
    wait_for(&t.freed, 1);
    uv_sem_destroy(&s.done);
}

/* --------------------------------------------------------------------- decoding --- */

static void refuses_malformed_messages(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        struct str bytes;
        bool ok;
    } cases[] = {
        {"empty", {"", 0}, true},
        {"name",
         {"\x12\x01"
          "a",
          3},
         true},
        {"truncated varint", {"\x08\xff", 2}, false},
        {"varint of 11 bytes", {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, false},
        {"length past the end",
         {"\x12\x05"
          "ab",
          4},
         false},
        {"huge length", {"\x12\xff\xff\xff\xff\x7f", 6}, false},
        {"NUL in a string",
         {"\x12\x03"
          "a\0b",
          5},
         false},
        {"bad UTF-8", {"\x12\x02\xc0\x80", 4}, false},
        {"field 0", {"\x02\x00", 2}, false},
        {"a group", {"\x13\x14", 2}, false},
        {"unknown field", {"\x7a\x01x", 3}, true},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        struct error err = {0};
        arena_init(&a);
        bool ok = pb_unpack(&a, &etcdserverpb__member__descriptor, cases[i].bytes, &err) != NULL;
        if (ok != cases[i].ok)
            print_message("%s: %s\n", cases[i].name, err.message);
        assert_int_equal(ok, cases[i].ok);
        arena_free(&a);
    }
}

/* A transaction in a transaction in …: the decoder's own stack must not run out. */
static void refuses_deep_nesting(void **state)
{
    (void)state;
    struct buf inner, outer;
    buf_init(&inner);
    for (int depth = 0; depth < 20000; depth++) { /* txn{success: op{request_txn: …}} */
        buf_init(&outer);
        struct buf op;
        buf_init(&op);
        buf_append_char(&op, 4 << 3 | 2);
        buf_append_varint(&op, inner.len);
        buf_append(&op, inner.data ? inner.data : "", inner.len);
        buf_append_char(&outer, 2 << 3 | 2);
        buf_append_varint(&outer, op.len);
        buf_append(&outer, op.data, op.len);
        buf_free(&op);
        buf_free(&inner);
        inner = outer;
        bool checked = depth == 20 || depth == 40 || depth == 19999;
        if (!checked)
            continue;
        struct arena a;
        struct error err = {0};
        arena_init(&a);
        bool ok =
            pb_unpack(&a, &etcdserverpb__txn_request__descriptor, buf_str(&inner), &err) != NULL;
        assert_int_equal(ok, depth == 20);
        arena_free(&a);
    }
    buf_free(&inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_unary_calls),
        cmocka_unit_test(carries_status_and_message),
        cmocka_unit_test(refuses_unknown_methods_and_large_messages),
        cmocka_unit_test(ends_a_call_at_its_deadline_on_both_sides),
        cmocka_unit_test(streams_in_both_directions),
        cmocka_unit_test(tells_the_server_of_a_cancelled_stream),
        cmocka_unit_test(frees_a_unary_call_whose_message_never_came),
        cmocka_unit_test(refuses_malformed_messages),
        cmocka_unit_test(refuses_deep_nesting),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
