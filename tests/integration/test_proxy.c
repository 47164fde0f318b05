/*
 * The service proxy's rules moving real packets: a node with two pods on its bridge, a second node with
 * one, and a client outside, each a network namespace.
 *
 *     client 10.78.0.9 ─┬─ node1 10.78.0.1 ── c8s0 10.79.1.1/24 ─┬─ a 10.79.1.2
 *                       │                                        └─ b 10.79.1.3
 *                       └─ node2 10.78.0.2 ── c8s0 10.79.2.1/24 ─── c 10.79.2.2
 *
 * Needs root, iproute2, busybox and curl; says so and skips where one is missing.
 */
#include "base/arena.h"
#include "base/mem.h"
#include "node/network.h"
#include "node/nft.h"
#include "node/proxy/rules.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#define PODS "10.79.1.0/24"
#define CLUSTER_PODS "10.79.0.0/16"
#define SERVICE "10.96.7.5"

static struct arena arena;
static char prefix[32], dir[64];
static bool skipped;
static pid_t servers[3];

static int sh(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int sh(const char *format, ...)
{
    va_list args;
    int rc;

    va_start(args, format);
    rc = system(arena_vprintf(&arena, format, args));
    va_end(args);
    return WIFEXITED(rc) ? WEXITSTATUS(rc) : -1;
}

/* Run fn in a namespace, in a child. */
static int in_namespace(const char *name, int (*fn)(void *arg), void *arg)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        int fd = open(arena_printf(&arena, "/run/netns/%s-%s", prefix, name), O_RDONLY);
        _exit(fd < 0 || setns(fd, CLONE_NEWNET) < 0 ? 99 : fn(arg));
    }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 98;
}

static int apply_text(void *arg)
{
    struct error err = {0};

    if (nft_apply(str_from(arg), &err) == 0)
        return 0;
    fprintf(stderr, "%s\n%s\n", err.message, (char *)arg);
    return 1;
}

static int prepare_node(void *arg)
{
    struct error err = {0};
    struct route route;
    size_t changed;
    bool first = strcmp(arg, "node1") == 0;

    cidr_parse(first ? "10.79.2.0/24" : PODS, &route.to, &err);
    inet_pton(AF_INET, first ? "10.78.0.2" : "10.78.0.1", &route.via);
    if (network_set_sysctls(&err) == 0 && network_sync_routes(&route, 1, &changed, &err) == 0)
        return 0;
    fprintf(stderr, "%s\n", err.message);
    return 1;
}

/* A namespace joined to a bridge in another. */
static int join(const char *name, const char *bridge_ns, const char *bridge, const char *address,
                const char *via)
{
    static int n;
    int k = n++;

    return sh("set -e; ip netns add %s-%s; ip -n %s-%s link set lo up; "
              "ip link add px%d-%d type veth peer name eth0 netns %s-%s; "
              "ip link set px%d-%d netns %s-%s; ip -n %s-%s link set px%d-%d master %s up; "
              "ip netns exec %s-%s sh -c 'echo 1 >/sys/class/net/px%d-%d/brport/hairpin_mode'; "
              "ip -n %s-%s addr add %s dev eth0; ip -n %s-%s link set eth0 up; "
              "[ -z '%s' ] || ip -n %s-%s route add default via %s",
              prefix, name, prefix, name, getpid() % 10000, k, prefix, name, getpid() % 10000, k,
              prefix, bridge_ns, prefix, bridge_ns, getpid() % 10000, k, bridge, prefix, bridge_ns,
              getpid() % 10000, k, prefix, name, address, prefix, name, via, prefix, name, via);
}

static int pod_bridge(const char *node, const char *address)
{
    return sh("ip -n %s-%s link add c8s0 type bridge && ip -n %s-%s addr add %s dev c8s0 && "
              "ip -n %s-%s link set c8s0 up",
              prefix, node, prefix, node, address, prefix, node);
}

