/*
 * Binding (the scheduler's answer) and eviction of pods.
 */
#include "api/meta.h"
#include "api/selector.h"
#include "apiserver/admission/admission.h"
#include "apiserver/strategy.h"
#include "proto/core_v1.pb-c.h"
#include "proto/policy_v1.pb-c.h"

static void set_condition(struct arena *a, Core__V1__Pod *pod, const char *type, const char *status)
{
    Core__V1__PodCondition *c = NULL;
    for (size_t i = 0; i < pod->status->n_conditions; i++)
        if (strcmp(pod->status->conditions[i]->type, type) == 0)
            c = pod->status->conditions[i];
    if (!c) {
        c = api_new(a, Core__V1__PodCondition);
        c->type = (char *)type;
        api_append(a, pod->status, conditions, c);
    } else if (strcmp(c->status, status) == 0) {
        return;
    }
    c->status = (char *)status;
    c->reason = c->message = (char *)"";
    c->last_transition_time = time_now(a);
}

static struct status *binding_change(struct write *w)
{
    struct arena *a = w->rq->a;
    Core__V1__Binding *b = object_clone(a, w->ctx);
    struct status_about about = {"", "pods/binding", "Pod", w->name};
    if (!w->old) {
        struct status_about pods = {"", "pods", "Pod", w->name};
        return status_not_found(a, &pods);
    }
    struct admission ad;
    admission_of_write(&ad, w, ADMIT_CREATE, b, NULL, NULL);
    ad.sub = "binding";
    struct status *s = admission_mutate(&ad);
    if (s || (s = admission_validate(&ad)))
        return s;
    Core__V1__Pod *pod = object_clone(a, w->old);
    if (*b->metadata->uid && strcmp(b->metadata->uid, pod->metadata->uid) != 0)
        return status_conflict(a, &about,
                               arena_printf(a,
                                            "Precondition failed: UID in precondition: %s, UID in "
                                            "object meta: %s",
                                            b->metadata->uid, pod->metadata->uid));
    if (pod->metadata->deletion_timestamp)
        return status_conflict(
            a, &about,
            arena_printf(a, "pod %s is being deleted, cannot be assigned to a host", w->name));
    if (*pod->spec->node_name)
        return status_conflict(a, &about,
                               arena_printf(a, "pod %s is already assigned to node \"%s\"", w->name,
                                            pod->spec->node_name));
    if (pod->spec->n_scheduling_gates > 0)
        return status_conflict(
            a, &about, arena_printf(a, "pod %s has non-empty .spec.schedulingGates", w->name));
    pod->spec->node_name = b->target->name;
    for (size_t i = 0; i < b->metadata->n_annotations; i++)
        annotations_set(a, pod->metadata, b->metadata->annotations[i]->key,
                        b->metadata->annotations[i]->value);
    for (size_t i = 0; i < b->metadata->n_labels; i++)
        labels_set(a, pod->metadata, b->metadata->labels[i]->key, b->metadata->labels[i]->value);
    set_condition(a, pod, "PodScheduled", "True");
    w->obj = pod;
    return NULL;
}

static void binding_done(struct write *w, struct status *s)
{
    struct rest *rq = w->rq;
    if (!s) {
        s = arena_new(rq->a, struct status);
        s->code = 201;
        s->success = true;
    }
    rest_status(rq, s);
}

static struct write *pod_write(struct rest *rq, const char *name)
{
    struct write *w = arena_new(rq->a, struct write);
    w->rq = rq;
    w->r = resource_of_message(Core__V1__Pod__SCHEMA);
    w->ns = rq->info.ns;
    w->name = name;
    return w;
}

void rest_binding(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    Core__V1__Binding *b = rest_decode(rq, schema_get(Core__V1__Binding__SCHEMA));
    if (!b)
        return;
    const char *name = *rq->info.name ? rq->info.name : b->metadata->name;
    struct status_about about = {"", "bindings", "Binding", name};
    struct status *s = status_invalid(rq->a, &about);
    if (*b->target->kind && strcmp(b->target->kind, "Node") != 0)
        status_cause_add(rq->a, s, "FieldValueNotSupported", "target.kind",
                         "Unsupported value: \"%s\": supported values: \"Node\", \"<empty>\"",
                         b->target->kind);
    if (!*b->target->name)
        status_cause_add(rq->a, s, "FieldValueRequired", "target.name", "Required value");
    if (s->causes) {
        status_invalid_finish(rq->a, s);
        rest_status(rq, s);
        return;
    }
    if (*b->metadata->name && strcmp(b->metadata->name, name) != 0) {
        rest_status(rq, status_bad_request(
                            rq->a,
                            "the name of the object (%s) does not match the name on the URL (%s)",
                            b->metadata->name, name));
        return;
    }
    struct write *w = pod_write(rq, name);
    w->change = binding_change;
    w->done = binding_done;
    w->ctx = b;
    w->dry_run = rq->dry_run;
    write_run(w);
}

