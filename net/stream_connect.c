/*
 * Connecting a stream: resolve the name off the loop, try its addresses in order, all within one
 * timeout.
 */
#include "net/address.h"
#include "net/stream_internal.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct connector {
    struct stream *stream; /* NULL: given up while the resolver still worked */
    uv_getaddrinfo_t resolve;
    bool resolving;
    struct addrinfo *found; /* all addresses; freed with the connector */
    struct addrinfo *next;  /* not tried yet */
    struct sockaddr_un unix_address;
    struct addrinfo unix_info;
    uint64_t deadline_ms;
    char *address; /* as given */
    char *server_name;
    char why[160]; /* why the last address failed */
};

static void connector_destroy(struct connector *c)
{
    if (c->found)
        uv_freeaddrinfo(c->found);
    mem_free(c->address);
    mem_free(c->server_name);
    mem_free(c);
}

void stream_connector_free(struct stream *s)
{
    struct connector *c = s->connector;
    if (!c)
        return;
    s->connector = NULL;
    c->stream = NULL;
    if (c->resolving)
        uv_cancel((uv_req_t *)&c->resolve); /* on_resolved destroys it */
    else
        connector_destroy(c);
}

const char *stream_connector_server_name(const struct stream *s)
{
    return s->connector ? s->connector->server_name : NULL;
}

const char *stream_connector_address(const struct stream *s)
{
    return s->connector ? s->connector->address : NULL;
}

static void give_up(struct stream *s, int code, const char *why)
{
    char text[160];
    snprintf(text, sizeof text, "connect to %.60s: %s", s->connector->address, why);
    stream_close(s, code, text);
}

/* Time for one address: what is left, shared among those not tried yet. */
static uint64_t attempt_ms(const struct connector *c, uint64_t now)
{
    uint64_t left = c->deadline_ms > now ? c->deadline_ms - now : 1;
    uint64_t n = 1;
    for (const struct addrinfo *a = c->next; a; a = a->ai_next)
        n++;
    return MAX(left / n, 1);
}

static void try_next(struct stream *s)
{
    struct connector *c = s->connector;
    while (c->next) {
        struct addrinfo *a = c->next;
        c->next = a->ai_next;
        stream_forget_fd(s);
        int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) {
            snprintf(c->why, sizeof c->why, "%s", strerror(errno));
            continue;
        }
        int rc = connect(fd, a->ai_addr, a->ai_addrlen);
        if (rc < 0 && errno != EINPROGRESS) {
            snprintf(c->why, sizeof c->why, "%s", strerror(errno));
            close(fd);
            continue;
        }
        int watch = stream_watch_fd(s, fd);
        if (watch < 0) {
            snprintf(c->why, sizeof c->why, "%s", uv_strerror(watch));
            close(fd);
            continue;
        }
        loop_timer_start(&s->timer, attempt_ms(c, loop_now_ms(s->loop)));
        stream_poll(s);
        return;
    }
    give_up(s, ERR_UNAVAILABLE, c->why[0] ? c->why : "no address");
}

void stream_connect_writable(struct stream *s)
{
    int e = 0;
    socklen_t n = sizeof e;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &e, &n) < 0)
        e = errno;
    if (e == 0) {
        stream_connected(s);
        return;
    }
    snprintf(s->connector->why, sizeof s->connector->why, "%s", strerror(e));
    try_next(s);
}

void stream_connect_timeout(struct stream *s)
{
    struct connector *c = s->connector;
    if (!c) /* accepted: cannot be connecting */
        return;
    snprintf(c->why, sizeof c->why, "timed out");
    if (c->resolving || loop_now_ms(s->loop) >= c->deadline_ms)
        give_up(s, ERR_TIMEOUT, c->why);
    else
        try_next(s);
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *found)
{
    struct connector *c = container_of(req, struct connector, resolve);
    c->resolving = false;
    c->found = found;
    if (!c->stream) {
        connector_destroy(c);
        return;
    }
    if (status < 0) {
        give_up(c->stream, ERR_UNAVAILABLE, uv_strerror(status));
        return;
    }
    c->next = found;
    try_next(c->stream);
}

static void start_unix(struct stream *s, const char *path)
{
    struct connector *c = s->connector;
    if (strlen(path) >= sizeof c->unix_address.sun_path) {
        give_up(s, ERR_INVALID, "path is too long for a Unix socket");
        return;
    }
    c->unix_address.sun_family = AF_UNIX;
    strcpy(c->unix_address.sun_path, path);
    c->unix_info = (struct addrinfo){.ai_family = AF_UNIX,
                                     .ai_addr = (struct sockaddr *)&c->unix_address,
                                     .ai_addrlen = sizeof c->unix_address};
    c->next = &c->unix_info;
    try_next(s);
}

struct stream *stream_connect(struct loop *loop, const char *address, struct tls_context *tls,
                              const char *server_name, uint64_t timeout_ms,
                              const struct stream_events *events, void *ctx)
{
    struct stream *s = stream_new(loop, tls, events, ctx);
    struct connector *c = mem_zalloc(sizeof *c);
    struct error err;
    struct net_address at;
    s->state = STREAM_CONNECTING;
    s->connector = c;
    c->stream = s;
    c->address = mem_strdup(address);
    c->deadline_ms = loop_now_ms(loop) + timeout_ms;
    if (net_address_parse(address, &at, &err) < 0) {
        stream_close(s, ERR_INVALID, err.message);
        return s;
    }
    c->server_name = mem_strdup(server_name ? server_name : at.host);
    loop_timer_start(&s->timer, timeout_ms);
    if (at.is_unix) {
        start_unix(s, at.path);
        return s;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    if (at.numeric)
        hints.ai_flags = AI_NUMERICHOST;
    c->resolving = !at.numeric;
    if (at.numeric) { /* does not block */
        if (getaddrinfo(at.host, at.port, &hints, &c->found) != 0) {
            give_up(s, ERR_INVALID, "not an address");
            return s;
        }
        c->next = c->found;
        try_next(s);
        return s;
    }
    int rc = uv_getaddrinfo(loop_uv(loop), &c->resolve, on_resolved, at.host, at.port, &hints);
    if (rc < 0) {
        c->resolving = false;
        give_up(s, ERR_UNAVAILABLE, uv_strerror(rc));
    }
    return s;
}
