/*
 * The event recorder against a server of Events: what repeats is counted, what is long is cut, and a server that does not
 * answer holds nobody up for long.
 */
#include "client/recorder.h"

#include "api/codec.h"
#include "api/meta.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kubeconfig.h"
#include "net/http.h"
#include "proto/core_v1.pb-c.h"
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>
#include <cmocka.h>

#define WAIT_NS (60 * NS_PER_S)
#define PROTOBUF "application/vnd.kubernetes.protobuf"

struct event_server {
    struct loop *loop;
    struct http_server *server;
    char url[64];
    atomic_bool silent;
    atomic_uint created, patched, unanswered;
    pthread_mutex_t lock;
    struct buf message; /* of the last event that was created */
};

static void closed(struct http_exchange *x)
{
    http_respond(x, 503, NULL, 0, STR(""));
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct event_server *s = ctx;
    struct http_header header = {STR("content-type"), STR(PROTOBUF)};
    if (atomic_load(&s->silent)) {
        x->on_close = closed;
        atomic_fetch_add(&s->unanswered, 1);
        return;
    }
    void *decoded;
    struct error err = {0};
    if (str_eqz(x->method, "POST") &&
        envelope_decode(&x->arena, schema_get(Core__V1__Event__SCHEMA), x->body, &decoded, &err) ==
            0) {
        pthread_mutex_lock(&s->lock);
        buf_clear(&s->message);
        buf_append_cstr(&s->message, ((Core__V1__Event *)decoded)->message);
        pthread_mutex_unlock(&s->lock);
        atomic_fetch_add(&s->created, 1);
        http_respond(x, 201, &header, 1, x->body);
        return;
    }
    struct buf b;
    buf_init(&b);
    envelope_encode(api_new(&x->arena, Core__V1__Event), &b);
    atomic_fetch_add(&s->patched, 1);
    http_respond(x, 200, &header, 1, buf_str(&b));
    buf_free(&b);
}

static struct event_server *server_new(void)
{
    struct event_server *s = mem_zalloc(sizeof *s);
    struct error err = {0};
    pthread_mutex_init(&s->lock, NULL);
    buf_init(&s->message);
    s->loop = loop_start("events");
    s->server = http_server_new(&(struct http_server_options){
        .loops = &s->loop, .loops_len = 1, .ctx = s, .on_request = on_request});
    assert_int_equal(http_server_listen(s->server, "127.0.0.1:0", NULL, &err), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", http_server_port(s->server, 0));
    return s;
}

static void server_free(struct event_server *s)
{
    http_server_stop_wait(s->server, 0);
    http_server_free(s->server);
    loop_join(s->loop);
    buf_free(&s->message);
    mem_free(s);
}

static struct client *connect_to(struct event_server *s)
{
    const char *servers[] = {s->url};
    struct client_config config = {.servers = servers, .servers_len = 1};
    struct client *c = NULL;
    struct error err = {0};
    assert_int_equal(client_new(&config, "test", &c, &err), 0);
    return c;
}

static void wait_count(atomic_uint *n, unsigned want)
{
    for (uint64_t end = clock_mono_ns() + WAIT_NS; atomic_load(n) < want; usleep(1000))
        assert_true(clock_mono_ns() < end);
}

static const struct event_target pod = {
    .api_version = "v1", .kind = "Pod", .ns = "default", .name = "web", .uid = "u"};

static void test_what_repeats_is_counted(void **state)
{
    (void)state;
    struct event_server *s = server_new();
    struct client *c = connect_to(s);
    struct recorder *r = recorder_new(c, "kubelet", "n1");
    for (int i = 0; i < 3; i++)
        recorder_event(r, &pod, EVENT_NORMAL, "Pulled", "image %s", "busybox");
    recorder_event(r, &pod, EVENT_NORMAL, "Pulled", "image %s", "nginx");
    wait_count(&s->created, 2);
    wait_count(&s->patched, 2);
    recorder_free(r);
    assert_int_equal(atomic_load(&s->created), 2);
    assert_int_equal(atomic_load(&s->patched), 2);
    client_free(c);
    server_free(s);
}

static void test_a_long_message_ends_with_a_whole_character(void **state)
{
    (void)state;
    struct event_server *s = server_new();
    struct client *c = connect_to(s);
    struct recorder *r = recorder_new(c, "kubelet", NULL);
    struct buf text;
    buf_init(&text);
    for (int i = 0; i < 341; i++) /* 1023 bytes hold 340 and two thirds after the first */
        buf_append_cstr(&text, i ? "…" : "ab");
    buf_append_cstr(&text, "……");
    recorder_event(r, &pod, EVENT_WARNING, "Failed", "%s", buf_cstr(&text));
    wait_count(&s->created, 1);
    pthread_mutex_lock(&s->lock);
    assert_true(utf8_valid(buf_str(&s->message)));
    assert_int_equal(s->message.len, 2 + 340 * 3);
    pthread_mutex_unlock(&s->lock);
    buf_free(&text);
    recorder_free(r);
    client_free(c);
    server_free(s);
}

static void test_a_silent_server_holds_the_end_up_for_a_call(void **state)
{
    (void)state;
    struct event_server *s = server_new();
    struct client *c = connect_to(s);
    struct recorder *r = recorder_new(c, "kubelet", NULL);
    atomic_store(&s->silent, true);
    for (int i = 0; i < 5; i++)
        recorder_event(r, &pod, EVENT_NORMAL, "Killing", "container %d", i);
    wait_count(&s->unanswered, 1);
    uint64_t start = clock_mono_ns();
    recorder_free(r);
    assert_true(clock_mono_ns() - start < 20 * NS_PER_S); /* ten, and not thirty and more */
    client_free(c);
    server_free(s);
}

static void quiet(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    (void)line;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_repeats_is_counted),
        cmocka_unit_test(test_a_long_message_ends_with_a_whole_character),
        cmocka_unit_test(test_a_silent_server_holds_the_end_up_for_a_call),
    };
    if (!getenv("TEST_VERBOSE"))
        log_set_sink(quiet, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
