/*
 * Flags: see options.h.
 */
#include "apiserver/options.h"
#include "apiserver/admission/admission.h"
#include "apiserver/config_file.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include <stdio.h>
#include <stdlib.h>

#define NS(seconds) ((int64_t)(seconds)*1000000000)

/* Flags of etcd's for what the store does not have or does always: only these values say nothing else. */
#define TAKEN(flag, values)                                            \
    {                                                                  \
        flag, 0, FLAG_STRING, &o->taken, NULL, NULL, .choices = values \
    }
/* The same for one that may stand alone, as booleans do. */
#define TAKEN_BOOL(flag, values)                                                          \
    {                                                                                     \
        flag, 0, FLAG_STRING, &o->taken, NULL, NULL, .choices = values, .implied = "true" \
    }

static void defaults(struct options *o)
{
    *o = (struct options){
        .name = "default",
        .cluster_state = "new",
        .cluster_token = "etcd-cluster",
        .heartbeat_ms = 100,
        .election_ms = 1000,
        .quota_bytes = 2ull << 30,
        .disk_reserve_bytes = 64ull << 20,
        .request_bytes_max = 3u << 19,
        .txn_ops_max = 128,
        .tls_min_version = "TLS1.2",
        .keepalive_min_ns = NS(5),
        .keepalive_interval_ns = NS(7200),
        .keepalive_timeout_ns = NS(20),
        .auth_token = "simple",
        .auth_token_ttl_s = 300,
        .bcrypt_cost = 10,
        .progress_ns = NS(600),
        .compaction_mode = "periodic",
        .compaction_retention = "0",
        .warning_apply_ns = NS(1) / 10,
        .warning_call_ns = NS(3) / 10,
        .metrics_detail = "basic",
        .catchup_entries = 20000,
        .grpc_gateway = true,
        .pre_vote = true,
        .strict_reconfig_check = true,
        .max_learners = 1,
        .log_level = "info",
        .log_format = "text",
        .node_ports = "30000-32767",
        .secure_port = 6443,
        .inflight = 400,
        .mutating = 200,
        .min_request_timeout_s = 1800,
        .compaction_ns = NS(300),
        .event_ttl_ns = NS(3600),
    };
    apiserver_config_init(&o->api);
}

static int exit_code(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--store-only") == 0 || strcmp(argv[i], "-store-only") == 0)
            return 2;
    return 1;
}

static void usage_error(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));
static void usage_error(int code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    fputs("c8s-apiserver: ", stderr);
    vfprintf(stderr, format, args);
    fputc('\n', stderr);
    va_end(args);
    exit(code);
}

/* --enable-admission-plugins and --disable-admission-plugins over the default ones. */
static void admission_options(struct options *o, int code)
{
    struct error err;
    if (o->admission_config &&
        admission_config_read(o->admission_config, &o->api, &o->arena, &err) < 0)
        usage_error(code, "%s", err.message);
    for (size_t i = 0; i < o->admission.len; i++)
        for (size_t k = 0; k < o->admission_off.len; k++)
            if (strcmp(o->admission.items[i], o->admission_off.items[k]) == 0)
                usage_error(code,
                            "[%s] in enable-admission-plugins and disable-admission-plugins "
                            "overlapped",
                            o->admission.items[i]);
    for (size_t i = 0; i < o->admission.len; i++)
        if (!admission_switch(&o->api.admission_off, o->admission.items[i], true))
            usage_error(code, "enable-admission-plugins plugin \"%s\" is unknown; there are: %s",
                        o->admission.items[i], admission_names(&o->arena));
    for (size_t i = 0; i < o->admission_off.len; i++)
        if (!admission_switch(&o->api.admission_off, o->admission_off.items[i], false))
            usage_error(code, "disable-admission-plugins plugin \"%s\" is unknown; there are: %s",
                        o->admission_off.items[i], admission_names(&o->arena));
}

