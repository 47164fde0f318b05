/*
 * JSON → struct, by way of a yyjson tree whose numbers keep their text (so that integers are exact
 * and quantities lose no digit).
 *
 * Type errors use the wording clients know from Go's decoder, which names the struct, the path and
 * the type. The path is kept as a chain of stack frames and printed only when something is wrong.
 *
 * A member that stands twice goes into the same struct twice, as with Go's decoder: structs and maps come
 * together, items of a list go into those that are there, null empties what Go could set to nil. Where the
 * publisher reads text into a map first (YAML, patches, custom objects), the last one counts whole.
 */
#include "api/codec_internal.h"
#include "api/custom/internal.h"
#include "api/quantity.h"
#include "base/clock.h"
#include "base/encode.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define BUDGET_BASE (256 * 1024)
#define BUDGET_PER_VALUE 160 /* a key counts as a value too */
#define MERGED_ENTRY_COST 64 /* of an entry there already when its map stands again: mostly time */

/* One step of the path from the root; lives on the decoder's stack. */
struct frame {
    const struct frame *up;
    struct str name; /* member or map key; p NULL: an index */
    size_t index;
};

struct decoder {
    struct arena *arena;
    struct field_problems *problems; /* may be NULL */
    struct error *err;
    size_t budget;
    bool restored; /* errors in the words of who restores a struct from a patched map */
    bool whole;    /* of a member that stands twice the last one counts whole */
};

/* --- errors -------------------------------------------------------------------------------------
 */

static void path_append(struct buf *out, const struct frame *frame, bool indexes)
{
    if (!frame)
        return;
    path_append(out, frame->up, indexes);
    if (!frame->name.p) {
        if (indexes)
            buf_printf(out, "[%zu]", frame->index);
        return;
    }
    if (out->len)
        buf_append_char(out, '.');
    buf_append_str(out, frame->name);
}

static const char *type_of_value(yyjson_val *v)
{
    if (yyjson_is_str(v))
        return "string";
    if (yyjson_is_raw(v) || yyjson_is_num(v))
        return "number";
    if (yyjson_is_bool(v))
        return "bool";
    return yyjson_is_arr(v) ? "array" : "object";
}

/* Go's name of a field's type, near enough to recognise: []v1.Container, map[string]string, int32.
 */
static void type_name(const struct schema_field *f, bool element, char out[128])
{
    static const char *const scalars[] = {"bool", "int32", "int64", "float64", "string", "[]uint8"};
    const char *prefix = "", *name;
    const struct schema_field *of = f;
    if (!element && f->label == SCHEMA_REPEATED)
        prefix = "[]";
    if (f->label == SCHEMA_MAP) {
        prefix = element ? "" : "map[string]";
        of = schema_map_value(f);
    }
    if (of->type != SCHEMA_MESSAGE) {
        snprintf(out, 128, "%s%s", prefix, scalars[of->type]);
        return;
    }
    name = schema_string(schema_field_message(of)->full_name);
    const char *dot = strchr(name, '.');
    snprintf(out, 128, "%s%s", prefix, dot ? dot + 1 : name);
}

/*
 * A field of another type, as Go's converter from maps to structs says it, which makes the object after a
 * strategic merge patch. Only an integer could be converted to a string, and only a fraction to an integer.
 */
static int restore_error(struct decoder *d, const struct schema_field *f, bool element,
                         yyjson_val *v)
{
    static const char *const kinds[] = {"bool", "int32", "int64", "float64", "string", "slice"};
    bool fraction = yyjson_is_raw(v) && memchr(yyjson_get_raw(v), '.', yyjson_get_len(v));
    const char *from = yyjson_is_raw(v)    ? fraction ? "float64" : "int64"
                       : yyjson_is_str(v)  ? "string"
                       : yyjson_is_bool(v) ? "bool"
                       : yyjson_is_arr(v)  ? "slice"
                                           : "map";
    const struct schema_field *of = f->label == SCHEMA_MAP ? schema_map_value(f) : f;
    if (!element && (f->label == SCHEMA_MAP || f->label == SCHEMA_REPEATED))
        return error_set(d->err, ERR_INVALID, "cannot restore %s from %s",
                         f->label == SCHEMA_MAP ? "map" : "slice", from);
    if (of->type == SCHEMA_MESSAGE)
        return error_set(d->err, ERR_INVALID, "cannot restore struct from: %s", from);
    if (of->type == SCHEMA_BYTES)
        return error_set(d->err, ERR_INVALID, "cannot restore slice from %s", from);
    if (yyjson_is_raw(v) && (of->type == SCHEMA_STRING ? !fraction : of->type != SCHEMA_BOOL))
        return error_set(d->err, ERR_INVALID, "cannot convert %s to %s", from, kinds[of->type]);
    return error_set(d->err, ERR_INVALID, "unrecognized type: %s", kinds[of->type]);
}

