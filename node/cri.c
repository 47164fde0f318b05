/*
 * CRI client (see cri.h): every function fills a request, makes one blocking gRPC call and picks
 * the answer apart.
 */
#include "node/cri.h"
#include "base/mem.h"
#include "net/grpc.h"
#include <assert.h>

#define CALL_TIMEOUT_MS 10000
#define SANDBOX_TIMEOUT_MS 240000 /* network plug-ins run inside */
#define START_TIMEOUT_MS 120000
#define PULL_TIMEOUT_MS 1800000
#define GRACE_MAX_S INT32_MAX /* the runtime counts nanoseconds in 64 bits */

struct cri {
    struct grpc_channel *channel;
};

#define RUNTIME "/runtime.v1.RuntimeService/"
#define IMAGE "/runtime.v1.ImageService/"

int cri_new(struct loop *loop, const char *endpoint, struct cri **out, struct error *err)
{
    struct str e = str_from(endpoint);
    struct cri *c;
    char *target;

    if (str_has_prefix(e, STR("unix://")))
        e = str_slice(e, 7, e.n);
    else if (str_has_prefix(e, STR("unix:")))
        e = str_slice(e, 5, e.n);
    if (e.n == 0 || e.p[0] != '/')
        return error_set(err, ERR_INVALID, "container runtime endpoint %s: must be unix:///path",
                         endpoint);
    c = mem_zalloc(sizeof *c);
    target = mem_printf("unix:%.*s", STR_ARG(e));
    c->channel = grpc_channel_new(loop,
                                  &(struct grpc_channel_options){
                                      .targets = (const char *const[]){target, NULL},
                                      .authority = "localhost",
                                      .connections = 1,
                                      .message_bytes_max = 32 << 20,
                                  },
                                  err);
    mem_free(target);
    if (!c->channel) {
        mem_free(c);
        return error_wrap(err, "container runtime endpoint %s", endpoint);
    }
    *out = c;
    return 0;
}

void cri_free(struct cri *c)
{
    if (!c)
        return;
    grpc_channel_free(c->channel);
    mem_free(c);
}

/* "/runtime.v1.ImageService/PullImage: Unknown: failed to pull…" → "failed to pull…": people read
 * these in a pod's status. */
static void shorten(struct error *err, const char *path)
{
    size_t n = strlen(path);
    const char *text = err->message, *colon;

    if (strncmp(text, path, n) != 0 || strncmp(text + n, ": ", 2) != 0)
        return;
    colon = strstr(text + n + 2, ": ");
    text = colon && colon[2] ? colon + 2 : text + n + 2;
    memmove(err->message, text, strlen(text) + 1);
}

static int call(struct cri *c, const char *path, const void *request,
                const ProtobufCMessageDescriptor *response, uint64_t timeout_ms, struct arena *a,
                void *out, struct error *err)
{
    ProtobufCMessage *message = NULL;
    int rc =
        grpc_call_wait(c->channel, path, request, response, timeout_ms, a, &message, NULL, err);

    if (rc < 0) {
        if (err)
            shorten(err, path);
        return rc;
    }
    if (out)
        *(void **)out = message;
    return 0;
}

/* A call whose answer is empty. */
static int call_plain(struct cri *c, const char *path, const void *request,
                      const ProtobufCMessageDescriptor *response, uint64_t timeout_ms,
                      struct error *err)
{
    struct arena a;
    int rc;

    arena_init(&a);
    rc = call(c, path, request, response, timeout_ms, &a, NULL, err);
    arena_free(&a);
    return rc;
}

/* The runtime was asked to take away what it does not have: that is what was wanted. */
static int gone_is_fine(int rc, struct error *err)
{
    if (rc != ERR_NOT_FOUND)
        return rc;
    if (err)
        *err = (struct error){0};
    return 0;
}

int cri_version(struct cri *c, struct arena *a, struct cri_version *out, struct error *err)
{
    Runtime__V1__VersionRequest q = RUNTIME__V1__VERSION_REQUEST__INIT;
    Runtime__V1__VersionResponse *r;
    int rc;

    q.version = "v1";
    rc = call(c, RUNTIME "Version", &q, &runtime__v1__version_response__descriptor, CALL_TIMEOUT_MS,
              a, &r, err);
    if (rc == 0)
        *out = (struct cri_version){r->runtime_name, r->runtime_version};
    return rc;
}

