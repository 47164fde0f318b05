/*
 * What etcd serves over plain HTTP beside gRPC: /health, /livez, /readyz, /version, /metrics.
 */
#include "kvstore/etcd/internal.h"
#include "kvstore/alarm.h"

static const struct http_header json_type = {STR("content-type"), STR("application/json")};
static const struct http_header text_type = {STR("content-type"), STR("text/plain; charset=utf-8")};

static void version(struct http_exchange *x)
{
    http_respond(x, 200, &json_type, 1,
                 STR("{\"etcdserver\":\"" ETCD_VERSION "\",\"etcdcluster\":\"" ETCD_VERSION
                     "\",\"storage\":\"" ETCD_VERSION "\"}"));
}

static void metrics(struct etcd_server *s, struct http_exchange *x)
{
    static const struct http_header type = {STR("content-type"),
                                            STR("text/plain; version=0.0.4; charset=utf-8")};
    struct buf out;
    buf_init(&out);
    if (s->config.metrics)
        metrics_render(s->config.metrics, &out);
    http_respond(x, 200, &type, 1, buf_str(&out));
    buf_free(&out);
}

/* ---- health ---- */

enum { DATA_CORRUPTION, SERIALIZABLE_READ, LINEARIZABLE_READ, CHECKS_LEN };
static const char *const check_names[CHECKS_LEN] = {"data_corruption", "serializable_read",
                                                    "linearizable_read"};

/* A page under way. */
struct check {
    struct etcd_server *server;
    struct http_exchange *x;
    bool verbose;
    bool asked[CHECKS_LEN];              /* of /livez and /readyz */
    bool ignored[KV_ALARM_TYPE_MAX + 1]; /* of /health: types of alarms to pass over */
};

static void answer_health(struct check *c, const char *reason)
{
    struct arena *a = &c->x->arena;
    char *body = arena_printf(a, "{\"health\":\"%s\",\"reason\":\"%s\"}", reason ? "false" : "true",
                              reason ? reason : "");
    http_respond(c->x, reason ? 503 : 200, &json_type, 1, str_from(body));
}

/* etcd's "ALARM …" for the first type raised that was not excluded; NULL: none. */
static const char *alarm_reason(struct check *c)
{
    for (int type = KV_ALARM_NOSPACE; type <= KV_ALARM_TYPE_MAX; type++)
        if (!c->ignored[type] && kv_alarm_active(c->server->kv, (enum kv_alarm_type)type))
            return arena_printf(&c->x->arena, "ALARM %s", kv_alarm_name((enum kv_alarm_type)type));
    return NULL;
}

static void finish_health(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct check *c = ctx;
    struct kv_status st;
    const char *reason = alarm_reason(c);
    int status;
    kv_status(c->server->kv, &st);
    if (st.failed)
        reason = "DISK FAILURE";
    else if (!reason && c->asked[LINEARIZABLE_READ] && !st.leader_id)
        reason = "RAFT NO LEADER";
    else if (!reason && code < 0)
        reason = arena_printf(&c->x->arena, "RANGE ERROR:%s", etcd_error_message(code, &status));
    answer_health(c, reason);
}

/* Why a check of /livez or /readyz fails; NULL: it does not. `code`: of the read index. */
static const char *failure_of(struct check *c, int which, int code)
{
    struct kv_status st;
    int status;
    kv_status(c->server->kv, &st);
    if (which == DATA_CORRUPTION)
        return kv_alarm_active(c->server->kv, KV_ALARM_CORRUPT) ? "alarm activated: CORRUPT" : NULL;
    if (st.failed)
        return "disk failure";
    return which == LINEARIZABLE_READ && code < 0 ? etcd_error_message(code, &status) : NULL;
}

