/*
 * Server-side apply: see managed_fields.h.
 */
#include "api/codec.h"
#include "api/fields/managed_internal.h"
#include "api/meta.h"
#include "api/patch/internal.h"
#include "base/arena_str.h"
#include <stdlib.h>

/* What one run works on. */
struct run {
    struct apply *ap;
    struct typed_space s;
    struct field_type type;
    const char *api_version;
    struct owners owners;
    yyjson_mut_val *live;
    struct typed *live_typed, *config;
};

yyjson_mut_val *object_tree(struct typed_space *s, const void *object)
{
    yyjson_mut_val *tree = json_tree(s->a, s->doc, object);
    yyjson_mut_val *meta = yyjson_mut_obj_get(tree, "metadata");
    if (yyjson_mut_is_obj(meta))
        yyjson_mut_obj_remove_key(meta, "managedFields");
    return tree;
}

static int typed_of(struct run *r, yyjson_mut_val *tree, struct typed **out, struct error *err)
{
    return typed_new(&r->s, &r->type, tree, false, out, err);
}

/* "ns/name; apps/v1, Kind=Deployment" */
static const char *what(struct run *r)
{
    yyjson_val *meta = yyjson_obj_get(r->ap->config, "metadata");
    const char *name = yyjson_get_str(yyjson_obj_get(meta, "name"));
    const char *ns = yyjson_get_str(yyjson_obj_get(meta, "namespace"));
    bool core = !strchr(r->api_version, '/');
    return arena_printf(r->s.a, "%s/%s; %s%s, Kind=%s", ns ? ns : "", name ? name : "",
                        core ? "/" : "", r->api_version, message_kind(r->ap->m));
}

/* ---- trees of another version ---- */

/* A tree of the applied version as another one sees it; NULL: no such version. */
static struct typed *typed_at(struct run *r, const struct typed *v, const char *api_version,
                              struct field_type *type)
{
    struct error err;
    void *object;
    struct typed *out;
    size_t n;
    char *text = yyjson_mut_val_write(v->value, 0, &n);
    const void *other = NULL;
    if (text && json_decode(r->s.a, r->ap->m, str_make(text, n), NULL, &object, &err) == 0)
        other = object_at_version(r->s.a, object, api_version);
    free(text);
    if (!other)
        return NULL;
    *type = field_type_of_message(schema_of(other));
    return typed_new(&r->s, type, object_tree(&r->s, other), false, &out, &err) < 0 ? NULL : out;
}

/* The set of an entry, when it is of the applied version; others do not compare. */
static bool is_current(const struct run *r, const struct owner *w)
{
    return strcmp(w->api_version, r->api_version) == 0;
}

/* ---- fields no longer applied ---- */

static struct field_set *named_fields(struct run *r, const struct typed *v)
{
    return field_set_with_named(r->s.a, typed_fields(&r->s, v), &r->type);
}

static int retyped(struct run *r, yyjson_mut_val *tree, struct typed **out, struct error *err)
{
    if (yyjson_mut_is_null(tree))
        tree = yyjson_mut_obj(r->s.doc);
    return typed_of(r, tree, out, err);
}

/*
 * Take out of *merged what this manager applied last time and nobody owns any more. What the removal of a
 * parent takes along although others own it, or nobody ever applied it, is put back.
 */
static int prune(struct run *r, struct field_set *last, struct typed **merged, struct error *err)
{
    struct arena *a = r->s.a;
    struct typed *pruned;
    struct field_set *owned = NULL, *named_last = field_set_with_named(a, last, &r->type);
    int rc = retyped(r, typed_without(&r->s, *merged, named_last), &pruned, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < r->owners.len; i++)
        if (is_current(r, &r->owners.all[i]))
            owned = field_set_union(a, owned, owner_set(&r->owners, &r->owners.all[i]));
    struct field_set *all = named_fields(r, *merged);
    struct field_set *keep =
        field_set_union(a, named_fields(r, pruned), field_set_with_named(a, owned, &r->type));
    rc =
        retyped(r, typed_without(&r->s, *merged, field_set_difference(a, all, keep)), &pruned, err);
    if (rc < 0)
        return rc;
    struct field_set *gone = field_set_difference(a, all, named_fields(r, pruned));
    gone = field_set_intersection(a, gone, named_last);
    return retyped(r, typed_without(&r->s, *merged, gone), merged, err);
}

