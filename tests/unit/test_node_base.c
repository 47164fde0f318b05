/*
 * Files, address ranges, routes, pod rules and image archives of the node agent.
 */
#include "base/mem.h"
#include "node/files.h"
#include "node/network.h"
#include "node/nft.h"
#include "node/oci_image.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/test_node_base.XXXXXX";

static char *in_dir(struct arena *a, const char *name)
{
    return arena_printf(a, "%s/%s", dir, name);
}

static void ranges_are_read_exactly(void **state)
{
    static const char *const bad[] = {"10.0.0.0",    "10.0.0.0/33", "10.0.0.1/24", "10.0.0/24",  "",
                                      "10.0.0.0/-1", "::/0",        "x/8",         "10.0.0.0/8 "};
    struct cidr c;
    struct in_addr a;

    (void)state;
    assert_int_equal(cidr_parse("10.244.1.0/24", &c, NULL), 0);
    inet_pton(AF_INET, "10.244.1.255", &a);
    assert_true(cidr_contains(&c, a));
    inet_pton(AF_INET, "10.244.2.0", &a);
    assert_false(cidr_contains(&c, a));
    assert_int_equal(cidr_parse("0.0.0.0/0", &c, NULL), 0);
    assert_true(cidr_contains(&c, a));
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(cidr_parse(bad[i], &c, NULL), ERR_INVALID);
}

static void files_are_replaced_whole(void **state)
{
    struct arena a;
    struct str content;
    struct stat before, after;
    struct error err = {0};

    (void)state;
    arena_init(&a);
    assert_int_equal(file_make_dirs(in_dir(&a, "x/y/z"), 0700, &err), 0);
    assert_int_equal(file_make_dirs(in_dir(&a, "x/y/z"), 0700, &err), 0);
    assert_int_equal(file_replace(in_dir(&a, "x/f"), STR("one"), 0640, &err), 0);
    assert_int_equal(stat(in_dir(&a, "x/f"), &before), 0);
    assert_int_equal(before.st_mode & 0777, 0640);
    assert_int_equal(file_replace(in_dir(&a, "x/f"), STR("one"), 0640, &err), 0);
    assert_int_equal(stat(in_dir(&a, "x/f"), &after), 0);
    assert_int_equal(before.st_ino, after.st_ino); /* same content: not touched */
    assert_int_equal(file_replace(in_dir(&a, "x/f"), STR("second"), 0640, &err), 0);
    assert_int_equal(file_read(in_dir(&a, "x/f"), 100, &a, &content, &err), 0);
    assert_true(str_eqz(content, "second"));
    assert_int_equal(file_read(in_dir(&a, "x/f"), 5, &a, &content, &err), ERR_LIMIT);
    assert_int_equal(file_read(in_dir(&a, "x/none"), 5, &a, &content, &err), ERR_NOT_FOUND);
    assert_int_equal(file_make_dirs(in_dir(&a, "x/f/g"), 0700, &err), ERR_IO);
    arena_free(&a);
}

static void removing_a_tree_follows_no_link(void **state)
{
    struct arena a;
    struct error err = {0};
    struct stat st;

    (void)state;
    arena_init(&a);
    assert_int_equal(file_make_dirs(in_dir(&a, "keep"), 0755, &err), 0);
    assert_int_equal(file_replace(in_dir(&a, "keep/f"), STR("x"), 0644, &err), 0);
    assert_int_equal(file_make_dirs(in_dir(&a, "tree/a/b"), 0755, &err), 0);
    assert_int_equal(symlink(in_dir(&a, "keep"), in_dir(&a, "tree/a/link")), 0);
    assert_int_equal(file_remove_tree(in_dir(&a, "tree"), &err), 0);
    assert_int_equal(file_remove_tree(in_dir(&a, "tree"), &err), 0);
    assert_true(lstat(in_dir(&a, "tree"), &st) < 0);
    assert_int_equal(lstat(in_dir(&a, "keep/f"), &st), 0);
    arena_free(&a);
}

/* Deeper than the process may have files open. */
static void a_tree_may_be_as_deep_as_it_likes(void **state)
{
    enum { DEPTH = 1000 };
    struct rlimit files, few;
    struct error err = {0};
    struct stat st;
    struct arena a;
    int fd;

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &files), 0);
    few = files;
    few.rlim_cur = 100;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    arena_init(&a);
    assert_int_equal(file_make_dirs(in_dir(&a, "deep/beside"), 0755, &err), 0);
    fd = open(in_dir(&a, "deep"), O_RDONLY | O_DIRECTORY);
    for (int i = 0; i < DEPTH; i++) {
        int next;
        assert_int_equal(mkdirat(fd, "d", 0755), 0);
        next = openat(fd, "d", O_RDONLY | O_DIRECTORY);
        close(openat(next, "file", O_WRONLY | O_CREAT, 0644));
        close(fd);
        fd = next;
    }
    close(fd);
    if (file_remove_tree(in_dir(&a, "deep"), &err) < 0)
        fail_msg("%s", err.message);
    assert_true(lstat(in_dir(&a, "deep"), &st) < 0);
    setrlimit(RLIMIT_NOFILE, &files);
    arena_free(&a);
}

