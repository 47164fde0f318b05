/*
 * Wire ⇄ struct, driven by the schema tables.
 *
 * The decoder is recursive over the schema with a depth limit, and spends from a budget
 * proportional to the input, since a two-byte empty message can stand for a struct of several
 * hundred bytes. The encoder computes the exact size first and then writes backward, so that
 * lengths of nested messages are known when they are written (the way the published encoders
 * produce the same bytes).
 */
#include "api/codec_internal.h"
#include "api/quantity.h"
#include "base/encode.h"

/* A decoded object takes 4–10 times its wire size; one made of empty messages would take 100 times.
 */
#define BUDGET_BASE (256 * 1024)
#define BUDGET_PER_BYTE 40

struct decoder {
    struct arena *arena;
    size_t budget; /* bytes of memory still allowed */
    struct error *err;
};

bool wire_skip(struct wire_reader *r, uint32_t type)
{
    uint64_t ignored;
    struct str bytes;
    size_t fixed = type == WIRE_FIXED64 ? 8 : 4;
    switch (type) {
    case WIRE_VARINT:
        return wire_varint(r, &ignored);
    case WIRE_BYTES:
        return wire_bytes(r, &bytes);
    case WIRE_FIXED64:
    case WIRE_FIXED32:
        if ((size_t)(r->end - r->p) < fixed)
            return false;
        r->p += fixed;
        return true;
    }
    return false;
}

bool wire_find(struct str message, uint32_t number, struct str *out)
{
    struct wire_reader r = wire_reader_of(message);
    uint32_t n, type;
    while (r.p < r.end) {
        if (!wire_tag(&r, &n, &type))
            return false;
        if (n == number && type == WIRE_BYTES)
            return wire_bytes(&r, out);
        if (!wire_skip(&r, type))
            return false;
    }
    return false;
}

/* --- decoding ----------------------------------------------------------------------------------
 */

static int decode_into(struct decoder *d, const struct schema_message *m, void *object,
                       struct str wire, int depth);

static int damaged(struct decoder *d, const struct schema_message *m)
{
    return error_set(d->err, ERR_INVALID, "protobuf: %s: malformed or cut off",
                     schema_string(m->full_name));
}

static int spend(struct decoder *d, size_t bytes)
{
    if (bytes > d->budget)
        return error_set(d->err, ERR_LIMIT, "protobuf: object takes too much memory for its size");
    d->budget -= bytes;
    return 0;
}

static int decode_string(struct decoder *d, const struct schema_field *f, struct str s,
                         const char **out)
{
    if (s.n == 0) {
        *out = "";
        return 0;
    }
    if (memchr(s.p, 0, s.n))
        return error_set(d->err, ERR_INVALID, "%s: string contains NUL",
                         schema_string(f->json_name));
    if (!utf8_valid(s))
        return error_set(d->err, ERR_INVALID, "%s: string is not valid UTF-8",
                         schema_string(f->json_name));
    int rc = spend(d, s.n + 16);
    if (rc == 0)
        *out = arena_string(d->arena, s);
    return rc;
}

/* One scalar from the reader into *to, whose C type follows from f->type. */
static bool decode_scalar(struct wire_reader *r, const struct schema_field *f, void *to)
{
    uint64_t v;
    if (f->type == SCHEMA_DOUBLE) {
        if (r->end - r->p < 8)
            return false;
        memcpy(to, r->p, 8);
        r->p += 8;
        return true;
    }
    if (!wire_varint(r, &v))
        return false;
    if (f->type == SCHEMA_BOOL)
        *(protobuf_c_boolean *)to = v != 0;
    else if (f->type == SCHEMA_INT32)
        *(int32_t *)to = (int32_t)(uint32_t)v;
    else
        *(int64_t *)to = (int64_t)v;
    return true;
}

/* A string, bytes or message value into *to. */
static int decode_bytes_value(struct decoder *d, const struct schema_field *f, struct str bytes,
                              void *to, int depth)
{
    int rc;
    if (f->type == SCHEMA_STRING)
        return decode_string(d, f, bytes, to);
    if (f->type == SCHEMA_BYTES) {
        if ((rc = spend(d, bytes.n + 16)) < 0)
            return rc;
        *(ProtobufCBinaryData *)to =
            (ProtobufCBinaryData){bytes.n, bytes.n ? arena_dup(d->arena, bytes.p, bytes.n) : NULL};
        return 0;
    }
    const struct schema_message *m = schema_field_message(f);
    void **child = to;
    if (!*child) {
        if ((rc = spend(d, m->size)) < 0)
            return rc;
        *child = object_alloc(d->arena, m);
    }
    return decode_into(d, m, *child, bytes, depth + 1);
}

