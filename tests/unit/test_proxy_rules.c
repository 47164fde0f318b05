/*
 * The service proxy's rule text: what a service becomes, what a change touches, what is refused.
 * Where the test may make a network namespace, nftables itself checks every transaction.
 */
#include "node/proxy/rules.h"
#include "node/nft.h"
#include "base/mem.h"
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#define CIDR "10.244.0.0/16"

static const struct proxy_endpoint two[] = {{"10.244.1.2", 8080, true},
                                            {"10.244.2.2", 8080, false}};

static struct proxy_port web(void)
{
    return (struct proxy_port){.ns = "default",
                               .service = "web",
                               .port_name = "http",
                               .protocol = "TCP",
                               .cluster_ip = "10.96.0.5",
                               .port = 80,
                               .node_port = 30080,
                               .endpoints = two,
                               .endpoints_len = 2};
}

static const char *chain(const struct ruleset *r, const char *name)
{
    return map_get(&r->chains, str_from(name));
}

static const char *element(const struct ruleset *r, const char *key)
{
    return map_get(&r->elements, str_from(key));
}

static void a_service_is_two_lookups_and_one_choice(void **state)
{
    struct ruleset r;
    struct proxy_port p = web();

    (void)state;
    ruleset_init(&r);
    assert_true(ruleset_add(&r, &p, CIDR));
    assert_string_equal(
        chain(&r, "svc/default/web/http"),
        "ip daddr 10.96.0.5 ip saddr != 10.244.0.0/16 meta mark set meta mark or 0x4000\n"
        "meta l4proto tcp dnat ip to numgen random mod 2 map "
        "{ 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }\n");
    assert_string_equal(chain(&r, "ext/default/web/http"),
                        "meta mark set meta mark or 0x4000\ngoto svc/default/web/http\n");
    assert_null(chain(&r, "lcl/default/web/http"));
    assert_string_equal(element(&r, "service-ips { 10.96.0.5 . tcp . 80"),
                        " : goto svc/default/web/http");
    assert_string_equal(element(&r, "service-ports { tcp . 30080"), " : goto ext/default/web/http");
    assert_non_null(element(&r, "hairpin { 10.244.1.2 . 10.244.1.2"));
    assert_null(element(&r, "hairpin { 10.244.2.2 . 10.244.2.2"));
    ruleset_free(&r);
}

static void without_endpoints_it_refuses(void **state)
{
    struct ruleset r;
    struct proxy_port p = web();

    (void)state;
    p.endpoints_len = 0;
    ruleset_init(&r);
    assert_true(ruleset_add(&r, &p, CIDR));
    assert_int_equal(r.chains.len, 0);
    assert_string_equal(element(&r, "no-endpoints { 10.96.0.5 . tcp . 80"), " : goto reject-all");
    assert_string_equal(element(&r, "no-endpoint-ports { tcp . 30080"), " : goto reject-all");
    ruleset_free(&r);
}

static void local_policies_choose_this_nodes_endpoints(void **state)
{
    struct ruleset r;
    struct proxy_port p = web();

    (void)state;
    p.external_local = p.internal_local = true;
    ruleset_init(&r);
    assert_true(ruleset_add(&r, &p, CIDR));
    assert_string_equal(
        chain(&r, "lcl/default/web/http"),
        "meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.244.1.2 . 8080 }\n");
    assert_string_equal(element(&r, "service-ips { 10.96.0.5 . tcp . 80"),
                        " : goto lcl/default/web/http");
    assert_non_null(strstr(chain(&r, "ext/default/web/http"), "\ngoto lcl/default/web/http\n"));
    ruleset_free(&r);

    /* No endpoint here: what would break the policy is dropped. */
    p.endpoints = two + 1;
    p.endpoints_len = 1;
    ruleset_init(&r);
    assert_true(ruleset_add(&r, &p, CIDR));
    assert_string_equal(element(&r, "no-endpoints { 10.96.0.5 . tcp . 80"), " : drop");
    assert_null(element(&r, "service-ips { 10.96.0.5 . tcp . 80"));
    assert_non_null(strstr(chain(&r, "ext/default/web/http"), "\ndrop\n"));
    ruleset_free(&r);
}

static void affinity_hashes_the_client(void **state)
{
    struct ruleset r;
    struct proxy_port p = web();

    (void)state;
    p.client_affinity = true;
    ruleset_init(&r);
    assert_true(ruleset_add(&r, &p, ""));
    assert_string_equal(chain(&r, "svc/default/web/http"),
                        "meta l4proto tcp dnat ip to jhash ip saddr mod 2 map "
                        "{ 0 : 10.244.1.2 . 8080, 1 : 10.244.2.2 . 8080 }\n");
    ruleset_free(&r);
}

