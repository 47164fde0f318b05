/*
 * Structural schemas: the openAPIV3Schema of a CustomResourceDefinition in a compact form that prunes,
 * defaults and validates JSON documents.
 *
 *     JSONSchemaProps (struct of the API) ──structural_new──▶ struct structural (read only)
 *         structural_prune     drop what the schema does not know
 *         structural_default   fill in what is absent and has a default
 *         structural_validate  types, ranges, patterns, formats, enums, junctors, list types
 *
 * One node type stands for structure and for the value validations nested in allOf, anyOf, oneOf and
 * not. A schema is immutable once made and may be used by any number of threads; it lives in the
 * arena given and holds compiled patterns, which structural_free releases.
 *
 * Documents are yyjson's mutable trees whose numbers may be raw text (json_read keeps them so).
 */
#ifndef C8S_API_STRUCTURAL_STRUCTURAL_H
#define C8S_API_STRUCTURAL_STRUCTURAL_H

#include "api/validation.h"
#include "proto/apiextensions_v1.pb-c.h"
#include <yyjson.h>

/* Documents and schemas are walked recursively: nothing deeper is accepted. */
#define STRUCTURAL_DEPTH_MAX 100
/* Bytes of JSON that defaults add to one document: as many as the body of a request may have. */
#define STRUCTURAL_DEFAULTED_MAX (3u << 20)

enum structural_type {
    STRUCTURAL_ANY, /* no type given */
    STRUCTURAL_OBJECT,
    STRUCTURAL_ARRAY,
    STRUCTURAL_STRING,
    STRUCTURAL_INTEGER,
    STRUCTURAL_NUMBER,
    STRUCTURAL_BOOLEAN,
};

enum structural_list { STRUCTURAL_LIST_ATOMIC, STRUCTURAL_LIST_SET, STRUCTURAL_LIST_MAP };

struct structural;
struct structural_pattern;

struct structural_property {
    struct str name;
    struct structural *schema;
    size_t defaulted; /* its place among those with a default, if it has one */
};

/* What a value must be like; nodes that ask for nothing share one. */
struct structural_rules {
    const char *format; /* one that is known and fits the type, else NULL */
    const char *pattern;
    struct structural_pattern
        *compiled;      /* shared by all nodes of the schema that have the same text */
    bool compiled_here; /* the one that frees it */
    bool has_maximum, has_minimum, has_multiple_of, exclusive_maximum, exclusive_minimum;
    bool unique_items;
    double maximum, minimum, multiple_of;
    int64_t max_length, min_length, max_items, min_items, max_properties,
        min_properties; /* −1: none */
    struct str *enums;  /* canonical texts, sorted; a null allows nothing and is not among them */
    size_t enums_len;
    const char *enums_said; /* "supported values: …" in the definition's order; NULL: no enum */
    const char *const *required;
    size_t required_len;
    struct structural **all_of, **any_of, **one_of;
    size_t all_of_len, any_of_len, one_of_len;
    struct structural *not_schema;
};

struct structural {
    enum structural_type type;
    bool nullable;
    bool preserve_unknown;  /* x-kubernetes-preserve-unknown-fields */
    bool embedded_resource; /* x-kubernetes-embedded-resource */
    bool int_or_string;     /* x-kubernetes-int-or-string */

    /* Structure. */
    bool has_additional, additional_allowed; /* additionalProperties: given; `true` or a schema */
    bool defaults_below;                     /* this node or one below it has a default */
    bool embedded_below;                     /* … is an embedded resource */
    bool atomic_map;                         /* x-kubernetes-map-type: atomic */
    enum structural_list list_type;          /* of arrays; atomic when not said */
    const char *const *list_keys;            /* of maps; NULL-terminated, in the order given */
    size_t list_keys_len;
    const size_t *list_keys_order;          /* their places, sorted by name */
    struct structural_property *properties; /* sorted by name */
    size_t properties_len;
    const struct structural_property **defaulted; /* those with a default, in the same order */
    size_t defaulted_len;
    struct structural *additional; /* NULL: `true` or `false` */
    struct structural *items;
    const char *default_json; /* the default's text; NULL: none */
    yyjson_val *default_value;

