/*
 * What claims, classes and slices of devices have in common.
 */
#include "api/validation/resource_devices.h"

#define SELECTORS_MAX 32
#define EXPRESSION_MAX (10 * 1024)
#define PARAMETERS_MAX (10 * 1024)
#define POOL_NAME_MAX 253
#define ID_MAX 32
#define REQUESTS_MAX 32
#define CONDITIONS_MAX 4

bool check_size(struct field_errors *e, const struct path *at, size_t n, size_t max)
{
    if (n > max)
        err_too_many(e, at, n, max);
    return n <= max;
}

void check_unique(struct field_errors *e, const struct path *at, void *const *items, size_t n,
                  const char *(*key)(struct arena *a, const void *item))
{
    const char **keys = arena_array(e->arena, const char *, n);
    for (size_t i = 0; i < n; i++) {
        keys[i] = key(e->arena, items[i]);
        if (string_list_has((char *const *)keys, i, keys[i]))
            err_duplicate(e, ITEM(at, i), keys[i]);
    }
}

/* ---- names ---- */

static const char *validate_c_identifier(const char *s)
{
    bool good = *s != 0;
    for (const char *c = s; *c; c++) {
        bool letter = (*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || *c == '_';
        good &= letter || (c > s && *c >= '0' && *c <= '9');
    }
    return good ? NULL
                : "a valid C identifier must start with alphabetic character or '_', followed by a "
                  "string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or "
                  "'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
}

static void check_id(struct field_errors *e, const struct path *at, const char *id)
{
    if (strlen(id) > ID_MAX)
        err_too_long(e, at, ID_MAX);
    check_string(e, at, id, validate_c_identifier);
}

void check_trait_name(struct field_errors *e, const struct path *at, const char *name,
                      bool needs_domain)
{
    const char *slash = strchr(name, '/');
    if (!slash) {
        check_id(e, at, name);
        if (needs_domain)
            err_invalid(e, at, name,
                        "a fully qualified name must be a domain and a name separated by a slash");
        return;
    }
    if (strchr(slash + 1, '/')) /* as published: not looked at */
        return;
    if (slash == name)
        err_invalid(e, at, "", "the domain must not be empty");
    else
        check_csi_driver_name(e, at, arena_strndup(e->arena, name, (size_t)(slash - name)));
    if (!slash[1])
        err_invalid(e, at, "", "the name must not be empty");
    else
        check_id(e, at, slash + 1);
}

void check_pool_name(struct field_errors *e, const struct path *at, const char *name)
{
    struct str rest = str_from(name), part;
    if (!check_required(e, at, name))
        return;
    if (strlen(name) > POOL_NAME_MAX)
        err_too_long(e, at, POOL_NAME_MAX);
    while (str_split(&rest, '/', &part))
        check_string(e, at, arena_strndup(e->arena, part.p, part.n), validate_dns1123_subdomain);
}

/* ---- selectors and parameters ---- */

void check_device_selectors(struct field_errors *e, const struct path *at,
                            Resource__V1__DeviceSelector *const *selectors, size_t n)
{
    if (!check_size(e, at, n, SELECTORS_MAX))
        return;
    for (size_t i = 0; i < n; i++) {
        const struct path *cel = AT(ITEM(at, i), "cel");
        if (!selectors[i]->cel)
            err_required(e, cel, "");
        else if (strlen(selectors[i]->cel->expression) > EXPRESSION_MAX)
            err_too_long(e, AT(cel, "expression"), EXPRESSION_MAX);
    }
}

void check_device_parameters(struct field_errors *e, const struct path *at,
                             const Meta__V1__RawExtension *raw)
{
    struct str text = raw ? str_trim(str_make((const char *)raw->raw.data, raw->raw.len)) : STR("");
    if (text.n == 0)
        err_required(e, at, "");
    else if (raw->raw.len > PARAMETERS_MAX)
        err_too_long(e, at, PARAMETERS_MAX);
    else if (str_eqz(text, "null"))
        err_required(e, at, "");
    else if (text.p[0] != '{')
        err_invalid(e, at, "<value omitted>", "must be a valid JSON object");
}

void check_device_config(struct field_errors *e, const struct path *at,
                         const Resource__V1__DeviceConfiguration *config)
{
    const struct path *opaque = AT(at, "opaque");
    if (!config || !config->opaque) {
        err_required(e, opaque, "");
        return;
    }
    check_csi_driver_name(e, AT(opaque, "driver"), config->opaque->driver);
    check_device_parameters(e, AT(opaque, "parameters"), config->opaque->parameters);
}

/* ---- tolerations and conditions ---- */

void check_device_tolerations(struct field_errors *e, const struct path *at,
                              Resource__V1__DeviceToleration *const *tolerations, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const Resource__V1__DeviceToleration *t = tolerations[i];
        check_optional(e, AT(item, "key"), t->key, validate_qualified_name);
        if (cstr_eq(t->operator_, "Exists") && *t->value)
            err_invalid(e, AT(item, "value"), t->value, "must be empty for operator `Exists`");
        else if (cstr_eq(t->operator_, "Equal"))
            check_string(e, AT(item, "value"), t->value, validate_label_value);
        else
            check_required_one_of(e, AT(item, "operator"), t->operator_, ONE_OF("Equal", "Exists"));
        if (*t->effect)
            check_one_of(e, AT(item, "effect"), t->effect, DEVICE_EFFECTS);
    }
}

