/*
 * Health and metrics of a component (client/component.h).
 */
#include "client/component.h"

#include "base/mem.h"
#include "net/http.h"
#include "net/tls.h"
#include "net/x509.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define STOP_GRACE_MS 500

struct component {
    struct loop *loop;
    struct http_server *server;
    struct tls_context *tls;
    struct component_options options;
};

static void answer(struct http_exchange *x, int status, const char *type, struct str body)
{
    struct http_header header = {STR("content-type"), str_from(type)};
    http_respond(x, status, &header, 1, body);
}

static void serve_metrics(struct component *c, struct http_exchange *x)
{
    struct buf out;
    buf_init(&out);
    if (c->options.metrics)
        metrics_render(c->options.metrics, &out);
    answer(x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_str(&out));
    buf_free(&out);
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct component *c = ctx;
    if (!str_eqz(x->method, "GET") && !str_eqz(x->method, "HEAD")) {
        answer(x, 405, "text/plain", STR("method not allowed\n"));
    } else if (str_eqz(x->path, "/healthz") || str_eqz(x->path, "/livez")) {
        answer(x, 200, "text/plain", STR("ok"));
    } else if (str_eqz(x->path, "/readyz")) {
        bool ready = !c->options.ready || c->options.ready(c->options.ctx);
        answer(x, ready ? 200 : 500, "text/plain", ready ? STR("ok") : STR("not ready\n"));
    } else if (str_eqz(x->path, "/metrics")) {
        serve_metrics(c, x);
    } else if (str_eqz(x->path, "/version")) {
        answer(x, 200, "text/plain", STR("c8s " C8S_VERSION "\n"));
    } else {
        answer(x, 404, "text/plain", STR("404 page not found\n"));
    }
}

/* Given files, or a self-signed pair that lives as long as the process. */
static struct tls_context *make_tls(const struct component_options *o, struct error *err)
{
    if (o->cert_file && *o->cert_file)
        return tls_server_new(
            &(struct tls_options){.cert_file = o->cert_file, .key_file = o->key_file}, err);
    char host[256] = "localhost";
    gethostname(host, sizeof host - 1);
    const char *names[] = {host, "localhost", "127.0.0.1", NULL};
    struct x509_pair pair = {0};
    if (x509_ca_new(&(struct x509_spec){.common_name = host, .alt_names = names}, &pair, err) < 0)
        return NULL;
    struct tls_context *tls =
        tls_server_new(&(struct tls_options){.cert_pem = str_from(pair.cert_pem),
                                             .key_pem = str_from(pair.key_pem)},
                       err);
    x509_pair_free(&pair);
    return tls;
}

int component_start(const struct component_options *o, struct component **out, struct error *err)
{
    struct component *c = mem_zalloc(sizeof *c);
    c->options = *o;
    *out = c;
    if (o->port == 0)
        return 0;
    struct error local = {0};
    c->tls = make_tls(o, &local);
    if (c->tls) {
        c->loop = loop_start("health");
        c->server = http_server_new(&(struct http_server_options){.loops = &c->loop,
                                                                  .loops_len = 1,
                                                                  .ctx = c,
                                                                  .on_request = on_request,
                                                                  .connections_max = 100});
        char address[300];
        bool v6 = strchr(o->bind_address, ':') != NULL;
        snprintf(address, sizeof address, v6 ? "[%s]:%d" : "%s:%d", o->bind_address, o->port);
        if (http_server_listen(c->server, address, c->tls, &local) < 0)
            error_wrap(&local, "health and metrics at %s", address);
    }
    if (local.code == 0)
        return 0;
    component_free(c);
    *out = NULL;
    return error_set(err, local.code, "%s", local.message);
}

void component_free(struct component *c)
{
    if (!c)
        return;
    if (c->server) {
        http_server_stop_wait(c->server, STOP_GRACE_MS);
        http_server_free(c->server);
    }
    if (c->loop)
        loop_join(c->loop);
    tls_context_unref(c->tls);
    mem_free(c);
}

static sigset_t end_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    return set;
}

void component_block_signals(void)
{
    sigset_t set = end_signals();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

int component_wait_signal(void)
{
    sigset_t set = end_signals();
    int number = 0;
    while (sigwait(&set, &number) != 0)
        ;
    return number;
}

void component_restart(char **argv)
{
    sigset_t set = end_signals();
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    execv("/proc/self/exe", argv);
    _exit(1);
}
