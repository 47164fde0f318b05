/*
 * The default roles and bindings: made where they are absent, and brought up to what this version
 * grants where they are there, unless their annotation says to leave them alone. What operators added
 * stays.
 */
#include "apiserver/kept/bootstrap.h"
#include "api/defaults/defaults.h"
#include "api/meta.h"
#include "apiserver/kept/kept_write.h"
#include "apiserver/rest/rest.h"
#include "base/random.h"
#include "proto/rbac_v1.pb-c.h"

#define AUTOUPDATE "rbac.authorization.kubernetes.io/autoupdate"

/* ---- what is missing ---- */

static void merge_map(struct arena *a, StringEntry ***to, size_t *n, StringEntry *const *from,
                      size_t from_len)
{
    for (size_t i = 0; i < from_len; i++)
        if (!string_map_get(*to, *n, from[i]->key))
            string_map_set(a, to, n, from[i]->key, from[i]->value);
}

/* Rules that are not covered; of aggregated roles the aggregation keeps them. */
static void add_rules(struct arena *a, void *have, const void *want)
{
    struct rbac_rule *held, *wanted;
    size_t held_len, wanted_len;
    rbac_rules_of(a, have, &held, &held_len);
    rbac_rules_of(a, want, &wanted, &wanted_len);
    bool cluster = schema_of(have)->id == Rbac__V1__ClusterRole__SCHEMA;
    if (cluster && ((const Rbac__V1__ClusterRole *)have)->aggregation_rule)
        return;
    for (size_t i = 0; i < wanted_len; i++) {
        if (rbac_rules_cover(held, held_len, &wanted[i]))
            continue;
        if (cluster)
            api_append(a, (Rbac__V1__ClusterRole *)have, rules,
                       ((const Rbac__V1__ClusterRole *)want)->rules[i]);
        else
            api_append(a, (Rbac__V1__Role *)have, rules, ((const Rbac__V1__Role *)want)->rules[i]);
    }
}

static void add_selectors(struct arena *a, Rbac__V1__ClusterRole *have,
                          const Rbac__V1__ClusterRole *want)
{
    if (!want->aggregation_rule)
        return;
    if (!have->aggregation_rule)
        have->aggregation_rule = api_new(a, Rbac__V1__AggregationRule);
    for (size_t i = 0; i < want->aggregation_rule->n_cluster_role_selectors; i++) {
        Meta__V1__LabelSelector *s = want->aggregation_rule->cluster_role_selectors[i];
        bool there = false;
        for (size_t k = 0; k < have->aggregation_rule->n_cluster_role_selectors && !there; k++)
            there = object_equal(have->aggregation_rule->cluster_role_selectors[k], s);
        if (!there)
            api_append(a, have->aggregation_rule, cluster_role_selectors, s);
    }
}

#define ADD_SUBJECTS(a, have, want)                                                \
    do {                                                                           \
        for (size_t i_ = 0; i_ < (want)->n_subjects; i_++) {                       \
            bool there_ = false;                                                   \
            for (size_t k_ = 0; k_ < (have)->n_subjects && !there_; k_++)          \
                there_ = object_equal((have)->subjects[k_], (want)->subjects[i_]); \
            if (!there_)                                                           \
                api_append((a), (have), subjects, (want)->subjects[i_]);           \
        }                                                                          \
        if (!object_equal((have)->role_ref, (want)->role_ref))                     \
            (have)->role_ref = (want)->role_ref;                                   \
    } while (0)

/* `have` with what `want` has more. */
static void reconcile(struct arena *a, void *have, const void *want)
{
    Meta__V1__ObjectMeta *meta = object_meta(have);
    const Meta__V1__ObjectMeta *wanted = object_meta(want);
    merge_map(a, &meta->labels, &meta->n_labels, wanted->labels, wanted->n_labels);
    merge_map(a, &meta->annotations, &meta->n_annotations, wanted->annotations,
              wanted->n_annotations);
    switch (schema_of(have)->id) {
    case Rbac__V1__ClusterRole__SCHEMA:
        add_selectors(a, have, want);
        add_rules(a, have, want);
        break;
    case Rbac__V1__Role__SCHEMA:
        add_rules(a, have, want);
        break;
    case Rbac__V1__ClusterRoleBinding__SCHEMA:
        ADD_SUBJECTS(a, (Rbac__V1__ClusterRoleBinding *)have,
                     (const Rbac__V1__ClusterRoleBinding *)want);
        break;
    case Rbac__V1__RoleBinding__SCHEMA:
        ADD_SUBJECTS(a, (Rbac__V1__RoleBinding *)have, (const Rbac__V1__RoleBinding *)want);
        break;
    }
}

/* ---- writing ---- */

static int put(struct apiserver *s, struct arena *a, struct str key, int64_t mod_rev,
               const void *object, struct error *err)
{
    int rc = kept_replace(s, a, key, mod_rev, object, err);
    return rc == ERR_CONFLICT ? 0 : rc; /* another was first */
}

static int ensure(struct apiserver *s, struct arena *a, void *want, struct error *err)
{
    Meta__V1__ObjectMeta *meta = object_meta(want);
    const struct resource *r = resource_of_message(schema_of(want)->id);
    struct str key = rest_key(a, r, meta->namespace_, meta->name);
    void *have;
    struct kv_range_request rq = {.key = key};
    struct kv_range_result out;
    if (kv_range(s->kv, &rq, a, &out, err) < 0)
        return err->code;
    if (out.pairs_len == 0) {
        char uid[37];
        random_uuid(uid);
        meta->uid = arena_strdup(a, uid);
        meta->creation_timestamp = time_now(a);
        defaults_apply(a, want);
        return put(s, a, key, 0, want, err);
    }
    if (stored_decode(a, out.pairs[0].value, out.pairs[0].mod_rev, NULL, &have, err) < 0)
        return err->code;
    if (cstr_eq(annotations_get(object_meta(have), AUTOUPDATE), "false"))
        return 0;
    void *next = object_clone(a, have);
    reconcile(a, next, want);
    return object_equal(next, have) ? 0 : put(s, a, key, out.pairs[0].mod_rev, next, err);
}

int bootstrap_rbac(struct apiserver *s, struct arena *a, struct error *err)
{
    static const struct {
        const char *key;
        int message;
    } lists[] = {{"clusterroles", Rbac__V1__ClusterRole__SCHEMA},
                 {"clusterrolebindings", Rbac__V1__ClusterRoleBinding__SCHEMA},
                 {"roles", Rbac__V1__Role__SCHEMA},
                 {"rolebindings", Rbac__V1__RoleBinding__SCHEMA}};
    yyjson_val *root, *v;
    size_t k, n;
    if (json_read(a, str_make(bootstrap_rbac_json, bootstrap_rbac_json_len), &root, err) < 0)
        return error_wrap(err, "bootstrap_rbac.json");
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        yyjson_arr_foreach (yyjson_obj_get(root, lists[i].key), k, n, v) {
            void *object;
            if (json_decode_value(a, schema_get(lists[i].message), v, NULL, &object, err) < 0 ||
                ensure(s, a, object, err) < 0)
                return error_wrap(err, "bootstrap %s %zu", lists[i].key, k);
        }
    return 0;
}
