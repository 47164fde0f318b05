/*
 * The seam to the outside world: clock, random numbers and files, so that the journal and the step
 * functions of apply and leases run under the simulator unchanged. Production uses host_posix().
 *
 * Functions return 0 or more on success and -errno on failure, as the system calls do. All may be
 * called from any thread; one file is used by one thread at a time, except that host_pread may run
 * beside writes.
 */
#ifndef C8S_RAFT_HOST_H
#define C8S_RAFT_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct host;
struct host_file; /* an open file; defined by the implementation */

enum host_open_flags {
    HOST_OPEN_CREATE = 1,    /* create when absent, mode 0600 */
    HOST_OPEN_EXCLUSIVE = 2, /* with CREATE: fail with -EEXIST when present */
    HOST_OPEN_TRUNCATE = 4,
    HOST_OPEN_READ_ONLY = 8,
};

struct host_ops {
    uint64_t (*mono_ns)(struct host *h);
    int64_t (*wall_ns)(struct host *h);
    uint64_t (*random)(struct host *h);

    int (*open)(struct host *h, const char *path, int flags, struct host_file **out);
    void (*close)(struct host_file *f);
    /* Bytes read; fewer than n only at the end of the file. Interrupted and short calls are repeated. */
    ssize_t (*pread)(struct host_file *f, void *p, size_t n, uint64_t offset);
    /* 0 when all n bytes are written; a partial write is an error (-EIO or the cause). */
    int (*pwrite)(struct host_file *f, const void *p, size_t n, uint64_t offset);
    /* Data and the size are durable afterwards. After a failure nothing is known; do not retry. */
    int (*fdatasync)(struct host_file *f);
    int (*truncate)(struct host_file *f, uint64_t size);
    /* Blocks for [0, size) are allocated and read as zeros where not written; size grows to it. */
    int (*allocate)(struct host_file *f, uint64_t size);
    int (*size)(struct host_file *f, uint64_t *size);

    int (*rename)(struct host *h, const char *from,
                  const char *to); /* atomic; durable after sync_dir */
    int (*unlink)(struct host *h, const char *path);
    int (*mkdir)(struct host *h, const char *path); /* 0 also when it is there */
    int (*sync_dir)(struct host *h, const char *path);
    /* Calls fn for each name but . and .. in unspecified order; stops and returns fn's value if ≠ 0. */
    int (*list_dir)(struct host *h, const char *path, int (*fn)(void *ctx, const char *name),
                    void *ctx);
};

struct host {
    const struct host_ops *ops;
};

/* The real thing: CLOCK_MONOTONIC, getrandom, POSIX files. One shared immutable object. */
struct host *host_posix(void);

static inline uint64_t host_mono_ns(struct host *h)
{
    return h->ops->mono_ns(h);
}
static inline int64_t host_wall_ns(struct host *h)
{
    return h->ops->wall_ns(h);
}
static inline uint64_t host_random(struct host *h)
{
    return h->ops->random(h);
}

#endif
