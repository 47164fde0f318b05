/*
 * What a good pod had better not have.
 */
#include "api/meta.h"
#include "api/quantity.h"
#include "api/validation/warner.h"
#include "base/mem.h"
#include <string.h>

#define COMPARED_MAX 500 /* what stands twice is looked for among the first so many of a list */

/* ---- where it runs ---- */

static void warn_null_selector(struct warner *w, const char *at)
{
    WARN(w, "%s.labelSelector: a null labelSelector results in matching no pod", at);
}

static void warn_pod_terms(struct warner *w, const char *of,
                           Core__V1__PodAffinityTerm *const *required, size_t required_len,
                           Core__V1__WeightedPodAffinityTerm *const *preferred,
                           size_t preferred_len)
{
    const char *at = arena_printf(w->arena, "%sspec.affinity.%s", w->prefix, of);
    for (size_t i = 0; i < required_len; i++) {
        if (!required[i]->label_selector)
            warn_null_selector(
                w, arena_printf(w->arena, "%s.requiredDuringSchedulingIgnoredDuringExecution[%zu]",
                                at, i));
    }
    for (size_t i = 0; i < preferred_len; i++) {
        if (!preferred[i]->pod_affinity_term->label_selector)
            warn_null_selector(
                w, arena_printf(
                       w->arena,
                       "%s.preferredDuringSchedulingIgnoredDuringExecution[%zu].podAffinityTerm",
                       at, i));
    }
}

static void warn_node_affinity(struct warner *w, const Core__V1__NodeAffinity *n)
{
    const Core__V1__NodeSelector *required = n->required_during_scheduling_ignored_during_execution;
    for (size_t i = 0; required && i < required->n_node_selector_terms; i++)
        warn_node_selector_term(
            w,
            arena_printf(w->arena,
                         "%sspec.affinity.nodeAffinity."
                         "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[%zu]",
                         w->prefix, i),
            required->node_selector_terms[i], false);
    for (size_t i = 0; i < n->n_preferred_during_scheduling_ignored_during_execution; i++)
        warn_node_selector_term(
            w,
            arena_printf(w->arena,
                         "%sspec.affinity.nodeAffinity."
                         "preferredDuringSchedulingIgnoredDuringExecution[%zu].preference",
                         w->prefix, i),
            n->preferred_during_scheduling_ignored_during_execution[i]->preference, true);
}

static void warn_placement(struct warner *w, const Core__V1__PodSpec *spec)
{
    const Core__V1__Affinity *a = spec->affinity;
    for (size_t i = 0; i < spec->n_node_selector; i++) {
        const char *why = node_label_deprecated(spec->node_selector[i]->key);
        if (why)
            WARN(w, "%sspec.nodeSelector[%s]: %s", w->prefix, spec->node_selector[i]->key, why);
    }
    if (a && a->node_affinity)
        warn_node_affinity(w, a->node_affinity);
    for (size_t i = 0; i < spec->n_topology_spread_constraints; i++) {
        const Core__V1__TopologySpreadConstraint *t = spec->topology_spread_constraints[i];
        const char *why = node_label_deprecated(t->topology_key);
        const char *at =
            arena_printf(w->arena, "%sspec.topologySpreadConstraints[%zu]", w->prefix, i);
        if (why)
            WARN(w, "%s.topologyKey: %s is %s", at, t->topology_key, why);
        if (!t->label_selector)
            warn_null_selector(w, at);
    }
}

static void warn_pod_affinity(struct warner *w, const Core__V1__Affinity *a)
{
    if (a && a->pod_affinity)
        warn_pod_terms(w, "podAffinity",
                       a->pod_affinity->required_during_scheduling_ignored_during_execution,
                       a->pod_affinity->n_required_during_scheduling_ignored_during_execution,
                       a->pod_affinity->preferred_during_scheduling_ignored_during_execution,
                       a->pod_affinity->n_preferred_during_scheduling_ignored_during_execution);
    if (a && a->pod_anti_affinity)
        warn_pod_terms(
            w, "podAntiAffinity",
            a->pod_anti_affinity->required_during_scheduling_ignored_during_execution,
            a->pod_anti_affinity->n_required_during_scheduling_ignored_during_execution,
            a->pod_anti_affinity->preferred_during_scheduling_ignored_during_execution,
            a->pod_anti_affinity->n_preferred_during_scheduling_ignored_during_execution);
}

/* ---- annotations that fields have taken the place of ---- */

