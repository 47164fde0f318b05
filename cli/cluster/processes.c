/*
 * The command lines of a local cluster's processes, and where their pid files and logs are.
 */
#include "base/mem.h"
#include "base/vec.h"
#include "cli/cluster/cluster.h"

#include <stdio.h>

typedef VEC(const char *) arg_list;

const char *cluster_role_name(enum cluster_role role)
{
    static const char *const names[] = {[ROLE_APISERVER] = "apiserver",
                                        [ROLE_SCHEDULER] = "scheduler",
                                        [ROLE_CONTROLLERS] = "controllers",
                                        [ROLE_CONTAINERD] = "containerd",
                                        [ROLE_NODE] = "node"};
    return names[role];
}

static const char *program(enum cluster_role role)
{
    static const char *const names[] = {[ROLE_APISERVER] = "c8s-apiserver",
                                        [ROLE_SCHEDULER] = "c8s-scheduler",
                                        [ROLE_CONTROLLERS] = "c8s-controllers",
                                        [ROLE_CONTAINERD] = "containerd",
                                        [ROLE_NODE] = "c8s-node"};
    return names[role];
}

const char *cluster_pid_file(struct cluster *c, const struct host *h, enum cluster_role role)
{
    return arena_printf(&c->arena, "%s/%s.pid", h->run_dir, program(role));
}

const char *cluster_log_file(struct cluster *c, const struct host *h, enum cluster_role role)
{
    /* A node's files are laid out by node.h. */
    if (!h->is_member)
        return arena_printf(&c->arena, "%s/%s.log", h->run_dir, program(role));
    return arena_printf(&c->arena, "%s/log/%s.log", h->state_dir, program(role));
}

static void __attribute__((format(printf, 3, 4)))
add(struct cluster *c, arg_list *args, const char *format, ...)
{
    va_list values;
    va_start(values, format);
    vec_push(args, arena_vprintf(&c->arena, format, values));
    va_end(values);
}

static int start(struct cluster *c, const struct host *h, enum cluster_role role, arg_list *args,
                 struct error *err)
{
    vec_push(args, NULL);
    struct process_spec spec = {.argv = args->items,
                                .netns = h->netns,
                                .hostname = h->name,
                                .log_file = cluster_log_file(c, h, role),
                                .pid_file = cluster_pid_file(c, h, role)};
    int rc = cluster_mkdirs(cluster_path(c, h->state_dir, "log"), 0755, err);
    if (rc == 0)
        rc = cluster_mkdirs(h->run_dir, 0755, err);
    if (rc == 0)
        rc = process_start(&spec, NULL, NULL, err);
    return rc;
}

/* "c8s-cp1=https://10.88.0.11:2380,…" */
static const char *initial_cluster(struct cluster *c)
{
    const char *all = "";
    for (int i = 0; i < c->members; i++)
        all = arena_printf(&c->arena, "%s%s%s=https://%s:2380", all, i ? "," : "", c->hosts[i].name,
                           c->hosts[i].address);
    return all;
}

static void add_store_args(struct cluster *c, const struct host *h, const char *pki, arg_list *args)
{
    add(c, args, "--name=%s", h->name);
    add(c, args, "--data-dir=%s/store", h->state_dir);
    add(c, args, "--listen-client-urls=https://%s:2379,https://127.0.0.1:2379", h->address);
    add(c, args, "--advertise-client-urls=https://%s:2379", h->address);
    add(c, args, "--listen-peer-urls=https://%s:2380", h->address);
    add(c, args, "--initial-advertise-peer-urls=https://%s:2380", h->address);
    add(c, args, "--initial-cluster=%s", initial_cluster(c));
    add(c, args, "--initial-cluster-token=c8s-%s", c->name);
    add(c, args, "--initial-cluster-state=new");
    add(c, args, "--cert-file=%s/etcd/server.crt", pki);
    add(c, args, "--key-file=%s/etcd/server.key", pki);
    add(c, args, "--trusted-ca-file=%s/etcd/ca.crt", pki);
    add(c, args, "--client-cert-auth");
    add(c, args, "--peer-cert-file=%s/etcd/peer.crt", pki);
    add(c, args, "--peer-key-file=%s/etcd/peer.key", pki);
    add(c, args, "--peer-trusted-ca-file=%s/etcd/ca.crt", pki);
    add(c, args, "--peer-client-cert-auth");
}

