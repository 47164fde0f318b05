/*
 * Wire → JSON in one pass, without structs: how a GET or LIST in JSON is answered from stored
 * bytes.
 *
 * The bytes are walked field by field. As our own canonical encoding (and every published encoder)
 * writes fields in ascending order and lists in one run, members can be written as they are met;
 * what was skipped on the way but has a place in JSON (`status: {}`) is filled in. Bytes that are
 * not in that form make the walk give up (ERR_UNSUPPORTED) and the caller goes by way of a struct.
 */
#include "api/codec_internal.h"
#include "api/wire_json.h"

struct walk {
    struct buf *out;
    struct str resource_version; /* p NULL: as stored */
};

#define GIVE_UP ERR_UNSUPPORTED

static int walk_members(struct walk *w, const struct schema_message *m, struct str wire,
                        bool *first, int depth, bool top);

static int walk_message(struct walk *w, const struct schema_message *m, struct str wire, int depth,
                        bool top);

/* Scalars of messages with a JSON form of their own. */
struct special_fields {
    uint64_t number[3]; /* varint fields 1, 2 by index; absent: 0 */
    struct str bytes[4];
};

static bool read_special(struct str wire, struct special_fields *s)
{
    struct wire_reader r = wire_reader_of(wire);
    uint32_t number, type;
    while (r.p < r.end) {
        if (!wire_tag(&r, &number, &type) || number > 3)
            return false;
        if (type == WIRE_VARINT && number < 3) {
            if (!wire_varint(&r, &s->number[number]))
                return false;
        } else if (type == WIRE_BYTES) {
            if (!wire_bytes(&r, &s->bytes[number]))
                return false;
        } else {
            return false;
        }
    }
    return true;
}

/* A list of strings in field 1: Verbs, ExtraValue. */
static int walk_strings(struct walk *w, struct str wire)
{
    struct wire_reader r = wire_reader_of(wire);
    uint32_t number, type;
    struct str s;
    bool first = true;
    put_char(w->out, '[');
    while (r.p < r.end) {
        if (!wire_tag(&r, &number, &type) || number != 1 || type != WIRE_BYTES ||
            !wire_bytes(&r, &s))
            return GIVE_UP;
        if (!first)
            put_char(w->out, ',');
        first = false;
        emit_string(w->out, s);
    }
    put_char(w->out, ']');
    return 0;
}

static int walk_special(struct walk *w, const struct schema_message *m, struct str wire)
{
    struct special_fields s = {0};
    if (m->special == SCHEMA_STRINGS)
        return walk_strings(w, wire);
    if (m->special >= SCHEMA_PROPS_OR_ARRAY || !read_special(wire, &s))
        return GIVE_UP;
    switch ((enum schema_special)m->special) {
    case SCHEMA_TIME:
        emit_time(w->out, (int64_t)s.number[1], 0, false);
        return 0;
    case SCHEMA_MICRO_TIME:
        emit_time(w->out, (int64_t)s.number[1], (int32_t)s.number[2], true);
        return 0;
    case SCHEMA_DURATION:
        emit_duration(w->out, (int64_t)s.number[1]);
        return 0;
    case SCHEMA_QUANTITY:
        emit_string(w->out, s.bytes[1].n ? s.bytes[1] : STR("0"));
        return 0;
    case SCHEMA_INT_OR_STRING:
        if (s.number[1] == 1)
            emit_string(w->out, s.bytes[3]);
        else
            emit_i64(w->out, (int32_t)s.number[2]);
        return 0;
    default: /* SCHEMA_RAW */
        emit_raw(w->out, s.bytes[1]);
        return 0;
    }
}

