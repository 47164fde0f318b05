/*
 * Validation of volumes, and of resource requests and limits.
 */
#include "api/quantity.h"
#include "api/validation/internal.h"

/* --- resources ------------------------------------------------------------------------------------- */

static bool standard_resource(const char *name)
{
    return strcmp(name, "cpu") == 0 || strcmp(name, "memory") == 0 ||
           strcmp(name, "ephemeral-storage") == 0 || strncmp(name, "hugepages-", 10) == 0;
}

static void check_resource_name(struct field_errors *e, const struct path *at, const char *name)
{
    if (!check_string(e, at, name, validate_qualified_name))
        return;
    if (!strchr(name, '/') && !standard_resource(name))
        err_invalid(e, at, name, "must be a standard resource for containers");
}

static bool overcommit_allowed(const char *name)
{
    bool native = !strchr(name, '/') || strstr(name, "kubernetes.io/");
    return native && strncmp(name, "hugepages-", 10) != 0;
}

void check_resources(struct field_errors *e, const struct path *at,
                     const Core__V1__ResourceRequirements *r)
{
    if (!r)
        return;
    for (size_t i = 0; i < r->n_limits; i++) {
        const struct path *limit = KEY(AT(at, "limits"), r->limits[i]->key);
        check_resource_name(e, limit, r->limits[i]->key);
        check_quantity_non_negative(e, limit, r->limits[i]->value->string);
    }
    for (size_t i = 0; i < r->n_requests; i++) {
        const char *name = r->requests[i]->key, *request = r->requests[i]->value->string;
        const struct path *key = KEY(AT(at, "requests"), name);
        check_resource_name(e, key, name);
        check_quantity_non_negative(e, key, request);
        const char *limit = quantity_map_get(r->limits, r->n_limits, name);
        int order = limit ? quantity_cmp(quantity_of(request), quantity_of(limit)) : 0;
        if (limit && order != 0 && !overcommit_allowed(name))
            err_invalid(e, AT(at, "requests"), request,
                        arena_printf(e->arena, "must be equal to %s limit of %s", name, limit));
        else if (order > 0)
            err_invalid(e, AT(at, "requests"), request,
                        arena_printf(e->arena, "must be less than or equal to %s limit of %s", name,
                                     limit));
    }
}

/* --- volumes ---------------------------------------------------------------------------------------- */

static bool has_parent_step(const char *path)
{
    struct str rest = str_from(path), part;
    while (str_split(&rest, '/', &part)) {
        if (str_eq(part, STR("..")))
            return true;
    }
    return false;
}

static void check_local_path(struct field_errors *e, const struct path *at, const char *path)
{
    if (path[0] == '/')
        err_invalid(e, at, path, "must be a relative path");
    if (has_parent_step(path))
        err_invalid(e, at, path, "must not contain '..'");
    else if (strncmp(path, "..", 2) == 0)
        err_invalid(e, at, path, "must not start with '..'");
}

static void check_mode(struct field_errors *e, const struct path *at, bool set, int32_t mode)
{
    if (set && (mode < 0 || mode > 0777))
        err_invalid_int(e, at, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

static void check_items(struct field_errors *e, const struct path *at,
                        Core__V1__KeyToPath *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(AT(at, "items"), i);
        check_required(e, AT(item, "key"), items[i]->key);
        if (check_required(e, AT(item, "path"), items[i]->path))
            check_local_path(e, AT(item, "path"), items[i]->path);
        check_mode(e, AT(item, "mode"), items[i]->has_mode, items[i]->mode);
    }
}

static void check_host_path(struct field_errors *e, const struct path *at,
                            const Core__V1__HostPathVolumeSource *v)
{
    static const char *const types[] = {
        "",     "BlockDevice",  "CharDevice", "Directory", "DirectoryOrCreate",
        "File", "FileOrCreate", "Socket",     NULL};
    if (check_required(e, AT(at, "path"), v->path) && has_parent_step(v->path))
        err_invalid(e, AT(at, "path"), v->path, "must not contain '..'");
    if (v->type)
        check_one_of(e, AT(at, "type"), v->type, types);
}

static void check_downward(struct field_errors *e, const struct path *at,
                           Core__V1__DownwardAPIVolumeFile *const *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(AT(at, "items"), i);
        if (check_required(e, AT(item, "path"), items[i]->path))
            check_local_path(e, AT(item, "path"), items[i]->path);
        if (!items[i]->field_ref == !items[i]->resource_field_ref)
            err_required(e, item,
                         items[i]->field_ref
                             ? "fieldRef and resourceFieldRef can not be specified simultaneously"
                             : "one of fieldRef and resourceFieldRef is required");
    }
}

