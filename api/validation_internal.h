/*
 * Shared by the validation files: paths that cost nothing until something is wrong, and the checks that
 * many kinds have in common.
 */
#ifndef C8S_API_VALIDATION_INTERNAL_H
#define C8S_API_VALIDATION_INTERNAL_H

#include "api/validation.h"
#include "proto/core_v1.pb-c.h"

/* One step of a field path; lives on the stack. NULL is the object itself. */
struct path {
    const struct path *up;
    const char *name; /* NULL: an index */
    size_t index;
    bool key; /* name is a map key: printed in brackets */
};

#define AT(up_, name_) (&(const struct path){(up_), (name_), 0, false})
#define ITEM(up_, i_) (&(const struct path){(up_), NULL, (i_), false})
#define KEY(up_, key_) (&(const struct path){(up_), (key_), 0, true})

/* Errors at a path. Strings are quoted here. */
void err_required(struct field_errors *e, const struct path *at, const char *detail);
void err_invalid(struct field_errors *e, const struct path *at, const char *value,
                 const char *detail);
void err_invalid_int(struct field_errors *e, const struct path *at, int64_t value,
                     const char *detail);
/* `value` is shown as it is (JSON of a struct, a boolean). */
void err_invalid_raw(struct field_errors *e, const struct path *at, const char *value,
                     const char *detail);
void err_invalid_object(struct field_errors *e, const struct path *at, const void *object,
                        const char *detail);
void err_duplicate(struct field_errors *e, const struct path *at, const char *value);
void err_forbidden(struct field_errors *e, const struct path *at, const char *detail);
void err_not_found(struct field_errors *e, const struct path *at, const char *value);
void err_too_long(struct field_errors *e, const struct path *at, size_t max);
/* `allowed`: NULL-terminated, sorted. */
void err_not_supported(struct field_errors *e, const struct path *at, const char *value,
                       const char *const *allowed);

#define IMMUTABLE "field is immutable"
#define NON_NEGATIVE "must be greater than or equal to 0"

/* The common checks. Each reports at the path and returns whether all was well. */
bool check_string(struct field_errors *e, const struct path *at, const char *value,
                  const char *(*rule)(const char *));
bool check_one_of(struct field_errors *e, const struct path *at, const char *value,
                  const char *const *allowed);
/* As check_one_of, but an empty value is Required. */
bool check_required_one_of(struct field_errors *e, const struct path *at, const char *value,
                           const char *const *allowed);
bool check_non_negative(struct field_errors *e, const struct path *at, int64_t value);
bool check_required(struct field_errors *e, const struct path *at, const char *value);
void check_labels(struct field_errors *e, const struct path *at, StringEntry *const *labels,
                  size_t n);
void check_annotations(struct field_errors *e, const struct path *at, StringEntry *const *items,
                       size_t n);
void check_label_selector(struct field_errors *e, const struct path *at,
                          const Meta__V1__LabelSelector *s);
/* Non-negative integer or percentage. */
void check_int_or_percent(struct field_errors *e, const struct path *at,
                          const Meta__V1__IntOrString *v);
void check_port_number(struct field_errors *e, const struct path *at, int64_t port);
/* A port's number or name. */
void check_port_ref(struct field_errors *e, const struct path *at,
                    const Meta__V1__IntOrString *port);
void check_quantity_non_negative(struct field_errors *e, const struct path *at, const char *text);

/* validation_pod.c */
void check_pod_spec(struct field_errors *e, const struct path *at, const Core__V1__PodSpec *spec);
void check_pod_template(struct field_errors *e, const struct path *at,
                        const Core__V1__PodTemplateSpec *t);
void validate_pod(const void *object, struct field_errors *e);
void validate_pod_update(const void *object, const void *old, struct field_errors *e);
void validate_pod_status_update(const void *object, const void *old, struct field_errors *e);

/* validation_volume.c */
void check_volumes(struct field_errors *e, const struct path *at, Core__V1__Volume *const *volumes,
                   size_t n);
void check_resources(struct field_errors *e, const struct path *at,
                     const Core__V1__ResourceRequirements *r);

/* validation_apps.c */
void validate_deployment(const void *object, struct field_errors *e);
void validate_deployment_update(const void *object, const void *old, struct field_errors *e);
void validate_replica_set(const void *object, struct field_errors *e);
void validate_replica_set_update(const void *object, const void *old, struct field_errors *e);
void validate_daemon_set(const void *object, struct field_errors *e);
void validate_daemon_set_update(const void *object, const void *old, struct field_errors *e);
void validate_stateful_set(const void *object, struct field_errors *e);
void validate_stateful_set_update(const void *object, const void *old, struct field_errors *e);
void validate_job(const void *object, struct field_errors *e);
void validate_job_update(const void *object, const void *old, struct field_errors *e);
void validate_cron_job(const void *object, struct field_errors *e);
void validate_scale(const void *object, struct field_errors *e);

/* validation_core.c */
void validate_service(const void *object, struct field_errors *e);
void validate_service_update(const void *object, const void *old, struct field_errors *e);
void validate_config_map(const void *object, struct field_errors *e);
void validate_config_map_update(const void *object, const void *old, struct field_errors *e);
void validate_secret(const void *object, struct field_errors *e);
void validate_secret_update(const void *object, const void *old, struct field_errors *e);
void validate_node(const void *object, struct field_errors *e);
void validate_node_update(const void *object, const void *old, struct field_errors *e);
void validate_event(const void *object, struct field_errors *e);
void validate_endpoint_slice(const void *object, struct field_errors *e);
void validate_endpoint_slice_update(const void *object, const void *old, struct field_errors *e);
void validate_lease(const void *object, struct field_errors *e);
void validate_role(const void *object, struct field_errors *e);
void validate_cluster_role(const void *object, struct field_errors *e);
void validate_role_binding(const void *object, struct field_errors *e);
void validate_role_binding_update(const void *object, const void *old, struct field_errors *e);
void validate_cluster_role_binding(const void *object, struct field_errors *e);
void validate_cluster_role_binding_update(const void *object, const void *old,
                                          struct field_errors *e);
void validate_binding(const void *object, struct field_errors *e);

#endif