static int decode_element(struct decoder *d, const struct schema_message *m, void *object,
                          const struct schema_field *f, struct wire_reader *r, uint32_t type,
                          int depth)
{
    size_t *n = member_count(object, f), size = element_size(f);
    struct str bytes;
    if (type == WIRE_BYTES) {
        if (!wire_bytes(r, &bytes))
            return damaged(d, m);
        if (wire_type_of(f) != WIRE_BYTES) { /* packed scalars */
            struct wire_reader packed = wire_reader_of(bytes);
            while (packed.p < packed.end) {
                int rc = spend(d, 2 * size);
                if (rc < 0)
                    return rc;
                char *items = array_grow(d->arena, MEMBER(object, f, void *), *n, size);
                MEMBER(object, f, void *) = items;
                if (!decode_scalar(&packed, f, items + *n * size))
                    return damaged(d, m);
                (*n)++;
            }
            return 0;
        }
    }
    int rc = spend(d, 2 * size);
    if (rc < 0)
        return rc;
    char *items = array_grow(d->arena, MEMBER(object, f, void *), *n, size);
    MEMBER(object, f, void *) = items;
    memset(items + *n * size, 0, size);
    if (type != WIRE_BYTES) {
        if (!decode_scalar(r, f, items + *n * size))
            return damaged(d, m);
    } else if ((rc = decode_bytes_value(d, f, bytes, items + *n * size, depth)) < 0) {
        return rc;
    }
    (*n)++;
    return 0;
}

static int decode_field(struct decoder *d, const struct schema_message *m, void *object,
                        const struct schema_field *f, struct wire_reader *r, uint32_t type,
                        int depth)
{
    uint32_t expected = wire_type_of(f);
    if (type != expected && !(f->label == SCHEMA_REPEATED && type == WIRE_BYTES))
        return error_set(d->err, ERR_INVALID, "protobuf: %s.%s: wrong wire type %u",
                         schema_string(m->full_name), schema_string(f->name), type);
    if (field_is_list(f))
        return decode_element(d, m, object, f, r, type, depth);
    member_set_has(object, f);
    void *to = (char *)object + f->offset;
    if (type != WIRE_BYTES)
        return decode_scalar(r, f, to) ? 0 : damaged(d, m);
    struct str bytes;
    if (!wire_bytes(r, &bytes))
        return damaged(d, m);
    return decode_bytes_value(d, f, bytes, to, depth);
}

/* Times in range and whole seconds, quantities canonical. */
static int decode_special(struct decoder *d, const struct schema_message *m, void *object)
{
    if (m->special == SCHEMA_QUANTITY) {
        Meta__V1__Quantity *q = object;
        char *text = quantity_canonical(d->arena, q->string);
        if (!text)
            return error_set(d->err, ERR_INVALID, "invalid quantity \"%.64s\"", q->string);
        q->string = text;
    } else if (m->special == SCHEMA_TIME || m->special == SCHEMA_MICRO_TIME) {
        Meta__V1__MicroTime *t = object; /* the same layout as Time */
        if (t->seconds < TIME_SECONDS_MIN || t->seconds > TIME_SECONDS_MAX || t->nanos < 0 ||
            t->nanos > 999999999)
            return error_set(d->err, ERR_INVALID, "time out of range");
        t->nanos = m->special == SCHEMA_TIME ? 0 : t->nanos / 1000 * 1000;
    }
    return 0;
}

static void normalize_maps(const struct schema_message *m, void *object)
{
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (f->label == SCHEMA_MAP && *member_count(object, f) > 1)
            map_normalize(MEMBER(object, f, void **), member_count(object, f));
    }
}

