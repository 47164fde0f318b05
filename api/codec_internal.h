/*
 * Shared by the files of the codecs only: access to struct members by schema, a bounded reader of
 * wire bytes, and emitters of JSON values.
 */
#ifndef C8S_API_CODEC_INTERNAL_H
#define C8S_API_CODEC_INTERNAL_H

#include "api/codec.h"
#include "base/mem.h"
#include <assert.h>
#include <protobuf-c/protobuf-c.h>

enum wire_type { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

/* --- struct members ----------------------------------------------------------------------------
 */

/* Stands for any absent message: every member zero or NULL. No struct is bigger (asserted in
 * object_new). */
#define ZERO_STRUCT_SIZE 1024
extern const char zero_struct[ZERO_STRUCT_SIZE];

#define MEMBER(object, f, type) (*(type *)((char *)(object) + (f)->offset))
#define MEMBER_CONST(object, f, type) (*(type const *)((const char *)(object) + (f)->offset))

static inline size_t *member_count(void *object, const struct schema_field *f)
{
    return (size_t *)((char *)object + f->count_offset);
}

static inline size_t member_count_get(const void *object, const struct schema_field *f)
{
    return *(const size_t *)((const char *)object + f->count_offset);
}

static inline bool member_has(const void *object, const struct schema_field *f)
{
    return f->count_offset == 0 ||
           *(const protobuf_c_boolean *)((const char *)object + f->count_offset);
}

static inline void member_set_has(void *object, const struct schema_field *f)
{
    if (f->count_offset)
        *(protobuf_c_boolean *)((char *)object + f->count_offset) = 1;
}

static inline bool field_is_list(const struct schema_field *f)
{
    return f->label == SCHEMA_REPEATED || f->label == SCHEMA_MAP;
}

/* What a list member points to when the JSON said []: its length is 0 all the same, but a client that
 * empties managedFields means something else than one that leaves it out. */
extern const char empty_list[1];

/* Of an object's members with one name the last; NULL: none. (json_read.c) */
yyjson_val *json_last_member(yyjson_val *object, struct str name);

/* Size of one element in a repeated member's array. */
size_t element_size(const struct schema_field *f);
/* A struct with its descriptor set and nothing else. */
void *object_alloc(struct arena *a, const struct schema_message *m);
/* Make what is NULL although it must not be: value messages and value strings of one struct. */
void object_fill(struct arena *a, const struct schema_message *m, void *object);
/* Memory that object_fill is going to take: decoders ask before. */
size_t object_fill_size(const struct schema_message *m, const void *object);
/* Sort a map's entries by key and drop all but the last of equal keys. */
void map_normalize(void **entries, size_t *n);
/* Grow a decoder's array: capacity is the next power of two, so amortized constant. */
void *array_grow(struct arena *a, void *items, size_t n, size_t item_size);

static inline const char *entry_key(const void *entry)
{
    return ((const Meta__V1__StringEntry *)entry)->key;
}

/* A NUL-terminated copy. */
static inline char *arena_string(struct arena *a, struct str s)
{
    char *copy = arena_alloc(a, s.n + 1);
    memcpy(copy, s.p, s.n);
    copy[s.n] = 0;
    return copy;
}

/* --- reading wire bytes ------------------------------------------------------------------------
 */

struct wire_reader {
    const uint8_t *p, *end;
};

static inline struct wire_reader wire_reader_of(struct str s)
{
    const uint8_t *p = (const uint8_t *)(s.n ? s.p : "");
    return (struct wire_reader){p, p + s.n};
}

static inline uint32_t wire_type_of(const struct schema_field *f)
{
    if (f->type == SCHEMA_DOUBLE)
        return WIRE_FIXED64;
    return f->type >= SCHEMA_STRING ? WIRE_BYTES : WIRE_VARINT;
}

static inline size_t varint_size(uint64_t v)
{
    return (size_t)(64 - __builtin_clzll(v | 1) + 6) / 7;
}

/* False at the end of input or after ten bytes. */
static inline bool wire_varint(struct wire_reader *r, uint64_t *out)
{
    if (r->p < r->end && *r->p < 0x80) {
        *out = *r->p++;
        return true;
    }
    uint64_t value = 0;
    for (int shift = 0; shift < 70 && r->p < r->end; shift += 7) {
        uint8_t byte = *r->p++;
        value |= (uint64_t)(byte & 0x7f) << (shift < 64 ? shift : 63);
        if (byte < 0x80) {
            if (shift == 63 && byte > 1)
                return false;
            *out = value;
            return true;
        }
    }
    return false;
}

static inline bool wire_tag(struct wire_reader *r, uint32_t *number, uint32_t *type)
{
    uint64_t tag;
    if (!wire_varint(r, &tag) || tag > UINT32_MAX)
        return false;
    *number = (uint32_t)tag >> 3;
    *type = tag & 7;
    return *number != 0;
}

static inline bool wire_bytes(struct wire_reader *r, struct str *out)
{
    uint64_t n;
    if (!wire_varint(r, &n) || n > (uint64_t)(r->end - r->p))
        return false;
    *out = str_make(r->p, (size_t)n);
    r->p += n;
    return true;
}

/* Skip a value of any type but groups, which nobody sends. */
bool wire_skip(struct wire_reader *r, uint32_t type);
/* The first value of a bytes field (a message, string or bytes) in a message; false when absent or
 * damaged. */
bool wire_find(struct str message, uint32_t number, struct str *out);

/* wire_encode of an object whose wire_size is known. */
void wire_encode_sized(const void *object, size_t size, struct buf *out);

/* --- emitting JSON ------------------------------------------------------------------------------
 */

/* Appends that stay inline while there is room: most of a codec's output is a few bytes at a time. */
static inline bool has_room(const struct buf *out, size_t n)
{
    return n <= out->cap - out->len && !out->failed && (!out->limit || out->len + n <= out->limit);
}

static inline void put(struct buf *out, const void *p, size_t n)
{
    if (has_room(out, n) && n) {
        memcpy(out->data + out->len, p, n);
        out->len += n;
    } else {
        buf_append(out, p, n);
    }
}

static inline void put_char(struct buf *out, char c)
{
    if (has_room(out, 1))
        out->data[out->len++] = c;
    else
        buf_append_char(out, c);
}

#define put_literal(out, literal) put((out), (literal), sizeof(literal) - 1)

/* Quoted, with Go's escapes (<, >, & and U+2028/9 included). */
void emit_string(struct buf *out, struct str s);
void emit_i64(struct buf *out, int64_t v);
/* One value of a field, not a list or a map of them, which is at `p`. */
void emit_value(struct buf *out, const struct schema_field *f, const void *p);
/* In decimal, within `text`. */
struct str i64_text(char text[24], int64_t v);
void emit_double(struct buf *out, double v);
void emit_base64(struct buf *out, struct str s);
/* RFC 3339 or null. */
void emit_time(struct buf *out, int64_t seconds, int32_t nanos, bool micro);
void emit_duration(struct buf *out, int64_t ns);
/* Raw JSON bytes, null when empty. */
void emit_raw(struct buf *out, struct str raw);
/* What stands in JSON for an absent member that is not left out (null, "", 0, false, {}). */
void emit_absent(struct buf *out, const struct schema_message *m, const struct schema_field *f);
/* `"name":`, with a comma before all but the first */
void emit_name(struct buf *out, const char *json_name, bool *first);
static inline void emit_field_name(struct buf *out, const struct schema_field *f, bool *first)
{
    size_t n = f->json_len;
    if (!has_room(out, n + 4)) {
        emit_name(out, schema_string(f->json_name), first);
        return;
    }
    char *p = out->data + out->len;
    *p = ',';
    p += !*first;
    *first = false;
    *p++ = '"';
    memcpy(p, schema_string(f->json_name), n);
    p[n] = '"';
    p[n + 1] = ':';
    out->len = (size_t)(p + n + 2 - out->data);
}
/* Does the member have a value that JSON shows? (See field_always for those that it shows anyway.) */
bool field_is_present(const struct schema_field *f, const void *object);
/* Semantic equality of one member of two structs (object_equal). */
bool member_equal(const struct schema_field *f, const void *a, const void *b);
/* True when an absent or zero value of the field has a place in JSON. */
static inline bool field_always(const struct schema_field *f)
{
    if (!(f->flags & SCHEMA_OMIT_EMPTY))
        return true;
    return f->label == SCHEMA_VALUE && f->type == SCHEMA_MESSAGE && !(f->flags & SCHEMA_OMIT_ZERO);
}

#define TIME_SECONDS_MIN (-62135596800ll) /* year 1 */
#define TIME_SECONDS_MAX 253402300799ll   /* year 9999 */

#endif
