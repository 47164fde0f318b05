/*
 * `c8s kv lock`, `c8s kv elect`: hold a lock or an office by a lease that is kept alive meanwhile. Waiting
 * one's turn is done by the server (etcd's Lock and Election services).
 */
#include "cli/kv/kv.h"
#include "proto/etcd/election.pb-c.h"
#include "proto/etcd/lock.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define ELECT_TTL_S 60

/* ------------------------------------------------------------------------ sessions --- */

/* A lease that a thread of its own keeps alive. When it is lost, kv_stop says so. */
struct session {
    struct kv_cli *cli;
    int64_t lease;
    const char *lost; /* what to say then */
    pthread_t thread;
};

static void *keep(void *arg)
{
    struct session *s = arg;
    char text[256];
    if (kv_keep_alive(s->cli, s->lease, false, NULL, text) != KV_STOPPED)
        kv_stop(s->cli, s->lost);
    return NULL;
}

static int session_start(struct session *s, struct kv_cli *c, int64_t ttl, const char *lost)
{
    Etcdserverpb__LeaseGrantRequest q = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    Etcdserverpb__LeaseGrantResponse *r;
    q.ttl = ttl;
    int rc = kv_call(c, c->channel, "/etcdserverpb.Lease/LeaseGrant", &q,
                     &etcdserverpb__lease_grant_response__descriptor, &r);
    if (rc)
        return rc;
    *s = (struct session){.cli = c, .lease = r->id, .lost = lost};
    if (pthread_create(&s->thread, NULL, keep, s) != 0)
        return kv_fail(KV_EXIT_ERROR, "no thread");
    return 0;
}

/* Give the lease back, and with it whatever was held by it. */
static void session_end(struct session *s)
{
    Etcdserverpb__LeaseRevokeRequest q = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    const char *text;
    void *r;
    kv_stop(s->cli, "done");
    pthread_join(s->thread, NULL);
    q.id = s->lease;
    /* If this fails it ends by itself: nobody keeps it alive. */
    kv_try(s->cli, s->cli->channel, "/etcdserverpb.Lease/LeaseRevoke", &q,
           &etcdserverpb__lease_revoke_response__descriptor, &r, &text);
}

/* A request that may wait for others: its answer, or why there is none. 0 or an exit code. */
static int ask_patiently(struct kv_cli *c, const char *path, const void *request,
                         const ProtobufCMessageDescriptor *response, void *out)
{
    const char *text;
    int rc = 0;
    struct kv_stream *s = kv_stream_open(c, c->channel, path, response);
    kv_stream_send(s, request);
    kv_stream_half_close(s);
    enum kv_next next = kv_stream_next(s, 0, &c->arena, out);
    if (next == KV_STOPPED)
        rc = kv_fail(KV_EXIT_ERROR, "%s",
                     cstr_eq(c->stopped, "signal") ? "context canceled" : c->stopped);
    else if (next != KV_MESSAGE && (kv_stream_status(s, &text), true))
        rc = kv_fail(KV_EXIT_ERROR, "%s", text);
    kv_stream_close(s);
    return rc;
}

/* Until a signal comes or the session is lost. true: a signal. */
static bool wait_to_end(struct kv_cli *c)
{
    uv_mutex_lock(&c->lock);
    while (!c->stopped)
        uv_cond_wait(&c->wake, &c->lock);
    bool by_signal = cstr_eq(c->stopped, "signal");
    uv_mutex_unlock(&c->lock);
    return by_signal;
}

/* The key that is held, as `get` prints it. */
static int show_key(struct kv_cli *c, ProtobufCBinaryData key, const char *lost)
{
    Etcdserverpb__RangeRequest q = ETCDSERVERPB__RANGE_REQUEST__INIT;
    Etcdserverpb__RangeResponse *r;
    q.key = key;
    int rc = kv_call(c, c->channel, "/etcdserverpb.KV/Range", &q,
                     &etcdserverpb__range_response__descriptor, &r);
    if (rc == 0 && r->n_kvs == 0 && lost)
        rc = kv_fail(KV_EXIT_ERROR, "%s", lost);
    return rc ? rc : kv_show(c, r, &kv_range_forms);
}

