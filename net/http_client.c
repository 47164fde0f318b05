/*
 * HTTP client: servers, the pool of connections, failover. See http_client.h; calls are
 * http_call.c.
 *
 * A call waits in its server's queue until a connection has room. When a connection cannot be
 * opened, everything that waits for its server moves on to the next.
 */
#include "net/http_client_internal.h"
#include "base/log.h"
#include "base/mem.h"

#include <assert.h>
#include <stdio.h>

#define H1_CONNECTIONS 8
#define H2_CONNECTIONS_MAX 16 /* when the server's stream limit is used up */
#define TICK_MS 1000

int http_url_parse(const char *url, struct http_url *out, struct error *err)
{
    *out = (struct http_url){0};
    struct str s = str_from(url);
    ptrdiff_t colon = str_find(s, STR("://"));
    if (colon < 0)
        return error_set(err, ERR_INVALID, "URL `%s`: must begin with http:// or https://", url);
    out->scheme = str_slice(s, 0, (size_t)colon);
    bool https = str_eq(out->scheme, STR("https"));
    if (!https && !str_eq(out->scheme, STR("http")))
        return error_set(err, ERR_INVALID, "URL `%s`: scheme must be http or https", url);
    struct str rest = str_slice(s, (size_t)colon + 3, s.n);
    ptrdiff_t slash = str_find_char(rest, '/');
    struct str host = slash < 0 ? rest : str_slice(rest, 0, (size_t)slash);
    out->path = slash < 0 ? STR("") : str_slice(rest, (size_t)slash, rest.n);
    out->port = https ? 443 : 80;
    ptrdiff_t bracket = str_find_char(host, ']');
    struct str after = bracket < 0 ? host : str_slice(host, (size_t)bracket, host.n);
    ptrdiff_t port_at = str_find_char(after, ':');
    if (port_at >= 0) {
        uint64_t port;
        if (!str_to_u64(str_slice(after, (size_t)port_at + 1, after.n), &port) || port > 65535)
            return error_set(err, ERR_INVALID, "URL `%s`: port must be 0 to 65535", url);
        out->port = (int)port;
        host = str_slice(host, 0, host.n - (after.n - (size_t)port_at));
    }
    if (host.n > 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_slice(host, 1, host.n - 1);
    if (host.n == 0)
        return error_set(err, ERR_INVALID, "URL `%s`: no host", url);
    out->host = host;
    return 0;
}

/* -------------------------------------------------------------- connections --- */

static void conn_opened(struct stream *s, void *ctx)
{
    struct client_conn *c = ctx;
    if (!c->origin)
        return;
    const struct http_client_options *o = &c->origin->client->options;
    bool h2 = c->origin->tls ? str_eqz(stream_alpn(s), "h2") : o->http2_only;
    if (o->http2_only && !h2) {
        stream_close(s, ERR_UNSUPPORTED, "the server does not speak HTTP/2");
        return;
    }
    stream_set_keepalive(s, 30);
    c->version = h2 ? &client_version_2 : &client_version_1;
    c->state = c->version->open(c);
    c->idle_since_ms = c->read_ms = loop_now_ms(c->loop);
    loop_timer_start(&c->tick, TICK_MS);
    client_pump(c->origin);
}

static void conn_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    (void)s;
    struct client_conn *c = ctx;
    c->read_ms = loop_now_ms(c->loop);
    c->version->input(c, data, n);
}

static void conn_drained(struct stream *s, void *ctx)
{
    (void)s;
    client_conn_kick(ctx);
}

/* The server cannot be reached: those who wait for it go on to the next. */
static void origin_failed(struct origin *o, int code, const char *reason)
{
    struct http_client *client = o->client;
    size_t index = (size_t)(o - client->origins);
    log_debug("net", "server not reachable url=%s reason=\"%s\"", o->url, reason);
    if (client->current == index && client->origins_len > 1)
        client->current = (index + 1) % client->origins_len;
    struct list waiting;
    list_init(&waiting);
    list_splice_back(&waiting, &o->waiting);
    while (!list_empty(&waiting)) {
        struct http_call *call = list_first(&waiting, struct http_call, link);
        list_remove(&call->link);
        if (++call->tries < client->origins_len) {
            call->origin = &client->origins[(index + 1) % client->origins_len];
            client_dispatch(call);
        } else {
            call_fail(call, code == ERR_DENIED ? ERR_DENIED : ERR_UNAVAILABLE, "%s: %s", o->url,
                      reason);
        }
    }
}

static void conn_closed(struct stream *s, void *ctx, int code, const char *reason)
{
    (void)s;
    struct client_conn *c = ctx;
    struct origin *o = c->origin;
    c->no_more = true;
    if (c->version)
        c->version->end(c);
    c->stream = NULL;
    loop_deferred_cancel(&c->kick);
    loop_timer_stop(&c->tick);
    if (o) {
        list_remove(&c->link);
        o->conns_len--;
    }
    if (!reason)
        reason = "the server closed the connection";
    while (!list_empty(&c->calls)) {
        struct http_call *call = list_first(&c->calls, struct http_call, link);
        call_connection_lost(call, false, code ? code : ERR_UNAVAILABLE, reason);
    }
    if (c->version)
        c->version->free(c);
    else if (o)
        origin_failed(o, code, reason);
    if (o && c->version)
        client_pump(o);
    mem_free(c);
}

