/*
 * kubeconfig files and in-cluster configuration (client/kubeconfig.h).
 */
#include "client/kubeconfig.h"

#include "api/codec.h"
#include "base/encode.h"
#include "base/file.h"
#include "base/mem.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILE_BYTES_MAX (4u << 20)
#define SERVERS_MAX 64
#define SERVICE_ACCOUNT_DIR "/var/run/secrets/kubernetes.io/serviceaccount"

/* What parsing carries along. */
struct reader {
    struct arena *arena;
    const char *dir; /* of the file, for relative names */
    struct error *err;
};

static const char *text_of(yyjson_val *object, const char *key)
{
    return yyjson_get_str(yyjson_obj_get(object, key));
}

static bool truth_of(yyjson_val *object, const char *key)
{
    return yyjson_is_true(yyjson_obj_get(object, key));
}

static const char *copy(struct reader *r, const char *s)
{
    return s && *s ? arena_strdup(r->arena, s) : NULL;
}

static const char *resolve(struct reader *r, const char *path)
{
    if (*path == '/' || !r->dir)
        return arena_strdup(r->arena, path);
    return arena_printf(r->arena, "%s/%s", r->dir, path);
}

/* `<key>-data` (base64) or `<key>` (a file). */
static int pem_of(struct reader *r, yyjson_val *object, const char *key, struct str *out)
{
    char data_key[64];
    snprintf(data_key, sizeof data_key, "%s-data", key);
    const char *data = text_of(object, data_key), *path = text_of(object, key);
    if (data && *data) {
        struct buf b;
        buf_init(&b);
        bool ok = base64_decode(&b, str_from(data));
        if (ok)
            *out = str_make(arena_dup(r->arena, b.data ? b.data : "", b.len), b.len);
        buf_free(&b);
        return ok ? 0 : error_set(r->err, ERR_INVALID, "%s: not base64", data_key);
    }
    if (path && *path && file_read(resolve(r, path), FILE_BYTES_MAX, r->arena, out, r->err) < 0)
        return error_wrap(r->err, "%s", key);
    return 0;
}

/* The `entry` of the list `list` whose name is `name`: {name: …, <entry>: {…}}. */
static yyjson_val *find_named(yyjson_val *root, const char *list, const char *entry,
                              const char *name)
{
    yyjson_val *items = yyjson_obj_get(root, list), *item;
    size_t i, max;
    yyjson_arr_foreach (items, i, max, item) {
        if (cstr_eq(text_of(item, "name"), name))
            return yyjson_obj_get(item, entry);
    }
    return NULL;
}

static void add_server(struct reader *r, struct client_config *out, const char *server)
{
    if (!server || !*server || out->servers_len == SERVERS_MAX)
        return;
    size_t n = strlen(server);
    while (n && server[n - 1] == '/')
        n--;
    for (size_t i = 0; i < out->servers_len; i++)
        if (str_eqz(str_make(server, n), out->servers[i]))
            return;
    out->servers[out->servers_len++] = arena_strndup(r->arena, server, n);
}

static void servers_of_extension(struct reader *r, yyjson_val *cluster, struct client_config *out)
{
    yyjson_val *extension = find_named(cluster, "extensions", "extension", "c8s.io/servers");
    if (yyjson_is_obj(extension))
        extension = yyjson_obj_get(extension, "servers");
    yyjson_val *server;
    size_t i, max;
    yyjson_arr_foreach (extension, i, max, server)
        add_server(r, out, yyjson_get_str(server));
}

static int read_cluster(struct reader *r, yyjson_val *cluster, const char *server_override,
                        struct client_config *out)
{
    out->servers = arena_array(r->arena, const char *, SERVERS_MAX + 1);
    if (text_of(cluster, "proxy-url"))
        return error_set(r->err, ERR_UNSUPPORTED, "proxy-url: proxies are not supported");
    if (server_override) {
        add_server(r, out, server_override);
    } else {
        servers_of_extension(r, cluster, out);
        add_server(r, out, text_of(cluster, "server"));
    }
    if (out->servers_len == 0)
        return error_set(r->err, ERR_INVALID, "server: required");
    out->server_name = copy(r, text_of(cluster, "tls-server-name"));
    out->insecure = truth_of(cluster, "insecure-skip-tls-verify");
    return pem_of(r, cluster, "certificate-authority", &out->ca_pem);
}

static int read_user(struct reader *r, yyjson_val *user, struct client_config *out)
{
    static const char *const unsupported[] = {"exec", "auth-provider", "username"};
    out->token = copy(r, text_of(user, "token"));
    const char *file = text_of(user, "tokenFile");
    out->token_file = file && *file ? resolve(r, file) : NULL;
    if (pem_of(r, user, "client-certificate", &out->cert_pem) < 0 ||
        pem_of(r, user, "client-key", &out->key_pem) < 0)
        return r->err ? r->err->code : ERR_INVALID;
    if (!out->cert_pem.n != !out->key_pem.n)
        return error_set(r->err, ERR_INVALID,
                         "client-certificate and client-key: one without the other");
    if (out->token || out->token_file || out->cert_pem.n)
        return 0;
    for (size_t i = 0; i < ARRAY_LEN(unsupported); i++)
        if (yyjson_obj_get(user, unsupported[i]))
            return error_set(r->err, ERR_UNSUPPORTED,
                             "%s: this way to authenticate is not supported", unsupported[i]);
    return 0; /* anonymous */
}

