/*
 * Discovery documents: see discovery.h.
 */
#include "apiserver/discovery.h"
#include "apiserver/custom/registry.h"
#include "base/encode.h"
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
    uint64_t generation;  /* of the custom resources that the documents show */
    struct map documents; /* path and form → struct document */
};

struct discovery *discovery_new(void)
{
    struct discovery *d = mem_zalloc(sizeof *d);
    pthread_mutex_init(&d->lock, NULL);
    map_init(&d->documents);
    return d;
}

static void forget_documents(struct discovery *d)
{
    struct map_iter it = {0};
    while (map_next(&d->documents, &it)) {
        struct document *doc = it.value;
        blob_unref(doc->body);
        mem_free(doc);
    }
    map_clear(&d->documents);
}

void discovery_free(struct discovery *d)
{
    if (!d)
        return;
    forget_documents(d);
    map_free(&d->documents);
    pthread_mutex_destroy(&d->lock);
    mem_free(d);
}

/* ---- what is served ---- */

/* Built-in resources, then custom ones; versions of a group in order of preference. */
struct served {
    const struct resource **resources;
    struct group_version *versions;
    size_t resources_len, versions_len;
};

static void add_resource(struct served *v, const struct resource *r)
{
    v->resources[v->resources_len++] = r;
    for (size_t i = 0; i < v->versions_len; i++)
        if (strcmp(v->versions[i].group, r->group) == 0 &&
            strcmp(v->versions[i].version, r->version) == 0)
            return;
    v->versions[v->versions_len++] =
        (struct group_version){r->group, r->version, r->api_version, false};
}

/* The first version of a custom group is the preferred one. */
static void order_custom(struct served *v, size_t from)
{
    for (size_t i = from; i < v->versions_len; i++)
        for (size_t k = i; k > from; k--) {
            struct group_version *a = &v->versions[k - 1], *b = &v->versions[k], swap = *a;
            int order = strcmp(a->group, b->group);
            if (order < 0 || (order == 0 && custom_version_order(a->version, b->version) <= 0))
                break;
            *a = *b;
            *b = swap;
        }
    for (size_t i = from; i < v->versions_len; i++) {
        bool first = true;
        for (size_t k = 0; k < i; k++)
            first &= strcmp(v->versions[k].group, v->versions[i].group) != 0;
        v->versions[i].preferred = first;
    }
}

static void served_list(struct arena *a, const struct custom_set *customs, struct served *v)
{
    size_t most = resources_len;
    for (size_t i = 0; i < customs->types_len; i++)
        most += customs->types[i]->versions_len;
    *v = (struct served){.resources = arena_array(a, const struct resource *, most + 1),
                         .versions =
                             arena_array(a, struct group_version, group_versions_len + most + 1)};
    for (size_t i = 0; i < group_versions_len; i++)
        v->versions[v->versions_len++] = group_versions[i];
    for (size_t i = 0; i < resources_len; i++)
        v->resources[v->resources_len++] = &resources[i];
    for (size_t i = 0; i < customs->types_len; i++) {
        const struct custom_type *t = customs->types[i];
        for (size_t k = 0; t->established && k < t->versions_len; k++)
            if (t->versions[k].served)
                add_resource(v, &t->versions[k].resource);
    }
    order_custom(v, group_versions_len);
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

/* Those of custom resources have an order of their own. */
static void json_verbs_of(struct buf *b, const struct resource *r)
{
    if (r->custom)
        buf_append_cstr(b, ",\"verbs\":[\"delete\",\"deletecollection\",\"get\",\"list\","
                           "\"patch\",\"create\",\"update\",\"watch\"]");
    else
        json_verbs(b, resource_listed_verbs(r));
}

static bool served_here(const struct resource *r, const char *group, const char *version)
{
    return strcmp(r->group, group) == 0 && strcmp(r->version, version) == 0;
}

/* ---- plain ---- */

#define VERSION_HASH_LEN 8

/* A hash of group, version and kind that objects are stored as: it changes when they are to be stored anew. */
static void storage_version(struct buf *b, const struct resource *r)
{
    if (!*r->storage_prefix || (r->custom && !r->custom->type->stored->served))
        return;
    struct str group = str_from(r->group), version = str_from(r->version);
    if (r->custom)
        version = str_from(r->custom->type->stored->resource.version);
    else if (r->stored_as != r->message)
        api_version_split(str_from(message_api_version(schema_get(r->stored_as))), &group,
                          &version);
    struct buf name;
    buf_init(&name);
    buf_printf(&name, "%.*s/%.*s/%s", STR_ARG(group), STR_ARG(version), r->kind);
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)name.data, name.len, sum);
    buf_free(&name);
    buf_append_cstr(b, ",\"storageVersionHash\":\"");
    base64_encode(b, str_make((const char *)sum, VERSION_HASH_LEN));
    buf_append_char(b, '"');
}

