/*
 * Roles and bindings: nobody may grant what they do not hold themselves (escalation), unless they have
 * the verb `escalate` on the role, or `bind` for bindings.
 */
#include "api/meta.h"
#include "apiserver/strategy/strategy.h"
#include "proto/rbac_v1.pb-c.h"

#define GROUP "rbac.authorization.k8s.io"

static bool may(struct write *w, const char *verb, const char *resource, const char *ns,
                const char *name)
{
    struct authz_attributes at = {.user = w->rq->user,
                                  .verb = verb,
                                  .is_resource = true,
                                  .group = GROUP,
                                  .resource = resource,
                                  .subresource = "",
                                  .ns = ns,
                                  .name = name,
                                  .path = ""};
    return authz_allowed(w->rq->server->authz, &at, w->rq->a, NULL);
}

static struct status *refuse(struct write *w, const char *missing)
{
    struct arena *a = w->rq->a;
    const struct user *u = w->rq->user;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; i < u->groups_len; i++)
        buf_printf(&b, "%s\"%s\"", i ? " " : "", u->groups[i]);
    struct status *s =
        status_forbidden(a, &about,
                         "user \"%s\" (groups=[%s]) is attempting to grant RBAC permissions not "
                         "currently held:\n%s",
                         u->name, buf_cstr(&b), missing);
    buf_free(&b);
    return s;
}

static struct status *check_rules(struct write *w, const char *ns, const struct rbac_rule *rules,
                                  size_t n)
{
    const char *missing = "";
    if (authz_covers(w->rq->server->authz, w->rq->user, ns, rules, n, w->rq->a, &missing))
        return NULL;
    return refuse(w, missing);
}

/* What the garbage collector does to objects is nobody's grant. */
static bool only_collects(struct arena *a, const void *obj, const void *old)
{
    if (!old)
        return false;
    void *as_before = object_clone(a, obj);
    Meta__V1__ObjectMeta *m = object_meta(as_before);
    const Meta__V1__ObjectMeta *was = object_meta(old);
    m->owner_references = was->owner_references;
    m->n_owner_references = was->n_owner_references;
    m->finalizers = was->finalizers;
    m->n_finalizers = was->n_finalizers;
    m->managed_fields = was->managed_fields;
    m->n_managed_fields = was->n_managed_fields;
    m->resource_version = was->resource_version;
    return object_equal(as_before, old);
}

static bool aggregates(const void *role)
{
    const Rbac__V1__ClusterRole *r = role;
    return r && r->aggregation_rule && r->aggregation_rule->n_cluster_role_selectors > 0;
}

/* An aggregated role may come to hold anything: who sets its rule must hold everything. */
static struct status *check_aggregation(struct write *w, const void *obj, const void *old)
{
    static const char *star[] = {"*", NULL}, *none[] = {NULL};
    static const struct rbac_rule everything[] = {{star, star, star, none, none},
                                                  {star, none, none, none, star}};
    const char *missing;
    struct status_about about = {w->r->group, w->r->plural, w->r->kind, w->name};
    if ((!aggregates(obj) && !aggregates(old)) ||
        authz_covers(w->rq->server->authz, w->rq->user, "", everything, ARRAY_LEN(everything),
                     w->rq->a, &missing))
        return NULL;
    return status_forbidden(w->rq->a, &about,
                            "must have cluster-admin privileges to use the aggregationRule");
}

static struct status *role_admit(struct write *w, void *obj, const void *old)
{
    bool cluster = schema_of(obj)->id == Rbac__V1__ClusterRole__SCHEMA;
    struct rbac_rule *rules;
    size_t n;
    if (only_collects(w->rq->a, obj, old))
        return NULL;
    /* By the request's name: who creates by POST names nothing that the right could be limited to. */
    if (may(w, "escalate", cluster ? "clusterroles" : "roles", w->ns, w->rq->info.name))
        return NULL;
    rbac_rules_of(w->rq->a, obj, &rules, &n);
    struct status *s = check_rules(w, cluster ? "" : w->ns, rules, n);
    return s || !cluster ? s : check_aggregation(w, obj, old);
}

static struct status *binding_admit(struct write *w, void *obj, const void *old)
{
    bool cluster = schema_of(obj)->id == Rbac__V1__ClusterRoleBinding__SCHEMA;
    const Rbac__V1__RoleRef *ref = cluster ? ((Rbac__V1__ClusterRoleBinding *)obj)->role_ref
                                           : ((Rbac__V1__RoleBinding *)obj)->role_ref;
    struct rbac_rule *rules;
    size_t n;
    if (only_collects(w->rq->a, obj, old))
        return NULL;
    bool cluster_role = strcmp(ref->kind, "ClusterRole") == 0;
    if (may(w, "bind", cluster_role ? "clusterroles" : "roles", w->ns, ref->name))
        return NULL;
    if (!authz_role_rules(w->rq->server->authz, cluster_role ? NULL : w->ns, ref->name, w->rq->a,
                          &rules, &n)) {
        struct status_about about = {GROUP, cluster_role ? "clusterroles" : "roles", "", ref->name};
        return status_not_found(w->rq->a, &about);
    }
    return check_rules(w, cluster ? "" : w->ns, rules, n);
}

/* kubectl and Helm leave apiGroup of subjects and roleRef out. */
static void default_binding(struct write *w, void *obj)
{
    bool cluster = schema_of(obj)->id == Rbac__V1__ClusterRoleBinding__SCHEMA;
    Rbac__V1__ClusterRoleBinding *c = obj;
    Rbac__V1__RoleBinding *b = obj;
    Rbac__V1__RoleRef *ref = cluster ? c->role_ref : b->role_ref;
    Rbac__V1__Subject **subjects = cluster ? c->subjects : b->subjects;
    size_t n = cluster ? c->n_subjects : b->n_subjects;
    (void)w;
    if (!*ref->api_group)
        ref->api_group = (char *)GROUP;
    for (size_t i = 0; i < n; i++)
        if (!*subjects[i]->api_group && strcmp(subjects[i]->kind, "ServiceAccount") != 0)
            subjects[i]->api_group = (char *)GROUP;
}

static void default_binding_update(struct write *w, void *obj, const void *old)
{
    (void)old;
    default_binding(w, obj);
}

const struct strategy strategy_role = {
    .message = Rbac__V1__Role__SCHEMA, .flags = STRATEGY_CREATE_ON_UPDATE, .admit = role_admit};
const struct strategy strategy_cluster_role = {.message = Rbac__V1__ClusterRole__SCHEMA,
                                               .flags = STRATEGY_CREATE_ON_UPDATE,
                                               .admit = role_admit};
const struct strategy strategy_role_binding = {.message = Rbac__V1__RoleBinding__SCHEMA,
                                               .flags = STRATEGY_CREATE_ON_UPDATE,
                                               .admit = binding_admit,
                                               .prepare_create = default_binding,
                                               .prepare_update = default_binding_update};
const struct strategy strategy_cluster_role_binding = {.message =
                                                           Rbac__V1__ClusterRoleBinding__SCHEMA,
                                                       .flags = STRATEGY_CREATE_ON_UPDATE,
                                                       .admit = binding_admit,
                                                       .prepare_create = default_binding,
                                                       .prepare_update = default_binding_update};
