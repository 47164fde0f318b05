/*
 * Work beside the requests: leases (lease_call.c), time limits of waiters,
 * compaction in slices, measuring, progress notices, announcing this member; and, on a thread of its own, the
 * checkpoints.
 */
#include "kvstore/store.h"
#include "kvstore/auto_compact.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define HOUSE_MS 50
#define CHECKPOINT_LAZY 5                    /* times checkpoint_ms while little is written: */
#define CHECKPOINT_LITTLE_BYTES (256u << 10) /* less than this of journal */
#define CHECKPOINT_GROWTH_BYTES (4u << 20)   /* and of growth */
#define QUOTA_NS (250 * NS_PER_MS)
#define COMPACT_SLICE_NS (4 * NS_PER_MS)
#define COMPACT_PAUSE_NS (1 * NS_PER_MS)

void kv_fail_stop(struct kv *kv, const struct error *why)
{
    if (atomic_exchange(&kv->failed, true)) {
        while (
            !atomic_load(&kv->fail_told)) /* the first to fail ends the process, in its own way */
            usleep(1000);
        return;
    }
    log_error("store", "stopping after a failure error=\"%s\"", why->message);
    if (kv->o.fail_stop) {
        kv->o.fail_stop(kv->o.fail_stop_ctx, why);
        atomic_store(&kv->fail_told, true);
        return;
    }
    abort();
}

static void timed_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += (uint64_t)t.tv_nsec;
    t.tv_sec += (time_t)(ns / NS_PER_S);
    t.tv_nsec = (long)(ns % NS_PER_S);
    pthread_cond_timedwait(cond, lock, &t);
}

void house_wake(struct kv *kv)
{
    pthread_mutex_lock(&kv->house_lock);
    pthread_cond_signal(&kv->house_wake);
    pthread_mutex_unlock(&kv->house_lock);
}

/* ---- compaction ---- */

void compaction_wait(struct kv *kv, struct waiter *w)
{
    pthread_mutex_lock(&kv->house_lock);
    vec_push(&kv->compact_waiters, w);
    pthread_cond_signal(&kv->house_wake);
    pthread_mutex_unlock(&kv->house_lock);
}

/* Tell those who wait for a physical compaction up to `done`. */
static void compaction_done(struct kv *kv, int64_t done, int code)
{
    pthread_mutex_lock(&kv->house_lock);
    for (size_t i = 0; i < kv->compact_waiters.len;) {
        struct waiter *w = kv->compact_waiters.items[i];
        if (code == 0 && w->rev > done) {
            i++;
            continue;
        }
        vec_remove(&kv->compact_waiters, i);
        waiter_end(w, code, kv_current_revision(kv));
    }
    pthread_mutex_unlock(&kv->house_lock);
}

/* What of `compacted` has been worked on: all that could be of `tried`, all there is of `done`. */
struct compaction_state {
    int64_t tried, done;
};

/* house_lock held. */
static bool compaction_wanted(struct kv *kv, const struct compaction_state *c)
{
    int64_t compacted = kv_compacted_revision(kv);
    if (c->tried == compacted && pins_hold_compaction(kv))
        return false; /* until a pin goes */
    return c->done != compacted || kv->compact_waiters.len > 0;
}

/* One slice, up to `target`. True when there is more to do now. */
static bool compaction_step(struct kv *kv, int64_t target, struct error *err)
{
    struct mvcc_compaction c;
    struct logdb_txn txn;
    bool finished = false;
    int rc = logdb_begin(kv->db, &txn, err);
    if (rc == 0) {
        rc = mvcc_compaction_load(kv->db, txn.mdb, &c, err);
        if (rc == 0 && mvcc_compaction_past(&c, c.target)) /* one target after the other */
            c.target = MAX(c.target, target);
        bool due = rc == 0 && !mvcc_compaction_past(&c, c.target);
        if (due)
            rc = mvcc_compact_slice(kv->db, &kv->trees, txn.mdb, &c, integrity_ahead(kv),
                                    clock_mono_ns() + COMPACT_SLICE_NS, &finished, err);
        if (due)
            CRASH_POINT(compaction_before);
        if (rc == 0 && due)
            rc = logdb_commit(&txn, err);
        else
            logdb_abort(&txn);
        if (due)
            CRASH_POINT(compaction_after);
        if (rc == 0 && (finished || !due)) {
            compaction_done(kv, c.done.rev, 0);
            return c.target < target;
        }
    }
    if (rc == ERR_CORRUPT)
        kv_damaged(kv, err);
    else if (rc < 0)
        kv_fail_stop(kv, err);
    return rc == 0;
}

