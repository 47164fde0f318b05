/*
 * System calls of the whole program, LMDB's included, on paths and descriptors of the simulated disks;
 * everything else goes to the kernel. LMDB maps the memory file behind data.mdb; what it writes is copied
 * there and so seen through its map, without a system call.
 */
#include "disk.h"
#include "fiber_sync.h"

#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS_MAX 4096

static struct {
    struct inode *inode; /* NULL: not ours, or only a lock */
    struct member *member;
    off_t at;
} fds[FDS_MAX];

static struct inode *inode_of(int fd)
{
    return fd >= 0 && fd < FDS_MAX ? fds[fd].inode : NULL;
}

static int failed(int error)
{
    errno = error;
    return -1;
}

int open(const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    int mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(args, int) : 0;
    va_end(args);
    if (strncmp(path, DISK_ROOT, strlen(DISK_ROOT)) != 0)
        return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
    struct inode *dir;
    const char *name;
    struct inode *f = disk_find(path, &dir, &name);
    if (!f && (!(flags & O_CREAT) || !dir))
        return failed(ENOENT);
    if (!f)
        f = disk_create(dir, name, false);
    /* Locks are a new file each time: they do not outlive the process that made them. */
    bool lock = strcasestr(path, "lock") != NULL;
    int fd = f->backing ? fcntl(f->backing->fd, F_DUPFD_CLOEXEC, 0)
                        : memfd_create("c8s-sim", MFD_CLOEXEC);
    assert(fd >= 0 && fd < FDS_MAX);
    fds[fd].inode = lock ? NULL : f;
    fds[fd].member = member_current();
    fds[fd].at = 0;
    if (!lock)
        f->opens++;
    return fd;
}

int close(int fd)
{
    if (net_close_fd(fd))
        return 0;
    if (fd >= 0 && fd < FDS_MAX && fds[fd].member) {
        if (fds[fd].inode && fds[fd].inode->opens)
            fds[fd].inode->opens--;
        fds[fd].inode = NULL;
        fds[fd].member = NULL;
    }
    return (int)syscall(SYS_close, fd);
}

/* What a process that died had open. */
void disk_calls_close(struct member *m)
{
    for (int fd = 0; fd < FDS_MAX; fd++)
        if (fds[fd].member == m)
            close(fd);
}

ssize_t pread(int fd, void *p, size_t n, off_t at)
{
    struct inode *f = inode_of(fd);
    if (!f)
        return syscall(SYS_pread64, fd, p, n, at);
    if ((uint64_t)at >= f->len)
        return 0;
    n = MIN(n, f->len - (uint64_t)at);
    memcpy(p, f->data + at, n);
    return (ssize_t)n;
}

