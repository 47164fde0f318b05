/*
 * The checks of the Pod Security Standards: see pod_security.h. Each looks at one kind of privilege in
 * the pod and all its containers, and says in the published words who has it.
 */
#include "api/object.h"
#include "api/validation.h"
#include "apiserver/admission/pod_security.h"
#include "base/arena_text.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- what a check sees ---- */

/* Containers of all three kinds alike. */
struct container {
    const char *name;
    const Core__V1__SecurityContext *security; /* may be NULL */
    Core__V1__ContainerPort *const *ports;
    size_t ports_len;
    const Core__V1__Probe *probes[3];
    const Core__V1__Lifecycle *lifecycle;
};

struct view {
    struct arena *a;
    const Meta__V1__ObjectMeta *meta;
    const Core__V1__PodSpec *spec;
    const Core__V1__PodSecurityContext *security; /* may be NULL */
    struct container *containers;                 /* init, normal, ephemeral */
    size_t len;
    int minor;
};

typedef bool check_fn(const struct view *v, struct pod_security_violation *out);

/* ---- lists of names ---- */

struct names {
    const char **items;
    size_t len, cap;
};

static void add(const struct view *v, struct names *l, const char *s)
{
    if (l->len == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        l->items = arena_grow(v->a, l->items, l->cap * sizeof *l->items, cap * sizeof *l->items);
        l->cap = cap;
    }
    l->items[l->len++] = s;
}

static bool has(const char *const *items, size_t n, const char *s)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(items[i], s) == 0)
            return true;
    return false;
}

/* Sorted, and each once. (At the end and not as they come: there may be as many as a body has room for.) */
static void make_set(struct names *l)
{
    size_t n = 0;
    if (l->len)
        qsort(l->items, l->len, sizeof *l->items, cstr_order);
    for (size_t i = 0; i < l->len; i++)
        if (!n || strcmp(l->items[n - 1], l->items[i]) != 0)
            l->items[n++] = l->items[i];
    l->len = n;
}

static const char *join(const struct view *v, const struct names *l, const char *between)
{
    return arena_join(v->a, l->items, l->len, between);
}

/* "a", "b" */
static const char *quoted(const struct view *v, const struct names *l)
{
    return l->len ? arena_printf(v->a, "\"%s\"", join(v, l, "\", \"")) : "";
}

/* key="value" */
static const char *annotation_text(const struct view *v, const char *key, const char *value)
{
    return arena_printf(v->a, "%s=%s", key, field_quote(v->a, value));
}

static const char *plural(size_t n, const char *one, const char *many)
{
    return n == 1 ? one : many;
}

/* container "a" / containers "a", "b" */
static const char *containers_text(const struct view *v, const struct names *l)
{
    return arena_printf(v->a, "%s %s", plural(l->len, "container", "containers"), quoted(v, l));
}

/* pod and containers "a", "b" */
static const char *setters(const struct view *v, bool pod, const struct names *containers)
{
    if (!containers->len)
        return "pod";
    return arena_printf(v->a, "%s%s", pod ? "pod and " : "", containers_text(v, containers));
}

static bool refuse(struct pod_security_violation *out, const char *reason, const char *detail)
{
    out->reason = reason;
    out->detail = detail;
    return true;
}

/* ---- conditions on the whole pod ---- */

static bool is_windows(const struct view *v)
{
    return v->spec->os && strcmp(v->spec->os->name, "windows") == 0;
}

/* Root in a user namespace of the pod's own is nobody outside (since v1.35). */
static bool has_user_namespace(const struct view *v)
{
    return v->minor >= 35 && v->spec->has_host_users && !v->spec->host_users;
}

/* ---- baseline ---- */

