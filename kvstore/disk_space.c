/*
 * Watching the free space, and the reserve (kvstore/disk_space.h).
 */
#include "kvstore/disk_space.h"
#include "kvstore/store.h"
#include "base/log.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define RESERVE_SHARE 16 /* at most one part in so many of the file system */

static void reserve_path(const struct kv *kv, char out[1024])
{
    snprintf(out, 1024, "%s/reserve", kv->o.data_dir);
}

/* False: not to be known, and then nothing is refused. */
static bool space(const struct kv *kv, uint64_t *free_bytes, uint64_t *total)
{
    struct statvfs st;
    if (statvfs(kv->o.data_dir, &st) < 0)
        return false;
    *free_bytes = (uint64_t)st.f_bavail * st.f_frsize;
    *total = (uint64_t)st.f_blocks * st.f_frsize;
    return true;
}

static void reserve_release(struct kv *kv, uint64_t free_bytes)
{
    char path[1024];
    reserve_path(kv, path);
    kv->disk.reserve_there = false;
    if (unlink(path) < 0 && errno != ENOENT)
        log_error("store", "the reserve cannot be given back path=%s error=\"%s\"", path,
                  strerror(errno));
    else
        log_warn(
            "store",
            "the disk is nearly full: the reserve is given back so that keys can be deleted and "
            "history compacted. free=%" PRIu64 " reserve=%" PRIu64 " dir=%s",
            free_bytes, kv->disk.reserve, kv->o.data_dir);
}

/* Whole or not at all. */
static void reserve_make(struct kv *kv)
{
    char path[1024];
    reserve_path(kv, path);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int rc = fd < 0 ? errno : posix_fallocate(fd, 0, (off_t)kv->disk.reserve);
    if (rc == 0 && ftruncate(fd, (off_t)kv->disk.reserve) < 0)
        rc = errno;
    if (fd >= 0)
        close(fd);
    kv->disk.reserve_there = rc == 0;
    if (rc) {
        unlink(path);
        log_warn("store", "no reserve can be made path=%s error=\"%s\"", path, strerror(rc));
    }
}

int disk_space_open(struct kv *kv, struct error *err)
{
    struct disk_space *d = &kv->disk;
    char path[1024];
    struct stat st;
    uint64_t free_bytes, total;
    if (mkdir(kv->o.data_dir, 0700) < 0 && errno != EEXIST)
        return error_errno(err, ERR_IO, errno, "create data directory %s", kv->o.data_dir);
    d->reserve = kv->o.disk_reserve_bytes;
    if (!space(kv, &free_bytes, &total))
        return 0;
    d->reserve = MIN(d->reserve, total / RESERVE_SHARE) & ~4095ull;
    reserve_path(kv, path);
    d->reserve_there = stat(path, &st) == 0;
    if (d->reserve_there && free_bytes < d->reserve / 2)
        reserve_release(kv, free_bytes);
    return 0;
}

void disk_space_step(struct kv *kv)
{
    struct disk_space *d = &kv->disk;
    uint64_t free_bytes, total;
    if (!d->reserve || !space(kv, &free_bytes, &total))
        return;
    if (free_bytes < d->reserve && !atomic_exchange(&d->full, true)) {
        log_error(
            "store",
            "the disk is full: what makes the state grow is refused. Make room, or delete keys, "
            "compact and defragment; then clear the alarm (alarm disarm). free=%" PRIu64 " dir=%s",
            free_bytes, kv->o.data_dir);
        atomic_store(&kv->quota.exceeded, true);
    }
    if (free_bytes < d->reserve / 2 && d->reserve_there) {
        reserve_release(kv, free_bytes);
        return;
    }
    if (free_bytes >= 2 * d->reserve && atomic_exchange(&d->full, false))
        log_info("store", "the disk has room again free=%" PRIu64, free_bytes);
    if (free_bytes >= 4 * d->reserve && !d->reserve_there)
        reserve_make(kv);
}

/* Pages that a reader or the last checkpoint still holds cannot be used again at once: refuse well before
 * a transaction would find no page (MDB_MAP_FULL stops the member). */
void disk_space_map(struct kv *kv, const struct logdb_info *info)
{
    bool full = info->in_use_bytes > kv->o.map_bytes / 4 * 3;
    if (full == atomic_exchange(&kv->disk.map_full, full))
        return;
    if (!full) {
        log_info("store", "the map has room again in_use=%" PRIu64, info->in_use_bytes);
        return;
    }
    log_error("store",
              "the map is nearly full: what makes the state grow is refused. in_use=%" PRIu64
              " map=%" PRIu64,
              info->in_use_bytes, kv->o.map_bytes);
    atomic_store(&kv->quota.exceeded, true);
}
