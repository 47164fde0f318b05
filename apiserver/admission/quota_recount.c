/*
 * Counting what a quota limits, from what is stored: see quota.h.
 */
#include "api/codec.h"
#include "api/meta.h"
#include "apiserver/admission/quota.h"
#include "apiserver/admission/quota_usage.h"
#include "apiserver/custom/registry.h"
#include "base/clock.h"
#include "base/log.h"

#define RECOUNT_ALL_S 300 /* every quota */
#define RECOUNT_NEW_S 30  /* a new one at each round: writes may have passed before it was known */

/* ---- one quota ---- */

struct count {
    const Core__V1__ResourceQuota *quota;
    const struct usage *hard; /* what it limits */
    const struct resource *r;
    struct usage *total;
    struct arena scratch; /* of one object */
    bool by_key;          /* the object's being there is all that counts */
};

static int count_object(void *ctx, const struct kv_pair *pair)
{
    struct count *c = ctx;
    struct usage one = {.a = &c->scratch};
    void *object = NULL;
    struct error err;
    if (!c->by_key) {
        if (stored_decode(&c->scratch, pair->value, pair->mod_rev, NULL, &object, &err) < 0)
            return err.code;
        if (!quota_takes(c->quota->spec, c->r, object)) {
            arena_reset(&c->scratch);
            return 0;
        }
    }
    usage_of_object(&one, c->r, object);
    for (size_t i = 0; i < one.len; i++)
        if (usage_has(c->hard, one.items[i].name))
            usage_add(c->total, one.items[i].name, one.items[i].amount);
    arena_reset(&c->scratch);
    return 0;
}

static bool needs_content(const struct resource *r, const Core__V1__ResourceQuotaSpec *spec)
{
    return spec->n_scopes || spec->scope_selector || r->stored_as == Core__V1__Pod__SCHEMA ||
           r->stored_as == Core__V1__Service__SCHEMA ||
           r->stored_as == Core__V1__PersistentVolumeClaim__SCHEMA;
}

static int count_resource(struct kv *kv, struct count *c, const char *prefix, struct error *err)
{
    struct arena a;
    struct kv_range_result out;
    arena_init(&a);
    arena_init(&c->scratch);
    struct kv_range_request rq = {.key = str_from(prefix),
                                  .end = kv_prefix_end(&a, str_from(prefix)),
                                  .no_count = true,
                                  .keys_only = c->by_key};
    int rc = kv_scan(kv, &rq, count_object, c, &a, &out, err);
    arena_free(&c->scratch);
    arena_free(&a);
    return rc < 0 ? rc : 0;
}

static bool is_counted(const struct resource *r, const Core__V1__ResourceQuotaSpec *spec)
{
    for (size_t i = 0; i < spec->n_hard; i++)
        if (usage_concerns(r, spec->hard[i]->key))
            return true;
    return false;
}

/* What objects of one resource use. */
static int add_usage(struct kv *kv, struct arena *a, const Core__V1__ResourceQuota *quota,
                     const struct usage *hard, const struct resource *r, struct usage *total,
                     struct error *err)
{
    struct count c = {.quota = quota,
                      .hard = hard,
                      .r = r,
                      .total = total,
                      .by_key = r->custom || !needs_content(r, quota->spec)};
    if (!r->namespaced || !*r->storage_prefix || !is_counted(r, quota->spec))
        return 0;
    return count_resource(
        kv, &c, arena_printf(a, "%s/%s/", r->storage_prefix, quota->metadata->namespace_), err);
}

static int add_custom_usage(struct apiserver *s, struct arena *a,
                            const Core__V1__ResourceQuota *quota, const struct usage *hard,
                            struct usage *total, struct error *err)
{
    const struct custom_set *set = custom_set_get(s->custom);
    int rc = 0;
    for (size_t i = 0; i < set->types_len && rc == 0; i++) {
        const struct resource *r = &set->types[i]->stored->resource;
        if (quota_takes(quota->spec, r, NULL)) /* scopes are of pods and claims */
            rc = add_usage(s->kv, a, quota, hard, r, total, err);
    }
    custom_set_put(s->custom, set);
    return rc;
}

static Meta__V1__QuantityEntry *entry(struct arena *a, const char *name, const char *amount)
{
    Meta__V1__QuantityEntry *e = api_new(a, Meta__V1__QuantityEntry);
    e->key = (char *)name;
    e->value->string = (char *)amount;
    return e;
}

