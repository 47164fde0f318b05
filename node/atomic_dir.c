/*
 * Directories that change all at once (see atomic_dir.h): write the new version beside the old one,
 * swing ..data over by rename, then tidy what is left of the old one.
 */
#include "node/atomic_dir.h"
#include "base/map.h"
#include "base/mem.h"
#include "node/files.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CONTENT_MAX (64u << 20)

bool atomic_path_ok(const char *path)
{
    struct str rest = str_from(path), part;

    if (!path[0] || path[0] == '/' || strncmp(path, "..", 2) == 0)
        return false;
    while (str_split(&rest, '/', &part)) {
        if (part.n == 0 || str_eqz(part, "..") || str_eqz(part, "."))
            return false;
    }
    return true;
}

/* The version in place has these files with this content and mode. (Files it has more do not matter
 * for the comparison of each, so the number is compared too.) */
static size_t count_files(const char *dir)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    size_t n = 0;

    while (d && (e = readdir(d)) != NULL) {
        char *path;
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        path = mem_printf("%s/%s", dir, e->d_name);
        if (lstat(path, &st) == 0)
            n += S_ISDIR(st.st_mode) ? count_files(path) : 1;
        mem_free(path);
    }
    if (d)
        closedir(d);
    return n;
}

static bool in_place(const char *data, const struct atomic_file *files, size_t n)
{
    bool same = true;

    for (size_t i = 0; i < n && same; i++) {
        char *path = mem_printf("%s/%s", data, files[i].path);
        struct arena a;
        struct str have;
        struct stat st;

        arena_init(&a);
        same = file_read(path, CONTENT_MAX, &a, &have, NULL) == 0 &&
               str_eq(have, files[i].content) && stat(path, &st) == 0 &&
               (st.st_mode & 07777) == files[i].mode;
        arena_free(&a);
        mem_free(path);
    }
    return same && access(data, F_OK) == 0 && count_files(data) == n;
}

static int write_version(const char *version, const struct atomic_file *files, size_t n,
                         int64_t gid, struct error *err)
{
    int rc = file_make_dirs(version, 0755, err);

    for (size_t i = 0; i < n && rc == 0; i++) {
        char *path = mem_printf("%s/%s", version, files[i].path);
        char *slash = strrchr(path, '/');

        *slash = 0;
        rc = file_make_dirs(path, 0755, err);
        *slash = '/';
        if (rc == 0)
            rc = file_replace(path, files[i].content, files[i].mode, err);
        if (rc == 0 && gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) < 0)
            rc = error_errno(err, ERR_IO, errno, "change the group of %s", path);
        mem_free(path);
    }
    return rc;
}

static struct str first_part(const char *path)
{
    struct str rest = str_from(path), part;

    str_split(&rest, '/', &part);
    return part;
}

/* dir/a -> ..data/a for the first part of every path. */
static int link_visible(const char *dir, const struct atomic_file *files, size_t n,
                        struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        struct str part = first_part(files[i].path);
        char *link = mem_printf("%s/%.*s", dir, STR_ARG(part));
        char *target = mem_printf("..data/%.*s", STR_ARG(part));
        int rc = 0;

        if (symlink(target, link) < 0 && errno != EEXIST)
            rc = error_errno(err, ERR_IO, errno, "link %s", link);
        mem_free(link);
        mem_free(target);
        if (rc < 0)
            return rc;
    }
    return 0;
}

/* Links to files that are gone, and versions that ..data no longer names. */
static int tidy(const char *dir, const char *version, const struct atomic_file *files, size_t n,
                struct error *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;
    struct map visible;
    int rc = 0;

    if (!d)
        return error_errno(err, ERR_IO, errno, "read %s", dir);
    map_init(&visible);
    for (size_t i = 0; i < n; i++)
        map_put(&visible, first_part(files[i].path), &visible);
    while (rc == 0 && (e = readdir(d)) != NULL) {
        bool keep = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
                    strcmp(e->d_name, "..data") == 0 || strcmp(e->d_name, version) == 0 ||
                    map_has(&visible, str_from(e->d_name));
        char *path;

        if (keep)
            continue;
        path = mem_printf("%s/%s", dir, e->d_name);
        rc = file_remove_tree(path, err);
        mem_free(path);
    }
    closedir(d);
    map_free(&visible);
    return rc;
}

static void version_name(char out[64])
{
    struct timespec now;
    struct tm tm;
    size_t n;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    n = strftime(out, 64, "..%Y_%m_%d_%H_%M_%S.", &tm);
    snprintf(out + n, 64 - n, "%09ld", now.tv_nsec);
}

int atomic_dir_write(const char *dir, const struct atomic_file *files, size_t n, int64_t gid,
                     bool *changed, struct error *err)
{
    char name[64];
    char *data = mem_printf("%s/..data", dir), *next = mem_printf("%s/..data_tmp", dir);
    char *version = NULL;
    int rc = 0;

    if (changed)
        *changed = false;
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (!atomic_path_ok(files[i].path))
            rc = error_set(err, ERR_INVALID, "%s: must be a relative path without \"..\"",
                           files[i].path);
    }
    if (rc == 0 && in_place(data, files, n)) {
        rc = link_visible(dir, files, n, err); /* whoever put it in place may not have got so far */
        goto out;
    }
    if (rc < 0)
        goto out;
    version_name(name);
    version = mem_printf("%s/%s", dir, name);
    rc = write_version(version, files, n, gid, err);
    if (rc == 0) {
        unlink(next);
        if (symlink(name, next) < 0 || rename(next, data) < 0)
            rc = error_errno(err, ERR_IO, errno, "put %s in place", data);
    }
    if (rc < 0) {
        file_remove_tree(version, NULL);
        goto out;
    }
    if (changed)
        *changed = true;
    rc = link_visible(dir, files, n, err);
    if (rc == 0)
        rc = tidy(dir, name, files, n, err);
out:
    mem_free(version);
    mem_free(next);
    mem_free(data);
    return rc;
}
