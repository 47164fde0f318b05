/*
 * Strategies of nodes, namespaces, secrets, service accounts and events.
 */
#include "api/meta.h"
#include "apiserver/strategy/strategy.h"
#include "base/map.h"
#include "base/random.h"
#include "proto/core_v1.pb-c.h"

/* ---- nodes: clients register them with a status ---- */

/* podCIDR is the first of podCIDRs; where the two differ, it is the one that counts. */
static void node_prepare(struct write *w, void *obj)
{
    Core__V1__NodeSpec *spec = ((Core__V1__Node *)obj)->spec;
    if (!*spec->pod_cidr) {
        spec->pod_cidr = spec->n_pod_cidrs ? spec->pod_cidrs[0] : spec->pod_cidr;
    } else if (!spec->n_pod_cidrs || strcmp(spec->pod_cidr, spec->pod_cidrs[0]) != 0) {
        spec->n_pod_cidrs = 0;
        spec->pod_cidrs = NULL;
        api_append(w->rq->a, spec, pod_cidrs, spec->pod_cidr);
    }
}

static void node_prepare_update(struct write *w, void *obj, const void *old)
{
    (void)old;
    node_prepare(w, obj);
}

const struct strategy strategy_node = {.message = Core__V1__Node__SCHEMA,
                                       .flags = STRATEGY_KEEP_STATUS,
                                       .prepare_create = node_prepare,
                                       .prepare_update = node_prepare_update};

/* ---- limit ranges may come without a name ---- */

static void limit_range_prepare(struct write *w, void *obj)
{
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    char uid[37];
    if (*meta->name)
        return;
    random_uuid(uid);
    meta->name = arena_strdup(w->rq->a, uid);
    w->name = meta->name;
}

const struct strategy strategy_limit_range = {.message = Core__V1__LimitRange__SCHEMA,
                                              .flags = STRATEGY_CREATE_ON_UPDATE,
                                              .prepare_create = limit_range_prepare};

/* ---- namespaces: held by the finalizer "kubernetes" until they are empty ---- */

static void namespace_complete_create(struct write *w, void *obj)
{
    Core__V1__Namespace *ns = obj;
    ns->status->phase = (char *)"Active";
    for (size_t i = 0; i < ns->spec->n_finalizers; i++)
        if (strcmp(ns->spec->finalizers[i], "kubernetes") == 0)
            return;
    api_append(w->rq->a, ns->spec, finalizers, (char *)"kubernetes");
}

static void namespace_prepare_update(struct write *w, void *obj, const void *old)
{
    (void)w;
    Core__V1__Namespace *ns = obj;
    ns->spec = ((const Core__V1__Namespace *)old)->spec;
}

const struct strategy strategy_namespace = {.message = Core__V1__Namespace__SCHEMA,
                                            .complete_create = namespace_complete_create,
                                            .prepare_update = namespace_prepare_update};

/* ---- secrets: stringData is another way to write data ---- */

/* s->data has room. */
static void secret_set(struct arena *a, Core__V1__Secret *s, struct map *known, const char *key,
                       const char *value)
{
    Meta__V1__BytesEntry *entry = map_get(known, str_from(key));
    if (!entry) {
        entry = api_new(a, Meta__V1__BytesEntry);
        entry->key = (char *)key;
        s->data[s->n_data++] = entry;
        map_put(known, str_from(key), entry);
    }
    entry->has_value = 1;
    entry->value.len = strlen(value);
    entry->value.data = (uint8_t *)value;
}

static void secret_prepare(struct write *w, void *obj)
{
    Core__V1__Secret *s = obj;
    struct arena *a = w->rq->a;
    Meta__V1__BytesEntry **all;
    struct map known; /* there may be a hundred thousand */
    if (!s->n_string_data)
        return;
    map_init(&known);
    all = arena_array(a, Meta__V1__BytesEntry *, s->n_data + s->n_string_data);
    for (size_t i = 0; i < s->n_data; i++) {
        all[i] = s->data[i];
        map_put(&known, str_from(all[i]->key), all[i]);
    }
    s->data = all;
    for (size_t i = 0; i < s->n_string_data; i++)
        secret_set(a, s, &known, s->string_data[i]->key, s->string_data[i]->value);
    map_free(&known);
    s->n_string_data = 0;
}

/* Without a type it is opaque (by default), which no other may become. */
static void secret_prepare_update(struct write *w, void *obj, const void *old)
{
    (void)old;
    secret_prepare(w, obj);
}

static struct status *secret_admit(struct write *w, void *obj, const void *old)
{
    (void)old;
    return legacy_token_fill(w, obj);
}

const struct strategy strategy_secret = {.message = Core__V1__Secret__SCHEMA,
                                         .prepare_create = secret_prepare,
                                         .prepare_update = secret_prepare_update,
                                         .admit = secret_admit};

const struct strategy strategy_service_account = {.message = Core__V1__ServiceAccount__SCHEMA,
                                                  .flags = STRATEGY_RETURN_DELETED};

/* ---- events live for an hour: they hang on this minute's lease ---- */

static struct status *event_admit(struct write *w, void *obj, const void *old)
{
    (void)obj;
    (void)old;
    w->lease = w->rq->worker->event_lease.id;
    return NULL;
}

const struct strategy strategy_event = {.message = Core__V1__Event__SCHEMA,
                                        .flags = STRATEGY_CREATE_ON_UPDATE | STRATEGY_OWNS_NOTHING,
                                        .admit = event_admit};
