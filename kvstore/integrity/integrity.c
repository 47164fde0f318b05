/*
 * Finding damage and reacting to it: when walks run, the comparison with the other members, and what a
 * member does that has found something (kvstore/integrity/integrity.h).
 */
#include "kvstore/integrity/integrity.h"
#include "kvstore/alarm.h"
#include "kvstore/integrity/walk.h"
#include "kvstore/store.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <inttypes.h>

#define SLICE_NS (2 * NS_PER_MS)       /* of a walk, every 50 ms */
#define SLICE_HURRY_NS (4 * NS_PER_MS) /* without pauses: somebody waits */
#define SLICE_PAUSE_NS (50 * NS_PER_MS)
#define RETRY_NS (1 * NS_PER_S) /* after a walk that could not be finished */
#define ALARM_NS (3 * NS_PER_S) /* for the alarm to get through before the end */
#define LATE_ALARM_NS \
    (60 * NS_PER_S) /* after that no alarm of an earlier start is under way any more */
#define MARKS_MAX 4 /* comparisons remembered */

struct vote {
    uint64_t member, value;
};

/* One comparison; apply thread. */
struct mark {
    uint64_t index; /* of the entry that asked for it; 0: free */
    uint64_t own;   /* this member's value */
    struct vote votes[RAFT_MEMBERS_MAX];
    size_t votes_len;
    bool decided;
};

struct integrity {
    struct kv *kv;
    struct integrity_walk walk; /* house thread */
    uint64_t walk_due_ns, mark_due_ns, slice_due_ns, end_by_ns, clear_due_ns, clear_until_ns;
    bool was_leader;

    struct mark marks[MARKS_MAX]; /* apply thread */
    size_t marks_at;

    atomic_bool damaged, noted, alarm_sent, alarm_over; /* noted: or it was tried in vain */
    _Atomic uint64_t walks, compared, walked_keys, slice_max_ns, shared_digest;
    _Atomic int64_t rev;

    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct error why;      /* once damaged; ERR_CORRUPT, or why that could not be noted */
    unsigned asked, begun; /* kv_check calls; walks begun for them */
    unsigned ended;        /* walks ended that were begun for a call */
    int code;              /* of the last one of those */
    struct error code_err;
    bool stopped;
};

struct integrity *integrity_new(struct kv *kv)
{
    struct integrity *in = mem_zalloc(sizeof *in);
    in->kv = kv;
    integrity_walk_init(&in->walk, kv);
    pthread_mutex_init(&in->lock, NULL);
    pthread_cond_init(&in->changed, NULL);
    uint64_t now = clock_mono_ns();
    in->walk_due_ns = now + kv->o.check_ms * NS_PER_MS;
    in->mark_due_ns = now + kv->o.compare_ms * NS_PER_MS;
    return in;
}

void integrity_free(struct integrity *in)
{
    if (!in)
        return;
    integrity_walk_free(&in->walk);
    pthread_mutex_destroy(&in->lock);
    pthread_cond_destroy(&in->changed);
    mem_free(in);
}

bool kv_is_damaged(const struct kv *kv)
{
    return atomic_load_explicit(&kv->integrity->damaged, memory_order_relaxed);
}

void kv_integrity_status(struct kv *kv, struct kv_integrity_status *out)
{
    struct integrity *in = kv->integrity;
    *out = (struct kv_integrity_status){.walks = atomic_load(&in->walks),
                                        .compared = atomic_load(&in->compared),
                                        .walked_keys = atomic_load(&in->walked_keys),
                                        .slice_max_us = atomic_load(&in->slice_max_ns) / 1000,
                                        .shared_digest = atomic_load(&in->shared_digest),
                                        .rev = atomic_load(&in->rev)};
}

struct mvcc_removed_ahead *integrity_ahead(struct kv *kv)
{
    return &kv->integrity->walk.ahead;
}

/* ---- damage ---- */

