/*
 * Validation of security contexts: users, seccomp and AppArmor profiles, sysctls, Windows options, and
 * the annotations that some of them were before.
 */
#include "api/validation/pod.h"
#include <ctype.h>

#define SECCOMP_POD "seccomp.security.alpha.kubernetes.io/pod"
#define SECCOMP_CONTAINER "container.seccomp.security.alpha.kubernetes.io/"
#define APPARMOR_CONTAINER "container.apparmor.security.beta.kubernetes.io/"
#define MIRROR "kubernetes.io/config.mirror"
#define DELETION_COST "controller.kubernetes.io/pod-deletion-cost"
#define LOCALHOST "localhost/"
#define PROFILE_PATH_MAX 4095

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static void check_id(struct field_errors *e, const struct path *at, bool set, int64_t id)
{
    if (set)
        check_range(e, at, id, 0, INT32_MAX);
}

/* --- profiles --------------------------------------------------------------------------------- */

static void check_seccomp(struct field_errors *e, const struct path *at,
                          const Core__V1__SeccompProfile *s)
{
    if (!s)
        return;
    const struct path *profile = AT(at, "localhostProfile");
    if (!*s->type)
        err_required(e, AT(at, "type"), "type is required when seccompProfile is set");
    else
        check_one_of(e, AT(at, "type"), s->type,
                     ONE_OF("Localhost", "RuntimeDefault", "Unconfined"));
    if (strcmp(s->type, "Localhost") != 0) {
        if (s->localhost_profile)
            err_invalid_object(e, profile, s, "can only be set when seccomp type is Localhost");
    } else if (!s->localhost_profile) {
        err_required(e, profile, "must be set when seccomp type is Localhost");
    } else {
        check_descending_path(e, profile, s->localhost_profile);
    }
}

static void check_apparmor(struct field_errors *e, const struct path *at,
                           const Core__V1__AppArmorProfile *a)
{
    if (!a)
        return;
    const struct path *profile = AT(at, "localhostProfile");
    if (!*a->type) {
        err_required(e, AT(at, "type"), "type is required when appArmorProfile is set");
    } else if (strcmp(a->type, "Localhost") == 0) {
        struct str name = str_from(a->localhost_profile ? a->localhost_profile : "");
        if (str_trim(name).n != name.n)
            err_invalid(e, profile, a->localhost_profile, "must not be padded with whitespace");
        else if (name.n == 0)
            err_required(e, profile, "must be set when AppArmor type is Localhost");
        if (name.n > PROFILE_PATH_MAX)
            err_too_long(e, profile, PROFILE_PATH_MAX);
    } else if (check_one_of(e, AT(at, "type"), a->type,
                            ONE_OF("Localhost", "RuntimeDefault", "Unconfined")) &&
               a->localhost_profile) {
        err_invalid(e, profile, a->localhost_profile,
                    "can only be set when AppArmor type is Localhost");
    }
}

/* --- Windows ---------------------------------------------------------------------------------- */

/* A NetBIOS name (up to 15 characters, not beginning with a dot) or a DNS name. */
static bool is_windows_domain(const char *s, size_t n)
{
    bool net_bios = n >= 1 && n <= 15 && s[0] != '.', dns = true;
    for (size_t i = 0; i < n; i++)
        net_bios = net_bios && !strchr("\\/:*?\"<>|", s[i]);
    struct str rest = str_make(s, n), part;
    while (str_split(&rest, '.', &part)) {
        dns = dns && part.n >= 1 && part.n <= 63 && isalnum((unsigned char)part.p[0]) &&
              isalnum((unsigned char)part.p[part.n - 1]);
        for (size_t i = 0; dns && i < part.n; i++)
            dns = isalnum((unsigned char)part.p[i]) || part.p[i] == '-';
    }
    return net_bios || (n > 0 && dns);
}

