/*
 * Field errors, the Status they become, paths, and the checks that many kinds share.
 */
#include "api/codec.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "api/validation/diff.h"
#include "api/validation/internal.h"
#include "base/mem.h"
#include <ctype.h>

#define ANNOTATIONS_SIZE_MAX (256 * 1024)

/* --- errors ------------------------------------------------------------------------------------- */

static const char *const type_texts[] = {
    [FIELD_REQUIRED] = "Required value",
    [FIELD_INVALID] = "Invalid value",
    [FIELD_NOT_SUPPORTED] = "Unsupported value",
    [FIELD_DUPLICATE] = "Duplicate value",
    [FIELD_FORBIDDEN] = "Forbidden",
    [FIELD_NOT_FOUND] = "Not found",
    [FIELD_TOO_LONG] = "Too long",
    [FIELD_TOO_MANY] = "Too many",
    [FIELD_INTERNAL] = "Internal error",
    [FIELD_TYPE_INVALID] = "Invalid value",
};

static const char *const type_reasons[] = {
    [FIELD_REQUIRED] = "FieldValueRequired",
    [FIELD_INVALID] = "FieldValueInvalid",
    [FIELD_NOT_SUPPORTED] = "FieldValueNotSupported",
    [FIELD_DUPLICATE] = "FieldValueDuplicate",
    [FIELD_FORBIDDEN] = "FieldValueForbidden",
    [FIELD_NOT_FOUND] = "FieldValueNotFound",
    [FIELD_TOO_LONG] = "FieldValueTooLong",
    [FIELD_TOO_MANY] = "FieldValueTooMany",
    [FIELD_INTERNAL] = "InternalError",
    [FIELD_TYPE_INVALID] = "FieldValueTypeInvalid",
};

/* As Go quotes: what is no text has codes of its own, which JSON does not know. */
const char *field_quote(struct arena *a, const char *s)
{
    static const char letters[] = "abtnvfr"; /* from 7 on */
    struct buf b;
    buf_init(&b);
    buf_append_char(&b, '"');
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p == '"' || *p == '\\')
            buf_printf(&b, "\\%c", *p);
        else if (*p >= 7 && *p <= 13)
            buf_printf(&b, "\\%c", letters[*p - 7]);
        else if (*p < 0x20 || *p == 0x7f)
            buf_printf(&b, "\\x%02x", *p);
        else
            buf_append_char(&b, (char)*p);
    }
    buf_append_char(&b, '"');
    const char *out = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return out;
}

bool field_errors_full(const struct field_errors *e)
{
    return e->len >= FIELD_ERRORS_MAX || e->bytes >= FIELD_ERRORS_BYTES_MAX;
}

/* Room for one more; false when there are enough. */
static bool reserve(struct field_errors *e)
{
    if (field_errors_full(e))
        return false;
    if (e->len == e->cap) {
        size_t cap = e->cap ? 2 * e->cap : 8;
        e->items =
            arena_grow(e->arena, e->items, e->cap * sizeof *e->items, cap * sizeof *e->items);
        e->cap = cap;
    }
    return true;
}

void field_error_copy(struct field_errors *e, const struct field_error *from)
{
    if (!reserve(e))
        return;
    e->bytes += strlen(from->field) + strlen(from->detail);
    e->items[e->len++] = *from;
}

void field_error_add(struct field_errors *e, enum field_error_type type, const char *field,
                     const char *bad, const char *format, ...)
{
    if (!reserve(e))
        return;
    va_list args;
    va_start(args, format);
    const char *detail = arena_vprintf(e->arena, format, args);
    va_end(args);
    const char *text = arena_printf(e->arena, "%s%s%s%s%s", type_texts[type], bad ? ": " : "",
                                    bad ? bad : "", *detail ? ": " : "", detail);
    for (size_t i = 0; i < e->len; i++) { /* what is wrong twice is said once */
        if (strcmp(e->items[i].field, field) == 0 && strcmp(e->items[i].detail, text) == 0)
            return;
    }
    e->bytes += strlen(field) + strlen(text);
    e->items[e->len++] = (struct field_error){type, arena_strdup(e->arena, field), text};
}

void field_errors_message(const struct field_errors *e, struct buf *out)
{
    if (e->len > 1)
        buf_append_char(out, '[');
    for (size_t i = 0; i < e->len; i++) {
        if (i)
            buf_append_cstr(out, ", ");
        buf_printf(out, "%s: %s", e->items[i].field, e->items[i].detail);
    }
    if (e->len > 1)
        buf_append_char(out, ']');
}