void kv_damaged(struct kv *kv, const struct error *why)
{
    struct integrity *in = kv->integrity;
    struct error err;
    if (atomic_exchange(&in->damaged, true))
        return;
    pthread_mutex_lock(&in->lock);
    in->why = *why;
    in->why.code = ERR_CORRUPT;
    pthread_mutex_unlock(&in->lock);
    log_error(
        "store",
        "the stored state is damaged; this member serves nothing more and is rebuilt from the "
        "others when it starts again. Check the disk of %s. member=%" PRIx64 " damage=\"%s\"",
        kv->o.data_dir, kv->member_id, why->message);
    if (logdb_mark(kv->db, INTEGRITY_DAMAGED, str_from(why->message), &err) < 0) {
        log_error("store", "the damage could not be noted in the data directory error=\"%s\"",
                  err.message);
        pthread_mutex_lock(&in->lock);
        in->why = err;
        pthread_mutex_unlock(&in->lock);
    }
    atomic_store(&in->noted, true);
    house_wake(kv);
}

int kv_check_code(struct kv *kv, int rc, const struct error *why)
{
    if (rc == ERR_CORRUPT)
        kv_damaged(kv, why);
    return rc;
}

int kv_may_serve(struct kv *kv, struct error *err)
{
    if (!kv_is_damaged(kv))
        return 0;
    return error_set(err, ERR_CORRUPT, "this member's stored state is damaged");
}

static void alarm_raised(void *ctx, int code, int64_t rev)
{
    struct integrity *in = ctx;
    (void)rev;
    if (code)
        log_warn("store", "the alarm CORRUPT could not be raised code=%d", code);
    atomic_store(&in->alarm_over, true);
}

/*
 * Let the others know, then end: the next start rebuilds. Without the note it would not remember the alarm, which would
 * stay for ever: then this is a failed write as any other, and whoever reads next finds the damage again.
 */
static void react(struct integrity *in, uint64_t now_ns, bool leader)
{
    struct kv *kv = in->kv;
    if (!atomic_load(&in->noted))
        return;
    pthread_mutex_lock(&in->lock);
    struct error why = in->why;
    pthread_mutex_unlock(&in->lock);
    if (why.code != ERR_CORRUPT) {
        kv_fail_stop(kv, &why);
        return;
    }
    if (!atomic_exchange(&in->alarm_sent, true)) {
        in->end_by_ns = now_ns + ALARM_NS;
        kv_alarm_raise(kv, kv->member_id, KV_ALARM_CORRUPT, NULL, alarm_raised, in);
        if (leader)
            driver_transfer(kv->driver, 0, NULL, NULL);
        return;
    }
    if (!atomic_load(&in->alarm_over) && now_ns < in->end_by_ns)
        return;
    kv_fail_stop(kv, &why);
}

/* ---- after a rebuild ---- */

static void alarm_cleared(void *ctx, int code, int64_t rev)
{
    struct integrity *in = ctx;
    struct error err;
    (void)rev;
    if (code == 0 && logdb_unmark(in->kv->db, INTEGRITY_REBUILT, &err) < 0)
        log_warn("store", "%s", err.message);
    if (code == 0)
        atomic_store(&in->kv->rebuilt, false);
}

static bool own_alarm(struct kv *kv)
{
    struct kv_alarm *alarms;
    size_t n;
    bool raised = false;
    struct arena a;
    arena_init(&a);
    kv_alarm_list(kv, &a, &alarms, &n);
    for (size_t i = 0; i < n; i++)
        raised |= alarms[i].member == kv->member_id && alarms[i].type == KV_ALARM_CORRUPT;
    arena_free(&a);
    return raised;
}

/* The alarm was raised through the log, before this start, and may come out of it late: after it was cleared. */
static void clear_step(struct integrity *in, uint64_t now_ns)
{
    if (now_ns < in->clear_due_ns)
        return;
    if (atomic_load(&in->kv->rebuilt))
        in->clear_until_ns = now_ns + LATE_ALARM_NS;
    else if (now_ns >= in->clear_until_ns || !own_alarm(in->kv))
        return;
    in->clear_due_ns = now_ns + ALARM_NS;
    kv_alarm_clear(in->kv, in->kv->member_id, KV_ALARM_CORRUPT, NULL, alarm_cleared, in);
}

/* ---- walks ---- */

static void walk_ended(struct integrity *in, int rc, bool asked, const struct error *err)
{
    pthread_mutex_lock(&in->lock);
    if (asked) {
        in->ended = in->begun;
        in->code = rc;
        in->code_err = *err;
        pthread_cond_broadcast(&in->changed);
    }
    pthread_mutex_unlock(&in->lock);
}

