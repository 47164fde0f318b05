/*
 * Validation: are names, fields and changes allowed? Answers are lists of field errors in
 * upstream's words, which become the message and causes of a 422 Status.
 */
#ifndef C8S_API_VALIDATION_H
#define C8S_API_VALIDATION_H

#include "api/kinds.h"
#include "api/object.h"

enum field_error_type {
    FIELD_REQUIRED,      /* "Required value" */
    FIELD_INVALID,       /* "Invalid value" */
    FIELD_NOT_SUPPORTED, /* "Unsupported value" */
    FIELD_DUPLICATE,     /* "Duplicate value" */
    FIELD_FORBIDDEN,     /* "Forbidden" */
    FIELD_NOT_FOUND,     /* "Not found" */
    FIELD_TOO_LONG,      /* "Too long" */
    FIELD_TOO_MANY,      /* "Too many" */
    FIELD_INTERNAL,      /* "Internal error" */
    FIELD_TYPE_INVALID,  /* "Invalid value": of another type than the schema says */
};

struct field_error {
    enum field_error_type type;
    const char *field; /* "spec.containers[0].name" */
    const char
        *detail; /* everything after "field: ": `Invalid value: -1: must be greater than …` */
};

/* Collected in an arena; at most FIELD_ERRORS_MAX are kept, and none after FIELD_ERRORS_BYTES_MAX of text: names in
 * paths are as long as the client likes. Zero-initialise with an arena. */
struct field_errors {
    struct arena *arena;
    struct field_error *items;
    size_t len, cap, bytes;
};
#define FIELD_ERRORS_MAX 200
#define FIELD_ERRORS_BYTES_MAX (1u << 20)
/* Is nothing more kept? For those whose paths and values cost much to make. */
bool field_errors_full(const struct field_errors *e);

/* Add an error. `bad` is the value as it is to be shown: "-1", "\"Foo\"" (use field_quote for
 * strings); NULL for types that show none. */
void field_error_add(struct field_errors *e, enum field_error_type type, const char *field,
                     const char *bad, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
const char *field_quote(struct arena *a, const char *s);
/* Append an error of another list; its strings are shared. */
void field_error_copy(struct field_errors *e, const struct field_error *from);
/* `spec.x: Invalid value: …`; several as `[a, b]`: the aggregate text of a Status. */
void field_errors_message(const struct field_errors *e, struct buf *out);
/* The 422 Status: message `Pod "x" is invalid: …`, reason Invalid, details with a cause per error.
 */
Meta__V1__Status *field_errors_status(struct arena *a, const struct field_errors *e,
                                      const struct resource *r, const char *name);

/* Every rule of the kind for a new object (defaults are already applied). `name` rules included. */
void validate_create(const struct resource *r, const void *object, struct field_errors *e);
/* Rules for a change: the new object's own, and what may not change. */
void validate_update(const struct resource *r, const void *object, const void *old,
                     struct field_errors *e);
/* The same for subresource "status" (spec is the old one's already), "finalize", "approval",
 * "resize", "ephemeralcontainers". */
void validate_update_subresource(const struct resource *r, const char *name, const void *object,
                                 const void *old, struct field_errors *e);
/* What a good object had better not do: `say` gets the text of each Warning header. `old` NULL: it is
 * new. */
typedef void warning_fn(void *ctx, const char *text);
void validate_warnings(struct arena *a, const void *object, const void *old, warning_fn *say,
                       void *ctx);
/* Only metadata (custom resources use it too): names, labels, annotations, owner references,
 * finalizers, namespace presence. */
void validate_object_meta(const Meta__V1__ObjectMeta *meta, bool namespaced, const char *path,
                          struct field_errors *e);

/* What an access review asks about (its selectors), at spec.resourceAttributes. */
struct Authorization__V1__ResourceAttributes;
void validate_access_attributes(const struct Authorization__V1__ResourceAttributes *attributes,
                                struct field_errors *e);

/* --- syntax rules: NULL when good, else upstream's messages, one a line -------------------------- */

const char *validate_dns1123_label(const char *s);     /* ≤ 63: lower case, digits, '-' */
const char *validate_dns1123_subdomain(const char *s); /* ≤ 253: labels joined by '.' */
const char *validate_dns1035_label(const char *s);     /* starts with a letter */
const char *validate_qualified_name(const char *s); /* label and annotation keys: [prefix/]name */
const char *validate_label_value(const char *s);    /* ≤ 63 */
const char *validate_config_map_key(const char *s);
const char *validate_env_var_name(const char *s);
const char *validate_port_name(const char *s); /* ≤ 15 */
const char *validate_port_number(int64_t port);
const char *validate_ip(const char *s);
const char *validate_path_segment(const char *s); /* rbac names: no '/', '%', '.', '..' */
/* The name rule of a kind: NULL when good. `prefix`: a generateName. */
const char *validate_name_of(const struct resource *r, const char *name, bool prefix);

#endif
