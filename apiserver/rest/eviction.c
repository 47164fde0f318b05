/*
 * Eviction: the deletion of a pod that its disruption budget allows. The budget is counted down in the pod's own
 * transaction, so two evictions never use one allowance, and an allowance is never used for nothing.
 */
#include "api/fields/managed_fields.h"
#include "api/meta.h"
#include "api/selector.h"
#include "apiserver/admission/admission.h"
#include "apiserver/strategy/strategy.h"
#include "base/arena_str.h"
#include "base/arena_text.h"
#include "base/clock.h"
#include "proto/core_v1.pb-c.h"
#include "proto/policy_v1.pb-c.h"

#define VIOLATES "Cannot evict pod as it would violate the pod's disruption budget."
#define DISRUPTED_PODS_MAX 2000
#define RETRY_AFTER_S 10

typedef Policy__V1__PodDisruptionBudget Budget;

/* ---- the budget of a pod ---- */

struct budgets {
    struct rest *rq;
    const Core__V1__Pod *pod;
    Budget *found;
    int64_t mod_rev;
    size_t matches;
};

static int match_budget(void *ctx, const struct kv_pair *pair)
{
    struct budgets *b = ctx;
    void *object;
    struct error err;
    struct label_selector sel;
    if (stored_decode(b->rq->a, pair->value, pair->mod_rev, NULL, &object, &err) < 0)
        return err.code;
    Budget *budget = object;
    if (label_selector_from(b->rq->a, budget->spec->selector, &sel, &err) < 0 ||
        !label_selector_matches_meta(&sel, b->pod->metadata))
        return 0;
    b->found = budget;
    b->mod_rev = pair->mod_rev;
    b->matches++;
    return 0;
}

static const struct resource *budget_resource(void)
{
    return resource_of_message(Policy__V1__PodDisruptionBudget__SCHEMA);
}

/* A pod without labels is in no budget. */
static int find_budgets(struct budgets *b, struct error *err)
{
    struct rest *rq = b->rq;
    struct str prefix = rest_prefix(rq->a, budget_resource(), rq->info.ns);
    struct kv_range_request range = {
        .key = prefix, .end = kv_prefix_end(rq->a, prefix), .no_count = true};
    struct kv_range_result result;
    if (b->pod->metadata->n_labels == 0)
        return 0;
    return kv_scan(rq->server->kv, &range, match_budget, b, rq->a, &result, err);
}

static bool is_ready(const Core__V1__Pod *pod)
{
    for (size_t i = 0; i < pod->status->n_conditions; i++)
        if (strcmp(pod->status->conditions[i]->type, "Ready") == 0)
            return strcmp(pod->status->conditions[i]->status, "True") == 0;
    return false;
}

/* What is over, has not begun or is going disrupts nothing. */
static bool needs_no_budget(const Core__V1__Pod *pod)
{
    return pod->metadata->deletion_timestamp || cstr_eq(pod->status->phase, "Succeeded") ||
           cstr_eq(pod->status->phase, "Failed") || cstr_eq(pod->status->phase, "Pending");
}

/* Pods that are not ready do not count as healthy: they may go while enough others are, or always. */
static bool may_go_unhealthy(const Core__V1__Pod *pod, const Budget *b)
{
    const Policy__V1__PodDisruptionBudgetStatus *s = b->status;
    return !is_ready(pod) && (cstr_eq(b->spec->unhealthy_pod_eviction_policy, "AlwaysAllow") ||
                              (s->current_healthy >= s->desired_healthy && s->desired_healthy > 0));
}

/* ---- counting down ---- */

static struct status *refuse(struct arena *a, int retry_after_s, const char *why)
{
    struct status *s = status_new(a, 429, "TooManyRequests", VIOLATES);
    s->has_details = true;
    s->retry_after_s = retry_after_s;
    status_cause_add(a, s, "DisruptionBudget", NULL, "%s", why);
    return s;
}

static struct status *check_budget(struct arena *a, const Budget *b)
{
    const Policy__V1__PodDisruptionBudgetStatus *s = b->status;
    struct status_about about = {"policy", "poddisruptionbudget", "", b->metadata->name};
    if (s->observed_generation < b->metadata->generation)
        return refuse(
            a, RETRY_AFTER_S,
            arena_printf(a, "The disruption budget %s is still being processed by the server.",
                         b->metadata->name));
    if (s->disruptions_allowed < 0)
        return status_forbidden(a, &about, "pdb disruptions allowed is negative");
    if (s->n_disrupted_pods > DISRUPTED_PODS_MAX)
        return status_forbidden(
            a, &about,
            "DisruptedPods map too big - too many evictions not confirmed by PDB controller");
    if (s->disruptions_allowed > 0)
        return NULL;
    return refuse(
        a, 0,
        arena_printf(a, "The disruption budget %s needs %d healthy pods and has %d currently",
                     b->metadata->name, s->desired_healthy, s->current_healthy));
}

static void note_disrupted(struct arena *a, Policy__V1__PodDisruptionBudgetStatus *s,
                           const char *pod)
{
    Meta__V1__TimeEntry *entry = NULL;
    for (size_t i = 0; i < s->n_disrupted_pods; i++)
        if (strcmp(s->disrupted_pods[i]->key, pod) == 0)
            entry = s->disrupted_pods[i];
    if (!entry) {
        entry = api_new(a, Meta__V1__TimeEntry);
        entry->key = (char *)pod;
        api_append(a, s, disrupted_pods, entry);
    }
    entry->value = time_now(a);
}

