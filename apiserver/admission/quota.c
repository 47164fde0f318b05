/*
 * ResourceQuota in the write path: see quota.h.
 */
#include "apiserver/admission/quota.h"
#include "apiserver/admission/admission.h"
#include "apiserver/admission/quota_usage.h"
#include "base/arena_str.h"
#include "base/arena_text.h"
#include "base/map.h"
#include "base/mem.h"

#define CHARGED_BYTES_MAX (1u << 20) /* quotas in one transaction: of 1.5 MiB, the object's too */

/* ---- turns ---- */

struct turn {
    struct list waiting; /* struct write.quota_link */
};

struct quota_turns {
    struct map by_namespace; /* struct turn: somebody holds it */
};

struct quota_turns *quota_turns_new(void)
{
    struct quota_turns *t = mem_zalloc(sizeof *t);
    map_init(&t->by_namespace);
    return t;
}

void quota_turns_free(struct quota_turns *t)
{
    if (!t)
        return;
    struct map_iter it = {0};
    while (map_next(&t->by_namespace, &it))
        mem_free(it.value);
    map_free(&t->by_namespace);
    mem_free(t);
}

/* False: queued. */
static bool take_turn(struct write *w)
{
    struct map *turns = &w->rq->worker->quota_turns->by_namespace;
    struct turn *t = map_get(turns, str_from(w->ns));
    if (t) {
        list_push_back(&t->waiting, &w->quota_link);
        return false;
    }
    t = mem_zalloc(sizeof *t);
    list_init(&t->waiting);
    map_put(turns, str_from(w->ns), t);
    w->quota_turn = true;
    return true;
}

void quota_done(struct write *w)
{
    if (!w->quota_turn)
        return;
    struct map *turns = &w->rq->worker->quota_turns->by_namespace;
    struct turn *t = map_get(turns, str_from(w->ns));
    w->quota_turn = false;
    if (list_empty(&t->waiting)) {
        mem_free(map_remove(turns, str_from(w->ns)));
        return;
    }
    struct write *next = list_first(&t->waiting, struct write, quota_link);
    list_remove(&next->quota_link);
    next->quota_turn = true;
    write_again(next);
}

/* ---- what a write costs ---- */

struct charge {
    struct write *w;
    struct arena *a;            /* for the attempt */
    struct usage before, after; /* of the object, scopes apart */
    bool enforced;              /* growing past the limit is refused, not only counted */
};

static void charge_init(struct charge *c, struct arena *a, struct write *w)
{
    const struct subresource *sub = w->rq->sub;
    *c = (struct charge){.w = w, .a = a, .before.a = a, .after.a = a};
    if (w->old)
        usage_of_object(&c->before, w->r, w->old);
    if (!w->remove)
        usage_of_object(&c->after, w->r, w->obj);
    c->enforced = !w->remove && (!sub || strcmp(sub->name, "resize") == 0);
}

/* What the write adds to (or takes from) each name that the quota limits. */
static struct usage delta_of(const struct charge *c, const Core__V1__ResourceQuotaSpec *spec)
{
    const struct write *w = c->w;
    struct usage delta = {.a = c->a};
    bool was = w->old && quota_takes(spec, w->r, w->old);
    bool is = !w->remove && quota_takes(spec, w->r, w->obj);
    for (size_t i = 0; i < spec->n_hard; i++) {
        const char *name = spec->hard[i]->key;
        if (!usage_concerns(w->r, name))
            continue;
        struct quantity from = was ? usage_get(&c->before, name) : (struct quantity){0};
        struct quantity to = is ? usage_get(&c->after, name) : (struct quantity){0};
        if (quantity_cmp(from, to) != 0)
            usage_add(&delta, name, quantity_sub(to, from));
    }
    return delta;
}

static bool asks_for_names(const struct charge *c, const Core__V1__ResourceQuotaSpec *spec)
{
    const struct write *w = c->w;
    return c->enforced && !w->old && w->r->stored_as == Core__V1__Pod__SCHEMA &&
           quota_takes(spec, w->r, w->obj) && quota_missing(c->a, spec, w->obj);
}

/* ---- one quota ---- */

static struct status *refuse(const struct charge *c, const char *why)
{
    struct status_about about = {c->w->r->group, c->w->r->plural, c->w->r->kind, c->w->name};
    return status_forbidden(c->w->rq->a, &about, "%s", why);
}

