/*
 * Small file work (see files.h).
 */
#include "node/files.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/vec.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int file_make_dirs(const char *path, unsigned mode, struct error *err)
{
    char *copy = mem_strdup(path);
    struct stat st;
    int rc = 0;

    for (char *slash = strchr(copy + 1, '/'); rc == 0; slash = strchr(slash + 1, '/')) {
        if (slash)
            *slash = 0;
        if (mkdir(copy, slash ? 0755 : mode) < 0 && errno != EEXIST)
            rc = error_errno(err, ERR_IO, errno, "make directory %s", copy);
        if (!slash)
            break;
        *slash = '/';
    }
    if (rc == 0 && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        rc = error_set(err, ERR_IO, "%s: not a directory", path);
    mem_free(copy);
    return rc;
}

static bool same_content(const char *path, struct str content)
{
    struct arena a;
    struct str have;
    bool same;

    arena_init(&a);
    same = file_read(path, content.n, &a, &have, NULL) == 0 && str_eq(have, content);
    arena_free(&a);
    return same;
}

int file_replace(const char *path, struct str content, unsigned mode, struct error *err)
{
    char *temporary;
    int fd, rc = 0;

    if (same_content(path, content))
        return 0;
    temporary = mem_printf("%s.tmp-%d", path, (int)getpid());
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0) {
        rc = error_errno(err, ERR_IO, errno, "create %s", temporary);
        goto out;
    }
    if (fchmod(fd, mode) < 0) /* regardless of the umask */
        rc = error_errno(err, ERR_IO, errno, "chmod %s", temporary);
    while (content.n && rc == 0) {
        ssize_t n = write(fd, content.p, content.n);

        if (n < 0 && errno != EINTR)
            rc = error_errno(err, ERR_IO, errno, "write %s", temporary);
        if (n > 0)
            content = str_slice(content, (size_t)n, content.n);
    }
    if (close(fd) < 0 && rc == 0)
        rc = error_errno(err, ERR_IO, errno, "write %s", temporary);
    if (rc == 0 && rename(temporary, path) < 0)
        rc = error_errno(err, ERR_IO, errno, "rename %s to %s", temporary, path);
    if (rc < 0)
        unlink(temporary);
out:
    mem_free(temporary);
    return rc;
}

/*
 * Removing a tree. Whoever may write into a volume may nest directories without a limit (by names relative to
 * where he is), so that neither the stack nor the number of open files may follow the depth: one directory is
 * open at a time, the way back is "..", and what is to be met there is known.
 */
struct level {
    char *name; /* in the directory above */
    dev_t device;
    ino_t inode;
    VEC(char *) subdirs; /* still to be removed */
};

struct removal {
    int fd; /* the last level's directory */
    VEC(struct level) levels;
};

static void level_free(struct level *l)
{
    for (size_t i = 0; i < l->subdirs.len; i++)
        mem_free(l->subdirs.items[i]);
    vec_free(&l->subdirs);
    mem_free(l->name);
}

/* Removes what is no directory, notes what is. */
static int remove_files(struct level *l, int dir, struct error *err)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;
    int rc = 0;

    if (!d) {
        rc = error_errno(err, ERR_IO, errno, "read directory");
        if (fd >= 0)
            close(fd);
        return rc;
    }
    while (rc == 0 && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            unlinkat(dir, e->d_name, 0) == 0 || errno == ENOENT)
            continue;
        if (errno == EISDIR)
            vec_push(&l->subdirs, mem_strdup(e->d_name));
        else
            rc = error_errno(err, ERR_IO, errno, "remove %s", e->d_name);
    }
    closedir(d);
    return rc;
}

/* The directory is entered: r->fd and the last level are its own from here. */
static int level_enter(struct removal *r, int fd, const char *name, struct error *err)
{
    struct level l = {.name = mem_strdup(name)};
    struct stat st;

    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
    if (fstat(fd, &st) < 0) {
        level_free(&l);
        return error_errno(err, ERR_IO, errno, "stat %s", name);
    }
    l.device = st.st_dev;
    l.inode = st.st_ino;
    vec_push(&r->levels, l);
    return remove_files(&r->levels.items[r->levels.len - 1], fd, err);
}

static int level_down(struct removal *r, struct error *err)
{
    struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    struct level *l = &r->levels.items[r->levels.len - 1];
    char *name = vec_pop(&l->subdirs);
    int fd = (int)syscall(SYS_openat2, r->fd, name, &how, sizeof how), rc = 0;

    if (fd >= 0)
        rc = level_enter(r, fd, name, err);
    else if (errno == EXDEV)
        rc = error_set(err, ERR_IO, "remove %s: something is mounted there", name);
    else if (errno != ENOENT)
        rc = error_errno(err, ERR_IO, errno, "open %s", name);
    mem_free(name);
    return rc;
}

