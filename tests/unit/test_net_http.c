/*
 * HTTP server and client against each other, over real sockets on loopback: HTTP/1.1 and HTTP/2,
 * plain and TLS. Every case runs for each of the four.
 */
#include "base/mem.h"
#include "base/random.h"
#include "net/http.h"
#include "net/http_client.h"
#include "net/stream.h"
#include "net/x509.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct loop *loops[2], *client_loop;
    struct http_server *server;
    struct tls_context *server_tls, *client_tls;
    struct x509_pair ca;
    int plain_port, tls_port;
    atomic_int closed;  /* on_close calls seen */
    atomic_int drained; /* on_drain calls seen */
    atomic_size_t queued_max;
} t;

static const struct {
    const char *name;
    bool tls, h1, h2;
} variants[] = {
    {"h1", false, true, false},
    {"h2", false, false, true},
    {"h1 over TLS", true, true, false},
    {"h2 over TLS", true, false, true},
};

#define MANY 100 /* headers of an answer, and trailers */

/* ----------------------------------------------------------------------- server --- */

static const struct http_header text = {STR("content-type"), STR("text/plain")};

/* /flood: writes as fast as backpressure allows until it is closed. */
static void flood_more(struct http_exchange *x)
{
    static const char block[8192];
    while (http_stream_queued(x) < 256 * 1024 && !http_closed(x))
        http_stream_write(x, str_make(block, sizeof block));
    size_t q = http_stream_queued(x), max = atomic_load(&t.queued_max);
    while (q > max && !atomic_compare_exchange_weak(&t.queued_max, &max, q)) {
    }
}

static void flood_drain(struct http_exchange *x)
{
    atomic_fetch_add(&t.drained, 1);
    flood_more(x);
}

static void ended_by_peer(struct http_exchange *x)
{
    atomic_fetch_add(&t.closed, 1);
    if (http_stream_started(x))
        http_stream_end(x, NULL, 0);
    else
        http_respond(x, 200, NULL, 0, STR(""));
}

struct counted {
    size_t bytes;
    uint64_t sum;
};

static void count_body(struct http_exchange *x, struct str data, bool end)
{
    struct counted *c = x->user;
    for (size_t i = 0; i < data.n; i++)
        c->sum = c->sum * 31 + (unsigned char)data.p[i];
    c->bytes += data.n;
    if (end) {
        char *answer = arena_printf(&x->arena, "%zu %llu", c->bytes, (unsigned long long)c->sum);
        http_respond(x, 200, &text, 1, str_from(answer));
    }
}

static void on_headers(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (str_eqz(x->path, "/upload")) {
        x->user = arena_new(&x->arena, struct counted);
        http_body_stream(x, count_body);
    } else if (str_eqz(x->path, "/denied")) {
        http_respond(x, 403, &text, 1, STR("no"));
    }
}

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (str_eqz(x->path, "/echo")) {
        http_respond(x, 200, &text, 1, x->body);
    } else if (str_eqz(x->path, "/arena")) {
        http_respond_arena(
            x, 200, &text, 1,
            str_from(arena_printf(&x->arena, "%.*s", STR_ARG(http_query_get(x, "v")))));
    } else if (str_eqz(x->path, "/trailers")) {
        struct http_header trailer = {STR("x-sum"), STR("42")};
        http_stream_start(x, 200, &text, 1);
        http_stream_write(x, STR("a"));
        http_stream_write(x, STR("b"));
        http_stream_end(x, &trailer, 1);
    } else if (str_eqz(x->path, "/flood")) {
        x->on_drain = flood_drain;
        x->on_close = ended_by_peer;
        http_stream_start(x, 200, &text, 1);
        flood_more(x);
    } else if (str_eqz(x->path, "/never")) {
        x->on_close = ended_by_peer;
    } else if (str_eqz(x->path, "/abort")) {
        http_stream_start(x, 200, &text, 1);
        http_stream_write(x, STR("some"));
        http_abort(x);
    } else if (str_eqz(x->path, "/many")) {
        struct http_header many[MANY];
        for (size_t i = 0; i < MANY; i++)
            many[i] = (struct http_header){str_from(arena_printf(&x->arena, "x-%zu", i)), STR("v")};
        http_stream_start(x, 200, many, MANY);
        http_stream_write(x, STR("a"));
        http_stream_end(x, many, MANY);
    } else if (str_eqz(x->path, "/host")) {
        http_respond(x, 200, &text, 1, x->authority);
    } else if (str_eqz(x->path, "/header")) {
        struct http_header evil[] = {{STR("x-evil"), STR("a\r\nset-cookie: b")},
                                     {STR("x-good"), STR("c")}};
        http_respond(x, 200, evil, 2, STR(""));
    } else {
        http_respond(x, 404, &text, 1, x->path);
    }
}

