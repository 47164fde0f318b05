/*
 * A pod's references: see pod_refs.h.
 */
#include "apiserver/pod_refs.h"
#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 512

struct walk {
    pod_ref_fn *visit;
    void *ctx;
};

static bool say(const struct walk *w, enum pod_ref kind, const char *name)
{
    return name && *name && w->visit(w->ctx, kind, name);
}

static bool say_local(const struct walk *w, const Core__V1__LocalObjectReference *ref)
{
    return ref && say(w, POD_REF_SECRET, ref->name);
}

/* ---- environment ---- */

static bool env(const struct walk *w, Core__V1__EnvVar *const *vars, size_t n,
                Core__V1__EnvFromSource *const *from, size_t from_len)
{
    for (size_t i = 0; i < from_len; i++) {
        if (from[i]->secret_ref &&
            say(w, POD_REF_SECRET, from[i]->secret_ref->local_object_reference->name))
            return true;
        if (from[i]->config_map_ref &&
            say(w, POD_REF_CONFIG_MAP, from[i]->config_map_ref->local_object_reference->name))
            return true;
    }
    for (size_t i = 0; i < n; i++) {
        const Core__V1__EnvVarSource *s = vars[i]->value_from;
        if (s && s->secret_key_ref &&
            say(w, POD_REF_SECRET, s->secret_key_ref->local_object_reference->name))
            return true;
        if (s && s->config_map_key_ref &&
            say(w, POD_REF_CONFIG_MAP, s->config_map_key_ref->local_object_reference->name))
            return true;
    }
    return false;
}

static bool containers(const struct walk *w, Core__V1__Container *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (env(w, list[i]->env, list[i]->n_env, list[i]->env_from, list[i]->n_env_from))
            return true;
    return false;
}

static bool ephemeral(const struct walk *w, const Core__V1__PodSpec *spec)
{
    for (size_t i = 0; i < spec->n_ephemeral_containers; i++) {
        const Core__V1__EphemeralContainerCommon *c =
            spec->ephemeral_containers[i]->ephemeral_container_common;
        if (env(w, c->env, c->n_env, c->env_from, c->n_env_from))
            return true;
    }
    return false;
}

/* ---- volumes ---- */

static bool projected(const struct walk *w, const Core__V1__ProjectedVolumeSource *p)
{
    for (size_t i = 0; i < p->n_sources; i++) {
        const Core__V1__VolumeProjection *s = p->sources[i];
        if (s->secret && say(w, POD_REF_SECRET, s->secret->local_object_reference->name))
            return true;
        if (s->config_map &&
            say(w, POD_REF_CONFIG_MAP, s->config_map->local_object_reference->name))
            return true;
    }
    return false;
}

/* Drivers that take credentials from a secret. */
static bool driver_secrets(const struct walk *w, const Core__V1__VolumeSource *s)
{
    return (s->azure_file && say(w, POD_REF_SECRET, s->azure_file->secret_name)) ||
           (s->cephfs && say_local(w, s->cephfs->secret_ref)) ||
           (s->cinder && say_local(w, s->cinder->secret_ref)) ||
           (s->flex_volume && say_local(w, s->flex_volume->secret_ref)) ||
           (s->rbd && say_local(w, s->rbd->secret_ref)) ||
           (s->iscsi && say_local(w, s->iscsi->secret_ref)) ||
           (s->scale_io && say_local(w, s->scale_io->secret_ref)) ||
           (s->storageos && say_local(w, s->storageos->secret_ref)) ||
           (s->csi && say_local(w, s->csi->node_publish_secret_ref));
}

static bool volume(const struct walk *w, const Core__V1__Pod *pod, const Core__V1__Volume *v)
{
    const Core__V1__VolumeSource *s = v->volume_source;
    char claim[NAME_MAX_BYTES];
    if (s->secret && say(w, POD_REF_SECRET, s->secret->secret_name))
        return true;
    if (s->config_map && say(w, POD_REF_CONFIG_MAP, s->config_map->local_object_reference->name))
        return true;
    if (s->persistent_volume_claim && say(w, POD_REF_CLAIM, s->persistent_volume_claim->claim_name))
        return true;
    if (s->ephemeral) {
        snprintf(claim, sizeof claim, "%s-%s", pod->metadata->name, v->name);
        if (say(w, POD_REF_CLAIM, claim))
            return true;
    }
    return (s->projected && projected(w, s->projected)) || driver_secrets(w, s);
}

/* Claims of devices that are named, or that were made from a template. */
static bool resource_claims(const struct walk *w, const Core__V1__Pod *pod)
{
    const Core__V1__PodStatus *status = pod->status;
    for (size_t i = 0; i < pod->spec->n_resource_claims; i++)
        if (say(w, POD_REF_RESOURCE_CLAIM, pod->spec->resource_claims[i]->resource_claim_name))
            return true;
    for (size_t i = 0; status && i < status->n_resource_claim_statuses; i++)
        if (say(w, POD_REF_RESOURCE_CLAIM, status->resource_claim_statuses[i]->resource_claim_name))
            return true;
    return status && status->extended_resource_claim_status &&
           say(w, POD_REF_RESOURCE_CLAIM,
               status->extended_resource_claim_status->resource_claim_name);
}

/* ---- all ---- */

bool pod_refs_each(const Core__V1__Pod *pod, pod_ref_fn *visit, void *ctx)
{
    const struct walk w = {visit, ctx};
    const Core__V1__PodSpec *spec = pod->spec;
    if (say(&w, POD_REF_SERVICE_ACCOUNT, spec->service_account_name))
        return true;
    for (size_t i = 0; i < spec->n_image_pull_secrets; i++)
        if (say(&w, POD_REF_SECRET, spec->image_pull_secrets[i]->name))
            return true;
    for (size_t i = 0; i < spec->n_volumes; i++)
        if (volume(&w, pod, spec->volumes[i]))
            return true;
    return resource_claims(&w, pod) ||
           containers(&w, spec->init_containers, spec->n_init_containers) ||
           containers(&w, spec->containers, spec->n_containers) || ephemeral(&w, spec);
}

struct wanted {
    enum pod_ref kind;
    const char *name; /* NULL: any */
};

static bool is_wanted(void *ctx, enum pod_ref kind, const char *name)
{
    const struct wanted *want = ctx;
    return kind == want->kind && (!want->name || strcmp(name, want->name) == 0);
}

bool pod_refers(const Core__V1__Pod *pod, enum pod_ref kind, const char *name)
{
    struct wanted want = {kind, name};
    return pod_refs_each(pod, is_wanted, &want);
}

bool pod_refers_any(const Core__V1__Pod *pod, enum pod_ref kind)
{
    return pod_refers(pod, kind, NULL);
}
