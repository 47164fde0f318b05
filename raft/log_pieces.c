/*
 * writev of LMDB's data files in pieces: see log_pieces.h.
 */
#include "raft/log_pieces.h"

#include <assert.h>
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES_MAX 8 /* a member has one, and a second while it copies */

/* Descriptors, plus one; 0: free. */
static atomic_int files[FILES_MAX];

void log_pieces_announce(int fd)
{
    for (int i = 0; i < FILES_MAX; i++) {
        int none = 0;
        if (atomic_compare_exchange_strong(&files[i], &none, fd + 1))
            return;
    }
}

void log_pieces_forget(int fd)
{
    for (int i = 0; i < FILES_MAX; i++) {
        int known = fd + 1;
        if (atomic_compare_exchange_strong(&files[i], &known, 0))
            return;
    }
}

static bool is_announced(int fd)
{
    for (int i = 0; i < FILES_MAX; i++)
        if (atomic_load_explicit(&files[i], memory_order_relaxed) == fd + 1)
            return true;
    return false;
}

/* How many of the `n` buffers make a piece, at least one; their bytes. */
static int piece(const struct iovec *iov, int n, size_t *bytes)
{
    int len = 0;
    *bytes = 0;
    do
        *bytes += iov[len++].iov_len;
    while (len < n && *bytes + iov[len].iov_len <= LOG_PIECE_BYTES);
    return len;
}

typedef ssize_t writev_fn(int fd, const struct iovec *iov, int n);

/* Who would have been called without us: libc, or a library preloaded that watches what is written. */
static writev_fn *next_writev(void)
{
    static _Atomic(writev_fn *) known;
    writev_fn *next = atomic_load_explicit(&known, memory_order_relaxed);
    if (!next) {
        *(void **)&next = dlsym(RTLD_NEXT, "writev");
        assert(next);
        atomic_store_explicit(&known, next, memory_order_relaxed);
    }
    return next;
}

/* As the kernel's: what was written before a failure is the answer, and the failure the next call's. */
__attribute__((weak)) ssize_t writev(int fd, const struct iovec *iov, int n)
{
    writev_fn *next = next_writev();
    if (n <= 1 || !is_announced(fd))
        return next(fd, iov, n);
    ssize_t total = 0;
    for (int len; n > 0; iov += len, n -= len) {
        size_t bytes;
        len = piece(iov, n, &bytes);
        ssize_t put = next(fd, iov, len);
        if (put < 0)
            return total ? total : -1;
        total += put;
        if ((size_t)put < bytes)
            break;
    }
    return total;
}
