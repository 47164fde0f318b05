/*
 * Managed fields of creates and updates: see managed_fields.h.
 */
#include "api/custom/custom.h"
#include "api/codec.h"
#include "api/convert/convert.h"
#include "api/fields/managed_internal.h"
#include "api/meta.h"
#include "base/arena_str.h"
#include <stdlib.h>

/* ---- entries ---- */

static bool same(const char *x, const char *y)
{
    return strcmp(x ? x : "", y ? y : "") == 0;
}

/* Equal for entries that are one: appliers whatever their version, updaters by it too. */
static int identity_compare(const struct owner *x, const struct owner *y)
{
    int order = strcmp(x->manager, y->manager);
    if (!order)
        order = (int)x->applied - (int)y->applied;
    if (!order && !x->applied)
        order = strcmp(x->api_version, y->api_version);
    return order ? order : strcmp(x->subresource, y->subresource);
}

struct owner *owners_find(struct owners *o, const char *manager, bool applied,
                          const char *api_version, const char *subresource)
{
    struct owner wanted = {manager, api_version, subresource, .applied = applied};
    for (size_t i = 0; i < o->len; i++)
        if (identity_compare(&o->all[i], &wanted) == 0)
            return &o->all[i];
    return NULL;
}

struct owner *owners_add(struct owners *o, const char *manager, bool applied,
                         const char *api_version, const char *subresource)
{
    if (o->len == o->cap) {
        size_t cap = o->cap ? 2 * o->cap : 4;
        o->all = arena_grow(o->a, o->all, o->cap * sizeof *o->all, cap * sizeof *o->all);
        o->cap = cap;
    }
    o->all[o->len] = (struct owner){manager,        api_version,    subresource, .applied = applied,
                                    .parsed = true, .changed = true};
    return &o->all[o->len++];
}

static int by_identity(const void *a, const void *b)
{
    const struct owner *x = *(struct owner *const *)a, *y = *(struct owner *const *)b;
    int order = identity_compare(x, y);
    return order ? order : (x > y) - (x < y);
}

/* Of entries that are one the last counts. */
static void unite_equal(struct owners *o)
{
    if (o->len < 2)
        return;
    struct owner **sorted = arena_array(o->a, struct owner *, o->len);
    for (size_t i = 0; i < o->len; i++)
        sorted[i] = &o->all[i];
    qsort(sorted, o->len, sizeof *sorted, by_identity);
    bool any = false;
    for (size_t i = 0; i + 1 < o->len; i++)
        if (identity_compare(sorted[i], sorted[i + 1]) == 0) {
            sorted[i]->manager = NULL;
            any = true;
        }
    size_t kept = 0;
    for (size_t i = 0; i < o->len && any; i++)
        if (o->all[i].manager)
            o->all[kept++] = o->all[i];
    o->len = any ? kept : o->len;
}

int owners_read(struct owners *o, struct arena *a, const Meta__V1__ObjectMeta *meta,
                struct error *err)
{
    *o = (struct owners){.a = a};
    for (size_t i = 0; i < meta->n_managed_fields; i++) {
        const Meta__V1__ManagedFieldsEntry *e = meta->managed_fields[i];
        bool applied = same(e->operation, "Apply");
        if (!applied && !same(e->operation, "Update"))
            return error_set(err, ERR_INVALID, "operation must be `Apply` or `Update`");
        if (same(e->api_version, ""))
            return error_set(err, ERR_INVALID, "apiVersion must not be empty");
        if (!same(e->fields_type, "FieldsV1"))
            return same(e->fields_type, "")
                       ? error_set(err, ERR_INVALID,
                                   "missing fieldsType in managed fields entry %zu", i)
                       : error_set(err, ERR_INVALID,
                                   "invalid fieldsType \"%s\" in managed fields entry %zu",
                                   e->fields_type, i);
        struct owner *w = owners_add(o, e->manager ? e->manager : "", applied, e->api_version,
                                     e->subresource ? e->subresource : "");
        w->time = e->time;
        w->raw = e->fields_v1;
        w->parsed = w->changed = false;
    }
    unite_equal(o);
    return 0;
}