int cri_status(struct cri *c, struct arena *a, struct cri_status *out, struct error *err)
{
    Runtime__V1__StatusRequest q = RUNTIME__V1__STATUS_REQUEST__INIT;
    Runtime__V1__StatusResponse *r;
    int rc;

    *out = (struct cri_status){.message = ""};
    rc = call(c, RUNTIME "Status", &q, &runtime__v1__status_response__descriptor, CALL_TIMEOUT_MS,
              a, &r, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; r->status && i < r->status->n_conditions; i++) {
        const Runtime__V1__RuntimeCondition *k = r->status->conditions[i];

        if (strcmp(k->type, "RuntimeReady") == 0)
            out->runtime_ready = k->status;
        else if (strcmp(k->type, "NetworkReady") == 0)
            out->network_ready = k->status;
        else
            continue;
        if (!k->status)
            out->message =
                arena_printf(a, "container runtime %s is not ready: %s: %s",
                             k->type[0] == 'N' ? "network" : "status", k->reason, k->message);
    }
    return 0;
}

int cri_run_sandbox(struct cri *c, CriPodSandboxConfig *config, struct arena *a, const char **id,
                    struct error *err)
{
    Runtime__V1__RunPodSandboxRequest q = RUNTIME__V1__RUN_POD_SANDBOX_REQUEST__INIT;
    Runtime__V1__RunPodSandboxResponse *r;
    int rc;

    q.config = config;
    rc = call(c, RUNTIME "RunPodSandbox", &q, &runtime__v1__run_pod_sandbox_response__descriptor,
              SANDBOX_TIMEOUT_MS, a, &r, err);
    if (rc == 0)
        *id = r->pod_sandbox_id;
    return rc;
}

int cri_stop_sandbox(struct cri *c, const char *id, struct error *err)
{
    Runtime__V1__StopPodSandboxRequest q = RUNTIME__V1__STOP_POD_SANDBOX_REQUEST__INIT;

    q.pod_sandbox_id = (char *)id;
    return gone_is_fine(call_plain(c, RUNTIME "StopPodSandbox", &q,
                                   &runtime__v1__stop_pod_sandbox_response__descriptor,
                                   SANDBOX_TIMEOUT_MS, err),
                        err);
}

int cri_remove_sandbox(struct cri *c, const char *id, struct error *err)
{
    Runtime__V1__RemovePodSandboxRequest q = RUNTIME__V1__REMOVE_POD_SANDBOX_REQUEST__INIT;

    q.pod_sandbox_id = (char *)id;
    return gone_is_fine(call_plain(c, RUNTIME "RemovePodSandbox", &q,
                                   &runtime__v1__remove_pod_sandbox_response__descriptor,
                                   SANDBOX_TIMEOUT_MS, err),
                        err);
}

int cri_sandbox_status(struct cri *c, const char *id, struct arena *a, CriPodSandboxStatus **out,
                       struct error *err)
{
    Runtime__V1__PodSandboxStatusRequest q = RUNTIME__V1__POD_SANDBOX_STATUS_REQUEST__INIT;
    Runtime__V1__PodSandboxStatusResponse *r;
    int rc;

    q.pod_sandbox_id = (char *)id;
    rc = call(c, RUNTIME "PodSandboxStatus", &q,
              &runtime__v1__pod_sandbox_status_response__descriptor, CALL_TIMEOUT_MS, a, &r, err);
    if (rc < 0)
        return rc;
    if (!r->status || !r->status->metadata)
        return error_set(err, ERR_CORRUPT, "sandbox %s: the runtime answered without a status", id);
    *out = r->status;
    return 0;
}

static CriKeyValue **selector(struct arena *a, const struct str (*labels)[2], size_t n)
{
    CriKeyValue **items = NULL;
    size_t len = 0;

    for (size_t i = 0; i < n; i++)
        cri_add_value(a, &items, &len, arena_strndup(a, labels[i][0].p, labels[i][0].n),
                      arena_strndup(a, labels[i][1].p, labels[i][1].n));
    return items;
}

