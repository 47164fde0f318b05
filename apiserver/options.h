/*
 * The command line of c8s-apiserver: etcd's flags for the store, kube-apiserver's for the API server.
 */
#ifndef C8S_APISERVER_OPTIONS_H
#define C8S_APISERVER_OPTIONS_H

#include "apiserver/server.h"
#include "base/flags.h"

struct options {
    bool store_only;
    const char *config_file;
    struct arena arena; /* what the configuration file says */
    /* Store. */
    const char *name, *data_dir;
    struct flag_list client_urls, client_http_urls, advertise_client_urls, peer_urls,
        advertise_peer_urls, metrics_urls;
    const char *initial_cluster, *cluster_state, *cluster_token;
    const char *cert_file, *key_file, *ca_file;
    bool client_cert_auth;
    const char *peer_cert_file, *peer_key_file, *peer_ca_file;
    bool peer_client_cert_auth, force_new_cluster;
    struct flag_list peer_allowed_cn, peer_allowed_hostnames;
    uint64_t max_learners;
    const char *client_crl_file, *peer_crl_file;
    struct flag_list cipher_suites;
    const char *tls_min_version, *tls_max_version;
    int64_t keepalive_min_ns, keepalive_interval_ns, keepalive_timeout_ns;
    int64_t heartbeat_ms, election_ms;
    int64_t quota_bytes; /* negative: none */
    uint64_t request_bytes_max, txn_ops_max, streams_max;
    const char *auth_token;
    uint64_t auth_token_ttl_s, bcrypt_cost;
    int64_t progress_ns;
    const char *compaction_mode, *compaction_retention;
    int64_t warning_apply_ns, warning_call_ns;
    const char *metrics_detail;
    int64_t corrupt_check_ns;
    uint64_t disk_reserve_bytes;
    bool initial_corrupt_check;
    int64_t snapshot_count;
    uint64_t catchup_entries;
    bool pre_vote, strict_reconfig_check, grpc_gateway;
    const char *taken; /* the value of a flag that changes nothing */
    struct flag_list feature_gates;
    struct flag_list unknown_variables; /* ETCD_… in the environment that are no flag's */
    const char *log_level, *log_format;
    /* A backup to make the data directory of, instead of serving (apiserver/restore.h). */
    const char *restore_file;
    bool restore_skip_hash_check, restore_mark_compacted;
    uint64_t restore_bump_revision;
    /* API server. */
    struct apiserver_config api;
    struct {
        struct flag_list allowed, names, uids, groups, extras;
    } front; /* --requestheader-… */
    struct flag_list sa_keys, audiences, authorization, admission, admission_off;
    const char *node_ports, *admission_config;
    int64_t secure_port, inflight, mutating, min_request_timeout_s, compaction_ns, event_ttl_ns,
        verbosity;
};

/* Defaults, command line, ETCD_* environment; ends the process on --help and on mistakes (exit code 2
 * with --store-only, as etcd, else 1). */
void options_parse(struct options *o, int argc, char **argv);
void options_free(struct options *o);

/* --cipher-suites, comma-separated in `a`; NULL: none given. */
const char *options_cipher_suites(const struct options *o, struct arena *a);
/* The kv_options that follow; slices live in the arena. ERR_INVALID names the flag. */
int options_store(const struct options *o, struct arena *a, struct kv_options *out,
                  struct error *err);

#endif