Meta__V1__Status *field_errors_status(struct arena *a, const struct field_errors *e,
                                      const struct resource *r, const char *name)
{
    struct buf text;
    buf_init(&text);
    field_errors_message(e, &text);
    Meta__V1__Status *status =
        status_failure(a, 422, "Invalid", r->group, r->kind, name, "%s%s%s \"%s\" is invalid: %s",
                       r->kind, *r->group ? "." : "", r->group, name, buf_cstr(&text));
    buf_free(&text);
    if (!status->details)
        status->details = api_new(a, Meta__V1__StatusDetails);
    status->details->causes = arena_array(a, Meta__V1__StatusCause *, e->len);
    status->details->n_causes = e->len;
    for (size_t i = 0; i < e->len; i++) {
        Meta__V1__StatusCause *cause = api_new(a, Meta__V1__StatusCause);
        cause->reason = (char *)type_reasons[e->items[i].type];
        cause->message = (char *)e->items[i].detail;
        cause->field = (char *)e->items[i].field;
        status->details->causes[i] = cause;
    }
    return status;
}

/* --- errors at paths ----------------------------------------------------------------------------- */

static void path_print(struct buf *out, const struct path *p)
{
    if (!p)
        return;
    path_print(out, p->up);
    if (!p->name)
        buf_printf(out, "[%zu]", p->index);
    else if (p->key)
        buf_printf(out, "[%s]", p->name);
    else
        buf_printf(out, "%s%s", out->len ? "." : "", p->name);
}

const char *path_text(struct arena *a, const struct path *at)
{
    struct buf path;
    buf_init(&path);
    path_print(&path, at);
    const char *text = arena_strndup(a, path.data ? path.data : "", path.len);
    buf_free(&path);
    return text;
}

static void add(struct field_errors *e, enum field_error_type type, const struct path *at,
                const char *bad, const char *detail)
{
    struct buf path;
    if (field_errors_full(e))
        return;
    buf_init(&path);
    path_print(&path, at);
    field_error_add(e, type, buf_cstr(&path), bad, "%s", detail);
    buf_free(&path);
}

void err_required(struct field_errors *e, const struct path *at, const char *detail)
{
    add(e, FIELD_REQUIRED, at, NULL, detail);
}

void err_invalid(struct field_errors *e, const struct path *at, const char *value,
                 const char *detail)
{
    add(e, FIELD_INVALID, at, field_quote(e->arena, value ? value : ""), detail);
}

void err_invalid_int(struct field_errors *e, const struct path *at, int64_t value,
                     const char *detail)
{
    add(e, FIELD_INVALID, at, arena_printf(e->arena, "%lld", (long long)value), detail);
}

void err_invalid_raw(struct field_errors *e, const struct path *at, const char *value,
                     const char *detail)
{
    add(e, FIELD_INVALID, at, value, detail);
}

const char *object_text(struct arena *a, const void *object)
{
    struct buf json;
    if (!object)
        return "null";
    const char *name = schema_string(schema_of(object)->full_name);
    if (strncmp(name, "apiextensions.", 14) != 0)
        return internal_json(a, object); /* what upstream checks, mostly */
    buf_init(&json);
    json_encode(object, JSON_NO_TYPE_META, &json);
    const char *text = arena_strndup(a, json.data, json.len);
    buf_free(&json);
    return text;
}

void err_invalid_object(struct field_errors *e, const struct path *at, const void *object,
                        const char *detail)
{
    add(e, FIELD_INVALID, at, object_text(e->arena, object), detail);
}

void err_duplicate_object(struct field_errors *e, const struct path *at, const void *object,
                          const char *detail)
{
    add(e, FIELD_DUPLICATE, at, object_text(e->arena, object), detail);
}

void err_invalid_list(struct field_errors *e, const struct path *at, char *const *items, size_t n,
                      const char *detail)
{
    struct buf json;
    buf_init(&json);
    buf_append_char(&json, '[');
    for (size_t i = 0; i < n; i++) {
        buf_append_cstr(&json, i ? "," : "");
        buf_append_json_string(&json, str_from(items[i]));
    }
    buf_append_char(&json, ']');
    err_invalid_raw(e, at, arena_strndup(e->arena, json.data, json.len), detail);
    buf_free(&json);
}

void err_invalid_map(struct field_errors *e, const struct path *at, StringEntry *const *items,
                     size_t n, const char *detail)
{
    struct buf json;
    if (n == 0) {
        err_invalid_raw(e, at, "null", detail);
        return;
    }
    buf_init(&json);
    buf_append_char(&json, '{');
    for (size_t i = 0; i < n; i++) {
        buf_append_cstr(&json, i ? "," : "");
        buf_append_json_string(&json, str_from(items[i]->key));
        buf_append_char(&json, ':');
        buf_append_json_string(&json, str_from(items[i]->value));
    }
    buf_append_char(&json, '}');
    err_invalid_raw(e, at, arena_strndup(e->arena, json.data, json.len), detail);
    buf_free(&json);
}

