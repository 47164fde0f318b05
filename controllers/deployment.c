/*
 * Deployment controller: moves pods from one template to the next by giving replica sets sizes.
 *
 * A reconcile makes at most one move (create the new set, grow it, or shrink old ones) and then
 * writes the status; what the move leads to comes back as changes of the sets.
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "controllers/deployment_sets.h"
#include "controllers/pods.h"

struct deployments {
    struct client *client;
    struct workqueue *queue;
    struct informer *deployments, *sets, *pods;
    struct recorder *recorder;
};

/* ----------------------------------------------------------------------------------- handlers ---
 */

static char *owner_key(struct arena *a, const struct object *o)
{
    const Meta__V1__OwnerReference *ref = controller_of(object_meta(o->msg));
    return ref && cstr_eq(ref->kind, "Deployment") ? informer_key(a, o->ns, ref->name) : NULL;
}

static void enqueue_matching(struct deployments *c, const struct object *set)
{
    struct object_refs all = {0};
    informer_list(c->deployments, set->ns, &all);
    for (size_t i = 0; i < all.len; i++) {
        struct arena a;
        arena_init(&a);
        const Apps__V1__Deployment *d = all.items[i]->msg;
        struct label_selector selector;
        if (label_selector_from(&a, d->spec->selector, &selector, NULL) == 0 && selector.len &&
            label_selector_matches_meta(&selector, object_meta(set->msg)))
            workqueue_add(c->queue, informer_key(&a, set->ns, all.items[i]->name));
        arena_free(&a);
    }
    object_refs_free(&all);
}

static void set_changed(void *ctx, struct object *set)
{
    struct deployments *c = ctx;
    struct arena a;
    arena_init(&a);
    char *key = owner_key(&a, set);
    if (key)
        workqueue_add(c->queue, key);
    else if (!controller_of(object_meta(set->msg)))
        enqueue_matching(c, set);
    arena_free(&a);
}

static void set_updated(void *ctx, struct object *old, struct object *set)
{
    struct deployments *c = ctx;
    struct arena a;
    arena_init(&a);
    char *before = owner_key(&a, old);
    if (before && !cstr_eq(before, owner_key(&a, set)))
        workqueue_add(c->queue, before);
    arena_free(&a);
    set_changed(ctx, set);
}

/* Recreate waits until the last old pod is gone. */
static void pod_deleted(void *ctx, struct object *pod)
{
    struct deployments *c = ctx;
    const Meta__V1__OwnerReference *ref = controller_of(object_meta(pod->msg));
    if (!ref || !cstr_eq(ref->kind, "ReplicaSet"))
        return;
    struct object *set = informer_get(c->sets, pod->ns, ref->name);
    struct arena a;
    arena_init(&a);
    char *key = set ? owner_key(&a, set) : NULL;
    if (key)
        workqueue_add(c->queue, key);
    arena_free(&a);
    object_unref(set);
}

/* -------------------------------------------------------------------------------------- moves ---
 */

static int run_steps(struct rollout *r, const struct scale_step *steps, size_t n, bool *moved,
                     struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (rollout_scale(r, steps[i], err) < 0)
            return err->code;
        *moved = true;
    }
    return 0;
}

static int clean_up(struct rollout *r, struct error *err)
{
    Apps__V1__ReplicaSet **surplus = arena_array(r->a, Apps__V1__ReplicaSet *, r->sets.old_len + 1);
    size_t n = deployment_surplus_sets(r->d, &r->sets, surplus);
    for (size_t i = 0; i < n; i++) {
        struct delete_options d = {.grace_period_s = -1, .uid = surplus[i]->metadata->uid};
        struct error failure = {0};
        client_delete(r->client, RESOURCE_REPLICASETS, surplus[i]->metadata->namespace_,
                      surplus[i]->metadata->name, &d, NULL, &failure);
        if (write_result(&failure, err) < 0)
            return err->code;
    }
    return 0;
}

static int rolling_update(struct rollout *r, struct error *err)
{
    if (rollout_new_set(r, true, err) < 0)
        return err->code;
    int32_t next = deployment_new_replicas(r->d, &r->sets);
    if (next != api_get(r->sets.new_set->spec, replicas, 1))
        return rollout_scale(r, (struct scale_step){r->sets.new_set, next}, err);
    struct scale_step *steps = arena_array(r->a, struct scale_step, r->sets.old_len + 1);
    size_t n = deployment_shrink_old(r->d, &r->sets, steps);
    bool moved = false;
    if (run_steps(r, steps, n, &moved, err) < 0)
        return err->code;
    return !moved && deployment_complete(r->d, r->d->status) ? clean_up(r, err) : 0;
}

static bool old_pods_exist(struct deployments *c, const struct rollout *r)
{
    bool exist = false;
    for (size_t i = 0; i < r->sets.old_len && !exist; i++) {
        struct object_refs pods = {0};
        informer_list_index(c->pods, BY_CONTROLLER, r->sets.old[i]->metadata->uid, &pods);
        for (size_t p = 0; p < pods.len && !exist; p++)
            exist = !pod_has_ended(pods.items[p]->msg);
        object_refs_free(&pods);
    }
    return exist;
}

static int recreate(struct deployments *c, struct rollout *r, struct error *err)
{
    bool moved = false;
    if (rollout_new_set(r, false, err) < 0)
        return err->code;
    for (size_t i = 0; i < r->sets.old_len; i++) {
        struct scale_step stop = {r->sets.old[i], 0};
        if (api_get(stop.set->spec, replicas, 1) > 0 && run_steps(r, &stop, 1, &moved, err) < 0)
            return err->code;
    }
    if (moved || old_pods_exist(c, r))
        return 0;
    if (rollout_new_set(r, true, err) < 0)
        return err->code;
    int32_t want = api_get(r->d->spec, replicas, 1);
    if (rollout_scale(r, (struct scale_step){r->sets.new_set, want}, err) < 0)
        return err->code;
    return deployment_complete(r->d, r->d->status) ? clean_up(r, err) : 0;
}

