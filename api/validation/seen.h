/*
 * Texts met so far in a list of an object, to find what stands there twice. Lists are as long as whoever sends them
 * likes (a body of 3 MB has room for 200,000 short names), so each is looked up once, not compared with all before.
 */
#ifndef C8S_API_VALIDATION_SEEN_H
#define C8S_API_VALIDATION_SEEN_H

#include "base/arena.h"
#include <stdbool.h>
#include <stdint.h>

#define SEEN_FEW 8 /* so many are compared one by one */

struct seen_text {
    const char *a, *b;
    const void *value;
};

/* Begins as {.arena = A}. Texts are kept by pointer and must live as long. */
struct seen {
    struct arena *arena;
    size_t n, capacity;      /* texts; slots, a power of two, 0 while they are few */
    struct seen_text *slots; /* open addressing; free where `a` is NULL */
    struct seen_text few[SEEN_FEW];
};

/* Did it stand there before? It does from now on. NULL is "". */
bool seen_again(struct seen *s, const char *text);
/* The same for two texts as one. */
bool seen_pair_again(struct seen *s, const char *a, const char *b);
/* Of a number; its text is made in the arena. */
bool seen_number_again(struct seen *s, int64_t number);
/* Whether it stands there. */
bool seen_has(const struct seen *s, const char *text);

/* A text with something to find by it; the first one stays. */
void seen_put(struct seen *s, const char *text, const void *value);
/* NULL: it does not stand there. */
const void *seen_value(const struct seen *s, const char *text);

#endif
