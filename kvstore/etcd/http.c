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

/* A check under way: which page asked. */
struct check {
    struct etcd_server *server;
    struct http_exchange *x;
    enum { PAGE_HEALTH, PAGE_LIVEZ, PAGE_READYZ } page;
    bool verbose, linearizable;
    bool ignored[KV_ALARM_TYPE_MAX + 1]; /* types of alarms that the page was asked to pass over */
};

static void answer_health(struct check *c, const char *reason)
{
    struct arena *a = &c->x->arena;
    char *body = arena_printf(a, "{\"health\":\"%s\",\"reason\":\"%s\"}", reason ? "false" : "true",
                              reason ? reason : "");
    http_respond(c->x, reason ? 503 : 200, &json_type, 1, str_from(body));
}

static void answer_z(struct check *c, const char *reason, const char *failed_check)
{
    struct arena *a = &c->x->arena;
    const char *page = c->page == PAGE_LIVEZ ? "livez" : "readyz";
    if (!reason && !c->verbose) {
        http_respond(c->x, 200, &text_type, 1, STR("ok\n"));
        return;
    }
    static const char *const checks[] = {"data_corruption", "serializable_read",
                                         "linearizable_read"};
    struct buf out;
    buf_init(&out);
    for (size_t i = c->page == PAGE_LIVEZ ? 1 : 0; i < (c->page == PAGE_LIVEZ ? 2u : 3u); i++) {
        if (reason && cstr_eq(failed_check, checks[i]))
            buf_printf(&out, "[-]%s failed: %s\n", checks[i], reason);
        else
            buf_printf(&out, "[+]%s ok\n", checks[i]);
    }
    if (reason)
        buf_printf(&out, "%s check failed\n", page);
    else
        buf_append_cstr(&out, "ok\n");
    http_respond(c->x, reason ? 503 : 200, &text_type, 1,
                 str_from(arena_strndup(a, out.data, out.len)));
    buf_free(&out);
}

/* etcd's "ALARM …" for the first type raised that was not excluded; NULL: none. */
static const char *alarm_reason(struct check *c)
{
    for (int type = KV_ALARM_NOSPACE; type <= KV_ALARM_TYPE_MAX; type++)
        if (!c->ignored[type] && kv_alarm_active(c->server->kv, (enum kv_alarm_type)type))
            return arena_printf(&c->x->arena, "ALARM %s", kv_alarm_name((enum kv_alarm_type)type));
    return NULL;
}

static void finish_check(void *ctx, int code, int64_t rev)
{
    (void)rev;
    struct check *c = ctx;
    struct kv_status st;
    const char *reason = NULL, *failed = NULL;
    int status;
    kv_status(c->server->kv, &st);
    if (st.failed) {
        reason = "DISK FAILURE";
        failed = "serializable_read";
    } else if (c->page != PAGE_LIVEZ && c->linearizable && !st.leader_id) {
        reason = "RAFT NO LEADER";
        failed = "linearizable_read";
    } else if (code < 0) {
        reason = etcd_error_message(code, &status);
        failed = "linearizable_read";
    } else if (c->page == PAGE_HEALTH) {
        reason = alarm_reason(c);
    } else if (c->page == PAGE_READYZ && kv_alarm_active(c->server->kv, KV_ALARM_CORRUPT)) {
        reason = "alarm activated: CORRUPT";
        failed = "data_corruption";
    }
    if (c->page == PAGE_HEALTH)
        answer_health(c, reason);
    else
        answer_z(c, reason, failed);
}

static void check(struct etcd_server *s, struct http_exchange *x, int page)
{
    struct check *c = arena_new(&x->arena, struct check);
    struct str serializable = http_query_get(x, "serializable");
    *c = (struct check){.server = s, .x = x, .page = page};
    c->verbose = http_query_get(x, "verbose").p != NULL;
    c->linearizable = page != PAGE_LIVEZ && !str_eqz(serializable, "true");
    for (struct http_query q = {.rest = x->query}; http_query_next(x, &q);)
        for (int type = KV_ALARM_NOSPACE; type <= KV_ALARM_TYPE_MAX; type++)
            c->ignored[type] |= str_eqz(q.name, "exclude") &&
                                str_eqz(q.value, kv_alarm_name((enum kv_alarm_type)type));
    if (c->linearizable)
        kv_read_index(s->kv, x->loop, finish_check, c);
    else
        finish_check(c, 0, 0);
}

void etcd_http_request(void *ctx, struct http_exchange *x)
{
    struct etcd_server *s = ctx;
    if (x->server != s->metrics_http && etcd_gateway_request(s, x))
        return;
    if (!str_eqz(x->method, "GET") && !str_eqz(x->method, "HEAD"))
        http_respond(x, 405, &text_type, 1, STR("Method Not Allowed\n"));
    else if (str_eqz(x->path, "/health"))
        check(s, x, PAGE_HEALTH);
    else if (str_eqz(x->path, "/livez"))
        check(s, x, PAGE_LIVEZ);
    else if (str_eqz(x->path, "/readyz"))
        check(s, x, PAGE_READYZ);
    else if (str_eqz(x->path, "/version"))
        version(x);
    else if (str_eqz(x->path, "/metrics"))
        metrics(s, x);
    else
        http_respond(x, 404, &text_type, 1, STR("404 page not found\n"));
}