static void check_projected(struct field_errors *e, const struct path *at,
                            const Core__V1__ProjectedVolumeSource *v)
{
    check_mode(e, AT(at, "defaultMode"), v->has_default_mode, v->default_mode);
    for (size_t i = 0; i < v->n_sources; i++) {
        const Core__V1__VolumeProjection *s = v->sources[i];
        const struct path *source = ITEM(AT(at, "sources"), i);
        if (s->secret) {
            check_required(e, AT(AT(source, "secret"), "name"),
                           s->secret->local_object_reference->name);
            check_items(e, AT(source, "secret"), s->secret->items, s->secret->n_items);
        }
        if (s->config_map) {
            check_required(e, AT(AT(source, "configMap"), "name"),
                           s->config_map->local_object_reference->name);
            check_items(e, AT(source, "configMap"), s->config_map->items, s->config_map->n_items);
        }
        if (s->downward_api)
            check_downward(e, AT(source, "downwardAPI"), s->downward_api->items,
                           s->downward_api->n_items);
        if (s->service_account_token) {
            const struct path *token = AT(source, "serviceAccountToken");
            if (s->service_account_token->expiration_seconds < 600)
                err_invalid_int(e, AT(token, "expirationSeconds"),
                                s->service_account_token->expiration_seconds,
                                "may not specify a duration less than 10 minutes");
            if (check_required(e, AT(token, "path"), s->service_account_token->path))
                check_local_path(e, AT(token, "path"), s->service_account_token->path);
        }
    }
}

static void check_source(struct field_errors *e, const struct path *at,
                         const Core__V1__VolumeSource *v)
{
    if (v->host_path)
        check_host_path(e, AT(at, "hostPath"), v->host_path);
    if (v->empty_dir && v->empty_dir->size_limit)
        check_quantity_non_negative(e, AT(AT(at, "emptyDir"), "sizeLimit"),
                                    v->empty_dir->size_limit->string);
    if (v->secret) {
        const struct path *secret = AT(at, "secret");
        check_required(e, AT(secret, "secretName"), v->secret->secret_name);
        check_mode(e, AT(secret, "defaultMode"), v->secret->has_default_mode,
                   v->secret->default_mode);
        check_items(e, secret, v->secret->items, v->secret->n_items);
    }
    if (v->config_map) {
        const struct path *map = AT(at, "configMap");
        check_required(e, AT(map, "name"), v->config_map->local_object_reference->name);
        check_mode(e, AT(map, "defaultMode"), v->config_map->has_default_mode,
                   v->config_map->default_mode);
        check_items(e, map, v->config_map->items, v->config_map->n_items);
    }
    if (v->persistent_volume_claim)
        check_required(e, AT(AT(at, "persistentVolumeClaim"), "claimName"),
                       v->persistent_volume_claim->claim_name);
    if (v->downward_api)
        check_downward(e, AT(at, "downwardAPI"), v->downward_api->items, v->downward_api->n_items);
    if (v->projected)
        check_projected(e, AT(at, "projected"), v->projected);
    if (v->nfs) {
        check_required(e, AT(AT(at, "nfs"), "server"), v->nfs->server);
        check_required(e, AT(AT(at, "nfs"), "path"), v->nfs->path);
    }
}

/* How many sources are set; the second is reported by its JSON name. */
static void check_single_source(struct field_errors *e, const struct path *at,
                                const Core__V1__VolumeSource *v)
{
    const struct schema_message *m = schema_get(Core__V1__VolumeSource__SCHEMA);
    size_t count = 0;
    for (unsigned i = 0; i < m->field_count; i++) {
        const struct schema_field *f = schema_field_at(m, i);
        if (*(void *const *)((const char *)v + f->offset) && ++count > 1)
            err_forbidden(e, AT(at, schema_string(f->json_name)),
                          "may not specify more than 1 volume type");
    }
    if (count == 0)
        err_required(e, at, "must specify a volume type");
}

void check_volumes(struct field_errors *e, const struct path *at, Core__V1__Volume *const *volumes,
                   size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct path *item = ITEM(at, i);
        const char *name = volumes[i]->name;
        if (check_required(e, AT(item, "name"), name) &&
            check_string(e, AT(item, "name"), name, validate_dns1123_label)) {
            for (size_t k = 0; k < i; k++) {
                if (cstr_eq(volumes[k]->name, name)) {
                    err_duplicate(e, AT(item, "name"), name);
                    break;
                }
            }
        }
        check_single_source(e, item, volumes[i]->volume_source);
        check_source(e, item, volumes[i]->volume_source);
    }
}