static int parse(struct owners *o, struct owner *w, struct error *err)
{
    struct str raw =
        w->raw && w->raw->has_raw ? str_make(w->raw->raw.data, w->raw->raw.len) : STR_NONE;
    w->parsed = true;
    return field_set_parse(o->a, raw, &w->set, err);
}

struct field_set *owner_set(struct owners *o, struct owner *w)
{
    if (!w->parsed)
        parse(o, w, NULL); /* owners_check has seen to it, or it was stored by us */
    return w->set;
}

void owner_set_put(struct owner *w, struct field_set *set)
{
    if (w->parsed && !w->changed && field_set_equal(w->set, set))
        return;
    w->set = set;
    w->parsed = w->changed = true;
}

static int64_t seconds(const struct owner *w)
{
    return w->time ? w->time->seconds : 0;
}

/* The published order of entries. */
static int entry_order(const void *a, const void *b)
{
    const struct owner *x = a, *y = b;
    if (x->applied != y->applied)
        return x->applied ? -1 : 1;
    if (seconds(x) != seconds(y))
        return seconds(x) < seconds(y) ? -1 : 1;
    int order = strcmp(x->manager, y->manager);
    if (!order)
        order = strcmp(x->api_version, y->api_version);
    return order ? order : strcmp(x->subresource, y->subresource);
}

static Meta__V1__FieldsV1 *raw_of(struct arena *a, const struct field_set *set)
{
    struct buf text;
    buf_init(&text);
    field_set_write(set, &text);
    Meta__V1__FieldsV1 *raw = api_new(a, Meta__V1__FieldsV1);
    raw->has_raw = 1;
    raw->raw = (ProtobufCBinaryData){text.len, arena_dup(a, text.data, text.len)};
    buf_free(&text);
    return raw;
}

void owners_write(struct owners *o, Meta__V1__ObjectMeta *meta)
{
    size_t n = 0;
    for (size_t i = 0; i < o->len; i++)
        if (!o->all[i].parsed || o->all[i].set)
            o->all[n++] = o->all[i];
    o->len = n;
    if (n > 1)
        qsort(o->all, n, sizeof *o->all, entry_order);
    meta->managed_fields = n ? arena_array(o->a, Meta__V1__ManagedFieldsEntry *, n) : NULL;
    meta->n_managed_fields = n;
    for (size_t i = 0; i < n; i++) {
        struct owner *w = &o->all[i];
        Meta__V1__ManagedFieldsEntry *e = api_new(o->a, Meta__V1__ManagedFieldsEntry);
        e->manager = (char *)w->manager;
        e->operation = (char *)(w->applied ? "Apply" : "Update");
        e->api_version = (char *)w->api_version;
        e->subresource = (char *)w->subresource;
        e->time = w->time;
        e->fields_type = (char *)"FieldsV1";
        e->fields_v1 = w->changed || !w->raw ? raw_of(o->a, w->set) : w->raw;
        meta->managed_fields[i] = e;
    }
}

static bool entries_same(const Meta__V1__ManagedFieldsEntry *x,
                         const Meta__V1__ManagedFieldsEntry *y)
{
    struct str p =
        x->fields_v1 ? str_make(x->fields_v1->raw.data, x->fields_v1->raw.len) : STR_NONE;
    struct str q =
        y->fields_v1 ? str_make(y->fields_v1->raw.data, y->fields_v1->raw.len) : STR_NONE;
    return same(x->manager, y->manager) && same(x->operation, y->operation) &&
           same(x->api_version, y->api_version) && same(x->subresource, y->subresource) &&
           same(x->fields_type, y->fields_type) && str_eq(p, q);
}

bool managed_fields_same(const Meta__V1__ObjectMeta *x, const Meta__V1__ObjectMeta *y)
{
    if (x->n_managed_fields != y->n_managed_fields)
        return false;
    for (size_t i = 0; i < x->n_managed_fields; i++) {
        bool found = false; /* a newer time may have moved it */
        for (size_t k = 0; k < y->n_managed_fields && !found; k++)
            found = entries_same(x->managed_fields[i],
                                 y->managed_fields[(i + k) % y->n_managed_fields]);
        if (!found)
            return false;
    }
    return true;
}

