/*
 * Decisions of the Deployment controller: sizes (controllers/deployment.h).
 */
#include "controllers/deployment.h"

#include "api/meta.h"
#include "base/mem.h"
#include "base/vec.h"
#include <stdlib.h>

static int32_t size_of(const Apps__V1__ReplicaSet *rs)
{
    return rs ? api_get(rs->spec, replicas, 1) : 0;
}

static int32_t wanted(const Apps__V1__Deployment *d)
{
    return api_get(d->spec, replicas, 1);
}

static bool is_rolling(const Apps__V1__Deployment *d)
{
    return !cstr_eq(d->spec->strategy->type, "Recreate");
}

void deployment_bounds(const Apps__V1__Deployment *d, int32_t *max_surge, int32_t *max_unavailable)
{
    *max_surge = *max_unavailable = 0;
    const Apps__V1__RollingUpdateDeployment *r = d->spec->strategy->rolling_update;
    if (!is_rolling(d) || wanted(d) == 0)
        return;
    /* Unparsable values were refused by validation; count them as the defaults' floor. */
    if (!r || int_or_string_scaled(r->max_surge, wanted(d), true, max_surge) < 0)
        *max_surge = 0;
    if (!r || int_or_string_scaled(r->max_unavailable, wanted(d), false, max_unavailable) < 0)
        *max_unavailable = 0;
    if (*max_surge == 0 && *max_unavailable == 0)
        *max_unavailable = 1; /* else nothing could ever move */
    *max_unavailable = MIN(*max_unavailable, wanted(d));
}

static int32_t old_total(const struct rollout_sets *s)
{
    int32_t n = 0;
    for (size_t i = 0; i < s->old_len; i++)
        n += size_of(s->old[i]);
    return n;
}

int32_t deployment_new_replicas(const Apps__V1__Deployment *d, const struct rollout_sets *s)
{
    int32_t have = size_of(s->new_set), want = wanted(d), surge, unavailable;
    if (!is_rolling(d) || have >= want)
        return want;
    deployment_bounds(d, &surge, &unavailable);
    int32_t room = want + surge - (old_total(s) + have);
    return room <= 0 ? have : have + MIN(room, want - have);
}

/* ------------------------------------------------------------------------------ shrinking old ---
 */

static int64_t created_ns(const Apps__V1__ReplicaSet *rs)
{
    return time_ns(rs->metadata->creation_timestamp);
}

static int by_age(const void *x, const void *y)
{
    const Apps__V1__ReplicaSet *a = *(Apps__V1__ReplicaSet *const *)x,
                               *b = *(Apps__V1__ReplicaSet *const *)y;
    int64_t d = created_ns(a) - created_ns(b);
    return d ? (d > 0) - (d < 0) : strcmp(a->metadata->name, b->metadata->name);
}

void sets_sort_by_age(Apps__V1__ReplicaSet **sets, size_t n)
{
    if (n)
        qsort(sets, n, sizeof *sets, by_age);
}

/* Note a new size; a set that was given one already gets the later. */
static void step_to(struct scale_step *out, size_t *n, Apps__V1__ReplicaSet *rs, int32_t replicas)
{
    for (size_t i = 0; i < *n; i++) {
        if (out[i].set == rs) {
            out[i].replicas = replicas;
            return;
        }
    }
    out[(*n)++] = (struct scale_step){rs, replicas};
}

static int32_t planned(const struct scale_step *out, size_t n, const Apps__V1__ReplicaSet *rs)
{
    for (size_t i = 0; i < n; i++)
        if (out[i].set == rs)
            return out[i].replicas;
    return size_of(rs);
}