/* Does anybody wait for a walk that has not ended yet? A new one is begun for them. */
static bool somebody_waits(struct integrity *in, bool *begin)
{
    pthread_mutex_lock(&in->lock);
    *begin = in->asked != in->begun && in->begun == in->ended;
    if (*begin)
        in->begun = in->asked;
    bool waits = in->begun != in->ended;
    pthread_mutex_unlock(&in->lock);
    return waits;
}

/* True: go on at once. */
static bool walk_step(struct integrity *in, uint64_t now_ns)
{
    struct kv *kv = in->kv;
    struct integrity_walk *w = &in->walk;
    struct error err = {0};
    bool begin, waited = somebody_waits(in, &begin);
    if (begin)
        integrity_walk_reset(w);
    if (w->phase == WALK_IDLE && !waited && now_ns < in->walk_due_ns)
        return false;
    bool compaction_waits = w->pin >= 0 && kv_compacted_revision(kv) > w->rev;
    bool hurry = waited || compaction_waits;
    if (!hurry && now_ns < in->slice_due_ns)
        return false;
    int rc = integrity_walk_step(w, hurry ? SLICE_HURRY_NS : SLICE_NS, &err);
    in->slice_due_ns = now_ns + SLICE_PAUSE_NS;
    atomic_store(&in->slice_max_ns, w->slice_max_ns);
    if (rc == 1)
        return hurry;
    in->walk_due_ns = now_ns + (rc == 0 ? kv->o.check_ms * NS_PER_MS : RETRY_NS);
    if (rc == 0) {
        atomic_store(&in->walked_keys, w->looked_at);
        atomic_store(&in->shared_digest, w->digest);
        atomic_store(&in->rev, w->rev);
        atomic_fetch_add(&in->walks, 1);
    } else if (rc == ERR_UNAVAILABLE && waited) {
        in->slice_due_ns = now_ns + SLICE_PAUSE_NS;
        integrity_walk_reset(w);
        return false; /* again, for the same callers */
    } else if (rc != ERR_UNAVAILABLE) {
        kv_check_code(kv, rc, &err);
    }
    walk_ended(in, rc, waited, &err);
    return false;
}

int kv_check(struct kv *kv, struct error *err)
{
    struct integrity *in = kv->integrity;
    pthread_mutex_lock(&in->lock);
    unsigned mine = ++in->asked;
    pthread_mutex_unlock(&in->lock);
    house_wake(kv);
    pthread_mutex_lock(&in->lock);
    while ((int)(in->ended - mine) < 0 && !in->stopped)
        pthread_cond_wait(&in->changed, &in->lock);
    bool done = (int)(in->ended - mine) >= 0;
    int rc = done ? in->code : ERR_UNAVAILABLE;
    if (rc < 0)
        error_set(err, rc, "%s", done ? in->code_err.message : "the store has stopped");
    pthread_mutex_unlock(&in->lock);
    return rc;
}

void integrity_stop(struct kv *kv)
{
    struct integrity *in = kv->integrity;
    integrity_walk_reset(&in->walk);
    pthread_mutex_lock(&in->lock);
    in->stopped = true;
    pthread_cond_broadcast(&in->changed);
    pthread_mutex_unlock(&in->lock);
}

int integrity_check_all(struct kv *kv, struct error *err)
{
    struct integrity_walk w;
    int rc;
    integrity_walk_init(&w, kv);
    while ((rc = integrity_walk_step(&w, 90 * NS_PER_MS, err)) == 1)
        ;
    integrity_walk_free(&w);
    if (rc == ERR_UNAVAILABLE) /* a large delete is half done: its digests are, too */
        return 0;
    if (rc == ERR_CORRUPT) {
        struct error found = *err;
        int noted = logdb_mark(kv->db, INTEGRITY_DAMAGED, str_from(found.message), err);
        rc = noted < 0 ? noted : rc;
    }
    return rc;
}

int integrity_check_log(struct kv *kv, struct error *err)
{
    struct logdb_info info;
    MDB_txn *txn;
    logdb_info(kv->db, &info);
    uint64_t next = info.applied + 1;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = logdb_check_entries(kv->db, txn, &next, SIZE_MAX, err);
    logdb_read_end(kv->db, txn);
    return rc;
}

/* ---- comparison ---- */

static void proposed(void *ctx, int code, int64_t rev)
{
    (void)ctx, (void)code, (void)rev; /* the next one is never far */
}

