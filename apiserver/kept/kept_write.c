/*
 * Writing kept objects: see kept_write.h.
 */
#include "apiserver/kept/kept_write.h"
#include "api/defaults/defaults.h"
#include "api/fields/managed_fields.h"
#include "api/meta.h"
#include "apiserver/rest/rest.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include <pthread.h>

#define PUT_MAX 4

/* ---- encoding ---- */

void kept_stamp(struct arena *a, void *object)
{
    Meta__V1__ObjectMeta *meta = object_meta(object);
    char uid[37];
    random_uuid(uid);
    meta->uid = arena_strdup(a, uid);
    meta->creation_timestamp = time_now(a);
    struct field_manager self = {"kube-apiserver", "", clock_wall_s()};
    if (schema_of(object)->id != Core__V1__Namespace__SCHEMA) {
        managed_fields_record(a, &self, NULL, object);
        return;
    }
    /* Its finalizers are nobody's, as those of any other. */
    Core__V1__Namespace *ns = object;
    Core__V1__NamespaceSpec *spec = ns->spec;
    ns->spec = api_new(a, Core__V1__NamespaceSpec);
    managed_fields_record(a, &self, NULL, object);
    ns->spec = spec;
}

struct str kept_encode(struct arena *a, const void *object)
{
    struct buf b;
    buf_init(&b);
    stored_encode(object, &b);
    struct str s = str_make(arena_dup(a, b.data, b.len), b.len);
    buf_free(&b);
    return s;
}

struct str kept_key(struct arena *a, const void *object)
{
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    return rest_key(a, resource_of_message(schema_of(object)->id), meta->namespace_, meta->name);
}

/* ---- reading ---- */

bool kept_exists(struct apiserver *s, struct arena *a, struct str key)
{
    struct kv_range_request rq = {.key = key, .keys_only = true};
    struct kv_range_result out;
    struct error err;
    return kv_range(s->kv, &rq, a, &out, &err) == 0 && out.pairs_len > 0;
}

int kept_load(struct apiserver *s, struct arena *a, struct str key, void **object, int64_t *mod_rev,
              struct error *err)
{
    struct kv_range_request rq = {.key = key};
    struct kv_range_result out;
    int rc = kv_range(s->kv, &rq, a, &out, err);
    if (rc < 0 || !out.pairs_len)
        return rc;
    *mod_rev = out.pairs[0].mod_rev;
    rc = stored_decode(a, out.pairs[0].value, *mod_rev, NULL, object, err);
    return rc < 0 ? rc : 1;
}

int kept_each(struct apiserver *s, struct arena *a, int message,
              int (*fn)(struct apiserver *s, struct arena *a, const struct kv_pair *pair,
                        void *object, void *ctx, struct error *err),
              void *ctx, struct error *err)
{
    struct str prefix =
        str_from(arena_printf(a, "%s/", resource_of_message(message)->storage_prefix));
    struct kv_range_request rq = {.key = prefix, .end = kv_prefix_end(a, prefix)};
    struct kv_range_result out;
    int rc = kv_range(s->kv, &rq, a, &out, err);
    for (size_t i = 0; rc == 0 && i < out.pairs_len; i++) {
        void *object;
        const struct kv_pair *p = &out.pairs[i];
        rc = stored_decode(a, p->value, p->mod_rev, NULL, &object, err);
        if (rc == 0)
            rc = fn(s, a, p, object, ctx, err);
    }
    return rc;
}

/* ---- one transaction ---- */

static struct kv_compare unchanged(struct str key, int64_t mod_rev)
{
    return (struct kv_compare){
        .target = KV_COMPARE_MOD, .result = KV_EQUAL, .key = key, .number = mod_rev};
}

/* Writes under way. */
struct kept_gather {
    pthread_mutex_t lock;
    pthread_cond_t all_done;
    unsigned under_way;
    struct error first;
};

static void gathered(void *ctx, struct kv_txn_result *r)
{
    struct kept_gather *g = ctx;
    pthread_mutex_lock(&g->lock);
    if (r->code < 0 && !g->first.code)
        error_set(&g->first, r->code, "%s", r->message);
    if (--g->under_way == 0)
        pthread_cond_signal(&g->all_done);
    pthread_mutex_unlock(&g->lock);
    kv_txn_result_free(r);
}

void kept_gather_begin(struct apiserver *s)
{
    struct kept_gather *g = s->kept_gather = mem_zalloc(sizeof *g);
    pthread_mutex_init(&g->lock, NULL);
    pthread_cond_init(&g->all_done, NULL);
}

int kept_gather_end(struct apiserver *s, struct error *err)
{
    struct kept_gather *g = s->kept_gather;
    s->kept_gather = NULL;
    pthread_mutex_lock(&g->lock);
    while (g->under_way)
        pthread_cond_wait(&g->all_done, &g->lock);
    pthread_mutex_unlock(&g->lock);
    int rc = g->first.code;
    if (rc < 0)
        *err = g->first;
    pthread_cond_destroy(&g->all_done);
    pthread_mutex_destroy(&g->lock);
    mem_free(g);
    return rc;
}

