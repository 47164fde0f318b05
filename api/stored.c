/*
 * Envelopes, stored objects, lists and watch events.
 *
 * A stored object is an envelope whose contentType names the schema level ("c8s;level=1"; none
 * means an object imported from elsewhere, which is taken as it is). metadata.resourceVersion is
 * stored empty and spliced in here: in JSON while walking, in protobuf by copying around it.
 */
#include "api/codec_internal.h"
#include "api/convert/convert.h"
#include "api/custom/internal.h"
#include "api/defaults/defaults.h"
#include "api/wire_json.h"
#include "base/clock.h"
#include <stdio.h>
#include <stdlib.h>

#define MAGIC "k8s"
#define MAGIC_LEN 4 /* with the NUL */
#define LEVEL_PREFIX "c8s;level="
#define TEXT_OF(x) #x
#define LEVEL_TEXT(level) TEXT_OF(level)

/* --- envelopes ---------------------------------------------------------------------------------
 */

bool envelope_is(struct str bytes)
{
    return bytes.n >= MAGIC_LEN && memcmp(bytes.p, MAGIC, MAGIC_LEN) == 0;
}

static bool parse_type_meta(struct str wire, struct envelope *out)
{
    struct wire_reader r = wire_reader_of(wire);
    uint32_t number, type;
    while (r.p < r.end) {
        if (!wire_tag(&r, &number, &type))
            return false;
        struct str *to = number == 1 ? &out->api_version : number == 2 ? &out->kind : NULL;
        if (to && type == WIRE_BYTES) {
            if (!wire_bytes(&r, to))
                return false;
        } else if (!wire_skip(&r, type)) {
            return false;
        }
    }
    return true;
}

static bool parse_unknown(struct str wire, struct envelope *out)
{
    struct wire_reader r = wire_reader_of(wire);
    uint32_t number, type;
    struct str bytes;
    while (r.p < r.end) {
        if (!wire_tag(&r, &number, &type))
            return false;
        if (type != WIRE_BYTES || number > 4) {
            if (!wire_skip(&r, type))
                return false;
            continue;
        }
        if (!wire_bytes(&r, &bytes))
            return false;
        if (number == 1 && !parse_type_meta(bytes, out))
            return false;
        if (number == 2)
            out->raw = bytes;
        else if (number == 3)
            out->content_encoding = bytes;
        else if (number == 4)
            out->content_type = bytes;
    }
    return true;
}

int envelope_parse(struct str bytes, struct envelope *out, struct error *err)
{
    *out = (struct envelope){STR(""), STR(""), STR(""), STR(""), STR("")};
    if (!bytes.n)
        return error_set(err, ERR_INVALID, "empty data");
    if (!envelope_is(bytes))
        return error_set(err, ERR_INVALID,
                         "provided data does not appear to be a protobuf message, expected prefix "
                         "[107 56 115 0]");
    if (bytes.n == MAGIC_LEN)
        return error_set(err, ERR_INVALID, "empty body");
    if (!parse_unknown(str_slice(bytes, MAGIC_LEN, bytes.n), out))
        return error_set(err, ERR_INVALID, "unexpected EOF");
    if (out->content_encoding.n)
        return error_set(err, ERR_UNSUPPORTED, "protobuf: content encoding %.*s is not supported",
                         (int)MIN(out->content_encoding.n, 64), out->content_encoding.p);
    return 0;
}

static void put_bytes_field(struct buf *out, uint32_t number, struct str s)
{
    buf_append_varint(out, number << 3 | WIRE_BYTES);
    buf_append_varint(out, s.n);
    buf_append_str(out, s);
}

static size_t bytes_field_size(size_t n)
{
    return 1 + varint_size(n) + n; /* numbers below 16 */
}

/* Everything before the raw bytes, whose length must be known. */
static void envelope_open(struct buf *out, struct str api_version, struct str kind, size_t raw_len)
{
    buf_append(out, MAGIC, MAGIC_LEN);
    buf_append_varint(out, 1 << 3 | WIRE_BYTES);
    buf_append_varint(out, bytes_field_size(api_version.n) + bytes_field_size(kind.n));
    put_bytes_field(out, 1, api_version);
    put_bytes_field(out, 2, kind);
    buf_append_varint(out, 2 << 3 | WIRE_BYTES);
    buf_append_varint(out, raw_len);
}

static void envelope_close(struct buf *out, struct str content_type)
{
    put_bytes_field(out, 3, STR(""));
    put_bytes_field(out, 4, content_type);
}

