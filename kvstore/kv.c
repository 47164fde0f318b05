/*
 * Opening and closing the store (kvstore/kv.h).
 */
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "kvstore/auto_compact.h"
#include "kvstore/integrity/integrity.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>

#define MIB (1ull << 20)
#define GIB (1ull << 30)

static struct str dup_str(struct arena *a, struct str s)
{
    return (struct str){arena_dup(a, s.p, s.n), s.n};
}

static const struct str *dup_strs(struct arena *a, const struct str *s, size_t n)
{
    struct str *out = arena_array(a, struct str, n);
    for (size_t i = 0; i < n; i++)
        out[i] = dup_str(a, s[i]);
    return out;
}

static const char *dup_cstr(struct arena *a, const char *s)
{
    return s ? arena_strdup(a, s) : NULL;
}

#define DEFAULT(field, value) ((field) = (field) ? (field) : (value))

static void options_take(struct kv *kv, const struct kv_options *given)
{
    struct arena *a = &kv->arena;
    struct kv_options *o = &kv->o;
    *o = *given;
    o->data_dir = dup_cstr(a, given->data_dir);
    o->name = dup_str(a, given->name.n ? given->name : STR("default"));
    o->cluster_token =
        dup_str(a, given->cluster_token.n ? given->cluster_token : STR("etcd-cluster"));
    struct kv_member_config *m = arena_array(a, struct kv_member_config, o->members_len);
    for (size_t i = 0; i < o->members_len; i++) {
        m[i] = given->members[i];
        m[i].name = dup_str(a, m[i].name);
        m[i].peer_urls = dup_strs(a, m[i].peer_urls, m[i].peer_urls_len);
    }
    o->members = m;
    o->listen_peer_urls = dup_strs(a, given->listen_peer_urls, given->listen_peer_urls_len);
    o->client_urls = dup_strs(a, given->client_urls, given->client_urls_len);
    o->boot_id = dup_cstr(a, given->boot_id);
    o->auth_token = dup_cstr(a, given->auth_token);
    o->peer_cert_file = dup_cstr(a, given->peer_cert_file);
    o->peer_key_file = dup_cstr(a, given->peer_key_file);
    o->peer_ca_file = dup_cstr(a, given->peer_ca_file);
    o->peer_allowed_cn = dup_strs(a, given->peer_allowed_cn, given->peer_allowed_cn_len);
    o->peer_allowed_hostnames =
        dup_strs(a, given->peer_allowed_hostnames, given->peer_allowed_hostnames_len);
    DEFAULT(o->learners_max, 1);
    DEFAULT(o->warning_apply_ns, SLOW_APPLY_NS);
    o->peer_crl_file = dup_cstr(a, given->peer_crl_file);
    o->cipher_suites = dup_cstr(a, given->cipher_suites);
    o->tls_min_version = dup_cstr(a, given->tls_min_version);
    o->tls_max_version = dup_cstr(a, given->tls_max_version);

    DEFAULT(o->quota_bytes, 2 * GIB);
    DEFAULT(o->map_bytes, o->quota_bytes == KV_QUOTA_NONE ? 1024 * GIB : 2 * o->quota_bytes + GIB);
    DEFAULT(o->request_bytes_max, 3 * MIB / 2);
    DEFAULT(o->txn_ops_max, 128);
    DEFAULT(o->response_bytes_max, 64 * MIB);
    DEFAULT(o->response_budget, 64 * MIB);
    DEFAULT(o->watch_ring_bytes, 8 * MIB);
    DEFAULT(o->log_keep_entries, 20000);
    DEFAULT(o->snapshot_log_ms, 10000);
    DEFAULT(o->checkpoint_ms, 1000);
    DEFAULT(o->checkpoint_bytes, 64 * MIB);
    DEFAULT(o->watch_progress_ms, 600000);
    DEFAULT(o->request_timeout_ms, 7000);
    DEFAULT(o->bcrypt_cost, 10);
    DEFAULT(o->heartbeat_ms, 100);
    DEFAULT(o->check_ms, KV_CHECK_DEFAULT_MS);
    DEFAULT(o->compare_ms, KV_COMPARE_DEFAULT_MS);
    DEFAULT(o->election_ms, 1000);
    DEFAULT(o->lease_checkpoint_s, 300);
    DEFAULT(o->level, KV_LEVEL);
    o->level = MIN(o->level, KV_LEVEL);
    atomic_store(&kv->level, o->level);
}

static void locks_init(struct kv *kv)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&kv->house_wake, &monotonic);
    pthread_cond_init(&kv->checkpoint_wake, &monotonic);
    pthread_cond_init(&kv->checkpoint_done, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&kv->wait_lock, NULL);
    pthread_mutex_init(&kv->budget_lock, NULL);
    pthread_mutex_init(&kv->pin_lock, NULL);
    pthread_mutex_init(&kv->house_lock, NULL);
    list_init(&kv->budget_queue);
    waiters_init(kv);
}

