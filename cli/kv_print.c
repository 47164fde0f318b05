/*
 * Output formats of `c8s kv`: simple, json, fields, table, protobuf, as etcdctl writes them.
 */
#include "cli/kv.h"
#include "base/encode.h"

#include <inttypes.h>
#include <stdio.h>

/* ------------------------------------------------------------------------- json --- */

static void json_scalar(struct buf *out, const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_ENUM:
        buf_printf(out, "%" PRId32, *(const int32_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT32:
        buf_printf(out, "%" PRIu32, *(const uint32_t *)at);
        break;
    case PROTOBUF_C_TYPE_INT64:
        buf_printf(out, "%" PRId64, *(const int64_t *)at);
        break;
    case PROTOBUF_C_TYPE_UINT64:
        buf_printf(out, "%" PRIu64, *(const uint64_t *)at);
        break;
    case PROTOBUF_C_TYPE_BOOL:
        buf_append_cstr(out, *(const protobuf_c_boolean *)at ? "true" : "false");
        break;
    case PROTOBUF_C_TYPE_STRING:
        buf_append_json_string(out, str_from(*(const char *const *)at));
        break;
    case PROTOBUF_C_TYPE_BYTES: {
        const ProtobufCBinaryData *b = at;
        buf_append_char(out, '"');
        base64_encode(out, str_make(b->data, b->len));
        buf_append_char(out, '"');
        break;
    }
    case PROTOBUF_C_TYPE_MESSAGE:
        kv_json_message(out, *(const ProtobufCMessage *const *)at);
        break;
    default:
        buf_append_cstr(out, "null"); /* no other type occurs in this API */
    }
}

static bool is_empty(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        return *(const int64_t *)at == 0;
    case PROTOBUF_C_TYPE_STRING:
        return !*(const char *const *)at || !**(const char *const *)at;
    case PROTOBUF_C_TYPE_BYTES:
        return ((const ProtobufCBinaryData *)at)->len == 0;
    case PROTOBUF_C_TYPE_MESSAGE:
        return !*(const void *const *)at;
    case PROTOBUF_C_TYPE_BOOL:
        return !*(const protobuf_c_boolean *)at;
    default:
        return *(const int32_t *)at == 0;
    }
}

static size_t element_size(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
        return 4;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    default:
        return 8;
    }
}

void kv_json_members(struct buf *out, const ProtobufCMessage *m)
{
    bool first = true;
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        const char *at = (const char *)m + f->offset;
        bool repeated = f->label == PROTOBUF_C_LABEL_REPEATED;
        size_t n = repeated ? *(const size_t *)((const char *)m + f->quantifier_offset) : 1;
        bool oneof = f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
        if (oneof && *(const uint32_t *)((const char *)m + f->quantifier_offset) != f->id)
            continue;
        if (n == 0 || (!repeated && !oneof && is_empty(f, at)))
            continue;
        buf_printf(out, "%s\"%s\":", first ? "" : ",", f->name);
        first = false;
        if (!repeated) {
            json_scalar(out, f, at);
            continue;
        }
        const char *items = *(const char *const *)at;
        for (size_t k = 0; k < n; k++) {
            buf_append_char(out, k ? ',' : '[');
            json_scalar(out, f, items + k * element_size(f));
        }
        buf_append_char(out, ']');
    }
}

/* etcdctl shows the Go wrapper of the union: {"Response":{"ResponsePut":{…}}}. */
static void json_response_op(struct buf *out, const Etcdserverpb__ResponseOp *op)
{
    static const char *const names[] = {"", "ResponseRange", "ResponsePut", "ResponseDeleteRange",
                                        "ResponseTxn"};
    buf_printf(out, "{\"Response\":{\"%s\":", names[op->response_case]);
    kv_json_message(out, &op->response_range->base);
    buf_append_cstr(out, "}}");
}

void kv_json_message(struct buf *out, const ProtobufCMessage *m)
{
    if (m->descriptor == &etcdserverpb__response_op__descriptor &&
        ((const Etcdserverpb__ResponseOp *)(const void *)m)->response_case != 0) {
        json_response_op(out, (const void *)m);
        return;
    }
    buf_append_char(out, '{');
    kv_json_members(out, m);
    buf_append_char(out, '}');
}

static int print_json(const void *message)
{
    struct buf out;
    buf_init(&out);
    kv_json_message(&out, message);
    puts(buf_cstr(&out));
    buf_free(&out);
    return 0;
}

void kv_print_protobuf(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = mem_alloc(n);
    protobuf_c_message_pack(m, bytes);
    fwrite(bytes, 1, n, stdout);
    mem_free(bytes);
}

