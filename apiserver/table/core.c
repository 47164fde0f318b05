/*
 * Rows of the core kinds.
 */
#include "api/meta.h"
#include "api/quantity.h"
#include "api/selector.h"
#include "apiserver/table/table.h"
#include "apiserver/table/text.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "proto/core_v1.pb-c.h"
#include "proto/events_v1.pb-c.h"

static const char *node_address(const Core__V1__Node *n, const char *type)
{
    for (size_t i = 0; i < n->status->n_addresses; i++)
        if (strcmp(n->status->addresses[i]->type, type) == 0)
            return n->status->addresses[i]->address;
    return "<none>";
}

static const char *node_status(struct arena *a, const Core__V1__Node *n)
{
    const char *status = "Unknown";
    for (size_t i = 0; i < n->status->n_conditions; i++)
        if (strcmp(n->status->conditions[i]->type, "Ready") == 0)
            status = strcmp(n->status->conditions[i]->status, "True") == 0 ? "Ready" : "NotReady";
    return n->spec->unschedulable ? arena_printf(a, "%s,SchedulingDisabled", status) : status;
}

static const char *node_roles(struct arena *a, const Core__V1__Node *n)
{
    struct text t = text_new(a);
    const struct str prefix = STR("node-role.kubernetes.io/");
    const char **roles = arena_array(a, const char *, n->metadata->n_labels);
    size_t len = 0;
    for (size_t i = 0; i < n->metadata->n_labels; i++) {
        const char *key = n->metadata->labels[i]->key;
        if (str_has_prefix(str_from(key), prefix) && key[prefix.n])
            roles[len++] = key + prefix.n;
        else if (strcmp(key, "kubernetes.io/role") == 0 && *n->metadata->labels[i]->value)
            roles[len++] = n->metadata->labels[i]->value;
    }
    qsort(roles, len, sizeof *roles, cstr_order);
    for (size_t i = 0; i < len; i++)
        if (i == 0 || strcmp(roles[i], roles[i - 1]) != 0)
            text_item(&t, ",", roles[i]);
    return text_or_none(&t);
}

static void print_node(struct cells *c, const Core__V1__Node *n)
{
    const Core__V1__NodeSystemInfo *info = n->status->node_info;
    cell_string(c, n->metadata->name);
    cell_string(c, node_status(c->a, n));
    cell_string(c, node_roles(c->a, n));
    cell_string(c, text_age(c, n->metadata->creation_timestamp));
    cell_string(c, info->kubelet_version);
    cell_string(c, node_address(n, "InternalIP"));
    cell_string(c, node_address(n, "ExternalIP"));
    cell_string(c, *info->os_image ? info->os_image : "<unknown>");
    cell_string(c, *info->kernel_version ? info->kernel_version : "<unknown>");
    cell_string(c,
                *info->container_runtime_version ? info->container_runtime_version : "<unknown>");
}

static const char *external_ips(struct arena *a, const Core__V1__Service *s)
{
    struct text t = text_new(a);
    if (strcmp(s->spec->type, "ExternalName") == 0)
        return s->spec->external_name;
    for (size_t i = 0; s->status->load_balancer && i < s->status->load_balancer->n_ingress; i++) {
        const Core__V1__LoadBalancerIngress *in = s->status->load_balancer->ingress[i];
        text_item(&t, ",", *in->ip ? in->ip : in->hostname);
    }
    for (size_t i = 0; i < s->spec->n_external_ips; i++)
        text_item(&t, ",", s->spec->external_ips[i]);
    if (t.count == 0 && strcmp(s->spec->type, "LoadBalancer") == 0)
        return "<pending>";
    return text_or_none(&t);
}

static const char *service_ports(struct arena *a, const Core__V1__Service *s)
{
    struct text t = text_new(a);
    for (size_t i = 0; i < s->spec->n_ports; i++) {
        const Core__V1__ServicePort *p = s->spec->ports[i];
        text_item(&t, ",",
                  p->node_port ? arena_printf(a, "%d:%d/%s", p->port, p->node_port, p->protocol)
                               : arena_printf(a, "%d/%s", p->port, p->protocol));
    }
    return text_or_none(&t);
}