static int type_error(struct decoder *d, const struct schema_message *m, const struct frame *frame,
                      const struct schema_field *f, bool element, yyjson_val *v)
{
    if (d->restored)
        return restore_error(d, f, element, v);
    struct buf path;
    char type[128];
    const char *owner = strrchr(schema_string(m->full_name), '.');
    buf_init(&path);
    path_append(&path, frame, false);
    type_name(f, element, type);
    bool number = yyjson_is_raw(v);
    error_set(d->err, ERR_INVALID,
              "json: cannot unmarshal %s%s%.*s into Go struct field %s.%s of type %s",
              type_of_value(v), number ? " " : "",
              number ? (int)(yyjson_get_len(v) < 40 ? yyjson_get_len(v) : 40) : 0,
              number ? yyjson_get_raw(v) : "", owner ? owner + 1 : "", buf_cstr(&path), type);
    buf_free(&path);
    return ERR_INVALID;
}

/* "spec.x: message" */
static int path_error(struct decoder *d, const struct frame *frame, const char *message)
{
    struct buf path;
    buf_init(&path);
    path_append(&path, frame, true);
    error_set(d->err, ERR_INVALID, "%s: %s", buf_cstr(&path), message);
    buf_free(&path);
    return ERR_INVALID;
}

static void problem_add(struct decoder *d, const struct frame *frame, bool duplicate)
{
    struct field_problems *p = d->problems;
    if (field_problems_full(p))
        return;
    struct buf path;
    buf_init(&path);
    path_append(&path, frame, true);
    field_problem_add(d->arena, p,
                      (struct field_problem){.duplicate = duplicate,
                                             .path = arena_strndup(d->arena, path.data, path.len)});
    buf_free(&path);
}

static int spend(struct decoder *d, size_t bytes)
{
    if (bytes > d->budget)
        return error_set(d->err, ERR_LIMIT, "object takes too much memory for its size");
    d->budget -= bytes;
    return 0;
}

/* --- scalars ------------------------------------------------------------------------------------
 */

static bool read_int(yyjson_val *v, int64_t *out)
{
    if (yyjson_is_raw(v))
        return str_to_i64(str_make(yyjson_get_raw(v), yyjson_get_len(v)), out);
    if (yyjson_is_int(v)) {
        *out = yyjson_get_sint(v);
        return yyjson_is_sint(v) || yyjson_get_uint(v) <= INT64_MAX;
    }
    return false;
}

static bool read_double(yyjson_val *v, double *out)
{
    if (yyjson_is_raw(v)) {
        char text[64];
        size_t n = yyjson_get_len(v);
        if (n >= sizeof text)
            n = sizeof text - 1;
        memcpy(text, yyjson_get_raw(v), n);
        text[n] = 0;
        *out = strtod(text, NULL);
        return isfinite(*out);
    }
    *out = yyjson_get_num(v);
    return yyjson_is_num(v);
}

static int read_bytes(struct decoder *d, const struct frame *frame, yyjson_val *v,
                      ProtobufCBinaryData *out)
{
    struct str text = str_make(yyjson_get_str(v), yyjson_get_len(v));
    struct buf clean, decoded;
    buf_init(&clean);
    buf_init(&decoded);
    for (size_t i = 0; i < text.n; i++) { /* line breaks are ignored, as Go does */
        if (text.p[i] != '\n' && text.p[i] != '\r')
            buf_append_char(&clean, text.p[i]);
    }
    int rc = 0;
    if (clean.len % 4 != 0 || !base64_decode(&decoded, buf_str(&clean)))
        rc = path_error(d, frame, "illegal base64 data");
    else
        *out = (ProtobufCBinaryData){
            decoded.len, decoded.len ? arena_dup(d->arena, decoded.data, decoded.len) : NULL};
    buf_free(&clean);
    buf_free(&decoded);
    return rc;
}

