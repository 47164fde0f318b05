/*
 * c8s-node: the command line, and starting the agent's parts in order.
 *
 *     options → client → runtime → informers (pod network and proxy hook in) → registration
 *             → HTTPS server → informers synced → pod workers and the runtime's poll
 */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/component.h"
#include "client/kubeconfig.h"
#include "net/loop.h"
#include "node/agent.h"
#include "node/files.h"
#include "node/logs.h"
#include "node/network.h"
#include "node/node_status.h"
#include "node/pod_kill.h"
#include "node/pod_network.h"
#include "node/pod_spec.h"
#include "node/pod_worker.h"
#include "node/prober.h"
#include "node/proxy/proxy.h"
#include "node/runtime.h"
#include "node/server.h"
#include "node/tidy.h"
#include "node/trigger.h"
#include <ctype.h>
#include <arpa/inet.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POLL_MS 1000
#define ROTATE_EVERY 10 /* polls between two looks at the sizes of logs */
#define TIDY_EVERY 45
#define RESTART_MIN_S 10ull
#define RESTART_MAX_S 300ull

struct parts {
    struct agent agent;
    struct metrics *metrics;
    struct pod_network *network;
    struct proxy *proxy;
    struct node_status *status;
    struct node_server *server;
    struct runtime_poll *poll;
    struct trigger *poller;
    unsigned polls;
};

/* -------------------------------------------------------------------------------- options --- */

static struct agent_options defaults(void)
{
    return (struct agent_options){
        .runtime_endpoint = "unix:///run/containerd/containerd.sock",
        .root_dir = "/var/lib/c8s/node",
        .cni_conf_dir = "/etc/cni/net.d",
        .cgroup_root = "/",
        .cluster_domain = "cluster.local",
        .cluster_cidr = "",
        .resolv_conf = "/etc/resolv.conf",
        .proxy_mode = "nftables",
        .address = "0.0.0.0",
        .log_level = "info",
        .port = 10250,
        .max_pods = 110,
        .log_bytes_max = 10 << 20,
        .log_files_max = 5,
        .status_period_s = 300,
        .register_node = true,
    };
}

static void parse_options(int argc, char **argv, struct agent_options *o)
{
    static const char *log_format = "logfmt";
    const struct flag flags[] = {
        {.help = "Node:"},
        {"hostname-override", 0, FLAG_STRING, &o->node_name, "NAME",
         "Name of the Node object; the host's name in lower case when not given."},
        {"node-ip", 0, FLAG_STRING, &o->node_ip, "IP",
         "Address of this node; that of the default route when not given."},
        {"node-labels", 0, FLAG_LIST, &o->node_labels, "KEY=VALUE,…", "Labels of the Node object."},
        {"register-with-taints", 0, FLAG_LIST, &o->taints, "KEY=VALUE:EFFECT,…",
         "Taints a new Node object gets."},
        {"register-node", 0, FLAG_BOOL, &o->register_node, NULL, "Make the Node object."},
        {"max-pods", 0, FLAG_INT, &o->max_pods, NULL, "Pods this node takes at most."},
        {"node-status-report-frequency", 0, FLAG_SECONDS, &o->status_period_s, NULL,
         "How often an unchanged node status is written."},
        {.help = "API server:"},
        {"kubeconfig", 0, FLAG_STRING, &o->kubeconfig, "FILE",
         "How to reach the cluster, and as whom."},
        {.help = "Runtime:"},
        {"container-runtime-endpoint", 0, FLAG_STRING, &o->runtime_endpoint, "URL",
         "Socket of the container runtime (CRI v1)."},
        {"root-dir", 0, FLAG_STRING, &o->root_dir, "DIR",
         "Where volumes and the agent's files are."},
        {"pod-log-dir", 0, FLAG_STRING, &o->pod_log_dir, "DIR",
         "Where container logs are; log/pods below --root-dir when not given."},
        {"cgroup-root", 0, FLAG_STRING, &o->cgroup_root, "PATH",
         "Control group below which those of pods stand."},
        {"container-log-max-size", 0, FLAG_INT, &o->log_bytes_max, "BYTES",
         "Size at which a container's log is rotated."},
        {"container-log-max-files", 0, FLAG_INT, &o->log_files_max, NULL,
         "Files a container's log consists of at most."},
        {.help = "Network:"},
        {"cni-conf-dir", 0, FLAG_STRING, &o->cni_conf_dir, "DIR",
         "Where the CNI configuration is written for the runtime."},
        {"cluster-cidr", 0, FLAG_STRING, &o->cluster_cidr, "CIDR",
         "Range of all pods of the cluster."},
        {"cluster-dns", 0, FLAG_LIST, &o->cluster_dns, "IP,…", "Name servers of pods."},
        {"cluster-domain", 0, FLAG_STRING, &o->cluster_domain, "NAME",
         "DNS domain of the cluster."},
        {"resolv-conf", 0, FLAG_STRING, &o->resolv_conf, "FILE",
         "Resolver settings of pods that use the node's."},
        {"proxy-mode", 0, FLAG_STRING, &o->proxy_mode, NULL, "How Services are reached.",
         .choices = "nftables|none"},
        {.help = "Server:"},
        {"address", 0, FLAG_STRING, &o->address, "IP", "Address to listen on."},
        {"port", 0, FLAG_INT, &o->port, NULL, "Port to listen on."},
        {"client-ca-file", 0, FLAG_STRING, &o->client_ca_file, "FILE",
         "CA of those who may call this server."},
        {"tls-cert-file", 0, FLAG_STRING, &o->tls_cert_file, "FILE", "Certificate of this server."},
        {"tls-private-key-file", 0, FLAG_STRING, &o->tls_key_file, "FILE", "Its key."},
        {.help = "Logging:"},
        {"log-level", 0, FLAG_STRING, &o->log_level, NULL, "What is logged.",
         .choices = "debug|info|warn|error"},
        {"log-format", 0, FLAG_STRING, &log_format, NULL, "How it is logged.",
         .choices = "logfmt|json"},
        {"bootstrap-kubeconfig", 0, FLAG_UNSUPPORTED, NULL, NULL,
         "joining by token is not supported yet"},
        {"pod-manifest-path", 0, FLAG_UNSUPPORTED, NULL, NULL, "static pods are not supported yet"},
        {"config", 0, FLAG_UNSUPPORTED, NULL, NULL, "configuration files are not supported yet"},
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "c8s-node",
        .summary = "The node agent: runs the pods that are bound to this node.",
        .flags = flags};
    enum log_level level;

    flags_parse_or_exit(&spec, argc, argv, NULL, 1);
    log_parse_level(o->log_level, &level);
    log_set_level(level);
    log_set_json(strcmp(log_format, "json") == 0);
}

