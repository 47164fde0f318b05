/*
 * Validation of jobs and cron jobs. (What may become of a job's status: job_status.c.)
 */
#include "proto/batch_v1.pb-c.h"
#include "api/meta.h"
#include "api/selector.h"
#include "api/validation/batch.h"
#include "api/validation/pod.h"
#include <strings.h>
#include <unistd.h>

#define INDEXES_MAX 100000
#define MANY_INDEXES_MAX 10000
#define RULES_MAX 20
#define VALUES_MAX 255
#define INDEX_LIST_MAX (64 * 1024)
#define MANAGED_BY_MAX 63
#define ZONES "/usr/share/zoneinfo"
#define REQUIRES_INDEXED "requires indexed completion mode"

static bool is_indexed(const Batch__V1__JobSpec *spec)
{
    return cstr_eq(spec->completion_mode, "Indexed");
}

/* --- failure policy ------------------------------------------------------------------------------ */

static const char *numbers_text(struct arena *a, const int32_t *numbers, size_t n)
{
    struct buf text;
    buf_init(&text);
    for (size_t i = 0; i < n; i++)
        buf_printf(&text, "%c%d", i ? ',' : '[', numbers[i]);
    const char *out = arena_printf(a, "%s]", buf_cstr(&text));
    buf_free(&text);
    return out;
}

static void check_exit_codes(struct field_errors *e, const struct path *at,
                             const Batch__V1__PodFailurePolicyOnExitCodesRequirement *r,
                             const struct seen *containers)
{
    const struct path *values = AT(at, "values");
    if (!*r->operator_)
        err_required(e, AT(at, "operator"), "valid values: [\"In\" \"NotIn\"]");
    else
        check_one_of(e, AT(at, "operator"), r->operator_, ONE_OF("In", "NotIn"));
    if (r->container_name && !seen_has(containers, r->container_name))
        err_invalid(e, AT(at, "containerName"), r->container_name,
                    "must be one of the container or initContainer names in the pod template");
    if (r->n_values == 0)
        err_invalid_raw(e, values, "[]", "at least one value is required");
    else if (r->n_values > VALUES_MAX)
        err_too_many(e, values, r->n_values, VALUES_MAX);
    bool ordered = true;
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < r->n_values; i++) {
        if (seen_number_again(&seen, r->values[i]))
            err_duplicate_raw(e, ITEM(values, i), arena_printf(e->arena, "%d", r->values[i]));
        ordered = ordered && (i == 0 || r->values[i - 1] <= r->values[i]);
        if (strcmp(r->operator_, "In") == 0 && r->values[i] == 0)
            err_invalid_int(e, ITEM(values, i), 0, "must not be 0 for the In operator");
    }
    if (!ordered)
        err_invalid_raw(e, values, numbers_text(e->arena, r->values, r->n_values),
                        "must be ordered");
}

static void check_failure_rule(struct field_errors *e, const struct path *at,
                               const Batch__V1__PodFailurePolicyRule *r,
                               const Batch__V1__JobSpec *spec, const struct seen *containers)
{
    if (!*r->action)
        err_required(e, AT(at, "action"),
                     "valid values: [\"Count\" \"FailIndex\" \"FailJob\" \"Ignore\"]");
    else if (strcmp(r->action, "FailIndex") == 0 && !spec->has_backoff_limit_per_index)
        err_invalid(e, AT(at, "action"), r->action, "requires the backoffLimitPerIndex to be set");
    else
        check_one_of(e, AT(at, "action"), r->action,
                     ONE_OF("Count", "FailIndex", "FailJob", "Ignore"));
    if (r->on_exit_codes)
        check_exit_codes(e, AT(at, "onExitCodes"), r->on_exit_codes, containers);
    const struct path *conditions = AT(at, "onPodConditions");
    if (r->n_on_pod_conditions > RULES_MAX)
        err_too_many(e, conditions, r->n_on_pod_conditions, RULES_MAX);
    for (size_t i = 0; i < r->n_on_pod_conditions; i++) {
        const Batch__V1__PodFailurePolicyOnPodConditionsPattern *p = r->on_pod_conditions[i];
        const struct path *status = AT(ITEM(conditions, i), "status");
        check_string(e, AT(ITEM(conditions, i), "type"), p->type, validate_qualified_name);
        if (!*p->status)
            err_required(e, status, "valid values: [\"False\" \"True\" \"Unknown\"]");
        else
            check_one_of(e, status, p->status, ONE_OF("False", "True", "Unknown"));
    }
    if (r->on_exit_codes && r->n_on_pod_conditions)
        err_invalid_raw(e, at, NULL,
                        "specifying both OnExitCodes and OnPodConditions is not supported");
    else if (!r->on_exit_codes && !r->n_on_pod_conditions)
        err_invalid_raw(e, at, NULL,
                        "specifying one of OnExitCodes and OnPodConditions is required");
}

