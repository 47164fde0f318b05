/*
 * The Node authorizer: see authz_node.h.
 */
#include "apiserver/auth/authz_node.h"
#include "api/codec.h"
#include "api/kinds.h"
#include "api/selector.h"
#include "apiserver/pod_refs.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "kvstore/kv.h"
#include "net/loop.h"
#include "proto/resource_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"
#include <pthread.h>

#define PODS "/registry/pods/"

struct node_authz {
    struct kv *kv;
    struct loop *loop;
    const struct resource *pods;
    struct kv_watch *watch;
    pthread_mutex_t lock; /* guards by_node */
    struct map by_node;   /* node → struct map of pod keys "ns/name" */
};

/* ---- which pods run where ---- */

static struct str sub_key(struct str key)
{
    return str_slice(key, sizeof PODS - 1, key.n);
}

static void pod_on(struct node_authz *n, struct str node, struct str pod)
{
    struct map *pods = map_get(&n->by_node, node);
    if (!pods) {
        pods = mem_zalloc(sizeof *pods);
        map_init(pods);
        map_put(&n->by_node, node, pods);
    }
    map_put(pods, pod, n);
}

static void pod_off(struct node_authz *n, struct str node, struct str pod)
{
    struct map *pods = map_get(&n->by_node, node);
    if (!pods)
        return;
    map_remove(pods, pod);
    if (pods->len)
        return;
    map_remove(&n->by_node, node);
    map_free(pods);
    mem_free(pods);
}

static void clear(struct node_authz *n)
{
    struct map_iter it = {0};
    while (map_next(&n->by_node, &it)) {
        map_free(it.value);
        mem_free(it.value);
    }
    map_clear(&n->by_node);
}

static int on_scan(void *ctx, const struct kv_pair *pair)
{
    struct node_authz *n = ctx;
    char digits[32];
    struct str node = stored_field(n->pods, pair->value, "spec.nodeName", digits);
    if (node.n)
        pod_on(n, node, sub_key(pair->key));
    return 0;
}

static void on_events(void *ctx, struct kv_watch *watch, const struct kv_watch_batch *batch)
{
    struct node_authz *n = ctx;
    char digits[2][32];
    (void)watch;
    pthread_mutex_lock(&n->lock);
    for (size_t i = 0; i < batch->events_len; i++) {
        const struct kv_event *e = batch->events[i];
        struct str was = STR_NONE, is = STR_NONE;
        if (e->prev.value.n)
            was = stored_field(n->pods, e->prev.value, "spec.nodeName", digits[0]);
        if (e->type != KV_EVENT_DELETE)
            is = stored_field(n->pods, e->kv.value, "spec.nodeName", digits[1]);
        if (str_eq(was, is))
            continue;
        if (was.n)
            pod_off(n, was, sub_key(e->kv.key));
        if (is.n)
            pod_on(n, is, sub_key(e->kv.key));
    }
    pthread_mutex_unlock(&n->lock);
}

static void follow(struct node_authz *n);

static void on_closed(void *ctx, struct kv_watch *watch, int code, int64_t compact_rev)
{
    struct node_authz *n = ctx;
    (void)compact_rev;
    if (code == ERR_CANCELLED)
        return;
    log_warn("authz", "watch of pods ended → reading them again code=%d", code);
    kv_watch_close(watch);
    follow(n);
}

static const struct kv_watch_callbacks callbacks = {.events = on_events, .closed = on_closed};

/* Watch first, then read. A pod never changes its node, so an event that comes twice does no harm. */
static void follow(struct node_authz *n)
{
    struct arena a;
    struct kv_range_result out;
    struct error err;
    arena_init(&a);
    struct str end = kv_prefix_end(&a, STR(PODS));
    struct kv_watch_request watch = {.key = STR(PODS), .end = end, .prev_kv = true};
    n->watch = kv_watch(n->kv, &watch, n->loop, &callbacks, n, NULL);
    struct kv_range_request rq = {.key = STR(PODS), .end = end, .no_count = true};
    pthread_mutex_lock(&n->lock);
    clear(n);
    if (kv_scan(n->kv, &rq, on_scan, n, &a, &out, &err) < 0)
        log_error("authz", "pods not readable → nodes get nothing of theirs error=\"%s\"",
                  err.message);
    pthread_mutex_unlock(&n->lock);
    arena_free(&a);
}

