/*
 * Validation of resource names and amounts: requests and limits of containers and pods, limit ranges,
 * quotas.
 */
#include "api/quantity.h"
#include "api/validation/pod.h"

/* --- names ----------------------------------------------------------------------------------- */

static bool has_prefix(const char *s, const char *prefix)
{
    return strncmp(s, prefix, strlen(prefix)) == 0;
}

static bool is_huge_pages(const char *name)
{
    return has_prefix(name, "hugepages-");
}

/* Without a prefix, or of kubernetes.io. */
static bool is_native(const char *name)
{
    return !strchr(name, '/') || strstr(name, "kubernetes.io/");
}

static bool is_standard_container_resource(const char *name)
{
    return is_one_of(name, ONE_OF("cpu", "memory", "ephemeral-storage")) || is_huge_pages(name);
}

static bool is_standard_quota_resource(const char *name)
{
    static const char *const names[] = {"cpu",
                                        "memory",
                                        "ephemeral-storage",
                                        "requests.cpu",
                                        "requests.memory",
                                        "requests.storage",
                                        "requests.ephemeral-storage",
                                        "limits.cpu",
                                        "limits.memory",
                                        "limits.ephemeral-storage",
                                        "pods",
                                        "resourcequotas",
                                        "services",
                                        "replicationcontrollers",
                                        "secrets",
                                        "persistentvolumeclaims",
                                        "configmaps",
                                        "services.nodeports",
                                        "services.loadbalancers",
                                        NULL};
    return is_one_of(name, names) || is_huge_pages(name) || has_prefix(name, "requests.hugepages-");
}

static bool is_standard_resource(const char *name)
{
    return is_standard_quota_resource(name) || strcmp(name, "storage") == 0;
}

static bool is_extended(const char *name)
{
    return !is_native(name) && !has_prefix(name, "requests.");
}

bool is_extended_resource(struct arena *a, const char *name)
{
    return is_extended(name) && !validate_qualified_name(arena_printf(a, "requests.%s", name));
}

static bool overcommit_allowed(const char *name)
{
    return is_native(name) && !is_huge_pages(name);
}

/* Whole numbers only: counted objects and extended resources. */
static bool is_integer_resource(const char *name)
{
    return is_one_of(name, ONE_OF("pods", "services", "replicationcontrollers", "resourcequotas",
                                  "secrets", "configmaps", "persistentvolumeclaims",
                                  "services.nodeports", "services.loadbalancers")) ||
           is_extended(name);
}

static bool check_resource_name(struct field_errors *e, const struct path *at, const char *name)
{
    if (!check_string(e, at, name, validate_qualified_name))
        return false;
    if (strchr(name, '/') || is_standard_resource(name))
        return true;
    err_invalid(e, at, name, "must be a standard resource type or fully qualified");
    return false;
}

void check_container_resource_name(struct field_errors *e, const struct path *at, const char *name)
{
    check_resource_name(e, at, name);
    if (!strchr(name, '/')) {
        if (!is_standard_container_resource(name))
            err_invalid(e, at, name, "must be a standard resource for containers");
    } else if (!is_native(name) && !is_extended(name)) {
        err_invalid(e, at, name, "doesn't follow extended resource name standard");
    }
}

static void check_pod_resource_name(struct field_errors *e, const struct path *at, const char *name)
{
    if (check_resource_name(e, at, name) && !is_huge_pages(name))
        check_one_of(e, at, name, ONE_OF("cpu", "hugepages-*", "memory"));
}

static void check_quota_resource_name(struct field_errors *e, const struct path *at,
                                      const char *name)
{
    check_resource_name(e, at, name);
    if (!strchr(name, '/') && !is_standard_quota_resource(name))
        err_invalid(e, at, name, "must be a standard resource for quota");
}

/* --- amounts --------------------------------------------------------------------------------- */

static bool is_whole(struct quantity q)
{
    return q.nanos % 1000000000 == 0;
}

