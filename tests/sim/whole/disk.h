/*
 * The simulated disks' insides, shared by disk.c (files, names, power loss), disk_host.c (struct host) and
 * disk_calls.c (system calls, LMDB's included).
 */
#ifndef C8S_TESTS_SIM_WHOLE_DISK_H
#define C8S_TESTS_SIM_WHOLE_DISK_H

#include "whole.h"

#define DISK_ROOT "/sim/" /* paths are /sim/m<number>/… */
#define NAME_MAX_LEN 48
#define MAP_BYTES (16u << 20) /* LMDB's map, and the file behind it */

#define DISK_BYTES (256ull << 20) /* defragmentation begins with 64 MiB to spare */

struct disk_write {
    uint64_t at;
    size_t len;
    char *data; /* NULL: the file was cut or grown to `at` */
};

/* A file in memory that LMDB can map: kept for the seeds to come. */
struct backing {
    struct backing *next;
    int fd;
    char *bytes;
};

struct name {
    char name[NAME_MAX_LEN];
    struct inode *inode;
};

struct name_op {             /* a change of a directory */
    char from[NAME_MAX_LEN]; /* removed; empty: nothing */
    char to[NAME_MAX_LEN];   /* added or replaced; empty: nothing */
    struct inode *inode;
};

typedef VEC(struct name) names;

struct inode {
    struct list link; /* disk->inodes */
    struct disk *disk;
    bool is_dir, marked;
    bool journal; /* the directory of that name, and what is in it */
    uint32_t opens;
    /* a file: what processes see */
    char *data;
    uint64_t len, cap;
    struct backing *backing; /* data lies there */
    /* and what the disk has for certain, and the writes since */
    char *durable;
    uint64_t durable_len, durable_cap;
    VEC(struct disk_write) pending;
    /* a directory */
    names live, kept;
    VEC(struct name_op) ops;
};

struct disk {
    struct member *member;
    struct list inodes;
    struct inode *root;
    uint64_t calls;
    uint64_t crash_at, fail_at;
    enum death how;
    int fail_errno;
    uint64_t failing_until; /* fails whatever writes, for some time */
    uint64_t used;          /* by the files */
    uint64_t foreign;       /* by somebody else's */
};

/* Resolve; NULL and errno value in *error. With `parent`: of the last component, which need not be there. */
struct inode *disk_find(const char *path, struct inode **parent, const char **last);
struct inode *disk_create(struct inode *dir, const char *name, bool is_dir);
void disk_rename(struct inode *dir, const char *from, const char *to);
void disk_unlink(struct inode *dir, const char *name);

uint64_t disk_free_bytes(const struct disk *d);
/* 0, or ENOSPC: the file cannot grow to `size`. */
int inode_room(const struct inode *f, uint64_t size);
/* Before each write, sync and change of a name: counts, crashes, fails. 0 or an errno. */
int disk_step(struct disk *d);
void inode_write(struct inode *f, const void *p, size_t n, uint64_t at);
void inode_resize(struct inode *f, uint64_t size);
/* Takes its time; 0 or an errno. */
int inode_sync(struct inode *f);

#endif