static int rescale(struct rollout *r, struct error *err)
{
    if (rollout_new_set(r, false, err) < 0)
        return err->code;
    struct scale_step *steps = arena_array(r->a, struct scale_step, r->sets.old_len + 2);
    size_t n = deployment_rescale(r->a, r->d, &r->sets, steps);
    bool moved = false;
    if (run_steps(r, steps, n, &moved, err) < 0)
        return err->code;
    return r->d->spec->paused ? clean_up(r, err) : 0;
}

/* ------------------------------------------------------------------------------------- status ---
 */

/* While paused the deadline does not run; the Progressing condition says so. */
static int note_pause(struct rollout *r, struct error *err)
{
    if (api_get(r->d->spec, progress_deadline_seconds, INT32_MAX) == INT32_MAX)
        return 0;
    const Apps__V1__DeploymentCondition *c = deployment_condition(r->d->status, "Progressing");
    if (c && cstr_eq(c->reason, "ProgressDeadlineExceeded"))
        return 0;
    bool noted = c && cstr_eq(c->reason, "DeploymentPaused");
    if (r->d->spec->paused == noted)
        return 0;
    if (r->d->spec->paused)
        deployment_set_condition(r->a, r->d->status, "Progressing", "Unknown", "DeploymentPaused",
                                 "Deployment is paused", clock_wall_s());
    else
        deployment_set_condition(r->a, r->d->status, "Progressing", "Unknown", "DeploymentResumed",
                                 "Deployment is resumed", clock_wall_s());
    Apps__V1__Deployment *stored =
        client_update_status(r->client, RESOURCE_DEPLOYMENTS, r->d, NULL, r->a, err);
    if (!stored)
        return err->code;
    r->d = stored;
    return 0;
}

static int write_status(struct deployments *c, struct rollout *r, bool rollout, struct error *err)
{
    int64_t recheck_s = INT64_MAX;
    Apps__V1__DeploymentStatus *s =
        deployment_status(r->a, r->d, &r->sets, rollout, clock_wall_s(), &recheck_s);
    if (recheck_s != INT64_MAX)
        workqueue_add_after(c->queue, informer_key(r->a, r->object->ns, r->object->name),
                            (uint64_t)MAX(recheck_s, 1) * 1000);
    if (object_equal(s, r->d->status))
        return 0;
    r->d->status = s;
    struct error failure = {0};
    client_update_status(r->client, RESOURCE_DEPLOYMENTS, r->d, NULL, r->a, &failure);
    return write_result(&failure, err);
}

/* ---------------------------------------------------------------------------------- reconcile ---
 */

static int reconcile_deployment(struct deployments *c, struct rollout *r, struct error *err)
{
    const Meta__V1__LabelSelector *selector = r->d->spec->selector;
    if (!selector || (selector->n_match_labels == 0 && selector->n_match_expressions == 0)) {
        struct event_target about = event_target_of(RESOURCE_DEPLOYMENTS, r->object);
        recorder_event(r->recorder, &about, EVENT_WARNING, "SelectingAll",
                       "This deployment is selecting all pods. A non-empty selector is required.");
        return 0;
    }
    if (rollout_find_sets(r, c->sets, err) < 0)
        return err->code;
    if (!time_is_zero(r->d->metadata->deletion_timestamp))
        return write_status(c, r, false, err);
    if (note_pause(r, err) < 0)
        return err->code;
    bool sizes_only = r->d->spec->paused || deployment_is_scaling(r->d, &r->sets);
    int rc;
    if (sizes_only)
        rc = rescale(r, err);
    else if (cstr_eq(r->d->spec->strategy->type, "Recreate"))
        rc = recreate(c, r, err);
    else
        rc = rolling_update(r, err);
    return rc < 0 ? rc : write_status(c, r, !sizes_only, err);
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct deployments *c = ctx;
    struct object *o = informer_get_key(c->deployments, key);
    if (!o)
        return 0;
    struct arena a;
    arena_init(&a);
    struct rollout r = {.client = c->client, .recorder = c->recorder, .a = &a, .object = o};
    r.d = object_clone(&a, (Apps__V1__Deployment *)o->msg);
    int rc = reconcile_deployment(c, &r, err);
    object_unref(o);
    arena_free(&a);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct deployments *c = mem_zalloc(sizeof *c);
    c->client = manager_client(m);
    c->queue = queue;
    c->recorder = manager_recorder(m, "deployment-controller");
    c->deployments = manager_informer(m, RESOURCE_DEPLOYMENTS);
    c->sets = manager_informer(m, RESOURCE_REPLICASETS);
    c->pods = manager_informer(m, RESOURCE_PODS);
    informer_enqueue(c->deployments, queue);
    informer_add_handler(c->sets, &(struct informer_handler){.on_add = set_changed,
                                                             .on_update = set_updated,
                                                             .on_delete = set_changed,
                                                             .ctx = c});
    informer_add_handler(c->pods, &(struct informer_handler){.on_delete = pod_deleted, .ctx = c});
    return c;
}

static void close_controller(void *ctx)
{
    mem_free(ctx);
}

const struct controller controller_deployment = {.name = "deployment",
                                                 .workers = 2,
                                                 .open = open_controller,
                                                 .reconcile = reconcile,
                                                 .close = close_controller};
