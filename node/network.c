/*
 * The node's pod network (see network.h): CNI configuration, sysctls, rtnetlink routes, rules.
 */
#include "node/network.h"
#include "base/mem.h"
#include "base/vec.h"
#include "node/files.h"
#include <arpa/inet.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUTE_PROTOCOL 0xc8 /* marks the routes that are ours */

int cidr_parse(const char *text, struct cidr *out, struct error *err)
{
    struct str rest = str_from(text), host;
    char address[INET_ADDRSTRLEN];
    uint64_t prefix;

    if (!str_split(&rest, '/', &host) || host.n >= sizeof address || !str_to_u64(rest, &prefix) ||
        prefix > 32)
        return error_set(err, ERR_INVALID, "%s: not an IPv4 range (a.b.c.d/n)", text);
    memcpy(address, host.p, host.n);
    address[host.n] = 0;
    if (inet_pton(AF_INET, address, &out->address) != 1)
        return error_set(err, ERR_INVALID, "%s: not an IPv4 range (a.b.c.d/n)", text);
    out->prefix = (unsigned)prefix;
    if (prefix < 32 && (ntohl(out->address.s_addr) << prefix))
        return error_set(err, ERR_INVALID, "%s: bits are set behind the prefix", text);
    return 0;
}

bool cidr_contains(const struct cidr *c, struct in_addr a)
{
    uint32_t mask = c->prefix ? ~0u << (32 - c->prefix) : 0;

    return (ntohl(a.s_addr) & mask) == ntohl(c->address.s_addr);
}

int network_write_cni(const char *conf_dir, const char *ipam_dir, const char *pod_cidr,
                      struct error *err)
{
    struct cidr range;
    struct buf text;
    char *path;
    int rc = cidr_parse(pod_cidr, &range, err);

    if (rc < 0)
        return error_wrap(err, "pod CIDR");
    buf_init(&text);
    buf_printf(
        &text,
        "{\n  \"cniVersion\": \"0.4.0\",\n  \"name\": \"c8s\",\n  \"plugins\": [\n    {\n"
        "      \"type\": \"bridge\",\n      \"bridge\": \"" NETWORK_BRIDGE "\",\n"
        "      \"isGateway\": true,\n      \"hairpinMode\": true,\n      \"ipMasq\": false,\n"
        "      \"ipam\": {\n        \"type\": \"host-local\",\n"
        "        \"ranges\": [[{\"subnet\": \"%s\"}]],\n"
        "        \"routes\": [{\"dst\": \"0.0.0.0/0\"}],\n        \"dataDir\": ",
        pod_cidr);
    buf_append_json_string(&text, str_from(ipam_dir));
    buf_append_cstr(&text, "\n      }\n    }\n  ]\n}\n");
    rc = file_make_dirs(conf_dir, 0755, err);
    path = mem_printf("%s/10-c8s.conflist", conf_dir);
    if (rc == 0)
        rc = file_replace(path, buf_str(&text), 0644, err);
    mem_free(path);
    buf_free(&text);
    return rc;
}

int network_set_sysctls(struct error *err)
{
    static const char *const on[] = {
        "/proc/sys/net/ipv4/ip_forward",
        "/proc/sys/net/bridge/bridge-nf-call-iptables",
    };

    for (size_t i = 0; i < ARRAY_LEN(on); i++) {
        FILE *f = fopen(on[i], "we");
        int bad = !f || fputs("1\n", f) < 0;

        if ((f && fclose(f) != 0) || bad)
            return error_errno(err, ERR_IO, errno, "set %s", on[i]);
    }
    return 0;
}

/* ------------------------------------------------------------------------------- rtnetlink --- */

struct route_request {
    struct nlmsghdr header;
    struct rtmsg message;
    char attributes[64];
};

static void attribute_add(struct route_request *q, unsigned short type, const void *data,
                          size_t len)
{
    struct rtattr *a = (struct rtattr *)((char *)q + NLMSG_ALIGN(q->header.nlmsg_len));

    a->rta_type = type;
    a->rta_len = (unsigned short)RTA_LENGTH(len);
    memcpy(RTA_DATA(a), data, len);
    q->header.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->header.nlmsg_len) + RTA_ALIGN(a->rta_len));
}