static void check_windows_user(struct field_errors *e, const struct path *at, const char *name)
{
    const char *slash = strchr(name, '\\'), *user = slash ? slash + 1 : name;
    bool control = false;
    for (const char *c = name; *c; c++)
        control |= iscntrl((unsigned char)*c) != 0;
    if (!*name)
        err_invalid(e, at, name, "runAsUserName cannot be an empty string");
    else if (control)
        err_invalid(e, at, name, "runAsUserName cannot contain control characters");
    else if (strchr(user, '\\'))
        err_invalid(e, at, name, "runAsUserName cannot contain more than one backslash");
    else {
        if (slash && slash - name >= 256)
            err_invalid(e, at, name, "runAsUserName's Domain length must be under 256 characters");
        if (slash && !is_windows_domain(name, (size_t)(slash - name)))
            err_invalid(e, at, name,
                        "runAsUserName's Domain doesn't match the NetBios nor the DNS format");
        if (!*user)
            err_invalid(e, at, name, "runAsUserName's User cannot be empty");
        else if (strlen(user) > 104)
            err_invalid(e, at, name,
                        "runAsUserName's User length must not be longer than 104 characters");
        if (*user && strspn(user, ". ") == strlen(user))
            err_invalid(e, at, name, "runAsUserName's User cannot contain only periods or spaces");
        if (strpbrk(user, "\"/\\:;|=,+*?<>@[]"))
            err_invalid(e, at, name,
                        "runAsUserName's User cannot contain the following characters: "
                        "\"/\\:;|=,+*?<>@[]");
    }
}

static void check_windows(struct field_errors *e, const struct path *at,
                          const Core__V1__WindowsSecurityContextOptions *w)
{
    if (!w)
        return;
    if (w->gmsa_credential_spec_name)
        check_string(e, AT(at, "gmsaCredentialSpecName"), w->gmsa_credential_spec_name,
                     validate_dns1123_subdomain);
    if (w->gmsa_credential_spec && !*w->gmsa_credential_spec)
        err_invalid(e, AT(at, "gmsaCredentialSpec"), "",
                    "gmsaCredentialSpec cannot be an empty string");
    else if (w->gmsa_credential_spec && strlen(w->gmsa_credential_spec) > 64 * 1024)
        err_invalid(e, AT(at, "gmsaCredentialSpec"), w->gmsa_credential_spec,
                    "gmsaCredentialSpec size must be under 64 KiB");
    if (w->run_as_user_name)
        check_windows_user(e, AT(at, "runAsUserName"), w->run_as_user_name);
}

/* --- containers' contexts --------------------------------------------------------------------- */

void check_security_context(struct pod_check *p, const struct path *at,
                            const Core__V1__SecurityContext *s)
{
    struct field_errors *e = p->e;
    if (!s)
        return;
    check_id(e, AT(at, "runAsUser"), s->has_run_as_user, s->run_as_user);
    check_id(e, AT(at, "runAsGroup"), s->has_run_as_group, s->run_as_group);
    if (s->proc_mount) {
        check_one_of(e, AT(at, "procMount"), s->proc_mount, ONE_OF("Default", "Unmasked"));
        if (strcmp(s->proc_mount, "Unmasked") == 0 &&
            !(p->spec->has_host_users && !p->spec->host_users))
            err_invalid(e, AT(at, "procMount"), s->proc_mount,
                        "`hostUsers` must be false to use `Unmasked`");
    }
    check_seccomp(e, AT(at, "seccompProfile"), s->seccomp_profile);
    if (s->has_allow_privilege_escalation && !s->allow_privilege_escalation) {
        if (s->has_privileged && s->privileged)
            err_invalid_object(e, at, s,
                               "cannot set `allowPrivilegeEscalation` to false and `privileged` to "
                               "true");
        if (s->capabilities &&
            string_list_has(s->capabilities->add, s->capabilities->n_add, "CAP_SYS_ADMIN"))
            err_invalid_object(e, at, s,
                               "cannot set `allowPrivilegeEscalation` to false and "
                               "`capabilities.Add` CAP_SYS_ADMIN");
    }
    check_windows(e, AT(at, "windowsOptions"), s->windows_options);
    check_apparmor(e, AT(at, "appArmorProfile"), s->app_armor_profile);
}

