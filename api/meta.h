/*
 * Helpers around metadata that every component needs: times, conditions, owner references,
 * int-or-string, statuses.
 */
#ifndef C8S_API_META_H
#define C8S_API_META_H

#include "api/object.h"

/* --- times ------------------------------------------------------------------------------------ */

Meta__V1__Time *time_now(struct arena *a);
Meta__V1__Time *time_from_s(struct arena *a, int64_t seconds);
Meta__V1__MicroTime *micro_time_now(struct arena *a);
Meta__V1__MicroTime *micro_time_from_ns(struct arena *a, int64_t ns);
/* Nanoseconds since 1970; 0 for NULL and zero times. */
int64_t time_ns(const Meta__V1__Time *t);
int64_t micro_time_ns(const Meta__V1__MicroTime *t);
/* NULL, or {0, 0}, which is how a zero time travels. */
bool time_is_zero(const Meta__V1__Time *t);
/* "2026-11-21T08:15:49Z", "" for zero. */
const char *time_text(struct arena *a, const Meta__V1__Time *t);
/* `kubectl get`'s AGE: "45s", "3m12s", "5h", "7d". */
void duration_human(int64_t seconds, char out[32]);
/* Go duration text ("1h30m0s", "500ms") to and from nanoseconds. */
bool go_duration_parse(struct str s, int64_t *ns);
void go_duration_format(int64_t ns, char out[48]);

/* --- int or string ---------------------------------------------------------------------------- */

Meta__V1__IntOrString *int_or_string_int(struct arena *a, int32_t v);
Meta__V1__IntOrString *int_or_string_string(struct arena *a, const char *v);
/* "25%" of total or the number itself; ERR_INVALID when it is neither. NULL gives 0. */
int int_or_string_scaled(const Meta__V1__IntOrString *v, int32_t total, bool round_up,
                         int32_t *out);
/* As text ("80", "http"). */
const char *int_or_string_text(struct arena *a, const Meta__V1__IntOrString *v);

/* --- owners ----------------------------------------------------------------------------------- */

/* A controller reference to `owner` (controller and blockOwnerDeletion true). */
Meta__V1__OwnerReference *owner_reference_new(struct arena *a, const void *owner);
/* The reference with controller true; NULL when none. */
const Meta__V1__OwnerReference *controller_of(const Meta__V1__ObjectMeta *meta);
bool is_controlled_by(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *owner);
bool has_finalizer(const Meta__V1__ObjectMeta *meta, const char *name);
bool remove_finalizer(Meta__V1__ObjectMeta *meta, const char *name);
/* "namespace/name", or "name" for cluster-scoped objects. */
char *object_key(struct arena *a, const Meta__V1__ObjectMeta *meta);
void object_key_split(struct str key, struct str *namespace_, struct str *name);

/* --- Status ----------------------------------------------------------------------------------- */

/*
 * A failure Status. `reason` as published ("NotFound", "AlreadyExists", "Conflict", …; "" gives one
 * by code). `resource` (plural), group and name fill details; may be NULL.
 */
Meta__V1__Status *status_failure(struct arena *a, int code, const char *reason, const char *group,
                                 const char *resource, const char *name, const char *format, ...)
    __attribute__((format(printf, 7, 8)));
Meta__V1__Status *status_success(struct arena *a, const char *group, const char *resource,
                                 const char *name, const char *uid);
const char *status_reason_of_code(int http_code);

/* --- hashes ----------------------------------------------------------------------------------- */

/* The pod-template-hash of a template (32-bit FNV-1a of its canonical encoding and the collision
 * count, in the safe alphabet). Ours differs from upstream's numbers; it only has to be stable. */
char *pod_template_hash(struct arena *a, const void *core_v1_pod_template_spec, int32_t collisions);

#endif
