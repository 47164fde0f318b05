/*
 * A file system over a directory whose flushes take longer, or fail: what a store does on a slower or a bad disk.
 *
 *     slow_fs DIRECTORY MOUNTPOINT MICROSECONDS [FAULT]        (in the foreground, until unmounted)
 *
 * Everything goes to the directory underneath; fsync and fdatasync sleep first. It works for any program,
 * also one that makes its system calls by itself, and costs each the same.
 *
 * FAULT is a file that says what is wrong with the disk just now; its first word is looked at with each call:
 *     write-eio, write-enospc   a write fails, and nothing of it arrives
 *     write-short               half of it arrives, and that is what the caller is told
 *     write-torn                half of it arrives, and the caller is told EIO
 *     sync-eio, sync-enospc     a flush fails
 * Without the file, or with other words in it, the disk is well.
 */
#define FUSE_USE_VERSION 31
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *below, *fault_file;
static long delay_us;

static bool fault_is(const char *what)
{
    char word[32] = "";
    int fd = fault_file ? open(fault_file, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    ssize_t n = read(fd, word, sizeof word - 1);
    close(fd);
    word[n > 0 ? n : 0] = 0;
    word[strcspn(word, "\n")] = 0;
    return strcmp(word, what) == 0;
}

static const char *under(const char *path, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s%s", below, path);
    return out;
}

static int result(int rc)
{
    return rc < 0 ? -errno : 0;
}

static int do_getattr(const char *path, struct stat *st, struct fuse_file_info *fi)
{
    char p[PATH_MAX];
    return result(fi ? fstat((int)fi->fh, st) : lstat(under(path, p), st));
}

static int do_open(const char *path, struct fuse_file_info *fi)
{
    char p[PATH_MAX];
    int fd = open(under(path, p), fi->flags & ~O_DIRECT);
    fi->fh = (uint64_t)fd;
    fi->keep_cache = 1;
    return result(fd);
}

static int do_create(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    char p[PATH_MAX];
    int fd = open(under(path, p), (fi->flags & ~O_DIRECT) | O_CREAT, mode);
    fi->fh = (uint64_t)fd;
    fi->keep_cache = 1;
    return result(fd);
}

static int do_read(const char *path, char *data, size_t n, off_t at, struct fuse_file_info *fi)
{
    (void)path;
    ssize_t got = pread((int)fi->fh, data, n, at);
    return got < 0 ? -errno : (int)got;
}

static int do_write(const char *path, const char *data, size_t n, off_t at,
                    struct fuse_file_info *fi)
{
    (void)path;
    if (fault_is("write-eio"))
        return -EIO;
    if (fault_is("write-enospc"))
        return -ENOSPC;
    bool torn = fault_is("write-torn");
    if (n > 1 && (torn || fault_is("write-short")))
        n /= 2;
    ssize_t put = pwrite((int)fi->fh, data, n, at);
    return put < 0 ? -errno : torn ? -EIO : (int)put;
}

static int do_fsync(const char *path, int data_only, struct fuse_file_info *fi)
{
    (void)path;
    struct timespec t = {delay_us / 1000000, delay_us % 1000000 * 1000};
    nanosleep(&t, NULL);
    if (fault_is("sync-eio"))
        return -EIO;
    if (fault_is("sync-enospc"))
        return -ENOSPC;
    return result(data_only ? fdatasync((int)fi->fh) : fsync((int)fi->fh));
}

static int do_release(const char *path, struct fuse_file_info *fi)
{
    (void)path;
    return result(close((int)fi->fh));
}

static int do_truncate(const char *path, off_t size, struct fuse_file_info *fi)
{
    char p[PATH_MAX];
    return result(fi ? ftruncate((int)fi->fh, size) : truncate(under(path, p), size));
}

static int do_fallocate(const char *path, int mode, off_t at, off_t n, struct fuse_file_info *fi)
{
    (void)path;
    return result(fallocate((int)fi->fh, mode, at, n));
}

static int do_rename(const char *from, const char *to, unsigned flags)
{
    char p[PATH_MAX], q[PATH_MAX];
    return flags ? -EINVAL : result(rename(under(from, p), under(to, q)));
}

static int do_unlink(const char *path)
{
    char p[PATH_MAX];
    return result(unlink(under(path, p)));
}

static int do_mkdir(const char *path, mode_t mode)
{
    char p[PATH_MAX];
    return result(mkdir(under(path, p), mode));
}

static int do_rmdir(const char *path)
{
    char p[PATH_MAX];
    return result(rmdir(under(path, p)));
}

static int do_chmod(const char *path, mode_t mode, struct fuse_file_info *fi)
{
    char p[PATH_MAX];
    return result(fi ? fchmod((int)fi->fh, mode) : chmod(under(path, p), mode));
}

static int do_readdir(const char *path, void *buf, fuse_fill_dir_t fill, off_t at,
                      struct fuse_file_info *fi, enum fuse_readdir_flags flags)
{
    (void)at, (void)fi, (void)flags;
    char p[PATH_MAX];
    DIR *dir = opendir(under(path, p));
    if (!dir)
        return -errno;
    for (struct dirent *e; (e = readdir(dir));)
        fill(buf, e->d_name, NULL, 0, 0);
    closedir(dir);
    return 0;
}

static int do_fsyncdir(const char *path, int data_only, struct fuse_file_info *fi)
{
    char p[PATH_MAX];
    struct fuse_file_info at = {.fh = (uint64_t)open(under(path, p), O_RDONLY | O_DIRECTORY)};
    (void)fi;
    if ((int)at.fh < 0)
        return -errno;
    int rc = do_fsync(path, data_only, &at);
    close((int)at.fh);
    return rc;
}

static const struct fuse_operations operations = {
    .getattr = do_getattr,
    .open = do_open,
    .create = do_create,
    .read = do_read,
    .write = do_write,
    .fsync = do_fsync,
    .fsyncdir = do_fsyncdir,
    .release = do_release,
    .truncate = do_truncate,
    .fallocate = do_fallocate,
    .rename = do_rename,
    .unlink = do_unlink,
    .mkdir = do_mkdir,
    .rmdir = do_rmdir,
    .chmod = do_chmod,
    .readdir = do_readdir,
};

int main(int argc, char **argv)
{
    if (argc != 4 && argc != 5) {
        fprintf(stderr, "usage: slow_fs DIRECTORY MOUNTPOINT MICROSECONDS [FAULT]\n");
        return 2;
    }
    below = realpath(argv[1], NULL);
    delay_us = atol(argv[3]);
    fault_file = argc > 4 ? realpath(argv[4], NULL) : NULL;
    if (!below || delay_us < 0 || (argc > 4 && !fault_file)) {
        fprintf(stderr, "slow_fs: %s or %s is not there\n", argv[1], argc > 4 ? argv[4] : "");
        return 2;
    }
    char *args[] = {argv[0], "-f", "-o", "attr_timeout=3600,entry_timeout=3600", argv[2], NULL};
    return fuse_main(5, args, &operations, NULL);
}
