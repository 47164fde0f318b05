/*
 * Server-side apply: merging an applied configuration into an object, and who applied what.
 *
 * Fields are tracked as published (FieldsV1: {"f:spec":{"f:replicas":{}}}) for every manager that applies.
 * A field that a manager stops applying is removed unless another manager applies it too; a field that
 * another manager applies with another value is a conflict unless forced. Writes other than apply are
 * not tracked: they neither own fields nor lose them, so applying again overrides them.
 *
 * Pure functions on JSON trees; memory is the document's.
 */
#ifndef C8S_APISERVER_APPLY_H
#define C8S_APISERVER_APPLY_H

#include "api/codec.h"

#define APPLY_CONFLICTS_MAX 50

struct apply_conflict {
    const char *manager, *field; /* "helm", ".spec.replicas" */
};

struct apply {
    yyjson_mut_doc *doc;
    struct arena *a;
    const struct schema_message *m;
    const char *manager;
    bool force;
    struct apply_conflict conflicts[APPLY_CONFLICTS_MAX];
    size_t conflicts_len;
};

/* The set of fields that a configuration mentions, without those that identify it. */
yyjson_mut_val *apply_fields(struct apply *ap, yyjson_mut_val *config);

/*
 * Merge `config` into `live` (in place), which has the managers `entries`. Fills ap->conflicts; with none
 * (or with force) live is the result and *entries the new list of ManagedFieldsEntry structs.
 */
void apply_merge(struct apply *ap, yyjson_mut_val *live, yyjson_mut_val *config,
                 Meta__V1__ManagedFieldsEntry ***entries, size_t *entries_len,
                 const char *api_version);

#endif
