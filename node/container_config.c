/*
 * Sandbox and container configurations (see container_config.h).
 */
#include "node/container_config.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/files.h"
#include "node/runtime.h"
#include "node/volumes.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEARCHES_MAX 32
#define SERVERS_MAX 3
#define HOSTNAME_MAX 63

/* A list of strings that the generated messages want as char **. */
static void text_add(struct arena *a, char ***items, size_t *n, const char *s)
{
    *items = list_room(a, *items, *n, sizeof(char *));
    (*items)[(*n)++] = (char *)s;
}

/* ------------------------------------------------------------------------------------ DNS --- */

static void dns_add(struct arena *a, const char ***items, size_t *n, size_t max, const char *s)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp((*items)[i], s) == 0)
            return;
    }
    if (*n < max)
        text_add(a, (char ***)items, n, s);
}

static void dns_from_host(struct str text, struct arena *a, struct pod_dns *out, bool searches_only)
{
    size_t before = out->searches_len;
    struct str line;

    while (str_split(&text, '\n', &line)) {
        char *word, *save = NULL, *copy = arena_strndup(a, line.p ? line.p : "", line.n);
        const char *kind = strtok_r(copy, " \t\r", &save);

        if (!kind || *kind == '#' || *kind == ';')
            continue;
        if (strcmp(kind, "search") == 0)
            out->searches_len = before; /* the last such line counts */
        while ((word = strtok_r(NULL, " \t\r", &save)) != NULL) {
            if (strcmp(kind, "search") == 0)
                dns_add(a, &out->searches, &out->searches_len, SEARCHES_MAX, word);
            else if (strcmp(kind, "nameserver") == 0 && !searches_only)
                dns_add(a, &out->servers, &out->servers_len, SERVERS_MAX, word);
            else if (strcmp(kind, "options") == 0 && !searches_only)
                dns_add(a, &out->options, &out->options_len, SEARCHES_MAX, word);
        }
    }
}

/* A later option replaces one of the same name. `places`: name → 1 + index. */
static void dns_option(struct arena *a, struct pod_dns *out, struct map *places, const char *name,
                       const char *value)
{
    const char *text = value && *value ? arena_printf(a, "%s:%s", name, value) : name;
    uintptr_t place = (uintptr_t)map_get(places, str_from(name));

    if (place) {
        out->options[place - 1] = text;
        return;
    }
    text_add(a, (char ***)&out->options, &out->options_len, text);
    map_put(places, str_from(name), (void *)(uintptr_t)out->options_len);
}

static void dns_options(const Core__V1__PodDNSConfig *config, bool cluster, struct arena *a,
                        struct pod_dns *out)
{
    struct map places;

    map_init(&places);
    for (size_t i = 0; i < out->options_len; i++) {
        struct str rest = str_from(out->options[i]), name;
        str_split(&rest, ':', &name);
        map_put(&places, name, (void *)(uintptr_t)(i + 1));
    }
    if (cluster)
        dns_option(a, out, &places, "ndots", "5");
    for (size_t i = 0; config && i < config->n_options; i++)
        dns_option(a, out, &places, config->options[i]->name, config->options[i]->value);
    map_free(&places);
}

void pod_dns(const Core__V1__Pod *pod, const struct flag_list *cluster_dns,
             const char *cluster_domain, struct str resolv_conf, struct arena *a,
             struct pod_dns *out)
{
    const Core__V1__PodSpec *s = pod->spec;
    const char *policy = s->dns_policy && *s->dns_policy ? s->dns_policy : "ClusterFirst";
    bool cluster = strcmp(policy, "ClusterFirstWithHostNet") == 0 ||
                   (strcmp(policy, "ClusterFirst") == 0 && !s->host_network);

