/*
 * Admission: what kube-apiserver's default plugins do to namespaced objects and pods.
 */
#include "api/meta.h"
#include "apiserver/strategy.h"
#include "base/random.h"
#include "proto/core_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"

#define TOKEN_MOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_EXPIRATION_S 3607
#define NOT_READY_TOLERATION_S 300

static struct status_about about_of(const struct write *w)
{
    return (struct status_about){w->r->group, w->r->plural, w->r->kind, w->name};
}

/* ---- namespace lifecycle ---- */

struct status *admit_namespace(struct write *w)
{
    struct arena *a = w->rq->a;
    struct error err;
    struct kv_pair pair;
    struct str key = str_from(arena_printf(a, "/registry/namespaces/%s", w->ns));
    int rc = rest_read(w->rq, key, &pair, &err);
    if (rc < 0)
        return status_from_error(a, &err);
    if (rc == 0) {
        struct status_about ns = {"", "namespaces", "Namespace", w->ns};
        return status_not_found(a, &ns);
    }
    struct stored_meta m;
    if (!stored_meta(pair.value, &m))
        return status_internal(a, "namespace %s cannot be read", w->ns);
    if (m.deletion_timestamp) {
        struct status_about about = about_of(w);
        struct status *s = status_forbidden(
            a, &about,
            "unable to create new content in namespace %s because it is being terminated", w->ns);
        status_cause_add(a, s, "NamespaceTerminating", "metadata.namespace",
                         "namespace %s is being terminated", w->ns);
        return s;
    }
    write_extra_unchanged(w, key, pair.mod_rev);
    return NULL;
}

/* ---- service account ---- */

static bool has_mount(const Core__V1__Container *c)
{
    for (size_t i = 0; i < c->n_volume_mounts; i++)
        if (strcmp(c->volume_mounts[i]->mount_path, TOKEN_MOUNT) == 0)
            return true;
    return false;
}

static Core__V1__VolumeProjection *token_source(struct arena *a)
{
    Core__V1__VolumeProjection *p = api_new(a, Core__V1__VolumeProjection);
    p->service_account_token = api_new(a, Core__V1__ServiceAccountTokenProjection);
    api_set(p->service_account_token, expiration_seconds, TOKEN_EXPIRATION_S);
    p->service_account_token->path = (char *)"token";
    return p;
}

static Core__V1__VolumeProjection *ca_source(struct arena *a)
{
    Core__V1__VolumeProjection *p = api_new(a, Core__V1__VolumeProjection);
    Core__V1__KeyToPath *item = api_new(a, Core__V1__KeyToPath);
    item->key = item->path = (char *)"ca.crt";
    p->config_map = api_new(a, Core__V1__ConfigMapProjection);
    p->config_map->local_object_reference->name = (char *)"kube-root-ca.crt";
    api_append(a, p->config_map, items, item);
    return p;
}

static Core__V1__VolumeProjection *namespace_source(struct arena *a)
{
    Core__V1__VolumeProjection *p = api_new(a, Core__V1__VolumeProjection);
    Core__V1__DownwardAPIVolumeFile *file = api_new(a, Core__V1__DownwardAPIVolumeFile);
    file->path = (char *)"namespace";
    file->field_ref = api_new(a, Core__V1__ObjectFieldSelector);
    file->field_ref->api_version = (char *)"v1";
    file->field_ref->field_path = (char *)"metadata.namespace";
    p->downward_api = api_new(a, Core__V1__DownwardAPIProjection);
    api_append(a, p->downward_api, items, file);
    return p;
}

static Core__V1__Volume *token_volume(struct arena *a)
{
    char suffix[6];
    random_name(suffix, 5);
    Core__V1__Volume *v = api_new(a, Core__V1__Volume);
    v->name = arena_printf(a, "kube-api-access-%s", suffix);
    Core__V1__ProjectedVolumeSource *p = api_new(a, Core__V1__ProjectedVolumeSource);
    api_set(p, default_mode, 0644);
    api_append(a, p, sources, token_source(a));
    api_append(a, p, sources, ca_source(a));
    api_append(a, p, sources, namespace_source(a));
    v->volume_source->projected = p;
    return v;
}

static void mount_token(struct arena *a, Core__V1__PodSpec *spec)
{
    Core__V1__Volume *volume = NULL;
    for (int pass = 0; pass < 2; pass++) {
        size_t n = pass ? spec->n_init_containers : spec->n_containers;
        Core__V1__Container **list = pass ? spec->init_containers : spec->containers;
        for (size_t i = 0; i < n; i++) {
            if (has_mount(list[i]))
                continue;
            if (!volume)
                volume = token_volume(a);
            Core__V1__VolumeMount *m = api_new(a, Core__V1__VolumeMount);
            m->name = volume->name;
            m->read_only = 1;
            m->mount_path = (char *)TOKEN_MOUNT;
            api_append(a, list[i], volume_mounts, m);
        }
    }
    if (volume)
        api_append(a, spec, volumes, volume);
}

