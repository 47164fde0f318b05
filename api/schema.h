/*
 * Schema: what the API's types look like, as constant tables.
 *
 * The .proto files in proto/ are the only definition. proto/gen_schema.py turns their descriptors
 * into one C file of tables without pointers (so they cost no relocations and stay clean file
 * pages): a row per message, a row per field, and one shared string pool. Codecs, patches,
 * defaults, selectors and the OpenAPI generator all walk these tables.
 *
 * C structs come from protoc-c: package `core.v1`, message `Pod` → `Core__V1__Pod` in
 * "proto/core_v1.pb-c.h", fields in snake_case. How Go's types map:
 *
 *   Go type          .proto                 C member
 *   int32            required int32 x       int32_t x               always on the wire
 *   *int32           optional int32 x       has_x, x
 *   string           required string x      char *x                 "" when empty; never NULL when
 * decoded *string          optional string x      char *x                 NULL: absent
 *   []byte           optional bytes x       has_x, x {len, data}
 *   Struct           required Struct x      Struct *x               never NULL when decoded or made
 * here *Struct          optional Struct x      Struct *x               NULL: absent
 *   []T              repeated T x           n_x, x[]                messages: array of pointers
 *   map[string]T     repeated TEntry x      n_x, x[] of {key, value}, sorted by key when encoded
 *
 * "required" here means "a Go value type: the encoder writes it also when zero"; our decoder fills
 * absent ones with zero values and never refuses an object for lacking them.
 *
 * All tables are constant: every function may be called from any thread.
 */
#ifndef C8S_API_SCHEMA_H
#define C8S_API_SCHEMA_H

#include "base/arena.h"
#include "base/str.h"

/* Ids of all messages: `Core__V1__Pod__SCHEMA`. Usable in switch statements. */
#include "proto/schema_ids.h"

enum schema_type {
    SCHEMA_BOOL,
    SCHEMA_INT32,
    SCHEMA_INT64,
    SCHEMA_DOUBLE,
    SCHEMA_STRING,
    SCHEMA_BYTES,
    SCHEMA_MESSAGE,
};

enum schema_label {
    SCHEMA_VALUE,    /* Go value type: always present */
    SCHEMA_POINTER,  /* Go pointer (and []byte): may be absent */
    SCHEMA_REPEATED, /* list */
    SCHEMA_MAP,      /* list of entries {1: key, 2: value}; an object in JSON */
};

/* Messages whose JSON form is not an object with the message's fields. */
enum schema_special {
    SCHEMA_PLAIN,
    SCHEMA_TIME,             /* RFC 3339, whole seconds; null when {0, 0} */
    SCHEMA_MICRO_TIME,       /* RFC 3339 with six digits; null when {0, 0} */
    SCHEMA_DURATION,         /* "1h2m3s" */
    SCHEMA_QUANTITY,         /* "500m"; a JSON number is accepted */
    SCHEMA_INT_OR_STRING,    /* 80 or "http" */
    SCHEMA_RAW,              /* RawExtension, FieldsV1, JSON: any JSON value, kept as its bytes */
    SCHEMA_STRINGS,          /* Verbs, ExtraValue: a list of strings */
    SCHEMA_PROPS_OR_ARRAY,   /* apiextensions JSONSchemaPropsOrArray */
    SCHEMA_PROPS_OR_BOOL,    /* apiextensions JSONSchemaPropsOrBool */
    SCHEMA_PROPS_OR_STRINGS, /* apiextensions JSONSchemaPropsOrStringArray */
    SCHEMA_CUSTOM            /* an object of a custom kind (api/custom/custom.h) */
};

enum schema_list_type { SCHEMA_LIST_NONE, SCHEMA_LIST_ATOMIC, SCHEMA_LIST_SET, SCHEMA_LIST_MAP };

enum schema_field_flag {
    SCHEMA_OMIT_EMPTY = 1, /* left out of JSON when false, 0, "", or an empty list, map or bytes */
    SCHEMA_OMIT_ZERO = 2,  /* left out of JSON also when a value message is zero */
    SCHEMA_INLINE = 4,     /* the message's members stand in the enclosing JSON object */
    SCHEMA_REQUIRED = 8,   /* in OpenAPI's `required` */
    SCHEMA_PATCH_MERGE = 16,   /* strategic merge: lists merge by merge key (or as a set) */
    SCHEMA_PATCH_REPLACE = 32, /* strategic merge: maps and structs are replaced */
    SCHEMA_PATCH_RETAIN_KEYS = 64,
    SCHEMA_ATOMIC = 128, /* server-side apply: the struct or map is one value */
    SCHEMA_GRANULAR =
        256, /* server-side apply: it is none here, though its message is one elsewhere */
};

