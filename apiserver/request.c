/*
 * Request info: see request.h. The order of the rules is kube-apiserver's, because RBAC rules written
 * for it name verbs and subresources as it derives them.
 */
#include "apiserver/request.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/error.h"
#include "base/mem.h"
#include <ctype.h>

#define PATH_PARTS_MAX 64

/* Decoded copy in the arena; NULL on a bad escape or a NUL. */
static char *decode(struct arena *a, struct str s, bool plus_is_space)
{
    if (s.n && !memchr(s.p, '%', s.n) && !(plus_is_space && memchr(s.p, '+', s.n)) &&
        !memchr(s.p, 0, s.n))
        return arena_strndup(a, s.p, s.n);
    struct buf b;
    buf_init(&b);
    bool ok = percent_decode(&b, s, plus_is_space);
    if (ok && b.len > 0 && memchr(b.data, 0, b.len))
        ok = false;
    char *out = ok ? arena_strndup(a, b.len ? b.data : "", b.len) : NULL;
    buf_free(&b);
    return out;
}

size_t query_get_all(struct arena *a, struct str query, const char *key, const char **out,
                     size_t max)
{
    struct str rest = query, pair;
    size_t n = 0;
    while (n < max && rest.p && rest.n > 0 && str_split(&rest, '&', &pair)) {
        struct str value = pair, name;
        str_split(&value, '=', &name);
        char *k = decode(a, name, true);
        if (!k || strcmp(k, key) != 0)
            continue;
        out[n++] = value.p ? decode(a, value, true) : arena_strdup(a, "");
    }
    return n;
}

const char *query_get(struct arena *a, struct str query, const char *key)
{
    const char *value;
    return query_get_all(a, query, key, &value, 1) ? value : NULL;
}

bool query_bool(struct arena *a, struct str query, const char *key)
{
    const char *v = query_get(a, query, key);
    if (!v)
        return false;
    struct str s = str_from(v);
    return !(str_eqz(s, "0") || str_ieq(s, STR("false")));
}

int query_i64(struct arena *a, struct str query, const char *key, int64_t *out)
{
    const char *v = query_get(a, query, key);
    if (!v)
        return 0;
    return str_to_i64(str_from(v), out) ? 1 : -1;
}

static enum verb verb_of_method(struct str m)
{
    if (str_eqz(m, "GET") || str_eqz(m, "HEAD"))
        return VERB_GET;
    if (str_eqz(m, "POST"))
        return VERB_CREATE;
    if (str_eqz(m, "PUT"))
        return VERB_UPDATE;
    if (str_eqz(m, "PATCH"))
        return VERB_PATCH;
    if (str_eqz(m, "DELETE"))
        return VERB_DELETE;
    return 0;
}

/* The namespaces resource is cluster-scoped but carries its own name as namespace. */
static bool is_namespace_subresource(const char *s)
{
    return strcmp(s, "status") == 0 || strcmp(s, "finalize") == 0;
}

/* `metadata.name=x` alone in the field selector narrows a list or watch to one name. */
static const char *name_from_field_selector(struct arena *a, struct str query)
{
    const char *sel = query_get(a, query, "fieldSelector");
    if (!sel)
        return NULL;
    struct str rest = str_from(sel), part;
    while (rest.n && str_split(&rest, ',', &part)) {
        struct str prefix = STR("metadata.name=");
        if (!str_has_prefix(part, prefix))
            continue;
        struct str v = str_slice(part, prefix.n, part.n);
        if (v.n && v.p[0] == '=')
            v = str_slice(v, 1, v.n);
        return v.n ? arena_strndup(a, v.p, v.n) : NULL;
    }
    return NULL;
}

bool request_is_connect(const struct request_info *r)
{
    return strcmp(r->resource, "pods") == 0 &&
           (strcmp(r->subresource, "exec") == 0 || strcmp(r->subresource, "attach") == 0 ||
            strcmp(r->subresource, "portforward") == 0);
}

bool request_is_long_running(const struct request_info *r)
{
    return r->verb == VERB_WATCH || strcmp(r->subresource, "log") == 0 ||
           strcmp(r->subresource, "proxy") == 0 || request_is_connect(r);
}