int cri_list_sandboxes(struct cri *c, const struct str (*labels)[2], size_t n, struct arena *a,
                       CriPodSandbox ***items, size_t *len, struct error *err)
{
    Runtime__V1__ListPodSandboxRequest q = RUNTIME__V1__LIST_POD_SANDBOX_REQUEST__INIT;
    Runtime__V1__PodSandboxFilter filter = RUNTIME__V1__POD_SANDBOX_FILTER__INIT;
    Runtime__V1__ListPodSandboxResponse *r;
    int rc;

    filter.label_selector = selector(a, labels, n);
    filter.n_label_selector = n;
    if (n)
        q.filter = &filter;
    rc = call(c, RUNTIME "ListPodSandbox", &q, &runtime__v1__list_pod_sandbox_response__descriptor,
              CALL_TIMEOUT_MS, a, &r, err);
    if (rc < 0)
        return rc;
    *items = r->items;
    *len = r->n_items;
    return 0;
}

int cri_create_container(struct cri *c, const char *sandbox_id, CriContainerConfig *config,
                         CriPodSandboxConfig *sandbox, struct arena *a, const char **id,
                         struct error *err)
{
    Runtime__V1__CreateContainerRequest q = RUNTIME__V1__CREATE_CONTAINER_REQUEST__INIT;
    Runtime__V1__CreateContainerResponse *r;
    int rc;

    q.pod_sandbox_id = (char *)sandbox_id;
    q.config = config;
    q.sandbox_config = sandbox;
    rc = call(c, RUNTIME "CreateContainer", &q, &runtime__v1__create_container_response__descriptor,
              START_TIMEOUT_MS, a, &r, err);
    if (rc == 0)
        *id = r->container_id;
    return rc;
}

int cri_start_container(struct cri *c, const char *id, struct error *err)
{
    Runtime__V1__StartContainerRequest q = RUNTIME__V1__START_CONTAINER_REQUEST__INIT;

    q.container_id = (char *)id;
    return call_plain(c, RUNTIME "StartContainer", &q,
                      &runtime__v1__start_container_response__descriptor, START_TIMEOUT_MS, err);
}

int cri_stop_container(struct cri *c, const char *id, int64_t grace_s, struct error *err)
{
    Runtime__V1__StopContainerRequest q = RUNTIME__V1__STOP_CONTAINER_REQUEST__INIT;

    assert(grace_s >= 0);
    grace_s = MIN(grace_s, GRACE_MAX_S);
    q.container_id = (char *)id;
    q.timeout = grace_s;
    return gone_is_fine(call_plain(c, RUNTIME "StopContainer", &q,
                                   &runtime__v1__stop_container_response__descriptor,
                                   (uint64_t)grace_s * 1000 + START_TIMEOUT_MS, err),
                        err);
}

int cri_remove_container(struct cri *c, const char *id, struct error *err)
{
    Runtime__V1__RemoveContainerRequest q = RUNTIME__V1__REMOVE_CONTAINER_REQUEST__INIT;

    q.container_id = (char *)id;
    return gone_is_fine(call_plain(c, RUNTIME "RemoveContainer", &q,
                                   &runtime__v1__remove_container_response__descriptor,
                                   START_TIMEOUT_MS, err),
                        err);
}

int cri_list_containers(struct cri *c, const struct str (*labels)[2], size_t n, struct arena *a,
                        CriContainer ***items, size_t *len, struct error *err)
{
    Runtime__V1__ListContainersRequest q = RUNTIME__V1__LIST_CONTAINERS_REQUEST__INIT;
    Runtime__V1__ContainerFilter filter = RUNTIME__V1__CONTAINER_FILTER__INIT;
    Runtime__V1__ListContainersResponse *r;
    int rc;

    filter.label_selector = selector(a, labels, n);
    filter.n_label_selector = n;
    if (n)
        q.filter = &filter;
    rc = call(c, RUNTIME "ListContainers", &q, &runtime__v1__list_containers_response__descriptor,
              CALL_TIMEOUT_MS, a, &r, err);
    if (rc < 0)
        return rc;
    *items = r->containers;
    *len = r->n_containers;
    return 0;
}