void check_resource_amount(struct field_errors *e, const struct path *at, const char *name,
                           const char *text)
{
    check_quantity_non_negative(e, at, text);
    if (is_integer_resource(name) && !is_whole(quantity_of(text)))
        err_invalid(e, at, text, "must be an integer");
}

/* A multiple of the page's size. */
static void check_huge_pages(struct field_errors *e, const struct path *at, const char *name,
                             const char *text)
{
    struct quantity page, amount = quantity_of(text);
    bool divisible = quantity_parse(str_from(name + strlen("hugepages-")), &page, NULL) == 0 &&
                     page.nanos > 0 && amount.nanos % page.nanos == 0;
    if (!divisible)
        err_invalid(
            e, at, text,
            arena_printf(e->arena, "%s is not positive integer multiple of %s", text, name));
}

typedef void name_rule(struct field_errors *e, const struct path *at, const char *name);

/* What the lists hold: huge pages are only good beside cpu or memory. */
struct kinds_seen {
    bool huge_pages, compute;
};

static void check_amounts(struct field_errors *e, const struct path *at,
                          Meta__V1__QuantityEntry *const *items, size_t n, name_rule *rule,
                          struct kinds_seen *seen)
{
    for (size_t i = 0; i < n; i++) {
        const char *name = items[i]->key, *text = items[i]->value->string;
        const struct path *key = KEY(at, name);
        rule(e, key, name);
        check_resource_amount(e, key, name, text);
        if (is_huge_pages(name)) {
            seen->huge_pages = true;
            check_huge_pages(e, key, name, text);
        }
        seen->compute |= strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0;
    }
}

/* Amounts by their names. */
static struct seen amounts_of(struct arena *a, Meta__V1__QuantityEntry *const *items, size_t n)
{
    struct seen out = {.arena = a};
    for (size_t i = 0; i < n; i++)
        seen_put(&out, items[i]->key, items[i]->value->string);
    return out;
}

static void check_requests_fit(struct field_errors *e, const struct path *at,
                               const Core__V1__ResourceRequirements *r)
{
    const struct seen limits = amounts_of(e->arena, r->limits, r->n_limits);
    for (size_t i = 0; i < r->n_requests; i++) {
        const char *name = r->requests[i]->key, *request = r->requests[i]->value->string;
        const char *limit = seen_value(&limits, name);
        if (!limit) {
            if (!overcommit_allowed(name))
                err_required(e, AT(at, "limits"),
                             "Limit must be set for non overcommitable resources");
            continue;
        }
        int order = quantity_cmp(quantity_of(request), quantity_of(limit));
        if (order != 0 && !overcommit_allowed(name))
            err_invalid(e, AT(at, "requests"), request,
                        arena_printf(e->arena, "must be equal to %s limit of %s", name, limit));
        else if (order > 0)
            err_invalid(e, AT(at, "requests"), request,
                        arena_printf(e->arena, "must be less than or equal to %s limit of %s", name,
                                     limit));
    }
}

static void check_requirements(struct field_errors *e, const struct path *at,
                               const Core__V1__ResourceRequirements *r, name_rule *rule)
{
    struct kinds_seen seen = {0};
    check_amounts(e, AT(at, "limits"), r->limits, r->n_limits, rule, &seen);
    check_amounts(e, AT(at, "requests"), r->requests, r->n_requests, rule, &seen);
    check_requests_fit(e, at, r);
    if (seen.huge_pages && !seen.compute)
        err_forbidden(e, at, "HugePages require cpu or memory");
}

/* --- claims ---------------------------------------------------------------------------------- */

#define CLAIM_NAMES_MAX 4000 /* bytes of a message that lists names */

/* Claims of a container met so far: all, those whole, those of one request. */
struct claims_seen {
    struct seen names, whole, requests;
};

