/*
 * OpenAPI: the paths of resources and of discovery, with the operations on them. Operation ids follow the
 * published scheme, because client libraries' method names are made of them:
 *
 *     verb  Group Version [Collection] [Namespaced] Kind [Subresource] [List] [ForAllNamespaces]
 *     list  Apps  V1                   Namespaced   Deployment
 */
#include "api/openapi/operations.h"
#include <ctype.h>
#include <stdio.h>

#define LIST_QUERY                                                                    \
    "allowWatchBookmarks continue fieldSelector labelSelector limit resourceVersion " \
    "resourceVersionMatch sendInitialEvents timeoutSeconds watch"
#define WRITE_QUERY "dryRun fieldManager fieldValidation"
#define DELETE_QUERY                                                                               \
    "dryRun gracePeriodSeconds ignoreStoreReadErrorWithClusterBreakingPotential orphanDependents " \
    "propagationPolicy"

/* ---- names ---- */

/* "rbac.authorization.k8s.io" → "RbacAuthorization"; "" → "Core". The first letter as told. */
static void group_text(const char *group, bool capital, char *out, size_t n)
{
    char text[256];
    size_t len = 0;
    snprintf(text, sizeof text, "%s", *group ? group : "core");
    char *suffix = strstr(text, ".k8s.io");
    if (suffix && suffix[7] == 0)
        *suffix = 0;
    for (const char *p = text; *p && len + 1 < n; p++) {
        if (*p == '.' || *p == '-') {
            capital = true;
            continue;
        }
        out[len++] = capital ? (char)toupper((unsigned char)*p) : *p;
        capital = false;
    }
    out[len] = 0;
}

struct ids {
    char gv[320];  /* "AppsV1" */
    char tag[320]; /* "apps_v1" */
};

static void ids_of(const char *group, const char *version, struct ids *out)
{
    char text[256];
    group_text(group, true, text, sizeof text);
    snprintf(out->gv, sizeof out->gv, "%s%c%s", text, toupper((unsigned char)version[0]),
             version + 1);
    group_text(group, false, text, sizeof text);
    snprintf(out->tag, sizeof out->tag, "%s_%s", text, version);
}

static void capitalised(const char *s, char *out, size_t n)
{
    snprintf(out, n, "%s", s);
    out[0] = (char)toupper((unsigned char)out[0]);
}

/* "/apis/apps/v1" */
static void base_path(const struct resource *r, char *out, size_t n)
{
    snprintf(out, n, *r->group ? "/apis/%s/%s" : "/api%s/%s", r->group, r->version);
}

/* ---- a path of a resource ---- */

struct place {
    struct openapi_writer *w;
    const struct openapi_target *t;
    const struct resource *r;
    struct ids ids;
    bool first; /* no operation yet */
};

static struct openapi_ref object_ref(const struct openapi_target *t)
{
    return (struct openapi_ref){t->message, t->name};
}

static struct openapi_ref list_ref(const struct openapi_target *t)
{
    return (struct openapi_ref){t->list_message, t->list_name};
}

static const struct openapi_ref status_ref = {Meta__V1__Status__SCHEMA, NULL};
static const struct openapi_ref event_ref = {Meta__V1__WatchEvent__SCHEMA, NULL};
static const struct openapi_ref string_ref = {SCHEMA_NONE, NULL};

/* Resources whose DELETE answers with the object that went. */
static bool returns_deleted(const struct resource *r)
{
    static const char *const core[] = {
        "persistentvolumeclaims", "persistentvolumes", "pods",    "podtemplates",
        "resourcequotas",         "serviceaccounts",   "services"};
    if (strcmp(r->group, "resource.k8s.io") == 0)
        return true;
    if (strcmp(r->group, "storage.k8s.io") == 0)
        return strcmp(r->plural, "csistoragecapacities") != 0;
    for (size_t i = 0; *r->group == 0 && i < sizeof core / sizeof *core; i++)
        if (strcmp(r->plural, core[i]) == 0)
            return true;
    return false;
}