static void warn_annotations(struct warner *w, const Core__V1__PodSpec *spec,
                             const Meta__V1__ObjectMeta *meta)
{
    static const struct {
        const char *key, *why;
    } old[] = {{"scheduler.alpha.kubernetes.io/critical-pod",
                "non-functional in v1.16+; use the \"priorityClassName\" field instead"},
               {"security.alpha.kubernetes.io/sysctls",
                "non-functional in v1.11+; use the \"sysctls\" field instead"},
               {"security.alpha.kubernetes.io/unsafe-sysctls",
                "non-functional in v1.11+; use the \"sysctls\" field instead"}};
    static const char seccomp[] = "seccomp.security.alpha.kubernetes.io/pod";
    for (size_t i = 0; i < sizeof old / sizeof *old; i++) {
        if (annotations_get(meta, old[i].key))
            WARN(w, "%smetadata.annotations[%s]: %s", w->prefix, old[i].key, old[i].why);
    }
    bool has_profile = spec->security_context && spec->security_context->seccomp_profile;
    if (!has_profile && annotations_get(meta, seccomp))
        WARN(w,
             "%smetadata.annotations[%s]: non-functional in v1.27+; use the \"seccompProfile\" "
             "field instead",
             w->prefix, seccomp);
}

static void warn_container_annotations(struct warner *w, const Core__V1__PodSpec *spec,
                                       const Core__V1__Container *c, const struct seen *annotations)
{
    const Core__V1__SecurityContext *s = c->security_context;
    const char *seccomp =
        arena_printf(w->arena, "container.seccomp.security.alpha.kubernetes.io/%s", c->name);
    const char *app_armor =
        arena_printf(w->arena, "container.apparmor.security.beta.kubernetes.io/%s", c->name);
    bool pod_has = spec->security_context && spec->security_context->app_armor_profile;
    if (!(s && s->seccomp_profile) && seen_has(annotations, seccomp))
        WARN(w,
             "%smetadata.annotations[%s]: non-functional in v1.27+; use the \"seccompProfile\" "
             "field instead",
             w->prefix, seccomp);
    if (!pod_has && !(s && s->app_armor_profile) && seen_has(annotations, app_armor))
        WARN(w,
             "%smetadata.annotations[%s]: deprecated since v1.30; use the \"appArmorProfile\" "
             "field instead",
             w->prefix, app_armor);
}

/* ---- volumes ---- */

static void warn_volumes(struct warner *w, const Core__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const Core__V1__VolumeSource *v = spec->volumes[i]->volume_source;
        const struct {
            const void *source;
            const char *field, *state;
        } old[] = {
            {v->photon_persistent_disk, "photonPersistentDisk",
             "deprecated in v1.11, non-functional in v1.16+"},
            {v->git_repo, "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"},
            {v->scale_io, "scaleIO", "deprecated in v1.16, non-functional in v1.22+"},
            {v->flocker, "flocker", "deprecated in v1.22, non-functional in v1.25+"},
            {v->storageos, "storageOS", "deprecated in v1.22, non-functional in v1.25+"},
            {v->quobyte, "quobyte", "deprecated in v1.22, non-functional in v1.25+"},
            {v->glusterfs, "glusterfs", "deprecated in v1.25, non-functional in v1.26+"},
            {v->cephfs, "cephfs", "deprecated in v1.28, non-functional in v1.31+"},
            {v->rbd, "rbd", "deprecated in v1.28, non-functional in v1.31+"},
        };
        for (size_t k = 0; k < sizeof old / sizeof *old; k++) {
            if (old[k].source)
                WARN(w, "%sspec.volumes[%zu].%s: %s", w->prefix, i, old[k].field, old[k].state);
        }
        if (v->ephemeral && v->ephemeral->volume_claim_template)
            warn_claim_spec(w,
                            arena_printf(w->arena,
                                         "%sspec.volumes[%zu].ephemeral.volumeClaimTemplate.spec",
                                         w->prefix, i),
                            v->ephemeral->volume_claim_template->spec);
    }
}

/* ---- lists in which things stand twice ---- */

static void warn_lists(struct warner *w, const Core__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_host_aliases; i++) {
        const char *ip = spec->host_aliases[i]->ip;
        bool seen = false;
        for (size_t k = 0; k < MIN(i, (size_t)COMPARED_MAX) && !seen; k++)
            seen = cstr_eq(spec->host_aliases[k]->ip, ip);
        const char *at = arena_printf(w->arena, "%sspec.hostAliases[%zu].ip", w->prefix, i);
        if (seen)
            WARN(w, "%s: duplicate ip \"%s\"", at, ip);
        warn_ip(w, at, ip);
    }
    for (size_t i = 0; i < spec->n_image_pull_secrets; i++) {
        const char *name = spec->image_pull_secrets[i]->name;
        bool seen = false;
        for (size_t k = 0; k < MIN(i, (size_t)COMPARED_MAX) && !seen; k++)
            seen = cstr_eq(spec->image_pull_secrets[k]->name, name);
        if (seen)
            WARN(w, "%sspec.imagePullSecrets[%zu].name: duplicate name \"%s\"", w->prefix, i, name);
        if (!*name)
            WARN(w, "%sspec.imagePullSecrets[%zu].name: invalid empty name \"\"", w->prefix, i);
    }
    for (size_t i = 0; spec->dns_config && i < spec->dns_config->n_nameservers; i++)
        warn_ip(w, arena_printf(w->arena, "%sspec.dnsConfig.nameservers[%zu]", w->prefix, i),
                spec->dns_config->nameservers[i]);
}

