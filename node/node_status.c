/*
 * The Node object of this host (see node_status.h).
 */
#include "node/node_status.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/files.h"
#include "node/trigger.h"
#include "proto/coordination_v1.pb-c.h"
#include <inttypes.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define LEASE_NAMESPACE "kube-node-lease"
#define LEASE_SECONDS 40
#define HEARTBEAT_MS 10000
#define SETTLING_MS 300 /* while not ready: soon noticed when it becomes so */
#define RETRY_MS 1000
#define IMAGES_MAX 50

struct node_status {
    struct agent *g;
    struct trigger *trigger;
    bool registered;
    uint64_t status_at_ns, lease_at_ns; /* last written, monotonic */
};

/* ----------------------------------------------------------------------------------- host --- */

static const char *first_line(const char *path, struct arena *a)
{
    struct str text, line;

    if (file_read(path, 4096, a, &text, NULL) < 0)
        return "";
    str_split(&text, '\n', &line);
    line = str_trim(line);
    return arena_strndup(a, line.p ? line.p : "", line.n);
}

static const char *os_name(struct arena *a)
{
    struct str text, line;

    if (file_read("/etc/os-release", 65536, a, &text, NULL) < 0)
        return "Linux";
    while (str_split(&text, '\n', &line)) {
        if (!str_has_prefix(line, STR("PRETTY_NAME=")))
            continue;
        line = str_slice(line, 12, line.n);
        if (line.n >= 2 && line.p[0] == '"')
            line = str_slice(line, 1, line.n - 1);
        return arena_strndup(a, line.p, line.n);
    }
    return "Linux";
}

static int64_t memory_total(struct arena *a)
{
    struct str text, line;
    long long kib = 0;

    if (file_read("/proc/meminfo", 65536, a, &text, NULL) < 0)
        return 0;
    while (str_split(&text, '\n', &line)) {
        if (str_has_prefix(line, STR("MemTotal:")))
            sscanf(line.p, "MemTotal: %lld", &kib);
    }
    return kib * 1024;
}

void host_facts_read(const char *root_dir, struct arena *a, struct host_facts *out)
{
    struct utsname u;
    struct statvfs fs;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    uname(&u);
    *out = (struct host_facts){
        .cpus = cpus > 0 ? cpus : 1,
        .memory = memory_total(a),
        .machine_id = first_line("/etc/machine-id", a),
        .system_uuid = first_line("/sys/class/dmi/id/product_uuid", a),
        .boot_id = first_line("/proc/sys/kernel/random/boot_id", a),
        .kernel = arena_strdup(a, u.release),
        .os_image = os_name(a),
        .architecture = strcmp(u.machine, "x86_64") == 0    ? "amd64"
                        : strcmp(u.machine, "aarch64") == 0 ? "arm64"
                                                            : arena_strdup(a, u.machine),
    };
    if (statvfs(root_dir, &fs) == 0)
        out->ephemeral = (int64_t)fs.f_blocks * (int64_t)fs.f_frsize;
    if (!*out->system_uuid)
        out->system_uuid = out->machine_id;
}

/* --------------------------------------------------------------------------------- status --- */

static void put(struct arena *a, Meta__V1__QuantityEntry ***items, size_t *n, const char *name,
                int64_t value, enum quantity_format format)
{
    quantity_map_set(a, items, n, name, quantity_text(a, quantity_from_i64(value, format)));
}

static void resources_of(const struct agent *g, const struct host_facts *h, struct arena *a,
                         Core__V1__NodeStatus *s)
{
    put(a, &s->capacity, &s->n_capacity, "cpu", h->cpus, QUANTITY_DECIMAL_SI);
    put(a, &s->capacity, &s->n_capacity, "memory", h->memory, QUANTITY_BINARY_SI);
    put(a, &s->capacity, &s->n_capacity, "ephemeral-storage", h->ephemeral, QUANTITY_BINARY_SI);
    put(a, &s->capacity, &s->n_capacity, "pods", g->options.max_pods, QUANTITY_DECIMAL_SI);
    quantity_map_set(a, &s->allocatable, &s->n_allocatable, "cpu",
                     quantity_text(a, quantity_from_milli(g->cpu_milli, QUANTITY_DECIMAL_SI)));
    put(a, &s->allocatable, &s->n_allocatable, "memory", g->memory, QUANTITY_BINARY_SI);
    put(a, &s->allocatable, &s->n_allocatable, "ephemeral-storage", g->ephemeral,
        QUANTITY_DECIMAL_SI);
    put(a, &s->allocatable, &s->n_allocatable, "pods", g->options.max_pods, QUANTITY_DECIMAL_SI);
}

static const Core__V1__NodeCondition *find_condition(const Core__V1__NodeStatus *s,
                                                     const char *type)
{
    for (size_t i = 0; s && i < s->n_conditions; i++) {
        if (cstr_eq(s->conditions[i]->type, type))
            return s->conditions[i];
    }
    return NULL;
}

