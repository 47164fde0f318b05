/* Services: ranges of addresses and ports, and the rules of IP families. */
#include "api/codec.h"
#include "api/defaults/defaults.h"
#include "api/meta.h"
#include "apiserver/services/allocator.h"
#include "apiserver/proxy/target.h"
#include "apiserver/services/families.h"
#include "base/mem.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- ranges ---- */

static void ranges_are_checked(void **state)
{
    (void)state;
    struct service_net n;
    struct error err = {0};
    static const char *const bad[] = {"10.96.0.0",
                                      "10.96.0.0/7",
                                      "10.96.0.0/31",
                                      "x/16",
                                      "fd00::/63",
                                      "fd00::/127",
                                      "10.96.0.0/16x",
                                      "10.1.0.0/16,10.2.0.0/16",
                                      "",
                                      "10.1.0.0/16,",
                                      "10.1.0.0/16,fd00::/112,10.3.0.0/16"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(service_net_parse(bad[i], 30000, 32767, &n, &err), ERR_INVALID);
    assert_int_equal(service_net_parse("10.96.0.0/12", 0, 5, &n, &err), ERR_INVALID);
    assert_int_equal(service_net_parse("10.96.0.0/12", 9, 5, &n, &err), ERR_INVALID);
    assert_int_equal(service_net_parse("fd00::/108, 10.96.0.0/12", 30000, 32767, &n, &err), 0);
    assert_int_equal(n.ranges_len, 2);
    assert_true(n.ranges[0].base.v6 && !n.ranges[1].base.v6);
    assert_true(service_net_has(&n, true) && service_net_has(&n, false));
    assert_int_equal(n.port_low, 86);
}

static void addresses_of_ranges(void **state)
{
    (void)state;
    static const struct {
        const char *range, *ip;
        bool in, usable;
    } rows[] = {
        {"10.96.0.0/12", "10.111.255.254", true, true},
        {"10.96.0.0/12", "10.111.255.255", true, false}, /* broadcast */
        {"10.96.0.0/12", "10.96.0.0", true, false},      /* network */
        {"10.96.0.0/12", "10.95.255.255", false, false},
        {"10.96.0.0/12", "10.112.0.1", false, false},
        {"10.96.5.7/24", "10.96.5.9", true, true}, /* host bits do not count */
        {"10.96.0.0/12", "fd00::1", false, false},
        {"fd00:1::/64", "fd00:1::", true, false},
        {"fd00:1::/64", "fd00:1::ffff:ffff:ffff:ffff", true, true},
        {"fd00:1::/64", "fd00:1:0:1::1", false, false},
        {"fd00:1::/112", "fd00:1::1:0", false, false},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct ip_range r;
        struct ip_address a;
        assert_int_equal(ip_range_parse(str_from(rows[i].range), &r, NULL), 0);
        assert_true(ip_address_parse(rows[i].ip, &a));
        assert_int_equal(ip_range_contains(&r, &a), rows[i].in);
        assert_int_equal(ip_range_usable(&r, &a), rows[i].usable);
    }
    struct ip_range big, small, text;
    char out[INET6_ADDRSTRLEN + 4];
    ip_range_parse(STR("10.0.0.0/8"), &big, NULL);
    ip_range_parse(STR("10.9.8.7/24"), &small, NULL);
    assert_true(ip_range_contains_range(&big, &small) && !ip_range_contains_range(&small, &big));
    ip_range_format(&small, out);
    assert_string_equal(out, "10.9.8.0/24");
    ip_range_parse(STR("fd00:0:0::5/120"), &text, NULL);
    ip_range_format(&text, out);
    assert_string_equal(out, "fd00::/120");
    ip_range_first(&text, out);
    assert_string_equal(out, "fd00::1");
    ip_range_first(&big, out);
    assert_string_equal(out, "10.0.0.1");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* A search that never finds a free one visits every usable address once, the static band last. */
static void candidates_cover_the_range(void **state)
{
    (void)state;
    static const struct {
        const char *range;
        unsigned count, low;
    } rows[] = {{"192.168.4.0/24", 254, 16}, {"192.168.4.0/28", 14, 0}, {"192.168.4.0/30", 2, 0},
                {"fd00::/120", 255, 16},     {"fd00::/126", 3, 0},      {"10.0.0.0/23", 510, 32}};
    static char seen[600][INET6_ADDRSTRLEN];
    for (size_t k = 0; k < ARRAY_LEN(rows); k++) {
        struct ip_range r;
        struct ip_address a;
        uint32_t count = 0;
        assert_int_equal(ip_range_parse(str_from(rows[k].range), &r, NULL), 0);
        while (count < 600 && ip_range_candidate(&r, 12345678901234ull, count, seen[count])) {
            assert_true(ip_address_parse(seen[count], &a) && ip_range_usable(&r, &a));
            uint8_t last = a.v6 ? a.bytes[15] : a.bytes[3];
            if (rows[k].low && rows[k].count < 256) /* the static band comes last */
                assert_int_equal(last < 16, count >= rows[k].count - 15);
            count++;
        }
        assert_int_equal(count, rows[k].count);
        assert_int_equal(r.low, rows[k].low);
        qsort(seen, count, sizeof seen[0], by_text);
        for (uint32_t i = 1; i < count; i++)
            assert_string_not_equal(seen[i - 1], seen[i]);
    }
    /* The largest: 2^64 addresses. */
    struct ip_range r;
    assert_int_equal(ip_range_parse(STR("fd00::/64"), &r, NULL), 0);
    assert_true(ip_range_candidate(&r, UINT64_MAX >> 1, 0, seen[0]));
    assert_true(ip_range_candidate(&r, UINT64_MAX >> 1, 1, seen[1]));
    assert_string_not_equal(seen[0], seen[1]);
}

static void ports_cover_the_range(void **state)
{
    (void)state;
    struct service_net n;
    assert_int_equal(service_net_parse("192.168.4.0/24", 30000, 30009, &n, NULL), 0);
    int32_t port;
    unsigned ports = 0;
    for (uint32_t i = 0; service_port_candidate(&n, 7, i, &port); i++) {
        assert_true(service_port_contains(&n, port));
        ports |= 1u << (port - 30000);
    }
    assert_int_equal(ports, 0x3ff);
    assert_int_equal(service_net_parse("192.168.4.0/24", 30000, 32767, &n, NULL), 0);
    for (uint32_t i = 0; i < 2768; i++) { /* 30000 to 30085 come last */
        assert_true(service_port_candidate(&n, 99, i, &port));
        assert_int_equal(port < 30086, i >= 2768 - 86);
    }
    assert_false(service_port_candidate(&n, 99, 2768, &port));
}

/* ---- IP families ---- */

#define V4 "10.0.0.0/16"
#define V6 "fd00::/112"

/* What becomes of a spec: "policy families clusterIPs", or the first error. */
static const struct {
    const char *net, *old, *spec, *want;
} families[] = {
    {V4, NULL, "{}", "SingleStack IPv4 "},
    {V6, NULL, "{}", "SingleStack IPv6 "},
    {V6 "," V4, NULL, "{}", "SingleStack IPv6 "},
    {V4, NULL, "{'ipFamilyPolicy':'PreferDualStack'}", "PreferDualStack IPv4 "},
    {V4 "," V6, NULL, "{'ipFamilyPolicy':'PreferDualStack'}", "PreferDualStack IPv4,IPv6 "},
    {V4 "," V6, NULL, "{'ipFamilyPolicy':'RequireDualStack','ipFamilies':['IPv6']}",
     "RequireDualStack IPv6,IPv4 "},
    {V4, NULL, "{'ipFamilyPolicy':'RequireDualStack'}",
     "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": this cluster is not configured for "
     "dual-stack services"},
    {V4, NULL, "{'ipFamilies':['IPv6']}",
     "spec.ipFamilies[0]: Invalid value: \"IPv6\": not configured on this cluster"},
    {V4, NULL, "{'ipFamilies':['IPv5']}",
     "spec.ipFamilies[0]: Unsupported value: \"IPv5\": supported values: \"IPv4\", \"IPv6\""},
    {V4, NULL, "{'ipFamilies':['IPv4','IPv4']}", "spec.ipFamilies[1]: Duplicate value: \"IPv4\""},
    {V4, NULL, "{'ipFamilyPolicy':'Both'}",
     "spec.ipFamilyPolicy: Unsupported value: \"Both\": supported values: \"PreferDualStack\", "
     "\"RequireDualStack\", \"SingleStack\""},
    {V4, NULL, "{'clusterIP':'fd00::5'}",
     "spec.clusterIPs[0]: Invalid value: [\"fd00::5\"]: IPv6 is not configured on this cluster"},
    {V4, NULL, "{'clusterIP':'10.0.0.5'}", "SingleStack IPv4 10.0.0.5"},
    {V4, NULL, "{'clusterIPs':['10.0.0.5']}",
     "spec.clusterIPs: Invalid value: [\"10.0.0.5\"]: must be empty when `clusterIP` is not "
     "specified"},
    {V4, NULL, "{'clusterIP':'x'}",
     "spec.clusterIPs[0]: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or "
     "2001:db8::ffff)"},
    {V4 "," V6, NULL, "{'clusterIP':'10.0.0.5','clusterIPs':['10.0.0.5','fd00::5']}",
     "spec.ipFamilyPolicy: Invalid value: \"SingleStack\": must be 'RequireDualStack' or "
     "'PreferDualStack' when multiple cluster IPs are specified"},
    {V4, NULL, "{'clusterIP':'None','selector':{'a':'b'}}", "SingleStack IPv4 None"},
    {V4, NULL, "{'clusterIP':'None'}", "RequireDualStack IPv4,IPv6 None"},
    {V4, NULL, "{'clusterIP':'None','ipFamilyPolicy':'SingleStack'}", "SingleStack IPv4 None"},
    {V4, NULL, "{'type':'ExternalName','externalName':'x'}", "  "},
    /* changes */
    {V4, "{'clusterIP':'10.0.0.5'}", "{}", "SingleStack IPv4 10.0.0.5"},
    {V4, "{'clusterIP':'10.0.0.5'}", "{'type':'ExternalName','externalName':'x'}", "  "},
    {V4, "{'type':'ExternalName','externalName':'x'}", "{}", "SingleStack IPv4 "},
    {V4 "," V6, "{'clusterIP':'10.0.0.5'}", "{'ipFamilyPolicy':'PreferDualStack'}",
     "PreferDualStack IPv4,IPv6 10.0.0.5"},
    {V4 "," V6,
     "{'clusterIP':'10.0.0.5','clusterIPs':['10.0.0.5','fd00::5'],'ipFamilyPolicy':'"
     "PreferDualStack'}",
     "{'ipFamilyPolicy':'SingleStack'}", "SingleStack IPv4 10.0.0.5"},
    {V4 "," V6,
     "{'clusterIP':'10.0.0.5','clusterIPs':['10.0.0.5','fd00::5'],'ipFamilyPolicy':'"
     "PreferDualStack'}",
     "{'clusterIP':'10.0.0.5','clusterIPs':['10.0.0.5'],'ipFamilyPolicy':'RequireDualStack'}",
     "spec.ipFamilyPolicy: Invalid value: \"RequireDualStack\": must be 'SingleStack' to release "
     "the "
     "secondary cluster IP"},
    /* the cluster lost its second family: a service that preferred two keeps what it has */
    {V4,
     "{'clusterIP':'10.0.0.5','clusterIPs':['10.0.0.5','fd00::5'],'ipFamilies':['IPv4','IPv6'],"
     "'ipFamilyPolicy':'PreferDualStack'}",
     "{'clusterIP':'10.0.0.5','clusterIPs':['10.0.0.5','fd00::5'],'ipFamilies':['IPv4','IPv6'],"
     "'ipFamilyPolicy':'PreferDualStack'}",
     "PreferDualStack IPv4,IPv6 10.0.0.5,fd00::5"},
};

static Core__V1__Service *parse(struct arena *a, const char *spec)
{
    char *json = arena_printf(a, "{'spec':%s}", spec);
    void *object;
    struct error err;
    for (char *p = json; *p; p++)
        if (*p == '\'')
            *p = '"';
    int rc =
        json_decode(a, schema_get(Core__V1__Service__SCHEMA), str_from(json), NULL, &object, &err);
    assert_int_equal(rc, 0);
    return object;
}

static const char *joined(struct arena *a, char **items, size_t n)
{
    const char *text = "";
    for (size_t i = 0; i < n; i++)
        text = arena_printf(a, "%s%s%s", text, i ? "," : "", items[i]);
    return text;
}

static const char *outcome(struct arena *a, const struct service_net *net, Core__V1__Service *s,
                           const Core__V1__Service *old)
{
    struct field_errors e = {.arena = a};
    service_patch(a, s, old);
    defaults_apply(a, s);
    service_init_families(net, s, old, &e);
    if (e.len)
        return arena_printf(a, "%s: %s", e.items[0].field, e.items[0].detail);
    const Core__V1__ServiceSpec *p = s->spec;
    return arena_printf(a, "%s %s %s", p->ip_family_policy ? p->ip_family_policy : "",
                        joined(a, p->ip_families, p->n_ip_families),
                        joined(a, p->cluster_ips, p->n_cluster_ips));
}

static void families_follow_the_rules(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        struct arena a;
        struct service_net net;
        arena_init(&a);
        assert_int_equal(service_net_parse(families[i].net, 1, 2, &net, NULL), 0);
        Core__V1__Service *old = families[i].old ? parse(&a, families[i].old) : NULL;
        struct service_net both;
        service_net_parse(V4 "," V6, 1, 2, &both, NULL);
        if (old)
            outcome(&a, &both, old, NULL);
        assert_string_equal(outcome(&a, &net, parse(&a, families[i].spec), old), families[i].want);
        arena_free(&a);
    }
}

static void unused_fields_go_with_their_type(void **state)
{
    (void)state;
    struct arena a;
    arena_init(&a);
    Core__V1__Service *old = parse(
        &a, "{'type':'LoadBalancer','externalTrafficPolicy':'Local','healthCheckNodePort':31000,"
            "'allocateLoadBalancerNodePorts':true,'loadBalancerClass':'x/y','clusterIP':'10.0.0.5',"
            "'clusterIPs':['10.0.0.5'],'ports':[{'name':'a','port':1,'nodePort':30001},"
            "{'name':'b','port':2,'nodePort':30002}]}");
    /* left out by the client, kept for the same type, by port name */
    Core__V1__Service *s =
        parse(&a, "{'type':'LoadBalancer','externalTrafficPolicy':'Local','ports':["
                  "{'name':'b','port':1},{'name':'c','port':3}]}");
    service_patch(&a, s, old);
    assert_int_equal(s->spec->ports[0]->node_port, 30002);
    assert_int_equal(s->spec->ports[1]->node_port, 0);
    assert_int_equal(s->spec->health_check_node_port, 31000);
    assert_string_equal(s->spec->cluster_ip, "10.0.0.5");
    /* a number given to another port is not given twice */
    s = parse(&a, "{'type':'NodePort','ports':[{'name':'a','port':1},{'name':'z','port':3,"
                  "'nodePort':30001}]}");
    service_patch(&a, s, old);
    assert_int_equal(s->spec->ports[0]->node_port, 0);
    /* to ClusterIP: what only a load balancer has goes */
    s = object_clone(&a, old);
    s->spec->type = (char *)"ClusterIP";
    service_patch(&a, s, old);
    assert_int_equal(s->spec->ports[0]->node_port | s->spec->ports[1]->node_port, 0);
    assert_int_equal(s->spec->health_check_node_port, 0);
    assert_string_equal(s->spec->external_traffic_policy, "");
    assert_null(s->spec->load_balancer_class);
    assert_false(s->spec->has_allocate_load_balancer_node_ports);
    assert_string_equal(s->spec->cluster_ip, "10.0.0.5");
    /* what the client changed meanwhile stays, for validation to refuse */
    s = object_clone(&a, old);
    s->spec->type = (char *)"ClusterIP";
    s->spec->ports[0]->node_port = 30009;
    service_patch(&a, s, old);
    assert_int_equal(s->spec->ports[0]->node_port, 30009);
    arena_free(&a);
}

/* ---- proxied names ---- */

static void proxied_names_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *id, *scheme, *name, *port;
        bool good;
    } rows[] = {{"web", "", "web", "", true},
                {"web:80", "", "web", "80", true},
                {"https:web:", "https", "web", "", true},
                {"https:web:443", "https", "web", "443", true},
                {"https:web", "", "https", "web", true},
                {"ftp:web:21", "ftp", "web", "21", false},
                {":80", "", "", "80", false},
                {"", "", "", "", false}};
    struct arena a;
    const char *scheme, *name, *port;
    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_int_equal(proxy_name_split(&a, rows[i].id, &scheme, &name, &port), rows[i].good);
        assert_string_equal(scheme, rows[i].scheme);
        assert_string_equal(name, rows[i].name);
        assert_string_equal(port, rows[i].port);
    }
    assert_false(proxy_name_split(&a, "a:b:c:d", &scheme, &name, &port));
    arena_free(&a);
    static const char *const refused[] = {
        "127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1",       "::1", "fe80::1", "ff02::1",
        "::",        "",        "10.0.0.x",    "::ffff:127.0.0.1"};
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        assert_false(proxy_address_allowed(refused[i]));
    assert_true(proxy_address_allowed("10.0.0.1"));
    assert_true(proxy_address_allowed("fd00::1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_are_checked),
        cmocka_unit_test(addresses_of_ranges),
        cmocka_unit_test(candidates_cover_the_range),
        cmocka_unit_test(ports_cover_the_range),
        cmocka_unit_test(families_follow_the_rules),
        cmocka_unit_test(unused_fields_go_with_their_type),
        cmocka_unit_test(proxied_names_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
