/*
 * Validation of RBAC objects.
 */
#include "api/validation/internal.h"
#include "proto/rbac_v1.pb-c.h"

/* --- rbac ------------------------------------------------------------------------------------------------- */

static void check_rules(struct field_errors *e, Rbac__V1__PolicyRule *const *rules, size_t n,
                        bool namespaced)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *at = ITEM(AT(NULL, "rules"), i);
        const Rbac__V1__PolicyRule *r = rules[i];
        if (r->n_verbs == 0)
            err_required(e, AT(at, "verbs"), "verbs must contain at least one value");
        if (r->n_non_resource_urls > 0) {
            if (namespaced)
                err_invalid_list(e, AT(at, "nonResourceURLs"), r->non_resource_urls,
                                 r->n_non_resource_urls,
                                 "namespaced rules cannot apply to non-resource URLs");
            if (r->n_api_groups + r->n_resources + r->n_resource_names > 0)
                err_invalid_list(
                    e, AT(at, "nonResourceURLs"), r->non_resource_urls, r->n_non_resource_urls,
                    "rules cannot apply to both regular resources and non-resource URLs");
            continue;
        }
        if (r->n_api_groups == 0)
            err_required(e, AT(at, "apiGroups"),
                         "resource rules must supply at least one api group");
        if (r->n_resources == 0)
            err_required(e, AT(at, "resources"),
                         "resource rules must supply at least one resource");
    }
}

static void validate_role(const void *object, struct field_errors *e)
{
    const Rbac__V1__Role *role = object;
    check_rules(e, role->rules, role->n_rules, true);
}

static void check_aggregation(struct field_errors *e, const struct path *at,
                              const Rbac__V1__AggregationRule *a)
{
    if (a->n_cluster_role_selectors == 0)
        err_required(e, at,
                     "at least one clusterRoleSelector required if aggregationRule is non-nil");
    for (size_t i = 0; i < a->n_cluster_role_selectors; i++) {
        size_t before = e->len;
        check_label_selector(e, ITEM(at, i), a->cluster_role_selectors[i]);
        if (e->len > before)
            err_invalid_raw(e, ITEM(at, i), "null", "invalid label selector.");
    }
}

static void validate_cluster_role(const void *object, struct field_errors *e)
{
    const Rbac__V1__ClusterRole *role = object;
    check_rules(e, role->rules, role->n_rules, false);
    if (role->aggregation_rule)
        check_aggregation(e, AT(AT(NULL, "aggregationRule"), "clusterRoleSelectors"),
                          role->aggregation_rule);
}

#define RBAC_GROUP "rbac.authorization.k8s.io"

static void check_subject(struct field_errors *e, const struct path *at, const Rbac__V1__Subject *s,
                          bool namespaced)
{
    static const char *const kinds[] = {"ServiceAccount", "User", "Group", NULL};
    static const char *const core_group[] = {"", NULL}, *const rbac_group[] = {RBAC_GROUP, NULL};
    check_required(e, AT(at, "name"), s->name);
    if (cstr_eq(s->kind, "ServiceAccount")) {
        if (*s->name)
            check_string(e, AT(at, "name"), s->name, validate_dns1123_subdomain);
        if (*s->api_group)
            check_one_of(e, AT(at, "apiGroup"), s->api_group, core_group);
        if (!namespaced)
            check_required(e, AT(at, "namespace"), s->namespace_);
    } else if (cstr_eq(s->kind, "User") || cstr_eq(s->kind, "Group")) {
        check_one_of(e, AT(at, "apiGroup"), s->api_group, rbac_group);
    } else {
        err_not_supported(e, AT(at, "kind"), s->kind, kinds);
    }
}

static void check_role_binding(struct field_errors *e, const Rbac__V1__RoleRef *ref,
                               Rbac__V1__Subject *const *subjects, size_t n, bool namespaced)
{
    static const char *const groups[] = {RBAC_GROUP, NULL};
    static const char *const cluster_kinds[] = {"ClusterRole", NULL};
    static const char *const kinds[] = {"Role", "ClusterRole", NULL};
    const struct path *at = AT(NULL, "roleRef");
    check_one_of(e, AT(at, "apiGroup"), ref->api_group, groups);
    check_one_of(e, AT(at, "kind"), ref->kind, namespaced ? kinds : cluster_kinds);
    if (check_required(e, AT(at, "name"), ref->name))
        check_string(e, AT(at, "name"), ref->name, validate_path_segment);
    for (size_t i = 0; i < n; i++)
        check_subject(e, ITEM(AT(NULL, "subjects"), i), subjects[i], namespaced);
}

static void validate_role_binding(const void *object, struct field_errors *e)
{
    const Rbac__V1__RoleBinding *b = object;
    check_role_binding(e, b->role_ref, b->subjects, b->n_subjects, true);
}

static void validate_cluster_role_binding(const void *object, struct field_errors *e)
{
    const Rbac__V1__ClusterRoleBinding *b = object;
    check_role_binding(e, b->role_ref, b->subjects, b->n_subjects, false);
}

static void check_role_ref_unchanged(struct field_errors *e, const Rbac__V1__RoleRef *new,
                                     const Rbac__V1__RoleRef *old)
{
    if (!object_equal(new, old))
        err_invalid_raw(e, AT(NULL, "roleRef"),
                        arena_printf(e->arena, "{\"APIGroup\":%s,\"Kind\":%s,\"Name\":%s}",
                                     field_quote(e->arena, new->api_group),
                                     field_quote(e->arena, new->kind),
                                     field_quote(e->arena, new->name)),
                        "cannot change roleRef");
}

static void validate_role_binding_update(const void *object, const void *old,
                                         struct field_errors *e)
{
    check_role_ref_unchanged(e, ((const Rbac__V1__RoleBinding *)object)->role_ref,
                             ((const Rbac__V1__RoleBinding *)old)->role_ref);
}

static void validate_cluster_role_binding_update(const void *object, const void *old,
                                                 struct field_errors *e)
{
    check_role_ref_unchanged(e, ((const Rbac__V1__ClusterRoleBinding *)object)->role_ref,
                             ((const Rbac__V1__ClusterRoleBinding *)old)->role_ref);
}

static const struct kind_rules rows[] = {
    {.message = Rbac__V1__Role__SCHEMA, .create = validate_role},
    {.message = Rbac__V1__ClusterRole__SCHEMA, .create = validate_cluster_role},
    {.message = Rbac__V1__RoleBinding__SCHEMA,
     .create = validate_role_binding,
     .update = validate_role_binding_update},
    {.message = Rbac__V1__ClusterRoleBinding__SCHEMA,
     .create = validate_cluster_role_binding,
     .update = validate_cluster_role_binding_update},
};
const struct rule_table rbac_rules = RULE_TABLE(rows);