size_t deployment_shrink_old(const Apps__V1__Deployment *d, const struct rollout_sets *s,
                             struct scale_step *out)
{
    size_t n = 0;
    int32_t old = old_total(s), surge, unavailable;
    if (old == 0)
        return 0;
    deployment_bounds(d, &surge, &unavailable);
    int32_t min_available = wanted(d) - unavailable;
    int32_t new_size = size_of(s->new_set);
    int32_t new_available = s->new_set ? s->new_set->status->available_replicas : 0;
    /* Pods of the new set that are not available yet use up what may be unavailable. */
    int32_t budget = old + new_size - min_available - (new_size - new_available);
    if (budget <= 0)
        return 0;
    Apps__V1__ReplicaSet **sets = mem_dup(s->old, sizeof *sets * s->old_len);
    sets_sort_by_age(sets, s->old_len);
    int32_t unhealthy = budget;
    for (size_t i = 0; i < s->old_len && unhealthy > 0; i++) {
        int32_t size = size_of(sets[i]);
        int32_t cut = MIN(unhealthy, size - MIN(size, sets[i]->status->available_replicas));
        if (cut > 0)
            step_to(out, &n, sets[i], size - cut);
        unhealthy -= cut;
    }
    int32_t available = new_available;
    for (size_t i = 0; i < s->old_len; i++)
        available += sets[i]->status->available_replicas;
    int32_t left = available - min_available;
    for (size_t i = 0; i < s->old_len && left > 0; i++) {
        int32_t size = planned(out, n, sets[i]), cut = MIN(size, left);
        if (cut > 0)
            step_to(out, &n, sets[i], size - cut);
        left -= cut;
    }
    mem_free(sets);
    return n;
}

/* ---------------------------------------------------------------------------------- rescaling ---
 */

static int64_t annotation_number(const Meta__V1__ObjectMeta *meta, const char *key,
                                 int64_t fallback)
{
    const char *text = annotations_get(meta, key);
    int64_t v;
    return text && str_to_i64(str_from(text), &v) ? v : fallback;
}

int64_t set_revision(const Meta__V1__ObjectMeta *meta)
{
    return annotation_number(meta, ANNOTATION_REVISION, 0);
}

bool deployment_is_scaling(const Apps__V1__Deployment *d, const struct rollout_sets *s)
{
    for (size_t i = 0; i <= s->old_len; i++) {
        const Apps__V1__ReplicaSet *rs = i < s->old_len ? s->old[i] : s->new_set;
        if (size_of(rs) > 0 &&
            annotation_number(rs->metadata, ANNOTATION_DESIRED, wanted(d)) != wanted(d))
            return true;
    }
    return false;
}

/* The active set when there is at most one; the new or else the latest when none is active. NULL:
 * several. */
static Apps__V1__ReplicaSet *active_or_latest(const struct rollout_sets *s)
{
    Apps__V1__ReplicaSet *active = NULL, *latest = s->new_set;
    size_t count = 0;
    for (size_t i = 0; i <= s->old_len; i++) {
        Apps__V1__ReplicaSet *rs = i < s->old_len ? s->old[i] : s->new_set;
        if (size_of(rs) > 0) {
            active = rs;
            count++;
        }
    }
    for (size_t i = 0; !s->new_set && i < s->old_len; i++)
        if (!latest || by_age(&s->old[i], &latest) > 0)
            latest = s->old[i];
    return count == 0 ? latest : count == 1 ? active : NULL;
}

static bool is_saturated(const Apps__V1__Deployment *d, const Apps__V1__ReplicaSet *rs)
{
    return rs && size_of(rs) == wanted(d) &&
           annotation_number(rs->metadata, ANNOTATION_DESIRED, -1) == wanted(d) &&
           rs->status->available_replicas == wanted(d);
}

/* A set's share of a change of `to_add` pods: in proportion to its size, in relation to how many
 * pods there might be when it was sized last. */
static int32_t share_of(const Apps__V1__ReplicaSet *rs, const Apps__V1__Deployment *d,
                        int32_t surge, int32_t to_add, int32_t added)
{
    int64_t size = size_of(rs);
    int64_t max_then = annotation_number(rs->metadata, ANNOTATION_MAX, 0);
    if (max_then <= 0)
        max_then = MAX(d->status->replicas, 1);
    double fraction = (double)size * (wanted(d) + surge) / (double)max_then;
    int64_t share = (int64_t)(fraction + 0.5) - size, allowed = to_add - added;
    return (int32_t)(to_add > 0 ? MIN(share, allowed) : MAX(share, allowed));
}

static int by_size_then_age(const void *x, const void *y, void *growing)
{
    const Apps__V1__ReplicaSet *a = *(Apps__V1__ReplicaSet *const *)x,
                               *b = *(Apps__V1__ReplicaSet *const *)y;
    if (size_of(a) != size_of(b))
        return size_of(a) > size_of(b) ? -1 : 1;
    int age = by_age(x, y);
    return *(bool *)growing ? -age : age; /* grow the newest first, shrink the oldest first */
}

