/*
 * The etcd v3 services over a store: KV, Watch, Lease, Cluster.MemberList and Maintenance over gRPC, and
 * /health, /livez, /readyz, /version and /metrics over HTTP/1.1 and HTTP/2, all on the same ports.
 *
 *     client ─▶ net/grpc ─▶ kv.c, watch.c, lease.c, cluster.c ─▶ kvstore/kv.h
 *
 * Status codes and messages are etcd's, since clients compare them. A request lives on one loop.
 */
#ifndef C8S_KVSTORE_ETCD_ETCD_H
#define C8S_KVSTORE_ETCD_ETCD_H

#include "base/error.h"
#include "kvstore/kv.h"
#include "net/loop.h"

struct etcd_server;

/* What Status and /version report: clients switch features on by it. */
#define ETCD_VERSION "3.6.0"

struct etcd_config {
    struct kv *kv;           /* must outlive the server */
    struct metrics *metrics; /* rendered at /metrics; may be NULL */
    struct loop *const
        *loops; /* that run already; connections are dealt to them; they must outlive kv */
    size_t loops_len;
    const char *const
        *listen_client_urls; /* NULL-terminated: "http://…", "https://…", "unix://…" */
    const char *const
        *listen_client_http_urls; /* NULL-terminated or NULL: HTTP without gRPC there, and only
                                     gRPC at the client URLs */
    bool no_gateway;              /* no JSON under /v3/ */
    const char *const
        *listen_metrics_urls;         /* NULL-terminated or NULL: only health and metrics there */
    const char *cert_file, *key_file; /* for https URLs */
    const char *ca_file; /* clients must show a certificate of this CA (as with client_cert_auth) */
    bool client_cert_auth;
    const char *crl_file, *cipher_suites, *tls_min_version; /* NULL: none, ours, TLS1.2 */
    const char *tls_max_version;                            /* NULL: the newest */
    uint64_t keepalive_min_ms, keepalive_interval_ms, keepalive_timeout_ms; /* 0: 5 s, 2 h, 20 s */
    size_t request_bytes_max;                                               /* 0: 1.5 MiB */
    bool extensive_metrics;   /* durations of calls, too */
    uint64_t warning_call_ns; /* calls that take longer are told of in the log; 0: 300 ms */
    size_t txn_ops_max;       /* 0: 128 */
    uint32_t
        election_ms; /* the store's; 0: 1000. Three of them without a leader end streams that want one */
    unsigned
        streams_max; /* concurrent calls on a connection; 0: 10000 (--max-concurrent-streams) */
};

/* Listen and serve. Not on one of the loops' threads. NULL and *err (URL or file, and reason). */
struct etcd_server *etcd_server_start(const struct etcd_config *config, struct error *err);
/* The port of listen_client_urls[index] (for port 0). */
int etcd_server_port(const struct etcd_server *s, size_t index);
/* Refuse new calls, let running ones end within grace_ms (watches are cut off), free. Not on one of the
 * loops' threads; before kv_close. */
void etcd_server_stop(struct etcd_server *s, uint64_t grace_ms);

#endif
