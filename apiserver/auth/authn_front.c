/*
 * Authentication by a front proxy: see authn_front.h.
 */
#include "apiserver/auth/authn_front.h"
#include "base/arena_str.h"
#include <ctype.h>
#include <stdlib.h>
#include <strings.h>

static bool among(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

/* Values of the headers of a list, header after header; stops after `max`. */
static size_t values(const struct http_exchange *x, const char *const *names, struct arena *a,
                     const char **out, size_t max)
{
    size_t n = 0;
    for (; names && *names; names++)
        for (size_t i = 0; i < x->headers_len && n < max; i++)
            if (str_ieq(x->headers[i].name, str_from(*names)) && x->headers[i].value.n)
                out[n++] = arena_strndup(a, x->headers[i].value.p, x->headers[i].value.n);
    return n;
}

/* Keys come percent-encoded, since header names cannot hold everything. */
const char *extra_key_decoded(struct arena *a, struct str raw)
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

void user_add_authenticated(struct user *u)
{
    bool anonymous = strcmp(u->name, "system:anonymous") == 0;
    if (user_in_group(u, "system:unauthenticated") ||
        (!anonymous && user_in_group(u, "system:authenticated")))
        return;
    u->groups[u->groups_len++] = anonymous ? "system:unauthenticated" : "system:authenticated";
}

void user_add_extra(struct user *u, struct arena *a, const char *key, const char *value, size_t max)
{
    struct user_extra *e = NULL;
    for (size_t i = 0; i < u->extra_len; i++)
        if (strcmp(u->extra[i].key, key) == 0)
            e = &u->extra[i];
    if (!e) {
        e = &u->extra[u->extra_len++];
        *e = (struct user_extra){key, arena_array(a, const char *, max), 0};
    }
    e->values[e->values_len++] = value;
}

static void add_extras(struct user *u, const struct http_exchange *x, const char *const *prefixes,
                       struct arena *a)
{
    for (; prefixes && *prefixes; prefixes++)
        for (size_t i = 0; i < x->headers_len; i++) {
            const struct http_header *h = &x->headers[i];
            size_t n = strlen(*prefixes);
            if (h->name.n > n && strncasecmp(h->name.p, *prefixes, n) == 0)
                user_add_extra(u, a, extra_key_decoded(a, str_slice(h->name, n, h->name.n)),
                               arena_strndup(a, h->value.p, h->value.n), x->headers_len);
        }
}

const struct user *front_proxy_user(const struct front_proxy_config *c,
                                    const struct http_exchange *x, struct arena *arena)
{
    const char *name, *uid = "";
    if (!c->ca_file || !x->peer || !x->peer->of_second_ca ||
        (c->allowed_names && *c->allowed_names && !among(c->allowed_names, x->peer->common_name)) ||
        values(x, c->username_headers, arena, &name, 1) == 0)
        return NULL;
    struct user *u = arena_new(arena, struct user);
    u->name = name;
    values(x, c->uid_headers, arena, &uid, 1);
    u->uid = uid;
    u->groups = arena_array(arena, const char *, x->headers_len + 1);
    u->groups_len = values(x, c->group_headers, arena, u->groups, x->headers_len);
    u->extra = arena_array(arena, struct user_extra, x->headers_len);
    add_extras(u, x, c->extra_prefixes, arena);
    user_add_authenticated(u);
    return u;
}

/* ---- what stays here ---- */

static bool is_named(const char *const *names, struct str header)
{
    for (; names && *names; names++)
        if (str_ieq(header, str_from(*names)))
            return true;
    return false;
}

static bool has_any_prefix(const char *const *prefixes, struct str header)
{
    for (; prefixes && *prefixes; prefixes++)
        if (header.n >= strlen(*prefixes) &&
            strncasecmp(header.p, *prefixes, strlen(*prefixes)) == 0)
            return true;
    return false;
}

static bool names_user(const struct front_proxy_config *c, struct str header)
{
    static const char *const usual[] = {"x-remote-user", "x-remote-uid", "x-remote-group", NULL};
    static const char *const usual_prefix[] = {"x-remote-extra-", NULL};
    return is_named(usual, header) || has_any_prefix(usual_prefix, header) ||
           is_named(c->username_headers, header) || is_named(c->uid_headers, header) ||
           is_named(c->group_headers, header) || has_any_prefix(c->extra_prefixes, header);
}

void front_proxy_forget(const struct front_proxy_config *c, struct http_exchange *x,
                        struct arena *arena)
{
    size_t first = 0, n;
    while (first < x->headers_len && !names_user(c, x->headers[first].name))
        first++;
    if (first == x->headers_len)
        return;
    struct http_header *kept = arena_array(arena, struct http_header, x->headers_len);
    for (size_t i = n = 0; i < x->headers_len; i++)
        if (i < first || !names_user(c, x->headers[i].name))
            kept[n++] = x->headers[i];
    x->headers = kept;
    x->headers_len = n;
}