static size_t spread(struct arena *a, const Apps__V1__Deployment *d, const struct rollout_sets *s,
                     struct scale_step *out)
{
    int32_t surge, unavailable, total = 0, added = 0;
    deployment_bounds(d, &surge, &unavailable);
    Apps__V1__ReplicaSet **sets = arena_array(a, Apps__V1__ReplicaSet *, s->old_len + 1);
    size_t len = 0;
    for (size_t i = 0; i <= s->old_len; i++) {
        Apps__V1__ReplicaSet *rs = i < s->old_len ? s->old[i] : s->new_set;
        if (size_of(rs) > 0) {
            sets[len++] = rs;
            total += size_of(rs);
        }
    }
    int32_t to_add = (wanted(d) > 0 ? wanted(d) + surge : 0) - total;
    bool growing = to_add > 0;
    qsort_r(sets, len, sizeof *sets, by_size_then_age, &growing);
    for (size_t i = 0; i < len; i++) {
        int32_t share = to_add ? share_of(sets[i], d, surge, to_add, added) : 0;
        out[i] = (struct scale_step){sets[i], MAX(size_of(sets[i]) + share, 0)};
        added += share;
    }
    if (len) /* what rounding left over goes to the largest */
        out[0].replicas = MAX(out[0].replicas + to_add - added, 0);
    return len;
}

size_t deployment_rescale(struct arena *a, const Apps__V1__Deployment *d,
                          const struct rollout_sets *s, struct scale_step *out)
{
    size_t n = 0;
    Apps__V1__ReplicaSet *only = active_or_latest(s);
    if (only) {
        if (size_of(only) != wanted(d))
            out[n++] = (struct scale_step){only, wanted(d)};
        return n;
    }
    if (is_saturated(d, s->new_set)) {
        for (size_t i = 0; i < s->old_len; i++)
            if (size_of(s->old[i]) > 0)
                out[n++] = (struct scale_step){s->old[i], 0};
        return n;
    }
    return is_rolling(d) ? spread(a, d, s, out) : 0;
}

/* ------------------------------------------------------------------------- templates, history ---
 */

bool deployment_same_template(struct arena *a, const Apps__V1__Deployment *d,
                              const Apps__V1__ReplicaSet *rs)
{
    Core__V1__PodTemplateSpec *mine = object_clone(a, d->spec->template_);
    Core__V1__PodTemplateSpec *theirs = object_clone(a, rs->spec->template_);
    string_map_remove(mine->metadata->labels, &mine->metadata->n_labels, LABEL_TEMPLATE_HASH);
    string_map_remove(theirs->metadata->labels, &theirs->metadata->n_labels, LABEL_TEMPLATE_HASH);
    return object_equal(mine, theirs);
}

static int by_revision(const void *x, const void *y)
{
    const Apps__V1__ReplicaSet *a = *(Apps__V1__ReplicaSet *const *)x,
                               *b = *(Apps__V1__ReplicaSet *const *)y;
    int64_t d = set_revision(a->metadata) - set_revision(b->metadata);
    return d ? (d > 0) - (d < 0) : by_age(x, y);
}

static bool is_empty(const Apps__V1__ReplicaSet *rs)
{
    return rs->status->replicas == 0 && size_of(rs) == 0 &&
           rs->metadata->generation <= rs->status->observed_generation;
}

size_t deployment_surplus_sets(const Apps__V1__Deployment *d, const struct rollout_sets *s,
                               Apps__V1__ReplicaSet **out)
{
    int32_t limit = api_get(d->spec, revision_history_limit, 10);
    VEC(Apps__V1__ReplicaSet *) alive = {0};
    for (size_t i = 0; i < s->old_len; i++)
        if (time_is_zero(s->old[i]->metadata->deletion_timestamp))
            vec_push(&alive, s->old[i]);
    size_t n = 0;
    int64_t surplus = (int64_t)alive.len - limit;
    if (limit != INT32_MAX && surplus > 0) {
        qsort(alive.items, alive.len, sizeof *alive.items, by_revision);
        for (int64_t i = 0; i < surplus; i++)
            if (is_empty(alive.items[i]))
                out[n++] = alive.items[i];
    }
    vec_free(&alive);
    return n;
}