void envelope_write(struct buf *out, struct str api_version, struct str kind, struct str raw)
{
    envelope_open(out, api_version, kind, raw.n);
    buf_append_str(out, raw);
    envelope_close(out, STR(""));
}

#define ENVELOPE_ROOM \
    256 /* more than what is around the object's bytes takes: kind, version, lengths */

static void envelope_encode_as(const void *object, const struct schema_message *m,
                               struct str content_type, struct buf *out)
{
    size_t size = wire_size(object);
    buf_reserve(out, size + ENVELOPE_ROOM);
    envelope_open(out, str_from(message_api_version(m)), str_from(message_kind(m)), size);
    wire_encode_sized(object, size, out);
    envelope_close(out, content_type);
}

void envelope_encode(const void *object, struct buf *out)
{
    const struct schema_message *m = schema_of(object);
    envelope_encode_as(object, m, STR(""), out);
}

int envelope_decode(struct arena *a, const struct schema_message *m, struct str bytes, void **out,
                    struct error *err)
{
    struct envelope e;
    int rc = envelope_parse(bytes, &e, err);
    if (rc < 0)
        return rc;
    int id = kind_message(e.api_version, e.kind);
    if (!m) {
        if (id == SCHEMA_NONE)
            return error_set(
                err, ERR_UNSUPPORTED, "no kind \"%.*s\" is registered for version \"%.*s\"",
                (int)MIN(e.kind.n, 64), e.kind.p, (int)MIN(e.api_version.n, 64), e.api_version.p);
        m = schema_get(id);
    } else if (e.kind.n && id != m->id) {
        return error_set(
            err, ERR_INVALID,
            "the API version in the data (%.*s, Kind=%.*s) does not match the expected "
            "API version (%s, Kind=%s)",
            (int)MIN(e.api_version.n, 64), e.api_version.p, (int)MIN(e.kind.n, 64), e.kind.p,
            message_api_version(m), message_kind(m));
    }
    return wire_decode(a, m, e.raw, out, err);
}

/* --- bodies ------------------------------------------------------------------------------------
 */

static int yaml_decode(struct arena *a, const struct schema_message *m, struct str body,
                       struct field_problems *problems, void **out, struct error *err)
{
    yyjson_val **documents;
    size_t count;
    int rc = yaml_read(a, body, &documents, &count, err);
    if (rc < 0)
        return rc;
    if (count != 1)
        return error_set(err, ERR_INVALID, "yaml: expected one document, found %zu", count);
    return json_decode_value(a, m, documents[0], problems, out, err);
}

int body_decode(struct arena *a, enum media media, const struct schema_message *m, struct str body,
                struct field_problems *problems, void **out, struct error *err)
{
    switch (media) {
    case MEDIA_JSON:
        return json_decode(a, m, body, problems, out, err);
    case MEDIA_PROTOBUF:
        return envelope_decode(a, m, body, out, err);
    case MEDIA_YAML:
        return yaml_decode(a, m, body, problems, out, err);
    }
    return error_set(err, ERR_INTERNAL, "unknown media type");
}

void body_encode(const void *object, enum media media, struct buf *out)
{
    switch (media) {
    case MEDIA_JSON:
        json_encode(object, JSON_DEFAULT, out);
        buf_append_char(out, '\n');
        return;
    case MEDIA_PROTOBUF:
        envelope_encode(object, out);
        return;
    case MEDIA_YAML:
        yaml_encode(object, out);
        return;
    }
}

/* --- stored objects ----------------------------------------------------------------------------
 */

void stored_encode(const void *object, struct buf *out)
{
    const struct schema_message *m = schema_of(object);
    if (m->special == SCHEMA_CUSTOM) {
        custom_stored_encode(object, out);
        return;
    }
    Meta__V1__ObjectMeta *meta = object_meta(object);
    assert(meta);
    char *version = meta->resource_version;
    meta->resource_version = (char *)"";
    envelope_encode_as(object, m, STR(LEVEL_PREFIX LEVEL_TEXT(CODEC_SCHEMA_LEVEL)), out);
    meta->resource_version = version;
}

/* Current, or not ours (an imported store's objects are as complete as their server left them). */
static bool level_is_current(const struct envelope *e)
{
    if (!str_has_prefix(e->content_type, STR(LEVEL_PREFIX)))
        return true;
    int64_t level;
    struct str digits = str_slice(e->content_type, sizeof LEVEL_PREFIX - 1, e->content_type.n);
    return str_to_i64(digits, &level) && level >= CODEC_SCHEMA_LEVEL;
}

