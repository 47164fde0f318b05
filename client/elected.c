/*
 * The frame of a program of which one of several works (client/elected.h).
 */
#include "client/elected.h"

#include "base/log.h"
#include "client/kubeconfig.h"
#include "client/leader_election.h"

#include <malloc.h>
#include <stdatomic.h>

#define MS(ns) ((uint32_t)((ns) / 1000000))

struct process {
    const struct elected_work *work;
    atomic_bool ending; /* on purpose */
    char **argv;
};

void elected_begin(const struct elected_options *o)
{
    mallopt(M_ARENA_MAX, 2); /* threads are many and small: no heap for each */
    log_set_json(cstr_eq(o->log_format, "json"));
    log_set_level(o->verbosity >= 4 ? LOG_DEBUG : LOG_INFO);
    component_block_signals();
}

int elected_connect(const struct elected_options *o, const char *agent, struct client **out,
                    struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct client_config config;
    int rc = kubeconfig_load(o->kubeconfig, NULL, &a, &config, err);
    if (rc == 0)
        rc = client_new(&config, agent, out, err);
    arena_free(&a);
    return rc;
}

static void leading(void *ctx)
{
    struct process *p = ctx;
    p->work->start(p->work->ctx);
}

/* On purpose: work no more, then the lease is given up. Else others work now, and ending at once is the simplest way to
 * be sure that this process does not. */
static void lost(void *ctx)
{
    struct process *p = ctx;
    if (atomic_load(&p->ending)) {
        p->work->stop(p->work->ctx);
        return;
    }
    log_error(p->work->component, "leader election lost, beginning again as a stand-by");
    component_restart(p->argv);
}

/* The election relies on their order; the factor is its jitter. */
static int check_times(const struct elected_options *o, struct error *err)
{
    const char *p = "--leader-elect-";
    if (o->retry_ns < 1000000)
        return error_set(err, ERR_INVALID, "%sretry-period: must be greater than zero", p);
    if (o->renew_ns <= o->retry_ns + o->retry_ns / 5)
        return error_set(err, ERR_INVALID,
                         "%srenew-deadline: must be greater than 1.2 times the retry period", p);
    if (o->lease_ns <= o->renew_ns)
        return error_set(err, ERR_INVALID,
                         "%slease-duration: must be greater than the renew deadline", p);
    if (o->lease_ns / 1000000 > UINT32_MAX)
        return error_set(err, ERR_INVALID, "%slease-duration: longer than 49 days", p);
    return 0;
}

int elected_run(const struct elected_options *o, const struct elected_work *work,
                struct client *client, struct metrics *metrics, char **argv, struct error *err)
{
    if (o->leader_elect && check_times(o, err) < 0)
        return -1;
    struct process p = {.work = work, .argv = argv};
    const struct component_options health = {.bind_address = o->bind_address,
                                             .port = (int)o->port,
                                             .cert_file = o->cert_file,
                                             .key_file = o->key_file,
                                             .metrics = metrics,
                                             .ready = work->synced,
                                             .ctx = work->ctx};
    struct component *component = NULL;
    if (component_start(&health, &component, err) < 0)
        return -1;
    struct leader_election *election = NULL;
    if (!o->leader_elect)
        work->start(work->ctx);
    else
        election =
            leader_election_start(&(struct leader_config){.client = client,
                                                          .ns = o->lease_namespace,
                                                          .name = o->lease_name,
                                                          .lease_duration_ms = MS(o->lease_ns),
                                                          .renew_deadline_ms = MS(o->renew_ns),
                                                          .retry_period_ms = MS(o->retry_ns),
                                                          .release_on_stop = true,
                                                          .started = leading,
                                                          .stopped = lost,
                                                          .ctx = &p});
    component_wait_signal();
    log_info(work->component, "ending on a signal");
    atomic_store(&p.ending, true);
    if (election)
        leader_election_free(election);
    else
        work->stop(work->ctx);
    component_free(component);
    return 0;
}