/* ---- containers ---- */

static void warn_amounts(struct warner *w, const char *at, Meta__V1__QuantityEntry *const *amounts,
                         size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_one_of(amounts[i]->key, ONE_OF("ephemeral-storage", "memory")))
            warn_fraction(w, at, amounts[i]->key, amounts[i]->value->string);
    }
}

/* A variable may be said again to add to what it was; not to replace it. */
static void warn_variables(struct warner *w, const char *at, const Core__V1__Container *c)
{
    for (size_t i = 1; i < c->n_env; i++) {
        const Core__V1__EnvVar *v = c->env[i];
        const char *itself = arena_printf(w->arena, "$(%s)", v->name);
        bool seen = false;
        for (size_t k = 0; k < MIN(i, (size_t)COMPARED_MAX) && !seen; k++)
            seen = cstr_eq(c->env[k]->name, v->name);
        if (seen && (v->value_from || cstr_eq(v->value, itself) || !strstr(v->value, itself)))
            WARN(w,
                 "%s.env[%zu]: hides previous definition of \"%s\", which may be dropped when "
                 "using apply",
                 at, i, v->name);
    }
}

/* A port of any container, and where it stands. */
struct seen_port {
    const Core__V1__ContainerPort *port;
    const char *at;
};

static void warn_two_ports(struct warner *w, const char *at, const Core__V1__ContainerPort *p,
                           const struct seen_port *other)
{
    const Core__V1__ContainerPort *q = other->port;
    if (p->container_port != q->container_port || !cstr_eq(p->protocol, q->protocol))
        return;
    if (cstr_eq(p->host_ip, q->host_ip) && p->host_port == q->host_port)
        WARN(w, "%s: duplicate port definition with %s", at, other->at);
    else if (p->host_port == 0 || q->host_port == 0)
        WARN(w, "%s: overlapping port definition with %s", at, other->at);
    else if (p->host_port == q->host_port && !*p->host_ip != !*q->host_ip)
        WARN(w, "%s: dangerously ambiguous port definition with %s", at, other->at);
}

static size_t warn_ports(struct warner *w, const char *at, const Core__V1__Container *c,
                         struct seen_port *seen, size_t len)
{
    for (size_t i = 0; i < c->n_ports; i++) {
        const char *port = arena_printf(w->arena, "%s.ports[%zu]", at, i);
        for (size_t k = 0; k < MIN(len, (size_t)COMPARED_MAX); k++)
            warn_two_ports(w, port, c->ports[i], &seen[k]);
        seen[len++] = (struct seen_port){c->ports[i], port};
    }
    return len;
}

static void warn_containers(struct warner *w, const Core__V1__PodSpec *spec,
                            const Meta__V1__ObjectMeta *meta)
{
    const struct {
        const char *name;
        Core__V1__Container **items;
        size_t n;
    } lists[] = {{"initContainers", spec->init_containers, spec->n_init_containers},
                 {"containers", spec->containers, spec->n_containers}};
    size_t ports = 0, len = 0;
    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; i < lists[l].n; i++)
            ports += lists[l].items[i]->n_ports;
    const struct seen annotations =
        string_map_index(w->arena, meta->annotations, meta->n_annotations);
    struct seen_port *seen = arena_array(w->arena, struct seen_port, ports + 1);
    for (size_t l = 0; l < 2; l++) {
        for (size_t i = 0; i < lists[l].n; i++) {
            const Core__V1__Container *c = lists[l].items[i];
            const char *at = arena_printf(w->arena, "%sspec.%s[%zu]", w->prefix, lists[l].name, i);
            warn_container_annotations(w, spec, c, &annotations);
            if (c->resources) {
                warn_amounts(w, arena_printf(w->arena, "%s.resources.limits", at),
                             c->resources->limits, c->resources->n_limits);
                warn_amounts(w, arena_printf(w->arena, "%s.resources.requests", at),
                             c->resources->requests, c->resources->n_requests);
            }
            warn_variables(w, at, c);
            len = warn_ports(w, at, c, seen, len);
        }
    }
}

void warn_pod(struct warner *w, const Core__V1__PodSpec *spec, const Meta__V1__ObjectMeta *meta)
{
    warn_placement(w, spec);
    warn_annotations(w, spec, meta);
    warn_volumes(w, spec);
    warn_lists(w, spec);
    warn_amounts(w, arena_printf(w->arena, "%sspec.overhead", w->prefix), spec->overhead,
                 spec->n_overhead);
    warn_containers(w, spec, meta);
    if (spec->has_termination_grace_period_seconds && spec->termination_grace_period_seconds < 0)
        WARN(w,
             "%sspec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and "
             "will be treated as 1",
             w->prefix);
    warn_pod_affinity(w, spec->affinity);
}