const struct schema_message *stored_message(struct str stored)
{
    struct envelope e;
    if (envelope_parse(stored, &e, NULL) < 0)
        return NULL;
    int id = kind_message(e.api_version, e.kind);
    return id == SCHEMA_NONE ? NULL : schema_get(id);
}

int stored_decode(struct arena *a, struct str stored, int64_t revision,
                  const struct schema_message *wanted, void **out, struct error *err)
{
    struct envelope e;
    const struct custom_version *custom = wanted ? custom_of_message(wanted) : NULL;
    if (custom)
        return custom_stored_decode(a, stored, revision, custom, out, err);
    int rc = envelope_parse(stored, &e, err);
    if (rc < 0)
        return error_wrap(err, "stored object");
    int id = kind_message(e.api_version, e.kind);
    if (id == SCHEMA_NONE)
        return error_set(err, ERR_CORRUPT, "stored object of unknown kind %.*s",
                         (int)MIN(e.kind.n, 64), e.kind.p);
    const struct schema_message *m = schema_get(id);
    if ((rc = wire_decode(a, m, e.raw, out, err)) < 0)
        return error_wrap(err, "stored %s", message_kind(m));
    Meta__V1__ObjectMeta *meta = object_meta(*out);
    if (!meta)
        return error_set(err, ERR_CORRUPT, "stored %s has no metadata", message_kind(m));
    if (!level_is_current(&e))
        defaults_apply(a, *out);
    if (revision) /* what a dry run makes has none */
        meta->resource_version = arena_printf(a, "%lld", (long long)revision);
    return wanted && wanted != m ? object_convert(a, *out, wanted, out, err) : 0;
}

/* The same of a custom object. Names and ids hold nothing that JSON escapes. */
static bool stored_json_meta(struct str stored, struct stored_meta *out)
{
    struct str rest = json_scan_member(stored, STR("metadata")), key, value;
    int32_t nanos;
    bool any = false;
    while (json_scan_next(&rest, &key, &value)) {
        struct str text = json_scan_string(value);
        any = true;
        if (str_eqz(key, "name"))
            out->name = text;
        else if (str_eqz(key, "namespace"))
            out->namespace_ = text;
        else if (str_eqz(key, "uid"))
            out->uid = text;
        else if (str_eqz(key, "generation"))
            str_to_i64(value, &out->generation);
        else if (str_eqz(key, "deletionTimestamp"))
            clock_parse_rfc3339(text.p, text.n, &out->deletion_timestamp, &nanos);
    }
    return any;
}

bool stored_meta(struct str stored, struct stored_meta *out)
{
    struct envelope e;
    struct str meta, bytes;
    *out = (struct stored_meta){STR(""), STR(""), STR(""), 0, 0};
    if (stored_is_json(stored))
        return stored_json_meta(stored, out);
    if (envelope_parse(stored, &e, NULL) < 0 || !wire_find(e.raw, 1, &meta))
        return false;
    struct wire_reader r = wire_reader_of(meta);
    uint32_t number, type;
    uint64_t v;
    while (r.p < r.end) {
        if (!wire_tag(&r, &number, &type))
            return false;
        if (type == WIRE_BYTES) {
            if (!wire_bytes(&r, &bytes))
                return false;
            struct wire_reader t = wire_reader_of(bytes);
            uint32_t n;
            if (number == 1)
                out->name = bytes;
            else if (number == 3)
                out->namespace_ = bytes;
            else if (number == 5)
                out->uid = bytes;
            else if (number == 9 && wire_tag(&t, &n, &type) && n == 1 && wire_varint(&t, &v))
                out->deletion_timestamp = (int64_t)v;
        } else if (number == 7 && type == WIRE_VARINT) {
            if (!wire_varint(&r, &v))
                return false;
            out->generation = (int64_t)v;
        } else if (!wire_skip(&r, type)) {
            return false;
        }
    }
    return true;
}

/* --- answers -----------------------------------------------------------------------------------
 */

/* ObjectMeta with field 6 replaced: where to cut. False when the bytes are not in canonical order.
 */
