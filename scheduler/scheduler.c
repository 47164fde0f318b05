/*
 * The scheduler's loop (scheduler/scheduler.h): pop, snapshot, decide, assume, bind. How the
 * cluster's changes get into cache and queue is in events.c.
 */
#include "scheduler/scheduler_internal.h"

#include "api/meta.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <stdio.h>

#define BINDS_MAX 100
#define THREAD_STACK_BYTES (512 * 1024)

/* A binding on its way. */
struct binding {
    struct scheduler *scheduler;
    struct pod_facts *facts;
    char *node;
    unsigned attempts;
    uint64_t start_ns;
};

/* ----------------------------------------------------------------------------------- binding ---
 */

static void binds_change(struct scheduler *s, int delta)
{
    pthread_mutex_lock(&s->lock);
    s->binds = (unsigned)((int)s->binds + delta);
    pthread_cond_broadcast(&s->cond);
    pthread_mutex_unlock(&s->lock);
}

static void wait_binds_below(struct scheduler *s, unsigned limit)
{
    pthread_mutex_lock(&s->lock);
    while (s->binds >= limit)
        pthread_cond_wait(&s->cond, &s->lock);
    pthread_mutex_unlock(&s->lock);
}

static void bind_failed(struct scheduler *s, struct binding *b, const struct error *err)
{
    cache_forget(s->cache, b->facts->key);
    queue_event(s->queue, EVENT_POD_REMOVED); /* what it held is free again */
    if (err->code == ERR_NOT_FOUND || err->code == ERR_CANCELLED)
        return; /* the pod is gone, or we are */
    log_warn("scheduler", "binding failed pod=%s node=%s error=\"%s\"", b->facts->key, b->node,
             err->message);
    struct object *now = informer_get_key(s->pods, b->facts->key);
    const Core__V1__Pod *pod = now ? now->msg : NULL;
    if (pod && !*pod->spec->node_name && cstr_eq(now->uid, b->facts->uid)) {
        struct pod_facts *facts = pod_facts_new(now);
        queue_add_again(s->queue, facts, b->attempts);
        pod_facts_unref(facts);
    }
    object_unref(now);
}

/* I/O thread. */
static void bind_done(void *ctx, const struct error *err)
{
    struct binding *b = ctx;
    struct scheduler *s = b->scheduler;
    if (err) {
        counter_add(s->attempts_error, 1);
        bind_failed(s, b, err);
    } else {
        counter_add(s->attempts_scheduled, 1);
        histogram_observe(s->bind_seconds, (double)(clock_mono_ns() - b->start_ns) / NS_PER_S);
        struct event_target about = event_target_of(RESOURCE_PODS, b->facts->object);
        recorder_event(s->recorder, &about, EVENT_NORMAL, "Scheduled",
                       "Successfully assigned %s to %s", b->facts->key, b->node);
        log_debug("scheduler", "bound pod=%s node=%s", b->facts->key, b->node);
    }
    pod_facts_unref(b->facts);
    mem_free(b->node);
    mem_free(b);
    binds_change(s, -1);
}

static void bind(struct scheduler *s, struct pod_facts *facts, const char *node, unsigned attempts)
{
    struct binding *b = mem_zalloc(sizeof *b);
    b->scheduler = s;
    b->facts = pod_facts_ref(facts);
    b->node = mem_strdup(node);
    b->attempts = attempts;
    b->start_ns = clock_mono_ns();
    wait_binds_below(s, s->binds_max);
    binds_change(s, 1);
    client_bind_async(s->client, facts->object->ns, facts->object->name, facts->uid, node,
                      bind_done, b);
}

/* --------------------------------------------------------------------------------- not bound ---
 */

static const Core__V1__PodCondition *scheduled_condition(const Core__V1__Pod *pod)
{
    for (size_t i = 0; i < pod->status->n_conditions; i++)
        if (cstr_eq(pod->status->conditions[i]->type, "PodScheduled"))
            return pod->status->conditions[i];
    return NULL;
}

