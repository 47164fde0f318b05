/*
 * Certificates and kubeconfigs of a local cluster, with kubeadm's file names.
 *
 * The cluster's CAs and the service-account key are made once in <state>/pki/; each host gets a
 * pki/ of its own with copies of what it may see and certificates in its own name. Files that exist
 * are kept, so that `up` on an existing cluster issues only what a new host lacks.
 */
#include "base/encode.h"
#include "base/mem.h"
#include "cli/cluster/cluster.h"
#include "net/x509.h"

#include <stdio.h>
#include <unistd.h>

struct authorities {
    struct x509_pair cluster, etcd, front_proxy;
    char *sa_private, *sa_public;
};

static bool file_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* --- authorities --- */

static int load_or_make_ca(struct cluster *c, const char *dir, const char *file, const char *name,
                           struct x509_pair *ca, struct error *err)
{
    const char *cert = arena_printf(&c->arena, "%s/%s.crt", dir, file);
    const char *key = arena_printf(&c->arena, "%s/%s.key", dir, file);
    if (file_exists(cert) && file_exists(key))
        return x509_pair_read(cert, key, ca, err);
    int rc = x509_ca_new(&(struct x509_spec){.common_name = name}, ca, err);
    return rc < 0 ? rc : x509_pair_write(cert, key, ca, err);
}

static int load_or_make_sa_key(struct cluster *c, const char *dir, struct authorities *all,
                               struct error *err)
{
    const char *key = cluster_path(c, dir, "sa.key");
    const char *pub = cluster_path(c, dir, "sa.pub");
    if (file_exists(key) && file_exists(pub)) {
        int rc = x509_read_pem(key, &all->sa_private, err);
        return rc < 0 ? rc : x509_read_pem(pub, &all->sa_public, err);
    }
    int rc = x509_key_new_rsa(2048, &all->sa_private, &all->sa_public, err);
    if (rc == 0)
        rc = x509_write_key(key, all->sa_private, err);
    if (rc == 0)
        rc = x509_write_cert(pub, all->sa_public, err);
    return rc;
}

static int load_authorities(struct cluster *c, struct authorities *all, struct error *err)
{
    const char *dir = cluster_path(c, c->state_dir, "pki");
    int rc = cluster_mkdirs(cluster_path(c, dir, "etcd"), 0700, err);
    if (rc == 0)
        rc = load_or_make_ca(c, dir, "ca", "kubernetes", &all->cluster, err);
    if (rc == 0)
        rc = load_or_make_ca(c, dir, "etcd/ca", "etcd-ca", &all->etcd, err);
    if (rc == 0)
        rc = load_or_make_ca(c, dir, "front-proxy-ca", "front-proxy-ca", &all->front_proxy, err);
    if (rc == 0)
        rc = load_or_make_sa_key(c, dir, all, err);
    return rc;
}

static void authorities_free(struct authorities *all)
{
    x509_pair_free(&all->cluster);
    x509_pair_free(&all->etcd);
    x509_pair_free(&all->front_proxy);
    mem_free(all->sa_private);
    mem_free(all->sa_public);
}

/* --- certificates --- */

/* <dir>/<file>.crt and .key for the spec, unless they are there. */
static int issue(struct cluster *c, const struct x509_pair *ca, const char *dir, const char *file,
                 const struct x509_spec *spec, struct error *err)
{
    const char *cert = arena_printf(&c->arena, "%s/%s.crt", dir, file);
    const char *key = arena_printf(&c->arena, "%s/%s.key", dir, file);
    if (file_exists(cert) && file_exists(key))
        return 0;
    struct x509_pair pair = {0};
    int rc = x509_issue(ca, spec, &pair, err);
    if (rc == 0)
        rc = x509_pair_write(cert, key, &pair, err);
    x509_pair_free(&pair);
    return rc < 0 ? error_wrap(err, "certificate %s", file) : 0;
}

static const char *const masters[] = {"system:masters", NULL};
static const char *const nodes_group[] = {"system:nodes", NULL};

