/*
 * `c8s kv snapshot save|status|restore`: backups as etcd's tools have them, and data directories made of them.
 */
#include "cli/kv/kv.h"
#include "base/mem.h"
#include "bolt/backup_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- save ---- */

struct save {
    struct kv_cli *cli;
    const char *part; /* the file until it is whole */
    int fd;
    uint64_t bytes;
    bool complete; /* nothing remains */
    uv_sem_t ended;
    int code;
};

static void save_message(struct grpc_client_call *call, void *ctx, const ProtobufCMessage *m,
                         struct str raw)
{
    (void)raw;
    struct save *s = ctx;
    const Etcdserverpb__SnapshotResponse *r = (const void *)m;
    for (size_t at = 0; at < r->blob.len && s->code == 0;) {
        ssize_t n = write(s->fd, r->blob.data + at, r->blob.len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            s->code = kv_fail(KV_EXIT_INTERRUPTED, "write %s: %s", s->part, strerror(errno));
            grpc_client_cancel(call);
            return;
        }
        at += (size_t)n;
    }
    s->bytes += r->blob.len;
    s->complete = r->remaining_bytes == 0;
}

static void save_done(struct grpc_client_call *call, void *ctx, const struct grpc_result *result)
{
    (void)call;
    struct save *s = ctx;
    if (s->code == 0 && result->status != GRPC_OK)
        s->code = kv_fail(KV_EXIT_INTERRUPTED, "%s", result->message);
    uv_sem_post(&s->ended);
}

static void save_begin(void *arg)
{
    static const struct grpc_client_events events = {.on_message = save_message,
                                                     .on_done = save_done};
    struct save *s = arg;
    Etcdserverpb__SnapshotRequest q = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    grpc_open_unary(s->cli->channel, "/etcdserverpb.Maintenance/Snapshot", &q.base,
                    &etcdserverpb__snapshot_response__descriptor, 0, &events, s);
}

