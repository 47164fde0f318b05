/*
 * c8s rollout status|history|undo|restart|pause|resume, for deployments.
 */
#include "cli/resources/res.h"

#include "api/meta.h"
#include "base/clock.h"
#include "base/mem.h"
#include "proto/apps_v1.pb-c.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define REVISION "deployment.kubernetes.io/revision"
#define CHANGE_CAUSE "kubernetes.io/change-cause"
#define TEMPLATE_HASH "pod-template-hash"
#define POLL_MS 200

struct rollout {
    struct res_session s;
    int64_t timeout_s, to_revision, revision;
    bool watch;
};

static Apps__V1__Deployment *get_deployment(struct rollout *r, const char *name)
{
    return res_get_object(&r->s, RESOURCE_DEPLOYMENTS, r->s.ns, name);
}

static void patch(struct rollout *r, const char *name, enum patch_type type, struct str body,
                  const char *what)
{
    struct client_request q = {.method = "PATCH",
                               .path = res_path(&r->s, RESOURCE_DEPLOYMENTS, r->s.ns, name),
                               .content_type = type == PATCH_JSON
                                                   ? "application/json-patch+json"
                                                   : "application/strategic-merge-patch+json",
                               .body = body};
    if (res_request(&r->s, &q, NULL))
        printf("deployment.apps/%s %s\n", name, what);
}

/* -------------------------------------------------------------------------------------- status --- */

static const char *progress_reason(const Apps__V1__Deployment *d)
{
    for (size_t i = 0; i < d->status->n_conditions; i++)
        if (cstr_eq(d->status->conditions[i]->type, "Progressing"))
            return d->status->conditions[i]->reason;
    return "";
}

/* What is awaited, in kubectl's words; NULL when rolled out. */
static char *awaited(struct rollout *r, const Apps__V1__Deployment *d)
{
    struct arena *a = &r->s.arena;
    const Apps__V1__DeploymentStatus *s = d->status;
    const char *name = d->metadata->name;
    int32_t want = api_get(d->spec, replicas, 1);
    if (d->metadata->generation > s->observed_generation)
        return arena_strdup(a, "Waiting for deployment spec update to be observed...");
    if (s->updated_replicas < want)
        return arena_printf(
            a,
            "Waiting for deployment \"%s\" rollout to finish: %d out of %d new replicas "
            "have been updated...",
            name, s->updated_replicas, want);
    if (s->replicas > s->updated_replicas)
        return arena_printf(
            a,
            "Waiting for deployment \"%s\" rollout to finish: %d old replicas are pending "
            "termination...",
            name, s->replicas - s->updated_replicas);
    if (s->available_replicas < s->updated_replicas)
        return arena_printf(
            a,
            "Waiting for deployment \"%s\" rollout to finish: %d of %d updated replicas "
            "are available...",
            name, s->available_replicas, s->updated_replicas);
    return NULL;
}

static void status(struct rollout *r, const char *name)
{
    uint64_t deadline =
        r->timeout_s > 0 ? clock_mono_ns() + (uint64_t)r->timeout_s * NS_PER_S : UINT64_MAX;
    const char *last = "";
    for (;;) {
        Apps__V1__Deployment *d = get_deployment(r, name);
        if (!d)
            return;
        if (cstr_eq(progress_reason(d), "ProgressDeadlineExceeded") &&
            d->metadata->generation <= d->status->observed_generation) {
            res_error(&r->s, "deployment \"%s\" exceeded its progress deadline", name);
            return;
        }
        const char *text = awaited(r, d);
        if (!text) {
            printf("deployment \"%s\" successfully rolled out\n", name);
            return;
        }
        if (strcmp(text, last) != 0)
            printf("%s\n", text);
        fflush(stdout);
        last = text;
        if (!r->watch)
            return;
        if (clock_mono_ns() >= deadline) {
            res_error(&r->s, "timed out waiting for the condition");
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000l}, NULL);
    }
}

/* ------------------------------------------------------------------------------------ revisions --- */

static int64_t revision_of(const Meta__V1__ObjectMeta *m)
{
    const char *text = annotations_get(m, REVISION);
    int64_t v = 0;
    return text && str_to_i64(str_from(text), &v) ? v : 0;
}

static int by_revision(const void *x, const void *y)
{
    const Apps__V1__ReplicaSet *a = *(Apps__V1__ReplicaSet *const *)x,
                               *b = *(Apps__V1__ReplicaSet *const *)y;
    int64_t d = revision_of(a->metadata) - revision_of(b->metadata);
    return (d > 0) - (d < 0);
}

/* The deployment's sets, by revision. */
static Apps__V1__ReplicaSet **sets_of(struct rollout *r, const Apps__V1__Deployment *d, size_t *n)
{
    Apps__V1__ReplicaSetList *list =
        res_list_objects(&r->s, RESOURCE_REPLICASETS, r->s.ns, NULL, NULL);
    Apps__V1__ReplicaSet **sets =
        arena_array(&r->s.arena, Apps__V1__ReplicaSet *, (list ? list->n_items : 0) + 1);
    *n = 0;
    for (size_t i = 0; list && i < list->n_items; i++)
        if (is_controlled_by(list->items[i]->metadata, d->metadata))
            sets[(*n)++] = list->items[i];
    if (*n)
        qsort(sets, *n, sizeof *sets, by_revision);
    return sets;
}

