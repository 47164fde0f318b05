/*
 * Binding of pods: the scheduler's answer.
 */
#include "api/meta.h"
#include "apiserver/admission/admission.h"
#include "apiserver/strategy/strategy.h"
#include "base/map.h"
#include "proto/core_v1.pb-c.h"

void pod_set_condition(struct arena *a, void *object, const char *type, const char *status,
                       const char *reason, const char *message)
{
    Core__V1__Pod *pod = object;
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
    c->reason = (char *)reason;
    c->message = (char *)message;
    c->last_transition_time = time_now(a);
}

/* Entries of a binding, of which there may be as many as its body has room for: each is looked up. */
static void merge_map(struct arena *a, StringEntry ***entries, size_t *n, StringEntry *const *from,
                      size_t from_len)
{
    struct map index; /* place, from 1 */
    StringEntry **all = arena_array(a, StringEntry *, *n + from_len);
    size_t len = 0;
    map_init(&index);
    for (size_t i = 0; i < *n + from_len; i++) {
        StringEntry *e = i < *n ? (*entries)[i] : from[i - *n];
        size_t place = (uintptr_t)map_get(&index, str_from(e->key));
        if (!place) {
            place = ++len;
            map_put(&index, str_from(e->key), (void *)(uintptr_t)place);
        }
        all[place - 1] = e; /* of two of a key the later one counts */
    }
    map_free(&index);
    *entries = all;
    *n = len;
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
    /* Who binds may say which pod is meant, and in which version. */
    const char *uid = *b->metadata->uid ? b->metadata->uid : NULL;
    const char *version = *b->metadata->resource_version ? b->metadata->resource_version : NULL;
    if ((s = strategy_precondition(a, &about, uid, version, pod->metadata)))
        return s;
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
    merge_map(a, &pod->metadata->annotations, &pod->metadata->n_annotations,
              b->metadata->annotations, b->metadata->n_annotations);
    merge_map(a, &pod->metadata->labels, &pod->metadata->n_labels, b->metadata->labels,
              b->metadata->n_labels);
    pod_set_condition(a, pod, "PodScheduled", "True", "", "");
    w->obj = pod;
    return NULL;
}

void pod_write_done(struct write *w, struct status *s)
{
    struct rest *rq = w->rq;
    if (!s) {
        s = arena_new(rq->a, struct status);
        s->code = 201;
        s->success = true;
    }
    rest_status(rq, s);
}

struct write *pod_write_new(struct rest *rq, const char *name,
                            struct status *(*change)(struct write *w), void *ctx)
{
    struct write *w = write_new(rq, change, pod_write_done, ctx);
    w->r = resource_of_message(Core__V1__Pod__SCHEMA);
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
    if (strcmp(b->metadata->name, name) != 0) {
        rest_status(rq,
                    status_bad_request(rq->a, "name in URL does not match name in Binding object"));
        return;
    }
    if (!*name) {
        rest_status(rq, status_bad_request(rq->a, "Name parameter required."));
        return;
    }
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
    write_run(pod_write_new(rq, name, binding_change, b));
}