/* The whole claim overlaps with each of its requests. NULL: this one stands there for the first time. */
static const char *claim_again(struct arena *a, struct claims_seen *s,
                               const Core__V1__ResourceClaim *c)
{
    bool name = seen_again(&s->names, c->name);
    if (!*c->request)
        return seen_again(&s->whole, c->name) || name ? c->name : NULL;
    if (seen_pair_again(&s->requests, c->name, c->request))
        return arena_printf(a, "%s/%s", c->name, c->request);
    return seen_has(&s->whole, c->name) ? c->name : NULL;
}

/* What is said of an unknown one; the names are cut where they get long. */
static const char *unknown_claim(struct arena *a, const Core__V1__PodSpec *spec)
{
    struct buf text = {0};
    buf_append_cstr(&text, "must be one of the names in pod.spec.resourceClaims");
    for (size_t i = 0; i < spec->n_resource_claims && text.len < CLAIM_NAMES_MAX; i++)
        buf_printf(&text, "%s%s", i ? ", " : ": ", spec->resource_claims[i]->name);
    if (spec->n_resource_claims == 0)
        buf_append_cstr(&text, " which is empty");
    const char *out = arena_strdup(a, buf_cstr(&text));
    buf_free(&text);
    return out;
}

static void check_claims(struct pod_check *p, const struct path *at,
                         const Core__V1__ResourceRequirements *r)
{
    struct field_errors *e = p->e;
    struct arena *a = e->arena;
    struct claims_seen before = {.names.arena = a, .whole.arena = a, .requests.arena = a};
    struct seen known = {.arena = a};
    const char *detail = NULL;
    for (size_t i = 0; i < p->spec->n_resource_claims && r->n_claims > 0; i++)
        seen_again(&known, p->spec->resource_claims[i]->name);
    for (size_t i = 0; i < r->n_claims; i++) {
        const struct path *item = ITEM(at, i);
        const Core__V1__ResourceClaim *c = r->claims[i];
        if (!check_required(e, item, c->name))
            continue;
        check_optional(e, AT(item, "request"), c->request, validate_dns1123_label);
        const char *twice = claim_again(a, &before, c);
        if (twice)
            err_duplicate(e, item, twice);
        if (seen_has(&known, c->name))
            continue;
        detail = detail ? detail : unknown_claim(a, p->spec);
        err_not_found_because(e, item, c->name, detail);
    }
}

/* --- containers and pods --------------------------------------------------------------------- */

void check_container_resources(struct pod_check *p, const struct path *at,
                               const Core__V1__ResourceRequirements *r)
{
    if (!r)
        return;
    check_requirements(p->e, at, r, check_container_resource_name);
    check_claims(p, AT(at, "claims"), r);
}

void check_overhead(struct field_errors *e, const struct path *at,
                    Meta__V1__QuantityEntry *const *items, size_t n)
{
    const Core__V1__ResourceRequirements r = {.n_limits = n,
                                              .limits = (Meta__V1__QuantityEntry **)items};
    check_requirements(e, at, &r, check_container_resource_name);
}

/* What containers request of one resource: together, of it init containers that stay, and the most at one time. */
struct requested {
    const char *name;
    struct quantity sum, stay, most;
};

static void count_requests(const struct seen *by_name, const Core__V1__Container *c, bool init)
{
    for (size_t i = 0; i < c->resources->n_requests; i++) {
        const Meta__V1__QuantityEntry *entry = c->resources->requests[i];
        struct requested *r = (struct requested *)seen_value(by_name, entry->key);
        if (!r)
            continue;
        struct quantity amount = quantity_of(entry->value->string);
        struct quantity now = quantity_add(r->stay, amount);
        if (!init)
            r->sum = quantity_add(r->sum, amount);
        else if (quantity_cmp(now, r->most) > 0)
            r->most = now;
        if (init && cstr_eq(c->restart_policy, "Always"))
            r->stay = now;
    }
}