static int serve(int i, const char *pod)
{
    sh("mkdir -p %s/%s && echo %s >%s/%s/index.html", dir, pod, pod, dir, pod);
    servers[i] = fork();
    if (servers[i] == 0) {
        int fd = open(arena_printf(&arena, "/run/netns/%s-%s", prefix, pod), O_RDONLY);
        if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
            _exit(99);
        execl("/bin/busybox", "httpd", "-f", "-p", "8080", "-h",
              arena_printf(&arena, "%s/%s", dir, pod), NULL);
        _exit(99);
    }
    return servers[i] > 0 ? 0 : -1;
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&arena);
    snprintf(prefix, sizeof prefix, "c8s-px-%d", (int)getpid());
    snprintf(dir, sizeof dir, "/tmp/%s", prefix);
    if (geteuid() != 0 || access("/bin/busybox", X_OK) < 0 ||
        sh("ip -V >/dev/null 2>&1 && curl -V >/dev/null 2>&1") != 0) {
        print_message("root, iproute2, busybox and curl are needed: skipped\n");
        skipped = true;
        return 0;
    }
    if (sh("ip netns add %s-link && ip -n %s-link link add br0 type bridge && "
           "ip -n %s-link link set br0 up",
           prefix, prefix, prefix) ||
        join("node1", "link", "br0", "10.78.0.1/24", "") ||
        join("node2", "link", "br0", "10.78.0.2/24", "") ||
        join("client", "link", "br0", "10.78.0.9/24", "10.78.0.1") ||
        pod_bridge("node1", "10.79.1.1/24") || pod_bridge("node2", "10.79.2.1/24") ||
        join("a", "node1", "c8s0", "10.79.1.2/24", "10.79.1.1") ||
        join("b", "node1", "c8s0", "10.79.1.3/24", "10.79.1.1") ||
        join("c", "node2", "c8s0", "10.79.2.2/24", "10.79.2.1"))
        return -1;
    /* A host finds a service address by its default route, as any host has one. */
    if (sh("ip -n %s-node1 route add default via 10.78.0.9", prefix))
        return -1;
    if (in_namespace("node1", prepare_node, "node1") ||
        in_namespace("node2", prepare_node, "node2"))
        return -1;
    return serve(0, "a") || serve(1, "b") || serve(2, "c");
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(servers); i++) {
        if (servers[i] > 0) {
            kill(servers[i], SIGKILL);
            waitpid(servers[i], NULL, 0);
        }
    }
    if (!skipped)
        sh("for n in a b c client node1 node2 link; do ip netns del %s-$n; done; rm -r %s", prefix,
           dir);
    arena_free(&arena);
    return 0;
}

/* ---------------------------------------------------------------------------------- rules --- */

static struct ruleset written;

static struct proxy_port service(const struct proxy_endpoint *endpoints, size_t n)
{
    return (struct proxy_port){.ns = "default",
                               .service = "web",
                               .port_name = "http",
                               .protocol = "TCP",
                               .cluster_ip = SERVICE,
                               .port = 80,
                               .node_port = 30080,
                               .endpoints = endpoints,
                               .endpoints_len = n};
}

/* Replace what node1 has by the rules of one service. */
static void put(const struct proxy_port *p, bool full)
{
    struct ruleset now;
    struct buf text;

    ruleset_init(&now);
    assert_true(ruleset_add(&now, p, CLUSTER_PODS));
    buf_init(&text);
    if (full)
        ruleset_full(&now, &text);
    else
        ruleset_diff(&written, &now, &text);
    assert_int_equal(in_namespace("node1", apply_text, (char *)buf_cstr(&text)), 0);
    buf_free(&text);
    ruleset_free(&written);
    written = now;
}

/* Who answers n requests from a namespace, sorted and once each: "ab"; "-" for a request that failed. */
static const char *answers(const char *from, const char *url, int n)
{
    char *out = arena_printf(&arena, "%s/answers", dir), line[8];
    const char *names = "abc-", *text = "";
    FILE *f;

    sh("for i in $(seq %d); do ip netns exec %s-%s curl -s -m 3 http://%s/ || echo -; done "
       ">%s 2>/dev/null",
       n, prefix, from, url, out);
    bool seen[4] = {false};
    f = fopen(out, "r");
    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        const char *at = strchr(names, line[0]);
        assert_non_null(at);
        seen[at - names] = true;
    }
    fclose(f);
    for (size_t i = 0; i < 4; i++)
        text = seen[i] ? arena_printf(&arena, "%s%c", text, names[i]) : text;
    return text;
}