static void check_failure_policy(struct field_errors *e, const struct path *at,
                                 const Batch__V1__JobSpec *spec)
{
    const Batch__V1__PodFailurePolicy *p = spec->pod_failure_policy;
    const struct path *rules = AT(AT(at, "podFailurePolicy"), "rules");
    if (!p)
        return;
    if (p->n_rules > RULES_MAX)
        err_too_many(e, rules, p->n_rules, RULES_MAX);
    const struct seen containers = container_names(e->arena, spec->template_->spec);
    for (size_t i = 0; i < p->n_rules; i++)
        check_failure_rule(e, ITEM(rules, i), p->rules[i], spec, &containers);
}

/* --- success policy ------------------------------------------------------------------------------ */

static void check_success_rule(struct field_errors *e, const struct path *at,
                               const Batch__V1__SuccessPolicyRule *r, int32_t completions)
{
    int64_t total = completions;
    const char *problem;
    if (!r->succeeded_indexes && !r->has_succeeded_count)
        err_required(e, at, "at least one of succeededCount or succeededIndexes must be specified");
    if (r->succeeded_indexes && strlen(r->succeeded_indexes) > INDEX_LIST_MAX)
        err_too_long(e, AT(at, "succeededIndexes"), INDEX_LIST_MAX);
    else if (r->succeeded_indexes &&
             (problem = index_list_problem(e->arena, r->succeeded_indexes, completions, &total)))
        err_invalid(e, AT(at, "succeededIndexes"), r->succeeded_indexes,
                    arena_printf(e->arena, "error parsing succeededIndexes: %s", problem));
    if (!r->has_succeeded_count)
        return;
    check_non_negative(e, AT(at, "succeededCount"), r->succeeded_count);
    if (r->succeeded_count > completions)
        err_invalid_int(
            e, AT(at, "succeededCount"), r->succeeded_count,
            arena_printf(e->arena,
                         "must be less than or equal to %d (the number of specified completions)",
                         completions));
    else if (r->succeeded_indexes && r->succeeded_count > total)
        err_invalid_int(e, AT(at, "succeededCount"), r->succeeded_count,
                        arena_printf(e->arena,
                                     "must be less than or equal to %lld (the number of indexes in "
                                     "the specified succeededIndexes field)",
                                     (long long)total));
}

static void check_success_policy(struct field_errors *e, const struct path *at,
                                 const Batch__V1__JobSpec *spec)
{
    const Batch__V1__SuccessPolicy *p = spec->success_policy;
    const struct path *rules = AT(at, "rules");
    if (!p)
        return;
    if (!is_indexed(spec)) {
        err_invalid_object(e, at, p, REQUIRES_INDEXED);
        return;
    }
    if (p->n_rules == 0)
        err_required(e, rules,
                     "at least one rules must be specified when the successPolicy is specified");
    if (p->n_rules > RULES_MAX)
        err_too_many(e, rules, p->n_rules, RULES_MAX);
    for (size_t i = 0; i < p->n_rules; i++)
        check_success_rule(e, ITEM(rules, i), p->rules[i], spec->completions);
}

/* --- specs ---------------------------------------------------------------------------------------- */

