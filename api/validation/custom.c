/*
 * Objects of custom kinds: metadata as for all (validation.c), then the schema, the paths of the scale
 * subresource, embedded resources and list types. The rules of x-kubernetes-validations would follow
 * here.
 */
#include "api/custom/custom.h"
#include "api/structural/internal.h"
#include "api/validation/crd.h"

struct custom_check {
    const struct custom_version *v;
    yyjson_mut_val *object, *old; /* whole trees; old NULL on creation */
};

static struct custom_check prepare(const void *object, const void *old, struct arena *a)
{
    yyjson_mut_doc *doc = json_doc_new(a);
    return (struct custom_check){custom_of_message(schema_of(object)), custom_tree(a, doc, object),
                                 old ? custom_tree(a, doc, old) : NULL};
}

/* ---- scale ---- */

static const char *go_type(yyjson_mut_val *v)
{
    if (yyjson_mut_is_str(v))
        return "string";
    if (yyjson_mut_is_bool(v))
        return "bool";
    if (mut_is_number(v))
        return "float64";
    if (yyjson_mut_is_null(v))
        return "<nil>";
    return yyjson_mut_is_arr(v) ? "[]interface {}" : "map[string]interface {}";
}

static const char *accessor_error(struct arena *a, const char *path, yyjson_mut_val *v,
                                  const char *wanted)
{
    struct buf b;
    buf_init(&b);
    if (yyjson_mut_is_str(v))
        buf_append_str(&b, mut_text(v));
    else
        json_write_canonical(v, &b);
    const char *text = arena_printf(a, ".%s accessor error: %s is of the type %s, expected %s",
                                    path, buf_cstr(&b), go_type(v), wanted);
    buf_free(&b);
    return text;
}

static void check_replicas(const struct custom_check *c, const char *path, struct field_errors *e)
{
    yyjson_mut_val *v = custom_path_get(c->object, path);
    const char *field = arena_printf(e->arena, ".%s", path);
    if (!v)
        return;
    struct number n = mut_is_number(v) ? mut_number(v) : (struct number){0};
    const char *shown = arena_printf(e->arena, "%lld", (long long)n.i);
    if (!n.integer)
        field_error_add(e, FIELD_INVALID, field, "0", "%s",
                        accessor_error(e->arena, path, v, "int64"));
    else if (n.i < 0)
        field_error_add(e, FIELD_INVALID, field, shown, "should be a non-negative integer");
    else if (n.i > INT32_MAX)
        field_error_add(e, FIELD_INVALID, field, shown, "should be less than or equal to %d",
                        INT32_MAX);
}

static void check_scale_status(const struct custom_check *c, struct field_errors *e)
{
    const struct custom_scale *s = &c->v->scale;
    if (!s->enabled)
        return;
    check_replicas(c, s->status_replicas, e);
    yyjson_mut_val *selector =
        *s->label_selector ? custom_path_get(c->object, s->label_selector) : NULL;
    if (selector && !yyjson_mut_is_str(selector))
        field_error_add(e, FIELD_INVALID, arena_printf(e->arena, ".%s", s->label_selector), "\"\"",
                        "%s", accessor_error(e->arena, s->label_selector, selector, "string"));
}

/* ---- all of it ---- */

/* Equal items that were there before are left alone. */
static void check_lists(const struct custom_check *c, struct field_errors *e)
{
    struct field_errors before = {.arena = e->arena};
    if (c->old)
        structural_validate_lists(c->v->schema, c->old, "", &before);
    if (before.len == 0)
        structural_validate_lists(c->v->schema, c->object, "", e);
}

static void check_whole(const struct custom_check *c, struct field_errors *e)
{
    structural_validate(c->v->schema, c->object, c->old, "", e);
    if (c->v->scale.enabled)
        check_replicas(c, c->v->scale.spec_replicas, e);
    check_scale_status(c, e);
    structural_validate_embedded(c->v->schema, c->object, "", e);
    check_lists(c, e);
}

static void create(const void *object, struct field_errors *e)
{
    struct custom_check c = prepare(object, NULL, e->arena);
    check_whole(&c, e);
}

static void update(const void *object, const void *old, struct field_errors *e)
{
    struct custom_check c = prepare(object, old, e->arena);
    check_whole(&c, e);
}

static void status(const void *object, const void *old, struct field_errors *e)
{
    struct custom_check c = prepare(object, old, e->arena);
    yyjson_mut_val *value = mut_member(c.object, STR("status"));
    if (value && c.v->schema)
        structural_validate(structural_member(c.v->schema, STR("status")), value,
                            mut_member(c.old, STR("status")), "status", e);
    check_scale_status(&c, e);
    check_lists(&c, e);
}

static const struct kind_rules rows[] = {
    {.message = Custom__V1__Object__SCHEMA,
     .create = create,
     .update = update,
     .status = status,
     .update_alone = true},
    {.message = Apiextensions__V1__CustomResourceDefinition__SCHEMA,
     .create = validate_crd,
     .update = validate_crd_update,
     .status = validate_crd_status,
     .update_alone = true},
};
const struct rule_table custom_rules = RULE_TABLE(rows);
