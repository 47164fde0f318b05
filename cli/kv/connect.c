/*
 * `c8s kv`: global flags, ETCDCTL_ variables, TLS and login, requests and the texts of their errors.
 */
#include "cli/kv/kv.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#define RETRY_MS 100
#define PING_MS_MIN 10000 /* servers refuse clients that ask more often */

void kv_cli_init(struct kv_cli *c, const char *verb)
{
    *c = (struct kv_cli){.verb = verb,
                         .dial_timeout_ms = 2000,
                         .command_timeout_ms = 5000,
                         .keepalive_time_ms = 2000,
                         .keepalive_timeout_ms = 6000,
                         .access.insecure_transport = true,
                         .access.discovery = true,
                         .access.prompt = "Password: ",
                         .write_out = "simple"};
    arena_init(&c->arena);
    uv_mutex_init(&c->lock);
    uv_cond_init(&c->wake);
}

int kv_fail(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("Error: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    return code;
}

/* ------------------------------------------------------------------------ access --- */

static bool is_secure(const struct kv_access *a)
{
    return a->cacert || a->cert || a->key || a->insecure_skip_verify || !a->insecure_transport;
}

struct grpc_channel *kv_access_connect(struct kv_cli *c, const struct kv_access *access,
                                       const char *const *endpoints, unsigned connections,
                                       struct error *err)
{
    size_t n = 0;
    while (endpoints[n])
        n++;
    const char **targets = arena_array(&c->arena, const char *, n + 1);
    for (size_t i = 0; i < n; i++) {
        bool url = strstr(endpoints[i], "://") || strncmp(endpoints[i], "unix:", 5) == 0;
        targets[i] = url ? endpoints[i]
                         : arena_printf(&c->arena, "%s://%s", is_secure(access) ? "https" : "http",
                                        endpoints[i]);
    }
    return grpc_channel_new(
        c->loop,
        &(struct grpc_channel_options){
            .targets = targets,
            .tls = access->tls,
            .token = access->token,
            .connections = connections,
            .connect_timeout_ms = (uint64_t)c->dial_timeout_ms,
            .require_leader = c->require_leader,
            .ping_timeout_ms = (uint64_t)c->keepalive_timeout_ms,
            .ping_interval_ms = (uint64_t)MAX(c->keepalive_time_ms, PING_MS_MIN),
        },
        err);
}

struct grpc_channel *kv_cli_connect(struct kv_cli *c, const char *const *endpoints,
                                    unsigned connections, struct error *err)
{
    return kv_access_connect(c, &c->access, endpoints, connections, err);
}

struct grpc_channel *kv_connect_one(struct kv_cli *c, const char *endpoint, struct error *err)
{
    const char *one[] = {endpoint, NULL};
    return kv_cli_connect(c, one, 1, err);
}

const char *kv_ask_password(struct arena *a, const char *prompt)
{
    struct termios shown, hidden;
    bool terminal = tcgetattr(0, &shown) == 0;
    fputs(prompt, stdout);
    fflush(stdout);
    if (terminal) {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(0, TCSAFLUSH, &hidden);
    }
    char *line = NULL;
    size_t cap = 0;
    ssize_t n = getline(&line, &cap, stdin);
    if (terminal)
        tcsetattr(0, TCSAFLUSH, &shown);
    puts("");
    while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
        n--;
    const char *password = n >= 0 ? arena_strndup(a, line, (size_t)n) : NULL;
    free(line);
    return password;
}

/* Ask for a token. A server that checks nobody gives none. */
static int log_in(struct kv_cli *c, struct kv_access *access, const char *const *endpoints)
{
    struct error err = {0};
    Etcdserverpb__AuthenticateRequest q = ETCDSERVERPB__AUTHENTICATE_REQUEST__INIT;
    Etcdserverpb__AuthenticateResponse *r;
    const char *colon = strchr(access->user, ':'), *text;
    bool in_password = access->password && *access->password;
    const char *password = access->password;
    if (!in_password)
        password = colon ? colon + 1 : kv_ask_password(&c->arena, access->prompt);
    if (!password)
        return kv_fail(KV_EXIT_ERROR, "EOF");
    q.name = colon && !in_password
                 ? arena_strndup(&c->arena, access->user, (size_t)(colon - access->user))
                 : (char *)access->user;
    q.password = (char *)password;
    if (!*q.name || !*q.password) /* as etcdctl: then there is no login */
        return 0;
    struct grpc_channel *channel = kv_access_connect(c, access, endpoints, 1, &err);
    if (!channel)
        return kv_fail(KV_EXIT_ARGS, "%s", err.message);
    int status = kv_try(c, channel, "/etcdserverpb.Auth/Authenticate", &q,
                        &etcdserverpb__authenticate_response__descriptor, &r, &text);
    grpc_channel_free(channel);
    if (status == 0)
        access->token = r->token;
    else if (!cstr_eq(text, "etcdserver: authentication is not enabled"))
        return kv_fail(KV_EXIT_CONNECTION, "%s", text);
    return 0;
}

int kv_access_open(struct kv_cli *c, struct kv_access *access, const char *const *endpoints)
{
    struct error err = {0};
    access->tls =
        tls_client_new(&(struct tls_options){.ca_file = access->cacert,
                                             .cert_file = access->cert,
                                             .key_file = access->key,
                                             .insecure_skip_verify = access->insecure_skip_verify},
                       &err);
    if (!access->tls)
        return kv_fail(KV_EXIT_ARGS, "%s", err.message);
    return access->user && *access->user ? log_in(c, access, endpoints) : 0;
}

void kv_access_close(struct kv_access *access)
{
    tls_context_unref(access->tls);
    access->tls = NULL;
}

/* -------------------------------------------------------------------- start, stop --- */

static bool format_of(const char *name, enum kv_format *out)
{
    static const char *const names[] = {"simple", "json", "fields", "table", "protobuf"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (cstr_eq(names[i], name)) {
            *out = (enum kv_format)i;
            return true;
        }
    }
    return false;
}

static void flags_or_exit(const struct flags_spec *spec, int argc, char **argv,
                          struct flag_list *args)
{
    struct error err = {0};
    int rc = flags_parse(spec, argc, argv, args, &err);
    if (rc == FLAGS_PRINTED)
        exit(fflush(stdout) == 0 ? 0 : 1);
    if (rc == 0)
        return;
    kv_fail(KV_EXIT_ERROR, "%s", err.message);
    fprintf(stderr, "Try '%s --help'.\n", spec->program);
    exit(KV_EXIT_ERROR);
}

void kv_cli_parse(struct kv_cli *c, const struct flags_spec *spec, int argc, char **argv)
{
    /* Variables stand for the global flags only: ETCDCTL_PREFIX says nothing of --prefix. */
    const struct flag global[] = {KV_GLOBAL_FLAGS(c), FLAGS_END};
    const struct flags_spec variables = {
        .program = spec->program, .flags = global, .env_prefix = "ETCDCTL_"};
    struct flags_spec words = *spec;
    words.env_prefix = NULL;
    flags_or_exit(&variables, 1, argv, NULL);
    flags_or_exit(&words, argc, argv, &c->args);
    if (!format_of(c->write_out, &c->format))
        exit(kv_fail(KV_EXIT_FEATURE, "unsupported output format"));
    if (c->endpoints.len == 0)
        flag_list_add(&c->endpoints, "127.0.0.1:2379");
    for (size_t i = 0; i < c->endpoints.len; i++) { /* "a, b" */
        struct str s = str_trim(str_from(c->endpoints.items[i]));
        char *trimmed = mem_strndup(s.p, s.n);
        mem_free(c->endpoints.items[i]);
        c->endpoints.items[i] = trimmed;
    }
}

/* The list of endpoints, ended by NULL. */
static const char *const *endpoint_list(struct kv_cli *c)
{
    const char **list = arena_array(&c->arena, const char *, c->endpoints.len + 1);
    for (size_t i = 0; i < c->endpoints.len; i++)
        list[i] = c->endpoints.items[i];
    return list;
}

void kv_cli_connect_all(struct kv_cli *c)
{
    struct error err = {0};
    c->loop = loop_start("kv");
    const char *const *endpoints = endpoint_list(c);
    int rc = kv_access_open(c, &c->access, endpoints);
    if (rc)
        exit(rc);
    c->channel = kv_cli_connect(c, endpoints, 1, &err);
    if (!c->channel)
        exit(kv_fail(KV_EXIT_ARGS, "%s", err.message));
}

void kv_cli_start(struct kv_cli *c, const struct flags_spec *spec, int argc, char **argv)
{
    kv_cli_parse(c, spec, argc, argv);
    kv_cli_connect_all(c);
}

void kv_cli_stop(struct kv_cli *c)
{
    if (c->loop) {
        grpc_channel_free(c->channel);
        loop_join(c->loop);
    }
    kv_access_close(&c->access);
    uv_cond_destroy(&c->wake);
    uv_mutex_destroy(&c->lock);
    flag_list_free(&c->endpoints);
    flag_list_free(&c->args);
    arena_free(&c->arena);
}

/* ---------------------------------------------------------------------- requests --- */

const char *kv_status_text(struct arena *a, int status, const char *message)
{
    if (status == GRPC_DEADLINE_EXCEEDED)
        return "context deadline exceeded";
    if (status == GRPC_CANCELLED)
        return "context canceled";
    if (strncmp(message, "etcdserver: ", strlen("etcdserver: ")) == 0)
        return arena_strdup(a, message);
    return arena_printf(a, "rpc error: code = %s desc = %s", grpc_status_name(status), message);
}

/* May the request be sent again when it is not known whether it was carried out? */
static bool is_repeatable(const char *path)
{
    static const char *const names[] = {
        "KV/Range",          "Cluster/MemberList",    "Maintenance/Status", "Maintenance/HashKV",
        "Lease/LeaseLeases", "Lease/LeaseTimeToLive", "Auth/Authenticate",  "Auth/AuthStatus",
        "Auth/UserList",     "Auth/UserGet",          "Auth/RoleList",      "Auth/RoleGet"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (cstr_eq(path + strlen("/etcdserverpb."), names[i]))
            return true;
    return false;
}

/* Did the request not even leave? The client's own words begin with the address. */
static bool is_unsent(const char *message)
{
    return strncmp(message, "http://", 7) == 0 || strncmp(message, "https://", 8) == 0;
}

/* The server's message out of an error of grpc_call_wait: "path: Status: message". */
static const char *server_message(const struct error *err, int status)
{
    const char *at = strstr(err->message, grpc_status_name(status));
    at = at ? strchr(at, ':') : NULL;
    return at && at[1] == ' ' ? at + 2 : err->message;
}

int kv_try(struct kv_cli *c, struct grpc_channel *channel, const char *path, const void *request,
           const ProtobufCMessageDescriptor *response, void *out, const char **text)
{
    uint64_t until = clock_mono_ns() + (uint64_t)c->command_timeout_ms * NS_PER_MS;
    const char *unreachable = NULL; /* why no server was reached the last time */
    for (;;) {
        struct error err = {0};
        int status = 0;
        uint64_t now = clock_mono_ns();
        uint64_t left_ms = now < until ? (until - now) / NS_PER_MS + 1 : 1;
        if (grpc_call_wait(channel, path, request, response, left_ms, &c->arena,
                           (ProtobufCMessage **)out, &status, &err) == 0)
            return 0;
        const char *message = server_message(&err, status);
        bool unsent = is_unsent(message);
        bool again = status == GRPC_UNAVAILABLE && (unsent || is_repeatable(path));
        bool late = unreachable && status == GRPC_DEADLINE_EXCEEDED;
        if (again) {
            unreachable = arena_strdup(&c->arena, message);
            late = clock_mono_ns() + RETRY_MS * NS_PER_MS >= until;
        }
        if (late) { /* the last try may have had no time to fail: then the one before it tells */
            fprintf(stderr, "c8s kv: %s\n", unreachable);
            *text = "context deadline exceeded";
            return GRPC_DEADLINE_EXCEEDED;
        }
        if (!again) {
            *text = kv_status_text(&c->arena, status, message);
            return status;
        }
        usleep(RETRY_MS * 1000);
    }
}

int kv_call(struct kv_cli *c, struct grpc_channel *channel, const char *path, const void *request,
            const ProtobufCMessageDescriptor *response, void *out)
{
    const char *text;
    int code = c->failure_exit ? c->failure_exit : KV_EXIT_ERROR;
    if (c->debug)
        fprintf(stderr, "c8s kv: %s\n", path);
    if (kv_try(c, channel, path, request, response, out, &text) == 0)
        return 0;
    return c->failure ? kv_fail(code, "%s (%s)", c->failure, text) : kv_fail(code, "%s", text);
}

int kv_ask(struct kv_cli *c, const char *path, const void *request,
           const ProtobufCMessageDescriptor *response, const struct kv_forms *forms)
{
    void *answer;
    int rc = kv_call(c, c->channel, path, request, response, &answer);
    return rc ? rc : kv_show(c, answer, forms);
}

int kv_plain_main(const struct kv_plain *p, int argc, char **argv)
{
    struct kv_cli c;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {.program = p->program,
                                    .summary = p->summary,
                                    .usage = p->usage,
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc;
    if (c.args.len != p->args) {
        rc = kv_fail(KV_EXIT_ARGS, "%s", p->args_error);
    } else {
        kv_cli_connect_all(&c);
        rc = p->run(&c);
    }
    kv_cli_stop(&c);
    return rc;
}

int kv_use_cluster(struct kv_cli *c, bool cluster)
{
    if (!cluster)
        return 0;
    Etcdserverpb__MemberListRequest q = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    Etcdserverpb__MemberListResponse *r;
    const char *text;
    q.linearizable = true;
    if (kv_try(c, c->channel, "/etcdserverpb.Cluster/MemberList", &q,
               &etcdserverpb__member_list_response__descriptor, &r, &text))
        return kv_fail(KV_EXIT_ERROR, "failed to fetch endpoints from etcd cluster member list: %s",
                       text);
    flag_list_free(&c->endpoints);
    for (size_t i = 0; i < r->n_members; i++)
        for (size_t k = 0; k < r->members[i]->n_clienturls; k++)
            flag_list_add(&c->endpoints, r->members[i]->clienturls[k]);
    return 0;
}

/* --------------------------------------------------------------------- arguments --- */

ProtobufCBinaryData kv_prefix_end(struct arena *a, ProtobufCBinaryData key)
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
    if (prefix && from_key)
        return kv_fail(KV_EXIT_ARGS,
                       "`--prefix` and `--from-key` cannot be set at the same time, choose one");
    if ((prefix || from_key) && n > 1)
        return kv_fail(
            KV_EXIT_ARGS,
            "too many arguments, only accept one argument when `--prefix` or `--from-key` is set");
    *key = kv_bytes(args[0]);
    if (n >= 2)
        *end = kv_bytes(args[1]);
    /* The empty key stands for the first one. */
    if ((prefix || from_key) && key->len == 0)
        *key = *end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    else if (prefix)
        *end = kv_prefix_end(&c->arena, *key);
    else if (from_key)
        *end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    return 0;
}

static const char *int_error(struct arena *a, const char *function, const char *text,
                             const char *reason)
{
    struct buf quoted;
    buf_init(&quoted);
    kv_quote(&quoted, kv_bytes(text));
    const char *error =
        arena_printf(a, "strconv.%s: parsing %s: %s", function, buf_cstr(&quoted), reason);
    buf_free(&quoted);
    return error;
}

/* strtoll and strtoull take white space, "0x" and, unsigned, a minus: Go does not. */
static bool is_number(const char *text, int base, bool is_signed)
{
    const char *digits = base == 16 ? "0123456789abcdefABCDEF" : "0123456789";
    if (is_signed && (*text == '-' || *text == '+'))
        text++;
    return *text && strspn(text, digits) == strlen(text);
}

const char *kv_parse_int(struct arena *a, const char *text, int base, int64_t *out)
{
    if (!is_number(text, base, true))
        return int_error(a, "ParseInt", text, "invalid syntax");
    errno = 0;
    *out = strtoll(text, NULL, base);
    return errno ? int_error(a, "ParseInt", text, "value out of range") : NULL;
}

const char *kv_parse_uint(struct arena *a, const char *text, int base, uint64_t *out)
{
    if (!is_number(text, base, false))
        return int_error(a, "ParseUint", text, "invalid syntax");
    errno = 0;
    *out = strtoull(text, NULL, base);
    return errno ? int_error(a, "ParseUint", text, "value out of range") : NULL;
}

int kv_lease_arg(struct kv_cli *c, const char *text, int64_t *id)
{
    const char *wrong = kv_parse_int(&c->arena, text, 16, id);
    return wrong ? kv_fail(KV_EXIT_ARGS, "bad lease ID arg (%s), expecting ID in Hex", wrong) : 0;
}

int kv_member_arg(struct kv_cli *c, const char *text, uint64_t *id)
{
    const char *wrong = kv_parse_uint(&c->arena, text, 16, id);
    return wrong ? kv_fail(KV_EXIT_ARGS, "bad member ID arg (%s), expecting ID in Hex", wrong) : 0;
}
