/*
 * What happens to CustomResourceDefinitions after they are written: names are accepted or found taken
 * (status.acceptedNames, conditions NamesAccepted and Established), and before a definition goes, its
 * objects go (finalizer customresourcecleanup.apiextensions.k8s.io, condition Terminating).
 *
 * A thread per member; that of the leading member works, the others look again from time to time. Every
 * write is a compare-and-swap on what was looked at, so that two of them at once do no harm: names are
 * accepted only while no definition has changed, and a definition is removed only when no object is left.
 */
#ifndef C8S_APISERVER_CUSTOM_CONTROLLER_H
#define C8S_APISERVER_CUSTOM_CONTROLLER_H

#include "apiserver/custom/registry.h"

#define CRD_FINALIZER "customresourcecleanup.apiextensions.k8s.io"

struct custom_controller;

struct custom_controller *custom_controller_start(struct apiserver *s, struct custom_registry *r);
void custom_controller_wake(struct custom_controller *c); /* any thread */
/* Ends the thread; waking it does nothing any more. NULL is fine, also below. */
void custom_controller_stop(struct custom_controller *c);
void custom_controller_free(struct custom_controller *c);

typedef Apiextensions__V1__CustomResourceDefinition CrdObject;

/* Set a condition; its transition time changes with its status. */
void crd_set_condition(struct arena *a, CrdObject *crd, const char *type, const char *status,
                       const char *reason, const char *message);
/* Compute acceptedNames and conditions of one definition, given all of them (for tests). */
void crd_settle_names(struct arena *a, CrdObject *crd, const struct custom_set *all);

#endif
