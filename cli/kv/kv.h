/*
 * `c8s kv`: etcdctl's verbs for any etcd v3 server.
 *
 *   main.c            the tree of verbs, help, dispatch
 *   connect.c         global flags, ETCDCTL_ variables, TLS, login, requests and their errors
 *   stream.c          streams, read by the main thread
 *   print.c           output formats: what all verbs share
 *   data.c            put, get, del, compaction
 *   txn.c             txn and its little language
 *   watch.c           watch
 *   lease.c           lease …
 *   member.c          member …
 *   endpoint.c        endpoint …
 *   maintenance.c     alarm, defrag, move-leader, downgrade
 *   auth.c            auth …, user …
 *   role.c            role …
 *   lock.c            lock, elect
 *   mirror.c          make-mirror
 *   check.c           check perf, check datascale
 *   snapshot.c        snapshot save, status, restore
 *   completion.c      completion
 *   bench.h           bench: bench.c, bench_stream.c
 *
 * Output and exit codes are those of etcdctl 3.5, with the commands and flags that 3.6 added.
 */
#ifndef C8S_CLI_KV_KV_H
#define C8S_CLI_KV_KV_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/flags.h"
#include "net/grpc.h"
#include "proto/etcd/auth_rpc.pb-c.h"
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

/* How to reach a cluster, and as whom. */
struct kv_access {
    const char *cacert, *cert, *key;
    const char *user, *password; /* user "NAME:PASSWORD" if there is no password; NULL: nobody */
    const char *prompt;          /* for the password, when it is in neither */
    bool insecure_transport;     /* plain HTTP for endpoints without a scheme */
    bool insecure_skip_verify;
    bool discovery;          /* taken and without meaning: --discovery-srv is refused */
    struct tls_context *tls; /* these two: kv_access_open */
    const char *token;
};

/* One run of a verb: global flags and the connection. */
struct kv_cli {
    struct flag_list endpoints;
    struct kv_access access;
    const char *write_out;
    bool hex, debug;
    bool require_leader;     /* of the connection: a watch ends when the member has no leader */
    const char *unsupported; /* target of flags that are refused */
    bool command_timeout_given;
    int64_t dial_timeout_ms, command_timeout_ms, keepalive_time_ms, keepalive_timeout_ms;
    enum kv_format format;
    const char *verb;    /* "put", for messages */
    const char *failure; /* "failed to grant lease": in front of an error; NULL: nothing */
    int failure_exit;    /* exit code of a request that fails; 0: KV_EXIT_ERROR */
    struct loop *loop;
    struct grpc_channel *channel; /* to all endpoints */
    struct arena arena;           /* until the end of the run; main thread */
    struct flag_list args;
    /* stream.c: what wakes the main thread up */
    uv_mutex_t lock;
    uv_cond_t wake;
    const char *stopped; /* why no stream is waited for any longer; NULL: go on */
};