/* --feature-gates: etcd's. Gates of what is always there, or never, can only be set to that. */
static void feature_gates(struct options *o, int code)
{
    static const struct {
        const char *name;
        bool on, off; /* may be set to */
    } gates[] = {
        {"InitialCorruptCheck", true, true},
        {"CompactHashCheck", true, true}, /* digests are compared either way */
        {"TxnModeWriteWithSharedBuffer", true, true},
        {"StopGRPCServiceOnDefrag", true, true}, /* the service goes on and nothing waits */
        {"LeaseCheckpoint", true, true},         /* more than the promise without it */
        {"LeaseCheckpointPersist", true, true},
        {"FastLeaseKeepAlive", true, true},
        {"SetMemberLocalAddr", false, true},
        {"DistributedTracing", false, true},
        {"AllAlpha", false, true},
        {"AllBeta", false, true},
    };
    for (size_t i = 0; i < o->feature_gates.len; i++) {
        struct str value = str_from(o->feature_gates.items[i]), name;
        bool sets = str_split(&value, '=', &name), on = str_eqz(value, "true");
        size_t k = 0;
        while (k < ARRAY_LEN(gates) && !str_eqz(str_trim(name), gates[k].name))
            k++;
        if (!sets || (!on && !str_eqz(value, "false")))
            usage_error(code, "--feature-gates: want NAME=true or NAME=false, not \"%s\"",
                        o->feature_gates.items[i]);
        if (k == ARRAY_LEN(gates))
            usage_error(code, "--feature-gates: unrecognized feature gate: %.*s", STR_ARG(name));
        if (on ? !gates[k].on : !gates[k].off)
            usage_error(code, "--feature-gates: %.*s=%s is not supported", STR_ARG(name),
                        on ? "true" : "false");
        if (k == 0)
            o->initial_corrupt_check = on;
    }
}

/* A list's items with a NULL behind them; NULL when it is empty. */
static const char *const *null_terminated(struct flag_list *l)
{
    if (!l->len)
        return NULL;
    flag_list_add(l, "");
    mem_free(l->items[--l->len]);
    l->items[l->len] = NULL;
    return (const char *const *)l->items;
}

/* What follows from the values given. */
static void derive(struct options *o, int code)
{
    unsigned low, high;
    char rest;
    if (sscanf(o->node_ports, "%u-%u%c", &low, &high, &rest) != 2)
        usage_error(code, "--service-node-port-range: want LOW-HIGH, not \"%s\"", o->node_ports);
    o->api.node_port_min = low;
    o->api.node_port_max = high;
    if (o->secure_port < 0 || o->secure_port > 65535)
        usage_error(code, "--secure-port: %lld is no port", (long long)o->secure_port);
    o->api.secure_port = (unsigned)o->secure_port;
    o->api.inflight_max = (unsigned)o->inflight;
    o->api.mutating_inflight_max = (unsigned)o->mutating;
    o->api.min_request_timeout_s = (uint64_t)o->min_request_timeout_s;
    o->api.compaction_interval_s = (uint64_t)(o->compaction_ns / NS(1));
    o->api.event_ttl_s = (uint64_t)(o->event_ttl_ns / NS(1));
    o->api.sa_key_files = null_terminated(&o->sa_keys);
    o->api.front_proxy.allowed_names = null_terminated(&o->front.allowed);
    o->api.front_proxy.username_headers = null_terminated(&o->front.names);
    o->api.front_proxy.uid_headers = null_terminated(&o->front.uids);
    o->api.front_proxy.group_headers = null_terminated(&o->front.groups);
    o->api.front_proxy.extra_prefixes = null_terminated(&o->front.extras);
    o->api.audiences = null_terminated(&o->audiences);
    for (size_t i = 0; i < o->authorization.len; i++) {
        const char *mode = o->authorization.items[i];
        if (strcmp(mode, "AlwaysAllow") == 0)
            o->api.always_allow = true;
        else if (strcmp(mode, "Node") == 0)
            o->api.node_authorizer = true;
        else if (strcmp(mode, "RBAC") != 0)
            usage_error(code, "--authorization-mode: %s is not supported (Node, RBAC, AlwaysAllow)",
                        mode);
    }
    admission_options(o, code);
    feature_gates(o, code);
    if (!o->data_dir)
        o->data_dir = mem_printf("%s.etcd", o->name);
}

