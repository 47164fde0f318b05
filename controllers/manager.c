/*
 * The manager (controllers/controller.h): shared informers, a queue and workers for each
 * controller.
 */
#include "controllers/controller.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include <assert.h>
#include <pthread.h>

#define WORKER_STACK_BYTES (512 * 1024)
#define SYNC_POLL_MS 500

/* A controller that runs. */
struct running {
    const struct controller *controller;
    struct manager *manager;
    void *ctx;
    struct workqueue *queue;
    pthread_t *threads;
    unsigned threads_len;
    bool begun; /* under the manager's lock */
    struct counter *errors;
    struct histogram *seconds;
};

struct shared_informer {
    const struct resource *resource;
    struct informer *informer;
};

struct manager {
    struct client *client;
    struct manager_options options;
    struct metrics *metrics;
    VEC(struct shared_informer) shared;
    VEC(struct informer *) all; /* shared and own */
    VEC(struct recorder *) recorders;
    VEC(struct running *) running;
    pthread_mutex_t lock;
    atomic_bool stopping;
};

static const struct controller *const controllers[] = {
    &controller_deployment,
    &controller_replicaset,
    &controller_garbagecollector,
    &controller_namespace,
    &controller_nodelifecycle,
    &controller_tainteviction,
    &controller_nodeipam,
    &controller_endpointslice,
    &controller_endpoints,
    &controller_serviceaccount,
    &controller_rootcapublisher,
    &controller_podgc,
    &controller_clusterrole_aggregation,
    &controller_pvcprotection,
    &controller_pvprotection,
    &controller_vacprotection,
};

/* ----------------------------------------------------------------------------- for controllers ---
 */

struct client *manager_client(struct manager *m)
{
    return m->client;
}

const struct manager_options *manager_options(struct manager *m)
{
    return &m->options;
}

bool manager_running(struct manager *m)
{
    return !atomic_load(&m->stopping);
}

struct informer *manager_own_informer(struct manager *m, const struct informer_config *config)
{
    struct informer *i = informer_new(m->client, config);
    vec_push(&m->all, i);
    return i;
}

struct informer *manager_find_informer(struct manager *m, const struct resource *r)
{
    for (size_t i = 0; i < m->shared.len; i++)
        if (m->shared.items[i].resource == r)
            return m->shared.items[i].informer;
    return NULL;
}

struct informer *manager_informer(struct manager *m, const struct resource *r)
{
    struct informer *found = manager_find_informer(m, r);
    if (found)
        return found;
    struct informer_config config = {.resource = r};
    config.indexes[BY_CONTROLLER] = index_by_controller;
    config.indexes[BY_NODE] = r == RESOURCE_PODS ? index_by_node : NULL;
    config.indexes[BY_OWNER] = index_by_owner;
    struct informer *i = manager_own_informer(m, &config);
    vec_push(&m->shared, (struct shared_informer){r, i});
    return i;
}

struct recorder *manager_recorder(struct manager *m, const char *component)
{
    struct recorder *r = recorder_new(m->client, component, NULL);
    vec_push(&m->recorders, r);
    return r;
}

int write_result(const struct error *failure, struct error *err)
{
    switch (failure->code) {
    case ERR_OK:
        return 0;
    case ERR_CONFLICT:
        return error_set(err, ERR_CONFLICT, "%s", failure->message);
    case ERR_NOT_FOUND:
    case ERR_EXISTS:
        return 0;
    default:
        return error_set(err, failure->code, "%s", failure->message);
    }
}

/* --------------------------------------------------------------------------------- selection ---
 */

/* upstream's --controllers: "*" all, "name" that one, "-name" not that one; the last mention wins.
 */
static bool selected(const char *selection, const char *name)
{
    struct str rest = str_from(selection && *selection ? selection : "*"), part;
    bool on = false, named = false;
    while (str_split(&rest, ',', &part)) {
        part = str_trim(part);
        bool off = part.n && part.p[0] == '-';
        struct str which = off ? str_slice(part, 1, part.n) : part;
        if (str_eqz(which, name)) {
            on = !off;
            named = true;
        } else if (str_eqz(which, "*") && !named) {
            on = true;
        }
    }
    return on;
}

static void add_controller(struct manager *m, const struct controller *c)
{
    static const double bounds[] = {0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10};
    struct running *r = mem_zalloc(sizeof *r);
    r->controller = c;
    r->manager = m;
    r->queue = workqueue_new(c->name, m->metrics);
    if (m->metrics) {
        char *labels = mem_printf("controller=\"%s\"", c->name);
        r->errors = metrics_counter(m->metrics, "c8s_controller_reconcile_errors_total", labels,
                                    "Reconciles that failed and come back.");
        r->seconds = metrics_histogram(m->metrics, "c8s_controller_reconcile_seconds", labels,
                                       "Time of a reconcile.", bounds, ARRAY_LEN(bounds));
        mem_free(labels);
    }
    r->ctx = c->open(m, r->queue);
    vec_push(&m->running, r);
}

