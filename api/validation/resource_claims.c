/*
 * Validation of dynamic resource allocation: claims, their templates, device classes and slices. The CEL
 * of selectors is looked at for its length only.
 */
#include "api/quantity.h"
#include "api/validation/internal.h"
#include "api/validation/volume.h"
#include "proto/resource_v1.pb-c.h"

#define REQUESTS_MAX 32
#define CONSTRAINTS_MAX 32
#define CONFIGS_MAX 32
#define SELECTORS_MAX 32
#define ALTERNATIVES_MAX 8
#define EXPRESSION_MAX (10 * 1024)
#define PARAMETERS_MAX (10 * 1024)
#define POOL_NAME_MAX 253
#define DEVICES_MAX 128
#define DEVICES_TAINTED_MAX 64
#define COUNTER_SETS_MAX 8
#define TRAITS_MAX 32 /* attributes and capacities of a device */
#define ID_MAX 32
#define DOMAIN_MAX 63
#define TRAIT_VALUE_MAX 64
#define RESERVED_MAX 256
#define DEVICE_TAINTS_MAX 16

/* --- what claims and classes share ------------------------------------------------------------------- */

static void check_device_selectors(struct field_errors *e, const struct path *at,
                                   Resource__V1__DeviceSelector *const *selectors, size_t n)
{
    if (n > SELECTORS_MAX)
        err_too_many(e, at, n, SELECTORS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct path *cel = AT(ITEM(at, i), "cel");
        if (!selectors[i]->cel)
            err_required(e, cel, "");
        else if (strlen(selectors[i]->cel->expression) > EXPRESSION_MAX)
            err_too_long(e, AT(cel, "expression"), EXPRESSION_MAX);
    }
}

static void check_device_config(struct field_errors *e, const struct path *at,
                                const Resource__V1__DeviceConfiguration *config)
{
    const struct path *opaque = AT(at, "opaque");
    if (!config || !config->opaque) {
        err_required(e, opaque, "");
        return;
    }
    const Meta__V1__RawExtension *parameters = config->opaque->parameters;
    check_csi_driver_name(e, AT(opaque, "driver"), config->opaque->driver);
    if (!parameters || parameters->raw.len == 0)
        err_required(e, AT(opaque, "parameters"), "");
    else if (parameters->raw.len > PARAMETERS_MAX)
        err_too_long(e, AT(opaque, "parameters"), PARAMETERS_MAX);
    else if (parameters->raw.data[0] != '{')
        err_invalid_raw(e, AT(opaque, "parameters"), "<value omitted>",
                        "parameters must be a valid JSON object");
}

static const char *validate_c_identifier(const char *s)
{
    for (const char *c = s; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        if (!letter && (c == s || *c < '0' || *c > '9'))
            return "a valid C identifier must start with alphabetic character or '_', followed by "
                   "a "
                   "string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
                   "'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
    }
    return NULL;
}

/* "domain/id", or only the id. */
static void check_trait_name(struct field_errors *e, const struct path *at, const char *name,
                             bool needs_domain)
{
    const char *slash = strchr(name, '/');
    const char *id = slash ? slash + 1 : name;
    if (!*name) {
        err_required(e, at, "name required");
        return;
    }
    if (needs_domain && !slash)
        err_invalid(e, at, name, "must include a domain");
    if (slash) {
        const char *domain = arena_printf(e->arena, "%.*s", (int)(slash - name), name);
        if (!*domain)
            err_invalid(e, at, domain, "the domain must not be empty");
        else if (strlen(domain) > DOMAIN_MAX)
            err_too_long(e, at, DOMAIN_MAX);
        else
            check_string(e, at, domain, validate_dns1123_subdomain);
    }
    if (!*id)
        err_invalid(e, at, id, "the name must not be empty");
    else if (strlen(id) > ID_MAX)
        err_too_long(e, at, ID_MAX);
    else
        check_string(e, at, id, validate_c_identifier);
}

/* --- claims ---------------------------------------------------------------------------------------------- */

