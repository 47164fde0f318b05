/*
 * NodeRestriction: a node agent changes its own node, the status of its own pods, its own lease and
 * CSINode, and nothing else.
 */
#include "apiserver/admission/certificates.h"
#include "apiserver/auth/node_identity.h"
#include "apiserver/pod_refs.h"
#include "base/arena_text.h"
#include "base/map.h"
#include "proto/authentication_v1.pb-c.h"
#include "proto/coordination_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include "proto/resource_v1.pb-c.h"
#include "proto/storage_v1.pb-c.h"
#include "base/str.h"

static const char *operation_name(const struct admission *ad)
{
    return ad->op == ADMIT_CREATE ? "CREATE" : ad->op == ADMIT_UPDATE ? "UPDATE" : "DELETE";
}

/* ---- pods ---- */

static struct status *check_mirror_owner(struct admission *ad, const char *node,
                                         const Core__V1__Pod *pod)
{
    if (pod->metadata->n_owner_references > 1)
        return admission_forbidden(
            ad, "node \"%s\" can only create pods with a single owner reference set to itself",
            node);
    const Meta__V1__OwnerReference *o =
        pod->metadata->n_owner_references ? pod->metadata->owner_references[0] : NULL;
    if (!o || strcmp(o->api_version, "v1") != 0 || strcmp(o->kind, "Node") != 0 ||
        strcmp(o->name, node) != 0)
        return admission_forbidden(
            ad, "node \"%s\" can only create pods with an owner reference set to itself", node);
    if (!api_get(o, controller, false))
        return admission_forbidden(
            ad, "node \"%s\" can only create pods with a controller owner reference set to itself",
            node);
    if (api_get(o, block_owner_deletion, false))
        return admission_forbidden(
            ad, "node \"%s\" must not set blockOwnerDeletion on an owner reference", node);
    void *object;
    struct error err;
    const struct resource *r = resource_of_message(Core__V1__Node__SCHEMA);
    int rc = rest_load(ad->rq->server, ad->a, r, "", node, &object, &err);
    struct status_about about = {"", "nodes", "Node", node};
    if (rc <= 0)
        return rc < 0 ? status_from_error(ad->a, &err) : status_not_found(ad->a, &about);
    if (strcmp(object_meta(object)->uid, o->uid) != 0)
        return admission_forbidden(ad, "node %s UID mismatch: expected %s got %s", node, o->uid,
                                   object_meta(object)->uid);
    return NULL;
}

static struct status *create_pod(struct admission *ad, const char *node)
{
    const Core__V1__Pod *pod = ad->object;
    if (!annotations_get(pod->metadata, "kubernetes.io/config.mirror"))
        return admission_forbidden(ad,
                                   "pod does not have \"kubernetes.io/config.mirror\" annotation, "
                                   "node \"%s\" can only create mirror pods",
                                   node);
    if (strcmp(pod->spec->node_name, node) != 0)
        return admission_forbidden(
            ad, "node \"%s\" can only create pods with spec.nodeName set to itself", node);
    struct status *s = check_mirror_owner(ad, node, pod);
    if (s)
        return s;
    static const struct {
        enum pod_ref kind;
        const char *what;
    } refs[] = {{POD_REF_SERVICE_ACCOUNT, "a service account"},
                {POD_REF_SECRET, "secrets"},
                {POD_REF_CONFIG_MAP, "configmaps"},
                {POD_REF_CLAIM, "persistentvolumeclaims"},
                {POD_REF_RESOURCE_CLAIM, "resourceclaims"}};
    for (size_t i = 0; i < ARRAY_LEN(refs); i++)
        if (pod_refers_any(pod, refs[i].kind))
            return admission_forbidden(ad, "node \"%s\" can not create pods that reference %s",
                                       node, refs[i].what);
    return NULL;
}

static const char *node_of(const void *pod)
{
    return ((const Core__V1__Pod *)pod)->spec->node_name;
}

