/*
 * Rows of workloads: apps, batch, replication controllers and pod templates.
 */
#include "api/meta.h"
#include "apiserver/table/table.h"
#include "apiserver/table/text.h"
#include "base/clock.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/batch_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"

static void print_containers(struct cells *c, const Core__V1__PodSpec *spec)
{
    struct text names = text_new(c->a), images = text_new(c->a);
    for (size_t i = 0; i < spec->n_containers; i++) {
        text_item(&names, ",", spec->containers[i]->name);
        text_item(&images, ",", spec->containers[i]->image);
    }
    cell_string(c, arena_text_of(&names.joined));
    cell_string(c, arena_text_of(&images.joined));
}

static void print_deployment(struct cells *c, const Apps__V1__Deployment *d)
{
    cell_string(c, d->metadata->name);
    cell_printf(c, "%d/%d", d->status->ready_replicas, api_get(d->spec, replicas, 0));
    cell_int(c, d->status->updated_replicas);
    cell_int(c, d->status->available_replicas);
    cell_string(c, text_age(c, d->metadata->creation_timestamp));
    print_containers(c, d->spec->template_->spec);
    cell_string(c, text_selector(c->a, d->spec->selector));
}

static void print_replica_set(struct cells *c, const Apps__V1__ReplicaSet *r)
{
    cell_string(c, r->metadata->name);
    cell_int(c, api_get(r->spec, replicas, 0));
    cell_int(c, r->status->replicas);
    cell_int(c, r->status->ready_replicas);
    cell_string(c, text_age(c, r->metadata->creation_timestamp));
    print_containers(c, r->spec->template_->spec);
    cell_string(c, text_selector(c->a, r->spec->selector));
}

static void print_replication_controller(struct cells *c, const Core__V1__ReplicationController *r)
{
    cell_string(c, r->metadata->name);
    cell_int(c, api_get(r->spec, replicas, 0));
    cell_int(c, r->status->replicas);
    cell_int(c, r->status->ready_replicas);
    cell_string(c, text_age(c, r->metadata->creation_timestamp));
    if (r->spec->template_) {
        print_containers(c, r->spec->template_->spec);
    } else {
        cell_string(c, "");
        cell_string(c, "");
    }
    cell_string(c, text_map(c->a, r->spec->selector, r->spec->n_selector));
}

static void print_stateful_set(struct cells *c, const Apps__V1__StatefulSet *s)
{
    cell_string(c, s->metadata->name);
    cell_printf(c, "%d/%d", s->status->ready_replicas, api_get(s->spec, replicas, 0));
    cell_string(c, text_age(c, s->metadata->creation_timestamp));
    print_containers(c, s->spec->template_->spec);
}

static void print_daemon_set(struct cells *c, const Apps__V1__DaemonSet *d)
{
    cell_string(c, d->metadata->name);
    cell_int(c, d->status->desired_number_scheduled);
    cell_int(c, d->status->current_number_scheduled);
    cell_int(c, d->status->number_ready);
    cell_int(c, d->status->updated_number_scheduled);
    cell_int(c, d->status->number_available);
    const Core__V1__PodSpec *spec = d->spec->template_->spec;
    cell_string(c, text_map(c->a, spec->node_selector, spec->n_node_selector));
    cell_string(c, text_age(c, d->metadata->creation_timestamp));
    print_containers(c, spec);
    cell_string(c, text_selector(c->a, d->spec->selector));
}

static void print_revision(struct cells *c, const Apps__V1__ControllerRevision *r)
{
    const Meta__V1__OwnerReference *owner = controller_of(r->metadata);
    cell_string(c, r->metadata->name);
    if (owner) {
        char *kind = arena_strdup(c->a, owner->kind);
        for (char *p = kind; *p; p++)
            *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
        struct str version = str_from(owner->api_version), group;
        bool grouped = str_find_char(version, '/') >= 0 && str_split(&version, '/', &group);
        cell_printf(c, "%s%s%.*s/%s", kind, grouped ? "." : "", grouped ? (int)group.n : 0,
                    grouped ? group.p : "", owner->name);
    } else {
        cell_string(c, "<none>");
    }
    cell_int(c, r->revision);
    cell_string(c, text_age(c, r->metadata->creation_timestamp));
}

