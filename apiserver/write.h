/*
 * Writes: every change of a stored object is a read, a pure change and a compare-and-swap, repeated on
 * conflict.
 *
 *     read (local) ──▶ change(w): obj / remove / unchanged ──▶ txn: if mod_rev is as read, put or delete
 *        ▲                    │ error                                  │ somebody was first
 *        └── once linearizable, before an error is believed ◀──────────┘
 *
 * A create does not read at all before its transaction has failed once: the compare says whether the name is free,
 * and whatever is wrong with the object is said before, as published.
 *
 * The local read may lag behind the other members; that costs a retry, never a wrong result: success
 * is decided by the compare in the log, and an error that comes from what was read is only reported
 * after a linearizable read has confirmed it.
 */
#ifndef C8S_APISERVER_WRITE_H
#define C8S_APISERVER_WRITE_H

#include "apiserver/rest/rest.h"

#define WRITE_EXTRAS_MAX 1000 /* compares, and operations, besides the object's own */
static_assert(WRITE_EXTRAS_MAX < KV_OWN_OPS_MAX, "one transaction holds them and the object's own");

#define WRITE_ATTEMPTS_MAX 40
#define WRITE_QUOTA_ATTEMPTS_MAX 200
#define WRITE_WAITS_MAX 10
#define WRITE_WAIT_MS 150

struct write {
    /* Set by the caller. */
    struct rest *rq;
    const struct resource *r;
    const char *ns, *name;
    /*
     * Compute the change from w->old (NULL: absent). Sets w->obj (to be stored), w->remove or
     * w->unchanged; returns NULL, or the error. Runs again on every attempt.
     */
    struct status *(*change)(struct write *w);
    /* NULL s: done; w->stored and w->rev are the object as it is now (after a removal: obj, or as it was). */
    void (*done)(struct write *w, struct status *s);
    void *ctx;
    bool dry_run;
    bool applied; /* by server-side apply: obj carries its managed fields already */
    bool pinned;  /* the caller named a resourceVersion: losing the race is the answer (409) */
    bool unread;  /* a create: taken for absent, unread, until its transaction has failed */

    /* For `change`. */
    void *old; /* decoded in stored version, resourceVersion set; shared: clone before changing */
    struct kv_pair old_pair;

    /* Set by `change`. */
    void *obj;   /* of the stored version's message */
    bool remove; /* obj is then what is answered, if there is one; else what was there is */
    bool unchanged;
    bool updated; /* with remove: by an update, which is answered with the version it was made of */
    int64_t lease;
    /* More that must hold, and more that is done, in the same transaction (allocations). Slices must
     * live until the callback (the request's arena). */
    struct kv_compare *compares;
    size_t compares_len, compares_cap;
    struct kv_op *ops;
    size_t ops_len, ops_cap;
    bool overflow; /* more than WRITE_EXTRAS_MAX: the write is refused */
    bool
        awaited; /* a refusal for want of what is about to be made: believed after WRITE_WAITS_MAX looks */

    /* Result. */
    struct str stored; /* what is answered: obj, else what was there */
    int64_t rev;
    bool created;

    /* Internal. */
    struct list quota_link; /* waiting for its turn (admission/quota.h) */
    bool quota_turn;        /* holds it */
    struct arena charged;   /* the quotas of this attempt's transaction */
    struct str key;
    int attempts;
    bool confirmed; /* the last read was linearizable */
    unsigned waits;
    struct loop_timer wait;
};

/* A write of the object that the request names, in its arena; what differs is set before it is run. */
struct write *write_new(struct rest *rq, struct status *(*change)(struct write *w),
                        void (*done)(struct write *w, struct status *s), void *ctx);
/* Start; w lives in the request's arena. */
void write_run(struct write *w);
/* Read again, linearizably, and try once more: for whoever made the write wait. */
void write_again(struct write *w);
/* Add a compare "key does not exist" and a put; or a delete. For change functions. */
void write_extra_create(struct write *w, struct str key, struct str value);
void write_extra_delete(struct write *w, struct str key);
/* A put, if the key still has this modification revision. */
void write_extra_replace(struct write *w, struct str key, int64_t mod_rev, struct str value);
/* The transaction fails unless the key still has this modification revision (0: does not exist). */
void write_extra_unchanged(struct write *w, struct str key, int64_t mod_rev);

/* ---- the changes ---- */

/* Fill in what the server owns on a new object, run strategy, defaults, admission and validation. */
struct status *change_create(struct write *w, void *object);
/* The same for a changed one; `object` must be a fresh copy. Handles conflict, no-op and the removal of
 * objects whose last finalizer goes. `sub`: NULL or the subresource being updated. */
struct status *change_update(struct write *w, void *object, const struct subresource *sub);

/* Record who wrote what in obj's managed fields; before admission changes it. */
void write_record_fields(struct write *w, void *obj);
struct field_manager;
struct field_manager write_manager(const struct write *w);
/* Is obj what is stored, but for the times in its managed fields? */
bool write_changes_nothing(const struct write *w, void *obj);

struct delete_options {
    bool has_grace;
    int64_t grace_s;
    const char *propagation;            /* NULL, "Orphan", "Background", "Foreground" */
    const char *uid, *resource_version; /* preconditions, or NULL */
    bool both;                          /* orphanDependents too was given */
    bool cascading;                     /* … and it was false: 202 until the object is gone */
    const char *bad_dry_run;            /* what else than "All" was asked for, or NULL */
    bool dry_run;
};
/* Mark or remove w->old. */
struct status *change_delete(struct write *w, const struct delete_options *o);

/* Answer a finished write with its object: 201 when created, else 200. */
void write_answer(struct write *w, struct status *s);

#endif
