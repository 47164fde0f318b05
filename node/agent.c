/*
 * Paths, control groups and events that the parts of the agent share (see agent.h).
 */
#include "node/agent.h"
#include "base/arena_text.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/cgroup.h"
#include "node/files.h"
#include "node/pod_spec.h"
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

int agent_make_dirs(const struct agent *g, struct error *err)
{
    char *pods = mem_printf("%s/pods", g->options.root_dir);
    int rc = file_make_dirs(g->options.root_dir, 0755, err);

    if (rc == 0)
        rc = file_make_dirs(pods, 0750, err);
    if (rc == 0 && chmod(pods, 0750) < 0) /* one that an earlier agent made, too */
        rc = error_errno(err, ERR_IO, errno, "chmod %s", pods);
    if (rc == 0)
        rc = file_make_dirs(g->options.pod_log_dir, 0755, err);
    mem_free(pods);
    return rc;
}

char *agent_pod_dir(const struct agent *g, struct arena *a, const char *uid)
{
    return arena_printf(a, "%s/pods/%s", g->options.root_dir, uid);
}

char *agent_log_dir(const struct agent *g, struct arena *a, const char *ns, const char *name,
                    const char *uid)
{
    return arena_printf(a, "%s/%s_%s_%s", g->options.pod_log_dir, ns, name, uid);
}

/* The root without a final '/', so that "%s/x" is right for "/" too. */
static const char *cgroup_base(const struct agent *g, struct arena *a)
{
    const char *root = g->options.cgroup_root ? g->options.cgroup_root : "";
    size_t n = strlen(root);

    while (n && root[n - 1] == '/')
        n--;
    return arena_printf(a, "%.*s/kubepods", (int)n, root);
}

char *agent_cgroup_parent(const struct agent *g, struct arena *a, const Core__V1__Pod *pod)
{
    const char *qos = pod_qos(pod), *base = cgroup_base(g, a), *uid = pod->metadata->uid;

    if (strcmp(qos, "Guaranteed") == 0)
        return arena_printf(a, "%s/pod%s", base, uid);
    return arena_printf(a, "%s/%s/pod%s", base,
                        strcmp(qos, "BestEffort") == 0 ? "besteffort" : "burstable", uid);
}

void agent_limit_pod(const struct agent *g, const Core__V1__Pod *pod)
{
    /* A pod that asked for nothing gets what is left: its whole class weighs no more than two shares. */
    const struct cgroup_limits least = {.cpu_shares = 2};
    struct linux_limits l = pod_limits(pod, g->memory);
    const struct cgroup_limits limits = {l.cpu_shares, l.cpu_quota, l.cpu_period};
    struct error err = {0};
    struct arena a;
    int rc;

    arena_init(&a);
    rc = cgroup_set(arena_printf(&a, "%s/besteffort", cgroup_base(g, &a)), &least, &err);
    if (rc == 0)
        rc = cgroup_set(agent_cgroup_parent(g, &a, pod), &limits, &err);
    if (rc < 0)
        log_warn("node", "pod's control group not limited pod=%s/%s err=\"%s\"",
                 pod->metadata->namespace_, pod->metadata->name, err.message);
    arena_free(&a);
}

void agent_remove_cgroups(const struct agent *g, const char *uid)
{
    static const char *const classes[] = {"", "/besteffort", "/burstable"};
    struct arena a;

    arena_init(&a);
    for (size_t i = 0; i < ARRAY_LEN(classes); i++)
        cgroup_remove(arena_printf(&a, "%s%s/pod%s", cgroup_base(g, &a), classes[i], uid), NULL);
    arena_free(&a);
}

void agent_event(struct agent *g, const Core__V1__Pod *pod, const char *container, const char *type,
                 const char *reason, const char *format, ...)
{
    struct event_target about = {.api_version = "v1",
                                 .kind = "Pod",
                                 .ns = pod->metadata->namespace_,
                                 .name = pod->metadata->name,
                                 .uid = pod->metadata->uid,
                                 .resource_version = pod->metadata->resource_version};
    struct arena a;
    va_list args;
    char *text;

    arena_init(&a);
    va_start(args, format);
    text = arena_readable(&a, str_from(arena_vprintf(&a, format, args)));
    va_end(args);
    if (container) {
        bool init = false;
        for (size_t i = 0; i < pod->spec->n_init_containers; i++)
            init |= cstr_eq(pod->spec->init_containers[i]->name, container);
        about.field_path =
            arena_printf(&a, "spec.%s{%s}", init ? "initContainers" : "containers", container);
    }
    pthread_rwlock_rdlock(&g->recorder_lock);
    if (g->recorder)
        recorder_event(g->recorder, &about, type, reason, "%s", text);
    pthread_rwlock_unlock(&g->recorder_lock);
    arena_free(&a);
}
