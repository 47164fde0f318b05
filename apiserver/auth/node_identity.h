/*
 * Is a user a node agent? Those of group system:nodes are, by the name system:node:<node>.
 */
#ifndef C8S_APISERVER_AUTH_NODE_IDENTITY_H
#define C8S_APISERVER_AUTH_NODE_IDENTITY_H

#include "api/object.h"
#include "apiserver/auth/authn.h"

/* False: no node. *node is its name, "" for a user of the group whose name tells none. */
static inline bool node_identity(const struct user *u, const char **node)
{
    static const char prefix[] = "system:node:";
    *node = "";
    bool named = strncmp(u->name, prefix, sizeof prefix - 1) == 0;
    if (!named || !user_in_group(u, "system:nodes"))
        return false;
    *node = u->name + sizeof prefix - 1;
    return true;
}

/* May a node agent set a label with this key on its own node? (admission/node_restriction.c) */
bool node_may_set_label(const char *key);
/* Labels that differ (old NULL: all) and that a node may not set, sorted, comma-separated; "" for none. */
const char *node_forbidden_labels(struct arena *a, const Meta__V1__ObjectMeta *meta,
                                  const Meta__V1__ObjectMeta *old);

#endif