static int decode_string(struct decoder *d, const struct frame *frame, yyjson_val *v, char **out)
{
    size_t n = yyjson_get_len(v);
    const char *s = yyjson_get_str(v);
    if (n == 0) {
        *out = (char *)"";
        return 0;
    }
    if (memchr(s, 0, n))
        return path_error(d, frame, "string contains NUL");
    *out = arena_string(d->arena, str_make(s, n));
    return 0;
}

static int decode_message(struct decoder *d, const struct schema_message *m, void *object,
                          yyjson_val *v, const struct frame *frame, int depth, bool root);

/* One value that is not null into *to. */
static int decode_value(struct decoder *d, const struct schema_message *m,
                        const struct schema_field *f, void *to, yyjson_val *v,
                        const struct frame *frame, int depth)
{
    int64_t i;
    switch ((enum schema_type)f->type) {
    case SCHEMA_BOOL:
        if (!yyjson_is_bool(v))
            return type_error(d, m, frame, f, true, v);
        *(protobuf_c_boolean *)to = yyjson_get_bool(v);
        return 0;
    case SCHEMA_INT32:
        if (!read_int(v, &i) || i > INT32_MAX || i < INT32_MIN)
            return type_error(d, m, frame, f, true, v);
        *(int32_t *)to = (int32_t)i;
        return 0;
    case SCHEMA_INT64:
        if (!read_int(v, &i))
            return type_error(d, m, frame, f, true, v);
        *(int64_t *)to = i;
        return 0;
    case SCHEMA_DOUBLE:
        return read_double(v, to) ? 0 : type_error(d, m, frame, f, true, v);
    case SCHEMA_STRING:
        if (!yyjson_is_str(v))
            return type_error(d, m, frame, f, true, v);
        return decode_string(d, frame, v, to);
    case SCHEMA_BYTES:
        if (!yyjson_is_str(v))
            return type_error(d, m, frame, f, true, v);
        return read_bytes(d, frame, v, to);
    case SCHEMA_MESSAGE: {
        const struct schema_message *child = schema_field_message(f);
        int rc = spend(d, child->size);
        if (rc < 0)
            return rc;
        if (child->special == SCHEMA_PLAIN && !yyjson_is_obj(v))
            return type_error(d, m, frame, f, true, v);
        void **slot = to;
        if (!*slot)
            *slot = object_alloc(d->arena, child);
        return decode_message(d, child, *slot, v, frame, depth + 1, false);
    }
    }
    return ERR_INTERNAL;
}

/* --- lists and maps -----------------------------------------------------------------------------
 */

static int decode_list(struct decoder *d, const struct schema_message *m,
                       const struct schema_field *f, void *object, yyjson_val *v,
                       const struct frame *up, int depth)
{
    if (!yyjson_is_arr(v))
        return type_error(d, m, up, f, false, v);
    size_t n = yyjson_arr_size(v), size = element_size(f);
    int rc = spend(d, n * size);
    if (rc < 0)
        return rc;
    if (n == 0) { /* of a member that stands twice the last counts */
        MEMBER(object, f, const void *) = empty_list;
        *member_count(object, f) = 0;
        return 0;
    }
    char *items = arena_zalloc(d->arena, n * size);
    if (*member_count(object, f)) /* stood before: its items are gone on with */
        memcpy(items, MEMBER(object, f, void *), MIN(n, *member_count(object, f)) * size);
    size_t i, max;
    yyjson_val *item;
    yyjson_arr_foreach (v, i, max, item) {
        struct frame frame = {up, STR_NONE, i};
        void *to = items + i * size;
        if (yyjson_is_null(item)) { /* Go leaves what there is, mostly the zero value */
            if (f->type == SCHEMA_STRING && !*(const char **)to)
                *(const char **)to = "";
            else if (f->type == SCHEMA_MESSAGE && !*(void **)to)
                *(void **)to = object_new(d->arena, schema_field_message(f));
            continue;
        }
        if ((rc = decode_value(d, m, f, to, item, &frame, depth)) < 0)
            return rc;
    }
    MEMBER(object, f, void *) = items;
    *member_count(object, f) = n;
    return 0;
}

/* Rare, so slow is fine; bounded all the same. */
static void report_duplicate_keys(struct decoder *d, yyjson_val *object, const struct frame *up)
{
    size_t i, max, limit = 1000;
    yyjson_val *key, *item;
    yyjson_obj_foreach (object, i, max, key, item) {
        struct str name = str_make(yyjson_get_str(key), yyjson_get_len(key));
        if (i < limit && yyjson_obj_getn(object, name.p, name.n) != item) {
            struct frame frame = {up, name, 0};
            problem_add(d, &frame, true);
        }
    }
}