static bool app_armor(const struct view *v, struct pod_security_violation *out)
{
    static const char *const good[] = {"RuntimeDefault", "Localhost"};
    static const char prefix[] = "container.apparmor.security.beta.kubernetes.io/";
    struct names bad = {0}, values = {0}, annotations = {0};
    bool pod = v->security && v->security->app_armor_profile &&
               !has(good, 2, v->security->app_armor_profile->type);
    if (pod)
        add(v, &values, v->security->app_armor_profile->type);
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        if (!s || !s->app_armor_profile || has(good, 2, s->app_armor_profile->type))
            continue;
        add(v, &bad, v->containers[i].name);
        add(v, &values, s->app_armor_profile->type);
    }
    for (size_t i = 0; v->meta && i < v->meta->n_annotations; i++) {
        const char *key = v->meta->annotations[i]->key, *value = v->meta->annotations[i]->value;
        if (strncmp(key, prefix, sizeof prefix - 1) == 0 && *value &&
            strcmp(value, "runtime/default") != 0 && strncmp(value, "localhost/", 10) != 0)
            add(v, &annotations, annotation_text(v, key, value));
    }
    if (!pod && !bad.len && !annotations.len)
        return false;
    make_set(&values);
    make_set(&annotations);
    const char *who = pod || bad.len ? setters(v, pod, &bad) : "";
    if (annotations.len)
        who = arena_printf(v->a, "%s%s%s", who, *who ? " and " : "",
                           plural(annotations.len, "annotation", "annotations"));
    for (size_t i = 0; i < annotations.len; i++)
        add(v, &values, annotations.items[i]);
    return refuse(
        out, plural(values.len, "forbidden AppArmor profile", "forbidden AppArmor profiles"),
        arena_printf(v->a, "%s must not set AppArmor profile type to %s", who, quoted(v, &values)));
}

static bool capabilities_baseline(const struct view *v, struct pod_security_violation *out)
{
    static const char *const good[] = {
        "AUDIT_WRITE",      "CHOWN",   "DAC_OVERRIDE", "FOWNER",  "FSETID", "KILL",      "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID",       "SETPCAP", "SETUID", "SYS_CHROOT"};
    struct names bad = {0}, added = {0};
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        bool valid = true;
        for (size_t k = 0; s && s->capabilities && k < s->capabilities->n_add; k++) {
            if (has(good, ARRAY_LEN(good), s->capabilities->add[k]))
                continue;
            valid = false;
            add(v, &added, s->capabilities->add[k]);
        }
        if (!valid)
            add(v, &bad, v->containers[i].name);
    }
    make_set(&added);
    return bad.len &&
           refuse(out, "non-default capabilities",
                  arena_printf(v->a, "%s must not include %s in securityContext.capabilities.add",
                               containers_text(v, &bad), quoted(v, &added)));
}

static bool host_namespaces(const struct view *v, struct pod_security_violation *out)
{
    struct names used = {0};
    if (v->spec->host_network)
        add(v, &used, "hostNetwork=true");
    if (v->spec->host_pid)
        add(v, &used, "hostPID=true");
    if (v->spec->host_ipc)
        add(v, &used, "hostIPC=true");
    return used.len && refuse(out, "host namespaces", join(v, &used, ", "));
}

static bool host_path_volumes(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0};
    for (size_t i = 0; i < v->spec->n_volumes; i++)
        if (v->spec->volumes[i]->volume_source->host_path)
            add(v, &bad, v->spec->volumes[i]->name);
    return bad.len && refuse(out, "hostPath volumes",
                             arena_printf(v->a, "%s %s", plural(bad.len, "volume", "volumes"),
                                          quoted(v, &bad)));
}

static bool host_ports(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0}, ports = {0};
    for (size_t i = 0; i < v->len; i++) {
        bool valid = true;
        for (size_t k = 0; k < v->containers[i].ports_len; k++) {
            if (v->containers[i].ports[k]->host_port == 0)
                continue;
            valid = false;
            add(v, &ports, arena_printf(v->a, "%d", v->containers[i].ports[k]->host_port));
        }
        if (!valid)
            add(v, &bad, v->containers[i].name);
    }
    make_set(&ports);
    return bad.len &&
           refuse(out, "hostPort",
                  arena_printf(v->a, "%s %s %s %s", containers_text(v, &bad),
                               plural(bad.len, "uses", "use"),
                               plural(ports.len, "hostPort", "hostPorts"), join(v, &ports, ", ")));
}