static int setup(void **state)
{
    (void)state;
    struct error err = {0};
    struct x509_pair server;
    const char *const names[] = {"localhost", "127.0.0.1", NULL};
    assert_int_equal(x509_ca_new(&(struct x509_spec){.common_name = "ca"}, &t.ca, &err), 0);
    assert_int_equal(x509_issue(&t.ca,
                                &(struct x509_spec){.common_name = "server",
                                                    .alt_names = names,
                                                    .usage = X509_USAGE_SERVER},
                                &server, &err),
                     0);
    t.server_tls = tls_server_new(&(struct tls_options){.cert_pem = str_from(server.cert_pem),
                                                        .key_pem = str_from(server.key_pem)},
                                  &err);
    t.client_tls = tls_client_new(&(struct tls_options){.ca_pem = str_from(t.ca.cert_pem)}, &err);
    assert_non_null(t.server_tls);
    assert_non_null(t.client_tls);
    x509_pair_free(&server);
    t.loops[0] = loop_start("server-0");
    t.loops[1] = loop_start("server-1");
    t.client_loop = loop_start("client");
    t.server = http_server_new(&(struct http_server_options){.loops = t.loops,
                                                             .loops_len = 2,
                                                             .on_headers = on_headers,
                                                             .on_request = on_request,
                                                             .body_bytes_max = 1 << 20});
    assert_int_equal(http_server_listen(t.server, "127.0.0.1:0", NULL, &err), 0);
    assert_int_equal(http_server_listen(t.server, "127.0.0.1:0", t.server_tls, &err), 0);
    t.plain_port = http_server_port(t.server, 0);
    t.tls_port = http_server_port(t.server, 1);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    http_server_stop_wait(t.server, 2000);
    http_server_free(t.server);
    loop_join(t.client_loop);
    loop_join(t.loops[0]);
    loop_join(t.loops[1]);
    tls_context_unref(t.server_tls);
    tls_context_unref(t.client_tls);
    x509_pair_free(&t.ca);
    return 0;
}

static struct http_client *client_for(size_t variant)
{
    struct error err = {0};
    char url[64];
    snprintf(url, sizeof url, "%s://127.0.0.1:%d", variants[variant].tls ? "https" : "http",
             variants[variant].tls ? t.tls_port : t.plain_port);
    const char *servers[] = {url, NULL};
    struct tls_context *tls = t.client_tls;
    if (variants[variant].tls && variants[variant].h1) {
        static const char *const alpn[] = {"http/1.1", NULL};
        tls = tls_client_new(&(struct tls_options){.ca_pem = str_from(t.ca.cert_pem), .alpn = alpn},
                             &err);
        assert_non_null(tls);
    } else {
        tls_context_ref(tls);
    }
    struct http_client *c =
        http_client_new(t.client_loop,
                        &(struct http_client_options){.servers = servers,
                                                      .tls = tls,
                                                      .http1_only = variants[variant].h1,
                                                      .http2_only = variants[variant].h2},
                        &err);
    tls_context_unref(tls);
    assert_non_null(c);
    return c;
}

static int get(struct http_client *c, const char *path, struct arena *a, struct http_response *r)
{
    struct error err = {0};
    int rc = http_client_do(
        c, &(struct http_request){.method = "GET", .path = path, .timeout_ms = 5000}, a, r, &err);
    if (rc < 0)
        print_message("%s: %s\n", path, err.message);
    return rc;
}

