/*
 * Shared by the files that validate CustomResourceDefinitions.
 */
#ifndef C8S_API_VALIDATION_CRD_H
#define C8S_API_VALIDATION_CRD_H

#include "api/codec.h"
#include "api/custom/custom.h"
#include "api/validation/internal.h"
#include "proto/apiextensions_v1.pb-c.h"

/* The openAPIV3Schema of a version: structural, complete, its defaults valid (crd_schema.c). `status`: the
 * version has the status subresource. */
void check_crd_schema(struct field_errors *e, const struct path *at,
                      const Apiextensions__V1__JSONSchemaProps *schema, bool status);

typedef Apiextensions__V1__JSONSchemaProps Props;

/* Does it have a default anywhere, where none may be included? */
bool crd_schema_has_default(const Props *schema);

/* crd.c */
void validate_crd(const void *object, struct field_errors *e);
void validate_crd_update(const void *object, const void *old, struct field_errors *e);
void validate_crd_status(const void *object, const void *old, struct field_errors *e);

#endif
