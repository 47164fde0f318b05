/*
 * Status objects: see status.h. Both encodings are written by hand: an error must come out even when
 * nothing else works, and the message is small and never changes.
 */
#include "apiserver/status.h"
#include "api/validation.h"
#include "base/arena_text.h"
#include "base/encode.h"

static struct status *status_vnew(struct arena *a, int code, const char *reason, const char *format,
                                  va_list args)
{
    struct status *s = arena_new(a, struct status);
    s->code = code;
    s->reason = reason;
    s->message = arena_vprintf(a, format, args);
    return s;
}

struct status *status_new(struct arena *a, int code, const char *reason, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct status *s = status_vnew(a, code, reason, format, args);
    va_end(args);
    return s;
}

struct status *status_bad_request(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct status *s = status_vnew(a, 400, "BadRequest", format, args);
    va_end(args);
    return s;
}

struct status *status_internal(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *why = arena_vprintf(a, format, args);
    va_end(args);
    struct status *s = status_new(a, 500, "InternalError", "Internal error occurred: %s", why);
    s->has_details = true;
    status_cause_add(a, s, NULL, NULL, "%s", why);
    return s;
}

struct status *status_unauthorized(struct arena *a)
{
    return status_new(a, 401, "Unauthorized", "Unauthorized");
}

static void about(struct status *s, const struct status_about *o, const char *kind)
{
    s->has_details = true;
    s->name = o->name;
    s->group = o->group;
    s->kind = kind;
}

/* "deployments.apps", or "pods" for the core group. */
static const char *qualified(struct arena *a, const struct status_about *o)
{
    return o->group && *o->group ? arena_printf(a, "%s.%s", o->resource, o->group) : o->resource;
}

struct status *status_not_found(struct arena *a, const struct status_about *o)
{
    struct status *s =
        status_new(a, 404, "NotFound", "%s \"%s\" not found", qualified(a, o), o->name);
    about(s, o, o->resource);
    return s;
}

struct status *status_already_exists(struct arena *a, const struct status_about *o)
{
    struct status *s =
        status_new(a, 409, "AlreadyExists", "%s \"%s\" already exists", qualified(a, o), o->name);
    about(s, o, o->resource);
    return s;
}

struct status *status_conflict(struct arena *a, const struct status_about *o, const char *why)
{
    struct status *s =
        status_new(a, 409, "Conflict", "Operation cannot be fulfilled on %s \"%s\": %s",
                   qualified(a, o), o->name, why);
    about(s, o, o->resource);
    return s;
}

struct status *status_forbidden(struct arena *a, const struct status_about *o, const char *format,
                                ...)
{
    va_list args;
    va_start(args, format);
    const char *why = arena_vprintf(a, format, args);
    va_end(args);
    struct status *s;
    if (!o->resource || !*o->resource)
        s = status_new(a, 403, "Forbidden", "forbidden: %s", why);
    else if (!o->name || !*o->name)
        s = status_new(a, 403, "Forbidden", "%s is forbidden: %s", qualified(a, o), why);
    else
        s = status_new(a, 403, "Forbidden", "%s \"%s\" is forbidden: %s", qualified(a, o), o->name,
                       why);
    about(s, o, o->resource);
    return s;
}

struct status *status_invalid(struct arena *a, const struct status_about *o)
{
    const char *kind =
        o->group && *o->group ? arena_printf(a, "%s.%s", o->kind, o->group) : o->kind;
    struct status *s =
        status_new(a, 422, "Invalid", "%s \"%s\" is invalid", kind, o->name ? o->name : "");
    about(s, o, o->kind);
    return s;
}

void status_cause_add(struct arena *a, struct status *s, const char *reason, const char *field,
                      const char *format, ...)
{
    va_list args;
    va_start(args, format);
    struct status_cause *c = arena_new(a, struct status_cause);
    c->reason = reason;
    c->field = field ? arena_strdup(a, field) : NULL;
    c->message = arena_vprintf(a, format, args);
    va_end(args);
    struct status_cause **tail = &s->causes;
    while (*tail)
        tail = &(*tail)->next;
    *tail = c;
}

void status_invalid_finish(struct arena *a, struct status *s)
{
    if (!s->causes)
        return;
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "%s: %s", s->message, s->causes->next ? "[" : "");
    for (const struct status_cause *c = s->causes; c; c = c->next)
        buf_printf(&b, "%s: %s%s", c->field, c->message, c->next ? ", " : "");
    buf_append_cstr(&b, s->causes->next ? "]" : "");
    s->message = arena_strdup(a, buf_cstr(&b));
    buf_free(&b);
}