static void wait_until(atomic_int *counter, int value)
{
    for (int i = 0; i < 60000 && atomic_load(counter) < value; i++)
        usleep(1000);
    assert_true(atomic_load(counter) >= value);
}

#define FOR_EACH_VARIANT(v) for (size_t v = 0; v < ARRAY_LEN(variants); v++)

/* ------------------------------------------------------------------------ cases --- */

static void answers_simple_requests(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        struct arena a;
        struct http_response r;
        arena_init(&a);
        assert_int_equal(get(c, "/nowhere", &a, &r), 0);
        assert_int_equal(r.status, 404);
        assert_string_equal(r.body.p, "/nowhere");
        assert_true(str_eqz(http_response_header(&r, "content-type"), "text/plain"));
        assert_int_equal(get(c, "/arena?x=1&v=a%20b%2Bc+d", &a, &r), 0);
        assert_string_equal(r.body.p, "a b+c d");
        assert_int_equal(get(c, "/trailers", &a, &r), 0);
        assert_string_equal(r.body.p, "ab");
        assert_int_equal(get(c, "/denied", &a, &r), 0);
        assert_int_equal(r.status, 403);
        arena_free(&a);
        http_client_free(c);
    }
}

static void so_much_of_a_body_is_enough(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        for (int i = 0; i < 2; i++) { /* the client is as good as before */
            struct http_response r;
            struct error err = {0};
            struct arena a;
            arena_init(&a);
            const struct http_request q = {.method = "GET",
                                           .path = "/flood",
                                           .timeout_ms = 60000,
                                           .body_bytes_max = 10000,
                                           .body_cut = i == 0};
            assert_int_equal(http_client_do(c, &q, &a, &r, &err), i == 0 ? 0 : ERR_LIMIT);
            assert_int_equal(i == 0 ? r.body.n : 10000, 10000);
            arena_free(&a);
        }
        http_client_free(c);
    }
}

static void no_header_of_an_answer_is_left_out(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        struct http_response r;
        struct arena a;
        arena_init(&a);
        assert_int_equal(get(c, "/many", &a, &r), 0);
        assert_true(str_eqz(http_response_header(&r, "x-99"), "v"));
        assert_int_equal(r.trailers_len, MANY);
        arena_free(&a);
        http_client_free(c);
    }
}

static void a_request_names_its_host_once(void **state)
{
    (void)state;
    const struct http_header host = {STR("host"), STR("other.example")};
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        struct http_response r;
        struct error err = {0};
        struct arena a;
        arena_init(&a);
        const struct http_request q = {.method = "GET",
                                       .path = "/host",
                                       .headers = &host,
                                       .headers_len = 1,
                                       .timeout_ms = 60000};
        assert_int_equal(http_client_do(c, &q, &a, &r, &err), 0);
        assert_int_equal(r.status, 200);
        assert_true(str_eqz(r.body, "other.example"));
        arena_free(&a);
        http_client_free(c);
    }
}

/* What a request says may come from others (a pod's probes): it must stay one request. */
static void nothing_is_sent_that_would_be_another_request(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        struct http_header header;
    } cases[] = {
        {"/a HTTP/1.1\r\nhost: a\r\n\r\nDELETE /b", {STR("x"), STR("y")}},
        {"/a b", {STR("x"), STR("y")}},
        {"/a\n", {STR("x"), STR("y")}},
        {"/a", {STR("x"), STR("y\r\nz: 1")}},
        {"/a", {STR("x\r\nz"), STR("y")}},
        {"/a", {STR("x y"), STR("z")}},
        {"/a", {STR(""), STR("z")}},
    };
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct http_response r;
            struct error err = {0};
            struct arena a;
            arena_init(&a);
            const struct http_request q = {.method = "GET",
                                           .path = cases[i].path,
                                           .headers = &cases[i].header,
                                           .headers_len = 1,
                                           .timeout_ms = 60000};
            assert_int_equal(http_client_do(c, &q, &a, &r, &err), ERR_INVALID);
            arena_free(&a);
        }
        http_client_free(c);
    }
}