int cri_container_status(struct cri *c, const char *id, struct arena *a, CriContainerStatus **out,
                         struct error *err)
{
    Runtime__V1__ContainerStatusRequest q = RUNTIME__V1__CONTAINER_STATUS_REQUEST__INIT;
    Runtime__V1__ContainerStatusResponse *r;
    int rc;

    q.container_id = (char *)id;
    rc = call(c, RUNTIME "ContainerStatus", &q, &runtime__v1__container_status_response__descriptor,
              CALL_TIMEOUT_MS, a, &r, err);
    if (rc < 0)
        return rc;
    if (!r->status || !r->status->metadata)
        return error_set(err, ERR_CORRUPT, "container %s: the runtime answered without a status",
                         id);
    *out = r->status;
    return 0;
}

int cri_reopen_log(struct cri *c, const char *id, struct error *err)
{
    Runtime__V1__ReopenContainerLogRequest q = RUNTIME__V1__REOPEN_CONTAINER_LOG_REQUEST__INIT;

    q.container_id = (char *)id;
    return call_plain(c, RUNTIME "ReopenContainerLog", &q,
                      &runtime__v1__reopen_container_log_response__descriptor, CALL_TIMEOUT_MS,
                      err);
}

int cri_exec_sync(struct cri *c, const char *id, const char *const *argv, int64_t timeout_s,
                  struct arena *a, struct cri_exec *out, struct error *err)
{
    Runtime__V1__ExecSyncRequest q = RUNTIME__V1__EXEC_SYNC_REQUEST__INIT;
    Runtime__V1__ExecSyncResponse *r;
    int rc;

    q.container_id = (char *)id;
    q.cmd = (char **)argv;
    while (argv[q.n_cmd])
        q.n_cmd++;
    q.timeout = timeout_s;
    rc = call(c, RUNTIME "ExecSync", &q, &runtime__v1__exec_sync_response__descriptor,
              timeout_s ? (uint64_t)timeout_s * 1000 + 5000 : START_TIMEOUT_MS, a, &r, err);
    if (rc < 0)
        return rc;
    *out = (struct cri_exec){
        .exit_code = r->exit_code,
        .stdout_data = str_make(r->stdout.data, r->stdout.len),
        .stderr_data = str_make(r->stderr.data, r->stderr.len),
    };
    return 0;
}

int cri_exec_url(struct cri *c, const char *id, const struct cri_stream_options *o, struct arena *a,
                 const char **url, struct error *err)
{
    Runtime__V1__ExecRequest q = RUNTIME__V1__EXEC_REQUEST__INIT;
    Runtime__V1__ExecResponse *r;

    q.container_id = (char *)id;
    q.cmd = (char **)o->argv;
    while (o->argv[q.n_cmd])
        q.n_cmd++;
    q.tty = o->tty;
    q.stdin = o->in;
    q.stdout = o->out;
    q.stderr = o->err;
    int rc = call(c, RUNTIME "Exec", &q, &runtime__v1__exec_response__descriptor, CALL_TIMEOUT_MS,
                  a, &r, err);
    if (rc == 0)
        *url = r->url;
    return rc;
}

int cri_attach_url(struct cri *c, const char *id, const struct cri_stream_options *o,
                   struct arena *a, const char **url, struct error *err)
{
    Runtime__V1__AttachRequest q = RUNTIME__V1__ATTACH_REQUEST__INIT;
    Runtime__V1__AttachResponse *r;

    q.container_id = (char *)id;
    q.tty = o->tty;
    q.stdin = o->in;
    q.stdout = o->out;
    q.stderr = o->err;
    int rc = call(c, RUNTIME "Attach", &q, &runtime__v1__attach_response__descriptor,
                  CALL_TIMEOUT_MS, a, &r, err);
    if (rc == 0)
        *url = r->url;
    return rc;
}

int cri_port_forward_url(struct cri *c, const char *sandbox_id, const struct cri_stream_options *o,
                         struct arena *a, const char **url, struct error *err)
{
    Runtime__V1__PortForwardRequest q = RUNTIME__V1__PORT_FORWARD_REQUEST__INIT;
    Runtime__V1__PortForwardResponse *r;