static void check_device_tolerations(struct field_errors *e, const struct path *at,
                                     Resource__V1__DeviceToleration *const *tolerations, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Resource__V1__DeviceToleration *t = tolerations[i];
        check_optional(e, AT(item, "key"), t->key, validate_qualified_name);
        if (cstr_eq(t->operator_, "Exists")) {
            if (*t->value)
                err_invalid(e, AT(item, "value"), t->value, "must be empty for operator `Exists`");
        } else if (cstr_eq(t->operator_, "Equal")) {
            check_string(e, AT(item, "value"), t->value, validate_label_value);
            if (!*t->key)
                err_required(e, AT(item, "key"), "must be set for operator `Equal`");
        } else if (!*t->operator_) {
            err_required(e, AT(item, "operator"), "");
        } else {
            err_not_supported(e, AT(item, "operator"), t->operator_, ONE_OF("Equal", "Exists"));
        }
        if (*t->effect)
            check_one_of(e, AT(item, "effect"), t->effect, ONE_OF("NoExecute", "NoSchedule"));
    }
}

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

static void check_alternatives(struct field_errors *e, const struct path *at,
                               const Resource__V1__DeviceRequest *r)
{
    if (r->n_first_available > ALTERNATIVES_MAX)
        err_too_many(e, at, r->n_first_available, ALTERNATIVES_MAX);
    for (size_t i = 0; i < r->n_first_available; i++) {
        const struct path *item = ITEM(at, i);
        const Resource__V1__DeviceSubRequest *s = r->first_available[i];
        check_string(e, AT(item, "name"), s->name, validate_dns1123_label);
        check_required_string(e, AT(item, "deviceClassName"), s->device_class_name,
                              validate_dns1123_subdomain);
        check_device_selectors(e, AT(item, "selectors"), s->selectors, s->n_selectors);
        check_allocation(e, item, s->allocation_mode, s->count);
        check_device_tolerations(e, AT(item, "tolerations"), s->tolerations, s->n_tolerations);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(r->first_available[k]->name, s->name)) {
                err_duplicate(e, item, s->name);
                break;
            }
        }
    }
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

static bool request_exists(const Resource__V1__DeviceClaim *claim, const char *name)
{
    const char *slash = strchr(name, '/');
    size_t len = slash ? (size_t)(slash - name) : strlen(name);
    for (size_t i = 0; i < claim->n_requests; i++) {
        const Resource__V1__DeviceRequest *r = claim->requests[i];
        if (strlen(r->name) != len || memcmp(r->name, name, len) != 0)
            continue;
        if (!slash)
            return true;
        for (size_t k = 0; k < r->n_first_available; k++) {
            if (cstr_eq(r->first_available[k]->name, slash + 1))
                return true;
        }
    }
    return false;
}

static void check_request_refs(struct field_errors *e, const struct path *at,
                               const Resource__V1__DeviceClaim *claim, char *const *names, size_t n)
{
    if (n > REQUESTS_MAX)
        err_too_many(e, at, n, REQUESTS_MAX);
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const char *slash = strchr(names[i], '/');
        if (!slash)
            check_string(e, item, names[i], validate_dns1123_label);
        if (!request_exists(claim, names[i]))
            err_invalid(e, item, names[i],
                        "must be the name of a request in the claim or the name of a request and a "
                        "subrequest separated by '/'");
        if (string_list_has(names, i, names[i]))
            err_duplicate(e, item, names[i]);
    }
}

