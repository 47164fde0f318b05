/*
 * The plugins in kube-apiserver's order, and the calling of them: see admission.h.
 */
#include "apiserver/admission/admission.h"
#include "api/meta.h"

const struct admission_plugin *const admission_plugins[] = {
    &admission_namespace_lifecycle,
    &admission_limit_ranger,
    &admission_service_account,
    &admission_node_restriction,
    &admission_taint_nodes,
    &admission_pod_security,
    &admission_priority,
    &admission_tolerations,
    &admission_storage_class,
    &admission_storage_in_use,
    &admission_owner_references,
    &admission_claim_resize,
    &admission_runtime_class,
    &admission_certificate_approval,
    &admission_certificate_signing,
    &admission_certificate_subject,
    &admission_ingress_class,
    &admission_pod_topology,
    &admission_quota,
};
const size_t admission_plugins_len = ARRAY_LEN(admission_plugins);

_Static_assert(ARRAY_LEN(admission_plugins) <= ADMISSION_PLUGINS_MAX, "a bit each");

/* ---- the chain ---- */

void admission_of_write(struct admission *ad, struct write *w, enum admission_operation op,
                        void *object, const void *old, const struct subresource *sub)
{
    *ad = (struct admission){.rq = w->rq,
                             .user = w->rq->user,
                             .w = w,
                             .op = op,
                             .r = w->r,
                             .sub = sub ? sub->name : "",
                             .ns = w->ns,
                             .name = w->name,
                             .object = object,
                             .old = old,
                             .dry_run = w->dry_run,
                             .confirmed = w->confirmed,
                             .a = w->rq->a};
}

struct status *admission_mutate(struct admission *ad)
{
    uint64_t off = ad->rq->server->config.admission_off;
    struct status *s = NULL;
    for (size_t i = 0; i < admission_plugins_len && !s; i++)
        if (admission_plugins[i]->mutate && !(off >> i & 1))
            s = admission_plugins[i]->mutate(ad);
    return s;
}

struct status *admission_validate(struct admission *ad)
{
    uint64_t off = ad->rq->server->config.admission_off;
    struct status *s = NULL;
    for (size_t i = 0; i < admission_plugins_len && !s; i++)
        if (admission_plugins[i]->validate && !(off >> i & 1))
            s = admission_plugins[i]->validate(ad);
    return s;
}

/* ---- which plugins ---- */

uint64_t admission_default_off(void)
{
    uint64_t off = 0;
    for (size_t i = 0; i < admission_plugins_len; i++)
        if (admission_plugins[i]->off)
            off |= 1ull << i;
    return off;
}

static int plugin_index(const char *name)
{
    for (size_t i = 0; i < admission_plugins_len; i++)
        if (strcmp(admission_plugins[i]->name, name) == 0)
            return (int)i;
    return -1;
}

bool admission_switch(uint64_t *off, const char *name, bool on)
{
    int i = plugin_index(name);
    if (i < 0)
        return false;
    if (on)
        *off &= ~(1ull << i);
    else
        *off |= 1ull << i;
    return true;
}

bool admission_is_on(uint64_t off, const char *name)
{
    int i = plugin_index(name);
    return i >= 0 && !(off >> i & 1);
}

const char *admission_names(struct arena *a)
{
    const char *text = "";
    for (size_t i = 0; i < admission_plugins_len; i++)
        text = arena_printf(a, "%s%s%s", text, i ? ", " : "", admission_plugins[i]->name);
    return text;
}

/* ---- for plugins ---- */

struct status *admission_forbidden(const struct admission *ad, const char *format, ...)
{
    struct status_about about = {ad->r->group, ad->r->plural, ad->r->kind, ad->name};
    va_list args;
    va_start(args, format);
    const char *why = arena_vprintf(ad->a, format, args);
    va_end(args);
    return status_forbidden(ad->a, &about, "%s", why);
}

int admission_load(struct admission *ad, enum cached_kind kind, const char *ns, const char *name,
                   void **out, int64_t *mod_rev, struct error *err)
{
    const struct object_cache *c = ad->rq->worker->cache;
    if (!ad->confirmed && object_cache_ready(c, kind)) {
        const struct cached_object *o = object_cache_get(c, kind, ns, name);
        if (!o)
            return 0;
        *out = o->object;
        if (mod_rev)
            *mod_rev = o->mod_rev;
        return 1;
    }
    const struct resource *r = resource_of_message(cached_kind_message(kind));
    struct kv_pair pair;
    int rc = rest_read(ad->rq, rest_key(ad->a, r, ns, name), &pair, err);
    if (rc <= 0)
        return rc;
    rc = stored_decode(ad->a, pair.value, pair.mod_rev, NULL, out, err);
    if (mod_rev)
        *mod_rev = pair.mod_rev;
    return rc < 0 ? rc : 1;
}

struct listing {
    struct arena *a;
    void **items;
    size_t len, cap;
};

static void listing_add(struct listing *l, void *object)
{
    if (l->len == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        l->items = arena_grow(l->a, l->items, l->cap * sizeof *l->items, cap * sizeof *l->items);
        l->cap = cap;
    }
    l->items[l->len++] = object;
}

static int list_stored(void *ctx, const struct kv_pair *pair)
{
    struct listing *l = ctx;
    void *object;
    struct error err;
    struct str value = str_make(arena_dup(l->a, pair->value.p, pair->value.n), pair->value.n);
    if (stored_decode(l->a, value, pair->mod_rev, NULL, &object, &err) < 0)
        return err.code;
    listing_add(l, object);
    return 0;
}

int admission_list(struct admission *ad, enum cached_kind kind, const char *ns, void ***out,
                   size_t *len, struct error *err)
{
    const struct object_cache *c = ad->rq->worker->cache;
    struct listing l = {.a = ad->a};
    int rc = 0;
    if (!ad->confirmed && object_cache_ready(c, kind)) {
        for (const struct cached_object *o = object_cache_first(c, kind, ns); o; o = o->next)
            listing_add(&l, o->object);
    } else {
        struct str prefix = rest_prefix(ad->a, resource_of_message(cached_kind_message(kind)), ns);
        struct kv_range_request rq = {
            .key = prefix, .end = kv_prefix_end(ad->a, prefix), .no_count = true};
        struct kv_range_result result;
        rc = kv_scan(ad->rq->server->kv, &rq, list_stored, &l, ad->a, &result, err);
    }
    *out = l.items;
    *len = l.len;
    return rc < 0 ? rc : 0;
}

int admission_default_class(struct admission *ad, enum cached_kind kind, const char *annotation,
                            const char **name, struct error *err)
{
    void **items;
    size_t n;
    const Meta__V1__ObjectMeta *best = NULL;
    if (admission_list(ad, kind, "", &items, &n, err) < 0)
        return err->code;
    for (size_t i = 0; i < n; i++) {
        const Meta__V1__ObjectMeta *m = object_meta(items[i]);
        if (!cstr_eq(annotations_get(m, annotation), "true"))
            continue;
        int64_t at = time_ns(m->creation_timestamp);
        int64_t than = best ? time_ns(best->creation_timestamp) : 0;
        if (!best || at > than || (at == than && strcmp(m->name, best->name) < 0))
            best = m;
    }
    *name = best ? arena_strdup(ad->a, best->name) : NULL;
    return 0;
}
