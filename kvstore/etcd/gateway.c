/*
 * etcd's JSON gateway: /v3/… with JSON bodies, over HTTP/1.1 and HTTP/2, on the client ports.
 *
 * Each path stands for a method of the gRPC services, which runs unchanged: the body becomes its message
 * (net/pb_json.h), what it answers becomes the response. A method that is reached here is a row in the table
 * below, whoever implements it; one that is not registered with the gRPC server answers 501.
 *
 *     unary:    POST /v3/kv/put {"key":"Zm9v","value":"YmFy"}  ─▶  {"header":{…}}
 *     streams:  any number of objects in the body as it arrives  ─▶  {"result":{…}}\n for each answer
 *     errors:   {"error":text,"code":gRPC status,"message":text}; in a stream {"error":{…}}\n
 */
#include "kvstore/etcd/internal.h"
#include "base/buf.h"
#include "net/pb_json.h"

static const struct http_header json_type = {STR("content-type"), STR("application/json")};

static const struct {
    const char *path, *method;
} table[] = {
    {"/v3/kv/range", "/etcdserverpb.KV/Range"},
    {"/v3/kv/put", "/etcdserverpb.KV/Put"},
    {"/v3/kv/deleterange", "/etcdserverpb.KV/DeleteRange"},
    {"/v3/kv/txn", "/etcdserverpb.KV/Txn"},
    {"/v3/kv/compaction", "/etcdserverpb.KV/Compact"},
    {"/v3/watch", "/etcdserverpb.Watch/Watch"},
    {"/v3/lease/grant", "/etcdserverpb.Lease/LeaseGrant"},
    {"/v3/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"},
    {"/v3/kv/lease/revoke", "/etcdserverpb.Lease/LeaseRevoke"},
    {"/v3/lease/keepalive", "/etcdserverpb.Lease/LeaseKeepAlive"},
    {"/v3/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"},
    {"/v3/kv/lease/timetolive", "/etcdserverpb.Lease/LeaseTimeToLive"},
    {"/v3/lease/leases", "/etcdserverpb.Lease/LeaseLeases"},
    {"/v3/kv/lease/leases", "/etcdserverpb.Lease/LeaseLeases"},
    {"/v3/cluster/member/add", "/etcdserverpb.Cluster/MemberAdd"},
    {"/v3/cluster/member/remove", "/etcdserverpb.Cluster/MemberRemove"},
    {"/v3/cluster/member/update", "/etcdserverpb.Cluster/MemberUpdate"},
    {"/v3/cluster/member/list", "/etcdserverpb.Cluster/MemberList"},
    {"/v3/cluster/member/promote", "/etcdserverpb.Cluster/MemberPromote"},
    {"/v3/maintenance/alarm", "/etcdserverpb.Maintenance/Alarm"},
    {"/v3/maintenance/status", "/etcdserverpb.Maintenance/Status"},
    {"/v3/maintenance/defragment", "/etcdserverpb.Maintenance/Defragment"},
    {"/v3/maintenance/hash", "/etcdserverpb.Maintenance/Hash"},
    {"/v3/maintenance/hashkv", "/etcdserverpb.Maintenance/HashKV"},
    {"/v3/maintenance/snapshot", "/etcdserverpb.Maintenance/Snapshot"},
    {"/v3/maintenance/transfer-leadership", "/etcdserverpb.Maintenance/MoveLeader"},
    {"/v3/maintenance/downgrade", "/etcdserverpb.Maintenance/Downgrade"},
    {"/v3/auth/enable", "/etcdserverpb.Auth/AuthEnable"},
    {"/v3/auth/disable", "/etcdserverpb.Auth/AuthDisable"},
    {"/v3/auth/status", "/etcdserverpb.Auth/AuthStatus"},
    {"/v3/auth/authenticate", "/etcdserverpb.Auth/Authenticate"},
    {"/v3/auth/user/add", "/etcdserverpb.Auth/UserAdd"},
    {"/v3/auth/user/get", "/etcdserverpb.Auth/UserGet"},
    {"/v3/auth/user/list", "/etcdserverpb.Auth/UserList"},
    {"/v3/auth/user/delete", "/etcdserverpb.Auth/UserDelete"},
    {"/v3/auth/user/changepw", "/etcdserverpb.Auth/UserChangePassword"},
    {"/v3/auth/user/grant", "/etcdserverpb.Auth/UserGrantRole"},
    {"/v3/auth/user/revoke", "/etcdserverpb.Auth/UserRevokeRole"},
    {"/v3/auth/role/add", "/etcdserverpb.Auth/RoleAdd"},
    {"/v3/auth/role/get", "/etcdserverpb.Auth/RoleGet"},
    {"/v3/auth/role/list", "/etcdserverpb.Auth/RoleList"},
    {"/v3/auth/role/delete", "/etcdserverpb.Auth/RoleDelete"},
    {"/v3/auth/role/grant", "/etcdserverpb.Auth/RoleGrantPermission"},
    {"/v3/auth/role/revoke", "/etcdserverpb.Auth/RoleRevokePermission"},
    {"/v3/lock/lock", "/v3lockpb.Lock/Lock"},
    {"/v3/lock/unlock", "/v3lockpb.Lock/Unlock"},
    {"/v3/election/campaign", "/v3electionpb.Election/Campaign"},
    {"/v3/election/proclaim", "/v3electionpb.Election/Proclaim"},
    {"/v3/election/leader", "/v3electionpb.Election/Leader"},
    {"/v3/election/observe", "/v3electionpb.Election/Observe"},
    {"/v3/election/resign", "/v3electionpb.Election/Resign"},
};

