/*
 * Text of the service proxy's nftables rules (see rules.h).
 */
#include "node/proxy/rules.h"
#include "base/mem.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>

#define MASQUERADE_MARK "0x4000" /* kube-proxy's bit, so that other rules can know it */
#define NAME_MAX_LEN 253

void ruleset_init(struct ruleset *r)
{
    map_init(&r->chains);
    map_init(&r->elements);
}

static void map_free_values(struct map *m)
{
    struct map_iter it = {0};

    while (map_next(m, &it))
        mem_free(it.value);
    map_free(m);
}

void ruleset_free(struct ruleset *r)
{
    map_free_values(&r->chains);
    map_free_values(&r->elements);
}

/* ------------------------------------------------------------------------------- building --- */

/* What Kubernetes allows in names, and nothing that means something to nftables. */
static bool name_ok(const char *s)
{
    size_t n = strlen(s);

    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)s[i]) && s[i] != '-' && s[i] != '.')
            return false;
    }
    return n <= NAME_MAX_LEN;
}

static bool address_ok(const char *s)
{
    struct in_addr a;

    return inet_pton(AF_INET, s, &a) == 1;
}

static const char *protocol_name(const char *protocol)
{
    static const char *const names[][2] = {{"TCP", "tcp"}, {"UDP", "udp"}, {"SCTP", "sctp"}};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcmp(protocol, names[i][0]) == 0)
            return names[i][1];
    }
    return NULL;
}

static bool port_ok(const struct proxy_port *p)
{
    if (!name_ok(p->ns) || !name_ok(p->service) || !name_ok(p->port_name) || !p->port ||
        !protocol_name(p->protocol) || !address_ok(p->cluster_ip))
        return false;
    for (size_t i = 0; i < p->external_ips_len; i++) {
        if (!address_ok(p->external_ips[i]))
            return false;
    }
    for (size_t i = 0; i < p->endpoints_len; i++) {
        if (!address_ok(p->endpoints[i].ip) || !p->endpoints[i].port)
            return false;
    }
    return true;
}

