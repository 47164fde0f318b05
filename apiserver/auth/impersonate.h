/*
 * Acting as somebody else: the Impersonate-… headers.
 */
#ifndef C8S_APISERVER_AUTH_IMPERSONATE_H
#define C8S_APISERVER_AUTH_IMPERSONATE_H

#include "apiserver/rest/rest.h"

/* Makes rq->user who the headers name. NULL: done, or there are none; else the error. */
struct status *impersonate(struct rest *rq);

/* The 403 of a refused request, with the authorizer's reason ("" for none). */
struct status *authz_forbidden(struct arena *a, const struct authz_attributes *at,
                               const char *reason);

#endif
