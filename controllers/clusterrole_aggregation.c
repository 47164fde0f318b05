/*
 * ClusterRole aggregation: a cluster role with an aggregation rule holds the rules of all roles that
 * its selectors choose (admin, edit and view are made that way, and grow with what operators add).
 */
#include "controllers/controller.h"

#include "api/meta.h"
#include "api/selector.h"
#include "base/mem.h"
#include "proto/rbac_v1.pb-c.h"
#include <stdlib.h>

#define RESOURCE_CLUSTERROLES resource_of_message(Rbac__V1__ClusterRole__SCHEMA)

struct aggregation {
    struct client *client;
    struct workqueue *queue;
    struct informer *roles;
};

/* A role may be chosen by any aggregated one: look at all of these again. */
static void role_changed(void *ctx, struct object *o)
{
    struct aggregation *c = ctx;
    struct object_refs all = {0};
    (void)o;
    informer_list(c->roles, NULL, &all);
    for (size_t i = 0; i < all.len; i++) {
        const Rbac__V1__ClusterRole *role = all.items[i]->msg;
        if (role->aggregation_rule)
            workqueue_add(c->queue, role->metadata->name);
    }
    object_refs_free(&all);
}

static void role_updated(void *ctx, struct object *old, struct object *o)
{
    (void)old;
    role_changed(ctx, o);
}

static int by_name(const void *x, const void *y)
{
    const struct object *a = *(struct object *const *)x, *b = *(struct object *const *)y;
    return strcmp(object_meta(a->msg)->name, object_meta(b->msg)->name);
}

static void add_rules(struct arena *a, Rbac__V1__ClusterRole *to, const Rbac__V1__ClusterRole *from)
{
    for (size_t i = 0; i < from->n_rules; i++) {
        bool there = false;
        for (size_t k = 0; k < to->n_rules && !there; k++)
            there = object_equal(to->rules[k], from->rules[i]);
        if (!there)
            api_append(a, to, rules, api_clone(a, from->rules[i]));
    }
}

/* The rules of the chosen roles, selector after selector, each in the order of names. */
static int gather(const struct object_refs *all, Rbac__V1__ClusterRole *to, struct arena *a,
                  struct error *err)
{
    const Rbac__V1__AggregationRule *rule = to->aggregation_rule;
    for (size_t s = 0; s < rule->n_cluster_role_selectors; s++) {
        struct label_selector selector;
        if (label_selector_from(a, rule->cluster_role_selectors[s], &selector, err) < 0)
            return error_wrap(err, "cluster role %s", to->metadata->name);
        for (size_t i = 0; i < all->len; i++) {
            const Rbac__V1__ClusterRole *from = all->items[i]->msg;
            if (strcmp(from->metadata->name, to->metadata->name) != 0 &&
                label_selector_matches_meta(&selector, from->metadata))
                add_rules(a, to, from);
        }
    }
    return 0;
}

static bool same_rules(const Rbac__V1__ClusterRole *x, const Rbac__V1__ClusterRole *y)
{
    bool same = x->n_rules == y->n_rules;
    for (size_t i = 0; same && i < x->n_rules; i++)
        same = object_equal(x->rules[i], y->rules[i]);
    return same;
}

static int aggregate(struct aggregation *c, const Rbac__V1__ClusterRole *have, struct error *err)
{
    struct arena a;
    struct error failure = {0};
    struct object_refs all = {0};
    arena_init(&a);
    informer_list(c->roles, NULL, &all);
    if (all.len)
        qsort(all.items, all.len, sizeof *all.items, by_name);
    Rbac__V1__ClusterRole *role = object_clone(&a, have);
    role->n_rules = 0;
    int rc = gather(&all, role, &a, err);
    if (rc == 0 && !same_rules(role, have)) {
        client_update(c->client, RESOURCE_CLUSTERROLES, role, NULL, &a, &failure);
        rc = write_result(&failure, err);
    }
    object_refs_free(&all);
    arena_free(&a);
    return rc;
}

static int reconcile(void *ctx, const char *key, struct error *err)
{
    struct aggregation *c = ctx;
    struct object *o = informer_get_key(c->roles, key);
    const Rbac__V1__ClusterRole *role = o ? o->msg : NULL;
    int rc = role && role->aggregation_rule && !role->metadata->deletion_timestamp
                 ? aggregate(c, role, err)
                 : 0;
    object_unref(o);
    return rc;
}

static void *open_controller(struct manager *m, struct workqueue *queue)
{
    struct aggregation *c = mem_zalloc(sizeof *c);
    c->client = manager_client(m);
    c->queue = queue;
    c->roles = manager_informer(m, RESOURCE_CLUSTERROLES);
    informer_add_handler(c->roles, &(struct informer_handler){.on_add = role_changed,
                                                              .on_update = role_updated,
                                                              .on_delete = role_changed,
                                                              .ctx = c});
    return c;
}

static void close_controller(void *ctx)
{
    mem_free(ctx);
}

const struct controller controller_clusterrole_aggregation = {
    .name = "clusterrole-aggregation-controller",
    .workers = 1,
    .open = open_controller,
    .reconcile = reconcile,
    .close = close_controller};
