/*
 * Event recorder: tells users what a component does to an object (`kubectl describe`).
 *
 * The same event about the same object is one Event whose count and lastTimestamp grow (patched),
 * as upstream does it; past 10 different messages of one reason about one object within ten minutes
 * they are folded into one "(combined from similar events)". One object gets at most 25 events in a
 * burst and one more every 5 minutes. Recording never blocks and never fails the caller: a bounded
 * queue (1000) and one thread write them; what does not fit is dropped and counted.
 */
#ifndef C8S_CLIENT_RECORDER_H
#define C8S_CLIENT_RECORDER_H

#include "client/client.h"
#include "client/informer.h"

#define EVENT_NORMAL "Normal"
#define EVENT_WARNING "Warning"

struct recorder;
/* component: "default-scheduler", "kubelet", "deployment-controller"; host: node name or NULL. */
struct recorder *recorder_new(struct client *c, const char *component, const char *host);
/* Writes what is queued for at most 2 s; an event that is being written may take its 10 s. */
void recorder_free(struct recorder *r);

/* What the event is about. All strings are copied; field_path e.g. "spec.containers{web}" or NULL.
 */
struct event_target {
    const char *api_version, *kind, *ns, *name, *uid, *resource_version, *field_path;
};
void recorder_event(struct recorder *r, const struct event_target *about, const char *type,
                    const char *reason, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* The target of an object of resource `res`. Strings are borrowed from o. */
struct event_target event_target_of(const struct resource *res, const struct object *o);

#endif