static void handler_hosts(const struct view *v, const Core__V1__HTTPGetAction *http,
                          const Core__V1__TCPSocketAction *tcp, struct names *hosts, bool *found)
{
    if (http && *http->host) {
        add(v, hosts, http->host);
        *found = true;
    }
    if (tcp && *tcp->host) {
        add(v, hosts, tcp->host);
        *found = true;
    }
}

static bool probe_hosts(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0}, hosts = {0};
    for (size_t i = 0; i < v->len; i++) {
        const struct container *c = &v->containers[i];
        bool found = false;
        for (size_t k = 0; k < ARRAY_LEN(c->probes); k++)
            if (c->probes[k] && c->probes[k]->handler)
                handler_hosts(v, c->probes[k]->handler->http_get, c->probes[k]->handler->tcp_socket,
                              &hosts, &found);
        const Core__V1__LifecycleHandler *hooks[2] = {c->lifecycle ? c->lifecycle->post_start
                                                                   : NULL,
                                                      c->lifecycle ? c->lifecycle->pre_stop : NULL};
        for (size_t k = 0; k < 2; k++)
            if (hooks[k])
                handler_hosts(v, hooks[k]->http_get, hooks[k]->tcp_socket, &hosts, &found);
        if (found)
            add(v, &bad, c->name);
    }
    make_set(&bad);
    make_set(&hosts);
    return bad.len &&
           refuse(out, "probe or lifecycle host",
                  arena_printf(
                      v->a, "%s %s %s %s", containers_text(v, &bad), plural(bad.len, "uses", "use"),
                      plural(hosts.len, "probe or lifecycle host", "probe or lifecycle hosts"),
                      quoted(v, &hosts)));
}

static bool privileged(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0};
    for (size_t i = 0; i < v->len; i++)
        if (v->containers[i].security && api_get(v->containers[i].security, privileged, false))
            add(v, &bad, v->containers[i].name);
    return bad.len && refuse(out, "privileged",
                             arena_printf(v->a, "%s must not set securityContext.privileged=true",
                                          containers_text(v, &bad)));
}

static bool proc_mount_any(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0}, types = {0};
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        if (!s || !s->proc_mount || strcmp(s->proc_mount, "Default") == 0)
            continue;
        add(v, &bad, v->containers[i].name);
        add(v, &types, s->proc_mount);
    }
    make_set(&types);
    return bad.len && refuse(out, "procMount",
                             arena_printf(v->a, "%s must not set securityContext.procMount to %s",
                                          containers_text(v, &bad), quoted(v, &types)));
}

static bool proc_mount(const struct view *v, struct pod_security_violation *out)
{
    return !has_user_namespace(v) && proc_mount_any(v, out);
}

struct selinux {
    struct names types;
    bool user, role;
};

static bool selinux_valid(const struct view *v, const Core__V1__SELinuxOptions *o,
                          struct selinux *seen)
{
    static const char *const good[] = {"", "container_t", "container_init_t", "container_kvm_t",
                                       "container_engine_t"};
    bool valid = has(good, v->minor >= 31 ? 5 : 4, o->type);
    if (!valid)
        add(v, &seen->types, o->type);
    seen->user |= *o->user != 0;
    seen->role |= *o->role != 0;
    return valid && !*o->user && !*o->role;
}

static bool selinux(const struct view *v, struct pod_security_violation *out)
{
    struct selinux seen = {{0}, false, false};
    struct names bad = {0}, data = {0};
    bool pod = v->security && v->security->se_linux_options &&
               !selinux_valid(v, v->security->se_linux_options, &seen);
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        if (s && s->se_linux_options && !selinux_valid(v, s->se_linux_options, &seen))
            add(v, &bad, v->containers[i].name);
    }
    if (!pod && !bad.len)
        return false;
    make_set(&seen.types);
    if (seen.types.len)
        add(v, &data,
            arena_printf(v->a, "%s %s", plural(seen.types.len, "type", "types"),
                         quoted(v, &seen.types)));
    if (seen.user)
        add(v, &data, "user may not be set");
    if (seen.role)
        add(v, &data, "role may not be set");
    return refuse(out, "seLinuxOptions",
                  arena_printf(v->a, "%s set forbidden securityContext.seLinuxOptions: %s",
                               setters(v, pod, &bad), join(v, &data, "; ")));
}