static ssize_t write_at(struct inode *f, const void *p, size_t n, off_t at)
{
    int error = disk_step(f->disk);
    if (!error)
        error = inode_room(f, (uint64_t)at + n);
    if (error) {
        if (n > 1 && !inode_room(f, (uint64_t)at + n) && chance(500)) /* in part */
            inode_write(f, p, chance_below(n), (uint64_t)at);
        return failed(error);
    }
    inode_write(f, p, n, (uint64_t)at);
    return (ssize_t)n;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    struct inode *f = inode_of(fd);
    return f ? write_at(f, p, n, at) : syscall(SYS_pwrite64, fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    struct inode *f = inode_of(fd);
    ssize_t total = 0;
    if (!f)
        return syscall(SYS_writev, fd, iov, n);
    for (int i = 0; i < n; i++) {
        ssize_t put = write_at(f, iov[i].iov_base, iov[i].iov_len, fds[fd].at);
        if (put < 0)
            return -1;
        fds[fd].at += put;
        total += put;
    }
    return total;
}

off_t lseek(int fd, off_t at, int whence)
{
    if (!inode_of(fd) || whence != SEEK_SET)
        return syscall(SYS_lseek, fd, at, whence);
    fds[fd].at = at;
    return at;
}

static int sync_fd(int fd)
{
    struct inode *f = inode_of(fd);
    int error = f ? inode_sync(f) : 0; /* other files need not be flushed for the simulation */
    return error ? failed(error) : 0;
}

int fdatasync(int fd)
{
    return sync_fd(fd);
}

int fsync(int fd)
{
    return sync_fd(fd);
}

int msync(void *p, size_t n, int flags)
{
    (void)p, (void)n, (void)flags;
    return 0; /* LMDB calls it for a map that is written to; ours is not */
}

int sync_file_range(int fd, off64_t at, off64_t n, unsigned flags)
{
    (void)fd, (void)at, (void)n, (void)flags;
    return 0; /* promises nothing */
}

int ftruncate(int fd, off_t size)
{
    struct inode *f = inode_of(fd);
    if (!f)
        return (int)syscall(SYS_ftruncate, fd, size);
    int error = disk_step(f->disk);
    if (!error)
        error = inode_room(f, (uint64_t)size);
    if (error)
        return failed(error);
    inode_resize(f, (uint64_t)size);
    return 0;
}

int posix_fallocate(int fd, off_t at, off_t n)
{
    struct inode *f = inode_of(fd);
    if (!f)
        broken("posix_fallocate of a file that is not simulated");
    int error = disk_step(f->disk);
    if (!error)
        error = inode_room(f, (uint64_t)(at + n));
    if (!error && (uint64_t)(at + n) > f->len)
        inode_resize(f, (uint64_t)(at + n));
    return error;
}

/* ---- names ---- */

static bool simulated(const char *path)
{
    return strncmp(path, DISK_ROOT, strlen(DISK_ROOT)) == 0;
}

int mkdir(const char *path, mode_t mode)
{
    struct inode *dir;
    const char *name;
    if (!simulated(path))
        return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (disk_find(path, &dir, &name))
        return failed(EEXIST);
    if (!dir)
        return failed(ENOENT);
    int error = disk_step(dir->disk);
    if (error)
        return failed(error);
    disk_create(dir, name, true);
    return 0;
}

int unlink(const char *path)
{
    struct inode *dir;
    const char *name;
    if (!simulated(path))
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!disk_find(path, &dir, &name))
        return failed(ENOENT);
    disk_unlink(dir, name);
    return 0;
}

int stat(const char *path, struct stat *st)
{
    if (!simulated(path))
        return (int)syscall(SYS_newfstatat, AT_FDCWD, path, st, 0);
    const struct inode *f = disk_find(path, NULL, NULL);
    if (!f)
        return failed(ENOENT);
    *st = (struct stat){.st_mode = f->is_dir ? S_IFDIR | 0700 : S_IFREG | 0600,
                        .st_size = (off_t)f->len};
    return 0;
}

int statvfs(const char *path, struct statvfs *st)
{
    const struct inode *f = simulated(path) ? disk_find(path, NULL, NULL) : NULL;
    if (!f)
        return failed(ENOENT);
    *st = (struct statvfs){.f_frsize = 4096,
                           .f_blocks = DISK_BYTES / 4096,
                           .f_bavail = disk_free_bytes(f->disk) / 4096};
    return 0;
}

int rmdir(const char *path)
{
    struct inode *dir;
    const char *name;
    if (!simulated(path))
        return (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR);
    const struct inode *f = disk_find(path, &dir, &name);
    if (!f || !dir)
        return failed(ENOENT);
    if (f->live.len)
        return failed(ENOTEMPTY);
    disk_unlink(dir, name);
    return 0;
}

/* The kernel's randomness would make runs differ: keys of hash tables, mostly. */
ssize_t getrandom(void *p, size_t n, unsigned flags)
{
    (void)flags;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)p)[i] = (unsigned char)(W.events.items ? chance_below(256) : 77 + i);
    return (ssize_t)n;
}

/* ---- real locks: LMDB's, and those of libraries; there is one thread only ---- */

int pthread_mutex_init(pthread_mutex_t *m, const pthread_mutexattr_t *attr)
{
    return fiber_mutex_init(m, attr);
}

int pthread_mutex_destroy(pthread_mutex_t *m)
{
    (void)m;
    return 0;
}

int pthread_mutex_lock(pthread_mutex_t *m)
{
    return fiber_current() ? fiber_mutex_lock_now(m) : 0;
}

int pthread_mutex_unlock(pthread_mutex_t *m)
{
    return fiber_current() ? fiber_mutex_unlock_now(m) : 0;
}
