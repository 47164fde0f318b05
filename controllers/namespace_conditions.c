/*
 * What is left in a namespace that is being deleted (controllers/namespace.h).
 */
#include "controllers/namespace.h"

#include "api/meta.h"
#include "base/buf.h"
#include "base/mem.h"

static void count_one(struct arena *a, struct namespace_left **items, size_t *len, const char *what)
{
    for (size_t i = 0; i < *len; i++) {
        if (strcmp((*items)[i].what, what) == 0) {
            (*items)[i].count++;
            return;
        }
    }
    *items = arena_grow(a, *items, *len * sizeof **items, (*len + 1) * sizeof **items);
    (*items)[(*len)++] = (struct namespace_left){what, 1};
}

void namespace_content_add(struct namespace_content *c, struct arena *a, const struct resource *r,
                           const Meta__V1__ObjectMeta *meta)
{
    c->len++;
    count_one(a, &c->kinds, &c->kinds_len, arena_printf(a, "%s.%s", r->plural, r->group));
    for (size_t i = 0; i < meta->n_finalizers; i++)
        count_one(a, &c->finalizers, &c->finalizers_len, arena_strdup(a, meta->finalizers[i]));
}

static const char *list_text(struct arena *a, const char *intro, const struct namespace_left *items,
                             size_t len, const char *unit)
{
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, intro);
    for (size_t i = 0; i < len; i++)
        buf_printf(&b, "%s%s %s %u %s", i ? ", " : "", items[i].what, "has", items[i].count, unit);
    char *text = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return text;
}

static void set(struct arena *a, Core__V1__NamespaceStatus *s, const char *type, bool on,
                const char *reason, const char *message, int64_t now_s)
{
    Core__V1__NamespaceCondition *c = NULL;
    for (size_t i = 0; i < s->n_conditions; i++)
        if (cstr_eq(s->conditions[i]->type, type))
            c = s->conditions[i];
    if (!c) {
        c = api_new(a, Core__V1__NamespaceCondition);
        c->type = (char *)type;
        api_append(a, s, conditions, c);
    }
    const char *status = on ? "True" : "False";
    if (!cstr_eq(c->status, status))
        c->last_transition_time = time_from_s(a, now_s);
    c->status = (char *)status;
    c->reason = (char *)reason;
    c->message = (char *)message;
}

void namespace_conditions(struct arena *a, Core__V1__NamespaceStatus *s,
                          const struct namespace_content *c, int64_t now_s)
{
    bool d = c->discovery_error != NULL, e = c->deletion_error != NULL;
    set(a, s, "NamespaceDeletionDiscoveryFailure", d, d ? "DiscoveryFailed" : "ResourcesDiscovered",
        d ? c->discovery_error : "All resources successfully discovered", now_s);
    set(a, s, "NamespaceDeletionGroupVersionParsingFailure", false, "ParsedGroupVersions",
        "All legacy kube types successfully parsed", now_s);
    set(a, s, "NamespaceDeletionContentFailure", e, e ? "ContentDeletionFailed" : "ContentDeleted",
        e        ? c->deletion_error
        : c->len ? "All content successfully deleted, may be waiting on finalization"
                 : "All content successfully deleted",
        now_s);
    set(a, s, "NamespaceContentRemaining", c->kinds_len > 0,
        c->kinds_len ? "SomeResourcesRemain" : "ContentRemoved",
        c->kinds_len ? list_text(a, "Some resources are remaining: ", c->kinds, c->kinds_len,
                                 "resource instances")
                     : "All content successfully removed",
        now_s);
    set(a, s, "NamespaceFinalizersRemaining", c->finalizers_len > 0,
        c->finalizers_len ? "SomeFinalizersRemain" : "ContentHasNoFinalizers",
        c->finalizers_len ? list_text(a, "Some content in the namespace has finalizers remaining: ",
                                      c->finalizers, c->finalizers_len, "resource instances")
                          : "All content-preserving finalizers finished",
        now_s);
}