    q.pod_sandbox_id = (char *)sandbox_id;
    q.port = (int32_t *)o->ports;
    q.n_port = o->ports_len;
    int rc = call(c, RUNTIME "PortForward", &q, &runtime__v1__port_forward_response__descriptor,
                  CALL_TIMEOUT_MS, a, &r, err);
    if (rc == 0)
        *url = r->url;
    return rc;
}

int cri_image_status(struct cri *c, const char *image, struct arena *a, CriImage **out,
                     struct error *err)
{
    Runtime__V1__ImageStatusRequest q = RUNTIME__V1__IMAGE_STATUS_REQUEST__INIT;
    Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    Runtime__V1__ImageStatusResponse *r;
    int rc;

    spec.image = (char *)image;
    q.image = &spec;
    rc = call(c, IMAGE "ImageStatus", &q, &runtime__v1__image_status_response__descriptor,
              CALL_TIMEOUT_MS, a, &r, err);
    if (rc == 0)
        *out = r->image;
    return rc;
}

int cri_list_images(struct cri *c, struct arena *a, CriImage ***items, size_t *len,
                    struct error *err)
{
    Runtime__V1__ListImagesRequest q = RUNTIME__V1__LIST_IMAGES_REQUEST__INIT;
    Runtime__V1__ListImagesResponse *r;
    int rc = call(c, IMAGE "ListImages", &q, &runtime__v1__list_images_response__descriptor,
                  CALL_TIMEOUT_MS, a, &r, err);

    if (rc < 0)
        return rc;
    *items = r->images;
    *len = r->n_images;
    return 0;
}

/* Absent strings are "" in a message. */
static char *text(const char *s)
{
    return (char *)(s ? s : "");
}

int cri_pull_image(struct cri *c, const char *image, const struct cri_auth *auth,
                   CriPodSandboxConfig *sandbox, struct arena *a, const char **image_ref,
                   struct error *err)
{
    Runtime__V1__PullImageRequest q = RUNTIME__V1__PULL_IMAGE_REQUEST__INIT;
    Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;
    Runtime__V1__AuthConfig credentials = RUNTIME__V1__AUTH_CONFIG__INIT;
    Runtime__V1__PullImageResponse *r;
    int rc;

    spec.image = (char *)image;
    q.image = &spec;
    q.sandbox_config = sandbox;
    if (auth) {
        credentials.username = text(auth->username);
        credentials.password = text(auth->password);
        credentials.auth = text(auth->auth);
        credentials.identity_token = text(auth->identity_token);
        credentials.registry_token = text(auth->registry_token);
        q.auth = &credentials;
    }
    rc = call(c, IMAGE "PullImage", &q, &runtime__v1__pull_image_response__descriptor,
              PULL_TIMEOUT_MS, a, &r, err);
    if (rc == 0)
        *image_ref = r->image_ref;
    return rc;
}

int cri_remove_image(struct cri *c, const char *image, struct error *err)
{
    Runtime__V1__RemoveImageRequest q = RUNTIME__V1__REMOVE_IMAGE_REQUEST__INIT;
    Runtime__V1__ImageSpec spec = RUNTIME__V1__IMAGE_SPEC__INIT;

    spec.image = (char *)image;
    q.image = &spec;
    return gone_is_fine(call_plain(c, IMAGE "RemoveImage", &q,
                                   &runtime__v1__remove_image_response__descriptor,
                                   START_TIMEOUT_MS, err),
                        err);
}

void *list_room(struct arena *a, void *items, size_t n, size_t item_size)
{
    if (n & (n - 1))
        return items;
    return arena_grow(a, items, n * item_size, (n ? 2 * n : 1) * item_size);
}

const char *cri_value(CriKeyValue *const *items, size_t n, const char *key)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(items[i]->key, key) == 0)
            return items[i]->value;
    }
    return NULL;
}

void cri_add_value(struct arena *a, CriKeyValue ***items, size_t *n, const char *key,
                   const char *value)
{
    CriKeyValue *pair = arena_new(a, CriKeyValue);

    runtime__v1__key_value__init(pair);
    pair->key = (char *)key;
    pair->value = (char *)value;
    *items = list_room(a, *items, *n, sizeof(void *));
    (*items)[(*n)++] = pair;
}
