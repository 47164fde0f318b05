/*
 * ServiceCIDRs: the finalizer that holds one from its first moment (apiserver/services/upkeep.c takes it away).
 */
#include "api/meta.h"
#include "apiserver/services/cidrs.h"
#include "apiserver/strategy/strategy.h"
#include "proto/networking_v1.pb-c.h"

static void complete_cidr(struct write *w, void *obj)
{
    Meta__V1__ObjectMeta *meta = object_meta(obj);
    if (!has_finalizer(meta, SERVICE_CIDR_FINALIZER))
        api_append(w->rq->a, meta, finalizers, (char *)SERVICE_CIDR_FINALIZER);
}

const struct strategy strategy_service_cidr = {
    .message = Networking__V1__ServiceCIDR__SCHEMA,
    .flags = STRATEGY_GENERATION,
    .complete_create = complete_cidr,
};