static void operation(struct place *p, struct openapi_operation o, const char *verb,
                      const char *scope, const char *suffix)
{
    char id[1024], description[256];
    snprintf(id, sizeof id, "%s%s%s%s%s", verb, p->ids.gv, scope, p->r->kind, suffix);
    snprintf(description, sizeof description, "%s of kind %s", o.description, p->r->kind);
    o.id = id;
    o.description = description;
    o.tag = p->ids.tag;
    if (!o.kind) {
        o.group = p->r->group;
        o.version = p->r->version;
        o.kind = p->r->kind;
    }
    openapi_put_operation(p->w, &o, &p->first);
}

static void path_begin(struct place *p)
{
    p->first = true;
    openapi_piece_begin(p->w);
    put_text(p->w, "{");
}

static void path_end(struct place *p, const char *path, const char *parameters)
{
    put_text(p->w, p->first ? "" : ",");
    openapi_put_parameters(p->w, parameters);
    put_text(p->w, "}");
    openapi_piece_end(p->w, OPENAPI_PATHS, path);
}

static const char *scope_of(const struct place *p)
{
    return p->r->namespaced ? "Namespaced" : "";
}

static void collection(struct place *p, const char *path)
{
    uint32_t verbs = p->r->verbs;
    char collection_scope[32];
    const char *scope = scope_of(p);
    bool stored = verbs & VERB_GET, only_listed = stored && !(verbs & VERB_WATCH);
    if (!(verbs & (VERB_LIST | VERB_CREATE | VERB_DELETECOLLECTION)))
        return;
    path_begin(p);
    struct openapi_ref object = object_ref(p->t), list = list_ref(p->t);
    if (verbs & VERB_LIST)
        operation(p,
                  (struct openapi_operation){"get", "list", NULL, "list or watch objects", NULL,
                                             only_listed ? NULL : LIST_QUERY, "200", BODY_NONE,
                                             MEDIA_LISTS, object, list},
                  "list", scope, "");
    if (verbs & VERB_CREATE)
        operation(p,
                  (struct openapi_operation){"post", "post", NULL, "create an object", NULL,
                                             stored ? WRITE_QUERY : NULL, "200 201 202",
                                             BODY_OBJECT, MEDIA_OBJECTS, object, object},
                  "create", scope, "");
    snprintf(collection_scope, sizeof collection_scope, "Collection%s", scope);
    if (verbs & VERB_DELETECOLLECTION)
        operation(p,
                  (struct openapi_operation){
                      "delete", "deletecollection", NULL, "delete a collection of objects", NULL,
                      "continue dryRun fieldSelector gracePeriodSeconds "
                      "ignoreStoreReadErrorWithClusterBreakingPotential labelSelector limit "
                      "orphanDependents propagationPolicy resourceVersion resourceVersionMatch "
                      "sendInitialEvents timeoutSeconds",
                      "200", BODY_DELETE, MEDIA_OBJECTS, object, status_ref},
                  "delete", collection_scope, "");
    if (!stored) /* reviews and bindings: their parameters stand at the path */
        path_end(p, path,
                 p->r->namespaced ? WRITE_QUERY " namespace/path pretty" : WRITE_QUERY " pretty");
    else if (only_listed) /* component statuses */
        path_end(p, path, LIST_QUERY " pretty");
    else
        path_end(p, path, p->r->namespaced ? "namespace/path pretty" : "pretty");
}

static void everywhere(struct place *p, const char *path)
{
    if (!(p->r->verbs & VERB_LIST) || !p->r->namespaced)
        return;
    path_begin(p);
    operation(p,
              (struct openapi_operation){
                  "get", "list", NULL, "list or watch in all namespaces objects", NULL, NULL, "200",
                  BODY_NONE, MEDIA_LISTS, object_ref(p->t), list_ref(p->t)},
              "list", "", "ForAllNamespaces");
    path_end(p, path, LIST_QUERY " pretty");
}

