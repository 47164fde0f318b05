/*
 * From a pod's spec to what a container gets (see pod_spec.h).
 */
#include "node/pod_spec.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* ------------------------------------------------------------------------------ selectors --- */

const Core__V1__Container *pod_container(const Core__V1__Pod *pod, const char *name)
{
    const Core__V1__PodSpec *s = pod->spec;

    for (size_t i = 0; i < s->n_containers; i++) {
        if (cstr_eq(s->containers[i]->name, name))
            return s->containers[i];
    }
    for (size_t i = 0; i < s->n_init_containers; i++) {
        if (cstr_eq(s->init_containers[i]->name, name))
            return s->init_containers[i];
    }
    for (size_t i = 0; i < s->n_ephemeral_containers; i++) {
        if (cstr_eq(pod_ephemeral(pod, i)->name, name))
            return pod_ephemeral(pod, i);
    }
    return NULL;
}

/* An ephemeral container's common part has the members of a container, in order. */
_Static_assert(sizeof(Core__V1__EphemeralContainerCommon) == sizeof(Core__V1__Container),
               "ephemeral containers are containers");

const Core__V1__Container *pod_ephemeral(const Core__V1__Pod *pod, size_t i)
{
    return (const Core__V1__Container *)pod->spec->ephemeral_containers[i]
        ->ephemeral_container_common;
}

const char *pod_ephemeral_target(const Core__V1__Pod *pod, const char *name)
{
    for (size_t i = 0; i < pod->spec->n_ephemeral_containers; i++) {
        if (cstr_eq(pod_ephemeral(pod, i)->name, name))
            return pod->spec->ephemeral_containers[i]->target_container_name;
    }
    return "";
}

const Core__V1__ContainerStatus *pod_container_status(const Core__V1__Pod *pod, size_t i)
{
    const Core__V1__PodStatus *s = pod->status;

    if (i < s->n_container_statuses)
        return s->container_statuses[i];
    i -= s->n_container_statuses;
    if (i < s->n_init_container_statuses)
        return s->init_container_statuses[i];
    i -= s->n_init_container_statuses;
    return i < s->n_ephemeral_container_statuses ? s->ephemeral_container_statuses[i] : NULL;
}

bool container_is_sidecar(const Core__V1__Container *c)
{
    return cstr_eq(c->restart_policy, "Always");
}

int64_t pod_grace_s(const Core__V1__Pod *pod)
{
    if (pod->metadata->has_deletion_grace_period_seconds)
        return MAX(pod->metadata->deletion_grace_period_seconds, 0);
    return api_get(pod->spec, termination_grace_period_seconds, 30);
}

bool pod_deleted(const Core__V1__Pod *pod)
{
    return !time_is_zero(pod->metadata->deletion_timestamp);
}

bool pod_finished(const Core__V1__Pod *pod)
{
    return cstr_eq(pod->status->phase, "Succeeded") || cstr_eq(pod->status->phase, "Failed");
}

/* ------------------------------------------------------------------------------ resources --- */

static const char *quantity_text_of(Meta__V1__QuantityEntry *const *items, size_t n,
                                    const char *name)
{
    const char *text = quantity_map_get(items, n, name);

    return text && *text ? text : NULL;
}

bool resource_milli(Meta__V1__QuantityEntry *const *items, size_t n, const char *name, int64_t *out)
{
    const char *text = quantity_text_of(items, n, name);

    *out = text ? quantity_milli(quantity_of(text)) : 0;
    return text != NULL;
}

bool resource_value(Meta__V1__QuantityEntry *const *items, size_t n, const char *name, int64_t *out)
{
    const char *text = quantity_text_of(items, n, name);

    *out = text ? quantity_value(quantity_of(text)) : 0;
    return text != NULL;
}

/* Requests and limits of CPU and memory of one container, as pod_qos needs them. */
static void qos_of_container(const Core__V1__Container *c, bool *none, bool *guaranteed)
{
    static const char *const names[] = {"cpu", "memory"};
    const Core__V1__ResourceRequirements *r = c->resources;

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        int64_t request = 0, limit = 0;
        bool has_request = r && resource_milli(r->requests, r->n_requests, names[i], &request);
        bool has_limit = r && resource_milli(r->limits, r->n_limits, names[i], &limit);

        if ((has_request && request) || (has_limit && limit))
            *none = false;
        if (!has_limit || !limit || (has_request && request != limit))
            *guaranteed = false;
    }
}