/* ----------------------------------------------------------------------- simple --- */

void kv_print_bytes(const struct kv_cli *c, ProtobufCBinaryData b)
{
    if (!c->hex && b.len) {
        fwrite(b.data, 1, b.len, stdout);
        return;
    }
    for (size_t i = 0; i < b.len; i++)
        printf("\\x%02x", b.data[i]);
}

static void simple_pair(const struct kv_cli *c, const Mvccpb__KeyValue *kv)
{
    kv_print_bytes(c, kv->key);
    putchar('\n');
    kv_print_bytes(c, kv->value);
    putchar('\n');
}

/* ----------------------------------------------------------------------- fields --- */

void kv_fields_header(const Etcdserverpb__ResponseHeader *h)
{
    printf("\"ClusterID\" : %" PRIu64 "\n", h ? h->cluster_id : 0);
    printf("\"MemberID\" : %" PRIu64 "\n", h ? h->member_id : 0);
    printf("\"Revision\" : %" PRId64 "\n", h ? h->revision : 0);
    printf("\"RaftTerm\" : %" PRIu64 "\n", h ? h->raft_term : 0);
}

/* Go's %q for byte strings: quoted, control and non-ASCII bytes escaped. */
static void print_quoted(const struct kv_cli *c, ProtobufCBinaryData b)
{
    putchar('"');
    for (size_t i = 0; i < b.len; i++) {
        uint8_t ch = b.data[i];
        if (c->hex || ch < 0x20 || ch == 0x7f)
            ch == '\n' && !c->hex   ? fputs("\\n", stdout)
            : ch == '\t' && !c->hex ? fputs("\\t", stdout)
                                    : printf("\\x%02x", ch);
        else if (ch == '"' || ch == '\\')
            printf("\\%c", ch);
        else
            putchar(ch);
    }
    putchar('"');
}

void kv_fields_pair(const struct kv_cli *c, const char *prefix, const Mvccpb__KeyValue *kv)
{
    printf("\"%sKey\" : ", prefix);
    print_quoted(c, kv->key);
    printf("\n\"%sCreateRevision\" : %" PRId64 "\n", prefix, kv->create_revision);
    printf("\"%sModRevision\" : %" PRId64 "\n", prefix, kv->mod_revision);
    printf("\"%sVersion\" : %" PRId64 "\n", prefix, kv->version);
    printf("\"%sValue\" : ", prefix);
    print_quoted(c, kv->value);
    printf("\n\"%sLease\" : %" PRId64 "\n", prefix, kv->lease);
}

/* ------------------------------------------------------------------------ table --- */

static void table_rule(const size_t *widths, size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        putchar('+');
        for (size_t k = 0; k < widths[i] + 2; k++)
            putchar('-');
    }
    puts("+");
}

static void table_cell(const char *text, size_t width, bool centered)
{
    size_t n = strlen(text), space = width - MIN(n, width);
    size_t left = centered ? space / 2 : space;
    printf("| %*s%s%*s ", (int)left, "", text, (int)(space - left), "");
}

void kv_table(const char *const *cells, size_t columns, size_t rows)
{
    size_t widths[16] = {0};
    for (size_t i = 0; i < columns * rows; i++)
        widths[i % columns] = MAX(widths[i % columns], strlen(cells[i]));
    table_rule(widths, columns);
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < columns; i++)
            table_cell(cells[r * columns + i], widths[i], r == 0);
        puts("|");
        if (r == 0)
            table_rule(widths, columns);
    }
    table_rule(widths, columns);
}

int kv_no_table(void)
{
    return kv_fail(KV_EXIT_FEATURE, "table not supported as output format");
}

/* ---------------------------------------------------------------------- answers --- */

int kv_print_put(struct kv_cli *c, const Etcdserverpb__PutResponse *r)
{
    switch (c->format) {
    case KV_SIMPLE:
        puts("OK");
        if (r->prev_kv)
            simple_pair(c, r->prev_kv);
        return 0;
    case KV_JSON:
        return print_json(r);
    case KV_FIELDS:
        kv_fields_header(r->header);
        if (r->prev_kv)
            kv_fields_pair(c, "Prev", r->prev_kv);
        return 0;
    case KV_PROTOBUF:
        kv_print_protobuf(&r->base);
        return 0;
    default:
        return kv_no_table();
    }
}

