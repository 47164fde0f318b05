/*
 * Validation of a claim's status: what was allocated, for whom it is reserved, and what drivers say of the devices.
 */
#include "api/validation/resource_devices.h"
#include <ctype.h>

#define RESERVED_MAX 256
#define RESULTS_MAX 32
#define CONFIGS_MAX 64
#define CONDITIONS_MAX 8
#define INTERFACE_NAME_MAX 256
#define HARDWARE_ADDRESS_MAX 128
#define IPS_MAX 16

/* As github.com/google/uuid takes them: also with braces, with a prefix or without hyphens. */
static const char *uid_problem(struct arena *a, struct str s)
{
    if (s.n == 36 + 9) {
        if (strncasecmp(s.p, "urn:uuid:", 9) != 0)
            return arena_printf(a, "invalid urn prefix: %s",
                                field_quote(a, arena_strndup(a, s.p, 9)));
        s = str_slice(s, 9, s.n);
    } else if (s.n == 36 + 2) {
        if (s.p[0] != '{' || s.p[s.n - 1] != '}')
            return "invalid bracketed UUID format";
        s = str_slice(s, 1, s.n - 1);
    } else if (s.n != 36 && s.n != 32) {
        return arena_printf(a, "invalid UUID length: %zu", s.n);
    }
    for (size_t i = 0; i < s.n; i++) {
        bool hyphen = s.n == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
        if (hyphen ? s.p[i] != '-' : !isxdigit((unsigned char)s.p[i]))
            return "invalid UUID format";
    }
    return NULL;
}

static void check_share_id(struct field_errors *e, const struct path *at, const char *uid)
{
    const char *wrong = uid ? uid_problem(e->arena, str_from(uid)) : NULL;
    if (wrong)
        err_invalid(e, at, uid, arena_printf(e->arena, "error validating uid: %s", wrong));
    else if (uid && (strlen(uid) != 36 || strpbrk(uid, "ABCDEF")))
        err_invalid(e, at, uid,
                    "uid must be in RFC 4122 normalized form, "
                    "`xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters");
}

/* ---- what was allocated ---- */

static void check_result(struct field_errors *e, const struct path *at,
                         const Resource__V1__DeviceClaim *claim,
                         const Resource__V1__DeviceRequestAllocationResult *r)
{
    check_request_ref(e, AT(at, "request"), claim, r->request);
    check_csi_driver_name(e, AT(at, "driver"), r->driver);
    check_pool_name(e, AT(at, "pool"), r->pool);
    check_string(e, AT(at, "device"), r->device, validate_dns1123_label);
    check_binding_conditions(e, at, r->binding_conditions, r->n_binding_conditions,
                             r->binding_failure_conditions, r->n_binding_failure_conditions);
    check_device_tolerations(e, AT(at, "tolerations"), r->tolerations, r->n_tolerations);
    check_share_id(e, AT(at, "shareID"), r->share_id);
}

static void check_allocation_result(struct field_errors *e, const struct path *at,
                                    const Resource__V1__DeviceClaim *claim,
                                    const Resource__V1__AllocationResult *a)
{
    const Resource__V1__DeviceAllocationResult *d = a->devices;
    const struct path *results = AT(AT(at, "devices"), "results");
    const struct path *config = AT(AT(at, "devices"), "config");
    if (check_size(e, results, d->n_results, RESULTS_MAX)) {
        for (size_t i = 0; i < d->n_results; i++)
            check_result(e, ITEM(results, i), claim, d->results[i]);
    }
    if (check_size(e, config, d->n_config, CONFIGS_MAX)) {
        for (size_t i = 0; i < d->n_config; i++) {
            const Resource__V1__DeviceAllocationConfiguration *c = d->config[i];
            check_required_one_of(e, AT(ITEM(config, i), "source"), c->source,
                                  ONE_OF("FromClaim", "FromClass"));
            check_request_refs(e, AT(ITEM(config, i), "requests"), claim, c->requests,
                               c->n_requests);
            check_device_config(e, ITEM(config, i), c->device_configuration);
        }
    }
    if (a->node_selector)
        check_node_selector(e, AT(at, "nodeSelector"), a->node_selector);
}

/* ---- what drivers say of the devices ---- */

/* As JSON: how the published server names a device. */
static const char *device_id(struct arena *a, const char *driver, const char *pool,
                             const char *device, const char *share)
{
    return arena_printf(a, "{\"Driver\":%s,\"Pool\":%s,\"Device\":%s,\"ShareID\":%s}",
                        field_quote(a, driver), field_quote(a, pool), field_quote(a, device),
                        field_quote(a, share ? share : ""));
}

static const char *id_of(struct arena *a, const Resource__V1__AllocatedDeviceStatus *d)
{
    return device_id(a, d->driver, d->pool, d->device, d->share_id);
}

/* Their ids. */
static struct seen allocated_devices(struct arena *a,
                                     const Resource__V1__AllocationResult *allocation)
{
    struct seen out = {.arena = a};
    for (size_t i = 0; allocation && i < allocation->devices->n_results; i++) {
        const Resource__V1__DeviceRequestAllocationResult *r = allocation->devices->results[i];
        seen_again(&out, device_id(a, r->driver, r->pool, r->device, r->share_id));
    }
    return out;
}