    *out = (struct pod_dns){0};
    if (cluster && cluster_dns->len) {
        for (size_t i = 0; i < cluster_dns->len; i++)
            dns_add(a, &out->servers, &out->servers_len, SERVERS_MAX, cluster_dns->items[i]);
        if (cluster_domain && *cluster_domain) {
            dns_add(a, &out->searches, &out->searches_len, SEARCHES_MAX,
                    arena_printf(a, "%s.svc.%s", pod->metadata->namespace_, cluster_domain));
            dns_add(a, &out->searches, &out->searches_len, SEARCHES_MAX,
                    arena_printf(a, "svc.%s", cluster_domain));
            dns_add(a, &out->searches, &out->searches_len, SEARCHES_MAX, cluster_domain);
        }
        dns_from_host(resolv_conf, a, out, true);
    } else if (strcmp(policy, "None") != 0) {
        dns_from_host(resolv_conf, a, out, false);
    }
    dns_options(s->dns_config, cluster && cluster_dns->len, a, out);
    if (!s->dns_config)
        return;
    for (size_t i = 0; i < s->dns_config->n_nameservers; i++)
        dns_add(a, &out->servers, &out->servers_len, SERVERS_MAX, s->dns_config->nameservers[i]);
    for (size_t i = 0; i < s->dns_config->n_searches; i++)
        dns_add(a, &out->searches, &out->searches_len, SEARCHES_MAX, s->dns_config->searches[i]);
}

const char *pod_hostname(const Core__V1__Pod *pod, const char *node_name, struct arena *a)
{
    const char *name =
        pod->spec->hostname && *pod->spec->hostname ? pod->spec->hostname : pod->metadata->name;
    size_t n = MIN(strlen(name), HOSTNAME_MAX);

    if (pod->spec->host_network)
        return node_name;
    while (n && (name[n - 1] == '-' || name[n - 1] == '.'))
        n--;
    return arena_strndup(a, name, n);
}

char *pod_hosts_file(const Core__V1__Pod *pod, const char *ip, const char *hostname,
                     const char *cluster_domain, struct arena *a)
{
    const Core__V1__PodSpec *s = pod->spec;
    struct buf out;
    char *text;

    buf_init(&out);
    buf_append_cstr(&out, "# Kubernetes-managed hosts file.\n"
                          "127.0.0.1\tlocalhost\n"
                          "::1\tlocalhost ip6-localhost ip6-loopback\n"
                          "fe00::0\tip6-localnet\n"
                          "fe00::0\tip6-mcastprefix\n"
                          "fe00::1\tip6-allnodes\n"
                          "fe00::2\tip6-allrouters\n");
    if (s->subdomain && *s->subdomain)
        buf_printf(&out, "%s\t%s.%s.%s.svc.%s\t%s\n", ip, hostname, s->subdomain,
                   pod->metadata->namespace_, cluster_domain, hostname);
    else
        buf_printf(&out, "%s\t%s\n", ip, hostname);
    if (s->n_host_aliases)
        buf_append_cstr(&out, "\n# Entries added by HostAliases.\n");
    for (size_t i = 0; i < s->n_host_aliases; i++) {
        buf_append_cstr(&out, s->host_aliases[i]->ip);
        for (size_t k = 0; k < s->host_aliases[i]->n_hostnames; k++)
            buf_printf(&out, "\t%s", s->host_aliases[i]->hostnames[k]);
        buf_append_char(&out, '\n');
    }
    text = arena_strndup(a, out.data, out.len);
    buf_free(&out);
    return text;
}

/* -------------------------------------------------------------------------------- sandbox --- */

static Runtime__V1__NamespaceOption *namespaces(const Core__V1__Pod *pod, struct arena *a)
{
    Runtime__V1__NamespaceOption *o = arena_new(a, Runtime__V1__NamespaceOption);
    const Core__V1__PodSpec *s = pod->spec;

    runtime__v1__namespace_option__init(o);
    o->network =
        s->host_network ? RUNTIME__V1__NAMESPACE_MODE__NODE : RUNTIME__V1__NAMESPACE_MODE__POD;
    o->ipc = s->host_ipc ? RUNTIME__V1__NAMESPACE_MODE__NODE : RUNTIME__V1__NAMESPACE_MODE__POD;
    o->pid = s->host_pid                                  ? RUNTIME__V1__NAMESPACE_MODE__NODE
             : api_get(s, share_process_namespace, false) ? RUNTIME__V1__NAMESPACE_MODE__POD
                                                          : RUNTIME__V1__NAMESPACE_MODE__CONTAINER;
    return o;
}

