/*
 * protobuf-c messages as JSON and back. See pb_json.h.
 */
#include "net/pb_json.h"
#include "base/encode.h"
#include "base/mem.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <yyjson.h>

typedef ProtobufCFieldDescriptor field_desc;

/* ---------------------------------------------------------------------- writing --- */

static size_t type_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    default:
        return 8;
    }
}

static bool is_zero(const field_desc *f, const void *at)
{
    const void *p = NULL;
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        memcpy(&p, at, sizeof p);
        return !p || (f->type == PROTOBUF_C_TYPE_STRING && !*(const char *)p);
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    default: {
        static const char zero[8];
        return memcmp(at, zero, type_size(f->type)) == 0;
    }
    }
}

static void write_double(struct buf *out, double v)
{
    if (isfinite(v))
        buf_printf(out, "%.17g", v);
    else
        buf_append_cstr(out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
}

static void write_value(struct buf *out, const field_desc *f, const void *at)
{
    const ProtobufCBinaryData *bytes = at;
    const ProtobufCEnumValue *named;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        buf_printf(out, "%" PRId32, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        buf_printf(out, "\"%" PRId64 "\"", *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        buf_printf(out, "\"%" PRIu64 "\"", *(const uint64_t *)at);
        break;
    case PROTOBUF_C_TYPE_FLOAT:
        write_double(out, (double)*(const float *)at);
        break;
    case PROTOBUF_C_TYPE_DOUBLE:
        write_double(out, *(const double *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_append_cstr(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_ENUM:
        named = protobuf_c_enum_descriptor_get_value(f->descriptor, *(const int *)at);
        if (named)
            buf_printf(out, "\"%s\"", named->name);
        else
            buf_printf(out, "%d", *(const int *)at);
        break;
    case PROTOBUF_C_TYPE_STRING:
        buf_append_json_string(out, str_from(*(char *const *)at));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        buf_append_char(out, '"');
        base64_encode(out, str_make(bytes->data, bytes->len));
        buf_append_char(out, '"');
        break;
    case PROTOBUF_C_TYPE_MESSAGE:
        pb_json_write(out, *(ProtobufCMessage *const *)at);
        break;
    }
}

static void write_name(struct buf *out, const field_desc *f, bool *first)
{
    if (!*first)
        buf_append_char(out, ',');
    *first = false;
    buf_printf(out, "\"%s\":", f->name);
}

static void write_field(struct buf *out, const field_desc *f, const char *m, bool *first)
{
    const char *at = m + f->offset, *quantifier = m + f->quantifier_offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = *(const size_t *)(const void *)quantifier;
        const char *items = *(char *const *)(const void *)at;
        if (n == 0)
            return;
        write_name(out, f, first);
        for (size_t i = 0; i < n; i++) {
            buf_append_char(out, i ? ',' : '[');
            write_value(out, f, items + i * type_size(f->type));
        }
        buf_append_char(out, ']');
        return;
    }
    bool chosen = (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) &&
                  *(const uint32_t *)(const void *)quantifier == f->id;
    if ((f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) && !chosen)
        return;
    if (is_zero(f, at) && (!chosen || f->type == PROTOBUF_C_TYPE_MESSAGE))
        return;
    write_name(out, f, first);
    write_value(out, f, at);
}

void pb_json_write(struct buf *out, const ProtobufCMessage *message)
{
    const ProtobufCMessageDescriptor *d = message->descriptor;
    bool first = true;
    buf_append_char(out, '{');
    for (unsigned i = 0; i < d->n_fields; i++)
        write_field(out, &d->fields[i], (const char *)message, &first);
    buf_append_char(out, '}');
}

/* ---------------------------------------------------------------------- reading --- */

struct reading {
    struct arena *arena;
    struct error *err;
};

/* Is `name` the field's name in lowerCamelCase? */
static bool is_camel(const char *field, struct str name)
{
    size_t n = 0;
    bool up = false;
    for (; *field; field++) {
        if (*field == '_') {
            up = true;
            continue;
        }
        char c = up && *field >= 'a' && *field <= 'z' ? (char)(*field - 32) : *field;
        up = false;
        if (n == name.n || name.p[n++] != c)
            return false;
    }
    return n == name.n;
}

static const field_desc *find_field(const ProtobufCMessageDescriptor *d, struct str name)
{
    for (unsigned i = 0; i < d->n_fields; i++)
        if (str_eqz(name, d->fields[i].name) || is_camel(d->fields[i].name, name))
            return &d->fields[i];
    return NULL;
}

static int bad(struct reading *r, const field_desc *f, const char *what)
{
    return error_set(r->err, ERR_INVALID, "field %s: %s", f->name, what);
}

static struct str text_of(yyjson_val *v)
{
    return str_make(yyjson_get_str(v), yyjson_get_len(v));
}

static int read_signed(struct reading *r, const field_desc *f, yyjson_val *v, int64_t *out)
{
    if (yyjson_is_str(v) && str_to_i64(text_of(v), out))
        return 0;
    if (yyjson_is_int(v) && (yyjson_is_sint(v) || yyjson_get_uint(v) <= INT64_MAX)) {
        *out = yyjson_get_sint(v);
        return 0;
    }
    double d = yyjson_get_real(v);
    if (!yyjson_is_real(v) || !(d > -9e15 && d < 9e15) || (double)(int64_t)d != d)
        return bad(r, f, "not a whole number of 64 bits");
    *out = (int64_t)d;
    return 0;
}

static int read_unsigned(struct reading *r, const field_desc *f, yyjson_val *v, uint64_t *out)
{
    if (yyjson_is_str(v) && str_to_u64(text_of(v), out))
        return 0;
    if (!yyjson_is_uint(v))
        return bad(r, f, "not a whole number of 64 bits, or negative");
    *out = yyjson_get_uint(v);
    return 0;
}

static int read_double(struct reading *r, const field_desc *f, yyjson_val *v, double *out)
{
    if (!yyjson_is_num(v))
        return bad(r, f, "not a number");
    *out = yyjson_get_num(v);
    return 0;
}

static int read_enum(struct reading *r, const field_desc *f, yyjson_val *v, int *out)
{
    if (yyjson_is_str(v)) {
        const ProtobufCEnumValue *named =
            protobuf_c_enum_descriptor_get_value_by_name(f->descriptor, yyjson_get_str(v));
        if (!named)
            return bad(r, f, "no such name");
        *out = named->value;
        return 0;
    }
    int64_t n;
    int rc = read_signed(r, f, v, &n);
    if (rc == 0 && (n < INT32_MIN || n > INT32_MAX))
        rc = bad(r, f, "out of range");
    *out = (int)n;
    return rc;
}

static int read_bytes(struct reading *r, const field_desc *f, yyjson_val *v,
                      ProtobufCBinaryData *out)
{
    struct buf b;
    if (!yyjson_is_str(v))
        return bad(r, f, "not a string");
    buf_init(&b);
    bool ok = base64_decode(&b, text_of(v));
    if (ok) {
        out->len = b.len;
        out->data = b.len ? arena_dup(r->arena, b.data, b.len) : NULL;
    }
    buf_free(&b);
    return ok ? 0 : bad(r, f, "not base64");
}

static int read_message(struct reading *r, const ProtobufCMessageDescriptor *d, yyjson_val *v,
                        unsigned depth, ProtobufCMessage **out);

static int read_string(struct reading *r, const field_desc *f, yyjson_val *v, char **out)
{
    struct str s = text_of(v);
    if (!yyjson_is_str(v) || (s.n && memchr(s.p, 0, s.n)))
        return bad(r, f, "not a string");
    *out = arena_strndup(r->arena, s.p, s.n);
    return 0;
}

static int read_value(struct reading *r, const field_desc *f, yyjson_val *v, unsigned depth,
                      void *at)
{
    int64_t i = 0;
    uint64_t u = 0;
    double d = 0;
    int rc;
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        rc = read_signed(r, f, v, &i);
        if (rc == 0 && (i < INT32_MIN || i > INT32_MAX))
            return bad(r, f, "out of range");
        *(int32_t *)at = (int32_t)i;
        return rc;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        rc = read_unsigned(r, f, v, &u);
        if (rc == 0 && u > UINT32_MAX)
            return bad(r, f, "out of range");
        *(uint32_t *)at = (uint32_t)u;
        return rc;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return read_signed(r, f, v, at);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_unsigned(r, f, v, at);
    case PROTOBUF_C_TYPE_FLOAT:
        rc = read_double(r, f, v, &d);
        *(float *)at = (float)d;
        return rc;
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_double(r, f, v, at);
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = yyjson_get_bool(v);
        return yyjson_is_bool(v) ? 0 : bad(r, f, "neither true nor false");
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, f, v, at);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(r, f, v, at);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, f, v, at);
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(r, f->descriptor, v, depth + 1, at);
    }
    return bad(r, f, "of an unknown type");
}

static int read_repeated(struct reading *r, const field_desc *f, yyjson_val *v, unsigned depth,
                         char *m)
{
    size_t n = yyjson_arr_size(v), i, max, size = type_size(f->type);
    yyjson_val *item;
    if (!yyjson_is_arr(v))
        return bad(r, f, "not an array");
    char *items = arena_zalloc(r->arena, n * size);
    yyjson_arr_foreach (v, i, max, item) {
        int rc = yyjson_is_null(item) ? bad(r, f, "null in an array")
                                      : read_value(r, f, item, depth, items + i * size);
        if (rc < 0)
            return rc;
    }
    memcpy(m + f->offset, &items, sizeof items);
    memcpy(m + f->quantifier_offset, &n, sizeof n);
    return 0;
}

static int read_message(struct reading *r, const ProtobufCMessageDescriptor *d, yyjson_val *v,
                        unsigned depth, ProtobufCMessage **out)
{
    yyjson_val *key, *value;
    size_t i, max;
    if (!yyjson_is_obj(v))
        return error_set(r->err, ERR_INVALID, "message %s: not an object", d->name);
    if (depth > PB_JSON_DEPTH_MAX)
        return error_set(r->err, ERR_INVALID, "message %s: nested too deeply", d->name);
    char *m = arena_zalloc(r->arena, d->sizeof_message);
    d->message_init((void *)m);
    yyjson_obj_foreach (v, i, max, key, value) {
        const field_desc *f = find_field(d, text_of(key));
        if (!f || yyjson_is_null(value))
            continue;
        int rc = f->label == PROTOBUF_C_LABEL_REPEATED
                     ? read_repeated(r, f, value, depth, m)
                     : read_value(r, f, value, depth, m + f->offset);
        if (rc < 0)
            return rc;
        if (f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
            memcpy(m + f->quantifier_offset, &f->id, sizeof f->id);
    }
    *out = (void *)m;
    return 0;
}

ProtobufCMessage *pb_json_read(struct arena *arena, const ProtobufCMessageDescriptor *descriptor,
                               struct str json, struct error *err)
{
    struct reading r = {arena, err};
    ProtobufCMessage *out = NULL;
    yyjson_read_err why;
    struct str text = str_trim(json);
    if (text.n == 0)
        text = STR("{}");
    yyjson_doc *doc = yyjson_read_opts((char *)text.p, text.n, 0, NULL, &why);
    if (!doc) {
        error_set(err, ERR_INVALID, "invalid JSON at byte %zu: %s", why.pos, why.msg);
        return NULL;
    }
    if (read_message(&r, descriptor, yyjson_doc_get_root(doc), 0, &out) < 0)
        out = NULL;
    yyjson_doc_free(doc);
    return out;
}

ptrdiff_t pb_json_end(struct pb_json_scan *s, struct str text)
{
    for (; s->at < text.n; s->at++) {
        char c = text.p[s->at];
        if (s->in_string) {
            s->in_string = s->escaped || c != '"';
            s->escaped = !s->escaped && c == '\\';
        } else if (s->depth == 0 && c != '{') {
            if (c != ' ' && c != '\t' && c != '\n' && c != '\r')
                return -1;
        } else if (c == '"') {
            s->in_string = true;
        } else if (c == '{' || c == '[') {
            s->depth++;
        } else if ((c == '}' || c == ']') && --s->depth == 0) {
            return (ptrdiff_t)s->at + 1;
        }
    }
    return 0;
}
