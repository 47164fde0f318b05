/*
 * Impersonation: a request that says Impersonate-User, -Group, -Uid or -Extra-<key> is answered as if
 * that user had sent it, when its sender may impersonate each of them.
 */
#include "apiserver/impersonate.h"
#include <stdio.h>
#include <stdlib.h>

#define ACCOUNT_PREFIX "system:serviceaccount:"
#define EXTRA_PREFIX "impersonate-extra-"

struct wanted {
    struct rest *rq;
    struct user *user;
    bool groups_named;
};

/* One thing to impersonate, as the authorizer is asked about it. */
static struct status *ask(struct rest *rq, const char *group, const char *resource, const char *sub,
                          const char *ns, const char *name)
{
    struct authz_attributes at = {.user = rq->user,
                                  .verb = "impersonate",
                                  .is_resource = true,
                                  .group = group,
                                  .resource = resource,
                                  .subresource = sub,
                                  .ns = ns,
                                  .name = name,
                                  .path = ""};
    const char *reason;
    if (authz_allowed(rq->server->authz, &at, rq->a, &reason))
        return NULL;
    return authz_forbidden(rq->a, &at, reason);
}

static struct status *impersonate_user(struct wanted *w, struct str name)
{
    struct rest *rq = w->rq;
    struct user *u = w->user;
    u->name = arena_strndup(rq->a, name.p, name.n);
    struct str account = name, ns;
    if (!str_has_prefix(name, STR(ACCOUNT_PREFIX)))
        return ask(rq, "", "users", "", "", u->name);
    account = str_slice(name, sizeof ACCOUNT_PREFIX - 1, name.n);
    if (!str_split(&account, ':', &ns) || !ns.n || !account.p || !account.n)
        return ask(rq, "", "users", "", "", u->name);
    const char *space = arena_strndup(rq->a, ns.p, ns.n);
    if (!w->groups_named) {
        u->groups[u->groups_len++] = "system:serviceaccounts";
        u->groups[u->groups_len++] = arena_printf(rq->a, "system:serviceaccounts:%s", space);
    }
    return ask(rq, "", "serviceaccounts", "", space, arena_strndup(rq->a, account.p, account.n));
}

static struct status *impersonate_group(struct wanted *w, struct str name)
{
    const char *group = arena_strndup(w->rq->a, name.p, name.n);
    w->user->groups[w->user->groups_len++] = group;
    return ask(w->rq, "", "groups", "", "", group);
}

/* Keys come percent-encoded, since header names cannot hold everything. */
static const char *decoded_key(struct arena *a, struct str raw)
{
    char *out = arena_alloc(a, raw.n + 1), *o = out;
    for (size_t i = 0; i < raw.n; i++) {
        char hex[3] = {0}, *end;
        if (raw.p[i] == '%' && i + 2 < raw.n) {
            hex[0] = raw.p[i + 1];
            hex[1] = raw.p[i + 2];
            long c = strtol(hex, &end, 16);
            if (*end == 0 && c > 0) {
                *o++ = (char)c;
                i += 2;
                continue;
            }
        }
        *o++ = raw.p[i] >= 'A' && raw.p[i] <= 'Z' ? (char)(raw.p[i] + 32) : raw.p[i];
    }
    *o = 0;
    return out;
}

static struct status *impersonate_extra(struct wanted *w, struct str raw_key, struct str value)
{
    struct arena *a = w->rq->a;
    struct user *u = w->user;
    const char *key = decoded_key(a, raw_key), *text = arena_strndup(a, value.p, value.n);
    struct user_extra *e = NULL;
    for (size_t i = 0; i < u->extra_len; i++)
        if (strcmp(u->extra[i].key, key) == 0)
            e = &u->extra[i];
    if (!e) {
        e = &u->extra[u->extra_len++];
        *e = (struct user_extra){key, arena_array(a, const char *, w->rq->x->headers_len), 0};
    }
    e->values[e->values_len++] = text;
    return ask(w->rq, "authentication.k8s.io", "userextras", key, "", text);
}

/* Who is somebody is authenticated, unless the request's groups say otherwise. */
static void add_authenticated(struct user *u)
{
    bool anonymous = strcmp(u->name, "system:anonymous") == 0;
    if (user_in_group(u, "system:unauthenticated") ||
        (!anonymous && user_in_group(u, "system:authenticated")))
        return;
    u->groups[u->groups_len++] = anonymous ? "system:unauthenticated" : "system:authenticated";
}

static struct status *without_user(struct rest *rq, const char *what, struct str name)
{
    return status_internal(rq->a, "requested [{%s  %.*s    }] without impersonating a user", what,
                           STR_ARG(name));
}

struct status *impersonate(struct rest *rq)
{
    struct str name = http_header_get(rq->x, "impersonate-user");
    struct str uid = http_header_get(rq->x, "impersonate-uid");
    struct wanted w = {.rq = rq};
    struct status *s = NULL;
    for (size_t i = 0; i < rq->x->headers_len; i++) {
        const struct http_header *h = &rq->x->headers[i];
        bool group = str_eqz(h->name, "impersonate-group");
        w.groups_named |= group;
        if (!name.n && (group || str_has_prefix(h->name, STR(EXTRA_PREFIX))))
            return without_user(rq, group ? "Group" : "UserExtra", h->value);
    }
    if (!name.n)
        return uid.n ? without_user(rq, "UID", uid) : NULL;
    w.user = arena_new(rq->a, struct user);
    w.user->uid = arena_strndup(rq->a, uid.p ? uid.p : "", uid.n);
    w.user->groups = arena_array(rq->a, const char *, rq->x->headers_len + 4);
    w.user->extra = arena_array(rq->a, struct user_extra, rq->x->headers_len + 1);
    s = impersonate_user(&w, name);
    for (size_t i = 0; i < rq->x->headers_len && !s; i++) {
        const struct http_header *h = &rq->x->headers[i];
        if (str_eqz(h->name, "impersonate-group"))
            s = impersonate_group(&w, h->value);
        else if (str_has_prefix(h->name, STR(EXTRA_PREFIX)))
            s = impersonate_extra(&w, str_slice(h->name, sizeof EXTRA_PREFIX - 1, h->name.n),
                                  h->value);
    }
    if (!s && uid.n)
        s = ask(rq, "authentication.k8s.io", "uids", "", "", w.user->uid);
    if (s)
        return s;
    add_authenticated(w.user);
    rq->user = w.user;
    return NULL;
}

struct status *authz_forbidden(struct arena *a, const struct authz_attributes *at,
                               const char *reason)
{
    struct status_about about = {"", "", "", ""};
    const char *because = reason && *reason ? arena_printf(a, ": %s", reason) : "";
    if (!at->is_resource)
        return status_forbidden(a, &about, "User \"%s\" cannot %s path \"%s\"%s", at->user->name,
                                at->verb, at->path, because);
    about = (struct status_about){at->group, at->resource, "", at->name};
    const char *where =
        *at->ns ? arena_printf(a, " in the namespace \"%s\"", at->ns) : " at the cluster scope";
    return status_forbidden(a, &about,
                            "User \"%s\" cannot %s resource \"%s%s%s\" in API group \"%s\"%s%s",
                            at->user->name, at->verb, at->resource, *at->subresource ? "/" : "",
                            at->subresource, at->group, where, because);
}