static const struct stream_events conn_events = {
    .on_open = conn_opened,
    .on_data = conn_data,
    .on_drain = conn_drained,
    .on_close = conn_closed,
};

static void run_kick(struct loop_deferred *d)
{
    struct client_conn *c = container_of(d, struct client_conn, kick);
    if (c->version && c->stream)
        c->version->flush(c);
}

void client_conn_kick(struct client_conn *c)
{
    loop_defer(c->loop, &c->kick);
}

static void on_tick(struct loop_timer *timer)
{
    struct client_conn *c = container_of(timer, struct client_conn, tick);
    const struct http_client_options *o = &c->origin->client->options;
    uint64_t now = loop_now_ms(c->loop);
    loop_timer_start(&c->tick, TICK_MS);
    if (c->calls_len == 0) {
        if (now - c->idle_since_ms > o->idle_timeout_ms) {
            c->no_more = true;
            stream_shutdown(c->stream);
        }
        return;
    }
    if (!c->version->ping)
        return;
    if (c->pinged_ms && c->read_ms > c->pinged_ms)
        c->pinged_ms = 0;
    if (c->pinged_ms && now - c->pinged_ms > o->ping_timeout_ms) {
        stream_close(c->stream, ERR_UNAVAILABLE, "the server answers no ping");
    } else if (!c->pinged_ms && now - c->read_ms > o->ping_interval_ms) {
        c->pinged_ms = now;
        c->version->ping(c);
    }
}

static void origin_connect(struct origin *o)
{
    struct http_client *client = o->client;
    struct client_conn *c = mem_zalloc(sizeof *c);
    c->origin = o;
    c->loop = client->loop;
    list_init(&c->calls);
    loop_deferred_init(&c->kick, run_kick);
    loop_timer_init(c->loop, &c->tick, on_tick);
    list_push_back(&o->conns, &c->link);
    o->conns_len++;
    c->stream = stream_connect(client->loop, o->address, o->tls ? client->tls : NULL,
                               client->server_name ? client->server_name : o->host,
                               client->options.connect_timeout_ms, &conn_events, c);
}

static void submit(struct client_conn *c, struct http_call *call)
{
    list_remove(&call->link);
    list_push_back(&c->calls, &call->link);
    c->calls_len++;
    c->served++;
    call->conn = c;
    call->state = CALL_SENT;
    c->version->submit(c, call);
}

static struct client_conn *find_room(struct origin *o)
{
    struct client_conn *best = NULL;
    list_for_each (it, &o->conns) {
        struct client_conn *c = list_entry(it, struct client_conn, link);
        if (c->version && !c->no_more && c->stream && c->version->has_room(c) &&
            (!best || c->calls_len < best->calls_len))
            best = c;
    }
    return best;
}

/* Connections still being opened will serve those who wait; is another one needed? */
static bool wants_connection(const struct origin *o)
{
    const struct http_client_options *opt = &o->client->options;
    size_t opening = 0, waiting = 0;
    bool h2 = opt->http2_only;
    list_for_each (it, &o->conns) {
        const struct client_conn *c = list_entry(it, struct client_conn, link);
        opening += !c->version && !c->no_more;
        h2 |= c->version == &client_version_2;
    }
    list_for_each (it, &o->waiting)
        waiting++;
    /* Before the first handshake nobody knows the version: one connection, then we see. */
    if (opening && (h2 || o->conns_len == opening))
        return false;
    size_t max = opt->connections_max ? opt->connections_max
                 : h2                 ? H2_CONNECTIONS_MAX
                                      : H1_CONNECTIONS;
    return waiting > opening && o->conns_len < max;
}

void client_pump(struct origin *o)
{
    struct client_conn *c;
    while (!list_empty(&o->waiting) && (c = find_room(o)))
        submit(c, list_first(&o->waiting, struct http_call, link));
    while (!list_empty(&o->waiting) && wants_connection(o))
        origin_connect(o);
}

void client_dispatch(struct http_call *call)
{
    call->state = CALL_WAITING;
    list_push_back(&call->origin->waiting, &call->link);
    client_pump(call->origin);
}

void client_detach(struct http_call *call)
{
    struct client_conn *c = call->conn;
    list_remove(&call->link);
    if (!c)
        return;
    call->conn = NULL;
    c->calls_len--;
    c->idle_since_ms = loop_now_ms(c->loop);
}

/* ------------------------------------------------------------------- client --- */

