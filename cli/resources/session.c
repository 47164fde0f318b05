/*
 * A session with the cluster, requests, and arguments that name resources (cli/resources/res.h).
 */
#include "cli/resources/res.h"

#include "base/encode.h"
#include "base/log.h"
#include "base/mem.h"
#include "client/kubeconfig.h"
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

void res_session_init(struct res_session *s)
{
    memset(s, 0, sizeof *s);
    arena_init(&s->arena);
    log_set_level(LOG_ERROR);
}

int res_error(struct res_session *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fflush(stdout);
    fputs("error: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    s->exit_code = 1;
    return -1;
}

int res_connect(struct res_session *s)
{
    struct kubeconfig_overrides o = {.context = s->context,
                                     .cluster = s->cluster,
                                     .user = s->user,
                                     .server = s->server,
                                     .ns = s->ns_flag,
                                     .token = s->token};
    struct client_config config;
    struct error err = {0};
    if (kubeconfig_load(s->kubeconfig, &o, &s->arena, &config, &err) < 0)
        return res_error(s, "%s", err.message);
    s->ns = config.ns;
    if (client_new(&config, "c8s/" C8S_VERSION, &s->client, &err) < 0)
        return res_error(s, "%s", err.message);
    return 0;
}

int res_end(struct res_session *s)
{
    fflush(stdout);
    client_free(s->client);
    if (s->discovered)
        discovery_free(&s->discovery);
    arena_free(&s->arena);
    return s->exit_code;
}

/* ----------------------------------------------------------------------------------- requests --- */

void res_print_status(struct res_session *s, const struct client_response *r)
{
    struct error err = {0};
    struct client_status status = {0};
    client_check(r, &status, &err);
    fflush(stdout);
    if (*status.reason && strcmp(status.reason, "Invalid") == 0)
        fprintf(stderr, "The request is invalid: %s\n", err.message);
    else if (*status.reason)
        fprintf(stderr, "Error from server (%s): %s\n", status.reason, err.message);
    else
        fprintf(stderr, "Error from server: %s\n", err.message);
    s->exit_code = 1;
}

static void print_warnings(const char *warnings)
{
    struct str rest = str_from(warnings), line;
    while (warnings && str_split(&rest, '\n', &line)) {
        /* 299 - "text" */
        ptrdiff_t quote = str_find_char(line, '"');
        struct str text = quote < 0 ? line : str_slice(line, (size_t)quote + 1, line.n - 1);
        fprintf(stderr, "Warning: %.*s\n", STR_ARG(text));
    }
}

const struct client_response *res_request(struct res_session *s, const struct client_request *q,
                                          struct client_status *status)
{
    struct client_response *r = arena_new(&s->arena, struct client_response);
    struct client_request with = *q;
    struct error err = {0};
    if (!with.timeout_ms && s->timeout_s > 0)
        with.timeout_ms = (uint32_t)s->timeout_s * 1000;
    if (client_raw(s->client, &with, &s->arena, r, &err) < 0) {
        fflush(stdout);
        fprintf(stderr, "Unable to connect to the server: %s\n", err.message);
        s->exit_code = 1;
        return NULL;
    }
    print_warnings(r->warnings);
    if (status) {
        client_check(r, status, &err);
        return r;
    }
    if (r->http_status < 200 || r->http_status >= 300) {
        res_print_status(s, r);
        return NULL;
    }
    return r;
}

char *res_path(struct res_session *s, const struct resource *r, const char *ns, const char *name)
{
    struct buf b;
    buf_init(&b);
    if (*r->group)
        buf_printf(&b, "/apis/%s/%s", r->group, r->version);
    else
        buf_printf(&b, "/api/%s", r->version);
    if (r->namespaced && ns) {
        buf_append_cstr(&b, "/namespaces/");
        percent_encode(&b, str_from(ns));
    }
    buf_printf(&b, "/%s", r->plural);
    if (name) {
        buf_append_char(&b, '/');
        percent_encode(&b, str_from(name));
    }
    char *path = arena_strndup(&s->arena, b.data, b.len);
    buf_free(&b);
    return path;
}

char *res_query(struct res_session *s, char *path, const char *key, const char *value)
{
    if (!value || !*value)
        return path;
    struct buf b;
    buf_init(&b);
    percent_encode(&b, str_from(value));
    path = arena_printf(&s->arena, "%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', key,
                        buf_cstr(&b));
    buf_free(&b);
    return path;
}

static void *decode(struct res_session *s, const struct client_response *r, uint16_t message)
{
    void *out = NULL;
    struct error err = {0};
    int rc = json_decode(&s->arena, schema_get(message), r->body, NULL, &out, &err);
    if (rc < 0)
        res_error(s, "the server's answer: %s", err.message);
    return rc < 0 ? NULL : out;
}

void *res_get_object(struct res_session *s, const struct resource *r, const char *ns,
                     const char *name)
{
    const struct client_response *answer =
        res_request(s, &(struct client_request){.path = res_path(s, r, ns, name)}, NULL);
    return answer ? decode(s, answer, r->message) : NULL;
}

void *res_list_objects(struct res_session *s, const struct resource *r, const char *ns,
                       const char *label_selector, const char *field_selector)
{
    char *path = res_path(s, r, ns, NULL);
    path = res_query(s, path, "labelSelector", label_selector);
    path = res_query(s, path, "fieldSelector", field_selector);
    const struct client_response *answer =
        res_request(s, &(struct client_request){.path = path}, NULL);
    return answer ? decode(s, answer, r->list_message) : NULL;
}

/* ----------------------------------------------------------------------------- naming resources --- */

const struct resource *res_resource(struct res_session *s, const char *name)
{
    const struct resource *r = resource_find_name(str_from(name));
    if (r)
        return r;
    struct error err = {0};
    if (!s->discovered) {
        s->discovered = true;
        if (discovery_load(s->client, &s->discovery, &err) < 0) {
            res_error(s, "%s", err.message);
            return NULL;
        }
    }
    const struct discovered *d = discovery_find(&s->discovery, name);
    if (!d)
        res_error(s, "the server doesn't have a resource type \"%s\"", name);
    return d ? d->resource : NULL;
}

static void add_target(struct res_session *s, struct res_targets *out, const struct resource *r,
                       const char *name)
{
    for (size_t i = 0; i < out->len; i++)
        out->several_kinds |= out->items[i].resource != r;
    out->items = arena_grow(&s->arena, out->items, out->len * sizeof *out->items,
                            (out->len + 1) * sizeof *out->items);
    out->items[out->len++] = (struct res_target){r, name};
}

static int parse_slash(struct res_session *s, const char *arg, struct res_targets *out)
{
    const char *slash = strchr(arg, '/');
    if (!slash || slash == arg || !slash[1] || strchr(slash + 1, '/'))
        return res_error(s,
                         slash ? "arguments in resource/name form may not have more than one slash "
                                 "and need both parts, got %s"
                               : "there is no need to specify a resource type as a separate "
                                 "argument when passing arguments in resource/name form, got %s",
                         arg);
    const struct resource *r =
        res_resource(s, arena_strndup(&s->arena, arg, (size_t)(slash - arg)));
    if (!r)
        return -1;
    add_target(s, out, r, arena_strdup(&s->arena, slash + 1));
    return 0;
}

int res_parse_targets(struct res_session *s, char *const *args, size_t len, struct res_targets *out)
{
    memset(out, 0, sizeof *out);
    if (len && strchr(args[0], '/')) {
        for (size_t i = 0; i < len; i++)
            if (parse_slash(s, args[i], out) < 0)
                return -1;
        return 0;
    }
    struct str rest = len ? str_from(args[0]) : STR_NONE, type;
    while (str_split(&rest, ',', &type)) {
        if (!type.n)
            continue;
        const struct resource *r = res_resource(s, arena_strndup(&s->arena, type.p, type.n));
        if (!r)
            return -1;
        if (len == 1)
            add_target(s, out, r, NULL);
        for (size_t i = 1; i < len; i++)
            add_target(s, out, r, arena_strdup(&s->arena, args[i]));
    }
    return 0;
}

const char *res_type_text(struct res_session *s, const struct resource *r)
{
    char *text = *r->group ? arena_printf(&s->arena, "%s.%s", r->kind, r->group)
                           : arena_strdup(&s->arena, r->kind);
    for (char *p = text; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return text;
}

const char *res_namespace(const struct res_session *s, const struct resource *r)
{
    return r->namespaced ? s->ns : NULL;
}

/* --------------------------------------------------------------------------------------- trees --- */

yyjson_val *res_member(yyjson_val *v, ...)
{
    va_list keys;
    va_start(keys, v);
    const char *key;
    while (v && (key = va_arg(keys, const char *)) != NULL)
        v = yyjson_obj_get(v, key);
    va_end(keys);
    return v;
}

const char *res_text(yyjson_val *v)
{
    const char *text = yyjson_is_raw(v) ? yyjson_get_raw(v) : yyjson_get_str(v);
    return text ? text : "";
}
