/*
 * Kinds: every built-in resource with its names, scope, verbs, storage place and table columns. (Custom
 * resources have the same struct but come and go: api/custom/custom.h.)
 *
 * Generated from the options on the messages in proto/ (c8s.resource, c8s.subresource, c8s.column).
 * All tables are constant and may be used from any thread.
 */
#ifndef C8S_API_KINDS_H
#define C8S_API_KINDS_H

#include "api/schema.h"

enum verb {
    VERB_CREATE = 1,
    VERB_DELETE = 2,
    VERB_DELETECOLLECTION = 4,
    VERB_GET = 8,
    VERB_LIST = 16,
    VERB_PATCH = 32,
    VERB_UPDATE = 64,
    VERB_WATCH = 128,
};

/* A column of `kubectl get` (Table columnDefinitions). */
struct column {
    const char *name;
    const char *type;   /* string, integer, boolean, date */
    const char *format; /* "" or "name" */
    const char *description;
    int priority; /* 1: only with -o wide */
};

/* A path below a resource: `pods/status`, `deployments/scale`. */
struct subresource {
    const char *name;  /* "status" */
    const char *group; /* of the kind that it speaks; "" for core */
    const char *version;
    const char *kind;
    uint32_t verbs;
};

struct custom_version;

struct resource {
    const char *group;       /* API group, "" for core, "rbac.authorization.k8s.io" */
    const char *version;     /* "v1" */
    const char *api_version; /* "v1", "apps/v1" */
    const char *kind;
    const char *list_kind; /* "" when it cannot be listed */
    const char *plural;    /* "pods": the name in paths */
    const char *singular;
    const char *const *short_names; /* NULL-terminated */
    const char *const *categories;  /* NULL-terminated */
    const char *storage_prefix; /* "/registry/pods", upstream's; "" for kinds that are not stored */
    const struct subresource *subresources; /* name NULL ends */
    const struct column *columns; /* name NULL ends; never empty (name and age at least) */
    uint32_t verbs;               /* enum verb */
    uint16_t message;             /* schema id of the kind */
    uint16_t list_message;        /* schema id of its list; SCHEMA_NONE when list_kind is "" */
    uint16_t stored_as; /* schema id of the version that is stored (events.k8s.io/v1 events are
                           stored as core/v1); equal to `message` for all others */
    bool namespaced;
    /* NULL for built-in resources. Custom ones (api/custom/custom.h) have `message` and `stored_as` of
     * custom.v1.Object and the schema_message of their own that resource_message gives. */
    const struct custom_version *custom;
};

/* The schema of a resource's objects; schema_get(r->message) is right for built-in ones only. */
const struct schema_message *resource_message(const struct resource *r);

/* All built-in resources, in discovery order: groups by priority, then by plural name. */
extern const struct resource resources[];
extern const size_t resources_len;

/* A group-version in discovery order. */
struct group_version {
    const char *group;
    const char *version;
    const char *api_version;
    bool preferred; /* the group's preferred version */
};
extern const struct group_version group_versions[];
extern const size_t group_versions_len;

/* Top-level messages by apiVersion and kind (resources, lists, options, Status, …). */
struct kind_name {
    const char *api_version;
    const char *kind;
    uint16_t message;
    bool any_version; /* a meta kind: clients send it with any apiVersion */
};
extern const struct kind_name kind_names[];
extern const size_t kind_names_len;

/* NULL when there is none. `group` "" is core. */
const struct resource *resource_find(struct str group, struct str version, struct str plural);
/* By apiVersion ("apps/v1") and kind. List kinds give the resource of their items, with *is_list
 * true (is_list may be NULL, then only item kinds match). */
const struct resource *resource_find_kind(struct str api_version, struct str kind, bool *is_list);
/* By any name a person types: plural, singular, short name, Kind, `deployments.apps`,
 * `deployments.v1.apps`; in any case. */
const struct resource *resource_find_name(struct str name);
/* The resource whose kind is this message. */
const struct resource *resource_of_message(int schema_id);
const struct subresource *resource_subresource(const struct resource *r, struct str name);
/* "Pod" → schema id of any top-level message by apiVersion and kind, lists, Status, DeleteOptions,
 * Scale, Binding, … included; meta kinds (DeleteOptions, Status, …) are accepted with every
 * apiVersion, as clients send them. SCHEMA_NONE when unknown. */
int kind_message(struct str api_version, struct str kind);
/* The apiVersion and kind of a top-level message ("apps/v1", "Deployment"); "" for others. Meta
 * kinds answer "v1" (Status, List, …) or "meta.k8s.io/v1" (Table, PartialObjectMetadata). */
const char *message_api_version(const struct schema_message *m);
const char *message_kind(const struct schema_message *m);

const char *verb_name(enum verb v);
/* Split "group/version" (or "version") in two. */
void api_version_split(struct str api_version, struct str *group, struct str *version);

#endif
