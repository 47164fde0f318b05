/*
 * Raft under the store: options become a node, members' URLs become addresses (raft/node.h).
 */
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "raft/pull.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <inttypes.h>

#define PULL_IDLE_MS 10000

struct driver {
    struct kv *kv;
    struct raft_node *node;
    struct tls_context *server, *client;
    char *listen;
};

struct blob *driver_proposal_new(size_t len)
{
    return raft_proposal_new(len);
}

void driver_propose(struct driver *d, struct blob *proposal, raft_propose_fn *fn, void *ctx)
{
    raft_propose_data(d->node, proposal, d->kv->o.request_timeout_ms, fn, ctx);
}

void driver_read_index(struct driver *d, raft_read_fn *fn, void *ctx)
{
    raft_node_read_index(d->node, d->kv->o.request_timeout_ms, fn, ctx);
}

void driver_hurry(struct driver *d)
{
    raft_node_hurry(d->node);
}

void driver_nudge(struct driver *d)
{
    raft_node_nudge(d->node);
}

void driver_status(struct driver *d, struct raft_node_status *out)
{
    raft_node_status(d->node, out);
}

void driver_call(struct driver *d, uint64_t to, struct str question, uint32_t timeout_ms,
                 raft_call_fn *fn, void *ctx)
{
    raft_node_call(d->node, to, question, timeout_ms, fn, ctx);
}

void driver_answer(struct driver *d, uint64_t to, uint64_t call_id, struct str answer)
{
    raft_node_answer(d->node, to, call_id, answer);
}

/* Raft thread. */
static void on_role(void *ctx, enum raft_role role, uint64_t term, uint64_t leader)
{
    struct kv *kv = ctx;
    (void)leader;
    atomic_store(&kv->leader_term, role == RAFT_LEADER ? term : 0);
}

static const struct raft_node_events node_events = {.on_role = on_role};

void driver_transfer(struct driver *d, uint64_t to, raft_done_fn *fn, void *ctx)
{
    raft_node_transfer(d->node, to, fn, ctx);
}

/* Where this member listens for peers: --listen-peer-urls, else its own peer URL. */
static int choose_listen(struct driver *d, bool *secure, struct error *err)
{
    const struct kv_options *o = &d->kv->o;
    char address[256];
    struct str url = STR_NONE;
    if (o->listen_peer_urls_len)
        url = o->listen_peer_urls[0];
    const struct kv_member_config *own = members_own_config(d->kv);
    if (!url.n && own && own->peer_urls_len)
        url = own->peer_urls[0];
    *secure = false;
    if (!url.n)
        return o->members_len > 1 ? error_set(err, ERR_INVALID, "no peer URL to listen on") : 0;
    int rc = member_url_address(url, address, secure, err);
    if (rc == 0)
        d->listen = mem_strdup(address);
    return rc;
}

/* Whoever names a CA for peers wants them checked, whatever --peer-client-cert-auth says. */
int driver_peer_tls(struct kv *kv, struct tls_context **server, struct tls_context **client,
                    struct error *err)
{
    const struct kv_options *o = &kv->o;
    bool both_ways = o->peer_client_cert_auth || o->peer_ca_file;
    struct tls_options t = {.cert_file = o->peer_cert_file,
                            .key_file = o->peer_key_file,
                            .ca_file = o->peer_ca_file,
                            .crl_file = o->peer_crl_file,
                            .cipher_suites = o->cipher_suites,
                            .min_version = o->tls_min_version,
                            .max_version = o->tls_max_version,
                            .watch_files = true,
                            .client_auth =
                                both_ways ? TLS_CLIENT_AUTH_REQUIRE : TLS_CLIENT_AUTH_NONE};
    *server = *client = NULL;
    if (!t.cert_file || !t.key_file)
        return error_set(err, ERR_INVALID, "https peer URLs need a peer certificate and key");
    if (both_ways && !t.ca_file)
        return error_set(err, ERR_INVALID, "--peer-client-cert-auth needs --peer-trusted-ca-file");
    *server = tls_server_new(&t, err);
    *client = *server ? tls_client_new(&t, err) : NULL;
    if (*client)
        return 0;
    tls_context_unref(*server);
    *server = NULL;
    return error_wrap(err, "peer TLS");
}

