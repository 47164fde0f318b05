/*
 * FlowSchemas and PriorityLevelConfigurations: those of bootstrap_flowcontrol.json, and what every FlowSchema's status
 * says of the priority level it names.
 *
 *   exempt, catch-all      always as published; how much exempt requests may lend and borrow is for people to say
 *   the other defaults     as published while their annotation says true. Without one, or with one that is neither true
 *                          nor false: while nobody changed the spec; the annotation is then set to what was found
 *   others                 removed if the annotation says true: an older server's defaults
 */
#include "api/codec.h"
#include "api/defaults/defaults.h"
#include "api/kinds.h"
#include "api/meta.h"
#include "apiserver/kept/bootstrap.h"
#include "apiserver/kept/kept_objects.h"
#include "apiserver/kept/kept_write.h"
#include "base/map.h"
#include "proto/flowcontrol_v1.pb-c.h"
#include <yyjson.h>

#define AUTOUPDATE "apf.kubernetes.io/autoupdate-spec"

enum { LEVELS, SCHEMAS, KINDS };

static const struct {
    const char *key;
    int message;
} kinds[KINDS] = {
    {"prioritylevelconfigurations", Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA},
    {"flowschemas", Flowcontrol__V1__FlowSchema__SCHEMA}};

/* Names of a kind: the defaults, and all that there are. */
struct names {
    struct map defaults, all;
};

/* ---- the annotation ---- */

enum verdict { NO, YES, UNSAID };

/* What Go's strconv.ParseBool takes for a boolean counts. */
static enum verdict annotated(const void *object)
{
    static const char *const words[][6] = {[NO] = {"0", "f", "F", "false", "False", "FALSE"},
                                           [YES] = {"1", "t", "T", "true", "True", "TRUE"}};
    const char *said = annotations_get(object_meta(object), AUTOUPDATE);
    for (int v = NO; said && v <= YES; v++)
        for (size_t i = 0; i < ARRAY_LEN(words[v]); i++)
            if (strcmp(said, words[v][i]) == 0)
                return v;
    return UNSAID;
}

static bool is_mandatory(const char *name)
{
    return strcmp(name, "exempt") == 0 || strcmp(name, "catch-all") == 0;
}

/* ---- the status ---- */

/* Does its condition say so already? If not it does now. */
static bool set_dangling(struct arena *a, Flowcontrol__V1__FlowSchema *f, bool there)
{
    const char *level = f->spec->priority_level_configuration->name;
    const char *status = there ? "False" : "True";
    const char *message = arena_printf(
        a, "This FlowSchema references the PriorityLevelConfiguration object named \"%s\" %s",
        level, there ? "and it exists" : "but there is no such object");
    Flowcontrol__V1__FlowSchemaCondition *c = NULL;
    for (size_t i = 0; i < f->status->n_conditions && !c; i++)
        if (cstr_eq(f->status->conditions[i]->type, "Dangling"))
            c = f->status->conditions[i];
    if (c && cstr_eq(c->status, status) && cstr_eq(c->message, message))
        return true;
    if (!c) {
        c = api_new(a, Flowcontrol__V1__FlowSchemaCondition);
        api_append(a, f->status, conditions, c);
    }
    c->type = (char *)"Dangling";
    c->status = (char *)status;
    c->reason = (char *)(there ? "Found" : "NotFound");
    c->message = (char *)message;
    c->last_transition_time = time_now(a);
    return false;
}

/* ---- one of the defaults ---- */

static bool specs_equal(const void *a, const void *b)
{
    const struct schema_field *f;
    return object_equal(*(void *const *)object_member((void *)a, "spec", &f),
                        *(void *const *)object_member((void *)b, "spec", &f));
}

