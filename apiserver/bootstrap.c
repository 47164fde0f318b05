/*
 * Bootstrap objects: see bootstrap.h.
 */
#include "apiserver/bootstrap.h"
#include "api/defaults.h"
#include "api/meta.h"
#include "apiserver/allocator.h"
#include "apiserver/rest.h"
#include "base/mem.h"
#include "base/random.h"
#include "proto/core_v1.pb-c.h"
#include "proto/discovery_v1.pb-c.h"
#include "proto/networking_v1.pb-c.h"
#include "proto/rbac_v1.pb-c.h"
#include "proto/scheduling_v1.pb-c.h"
#include <stdlib.h>

/* ---- writing ---- */

static void stamp(struct arena *a, void *object)
{
    Meta__V1__ObjectMeta *meta = object_meta(object);
    char uid[37];
    random_uuid(uid);
    meta->uid = arena_strdup(a, uid);
    meta->creation_timestamp = time_now(a);
}

static struct str encoded(struct arena *a, const void *object)
{
    struct buf b;
    buf_init(&b);
    stored_encode(object, &b);
    struct str s = str_make(arena_dup(a, b.data, b.len), b.len);
    buf_free(&b);
    return s;
}

static struct str key_of(struct arena *a, const void *object)
{
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    return rest_key(a, resource_of_message(schema_of(object)->id), meta->namespace_, meta->name);
}

static bool exists(struct apiserver *s, struct arena *a, struct str key)
{
    struct kv_range_request rq = {.key = key, .keys_only = true};
    struct kv_range_result out;
    struct error err;
    return kv_range(s->kv, &rq, a, &out, &err) == 0 && out.pairs_len > 0;
}

/* Put objects in one transaction, each only if absent; all or none. ERR_EXISTS: one was there. */
static int put_absent(struct apiserver *s, const struct str *keys, const struct str *values,
                      size_t n, struct error *err)
{
    struct kv_compare compares[4];
    struct kv_op ops[4];
    for (size_t i = 0; i < n; i++) {
        compares[i] = (struct kv_compare){
            .target = KV_COMPARE_MOD, .result = KV_EQUAL, .key = keys[i], .number = 0};
        ops[i] = (struct kv_op){.type = KV_OP_PUT, .put = {.key = keys[i], .value = values[i]}};
    }
    struct kv_txn_request txn = {
        .compares = compares, .compares_len = n, .then = ops, .then_len = n};
    struct kv_txn_result *r = kv_txn_wait(s->kv, &txn);
    int rc = r->code < 0    ? error_set(err, r->code, "%s", r->message)
             : r->succeeded ? 0
                            : ERR_EXISTS;
    kv_txn_result_free(r);
    return rc;
}

static int create_absent(struct apiserver *s, struct arena *a, void *object, struct error *err)
{
    struct str key = key_of(a, object);
    if (exists(s, a, key))
        return 0;
    stamp(a, object);
    defaults_apply(a, object);
    struct str value = encoded(a, object);
    int rc = put_absent(s, &key, &value, 1, err);
    return rc == ERR_EXISTS ? 0 : rc;
}

/* ---- the objects ---- */

static int create_namespaces(struct apiserver *s, struct arena *a, struct error *err)
{
    static const char *const names[] = {"kube-system", "kube-public", "kube-node-lease", "default"};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        Core__V1__Namespace *ns = api_new(a, Core__V1__Namespace);
        ns->metadata->name = (char *)names[i];
        labels_set(a, ns->metadata, "kubernetes.io/metadata.name", names[i]);
        api_append(a, ns->spec, finalizers, (char *)"kubernetes");
        ns->status->phase = (char *)"Active";
        if (create_absent(s, a, ns, err) < 0)
            return error_wrap(err, "namespace %s", names[i]);
    }
    return 0;
}

static int create_priority_classes(struct apiserver *s, struct arena *a, struct error *err)
{
    static const struct {
        const char *name;
        int32_t value;
        const char *description;
    } classes[] = {
        {"system-cluster-critical", 2000000000,
         "Used for system critical pods that must run in the cluster, but can be moved to another "
         "node if necessary."},
        {"system-node-critical", 2000001000,
         "Used for system critical pods that must not be moved from their current node."},
    };
    for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
        Scheduling__V1__PriorityClass *c = api_new(a, Scheduling__V1__PriorityClass);
        c->metadata->name = (char *)classes[i].name;
        c->metadata->generation = 1;
        c->value = classes[i].value;
        c->description = (char *)classes[i].description;
        c->preemption_policy = (char *)"PreemptLowerPriority";
        if (create_absent(s, a, c, err) < 0)
            return error_wrap(err, "priority class %s", classes[i].name);
    }
    return 0;
}

