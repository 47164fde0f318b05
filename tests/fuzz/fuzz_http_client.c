/*
 * What a server answers: a node agent, another member, a proxied pod. The first byte says how the answer is read:
 * HTTP/1.1, HTTP/2 or as an upgrade, whole or in pieces; the rest is what the server sends before it closes.
 */
#include "net/http_client.h"
#include "net/http_upgrade.h"
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_MAX 4096

static struct loop *loop;
static int listener;
static char server[64]; /* "unix:/…" */

static void setup(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    snprintf(at.sun_path, sizeof at.sun_path, "/tmp/c8s-fuzz-%d", (int)getpid());
    snprintf(server, sizeof server, "unix:%s", at.sun_path);
    unlink(at.sun_path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    require(bind(listener, (struct sockaddr *)&at, sizeof at) == 0 && listen(listener, 8) == 0);
    loop = loop_new();
}

static void remove_socket(void)
{
    unlink(server + strlen("unix:"));
}

static void turn(int times)
{
    for (int i = 0; i < times; i++)
        uv_run(loop_uv(loop), UV_RUN_NOWAIT);
}

/* What became of a request. */
struct fate {
    unsigned ended;
    size_t bytes;
};

static void on_data(struct http_call *call, void *ctx, struct str data)
{
    (void)call;
    ((struct fate *)ctx)->bytes += data.n;
}

static void on_done(struct http_call *call, void *ctx, const struct http_response *r,
                    const struct error *err)
{
    struct fate *f = ctx;
    (void)call;
    f->ended++;
    require(r->body.n <= BODY_MAX);
    require(err->code || (r->status >= 100 && r->status <= 999));
    for (size_t i = 0; i < r->headers_len; i++)
        for (size_t k = 0; k < r->headers[i].name.n; k++)
            require(r->headers[i].name.p[k] < 'A' || r->headers[i].name.p[k] > 'Z');
}

static void on_open(struct http_upgrade *u, void *ctx)
{
    (void)ctx;
    http_upgrade_write(u, STR("hello"));
}

static void on_bytes(struct http_upgrade *u, void *ctx, struct str data)
{
    (void)u;
    ((struct fate *)ctx)->bytes += data.n;
}

static void on_close(struct http_upgrade *u, void *ctx, int status, const char *reason)
{
    (void)u;
    require(status >= 0 && status <= 999 && reason);
    ((struct fate *)ctx)->ended++;
}

/* Send the answer in two pieces to whoever connects, and close. */
static void answer(const uint8_t *data, size_t size, const struct fate *fate)
{
    size_t cut = size ? data[0] % size : 0;
    int fd = -1;
    for (int i = 0; i < 100 && fd < 0 && !fate->ended; i++) {
        turn(1);
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    if (fd < 0)
        return;
    turn(2);
    if (send(fd, data, cut, MSG_NOSIGNAL) >= 0)
        turn(2);
    if (send(fd, data + cut, size - cut, MSG_NOSIGNAL) >= 0)
        turn(3);
    close(fd);
    turn(3);
}

static void ask(bool http2, bool stream, const uint8_t *data, size_t size)
{
    const char *const servers[] = {server, NULL};
    struct http_client_options options = {
        .servers = servers, .http1_only = !http2, .http2_only = http2};
    static const struct http_call_events events = {.on_data = on_data, .on_done = on_done};
    struct http_request request = {
        .method = "GET", .path = "/a?b", .stream = stream, .body_bytes_max = BODY_MAX};
    struct fate fate = {0};
    struct error err;
    struct http_client *client = http_client_new(loop, &options, &err);
    require(client != NULL);
    http_client_send(client, &request, &events, &fate);
    for (int i = 0; i < 4 && !fate.ended; i++) /* a safe request may be sent again */
        answer(data, size, &fate);
    http_client_free(client);
    turn(10);
    require(fate.ended == 1);
}

static void upgrade(const uint8_t *data, size_t size)
{
    static const struct http_upgrade_events events = {
        .on_open = on_open, .on_data = on_bytes, .on_close = on_close};
    const struct http_header headers[] = {{STR("upgrade"), STR("SPDY/3.1")}};
    struct http_pass_target target = {.address = server, .path = "/exec"};
    struct fate fate = {0};
    struct http_upgrade *u = http_upgrade_new(loop, &target, headers, 1, &events, &fate);
    answer(data, size, &fate);
    for (int i = 0; i < 100 && !fate.ended; i++)
        turn(1);
    if (!fate.ended)
        http_upgrade_close(u);
    turn(10);
    require(fate.ended == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    if (!loop) {
        setup();
        atexit(remove_socket);
    }
    switch (data[0] % 5) {
    case 4:
        upgrade(data + 1, size - 1);
        break;
    default:
        ask(data[0] & 1, data[0] & 2, data + 1, size - 1);
    }
    return 0;
}