static Runtime__V1__Int64Value *int64_value(struct arena *a, int64_t v)
{
    Runtime__V1__Int64Value *m = arena_new(a, Runtime__V1__Int64Value);

    runtime__v1__int64_value__init(m);
    m->value = v;
    return m;
}

static Runtime__V1__SecurityProfile *seccomp(struct arena *a, const Core__V1__SeccompProfile *own,
                                             const Core__V1__SeccompProfile *of_pod)
{
    const Core__V1__SeccompProfile *p = own ? own : of_pod;
    Runtime__V1__SecurityProfile *m = arena_new(a, Runtime__V1__SecurityProfile);

    runtime__v1__security_profile__init(m);
    m->profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
    if (p && cstr_eq(p->type, "RuntimeDefault")) {
        m->profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
    } else if (p && cstr_eq(p->type, "Localhost")) {
        m->profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
        m->localhost_ref = p->localhost_profile;
    }
    return m;
}

static Runtime__V1__DNSConfig *sandbox_dns(const struct agent *g, const Core__V1__Pod *pod,
                                           struct arena *a)
{
    Runtime__V1__DNSConfig *m = arena_new(a, Runtime__V1__DNSConfig);
    struct str text = STR_NONE;
    struct pod_dns dns;

    runtime__v1__dnsconfig__init(m);
    if (g->options.resolv_conf && *g->options.resolv_conf)
        file_read(g->options.resolv_conf, 65536, a, &text, NULL); /* absent: no servers */
    pod_dns(pod, &g->options.cluster_dns, g->options.cluster_domain, text, a, &dns);
    m->servers = (char **)dns.servers;
    m->n_servers = dns.servers_len;
    m->searches = (char **)dns.searches;
    m->n_searches = dns.searches_len;
    m->options = (char **)dns.options;
    m->n_options = dns.options_len;
    return m;
}

static bool any_privileged(const Core__V1__Pod *pod)
{
    for (size_t i = 0; i < pod->spec->n_containers; i++) {
        const Core__V1__SecurityContext *sc = pod->spec->containers[i]->security_context;
        if (sc && api_get(sc, privileged, false))
            return true;
    }
    return false;
}

static Runtime__V1__LinuxPodSandboxConfig *sandbox_linux(const struct agent *g,
                                                         const Core__V1__Pod *pod, struct arena *a)
{
    Runtime__V1__LinuxPodSandboxConfig *m = arena_new(a, Runtime__V1__LinuxPodSandboxConfig);
    Runtime__V1__LinuxSandboxSecurityContext *s =
        arena_new(a, Runtime__V1__LinuxSandboxSecurityContext);
    const Core__V1__PodSecurityContext *sc = pod->spec->security_context;

    runtime__v1__linux_pod_sandbox_config__init(m);
    runtime__v1__linux_sandbox_security_context__init(s);
    m->cgroup_parent = agent_cgroup_parent(g, a, pod);
    m->security_context = s;
    s->namespace_options = namespaces(pod, a);
    s->privileged = any_privileged(pod);
    s->seccomp = seccomp(a, NULL, NULL);
    s->seccomp->profile_type = RUNTIME__V1__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
    if (sc) {
        if (sc->has_run_as_user)
            s->run_as_user = int64_value(a, sc->run_as_user);
        if (sc->has_run_as_user && sc->has_run_as_group)
            s->run_as_group = int64_value(a, sc->run_as_group);
        for (size_t i = 0; i < sc->n_sysctls; i++)
            cri_add_value(a, &m->sysctls, &m->n_sysctls, sc->sysctls[i]->name,
                          sc->sysctls[i]->value);
    }
    return m;
}