static int origin_init(struct origin *o, struct http_client *client, const char *url,
                       struct error *err)
{
    o->client = client;
    list_init(&o->conns);
    list_init(&o->waiting);
    if (str_has_prefix(str_from(url), STR("unix:"))) {
        o->url = mem_strdup(url);
        o->address = mem_strdup(url);
        o->authority = mem_strdup("localhost");
        o->host = mem_strdup("localhost");
        return 0;
    }
    struct http_url u;
    int rc = http_url_parse(url, &u, err);
    if (rc < 0)
        return rc;
    bool v6 = str_find_char(u.host, ':') >= 0;
    o->url = mem_strdup(url);
    o->host = mem_strndup(u.host.p, u.host.n);
    o->tls = str_eq(u.scheme, STR("https"));
    o->address = mem_printf(v6 ? "[%s]:%d" : "%s:%d", o->host, u.port);
    o->authority = mem_strdup(o->address);
    return 0;
}

static void origins_free(struct http_client *c)
{
    for (size_t i = 0; i < c->origins_len; i++) {
        mem_free(c->origins[i].url);
        mem_free(c->origins[i].address);
        mem_free(c->origins[i].authority);
        mem_free(c->origins[i].host);
    }
    mem_free(c->origins);
}

static int make_tls(struct http_client *c, struct tls_context *tls, struct error *err)
{
    bool needed = false;
    for (size_t i = 0; i < c->origins_len; i++)
        needed |= c->origins[i].tls;
    if (!needed || tls) {
        c->tls = tls_context_ref(tls);
        return 0;
    }
    c->tls = tls_client_new(&(struct tls_options){0}, err);
    return c->tls ? 0 : ERR_INVALID;
}

static void client_destroy(struct http_client *c)
{
    origins_free(c);
    tls_context_unref(c->tls);
    mem_free(c->server_name);
    mem_free(c->authorization);
    mem_free(c->user_agent);
    uv_mutex_destroy(&c->token_lock);
    mem_free(c);
}

struct http_client *http_client_new(struct loop *loop, const struct http_client_options *options,
                                    struct error *err)
{
    struct http_client *c = mem_zalloc(sizeof *c);
    uv_mutex_init(&c->token_lock);
    c->loop = loop;
    c->options = *options;
    list_init(&c->calls);
    struct http_client_options *o = &c->options;
    o->connect_timeout_ms = o->connect_timeout_ms ? o->connect_timeout_ms : 5000;
    o->idle_timeout_ms = o->idle_timeout_ms ? o->idle_timeout_ms : 90000;
    o->ping_interval_ms = o->ping_interval_ms ? o->ping_interval_ms : 30000;
    o->ping_timeout_ms = o->ping_timeout_ms ? o->ping_timeout_ms : 15000;
    size_t n = 0;
    while (options->servers[n])
        n++;
    c->origins = mem_zalloc(MAX(n, 1) * sizeof *c->origins);
    int rc = n ? 0 : error_set(err, ERR_INVALID, "no server given");
    for (; rc == 0 && c->origins_len < n; c->origins_len++)
        rc = origin_init(&c->origins[c->origins_len], c, options->servers[c->origins_len], err);
    if (rc == 0)
        rc = make_tls(c, options->tls, err);
    c->server_name = options->server_name ? mem_strdup(options->server_name) : NULL;
    c->user_agent = mem_strdup(options->user_agent ? options->user_agent : "c8s/" C8S_VERSION);
    if (rc < 0) {
        client_destroy(c);
        return NULL;
    }
    http_client_set_token(c, options->bearer_token);
    return c;
}

void http_client_set_token(struct http_client *c, const char *token)
{
    char *fresh = token && *token ? mem_printf("Bearer %s", token) : NULL;
    uv_mutex_lock(&c->token_lock);
    char *old = c->authorization;
    c->authorization = fresh;
    uv_mutex_unlock(&c->token_lock);
    mem_free(old);
}

void client_set_token_header(struct http_client *c, struct http_call *call)
{
    uv_mutex_lock(&c->token_lock);
    if (c->authorization)
        call->headers[call->headers_len++] = (struct http_header){
            STR("authorization"), str_from(arena_strdup(&call->arena, c->authorization))};
    uv_mutex_unlock(&c->token_lock);
}

struct loop *http_client_loop(const struct http_client *c)
{
    return c->loop;
}

static void run_free(void *arg)
{
    struct http_client *c = arg;
    c->freeing = true;
    while (!list_empty(&c->calls)) {
        struct http_call *call = list_first(&c->calls, struct http_call, all);
        if (call->state != CALL_DONE)
            http_call_cancel(call);
        loop_deferred_cancel(&call->finish);
        call->finish.fn(&call->finish);
    }
    for (size_t i = 0; i < c->origins_len; i++) {
        struct origin *o = &c->origins[i];
        while (!list_empty(&o->conns)) {
            struct client_conn *conn = list_first(&o->conns, struct client_conn, link);
            list_remove(&conn->link);
            conn->origin = NULL;
            loop_timer_stop(&conn->tick);
            stream_close(conn->stream, 0, NULL);
        }
    }
    client_destroy(c);
}

void http_client_free(struct http_client *c)
{
    if (c)
        loop_call(c->loop, run_free, c);
}
