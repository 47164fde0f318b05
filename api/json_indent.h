/*
 * JSON for people: indented as Go's MarshalIndent does it, with no newline at the end.
 *
 * Works on text as it comes, in pieces cut anywhere, so that a list which is streamed needs no more memory than its pieces.
 * The text must be JSON; space outside its strings is dropped.
 */
#ifndef C8S_API_JSON_INDENT_H
#define C8S_API_JSON_INDENT_H

#include "base/buf.h"

/* All but the width zero: at the beginning of a text. */
struct json_indent {
    unsigned width; /* spaces a level */
    unsigned depth;
    bool opened; /* the last token was a { or [ */
    bool in_string, escaped;
};

/* Append the indented form of the next piece. */
void json_indent(struct json_indent *state, struct str piece, struct buf *out);

#endif