/* Map entries need a key to be sorted before object_fill runs over their parent. */
static int decode_into(struct decoder *d, const struct schema_message *m, void *object,
                       struct str wire, int depth)
{
    if (depth > CODEC_DEPTH_MAX)
        return error_set(d->err, ERR_LIMIT, "protobuf: nested more than %d deep", CODEC_DEPTH_MAX);
    struct wire_reader r = wire_reader_of(wire);
    bool maps = false;
    unsigned next = 0; /* fields come in order: look from the last one on */
    while (r.p < r.end) {
        uint32_t number, type;
        if (!wire_tag(&r, &number, &type))
            return damaged(d, m);
        const struct schema_field *f = NULL;
        unsigned i = next;
        while (i < m->field_count && schema_numbers[m->by_number + i] < number)
            i++;
        if (i < m->field_count && schema_numbers[m->by_number + i] == number) {
            f = &schema_fields[schema_by_number[m->by_number + i]];
            next = i;
        } else {
            f = schema_field_by_number(m, number); /* out of order, or unknown */
        }
        if (!f) {
            if (!wire_skip(&r, type))
                return damaged(d, m);
            continue;
        }
        maps |= f->label == SCHEMA_MAP;
        int failed = decode_field(d, m, object, f, &r, type, depth);
        if (failed < 0)
            return failed;
    }
    int rc = spend(d, object_fill_size(m, object));
    if (rc < 0)
        return rc;
    object_fill(d->arena, m, object);
    if (maps)
        normalize_maps(m, object);
    return m->special ? decode_special(d, m, object) : 0;
}

int wire_decode(struct arena *a, const struct schema_message *m, struct str wire, void **out,
                struct error *err)
{
    struct decoder d = {a, BUDGET_BASE + BUDGET_PER_BYTE * wire.n, err};
    *out = object_alloc(a, m);
    return decode_into(&d, m, *out, wire, 1);
}

/* --- encoding ----------------------------------------------------------------------------------
 */

static uint64_t scalar_bits(const struct schema_field *f, const void *p)
{
    if (f->type == SCHEMA_BOOL)
        return *(const protobuf_c_boolean *)p != 0;
    if (f->type == SCHEMA_INT32)
        return (uint64_t)(int64_t) * (const int32_t *)p;
    return *(const uint64_t *)p;
}

/* What a quantity travels as: never empty. */
static const char *string_value(const struct schema_message *m, const char *s)
{
    if (s && *s)
        return s;
    return m->special == SCHEMA_QUANTITY ? "0" : "";
}

static size_t message_size(const struct schema_message *m, const void *object);

/* Size of one value without its tag. */
static size_t value_size(const struct schema_message *m, const struct schema_field *f,
                         const void *p)
{
    size_t n;
    switch ((enum schema_type)f->type) {
    case SCHEMA_DOUBLE:
        return 8;
    case SCHEMA_STRING:
        n = strlen(string_value(m, *(char *const *)p));
        return varint_size(n) + n;
    case SCHEMA_BYTES:
        n = ((const ProtobufCBinaryData *)p)->len;
        return varint_size(n) + n;
    case SCHEMA_MESSAGE:
        n = message_size(schema_field_message(f), *(void *const *)p);
        return varint_size(n) + n;
    default:
        return varint_size(scalar_bits(f, p));
    }
}

/* Is there something to write? (Not for lists.) */
static bool value_present(const struct schema_field *f, const void *object)
{
    if (f->label == SCHEMA_VALUE)
        return true;
    if (f->type == SCHEMA_STRING || f->type == SCHEMA_MESSAGE)
        return MEMBER_CONST(object, f, void *) != NULL;
    return member_has(object, f);
}

/* A zero time travels as an empty message. */
static bool is_zero_time(const struct schema_message *m, const void *object)
{
    const Meta__V1__MicroTime *t = object; /* Time has the same layout */
    return (m->special == SCHEMA_TIME || m->special == SCHEMA_MICRO_TIME) && t->seconds == 0 &&
           t->nanos == 0;
}

static size_t message_size(const struct schema_message *m, const void *object)
{
    size_t total = 0;
    object = object ? object : zero_struct;
    if (m->special && is_zero_time(m, object))
        return 0;
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (field_is_list(f)) {
            size_t n = member_count_get(object, f), size = element_size(f);
            const char *items = MEMBER_CONST(object, f, char *);
            for (size_t k = 0; k < n; k++)
                total += f->tag_len + value_size(m, f, items + k * size);
        } else if (value_present(f, object)) {
            total += f->tag_len + value_size(m, f, (const char *)object + f->offset);
        }
    }
    return total;
}