static void drops_headers_with_control_characters(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        struct arena a;
        struct http_response r;
        arena_init(&a);
        assert_int_equal(get(c, "/header", &a, &r), 0);
        assert_null(http_response_header(&r, "set-cookie").p);
        assert_null(http_response_header(&r, "x-evil").p);
        assert_true(str_eqz(http_response_header(&r, "x-good"), "c"));
        arena_free(&a);
        http_client_free(c);
    }
}

static void echoes_bodies_up_to_the_limit(void **state)
{
    (void)state;
    static const size_t sizes[] = {0,     1,     16383,  16384,   16385,
                                   65535, 65536, 300000, 1 << 20, (1 << 20) + 1};
    char *body = mem_alloc((1 << 20) + 1);
    random_bytes(body, (1 << 20) + 1);
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
            struct arena a;
            struct http_response r;
            struct error err = {0};
            arena_init(&a);
            struct http_request q = {.method = "POST",
                                     .path = "/echo",
                                     .body = str_make(body, sizes[i]),
                                     .timeout_ms = 10000};
            int rc = http_client_do(c, &q, &a, &r, &err);
            if (rc < 0)
                print_message("%s %zu: %s\n", variants[v].name, sizes[i], err.message);
            assert_int_equal(rc, 0);
            if (sizes[i] > 1 << 20) {
                assert_int_equal(r.status, 413);
            } else {
                assert_int_equal(r.status, 200);
                assert_int_equal(r.body.n, sizes[i]);
                assert_memory_equal(r.body.p, body, sizes[i]);
            }
            arena_free(&a);
        }
        http_client_free(c);
    }
    mem_free(body);
}

struct async {
    uv_sem_t done;
    int rc, status;
    char message[256];
    size_t bytes;
    struct http_call *call;
    struct http_client *client;
    const char *path;
    size_t left; /* upload */
    uint64_t sum;
    size_t cancel_after;
    char body[64];
    bool pause_once;
    struct loop_timer timer;
};

static void async_done(struct http_call *call, void *ctx, const struct http_response *r,
                       const struct error *err)
{
    (void)call;
    struct async *s = ctx;
    s->rc = err->code;
    s->status = r->status;
    snprintf(s->message, sizeof s->message, "%s", err->message);
    snprintf(s->body, sizeof s->body, "%.*s", STR_ARG(r->body));
    uv_sem_post(&s->done);
}

static void resume_later(struct loop_timer *timer)
{
    http_call_resume(container_of(timer, struct async, timer)->call);
}

static void async_data(struct http_call *call, void *ctx, struct str data)
{
    struct async *s = ctx;
    s->bytes += data.n;
    if (s->pause_once && s->bytes > 100000) {
        s->pause_once = false;
        http_call_pause(call);
        loop_timer_start(&s->timer, 200);
    }
    if (s->cancel_after && s->bytes >= s->cancel_after)
        http_call_cancel(call);
}

static const struct http_call_events async_events = {.on_data = async_data, .on_done = async_done};

static void async_start(void *arg)
{
    struct async *s = arg;
    loop_timer_init(t.client_loop, &s->timer, resume_later);
    s->call = http_client_send(
        s->client, &(struct http_request){.method = "GET", .path = s->path, .stream = true},
        &async_events, s);
}

static void async_cancel(void *arg)
{
    struct async *s = arg;
    http_call_cancel(s->call);
}

/* A client that stops reading stops the server, whose queue stays bounded; when the client goes,
 * the handler is told. */