static const char *cause_reason(enum field_error_type type)
{
    switch (type) {
    case FIELD_REQUIRED:
        return "FieldValueRequired";
    case FIELD_INVALID:
        return "FieldValueInvalid";
    case FIELD_NOT_SUPPORTED:
        return "FieldValueNotSupported";
    case FIELD_DUPLICATE:
        return "FieldValueDuplicate";
    case FIELD_FORBIDDEN:
        return "FieldValueForbidden";
    case FIELD_NOT_FOUND:
        return "FieldValueNotFound";
    case FIELD_TOO_LONG:
        return "FieldValueTooLong";
    case FIELD_TOO_MANY:
        return "FieldValueTooMany";
    case FIELD_TYPE_INVALID:
        return "FieldValueTypeInvalid";
    case FIELD_INTERNAL:
        break;
    }
    return "InternalError";
}

void status_causes_add(struct arena *a, struct status *s, const struct field_errors *errors)
{
    for (size_t i = 0; i < errors->len; i++) {
        const struct field_error *e = &errors->items[i];
        status_cause_add(a, s, cause_reason(e->type), e->field, "%s", e->detail);
    }
}

struct status *status_invalid_fields(struct arena *a, const struct status_about *o,
                                     const struct field_errors *errors)
{
    struct status *s = status_invalid(a, o);
    status_causes_add(a, s, errors);
    status_invalid_finish(a, s);
    return s;
}

struct status *status_expired(struct arena *a, const char *message)
{
    return status_new(a, 410, "Expired", "%s", message);
}

struct status *status_too_large_version(struct arena *a, int64_t asked, int64_t current)
{
    struct status *s =
        status_new(a, 504, "Timeout", "Timeout: Too large resource version: %lld, current: %lld",
                   (long long)asked, (long long)current);
    s->has_details = true;
    s->retry_after_s = 1;
    status_cause_add(a, s, "ResourceVersionTooLarge", NULL, "Too large resource version");
    return s;
}

struct status *status_timeout(struct arena *a, const char *message)
{
    struct status *s = status_new(a, 504, "Timeout", "Timeout: %s", message);
    s->has_details = true;
    return s;
}

struct status *status_too_many_requests(struct arena *a, int retry_after_s)
{
    struct status *s =
        status_new(a, 429, "TooManyRequests", "Too many requests, please try again later.");
    s->has_details = true;
    s->retry_after_s = retry_after_s;
    return s;
}

struct status *status_method_not_allowed(struct arena *a, const struct status_about *o,
                                         const char *verb)
{
    struct status *s =
        status_new(a, 405, "MethodNotAllowed", "%s is not supported on resources of kind \"%s\"",
                   verb, qualified(a, o));
    s->has_details = true;
    s->group = o->group;
    s->kind = o->resource;
    return s;
}

struct status *status_no_method(struct arena *a)
{
    struct status *s =
        status_new(a, 405, "MethodNotAllowed",
                   "the server does not allow this method on the requested resource");
    s->has_details = true;
    return s;
}

struct status *status_no_media(struct arena *a)
{
    struct status *s = status_new(a, 406, "NotAcceptable", "406: Not Acceptable");
    s->has_details = true;
    return s;
}

struct status *status_path_not_found(struct arena *a)
{
    struct status *s =
        status_new(a, 404, "NotFound", "the server could not find the requested resource");
    s->has_details = true;
    return s;
}

struct status *status_unsupported_media(struct arena *a, const char *accepted)
{
    return status_new(
        a, 415, "UnsupportedMediaType",
        "the body of the request was in an unknown format - accepted media types include: %s",
        accepted);
}

struct status *status_not_acceptable(struct arena *a, const char *accepted)
{
    return status_new(a, 406, "NotAcceptable", "only the following media types are accepted: %s",
                      accepted);
}

struct status *status_from_error(struct arena *a, const struct error *err)
{
    switch (err->code) {
    case ERR_INVALID:
        return status_bad_request(a, "%s", err->message);
    case ERR_UNAVAILABLE:
    case ERR_CANCELLED: {
        struct status *s =
            status_new(a, 503, "ServiceUnavailable", "the store cannot answer: %s", err->message);
        s->has_details = true;
        s->retry_after_s = 1;
        return s;
    }
    case ERR_TIMEOUT:
        return status_timeout(a, err->message);
    case ERR_COMPACTED:
        return status_expired(a, "The resourceVersion for the provided watch is too old.");
    default:
        return status_internal(a, "%s", err->message);
    }
}

struct status *status_deleted(struct arena *a, const struct status_about *o, const char *uid)
{
    struct status *s = arena_new(a, struct status);
    s->code = 200;
    s->success = true;
    about(s, o, o->resource);
    s->uid = uid;
    return s;
}

