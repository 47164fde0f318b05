/*
 * Error values: a code to branch on and a message that grows outward, layer by layer.
 */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

int error_vset(struct error *err, int code, const char *format, va_list args)
{
    if (err) {
        err->code = code;
        vsnprintf(err->message, sizeof err->message, format, args);
    }
    return code;
}

int error_set(struct error *err, int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    error_vset(err, code, format, args);
    va_end(args);
    return code;
}

int error_errno(struct error *err, int code, int errno_value, const char *format, ...)
{
    if (!err)
        return code;
    va_list args;
    va_start(args, format);
    error_vset(err, code, format, args);
    va_end(args);
    char reason[128];
    const char *text = strerror_r(errno_value, reason, sizeof reason);
    size_t used = strlen(err->message);
    snprintf(err->message + used, sizeof err->message - used, ": %s", text);
    return code;
}

int error_wrap(struct error *err, const char *format, ...)
{
    if (!err)
        return ERR_INTERNAL;
    char outer[ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(outer, sizeof outer, format, args);
    va_end(args);

    /* "outer: inner", cut at the end when it does not fit. */
    char inner[ERROR_MESSAGE_MAX];
    memcpy(inner, err->message, sizeof inner);
    size_t n = strlen(outer);
    memcpy(err->message, outer, n + 1);
    snprintf(err->message + n, sizeof err->message - n, ": %s", inner);
    return err->code;
}

const char *error_code_name(int code)
{
    switch (code) {
    case ERR_OK:
        return "ok";
    case ERR_INVALID:
        return "invalid";
    case ERR_NOT_FOUND:
        return "not found";
    case ERR_EXISTS:
        return "already exists";
    case ERR_CONFLICT:
        return "conflict";
    case ERR_LIMIT:
        return "limit exceeded";
    case ERR_IO:
        return "i/o error";
    case ERR_TIMEOUT:
        return "timeout";
    case ERR_UNAVAILABLE:
        return "unavailable";
    case ERR_CORRUPT:
        return "corrupt";
    case ERR_DENIED:
        return "denied";
    case ERR_UNSUPPORTED:
        return "unsupported";
    case ERR_CANCELLED:
        return "cancelled";
    case ERR_COMPACTED:
        return "compacted";
    case ERR_INTERNAL:
        return "internal";
    default:
        return "unknown";
    }
}
