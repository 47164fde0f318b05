/*
 * The network of a local cluster, by `ip -batch` and `nft -f`: one process each, however many
 * hosts.
 */
#include "base/mem.h"
#include "cli/cluster/cluster.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define HOSTS_FILE "/etc/hosts"
#define FORWARD_FILE "/proc/sys/net/ipv4/ip_forward"

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static bool interface_exists(const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/sys/class/net/%s", name);
    return exists(path);
}

static int ip_batch(const struct buf *commands, struct error *err)
{
    static const char *const argv[] = {"ip", "-batch", "-", NULL};
    return commands->len ? command_run(argv, buf_str(commands), NULL, err) : 0;
}

/* --- bridge, namespaces, cables --- */

static void add_bridge(const struct cluster *c, struct buf *ip)
{
    buf_printf(ip, "link add %s type bridge\n", c->bridge);
    buf_printf(ip, "addr add %s/24 dev %s\n", c->gateway, c->bridge);
    buf_printf(ip, "link set %s up\n", c->bridge);
}

static void add_host(const struct cluster *c, const struct host *h, struct buf *ip)
{
    buf_printf(ip, "netns add %s\n", h->netns_name);
    buf_printf(ip, "link add %s type veth peer name eth0 netns %s\n", h->veth, h->netns_name);
    buf_printf(ip, "link set %s master %s up\n", h->veth, c->bridge);
}

static void configure_host(const struct cluster *c, const struct host *h, struct buf *ip)
{
    buf_printf(ip, "link set lo up\n");
    buf_printf(ip, "addr add %s/24 dev eth0\n", h->address);
    buf_printf(ip, "link set eth0 up\n");
    buf_printf(ip, "route add default via %s\n", c->gateway);
}

static int up_host(const struct cluster *c, const struct host *h, struct error *err)
{
    struct buf outside = {0}, inside = {0};
    int rc = 0;
    if (!exists(h->netns)) {
        add_host(c, h, &outside);
        configure_host(c, h, &inside);
        const char *argv[] = {"ip", "-netns", h->netns_name, "-batch", "-", NULL};
        rc = ip_batch(&outside, err);
        if (rc == 0)
            rc = command_run(argv, buf_str(&inside), NULL, err);
        if (rc < 0)
            error_wrap(err, "network of %s", h->name);
    }
    buf_free(&outside);
    buf_free(&inside);
    return rc;
}

/* --- the machine: forwarding and masquerading --- */