/* ---- what is never owned ---- */

struct field_set *strip_identity(struct arena *a, const struct field_set *set)
{
    static const char *const top[] = {"apiVersion", "kind", "metadata"};
    static const char *const meta[] = {
        "clusterName",     "creationTimestamp", "generation", "managedFields", "name", "namespace",
        "resourceVersion", "selfLink",          "uid"};
    struct field_set nodes[3 + 9];
    for (size_t i = 0; i < 3; i++)
        nodes[i] = (struct field_set){.step = field_step_member(str_from(top[i])),
                                      .member = true,
                                      .next = i < 2 ? &nodes[i + 1] : NULL};
    for (size_t i = 0; i < 9; i++)
        nodes[3 + i] = (struct field_set){.step = field_step_member(str_from(meta[i])),
                                          .member = true,
                                          .next = i < 8 ? &nodes[4 + i] : NULL};
    nodes[2].children = &nodes[3];
    struct field_set root = {.children = nodes};
    return field_set_difference(a, set, &root);
}

/* ---- too many updaters ---- */

static int oldest_first(const void *a, const void *b)
{
    const struct owner *x = *(struct owner *const *)a, *y = *(struct owner *const *)b;
    if (seconds(x) != seconds(y))
        return seconds(x) < seconds(y) ? -1 : 1;
    return identity_compare(x, y);
}

void owners_cap(struct owners *o)
{
    if (o->len <= MANAGED_UPDATERS_MAX)
        return;
    struct owner **updaters = arena_array(o->a, struct owner *, o->len);
    size_t n = 0;
    for (size_t i = 0; i < o->len; i++)
        if (!o->all[i].applied && owner_set(o, &o->all[i]))
            updaters[n++] = &o->all[i];
    size_t left = n;
    if (left > MANAGED_UPDATERS_MAX)
        qsort(updaters, n, sizeof *updaters, oldest_first);
    for (size_t i = 0; i < n && left > MANAGED_UPDATERS_MAX; i++) {
        struct owner *w = updaters[i], *first = NULL;
        for (size_t k = 0; k < i && !first; k++) /* of its version, already gathered */
            if (updaters[k]->set && same(updaters[k]->api_version, w->api_version))
                first = updaters[k];
        if (!first)
            continue;
        first->manager = MANAGED_ANCIENT;
        first->subresource = "";
        first->time = w->time;
        owner_set_put(first, field_set_union(o->a, first->set, w->set));
        owner_set_put(w, NULL);
        left--;
    }
}

/* ---- updates ---- */

const void *object_at_version(struct arena *a, const void *object, const char *api_version)
{
    const struct schema_message *m = schema_of(object);
    struct error err;
    void *out;
    if (same(message_api_version(m), api_version))
        return object;
    const struct custom_version *custom = custom_of_message(m), *other;
    if (custom) {
        CustomObject *converted;
        struct str group, version;
        api_version_split(str_from(api_version), &group, &version);
        other = custom_type_version(custom->type, version);
        return other && custom_convert(a, object, other, &converted, &err) == 0 ? converted : NULL;
    }
    int id = kind_message(str_from(api_version), str_from(message_kind(m)));
    if (id == SCHEMA_NONE ||
        object_convert(a, object_clone(a, object), schema_get(id), &out, &err) < 0)
        return NULL;
    return out;
}

/* The difference as the version of an entry sees it; false: there is no such version. */
static bool delta_at(struct arena *a, const void *old, const void *now, const char *api_version,
                     struct field_delta *out)
{
    const void *o = old ? object_at_version(a, old, api_version) : NULL;
    const void *n = object_at_version(a, now, api_version);
    if (!n || (old && !o))
        return false;
    object_compare_fields(a, o, n, out);
    return true;
}

