/*
 * Output formats of `c8s kv`: simple, json, fields, table, protobuf, as etcdctl writes them.
 */
#include "cli/kv/kv.h"
#include "base/encode.h"
#include "base/mem.h"

#include <inttypes.h>
#include <stdio.h>

/* ------------------------------------------------------------------------- json --- */

/* Length of the UTF-8 sequence at p and its code point; 0 if it is none. */
static size_t decode_utf8(const uint8_t *p, size_t n, uint32_t *code)
{
    size_t len = *p < 0x80 ? 1 : *p >= 0xf0 ? 4 : *p >= 0xe0 ? 3 : *p >= 0xc2 ? 2 : 0;
    if (len == 0 || len > n || !utf8_valid(str_make(p, len)))
        return 0;
    *code = len == 1 ? *p : *p & (0x7fu >> len);
    for (size_t i = 1; i < len; i++)
        *code = *code << 6 | (p[i] & 0x3f);
    return len;
}

void kv_json_string(struct buf *out, struct str s)
{
    const uint8_t *p = (const uint8_t *)s.p;
    buf_append_char(out, '"');
    for (size_t i = 0; i < s.n;) {
        uint32_t code;
        size_t len = decode_utf8(p + i, s.n - i, &code);
        if (len == 0) {
            buf_append_cstr(out, "\\ufffd");
            len = 1;
        } else if (code == '"' || code == '\\') {
            buf_append_char(out, '\\');
            buf_append_char(out, (char)code);
        } else if (code == '\n' || code == '\r' || code == '\t') {
            buf_append_cstr(out, code == '\n' ? "\\n" : code == '\r' ? "\\r" : "\\t");
        } else if (code == '\b' || code == '\f') {
            buf_append_cstr(out, code == '\b' ? "\\b" : "\\f");
        } else if (code < 0x20 || code == '<' || code == '>' || code == '&' || code == 0x2028 ||
                   code == 0x2029) {
            buf_printf(out, "\\u%04x", code);
        } else {
            buf_append(out, p + i, len);
        }
        i += len;
    }
    buf_append_char(out, '"');
}

void kv_json_bytes(struct buf *out, ProtobufCBinaryData b)
{
    buf_append_char(out, '"');
    base64_encode(out, str_make(b.data, b.len));
    buf_append_char(out, '"');
}

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
        kv_json_string(out, str_from(*(const char *const *)at));
        break;
    case PROTOBUF_C_TYPE_BYTES:
        kv_json_bytes(out, *(const ProtobufCBinaryData *)at);
        break;
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

/* etcdctl shows the Go wrapper of the union: {"Response":{"response_put":{…}}}. */
static void json_response_op(struct buf *out, const Etcdserverpb__ResponseOp *op)
{
    static const char *const names[] = {"", "response_range", "response_put",
                                        "response_delete_range", "response_txn"};
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

void kv_json_line(struct buf *out)
{
    fwrite(out->data, 1, out->len, stdout);
    putchar('\n');
    buf_free(out);
}

static void json_form(struct kv_cli *c, const void *message)
{
    (void)c;
    struct buf out;
    buf_init(&out);
    kv_json_message(&out, message);
    kv_json_line(&out);
}

void kv_print_protobuf(const ProtobufCMessage *m)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    uint8_t *bytes = mem_alloc(n);
    protobuf_c_message_pack(m, bytes);
    fwrite(bytes, 1, n, stdout);
    mem_free(bytes);
}

static void protobuf_form(struct kv_cli *c, const void *message)
{
    (void)c;
    kv_print_protobuf(message);
}

/* ------------------------------------------------------------------------ simple --- */

void kv_print_bytes(const struct kv_cli *c, ProtobufCBinaryData b)
{
    if (!c->hex && b.len) {
        fwrite(b.data, 1, b.len, stdout);
        return;
    }
    for (size_t i = 0; i < b.len; i++)
        printf("\\x%02x", b.data[i]);
}

void kv_print_pair(const struct kv_cli *c, const Mvccpb__KeyValue *kv)
{
    kv_print_bytes(c, kv->key);
    putchar('\n');
    kv_print_bytes(c, kv->value);
    putchar('\n');
}

/* ------------------------------------------------------------------------ fields --- */

/* Go's %q shows what is printable: letters, marks, numbers, punctuation, symbols and the ASCII space. */
static bool is_printable(uint32_t code)
{
    static const struct {
        uint32_t from, to;
    } hidden[] = {
        {0x00, 0x1f},     {0x7f, 0xa0},       {0xad, 0xad},        {0x600, 0x605},
        {0x61c, 0x61c},   {0x6dd, 0x6dd},     {0x70f, 0x70f},      {0x1680, 0x1680},
        {0x180e, 0x180e}, {0x2000, 0x200f},   {0x2028, 0x202f},    {0x205f, 0x206f},
        {0x3000, 0x3000}, {0xd800, 0xf8ff},   {0xfeff, 0xfeff},    {0xfff0, 0xfffb},
        {0xfffe, 0xffff}, {0xe0000, 0xe00ff}, {0xf0000, 0x10ffff},
    };
    for (size_t i = 0; i < ARRAY_LEN(hidden); i++)
        if (code >= hidden[i].from && code <= hidden[i].to)
            return false;
    return true;
}

