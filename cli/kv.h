/*
 * `c8s kv`: etcdctl's verbs for any etcd v3 server.
 *
 *   kv_main.c      verbs, global flags, connection, exit codes
 *   kv_data.c      put, get, del, compaction
 *   kv_txn.c       txn and its little language
 *   kv_watch.c     watch
 *   kv_lease.c     lease …
 *   kv_cluster.c   member list, endpoint status, endpoint health
 *   kv_snapshot.c  snapshot save, status, restore
 *   kv_print.c     output formats
 *   kv_bench.h     bench: kv_bench.c, kv_bench_stream.c
 */
#ifndef C8S_CLI_KV_H
#define C8S_CLI_KV_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/flags.h"
#include "net/grpc.h"
#include "proto/etcd/rpc.pb-c.h"

/* etcdctl's exit codes. */
enum {
    KV_EXIT_ERROR = 1,
    KV_EXIT_CONNECTION = 2,
    KV_EXIT_INPUT = 3,
    KV_EXIT_FEATURE = 4,
    KV_EXIT_INTERRUPTED = 5,
    KV_EXIT_IO = 6,
    KV_EXIT_ARGS = 128,
};

enum kv_format { KV_SIMPLE, KV_JSON, KV_FIELDS, KV_TABLE, KV_PROTOBUF };

/* One run of a verb: global flags and the connection. */
struct kv_cli {
    struct flag_list endpoints;
    const char *cacert, *cert, *key, *server_name, *write_out;
    bool insecure_skip_verify, hex;
    int64_t dial_timeout_ms, command_timeout_ms;
    enum kv_format format;
    const char *verb;    /* "put", for messages */
    const char *failure; /* "failed to grant lease": in front of an error; NULL: nothing */
    struct loop *loop;
    struct tls_context *tls;
    struct grpc_channel *channel; /* to all endpoints */
    struct arena arena;           /* until the end of the run */
    struct flag_list args;
};

/* The rows of the global flags, for a verb's table: KV_GLOBAL_FLAGS(&cli). */
#define KV_GLOBAL_FLAGS(c)                                                                         \
    {.help = "Global:"},                                                                           \
        {"endpoints",     0,      FLAG_LIST,                                                       \
         &(c)->endpoints, "URLS", "Servers, tried in order. Default: 127.0.0.1:2379."},            \
        {"cacert",     0,      FLAG_STRING,                                                        \
         &(c)->cacert, "FILE", "CA that must have signed the server's certificate."},              \
        {"cert", 0, FLAG_STRING, &(c)->cert, "FILE", "Client certificate."},                       \
        {"key", 0, FLAG_STRING, &(c)->key, "FILE", "Its key."},                                    \
        {"insecure-skip-tls-verify", 0,    FLAG_BOOL,                                              \
         &(c)->insecure_skip_verify, NULL, "Accept any server certificate."},                      \
        {"dial-timeout", 0, FLAG_MS, &(c)->dial_timeout_ms, NULL, "Limit for connecting."},        \
        {"command-timeout", 0, FLAG_MS, &(c)->command_timeout_ms, NULL, "Limit for one request."}, \
        {"write-out",                                                                              \
         'w',                                                                                      \
         FLAG_STRING,                                                                              \
         &(c)->write_out,                                                                          \
         "FORMAT",                                                                                 \
         "simple, json, fields, table or protobuf.",                                               \
         .choices = "simple|json|fields|table|protobuf"},                                          \
    {                                                                                              \
        "hex", 0, FLAG_BOOL, &(c)->hex, NULL, "Print byte strings as hexadecimal escapes."         \
    }

void kv_cli_init(struct kv_cli *c, const char *verb);
/* Parse a verb's flags and connect. Ends the process on --help and mistakes. */
void kv_cli_start(struct kv_cli *c, const struct flags_spec *spec, int argc, char **argv);
void kv_cli_stop(struct kv_cli *c);
/* A channel to one endpoint ("host:port" or URL). */
struct grpc_channel *kv_cli_connect(struct kv_cli *c, const char *const *endpoints,
                                    unsigned connections, struct error *err);
/* "Error: …" on standard error; returns `code`. */
int kv_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A unary call over the channel: 0, or an exit code after printing etcd's message. */
int kv_call(struct kv_cli *c, struct grpc_channel *channel, const char *path, const void *request,
            const ProtobufCMessageDescriptor *response, void *out);
/* etcd's message out of an error of grpc_call_wait (cuts path and status name off). */
const char *kv_error_text(const struct error *err, int status);
static inline ProtobufCBinaryData kv_bytes(const char *s)
{
    return (ProtobufCBinaryData){strlen(s), (uint8_t *)s};
}
/* Key and range end from a verb's arguments and its --prefix, --from-key. 0 or an exit code. */
int kv_range_args(struct kv_cli *c, bool prefix, bool from_key, ProtobufCBinaryData *key,
                  ProtobufCBinaryData *end);
/* "32695410dcc0ca06": a lease id. false on anything else. */
bool kv_lease_id(const char *text, int64_t *out);

/* kv_print.c */
/* A byte string as the simple format shows it. */
void kv_print_bytes(const struct kv_cli *c, ProtobufCBinaryData b);
void kv_print_json_bytes(ProtobufCBinaryData b);
/* Any message as etcdctl's JSON (fields by their published names, empty ones left out). */
void kv_json_message(struct buf *out, const ProtobufCMessage *m);
/* ,-separated members of a message, without braces: for etcdctl's flattened forms. */
void kv_json_members(struct buf *out, const ProtobufCMessage *m);
void kv_print_protobuf(const ProtobufCMessage *m);
void kv_fields_header(const Etcdserverpb__ResponseHeader *h);
void kv_fields_pair(const struct kv_cli *c, const char *prefix, const Mvccpb__KeyValue *kv);
/* Rows of cells under a centered heading, right-aligned, drawn with + - |. */
void kv_table(const char *const *cells, size_t columns, size_t rows);
/* table is not for this verb: prints etcdctl's error and returns its exit code. */
int kv_no_table(void);

/* Print an answer in the chosen format; returns an exit code. */
int kv_print_put(struct kv_cli *c, const Etcdserverpb__PutResponse *r);
int kv_print_range(struct kv_cli *c, const Etcdserverpb__RangeResponse *r, bool value_only);
int kv_print_delete(struct kv_cli *c, const Etcdserverpb__DeleteRangeResponse *r);
int kv_print_txn(struct kv_cli *c, const Etcdserverpb__TxnResponse *r);
void kv_print_events(struct kv_cli *c, const Etcdserverpb__WatchResponse *r);

/* Verbs: argv[0] is the verb. */
int kv_put_main(int argc, char **argv);
int kv_get_main(int argc, char **argv);
int kv_del_main(int argc, char **argv);
int kv_txn_main(int argc, char **argv);
int kv_compact_main(int argc, char **argv);
int kv_watch_main(int argc, char **argv);
int kv_lease_main(int argc, char **argv);
int kv_member_main(int argc, char **argv);
int kv_endpoint_main(int argc, char **argv);
int kv_bench_main(int argc, char **argv);
int kv_snapshot_main(int argc, char **argv);
/* A verb's two-level dispatch: argv[1] in the table. */
struct kv_verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};
int kv_dispatch(const char *program, const struct kv_verb *verbs, int argc, char **argv);

#endif