struct gateway {
    struct http_exchange *x;
    struct grpc_call *call;
    const struct grpc_method *method;
    bool streams; /* answers as {"result":…} lines */
    size_t body_max;
    struct buf in; /* of a streamed body: an object that is not all here */
    struct pb_json_scan scan;
    struct buf out; /* a unary answer */
};

/* As grpc-gateway translates them. */
static int http_status(int status)
{
    static const int by_status[] = {200, 408, 500, 400, 504, 404, 409, 403, 429,
                                    400, 409, 400, 501, 500, 503, 500, 401};
    return status >= 0 && (size_t)status < ARRAY_LEN(by_status) ? by_status[status] : 500;
}

static void write_error(struct buf *out, int status, const char *message)
{
    buf_append_cstr(out, "{\"error\":");
    buf_append_json_string(out, str_from(message));
    buf_printf(out, ",\"code\":%d,\"message\":", status);
    buf_append_json_string(out, str_from(message));
    buf_append_char(out, '}');
}

static void respond_error(struct http_exchange *x, int status, const char *message)
{
    struct buf out;
    buf_init(&out);
    write_error(&out, status, message);
    http_respond(x, http_status(status), &json_type, 1, buf_str(&out));
    buf_free(&out);
}

/* ------------------------------------------------------------------- the answer --- */

static void form_send(struct grpc_call *call, void *user, const ProtobufCMessage *message)
{
    struct gateway *g = user;
    (void)call;
    if (!g->streams) {
        pb_json_write(&g->out, message);
        return;
    }
    struct buf line;
    buf_init(&line);
    buf_append_cstr(&line, "{\"result\":");
    pb_json_write(&line, message);
    buf_append_cstr(&line, "}\n");
    if (!http_stream_started(g->x))
        http_stream_start(g->x, 200, &json_type, 1);
    http_stream_write(g->x, buf_str(&line));
    buf_free(&line);
}

static void finish_stream(struct gateway *g, int status, const char *message)
{
    if (!http_stream_started(g->x))
        http_stream_start(g->x, http_status(status), &json_type, 1);
    if (status != GRPC_OK) {
        struct buf line;
        buf_init(&line);
        buf_printf(&line, "{\"error\":{\"grpc_code\":%d,\"http_code\":%d,\"message\":", status,
                   http_status(status));
        buf_append_json_string(&line, str_from(message));
        buf_printf(&line, ",\"http_status\":\"%s\"}}\n", http_status_text(http_status(status)));
        http_stream_write(g->x, buf_str(&line));
        buf_free(&line);
    }
    http_stream_end(g->x, NULL, 0);
}

static void form_finish(struct grpc_call *call, void *user, int status, const char *message)
{
    struct gateway *g = user;
    (void)call;
    if (g->streams)
        finish_stream(g, status, message);
    else if (status == GRPC_OK)
        http_respond(g->x, 200, &json_type, 1, buf_str(&g->out));
    else
        respond_error(g->x, status, message);
}

