/*
 * Asking members before being one (raft_ask of raft/peer_rules.h): a loop of its own, a connection for
 * each member asked, and the caller waits for all of them.
 */
#include "base/encode.h"
#include "base/mem.h"
#include "raft/transport.h"
#include "raft/wire.h"
#include <pthread.h>

struct asking {
    struct loop *loop;
    struct str question;
    struct tls_context *tls;
    struct raft_asked *asked;
    struct call *calls;
    size_t n;
    uint32_t timeout_ms;
    pthread_mutex_t mutex;
    pthread_cond_t ended;
    size_t open; /* calls without an end */
};

struct call {
    struct asking *asking;
    struct raft_asked *asked;
    struct stream *stream;
    struct loop_timer deadline;
    struct buf in;
    bool answered, over;
};

static void on_open(struct stream *s, void *ctx)
{
    struct call *c = ctx;
    uint8_t hello[RAFT_HELLO_SIZE], head[RAFT_FRAME_HEAD];
    raft_question_hello(hello);
    raft_frame_head(head, RAFT_FRAME_QUESTION, c->asking->question);
    stream_write(s, hello, sizeof hello);
    stream_write(s, head, sizeof head);
    stream_write(s, c->asking->question.p, c->asking->question.n);
}

static void on_data(struct stream *s, void *ctx, const char *data, size_t n)
{
    struct call *c = ctx;
    if (c->over || c->answered)
        return;
    buf_append(&c->in, data, n);
    if (c->in.len < RAFT_FRAME_HEAD)
        return;
    struct wire w = wire_init(buf_str(&c->in));
    uint32_t len = wire_be32(&w), crc = wire_be32(&w);
    uint8_t kind = wire_u8(&w);
    if (len > RAFT_ANSWER_MAX || kind != RAFT_FRAME_ANSWER) {
        c->over = true;
        stream_close(s, ERR_CORRUPT, "it answers something else");
        return;
    }
    if (c->in.len - RAFT_FRAME_HEAD < len)
        return;
    const char *body = c->in.data + RAFT_FRAME_HEAD;
    c->answered = crc32c(crc32c(0, c->in.data + 8, 4), body, len) == crc;
    c->over = true;
    if (c->answered)
        buf_append(&c->asked->answer, body, len);
    stream_close(s, c->answered ? 0 : ERR_CORRUPT, c->answered ? "done" : "bad checksum");
}

static void call_over(struct call *c)
{
    struct asking *a = c->asking;
    loop_timer_stop(&c->deadline);
    buf_free(&c->in);
    pthread_mutex_lock(&a->mutex);
    a->open--;
    pthread_cond_signal(&a->ended);
    pthread_mutex_unlock(&a->mutex);
}

static void on_close(struct stream *s, void *ctx, int code, const char *reason)
{
    struct call *c = ctx;
    (void)s;
    c->stream = NULL;
    if (!c->answered)
        c->asked->code = error_set(&c->asked->err, code < 0 ? code : ERR_UNAVAILABLE, "%s: %s",
                                   c->asked->address, reason ? reason : "closed the connection");
    call_over(c);
}

static void on_deadline(struct loop_timer *timer)
{
    struct call *c = container_of(timer, struct call, deadline);
    c->over = true;
    if (c->stream)
        stream_close(c->stream, ERR_TIMEOUT, "no answer in time");
}

static void start(void *arg)
{
    static const struct stream_events events = {
        .on_open = on_open, .on_data = on_data, .on_close = on_close};
    struct asking *a = arg;
    for (size_t i = 0; i < a->n; i++) {
        struct call *c = &a->calls[i];
        *c = (struct call){.asking = a, .asked = &a->asked[i]};
        c->asked->code = 0;
        buf_init(&c->asked->answer);
        buf_init_limited(&c->in, RAFT_ANSWER_MAX + RAFT_FRAME_HEAD + 1024 * 1024);
        loop_timer_init(a->loop, &c->deadline, on_deadline);
        loop_timer_start(&c->deadline, a->timeout_ms);
        c->stream =
            stream_connect(a->loop, c->asked->address, a->tls, NULL, a->timeout_ms, &events, c);
    }
}

size_t raft_ask(struct raft_asked *asked, size_t n, struct tls_context *tls, struct str question,
                uint32_t timeout_ms)
{
    if (n == 0)
        return 0;
    struct asking a = {.question = question,
                       .tls = tls,
                       .asked = asked,
                       .calls = mem_zalloc(n * sizeof(struct call)),
                       .n = n,
                       .timeout_ms = timeout_ms,
                       .open = n};
    size_t answered = 0;
    pthread_mutex_init(&a.mutex, NULL);
    pthread_cond_init(&a.ended, NULL);
    a.loop = loop_start("ask");
    loop_call(a.loop, start, &a);
    pthread_mutex_lock(&a.mutex);
    while (a.open > 0)
        pthread_cond_wait(&a.ended, &a.mutex);
    pthread_mutex_unlock(&a.mutex);
    loop_join(a.loop);
    pthread_cond_destroy(&a.ended);
    pthread_mutex_destroy(&a.mutex);
    mem_free(a.calls);
    for (size_t i = 0; i < n; i++)
        answered += asked[i].code == 0;
    return answered;
}