static void print_service(struct cells *c, const Core__V1__Service *s)
{
    cell_string(c, s->metadata->name);
    cell_string(c, s->spec->type);
    cell_string(c, s->spec->n_cluster_ips ? s->spec->cluster_ips[0]
                   : *s->spec->cluster_ip ? s->spec->cluster_ip
                                          : "<none>");
    cell_string(c, external_ips(c->a, s));
    cell_string(c, service_ports(c->a, s));
    cell_string(c, text_age(c, s->metadata->creation_timestamp));
    cell_string(c, text_map(c->a, s->spec->selector, s->spec->n_selector));
}

#define ENDPOINTS_SHOWN 3

/* The first few. Of all there may be as many as ports times addresses: those are only counted. */
static const char *endpoints_text(struct arena *a, const Core__V1__Endpoints *e)
{
    struct text t = text_new(a);
    size_t all = 0;
    for (size_t i = 0; i < e->n_subsets; i++) {
        const Core__V1__EndpointSubset *s = e->subsets[i];
        size_t ports = MAX(s->n_ports, (size_t)1), here = ports * s->n_addresses;
        all += here;
        for (size_t k = 0; k < here && t.count < ENDPOINTS_SHOWN; k++) {
            const char *ip = s->addresses[k % s->n_addresses]->ip;
            text_item(&t, ",",
                      s->n_ports ? arena_printf(a, "%s:%d", ip, s->ports[k / s->n_addresses]->port)
                                 : ip);
        }
    }
    if (all <= ENDPOINTS_SHOWN)
        return text_or_none(&t);
    return arena_printf(a, "%s + %zu more...", arena_text_of(&t.joined), all - ENDPOINTS_SHOWN);
}

static const char *access_modes(struct arena *a, char *const *modes, size_t n)
{
    struct text t = text_new(a);
    static const char *const names[][2] = {{"ReadWriteOnce", "RWO"},
                                           {"ReadOnlyMany", "ROX"},
                                           {"ReadWriteMany", "RWX"},
                                           {"ReadWriteOncePod", "RWOP"}};
    for (size_t k = 0; k < ARRAY_LEN(names); k++)
        for (size_t i = 0; i < n; i++)
            if (strcmp(modes[i], names[k][0]) == 0)
                text_item(&t, ",", names[k][1]);
    return t.count ? text_or_none(&t) : "";
}

static void print_pvc(struct cells *c, const Core__V1__PersistentVolumeClaim *p)
{
    const char *capacity = quantity_map_get(p->status->capacity, p->status->n_capacity, "storage");
    bool bound = *p->spec->volume_name != 0;
    cell_string(c, p->metadata->name);
    cell_string(c, p->metadata->deletion_timestamp ? "Terminating" : p->status->phase);
    cell_string(c, p->spec->volume_name);
    cell_string(c, bound && capacity ? capacity : "");
    cell_string(c, bound ? access_modes(c->a, p->status->access_modes, p->status->n_access_modes)
                         : "");
    cell_string(c, p->spec->storage_class_name ? p->spec->storage_class_name : "");
    cell_string(c, p->spec->volume_attributes_class_name ? p->spec->volume_attributes_class_name
                                                         : "<unset>");
    cell_string(c, text_age(c, p->metadata->creation_timestamp));
    cell_string(c, p->spec->volume_mode ? p->spec->volume_mode : "Filesystem");
}

