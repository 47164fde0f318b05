/*
 * ComponentStatus (deprecated since v1.19, and still asked for): not stored, but observed when it is asked for. Nobody is
 * called for it: the store answers for itself with the linearizable read that comes first, scheduler and controllers by
 * the Lease that whoever of them works renews.
 */
#include "api/codec.h"
#include "api/meta.h"
#include "api/object.h"
#include "apiserver/rest/list_options.h"
#include "apiserver/rest/rest.h"
#include "apiserver/table/table.h"
#include "base/clock.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"

static const struct component {
    const char *name;
    const char *lease; /* in kube-system; NULL: this store */
} components[] = {
    {"controller-manager", "kube-controller-manager"},
    {"etcd-0", NULL},
    {"scheduler", "kube-scheduler"},
};

/* Is the lease held? 0, and in c what the condition says; <0 with *err. */
static int observe_lease(struct rest *rq, const char *name, Core__V1__ComponentCondition *c,
                         struct error *err)
{
    const struct resource *leases = resource_of_message(Coordination__V1__Lease__SCHEMA);
    void *object;
    int rc = rest_load(rq->server, rq->a, leases, "kube-system", name, &object, err);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        c->error = arena_printf(rq->a, "nobody holds the lease kube-system/%s", name);
        return 0;
    }
    const Coordination__V1__LeaseSpec *spec = ((const Coordination__V1__Lease *)object)->spec;
    int64_t until =
        micro_time_ns(spec->renew_time) + (int64_t)spec->lease_duration_seconds * (int64_t)NS_PER_S;
    if (!*spec->holder_identity || until < clock_wall_ns()) {
        c->error = arena_printf(rq->a, "the lease kube-system/%s is not renewed", name);
        return 0;
    }
    c->status = "True";
    c->message = "ok";
    return 0;
}

static int observe(struct rest *rq, const struct component *of, struct buf *stored,
                   struct error *err)
{
    Core__V1__ComponentStatus *s = api_new(rq->a, Core__V1__ComponentStatus);
    Core__V1__ComponentCondition *c = api_new(rq->a, Core__V1__ComponentCondition);
    s->metadata->name = (char *)of->name;
    s->conditions = arena_dup(rq->a, &c, sizeof(Core__V1__ComponentCondition *));
    s->n_conditions = 1;
    c->type = "Healthy";
    c->status = of->lease ? "False" : "True";
    c->message = of->lease ? "" : "ok";
    int rc = of->lease ? observe_lease(rq, of->lease, c, err) : 0;
    buf_clear(stored);
    stored_encode(s, stored);
    return rc;
}

static void get_ready(struct rest *rq)
{
    struct error err;
    for (size_t i = 0; i < ARRAY_LEN(components); i++) {
        if (strcmp(components[i].name, rq->info.name) != 0)
            continue;
        struct buf stored;
        buf_init(&stored);
        if (observe(rq, &components[i], &stored, &err) < 0)
            rest_status(rq, status_from_error(rq->a, &err));
        else
            rest_stored(rq, 200, buf_str(&stored), 0);
        buf_free(&stored);
        return;
    }
    rest_status(rq, status_not_found(rq->a, &rq->about));
}

/* The list, in the form that the request wants. */
static int add_all(struct rest *rq, const struct selection *select, struct buf *out,
                   struct error *err)
{
    bool as_table = rq->accept.transform == TRANSFORM_TABLE;
    struct table_writer table;
    struct list_writer plain;
    struct buf stored;
    int rc = 0;
    buf_init(&stored);
    if (as_table)
        table_begin(&table, rq->r, table_options(rq), out);
    else
        list_begin(&plain, rq->r, rq->accept.media == MEDIA_PROTOBUF ? MEDIA_PROTOBUF : MEDIA_JSON,
                   rq->accept.transform == TRANSFORM_METADATA ? FORM_METADATA : FORM_FULL, out);
    for (size_t i = 0; i < ARRAY_LEN(components) && rc == 0; i++) {
        rc = observe(rq, &components[i], &stored, err);
        if (rc < 0 || !selection_matches(select, buf_str(&stored)))
            continue;
        rc = as_table ? table_add(&table, buf_str(&stored), 0, err)
                      : list_add(&plain, buf_str(&stored), 0, err);
    }
    if (as_table)
        table_end(&table, kv_current_revision(rq->server->kv), "", -1);
    else
        list_end(&plain, kv_current_revision(rq->server->kv), "", -1);
    buf_free(&stored);
    return rc;
}

static void list_ready(struct rest *rq)
{
    struct selection select;
    struct error err;
    struct buf out;
    struct status *bad = selection_parse(rq, &select);
    if (bad) {
        rest_status(rq, bad);
        return;
    }
    buf_init(&out);
    if (add_all(rq, &select, &out, &err) < 0) {
        rest_status(rq, status_from_error(rq->a, &err));
    } else {
        if (rq->accept.media != MEDIA_PROTOBUF)
            buf_append_char(&out, '\n');
        rest_json_or_wire(rq, 200, &out);
    }
    buf_free(&out);
}

void rest_component_status(struct rest *rq)
{
    rest_await(rq, "", rq->info.verb == VERB_LIST ? list_ready : get_ready);
}
