/*
 * Field selectors: which fields a kind can be selected by, and matching them on structs or stored
 * bytes.
 *
 * A published field label is mostly the JSON path of a scalar; the few that are not (events'
 * `source`, jobs' `status.successful`) are translated in selectable_path.
 */
#include "api/codec_internal.h"
#include "api/custom/internal.h"
#include "api/selector.h"
#include "base/arena_text.h"
#include "base/vec.h"
#include "proto/batch_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "proto/resource_v1.pb-c.h"
#include "proto/events_v1.pb-c.h"
#include <stdio.h>

#define REQUIREMENTS_MAX 100

/* Labels beyond metadata.name and metadata.namespace, by kind. */
static const struct {
    int message;
    const char *labels[16];
} selectable[] = {
    {Core__V1__Pod__SCHEMA,
     {"spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
      "spec.hostNetwork", "status.phase", "status.podIP", "status.podIPs",
      "status.nominatedNodeName"}},
    {Core__V1__Event__SCHEMA,
     {"involvedObject.kind", "involvedObject.namespace", "involvedObject.name",
      "involvedObject.uid", "involvedObject.apiVersion", "involvedObject.resourceVersion",
      "involvedObject.fieldPath", "reason", "reportingComponent", "source", "type"}},
    {Events__V1__Event__SCHEMA,
     {"regarding.kind", "regarding.namespace", "regarding.name", "regarding.uid",
      "regarding.apiVersion", "regarding.resourceVersion", "regarding.fieldPath", "reason",
      "reportingController", "type"}},
    {Core__V1__Secret__SCHEMA, {"type"}},
    {Core__V1__Node__SCHEMA, {"spec.unschedulable"}},
    {Core__V1__Namespace__SCHEMA, {"status.phase"}},
    {Core__V1__ReplicationController__SCHEMA, {"status.replicas"}},
    {Apps__V1__ReplicaSet__SCHEMA, {"status.replicas"}},
    {Batch__V1__Job__SCHEMA, {"status.successful"}},
    {Certificates__V1__CertificateSigningRequest__SCHEMA, {"spec.signerName"}},
    {Resource__V1__ResourceSlice__SCHEMA, {"spec.nodeName", "spec.driver"}},
};

/* Does the kind say itself which labels it knows? */
static bool has_labels(const struct resource *r)
{
    bool own = r->custom != NULL;
    for (size_t i = 0; i < sizeof selectable / sizeof *selectable; i++)
        own |= selectable[i].message == r->message;
    return own;
}

static bool is_selectable(const struct resource *r, const char *path)
{
    if (strcmp(path, "metadata.name") == 0)
        return true;
    if (strcmp(path, "metadata.namespace") == 0)
        return r->namespaced || !has_labels(r); /* without one, it is "" */
    for (const char *const *s = r->custom ? r->custom->selectable : NULL; s && *s; s++) {
        if (strcmp(*s, path) == 0)
            return true;
    }
    for (size_t i = 0; i < sizeof selectable / sizeof *selectable; i++) {
        if (selectable[i].message != r->message)
            continue;
        for (const char *const *label = selectable[i].labels; *label; label++) {
            if (strcmp(*label, path) == 0)
                return true;
        }
    }
    return false;
}

/* The published words, which differ by kind. */
static int not_selectable(const struct resource *r, const char *path, struct error *err)
{
    if (r->message == Batch__V1__Job__SCHEMA)
        return error_set(err, ERR_INVALID, "field label \"%.100s\" not supported for Job", path);
    if (r->message == Apps__V1__ReplicaSet__SCHEMA)
        return error_set(err, ERR_INVALID,
                         "field label \"%.100s\" not supported for appsv1.ReplicaSet", path);
    if (has_labels(r))
        return error_set(err, ERR_INVALID, "field label not supported: %.100s", path);
    return error_set(err, ERR_INVALID,
                     "\"%.100s\" is not a known field selector: only \"metadata.name\", "
                     "\"metadata.namespace\"",
                     path);
}

/* The JSON path in message `m` that a published label stands for. */
static const char *selectable_path(const struct schema_message *m, const char *label,
                                   char text[256])
{
    bool core_event = m->id == Core__V1__Event__SCHEMA;
    if (core_event && strcmp(label, "source") == 0)
        return "source.component";
    if (core_event && strcmp(label, "reportingController") == 0)
        return "reportingComponent";
    if (core_event && strncmp(label, "regarding.", 10) == 0) {
        snprintf(text, 256, "involvedObject.%s", label + 10);
        return text;
    }
    if (m->id == Batch__V1__Job__SCHEMA && strcmp(label, "status.successful") == 0)
        return "status.succeeded";
    return label;
}

/* What stands for the label where its own field is empty: events of today have no source. NULL: nothing. */
static const char *second_path(const struct schema_message *m, const char *label)
{
    bool source = m->id == Core__V1__Event__SCHEMA && strcmp(label, "source") == 0;
    return source ? "reportingComponent" : NULL;
}