/* What a request said may be quoted anywhere: bytes that are no text do not get into an answer. */
static struct str readable(struct arena *a, const char *s)
{
    struct str text = str_from(s ? s : "");
    return utf8_valid(text) ? text : str_from(arena_readable(a, text));
}

/* ---- JSON ---- */

static void json_member(struct buf *b, const char *key, const char *value, bool *first)
{
    if (!value || !*value)
        return;
    buf_printf(b, "%s\"%s\":", *first ? "" : ",", key);
    struct arena a;
    arena_init(&a);
    buf_append_json_string(b, readable(&a, value));
    arena_free(&a);
    *first = false;
}

static void json_details(const struct status *s, struct buf *b)
{
    bool first = true;
    buf_append_cstr(b, ",\"details\":{");
    json_member(b, "name", s->name, &first);
    json_member(b, "group", s->group, &first);
    json_member(b, "kind", s->kind, &first);
    json_member(b, "uid", s->uid, &first);
    if (s->causes) {
        buf_printf(b, "%s\"causes\":[", first ? "" : ",");
        first = false;
        for (const struct status_cause *c = s->causes; c; c = c->next) {
            bool f = true;
            buf_append_char(b, '{');
            json_member(b, "reason", c->reason, &f);
            json_member(b, "message", c->message, &f);
            json_member(b, "field", c->field, &f);
            buf_append_cstr(b, c->next ? "}," : "}");
        }
        buf_append_char(b, ']');
    }
    if (s->retry_after_s)
        buf_printf(b, "%s\"retryAfterSeconds\":%d", first ? "" : ",", s->retry_after_s);
    buf_append_char(b, '}');
}

void status_encode_json(const struct status *s, struct buf *b)
{
    bool first = false;
    buf_append_cstr(b, "{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"metadata\":{");
    if (s->next)
        buf_printf(b, "\"continue\":\"%s\"", s->next);
    buf_printf(b, "},\"status\":\"%s\"", s->success ? "Success" : "Failure");
    json_member(b, "message", s->message, &first);
    json_member(b, "reason", s->reason, &first);
    if (s->has_details)
        json_details(s, b);
    if (!s->success || s->code != 200)
        buf_printf(b, ",\"code\":%d", s->code);
    buf_append_cstr(b, "}\n");
}

/* ---- protobuf: meta/v1 Status {1 metadata, 2 status, 3 message, 4 reason, 5 details, 6 code} ---- */

static void wire_string(struct buf *b, unsigned field, const char *v)
{
    struct arena a;
    arena_init(&a);
    struct str text = readable(&a, v);
    buf_append_varint(b, field << 3 | 2);
    buf_append_varint(b, text.n);
    buf_append_str(b, text);
    arena_free(&a);
}

static void wire_message(struct buf *b, unsigned field, struct buf *sub)
{
    buf_append_varint(b, field << 3 | 2);
    buf_append_varint(b, sub->len);
    buf_append_str(b, buf_str(sub));
    buf_free(sub);
}

/* StatusDetails {1 name, 2 group, 3 kind, 4 causes {1 reason, 2 message, 3 field}, 5 retryAfter, 6 uid} */
static void wire_details(const struct status *s, struct buf *b)
{
    wire_string(b, 1, s->name);
    wire_string(b, 2, s->group);
    wire_string(b, 3, s->kind);
    for (const struct status_cause *c = s->causes; c; c = c->next) {
        struct buf sub;
        buf_init(&sub);
        wire_string(&sub, 1, c->reason);
        wire_string(&sub, 2, c->message);
        wire_string(&sub, 3, c->field);
        wire_message(b, 4, &sub);
    }
    buf_append_varint(b, 5 << 3);
    buf_append_varint(b, (uint64_t)s->retry_after_s);
    wire_string(b, 6, s->uid);
}

void status_encode_wire(const struct status *s, struct buf *b)
{
    struct buf sub;
    buf_init(&sub);
    wire_string(&sub, 1, "");
    wire_string(&sub, 2, "");
    wire_string(&sub, 3, s->next);
    wire_message(b, 1, &sub);
    wire_string(b, 2, s->success ? "Success" : "Failure");
    wire_string(b, 3, s->message);
    wire_string(b, 4, s->reason);
    if (s->has_details) {
        buf_init(&sub);
        wire_details(s, &sub);
        wire_message(b, 5, &sub);
    }
    buf_append_varint(b, 6 << 3);
    buf_append_varint(b, (uint64_t)(s->success ? 0 : s->code));
}