/* GET, PUT and PATCH of an object or of a subresource. */
static void read_and_write(struct place *p, uint32_t verbs, struct openapi_operation about,
                           const char *suffix)
{
    const char *scope = scope_of(p);
    struct openapi_operation o = about;
    o.answer = about.object;
    o.media = MEDIA_OBJECTS;
    if (verbs & VERB_GET) {
        o.method = o.action = "get";
        o.description = "read an object";
        o.codes = "200";
        operation(p, o, "read", scope, suffix);
    }
    o.codes = "200 201";
    o.query = WRITE_QUERY;
    if (verbs & VERB_UPDATE) {
        o.method = o.action = "put";
        o.description = "replace an object";
        o.body = BODY_OBJECT;
        if (strcmp(suffix, "Finalize") == 0)
            o.query = NULL; /* they stand at the path */
        operation(p, o, "replace", scope, suffix);
        o.query = WRITE_QUERY;
    }
    if (verbs & VERB_PATCH) {
        o.method = o.action = "patch";
        o.description = "change a part of an object";
        o.query = "dryRun fieldManager fieldValidation force";
        o.body = BODY_PATCH;
        operation(p, o, "patch", scope, suffix);
    }
}

static void item(struct place *p, const char *path)
{
    if (!(p->r->verbs & (VERB_GET | VERB_UPDATE | VERB_PATCH | VERB_DELETE)))
        return;
    path_begin(p);
    struct openapi_ref object = object_ref(p->t);
    read_and_write(p, p->r->verbs, (struct openapi_operation){.object = object}, "");
    if (p->r->verbs & VERB_DELETE)
        operation(p,
                  (struct openapi_operation){"delete", "delete", NULL, "delete an object", NULL,
                                             DELETE_QUERY, "200 202", BODY_DELETE, MEDIA_OBJECTS,
                                             object, returns_deleted(p->r) ? object : status_ref},
                  "delete", scope_of(p), "");
    path_end(p, path, p->r->namespaced ? "name/path namespace/path pretty" : "name/path pretty");
}

/* ---- subresources ---- */

/* A connection, through which anything may be said. */
static void connect_operations(struct place *p, const struct subresource *s, const char *suffix)
{
    static const char *const methods[] = {"delete", "get",  "head", "options",
                                          "patch",  "post", "put"};
    bool proxy = s->verbs & VERB_DELETE;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        const char *m = methods[i];
        char scope[32];
        if (!proxy && strcmp(m, "get") != 0 && strcmp(m, "post") != 0)
            continue;
        capitalised(m, scope, sizeof scope);
        size_t n = strlen(scope);
        snprintf(scope + n, sizeof scope - n, "%s", scope_of(p));
        struct openapi_operation o = {
            m,          "connect",  NULL,       "connect to what is behind the object",
            NULL,       NULL,       "200",      BODY_NONE,
            MEDIA_ANY,  string_ref, string_ref, s->group,
            s->version, s->kind};
        operation(p, o, "connect", scope, suffix);
    }
}

static const struct {
    const char *name, *query;
} connections[] = {
    {"attach", "container stderr stdin stdout tty"},
    {"exec", "command container stderr stdin stdout tty"},
    {"portforward", "ports"},
    {"proxy", "path"},
};

/* True: it was a connection, and is written. */
static bool connection(struct place *p, const struct subresource *s, const char *path)
{
    char suffix[80], names[256], longer[640];
    const char *ns = p->r->namespaced ? " namespace/path" : "";
    for (size_t i = 0; i < sizeof connections / sizeof *connections; i++) {
        if (strcmp(s->name, connections[i].name) != 0 || !strstr(s->kind, "Options"))
            continue;
        capitalised(s->name, suffix, sizeof suffix);
        path_begin(p);
        connect_operations(p, s, suffix);
        snprintf(names, sizeof names, "name/path%s %s", ns, connections[i].query);
        path_end(p, path, names);
        if (strcmp(s->name, "proxy") != 0)
            return true;
        path_begin(p);
        connect_operations(p, s, "ProxyWithPath");
        snprintf(names, sizeof names, "name/path%s path/path path", ns);
        snprintf(longer, sizeof longer, "%s/{path}", path);
        path_end(p, longer, names);
        return true;
    }
    return false;
}