/* Nobody else owns what this write changed. */
static void take_from_others(struct owners *o, const void *old, const void *now,
                             const char *api_version, const struct field_delta *delta)
{
    for (size_t i = 0; i < o->len; i++) {
        struct owner *w = &o->all[i];
        struct field_delta other;
        const struct field_delta *d = delta;
        if (!same(w->api_version, api_version)) {
            d = &other;
            if (!delta_at(o->a, old, now, w->api_version, &other)) {
                owner_set_put(w, NULL);
                continue;
            }
        }
        struct field_set *set = owner_set(o, w);
        set = field_set_difference(o->a, set, d->modified);
        set = field_set_difference(o->a, set, d->added);
        owner_set_put(w, field_set_difference(o->a, set, d->removed));
    }
}

/* What this write adds or changes; the others lose it, and what it removes. */
static struct field_set *written(struct owners *o, const void *old, const void *now,
                                 const char *api_version)
{
    struct field_delta delta;
    if (!old && o->len == 0)
        return object_new_fields(o->a, now);
    object_compare_fields(o->a, old, now, &delta);
    if (!delta.added && !delta.modified && !delta.removed)
        return NULL;
    if (o->len && old)
        owners_reconcile(o, old);
    if (o->len)
        take_from_others(o, old, now, api_version, &delta);
    return strip_identity(o->a, field_set_union(o->a, delta.modified, delta.added));
}

void owners_update(struct owners *o, const struct field_manager *who, const void *old,
                   const void *now)
{
    const char *api_version = message_api_version(schema_of(now));
    struct field_set *mine = written(o, old, now, api_version);
    if (!mine)
        return;
    struct owner *w = owners_find(o, who->name, false, api_version, who->subresource);
    if (!w)
        w = owners_add(o, who->name, false, api_version, who->subresource);
    w->time = time_from_s(o->a, who->now_s);
    owner_set_put(w, field_set_union(o->a, owner_set(o, w), mine));
}

/* The client clears the entries: [], or one with nothing in it. */
static bool is_reset(const Meta__V1__ObjectMeta *meta)
{
    if (meta->n_managed_fields != 1)
        return meta->n_managed_fields == 0 && meta->managed_fields;
    const Meta__V1__ManagedFieldsEntry *e = meta->managed_fields[0];
    return same(e->manager, "") && same(e->operation, "") && same(e->api_version, "") &&
           same(e->fields_type, "") && same(e->subresource, "") && !e->time && !e->fields_v1;
}

/* Entries from outside: their sets are read at once, and all must make sense. */
static bool read_checked(struct owners *o, struct arena *a, const Meta__V1__ObjectMeta *meta)
{
    struct error err;
    bool fine = owners_read(o, a, meta, &err) == 0;
    for (size_t i = 0; i < o->len && fine; i++) {
        fine = parse(o, &o->all[i], &err) == 0;
        o->all[i].changed = true; /* written in our order */
    }
    if (!fine)
        *o = (struct owners){.a = a};
    return fine;
}

static void read_live_or_new(struct owners *o, struct arena *a, const struct field_manager *who,
                             const void *old, const Meta__V1__ObjectMeta *sent)
{
    struct error err;
    *o = (struct owners){.a = a};
    bool subresource = *who->subresource;
    if (!subresource && is_reset(sent))
        return;
    if (!subresource && sent->n_managed_fields) {
        const Meta__V1__ObjectMeta *had = old ? object_meta(old) : NULL;
        bool own = had && managed_fields_same(sent, had); /* as it was read: no need to look */
        if (!own && read_checked(o, a, sent) && o->len)
            return;
    }
    if (!old || owners_read(o, a, object_meta(old), &err) < 0)
        *o = (struct owners){.a = a};
}

void managed_fields_record(struct arena *a, const struct field_manager *who, const void *old,
                           void *now)
{
    Meta__V1__ObjectMeta *meta = object_meta(now);
    struct owners o;
    if (!meta)
        return;
    read_live_or_new(&o, a, who, old, meta);
    if (o.len == 0 && old) {
        meta->managed_fields = NULL;
        meta->n_managed_fields = 0;
        return;
    }
    owners_update(&o, who, old, now);
    owners_cap(&o);
    owners_write(&o, meta);
}
