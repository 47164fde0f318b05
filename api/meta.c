/*
 * Helpers around metadata: times, int-or-string, owners, statuses, hashes.
 */
#include "api/meta.h"
#include "api/codec.h"
#include "base/clock.h"
#include "proto/core_v1.pb-c.h"
#include <stdio.h>

/* --- times -------------------------------------------------------------------------------------
 */

Meta__V1__Time *time_from_s(struct arena *a, int64_t seconds)
{
    Meta__V1__Time *t = api_new(a, Meta__V1__Time);
    t->seconds = seconds;
    return t;
}

Meta__V1__Time *time_now(struct arena *a)
{
    return time_from_s(a, clock_wall_s());
}

Meta__V1__MicroTime *micro_time_from_ns(struct arena *a, int64_t ns)
{
    Meta__V1__MicroTime *t = api_new(a, Meta__V1__MicroTime);
    t->seconds = ns / (int64_t)NS_PER_S;
    t->nanos = (int32_t)(ns % (int64_t)NS_PER_S) / 1000 * 1000;
    return t;
}

Meta__V1__MicroTime *micro_time_now(struct arena *a)
{
    return micro_time_from_ns(a, clock_wall_ns());
}

bool time_is_zero(const Meta__V1__Time *t)
{
    return !t || (t->seconds == 0 && t->nanos == 0);
}

int64_t time_ns(const Meta__V1__Time *t)
{
    return t ? t->seconds * (int64_t)NS_PER_S + t->nanos : 0;
}

int64_t micro_time_ns(const Meta__V1__MicroTime *t)
{
    return t ? t->seconds * (int64_t)NS_PER_S + t->nanos : 0;
}

const char *time_text(struct arena *a, const Meta__V1__Time *t)
{
    if (time_is_zero(t))
        return "";
    char text[CLOCK_RFC3339_MAX];
    size_t n = clock_format_rfc3339(t->seconds, 0, 0, text);
    return arena_strndup(a, text, n);
}

/* The published steps: seconds below 2 minutes, m and s below 10, m below 3 hours, h and m below 8,
 * h below 2 days, d and h below 8, d below 2 years, y and d below 8, y. */
void duration_human(int64_t s, char out[32])
{
    long long m = s / 60, h = m / 60, d = h / 24, y = d / 365;
    long long rest = 0;
    char big = 0, small = 0;
    long long n = 0;
    if (s < -1) {
        snprintf(out, 32, "<invalid>");
        return;
    }
    if (s < 0)
        s = 0;
    if (s < 120)
        n = s, big = 's';
    else if (m < 10)
        n = m, big = 'm', rest = s % 60, small = 's';
    else if (h < 3)
        n = m, big = 'm';
    else if (h < 8)
        n = h, big = 'h', rest = m % 60, small = 'm';
    else if (h < 48)
        n = h, big = 'h';
    else if (d < 8)
        n = d, big = 'd', rest = h % 24, small = 'h';
    else if (d < 2 * 365)
        n = d, big = 'd';
    else if (y < 8)
        n = y, big = 'y', rest = d % 365, small = 'd';
    else
        n = y, big = 'y';
    if (rest)
        snprintf(out, 32, "%lld%c%lld%c", n, big, rest, small);
    else
        snprintf(out, 32, "%lld%c", n, big);
}

bool go_duration_parse(struct str s, int64_t *ns)
{
    return clock_parse_duration(s, ns);
}

void go_duration_format(int64_t ns, char out[48])
{
    char text[CLOCK_DURATION_MAX];
    size_t n = clock_format_duration(ns, text);
    snprintf(out, 48, "%.*s", (int)n, text);
}

/* --- int or string -----------------------------------------------------------------------------
 */

Meta__V1__IntOrString *int_or_string_int(struct arena *a, int32_t v)
{
    Meta__V1__IntOrString *out = api_new(a, Meta__V1__IntOrString);
    out->int_val = v;
    return out;
}

Meta__V1__IntOrString *int_or_string_string(struct arena *a, const char *v)
{
    Meta__V1__IntOrString *out = api_new(a, Meta__V1__IntOrString);
    out->type = 1;
    out->str_val = (char *)v;
    return out;
}

int int_or_string_scaled(const Meta__V1__IntOrString *v, int32_t total, bool round_up, int32_t *out)
{
    *out = 0;
    if (!v)
        return 0;
    if (v->type == 0) {
        *out = v->int_val;
        return 0;
    }
    struct str s = str_from(v->str_val);
    int64_t percent;
    if (!str_has_suffix(s, STR("%")) || !str_to_i64(str_slice(s, 0, s.n - 1), &percent) ||
        percent > INT32_MAX || percent < INT32_MIN)
        return ERR_INVALID;
    int64_t scaled = percent * total;
    *out = (int32_t)(scaled / 100 + (round_up && scaled % 100 > 0));
    return 0;
}

const char *int_or_string_text(struct arena *a, const Meta__V1__IntOrString *v)
{
    if (!v)
        return "";
    return v->type == 1 ? v->str_val : arena_printf(a, "%d", v->int_val);
}

/* --- owners ------------------------------------------------------------------------------------
 */

