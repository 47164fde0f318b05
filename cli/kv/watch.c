/*
 * `c8s kv watch`: print events as they come, until interrupted, and run a command for each. All watches go
 * over one stream; when it breaks they are opened again behind the last revision seen.
 */
#include "cli/kv/kv.h"
#include "base/mem.h"
#include "base/vec.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define REOPEN_MS 300

struct watcher {
    Etcdserverpb__WatchCreateRequest create; /* start_revision: of the next event wanted */
    char **exec;                             /* the command for each event; NULL: none */
    bool over;
};

struct watch_run {
    struct kv_cli *cli;
    uv_mutex_t lock; /* of the two below: in interactive mode one thread adds, another prints */
    VEC(struct watcher *) watchers;
    struct kv_stream *stream;
};

struct watch_flags {
    bool interactive, prefix, prev_kv, progress;
    int64_t rev;
};
#define WATCH_FLAGS(f)                                                                          \
    {"prefix", 0, FLAG_BOOL, &(f)->prefix, NULL, "All keys that begin with KEY."},              \
        {"rev", 0, FLAG_INT, &(f)->rev, "N", "From this revision on; history is shown first."}, \
        {"prev-kv", 0, FLAG_BOOL, &(f)->prev_kv, NULL, "Print the pair before each event."},    \
    {                                                                                           \
        "progress-notify", 0, FLAG_BOOL, &(f)->progress, NULL,                                  \
            "Show the server's progress notices."                                               \
    }

/* ------------------------------------------------------------------------ printing --- */

static const char *type_name(const Mvccpb__Event *e)
{
    return e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT";
}

static void simple_events(struct kv_cli *c, const void *message)
{
    const Etcdserverpb__WatchResponse *r = message;
    for (size_t i = 0; i < r->n_events; i++) {
        puts(type_name(r->events[i]));
        if (r->events[i]->prev_kv)
            kv_print_pair(c, r->events[i]->prev_kv);
        kv_print_pair(c, r->events[i]->kv);
    }
}

static void fields_events(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__WatchResponse *r = message;
    kv_fields_header(r->header);
    for (size_t i = 0; i < r->n_events; i++) {
        printf("\"Type\" : %s\n", type_name(r->events[i]));
        if (r->events[i]->prev_kv)
            kv_fields_pair("Prev", r->events[i]->prev_kv);
        kv_fields_pair("", r->events[i]->kv);
    }
}

static void json_events(struct kv_cli *c, const void *message)
{
    (void)c;
    const Etcdserverpb__WatchResponse *r = message;
    struct buf out;
    buf_init(&out);
    buf_append_cstr(&out, "{\"Header\":");
    kv_json_message(&out, &r->header->base);
    buf_append_cstr(&out, ",\"Events\":[");
    for (size_t i = 0; i < r->n_events; i++) {
        buf_append_cstr(&out, i ? "," : "");
        kv_json_message(&out, &r->events[i]->base);
    }
    buf_printf(&out, "],\"CompactRevision\":%" PRId64 ",\"Canceled\":%s,\"Created\":%s}",
               r->compact_revision, r->canceled ? "true" : "false", r->created ? "true" : "false");
    kv_json_line(&out);
}

static void protobuf_events(struct kv_cli *c, const void *message)
{
    (void)c;
    Etcdserverpb__WatchResponse r = *(const Etcdserverpb__WatchResponse *)message;
    r.watch_id = 0; /* etcdctl's client library keeps it to itself */
    kv_print_protobuf(&r.base);
}

static const struct kv_forms event_forms = {.simple = simple_events,
                                            .fields = fields_events,
                                            .json = json_events,
                                            .protobuf = protobuf_events};

/* ------------------------------------------------------------------------ commands --- */

extern char **environ;

static char *quoted_variable(struct arena *a, const char *name, ProtobufCBinaryData value)
{
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s=", name);
    kv_quote(&b, value);
    char *text = arena_strdup(a, buf_cstr(&b));
    buf_free(&b);
    return text;
}

/* The environment and what the event says. */
static char **event_environment(struct arena *a, int64_t revision, const Mvccpb__Event *e)
{
    size_t n = 0;
    while (environ[n])
        n++;
    char **env = arena_array(a, char *, n + 5);
    memcpy(env, environ, n * sizeof *env);
    env[n++] = arena_printf(a, "ETCD_WATCH_REVISION=%" PRId64, revision);
    env[n++] = arena_printf(a, "ETCD_WATCH_EVENT_TYPE=\"%s\"", type_name(e));
    env[n++] = quoted_variable(a, "ETCD_WATCH_KEY", e->kv->key);
    env[n++] = quoted_variable(a, "ETCD_WATCH_VALUE", e->kv->value);
    return env;
}

