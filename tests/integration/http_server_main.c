/*
 * A small server for http_curl_test.sh: serves fixed paths over net/http.h on a plain and a TLS
 * port, so that curl and h2load drive the real thing.
 *
 *   http_server_main CERT_DIR      prints "plain=PORT tls=PORT mtls=PORT", runs until standard
 * input ends /hello     "hello\n"           /echo   the request's body /big?n=N   N bytes /slow
 * three chunks, 50 ms apart /who       the client certificate's common name
 */
#include "base/mem.h"
#include "net/http.h"
#include "net/x509.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct http_header text = {STR("content-type"), STR("text/plain")};

struct slow {
    struct loop_timer timer;
    struct http_exchange *x;
    int left;
};

static void slow_tick(struct loop_timer *timer)
{
    struct slow *s = container_of(timer, struct slow, timer);
    if (s->left-- > 0) {
        http_stream_write(s->x, STR("tick\n"));
        loop_timer_start(timer, 50);
        return;
    }
    http_stream_end(s->x, NULL, 0);
    mem_free(s);
}

static void big(struct http_exchange *x)
{
    uint64_t n = 0;
    struct str arg = http_query_get(x, "n");
    if (!arg.p || !str_to_u64(arg, &n) || n > (64u << 20)) {
        http_respond(x, 400, &text, 1, STR("n?\n"));
        return;
    }
    struct blob *b = blob_new(n);
    for (size_t i = 0; i < n; i++)
        b->data[i] = (char)('a' + i % 23);
    http_respond_blob(x, 200, &text, 1, b);
    blob_unref(b);
}

static void handle(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (str_eqz(x->path, "/hello")) {
        http_respond(x, 200, &text, 1, STR("hello\n"));
    } else if (str_eqz(x->path, "/echo")) {
        http_respond(x, 200, &text, 1, x->body);
    } else if (str_eqz(x->path, "/big")) {
        big(x);
    } else if (str_eqz(x->path, "/slow")) {
        struct slow *s = mem_zalloc(sizeof *s);
        s->x = x;
        s->left = 3;
        loop_timer_init(x->loop, &s->timer, slow_tick);
        http_stream_start(x, 200, &text, 1);
        loop_timer_start(&s->timer, 0);
    } else if (str_eqz(x->path, "/who")) {
        http_respond(x, 200, &text, 1,
                     str_from(x->peer && x->peer->verified ? x->peer->common_name : "-"));
    } else {
        http_respond(x, 404, &text, 1, STR("no such path\n"));
    }
}

static void die(const struct error *err)
{
    fprintf(stderr, "%s\n", err->message);
    exit(1);
}

static void make_certificates(const char *dir)
{
    struct error err = {0};
    struct x509_pair ca, pair;
    char cert[512], key[512];
    const char *const names[] = {"localhost", "127.0.0.1", NULL};
    if (x509_ca_new(&(struct x509_spec){.common_name = "test-ca"}, &ca, &err) < 0)
        die(&err);
    snprintf(cert, sizeof cert, "%s/ca.crt", dir);
    if (x509_write_cert(cert, ca.cert_pem, &err) < 0)
        die(&err);
    const struct x509_spec specs[] = {
        {.common_name = "server", .alt_names = names, .usage = X509_USAGE_SERVER},
        {.common_name = "alice", .usage = X509_USAGE_CLIENT}};
    for (size_t i = 0; i < ARRAY_LEN(specs); i++) {
        if (x509_issue(&ca, &specs[i], &pair, &err) < 0)
            die(&err);
        snprintf(cert, sizeof cert, "%s/%s.crt", dir, specs[i].common_name);
        snprintf(key, sizeof key, "%s/%s.key", dir, specs[i].common_name);
        if (x509_pair_write(cert, key, &pair, &err) < 0)
            die(&err);
        x509_pair_free(&pair);
    }
    x509_pair_free(&ca);
}

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;
    struct error err = {0};
    char cert[512], key[512], ca[512];
    make_certificates(argv[1]);
    snprintf(cert, sizeof cert, "%s/server.crt", argv[1]);
    snprintf(key, sizeof key, "%s/server.key", argv[1]);
    snprintf(ca, sizeof ca, "%s/ca.crt", argv[1]);
    struct tls_options options = {.cert_file = cert, .key_file = key, .ca_file = ca};
    struct tls_context *tls = tls_server_new(&options, &err);
    options.client_auth = TLS_CLIENT_AUTH_REQUIRE;
    struct tls_context *mtls = tls ? tls_server_new(&options, &err) : NULL;
    if (!mtls)
        die(&err);
    struct loop *loops[] = {loop_start("http-0"), loop_start("http-1")};
    struct http_server *s = http_server_new(
        &(struct http_server_options){.loops = loops, .loops_len = 2, .on_request = handle});
    if (http_server_listen(s, "127.0.0.1:0", NULL, &err) < 0 ||
        http_server_listen(s, "127.0.0.1:0", tls, &err) < 0 ||
        http_server_listen(s, "127.0.0.1:0", mtls, &err) < 0)
        die(&err);
    printf("plain=%d tls=%d mtls=%d\n", http_server_port(s, 0), http_server_port(s, 1),
           http_server_port(s, 2));
    fflush(stdout);
    char c;
    while (read(0, &c, 1) > 0) {
    }
    http_server_stop_wait(s, 2000);
    http_server_free(s);
    tls_context_unref(tls);
    tls_context_unref(mtls);
    loop_join(loops[0]);
    loop_join(loops[1]);
    return 0;
}
