/*
 * Validation of claims for devices, their templates and device classes.
 */
#include "api/validation/resource_devices.h"

#define REQUESTS_MAX 32
#define CONSTRAINTS_MAX 32
#define CONFIGS_MAX 32
#define ALTERNATIVES_MAX 8

/* --- claims ---------------------------------------------------------------------------------------------- */

static void check_allocation(struct field_errors *e, const struct path *at, const char *mode,
                             int64_t count)
{
    if (cstr_eq(mode, "All")) {
        if (count != 0)
            err_invalid_int(e, AT(at, "count"), count,
                            "must not be specified when allocationMode is 'All'");
    } else if (cstr_eq(mode, "ExactCount")) {
        if (count <= 0)
            err_invalid_int(e, AT(at, "count"), count, "must be greater than zero");
    } else {
        err_not_supported(e, AT(at, "allocationMode"), mode, ONE_OF("All", "ExactCount"));
    }
}

static const char *alternative_name(struct arena *a, const void *item)
{
    (void)a;
    return ((const Resource__V1__DeviceSubRequest *)item)->name;
}

static void check_alternatives(struct field_errors *e, const struct path *at,
                               const Resource__V1__DeviceRequest *r)
{
    if (!check_size(e, at, r->n_first_available, ALTERNATIVES_MAX))
        return;
    for (size_t i = 0; i < r->n_first_available; i++) {
        const struct path *item = ITEM(at, i);
        const Resource__V1__DeviceSubRequest *s = r->first_available[i];
        check_string(e, AT(item, "name"), s->name, validate_dns1123_label);
        check_required_string(e, AT(item, "deviceClassName"), s->device_class_name,
                              validate_dns1123_subdomain);
        check_device_selectors(e, AT(item, "selectors"), s->selectors, s->n_selectors);
        check_allocation(e, item, s->allocation_mode, s->count);
        check_device_tolerations(e, AT(item, "tolerations"), s->tolerations, s->n_tolerations);
    }
    check_unique(e, at, (void *const *)r->first_available, r->n_first_available, alternative_name);
}

static void check_request(struct field_errors *e, const struct path *at,
                          const Resource__V1__DeviceRequest *r)
{
    check_string(e, AT(at, "name"), r->name, validate_dns1123_label);
    if (!r->exactly && r->n_first_available == 0) {
        err_required(e, at, "exactly one of `exactly` or `firstAvailable` is required");
    } else if (r->exactly && r->n_first_available > 0) {
        err_invalid_raw(e, at, "null",
                        "exactly one of `exactly` or `firstAvailable` is required, but multiple "
                        "fields are set");
    } else if (!r->exactly) {
        check_alternatives(e, AT(at, "firstAvailable"), r);
    } else {
        const struct path *exactly = AT(at, "exactly");
        const Resource__V1__ExactDeviceRequest *x = r->exactly;
        check_required_string(e, AT(exactly, "deviceClassName"), x->device_class_name,
                              validate_dns1123_subdomain);
        check_device_selectors(e, AT(exactly, "selectors"), x->selectors, x->n_selectors);
        check_allocation(e, exactly, x->allocation_mode, x->count);
        check_device_tolerations(e, AT(exactly, "tolerations"), x->tolerations, x->n_tolerations);
    }
}

static void check_constraint(struct field_errors *e, const struct path *at,
                             const Resource__V1__DeviceClaim *claim,
                             const Resource__V1__DeviceConstraint *c)
{
    check_request_refs(e, AT(at, "requests"), claim, c->requests, c->n_requests);
    if (c->match_attribute)
        check_trait_name(e, AT(at, "matchAttribute"), c->match_attribute, true);
    else if (c->distinct_attribute)
        check_trait_name(e, AT(at, "distinctAttribute"), c->distinct_attribute, true);
    else
        err_required(e, AT(at, "matchAttribute"), "");
}

static const char *request_name(struct arena *a, const void *item)
{
    (void)a;
    return ((const Resource__V1__DeviceRequest *)item)->name;
}

