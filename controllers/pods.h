/*
 * Questions about pods that several controllers ask, and which pods belong to whom.
 */
#ifndef C8S_CONTROLLERS_PODS_H
#define C8S_CONTROLLERS_PODS_H

#include "api/selector.h"
#include "client/informer.h"
#include "proto/core_v1.pb-c.h"

bool pod_is_terminating(const Core__V1__Pod *pod);
/* phase Succeeded or Failed */
bool pod_has_ended(const Core__V1__Pod *pod);
/* Neither ended nor being deleted. */
bool pod_is_active(const Core__V1__Pod *pod);
const Core__V1__PodCondition *pod_condition(const Core__V1__Pod *pod, const char *type);
bool pod_is_ready(const Core__V1__Pod *pod);
/* Ready for at least min_ready_s. When it is ready but not long enough, *wait_s (if not NULL) is
 * lowered to the seconds that are missing. */
bool pod_is_available(const Core__V1__Pod *pod, int32_t min_ready_s, int64_t now_s,
                      int64_t *wait_s);
int32_t pod_restarts(const Core__V1__Pod *pod);

/* What a controller must do with an object that its selector matches or that it owns. */
enum claim {
    CLAIM_NONE,    /* somebody else's, or nobody's and not matching */
    CLAIM_OWNED,   /* ours, and matching */
    CLAIM_ADOPT,   /* nobody's, matching: make it ours */
    CLAIM_RELEASE, /* ours, but it no longer matches: let go */
};
enum claim claim_decide(const Meta__V1__ObjectMeta *object, const struct label_selector *selector,
                        const Meta__V1__ObjectMeta *owner);

/* Carry out ADOPT or RELEASE by a patch that fails when the object is another by now. */
int claim_adopt(struct client *c, const struct resource *r, const Meta__V1__ObjectMeta *object,
                const void *owner, struct error *err);
int claim_release(struct client *c, const struct resource *r, const Meta__V1__ObjectMeta *object,
                  const Meta__V1__ObjectMeta *owner, struct error *err);

#endif