static void print_pv(struct cells *c, const Core__V1__PersistentVolume *p)
{
    const char *capacity = quantity_map_get(p->spec->capacity, p->spec->n_capacity, "storage");
    cell_string(c, p->metadata->name);
    cell_string(c, capacity ? capacity : "");
    cell_string(c, access_modes(c->a, p->spec->access_modes, p->spec->n_access_modes));
    cell_string(c, p->spec->persistent_volume_reclaim_policy);
    cell_string(c, p->metadata->deletion_timestamp ? "Terminating" : p->status->phase);
    cell_string(c, p->spec->claim_ref ? arena_printf(c->a, "%s/%s", p->spec->claim_ref->namespace_,
                                                     p->spec->claim_ref->name)
                                      : "");
    cell_string(c, p->spec->storage_class_name);
    cell_string(c, p->spec->volume_attributes_class_name ? p->spec->volume_attributes_class_name
                                                         : "<unset>");
    cell_string(c, p->status->reason);
    cell_string(c, text_age(c, p->metadata->creation_timestamp));
    cell_string(c, p->spec->volume_mode ? p->spec->volume_mode : "Filesystem");
}

static const char *event_age(struct cells *c, const Meta__V1__Time *t,
                             const Meta__V1__MicroTime *micro, const Meta__V1__Time *created)
{
    if (!time_is_zero(t))
        return text_age(c, t);
    int64_t ns = micro ? micro_time_ns(micro) : 0;
    return ns ? cell_age(c, ns / (int64_t)NS_PER_S) : text_age(c, created);
}