/* --- the pod's context ------------------------------------------------------------------------ */

#define SYSCTL_REGEX "^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"

static bool is_sysctl_name(const char *s)
{
    size_t n = strlen(s), start = 0;
    if (n > 253)
        return false;
    for (size_t i = 0; i <= n; i++) {
        if (i < n && s[i] != '.' && s[i] != '/') {
            if (!islower((unsigned char)s[i]) && !isdigit((unsigned char)s[i]) && s[i] != '-' &&
                s[i] != '_')
                return false;
            continue;
        }
        if (i == start || strchr("-_", s[start]) || strchr("-_", s[i - 1]))
            return false;
        start = i + 1;
    }
    return true;
}

/* The namespace that keeps a sysctl apart from the host's. */
static bool is_ipc_sysctl(const char *name)
{
    return is_one_of(name, ONE_OF("kernel.sem", "kernel/sem")) || has_prefix(name, "kernel.shm") ||
           has_prefix(name, "kernel.msg") || has_prefix(name, "fs.mqueue.") ||
           has_prefix(name, "kernel/shm") || has_prefix(name, "kernel/msg") ||
           has_prefix(name, "fs/mqueue/");
}

static void check_sysctls(struct pod_check *p, const struct path *at,
                          const Core__V1__PodSecurityContext *s)
{
    struct field_errors *e = p->e;
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < s->n_sysctls; i++) {
        const struct path *item = AT(ITEM(at, i), "name");
        const char *name = s->sysctls[i]->name;
        bool twice = seen_again(&seen, name);
        if (!*name)
            err_required(e, item, "");
        else if (!is_sysctl_name(name))
            err_invalid(e, item, name,
                        "must have at most 253 characters and match regex " SYSCTL_REGEX);
        else if (twice)
            err_duplicate(e, item, name);
        if (p->spec->host_network && (has_prefix(name, "net.") || has_prefix(name, "net/")))
            err_invalid(e, item, name, "may not be specified when 'hostNetwork' is true");
        else if (p->spec->host_ipc && is_ipc_sysctl(name))
            err_invalid(e, item, name, "may not be specified when 'hostIPC' is true");
    }
}

void check_pod_security(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    const Core__V1__PodSecurityContext *s = spec->security_context;
    if (spec->has_share_process_namespace && spec->share_process_namespace && spec->host_pid)
        err_invalid_raw(e, AT(at, "shareProcessNamespace"), "true",
                        "ShareProcessNamespace and HostPID cannot both be enabled");
    if (!s)
        return;
    check_id(e, AT(at, "fsGroup"), s->has_fs_group, s->fs_group);
    check_id(e, AT(at, "runAsUser"), s->has_run_as_user, s->run_as_user);
    check_id(e, AT(at, "runAsGroup"), s->has_run_as_group, s->run_as_group);
    for (size_t i = 0; i < s->n_supplemental_groups; i++)
        check_id(e, ITEM(AT(at, "supplementalGroups"), i), true, s->supplemental_groups[i]);
    check_sysctls(p, AT(at, "sysctls"), s);
    if (s->fs_group_change_policy)
        check_one_of(e, AT(at, "fsGroupChangePolicy"), s->fs_group_change_policy,
                     ONE_OF("Always", "OnRootMismatch"));
    check_seccomp(e, AT(at, "seccompProfile"), s->seccomp_profile);
    check_windows(e, AT(at, "windowsOptions"), s->windows_options);
    check_apparmor(e, AT(at, "appArmorProfile"), s->app_armor_profile);
    if (s->supplemental_groups_policy)
        check_one_of(e, AT(at, "supplementalGroupsPolicy"), s->supplemental_groups_policy,
                     ONE_OF("Merge", "Strict"));
    if (s->se_linux_change_policy)
        check_one_of(e, AT(at, "seLinuxChangePolicy"), s->se_linux_change_policy,
                     ONE_OF("MountOption", "Recursive"));
}