/* --- parsing -----------------------------------------------------------------------------------
 */

/* Cut at the first `c` that no backslash hides. */
static struct str cut(struct str *rest, const char *stop)
{
    size_t i = 0;
    for (; i < rest->n; i++) {
        if (rest->p[i] == '\\')
            i++;
        else if (strchr(stop, rest->p[i]))
            break;
    }
    struct str part = str_slice(*rest, 0, MIN(i, rest->n));
    *rest = str_slice(*rest, MIN(i, rest->n), rest->n);
    return part;
}

/* The character that begins at `i`, all its bytes. */
static struct str character(struct str s, size_t i)
{
    size_t end = i + 1;
    while (end < s.n && ((unsigned char)s.p[end] & 0xc0) == 0x80)
        end++;
    return str_slice(s, i, end);
}

/* A backslash hides itself, a comma and an equals sign, and nothing else. */
static int unescape(struct arena *a, struct str s, const char **out, struct error *err)
{
    char *text = arena_alloc(a, s.n + 1);
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '=')
            return error_set(err, ERR_INVALID,
                             "invalid field selector: unescaped character in value: %d", '=');
        if (s.p[i] == '\\') {
            struct str hidden = character(s, ++i);
            if (!hidden.n || !memchr("\\,=", hidden.p[0], 3))
                return error_set(err, ERR_INVALID,
                                 "invalid field selector: invalid escape sequence: \\%s",
                                 arena_readable(a, hidden));
        }
        text[n++] = s.p[i];
    }
    text[n] = 0;
    *out = text;
    return 0;
}

static int parse_term(struct arena *a, struct str term, struct field_requirement *out,
                      struct error *err)
{
    struct str rest = term, path = cut(&rest, "=!");
    bool not_equal = str_has_prefix(rest, STR("!="));
    if (!not_equal && !str_has_prefix(rest, STR("=")))
        return error_set(err, ERR_INVALID, "invalid selector: '%.*s'; can't understand '%.*s'",
                         (int)MIN(term.n, 100), term.p, (int)MIN(term.n, 100), term.p);
    size_t skip = not_equal || str_has_prefix(rest, STR("==")) ? 2 : 1;
    out->not_equal = not_equal;
    out->path = arena_strndup(a, path.p, path.n);
    return unescape(a, str_slice(rest, skip, rest.n), &out->value, err);
}

int field_selector_parse(struct arena *a, const struct resource *r, struct str text,
                         struct field_selector *out, struct error *err)
{
    VEC(struct field_requirement) items = {0};
    int rc = 0;
    *out = (struct field_selector){0};
    if (text.n && memchr(text.p, 0, text.n))
        return error_set(err, ERR_INVALID, "invalid selector: NUL character");
    while (rc == 0 && text.n) {
        struct str term = cut(&text, ",");
        text = str_slice(text, 1, text.n);
        if (term.n == 0)
            continue;
        struct field_requirement f;
        rc = parse_term(a, term, &f, err);
        if (rc == 0 && !*f.path && !*f.value)
            continue; /* nothing is nothing: selects all */
        if (rc == 0 && r && !is_selectable(r, f.path))
            rc = not_selectable(r, f.path, err);
        if (rc == 0)
            vec_push(&items, f);
        if (items.len > REQUIREMENTS_MAX)
            rc = error_set(err, ERR_LIMIT, "field selector has too many requirements");
    }
    if (rc == 0) {
        out->items = arena_dup(a, items.items, items.len * sizeof *items.items);
        out->len = items.len;
    }
    vec_free(&items);
    return rc;
}

const char *field_selector_exact(const struct field_selector *s, const char *path)
{
    for (size_t i = 0; i < s->len; i++) {
        if (!s->items[i].not_equal && strcmp(s->items[i].path, path) == 0)
            return s->items[i].value;
    }
    return NULL;
}

/* --- on structs --------------------------------------------------------------------------------
 */

static struct str scalar_text(const struct schema_field *f, const void *member, char text[32])
{
    switch ((enum schema_type)f->type) {
    case SCHEMA_STRING:
        return str_from(*(char *const *)member);
    case SCHEMA_BOOL:
        return *(const protobuf_c_boolean *)member ? STR("true") : STR("false");
    case SCHEMA_INT32:
        return str_make(text, (size_t)snprintf(text, 32, "%d", *(const int32_t *)member));
    case SCHEMA_INT64:
        return str_make(text,
                        (size_t)snprintf(text, 32, "%lld", (long long)*(const int64_t *)member));
    default:
        return STR("");
    }
}

static struct str object_text(const void *object, const char *path, char text[32])
{
    const struct schema_field *f;
    const void *member = object_member(object, path, &f);
    return member && !field_is_list(f) ? scalar_text(f, member, text) : STR("");
}

