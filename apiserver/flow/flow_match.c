/*
 * FlowSchemas and requests: see flow_match.h.
 */
#include "apiserver/flow/flow_match.h"
#include "base/arena_str.h"
#include <string.h>

#define ACCOUNT_PREFIX "system:serviceaccount:"

/* ---- subjects ---- */

static bool is_account(const Flowcontrol__V1__ServiceAccountSubject *s, const char *user)
{
    size_t ns = strlen(s->namespace_);
    if (strncmp(user, ACCOUNT_PREFIX, strlen(ACCOUNT_PREFIX)) != 0)
        return false;
    user += strlen(ACCOUNT_PREFIX);
    if (strncmp(user, s->namespace_, ns) != 0 || user[ns] != ':')
        return false;
    return cstr_eq(s->name, "*") || strcmp(user + ns + 1, s->name) == 0;
}

static bool is_subject(const Flowcontrol__V1__Subject *s, const struct user *user)
{
    if (cstr_eq(s->kind, "User"))
        return s->user && (cstr_eq(s->user->name, "*") || strcmp(s->user->name, user->name) == 0);
    if (cstr_eq(s->kind, "Group"))
        return s->group && (cstr_eq(s->group->name, "*") || user_in_group(user, s->group->name));
    return cstr_eq(s->kind, "ServiceAccount") && s->service_account &&
           is_account(s->service_account, user->name);
}

/* ---- rules ---- */

static bool is_all(char *const *list, size_t n)
{
    return n == 1 && strcmp(list[0], "*") == 0;
}

static bool has(char *const *list, size_t n, const char *s)
{
    if (is_all(list, n))
        return true;
    for (size_t i = 0; i < n; i++)
        if (strcmp(list[i], s) == 0)
            return true;
    return false;
}

static bool has_resource(char *const *list, size_t n, const struct authz_attributes *at)
{
    size_t resource = strlen(at->resource);
    if (!at->subresource[0] || is_all(list, n))
        return has(list, n, at->resource);
    for (size_t i = 0; i < n; i++)
        if (strncmp(list[i], at->resource, resource) == 0 && list[i][resource] == '/' &&
            strcmp(list[i] + resource + 1, at->subresource) == 0)
            return true;
    return false;
}

static bool matches_resource(const Flowcontrol__V1__ResourcePolicyRule *r,
                             const struct authz_attributes *at)
{
    return has(r->verbs, r->n_verbs, at->verb) && has_resource(r->resources, r->n_resources, at) &&
           has(r->api_groups, r->n_api_groups, at->group) &&
           (at->ns[0] ? has(r->namespaces, r->n_namespaces, at->ns) : r->cluster_scope);
}

static bool is_below(const char *rule, const char *path)
{
    size_t n = strlen(rule);
    if (strcmp(rule, path) == 0 || strcmp(rule, "*") == 0)
        return true;
    if (n && rule[n - 1] == '*')
        n--;
    bool slash = n && rule[n - 1] == '/';
    return strncmp(path, rule, n) == 0 && (slash || path[n] == '/');
}

static bool matches_path(const Flowcontrol__V1__NonResourcePolicyRule *r,
                         const struct authz_attributes *at)
{
    if (!has(r->verbs, r->n_verbs, at->verb))
        return false;
    for (size_t i = 0; i < r->n_non_resource_urls; i++)
        if (is_below(r->non_resource_urls[i], at->path))
            return true;
    return false;
}

static bool matches_rule(const Flowcontrol__V1__PolicyRulesWithSubjects *rule,
                         const struct authz_attributes *at)
{
    bool subject = false;
    for (size_t i = 0; i < rule->n_subjects && !subject; i++)
        subject = is_subject(rule->subjects[i], at->user);
    for (size_t i = 0; subject && at->is_resource && i < rule->n_resource_rules; i++)
        if (matches_resource(rule->resource_rules[i], at))
            return true;
    for (size_t i = 0; subject && !at->is_resource && i < rule->n_non_resource_rules; i++)
        if (matches_path(rule->non_resource_rules[i], at))
            return true;
    return false;
}

bool flow_schema_matches(const Flowcontrol__V1__FlowSchema *f, const struct authz_attributes *at)
{
    for (size_t i = 0; i < f->spec->n_rules; i++)
        if (matches_rule(f->spec->rules[i], at))
            return true;
    return false;
}

int flow_schema_order(const void *a, const void *b)
{
    const Flowcontrol__V1__FlowSchema *x = *(const Flowcontrol__V1__FlowSchema *const *)a;
    const Flowcontrol__V1__FlowSchema *y = *(const Flowcontrol__V1__FlowSchema *const *)b;
    int32_t p = x->spec->matching_precedence, q = y->spec->matching_precedence;
    return p != q ? (p < q ? -1 : 1) : strcmp(x->metadata->name, y->metadata->name);
}

void flow_distinguisher(const Flowcontrol__V1__FlowSchema *f, const struct authz_attributes *at,
                        struct buf *out)
{
    const Flowcontrol__V1__FlowDistinguisherMethod *m = f->spec->distinguisher_method;
    if (m && cstr_eq(m->type, "ByUser"))
        buf_append_cstr(out, at->user->name);
    else if (m && cstr_eq(m->type, "ByNamespace"))
        buf_append_cstr(out, at->ns);
}