/* --- operating systems ------------------------------------------------------------------------ */

/* A setting of a context that Windows does not have. */
struct setting {
    bool set;
    const char *name;
};

static void forbid(struct field_errors *e, const struct path *at, const struct setting *settings,
                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (settings[i].set)
            err_forbidden(e, AT(at, settings[i].name), "cannot be set for a windows pod");
    }
}

static void check_windows_container(struct pod_check *p, const struct path *at,
                                    const Core__V1__Container *c)
{
    const Core__V1__SecurityContext *s = c->security_context;
    if (!s)
        return;
    const struct setting settings[] = {
        {s->app_armor_profile != NULL, "appArmorProfile"},
        {s->se_linux_options != NULL, "seLinuxOptions"},
        {s->seccomp_profile != NULL, "seccompProfile"},
        {s->capabilities != NULL, "capabilities"},
        {s->has_read_only_root_filesystem, "readOnlyRootFilesystem"},
        {s->has_privileged, "privileged"},
        {s->has_allow_privilege_escalation, "allowPrivilegeEscalation"},
        {s->proc_mount != NULL, "procMount"},
        {s->has_run_as_user, "runAsUser"},
        {s->has_run_as_group, "runAsGroup"}};
    forbid(p->e, AT(at, "securityContext"), settings, sizeof settings / sizeof *settings);
}

static void check_windows_pod(struct pod_check *p, const struct path *at)
{
    const Core__V1__PodSpec *spec = p->spec;
    const Core__V1__PodSecurityContext *s = spec->security_context;
    const struct setting of_pod[] = {{spec->has_host_users, "hostUsers"},
                                     {spec->host_pid, "hostPID"},
                                     {spec->host_ipc, "hostIPC"},
                                     {spec->has_share_process_namespace, "shareProcessNamespace"}};
    forbid(p->e, at, of_pod, sizeof of_pod / sizeof *of_pod);
    if (s) {
        const struct setting settings[] = {
            {s->app_armor_profile != NULL, "appArmorProfile"},
            {s->se_linux_options != NULL, "seLinuxOptions"},
            {s->seccomp_profile != NULL, "seccompProfile"},
            {s->has_fs_group, "fsGroup"},
            {s->fs_group_change_policy != NULL, "fsGroupChangePolicy"},
            {s->n_sysctls > 0, "sysctls"},
            {s->has_run_as_user, "runAsUser"},
            {s->has_run_as_group, "runAsGroup"},
            {s->n_supplemental_groups > 0, "supplementalGroups"},
            {s->supplemental_groups_policy != NULL, "supplementalGroupsPolicy"},
            {s->se_linux_change_policy != NULL, "seLinuxChangePolicy"}};
        forbid(p->e, AT(at, "securityContext"), settings, sizeof settings / sizeof *settings);
    }
    visit_containers(p, at, check_windows_container);
}

static void check_linux_container(struct pod_check *p, const struct path *at,
                                  const Core__V1__Container *c)
{
    if (c->security_context && c->security_context->windows_options)
        err_forbidden(p->e, AT(AT(at, "securityContext"), "windowsOptions"),
                      "windows options cannot be set for a linux pod");
}

static const bool *host_process(const Core__V1__WindowsSecurityContextOptions *w)
{
    static const bool values[] = {false, true};
    return w && w->has_host_process ? &values[!!w->host_process] : NULL;
}

static const bool *pod_host_process(const struct pod_check *p)
{
    const Core__V1__PodSecurityContext *s = p->spec->security_context;
    return s ? host_process(s->windows_options) : NULL;
}

static const bool *container_host_process(const Core__V1__Container *c)
{
    return c->security_context ? host_process(c->security_context->windows_options) : NULL;
}

static void check_host_process(struct pod_check *p, const struct path *at,
                               const Core__V1__Container *c)
{
    const bool *of_pod = pod_host_process(p), *own = container_host_process(c);
    if (of_pod && own && *of_pod != *own)
        err_invalid_raw(
            p->e, AT(AT(AT(at, "securityContext"), "windowsOptions"), "hostProcess"),
            *own ? "true" : "false",
            arena_printf(p->e->arena,
                         "pod hostProcess value must be identical if both are specified, was %s",
                         *of_pod ? "true" : "false"));
}