CriPodSandboxConfig *sandbox_config(const struct agent *g, const Core__V1__Pod *pod,
                                    uint32_t attempt, struct arena *a)
{
    const Meta__V1__ObjectMeta *meta = pod->metadata;
    CriPodSandboxConfig *m = arena_new(a, CriPodSandboxConfig);
    Runtime__V1__PodSandboxMetadata *id = arena_new(a, Runtime__V1__PodSandboxMetadata);

    runtime__v1__pod_sandbox_config__init(m);
    runtime__v1__pod_sandbox_metadata__init(id);
    id->name = meta->name;
    id->namespace_ = meta->namespace_;
    id->uid = meta->uid;
    id->attempt = attempt;
    m->metadata = id;
    if (!pod->spec->host_network)
        m->hostname = (char *)pod_hostname(pod, g->options.node_name, a);
    m->log_directory = agent_log_dir(g, a, meta->namespace_, meta->name, meta->uid);
    m->dns_config = sandbox_dns(g, pod, a);
    for (size_t i = 0; i < meta->n_labels; i++)
        cri_add_value(a, &m->labels, &m->n_labels, meta->labels[i]->key, meta->labels[i]->value);
    cri_add_value(a, &m->labels, &m->n_labels, LABEL_POD_NAME, meta->name);
    cri_add_value(a, &m->labels, &m->n_labels, LABEL_POD_NAMESPACE, meta->namespace_);
    cri_add_value(a, &m->labels, &m->n_labels, LABEL_POD_UID, meta->uid);
    for (size_t i = 0; i < meta->n_annotations; i++)
        cri_add_value(a, &m->annotations, &m->n_annotations, meta->annotations[i]->key,
                      meta->annotations[i]->value);
    m->linux = sandbox_linux(g, pod, a);
    return m;
}

/* ------------------------------------------------------------------------------ container --- */

static Runtime__V1__LinuxContainerResources *linux_resources(const struct linux_limits *l,
                                                             struct arena *a)
{
    Runtime__V1__LinuxContainerResources *m = arena_new(a, Runtime__V1__LinuxContainerResources);

    runtime__v1__linux_container_resources__init(m);
    m->cpu_shares = l->cpu_shares;
    m->cpu_period = l->cpu_period;
    m->cpu_quota = l->cpu_quota;
    m->memory_limit_in_bytes = l->memory_limit;
    m->oom_score_adj = l->oom_score_adj;
    return m;
}

/* The user the container runs as: its own setting, the pod's, the image's. runAsNonRoot is checked
 * here, since only now the image is known. */
static int security_user(const struct container_order *o, const Core__V1__SecurityContext *own,
                         const Core__V1__PodSecurityContext *of_pod,
                         Runtime__V1__LinuxContainerSecurityContext *s, struct arena *a,
                         struct error *err)
{
    bool non_root = own && own->has_run_as_non_root
                        ? own->run_as_non_root
                        : of_pod && api_get(of_pod, run_as_non_root, false);
    int64_t user = -1;

    if (own && own->has_run_as_user)
        user = own->run_as_user;
    else if (of_pod && of_pod->has_run_as_user)
        user = of_pod->run_as_user;
    if (user >= 0)
        s->run_as_user = int64_value(a, user);
    else if (o->image_uid >= 0)
        s->run_as_user = int64_value(a, o->image_uid);
    else if (o->image_user && *o->image_user)
        s->run_as_username = (char *)o->image_user;
    if (own && own->has_run_as_group)
        s->run_as_group = int64_value(a, own->run_as_group);
    else if (of_pod && of_pod->has_run_as_group)
        s->run_as_group = int64_value(a, of_pod->run_as_group);
    if (!s->run_as_user && !*s->run_as_username)
        s->run_as_group = NULL; /* CRI wants a user with a group */
    if (!non_root)
        return 0;
    if (s->run_as_user && s->run_as_user->value == 0)
        return error_set(err, ERR_INVALID,
                         "container has runAsNonRoot and image will run as root (container %s)",
                         o->container->name);
    if (*s->run_as_username)
        return error_set(err, ERR_INVALID,
                         "container has runAsNonRoot and image has non-numeric user (%s), cannot "
                         "verify user is non-root (container %s)",
                         s->run_as_username, o->container->name);
    return s->run_as_user ? 0
                          : error_set(err, ERR_INVALID,
                                      "container has runAsNonRoot and image will run as root "
                                      "(container %s)",
                                      o->container->name);
}