static bool same_claims(const Core__V1__PodStatus *x, const Core__V1__PodStatus *y)
{
    bool same = x->n_resource_claim_statuses == y->n_resource_claim_statuses;
    for (size_t i = 0; same && i < x->n_resource_claim_statuses; i++)
        same = object_equal(x->resource_claim_statuses[i], y->resource_claim_statuses[i]);
    return same;
}

static struct status *update_pod_status(struct admission *ad, const char *node)
{
    const Core__V1__Pod *pod = ad->object, *old = ad->old;
    const Meta__V1__ObjectMeta *meta = pod->metadata, *was = old->metadata;
    if (strcmp(node_of(old), node) != 0)
        return admission_forbidden(
            ad, "node \"%s\" can only update pod status for pods with spec.nodeName set to itself",
            node);
    if (meta->n_labels != was->n_labels ||
        !string_map_contains(meta->labels, meta->n_labels, was->labels, was->n_labels))
        return admission_forbidden(ad, "node \"%s\" cannot update labels through pod status", node);
    if (!same_claims(pod->status, old->status))
        return admission_forbidden(ad, "node \"%s\" cannot update resource claim statues", node);
    return NULL;
}

static struct status *admit_pod(struct admission *ad, const char *node)
{
    if (strcmp(ad->sub, "status") == 0)
        return update_pod_status(ad, node);
    if (strcmp(ad->sub, "eviction") == 0)
        return strcmp(node_of(ad->old), node) == 0
                   ? NULL
                   : admission_forbidden(
                         ad, "node %s can only evict pods with spec.nodeName set to itself", node);
    if (*ad->sub)
        return admission_forbidden(
            ad, "unexpected pod subresource \"%s\", only 'status' and 'eviction' are allowed",
            ad->sub);
    if (ad->op == ADMIT_CREATE)
        return create_pod(ad, node);
    if (ad->op == ADMIT_DELETE)
        return strcmp(node_of(ad->old), node) == 0
                   ? NULL
                   : admission_forbidden(
                         ad, "node \"%s\" can only delete pods with spec.nodeName set to itself",
                         node);
    return admission_forbidden(
        ad, "unexpected operation \"%s\", node \"%s\" can only create and delete mirror pods",
        operation_name(ad), node);
}

/* ---- nodes ---- */

bool node_may_set_label(const char *key)
{
    static const char *const own[] = {
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
        "beta.kubernetes.io/instance-type",
        "node.kubernetes.io/instance-type",
        "kubernetes.io/os",
        "kubernetes.io/arch",
        "beta.kubernetes.io/os",
        "beta.kubernetes.io/arch",
    };
    static const char *const own_spaces[] = {"kubelet.kubernetes.io", "node.kubernetes.io"};
    const char *slash = strchr(key, '/');
    if (!slash)
        return true;
    struct str space = str_make(key, (size_t)(slash - key));
    if (str_eqz(space, "node-restriction.kubernetes.io") ||
        str_has_suffix(space, STR(".node-restriction.kubernetes.io")))
        return false;
    if (!str_eqz(space, "kubernetes.io") && !str_has_suffix(space, STR(".kubernetes.io")) &&
        !str_eqz(space, "k8s.io") && !str_has_suffix(space, STR(".k8s.io")))
        return true;
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (strcmp(own[i], key) == 0)
            return true;
    for (size_t i = 0; i < ARRAY_LEN(own_spaces); i++) {
        struct str s = str_from(own_spaces[i]);
        if (str_eq(space, s) || (str_has_suffix(space, s) && space.p[space.n - s.n - 1] == '.'))
            return true;
    }
    return false;
}

/* The keys among `labels` that are not in `others` with the same value and that a node may not set. */
static size_t note_forbidden(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *others,
                             const char **bad, bool values_too)
{
    struct map index;
    size_t n = 0;
    map_init(&index);
    for (size_t i = others ? others->n_labels : 0; i-- > 0;)
        map_put(&index, str_from(others->labels[i]->key), others->labels[i]->value);
    for (size_t i = 0; i < meta->n_labels; i++) {
        const char *key = meta->labels[i]->key, *other = map_get(&index, str_from(key));
        if ((!other || (values_too && strcmp(other, meta->labels[i]->value) != 0)) &&
            !node_may_set_label(key))
            bad[n++] = key;
    }
    map_free(&index);
    return n;
}

