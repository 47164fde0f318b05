/*
 * Specification of a local cluster's certificates and kubeconfigs (cli/cluster/pki.c).
 */
#include "base/mem.h"
#include "cli/cluster/cluster.h"
#include "client/kubeconfig.h"
#include "net/x509.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char root[] = "/tmp/c8s-pki-XXXXXX";
static struct cluster *c;

/* A cluster of two members and two nodes with its files below `root`. */
static void lay_out(int nodes)
{
    c->nodes = nodes;
    cluster_layout(c);
    c->state_dir = root;
    c->admin_conf = cluster_path(c, root, "admin.conf");
    for (size_t i = 0; i < c->hosts_len; i++)
        c->hosts[i].state_dir = cluster_path(c, root, c->hosts[i].short_name);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    c = mem_zalloc(sizeof *c);
    arena_init(&c->arena);
    c->name = "unit";
    c->members = 2;
    lay_out(1);
    return cluster_make_pki(c, NULL);
}

static int tear_down(void **state)
{
    (void)state;
    cluster_close(c);
    mem_free(c);
    return cluster_remove_tree(root, NULL);
}

static char *pem(const char *below)
{
    char *text = NULL;
    struct error err = {0};
    if (x509_read_pem(cluster_path(c, root, below), &text, &err) < 0)
        fail_msg("%s", err.message);
    return text;
}

static bool signed_by(const char *cert, const char *ca, unsigned usage)
{
    char *cert_pem = pem(cert), *ca_pem = pem(ca);
    bool ok = x509_verify(str_from(cert_pem), str_from(ca_pem), usage, NULL) == 0;
    mem_free(cert_pem);
    mem_free(ca_pem);
    return ok;
}

static void certificates_chain_to_the_ca_of_their_purpose(void **state)
{
    (void)state;
    static const struct {
        const char *cert, *ca, *other_ca;
        unsigned usage;
    } cases[] = {
        {"cp1/pki/apiserver.crt", "pki/ca.crt", "pki/etcd/ca.crt", X509_USAGE_SERVER},
        {"cp2/pki/apiserver-kubelet-client.crt", "cp1/pki/ca.crt", "pki/etcd/ca.crt",
         X509_USAGE_CLIENT},
        {"cp1/pki/front-proxy-client.crt", "cp2/pki/front-proxy-ca.crt", "pki/ca.crt",
         X509_USAGE_CLIENT},
        {"cp1/pki/etcd/server.crt", "pki/etcd/ca.crt", "pki/ca.crt", X509_USAGE_SERVER},
        {"cp2/pki/etcd/peer.crt", "cp1/pki/etcd/ca.crt", "pki/ca.crt", X509_USAGE_SERVER},
        {"cp2/pki/etcd/peer.crt", "cp1/pki/etcd/ca.crt", "pki/ca.crt", X509_USAGE_CLIENT},
        {"cp1/pki/etcd/healthcheck-client.crt", "pki/etcd/ca.crt", "pki/ca.crt", X509_USAGE_CLIENT},
        {"node1/pki/kubelet.crt", "node1/pki/ca.crt", "pki/etcd/ca.crt", X509_USAGE_SERVER},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (!signed_by(cases[i].cert, cases[i].ca, cases[i].usage))
            fail_msg("%s is not signed by %s", cases[i].cert, cases[i].ca);
        if (signed_by(cases[i].cert, cases[i].other_ca, cases[i].usage))
            fail_msg("%s is signed by %s", cases[i].cert, cases[i].other_ca);
    }
    assert_false(signed_by("cp1/pki/apiserver.crt", "pki/ca.crt", X509_USAGE_CLIENT));
}

static bool has(char **list, size_t n, const char *want)
{
    for (size_t i = 0; i < n; i++)
        if (cstr_eq(list[i], want))
            return true;
    return false;
}