int kv_print_range(struct kv_cli *c, const Etcdserverpb__RangeResponse *r, bool value_only)
{
    switch (c->format) {
    case KV_SIMPLE:
        for (size_t i = 0; i < r->n_kvs; i++) {
            if (!value_only) {
                simple_pair(c, r->kvs[i]);
                continue;
            }
            kv_print_bytes(c, r->kvs[i]->value);
            putchar('\n');
        }
        return 0;
    case KV_JSON:
        return print_json(r);
    case KV_FIELDS:
        kv_fields_header(r->header);
        for (size_t i = 0; i < r->n_kvs; i++)
            kv_fields_pair(c, "", r->kvs[i]);
        printf("\"More\" : %s\n\"Count\" : %" PRId64 "\n", r->more ? "true" : "false", r->count);
        return 0;
    case KV_PROTOBUF:
        kv_print_protobuf(&r->base);
        return 0;
    default:
        return kv_no_table();
    }
}

int kv_print_delete(struct kv_cli *c, const Etcdserverpb__DeleteRangeResponse *r)
{
    switch (c->format) {
    case KV_SIMPLE:
        printf("%" PRId64 "\n", r->deleted);
        for (size_t i = 0; i < r->n_prev_kvs; i++)
            simple_pair(c, r->prev_kvs[i]);
        return 0;
    case KV_JSON:
        return print_json(r);
    case KV_FIELDS:
        kv_fields_header(r->header);
        printf("\"Deleted\" : %" PRId64 "\n", r->deleted);
        for (size_t i = 0; i < r->n_prev_kvs; i++)
            kv_fields_pair(c, "Prev", r->prev_kvs[i]);
        return 0;
    case KV_PROTOBUF:
        kv_print_protobuf(&r->base);
        return 0;
    default:
        return kv_no_table();
    }
}

static int print_op(struct kv_cli *c, const Etcdserverpb__ResponseOp *op)
{
    switch (op->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        return kv_print_range(c, op->response_range, false);
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        return kv_print_put(c, op->response_put);
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        return kv_print_delete(c, op->response_delete_range);
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN:
        return kv_print_txn(c, op->response_txn);
    default:
        return 0;
    }
}

int kv_print_txn(struct kv_cli *c, const Etcdserverpb__TxnResponse *r)
{
    switch (c->format) {
    case KV_SIMPLE:
        puts(r->succeeded ? "SUCCESS" : "FAILURE");
        for (size_t i = 0; i < r->n_responses; i++) {
            putchar('\n');
            print_op(c, r->responses[i]);
        }
        return 0;
    case KV_JSON:
        return print_json(r);
    case KV_FIELDS:
        kv_fields_header(r->header);
        printf("\"Succeeded\" : %s\n", r->succeeded ? "true" : "false");
        for (size_t i = 0; i < r->n_responses; i++)
            print_op(c, r->responses[i]);
        return 0;
    case KV_PROTOBUF:
        kv_print_protobuf(&r->base);
        return 0;
    default:
        return kv_no_table();
    }
}

static void json_events(const Etcdserverpb__WatchResponse *r)
{
    struct buf out;
    buf_init(&out);
    buf_append_cstr(&out, "{\"Header\":");
    kv_json_message(&out, &r->header->base);
    buf_append_cstr(&out, ",\"Events\":[");
    for (size_t i = 0; i < r->n_events; i++) {
        buf_append_cstr(&out, i ? "," : "");
        kv_json_message(&out, &r->events[i]->base);
    }
    buf_printf(&out, "],\"CompactRevision\":%" PRId64 ",\"Canceled\":%s,\"Created\":%s}",
               r->compact_revision, r->canceled ? "true" : "false", r->created ? "true" : "false");
    puts(buf_cstr(&out));
    buf_free(&out);
}

void kv_print_events(struct kv_cli *c, const Etcdserverpb__WatchResponse *r)
{
    if (c->format == KV_JSON) {
        json_events(r);
        return;
    }
    if (c->format == KV_PROTOBUF) {
        kv_print_protobuf(&r->base);
        return;
    }
    if (c->format == KV_FIELDS)
        kv_fields_header(r->header);
    else if (r->n_events == 0)
        printf("progress notify: %" PRId64 "\n", r->header->revision);
    for (size_t i = 0; i < r->n_events; i++) {
        const Mvccpb__Event *e = r->events[i];
        const char *type = e->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "DELETE" : "PUT";
        if (c->format == KV_FIELDS) {
            printf("\"Type\" : %s\n", type);
            if (e->prev_kv)
                kv_fields_pair(c, "Prev", e->prev_kv);
            kv_fields_pair(c, "", e->kv);
        } else {
            puts(type);
            if (e->prev_kv)
                simple_pair(c, e->prev_kv);
            simple_pair(c, e->kv);
        }
    }
}
