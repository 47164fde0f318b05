/*
 * The disk that loses power (disk_sim.h).
 */
#include "disk_sim.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/vec.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define SECTOR 512
#define PATH_LEN 512

struct write_op {
    uint64_t offset;
    size_t len;
    char *data;
    bool truncate; /* to `offset` */
};

struct sim_file {
    ino_t ino;
    char *durable;
    uint64_t durable_len;
    VEC(struct write_op) pending;
};

struct name_op {
    char from[PATH_LEN]; /* empty: creation */
    char to[PATH_LEN];   /* empty: removal */
    struct sim_file *file;
};

struct durable_name {
    char path[PATH_LEN];
    struct sim_file *file;
};

static struct {
    bool on, dead;
    char dir[PATH_LEN];
    struct rng rng;
    uint64_t calls, syncs, bytes, fail_at;
    VEC(struct sim_file *) files;
    VEC(struct durable_name) names; /* durable */
    VEC(struct name_op) name_ops;   /* since */
} sim;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static ssize_t real_pwrite(int fd, const void *p, size_t n, off_t at)
{
    return syscall(SYS_pwrite64, fd, p, n, at);
}

static void file_apply(char **data, uint64_t *len, const struct write_op *w, size_t from, size_t to)
{
    if (w->offset + to > *len) {
        /* exact sizes would copy the file for each sector added */
        uint64_t now = *len ? 1ull << (64 - __builtin_clzll(*len)) : 0, want = w->offset + to;
        if (want >= now || !*data)
            *data = mem_realloc(*data, 1ull << (64 - __builtin_clzll(want)));
        memset(*data + *len, 0, w->offset + to - *len);
        *len = w->offset + to;
    }
    memcpy(*data + w->offset + from, w->data + from, to - from);
}

static void pending_clear(struct sim_file *f)
{
    for (size_t i = 0; i < f->pending.len; i++)
        mem_free(f->pending.items[i].data);
    f->pending.len = 0;
}

static struct sim_file *file_by_ino(ino_t ino)
{
    for (size_t i = 0; i < sim.files.len; i++)
        if (sim.files.items[i]->ino == ino)
            return sim.files.items[i];
    return NULL;
}

static bool path_of(int fd, char out[PATH_LEN])
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, out, PATH_LEN - 1);
    if (n <= 0)
        return false;
    out[n] = 0;
    return strncmp(out, sim.dir, strlen(sim.dir)) == 0;
}

/* The file behind fd, if it is ours; a new one is a pending creation. */
static struct sim_file *file_of(int fd)
{
    char path[PATH_LEN];
    struct stat st;
    if (!sim.on || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !path_of(fd, path))
        return NULL;
    struct sim_file *f = file_by_ino(st.st_ino);
    if (!f) {
        struct name_op op = {.from = ""};
        f = mem_zalloc(sizeof *f);
        f->ino = st.st_ino;
        vec_push(&sim.files, f);
        snprintf(op.to, sizeof op.to, "%s", path);
        op.file = f;
        vec_push(&sim.name_ops, op);
    }
    return f;
}

/* Counts a call; true when the power is gone, from this call on. */
static bool power_fails(void)
{
    if (sim.dead)
        return true;
    sim.calls++;
    if (sim.fail_at && sim.calls >= sim.fail_at)
        sim.dead = true;
    return sim.dead;
}

static void record(struct sim_file *f, const void *p, size_t n, uint64_t at)
{
    struct write_op w = {.offset = at, .len = n, .data = mem_dup(p, n)};
    vec_push(&f->pending, w);
    sim.bytes += n;
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    pthread_mutex_lock(&lock);
    struct sim_file *f = file_of(fd);
    bool dead = f && power_fails();
    if (f && (!dead || sim.calls == sim.fail_at)) {
        record(f, p, n, (uint64_t)at); /* the failing one may still reach the disk, in part */
        if (dead)
            sim.fail_at = 0;
    }
    ssize_t rc = dead ? -1 : real_pwrite(fd, p, n, at);
    pthread_mutex_unlock(&lock);
    if (dead)
        errno = EIO;
    return rc;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at);