static void form_free(struct grpc_call *call, void *user)
{
    struct gateway *g = user;
    (void)call;
    buf_free(&g->in);
    buf_free(&g->out);
}

static const struct grpc_form form = {form_send, form_finish, form_free};

/* ------------------------------------------------------------------ the request --- */

static const struct grpc_method *find_method(const struct etcd_server *s,
                                             const struct http_exchange *x, const char **name)
{
    *name = NULL;
    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (str_eqz(x->path, table[i].path)) {
            *name = table[i].method;
            return grpc_server_method(s->grpc, table[i].method);
        }
    return NULL;
}

static struct gateway *gateway_new(struct etcd_server *s, struct http_exchange *x,
                                   const struct grpc_method *method)
{
    struct gateway *g = arena_new(&x->arena, struct gateway);
    g->x = x;
    g->method = method;
    g->streams =
        method->client_streaming || cstr_eq(method->path, "/etcdserverpb.Maintenance/Snapshot");
    g->body_max = 2 * s->config.request_bytes_max; /* base64 and names */
    buf_init(&g->in);
    buf_init(&g->out);
    g->call = grpc_server_call(s->grpc, x, method, &form, g);
    return g;
}

/* The objects of a streamed body that are complete. */
static void take_objects(struct gateway *g)
{
    while (!grpc_call_finished(g->call)) {
        ptrdiff_t end = pb_json_end(&g->scan, buf_str(&g->in));
        if (end == 0)
            break;
        struct error err = {0};
        struct arena a;
        arena_init(&a);
        const ProtobufCMessage *m =
            end < 0 ? NULL
                    : pb_json_read(&a, g->method->request, str_make(g->in.data, (size_t)end), &err);
        if (m)
            grpc_call_deliver(g->call, m);
        else
            grpc_finish(g->call, GRPC_INVALID_ARGUMENT, end < 0 ? "invalid JSON" : err.message);
        arena_free(&a);
        if (end > 0)
            buf_consume(&g->in, (size_t)end);
        g->scan = (struct pb_json_scan){0};
    }
}

static void on_body(struct http_exchange *x, struct str data, bool end)
{
    struct gateway *g = grpc_form_user(x->user);
    if (grpc_call_finished(g->call))
        return;
    buf_append_str(&g->in, data);
    take_objects(g);
    if (grpc_call_finished(g->call))
        return;
    if (g->in.len > g->body_max)
        grpc_finish(g->call, GRPC_RESOURCE_EXHAUSTED, "etcdserver: request is too large");
    else if (end && str_trim(buf_str(&g->in)).n)
        grpc_finish(g->call, GRPC_INVALID_ARGUMENT, "unexpected EOF");
    else if (end)
        grpc_call_end(g->call);
}

bool etcd_gateway_headers(struct etcd_server *s, struct http_exchange *x)
{
    const char *name;
    if (!str_has_prefix(x->path, STR("/v3/")))
        return false;
    const struct grpc_method *method = find_method(s, x, &name);
    if (method && method->client_streaming && str_eqz(x->method, "POST")) {
        gateway_new(s, x, method);
        http_body_stream(x, on_body);
    } else {
        http_body_limit(x, 2 * s->config.request_bytes_max);
    }
    return true;
}

bool etcd_gateway_request(struct etcd_server *s, struct http_exchange *x)
{
    const char *name;
    struct error err = {0};
    if (!str_has_prefix(x->path, STR("/v3/")))
        return false;
    const struct grpc_method *method = find_method(s, x, &name);
    if (!name) {
        respond_error(x, GRPC_NOT_FOUND, "Not Found");
    } else if (!str_eqz(x->method, "POST")) {
        respond_error(x, GRPC_UNIMPLEMENTED, "Method Not Allowed");
    } else if (!method || !method->request) {
        respond_error(x, GRPC_UNIMPLEMENTED, arena_printf(&x->arena, "unknown method %s", name));
    } else {
        const ProtobufCMessage *m = pb_json_read(&x->arena, method->request, x->body, &err);
        if (m)
            grpc_call_deliver(gateway_new(s, x, method)->call, m);
        else
            respond_error(x, GRPC_INVALID_ARGUMENT, err.message);
    }
    return true;
}
