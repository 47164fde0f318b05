/*
 * A disk that fills up (also LMDB's map, whose size is fixed while open).
 *
 *     free space   the file system has left for us, looked at every 50 ms
 *     reserve      a preallocated file in the data directory, R bytes: 64 MiB, less on a small disk
 *
 *     free < R        puts and grants are refused before they are proposed, and the alarm NOSPACE goes up
 *                     (kvstore/quota.h), which makes the other members refuse them, too: what they
 *                     propose is written here as well
 *     free < R / 2    the reserve is given back to the disk: deleting, compacting and what is on its way
 *                     need pages and journal, too
 *     free ≥ 2 R      puts are taken again, once the alarm is cleared
 *     free ≥ 4 R      the reserve is made again
 *
 * Should a write fail with ENOSPC all the same, the member stops as after any failed write, before it has
 * acknowledged anything; the next start finds little space, gives the reserve back first, and so has room
 * to recover.
 */
#ifndef C8S_KVSTORE_DISK_SPACE_H
#define C8S_KVSTORE_DISK_SPACE_H

#include "kvstore/kv.h"
#include <stdatomic.h>

struct logdb_info;

struct disk_space {
    uint64_t reserve;     /* R */
    bool reserve_there;   /* house thread */
    atomic_bool full;     /* growing is refused */
    atomic_bool map_full; /* … because of the map */
};

/* In kv_open, before anything is written: gives the reserve back if little is left. */
int disk_space_open(struct kv *kv, struct error *err);
/* House thread, often. */
void disk_space_step(struct kv *kv);
/* House thread, with each measurement of the database. */
void disk_space_map(struct kv *kv, const struct logdb_info *info);
/* Is there room for what makes the state grow? Any thread. */
static inline bool disk_space_left(const struct disk_space *d)
{
    return !atomic_load_explicit(&d->full, memory_order_relaxed) &&
           !atomic_load_explicit(&d->map_full, memory_order_relaxed);
}

#endif