static bool seccomp_type_good(const char *type)
{
    return strcmp(type, "Localhost") == 0 || strcmp(type, "RuntimeDefault") == 0;
}

static bool seccomp_annotation_good(const char *value)
{
    return strcmp(value, "runtime/default") == 0 || strcmp(value, "docker/default") == 0 ||
           strncmp(value, "localhost/", 10) == 0;
}

/* Before v1.19 profiles were annotations, of the pod and of each container. */
static bool seccomp_annotations(const struct view *v, struct pod_security_violation *out)
{
    static const char prefix[] = "container.seccomp.security.alpha.kubernetes.io/";
    struct names bad = {0};
    struct map containers;
    map_init(&containers);
    for (size_t i = 0; i < v->len; i++)
        map_put(&containers, str_from(v->containers[i].name), &v->containers[i]);
    for (size_t i = 0; v->meta && i < v->meta->n_annotations; i++) {
        const char *key = v->meta->annotations[i]->key, *value = v->meta->annotations[i]->value;
        bool of_container = strncmp(key, prefix, sizeof prefix - 1) == 0 &&
                            map_has(&containers, str_from(key + sizeof prefix - 1));
        if ((of_container || strcmp(key, "seccomp.security.alpha.kubernetes.io/pod") == 0) &&
            !seccomp_annotation_good(value))
            add(v, &bad, annotation_text(v, key, value));
    }
    map_free(&containers);
    make_set(&bad);
    return bad.len &&
           refuse(out, "seccompProfile",
                  arena_printf(v->a, "forbidden %s %s",
                               plural(bad.len, "annotation", "annotations"), join(v, &bad, ", ")));
}

/* Profiles that are set and bad; *pod_good and *unset for the restricted check. */
static bool seccomp_set(const struct view *v, bool *pod_good, struct names *unset,
                        struct pod_security_violation *out)
{
    struct names bad = {0}, values = {0};
    const Core__V1__SeccompProfile *p = v->security ? v->security->seccomp_profile : NULL;
    bool pod = p && !seccomp_type_good(p->type);
    *pod_good = p && !pod;
    if (pod)
        add(v, &values, p->type);
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        if (!s || !s->seccomp_profile) {
            add(v, unset, v->containers[i].name);
        } else if (!seccomp_type_good(s->seccomp_profile->type)) {
            add(v, &bad, v->containers[i].name);
            add(v, &values, s->seccomp_profile->type);
        }
    }
    make_set(&values);
    return (pod || bad.len) &&
           refuse(out, "seccompProfile",
                  arena_printf(v->a, "%s must not set securityContext.seccompProfile.type to %s",
                               setters(v, pod, &bad), quoted(v, &values)));
}

static bool seccomp_baseline(const struct view *v, struct pod_security_violation *out)
{
    struct names unset = {0};
    bool pod_good;
    if (v->minor < 19)
        return seccomp_annotations(v, out);
    return seccomp_set(v, &pod_good, &unset, out);
}

static bool sysctls(const struct view *v, struct pod_security_violation *out)
{
    static const struct {
        const char *name;
        int since;
    } good[] = {
        {"kernel.shm_rmid_forced", 0},
        {"net.ipv4.ip_local_port_range", 0},
        {"net.ipv4.tcp_syncookies", 0},
        {"net.ipv4.ping_group_range", 0},
        {"net.ipv4.ip_unprivileged_port_start", 0},
        {"net.ipv4.ip_local_reserved_ports", 27},
        {"net.ipv4.tcp_keepalive_time", 29},
        {"net.ipv4.tcp_fin_timeout", 29},
        {"net.ipv4.tcp_keepalive_intvl", 29},
        {"net.ipv4.tcp_keepalive_probes", 29},
        {"net.ipv4.tcp_rmem", 32},
        {"net.ipv4.tcp_wmem", 32},
    };
    struct names bad = {0};
    for (size_t i = 0; v->security && i < v->security->n_sysctls; i++) {
        const char *name = v->security->sysctls[i]->name;
        bool known = false;
        for (size_t k = 0; k < ARRAY_LEN(good) && !known; k++)
            known = good[k].since <= v->minor && strcmp(good[k].name, name) == 0;
        if (!known)
            add(v, &bad, name);
    }
    return bad.len && refuse(out, "forbidden sysctls", join(v, &bad, ", "));
}

