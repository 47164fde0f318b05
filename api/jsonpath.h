/*
 * JSONPath in kubectl's dialect: for `-o jsonpath`, and for the columns of custom resources.
 */
#ifndef C8S_API_JSONPATH_H
#define C8S_API_JSONPATH_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/error.h"
#include <yyjson.h>

/* Render a template: text with {expressions}. ERR_INVALID when it is malformed. */
int jsonpath_render(const char *template, yyjson_val *root, struct buf *out, struct error *err);
/* The values that an expression without braces (".status.phase") leads to, in the arena; absent members
 * lead to none. ERR_INVALID when it is malformed. */
int jsonpath_find(struct arena *a, const char *expression, yyjson_val *root, yyjson_val ***values,
                  size_t *len, struct error *err);
/* A value as jsonpath prints it: strings bare, lists and objects as JSON. */
void jsonpath_print(yyjson_val *value, struct buf *out);

#endif