/* Ends the process when the command fails, as etcdctl does. */
static void run_command(struct arena *a, char **exec, int64_t revision, const Mvccpb__Event *e)
{
    pid_t pid;
    int status = 0;
    char why[64] = "";
    fflush(stdout);
    int rc = posix_spawnp(&pid, exec[0], NULL, NULL, exec, event_environment(a, revision, e));
    if (rc)
        snprintf(why, sizeof why, "exec: %s", strerror(rc));
    else if (waitpid(pid, &status, 0) < 0)
        snprintf(why, sizeof why, "wait: %s", strerror(errno));
    else if (WIFSIGNALED(status))
        snprintf(why, sizeof why, "signal: %s", strsignal(WTERMSIG(status)));
    else if (WEXITSTATUS(status))
        snprintf(why, sizeof why, "exit status %d", WEXITSTATUS(status));
    if (!*why)
        return;
    fputs("command [", stderr);
    for (char **word = exec; *word; word++) {
        struct buf b;
        buf_init(&b);
        kv_quote(&b, kv_bytes(*word));
        fprintf(stderr, "%s%s", word == exec ? "" : " ", buf_cstr(&b));
        buf_free(&b);
    }
    fprintf(stderr, "] error (%s)\n", why);
    exit(KV_EXIT_ERROR);
}

/* ------------------------------------------------------------------------- streams --- */

static void send_create(struct watch_run *run, size_t index)
{
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest create = run->watchers.items[index]->create;
    create.watch_id = (int64_t)index + 1;
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    q.create_request = &create;
    kv_stream_send(run->stream, &q);
}

/* A new stream with every watch that is not over. Under the lock. */
static void open_stream(struct watch_run *run)
{
    run->stream = kv_stream_open(run->cli, run->cli->channel, "/etcdserverpb.Watch/Watch",
                                 &etcdserverpb__watch_response__descriptor);
    for (size_t i = 0; i < run->watchers.len; i++)
        if (!run->watchers.items[i]->over)
            send_create(run, i);
}

static void add_watcher(struct watch_run *run, const struct watcher *w)
{
    struct watcher *copy = mem_zalloc(sizeof *copy);
    *copy = *w;
    uv_mutex_lock(&run->lock);
    vec_push(&run->watchers, copy);
    if (run->stream)
        send_create(run, run->watchers.len - 1);
    uv_mutex_unlock(&run->lock);
}

static const char *cancel_text(struct arena *a, const Etcdserverpb__WatchResponse *r)
{
    if (r->compact_revision)
        return "etcdserver: mvcc: required revision has been compacted";
    if (*r->cancel_reason)
        return kv_status_text(a, GRPC_FAILED_PRECONDITION, r->cancel_reason);
    return "etcdserver: mvcc: required revision is a future revision";
}

static bool any_left(struct watch_run *run)
{
    bool left = false;
    for (size_t i = 0; i < run->watchers.len; i++)
        left |= !run->watchers.items[i]->over;
    return left;
}

/* false: no watch is left. */
static bool on_response(struct watch_run *run, struct arena *a, Etcdserverpb__WatchResponse *r)
{
    bool left = true, to_all = r->watch_id < 0; /* -1: progress of the whole stream */
    uv_mutex_lock(&run->lock);
    size_t index = (size_t)(r->watch_id - 1);
    struct watcher *w = !to_all && index < run->watchers.len ? run->watchers.items[index] : NULL;
    if (w && r->canceled) {
        w->over = true;
        left = any_left(run);
    } else if (w && r->header && !r->created && r->header->revision >= w->create.start_revision) {
        w->create.start_revision = r->header->revision + 1;
    }
    size_t times = to_all ? run->watchers.len : 1;
    uv_mutex_unlock(&run->lock);
    if ((r->created && !r->canceled) || (!w && !to_all))
        return left;
    r->created = false;
    if (r->canceled)
        fprintf(stderr, "watch was canceled (%s)\n", cancel_text(a, r));
    for (size_t i = 0; i < times; i++) {
        if (r->n_events == 0 && !r->canceled)
            printf("progress notify: %" PRId64 "\n", r->header->revision);
        kv_show(run->cli, r, &event_forms);
    }
    for (size_t i = 0; w && w->exec && i < r->n_events; i++)
        run_command(a, w->exec, r->header->revision, r->events[i]);
    return left;
}