/* Labels that differ and that a node may not set, comma-separated; "" for none. */
const char *node_forbidden_labels(struct arena *a, const Meta__V1__ObjectMeta *meta,
                                  const Meta__V1__ObjectMeta *old)
{
    size_t max = meta->n_labels + (old ? old->n_labels : 0);
    const char **bad = arena_array(a, const char *, max + 1);
    size_t n = note_forbidden(meta, old, bad, true);
    if (old)
        n += note_forbidden(old, meta, bad + n, false);
    qsort(bad, n, sizeof *bad, cstr_order);
    return arena_join(a, bad, n, ", ");
}

static struct status *admit_node(struct admission *ad, const char *node)
{
    if (strcmp(ad->name, node) != 0)
        return admission_forbidden(ad, "node \"%s\" is not allowed to modify node \"%s\"", node,
                                   ad->name);
    if (ad->op == ADMIT_DELETE)
        return NULL;
    const Core__V1__Node *n = ad->object, *old = ad->old;
    const char *bad = node_forbidden_labels(ad->a, n->metadata, old ? old->metadata : NULL);
    if (ad->op == ADMIT_CREATE)
        return *bad ? admission_forbidden(
                          ad, "node \"%s\" is not allowed to set the following labels: %s", node,
                          bad)
                    : NULL;
    bool same = n->spec->n_taints == old->spec->n_taints;
    for (size_t i = 0; same && i < n->spec->n_taints; i++)
        same = object_equal(n->spec->taints[i], old->spec->taints[i]);
    if (!same)
        return admission_forbidden(ad, "node \"%s\" is not allowed to modify taints", node);
    if (*bad)
        return admission_forbidden(ad, "is not allowed to modify labels: %s", bad);
    if (n->metadata->n_owner_references || old->metadata->n_owner_references) {
        bool owners = n->metadata->n_owner_references == old->metadata->n_owner_references;
        for (size_t i = 0; owners && i < n->metadata->n_owner_references; i++)
            owners =
                object_equal(n->metadata->owner_references[i], old->metadata->owner_references[i]);
        if (!owners)
            return admission_forbidden(ad, "node \"%s\" is not allowed to modify ownerReferences",
                                       node);
    }
    return NULL;
}

/* ---- the rest ---- */

static struct status *admit_claim(struct admission *ad, const char *node)
{
    if (strcmp(ad->sub, "status") != 0)
        return admission_forbidden(ad, "may only update PVC status");
    Core__V1__PersistentVolumeClaim *claim = object_clone(ad->a, ad->object);
    const Core__V1__PersistentVolumeClaim *old = ad->old;
    /* What a node reports: how large the volume is now. */
    claim->status->capacity = old->status->capacity;
    claim->status->n_capacity = old->status->n_capacity;
    claim->status->conditions = old->status->conditions;
    claim->status->n_conditions = old->status->n_conditions;
    claim->status->allocated_resources = old->status->allocated_resources;
    claim->status->n_allocated_resources = old->status->n_allocated_resources;
    claim->status->allocated_resource_statuses = old->status->allocated_resource_statuses;
    claim->status->n_allocated_resource_statuses = old->status->n_allocated_resource_statuses;
    if (object_equal_except(claim, old, "metadata"))
        return NULL;
    return admission_forbidden(
        ad,
        "node \"%s\" is not allowed to update fields other than status.quantity and "
        "status.conditions",
        node);
}

/* Does the driver of a volume want tokens for the audience? */
static bool driver_wants(struct admission *ad, const char *driver, const char *audience)
{
    void *object;
    struct error err;
    if (rest_load(ad->rq->server, ad->a, resource_of_message(Storage__V1__CSIDriver__SCHEMA), "",
                  driver, &object, &err) <= 0)
        return false;
    const Storage__V1__CSIDriverSpec *spec = ((const Storage__V1__CSIDriver *)object)->spec;
    for (size_t i = 0; i < spec->n_token_requests; i++)
        if (strcmp(spec->token_requests[i]->audience, audience) == 0)
            return true;
    return false;
}