static void what_is_mounted_in_a_tree_is_left_alone(void **state)
{
    struct error err = {0};
    struct stat st;
    struct arena a;

    (void)state;
    if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) {
        skip();
        return;
    }
    arena_init(&a);
    assert_int_equal(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
    assert_int_equal(file_make_dirs(in_dir(&a, "host"), 0755, &err), 0);
    assert_int_equal(file_replace(in_dir(&a, "host/f"), STR("x"), 0644, &err), 0);
    assert_int_equal(file_make_dirs(in_dir(&a, "pod/bound"), 0755, &err), 0);
    /* The same file system: nothing but the mount tells the two apart. */
    assert_int_equal(mount(in_dir(&a, "host"), in_dir(&a, "pod/bound"), NULL, MS_BIND, NULL), 0);
    assert_int_equal(file_remove_tree(in_dir(&a, "pod"), &err), ERR_IO);
    assert_int_equal(lstat(in_dir(&a, "host/f"), &st), 0);
    assert_int_equal(file_unmount_below(in_dir(&a, "pod"), &err), 0);
    assert_int_equal(file_remove_tree(in_dir(&a, "pod"), &err), 0);
    arena_free(&a);
}

static void the_end_of_a_file_is_read(void **state)
{
    struct error err = {0};
    struct arena a;
    struct str text;

    (void)state;
    arena_init(&a);
    assert_int_equal(file_replace(in_dir(&a, "words"), STR("0123456789"), 0644, &err), 0);
    assert_int_equal(file_read_end(in_dir(&a, "words"), 4, &a, &text, &err), 0);
    assert_string_equal(text.p, "6789");
    assert_int_equal(file_read_end(in_dir(&a, "words"), 40, &a, &text, &err), 0);
    assert_int_equal(text.n, 10);
    assert_int_equal(symlink(in_dir(&a, "words"), in_dir(&a, "link")), 0);
    assert_int_equal(file_read_end(in_dir(&a, "link"), 4, &a, &text, &err), ERR_IO);
    assert_int_equal(mkfifo(in_dir(&a, "fifo"), 0644), 0);
    assert_int_equal(file_read_end(in_dir(&a, "fifo"), 4, &a, &text, &err), ERR_INVALID);
    arena_free(&a);
}

static void an_image_is_the_same_bytes_every_time(void **state)
{
    struct arena a;
    struct str one, two;
    struct error err = {0};

    (void)state;
    arena_init(&a);
    file_replace(in_dir(&a, "prog"), STR("#!/bin/busybox sh\n"), 0755, &err);
    const struct oci_file files[] = {{"/bin/prog", in_dir(&a, "prog"), NULL, 0},
                                     {"/bin/sh", NULL, "prog", 0},
                                     {"/data", NULL, NULL, 01777}};
    struct oci_image image = {.reference = "registry.test/prog:1",
                              .files = files,
                              .files_len = ARRAY_LEN(files),
                              .entrypoint = (const char *const[]){"/bin/prog", NULL},
                              .env = (const char *const[]){"A=\"b\"", NULL}};
    assert_int_equal(oci_image_write(&image, in_dir(&a, "1.tar"), &err), 0);
    assert_int_equal(oci_image_write(&image, in_dir(&a, "2.tar"), &err), 0);
    assert_int_equal(file_read(in_dir(&a, "1.tar"), 1 << 20, &a, &one, &err), 0);
    assert_int_equal(file_read(in_dir(&a, "2.tar"), 1 << 20, &a, &two, &err), 0);
    assert_true(str_eq(one, two));
    assert_int_equal(one.n % 512, 0);
    assert_true(str_find(one, STR("\"Entrypoint\":[\"/bin/prog\"]")) >= 0);
    assert_true(str_find(one, STR("\"Env\":[\"A=\\\"b\\\"\"]")) >= 0);

    const struct oci_file gone[] = {{"/x", in_dir(&a, "absent"), NULL, 0}};
    image.files = gone;
    image.files_len = 1;
    assert_int_equal(oci_image_write(&image, in_dir(&a, "3.tar"), &err), ERR_NOT_FOUND);
    assert_non_null(strstr(err.message, "absent"));
    assert_true(access(in_dir(&a, "3.tar"), F_OK) < 0);
    arena_free(&a);
}

