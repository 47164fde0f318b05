/*
 * The replica sets of a deployment (controllers/deployment_sets.h).
 */
#include "controllers/deployment_sets.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/mem.h"
#include "controllers/controller.h"
#include "controllers/pods.h"
#include <stdio.h>

/* ----------------------------------------------------------------------------------- finding ---
 */

static int claim_set(struct rollout *r, const struct label_selector *selector,
                     const struct object *o, struct error *err)
{
    const Apps__V1__ReplicaSet *rs = o->msg;
    switch (claim_decide(rs->metadata, selector, r->d->metadata)) {
    case CLAIM_NONE:
        return 0;
    case CLAIM_RELEASE:
        return claim_release(r->client, RESOURCE_REPLICASETS, rs->metadata, r->d->metadata, err);
    case CLAIM_ADOPT:
        if (claim_adopt(r->client, RESOURCE_REPLICASETS, rs->metadata, r->d, err) < 0)
            return err->code;
        break;
    case CLAIM_OWNED:
        break;
    }
    r->sets.old = arena_grow(r->a, r->sets.old, r->sets.old_len * sizeof *r->sets.old,
                             (r->sets.old_len + 1) * sizeof *r->sets.old);
    r->sets.old[r->sets.old_len++] = object_clone(r->a, rs);
    return 0;
}

int rollout_find_sets(struct rollout *r, struct informer *informer, struct error *err)
{
    struct label_selector selector;
    if (label_selector_from(r->a, r->d->spec->selector, &selector, err) < 0)
        return err->code;
    struct object_refs all = {0};
    informer_list(informer, r->object->ns, &all);
    int rc = 0;
    for (size_t i = 0; i < all.len && rc == 0; i++)
        rc = claim_set(r, &selector, all.items[i], err);
    object_refs_free(&all);
    if (rc < 0)
        return rc;
    /* Of several sets with this template (one made by hand) the oldest is the new one. */
    sets_sort_by_age(r->sets.old, r->sets.old_len);
    for (size_t i = 0; i < r->sets.old_len; i++) {
        if (!deployment_same_template(r->a, r->d, r->sets.old[i]))
            continue;
        r->sets.new_set = r->sets.old[i];
        memmove(&r->sets.old[i], &r->sets.old[i + 1],
                (r->sets.old_len - i - 1) * sizeof *r->sets.old);
        r->sets.old_len--;
        break;
    }
    return 0;
}

/* --------------------------------------------------------------------------------- annotations ---
 */

static bool is_copied(const char *key)
{
    static const char *const kept[] = {
        "kubectl.kubernetes.io/last-applied-configuration",
        ANNOTATION_REVISION,
        ANNOTATION_REVISION_HISTORY,
        ANNOTATION_DESIRED,
        ANNOTATION_MAX,
        "deprecated.deployment.rollback.to",
    };
    for (size_t i = 0; i < ARRAY_LEN(kept); i++)
        if (strcmp(key, kept[i]) == 0)
            return false;
    return true;
}

static bool annotate(struct arena *a, Meta__V1__ObjectMeta *meta, const char *key,
                     const char *value)
{
    if (cstr_eq(annotations_get(meta, key), value) && annotations_get(meta, key))
        return false;
    annotations_set(a, meta, key, value);
    return true;
}

static bool annotate_size(struct rollout *r, Apps__V1__ReplicaSet *rs)
{
    int32_t surge, unavailable, want = api_get(r->d->spec, replicas, 1);
    deployment_bounds(r->d, &surge, &unavailable);
    bool changed = annotate(r->a, rs->metadata, ANNOTATION_DESIRED, arena_printf(r->a, "%d", want));
    changed |= annotate(r->a, rs->metadata, ANNOTATION_MAX, arena_printf(r->a, "%d", want + surge));
    return changed;
}

/* A revision that a set had before and that it leaves by being rolled back to. */
static void remember_revision(struct rollout *r, Meta__V1__ObjectMeta *meta, const char *old)
{
    const char *history = annotations_get(meta, ANNOTATION_REVISION_HISTORY);
    if (old && *old)
        annotations_set(r->a, meta, ANNOTATION_REVISION_HISTORY,
                        history && *history ? arena_printf(r->a, "%s,%s", history, old) : old);
}

