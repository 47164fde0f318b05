/*
 * Validation of resource slices: the pool, where its devices are, the devices and the counters they draw on.
 */
#include "api/codec.h"
#include "api/quantity.h"
#include "api/validation/resource_devices.h"
#include <ctype.h>

#define DEVICES_MAX 128
#define DEVICES_WITH_MORE_MAX 64 /* where some have taints or draw on counters */
#define COUNTER_SETS_MAX 8
#define COUNTERS_MAX 32
#define CONSUMPTIONS_MAX 2
#define TRAITS_MAX 32    /* attributes and capacities of a device */
#define TRAIT_KEY_MAX 96 /* as much of it is shown */
#define TRAIT_VALUE_MAX 64
#define TAINTS_MAX 16
#define CHOICES_MAX 10

typedef Resource__V1__ResourceSliceSpec Spec;
typedef Resource__V1__Device Device;
typedef Resource__V1__CapacityRequestPolicy Policy;

/* ---- where devices are ---- */

struct place {
    const char *node_name;
    const Core__V1__NodeSelector *selector;
    bool has_all, all, has_per_device, per_device;
};

/* Empty, or more than one: as the published server shows them. */
static void terms_invalid(struct field_errors *e, const struct path *at,
                          const Core__V1__NodeSelector *s)
{
    struct buf b;
    buf_init(&b);
    buf_append_cstr(&b, s->n_node_selector_terms ? "[" : "null");
    for (size_t i = 0; i < s->n_node_selector_terms; i++) {
        buf_append_cstr(&b, i ? "," : "");
        json_encode(s->node_selector_terms[i], JSON_NO_TYPE_META, &b);
    }
    buf_append_cstr(&b, s->n_node_selector_terms ? "]" : "");
    err_invalid_raw(e, at, buf_cstr(&b), "must have exactly one node selector term");
    buf_free(&b);
}

/* Exactly one way to say it. `of_slice`: of all its devices. */
static void check_place(struct field_errors *e, const struct path *at, const struct place *p,
                        bool of_slice)
{
    static const char of_all[] = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, "
                                 "`perDeviceNodeSelection` is required";
    static const char of_one[] =
        "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when "
        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec";
    static const char unset[] = "must be either unset or set to true";
    const char *ways[] = {p->node_name && *p->node_name ? "`nodeName`" : NULL,
                          p->selector ? "`nodeSelector`" : NULL,
                          p->has_all && p->all ? "`allNodes`" : NULL,
                          p->per_device ? "`perDeviceNodeSelection`" : NULL};
    if (p->node_name && *p->node_name)
        check_string(e, AT(at, "nodeName"), p->node_name, validate_dns1123_subdomain);
    else if (p->node_name)
        err_invalid(e, AT(at, "nodeName"), "",
                    of_slice ? "must be either unset or set to a non-empty string"
                             : "must not be empty");
    if (p->selector)
        check_node_selector(e, AT(at, "nodeSelector"), p->selector);
    if (p->selector && of_slice && p->selector->n_node_selector_terms != 1)
        terms_invalid(e, AT(AT(at, "nodeSelector"), "nodeSelectorTerms"), p->selector);
    if (p->has_all && !p->all)
        err_invalid_raw(e, AT(at, "allNodes"), "false", unset);
    if (p->has_per_device && !p->per_device)
        err_invalid_raw(e, AT(at, "perDeviceNodeSelection"), "false", unset);
    const char *list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!ways[i])
            continue;
        list = list ? arena_printf(e->arena, "%s, %s", list, ways[i]) : ways[i];
        n++;
    }
    if (n == 0)
        err_required(e, at, of_slice ? of_all : of_one);
    else if (n > 1)
        err_invalid(e, at, arena_printf(e->arena, "{%s}", list),
                    of_slice ? arena_printf(e->arena, "%s, but multiple fields are set", of_all)
                             : of_one);
}

/* ---- attributes ---- */

static const char *shortened(struct arena *a, const char *key)
{
    size_t n = strlen(key), rest = TRAIT_KEY_MAX - 3;
    if (n <= TRAIT_KEY_MAX)
        return key;
    return arena_printf(a, "%.*s...%s", (int)((rest + 1) / 2), key, key + n - rest / 2);
}