void options_parse(struct options *o, int argc, char **argv)
{
    defaults(o);
    struct apiserver_config *c = &o->api;
    const struct flag flags[] = {
        {.help = "Store:"},
        {"store-only", 0, FLAG_BOOL, &o->store_only, NULL,
         "Run the store alone, as a drop-in for etcd."},
        {"config-file", 0, FLAG_STRING, &o->config_file, "FILE",
         "etcd's configuration file: YAML, its keys are the flags of this group; what it names, it "
         "decides."},
        {"name", 0, FLAG_STRING, &o->name, "NAME", "Name of this member."},
        {"data-dir", 0, FLAG_STRING, &o->data_dir, "DIR",
         "Where the store lives. Default: NAME.etcd."},
        {"listen-client-urls", 0, FLAG_LIST, &o->client_urls, "URLS",
         "Where to serve store clients. Default: http://localhost:2379."},
        {"listen-client-http-urls", 0, FLAG_LIST, &o->client_http_urls, "URLS",
         "Where to serve what is HTTP without gRPC: the JSON gateway, health, metrics. The client "
         "URLs serve gRPC alone then."},
        {"enable-grpc-gateway", 0, FLAG_BOOL, &o->grpc_gateway, NULL,
         "Serve the JSON gateway, /v3/…."},
        {"advertise-client-urls", 0, FLAG_LIST, &o->advertise_client_urls, "URLS",
         "What clients are told to use."},
        {"listen-peer-urls", 0, FLAG_LIST, &o->peer_urls, "URLS",
         "Where to serve the other members."},
        {"initial-advertise-peer-urls", 0, FLAG_LIST, &o->advertise_peer_urls, "URLS",
         "What the other members are told to use."},
        {"initial-cluster", 0, FLAG_STRING, &o->initial_cluster, "NAME=URL,…",
         "The members at the start."},
        {"initial-cluster-state", 0, FLAG_STRING, &o->cluster_state, "STATE",
         "Start a new cluster or join one.", "new|existing"},
        {"initial-cluster-token", 0, FLAG_STRING, &o->cluster_token, "TOKEN",
         "Keeps clusters with equal addresses apart."},
        {"cert-file", 0, FLAG_STRING, &o->cert_file, "FILE", "Certificate for store clients."},
        {"key-file", 0, FLAG_STRING, &o->key_file, "FILE", "Its key."},
        {"trusted-ca-file", 0, FLAG_STRING, &o->ca_file, "FILE",
         "Who signs store clients' certificates."},
        {"client-cert-auth", 0, FLAG_BOOL, &o->client_cert_auth, NULL,
         "Store clients must have a certificate."},
        {"peer-cert-file", 0, FLAG_STRING, &o->peer_cert_file, "FILE",
         "Certificate towards other members."},
        {"peer-key-file", 0, FLAG_STRING, &o->peer_key_file, "FILE", "Its key."},
        {"peer-trusted-ca-file", 0, FLAG_STRING, &o->peer_ca_file, "FILE",
         "Who signs members' certificates."},
        {"peer-client-cert-auth", 0, FLAG_BOOL, &o->peer_client_cert_auth, NULL,
         "Members must have a certificate; always so with --peer-trusted-ca-file."},
        {"peer-cert-allowed-cn", 0, FLAG_LIST, &o->peer_allowed_cn, "NAMES",
         "Common names that members' certificates may have."},
        {"peer-cert-allowed-hostname", 0, FLAG_LIST, &o->peer_allowed_hostnames, "NAMES",
         "Host names of which members' certificates must have one."},
        {"client-crl-file", 0, FLAG_STRING, &o->client_crl_file, "FILE",
         "Revoked certificates of store clients."},
        {"peer-crl-file", 0, FLAG_STRING, &o->peer_crl_file, "FILE",
         "Revoked certificates of members."},
        {"cipher-suites", 0, FLAG_LIST, &o->cipher_suites, "NAMES",
         "Cipher suites of TLS 1.2, for store clients and members."},
        {"tls-min-version", 0, FLAG_STRING, &o->tls_min_version, "VERSION",
         "The oldest TLS, for store clients and members.", "TLS1.2|TLS1.3"},
        {"tls-max-version", 0, FLAG_STRING, &o->tls_max_version, "VERSION",
         "The newest TLS; empty: no limit."},
        {"grpc-keepalive-min-time", 0, FLAG_DURATION, &o->keepalive_min_ns, NULL,
         "Store clients that ping more often are sent away."},
        {"grpc-keepalive-interval", 0, FLAG_DURATION, &o->keepalive_interval_ns, NULL,
         "A silent store client is pinged after this."},
        {"grpc-keepalive-timeout", 0, FLAG_DURATION, &o->keepalive_timeout_ns, NULL,
         "And given up when it does not answer for this."},
        {"heartbeat-interval", 0, FLAG_MS, &o->heartbeat_ms, "MS",
         "Time between a leader's heartbeats."},
        {"election-timeout", 0, FLAG_MS, &o->election_ms, "MS",
         "Time without a leader before an election."},
        {"quota-backend-bytes", 0, FLAG_INT, &o->quota_bytes, "BYTES",
         "Space in use past which puts are refused; 0: 2 GiB; negative: as much as the disk has."},
        {"max-request-bytes", 0, FLAG_UINT, &o->request_bytes_max, "BYTES", "The largest write."},
        {"max-txn-ops", 0, FLAG_UINT, &o->txn_ops_max, "N", "Operations in one transaction of a client."},
        {"auto-compaction-mode", 0, FLAG_STRING, &o->compaction_mode, "MODE",
         "What --auto-compaction-retention counts: time, or revisions.", "periodic|revision"},
        {"auto-compaction-retention", 0, FLAG_STRING, &o->compaction_retention, "HOW MUCH",
         "History that is kept: hours or a duration (periodic), or revisions; 0: no compaction by "
         "itself."},
        {"warning-apply-duration", 0, FLAG_DURATION, &o->warning_apply_ns, NULL,
         "Applying that takes longer is told of in the log."},
        {"experimental-warning-apply-duration", 0, FLAG_DURATION, &o->warning_apply_ns, NULL,
         "The same, as etcd 3.4 and 3.5 call it."},
        {"warning-unary-request-duration", 0, FLAG_DURATION, &o->warning_call_ns, NULL,
         "Calls that take longer are told of in the log."},
        {"experimental-warning-unary-request-duration", 0, FLAG_DURATION, &o->warning_call_ns, NULL,
         "The same, as etcd 3.5 calls it."},
        {"metrics", 0, FLAG_STRING, &o->metrics_detail, "DETAIL",
         "extensive: durations of calls, too.", "basic|extensive"},
        {"auth-token", 0, FLAG_STRING, &o->auth_token, "TYPE",
         "Tokens of store users: simple, or "
         "jwt,pub-key=FILE,priv-key=FILE,sign-method=NAME,ttl=TIME."},
        {"auth-token-ttl", 0, FLAG_UINT, &o->auth_token_ttl_s, "SECONDS",
         "Life of a simple token after its last use."},
        {"bcrypt-cost", 0, FLAG_UINT, &o->bcrypt_cost, "N",
         "Strength of the hashes of store users' passwords, 4 to 31."},
        {"max-concurrent-streams", 0, FLAG_UINT, &o->streams_max, "N",
         "Calls at once on one connection; 0: 250."},
        {"watch-progress-notify-interval", 0, FLAG_DURATION, &o->progress_ns, NULL,
         "Time between progress notices of idle watches."},
        {"experimental-watch-progress-notify-interval", 0, FLAG_DURATION, &o->progress_ns, NULL,
         "The same, as etcd 3.4 and 3.5 call it."},
        {"initial-corrupt-check", 0, FLAG_BOOL, &o->initial_corrupt_check, NULL,
         "Compare everything stored with its digests before anything is served."},
        {"corrupt-check-time", 0, FLAG_DURATION, &o->corrupt_check_ns, NULL,
         "Time between checks of everything stored, and of the members' digests; 0: 10 and 1 "
         "minutes."},
        {"experimental-initial-corrupt-check", 0, FLAG_BOOL, &o->initial_corrupt_check, NULL,
         "The name that --initial-corrupt-check has in etcd 3.5 and before."},
        {"experimental-corrupt-check-time", 0, FLAG_DURATION, &o->corrupt_check_ns, NULL,
         "The name that --corrupt-check-time has there."},
        {"disk-reserve-bytes", 0, FLAG_UINT, &o->disk_reserve_bytes, "BYTES",
         "Kept in a file and given back when the disk is full, so that keys can be deleted; at "
         "most "
         "1/16 of the disk. Less than this free: puts are refused. 0: the disk is not watched."},
        {"snapshot-count", 0, FLAG_INT, &o->snapshot_count, "N",
         "Accepted; the store checkpoints by time and bytes."},
        {"snapshot-catchup-entries", 0, FLAG_UINT, &o->catchup_entries, "N",
         "Entries of the log that are kept for members behind, and fewer when they are large. Who "
         "is further behind gets a snapshot."},
        {"experimental-snapshot-catchup-entries", 0, FLAG_UINT, &o->catchup_entries, "N",
         "The same, as etcd 3.4 and 3.5 call it."},
        {"pre-vote", 0, FLAG_BOOL, &o->pre_vote, NULL, "Always on."},
        {"strict-reconfig-check", 0, FLAG_BOOL, &o->strict_reconfig_check, NULL,
         "Refuse changes of membership that endanger the quorum."},
        {"max-learners", 0, FLAG_UINT, &o->max_learners, "N", "Learners at once."},
        {"force-new-cluster", 0, FLAG_BOOL, &o->force_new_cluster, NULL,
         "Forget all other members: for the last survivor of a lost cluster."},
        {"listen-metrics-urls", 0, FLAG_LIST, &o->metrics_urls, "URLS",
         "More addresses for /metrics and /health."},
        {"log-level", 0, FLAG_STRING, &o->log_level, "LEVEL", "The least important lines to log.",
         "debug|info|warn|error|panic|fatal"},
        {"log-format", 0, FLAG_STRING, &o->log_format, "FORMAT",
         "Form of log lines; console: text.", "text|json|console"},
        {"restore-snapshot", 0, FLAG_STRING, &o->restore_file, "FILE",
         "Make the data directory out of a backup (of etcd 3.4 to 3.6 or of c8s) and end. Every "
         "member of --initial-cluster restores the same file."},
        {"restore-skip-hash-check", 0, FLAG_BOOL, &o->restore_skip_hash_check, NULL,
         "Take a file without a hash at its end: a database copied from a data directory."},
        {"restore-bump-revision", 0, FLAG_UINT, &o->restore_bump_revision, "N",
         "Raise the revision by so much, so that it never goes back for those who saw more than "
         "the backup has."},
        {"restore-mark-compacted", 0, FLAG_BOOL, &o->restore_mark_compacted, NULL,
         "Count everything up to the new revision as compacted: watches from before start anew."},
        {.help = "Of etcd and without effect here, taken with values that change nothing; not "
                 "shown:"},
        TAKEN("logger", "zap"),
        TAKEN("log-outputs", "default|stderr"),
        TAKEN_BOOL("enable-log-rotation", "false"),
        TAKEN("log-rotation-config-json", NULL), /* nothing is rotated */
        TAKEN_BOOL("enable-pprof", "false"),
        TAKEN_BOOL("enable-v2", "false"),
        TAKEN("v2-deprecation", NULL), /* there never was a v2 store */
        TAKEN("proxy", "off"),
        TAKEN_BOOL("auto-tls", "false"),
        TAKEN_BOOL("peer-auto-tls", "false"),
        TAKEN_BOOL("unsafe-no-fsync", "false"),
        TAKEN("host-whitelist", "*"),
        TAKEN_BOOL("socket-reuse-address", "true|false"), /* always */
        TAKEN_BOOL("socket-reuse-port", "false"),
        TAKEN("max-snapshots", NULL), /* files of etcd's that the store does not have */
        TAKEN("max-wals", NULL),
        TAKEN("backend-batch-interval", NULL),
        TAKEN("backend-batch-limit", NULL),
        TAKEN("backend-bbolt-freelist-type", NULL),
        TAKEN_BOOL("initial-election-tick-advance",
                   "true|false"),              /* elections are as quick without */
        TAKEN("compaction-batch-limit", NULL), /* slices by time */
        TAKEN("compaction-sleep-interval", NULL),
        TAKEN("experimental-compaction-batch-limit", NULL),
        TAKEN("experimental-compaction-sleep-interval", NULL),
        TAKEN("compact-hash-check-time", NULL), /* digests are compared anyway */
        TAKEN_BOOL("experimental-compact-hash-check-enabled", "true|false"),
        TAKEN("experimental-compact-hash-check-time", NULL),
        TAKEN_BOOL("experimental-enable-lease-checkpoint", "true|false"), /* always */
        TAKEN_BOOL("experimental-enable-lease-checkpoint-persist", "true|false"),
        TAKEN("downgrade-check-time", NULL),
        TAKEN("experimental-downgrade-check-time", NULL),
        TAKEN_BOOL("experimental-txn-mode-write-with-shared-buffer", "true|false"),
        TAKEN_BOOL("experimental-stop-grpc-service-on-defrag",
                   "true|false"), /* it goes on meanwhile */
        TAKEN("bootstrap-defrag-threshold-megabytes", "0"),
        TAKEN("experimental-bootstrap-defrag-threshold-megabytes", "0"),
        TAKEN_BOOL("memory-mlock", "false"),
        TAKEN_BOOL("experimental-memory-mlock", "false"),
        TAKEN_BOOL("experimental-enable-distributed-tracing", "false"),
        TAKEN_BOOL("enable-distributed-tracing", "false"),
        {"wal-dir", 0, FLAG_UNSUPPORTED, NULL, NULL, "the journal lies in the data directory"},
        {"cors", 0, FLAG_UNSUPPORTED, NULL, NULL, "browsers are not answered across origins"},
        {"discovery", 0, FLAG_UNSUPPORTED, NULL, NULL, "use --initial-cluster"},
        {"discovery-srv", 0, FLAG_UNSUPPORTED, NULL, NULL, "use --initial-cluster"},
        {"client-cert-allowed-hostname", 0, FLAG_UNSUPPORTED, NULL, NULL, "use --trusted-ca-file"},
        {"peer-client-cert-file", 0, FLAG_UNSUPPORTED, NULL, NULL,
         "--peer-cert-file must be for both ends"},
        {.help = "API server:"},
        {"bind-address", 0, FLAG_STRING, &c->bind_address, "ADDRESS", "Address of the API port."},
        {"secure-port", 0, FLAG_INT, &o->secure_port, "PORT", "The API port."},
        {"advertise-address", 0, FLAG_STRING, &c->advertise_address, "ADDRESS",
         "This member among the endpoints of Service kubernetes."},
        {"tls-cert-file", 0, FLAG_STRING, &c->tls_cert_file, "FILE",
         "Certificate of the API port."},
        {"tls-private-key-file", 0, FLAG_STRING, &c->tls_key_file, "FILE", "Its key."},
        {"client-ca-file", 0, FLAG_STRING, &c->client_ca_file, "FILE",
         "Who signs clients' certificates."},
        {"token-auth-file", 0, FLAG_STRING, &c->token_file, "FILE",
         "Static tokens: token,user,uid,\"groups\"."},
        {"enable-bootstrap-token-auth", 0, FLAG_BOOL, &c->bootstrap_tokens, NULL,
         "Secrets bootstrap-token-<id> in kube-system authenticate."},
        {"requestheader-client-ca-file", 0, FLAG_STRING, &c->front_proxy.ca_file, "FILE",
         "Who signs the certificates of front proxies, which name users in headers."},
        {"requestheader-allowed-names", 0, FLAG_LIST, &o->front.allowed, "NAMES",
         "Common names of front proxies. Default: any."},
        {"requestheader-username-headers", 0, FLAG_LIST, &o->front.names, "HEADERS",
         "Where they name the user; X-Remote-User is usual."},
        {"requestheader-uid-headers", 0, FLAG_LIST, &o->front.uids, "HEADERS", "The user's UID."},
        {"requestheader-group-headers", 0, FLAG_LIST, &o->front.groups, "HEADERS",
         "The user's groups; X-Remote-Group is usual."},
        {"requestheader-extra-headers-prefix", 0, FLAG_LIST, &o->front.extras, "PREFIXES",
         "What else is known of the user; X-Remote-Extra- is usual."},
        {"anonymous-auth", 0, FLAG_BOOL, &c->anonymous, NULL,
         "Requests without credentials are system:anonymous."},
        {"service-account-key-file", 0, FLAG_LIST, &o->sa_keys, "FILES",
         "Keys that verify service-account tokens."},
        {"service-account-signing-key-file", 0, FLAG_STRING, &c->sa_signing_key_file, "FILE",
         "Key that signs them."},
        {"service-account-issuer", 0, FLAG_STRING, &c->sa_issuer, "URL", "Their issuer."},
        {"api-audiences", 0, FLAG_LIST, &o->audiences, "NAMES",
         "Audiences that mean this API server. Default: the issuer."},
        {"authorization-mode", 0, FLAG_LIST, &o->authorization, "MODES",
         "Node,RBAC, RBAC or AlwaysAllow. Default: RBAC."},
        {"enable-admission-plugins", 0, FLAG_LIST, &o->admission, "NAMES",
         "Admission plugins besides the default ones."},
        {"disable-admission-plugins", 0, FLAG_LIST, &o->admission_off, "NAMES",
         "Default admission plugins that are not called."},
        {"admission-control-config-file", 0, FLAG_STRING, &o->admission_config, "FILE",
         "Configuration of the plugin PodSecurity: defaults and exemptions."},
        {"service-cluster-ip-range", 0, FLAG_STRING, &c->service_cidr, "CIDR",
         "Addresses of services."},
        {"service-node-port-range", 0, FLAG_STRING, &o->node_ports, "LOW-HIGH",
         "Node ports of services."},
        {"kubelet-client-certificate", 0, FLAG_STRING, &c->kubelet_cert_file, "FILE",
         "Certificate towards node agents."},
        {"kubelet-client-key", 0, FLAG_STRING, &c->kubelet_key_file, "FILE", "Its key."},
        {"kubelet-certificate-authority", 0, FLAG_STRING, &c->kubelet_ca_file, "FILE",
         "Who signs node agents' certificates."},
        {"max-requests-inflight", 0, FLAG_INT, &o->inflight, "N",
         "Reads at once; 0 with the next: no limit. See --enable-priority-and-fairness."},
        {"max-mutating-requests-inflight", 0, FLAG_INT, &o->mutating, "N", "Writes at once."},
        {"enable-priority-and-fairness", 0, FLAG_BOOL, &c->priority_and_fairness, NULL,
         "The sum of both is dealt to users as FlowSchemas and PriorityLevelConfigurations say; "
         "without it "
         "each is a limit of its own (0: none), and who comes past it gets 429."},
        {"min-request-timeout", 0, FLAG_SECONDS, &o->min_request_timeout_s, NULL,
         "Watches last this long, up to twice."},
        {"etcd-compaction-interval", 0, FLAG_DURATION, &o->compaction_ns, NULL,
         "How long history is kept; 0: for ever."},
        {"event-ttl", 0, FLAG_DURATION, &o->event_ttl_ns, NULL, "How long events are kept."},
        {"v", 'v', FLAG_COUNT, &o->verbosity, NULL, "Say more; from 4 on debug lines."},
        {"encryption-provider-config", 0, FLAG_UNSUPPORTED, NULL, NULL,
         "encryption at rest is not there yet"},
        {"audit-policy-file", 0, FLAG_UNSUPPORTED, NULL, NULL, "audit is not there yet"},
        {"audit-log-path", 0, FLAG_UNSUPPORTED, NULL, NULL, "audit is not there yet"},
        {"proxy-client-cert-file", 0, FLAG_UNSUPPORTED, NULL, NULL, "aggregation is not there yet"},
        {"proxy-client-key-file", 0, FLAG_UNSUPPORTED, NULL, NULL, "aggregation is not there yet"},
        {"feature-gates", 0, FLAG_LIST, &o->feature_gates, "NAME=BOOL,…",
         "Those of etcd 3.6 and later that change nothing here, and InitialCorruptCheck."},
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "c8s-apiserver",
        .summary = "A control-plane member: the replicated store and the Kubernetes API over it.",
        .flags = flags,
        .env_prefix = "ETCD_"};
    int code = exit_code(argc, argv);
    flags_parse_or_exit(&spec, argc, argv, NULL, code);
    struct error err;
    flags_unknown_variables(&spec, &o->unknown_variables);
    arena_init(&o->arena);
    if (o->config_file && config_file_read(o->config_file, &spec, &o->arena, &err) < 0)
        usage_error(code, "--config-file: %s", err.message);
    derive(o, code);
}