/* Sorted entries of a map that stood before, and of the same one now; of equal keys the later's. */
static void **merge_maps(struct decoder *d, void **old, size_t n_old, void **new, size_t n_new,
                         size_t *n)
{
    void **all = arena_zalloc(d->arena, (n_old + n_new) * sizeof *all);
    size_t i = 0, k = 0;
    for (*n = 0; i < n_old || k < n_new; (*n)++) {
        int order = i == n_old ? 1 : k == n_new ? -1 : strcmp(entry_key(old[i]), entry_key(new[k]));
        all[*n] = order < 0 ? old[i] : new[k];
        i += order <= 0;
        k += order >= 0;
    }
    return all;
}

static int decode_map(struct decoder *d, const struct schema_message *m,
                      const struct schema_field *f, void *object, yyjson_val *v,
                      const struct frame *up, int depth)
{
    if (!yyjson_is_obj(v))
        return type_error(d, m, up, f, false, v);
    const struct schema_message *entry_message = schema_field_message(f);
    const struct schema_field *value = schema_map_value(f);
    size_t n = yyjson_obj_size(v), before = *member_count(object, f);
    int rc = spend(d, before * MERGED_ENTRY_COST + n * (sizeof(void *) + entry_message->size));
    if (rc < 0 || n == 0)
        return rc;
    void **entries = arena_zalloc(d->arena, n * sizeof *entries);
    size_t i, max;
    yyjson_val *key, *item;
    yyjson_obj_foreach (v, i, max, key, item) {
        struct frame frame = {up, str_make(yyjson_get_str(key), yyjson_get_len(key)), 0};
        StringEntry *entry = object_alloc(d->arena, entry_message);
        entries[i] = entry;
        if ((rc = decode_string(d, &frame, key, &entry->key)) < 0)
            return rc;
        void *to = (char *)entry + value->offset;
        if (!yyjson_is_null(item)) {
            member_set_has(entry, value);
            if ((rc = decode_value(d, m, value, to, item, &frame, depth)) < 0)
                return rc;
        }
        object_fill(d->arena, entry_message, entry);
    }
    map_normalize(entries, &n);
    if (n < max && d->problems)
        report_duplicate_keys(d, v, up);
    if (before) /* stood before: keys come together */
        entries = merge_maps(d, MEMBER(object, f, void *), before, entries, n, &n);
    MEMBER(object, f, void *) = entries;
    *member_count(object, f) = n;
    return 0;
}

/* --- messages with a JSON form of their own ------------------------------------------------------
 */

static int special_error(struct decoder *d, const struct frame *frame, const char *what)
{
    return path_error(d, frame, what);
}

static int decode_time(struct decoder *d, Meta__V1__MicroTime *t, yyjson_val *v, bool micro,
                       const struct frame *frame)
{
    if (!yyjson_is_str(v) ||
        !clock_parse_rfc3339(yyjson_get_str(v), yyjson_get_len(v), &t->seconds, &t->nanos) ||
        t->seconds < TIME_SECONDS_MIN || t->seconds > TIME_SECONDS_MAX)
        return special_error(d, frame, "must be a time in RFC 3339 form (2006-01-02T15:04:05Z)");
    t->nanos = micro ? t->nanos / 1000 * 1000 : 0;
    return 0;
}

static int decode_quantity(struct decoder *d, Meta__V1__Quantity *q, yyjson_val *v,
                           const struct frame *frame)
{
    struct quantity parsed;
    struct error err;
    struct str text = yyjson_is_raw(v)   ? str_make(yyjson_get_raw(v), yyjson_get_len(v))
                      : yyjson_is_str(v) ? str_make(yyjson_get_str(v), yyjson_get_len(v))
                                         : STR_NONE;
    if (!text.p)
        return special_error(d, frame, "must be a quantity: a number or a string");
    if (quantity_parse(str_trim(text), &parsed, &err) < 0)
        return error_set(d->err, ERR_INVALID, "%s", err.message); /* upstream's, without a path */
    q->string = quantity_text(d->arena, parsed);
    return 0;
}