static void begin_write(struct apiserver *s, const struct kv_txn_request *txn)
{
    struct kept_gather *g = s->kept_gather;
    pthread_mutex_lock(&g->lock);
    g->under_way++;
    pthread_mutex_unlock(&g->lock);
    kv_txn(s->kv, txn, NULL, gathered, g);
}

/* 0; `lost` when a compare did not hold; else the error. */
static int run(struct apiserver *s, const struct kv_compare *compares, size_t compares_len,
               const struct kv_op *ops, size_t ops_len, int lost, struct error *err)
{
    struct kv_txn_request txn = {
        .compares = compares, .compares_len = compares_len, .then = ops, .then_len = ops_len};
    if (s->kept_gather) {
        begin_write(s, &txn);
        return 0;
    }
    struct kv_txn_result *r = kv_txn_wait(s->kv, &txn);
    int rc = r->code < 0 ? error_set(err, r->code, "%s", r->message) : r->succeeded ? 0 : lost;
    kv_txn_result_free(r);
    return rc;
}

int kept_put_absent(struct apiserver *s, const struct str *keys, const struct str *values, size_t n,
                    struct error *err)
{
    struct kv_compare compares[PUT_MAX];
    struct kv_op ops[PUT_MAX];
    assert(n <= PUT_MAX);
    for (size_t i = 0; i < n; i++) {
        compares[i] = unchanged(keys[i], 0);
        ops[i] = (struct kv_op){.type = KV_OP_PUT, .put = {.key = keys[i], .value = values[i]}};
    }
    return run(s, compares, n, ops, n, ERR_EXISTS, err);
}

int kept_create(struct apiserver *s, struct arena *a, void *object, struct error *err)
{
    struct str key = kept_key(a, object);
    if (kept_exists(s, a, key))
        return 0;
    defaults_apply(a, object);
    kept_stamp(a, object);
    struct str value = kept_encode(a, object);
    int rc = kept_put_absent(s, &key, &value, 1, err);
    return rc == ERR_EXISTS ? 0 : rc;
}

int kept_replace(struct apiserver *s, struct arena *a, struct str key, int64_t mod_rev,
                 const void *object, struct error *err)
{
    struct kv_compare same = unchanged(key, mod_rev);
    struct kv_op put = {.type = KV_OP_PUT, .put = {.key = key, .value = kept_encode(a, object)}};
    return run(s, &same, 1, &put, 1, ERR_CONFLICT, err);
}

int kept_remove_with(struct apiserver *s, struct str key, int64_t mod_rev, struct str other,
                     int64_t other_rev, struct error *err)
{
    struct kv_compare same[2] = {unchanged(key, mod_rev), unchanged(other, other_rev)};
    struct kv_op del = {.type = KV_OP_DELETE, .del = {.key = key}};
    return run(s, same, other.p ? 2 : 1, &del, 1, ERR_CONFLICT, err);
}

int kept_create_with(struct apiserver *s, struct str key, struct str value, struct str other,
                     int64_t other_rev, struct error *err)
{
    struct kv_compare same[2] = {unchanged(key, 0), unchanged(other, other_rev)};
    struct kv_op put = {.type = KV_OP_PUT, .put = {.key = key, .value = value}};
    return run(s, same, 2, &put, 1, ERR_CONFLICT, err);
}

/* ---- convergence ---- */

int kept_converge(struct apiserver *s, struct arena *a, void *object, struct error *err)
{
    struct str key = kept_key(a, object);
    void *old;
    int64_t mod_rev = 0;
    int rc = kept_load(s, a, key, &old, &mod_rev, err);
    if (rc < 0)
        return rc;
    defaults_apply(a, object);
    if (rc > 0 && object_equal_except(object, old, "metadata"))
        return 0;
    if (rc > 0)
        object_share_member(object, old, "metadata");
    else
        kept_stamp(a, object);
    return kept_replace(s, a, key, mod_rev, object, err);
}

int kept_converge_spec(struct apiserver *s, struct arena *a, void *object, struct error *err)
{
    struct str key = kept_key(a, object);
    const struct schema_field *f;
    void *old;
    int64_t mod_rev = 0;
    int rc = kept_load(s, a, key, &old, &mod_rev, err);
    if (rc <= 0)
        return rc < 0 ? rc : kept_create(s, a, object, err);
    defaults_apply(a, object);
    if (object_equal(*(void *const *)object_member(object, "spec", &f),
                     *(void *const *)object_member(old, "spec", &f)))
        return 0;
    object_share_member(object, old, "metadata");
    object_share_member(object, old, "status");
    Meta__V1__ObjectMeta *meta = object_meta(object);
    meta->generation += meta->generation > 0;
    return kept_replace(s, a, key, mod_rev, object, err);
}