static struct route route(const char *to, const char *via)
{
    struct route r;

    assert_int_equal(cidr_parse(to, &r.to, NULL), 0);
    assert_int_equal(inet_pton(AF_INET, via, &r.via), 1);
    return r;
}

static void pod_rules_leave_out_bad_ports(void **state)
{
    const struct host_port ports[] = {{"TCP", NULL, 8080, "10.244.1.2", 80},
                                      {"UDP", "10.88.0.11", 53, "10.244.1.3", 5353},
                                      {"TCP", "evil", 81, "10.244.1.2", 80},
                                      {"TCP", NULL, 82, "", 80}};
    struct buf out;

    (void)state;
    buf_init(&out);
    network_pod_rules("10.244.1.0/24", "10.244.0.0/16", ports, ARRAY_LEN(ports), &out);
    assert_non_null(strstr(buf_cstr(&out), "tcp dport 8080 dnat ip to 10.244.1.2:80\n"));
    assert_non_null(
        strstr(buf_cstr(&out), "ip daddr 10.88.0.11 udp dport 53 dnat ip to 10.244.1.3:5353\n"));
    assert_null(strstr(buf_cstr(&out), "evil"));
    assert_null(strstr(buf_cstr(&out), "82"));
    buf_free(&out);
}

/* In a network namespace of our own: rules, sysctls and routes for real. Last: it leaves the
 * namespace. */
static void the_kernel_takes_routes_and_rules(void **state)
{
    struct error err = {0};
    struct route routes[2];
    size_t changed;
    struct buf out;
    char address[INET_ADDRSTRLEN];

    (void)state;
    if (unshare(CLONE_NEWNET) < 0) {
        print_message("no right to make a network namespace: skipped\n");
        skip();
    }
    assert_int_equal(network_default_address(address, &err), ERR_NOT_FOUND);
    if (system(
            "ip link set lo up && ip link add br0 type bridge && ip addr add 10.88.0.11/24 dev br0 "
            "&& ip link set br0 up && ip route add default via 10.88.0.1") != 0)
        fail_msg("ip failed");
    assert_int_equal(network_default_address(address, &err), 0);
    assert_string_equal(address, "10.88.0.11");
    assert_int_equal(network_set_sysctls(&err), 0);

    buf_init(&out);
    network_pod_rules("10.244.1.0/24", "10.244.0.0/16",
                      &(struct host_port){"TCP", NULL, 8080, "10.244.1.2", 80}, 1, &out);
    if (nft_apply(buf_str(&out), &err) < 0)
        fail_msg("%s", err.message);
    buf_free(&out);

    routes[0] = route("10.244.2.0/24", "10.88.0.12");
    routes[1] = route("10.244.3.0/24", "10.88.0.13");
    assert_int_equal(network_sync_routes(routes, 2, &changed, &err), 0);
    assert_int_equal(changed, 2);
    assert_int_equal(network_sync_routes(routes, 2, &changed, &err), 0);
    assert_int_equal(changed, 0);
    routes[1].via = routes[0].via; /* a node came back under another address */
    assert_int_equal(network_sync_routes(routes, 2, &changed, &err), 0);
    assert_int_equal(changed, 2);
    assert_int_equal(system("ip route | grep -q '^10.244.3.0/24 via 10.88.0.12 '"), 0);
    assert_int_equal(network_sync_routes(NULL, 0, &changed, &err), 0);
    assert_int_equal(changed, 2);
    assert_int_equal(system("ip route | grep -q '^default '"), 0); /* others' routes stay */
    routes[0] = route("10.244.2.0/24", "203.0.113.9");             /* no such neighbour */
    assert_int_equal(system("ip route del default"), 0);
    assert_int_equal(network_sync_routes(routes, 1, &changed, &err), ERR_IO);
    assert_non_null(strstr(err.message, "10.244.2.0/24 via 203.0.113.9"));
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    (void)state;
    return file_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_read_exactly),
        cmocka_unit_test(files_are_replaced_whole),
        cmocka_unit_test(removing_a_tree_follows_no_link),
        cmocka_unit_test(a_tree_may_be_as_deep_as_it_likes),
        cmocka_unit_test(what_is_mounted_in_a_tree_is_left_alone),
        cmocka_unit_test(the_end_of_a_file_is_read),
        cmocka_unit_test(an_image_is_the_same_bytes_every_time),
        cmocka_unit_test(pod_rules_leave_out_bad_ports),
        cmocka_unit_test(the_kernel_takes_routes_and_rules),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