/* The rows of the global flags, for a verb's table: KV_GLOBAL_FLAGS(&cli). */
#define KV_GLOBAL_FLAGS(c)                                                                         \
    {.help = "Global, each also as a variable (ETCDCTL_ENDPOINTS):"},                              \
        {"endpoints", 0, FLAG_LIST, &(c)->endpoints, "URLS", "Servers. Default: 127.0.0.1:2379."}, \
        {"user",                                                                                   \
         0,                                                                                        \
         FLAG_STRING,                                                                              \
         &(c)->access.user,                                                                        \
         "NAME[:PASSWORD]",                                                                        \
         "Who to be; without a password here or in --password it is asked for."},                  \
        {"password", 0, FLAG_STRING, &(c)->access.password, NULL, "The password of --user."},      \
        {"cacert",    0,                                                                           \
         FLAG_STRING, &(c)->access.cacert,                                                         \
         "FILE",      "CA that must have signed the server's certificate."},                       \
        {"cert", 0, FLAG_STRING, &(c)->access.cert, "FILE", "Client certificate."},                \
        {"key", 0, FLAG_STRING, &(c)->access.key, "FILE", "Its key."},                             \
        {"insecure-transport",                                                                     \
         0,                                                                                        \
         FLAG_BOOL,                                                                                \
         &(c)->access.insecure_transport,                                                          \
         NULL,                                                                                     \
         "Plain HTTP to endpoints without a scheme, unless TLS files are given."},                 \
        {"insecure-skip-tls-verify",        0,    FLAG_BOOL,                                       \
         &(c)->access.insecure_skip_verify, NULL, "Accept any server certificate."},               \
        {"dial-timeout", 0, FLAG_MS, &(c)->dial_timeout_ms, "MS", "Limit for connecting."},        \
        {"command-timeout",                                                                        \
         0,                                                                                        \
         FLAG_MS,                                                                                  \
         &(c)->command_timeout_ms,                                                                 \
         "MS",                                                                                     \
         "Limit for one request.",                                                                 \
         .seen = &(c)->command_timeout_given},                                                     \
        {"keepalive-time",                                                                         \
         0,                                                                                        \
         FLAG_MS,                                                                                  \
         &(c)->keepalive_time_ms,                                                                  \
         "MS",                                                                                     \
         "Ask a silent connection for a sign of life after that long."},                           \
        {"keepalive-timeout",        0,    FLAG_MS,                                                \
         &(c)->keepalive_timeout_ms, "MS", "Give it up when none has come for that long."},        \
        {"write-out",                                                                              \
         'w',                                                                                      \
         FLAG_STRING,                                                                              \
         &(c)->write_out,                                                                          \
         "simple|json|fields|table|protobuf",                                                      \
         "Form of the output."},                                                                   \
        {"hex", 0, FLAG_BOOL, &(c)->hex, NULL, "Print byte strings as hexadecimal escapes."},      \
        {"debug", 0, FLAG_BOOL, &(c)->debug, NULL, "Say on standard error what is done."},         \
        {"insecure-discovery", 0, FLAG_BOOL, &(c)->access.discovery, NULL, NULL},                  \
        {"discovery-srv",                                                                          \
         'd',                                                                                      \
         FLAG_UNSUPPORTED,                                                                         \
         &(c)->unsupported,                                                                        \
         NULL,                                                                                     \
         "servers are not looked up by DNS SRV records; name them with --endpoints"},              \
    {                                                                                              \
        "discovery-srv-name", 0, FLAG_UNSUPPORTED, &(c)->unsupported, NULL,                        \
            "servers are not looked up by DNS SRV records; name them with --endpoints"             \
    }

/* ---------------------------------------------------------------- connect.c --- */

void kv_cli_init(struct kv_cli *c, const char *verb);
/* Parse a verb's flags, connect and log in. Ends the process on --help and mistakes. */
void kv_cli_start(struct kv_cli *c, const struct flags_spec *spec, int argc, char **argv);
/* The same in parts, for verbs that look at their arguments before they connect. */
void kv_cli_parse(struct kv_cli *c, const struct flags_spec *spec, int argc, char **argv);
void kv_cli_connect_all(struct kv_cli *c);
void kv_cli_stop(struct kv_cli *c);
/* A channel to some endpoints ("host:port" or URL), NULL-terminated, as `c` is connected. */
struct grpc_channel *kv_cli_connect(struct kv_cli *c, const char *const *endpoints,
                                    unsigned connections, struct error *err);
/* TLS files are read and a token is fetched from the endpoints. 0 or an exit code. */
int kv_access_open(struct kv_cli *c, struct kv_access *access, const char *const *endpoints);
void kv_access_close(struct kv_access *access);
struct grpc_channel *kv_access_connect(struct kv_cli *c, const struct kv_access *access,
                                       const char *const *endpoints, unsigned connections,
                                       struct error *err);
/* "Error: …" on standard error; returns `code`. */
int kv_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A password from the terminal (or from standard input), unechoed; NULL: there is none. In the arena. */
const char *kv_ask_password(struct arena *a, const char *prompt);

/* A unary call: 0 with *out in the arena, or an exit code after printing etcd's message. */
int kv_call(struct kv_cli *c, struct grpc_channel *channel, const char *path, const void *request,
            const ProtobufCMessageDescriptor *response, void *out);
/* The same, without a word: a gRPC status, and etcdctl's text of it in *text (in the arena). Asks again
 * until the command's timeout while nobody can be reached. */
int kv_try(struct kv_cli *c, struct grpc_channel *channel, const char *path, const void *request,
           const ProtobufCMessageDescriptor *response, void *out, const char **text);