static int level_up(struct removal *r, struct error *err)
{
    struct level l = vec_pop(&r->levels);
    const struct level *above = &r->levels.items[r->levels.len - 1];
    int fd = openat(r->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc = error_errno(err, ERR_IO, errno, "open the directory above %s", l.name);
    } else if (st.st_dev != above->device || st.st_ino != above->inode) {
        rc = error_set(err, ERR_IO, "remove %s: it was moved meanwhile", l.name);
    } else if (unlinkat(fd, l.name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
        rc = error_errno(err, ERR_IO, errno, "remove %s", l.name);
    }
    close(r->fd);
    r->fd = fd;
    level_free(&l);
    return rc;
}

static int remove_directory(const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), rc;
    struct removal r = {.fd = -1};

    if (fd < 0)
        return errno == ENOENT ? 0 : error_errno(err, ERR_IO, errno, "open");
    rc = level_enter(&r, fd, path, err);
    while (rc == 0 && (r.levels.len > 1 || r.levels.items[0].subdirs.len)) {
        bool down = r.levels.items[r.levels.len - 1].subdirs.len > 0;
        rc = down ? level_down(&r, err) : level_up(&r, err);
    }
    for (size_t i = 0; i < r.levels.len; i++)
        level_free(&r.levels.items[i]);
    vec_free(&r.levels);
    if (r.fd >= 0)
        close(r.fd);
    if (rc == 0 && rmdir(path) < 0 && errno != ENOENT)
        rc = error_errno(err, ERR_IO, errno, "remove");
    return rc;
}

int file_remove_tree(const char *path, struct error *err)
{
    int rc = 0;

    if (unlink(path) == 0 || errno == ENOENT)
        return 0;
    if (errno == EISDIR)
        rc = remove_directory(path, err);
    else
        rc = error_errno(err, ERR_IO, errno, "unlink");
    return rc < 0 ? error_wrap(err, "remove %s", path) : 0;
}

int file_read_end(const char *path, size_t max, struct arena *a, struct str *out, struct error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), rc = 0;
    struct stat st;
    size_t n = 0;
    char *text;

    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", path);
    if (fstat(fd, &st) < 0) {
        rc = error_errno(err, ERR_IO, errno, "stat %s", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = error_set(err, ERR_INVALID, "%s: not a regular file", path);
    } else {
        off_t from = MAX(st.st_size - (off_t)max, 0);
        text = arena_alloc(a, max + 1);
        while (n < max && rc == 0) {
            ssize_t got = pread(fd, text + n, max - n, from + (off_t)n);
            if (got == 0)
                break;
            if (got < 0 && errno != EINTR)
                rc = error_errno(err, ERR_IO, errno, "read %s", path);
            n += got > 0 ? (size_t)got : 0;
        }
        text[n] = 0;
        *out = str_make(text, n);
    }
    close(fd);
    return rc;
}

/* mountinfo writes blank, tab, newline and backslash as three octal digits. */
static void unescape(char *s)
{
    char *to = s;

    for (; *s; s++) {
        if (s[0] == '\\' && s[1] >= '0' && s[1] <= '3' && s[2] && s[3]) {
            *to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
            s += 3;
        } else {
            *to++ = *s;
        }
    }
    *to = 0;
}

int file_unmount_below(const char *dir, struct error *err)
{
    FILE *f = fopen("/proc/self/mountinfo", "re");
    VEC(char *) points = {0};
    size_t dir_len = strlen(dir), size = 0;
    char *line = NULL, *point = NULL;
    int rc = 0;

    if (!f)
        return error_errno(err, ERR_IO, errno, "open /proc/self/mountinfo");
    while (getline(&line, &size, f) > 0) {
        if (sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1)
            continue;
        unescape(point);
        if (strncmp(point, dir, dir_len) == 0 && (point[dir_len] == '/' || !point[dir_len]))
            vec_push(&points, mem_strdup(point));
        free(point);
    }
    free(line);
    fclose(f);
    /* The file lists mounts in the order they were made; a mount inside another comes later. */
    for (size_t i = points.len; i-- > 0;) {
        if (umount2(points.items[i], MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL &&
            errno != ENOENT && rc == 0)
            rc = error_errno(err, ERR_IO, errno, "unmount %s", points.items[i]);
        mem_free(points.items[i]);
    }
    vec_free(&points);
    return rc;
}