static int decode_int_or_string(struct decoder *d, Meta__V1__IntOrString *out, yyjson_val *v,
                                const struct frame *frame)
{
    int64_t i;
    if (yyjson_is_str(v)) {
        out->type = 1;
        return decode_string(d, frame, v, &out->str_val);
    }
    if (!read_int(v, &i) || i > INT32_MAX || i < INT32_MIN)
        return special_error(d, frame, "must be an integer (32 bits) or a string");
    out->type = 0;
    out->int_val = (int32_t)i;
    return 0;
}

/* Its text stands in the body, so it is paid for, however long it is. */
static int decode_raw(struct decoder *d, Meta__V1__RawExtension *out, yyjson_val *v)
{
    size_t n;
    char *text = yyjson_val_write(v, YYJSON_WRITE_ALLOW_INVALID_UNICODE, &n);
    if (!text)
        return error_set(d->err, ERR_INTERNAL, "cannot write a JSON value");
    out->has_raw = 1;
    out->raw = (ProtobufCBinaryData){n, arena_dup(d->arena, text, n)};
    free(text);
    return 0;
}

static int decode_strings(struct decoder *d, const struct schema_message *m, void *out,
                          yyjson_val *v, const struct frame *frame, int depth)
{
    return decode_list(d, m, schema_field_at(m, 0), out, v, frame, depth);
}

/* JSONSchemaPropsOr*: the schema's form or the other one. */
static int decode_props_or(struct decoder *d, const struct schema_message *m, void *object,
                           yyjson_val *v, const struct frame *frame, int depth)
{
    const struct schema_field *first = schema_field_at(m, 0), *second = schema_field_at(m, 1);
    memset((char *)object + sizeof(void *), 0,
           m->size - sizeof(void *)); /* nothing of one before */
    if (m->special == SCHEMA_PROPS_OR_BOOL) {
        if (yyjson_is_bool(v)) {
            MEMBER(object, first, protobuf_c_boolean) = yyjson_get_bool(v);
            return 0;
        }
        MEMBER(object, first, protobuf_c_boolean) = 1;
        return decode_value(d, m, second, (char *)object + second->offset, v, frame, depth);
    }
    if (yyjson_is_arr(v))
        return decode_list(d, m, second, object, v, frame, depth);
    return decode_value(d, m, first, (char *)object + first->offset, v, frame, depth);
}

/* Metadata is a message like others, everything else is the kind's own business. */
static int decode_custom(struct decoder *d, const struct schema_message *m, void *object,
                         yyjson_val *v, const struct frame *up, int depth)
{
    const struct custom_version *custom = custom_of_message(m);
    const struct schema_field *f = schema_field_at(m, 0);
    yyjson_val *metadata = json_last_member(v, STR("metadata"));
    if (!custom || !yyjson_is_obj(v))
        return error_set(d->err, ERR_INVALID, "json: cannot unmarshal %s into a custom object",
                         type_of_value(v));
    if (metadata && !yyjson_is_null(metadata)) {
        struct frame frame = {up, STR("metadata"), 0};
        bool whole = d->whole;
        d->whole = true;
        MEMBER(object, f, void *) = NULL; /* of an item of a list that stood before */
        int rc = decode_value(d, m, f, (char *)object + f->offset, metadata, &frame, depth);
        d->whole = whole;
        if (rc < 0)
            return rc;
    }
    return custom_decode_body(d->arena, custom, v, d->problems, object, d->err);
}

int custom_decode_stored_fields(struct arena *a, yyjson_val *root, CustomObject *out,
                                struct error *err)
{
    size_t values = (size_t)(unsafe_yyjson_get_next(root) - root);
    struct decoder d = {a, NULL, err, BUDGET_BASE + BUDGET_PER_VALUE * values};
    return decode_message(&d, schema_of(out), out, root, NULL, 1, true);
}

static int decode_special(struct decoder *d, const struct schema_message *m, void *object,
                          yyjson_val *v, const struct frame *frame, int depth)
{
    int64_t ns;
    switch ((enum schema_special)m->special) {
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
        return decode_time(d, object, v, m->special == SCHEMA_MICRO_TIME, frame);
    case SCHEMA_DURATION:
        if (!yyjson_is_str(v) ||
            !clock_parse_duration(str_make(yyjson_get_str(v), yyjson_get_len(v)), &ns))
            return special_error(d, frame, "must be a duration, such as \"1h30m\"");
        ((Meta__V1__Duration *)object)->duration = ns;
        return 0;
    case SCHEMA_QUANTITY:
        return decode_quantity(d, object, v, frame);
    case SCHEMA_INT_OR_STRING:
        return decode_int_or_string(d, object, v, frame);
    case SCHEMA_RAW:
        return decode_raw(d, object, v);
    case SCHEMA_STRINGS:
        return decode_strings(d, m, object, v, frame, depth);
    case SCHEMA_CUSTOM:
        return decode_custom(d, m, object, v, frame, depth);
    default:
        return decode_props_or(d, m, object, v, frame, depth);
    }
}