static int fail(const struct error *err)
{
    fprintf(stderr, "c8s-node: %s\n", err->message);
    return 1;
}

/* What was not given and can be found out. */
static int complete_options(struct agent_options *o, struct error *err)
{
    static char host[256], ip[INET_ADDRSTRLEN];

    if (!o->node_name) {
        gethostname(host, sizeof host - 1);
        for (char *s = host; *s; s++)
            *s = (char)tolower((unsigned char)*s);
        o->node_name = host;
    }
    if (!o->node_ip) {
        int rc = network_default_address(ip, err);
        if (rc < 0)
            return rc;
        o->node_ip = ip;
    }
    if (!o->pod_log_dir)
        o->pod_log_dir = mem_printf("%s/log/pods", o->root_dir); /* lives as long as the process */
    if (o->port && (!o->tls_cert_file || !o->tls_key_file || !o->client_ca_file))
        return error_set(err, ERR_INVALID,
                         "--tls-cert-file, --tls-private-key-file and --client-ca-file are needed "
                         "(--port=0 serves nothing)");
    if (o->cluster_cidr[0]) {
        struct cidr c;
        int rc = cidr_parse(o->cluster_cidr, &c, err);
        if (rc < 0)
            return error_wrap(err, "--cluster-cidr");
    }
    return 0;
}

/* ---------------------------------------------------------------------------------- parts --- */

static int make_client(struct agent *g, struct error *err)
{
    struct client_config config;
    struct arena a;
    int rc;

    arena_init(&a);
    rc = kubeconfig_load(g->options.kubeconfig, NULL, &a, &config, err);
    if (rc == 0)
        rc = client_new(&config, "c8s-node", &g->client, err);
    arena_free(&a);
    return rc;
}

static void read_capacity(struct agent *g)
{
    struct host_facts h;
    struct arena a;

    arena_init(&a);
    host_facts_read(g->options.root_dir, &a, &h);
    g->cpu_milli = h.cpus * 1000;
    g->memory = MAX(h.memory - HOST_MEMORY_KEPT, 0);
    g->ephemeral = h.ephemeral / 10 * 9;
    arena_free(&a);
}

static void make_informers(struct agent *g)
{
    char *mine = mem_printf("spec.nodeName=%s", g->options.node_name);

    g->pods = informer_new(
        g->client, &(struct informer_config){.resource = RESOURCE_PODS, .field_selector = mine});
    g->nodes = informer_new(g->client, &(struct informer_config){.resource = RESOURCE_NODES});
    g->services = informer_new(g->client, &(struct informer_config){.resource = RESOURCE_SERVICES});
    if (strcmp(g->options.proxy_mode, "none") != 0)
        g->slices =
            informer_new(g->client, &(struct informer_config){.resource = RESOURCE_ENDPOINTSLICES});
    informer_enqueue(g->pods, g->queue);
    mem_free(mine);
}

static void start_informers(struct agent *g)
{
    struct informer *all[] = {g->pods, g->nodes, g->services, g->slices};

    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        if (all[i])
            informer_start(all[i]);
    }
}