static void condition_done(void *ctx, const struct client_response *r, const struct error *err)
{
    (void)ctx;
    struct error failure = {0};
    if (!err && client_check(r, NULL, &failure) < 0)
        err = &failure;
    if (err && err->code != ERR_NOT_FOUND && err->code != ERR_CANCELLED)
        log_warn("scheduler", "cannot write the PodScheduled condition error=\"%s\"", err->message);
}

/* Tell in the pod's status why it waits; nothing when that is what it says already. */
static void write_condition(struct scheduler *s, const struct pod_facts *f, const char *reason,
                            const char *message)
{
    const Core__V1__PodCondition *have = scheduled_condition(f->pod);
    bool was_false = have && cstr_eq(have->status, "False");
    if (was_false && cstr_eq(have->reason, reason) && cstr_eq(have->message, message))
        return;
    char since[CLOCK_RFC3339_MAX];
    int64_t since_s = was_false && have->last_transition_time ? have->last_transition_time->seconds
                                                              : clock_wall_s();
    clock_format_rfc3339(since_s, 0, 0, since);
    struct buf body, path;
    buf_init(&body);
    buf_init(&path);
    buf_printf(
        &body,
        "{\"status\":{\"conditions\":[{\"type\":\"PodScheduled\",\"status\":\"False\","
        "\"reason\":\"%s\",\"lastProbeTime\":null,\"lastTransitionTime\":\"%s\",\"message\":",
        reason, since);
    buf_append_json_string(&body, str_from(message));
    buf_append_cstr(&body, "}]}}");
    buf_printf(&path, "/api/v1/namespaces/%s/pods/%s/status", f->object->ns, f->object->name);
    client_raw_async(
        s->client,
        &(struct client_request){.method = "PATCH",
                                 .path = buf_cstr(&path),
                                 .content_type = "application/strategic-merge-patch+json",
                                 .body = buf_str(&body)},
        condition_done, NULL);
    buf_free(&body);
    buf_free(&path);
}

static void not_scheduled(struct scheduler *s, struct queued_pod *p, const struct decision *d)
{
    bool error = d->verdict == VERDICT_ERROR;
    const char *reason = error ? "SchedulerError" : "Unschedulable";
    counter_add(error ? s->attempts_error : s->attempts_unschedulable, 1);
    log_info("scheduler", "not scheduled pod=%s reason=\"%s\"", p->key, d->message);
    struct event_target about = event_target_of(RESOURCE_PODS, p->facts->object);
    recorder_event(s->recorder, &about, EVENT_WARNING, "FailedScheduling", "%s", d->message);
    write_condition(s, p->facts, reason, d->message);
    if (error)
        queue_retry(s->queue, p);
    else
        queue_unschedulable(s->queue, p, d->events);
}

/* -------------------------------------------------------------------------------------- loop ---
 */

/* Is the pod still to be scheduled? The queue learns of deletions and bindings, but a moment later.
 */
static bool still_pending(struct scheduler *s, const struct queued_pod *p)
{
    return !p->deleted && time_is_zero(p->facts->pod->metadata->deletion_timestamp) &&
           !cache_is_assumed(s->cache, p->key);
}

static void schedule_one(struct scheduler *s, struct queued_pod *p)
{
    if (!still_pending(s, p)) {
        queue_finish(s->queue, p);
        return;
    }
    uint64_t start = clock_mono_ns();
    cache_snapshot(s->cache, &s->snapshot);
    struct cycle cycle = {.facts = p->facts, .snapshot = &s->snapshot, .rng = &s->rng};
    cycle.arena = s->cycle_arena;
    struct decision d;
    framework_decide(default_plugins, default_plugins_len, &cycle, &s->next_node, &d);
    histogram_observe(s->decide_seconds, (double)(clock_mono_ns() - start) / NS_PER_S);
    if (!d.node) {
        not_scheduled(s, p, &d);
    } else {
        struct pod_facts *facts = pod_facts_ref(p->facts);
        unsigned attempts = p->attempts;
        bool fresh = cache_assume(s->cache, facts, d.node);
        queue_finish(s->queue, p);
        if (fresh)
            bind(s, facts, d.node, attempts);
        pod_facts_unref(facts);
    }
    s->cycle_arena = cycle.arena;
    arena_reset(&s->cycle_arena);
}