static int create_roles(struct apiserver *s, struct arena *a, yyjson_val *list, int message,
                        struct error *err)
{
    size_t i, n;
    yyjson_val *v;
    yyjson_arr_foreach (list, i, n, v) {
        void *object;
        if (json_decode_value(a, schema_get(message), v, NULL, &object, err) < 0 ||
            create_absent(s, a, object, err) < 0)
            return error_wrap(err, "bootstrap role %zu", i);
    }
    return 0;
}

static int create_rbac(struct apiserver *s, struct arena *a, struct error *err)
{
    static const struct {
        const char *key;
        int message;
    } lists[] = {{"clusterroles", Rbac__V1__ClusterRole__SCHEMA},
                 {"clusterrolebindings", Rbac__V1__ClusterRoleBinding__SCHEMA},
                 {"roles", Rbac__V1__Role__SCHEMA},
                 {"rolebindings", Rbac__V1__RoleBinding__SCHEMA}};
    yyjson_val *root;
    if (json_read(a, str_make(bootstrap_rbac_json, bootstrap_rbac_json_len), &root, err) < 0)
        return error_wrap(err, "bootstrap_rbac.json");
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        if (create_roles(s, a, yyjson_obj_get(root, lists[i].key), lists[i].message, err) < 0)
            return err->code;
    return 0;
}

static Networking__V1__IPAddress *address_object(struct arena *a, const char *ip)
{
    Networking__V1__IPAddress *o = api_new(a, Networking__V1__IPAddress);
    o->metadata->name = (char *)ip;
    labels_set(a, o->metadata, "ipaddress.kubernetes.io/ip-family", "IPv4");
    labels_set(a, o->metadata, "ipaddress.kubernetes.io/managed-by", "ipallocator.k8s.io");
    o->spec->parent_ref = api_new(a, Networking__V1__ParentReference);
    o->spec->parent_ref->resource = (char *)"services";
    o->spec->parent_ref->namespace_ = (char *)"default";
    o->spec->parent_ref->name = (char *)"kubernetes";
    stamp(a, o);
    return o;
}

static Core__V1__Service *service_object(struct apiserver *s, struct arena *a, const char *ip)
{
    Core__V1__Service *o = api_new(a, Core__V1__Service);
    o->metadata->name = (char *)"kubernetes";
    o->metadata->namespace_ = (char *)"default";
    labels_set(a, o->metadata, "component", "apiserver");
    labels_set(a, o->metadata, "provider", "kubernetes");
    Core__V1__ServicePort *port = api_new(a, Core__V1__ServicePort);
    port->name = (char *)"https";
    port->protocol = (char *)"TCP";
    port->port = 443;
    port->target_port = int_or_string_int(a, apiserver_port(s));
    api_append(a, o->spec, ports, port);
    o->spec->type = (char *)"ClusterIP";
    o->spec->cluster_ip = (char *)ip;
    api_append(a, o->spec, cluster_ips, (char *)ip);
    api_append(a, o->spec, ip_families, (char *)"IPv4");
    o->spec->ip_family_policy = (char *)"SingleStack";
    stamp(a, o);
    defaults_apply(a, o);
    return o;
}

static int create_service(struct apiserver *s, struct arena *a, struct error *err)
{
    char first[INET_ADDRSTRLEN];
    service_net_first(s->service_net, first);
    const char *ip = arena_strdup(a, first);
    Core__V1__Service *service = service_object(s, a, ip);
    Networking__V1__IPAddress *address = address_object(a, ip);
    struct str keys[2] = {key_of(a, service), key_of(a, address)};
    if (exists(s, a, keys[0]))
        return 0;
    struct str values[2] = {encoded(a, service), encoded(a, address)};
    int rc = put_absent(s, keys, values, 2, err);
    if (rc == ERR_EXISTS && !exists(s, a, keys[0]))
        return error_set(err, ERR_EXISTS, "address %s of service kubernetes is taken", ip);
    return rc == ERR_EXISTS ? 0 : rc;
}

int bootstrap_objects(struct apiserver *s, struct error *err)
{
    struct arena a;
    arena_init(&a);
    int rc = create_namespaces(s, &a, err);
    if (rc == 0)
        rc = create_rbac(s, &a, err);
    if (rc == 0)
        rc = create_priority_classes(s, &a, err);
    if (rc == 0)
        rc = create_service(s, &a, err);
    arena_free(&a);
    return rc;
}