static void kv_free(struct kv *kv)
{
    auto_compact_free(kv->auto_compact);
    integrity_free(kv->integrity);
    logdb_close(kv->db);
    record_heads_free(kv->trees.heads);
    lease_table_free(&kv->leases);
    members_close(&kv->members);
    alarms_free(&kv->alarms);
    auth_store_free(&kv->auth);
    waiters_free(kv);
    vec_free(&kv->revisions);
    buf_free(&kv->bulk_from);
    vec_free(&kv->compact_waiters);
    arena_free(&kv->apply_arena);
    arena_free(&kv->arena);
    pthread_cond_destroy(&kv->house_wake);
    pthread_cond_destroy(&kv->checkpoint_wake);
    pthread_cond_destroy(&kv->checkpoint_done);
    pthread_mutex_destroy(&kv->wait_lock);
    pthread_mutex_destroy(&kv->budget_lock);
    pthread_mutex_destroy(&kv->pin_lock);
    pthread_mutex_destroy(&kv->house_lock);
    mem_free(kv);
}

/* What the start needs of the log, and what memory keeps of the state. */
static int load(struct kv *kv, struct error *err)
{
    int rc = integrity_check_log(kv, err);
    return rc < 0 ? rc : kv_load_state(kv, err);
}

/* Damage met while loading is damage like any other: marked, and rebuilt from the others. */
static int load_or_rebuild(struct kv *kv, bool rebuilt, struct error *err)
{
    struct error ignored;
    int rc = load(kv, err);
    if (rc != ERR_CORRUPT || rebuilt)
        return rc;
    logdb_mark(kv->db, INTEGRITY_DAMAGED, str_from(err->message), &ignored);
    rc = integrity_rebuild(kv, &rebuilt, err);
    return rc < 0 ? rc : load(kv, err);
}

/* Everything on disk, then what memory keeps of it. */
static int open_storage(struct kv *kv, struct error *err)
{
    struct raft_config config;
    bool is_new = !logdb_exists(kv->host, kv->o.data_dir);
    int rc = members_bootstrap(kv, &config, err);
    if (rc == 0 && is_new && kv->o.force_new_cluster)
        rc = error_set(err, ERR_INVALID, "--force-new-cluster: %s holds no member", kv->o.data_dir);
    if (rc == 0 && is_new)
        rc = members_ask_peers(kv, err);
    if (rc < 0)
        return rc;
    struct logdb_options lo = {.host = kv->host,
                               .dir = kv->o.data_dir,
                               .map_bytes = kv->o.map_bytes,
                               .founding = kv->o.join_existing ? NULL : &config,
                               .journal_segment_bytes = kv->o.journal_segment_bytes,
                               .boot_id = kv->o.boot_id,
                               .open_trees = mvcc_open_trees,
                               .ctx = &kv->trees,
                               .want_commit = machine_want_commit,
                               .want_commit_ctx = kv};
    rc = disk_space_open(kv, err);
    if (rc == 0)
        rc = logdb_open(&lo, &kv->db, err);
    if (rc == ERR_CORRUPT)
        error_wrap(err, "%s: what this member promised cannot be read" INTEGRITY_ADVICE,
                   kv->o.data_dir);
    if (rc == 0)
        rc = members_store_initial(kv, err);
    bool rebuilt = false;
    if (rc == 0)
        rc = integrity_rebuild(kv, &rebuilt, err);
    if (rc == 0 && kv->o.initial_corrupt_check && !rebuilt) {
        rc = integrity_check_all(kv, err);
        if (rc == ERR_CORRUPT)
            rc = integrity_rebuild(kv, &rebuilt, err);
    }
    if (rc == 0 && kv->o.force_new_cluster)
        rc = members_force_new(kv, err);
    if (rc == 0)
        rc = load_or_rebuild(kv, rebuilt, err);
    return rc;
}

static int start(struct kv *kv, struct error *err)
{
    struct watch_hub_options ho = {.kv = kv,
                                   .db = kv->db,
                                   .trees = &kv->trees,
                                   .ring_bytes = kv->o.watch_ring_bytes,
                                   .cache_free = kv->o.event_cache_free};
    struct raft_boot boot;
    kv->hub = watch_hub_new(&ho, kv->state.rev);
    int rc = logdb_boot(kv->db, &boot, err);
    if (rc == 0)
        rc = driver_start(kv, &boot, err);
    logdb_boot_free(&boot);
    if (rc == 0 && kv->members.self_removed) /* in an earlier life: it is here for its vote only */
        driver_retire(kv->driver);
    if (rc == 0 && (rc = house_start(kv, err)) < 0)
        driver_stop(kv->driver);
    if (rc < 0)
        watch_hub_close(kv->hub);
    return rc;
}