void options_free(struct options *o)
{
    flag_list_free(&o->client_urls);
    flag_list_free(&o->client_http_urls);
    flag_list_free(&o->feature_gates);
    flag_list_free(&o->unknown_variables);
    flag_list_free(&o->advertise_client_urls);
    flag_list_free(&o->peer_urls);
    flag_list_free(&o->advertise_peer_urls);
    flag_list_free(&o->metrics_urls);
    flag_list_free(&o->peer_allowed_cn);
    flag_list_free(&o->peer_allowed_hostnames);
    flag_list_free(&o->cipher_suites);
    flag_list_free(&o->sa_keys);
    flag_list_free(&o->audiences);
    flag_list_free(&o->front.allowed);
    flag_list_free(&o->front.names);
    flag_list_free(&o->front.uids);
    flag_list_free(&o->front.groups);
    flag_list_free(&o->front.extras);
    flag_list_free(&o->authorization);
    flag_list_free(&o->admission);
    flag_list_free(&o->admission_off);
    arena_free(&o->arena);
}

static struct str *strs(struct arena *a, const struct flag_list *l)
{
    struct str *out = arena_array(a, struct str, l->len + 1);
    for (size_t i = 0; i < l->len; i++)
        out[i] = str_from(l->items[i]);
    return out;
}

