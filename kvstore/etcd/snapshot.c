/*
 * Maintenance.Snapshot: the state as a database file of etcd's, followed by its SHA-256.
 *
 *     thread of its own   kv_backup into an unnamed file of the data directory
 *     loop                the file in pieces, as fast as the client takes them; then the hash
 *
 * The file is written first, since its head says where its parts are; so nothing in the store waits for a slow client.
 */
#include "kvstore/etcd/internal.h"
#include "base/log.h"
#include "base/mem.h"
#include "kvstore/backup/backup.h"
#include "kvstore/etcd/auth.h"
#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

#define PIECE_BYTES (64u * 1024)
#define QUEUED_MAX (512u * 1024) /* handed to the connection and not taken by the client */

struct stream {
    struct etcd_job job;
    struct etcd_request *request;
    int fd; /* < 0: none */
    EVP_MD_CTX *sha256;
    struct kv_backup_info info;
    uint64_t sent;
    bool built, finished;
    int code;
    struct error err;
};

static void stream_fail(struct stream *s, int status, const char *message)
{
    s->finished = true;
    grpc_finish(s->request->call, status, message);
}

static void send_piece(struct stream *s, struct str blob, uint64_t remaining)
{
    Etcdserverpb__ResponseHeader header;
    Etcdserverpb__SnapshotResponse r = ETCDSERVERPB__SNAPSHOT_RESPONSE__INIT;
    etcd_header(s->request->server, &header, s->info.rev);
    r.header = &header;
    r.remaining_bytes = remaining;
    r.blob = etcd_bytes(blob);
    r.version = (char *)ETCD_VERSION;
    grpc_send(s->request->call, &r.base);
}

static bool send_next(struct stream *s)
{
    static _Thread_local char piece[PIECE_BYTES];
    size_t n = MIN(sizeof piece, s->info.bytes - s->sent);
    ssize_t got = pread(s->fd, piece, n, (off_t)s->sent);
    if (got <= 0) {
        log_error("store", "snapshot file unreadable error=\"%s\"", strerror(errno));
        stream_fail(s, GRPC_INTERNAL, "etcdserver: snapshot file could not be read");
        return false;
    }
    EVP_DigestUpdate(s->sha256, piece, (size_t)got);
    s->sent += (uint64_t)got;
    send_piece(s, str_make(piece, (size_t)got), s->info.bytes - s->sent);
    return true;
}

/* As much as the client takes. */
static void stream_pump(struct stream *s)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    while (s->built && !s->finished && grpc_queued(s->request->call) < QUEUED_MAX) {
        if (s->sent < s->info.bytes) {
            if (!send_next(s))
                return;
            continue;
        }
        EVP_DigestFinal_ex(s->sha256, digest, &digest_len);
        send_piece(s, str_make(digest, digest_len), 0);
        stream_fail(s, GRPC_OK, NULL);
        return;
    }
}

/* Thread of its own. */
static void stream_build(struct etcd_job *job)
{
    struct stream *s = container_of(job, struct stream, job);
    struct kv *kv = s->request->server->kv;
    s->fd = kv_backup_file(kv, &s->err);
    s->code = s->fd < 0 ? s->fd : 0;
    /* Compaction or an installed snapshot may come between: once more. */
    for (int i = 0; i < 3 && s->code == 0; i++) {
        if (ftruncate(s->fd, 0) < 0)
            s->code = error_errno(&s->err, ERR_IO, errno, "empty the snapshot file");
        else
            s->code = kv_backup(kv, s->fd, &job->stop, &s->info, &s->err);
        if (s->code != ERR_UNAVAILABLE)
            break;
    }
}

static void stream_built(struct etcd_job *job)
{
    struct stream *s = container_of(job, struct stream, job);
    s->built = s->code == 0;
    if (s->built && !grpc_cancelled(s->request->call)) {
        log_info("store", "snapshot sending rev=%lld bytes=%llu", (long long)s->info.rev,
                 (unsigned long long)s->info.bytes);
        stream_pump(s);
        return;
    }
    if (s->code && s->code != ERR_CANCELLED)
        log_warn("store", "snapshot failed error=\"%s\"", s->err.message);
    if (s->code == ERR_LIMIT) {
        stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "etcdserver: no disk space left for a snapshot");
    } else if (s->code && s->code != ERR_CANCELLED) {
        s->finished = true;
        etcd_fail(s->request->call, s->code);
    } else {
        stream_fail(s, GRPC_CANCELLED, "context canceled");
    }
}

static void on_drain(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    stream_pump(grpc_user(call));
}

static void on_cancel(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct stream *s = grpc_user(call);
    atomic_store(&s->job.stop, true);
    if (s->built && !s->finished)
        stream_fail(s, GRPC_CANCELLED, "context canceled");
}

static void on_free(struct grpc_call *call, void *ctx)
{
    (void)ctx;
    struct stream *s = grpc_user(call);
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    EVP_MD_CTX_free(s->sha256);
    mem_free(s);
}

static void on_snapshot(struct grpc_call *call, void *ctx, const ProtobufCMessage *message,
                        struct str raw)
{
    (void)raw;
    struct etcd_server *server = ctx;
    if (etcd_refused(call, etcd_auth_admin(server, call)))
        return;
    struct etcd_request *r = etcd_request_new(server, call, message);
    struct stream *s = mem_zalloc(sizeof *s);
    s->request = r;
    s->fd = -1;
    s->sha256 = EVP_MD_CTX_new();
    s->job.run = stream_build;
    s->job.done = stream_built;
    grpc_set_user(call, s);
    EVP_DigestInit_ex(s->sha256, EVP_sha256(), NULL);
    if (!etcd_job_start(server, etcd_loop(call), &s->job))
        stream_fail(s, GRPC_RESOURCE_EXHAUSTED, "etcdserver: too many requests");
}

const struct grpc_method etcd_snapshot_method = {
    .path = "/etcdserverpb.Maintenance/Snapshot",
    .request = &etcdserverpb__snapshot_request__descriptor,
    .on_message = on_snapshot,
    .on_cancel = on_cancel,
    .on_drain = on_drain,
    .on_free = on_free,
};
