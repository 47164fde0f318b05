/*
 * What the processes of a local cluster are doing: pid files, health checks and Nodes.
 *
 * A dead or frozen host must not hold up the answer for the others, so each member is asked by a
 * thread of its own, and the Nodes by one more.
 */
#include "base/mem.h"
#include "cli/cluster/cluster.h"
#include "client/client.h"
#include "client/kubeconfig.h"
#include "net/x509.h"
#include "proto/core_v1.pb-c.h"

#include <pthread.h>
#include <stdio.h>

/* --- one HTTP question --- */

struct question {
    const char *address, *path;
    int port;
    unsigned timeout_ms;
    struct client_config identity; /* whose certificate to show; servers are filled in here */
};

static int ask(const struct question *q, struct arena *a, struct client_response *answer,
               struct error *err)
{
    struct client *client;
    const char *server = arena_printf(a, "https://%s:%d", q->address, q->port);
    struct client_config config = q->identity;
    config.servers = &server;
    config.servers_len = 1;
    int rc = client_new(&config, "c8s-status", &client, err);
    if (rc < 0)
        return rc;
    struct client_request request = {
        .path = q->path, .accept = "text/plain", .timeout_ms = q->timeout_ms};
    rc = client_raw(client, &request, a, answer, err);
    client_free(client);
    return rc;
}

/* 200 from a health check; else `why`. */
static bool healthy(const struct question *q, char *why, size_t why_size)
{
    struct arena a;
    struct client_response answer = {0};
    struct error err = {0};
    arena_init(&a);
    int rc = ask(q, &a, &answer, &err);
    if (rc < 0)
        snprintf(why, why_size, "%s", err.message);
    else if (answer.http_status != 200)
        snprintf(why, why_size, "%s answers %d: %.*s", q->path, answer.http_status,
                 (int)MIN(answer.body.n, (size_t)160), answer.body.p);
    arena_free(&a);
    return rc == 0 && answer.http_status == 200;
}

static bool leads_store(const struct question *q)
{
    struct arena a;
    struct client_response answer = {0};
    arena_init(&a);
    bool leads = ask(q, &a, &answer, NULL) == 0 && answer.http_status == 200 &&
                 str_find(answer.body, STR("\netcd_server_is_leader 1\n")) >= 0;
    arena_free(&a);
    return leads;
}

/* --- a thread per member --- */

struct member_job {
    struct cluster *cluster;
    const struct host *host;
    struct process_view *views; /* its three */
    unsigned timeout_ms;
    struct client_config admin;
    struct arena arena;
    pthread_t thread;
    bool started;
};

/* Who may ask the store: etcd's own CA and the health check's certificate. */
static int store_identity(const struct host *h, struct arena *a, struct client_config *out,
                          struct error *err)
{
    static const char *const files[] = {"etcd/ca.crt", "etcd/healthcheck-client.crt",
                                        "etcd/healthcheck-client.key"};
    struct str *targets[] = {&out->ca_pem, &out->cert_pem, &out->key_pem};
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        char *pem;
        int rc = x509_read_pem(arena_printf(a, "%s/pki/%s", h->state_dir, files[i]), &pem, err);
        if (rc < 0)
            return rc;
        *targets[i] = str_from(arena_strdup(a, pem));
        mem_free(pem);
    }
    return 0;
}

static void observe_apiserver(struct member_job *job, struct process_view *view)
{
    struct question q = {.address = job->host->address,
                         .path = "/readyz",
                         .port = 6443,
                         .timeout_ms = job->timeout_ms,
                         .identity = job->admin};
    view->ready = healthy(&q, view->why, sizeof view->why);
    q.path = "/metrics";
    q.port = 2379;
    view->leader =
        store_identity(job->host, &job->arena, &q.identity, NULL) == 0 && leads_store(&q);
}

static void observe_manager(struct member_job *job, struct process_view *view, int port)
{
    struct question q = {
        .address = job->host->address,
        .path = "/healthz",
        .port = port,
        .timeout_ms = job->timeout_ms,
        .identity = {.insecure = true}}; /* they may serve with a certificate of their own */
    view->ready = healthy(&q, view->why, sizeof view->why);
}

static void *observe_member(void *arg)
{
    struct member_job *job = arg;
    for (int i = 0; i < 3; i++) {
        struct process_view *view = &job->views[i];
        if (view->pid == 0 || view->paused)
            continue;
        if (view->role == ROLE_APISERVER)
            observe_apiserver(job, view);
        else
            observe_manager(job, view, view->role == ROLE_SCHEDULER ? 10259 : 10257);
    }
    return NULL;
}

/* --- nodes --- */

static struct process_view *find_agent(struct process_view *views, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++)
        if (views[i].role == ROLE_NODE && cstr_eq(views[i].host->name, name))
            return &views[i];
    return NULL;
}