static int read_config(struct reader *r, yyjson_val *root, const struct kubeconfig_overrides *o,
                       struct client_config *out)
{
    static const struct kubeconfig_overrides none = {0};
    if (!o)
        o = &none;
    const char *context_name = o->context ? o->context : text_of(root, "current-context");
    yyjson_val *context =
        context_name ? find_named(root, "contexts", "context", context_name) : NULL;
    if (o->context && !context)
        return error_set(r->err, ERR_NOT_FOUND, "context \"%s\" does not exist", o->context);
    if (!context && !o->cluster && !o->server)
        return error_set(r->err, ERR_INVALID, "current-context: %s",
                         context_name && *context_name ? "no such context" : "not set");
    const char *cluster_name = o->cluster ? o->cluster : text_of(context, "cluster");
    const char *user_name = o->user ? o->user : text_of(context, "user");
    yyjson_val *cluster =
        cluster_name ? find_named(root, "clusters", "cluster", cluster_name) : NULL;
    yyjson_val *user = user_name ? find_named(root, "users", "user", user_name) : NULL;
    if (!cluster && !o->server)
        return error_set(r->err, ERR_INVALID, "cluster \"%s\" does not exist",
                         cluster_name ? cluster_name : "");
    if (o->user && !user)
        return error_set(r->err, ERR_INVALID, "auth info \"%s\" does not exist", o->user);
    if (read_cluster(r, cluster, o->server, out) < 0)
        return error_wrap(r->err, "cluster %s", cluster_name ? cluster_name : "");
    if (read_user(r, user, out) < 0)
        return error_wrap(r->err, "user %s", user_name ? user_name : "");
    if (o->token) {
        out->token = copy(r, o->token);
        out->token_file = NULL; /* it would be read over what was given */
    }
    const char *ns = o->ns ? o->ns : text_of(context, "namespace");
    out->ns = ns && *ns ? copy(r, ns) : "default";
    out->user = copy(r, user_name);
    return 0;
}

int kubeconfig_parse(struct str yaml, const char *dir, const struct kubeconfig_overrides *overrides,
                     struct arena *a, struct client_config *out, struct error *err)
{
    struct error local = {0};
    struct reader r = {a, dir, err ? err : &local};
    yyjson_val **documents = NULL;
    size_t count = 0;
    memset(out, 0, sizeof *out);
    if (yaml_read(a, yaml, &documents, &count, r.err) < 0)
        return r.err->code;
    if (count != 1 || !yyjson_is_obj(documents[0]))
        return error_set(err, ERR_INVALID, "not a kubeconfig: one YAML object expected");
    return read_config(&r, documents[0], overrides, out);
}

int kubeconfig_in_cluster(struct arena *a, struct client_config *out, struct error *err)
{
    const char *host = getenv("KUBERNETES_SERVICE_HOST"), *port = getenv("KUBERNETES_SERVICE_PORT");
    if (!host || !*host || !port || !*port)
        return error_set(err, ERR_NOT_FOUND,
                         "not in a cluster: KUBERNETES_SERVICE_HOST and _PORT are not set");
    memset(out, 0, sizeof *out);
    struct str ns = STR_NONE;
    if (file_read(SERVICE_ACCOUNT_DIR "/ca.crt", FILE_BYTES_MAX, a, &out->ca_pem, err) < 0)
        return error_wrap(err, "in-cluster configuration");
    out->servers = arena_array(a, const char *, 2);
    out->servers[out->servers_len++] =
        arena_printf(a, strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s", host, port);
    out->token_file = SERVICE_ACCOUNT_DIR "/token";
    if (file_read(SERVICE_ACCOUNT_DIR "/namespace", FILE_BYTES_MAX, a, &ns, NULL) < 0)
        ns = STR("default");
    ns = str_trim(ns);
    out->ns = arena_strndup(a, ns.p, ns.n);
    return 0;
}

static int load_file(const char *path, const struct kubeconfig_overrides *overrides,
                     struct arena *a, struct client_config *out, struct error *err)
{
    struct str text;
    int rc = file_read(path, FILE_BYTES_MAX, a, &text, err);
    if (rc < 0)
        return rc;
    const char *slash = strrchr(path, '/');
    const char *dir = slash ? arena_strndup(a, path, (size_t)(slash - path)) : ".";
    rc = kubeconfig_parse(text, slash == path ? "/" : dir, overrides, a, out, err);
    return rc < 0 ? error_wrap(err, "%s", path) : 0;
}

/* First existing file of $KUBECONFIG's list, else ~/.kube/config; NULL when there is none. */
static const char *default_path(struct arena *a)
{
    const char *env = getenv("KUBECONFIG"), *home = getenv("HOME");
    struct str rest = str_from(env), part;
    while (env && *env && str_split(&rest, ':', &part)) {
        const char *path = arena_strndup(a, part.p, part.n);
        if (part.n && access(path, F_OK) == 0)
            return path;
    }
    if (!home || !*home)
        return NULL;
    const char *path = arena_printf(a, "%s/.kube/config", home);
    return access(path, F_OK) == 0 ? path : NULL;
}

int kubeconfig_load(const char *path, const struct kubeconfig_overrides *overrides, struct arena *a,
                    struct client_config *out, struct error *err)
{
    if (!path || !*path)
        path = default_path(a);
    if (path)
        return load_file(path, overrides, a, out, err);
    if (overrides && overrides->server)
        return kubeconfig_parse(STR("{}"), ".", overrides, a, out, err);
    if (kubeconfig_in_cluster(a, out, NULL) == 0) {
        if (overrides && overrides->ns)
            out->ns = arena_strdup(a, overrides->ns);
        return 0;
    }
    return error_set(err, ERR_NOT_FOUND,
                     "no cluster named: neither --kubeconfig nor $KUBECONFIG nor ~/.kube/config "
                     "exists, and this is no pod");
}