/* ---------------------------------------------------------------------------- lock --- */

extern char **environ;

/* Run the command with the lock in its environment; its exit code is ours. */
static int run_locked(struct kv_cli *c, char **command, const V3lockpb__LockResponse *r)
{
    pid_t pid;
    int status;
    posix_spawnattr_t attributes;
    sigset_t none;
    size_t n = 0;
    while (environ[n])
        n++;
    char **env = arena_array(&c->arena, char *, n + 3);
    env[0] =
        arena_printf(&c->arena, "ETCD_LOCK_KEY=%.*s", (int)r->key.len, (const char *)r->key.data);
    env[1] = arena_printf(&c->arena, "ETCD_LOCK_REV=%" PRId64, r->header ? r->header->revision : 0);
    memcpy(env + 2, environ, n * sizeof *env);
    sigemptyset(&none);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
    int rc = posix_spawnp(&pid, command[0], NULL, &attributes, command, env);
    posix_spawnattr_destroy(&attributes);
    if (rc)
        return kv_fail(KV_EXIT_ERROR, "exec: \"%s\": %s", command[0], strerror(rc));
    if (waitpid(pid, &status, 0) < 0)
        return kv_fail(KV_EXIT_ERROR, "wait: %s", strerror(errno));
    if (WIFSIGNALED(status))
        return kv_fail(-1, "signal: %s", strsignal(WTERMSIG(status)));
    return WEXITSTATUS(status) ? kv_fail(WEXITSTATUS(status), "exit status %d", WEXITSTATUS(status))
                               : 0;
}

static int unlock(struct kv_cli *c, ProtobufCBinaryData key)
{
    V3lockpb__UnlockRequest q = V3LOCKPB__UNLOCK_REQUEST__INIT;
    void *r;
    q.key = key;
    return kv_call(c, c->channel, "/v3lockpb.Lock/Unlock", &q,
                   &v3lockpb__unlock_response__descriptor, &r);
}

static int hold_lock(struct kv_cli *c, struct session *s, char **command)
{
    V3lockpb__LockRequest q = V3LOCKPB__LOCK_REQUEST__INIT;
    V3lockpb__LockResponse *r;
    q.name = kv_bytes(c->args.items[0]);
    q.lease = s->lease;
    int rc = ask_patiently(c, "/v3lockpb.Lock/Lock", &q, &v3lockpb__lock_response__descriptor, &r);
    if (rc)
        return rc;
    if (*command) {
        rc = run_locked(c, command, r);
        int unlocked = unlock(c, r->key);
        return rc ? rc : unlocked;
    }
    rc = show_key(c, r->key, "lock lost on init");
    if (rc)
        return rc;
    return wait_to_end(c) ? unlock(c, r->key) : kv_fail(KV_EXIT_ERROR, "session expired");
}

int kv_lock_main(int argc, char **argv)
{
    struct kv_cli c;
    struct session s;
    int64_t ttl = 10;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"ttl", 0, FLAG_INT, &ttl, "SECONDS", "How long the lock outlives a holder that died."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv lock",
        .summary = "Hold a lock while a command runs, or until interrupted.",
        .usage = "[flags] NAME [COMMAND [ARGUMENT…]]",
        .details = "COMMAND finds ETCD_LOCK_KEY and ETCD_LOCK_REV in its environment; its exit "
                   "code is this one's. Without a command the lock's key is printed when it is "
                   "had.",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = 0;
    if (c.args.len == 0)
        rc = kv_fail(KV_EXIT_ARGS,
                     "lock takes a lock name argument and an optional command to execute");
    if (rc == 0) {
        kv_catch_signals(&c);
        kv_cli_connect_all(&c);
        rc = session_start(&s, &c, ttl, "session expired");
    }
    if (rc == 0) {
        char **command = arena_array(&c.arena, char *, c.args.len);
        memcpy(command, c.args.items + 1, (c.args.len - 1) * sizeof *command);
        rc = hold_lock(&c, &s, command);
        session_end(&s);
    }
    kv_cli_stop(&c);
    return rc;
}