/* One field. Strings are offsets into the pool: use the functions below. */
struct schema_field {
    uint32_t number;
    uint32_t name;          /* as in the .proto, snake_case */
    uint32_t json_name;     /* "" when inline */
    uint32_t merge_key;     /* strategic merge patch key; "" when none */
    uint32_t list_keys;     /* list map keys of server-side apply, comma-separated; "" when none */
    uint32_t default_value; /* the published constant default as JSON; "" when none */
    uint32_t description;   /* "" when none */
    uint32_t enum_values;   /* published values of a string, comma-separated; "" when not an enum */
    uint16_t offset;        /* offsetof(struct, member) */
    uint16_t count_offset;  /* offsetof(n_member) or has_member; 0: neither */
    uint16_t message;       /* SCHEMA_MESSAGE: its id; SCHEMA_MAP: id of the entry message */
    uint8_t type;           /* enum schema_type; of a map: SCHEMA_MESSAGE */
    uint8_t label;          /* enum schema_label */
    uint16_t flags;         /* enum schema_field_flag */
    uint8_t list_type;      /* enum schema_list_type */
    uint8_t enum_closed;    /* other values than enum_values are refused */
    uint8_t tag_len;        /* length of the wire tag */
    uint8_t json_len;       /* length of json_name */
};

enum schema_message_flag {
    SCHEMA_HAS_TYPE_META = 1,   /* apiVersion and kind may stand in its JSON (any top-level kind) */
    SCHEMA_HAS_OBJECT_META = 2, /* field 1 is `metadata`, an ObjectMeta */
    SCHEMA_HAS_LIST_META = 4,   /* field 1 is `metadata`, a ListMeta */
    SCHEMA_MAP_ENTRY = 8,
    SCHEMA_MESSAGE_ATOMIC = 16, /* server-side apply: one value wherever it stands */
};

/* A JSON member of a message, inline members included; sorted by name for lookup. */
struct schema_member {
    uint16_t field; /* index into schema_fields */
    uint16_t via;   /* index of the inline field that leads to it; 0xffff: none */
};

struct schema_message {
    uint32_t full_name;    /* "core.v1.Pod" */
    uint32_t openapi_name; /* "io.k8s.api.core.v1.Pod" */
    uint32_t description;
    uint32_t filled_size; /* the C struct and the value messages always made with it */
    uint16_t id;          /* its own index */
    uint16_t size;        /* sizeof the C struct */
    uint16_t fields;      /* first row in schema_fields; declaration order = JSON output order */
    uint16_t by_number;   /* first row in schema_by_number: field indexes in wire order */
    uint16_t members;     /* first row in schema_members */
    uint8_t field_count;
    uint8_t member_count;
    uint8_t special; /* enum schema_special */
    uint8_t flags;   /* enum schema_message_flag */
};

extern const struct schema_message schema_messages[SCHEMA_MESSAGE_COUNT];
extern const struct schema_field schema_fields[];
extern const uint16_t schema_by_number[];
extern const uint16_t schema_numbers[]; /* field numbers, parallel to schema_by_number */
extern const uint8_t
    schema_attention[]; /* parallel too: an absent field that JSON shows all the same */
extern const struct schema_member schema_members[];
extern const char schema_strings[];

static inline const char *schema_string(uint32_t offset)
{
    return schema_strings + offset;
}

static inline const struct schema_message *schema_get(int id)
{
    return &schema_messages[id];
}

/* i-th field in declaration order. */
static inline const struct schema_field *schema_field_at(const struct schema_message *m, unsigned i)
{
    return &schema_fields[m->fields + i];
}

/* The message of a field of type SCHEMA_MESSAGE (a map's: its entry message). */
static inline const struct schema_message *schema_field_message(const struct schema_field *f)
{
    return &schema_messages[f->message];
}

/* The value field (number 2) of a map field's entries. */
const struct schema_field *schema_map_value(const struct schema_field *map);

/* By full name ("core.v1.Pod"), field number, or JSON name; NULL when there is none. For members of
 * an inlined message *via is the inline field that leads there (look up again in its message, which
 * may inline another), else NULL. */
const struct schema_message *schema_find(const char *full_name);
const struct schema_field *schema_field_by_number(const struct schema_message *m, uint32_t number);
const struct schema_field *schema_field_by_json(const struct schema_message *m,
                                                struct str json_name,
                                                const struct schema_field **via);

/* Index of a JSON member within schema_members + m->members; -1 when there is none. */
int schema_member_find(const struct schema_message *m, struct str json_name);

/* The message a struct was made as (every struct that this library makes carries it in
 * base.descriptor; protobuf-c's own functions must not be used on such structs). */
static inline const struct schema_message *schema_of(const void *object)
{
    return *(const struct schema_message *const *)object;
}

#endif