static void security_paths(Runtime__V1__LinuxContainerSecurityContext *s, struct arena *a)
{
    /* What Docker hides, and every runtime since. */
    static const char *const masked[] = {"/proc/asound",
                                         "/proc/acpi",
                                         "/proc/kcore",
                                         "/proc/keys",
                                         "/proc/latency_stats",
                                         "/proc/timer_list",
                                         "/proc/timer_stats",
                                         "/proc/sched_debug",
                                         "/proc/scsi",
                                         "/sys/firmware",
                                         "/sys/devices/virtual/powercap"};
    static const char *const readonly[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
                                           "/proc/sysrq-trigger"};

    for (size_t i = 0; i < ARRAY_LEN(masked); i++)
        text_add(a, &s->masked_paths, &s->n_masked_paths, masked[i]);
    for (size_t i = 0; i < ARRAY_LEN(readonly); i++)
        text_add(a, &s->readonly_paths, &s->n_readonly_paths, readonly[i]);
}

static void supplemental_groups(Runtime__V1__LinuxContainerSecurityContext *s,
                                const Core__V1__PodSecurityContext *of_pod, struct arena *a)
{
    size_t n = of_pod ? of_pod->n_supplemental_groups : 0;

    if (!of_pod)
        return;
    s->supplemental_groups = arena_array(a, int64_t, n + 1);
    for (size_t i = 0; i < n; i++)
        s->supplemental_groups[s->n_supplemental_groups++] = of_pod->supplemental_groups[i];
    if (of_pod->has_fs_group)
        s->supplemental_groups[s->n_supplemental_groups++] = of_pod->fs_group;
}

static int security(const struct pod_context *x, const struct container_order *o, struct arena *a,
                    Runtime__V1__LinuxContainerSecurityContext **out, struct error *err)
{
    const Core__V1__SecurityContext *own = o->container->security_context;
    const Core__V1__PodSecurityContext *of_pod = x->pod->spec->security_context;
    Runtime__V1__LinuxContainerSecurityContext *s =
        arena_new(a, Runtime__V1__LinuxContainerSecurityContext);
    bool unmasked = own && cstr_eq(own->proc_mount, "Unmasked");

    runtime__v1__linux_container_security_context__init(s);
    *out = s;
    s->namespace_options = namespaces(x->pod, a);
    if (o->target_id && s->namespace_options->pid == RUNTIME__V1__NAMESPACE_MODE__CONTAINER) {
        s->namespace_options->pid = RUNTIME__V1__NAMESPACE_MODE__TARGET;
        s->namespace_options->target_id = (char *)o->target_id;
    }
    s->seccomp =
        seccomp(a, own ? own->seccomp_profile : NULL, of_pod ? of_pod->seccomp_profile : NULL);
    if (own) {
        s->privileged = api_get(own, privileged, false);
        s->readonly_rootfs = api_get(own, read_only_root_filesystem, false);
        s->no_new_privs = own->has_allow_privilege_escalation && !own->allow_privilege_escalation;
        if (own->capabilities) {
            s->capabilities = arena_new(a, Runtime__V1__Capability);
            runtime__v1__capability__init(s->capabilities);
            s->capabilities->add_capabilities = own->capabilities->add;
            s->capabilities->n_add_capabilities = own->capabilities->n_add;
            s->capabilities->drop_capabilities = own->capabilities->drop;
            s->capabilities->n_drop_capabilities = own->capabilities->n_drop;
        }
    }
    if (!s->privileged && !unmasked)
        security_paths(s, a);
    supplemental_groups(s, of_pod, a);
    return security_user(o, own, of_pod, s, a, err);
}

