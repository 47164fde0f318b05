/*
 * c8s-scheduler: its flags, and the scheduler between start and end.
 */
#include "base/log.h"
#include "client/elected.h"
#include "scheduler/scheduler.h"

struct options {
    struct elected_options elected;
    const char *scheduler_name;
};

static bool synced(void *ctx)
{
    return scheduler_synced(ctx);
}

static void start(void *ctx)
{
    scheduler_start(ctx);
}

static void stop(void *ctx)
{
    scheduler_stop(ctx);
}

static void parse(int argc, char **argv, struct options *o)
{
    const struct flag flags[] = {
        {"scheduler-name", 0, FLAG_STRING, &o->scheduler_name, "NAME",
         "Schedule pods whose spec.schedulerName is this."},
        ELECTED_FLAGS(&o->elected),
        {"config", 0, FLAG_UNSUPPORTED, NULL, NULL, "profiles cannot be configured yet"},
        FLAGS_END,
    };
    flags_parse_or_exit(&(struct flags_spec){.program = "c8s-scheduler",
                                             .summary = "Binds pods to nodes.",
                                             .flags = flags},
                        argc, argv, NULL, 1);
}

static int fail(const struct error *err)
{
    log_error("scheduler", "cannot start error=\"%s\"", err->message);
    return 1;
}

static int run(const struct options *o, char **argv)
{
    struct error err = {0};
    struct client *client;
    if (elected_connect(&o->elected, "c8s-scheduler", &client, &err) < 0)
        return fail(&err);
    struct metrics *metrics = metrics_new();
    struct recorder *recorder = recorder_new(client, "default-scheduler", NULL);
    struct scheduler *s = scheduler_new(&(struct scheduler_config){
        .client = client, .name = o->scheduler_name, .metrics = metrics, .recorder = recorder});
    struct elected_work work = {
        .component = "scheduler", .synced = synced, .start = start, .stop = stop, .ctx = s};
    int code = elected_run(&o->elected, &work, client, metrics, argv, &err) < 0 ? fail(&err) : 0;
    scheduler_free(s);
    recorder_free(recorder);
    client_free(client);
    metrics_free(metrics);
    return code;
}

int main(int argc, char **argv)
{
    struct options o = {.elected = ELECTED_DEFAULTS("kube-scheduler", 10259),
                        .scheduler_name = "default-scheduler"};
    parse(argc, argv, &o);
    elected_begin(&o.elected);
    return run(&o, argv);
}