const char *pod_qos(const Core__V1__Pod *pod)
{
    const Core__V1__PodSpec *s = pod->spec;
    bool none = true, guaranteed = true;

    for (size_t i = 0; i < s->n_containers; i++)
        qos_of_container(s->containers[i], &none, &guaranteed);
    for (size_t i = 0; i < s->n_init_containers; i++)
        qos_of_container(s->init_containers[i], &none, &guaranteed);
    return none ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static int64_t oom_score(const char *qos, int64_t memory_request, int64_t node_memory)
{
    int64_t score;

    if (strcmp(qos, "Guaranteed") == 0)
        return -997;
    if (strcmp(qos, "BestEffort") == 0)
        return 1000;
    /* The more a container asked for, the later it is killed; never before a guaranteed one, and
     * never as late as one that asked for nothing. */
    score = 1000 - (int64_t)(1000.0 * (double)memory_request / (double)MAX(node_memory, 1));
    return MAX(MIN(score, 999), 3);
}

#define CPU_MILLI_MAX \
    1000000000 /* a million processors: what is made of it for a pod stays in 64 bits */

struct linux_limits container_limits(const Core__V1__Pod *pod, const Core__V1__Container *c,
                                     int64_t node_memory)
{
    const Core__V1__ResourceRequirements *r = c->resources;
    int64_t cpu_request = 0, cpu_limit = 0, memory_request = 0, memory_limit = 0;
    struct linux_limits out = {0};

    if (r) {
        bool has = resource_milli(r->requests, r->n_requests, "cpu", &cpu_request);
        resource_milli(r->limits, r->n_limits, "cpu", &cpu_limit);
        resource_value(r->requests, r->n_requests, "memory", &memory_request);
        resource_value(r->limits, r->n_limits, "memory", &memory_limit);
        if (!has)
            cpu_request = cpu_limit;
    }
    cpu_request = MIN(cpu_request, CPU_MILLI_MAX);
    cpu_limit = MIN(cpu_limit, CPU_MILLI_MAX);
    out.cpu_shares = MIN(MAX(cpu_request * 1024 / 1000, 2), 262144);
    if (cpu_limit > 0) {
        out.cpu_period = 100000;
        out.cpu_quota = MAX(cpu_limit * out.cpu_period / 1000, 1000);
    }
    out.memory_limit = memory_limit;
    out.oom_score_adj = oom_score(pod_qos(pod), memory_request, node_memory);
    return out;
}

struct linux_limits pod_limits(const Core__V1__Pod *pod, int64_t node_memory)
{
    const Core__V1__PodSpec *s = pod->spec;
    struct linux_limits sum = {.cpu_period = 100000};
    bool quota = true;

    for (size_t i = 0; i < s->n_containers; i++) {
        struct linux_limits l = container_limits(pod, s->containers[i], node_memory);
        sum.cpu_shares += l.cpu_shares;
        sum.cpu_quota += l.cpu_quota;
        quota = quota && l.cpu_quota;
    }
    for (size_t i = 0; i < s->n_init_containers; i++) {
        struct linux_limits l = container_limits(pod, s->init_containers[i], node_memory);
        bool stays = container_is_sidecar(s->init_containers[i]);

        sum.cpu_shares = stays ? sum.cpu_shares + l.cpu_shares : MAX(sum.cpu_shares, l.cpu_shares);
        sum.cpu_quota = stays ? sum.cpu_quota + l.cpu_quota : MAX(sum.cpu_quota, l.cpu_quota);
        quota = quota && l.cpu_quota;
    }
    sum.cpu_shares = MIN(MAX(sum.cpu_shares, 2), 262144);
    if (!quota)
        sum.cpu_quota = sum.cpu_period = 0;
    return sum;
}

char *container_hash(struct arena *a, const Core__V1__Container *c)
{
    uint64_t h = 14695981039346656037ull; /* FNV-1a: must be the same in every process */
    const char *parts[] = {c->name, c->image};

    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        for (const char *s = parts[i] ? parts[i] : "";; s++) {
            h = (h ^ (unsigned char)*s) * 1099511628211ull;
            if (!*s)
                break;
        }
    }
    return arena_printf(a, "%08x", (unsigned)(h ^ (h >> 32)));
}

