/*
 * Volumes of a pod: emptyDir (disk or memory), hostPath, configMap, secret, downwardAPI and
 * projected (service-account tokens too), below the pod's directory.
 *
 *     pods/UID/volumes/kubernetes.io~configmap/NAME/…
 *
 * What comes from the API is written again when it changes; tokens before they expire.
 */
#ifndef C8S_NODE_VOLUMES_H
#define C8S_NODE_VOLUMES_H

#include "node/agent.h"
#include "node/pod_spec.h"

/* Service-account tokens of one pod, kept until they must be renewed. */
struct token_cache;
struct token_cache *token_cache_new(void);
void token_cache_free(struct token_cache *t);

/* Make or refresh all volumes of the context's pod. The error names the volume. */
int volumes_prepare(struct agent *g, const struct pod_context *x, struct token_cache *tokens,
                    struct error *err);

/* Where a volume is on this host, in the arena; NULL for a name that the pod has not. A hostPath is
 * its own path. */
const char *volume_host_path(const struct agent *g, const Core__V1__Pod *pod, const char *name,
                             struct arena *a);

/* What comes from the API (configMap, secret, downwardAPI, projected) is the agent's to write alone: whoever else
 * could, could lead what it writes next, as root, to any place of the host by a link. */
bool volume_is_read_only(const Core__V1__Pod *pod, const char *name);

/* Source of a volume mount: the volume, or the directory or file `sub_path` below it, which is made
 * as a directory when absent. Never a place outside of the volume, also not through symbolic links:
 * resolved within it and handed over as a bind mount below the pod's directory when it is not a
 * plain directory. */
int volume_mount_source(const struct agent *g, const Core__V1__Pod *pod, const char *volume,
                        const char *sub_path, struct arena *a, const char **out, struct error *err);

/* Unmount and remove everything of a pod below its directory. */
int volumes_remove(const struct agent *g, const char *uid, struct error *err);

#endif