/* All containers are host processes, or none is. */
static void check_host_processes(struct pod_check *p, const struct path *at)
{
    const Core__V1__PodSpec *spec = p->spec;
    const bool *of_pod = pod_host_process(p);
    size_t all = 0, host = 0;
    visit_containers(p, at, check_host_process);
    for (size_t i = 0; i < spec->n_containers + spec->n_init_containers; i++) {
        const Core__V1__Container *c = i < spec->n_containers
                                           ? spec->containers[i]
                                           : spec->init_containers[i - spec->n_containers];
        const bool *own = container_host_process(c);
        all++;
        host += own ? *own : of_pod && *of_pod;
    }
    if (host == 0)
        return;
    if (host != all)
        err_invalid(p->e, at, "",
                    "If pod contains any hostProcess containers then all containers must be "
                    "HostProcess containers");
    if (!spec->host_network)
        err_invalid_raw(p->e, AT(at, "hostNetwork"), "false",
                        "hostNetwork must be true if pod contains any hostProcess containers");
}

void check_pod_os(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    check_host_processes(p, at);
    if (spec->has_host_users && !spec->host_users) {
        static const char message[] = "when `hostUsers` is false";
        if (spec->host_network)
            err_forbidden(e, AT(at, "hostNetwork"), message);
        if (spec->host_pid)
            err_forbidden(e, AT(at, "hostPID"), message);
        if (spec->host_ipc)
            err_forbidden(e, AT(at, "hostIPC"), message);
    }
    if (!spec->os)
        return;
    if (!*spec->os->name)
        err_required(e, AT(AT(at, "os"), "name"), "cannot be empty");
    else if (strcmp(spec->os->name, "windows") == 0)
        check_windows_pod(p, at);
    else if (check_one_of(e, AT(at, "os"), spec->os->name, ONE_OF("linux", "windows"))) {
        if (spec->security_context && spec->security_context->windows_options)
            err_forbidden(e, AT(AT(at, "securityContext"), "windowsOptions"),
                          "windows options cannot be set for a linux pod");
        visit_containers(p, at, check_linux_container);
    }
}

/* --- annotations ------------------------------------------------------------------------------ */

static void check_seccomp_annotation(struct field_errors *e, const struct path *at,
                                     const char *profile)
{
    if (is_one_of(profile, ONE_OF("docker/default", "runtime/default", "unconfined")))
        return;
    if (has_prefix(profile, LOCALHOST))
        check_descending_path(e, at, profile + strlen(LOCALHOST));
    else
        err_invalid(e, at, profile, "must be a valid seccomp profile");
}

static void check_apparmor_annotation(struct pod_check *p, const struct path *at,
                                      const struct seen *containers, const char *name,
                                      const char *profile)
{
    if (!seen_has(containers, name))
        err_invalid(p->e, at, name, "container not found");
    if (*profile && !is_one_of(profile, ONE_OF("runtime/default", "unconfined")) &&
        !has_prefix(profile, LOCALHOST))
        err_invalid(p->e, at, profile,
                    arena_printf(p->e->arena, "invalid AppArmor profile name: \"%s\"", profile));
}