struct node_authz *node_authz_new(struct kv *kv, struct loop *loop)
{
    struct node_authz *n = mem_zalloc(sizeof *n);
    n->kv = kv;
    n->loop = loop;
    n->pods = resource_of_message(Core__V1__Pod__SCHEMA);
    pthread_mutex_init(&n->lock, NULL);
    map_init(&n->by_node);
    follow(n);
    return n;
}

void node_authz_close(struct node_authz *n)
{
    if (!n)
        return;
    kv_watch_close(n->watch);
    clear(n);
    map_free(&n->by_node);
    pthread_mutex_destroy(&n->lock);
    mem_free(n);
}

/* ---- reading ---- */

static void *load(struct node_authz *n, struct arena *a, const char *key)
{
    struct kv_range_request rq = {.key = str_from(key)};
    struct kv_range_result out;
    struct error err;
    void *object;
    if (kv_range(n->kv, &rq, a, &out, &err) < 0 || out.pairs_len == 0 ||
        stored_decode(a, out.pairs[0].value, out.pairs[0].mod_rev, NULL, &object, &err) < 0)
        return NULL;
    return object;
}

/* Keys of a node's pods in a namespace (ns "": in all), in the arena. */
static size_t pods_of(struct node_authz *n, struct arena *a, const char *node, const char *ns,
                      const char ***out)
{
    size_t len = 0;
    struct str prefix = *ns ? str_from(arena_printf(a, "%s/", ns)) : STR_NONE;
    pthread_mutex_lock(&n->lock);
    const struct map *pods = map_get(&n->by_node, str_from(node));
    *out = arena_array(a, const char *, pods ? pods->len + 1 : 1);
    struct map_iter it = {0};
    while (pods && map_next(pods, &it))
        if (str_has_prefix(it.key, prefix))
            (*out)[len++] = arena_printf(a, PODS "%.*s", STR_ARG(it.key));
    pthread_mutex_unlock(&n->lock);
    return len;
}

/* ---- relations ---- */

/* Secrets that the volume behind a claim needs. */
static bool volume_has_secret(const Core__V1__PersistentVolume *pv, const char *name)
{
    const Core__V1__CSIPersistentVolumeSource *csi = pv->spec->persistent_volume_source->csi;
    const Core__V1__SecretReference *refs[] = {
        csi ? csi->node_publish_secret_ref : NULL, csi ? csi->node_stage_secret_ref : NULL,
        csi ? csi->node_expand_secret_ref : NULL, csi ? csi->controller_publish_secret_ref : NULL};
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        if (refs[i] && strcmp(refs[i]->name, name) == 0)
            return true;
    return false;
}

struct secret_search {
    struct node_authz *n;
    struct arena *a;
    const char *ns, *name;
};

static bool claim_has_secret(void *ctx, enum pod_ref kind, const char *claim_name)
{
    const struct secret_search *s = ctx;
    if (kind != POD_REF_CLAIM)
        return false;
    const Core__V1__PersistentVolumeClaim *claim =
        load(s->n, s->a,
             arena_printf(s->a, "/registry/persistentvolumeclaims/%s/%s", s->ns, claim_name));
    const Core__V1__PersistentVolume *pv =
        claim && *claim->spec->volume_name
            ? load(s->n, s->a,
                   arena_printf(s->a, "/registry/persistentvolumes/%s", claim->spec->volume_name))
            : NULL;
    return pv && volume_has_secret(pv, s->name);
}