/* ---- endpoints of the members ---- */

/* Write `object` over what is stored under its key, if that is different or absent. */
static int converge(struct apiserver *s, struct arena *a, void *object, struct error *err)
{
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    const struct resource *r = resource_of_message(schema_of(object)->id);
    struct kv_range_request rq = {.key = rest_key(a, r, meta->namespace_, meta->name)};
    struct kv_range_result out;
    if (kv_range(s->kv, &rq, a, &out, err) < 0)
        return err->code;
    int64_t mod_rev = 0;
    defaults_apply(a, object);
    if (out.pairs_len) {
        void *old;
        if (stored_decode(a, out.pairs[0].value, out.pairs[0].mod_rev, NULL, &old, err) < 0)
            return err->code;
        if (object_equal_except(object, old, "metadata"))
            return 0;
        mod_rev = out.pairs[0].mod_rev;
        object_share_member(object, old, "metadata");
    } else {
        stamp(a, object);
    }
    struct kv_compare same = {
        .target = KV_COMPARE_MOD, .result = KV_EQUAL, .key = rq.key, .number = mod_rev};
    struct kv_op put = {.type = KV_OP_PUT, .put = {.key = rq.key, .value = encoded(a, object)}};
    struct kv_txn_request txn = {.compares = &same, .compares_len = 1, .then = &put, .then_len = 1};
    struct kv_txn_result *result = kv_txn_wait(s->kv, &txn);
    int rc = result->code < 0    ? error_set(err, result->code, "%s", result->message)
             : result->succeeded ? 0
                                 : ERR_CONFLICT;
    kv_txn_result_free(result);
    return rc;
}

static Core__V1__Endpoints *endpoints_object(struct arena *a, const char *const *ips, size_t n,
                                             int port)
{
    Core__V1__Endpoints *e = api_new(a, Core__V1__Endpoints);
    e->metadata->name = (char *)"kubernetes";
    e->metadata->namespace_ = (char *)"default";
    labels_set(a, e->metadata, "endpointslice.kubernetes.io/skip-mirror", "true");
    Core__V1__EndpointSubset *subset = api_new(a, Core__V1__EndpointSubset);
    for (size_t i = 0; i < n; i++) {
        Core__V1__EndpointAddress *address = api_new(a, Core__V1__EndpointAddress);
        address->ip = (char *)ips[i];
        api_append(a, subset, addresses, address);
    }
    Core__V1__EndpointPort *p = api_new(a, Core__V1__EndpointPort);
    p->name = (char *)"https";
    p->port = port;
    p->protocol = (char *)"TCP";
    api_append(a, subset, ports, p);
    if (n)
        api_append(a, e, subsets, subset);
    return e;
}

static Discovery__V1__EndpointSlice *slice_object(struct arena *a, const char *const *ips, size_t n,
                                                  int port)
{
    Discovery__V1__EndpointSlice *e = api_new(a, Discovery__V1__EndpointSlice);
    e->metadata->name = (char *)"kubernetes";
    e->metadata->namespace_ = (char *)"default";
    labels_set(a, e->metadata, "kubernetes.io/service-name", "kubernetes");
    e->address_type = (char *)"IPv4";
    for (size_t i = 0; i < n; i++) {
        Discovery__V1__Endpoint *endpoint = api_new(a, Discovery__V1__Endpoint);
        api_append(a, endpoint, addresses, (char *)ips[i]);
        if (!endpoint->conditions)
            endpoint->conditions = api_new(a, Discovery__V1__EndpointConditions);
        api_set(endpoint->conditions, ready, 1);
        api_append(a, e, endpoints, endpoint);
    }
    Discovery__V1__EndpointPort *p = api_new(a, Discovery__V1__EndpointPort);
    p->name = (char *)"https";
    p->protocol = (char *)"TCP";
    api_set(p, port, port);
    api_append(a, e, ports, p);
    return e;
}

int bootstrap_endpoints(struct apiserver *s, struct arena *a, const char *const *ips,
                        size_t ips_len, struct error *err)
{
    int port = apiserver_port(s);
    int rc = converge(s, a, endpoints_object(a, ips, ips_len, port), err);
    if (rc == 0 || rc == ERR_CONFLICT)
        rc = converge(s, a, slice_object(a, ips, ips_len, port), err);
    return rc;
}
