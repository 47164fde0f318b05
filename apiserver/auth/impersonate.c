/*
 * Impersonation: a request that says Impersonate-User, -Group, -Uid or -Extra-<key> is answered as if
 * that user had sent it, when its sender may impersonate each of them.
 */
#include "apiserver/auth/impersonate.h"
#include "apiserver/auth/authn_front.h"
#include "base/arena_text.h"

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
    if (!str_split(&account, ':', &ns) || !ns.n || !account.n || str_find_char(account, ':') >= 0)
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

static struct status *impersonate_extra(struct wanted *w, struct str raw_key, struct str value)
{
    struct arena *a = w->rq->a;
    struct user *u = w->user;
    const char *key = extra_key_decoded(a, raw_key), *text = arena_strndup(a, value.p, value.n);
    user_add_extra(u, a, key, text, w->rq->x->headers_len);
    return ask(w->rq, "authentication.k8s.io", "userextras", key, "", text);
}

/* What is asked for, in the words of object references: kind, namespace, name, uid, version, …. */
static const char *asked_for(struct rest *rq, struct str uid)
{
    static const char version[] = "authentication.k8s.io/v1";
    struct arena_text groups = {.a = rq->a}, extras = {.a = rq->a};
    const char *last = "";
    for (size_t i = 0; i < rq->x->headers_len; i++) {
        const struct http_header *h = &rq->x->headers[i];
        if (str_eqz(h->name, "impersonate-group"))
            arena_text_addf(&groups, " {Group  %.*s    }", STR_ARG(h->value));
        else if (str_has_prefix(h->name, STR(EXTRA_PREFIX)))
            arena_text_addf(
                &extras, " {UserExtra  %.*s  %s  %s}", STR_ARG(h->value), version,
                extra_key_decoded(rq->a, str_slice(h->name, sizeof EXTRA_PREFIX - 1, h->name.n)));
    }
    if (uid.n)
        last = arena_printf(rq->a, " {UID  %.*s  %s  }", STR_ARG(uid), version);
    const char *all =
        arena_printf(rq->a, "%s%s%s", arena_text_of(&groups), arena_text_of(&extras), last);
    return *all ? all + 1 : all;
}

struct status *impersonate(struct rest *rq)
{
    struct str name = http_header_get(rq->x, "impersonate-user");
    struct str uid = http_header_get(rq->x, "impersonate-uid");
    struct wanted w = {.rq = rq};
    struct status *s = NULL;
    for (size_t i = 0; i < rq->x->headers_len; i++) {
        const struct http_header *h = &rq->x->headers[i];
        w.groups_named |= str_eqz(h->name, "impersonate-group");
    }
    if (!name.n) {
        const char *asked = asked_for(rq, uid);
        return *asked
                   ? status_bad_request(rq->a, "requested [%s] without impersonating a user", asked)
                   : NULL;
    }
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
    user_add_authenticated(w.user); /* unless the request's groups say otherwise */
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