/* --------------------------------------------------------------------------------- fields --- */

static const char *map_lines(struct arena *a, StringEntry *const *entries, size_t n)
{
    struct buf out;
    const char *text;

    buf_init(&out);
    for (size_t i = 0; i < n; i++) {
        buf_printf(&out, "%s%s=", i ? "\n" : "", entries[i]->key);
        buf_append_json_string(&out, str_from(entries[i]->value));
    }
    text = arena_strndup(a, out.data ? out.data : "", out.len);
    buf_free(&out);
    return text;
}

/* metadata.labels['key'] or ["key"]. */
static bool subscript(const char *path, const char *prefix, struct arena *a, const char **key)
{
    size_t n = strlen(prefix), len = strlen(path);

    if (strncmp(path, prefix, n) != 0 || len < n + 5 || path[n] != '[' || path[len - 1] != ']' ||
        (path[n + 1] != '\'' && path[n + 1] != '"') || path[len - 2] != path[n + 1])
        return false;
    *key = arena_strndup(a, path + n + 2, len - n - 4);
    return true;
}

int pod_field(const struct pod_context *x, const char *path, struct arena *a, const char **out,
              struct error *err)
{
    const Meta__V1__ObjectMeta *m = x->pod->metadata;
    const char *key;
    const struct {
        const char *path, *value;
    } plain[] = {
        {"metadata.name", m->name},
        {"metadata.namespace", m->namespace_},
        {"metadata.uid", m->uid},
        {"spec.nodeName", x->node_name},
        {"spec.serviceAccountName", x->pod->spec->service_account_name},
        {"status.hostIP", x->host_ip},
        {"status.hostIPs", x->host_ip},
        {"status.podIP", x->pod_ip},
        {"status.podIPs", x->pod_ip},
    };

    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (strcmp(path, plain[i].path) == 0) {
            *out = plain[i].value ? plain[i].value : "";
            return 0;
        }
    }
    if (strcmp(path, "metadata.labels") == 0)
        *out = map_lines(a, m->labels, m->n_labels);
    else if (strcmp(path, "metadata.annotations") == 0)
        *out = map_lines(a, m->annotations, m->n_annotations);
    else if (subscript(path, "metadata.labels", a, &key))
        *out = labels_get(m, key);
    else if (subscript(path, "metadata.annotations", a, &key))
        *out = annotations_get(m, key);
    else
        return error_set(err, ERR_INVALID, "unsupported fieldPath: %s", path);
    if (!*out)
        *out = "";
    return 0;
}

/* Amount of `limits.X` or `requests.X` in nano-units; a limit that is not set is the node's
 * allocatable. */
static int resource_amount(const struct pod_context *x, const char *resource,
                           const Core__V1__Container *c, struct quantity *out, struct error *err)
{
    const Core__V1__ResourceRequirements *r = c->resources;
    bool limit = strncmp(resource, "limits.", 7) == 0;
    const char *name = strchr(resource, '.');
    const char *text = NULL;

    if (!name || (!limit && strncmp(resource, "requests.", 9) != 0))
        return error_set(err, ERR_INVALID, "unsupported container resource: %s", resource);
    name++;
    if (r)
        text = limit ? quantity_text_of(r->limits, r->n_limits, name)
                     : quantity_text_of(r->requests, r->n_requests, name);
    if (text)
        *out = quantity_of(text);
    else if (!limit)
        *out = quantity_from_i64(0, QUANTITY_DECIMAL_SI);
    else if (strcmp(name, "cpu") == 0)
        *out = quantity_from_milli(x->node_cpu_milli, QUANTITY_DECIMAL_SI);
    else if (strcmp(name, "memory") == 0)
        *out = quantity_from_i64(x->node_memory, QUANTITY_BINARY_SI);
    else if (strcmp(name, "ephemeral-storage") == 0)
        *out = quantity_from_i64(x->node_ephemeral, QUANTITY_BINARY_SI);
    else
        return error_set(err, ERR_INVALID, "unsupported container resource: %s", resource);
    return 0;
}

