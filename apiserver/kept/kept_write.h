/*
 * Writing the objects that the server keeps. Every write compares what was read, so that members may do the same at
 * the same time. Blocking: on the keeper's thread.
 */
#ifndef C8S_APISERVER_KEPT_KEPT_WRITE_H
#define C8S_APISERVER_KEPT_KEPT_WRITE_H

#include "apiserver/server.h"

/* The key of an object of any kind, by its metadata. */
struct str kept_key(struct arena *a, const void *object);
bool kept_exists(struct apiserver *s, struct arena *a, struct str key);
/* Read and decode: 1, 0 when absent, or the error. */
int kept_load(struct apiserver *s, struct arena *a, struct str key, void **object, int64_t *mod_rev,
              struct error *err);
/* Decode every object of a kind, and do something with it; the first error ends that. */
int kept_each(struct apiserver *s, struct arena *a, int message,
              int (*fn)(struct apiserver *s, struct arena *a, const struct kv_pair *pair,
                        void *object, void *ctx, struct error *err),
              void *ctx, struct error *err);
/* Give it an uid and a creation time. */
void kept_stamp(struct arena *a, void *object);
struct str kept_encode(struct arena *a, const void *object);

/*
 * Between the two, writes are not waited for one by one: a server that is new writes some 180 objects, which share
 * flushes so. Conflicts (another member was first) are no failures then. kept_gather_end waits for all and returns the
 * first error.
 */
void kept_gather_begin(struct apiserver *s);
int kept_gather_end(struct apiserver *s, struct error *err);

/* 0 for a conflict: somebody else wrote the same, or the next time will see what he wrote. */
static inline int kept_unless_conflict(int rc)
{
    return rc == ERR_CONFLICT ? 0 : rc;
}

/* Create it, with defaults, unless it is there: 0 also then. */
int kept_create(struct apiserver *s, struct arena *a, void *object, struct error *err);
/* Put values in one transaction, each only if its key is absent; all or none. ERR_EXISTS: one was there. At most 4. */
int kept_put_absent(struct apiserver *s, const struct str *keys, const struct str *values, size_t n,
                    struct error *err);
/* Create it, or make all but the metadata of what is stored like it. ERR_CONFLICT: somebody else wrote it. */
int kept_converge(struct apiserver *s, struct arena *a, void *object, struct error *err);
/* Create it, or make the spec of what is stored like its own; metadata and status stay. ERR_CONFLICT as above. */
int kept_converge_spec(struct apiserver *s, struct arena *a, void *object, struct error *err);

/* On the condition that the key still has that modification revision; else ERR_CONFLICT. */
int kept_replace(struct apiserver *s, struct arena *a, struct str key, int64_t mod_rev,
                 const void *object, struct error *err);
/* The same; unless other.p is NULL, that key must have its revision too (0: be absent). */
int kept_remove_with(struct apiserver *s, struct str key, int64_t mod_rev, struct str other,
                     int64_t other_rev, struct error *err);
/* Create a key on the condition that another one has a revision. ERR_CONFLICT. */
int kept_create_with(struct apiserver *s, struct str key, struct str value, struct str other,
                     int64_t other_rev, struct error *err);

#endif