static void compaction_run(struct kv *kv, struct compaction_state *c)
{
    struct error err;
    pthread_mutex_lock(&kv->house_lock);
    bool wanted = compaction_wanted(kv, c);
    pthread_mutex_unlock(&kv->house_lock);
    if (!wanted || atomic_load(&kv->failed))
        return;
    int64_t compacted = kv_compacted_revision(kv), limit = pin_limit(kv, compacted);
    if (!compaction_step(kv, limit, &err)) {
        c->tried = compacted;
        c->done = limit;
    }
    /* Between two slices whoever applies goes first. */
    struct timespec pause = {0, COMPACT_PAUSE_NS};
    nanosleep(&pause, NULL);
    for (int i = 0; i < 20 && atomic_load(&kv->apply_busy); i++)
        nanosleep(&pause, NULL);
}

/* ---- announcing ---- */

static void announced(void *ctx, int code, int64_t rev)
{
    struct kv *kv = ctx;
    (void)rev;
    pthread_mutex_lock(&kv->house_lock);
    kv->member_seq = code ? 0 : 2;
    pthread_mutex_unlock(&kv->house_lock);
}

/* Once there is a leader, tell all members this one's name and client URLs. */
static void announce_step(struct kv *kv)
{
    struct raft_node_status st;
    pthread_mutex_lock(&kv->house_lock);
    bool todo = kv->member_seq == 0;
    if (todo)
        kv->member_seq = 1;
    pthread_mutex_unlock(&kv->house_lock);
    if (!todo)
        return;
    driver_status(kv->driver, &st);
    if (!st.leader) {
        announced(kv, ERR_UNAVAILABLE, 0);
        return;
    }
    struct pending *p = mem_zalloc(sizeof *p);
    p->kv = kv;
    p->kind = PROPOSAL_MEMBER;
    p->rev_cb = announced;
    p->ctx = kv;
    struct proposal q = {.kind = PROPOSAL_MEMBER,
                         .member = {.id = kv->member_id,
                                    .name = kv->o.name,
                                    .client_urls = (struct str *)kv->o.client_urls,
                                    .client_urls_len = kv->o.client_urls_len}};
    pending_propose(p, &q);
}

/* ---- threads ---- */

static void *house_main(void *arg)
{
    struct kv *kv = arg;
    struct compaction_state compaction = {-1, -1};
    uint64_t last = 0, quota = 0, progress = clock_mono_ns();
    struct logdb_info info;
    while (!atomic_load(&kv->stopping)) {
        uint64_t now = clock_mono_ns();
        if (now - last >= HOUSE_MS * NS_PER_MS) {
            last = now;
            waiters_expire(kv, now);
            disk_space_step(kv);
            if (!atomic_load(&kv->failed)) {
                leases_step(kv, now);
                announce_step(kv);
                members_step(kv, now);
                auto_compact_step(kv->auto_compact, now);
            }
        }
        if ((now - quota >= QUOTA_NS || atomic_load(&kv->quota.exceeded)) &&
            !atomic_load(&kv->failed)) {
            quota = now;
            logdb_sizes(kv->db, &info);
            kv_metrics_step(kv, &info);
            disk_space_map(kv, &info);
            quota_step(kv, &info);
        }
        if (now - progress >= kv->o.watch_progress_ms * NS_PER_MS) {
            progress = now;
            watch_hub_progress(kv->hub);
        }
        compaction_run(kv, &compaction);
        bool again = integrity_step(kv, clock_mono_ns(), atomic_load(&kv->leader_term) != 0);
        pthread_mutex_lock(&kv->house_lock);
        bool idle = !again && !compaction_wanted(kv, &compaction);
        if (!atomic_load(&kv->stopping) && (idle || atomic_load(&kv->failed)))
            timed_wait(&kv->house_wake, &kv->house_lock, HOUSE_MS * NS_PER_MS);
        pthread_mutex_unlock(&kv->house_lock);
    }
    compaction_done(kv, 0, ERR_CANCELLED);
    integrity_stop(kv);
    return NULL;
}

