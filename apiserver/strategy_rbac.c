/*
 * Roles and bindings: nobody may grant what they do not hold themselves (escalation), unless they have
 * the verb `escalate` on the role, or `bind` for bindings.
 */
#include "api/meta.h"
#include "apiserver/strategy.h"
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

static struct status *role_admit(struct write *w, void *obj, const void *old)
{
    bool cluster = schema_of(obj)->id == Rbac__V1__ClusterRole__SCHEMA;
    struct rbac_rule *rules;
    size_t n;
    if (old && object_equal_except(obj, old, "metadata"))
        return NULL;
    if (may(w, "escalate", cluster ? "clusterroles" : "roles", w->ns, w->name))
        return NULL;
    rbac_rules_of(w->rq->a, obj, &rules, &n);
    return check_rules(w, cluster ? "" : w->ns, rules, n);
}

static struct status *binding_admit(struct write *w, void *obj, const void *old)
{
    bool cluster = schema_of(obj)->id == Rbac__V1__ClusterRoleBinding__SCHEMA;
    const Rbac__V1__RoleRef *ref = cluster ? ((Rbac__V1__ClusterRoleBinding *)obj)->role_ref
                                           : ((Rbac__V1__RoleBinding *)obj)->role_ref;
    struct rbac_rule *rules;
    size_t n;
    if (old && object_equal_except(obj, old, "metadata"))
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