static void refine_collection_verb(struct arena *a, struct request_info *r)
{
    if (*r->name || (r->verb != VERB_GET && r->verb != VERB_DELETE))
        return;
    if (r->verb == VERB_DELETE) {
        r->verb = VERB_DELETECOLLECTION;
        return;
    }
    r->verb = query_bool(a, r->query, "watch") ? VERB_WATCH : VERB_LIST;
    const char *name = name_from_field_selector(a, r->query);
    if (name)
        r->name = name;
}

static void parse_resource(struct arena *a, char **part, size_t n, struct request_info *r)
{
    size_t i = 0;
    if (i < n && strcmp(part[i], "watch") == 0 && i + 1 < n) {
        /* The deprecated /watch/ prefix. */
        if (r->verb == VERB_GET)
            r->verb = VERB_WATCH;
        i++;
    }
    if (strcmp(part[i], "namespaces") == 0) {
        if (i + 1 < n) {
            r->ns = part[i + 1];
            if (i + 2 < n && !is_namespace_subresource(part[i + 2]))
                i += 2;
        }
    }
    r->resource = part[i];
    if (i + 1 < n)
        r->name = part[i + 1];
    if (i + 2 < n)
        r->subresource = part[i + 2];
    if (i + 3 < n) {
        struct buf b;
        buf_init(&b);
        for (size_t k = i + 3; k < n; k++) {
            buf_append_cstr(&b, k > i + 3 ? "/" : "");
            buf_append_cstr(&b, part[k]);
        }
        r->rest = arena_strndup(a, b.data, b.len);
        buf_free(&b);
    }
    if (r->verb == VERB_GET && request_is_connect(r))
        r->verb = VERB_CREATE;
    if (r->verb != VERB_WATCH)
        refine_collection_verb(a, r);
    if (r->verb)
        r->verb_str = verb_name(r->verb);
}

/* The segments of a path, empty ones left out. `parts` has room for PATH_PARTS_MAX. Returns how many; <0: error. */
static int split_path(struct arena *a, struct str path, char **parts, struct error *err)
{
    int n = 0;
    struct str rest = path, seg;
    bool escaped = str_find_char(path, '%') >= 0;
    char *copy = escaped ? NULL : arena_strndup(a, path.p, path.n);
    while (rest.n && str_split(&rest, '/', &seg)) {
        if (seg.n == 0)
            continue;
        if (n == PATH_PARTS_MAX)
            return error_set(err, ERR_INVALID, "path: more than %d segments", PATH_PARTS_MAX);
        if (escaped) {
            parts[n] = decode(a, seg, false);
        } else { /* cut up in place */
            parts[n] = copy + (seg.p - path.p);
            parts[n][seg.n] = 0;
        }
        if (!parts[n])
            return error_set(err, ERR_INVALID, "path: bad percent escape");
        n++;
    }
    return n;
}

static bool has_gaps(struct str path)
{
    while (path.n && path.p[path.n - 1] == '/')
        path.n--;
    for (size_t i = 1; i < path.n; i++)
        if (path.p[i] == '/' && path.p[i - 1] == '/')
            return true;
    return false;
}

int request_info_parse(struct arena *a, struct str method, struct str path, struct str query,
                       struct request_info *out, struct error *err)
{
    *out = (struct request_info){.group = "",
                                 .version = "",
                                 .resource = "",
                                 .subresource = "",
                                 .ns = "",
                                 .name = "",
                                 .rest = "",
                                 .query = query,
                                 .gaps = has_gaps(path)};
    out->path = decode(a, path, false);
    if (!out->path)
        return error_set(err, ERR_INVALID, "path: bad percent escape");
    char *verb = arena_strndup(a, method.p, method.n);
    for (char *p = verb; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    out->verb_str = verb;

    char *part[PATH_PARTS_MAX];
    int parts = split_path(a, path, part, err);
    if (parts < 0)
        return parts;
    size_t n = (size_t)parts;
    size_t skip;
    if (n >= 3 && strcmp(part[0], "api") == 0) {
        skip = 2;
        out->version = part[1];
    } else if (n >= 4 && strcmp(part[0], "apis") == 0) {
        skip = 3;
        out->group = part[1];
        out->version = part[2];
    } else {
        return 0;
    }
    out->is_resource = true;
    out->verb = verb_of_method(method);
    parse_resource(a, part + skip, n - skip, out);
    return 0;
}