void err_duplicate_raw(struct field_errors *e, const struct path *at, const char *value)
{
    add(e, FIELD_DUPLICATE, at, value, "");
}

void err_duplicate(struct field_errors *e, const struct path *at, const char *value)
{
    add(e, FIELD_DUPLICATE, at, field_quote(e->arena, value), "");
}

void err_forbidden(struct field_errors *e, const struct path *at, const char *detail)
{
    add(e, FIELD_FORBIDDEN, at, NULL, detail);
}

void err_forbidden_diff(struct field_errors *e, const struct path *at, const void *old,
                        const void *new, const char *detail)
{
    err_forbidden(e, at,
                  arena_printf(e->arena, "%s\n%s", detail, internal_diff(e->arena, old, new)));
}

void err_not_found(struct field_errors *e, const struct path *at, const char *value)
{
    add(e, FIELD_NOT_FOUND, at, field_quote(e->arena, value), "");
}

void err_not_found_because(struct field_errors *e, const struct path *at, const char *value,
                           const char *detail)
{
    add(e, FIELD_NOT_FOUND, at, field_quote(e->arena, value), detail);
}

void err_too_long(struct field_errors *e, const struct path *at, size_t max)
{
    add(e, FIELD_TOO_LONG, at, NULL, arena_printf(e->arena, "may not be more than %zu bytes", max));
}

void err_too_many(struct field_errors *e, const struct path *at, size_t n, size_t max)
{
    add(e, FIELD_TOO_MANY, at, arena_printf(e->arena, "%zu", n),
        arena_printf(e->arena, "must have at most %zu item%s", max, max == 1 ? "" : "s"));
}

void err_not_supported_raw(struct field_errors *e, const struct path *at, const char *value,
                           const char *const *allowed)
{
    struct buf list;
    buf_init(&list);
    buf_append_cstr(&list, "supported values: ");
    for (size_t i = 0; allowed[i]; i++)
        buf_printf(&list, "%s\"%s\"", i ? ", " : "", allowed[i]);
    add(e, FIELD_NOT_SUPPORTED, at, value, buf_cstr(&list));
    buf_free(&list);
}

void err_not_supported(struct field_errors *e, const struct path *at, const char *value,
                       const char *const *allowed)
{
    err_not_supported_raw(e, at, field_quote(e->arena, value ? value : ""), allowed);
}

/* --- common checks -------------------------------------------------------------------------------- */

/* A rule's messages, one a line. */
void err_invalid_messages(struct field_errors *e, const struct path *at, const char *value,
                          const char *messages)
{
    struct str rest = str_from(messages), line;
    while (str_split(&rest, '\n', &line)) {
        if (line.n)
            err_invalid(e, at, value, arena_strndup(e->arena, line.p, line.n));
    }
}

bool check_string(struct field_errors *e, const struct path *at, const char *value,
                  const char *(*rule)(const char *))
{
    const char *messages = rule(value);
    if (messages)
        err_invalid_messages(e, at, value, messages);
    return !messages;
}

bool check_optional(struct field_errors *e, const struct path *at, const char *value,
                    const char *(*rule)(const char *))
{
    return !value || !*value || check_string(e, at, value, rule);
}

bool check_required_string(struct field_errors *e, const struct path *at, const char *value,
                           const char *(*rule)(const char *))
{
    return check_required(e, at, value) && check_string(e, at, value, rule);
}

bool is_one_of(const char *value, const char *const *allowed)
{
    for (size_t i = 0; value && allowed[i]; i++) {
        if (strcmp(value, allowed[i]) == 0)
            return true;
    }
    return false;
}

bool check_one_of(struct field_errors *e, const struct path *at, const char *value,
                  const char *const *allowed)
{
    if (is_one_of(value, allowed))
        return true;
    err_not_supported(e, at, value, allowed);
    return false;
}

bool check_range(struct field_errors *e, const struct path *at, int64_t value, int64_t low,
                 int64_t high)
{
    if (value >= low && value <= high)
        return true;
    err_invalid_int(e, at, value,
                    arena_printf(e->arena, "must be between %lld and %lld, inclusive",
                                 (long long)low, (long long)high));
    return false;
}

