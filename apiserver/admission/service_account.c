/*
 * ServiceAccount: every pod runs as an account that exists, and has its token mounted.
 */
#include "apiserver/admission/admission.h"
#include "apiserver/pod_refs.h"
#include "base/map.h"
#include "base/random.h"
#include "proto/core_v1.pb-c.h"

#define TOKEN_MOUNT "/var/run/secrets/kubernetes.io/serviceaccount"
#define TOKEN_EXPIRATION_S 3607
#define VOLUME_PREFIX "kube-api-access-"
#define ENFORCE_MOUNTABLE "kubernetes.io/enforce-mountable-secrets"

/* ---- the token volume ---- */

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
    v->name = arena_printf(a, VOLUME_PREFIX "%s", suffix);
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
    bool there = false;
    for (size_t i = 0; i < spec->n_volumes && !there; i++)
        if (strncmp(spec->volumes[i]->name, VOLUME_PREFIX, strlen(VOLUME_PREFIX)) == 0) {
            volume = spec->volumes[i];
            there = true;
        }
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
    if (volume && !there)
        api_append(a, spec, volumes, volume);
}

/* ---- accounts ---- */

/* A new namespace's account `default` is made by a controller soon: pods wait for it a little, as published. */
static struct status *account_of(struct admission *ad, const char *name,
                                 const Core__V1__ServiceAccount **out)
{
    void *object;
    struct error err;
    int rc = admission_load(ad, CACHED_SERVICE_ACCOUNTS, ad->ns, name, &object, NULL, &err);
    if (rc < 0)
        return status_from_error(ad->a, &err);
    if (rc == 0) {
        if (ad->w)
            ad->w->awaited = cstr_eq(name, "default");
        return admission_forbidden(
            ad, "error looking up service account %s/%s: serviceaccount \"%s\" not found", ad->ns,
            name, name);
    }
    *out = object;
    return NULL;
}

/* A mirror pod stands for one that its node made by itself: nothing of the cluster is given to it. */
static struct status *mirror_pod(struct admission *ad, const Core__V1__Pod *pod)
{
    if (*pod->spec->service_account_name)
        return admission_forbidden(ad, "a mirror pod may not reference service accounts");
    if (pod_refers_any(pod, POD_REF_SECRET))
        return admission_forbidden(ad, "a mirror pod may not reference secrets");
    for (size_t i = 0; i < pod->spec->n_volumes; i++) {
        const Core__V1__ProjectedVolumeSource *p = pod->spec->volumes[i]->volume_source->projected;
        for (size_t k = 0; p && k < p->n_sources; k++)
            if (p->sources[k]->service_account_token)
                return admission_forbidden(
                    ad, "a mirror pod may not use ServiceAccountToken volume projections");
    }
    return NULL;
}

static bool is_mirror(const Core__V1__Pod *pod)
{
    return annotations_get(pod->metadata, "kubernetes.io/config.mirror") != NULL;
}

static struct status *admit(struct admission *ad)
{
    if (ad->op != ADMIT_CREATE || !admission_is(ad, Core__V1__Pod__SCHEMA, ""))
        return NULL;
    Core__V1__Pod *pod = ad->object;
    Core__V1__PodSpec *spec = pod->spec;
    const Core__V1__ServiceAccount *account;
    if (is_mirror(pod))
        return mirror_pod(ad, pod);
    if (!*spec->service_account_name)
        spec->service_account_name =
            *spec->service_account ? spec->service_account : (char *)"default";
    spec->service_account = spec->service_account_name;
    struct status *s = account_of(ad, spec->service_account_name, &account);
    if (s)
        return s;
    bool automount = spec->has_automount_service_account_token
                         ? spec->automount_service_account_token
                         : api_get(account, automount_service_account_token, true);
    if (automount)
        mount_token(ad->a, spec);
    if (spec->n_image_pull_secrets == 0)
        for (size_t i = 0; i < account->n_image_pull_secrets; i++)
            api_append(ad->a, spec, image_pull_secrets,
                       api_clone(ad->a, account->image_pull_secrets[i]));
    return NULL;
}

/* ---- accounts that allow their own secrets only (an annotation, deprecated upstream) ---- */

/* As Go's ParseBool. */
static bool is_true(const char *text)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    for (size_t i = 0; text && i < ARRAY_LEN(yes); i++)
        if (strcmp(text, yes[i]) == 0)
            return true;
    return false;
}

/* The secrets that an account lists: pods and accounts name as many as they like. */
struct mountable {
    const Core__V1__ServiceAccount *account;
    struct map secrets;
};

static void mountable_init(struct mountable *m, const Core__V1__ServiceAccount *account)
{
    m->account = account;
    map_init(&m->secrets);
    for (size_t i = 0; i < account->n_secrets; i++)
        map_put(&m->secrets, str_from(account->secrets[i]->name), m);
}

static bool may_mount(const struct mountable *m, const char *secret)
{
    return map_has(&m->secrets, str_from(secret));
}