static void add_condition(const Core__V1__NodeStatus *old, Core__V1__NodeStatus *s,
                          const char *type, bool value, const char *reason, const char *message,
                          struct arena *a)
{
    const Core__V1__NodeCondition *before = find_condition(old, type);
    Core__V1__NodeCondition *c = api_new(a, Core__V1__NodeCondition);

    c->type = (char *)type;
    c->status = value ? "True" : "False";
    c->reason = (char *)reason;
    c->message = (char *)message;
    c->last_heartbeat_time = time_now(a);
    c->last_transition_time = before && cstr_eq(before->status, c->status)
                                  ? before->last_transition_time
                                  : c->last_heartbeat_time;
    api_append(a, s, conditions, c);
}

static void conditions_of(struct agent *g, const Core__V1__NodeStatus *old, Core__V1__NodeStatus *s,
                          struct arena *a)
{
    static const char *const own[] = {"MemoryPressure", "DiskPressure", "PIDPressure", "Ready"};
    struct cri_status runtime;
    struct error err = {0};
    const char *why = NULL;

    if (cri_status(g->cri, a, &runtime, &err) < 0)
        why = arena_printf(a, "container runtime is down: %s", err.message);
    else if (!runtime.runtime_ready || !runtime.network_ready)
        why = runtime.message;
    atomic_store(&g->network_ready, !why);
    for (size_t i = 0; old && i < old->n_conditions; i++) { /* of others */
        bool ours = false;
        for (size_t k = 0; k < ARRAY_LEN(own); k++)
            ours |= cstr_eq(old->conditions[i]->type, own[k]);
        if (!ours)
            api_append(a, s, conditions, old->conditions[i]);
    }
    add_condition(old, s, "MemoryPressure", false, "KubeletHasSufficientMemory",
                  "kubelet has sufficient memory available", a);
    add_condition(old, s, "DiskPressure", false, "KubeletHasNoDiskPressure",
                  "kubelet has no disk pressure", a);
    add_condition(old, s, "PIDPressure", false, "KubeletHasSufficientPID",
                  "kubelet has sufficient PID available", a);
    add_condition(old, s, "Ready", !why, why ? "KubeletNotReady" : "KubeletReady",
                  why ? why : "kubelet is posting ready status", a);
}

static void add_address(Core__V1__NodeStatus *s, const char *type, const char *address,
                        struct arena *a)
{
    Core__V1__NodeAddress *x = api_new(a, Core__V1__NodeAddress);

    x->type = (char *)type;
    x->address = (char *)address;
    api_append(a, s, addresses, x);
}

static void images_of(struct agent *g, Core__V1__NodeStatus *s, struct arena *a)
{
    CriImage **images;
    size_t n;

    if (cri_list_images(g->cri, a, &images, &n, NULL) < 0)
        return; /* the Ready condition says what is wrong with the runtime */
    for (size_t i = 0; i < n && i < IMAGES_MAX; i++) {
        Core__V1__ContainerImage *m = api_new(a, Core__V1__ContainerImage);
        for (size_t k = 0; k < images[i]->n_repo_digests; k++)
            api_append(a, m, names, images[i]->repo_digests[k]);
        for (size_t k = 0; k < images[i]->n_repo_tags; k++)
            api_append(a, m, names, images[i]->repo_tags[k]);
        m->size_bytes = (int64_t)images[i]->size;
        api_append(a, s, images, m);
    }
}

static Core__V1__NodeStatus *build_status(struct agent *g, const Core__V1__NodeStatus *old,
                                          struct arena *a)
{
    Core__V1__NodeStatus *s = api_new(a, Core__V1__NodeStatus);
    Core__V1__NodeSystemInfo *info = s->node_info;
    struct cri_version runtime = {"", ""};
    struct host_facts h;

    host_facts_read(g->options.root_dir, a, &h);
    resources_of(g, &h, a, s);
    conditions_of(g, old, s, a);
    add_address(s, "InternalIP", g->options.node_ip, a);
    add_address(s, "Hostname", g->options.node_name, a);
    s->daemon_endpoints->kubelet_endpoint->port = (int32_t)g->options.port;
    cri_version(g->cri, a, &runtime, NULL);
    info->machine_id = (char *)h.machine_id;
    info->system_uuid = (char *)h.system_uuid;
    info->boot_id = (char *)h.boot_id;
    info->kernel_version = (char *)h.kernel;
    info->os_image = (char *)h.os_image;
    info->operating_system = "linux";
    info->architecture = (char *)h.architecture;
    info->container_runtime_version =
        *runtime.name ? arena_printf(a, "%s://%s", runtime.name, runtime.version)
        : old         ? old->node_info->container_runtime_version
                      : "";
    info->kubelet_version = "v1.35.0+c8s." C8S_VERSION;
    info->kube_proxy_version = "";
    images_of(g, s, a);
    if (old) { /* kept by the attach controller */
        s->n_volumes_attached = old->n_volumes_attached;
        s->volumes_attached = old->volumes_attached;
    }
    return s;
}