/* After a '-' or '+': runs of letters, digits and hyphens, with points between. `strict`: numbers among them have no
 * leading zero. */
static bool skip_identifiers(const char **at, bool strict)
{
    const char *s = *at;
    do {
        size_t n = 0;
        bool digits = true;
        for (s++; isalnum((unsigned char)s[n]) || s[n] == '-'; n++)
            digits &= isdigit((unsigned char)s[n]) != 0;
        if (n == 0 || (strict && digits && n > 1 && *s == '0'))
            return false;
        s += n;
    } while (*s == '.');
    *at = s;
    return true;
}

/* semver.org 2.0.0 */
static bool is_semver(const char *s)
{
    for (int i = 0; i < 3; i++) {
        size_t n = strspn(s, "0123456789");
        if (n == 0 || (n > 1 && *s == '0'))
            return false;
        s += n;
        if (i < 2 && *s++ != '.')
            return false;
    }
    return (*s != '-' || skip_identifiers(&s, true)) &&
           (*s != '+' || skip_identifiers(&s, false)) && *s == 0;
}

static const char *attribute_text(struct arena *a, const Resource__V1__DeviceAttribute *v)
{
    return arena_printf(a,
                        "{\"IntValue\":%s,\"BoolValue\":%s,\"StringValue\":%s,\"VersionValue\":%s}",
                        v->has_int_ ? arena_printf(a, "%lld", (long long)v->int_) : "null",
                        !v->has_bool_ ? "null"
                        : v->bool_    ? "true"
                                      : "false",
                        v->string ? field_quote(a, v->string) : "null",
                        v->version ? field_quote(a, v->version) : "null");
}

static void check_attribute(struct field_errors *e, const struct path *at,
                            const Resource__V1__DeviceAttribute *a)
{
    int set = a->has_int_ + a->has_bool_ + (a->string != NULL) + (a->version != NULL);
    if (a->string && strlen(a->string) > TRAIT_VALUE_MAX)
        err_too_long(e, AT(at, "string"), TRAIT_VALUE_MAX);
    if (a->version && !is_semver(a->version))
        err_invalid(e, AT(at, "version"), a->version,
                    "must be a string compatible with semver.org spec 2.0.0");
    if (a->version && strlen(a->version) > TRAIT_VALUE_MAX)
        err_too_long(e, AT(at, "version"), TRAIT_VALUE_MAX);
    if (set == 0)
        err_invalid(e, at, "", "exactly one value must be specified");
    else if (set > 1)
        err_invalid_raw(e, at, attribute_text(e->arena, a), "exactly one value must be specified");
}

/* ---- capacities that may be shared ---- */

static struct quantity amount(const Meta__V1__Quantity *q)
{
    return quantity_of(q ? q->string : NULL);
}

static const char *amount_text(struct arena *a, const Meta__V1__Quantity *q)
{
    return quantity_text(a, amount(q));
}

/* Without a suffix. */
static const char *amount_decimal(struct arena *a, const Meta__V1__Quantity *q)
{
    __int128 nanos = amount(q).nanos;
    return nanos % 1000000000 ? amount_text(a, q)
                              : arena_printf(a, "%lld", (long long)(nanos / 1000000000));
}

static int amount_cmp(const Meta__V1__Quantity *a, const Meta__V1__Quantity *b)
{
    return quantity_cmp(amount(a), amount(b));
}

/* "`value`: WHAT: LIMIT" when one amount is over the other. */
static void check_over(struct field_errors *e, const struct path *at, const Meta__V1__Quantity *low,
                       const Meta__V1__Quantity *high, const Meta__V1__Quantity *shown,
                       const char *what)
{
    const Meta__V1__Quantity *limit = shown == low ? high : low;
    if (amount_cmp(low, high) > 0)
        err_invalid(e, at, amount_text(e->arena, shown),
                    arena_printf(e->arena, "%s: %s", what, amount_text(e->arena, limit)));
}

