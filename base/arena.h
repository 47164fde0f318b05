/*
 * Arena: memory that lives and dies together (a request, a decoded object, a reconcile).
 *
 * Blocks double from 1 KiB to 64 KiB; bigger requests get a block of their own. Everything is freed
 * at once by arena_reset or arena_free. Not thread-safe: one arena belongs to one thread at a time.
 */
#ifndef C8S_BASE_ARENA_H
#define C8S_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

struct arena_block;

struct arena {
    struct arena_block *head; /* block being filled; NULL before the first allocation */
    size_t used;              /* bytes handed out since the last reset */
    size_t limit; /* 0: none. Past it arena_alloc returns NULL (see arena_init_limited) */
};

void arena_init(struct arena *a);
/* An arena that hands out at most `limit` bytes: for decoders of outside bytes, which check for
 * NULL. */
void arena_init_limited(struct arena *a, size_t limit);
/* Free all but the newest block and start over. */
void arena_reset(struct arena *a);
/* Free everything; the arena can be used again afterwards. */
void arena_free(struct arena *a);

/* 16-byte aligned. Never NULL unless the arena has a limit. `size` 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_zalloc(struct arena *a, size_t size);
/* A bigger copy of p; in place when p was the last allocation. */
void *arena_grow(struct arena *a, void *p, size_t old_size, size_t new_size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
void *arena_dup(struct arena *a, const void *p, size_t n);
char *arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(struct arena *a, const char *format, va_list args);

#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, n) ((type *)arena_zalloc((a), sizeof(type) * (size_t)(n)))

#endif