/* Of each of the pod's own requests, in their order; init containers that stay count too, the others one by one. */
static struct requested *requested_of(struct arena *a, const Core__V1__PodSpec *spec)
{
    const Core__V1__ResourceRequirements *pod = spec->resources;
    struct requested *out = arena_array(a, struct requested, pod->n_requests + 1);
    struct seen by_name = {.arena = a};
    for (size_t i = 0; i < pod->n_requests; i++)
        seen_put(&by_name, pod->requests[i]->key, &out[i]);
    for (size_t i = 0; i < spec->n_containers && pod->n_requests > 0; i++)
        count_requests(&by_name, spec->containers[i], false);
    for (size_t i = 0; i < spec->n_init_containers && pod->n_requests > 0; i++)
        count_requests(&by_name, spec->init_containers[i], true);
    return out;
}

void check_pod_resources(struct pod_check *p, const struct path *at)
{
    struct field_errors *e = p->e;
    const Core__V1__PodSpec *spec = p->spec;
    const Core__V1__ResourceRequirements *r = spec->resources;
    if (!r)
        return;
    if (r->n_claims)
        err_forbidden(e, AT(at, "claims"), "claims cannot be set for Resources at pod-level");
    check_requirements(e, at, r, check_pod_resource_name);
    const struct requested *totals = requested_of(e->arena, spec);
    const struct seen limits = amounts_of(e->arena, r->limits, r->n_limits);
    for (size_t i = 0; i < r->n_requests; i++) {
        const char *name = r->requests[i]->key, *text = r->requests[i]->value->string;
        struct quantity sum = quantity_add(totals[i].sum, totals[i].stay);
        if (quantity_cmp(totals[i].most, sum) > 0)
            sum = totals[i].most;
        if (quantity_cmp(sum, quantity_of(text)) > 0)
            err_invalid(
                e, KEY(AT(at, "requests"), name), text,
                arena_printf(e->arena,
                             "must be greater than or equal to aggregate container requests of %s",
                             quantity_text(e->arena, sum)));
    }
    for (size_t i = 0; i < spec->n_containers; i++) {
        const Core__V1__ResourceRequirements *c = spec->containers[i]->resources;
        for (size_t k = 0; k < c->n_limits; k++) {
            const char *name = c->limits[k]->key, *text = c->limits[k]->value->string;
            const char *most = seen_value(&limits, name);
            if (most && quantity_cmp(quantity_of(text), quantity_of(most)) > 0)
                err_invalid(
                    e, AT(KEY(ITEM(AT(at, "containers"), i), name), "limits"), text,
                    arena_printf(e->arena, "must be less than or equal to pod limits of %s", most));
        }
    }
}

/* --- limit ranges ---------------------------------------------------------------------------- */

static void check_limit_names(struct field_errors *e, const struct path *at, const char *type,
                              Meta__V1__QuantityEntry *const *items, size_t n)
{
    bool container = is_one_of(type, ONE_OF("Pod", "Container"));
    for (size_t i = 0; i < n; i++) {
        if (container)
            check_container_resource_name(e, KEY(at, items[i]->key), items[i]->key);
        else
            check_resource_name(e, KEY(at, items[i]->key), items[i]->key);
    }
}

/* The amounts that an item of a limit range gives one resource; NULL: none. */
struct limits {
    const char *min, *max, *default_, *request, *ratio;
};

static int compare(const char *a, const char *b)
{
    return quantity_cmp(quantity_of(a), quantity_of(b));
}

/* `lower` above `upper`: what upstream says of it at `field`, showing `shown`. */
static void check_order(struct field_errors *e, const struct path *at, const char *field,
                        const char *key, const char *shown, const char *lower, const char *upper,
                        const char *lower_name, const char *upper_name)
{
    if (lower && upper && compare(lower, upper) > 0)
        err_invalid(e, KEY(AT(at, field), key), shown,
                    arena_printf(e->arena, "%s value %s is greater than %s value %s", lower_name,
                                 lower, upper_name, upper));
}