/* One scalar, string or message whose tag has been read. */
static int walk_value(struct walk *w, const struct schema_field *f, struct wire_reader *r,
                      int depth, bool top)
{
    uint64_t v;
    struct str bytes;
    double number;
    switch ((enum schema_type)f->type) {
    case SCHEMA_DOUBLE:
        if (r->end - r->p < 8)
            return GIVE_UP;
        memcpy(&number, r->p, 8);
        r->p += 8;
        emit_double(w->out, number);
        return 0;
    case SCHEMA_BOOL:
    case SCHEMA_INT32:
    case SCHEMA_INT64:
        if (!wire_varint(r, &v))
            return GIVE_UP;
        if (f->type == SCHEMA_BOOL)
            put(w->out, v ? "true" : "false", v ? 4 : 5);
        else
            emit_i64(w->out, f->type == SCHEMA_INT32 ? (int32_t)v : (int64_t)v);
        return 0;
    default:
        break;
    }
    if (!wire_bytes(r, &bytes))
        return GIVE_UP;
    if (f->type == SCHEMA_STRING)
        emit_string(w->out, bytes);
    else if (f->type == SCHEMA_BYTES)
        emit_base64(w->out, bytes);
    else
        return walk_message(w, schema_field_message(f), bytes, depth + 1, top);
    return 0;
}

/* `"key":value` of a map entry; *last is the previous key, which must be smaller. */
static int walk_entry(struct walk *w, const struct schema_field *map, struct str entry,
                      struct str *last, int depth)
{
    const struct schema_field *value = schema_map_value(map);
    struct wire_reader r = wire_reader_of(entry);
    uint32_t number, type;
    struct str key = STR("");
    if (!wire_tag(&r, &number, &type) || number != 1 || type != WIRE_BYTES || !wire_bytes(&r, &key))
        return GIVE_UP;
    if (last->p && str_cmp(*last, key) >= 0)
        return GIVE_UP;
    *last = key;
    emit_string(w->out, key);
    put_char(w->out, ':');
    if (!wire_tag(&r, &number, &type) || number != 2 || type != wire_type_of(value))
        return GIVE_UP;
    int rc = walk_value(w, value, &r, depth + 1, false);
    return rc < 0 ? rc : r.p == r.end ? 0 : GIVE_UP;
}

/* A run of list elements or map entries; the first tag has been read. */
static int walk_run(struct walk *w, const struct schema_field *f, struct wire_reader *r, int depth)
{
    bool map = f->label == SCHEMA_MAP, first = true;
    struct str last = STR_NONE, entry;
    int rc;
    put_char(w->out, map ? '{' : '[');
    for (;;) {
        if (!first)
            put_char(w->out, ',');
        first = false;
        if (map) {
            if (!wire_bytes(r, &entry))
                return GIVE_UP;
            rc = walk_entry(w, f, entry, &last, depth);
        } else {
            rc = walk_value(w, f, r, depth, false);
        }
        if (rc < 0)
            return rc;
        struct wire_reader ahead = *r;
        uint32_t number, type;
        if (ahead.p == ahead.end || !wire_tag(&ahead, &number, &type) || number != f->number)
            break;
        if (type != wire_type_of(f))
            return GIVE_UP;
        *r = ahead;
    }
    put_char(w->out, map ? '}' : ']');
    return 0;
}

/* Is the value about to be read one that omitempty leaves out? Pointers never are. */
static bool value_omitted(const struct schema_field *f, const struct wire_reader *r)
{
    if (!(f->flags & SCHEMA_OMIT_EMPTY) || field_is_list(f))
        return false;
    if (f->type == SCHEMA_BYTES || (f->label == SCHEMA_VALUE && f->type == SCHEMA_STRING))
        return r->p < r->end && *r->p == 0;
    if (f->label != SCHEMA_VALUE)
        return false;
    if (f->type == SCHEMA_DOUBLE) {
        double v;
        return r->end - r->p >= 8 && (memcpy(&v, r->p, 8), v == 0);
    }
    if (f->type != SCHEMA_MESSAGE)
        return r->p < r->end && *r->p == 0;
    if (!(f->flags & SCHEMA_OMIT_ZERO))
        return false;
    struct wire_reader ahead = *r; /* a time: {0, 0} */
    struct special_fields s = {0};
    struct str bytes;
    return wire_bytes(&ahead, &bytes) && read_special(bytes, &s) && s.number[1] == 0;
}