/* Does the growth fit? NULL, or the 403. */
static struct status *check_fit(const struct charge *c, const Core__V1__ResourceQuota *q,
                                const struct usage *delta)
{
    struct usage asked = {.a = c->a}, used = {.a = c->a}, limited = {.a = c->a};
    struct usage unknown = {.a = c->a};
    if (delta->len == 0)
        return NULL;
    const struct usage hard = usage_of_entries(c->a, q->spec->hard, q->spec->n_hard);
    const struct usage now = usage_of_entries(c->a, q->status->used, q->status->n_used);
    for (size_t i = 0; i < delta->len; i++) {
        const struct usage_item *d = &delta->items[i];
        struct quantity have = usage_get(&now, d->name), most = usage_get(&hard, d->name);
        if (quantity_cmp(d->amount, (struct quantity){0}) <= 0)
            continue;
        if (!usage_has(&now, d->name)) {
            usage_add(&unknown, d->name, d->amount);
            continue;
        }
        if (quantity_cmp(quantity_add(have, d->amount), most) <= 0)
            continue;
        usage_add(&asked, d->name, d->amount);
        usage_add(&used, d->name, have);
        usage_add(&limited, d->name, most);
    }
    if (unknown.len) {
        struct arena_text names = {.a = c->a};
        usage_text(&unknown); /* sorts */
        for (size_t i = 0; i < unknown.len; i++)
            arena_text_addf(&names, "%s%s", i ? "," : "", unknown.items[i].name);
        return refuse(c, arena_printf(c->a, "status unknown for quota: %s, resources: %s",
                                      q->metadata->name, arena_text_of(&names)));
    }
    if (!asked.len)
        return NULL;
    return refuse(c, arena_printf(c->a, "exceeded quota: %s, requested: %s, used: %s, limited: %s",
                                  q->metadata->name, usage_text(&asked), usage_text(&used),
                                  usage_text(&limited)));
}

/* What is used afterwards: in the place of what was, or new. */
static void count_in(struct arena *a, Core__V1__ResourceQuotaStatus *st, const struct usage *delta)
{
    struct map index;
    size_t fresh_len = 0;
    Meta__V1__QuantityEntry **fresh = arena_array(a, Meta__V1__QuantityEntry *, delta->len);
    map_init(&index);
    for (size_t i = 0; i < st->n_used; i++)
        map_put(&index, str_from(st->used[i]->key), st->used[i]);
    for (size_t i = 0; i < delta->len; i++) {
        const struct usage_item *d = &delta->items[i];
        Meta__V1__QuantityEntry *e = map_get(&index, str_from(d->name));
        struct quantity now = quantity_add(quantity_of(e ? e->value->string : NULL), d->amount);
        if (quantity_cmp(now, (struct quantity){0}) < 0)
            now = (struct quantity){.format = now.format};
        if (!e) {
            e = fresh[fresh_len++] = api_new(a, Meta__V1__QuantityEntry);
            e->key = (char *)d->name;
        }
        e->value->string = (char *)quantity_text(a, now);
    }
    map_free(&index);
    quantity_map_fill(a, &st->used, &st->n_used, fresh, fresh_len);
}

/* Is there room in the transaction for a quota of so many bytes? */
static bool has_room(const struct write *w, size_t bytes)
{
    return w->ops_len < WRITE_EXTRAS_MAX && w->compares_len < WRITE_EXTRAS_MAX &&
           w->charged.used + bytes <= CHARGED_BYTES_MAX;
}

/*
 * The quota with its new usage joins the transaction. Where there are more than one transaction holds, what would be
 * refused past a limit is refused; the rest goes on, since whoever releases must be able to, and quota_recount finds it.
 */
static struct status *join(const struct charge *c, struct str key, int64_t mod_rev,
                           const Core__V1__ResourceQuota *old, const struct usage *delta)
{
    struct write *w = c->w;
    Core__V1__ResourceQuota *q = object_clone(c->a, old);
    struct status *s = NULL;
    count_in(c->a, q->status, delta);
    struct buf b;
    buf_init(&b);
    stored_encode(q, &b);
    if (has_room(w, key.n + b.len))
        write_extra_replace(w, arena_copy(&w->charged, key), mod_rev,
                            arena_copy(&w->charged, buf_str(&b)));
    else if (c->enforced)
        s = refuse(c, arena_printf(c->a, "namespace %s has too many resource quotas for one write",
                                   w->ns));
    buf_free(&b);
    return s;
}