static void check_numbers(struct field_errors *e, const struct path *at,
                          const Batch__V1__JobSpec *spec)
{
    const struct {
        const char *name;
        bool set;
        int64_t value;
    } numbers[] = {
        {"parallelism", spec->has_parallelism, spec->parallelism},
        {"completions", spec->has_completions, spec->completions},
        {"activeDeadlineSeconds", spec->has_active_deadline_seconds, spec->active_deadline_seconds},
        {"backoffLimit", spec->has_backoff_limit, spec->backoff_limit},
        {"ttlSecondsAfterFinished", spec->has_ttl_seconds_after_finished,
         spec->ttl_seconds_after_finished},
        {"backoffLimitPerIndex", spec->has_backoff_limit_per_index, spec->backoff_limit_per_index},
        {"maxFailedIndexes", spec->has_max_failed_indexes, spec->max_failed_indexes}};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        if (numbers[i].set)
            check_non_negative(e, AT(at, numbers[i].name), numbers[i].value);
    }
    if (spec->has_max_failed_indexes && !spec->has_backoff_limit_per_index)
        err_required(e, AT(at, "backoffLimitPerIndex"), "when maxFailedIndexes is specified");
}

/* The status of such a job would grow too large without these. */
static void check_many_indexes(struct field_errors *e, const struct path *at,
                               const Batch__V1__JobSpec *spec)
{
    static const char message[] = "must be less than or equal to 10000 when completions are above "
                                  "100000 and used with backoff limit per index";
    if (!spec->has_max_failed_indexes)
        err_required(e, AT(at, "maxFailedIndexes"),
                     "must be specified when completions is above 100000");
    if (spec->has_parallelism && spec->parallelism > MANY_INDEXES_MAX)
        err_invalid_int(e, AT(at, "parallelism"), spec->parallelism, message);
    if (spec->has_max_failed_indexes && spec->max_failed_indexes > MANY_INDEXES_MAX)
        err_invalid_int(e, AT(at, "maxFailedIndexes"), spec->max_failed_indexes, message);
}

static void check_indexed(struct field_errors *e, const struct path *at,
                          const Batch__V1__JobSpec *spec)
{
    if (!spec->has_completions)
        err_required(e, AT(at, "completions"), "when completion mode is Indexed");
    if (spec->has_parallelism && spec->parallelism > INDEXES_MAX)
        err_invalid_int(e, AT(at, "parallelism"), spec->parallelism,
                        "must be less than or equal to 100000 when completion mode is Indexed");
    if (spec->has_completions && spec->has_max_failed_indexes &&
        spec->max_failed_indexes > spec->completions)
        err_invalid_int(e, AT(at, "maxFailedIndexes"), spec->max_failed_indexes,
                        "must be less than or equal to completions");
    if (spec->has_max_failed_indexes && spec->max_failed_indexes > INDEXES_MAX)
        err_invalid_int(e, AT(at, "maxFailedIndexes"), spec->max_failed_indexes,
                        "must be less than or equal to 100000");
    if (spec->has_completions && spec->completions > INDEXES_MAX &&
        spec->has_backoff_limit_per_index)
        check_many_indexes(e, at, spec);
}

static void check_modes(struct field_errors *e, const struct path *at,
                        const Batch__V1__JobSpec *spec)
{
    if (spec->completion_mode)
        check_one_of(e, AT(at, "completionMode"), spec->completion_mode,
                     ONE_OF("Indexed", "NonIndexed"));
    if (is_indexed(spec))
        check_indexed(e, at, spec);
    if (!is_indexed(spec) && spec->has_backoff_limit_per_index)
        err_invalid_int(e, AT(at, "backoffLimitPerIndex"), spec->backoff_limit_per_index,
                        REQUIRES_INDEXED);
    if (!is_indexed(spec) && spec->has_max_failed_indexes)
        err_invalid_int(e, AT(at, "maxFailedIndexes"), spec->max_failed_indexes, REQUIRES_INDEXED);
    const char *replace = spec->pod_replacement_policy;
    const struct path *replacement = AT(at, "podReplacementPolicy");
    if (replace && spec->pod_failure_policy)
        check_one_of(e, replacement, replace, ONE_OF("Failed"));
    else if (replace)
        check_one_of(e, replacement, replace, ONE_OF("Failed", "TerminatingOrFailed"));
    if (!spec->managed_by)
        return;
    check_domain_path(e, AT(at, "managedBy"), spec->managed_by);
    if (strlen(spec->managed_by) > MANAGED_BY_MAX)
        err_too_long(e, AT(at, "managedBy"), MANAGED_BY_MAX);
}

