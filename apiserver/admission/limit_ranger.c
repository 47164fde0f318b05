/*
 * LimitRanger: the requests and limits that a namespace gives to containers that name none, and the
 * bounds it sets to containers, pods and claims.
 */
#include "apiserver/admission/admission.h"
#include "apiserver/admission/limits.h"
#include "proto/core_v1.pb-c.h"

#define OBJECT_BYTES_MAX 3145728 /* what a request may be; no object becomes larger by defaults */

static bool concerns(const struct admission *ad)
{
    if (*ad->sub || ad->op == ADMIT_DELETE)
        return false;
    if (ad->old && object_meta(ad->old)->deletion_timestamp)
        return false;
    return (ad->r->stored_as == Core__V1__Pod__SCHEMA && ad->op == ADMIT_CREATE) ||
           ad->r->stored_as == Core__V1__PersistentVolumeClaim__SCHEMA;
}

static struct status *ranges_of(struct admission *ad, void ***ranges, size_t *n)
{
    struct error err;
    *n = 0;
    if (concerns(ad) && admission_list(ad, CACHED_LIMIT_RANGES, ad->ns, ranges, n, &err) < 0)
        return status_from_error(ad->a, &err);
    return NULL;
}

static struct status *mutate(struct admission *ad)
{
    void **ranges;
    size_t n;
    struct status *s = ranges_of(ad, &ranges, &n);
    if (s || ad->r->stored_as != Core__V1__Pod__SCHEMA)
        return s;
    size_t room = OBJECT_BYTES_MAX;
    for (size_t i = 0; i < n; i++)
        if (!limits_default(ad->a, ranges[i], ad->object, &room))
            return status_new(ad->a, 413, "RequestEntityTooLarge",
                              "Request entity too large: limit is %d", OBJECT_BYTES_MAX);
    return NULL;
}

static struct status *validate(struct admission *ad)
{
    void **ranges;
    size_t n;
    struct status *s = ranges_of(ad, &ranges, &n);
    for (size_t i = 0; i < n && !s; i++) {
        const char *why = limits_check(ad->a, ranges[i], ad->object);
        if (why)
            s = admission_forbidden(ad, "%s", why);
    }
    return s;
}

const struct admission_plugin admission_limit_ranger = {
    .name = "LimitRanger", .mutate = mutate, .validate = validate};