/* "a=https://1:2380,b=https://2:2380,a=…": members in order of first mention. */
static int parse_cluster(const char *text, struct arena *a, struct kv_member_config **members,
                         size_t *len, struct error *err)
{
    struct str rest = str_from(text), part;
    size_t commas = 1;
    for (const char *p = text; *p; p++)
        commas += *p == ',';
    struct kv_member_config *out = arena_array(a, struct kv_member_config, commas);
    size_t n = 0;
    while (rest.n && str_split(&rest, ',', &part)) {
        struct str url = str_trim(part), name;
        str_split(&url, '=', &name);
        if (!name.n || !url.n)
            return error_set(err, ERR_INVALID, "--initial-cluster: want name=url, not \"%.*s\"",
                             STR_ARG(part));
        size_t i = 0;
        while (i < n && !str_eq(out[i].name, name))
            i++;
        if (i == n) {
            out[n].name = name;
            out[n++].peer_urls = arena_array(a, struct str, commas);
        }
        ((struct str *)out[i].peer_urls)[out[i].peer_urls_len++] = url;
    }
    *members = out;
    *len = n;
    return 0;
}

const char *options_cipher_suites(const struct options *o, struct arena *a)
{
    const char *all = NULL;
    for (size_t i = 0; i < o->cipher_suites.len; i++)
        all = arena_printf(a, "%s%s%s", all ? all : "", all ? "," : "", o->cipher_suites.items[i]);
    return all;
}