static void element_add(struct ruleset *r, const char *verdict, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void element_add(struct ruleset *r, const char *verdict, const char *format, ...)
{
    char key[128];
    va_list args;
    int n;

    va_start(args, format);
    n = vsnprintf(key, sizeof key, format, args);
    va_end(args);
    mem_free(map_put(&r->elements, str_make(key, (size_t)n),
                     verdict ? mem_printf(" : %s", verdict) : mem_strdup("")));
}

/* The rule that picks an endpoint. Where a client is to stay with one, the choice is a hash of its
 * address instead of a random number: it holds as long as the endpoints do, without any state. */
static void choice_rule(struct buf *out, const struct proxy_port *p, bool local_only)
{
    size_t n = 0, i = 0;

    for (size_t k = 0; k < p->endpoints_len; k++)
        n += !local_only || p->endpoints[k].local;
    buf_printf(out, "meta l4proto %s dnat ip to %s mod %zu map {", protocol_name(p->protocol),
               p->client_affinity ? "jhash ip saddr" : "numgen random", n);
    for (size_t k = 0; k < p->endpoints_len; k++) {
        if (local_only && !p->endpoints[k].local)
            continue;
        buf_printf(out, "%s %zu : %s . %u", i ? "," : "", i, p->endpoints[k].ip,
                   p->endpoints[k].port);
        i++;
    }
    buf_append_cstr(out, " }\n");
}

static char *chain_name(const char *kind, const struct proxy_port *p)
{
    return mem_printf("%s/%s/%s/%s", kind, p->ns, p->service,
                      p->port_name[0] ? p->port_name : protocol_name(p->protocol));
}

static void chain_put(struct ruleset *r, const char *name, struct buf *body)
{
    buf_append_char(body, 0);
    mem_free(map_put(&r->chains, str_from(name), buf_take(body, NULL)));
}

static void service_chain(struct ruleset *r, const char *name, const struct proxy_port *p,
                          const char *cluster_cidr)
{
    struct buf body;

    buf_init(&body);
    if (cluster_cidr[0])
        buf_printf(&body,
                   "ip daddr %s ip saddr != %s meta mark set meta mark or " MASQUERADE_MARK "\n",
                   p->cluster_ip, cluster_cidr);
    choice_rule(&body, p, false);
    chain_put(r, name, &body);
}

static void external_chain(struct ruleset *r, const char *name, const char *service,
                           const char *local, size_t local_len, const struct proxy_port *p,
                           const char *cluster_cidr)
{
    struct buf body;

    buf_init(&body);
    if (!p->external_local) {
        buf_printf(&body, "meta mark set meta mark or " MASQUERADE_MARK "\ngoto %s\n", service);
    } else {
        /* Pods and this host are inside: any endpoint does for them. */
        if (cluster_cidr[0])
            buf_printf(&body, "ip saddr %s goto %s\n", cluster_cidr, service);
        buf_printf(&body, "fib saddr type local meta mark set meta mark or " MASQUERADE_MARK "\n");
        buf_printf(&body, "fib saddr type local goto %s\n", service);
        if (local_len)
            buf_printf(&body, "goto %s\n", local);
        else
            buf_append_cstr(&body, "drop\n");
    }
    chain_put(r, name, &body);
}

/* Nobody can answer: connections are refused at once instead of timing out. */
static void add_rejects(struct ruleset *r, const struct proxy_port *p)
{
    const char *proto = protocol_name(p->protocol);

    element_add(r, "goto reject-all", "no-endpoints { %s . %s . %u", p->cluster_ip, proto, p->port);
    for (size_t i = 0; i < p->external_ips_len; i++)
        element_add(r, "goto reject-all", "no-endpoints { %s . %s . %u", p->external_ips[i], proto,
                    p->port);
    if (p->node_port)
        element_add(r, "goto reject-all", "no-endpoint-ports { %s . %u", proto, p->node_port);
}

bool ruleset_add(struct ruleset *r, const struct proxy_port *p, const char *cluster_cidr)
{
    const char *proto = protocol_name(p->protocol);
    char *service, *external, *local, *verdict;
    size_t local_len = 0;

    if (!port_ok(p))
        return false;
    if (p->endpoints_len == 0) {
        add_rejects(r, p);
        return true;
    }
    for (size_t i = 0; i < p->endpoints_len; i++) {
        if (!p->endpoints[i].local)
            continue;
        local_len++;
        element_add(r, NULL, "hairpin { %s . %s", p->endpoints[i].ip, p->endpoints[i].ip);
    }
    service = chain_name("svc", p);
    external = chain_name("ext", p);
    local = chain_name("lcl", p);
    service_chain(r, service, p, cluster_cidr);
    if (local_len && (p->internal_local || p->external_local)) {
        struct buf body;
        buf_init(&body);
        choice_rule(&body, p, true);
        chain_put(r, local, &body);
    }
    if (p->internal_local && !local_len)
        element_add(r, "drop", "no-endpoints { %s . %s . %u", p->cluster_ip, proto, p->port);
    verdict = mem_printf("goto %s", p->internal_local && local_len ? local : service);
    if (!p->internal_local || local_len)
        element_add(r, verdict, "service-ips { %s . %s . %u", p->cluster_ip, proto, p->port);
    mem_free(verdict);
    if (p->node_port || p->external_ips_len) {
        external_chain(r, external, service, local, local_len, p, cluster_cidr);
        verdict = mem_printf("goto %s", external);
        for (size_t i = 0; i < p->external_ips_len; i++)
            element_add(r, verdict, "service-ips { %s . %s . %u", p->external_ips[i], proto,
                        p->port);
        if (p->node_port)
            element_add(r, verdict, "service-ports { %s . %u", proto, p->node_port);
        mem_free(verdict);
    }
    mem_free(service);
    mem_free(external);
    mem_free(local);
    return true;
}

/* -------------------------------------------------------------------------- transactions --- */

static const char base_table[] =
    "add table ip " PROXY_TABLE "\n"
    "delete table ip " PROXY_TABLE "\n"
    "table ip " PROXY_TABLE " {\n"
    "  map service-ips { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
    "  map service-ports { type inet_proto . inet_service : verdict; }\n"
    "  map no-endpoints { type ipv4_addr . inet_proto . inet_service : verdict; }\n"
    "  map no-endpoint-ports { type inet_proto . inet_service : verdict; }\n"
    "  set hairpin { type ipv4_addr . ipv4_addr; }\n"
    "  chain reject-all {\n"
    "    meta l4proto tcp reject with tcp reset\n"
    "    reject\n"
    "  }\n"
    "  chain services {\n"
    "    ip daddr . meta l4proto . th dport vmap @service-ips\n"
    "    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-ports\n"
    "  }\n"
    "  chain unserved {\n"
    "    ip daddr . meta l4proto . th dport vmap @no-endpoints\n"
    "    fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap "
    "@no-endpoint-ports\n"
    "  }\n"
    "  chain filter-prerouting {\n"
    "    type filter hook prerouting priority dstnat - 10; policy accept;\n"
    "    ct state new jump unserved\n"
    "  }\n"
    "  chain filter-output {\n"
    "    type filter hook output priority -110; policy accept;\n"
    "    ct state new jump unserved\n"
    "  }\n"
    "  chain prerouting {\n"
    "    type nat hook prerouting priority dstnat; policy accept;\n"
    "    jump services\n"
    "  }\n"
    "  chain output {\n"
    "    type nat hook output priority -100; policy accept;\n"
    "    jump services\n"
    "  }\n"
    "  chain postrouting {\n"
    "    type nat hook postrouting priority srcnat; policy accept;\n"
    "    ip saddr . ip daddr @hairpin masquerade fully-random\n"
    "    meta mark & " MASQUERADE_MARK " == 0 return\n"
    "    meta mark set meta mark xor " MASQUERADE_MARK "\n"
    "    masquerade fully-random\n"
    "  }\n"
    "}\n";

static const char *text_of(const struct map *m, struct str key)
{
    return map_get(m, key);
}

static void add_rules(struct buf *out, struct str chain, const char *body)
{
    struct str rest = str_from(body), line;

    while (str_split(&rest, '\n', &line)) {
        if (line.n)
            buf_printf(out, "add rule ip " PROXY_TABLE " %.*s %.*s\n", STR_ARG(chain),
                       STR_ARG(line));
    }
}

/* Chains first, rules next (they may go to any chain), elements last: each step refers only to
 * what is there. Removal goes the other way round. */
void ruleset_diff(const struct ruleset *old, const struct ruleset *now, struct buf *out)
{
    struct map_iter it = {0};

    while (map_next(&old->elements, &it)) {
        const char *value = text_of(&now->elements, it.key);
        if (!value || strcmp(value, it.value) != 0)
            buf_printf(out, "delete element ip " PROXY_TABLE " %.*s }\n", STR_ARG(it.key));
    }
    for (it = (struct map_iter){0}; map_next(&now->chains, &it);) {
        const char *before = text_of(&old->chains, it.key);
        if (!before)
            buf_printf(out, "add chain ip " PROXY_TABLE " %.*s\n", STR_ARG(it.key));
        else if (strcmp(before, it.value) != 0)
            buf_printf(out, "flush chain ip " PROXY_TABLE " %.*s\n", STR_ARG(it.key));
    }
    for (it = (struct map_iter){0}; map_next(&now->chains, &it);) {
        const char *before = text_of(&old->chains, it.key);
        if (!before || strcmp(before, it.value) != 0)
            add_rules(out, it.key, it.value);
    }
    for (it = (struct map_iter){0}; map_next(&now->elements, &it);) {
        const char *before = text_of(&old->elements, it.key);
        if (!before || strcmp(before, it.value) != 0)
            buf_printf(out, "add element ip " PROXY_TABLE " %.*s%s }\n", STR_ARG(it.key),
                       (const char *)it.value);
    }
    for (it = (struct map_iter){0}; map_next(&old->chains, &it);) {
        if (!map_has(&now->chains, it.key))
            buf_printf(out, "flush chain ip " PROXY_TABLE " %.*s\n", STR_ARG(it.key));
    }
    for (it = (struct map_iter){0}; map_next(&old->chains, &it);) {
        if (!map_has(&now->chains, it.key))
            buf_printf(out, "delete chain ip " PROXY_TABLE " %.*s\n", STR_ARG(it.key));
    }
}

void ruleset_full(const struct ruleset *r, struct buf *out)
{
    struct ruleset none;

    ruleset_init(&none);
    buf_append_cstr(out, base_table);
    ruleset_diff(&none, r, out);
    ruleset_free(&none);
}
