/*
 * Garbage collection: what to do with an object, seen its owners and dependents (decisions;
 * garbagecollector.c carries them out).
 */
#ifndef C8S_CONTROLLERS_GARBAGECOLLECTOR_H
#define C8S_CONTROLLERS_GARBAGECOLLECTOR_H

#include "proto/meta_v1.pb-c.h"
#include <stdbool.h>
#include <stddef.h>

#define FINALIZER_FOREGROUND "foregroundDeletion"
#define FINALIZER_ORPHAN "orphan"

enum owner_state {
    OWNER_SOLID,   /* exists and stays */
    OWNER_WAITING, /* being deleted in the foreground: it waits for its dependents */
    OWNER_ABSENT,  /* does not exist (any more), or another object has its name */
};

enum gc_action {
    GC_NOTHING,
    GC_DROP_OWNERS, /* some owners stay: take the references to the others off */
    GC_DELETE,      /* no owner is left */
    GC_ORPHAN,      /* being deleted: take it off its dependents, then remove the finalizer */
    GC_AWAIT,       /* being deleted in the foreground: dependents that block it remain */
    GC_FINISH,      /* being deleted in the foreground: none remains, remove the finalizer */
};

struct gc_view {
    const Meta__V1__ObjectMeta *object;
    const enum owner_state *owners; /* one for each of object->owner_references */
    size_t blocking_dependents;     /* that refer to it with blockOwnerDeletion */
    size_t dependents;
};

enum gc_action gc_decide(const struct gc_view *v);
/* How the object must be deleted by GC_DELETE: what its own finalizers ask for, else in the
 * foreground when it has dependents and an owner waits, else in the background. */
const char *gc_propagation(const struct gc_view *v);

#endif
