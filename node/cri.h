/*
 * CRI client: the container runtime (containerd, CRI-O) over its Unix socket.
 *
 * Thin: one blocking function per call the agent makes, with the generated messages of
 * proto/cri/api.proto as arguments. Any thread but the channel's loop may call them, also several
 * at a time (one HTTP/2 connection carries all). Answers live in the caller's arena. Every call has
 * a time limit: the runtime's answer to "run a sandbox" may take as long as its network plug-ins,
 * an ordinary one 10 s.
 *
 * Errors: ERR_NOT_FOUND (no such sandbox, container or image), ERR_UNAVAILABLE (runtime away),
 * ERR_TIMEOUT, others by the gRPC status; the message is the runtime's.
 */
#ifndef C8S_NODE_CRI_H
#define C8S_NODE_CRI_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"
#include <stdbool.h>
#include <stdint.h>
#undef linux /* gnu11 defines it; the messages have a field of that name */
#undef unix
#include "cri/api.pb-c.h"

/* Shorter names for the generated types. */
typedef Runtime__V1__KeyValue CriKeyValue;
typedef Runtime__V1__PodSandboxConfig CriPodSandboxConfig;
typedef Runtime__V1__PodSandbox CriPodSandbox;
typedef Runtime__V1__PodSandboxStatus CriPodSandboxStatus;
typedef Runtime__V1__ContainerConfig CriContainerConfig;
typedef Runtime__V1__Container CriContainer;
typedef Runtime__V1__ContainerStatus CriContainerStatus;
typedef Runtime__V1__LinuxContainerResources CriLinuxResources;
typedef Runtime__V1__Mount CriMount;
typedef Runtime__V1__Image CriImage;

struct cri;
struct loop;

/* endpoint: "unix:///run/containerd/containerd.sock" or a plain path. No connection is made yet.
 * The loop must run, and outlive the client. */
int cri_new(struct loop *loop, const char *endpoint, struct cri **out, struct error *err);
void cri_free(struct cri *c);

struct cri_version {
    const char *name, *version; /* "containerd", "1.6.20~ds1" */
};
int cri_version(struct cri *c, struct arena *a, struct cri_version *out, struct error *err);

/* The two conditions every runtime reports; `message` says why one is false (in the arena). */
struct cri_status {
    bool runtime_ready, network_ready;
    const char *message;
};
int cri_status(struct cri *c, struct arena *a, struct cri_status *out, struct error *err);

/* Sandboxes. *id lives in the arena. */
int cri_run_sandbox(struct cri *c, CriPodSandboxConfig *config, struct arena *a, const char **id,
                    struct error *err);
/* Idempotent; also success when there is no such sandbox. */
int cri_stop_sandbox(struct cri *c, const char *id, struct error *err);
int cri_remove_sandbox(struct cri *c, const char *id, struct error *err);
int cri_sandbox_status(struct cri *c, const char *id, struct arena *a, CriPodSandboxStatus **out,
                       struct error *err);
/* All sandboxes, or those that carry all of the n labels. */
int cri_list_sandboxes(struct cri *c, const struct str (*labels)[2], size_t n, struct arena *a,
                       CriPodSandbox ***items, size_t *len, struct error *err);

/* Containers. */
int cri_create_container(struct cri *c, const char *sandbox_id, CriContainerConfig *config,
                         CriPodSandboxConfig *sandbox, struct arena *a, const char **id,
                         struct error *err);
int cri_start_container(struct cri *c, const char *id, struct error *err);
/* Blocks for up to grace_s (SIGTERM, then SIGKILL). Success also when there is no such container.
 */
int cri_stop_container(struct cri *c, const char *id, int64_t grace_s, struct error *err);
int cri_remove_container(struct cri *c, const char *id, struct error *err);
int cri_list_containers(struct cri *c, const struct str (*labels)[2], size_t n, struct arena *a,
                        CriContainer ***items, size_t *len, struct error *err);
int cri_container_status(struct cri *c, const char *id, struct arena *a, CriContainerStatus **out,
                         struct error *err);
/* The runtime opens the container's log file anew (after rotation). */
int cri_reopen_log(struct cri *c, const char *id, struct error *err);

struct cri_exec {
    int exit_code;
    struct str stdout_data, stderr_data; /* in the arena */
};
/* Run a command inside and wait; ERR_TIMEOUT past timeout_s. argv is NULL-terminated. */
int cri_exec_sync(struct cri *c, const char *id, const char *const *argv, int64_t timeout_s,
                  struct arena *a, struct cri_exec *out, struct error *err);

/* Streams: the address ("http://127.0.0.1:4711/exec/TOKEN", in the arena) at which the runtime serves one, once
 * and soon. argv is NULL-terminated. */
struct cri_stream_options {
    const char *const *argv; /* exec */
    bool in, out, err, tty;  /* exec, attach; not err with tty */
    const int32_t *ports;    /* port-forward; may be none */
    size_t ports_len;
};
int cri_exec_url(struct cri *c, const char *id, const struct cri_stream_options *o, struct arena *a,
                 const char **url, struct error *err);
int cri_attach_url(struct cri *c, const char *id, const struct cri_stream_options *o,
                   struct arena *a, const char **url, struct error *err);
int cri_port_forward_url(struct cri *c, const char *sandbox_id, const struct cri_stream_options *o,
                         struct arena *a, const char **url, struct error *err);

/* Images. *out is NULL when the runtime does not have it. */
int cri_image_status(struct cri *c, const char *image, struct arena *a, CriImage **out,
                     struct error *err);
int cri_list_images(struct cri *c, struct arena *a, CriImage ***items, size_t *len,
                    struct error *err);
/* Registry credentials may be NULL. */
struct cri_auth {
    const char *username, *password, *auth, *identity_token, *registry_token;
};
int cri_pull_image(struct cri *c, const char *image, const struct cri_auth *auth,
                   CriPodSandboxConfig *sandbox, struct arena *a, const char **image_ref,
                   struct error *err);
int cri_remove_image(struct cri *c, const char *image, struct error *err);

/* Value of a label or annotation; NULL when absent. */
/* Room for one more item where there are n, in an array that was made by this: it doubles whenever n is a power
 * of two, so that a list that grows beside other allocations takes no memory with the square of its length. */
void *list_room(struct arena *a, void *items, size_t n, size_t item_size);
const char *cri_value(CriKeyValue *const *items, size_t n, const char *key);
/* Append to a list of pairs that is made in the arena (strings are borrowed). */
void cri_add_value(struct arena *a, CriKeyValue ***items, size_t *n, const char *key,
                   const char *value);

#endif