static void check_device_claim(struct field_errors *e, const struct path *at,
                               const Resource__V1__DeviceClaim *claim)
{
    const struct path *requests = AT(at, "requests"), *constraints = AT(at, "constraints");
    if (claim->n_requests > REQUESTS_MAX)
        err_too_many(e, requests, claim->n_requests, REQUESTS_MAX);
    for (size_t i = 0; i < claim->n_requests; i++) {
        check_request(e, ITEM(requests, i), claim->requests[i]);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(claim->requests[k]->name, claim->requests[i]->name)) {
                err_duplicate(e, ITEM(requests, i), claim->requests[i]->name);
                break;
            }
        }
    }
    if (claim->n_constraints > CONSTRAINTS_MAX)
        err_too_many(e, constraints, claim->n_constraints, CONSTRAINTS_MAX);
    for (size_t i = 0; i < claim->n_constraints; i++) {
        const struct path *item = ITEM(constraints, i);
        const Resource__V1__DeviceConstraint *c = claim->constraints[i];
        check_request_refs(e, AT(item, "requests"), claim, c->requests, c->n_requests);
        if (c->match_attribute)
            check_trait_name(e, AT(item, "matchAttribute"), c->match_attribute, true);
        else if (c->distinct_attribute)
            check_trait_name(e, AT(item, "distinctAttribute"), c->distinct_attribute, true);
        else
            err_required(e, AT(item, "matchAttribute"), "");
    }
    if (claim->n_config > CONFIGS_MAX)
        err_too_many(e, AT(at, "config"), claim->n_config, CONFIGS_MAX);
    for (size_t i = 0; i < claim->n_config; i++) {
        const struct path *item = ITEM(AT(at, "config"), i);
        check_request_refs(e, AT(item, "requests"), claim, claim->config[i]->requests,
                           claim->config[i]->n_requests);
        check_device_config(e, item, claim->config[i]->device_configuration);
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

static void validate_claim_status(const void *object, const void *old, struct field_errors *e)
{
    const Resource__V1__ResourceClaimStatus *now =
        ((const Resource__V1__ResourceClaim *)object)->status;
    const Resource__V1__ResourceClaimStatus *was =
        ((const Resource__V1__ResourceClaim *)old)->status;
    const struct path *at = AT(NULL, "status"), *reserved = AT(at, "reservedFor");
    if (now->n_reserved_for > RESERVED_MAX)
        err_too_many(e, reserved, now->n_reserved_for, RESERVED_MAX);
    for (size_t i = 0; i < now->n_reserved_for; i++) {
        const Resource__V1__ResourceClaimConsumerReference *c = now->reserved_for[i];
        check_required(e, AT(ITEM(reserved, i), "resource"), c->resource);
        check_required(e, AT(ITEM(reserved, i), "name"), c->name);
        check_required(e, AT(ITEM(reserved, i), "uid"), c->uid);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(now->reserved_for[k]->uid, c->uid)) {
                err_duplicate(e, ITEM(reserved, i), c->uid);
                break;
            }
        }
    }
    if (now->n_reserved_for > 0 && !now->allocation)
        err_forbidden(e, reserved, "may not be specified when `allocated` is not set");
    if (was->allocation && now->allocation)
        check_immutable(e, AT(at, "allocation"), now->allocation, was->allocation);
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

static void validate_device_class(const void *object, struct field_errors *e)
{
    const Resource__V1__DeviceClassSpec *spec = ((const Resource__V1__DeviceClass *)object)->spec;
    check_device_selectors(e, AT(SPEC, "selectors"), spec->selectors, spec->n_selectors);
    if (spec->n_config > CONFIGS_MAX)
        err_too_many(e, AT(SPEC, "config"), spec->n_config, CONFIGS_MAX);
    for (size_t i = 0; i < spec->n_config; i++)
        check_device_config(e, ITEM(AT(SPEC, "config"), i), spec->config[i]->device_configuration);
}

/* --- slices -------------------------------------------------------------------------------------------------- */

static void check_pool(struct field_errors *e, const struct path *at,
                       const Resource__V1__ResourcePool *pool)
{
    const struct path *name = AT(at, "name");
    if (!*pool->name)
        err_required(e, name, "");
    else if (strlen(pool->name) > POOL_NAME_MAX)
        err_too_long(e, name, POOL_NAME_MAX);
    for (const char *part = pool->name; *pool->name && part;) {
        const char *slash = strchr(part, '/');
        size_t len = slash ? (size_t)(slash - part) : strlen(part);
        check_string(e, name, arena_printf(e->arena, "%.*s", (int)len, part),
                     validate_dns1123_subdomain);
        part = slash ? slash + 1 : NULL;
    }
    if (pool->resource_slice_count <= 0)
        err_invalid_int(e, AT(at, "resourceSliceCount"), pool->resource_slice_count,
                        "must be greater than zero");
    if (pool->generation < 0)
        err_invalid_int(e, AT(at, "generation"), pool->generation,
                        "must be greater than or equal to zero");
}

