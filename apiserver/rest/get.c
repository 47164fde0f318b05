/*
 * GET of one object: linearizable unless the client names a resourceVersion.
 */
#include "apiserver/rest/rest.h"

static void get_ready(struct rest *rq)
{
    struct kv_pair pair;
    struct error err;
    int rc = rest_read(rq, rest_key(rq->a, rq->r, rq->info.ns, rq->info.name), &pair, &err);
    if (rc < 0)
        rest_status(rq, status_from_error(rq->a, &err));
    else if (rc == 0)
        rest_status(rq, status_not_found(rq->a, &rq->about));
    else
        rest_pair(rq, &pair);
}

void rest_get(struct rest *rq)
{
    rest_await(rq, query_get(rq->a, rq->info.query, "resourceVersion"), get_ready);
}
