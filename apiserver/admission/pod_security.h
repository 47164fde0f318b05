/*
 * Pod Security Standards: is a pod within the level baseline or restricted, as of a version of
 * Kubernetes? The checks are a table (pod_security_checks.c), each with the versions since which it
 * holds; they are pure.
 */
#ifndef C8S_APISERVER_ADMISSION_POD_SECURITY_H
#define C8S_APISERVER_ADMISSION_POD_SECURITY_H

#include "base/arena.h"
#include "proto/core_v1.pb-c.h"
#include <stdbool.h>

enum pod_security_level {
    POD_SECURITY_PRIVILEGED,
    POD_SECURITY_BASELINE,
    POD_SECURITY_RESTRICTED,
};

#define POD_SECURITY_LATEST 35 /* the newest minor version whose checks there are */

struct pod_security_policy {
    enum pod_security_level level;
    bool latest;
    int minor; /* v1.<minor>; of no meaning when latest */
};

/* What a namespace's labels say. */
struct pod_security_labels {
    struct pod_security_policy enforce, audit, warn;
    /* What is wrong with them, by label: value and reason. */
    struct {
        const char *label, *value, *reason;
    } errors[6];
    size_t errors_len;
};

/* `defaults` NULL: privileged, latest. */
void pod_security_labels_of(const Meta__V1__ObjectMeta *ns,
                            const struct pod_security_labels *defaults,
                            struct pod_security_labels *out);
bool pod_security_parse_level(const char *text, enum pod_security_level *out);
/* "latest" or "v1.24"; latest when it is neither. */
bool pod_security_parse_version(const char *text, struct pod_security_policy *out);
/* "baseline:latest", "restricted:v1.24" */
const char *pod_security_policy_text(struct arena *a, const struct pod_security_policy *p);

#define POD_SECURITY_CHECKS_MAX 24

/* One broken check. */
struct pod_security_violation {
    const char *reason; /* "host namespaces" */
    const char *detail; /* "hostNetwork=true" */
};

/* Broken checks in the published order; returns how many (0: allowed). */
size_t pod_security_evaluate(struct arena *a, const struct pod_security_policy *policy,
                             const Meta__V1__ObjectMeta *meta, const Core__V1__PodSpec *spec,
                             struct pod_security_violation out[POD_SECURITY_CHECKS_MAX]);
/* Of what can change in a running pod only new programs matter: other images, containers that were not there. */
bool pod_security_update_matters(const Core__V1__PodSpec *now, const Core__V1__PodSpec *was);
/* "reason (detail), reason (detail)", and the reasons alone. */
const char *pod_security_details(struct arena *a, const struct pod_security_violation *v, size_t n);
const char *pod_security_reasons(struct arena *a, const struct pod_security_violation *v, size_t n);

#endif
