/*
 * What the runtime is told: sandbox and container configurations from a pod's spec.
 */
#ifndef C8S_NODE_CONTAINER_CONFIG_H
#define C8S_NODE_CONTAINER_CONFIG_H

#include "node/agent.h"
#include "node/pod_spec.h"

/* DNS settings of a pod by its dnsPolicy and dnsConfig. `resolv_conf` is the content of the host's
 * file. */
struct pod_dns {
    const char **servers, **searches, **options;
    size_t servers_len, searches_len, options_len;
};
void pod_dns(const Core__V1__Pod *pod, const struct flag_list *cluster_dns,
             const char *cluster_domain, struct str resolv_conf, struct arena *a,
             struct pod_dns *out);

/* The pod's hostname: spec.hostname, else its name cut to what a host name may be. */
const char *pod_hostname(const Core__V1__Pod *pod, const char *node_name, struct arena *a);

/* Content of /etc/hosts of a pod with a network of its own. */
char *pod_hosts_file(const Core__V1__Pod *pod, const char *ip, const char *hostname,
                     const char *cluster_domain, struct arena *a);

/* All of it lives in the arena. */
CriPodSandboxConfig *sandbox_config(const struct agent *g, const Core__V1__Pod *pod,
                                    uint32_t attempt, struct arena *a);

/* One more container of `c`: env, mounts (volumes must be prepared), security, limits. Makes its
 * termination log and /etc/hosts on the host. `image_uid`: the image's default user when it is a
 * number, else -1; a user name that is not a number in `image_user`. Errors are kubelet's
 * CreateContainerConfigError. */
struct container_order {
    const Core__V1__Container *container;
    int restart_count;
    const char *image_ref; /* what the runtime calls the image */
    int64_t image_uid;
    const char *image_user;
    const char *target_id; /* share the processes of this container; NULL: of none */
};
/* Whether a container's termination log is the file that was made for it here: where a volume is mounted at
 * that path, it is the volume's, which may be any place of the host. */
bool message_file_is_own(const struct agent *g, const char *uid, const char *path);

int container_config(struct agent *g, const struct pod_context *x,
                     const struct container_order *order, struct arena *a, CriContainerConfig **out,
                     struct error *err);

#endif
