/*
 * Codecs: wire (protobuf) ⇄ struct ⇄ JSON, and stored bytes → answers without any struct.
 *
 * All are driven by the schema tables and safe on hostile input: nesting ≤ CODEC_DEPTH_MAX, memory
 * bounded by the input's size, strings checked for UTF-8 and NUL, numbers for range. Errors are
 * ERR_INVALID with a message that names the field (`spec.replicas: …`), ERR_LIMIT past a limit.
 * Functions keep no state and may run on any thread.
 *
 * Words: *wire* is a bare message; an *envelope* is `k8s\0` and runtime.Unknown around it, which
 * says apiVersion and kind; *stored* bytes are an envelope in our canonical encoding whose
 * metadata.resourceVersion is empty: it is spliced in when read.
 */
#ifndef C8S_API_CODEC_H
#define C8S_API_CODEC_H

#include "api/kinds.h"
#include "api/object.h"
#include <yyjson.h>

#define CODEC_DEPTH_MAX 64
/* Schema level of objects that this build defaults and stores; the envelope of stored objects names
 * it, objects of an older level are defaulted again when read. */
#define CODEC_SCHEMA_LEVEL 1

/* --- wire ⇄ struct ---------------------------------------------------------------------------- */

/* Decode into the arena; strings are copied, so `wire` may go away. Unknown fields are skipped. */
int wire_decode(struct arena *a, const struct schema_message *m, struct str wire, void **out,
                struct error *err);
/* Canonical encoding: fields by number, maps by key, value scalars also when zero. */
void wire_encode(const void *object, struct buf *out);
/* Exact length of what wire_encode appends. */
size_t wire_size(const void *object);

/* --- JSON ⇄ struct ---------------------------------------------------------------------------- */

enum json_flag {
    JSON_DEFAULT = 0,
    JSON_PRETTY = 1,       /* two-space indentation */
    JSON_NO_TYPE_META = 2, /* no kind and apiVersion in front (items of lists) */
};

/* What strict decoding found: unknown and duplicate fields. Decoding goes on past them; the caller
 * refuses (fieldValidation=Strict), warns (Warn) or ignores. */
struct field_problems {
    struct field_problem {
        bool duplicate;   /* else unknown */
        bool in_patch;    /* of an operation of a JSON patch */
        const char *path; /* "spec.containers[0].imagee", in the arena */
    } * items;
    size_t len, cap; /* at most FIELD_PROBLEMS_MAX are kept */
    size_t bytes;    /* of the paths so far, those of what is told once only too */
};
#define FIELD_PROBLEMS_MAX 100
#define FIELD_PROBLEMS_BYTES_MAX (256u << 10)
/* Is nothing more taken? Ask before making a path, whose names may be as long as the text. NULL: it is. */
bool field_problems_full(const struct field_problems *p);
void field_problem_add(struct arena *a, struct field_problems *p, struct field_problem problem);
/* In the order of a walk through objects whose members are sorted. */
void field_problems_sort(struct field_problems *p);
/* Upstream's wording: `unknown field "spec.foo"`, `duplicate field "spec.foo"`. */
const char *field_problem_message(struct arena *a, const struct field_problem *p);

/* Decode a JSON text. `m` NULL: found by apiVersion and kind. When given and the text carries
 * apiVersion or kind that are not m's, that is ERR_INVALID (meta kinds take any). `problems` may be
 * NULL: unknown fields are then ignored. JSON names are matched exactly; null means absent. What stands twice
 * in one object comes together as with Go's decoder: maps and structs merge, items of lists go into the
 * earlier ones, a null takes away what can be absent. */
int json_decode(struct arena *a, const struct schema_message *m, struct str json,
                struct field_problems *problems, void **out, struct error *err);
/* The same, where upstream reads the text into a map first: of what stands twice the last counts whole. */
int json_decode_map(struct arena *a, const struct schema_message *m, struct str json,
                    struct field_problems *problems, void **out, struct error *err);
/* The same of strategic merge patches, where besides a value of a wrong type is told in other words, and
 * apiVersion and kind, which such a patch may have as it likes, are not looked at. */
int json_decode_restored(struct arena *a, const struct schema_message *m, struct str json,
                         struct field_problems *problems, void **out, struct error *err);
/* As json_decode_map, from a parsed tree (numbers may be raw: see json_read). */
int json_decode_value(struct arena *a, const struct schema_message *m, yyjson_val *value,
                      struct field_problems *problems, void **out, struct error *err);
/* Parse a JSON text into a tree in the arena, numbers kept as their text (YYJSON raw), depth
 * bounded. */
int json_read(struct arena *a, struct str json, yyjson_val **out, struct error *err);
/* apiVersion and kind of a parsed object; "" where absent. */
void json_type_meta(yyjson_val *value, struct str *api_version, struct str *kind);
/* Members in declaration order, Go's escapes, canonical quantities and times. */
void json_encode(const void *object, enum json_flag flags, struct buf *out);
/* A struct as a mutable tree, for patches and jsonpath-like reads. */
yyjson_mut_val *json_tree(struct arena *a, yyjson_mut_doc *doc, const void *object);
/* A document whose memory is the arena's (never call yyjson_mut_doc_free on it). */
yyjson_mut_doc *json_doc_new(struct arena *a);

/* --- envelopes -------------------------------------------------------------------------------- */