Meta__V1__OwnerReference *owner_reference_new(struct arena *a, const void *owner)
{
    const Meta__V1__ObjectMeta *meta = object_meta(owner);
    Meta__V1__OwnerReference *ref = api_new(a, Meta__V1__OwnerReference);
    ref->api_version = (char *)object_api_version(owner);
    ref->kind = (char *)object_kind(owner);
    ref->name = meta->name;
    ref->uid = meta->uid;
    api_set(ref, controller, 1);
    api_set(ref, block_owner_deletion, 1);
    return ref;
}

const Meta__V1__OwnerReference *controller_of(const Meta__V1__ObjectMeta *meta)
{
    for (size_t i = 0; i < meta->n_owner_references; i++) {
        const Meta__V1__OwnerReference *ref = meta->owner_references[i];
        if (ref->has_controller && ref->controller)
            return ref;
    }
    return NULL;
}

bool is_controlled_by(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *owner)
{
    const Meta__V1__OwnerReference *ref = controller_of(meta);
    return ref && cstr_eq(ref->uid, owner->uid);
}

bool has_finalizer(const Meta__V1__ObjectMeta *meta, const char *name)
{
    for (size_t i = 0; i < meta->n_finalizers; i++) {
        if (cstr_eq(meta->finalizers[i], name))
            return true;
    }
    return false;
}

bool remove_finalizer(Meta__V1__ObjectMeta *meta, const char *name)
{
    for (size_t i = 0; i < meta->n_finalizers; i++) {
        if (cstr_eq(meta->finalizers[i], name)) {
            memmove(&meta->finalizers[i], &meta->finalizers[i + 1],
                    (meta->n_finalizers - i - 1) * sizeof *meta->finalizers);
            meta->n_finalizers--;
            return true;
        }
    }
    return false;
}

char *object_key(struct arena *a, const Meta__V1__ObjectMeta *meta)
{
    if (!meta->namespace_ || !*meta->namespace_)
        return arena_strdup(a, meta->name);
    return arena_printf(a, "%s/%s", meta->namespace_, meta->name);
}

void object_key_split(struct str key, struct str *namespace_, struct str *name)
{
    ptrdiff_t slash = str_find_char(key, '/');
    *namespace_ = slash < 0 ? STR("") : str_slice(key, 0, (size_t)slash);
    *name = str_slice(key, (size_t)(slash + 1), key.n);
}

/* --- Status ------------------------------------------------------------------------------------
 */

const char *status_reason_of_code(int http_code)
{
    switch (http_code) {
    case 400:
        return "BadRequest";
    case 401:
        return "Unauthorized";
    case 403:
        return "Forbidden";
    case 404:
        return "NotFound";
    case 405:
        return "MethodNotAllowed";
    case 406:
        return "NotAcceptable";
    case 409:
        return "Conflict";
    case 410:
        return "Gone";
    case 413:
        return "RequestEntityTooLarge";
    case 415:
        return "UnsupportedMediaType";
    case 422:
        return "Invalid";
    case 429:
        return "TooManyRequests";
    case 500:
        return "InternalError";
    case 503:
        return "ServiceUnavailable";
    case 504:
        return "Timeout";
    }
    return "";
}

Meta__V1__Status *status_failure(struct arena *a, int code, const char *reason, const char *group,
                                 const char *resource, const char *name, const char *format, ...)
{
    Meta__V1__Status *status = api_new(a, Meta__V1__Status);
    va_list args;
    va_start(args, format);
    status->message = arena_vprintf(a, format, args);
    va_end(args);
    status->status = (char *)"Failure";
    status->reason = (char *)(reason && *reason ? reason : status_reason_of_code(code));
    status->code = code;
    if ((group && *group) || (resource && *resource) || (name && *name)) {
        status->details = api_new(a, Meta__V1__StatusDetails);
        status->details->group = (char *)(group ? group : "");
        status->details->kind = (char *)(resource ? resource : "");
        status->details->name = (char *)(name ? name : "");
    }
    return status;
}

Meta__V1__Status *status_success(struct arena *a, const char *group, const char *resource,
                                 const char *name, const char *uid)
{
    Meta__V1__Status *status = api_new(a, Meta__V1__Status);
    status->status = (char *)"Success";
    status->details = api_new(a, Meta__V1__StatusDetails);
    status->details->group = (char *)(group ? group : "");
    status->details->kind = (char *)(resource ? resource : "");
    status->details->name = (char *)(name ? name : "");
    status->details->uid = (char *)(uid ? uid : "");
    return status;
}

/* --- hashes ------------------------------------------------------------------------------------
 */

char *pod_template_hash(struct arena *a, const void *core_v1_pod_template_spec, int32_t collisions)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    struct buf wire;
    uint64_t hash = 0xcbf29ce484222325ull;
    assert(schema_of(core_v1_pod_template_spec)->id == Core__V1__PodTemplateSpec__SCHEMA);
    buf_init(&wire);
    wire_encode(core_v1_pod_template_spec, &wire);
    if (collisions)
        buf_append_le32(&wire, (uint32_t)collisions);
    for (size_t i = 0; i < wire.len; i++)
        hash = (hash ^ (uint8_t)wire.data[i]) * 0x100000001b3ull;
    buf_free(&wire);
    uint32_t folded = (uint32_t)(hash ^ hash >> 32);
    char text[11];
    for (int i = 0; i < 10; i++, folded = folded / 27 + (uint32_t)(hash >> (i + 7)) % 27)
        text[i] = alphabet[folded % 27];
    return arena_strndup(a, text, 10);
}
