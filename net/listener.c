/*
 * Addresses and listening sockets. See address.h and stream.h.
 */
#include "net/address.h"
#include "net/stream.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 1024
#define ACCEPTS_PER_TURN 64
#define NO_DESCRIPTORS_PAUSE_MS 100

struct listener {
    struct loop **loops;
    size_t loops_len, next_loop;
    int fd, port;
    uv_poll_t poll;
    struct loop_timer pause; /* out of descriptors: try again later */
    listener_fn *fn;
    void *ctx;
    char *unix_path;
};

static int parse_host_port(const char *text, struct net_address *out, struct error *err)
{
    const char *colon = strrchr(text, ':');
    if (!colon)
        return error_set(err, ERR_INVALID, "address `%s`: must be host:port", text);
    struct str host = str_make(text, (size_t)(colon - text));
    uint64_t port;
    if (!str_to_u64(str_from(colon + 1), &port) || port > 65535)
        return error_set(err, ERR_INVALID, "address `%s`: port must be 0 to 65535", text);
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
        host = str_slice(host, 1, host.n - 1);
    else if (str_find_char(host, ':') >= 0)
        return error_set(err, ERR_INVALID, "address `%s`: an IPv6 address needs brackets", text);
    if (host.n >= sizeof out->host)
        return error_set(err, ERR_INVALID, "address `%.40s…`: host is too long", text);
    snprintf(out->host, sizeof out->host, "%.*s", STR_ARG(host));
    snprintf(out->port, sizeof out->port, "%u", (unsigned)port);
    unsigned char ip[16];
    out->numeric =
        inet_pton(AF_INET, out->host, ip) == 1 || inet_pton(AF_INET6, out->host, ip) == 1;
    return 0;
}

int net_address_parse(const char *text, struct net_address *out, struct error *err)
{
    *out = (struct net_address){0};
    struct str path = str_from(text);
    if (str_has_prefix(path, STR("unix://")))
        path = str_slice(path, 7, path.n);
    else if (str_has_prefix(path, STR("unix:")))
        path = str_slice(path, 5, path.n);
    else
        return parse_host_port(text, out, err);
    if (path.n == 0 || path.n >= sizeof out->path)
        return error_set(err, ERR_INVALID, "address `%s`: path must have 1 to %zu bytes", text,
                         sizeof out->path - 1);
    out->is_unix = true;
    snprintf(out->path, sizeof out->path, "%.*s", STR_ARG(path));
    return 0;
}

static int bind_unix(const char *path, struct error *err)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", path);
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode))
        unlink(path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "socket");
    if (bind(fd, (struct sockaddr *)&sa, sizeof sa) < 0 || listen(fd, BACKLOG) < 0) {
        error_errno(err, ERR_IO, errno, "listen on unix:%s", path);
        close(fd);
        return ERR_IO;
    }
    return fd;
}

static int bind_tcp(const struct net_address *at, int *port, struct error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE}, *found = NULL;
    /* ":port" means every address, of IPv4 as well: a dual-stack socket. */
    const char *host = at->host[0] ? at->host : "::";
    int rc = getaddrinfo(host, at->port, &hints, &found);
    if (rc != 0)
        return error_set(err, ERR_INVALID, "listen address %s: %s", host, gai_strerror(rc));
    int fd = socket(found->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 && !at->host[0] && errno == EAFNOSUPPORT) { /* a kernel without IPv6 */
        freeaddrinfo(found);
        struct net_address v4 = *at;
        strcpy(v4.host, "0.0.0.0");
        return bind_tcp(&v4, port, err);
    }
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (fd >= 0 && found->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){at->host[0] != 0}, sizeof(int));
    if (fd < 0 || bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        error_errno(err, ERR_IO, errno, "listen on %s:%s", at->host, at->port);
        if (fd >= 0)
            close(fd);
        freeaddrinfo(found);
        return ERR_IO;
    }
    freeaddrinfo(found);
    struct sockaddr_storage sa;
    socklen_t n = sizeof sa;
    if (getsockname(fd, (struct sockaddr *)&sa, &n) == 0)
        *port = ntohs(sa.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&sa)->sin6_port
                                               : ((struct sockaddr_in *)&sa)->sin_port);
    return fd;
}

struct dealt_connection {
    struct loop_task task;
    struct loop *loop;
    int fd;
    listener_fn *fn;
    void *ctx;
};

static void run_dealt(struct loop_task *task)
{
    struct dealt_connection *d = container_of(task, struct dealt_connection, task);
    d->fn(d->ctx, d->loop, d->fd);
    mem_free(d);
}

static void deal(struct listener *l, int fd)
{
    struct loop *loop = l->loops[l->next_loop];
    l->next_loop = (l->next_loop + 1) % l->loops_len;
    if (loop == l->loops[0]) {
        l->fn(l->ctx, loop, fd);
        return;
    }
    struct dealt_connection *d = mem_alloc(sizeof *d);
    *d = (struct dealt_connection){
        .task.fn = run_dealt, .loop = loop, .fd = fd, .fn = l->fn, .ctx = l->ctx};
    loop_post(loop, &d->task);
}

static void on_acceptable(uv_poll_t *poll, int status, int events)
{
    (void)status, (void)events;
    struct listener *l = poll->data;
    for (int i = 0; i < ACCEPTS_PER_TURN && !uv_is_closing((uv_handle_t *)poll); i++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            deal(l, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            return;
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            log_warn("net", "cannot accept connections, pausing error=\"%s\"", strerror(errno));
            uv_poll_stop(poll);
            loop_timer_start(&l->pause, NO_DESCRIPTORS_PAUSE_MS);
            return;
        }
        /* ECONNABORTED, EINTR and network errors concern one connection: go on. */
    }
}

static void resume_accepting(struct loop_timer *timer)
{
    struct listener *l = container_of(timer, struct listener, pause);
    uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
}

struct listener *listener_new(struct loop *const *loops, size_t loops_len, const char *address,
                              listener_fn *fn, void *ctx, struct error *err)
{
    struct net_address at;
    int port = 0;
    if (net_address_parse(address, &at, err) < 0)
        return NULL;
    int fd = at.is_unix ? bind_unix(at.path, err) : bind_tcp(&at, &port, err);
    if (fd < 0)
        return NULL;
    struct listener *l = mem_zalloc(sizeof *l);
    l->loops = mem_dup(loops, loops_len * sizeof *loops);
    l->loops_len = loops_len;
    l->fd = fd;
    l->port = port;
    l->fn = fn;
    l->ctx = ctx;
    l->unix_path = at.is_unix ? mem_strdup(at.path) : NULL;
    loop_timer_init(loops[0], &l->pause, resume_accepting);
    uv_poll_init(loop_uv(loops[0]), &l->poll, fd);
    l->poll.data = l;
    uv_poll_start(&l->poll, UV_READABLE, on_acceptable);
    return l;
}

int listener_port(const struct listener *l)
{
    return l->port;
}

static void free_listener(uv_handle_t *handle)
{
    struct listener *l = handle->data;
    mem_free(l->loops);
    mem_free(l->unix_path);
    mem_free(l);
}

void listener_close(struct listener *l)
{
    if (!l)
        return;
    loop_timer_stop(&l->pause);
    uv_close((uv_handle_t *)&l->poll, free_listener);
    close(l->fd);
    if (l->unix_path)
        unlink(l->unix_path);
}