static void check_device_claim(struct field_errors *e, const struct path *at,
                               const Resource__V1__DeviceClaim *claim)
{
    const struct path *requests = AT(at, "requests"), *constraints = AT(at, "constraints");
    const struct path *config = AT(at, "config");
    if (check_size(e, requests, claim->n_requests, REQUESTS_MAX)) {
        for (size_t i = 0; i < claim->n_requests; i++)
            check_request(e, ITEM(requests, i), claim->requests[i]);
        check_unique(e, requests, (void *const *)claim->requests, claim->n_requests, request_name);
    }
    if (check_size(e, constraints, claim->n_constraints, CONSTRAINTS_MAX)) {
        for (size_t i = 0; i < claim->n_constraints; i++)
            check_constraint(e, ITEM(constraints, i), claim, claim->constraints[i]);
    }
    if (!check_size(e, config, claim->n_config, CONFIGS_MAX))
        return;
    for (size_t i = 0; i < claim->n_config; i++) {
        const Resource__V1__DeviceClaimConfiguration *c = claim->config[i];
        check_request_refs(e, AT(ITEM(config, i), "requests"), claim, c->requests, c->n_requests);
        check_device_config(e, ITEM(config, i), c->device_configuration);
    }
}

static void validate_claim(const void *object, struct field_errors *e)
{
    check_device_claim(e, AT(SPEC, "devices"),
                       ((const Resource__V1__ResourceClaim *)object)->spec->devices);
}

static void validate_claim_update(const void *object, const void *old, struct field_errors *e)
{
    check_immutable(e, SPEC, ((const Resource__V1__ResourceClaim *)object)->spec,
                    ((const Resource__V1__ResourceClaim *)old)->spec);
}

static void validate_claim_template(const void *object, struct field_errors *e)
{
    const Resource__V1__ResourceClaimTemplateSpec *spec =
        ((const Resource__V1__ResourceClaimTemplate *)object)->spec;
    check_template_meta(e, AT(SPEC, "metadata"), spec->metadata, true);
    check_device_claim(e, AT(AT(SPEC, "spec"), "devices"), spec->spec->devices);
}

static void validate_claim_template_update(const void *object, const void *old,
                                           struct field_errors *e)
{
    check_immutable(e, SPEC, ((const Resource__V1__ResourceClaimTemplate *)object)->spec,
                    ((const Resource__V1__ResourceClaimTemplate *)old)->spec);
}

/* --- device classes ---------------------------------------------------------------------------------------- */

static void validate_class(const void *object, struct field_errors *e)
{
    const Resource__V1__DeviceClassSpec *spec = ((const Resource__V1__DeviceClass *)object)->spec;
    const struct path *config = AT(SPEC, "config");
    check_device_selectors(e, AT(SPEC, "selectors"), spec->selectors, spec->n_selectors);
    if (check_size(e, config, spec->n_config, CONFIGS_MAX)) {
        for (size_t i = 0; i < spec->n_config; i++)
            check_device_config(e, ITEM(config, i), spec->config[i]->device_configuration);
    }
    if (spec->extended_resource_name &&
        !is_extended_resource(e->arena, spec->extended_resource_name))
        err_invalid(e, AT(SPEC, "extendedResourceName"), spec->extended_resource_name,
                    "must be a valid extended resource name");
}

static const struct kind_rules rows[] = {
    {.message = Resource__V1__ResourceClaim__SCHEMA,
     .create = validate_claim,
     .update = validate_claim_update,
     .status = validate_claim_status},
    {.message = Resource__V1__ResourceClaimTemplate__SCHEMA,
     .create = validate_claim_template,
     .update = validate_claim_template_update},
    {.message = Resource__V1__DeviceClass__SCHEMA, .create = validate_class},
    {.message = Resource__V1__ResourceSlice__SCHEMA,
     .create = validate_slice,
     .update = validate_slice_update,
     .update_alone = true},
};
const struct rule_table resource_claim_rules = RULE_TABLE(rows);
