/*
 * meta/v1 Status: every error an API client sees, with kube-apiserver's reasons, codes and wording,
 * since clients branch on reason and details and people read the message.
 *
 * A status lives in the request's arena.
 */
#ifndef C8S_APISERVER_STATUS_H
#define C8S_APISERVER_STATUS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"

struct status_cause {
    const char *reason; /* "FieldValueInvalid", … */
    const char *message;
    const char *field; /* "spec.replicas" */
    struct status_cause *next;
};

struct status {
    int code;            /* HTTP status */
    bool success;        /* "Success" instead of "Failure" */
    const char *reason;  /* "NotFound", …; NULL: none */
    const char *message; /* NULL: none */
    /* details; has_details false leaves them out */
    bool has_details;
    const char *name, *group, *kind, *uid;
    struct status_cause *causes;
    int retry_after_s;
    const char *next; /* metadata.continue: how to go on with a list that expired; NULL: none */
};

/* What the error is about: the resource (plural) and group that details.kind and details.group carry. */
struct status_about {
    const char *group, *resource, *kind; /* kind: the Go kind, for Invalid */
    const char *name;
};

struct status *status_new(struct arena *a, int code, const char *reason, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
struct status *status_bad_request(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct status *status_internal(struct arena *a, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
struct status *status_unauthorized(struct arena *a);
struct status *status_not_found(struct arena *a, const struct status_about *o);
struct status *status_already_exists(struct arena *a, const struct status_about *o);
/* "Operation cannot be fulfilled on pods "x": <why>". */
struct status *status_conflict(struct arena *a, const struct status_about *o, const char *why);
/* The usual why: the object has been modified. */
#define STATUS_MODIFIED \
    "the object has been modified; please apply your changes to the latest version and try again"
/* `pods "x" is forbidden: <why>`. */
struct status *status_forbidden(struct arena *a, const struct status_about *o, const char *format,
                                ...) __attribute__((format(printf, 3, 4)));
/* 422: add causes with status_cause_add, then status_invalid_finish composes the message. */
struct status *status_invalid(struct arena *a, const struct status_about *o);
void status_cause_add(struct arena *a, struct status *s, const char *reason, const char *field,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));
struct field_errors;
void status_causes_add(struct arena *a, struct status *s, const struct field_errors *errors);
/* The causes and message of field errors, at once. */
struct status *status_invalid_fields(struct arena *a, const struct status_about *o,
                                     const struct field_errors *errors);
/* Appends the message ": field: text" or ": [a, b]" from the causes. */
void status_invalid_finish(struct arena *a, struct status *s);
struct status *status_expired(struct arena *a, const char *message);                      /* 410 */
struct status *status_too_large_version(struct arena *a, int64_t asked, int64_t current); /* 504 */
struct status *status_timeout(struct arena *a, const char *message);                      /* 504 */
struct status *status_too_many_requests(struct arena *a, int retry_after_s);              /* 429 */
struct status *status_method_not_allowed(struct arena *a, const struct status_about *o,
                                         const char *verb);
/* The same for a method that the path has no use for at all. */
struct status *status_no_method(struct arena *a);
struct status *status_path_not_found(struct arena *a); /* the plain 404 for unknown resources */
struct status *status_unsupported_media(struct arena *a, const char *accepted); /* 415 */
struct status *status_not_acceptable(struct arena *a, const char *accepted);    /* 406 */
struct status *
status_no_media(struct arena *a); /* 406: nothing of what the client takes is known */
/* kv failures: unavailable and timeouts 503/504, quota 500, … */
struct status *status_from_error(struct arena *a, const struct error *err);
/* A deletion's answer {"status":"Success","details":{…}}. */
struct status *status_deleted(struct arena *a, const struct status_about *o, const char *uid);

/* The encoded object; protobuf without the envelope (the codec wraps it). */
void status_encode_json(const struct status *s, struct buf *out);
void status_encode_wire(const struct status *s, struct buf *out);

#endif
