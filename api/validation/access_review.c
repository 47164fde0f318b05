/*
 * What an access review asks about: its selectors, by the published rules.
 */
#include "api/validation/internal.h"
#include "proto/authorization_v1.pb-c.h"

/* Either as text or as requirements. */
static void check_form(struct field_errors *e, const struct path *at, const char *raw, size_t n)
{
    if (*raw && n)
        err_invalid(e, AT(at, "rawSelector"), raw,
                    "may not specified at the same time as requirements");
    if (!*raw && !n)
        err_required(e, AT(at, "requirements"),
                     arena_printf(e->arena,
                                  "when %s is specified, requirements or rawSelector is required",
                                  path_text(e->arena, at)));
}

static void check_field_requirement(struct field_errors *e, const struct path *at,
                                    const Meta__V1__FieldSelectorRequirement *r)
{
    bool list = cstr_eq(r->operator_, "In") || cstr_eq(r->operator_, "NotIn");
    bool none = cstr_eq(r->operator_, "Exists") || cstr_eq(r->operator_, "DoesNotExist");
    if (!*r->key)
        err_required(e, AT(at, "key"), "must be specified");
    if (list && r->n_values == 0)
        err_required(e, AT(at, "values"), "must be specified when `operator` is 'In' or 'NotIn'");
    if (none && r->n_values > 0)
        err_forbidden(e, AT(at, "values"),
                      "may not be specified when `operator` is 'Exists' or 'DoesNotExist'");
}

/* Operators that are not known may be a later client's: those requirements are left out of the question. */
void validate_access_attributes(const Authorization__V1__ResourceAttributes *a,
                                struct field_errors *e)
{
    const struct path *at = AT(SPEC, "resourceAttributes");
    const Authorization__V1__FieldSelectorAttributes *fields = a->field_selector;
    const Authorization__V1__LabelSelectorAttributes *labels = a->label_selector;
    if (fields)
        check_form(e, AT(at, "fieldSelector"), fields->raw_selector, fields->n_requirements);
    for (size_t i = 0; fields && i < fields->n_requirements; i++)
        check_field_requirement(e, ITEM(AT(AT(at, "fieldSelector"), "requirements"), i),
                                fields->requirements[i]);
    if (labels)
        check_form(e, AT(at, "labelSelector"), labels->raw_selector, labels->n_requirements);
    for (size_t i = 0; labels && i < labels->n_requirements; i++)
        check_label_requirement(e, ITEM(AT(AT(at, "labelSelector"), "requirements"), i),
                                labels->requirements[i], false, true);
}