/* How etcdctl writes an error that a server sent. */
const char *kv_status_text(struct arena *a, int status, const char *message);

static inline ProtobufCBinaryData kv_bytes(const char *s)
{
    return (ProtobufCBinaryData){strlen(s), (uint8_t *)s};
}
/* The first key behind all that begin with `key`. */
ProtobufCBinaryData kv_prefix_end(struct arena *a, ProtobufCBinaryData key);
/* Key and range end from a verb's arguments and its --prefix, --from-key. 0 or an exit code. */
int kv_range_args(struct kv_cli *c, bool prefix, bool from_key, ProtobufCBinaryData *key,
                  ProtobufCBinaryData *end);
/* Go's complaint about a text that is not a number in `base`, as strconv.ParseInt makes it. NULL: it is one. */
const char *kv_parse_int(struct arena *a, const char *text, int base, int64_t *out);
const char *kv_parse_uint(struct arena *a, const char *text, int base, uint64_t *out);
/* A lease id of the command line. 0 or an exit code. */
int kv_lease_arg(struct kv_cli *c, const char *text, int64_t *id);
/* A member id of the command line. */
int kv_member_arg(struct kv_cli *c, const char *text, uint64_t *id);

/* ----------------------------------------------------------------- stream.c --- */

struct kv_stream;
enum kv_next { KV_MESSAGE, KV_ENDED, KV_STOPPED, KV_LATE };

/* Open a call whose messages are read with kv_stream_next, by one thread that is not the loop's. */
struct kv_stream *kv_stream_open(struct kv_cli *c, struct grpc_channel *channel, const char *path,
                                 const ProtobufCMessageDescriptor *response);
void kv_stream_send(struct kv_stream *s, const void *message); /* any thread but the loop's */
void kv_stream_half_close(struct kv_stream *s);
/* Wait for a message, which comes into the arena; for the end (see kv_stream_status); for kv_stop; or
 * for timeout_ms (0: no limit). */
enum kv_next kv_stream_next(struct kv_stream *s, uint64_t timeout_ms, struct arena *a, void *out);
/* After KV_ENDED: the gRPC status and etcdctl's text of it, valid until kv_stream_close. */
int kv_stream_status(const struct kv_stream *s, const char **text);
void kv_stream_close(struct kv_stream *s);
/* Make every kv_stream_next return KV_STOPPED, now and later. Any thread. */
void kv_stop(struct kv_cli *c, const char *why);
/* Catch SIGINT and SIGTERM, which then call kv_stop("signal"). Before kv_cli_start. */
void kv_catch_signals(struct kv_cli *c);

/* Keep a lease alive until it is lost, kv_stop, or `once`. on_answer may be NULL. Returns how it ended:
 * KV_STOPPED, KV_ENDED (gone), or KV_LATE: refused, with the reason in *text. */
typedef void kv_keep_alive_answer(struct kv_cli *c, const Etcdserverpb__LeaseKeepAliveResponse *r);
enum kv_next kv_keep_alive(struct kv_cli *c, int64_t id, bool once, kv_keep_alive_answer *on_answer,
                           char text[256]);

/* ------------------------------------------------------------------ print.c --- */

/* An answer in each form. NULL simple, fields and table: the verb does not have it. NULL json and
 * protobuf: the message as it is. */
typedef void kv_form(struct kv_cli *c, const void *message);
struct kv_forms {
    kv_form *simple, *fields, *table, *json, *protobuf;
};
/* Print in the chosen format; returns an exit code. */
int kv_show(struct kv_cli *c, const void *message, const struct kv_forms *forms);
int kv_unsupported(const struct kv_cli *c); /* "table not supported as output format" */
kv_form kv_no_form;                         /* for .json and .protobuf: there is none */

