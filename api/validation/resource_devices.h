/*
 * Shared by the files that validate dynamic resource allocation. The CEL of selectors is looked at for its length
 * only.
 */
#ifndef C8S_API_VALIDATION_RESOURCE_DEVICES_H
#define C8S_API_VALIDATION_RESOURCE_DEVICES_H

#include "api/validation/internal.h"
#include "api/validation/volume.h"
#include "proto/resource_v1.pb-c.h"

/* "Too many" when there are: then nothing else is said of the list. */
bool check_size(struct field_errors *e, const struct path *at, size_t n, size_t max);
/* Keys that stand there twice, after all that is wrong with the items. */
void check_unique(struct field_errors *e, const struct path *at, void *const *items, size_t n,
                  const char *(*key)(struct arena *a, const void *item));
/* "domain/id"; `needs_domain`, or only the id. */
void check_trait_name(struct field_errors *e, const struct path *at, const char *name,
                      bool needs_domain);
void check_pool_name(struct field_errors *e, const struct path *at, const char *name);
void check_device_selectors(struct field_errors *e, const struct path *at,
                            Resource__V1__DeviceSelector *const *selectors, size_t n);
void check_device_config(struct field_errors *e, const struct path *at,
                         const Resource__V1__DeviceConfiguration *config);
void check_device_parameters(struct field_errors *e, const struct path *at,
                             const Meta__V1__RawExtension *raw);
void check_device_tolerations(struct field_errors *e, const struct path *at,
                              Resource__V1__DeviceToleration *const *tolerations, size_t n);
#define DEVICE_EFFECTS ONE_OF("NoExecute", "NoSchedule", "None")
/* The conditions that make a pod wait for its devices, and those that end the wait. */
void check_binding_conditions(struct field_errors *e, const struct path *at,
                              char *const *conditions, size_t n, char *const *failures, size_t m);
void check_request_refs(struct field_errors *e, const struct path *at,
                        const Resource__V1__DeviceClaim *claim, char *const *names, size_t n);
void check_request_ref(struct field_errors *e, const struct path *at,
                       const Resource__V1__DeviceClaim *claim, const char *name);

/* resource_status.c, resource_slices.c */
void validate_claim_status(const void *object, const void *old, struct field_errors *e);
void validate_slice(const void *object, struct field_errors *e);
void validate_slice_update(const void *object, const void *old, struct field_errors *e);

#endif