static const char *job_status(const Batch__V1__Job *j)
{
    static const char *const wanted[][2] = {{"Complete", "Complete"},
                                            {"Failed", "Failed"},
                                            {"Suspended", "Suspended"},
                                            {"FailureTarget", "FailureTarget"},
                                            {"SuccessCriteriaMet", "SuccessCriteriaMet"}};
    for (size_t k = 0; k < sizeof wanted / sizeof wanted[0]; k++)
        for (size_t i = 0; i < j->status->n_conditions; i++)
            if (strcmp(j->status->conditions[i]->type, wanted[k][0]) == 0 &&
                strcmp(j->status->conditions[i]->status, "True") == 0)
                return wanted[k][1];
    return j->metadata->deletion_timestamp ? "Terminating" : "Running";
}

static void print_job(struct cells *c, const Batch__V1__Job *j)
{
    cell_string(c, j->metadata->name);
    cell_string(c, job_status(j));
    if (j->spec->has_completions)
        cell_printf(c, "%d/%d", j->status->succeeded, j->spec->completions);
    else if (api_get(j->spec, parallelism, 0) > 1)
        cell_printf(c, "%d/1 of %d", j->status->succeeded, j->spec->parallelism);
    else
        cell_printf(c, "%d/1", j->status->succeeded);
    char duration[32] = "";
    if (!time_is_zero(j->status->start_time)) {
        int64_t start = time_ns(j->status->start_time), end = time_ns(j->status->completion_time);
        duration_human(end ? (end - start) / (int64_t)NS_PER_S
                           : c->now_s - start / (int64_t)NS_PER_S,
                       duration);
    }
    cell_string(c, duration);
    cell_string(c, text_age(c, j->metadata->creation_timestamp));
    print_containers(c, j->spec->template_->spec);
    cell_string(c, text_selector(c->a, j->spec->selector));
}

static void print_cron_job(struct cells *c, const Batch__V1__CronJob *j)
{
    cell_string(c, j->metadata->name);
    cell_string(c, j->spec->schedule);
    cell_string(c, j->spec->time_zone ? j->spec->time_zone : "<none>");
    cell_string(c, api_get(j->spec, suspend, false) ? "True" : "False");
    cell_int(c, (int64_t)j->status->n_active);
    cell_string(c, time_is_zero(j->status->last_schedule_time)
                       ? "<none>"
                       : text_age(c, j->status->last_schedule_time));
    cell_string(c, text_age(c, j->metadata->creation_timestamp));
    print_containers(c, j->spec->job_template->spec->template_->spec);
    cell_string(c, text_selector(c->a, j->spec->job_template->spec->selector));
}

static void print_pod_template(struct cells *c, const Core__V1__PodTemplate *t)
{
    cell_string(c, t->metadata->name);
    print_containers(c, t->template_->spec);
    cell_string(c,
                text_map(c->a, t->template_->metadata->labels, t->template_->metadata->n_labels));
}

bool table_print_apps(struct cells *c, const void *object)
{
    switch (schema_of(object)->id) {
    case Apps__V1__Deployment__SCHEMA:
        print_deployment(c, object);
        return true;
    case Apps__V1__ReplicaSet__SCHEMA:
        print_replica_set(c, object);
        return true;
    case Apps__V1__StatefulSet__SCHEMA:
        print_stateful_set(c, object);
        return true;
    case Apps__V1__DaemonSet__SCHEMA:
        print_daemon_set(c, object);
        return true;
    case Apps__V1__ControllerRevision__SCHEMA:
        print_revision(c, object);
        return true;
    case Batch__V1__Job__SCHEMA:
        print_job(c, object);
        return true;
    case Batch__V1__CronJob__SCHEMA:
        print_cron_job(c, object);
        return true;
    case Core__V1__ReplicationController__SCHEMA:
        print_replication_controller(c, object);
        return true;
    case Core__V1__PodTemplate__SCHEMA:
        print_pod_template(c, object);
        return true;
    default:
        return false;
    }
}