/* Does a pod of the node refer to it? */
static bool related(struct node_authz *n, const char *node, enum pod_ref kind, const char *ns,
                    const char *name, struct arena *a)
{
    const char **keys;
    size_t len = pods_of(n, a, node, ns, &keys);
    struct secret_search search = {n, a, ns, name};
    for (size_t i = 0; i < len; i++) {
        const Core__V1__Pod *pod = load(n, a, keys[i]);
        if (!pod || strcmp(pod->spec->node_name, node) != 0)
            continue;
        if (pod_refers(pod, kind, name) ||
            (kind == POD_REF_SECRET && pod_refs_each(pod, claim_has_secret, &search)))
            return true;
    }
    return false;
}

static bool volume_related(struct node_authz *n, const char *node, const char *name,
                           struct arena *a)
{
    const Core__V1__PersistentVolume *pv =
        load(n, a, arena_printf(a, "/registry/persistentvolumes/%s", name));
    const Core__V1__ObjectReference *claim = pv ? pv->spec->claim_ref : NULL;
    return claim && related(n, node, POD_REF_CLAIM, claim->namespace_, claim->name, a);
}

static bool attachment_related(struct node_authz *n, const char *node, const char *name,
                               struct arena *a)
{
    const Storage__V1__VolumeAttachment *va =
        load(n, a, arena_printf(a, "/registry/volumeattachments/%s", name));
    return va && strcmp(va->spec->node_name, node) == 0;
}

/* ---- questions ---- */

static bool one_of(const char *verb, const char *const *verbs)
{
    for (; *verbs; verbs++)
        if (strcmp(*verbs, verb) == 0)
            return true;
    return false;
}

static const char *const reads[] = {"get", "list", "watch", NULL};
static const char *const keeps[] = {"get", "create", "update", "patch", "delete", NULL};

static bool no(const char **reason, const char *why)
{
    *reason = why;
    return false;
}

static bool by_relation(bool found, const char *node, struct arena *a, const char **reason)
{
    return found ||
           no(reason,
              arena_printf(a, "no relationship found between node '%s' and this object", node));
}

static bool read_referred(struct node_authz *n, const char *node, enum pod_ref kind,
                          const struct authz_attributes *at, struct arena *a, const char **reason)
{
    if (!one_of(at->verb, reads))
        return no(reason, "can only read resources of this type");
    if (*at->subresource)
        return no(reason, "cannot read subresource");
    if (!*at->ns)
        return no(reason, "can only read namespaced object of this type");
    if (!*at->name)
        return no(reason, "No Object name found");
    return by_relation(related(n, node, kind, at->ns, at->name, a), node, a, reason);
}

static bool get_only(const struct authz_attributes *at, const char **reason)
{
    if (strcmp(at->verb, "get") != 0)
        return no(reason, "can only get individual resources of this type");
    if (*at->subresource)
        return no(reason, "cannot get subresource");
    return *at->name || no(reason, "No Object name found");
}

static bool claim(struct node_authz *n, const char *node, const struct authz_attributes *at,
                  struct arena *a, const char **reason)
{
    static const char *const changes[] = {"update", "patch", NULL};
    if (strcmp(at->subresource, "status") == 0) {
        if (!one_of(at->verb, changes))
            return no(reason, "can only get/update/patch this type");
    } else if (!get_only(at, reason)) {
        return false;
    }
    return by_relation(related(n, node, POD_REF_CLAIM, at->ns, at->name, a), node, a, reason);
}

static bool token(struct node_authz *n, const char *node, const struct authz_attributes *at,
                  struct arena *a, const char **reason)
{
    bool reads_account = strcmp(at->verb, "get") == 0 && !*at->subresource && *at->name;
    if (reads_account)
        return by_relation(related(n, node, POD_REF_SERVICE_ACCOUNT, at->ns, at->name, a), node, a,
                           reason);
    if (strcmp(at->verb, "create") != 0 || !*at->name)
        return no(reason, "can only create tokens for individual service accounts");
    if (strcmp(at->subresource, "token") != 0)
        return no(reason, "can only create token subresource of serviceaccount");
    return by_relation(related(n, node, POD_REF_SERVICE_ACCOUNT, at->ns, at->name, a), node, a,
                       reason);
}

