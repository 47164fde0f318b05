/*
 * Validation of what becomes of a job's status: controllers of any make write it (spec.managedBy), and
 * clients rely on what a finished job says. A rule holds when what it speaks of changed, so that
 * an older status can be written on.
 */
#include "api/meta.h"
#include "api/validation/batch.h"

#define STATUS AT(NULL, "status")

typedef Batch__V1__JobStatus Status;

/* ---- lists of indexes ---- */

/* One of "3" or "3-5". What is wrong, or NULL. */
static const char *interval_problem(struct arena *a, struct str item, int64_t completions,
                                    int64_t *x, int64_t *y)
{
    struct str high = item, low;
    str_split(&high, '-', &low);
    bool range = str_find_char(item, '-') >= 0;
    if (range && str_find_char(high, '-') >= 0)
        return arena_printf(a,
                            "the fragment \"%.*s\" violates the requirement that an index interval "
                            "can have at most two parts separated by '-'",
                            STR_ARG(item));
    if (!str_to_i64(low, x) || *x < 0)
        return arena_printf(a, "cannot convert string to integer for index: \"%.*s\"",
                            STR_ARG(low));
    *y = *x;
    if (*x >= completions)
        return arena_printf(a, "too large index: \"%.*s\"", STR_ARG(low));
    if (!range)
        return NULL;
    if (!str_to_i64(high, y) || *y < 0)
        return arena_printf(a, "cannot convert string to integer for index: \"%.*s\"",
                            STR_ARG(high));
    if (*y >= completions)
        return arena_printf(a, "too large index: \"%.*s\"", STR_ARG(high));
    if (*x >= *y)
        return arena_printf(a, "non-increasing order, previous: %lld, current: %lld", (long long)*x,
                            (long long)*y);
    return NULL;
}

const char *index_list_problem(struct arena *a, const char *list, int64_t completions,
                               int64_t *total)
{
    struct str rest = str_from(list), item;
    int64_t last = -1, x, y;
    *total = 0;
    while (str_split(&rest, ',', &item)) {
        const char *problem = interval_problem(a, item, completions, &x, &y);
        if (problem)
            return problem;
        if (x <= last)
            return arena_printf(a, "non-increasing order, previous: %lld, current: %lld",
                                (long long)last, (long long)x);
        *total += y - x + 1;
        last = y;
    }
    return NULL;
}

/* The first index in both lists, or -1; both are well-formed. */
static int64_t overlap(struct arena *a, const char *one, const char *other, int64_t completions)
{
    struct str rest = str_from(one), item, rest2, item2;
    int64_t x, y, x2, y2;
    while (str_split(&rest, ',', &item)) {
        if (interval_problem(a, item, completions, &x, &y))
            continue;
        rest2 = str_from(other);
        while (str_split(&rest2, ',', &item2)) {
            if (!interval_problem(a, item2, completions, &x2, &y2) && x <= y2 && x2 <= y)
                return x > x2 ? x : x2;
        }
    }
    return -1;
}

static void check_indexes(struct field_errors *e, const Batch__V1__JobSpec *spec, const Status *s,
                          const Status *old)
{
    const struct path *completed = AT(STATUS, "completedIndexes");
    const struct path *failed = AT(STATUS, "failedIndexes");
    bool completed_new = !cstr_eq(s->completed_indexes, old->completed_indexes);
    bool failed_new = !cstr_eq(s->failed_indexes, old->failed_indexes);
    const char *problem;
    int64_t total, both;
    if (completed_new && spec->has_completions &&
        (problem = index_list_problem(e->arena, s->completed_indexes, spec->completions, &total)))
        err_invalid(e, completed, s->completed_indexes,
                    arena_printf(e->arena, "error parsing completedIndexes: %s", problem));
    if (failed_new && spec->has_completions && spec->has_backoff_limit_per_index &&
        s->failed_indexes &&
        (problem = index_list_problem(e->arena, s->failed_indexes, spec->completions, &total)))
        err_invalid(e, failed, s->failed_indexes,
                    arena_printf(e->arena, "error parsing failedIndexes: %s", problem));
    if (completed_new && *s->completed_indexes && !cstr_eq(spec->completion_mode, "Indexed"))
        err_invalid(e, completed, s->completed_indexes,
                    "cannot set non-empty completedIndexes when non-indexed completion mode");
    if (failed_new && s->failed_indexes && !spec->has_backoff_limit_per_index)
        err_invalid(e, failed, s->failed_indexes,
                    "cannot set non-null failedIndexes when backoffLimitPerIndex is null");
    if ((completed_new || failed_new) && spec->has_completions && s->failed_indexes &&
        (both = overlap(e->arena, s->completed_indexes, s->failed_indexes, spec->completions)) >= 0)
        err_invalid(e, failed, s->failed_indexes,
                    arena_printf(e->arena,
                                 "failedIndexes and completedIndexes overlap at index: %lld",
                                 (long long)both));
}

