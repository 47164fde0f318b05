/*
 * raft/host.h on the simulated disk and clock. Stands in for raft/host_posix.c.
 */
#include "disk.h"
#include "fiber_sync.h"

#include "raft/host.h"
#include <errno.h>
#include <string.h>

struct host_file {
    struct inode *inode;
};

static uint64_t sim_mono_ns(struct host *h)
{
    (void)h;
    return fiber_mono_ns();
}

static int64_t sim_wall_ns(struct host *h)
{
    (void)h;
    return fiber_wall_ns();
}

static uint64_t sim_random(struct host *h)
{
    (void)h;
    return chance_bits();
}

static int sim_open(struct host *h, const char *path, int flags, struct host_file **out)
{
    (void)h;
    struct inode *dir;
    const char *name;
    struct inode *f = disk_find(path, &dir, &name);
    if (f && (flags & HOST_OPEN_CREATE) && (flags & HOST_OPEN_EXCLUSIVE))
        return -EEXIST;
    if (!f) {
        if (!(flags & HOST_OPEN_CREATE) || !dir)
            return -ENOENT;
        int error = disk_step(dir->disk);
        if (error)
            return -error;
        f = disk_create(dir, name, false);
    } else if (flags & HOST_OPEN_TRUNCATE) {
        inode_resize(f, 0);
    }
    f->opens++;
    *out = mem_alloc(sizeof **out);
    (*out)->inode = f;
    return 0;
}

static void sim_close(struct host_file *f)
{
    f->inode->opens--;
    mem_free(f);
}

static ssize_t sim_pread(struct host_file *f, void *p, size_t n, uint64_t at)
{
    struct inode *i = f->inode;
    if (at >= i->len)
        return 0;
    n = MIN(n, i->len - at);
    memcpy(p, i->data + at, n);
    return (ssize_t)n;
}

static int sim_pwrite(struct host_file *f, const void *p, size_t n, uint64_t at)
{
    int error = inode_room(f->inode, at + n);
    if (error)
        return -error;
    error = disk_step(f->inode->disk);
    if (error) { /* a part of it may have been written */
        inode_write(f->inode, p, chance_below(n + 1), at);
        return -error;
    }
    inode_write(f->inode, p, n, at);
    return 0;
}

static int sim_fdatasync(struct host_file *f)
{
    return -inode_sync(f->inode);
}

static int sim_truncate(struct host_file *f, uint64_t size)
{
    int error = disk_step(f->inode->disk);
    if (!error)
        error = inode_room(f->inode, size);
    if (error)
        return -error;
    inode_resize(f->inode, size);
    return 0;
}

static int sim_allocate(struct host_file *f, uint64_t size)
{
    if (size <= f->inode->len)
        return 0;
    return sim_truncate(f, size);
}

static int sim_size(struct host_file *f, uint64_t *size)
{
    *size = f->inode->len;
    return 0;
}

static int sim_rename(struct host *h, const char *from, const char *to)
{
    (void)h;
    struct inode *dir, *dir2;
    const char *name, *name2;
    struct inode *f = disk_find(from, &dir, &name);
    disk_find(to, &dir2, &name2);
    if (!f || !dir2)
        return -ENOENT;
    if (dir != dir2)
        broken("rename across directories: %s to %s", from, to);
    int error = disk_step(dir->disk);
    if (error)
        return -error;
    disk_rename(dir, name, name2);
    return 0;
}

static int sim_unlink(struct host *h, const char *path)
{
    (void)h;
    struct inode *dir;
    const char *name;
    if (!disk_find(path, &dir, &name))
        return -ENOENT;
    disk_step(dir->disk); /* needs no space, and writes later */
    disk_unlink(dir, name);
    return 0;
}

static int sim_mkdir(struct host *h, const char *path)
{
    (void)h;
    struct inode *dir;
    const char *name;
    if (disk_find(path, &dir, &name))
        return 0;
    if (!dir)
        return -ENOENT;
    int error = disk_step(dir->disk);
    if (error)
        return -error;
    disk_create(dir, name, true);
    return 0;
}

static int sim_sync_dir(struct host *h, const char *path)
{
    (void)h;
    struct inode *dir = disk_find(path, NULL, NULL);
    return dir ? -inode_sync(dir) : -ENOENT;
}

static int sim_list_dir(struct host *h, const char *path, int (*fn)(void *ctx, const char *name),
                        void *ctx)
{
    (void)h;
    struct inode *dir = disk_find(path, NULL, NULL);
    if (!dir)
        return -ENOENT;
    names copy = {0};
    for (size_t i = 0; i < dir->live.len; i++)
        vec_push(&copy, dir->live.items[i]);
    int rc = 0;
    for (size_t i = 0; i < copy.len && rc == 0; i++)
        rc = fn(ctx, copy.items[i].name);
    vec_free(&copy);
    return rc;
}

struct host *host_posix(void)
{
    static const struct host_ops ops = {
        .mono_ns = sim_mono_ns,
        .wall_ns = sim_wall_ns,
        .random = sim_random,
        .open = sim_open,
        .close = sim_close,
        .pread = sim_pread,
        .pwrite = sim_pwrite,
        .fdatasync = sim_fdatasync,
        .truncate = sim_truncate,
        .allocate = sim_allocate,
        .size = sim_size,
        .rename = sim_rename,
        .unlink = sim_unlink,
        .mkdir = sim_mkdir,
        .sync_dir = sim_sync_dir,
        .list_dir = sim_list_dir,
    };
    static struct host host = {&ops};
    return &host;
}
