/*
 * Validation of metadata: names, labels, annotations, owners, finalizers, managed fields.
 */
#include "api/meta.h"
#include "api/validation/internal.h"

#define FIELD_MANAGER_MAX 128
#define SUBRESOURCE_NAME_MAX 256

/* --- owners ----------------------------------------------------------------------------------- */

/* Upstream names no index here: clients know the messages as they are. */
static void check_owner(struct field_errors *e, const struct path *at,
                        const Meta__V1__OwnerReference *o)
{
    struct str group, version;
    api_version_split(str_from(o->api_version), &group, &version);
    if (version.n == 0 || str_find_char(version, '/') >= 0)
        err_invalid(e, AT(at, "apiVersion"), o->api_version, "version must not be empty");
    if (!*o->kind)
        err_invalid(e, AT(at, "kind"), o->kind, "must not be empty");
    if (!*o->name)
        err_invalid(e, AT(at, "name"), o->name, "must not be empty");
    if (!*o->uid)
        err_invalid(e, AT(at, "uid"), o->uid, "must not be empty");
    if (cstr_eq(o->api_version, "v1") && cstr_eq(o->kind, "Event"))
        err_invalid_object(e, at, o, "/v1, Kind=Event is disallowed from being an owner");
}

static void check_owners(struct field_errors *e, const struct path *at,
                         const Meta__V1__ObjectMeta *meta)
{
    const Meta__V1__OwnerReference *first = NULL;
    for (size_t i = 0; i < meta->n_owner_references; i++) {
        const Meta__V1__OwnerReference *o = meta->owner_references[i];
        check_owner(e, at, o);
        if (!o->has_controller || !o->controller)
            continue;
        if (first)
            err_invalid_object(
                e, at, o,
                arena_printf(
                    e->arena,
                    "Only one reference can have Controller set to true. Found \"true\" in "
                    "references for %s/%s and %s/%s",
                    first->kind, first->name, o->kind, o->name));
        else
            first = o;
    }
}

/* --- finalizers, managed fields ---------------------------------------------------------------- */

static void check_finalizers(struct field_errors *e, const struct path *at,
                             const Meta__V1__ObjectMeta *meta, bool built_in)
{
    for (size_t i = 0; i < meta->n_finalizers; i++)
        check_string(e, at, meta->finalizers[i], validate_qualified_name);
    if (has_finalizer(meta, "orphan") && has_finalizer(meta, "foregroundDeletion"))
        err_invalid_list(e, at, meta->finalizers, meta->n_finalizers,
                         "finalizer orphan and foregroundDeletion cannot be both set");
    for (size_t i = 0; built_in && i < meta->n_finalizers; i++) {
        if (!strchr(meta->finalizers[i], '/') &&
            !is_one_of(meta->finalizers[i], ONE_OF("foregroundDeletion", "kubernetes", "orphan")))
            err_invalid(e, ITEM(at, i), meta->finalizers[i],
                        "name is neither a standard finalizer name nor is it fully qualified");
    }
}

static void check_no_new_finalizers(struct field_errors *e, const struct path *at,
                                    const Meta__V1__ObjectMeta *meta,
                                    const Meta__V1__ObjectMeta *old)
{
    struct buf list;
    buf_init(&list);
    for (size_t i = 0; i < meta->n_finalizers; i++) {
        if (!has_finalizer(old, meta->finalizers[i]))
            buf_printf(&list, "%s\"%s\"", list.len ? ", " : "", meta->finalizers[i]);
    }
    if (list.len)
        err_forbidden(e, at,
                      arena_printf(e->arena,
                                   "no new finalizers can be added if the object is being deleted, "
                                   "found new finalizers []string{%s}",
                                   buf_cstr(&list)));
    buf_free(&list);
}

static void check_managed_fields(struct field_errors *e, const struct path *at,
                                 const Meta__V1__ObjectMeta *meta)
{
    for (size_t i = 0; i < meta->n_managed_fields; i++) {
        const Meta__V1__ManagedFieldsEntry *m = meta->managed_fields[i];
        if (!is_one_of(m->operation, ONE_OF("Apply", "Update")))
            err_invalid(e, AT(ITEM(at, i), "operation"), m->operation,
                        "must be `Apply` or `Update`");
        if (*m->fields_type && !cstr_eq(m->fields_type, "FieldsV1"))
            err_invalid(e, AT(ITEM(at, i), "fieldsType"), m->fields_type, "must be `FieldsV1`");
        if (strlen(m->manager) > FIELD_MANAGER_MAX)
            err_too_long(e, AT(ITEM(at, i), "manager"), FIELD_MANAGER_MAX);
        if (strlen(m->subresource) > SUBRESOURCE_NAME_MAX)
            err_too_long(e, AT(ITEM(at, i), "subresource"), SUBRESOURCE_NAME_MAX);
    }
}

/* --- objects ----------------------------------------------------------------------------------- */