bool field_selector_matches(const struct field_selector *s, const void *object)
{
    const struct schema_message *m = schema_of(object);
    for (size_t i = 0; i < s->len; i++) {
        char path[256], text[32];
        const char *second = second_path(m, s->items[i].path);
        struct str value = object_text(object, selectable_path(m, s->items[i].path, path), text);
        if (!value.n && second)
            value = object_text(object, second, text);
        if (str_eqz(value, s->items[i].value) == s->items[i].not_equal)
            return false;
    }
    return true;
}

/* --- on stored bytes ---------------------------------------------------------------------------
 */

/* A scalar of the wire form whose path was resolved to its field. */
static struct str wire_scalar(struct str message, const struct schema_field *f, char text[32])
{
    struct wire_reader r = wire_reader_of(message);
    uint32_t number, type;
    uint64_t v = 0;
    struct str bytes = STR("");
    while (r.p < r.end && wire_tag(&r, &number, &type)) {
        if (number != f->number) {
            if (!wire_skip(&r, type))
                break;
            continue;
        }
        if (type == WIRE_VARINT ? !wire_varint(&r, &v)
                                : type != WIRE_BYTES || !wire_bytes(&r, &bytes))
            break;
        break;
    }
    if (f->type == SCHEMA_STRING)
        return bytes;
    if (f->type == SCHEMA_BOOL)
        return v ? STR("true") : STR("false");
    return str_make(text, (size_t)snprintf(text, 32, "%lld", (long long)(int64_t)v));
}

/* The scalar at a JSON path in a wire message; inlined messages on the way are entered. */
static struct str wire_path(const struct schema_message *m, struct str wire, const char *path,
                            char text[32])
{
    struct str rest = str_from(path), part;
    while (str_split(&rest, '.', &part)) {
        const struct schema_field *via, *f = schema_field_by_json(m, part, &via);
        while (f && via) {
            if (!wire_find(wire, via->number, &wire))
                wire = STR("");
            m = schema_field_message(via);
            f = schema_field_by_json(m, part, &via);
        }
        if (!f || field_is_list(f))
            return STR("");
        if (!rest.p)
            return f->type == SCHEMA_MESSAGE || f->type == SCHEMA_BYTES
                       ? STR("")
                       : wire_scalar(wire, f, text);
        if (f->type != SCHEMA_MESSAGE)
            return STR("");
        if (!wire_find(wire, f->number, &wire))
            wire = STR("");
        m = schema_field_message(f);
    }
    return STR("");
}

struct str stored_field(const struct resource *r, struct str stored, const char *path,
                        char text[32])
{
    struct envelope e;
    char translated[256];
    const struct schema_message *m = schema_get(r->stored_as);
    if (envelope_parse(stored, &e, NULL) < 0)
        return STR("");
    int id = kind_message(e.api_version, e.kind);
    if (id != SCHEMA_NONE)
        m = schema_get(id); /* an imported object may be of another version */
    const char *second = second_path(m, path);
    struct str value = wire_path(m, e.raw, selectable_path(m, path, translated), text);
    return value.n || !second ? value : wire_path(m, e.raw, second, text);
}

/* The scalar at a path of a custom object, as text in the arena. */
static struct str custom_scalar(struct arena *a, yyjson_val *root, const char *path)
{
    yyjson_mut_doc *doc = json_doc_new(a);
    yyjson_mut_val *v = custom_path_get(yyjson_val_mut_copy(doc, root), path);
    struct buf b;
    if (yyjson_mut_is_str(v))
        return str_make(yyjson_mut_get_str(v), yyjson_mut_get_len(v));
    if (!v || yyjson_mut_is_null(v) || yyjson_mut_is_ctn(v))
        return STR("");
    buf_init(&b);
    json_write_canonical(v, &b);
    struct str text = str_make(arena_dup(a, b.data, b.len), b.len);
    buf_free(&b);
    return text;
}

static bool custom_matches(const struct field_selector *s, struct str stored)
{
    struct arena a;
    yyjson_val *root;
    arena_init(&a);
    bool matches = json_read(&a, stored, &root, NULL) == 0;
    for (size_t i = 0; matches && i < s->len; i++) {
        struct str value = custom_scalar(&a, root, s->items[i].path);
        matches = str_eqz(value, s->items[i].value) != s->items[i].not_equal;
    }
    arena_free(&a);
    return matches;
}

bool field_selector_matches_stored(const struct field_selector *s, const struct resource *r,
                                   struct str stored)
{
    if (r->custom)
        return custom_matches(s, stored);
    for (size_t i = 0; i < s->len; i++) {
        char text[32];
        struct str value = stored_field(r, stored, s->items[i].path, text);
        if (str_eqz(value, s->items[i].value) == s->items[i].not_equal)
            return false;
    }
    return true;
}
