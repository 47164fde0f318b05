/*
 * Matching of single RBAC rules: pure functions, apart from the snapshot so that their tests need no
 * store.
 */
#include "apiserver/auth/rbac_held.h"
#include <string.h>

static bool list_has(const char *const *list, const char *value)
{
    for (; *list; list++)
        if (strcmp(*list, value) == 0 || strcmp(*list, "*") == 0)
            return true;
    return false;
}

/* "pods", "pods/log", "*", "*" + "/scale". */
static bool resource_matches(const char *rule, const char *resource, const char *sub)
{
    if (strcmp(rule, "*") == 0)
        return true;
    const char *slash = strchr(rule, '/');
    if (!*sub)
        return !slash && strcmp(rule, resource) == 0;
    if (!slash || strcmp(slash + 1, sub) != 0)
        return false;
    size_t n = (size_t)(slash - rule);
    return (n == 1 && rule[0] == '*') || (n == strlen(resource) && memcmp(rule, resource, n) == 0);
}

static bool resources_have(const char *const *list, const char *resource, const char *sub)
{
    for (; *list; list++)
        if (resource_matches(*list, resource, sub))
            return true;
    return false;
}

/* A rule's URL may end in '*'. */
static bool urls_have(const char *const *list, const char *path)
{
    for (; *list; list++) {
        size_t n = strlen(*list);
        if (strcmp(*list, path) == 0 || strcmp(*list, "*") == 0)
            return true;
        if (n > 0 && (*list)[n - 1] == '*' && strncmp(*list, path, n - 1) == 0)
            return true;
    }
    return false;
}

bool rbac_rule_allows(const struct rbac_rule *rule, const struct authz_attributes *attr)
{
    if (!list_has(rule->verbs, attr->verb))
        return false;
    if (!attr->is_resource)
        return urls_have(rule->urls, attr->path);
    if (!list_has(rule->groups, attr->group) ||
        !resources_have(rule->resources, attr->resource, attr->subresource))
        return false;
    if (!rule->names[0])
        return true;
    for (const char *const *n = rule->names; *n; n++)
        if (*attr->name && strcmp(*n, attr->name) == 0)
            return true;
    return false;
}

/* ---- a rule's permissions ---- */

static bool each_resource(const struct rbac_rule *rule, struct authz_attributes *at,
                          permission_fn *visit, void *ctx)
{
    static const char *any[] = {"", NULL};
    char resource[512];
    at->is_resource = true;
    for (const char **g = rule->groups; *g; g++)
        for (const char **r = rule->resources; *r; r++) {
            const char *slash = strchr(*r, '/');
            size_t len = slash ? (size_t)(slash - *r) : strlen(*r);
            if (len >= sizeof resource)
                return false;
            memcpy(resource, *r, len);
            resource[len] = 0;
            at->group = *g;
            at->resource = resource;
            at->subresource = slash ? slash + 1 : "";
            for (const char **v = rule->verbs; *v; v++)
                for (const char **name = rule->names[0] ? rule->names : any; *name; name++) {
                    at->verb = *v;
                    at->name = *name;
                    if (!visit(ctx, at))
                        return false;
                }
        }
    return true;
}

bool rbac_rule_each(const struct rbac_rule *rule, struct authz_attributes *at, permission_fn *visit,
                    void *ctx)
{
    if (!each_resource(rule, at, visit, ctx))
        return false;
    at->is_resource = false;
    at->name = "";
    for (const char **u = rule->urls; *u; u++)
        for (const char **v = rule->verbs; *v; v++) {
            at->path = *u;
            at->verb = *v;
            if (!visit(ctx, at))
                return false;
        }
    return true;
}

static bool stop(void *ctx, const struct authz_attributes *at)
{
    (void)ctx;
    (void)at;
    return false;
}

bool rbac_rules_cover(const struct rbac_rule *rules, size_t rules_len, const struct rbac_rule *rule)
{
    struct rbac_held *held = rbac_held_new();
    struct authz_attributes at = {
        .group = "", .resource = "", .subresource = "", .ns = "", .name = "", .path = ""};
    size_t steps = SIZE_MAX;
    for (size_t i = 0; i < rules_len; i++)
        rbac_held_add(held, &rules[i]);
    bool covers = rbac_held_covers(held, rule, &at, &steps, stop, NULL) == RBAC_YES;
    rbac_held_free(held);
    return covers;
}