/* Exactly one of the three ways to say where devices are. */
static void check_where(struct field_errors *e, const struct path *at, const char *node_name,
                        const Core__V1__NodeSelector *selector, bool has_all, bool all,
                        bool per_device, const char *wanted)
{
    int set = 0;
    if (node_name && *node_name) {
        set++;
        check_string(e, AT(at, "nodeName"), node_name, validate_dns1123_subdomain);
    } else if (node_name) {
        err_invalid(e, AT(at, "nodeName"), "", "must not be empty");
    }
    if (selector) {
        set++;
        check_node_selector(e, AT(at, "nodeSelector"), selector);
    }
    if (has_all && all)
        set++;
    else if (has_all)
        err_invalid_raw(e, AT(at, "allNodes"), "false", "must be either unset or set to true");
    set += per_device;
    if (set == 0) {
        err_required(e, at, wanted);
    } else if (set > 1) {
        struct buf fields = {0};
        const char *const names[] = {
            node_name && *node_name ? "`nodeName`" : NULL, selector ? "`nodeSelector`" : NULL,
            has_all && all ? "`allNodes`" : NULL, per_device ? "`perDeviceNodeSelection`" : NULL};
        for (int i = 0; i < 4; i++) {
            if (names[i])
                buf_printf(&fields, "%s%s", fields.len ? ", " : "{", names[i]);
        }
        buf_printf(&fields, "}");
        err_invalid(e, at, arena_printf(e->arena, "%.*s", (int)fields.len, fields.data), wanted);
        buf_free(&fields);
    }
}

static void check_attribute(struct field_errors *e, const struct path *at,
                            const Resource__V1__DeviceAttribute *a)
{
    int set = a->has_int_ + a->has_bool_ + (a->string != NULL) + (a->version != NULL);
    if (a->string && strlen(a->string) > TRAIT_VALUE_MAX)
        err_too_long(e, AT(at, "string"), TRAIT_VALUE_MAX);
    if (a->version && strlen(a->version) > TRAIT_VALUE_MAX)
        err_too_long(e, AT(at, "version"), TRAIT_VALUE_MAX);
    if (set == 0)
        err_invalid(e, at, "", "exactly one value must be specified");
    else if (set > 1)
        err_invalid_object(e, at, a, "exactly one value must be specified");
}