/* ---- pods not counted yet ---- */

static bool is_among(char *const *uids, size_t n, const char *uid)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(uids[i], uid) == 0)
            return true;
    }
    return false;
}

static void check_uncounted(struct field_errors *e, const Batch__V1__UncountedTerminatedPods *u)
{
    const struct path *at = AT(STATUS, "uncountedTerminatedPods");
    for (size_t i = 0; u && i < u->n_succeeded + u->n_failed; i++) {
        bool failed = i >= u->n_succeeded;
        size_t k = failed ? i - u->n_succeeded : i;
        const char *uid = failed ? u->failed[k] : u->succeeded[k];
        const struct path *item = ITEM(AT(at, failed ? "failed" : "succeeded"), k);
        bool seen = is_among(u->succeeded, failed ? u->n_succeeded : k, uid) ||
                    (failed && is_among(u->failed, k, uid));
        if (!*uid)
            err_invalid(e, item, uid, "must not be empty");
        else if (seen)
            err_duplicate(e, item, uid);
    }
}

/* ---- conditions and times ---- */

static bool is_true(const Status *s, const char *type)
{
    for (size_t i = 0; i < s->n_conditions; i++) {
        if (cstr_eq(s->conditions[i]->type, type) && cstr_eq(s->conditions[i]->status, "True"))
            return true;
    }
    return false;
}

static bool is_finished(const Status *s)
{
    return is_true(s, "Complete") || is_true(s, "Failed");
}

static bool changed(const Status *s, const Status *old, const char *type)
{
    return is_true(s, type) != is_true(old, type);
}

static void err_conditions(struct field_errors *e, const char *detail)
{
    err_invalid_raw(e, AT(STATUS, "conditions"), NULL, detail);
}

