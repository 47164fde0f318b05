/*
 * Strategies: what is special about a resource when its objects change. A row per resource that has
 * something special; all others take the generic way (rest/write do the rest).
 *
 * Hooks work on decoded structs in the request's arena and report errors as a Status. They may read
 * the store (local reads) and add compares and operations to the write's transaction; they run again
 * when the transaction lost a race.
 */
#ifndef C8S_APISERVER_STRATEGY_STRATEGY_H
#define C8S_APISERVER_STRATEGY_STRATEGY_H

#include "apiserver/write.h"

enum strategy_flag {
    STRATEGY_GENERATION = 1,       /* metadata.generation counts changes of spec */
    STRATEGY_KEEP_STATUS = 2,      /* status may be set on create (nodes) */
    STRATEGY_CREATE_ON_UPDATE = 4, /* PUT of an absent object creates it */
    STRATEGY_NEEDS_VERSION = 8,    /* PUT must name the resourceVersion */
    STRATEGY_RETURN_DELETED = 16,  /* DELETE answers with the object, not with a Status */
    STRATEGY_ANNOTATIONS_COUNT =
        32,                     /* changed annotations count for generation too (deployments) */
    STRATEGY_LABELS_COUNT = 64, /* changed labels count too (endpoint slices) */
    STRATEGY_STATUS_KEEPS_META = 128, /* a status update changes nothing of the metadata */
    STRATEGY_OWNS_NOTHING =
        512,                /* deletion does not wait for dependents, whatever it says (events) */
    STRATEGY_ORPHANS = 256, /* what it owns stays unless the deletion says otherwise (jobs) */
};

struct strategy {
    int message; /* schema id of the stored kind */
    unsigned flags;
    /* Reset what clients may not choose; before defaults. */
    void (*prepare_create)(struct write *w, void *obj);
    /* Add to a new object what the server chooses, after defaults: its managed fields have no owner. */
    void (*complete_create)(struct write *w, void *obj);
    void (*prepare_update)(struct write *w, void *obj, const void *old);
    /* When an object is first deleted: finalizers, status. */
    void (*prepare_delete)(struct write *w, void *obj);
    /* Status updates keep spec; what else is kept or taken. Metadata is the new one's (what clients may
     * change of it), as published. */
    void (*prepare_status)(struct write *w, void *obj, const void *old);
    /* Other subresources; false: as a status update. */
    bool (*prepare_sub)(struct write *w, const char *sub, void *obj, const void *old);
    /* Admission after defaults, before validation: changes the object, or refuses. */
    struct status *(*admit)(struct write *w, void *obj, const void *old);
    /* After validation: claim what must be unique. obj NULL: the object is being removed. */
    struct status *(*claim)(struct write *w, void *obj, const void *old);
    /* The grace period of a deletion in seconds; 0: at once. */
    int64_t (*grace)(const void *old, const struct delete_options *o);
};

/* 409 in the words of bindings, scales and namespaces when the object is another one (uid) or another version; NULL of both:
 * whichever. */
struct status *strategy_precondition(struct arena *a, const struct status_about *about,
                                     const char *uid, const char *resource_version,
                                     const Meta__V1__ObjectMeta *meta);
/* The refusal of an update that names another uid than the object has ("": there is none). */
struct status *strategy_wrong_uid(const struct write *w, const char *wanted, const char *found);

/* Never NULL: the generic one for resources without a row. */
const struct strategy *strategy_of(const struct resource *r);

/* Rows, by file. */
extern const struct strategy strategy_certificate_request; /* certificates.c */
extern const struct strategy strategy_resource_claim;      /* devices.c */
extern const struct strategy strategy_resource_claim_template;
extern const struct strategy strategy_pod;  /* pod.c */
extern const struct strategy strategy_node; /* core.c */
extern const struct strategy strategy_namespace, strategy_limit_range;
extern const struct strategy strategy_secret, strategy_service_account, strategy_event;
extern const struct strategy strategy_service;      /* service.c */
extern const struct strategy strategy_service_cidr; /* network.c */
extern const struct strategy strategy_job;          /* batch.c */
extern const struct strategy strategy_role, strategy_cluster_role, strategy_role_binding,
    strategy_cluster_role_binding; /* rbac.c */

extern const struct strategy strategy_custom, strategy_crd; /* custom/strategy.c */
/* A change of the pod of that name, answered with a Status; and one of its conditions. apiserver/rest/pod.c */
struct write *pod_write_new(struct rest *rq, const char *name,
                            struct status *(*change)(struct write *w), void *ctx);
void pod_write_done(struct write *w, struct status *s);
void pod_set_condition(struct arena *a, void *pod, const char *type, const char *status,
                       const char *reason, const char *message);

/* A secret of type kubernetes.io/service-account-token gets its token (legacy_token.c). */
struct status *legacy_token_fill(struct write *w, void *secret);

#endif
