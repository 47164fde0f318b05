/*
 * Escalation: which permissions of a role does who grants it not hold? The refusal names all of them, as
 * clients show it: verbs of the same resource (and name) in one line, the lines sorted.
 */
#include "apiserver/auth/rbac_held.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include "base/str.h"
#include <stdlib.h>

/* Comparisons of short texts: a fraction of a second. */
#define STEPS_MAX 16000000
/* Texts in all rules that somebody holds; who holds more is not known to hold what comes after. */
#define HELD_MAX 2000000
/* What is missing is not listed any further. */
#define MISSING_BYTES_MAX (1u << 20)

struct gap {
    struct authz_attributes at; /* strings in the arena; its verb is the first one */
    VEC(const char *) verbs;
};

struct search {
    struct arena *a;
    const struct user *user;
    const char *ns;
    const struct rbac_rule *rules;
    size_t rules_len;
    struct rbac_held *held;
    VEC(struct gap) gaps;
    struct map noted; /* "T" and a target: the place of its gap, from 1; "V", a target and a verb */
    size_t bytes;
    bool all, unlisted;
};

static struct gap *new_gap(struct search *s, const struct authz_attributes *at)
{
    struct gap g = {.at = *at};
    g.at.resource = arena_strdup(s->a, at->resource);
    vec_push(&s->gaps, g);
    s->bytes += strlen(at->group) + strlen(at->resource) + strlen(at->subresource) +
                strlen(at->name) + strlen(at->path) + 64;
    return &s->gaps.items[s->gaps.len - 1];
}

static void add_verb(struct search *s, struct gap *g, const char *verb)
{
    vec_push(&g->verbs, verb);
    s->bytes += strlen(verb) + 3;
}

static void note_target(struct search *s, const struct authz_attributes *at)
{
    struct buf key;
    buf_init(&key);
    buf_printf(&key, "T%s\n%s\n%s\n%s\n", at->group, at->resource, at->subresource, at->name);
    size_t place = (uintptr_t)map_get(&s->noted, buf_str(&key));
    if (!place) {
        new_gap(s, at);
        place = s->gaps.len;
        map_put(&s->noted, buf_str(&key), (void *)place);
    }
    key.data[0] = 'V';
    buf_append_cstr(&key, at->verb);
    if (!map_put(&s->noted, buf_str(&key), s))
        add_verb(s, &s->gaps.items[place - 1], at->verb);
    buf_free(&key);
}

/* URLs stand alone: only rules of resources are put together. */
static bool note_missing(void *ctx, const struct authz_attributes *at)
{
    struct search *s = ctx;
    if (at->is_resource)
        note_target(s, at);
    else
        add_verb(s, new_gap(s, at), at->verb);
    s->unlisted = s->bytes > MISSING_BYTES_MAX;
    return !s->unlisted;
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
    if (s->unlisted)
        buf_printf(&b, "%sand more than is listed or looked up", b.len ? "\n" : "");
    const char *text = arena_strdup(s->a, buf_cstr(&b));
    buf_free(&b);
    return text;
}

static void hold(void *ctx, const struct rbac_rule *rule)
{
    struct search *s = ctx;
    if (rbac_held_length(s->held) < HELD_MAX)
        rbac_held_add(s->held, rule);
}

/* All rules held are known: compare. */
static void compare(void *ctx)
{
    struct search *s = ctx;
    size_t steps = STEPS_MAX;
    s->all = true;
    for (size_t i = 0; i < s->rules_len && !s->unlisted; i++) {
        struct authz_attributes at = {.user = s->user,
                                      .ns = s->ns,
                                      .group = "",
                                      .resource = "",
                                      .subresource = "",
                                      .name = "",
                                      .path = ""};
        enum rbac_answer answer =
            rbac_held_covers(s->held, &s->rules[i], &at, &steps, note_missing, s);
        s->all &= answer == RBAC_YES;
        s->unlisted |= answer == RBAC_TOO_MUCH;
    }
}

bool authz_covers(struct authz *z, const struct user *user, const char *ns,
                  const struct rbac_rule *rules, size_t rules_len, struct arena *a,
                  const char **missing)
{
    struct search s = {.a = a,
                       .user = user,
                       .ns = ns,
                       .rules = rules,
                       .rules_len = rules_len,
                       .held = rbac_held_new()};
    map_init(&s.noted);
    authz_user_rules(z, user, ns, hold, compare, &s);
    if (!s.all)
        *missing = gaps_text(&s);
    for (size_t i = 0; i < s.gaps.len; i++)
        vec_free(&s.gaps.items[i].verbs);
    vec_free(&s.gaps);
    map_free(&s.noted);
    rbac_held_free(s.held);
    return s.all;
}
