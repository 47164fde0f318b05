/*
 * Objects that the server keeps as they are published: created when absent, put right when changed, where changing
 * them is not left to people. Blocking: on the keeper's thread.
 *
 *   FlowSchemas, PriorityLevelConfigurations   kept_flow_control.c
 *   APIServices                                one per group-version, custom ones included
 *   ConfigMap extension-apiserver-authentication   kept_authentication.c
 */
#ifndef C8S_APISERVER_KEPT_KEPT_OBJECTS_H
#define C8S_APISERVER_KEPT_KEPT_OBJECTS_H

#include "apiserver/server.h"

/* ERR_CONFLICT: another member was writing them too; the next time. */
int kept_objects(struct apiserver *s, struct arena *a, struct error *err);

/* The first of these, and the last. */
int kept_flow_control(struct apiserver *s, struct arena *a, struct error *err);
int kept_authentication(struct apiserver *s, struct arena *a, struct error *err);

#endif
