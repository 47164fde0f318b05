/*
 * etcd's storage schema, keys and values (kvstore/backup/schema.h).
 */
#include "kvstore/backup/schema.h"
#include "base/mem.h"
#include "base/varint.h"

void schema_be64(char out[8], uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(v >> (56 - 8 * i));
}

bool schema_be64_read(struct str in, uint64_t *out)
{
    if (in.n != 8)
        return false;
    *out = 0;
    for (int i = 0; i < 8; i++)
        *out = *out << 8 | (unsigned char)in.p[i];
    return true;
}

/* ---- revision keys ---- */

size_t schema_rev_key(char out[SCHEMA_REV_KEY_MAX], struct kv_revid id, bool tombstone)
{
    schema_be64(out, (uint64_t)id.rev);
    out[8] = '_';
    schema_be64(out + 9, id.sub);
    out[SCHEMA_REV_KEY] = 't';
    return tombstone ? SCHEMA_REV_KEY_MAX : SCHEMA_REV_KEY;
}

int schema_rev_read(struct str in, struct schema_rev *out, struct error *err)
{
    uint64_t rev = 0, sub = 0;
    if ((in.n != SCHEMA_REV_KEY && in.n != SCHEMA_REV_KEY_MAX) || in.p[8] != '_' ||
        (in.n == SCHEMA_REV_KEY_MAX && in.p[SCHEMA_REV_KEY] != 't'))
        return error_set(err, ERR_CORRUPT, "a revision has a wrong form");
    schema_be64_read(str_slice(in, 0, 8), &rev);
    schema_be64_read(str_slice(in, 9, 17), &sub);
    if (rev > INT64_MAX || sub > UINT32_MAX)
        return error_set(err, ERR_CORRUPT, "a revision is out of range");
    *out = (struct schema_rev){{(int64_t)rev, (uint32_t)sub}, in.n == SCHEMA_REV_KEY_MAX};
    return 0;
}

/* ---- protobuf messages: few and flat, so written out here ---- */

enum { WIRE_VARINT = 0, WIRE_FIXED64 = 1, WIRE_BYTES = 2, WIRE_FIXED32 = 5 };

static void put_number(struct buf *out, unsigned field, uint64_t v)
{
    if (v == 0)
        return;
    buf_append_varint(out, field << 3 | WIRE_VARINT);
    buf_append_varint(out, v);
}

static void put_bytes(struct buf *out, unsigned field, struct str s)
{
    if (s.n == 0)
        return;
    buf_append_varint(out, field << 3 | WIRE_BYTES);
    buf_append_varint_bytes(out, s);
}

struct field {
    uint64_t number;
    uint64_t value;   /* of a varint */
    struct str bytes; /* p NULL: not a byte string */
};

/* 1: a field; 0: the end; < 0: ERR_CORRUPT. */
static int get_field(struct str *in, struct field *f, struct error *err)
{
    uint64_t tag, n = 0;
    *f = (struct field){0};
    if (in->n == 0)
        return 0;
    bool good = varint_take(in, &tag);
    f->number = tag >> 3;
    switch (good ? tag & 7 : 7) {
    case WIRE_VARINT:
        good = varint_take(in, &f->value);
        break;
    case WIRE_FIXED64:
        n = 8;
        break;
    case WIRE_FIXED32:
        n = 4;
        break;
    case WIRE_BYTES:
        good = varint_take(in, &n) && n <= in->n;
        if (good)
            f->bytes = str_make(in->p, n);
        break;
    default:
        good = false;
    }
    if (!good || n > in->n || f->number == 0)
        return error_set(err, ERR_CORRUPT, "a message has a wrong form");
    *in = str_slice(*in, n, in->n);
    return 1;
}

void schema_kv_write(const struct kv_record *r, struct buf *out)
{
    put_bytes(out, 1, r->key);
    if (r->tombstone)
        return;
    put_number(out, 2, (uint64_t)r->create_rev);
    put_number(out, 3, (uint64_t)r->id.rev);
    put_number(out, 4, (uint64_t)r->version);
    put_bytes(out, 5, r->value);
    put_number(out, 6, (uint64_t)r->lease);
}

int schema_kv_read(struct str in, struct kv_record *out, int64_t *mod_rev, struct error *err)
{
    struct field f;
    int rc;
    *out = (struct kv_record){0};
    *mod_rev = 0;
    while ((rc = get_field(&in, &f, err)) == 1) {
        if (f.number == 1)
            out->key = f.bytes;
        else if (f.number == 2)
            out->create_rev = (int64_t)f.value;
        else if (f.number == 3)
            *mod_rev = (int64_t)f.value;
        else if (f.number == 4)
            out->version = (int64_t)f.value;
        else if (f.number == 5)
            out->value = f.bytes;
        else if (f.number == 6)
            out->lease = (int64_t)f.value;
    }
    return rc;
}

void schema_lease_write(const struct schema_lease *l, struct buf *out)
{
    put_number(out, 1, (uint64_t)l->id);
    put_number(out, 2, (uint64_t)l->ttl_s);
    put_number(out, 3, (uint64_t)l->remaining_s);
}

int schema_lease_read(struct str in, struct schema_lease *out, struct error *err)
{
    struct field f;
    int rc;
    *out = (struct schema_lease){0};
    while ((rc = get_field(&in, &f, err)) == 1) {
        if (f.number == 1)
            out->id = (int64_t)f.value;
        else if (f.number == 2)
            out->ttl_s = (int64_t)f.value;
        else if (f.number == 3)
            out->remaining_s = (int64_t)f.value;
    }
    return rc;
}

void schema_alarm_write(const struct kv_alarm *a, struct buf *out)
{
    put_number(out, 1, a->member);
    put_number(out, 2, a->type);
}

int schema_alarm_read(struct str in, struct kv_alarm *out, struct error *err)
{
    struct field f;
    int rc;
    uint64_t type = 0;
    *out = (struct kv_alarm){0};
    while ((rc = get_field(&in, &f, err)) == 1) {
        if (f.number == 1)
            out->member = f.value;
        else if (f.number == 2)
            type = f.value;
    }
    if (rc == 0 && (type == KV_ALARM_NONE || type > KV_ALARM_TYPE_MAX))
        return error_set(err, ERR_CORRUPT, "an alarm of an unknown type");
    out->type = (enum kv_alarm_type)type;
    return rc;
}