/* Fields of the schema that the bytes do not have, up to (not including) `number`. */
static int fill_absent(struct walk *w, const struct schema_message *m, unsigned *next,
                       uint32_t number, bool *first, int depth, bool top)
{
    for (; *next < m->field_count; (*next)++) {
        if (schema_numbers[m->by_number + *next] >= number)
            break;
        if (!schema_attention[m->by_number + *next])
            continue;
        const struct schema_field *f = &schema_fields[schema_by_number[m->by_number + *next]];
        if (f->flags & SCHEMA_INLINE) {
            int rc = walk_members(w, schema_field_message(f), STR_NONE, first, depth + 1, false);
            if (rc < 0)
                return rc;
            continue;
        }
        if (top && m->id == Meta__V1__ObjectMeta__SCHEMA && f->number == 6 &&
            w->resource_version.p) {
            emit_name(w->out, "resourceVersion", first);
            emit_string(w->out, w->resource_version);
            continue;
        }
        if (field_always(f)) {
            emit_field_name(w->out, f, first);
            emit_absent(w->out, m, f);
        }
    }
    return 0;
}

/* A field that is present; its tag has been read. */
static int walk_field(struct walk *w, const struct schema_message *m, const struct schema_field *f,
                      struct wire_reader *r, bool *first, int depth, bool top)
{
    if (f->flags & SCHEMA_INLINE) {
        struct str bytes;
        if (!wire_bytes(r, &bytes))
            return GIVE_UP;
        return walk_members(w, schema_field_message(f), bytes, first, depth + 1, false);
    }
    if (top && m->id == Meta__V1__ObjectMeta__SCHEMA && f->number == 6 && w->resource_version.p) {
        emit_name(w->out, "resourceVersion", first);
        emit_string(w->out, w->resource_version);
        return wire_skip(r, WIRE_BYTES) ? 0 : GIVE_UP;
    }
    if (value_omitted(f, r))
        return wire_skip(r, wire_type_of(f)) ? 0 : GIVE_UP;
    emit_field_name(w->out, f, first);
    if (field_is_list(f))
        return walk_run(w, f, r, depth);
    /* The top object's metadata is where resourceVersion is spliced in. */
    bool metadata = top && m->flags & SCHEMA_HAS_OBJECT_META && f->number == 1;
    return walk_value(w, f, r, depth, metadata);
}

static int walk_members(struct walk *w, const struct schema_message *m, struct str wire,
                        bool *first, int depth, bool top)
{
    if (depth > CODEC_DEPTH_MAX)
        return GIVE_UP;
    struct wire_reader r = wire_reader_of(wire);
    unsigned next = 0;
    uint32_t number, type, last = 0;
    int rc;
    while (r.p < r.end) {
        if (!wire_tag(&r, &number, &type))
            return GIVE_UP;
        if (number <= last) /* out of order, or a list in two runs */
            return GIVE_UP;
        last = number;
        if ((rc = fill_absent(w, m, &next, number, first, depth, top)) < 0)
            return rc;
        const struct schema_field *f =
            next < m->field_count ? &schema_fields[schema_by_number[m->by_number + next]] : NULL;
        if (!f || f->number != number) { /* unknown: a newer version's */
            if (!wire_skip(&r, type))
                return GIVE_UP;
            last = number - 1; /* repeated unknown fields are fine */
            continue;
        }
        if (type != wire_type_of(f))
            return GIVE_UP;
        next++;
        if ((rc = walk_field(w, m, f, &r, first, depth, top)) < 0)
            return rc;
    }
    return fill_absent(w, m, &next, UINT32_MAX, first, depth, top);
}

static int walk_message(struct walk *w, const struct schema_message *m, struct str wire, int depth,
                        bool top)
{
    if (m->special != SCHEMA_PLAIN)
        return walk_special(w, m, wire);
    bool first = true;
    put_char(w->out, '{');
    int rc = walk_members(w, m, wire, &first, depth, top);
    put_char(w->out, '}');
    return rc;
}

int wire_to_json(const struct schema_message *m, struct str wire, const char *api_version,
                 const char *kind, struct str resource_version, struct buf *out)
{
    struct walk w = {out, resource_version};
    size_t start = out->len;
    bool first = true;
    buf_append_char(out, '{');
    if (kind) {
        emit_name(out, "kind", &first);
        emit_string(out, str_from(kind));
        emit_name(out, "apiVersion", &first);
        emit_string(out, str_from(api_version));
    }
    int rc = walk_members(&w, m, wire, &first, 1, true);
    buf_append_char(out, '}');
    if (rc < 0)
        out->len = start;
    return rc;
}
