/*
 * Jobs: unless told otherwise, each selects the pods that carry its own name and uid.
 */
#include "api/meta.h"
#include "apiserver/strategy/strategy.h"
#include "proto/batch_v1.pb-c.h"

#define UID_LABEL "batch.kubernetes.io/controller-uid"
#define NAME_LABEL "batch.kubernetes.io/job-name"

/* A label that the client has set stays: validation says what it should be. */
static void add_label(struct arena *a, Meta__V1__ObjectMeta *meta, const char *key,
                      const char *value)
{
    if (!labels_get(meta, key))
        labels_set(a, meta, key, value);
}

static void complete_create(struct write *w, void *obj)
{
    struct arena *a = w->rq->a;
    Batch__V1__Job *job = obj;
    Batch__V1__JobSpec *spec = job->spec;
    Meta__V1__ObjectMeta *template = spec->template_->metadata;
    if (spec->has_manual_selector && spec->manual_selector)
        return;
    add_label(a, template, "controller-uid", job->metadata->uid);
    add_label(a, template, "job-name", job->metadata->name);
    add_label(a, template, UID_LABEL, job->metadata->uid);
    add_label(a, template, NAME_LABEL, job->metadata->name);
    if (!spec->selector)
        spec->selector = api_new(a, Meta__V1__LabelSelector);
    Meta__V1__LabelSelector *s = spec->selector;
    if (!string_map_get(s->match_labels, s->n_match_labels, UID_LABEL))
        string_map_set(a, &s->match_labels, &s->n_match_labels, UID_LABEL, job->metadata->uid);
    /* A job without labels has its pods' (the default of every read); they came only now. */
    if (job->metadata->n_labels == 0) {
        job->metadata->labels = template->labels;
        job->metadata->n_labels = template->n_labels;
    }
}

const struct strategy strategy_job = {.message = Batch__V1__Job__SCHEMA,
                                      .flags = STRATEGY_GENERATION | STRATEGY_ORPHANS,
                                      .complete_create = complete_create};
