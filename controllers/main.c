/*
 * c8s-controllers: its flags, and the manager between start and end.
 */
#include "base/log.h"
#include "base/mem.h"
#include "client/elected.h"
#include "controllers/controller.h"
#include "net/x509.h"

#define MS(ns) ((ns) / 1000000)

struct options {
    struct elected_options elected;
    const char *controllers, *cluster_cidr, *root_ca_file;
    int64_t mask_size, terminated_pods;
    int64_t monitor_period_ns, monitor_grace_ns, startup_grace_ns;
    bool allocate_node_cidrs;
};

static bool synced(void *ctx)
{
    return manager_synced(ctx);
}

static void start(void *ctx)
{
    manager_start(ctx);
}

static void stop(void *ctx)
{
    manager_stop(ctx);
}

#define NO_SIGNING "certificate signing requests are not served yet"
#define NO_TOKENS "the API server makes service account tokens; no controller needs the key"

static void parse(int argc, char **argv, struct options *o)
{
    const struct flag flags[] = {
        {"controllers", 0, FLAG_STRING, &o->controllers, "LIST",
         "Which run: '*' all, 'name' that one, '-name' not that one."},
        {"allocate-node-cidrs", 0, FLAG_BOOL, &o->allocate_node_cidrs, NULL,
         "Give each node a range of pod addresses."},
        {"cluster-cidr", 0, FLAG_STRING, &o->cluster_cidr, "CIDR", "The pods' addresses."},
        {"node-cidr-mask-size", 0, FLAG_INT, &o->mask_size, "BITS", "Size of a node's range.", NULL,
         "node-cidr-mask-size-ipv4"},
        {"root-ca-file", 0, FLAG_STRING, &o->root_ca_file, "FILE",
         "CA that is published in every namespace as kube-root-ca.crt."},
        {"node-monitor-period", 0, FLAG_DURATION, &o->monitor_period_ns, NULL,
         "How often each node is looked at."},
        {"node-monitor-grace-period", 0, FLAG_DURATION, &o->monitor_grace_ns, NULL,
         "How long a node may be silent before it is marked unknown."},
        {"node-startup-grace-period", 0, FLAG_DURATION, &o->startup_grace_ns, NULL,
         "The same for a node that never reported."},
        {"terminated-pod-gc-threshold", 0, FLAG_INT, &o->terminated_pods, "N",
         "How many ended pods are kept; 0: all."},
        ELECTED_FLAGS(&o->elected),
        {"service-account-private-key-file", 0, FLAG_UNSUPPORTED, NULL, NULL, NO_TOKENS},
        {"cluster-signing-cert-file", 0, FLAG_UNSUPPORTED, NULL, NULL, NO_SIGNING},
        {"cluster-signing-key-file", 0, FLAG_UNSUPPORTED, NULL, NULL, NO_SIGNING},
        {"config", 0, FLAG_UNSUPPORTED, NULL, NULL, "there is no configuration file yet"},
        FLAGS_END,
    };
    flags_parse_or_exit(&(struct flags_spec){.program = "c8s-controllers",
                                             .summary =
                                                 "Brings the cluster from what it is to what "
                                                 "is asked for.",
                                             .flags = flags},
                        argc, argv, NULL, 1);
}

static int fail(const struct error *err)
{
    log_error("controllers", "cannot start error=\"%s\"", err->message);
    return 1;
}

static int run(const struct options *o, char **argv)
{
    struct error err = {0};
    struct client *client;
    char *root_ca = NULL;
    if (o->root_ca_file && x509_read_pem(o->root_ca_file, &root_ca, &err) < 0) {
        error_wrap(&err, "--root-ca-file");
        return fail(&err);
    }
    if (elected_connect(&o->elected, "c8s-controllers", &client, &err) < 0) {
        mem_free(root_ca);
        return fail(&err);
    }
    struct metrics *metrics = metrics_new();
    struct manager_options options = {.cluster_cidr = o->cluster_cidr,
                                      .allocate_node_cidrs = o->allocate_node_cidrs,
                                      .node_cidr_mask_size = (int)o->mask_size,
                                      .root_ca_pem = root_ca,
                                      .node_monitor_period_ms = MS(o->monitor_period_ns),
                                      .node_monitor_grace_ms = MS(o->monitor_grace_ns),
                                      .node_startup_grace_ms = MS(o->startup_grace_ns),
                                      .terminated_pods_max = o->terminated_pods,
                                      .controllers = o->controllers};
    struct manager *manager = manager_new(client, &options, metrics);
    manager_watch(manager);
    struct elected_work work = {
        .component = "controllers", .synced = synced, .start = start, .stop = stop, .ctx = manager};
    int code = elected_run(&o->elected, &work, client, metrics, argv, &err) < 0 ? fail(&err) : 0;
    manager_free(manager);
    client_free(client);
    metrics_free(metrics);
    mem_free(root_ca);
    return code;
}

int main(int argc, char **argv)
{
    struct options o = {.elected = ELECTED_DEFAULTS("kube-controller-manager", 10257),
                        .controllers = "*",
                        .mask_size = 24,
                        .terminated_pods = 12500,
                        .monitor_period_ns = 5000000000,
                        .monitor_grace_ns = 50000000000,
                        .startup_grace_ns = 60000000000};
    parse(argc, argv, &o);
    elected_begin(&o.elected);
    return run(&o, argv);
}
