/*
 * The real host: system clocks, getrandom and POSIX files (raft/host.h).
 */
#include "raft/host.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct host_file {
    int fd;
};

static uint64_t posix_mono_ns(struct host *h)
{
    (void)h;
    return clock_mono_ns();
}

static int64_t posix_wall_ns(struct host *h)
{
    (void)h;
    return clock_wall_ns();
}

static uint64_t posix_random(struct host *h)
{
    (void)h;
    return random_u64();
}

static int posix_open(struct host *h, const char *path, int flags, struct host_file **out)
{
    (void)h;
    int f = O_CLOEXEC | (flags & HOST_OPEN_READ_ONLY ? O_RDONLY : O_RDWR);
    if (flags & HOST_OPEN_CREATE)
        f |= O_CREAT;
    if (flags & HOST_OPEN_EXCLUSIVE)
        f |= O_EXCL;
    if (flags & HOST_OPEN_TRUNCATE)
        f |= O_TRUNC;
    int fd = open(path, f, 0600);
    if (fd < 0)
        return -errno;
    *out = mem_alloc(sizeof **out);
    (*out)->fd = fd;
    return 0;
}

static void posix_close(struct host_file *f)
{
    close(f->fd);
    mem_free(f);
}

static ssize_t posix_pread(struct host_file *f, void *p, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t got = pread(f->fd, (char *)p + done, n - done, (off_t)(offset + done));
        if (got == 0)
            break;
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static int posix_pwrite(struct host_file *f, const void *p, size_t n, uint64_t offset)
{
    size_t done = 0;
    while (done < n) {
        ssize_t put = pwrite(f->fd, (const char *)p + done, n - done, (off_t)(offset + done));
        if (put == 0)
            return -EIO;
        if (put < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        done += (size_t)put;
    }
    return 0;
}

static int posix_fdatasync(struct host_file *f)
{
    return fdatasync(f->fd) < 0 ? -errno : 0;
}

static int posix_truncate(struct host_file *f, uint64_t size)
{
    return ftruncate(f->fd, (off_t)size) < 0 ? -errno : 0;
}

static int posix_allocate(struct host_file *f, uint64_t size)
{
    if (size == 0)
        return 0;
    int rc;
    do
        rc = posix_fallocate(f->fd, 0, (off_t)size);
    while (rc == EINTR);
    return -rc;
}

static int posix_size(struct host_file *f, uint64_t *size)
{
    struct stat st;
    if (fstat(f->fd, &st) < 0)
        return -errno;
    *size = (uint64_t)st.st_size;
    return 0;
}

static int posix_rename(struct host *h, const char *from, const char *to)
{
    (void)h;
    return rename(from, to) < 0 ? -errno : 0;
}

static int posix_unlink(struct host *h, const char *path)
{
    (void)h;
    return unlink(path) < 0 ? -errno : 0;
}

static int posix_mkdir(struct host *h, const char *path)
{
    (void)h;
    return mkdir(path, 0700) < 0 && errno != EEXIST ? -errno : 0;
}

static int posix_sync_dir(struct host *h, const char *path)
{
    (void)h;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    int rc = fsync(fd) < 0 ? -errno : 0;
    close(fd);
    return rc;
}

static int posix_list_dir(struct host *h, const char *path, int (*fn)(void *ctx, const char *name),
                          void *ctx)
{
    (void)h;
    DIR *d = opendir(path);
    if (!d)
        return -errno;
    int rc = 0;
    struct dirent *e;
    while (rc == 0 && (errno = 0, e = readdir(d)) != NULL)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = fn(ctx, e->d_name);
    if (rc == 0 && errno != 0)
        rc = -errno;
    closedir(d);
    return rc;
}

struct host *host_posix(void)
{
    static const struct host_ops ops = {
        .mono_ns = posix_mono_ns,
        .wall_ns = posix_wall_ns,
        .random = posix_random,
        .open = posix_open,
        .close = posix_close,
        .pread = posix_pread,
        .pwrite = posix_pwrite,
        .fdatasync = posix_fdatasync,
        .truncate = posix_truncate,
        .allocate = posix_allocate,
        .size = posix_size,
        .rename = posix_rename,
        .unlink = posix_unlink,
        .mkdir = posix_mkdir,
        .sync_dir = posix_sync_dir,
        .list_dir = posix_list_dir,
    };
    static struct host host = {&ops};
    return &host;
}