/* "0", "12" (hours, or revisions), "90m". */
static int parse_retention(const struct options *o, struct kv_options *out, struct error *err)
{
    struct str text = str_from(o->compaction_retention);
    int64_t n = 0;
    bool number = str_to_i64(text, &n), by_revision = cstr_eq(o->compaction_mode, "revision");
    if (!number && (by_revision || !clock_parse_duration(text, &n)))
        n = -1;
    else if (number && !by_revision)
        n = n <= INT64_MAX / NS(3600) ? n * NS(3600) : -1;
    if (n < 0)
        return error_set(err, ERR_INVALID, "--auto-compaction-retention: \"%s\" is no %s",
                         o->compaction_retention, by_revision ? "number of revisions" : "duration");
    if (by_revision)
        out->auto_compact_revs = n;
    else
        out->auto_compact_ns = (uint64_t)n;
    return 0;
}

int options_store(const struct options *o, struct arena *a, struct kv_options *out,
                  struct error *err)
{
    *out = (struct kv_options){
        .data_dir = o->data_dir,
        .metrics = o->api.metrics,
        .quota_bytes = o->quota_bytes < 0 ? KV_QUOTA_NONE : (uint64_t)o->quota_bytes,
        .request_bytes_max = o->request_bytes_max,
        .txn_ops_max = o->txn_ops_max,
        .log_keep_entries = MAX(o->catchup_entries, 1),
        .initial_corrupt_check = o->initial_corrupt_check,
        .disk_reserve_bytes = o->disk_reserve_bytes,
        .check_ms = (uint32_t)(o->corrupt_check_ns / 1000000),
        .compare_ms = (uint32_t)(o->corrupt_check_ns / 1000000),
        .watch_progress_ms = (uint32_t)(o->progress_ns / 1000000),
        .warning_apply_ns = (uint64_t)MAX(o->warning_apply_ns, 1),
        .name = str_from(o->name),
        .join_existing = strcmp(o->cluster_state, "existing") == 0,
        .cluster_token = str_from(o->cluster_token),
        .listen_peer_urls = strs(a, &o->peer_urls),
        .listen_peer_urls_len = o->peer_urls.len,
        .client_urls = strs(a, &o->advertise_client_urls),
        .client_urls_len = o->advertise_client_urls.len,
        .peer_cert_file = o->peer_cert_file,
        .peer_key_file = o->peer_key_file,
        .peer_ca_file = o->peer_ca_file,
        .peer_client_cert_auth = o->peer_client_cert_auth,
        .peer_crl_file = o->peer_crl_file,
        .cipher_suites = options_cipher_suites(o, a),
        .tls_min_version = o->tls_min_version,
        .tls_max_version = o->tls_max_version,
        .auth_token = o->auth_token,
        .auth_token_ttl_s = (uint32_t)MIN(o->auth_token_ttl_s, UINT32_MAX),
        .bcrypt_cost = (unsigned)MIN(o->bcrypt_cost, UINT32_MAX),
        .peer_allowed_cn = strs(a, &o->peer_allowed_cn),
        .peer_allowed_cn_len = o->peer_allowed_cn.len,
        .peer_allowed_hostnames = strs(a, &o->peer_allowed_hostnames),
        .peer_allowed_hostnames_len = o->peer_allowed_hostnames.len,
        .strict_reconfig = o->strict_reconfig_check,
        .learners_max = (unsigned)MIN(o->max_learners, UINT32_MAX),
        .force_new_cluster = o->force_new_cluster,
        .heartbeat_ms = (uint32_t)o->heartbeat_ms,
        .election_ms = (uint32_t)o->election_ms,
    };
    if (parse_retention(o, out, err) < 0)
        return err->code;
    struct kv_member_config *members = NULL;
    if (!o->initial_cluster) { /* a lone member; with peer URLs others can be added to it */
        const struct flag_list *urls =
            o->advertise_peer_urls.len ? &o->advertise_peer_urls : &o->peer_urls;
        members = arena_new(a, struct kv_member_config);
        *members = (struct kv_member_config){out->name, strs(a, urls), urls->len};
        out->members = members;
        out->members_len = urls->len > 0;
        return 0;
    }
    int rc = parse_cluster(o->initial_cluster, a, &members, &out->members_len, err);
    out->members = members;
    return rc;
}
