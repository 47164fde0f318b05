/*
 * Who calls, and etcd's Auth service (kvstore/etcd/auth.h).
 *
 * Passwords are hashed and compared on libuv's pool, since bcrypt takes tens of milliseconds:
 *
 *   UserAdd, UserChangePassword   hash ─▶ propose ─▶ answer
 *   Authenticate                  read index ─▶ compare ─▶ token (proposed, or signed while comparing) ─▶ answer;
 *                                 again when users or roles changed in between
 */
#include "kvstore/etcd/auth.h"
#include "base/log.h"
#include "base/mem.h"
#include "proto/etcd/auth_rpc.pb-c.h"

#define HASHING_MAX 512    /* passwords waiting for the pool */
#define TOKEN_WAIT_MS 5000 /* for the log entry that made a token */

const char *etcd_auth_error(int code, int *status)
{
    switch (code) {
    case KV_ERR_AUTH_NO_PASSWORD:
    case KV_ERR_AUTH_VERIFY_ONLY:
        *status = GRPC_UNKNOWN;
        break;
    case KV_ERR_AUTH_DENIED:
        *status = GRPC_PERMISSION_DENIED;
        break;
    case KV_ERR_AUTH_TOKEN:
        *status = GRPC_UNAUTHENTICATED;
        break;
    case KV_ERR_AUTH_USER_EMPTY:
    case KV_ERR_AUTH_ROLE_EMPTY:
    case KV_ERR_AUTH_FAILED:
    case KV_ERR_AUTH_PERM_NOT_GIVEN:
    case KV_ERR_AUTH_MGMT:
    case KV_ERR_AUTH_OLD_REVISION:
        *status = GRPC_INVALID_ARGUMENT;
        break;
    default:
        *status = GRPC_FAILED_PRECONDITION;
        break;
    }
    return kv_auth_message(code);
}

/* ----------------------------------------------------------------------- who calls --- */

static struct str token_of(const struct grpc_call *call)
{
    struct str token = grpc_metadata(call, "token");
    return token.p ? token : grpc_metadata(call, "authorization");
}

static bool is_grpc(const struct http_exchange *x)
{
    return str_has_prefix(http_header_get(x, "content-type"), STR("application/grpc"));
}

int etcd_auth_who(struct etcd_server *s, struct grpc_call *call, struct kv_auth_info *out)
{
    *out = (struct kv_auth_info){0};
    if (!kv_auth_enabled(s->kv))
        return 0;
    struct str token = token_of(call);
    if (token.p)
        return kv_auth_token(s->kv, token, grpc_arena(call), out);
    const struct http_exchange *x = grpc_exchange(call);
    if (s->config.client_cert_auth && x->peer && x->peer->verified && is_grpc(x))
        *out = (struct kv_auth_info){str_from(x->peer->common_name), kv_auth_revision(s->kv)};
    return 0;
}

int etcd_auth_range(struct etcd_server *s, struct grpc_call *call, struct str key, struct str end)
{
    struct kv_auth_info who;
    int rc = etcd_auth_who(s, call, &who);
    return rc < 0 ? rc : kv_auth_check_range(s->kv, &who, key, end, false);
}

int etcd_auth_prefix(struct etcd_server *s, struct grpc_call *call, struct str prefix, bool write)
{
    struct kv_auth_info who;
    int rc = etcd_auth_who(s, call, &who);
    if (rc < 0 || !kv_auth_enabled(s->kv))
        return rc;
    struct str end = kv_prefix_end(grpc_arena(call), prefix);
    rc = kv_auth_check_range(s->kv, &who, prefix, end, false);
    return rc < 0 || !write ? rc : kv_auth_check_range(s->kv, &who, prefix, end, true);
}

int etcd_auth_user(struct etcd_server *s, struct grpc_call *call)
{
    struct kv_auth_info who;
    int rc = etcd_auth_who(s, call, &who);
    return rc < 0 ? rc : kv_auth_check_user(s->kv, &who);
}

int etcd_auth_admin(struct etcd_server *s, struct grpc_call *call)
{
    struct kv_auth_info who;
    int rc = etcd_auth_who(s, call, &who);
    return rc < 0 ? rc : kv_auth_check_admin(s->kv, &who);
}

