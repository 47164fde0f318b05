/*
 * ConfigMap extension-apiserver-authentication: how an extension's API server finds out whose client certificates count
 * here, and whose word about users.
 *
 * Members may have different flags (while a CA is replaced, at least): what others wrote stays, and each adds its own.
 * Certificates go when they have run out.
 */
#include "api/codec.h"
#include "api/object.h"
#include "api/validation/pem.h"
#include "apiserver/kept/kept_objects.h"
#include "apiserver/kept/kept_write.h"
#include "base/arena_str.h"
#include "base/clock.h"
#include "base/encode.h"
#include "base/file.h"
#include "net/x509.h"
#include "proto/core_v1.pb-c.h"
#include <yyjson.h>

#define CA_FILE_MAX (1u << 20)
#define CLOCK_SKEW_S 300
#define LINE 64 /* characters of a PEM text */

/* ---- certificates ---- */

static struct str certificate_text(struct arena *a, struct str der)
{
    struct buf digits, text;
    buf_init(&digits);
    buf_init(&text);
    base64_encode(&digits, der);
    buf_append_cstr(&text, "-----BEGIN CERTIFICATE-----\n");
    for (size_t i = 0; i < digits.len; i += LINE) {
        buf_append_str(&text, str_slice(buf_str(&digits), i, MIN(i + LINE, digits.len)));
        buf_append_char(&text, '\n');
    }
    buf_append_cstr(&text, "-----END CERTIFICATE-----\n");
    struct str out = arena_copy(a, buf_str(&text));
    buf_free(&text);
    buf_free(&digits);
    return out;
}

/* Those of `pem` that are good still, and not in `all` yet. */
static int add_certificates(struct arena *a, struct buf *all, struct str pem, struct error *err)
{
    struct pem_block block;
    while (pem_next(a, &pem, &block)) {
        struct x509_info info;
        if (!str_eq(block.type, STR("CERTIFICATE")) || block.has_headers)
            continue;
        struct str text = certificate_text(a, block.der);
        if (x509_parse(text, &info, err) < 0)
            return err->code;
        int64_t end = info.not_after_s;
        x509_info_free(&info);
        if (end > clock_wall_s() - CLOCK_SKEW_S && str_find(buf_str(all), text) < 0)
            buf_append_str(all, text);
    }
    return 0;
}

/* What is stored cannot be read, if somebody changed it: then it does not count. */
static int set_certificates(struct arena *a, Core__V1__ConfigMap *o, const Core__V1__ConfigMap *was,
                            const char *key, const char *file, struct error *err)
{
    const char *known = string_map_get(was->data, was->n_data, key);
    struct error ignored;
    struct str own;
    struct buf all;
    int rc = file ? file_read(file, CA_FILE_MAX, a, &own, err) : 0;
    if (rc < 0)
        return error_wrap(err, "%s", key);
    buf_init(&all);
    if (known && add_certificates(a, &all, str_from(known), &ignored) < 0)
        buf_clear(&all);
    if (file && (rc = add_certificates(a, &all, own, err)) < 0)
        error_wrap(err, "%s %s", key, file);
    else if (all.len)
        string_map_set(a, &o->data, &o->n_data, key, arena_strndup(a, all.data, all.len));
    buf_free(&all);
    return rc;
}

/* ---- names ---- */

struct strings {
    const char **items;
    size_t len, cap;
};

static void strings_add(struct arena *a, struct strings *l, const char *item)
{
    for (size_t i = 0; i < l->len; i++)
        if (strcmp(l->items[i], item) == 0)
            return;
    if (l->len == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 8;
        l->items = arena_grow(a, l->items, l->cap * sizeof *l->items, cap * sizeof *l->items);
        l->cap = cap;
    }
    l->items[l->len++] = item;
}

/* ["a","b"] */
static const char *strings_text(struct arena *a, const struct strings *l)
{
    struct buf b;
    buf_init(&b);
    buf_append_char(&b, '[');
    for (size_t i = 0; i < l->len; i++) {
        if (i)
            buf_append_char(&b, ',');
        buf_append_json_string(&b, str_from(l->items[i]));
    }
    buf_append_char(&b, ']');
    const char *text = arena_strndup(a, b.data, b.len);
    buf_free(&b);
    return text;
}

/* What is there, and `own`. */
static void set_list(struct arena *a, Core__V1__ConfigMap *o, const Core__V1__ConfigMap *was,
                     const char *key, const char *const *own)
{
    const char *known = string_map_get(was->data, was->n_data, key);
    struct strings all = {.len = 0};
    struct error ignored;
    yyjson_val *root, *v;
    size_t i, n;
    if (known && json_read(a, str_from(known), &root, &ignored) == 0)
        yyjson_arr_foreach (root, i, n, v)
            if (yyjson_is_str(v))
                strings_add(a, &all, yyjson_get_str(v));
    for (; own && *own; own++)
        strings_add(a, &all, *own);
    string_map_set(a, &o->data, &o->n_data, key, strings_text(a, &all));
}

/* ---- both ---- */

int kept_authentication(struct apiserver *s, struct arena *a, struct error *err)
{
    static const char front_ca[] = "requestheader-client-ca-file";
    const struct front_proxy_config *front = &s->config.front_proxy;
    const struct {
        const char *key;
        const char *const *own;
    } lists[] = {{"requestheader-allowed-names", front->allowed_names},
                 {"requestheader-username-headers", front->username_headers},
                 {"requestheader-uid-headers", front->uid_headers},
                 {"requestheader-group-headers", front->group_headers},
                 {"requestheader-extra-headers-prefix", front->extra_prefixes}};
    Core__V1__ConfigMap *o = api_new(a, Core__V1__ConfigMap);
    o->metadata->namespace_ = (char *)"kube-system";
    o->metadata->name = (char *)"extension-apiserver-authentication";
    void *old = o;
    int64_t mod_rev;
    if (kept_load(s, a, kept_key(a, o), &old, &mod_rev, err) < 0 ||
        set_certificates(a, o, old, "client-ca-file", s->config.client_ca_file, err) < 0 ||
        set_certificates(a, o, old, front_ca, front->ca_file, err) < 0)
        return err->code;
    if (string_map_get(o->data, o->n_data, front_ca)) /* else there is no front proxy */
        for (size_t i = 0; i < ARRAY_LEN(lists); i++)
            set_list(a, o, old, lists[i].key, front->ca_file ? lists[i].own : NULL);
    return kept_unless_conflict(kept_converge(s, a, o, err));
}
