/*
 * Images: the pull policy, and waiting longer after each failure.
 */
#ifndef C8S_NODE_IMAGES_H
#define C8S_NODE_IMAGES_H

#include "node/agent.h"
#include "node/pod_spec.h"

struct image_info {
    const char *ref;  /* what to create the container from */
    int64_t uid;      /* default user when it is a number, else -1 */
    const char *user; /* its name otherwise; "" none */
};

/* Why the image is not there: reason and message of the container's waiting state. */
struct image_failure {
    const char *reason; /* "ErrImagePull", "ErrImageNeverPull", "InvalidImageName" */
    const char *message;
};

/* Make the container's image present by its pull policy, with the events kubelet writes. Negative:
 * *failure is filled. Blocks while pulling. */
int image_ensure(struct agent *g, const struct pod_context *x, const Core__V1__Container *c,
                 struct arena *a, struct image_info *out, struct image_failure *failure);

/* Credentials for an image out of a kubernetes.io/dockerconfigjson (or dockercfg) text; false when
 * it has none for that registry. Strings live in the arena. */
bool image_credentials(struct str docker_config, const char *image, struct arena *a,
                       struct cri_auth *out);

#endif