static void add_api_args(struct cluster *c, const struct host *h, const char *pki, arg_list *args)
{
    add(c, args, "--bind-address=0.0.0.0");
    add(c, args, "--secure-port=6443");
    add(c, args, "--advertise-address=%s", h->address);
    add(c, args, "--tls-cert-file=%s/apiserver.crt", pki);
    add(c, args, "--tls-private-key-file=%s/apiserver.key", pki);
    add(c, args, "--client-ca-file=%s/ca.crt", pki);
    add(c, args, "--service-account-key-file=%s/sa.pub", pki);
    add(c, args, "--service-account-signing-key-file=%s/sa.key", pki);
    add(c, args, "--service-account-issuer=https://kubernetes.default.svc.cluster.local");
    add(c, args, "--service-cluster-ip-range=%s", c->service_cidr);
    add(c, args, "--kubelet-client-certificate=%s/apiserver-kubelet-client.crt", pki);
    add(c, args, "--kubelet-client-key=%s/apiserver-kubelet-client.key", pki);
    add(c, args, "--kubelet-certificate-authority=%s/ca.crt", pki);
    add(c, args, "--authorization-mode=Node,RBAC");
}

int cluster_start_apiserver(struct cluster *c, const struct host *h, struct error *err)
{
    arg_list args = {0};
    const char *pki = cluster_path(c, h->state_dir, "pki");
    add(c, &args, "%s/c8s-apiserver", c->bin_dir);
    add_store_args(c, h, pki, &args);
    add_api_args(c, h, pki, &args);
    int rc = start(c, h, ROLE_APISERVER, &args, err);
    vec_free(&args);
    return rc;
}

/* Where both managers serve their health checks and metrics. */
static void add_serving_args(struct cluster *c, const struct host *h, const char *certificate,
                             arg_list *args)
{
    add(c, args, "--bind-address=0.0.0.0");
    add(c, args, "--tls-cert-file=%s/pki/%s.crt", h->state_dir, certificate);
    add(c, args, "--tls-private-key-file=%s/pki/%s.key", h->state_dir, certificate);
}

static int start_scheduler(struct cluster *c, const struct host *h, struct error *err)
{
    arg_list args = {0};
    add(c, &args, "%s/c8s-scheduler", c->bin_dir);
    add(c, &args, "--kubeconfig=%s/scheduler.conf", h->state_dir);
    add(c, &args, "--leader-elect=true");
    add_serving_args(c, h, "scheduler", &args);
    int rc = start(c, h, ROLE_SCHEDULER, &args, err);
    vec_free(&args);
    return rc;
}

static int start_controllers(struct cluster *c, const struct host *h, struct error *err)
{
    arg_list args = {0};
    add(c, &args, "%s/c8s-controllers", c->bin_dir);
    add(c, &args, "--kubeconfig=%s/controller-manager.conf", h->state_dir);
    add(c, &args, "--leader-elect=true");
    add_serving_args(c, h, "controller-manager", &args);
    add(c, &args, "--allocate-node-cidrs=true");
    add(c, &args, "--cluster-cidr=%s", c->pod_cidr);
    add(c, &args, "--root-ca-file=%s/pki/ca.crt", h->state_dir);
    int rc = start(c, h, ROLE_CONTROLLERS, &args, err);
    vec_free(&args);
    return rc;
}

int cluster_start_managers(struct cluster *c, const struct host *h, struct error *err)
{
    int rc = start_scheduler(c, h, err);
    return rc < 0 ? rc : start_controllers(c, h, err);
}

struct cluster_node cluster_node_of(struct cluster *c, const struct host *h)
{
    const char *pki = cluster_path(c, h->state_dir, "pki");
    return (struct cluster_node){
        .cluster = c->name,
        .name = h->name,
        .netns = h->netns,
        .node_ip = h->address,
        .state_dir = h->state_dir,
        .run_dir = h->run_dir,
        .bin_dir = c->bin_dir,
        .kubeconfig = cluster_path(c, h->state_dir, "kubelet.conf"),
        .client_ca = cluster_path(c, pki, "ca.crt"),
        .tls_cert = cluster_path(c, pki, "kubelet.crt"),
        .tls_key = cluster_path(c, pki, "kubelet.key"),
        .cluster_cidr = c->pod_cidr,
    };
}
