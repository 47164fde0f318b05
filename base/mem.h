/*
 * Allocation that never returns NULL: the process ends with a message when memory is gone.
 *
 * c8s bounds memory by limits on requests, queues and buffers, not by handling malloc failure in
 * every function. Sizes that come from outside are checked against a limit before they get here.
 */
#ifndef C8S_BASE_MEM_H
#define C8S_BASE_MEM_H

#include <stddef.h>

void *mem_alloc(size_t size);  /* uninitialised; free with mem_free */
void *mem_zalloc(size_t size); /* zeroed */
void *mem_realloc(void *p, size_t size);
/* realloc for `count` items of `size` bytes; aborts when the product overflows. */
void *mem_realloc_array(void *p, size_t count, size_t size);
char *mem_strdup(const char *s);
char *mem_strndup(const char *s, size_t n);
void *mem_dup(const void *p, size_t n);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
void mem_free(void *p); /* NULL is fine */

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
