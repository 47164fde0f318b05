/*
 * Look-ups in the generated table of resources (kinds_tables.c).
 */
#include "api/custom/custom.h"
#include <strings.h>

const struct resource *resource_find(struct str group, struct str version, struct str plural)
{
    for (size_t i = 0; i < resources_len; i++) {
        const struct resource *r = &resources[i];
        if (str_eqz(plural, r->plural) && str_eqz(group, r->group) && str_eqz(version, r->version))
            return r;
    }
    return NULL;
}

const struct resource *resource_find_kind(struct str api_version, struct str kind, bool *is_list)
{
    for (size_t i = 0; i < resources_len; i++) {
        const struct resource *r = &resources[i];
        if (!str_eqz(api_version, r->api_version))
            continue;
        if (str_eqz(kind, r->kind)) {
            if (is_list)
                *is_list = false;
            return r;
        }
        if (is_list && r->list_kind[0] && str_eqz(kind, r->list_kind)) {
            *is_list = true;
            return r;
        }
    }
    return NULL;
}

static bool has_short_name(const struct resource *r, struct str name)
{
    for (const char *const *s = r->short_names; *s; s++) {
        if (str_ieq(name, str_from(*s)))
            return true;
    }
    return false;
}

/* `rest` is what follows the name: "", "apps" or "v1.apps". */
static bool group_matches(const struct resource *r, struct str rest)
{
    if (rest.n == 0)
        return true;
    if (str_ieq(rest, str_from(r->group)))
        return true;
    struct str version;
    return str_split(&rest, '.', &version) && str_eqz(version, r->version) &&
           str_ieq(rest, str_from(r->group));
}

const struct resource *resource_find_name(struct str name)
{
    struct str rest = name, first;
    str_split(&rest, '.', &first);
    /* Full names win over short names, whatever the order of groups. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < resources_len; i++) {
            const struct resource *r = &resources[i];
            bool hit = pass == 0 ? str_ieq(first, str_from(r->plural)) ||
                                       str_ieq(first, str_from(r->singular)) ||
                                       str_ieq(first, str_from(r->kind))
                                 : has_short_name(r, first);
            if (hit && group_matches(r, rest))
                return r;
        }
    }
    return NULL;
}

const struct resource *resource_of_message(int schema_id)
{
    for (size_t i = 0; i < resources_len; i++) {
        if (resources[i].message == schema_id)
            return &resources[i];
    }
    return NULL;
}

const struct subresource *resource_subresource(const struct resource *r, struct str name)
{
    for (const struct subresource *s = r->subresources; s->name; s++) {
        if (str_eqz(name, s->name))
            return s;
    }
    return NULL;
}

int kind_message(struct str api_version, struct str kind)
{
    for (size_t i = 0; i < kind_names_len; i++) {
        const struct kind_name *k = &kind_names[i];
        if (str_eqz(kind, k->kind) && (k->any_version || str_eqz(api_version, k->api_version)))
            return k->message;
    }
    return SCHEMA_NONE;
}

const struct schema_message *resource_message(const struct resource *r)
{
    return r->custom ? &r->custom->message : schema_get(r->message);
}

static const struct kind_name *kind_name_of(const struct schema_message *m)
{
    if (!(m->flags & SCHEMA_HAS_TYPE_META))
        return NULL;
    size_t low = 0, high = kind_names_len; /* sorted by message */
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (kind_names[mid].message == m->id)
            return &kind_names[mid];
        if (kind_names[mid].message < m->id)
            low = mid + 1;
        else
            high = mid;
    }
    return NULL;
}

const char *message_api_version(const struct schema_message *m)
{
    const struct custom_version *custom = custom_of_message(m);
    if (custom)
        return custom->resource.api_version;
    const struct kind_name *k = kind_name_of(m);
    return k ? k->api_version : "";
}

const char *message_kind(const struct schema_message *m)
{
    const struct custom_version *custom = custom_of_message(m);
    if (custom)
        return custom->resource.kind;
    const struct kind_name *k = kind_name_of(m);
    return k ? k->kind : "";
}

const char *verb_name(enum verb v)
{
    switch (v) {
    case VERB_CREATE:
        return "create";
    case VERB_DELETE:
        return "delete";
    case VERB_DELETECOLLECTION:
        return "deletecollection";
    case VERB_GET:
        return "get";
    case VERB_LIST:
        return "list";
    case VERB_PATCH:
        return "patch";
    case VERB_UPDATE:
        return "update";
    case VERB_WATCH:
        return "watch";
    }
    return "";
}

void api_version_split(struct str api_version, struct str *group, struct str *version)
{
    ptrdiff_t slash = str_find_char(api_version, '/');
    *group = slash < 0 ? STR("") : str_slice(api_version, 0, (size_t)slash);
    *version = str_slice(api_version, (size_t)(slash + 1), api_version.n);
}