/* A byte string as the simple format shows it. */
void kv_print_bytes(const struct kv_cli *c, ProtobufCBinaryData b);
void kv_print_pair(const struct kv_cli *c, const Mvccpb__KeyValue *kv);
/* Quoted as Go's %q quotes. */
void kv_quote(struct buf *out, ProtobufCBinaryData b);
void kv_print_quoted(ProtobufCBinaryData b);
/* JSON as Go's encoding/json writes it. */
void kv_json_string(struct buf *out, struct str s);
void kv_json_bytes(struct buf *out, ProtobufCBinaryData b);
/* Any message as etcdctl's JSON (fields by their published names, empty ones left out). */
void kv_json_message(struct buf *out, const ProtobufCMessage *m);
/* ,-separated members of a message, without braces: for etcdctl's flattened forms. */
void kv_json_members(struct buf *out, const ProtobufCMessage *m);
void kv_json_line(struct buf *out); /* print and free */
void kv_print_protobuf(const ProtobufCMessage *m);
void kv_fields_header(const Etcdserverpb__ResponseHeader *h);
void kv_fields_pair(const char *prefix, const Mvccpb__KeyValue *kv);
/* A form for answers that have nothing but their header (their first field). */
kv_form kv_fields_only_header;
/* Rows of cells: comma-separated, or under a centered heading, right-aligned, drawn with + - |. */
void kv_rows(const char *const *cells, size_t columns, size_t rows);
void kv_table(const char *const *cells, size_t columns, size_t rows);
/* Bytes as "1.2 MB". */
const char *kv_human_bytes(struct arena *a, uint64_t n);
/* A duration as Go writes it: "1.234567ms". */
const char *kv_go_duration(struct arena *a, uint64_t ns);
extern const struct kv_forms kv_range_forms;
int kv_show_range(struct kv_cli *c, const Etcdserverpb__RangeResponse *r, bool value_only);

/* ------------------------------------------------------------------- the verbs --- */

/* A verb, or a group of verbs. */
struct kv_verb {
    const char *name;
    int (*run)(int argc, char **argv); /* argv[0] is the verb */
    const char *help;
    const struct kv_verb *verbs; /* of a group, ended by a row without a name; then no run */
};
/* The tree, as `c8s kv` and its completion walk it. */
extern const struct kv_verb kv_verbs[];
/* The rest of the words of a command line behind its verbs: *verb is the last verb or group. Flags in
 * front of and between them are moved behind. Returns the length of `out`, which has room for argc + 1. */
int kv_find_verb(int argc, char **argv, char **out, const struct kv_verb **verb);

/* A verb without flags of its own. */
struct kv_plain {
    const char *program; /* "c8s kv alarm list" */
    const char *summary;
    const char *usage; /* "[flags] NAME" */
    size_t args;       /* exactly so many; else: */
    const char *args_error;
    int (*run)(struct kv_cli *c); /* connected */
};
int kv_plain_main(const struct kv_plain *p, int argc, char **argv);
/* A request and its answer, printed. 0 or an exit code. */
int kv_ask(struct kv_cli *c, const char *path, const void *request,
           const ProtobufCMessageDescriptor *response, const struct kv_forms *forms);
/* The endpoints given, or (cluster) those of all members. 0 or an exit code. */
int kv_use_cluster(struct kv_cli *c, bool cluster);
/* A channel to one endpoint. */
struct grpc_channel *kv_connect_one(struct kv_cli *c, const char *endpoint, struct error *err);

/* data.c: the flags of operations, which txn has, too. */
struct kv_put_flags {
    const char *lease;
    bool prev_kv, ignore_value, ignore_lease;
};
#define KV_PUT_FLAGS(f)                                                                        \
    {"lease", 0, FLAG_STRING, &(f)->lease, "ID", "Lease (hexadecimal) to attach the key to."}, \
        {"prev-kv", 0, FLAG_BOOL, &(f)->prev_kv, NULL, "Print the pair before."},              \
        {"ignore-value", 0, FLAG_BOOL, &(f)->ignore_value, NULL, "Keep the current value."},   \
    {                                                                                          \
        "ignore-lease", 0, FLAG_BOOL, &(f)->ignore_lease, NULL, "Keep the current lease."      \
    }