static void observe_node(const Core__V1__Node *node, struct process_view *view)
{
    snprintf(view->pod_cidr, sizeof view->pod_cidr, "%s", node->spec->pod_cidr);
    snprintf(view->why, sizeof view->why, "the Node has no condition Ready");
    for (size_t i = 0; i < node->status->n_conditions; i++) {
        const Core__V1__NodeCondition *condition = node->status->conditions[i];
        if (!cstr_eq(condition->type, "Ready"))
            continue;
        view->ready = view->pid && !view->paused && cstr_eq(condition->status, "True");
        snprintf(view->why, sizeof view->why, "%s", condition->message);
    }
    /* The condition comes from the agent, the taint from a controller that lags a little: until it is
     * gone the scheduler sends nothing here. */
    for (size_t i = 0; i < node->spec->n_taints; i++) {
        if (!cstr_eq(node->spec->taints[i]->key, "node.kubernetes.io/not-ready"))
            continue;
        if (view->ready)
            snprintf(view->why, sizeof view->why, "the Node is still tainted not-ready");
        view->ready = false;
    }
}

static void observe_nodes(struct cluster *c, const struct client_config *admin, unsigned timeout_ms,
                          struct process_view *views, size_t n)
{
    struct client *client;
    struct arena a;
    struct error err = {0};
    if (c->nodes == 0)
        return;
    arena_init(&a);
    Core__V1__NodeList *list = NULL;
    if (client_new(admin, "c8s-status", &client, &err) == 0) {
        struct client_options options = {.timeout_ms = timeout_ms};
        list = client_list(client, RESOURCE_NODES, NULL, &options, &a, &err);
        client_free(client);
    }
    for (size_t i = 0; i < n; i++)
        if (views[i].role == ROLE_NODE)
            snprintf(views[i].why, sizeof views[i].why, "%s",
                     list ? "no Node is registered for it" : err.message);
    for (size_t i = 0; list && i < list->n_items; i++) {
        struct process_view *view = find_agent(views, n, list->items[i]->metadata->name);
        if (view)
            observe_node(list->items[i], view);
    }
    arena_free(&a);
}

/* --- all --- */

size_t cluster_list_processes(struct cluster *c, struct process_view views[CLUSTER_VIEWS_MAX])
{
    size_t n = 0;
    for (size_t i = 0; i < c->hosts_len; i++) {
        const struct host *h = &c->hosts[i];
        enum cluster_role first = h->is_member ? ROLE_APISERVER : ROLE_CONTAINERD;
        enum cluster_role last = h->is_member ? ROLE_CONTROLLERS : ROLE_NODE;
        struct cluster_node_pids pids = {0};
        if (!h->is_member) {
            struct cluster_node node = cluster_node_of(c, h);
            cluster_node_status(&node, &pids);
        }
        for (enum cluster_role role = first; role <= last; role++) {
            struct process_view *view = &views[n++];
            *view = (struct process_view){.host = h, .role = role};
            view->pid = role == ROLE_CONTAINERD ? pids.containerd
                        : role == ROLE_NODE     ? pids.agent
                                                : process_running(cluster_pid_file(c, h, role));
            view->paused = view->pid && process_is_paused(view->pid);
            view->ready = role == ROLE_CONTAINERD && view->pid && !view->paused;
        }
    }
    return n;
}

size_t cluster_observe(struct cluster *c, unsigned timeout_ms,
                       struct process_view views[CLUSTER_VIEWS_MAX])
{
    size_t n = cluster_list_processes(c, views);
    struct client_config admin;
    struct error err = {0};
    struct arena a;
    struct member_job jobs[CLUSTER_MEMBERS_MAX] = {0};
    arena_init(&a);
    if (kubeconfig_load(c->admin_conf, NULL, &a, &admin, &err) < 0) {
        for (size_t i = 0; i < n; i++)
            snprintf(views[i].why, sizeof views[i].why, "%s", err.message);
        arena_free(&a);
        return n;
    }
    for (int i = 0; i < c->members;
         i++) { /* a member's three views stand together, members first */
        jobs[i] = (struct member_job){.cluster = c,
                                      .host = &c->hosts[i],
                                      .views = &views[i * 3],
                                      .timeout_ms = timeout_ms,
                                      .admin = admin};
        arena_init(&jobs[i].arena);
        jobs[i].started = pthread_create(&jobs[i].thread, NULL, observe_member, &jobs[i]) == 0;
    }
    observe_nodes(c, &admin, timeout_ms, views, n);
    for (int i = 0; i < c->members; i++) {
        if (jobs[i].started)
            pthread_join(jobs[i].thread, NULL);
        arena_free(&jobs[i].arena);
    }
    for (size_t i = 0; i < n; i++) {
        if (views[i].ready)
            views[i].why[0] = '\0';
        else if (views[i].pid == 0)
            snprintf(views[i].why, sizeof views[i].why, "does not run");
        else if (views[i].paused)
            snprintf(views[i].why, sizeof views[i].why, "paused");
    }
    arena_free(&a);
    return n;
}