ssize_t pwrite64(int fd, const void *p, size_t n, off64_t at)
{
    return pwrite(fd, p, n, at);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    pthread_mutex_lock(&lock);
    struct sim_file *f = file_of(fd);
    bool dead = f && power_fails();
    off_t at = f ? lseek(fd, 0, SEEK_CUR) : 0;
    for (int i = 0; f && i < n && (!dead || sim.fail_at); i++) {
        record(f, iov[i].iov_base, iov[i].iov_len, (uint64_t)at);
        at += (off_t)iov[i].iov_len;
    }
    if (dead)
        sim.fail_at = 0;
    ssize_t rc = dead ? -1 : syscall(SYS_writev, fd, iov, n);
    pthread_mutex_unlock(&lock);
    if (dead)
        errno = EIO;
    return rc;
}

int ftruncate(int fd, off_t size)
{
    pthread_mutex_lock(&lock);
    struct sim_file *f = file_of(fd);
    bool dead = f && power_fails();
    if (f && !dead) {
        struct write_op w = {.offset = (uint64_t)size, .truncate = true};
        vec_push(&f->pending, w);
    }
    int rc = dead ? -1 : (int)syscall(SYS_ftruncate, fd, size);
    pthread_mutex_unlock(&lock);
    if (dead)
        errno = EIO;
    return rc;
}

static void name_set(const char *path, struct sim_file *f)
{
    for (size_t i = 0; i < sim.names.len; i++)
        if (strcmp(sim.names.items[i].path, path) == 0) {
            if (f)
                sim.names.items[i].file = f;
            else
                vec_remove(&sim.names, i);
            return;
        }
    if (f) {
        struct durable_name d = {.file = f};
        snprintf(d.path, sizeof d.path, "%s", path);
        vec_push(&sim.names, d);
    }
}

static void name_apply(const struct name_op *op)
{
    if (op->from[0])
        name_set(op->from, NULL);
    if (op->to[0])
        name_set(op->to, op->file);
}