/* --- messages ------------------------------------------------------------------------------------
 */

/* As if the member had not stood: of lists and pointers what Go sets to nil. */
static void member_clear(void *object, const struct schema_field *f)
{
    if (field_is_list(f)) {
        MEMBER(object, f, void *) = NULL;
        *member_count(object, f) = 0;
        return;
    }
    memset((char *)object + f->offset, 0, element_size(f));
    if (f->count_offset)
        *(protobuf_c_boolean *)((char *)object + f->count_offset) = 0;
}

/*
 * A null: what can be absent is absent then. Value types stay as they are, but those whose JSON form is their
 * own and who take a null for nothing. RawExtension would keep it, and upstream drops it there too.
 */
static void decode_null(void *object, const struct schema_field *f)
{
    if (f->label != SCHEMA_VALUE) {
        member_clear(object, f);
        return;
    }
    if (f->type != SCHEMA_MESSAGE || !MEMBER(object, f, void *))
        return;
    switch (schema_field_message(f)->special) {
    case SCHEMA_TIME:
    case SCHEMA_MICRO_TIME:
    case SCHEMA_QUANTITY:
        member_clear(object, f);
        break;
    case SCHEMA_INT_OR_STRING:
        MEMBER(object, f, Meta__V1__IntOrString *)->type = 0;
        break;
    default:
        break;
    }
}

static int decode_member(struct decoder *d, const struct schema_message *m, void *object,
                         const struct schema_field *f, yyjson_val *v, const struct frame *frame,
                         int depth)
{
    if (yyjson_is_null(v)) {
        decode_null(object, f);
        return 0;
    }
    if (f->label == SCHEMA_MAP)
        return decode_map(d, m, f, object, v, frame, depth);
    if (f->label == SCHEMA_REPEATED)
        return decode_list(d, m, f, object, v, frame, depth);
    member_set_has(object, f);
    return decode_value(d, m, f, (char *)object + f->offset, v, frame, depth);
}

/* Find the struct that holds a member, making inlined messages on the way; *index is the member's place
 * in the outermost message. */
static const struct schema_field *locate(struct decoder *d, const struct schema_message **m,
                                         void **object, struct str name, int *index)
{
    *index = schema_member_find(*m, name);
    if (*index < 0)
        return NULL;
    const struct schema_member *member = &schema_members[(*m)->members + *index];
    const struct schema_field *f = &schema_fields[member->field];
    const struct schema_field *via = member->via == 0xffff ? NULL : &schema_fields[member->via];
    while (f && via) {
        const struct schema_message *inner = schema_field_message(via);
        if (!MEMBER(*object, via, void *))
            MEMBER(*object, via, void *) = object_alloc(d->arena, inner);
        *object = MEMBER(*object, via, void *);
        *m = inner;
        f = schema_field_by_json(inner, name, &via);
    }
    return f;
}

/* Which members were seen, for duplicates. The two of a kind's type have no field. */
#define SEEN_TYPE_META 254
static bool seen_before(uint64_t seen[4], int index)
{
    bool before = seen[index / 64] >> (index % 64) & 1;
    seen[index / 64] |= 1ull << (index % 64);
    return before;
}

/* Value messages reached through inlining may lack their own fill: do it from the inside out. */
static int fill_inline(struct decoder *d, const struct schema_message *m, void *object)
{
    int rc;
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->flags & SCHEMA_INLINE && MEMBER(object, f, void *) &&
            (rc = fill_inline(d, schema_field_message(f), MEMBER(object, f, void *))) < 0)
            return rc;
    }
    if ((rc = spend(d, object_fill_size(m, object))) < 0)
        return rc;
    object_fill(d->arena, m, object);
    return 0;
}

