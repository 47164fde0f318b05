/*
 * Errors that carry a message outward.
 *
 * A fallible function returns 0 or a negative code of `enum err`, and takes a last parameter
 * `struct error *err` (may be NULL) when a message matters. Each layer that knows more prepends it:
 *
 *     if (manifest_parse(doc, err) < 0)
 *         return error_wrap(err, "apply manifest %s", path);
 *
 * gives `apply manifest web.yaml: spec.replicas: must be at least 0`.
 */
#ifndef C8S_BASE_ERROR_H
#define C8S_BASE_ERROR_H

#include <stdarg.h>

/* Kinds of failure. The caller branches on these; people read the message. */
enum err {
    ERR_OK = 0,
    ERR_INVALID = -1,      /* input breaks a rule; the message names the field or flag */
    ERR_NOT_FOUND = -2,    /* no such thing */
    ERR_EXISTS = -3,       /* already there */
    ERR_CONFLICT = -4,     /* somebody else changed it first */
    ERR_LIMIT = -5,        /* a size, count or quota is exceeded */
    ERR_IO = -6,           /* disk, network or system call failed */
    ERR_TIMEOUT = -7,      /* the deadline passed; for a write the outcome is unknown */
    ERR_UNAVAILABLE = -8,  /* nobody can answer now; try again or elsewhere */
    ERR_CORRUPT = -9,      /* stored or received bytes fail their checksum or format */
    ERR_DENIED = -10,      /* not authenticated or not allowed */
    ERR_UNSUPPORTED = -11, /* a valid request for something we do not have */
    ERR_CANCELLED = -12,   /* stopped by the caller or by shutdown */
    ERR_COMPACTED = -13,   /* the revision or index asked for is gone */
    ERR_INTERNAL = -14,    /* a bug or an impossible state */
};

#define ERROR_MESSAGE_MAX 1024 /* bytes with the NUL; a longer message is cut */

struct error {
    int code; /* enum err */
    char message[ERROR_MESSAGE_MAX];
};

/* Set code and message; returns `code`, so that `return error_set(…)` reads well. err may be NULL.
 */
int error_set(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int error_vset(struct error *err, int code, const char *format, va_list args);

/* As error_set, with ": " and strerror(errno_value) appended. */
int error_errno(struct error *err, int code, int errno_value, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Prepend "format: " to the message; returns the code already set. err may be NULL (returns
 * ERR_INTERNAL). */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A short constant name for a code: "invalid", "not found", … */
const char *error_code_name(int code);

#endif