int etcd_auth_lease(struct etcd_server *s, struct grpc_call *call, int64_t lease, bool write)
{
    struct kv_auth_info who;
    int rc = etcd_auth_who(s, call, &who);
    if (rc == 0)
        rc = kv_auth_check_user(s->kv, &who);
    return rc < 0 ? rc : kv_auth_check_lease(s->kv, &who, lease, write);
}

int etcd_auth_still(struct etcd_server *s, uint64_t rev)
{
    return kv_auth_enabled(s->kv) && kv_auth_revision(s->kv) != rev ? KV_ERR_AUTH_OLD_REVISION : 0;
}

const char *etcd_auth_cancel_reason(struct grpc_call *call, int code)
{
    int status;
    const char *message = etcd_error_message(code, &status);
    return arena_printf(grpc_arena(call), "rpc error: code = %s desc = %s",
                        grpc_status_name(status), message);
}

static void admitted(void *ctx, int code, int64_t rev)
{
    (void)code; /* too late: the token will not be known */
    (void)rev;
    grpc_admit(ctx);
}

bool etcd_auth_admit(struct grpc_call *call, void *ctx)
{
    struct etcd_server *s = ctx;
    if (!kv_auth_enabled(s->kv))
        return true;
    struct str token = token_of(call);
    uint64_t index = token.p ? kv_auth_token_index(s->kv, token) : 0;
    if (!index)
        return true;
    uint64_t left = grpc_time_left_ms(call);
    kv_wait_applied(s->kv, index, (uint32_t)MIN(left, TOKEN_WAIT_MS), etcd_loop(call), admitted,
                    call);
    return false;
}

/* -------------------------------------------------------------------------- changes --- */

struct auth_call {
    struct etcd_request base;
    struct kv_auth_change change;
    struct kv_auth_info who;
    const ProtobufCMessageDescriptor *answer; /* has a header, and nothing else */
    uv_work_t work;
    const char *password;
    char hash[KV_AUTH_HASH_MAX];
    struct str stored; /* hash to compare with */
    uint64_t rev;      /* auth revision that `stored` is of */
    const char *token;
    int code;
    struct error err;
};

static struct auth_call *auth_call_new(struct grpc_call *call, void *ctx,
                                       const ProtobufCMessage *message, enum kv_auth_op op,
                                       const ProtobufCMessageDescriptor *answer)
{
    struct auth_call *c = arena_new(grpc_arena(call), struct auth_call);
    c->base = (struct etcd_request){.server = ctx, .call = call, .message = message};
    c->change.op = op;
    c->answer = answer;
    grpc_set_user(call, &c->base);
    return c;
}