/* --------------------------------------------------------------------------- elect --- */

static int campaign(struct kv_cli *c, struct session *s)
{
    V3electionpb__CampaignRequest q = V3ELECTIONPB__CAMPAIGN_REQUEST__INIT;
    V3electionpb__CampaignResponse *r;
    V3electionpb__ResignRequest resign = V3ELECTIONPB__RESIGN_REQUEST__INIT;
    void *resigned;
    q.name = kv_bytes(c->args.items[0]);
    q.value = kv_bytes(c->args.items[1]);
    q.lease = s->lease;
    int rc = ask_patiently(c, "/v3electionpb.Election/Campaign", &q,
                           &v3electionpb__campaign_response__descriptor, &r);
    if (rc == 0)
        rc = show_key(c, r->leader->key, NULL);
    if (rc)
        return rc;
    if (!wait_to_end(c))
        return kv_fail(KV_EXIT_ERROR, "elect: session expired");
    resign.leader = r->leader;
    return kv_call(c, c->channel, "/v3electionpb.Election/Resign", &resign,
                   &v3electionpb__resign_response__descriptor, &resigned);
}

/* A leader, as `get` prints its key. */
static void show_leader(struct kv_cli *c, V3electionpb__LeaderResponse *r)
{
    Etcdserverpb__RangeResponse range = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    range.header = r->header;
    range.kvs = &r->kv;
    range.n_kvs = r->kv ? 1 : 0;
    kv_show(c, &range, &kv_range_forms);
}

static int observe(struct kv_cli *c)
{
    V3electionpb__LeaderRequest q = V3ELECTIONPB__LEADER_REQUEST__INIT;
    V3electionpb__LeaderResponse *r;
    struct arena a;
    const char *text;
    q.name = kv_bytes(c->args.items[0]);
    arena_init(&a);
    struct kv_stream *s = kv_stream_open(c, c->channel, "/v3electionpb.Election/Observe",
                                         &v3electionpb__leader_response__descriptor);
    kv_stream_send(s, &q);
    kv_stream_half_close(s);
    enum kv_next next;
    while ((next = kv_stream_next(s, 0, &a, &r)) == KV_MESSAGE) {
        show_leader(c, r);
        arena_reset(&a);
    }
    int rc = 0;
    if (next != KV_STOPPED)
        rc = kv_fail(KV_EXIT_ERROR, "%s",
                     kv_stream_status(s, &text) ? text : "elect: observer lost");
    kv_stream_close(s);
    arena_free(&a);
    return rc;
}

int kv_elect_main(int argc, char **argv)
{
    struct kv_cli c;
    struct session s;
    bool listen = false;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"listen", 'l', FLAG_BOOL, &listen, NULL, "Only show who is elected, from now on."},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END};
    const struct flags_spec spec = {
        .program = "c8s kv elect",
        .summary = "Stand for an election with a proposal, and hold the office until interrupted.",
        .usage = "[flags] NAME [PROPOSAL]",
        .flags = flags,
        .env_prefix = "ETCDCTL_",
        .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int rc = 0;
    if (c.args.len != 1 && c.args.len != 2)
        rc = kv_fail(KV_EXIT_ARGS,
                     "elect takes one election name argument and an optional proposal argument");
    else if (c.args.len == 1 && !listen)
        rc = kv_fail(KV_EXIT_ARGS, "no proposal argument but -l not set");
    else if (c.args.len == 2 && listen)
        rc = kv_fail(KV_EXIT_ARGS, "proposal given but -l is set");
    if (rc == 0) {
        kv_catch_signals(&c);
        kv_cli_connect_all(&c);
        rc = listen ? observe(&c) : session_start(&s, &c, ELECT_TTL_S, "elect: session expired");
    }
    if (rc == 0 && !listen) {
        rc = campaign(&c, &s);
        session_end(&s);
    }
    kv_cli_stop(&c);
    return rc;
}
