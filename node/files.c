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
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
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

static int remove_at(int dir, const char *name, dev_t device, struct error *err);

static int remove_children(int fd, dev_t device, struct error *err)
{
    DIR *d = fdopendir(fd);
    struct dirent *e;
    int rc = 0;

    if (!d) {
        close(fd);
        return error_errno(err, ERR_IO, errno, "read directory");
    }
    while (rc == 0 && (e = readdir(d)) != NULL) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = remove_at(dirfd(d), e->d_name, device, err);
    }
    closedir(d);
    return rc;
}

/* Recursion goes as deep as the tree: what is removed here are the agent's own directories and
 * volumes, where a container may nest directories, but each level costs it a path component below
 * PATH_MAX of its own. */
static int remove_at(int dir, const char *name, dev_t device, struct error *err)
{
    struct stat st;
    int fd, rc;

    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : error_errno(err, ERR_IO, errno, "stat %s", name);
    if (!S_ISDIR(st.st_mode)) {
        if (unlinkat(dir, name, 0) < 0 && errno != ENOENT)
            return error_errno(err, ERR_IO, errno, "remove %s", name);
        return 0;
    }
    if (st.st_dev != device)
        return error_set(err, ERR_IO, "remove %s: something is mounted there", name);
    fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "open %s", name);
    rc = remove_children(fd, device, err);
    if (rc == 0 && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
        rc = error_errno(err, ERR_IO, errno, "remove %s", name);
    return rc;
}

int file_remove_tree(const char *path, struct error *err)
{
    struct stat st;
    int rc;

    if (lstat(path, &st) < 0)
        return errno == ENOENT ? 0 : error_errno(err, ERR_IO, errno, "stat %s", path);
    rc = remove_at(AT_FDCWD, path, st.st_dev, err);
    return rc < 0 ? error_wrap(err, "remove %s", path) : 0;
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