static void mount_add(struct arena *a, CriContainerConfig *m, const char *to, const char *from,
                      bool readonly, const char *propagation)
{
    CriMount *mount = arena_new(a, CriMount);

    runtime__v1__mount__init(mount);
    mount->container_path = (char *)to;
    mount->host_path = (char *)from;
    mount->readonly = readonly;
    if (cstr_eq(propagation, "HostToContainer"))
        mount->propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
    else if (cstr_eq(propagation, "Bidirectional"))
        mount->propagation = RUNTIME__V1__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
    m->mounts = list_room(a, m->mounts, m->n_mounts, sizeof(void *));
    m->mounts[m->n_mounts++] = mount;
}

static int mounts_of_volumes(struct agent *g, const struct pod_context *x,
                             const Core__V1__Container *c, struct env *env, CriContainerConfig *m,
                             bool *has_hosts, struct arena *a, struct error *err)
{
    for (size_t i = 0; i < c->n_volume_mounts; i++) {
        const Core__V1__VolumeMount *v = c->volume_mounts[i];
        const char *sub = v->sub_path, *to = v->mount_path, *from;
        bool expands = v->sub_path_expr && *v->sub_path_expr;
        int rc;

        if (expands)
            sub = pod_expand(env, v->sub_path_expr);
        if (expands && !sub)
            return error_set(err, ERR_LIMIT, "volumeMount %s: subPathExpr is too long", v->name);
        rc = volume_mount_source(g, x->pod, v->name, sub, a, &from, err);
        if (rc < 0)
            return error_wrap(err, "volumeMount %s", v->name);
        if (*to != '/')
            to = arena_printf(a, "/%s", to);
        *has_hosts |= strcmp(to, "/etc/hosts") == 0;
        mount_add(a, m, to, from, v->read_only || volume_is_read_only(x->pod, v->name),
                  v->mount_propagation);
    }
    return 0;
}

static const char *message_dir(const struct agent *g, const char *uid, struct arena *a)
{
    return arena_printf(a, "%s/containers/", agent_pod_dir(g, a, uid));
}

bool message_file_is_own(const struct agent *g, const char *uid, const char *path)
{
    struct arena a;
    bool own;

    if (!path)
        return false;
    arena_init(&a);
    own =
        str_has_prefix(str_from(path), str_from(message_dir(g, uid, &a))) && !strstr(path, "/../");
    arena_free(&a);
    return own;
}

/* A file for the container's last words, and the pod's /etc/hosts. */
static int mounts_of_agent(struct agent *g, const struct pod_context *x,
                           const Core__V1__Container *c, bool has_hosts, CriContainerConfig *m,
                           struct arena *a, struct error *err)
{
    const char *pod_dir = agent_pod_dir(g, a, x->pod->metadata->uid);
    const char *dir = arena_printf(a, "%s%s", message_dir(g, x->pod->metadata->uid, a), c->name),
               *path;
    char name[9];
    int fd, rc = file_make_dirs(dir, 0750, err);

    if (rc == 0 && !x->pod->spec->host_network && !has_hosts) {
        path = arena_printf(a, "%s/etc-hosts", pod_dir);
        rc = file_replace(
            path,
            str_from(pod_hosts_file(x->pod, x->pod_ip, pod_hostname(x->pod, x->node_name, a),
                                    g->options.cluster_domain, a)),
            0644, err);
        mount_add(a, m, "/etc/hosts", path, false, NULL);
    }
    if (rc < 0 || !c->termination_message_path || !*c->termination_message_path)
        return rc;
    random_name(name, 8);
    path = arena_printf(a, "%s/%s", dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0 || fchmod(fd, 0666) < 0) /* whatever user the container runs as */
        rc = error_errno(err, ERR_IO, errno, "create %s", path);
    if (fd >= 0)
        close(fd);
    mount_add(a, m, c->termination_message_path, path, false, NULL);
    return rc;
}

static void container_labels(const struct pod_context *x, const struct container_order *o,
                             struct arena *a, CriContainerConfig *m)
{
    const Core__V1__Container *c = o->container;
    const Meta__V1__ObjectMeta *meta = x->pod->metadata;