/*
 * LMDB takes a new page for each one it changes until the next checkpoint lets go of the old: growth of
 * the file calls for one as well as time and journal bytes. While little is written it may wait: replaying
 * so short a journal takes no time, and a checkpoint costs a few flushes.
 */
static bool checkpoint_due(struct kv *kv, uint64_t since_ns)
{
    struct logdb_info info;
    uint64_t every_ns = kv->o.checkpoint_ms * NS_PER_MS, lag = logdb_checkpoint_lag(kv->db);
    if (lag >= kv->o.checkpoint_bytes || since_ns >= CHECKPOINT_LAZY * every_ns)
        return true;
    logdb_sizes(kv->db, &info);
    uint64_t before = atomic_load(&kv->checkpoint_file_bytes);
    uint64_t growth = info.file_bytes > before ? info.file_bytes - before : 0;
    if (growth > kv->o.checkpoint_bytes)
        return true;
    return since_ns >= every_ns &&
           (lag >= CHECKPOINT_LITTLE_BYTES || growth >= CHECKPOINT_GROWTH_BYTES);
}

void checkpoint_make_room(struct kv *kv)
{
    if (logdb_file_bytes(kv->db) < kv->o.map_bytes / 4 * 3)
        return;
    pthread_mutex_lock(&kv->house_lock);
    /* The one under way may have begun before the pages were freed; the one after it has not. */
    uint64_t enough = kv->checkpoints_done + 2;
    while (kv->checkpoints_done < enough && !atomic_load(&kv->stopping) &&
           !atomic_load(&kv->failed)) {
        kv->checkpoint_wanted = true;
        pthread_cond_signal(&kv->checkpoint_wake);
        timed_wait(&kv->checkpoint_done, &kv->house_lock, 100 * NS_PER_MS);
    }
    pthread_mutex_unlock(&kv->house_lock);
}

static void *checkpoint_main(void *arg)
{
    struct kv *kv = arg;
    struct error err;
    struct logdb_info info;
    uint64_t last = clock_mono_ns();
    while (!atomic_load(&kv->stopping) && !atomic_load(&kv->failed)) {
        pthread_mutex_lock(&kv->house_lock);
        if (!atomic_load(&kv->stopping) && !kv->checkpoint_wanted)
            timed_wait(&kv->checkpoint_wake, &kv->house_lock, 100 * NS_PER_MS);
        bool wanted = kv->checkpoint_wanted;
        kv->checkpoint_wanted = false;
        pthread_mutex_unlock(&kv->house_lock);
        uint64_t now = clock_mono_ns();
        if (!wanted && !checkpoint_due(kv, now - last)) {
            /* Under load a segment fills up between two checkpoints: whoever writes need not make the next. */
            if (logdb_prepare(kv->db, &err) < 0)
                kv_fail_stop(kv, &err);
            continue;
        }
        last = now;
        logdb_sizes(kv->db, &info);
        atomic_store(&kv->checkpoint_file_bytes, info.file_bytes);
        uint64_t flush_ns;
        if (logdb_checkpoint(kv->db, &flush_ns, &err) < 0)
            kv_fail_stop(kv, &err);
        else if (flush_ns && kv->metrics.commit)
            histogram_observe(kv->metrics.commit, (double)flush_ns / 1e9);
        pthread_mutex_lock(&kv->house_lock);
        kv->checkpoints_done++;
        pthread_cond_broadcast(&kv->checkpoint_done);
        pthread_mutex_unlock(&kv->house_lock);
    }
    return NULL;
}

int house_start(struct kv *kv, struct error *err)
{
    int rc = pthread_create(&kv->house_thread, NULL, house_main, kv);
    if (rc == 0 && (rc = pthread_create(&kv->checkpoint_thread, NULL, checkpoint_main, kv)) != 0) {
        atomic_store(&kv->stopping, true);
        house_wake(kv);
        pthread_join(kv->house_thread, NULL);
    }
    if (rc)
        return error_errno(err, ERR_IO, rc, "start threads");
    kv->threads_started = true;
    return 0;
}

void house_stop(struct kv *kv)
{
    if (!kv->threads_started)
        return;
    pthread_mutex_lock(&kv->house_lock);
    pthread_cond_signal(&kv->house_wake);
    pthread_cond_signal(&kv->checkpoint_wake);
    pthread_mutex_unlock(&kv->house_lock);
    pthread_join(kv->house_thread, NULL);
    pthread_join(kv->checkpoint_thread, NULL);
    kv->threads_started = false;
}
