/*
 * The Node authorizer: a node agent (user system:node:<name>, group system:nodes) may read the secrets,
 * config maps, claims and volumes that its own pods refer to, make tokens for their accounts, keep its
 * own lease and CSINode, and do what every node does. It stands in front of RBAC; what it does not
 * allow, RBAC still may.
 *
 * Which pods run on which node is held in memory, as their keys only, and kept by a watch; the few pods
 * of the node that asks are then read from the store. That costs some 100 bytes a pod, and some
 * microseconds a pod of the namespace for the rare question.
 *
 * Threads: new and close on the loop given; questions on any thread.
 */
#ifndef C8S_APISERVER_AUTH_AUTHZ_NODE_H
#define C8S_APISERVER_AUTH_AUTHZ_NODE_H

#include "apiserver/auth/authz.h"

struct node_authz;

struct node_authz *node_authz_new(struct kv *kv, struct loop *loop);
void node_authz_close(struct node_authz *n); /* NULL is fine */

/* Only for node agents' requests: true allows; else *reason says why not, or is "". */
bool node_authz_allowed(struct node_authz *n, const char *node, const struct authz_attributes *at,
                        struct arena *a, const char **reason);

#endif