static bool windows_host_process(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0};
    const Core__V1__WindowsSecurityContextOptions *w =
        v->security ? v->security->windows_options : NULL;
    bool pod = w && api_get(w, host_process, false);
    for (size_t i = 0; i < v->len; i++) {
        w = v->containers[i].security ? v->containers[i].security->windows_options : NULL;
        if (w && api_get(w, host_process, false))
            add(v, &bad, v->containers[i].name);
    }
    return (pod || bad.len) &&
           refuse(out, "hostProcess",
                  arena_printf(v->a,
                               "%s must not set securityContext.windowsOptions.hostProcess=true",
                               setters(v, pod, &bad)));
}

/* ---- restricted ---- */

static bool privilege_escalation(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0};
    if (v->minor >= 25 && is_windows(v))
        return false;
    for (size_t i = 0; i < v->len; i++)
        if (!v->containers[i].security ||
            api_get(v->containers[i].security, allow_privilege_escalation, true))
            add(v, &bad, v->containers[i].name);
    return bad.len &&
           refuse(out, "allowPrivilegeEscalation != false",
                  arena_printf(v->a, "%s must set securityContext.allowPrivilegeEscalation=false",
                               containers_text(v, &bad)));
}

static bool capabilities_restricted(const struct view *v, struct pod_security_violation *out)
{
    struct names keeping = {0}, adding = {0}, added = {0}, details = {0};
    if (v->minor >= 25 && is_windows(v))
        return false;
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        const Core__V1__Capabilities *c = s ? s->capabilities : NULL;
        if (!c || !has((const char *const *)c->drop, c->n_drop, "ALL"))
            add(v, &keeping, v->containers[i].name);
        bool bad = false;
        for (size_t k = 0; c && k < c->n_add; k++) {
            if (strcmp(c->add[k], "NET_BIND_SERVICE") == 0)
                continue;
            bad = true;
            add(v, &added, c->add[k]);
        }
        if (bad)
            add(v, &adding, v->containers[i].name);
    }
    make_set(&added);
    if (keeping.len)
        add(v, &details,
            arena_printf(v->a, "%s must set securityContext.capabilities.drop=[\"ALL\"]",
                         containers_text(v, &keeping)));
    if (adding.len)
        add(v, &details,
            arena_printf(v->a, "%s must not include %s in securityContext.capabilities.add",
                         containers_text(v, &adding), quoted(v, &added)));
    return details.len && refuse(out, "unrestricted capabilities", join(v, &details, "; "));
}