int pod_resource_field(const struct pod_context *x, const Core__V1__ResourceFieldSelector *f,
                       const Core__V1__Container *c, struct arena *a, const char **out,
                       struct error *err)
{
    struct quantity amount, divisor = quantity_from_i64(1, QUANTITY_DECIMAL_SI);
    __int128 quotient;
    int rc;

    if (f->container_name && *f->container_name) {
        c = pod_container(x->pod, f->container_name);
        if (!c)
            return error_set(err, ERR_INVALID, "container %s not found in pod", f->container_name);
    }
    if (!c)
        return error_set(err, ERR_INVALID, "resourceFieldRef: containerName is required");
    rc = resource_amount(x, f->resource ? f->resource : "", c, &amount, err);
    if (rc < 0)
        return rc;
    if (f->divisor && f->divisor->string && *f->divisor->string &&
        !quantity_is_zero(quantity_of(f->divisor->string)))
        divisor = quantity_of(f->divisor->string);
    quotient = (amount.nanos + divisor.nanos - 1) / divisor.nanos;
    *out = arena_printf(a, "%" PRId64, (int64_t)quotient);
    return 0;
}

/* ---------------------------------------------------------------------------- environment --- */

static size_t env_place(const struct env *e, struct str name)
{
    size_t mask = e->places_len - 1, at = hash_bytes(name.p, name.n) & mask;

    while (e->places[at] && !str_eqz(name, e->items[e->places[at] - 1].name))
        at = (at + 1) & mask;
    return at;
}

static void env_grow(struct env *e)
{
    struct env_var *items = arena_array(e->a, struct env_var, MAX(2 * e->cap, 16));

    if (e->len)
        memcpy(items, e->items, e->len * sizeof *items);
    e->items = items;
    e->cap = MAX(2 * e->cap, 16);
    e->places_len = 2 * e->cap;
    e->places = arena_array(e->a, uint32_t, e->places_len);
    for (size_t i = 0; i < e->len; i++)
        e->places[env_place(e, str_from(e->items[i].name))] = (uint32_t)i + 1;
}

void env_set(struct env *e, const char *name, const char *value)
{
    size_t place;

    if (e->len == e->cap)
        env_grow(e);
    e->bytes += strlen(name) + strlen(value) + 2;
    place = env_place(e, str_from(name));
    if (e->places[place]) {
        e->items[e->places[place] - 1].value = value;
        return;
    }
    e->items[e->len++] = (struct env_var){name, value};
    e->places[place] = (uint32_t)e->len;
}

const char *env_get(const struct env *e, struct str name)
{
    size_t place = e->len ? env_place(e, name) : 0;

    return e->len && e->places[place] ? e->items[e->places[place] - 1].value : NULL;
}

char *pod_expand(struct env *e, const char *text)
{
    bool closed = true; /* there may be a ')' ahead: looked for in vain only once */
    char *result = NULL;
    struct buf out;

    buf_init_limited(&out, ENV_BYTES_MAX);
    for (const char *s = text; *s; s++) {
        const char *end = NULL, *value;

        if (s[0] == '$' && s[1] == '$') {
            buf_append_char(&out, '$');
            s++;
            continue;
        }
        if (s[0] == '$' && s[1] == '(' && closed) {
            end = strchr(s + 2, ')');
            closed = end != NULL;
        }
        if (!end) {
            buf_append_char(&out, *s);
            continue;
        }
        value = env_get(e, str_make(s + 2, (size_t)(end - s - 2)));
        if (value)
            buf_append_cstr(&out, value);
        else /* an unknown name stays as it was written */
            buf_append(&out, s, (size_t)(end - s + 1));
        s = end;
    }
    e->bytes += out.len;
    if (!out.failed && e->bytes <= ENV_BYTES_MAX)
        result = arena_strndup(e->a, out.data ? out.data : "", out.len);
    buf_free(&out);
    return result;
}

static char *env_name_of(struct arena *a, const char *service)
{
    char *name = arena_strdup(a, service);

    for (char *s = name; *s; s++)
        *s = *s == '-' ? '_' : (char)toupper((unsigned char)*s);
    return name;
}