static void log_path(struct place *p, const char *path)
{
    path_begin(p);
    operation(p,
              (struct openapi_operation){"get", "get", NULL, "read the log of an object", NULL,
                                         NULL, "200", BODY_NONE, MEDIA_LOG, string_ref, string_ref},
              "read", scope_of(p), "Log");
    path_end(p, path,
             "container follow insecureSkipTLSVerifyBackend limitBytes name/path namespace/path "
             "pretty previous sinceSeconds stream tailLines timestamps");
}

/* The definition that a subresource speaks. */
static struct openapi_ref sub_ref(const struct place *p, const struct subresource *s)
{
    char api_version[192];
    if (strcmp(s->kind, p->r->kind) == 0 && strcmp(s->group, p->r->group) == 0)
        return object_ref(p->t);
    snprintf(api_version, sizeof api_version, "%s%s%s", s->group, *s->group ? "/" : "", s->version);
    int message = kind_message(str_from(api_version), str_from(s->kind));
    return message == SCHEMA_NONE ? object_ref(p->t) : (struct openapi_ref){message, NULL};
}

static void subresource(struct place *p, const struct subresource *s, const char *item_path)
{
    char path[512], suffix[80], names[256];
    snprintf(path, sizeof path, "%s/%s", item_path, s->name);
    if (connection(p, s, path))
        return;
    if (strcmp(s->name, "log") == 0) {
        log_path(p, path);
        return;
    }
    capitalised(s->name, suffix, sizeof suffix);
    struct openapi_operation o = {
        .object = sub_ref(p, s), .group = s->group, .version = s->version, .kind = s->kind};
    bool at_path = s->verbs == VERB_CREATE || s->verbs == VERB_UPDATE;
    path_begin(p);
    if (s->verbs & VERB_CREATE) {
        o.method = o.action = "post";
        o.description = "create a subresource of an object";
        o.codes = "200 201 202";
        o.body = BODY_OBJECT;
        o.answer = o.object;
        operation(p, o, "create", scope_of(p), suffix);
    }
    o.body = BODY_NONE;
    read_and_write(p, s->verbs, o, suffix);
    snprintf(names, sizeof names, "%sname/path%s pretty", at_path ? WRITE_QUERY " " : "",
             p->r->namespaced ? " namespace/path" : "");
    path_end(p, path, names);
}

/* ---- the old watch paths ---- */

static void watch(struct place *p, const char *path, const char *scope, const char *suffix,
                  const char *names)
{
    char all[512];
    bool one = strstr(names, "name/path") == names;
    path_begin(p);
    operation(p,
              (struct openapi_operation){
                  "get", one ? "watch" : "watchlist", NULL,
                  "deprecated, use the parameter watch of a list: watch objects", NULL, NULL, "200",
                  BODY_NONE, MEDIA_LISTS, object_ref(p->t), event_ref},
              "watch", scope, suffix);
    snprintf(all, sizeof all, "%s%s" LIST_QUERY " pretty", names, *names ? " " : "");
    path_end(p, path, all);
}

static void watches(struct place *p, const char *base)
{
    char path[512];
    const struct resource *r = p->r;
    if (!(r->verbs & VERB_WATCH) || p->t->message == SCHEMA_NONE)
        return;
    snprintf(path, sizeof path, "%s/watch/%s", base, r->plural);
    watch(p, path, "", r->namespaced ? "ListForAllNamespaces" : "List", "");
    if (r->namespaced) {
        snprintf(path, sizeof path, "%s/watch/namespaces/{namespace}/%s", base, r->plural);
        watch(p, path, "Namespaced", "List", "namespace/path");
    }
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, "/{name}");
    watch(p, path, scope_of(p), "", r->namespaced ? "name/path namespace/path" : "name/path");
}

void openapi_resource_paths(struct openapi_writer *w, const struct openapi_target *t)
{
    struct place p = {.w = w, .t = t, .r = t->r};
    char base[256], path[384];
    ids_of(t->r->group, t->r->version, &p.ids);
    base_path(t->r, base, sizeof base);
    if (t->r->namespaced) {
        snprintf(path, sizeof path, "%s/%s", base, t->r->plural);
        everywhere(&p, path);
    }
    snprintf(path, sizeof path, "%s%s/%s", base, t->r->namespaced ? "/namespaces/{namespace}" : "",
             t->r->plural);
    collection(&p, path);
    size_t n = strlen(path);
    snprintf(path + n, sizeof path - n, "/{name}");
    item(&p, path);
    for (const struct subresource *s = t->r->subresources; s && s->name; s++)
        subresource(&p, s, path);
    watches(&p, base);
}