static bool in_dir(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

static bool op_in_dir(const struct name_op *op, const char *dir)
{
    return in_dir(op->from[0] ? op->from : op->to, dir);
}

static void file_sync(struct sim_file *f)
{
    for (size_t i = 0; i < f->pending.len; i++) {
        const struct write_op *w = &f->pending.items[i];
        if (w->truncate) {
            f->durable = mem_realloc(f->durable, 1ull << (64 - __builtin_clzll(w->offset | 1)));
            if (w->offset > f->durable_len)
                memset(f->durable + f->durable_len, 0, w->offset - f->durable_len);
            f->durable_len = w->offset;
        } else {
            file_apply(&f->durable, &f->durable_len, w, 0, w->len);
        }
    }
    pending_clear(f);
}

static void dir_sync(const char *dir)
{
    for (size_t i = 0; i < sim.name_ops.len;) {
        if (!op_in_dir(&sim.name_ops.items[i], dir)) {
            i++;
            continue;
        }
        name_apply(&sim.name_ops.items[i]);
        vec_remove(&sim.name_ops, i);
    }
}

static int sync_fd(int fd, long call)
{
    char path[PATH_LEN];
    struct stat st;
    pthread_mutex_lock(&lock);
    bool dead = false;
    if (sim.on && fstat(fd, &st) == 0 && path_of(fd, path)) {
        dead = power_fails();
        sim.syncs++;
        if (!dead && S_ISDIR(st.st_mode)) {
            dir_sync(path);
        } else if (!dead) {
            struct sim_file *f = file_of(fd);
            if (f)
                file_sync(f);
        }
    }
    pthread_mutex_unlock(&lock);
    (void)call; /* the page cache of the machine that runs the test need not be flushed */
    if (dead)
        errno = EIO;
    return dead ? -1 : 0;
}

int fdatasync(int fd)
{
    return sync_fd(fd, SYS_fdatasync);
}

int fsync(int fd)
{
    return sync_fd(fd, SYS_fsync);
}

int sync_file_range(int fd, off64_t at, off64_t n, unsigned flags)
{
    (void)fd, (void)at, (void)n, (void)flags; /* promises nothing */
    return 0;
}

int rename(const char *from, const char *to)
{
    struct stat st, over;
    pthread_mutex_lock(&lock);
    bool ours = sim.on && strncmp(from, sim.dir, strlen(sim.dir)) == 0;
    bool dead = ours && power_fails();
    if (ours && !dead && stat(to, &over) == 0 && S_ISREG(over.st_mode)) {
        struct sim_file *replaced = file_by_ino(over.st_ino);
        if (replaced)
            replaced->ino = 0; /* the number may be used again */
    }
    if (ours && !dead && stat(from, &st) == 0) {
        if (S_ISREG(st.st_mode)) {
            struct name_op op = {.file = file_by_ino(st.st_ino)};
            snprintf(op.from, sizeof op.from, "%s", from);
            snprintf(op.to, sizeof op.to, "%s", to);
            if (op.file)
                vec_push(&sim.name_ops, op);
        } else { /* a directory: taken as durable at once, with the names in it */
            size_t n = strlen(from);
            for (size_t i = 0; i < sim.names.len; i++)
                if (in_dir(sim.names.items[i].path, from)) {
                    char rest[PATH_LEN];
                    snprintf(rest, sizeof rest, "%s", sim.names.items[i].path + n);
                    snprintf(sim.names.items[i].path, PATH_LEN, "%.250s%.250s", to, rest);
                }
        }
    }
    int rc = dead ? -1 : (int)syscall(SYS_rename, from, to);
    pthread_mutex_unlock(&lock);
    if (dead)
        errno = EIO;
    return rc;
}

int unlink(const char *path)
{
    struct stat st;
    pthread_mutex_lock(&lock);
    bool ours = sim.on && strncmp(path, sim.dir, strlen(sim.dir)) == 0;
    bool dead = ours && power_fails();
    if (ours && !dead && stat(path, &st) == 0) {
        struct name_op op = {.file = file_by_ino(st.st_ino)};
        snprintf(op.from, sizeof op.from, "%s", path);
        if (op.file) {
            vec_push(&sim.name_ops, op);
            op.file->ino = 0; /* the number may be used again */
        }
    }
    int rc = dead ? -1 : (int)syscall(SYS_unlink, path);
    pthread_mutex_unlock(&lock);
    if (dead)
        errno = EIO;
    return rc;
}

/* ---- control ---- */

void disk_sim_fail_after(uint64_t n)
{
    sim.fail_at = sim.calls + n;
}

bool disk_sim_dead(void)
{
    return sim.dead;
}

uint64_t disk_sim_calls(void)
{
    return sim.calls;
}

uint64_t disk_sim_syncs(void)
{
    return sim.syncs;
}

uint64_t disk_sim_bytes_written(void)
{
    return sim.bytes;
}

static void files_free(void)
{
    for (size_t i = 0; i < sim.files.len; i++) {
        pending_clear(sim.files.items[i]);
        vec_free(&sim.files.items[i]->pending);
        mem_free(sim.files.items[i]->durable);
        mem_free(sim.files.items[i]);
    }
    vec_free(&sim.files);
    vec_free(&sim.names);
    vec_free(&sim.name_ops);
}

static void load_file(const char *path, const struct stat *st)
{
    struct sim_file *f = mem_zalloc(sizeof *f);
    f->ino = st->st_ino;
    f->durable_len = (uint64_t)st->st_size;
    f->durable = mem_alloc(1ull << (64 - __builtin_clzll(f->durable_len | 1)));
    int fd = open(path, O_RDONLY);
    for (uint64_t at = 0; at < f->durable_len;) {
        ssize_t n = pread(fd, f->durable + at, f->durable_len - at, (off_t)at);
        assert(n > 0);
        at += (uint64_t)n;
    }
    close(fd);
    vec_push(&sim.files, f);
    name_set(path, f);
}

static void load_directory(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char name[2 * PATH_LEN];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.' || lstat(name, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            load_directory(name);
        else if (S_ISREG(st.st_mode))
            load_file(name, &st);
    }
    if (d)
        closedir(d);
}