/* The seven or so variables of one service, the forms of Docker's links included. */
static void env_of_service(struct env *l, const Core__V1__Service *svc)
{
    const char *name = env_name_of(l->a, svc->metadata->name);
    const char *ip = svc->spec->cluster_ip;
    char port[16];

    snprintf(port, sizeof port, "%d", svc->spec->ports[0]->port);
    env_set(l, arena_printf(l->a, "%s_SERVICE_HOST", name), ip);
    env_set(l, arena_printf(l->a, "%s_SERVICE_PORT", name), arena_strdup(l->a, port));
    for (size_t i = 0; i < svc->spec->n_ports; i++) {
        const Core__V1__ServicePort *p = svc->spec->ports[i];
        const char *protocol = p->protocol && *p->protocol ? p->protocol : "TCP";
        char *lower = arena_strdup(l->a, protocol);
        const char *url, *prefix;

        for (char *s = lower; *s; s++)
            *s = (char)tolower((unsigned char)*s);
        url = arena_printf(l->a, "%s://%s:%d", lower, ip, p->port);
        prefix = arena_printf(l->a, "%s_PORT_%d_%s", name, p->port, protocol);
        if (p->name && *p->name)
            env_set(l, arena_printf(l->a, "%s_SERVICE_PORT_%s", name, env_name_of(l->a, p->name)),
                    arena_printf(l->a, "%d", p->port));
        if (i == 0)
            env_set(l, arena_printf(l->a, "%s_PORT", name), url);
        env_set(l, prefix, url);
        env_set(l, arena_printf(l->a, "%s_PROTO", prefix), lower);
        env_set(l, arena_printf(l->a, "%s_PORT", prefix), arena_printf(l->a, "%d", p->port));
        env_set(l, arena_printf(l->a, "%s_ADDR", prefix), ip);
    }
}

static void env_of_services(struct env *l, const struct pod_context *x)
{
    bool links = api_get(x->pod->spec, enable_service_links, true);

    for (size_t i = 0; i < x->services_len; i++) {
        const Core__V1__Service *svc = x->services[i];
        bool master = cstr_eq(svc->metadata->namespace_, "default") &&
                      cstr_eq(svc->metadata->name, "kubernetes");
        bool own = links && cstr_eq(svc->metadata->namespace_, x->pod->metadata->namespace_);

        if ((master || own) && svc->spec->n_ports && svc->spec->cluster_ip &&
            *svc->spec->cluster_ip && strcmp(svc->spec->cluster_ip, "None") != 0)
            env_of_service(l, svc);
    }
}

/* A C identifier, or what newer versions allow: anything printable but '='. */
static bool env_name_ok(const char *name)
{
    for (const char *s = name; *s; s++) {
        if (*s == '=' || (unsigned char)*s < 32 || (unsigned char)*s > 126)
            return false;
    }
    return *name != 0;
}

static int env_from(struct env *l, const struct pod_context *x, const Core__V1__EnvFromSource *from,
                    struct error *err)
{
    const char *ns = x->pod->metadata->namespace_, *prefix = from->prefix ? from->prefix : "";
    struct error why = {0};
    int rc = 0;

    if (from->config_map_ref) {
        const Core__V1__ConfigMap *cm;
        rc = x->configmap(x->ctx, ns, from->config_map_ref->local_object_reference->name, l->a, &cm,
                          &why);
        if (rc == ERR_NOT_FOUND && api_get(from->config_map_ref, optional, false))
            return 0;
        for (size_t i = 0; rc == 0 && i < cm->n_data; i++) {
            const char *name = arena_printf(l->a, "%s%s", prefix, cm->data[i]->key);
            if (env_name_ok(name))
                env_set(l, name, cm->data[i]->value);
        }
    } else if (from->secret_ref) {
        const Core__V1__Secret *secret;
        rc = x->secret(x->ctx, ns, from->secret_ref->local_object_reference->name, l->a, &secret,
                       &why);
        if (rc == ERR_NOT_FOUND && api_get(from->secret_ref, optional, false))
            return 0;
        for (size_t i = 0; rc == 0 && i < secret->n_data; i++) {
            const char *name = arena_printf(l->a, "%s%s", prefix, secret->data[i]->key);
            if (env_name_ok(name))
                env_set(l, name,
                        arena_strndup(l->a, (const char *)secret->data[i]->value.data,
                                      secret->data[i]->value.len));
        }
    }
    return rc < 0 ? error_set(err, rc, "%s", why.message) : 0;
}

