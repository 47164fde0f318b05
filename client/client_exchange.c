/*
 * REST client: one buffered exchange, waited for or not, with Retry-After obeyed until the call's
 * time is over (client/client_internal.h).
 *
 * All of it happens on the I/O thread, pauses included: who waits sleeps on a semaphore of its own
 * and never looks at the client again, so that freeing the client can end whatever a call does.
 */
#include "client/client_internal.h"

#include "base/clock.h"
#include "base/mem.h"
#include <assert.h>

#define RETRY_AFTER_MAX_S 10 /* a server cannot park us for longer than this at once */

/* A request on its way to the I/O thread, then under way there, or waiting to be sent again. */
struct async_call {
    struct loop_task task;
    struct list link; /* in client.waiting */
    struct loop_timer timer;
    struct client *client;
    struct http_request request; /* what it points to is there until `done` */
    uint64_t end_ns;             /* of all tries */
    /* Last use of the call. err is NULL, or why there is no answer; then r is NULL. */
    void (*done)(struct async_call *x, const struct http_response *r, const struct error *err);
};

/* How long the server wants us to wait before trying again; 0: it does not say so. */
static uint64_t retry_after_ms(const struct http_response *r)
{
    if (r->status != 429 && r->status != 503)
        return 0;
    uint64_t s;
    if (!str_to_u64(http_response_header(r, "retry-after"), &s))
        return 0;
    return MAX(MIN(s, RETRY_AFTER_MAX_S), 1) * 1000;
}

static void call_cancelled(struct async_call *x)
{
    struct error err = {0};
    error_set(&err, ERR_CANCELLED, "client closed");
    x->done(x, NULL, &err);
}

static void call_again(struct loop_timer *timer)
{
    struct async_call *x = container_of(timer, struct async_call, timer);
    list_remove(&x->link);
    x->task.fn(&x->task);
}

static void call_answered(struct http_call *call, void *ctx, const struct http_response *r,
                          const struct error *err)
{
    (void)call;
    struct async_call *x = ctx;
    uint64_t wait_ms = err->code ? 0 : retry_after_ms(r);
    if (wait_ms && x->client->closing) { /* it came between the last call and the end */
        call_cancelled(x);
    } else if (wait_ms && clock_mono_ns() + wait_ms * NS_PER_MS < x->end_ns) {
        list_push_back(&x->client->waiting, &x->link);
        loop_timer_start(&x->timer, wait_ms);
    } else {
        x->done(x, err->code ? NULL : r, err->code ? err : NULL);
    }
}

static void call_send(struct loop_task *task)
{
    struct async_call *x = container_of(task, struct async_call, task);
    static const struct http_call_events events = {.on_done = call_answered};
    uint64_t now = clock_mono_ns();
    x->request.timeout_ms = x->end_ns > now ? MAX((x->end_ns - now) / NS_PER_MS, 1) : 1;
    http_client_send(x->client->http, &x->request, &events, x);
}

static void call_init(struct async_call *x, struct client *c, uint32_t timeout_ms)
{
    x->task.fn = call_send;
    x->client = c;
    x->end_ns = clock_mono_ns() + (timeout_ms ? timeout_ms : CALL_TIMEOUT_MS) * NS_PER_MS;
    list_init(&x->link);
    loop_timer_init(c->loop, &x->timer, call_again);
}

void exchanges_cancel_waiting(struct client *c)
{
    while (!list_empty(&c->waiting)) {
        struct async_call *x = list_first(&c->waiting, struct async_call, link);
        list_remove(&x->link);
        loop_timer_stop(&x->timer);
        call_cancelled(x);
    }
}

/* --------------------------------------------------------------------------------- waiting --- */

/* On the stack of who waits. */
struct waited_call {
    struct async_call call;
    struct arena *arena; /* its owner does nothing with it meanwhile */
    struct http_response *out;
    struct error *err;
    int rc;
    uv_sem_t done;
};

static void waited_done(struct async_call *x, const struct http_response *r,
                        const struct error *err)
{
    struct waited_call *w = container_of(x, struct waited_call, call);
    if (err)
        w->rc = error_set(w->err, err->code, "%s", err->message);
    else
        http_response_copy(w->arena, r, w->out);
    uv_sem_post(&w->done);
}

int client_exchange(struct client *c, const struct http_request *request, uint32_t timeout_ms,
                    struct arena *a, struct http_response *out, struct error *err)
{
    assert(!loop_is_current(c->loop)); /* a callback must not wait for its own thread */
    struct waited_call w = {
        .call = {.request = *request, .done = waited_done}, .arena = a, .out = out, .err = err};
    *out = (struct http_response){0};
    call_init(&w.call, c, timeout_ms);
    uv_sem_init(&w.done, 0);
    loop_post(c->loop, &w.call.task);
    uv_sem_wait(&w.done);
    uv_sem_destroy(&w.done);
    return w.rc;
}

/* ------------------------------------------------------------------------- without waiting --- */

struct owned_call {
    struct async_call call;
    struct arena arena; /* holds what the request points to */
    struct http_header headers[2];
    exchange_done_fn *done;
    void *ctx;
};

static void owned_done(struct async_call *x, const struct http_response *r, const struct error *err)
{
    struct owned_call *o = container_of(x, struct owned_call, call);
    o->done(o->ctx, r, err);
    arena_free(&o->arena);
    mem_free(o);
}

void client_exchange_async(struct client *c, const char *method, struct str path,
                           const char *accept, const char *content_type, struct str body,
                           uint32_t timeout_ms, exchange_done_fn *done, void *ctx)
{
    struct owned_call *o = mem_zalloc(sizeof *o);
    struct arena *a = &o->arena;
    arena_init(a);
    o->headers[0] = (struct http_header){STR("accept"), str_from(arena_strdup(a, accept))};
    if (content_type)
        o->headers[1] =
            (struct http_header){STR("content-type"), str_from(arena_strdup(a, content_type))};
    o->done = done;
    o->ctx = ctx;
    o->call.done = owned_done;
    o->call.request = (struct http_request){.method = arena_strdup(a, method),
                                            .path = arena_strndup(a, path.p, path.n),
                                            .headers = o->headers,
                                            .headers_len = content_type ? 2 : 1,
                                            .body = str_make(arena_dup(a, body.p, body.n), body.n)};
    call_init(&o->call, c, timeout_ms);
    if (loop_is_current(c->loop))
        call_send(&o->call.task);
    else
        loop_post(c->loop, &o->call.task);
}