struct envelope { /* slices into the bytes parsed */
    struct str api_version, kind;
    struct str raw;
    struct str content_encoding;
    struct str content_type; /* of stored objects: "" or "c8s;level=N" */
};
/* Does it start with `k8s\0`? */
bool envelope_is(struct str bytes);
int envelope_parse(struct str bytes, struct envelope *out, struct error *err);
/* `k8s\0` and runtime.Unknown around raw. */
void envelope_write(struct buf *out, struct str api_version, struct str kind, struct str raw);
/* A struct in its envelope, as clients send and get it. */
void envelope_encode(const void *object, struct buf *out);
/* Decode an enveloped object; `m` as in json_decode. */
int envelope_decode(struct arena *a, const struct schema_message *m, struct str bytes, void **out,
                    struct error *err);

/* --- any body --------------------------------------------------------------------------------- */

enum media { MEDIA_JSON, MEDIA_PROTOBUF, MEDIA_YAML };

/* Decode a request body in any media type (YAML takes one document). */
int body_decode(struct arena *a, enum media media, const struct schema_message *m, struct str body,
                struct field_problems *problems, void **out, struct error *err);
/* Encode an answer: JSON with a final newline, or an envelope. */
void body_encode(const void *object, enum media media, struct buf *out);

/* --- stored objects --------------------------------------------------------------------------- */

/* What goes into the store: metadata.resourceVersion is written empty, managedFields as they are.
 * The object must be of the stored version (resource.stored_as; see convert.h). */
void stored_encode(const void *object, struct buf *out);
/* Decode and set metadata.resourceVersion to `revision`. `wanted` NULL: the stored version; another
 * version of the same resource: converted. Objects of an older schema level are defaulted again. */
int stored_decode(struct arena *a, struct str stored, int64_t revision,
                  const struct schema_message *wanted, void **out, struct error *err);
/* The schema message of stored bytes by their envelope; NULL when unknown or damaged. */
const struct schema_message *stored_message(struct str stored);
/* Slices of the stored bytes' metadata, without decoding: for selectors, owner look-ups, keys. */
struct stored_meta {
    struct str name, namespace_, uid;
    int64_t generation, deletion_timestamp; /* 0: absent */
};
bool stored_meta(struct str stored, struct stored_meta *out);

enum object_form {
    FORM_FULL,
    FORM_METADATA, /* PartialObjectMetadata (meta.k8s.io/v1) */
};

/*
 * Append a stored object as an answer, with its resourceVersion (none when the revision is 0): straight from the stored bytes
 * when they are of version `r` and the current level, else by way of a struct. JSON comes without a
 * final newline. `in_list` leaves out kind and apiVersion, as items of lists do (FORM_FULL only).
 */
int stored_answer(const struct resource *r, struct str stored, int64_t revision, enum media media,
                  enum object_form form, bool in_list, struct buf *out, struct error *err);

/* A list answer from stored items; memory is the output buffer and nothing else. JSON is written as
 * it comes; protobuf items are gathered and the envelope is put in front at the end. */
struct list_writer {
    const struct resource *resource;
    enum media media;
    enum object_form form;
    struct buf *out;
    size_t start; /* out->len at the beginning */
    size_t count;
};
void list_begin(struct list_writer *w, const struct resource *r, enum media media,
                enum object_form form, struct buf *out);
int list_add(struct list_writer *w, struct str stored, int64_t revision, struct error *err);
/* `continue_token` "" and remaining < 0: none. */
void list_end(struct list_writer *w, int64_t revision, const char *continue_token,
              int64_t remaining);
/* Protobuf in pieces, for whoever knows how many bytes list_add will write for the items: what comes before
 * them and what comes after, instead of list_end. */
void list_head(struct list_writer *w, int64_t revision, const char *continue_token,
               int64_t remaining, size_t items);
void list_tail(struct list_writer *w);

/* --- watch events ----------------------------------------------------------------------------- */

/* Wrap an encoded object (by stored_answer or body_encode) as a watch event: JSON
 * `{"type":"ADDED","object":…}\n`, or a length-framed WatchEvent. */
void watch_event_write(struct buf *out, enum media media, const char *type, struct str object);
/* Read one frame from the front of a watch stream: returns the bytes used, 0 when incomplete,
 * negative on bad input. *type and *object (JSON text or envelope) are slices of `in`. `json_end`
 * state is not kept: JSON events are one per line. */
ptrdiff_t watch_event_read(struct str in, enum media media, struct str *type, struct str *object,
                           struct error *err);

/* --- YAML ------------------------------------------------------------------------------------- */

#define YAML_NODES_MAX 1000000 /* after expanding aliases */

/* All documents of a stream as JSON trees in the arena (YAML 1.1 as Kubernetes reads it:
 * yes/no/on/off are strings only when quoted; keys become strings; merge keys `<<` work). Empty
 * documents are left out. Numbers keep their text where it is valid JSON. */
int yaml_read(struct arena *a, struct str yaml, yyjson_val ***documents, size_t *count,
              struct error *err);
/* What a strict reader says of the first document's duplicate keys: `line 3: key "a" already set in map`; how
 * many. yaml_strict.c */
size_t yaml_duplicate_keys(struct arena *a, struct str yaml, const char ***out);
/* A JSON tree as block-style YAML, keys in the order given. */
void yaml_write(yyjson_val *value, struct buf *out);
/* A struct as YAML (`kubectl get -o yaml` form: keys sorted). */
void yaml_encode(const void *object, struct buf *out);

#endif
