/*
 * Matching of single RBAC rules: pure functions, apart from the snapshot so that their tests need no
 * store.
 */
#include "apiserver/authz.h"
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

/* ---- one rule by others ---- */

static bool covered(const struct rbac_rule *rules, size_t n, const struct authz_attributes *at)
{
    for (size_t i = 0; i < n; i++)
        if (rbac_rule_allows(&rules[i], at))
            return true;
    return false;
}

/* One permission of a rule after the other as a question; "*" is only covered by "*". */
static bool resources_covered(const struct rbac_rule *rules, size_t n, const struct rbac_rule *rule,
                              struct authz_attributes *at)
{
    static const char *any[] = {"", NULL};
    char resource[512];
    const char **names = rule->names[0] ? rule->names : any;
    at->is_resource = true;
    for (const char **g = rule->groups; *g; g++)
        for (const char **r = rule->resources; *r; r++)
            for (const char **name = names; *name; name++) {
                const char *slash = strchr(*r, '/');
                size_t len = slash ? (size_t)(slash - *r) : strlen(*r);
                if (len >= sizeof resource)
                    return false;
                memcpy(resource, *r, len);
                resource[len] = 0;
                at->group = *g;
                at->resource = resource;
                at->subresource = slash ? slash + 1 : "";
                at->name = *name;
                if (!covered(rules, n, at))
                    return false;
            }
    return true;
}

bool rbac_rules_cover(const struct rbac_rule *rules, size_t rules_len, const struct rbac_rule *rule)
{
    struct authz_attributes at = {.ns = "", .path = ""};
    for (const char **v = rule->verbs; *v; v++) {
        at.verb = *v;
        if (!resources_covered(rules, rules_len, rule, &at))
            return false;
        at.is_resource = false;
        for (const char **u = rule->urls; *u; u++) {
            at.path = *u;
            if (!covered(rules, rules_len, &at))
                return false;
        }
    }
    return true;
}
