/*
 * c8s-scheduler: flags, leader election, health and metrics, and the scheduler between start and
 * end.
 */
#include "base/flags.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/component.h"
#include "client/kubeconfig.h"
#include "client/leader_election.h"
#include "scheduler/scheduler.h"
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

struct options {
    const char *kubeconfig, *bind_address, *cert_file, *key_file, *log_format, *scheduler_name;
    const char *lease_name, *lease_namespace;
    int64_t port, verbosity;
    int64_t lease_ns, renew_ns, retry_ns;
    bool leader_elect;
};

/* What the callbacks share with run(). */
struct process {
    struct scheduler *scheduler;
    atomic_bool ending; /* on purpose */
    char **argv;
};

static bool ready(void *ctx)
{
    struct process *p = ctx;
    return scheduler_synced(p->scheduler);
}

static void leading(void *ctx)
{
    struct process *p = ctx;
    scheduler_start(p->scheduler);
}

/* On purpose: decide no more, then the lease is given up. Else another scheduler may decide now,
 * and beginning again is the simplest way to be sure that this one does not. */
static void lost(void *ctx)
{
    struct process *p = ctx;
    if (atomic_load(&p->ending)) {
        scheduler_stop(p->scheduler);
        return;
    }
    log_error("scheduler", "leader election lost, beginning again as a stand-by");
    component_restart(p->argv);
}

static void parse(int argc, char **argv, struct options *o)
{
    const struct flag flags[] = {
        {"kubeconfig", 0, FLAG_STRING, &o->kubeconfig, "FILE",
         "How to reach the API servers. Default: the pod's service account."},
        {"leader-elect", 0, FLAG_BOOL, &o->leader_elect, NULL,
         "Decide only while holding the lease, so that several can stand by."},
        {"leader-elect-lease-duration", 0, FLAG_DURATION, &o->lease_ns, NULL,
         "After how long without renewal others may take the lease."},
        {"leader-elect-renew-deadline", 0, FLAG_DURATION, &o->renew_ns, NULL,
         "After how long without success the leader gives up."},
        {"leader-elect-retry-period", 0, FLAG_DURATION, &o->retry_ns, NULL,
         "Time between attempts."},
        {"leader-elect-resource-name", 0, FLAG_STRING, &o->lease_name, "NAME",
         "Name of the lease."},
        {"leader-elect-resource-namespace", 0, FLAG_STRING, &o->lease_namespace, "NAMESPACE",
         "Namespace of the lease."},
        {"scheduler-name", 0, FLAG_STRING, &o->scheduler_name, "NAME",
         "Schedule pods whose spec.schedulerName is this."},
        {"bind-address", 0, FLAG_STRING, &o->bind_address, "ADDRESS", "Address for --secure-port."},
        {"secure-port", 0, FLAG_INT, &o->port, "PORT",
         "HTTPS port for health and metrics; 0: none."},
        {"tls-cert-file", 0, FLAG_STRING, &o->cert_file, "FILE",
         "Certificate for --secure-port. Default: self-signed."},
        {"tls-private-key-file", 0, FLAG_STRING, &o->key_file, "FILE", "Its key."},
        {"log-format", 0, FLAG_STRING, &o->log_format, "FORMAT", "Form of log lines.", "text|json"},
        {"v", 'v', FLAG_COUNT, &o->verbosity, NULL, "Say more; from 4 on every decision."},
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
    struct arena a;
    arena_init(&a);
    struct client_config config;
    struct client *client;
    if (kubeconfig_load(o->kubeconfig, NULL, &a, &config, &err) < 0 ||
        client_new(&config, "c8s-scheduler", &client, &err) < 0) {
        arena_free(&a);
        return fail(&err);
    }
    arena_free(&a);
    struct metrics *metrics = metrics_new();
    struct recorder *recorder = recorder_new(client, "default-scheduler", NULL);
    struct scheduler *s = scheduler_new(&(struct scheduler_config){
        .client = client, .name = o->scheduler_name, .metrics = metrics, .recorder = recorder});
    struct process p = {.scheduler = s, .argv = argv};
    struct component *component = NULL;
    struct leader_election *election = NULL;
    int code = 0;
    if (component_start(&(struct component_options){.bind_address = o->bind_address,
                                                    .port = (int)o->port,
                                                    .cert_file = o->cert_file,
                                                    .key_file = o->key_file,
                                                    .metrics = metrics,
                                                    .ready = ready,
                                                    .ctx = &p},
                        &component, &err) < 0) {
        code = fail(&err);
    } else {
        if (!o->leader_elect)
            scheduler_start(s);
        else
            election = leader_election_start(
                &(struct leader_config){.client = client,
                                        .ns = o->lease_namespace,
                                        .name = o->lease_name,
                                        .lease_duration_ms = (uint32_t)(o->lease_ns / 1000000),
                                        .renew_deadline_ms = (uint32_t)(o->renew_ns / 1000000),
                                        .retry_period_ms = (uint32_t)(o->retry_ns / 1000000),
                                        .started = leading,
                                        .stopped = lost,
                                        .release_on_stop = true,
                                        .ctx = &p});
        component_wait_signal();
        log_info("scheduler", "ending on a signal");
        atomic_store(&p.ending, true);
        leader_election_free(election);
    }
    component_free(component);
    scheduler_free(s);
    recorder_free(recorder);
    client_free(client);
    metrics_free(metrics);
    return code;
}

int main(int argc, char **argv)
{
    struct options o = {.bind_address = "0.0.0.0",
                        .port = 10259,
                        .leader_elect = true,
                        .lease_name = "kube-scheduler",
                        .lease_namespace = "kube-system",
                        .scheduler_name = "default-scheduler",
                        .log_format = "text",
                        .lease_ns = 15000000000,
                        .renew_ns = 10000000000,
                        .retry_ns = 2000000000};
    mallopt(M_ARENA_MAX, 2); /* threads are few and small: no heap for each */
    parse(argc, argv, &o);
    log_set_json(cstr_eq(o.log_format, "json"));
    log_set_level(o.verbosity >= 4 ? LOG_DEBUG : LOG_INFO);
    component_block_signals();
    return run(&o, argv);
}