void check_immutable(struct field_errors *e, const struct path *at, const void *object,
                     const void *old)
{
    if (!object_equal(object, old))
        err_invalid_object(e, at, object, IMMUTABLE);
}

void check_immutable_string(struct field_errors *e, const struct path *at, const char *value,
                            const char *old)
{
    if (cstr_eq(value ? value : "", old ? old : ""))
        return;
    if (value)
        err_invalid(e, at, value, IMMUTABLE);
    else
        err_invalid_raw(e, at, "null", IMMUTABLE);
}

bool string_list_has(char *const *items, size_t n, const char *value)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(items[i], value) == 0)
            return true;
    }
    return false;
}

struct seen string_map_index(struct arena *a, StringEntry *const *entries, size_t n)
{
    struct seen out = {.arena = a};
    for (size_t i = 0; i < n; i++)
        seen_put(&out, entries[i]->key, entries[i]->value ? entries[i]->value : "");
    return out;
}

bool string_lists_equal(char *const *a, size_t n, char *const *b, size_t m)
{
    for (size_t i = 0; n == m && i < n; i++) {
        if (strcmp(a[i], b[i]) != 0)
            return false;
    }
    return n == m;
}

bool check_required_one_of(struct field_errors *e, const struct path *at, const char *value,
                           const char *const *allowed)
{
    return check_required(e, at, value) && check_one_of(e, at, value, allowed);
}

bool check_non_negative(struct field_errors *e, const struct path *at, int64_t value)
{
    if (value < 0)
        err_invalid_int(e, at, value, NON_NEGATIVE);
    return value >= 0;
}

bool check_required(struct field_errors *e, const struct path *at, const char *value)
{
    bool present = value && *value;
    if (!present)
        err_required(e, at, "");
    return present;
}

void check_labels(struct field_errors *e, const struct path *at, StringEntry *const *labels,
                  size_t n)
{
    for (size_t i = 0; i < n; i++) {
        check_string(e, at, labels[i]->key, validate_qualified_name);
        check_string(e, at, labels[i]->value, validate_label_value);
    }
}

void check_annotations(struct field_errors *e, const struct path *at, StringEntry *const *items,
                       size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        char lower[512];
        size_t len = strlen(items[i]->key);
        total += len + strlen(items[i]->value);
        for (size_t k = 0; k <= len && k < sizeof lower; k++) {
            char c = items[i]->key[k];
            lower[k] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
        }
        lower[sizeof lower - 1] = 0;
        const char *message = validate_qualified_name(lower);
        if (message)
            err_invalid_messages(e, at, items[i]->key, message);
    }
    if (total > ANNOTATIONS_SIZE_MAX)
        err_too_long(e, at, ANNOTATIONS_SIZE_MAX);
}