/* The same but for the time of the heartbeat. */
static bool status_same(const Core__V1__NodeStatus *old, Core__V1__NodeStatus *now)
{
    bool same;

    for (size_t i = 0; i < now->n_conditions; i++) {
        const Core__V1__NodeCondition *before = find_condition(old, now->conditions[i]->type);
        if (!before || !cstr_eq(before->status, now->conditions[i]->status) ||
            !cstr_eq(before->reason, now->conditions[i]->reason) ||
            !cstr_eq(before->message, now->conditions[i]->message))
            return false;
    }
    same = old->n_conditions == now->n_conditions && object_equal(old->node_info, now->node_info) &&
           old->n_images == now->n_images && old->n_addresses == now->n_addresses &&
           old->n_capacity == now->n_capacity && old->n_allocatable == now->n_allocatable;
    for (size_t i = 0; same && i < now->n_capacity; i++)
        same = cstr_eq(quantity_map_get(old->capacity, old->n_capacity, now->capacity[i]->key),
                       quantity_map_get(now->capacity, now->n_capacity, now->capacity[i]->key));
    for (size_t i = 0; same && i < now->n_addresses; i++)
        same = object_equal(old->addresses[i], now->addresses[i]);
    return same;
}

/* --------------------------------------------------------------------------- registration --- */

static void set_labels(struct agent *g, Meta__V1__ObjectMeta *meta, const char *architecture,
                       struct arena *a)
{
    labels_set(a, meta, "kubernetes.io/hostname", g->options.node_name);
    labels_set(a, meta, "kubernetes.io/os", "linux");
    labels_set(a, meta, "kubernetes.io/arch", architecture);
    labels_set(a, meta, "beta.kubernetes.io/os", "linux");
    labels_set(a, meta, "beta.kubernetes.io/arch", architecture);
    for (size_t i = 0; i < g->options.node_labels.len; i++) {
        struct str value = str_from(g->options.node_labels.items[i]), key;
        str_split(&value, '=', &key);
        labels_set(a, meta, arena_strndup(a, key.p, key.n),
                   arena_strndup(a, value.p ? value.p : "", value.n));
    }
}

/* "key=value:Effect" or "key:Effect". */
static void set_taints(struct agent *g, Core__V1__NodeSpec *spec, struct arena *a)
{
    for (size_t i = 0; i < g->options.taints.len; i++) {
        struct str effect = str_from(g->options.taints.items[i]), value, key;
        Core__V1__Taint *t = api_new(a, Core__V1__Taint);

        str_split(&effect, ':', &value);
        str_split(&value, '=', &key);
        t->key = arena_strndup(a, key.p, key.n);
        t->value = arena_strndup(a, value.p ? value.p : "", value.n);
        t->effect = arena_strndup(a, effect.p ? effect.p : "", effect.n);
        api_append(a, spec, taints, t);
    }
}

static int create_node(struct agent *g, struct arena *a, struct error *err)
{
    Core__V1__Node *node = api_new(a, Core__V1__Node);
    struct host_facts h;

    host_facts_read(g->options.root_dir, a, &h);
    node->metadata->name = (char *)g->options.node_name;
    set_labels(g, node->metadata, h.architecture, a);
    set_taints(g, node->spec, a);
    node->status = build_status(g, NULL, a);
    return client_create(g->client, RESOURCE_NODES, node, NULL, a, err) ? 0 : err->code;
}

/* The node was registered before: the labels that are ours must be as they are now. */
static int refresh_labels(struct agent *g, Core__V1__Node *node, struct arena *a, struct error *err)
{
    Meta__V1__ObjectMeta *meta = arena_dup(a, node->metadata, sizeof *meta);
    Core__V1__Node *copy = arena_dup(a, node, sizeof *copy);

    copy->metadata = meta;
    meta->labels =
        arena_dup(a, node->metadata->labels, node->metadata->n_labels * sizeof *meta->labels);
    for (size_t i = 0; i < meta->n_labels; i++)
        meta->labels[i] = api_clone(a, node->metadata->labels[i]);
    set_labels(g, meta, node->status->node_info->architecture, a);
    if (object_equal(meta, node->metadata))
        return 0;
    return client_update(g->client, RESOURCE_NODES, copy, NULL, a, err) ? 0 : err->code;
}