/* Writes backward: `p` is where the last written byte lies. */
struct encoder {
    uint8_t *start, *p;
};

static void put_varint(struct encoder *e, uint64_t v)
{
    if (v < 0x80 && e->p > e->start) {
        *--e->p = (uint8_t)v;
        return;
    }
    size_t n = varint_size(v);
    assert((size_t)(e->p - e->start) >= n);
    e->p -= n;
    for (size_t i = 0; i < n; i++, v >>= 7)
        e->p[i] = (uint8_t)((v & 0x7f) | (i + 1 < n ? 0x80 : 0));
}

static void put_bytes(struct encoder *e, const void *data, size_t n)
{
    assert((size_t)(e->p - e->start) >= n);
    e->p -= n;
    if (n)
        memcpy(e->p, data, n);
}

static void put_message(struct encoder *e, const struct schema_message *m, const void *object);

static void put_value(struct encoder *e, const struct schema_message *m,
                      const struct schema_field *f, const void *p)
{
    uint8_t *end = e->p;
    uint32_t type = wire_type_of(f);
    switch ((enum schema_type)f->type) {
    case SCHEMA_DOUBLE:
        put_bytes(e, p, 8);
        break;
    case SCHEMA_STRING: {
        const char *s = string_value(m, *(char *const *)p);
        put_bytes(e, s, strlen(s));
        break;
    }
    case SCHEMA_BYTES:
        put_bytes(e, ((const ProtobufCBinaryData *)p)->data, ((const ProtobufCBinaryData *)p)->len);
        break;
    case SCHEMA_MESSAGE:
        put_message(e, schema_field_message(f), *(void *const *)p);
        break;
    default:
        put_varint(e, scalar_bits(f, p));
    }
    if (type == WIRE_BYTES)
        put_varint(e, (uint64_t)(end - e->p));
    put_varint(e, f->number << 3 | type);
}

/* Entries backward in key order. Sorted copies only when the struct's are not in order already. */
static void put_map(struct encoder *e, const struct schema_message *m, const struct schema_field *f,
                    void *const *entries, size_t n)
{
    void **sorted = NULL;
    for (size_t i = 1; i < n && !sorted; i++) {
        if (strcmp(entry_key(entries[i - 1]), entry_key(entries[i])) >= 0)
            sorted = mem_dup(entries, n * sizeof *entries);
    }
    size_t count = n;
    if (sorted)
        map_normalize(sorted, &count);
    void *const *items = sorted ? sorted : entries;
    for (size_t i = count; i-- > 0;)
        put_value(e, m, f, &items[i]);
    mem_free(sorted);
}

static void put_message(struct encoder *e, const struct schema_message *m, const void *object)
{
    object = object ? object : zero_struct;
    if (m->special && is_zero_time(m, object))
        return;
    for (unsigned i = m->field_count; i-- > 0;) {
        const struct schema_field *f = &schema_fields[schema_by_number[m->by_number + i]];
        if (field_is_list(f)) {
            size_t n = member_count_get(object, f), size = element_size(f);
            const char *items = MEMBER_CONST(object, f, char *);
            if (f->label == SCHEMA_MAP) {
                put_map(e, m, f, (void *const *)(const void *)items, n);
                continue;
            }
            for (size_t k = n; k-- > 0;)
                put_value(e, m, f, items + k * size);
        } else if (value_present(f, object)) {
            put_value(e, m, f, (const char *)object + f->offset);
        }
    }
}

size_t wire_size(const void *object)
{
    return message_size(schema_of(object), object);
}

void wire_encode(const void *object, struct buf *out)
{
    wire_encode_sized(object, wire_size(object), out);
}

void wire_encode_sized(const void *object, size_t size, struct buf *out)
{
    char *to = buf_reserve(out, size);
    if (!to)
        return;
    struct encoder e = {(uint8_t *)to, (uint8_t *)to + size};
    put_message(&e, schema_of(object), object);
    /* Duplicate map keys (only possible in structs made by hand) leave room at the front. */
    size_t written = (size_t)((uint8_t *)to + size - e.p);
    if (written < size)
        memmove(to, e.p, written);
    out->len += written;
}