struct kv_get_flags {
    const char *consistency, *order, *sort_by;
    int64_t limit, rev, min_create_rev, max_create_rev, min_mod_rev, max_mod_rev;
    bool prefix, from_key, keys_only, count_only, value_only;
};
#define KV_GET_FLAGS(f)                                                                         \
    {"consistency", 0, FLAG_STRING, &(f)->consistency, "l|s", "Linearizable or serializable."}, \
        {"order", 0, FLAG_STRING, &(f)->order, "ASCEND|DESCEND", "Which way to sort."},         \
        {"sort-by",         0, FLAG_STRING, &(f)->sort_by, "CREATE|KEY|MODIFY|VALUE|VERSION",   \
         "What to sort by."},                                                                   \
        {"limit", 0, FLAG_INT, &(f)->limit, "N", "At most so many results; 0: all."},           \
        {"prefix", 0, FLAG_BOOL, &(f)->prefix, NULL, "All keys that begin with KEY."},          \
        {"from-key", 0, FLAG_BOOL, &(f)->from_key, NULL, "All keys not less than KEY."},        \
        {"rev", 0, FLAG_INT, &(f)->rev, "N", "As of this revision."},                           \
        {"keys-only", 0, FLAG_BOOL, &(f)->keys_only, NULL, "Leave values out."},                \
        {"count-only", 0, FLAG_BOOL, &(f)->count_only, NULL, "Only the number of keys."},       \
        {"print-value-only", 0,    FLAG_BOOL,                                                   \
         &(f)->value_only,   NULL, "Only values, in the simple format."},                       \
        {"min-create-rev", 0, FLAG_INT, &(f)->min_create_rev, "N", "Created no earlier."},      \
        {"max-create-rev", 0, FLAG_INT, &(f)->max_create_rev, "N", "Created no later."},        \
        {"min-mod-rev", 0, FLAG_INT, &(f)->min_mod_rev, "N", "Last changed no earlier."},       \
    {                                                                                           \
        "max-mod-rev", 0, FLAG_INT, &(f)->max_mod_rev, "N", "Last changed no later."            \
    }
struct kv_del_flags {
    bool prefix, from_key, prev_kv, range;
};
#define KV_DEL_FLAGS(f)                                                                          \
    {"prefix", 0, FLAG_BOOL, &(f)->prefix, NULL, "All keys that begin with KEY."},               \
        {"from-key", 0, FLAG_BOOL, &(f)->from_key, NULL, "All keys not less than KEY."},         \
        {"prev-kv", 0, FLAG_BOOL, &(f)->prev_kv, NULL, "Print the pairs deleted."},              \
    {                                                                                            \
        "range", 0, FLAG_BOOL, &(f)->range, NULL, "Taken and without effect: RANGE_END says it." \
    }
/* Requests of c->args (in the arena). 0 or an exit code. */
int kv_put_request(struct kv_cli *c, const struct kv_put_flags *f, Etcdserverpb__PutRequest *q);
int kv_get_request(struct kv_cli *c, const struct kv_get_flags *f, Etcdserverpb__RangeRequest *q);
int kv_del_request(struct kv_cli *c, const struct kv_del_flags *f,
                   Etcdserverpb__DeleteRangeRequest *q);
/* The next words of a line: etcdctl's splitting into words, quoted ones by Go's rules. 0 or an exit code. */
int kv_split_words(struct kv_cli *c, const char *line, struct flag_list *argv);
/* print.c: parts of answers, in the simple and fields forms. */
kv_form kv_simple_put, kv_simple_range, kv_simple_delete, kv_fields_put, kv_fields_range,
    kv_fields_delete;

int kv_put_main(int argc, char **argv);
int kv_get_main(int argc, char **argv);
int kv_del_main(int argc, char **argv);
int kv_txn_main(int argc, char **argv);
int kv_compact_main(int argc, char **argv);
int kv_watch_main(int argc, char **argv);
int kv_defrag_main(int argc, char **argv);
int kv_move_leader_main(int argc, char **argv);
int kv_lock_main(int argc, char **argv);
int kv_elect_main(int argc, char **argv);
int kv_mirror_main(int argc, char **argv);
int kv_version_main(int argc, char **argv);
int kv_completion_main(int argc, char **argv);
int kv_complete_main(int argc, char **argv); /* what the completion scripts call */
extern const struct kv_verb kv_lease_verbs[], kv_member_verbs[], kv_endpoint_verbs[],
    kv_alarm_verbs[], kv_downgrade_verbs[], kv_auth_verbs[], kv_user_verbs[], kv_role_verbs[],
    kv_check_verbs[], kv_bench_verbs[], kv_snapshot_verbs[];

/* role.c: "Role admin …", for `user get --detail`, too. */
void kv_print_role(const char *name, const Etcdserverpb__AuthRoleGetResponse *r);

#endif