static int write_text(const char *path, const char *text, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    int rc = 0;
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        rc = error_errno(err, ERR_IO, errno, "write %s", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Hosts and their pods reach the world as the machine; what stays among them is left alone. */
static int masquerade(const struct cluster *c, struct error *err)
{
    static const char *const argv[] = {"nft", "-f", "-", NULL};
    struct buf rules = {0};
    buf_printf(&rules, "table ip c8s_up_%d\ndelete table ip c8s_up_%d\n", c->slot, c->slot);
    buf_printf(&rules,
               "table ip c8s_up_%d {\n"
               "  chain postrouting {\n"
               "    type nat hook postrouting priority 100;\n"
               "    ip saddr { %s, %s } oifname != \"%s\" masquerade\n"
               "  }\n"
               "}\n",
               c->slot, c->host_cidr, c->pod_cidr, c->bridge);
    int rc = command_run(argv, buf_str(&rules), NULL, err);
    buf_free(&rules);
    return rc;
}

/* --- /etc/hosts: a line per member, each marked as ours --- */

static char *hosts_mark(const struct cluster *c)
{
    return mem_printf("# c8s cluster %s", c->name);
}

static int read_whole(const char *path, struct buf *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(err, ERR_IO, errno, "read %s", path);
    ssize_t n;
    char chunk[4096];
    while ((n = read(fd, chunk, sizeof chunk)) > 0)
        buf_append(out, chunk, (size_t)n);
    int rc = n < 0 ? error_errno(err, ERR_IO, errno, "read %s", path) : 0;
    close(fd);
    return rc;
}

/* In place, not by rename: in a container /etc/hosts is a mount. */
static int rewrite(const char *path, const struct buf *text, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    int rc = 0;
    if (fd < 0 || write(fd, text->data, text->len) != (ssize_t)text->len ||
        ftruncate(fd, (off_t)text->len) < 0)
        rc = error_errno(err, ERR_IO, errno, "write %s", path);
    if (fd >= 0)
        close(fd);
    return rc;
}

/* Replace this cluster's lines with one per member, or with none. */
static int update_hosts_file(const struct cluster *c, bool present, struct error *err)
{
    struct buf before = {0}, after = {0};
    char *mark = hosts_mark(c);
    int rc = read_whole(HOSTS_FILE, &before, err);
    struct str rest = buf_str(&before), line;
    while (rc == 0 && rest.n && str_split(&rest, '\n', &line)) {
        if (str_has_suffix(line, str_from(mark)))
            continue;
        buf_append_str(&after, line);
        buf_append_char(&after, '\n');
    }
    for (size_t i = 0; present && i < c->hosts_len; i++)
        if (c->hosts[i].is_member)
            buf_printf(&after, "%s %s %s\n", c->hosts[i].address, c->api_name, mark);
    if (rc == 0 && !str_eq(buf_str(&before), buf_str(&after)))
        rc = rewrite(HOSTS_FILE, &after, err);
    mem_free(mark);
    buf_free(&before);
    buf_free(&after);
    return rc;
}

/* --- up --- */

int cluster_network_up(struct cluster *c, struct error *err)
{
    struct buf ip = {0};
    int rc = 0;
    if (!interface_exists(c->bridge)) {
        add_bridge(c, &ip);
        rc = ip_batch(&ip, err);
    }
    buf_free(&ip);
    for (size_t i = 0; rc == 0 && i < c->hosts_len; i++)
        rc = up_host(c, &c->hosts[i], err);
    if (rc == 0)
        rc = write_text(FORWARD_FILE, "1", err);
    if (rc == 0)
        rc = masquerade(c, err);
    if (rc == 0)
        rc = update_hosts_file(c, true, err);
    return rc;
}

int cluster_route_pods(const struct cluster *c, const struct host *node, const char *cidr,
                       struct error *err)
{
    const char *argv[] = {"ip",          "route", "replace", cidr, "via",
                          node->address, "dev",   c->bridge, NULL};
    return command_run(argv, STR_NONE, NULL, err);
}

int cluster_route_services(const struct cluster *c, struct error *err)
{
    struct buf ip = {0};
    size_t nodes = 0;
    buf_printf(&ip, "route replace %s", c->service_cidr);
    for (size_t i = 0; i < c->hosts_len; i++) {
        if (c->hosts[i].is_member)
            continue;
        buf_printf(&ip, " nexthop via %s dev %s", c->hosts[i].address, c->bridge);
        nodes++;
    }
    buf_append_char(&ip, '\n');
    int rc = nodes ? ip_batch(&ip, err) : 0;
    buf_free(&ip);
    return rc;
}

/* --- down --- */

static void keep_first(int *rc, struct error *err, int step_rc, const struct error *step_err)
{
    if (step_rc < 0 && *rc == 0) {
        *rc = step_rc;
        if (err)
            *err = *step_err;
    }
}

static bool other_clusters_run(const struct cluster *c)
{
    for (int slot = 0; slot < CLUSTER_SLOTS; slot++) {
        char bridge[16];
        snprintf(bridge, sizeof bridge, "c8sbr%d", slot);
        if (slot != c->slot && interface_exists(bridge))
            return true;
    }
    return false;
}

int cluster_network_down(const struct cluster *c, struct error *err)
{
    struct buf ip = {0}, nft = {0};
    struct error step = {0};
    int rc = 0;
    for (size_t i = 0; i < c->hosts_len; i++) {
        /* The cable first: a namespace is only freed when nothing refers to it any more. */
        if (interface_exists(c->hosts[i].veth))
            buf_printf(&ip, "link del %s\n", c->hosts[i].veth);
        if (exists(c->hosts[i].netns))
            buf_printf(&ip, "netns del %s\n", c->hosts[i].netns_name);
    }
    if (interface_exists(c->bridge)) /* its routes go with it */
        buf_printf(&ip, "link del %s\n", c->bridge);
    static const char *const ip_argv[] = {"ip", "-force", "-batch", "-", NULL};
    if (ip.len)
        keep_first(&rc, err, command_run(ip_argv, buf_str(&ip), NULL, &step), &step);
    static const char *const nft_argv[] = {"nft", "-f", "-", NULL};
    buf_printf(&nft, "table ip c8s_up_%d\ndelete table ip c8s_up_%d\n", c->slot, c->slot);
    keep_first(&rc, err, command_run(nft_argv, buf_str(&nft), NULL, &step), &step);
    if (cstr_eq(c->forward_before, "0") && !other_clusters_run(c))
        keep_first(&rc, err, write_text(FORWARD_FILE, "0", &step), &step);
    keep_first(&rc, err, update_hosts_file(c, false, &step), &step);
    buf_free(&ip);
    buf_free(&nft);
    return rc;
}
