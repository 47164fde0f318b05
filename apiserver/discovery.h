/*
 * Discovery: what is served, as /api, /apis and their aggregated forms say it.
 *
 * Documents are made when first asked for, shared by all threads, and made again when custom resources have
 * changed.
 */
#ifndef C8S_APISERVER_DISCOVERY_H
#define C8S_APISERVER_DISCOVERY_H

#include "apiserver/rest/rest.h"

struct discovery;

struct discovery *discovery_new(void);
void discovery_free(struct discovery *d);

/* Answer if the path is one of discovery's; false: not ours. */
bool discovery_serve(struct rest *rq);

#endif
