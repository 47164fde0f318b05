/*
 * Tidying: what is left on the host of pods that neither the API nor the runtime knows any more, because an
 * agent ended half-way through their removal.
 */
#ifndef C8S_NODE_TIDY_H
#define C8S_NODE_TIDY_H

#include "node/agent.h"

/* Remove volumes, logs and control groups of such pods. Call when the pod informer has synced. Removes
 * nothing when the runtime does not answer. */
void tidy_host(struct agent *g);

/* The uid in the name of a pod's log directory ("NS_NAME_UID"), NULL for another name. */
const char *tidy_log_dir_uid(const char *name);

#endif