/* The environment of one container, of any kind. */
struct environment {
    const char *what, *name;
    Core__V1__EnvVar *const *env;
    size_t n_env;
    Core__V1__EnvFromSource *const *from;
    size_t n_from;
};

static struct status *check_env(struct admission *ad, const struct mountable *m,
                                struct environment e)
{
    const char *account = m->account->metadata->name;
    for (size_t i = 0; i < e.n_env; i++) {
        const Core__V1__EnvVarSource *v = e.env[i]->value_from;
        const char *secret =
            v && v->secret_key_ref ? v->secret_key_ref->local_object_reference->name : NULL;
        if (secret && !may_mount(m, secret))
            return admission_forbidden(
                ad,
                "%s %s with envVar %s referencing secret.secretName=\"%s\" is not allowed "
                "because service account %s does not reference that secret",
                e.what, e.name, e.env[i]->name, secret, account);
    }
    for (size_t i = 0; i < e.n_from; i++) {
        const Core__V1__SecretEnvSource *v = e.from[i]->secret_ref;
        const char *secret = v ? v->local_object_reference->name : NULL;
        if (secret && !may_mount(m, secret))
            return admission_forbidden(ad,
                                       "%s %s with envFrom referencing secret.secretName=\"%s\" is "
                                       "not allowed because service account %s does not reference "
                                       "that secret",
                                       e.what, e.name, secret, account);
    }
    return NULL;
}

static struct status *check_containers(struct admission *ad, const struct mountable *m,
                                       Core__V1__Container *const *list, size_t n, const char *what)
{
    struct status *s = NULL;
    for (size_t i = 0; i < n && !s; i++)
        s = check_env(ad, m,
                      (struct environment){what, list[i]->name, list[i]->env, list[i]->n_env,
                                           list[i]->env_from, list[i]->n_env_from});
    return s;
}

static struct status *check_ephemeral(struct admission *ad, const struct mountable *m,
                                      const Core__V1__PodSpec *spec)
{
    struct status *s = NULL;
    for (size_t i = 0; i < spec->n_ephemeral_containers && !s; i++) {
        const Core__V1__EphemeralContainerCommon *c =
            spec->ephemeral_containers[i]->ephemeral_container_common;
        s = check_env(ad, m,
                      (struct environment){"ephemeral container", c->name, c->env, c->n_env,
                                           c->env_from, c->n_env_from});
    }
    return s;
}

static bool lists_pull_secret(const Core__V1__ServiceAccount *account, const char *name)
{
    for (size_t i = 0; i < account->n_image_pull_secrets; i++)
        if (strcmp(account->image_pull_secrets[i]->name, name) == 0)
            return true;
    return false;
}

static struct status *check_mountable(struct admission *ad, const struct mountable *m,
                                      const Core__V1__PodSpec *spec)
{
    const Core__V1__ServiceAccount *account = m->account;
    for (size_t i = 0; i < spec->n_volumes; i++) {
        const Core__V1__SecretVolumeSource *secret = spec->volumes[i]->volume_source->secret;
        if (secret && !may_mount(m, secret->secret_name))
            return admission_forbidden(
                ad,
                "volume with secret.secretName=\"%s\" is not allowed because service account %s "
                "does not reference that secret",
                secret->secret_name, account->metadata->name);
    }
    struct status *s =
        check_containers(ad, m, spec->init_containers, spec->n_init_containers, "init container");
    if (!s)
        s = check_containers(ad, m, spec->containers, spec->n_containers, "container");
    for (size_t i = 0; i < spec->n_image_pull_secrets && !s; i++) {
        const char *name = spec->image_pull_secrets[i]->name;
        if (!lists_pull_secret(account, name))
            s = admission_forbidden(
                ad,
                "imagePullSecrets[%zu].name=\"%s\" is not allowed because service account %s does "
                "not reference that imagePullSecret",
                i, name, account->metadata->name);
    }
    return s;
}

/* New pods, and what is put into running ones to debug them. */
static struct status *validate(struct admission *ad)
{
    bool create = ad->op == ADMIT_CREATE && admission_is(ad, Core__V1__Pod__SCHEMA, "");
    if (!create &&
        (ad->op != ADMIT_UPDATE || !admission_is(ad, Core__V1__Pod__SCHEMA, "ephemeralcontainers")))
        return NULL;
    const Core__V1__Pod *pod = ad->object;
    const Core__V1__ServiceAccount *account;
    struct mountable m;
    if (is_mirror(pod))
        return mirror_pod(ad, pod);
    struct status *s = account_of(ad, pod->spec->service_account_name, &account);
    if (s || !is_true(annotations_get(account->metadata, ENFORCE_MOUNTABLE)))
        return s;
    mountable_init(&m, account);
    s = create ? check_mountable(ad, &m, pod->spec) : check_ephemeral(ad, &m, pod->spec);
    map_free(&m.secrets);
    return s;
}

const struct admission_plugin admission_service_account = {
    .name = "ServiceAccount", .mutate = admit, .validate = validate};