/* ---- conflicts ---- */

struct conflict {
    struct owner *owner;
    struct field_set *set;
};

static const char *manager_text(struct arena *a, const struct owner *w)
{
    struct buf b;
    buf_init(&b);
    buf_append_json_string(&b, str_from(w->manager));
    if (*w->subresource)
        buf_printf(&b, " with subresource \"%s\"", w->subresource);
    if (!w->applied)
        buf_printf(&b, " using %s", w->api_version);
    const char *s = arena_strdup(a, buf_cstr(&b));
    buf_free(&b);
    return s;
}

struct listing {
    struct apply *ap;
    const char *manager;
    size_t cap;
};

static void list_conflict(void *ctx, const char *path)
{
    struct listing *l = ctx;
    struct apply *ap = l->ap;
    if (ap->conflicts_len == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 8;
        ap->conflicts = arena_grow(ap->a, ap->conflicts, l->cap * sizeof *ap->conflicts,
                                   cap * sizeof *ap->conflicts);
        l->cap = cap;
    }
    ap->conflicts[ap->conflicts_len++] = (struct apply_conflict){l->manager, path};
}

static int by_owner(const void *a, const void *b)
{
    const struct owner *x = ((const struct conflict *)a)->owner;
    const struct owner *y = ((const struct conflict *)b)->owner;
    int order = strcmp(x->manager, y->manager);
    return order ? order : strcmp(x->subresource, y->subresource);
}

/*
 * What the last client-side apply wrote and is still as it wrote it: kubectl, applying on the server now,
 * may take that over without force.
 */
static struct field_set *last_applied_fields(struct run *r)
{
    struct error err;
    yyjson_val *last;
    struct typed *typed;
    struct field_delta d;
    struct str version, kind;
    const Meta__V1__ObjectMeta *meta = r->ap->live ? object_meta(r->ap->live) : NULL;
    const char *text = meta ? annotations_get(meta, LAST_APPLIED_ANNOTATION) : NULL;
    if (!text || json_read(r->s.a, str_from(text), &last, &err) < 0)
        return NULL;
    json_type_meta(last, &version, &kind);
    if (!str_eqz(version, r->api_version) ||
        typed_new(&r->s, &r->type, yyjson_val_mut_copy(r->s.doc, last), true, &typed, &err) < 0)
        return NULL;
    typed_compare(&r->s, typed, r->live_typed, &d);
    struct field_set *set = typed_fields(&r->s, typed);
    set = field_set_difference(r->s.a, set, d.modified);
    set = field_set_difference(r->s.a, set, d.added);
    return field_set_difference(r->s.a, set, d.removed);
}

/* 0: there are none, or they may be overridden. */
static int report_conflicts(struct run *r, struct conflict *conflicts, size_t n)
{
    struct apply *ap = r->ap;
    if (n == 0 || ap->force)
        return 0;
    struct field_set *allowed = NULL;
    if (strcmp(ap->who.name, "kubectl") == 0)
        allowed = last_applied_fields(r);
    struct listing l = {.ap = ap};
    qsort(conflicts, n, sizeof *conflicts, by_owner);
    for (size_t i = 0; i < n; i++) {
        l.manager = manager_text(ap->a, conflicts[i].owner);
        field_set_each(ap->a, field_set_difference(ap->a, conflicts[i].set, allowed), list_conflict,
                       &l);
    }
    return ap->conflicts_len ? ERR_CONFLICT : 0;
}

