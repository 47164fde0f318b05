/*
 * Which FlowSchema a request belongs to, by the published rules: a schema matches when one of its rules has a subject
 * that is the user, and a resource rule (or, for other requests, a path rule) that is the request. Pure.
 *
 *   resource rules   verb, API group, "resource" or "resource/subresource", and the namespace, or clusterScope for
 *                    requests without one; "*" alone stands for all
 *   path rules       verb, and a path that is the same or below, whether or not the rule ends in a star
 */
#ifndef C8S_APISERVER_FLOW_FLOW_MATCH_H
#define C8S_APISERVER_FLOW_FLOW_MATCH_H

#include "apiserver/auth/authz.h"
#include "base/buf.h"
#include "proto/flowcontrol_v1.pb-c.h"

bool flow_schema_matches(const Flowcontrol__V1__FlowSchema *f, const struct authz_attributes *at);
/* qsort's order of const Flowcontrol__V1__FlowSchema *: the first that matches is the request's. */
int flow_schema_order(const void *a, const void *b);
/* Append what tells a schema's flows from each other: the user, the namespace, or nothing. */
void flow_distinguisher(const Flowcontrol__V1__FlowSchema *f, const struct authz_attributes *at,
                        struct buf *out);

#endif