static void plain_resource(struct buf *b, const struct resource *r)
{
    buf_printf(b, "{\"name\":\"%s\",\"singularName\":\"%s\",\"namespaced\":%s,\"kind\":\"%s\"",
               r->plural, r->singular, r->namespaced ? "true" : "false", r->kind);
    json_verbs_of(b, r);
    json_names(b, "shortNames", r->short_names);
    json_names(b, "categories", r->categories);
    storage_version(b, r);
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

static bool write_resources(const struct served *v, const char *group, const char *version,
                            struct buf *b)
{
    size_t n = 0;
    buf_printf(b, "{\"kind\":\"APIResourceList\",%s\"groupVersion\":\"%s%s%s\",\"resources\":[",
               *group ? "\"apiVersion\":\"v1\"," : "", group, *group ? "/" : "", version);
    for (size_t i = 0; i < v->resources_len; i++) {
        if (!served_here(v->resources[i], group, version))
            continue;
        if (n++)
            buf_append_char(b, ',');
        plain_resource(b, v->resources[i]);
    }
    buf_append_cstr(b, "]}\n");
    return n > 0;
}

static bool first_of_group(const struct served *v, size_t i)
{
    for (size_t k = 0; k < i; k++)
        if (strcmp(v->versions[k].group, v->versions[i].group) == 0)
            return false;
    return *v->versions[i].group != 0;
}

static void group_body(const struct served *v, struct buf *b, const char *group)
{
    const struct group_version *preferred = NULL;
    bool any = false;
    buf_printf(b, "\"name\":\"%s\",\"versions\":[", group);
    for (size_t i = 0; i < v->versions_len; i++) {
        const struct group_version *gv = &v->versions[i];
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

static bool write_group(const struct served *v, const char *group, struct buf *b)
{
    bool known = false;
    for (size_t i = 0; i < v->versions_len; i++)
        known |= *group && strcmp(v->versions[i].group, group) == 0;
    if (!known)
        return false;
    buf_append_cstr(b, "{\"kind\":\"APIGroup\",\"apiVersion\":\"v1\",");
    group_body(v, b, group);
    buf_append_cstr(b, "}\n");
    return true;
}

static void write_groups(const struct served *v, struct buf *b)
{
    bool any = false;
    buf_append_cstr(b, "{\"kind\":\"APIGroupList\",\"apiVersion\":\"v1\",\"groups\":[");
    for (size_t i = 0; i < v->versions_len; i++) {
        if (!first_of_group(v, i))
            continue;
        buf_append_cstr(b, any ? ",{" : "{");
        group_body(v, b, v->versions[i].group);
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
    json_verbs_of(b, r);
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

static void aggregated_version(const struct served *v, struct buf *b,
                               const struct group_version *gv)
{
    bool any = false;
    buf_printf(b, "{\"version\":\"%s\",\"resources\":[", gv->version);
    for (size_t i = 0; i < v->resources_len; i++) {
        if (!served_here(v->resources[i], gv->group, gv->version))
            continue;
        if (any)
            buf_append_char(b, ',');
        any = true;
        aggregated_resource(b, v->resources[i]);
    }
    buf_append_cstr(b, "],\"freshness\":\"Current\"}");
}

/* Preferred versions come first: the table's order within a group. */
static void aggregated_group(const struct served *v, struct buf *b, const char *group)
{
    bool any = false;
    if (*group)
        buf_printf(b, "{\"metadata\":{\"name\":\"%s\",\"creationTimestamp\":null},\"versions\":[",
                   group);
    else
        buf_append_cstr(b, "{\"metadata\":{\"creationTimestamp\":null},\"versions\":[");
    for (int pass = 0; pass < 2; pass++)
        for (size_t i = 0; i < v->versions_len; i++) {
            if (strcmp(v->versions[i].group, group) != 0 || v->versions[i].preferred != (pass == 0))
                continue;
            if (any)
                buf_append_char(b, ',');
            any = true;
            aggregated_version(v, b, &v->versions[i]);
        }
    buf_append_cstr(b, "]}");
}

static void write_aggregated(const struct served *v, bool core, bool v2beta1, struct buf *b)
{
    bool any = false;
    buf_printf(b,
               "{\"kind\":\"APIGroupDiscoveryList\",\"apiVersion\":\"apidiscovery.k8s.io/"
               "%s\",\"metadata\":{},\"items\":[",
               v2beta1 ? "v2beta1" : "v2");
    if (core) {
        aggregated_group(v, b, "");
    } else {
        for (size_t i = 0; i < v->versions_len; i++) {
            if (!first_of_group(v, i))
                continue;
            if (any)
                buf_append_char(b, ',');
            any = true;
            aggregated_group(v, b, v->versions[i].group);
        }
    }
    buf_append_cstr(b, "]}\n");
}

/* ---- documents and paths ---- */

typedef bool make_fn(const struct served *v, const void *arg, struct buf *out);

static struct document *make_document(struct discovery *d, struct str key, make_fn *make,
                                      const void *arg, const struct custom_set *customs)
{
    struct document *doc = NULL;
    struct arena a;
    struct served v;
    struct buf b;
    arena_init(&a);
    buf_init(&b);
    served_list(&a, customs, &v);
    if (make(&v, arg, &b)) {
        doc = mem_zalloc(sizeof *doc);
        doc->body = blob_from(b.data, b.len);
        unsigned char sum[SHA256_DIGEST_LENGTH];
        SHA256((const unsigned char *)b.data, b.len, sum);
        for (size_t i = 0; i < sizeof sum; i++)
            snprintf(doc->hash + 2 * i, 3, "%02X", sum[i]);
        if (d->documents.len >= DOCUMENTS_MAX)
            forget_documents(d);
        map_put(&d->documents, key, doc);
    }
    buf_free(&b);
    arena_free(&a);
    return doc;
}

/* The document under `key`, made on first use and when custom resources have changed: *out with a reference to
 * the body. False: there is none. */
static bool document(struct rest *rq, const char *key, make_fn *make, const void *arg,
                     struct document *out)
{
    struct discovery *d = rq->server->discovery;
    const struct custom_set *customs = custom_set_get(rq->server->custom);
    pthread_mutex_lock(&d->lock);
    if (d->generation != customs->generation) {
        forget_documents(d);
        d->generation = customs->generation;
    }
    struct document *doc = map_get(&d->documents, str_from(key));
    if (!doc)
        doc = make_document(d, str_from(key), make, arg, customs);
    if (doc) {
        *out = *doc;
        blob_ref(out->body);
    }
    pthread_mutex_unlock(&d->lock);
    custom_set_put(rq->server->custom, customs);
    return doc != NULL;
}

/* As YAML, or indented: made for this request. */
static void answer_rewritten(struct rest *rq, struct document *doc, enum media media)
{
    struct buf b;
    buf_init(&b);
    buf_append_str(&b, blob_str(doc->body));
    blob_unref(doc->body);
    rq->accept = (struct accept){.media = media};
    rest_json_or_wire(rq, 200, &b);
    buf_free(&b);
}

/* ETag and 304. */
static void answer(struct rest *rq, const char *key, make_fn *make, const void *arg,
                   const char *type)
{
    struct document doc;
    if (!document(rq, key, make, arg, &doc)) {
        rest_page_not_found(rq);
        return;
    }
    struct accept accept;
    negotiate_accept(http_header_get(rq->x, "accept"), true, &accept);
    if (!accept.known_type && str_trim(http_header_get(rq->x, "accept")).n) {
        blob_unref(doc.body);
        rest_status(rq, status_no_media(rq->a));
        return;
    }
    if (accept.media == MEDIA_YAML || (rq->pretty && cstr_eq(type, "application/json"))) {
        answer_rewritten(rq, &doc, accept.media == MEDIA_YAML ? MEDIA_YAML : MEDIA_JSON);
        return;
    }
    const char *etag = arena_printf(rq->a, "\"%s\"", doc.hash);
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
    } else {
        rq->code = 200;
        http_respond_blob(rq->x, 200, h, n, doc.body);
    }
    blob_unref(doc.body);
}

static bool make_groups(const struct served *v, const void *arg, struct buf *out)
{
    (void)arg;
    write_groups(v, out);
    return true;
}

static bool make_aggregated(const struct served *v, const void *arg, struct buf *out)
{
    const bool *flags = arg;
    write_aggregated(v, flags[0], flags[1], out);
    return true;
}

static bool make_core_versions(const struct served *v, const void *arg, struct buf *out)
{
    (void)v;
    const struct apiserver *s = arg;
    const char *address = s->config.advertise_address;
    buf_append_cstr(out, "{\"kind\":\"APIVersions\",\"versions\":[\"v1\"],"
                         "\"serverAddressByClientCIDRs\":[");
    if (address) {
        bool v6 = strchr(address, ':');
        buf_printf(out, "{\"clientCIDR\":\"0.0.0.0/0\",\"serverAddress\":\"%s%s%s:%d\"}",
                   v6 ? "[" : "", address, v6 ? "]" : "", apiserver_port(s));
    }
    buf_append_cstr(out, "]}\n");
    return true;
}

static void serve_roots(struct rest *rq, bool core)
{
    struct accept accept;
    if (!negotiate_accept(http_header_get(rq->x, "accept"), true, &accept))
        accept = (struct accept){0};
    if (accept.aggregated_v2 || accept.aggregated_v2beta1) {
        bool flags[2] = {core, accept.aggregated_v2beta1};
        const char *key = arena_printf(rq->a, "aggregated:%d:%d", flags[0], flags[1]);
        answer(rq, key, make_aggregated, flags,
               flags[1]
                   ? "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList"
                   : "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList");
        return;
    }
    answer(rq, core ? "/api" : "/apis", core ? make_core_versions : make_groups, rq->server,
           "application/json");
}

struct gv_name {
    const char *group, *version;
};

static bool make_resources(const struct served *v, const void *arg, struct buf *out)
{
    const struct gv_name *gv = arg;
    return write_resources(v, gv->group, gv->version, out);
}

static bool make_group(const struct served *v, const void *arg, struct buf *out)
{
    return write_group(v, arg, out);
}

bool discovery_serve(struct rest *rq)
{
    char *path = arena_strdup(rq->a, rq->info.path);
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        path[--n] = 0;
    if (strcmp(path, "/api") == 0 || strcmp(path, "/apis") == 0) {
        serve_roots(rq, path[4] == 0);
        return true;
    }
    struct gv_name gv = {"", ""};
    if (strncmp(path, "/api/", 5) == 0 && !strchr(path + 5, '/')) {
        gv.version = path + 5;
    } else if (strncmp(path, "/apis/", 6) == 0) {
        char *slash = strchr(path + 6, '/');
        if (!slash) {
            answer(rq, path, make_group, path + 6, "application/json");
            return true;
        }
        if (strchr(slash + 1, '/'))
            return false;
        gv.group = arena_strndup(rq->a, path + 6, (size_t)(slash - path - 6));
        gv.version = slash + 1;
    } else {
        return false;
    }
    answer(rq, path, make_resources, &gv, "application/json");
    return true;
}
