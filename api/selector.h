/*
 * Selectors: label selectors (text and struct form) and field selectors, matched on structs or
 * straight on stored bytes.
 */
#ifndef C8S_API_SELECTOR_H
#define C8S_API_SELECTOR_H

#include "api/kinds.h"
#include "api/object.h"

enum selector_op {
    SELECTOR_IN,
    SELECTOR_NOT_IN, /* also true when the key is absent */
    SELECTOR_EXISTS,
    SELECTOR_NOT_EXISTS,
    SELECTOR_GT,
    SELECTOR_LT,
};

struct selector_requirement {
    const char *key;
    enum selector_op op;
    const char **values; /* sorted, without duplicates */
    size_t values_len;
};

/* All requirements must hold; none: everything matches. */
struct label_selector {
    struct selector_requirement *items;
    size_t len;
    bool nothing; /* matches no object (from a NULL LabelSelector) */
};

/* `a=b, c!=d, e in (f,g), h notin (i), j, !k, l>1`. "" matches everything. Keys and values are
 * validated; ERR_INVALID with upstream's wording. */
int label_selector_parse(struct arena *a, struct str text, struct label_selector *out,
                         struct error *err);
/* From a LabelSelector struct: NULL matches nothing, an empty one everything. */
int label_selector_from(struct arena *a, const Meta__V1__LabelSelector *s,
                        struct label_selector *out, struct error *err);
/* From a map (service and replication controller selectors): an empty one matches nothing. */
void label_selector_from_map(struct arena *a, StringEntry *const *entries, size_t n,
                             struct label_selector *out);
bool label_selector_matches(const struct label_selector *s, StringEntry *const *labels, size_t n);
/* On stored bytes, without decoding. */
bool label_selector_matches_stored(const struct label_selector *s, struct str stored);
/* Canonical text (`app=web,tier in (a,b)`): scale's status.selector, `kubectl get -o wide`. */
void label_selector_format(const struct label_selector *s, struct buf *out);
#define label_selector_matches_meta(s, meta) \
    label_selector_matches((s), (meta)->labels, (meta)->n_labels)

/* `metadata.name=x,spec.nodeName!=y` (also `==`, and `\,` `\=` escapes). */
struct field_selector {
    struct field_requirement {
        const char *path;
        const char *value;
        bool not_equal;
    } * items;
    size_t len;
};

/* Parses and checks that resource `r` has every field (metadata.name, metadata.namespace and the
 * ones upstream publishes for the kind); else ERR_INVALID `field label not supported: "x"`. r NULL:
 * any path. */
int field_selector_parse(struct arena *a, const struct resource *r, struct str text,
                         struct field_selector *out, struct error *err);
bool field_selector_matches(const struct field_selector *s, const void *object);
/* On stored bytes; the selector's paths are those of resource `r` (events: either version). */
bool field_selector_matches_stored(const struct field_selector *s, const struct resource *r,
                                   struct str stored);
/* The value that `path` must equal, when the selector has such a requirement; else NULL. The API
 * server turns metadata.name into a get and uses spec.nodeName for its index. */
const char *field_selector_exact(const struct field_selector *s, const char *path);
/* A scalar field's text by path in stored bytes ("spec.nodeName"); absent gives "" (bool: "false",
 * numbers: "0"). `text` holds the digits of numbers. */
struct str stored_field(const struct resource *r, struct str stored, const char *path,
                        char text[32]);

#endif
