/*
 * Discovery documents: see discovery.h.
 */
#include "apiserver/discovery.h"
#include "base/map.h"
#include "base/mem.h"
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>

#define DOCUMENTS_MAX 200

/* An immutable document and its hash. */
struct document {
    struct blob *body;
    char hash[65];
};

struct discovery {
    pthread_mutex_t lock;
    struct map documents; /* path and form → struct document */
};

struct discovery *discovery_new(void)
{
    struct discovery *d = mem_zalloc(sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    map_init(&d->documents);
    return d;
}

void discovery_free(struct discovery *d)
{
    if (!d)
        return;
    struct map_iter it = {0};
    while (map_next(&d->documents, &it)) {
        struct document *doc = it.value;
        blob_unref(doc->body);
        mem_free(doc);
    }
    map_free(&d->documents);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}

/* ---- JSON pieces ---- */

static void json_names(struct buf *b, const char *key, const char *const *names)
{
    if (!names || !names[0])
        return;
    buf_printf(b, ",\"%s\":[", key);
    for (size_t i = 0; names[i]; i++)
        buf_printf(b, "%s\"%s\"", i ? "," : "", names[i]);
    buf_append_char(b, ']');
}

static void json_verbs(struct buf *b, uint32_t verbs)
{
    bool any = false;
    buf_append_cstr(b, ",\"verbs\":[");
    for (uint32_t v = 1; v <= VERB_WATCH; v <<= 1) {
        if (!(verbs & v))
            continue;
        buf_printf(b, "%s\"%s\"", any ? "," : "", verb_name((enum verb)v));
        any = true;
    }
    buf_append_char(b, ']');
}

static bool served_here(const struct resource *r, const char *group, const char *version)
{
    return strcmp(r->group, group) == 0 && strcmp(r->version, version) == 0;
}

/* ---- plain ---- */

static void plain_resource(struct buf *b, const struct resource *r)
{
    buf_printf(b, "{\"name\":\"%s\",\"singularName\":\"%s\",\"namespaced\":%s,\"kind\":\"%s\"",
               r->plural, r->singular, r->namespaced ? "true" : "false", r->kind);
    json_verbs(b, r->verbs);
    json_names(b, "shortNames", r->short_names);
    json_names(b, "categories", r->categories);
    buf_append_char(b, '}');
    for (const struct subresource *s = r->subresources; s && s->name; s++) {
        buf_printf(b, ",{\"name\":\"%s/%s\",\"singularName\":\"\",\"namespaced\":%s", r->plural,
                   s->name, r->namespaced ? "true" : "false");
        if (strcmp(s->group, r->group) != 0 || strcmp(s->version, r->version) != 0)
            buf_printf(b, ",\"group\":\"%s\",\"version\":\"%s\"", s->group, s->version);
        buf_printf(b, ",\"kind\":\"%s\"", s->kind);
        json_verbs(b, s->verbs);
        buf_append_char(b, '}');
    }
}

bool discovery_resources(const char *group, const char *version, struct buf *b)
{
    size_t n = 0;
    buf_printf(b, "{\"kind\":\"APIResourceList\",%s\"groupVersion\":\"%s%s%s\",\"resources\":[",
               *group ? "\"apiVersion\":\"v1\"," : "", group, *group ? "/" : "", version);
    for (size_t i = 0; i < resources_len; i++) {
        if (!served_here(&resources[i], group, version))
            continue;
        if (n++)
            buf_append_char(b, ',');
        plain_resource(b, &resources[i]);
    }
    buf_append_cstr(b, "]}\n");
    return n > 0;
}

static bool first_of_group(size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(group_versions[k].group, group_versions[i].group) == 0)
            return false;
    return *group_versions[i].group != 0;
}

static void group_body(struct buf *b, const char *group)
{
    const struct group_version *preferred = NULL;
    bool any = false;
    buf_printf(b, "\"name\":\"%s\",\"versions\":[", group);
    for (size_t i = 0; i < group_versions_len; i++) {
        const struct group_version *gv = &group_versions[i];
        if (strcmp(gv->group, group) != 0)
            continue;
        buf_printf(b, "%s{\"groupVersion\":\"%s\",\"version\":\"%s\"}", any ? "," : "",
                   gv->api_version, gv->version);
        any = true;
        if (!preferred || gv->preferred)
            preferred = gv;
    }
    buf_printf(b, "],\"preferredVersion\":{\"groupVersion\":\"%s\",\"version\":\"%s\"}",
               preferred ? preferred->api_version : "", preferred ? preferred->version : "");
}