static struct route_request route_request(uint16_t type, uint16_t flags)
{
    return (struct route_request){
        .header = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                   .nlmsg_type = type,
                   .nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags)},
        .message = {.rtm_family = AF_INET,
                    .rtm_table = RT_TABLE_MAIN,
                    .rtm_protocol = ROUTE_PROTOCOL},
    };
}

/* Add or remove one route and wait for the kernel's verdict. */
static int route_change(int fd, const struct route *r, bool add, struct error *err)
{
    struct route_request q =
        route_request(add ? RTM_NEWROUTE : RTM_DELROUTE,
                      add ? NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE : NLM_F_ACK);
    char answer[1024], to[INET_ADDRSTRLEN], via[INET_ADDRSTRLEN];
    struct nlmsghdr *h = (struct nlmsghdr *)answer;
    const struct nlmsgerr *e;
    ssize_t n;

    inet_ntop(AF_INET, &r->to.address, to, sizeof to);
    inet_ntop(AF_INET, &r->via, via, sizeof via);
    q.message.rtm_dst_len = (unsigned char)r->to.prefix;
    q.message.rtm_scope = add ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE;
    q.message.rtm_type = add ? RTN_UNICAST : RTN_UNSPEC;
    attribute_add(&q, RTA_DST, &r->to.address, sizeof r->to.address);
    attribute_add(&q, RTA_GATEWAY, &r->via, sizeof r->via);
    if (send(fd, &q, q.header.nlmsg_len, 0) < 0 || (n = recv(fd, answer, sizeof answer, 0)) < 0)
        return error_errno(err, ERR_IO, errno, "route %s/%u via %s", to, r->to.prefix, via);
    e = NLMSG_DATA(h);
    if (!NLMSG_OK(h, (size_t)n) || h->nlmsg_type != NLMSG_ERROR ||
        h->nlmsg_len < NLMSG_LENGTH(sizeof *e))
        return error_set(err, ERR_IO, "route %s/%u via %s: unexpected answer", to, r->to.prefix,
                         via);
    if (e->error && !(e->error == -ESRCH && !add))
        return error_errno(err, ERR_IO, -e->error, "route %s/%u via %s", to, r->to.prefix, via);
    return 0;
}

/* Our route in one message of a dump; false for others' routes. */
static bool route_read(const struct nlmsghdr *h, struct route *out)
{
    const struct rtmsg *m = NLMSG_DATA(h);
    size_t len = RTM_PAYLOAD(h);
    bool to = false, via = false;

    if (h->nlmsg_type != RTM_NEWROUTE || m->rtm_protocol != ROUTE_PROTOCOL ||
        m->rtm_table != RT_TABLE_MAIN)
        return false;
    out->to.prefix = m->rtm_dst_len;
    for (const struct rtattr *a = RTM_RTA(m); RTA_OK(a, len); a = RTA_NEXT(a, len)) {
        if (RTA_PAYLOAD(a) < sizeof(struct in_addr))
            continue;
        if (a->rta_type == RTA_DST)
            to = memcpy(&out->to.address, RTA_DATA(a), sizeof(struct in_addr));
        else if (a->rta_type == RTA_GATEWAY)
            via = memcpy(&out->via, RTA_DATA(a), sizeof(struct in_addr));
    }
    return to && via;
}

typedef VEC(struct route) route_vec;

static int routes_dump(int fd, route_vec *out, struct error *err)
{
    struct route_request q = route_request(RTM_GETROUTE, NLM_F_DUMP);
    static const size_t size = 32768;
    char *answer = mem_alloc(size);
    bool done = false;
    int rc = 0;

    if (send(fd, &q, q.header.nlmsg_len, 0) < 0) {
        rc = error_errno(err, ERR_IO, errno, "list routes");
        done = true;
    }
    while (!done) {
        ssize_t got = recv(fd, answer, size, 0);
        size_t n = got < 0 ? 0 : (size_t)got;

        if (got < 0) {
            rc = error_errno(err, ERR_IO, errno, "list routes");
            break;
        }
        for (struct nlmsghdr *h = (struct nlmsghdr *)answer; NLMSG_OK(h, n); h = NLMSG_NEXT(h, n)) {
            struct route r;
            if (h->nlmsg_type == NLMSG_DONE)
                done = true;
            else if (h->nlmsg_type == NLMSG_ERROR) {
                rc = error_set(err, ERR_IO, "list routes: the kernel refused");
                done = true;
            } else if (route_read(h, &r))
                vec_push(out, r);
        }
    }
    mem_free(answer);
    return rc;
}

