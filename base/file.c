/*
 * Small files, read whole.
 */
#include "base/file.h"
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define PIECE 4096

static int read_all(int fd, const char *path, size_t limit, struct buf *b, struct error *err)
{
    for (;;) {
        char *room = buf_reserve(b, PIECE);
        ssize_t n = read(fd, room, PIECE);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return error_errno(err, ERR_IO, errno, "read %s", path);
        if (n == 0)
            return 0;
        b->len += (size_t)n;
        if (b->len > limit)
            return error_set(err, ERR_LIMIT, "%s: more than %zu bytes", path, limit);
    }
}

int file_read(const char *path, size_t limit, struct arena *a, struct str *out, struct error *err)
{
    int fd = strcmp(path, "-") == 0 ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", path);
    struct buf b;
    buf_init(&b);
    int rc = read_all(fd, path, limit, &b, err);
    if (fd != STDIN_FILENO)
        close(fd);
    if (rc == 0) {
        char *copy = arena_alloc(a, b.len + 1);
        if (b.len)
            memcpy(copy, b.data, b.len);
        copy[b.len] = 0;
        *out = str_make(copy, b.len);
    }
    buf_free(&b);
    return rc;
}
