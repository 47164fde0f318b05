/*
 * Discovery: what is served, as /api, /apis and their aggregated forms say it.
 *
 * Documents are made once, when first asked for, and shared by all threads.
 */
#ifndef C8S_APISERVER_DISCOVERY_H
#define C8S_APISERVER_DISCOVERY_H

#include "apiserver/rest.h"

struct discovery;

struct discovery *discovery_new(void);
void discovery_free(struct discovery *d);

/* Answer if the path is one of discovery's; false: not ours. */
bool discovery_serve(struct discovery *d, struct rest *rq);

/* The documents, for tests. */
void discovery_groups(struct buf *out);                   /* APIGroupList */
bool discovery_group(const char *group, struct buf *out); /* APIGroup */
bool discovery_resources(const char *group, const char *version,
                         struct buf *out);                           /* APIResourceList */
void discovery_aggregated(bool core, bool v2beta1, struct buf *out); /* APIGroupDiscoveryList */

#endif
