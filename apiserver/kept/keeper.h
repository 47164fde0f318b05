/*
 * The keeper: what the API server maintains by itself, on a thread of its own.
 *
 *   once      namespaces, priority classes, bootstrap RBAC, Service `kubernetes`
 *   always    this member's entry among the endpoints of `kubernetes` (a key that lives as long as its
 *             lease), and the endpoints that follow from all members' entries; compaction
 */
#ifndef C8S_APISERVER_KEPT_KEEPER_H
#define C8S_APISERVER_KEPT_KEEPER_H

#include "apiserver/server.h"

struct keeper;

struct keeper *keeper_start(struct apiserver *s);
/* Takes this member out of the endpoints, ends the thread. NULL is fine. */
void keeper_stop(struct keeper *k);

#endif
