/*
 * Escalation: which permissions of a role does who grants it not hold? The refusal names all of them, as
 * clients show it: verbs of the same resource (and name) in one line, the lines sorted.
 */
#include "apiserver/auth/authz.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include "base/str.h"
#include <stdlib.h>

struct gap {
    struct authz_attributes at; /* strings in the arena; its verb is the first one */
    VEC(const char *) verbs;
};

struct search {
    struct authz *z;
    struct arena *a;
    VEC(struct gap) gaps;
};

static bool same_target(const struct authz_attributes *x, const struct authz_attributes *y)
{
    return x->is_resource && y->is_resource && strcmp(x->group, y->group) == 0 &&
           strcmp(x->resource, y->resource) == 0 && strcmp(x->subresource, y->subresource) == 0 &&
           strcmp(x->name, y->name) == 0;
}

static void add_verb(struct gap *g, const char *verb)
{
    for (size_t i = 0; i < g->verbs.len; i++)
        if (strcmp(g->verbs.items[i], verb) == 0)
            return;
    vec_push(&g->verbs, verb);
}

/* URLs stand alone: only rules of resources are put together. */
static bool note_if_missing(void *ctx, const struct authz_attributes *at)
{
    struct search *s = ctx;
    if (authz_allowed(s->z, at, s->a, NULL))
        return true;
    for (size_t i = 0; i < s->gaps.len; i++)
        if (same_target(&s->gaps.items[i].at, at)) {
            add_verb(&s->gaps.items[i], at->verb);
            return true;
        }
    struct gap g = {.at = *at};
    g.at.resource = arena_strdup(s->a, at->resource);
    add_verb(&g, at->verb);
    vec_push(&s->gaps, g);
    return true;
}

static const char *gap_text(struct arena *a, const struct gap *g)
{
    const struct authz_attributes *at = &g->at;
    struct buf b;
    buf_init(&b);
    if (at->is_resource)
        buf_printf(&b, "{APIGroups:[\"%s\"], Resources:[\"%s%s%s\"]", at->group, at->resource,
                   *at->subresource ? "/" : "", at->subresource);
    else
        buf_printf(&b, "{NonResourceURLs:[\"%s\"]", at->path);
    if (*at->name)
        buf_printf(&b, ", ResourceNames:[\"%s\"]", at->name);
    buf_append_str(&b, STR(", Verbs:["));
    for (size_t i = 0; i < g->verbs.len; i++)
        buf_printf(&b, "%s\"%s\"", i ? " " : "", g->verbs.items[i]);
    buf_append_str(&b, STR("]}"));
    const char *text = arena_strdup(a, buf_cstr(&b));
    buf_free(&b);
    return text;
}

static const char *gaps_text(struct search *s)
{
    const char **lines = arena_array(s->a, const char *, s->gaps.len + 1);
    struct buf b;
    for (size_t i = 0; i < s->gaps.len; i++)
        lines[i] = gap_text(s->a, &s->gaps.items[i]);
    qsort(lines, s->gaps.len, sizeof *lines, cstr_order);
    buf_init(&b);
    for (size_t i = 0; i < s->gaps.len; i++)
        if (i == 0 || strcmp(lines[i], lines[i - 1]) != 0)
            buf_printf(&b, "%s%s", i ? "\n" : "", lines[i]);
    const char *text = arena_strdup(s->a, buf_cstr(&b));
    buf_free(&b);
    return text;
}

bool authz_covers(struct authz *z, const struct user *user, const char *ns,
                  const struct rbac_rule *rules, size_t rules_len, struct arena *a,
                  const char **missing)
{
    struct search s = {.z = z, .a = a};
    bool readable = true;
    for (size_t i = 0; i < rules_len; i++) {
        struct authz_attributes at = {.user = user,
                                      .ns = ns,
                                      .group = "",
                                      .resource = "",
                                      .subresource = "",
                                      .name = "",
                                      .path = ""};
        readable &= rbac_rule_each(&rules[i], &at, note_if_missing, &s);
    }
    bool all = readable && s.gaps.len == 0;
    if (!all)
        *missing = gaps_text(&s);
    for (size_t i = 0; i < s.gaps.len; i++)
        vec_free(&s.gaps.items[i].verbs);
    vec_free(&s.gaps);
    return all;
}