bool discovery_group(const char *group, struct buf *b)
{
    bool known = false;
    for (size_t i = 0; i < group_versions_len; i++)
        known |= *group && strcmp(group_versions[i].group, group) == 0;
    if (!known)
        return false;
    buf_append_cstr(b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
    group_body(b, group);
    buf_append_cstr(b, "}\n");
    return true;
}

void discovery_groups(struct buf *b)
{
    bool any = false;
    buf_append_cstr(b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
    for (size_t i = 0; i < group_versions_len; i++) {
        if (!first_of_group(i))
            continue;
        buf_append_cstr(b, any ? ",{" : "{");
        group_body(b, group_versions[i].group);
        buf_append_char(b, '}');
        any = true;
    }
    buf_append_cstr(b, "]}\n");
}

/* ---- aggregated ---- */

static void response_kind(struct buf *b, const char *group, const char *version, const char *kind)
{
    buf_printf(b, ",\"responseKind\":{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"}", group,
               version, kind);
}

static void aggregated_resource(struct buf *b, const struct resource *r)
{
    buf_printf(b, "{\"resource\":\"%s\"", r->plural);
    response_kind(b, r->group, r->version, r->kind);
    buf_printf(b, ",\"scope\":\"%s\",\"singularResource\":\"%s\"",
               r->namespaced ? "Namespaced" : "Cluster", r->singular);
    json_verbs(b, r->verbs);
    json_names(b, "shortNames", r->short_names);
    json_names(b, "categories", r->categories);
    if (r->subresources && r->subresources->name) {
        buf_append_cstr(b, ",\"subresources\":[");
        for (const struct subresource *s = r->subresources; s->name; s++) {
            buf_printf(b, "%s{\"subresource\":\"%s\"", s == r->subresources ? "" : ",", s->name);
            response_kind(b, s->group, s->version, s->kind);
            json_verbs(b, s->verbs);
            buf_append_char(b, '}');
        }
        buf_append_char(b, ']');
    }
    buf_append_char(b, '}');
}

static void aggregated_version(struct buf *b, const struct group_version *gv)
{
    bool any = false;
    buf_printf(b, "{\"version\":\"%s\",\"resources\":[", gv->version);
    for (size_t i = 0; i < resources_len; i++) {
        if (!served_here(&resources[i], gv->group, gv->version))
            continue;
        if (any)
            buf_append_char(b, ',');
        any = true;
        aggregated_resource(b, &resources[i]);
    }
    buf_append_cstr(b, "],\"freshness\":\"Current\"}");
}

/* Preferred versions come first: the table's order within a group. */
static void aggregated_group(struct buf *b, const char *group)
{
    bool any = false;
    if (*group)
        buf_printf(b, "{\"metadata\":{\"name\":\"%s\",\"creationTimestamp\":null},\"versions\":[",
                   group);
    else
        buf_append_cstr(b, "{\"metadata\":{\"creationTimestamp\":null},\"versions\":[");
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < group_versions_len; i++) {
            if (strcmp(group_versions[i].group, group) != 0 ||
                group_versions[i].preferred != (pass == 0))
                continue;
            if (any)
                buf_append_char(b, ',');
            any = true;
            aggregated_version(b, &group_versions[i]);
        }
    buf_append_cstr(b, "]}");
}

void discovery_aggregated(bool core, bool v2beta1, struct buf *b)
{
    bool any = false;
    buf_printf(b,
               "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/"
               "%s\",\"metadata\":{},\"items\":[",
               v2beta1 ? "v2beta1" : "v2");
    if (core) {
        aggregated_group(b, "");
    } else {
        for (size_t i = 0; i < group_versions_len; i++) {
            if (!first_of_group(i))
                continue;
            if (any)
                buf_append_char(b, ',');
            any = true;
            aggregated_group(b, group_versions[i].group);
        }
    }
    buf_append_cstr(b, "]}\n");
}

/* ---- documents and paths ---- */

typedef bool make_fn(const void *arg, struct buf *out);