/* *value stays NULL for an optional reference to nothing: the variable is then left out. */
static int env_from_configmap(const struct pod_context *x, const Core__V1__ConfigMapKeySelector *k,
                              struct arena *a, const char **value, struct error *err)
{
    const char *name = k->local_object_reference->name;
    const Core__V1__ConfigMap *cm;
    bool optional = api_get(k, optional, false);
    int rc = x->configmap(x->ctx, x->pod->metadata->namespace_, name, a, &cm, err);

    if (rc < 0)
        return rc == ERR_NOT_FOUND && optional ? 0 : rc;
    *value = string_map_get(cm->data, cm->n_data, k->key);
    if (!*value && !optional)
        return error_set(err, ERR_NOT_FOUND, "couldn't find key %s in ConfigMap %s/%s", k->key,
                         x->pod->metadata->namespace_, name);
    return 0;
}

static int env_from_secret(const struct pod_context *x, const Core__V1__SecretKeySelector *k,
                           struct arena *a, const char **value, struct error *err)
{
    const char *name = k->local_object_reference->name;
    const Core__V1__Secret *secret;
    bool optional = api_get(k, optional, false);
    int rc = x->secret(x->ctx, x->pod->metadata->namespace_, name, a, &secret, err);

    if (rc < 0)
        return rc == ERR_NOT_FOUND && optional ? 0 : rc;
    for (size_t i = 0; i < secret->n_data; i++) {
        if (cstr_eq(secret->data[i]->key, k->key)) {
            *value = arena_strndup(a, (const char *)secret->data[i]->value.data,
                                   secret->data[i]->value.len);
            return 0;
        }
    }
    return optional ? 0
                    : error_set(err, ERR_NOT_FOUND, "couldn't find key %s in Secret %s/%s", k->key,
                                x->pod->metadata->namespace_, name);
}

static int env_too_large(struct error *err)
{
    return error_set(err, ERR_LIMIT, "the environment has more than %zu bytes", ENV_BYTES_MAX);
}

static int env_value(const struct pod_context *x, const Core__V1__Container *c,
                     const Core__V1__EnvVar *v, struct env *l, const char **value,
                     struct error *err)
{
    const Core__V1__EnvVarSource *from = v->value_from;

    *value = NULL;
    if (!from) {
        *value = pod_expand(l, v->value ? v->value : "");
        return *value ? 0 : env_too_large(err);
    }
    if (from->field_ref)
        return pod_field(x, from->field_ref->field_path, l->a, value, err);
    if (from->resource_field_ref)
        return pod_resource_field(x, from->resource_field_ref, c, l->a, value, err);
    if (from->config_map_key_ref)
        return env_from_configmap(x, from->config_map_key_ref, l->a, value, err);
    if (from->secret_key_ref)
        return env_from_secret(x, from->secret_key_ref, l->a, value, err);
    return error_set(err, ERR_UNSUPPORTED,
                     "env %s: valueFrom: this kind of source is not supported", v->name);
}

int pod_env(const struct pod_context *x, const Core__V1__Container *c, struct arena *a,
            struct env *out, struct error *err)
{
    *out = (struct env){.a = a};
    env_of_services(out, x);
    for (size_t i = 0; i < c->n_env_from; i++) {
        int rc = env_from(out, x, c->env_from[i], err);
        if (rc < 0)
            return rc;
    }
    for (size_t i = 0; i < c->n_env && out->bytes <= ENV_BYTES_MAX; i++) {
        const char *value;
        int rc = env_value(x, c, c->env[i], out, &value, err);
        if (rc < 0)
            return rc;
        if (value)
            env_set(out, c->env[i]->name, value);
    }
    return out->bytes <= ENV_BYTES_MAX ? 0 : env_too_large(err);
}