static void check_device(struct field_errors *e, const struct path *at,
                         const Resource__V1__Device *d, bool per_device)
{
    check_string(e, AT(at, "name"), d->name, validate_dns1123_label);
    if (d->n_attributes + d->n_capacity > TRAITS_MAX)
        err_invalid_int(e, at, (int64_t)(d->n_attributes + d->n_capacity),
                        "the total number of attributes and capacities must not exceed 32");
    for (size_t i = 0; i < d->n_attributes; i++) {
        const struct path *item = KEY(AT(at, "attributes"), d->attributes[i]->key);
        check_trait_name(e, item, d->attributes[i]->key, false);
        check_attribute(e, item, d->attributes[i]->value);
    }
    for (size_t i = 0; i < d->n_capacity; i++)
        check_trait_name(e, KEY(AT(at, "capacity"), d->capacity[i]->key), d->capacity[i]->key,
                         false);
    if (d->n_taints > DEVICE_TAINTS_MAX)
        err_too_many(e, AT(at, "taints"), d->n_taints, DEVICE_TAINTS_MAX);
    for (size_t i = 0; i < d->n_taints; i++) {
        const struct path *item = ITEM(AT(at, "taints"), i);
        check_string(e, AT(item, "key"), d->taints[i]->key, validate_qualified_name);
        check_optional(e, AT(item, "value"), d->taints[i]->value, validate_label_value);
        check_required_one_of(e, AT(item, "effect"), d->taints[i]->effect,
                              ONE_OF("NoExecute", "NoSchedule", "None"));
    }
    for (size_t i = 0; i < d->n_consumes_counters; i++) {
        const struct path *item = ITEM(AT(at, "consumesCounters"), i);
        check_required_string(e, AT(item, "counterSet"), d->consumes_counters[i]->counter_set,
                              validate_dns1123_label);
        if (d->consumes_counters[i]->n_counters == 0)
            err_required(e, AT(item, "counters"), "");
    }
    if (per_device)
        check_where(e, at, d->node_name, d->node_selector, d->has_all_nodes, d->all_nodes, false,
                    "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
                    "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
    else if (d->node_name || d->node_selector || d->has_all_nodes)
        err_invalid_raw(e, at, "null",
                        "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
                        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
}

static void validate_slice(const void *object, struct field_errors *e)
{
    const Resource__V1__ResourceSliceSpec *spec =
        ((const Resource__V1__ResourceSlice *)object)->spec;
    const struct path *devices = AT(SPEC, "devices"), *counters = AT(SPEC, "sharedCounters");
    bool per_device = spec->has_per_device_node_selection && spec->per_device_node_selection;
    bool tainted = false;
    check_csi_driver_name(e, AT(SPEC, "driver"), spec->driver);
    check_pool(e, AT(SPEC, "pool"), spec->pool);
    if (spec->has_per_device_node_selection && !spec->per_device_node_selection)
        err_invalid_raw(e, AT(SPEC, "perDeviceNodeSelection"), "false",
                        "must be either unset or set to true");
    check_where(
        e, SPEC, spec->node_name, spec->node_selector, spec->has_all_nodes, spec->all_nodes,
        per_device,
        "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is "
        "required");
    for (size_t i = 0; i < spec->n_devices; i++)
        tainted |= spec->devices[i]->n_taints + spec->devices[i]->n_consumes_counters > 0;
    size_t max = tainted ? DEVICES_TAINTED_MAX : DEVICES_MAX;
    if (spec->n_devices > max)
        err_too_many(e, devices, spec->n_devices, max);
    for (size_t i = 0; i < spec->n_devices; i++) {
        check_device(e, ITEM(devices, i), spec->devices[i], per_device);
        for (size_t k = 0; k < i; k++) {
            if (cstr_eq(spec->devices[k]->name, spec->devices[i]->name)) {
                err_duplicate(e, ITEM(devices, i), spec->devices[i]->name);
                break;
            }
        }
    }
    if (spec->n_shared_counters > COUNTER_SETS_MAX)
        err_too_many(e, counters, spec->n_shared_counters, COUNTER_SETS_MAX);
    for (size_t i = 0; i < spec->n_shared_counters; i++) {
        const Resource__V1__CounterSet *set = spec->shared_counters[i];
        check_required_string(e, AT(ITEM(counters, i), "name"), set->name, validate_dns1123_label);
        if (set->n_counters == 0)
            err_required(e, AT(ITEM(counters, i), "counters"), "");
    }
}

static void validate_slice_update(const void *object, const void *old, struct field_errors *e)
{
    const Resource__V1__ResourceSliceSpec *now =
        ((const Resource__V1__ResourceSlice *)object)->spec;
    const Resource__V1__ResourceSliceSpec *was = ((const Resource__V1__ResourceSlice *)old)->spec;
    check_immutable_string(e, AT(SPEC, "driver"), now->driver, was->driver);
    check_immutable_string(e, AT(AT(SPEC, "pool"), "name"), now->pool->name, was->pool->name);
    check_immutable_string(e, AT(SPEC, "nodeName"), now->node_name, was->node_name);
    check_immutable(e, AT(SPEC, "nodeSelector"), now->node_selector, was->node_selector);
    if (now->has_all_nodes != was->has_all_nodes || now->all_nodes != was->all_nodes)
        err_invalid_raw(e, AT(SPEC, "allNodes"),
                        now->has_all_nodes && now->all_nodes ? "true" : "null", IMMUTABLE);
}

static const struct kind_rules rows[] = {
    {.message = Resource__V1__ResourceClaim__SCHEMA,
     .create = validate_claim,
     .update = validate_claim_update,
     .update_alone = true,
     .status = validate_claim_status},
    {.message = Resource__V1__ResourceClaimTemplate__SCHEMA,
     .create = validate_claim_template,
     .update = validate_claim_template_update,
     .update_alone = true},
    {.message = Resource__V1__DeviceClass__SCHEMA, .create = validate_device_class},
    {.message = Resource__V1__ResourceSlice__SCHEMA,
     .create = validate_slice,
     .update = validate_slice_update},
};
const struct rule_table resource_claim_rules = RULE_TABLE(rows);