static void applies_backpressure_and_tells_when_the_peer_leaves(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        atomic_store(&t.drained, 0);
        atomic_store(&t.closed, 0);
        atomic_store(&t.queued_max, 0);
        struct async s = {.client = client_for(v),
                          .path = "/flood",
                          .cancel_after = 20000000,
                          .pause_once = true};
        uv_sem_init(&s.done, 0);
        loop_call(t.client_loop, async_start, &s);
        uv_sem_wait(&s.done);
        assert_int_equal(s.rc, ERR_CANCELLED);
        assert_true(s.bytes >= s.cancel_after);
        wait_until(&t.closed, 1);
        assert_true(atomic_load(&t.drained) > 0);
        assert_true(atomic_load(&t.queued_max) <= 256 * 1024 + 8192 + 64);
        uv_sem_destroy(&s.done);
        http_client_free(s.client);
    }
}

static void tells_the_handler_of_a_cancelled_request(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        atomic_store(&t.closed, 0);
        struct async s = {.client = client_for(v), .path = "/never"};
        uv_sem_init(&s.done, 0);
        loop_call(t.client_loop, async_start, &s);
        usleep(30000);
        loop_call(t.client_loop, async_cancel, &s);
        uv_sem_wait(&s.done);
        assert_int_equal(s.rc, ERR_CANCELLED);
        wait_until(&t.closed, 1);
        uv_sem_destroy(&s.done);
        http_client_free(s.client);
    }
}

static void reports_an_aborted_answer_as_an_error(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        struct arena a;
        struct http_response r;
        arena_init(&a);
        assert_true(get(c, "/abort", &a, &r) < 0);
        assert_int_equal(get(c, "/nowhere", &a, &r), 0); /* the client goes on */
        arena_free(&a);
        http_client_free(c);
    }
}

static void fails_a_call_at_its_timeout(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        struct arena a;
        struct http_response r;
        struct error err = {0};
        arena_init(&a);
        struct http_request q = {.method = "GET", .path = "/never", .timeout_ms = 50};
        assert_int_equal(http_client_do(c, &q, &a, &r, &err), ERR_TIMEOUT);
        arena_free(&a);
        http_client_free(c);
    }
}

/* ------------------------------------------------------------- streamed upload --- */

static void upload_more(struct http_call *call, void *ctx)
{
    struct async *s = ctx;
    char block[5000];
    while (s->left && http_call_queued(call) < 200000) {
        size_t n = MIN(s->left, sizeof block);
        for (size_t i = 0; i < n; i++) {
            block[i] = (char)(s->left - i);
            s->sum = s->sum * 31 + (unsigned char)block[i];
        }
        s->left -= n;
        http_call_write(call, str_make(block, n));
    }
    if (!s->left)
        http_call_end(call);
}

static void upload_start(void *arg)
{
    static const struct http_call_events events = {.on_drain = upload_more, .on_done = async_done};
    struct async *s = arg;
    struct http_request q = {.method = "POST", .path = "/upload", .upload = true};
    s->call = http_client_send(s->client, &q, &events, s);
    upload_more(s->call, s);
}

static void streams_an_upload(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct async s = {.client = client_for(v), .left = 5000001};
        char expected[64];
        uv_sem_init(&s.done, 0);
        loop_call(t.client_loop, upload_start, &s);
        uv_sem_wait(&s.done);
        assert_int_equal(s.rc, 0);
        snprintf(expected, sizeof expected, "5000001 %llu", (unsigned long long)s.sum);
        assert_string_equal(s.body, expected);
        uv_sem_destroy(&s.done);
        http_client_free(s.client);
    }
}

/* ---------------------------------------------------------------------- failover --- */

static void goes_on_to_the_next_server(void **state)
{
    (void)state;
    struct error err = {0};
    char good[64];
    snprintf(good, sizeof good, "http://127.0.0.1:%d", t.plain_port);
    const char *servers[] = {"http://127.0.0.1:1", "http://127.0.0.1:2", good, NULL};
    struct http_client *c =
        http_client_new(t.client_loop, &(struct http_client_options){.servers = servers}, &err);
    struct arena a;
    struct http_response r;
    arena_init(&a);
    for (int i = 0; i < 3; i++)
        assert_int_equal(get(c, "/nowhere", &a, &r), 0);
    http_client_free(c);
    servers[2] = NULL;
    c = http_client_new(t.client_loop, &(struct http_client_options){.servers = servers}, &err);
    struct http_request q = {.method = "GET", .path = "/"};
    assert_int_equal(http_client_do(c, &q, &a, &r, &err), ERR_UNAVAILABLE);
    assert_non_null(strstr(err.message, "refused"));
    arena_free(&a);
    http_client_free(c);
}