    cri_add_value(a, &m->labels, &m->n_labels, LABEL_CONTAINER_NAME, c->name);
    cri_add_value(a, &m->labels, &m->n_labels, LABEL_POD_NAME, meta->name);
    cri_add_value(a, &m->labels, &m->n_labels, LABEL_POD_NAMESPACE, meta->namespace_);
    cri_add_value(a, &m->labels, &m->n_labels, LABEL_POD_UID, meta->uid);
    cri_add_value(a, &m->annotations, &m->n_annotations, ANNOTATION_HASH, container_hash(a, c));
    cri_add_value(a, &m->annotations, &m->n_annotations, ANNOTATION_RESTART_COUNT,
                  arena_printf(a, "%d", o->restart_count));
    cri_add_value(a, &m->annotations, &m->n_annotations, ANNOTATION_MESSAGE_PATH,
                  c->termination_message_path ? c->termination_message_path : "");
    cri_add_value(a, &m->annotations, &m->n_annotations, ANNOTATION_MESSAGE_POLICY,
                  c->termination_message_policy ? c->termination_message_policy : "File");
    cri_add_value(a, &m->annotations, &m->n_annotations, ANNOTATION_GRACE,
                  arena_printf(a, "%" PRId64, pod_grace_s(x->pod)));
}

static int arguments(char **in, size_t n, struct env *env, char ***out, size_t *out_len,
                     struct error *err)
{
    char **all = arena_array(env->a, char *, n + 1);

    for (size_t i = 0; i < n; i++) {
        all[i] = pod_expand(env, in[i]);
        if (!all[i])
            return error_set(err, ERR_LIMIT, "environment and arguments have more than %zu bytes",
                             ENV_BYTES_MAX);
    }
    *out = all;
    *out_len = n;
    return 0;
}

static int container_process(const Core__V1__Container *c, struct env *env, struct arena *a,
                             CriContainerConfig *m, struct error *err)
{
    int rc = arguments(c->command, c->n_command, env, &m->command, &m->n_command, err);

    if (rc == 0)
        rc = arguments(c->args, c->n_args, env, &m->args, &m->n_args, err);
    for (size_t i = 0; i < env->len; i++)
        cri_add_value(a, &m->envs, &m->n_envs, env->items[i].name, env->items[i].value);
    if (c->working_dir)
        m->working_dir = c->working_dir;
    m->stdin = c->stdin;
    m->stdin_once = c->stdin_once;
    m->tty = c->tty;
    return rc;
}

int container_config(struct agent *g, const struct pod_context *x, const struct container_order *o,
                     struct arena *a, CriContainerConfig **out, struct error *err)
{
    const Core__V1__Container *c = o->container;
    CriContainerConfig *m = arena_new(a, CriContainerConfig);
    struct linux_limits limits = container_limits(x->pod, c, g->memory);
    struct env env;
    bool has_hosts = false;
    int rc;

    runtime__v1__container_config__init(m);
    m->metadata = arena_new(a, Runtime__V1__ContainerMetadata);
    runtime__v1__container_metadata__init(m->metadata);
    m->metadata->name = c->name;
    m->metadata->attempt = (uint32_t)o->restart_count;
    m->image = arena_new(a, Runtime__V1__ImageSpec);
    runtime__v1__image_spec__init(m->image);
    m->image->image = (char *)o->image_ref;
    m->linux = arena_new(a, Runtime__V1__LinuxContainerConfig);
    runtime__v1__linux_container_config__init(m->linux);
    m->linux->resources = linux_resources(&limits, a);
    m->log_path = arena_printf(a, "%s/%d.log", c->name, o->restart_count);
    container_labels(x, o, a, m);

    rc = pod_env(x, c, a, &env, err);
    if (rc == 0)
        rc = container_process(c, &env, a, m, err);
    if (rc == 0)
        rc = security(x, o, a, &m->linux->security_context, err);
    if (rc == 0)
        rc = mounts_of_volumes(g, x, c, &env, m, &has_hosts, a, err);
    if (rc == 0)
        rc = mounts_of_agent(g, x, c, has_hosts, m, a, err);
    *out = m;
    return rc;
}
