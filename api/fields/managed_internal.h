/*
 * Shared by managed_fields.c and apply.c: the entries of managedFields in a form to work on.
 */
#ifndef C8S_API_FIELDS_MANAGED_INTERNAL_H
#define C8S_API_FIELDS_MANAGED_INTERNAL_H

#include "api/fields/managed_fields.h"

struct owner {
    const char *manager, *api_version, *subresource;
    bool applied; /* operation Apply */
    bool parsed;  /* `set` is what `raw` says, or newer */
    bool changed; /* `raw` is out of date */
    Meta__V1__Time *time;
    Meta__V1__FieldsV1 *raw;
    struct field_set *set; /* NULL: none */
};

struct owners {
    struct arena *a;
    struct owner *all;
    size_t len, cap;
};

/* ERR_INVALID when an entry makes no sense. */
int owners_read(struct owners *o, struct arena *a, const Meta__V1__ObjectMeta *meta,
                struct error *err);
/* Entries without fields are left out. */
void owners_write(struct owners *o, Meta__V1__ObjectMeta *meta);
struct field_set *owner_set(struct owners *o, struct owner *owner);
void owner_set_put(struct owner *owner, struct field_set *set);
/* By identity; NULL when there is none. Appliers are the same whatever the version. */
struct owner *owners_find(struct owners *o, const char *manager, bool applied,
                          const char *api_version, const char *subresource);
struct owner *owners_add(struct owners *o, const char *manager, bool applied,
                         const char *api_version, const char *subresource);
/* What is never owned: the identity of the object. */
struct field_set *strip_identity(struct arena *a, const struct field_set *set);
/* What the writer of a new object owns: all that is in it, but for its identity. */
struct field_set *object_new_fields(struct arena *a, const void *now);
/* Unite the oldest updaters while there are more than MANAGED_UPDATERS_MAX. */
void owners_cap(struct owners *o);
/* Record the difference as an update by `name`. */
void owners_update(struct owners *o, const struct field_manager *who, const void *old,
                   const void *now);
/*
 * Sets that were made when a type merged otherwise are brought up to the schema, before a write is compared with them:
 * who owns parts of what is one value now owns that. (Who owned a whole that has parts now owns none of them, as
 * published since structured-merge-diff 4.1.1.)
 */
void owners_reconcile(struct owners *o, const void *live);
/* An object as JSON without its managed fields. */
yyjson_mut_val *object_tree(struct typed_space *s, const void *object);
/* An object as another version of its kind sees it; NULL: there is none of that name. */
const void *object_at_version(struct arena *a, const void *object, const char *api_version);

#endif