static void check_job_spec(struct field_errors *e, const struct path *at,
                           const Batch__V1__JobSpec *spec)
{
    const char *restart = spec->template_->spec->restart_policy;
    const struct path *policy = AT(AT(AT(at, "template"), "spec"), "restartPolicy");
    check_numbers(e, at, spec);
    check_modes(e, at, spec);
    check_failure_policy(e, at, spec);
    check_success_policy(e, AT(at, "successPolicy"), spec);
    check_pod_template(e, AT(at, "template"), spec->template_);
    if (!*restart || strcmp(restart, "Always") == 0)
        err_required(e, policy, "valid values: \"OnFailure\", \"Never\"");
    else if (!is_one_of(restart, ONE_OF("OnFailure", "Never")))
        err_not_supported(e, policy, restart, ONE_OF("OnFailure", "Never"));
    else if (spec->pod_failure_policy && strcmp(restart, "Never") != 0)
        err_invalid(e, policy, restart,
                    "only \"Never\" is supported when podFailurePolicy is specified");
}

/* --- jobs ------------------------------------------------------------------------------------------ */

static void check_generated_label(struct field_errors *e, const Batch__V1__Job *job,
                                  const char *key, const char *wanted)
{
    const Meta__V1__ObjectMeta *meta = job->spec->template_->metadata;
    const struct path *at = KEY(AT(AT(AT(SPEC, "template"), "metadata"), "labels"), key);
    const char *value = labels_get(meta, key);
    if (!value)
        err_required(e, at, arena_printf(e->arena, "must be '%s'", wanted));
    else if (strcmp(value, wanted) != 0)
        err_invalid_map(e, at, meta->labels, meta->n_labels,
                        arena_printf(e->arena, "must be '%s'", wanted));
}

/* What the server adds to jobs that choose no selector must be there as it made it. */
static void check_generated(struct field_errors *e, const Batch__V1__Job *job)
{
    const Batch__V1__JobSpec *spec = job->spec;
    const Meta__V1__ObjectMeta *meta = job->metadata;
    const char *const expected[][2] = {{"controller-uid", meta->uid},
                                       {"job-name", meta->name},
                                       {"batch.kubernetes.io/controller-uid", meta->uid},
                                       {"batch.kubernetes.io/job-name", meta->name}};
    Meta__V1__ObjectMeta *labels = api_new(e->arena, Meta__V1__ObjectMeta);
    struct label_selector selector;
    if (!spec->selector || (spec->has_manual_selector && spec->manual_selector))
        return;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        check_generated_label(e, job, expected[i][0], expected[i][1]);
        labels_set(e->arena, labels, expected[i][0], (char *)expected[i][1]);
    }
    if (label_selector_from(e->arena, spec->selector, &selector, NULL) == 0 &&
        !label_selector_matches_meta(&selector, labels))
        err_invalid_object(e, AT(SPEC, "selector"), spec->selector,
                           "`selector` not auto-generated");
}

static void validate_job(const void *object, struct field_errors *e)
{
    const Batch__V1__Job *job = object;
    const Batch__V1__JobSpec *spec = job->spec;
    struct label_selector selector;
    size_t before;
    check_generated(e, job);
    check_job_spec(e, SPEC, spec);
    before = e->len;
    if (!spec->selector)
        err_required(e, AT(SPEC, "selector"), "");
    else
        check_label_selector(e, AT(SPEC, "selector"), spec->selector);
    if (!spec->selector || /* selects nothing */
        (e->len == before && label_selector_from(e->arena, spec->selector, &selector, NULL) == 0 &&
         !label_selector_matches_meta(&selector, spec->template_->metadata)))
        err_invalid_map(e, AT(AT(AT(SPEC, "template"), "metadata"), "labels"),
                        spec->template_->metadata->labels, spec->template_->metadata->n_labels,
                        "`selector` does not match template `labels`");
    if (is_indexed(spec) && spec->has_completions && spec->completions > 0) {
        char *name = arena_printf(e->arena, "%s-%d", job->metadata->name, spec->completions - 1);
        if (strlen(name) > 63)
            err_invalid(e, AT(AT(NULL, "metadata"), "name"), job->metadata->name,
                        arena_printf(e->arena,
                                     "will not able to create pod with invalid DNS label: %s",
                                     name));
    }
}

