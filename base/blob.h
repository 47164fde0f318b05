/*
 * Blob: immutable bytes with a reference count, shared between threads without copying (raft
 * entries, watch events encoded once for many watchers). The count is atomic; the bytes are written
 * only between blob_new and the first sharing.
 */
#ifndef C8S_BASE_BLOB_H
#define C8S_BASE_BLOB_H

#include "base/str.h"
#include <stdatomic.h>

struct blob {
    atomic_uint refs;
    size_t len;
    char data[];
};

struct blob *blob_new(size_t len);                    /* one reference; bytes uninitialised */
struct blob *blob_from(const void *data, size_t len); /* copies */
struct blob *blob_ref(struct blob *b);                /* returns b; NULL is passed through */
void blob_unref(struct blob *b);                      /* NULL is fine */
static inline struct str blob_str(const struct blob *b)
{
    return b ? str_make(b->data, b->len) : STR_NONE;
}

#endif