/* The copies of a CA on a host; its key only where that host signs with it. */
static int copy_ca(struct cluster *c, const struct x509_pair *ca, const char *dir, const char *file,
                   bool with_key, struct error *err)
{
    int rc = x509_write_cert(arena_printf(&c->arena, "%s/%s.crt", dir, file), ca->cert_pem, err);
    if (rc == 0 && with_key)
        rc = x509_write_key(arena_printf(&c->arena, "%s/%s.key", dir, file), ca->key_pem, err);
    return rc;
}

static int make_member_pki(struct cluster *c, const struct host *h, const struct authorities *all,
                           struct error *err)
{
    const char *dir = cluster_path(c, h->state_dir, "pki");
    const char *api_names[] = {h->name,
                               c->api_name,
                               "kubernetes",
                               "kubernetes.default",
                               "kubernetes.default.svc",
                               "kubernetes.default.svc.cluster.local",
                               "localhost",
                               "127.0.0.1",
                               c->service_ip,
                               h->address,
                               NULL};
    const char *host_names[] = {h->name, h->short_name, "localhost", h->address, "127.0.0.1", NULL};
    const unsigned both = X509_USAGE_SERVER | X509_USAGE_CLIENT;
    const struct {
        const struct x509_pair *ca;
        const char *file;
        struct x509_spec spec;
    } certificates[] = {
        {&all->cluster, "apiserver", {"kube-apiserver", NULL, api_names, X509_USAGE_SERVER}},
        {&all->cluster,
         "apiserver-kubelet-client",
         {"kube-apiserver-kubelet-client", masters, NULL, X509_USAGE_CLIENT}},
        {&all->cluster, "scheduler", {h->name, NULL, host_names, X509_USAGE_SERVER}},
        {&all->cluster, "controller-manager", {h->name, NULL, host_names, X509_USAGE_SERVER}},
        {&all->front_proxy,
         "front-proxy-client",
         {"front-proxy-client", NULL, NULL, X509_USAGE_CLIENT}},
        {&all->etcd,
         "apiserver-etcd-client",
         {"kube-apiserver-etcd-client", masters, NULL, X509_USAGE_CLIENT}},
        {&all->etcd, "etcd/server", {h->name, NULL, host_names, both}},
        {&all->etcd, "etcd/peer", {h->name, NULL, host_names, both}},
        {&all->etcd,
         "etcd/healthcheck-client",
         {"kube-etcd-healthcheck-client", masters, NULL, X509_USAGE_CLIENT}},
    };
    int rc = cluster_mkdirs(cluster_path(c, dir, "etcd"), 0700, err);
    if (rc == 0)
        rc = copy_ca(c, &all->cluster, dir, "ca", true, err);
    if (rc == 0)
        rc = copy_ca(c, &all->etcd, dir, "etcd/ca", true, err);
    if (rc == 0)
        rc = copy_ca(c, &all->front_proxy, dir, "front-proxy-ca", true, err);
    if (rc == 0)
        rc = x509_write_key(cluster_path(c, dir, "sa.key"), all->sa_private, err);
    if (rc == 0)
        rc = x509_write_cert(cluster_path(c, dir, "sa.pub"), all->sa_public, err);
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(certificates); i++)
        rc = issue(c, certificates[i].ca, dir, certificates[i].file, &certificates[i].spec, err);
    return rc;
}

static int make_node_pki(struct cluster *c, const struct host *h, const struct authorities *all,
                         struct error *err)
{
    const char *dir = cluster_path(c, h->state_dir, "pki");
    const char *names[] = {h->name, "localhost", h->address, "127.0.0.1", NULL};
    int rc = cluster_mkdirs(dir, 0700, err);
    if (rc == 0)
        rc = copy_ca(c, &all->cluster, dir, "ca", false, err);
    if (rc == 0)
        rc = issue(c, &all->cluster, dir, "kubelet",
                   &(struct x509_spec){h->name, NULL, names, X509_USAGE_SERVER}, err);
    return rc;
}

/* --- kubeconfigs --- */

static void append_data(struct buf *out, const char *key, const char *pem)
{
    buf_printf(out, "    %s: ", key);
    base64_encode(out, str_from(pem));
    buf_append_char(out, '\n');
}