/* The difference of the run as an entry's version sees it; false: no such version. */
static bool delta_of(struct run *r, const struct owner *w, const struct typed *now,
                     const struct field_delta *current, struct field_delta *out)
{
    struct field_type type;
    *out = *current;
    if (is_current(r, w))
        return true;
    struct typed *l = typed_at(r, r->live_typed, w->api_version, &type);
    struct typed *n = typed_at(r, now, w->api_version, &type);
    if (!l || !n)
        return false;
    typed_compare(&r->s, l, n, out);
    return true;
}

/* Others lose what this changes, unless that is a conflict. */
static int settle(struct run *r, const struct owner *mine, const struct typed *now)
{
    struct arena *a = r->s.a;
    struct field_delta current;
    struct owners *o = &r->owners;
    struct conflict *conflicts = arena_array(a, struct conflict, o->len);
    struct field_delta *deltas = arena_array(a, struct field_delta, o->len);
    size_t n = 0;
    typed_compare(&r->s, r->live_typed, now, &current);
    for (size_t i = 0; i < o->len; i++) {
        struct owner *w = &o->all[i];
        if (w == mine)
            continue;
        if (!delta_of(r, w, now, &current, &deltas[i])) {
            owner_set_put(w, NULL);
            continue;
        }
        struct field_set *changed = field_set_union(a, deltas[i].modified, deltas[i].added);
        struct field_set *set = field_set_intersection(a, owner_set(o, w), changed);
        if (set)
            conflicts[n++] = (struct conflict){w, set};
    }
    int rc = report_conflicts(r, conflicts, n);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < n; i++)
        owner_set_put(conflicts[i].owner,
                      field_set_difference(a, owner_set(o, conflicts[i].owner), conflicts[i].set));
    for (size_t i = 0; i < o->len; i++)
        if (&o->all[i] != mine)
            owner_set_put(&o->all[i],
                          field_set_difference(a, owner_set(o, &o->all[i]), deltas[i].removed));
    return 0;
}

/* ---- kubectl's annotation ---- */

/* Sorted, as kubectl writes it. */
static void write_sorted(const struct typed *v, struct buf *out);

static void write_plain(yyjson_mut_val *v, struct buf *out)
{
    size_t n;
    char *text = yyjson_mut_val_write(v, 0, &n);
    buf_append(out, text ? text : "null", text ? n : 4);
    free(text);
}

static void write_sorted(const struct typed *v, struct buf *out)
{
    if (v->form == TYPED_LEAF) {
        write_plain(v->value, out);
        return;
    }
    bool list = v->form == TYPED_LIST;
    buf_append_char(out, list ? '[' : '{');
    for (size_t i = 0; i < v->len; i++) {
        const struct typed *c = list ? v->in_order[i] : v->children[i];
        if (i)
            buf_append_char(out, ',');
        if (!list) {
            buf_append_json_string(out, c->step.name);
            buf_append_char(out, ':');
        }
        write_sorted(c, out);
    }
    buf_append_char(out, list ? ']' : '}');
}

/* Keep the annotation of client-side apply in step, so that going back to it works. */
static void update_last_applied(struct run *r, Meta__V1__ObjectMeta *meta)
{
    const char *had = annotations_get(meta, LAST_APPLIED_ANNOTATION);
    if (strcmp(r->ap->who.name, "kubectl") != 0 || !had || !*had)
        return;
    struct typed *config;
    struct error err;
    struct field_type untyped = field_type_untyped();
    yyjson_mut_val *tree = yyjson_val_mut_copy(r->s.doc, r->ap->config);
    yyjson_mut_val *m = yyjson_mut_obj_get(tree, "metadata");
    yyjson_mut_val *annotations =
        yyjson_mut_is_obj(m) ? yyjson_mut_obj_get(m, "annotations") : NULL;
    if (yyjson_mut_is_obj(annotations))
        yyjson_mut_obj_remove_key(annotations, LAST_APPLIED_ANNOTATION);
    if (typed_new(&r->s, &untyped, tree, false, &config, &err) < 0)
        return;
    struct buf text;
    buf_init(&text);
    write_sorted(config, &text);
    buf_append_char(&text, '\n');
    annotations_set(r->s.a, meta, LAST_APPLIED_ANNOTATION,
                    arena_strndup(r->s.a, text.data, text.len));
    buf_free(&text);
}