void check_label_requirement(struct field_errors *e, const struct path *at,
                             const Meta__V1__LabelSelectorRequirement *r, bool any_value,
                             bool any_operator)
{
    bool list = cstr_eq(r->operator_, "In") || cstr_eq(r->operator_, "NotIn");
    bool none = cstr_eq(r->operator_, "Exists") || cstr_eq(r->operator_, "DoesNotExist");
    if (list && r->n_values == 0)
        err_required(e, AT(at, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
    if (none && r->n_values > 0)
        err_forbidden(e, AT(at, "values"),
                      "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
    if (!list && !none && !any_operator)
        err_invalid(e, AT(at, "operator"), r->operator_, "not a valid selector operator");
    check_string(e, AT(at, "key"), r->key, validate_qualified_name);
    for (size_t i = 0; i < r->n_values && !any_value; i++)
        check_string(e, ITEM(AT(at, "values"), i), r->values[i], validate_label_value);
}

void check_label_selector(struct field_errors *e, const struct path *at,
                          const Meta__V1__LabelSelector *s)
{
    check_label_selector_keeping(e, at, s, false);
}

void check_label_selector_keeping(struct field_errors *e, const struct path *at,
                                  const Meta__V1__LabelSelector *s, bool any_value)
{
    if (!s)
        return;
    check_labels(e, AT(at, "matchLabels"), s->match_labels, s->n_match_labels);
    for (size_t i = 0; i < s->n_match_expressions; i++)
        check_label_requirement(e, ITEM(AT(at, "matchExpressions"), i), s->match_expressions[i],
                                any_value, false);
}

void check_int_or_percent(struct field_errors *e, const struct path *at,
                          const Meta__V1__IntOrString *v)
{
    int64_t number;
    if (!v)
        return;
    if (v->type == 0) {
        check_non_negative(e, at, v->int_val);
        return;
    }
    struct str s = str_from(v->str_val);
    if (!str_has_suffix(s, STR("%")) || !str_to_u64(str_slice(s, 0, s.n - 1), &(uint64_t){0}) ||
        !str_to_i64(str_slice(s, 0, s.n - 1), &number))
        err_invalid(
            e, at, v->str_val,
            "a valid percent string must be a numeric string followed by an ending '%' (e.g. "
            "'1%',  or '93%', regex used for validation is '[0-9]+%')");
}

void check_port_number(struct field_errors *e, const struct path *at, int64_t port)
{
    const char *message = validate_port_number(port);
    if (message)
        err_invalid_int(e, at, port, message);
}

void check_port_ref(struct field_errors *e, const struct path *at,
                    const Meta__V1__IntOrString *port)
{
    if (port->type == 0)
        check_port_number(e, at, port->int_val);
    else
        check_string(e, at, port->str_val, validate_port_name);
}

void check_quantity_non_negative(struct field_errors *e, const struct path *at, const char *text)
{
    if (quantity_of(text).nanos < 0)
        err_invalid(e, at, text, NON_NEGATIVE);
}

void check_quantity_positive(struct field_errors *e, const struct path *at, const char *text)
{
    if (quantity_of(text).nanos <= 0)
        err_invalid(e, at, text, "must be greater than zero");
}

/* "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?" */
static const char *condition_reason(const char *s)
{
    size_t n = strlen(s);
    bool good = n > 0 && isalpha((unsigned char)s[0]) && s[n - 1] != ',' && s[n - 1] != ':';
    for (size_t i = 0; i < n; i++)
        good = good && (isalnum((unsigned char)s[i]) || strchr("_,:", s[i]));
    return good ? NULL
                : "a condition reason must start with alphabetic character, optionally followed by "
                  "a string of alphanumeric characters or '_,:', and must end with an alphanumeric "
                  "character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
                  "'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
                  "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')";
}

static void check_condition(struct field_errors *e, const struct path *at,
                            const Meta__V1__Condition *c)
{
    check_string(e, AT(at, "type"), c->type, validate_qualified_name);
    check_one_of(e, AT(at, "status"), c->status, ONE_OF("False", "True", "Unknown"));
    if (c->observed_generation < 0)
        err_invalid_int(e, AT(at, "observedGeneration"), c->observed_generation,
                        "must be greater than or equal to zero");
    if (time_is_zero(c->last_transition_time))
        err_required(e, AT(at, "lastTransitionTime"), "must be set");
    if (!*c->reason)
        err_required(e, AT(at, "reason"), "must be set");
    else
        check_string(e, AT(at, "reason"), c->reason, condition_reason);
    if (strlen(c->reason) > 1024)
        err_too_long(e, AT(at, "reason"), 1024);
    if (strlen(c->message) > 32 * 1024)
        err_too_long(e, AT(at, "message"), 32 * 1024);
}

void check_conditions(struct field_errors *e, const struct path *at,
                      Meta__V1__Condition *const *conditions, size_t n)
{
    struct seen seen = {.arena = e->arena};
    for (size_t i = 0; i < n; i++) {
        if (seen_again(&seen, conditions[i]->type))
            err_duplicate(e, AT(ITEM(at, i), "type"), conditions[i]->type);
        check_condition(e, ITEM(at, i), conditions[i]);
    }
}

void check_domain_path(struct field_errors *e, const struct path *at, const char *value)
{
    const char *slash = strchr(value, '/');
    if (!check_required(e, at, value))
        return;
    if (!slash || slash == value || !slash[1]) {
        err_invalid(e, at, value, "must be a domain-prefixed path (such as \"acme.io/foo\")");
        return;
    }
    check_string(e, at, arena_strndup(e->arena, value, (size_t)(slash - value)),
                 validate_dns1123_subdomain);
    for (const char *c = slash + 1; *c; c++) {
        if (!isalnum((unsigned char)*c) && !strchr("/-._~%!$&'()*+,;=:", *c)) {
            err_invalid(e, at, slash + 1,
                        "Invalid path (regex used for validation is "
                        "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')");
            return;
        }
    }
}

void check_string_joined(struct field_errors *e, const struct path *at, const char *value,
                         const char *(*rule)(const char *), const char *separator)
{
    const char *messages = rule(value);
    struct buf joined;
    if (!messages)
        return;
    struct str rest = str_from(messages), line;
    buf_init(&joined);
    while (str_split(&rest, '\n', &line))
        buf_printf(&joined, "%s%.*s", joined.len ? separator : "", STR_ARG(line));
    err_invalid(e, at, value, buf_cstr(&joined));
    buf_free(&joined);
}