static void print_event(struct cells *c, const Core__V1__Event *e)
{
    const char *first =
        event_age(c, e->first_timestamp, e->event_time, e->metadata->creation_timestamp);
    const char *last = time_is_zero(e->last_timestamp) ? first : text_age(c, e->last_timestamp);
    int32_t count = e->count ? e->count : 1;
    if (e->series) {
        last = event_age(c, NULL, e->series->last_observed_time, e->metadata->creation_timestamp);
        count = e->series->count;
    }
    const Core__V1__ObjectReference *o = e->involved_object;
    char *kind = arena_strdup(c->a, o->kind);
    for (char *p = kind; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    cell_string(c, last);
    cell_string(c, e->type);
    cell_string(c, e->reason);
    cell_printf(c, "%s/%s", kind, o->name);
    cell_string(c, o->field_path);
    const char *component = *e->source->component ? e->source->component : e->reporting_component;
    const char *host = *e->source->host ? e->source->host : e->reporting_instance;
    cell_printf(c, "%s%s%s", component, *host ? ", " : "", host);
    cell_string(c, str_len_trim(c->a, e->message));
    cell_string(c, first);
    cell_int(c, count);
    cell_string(c, e->metadata->name);
}

static void print_new_event(struct cells *c, const Events__V1__Event *e)
{
    const char *first =
        event_age(c, e->deprecated_first_timestamp, e->event_time, e->metadata->creation_timestamp);
    const char *last = time_is_zero(e->deprecated_last_timestamp)
                           ? first
                           : text_age(c, e->deprecated_last_timestamp);
    int32_t count = e->deprecated_count ? e->deprecated_count : 1;
    if (e->series) {
        last = event_age(c, NULL, e->series->last_observed_time, e->metadata->creation_timestamp);
        count = e->series->count;
    }
    const Core__V1__ObjectReference *o = e->regarding;
    char *kind = arena_strdup(c->a, o->kind);
    for (char *p = kind; *p; p++)
        *p = (char)(*p >= 'A' && *p <= 'Z' ? *p + 32 : *p);
    cell_string(c, last);
    cell_string(c, e->type);
    cell_string(c, e->reason);
    cell_printf(c, "%s/%s", kind, o->name);
    cell_string(c, o->field_path);
    cell_printf(c, "%s%s%s", e->reporting_controller, *e->reporting_instance ? ", " : "",
                e->reporting_instance);
    cell_string(c, str_len_trim(c->a, e->note));
    cell_string(c, first);
    cell_int(c, count);
    cell_string(c, e->metadata->name);
}

static void name_and(struct cells *c, const Meta__V1__ObjectMeta *meta, const char *text)
{
    cell_string(c, meta->name);
    cell_string(c, text);
    cell_string(c, text_age(c, meta->creation_timestamp));
}

static void print_quota(struct cells *c, const Core__V1__ResourceQuota *q)
{
    struct text requests = text_new(c->a), limits = text_new(c->a);
    struct map used;
    map_init(&used);
    for (size_t i = q->status->n_used; i-- > 0;)
        map_put(&used, str_from(q->status->used[i]->key), q->status->used[i]->value->string);
    for (size_t i = 0; i < q->status->n_hard; i++) {
        const char *key = q->status->hard[i]->key, *now = map_get(&used, str_from(key));
        const char *hard = q->status->hard[i]->value->string;
        text_item(strncmp(key, "limits", 6) == 0 ? &limits : &requests, ", ",
                  arena_printf(c->a, "%s: %s/%s", key, now ? now : "0", hard ? hard : "0"));
    }
    map_free(&used);
    cell_string(c, q->metadata->name);
    cell_string(c, requests.count ? text_or_none(&requests) : "");
    cell_string(c, limits.count ? text_or_none(&limits) : "");
    cell_string(c, text_age(c, q->metadata->creation_timestamp));
}

static void print_component(struct cells *c, const Core__V1__ComponentStatus *s)
{
    const char *text = "Unknown", *message = "", *error = "";
    for (size_t i = 0; i < s->n_conditions; i++) {
        const Core__V1__ComponentCondition *it = s->conditions[i];
        if (strcmp(it->type, "Healthy") != 0)
            continue;
        text = strcmp(it->status, "True") == 0    ? "Healthy"
               : strcmp(it->status, "False") == 0 ? "Unhealthy"
                                                  : "Unknown";
        message = it->message;
        error = it->error;
    }
    cell_string(c, s->metadata->name);
    cell_string(c, text);
    cell_string(c, message);
    cell_string(c, error);
}

bool table_print_core(struct cells *c, const void *object)
{
    switch (schema_of(object)->id) {
    case Core__V1__Node__SCHEMA:
        print_node(c, object);
        return true;
    case Core__V1__Service__SCHEMA:
        print_service(c, object);
        return true;
    case Core__V1__PersistentVolumeClaim__SCHEMA:
        print_pvc(c, object);
        return true;
    case Core__V1__PersistentVolume__SCHEMA:
        print_pv(c, object);
        return true;
    case Core__V1__Event__SCHEMA:
        print_event(c, object);
        return true;
    case Events__V1__Event__SCHEMA:
        print_new_event(c, object);
        return true;
    case Core__V1__ResourceQuota__SCHEMA:
        print_quota(c, object);
        return true;
    case Core__V1__ComponentStatus__SCHEMA:
        print_component(c, object);
        return true;
    case Core__V1__Namespace__SCHEMA: {
        const Core__V1__Namespace *n = object;
        name_and(c, n->metadata, n->status->phase);
        return true;
    }
    case Core__V1__ConfigMap__SCHEMA: {
        const Core__V1__ConfigMap *m = object;
        cell_string(c, m->metadata->name);
        cell_int(c, (int64_t)(m->n_data + m->n_binary_data));
        cell_string(c, text_age(c, m->metadata->creation_timestamp));
        return true;
    }
    case Core__V1__Secret__SCHEMA: {
        const Core__V1__Secret *s = object;
        cell_string(c, s->metadata->name);
        cell_string(c, s->type);
        cell_int(c, (int64_t)s->n_data);
        cell_string(c, text_age(c, s->metadata->creation_timestamp));
        return true;
    }
    case Core__V1__ServiceAccount__SCHEMA: {
        const Core__V1__ServiceAccount *s = object;
        cell_string(c, s->metadata->name);
        cell_int(c, (int64_t)s->n_secrets);
        cell_string(c, text_age(c, s->metadata->creation_timestamp));
        return true;
    }
    case Core__V1__Endpoints__SCHEMA: {
        const Core__V1__Endpoints *e = object;
        name_and(c, e->metadata, endpoints_text(c->a, e));
        return true;
    }
    case Core__V1__LimitRange__SCHEMA: {
        const Core__V1__LimitRange *l = object;
        cell_string(c, l->metadata->name);
        cell_string(c, time_text(c->a, l->metadata->creation_timestamp));
        return true;
    }
    default:
        return false;
    }
}