/* Logs that have grown too large are renamed, and the runtime goes on in a new file. */
static void rotate_logs(struct agent *g)
{
    struct object_refs pods = {0};

    informer_list(g->pods, NULL, &pods);
    for (size_t i = 0; i < pods.len; i++) {
        const Core__V1__Pod *pod = pods.items[i]->msg;
        const Core__V1__ContainerStatus *s;
        struct arena a;

        arena_init(&a);
        for (size_t k = 0; (s = pod_container_status(pod, k)) != NULL; k++) {
            const char *id = s->container_id ? strstr(s->container_id, "//") : NULL;
            const char *path = arena_printf(
                &a, "%s/%s/%d.log",
                agent_log_dir(g, &a, pods.items[i]->ns, pods.items[i]->name, pods.items[i]->uid),
                s->name, s->restart_count);
            if (id && s->state && s->state->running &&
                logs_rotate(path, g->options.log_bytes_max, g->options.log_files_max)) {
                struct error err = {0};
                if (cri_reopen_log(g->cri, id + 2, &err) < 0)
                    log_warn("node", "log not opened anew log=%s err=\"%s\"", path, err.message);
            }
        }
        arena_free(&a);
    }
    object_refs_free(&pods);
}

static void on_runtime_change(void *ctx, const char *key)
{
    workqueue_add(((struct agent *)ctx)->queue, key);
}

static uint64_t poll_runtime(void *ctx)
{
    struct parts *p = ctx;
    struct error err = {0};

    if (runtime_poll_changes(p->poll, p->agent.cri, on_runtime_change, &p->agent, &err) < 0)
        log_warn("node", "runtime does not answer err=\"%s\"", err.message);
    else if (++p->polls % TIDY_EVERY == 0)
        tidy_host(&p->agent);
    else if (p->polls % ROTATE_EVERY == 0)
        rotate_logs(&p->agent);
    return POLL_MS;
}

static void wait_synced(struct agent *g)
{
    struct informer *needed[] = {g->pods, g->nodes, g->services};
    struct error err;

    while (informer_wait_synced(needed, ARRAY_LEN(needed), 5000, &err) < 0)
        log_warn("node", "waiting for the API server err=\"%s\"", err.message);
}

static int start(struct parts *p, struct error *err)
{
    struct agent *g = &p->agent;
    int rc = agent_make_dirs(g, err);

    if (rc == 0)
        rc = make_client(g, err);
    if (rc < 0)
        return rc;
    read_capacity(g);
    g->loop = loop_start("node");
    rc = cri_new(g->loop, g->options.runtime_endpoint, &g->cri, err);
    if (rc < 0)
        return rc;
    pthread_rwlock_init(&g->recorder_lock, NULL);
    g->recorder = recorder_new(g->client, "kubelet", g->options.node_name);
    g->queue = workqueue_new("pods", p->metrics);
    g->restarts = backoff_new(RESTART_MIN_S * NS_PER_S, RESTART_MAX_S * NS_PER_S);
    g->pulls = backoff_new(RESTART_MIN_S * NS_PER_S, RESTART_MAX_S * NS_PER_S);
    g->table = pod_table_new();
    g->prober = prober_new(g);
    make_informers(g);
    g->kills = pod_kills_start(g);
    p->network = pod_network_start(g);
    if (g->slices)
        p->proxy =
            proxy_start(g->services, g->slices, g->options.node_name, g->options.cluster_cidr);
    start_informers(g);
    p->status = node_status_start(g);
    return g->options.port ? node_server_start(g, p->metrics, &p->server, err) : 0;
}

/* Write the events that are queued; whoever still works records no more. */
static void end_recording(struct agent *g)
{
    struct recorder *r;

    pthread_rwlock_wrlock(&g->recorder_lock);
    r = g->recorder;
    g->recorder = NULL;
    pthread_rwlock_unlock(&g->recorder_lock);
    recorder_free(r);
}

int main(int argc, char **argv)
{
    struct parts *p = mem_zalloc(sizeof *p);
    struct error err = {0};
    int signal_number;

    /* Many threads, little allocation each: two arenas instead of one per thread keep the memory
     * small. */
    mallopt(M_ARENA_MAX, 2);
    mallopt(M_TRIM_THRESHOLD, 128 * 1024);
    component_block_signals();
    p->agent.options = defaults();
    parse_options(argc, argv, &p->agent.options);
    if (complete_options(&p->agent.options, &err) < 0)
        return fail(&err);
    p->metrics = metrics_new();
    log_info("node", "starting version=" C8S_VERSION " node=%s ip=%s", p->agent.options.node_name,
             p->agent.options.node_ip);
    if (start(p, &err) < 0)
        return fail(&err);
    wait_synced(&p->agent);
    p->poll = runtime_poll_new();
    pod_workers_start(&p->agent);
    p->poller = trigger_start("runtime-poll", POLL_MS / 2, poll_runtime, p);
    trigger_poke(p->poller);
    signal_number = component_wait_signal();
    log_info("node", "ending, containers go on signal=%d", signal_number);
    /* A worker may be waiting minutes for a container to end. Nothing is lost by not waiting for
     * it: the next agent finds pods and containers as they are. Events that are queued are written.
     */
    atomic_store(&p->agent.stopping, true);
    end_recording(&p->agent);
    fflush(NULL);
    _exit(0);
}