/* `first` is the member asked first (NULL: the name that stands for all of them). */
static void render_kubeconfig(const struct cluster *c, const struct host *first, const char *user,
                              const char *ca_pem, const struct x509_pair *identity, struct buf *out)
{
    buf_printf(out, "apiVersion: v1\nkind: Config\nclusters:\n- name: %s\n  cluster:\n", c->name);
    buf_printf(out, "    server: https://%s:6443\n", first ? first->address : c->api_name);
    append_data(out, "certificate-authority-data", ca_pem);
    buf_printf(out,
               "    extensions:\n    - name: c8s.io/servers\n      extension:\n        servers:\n");
    if (first)
        buf_printf(out, "        - https://%s:6443\n", first->address);
    for (size_t i = 0; i < c->hosts_len; i++)
        if (c->hosts[i].is_member && &c->hosts[i] != first)
            buf_printf(out, "        - https://%s:6443\n", c->hosts[i].address);
    buf_printf(out,
               "contexts:\n- name: %s\n  context:\n    cluster: %s\n    user: \"%s\"\n"
               "current-context: %s\n",
               c->name, c->name, user, c->name);
    buf_printf(out, "users:\n- name: \"%s\"\n  user:\n", user);
    append_data(out, "client-certificate-data", identity->cert_pem);
    append_data(out, "client-key-data", identity->key_pem);
}

static int make_kubeconfig(struct cluster *c, const char *path, const struct host *first,
                           const char *user, const char *const *groups,
                           const struct authorities *all, struct error *err)
{
    if (file_exists(path))
        return 0;
    struct x509_pair identity = {0};
    struct buf text = {0};
    struct x509_spec spec = {
        .common_name = user, .organizations = groups, .usage = X509_USAGE_CLIENT};
    int rc = x509_issue(&all->cluster, &spec, &identity, err);
    if (rc == 0) {
        render_kubeconfig(c, first, user, all->cluster.cert_pem, &identity, &text);
        rc = cluster_write_file(path, buf_str(&text), 0600, err);
    }
    x509_pair_free(&identity);
    buf_free(&text);
    return rc < 0 ? error_wrap(err, "kubeconfig of %s", user) : 0;
}

static int make_member_kubeconfigs(struct cluster *c, const struct host *h,
                                   const struct authorities *all, struct error *err)
{
    const struct {
        const char *file, *user;
        const char *const *groups;
    } configs[] = {{"admin.conf", "kubernetes-admin", masters},
                   {"scheduler.conf", "system:kube-scheduler", NULL},
                   {"controller-manager.conf", "system:kube-controller-manager", NULL}};
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < ARRAY_LEN(configs); i++)
        rc = make_kubeconfig(c, cluster_path(c, h->state_dir, configs[i].file), h, configs[i].user,
                             configs[i].groups, all, err);
    return rc;
}

/* Nodes start with different members, so that their watches spread. */
static const struct host *nearest_member(const struct cluster *c, size_t host_index)
{
    return &c->hosts[host_index % (size_t)c->members];
}

static int make_host(struct cluster *c, size_t i, const struct authorities *all, struct error *err)
{
    const struct host *h = &c->hosts[i];
    int rc = cluster_mkdirs(h->state_dir, 0755, err);
    if (rc < 0)
        return rc;
    if (h->is_member) {
        rc = make_member_pki(c, h, all, err);
        return rc < 0 ? rc : make_member_kubeconfigs(c, h, all, err);
    }
    rc = make_node_pki(c, h, all, err);
    if (rc < 0)
        return rc;
    const char *user = arena_printf(&c->arena, "system:node:%s", h->name);
    return make_kubeconfig(c, cluster_path(c, h->state_dir, "kubelet.conf"), nearest_member(c, i),
                           user, nodes_group, all, err);
}

int cluster_make_pki(struct cluster *c, struct error *err)
{
    struct authorities all = {0};
    int rc = load_authorities(c, &all, err);
    for (size_t i = 0; rc == 0 && i < c->hosts_len; i++) {
        rc = make_host(c, i, &all, err);
        if (rc < 0)
            error_wrap(err, "host %s", c->hosts[i].name);
    }
    if (rc == 0)
        rc = make_kubeconfig(c, c->admin_conf, NULL, "kubernetes-admin", masters, &all, err);
    authorities_free(&all);
    return rc;
}
