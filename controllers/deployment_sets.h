/*
 * The replica sets of a deployment: claiming them, finding or making the one of the current
 * template, numbering revisions.
 */
#ifndef C8S_CONTROLLERS_DEPLOYMENT_SETS_H
#define C8S_CONTROLLERS_DEPLOYMENT_SETS_H

#include "client/client.h"
#include "client/informer.h"
#include "client/recorder.h"
#include "controllers/deployment.h"

/* What one reconcile works with. Structs are copies in the arena, never the caches' own. */
struct rollout {
    struct client *client;
    struct recorder *recorder;
    struct arena *a;
    struct object *object;   /* as the cache has it */
    Apps__V1__Deployment *d; /* a copy, kept up to date by our own writes */
    struct rollout_sets sets;
};

/* Claim the sets in `informer` that are ours and sort them into new and old. */
int rollout_find_sets(struct rollout *r, struct informer *informer, struct error *err);
/* Give the new set its revision, and make it when there is none and `create` is true. The
 * deployment's revision annotation follows. */
int rollout_new_set(struct rollout *r, bool create, struct error *err);
/* Carry out a step: size and the annotations that go with it, and an event. The set in `sets` is
 * replaced by what the server answered. */
int rollout_scale(struct rollout *r, struct scale_step step, struct error *err);

#endif
