/*
 * Discovery by the plain endpoints, /api/v1, /apis and /apis/<group>/<version>
 * (client/discovery.h).
 */
#include "client/discovery.h"

#include "api/codec.h"
#include "base/mem.h"
#include <stdio.h>
#include <strings.h>

static yyjson_val *get_json(struct client *c, const char *path, struct arena *a, struct error *err)
{
    struct client_response r;
    struct client_request q = {.path = path};
    yyjson_val *root = NULL;
    if (client_raw(c, &q, a, &r, err) < 0 || client_check(&r, NULL, err) < 0 ||
        json_read(a, r.body, &root, err) < 0) {
        error_wrap(err, "discovery %s", path);
        return NULL;
    }
    return root;
}

static const char *text(yyjson_val *object, const char *key)
{
    const char *s = yyjson_get_str(yyjson_obj_get(object, key));
    return s ? s : "";
}

static uint32_t verbs_of(yyjson_val *list)
{
    uint32_t verbs = 0;
    yyjson_val *item;
    size_t i, max;
    yyjson_arr_foreach (list, i, max, item) {
        for (uint32_t v = VERB_CREATE; v <= VERB_WATCH; v <<= 1)
            if (cstr_eq(yyjson_get_str(item), verb_name((enum verb)v)))
                verbs |= v;
    }
    return verbs;
}

static const char *const *strings_of(struct arena *a, yyjson_val *list)
{
    const char **out = arena_array(a, const char *, yyjson_arr_size(list) + 1);
    yyjson_val *item;
    size_t i, max, n = 0;
    yyjson_arr_foreach (list, i, max, item)
        if (yyjson_is_str(item))
            out[n++] = arena_strdup(a, yyjson_get_str(item));
    return out;
}

static const struct resource *make_resource(struct arena *a, struct str group, struct str version,
                                            yyjson_val *item)
{
    static const struct column no_columns[] = {{.name = NULL}};
    static const struct subresource no_subresources[] = {{.name = NULL}};
    static const char *const none[] = {NULL};
    struct resource *r = arena_new(a, struct resource);
    r->group = arena_strndup(a, group.p ? group.p : "", group.n);
    r->version = arena_strndup(a, version.p, version.n);
    r->api_version = group.n ? arena_printf(a, "%s/%s", r->group, r->version) : r->version;
    r->kind = arena_strdup(a, text(item, "kind"));
    r->list_kind = arena_printf(a, "%sList", r->kind);
    r->plural = arena_strdup(a, text(item, "name"));
    r->singular = arena_strdup(a, text(item, "singularName"));
    r->short_names = r->categories = none;
    r->storage_prefix = "";
    r->columns = no_columns;
    r->subresources = no_subresources;
    r->namespaced = yyjson_is_true(yyjson_obj_get(item, "namespaced"));
    r->message = r->list_message = r->stored_as = SCHEMA_NONE;
    return r;
}

static bool is_known(const struct discovery *d, struct str group, const char *plural)
{
    for (size_t i = 0; i < d->len; i++)
        if (str_eqz(group, d->items[i].resource->group) &&
            strcmp(plural, d->items[i].resource->plural) == 0)
            return true;
    return false;
}

/* Resources of one group-version. */
static int load_version(struct client *c, struct discovery *d, const char *path, struct str gv,
                        struct error *err)
{
    struct arena a;
    arena_init(&a);
    yyjson_val *root = get_json(c, path, &a, err), *item;
    struct str group, version;
    api_version_split(gv, &group, &version);
    size_t i, max;
    yyjson_arr_foreach (yyjson_obj_get(root, "resources"), i, max, item) {
        const char *plural = text(item, "name");
        if (strchr(plural, '/') || is_known(d, group, plural))
            continue;
        const struct resource *r = resource_find(group, version, str_from(plural));
        if (!r)
            r = make_resource(&d->arena, group, version, item);
        d->items = arena_grow(&d->arena, d->items, d->len * sizeof *d->items,
                              (d->len + 1) * sizeof *d->items);
        d->items[d->len++] =
            (struct discovered){r, verbs_of(yyjson_obj_get(item, "verbs")),
                                strings_of(&d->arena, yyjson_obj_get(item, "shortNames"))};
    }
    arena_free(&a);
    return root ? 0 : err->code;
}

static int load_groups(struct client *c, struct discovery *d, struct error *err)
{
    struct arena a;
    arena_init(&a);
    yyjson_val *root = get_json(c, "/apis", &a, err), *group, *version;
    int rc = root ? 0 : err->code;
    size_t i, max, j, jmax;
    yyjson_arr_foreach (yyjson_obj_get(root, "groups"), i, max, group) {
        const char *preferred = text(yyjson_obj_get(group, "preferredVersion"), "groupVersion");
        if (rc == 0 && *preferred)
            rc = load_version(c, d, arena_printf(&a, "/apis/%s", preferred), str_from(preferred),
                              err);
        yyjson_arr_foreach (yyjson_obj_get(group, "versions"), j, jmax, version) {
            const char *gv = text(version, "groupVersion");
            if (rc == 0 && strcmp(gv, preferred) != 0)
                rc = load_version(c, d, arena_printf(&a, "/apis/%s", gv), str_from(gv), err);
        }
    }
    arena_free(&a);
    return rc;
}

int discovery_load(struct client *c, struct discovery *out, struct error *err)
{
    struct error local = {0};
    memset(out, 0, sizeof *out);
    arena_init(&out->arena);
    int rc = load_version(c, out, "/api/v1", STR("v1"), &local);
    if (rc == 0)
        rc = load_groups(c, out, &local);
    return rc < 0 ? error_set(err, local.code, "%s", local.message) : 0;
}

void discovery_free(struct discovery *d)
{
    arena_free(&d->arena);
    memset(d, 0, sizeof *d);
}

static bool names(const struct discovered *x, const char *name, size_t n)
{
    const char *const own[] = {x->resource->plural, x->resource->singular, x->resource->kind};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (strlen(own[i]) == n && strncasecmp(own[i], name, n) == 0)
            return true;
    for (size_t i = 0; x->short_names && x->short_names[i]; i++)
        if (strlen(x->short_names[i]) == n && strncasecmp(x->short_names[i], name, n) == 0)
            return true;
    return false;
}

const struct discovered *discovery_find(const struct discovery *d, const char *name)
{
    for (size_t i = 0; i < d->len; i++)
        if (names(&d->items[i], name, strlen(name)))
            return &d->items[i];
    const char *dot = strchr(name, '.');
    for (size_t i = 0; dot && i < d->len; i++) {
        const struct resource *r = d->items[i].resource;
        char gv[256];
        snprintf(gv, sizeof gv, "%s.%s", r->version, r->group);
        if (names(&d->items[i], name, (size_t)(dot - name)) &&
            (strcasecmp(dot + 1, r->group) == 0 || strcasecmp(dot + 1, gv) == 0))
            return &d->items[i];
    }
    return NULL;
}