static bool annotate_set(struct rollout *r, Apps__V1__ReplicaSet *rs, int64_t revision, bool fresh)
{
    bool changed = false;
    const Meta__V1__ObjectMeta *from = r->d->metadata;
    for (size_t i = 0; i < from->n_annotations; i++)
        if (is_copied(from->annotations[i]->key))
            changed |= annotate(r->a, rs->metadata, from->annotations[i]->key,
                                from->annotations[i]->value);
    if (set_revision(rs->metadata) < revision) {
        const char *old = annotations_get(rs->metadata, ANNOTATION_REVISION);
        remember_revision(r, rs->metadata, old);
        annotations_set(r->a, rs->metadata, ANNOTATION_REVISION,
                        arena_printf(r->a, "%lld", (long long)revision));
        changed = true;
    }
    if (fresh)
        changed |= annotate_size(r, rs);
    return changed;
}

static int64_t next_revision(const struct rollout *r)
{
    int64_t max = 0;
    for (size_t i = 0; i < r->sets.old_len; i++)
        max = MAX(max, set_revision(r->sets.old[i]->metadata));
    return max + 1;
}

/* ------------------------------------------------------------------------------------- the new ---
 */

static int update_deployment_revision(struct rollout *r, struct error *err)
{
    const char *revision = annotations_get(r->sets.new_set->metadata, ANNOTATION_REVISION);
    if (!revision || !annotate(r->a, r->d->metadata, ANNOTATION_REVISION, revision))
        return 0;
    struct error failure = {0};
    Apps__V1__Deployment *stored =
        client_update(r->client, RESOURCE_DEPLOYMENTS, r->d, NULL, r->a, &failure);
    if (!stored)
        return error_set(err, failure.code, "%s", failure.message);
    r->d = stored;
    return 0;
}

static int refresh_new_set(struct rollout *r, struct error *err)
{
    Apps__V1__ReplicaSet *rs = r->sets.new_set;
    bool changed = annotate_set(r, rs, next_revision(r), false);
    if (rs->spec->min_ready_seconds != r->d->spec->min_ready_seconds) {
        rs->spec->min_ready_seconds = r->d->spec->min_ready_seconds;
        changed = true;
    }
    if (changed) {
        rs = client_update(r->client, RESOURCE_REPLICASETS, rs, NULL, r->a, err);
        if (!rs)
            return err->code;
        r->sets.new_set = rs;
    }
    return update_deployment_revision(r, err);
}

static Apps__V1__ReplicaSet *describe_new_set(struct rollout *r)
{
    const Apps__V1__DeploymentSpec *spec = r->d->spec;
    Apps__V1__ReplicaSet *rs = api_new(r->a, Apps__V1__ReplicaSet);
    char *hash =
        pod_template_hash(r->a, spec->template_, api_get(r->d->status, collision_count, 0));
    rs->metadata->namespace_ = r->d->metadata->namespace_;
    rs->metadata->name = arena_printf(r->a, "%s-%s", r->d->metadata->name, hash);
    api_append(r->a, rs->metadata, owner_references, owner_reference_new(r->a, r->d));
    rs->spec->template_ = object_clone(r->a, spec->template_);
    rs->spec->selector = object_clone(r->a, spec->selector);
    rs->spec->min_ready_seconds = spec->min_ready_seconds;
    Meta__V1__ObjectMeta *t = rs->spec->template_->metadata;
    labels_set(r->a, t, LABEL_TEMPLATE_HASH, hash);
    string_map_set(r->a, &rs->spec->selector->match_labels, &rs->spec->selector->n_match_labels,
                   LABEL_TEMPLATE_HASH, hash);
    for (size_t i = 0; i < t->n_labels; i++)
        labels_set(r->a, rs->metadata, t->labels[i]->key, t->labels[i]->value);
    api_set(rs->spec, replicas, 0);
    struct rollout_sets with = r->sets;
    with.new_set = rs;
    api_set(rs->spec, replicas, deployment_new_replicas(r->d, &with));
    annotate_set(r, rs, next_revision(r), true);
    return rs;
}