static bool lease(const char *node, const struct authz_attributes *at, const char **reason)
{
    if (!one_of(at->verb, keeps))
        return no(reason, "can only get, create, update, patch, or delete a node lease");
    if (strcmp(at->ns, "kube-node-lease") != 0)
        return no(reason, "can only access leases in the \"kube-node-lease\" system namespace");
    return strcmp(at->verb, "create") == 0 || strcmp(at->name, node) == 0 ||
           no(reason, "can only access node lease with the same name as the requesting node");
}

/* Lists and watches of pods or nodes must ask for the node's own only. */
static bool selects_own(const struct authz_attributes *at, const char *path, const char *node,
                        struct arena *a)
{
    struct field_selector s;
    struct error err;
    if (!at->fields || field_selector_parse(a, NULL, str_from(at->fields), &s, &err) < 0)
        return false;
    const char *value = field_selector_exact(&s, path);
    return value && strcmp(value, node) == 0;
}

static bool slice_of_node(struct node_authz *n, const char *node, const char *name, struct arena *a)
{
    const Resource__V1__ResourceSlice *s =
        load(n, a, arena_printf(a, "/registry/resourceslices/%s", name));
    return s && s->spec->node_name && strcmp(s->spec->node_name, node) == 0;
}

/* Whose a slice is that is created, NodeRestriction sees. */
static bool slice(struct node_authz *n, const char *node, const struct authz_attributes *at,
                  struct arena *a, const char **reason)
{
    static const char *const named[] = {"get", "update", "patch", "delete", NULL};
    static const char *const many[] = {"watch", "list", "deletecollection", NULL};
    if (*at->subresource)
        return no(reason, "cannot authorize ResourceSlice subresources");
    if (one_of(at->verb, named))
        return by_relation(slice_of_node(n, node, at->name, a), node, a, reason);
    if (one_of(at->verb, many))
        return selects_own(at, "spec.nodeName", node, a) ||
               no(reason, "can only list/watch/deletecollection resourceslices with nodeName field "
                          "selector");
    return strcmp(at->verb, "create") == 0 ||
           no(reason, "only the following verbs are allowed for a ResourceSlice: get, watch, list, "
                      "create, update, patch, delete, deletecollection");
}

static bool csi_node(const char *node, const struct authz_attributes *at, const char **reason)
{
    if (!one_of(at->verb, keeps))
        return no(reason, "can only get, create, update, patch, or delete a CSINode");
    if (*at->subresource)
        return no(reason, "cannot authorize CSINode subresources");
    return strcmp(at->verb, "create") == 0 || strcmp(at->name, node) == 0 ||
           no(reason, "can only access CSINode with the same name as the requesting node");
}

static bool pod(struct node_authz *n, const char *node, const struct authz_attributes *at,
                struct arena *a, const char **reason)
{
    bool one = strcmp(at->verb, "get") == 0;
    if (!one && selects_own(at, "spec.nodeName", node, a))
        return true;
    if (!one && !*at->name)
        return no(reason, "can only list/watch pods with spec.nodeName field selector");
    const Core__V1__Pod *p = load(n, a, arena_printf(a, PODS "%s/%s", at->ns, at->name));
    return by_relation(p && strcmp(p->spec->node_name, node) == 0, node, a, reason);
}

static bool own_node(const char *node, const struct authz_attributes *at, struct arena *a,
                     const char **reason)
{
    if (strcmp(at->verb, "get") == 0)
        return strcmp(at->name, node) == 0 ||
               no(reason, arena_printf(a, "node '%s' cannot read '%s', only its own Node object",
                                       node, at->name));
    return strcmp(at->name, node) == 0 || selects_own(at, "metadata.name", node, a) ||
           no(reason,
              arena_printf(a, "node '%s' cannot read all nodes, only its own Node object", node));
}

