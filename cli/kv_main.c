/*
 * `c8s kv`: verbs, global flags, the connection. See kv.h.
 */
#include "cli/kv.h"
#include "base/mem.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

void kv_cli_init(struct kv_cli *c, const char *verb)
{
    *c = (struct kv_cli){
        .verb = verb, .dial_timeout_ms = 2000, .command_timeout_ms = 5000, .write_out = "simple"};
    arena_init(&c->arena);
}

int kv_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("Error: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

static bool is_secure(const struct kv_cli *c)
{
    return c->cacert || c->cert || c->insecure_skip_verify;
}

struct grpc_channel *kv_cli_connect(struct kv_cli *c, const char *const *endpoints,
                                    unsigned connections, struct error *err)
{
    size_t n = 0;
    while (endpoints[n])
        n++;
    const char **targets = arena_array(&c->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        bool url = strstr(endpoints[i], "://") || strncmp(endpoints[i], "unix:", 5) == 0;
        targets[i] =
            url ? endpoints[i]
                : arena_printf(&c->arena, "%s://%s", is_secure(c) ? "https" : "http", endpoints[i]);
    }
    return grpc_channel_new(c->loop,
                            &(struct grpc_channel_options){
                                .targets = targets,
                                .tls = c->tls,
                                .connections = connections,
                                .connect_timeout_ms = (uint64_t)c->dial_timeout_ms,
                            },
                            err);
}

static enum kv_format format_of(const char *name)
{
    static const char *const names[] = {"simple", "json", "fields", "table", "protobuf"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (cstr_eq(names[i], name))
            return (enum kv_format)i;
    return KV_SIMPLE;
}

void kv_cli_start(struct kv_cli *c, const struct flags_spec *spec, int argc, char **argv)
{
    struct error err = {0};
    flags_parse_or_exit(spec, argc, argv, &c->args, KV_EXIT_ERROR);
    c->format = format_of(c->write_out);
    if (c->endpoints.len == 0)
        flag_list_add(&c->endpoints, "127.0.0.1:2379");
    flag_list_add(&c->endpoints, ""); /* room for a terminator */
    mem_free(c->endpoints.items[--c->endpoints.len]);
    c->endpoints.items[c->endpoints.len] = NULL;
    c->loop = loop_start("kv");
    c->tls = tls_client_new(&(struct tls_options){.ca_file = c->cacert,
                                                  .cert_file = c->cert,
                                                  .key_file = c->key,
                                                  .insecure_skip_verify = c->insecure_skip_verify},
                            &err);
    if (!c->tls)
        exit(kv_fail(KV_EXIT_ARGS, "%s", err.message));
    c->channel = kv_cli_connect(c, (const char *const *)c->endpoints.items, 1, &err);
    if (!c->channel)
        exit(kv_fail(KV_EXIT_ARGS, "%s", err.message));
}

void kv_cli_stop(struct kv_cli *c)
{
    grpc_channel_free(c->channel);
    loop_join(c->loop);
    tls_context_unref(c->tls);
    flag_list_free(&c->endpoints);
    flag_list_free(&c->args);
    arena_free(&c->arena);
}

const char *kv_error_text(const struct error *err, int status)
{
    const char *at = strstr(err->message, grpc_status_name(status));
    at = at ? strchr(at, ':') : NULL;
    return at && at[1] == ' ' ? at + 2 : err->message;
}

int kv_call(struct kv_cli *c, struct grpc_channel *channel, const char *path, const void *request,
            const ProtobufCMessageDescriptor *response, void *out)
{
    struct error err = {0};
    int status = 0;
    int rc = grpc_call_wait(channel, path, request, response, (uint64_t)c->command_timeout_ms,
                            &c->arena, (ProtobufCMessage **)out, &status, &err);
    if (rc == 0)
        return 0;
    if (c->failure)
        return kv_fail(KV_EXIT_ERROR, "%s (%s)", c->failure, kv_error_text(&err, status));
    return kv_fail(KV_EXIT_ERROR, "%s", kv_error_text(&err, status));
}

static ProtobufCBinaryData prefix_end(struct arena *a, ProtobufCBinaryData key)
{
    uint8_t *end = arena_dup(a, key.data, key.len);
    for (size_t n = key.len; n > 0; n--) {
        if (end[n - 1] != 0xff) {
            end[n - 1]++;
            return (ProtobufCBinaryData){n, end};
        }
    }
    return (ProtobufCBinaryData){1, (uint8_t *)"\0"};
}

int kv_range_args(struct kv_cli *c, bool prefix, bool from_key, ProtobufCBinaryData *key,
                  ProtobufCBinaryData *end)
{
    char **args = c->args.items;
    size_t n = c->args.len;
    if (n == 0 || n > 2)
        return kv_fail(KV_EXIT_ARGS,
                       "%s command needs one argument as key and an optional argument as range_end",
                       c->verb);
    if (prefix && from_key)
        return kv_fail(KV_EXIT_ARGS,
                       "`--prefix` and `--from-key` cannot be set at the same time, choose one");
    if ((prefix || from_key) && n > 1)
        return kv_fail(
            KV_EXIT_ARGS,
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set");
    *key = kv_bytes(args[0]);
    if (n == 2)
        *end = kv_bytes(args[1]);
    /* The empty key stands for the first one. */
    if ((prefix || from_key) && key->len == 0)
        *key = *end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    else if (prefix)
        *end = prefix_end(&c->arena, *key);
    else if (from_key)
        *end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    return 0;
}

bool kv_lease_id(const char *text, int64_t *out)
{
    char *end;
    *out = (int64_t)strtoull(text, &end, 16);
    return *text && !*end;
}

int kv_dispatch(const char *program, const struct kv_verb *verbs, int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "--help";
    for (const struct kv_verb *v = verbs; v->name; v++)
        if (cstr_eq(v->name, name))
            return v->run(argc - 1, argv + 1);
    bool help = cstr_eq(name, "--help") || cstr_eq(name, "-h") || cstr_eq(name, "help");
    FILE *out = help ? stdout : stderr;
    if (!help)
        fprintf(out, "Error: unknown command \"%s\" for \"%s\"\n", name, program);
    fprintf(out, "Usage: %s COMMAND [ARGUMENTS]\n\n", program);
    for (const struct kv_verb *v = verbs; v->name; v++)
        fprintf(out, "  %-12s %s\n", v->name, v->help);
    return help ? 0 : KV_EXIT_ERROR;
}

/* Does a flag in front of the command take the next word as its value? */
static bool takes_next(const char *flag)
{
    static const char *const alone[] = {"--insecure-skip-tls-verify",
                                        "--insecure-transport",
                                        "--hex",
                                        "--debug",
                                        "--help",
                                        "-h",
                                        NULL};
    for (const char *const *a = alone; *a; a++)
        if (cstr_eq(flag, *a))
            return false;
    return !strchr(flag, '=');
}

/*
 * etcdctl takes global flags before the command, too: `kv --endpoints=… endpoint status`. They are
 * moved behind everything else (but before a "--"), where the command's own parser finds them.
 */
static int move_leading_flags(int argc, char **argv, char **out)
{
    int first = 1, n = 0;
    while (first < argc && argv[first][0] == '-' && argv[first][1] && !cstr_eq(argv[first], "--"))
        first += takes_next(argv[first]) ? 2 : 1;
    if (first >= argc) /* no command: nothing to put them behind */
        first = 1;
    int stop = first;
    while (stop < argc && !cstr_eq(argv[stop], "--"))
        stop++;
    out[n++] = argv[0];
    for (int i = first; i < stop; i++)
        out[n++] = argv[i];
    for (int i = 1; i < first; i++)
        out[n++] = argv[i];
    for (int i = stop; i < argc; i++)
        out[n++] = argv[i];
    out[n] = NULL;
    return n;
}

int kv_main(int argc, char **argv)
{
    static const struct kv_verb verbs[] = {
        {"put", kv_put_main, "Put a key"},
        {"get", kv_get_main, "Get a key or a range of keys"},
        {"del", kv_del_main, "Delete a key or a range of keys"},
        {"txn", kv_txn_main, "Compare and change keys in one transaction"},
        {"watch", kv_watch_main, "Watch a key or a range of keys"},
        {"compaction", kv_compact_main, "Forget history up to a revision"},
        {"compact", kv_compact_main, "The same"},
        {"lease", kv_lease_main, "Grant, revoke, keep alive and list leases"},
        {"member", kv_member_main, "List the members"},
        {"endpoint", kv_endpoint_main, "Status and health of servers"},
        {"snapshot", kv_snapshot_main, "Save a backup, look at one, make a data directory of it"},
        {"bench", kv_bench_main, "Load generator: put, range, txn, watch, lease"},
        {NULL},
    };
    char **ordered = mem_zalloc(sizeof *ordered * ((size_t)argc + 1));
    int code = kv_dispatch("c8s kv", verbs, move_leading_flags(argc, argv, ordered), ordered);
    mem_free(ordered);
    return code;
}