static void check_network(struct field_errors *e, const struct path *at,
                          const Resource__V1__NetworkDeviceData *n)
{
    const struct path *ips = AT(at, "ips");
    if (!n)
        return;
    if (strlen(n->interface_name) > INTERFACE_NAME_MAX)
        err_too_long(e, AT(at, "interfaceName"), INTERFACE_NAME_MAX);
    if (strlen(n->hardware_address) > HARDWARE_ADDRESS_MAX)
        err_too_long(e, AT(at, "hardwareAddress"), HARDWARE_ADDRESS_MAX);
    if (!check_size(e, ips, n->n_ips, IPS_MAX))
        return;
    for (size_t i = 0; i < n->n_ips; i++)
        check_interface_address(e, ITEM(ips, i), n->ips[i]);
    for (size_t i = 0; i < n->n_ips; i++) {
        if (string_list_has(n->ips, i, n->ips[i]))
            err_duplicate(e, ITEM(ips, i), n->ips[i]);
    }
}

static void check_device_status(struct field_errors *e, const struct path *at,
                                const Resource__V1__AllocatedDeviceStatus *d, const char *id,
                                const struct seen *allocated)
{
    check_csi_driver_name(e, AT(at, "driver"), d->driver);
    check_pool_name(e, AT(at, "pool"), d->pool);
    check_string(e, AT(at, "device"), d->device, validate_dns1123_label);
    check_share_id(e, AT(at, "shareID"), d->share_id);
    if (!seen_has(allocated, id))
        err_invalid_raw(e, at, id, "must be an allocated device in the claim");
    check_size(e, AT(at, "conditions"), d->n_conditions, CONDITIONS_MAX);
    check_conditions(e, AT(at, "conditions"), d->conditions, d->n_conditions);
    if (d->data && d->data->raw.len > 0)
        check_device_parameters(e, AT(at, "data"), d->data);
    check_network(e, AT(at, "networkData"), d->network_data);
}

static void check_device_statuses(struct field_errors *e, const struct path *at,
                                  const Resource__V1__ResourceClaimStatus *s)
{
    const struct seen allocated = allocated_devices(e->arena, s->allocation);
    const char **ids = arena_array(e->arena, const char *, s->n_devices + 1);
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < s->n_devices; i++) {
        ids[i] = id_of(e->arena, s->devices[i]);
        check_device_status(e, ITEM(at, i), s->devices[i], ids[i], &allocated);
    }
    for (size_t i = 0; i < s->n_devices; i++) {
        if (seen_again(&seen, ids[i]))
            err_duplicate_raw(e, ITEM(at, i), ids[i]);
    }
}

/* ---- the whole ---- */

static const char *consumer_uid(struct arena *a, const void *item)
{
    (void)a;
    return ((const Resource__V1__ResourceClaimConsumerReference *)item)->uid;
}

static void check_reserved(struct field_errors *e, const struct path *at,
                           const Resource__V1__ResourceClaimStatus *s)
{
    if (!check_size(e, at, s->n_reserved_for, RESERVED_MAX))
        return;
    for (size_t i = 0; i < s->n_reserved_for; i++) {
        const Resource__V1__ResourceClaimConsumerReference *c = s->reserved_for[i];
        check_required(e, AT(ITEM(at, i), "resource"), c->resource);
        check_required(e, AT(ITEM(at, i), "name"), c->name);
        check_required(e, AT(ITEM(at, i), "uid"), c->uid);
    }
    check_unique(e, at, (void *const *)s->reserved_for, s->n_reserved_for, consumer_uid);
}

static bool has_new_consumer(const Resource__V1__ResourceClaimStatus *now,
                             const Resource__V1__ResourceClaimStatus *was)
{
    for (size_t i = 0; i < now->n_reserved_for; i++) {
        bool known = false;
        for (size_t k = 0; k < was->n_reserved_for; k++)
            known |= object_equal(now->reserved_for[i], was->reserved_for[k]);
        if (!known)
            return true;
    }
    return false;
}

void validate_claim_status(const void *object, const void *old, struct field_errors *e)
{
    const Resource__V1__ResourceClaim *claim = object;
    const Resource__V1__ResourceClaimStatus *now = claim->status;
    const Resource__V1__ResourceClaimStatus *was =
        ((const Resource__V1__ResourceClaim *)old)->status;
    const struct path *at = AT(NULL, "status"), *reserved = AT(at, "reservedFor");
    check_reserved(e, reserved, now);
    check_device_statuses(e, AT(at, "devices"), now);
    if (now->n_reserved_for > 0 && !now->allocation)
        err_forbidden(e, reserved, "may not be specified when `allocated` is not set");
    else if (claim->metadata->deletion_timestamp && now->n_reserved_for <= RESERVED_MAX &&
             has_new_consumer(now, was))
        err_forbidden(e, reserved,
                      "new entries may not be added while `deallocationRequested` or "
                      "`deletionTimestamp` are set");
    if (was->allocation && now->allocation)
        check_immutable(e, AT(at, "allocation"), now->allocation, was->allocation);
    else if (now->allocation)
        check_allocation_result(e, AT(at, "allocation"), claim->spec->devices, now->allocation);
}
