/*
 * c8s-controllers: flags, leader election, health and metrics, and the manager between start and
 * end.
 */
#include "base/flags.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/component.h"
#include "client/kubeconfig.h"
#include "client/leader_election.h"
#include "controllers/controller.h"
#include "net/x509.h"
#include <malloc.h>
#include <unistd.h>

#define MS(ns) ((ns) / 1000000)

struct options {
    const char *kubeconfig, *bind_address, *cert_file, *key_file, *log_format;
    const char *lease_name, *lease_namespace;
    const char *controllers, *cluster_cidr, *root_ca_file;
    int64_t port, verbosity, mask_size, terminated_pods;
    int64_t lease_ns, renew_ns, retry_ns;
    int64_t monitor_period_ns, monitor_grace_ns, startup_grace_ns;
    bool leader_elect, allocate_node_cidrs;
};

/* What the callbacks share with run(). */
struct process {
    struct manager *manager;
    atomic_bool ending; /* on purpose */
    char **argv;
};

static bool ready(void *ctx)
{
    struct process *p = ctx;
    return manager_synced(p->manager);
}

static void leading(void *ctx)
{
    struct process *p = ctx;
    manager_start(p->manager);
}

/* On purpose: reconcile no more, then the lease is given up. Else others reconcile now, and ending
 * at once is the simplest way to be sure that this process does not. */
static void lost(void *ctx)
{
    struct process *p = ctx;
    if (atomic_load(&p->ending)) {
        manager_stop(p->manager);
        return;
    }
    log_error("controllers", "leader election lost, beginning again as a stand-by");
    component_restart(p->argv);
}

#define NO_SIGNING "certificate signing requests are not served yet"
#define NO_TOKENS "the API server makes service account tokens; no controller needs the key"

static void parse(int argc, char **argv, struct options *o)
{
    const struct flag flags[] = {
        {"kubeconfig", 0, FLAG_STRING, &o->kubeconfig, "FILE",
         "How to reach the API servers. Default: the pod's service account."},
        {"controllers", 0, FLAG_STRING, &o->controllers, "LIST",
         "Which run: '*' all, 'name' that one, '-name' not that one."},
        {"leader-elect", 0, FLAG_BOOL, &o->leader_elect, NULL,
         "Reconcile only while holding the lease, so that several can stand by."},
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
        {"bind-address", 0, FLAG_STRING, &o->bind_address, "ADDRESS", "Address for --secure-port."},
        {"secure-port", 0, FLAG_INT, &o->port, "PORT",
         "HTTPS port for health and metrics; 0: none."},
        {"tls-cert-file", 0, FLAG_STRING, &o->cert_file, "FILE",
         "Certificate for --secure-port. Default: self-signed."},
        {"tls-private-key-file", 0, FLAG_STRING, &o->key_file, "FILE", "Its key."},
        {"log-format", 0, FLAG_STRING, &o->log_format, "FORMAT", "Form of log lines.", "text|json"},
        {"v", 'v', FLAG_COUNT, &o->verbosity, NULL, "Say more; from 4 on every decision."},
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

static int connect_client(const struct options *o, struct client **out, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct client_config config;
    int rc = kubeconfig_load(o->kubeconfig, NULL, &a, &config, err);
    if (rc == 0)
        rc = client_new(&config, "c8s-controllers", out, err);
    arena_free(&a);
    return rc;
}

static int serve(const struct options *o, struct client *client, struct process *p,
                 struct metrics *metrics)
{
    struct error err = {0};
    struct component *component = NULL;
    struct component_options health = {.bind_address = o->bind_address,
                                       .port = (int)o->port,
                                       .cert_file = o->cert_file,
                                       .key_file = o->key_file,
                                       .metrics = metrics,
                                       .ready = ready,
                                       .ctx = p};
    if (component_start(&health, &component, &err) < 0)
        return fail(&err);
    manager_watch(p->manager);
    struct leader_election *election = NULL;
    if (!o->leader_elect)
        manager_start(p->manager);
    else
        election = leader_election_start(
            &(struct leader_config){.client = client,
                                    .ns = o->lease_namespace,
                                    .name = o->lease_name,
                                    .lease_duration_ms = (uint32_t)MS(o->lease_ns),
                                    .renew_deadline_ms = (uint32_t)MS(o->renew_ns),
                                    .retry_period_ms = (uint32_t)MS(o->retry_ns),
                                    .release_on_stop = true,
                                    .started = leading,
                                    .stopped = lost,
                                    .ctx = p});
    component_wait_signal();
    log_info("controllers", "ending on a signal");
    atomic_store(&p->ending, true);
    leader_election_free(election);
    component_free(component);
    return 0;
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
    if (connect_client(o, &client, &err) < 0) {
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
    struct process p = {.manager = manager_new(client, &options, metrics), .argv = argv};
    int code = serve(o, client, &p, metrics);
    manager_free(p.manager);
    client_free(client);
    metrics_free(metrics);
    mem_free(root_ca);
    return code;
}

int main(int argc, char **argv)
{
    struct options o = {.bind_address = "0.0.0.0",
                        .port = 10257,
                        .leader_elect = true,
                        .lease_name = "kube-controller-manager",
                        .lease_namespace = "kube-system",
                        .log_format = "text",
                        .controllers = "*",
                        .mask_size = 24,
                        .terminated_pods = 12500,
                        .lease_ns = 15000000000,
                        .renew_ns = 10000000000,
                        .retry_ns = 2000000000,
                        .monitor_period_ns = 5000000000,
                        .monitor_grace_ns = 50000000000,
                        .startup_grace_ns = 60000000000};
    mallopt(M_ARENA_MAX, 2); /* threads are many and small: no heap for each */
    parse(argc, argv, &o);
    log_set_json(cstr_eq(o.log_format, "json"));
    log_set_level(o.verbosity >= 4 ? LOG_DEBUG : LOG_INFO);
    component_block_signals();
    return run(&o, argv);
}