static void check_choices(struct field_errors *e, const struct path *at, const Policy *p,
                          const Meta__V1__Quantity *capacity)
{
    bool found = false;
    for (size_t i = 1; i < p->n_valid_values; i++) {
        if (amount_cmp(p->valid_values[i - 1], p->valid_values[i]) > 0)
            err_invalid(e, ITEM(at, i), amount_text(e->arena, p->valid_values[i]),
                        "values must be sorted in ascending order");
    }
    if (check_size(e, at, p->n_valid_values, CHOICES_MAX)) {
        for (size_t i = 0; i < p->n_valid_values; i++) {
            check_over(e, ITEM(at, i), p->valid_values[i], capacity, p->valid_values[i],
                       "option is larger than capacity value");
            found |= amount_cmp(p->valid_values[i], p->default_) == 0;
        }
        for (size_t i = 0; i < p->n_valid_values; i++) {
            for (size_t k = 0; k < i; k++) {
                if (amount_cmp(p->valid_values[k], p->valid_values[i]) != 0)
                    continue;
                err_duplicate(e, ITEM(at, i), amount_decimal(e->arena, p->valid_values[i]));
                break;
            }
        }
    }
    if (!found)
        err_invalid(e, at, amount_text(e->arena, p->default_),
                    "default value is not valid according to the requestPolicy");
}

static void check_step(struct field_errors *e, const struct path *at,
                       const Meta__V1__Quantity *value,
                       const Resource__V1__CapacityRequestPolicyRange *r)
{
    int64_t step = quantity_value(amount(r->step));
    __int128 over = (__int128)quantity_value(amount(value)) - quantity_value(amount(r->min));
    if (over % step != 0)
        err_invalid(e, at, amount_text(e->arena, value),
                    arena_printf(e->arena, "value is not a multiple of a given step (%s) from (%s)",
                                 amount_text(e->arena, r->step), amount_text(e->arena, r->min)));
}

static void check_steps(struct field_errors *e, const struct path *at, const Policy *p,
                        const Meta__V1__Quantity *capacity)
{
    const Resource__V1__CapacityRequestPolicyRange *r = p->valid_range;
    if (amount(r->step).nanos <= 0) {
        err_invalid(e, at, amount_text(e->arena, r->step), "must be greater than zero");
        return;
    }
    struct quantity first = quantity_add(amount(r->min), amount(r->step));
    if (quantity_cmp(first, amount(capacity)) > 0)
        err_invalid(e, at, amount_text(e->arena, r->step),
                    arena_printf(e->arena, "one step %s is larger than capacity value: %s",
                                 quantity_text(e->arena, first), amount_text(e->arena, capacity)));
    check_step(e, at, p->default_, r);
    if (r->max)
        check_step(e, at, r->max, r);
}

static void check_range_policy(struct field_errors *e, const struct path *at, const Policy *p,
                               const Meta__V1__Quantity *capacity)
{
    const Resource__V1__CapacityRequestPolicyRange *r = p->valid_range;
    if (!r->min) {
        err_required(e, AT(at, "min"), "required when validRange is defined");
        return;
    }
    check_over(e, AT(at, "min"), r->min, capacity, r->min, "min is larger than capacity value");
    check_over(e, AT(at, "min"), r->min, p->default_, p->default_, "default is less than min");
    if (r->max) {
        check_over(e, AT(at, "max"), r->min, r->max, r->min, "min is larger than max");
        check_over(e, AT(at, "max"), r->max, capacity, r->max, "max is larger than capacity value");
        check_over(e, AT(at, "max"), p->default_, r->max, p->default_, "default is more than max");
    }
    if (r->step)
        check_steps(e, AT(at, "step"), p, capacity);
}

static void check_policy(struct field_errors *e, const struct path *at, const Policy *p,
                         const Meta__V1__Quantity *capacity)
{
    if (p->n_valid_values > 0 && p->valid_range)
        err_forbidden(e, at,
                      "exactly one policy can be specified, cannot specify \"validValues\" and "
                      "\"validRange\" at the same time");
    else if (p->n_valid_values > 0 && !p->default_)
        err_required(e, AT(at, "default"), "required when validValues is defined");
    else if (p->n_valid_values > 0)
        check_choices(e, AT(at, "validValues"), p, capacity);
    else if (p->valid_range && !p->default_)
        err_required(e, AT(at, "default"), "required when validRange is defined");
    else if (p->valid_range)
        check_range_policy(e, AT(at, "validRange"), p, capacity);
}

/* ---- a device ---- */