/* While a job waits to be started, where its pods go may still change. */
static Core__V1__PodTemplateSpec *with_mutable_directives(struct arena *a,
                                                          const Core__V1__PodTemplateSpec *old,
                                                          const Core__V1__PodTemplateSpec *new)
{
    Core__V1__PodTemplateSpec *t = object_clone(a, old);
    t->metadata->annotations = new->metadata->annotations;
    t->metadata->n_annotations = new->metadata->n_annotations;
    t->metadata->labels = new->metadata->labels;
    t->metadata->n_labels = new->metadata->n_labels;
    if (t->spec->affinity && !new->spec->affinity && !t->spec->affinity->pod_affinity &&
        !t->spec->affinity->pod_anti_affinity)
        t->spec->affinity = NULL;
    else if (t->spec->affinity && new->spec->affinity)
        t->spec->affinity->node_affinity = new->spec->affinity->node_affinity;
    else if (new->spec->affinity && !new->spec->affinity->pod_affinity &&
             !new->spec->affinity->pod_anti_affinity)
        t->spec->affinity = new->spec->affinity;
    t->spec->node_selector = new->spec->node_selector;
    t->spec->n_node_selector = new->spec->n_node_selector;
    t->spec->tolerations = new->spec->tolerations;
    t->spec->n_tolerations = new->spec->n_tolerations;
    t->spec->scheduling_gates = new->spec->scheduling_gates;
    t->spec->n_scheduling_gates = new->spec->n_scheduling_gates;
    return t;
}

static void check_completions_change(struct field_errors *e, const Batch__V1__JobSpec *spec,
                                     const Batch__V1__JobSpec *old)
{
    if (spec->has_completions == old->has_completions && spec->completions == old->completions)
        return;
    /* Elastic: an indexed job grows and shrinks as one. */
    if (is_indexed(spec) && spec->has_completions && spec->has_parallelism &&
        old->has_completions && spec->completions == spec->parallelism)
        return;
    if (is_indexed(spec) && spec->has_completions && old->has_completions)
        err_invalid_int(e, AT(SPEC, "completions"), spec->completions,
                        "can only be modified in tandem with spec.parallelism");
    else if (spec->has_completions)
        err_invalid_int(e, AT(SPEC, "completions"), spec->completions, IMMUTABLE);
    else
        err_invalid_raw(e, AT(SPEC, "completions"), "null", IMMUTABLE);
}

static void validate_job_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Batch__V1__Job *before = old_object;
    const Batch__V1__JobSpec *spec = ((const Batch__V1__Job *)object)->spec, *old = before->spec;
    bool waiting = old->has_suspend && old->suspend && time_is_zero(before->status->start_time);
    const Core__V1__PodTemplateSpec *allowed =
        waiting ? with_mutable_directives(e->arena, old->template_, spec->template_)
                : old->template_;
    check_completions_change(e, spec, old);
    check_immutable(e, AT(SPEC, "selector"), spec->selector, old->selector);
    check_immutable(e, AT(SPEC, "template"), spec->template_, allowed);
    check_immutable_string(e, AT(SPEC, "completionMode"), spec->completion_mode,
                           old->completion_mode);
    check_immutable(e, AT(SPEC, "podFailurePolicy"), spec->pod_failure_policy,
                    old->pod_failure_policy);
    if (spec->has_backoff_limit_per_index != old->has_backoff_limit_per_index ||
        spec->backoff_limit_per_index != old->backoff_limit_per_index)
        err_invalid_int(e, AT(SPEC, "backoffLimitPerIndex"), spec->backoff_limit_per_index,
                        IMMUTABLE);
    check_immutable_string(e, AT(SPEC, "managedBy"), spec->managed_by, old->managed_by);
    check_immutable(e, AT(SPEC, "successPolicy"), spec->success_policy, old->success_policy);
}

/* --- cron jobs -------------------------------------------------------------------------------------- */