/* ---- eviction ---- */

struct eviction {
    struct delete_options options;
};

/* A budget that selects the pod and allows no disruption now refuses it. */
static struct status *eviction_change(struct write *w)
{
    struct eviction *e = w->ctx;
    return change_delete(w, &e->options);
}

static void eviction_done(struct write *w, struct status *s)
{
    binding_done(w, s);
}

struct pdb_check {
    struct rest *rq;
    const Core__V1__Pod *pod;
    Policy__V1__PodDisruptionBudget *found;
    size_t matches;
};

static int check_pdb(void *ctx, const struct kv_pair *pair)
{
    struct pdb_check *c = ctx;
    void *object;
    struct error err;
    struct label_selector sel;
    if (stored_decode(c->rq->a, pair->value, pair->mod_rev, NULL, &object, &err) < 0)
        return err.code;
    Policy__V1__PodDisruptionBudget *pdb = object;
    if (label_selector_from(c->rq->a, pdb->spec->selector, &sel, &err) == 0 &&
        label_selector_matches_meta(&sel, c->pod->metadata)) {
        c->found = pdb;
        c->matches++;
    }
    return 0;
}

static struct status *budget_allows(struct rest *rq, const Core__V1__Pod *pod)
{
    struct pdb_check c = {.rq = rq, .pod = pod};
    struct str prefix = rest_prefix(
        rq->a, resource_of_message(Policy__V1__PodDisruptionBudget__SCHEMA), rq->info.ns);
    struct kv_range_request range = {
        .key = prefix, .end = kv_prefix_end(rq->a, prefix), .no_count = true};
    struct kv_range_result result;
    struct error err;
    if (kv_scan(rq->server->kv, &range, check_pdb, &c, rq->a, &result, &err) < 0)
        return status_from_error(rq->a, &err);
    if (c.matches > 1)
        return status_internal(
            rq->a, "This pod has more than one PodDisruptionBudget, which the eviction subresource "
                   "does not support.");
    if (c.matches == 0 || c.found->status->disruptions_allowed > 0 ||
        cstr_eq(pod->status->phase, "Succeeded") || cstr_eq(pod->status->phase, "Failed") ||
        cstr_eq(pod->status->phase, "Pending"))
        return NULL;
    struct status *s =
        status_new(rq->a, 429, "TooManyRequests",
                   "Cannot evict pod as it would violate the pod's disruption budget.");
    s->has_details = true;
    status_cause_add(rq->a, s, "DisruptionBudget", NULL,
                     "The disruption budget %s needs %d healthy pods and has %d currently",
                     c.found->metadata->name, c.found->status->desired_healthy,
                     c.found->status->current_healthy);
    return s;
}

static void eviction_ready(struct rest *rq)
{
    struct eviction *e = rq->op;
    void *pod;
    struct error err;
    struct status *s = NULL;
    int rc = rest_load(rq->server, rq->a, rq->r, rq->info.ns, rq->info.name, &pod, &err);
    if (rc <= 0)
        s = rc < 0 ? status_from_error(rq->a, &err) : status_not_found(rq->a, &rq->about);
    else
        s = budget_allows(rq, pod);
    if (s) {
        rest_status(rq, s);
        return;
    }
    struct write *w = pod_write(rq, rq->info.name);
    w->change = eviction_change;
    w->done = eviction_done;
    w->ctx = e;
    w->dry_run = e->options.dry_run;
    write_run(w);
}

void rest_eviction(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    const Policy__V1__Eviction *body = rest_decode(rq, schema_get(Policy__V1__Eviction__SCHEMA));
    if (!body)
        return;
    struct eviction *e = arena_new(rq->a, struct eviction);
    e->options.dry_run = rq->dry_run;
    const Meta__V1__DeleteOptions *d = body->delete_options;
    if (d) {
        e->options.has_grace = d->has_grace_period_seconds;
        e->options.grace_s = d->grace_period_seconds;
        e->options.propagation = d->propagation_policy;
        if (d->preconditions) {
            e->options.uid = d->preconditions->uid;
            e->options.resource_version = d->preconditions->resource_version;
        }
    }
    rq->op = e;
    rest_await(rq, "", eviction_ready);
}
