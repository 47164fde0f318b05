/*
 * PodSecurity: pods are refused, or warned of, by the labels of their namespace; workloads are warned
 * of for the pods they will make; a namespace whose level is raised tells which of its pods break it.
 * Exempt users, namespaces and runtime classes come from the configuration.
 */
#include "apiserver/admission/pod_security.h"
#include "apiserver/admission/admission.h"
#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/batch_v1.pb-c.h"
#include "base/str.h"

#define PODS_CHECKED_MAX 3000
#define PODS_READ_MAX (3 * PODS_CHECKED_MAX) /* in search of pods that are not of one kind */
/* So long for all. Upstream takes up to a second, but of a thread that serves nobody else. */
#define CHECKING_NS (NS_PER_S / 2)

#define LABEL "pod-security.kubernetes.io/"

static bool listed(const char *const *list, const char *name)
{
    for (; list && name && *name && *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

/* Asked first: who is exempt needs no namespace. */
static bool is_exempt(const struct admission *ad)
{
    const struct apiserver_config *c = &ad->rq->server->config;
    return listed(c->pod_security_exempt_namespaces, ad->ns) ||
           listed(c->pod_security_exempt_users, ad->user->name);
}

static bool is_exempt_class(const struct admission *ad, const Core__V1__PodSpec *spec)
{
    return listed(ad->rq->server->config.pod_security_exempt_runtime_classes,
                  spec->runtime_class_name);
}

static struct status *policy_of(struct admission *ad, struct pod_security_labels *out)
{
    void *ns;
    struct error err;
    int rc = admission_load(ad, CACHED_NAMESPACES, "", ad->ns, &ns, NULL, &err);
    if (rc < 0)
        return status_from_error(ad->a, &err);
    if (rc == 0)
        return status_internal(ad->a, "failed to lookup namespace \"%s\"", ad->ns);
    pod_security_labels_of(object_meta(ns), ad->rq->server->config.pod_security_defaults, out);
    return NULL;
}

/* ---- pods ---- */

static void warn(struct admission *ad, const struct pod_security_policy *p,
                 const Meta__V1__ObjectMeta *meta, const Core__V1__PodSpec *spec)
{
    struct pod_security_violation v[POD_SECURITY_CHECKS_MAX];
    size_t n = pod_security_evaluate(ad->a, p, meta, spec, v);
    if (n)
        rest_warn(ad->rq, arena_printf(ad->a, "would violate PodSecurity \"%s\": %s",
                                       pod_security_policy_text(ad->a, p),
                                       pod_security_details(ad->a, v, n)));
}

static bool image_changed(Core__V1__Container *const *now, size_t n,
                          Core__V1__Container *const *was, size_t was_len)
{
    if (n != was_len)
        return true;
    for (size_t i = 0; i < n; i++)
        if (!cstr_eq(now[i]->image, was[i]->image))
            return true;
    return false;
}

/* By name; they may come in another order. */
static bool ephemeral_changed(const Core__V1__PodSpec *now, const Core__V1__PodSpec *was)
{
    struct map images;
    bool changed = false;
    map_init(&images);
    for (size_t i = was->n_ephemeral_containers; i-- > 0;) {
        const Core__V1__EphemeralContainerCommon *c =
            was->ephemeral_containers[i]->ephemeral_container_common;
        map_put(&images, str_from(c->name), c->image);
    }
    for (size_t i = 0; i < now->n_ephemeral_containers && !changed; i++) {
        const Core__V1__EphemeralContainerCommon *c =
            now->ephemeral_containers[i]->ephemeral_container_common;
        const char *image = map_get(&images, str_from(c->name));
        changed = !image || !cstr_eq(image, c->image);
    }
    map_free(&images);
    return changed;
}

bool pod_security_update_matters(const Core__V1__PodSpec *now, const Core__V1__PodSpec *was)
{
    return image_changed(now->containers, now->n_containers, was->containers, was->n_containers) ||
           image_changed(now->init_containers, now->n_init_containers, was->init_containers,
                         was->n_init_containers) ||
           ephemeral_changed(now, was);
}

static struct status *check_pod(struct admission *ad)
{
    struct pod_security_labels labels;
    const Core__V1__Pod *pod = ad->object;
    if (*ad->sub && strcmp(ad->sub, "ephemeralcontainers") != 0 && strcmp(ad->sub, "resize") != 0)
        return NULL;
    if (is_exempt(ad))
        return NULL;
    struct status *s = policy_of(ad, &labels);
    if (s || is_exempt_class(ad, pod->spec))
        return s;
    if (ad->op == ADMIT_UPDATE &&
        !pod_security_update_matters(pod->spec, ((const Core__V1__Pod *)ad->old)->spec))
        return NULL;
    struct pod_security_violation v[POD_SECURITY_CHECKS_MAX];
    size_t n = pod_security_evaluate(ad->a, &labels.enforce, pod->metadata, pod->spec, v);
    if (n)
        return admission_forbidden(ad, "violates PodSecurity \"%s\": %s",
                                   pod_security_policy_text(ad->a, &labels.enforce),
                                   pod_security_details(ad->a, v, n));
    warn(ad, &labels.warn, pod->metadata, pod->spec);
    return NULL;
}

/* ---- what makes pods ---- */

static const Core__V1__PodTemplateSpec *template_of(const void *object)
{
    switch (schema_of(object)->id) {
    case Core__V1__PodTemplate__SCHEMA:
        return ((const Core__V1__PodTemplate *)object)->template_;
    case Core__V1__ReplicationController__SCHEMA:
        return ((const Core__V1__ReplicationController *)object)->spec->template_;
    case Apps__V1__ReplicaSet__SCHEMA:
        return ((const Apps__V1__ReplicaSet *)object)->spec->template_;
    case Apps__V1__Deployment__SCHEMA:
        return ((const Apps__V1__Deployment *)object)->spec->template_;
    case Apps__V1__StatefulSet__SCHEMA:
        return ((const Apps__V1__StatefulSet *)object)->spec->template_;
    case Apps__V1__DaemonSet__SCHEMA:
        return ((const Apps__V1__DaemonSet *)object)->spec->template_;
    case Batch__V1__Job__SCHEMA:
        return ((const Batch__V1__Job *)object)->spec->template_;
    case Batch__V1__CronJob__SCHEMA:
        return ((const Batch__V1__CronJob *)object)->spec->job_template->spec->template_;
    default:
        return NULL;
    }
}

/* A warning is all that comes of it: what cannot be looked up refuses nothing. */
static struct status *check_template(struct admission *ad)
{
    struct pod_security_labels labels;
    const Core__V1__PodTemplateSpec *t = *ad->sub ? NULL : template_of(ad->object);
    if (!t || !t->spec || is_exempt(ad) || is_exempt_class(ad, t->spec))
        return NULL;
    struct status *s = policy_of(ad, &labels);
    if (s)
        log_warn("admission", "PodSecurity: not checked namespace=%s error=\"%s\"", ad->ns,
                 s->message);
    else
        warn(ad, &labels.warn, t->metadata, t->spec);
    return NULL;
}

/* ---- namespaces ---- */

struct broken {
    const char *reasons, *pod;
    size_t count;
};

/* Pods of one controller are alike: the first of each goes before all others, in a pass of its own. */
struct pod_check {
    struct admission *ad;
    const struct pod_security_policy *policy;
    struct arena scratch; /* of one pod */
    struct broken *kinds;
    size_t len, cap;
    size_t checked, read, exempt;
    uint64_t until_ns;      /* by clock_mono_ns */
    struct map controllers; /* uids seen in this pass */
    bool firsts;            /* this is the first pass */
};

static void note(struct pod_check *c, const char *reasons, const char *pod)
{
    struct arena *a = c->ad->a;
    for (size_t i = 0; i < c->len; i++) {
        struct broken *b = &c->kinds[i];
        if (strcmp(b->reasons, reasons) != 0)
            continue;
        b->count++;
        if (strcmp(pod, b->pod) < 0)
            b->pod = arena_strdup(a, pod);
        return;
    }
    if (c->len == c->cap) {
        size_t cap = c->cap ? c->cap * 2 : 8;
        c->kinds = arena_grow(a, c->kinds, c->cap * sizeof *c->kinds, cap * sizeof *c->kinds);
        c->cap = cap;
    }
    c->kinds[c->len++] = (struct broken){arena_strdup(a, reasons), arena_strdup(a, pod), 1};
}

static bool is_first(struct pod_check *c, const Core__V1__Pod *pod)
{
    const Meta__V1__OwnerReference *owner = controller_of(pod->metadata);
    if (!owner)
        return true;
    if (map_has(&c->controllers, str_from(owner->uid)))
        return false;
    map_put(&c->controllers, str_from(owner->uid), c);
    return true;
}

static int check_existing(void *ctx, const struct kv_pair *pair)
{
    struct pod_check *c = ctx;
    struct pod_security_violation v[POD_SECURITY_CHECKS_MAX];
    void *object;
    struct error err;
    if (c->checked == PODS_CHECKED_MAX || c->read++ == PODS_READ_MAX ||
        clock_mono_ns() >= c->until_ns)
        return 1;
    if (stored_decode(&c->scratch, pair->value, pair->mod_rev, NULL, &object, &err) < 0)
        return err.code;
    const Core__V1__Pod *pod = object;
    bool exempt = is_exempt_class(c->ad, pod->spec);
    c->exempt += exempt && c->firsts;
    if (!exempt && is_first(c, pod) == c->firsts) {
        size_t n = pod_security_evaluate(&c->scratch, c->policy, pod->metadata, pod->spec, v);
        if (n)
            note(c, pod_security_reasons(&c->scratch, v, n), pod->metadata->name);
        c->checked++;
    }
    arena_reset(&c->scratch);
    return 0;
}

static void warn_of_broken(struct pod_check *c, const char *ns, size_t total)
{
    struct admission *ad = c->ad;
    const char **lines = arena_array(ad->a, const char *, c->len + 1);
    if (c->checked < total)
        rest_warn(ad->rq, arena_printf(ad->a,
                                       "new PodSecurity enforce level only checked against the "
                                       "first %zu of %zu existing pods",
                                       c->checked, total));
    if (c->len)
        rest_warn(ad->rq,
                  arena_printf(ad->a,
                               "existing pods in namespace \"%s\" violate the new PodSecurity "
                               "enforce level \"%s\"",
                               ns, pod_security_policy_text(ad->a, c->policy)));
    for (size_t i = 0; i < c->len; i++) {
        const struct broken *b = &c->kinds[i];
        const char *others = b->count == 1 ? ""
                             : b->count == 2
                                 ? " (and 1 other pod)"
                                 : arena_printf(ad->a, " (and %zu other pods)", b->count - 1);
        lines[i] = arena_printf(ad->a, "%s%s: %s", b->pod, others, b->reasons);
    }
    qsort(lines, c->len, sizeof *lines, cstr_order);
    for (size_t i = 0; i < c->len; i++)
        rest_warn(ad->rq, lines[i]);
}

static struct status *check_pods_of(struct admission *ad, const struct pod_security_policy *p)
{
    struct pod_check c = {.ad = ad, .policy = p, .until_ns = clock_mono_ns() + CHECKING_NS};
    struct kv_range_result out;
    struct error err;
    struct str prefix = rest_prefix(ad->a, resource_of_message(Core__V1__Pod__SCHEMA), ad->name);
    struct kv_range_request all = {
        .key = prefix, .end = kv_prefix_end(ad->a, prefix), .count_only = true};
    int rc = kv_range(ad->rq->server->kv, &all, ad->a, &out, &err);
    size_t total = rc < 0 ? 0 : (size_t)out.count;
    struct kv_range_request rq = {
        .key = prefix, .end = all.end, .no_count = true, .rev = rc < 0 ? 0 : out.rev};
    arena_init(&c.scratch);
    for (int pass = 0; pass < 2 && rc == 0 && c.checked + c.exempt < total; pass++) {
        c.firsts = pass == 0;
        c.read = 0;
        map_init(&c.controllers);
        rc = kv_scan(ad->rq->server->kv, &rq, check_existing, &c, ad->a, &out, &err);
        map_free(&c.controllers);
    }
    arena_free(&c.scratch);
    if (rc == 0) {
        warn_of_broken(&c, ad->name, total - c.exempt);
        return NULL;
    }
    log_warn("admission", "PodSecurity: pods were not checked namespace=%s error=\"%s\"", ad->name,
             err.message);
    rest_warn(ad->rq, "failed to list pods while checking new PodSecurity enforce level");
    return NULL;
}

static struct status *bad_labels(struct admission *ad, const struct pod_security_labels *l)
{
    struct status_about about = {ad->r->group, ad->r->plural, ad->r->kind, ad->name};
    struct status *s = status_invalid(ad->a, &about);
    for (size_t i = 0; i < l->errors_len; i++)
        status_cause_add(ad->a, s, "FieldValueInvalid",
                         arena_printf(ad->a, "metadata.labels[%s]", l->errors[i].label),
                         "Invalid value: \"%s\": %s", l->errors[i].value, l->errors[i].reason);
    status_invalid_finish(ad->a, s);
    return s;
}

static bool same_errors(const struct pod_security_labels *x, const struct pod_security_labels *y)
{
    bool same = x->errors_len == y->errors_len;
    for (size_t i = 0; same && i < x->errors_len; i++)
        same = strcmp(x->errors[i].label, y->errors[i].label) == 0 &&
               strcmp(x->errors[i].value, y->errors[i].value) == 0;
    return same;
}

static bool same_version(const struct pod_security_policy *x, const struct pod_security_policy *y)
{
    return x->latest == y->latest && (x->latest || x->minor == y->minor);
}

static bool has_label(const struct admission *ad, const char *mode)
{
    const Meta__V1__ObjectMeta *meta = object_meta(ad->object);
    const char *level = arena_printf(ad->a, LABEL "%s", mode);
    return labels_get(meta, level) || labels_get(meta, arena_printf(ad->a, "%s-version", level));
}

/* Labels of an exempt namespace that would mean something elsewhere. */
static struct status *warn_of_exemption(struct admission *ad, const struct pod_security_labels *l,
                                        const struct pod_security_labels *defaults)
{
    const struct pod_security_policy *now[] = {&l->enforce, &l->audit, &l->warn};
    static const struct pod_security_policy none;
    const struct pod_security_policy *usual[] = {defaults ? &defaults->enforce : &none,
                                                 defaults ? &defaults->audit : &none,
                                                 defaults ? &defaults->warn : &none};
    static const char *const modes[] = {"enforce", "audit", "warn"};
    const char *text = "";
    bool same = true, privileged = true;
    for (size_t i = 0; i < ARRAY_LEN(now); i++) {
        privileged = privileged && now[i]->level == POD_SECURITY_PRIVILEGED;
        same = same && now[i]->level == usual[i]->level &&
               (now[i]->level == POD_SECURITY_PRIVILEGED || same_version(now[i], usual[i]));
        if (now[i]->level != POD_SECURITY_PRIVILEGED && has_label(ad, modes[i]))
            text = arena_printf(ad->a, "%s%s%s=%s", text, *text ? ", " : "", modes[i],
                                pod_security_policy_text(ad->a, now[i]));
    }
    if (!same && !privileged)
        rest_warn(ad->rq, arena_printf(ad->a,
                                       "namespace \"%s\" is exempt from Pod Security, and the "
                                       "policy (%s) will be ignored",
                                       ad->name, text));
    return NULL;
}

static struct status *check_namespace(struct admission *ad)
{
    struct pod_security_labels now, was;
    if (*ad->sub)
        return NULL;
    const struct pod_security_labels *defaults = ad->rq->server->config.pod_security_defaults;
    pod_security_labels_of(object_meta(ad->object), defaults, &now);
    bool exempt = listed(ad->rq->server->config.pod_security_exempt_namespaces, ad->name);
    if (ad->op == ADMIT_CREATE)
        return now.errors_len ? bad_labels(ad, &now)
               : exempt       ? warn_of_exemption(ad, &now, defaults)
                              : NULL;
    pod_security_labels_of(object_meta(ad->old), defaults, &was);
    if (now.errors_len && !same_errors(&now, &was))
        return bad_labels(ad, &now);
    bool same = same_version(&now.enforce, &was.enforce);
    if (now.enforce.level == POD_SECURITY_PRIVILEGED ||
        (same && now.enforce.level <= was.enforce.level))
        return NULL;
    return exempt ? warn_of_exemption(ad, &now, defaults) : check_pods_of(ad, &now.enforce);
}

/* ---- the plugin ---- */

static struct status *validate(struct admission *ad)
{
    if (ad->op == ADMIT_DELETE)
        return NULL;
    switch (ad->r->stored_as) {
    case Core__V1__Pod__SCHEMA:
        return check_pod(ad);
    case Core__V1__Namespace__SCHEMA:
        return check_namespace(ad);
    case Core__V1__PodTemplate__SCHEMA:
    case Core__V1__ReplicationController__SCHEMA:
    case Apps__V1__ReplicaSet__SCHEMA:
    case Apps__V1__Deployment__SCHEMA:
    case Apps__V1__StatefulSet__SCHEMA:
    case Apps__V1__DaemonSet__SCHEMA:
    case Batch__V1__Job__SCHEMA:
    case Batch__V1__CronJob__SCHEMA:
        return check_template(ad);
    default:
        return NULL;
    }
}

const struct admission_plugin admission_pod_security = {.name = "PodSecurity",
                                                        .validate = validate};
