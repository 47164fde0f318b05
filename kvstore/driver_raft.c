/*
 * Raft under the store: options become a node, members' URLs become addresses (raft/node.h).
 */
#include "kvstore/level.h"
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

/* "https://10.0.0.1:2380" → "10.0.0.1:2380", in `out`. *secure: https. */
static int url_address(struct str url, char out[256], bool *secure, struct error *err)
{
    struct str rest = url;
    if (str_has_prefix(url, STR("https://")))
        rest = str_slice(url, 8, url.n);
    else if (str_has_prefix(url, STR("http://")))
        rest = str_slice(url, 7, url.n);
    else
        return error_set(err, ERR_INVALID, "peer URL %.*s: must begin with http:// or https://",
                         STR_ARG(url));
    *secure = str_has_prefix(url, STR("https://"));
    ptrdiff_t slash = str_find_char(rest, '/');
    if (slash >= 0)
        rest = str_slice(rest, 0, (size_t)slash);
    if (rest.n == 0 || rest.n > 255)
        return error_set(err, ERR_INVALID, "peer URL %.*s: names no host", STR_ARG(url));
    memcpy(out, rest.p, rest.n);
    out[rest.n] = 0;
    return 0;
}

/* Where this member listens for peers: --listen-peer-urls, else its own peer URL if there are others. */
static int choose_listen(struct driver *d, bool *secure, struct error *err)
{
    const struct kv_options *o = &d->kv->o;
    char address[256];
    struct str url = STR_NONE;
    if (o->listen_peer_urls_len)
        url = o->listen_peer_urls[0];
    for (size_t i = 0; i < o->members_len && !url.n; i++)
        if (str_eq(o->members[i].name, o->name) && o->members_len + o->join_existing > 1 &&
            o->members[i].peer_urls_len)
            url = o->members[i].peer_urls[0];
    *secure = false;
    if (!url.n)
        return o->members_len > 1 ? error_set(err, ERR_INVALID, "no peer URL to listen on") : 0;
    int rc = url_address(url, address, secure, err);
    if (rc == 0)
        d->listen = mem_strdup(address);
    return rc;
}

static int open_tls(struct driver *d, struct error *err)
{
    const struct kv_options *o = &d->kv->o;
    struct tls_options t = {.cert_file = o->peer_cert_file,
                            .key_file = o->peer_key_file,
                            .ca_file = o->peer_ca_file,
                            .client_auth = o->peer_client_cert_auth ? TLS_CLIENT_AUTH_REQUIRE
                                                                    : TLS_CLIENT_AUTH_NONE};
    if (!t.cert_file || !t.key_file)
        return error_set(err, ERR_INVALID, "https peer URLs need a peer certificate and key");
    d->server = tls_server_new(&t, err);
    if (!d->server)
        return error_wrap(err, "peer TLS");
    d->client = tls_client_new(&t, err);
    return d->client ? 0 : error_wrap(err, "peer TLS");
}

/* Tell Raft where everybody else is. */
static int set_peers(struct driver *d, struct error *err)
{
    struct kv *kv = d->kv;
    struct arena a;
    struct kv_member *members;
    size_t n;
    arena_init(&a);
    int rc = kv_member_list(kv, &a, &members, &n, err);
    for (size_t i = 0; i < n && rc == 0; i++) {
        char address[256];
        bool secure;
        if (members[i].id == kv->member_id || members[i].peer_urls_len == 0)
            continue;
        rc = url_address(members[i].peer_urls[0], address, &secure, err);
        if (rc == 0)
            raft_node_set_peer(d->node, members[i].id, address);
    }
    arena_free(&a);
    return rc;
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
        rc = open_tls(d, err);
    struct raft_node_options o = {.id = kv->member_id,
                                  .cluster_id = kv->cluster_id,
                                  .host = kv->host,
                                  .heartbeat_ms = kv->o.heartbeat_ms,
                                  .election_ms = kv->o.election_ms,
                                  .listen = d->listen,
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
    if (rc == 0 && (rc = set_peers(d, err)) < 0)
        raft_node_stop(d->node);
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
    int rc = url_address(url, address, &secure, err);
    if (rc == 0 && secure)
        rc = open_tls(&d, err);
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