/* These groups and events of core/v1 take any finalizer, as custom resources do. */
static bool has_standard_finalizers(const struct resource *r)
{
    static const char *const any[] = {"admissionregistration.k8s.io",
                                      "apiextensions.k8s.io",
                                      "apiregistration.k8s.io",
                                      "coordination.k8s.io",
                                      "node.k8s.io",
                                      "policy",
                                      NULL};
    return r && !r->custom && r->message != Core__V1__Event__SCHEMA && !is_one_of(r->group, any);
}

static void check_common(const Meta__V1__ObjectMeta *meta, const struct resource *r,
                         const struct path *at, struct field_errors *e)
{
    check_labels(e, AT(at, "labels"), meta->labels, meta->n_labels);
    check_annotations(e, AT(at, "annotations"), meta->annotations, meta->n_annotations);
    check_owners(e, AT(at, "ownerReferences"), meta);
    check_finalizers(e, AT(at, "finalizers"), meta, has_standard_finalizers(r));
    check_managed_fields(e, AT(at, "managedFields"), meta);
}

void check_object_meta(const Meta__V1__ObjectMeta *meta, const struct resource *r, bool namespaced,
                       const struct path *at, struct field_errors *e)
{
    const char *message;
    if (*meta->generate_name && (message = validate_name_of(r, meta->generate_name, true)))
        err_invalid_messages(e, AT(at, "generateName"), meta->generate_name, message);
    if (!*meta->name)
        err_required(e, AT(at, "name"), "name or generateName is required");
    else if ((message = validate_name_of(r, meta->name, false)))
        err_invalid_messages(e, AT(at, "name"), meta->name, message);
    if (namespaced && !*meta->namespace_)
        err_required(e, AT(at, "namespace"), "");
    else if (namespaced)
        check_string(e, AT(at, "namespace"), meta->namespace_, validate_dns1123_label);
    else if (*meta->namespace_)
        err_forbidden(e, AT(at, "namespace"), "not allowed on this type");
    if (meta->generation < 0)
        err_invalid_int(e, AT(at, "generation"), meta->generation, NON_NEGATIVE);
    check_common(meta, r, at, e);
}

void validate_object_meta(const Meta__V1__ObjectMeta *meta, bool namespaced, const char *path,
                          struct field_errors *e)
{
    check_object_meta(meta, NULL, namespaced, AT(NULL, path), e);
}

static void check_time_unchanged(struct field_errors *e, const struct path *at,
                                 const Meta__V1__Time *new, const Meta__V1__Time *old)
{
    if (time_ns(new) != time_ns(old))
        err_invalid(e, at, time_text(e->arena, new), IMMUTABLE);
}

void check_object_meta_update(const Meta__V1__ObjectMeta *meta, const Meta__V1__ObjectMeta *old,
                              const struct resource *r, struct field_errors *e)
{
    const struct path *at = AT(NULL, "metadata");
    if (!time_is_zero(old->deletion_timestamp))
        check_no_new_finalizers(e, AT(at, "finalizers"), meta, old);
    if (meta->generation < old->generation)
        err_invalid_int(e, AT(at, "generation"), meta->generation, "must not be decremented");
    check_immutable_string(e, AT(at, "name"), meta->name, old->name);
    check_immutable_string(e, AT(at, "namespace"), meta->namespace_, old->namespace_);
    check_immutable_string(e, AT(at, "uid"), meta->uid, old->uid);
    check_time_unchanged(e, AT(at, "creationTimestamp"), meta->creation_timestamp,
                         old->creation_timestamp);
    check_time_unchanged(e, AT(at, "deletionTimestamp"), meta->deletion_timestamp,
                         old->deletion_timestamp);
    if (meta->has_deletion_grace_period_seconds != old->has_deletion_grace_period_seconds ||
        meta->deletion_grace_period_seconds != old->deletion_grace_period_seconds)
        err_invalid_int(e, AT(at, "deletionGracePeriodSeconds"),
                        meta->deletion_grace_period_seconds, IMMUTABLE);
    check_common(meta, r, at, e);
}

/* --- templates --------------------------------------------------------------------------------- */

void check_template_meta(struct field_errors *e, const struct path *at,
                         const Meta__V1__ObjectMeta *meta, bool strict)
{
    check_annotations(e, AT(at, "annotations"), meta->annotations, meta->n_annotations);
    check_labels(e, AT(at, "labels"), meta->labels, meta->n_labels);
    if (!strict)
        return;
    const struct {
        bool set;
        const char *name;
    } others[] = {{*meta->name, "name"},
                  {*meta->generate_name, "generateName"},
                  {*meta->namespace_, "namespace"},
                  {*meta->self_link, "selfLink"},
                  {*meta->uid, "uid"},
                  {*meta->resource_version, "resourceVersion"},
                  {meta->generation != 0, "generation"},
                  {!time_is_zero(meta->deletion_timestamp), "deletionTimestamp"},
                  {meta->has_deletion_grace_period_seconds, "deletionGracePeriodSeconds"},
                  {meta->n_owner_references > 0, "ownerReferences"},
                  {meta->n_finalizers > 0, "finalizers"},
                  {meta->n_managed_fields > 0, "managedFields"}};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        if (others[i].set)
            err_forbidden(e, AT(at, others[i].name), "cannot be set");
    }
}