/* `object` is what is published. */
static int keep_default(struct apiserver *s, struct arena *a, void *object, struct error *err)
{
    Meta__V1__ObjectMeta *meta = object_meta(object);
    struct str key = kept_key(a, object);
    void *old;
    int64_t mod_rev;
    meta->generation = 1;
    int rc = kept_load(s, a, key, &old, &mod_rev, err);
    if (rc == 0 && schema_of(object)->id == Flowcontrol__V1__FlowSchema__SCHEMA)
        set_dangling(a, object, true);
    if (rc <= 0)
        return rc < 0 ? rc : kept_create(s, a, object, err);
    enum verdict said = annotated(old);
    bool ours = is_mandatory(meta->name) || said == YES ||
                (said == UNSAID && object_meta(old)->generation == 1);
    if (strcmp(meta->name, "exempt") == 0 &&
        schema_of(object)->id == Flowcontrol__V1__PriorityLevelConfiguration__SCHEMA) {
        Flowcontrol__V1__PriorityLevelConfiguration *o = object, *was = old;
        if (cstr_eq(was->spec->type, "Exempt") && was->spec->exempt)
            o->spec->exempt = was->spec->exempt;
    }
    defaults_apply(a, object);
    bool changed = ours && !specs_equal(object, old);
    if (said == (ours ? YES : NO) && !changed)
        return 0;
    if (changed)
        object_share_member(old, object, "spec");
    object_meta(old)->generation += changed;
    annotations_set(a, object_meta(old), AUTOUPDATE, ours ? "true" : "false");
    return kept_unless_conflict(kept_replace(s, a, key, mod_rev, old, err));
}

static int keep_defaults(struct apiserver *s, struct arena *a, struct names *names,
                         struct error *err)
{
    yyjson_val *root, *v;
    size_t i, n;
    if (json_read(a, str_make(bootstrap_flowcontrol_json, bootstrap_flowcontrol_json_len), &root,
                  err) < 0)
        return error_wrap(err, "bootstrap_flowcontrol.json");
    for (int k = 0; k < KINDS; k++) {
        yyjson_arr_foreach (yyjson_obj_get(root, kinds[k].key), i, n, v) {
            void *object;
            int rc = json_decode_value(a, schema_get(kinds[k].message), v, NULL, &object, err);
            if (rc == 0)
                rc = keep_default(s, a, object, err);
            if (rc < 0)
                return error_wrap(err, "%s %zu", kinds[k].key, i);
            map_put(&names[k].defaults, str_from(object_meta(object)->name), object);
            map_put(&names[k].all, str_from(object_meta(object)->name), object);
        }
    }
    return 0;
}

/* ---- all of them ---- */

/* 1: it was a default once, and is removed. */
static int remove_outdated(struct apiserver *s, const struct kv_pair *pair, const void *object,
                           const struct names *names, struct error *err)
{
    if (map_has(&names->defaults, str_from(object_meta(object)->name)) || annotated(object) != YES)
        return 0;
    int rc = kept_unless_conflict(kept_remove_with(s, pair->key, pair->mod_rev, STR_NONE, 0, err));
    return rc < 0 ? rc : 1;
}

static int visit_level(struct apiserver *s, struct arena *a, const struct kv_pair *pair,
                       void *object, void *ctx, struct error *err)
{
    struct names *names = ctx;
    (void)a;
    int rc = remove_outdated(s, pair, object, &names[LEVELS], err);
    if (rc == 0)
        map_put(&names[LEVELS].all, str_from(object_meta(object)->name), object);
    return MIN(rc, 0);
}

static int visit_schema(struct apiserver *s, struct arena *a, const struct kv_pair *pair,
                        void *object, void *ctx, struct error *err)
{
    struct names *names = ctx;
    Flowcontrol__V1__FlowSchema *f = object;
    int rc = remove_outdated(s, pair, object, &names[SCHEMAS], err);
    const char *level = f->spec->priority_level_configuration->name;
    if (rc != 0 || set_dangling(a, f, map_has(&names[LEVELS].all, str_from(level))))
        return MIN(rc, 0);
    return kept_unless_conflict(kept_replace(s, a, pair->key, pair->mod_rev, f, err));
}

int kept_flow_control(struct apiserver *s, struct arena *a, struct error *err)
{
    struct names names[KINDS];
    for (int k = 0; k < KINDS; k++) {
        map_init(&names[k].defaults);
        map_init(&names[k].all);
    }
    int rc = keep_defaults(s, a, names, err);
    if (rc == 0)
        rc = kept_each(s, a, kinds[LEVELS].message, visit_level, names, err);
    if (rc == 0)
        rc = kept_each(s, a, kinds[SCHEMAS].message, visit_schema, names, err);
    for (int k = 0; k < KINDS; k++) {
        map_free(&names[k].defaults);
        map_free(&names[k].all);
    }
    return rc;
}