static void check_ratio(struct field_errors *e, const struct path *at, const char *key,
                        const struct limits *l)
{
    const struct path *ratio = KEY(AT(at, "maxLimitRequestRatio"), key);
    if (!l->ratio)
        return;
    if (compare(l->ratio, "1") < 0)
        err_invalid(e, ratio, l->ratio,
                    arena_printf(e->arena, "ratio %s is less than 1", l->ratio));
    if (!l->min || !l->max)
        return;
    double most = (double)quantity_of(l->max).nanos / (double)quantity_of(l->min).nanos;
    if ((double)quantity_of(l->ratio).nanos / 1e9 > most)
        err_invalid(
            e, ratio, l->ratio,
            arena_printf(e->arena, "ratio %s is greater than max/min = %f", l->ratio, most));
}

/* An item's maps, by names. */
struct limit_maps {
    struct seen max, min, defaults, requests, ratios;
};

static void check_limit_order(struct field_errors *e, const struct path *at, const char *key,
                              const struct limit_maps *maps)
{
    const struct limits l = {.min = seen_value(&maps->min, key),
                             .max = seen_value(&maps->max, key),
                             .default_ = seen_value(&maps->defaults, key),
                             .request = seen_value(&maps->requests, key),
                             .ratio = seen_value(&maps->ratios, key)};
    check_order(e, at, "min", key, l.min, l.min, l.max, "min", "max");
    check_order(e, at, "defaultRequest", key, l.request, l.min, l.request, "min",
                "default request");
    check_order(e, at, "defaultRequest", key, l.request, l.request, l.max, "default request",
                "max");
    check_order(e, at, "defaultRequest", key, l.request, l.request, l.default_, "default request",
                "default limit");
    check_order(e, at, "default", key, l.min, l.min, l.default_, "min", "default");
    check_order(e, at, "default", key, l.max, l.default_, l.max, "default", "max");
    check_ratio(e, at, key, &l);
    if (!overcommit_allowed(key) && l.default_ && l.request && compare(l.default_, l.request) != 0)
        err_invalid(e, KEY(AT(at, "defaultRequest"), key), l.request,
                    arena_printf(e->arena,
                                 "default value %s must equal to defaultRequest value %s in %s",
                                 l.default_, l.request, key));
}

static void check_limit_type(struct field_errors *e, const struct path *at, const char *type)
{
    if (check_string(e, at, type, validate_qualified_name) && !strchr(type, '/') &&
        !is_one_of(type, ONE_OF("Pod", "Container", "PersistentVolumeClaim")))
        err_invalid(e, at, type, "must be a standard limit type or fully qualified");
}

static void check_limit_item(struct field_errors *e, const struct path *at,
                             const Core__V1__LimitRangeItem *item)
{
    const struct {
        const char *name;
        Meta__V1__QuantityEntry *const *items;
        size_t n;
    } maps[] = {
        {"max", item->max, item->n_max},
        {"min", item->min, item->n_min},
        {"default", item->default_, item->n_default_},
        {"defaultRequest", item->default_request, item->n_default_request},
        {"maxLimitRequestRatio", item->max_limit_request_ratio, item->n_max_limit_request_ratio}};
    bool pod = cstr_eq(item->type, "Pod");
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        if (pod && maps[i].n && (i == 2 || i == 3))
            err_forbidden(e, AT(at, maps[i].name), "may not be specified when `type` is 'Pod'");
        else
            check_limit_names(e, AT(at, maps[i].name), item->type, maps[i].items, maps[i].n);
    }
    if (cstr_eq(item->type, "PersistentVolumeClaim") &&
        !quantity_map_get(item->min, item->n_min, "storage") &&
        !quantity_map_get(item->max, item->n_max, "storage"))
        err_required(e, AT(at, "limits"),
                     "either minimum or maximum storage value is required, but neither was "
                     "provided");
    const struct limit_maps by_name = {
        .max = amounts_of(e->arena, item->max, item->n_max),
        .min = amounts_of(e->arena, item->min, item->n_min),
        .defaults = amounts_of(e->arena, item->default_, pod ? 0 : item->n_default_),
        .requests = amounts_of(e->arena, item->default_request, pod ? 0 : item->n_default_request),
        .ratios =
            amounts_of(e->arena, item->max_limit_request_ratio, item->n_max_limit_request_ratio)};
    for (size_t i = 0; i < sizeof maps / sizeof *maps; i++) {
        for (size_t k = 0; k < maps[i].n; k++)
            check_limit_order(e, at, maps[i].items[k]->key, &by_name);
    }
}