/* The document under `key`, made on first use. NULL: there is none. */
static const struct document *document(struct discovery *d, const char *key, make_fn *make,
                                       const void *arg)
{
    pthread_mutex_lock(&d->lock);
    struct document *doc = map_get(&d->documents, str_from(key));
    if (!doc) {
        struct buf b;
        buf_init(&b);
        if (make(arg, &b) && d->documents.len < DOCUMENTS_MAX) {
            doc = mem_zalloc(sizeof *doc);
            doc->body = blob_from(b.data, b.len);
            unsigned char sum[SHA256_DIGEST_LENGTH];
            SHA256((const unsigned char *)b.data, b.len, sum);
            for (size_t i = 0; i < sizeof sum; i++)
                snprintf(doc->hash + 2 * i, 3, "%02X", sum[i]);
            map_put(&d->documents, str_from(key), doc);
        }
        buf_free(&b);
    }
    pthread_mutex_unlock(&d->lock);
    return doc;
}

/* ETag and 304. */
static void answer(struct rest *rq, const struct document *doc, const char *type)
{
    if (!doc) {
        rest_status(rq, status_path_not_found(rq->a));
        return;
    }
    const char *etag = arena_printf(rq->a, "\"%s\"", doc->hash);
    struct http_header h[] = {
        {STR("content-type"), str_from(type)},
        {STR("etag"), str_from(etag)},
        {STR("vary"), STR("Accept")},
        {STR("cache-control"), STR("public")},
    };
    size_t n = ARRAY_LEN(h);
    if (str_eqz(http_header_get(rq->x, "if-none-match"), etag)) {
        rq->code = 304;
        http_respond(rq->x, 304, h, n, STR_NONE);
        return;
    }
    rq->code = 200;
    http_respond_blob(rq->x, 200, h, n, doc->body);
}

static bool make_groups(const void *arg, struct buf *out)
{
    (void)arg;
    discovery_groups(out);
    return true;
}

static bool make_aggregated(const void *arg, struct buf *out)
{
    const bool *flags = arg;
    discovery_aggregated(flags[0], flags[1], out);
    return true;
}

static bool make_core_versions(const void *arg, struct buf *out)
{
    (void)arg;
    buf_append_cstr(
        out,
        "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],\"serverAddressByClientCIDRs\":[]}\n");
    return true;
}

static void serve_roots(struct discovery *d, struct rest *rq, bool core)
{
    struct accept accept;
    if (!negotiate_accept(http_header_get(rq->x, "accept"), true, &accept))
        accept = (struct accept){0};
    if (accept.aggregated_v2 || accept.aggregated_v2beta1) {
        bool flags[2] = {core, accept.aggregated_v2beta1};
        const char *key = arena_printf(rq->a, "aggregated:%d:%d", flags[0], flags[1]);
        answer(rq, document(d, key, make_aggregated, flags),
               flags[1]
                   ? "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
                   : "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        return;
    }
    answer(rq, document(d, core ? "/api" : "/apis", core ? make_core_versions : make_groups, NULL),
           "application/json");
}

struct gv_name {
    const char *group, *version;
};

static bool make_resources(const void *arg, struct buf *out)
{
    const struct gv_name *gv = arg;
    return discovery_resources(gv->group, gv->version, out);
}

static bool make_group(const void *arg, struct buf *out)
{
    return discovery_group(arg, out);
}

bool discovery_serve(struct discovery *d, struct rest *rq)
{
    char *path = arena_strdup(rq->a, rq->info.path);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    if (strcmp(path, "/api") == 0 || strcmp(path, "/apis") == 0) {
        serve_roots(d, rq, path[4] == 0);
        return true;
    }
    struct gv_name gv = {"", ""};
    if (strncmp(path, "/api/", 5) == 0 && !strchr(path + 5, '/')) {
        gv.version = path + 5;
    } else if (strncmp(path, "/apis/", 6) == 0) {
        char *slash = strchr(path + 6, '/');
        if (!slash) {
            answer(rq, document(d, path, make_group, path + 6), "application/json");
            return true;
        }
        if (strchr(slash + 1, '/'))
            return false;
        gv.group = arena_strndup(rq->a, path + 6, (size_t)(slash - path - 6));
        gv.version = slash + 1;
    } else {
        return false;
    }
    answer(rq, document(d, path, make_resources, &gv), "application/json");
    return true;
}