/* The last allowance is gone: the condition says so at once. */
static void set_none_left(struct arena *a, Budget *b)
{
    for (size_t i = 0; i < b->status->n_conditions; i++) {
        Meta__V1__Condition *c = b->status->conditions[i];
        if (strcmp(c->type, "DisruptionAllowed") != 0 || strcmp(c->status, "False") == 0)
            continue;
        c->status = (char *)"False";
        c->reason = (char *)"InsufficientPods";
        c->observed_generation = b->metadata->generation;
        c->last_transition_time = time_now(a);
    }
}

/* One less, in the transaction of the pod. */
static void count_down(struct write *w, const struct budgets *found)
{
    struct arena *a = w->rq->a;
    Budget *b = object_clone(a, found->found);
    b->status->disruptions_allowed--;
    if (b->status->disruptions_allowed == 0)
        set_none_left(a, b);
    note_disrupted(a, b->status, w->name);
    struct field_manager who = {"kube-apiserver", "status", clock_wall_s()};
    managed_fields_record(a, &who, found->found, b);
    struct buf bytes;
    buf_init(&bytes);
    stored_encode(b, &bytes);
    write_extra_replace(w, rest_key(a, budget_resource(), w->ns, b->metadata->name), found->mod_rev,
                        arena_copy(a, buf_str(&bytes)));
    buf_free(&bytes);
}

/* ---- the change ---- */

static struct status *budget_allows(struct write *w, const Core__V1__Pod *pod)
{
    struct arena *a = w->rq->a;
    struct budgets found = {.rq = w->rq, .pod = pod};
    struct error err;
    if (needs_no_budget(pod))
        return NULL;
    if (find_budgets(&found, &err) < 0)
        return status_from_error(a, &err);
    if (found.matches > 1)
        return status_new(a, 500, "",
                          "This pod has more than one PodDisruptionBudget, which the eviction "
                          "subresource does not support.");
    if (found.matches == 0 || may_go_unhealthy(pod, found.found))
        return NULL;
    struct status *s = check_budget(a, found.found);
    if (!s)
        count_down(w, &found);
    return s;
}

/* An eviction is made before it deletes: in a namespace that is going, nothing is made. */
static struct status *check_namespace(struct write *w)
{
    struct admission ad;
    if (!admission_is_on(w->rq->server->config.admission_off, admission_namespace_lifecycle.name))
        return NULL;
    admission_of_write(&ad, w, ADMIT_CREATE, NULL, NULL, NULL);
    ad.sub = "eviction";
    return admission_namespace_lifecycle.mutate(&ad);
}

static struct status *eviction_change(struct write *w)
{
    struct status *s = check_namespace(w);
    if (s)
        return s;
    if (!w->old)
        return status_not_found(w->rq->a, &w->rq->about);
    s = budget_allows(w, w->old);
    if (s || (s = change_delete(w, w->ctx)))
        return s;
    if (w->obj) /* it ends gracefully: the node agent and controllers are told why */
        pod_set_condition(w->rq->a, w->obj, "DisruptionTarget", "True", "EvictionByEvictionAPI",
                          "Eviction API: evicting");
    return NULL;
}

static const char *dry_run_text(struct arena *a, char *const *items, size_t n)
{
    return arena_printf(a, "[%s]", arena_join(a, (const char *const *)items, n, " "));
}

/* NULL, or why the body does not fit the request. */
static struct status *read_options(struct rest *rq, const Policy__V1__Eviction *body,
                                   struct delete_options *o)
{
    const Meta__V1__DeleteOptions *d = body->delete_options;
    struct arena *a = rq->a;
    o->dry_run = rq->dry_run;
    if (strcmp(body->metadata->name, rq->info.name) != 0)
        return status_bad_request(a, "name in URL does not match name in Eviction object");
    if (!d)
        return NULL;
    bool dry = d->n_dry_run == 1 && strcmp(d->dry_run[0], "All") == 0;
    if (d->n_dry_run && rq->dry_run && !dry)
        return status_internal(a,
                               "Non-matching dry-run options in request and content: [All] and %s",
                               dry_run_text(a, d->dry_run, d->n_dry_run));
    if (d->n_dry_run && !dry) {
        struct status_about about = {"policy", "evictions", "Eviction", rq->info.name};
        struct status *s = status_invalid(a, &about);
        status_cause_add(a, s, "FieldValueNotSupported", "dryRun",
                         "Unsupported value: %s: supported values: \"All\"",
                         dry_run_text(a, d->dry_run, d->n_dry_run));
        status_invalid_finish(a, s);
        return s;
    }
    o->dry_run |= dry;
    o->has_grace = d->has_grace_period_seconds;
    o->grace_s = d->grace_period_seconds;
    o->propagation = d->propagation_policy;
    if (d->preconditions) {
        o->uid = d->preconditions->uid;
        o->resource_version = d->preconditions->resource_version;
    }
    return NULL;
}

void rest_eviction(struct rest *rq)
{
    if (!rest_write_options(rq))
        return;
    const Policy__V1__Eviction *body = rest_decode(rq, schema_get(Policy__V1__Eviction__SCHEMA));
    if (!body)
        return;
    struct delete_options *o = arena_new(rq->a, struct delete_options);
    struct status *s = read_options(rq, body, o);
    if (s) {
        rest_status(rq, s);
        return;
    }
    struct write *w = pod_write_new(rq, rq->info.name, eviction_change, o);
    w->dry_run = o->dry_run;
    w->pinned = o->resource_version && *o->resource_version;
    write_run(w);
}
