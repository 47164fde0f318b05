/*
 * State of pods as the runtime has it (see runtime.h).
 */
#include "node/runtime.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include <stdlib.h>

static const char *value_or(CriKeyValue *const *items, size_t n, const char *key,
                            const char *fallback)
{
    const char *v = cri_value(items, n, key);

    return v ? v : fallback;
}

static enum run_state state_of(Runtime__V1__ContainerState s)
{
    switch (s) {
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_CREATED:
        return RUN_CREATED;
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_RUNNING:
        return RUN_RUNNING;
    case RUNTIME__V1__CONTAINER_STATE__CONTAINER_EXITED:
        return RUN_EXITED;
    default:
        return RUN_UNKNOWN;
    }
}

static struct run_pod *pod_of(struct arena *a, struct run_pod **pods, size_t *len, const char *ns,
                              const char *name, const char *uid)
{
    struct run_pod *p;

    for (size_t i = 0; i < *len; i++) {
        if (strcmp((*pods)[i].uid, uid) == 0)
            return &(*pods)[i];
    }
    *pods = list_room(a, *pods, *len, sizeof **pods);
    p = &(*pods)[(*len)++];
    *p = (struct run_pod){.ns = arena_strdup(a, ns),
                          .name = arena_strdup(a, name),
                          .uid = arena_strdup(a, uid),
                          .grace_s = 30};
    return p;
}

/* Where on the host the file is that the container sees as its termination log: the last mount there covers
 * those before it. */
static const char *message_file(const CriContainerStatus *s, const char *path)
{
    for (size_t i = *path ? s->n_mounts : 0; i-- > 0;) {
        if (strcmp(s->mounts[i]->container_path, path) == 0)
            return s->mounts[i]->host_path;
    }
    return NULL;
}

static int read_container(struct cri *cri, const CriContainer *c, struct run_pod *pod,
                          struct arena *a, struct error *err)
{
    CriContainerStatus *s;
    struct run_container *r;
    const char *grace;
    int rc = cri_container_status(cri, c->id, a, &s, err);

    if (rc == ERR_NOT_FOUND) /* removed between the two calls */
        return 0;
    if (rc < 0)
        return rc;
    pod->containers = list_room(a, pod->containers, pod->containers_len, sizeof *r);
    r = &pod->containers[pod->containers_len++];
    *r = (struct run_container){
        .id = s->id,
        .name = value_or(s->labels, s->n_labels, LABEL_CONTAINER_NAME, s->metadata->name),
        .sandbox_id = c->pod_sandbox_id,
        .state = state_of(s->state),
        .restart_count =
            atoi(value_or(s->annotations, s->n_annotations, ANNOTATION_RESTART_COUNT, "0")),
        .created_ns = s->created_at,
        .started_ns = s->started_at,
        .finished_ns = s->finished_at,
        .exit_code = s->exit_code,
        .reason = s->reason,
        .message = s->message,
        .image = s->image ? s->image->image : "",
        .image_ref = s->image_ref,
        .hash = value_or(s->annotations, s->n_annotations, ANNOTATION_HASH, ""),
        .message_path = value_or(s->annotations, s->n_annotations, ANNOTATION_MESSAGE_PATH, ""),
        .message_policy =
            value_or(s->annotations, s->n_annotations, ANNOTATION_MESSAGE_POLICY, "File"),
        .log_path = s->log_path,
    };
    r->message_file = message_file(s, r->message_path);
    grace = cri_value(s->annotations, s->n_annotations, ANNOTATION_GRACE);
    if (grace)
        pod->grace_s = MAX(strtoll(grace, NULL, 10), 0);
    return 0;
}

static int read_sandbox(struct cri *cri, const CriPodSandbox *b, struct run_pod *pod,
                        struct arena *a, struct error *err)
{
    CriPodSandboxStatus *s;
    struct run_sandbox *r;
    const Runtime__V1__NamespaceOption *o = NULL;
    int rc = cri_sandbox_status(cri, b->id, a, &s, err);

    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return rc;
    if (s->linux && s->linux->namespaces)
        o = s->linux->namespaces->options;
    pod->sandboxes = list_room(a, pod->sandboxes, pod->sandboxes_len, sizeof *r);
    r = &pod->sandboxes[pod->sandboxes_len++];
    *r = (struct run_sandbox){
        .id = s->id,
        .ready = s->state == RUNTIME__V1__POD_SANDBOX_STATE__SANDBOX_READY,
        .host_network = o && o->network == RUNTIME__V1__NAMESPACE_MODE__NODE,
        .attempt = s->metadata->attempt,
        .created_ns = s->created_at,
        .ip = s->network ? s->network->ip : "",
    };
    return 0;
}

static int newer_container(const void *pa, const void *pb)
{
    const struct run_container *a = pa, *b = pb;

    return a->created_ns > b->created_ns ? -1 : a->created_ns < b->created_ns;
}

static int newer_sandbox(const void *pa, const void *pb)
{
    const struct run_sandbox *a = pa, *b = pb;

    return a->created_ns > b->created_ns ? -1 : a->created_ns < b->created_ns;
}

int runtime_read(struct cri *cri, const char *ns, const char *name, struct arena *a,
                 struct run_pod **pods, size_t *len, struct error *err)
{
    const struct str labels[][2] = {{STR(LABEL_POD_NAMESPACE), str_from(ns)},
                                    {STR(LABEL_POD_NAME), str_from(name)}};
    CriPodSandbox **sandboxes;
    CriContainer **containers;
    size_t sandboxes_len, containers_len;
    int rc;

