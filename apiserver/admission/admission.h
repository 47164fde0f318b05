/*
 * Admission: what may be changed or refused about a write once its author is known to be allowed it.
 *
 *     decoded, defaulted object ──▶ mutate phase ──▶ strategy, validation ──▶ validate phase ──▶ store
 *                                   plugin after plugin                      plugin after plugin
 *
 * The plugins stand in one table (table.c) in kube-apiserver's published order. A plugin is a file
 * here (or shares one with its family) and fills one `struct admission_plugin`; webhooks and
 * policies join the same table. --enable-admission-plugins and --disable-admission-plugins switch
 * them by name; switched off, a plugin is not called at all.
 *
 * A plugin sees a `struct admission`: who does what to which object. It runs inside the write's
 * change function (write.h): synchronously on the worker's thread, and again when the transaction
 * lost a race, so it must not keep state between calls. To decide it may look at the worker's object
 * cache (admission_load, admission_first): memory, a few microseconds; and it may pin what it saw
 * with write_extra_unchanged. A refusal from data that was only cached is confirmed by write.c: the
 * attempt is repeated after a linearizable barrier, with `confirmed` set and the store asked.
 *
 * What look-ups return belongs to the cache and is valid until the hook returns to the loop: strings
 * that go into the object are copied.
 */
#ifndef C8S_APISERVER_ADMISSION_H
#define C8S_APISERVER_ADMISSION_H

#include "apiserver/object_cache.h"
#include "apiserver/write.h"

enum admission_operation { ADMIT_CREATE = 1, ADMIT_UPDATE = 2, ADMIT_DELETE = 4 };

struct admission {
    struct rest *rq;
    const struct user *user;
    struct write *w; /* NULL where nothing is written (tokens) */
    enum admission_operation op;
    const struct resource *r; /* of the object; for subresources of what they belong to */
    const char *sub;          /* "" or "status", "binding", "token", … */
    const char *ns, *name;
    void *object;    /* to be written, or the subresource's own kind; NULL for deletions */
    const void *old; /* NULL for creations */
    bool dry_run, confirmed;
    struct arena *a;
};

struct admission_plugin {
    const char *name;
    bool off; /* not among the default ones */
    /* NULL: has no such phase. A status refuses. */
    struct status *(*mutate)(struct admission *ad);
    struct status *(*validate)(struct admission *ad);
};

#define ADMISSION_PLUGINS_MAX 64

/* ---- the chain ---- */

/* `sub` NULL: the object itself. */
void admission_of_write(struct admission *ad, struct write *w, enum admission_operation op,
                        void *object, const void *old, const struct subresource *sub);
struct status *admission_mutate(struct admission *ad);
struct status *admission_validate(struct admission *ad);

/* ---- which plugins ---- */

/* The plugins that are off by default, as the mask of apiserver_config.admission_off. */
uint64_t admission_default_off(void);
/* Set or clear a plugin's bit; false: there is no such plugin. */
bool admission_switch(uint64_t *off, const char *name, bool on);
/* Is a plugin of this name on? */
bool admission_is_on(uint64_t off, const char *name);
/* All names, comma-separated, in order; for messages. */
const char *admission_names(struct arena *a);

/* --admission-control-config-file into *c; strings live in the arena. (config_read.c) */
int admission_config_read(const char *path, struct apiserver_config *c, struct arena *a,
                          struct error *err);

/* ---- for plugins ---- */

static inline bool admission_is(const struct admission *ad, int message, const char *sub)
{
    return ad->r->stored_as == message && strcmp(ad->sub, sub) == 0;
}

/* `pods "x" is forbidden: …` */
struct status *admission_forbidden(const struct admission *ad, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* One object of a cached kind: 1 found, 0 absent, negative with *err. *mod_rev may be NULL. */
int admission_load(struct admission *ad, enum cached_kind kind, const char *ns, const char *name,
                   void **out, int64_t *mod_rev, struct error *err);
/* All objects of a cached kind in a namespace ("" for cluster-scoped ones), in the arena. */
int admission_list(struct admission *ad, enum cached_kind kind, const char *ns, void ***out,
                   size_t *len, struct error *err);
/* Of a class that is the default by annotation (storage, ingress), the newest; NULL: none. */
int admission_default_class(struct admission *ad, enum cached_kind kind, const char *annotation,
                            const char **name, struct error *err);

/* ---- the table (table.c) ---- */

extern const struct admission_plugin *const admission_plugins[];
extern const size_t admission_plugins_len;

extern const struct admission_plugin admission_namespace_lifecycle; /* lifecycle.c */
extern const struct admission_plugin admission_limit_ranger;        /* limit_ranger.c */
extern const struct admission_plugin admission_service_account;     /* service_account.c */
extern const struct admission_plugin admission_node_restriction;    /* node_restriction.c */
extern const struct admission_plugin admission_taint_nodes, admission_tolerations; /* taints.c */
extern const struct admission_plugin admission_pod_security; /* pod_security.c */
extern const struct admission_plugin admission_priority;     /* priority.c */
extern const struct admission_plugin admission_storage_class, admission_storage_in_use,
    admission_claim_resize;                                      /* storage.c */
extern const struct admission_plugin admission_owner_references; /* owner_references.c */
extern const struct admission_plugin admission_runtime_class;    /* runtime_class.c */
extern const struct admission_plugin admission_certificate_approval, admission_certificate_signing,
    admission_certificate_subject; /* certificates.c */
extern const struct admission_plugin admission_ingress_class,
    admission_pod_topology; /* network.c */
extern const struct admission_plugin
    admission_quota; /* quota.c: in every write's own transaction */

#endif