static void check_traits(struct field_errors *e, const struct path *at, const Device *d)
{
    const struct path *attributes = AT(at, "attributes"), *capacity = AT(at, "capacity");
    bool shared = d->has_allow_multiple_allocations && d->allow_multiple_allocations;
    if (d->n_attributes + d->n_capacity > TRAITS_MAX)
        err_invalid_int(e, at, (int64_t)(d->n_attributes + d->n_capacity),
                        "the total number of attributes and capacities must not exceed 32");
    for (size_t i = 0; i < d->n_attributes; i++) {
        const char *key = d->attributes[i]->key;
        check_trait_name(e, attributes, key, false);
        check_attribute(e, KEY(attributes, shortened(e->arena, key)), d->attributes[i]->value);
    }
    for (size_t i = 0; i < d->n_capacity; i++) {
        const Resource__V1__DeviceCapacity *c = d->capacity[i]->value;
        const struct path *item = KEY(capacity, shortened(e->arena, d->capacity[i]->key));
        check_trait_name(e, capacity, d->capacity[i]->key, false);
        if (c->request_policy && !shared)
            err_forbidden(e, AT(item, "requestPolicy"), "allowMultipleAllocations must be true");
        else if (c->request_policy)
            check_policy(e, AT(item, "requestPolicy"), c->request_policy, c->value);
    }
}

static void check_device_taints(struct field_errors *e, const struct path *at, const Device *d,
                                const Device *old)
{
    bool same = old && old->n_taints == d->n_taints;
    for (size_t i = 0; same && i < d->n_taints; i++)
        same = object_equal(d->taints[i], old->taints[i]);
    if (same || !check_size(e, at, d->n_taints, TAINTS_MAX))
        return;
    for (size_t i = 0; i < d->n_taints; i++) {
        const struct path *item = ITEM(at, i);
        check_string(e, AT(item, "key"), d->taints[i]->key, validate_qualified_name);
        check_optional(e, AT(item, "value"), d->taints[i]->value, validate_label_value);
        check_required_one_of(e, AT(item, "effect"), d->taints[i]->effect, DEVICE_EFFECTS);
    }
}

static void check_counters(struct field_errors *e, const struct path *at,
                           Resource__V1__CounterEntry *const *counters, size_t n)
{
    if (n == 0)
        err_required(e, at, "");
    if (!check_size(e, at, n, COUNTERS_MAX))
        return;
    for (size_t i = 0; i < n; i++)
        check_string(e, at, counters[i]->key, validate_dns1123_label);
}

static const char *consumed_set(struct arena *a, const void *item)
{
    (void)a;
    return ((const Resource__V1__DeviceCounterConsumption *)item)->counter_set;
}

static void check_consumptions(struct field_errors *e, const struct path *at, const Device *d)
{
    if (!check_size(e, at, d->n_consumes_counters, CONSUMPTIONS_MAX))
        return;
    for (size_t i = 0; i < d->n_consumes_counters; i++) {
        const Resource__V1__DeviceCounterConsumption *c = d->consumes_counters[i];
        check_required_string(e, AT(ITEM(at, i), "counterSet"), c->counter_set,
                              validate_dns1123_label);
        check_counters(e, AT(ITEM(at, i), "counters"), c->counters, c->n_counters);
    }
    check_unique(e, at, (void *const *)d->consumes_counters, d->n_consumes_counters, consumed_set);
}

static void check_device(struct field_errors *e, const struct path *at, const Device *d,
                         const Device *old, bool per_device)
{
    check_string(e, AT(at, "name"), d->name, validate_dns1123_label);
    check_traits(e, at, d);
    check_device_taints(e, AT(at, "taints"), d, old);
    check_consumptions(e, AT(at, "consumesCounters"), d);
    if (per_device)
        check_place(e, at,
                    &(struct place){.node_name = d->node_name,
                                    .selector = d->node_selector,
                                    .has_all = d->has_all_nodes,
                                    .all = d->all_nodes},
                    false);
    else if (d->node_name || d->node_selector || d->has_all_nodes)
        err_invalid_raw(e, at, "null",
                        "`nodeName`, `nodeSelector` and `allNodes` can only be set if "
                        "`perDeviceNodeSelection` is set to true in the ResourceSlice spec");
    check_binding_conditions(e, at, d->binding_conditions, d->n_binding_conditions,
                             d->binding_failure_conditions, d->n_binding_failure_conditions);
}