static void validate_limit_range(const void *object, struct field_errors *e)
{
    const Core__V1__LimitRangeSpec *spec = ((const Core__V1__LimitRange *)object)->spec;
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < spec->n_limits; i++) {
        const struct path *item = ITEM(AT(SPEC, "limits"), i);
        check_limit_type(e, AT(item, "type"), spec->limits[i]->type);
        if (seen_again(&seen, spec->limits[i]->type))
            err_duplicate(e, AT(item, "type"), spec->limits[i]->type);
        check_limit_item(e, item, spec->limits[i]);
    }
}

/* --- quotas ---------------------------------------------------------------------------------- */

static const char *const scopes[] = {"BestEffort",
                                     "CrossNamespacePodAffinity",
                                     "NotBestEffort",
                                     "NotTerminating",
                                     "PriorityClass",
                                     "Terminating",
                                     "VolumeAttributesClass",
                                     NULL};

/* Scopes select pods (volume attributes classes: claims); which resources do they make sense for? */
static bool scope_fits(const char *scope, const char *resource)
{
    static const char *const pod_objects[] = {"pods",
                                              "cpu",
                                              "memory",
                                              "ephemeral-storage",
                                              "requests.cpu",
                                              "requests.memory",
                                              "requests.ephemeral-storage",
                                              "limits.cpu",
                                              "limits.memory",
                                              "limits.ephemeral-storage",
                                              NULL};
    if (strcmp(scope, "BestEffort") == 0)
        return strcmp(resource, "pods") == 0;
    if (strcmp(scope, "VolumeAttributesClass") == 0)
        return is_one_of(resource, ONE_OF("persistentvolumeclaims", "requests.storage"));
    return !is_one_of(scope, scopes) || is_one_of(resource, pod_objects) || is_huge_pages(resource);
}

static bool misfits(const Core__V1__ResourceQuotaSpec *spec, const char *scope)
{
    for (size_t i = 0; i < spec->n_hard; i++) {
        const char *name = spec->hard[i]->key;
        if (is_standard_quota_resource(name) && !scope_fits(scope, name))
            return true;
    }
    return false;
}

static void check_scopes(struct field_errors *e, const struct path *at,
                         const Core__V1__ResourceQuotaSpec *spec)
{
    for (size_t i = 0; i < spec->n_scopes; i++) {
        if (!is_one_of(spec->scopes[i], scopes))
            err_invalid_list(e, at, spec->scopes, spec->n_scopes, "unsupported scope");
        if (misfits(spec, spec->scopes[i]))
            err_invalid_list(e, at, spec->scopes, spec->n_scopes,
                             "unsupported scope applied to resource");
    }
#define BOTH(a, b)                                         \
    (string_list_has(spec->scopes, spec->n_scopes, (a)) && \
     string_list_has(spec->scopes, spec->n_scopes, (b)))
    if (BOTH("BestEffort", "NotBestEffort") || BOTH("Terminating", "NotTerminating"))
        err_invalid_list(e, at, spec->scopes, spec->n_scopes, "conflicting scopes");
}