static int save_to(struct kv_cli *c, const char *path)
{
    struct save s = {.cli = c, .part = arena_printf(&c->arena, "%s.part", path)};
    s.fd = open(s.part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (s.fd < 0)
        return kv_fail(KV_EXIT_INTERRUPTED, "could not open %s (%s)", s.part, strerror(errno));
    uv_sem_init(&s.ended, 0);
    loop_call(c->loop, save_begin, &s);
    uv_sem_wait(&s.ended);
    uv_sem_destroy(&s.ended);
    if (s.code == 0 && (!s.complete || s.bytes % 512 != BACKUP_HASH_BYTES))
        s.code =
            kv_fail(KV_EXIT_INTERRUPTED, "sha256 checksum not found [bytes: %" PRIu64 "]", s.bytes);
    if (s.code == 0 && fsync(s.fd) < 0)
        s.code = kv_fail(KV_EXIT_INTERRUPTED, "flush %s: %s", s.part, strerror(errno));
    close(s.fd);
    if (s.code == 0 && rename(s.part, path) < 0)
        s.code = kv_fail(KV_EXIT_INTERRUPTED, "could not rename %s to %s (%s)", s.part, path,
                         strerror(errno));
    if (s.code)
        unlink(s.part);
    else
        printf("Snapshot saved at %s\n", path);
    return s.code;
}

static int save_main(int argc, char **argv)
{
    struct kv_cli c;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv snapshot save",
                                    .summary = "Save a backup of one member's state to FILE.",
                                    .usage = "[flags] FILE",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int code;
    if (c.args.len != 1) {
        code = kv_fail(KV_EXIT_ARGS, "snapshot save expects one argument");
    } else if (c.endpoints.len != 1) {
        code = kv_fail(KV_EXIT_INTERRUPTED,
                       "snapshot must be requested to one selected node, not multiple [%s …]",
                       c.endpoints.items[0]);
    } else {
        kv_cli_connect_all(&c);
        code = save_to(&c, c.args.items[0]);
    }
    kv_cli_stop(&c);
    return code;
}

/* ---- status ---- */

static void simple_status(struct kv_cli *c, const void *message)
{
    const struct backup_status *s = message;
    printf("%x, %" PRId64 ", %" PRIu64 ", %s\n", s->hash, s->revision, s->total_keys,
           kv_human_bytes(&c->arena, s->total_bytes));
}

static void json_status(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct backup_status *s = message;
    printf("{\"hash\":%u,\"revision\":%" PRId64 ",\"totalKey\":%" PRIu64 ",\"totalSize\":%" PRIu64
           "}\n",
           s->hash, s->revision, s->total_keys, s->total_bytes);
}

static void fields_status(struct kv_cli *c, const void *message)
{
    (void)c;
    const struct backup_status *s = message;
    printf("\"Hash\" : %u\n\"Revision\" : %" PRId64 "\n\"Keys\" : %" PRIu64 "\n\"Size\" : %" PRIu64
           "\n",
           s->hash, s->revision, s->total_keys, s->total_bytes);
}

static void table_status(struct kv_cli *c, const void *message)
{
    const struct backup_status *s = message;
    const char *cells[8] = {"HASH", "REVISION", "TOTAL KEYS", "TOTAL SIZE"};
    cells[4] = arena_printf(&c->arena, "%x", s->hash);
    cells[5] = arena_printf(&c->arena, "%" PRId64, s->revision);
    cells[6] = arena_printf(&c->arena, "%" PRIu64, s->total_keys);
    cells[7] = kv_human_bytes(&c->arena, s->total_bytes);
    kv_table(cells, 4, 2);
}

static int status_main(int argc, char **argv)
{
    static const struct kv_forms forms = {.simple = simple_status,
                                          .json = json_status,
                                          .fields = fields_status,
                                          .table = table_status,
                                          .protobuf = kv_no_form};
    struct kv_cli c;
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {KV_GLOBAL_FLAGS(&c), FLAGS_END};
    const struct flags_spec spec = {.program = "c8s kv snapshot status",
                                    .summary = "Hash, revision, number of entries and size of a "
                                               "backup.",
                                    .usage = "[flags] FILE",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    struct backup_status s;
    struct error err = {0};
    kv_cli_parse(&c, &spec, argc, argv);
    int code;
    if (c.args.len != 1)
        code = kv_fail(KV_EXIT_ARGS, "snapshot status requires exactly one argument");
    else if (backup_file_status(c.args.items[0], &s, &err) < 0)
        code = kv_fail(KV_EXIT_ERROR, "%s", err.message);
    else
        code = kv_show(&c, &s, &forms);
    kv_cli_stop(&c);
    return code;
}

/* ---- restore ---- */

struct restore_flags {
    const char *data_dir, *name, *initial_cluster, *token, *peer_urls;
    bool skip_hash_check, mark_compacted;
    uint64_t bump_revision;
};

/* The program that knows how a data directory is made, beside this one or in PATH. */
static int run_server(struct arena *a, char **argv)
{
    char path[PATH_MAX] = "";
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    char *slash = n > 0 ? strrchr(path, '/') : NULL;
    if (slash) {
        *slash = 0;
        execv(arena_printf(a, "%s/%s", path, argv[0]), argv);
    }
    execvp(argv[0], argv);
    return kv_fail(KV_EXIT_ERROR, "cannot run %s: %s", argv[0], strerror(errno));
}

static int restore(const struct restore_flags *f, const char *file, struct arena *a)
{
    if ((f->bump_revision > 0) != f->mark_compacted)
        return kv_fail(KV_EXIT_ARGS, "--mark-compacted required if --revision-bump is given, and "
                                     "the other way round");
    char *argv[] = {
        arena_strdup(a, "c8s-apiserver"),
        arena_strdup(a, "--store-only"),
        arena_printf(a, "--restore-snapshot=%s", file),
        arena_printf(a, "--data-dir=%s",
                     *f->data_dir ? f->data_dir : arena_printf(a, "%s.etcd", f->name)),
        arena_printf(a, "--name=%s", f->name),
        arena_printf(a, "--initial-cluster=%s", f->initial_cluster),
        arena_printf(a, "--initial-cluster-token=%s", f->token),
        arena_printf(a, "--initial-advertise-peer-urls=%s", f->peer_urls),
        arena_printf(a, "--restore-skip-hash-check=%s", f->skip_hash_check ? "true" : "false"),
        arena_printf(a, "--restore-bump-revision=%" PRIu64, f->bump_revision),
        arena_printf(a, "--restore-mark-compacted=%s", f->mark_compacted ? "true" : "false"),
        NULL,
    };
    return run_server(a, argv);
}

static int restore_main(int argc, char **argv)
{
    struct kv_cli c;
    struct restore_flags f = {.data_dir = "",
                              .name = "default",
                              .initial_cluster = "default=http://localhost:2380",
                              .token = "etcd-cluster",
                              .peer_urls = "http://localhost:2380"};
    kv_cli_init(&c, argv[0]);
    const struct flag flags[] = {
        {"data-dir", 0, FLAG_STRING, &f.data_dir, "DIR",
         "Directory to make; must be absent or empty. Default: NAME.etcd."},
        {"name", 0, FLAG_STRING, &f.name, "NAME", "Name of this member."},
        {"initial-cluster", 0, FLAG_STRING, &f.initial_cluster, "NAME=URL,…",
         "All members of the new cluster, each of which restores the same file."},
        {"initial-cluster-token", 0, FLAG_STRING, &f.token, "TOKEN",
         "Tells this cluster from others with the same addresses."},
        {"initial-advertise-peer-urls", 0, FLAG_STRING, &f.peer_urls, "URLS",
         "This member's peer URLs, as in --initial-cluster."},
        {"skip-hash-check", 0, FLAG_BOOL, &f.skip_hash_check, NULL,
         "Take a file without a hash at its end: a database copied from a data directory."},
        {"bump-revision", 0, FLAG_UINT, &f.bump_revision, "N",
         "Raise the revision by so much, so that it never goes back for those who saw more than "
         "the backup has."},
        {"mark-compacted", 0, FLAG_BOOL, &f.mark_compacted, NULL,
         "Count everything up to the new revision as compacted: watches from before start anew."},
        {"wal-dir", 0, FLAG_UNSUPPORTED, &c.unsupported, NULL,
         "a data directory keeps its log in itself"},
        KV_GLOBAL_FLAGS(&c),
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s kv snapshot restore",
                                    .summary = "Make a member's data directory from a backup of "
                                               "etcd 3.4 to 3.6 or of c8s.",
                                    .usage = "[flags] FILE",
                                    .flags = flags,
                                    .env_prefix = "ETCDCTL_",
                                    .args_max = FLAGS_ANY};
    kv_cli_parse(&c, &spec, argc, argv);
    int code = c.args.len == 1
                   ? restore(&f, c.args.items[0], &c.arena)
                   : kv_fail(KV_EXIT_ARGS, "snapshot restore requires exactly one argument");
    kv_cli_stop(&c);
    return code;
}

const struct kv_verb kv_snapshot_verbs[] = {
    {"save", save_main, "Save a backup of one member's state"},
    {"status", status_main, "What a backup holds"},
    {"restore", restore_main, "Make a member's data directory from a backup"},
    {NULL},
};
