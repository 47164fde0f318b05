/*
 * Validation of jobs and cron jobs.
 */
#include "api/validation/internal.h"
#include "proto/batch_v1.pb-c.h"

/* --- jobs ------------------------------------------------------------------------------------------------ */

static void check_job_spec(struct field_errors *e, const struct path *at,
                           const Batch__V1__JobSpec *spec)
{
    static const char *const restart[] = {"Never", "OnFailure", NULL};
    static const char *const modes[] = {"Indexed", "NonIndexed", NULL};
    if (spec->has_parallelism)
        check_non_negative(e, AT(at, "parallelism"), spec->parallelism);
    if (spec->has_completions)
        check_non_negative(e, AT(at, "completions"), spec->completions);
    if (spec->has_active_deadline_seconds)
        check_non_negative(e, AT(at, "activeDeadlineSeconds"), spec->active_deadline_seconds);
    if (spec->has_backoff_limit)
        check_non_negative(e, AT(at, "backoffLimit"), spec->backoff_limit);
    if (spec->has_ttl_seconds_after_finished)
        check_non_negative(e, AT(at, "ttlSecondsAfterFinished"), spec->ttl_seconds_after_finished);
    if (spec->completion_mode &&
        check_one_of(e, AT(at, "completionMode"), spec->completion_mode, modes) &&
        cstr_eq(spec->completion_mode, "Indexed") && !spec->has_completions)
        err_required(e, AT(at, "completions"), "when completion mode is Indexed");
    check_pod_template(e, AT(at, "template"), spec->template_);
    const char *policy = spec->template_->spec->restart_policy;
    if (!cstr_eq(policy, "Never") && !cstr_eq(policy, "OnFailure"))
        err_not_supported(e, AT(AT(AT(at, "template"), "spec"), "restartPolicy"), policy, restart);
}

static void validate_job(const void *object, struct field_errors *e)
{
    check_job_spec(e, SPEC, ((const Batch__V1__Job *)object)->spec);
}

static void validate_job_update(const void *object, const void *old_object, struct field_errors *e)
{
    const Batch__V1__JobSpec *spec = ((const Batch__V1__Job *)object)->spec;
    const Batch__V1__JobSpec *old = ((const Batch__V1__Job *)old_object)->spec;
    bool suspended = old->has_suspend && old->suspend;
    if (spec->has_completions != old->has_completions || spec->completions != old->completions)
        err_invalid_int(e, AT(SPEC, "completions"), spec->completions, IMMUTABLE);
    check_immutable(e, AT(SPEC, "selector"), spec->selector, old->selector);
    if (!suspended && !object_equal(spec->template_, old->template_))
        err_invalid_object(e, AT(SPEC, "template"), spec->template_, IMMUTABLE);
    if (!cstr_eq(spec->completion_mode, old->completion_mode))
        err_invalid(e, AT(SPEC, "completionMode"), spec->completion_mode, IMMUTABLE);
}

static void validate_cron_job(const void *object, struct field_errors *e)
{
    static const char *const policies[] = {"Allow", "Forbid", "Replace", NULL};
    const Batch__V1__CronJobSpec *spec = ((const Batch__V1__CronJob *)object)->spec;
    const struct path *at = SPEC;
    check_required(e, AT(at, "schedule"), spec->schedule);
    check_one_of(e, AT(at, "concurrencyPolicy"), spec->concurrency_policy, policies);
    if (spec->has_starting_deadline_seconds)
        check_non_negative(e, AT(at, "startingDeadlineSeconds"), spec->starting_deadline_seconds);
    if (spec->has_successful_jobs_history_limit)
        check_non_negative(e, AT(at, "successfulJobsHistoryLimit"),
                           spec->successful_jobs_history_limit);
    if (spec->has_failed_jobs_history_limit)
        check_non_negative(e, AT(at, "failedJobsHistoryLimit"), spec->failed_jobs_history_limit);
    check_job_spec(e, AT(AT(at, "jobTemplate"), "spec"), spec->job_template->spec);
}

static const struct kind_rules rows[] = {
    {.message = Batch__V1__Job__SCHEMA, .create = validate_job, .update = validate_job_update},
    {.message = Batch__V1__CronJob__SCHEMA, .create = validate_cron_job},
};
const struct rule_table batch_rules = RULE_TABLE(rows);