static struct status *admit_service_account(struct write *w, Core__V1__Pod *pod)
{
    struct arena *a = w->rq->a;
    struct error err;
    Core__V1__PodSpec *spec = pod->spec;
    if (annotations_get(pod->metadata, "kubernetes.io/config.mirror"))
        return NULL;
    if (!*spec->service_account_name)
        spec->service_account_name =
            *spec->service_account ? spec->service_account : (char *)"default";
    spec->service_account = spec->service_account_name;
    void *object;
    int rc = rest_load(w->rq->server, a, resource_of_message(Core__V1__ServiceAccount__SCHEMA),
                       w->ns, spec->service_account_name, &object, &err);
    if (rc < 0)
        return status_from_error(a, &err);
    struct status_about about = about_of(w);
    if (rc == 0)
        return status_forbidden(
            a, &about, "error looking up service account %s/%s: serviceaccount \"%s\" not found",
            w->ns, spec->service_account_name, spec->service_account_name);
    const Core__V1__ServiceAccount *sa = object;
    bool automount = spec->has_automount_service_account_token
                         ? spec->automount_service_account_token
                         : api_get(sa, automount_service_account_token, true);
    if (automount)
        mount_token(a, spec);
    if (spec->n_image_pull_secrets == 0) {
        spec->image_pull_secrets = sa->image_pull_secrets;
        spec->n_image_pull_secrets = sa->n_image_pull_secrets;
    }
    return NULL;
}

/* ---- tolerations ---- */

static bool tolerates(const Core__V1__PodSpec *spec, const char *taint)
{
    for (size_t i = 0; i < spec->n_tolerations; i++) {
        const Core__V1__Toleration *t = spec->tolerations[i];
        if ((!*t->key || strcmp(t->key, taint) == 0) &&
            (!*t->effect || strcmp(t->effect, "NoExecute") == 0))
            return true;
    }
    return false;
}

static void default_toleration(struct arena *a, Core__V1__PodSpec *spec, const char *taint)
{
    if (tolerates(spec, taint))
        return;
    Core__V1__Toleration *t = api_new(a, Core__V1__Toleration);
    t->key = (char *)taint;
    t->operator_ = (char *)"Exists";
    t->effect = (char *)"NoExecute";
    api_set(t, toleration_seconds, NOT_READY_TOLERATION_S);
    api_append(a, spec, tolerations, t);
}

/* ---- priority ---- */

struct default_class {
    struct arena *a;
    Scheduling__V1__PriorityClass *found;
};

static int find_default_class(void *ctx, const struct kv_pair *pair)
{
    struct default_class *d = ctx;
    void *object;
    struct error err;
    if (stored_decode(d->a, pair->value, pair->mod_rev, NULL, &object, &err) < 0)
        return err.code;
    Scheduling__V1__PriorityClass *c = object;
    if (c->global_default && (!d->found || c->value < d->found->value))
        d->found = c;
    return 0;
}

static struct status *priority_class(struct write *w, const Core__V1__PodSpec *spec,
                                     Scheduling__V1__PriorityClass **out)
{
    struct arena *a = w->rq->a;
    const struct resource *r = resource_of_message(Scheduling__V1__PriorityClass__SCHEMA);
    struct error err;
    *out = NULL;
    if (!*spec->priority_class_name) {
        struct default_class d = {.a = a};
        struct str prefix = rest_prefix(a, r, "");
        struct kv_range_request range = {
            .key = prefix, .end = kv_prefix_end(a, prefix), .no_count = true};
        struct kv_range_result result;
        if (kv_scan(w->rq->server->kv, &range, find_default_class, &d, a, &result, &err) < 0)
            return status_from_error(a, &err);
        *out = d.found;
        return NULL;
    }
    void *object;
    int rc = rest_load(w->rq->server, a, r, "", spec->priority_class_name, &object, &err);
    struct status_about about = about_of(w);
    if (rc < 0)
        return status_from_error(a, &err);
    if (rc == 0)
        return status_forbidden(a, &about, "no PriorityClass with name %s was found",
                                spec->priority_class_name);
    *out = object;
    return NULL;
}

static struct status *admit_priority(struct write *w, Core__V1__PodSpec *spec)
{
    Scheduling__V1__PriorityClass *class;
    struct status *s = priority_class(w, spec, &class);
    if (s)
        return s;
    int32_t value = class ? class->value : 0;
    struct status_about about = about_of(w);
    if (spec->has_priority && spec->priority != value)
        return status_forbidden(
            w->rq->a, &about,
            "the integer value of priority (%d) must not be provided in pod spec; "
            "priority admission controller computed %d from the given PriorityClass name",
            spec->priority, value);
    if (class && !*spec->priority_class_name)
        spec->priority_class_name = class->metadata->name;
    api_set(spec, priority, value);
    if (!spec->preemption_policy)
        spec->preemption_policy = class && class->preemption_policy
                                      ? class->preemption_policy
                                      : (char *)"PreemptLowerPriority";
    return NULL;
}

struct status *admit_pod(struct write *w, void *object)
{
    Core__V1__Pod *pod = object;
    struct status *s = admit_service_account(w, pod);
    if (s)
        return s;
    default_toleration(w->rq->a, pod->spec, "node.kubernetes.io/not-ready");
    default_toleration(w->rq->a, pod->spec, "node.kubernetes.io/unreachable");
    return admit_priority(w, pod->spec);
}