static int decode_message(struct decoder *d, const struct schema_message *m, void *object,
                          yyjson_val *v, const struct frame *up, int depth, bool root)
{
    if (depth > CODEC_DEPTH_MAX)
        return error_set(d->err, ERR_LIMIT, "JSON: nested more than %d deep", CODEC_DEPTH_MAX);
    if (m->special != SCHEMA_PLAIN) {
        int rc = decode_special(d, m, object, v, up, depth);
        object_fill(d->arena, m, object);
        return rc;
    }
    assert(m->member_count <= SEEN_TYPE_META);
    uint64_t seen[4] = {0};
    bool type_meta = m->flags & SCHEMA_HAS_TYPE_META;
    size_t i, max;
    yyjson_val *key, *item;
    yyjson_obj_foreach (v, i, max, key, item) {
        struct frame frame = {up, str_make(yyjson_get_str(key), yyjson_get_len(key)), 0};
        const struct schema_message *at = m;
        void *holder = object;
        int index;
        const struct schema_field *f = locate(d, &at, &holder, frame.name, &index);
        if (!f) {
            bool known = (type_meta || root) &&
                         (str_eq(frame.name, STR("kind")) || str_eq(frame.name, STR("apiVersion")));
            if (!known)
                problem_add(d, &frame, false);
            else if (seen_before(seen, SEEN_TYPE_META + (frame.name.p[0] == 'k')))
                problem_add(d, &frame, true);
            continue;
        }
        if (seen_before(seen, index)) {
            problem_add(d, &frame, true);
            if (d->whole)
                member_clear(holder, f);
        }
        int rc = decode_member(d, at, holder, f, item, &frame, depth);
        if (rc < 0)
            return rc;
    }
    return fill_inline(d, m, object);
}

/* Of "apps/v1" the version. */
static struct str version_of(struct str api_version)
{
    struct str group;
    str_split(&api_version, '/', &group);
    return api_version.n ? api_version : group;
}

/* Another kind than the one asked for: what the publisher's decoder, which makes an object of it first, has to say. */
static int other_kind(const struct schema_message *m, struct str api_version, struct str kind,
                      struct error *err)
{
    const char *wanted = message_kind(m), *wanted_version = message_api_version(m);
    /* Options are read by a decoder that knows nothing else. */
    if (cstr_eq(wanted, "DeleteOptions"))
        return error_set(err, ERR_UNSUPPORTED,
                         "no kind \"%.*s\" is registered for version \"%.*s\"", STR_ARG(kind),
                         STR_ARG(api_version));
    if (kind_message(api_version, kind) == SCHEMA_NONE)
        return error_set(err, ERR_INVALID, "no kind \"%.*s\" is registered for version \"%.*s\"",
                         STR_ARG(kind), STR_ARG(api_version));
    if (str_eqz(kind, wanted))
        return error_set(
            err, ERR_UNSUPPORTED,
            "the API version in the data (%.*s) does not match the expected API version (%s)",
            STR_ARG(api_version), wanted_version);
    /* The name of the package that has the group's internal types: its first label; events are in core. */
    size_t group = strchr(wanted_version, '/') ? strcspn(wanted_version, "./") : 0;
    if (strncmp(wanted_version, "events.", 7) == 0)
        group = 0;
    return error_set(err, ERR_INVALID, "converting (%.*s.%.*s) to (%.*s.%s): unknown conversion",
                     STR_ARG(version_of(api_version)), STR_ARG(kind), group ? (int)group : 4,
                     group ? wanted_version : "core", wanted);
}

/* Does the text's apiVersion and kind fit the message asked for? Absent ones do. */
static int check_type_meta(const struct schema_message *m, struct str api_version, struct str kind,
                           struct error *err)
{
    if (!(m->flags & SCHEMA_HAS_TYPE_META) || (!api_version.n && !kind.n))
        return 0;
    bool kind_fits = !kind.n || str_eqz(kind, message_kind(m));
    if (kind_fits && (!api_version.n || str_eqz(api_version, message_api_version(m))))
        return 0;
    if (kind_message(api_version, kind) == m->id) /* a meta kind with a group's apiVersion */
        return 0;
    if (m->special == SCHEMA_CUSTOM && api_version.n &&
        !str_eqz(api_version, message_api_version(m)))
        return error_set(
            err, ERR_UNSUPPORTED,
            "the API version in the data (%.*s) does not match the expected API version (%s)",
            STR_ARG(api_version), message_api_version(m));
    if (m->special == SCHEMA_CUSTOM)
        return error_set(
            err, ERR_INVALID,
            "the API version in the data (%.*s, Kind=%.*s) does not match the expected API "
            "version (%s, Kind=%s)",
            STR_ARG(api_version), STR_ARG(kind), message_api_version(m), message_kind(m));
    return other_kind(m, api_version.n ? api_version : str_from(message_api_version(m)),
                      kind.n ? kind : str_from(message_kind(m)), err);
}

