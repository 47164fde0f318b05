/*
 * What a request is about: the verb and resource that authorization, admission, audit and routing
 * speak of, taken from method, path and query exactly as kube-apiserver takes them.
 *
 *   GET  /api/v1/namespaces/ns/pods/web/log   get,  group "", version v1, resource pods,
 *                                             subresource log, namespace ns, name web
 *   GET  /apis/apps/v1/deployments?watch=1    watch, group apps, resource deployments
 *   POST /healthz                             not a resource; verb "post"
 */
#ifndef C8S_APISERVER_REQUEST_H
#define C8S_APISERVER_REQUEST_H

#include "api/kinds.h"
#include "base/arena.h"
#include "base/str.h"

/* All slices are NUL-terminated strings in the arena, "" where absent (never NULL). */
struct request_info {
    bool is_resource;     /* under /api/<v>/… or /apis/<g>/<v>/… */
    enum verb verb;       /* 0 for non-resource requests and unknown methods */
    const char *verb_str; /* "get", "list", …; for non-resource requests the method in lower case */
    const char *path;     /* decoded, without the query */
    const char *group, *version, *resource, *subresource, *ns, *name;
    const char *rest; /* what follows the subresource (proxy paths), without a leading slash */
    struct str query; /* undecoded */
    bool gaps;        /* the path has empty segments before its end: no resource is there */
};

/* About nothing yet. */
#define REQUEST_INFO_NONE                                                                          \
    {                                                                                              \
        .verb_str = "", .path = "", .group = "", .version = "", .resource = "", .subresource = "", \
        .ns = "", .name = "", .rest = ""                                                           \
    }

/*
 * Fill *out. Returns 0, or ERR_INVALID when the path or query has a bad percent escape or a NUL byte.
 */
struct error;
int request_info_parse(struct arena *a, struct str method, struct str path, struct str query,
                       struct request_info *out, struct error *err);

/* pods/exec, attach or portforward: a connection, for which the verb is "create" also by GET. */
bool request_is_connect(const struct request_info *r);

/* Watches, logs, and what is passed on to nodes, pods and services: no limit of time or number is theirs. */
bool request_is_long_running(const struct request_info *r);

/* The decoded value of the first `key` in a query string; NULL when absent, "" for "key" and "key=". */
const char *query_get(struct arena *a, struct str query, const char *key);
/* The values of all of them, at most `max`; how many. */
size_t query_get_all(struct arena *a, struct str query, const char *key, const char **out,
                     size_t max);
/* As Go's ParseBool plus presence: absent, "0", "false" (any case) give false. */
bool query_bool(struct arena *a, struct str query, const char *key);
/* 0 absent, 1 found, -1 not a number. */
int query_i64(struct arena *a, struct str query, const char *key, int64_t *out);

#endif