/* NULL: a volume that anybody may have. */
static const char *restricted_volume(const Core__V1__VolumeSource *s)
{
    if (s->config_map || s->csi || s->downward_api || s->empty_dir || s->ephemeral || s->image ||
        s->persistent_volume_claim || s->projected || s->secret)
        return NULL;
    const struct {
        const void *source;
        const char *name;
    } types[] = {
        {s->host_path, "hostPath"},
        {s->gce_persistent_disk, "gcePersistentDisk"},
        {s->aws_elastic_block_store, "awsElasticBlockStore"},
        {s->git_repo, "gitRepo"},
        {s->nfs, "nfs"},
        {s->iscsi, "iscsi"},
        {s->glusterfs, "glusterfs"},
        {s->rbd, "rbd"},
        {s->flex_volume, "flexVolume"},
        {s->cinder, "cinder"},
        {s->cephfs, "cephfs"},
        {s->flocker, "flocker"},
        {s->fc, "fc"},
        {s->azure_file, "azureFile"},
        {s->vsphere_volume, "vsphereVolume"},
        {s->quobyte, "quobyte"},
        {s->azure_disk, "azureDisk"},
        {s->photon_persistent_disk, "photonPersistentDisk"},
        {s->portworx_volume, "portworxVolume"},
        {s->scale_io, "scaleIO"},
        {s->storageos, "storageos"},
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (types[i].source)
            return types[i].name;
    return "unknown";
}

static bool restricted_volumes(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0}, types = {0};
    for (size_t i = 0; i < v->spec->n_volumes; i++) {
        const char *type = restricted_volume(v->spec->volumes[i]->volume_source);
        if (!type)
            continue;
        add(v, &bad, v->spec->volumes[i]->name);
        add(v, &types, type);
    }
    make_set(&types);
    return bad.len &&
           refuse(
               out, "restricted volume types",
               arena_printf(v->a, "%s %s %s %s %s", plural(bad.len, "volume", "volumes"),
                            quoted(v, &bad), plural(bad.len, "uses", "use"),
                            plural(types.len, "restricted volume type", "restricted volume types"),
                            quoted(v, &types)));
}

static bool run_as_non_root(const struct view *v, struct pod_security_violation *out)
{
    struct names explicit = {0}, implicit = {0};
    if (has_user_namespace(v))
        return false;
    bool pod = v->security && v->security->has_run_as_non_root && !v->security->run_as_non_root;
    bool pod_good = v->security && api_get(v->security, run_as_non_root, false);
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        if (s && s->has_run_as_non_root) {
            if (!s->run_as_non_root)
                add(v, &explicit, v->containers[i].name);
        } else if (!pod_good) {
            add(v, &implicit, v->containers[i].name);
        }
    }
    if (pod || explicit.len)
        return refuse(out, "runAsNonRoot != true",
                      arena_printf(v->a, "%s must not set securityContext.runAsNonRoot=false",
                                   setters(v, pod, &explicit)));
    return implicit.len &&
           refuse(out, "runAsNonRoot != true",
                  arena_printf(v->a, "pod or %s must set securityContext.runAsNonRoot=true",
                               containers_text(v, &implicit)));
}

static bool run_as_user(const struct view *v, struct pod_security_violation *out)
{
    struct names bad = {0};
    if (has_user_namespace(v))
        return false;
    bool pod = v->security && v->security->has_run_as_user && v->security->run_as_user == 0;
    for (size_t i = 0; i < v->len; i++) {
        const Core__V1__SecurityContext *s = v->containers[i].security;
        if (s && s->has_run_as_user && s->run_as_user == 0)
            add(v, &bad, v->containers[i].name);
    }
    return (pod || bad.len) &&
           refuse(out, "runAsUser=0",
                  arena_printf(v->a, "%s must not set runAsUser=0", setters(v, pod, &bad)));
}

static bool seccomp_restricted(const struct view *v, struct pod_security_violation *out)
{
    struct names unset = {0};
    bool pod_good;
    if (v->minor >= 25 && is_windows(v))
        return false;
    if (seccomp_set(v, &pod_good, &unset, out))
        return true;
    return !pod_good && unset.len &&
           refuse(out, "seccompProfile",
                  arena_printf(v->a,
                               "pod or %s must set securityContext.seccompProfile.type to "
                               "\"RuntimeDefault\" or \"Localhost\"",
                               containers_text(v, &unset)));
}

/* ---- the table ---- */