int quota_count(struct apiserver *s, struct arena *a, const Core__V1__ResourceQuota *quota,
                Core__V1__ResourceQuotaStatus *out, struct error *err)
{
    const Core__V1__ResourceQuotaSpec *spec = quota->spec;
    struct usage total = {.a = a}, hard = usage_of_entries(a, spec->hard, spec->n_hard);
    int rc = 0;
    for (size_t i = 0; i < resources_len && rc == 0; i++)
        if (resources[i].stored_as == resources[i].message)
            rc = add_usage(s->kv, a, quota, &hard, &resources[i], &total, err);
    if (rc == 0)
        rc = add_custom_usage(s, a, quota, &hard, &total, err);
    if (rc < 0)
        return rc;
    out->n_hard = out->n_used = spec->n_hard;
    out->hard = arena_array(a, Meta__V1__QuantityEntry *, spec->n_hard);
    out->used = arena_array(a, Meta__V1__QuantityEntry *, spec->n_hard);
    for (size_t i = 0; i < spec->n_hard; i++) {
        const char *name = spec->hard[i]->key;
        struct quantity used = usage_get(&total, name);
        if (quantity_is_zero(used))
            used = (struct quantity){.format = QUANTITY_DECIMAL_SI};
        out->hard[i] = entry(a, name, spec->hard[i]->value->string);
        out->used[i] = entry(a, name, quantity_text(a, used));
    }
    return 0;
}

/* ---- all of them ---- */

struct keys {
    struct arena *a;
    struct str *items;
    size_t len, cap;
};

static int add_key(void *ctx, const struct kv_pair *pair)
{
    struct keys *k = ctx;
    if (k->len == k->cap) {
        size_t cap = k->cap ? k->cap * 2 : 64;
        k->items = arena_grow(k->a, k->items, k->cap * sizeof *k->items, cap * sizeof *k->items);
        k->cap = cap;
    }
    k->items[k->len++] = str_make(arena_dup(k->a, pair->key.p, pair->key.n), pair->key.n);
    return 0;
}

/* The quota was read before its objects: when it is still the same at the end, no write that it
 * counted came in between, and the count holds. */
static bool correct(struct apiserver *s, struct arena *a, const struct kv_pair *pair,
                    const Core__V1__ResourceQuota *old)
{
    Core__V1__ResourceQuota *q = object_clone(a, old);
    struct error err;
    q->status = api_new(a, Core__V1__ResourceQuotaStatus);
    if (quota_count(s, a, q, q->status, &err) < 0) {
        log_warn("quota", "not counted → again later name=%s/%s error=\"%s\"",
                 q->metadata->namespace_, q->metadata->name, err.message);
        return false;
    }
    if (object_equal(q->status, old->status))
        return false;
    struct buf b;
    buf_init(&b);
    stored_encode(q, &b);
    struct kv_compare same = {
        .target = KV_COMPARE_MOD, .result = KV_EQUAL, .key = pair->key, .number = pair->mod_rev};
    struct kv_op put = {.type = KV_OP_PUT, .put = {.key = pair->key, .value = buf_str(&b)}};
    struct kv_txn_request txn = {.compares = &same, .compares_len = 1, .then = &put, .then_len = 1};
    struct kv_txn_result *r = kv_txn_wait(s->kv, &txn);
    bool done = r->code == 0 && r->succeeded;
    kv_txn_result_free(r);
    buf_free(&b);
    if (done)
        log_info("quota", "usage was not what is stored → corrected name=%s/%s",
                 q->metadata->namespace_, q->metadata->name);
    return done;
}

static bool is_new(const Core__V1__ResourceQuota *q)
{
    int64_t made_s = time_ns(q->metadata->creation_timestamp) / (int64_t)NS_PER_S;
    return clock_wall_s() - made_s < RECOUNT_NEW_S || q->status->n_hard != q->spec->n_hard;
}

unsigned quota_recount(struct apiserver *s)
{
    struct arena a;
    struct kv_range_result out;
    struct error err;
    unsigned corrected = 0;
    struct kv_status st;
    kv_status(s->kv, &st);
    if (st.leader_id != st.member_id)
        return 0;
    int64_t now_s = (int64_t)(clock_mono_ns() / NS_PER_S);
    bool all = now_s >= s->quota_recount_next_s;
    if (all)
        s->quota_recount_next_s = now_s + RECOUNT_ALL_S;
    arena_init(&a);
    struct keys keys = {.a = &a};
    struct str prefix = STR("/registry/resourcequotas/");
    struct kv_range_request rq = {
        .key = prefix, .end = kv_prefix_end(&a, prefix), .no_count = true, .keys_only = true};
    int rc = kv_scan(s->kv, &rq, add_key, &keys, &a, &out, &err);
    for (size_t i = 0; rc == 0 && i < keys.len; i++) {
        struct arena one;
        void *object;
        arena_init(&one);
        struct kv_range_request get = {.key = keys.items[i]};
        if (kv_range(s->kv, &get, &one, &out, &err) == 0 && out.pairs_len == 1 &&
            stored_decode(&one, out.pairs[0].value, out.pairs[0].mod_rev, NULL, &object, &err) ==
                0 &&
            (all || is_new(object)))
            corrected += correct(s, &one, &out.pairs[0], object);
        arena_free(&one);
    }
    arena_free(&a);
    return corrected;
}