static struct status *charge_read(const struct charge *c, const struct kv_pair *pair,
                                  const char *name)
{
    struct write *w = c->w;
    struct error err;
    void *object;
    if (stored_decode(c->a, pair->value, pair->mod_rev, NULL, &object, &err) < 0)
        return status_from_error(w->rq->a, &err);
    const Core__V1__ResourceQuota *q = object;
    if (asks_for_names(c, q->spec))
        return refuse(c, arena_printf(c->a, "failed quota: %s: %s", name,
                                      quota_missing(c->a, q->spec, w->obj)));
    struct usage delta = delta_of(c, q->spec);
    struct status *s = c->enforced ? check_fit(c, q, &delta) : NULL;
    if (s || !delta.len)
        return s;
    return join(c, pair->key, pair->mod_rev, q, &delta);
}

/* As it is stored now. There may be many, and many attempts: what one of them takes is given back at once. */
static struct status *charge_one(const struct charge *all, const char *name)
{
    struct write *w = all->w;
    struct status *s = NULL;
    struct arena a;
    struct kv_range_result result;
    struct error err;
    arena_init(&a);
    struct charge c = *all;
    c.a = &a;
    struct kv_range_request get = {
        .key = str_from(arena_printf(&a, "/registry/resourcequotas/%s/%s", w->ns, name))};
    if (kv_range(w->rq->server->kv, &get, &a, &result, &err) < 0)
        s = status_from_error(w->rq->a, &err);
    else if (result.pairs_len > 0)
        s = charge_read(&c, &result.pairs[0], name);
    arena_free(&a);
    return s;
}

/* ---- all of a namespace ---- */

static int by_name(const void *x, const void *y)
{
    return strcmp(object_meta(*(void *const *)x)->name, object_meta(*(void *const *)y)->name);
}

/* Those among the n quotas that the write touches, first and by name; how many. */
static size_t choose_touched(const struct charge *c, void **quotas, size_t n)
{
    const struct write *w = c->w;
    size_t touched = 0;
    for (size_t i = 0; i < n; i++) {
        const Core__V1__ResourceQuota *q = quotas[i];
        bool is_itself = w->r->stored_as == Core__V1__ResourceQuota__SCHEMA &&
                         strcmp(q->metadata->name, w->name) == 0;
        if (!is_itself && (delta_of(c, q->spec).len || asks_for_names(c, q->spec)))
            quotas[touched++] = quotas[i];
    }
    qsort(quotas, touched, sizeof *quotas, by_name);
    return touched;
}

static enum quota_answer charge_all(struct write *w, struct arena *a, void **quotas, size_t n,
                                    struct status **s)
{
    struct charge c;
    charge_init(&c, a, w);
    n = choose_touched(&c, quotas, n);
    if (n == 0)
        return QUOTA_FINE;
    if (!w->dry_run && !w->quota_turn && !take_turn(w))
        return QUOTA_WAIT;
    for (size_t i = 0; i < n && !*s; i++)
        *s = charge_one(&c, object_meta(quotas[i])->name);
    return *s ? QUOTA_REFUSED : QUOTA_FINE;
}

enum quota_answer quota_charge(struct write *w, struct status **s)
{
    struct admission ad;
    void **quotas;
    size_t n;
    struct error err;
    *s = NULL;
    if (!w->r->namespaced || !admission_is_on(w->rq->server->config.admission_off, "ResourceQuota"))
        return QUOTA_FINE;
    admission_of_write(&ad, w, ADMIT_UPDATE, w->obj, w->old, NULL);
    if (admission_list(&ad, CACHED_RESOURCE_QUOTAS, w->ns, &quotas, &n, &err) < 0) {
        *s = status_from_error(w->rq->a, &err);
        return QUOTA_REFUSED;
    }
    if (n == 0)
        return QUOTA_FINE;
    struct arena a;
    arena_init(&a);
    enum quota_answer answer = charge_all(w, &a, quotas, n, s);
    arena_free(&a);
    return answer;
}

/* ---- the quota itself ---- */

/* A new quota, or one whose limits change, says at once what is used. */
static struct status *fill_status(struct admission *ad)
{
    if (ad->op == ADMIT_DELETE || !admission_is(ad, Core__V1__ResourceQuota__SCHEMA, ""))
        return NULL;
    Core__V1__ResourceQuota *q = ad->object;
    const Core__V1__ResourceQuota *old = ad->old;
    struct error err;
    if (old && object_equal(q->spec, old->spec))
        return NULL;
    q->status = api_new(ad->a, Core__V1__ResourceQuotaStatus);
    const char *ns = q->metadata->namespace_;
    q->metadata->namespace_ = (char *)ad->ns;
    int rc = quota_count(ad->rq->server, ad->a, q, q->status, &err);
    q->metadata->namespace_ = (char *)ns;
    return rc < 0 ? status_from_error(ad->a, &err) : NULL;
}

const struct admission_plugin admission_quota = {.name = "ResourceQuota", .mutate = fill_status};
