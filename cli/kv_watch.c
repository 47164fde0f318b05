/*
 * `c8s kv watch`: print events as they come, until interrupted. A stream that breaks is opened again behind
 * the last revision seen.
 */
#include "cli/kv.h"
#include "base/mem.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#define RETRY_MS 300

struct watcher {
    struct kv_cli *cli;
    Etcdserverpb__WatchCreateRequest create;
    struct loop_timer retry;
    uv_sem_t ended;
    int code;
};

static void watch_open(struct watcher *w);

static void on_message(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                       struct str raw)
{
    (void)raw;
    struct watcher *w = ctx;
    const Etcdserverpb__WatchResponse *r = (const void *)m;
    if (r->canceled) {
        if (r->compact_revision)
            fprintf(
                stderr,
                "watch was canceled (etcdserver: mvcc: required revision has been compacted)\n");
        else
            fprintf(stderr, "watch was canceled (%s)\n", r->cancel_reason);
        w->code = kv_fail(KV_EXIT_ERROR, "watch is canceled by the server");
        grpc_client_cancel(call);
        return;
    }
    if (r->created)
        return;
    if (r->header && r->header->revision >= w->create.start_revision)
        w->create.start_revision = r->header->revision + 1;
    kv_print_events(w->cli, r);
    fflush(stdout);
}

static void on_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    (void)call;
    struct watcher *w = ctx;
    bool again = result->status == GRPC_UNAVAILABLE || result->status == GRPC_OK;
    if (w->code == 0 && again) {
        loop_timer_start(&w->retry, RETRY_MS);
        return;
    }
    if (w->code == 0)
        w->code = kv_fail(KV_EXIT_ERROR, "%s", result->message);
    uv_sem_post(&w->ended);
}

static void watch_open(struct watcher *w)
{
    static const struct grpc_client_events events = {.on_message = on_message, .on_done = on_done};
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    struct grpc_client_call *call =
        grpc_open(w->cli->channel, "/etcdserverpb.Watch/Watch",
                  &etcdserverpb__watch_response__descriptor, 0, &events, w);
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    q.create_request = &w->create;
    grpc_client_send(call, &q.base);
}

static void on_retry(struct loop_timer *timer)
{
    watch_open(container_of(timer, struct watcher, retry));
}

static void begin(void *arg)
{
    struct watcher *w = arg;
    loop_timer_init(w->cli->loop, &w->retry, on_retry);
    watch_open(w);
}

int kv_watch_main(int argc, char **argv)
{
    struct kv_cli c;
    bool prefix = false, prev_kv = false, progress = false;
    int64_t rev = 0;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"prefix", 0, FLAG_BOOL, &prefix, NULL, "All keys that begin with KEY."},
        {"rev", 0, FLAG_INT, &rev, "N", "From this revision on; history is shown first."},
        {"prev-kv", 0, FLAG_BOOL, &prev_kv, NULL, "Print the pair before each event."},
        {"progress-notify", 0, FLAG_BOOL, &progress, NULL, "Show the server's progress notices."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s kv watch",
                                    .summary = "Watch a key or a range of keys until interrupted.",
                                    .usage = "[flags] KEY [RANGE_END]",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_start(&c, &spec, argc, argv);
    if (c.format == KV_TABLE) {
        kv_cli_stop(&c);
        return kv_no_table();
    }
    struct watcher w = {.cli = &c};
    etcdserverpb__watch_create_request__init(&w.create);
    w.code = kv_range_args(&c, prefix, false, &w.create.key, &w.create.range_end);
    if (w.code == 0) {
        w.create.start_revision = rev;
        w.create.prev_kv = prev_kv;
        w.create.progress_notify = progress;
        uv_sem_init(&w.ended, 0);
        loop_call(c.loop, begin, &w);
        uv_sem_wait(&w.ended);
        uv_sem_destroy(&w.ended);
    }
    kv_cli_stop(&c);
    return w.code;
}