void kv_quote(struct buf *out, ProtobufCBinaryData b)
{
    static const char letters[] = "\aa\bb\ff\nn\rr\tt\vv\\\\\"\"";
    buf_append_char(out, '"');
    for (size_t i = 0; i < b.len;) {
        uint32_t code;
        size_t len = decode_utf8(b.data + i, b.len - i, &code);
        const char *letter = len == 1 && code ? strchr(letters, (char)code) : NULL;
        if (letter && (letter - letters) % 2 == 0)
            buf_printf(out, "\\%c", letter[1]);
        else if (len == 0)
            buf_printf(out, "\\x%02x", b.data[i]);
        else if (is_printable(code))
            buf_append(out, b.data + i, len);
        else
            buf_printf(out, code < 0x80 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x", code);
        i += len ? len : 1;
    }
    buf_append_char(out, '"');
}

void kv_print_quoted(ProtobufCBinaryData b)
{
    struct buf out;
    buf_init(&out);
    kv_quote(&out, b);
    fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
}

void kv_fields_header(const Etcdserverpb__ResponseHeader *h)
{
    printf("\"ClusterID\" : %" PRIu64 "\n", h ? h->cluster_id : 0);
    printf("\"MemberID\" : %" PRIu64 "\n", h ? h->member_id : 0);
    printf("\"Revision\" : %" PRId64 "\n", h ? h->revision : 0);
    printf("\"RaftTerm\" : %" PRIu64 "\n", h ? h->raft_term : 0);
}

void kv_fields_only_header(struct kv_cli *c, const void *message)
{
    (void)c;
    kv_fields_header(((const Etcdserverpb__PutResponse *)message)->header);
}

void kv_fields_pair(const char *prefix, const Mvccpb__KeyValue *kv)
{
    printf("\"%sKey\" : ", prefix);
    kv_print_quoted(kv->key);
    printf("\n\"%sCreateRevision\" : %" PRId64 "\n", prefix, kv->create_revision);
    printf("\"%sModRevision\" : %" PRId64 "\n", prefix, kv->mod_revision);
    printf("\"%sVersion\" : %" PRId64 "\n", prefix, kv->version);
    printf("\"%sValue\" : ", prefix);
    kv_print_quoted(kv->value);
    printf("\n\"%sLease\" : %" PRId64 "\n", prefix, kv->lease);
}

/* ------------------------------------------------------------------------- table --- */

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

void kv_rows(const char *const *cells, size_t columns, size_t rows)
{
    for (size_t i = 0; i < columns * rows; i++)
        printf("%s%s", cells[i], (i + 1) % columns ? ", " : "\n");
}

/* Powers of a thousand, two digits below ten, rounded first. */
const char *kv_human_bytes(struct arena *a, uint64_t n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)n;
    size_t u = 0;
    for (; v >= 1000 && u + 1 < ARRAY_LEN(units); u++)
        v /= 1000;
    if (n < 10)
        return arena_printf(a, "%" PRIu64 " B", n);
    double rounded = (double)(int64_t)(v * 10 + 0.5) / 10;
    return arena_printf(a, rounded < 10 ? "%.1f %s" : "%.0f %s", rounded, units[u]);
}

const char *kv_go_duration(struct arena *a, uint64_t ns)
{
    const char *unit = ns >= 1000000000 ? "s" : ns >= 1000000 ? "ms" : ns >= 1000 ? "µs" : "ns";
    int digits = ns >= 1000000000 ? 9 : ns >= 1000000 ? 6 : ns >= 1000 ? 3 : 0;
    uint64_t base = 1;
    for (int i = 0; i < digits; i++)
        base *= 10;
    char *text = arena_printf(a, "%" PRIu64 ".%0*" PRIu64, ns / base, digits, ns % base);
    size_t n = strlen(text);
    while (n && text[n - 1] == '0')
        n--;
    n -= n && text[n - 1] == '.';
    if (digits == 0)
        return arena_printf(a, "%" PRIu64 "ns", ns);
    return arena_printf(a, "%.*s%s", (int)n, text, unit);
}

/* ----------------------------------------------------------------------- choosing --- */

int kv_unsupported(const struct kv_cli *c)
{
    return kv_fail(KV_EXIT_FEATURE, "%s not supported as output format", c->write_out);
}

void kv_no_form(struct kv_cli *c, const void *message)
{
    (void)c, (void)message;
}

int kv_show(struct kv_cli *c, const void *message, const struct kv_forms *forms)
{
    kv_form *form = c->format == KV_SIMPLE   ? forms->simple
                    : c->format == KV_FIELDS ? forms->fields
                    : c->format == KV_TABLE  ? forms->table
                    : c->format == KV_JSON   ? (forms->json ? forms->json : json_form)
                    : forms->protobuf        ? forms->protobuf
                                             : protobuf_form;
    if (!form || form == kv_no_form)
        return kv_unsupported(c);
    form(c, message);
    fflush(stdout);
    return 0;
}