/* The driver of the volume that is bound to a claim; NULL: none. */
static const char *driver_of_claim(struct admission *ad, const char *claim)
{
    void *object;
    struct error err;
    if (rest_load(ad->rq->server, ad->a,
                  resource_of_message(Core__V1__PersistentVolumeClaim__SCHEMA), ad->ns, claim,
                  &object, &err) <= 0)
        return NULL;
    const char *volume = ((const Core__V1__PersistentVolumeClaim *)object)->spec->volume_name;
    if (!*volume ||
        rest_load(ad->rq->server, ad->a, resource_of_message(Core__V1__PersistentVolume__SCHEMA),
                  "", volume, &object, &err) <= 0)
        return NULL;
    const Core__V1__CSIPersistentVolumeSource *csi =
        ((const Core__V1__PersistentVolume *)object)->spec->persistent_volume_source->csi;
    return csi ? csi->driver : NULL;
}

static bool volume_wants(struct admission *ad, const Core__V1__Pod *pod, const Core__V1__Volume *v,
                         const char *audience)
{
    const Core__V1__VolumeSource *s = v->volume_source;
    const char *driver = NULL;
    for (size_t i = 0; s->projected && i < s->projected->n_sources; i++) {
        const Core__V1__ServiceAccountTokenProjection *t =
            s->projected->sources[i]->service_account_token;
        if (t && strcmp(t->audience, audience) == 0)
            return true;
    }
    if (s->csi)
        driver = s->csi->driver;
    else if (s->persistent_volume_claim)
        driver = driver_of_claim(ad, s->persistent_volume_claim->claim_name);
    else if (s->ephemeral)
        driver = driver_of_claim(ad, arena_printf(ad->a, "%s-%s", pod->metadata->name, v->name));
    return driver && driver_wants(ad, driver, audience);
}

/* A node asks for the tokens its pod has use for, and for audiences that it was granted by name. */
static struct status *check_audience(struct admission *ad, const Core__V1__Pod *pod)
{
    const Authentication__V1__TokenRequest *tr = ad->object;
    if (tr->spec->n_audiences > 1)
        return admission_forbidden(ad, "node may only request 0 or 1 audiences");
    const char *audience = tr->spec->n_audiences ? tr->spec->audiences[0] : "";
    for (size_t i = 0; i < pod->spec->n_volumes; i++)
        if (volume_wants(ad, pod, pod->spec->volumes[i], audience))
            return NULL;
    const struct authz_attributes at = {.user = ad->user,
                                        .verb = "request-serviceaccounts-token-audience",
                                        .is_resource = true,
                                        .group = "",
                                        .resource = audience,
                                        .subresource = "",
                                        .ns = ad->ns,
                                        .name = ad->name,
                                        .path = ""};
    if (authz_allowed(ad->rq->server->authz, &at, ad->a, NULL))
        return NULL;
    return admission_forbidden(
        ad,
        "audience \"%s\" not found in pod spec volume, %s is not authorized to request tokens for "
        "this audience",
        audience, ad->user->name);
}

