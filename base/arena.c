/*
 * Arena: a chain of blocks, newest first; the head is the one being filled. A request too big for a
 * normal block gets a block of its own behind the head, so that the head's free space is not lost.
 */
#include "base/arena.h"
#include "base/mem.h"

#include <assert.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define ALIGN 16
#define BLOCK_MIN 992 /* with its header just below what malloc's per-thread cache keeps */
#define BLOCK_MAX (64 * 1024)

/*
 * Freed blocks of the next sizes, kept by each thread: what an arena needs that holds one request. Sanitizers see
 * every block come and go instead.
 */
#define KEPT_SIZES 5          /* 1, 2, 4, 8 and 16 times BLOCK_MIN */
#define KEPT_BYTES (2u << 20) /* in all lists of a thread */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEP_BLOCKS 0
#else
#define KEEP_BLOCKS 1
#endif

struct arena_block {
    struct arena_block *next;
    size_t size; /* of data */
    size_t used;
    _Alignas(ALIGN) char data[];
};

static size_t align_up(size_t n)
{
    return (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

struct kept_blocks {
    struct arena_block *first[KEPT_SIZES];
    size_t bytes;
    bool registered; /* to be freed with the thread */
};

static _Thread_local struct kept_blocks kept;
static pthread_key_t kept_key;
static pthread_once_t kept_once = PTHREAD_ONCE_INIT;

static void kept_free(void *arg)
{
    struct kept_blocks *k = arg;
    for (unsigned i = 0; i < KEPT_SIZES; i++)
        while (k->first[i]) {
            struct arena_block *b = k->first[i];
            k->first[i] = b->next;
            mem_free(b);
        }
}

static void kept_key_make(void)
{
    pthread_key_create(&kept_key, kept_free);
}

/* Which list a block of that size belongs to; KEPT_SIZES: none. */
static unsigned kept_index(size_t size)
{
    for (unsigned i = 0; KEEP_BLOCKS && i < KEPT_SIZES; i++)
        if (size == (size_t)BLOCK_MIN << i)
            return i;
    return KEPT_SIZES;
}

static struct arena_block *block_take(size_t size)
{
    unsigned i = kept_index(size);
    if (i == KEPT_SIZES || !kept.first[i])
        return mem_alloc(sizeof(struct arena_block) + size);
    struct arena_block *b = kept.first[i];
    kept.first[i] = b->next;
    kept.bytes -= size;
    return b;
}

static void block_give(struct arena_block *b)
{
    unsigned i = kept_index(b->size);
    if (i == KEPT_SIZES || kept.bytes + b->size > KEPT_BYTES) {
        mem_free(b);
        return;
    }
    if (!kept.registered) {
        pthread_once(&kept_once, kept_key_make);
        kept.registered = pthread_setspecific(kept_key, &kept) == 0;
        if (!kept.registered) {
            mem_free(b);
            return;
        }
    }
    b->next = kept.first[i];
    kept.first[i] = b;
    kept.bytes += b->size;
}

static struct arena_block *block_new(size_t size)
{
    struct arena_block *b = block_take(size);
    b->next = NULL;
    b->size = size;
    b->used = 0;
    return b;
}

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

void arena_init_limited(struct arena *a, size_t limit)
{
    *a = (struct arena){.limit = limit};
}

static void free_chain(struct arena_block *b)
{
    while (b) {
        struct arena_block *next = b->next;
        block_give(b);
        b = next;
    }
}

void arena_reset(struct arena *a)
{
    a->used = 0;
    if (!a->head)
        return;
    free_chain(a->head->next);
    a->head->next = NULL;
    a->head->used = 0;
}

void arena_free(struct arena *a)
{
    free_chain(a->head);
    a->head = NULL;
    a->used = 0;
}

/* A block of its own for a request that a normal block should not be replaced for. */
static void *alloc_own_block(struct arena *a, size_t size)
{
    struct arena_block *b = block_new(size);
    b->used = size;
    if (a->head) {
        b->next = a->head->next;
        a->head->next = b;
    } else {
        a->head = b;
    }
    return b->data;
}

void *arena_alloc(struct arena *a, size_t size)
{
    if (size > SIZE_MAX / 2 || (a->limit && size > a->limit - MIN(a->used, a->limit))) {
        assert(a->limit && "arena_alloc: absurd size");
        return NULL;
    }
    size = align_up(size ? size : 1);
    a->used += size;
    struct arena_block *head = a->head;
    if (head && head->size - head->used >= size) {
        void *p = head->data + head->used;
        head->used += size;
        return p;
    }
    size_t normal = head ? MIN(MAX(head->size * 2, BLOCK_MIN), BLOCK_MAX) : BLOCK_MIN;
    if (size > normal / 2)
        return alloc_own_block(a, size);
    struct arena_block *b = block_new(normal);
    b->next = head;
    b->used = size;
    a->head = b;
    return b->data;
}

void *arena_zalloc(struct arena *a, size_t size)
{
    void *p = arena_alloc(a, size);
    if (p)
        memset(p, 0, size);
    return p;
}

void *arena_grow(struct arena *a, void *p, size_t old_size, size_t new_size)
{
    struct arena_block *head = a->head;
    size_t old_aligned = align_up(old_size ? old_size : 1);
    if (p && head && (char *)p + old_aligned == head->data + head->used &&
        (char *)p >= head->data && new_size >= old_size && new_size <= SIZE_MAX / 2) {
        size_t extra = align_up(new_size ? new_size : 1) - old_aligned;
        bool fits_limit = !a->limit || extra <= a->limit - MIN(a->used, a->limit);
        if (fits_limit && head->size - head->used >= extra) {
            head->used += extra;
            a->used += extra;
            return p;
        }
    }
    void *q = arena_alloc(a, new_size);
    if (q && p)
        memcpy(q, p, MIN(old_size, new_size));
    return q;
}

void *arena_dup(struct arena *a, const void *p, size_t n)
{
    void *copy = arena_alloc(a, n);
    if (copy && n)
        memcpy(copy, p, n);
    return copy;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
    size_t len = n ? strnlen(s, n) : 0; /* an empty slice may be NULL */
    char *copy = arena_alloc(a, len + 1);
    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *arena_strdup(struct arena *a, const char *s)
{
    return arena_dup(a, s, strlen(s) + 1);
}

char *arena_vprintf(struct arena *a, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    assert(n >= 0);
    char *out = arena_alloc(a, (size_t)n + 1);
    if (out)
        vsnprintf(out, (size_t)n + 1, format, again);
    va_end(again);
    return out;
}

char *arena_printf(struct arena *a, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *out = arena_vprintf(a, format, args);
    va_end(args);
    return out;
}
