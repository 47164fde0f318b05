/*
 * etcd's configuration file (apiserver/config_file.h).
 */
#include "apiserver/config_file.h"
#include "api/codec.h"
#include "base/file.h"
#include "base/mem.h"

#include <string.h>

#define FILE_BYTES_MAX (1u << 20)

struct reader {
    const char *path;
    const struct flags_spec *spec;
    struct arena *a;
};

/* The keys of the two sections and the flags that they are. */
static const struct {
    const char *section, *key, *flag;
} section_keys[] = {
    {"client-transport-security", "cert-file", "cert-file"},
    {"client-transport-security", "key-file", "key-file"},
    {"client-transport-security", "client-cert-auth", "client-cert-auth"},
    {"client-transport-security", "trusted-ca-file", "trusted-ca-file"},
    {"client-transport-security", "client-crl-file", "client-crl-file"},
    {"client-transport-security", "auto-tls", "auto-tls"},
    {"peer-transport-security", "cert-file", "peer-cert-file"},
    {"peer-transport-security", "key-file", "peer-key-file"},
    {"peer-transport-security", "client-cert-auth", "peer-client-cert-auth"},
    {"peer-transport-security", "trusted-ca-file", "peer-trusted-ca-file"},
    {"peer-transport-security", "crl-file", "peer-crl-file"},
    {"peer-transport-security", "allowed-cn", "peer-cert-allowed-cn"},
    {"peer-transport-security", "allowed-hostname", "peer-cert-allowed-hostname"},
    {"peer-transport-security", "auto-tls", "peer-auto-tls"},
};

static bool is_section(const char *key)
{
    return strcmp(key, "client-transport-security") == 0 ||
           strcmp(key, "peer-transport-security") == 0;
}

static const char *flag_of(const char *section, const char *key)
{
    if (!section)
        return key;
    for (size_t i = 0; i < ARRAY_LEN(section_keys); i++)
        if (strcmp(section, section_keys[i].section) == 0 && strcmp(key, section_keys[i].key) == 0)
            return section_keys[i].flag;
    return NULL;
}

/* A scalar as a flag's value; NULL: it is none. */
static const char *text_of(struct arena *a, yyjson_val *v)
{
    if (yyjson_is_str(v))
        return yyjson_get_str(v);
    if (yyjson_is_bool(v))
        return yyjson_get_bool(v) ? "true" : "false";
    if (yyjson_is_raw(v))
        return arena_strndup(a, yyjson_get_raw(v), yyjson_get_len(v));
    if (yyjson_is_int(v))
        return arena_printf(a, "%lld", (long long)yyjson_get_sint(v));
    if (yyjson_is_real(v))
        return arena_printf(a, "%g", yyjson_get_real(v));
    return NULL;
}

static const char *joined(struct arena *a, yyjson_val *list)
{
    const char *out = "";
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach (list, i, n, v) {
        const char *text = text_of(a, v);
        if (!text)
            return NULL;
        out = *out ? arena_printf(a, "%s,%s", out, text) : text;
    }
    return out;
}

static int set(const struct reader *r, const char *section, const char *key, yyjson_val *value,
               struct error *err)
{
    const char *name =
        section ? arena_printf(r->a, "%s.%s", section, key) : arena_strdup(r->a, key);
    const char *flag = flag_of(section, key);
    if (yyjson_is_null(value))
        return 0; /* as if it were not there */
    const char *text = yyjson_is_arr(value) ? joined(r->a, value) : text_of(r->a, value);
    if (!text)
        return error_set(err, ERR_INVALID, "%s: %s: want a plain value or a list of them", r->path,
                         name);
    int rc = flag ? flags_set(r->spec, flag, text, err) : ERR_NOT_FOUND;
    if (rc == ERR_NOT_FOUND)
        return error_set(err, rc, "%s: %s: unknown key", r->path, name);
    return rc < 0 ? error_wrap(err, "%s", r->path) : 0;
}

static int read_section(const struct reader *r, const char *section, yyjson_val *object,
                        struct error *err)
{
    size_t i, n;
    int rc = 0;
    yyjson_val *key, *value;
    yyjson_obj_foreach (object, i, n, key, value) {
        const char *name = yyjson_get_str(key);
        if (section || !is_section(name))
            rc = set(r, section, name, value, err);
        else if (yyjson_is_obj(value))
            rc = read_section(r, name, value, err);
        else if (!yyjson_is_null(value))
            rc = error_set(err, ERR_INVALID, "%s: %s: want a section of keys", r->path, name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

int config_file_read(const char *path, const struct flags_spec *spec, struct arena *a,
                     struct error *err)
{
    const struct reader r = {path, spec, a};
    struct str text;
    yyjson_val **documents;
    size_t count = 0;
    int rc = file_read(path, FILE_BYTES_MAX, a, &text, err);
    if (rc == 0 && (rc = yaml_read(a, text, &documents, &count, err)) < 0)
        error_wrap(err, "%s", path);
    if (rc < 0)
        return rc;
    if (count > 1 || (count == 1 && !yyjson_is_obj(documents[0])))
        return error_set(err, ERR_INVALID, "%s: want one document with keys and values", path);
    return count ? read_section(&r, NULL, documents[0], err) : 0;
}