/* ---- discovery ---- */

static void discovery_path(struct openapi_writer *w, const char *path, struct openapi_operation o)
{
    bool first = true;
    o.method = "get";
    o.codes = "200";
    openapi_piece_begin(w);
    put_text(w, "{");
    openapi_put_operation(w, &o, &first);
    put_text(w, "}");
    openapi_piece_end(w, OPENAPI_PATHS, path);
}

void openapi_version_path(struct openapi_writer *w, const char *group, const char *version)
{
    char path[256], id[400];
    struct ids ids;
    ids_of(group, version, &ids);
    snprintf(path, sizeof path, *group ? "/apis/%s/%s/" : "/api%s/%s/", group, version);
    snprintf(id, sizeof id, "get%sAPIResources", ids.gv);
    discovery_path(w, path,
                   (struct openapi_operation){.id = id,
                                              .tag = ids.tag,
                                              .description = "resources of the group's version",
                                              .media = MEDIA_DISCOVERY,
                                              .answer = {Meta__V1__APIResourceList__SCHEMA, NULL}});
}

void openapi_group_path(struct openapi_writer *w, const char *group)
{
    char path[256], id[320], tag[256], name[256];
    group_text(group, true, name, sizeof name);
    group_text(group, false, tag, sizeof tag);
    snprintf(path, sizeof path, "/apis/%s/", group);
    snprintf(id, sizeof id, "get%sAPIGroup", name);
    discovery_path(w, path,
                   (struct openapi_operation){.id = id,
                                              .tag = tag,
                                              .description = "versions of the group",
                                              .media = MEDIA_DISCOVERY,
                                              .answer = {Meta__V1__APIGroup__SCHEMA, NULL}});
}

const char *const openapi_root_paths[] = {
    ".well-known/openid-configuration", "api", "apis", "openid/v1/jwks", "version", NULL};

bool openapi_root_path(struct openapi_writer *w, const char *path)
{
    static const struct {
        const char *path, *id, *tag, *description;
        enum openapi_media media;
        struct openapi_ref answer;
    } rows[] = {
        {".well-known/openid-configuration",
         "getServiceAccountIssuerOpenIDConfiguration",
         "WellKnown",
         "how service account tokens are checked",
         MEDIA_JSON_ONLY,
         {SCHEMA_NONE, NULL}},
        {"api",
         "getCoreAPIVersions",
         "core",
         "versions of the core group",
         MEDIA_DISCOVERY,
         {Meta__V1__APIVersions__SCHEMA, NULL}},
        {"apis",
         "getAPIVersions",
         "apis",
         "groups and their versions",
         MEDIA_DISCOVERY,
         {Meta__V1__APIGroupList__SCHEMA, NULL}},
        {"openid/v1/jwks",
         "getServiceAccountIssuerOpenIDKeyset",
         "openid",
         "public keys of service account tokens",
         MEDIA_KEYS,
         {SCHEMA_NONE, NULL}},
        {"version",
         "getCodeVersion",
         "version",
         "version of this server",
         MEDIA_JSON_ONLY,
         {SCHEMA_NONE, "io.k8s.apimachinery.pkg.version.Info"}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char whole[128];
        if (strcmp(path, rows[i].path) != 0)
            continue;
        if (rows[i].answer.name)
            w->wanted_extra[EXTRA_VERSION_INFO] = true;
        snprintf(whole, sizeof whole, "/%s/", path);
        discovery_path(w, whole,
                       (struct openapi_operation){.id = rows[i].id,
                                                  .tag = rows[i].tag,
                                                  .description = rows[i].description,
                                                  .media = rows[i].media,
                                                  .object = {SCHEMA_NONE, NULL},
                                                  .answer = rows[i].answer});
        return true;
    }
    return false;
}
