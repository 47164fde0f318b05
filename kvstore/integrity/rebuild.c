/*
 * Rebuilding a member whose state is damaged, before it serves anything; faults inside LMDB's map
 * (kvstore/kv_integrity.h).
 */
#include "kvstore/integrity/integrity.h"
#include "kvstore/snapshot.h"
#include "kvstore/store.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mem.h"
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPT_PAUSE_MS 500

/* A signal that ends the process is blocked while the program starts: see to it here. */
static bool asked_to_end(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* Ask each of the others once. */
static int pull_from_anybody(struct kv *kv, const struct kv_member *members, size_t n,
                             struct error *err)
{
    struct logdb_info info;
    int rc = error_set(err, ERR_UNAVAILABLE, "there is no other member");
    logdb_info(kv->db, &info);
    for (size_t i = 0; i < n; i++) {
        struct raft_snapshot_writer *w;
        if (members[i].id == kv->member_id || members[i].peer_urls_len == 0)
            continue;
        rc = driver_pull(kv, members[i].id, members[i].peer_urls[0], info.base_index, &w, err);
        if (rc == 0)
            return snapshot_writer_replace_state(w, err);
        log_info("store", "no snapshot from this member peer=%" PRIx64 " reason=\"%s\"",
                 members[i].id, err->message);
    }
    return rc;
}

static int rebuild(struct kv *kv, struct error *err)
{
    struct arena a;
    struct kv_member *members;
    size_t n;
    arena_init(&a);
    int rc = members_stored(kv, &a, &members, &n, err);
    if (rc == 0 && n < 2)
        rc = error_set(err, ERR_CORRUPT,
                       "the state is damaged and no other member has it: restore "
                       "this member from a backup (snapshot restore)");
    while (rc == 0) {
        rc = pull_from_anybody(kv, members, n, err);
        if (rc == 0 || rc == ERR_CORRUPT || rc == ERR_IO || rc == ERR_INVALID)
            break;
        if (asked_to_end()) {
            rc = error_set(err, ERR_CANCELLED, "asked to end while waiting for another member");
            break;
        }
        struct timespec pause = {0, ATTEMPT_PAUSE_MS * (long)NS_PER_MS};
        nanosleep(&pause, NULL);
        rc = 0;
    }
    arena_free(&a);
    return rc;
}

int integrity_rebuild(struct kv *kv, bool *done, struct error *err)
{
    struct buf why;
    *done = false;
    buf_init(&why);
    int rc = logdb_marked(kv->db, INTEGRITY_DAMAGED, &why, err);
    if (rc == ERR_NOT_FOUND) {
        rc = logdb_marked(kv->db, INTEGRITY_REBUILT, &why, err);
        buf_free(&why);
        atomic_store(&kv->rebuilt, rc == 0);
        return rc == ERR_NOT_FOUND ? 0 : rc;
    }
    if (rc == 0) {
        uint64_t began = clock_mono_ns();
        log_warn("store", "rebuilding the state from another member damage=\"%.*s\"",
                 STR_ARG(buf_str(&why)));
        rc = rebuild(kv, err);
        if (rc == ERR_CORRUPT)
            error_wrap(err, "the state is damaged (%.*s) and cannot be rebuilt" INTEGRITY_ADVICE,
                       STR_ARG(buf_str(&why)));
        CRASH_POINT(rebuild_installed);
        if (rc == 0)
            rc = logdb_mark(kv->db, INTEGRITY_REBUILT, buf_str(&why), err);
        CRASH_POINT(rebuild_marked);
        if (rc == 0)
            rc = logdb_unmark(kv->db, INTEGRITY_DAMAGED, err);
        if (rc == 0) {
            struct logdb_info info;
            logdb_info(kv->db, &info);
            log_info("store", "rebuilt applied=%" PRIu64 " last=%" PRIu64 " ms=%" PRIu64,
                     info.applied, info.last_index,
                     (uint64_t)((clock_mono_ns() - began) / NS_PER_MS));
            atomic_store(&kv->rebuilt, true);
            *done = true;
        }
    }
    buf_free(&why);
    return rc;
}

/* ---- faults ---- */

static struct {
    struct kv *kv;
    void (*then)(void);
    char path[512]; /* of the mark */
    struct sigaction before[2];
} faults;

static const int fault_signals[2] = {SIGSEGV, SIGBUS};

static void on_fault(int number, siginfo_t *info, void *context)
{
    static const char text[] = "a fault inside the database's map";
    struct kv *kv = faults.kv;
    if (kv && logdb_in_map(kv->db, info->si_addr)) {
        int fd = open(faults.path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd >= 0) {
            if (write(fd, text, sizeof text - 1) > 0)
                fsync(fd);
            close(fd);
        }
        faults.then();
        _exit(1);
    }
    /* Not ours: as if this handler had never been. */
    sigaction(number, &faults.before[number == SIGBUS], NULL);
    (void)context;
}

void kv_catch_faults(struct kv *kv, void (*then)(void))
{
    struct sigaction sa = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    snprintf(faults.path, sizeof faults.path, "%s/" INTEGRITY_DAMAGED, kv->o.data_dir);
    faults.kv = kv;
    faults.then = then;
    sigemptyset(&sa.sa_mask);
    for (int i = 0; i < 2; i++)
        sigaction(fault_signals[i], &sa, &faults.before[i]);
}