static void check_condition_names(struct field_errors *e, const struct path *at, char *const *names,
                                  size_t n)
{
    if (!check_size(e, at, n, CONDITIONS_MAX))
        return;
    for (size_t i = 0; i < n; i++)
        check_string(e, ITEM(at, i), names[i], validate_qualified_name);
}

void check_binding_conditions(struct field_errors *e, const struct path *at,
                              char *const *conditions, size_t n, char *const *failures, size_t m)
{
    const struct path *binding = AT(at, "bindingConditions");
    const struct path *failing = AT(at, "bindingFailureConditions");
    check_condition_names(e, binding, conditions, n);
    check_condition_names(e, failing, failures, m);
    for (size_t i = 0; i < n; i++) {
        if (string_list_has(conditions, i, conditions[i]))
            err_duplicate(e, ITEM(binding, i), conditions[i]);
    }
    for (size_t i = 0; i < m; i++) {
        if (string_list_has(failures, i, failures[i]))
            err_duplicate(e, ITEM(failing, i), failures[i]);
        if (string_list_has(conditions, n, failures[i]))
            err_invalid(e, ITEM(failing, i), failures[i],
                        "bindingFailureConditions must not overlap with bindingConditions");
    }
    if (n == 0 && m > 0)
        err_invalid_raw(e, binding, "null",
                        "bindingConditions are required to use bindingFailureConditions");
    if (m == 0 && n > 0)
        err_invalid_raw(e, failing, "null",
                        "bindingFailureConditions are required to use bindingConditions");
}

/* ---- references to requests ---- */

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

void check_request_ref(struct field_errors *e, const struct path *at,
                       const Resource__V1__DeviceClaim *claim, const char *name)
{
    static const char wanted[] = "must be the name of a request in the claim or the name of a "
                                 "request and a subrequest separated by '/'";
    const char *slash = strchr(name, '/');
    if (slash && strchr(slash + 1, '/')) {
        err_invalid(e, at, name, wanted);
        return;
    }
    size_t n = slash ? (size_t)(slash - name) : strlen(name);
    check_string(e, at, arena_strndup(e->arena, name, n), validate_dns1123_label);
    if (slash)
        check_string(e, at, slash + 1, validate_dns1123_label);
    if (!request_exists(claim, name))
        err_invalid(e, at, name, wanted);
}

void check_request_refs(struct field_errors *e, const struct path *at,
                        const Resource__V1__DeviceClaim *claim, char *const *names, size_t n)
{
    if (!check_size(e, at, n, REQUESTS_MAX))
        return;
    for (size_t i = 0; i < n; i++)
        check_request_ref(e, ITEM(at, i), claim, names[i]);
    for (size_t i = 0; i < n; i++) {
        if (string_list_has(names, i, names[i]))
            err_duplicate(e, ITEM(at, i), names[i]);
    }
}