static void *scheduling_thread(void *arg)
{
    struct scheduler *s = arg;
    struct informer *needed[] = {s->nodes, s->pods};
    while (informer_wait_synced(needed, 2, 200, NULL) < 0 && !atomic_load(&s->stopping))
        ;
    log_info("scheduler", "scheduling begins pending=%zu", informer_count(s->pods));
    struct queued_pod *p;
    while ((p = queue_pop(s->queue, UINT32_MAX)) != NULL)
        schedule_one(s, p);
    return NULL;
}

/* ------------------------------------------------------------------------------ construction ---
 */

static void metrics_make(struct scheduler *s, struct metrics *m)
{
    static const double bounds[] = {0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5};
    const char *attempts = "Attempts to schedule a pod, by result.";
    s->attempts_scheduled =
        metrics_counter(m, "scheduler_schedule_attempts_total", "result=\"scheduled\"", attempts);
    s->attempts_unschedulable = metrics_counter(m, "scheduler_schedule_attempts_total",
                                                "result=\"unschedulable\"", attempts);
    s->attempts_error =
        metrics_counter(m, "scheduler_schedule_attempts_total", "result=\"error\"", attempts);
    s->decide_seconds = metrics_histogram(m, "scheduler_scheduling_algorithm_duration_seconds",
                                          NULL, "Time to find a node.", bounds, ARRAY_LEN(bounds));
    s->bind_seconds = metrics_histogram(m, "scheduler_binding_duration_seconds", NULL,
                                        "Time from the decision to the binding's answer.", bounds,
                                        ARRAY_LEN(bounds));
}

struct scheduler *scheduler_new(const struct scheduler_config *config)
{
    struct scheduler *s = mem_zalloc(sizeof *s);
    s->client = config->client;
    s->recorder = config->recorder;
    s->name = mem_strdup(config->name ? config->name : "default-scheduler");
    s->binds_max = config->binds_max ? config->binds_max : BINDS_MAX;
    s->own_metrics = config->metrics ? NULL : metrics_new();
    struct metrics *m = config->metrics ? config->metrics : s->own_metrics;
    metrics_make(s, m);
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->cond, NULL);
    arena_init(&s->cycle_arena);
    rng_seed(&s->rng, random_u64());
    s->queue = queue_new(NULL, NULL, m);
    s->cache = cache_new();
    scheduler_watch(s);
    return s;
}

bool scheduler_synced(struct scheduler *s)
{
    return informer_has_synced(s->pods) && informer_has_synced(s->nodes);
}

void scheduler_start(struct scheduler *s)
{
    assert(!s->started);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, THREAD_STACK_BYTES);
    s->started = pthread_create(&s->thread, &attr, scheduling_thread, s) == 0;
    pthread_attr_destroy(&attr);
    assert(s->started);
}

void scheduler_stop(struct scheduler *s)
{
    atomic_store(&s->stopping, true);
    queue_shut_down(s->queue);
    if (s->started)
        pthread_join(s->thread, NULL);
    s->started = false;
    wait_binds_below(s, 1);
}

void scheduler_free(struct scheduler *s)
{
    if (!s)
        return;
    scheduler_stop(s);
    informer_free(s->pods);
    informer_free(s->nodes);
    snapshot_free(&s->snapshot);
    queue_free(s->queue);
    cache_free(s->cache);
    arena_free(&s->cycle_arena);
    if (s->own_metrics)
        metrics_free(s->own_metrics);
    pthread_cond_destroy(&s->cond);
    pthread_mutex_destroy(&s->lock);
    mem_free(s->name);
    mem_free(s);
}