    *pods = NULL;
    *len = 0;
    rc = cri_list_sandboxes(cri, labels, 2, a, &sandboxes, &sandboxes_len, err);
    if (rc == 0)
        rc = cri_list_containers(cri, labels, 2, a, &containers, &containers_len, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < sandboxes_len && rc == 0; i++) {
        const char *uid = value_or(sandboxes[i]->labels, sandboxes[i]->n_labels, LABEL_POD_UID, "");
        rc = read_sandbox(cri, sandboxes[i], pod_of(a, pods, len, ns, name, uid), a, err);
    }
    for (size_t i = 0; i < containers_len && rc == 0; i++) {
        const char *uid =
            value_or(containers[i]->labels, containers[i]->n_labels, LABEL_POD_UID, "");
        rc = read_container(cri, containers[i], pod_of(a, pods, len, ns, name, uid), a, err);
    }
    for (size_t i = 0; i < *len; i++) {
        struct run_pod *p = &(*pods)[i];
        if (p->sandboxes_len)
            qsort(p->sandboxes, p->sandboxes_len, sizeof *p->sandboxes, newer_sandbox);
        if (p->containers_len)
            qsort(p->containers, p->containers_len, sizeof *p->containers, newer_container);
    }
    return rc;
}

const struct run_container *run_container_newest(const struct run_pod *p, const char *name)
{
    for (size_t i = 0; p && i < p->containers_len; i++) {
        if (strcmp(p->containers[i].name, name) == 0)
            return &p->containers[i];
    }
    return NULL;
}

const struct run_container *run_container_previous(const struct run_pod *p, const char *name)
{
    bool first = true;

    for (size_t i = 0; p && i < p->containers_len; i++) {
        if (strcmp(p->containers[i].name, name) != 0)
            continue;
        if (!first)
            return &p->containers[i];
        first = false;
    }
    return NULL;
}

const struct run_container *run_container_by_id(const struct run_pod *p, const char *id)
{
    for (size_t i = 0; p && i < p->containers_len; i++) {
        if (strcmp(p->containers[i].id, id) == 0)
            return &p->containers[i];
    }
    return NULL;
}

const struct run_sandbox *run_sandbox_ready(const struct run_pod *p)
{
    for (size_t i = 0; p && i < p->sandboxes_len; i++) {
        if (p->sandboxes[i].ready)
            return &p->sandboxes[i];
    }
    return NULL;
}

bool run_pod_active(const struct run_pod *p)
{
    for (size_t i = 0; p && i < p->containers_len; i++) {
        if (p->containers[i].state != RUN_EXITED)
            return true;
    }
    return run_sandbox_ready(p) != NULL;
}

/* ----------------------------------------------------------------------------------- poll --- */

/* One bit of the runtime: a sandbox or a container, by id. */
struct seen {
    unsigned state;
    uint64_t round; /* the poll that saw it last */
    char key[];     /* "ns/name" of its pod */
};

struct runtime_poll {
    struct map items; /* id → struct seen */
    uint64_t round;
};

struct runtime_poll *runtime_poll_new(void)
{
    struct runtime_poll *p = mem_zalloc(sizeof *p);

    map_init(&p->items);
    return p;
}

void runtime_poll_free(struct runtime_poll *p)
{
    struct map_iter it = {0};

    if (!p)
        return;
    while (map_next(&p->items, &it))
        mem_free(it.value);
    map_free(&p->items);
    mem_free(p);
}

static void poll_item(struct runtime_poll *p, const char *id, unsigned state, CriKeyValue **labels,
                      size_t n, void (*changed)(void *ctx, const char *key), void *ctx)
{
    const char *ns = cri_value(labels, n, LABEL_POD_NAMESPACE);
    const char *name = cri_value(labels, n, LABEL_POD_NAME);
    struct seen *s = map_get(&p->items, str_from(id));

    if (!ns || !name) /* not a pod of ours */
        return;
    if (!s) {
        size_t key_len = strlen(ns) + strlen(name) + 2;
        s = mem_zalloc(sizeof *s + key_len);
        memcpy(s->key, ns, strlen(ns));
        s->key[strlen(ns)] = '/';
        memcpy(s->key + strlen(ns) + 1, name, strlen(name) + 1);
        s->state = ~state;
        map_put(&p->items, str_from(id), s);
    }
    s->round = p->round;
    if (s->state != state)
        changed(ctx, s->key);
    s->state = state;
}

int runtime_poll_changes(struct runtime_poll *p, struct cri *cri,
                         void (*changed)(void *ctx, const char *key), void *ctx, struct error *err)
{
    CriPodSandbox **sandboxes;
    CriContainer **containers;
    size_t sandboxes_len, containers_len;
    struct map_iter it = {0};
    struct arena a;
    int rc;

    arena_init(&a);
    rc = cri_list_sandboxes(cri, NULL, 0, &a, &sandboxes, &sandboxes_len, err);
    if (rc == 0)
        rc = cri_list_containers(cri, NULL, 0, &a, &containers, &containers_len, err);
    if (rc < 0)
        goto out;
    p->round++;
    for (size_t i = 0; i < sandboxes_len; i++)
        poll_item(p, sandboxes[i]->id, sandboxes[i]->state, sandboxes[i]->labels,
                  sandboxes[i]->n_labels, changed, ctx);
    for (size_t i = 0; i < containers_len; i++)
        poll_item(p, containers[i]->id, 0x100u | containers[i]->state, containers[i]->labels,
                  containers[i]->n_labels, changed, ctx);
    while (map_next(&p->items, &it)) {
        struct seen *s = it.value;
        if (s->round == p->round)
            continue;
        changed(ctx, s->key);
        mem_free(map_remove(&p->items, it.key));
    }
out:
    arena_free(&a);
    return rc;
}