static void changed(void *ctx, const struct kv_auth_result *result)
{
    struct auth_call *c = ctx;
    if (result->code < 0) {
        etcd_fail(c->base.call, result->code);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthEnableResponse *r =
        arena_alloc(grpc_arena(c->base.call), c->answer->sizeof_message);
    protobuf_c_message_init(c->answer, r);
    etcd_header(c->base.server, &header, result->rev);
    r->header = &header;
    grpc_reply(c->base.call, &r->base);
}

static void propose(struct auth_call *c)
{
    struct grpc_call *call = c->base.call;
    int rc = etcd_auth_who(c->base.server, call, &c->who);
    if (rc < 0)
        etcd_fail(call, rc);
    else
        kv_auth_change(c->base.server->kv, &c->change, &c->who, etcd_loop(call), changed, c);
}

/* Run on the pool, then go on on the loop; refuses when too many wait already. */
static void on_pool(struct auth_call *c, uv_work_cb work, uv_after_work_cb then)
{
    struct etcd_server *s = c->base.server;
    if (atomic_fetch_add(&s->hashing, 1) >= HASHING_MAX) {
        atomic_fetch_sub(&s->hashing, 1);
        etcd_fail(c->base.call, ERR_LIMIT);
        return;
    }
    uv_queue_work(loop_uv(etcd_loop(c->base.call)), &c->work, work, then);
}

static void run_hash(uv_work_t *work)
{
    struct auth_call *c = container_of(work, struct auth_call, work);
    c->code = kv_auth_hash_password(c->password, kv_auth_bcrypt_cost(c->base.server->kv), c->hash,
                                    &c->err);
}

static void hashed(uv_work_t *work, int status)
{
    struct auth_call *c = container_of(work, struct auth_call, work);
    atomic_fetch_sub(&c->base.server->hashing, 1);
    if (status < 0) {
        etcd_fail(c->base.call, ERR_CANCELLED);
    } else if (c->code < 0) {
        grpc_finish(c->base.call, GRPC_UNKNOWN,
                    arena_printf(grpc_arena(c->base.call), "bcrypt: %s", c->err.message));
    } else {
        c->change.secret = str_from(c->hash);
        propose(c);
    }
}

static void on_enable(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, struct str raw)
{
    (void)raw;
    propose(auth_call_new(call, ctx, m, KV_AUTH_ENABLE,
                          &etcdserverpb__auth_enable_response__descriptor));
}

static void on_disable(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, struct str raw)
{
    (void)raw;
    propose(auth_call_new(call, ctx, m, KV_AUTH_DISABLE,
                          &etcdserverpb__auth_disable_response__descriptor));
}

static void on_user_add(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                        struct str raw)
{
    (void)raw;
    const Etcdserverpb__AuthUserAddRequest *q = (const void *)m;
    struct auth_call *c = auth_call_new(call, ctx, m, KV_AUTH_USER_ADD,
                                        &etcdserverpb__auth_user_add_response__descriptor);
    c->change.name = str_from(q->name);
    c->change.no_password = q->options && q->options->no_password;
    c->password = q->password;
    if (c->change.no_password)
        propose(c);
    else
        on_pool(c, run_hash, hashed);
}

static void on_user_delete(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                           struct str raw)
{
    (void)raw;
    struct auth_call *c = auth_call_new(call, ctx, m, KV_AUTH_USER_DELETE,
                                        &etcdserverpb__auth_user_delete_response__descriptor);
    c->change.name = str_from(((const Etcdserverpb__AuthUserDeleteRequest *)(const void *)m)->name);
    propose(c);
}

static void on_user_password(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                             struct str raw)
{
    (void)raw;
    const Etcdserverpb__AuthUserChangePasswordRequest *q = (const void *)m;
    struct auth_call *c =
        auth_call_new(call, ctx, m, KV_AUTH_USER_PASSWORD,
                      &etcdserverpb__auth_user_change_password_response__descriptor);
    c->change.name = str_from(q->name);
    c->password = q->password;
    if (*q->password)
        on_pool(c, run_hash, hashed);
    else
        propose(c); /* as etcd: nobody can log in with it */
}

static void on_user_grant(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                          struct str raw)
{
    (void)raw;
    const Etcdserverpb__AuthUserGrantRoleRequest *q = (const void *)m;
    struct auth_call *c = auth_call_new(call, ctx, m, KV_AUTH_USER_GRANT_ROLE,
                                        &etcdserverpb__auth_user_grant_role_response__descriptor);
    c->change.name = str_from(q->user);
    c->change.role = str_from(q->role);
    propose(c);
}

static void on_user_revoke(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                           struct str raw)
{
    (void)raw;
    const Etcdserverpb__AuthUserRevokeRoleRequest *q = (const void *)m;
    struct auth_call *c = auth_call_new(call, ctx, m, KV_AUTH_USER_REVOKE_ROLE,
                                        &etcdserverpb__auth_user_revoke_role_response__descriptor);
    c->change.name = str_from(q->name);
    c->change.role = str_from(q->role);
    propose(c);
}

static void on_role_add(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                        struct str raw)
{
    (void)raw;
    struct auth_call *c = auth_call_new(call, ctx, m, KV_AUTH_ROLE_ADD,
                                        &etcdserverpb__auth_role_add_response__descriptor);
    c->change.role = str_from(((const Etcdserverpb__AuthRoleAddRequest *)(const void *)m)->name);
    propose(c);
}

static void on_role_delete(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                           struct str raw)
{
    (void)raw;
    struct auth_call *c = auth_call_new(call, ctx, m, KV_AUTH_ROLE_DELETE,
                                        &etcdserverpb__auth_role_delete_response__descriptor);
    c->change.role = str_from(((const Etcdserverpb__AuthRoleDeleteRequest *)(const void *)m)->role);
    propose(c);
}

static void on_role_grant(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                          struct str raw)
{
    (void)raw;
    const Etcdserverpb__AuthRoleGrantPermissionRequest *q = (const void *)m;
    struct auth_call *c =
        auth_call_new(call, ctx, m, KV_AUTH_ROLE_GRANT,
                      &etcdserverpb__auth_role_grant_permission_response__descriptor);
    if (!q->perm || (unsigned)q->perm->permtype > KV_AUTH_READWRITE) {
        int rc = etcd_auth_admin(c->base.server, call);
        etcd_fail(call, rc < 0 ? rc : KV_ERR_AUTH_PERM_NOT_GIVEN);
        return;
    }
    c->change.role = str_from(q->name);
    c->change.perm.type = (enum kv_auth_perm)q->perm->permtype;
    c->change.perm.key = etcd_str(q->perm->key);
    c->change.perm.end = etcd_str(q->perm->range_end);
    propose(c);
}

static void on_role_revoke(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                           struct str raw)
{
    (void)raw;
    const Etcdserverpb__AuthRoleRevokePermissionRequest *q = (const void *)m;
    struct auth_call *c =
        auth_call_new(call, ctx, m, KV_AUTH_ROLE_REVOKE,
                      &etcdserverpb__auth_role_revoke_permission_response__descriptor);
    c->change.role = str_from(q->role);
    c->change.perm.key = etcd_str(q->key);
    c->change.perm.end = etcd_str(q->range_end);
    propose(c);
}

/* --------------------------------------------------------------------- authenticate --- */

static void authenticate(void *ctx, int code, int64_t rev);

static void authenticated(void *ctx, const struct kv_auth_result *result)
{
    struct auth_call *c = ctx;
    if (result->code < 0) {
        etcd_fail(c->base.call, result->code);
        return;
    }
    if (result->auth_rev != c->rev) { /* the password compared with may be an old one */
        authenticate(c, 0, 0);
        return;
    }
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__AuthenticateResponse r = ETCDSERVERPB__AUTHENTICATE_RESPONSE__INIT;
    etcd_header(c->base.server, &header, result->rev);
    r.header = &header;
    r.token = (char *)result->token;
    grpc_reply(c->base.call, &r.base);
}

static void run_compare(uv_work_t *work)
{
    struct auth_call *c = container_of(work, struct auth_call, work);
    struct kv *kv = c->base.server->kv;
    c->code = kv_auth_password_ok(c->password, c->stored) ? 0 : KV_ERR_AUTH_FAILED;
    if (c->code == 0 && !kv_auth_tokens_replicated(kv))
        c->code =
            kv_auth_sign(kv, c->change.name, c->rev, grpc_arena(c->base.call), &c->token, &c->err);
}

static void compared(uv_work_t *work, int status)
{
    struct auth_call *c = container_of(work, struct auth_call, work);
    struct etcd_server *s = c->base.server;
    atomic_fetch_sub(&s->hashing, 1);
    if (status < 0)
        c->code = ERR_CANCELLED;
    if (c->code == KV_ERR_AUTH_FAILED)
        log_info("auth", "a wrong password was given user=%.*s remote=%s", STR_ARG(c->change.name),
                 grpc_exchange(c->base.call)->remote);
    if (c->code < 0)
        etcd_fail(c->base.call, c->code);
    else if (kv_auth_tokens_replicated(s->kv))
        kv_auth_change(s->kv, &c->change, NULL, etcd_loop(c->base.call), authenticated, c);
    else
        authenticated(c, &(struct kv_auth_result){0, kv_current_revision(s->kv),
                                                  kv_auth_revision(s->kv), c->token});
}

static void authenticate(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct auth_call *c = ctx;
    struct grpc_call *call = c->base.call;
    if (code == 0)
        code = kv_auth_stored_password(c->base.server->kv, c->change.name, grpc_arena(call),
                                       &c->stored, &c->rev);
    if (code < 0)
        etcd_fail(call, code);
    else
        on_pool(c, run_compare, compared);
}

static void on_authenticate(struct grpc_call *call, void *ctx, const ProtobufCMessage *m,
                            struct str raw)
{
    (void)raw;
    const Etcdserverpb__AuthenticateRequest *q = (const void *)m;
    struct auth_call *c = auth_call_new(call, ctx, m, KV_AUTH_AUTHENTICATE, NULL);
    c->change.name = str_from(q->name);
    c->password = q->password;
    kv_read_index(c->base.server->kv, etcd_loop(call), authenticate, c);
}

/* ------------------------------------------------------------------------ questions --- */

/* The rest of a question, once this member knows the present; 0 when answered, else why not. */
typedef int answer_fn(struct auth_call *c, struct arena *a, const struct kv_auth_info *who,
                      Etcdserverpb__ResponseHeader *header);

struct question {
    struct auth_call call;
    answer_fn *answer;
};

static void asked(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct question *q = ctx;
    struct etcd_server *s = q->call.base.server;
    struct grpc_call *call = q->call.base.call;
    struct kv_auth_info who;
    Etcdserverpb__ResponseHeader header;
    etcd_header(s, &header, 0);
    if (code == 0)
        code = etcd_auth_who(s, call, &who);
    if (code == 0)
        code = q->answer(&q->call, grpc_arena(call), &who, &header);
    if (code < 0)
        etcd_fail(call, code);
}

static void ask(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, answer_fn *answer)
{
    struct etcd_server *s = ctx;
    struct question *q = arena_new(grpc_arena(call), struct question);
    q->call.base = (struct etcd_request){.server = s, .call = call, .message = m};
    q->answer = answer;
    grpc_set_user(call, &q->call.base);
    kv_read_index(s->kv, etcd_loop(call), asked, q);
}

static char **texts(struct arena *a, const struct str *names, size_t n)
{
    char **out = arena_array(a, char *, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (char *)names[i].p; /* copies, with a NUL */
    return out;
}

static int answer_status(struct auth_call *c, struct arena *a, const struct kv_auth_info *who,
                         Etcdserverpb__ResponseHeader *header)
{
    (void)a, (void)who;
    Etcdserverpb__AuthStatusResponse r = ETCDSERVERPB__AUTH_STATUS_RESPONSE__INIT;
    r.header = header;
    r.enabled = kv_auth_enabled(c->base.server->kv);
    r.authrevision = kv_auth_revision(c->base.server->kv);
    grpc_reply(c->base.call, &r.base);
    return 0;
}

static int answer_user_get(struct auth_call *c, struct arena *a, const struct kv_auth_info *who,
                           Etcdserverpb__ResponseHeader *header)
{
    struct kv *kv = c->base.server->kv;
    const Etcdserverpb__AuthUserGetRequest *q = (const void *)c->base.message;
    Etcdserverpb__AuthUserGetResponse r = ETCDSERVERPB__AUTH_USER_GET_RESPONSE__INIT;
    struct str *roles;
    int rc = kv_auth_check_user_get(kv, who, str_from(q->name));
    if (rc == 0)
        rc = kv_auth_user_get(kv, str_from(q->name), a, &roles, &r.n_roles);
    if (rc < 0)
        return rc;
    r.header = header;
    r.roles = texts(a, roles, r.n_roles);
    grpc_reply(c->base.call, &r.base);
    return 0;
}

static int answer_user_list(struct auth_call *c, struct arena *a, const struct kv_auth_info *who,
                            Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__AuthUserListResponse r = ETCDSERVERPB__AUTH_USER_LIST_RESPONSE__INIT;
    struct str *names;
    int rc = kv_auth_check_admin(c->base.server->kv, who);
    if (rc < 0)
        return rc;
    kv_auth_user_list(c->base.server->kv, a, &names, &r.n_users);
    r.header = header;
    r.users = texts(a, names, r.n_users);
    grpc_reply(c->base.call, &r.base);
    return 0;
}

static int answer_role_list(struct auth_call *c, struct arena *a, const struct kv_auth_info *who,
                            Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__AuthRoleListResponse r = ETCDSERVERPB__AUTH_ROLE_LIST_RESPONSE__INIT;
    struct str *names;
    int rc = kv_auth_check_admin(c->base.server->kv, who);
    if (rc < 0)
        return rc;
    kv_auth_role_list(c->base.server->kv, a, &names, &r.n_roles);
    r.header = header;
    r.roles = texts(a, names, r.n_roles);
    grpc_reply(c->base.call, &r.base);
    return 0;
}

static int answer_role_get(struct auth_call *c, struct arena *a, const struct kv_auth_info *who,
                           Etcdserverpb__ResponseHeader *header)
{
    struct kv *kv = c->base.server->kv;
    const Etcdserverpb__AuthRoleGetRequest *q = (const void *)c->base.message;
    Etcdserverpb__AuthRoleGetResponse r = ETCDSERVERPB__AUTH_ROLE_GET_RESPONSE__INIT;
    struct kv_auth_permission *perms;
    int rc = kv_auth_check_role_get(kv, who, str_from(q->role));
    if (rc == 0)
        rc = kv_auth_role_get(kv, str_from(q->role), a, &perms, &r.n_perm);
    if (rc < 0)
        return rc;
    Authpb__Permission *all = arena_array(a, Authpb__Permission, r.n_perm);
    r.header = header;
    r.perm = arena_array(a, Authpb__Permission *, r.n_perm);
    for (size_t i = 0; i < r.n_perm; i++) {
        authpb__permission__init(&all[i]);
        all[i].permtype = (Authpb__Permission__Type)perms[i].type;
        all[i].key = etcd_bytes(perms[i].key);
        all[i].range_end = etcd_bytes(perms[i].end);
        r.perm[i] = &all[i];
    }
    grpc_reply(c->base.call, &r.base);
    return 0;
}

#define QUESTION(name)                                                                  \
    static void on_##name(struct grpc_call *call, void *ctx, const ProtobufCMessage *m, \
                          struct str raw)                                               \
    {                                                                                   \
        (void)raw;                                                                      \
        ask(call, ctx, m, answer_##name);                                               \
    }
QUESTION(status)
QUESTION(user_get)
QUESTION(user_list)
QUESTION(role_list)
QUESTION(role_get)

const struct grpc_method etcd_auth_methods[] = {
    ETCD_METHOD("Auth", "AuthEnable", auth_enable_request, on_enable),
    ETCD_METHOD("Auth", "AuthDisable", auth_disable_request, on_disable),
    ETCD_METHOD("Auth", "AuthStatus", auth_status_request, on_status),
    ETCD_METHOD("Auth", "Authenticate", authenticate_request, on_authenticate),
    ETCD_METHOD("Auth", "UserAdd", auth_user_add_request, on_user_add),
    ETCD_METHOD("Auth", "UserGet", auth_user_get_request, on_user_get),
    ETCD_METHOD("Auth", "UserList", auth_user_list_request, on_user_list),
    ETCD_METHOD("Auth", "UserDelete", auth_user_delete_request, on_user_delete),
    ETCD_METHOD("Auth", "UserChangePassword", auth_user_change_password_request, on_user_password),
    ETCD_METHOD("Auth", "UserGrantRole", auth_user_grant_role_request, on_user_grant),
    ETCD_METHOD("Auth", "UserRevokeRole", auth_user_revoke_role_request, on_user_revoke),
    ETCD_METHOD("Auth", "RoleAdd", auth_role_add_request, on_role_add),
    ETCD_METHOD("Auth", "RoleGet", auth_role_get_request, on_role_get),
    ETCD_METHOD("Auth", "RoleList", auth_role_list_request, on_role_list),
    ETCD_METHOD("Auth", "RoleDelete", auth_role_delete_request, on_role_delete),
    ETCD_METHOD("Auth", "RoleGrantPermission", auth_role_grant_permission_request, on_role_grant),
    ETCD_METHOD("Auth", "RoleRevokePermission", auth_role_revoke_permission_request,
                on_role_revoke),
};
const size_t etcd_auth_methods_len = ARRAY_LEN(etcd_auth_methods);
