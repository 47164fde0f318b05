/*
 * Shared by the files of structural schemas: paths on the stack, numbers of a document.
 */
#ifndef C8S_API_STRUCTURAL_INTERNAL_H
#define C8S_API_STRUCTURAL_INTERNAL_H

#include "api/codec_internal.h"
#include "api/structural/structural.h"
#include "base/map.h"

/* One step from the root; printed only when something is wrong. */
struct step {
    const struct step *up;
    struct str name; /* p NULL: an index */
    size_t index;
    bool key; /* a map's key: [key] instead of .key */
};

#define STEP_MEMBER(up_, name_) (&(const struct step){(up_), (name_), 0, false})
#define STEP_KEY(up_, name_) (&(const struct step){(up_), (name_), 0, true})
#define STEP_INDEX(up_, i_) (&(const struct step){(up_), STR_NONE, (i_), false})

/* "spec.list[0].name"; `base` comes first. In the arena. */
const char *step_path(struct arena *a, const char *base, const struct step *at);

static inline struct str mut_text(yyjson_mut_val *v)
{
    return str_make(yyjson_mut_get_str(v), yyjson_mut_get_len(v));
}

static inline bool mut_is_number(yyjson_mut_val *v)
{
    return yyjson_mut_is_raw(v) || yyjson_mut_is_num(v);
}

/* A number as JSON has it: exact when it is a literal integer of 64 bits. */
struct number {
    bool integer;
    int64_t i;
    double d;
};
struct number number_of_text(struct str text);
struct number mut_number(yyjson_mut_val *v);
void number_write(struct number n, struct buf *out);

/* "string", "integer", "number", "boolean", "array", "object", "null" */
const char *mut_type_name(yyjson_mut_val *v);

/* Equal as JSON, members in any order, numbers by value. */
bool mut_equal(yyjson_mut_val *a, yyjson_mut_val *b);

/* The member of that name (the last of several); NULL when absent. */
yyjson_mut_val *mut_member(yyjson_mut_val *object, struct str name);

const struct structural_property *structural_find(const struct structural *s, struct str name);

/* What makes items of a list that is a set or a map the same: appends as text the item itself, or its keys as an
 * object. (lists.c) */
void structural_identity(const struct structural *s, yyjson_mut_val *item, struct buf *out);

#endif