void driver_propose_config(struct driver *d, const struct raft_change *change, uint32_t timeout_ms,
                           raft_propose_fn *fn, void *ctx)
{
    raft_propose_config(d->node, change, timeout_ms, fn, ctx);
}

void driver_set_peer(struct driver *d, const struct kv_member *member)
{
    char address[256];
    bool secure;
    struct error err;
    if (member->peer_urls_len == 0)
        return;
    if (member_url_address(member->peer_urls[0], address, &secure, &err) < 0)
        log_warn("store", "a member cannot be reached member=%" PRIx64 " reason=\"%s\"", member->id,
                 err.message);
    else
        raft_node_set_peer(d->node, member->id, address);
}

void driver_expel(struct driver *d, uint64_t id)
{
    raft_node_expel(d->node, id);
}

/* Tell Raft where everybody else is. */
static void set_peers(struct driver *d)
{
    struct members *m = &d->kv->members;
    pthread_mutex_lock(&m->lock);
    for (size_t i = 0; i < m->now.items.len; i++)
        if (m->now.items.items[i].id != d->kv->member_id)
            driver_set_peer(d, &m->now.items.items[i]);
    pthread_mutex_unlock(&m->lock);
}

void driver_retire(struct driver *d)
{
    raft_node_retire(d->node);
}

static void driver_free(struct driver *d)
{
    tls_context_unref(d->server);
    tls_context_unref(d->client);
    mem_free(d->listen);
    mem_free(d);
}

int driver_start(struct kv *kv, const struct raft_boot *boot, struct error *err)
{
    struct driver *d = mem_zalloc(sizeof *d);
    bool secure;
    d->kv = kv;
    kv->driver = d;
    int rc = choose_listen(d, &secure, err);
    if (rc == 0 && secure)
        rc = driver_peer_tls(kv, &d->server, &d->client, err);
    struct raft_node_options o = {.id = kv->member_id,
                                  .cluster_id = kv->cluster_id,
                                  .host = kv->host,
                                  .heartbeat_ms = kv->o.heartbeat_ms,
                                  .election_ms = kv->o.election_ms,
                                  .listen = d->listen,
                                  .level = kv->o.level,
                                  .peer_rules = &kv_peer_rules,
                                  .peer_rules_ctx = kv,
                                  .tls_server = d->server,
                                  .tls_client = d->client,
                                  .boot = boot,
                                  .ops = &kv_machine_ops,
                                  .machine_ctx = kv,
                                  .events = &node_events,
                                  .events_ctx = kv,
                                  .metrics = kv->o.metrics};
    if (rc == 0)
        rc = raft_node_start(&o, &d->node, err);
    if (rc == 0)
        set_peers(d);
    if (rc < 0) {
        kv->driver = NULL;
        driver_free(d);
    }
    return rc;
}

int driver_pull(struct kv *kv, uint64_t peer, struct str url, uint64_t index_min,
                struct raft_snapshot_writer **out, struct error *err)
{
    struct driver d = {.kv = kv};
    struct raft_snapshot_meta meta;
    char address[256];
    bool secure;
    int rc = member_url_address(url, address, &secure, err);
    if (rc == 0 && secure)
        rc = driver_peer_tls(kv, &d.server, &d.client, err);
    struct raft_pull_options o = {.id = kv->member_id,
                                  .cluster_id = kv->cluster_id,
                                  .level = kv_level_own(kv),
                                  .peer = peer,
                                  .address = address,
                                  .tls = d.client,
                                  .ops = &kv_machine_ops,
                                  .machine = kv,
                                  .index_min = index_min,
                                  .idle_ms = PULL_IDLE_MS};
    if (rc == 0)
        rc = raft_pull_snapshot(&o, out, &meta, err);
    tls_context_unref(d.server);
    tls_context_unref(d.client);
    return rc;
}

void driver_stop(struct driver *d)
{
    raft_node_stop(d->node);
    driver_free(d);
}
