/*
 * `c8s-apiserver --restore-snapshot FILE`: a data directory made out of a backup, and the end. What `c8s kv snapshot
 * restore` runs.
 */
#ifndef C8S_APISERVER_RESTORE_H
#define C8S_APISERVER_RESTORE_H

#include "apiserver/options.h"

/* The exit code; failures are told on standard error as etcd's tools do. */
int restore_run(const struct options *o, struct arena *a);

#endif
