/*
 * Custom kinds: what a CustomResourceDefinition adds to the tables of api/kinds.h at run time.
 *
 * A custom_type is one CRD as of one moment: immutable and counted, so that whoever uses one of its
 * resources keeps it alive (resource_ref). Its objects are structs of the message custom.v1.Object:
 *
 *     ObjectMeta  metadata
 *     bytes       body       everything else but apiVersion and kind, as canonical JSON
 *
 * but with a schema_message of their own per version (custom_version.message), so that schema_of leads
 * to the kind and the codecs, object_meta, patches, selectors and handlers treat them like all others.
 * Decoding from JSON prunes and defaults by the structural schema; in the store they are JSON. There
 * is no protobuf form of them (PartialObjectMetadata apart).
 */
#ifndef C8S_API_CUSTOM_CUSTOM_H
#define C8S_API_CUSTOM_CUSTOM_H

#include "api/kinds.h"
#include "api/object.h"
#include "api/structural/structural.h"
#include "proto/custom_v1.pb-c.h"
#include <stdatomic.h>

#define CUSTOM_VERSIONS_MAX 64

/* Where a scale subresource looks: paths without the leading dot; "" when there is none. */
struct custom_scale {
    bool enabled;
    const char *spec_replicas, *status_replicas, *label_selector;
};

struct custom_version {
    struct schema_message message; /* what schema_of gives for objects of this version */
    struct resource resource;      /* resource.custom leads back here */
    const struct custom_type *type;
    const struct structural *schema; /* NULL: unknown, everything is kept */
    const Apiextensions__V1__CustomResourceDefinitionVersion *spec; /* without its schema */
    struct str schema_json; /* the schema as the CRD has it, for OpenAPI; empty when absent */
    bool keep_unknown;      /* nothing is pruned: spec.preserveUnknownFields, or no schema */
    bool served;
    bool has_status; /* the status subresource */
    struct custom_scale scale;
    const char *warning;             /* for users of a deprecated version; NULL: it is not */
    const char *const *selectable;   /* paths without the leading dot; NULL-terminated */
    const char *const *column_paths; /* JSONPath per column after the name; NULL-terminated */
};

struct custom_type {
    atomic_uint refs;
    atomic_bool retired; /* another definition has taken its place, or none */
    struct arena arena;
    /* Without the schemas of its versions: as structs they take eight times the room of their JSON. */
    const Apiextensions__V1__CustomResourceDefinition *crd;
    uint64_t spec_hash;              /* of the whole spec, schemas included; of this process */
    const char *not_structural;      /* crd_structure_problem */
    const char *name, *uid, *group;  /* name: "crontabs.stable.example.com" */
    int64_t create_rev, mod_rev;     /* of the CRD in the store */
    bool accepted;                   /* names accepted or established: served */
    bool established;                /* listed by discovery */
    bool terminating;                /* no new objects */
    struct custom_version *versions; /* in order of preference: v1, v1beta1, …, foo1 */
    size_t versions_len;
    const struct custom_version *stored; /* the storage version */
};

/*
 * Make a type from a stored CRD (decoded; what is kept is copied). One reference. NULL with *err when the
 * definition cannot be served.
 */
struct custom_type *custom_type_new(const Apiextensions__V1__CustomResourceDefinition *crd,
                                    int64_t create_rev, int64_t mod_rev, struct error *err);
struct custom_type *custom_type_ref(const struct custom_type *t);
void custom_type_unref(const struct custom_type *t);
/* NULL when there is none of that name. */
const struct custom_version *custom_type_version(const struct custom_type *t, struct str version);

/* The order in which versions are preferred: v2, v1, v1beta1, v1alpha1, others by name. As strcmp. */
int custom_version_order(const char *a, const char *b);

/* The kind behind a message; NULL for all that are built in. */
static inline const struct custom_version *custom_of_message(const struct schema_message *m)
{
    if (m->special != SCHEMA_CUSTOM || m == schema_get(m->id))
        return NULL;
    return (const struct custom_version *)(const void *)((const char *)m -
                                                         offsetof(struct custom_version, message));
}

/* Keep a resource for later use; does nothing to built-in ones. NULL is fine. */
const struct resource *resource_ref(const struct resource *r);
void resource_unref(const struct resource *r);

/* The verbs that discovery lists: fewer while a definition is on its way out. */
uint32_t resource_listed_verbs(const struct resource *r);

/* ---- objects ---- */

typedef Custom__V1__Object CustomObject;

/* The body as a tree in the document ({} when there is none). */
yyjson_mut_val *custom_body(struct arena *a, yyjson_mut_doc *doc, const CustomObject *o);
void custom_set_body(struct arena *a, CustomObject *o, yyjson_mut_val *body);
/* The whole object as a tree, apiVersion, kind and metadata included. */
yyjson_mut_val *custom_tree(struct arena *a, yyjson_mut_doc *doc, const CustomObject *o);
/* Take member `name` of the body from another object (or drop it: from NULL, or absent there). */
void custom_share(struct arena *a, CustomObject *to, const CustomObject *from, const char *name);
/* The same object as another version of its type: only apiVersion changes, and what the schema of that
 * version does not know goes (conversion None; webhooks will stand here). */
int custom_convert(struct arena *a, const CustomObject *o, const struct custom_version *to,
                   CustomObject **out, struct error *err);

/* A value by a plain path ("spec.replicas", "status.a\.b"); NULL when absent. */
yyjson_mut_val *custom_path_get(yyjson_mut_val *root, const char *path);
/* Set it, making objects on the way. */
void custom_path_set(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *path,
                     yyjson_mut_val *value);

/* ---- definitions ---- */

/* Defaults of a CustomResourceDefinition; called by defaults_apply. */
void crd_defaults(struct arena *a, Apiextensions__V1__CustomResourceDefinition *crd);

/* Definitions of the community's groups point to where they were approved. */
enum crd_approval {
    CRD_UNPROTECTED, /* another group */
    CRD_APPROVAL_MISSING,
    CRD_APPROVAL_BYPASSED, /* "unapproved…" */
    CRD_APPROVAL_GIVEN,
    CRD_APPROVAL_INVALID,
};
#define CRD_APPROVED "api-approved.kubernetes.io"
/* `reason`: what is to be said of it. */
enum crd_approval crd_approval_of(struct arena *a,
                                  const Apiextensions__V1__CustomResourceDefinition *crd,
                                  const char **reason);

/* What its schemas have that is not structural (definitions of before v1 were let in with such, and stay); NULL:
 * nothing. */
const char *crd_structure_problem(struct arena *a,
                                  const Apiextensions__V1__CustomResourceDefinition *crd);

#endif