static struct status *admit_token(struct admission *ad, const char *node)
{
    if (ad->op != ADMIT_CREATE || strcmp(ad->sub, "token") != 0)
        return NULL;
    const Authentication__V1__BoundObjectReference *ref =
        ((const Authentication__V1__TokenRequest *)ad->object)->spec->bound_object_ref;
    if (!ref || strcmp(ref->api_version, "v1") != 0 || strcmp(ref->kind, "Pod") != 0 || !*ref->name)
        return admission_forbidden(ad, "node requested token not bound to a pod");
    if (!*ref->uid)
        return admission_forbidden(ad, "node requested token with a pod binding without a uid");
    void *object;
    struct error err;
    int rc = rest_load(ad->rq->server, ad->a, resource_of_message(Core__V1__Pod__SCHEMA), ad->ns,
                       ref->name, &object, &err);
    struct status_about about = {"", "pods", "Pod", ref->name};
    if (rc <= 0)
        return rc < 0 ? status_from_error(ad->a, &err) : status_not_found(ad->a, &about);
    const Core__V1__Pod *pod = object;
    if (strcmp(ref->uid, pod->metadata->uid) != 0)
        return admission_forbidden(ad,
                                   "the UID in the bound object reference (%s) does not match the "
                                   "UID in record. The object "
                                   "might have been deleted and then recreated",
                                   ref->uid);
    if (strcmp(pod->spec->node_name, node) != 0)
        return admission_forbidden(
            ad, "node requested token bound to a pod scheduled on a different node");
    return check_audience(ad, pod);
}

static struct status *admit_slice(struct admission *ad, const char *node)
{
    if (ad->op == ADMIT_UPDATE)
        return NULL;
    const Resource__V1__ResourceSlice *s = ad->op == ADMIT_CREATE ? ad->object : ad->old;
    if (s->spec->node_name && strcmp(s->spec->node_name, node) == 0)
        return NULL;
    return admission_forbidden(
        ad, "can only %s ResourceSlice with the same NodeName as the requesting node",
        ad->op == ADMIT_CREATE ? "create" : "delete");
}

/* A node asks for certificates in its own name only. */
static struct status *admit_request(struct admission *ad, const char *node)
{
    if (ad->op != ADMIT_CREATE)
        return NULL;
    const Certificates__V1__CertificateSigningRequest *csr = ad->object;
    struct x509_info info;
    struct error err;
    if (strcmp(csr->spec->signer_name, "kubernetes.io/kubelet-serving") != 0 &&
        strcmp(csr->spec->signer_name, "kubernetes.io/kube-apiserver-client-kubelet") != 0)
        return NULL;
    if (admission_request_info(ad, csr, &info, &err) < 0)
        return admission_forbidden(ad, "unable to parse csr: %s", err.message);
    bool own = info.common_name && strcmp(info.common_name, ad->user->name) == 0;
    x509_info_free(&info);
    return own ? NULL
               : admission_forbidden(ad, "can only create a node CSR with CN=system:node:%s", node);
}

static struct status *admit(struct admission *ad)
{
    const char *node;
    if (!node_identity(ad->user, &node))
        return NULL;
    if (!*node)
        return admission_forbidden(ad, "could not determine node from user \"%s\"", ad->user->name);
    switch (ad->r->stored_as) {
    case Core__V1__Pod__SCHEMA:
        return admit_pod(ad, node);
    case Core__V1__Node__SCHEMA:
        return admit_node(ad, node);
    case Core__V1__PersistentVolumeClaim__SCHEMA:
        return admit_claim(ad, node);
    case Core__V1__ServiceAccount__SCHEMA:
        return admit_token(ad, node);
    case Certificates__V1__CertificateSigningRequest__SCHEMA:
        return admit_request(ad, node);
    case Resource__V1__ResourceSlice__SCHEMA:
        return admit_slice(ad, node);
    case Coordination__V1__Lease__SCHEMA:
        if (strcmp(ad->ns, "kube-node-lease") != 0)
            return admission_forbidden(
                ad, "can only access leases in the \"kube-node-lease\" system namespace");
        return strcmp(ad->name, node) == 0
                   ? NULL
                   : admission_forbidden(ad, "can only access node lease with the same name as the "
                                             "requesting node");
    case Storage__V1__CSINode__SCHEMA:
        return strcmp(ad->name, node) == 0
                   ? NULL
                   : admission_forbidden(
                         ad, "can only access CSINode with the same name as the requesting node");
    default:
        return NULL;
    }
}

/* Mirror pods and labels are judged as they will be stored. */
const struct admission_plugin admission_node_restriction = {.name = "NodeRestriction",
                                                            .mutate = admit};