struct manager *manager_new(struct client *c, const struct manager_options *o,
                            struct metrics *metrics)
{
    struct manager *m = mem_zalloc(sizeof *m);
    m->client = c;
    m->options = *o;
    m->metrics = metrics;
    pthread_mutex_init(&m->lock, NULL);
    for (size_t i = 0; i < ARRAY_LEN(controllers); i++)
        if (selected(o->controllers, controllers[i]->name))
            add_controller(m, controllers[i]);
    return m;
}

void manager_watch(struct manager *m)
{
    for (size_t i = 0; i < m->all.len; i++)
        informer_start(m->all.items[i]);
}

bool manager_synced(struct manager *m)
{
    for (size_t i = 0; i < m->all.len; i++)
        if (!informer_has_synced(m->all.items[i]))
            return false;
    return true;
}

/* ----------------------------------------------------------------------------------- workers ---
 */

static void wait_synced(struct manager *m)
{
    while (manager_running(m) &&
           informer_wait_synced(m->all.items, m->all.len, SYNC_POLL_MS, NULL) < 0)
        ;
}

static void run_key(struct running *r, char *key)
{
    struct error err = {0};
    uint64_t start = clock_mono_ns();
    int rc = r->controller->reconcile(r->ctx, key, &err);
    if (r->seconds)
        histogram_observe(r->seconds, (double)(clock_mono_ns() - start) / NS_PER_S);
    if (rc == 0) {
        workqueue_forget(r->queue, key);
    } else {
        if (rc == ERR_CONFLICT)
            log_debug(r->controller->name, "conflict, trying again key=%s error=\"%s\"", key,
                      err.message);
        else
            log_warn(r->controller->name, "reconcile failed, trying again key=%s error=\"%s\"", key,
                     err.message);
        if (r->errors && rc != ERR_CONFLICT)
            counter_add(r->errors, 1);
        workqueue_add_rate_limited(r->queue, key);
    }
    workqueue_done(r->queue, key);
}

static void begin_once(struct running *r)
{
    pthread_mutex_lock(&r->manager->lock);
    bool first = !r->begun;
    r->begun = true;
    if (first && r->controller->begin)
        r->controller->begin(r->ctx);
    pthread_mutex_unlock(&r->manager->lock);
}

static void *worker(void *arg)
{
    struct running *r = arg;
    wait_synced(r->manager);
    if (manager_running(r->manager))
        begin_once(r);
    char *key;
    while ((key = workqueue_get(r->queue)) != NULL)
        run_key(r, key);
    return NULL;
}

void manager_start(struct manager *m)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, WORKER_STACK_BYTES);
    for (size_t i = 0; i < m->running.len; i++) {
        struct running *r = m->running.items[i];
        r->threads = mem_zalloc(sizeof *r->threads * r->controller->workers);
        for (unsigned t = 0; t < r->controller->workers; t++) {
            int rc = pthread_create(&r->threads[t], &attr, worker, r);
            assert(rc == 0);
            (void)rc;
            r->threads_len++;
        }
    }
    pthread_attr_destroy(&attr);
    log_info("controllers", "controllers started count=%zu", m->running.len);
}

void manager_stop(struct manager *m)
{
    atomic_store(&m->stopping, true);
    for (size_t i = 0; i < m->running.len; i++)
        workqueue_shut_down(m->running.items[i]->queue);
    for (size_t i = 0; i < m->running.len; i++) {
        struct running *r = m->running.items[i];
        for (unsigned t = 0; t < r->threads_len; t++)
            pthread_join(r->threads[t], NULL);
        r->threads_len = 0;
    }
}

void manager_free(struct manager *m)
{
    if (!m)
        return;
    manager_stop(m);
    for (size_t i = 0; i < m->all.len; i++)
        informer_free(m->all.items[i]); /* no handler runs after this */
    for (size_t i = 0; i < m->running.len; i++) {
        struct running *r = m->running.items[i];
        r->controller->close(r->ctx);
        workqueue_free(r->queue);
        mem_free(r->threads);
        mem_free(r);
    }
    for (size_t i = 0; i < m->recorders.len; i++)
        recorder_free(m->recorders.items[i]);
    vec_free(&m->all);
    vec_free(&m->shared);
    vec_free(&m->running);
    vec_free(&m->recorders);
    pthread_mutex_destroy(&m->lock);
    mem_free(m);
}