/* Print what comes until no watch is left. Returns an exit code. */
static int print_all(struct watch_run *run)
{
    struct arena a;
    int rc = 0;
    bool left = true;
    arena_init(&a);
    while (rc == 0 && left) {
        Etcdserverpb__WatchResponse *r;
        const char *text;
        enum kv_next next = kv_stream_next(run->stream, 0, &a, &r);
        if (next == KV_MESSAGE) {
            left = on_response(run, &a, r);
        } else {
            int status = kv_stream_status(run->stream, &text);
            if (status != GRPC_UNAVAILABLE && status != GRPC_OK) {
                rc = kv_fail(KV_EXIT_ERROR, "%s", text);
            } else {
                uv_sleep(REOPEN_MS);
                uv_mutex_lock(&run->lock);
                kv_stream_close(run->stream);
                open_stream(run);
                uv_mutex_unlock(&run->lock);
            }
        }
        arena_reset(&a);
    }
    arena_free(&a);
    return rc ? rc : kv_fail(KV_EXIT_INTERRUPTED, "watch is canceled by the server");
}

/* ----------------------------------------------------------------------- arguments --- */

/*
 * Words behind the verb: [KEY [RANGE_END]] [-- COMMAND…]; key and end may be in the environment instead.
 * `words` holds what stands before "--", `exec` what stands behind it (NULL: there is no "--").
 * Returns NULL or what is wrong.
 */
static const char *read_args(struct kv_cli *c, const struct watch_flags *f,
                             const struct flag_list *words, char **exec, struct watcher *w)
{
    const char *key = getenv("ETCDCTL_WATCH_KEY"), *end = getenv("ETCDCTL_WATCH_RANGE_END");
    bool in_environment = key && *key;
    etcdserverpb__watch_create_request__init(&w->create);
    if (exec && !*exec)
        return "bad number of arguments (found separator --, but no commands)";
    if (in_environment && words->len)
        return "bad number of arguments (found conflicting environment key)";
    if (!in_environment && words->len == 0)
        return "bad number of arguments";
    if (!in_environment) {
        key = arena_strdup(&c->arena, words->items[0]);
        end = words->len == 2 ? arena_strdup(&c->arena, words->items[1]) : NULL;
    }
    if (f->prefix && end && *end)
        return "`range_end` and `--prefix` are mutually exclusive";
    w->create.key = kv_bytes(key);
    if (f->prefix && !*key)
        w->create.key = w->create.range_end = (ProtobufCBinaryData){1, (uint8_t *)"\0"};
    else if (f->prefix)
        w->create.range_end = kv_prefix_end(&c->arena, w->create.key);
    else if (end)
        w->create.range_end = kv_bytes(end);
    w->create.start_revision = f->rev;
    w->create.prev_kv = f->prev_kv;
    w->create.progress_notify = f->progress;
    w->exec = exec;
    return NULL;
}

/* Cut words at "--": returns what stands behind it, NULL without one. */
static char **cut_at_separator(int *argc, char **argv)
{
    for (int i = 1; i < *argc; i++) {
        if (cstr_eq(argv[i], "--")) {
            argv[i] = NULL;
            *argc = i;
            return argv + i + 1;
        }
    }
    return NULL;
}

/* --------------------------------------------------------------------- interactive --- */

static void *print_in_background(void *arg)
{
    exit(print_all(arg));
    return NULL;
}

/* "watch [flags] KEY …" of a line. 0 or an exit code. */
static int interactive_watch(struct watch_run *run, const char *line, struct flag_list *words)
{
    struct kv_cli *c = run->cli;
    struct watch_flags f = {0};
    struct watcher w = {0};
    struct flag_list args = {0};
    struct error err = {0};
    const struct flag flags[] = {WATCH_FLAGS(&f), FLAGS_END};
    const struct flags_spec spec = {.program = "watch", .flags = flags, .args_max = FLAGS_ANY};
    /* The words live as long as the watch, ended by NULL. */
    char **argv = arena_array(&c->arena, char *, words->len + 1);
    int argc = (int)words->len, rc = 0;
    for (int i = 0; i < argc; i++)
        argv[i] = arena_strdup(&c->arena, words->items[i]);
    char **exec = cut_at_separator(&argc, argv);
    const char *key = getenv("ETCDCTL_WATCH_KEY");
    if (words->len < 2 && !(key && *key)) {
        fprintf(stderr, "Invalid command %s (command type or key is not provided)\n", line);
        return 0;
    }
    if (flags_parse(&spec, argc, argv, &args, &err) != 0) {
        rc = kv_fail(KV_EXIT_ARGS, "%s", err.message);
    } else {
        const char *wrong = read_args(c, &f, &args, exec, &w);
        if (wrong && *wrong == '`')
            fprintf(stderr, "Invalid command %s (%s)\n", line, wrong);
        else if (wrong)
            rc = kv_fail(KV_EXIT_ARGS, "%s", wrong);
        else
            add_watcher(run, &w);
    }
    flag_list_free(&args);
    return rc;
}