/* Nothing that could end a rule and begin another gets into the text. */
static void odd_names_and_addresses_are_left_out(void **state)
{
    struct proxy_port bad[8];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        bad[i] = web();
    bad[0].ns = "a b";
    bad[1].service = "web\nflush ruleset";
    bad[2].port_name = "x;y";
    bad[3].protocol = "ICMP";
    bad[4].cluster_ip = "None";
    bad[5].port = 0;
    bad[6].endpoints = &(struct proxy_endpoint){"::1", 80, false};
    bad[6].endpoints_len = 1;
    bad[7].external_ips = (const char *const[]){"1.2.3.4 }"};
    bad[7].external_ips_len = 1;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct ruleset r;
        ruleset_init(&r);
        assert_false(ruleset_add(&r, &bad[i], CIDR));
        assert_int_equal(r.chains.len + r.elements.len, 0);
        ruleset_free(&r);
    }
}

/* The stages of one cluster's life, each an incremental transaction on the one before. */
static void stage(struct ruleset *r, int n)
{
    static const char *const external[] = {"192.0.2.7"};
    struct proxy_port p = web(), dns = web();
    struct proxy_endpoint more[] = {two[0], two[1], {"10.244.1.3", 9090, true}};

    dns.service = "dns";
    dns.protocol = "UDP";
    dns.port_name = "";
    dns.cluster_ip = "10.96.0.10";
    dns.port = 53;
    dns.node_port = 0;
    dns.client_affinity = true;
    ruleset_init(r);
    if (n == 0)
        p.endpoints_len = 0;
    if (n >= 2) {
        p.endpoints = more;
        p.endpoints_len = 3;
    }
    if (n == 3) {
        p.node_port = 30081;
        p.external_ips = external;
        p.external_ips_len = 1;
        p.external_local = true;
    }
    if (n != 4)
        assert_true(ruleset_add(r, &p, CIDR));
    if (n >= 1 && n <= 4)
        assert_true(ruleset_add(r, &dns, CIDR));
}

static void changes_touch_only_what_changed(void **state)
{
    struct ruleset before, now;
    struct buf out;

    (void)state;
    stage(&before, 1);
    stage(&now, 2);
    buf_init(&out);
    ruleset_diff(&before, &now, &out);
    assert_null(strstr(buf_cstr(&out), "dns"));
    assert_null(strstr(buf_cstr(&out), "ext/"));
    assert_non_null(strstr(buf_cstr(&out), "flush chain ip c8s-proxy svc/default/web/http\n"));
    assert_non_null(
        strstr(buf_cstr(&out), "add element ip c8s-proxy hairpin { 10.244.1.3 . 10.244.1.3 }\n"));
    buf_clear(&out);
    ruleset_diff(&now, &now, &out);
    assert_int_equal(out.len, 0);
    buf_free(&out);
    ruleset_free(&before);
    ruleset_free(&now);
}

static void the_kernel_takes_every_transaction(void **state)
{
    struct ruleset before, now;
    struct buf out;
    struct error err = {0};

    (void)state;
    if (unshare(CLONE_NEWNET) < 0) {
        print_message("no right to make a network namespace: skipped\n");
        skip();
    }
    stage(&before, 0);
    buf_init(&out);
    ruleset_full(&before, &out);
    if (nft_apply(buf_str(&out), &err) < 0)
        fail_msg("%s\n%s", err.message, buf_cstr(&out));
    for (int n = 1; n <= 5; n++) {
        stage(&now, n);
        buf_clear(&out);
        ruleset_diff(&before, &now, &out);
        if (nft_apply(buf_str(&out), &err) < 0)
            fail_msg("stage %d: %s\n%s", n, err.message, buf_cstr(&out));
        ruleset_free(&before);
        before = now;
    }
    /* (Stage 5 is stage 2's services without dns, so the node port is there.)
     * A transaction with one bad line changes nothing, and says why. */
    assert_true(nft_apply(STR("delete element ip c8s-proxy service-ports { tcp . 30080 }\nadd rule "
                              "ip c8s-proxy nowhere drop\n"),
                          &err) < 0);
    if (!strstr(err.message, "No such file"))
        fail_msg("%s", err.message);
    assert_int_equal(
        nft_apply(STR("delete element ip c8s-proxy service-ports { tcp . 30080 }\n"), &err), 0);
    ruleset_free(&before);
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_is_two_lookups_and_one_choice),
        cmocka_unit_test(without_endpoints_it_refuses),
        cmocka_unit_test(local_policies_choose_this_nodes_endpoints),
        cmocka_unit_test(affinity_hashes_the_client),
        cmocka_unit_test(odd_names_and_addresses_are_left_out),
        cmocka_unit_test(changes_touch_only_what_changed),
        cmocka_unit_test(the_kernel_takes_every_transaction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