void check_pod_annotations(struct pod_check *p, const struct path *at,
                           const Meta__V1__ObjectMeta *meta)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    struct seen containers = {.arena = e->arena};
    if (meta->n_annotations > 0) {
        containers = container_names(e->arena, spec);
        for (size_t i = 0; i < spec->n_ephemeral_containers; i++)
            seen_again(&containers,
                       spec->ephemeral_containers[i]->ephemeral_container_common->name);
    }
    for (size_t i = 0; i < meta->n_annotations; i++) {
        const char *key = meta->annotations[i]->key, *value = meta->annotations[i]->value;
        int64_t cost;
        if (strcmp(key, MIRROR) == 0 && !*p->spec->node_name)
            err_invalid(e, KEY(at, key), value,
                        "must set spec.nodeName if mirror pod annotation is set");
        else if (strcmp(key, DELETION_COST) == 0 &&
                 (!str_to_i64(str_from(value), &cost) || cost < INT32_MIN || cost > INT32_MAX ||
                  *value == '+' || (value[0] == '0' && value[1])))
            err_invalid(e, KEY(at, key), value, "must be a 32bit integer");
        else if (strcmp(key, SECCOMP_POD) == 0 || has_prefix(key, SECCOMP_CONTAINER))
            check_seccomp_annotation(e, AT(at, key), value);
        else if (has_prefix(key, APPARMOR_CONTAINER))
            check_apparmor_annotation(p, KEY(at, key), &containers,
                                      key + strlen(APPARMOR_CONTAINER), value);
    }
}

/* Does an annotation's profile say what type and profile of a field say? */
static void check_match(struct field_errors *e, const struct path *at, const char *what,
                        const char *annotation, const char *type, const char *profile)
{
    bool same = true;
    if (strcmp(type, "Unconfined") == 0)
        same = strcmp(annotation, "unconfined") == 0;
    else if (strcmp(type, "RuntimeDefault") == 0)
        same = is_one_of(annotation, ONE_OF("runtime/default", "docker/default"));
    else if (strcmp(type, "Localhost") == 0 && has_prefix(annotation, LOCALHOST)) {
        if (!cstr_eq(profile, annotation + strlen(LOCALHOST)))
            err_forbidden(
                e, AT(at, "localhostProfile"),
                arena_printf(e->arena, "%s profile in annotation and field must match", what));
        return;
    } else if (strcmp(type, "Localhost") == 0) {
        same = false;
    }
    if (!same)
        err_forbidden(e, AT(at, "type"),
                      arena_printf(e->arena, "%s type in annotation and field must match", what));
}

static const char *annotation_for(const struct pod_check *p, const char *prefix,
                                  const char *container)
{
    return seen_value(&p->annotations, arena_printf(p->e->arena, "%s%s", prefix, container));
}

static void check_container_match(struct pod_check *p, const struct path *at,
                                  const Core__V1__Container *c)
{
    const Core__V1__SecurityContext *s = c->security_context;
    const Core__V1__PodSecurityContext *pod = p->spec->security_context;
    const struct path *context = AT(at, "securityContext");
    const Core__V1__AppArmorProfile *a = s && s->app_armor_profile ? s->app_armor_profile
                                         : pod                     ? pod->app_armor_profile
                                                                   : NULL;
    const char *value;
    if (s && s->seccomp_profile && (value = annotation_for(p, SECCOMP_CONTAINER, c->name)))
        check_match(p->e, AT(context, "seccompProfile"), "seccomp", value, s->seccomp_profile->type,
                    s->seccomp_profile->localhost_profile);
    if (a && (value = annotation_for(p, APPARMOR_CONTAINER, c->name)))
        check_match(p->e, AT(context, "appArmorProfile"), "apparmor", value, a->type,
                    a->localhost_profile);
}

void check_annotations_match_fields(struct pod_check *p, const struct path *at,
                                    const Meta__V1__ObjectMeta *meta)
{
    const Core__V1__PodSecurityContext *pod = p->spec->security_context;
    const char *value;
    if (meta->n_annotations == 0 || (p->spec->os && strcmp(p->spec->os->name, "windows") == 0))
        return;
    if (pod && pod->seccomp_profile && (value = annotations_get(meta, SECCOMP_POD)))
        check_match(p->e, AT(AT(at, "securityContext"), "seccompProfile"), "seccomp", value,
                    pod->seccomp_profile->type, pod->seccomp_profile->localhost_profile);
    struct pod_check annotated = *p;
    annotated.annotations = string_map_index(p->e->arena, meta->annotations, meta->n_annotations);
    visit_containers(&annotated, at, check_container_match);
}