void disk_sim_start(const char *dir, uint64_t seed)
{
    memset(&sim, 0, sizeof sim);
    rng_seed(&sim.rng, seed);
    snprintf(sim.dir, sizeof sim.dir, "%s", dir);
    load_directory(dir);
    sim.on = true;
}

void disk_sim_stop(void)
{
    sim.on = false;
    files_free();
}

/* What of one unsynced write is there: all, nothing, or some sectors. */
static void write_survives(struct sim_file *f, const struct write_op *w)
{
    uint64_t how = rng_below(&sim.rng, 3);
    if (how == 0 || w->truncate)
        return;
    for (size_t at = 0; at < w->len;) {
        size_t to = MIN(w->len, (((w->offset + at) / SECTOR + 1) * SECTOR) - w->offset);
        if (how == 1 || rng_below(&sim.rng, 2))
            file_apply(&f->durable, &f->durable_len, w, at, to);
        at = to;
    }
}

static void directory_clear(const char *path)
{
    DIR *d = opendir(path);
    struct dirent *e;
    while (d && (e = readdir(d))) {
        char name[2 * PATH_LEN];
        struct stat st;
        snprintf(name, sizeof name, "%s/%s", path, e->d_name);
        if (e->d_name[0] == '.' || lstat(name, &st) < 0)
            continue;
        if (S_ISDIR(st.st_mode))
            directory_clear(name);
        else
            syscall(SYS_unlink, name);
    }
    if (d)
        closedir(d);
}

void disk_sim_reboot(void)
{
    assert(sim.on);
    sim.on = false;
    /* Names: of each directory a prefix of the unsynced changes. */
    while (sim.name_ops.len) {
        char dir[PATH_LEN];
        const struct name_op *first = &sim.name_ops.items[0];
        snprintf(dir, sizeof dir, "%s", first->from[0] ? first->from : first->to);
        *strrchr(dir, '/') = 0;
        bool stopped = false;
        for (size_t i = 0; i < sim.name_ops.len;) {
            if (!op_in_dir(&sim.name_ops.items[i], dir)) {
                i++;
                continue;
            }
            stopped = stopped || rng_below(&sim.rng, 2);
            if (!stopped)
                name_apply(&sim.name_ops.items[i]);
            vec_remove(&sim.name_ops, i);
        }
    }
    for (size_t i = 0; i < sim.files.len; i++) {
        struct sim_file *f = sim.files.items[i];
        for (size_t k = 0; k < f->pending.len; k++)
            write_survives(f, &f->pending.items[k]);
        pending_clear(f);
    }
    directory_clear(sim.dir);
    for (size_t i = 0; i < sim.names.len; i++) {
        struct durable_name *d = &sim.names.items[i];
        int fd = open(d->path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        struct stat st;
        if (fd < 0) { /* its directory's own name was lost; the file is unreachable */
            vec_remove(&sim.names, i);
            i--;
            continue;
        }
        for (uint64_t at = 0; at < d->file->durable_len;) {
            ssize_t n =
                real_pwrite(fd, d->file->durable + at, d->file->durable_len - at, (off_t)at);
            assert(n > 0);
            at += (uint64_t)n;
        }
        int rc = fstat(fd, &st);
        assert(rc == 0);
        (void)rc;
        d->file->ino = st.st_ino;
        close(fd);
    }
    /* Forget files without a name. */
    for (size_t i = 0; i < sim.files.len; i++) {
        bool named = false;
        for (size_t k = 0; k < sim.names.len && !named; k++)
            named = sim.names.items[k].file == sim.files.items[i];
        if (!named) {
            mem_free(sim.files.items[i]->durable);
            vec_free(&sim.files.items[i]->pending);
            mem_free(sim.files.items[i]);
            vec_remove(&sim.files, i);
            i--;
        }
    }
    sim.dead = false;
    sim.fail_at = 0;
    sim.on = true;
}

_Noreturn void disk_sim_reboot_and_exit(void)
{
    pthread_mutex_lock(&lock); /* for good */
    disk_sim_reboot();
    _exit(0);
}