struct kv *kv_storage_open(const struct kv_options *options, struct error *err)
{
    if (!options->data_dir) {
        error_set(err, ERR_INVALID, "no data directory given");
        return NULL;
    }
    crash_points_arm();
    struct kv *kv = mem_zalloc(sizeof *kv);
    arena_init(&kv->arena);
    arena_init(&kv->apply_arena);
    buf_init(&kv->bulk_from);
    kv->host = host_posix();
    options_take(kv, options);
    locks_init(kv);
    lease_table_init(&kv->leases, kv->o.lease_checkpoint_s * NS_PER_S);
    list_init(&kv->lease_calls);
    members_open(&kv->members);
    alarms_init(&kv->alarms);
    kv->integrity = integrity_new(kv);
    kv->auto_compact = auto_compact_new(kv);
    kv->trees.heads = record_heads_new();
    kv->budget_left = kv->o.response_budget;
    kv_metrics_register(kv);
    int rc = auth_store_init(&kv->auth, kv->o.auth_token, kv->o.auth_token_ttl_s, err);
    if (rc == 0)
        rc = open_storage(kv, err);
    if (rc < 0) {
        kv_free(kv);
        return NULL;
    }
    return kv;
}

void kv_storage_close(struct kv *kv)
{
    kv_free(kv);
}

struct kv *kv_open(const struct kv_options *options, struct error *err)
{
    struct kv *kv = kv_storage_open(options, err);
    if (kv && start(kv, err) < 0) {
        kv_free(kv);
        return NULL;
    }
    return kv;
}

/* Waiters for the budget, who hold no place in any heap. */
static void budget_cancel(struct kv *kv)
{
    struct list all;
    list_init(&all);
    pthread_mutex_lock(&kv->budget_lock);
    list_splice_back(&all, &kv->budget_queue);
    pthread_mutex_unlock(&kv->budget_lock);
    while (!list_empty(&all)) {
        struct budget_waiter *b = list_first(&all, struct budget_waiter, link);
        list_remove(&b->link);
        waiter_end(b->waiter, ERR_CANCELLED, kv_current_revision(kv));
        mem_free(b);
    }
}

void kv_close(struct kv *kv)
{
    struct error err;
    if (!kv)
        return;
    atomic_store(&kv->stopping, true);
    house_stop(kv);
    driver_stop(kv->driver);
    members_cancel(kv);
    waiters_cancel_all(kv);
    lease_calls_cancel(kv);
    budget_cancel(kv);
    watch_hub_close(kv->hub);
    if (!atomic_load(&kv->failed) && logdb_checkpoint(kv->db, NULL, &err) < 0)
        log_error("store", "last checkpoint failed error=\"%s\"", err.message);
    kv_free(kv);
}

void kv_status(struct kv *kv, struct kv_status *out)
{
    struct raft_node_status st;
    struct logdb_info info;
    driver_status(kv->driver, &st);
    logdb_sizes(kv->db, &info); /* waits for nothing that is being applied */
    *out = (struct kv_status){
        .cluster_id = kv->cluster_id,
        .member_id = kv->member_id,
        .leader_id = st.leader,
        .term = st.term,
        .raft_index = st.commit,
        .applied_index = atomic_load(&kv->applied),
        .revision = kv_current_revision(kv),
        .compacted_revision = kv_compacted_revision(kv),
        .db_size = info.file_bytes,
        .db_size_in_use = info.in_use_bytes - info.log_bytes,
        .quota_bytes = kv->o.quota_bytes,
        .is_learner = raft_config_is_learner(&st.config, kv->member_id),
        .no_space = kv_alarm_active(kv, KV_ALARM_NOSPACE),
        .failed = atomic_load(&kv->failed),
        .leases = lease_table_len(&kv->leases),
    };
    watch_hub_count(kv->hub, &out->watchers, &out->slow_watchers);
}

struct kv_watch *kv_watch(struct kv *kv, const struct kv_watch_request *request, struct loop *loop,
                          const struct kv_watch_callbacks *callbacks, void *ctx,
                          int64_t *created_rev)
{
    assert(loop && loop_is_current(loop));
    int64_t current = kv_current_revision(kv);
    if (created_rev)
        *created_rev = current;
    return watch_hub_watch(kv->hub, request, loop, callbacks, ctx, current,
                           kv_compacted_revision(kv));
}

static void moved(void *ctx, int code)
{
    struct waiter *w = ctx;
    waiter_end(w, code, kv_current_revision(w->kv));
}

void kv_move_leader(struct kv *kv, uint64_t to_member, struct loop *loop, kv_revision_fn *cb,
                    void *ctx)
{
    driver_transfer(kv->driver, to_member, moved, waiter_new(kv, loop, cb, ctx));
}