static void refuses_a_server_of_another_ca(void **state)
{
    (void)state;
    struct error err = {0};
    struct x509_pair other;
    assert_int_equal(x509_ca_new(&(struct x509_spec){.common_name = "other"}, &other, &err), 0);
    struct tls_context *tls =
        tls_client_new(&(struct tls_options){.ca_pem = str_from(other.cert_pem)}, &err);
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d", t.tls_port);
    const char *servers[] = {url, NULL};
    struct http_client *c = http_client_new(
        t.client_loop, &(struct http_client_options){.servers = servers, .tls = tls}, &err);
    struct arena a;
    struct http_response r;
    struct http_request q = {.method = "GET", .path = "/"};
    arena_init(&a);
    assert_int_equal(http_client_do(c, &q, &a, &r, &err), ERR_DENIED);
    assert_non_null(strstr(err.message, "certificate"));
    arena_free(&a);
    http_client_free(c);
    tls_context_unref(tls);
    x509_pair_free(&other);
}

static void refuses_a_server_of_another_name(void **state)
{
    (void)state;
    struct error err = {0};
    char url[64];
    snprintf(url, sizeof url, "https://127.0.0.1:%d", t.tls_port);
    const char *servers[] = {url, NULL};
    struct http_client *c =
        http_client_new(t.client_loop,
                        &(struct http_client_options){
                            .servers = servers, .tls = t.client_tls, .server_name = "example.org"},
                        &err);
    struct arena a;
    struct http_response r;
    struct http_request q = {.method = "GET", .path = "/"};
    arena_init(&a);
    assert_int_equal(http_client_do(c, &q, &a, &r, &err), ERR_DENIED);
    arena_free(&a);
    http_client_free(c);
}

/* A thousand calls from several threads at once share few connections. */
static void *hammer(void *arg)
{
    struct http_client *c = arg;
    for (int i = 0; i < 100; i++) {
        struct arena a;
        struct http_response r;
        arena_init(&a);
        char path[64];
        snprintf(path, sizeof path, "/arena?v=%d", i);
        if (get(c, path, &a, &r) != 0 || r.status != 200 || atoi(r.body.p) != i)
            return (void *)1;
        arena_free(&a);
    }
    return NULL;
}

static void serves_many_threads(void **state)
{
    (void)state;
    FOR_EACH_VARIANT(v)
    {
        struct http_client *c = client_for(v);
        uv_thread_t threads[10];
        void *rc;
        for (size_t i = 0; i < ARRAY_LEN(threads); i++)
            assert_int_equal(pthread_create(&threads[i], NULL, hammer, c), 0);
        for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
            pthread_join(threads[i], &rc);
            assert_null(rc);
        }
        assert_true(http_server_connections(t.server) <= 10);
        http_client_free(c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_simple_requests),
        cmocka_unit_test(so_much_of_a_body_is_enough),
        cmocka_unit_test(no_header_of_an_answer_is_left_out),
        cmocka_unit_test(a_request_names_its_host_once),
        cmocka_unit_test(nothing_is_sent_that_would_be_another_request),
        cmocka_unit_test(drops_headers_with_control_characters),
        cmocka_unit_test(echoes_bodies_up_to_the_limit),
        cmocka_unit_test(streams_an_upload),
        cmocka_unit_test(applies_backpressure_and_tells_when_the_peer_leaves),
        cmocka_unit_test(tells_the_handler_of_a_cancelled_request),
        cmocka_unit_test(reports_an_aborted_answer_as_an_error),
        cmocka_unit_test(fails_a_call_at_its_timeout),
        cmocka_unit_test(goes_on_to_the_next_server),
        cmocka_unit_test(refuses_a_server_of_another_ca),
        cmocka_unit_test(refuses_a_server_of_another_name),
        cmocka_unit_test(serves_many_threads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
