/*
 * What is checked for which kind.
 */
#include "api/validation/internal.h"

static const struct rule_table *const tables[] = {
    &pod_rules,          &resource_rules,       &volume_rules,
    &workload_rules,     &batch_rules,          &service_rules,
    &core_rules,         &rbac_rules,           &node_rules,
    &event_rules,        &networking_rules,     &storage_rules,
    &autoscaling_rules,  &admission_rules,      &cluster_rules,
    &flow_control_rules, &resource_claim_rules, &custom_rules,
    &certificate_rules,
};

static const struct kind_rules *rules_of(const void *object)
{
    int id = schema_of(object)->id;
    for (size_t t = 0; t < sizeof tables / sizeof *tables; t++) {
        for (size_t i = 0; i < tables[t]->len; i++) {
            if (tables[t]->rows[i].message == id)
                return &tables[t]->rows[i];
        }
    }
    return NULL;
}

/* Names of bindings, reviews and scales are the business of what they are about. */
static bool has_own_name(const struct resource *r, const void *object)
{
    int id = schema_of(object)->id; /* updates are checked in the version that is stored */
    return r && (id == r->message || id == r->stored_as) && *r->storage_prefix;
}

void validate_create(const struct resource *r, const void *object, struct field_errors *e)
{
    const struct kind_rules *rules = rules_of(object);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    if (meta && has_own_name(r, object))
        check_object_meta(meta, r, r->namespaced, AT(NULL, "metadata"), e);
    if (rules && rules->create)
        rules->create(object, e);
}

void validate_update(const struct resource *r, const void *object, const void *old,
                     struct field_errors *e)
{
    const struct kind_rules *rules = rules_of(object);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    if (meta && has_own_name(r, object))
        check_object_meta_update(meta, object_meta(old), r, e);
    if (rules && rules->create && !rules->update_alone)
        rules->create(object, e);
    if (rules && rules->update)
        rules->update(object, old, e);
}

void validate_update_subresource(const struct resource *r, const char *name, const void *object,
                                 const void *old, struct field_errors *e)
{
    const struct kind_rules *rules = rules_of(object);
    const Meta__V1__ObjectMeta *meta = object_meta(object);
    if (meta && has_own_name(r, object))
        check_object_meta_update(meta, object_meta(old), r, e);
    if (rules && rules->status && strcmp(name, "status") == 0)
        rules->status(object, old, e);
    for (const struct sub_rule *sub = rules ? rules->subs : NULL; sub && sub->name; sub++) {
        if (strcmp(sub->name, name) == 0)
            sub->check(object, old, e);
    }
}