static void check_conditions_of_job(struct field_errors *e, const Batch__V1__JobSpec *spec,
                                    const Status *s, const Status *old)
{
    bool complete = is_true(s, "Complete"), failed = is_true(s, "Failed");
    bool target = is_true(s, "FailureTarget"), met = is_true(s, "SuccessCriteriaMet");
    bool complete_new = changed(s, old, "Complete");
    if (complete && failed && (complete_new || changed(s, old, "Failed")))
        err_conditions(e, "cannot set Complete=True and Failed=true conditions");
    if (complete && target && (complete_new || changed(s, old, "FailureTarget")))
        err_conditions(e, "cannot set Complete=True and FailureTarget=true conditions");
    if (failed && !target && (changed(s, old, "Failed") || changed(s, old, "FailureTarget")))
        err_conditions(e, "cannot set Failed=True condition without the FailureTarget=true "
                          "condition");
    if (complete && !met && (complete_new || changed(s, old, "SuccessCriteriaMet")))
        err_conditions(e, "cannot set Complete=True condition without the "
                          "SuccessCriteriaMet=true condition");
    if (met && failed)
        err_conditions(e, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
    if (met && target)
        err_conditions(e, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
    if (spec->success_policy && !met && complete)
        err_conditions(e, "cannot set Complete=True for Job with SuccessPolicy unless "
                          "SuccessCriteriaMet=True");
    static const char *const terminal[] = {"Failed", "Complete", "FailureTarget"};
    for (size_t i = 0; i < sizeof terminal / sizeof *terminal; i++) {
        if (is_true(old, terminal[i]) && !is_true(s, terminal[i]))
            err_conditions(e,
                           arena_printf(e->arena, "cannot disable the terminal %s=True condition",
                                        terminal[i]));
    }
    if (is_true(old, "SuccessCriteriaMet") && !met)
        err_conditions(e, "cannot disable the SuccessCriteriaMet=True condition");
    if (is_true(old, "Complete") && !is_true(old, "SuccessCriteriaMet") && met)
        err_conditions(e, "cannot set SuccessCriteriaMet=True for Job already has Complete=true "
                          "conditions");
}

static void check_times(struct field_errors *e, const Batch__V1__JobSpec *spec, const Status *s,
                        const Status *old)
{
    const struct path *completion = AT(STATUS, "completionTime"), *start = AT(STATUS, "startTime");
    int64_t ended = time_ns(s->completion_time), began = time_ns(s->start_time);
    bool has_end = !time_is_zero(s->completion_time), has_start = !time_is_zero(s->start_time);
    bool end_new = ended != time_ns(old->completion_time);
    bool start_new = began != time_ns(old->start_time);
    bool complete = is_true(s, "Complete"), complete_new = changed(s, old, "Complete");
    const char *text = has_end ? time_text(e->arena, s->completion_time) : "";
    if (has_end && !complete && (complete_new || end_new))
        err_invalid(e, completion, text,
                    "cannot set completionTime when there is no Complete=True condition");
    if (!has_end && complete && (complete_new || end_new))
        err_required(e, completion, "completionTime is required for Complete jobs");
    if (has_start && has_end && ended < began && (start_new || end_new))
        err_invalid(e, completion, text, "completionTime cannot be set before startTime");
    /* One of no completions may end before it is resumed. */
    bool idle = spec->has_suspend && spec->suspend && spec->has_completions && !spec->completions;
    if (!has_start && is_finished(s) && !idle && (start_new || is_finished(s) != is_finished(old)))
        err_required(e, start, "startTime is required for finished job");
    if (has_end && !time_is_zero(old->completion_time) && end_new)
        err_invalid(e, completion, text, "completionTime cannot be mutated");
    if (start_new && !time_is_zero(old->start_time) && !(spec->has_suspend && spec->suspend))
        err_required(e, start, "startTime cannot be removed for unsuspended job");
}

/* ---- counters ---- */

static void check_counters(struct field_errors *e, const Batch__V1__JobSpec *spec, const Status *s,
                           const Status *old)
{
    bool finished = is_finished(s), newly = finished != is_finished(old);
    /* An indexed job may be scaled down. */
    bool elastic = cstr_eq(spec->completion_mode, "Indexed") &&
                   spec->has_completions == spec->has_parallelism &&
                   spec->completions == spec->parallelism;
    const Batch__V1__UncountedTerminatedPods *u = s->uncounted_terminated_pods;
    if (s->active > 0 && finished && (newly || s->active != old->active))
        err_invalid_int(e, AT(STATUS, "active"), s->active, "active>0 is invalid for finished job");
    if (finished && u && u->n_failed + u->n_succeeded > 0 &&
        (newly || !object_equal(u, old->uncounted_terminated_pods)))
        err_invalid_object(e, AT(STATUS, "uncountedTerminatedPods"), u,
                           "uncountedTerminatedPods needs to be empty for finished job");
    if (s->has_terminating && s->terminating > 0 && finished &&
        (newly || s->has_terminating != old->has_terminating || s->terminating != old->terminating))
        err_invalid_int(e, AT(STATUS, "terminating"), s->terminating,
                        "terminating>0 is invalid for finished job");
    if (s->has_ready && s->ready > s->active &&
        (s->has_ready != old->has_ready || s->ready != old->ready || s->active != old->active))
        err_invalid_int(e, AT(STATUS, "ready"), s->ready, "cannot set more ready pods than active");
    if (s->failed < old->failed)
        err_invalid_int(e, AT(STATUS, "failed"), s->failed, "cannot decrease the failed counter");
    if (s->succeeded < old->succeeded && !elastic)
        err_invalid_int(e, AT(STATUS, "succeeded"), s->succeeded,
                        "cannot decrease the succeeded counter");
}

void validate_job_status(const void *object, const void *old_object, struct field_errors *e)
{
    const Batch__V1__JobSpec *spec = ((const Batch__V1__Job *)object)->spec;
    const Status *s = ((const Batch__V1__Job *)object)->status;
    const Status *old = ((const Batch__V1__Job *)old_object)->status;
    check_non_negative(e, AT(STATUS, "active"), s->active);
    check_non_negative(e, AT(STATUS, "succeeded"), s->succeeded);
    check_non_negative(e, AT(STATUS, "failed"), s->failed);
    if (s->has_ready)
        check_non_negative(e, AT(STATUS, "ready"), s->ready);
    if (s->has_terminating)
        check_non_negative(e, AT(STATUS, "terminating"), s->terminating);
    check_uncounted(e, s->uncounted_terminated_pods);
    check_conditions_of_job(e, spec, s, old);
    check_times(e, spec, s, old);
    check_counters(e, spec, s, old);
    check_indexes(e, spec, s, old);
}