/* Where the publisher's decoder would have it from. */
enum source { SOURCE_TEXT, SOURCE_MAP, SOURCE_RESTORED };

static int decode_tree(struct arena *a, const struct schema_message *m, yyjson_val *value,
                       struct field_problems *problems, enum source source, void **out,
                       struct error *err)
{
    if (!yyjson_is_obj(value) && (!m || m->special == SCHEMA_PLAIN))
        return error_set(err, ERR_INVALID, "json: cannot unmarshal %s into Go value of type %s",
                         type_of_value(value), m ? message_kind(m) : "struct");
    struct str api_version = STR_NONE, kind = STR_NONE;
    if (yyjson_is_obj(value))
        json_type_meta(value, &api_version, &kind);
    if (!m) {
        if (!kind.n)
            return error_set(err, ERR_INVALID, "Object 'Kind' is missing");
        int id = kind_message(api_version, kind);
        if (id == SCHEMA_NONE)
            return error_set(err, ERR_UNSUPPORTED,
                             "no kind \"%.*s\" is registered for version \"%.*s\"", STR_ARG(kind),
                             STR_ARG(api_version));
        m = schema_get(id);
    } else {
        int rc = source == SOURCE_RESTORED ? 0 : check_type_meta(m, api_version, kind, err);
        if (rc == 0 && m->special == SCHEMA_CUSTOM && !kind.n)
            rc = error_set(err, ERR_INVALID, "Object 'Kind' is missing");
        if (rc < 0)
            return rc;
    }
    size_t values = (size_t)(unsafe_yyjson_get_next(value) - value); /* of the whole subtree */
    struct decoder d = {.arena = a,
                        .problems = problems,
                        .err = err,
                        .budget = BUDGET_BASE + BUDGET_PER_VALUE * values,
                        .restored = source == SOURCE_RESTORED,
                        .whole = source != SOURCE_TEXT};
    *out = object_alloc(a, m);
    return decode_message(&d, m, *out, value, NULL, 1, true);
}

int json_decode_value(struct arena *a, const struct schema_message *m, yyjson_val *value,
                      struct field_problems *problems, void **out, struct error *err)
{
    return decode_tree(a, m, value, problems, SOURCE_MAP, out, err);
}

static int decode_text(struct arena *a, const struct schema_message *m, struct str json,
                       struct field_problems *problems, enum source source, void **out,
                       struct error *err)
{
    /* The tree, three times the text, goes at once: nothing that is decoded refers to it. */
    struct arena tree;
    yyjson_val *root = NULL;
    arena_init_limited(&tree, a->limit ? MAX(a->limit - MIN(a->used, a->limit), 1) : 0);
    int rc = json_read(&tree, json, &root, err);
    if (rc == 0)
        rc = decode_tree(a, m, root, problems, source, out, err);
    arena_free(&tree);
    return rc;
}

int json_decode(struct arena *a, const struct schema_message *m, struct str json,
                struct field_problems *problems, void **out, struct error *err)
{
    return decode_text(a, m, json, problems, SOURCE_TEXT, out, err);
}

int json_decode_map(struct arena *a, const struct schema_message *m, struct str json,
                    struct field_problems *problems, void **out, struct error *err)
{
    return decode_text(a, m, json, problems, SOURCE_MAP, out, err);
}

int json_decode_restored(struct arena *a, const struct schema_message *m, struct str json,
                         struct field_problems *problems, void **out, struct error *err)
{
    return decode_text(a, m, json, problems, SOURCE_RESTORED, out, err);
}

yyjson_mut_val *json_tree(struct arena *a, yyjson_mut_doc *doc, const void *object)
{
    struct buf text;
    yyjson_val *root;
    buf_init(&text);
    json_encode(object, JSON_DEFAULT, &text);
    int rc = json_read(a, buf_str(&text), &root, NULL);
    assert(rc == 0); /* our own output */
    (void)rc;
    buf_free(&text);
    return yyjson_val_mut_copy(doc, root);
}
