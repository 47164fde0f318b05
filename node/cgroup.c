/*
 * Control groups (see cgroup.h).
 */
#include "node/cgroup.h"
#include "base/mem.h"
#include "base/str.h"
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOUNT "/sys/fs/cgroup"

int64_t cgroup_weight(int64_t shares)
{
    return shares <= 2 ? 1 : 1 + (MIN(shares, 262144) - 2) * 9999 / 262142;
}

/* One value of one group; a file that is not there belongs to a hierarchy that is not. */
static int set_value(const char *controller, const char *path, const char *file, const char *value,
                     struct error *err)
{
    char *name = mem_printf(MOUNT "/%s%s/%s", controller, path, file);
    FILE *f = fopen(name, "we");
    int rc = 0;

    if (f) {
        bool bad = fputs(value, f) < 0;
        if (fclose(f) != 0 || bad)
            rc = error_errno(err, ERR_IO, errno, "write %s to %s", value, name);
    } else if (errno != ENOENT) {
        rc = error_errno(err, ERR_IO, errno, "open %s", name);
    }
    mem_free(name);
    return rc;
}

int cgroup_set(const char *path, const struct cgroup_limits *l, struct error *err)
{
    char text[64], both[64];
    int rc = 0;

    if (l->cpu_shares) {
        snprintf(text, sizeof text, "%lld", (long long)l->cpu_shares);
        snprintf(both, sizeof both, "%lld", (long long)cgroup_weight(l->cpu_shares));
        rc = set_value("cpu", path, "cpu.shares", text, err);
        if (rc == 0)
            rc = set_value(".", path, "cpu.weight", both, err);
    }
    if (rc == 0 && l->cpu_quota) {
        snprintf(text, sizeof text, "%lld", (long long)l->cpu_period);
        snprintf(both, sizeof both, "%lld %lld", (long long)l->cpu_quota, (long long)l->cpu_period);
        rc = set_value("cpu", path, "cpu.cfs_period_us", text, err);
        snprintf(text, sizeof text, "%lld", (long long)l->cpu_quota);
        if (rc == 0)
            rc = set_value("cpu", path, "cpu.cfs_quota_us", text, err);
        if (rc == 0)
            rc = set_value(".", path, "cpu.max", both, err);
    }
    return rc;
}

/* Call fn with the directory of `path` in every hierarchy that has it. */
static void each_hierarchy(const char *path, void (*fn)(void *ctx, const char *dir), void *ctx)
{
    DIR *d = opendir(MOUNT);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        char *dir;

        if (strcmp(e->d_name, "..") == 0)
            continue;
        /* "." is version 2, where MOUNT itself is the hierarchy. */
        dir = mem_printf(MOUNT "/%s%s", e->d_name, path);
        if (access(dir, F_OK) == 0)
            fn(ctx, dir);
        mem_free(dir);
    }
    if (d)
        closedir(d);
}

/* Call fn for a group and all below it, deepest first. */
static void each_below(const char *dir, void (*fn)(void *ctx, const char *dir), void *ctx)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        char *sub;
        struct stat st;

        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        sub = mem_printf("%s/%s", dir, e->d_name);
        if (lstat(sub, &st) == 0 && S_ISDIR(st.st_mode))
            each_below(sub, fn, ctx);
        mem_free(sub);
    }
    if (d)
        closedir(d);
    fn(ctx, dir);
}

static void kill_one(void *ctx, const char *dir)
{
    char *path = mem_printf("%s/cgroup.procs", dir);
    FILE *f = fopen(path, "re");
    int pid;

    while (f && fscanf(f, "%d", &pid) == 1) {
        ++*(size_t *)ctx;
        if (pid > 1)
            kill(pid, SIGKILL);
    }
    if (f)
        fclose(f);
    mem_free(path);
}

static void kill_below(void *ctx, const char *dir)
{
    each_below(dir, kill_one, ctx);
}

size_t cgroup_kill(const char *path)
{
    size_t found = 0;

    each_hierarchy(path, kill_below, &found);
    return found;
}

struct removal {
    int rc;
    struct error *err;
};

static void remove_one(void *ctx, const char *dir)
{
    struct removal *r = ctx;

    if (rmdir(dir) < 0 && errno != ENOENT && r->rc == 0)
        r->rc = error_errno(r->err, ERR_UNAVAILABLE, errno, "remove control group %s", dir);
}

static void remove_below(void *ctx, const char *dir)
{
    each_below(dir, remove_one, ctx);
}

int cgroup_remove(const char *path, struct error *err)
{
    struct removal r = {.err = err};

    each_hierarchy(path, remove_below, &r);
    return r.rc;
}

static void remove_quietly(void *ctx, const char *dir)
{
    (void)ctx;
    rmdir(dir);
}

void cgroup_remove_empty(const char *parent, const char *name)
{
    char *path = mem_printf("%s/%s", parent, name);

    each_hierarchy(path, remove_quietly, NULL);
    each_hierarchy(parent, remove_quietly, NULL);
    mem_free(path);
}