/* Baseline first, then restricted, each by the published ids' order. */
static const struct {
    enum pod_security_level level;
    int since;            /* minor version */
    int overridden_since; /* at level restricted, by a stricter check; 0: never */
    check_fn *fn;
} checks[] = {
    {POD_SECURITY_BASELINE, 0, 0, app_armor},
    {POD_SECURITY_BASELINE, 0, 22, capabilities_baseline},
    {POD_SECURITY_BASELINE, 0, 0, host_namespaces},
    {POD_SECURITY_BASELINE, 0, 1, host_path_volumes}, /* by restrictedVolumes, always */
    {POD_SECURITY_BASELINE, 0, 0, host_ports},
    {POD_SECURITY_BASELINE, 34, 0, probe_hosts},
    {POD_SECURITY_BASELINE, 0, 0, privileged},
    {POD_SECURITY_BASELINE, 0, 35, proc_mount},
    {POD_SECURITY_BASELINE, 0, 0, selinux},
    {POD_SECURITY_BASELINE, 0, 19, seccomp_baseline},
    {POD_SECURITY_BASELINE, 0, 0, sysctls},
    {POD_SECURITY_BASELINE, 0, 0, windows_host_process},
    {POD_SECURITY_RESTRICTED, 8, 0, privilege_escalation},
    {POD_SECURITY_RESTRICTED, 22, 0, capabilities_restricted},
    {POD_SECURITY_RESTRICTED, 35, 0, proc_mount_any},
    {POD_SECURITY_RESTRICTED, 0, 0, restricted_volumes},
    {POD_SECURITY_RESTRICTED, 0, 0, run_as_non_root},
    {POD_SECURITY_RESTRICTED, 23, 0, run_as_user},
    {POD_SECURITY_RESTRICTED, 19, 0, seccomp_restricted},
};

_Static_assert(ARRAY_LEN(checks) <= POD_SECURITY_CHECKS_MAX, "room for all");

#define CONTAINER(c)                                                                     \
    ((struct container){(c)->name,                                                       \
                        (c)->security_context,                                           \
                        (c)->ports,                                                      \
                        (c)->n_ports,                                                    \
                        {(c)->liveness_probe, (c)->readiness_probe, (c)->startup_probe}, \
                        (c)->lifecycle})

static void view_init(struct view *v, struct arena *a, const Meta__V1__ObjectMeta *meta,
                      const Core__V1__PodSpec *spec, int minor)
{
    *v = (struct view){
        .a = a, .meta = meta, .spec = spec, .security = spec->security_context, .minor = minor};
    v->containers = arena_array(a, struct container,
                                spec->n_init_containers + spec->n_containers +
                                    spec->n_ephemeral_containers + 1);
    for (size_t i = 0; i < spec->n_init_containers; i++)
        v->containers[v->len++] = CONTAINER(spec->init_containers[i]);
    for (size_t i = 0; i < spec->n_containers; i++)
        v->containers[v->len++] = CONTAINER(spec->containers[i]);
    for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
        v->containers[v->len++] =
            CONTAINER(spec->ephemeral_containers[i]->ephemeral_container_common);
}

size_t pod_security_evaluate(struct arena *a, const struct pod_security_policy *policy,
                             const Meta__V1__ObjectMeta *meta, const Core__V1__PodSpec *spec,
                             struct pod_security_violation out[POD_SECURITY_CHECKS_MAX])
{
    struct view v;
    size_t n = 0;
    if (policy->level == POD_SECURITY_PRIVILEGED)
        return 0;
    view_init(&v, a, meta, spec, policy->latest ? POD_SECURITY_LATEST : policy->minor);
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        if (checks[i].level > policy->level || checks[i].since > v.minor)
            continue;
        int over = checks[i].overridden_since;
        if (policy->level == POD_SECURITY_RESTRICTED && over && (over == 1 || v.minor >= over))
            continue;
        if (checks[i].fn(&v, &out[n]))
            n++;
    }
    return n;
}

const char *pod_security_details(struct arena *a, const struct pod_security_violation *v, size_t n)
{
    struct arena_text text = {.a = a};
    for (size_t i = 0; i < n; i++)
        arena_text_addf(&text, *v[i].detail ? "%s%s (%s)" : "%s%s%s", i ? ", " : "", v[i].reason,
                        v[i].detail);
    return arena_text_of(&text);
}

const char *pod_security_reasons(struct arena *a, const struct pod_security_violation *v, size_t n)
{
    struct arena_text text = {.a = a};
    for (size_t i = 0; i < n; i++)
        arena_text_addf(&text, "%s%s", i ? ", " : "", v[i].reason);
    return arena_text_of(&text);
}
