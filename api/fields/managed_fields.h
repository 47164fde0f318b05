/*
 * Managed fields: who wrote which field of an object, as published for server-side apply.
 *
 * Every write is recorded by comparing the object before and after: what the writer added or changed
 * is its own from now on and nobody else's; what went is nobody's. An applied configuration is merged
 * into the object; fields that others own and that it would change are conflicts (or taken over by
 * force), and fields that it applied before and no longer does go, unless somebody else owns them.
 *
 * Built-in objects are compared as structs, custom ones as JSON trees. All memory is the arena's; no
 * state is kept; any thread.
 */
#ifndef C8S_API_FIELDS_MANAGED_FIELDS_H
#define C8S_API_FIELDS_MANAGED_FIELDS_H

#include "api/fields/typed.h"
#include "base/error.h"
#include "proto/meta_v1.pb-c.h"

#define MANAGED_UPDATERS_MAX 10 /* entries of operation Update; older ones become one */
#define MANAGED_ANCIENT "ancient-changes"
#define MANAGED_BEFORE_FIRST_APPLY "before-first-apply"
#define LAST_APPLIED_ANNOTATION "kubectl.kubernetes.io/last-applied-configuration"

/* Who writes. */
struct field_manager {
    const char *name;
    const char *subresource; /* "" for the object itself */
    int64_t now_s;           /* Unix time */
};

/*
 * The fields that differ between two objects of one message; `old` NULL: an object with nothing in it.
 * metadata.managedFields does not count.
 */
void object_compare_fields(struct arena *a, const void *old, const void *now,
                           struct field_delta *out);

/*
 * Record a create (old NULL) or an update in now's metadata.managedFields. What the client sent there
 * replaces the old entries first (unless it writes a subresource); [] and [{}] clear them; entries that
 * make no sense are ignored. An object whose entries were cleared is not tracked until it is applied.
 * Both objects must be of the version that the client speaks.
 */
void managed_fields_record(struct arena *a, const struct field_manager *who, const void *old,
                           void *now);
/* Equal but for the times of their entries, entry by entry? */
bool managed_fields_same(const Meta__V1__ObjectMeta *x, const Meta__V1__ObjectMeta *y);

/* ---- apply ---- */

struct apply_conflict {
    const char *manager; /* as messages name it: `"helm" using apps/v1`, quotes included */
    const char *field;   /* ".spec.replicas" */
};

struct apply {
    struct arena *a;
    const struct schema_message *m; /* of the version applied */
    struct field_manager who;
    bool force;
    const void *live;         /* NULL: the object does not exist */
    yyjson_val *config;       /* an object */
    const char *const *reset; /* top-level members that this request may not write; NULL-terminated,
                                  or NULL */
    /* Results. */
    void *object; /* what the object becomes, its managed fields included */
    struct apply_conflict *conflicts;
    size_t conflicts_len;
};

/*
 * Merge the configuration. ERR_CONFLICT: see conflicts. ERR_INVALID: *err says why the configuration
 * does not fit, in the published words.
 */
int apply_run(struct apply *ap, struct error *err);

/* ---- scale: who owns the replicas (managed_scale.c) ---- */

#define SCALE_API_VERSION "autoscaling/v1"
#define SCALE_REPLICAS "spec.replicas"

/* Where a version of the scaled kind keeps its replicas: "spec.replicas"; NULL: it has no scale. */
struct scale_path {
    const char *api_version, *replicas;
};

/* The entries of an object that own its replicas, as entries of its Scale. ERR_INVALID: they make no sense. */
int managed_fields_to_scale(struct arena *a, const Meta__V1__ObjectMeta *parent,
                            const struct scale_path *paths, size_t n, Meta__V1__ObjectMeta *scale,
                            struct error *err);
/*
 * The entries of the object after its Scale was changed to those of `scale`: replicas go to the managers
 * that have them there, by the version `api_version` of the object. Entries of versions without a path go.
 */
int managed_fields_from_scale(struct arena *a, const Meta__V1__ObjectMeta *scale,
                              const struct scale_path *paths, size_t n, const char *api_version,
                              Meta__V1__ObjectMeta *parent, struct error *err);

#endif