/* The name is taken: by our own set that the cache does not show yet, or by another with the same
 * hash. */
static int resolve_collision(struct rollout *r, const Apps__V1__ReplicaSet *wanted,
                             struct error *err)
{
    Apps__V1__ReplicaSet *there =
        client_get(r->client, RESOURCE_REPLICASETS, wanted->metadata->namespace_,
                   wanted->metadata->name, NULL, r->a, err);
    if (!there)
        return err->code;
    if (is_controlled_by(there->metadata, r->d->metadata) &&
        deployment_same_template(r->a, r->d, there)) {
        r->sets.new_set = there;
        return update_deployment_revision(r, err);
    }
    api_set(r->d->status, collision_count, api_get(r->d->status, collision_count, 0) + 1);
    struct error failure = {0};
    client_update_status(r->client, RESOURCE_DEPLOYMENTS, r->d, NULL, r->a, &failure);
    return error_set(err, ERR_CONFLICT, "replica set name %s is taken", wanted->metadata->name);
}

static int report_failed_create(struct rollout *r, const struct error *failure, struct error *err)
{
    struct event_target about = event_target_of(RESOURCE_DEPLOYMENTS, r->object);
    recorder_event(r->recorder, &about, EVENT_WARNING, "ReplicaSetCreateError",
                   "Failed to create new replica set: %s", failure->message);
    deployment_set_condition(r->a, r->d->status, "Progressing", "False", "ReplicaSetCreateError",
                             failure->message, clock_wall_s());
    client_update_status(r->client, RESOURCE_DEPLOYMENTS, r->d, NULL, r->a, NULL);
    return error_set(err, failure->code, "%s", failure->message);
}

int rollout_new_set(struct rollout *r, bool create, struct error *err)
{
    if (r->sets.new_set)
        return refresh_new_set(r, err);
    if (!create)
        return 0;
    Apps__V1__ReplicaSet *wanted = describe_new_set(r);
    struct error failure = {0};
    Apps__V1__ReplicaSet *rs =
        client_create(r->client, RESOURCE_REPLICASETS, wanted, NULL, r->a, &failure);
    if (!rs && failure.code == ERR_EXISTS)
        return resolve_collision(r, wanted, err);
    if (!rs)
        return report_failed_create(r, &failure, err);
    r->sets.new_set = rs;
    if (rs->spec->replicas > 0) {
        struct event_target about = event_target_of(RESOURCE_DEPLOYMENTS, r->object);
        recorder_event(r->recorder, &about, EVENT_NORMAL, "ScalingReplicaSet",
                       "Scaled up replica set %s from 0 to %d", rs->metadata->name,
                       rs->spec->replicas);
    }
    return update_deployment_revision(r, err);
}

/* ---------------------------------------------------------------------------------------- size ---
 */

int rollout_scale(struct rollout *r, struct scale_step step, struct error *err)
{
    int32_t before = api_get(step.set->spec, replicas, 1);
    Apps__V1__ReplicaSet *next = object_clone(r->a, step.set);
    bool changed = annotate_size(r, next);
    if (before == step.replicas && !changed)
        return 0;
    api_set(next->spec, replicas, step.replicas);
    next = client_update(r->client, RESOURCE_REPLICASETS, next, NULL, r->a, err);
    if (!next)
        return err->code;
    if (before != step.replicas) {
        struct event_target about = event_target_of(RESOURCE_DEPLOYMENTS, r->object);
        recorder_event(r->recorder, &about, EVENT_NORMAL, "ScalingReplicaSet",
                       "Scaled %s replica set %s from %d to %d",
                       before < step.replicas ? "up" : "down", next->metadata->name, before,
                       step.replicas);
    }
    if (r->sets.new_set == step.set)
        r->sets.new_set = next;
    for (size_t i = 0; i < r->sets.old_len; i++)
        if (r->sets.old[i] == step.set)
            r->sets.old[i] = next;
    return 0;
}
