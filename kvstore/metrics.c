/*
 * The store's metrics, under etcd's names where there are such: its dashboards and alerts work unchanged.
 */
#include "kvstore/store.h"
#include "base/metrics.h"

void kv_metrics_register(struct kv *kv)
{
    static const double bounds[] = {0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016,
                                    0.032,  0.064,  0.128,  0.256, 0.512, 1.024, 2.048};
    struct metrics *m = kv->o.metrics;
    if (!m)
        return;
    kv->metrics.db_size = metrics_gauge(m, "etcd_mvcc_db_total_size_in_bytes", NULL,
                                        "Bytes of the database file that are or were in use.");
    kv->metrics.db_in_use = metrics_gauge(m, "etcd_mvcc_db_total_size_in_use_in_bytes", NULL,
                                          "Bytes of the database without free pages.");
    kv->metrics.quota = metrics_gauge(m, "etcd_server_quota_backend_bytes", NULL,
                                      "Bytes in use past which puts fail.");
    kv->metrics.revision = metrics_gauge(m, "etcd_debugging_mvcc_current_revision", NULL,
                                         "The revision of the last write visible here.");
    kv->metrics.compacted = metrics_gauge(m, "etcd_debugging_mvcc_compact_revision", NULL,
                                          "The revision up to which history is forgotten.");
    kv->metrics.watchers =
        metrics_gauge(m, "etcd_debugging_mvcc_watcher_total", NULL, "Open watches.");
    kv->metrics.slow_watchers = metrics_gauge(m, "etcd_debugging_mvcc_slow_watcher_total", NULL,
                                              "Watches that are paused or behind.");
    kv->metrics.leases = metrics_gauge(m, "c8s_store_leases", NULL, "Leases.");
    kv->metrics.fsync = metrics_histogram(m, "etcd_disk_wal_fsync_duration_seconds", NULL,
                                          "Time to write a batch to the journal and flush it.",
                                          bounds, ARRAY_LEN(bounds));
    kv->metrics.commit = metrics_histogram(m, "etcd_disk_backend_commit_duration_seconds", NULL,
                                           "Time to flush the transactions made since last time.",
                                           bounds, ARRAY_LEN(bounds));
    kv->metrics.transaction =
        metrics_histogram(m, "c8s_store_transaction_duration_seconds", NULL,
                          "Time to commit a transaction of log and state, without a flush.", bounds,
                          ARRAY_LEN(bounds));
    static const double defrag_bounds[] = {0.1,  0.2,  0.4,  0.8,   1.6,   3.2,  6.4,
                                           12.8, 25.6, 51.2, 102.4, 204.8, 409.6};
    kv->metrics.defrag =
        metrics_histogram(m, "etcd_disk_backend_defrag_duration_seconds", NULL,
                          "Duration of defragmentations.", defrag_bounds, ARRAY_LEN(defrag_bounds));
    kv->metrics.defragmenting =
        metrics_gauge(m, "etcd_disk_defrag_inflight", NULL, "Whether defragmenting is under way.");
    kv->metrics.slow_apply = metrics_counter(m, "etcd_server_slow_apply_total", NULL,
                                             "Transactions slower than --warning-apply-duration.");
    gauge_set(kv->metrics.quota, (double)(int64_t)kv->o.quota_bytes);
}

void kv_metrics_step(struct kv *kv, const struct logdb_info *info)
{
    size_t watchers, slow;
    if (!kv->o.metrics)
        return;
    watch_hub_count(kv->hub, &watchers, &slow);
    gauge_set(kv->metrics.db_size, (double)info->file_bytes);
    gauge_set(kv->metrics.db_in_use, (double)(info->in_use_bytes - info->log_bytes));
    gauge_set(kv->metrics.revision, (double)kv_current_revision(kv));
    gauge_set(kv->metrics.compacted, (double)kv_compacted_revision(kv));
    gauge_set(kv->metrics.watchers, (double)watchers);
    gauge_set(kv->metrics.slow_watchers, (double)slow);
    gauge_set(kv->metrics.leases, (double)lease_table_len(&kv->leases));
}