    const struct structural_rules
        *rules; /* x-kubernetes-validations, which are not evaluated, apart */
};

/*
 * Compile. `props` may be NULL (then so is *out: nothing is known and everything kept). The arena takes
 * the result, which refers to nothing of `props`: those structs are ten times its size. ERR_INVALID: too deep, or a
 * pattern that is none.
 */
int structural_new(struct arena *a, const Apiextensions__V1__JSONSchemaProps *props,
                   struct structural **out, struct error *err);
void structural_free(struct structural *s); /* patterns; the nodes are the arena's. NULL is fine */

/*
 * The schema of a member or of list items, as pruning sees it: a property, else additionalProperties;
 * NULL: unknown. `s` may be NULL. For a walk along a document: fields of server-side apply, columns.
 */
const struct structural *structural_member(const struct structural *s, struct str name);
const struct structural *structural_items(const struct structural *s);

/* True while a document is nested no deeper than STRUCTURAL_DEPTH_MAX; asked before all that follows. */
bool structural_depth_is_fine(yyjson_val *value);

/* Called for each pruned field with its path from the root ("spec.foo", "spec.list[0].bar"). False: that is enough,
 * no more paths are made. */
typedef bool structural_unknown_fn(void *ctx, const char *path);
/* Drop members that the schema does not know. The root's apiVersion, kind and metadata stay, and those of
 * embedded resources. `unknown` may be NULL. */
void structural_prune(yyjson_mut_val *root, const struct structural *s,
                      structural_unknown_fn *unknown, void *ctx);
/* The same for a value that is no object of its own: a default. */
void structural_prune_value(yyjson_mut_val *value, const struct structural *s);
/* Remove nulls where they are not allowed, then set defaults (copied into doc). ERR_LIMIT when the text of what is
 * added would be longer than any object may be: a long default in each of a million items would fill the memory. */
int structural_default(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct structural *s,
                       struct error *err);

/*
 * Validate a value at `path` ("" for the whole object: then apiVersion, kind and metadata are only checked
 * as far as the schema speaks of them). Messages are the published ones. With `old`, the value before
 * (NULL: none), errors of values that have not changed are left out, where the parts can be told
 * apart (ratcheting).
 */
void structural_validate(const struct structural *s, yyjson_mut_val *value, yyjson_mut_val *old,
                         const char *path, struct field_errors *e);
/* Lists of type set and map have no two equal items. */
void structural_validate_lists(const struct structural *s, yyjson_mut_val *value, const char *path,
                               struct field_errors *e);
/* The metadata of embedded resources becomes what ObjectMeta knows of it (copied into doc); what is malformed stays as
 * it is, for validation to refuse. Members that go are told to `unknown`, which may be NULL. */
void structural_coerce_embedded(struct arena *a, yyjson_mut_doc *doc, yyjson_mut_val *root,
                                const struct structural *s, structural_unknown_fn *unknown,
                                void *ctx);
/* apiVersion, kind and metadata of embedded resources (not of the root). */
void structural_validate_embedded(const struct structural *s, yyjson_mut_val *value,
                                  const char *path, struct field_errors *e);

/* Append a tree as canonical JSON: members sorted by name (the last of equal ones), numbers as integers
 * where they fit 64 bits, else as the shortest double. Equal documents give equal bytes. */
void json_write_canonical(yyjson_mut_val *value, struct buf *out);

/* A format that CRDs know for strings ("date-time", "ipv4", …). */
bool structural_format_known(const char *format);
bool structural_format_matches(const char *format, struct str text);

/* Patterns: Go's syntax and meaning (unanchored), bounded in time. NULL with *err when it is none. */
struct structural_pattern *structural_pattern_new(const char *pattern, struct error *err);
void structural_pattern_free(struct structural_pattern *p);
/* 1 matches, 0 not, ERR_LIMIT: given up. */
int structural_pattern_matches(const struct structural_pattern *p, struct str text);

#endif
