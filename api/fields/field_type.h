/*
 * Field types: how a value of an object merges, for server-side apply and managed fields.
 *
 * Two sources give the same answers: the schema tables of built-in kinds (field_type_of_message, here)
 * and the structural schemas of custom resources (which fill in a `struct field_schema` of their own).
 * A type is a small value to be passed around; what it points to belongs to its source and outlives it.
 *
 * What each kind means (as published for structured merges):
 *
 *   kind       JSON        merges                                      path element of a child
 *   SCALAR     not ctn     as one value
 *   ATOMIC     any         as one value
 *   STRUCT     object      member by member, declared members only     f:name
 *   MAP        object      member by member, any name, one type        f:name
 *   LIST_MAP   array       item by item, by the values of its keys     k:{"port":80,"protocol":"TCP"}
 *   LIST_SET   array       item by item, by value                      v:"a"
 *   UNTYPED    any         by what it is: objects as maps of UNTYPED, arrays as ATOMIC, else SCALAR
 *
 * All functions may be called from any thread.
 */
#ifndef C8S_API_FIELDS_FIELD_TYPE_H
#define C8S_API_FIELDS_FIELD_TYPE_H

#include "api/schema.h"

enum field_kind {
    FIELD_SCALAR,
    FIELD_ATOMIC,
    FIELD_STRUCT,
    FIELD_MAP,
    FIELD_LIST_MAP,
    FIELD_LIST_SET,
    FIELD_UNTYPED,
};

/* What a scalar may be; others are refused in an applied configuration. */
enum field_scalar { FIELD_ANY, FIELD_STRING, FIELD_NUMBER, FIELD_BOOLEAN };

struct field_schema;

struct field_type {
    enum field_kind kind;
    enum field_scalar scalar; /* SCALAR */
    const struct field_schema *schema;
    const void *node; /* its source's; NULL for SCALAR, ATOMIC, UNTYPED */
};

/* A key of a LIST_MAP. */
struct field_key {
    struct str name;          /* JSON name */
    struct str default_value; /* as JSON, for items that lack the key; p NULL: none */
};

#define FIELD_KEYS_MAX 8

enum field_declared {
    FIELD_UNKNOWN,   /* the schema has no such member: *out is UNTYPED */
    FIELD_DECLARED,  /* a declared member of a STRUCT */
    FIELD_UNDECLARED /* a key of a MAP, or an undeclared member that the schema preserves */
};

/* A source of types. Every function gets a type whose `schema` it is. */
struct field_schema {
    /* The type of a member of a STRUCT or MAP. */
    enum field_declared (*member)(const struct field_type *t, struct str name,
                                  struct field_type *out);
    /* The type of the items of a LIST_MAP (STRUCT or MAP) or LIST_SET (SCALAR). */
    void (*item)(const struct field_type *t, struct field_type *out);
    /* The keys of a LIST_MAP, in alphabetical order; returns how many (at most FIELD_KEYS_MAX). */
    size_t (*keys)(const struct field_type *t, struct field_key out[FIELD_KEYS_MAX]);
};

static inline struct field_type field_type_atomic(void)
{
    return (struct field_type){.kind = FIELD_ATOMIC};
}

static inline struct field_type field_type_untyped(void)
{
    return (struct field_type){.kind = FIELD_UNTYPED};
}

/* The type of a kind's objects, or of any message, by the schema tables. */
struct field_type field_type_of_message(const struct schema_message *m);
/* The same of a custom kind, by its structural schema (api/custom/fields.c). */
struct custom_version;
struct field_type field_type_of_custom(const struct custom_version *v);
/* The type of one field of a message. */
struct field_type field_type_of_field(const struct schema_field *f);

/* A member's type, by whatever source `t` is of; UNTYPED ones included. */
enum field_declared field_type_member(const struct field_type *t, struct str name,
                                      struct field_type *out);

#endif
