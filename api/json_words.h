/*
 * What is wrong with a text that is no JSON object, in the words that clients of Go servers know.
 */
#ifndef C8S_API_JSON_WORDS_H
#define C8S_API_JSON_WORDS_H

#include "base/arena.h"
#include "base/str.h"

/* NULL: an object (or null), as far as syntax goes. In the arena. */
const char *json_words(struct arena *a, struct str text);
/* The beginning of a text that could not be read: as it is when it looks like JSON, else in hexadecimal. */
const char *json_excerpt(struct arena *a, struct str text);

#endif