static void check_time_zone(struct field_errors *e, const struct path *at, const char *zone)
{
    if (!zone)
        return;
    if (!*zone) {
        err_invalid(e, at, zone, "timeZone must be nil or non-empty string");
        return;
    }
    if (strcasecmp(zone, "Local") == 0)
        err_invalid(e, at, zone,
                    "timeZone must be an explicit time zone as defined in "
                    "https://www.iana.org/time-zones");
    bool plain = *zone != '/' && !strstr(zone, "..") && strlen(zone) < 128;
    for (const char *c = zone; plain && *c; c++)
        plain = (*c >= 'A' && *c <= 'Z') || (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') ||
                strchr("_+-/", *c);
    /* Hosts without the data base take what looks like a zone. */
    bool known = plain && (access(ZONES, R_OK) != 0 ||
                           access(arena_printf(e->arena, ZONES "/%s", zone), R_OK) == 0);
    if (!known && strcmp(zone, "UTC") != 0)
        err_invalid(e, at, zone, arena_printf(e->arena, "unknown time zone %s", zone));
}

/* Zones in schedules are an old way, which stays as it was. */
static void check_schedule(struct field_errors *e, const struct path *at,
                           const Batch__V1__CronJobSpec *spec, const Batch__V1__CronJobSpec *old)
{
    const char *schedule = spec->schedule;
    bool zoned = strstr(schedule, "TZ") != NULL, was_zoned = old && strstr(old->schedule, "TZ");
    if (!check_required(e, at, schedule))
        return;
    const char *problem = zoned ? NULL : cron_problem(e->arena, schedule);
    if (problem)
        err_invalid(e, at, schedule, problem);
    if (zoned && !was_zoned)
        err_invalid(e, at, schedule,
                    "cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
    else if (zoned && spec->time_zone)
        err_invalid(e, at, schedule,
                    "cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

static void check_cron_job(struct field_errors *e, const Batch__V1__CronJobSpec *spec,
                           const Batch__V1__CronJobSpec *old)
{
    const struct path *at = SPEC, *job = AT(AT(at, "jobTemplate"), "spec");
    check_schedule(e, AT(at, "schedule"), spec, old);
    if (spec->has_starting_deadline_seconds)
        check_non_negative(e, AT(at, "startingDeadlineSeconds"), spec->starting_deadline_seconds);
    if (!old || !cstr_eq(old->time_zone, spec->time_zone))
        check_time_zone(e, AT(at, "timeZone"), spec->time_zone);
    check_required_one_of(e, AT(at, "concurrencyPolicy"), spec->concurrency_policy,
                          ONE_OF("Allow", "Forbid", "Replace"));
    check_job_spec(e, job, spec->job_template->spec);
    if (spec->job_template->spec->selector)
        err_invalid_object(e, AT(job, "selector"), spec->job_template->spec->selector,
                           "`selector` will be auto-generated");
    if (spec->job_template->spec->has_manual_selector && spec->job_template->spec->manual_selector)
        err_not_supported_raw(e, AT(job, "manualSelector"), "true", ONE_OF("nil", "false"));
    if (spec->has_successful_jobs_history_limit)
        check_non_negative(e, AT(at, "successfulJobsHistoryLimit"),
                           spec->successful_jobs_history_limit);
    if (spec->has_failed_jobs_history_limit)
        check_non_negative(e, AT(at, "failedJobsHistoryLimit"), spec->failed_jobs_history_limit);
}

static void validate_cron_job(const void *object, struct field_errors *e)
{
    check_cron_job(e, ((const Batch__V1__CronJob *)object)->spec, NULL);
}

static void validate_cron_job_update(const void *object, const void *old, struct field_errors *e)
{
    check_cron_job(e, ((const Batch__V1__CronJob *)object)->spec,
                   ((const Batch__V1__CronJob *)old)->spec);
}

static const struct kind_rules rows[] = {
    {.message = Batch__V1__Job__SCHEMA,
     .create = validate_job,
     .update = validate_job_update,
     .status = validate_job_status},
    {.message = Batch__V1__CronJob__SCHEMA,
     .create = validate_cron_job,
     .update = validate_cron_job_update,
     .update_alone = true},
};
const struct rule_table batch_rules = RULE_TABLE(rows);