/* ---- the slice ---- */

static const char *device_name(struct arena *a, const void *item)
{
    (void)a;
    return ((const Device *)item)->name;
}

static const Device *find_device(const Spec *spec, const char *name)
{
    for (size_t i = 0; spec && i < spec->n_devices; i++) {
        if (cstr_eq(spec->devices[i]->name, name))
            return spec->devices[i];
    }
    return NULL;
}

static void check_devices(struct field_errors *e, const struct path *at, const Spec *spec,
                          const Spec *old, bool per_device)
{
    bool more = false;
    for (size_t i = 0; i < spec->n_devices; i++)
        more |= spec->devices[i]->n_taints + spec->devices[i]->n_consumes_counters > 0;
    if (!check_size(e, at, spec->n_devices, more ? DEVICES_WITH_MORE_MAX : DEVICES_MAX))
        return;
    for (size_t i = 0; i < spec->n_devices; i++)
        check_device(e, ITEM(at, i), spec->devices[i], find_device(old, spec->devices[i]->name),
                     per_device);
    check_unique(e, at, (void *const *)spec->devices, spec->n_devices, device_name);
}

static const char *set_name(struct arena *a, const void *item)
{
    (void)a;
    return ((const Resource__V1__CounterSet *)item)->name;
}

static void check_counter_sets(struct field_errors *e, const struct path *at, const Spec *spec)
{
    if (!check_size(e, at, spec->n_shared_counters, COUNTER_SETS_MAX))
        return;
    for (size_t i = 0; i < spec->n_shared_counters; i++) {
        const Resource__V1__CounterSet *set = spec->shared_counters[i];
        check_required_string(e, AT(ITEM(at, i), "name"), set->name, validate_dns1123_label);
        check_counters(e, AT(ITEM(at, i), "counters"), set->counters, set->n_counters);
    }
    check_unique(e, at, (void *const *)spec->shared_counters, spec->n_shared_counters, set_name);
}

static void check_pool(struct field_errors *e, const struct path *at,
                       const Resource__V1__ResourcePool *pool)
{
    check_pool_name(e, AT(at, "name"), pool->name);
    if (pool->resource_slice_count <= 0)
        err_invalid_int(e, AT(at, "resourceSliceCount"), pool->resource_slice_count,
                        "must be greater than zero");
    if (pool->generation < 0)
        err_invalid_int(e, AT(at, "generation"), pool->generation,
                        "must be greater than or equal to zero");
}

static void check_slice(struct field_errors *e, const Spec *spec, const Spec *old)
{
    const struct place place = {.node_name = spec->node_name,
                                .selector = spec->node_selector,
                                .has_all = spec->has_all_nodes,
                                .all = spec->all_nodes,
                                .has_per_device = spec->has_per_device_node_selection,
                                .per_device = spec->has_per_device_node_selection &&
                                              spec->per_device_node_selection};
    check_csi_driver_name(e, AT(SPEC, "driver"), spec->driver);
    check_pool(e, AT(SPEC, "pool"), spec->pool);
    if (old) {
        check_immutable_string(e, AT(AT(SPEC, "pool"), "name"), spec->pool->name, old->pool->name);
        check_immutable_string(e, AT(SPEC, "driver"), spec->driver, old->driver);
        check_immutable_string(e, AT(SPEC, "nodeName"), spec->node_name, old->node_name);
    }
    check_place(e, SPEC, &place, true);
    if (spec->n_shared_counters > 0 && spec->n_devices > 0)
        err_invalid(e, SPEC, "", "only one of `sharedCounters` or `devices` is allowed");
    check_devices(e, AT(SPEC, "devices"), spec, old, place.per_device);
    check_counter_sets(e, AT(SPEC, "sharedCounters"), spec);
}

void validate_slice(const void *object, struct field_errors *e)
{
    check_slice(e, ((const Resource__V1__ResourceSlice *)object)->spec, NULL);
}

void validate_slice_update(const void *object, const void *old, struct field_errors *e)
{
    check_slice(e, ((const Resource__V1__ResourceSlice *)object)->spec,
                ((const Resource__V1__ResourceSlice *)old)->spec);
}
