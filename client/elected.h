/*
 * A program of which several run and one works: a client of the API server with health and metrics of its own
 * (client/component.h) that works while it holds a Lease (client/leader_election.h). The scheduler and the controllers.
 *
 * main parses ELECTED_FLAGS beside its own flags into an elected_options, calls elected_begin first and elected_connect
 * for the client, makes what the program is, and hands it to elected_run, which returns at SIGTERM or SIGINT.
 */
#ifndef C8S_CLIENT_ELECTED_H
#define C8S_CLIENT_ELECTED_H

#include "base/flags.h"
#include "client/client.h"
#include "client/component.h"

struct elected_options {
    const char *kubeconfig, *bind_address, *cert_file, *key_file, *log_format;
    const char *lease_name, *lease_namespace;
    int64_t port, verbosity;
    int64_t lease_ns, renew_ns, retry_ns;
    bool leader_elect;
};

/* What the flags say when they are not given. */
#define ELECTED_DEFAULTS(LEASE, PORT)                                                           \
    {                                                                                           \
        .bind_address = "0.0.0.0", .port = (PORT), .leader_elect = true, .lease_name = (LEASE), \
        .lease_namespace = "kube-system", .log_format = "text", .lease_ns = 15000000000,        \
        .renew_ns = 10000000000, .retry_ns = 2000000000                                         \
    }

/* Rows of a flag table (base/flags.h); o: struct elected_options *. */
#define ELECTED_FLAGS(o)                                                                        \
    {                                                                                           \
        "kubeconfig", 0,                                                                        \
        FLAG_STRING,  &(o)->kubeconfig,                                                         \
        "FILE",       "How to reach the API servers. Default: the pod's service account."},     \
        {"leader-elect", 0,                                                                     \
         FLAG_BOOL,      &(o)->leader_elect,                                                    \
         NULL,           "Work only while holding the lease, so that several can stand by."},   \
        {"leader-elect-lease-duration",                                                         \
         0,                                                                                     \
         FLAG_DURATION,                                                                         \
         &(o)->lease_ns,                                                                        \
         NULL,                                                                                  \
         "After how long without renewal others may take the lease."},                          \
        {"leader-elect-renew-deadline",                                                         \
         0,                                                                                     \
         FLAG_DURATION,                                                                         \
         &(o)->renew_ns,                                                                        \
         NULL,                                                                                  \
         "After how long without success the leader gives up."},                                \
        {"leader-elect-retry-period", 0, FLAG_DURATION, &(o)->retry_ns, NULL,                   \
         "Time between attempts."},                                                             \
        {"leader-elect-resource-name", 0, FLAG_STRING, &(o)->lease_name, "NAME",                \
         "Name of the lease."},                                                                 \
        {"leader-elect-resource-namespace", 0, FLAG_STRING, &(o)->lease_namespace, "NAMESPACE", \
         "Namespace of the lease."},                                                            \
        {"bind-address",     0,         FLAG_STRING,                                            \
         &(o)->bind_address, "ADDRESS", "Address for --secure-port."},                          \
        {"secure-port", 0,      FLAG_INT,                                                       \
         &(o)->port,    "PORT", "HTTPS port for health and metrics; 0: none."},                 \
        {"tls-cert-file", 0,      FLAG_STRING,                                                  \
         &(o)->cert_file, "FILE", "Certificate for --secure-port. Default: self-signed."},      \
        {"tls-private-key-file", 0, FLAG_STRING, &(o)->key_file, "FILE", "Its key."},           \
        {"log-format",         0,          FLAG_STRING, &(o)->log_format, "FORMAT",             \
         "Form of log lines.", "text|json"},                                                    \
    {                                                                                           \
        "v", 'v', FLAG_COUNT, &(o)->verbosity, NULL, "Say more; from 4 on every decision."      \
    }

/* The work. start, stop: on the election's thread, or the caller's without an election; see leader_config. */
struct elected_work {
    const char *component; /* in log lines: "scheduler" */
    bool (*synced)(void *ctx);
    void (*start)(void *ctx);
    void (*stop)(void *ctx); /* nothing is written any more when it returns */
    void *ctx;
};

/* Logging and signals as the options say; before any thread starts. */
void elected_begin(const struct elected_options *o);

/* agent: the User-Agent. The client is the caller's (client_free). */
int elected_connect(const struct elected_options *o, const char *agent, struct client **out,
                    struct error *err);

/* Serve health and metrics, work while leading, until a signal ends the process; what was started is stopped then,
 * before the lease is given up. A lease that is lost begins the process again, as `argv`. -1: it could not be
 * started. */
int elected_run(const struct elected_options *o, const struct elected_work *work,
                struct client *client, struct metrics *metrics, char **argv, struct error *err);

#endif