static void propose(struct kv *kv, uint64_t mark, uint64_t value)
{
    struct pending *p = pending_new(kv, PROPOSAL_DIGEST, NULL, kv);
    struct proposal q = {.kind = PROPOSAL_DIGEST,
                         .digest = {.mark = mark, .member = kv->member_id, .value = value}};
    p->rev_cb = proposed;
    pending_propose(p, &q);
}

static void mark_take(struct kv *kv, const struct mvcc_state *s, uint64_t index)
{
    struct integrity *in = kv->integrity;
    struct mark *m = &in->marks[in->marks_at++ % MARKS_MAX];
    uint64_t own = digest_shared(&s->digest);
    own = own * 31 + (uint64_t)s->rev;
    own = own * 31 + (uint64_t)s->compact_rev;
    *m = (struct mark){.index = index, .own = own};
    propose(kv, index, own);
}

/* The value that more than half of the voters have; false: none so far. */
static bool majority(const struct mark *m, const struct raft_id_set *voters, uint64_t *value)
{
    for (size_t i = 0; i < m->votes_len; i++) {
        size_t same = 0;
        for (size_t k = 0; k < m->votes_len; k++)
            same +=
                m->votes[k].value == m->votes[i].value && raft_ids_has(voters, m->votes[k].member);
        *value = m->votes[i].value;
        if (2 * same > voters->len)
            return true;
    }
    return false;
}

static size_t voters_heard(const struct mark *m, const struct raft_id_set *voters)
{
    size_t n = 0;
    for (size_t i = 0; i < m->votes_len; i++)
        n += raft_ids_has(voters, m->votes[i].member);
    return n;
}

static void decide(struct kv *kv, struct mark *m)
{
    struct raft_node_status st;
    uint64_t value;
    driver_status(kv->driver, &st);
    if (m->decided)
        return;
    if (majority(m, &st.config.voters, &value)) {
        struct error why;
        m->decided = true;
        if (m->own == value) {
            atomic_fetch_add(&kv->integrity->compared, 1);
            return;
        }
        error_set(&why, ERR_CORRUPT,
                  "at log entry %" PRIu64 " the state differs from what a majority of members has",
                  m->index);
        kv_damaged(kv, &why);
    } else if (voters_heard(m, &st.config.voters) == st.config.voters.len) {
        m->decided = true;
        log_error("store",
                  "the members' states differ and none has a majority: compare them (hashkv) and "
                  "restore from a backup, or remove the wrong ones. entry=%" PRIu64,
                  m->index);
        for (size_t i = 0; i < m->votes_len && st.role == RAFT_LEADER; i++)
            if (m->votes[i].value != m->own)
                kv_alarm_raise(kv, m->votes[i].member, KV_ALARM_CORRUPT, NULL, proposed, kv);
    }
}

void integrity_apply(struct kv *kv, struct apply *a, const struct proposal_digest *p,
                     uint64_t index)
{
    if (p->mark == 0) {
        mark_take(kv, &a->write.state, index);
        return;
    }
    for (size_t i = 0; i < MARKS_MAX; i++) {
        struct mark *m = &kv->integrity->marks[i];
        if (m->index != p->mark)
            continue;
        for (size_t k = 0; k < m->votes_len; k++)
            if (m->votes[k].member == p->member)
                return;
        if (m->votes_len < ARRAY_LEN(m->votes))
            m->votes[m->votes_len++] = (struct vote){p->member, p->value};
        decide(kv, m);
    }
}

static void mark_step(struct integrity *in, uint64_t now_ns, bool leader)
{
    if (leader && now_ns >= in->mark_due_ns)
        propose(in->kv, 0, 0);
    /* Whoever follows waits a little longer, should the leader change. */
    if (now_ns >= in->mark_due_ns || !leader)
        in->mark_due_ns = now_ns + in->kv->o.compare_ms * NS_PER_MS;
}

bool integrity_step(struct kv *kv, uint64_t now_ns, bool leader)
{
    struct integrity *in = kv->integrity;
    if (atomic_load(&kv->failed))
        return false;
    if (kv_is_damaged(kv)) {
        react(in, now_ns, leader);
        return false;
    }
    clear_step(in, now_ns);
    mark_step(in, now_ns, leader);
    return walk_step(in, now_ns);
}