static bool find_resource_version(struct str meta, size_t *from, size_t *to)
{
    struct wire_reader r = wire_reader_of(meta);
    uint32_t number, type;
    while (r.p < r.end) {
        size_t at = (size_t)(r.p - (const uint8_t *)meta.p);
        if (!wire_tag(&r, &number, &type))
            return false;
        if (number > 6) {
            *from = *to = at;
            return true;
        }
        if (!wire_skip(&r, type))
            return false;
        if (number == 6) {
            *from = at;
            *to = (size_t)(r.p - (const uint8_t *)meta.p);
            return true;
        }
    }
    *from = *to = meta.n;
    return true;
}

/* The message's wire bytes with metadata (field 1) spliced; `only_metadata` drops the rest. */
struct splice {
    struct str meta; /* as stored */
    struct str rest; /* after field 1 */
    size_t from, to; /* cut in meta */
    struct str version;
    size_t meta_len, total_len; /* of the result */
};

static bool splice_prepare(struct str raw, struct str version, bool only_metadata, struct splice *s)
{
    struct wire_reader r = wire_reader_of(raw);
    uint32_t number, type;
    if (!wire_tag(&r, &number, &type) || number != 1 || type != WIRE_BYTES ||
        !wire_bytes(&r, &s->meta))
        return false;
    if (!find_resource_version(s->meta, &s->from, &s->to))
        return false;
    size_t rest_at = (size_t)(r.p - (const uint8_t *)raw.p);
    s->rest = only_metadata ? STR_NONE : str_slice(raw, rest_at, raw.n);
    s->version = version;
    s->meta_len = s->meta.n - (s->to - s->from) + bytes_field_size(version.n);
    s->total_len = bytes_field_size(s->meta_len) + s->rest.n;
    return true;
}

static void splice_write(const struct splice *s, struct buf *out)
{
    buf_append_varint(out, 1 << 3 | WIRE_BYTES);
    buf_append_varint(out, s->meta_len);
    buf_append(out, s->meta.p, s->from);
    put_bytes_field(out, 6, s->version);
    buf_append(out, s->meta.p + s->to, s->meta.n - s->to);
    buf_append_str(out, s->rest);
}

static const char PARTIAL_API_VERSION[] = "meta.k8s.io/v1";
static const char PARTIAL_KIND[] = "PartialObjectMetadata";

/* Straight from the bytes; ERR_UNSUPPORTED when they are not in canonical form. */
static int answer_fast(const struct schema_message *m, const struct envelope *e, struct str version,
                       enum media media, enum object_form form, bool in_list, struct buf *out)
{
    bool partial = form == FORM_METADATA;
    const char *api_version = partial ? PARTIAL_API_VERSION : message_api_version(m);
    const char *kind = partial ? PARTIAL_KIND : message_kind(m);
    if (media == MEDIA_JSON) {
        struct str raw = e->raw;
        if (partial) {
            m = schema_get(Meta__V1__PartialObjectMetadata__SCHEMA);
            struct wire_reader r = wire_reader_of(raw);
            uint32_t number, type;
            if (!wire_tag(&r, &number, &type) || number != 1 || !wire_skip(&r, type))
                return ERR_UNSUPPORTED;
            raw.n = (size_t)(r.p - (const uint8_t *)raw.p);
        }
        return wire_to_json(m, raw, api_version, in_list && !partial ? NULL : kind, version, out);
    }
    struct splice s;
    if (!splice_prepare(e->raw, version, partial, &s))
        return ERR_UNSUPPORTED;
    if (in_list) { /* bare items: the list's envelope says the kind */
        splice_write(&s, out);
        return 0;
    }
    envelope_open(out, str_from(api_version), str_from(kind), s.total_len);
    splice_write(&s, out);
    envelope_close(out, STR(""));
    return 0;
}

/* By way of a struct: another version, an older level, or bytes in foreign order. */
static int answer_slow(const struct resource *r, struct str stored, int64_t revision,
                       enum media media, enum object_form form, bool in_list, struct buf *out,
                       struct error *err)
{
    struct arena a;
    void *object;
    arena_init(&a);
    int rc = stored_decode(&a, stored, revision, resource_message(r), &object, err);
    if (rc == 0 && r->custom && media == MEDIA_PROTOBUF && form == FORM_FULL)
        rc = error_set(err, ERR_UNSUPPORTED,
                       "object *unstructured.Unstructured does not implement the protobuf "
                       "marshalling interface and cannot be encoded to a protobuf message");
    if (rc == 0) {
        if (form == FORM_METADATA) {
            Meta__V1__PartialObjectMetadata *partial = api_new(&a, Meta__V1__PartialObjectMetadata);
            partial->metadata = object_meta(object);
            object = partial;
        }
        if (media == MEDIA_JSON)
            json_encode(object, in_list && form == FORM_FULL ? JSON_NO_TYPE_META : JSON_DEFAULT,
                        out);
        else if (in_list)
            wire_encode(object, out);
        else
            envelope_encode(object, out);
    }
    arena_free(&a);
    return rc;
}