/* ---- what every node may ---- */

#define LIST(...) ((const char *[]){__VA_ARGS__, NULL})
static const char *no_names[] = {NULL};
#define RULE(group, resources, ...)                                   \
    {                                                                 \
        LIST(__VA_ARGS__), LIST(group), resources, no_names, no_names \
    }

static bool everyones(const struct authz_attributes *at)
{
    const struct rbac_rule rules[] = {
        RULE("authentication.k8s.io", LIST("tokenreviews"), "create"),
        RULE("authorization.k8s.io", LIST("subjectaccessreviews", "localsubjectaccessreviews"),
             "create"),
        RULE("", LIST("services"), "get", "list", "watch"),
        RULE("", LIST("nodes"), "create", "update", "patch"),
        RULE("", LIST("nodes/status"), "update", "patch"),
        RULE("", LIST("events"), "create", "update", "patch"),
        RULE("", LIST("endpoints"), "get"),
        RULE("", LIST("pods"), "create", "delete"),
        RULE("", LIST("pods/status"), "update", "patch"),
        RULE("", LIST("pods/eviction"), "create"),
        RULE("certificates.k8s.io", LIST("certificatesigningrequests"), "create", "get", "list",
             "watch"),
        RULE("storage.k8s.io", LIST("csidrivers"), "get", "list", "watch"),
        RULE("node.k8s.io", LIST("runtimeclasses"), "get", "list", "watch"),
    };
    for (size_t i = 0; i < ARRAY_LEN(rules); i++)
        if (rbac_rule_allows(&rules[i], at))
            return true;
    return false;
}

bool node_authz_allowed(struct node_authz *n, const char *node, const struct authz_attributes *at,
                        struct arena *a, const char **reason)
{
    *reason = "";
    if (!at->is_resource)
        return false;
    bool core = !*at->group, storage = strcmp(at->group, "storage.k8s.io") == 0;
    const char *r = at->resource;
    if (core && strcmp(r, "secrets") == 0)
        return read_referred(n, node, POD_REF_SECRET, at, a, reason);
    if (core && strcmp(r, "configmaps") == 0)
        return read_referred(n, node, POD_REF_CONFIG_MAP, at, a, reason);
    if (core && strcmp(r, "persistentvolumeclaims") == 0)
        return claim(n, node, at, a, reason);
    if (core && strcmp(r, "persistentvolumes") == 0)
        return get_only(at, reason) &&
               by_relation(volume_related(n, node, at->name, a), node, a, reason);
    if (core && strcmp(r, "serviceaccounts") == 0)
        return token(n, node, at, a, reason);
    bool read = one_of(at->verb, reads) && !*at->subresource;
    if (core && strcmp(r, "pods") == 0 && read)
        return pod(n, node, at, a, reason);
    if (core && strcmp(r, "nodes") == 0 && read)
        return own_node(node, at, a, reason);
    if (strcmp(at->group, "resource.k8s.io") == 0 && strcmp(r, "resourceclaims") == 0)
        return get_only(at, reason) &&
               by_relation(related(n, node, POD_REF_RESOURCE_CLAIM, at->ns, at->name, a), node, a,
                           reason);
    if (strcmp(at->group, "resource.k8s.io") == 0 && strcmp(r, "resourceslices") == 0)
        return slice(n, node, at, a, reason);
    if (strcmp(at->group, "coordination.k8s.io") == 0 && strcmp(r, "leases") == 0)
        return lease(node, at, reason);
    if (storage && strcmp(r, "csinodes") == 0)
        return csi_node(node, at, reason);
    if (storage && strcmp(r, "volumeattachments") == 0)
        return get_only(at, reason) &&
               by_relation(attachment_related(n, node, at->name, a), node, a, reason);
    return everyones(at);
}
