/*
 * A disk per member: what its processes see (the page cache), beside it what is on the medium for
 * certain and the writes since. A crash of the process leaves the page cache; a loss of power leaves, of
 * every unsynced write, any subset of its 512-byte sectors, and of the unsynced changes of a directory any
 * prefix. A sync that fails may have written anything, and nothing of it will be written later.
 */
#include "disk.h"
#include "faults.h"

#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SECTOR 512

/* ---- backings ---- */

static struct backing *idle_backings;

static struct backing *backing_take(void)
{
    struct backing *b = idle_backings;
    if (b) {
        idle_backings = b->next;
        return b;
    }
    b = mem_zalloc(sizeof *b);
    b->fd = memfd_create("c8s-sim", MFD_CLOEXEC);
    int rc = ftruncate(b->fd, MAP_BYTES);
    assert(b->fd >= 0 && rc == 0);
    (void)rc;
    b->bytes = mmap(NULL, MAP_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
    assert(b->bytes != MAP_FAILED);
    return b;
}

static void backing_give(struct backing *b)
{
    b->next = idle_backings;
    idle_backings = b;
}

/* ---- inodes ---- */

static struct inode *inode_new(struct disk *d, bool is_dir)
{
    struct inode *f = mem_zalloc(sizeof *f);
    f->disk = d;
    f->is_dir = is_dir;
    list_init(&f->link);
    list_push_back(&d->inodes, &f->link);
    return f;
}

static void pending_clear(struct inode *f)
{
    for (size_t i = 0; i < f->pending.len; i++)
        mem_free(f->pending.items[i].data);
    vec_clear(&f->pending);
}

static void inode_free(struct inode *f)
{
    list_remove(&f->link);
    f->disk->used -= f->len;
    pending_clear(f);
    vec_free(&f->pending);
    if (f->backing)
        backing_give(f->backing);
    else
        mem_free(f->data);
    mem_free(f->durable);
    vec_free(&f->live);
    vec_free(&f->kept);
    vec_free(&f->ops);
    mem_free(f);
}

static void grow(char **data, uint64_t *cap, uint64_t want)
{
    if (want <= *cap)
        return;
    uint64_t now = MAX(*cap, 4096u);
    while (now < want)
        now *= 2;
    *data = mem_realloc(*data, now);
    *cap = now;
}

static void set_len(char **data, uint64_t *len, uint64_t *cap, uint64_t size)
{
    grow(data, cap, size);
    if (size > *len)
        memset(*data + *len, 0, size - *len);
    *len = size;
}

static void live_set_len(struct inode *f, uint64_t size)
{
    if (f->backing && size > f->cap)
        broken("member %u: data.mdb outgrows the simulator's map", f->disk->member->number);
    f->disk->used += size - f->len;
    set_len(&f->data, &f->len, &f->cap, size);
}

static void remember(struct inode *f, uint64_t at, const void *p, size_t n)
{
    if (W.power_losses)
        vec_push(&f->pending, ((struct disk_write){at, n, p ? mem_dup(p, n) : NULL}));
}

void inode_write(struct inode *f, const void *p, size_t n, uint64_t at)
{
    if (at + n > f->len)
        live_set_len(f, at + n);
    memcpy(f->data + at, p, n);
    remember(f, at, p, n);
}

void inode_resize(struct inode *f, uint64_t size)
{
    if (size == f->len)
        return;
    live_set_len(f, size);
    remember(f, size, NULL, 0);
}

static void durable_write(struct inode *f, const struct disk_write *w, size_t from, size_t to)
{
    if (w->at + to > f->durable_len)
        set_len(&f->durable, &f->durable_len, &f->durable_cap, w->at + to);
    memcpy(f->durable + w->at + from, w->data + from, to - from);
}

static void durable_all(struct inode *f, const struct disk_write *w)
{
    if (w->data)
        durable_write(f, w, 0, w->len);
    else
        set_len(&f->durable, &f->durable_len, &f->durable_cap, w->at);
}

/* Of an unsynced write everything, nothing, or some sectors. */
static void durable_some(struct inode *f, const struct disk_write *w)
{
    uint64_t how = chance_below(3);
    if (how == 0)
        return;
    if (how == 1 || !w->data) {
        durable_all(f, w);
        return;
    }
    for (size_t at = 0; at < w->len;) {
        size_t to = MIN(w->len, ((w->at + at) / SECTOR + 1) * SECTOR - w->at);
        if (chance(500))
            durable_write(f, w, at, to);
        at = to;
    }
}

/* ---- names ---- */

static struct name *name_find(names *n, const char *name)
{
    for (size_t i = 0; i < n->len; i++)
        if (strcmp(n->items[i].name, name) == 0)
            return &n->items[i];
    return NULL;
}

static void names_apply(names *n, const struct name_op *op)
{
    struct name *old = op->from[0] ? name_find(n, op->from) : NULL;
    if (old)
        vec_remove(n, (size_t)(old - n->items));
    if (!op->to[0])
        return;
    old = name_find(n, op->to);
    if (old) {
        old->inode = op->inode;
        return;
    }
    struct name fresh = {.inode = op->inode};
    memcpy(fresh.name, op->to, sizeof fresh.name);
    vec_push(n, fresh);
}

static void change_names(struct inode *dir, const char *from, const char *to, struct inode *f)
{
    struct name_op op = {.inode = f};
    assert(strlen(from) < NAME_MAX_LEN && strlen(to) < NAME_MAX_LEN);
    strcpy(op.from, from);
    strcpy(op.to, to);
    names_apply(&dir->live, &op);
    vec_push(&dir->ops, op);
}

struct inode *disk_create(struct inode *dir, const char *name, bool is_dir)
{
    struct inode *f = inode_new(dir->disk, is_dir);
    f->journal = dir->journal || strcmp(name, "journal") == 0;
    if (!is_dir && strcmp(name, "data.mdb") == 0) {
        f->backing = backing_take();
        f->data = f->backing->bytes;
        f->cap = MAP_BYTES;
    }
    change_names(dir, "", name, f);
    return f;
}

void disk_rename(struct inode *dir, const char *from, const char *to)
{
    struct name *n = name_find(&dir->live, from);
    assert(n);
    change_names(dir, from, to, n->inode);
}

void disk_unlink(struct inode *dir, const char *name)
{
    change_names(dir, name, "", NULL);
}

struct inode *disk_find(const char *path, struct inode **parent, const char **last)
{
    unsigned number = 0;
    int used = 0;
    if (parent)
        *parent = NULL;
    if (sscanf(path, DISK_ROOT "m%u%n", &number, &used) != 1 || number < 1 ||
        number > W.members_len)
        broken("path outside of the simulated disks: %s", path);
    struct inode *at = W.members[number - 1].disk->root;
    const char *p = path + used;
    while (*p == '/' && p[1]) {
        const char *end = strchrnul(p + 1, '/');
        char name[NAME_MAX_LEN];
        snprintf(name, sizeof name, "%.*s", (int)(end - p - 1), p + 1);
        if (parent && !*end) {
            *parent = at;
            *last = p + 1;
        }
        struct name *n = at->is_dir ? name_find(&at->live, name) : NULL;
        if (!n)
            return NULL;
        at = n->inode;
        p = end;
    }
    return at;
}

/* ---- garbage: inodes without a name, a name to come back, or a process that has them open ---- */

static void mark_names(names *n);

static void mark(struct inode *f)
{
    if (!f || f->marked)
        return;
    f->marked = true;
    mark_names(&f->live);
    mark_names(&f->kept);
    for (size_t i = 0; i < f->ops.len; i++)
        mark(f->ops.items[i].inode);
}

static void mark_names(names *n)
{
    for (size_t i = 0; i < n->len; i++)
        mark(n->items[i].inode);
}

static void collect(struct disk *d)
{
    mark(d->root);
    list_for_each_safe (it, &d->inodes) {
        struct inode *f = list_entry(it, struct inode, link);
        if (!f->marked && !f->opens)
            inode_free(f);
        else
            f->marked = false;
    }
}

/* ---- syncing ---- */

static void dir_sync(struct inode *dir)
{
    for (size_t i = 0; i < dir->ops.len; i++)
        names_apply(&dir->kept, &dir->ops.items[i]);
    vec_clear(&dir->ops);
}

/* A planted fault: this file's flush is a lie. */
static bool sync_lies(const struct inode *f)
{
    return f->is_dir    ? faulty(W.faults, FAULT_DIRECTORY_UNSYNCED)
           : f->journal ? faulty(W.faults, FAULT_JOURNAL_UNFLUSHED)
           : f->backing ? faulty(W.faults, FAULT_CHECKPOINT_UNFLUSHED)
                        : false;
}

int inode_sync(struct inode *f)
{
    struct disk *d = f->disk;
    if (sync_lies(f))
        return 0;
    int error = disk_step(d);
    if (error && faulty(W.faults, FAULT_ERROR_SWALLOWED)) {
        pending_clear(f);
        return 0;
    }
    if (error) {
        for (size_t i = 0; i < f->pending.len; i++)
            durable_some(f, &f->pending.items[i]);
        pending_clear(f); /* Linux takes the pages for clean now */
        return error;
    }
    size_t n = f->pending.len;
    if (!W.calm && fiber_current())
        fiber_wait_for(20 + chance_below(W.weather.flush_us));
    error = disk_step(d);
    if (error && faulty(W.faults, FAULT_ERROR_SWALLOWED)) {
        pending_clear(f);
        return 0;
    }
    if (error)
        return error;
    if (f->is_dir) {
        dir_sync(f); /* what came meanwhile as well */
        return 0;
    }
    n = MIN(n, f->pending.len); /* what was written meanwhile is not covered */
    for (size_t i = 0; i < n; i++) {
        durable_all(f, &f->pending.items[i]);
        mem_free(f->pending.items[i].data);
    }
    if (f->pending.len > n)
        memmove(f->pending.items, f->pending.items + n,
                (f->pending.len - n) * sizeof *f->pending.items);
    f->pending.len -= n;
    return 0;
}

uint64_t disk_free_bytes(const struct disk *d)
{
    uint64_t taken = d->used + d->foreign;
    return taken < DISK_BYTES ? DISK_BYTES - taken : 0;
}

void disk_fill(struct disk *d, uint64_t leave)
{
    d->foreign = d->used + leave < DISK_BYTES ? DISK_BYTES - d->used - leave : 0;
}

void disk_unfill(struct disk *d)
{
    d->foreign = 0;
}

int inode_room(const struct inode *f, uint64_t size)
{
    struct disk *d = f->disk;
    if (size <= f->len || size - f->len <= disk_free_bytes(d))
        return 0;
    if (!d->member->disk_failed)
        W.full++;
    d->member->disk_failed = true;
    trace("member %u: the disk is full", d->member->number);
    return ENOSPC;
}

int disk_step(struct disk *d)
{
    d->calls++;
    if (d->crash_at && d->calls >= d->crash_at && fiber_current()) {
        d->crash_at = 0;
        trace("member %u: dies at a write or sync", d->member->number);
        d->member->how = d->how;
        fiber_die();
    }
    if (d->fail_at && d->calls >= d->fail_at) {
        d->fail_at = 0;
        /* Killed in the very instant before it can note the failure, and a power loss later: docs/testing.md
         * says that this is outside of the fault model. */
        d->crash_at = 0;
        d->failing_until = now_us() + chance_below(500 * MS);
        W.disk_errors++;
        d->member->disk_failed = true;
        trace("member %u: a write or sync fails: %s", d->member->number, strerror(d->fail_errno));
        return d->fail_errno;
    }
    return d->failing_until > now_us() ? d->fail_errno : 0;
}

/* ---- life and death ---- */

struct disk *disk_new(struct member *m)
{
    struct disk *d = mem_zalloc(sizeof *d);
    d->member = m;
    list_init(&d->inodes);
    d->root = inode_new(d, true);
    return d;
}

void disk_free(struct disk *d)
{
    if (!d)
        return;
    list_for_each_safe (it, &d->inodes)
        inode_free(list_entry(it, struct inode, link));
    mem_free(d);
}

void disk_process_died(struct disk *d)
{
    d->crash_at = d->fail_at = 0;
    d->failing_until = 0;
    list_for_each (it, &d->inodes)
        list_entry(it, struct inode, link)->opens = 0;
    collect(d);
}

void disk_power_lost(struct disk *d)
{
    assert(W.power_losses);
    list_for_each (it, &d->inodes) {
        struct inode *f = list_entry(it, struct inode, link);
        if (f->is_dir) {
            size_t keep = chance_below(f->ops.len + 1);
            for (size_t i = 0; i < keep; i++)
                names_apply(&f->kept, &f->ops.items[i]);
            vec_clear(&f->ops);
            vec_clear(&f->live);
            for (size_t i = 0; i < f->kept.len; i++)
                vec_push(&f->live, f->kept.items[i]);
            continue;
        }
        for (size_t i = 0; i < f->pending.len; i++)
            durable_some(f, &f->pending.items[i]);
        pending_clear(f);
        f->disk->used -= f->len;
        f->len = 0;
        live_set_len(f, f->durable_len);
        if (f->durable_len)
            memcpy(f->data, f->durable, f->durable_len);
    }
    collect(d);
}

void disk_crash_in(struct disk *d, uint64_t n, enum death how)
{
    d->crash_at = d->calls + n;
    d->how = how;
}

void disk_fail_in(struct disk *d, uint64_t n, int error)
{
    d->fail_at = d->calls + n;
    d->fail_errno = error;
}

void disk_process_is_well(struct disk *d)
{
    d->crash_at = d->fail_at = 0;
    d->failing_until = 0;
    d->foreign = 0;
}

uint64_t disk_calls(const struct disk *d)
{
    return d->calls;
}

static void dump_dir(const struct inode *dir, int depth)
{
    for (size_t i = 0; i < dir->live.len; i++) {
        const struct inode *f = dir->live.items[i].inode;
        uint64_t pin[3] = {0};
        if (f->len >= 24 && !f->is_dir)
            memcpy(pin, f->data, 24);
        trace("%*s%s %s%llu bytes, %zu unsynced; kept %zu %llx %llu %llu", 4 * depth, "",
              dir->live.items[i].name, f->is_dir ? "directory, " : "", (unsigned long long)f->len,
              f->is_dir ? f->ops.len : f->pending.len, f->kept.len, (unsigned long long)pin[0],
              (unsigned long long)pin[1], (unsigned long long)pin[2]);
        if (f->is_dir)
            dump_dir(f, depth + 1);
    }
}

void disk_dump(const struct disk *d)
{
    trace("disk of member %u:", d->member->number);
    dump_dir(d->root, 1);
}