static void history(struct rollout *r, const char *name)
{
    Apps__V1__Deployment *d = get_deployment(r, name);
    size_t n;
    if (!d)
        return;
    Apps__V1__ReplicaSet **sets = sets_of(r, d, &n);
    if (r->revision > 0) {
        for (size_t i = 0; i < n; i++) {
            if (revision_of(sets[i]->metadata) != r->revision)
                continue;
            struct buf text;
            buf_init(&text);
            yaml_encode(sets[i]->spec->template_, &text);
            printf("deployment.apps/%s with revision #%lld\n%s", name, (long long)r->revision,
                   buf_cstr(&text));
            buf_free(&text);
            return;
        }
        res_error(&r->s, "unable to find the specified revision");
        return;
    }
    printf("deployment.apps/%s \n", name);
    struct res_table t;
    res_table_init(&t, &r->s.arena);
    res_table_row(&t, (const char *[]){"REVISION", "CHANGE-CAUSE"}, 2);
    for (size_t i = 0; i < n; i++) {
        const char *cause = annotations_get(sets[i]->metadata, CHANGE_CAUSE);
        res_table_row(&t,
                      (const char *[]){arena_printf(&r->s.arena, "%lld",
                                                    (long long)revision_of(sets[i]->metadata)),
                                       cause ? cause : "<none>"},
                      2);
    }
    res_table_flush(&t);
    printf("\n");
}

/* Put the template of an earlier set in place, as a JSON patch, so that nothing of the present one stays. */
static void undo(struct rollout *r, const char *name)
{
    Apps__V1__Deployment *d = get_deployment(r, name);
    size_t n;
    if (!d)
        return;
    if (d->spec->paused) {
        res_error(&r->s, "cannot rollback a paused deployment; resume it first and try again");
        return;
    }
    Apps__V1__ReplicaSet **sets = sets_of(r, d, &n), *target = NULL;
    for (size_t i = 0; i < n; i++)
        if (r->to_revision > 0 && revision_of(sets[i]->metadata) == r->to_revision)
            target = sets[i];
    if (r->to_revision == 0 && n >= 2)
        target = sets[n - 2];
    if (!target) {
        if (r->to_revision)
            res_error(&r->s, "unable to find specified revision %lld in history",
                      (long long)r->to_revision);
        else
            res_error(&r->s, "no rollout history found for deployment \"%s\"", name);
        return;
    }
    Core__V1__PodTemplateSpec *template = object_clone(&r->s.arena, target->spec->template_);
    string_map_remove(template->metadata->labels, &template->metadata->n_labels, TEMPLATE_HASH);
    struct buf body;
    buf_init(&body);
    buf_append_cstr(&body, "[{\"op\":\"replace\",\"path\":\"/spec/template\",\"value\":");
    json_encode(template, JSON_NO_TYPE_META, &body);
    buf_append_cstr(&body, "}]");
    patch(r, name, PATCH_JSON, buf_str(&body), "rolled back");
    buf_free(&body);
}

static void restart(struct rollout *r, const char *name)
{
    char at[CLOCK_RFC3339_MAX];
    clock_format_rfc3339(clock_wall_s(), 0, 0, at);
    patch(r, name, PATCH_STRATEGIC,
          str_from(arena_printf(&r->s.arena,
                                "{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{\"kubectl."
                                "kubernetes.io/restartedAt\":\"%s\"}}}}}",
                                at)),
          "restarted");
}

static void pause(struct rollout *r, const char *name)
{
    patch(r, name, PATCH_STRATEGIC, STR("{\"spec\":{\"paused\":true}}"), "paused");
}

static void resume(struct rollout *r, const char *name)
{
    patch(r, name, PATCH_STRATEGIC, STR("{\"spec\":{\"paused\":null}}"), "resumed");
}

static const struct {
    const char *name;
    void (*run)(struct rollout *r, const char *name);
} verbs[] = {{"status", status},   {"history", history}, {"undo", undo},
             {"restart", restart}, {"pause", pause},     {"resume", resume}};

static void run(struct rollout *r, const struct flag_list *args)
{
    struct res_targets targets;
    size_t verb = 0;
    while (verb < ARRAY_LEN(verbs) && strcmp(args->items[0], verbs[verb].name) != 0)
        verb++;
    if (verb == ARRAY_LEN(verbs)) {
        res_error(&r->s, "unknown command \"%s\" for \"c8s rollout\"", args->items[0]);
        return;
    }
    if (res_connect(&r->s) < 0 ||
        res_parse_targets(&r->s, args->items + 1, args->len - 1, &targets) < 0)
        return;
    for (size_t i = 0; i < targets.len; i++) {
        if (targets.items[i].resource != RESOURCE_DEPLOYMENTS || !targets.items[i].name)
            res_error(&r->s, "rollout works on deployments, named one by one");
        else
            verbs[verb].run(r, targets.items[i].name);
    }
}

int res_rollout_main(int argc, char **argv)
{
    struct rollout r = {.watch = true};
    struct flag_list args = {0};
    res_session_init(&r.s);
    const struct flag flags[] = {
        {"watch", 'w', FLAG_BOOL, &r.watch, NULL, "status: wait until it is done."},
        {"timeout", 0, FLAG_SECONDS, &r.timeout_s, "TIME",
         "status: how long; 0: as long as it takes."},
        {"to-revision", 0, FLAG_INT, &r.to_revision, "N", "undo: to which; 0: the one before."},
        {"revision", 0, FLAG_INT, &r.revision, "N", "history: show this one's template."},
        RES_GLOBAL_FLAGS(&r.s),
        FLAGS_END,
    };
    flags_parse_or_exit(&(struct flags_spec){.program = "c8s rollout",
                                             .summary = "Follow and steer rollouts of deployments.",
                                             .usage = "(status|history|undo|restart|pause|resume) "
                                                      "(TYPE NAME | TYPE/NAME) [flags]",
                                             .flags = flags,
                                             .args_min = 2,
                                             .args_max = FLAGS_ANY},
                        argc, argv, &args, 1);
    run(&r, &args);
    flag_list_free(&args);
    return res_end(&r.s);
}
