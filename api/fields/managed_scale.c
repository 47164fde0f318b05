/*
 * Managed fields of an object as its scale subresource sees them, and back.
 *
 *     parent  apps/v1         {f:spec: {f:replicas, f:selector, …}}
 *                  │ to: who owns the replicas        ▲ from: who owns them now
 *                  ▼                                  │
 *     scale   autoscaling/v1  {f:spec: {f:replicas}}  ┘
 *
 * The replicas may stand elsewhere in the parent, and in each of its versions: struct scale_path says where.
 */
#include "api/fields/managed_internal.h"
#include "api/meta.h"
#include <string.h>

/* "spec.replicas" as a set with that one member. */
static struct field_set *set_of_path(struct arena *a, const char *path)
{
    struct str rest = str_from(path), name;
    struct field_set *root = field_set_new(a, (struct field_step){0}, false), *at = root;
    while (str_split(&rest, '.', &name)) {
        at->children = field_set_new(a, field_step_member(name), false);
        at = at->children;
    }
    at->member = true;
    return root;
}

static const struct scale_path *path_of_version(const struct scale_path *paths, size_t n,
                                                const char *api_version)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(paths[i].api_version, api_version) == 0)
            return &paths[i];
    return NULL;
}

static bool has(struct arena *a, const struct field_set *set, const struct field_set *one)
{
    return field_set_intersection(a, set, one) != NULL;
}

int managed_fields_to_scale(struct arena *a, const Meta__V1__ObjectMeta *parent,
                            const struct scale_path *paths, size_t n, Meta__V1__ObjectMeta *scale,
                            struct error *err)
{
    struct owners from, to = {.a = a};
    if (owners_read(&from, a, parent, err) < 0)
        return ERR_INVALID;
    for (size_t i = 0; i < from.len; i++) {
        struct owner *w = &from.all[i];
        const struct scale_path *p = path_of_version(paths, n, w->api_version);
        if (!p || !p->replicas || !has(a, owner_set(&from, w), set_of_path(a, p->replicas)))
            continue;
        struct owner *mine =
            owners_add(&to, w->manager, w->applied, SCALE_API_VERSION, w->subresource);
        mine->time = w->time;
        mine->set = set_of_path(a, SCALE_REPLICAS);
    }
    owners_write(&to, scale);
    return 0;
}

/* What a manager has of the replicas moves to who has them in the scale. */
static void keep_or_take(struct owners *parent, struct owner *w, struct owners *scale,
                         const struct scale_path *p, const struct field_set *in_scale)
{
    struct arena *a = parent->a;
    struct field_set *replicas = p->replicas ? set_of_path(a, p->replicas) : NULL;
    if (!replicas || !has(a, owner_set(parent, w), replicas))
        return;
    struct owner *same =
        owners_find(scale, w->manager, w->applied, SCALE_API_VERSION, w->subresource);
    if (same && has(a, owner_set(scale, same), in_scale))
        owner_set_put(same, NULL); /* as it was */
    else
        owner_set_put(w, field_set_difference(a, owner_set(parent, w), replicas));
}

int managed_fields_from_scale(struct arena *a, const Meta__V1__ObjectMeta *scale,
                              const struct scale_path *paths, size_t n, const char *api_version,
                              Meta__V1__ObjectMeta *parent, struct error *err)
{
    struct owners to, from;
    const struct scale_path *own = path_of_version(paths, n, api_version);
    struct field_set *in_scale = set_of_path(a, SCALE_REPLICAS);
    if (owners_read(&to, a, parent, err) < 0 || owners_read(&from, a, scale, err) < 0)
        return ERR_INVALID;
    for (size_t i = 0; i < to.len; i++) {
        const struct scale_path *p = path_of_version(paths, n, to.all[i].api_version);
        if (p)
            keep_or_take(&to, &to.all[i], &from, p, in_scale);
        else
            owner_set_put(&to.all[i], NULL); /* no such version: nobody can tell what it means */
    }
    for (size_t i = 0; i < from.len && own && own->replicas; i++) {
        struct owner *w = &from.all[i];
        if (!has(a, owner_set(&from, w), in_scale))
            continue;
        struct owner *mine = owners_find(&to, w->manager, w->applied, api_version, w->subresource);
        if (!mine)
            mine = owners_add(&to, w->manager, w->applied, api_version, w->subresource);
        mine->time = w->time;
        owner_set_put(mine,
                      field_set_union(a, owner_set(&to, mine), set_of_path(a, own->replicas)));
    }
    owners_write(&to, parent);
    return 0;
}