static int register_node(struct node_status *s, struct arena *a, struct error *err)
{
    struct agent *g = s->g;
    Core__V1__Node *node;
    int rc;

    node = client_get(g->client, RESOURCE_NODES, NULL, g->options.node_name, NULL, a, err);
    if (node)
        rc = *node->status->node_info->architecture ? refresh_labels(g, node, a, err) : 0;
    else if (err->code == ERR_NOT_FOUND)
        rc = create_node(g, a, err);
    else
        rc = err->code;
    if (rc == 0) {
        s->registered = true;
        log_info("node", "registered node=%s ip=%s", g->options.node_name, g->options.node_ip);
    }
    return rc;
}

/* ------------------------------------------------------------------------------ heartbeat --- */

static int write_status(struct node_status *s, bool *ready, struct arena *a, struct error *err)
{
    struct agent *g = s->g;
    Core__V1__Node *node, *copy;
    const Core__V1__NodeCondition *condition;
    uint64_t age = clock_mono_ns() - s->status_at_ns;

    node = client_get(g->client, RESOURCE_NODES, NULL, g->options.node_name, NULL, a, err);
    if (!node) {
        s->registered = s->registered && err->code != ERR_NOT_FOUND; /* deleted: register again */
        return err->code;
    }
    copy = arena_dup(a, node, sizeof *copy);
    copy->status = build_status(g, node->status, a);
    condition = find_condition(copy->status, "Ready");
    *ready = cstr_eq(condition->status, "True");
    if (s->status_at_ns && age < (uint64_t)g->options.status_period_s * NS_PER_S &&
        status_same(node->status, copy->status))
        return 0;
    if (!client_update_status(g->client, RESOURCE_NODES, copy, NULL, a, err))
        return err->code;
    s->status_at_ns = clock_mono_ns();
    log_info("node", "wrote node status ready=%s reason=%s", condition->status, condition->reason);
    return 0;
}

static Coordination__V1__Lease *new_lease(struct agent *g, struct arena *a)
{
    Coordination__V1__Lease *lease = api_new(a, Coordination__V1__Lease);
    Core__V1__Node *node =
        client_get(g->client, RESOURCE_NODES, NULL, g->options.node_name, NULL, a, NULL);

    lease->metadata->name = (char *)g->options.node_name;
    lease->metadata->namespace_ = LEASE_NAMESPACE;
    if (node) {
        Meta__V1__OwnerReference *owner = api_new(a, Meta__V1__OwnerReference);
        owner->api_version = "v1";
        owner->kind = "Node";
        owner->name = node->metadata->name;
        owner->uid = node->metadata->uid;
        api_append(a, lease->metadata, owner_references, owner);
    }
    return lease;
}

static int renew_lease(struct node_status *s, struct arena *a, struct error *err)
{
    struct agent *g = s->g;
    Coordination__V1__Lease *lease =
        client_get(g->client, RESOURCE_LEASES, LEASE_NAMESPACE, g->options.node_name, NULL, a, err);
    bool create = !lease && err->code == ERR_NOT_FOUND;

    if (!lease && !create)
        return err->code;
    if (create)
        lease = new_lease(g, a);
    if (!lease->spec)
        lease->spec = api_new(a, Coordination__V1__LeaseSpec);
    lease->spec->holder_identity = (char *)g->options.node_name;
    api_set(lease->spec, lease_duration_seconds, LEASE_SECONDS);
    lease->spec->renew_time = micro_time_now(a);
    lease = create ? client_create(g->client, RESOURCE_LEASES, lease, NULL, a, err)
                   : client_update(g->client, RESOURCE_LEASES, lease, NULL, a, err);
    if (!lease)
        return err->code;
    s->lease_at_ns = clock_mono_ns();
    return 0;
}

static uint64_t heartbeat(void *ctx)
{
    struct node_status *s = ctx;
    struct error err = {0};
    struct arena a;
    bool ready = false;
    int rc = 0;

    arena_init(&a);
    if (!s->registered && s->g->options.register_node)
        rc = register_node(s, &a, &err);
    if (rc == 0)
        rc = write_status(s, &ready, &a, &err);
    if (rc == 0 &&
        (!s->lease_at_ns || clock_mono_ns() - s->lease_at_ns > HEARTBEAT_MS * NS_PER_MS / 2))
        rc = renew_lease(s, &a, &err);
    if (rc < 0)
        log_warn("node", "heartbeat failed err=\"%s\"", err.message);
    arena_free(&a);
    return rc < 0 ? RETRY_MS : ready ? HEARTBEAT_MS : SETTLING_MS;
}

struct node_status *node_status_start(struct agent *g)
{
    struct node_status *s = mem_zalloc(sizeof *s);

    s->g = g;
    s->trigger = trigger_start("heartbeat", SETTLING_MS, heartbeat, s);
    trigger_poke(s->trigger);
    return s;
}

void node_status_stop(struct node_status *s)
{
    if (!s)
        return;
    trigger_stop(s->trigger);
    mem_free(s);
}
