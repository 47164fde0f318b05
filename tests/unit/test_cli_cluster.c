/*
 * Specification of cli/cluster/cluster.h: names, addresses and places of a local cluster.
 */
#include "base/mem.h"
#include "cli/cluster/cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static void names_fit_into_paths_and_host_names(void **state)
{
    (void)state;
    static const char *const good[] = {"c8s", "a", "my-cluster-2", "abcdefghijklmnopqrst"};
    static const char *const bad[] = {"",    "-a",  "a-",   "A",
                                      "a_b", "a.b", "../x", "abcdefghijklmnopqrstu"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_string_equal(cluster_name_problem(good[i]), "");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (!*cluster_name_problem(bad[i]))
            fail_msg("accepted \"%s\"", bad[i]);
}

static struct cluster *lay_out(const char *name, int slot, int members, int nodes)
{
    struct cluster *c = mem_zalloc(sizeof *c);
    arena_init(&c->arena);
    c->name = name;
    c->slot = slot;
    c->members = members;
    c->nodes = nodes;
    cluster_layout(c);
    return c;
}

static void the_first_cluster_has_the_documented_addresses(void **state)
{
    (void)state;
    struct cluster *c = lay_out("c8s", 0, 3, 2);
    assert_int_equal(c->hosts_len, 5);
    assert_string_equal(c->hosts[0].netns_name, "c8s-c8s-cp1");
    assert_string_equal(c->hosts[0].address, "10.88.0.11");
    assert_true(c->hosts[2].is_member && !c->hosts[3].is_member);
    assert_string_equal(c->hosts[4].name, "c8s-node2");
    assert_string_equal(c->hosts[4].address, "10.88.0.102");
    assert_string_equal(c->hosts[4].run_dir, "/run/c8s/c8s/node2");
    assert_string_equal(c->state_dir, "/var/lib/c8s/clusters/c8s");
    assert_string_equal(c->pod_cidr, "10.244.0.0/16");
    assert_string_equal(c->service_cidr, "10.96.0.0/12");
    assert_string_equal(c->service_ip, "10.96.0.1");
    cluster_close(c);
    mem_free(c);
}

static void clusters_share_no_address_and_no_interface_name(void **state)
{
    (void)state;
    struct cluster *a = lay_out("a", 0, CLUSTER_MEMBERS_MAX, CLUSTER_NODES_MAX);
    struct cluster *b = lay_out("b", CLUSTER_SLOTS - 1, CLUSTER_MEMBERS_MAX, CLUSTER_NODES_MAX);
    assert_string_not_equal(a->bridge, b->bridge);
    assert_string_equal(b->pod_cidr, "10.251.0.0/16");
    assert_string_equal(b->service_cidr, "10.208.0.0/12");
    for (size_t i = 0; i < a->hosts_len; i++) {
        assert_string_not_equal(a->hosts[i].address, b->hosts[i].address);
        assert_string_not_equal(a->hosts[i].veth, b->hosts[i].veth);
        assert_true(strlen(a->hosts[i].veth) < 16); /* IFNAMSIZ */
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(a->hosts[i].address, a->hosts[j].address);
            assert_string_not_equal(a->hosts[i].veth, a->hosts[j].veth);
        }
    }
    cluster_close(a);
    cluster_close(b);
    mem_free(a);
    mem_free(b);
}

static void unix_sockets_of_the_longest_name_fit(void **state)
{
    (void)state;
    struct cluster *c = lay_out("abcdefghijklmnopqrst", 0, 1, CLUSTER_NODES_MAX);
    assert_true(strlen(c->hosts[c->hosts_len - 1].run_dir) <= 60); /* cli/cluster/node.h */
    cluster_close(c);
    mem_free(c);
}

static void files_and_trees(void **state)
{
    (void)state;
    char root[] = "/tmp/c8s-cluster-XXXXXX", path[128];
    struct error err = {0};
    struct stat st;
    assert_non_null(mkdtemp(root));
    snprintf(path, sizeof path, "%s/a/b", root);
    assert_int_equal(cluster_mkdirs(path, 0700, &err), 0);
    assert_int_equal(cluster_mkdirs(path, 0700, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    snprintf(path, sizeof path, "%s/a/b/secret", root);
    assert_int_equal(cluster_write_file(path, STR("x"), 0600, &err), 0);
    assert_int_equal(cluster_write_file(path, STR("yz"), 0600, &err), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 2);
    assert_int_equal(cluster_write_file("/nonexistent/x", STR("x"), 0600, &err), ERR_IO);
    assert_string_equal(err.message, "write /nonexistent/x: No such file or directory");
    assert_int_equal(cluster_remove_tree(root, &err), 0);
    assert_int_not_equal(access(root, F_OK), 0);
    assert_int_equal(cluster_remove_tree(root, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_fit_into_paths_and_host_names),
        cmocka_unit_test(the_first_cluster_has_the_documented_addresses),
        cmocka_unit_test(clusters_share_no_address_and_no_interface_name),
        cmocka_unit_test(unix_sockets_of_the_longest_name_fit),
        cmocka_unit_test(files_and_trees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