static void request_progress(struct watch_run *run)
{
    Etcdserverpb__WatchRequest q = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    q.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    q.progress_request = &progress;
    uv_mutex_lock(&run->lock);
    kv_stream_send(run->stream, &q);
    uv_mutex_unlock(&run->lock);
}

/* One line of the interactive mode. 0, or an exit code. */
static int interactive_line(struct watch_run *run, const char *line)
{
    struct flag_list words = {0};
    int rc = kv_split_words(run->cli, line, &words);
    if (rc == 0 && words.len == 0)
        fprintf(stderr, "Invalid command: %s (watch and progress supported)\n", line);
    else if (rc == 0 && cstr_eq(words.items[0], "watch"))
        rc = interactive_watch(run, line, &words);
    else if (rc == 0 && cstr_eq(words.items[0], "progress"))
        request_progress(run);
    else if (rc == 0)
        fprintf(stderr, "Invalid command %s (only support watch)\n", line);
    flag_list_free(&words);
    return rc;
}

/* Lines of standard input add watches, whose events are printed by another thread. Does not return. */
static _Noreturn void interactive(struct watch_run *run)
{
    pthread_t printer;
    char *line = NULL;
    size_t cap = 0;
    ssize_t n;
    open_stream(run);
    if (pthread_create(&printer, NULL, print_in_background, run) != 0)
        exit(kv_fail(KV_EXIT_ERROR, "no thread"));
    while ((n = getline(&line, &cap, stdin)) > 0 && line[n - 1] == '\n') {
        line[n - 1] = '\0';
        int rc = interactive_line(run, line);
        if (rc)
            exit(rc);
    }
    exit(kv_fail(KV_EXIT_INPUT, "error reading watch request line: EOF"));
}

int kv_watch_main(int argc, char **argv)
{
    struct kv_cli c;
    struct watch_flags f = {0};
    struct watcher w = {0};
    struct watch_run run = {.cli = &c};
    const char *end = getenv("ETCDCTL_WATCH_RANGE_END"), *key = getenv("ETCDCTL_WATCH_KEY");
    kv_cli_init(&c, argv[0]);
    c.require_leader = true;
    const struct flag flags[] = {
        {"interactive", 'i', FLAG_BOOL, &f.interactive, NULL,
         "Take lines `watch [flags] KEY [RANGE_END] [-- COMMAND …]` and `progress` from standard "
         "input."},
        WATCH_FLAGS(&f),
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "c8s kv watch",
        .summary = "Watch a key or a range of keys until interrupted.",
        .usage = "[flags] [KEY [RANGE_END]] [-- COMMAND [ARGUMENT…]]",
        .details =
            "COMMAND is run for each event, with ETCD_WATCH_REVISION, ETCD_WATCH_EVENT_TYPE, "
            "ETCD_WATCH_KEY and ETCD_WATCH_VALUE in its environment. KEY and RANGE_END may "
            "be given as ETCDCTL_WATCH_KEY and ETCDCTL_WATCH_RANGE_END.",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    char **exec = cut_at_separator(&argc, argv);
    kv_cli_parse(&c, &spec, argc, argv);
    const char *wrong = NULL;
    int rc = 0;
    if (end && *end && !(key && *key))
        rc = kv_fail(KV_EXIT_ARGS,
                     "ETCDCTL_WATCH_KEY is empty but got "
                     "ETCDCTL_WATCH_RANGE_END=\"%s\"",
                     end);
    else if (!f.interactive && (wrong = read_args(&c, &f, &c.args, exec, &w)))
        rc = kv_fail(KV_EXIT_ARGS, "%s", wrong);
    else if (c.format == KV_TABLE)
        rc = kv_unsupported(&c);
    if (rc == 0) {
        uv_mutex_init(&run.lock);
        kv_cli_connect_all(&c);
        if (f.interactive)
            interactive(&run);
        add_watcher(&run, &w);
        open_stream(&run);
        rc = print_all(&run);
        kv_stream_close(run.stream);
        mem_free(run.watchers.items[0]);
        vec_free(&run.watchers);
        uv_mutex_destroy(&run.lock);
    }
    kv_cli_stop(&c);
    return rc;
}