static void check_scope_selector(struct field_errors *e, const struct path *at,
                                 const Core__V1__ResourceQuotaSpec *spec)
{
    static const char *const existing[] = {"BestEffort",    "CrossNamespacePodAffinity",
                                           "NotBestEffort", "NotTerminating",
                                           "Terminating",   NULL};
    for (size_t i = 0; spec->scope_selector && i < spec->scope_selector->n_match_expressions; i++) {
        const Core__V1__ScopedResourceSelectorRequirement *r =
            spec->scope_selector->match_expressions[i];
        if (!is_one_of(r->scope_name, scopes))
            err_invalid(e, AT(at, "scopeName"), r->scope_name, "unsupported scope");
        if (misfits(spec, r->scope_name))
            err_invalid_object(e, at, spec->scope_selector,
                               "unsupported scope applied to resource");
        if (is_one_of(r->scope_name, existing) && !cstr_eq(r->operator_, "Exists"))
            err_invalid(e, AT(at, "operator"), r->operator_,
                        "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
                        "ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
                        "ResourceQuotaScopeNotBestEffort or "
                        "ResourceQuotaScopeCrossNamespacePodAffinity");
        if (is_one_of(r->operator_, ONE_OF("In", "NotIn"))) {
            if (r->n_values == 0)
                err_required(e, AT(at, "values"),
                             "must be at least one value when `operator` is 'In' or 'NotIn' for "
                             "scope selector");
        } else if (is_one_of(r->operator_, ONE_OF("Exists", "DoesNotExist"))) {
            if (r->n_values != 0)
                err_invalid_list(e, AT(at, "values"), r->values, r->n_values,
                                 "must be no value when `operator` is 'Exist' or 'DoesNotExist' "
                                 "for scope selector");
        } else {
            err_invalid(e, AT(at, "operator"), r->operator_, "not a valid selector operator");
        }
    }
}

static void check_quota_amounts(struct field_errors *e, const struct path *at,
                                Meta__V1__QuantityEntry *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_quota_resource_name(e, KEY(at, items[i]->key), items[i]->key);
        check_resource_amount(e, KEY(at, items[i]->key), items[i]->key, items[i]->value->string);
    }
}

static void validate_quota(const void *object, struct field_errors *e)
{
    const Core__V1__ResourceQuotaSpec *spec = ((const Core__V1__ResourceQuota *)object)->spec;
    check_quota_amounts(e, AT(SPEC, "hard"), spec->hard, spec->n_hard);
    check_scopes(e, AT(SPEC, "scopes"), spec);
    check_scope_selector(e, AT(AT(SPEC, "scopeSelector"), "matchExpressions"), spec);
}

static bool has_all(char *const *items, size_t n, char *const *wanted, size_t m)
{
    for (size_t i = 0; i < m; i++) {
        if (!string_list_has(items, n, wanted[i]))
            return false;
    }
    return true;
}

static void validate_quota_update(const void *object, const void *old_object,
                                  struct field_errors *e)
{
    const Core__V1__ResourceQuotaSpec *spec = ((const Core__V1__ResourceQuota *)object)->spec;
    const Core__V1__ResourceQuotaSpec *old = ((const Core__V1__ResourceQuota *)old_object)->spec;
    if (!has_all(spec->scopes, spec->n_scopes, old->scopes, old->n_scopes) ||
        !has_all(old->scopes, old->n_scopes, spec->scopes, spec->n_scopes))
        err_invalid_list(e, AT(SPEC, "scopes"), spec->scopes, spec->n_scopes, IMMUTABLE);
}

static void validate_quota_status(const void *object, const void *old, struct field_errors *e)
{
    const Core__V1__ResourceQuotaStatus *status = ((const Core__V1__ResourceQuota *)object)->status;
    (void)old;
    check_quota_amounts(e, AT(AT(NULL, "status"), "hard"), status->hard, status->n_hard);
    check_quota_amounts(e, AT(AT(NULL, "status"), "used"), status->used, status->n_used);
}

static const struct kind_rules rows[] = {
    {.message = Core__V1__LimitRange__SCHEMA, .create = validate_limit_range},
    {.message = Core__V1__ResourceQuota__SCHEMA,
     .create = validate_quota,
     .update = validate_quota_update,
     .status = validate_quota_status},
};
const struct rule_table resource_rules = RULE_TABLE(rows);