static const struct proxy_endpoint all[] = {
    {"10.79.1.2", 8080, true}, {"10.79.1.3", 8080, true}, {"10.79.2.2", 8080, false}};

#define REFUSED 7 /* curl's exit code */

/* Enough tries that one of three is missed once in 10^7 runs. */
#define TRIES 40

static void a_service_reaches_all_its_pods_from_everywhere(void **state)
{
    struct proxy_port p = service(all, 3);

    (void)state;
    if (skipped)
        skip();
    put(&p, true);
    assert_string_equal(answers("b", "10.79.2.2:8080", 1), "c"); /* routes between nodes */
    /* From a pod, itself included (hairpin), and one on the same bridge (its answer comes back translated). */
    assert_string_equal(answers("a", SERVICE, TRIES), "abc");
    assert_string_equal(answers("node1", SERVICE, TRIES), "abc");
    assert_string_equal(answers("client", SERVICE, TRIES), "abc");
    assert_string_equal(answers("client", "10.78.0.1:30080", TRIES), "abc");
    assert_string_equal(answers("a", "10.78.0.1:30080", TRIES), "abc");
}

static void changes_take_effect_at_once(void **state)
{
    struct proxy_port p = service(all + 1, 1);

    (void)state;
    if (skipped)
        skip();
    put(&p, false);
    assert_string_equal(answers("a", SERVICE, 10), "b");
    p = service(all, 3);
    p.external_local = true;
    put(&p, false);
    assert_string_equal(answers("client", "10.78.0.1:30080", TRIES), "ab");
    p.external_local = false;
    p.client_affinity = true;
    put(&p, false);
    assert_int_equal(strlen(answers("a", SERVICE, 15)), 1);
}

static void without_endpoints_connections_are_refused(void **state)
{
    struct proxy_port p = service(NULL, 0);

    (void)state;
    if (skipped)
        skip();
    put(&p, false);
    /* Refused, not timed out: three seconds would pass else. */
    assert_int_equal(
        sh("timeout 2 ip netns exec %s-a curl -s -m 3 http://" SERVICE "/ >/dev/null 2>&1", prefix),
        REFUSED);
    assert_int_equal(sh("timeout 2 ip netns exec %s-client curl -s -m 3 "
                        "http://10.78.0.1:30080/ >/dev/null 2>&1",
                        prefix),
                     REFUSED);
    p = service(all, 1);
    put(&p, false);
    assert_string_equal(answers("client", "10.78.0.1:30080", 3), "a");
}

static void host_ports_and_masquerading(void **state)
{
    const struct host_port port = {"TCP", NULL, 8081, "10.79.1.3", 8080};
    struct buf text;

    (void)state;
    if (skipped)
        skip();
    buf_init(&text);
    network_pod_rules(PODS, "10.79.1.0/24", &port, 1, &text);
    assert_int_equal(in_namespace("node1", apply_text, (char *)buf_cstr(&text)), 0);
    buf_free(&text);
    assert_string_equal(answers("client", "10.78.0.1:8081", 2), "b");
    /* The client knows no way back to pods other than by node1; node2's pods see node1's address. */
    sh("ip -n %s-node2 route del " PODS, prefix);
    assert_string_equal(answers("a", "10.79.2.2:8080", 2), "c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_reaches_all_its_pods_from_everywhere),
        cmocka_unit_test(changes_take_effect_at_once),
        cmocka_unit_test(without_endpoints_connections_are_refused),
        cmocka_unit_test(host_ports_and_masquerading),
    };
    int rc = cmocka_run_group_tests(tests, set_up, tear_down);

    ruleset_free(&written);
    return rc;
}
