/*
 * NodePorts: two pods with the same host port, protocol and overlapping address do not fit on one
 * node.
 */
#include "scheduler/plugins/registry.h"

#include <string.h>

static enum verdict pre_filter(struct cycle *c, unsigned self, struct reasons *why)
{
    (void)self;
    (void)why;
    return c->facts->ports_len ? VERDICT_SUCCESS : VERDICT_SKIP;
}

static bool is_any(const char *ip)
{
    return strcmp(ip, "0.0.0.0") == 0;
}

static bool clash(const struct host_port *a, const struct host_port *b)
{
    return a->port == b->port && strcmp(a->protocol, b->protocol) == 0 &&
           (is_any(a->ip) || is_any(b->ip) || strcmp(a->ip, b->ip) == 0);
}

static bool pods_clash(const struct pod_facts *a, const struct pod_facts *b)
{
    for (size_t i = 0; i < a->ports_len; i++)
        for (size_t j = 0; j < b->ports_len; j++)
            if (clash(&a->ports[i], &b->ports[j]))
                return true;
    return false;
}

static enum verdict filter(struct cycle *c, unsigned self, const struct node_info *n,
                           struct reasons *why)
{
    (void)self;
    for (size_t i = 0; i < n->pods.len; i++)
        if (pods_clash(c->facts, n->pods.items[i]))
            return reject(why, VERDICT_UNSCHEDULABLE,
                          "node(s) didn't have free ports for the requested pod ports");
    return VERDICT_SUCCESS;
}

const struct plugin plugin_node_ports = {.name = "NodePorts",
                                         .events = EVENT_NODE_ADDED | EVENT_POD_REMOVED,
                                         .pre_filter = pre_filter,
                                         .filter = filter};