static void the_servers_certificate_has_every_name_it_is_called_by(void **state)
{
    (void)state;
    static const char *const names[] = {"unit-cp2", "unit-api.c8s.internal", "kubernetes",
                                        "kubernetes.default.svc.cluster.local", "localhost"};
    static const char *const ips[] = {"10.88.0.12", "10.96.0.1", "127.0.0.1"};
    struct x509_info info;
    char *text = pem("cp2/pki/apiserver.crt");
    assert_int_equal(x509_parse(str_from(text), &info, NULL), 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_true(has(info.dns_names, info.dns_names_len, names[i]));
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        assert_true(has(info.ip_addresses, info.ip_addresses_len, ips[i]));
    x509_info_free(&info);
    mem_free(text);
}

static void kubeconfigs_name_who_and_every_server(void **state)
{
    (void)state;
    static const struct {
        const char *file, *common_name, *group, *first;
    } cases[] = {
        {"admin.conf", "kubernetes-admin", "system:masters", "https://10.88.0.11:6443"},
        {"cp2/admin.conf", "kubernetes-admin", "system:masters", "https://10.88.0.12:6443"},
        {"cp2/scheduler.conf", "system:kube-scheduler", NULL, "https://10.88.0.12:6443"},
        {"cp1/controller-manager.conf", "system:kube-controller-manager", NULL,
         "https://10.88.0.11:6443"},
        {"node1/kubelet.conf", "system:node:unit-node1", "system:nodes", "https://10.88.0.11:6443"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct arena a;
        struct error err = {0};
        struct client_config config;
        struct x509_info info;
        arena_init(&a);
        if (kubeconfig_load(cluster_path(c, root, cases[i].file), NULL, &a, &config, &err) < 0)
            fail_msg("%s: %s", cases[i].file, err.message);
        /* After the members, the name in the hosts file that stands for all of them. */
        assert_int_equal(config.servers_len, i == 0 ? 3 : 2);
        assert_string_equal(config.servers[0], cases[i].first);
        assert_int_equal(x509_parse(config.cert_pem, &info, &err), 0);
        assert_string_equal(info.common_name, cases[i].common_name);
        assert_int_equal(info.organizations_len, cases[i].group ? 1 : 0);
        if (cases[i].group)
            assert_string_equal(info.organizations[0], cases[i].group);
        assert_int_equal(x509_verify(config.cert_pem, config.ca_pem, X509_USAGE_CLIENT, &err), 0);
        x509_info_free(&info);
        arena_free(&a);
        struct stat st;
        assert_int_equal(stat(cluster_path(c, root, cases[i].file), &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
    }
}

static void nodes_do_not_hold_the_cas_key(void **state)
{
    (void)state;
    assert_int_equal(access(cluster_path(c, root, "cp1/pki/ca.key"), F_OK), 0);
    assert_int_not_equal(access(cluster_path(c, root, "node1/pki/ca.key"), F_OK), 0);
    assert_int_not_equal(access(cluster_path(c, root, "node1/pki/sa.key"), F_OK), 0);
}

static void a_second_run_adds_what_is_new_and_keeps_the_rest(void **state)
{
    (void)state;
    char *before = pem("cp1/pki/apiserver.crt"), *sa = pem("pki/sa.pub");
    lay_out(2);
    assert_int_equal(cluster_make_pki(c, NULL), 0);
    char *after = pem("cp1/pki/apiserver.crt"), *sa_after = pem("cp2/pki/sa.pub");
    assert_string_equal(before, after);
    assert_string_equal(sa, sa_after);
    assert_true(signed_by("node2/pki/kubelet.crt", "pki/ca.crt", X509_USAGE_SERVER));
    mem_free(before);
    mem_free(after);
    mem_free(sa);
    mem_free(sa_after);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(certificates_chain_to_the_ca_of_their_purpose),
        cmocka_unit_test(the_servers_certificate_has_every_name_it_is_called_by),
        cmocka_unit_test(kubeconfigs_name_who_and_every_server),
        cmocka_unit_test(nodes_do_not_hold_the_cas_key),
        cmocka_unit_test(a_second_run_adds_what_is_new_and_keeps_the_rest),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