/* ---- the whole ---- */

static int read_config(struct run *r, struct error *err)
{
    struct apply *ap = r->ap;
    yyjson_mut_val *tree = yyjson_val_mut_copy(r->s.doc, ap->config);
    for (size_t i = 0; ap->reset && ap->reset[i]; i++)
        yyjson_mut_obj_remove_key(tree, ap->reset[i]);
    int rc = typed_new(&r->s, &r->type, tree, true, &r->config, err);
    if (rc < 0) {
        struct error inner = *err;
        return error_set(err, rc, "failed to create typed patch object (%s): %s", what(r),
                         inner.message);
    }
    return 0;
}

static int read_live(struct run *r, struct error *err)
{
    struct apply *ap = r->ap;
    r->owners = (struct owners){.a = ap->a};
    r->live = ap->live ? object_tree(&r->s, ap->live) : NULL;
    if (!r->live) {
        r->live = ap->m->special == SCHEMA_PLAIN ? object_tree(&r->s, object_new(ap->a, ap->m))
                                                 : yyjson_mut_obj(r->s.doc);
    } else {
        struct error inner;
        if (owners_read(&r->owners, ap->a, object_meta(ap->live), &inner) < 0)
            return error_set(err, ERR_INVALID, "failed to decode managed fields: %s",
                             inner.message);
    }
    if (ap->live && r->owners.len == 0) {
        struct field_manager before = ap->who;
        before.name = MANAGED_BEFORE_FIRST_APPLY;
        owners_update(&r->owners, &before, NULL, ap->live);
    } else if (ap->live) {
        owners_reconcile(&r->owners, ap->live);
    }
    return typed_of(r, r->live, &r->live_typed, err);
}

static int finish(struct run *r, struct owner *mine, const struct typed *now, struct error *err)
{
    struct apply *ap = r->ap;
    bool changed = !json_values_equal(r->live, now->value);
    if (changed)
        mine->time = time_from_s(ap->a, ap->who.now_s);
    owner_set_put(mine, strip_identity(ap->a, mine->set));
    if (!changed && ap->live) {
        ap->object = object_clone(ap->a, ap->live);
    } else {
        size_t n;
        char *text = yyjson_mut_val_write(now->value, 0, &n);
        int rc = json_decode(ap->a, ap->m, str_make(text, text ? n : 0), NULL, &ap->object, err);
        free(text);
        if (rc < 0)
            return rc;
    }
    owners_cap(&r->owners);
    owners_write(&r->owners, object_meta(ap->object));
    update_last_applied(r, object_meta(ap->object));
    return 0;
}

int apply_run(struct apply *ap, struct error *err)
{
    struct run r = {.ap = ap,
                    .s = {ap->a, json_doc_new(ap->a)},
                    .type = field_type_of_message(ap->m),
                    .api_version = message_api_version(ap->m)};
    int rc = read_config(&r, err);
    if (rc < 0 || (rc = read_live(&r, err)) < 0)
        return rc;
    struct typed *now;
    if ((rc = typed_of(&r, typed_merge(&r.s, r.live_typed, r.config), &now, err)) < 0)
        return rc;
    struct owners *o = &r.owners;
    struct owner *mine = owners_find(o, ap->who.name, true, "", ap->who.subresource);
    struct field_set *last = mine && is_current(&r, mine) ? owner_set(o, mine) : NULL;
    if (!mine)
        mine = owners_add(o, ap->who.name, true, r.api_version, ap->who.subresource);
    if (!is_current(&r, mine))
        mine->changed = true;
    mine->api_version = r.api_version;
    owner_set_put(mine, typed_fields(&r.s, r.config));
    if (last && (rc = prune(&r, last, &now, err)) < 0)
        return rc;
    if ((rc = settle(&r, mine, now)) < 0)
        return rc;
    return finish(&r, mine, now, err);
}