int stored_answer(const struct resource *r, struct str stored, int64_t revision, enum media media,
                  enum object_form form, bool in_list, struct buf *out, struct error *err)
{
    struct envelope e;
    if (r->custom)
        return answer_slow(r, stored, revision, media, form, in_list, out, err);
    int rc = envelope_parse(stored, &e, err);
    if (rc < 0)
        return error_wrap(err, "stored object");
    bool same = str_eqz(e.kind, r->kind) && str_eqz(e.api_version, r->api_version);
    if (same && level_is_current(&e)) {
        char version[24];
        struct str v = revision              ? i64_text(version, revision)
                       : media == MEDIA_JSON ? STR_NONE
                                             : STR("");
        rc = answer_fast(schema_get(r->message), &e, v, media, form, in_list, out);
        if (rc == 0)
            return 0;
    }
    return answer_slow(r, stored, revision, media, form, in_list, out, err);
}

/* --- lists -------------------------------------------------------------------------------------
 */

static const char *list_api_version(const struct list_writer *w)
{
    return w->form == FORM_METADATA ? PARTIAL_API_VERSION : w->resource->api_version;
}

static const char *list_kind(const struct list_writer *w)
{
    return w->form == FORM_METADATA ? "PartialObjectMetadataList" : w->resource->list_kind;
}

void list_begin(struct list_writer *w, const struct resource *r, enum media media,
                enum object_form form, struct buf *out)
{
    *w = (struct list_writer){r, media, form, out, out->len, 0};
    if (media == MEDIA_JSON)
        buf_printf(out, "{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"items\":[", list_kind(w),
                   list_api_version(w));
}

int list_add(struct list_writer *w, struct str stored, int64_t revision, struct error *err)
{
    struct buf *out = w->out;
    if (w->media == MEDIA_JSON) {
        if (w->count++)
            buf_append_char(out, ',');
        return stored_answer(w->resource, stored, revision, w->media, w->form, true, out, err);
    }
    /* The length comes before the item: write the item behind room for the longest length (5
     * bytes), then close the gap. */
    enum { LENGTH_MAX = 5 };
    size_t at = out->len;
    buf_append_char(out, 2 << 3 | WIRE_BYTES);
    if (!buf_reserve(out, LENGTH_MAX))
        return 0;
    out->len += LENGTH_MAX;
    size_t item = out->len;
    int rc = stored_answer(w->resource, stored, revision, w->media, w->form, true, out, err);
    if (rc < 0 || out->failed)
        return rc;
    size_t n = out->len - item;
    uint8_t *p = (uint8_t *)out->data + at + 1;
    for (uint64_t v = n; v >= 0x80 || (*p++ = (uint8_t)v, false); v >>= 7)
        *p++ = (uint8_t)(v | 0x80);
    memmove(p, out->data + item, n);
    out->len = (size_t)((char *)p - out->data) + n;
    w->count++;
    return 0;
}

/* ListMeta: selfLink, resourceVersion and continue are always written, remainingItemCount when
 * known. */
static void list_meta_wire(struct buf *out, struct str version, const char *token,
                           int64_t remaining)
{
    size_t n = bytes_field_size(0) + bytes_field_size(version.n) + bytes_field_size(strlen(token));
    if (remaining >= 0)
        n += 1 + varint_size((uint64_t)remaining);
    buf_append_varint(out, 1 << 3 | WIRE_BYTES);
    buf_append_varint(out, n);
    put_bytes_field(out, 1, STR(""));
    put_bytes_field(out, 2, version);
    put_bytes_field(out, 3, str_from(token));
    if (remaining >= 0) {
        buf_append_varint(out, 4 << 3 | WIRE_VARINT);
        buf_append_varint(out, (uint64_t)remaining);
    }
}

void list_head(struct list_writer *w, int64_t revision, const char *continue_token,
               int64_t remaining, size_t items)
{
    char version[24];
    size_t n = (size_t)snprintf(version, sizeof version, "%lld", (long long)revision);
    struct buf meta;
    buf_init(&meta);
    list_meta_wire(&meta, str_make(version, n), continue_token, continue_token[0] ? remaining : -1);
    envelope_open(w->out, str_from(list_api_version(w)), str_from(list_kind(w)), meta.len + items);
    buf_append_str(w->out, buf_str(&meta));
    buf_free(&meta);
}