static void finish_checks(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct check *c = ctx;
    struct buf out;
    bool failed = false;
    buf_init(&out);
    for (int i = 0; i < CHECKS_LEN; i++) {
        const char *reason = c->asked[i] ? failure_of(c, i, code) : NULL;
        failed |= reason != NULL;
        if (reason)
            buf_printf(&out, "[-]%s failed: %s\n", check_names[i], reason);
        else if (c->asked[i])
            buf_printf(&out, "[+]%s ok\n", check_names[i]);
    }
    if (!failed && !c->verbose)
        buf_clear(&out);
    buf_append_cstr(&out, failed ? "\n" : "ok\n");
    http_respond(c->x, failed ? 503 : 200, &text_type, 1, buf_str(&out));
    buf_free(&out);
}

static struct check *check_new(struct etcd_server *s, struct http_exchange *x)
{
    struct check *c = arena_new(&x->arena, struct check);
    *c = (struct check){.server = s, .x = x, .verbose = http_query_get(x, "verbose").p != NULL};
    return c;
}

static void read_first(struct check *c, kv_revision_fn *finish)
{
    if (c->asked[LINEARIZABLE_READ])
        kv_read_index(c->server->kv, c->x->loop, finish, c);
    else
        finish(c, 0, 0);
}

static void health(struct etcd_server *s, struct http_exchange *x)
{
    struct check *c = check_new(s, x);
    c->asked[LINEARIZABLE_READ] = !str_eqz(http_query_get(x, "serializable"), "true");
    for (struct http_query q = {.rest = x->query}; http_query_next(x, &q);)
        for (int type = KV_ALARM_NOSPACE; type <= KV_ALARM_TYPE_MAX; type++)
            c->ignored[type] |= str_eqz(q.name, "exclude") &&
                                str_eqz(q.value, kv_alarm_name((enum kv_alarm_type)type));
    read_first(c, finish_health);
}

/* /livez, /readyz and, below them, one check alone. False: no such page. */
static bool checks(struct etcd_server *s, struct http_exchange *x)
{
    static const bool live[CHECKS_LEN] = {[SERIALIZABLE_READ] = true};
    bool is_live = str_has_prefix(x->path, STR("/livez"));
    if (!is_live && !str_has_prefix(x->path, STR("/readyz")))
        return false;
    struct str one = str_slice(x->path, is_live ? 6 : 7, x->path.n);
    struct check *c = check_new(s, x);
    bool any = false;
    for (int i = 0; i < CHECKS_LEN; i++) {
        bool named = one.n && one.p[0] == '/' && str_eqz(str_slice(one, 1, one.n), check_names[i]);
        c->asked[i] = (!is_live || live[i]) && (!one.n || named);
        any |= c->asked[i];
    }
    if (!any)
        return false;
    for (struct http_query q = {.rest = x->query}; !one.n && http_query_next(x, &q);)
        for (int i = 0; i < CHECKS_LEN; i++)
            if (str_eqz(q.name, "exclude") && str_eqz(q.value, check_names[i]))
                c->asked[i] = false;
    read_first(c, finish_checks);
    return true;
}

void etcd_http_request(void *ctx, struct http_exchange *x)
{
    struct etcd_server *s = ctx;
    bool for_clients = s->plain_http ? x->server == s->plain_http : x->server == s->http;
    if (for_clients && !s->config.no_gateway && etcd_gateway_request(s, x))
        return;
    static const struct http_header only_get[] = {
        {STR("content-type"), STR("text/plain; charset=utf-8")}, {STR("allow"), STR("GET")}};
    if (s->plain_http && x->server == s->http) /* gRPC alone */
        http_respond(x, 404, &text_type, 1, STR("404 page not found\n"));
    else if (!str_eqz(x->method, "GET") && !str_eqz(x->method, "HEAD"))
        http_respond(x, 405, only_get, 2, STR("Method Not Allowed\n"));
    else if (str_eqz(x->path, "/health"))
        health(s, x);
    else if (str_eqz(x->path, "/version"))
        version(x);
    else if (str_eqz(x->path, "/metrics"))
        metrics(s, x);
    else if (!checks(s, x))
        http_respond(x, 404, &text_type, 1, STR("404 page not found\n"));
}