static bool route_in(const struct route *r, const struct route *all, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (all[i].to.address.s_addr == r->to.address.s_addr && all[i].to.prefix == r->to.prefix &&
            all[i].via.s_addr == r->via.s_addr)
            return true;
    }
    return false;
}

int network_sync_routes(const struct route *routes, size_t n, size_t *changed, struct error *err)
{
    route_vec have = {0};
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    int rc;

    *changed = 0;
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "open a route socket");
    rc = routes_dump(fd, &have, err);
    for (size_t i = 0; i < have.len && rc == 0; i++) {
        if (!route_in(&have.items[i], routes, n) && ++*changed)
            rc = route_change(fd, &have.items[i], false, err);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!route_in(&routes[i], have.items, have.len) && ++*changed)
            rc = route_change(fd, &routes[i], true, err);
    }
    vec_free(&have);
    close(fd);
    return rc;
}

int network_default_address(char out[INET_ADDRSTRLEN], struct error *err)
{
    /* Connecting a datagram socket sends nothing, but makes the kernel choose a source address. */
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)}, from;
    socklen_t len = sizeof from;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int rc = 0;

    inet_pton(AF_INET, "192.0.2.1", &to.sin_addr);
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0 ||
        getsockname(fd, (struct sockaddr *)&from, &len) < 0)
        rc = error_errno(err, ERR_NOT_FOUND, errno, "this host's default address (see --node-ip)");
    else
        inet_ntop(AF_INET, &from.sin_addr, out, INET_ADDRSTRLEN);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* ----------------------------------------------------------------------------------- rules --- */

static bool host_port_rule(struct buf *out, const struct host_port *p)
{
    const char *protocol = strcmp(p->protocol, "TCP") == 0    ? "tcp"
                           : strcmp(p->protocol, "UDP") == 0  ? "udp"
                           : strcmp(p->protocol, "SCTP") == 0 ? "sctp"
                                                              : NULL;
    bool any = !p->host_ip || !*p->host_ip || strcmp(p->host_ip, "0.0.0.0") == 0;
    struct in_addr a;

    if (!protocol || !p->host_port || !p->container_port || inet_pton(AF_INET, p->pod_ip, &a) != 1)
        return false;
    if (!any && inet_pton(AF_INET, p->host_ip, &a) != 1)
        return false;
    if (!any)
        buf_printf(out, "    ip daddr %s", p->host_ip);
    else
        buf_append_cstr(out, "    ip daddr != 127.0.0.0/8");
    buf_printf(out, " %s dport %u dnat ip to %s:%u\n", protocol, p->host_port, p->pod_ip,
               p->container_port);
    return true;
}

void network_pod_rules(const char *pod_cidr, const char *cluster_cidr,
                       const struct host_port *ports, size_t n, struct buf *out)
{
    buf_append_cstr(out, "add table ip c8s-pods\ndelete table ip c8s-pods\ntable ip c8s-pods {\n"
                         "  chain host-ports {\n");
    for (size_t i = 0; i < n; i++)
        host_port_rule(out, &ports[i]);
    /* Behind the services' chains (priority dstnat): a node port wins over a host port. */
    buf_append_cstr(out, "  }\n"
                         "  chain prerouting {\n"
                         "    type nat hook prerouting priority dstnat + 1; policy accept;\n"
                         "    fib daddr type local jump host-ports\n  }\n"
                         "  chain output {\n"
                         "    type nat hook output priority -99; policy accept;\n"
                         "    fib daddr type local jump host-ports\n  }\n"
                         "  chain postrouting {\n"
                         "    type nat hook postrouting priority srcnat + 1; policy accept;\n");
    buf_printf(out,
               "    ip saddr %s ip daddr != %s ip daddr != 224.0.0.0/4 masquerade fully-random\n",
               pod_cidr, cluster_cidr && *cluster_cidr ? cluster_cidr : pod_cidr);
    buf_append_cstr(out, "  }\n}\n");
}