void list_tail(struct list_writer *w)
{
    envelope_close(w->out, STR(""));
}

void list_end(struct list_writer *w, int64_t revision, const char *continue_token,
              int64_t remaining)
{
    char version[24];
    size_t n = (size_t)snprintf(version, sizeof version, "%lld", (long long)revision);
    struct buf *out = w->out;
    if (w->media == MEDIA_JSON) {
        buf_append_cstr(out, "],\"metadata\":{\"resourceVersion\":\"");
        buf_append(out, version, n);
        buf_append_char(out, '"');
        if (continue_token[0]) {
            buf_append_cstr(out, ",\"continue\":");
            emit_string(out, str_from(continue_token));
        }
        if (remaining >= 0 && continue_token[0])
            buf_printf(out, ",\"remainingItemCount\":%lld", (long long)remaining);
        buf_append_cstr(out, "}}\n");
        return;
    }
    struct buf head, *items = out;
    buf_init(&head);
    w->out = &head;
    list_head(w, revision, continue_token, remaining, items->len - w->start);
    w->out = items;
    size_t len = out->len - w->start;
    if (buf_reserve(out, head.len)) {
        memmove(out->data + w->start + head.len, out->data + w->start, len);
        memcpy(out->data + w->start, head.data, head.len);
        out->len += head.len;
        list_tail(w);
    }
    buf_free(&head);
}

/* --- watch events ------------------------------------------------------------------------------
 */

void watch_event_write(struct buf *out, enum media media, const char *type, struct str object)
{
    if (media == MEDIA_JSON) {
        while (object.n && object.p[object.n - 1] == '\n')
            object.n--;
        buf_append_cstr(out, "{\"type\":\"");
        buf_append_cstr(out, type);
        buf_append_cstr(out, "\",\"object\":");
        buf_append_str(out, object);
        buf_append_cstr(out, "}\n");
        return;
    }
    size_t type_len = strlen(type), raw = bytes_field_size(object.n);
    buf_append_be32(out, (uint32_t)(bytes_field_size(type_len) + bytes_field_size(raw)));
    put_bytes_field(out, 1, str_make(type, type_len));
    buf_append_varint(out, 2 << 3 | WIRE_BYTES);
    buf_append_varint(out, raw);
    put_bytes_field(out, 1, object);
}

/* `{"type":"ADDED","object":…}`: both members in any order, found without parsing the object. */
static bool split_json_event(struct str line, struct str *type, struct str *object)
{
    struct arena a;
    yyjson_val *root;
    arena_init(&a);
    bool ok = json_read(&a, line, &root, NULL) == 0 && yyjson_is_obj(root);
    yyjson_val *t = ok ? yyjson_obj_get(root, "type") : NULL;
    ok = ok && yyjson_is_str(t) && yyjson_obj_get(root, "object");
    if (ok) { /* our servers and upstream's write exactly this form; find the slices in the line */
        ptrdiff_t at = str_find(line, STR("\"object\":"));
        ptrdiff_t name = str_find(line, str_make(yyjson_get_str(t), yyjson_get_len(t)));
        ok = at > 0 && name > 0 && name < at;
        if (ok) {
            *type = str_make(line.p + name, yyjson_get_len(t));
            size_t end = line.n;
            while (end > 0 && line.p[end - 1] != '}')
                end--;
            *object = str_slice(line, (size_t)at + 9, end - 1);
        }
    }
    arena_free(&a);
    return ok;
}

ptrdiff_t watch_event_read(struct str in, enum media media, struct str *type, struct str *object,
                           struct error *err)
{
    if (media == MEDIA_JSON) {
        ptrdiff_t end = str_find_char(in, '\n');
        if (end < 0)
            return 0;
        if (!split_json_event(str_slice(in, 0, (size_t)end), type, object))
            return error_set(err, ERR_INVALID, "watch event is malformed");
        return end + 1;
    }
    if (in.n < 4)
        return 0;
    const uint8_t *p = (const uint8_t *)in.p;
    size_t n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (in.n - 4 < n)
        return 0;
    struct str frame = str_slice(in, 4, 4 + n), extension;
    if (!wire_find(frame, 1, type) || !wire_find(frame, 2, &extension) ||
        !wire_find(extension, 1, object))
        return error_set(err, ERR_INVALID, "watch event is malformed");
    return (ptrdiff_t)(4 + n);
}
