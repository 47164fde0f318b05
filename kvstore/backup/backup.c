/*
 * Writing a backup (kvstore/backup/backup.h).
 */
#include "kvstore/backup/backup.h"
#include "kvstore/auth/auth.h"
#include "bolt/bolt.h"
#include "kvstore/backup/schema.h"
#include "kvstore/history.h"
#include "kvstore/integrity/integrity.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS (10 * 1000 * 1000ull)
#define SLICE_BYTES (4u << 20)
#define PAUSE_NS (4 * 1000 * 1000l)
#define DISK_SPARE (64ull << 20) /* left free beside the file */

struct backup {
    struct kv *kv;
    int fd;
    struct bolt_writer *writer;
    struct history history;
    struct mvcc_state state;
    struct raft_snapshot_meta raft;
    struct buf value; /* scratch */
    uint64_t slice_began;
    struct error *err;
};

int kv_backup_file(struct kv *kv, struct error *err)
{
    int fd = open(kv->o.data_dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    char *path = mem_printf("%s/backup.XXXXXX", kv->o.data_dir);
    fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        error_errno(err, ERR_IO, errno, "create %s", path);
    else
        unlink(path);
    mem_free(path);
    return fd < 0 ? ERR_IO : fd;
}

static int check_room(struct backup *b, struct error *err)
{
    struct statvfs fs;
    struct logdb_info info;
    if (fstatvfs(b->fd, &fs) < 0)
        return error_errno(err, ERR_IO, errno, "look at the disk");
    logdb_info(b->kv->db, &info);
    uint64_t room = (uint64_t)fs.f_bavail * fs.f_frsize;
    uint64_t wanted = info.in_use_bytes - info.log_bytes + DISK_SPARE;
    if (room < wanted)
        return error_set(err, ERR_LIMIT,
                         "a snapshot needs up to %" PRIu64 " bytes on disk, %" PRIu64 " are free",
                         wanted, room);
    return 0;
}

/* ---- the small buckets ---- */

static int put(struct backup *b, const char *key, struct str value, struct error *err)
{
    return bolt_put(b->writer, str_from(key), value, err);
}

static void json_ids(struct buf *out, const char *name, const struct raft_id_set *ids)
{
    if (ids->len == 0)
        return;
    buf_printf(out, "\"%s\":[", name);
    for (uint32_t i = 0; i < ids->len; i++)
        buf_printf(out, "%s%" PRIu64, i ? "," : "", ids->ids[i]);
    buf_append_cstr(out, "],");
}

static int put_meta(struct backup *b, struct error *err)
{
    char index[8], term[8], rev[SCHEMA_REV_KEY_MAX];
    struct buf config;
    buf_init(&config);
    buf_append_cstr(&config, "{");
    json_ids(&config, "voters", &b->raft.config.voters);
    json_ids(&config, "learners", &b->raft.config.learners);
    buf_append_cstr(&config, "\"auto_leave\":false}");
    schema_be64(index, b->raft.index);
    schema_be64(term, b->raft.term);
    struct str compacted =
        str_make(rev, schema_rev_key(rev, (struct kv_revid){b->state.compact_rev, 0}, false));
    bolt_bucket_begin(b->writer, STR("meta"));
    int rc = put(b, "confState", buf_str(&config), err);
    buf_free(&config);
    if (rc == 0)
        rc = put(b, "consistent_index", str_make(index, 8), err);
    /* What is written here is what remains when compaction is done. */
    if (rc == 0 && b->state.compact_rev)
        rc = put(b, "finishedCompactRev", compacted, err);
    if (rc == 0 && b->state.compact_rev)
        rc = put(b, "scheduledCompactRev", compacted, err);
    if (rc == 0)
        rc = put(b, "storageVersion", STR(SCHEMA_STORAGE_VERSION), err);
    if (rc == 0)
        rc = put(b, "term", str_make(term, 8), err);
    return rc < 0 ? rc : bolt_bucket_end(b->writer, err);
}

static int put_lease(void *ctx, int64_t id, int64_t ttl_s, int64_t remaining_s)
{
    struct backup *b = ctx;
    char key[8];
    schema_be64(key, (uint64_t)id);
    buf_clear(&b->value);
    schema_lease_write(&(struct schema_lease){id, ttl_s, remaining_s}, &b->value);
    return bolt_put(b->writer, str_make(key, sizeof key), buf_str(&b->value), b->err);
}

static int put_leases(struct backup *b, MDB_txn *txn, struct error *err)
{
    struct mvcc_view v = {&b->kv->trees, txn, b->state.rev};
    bolt_bucket_begin(b->writer, STR("lease"));
    int rc = mvcc_lease_each(&v, put_lease, b, err);
    return rc < 0 ? rc : bolt_bucket_end(b->writer, err);
}

struct pair {
    struct str key, value;
};

static int by_bytes(const void *a, const void *b)
{
    const struct pair *x = a, *y = b;
    return str_cmp(x->key, y->key);
}

/* A bucket of few entries in any order: pairs of key and value. */
static int put_sorted(struct backup *b, const char *bucket, struct pair *pairs, size_t n,
                      struct error *err)
{
    int rc = bolt_bucket_begin(b->writer, str_from(bucket));
    if (n)
        qsort(pairs, n, sizeof *pairs, by_bytes);
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = bolt_put(b->writer, pairs[i].key, pairs[i].value, err);
    return rc < 0 ? rc : bolt_bucket_end(b->writer, err);
}

static int put_alarms(struct backup *b, struct arena *a, struct error *err)
{
    struct kv_alarm *alarms;
    size_t n;
    kv_alarm_list(b->kv, a, &alarms, &n);
    struct pair *pairs = arena_array(a, struct pair, n + 1);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&b->value);
        schema_alarm_write(&alarms[i], &b->value);
        pairs[i].key = str_make(arena_dup(a, b->value.data, b->value.len), b->value.len);
    }
    return put_sorted(b, "alarm", pairs, n, err);
}

static void json_urls(struct buf *out, const char *name, const struct str *urls, size_t n)
{
    buf_printf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < n; i++) {
        buf_append_cstr(out, i ? "," : "");
        buf_append_json_string(out, urls[i]);
    }
    buf_append_char(out, ']');
}

static void member_json(const struct kv_member *m, struct buf *out)
{
    buf_printf(out, "{\"id\":%" PRIu64, m->id);
    json_urls(out, "peerURLs", m->peer_urls, m->peer_urls_len);
    if (m->is_learner)
        buf_append_cstr(out, ",\"isLearner\":true");
    if (m->name.n) {
        buf_append_cstr(out, ",\"name\":");
        buf_append_json_string(out, m->name);
    }
    if (m->client_urls_len)
        json_urls(out, "clientURLs", m->client_urls, m->client_urls_len);
    buf_append_char(out, '}');
}

static int put_members(struct backup *b, struct arena *a, struct error *err)
{
    struct kv_member *m;
    size_t n;
    int rc = kv_member_list(b->kv, a, &m, &n, err);
    if (rc < 0)
        return rc;
    struct pair *pairs = arena_array(a, struct pair, n + 1);
    for (size_t i = 0; i < n; i++) {
        buf_clear(&b->value);
        member_json(&m[i], &b->value);
        pairs[i].key = str_from(arena_printf(a, "%" PRIx64, m[i].id));
        pairs[i].value = str_make(arena_dup(a, b->value.data, b->value.len), b->value.len);
    }
    return put_sorted(b, "members", pairs, n, err);
}

static int put_empty(struct backup *b, const char *bucket, struct error *err)
{
    int rc = bolt_bucket_begin(b->writer, str_from(bucket));
    return rc < 0 ? rc : bolt_bucket_end(b->writer, err);
}

/* The tree `auth` by kinds: what is a user's or a role's goes as it is. */
struct auth_pairs {
    struct arena *arena;
    VEC(struct pair) users, roles;
    struct auth_state state;
};

static int gather_auth(void *ctx, enum auth_kind kind, struct str name, struct str value,
                       struct error *err)
{
    struct auth_pairs *p = ctx;
    struct str n = str_make(arena_dup(p->arena, name.p, name.n), name.n);
    struct str v = str_make(arena_dup(p->arena, value.p, value.n), value.n);
    (void)err;
    if (kind == AUTH_USER)
        vec_push(&p->users, ((struct pair){n, v}));
    else if (kind == AUTH_ROLE)
        vec_push(&p->roles, ((struct pair){n, v}));
    return 0;
}

static int put_auth(struct backup *b, MDB_txn *txn, struct arena *a, struct error *err)
{
    struct auth_pairs p = {.arena = a};
    char rev[8];
    int rc = auth_disk_state(&b->kv->trees, txn, &p.state, err);
    if (rc == 0)
        rc = auth_disk_each(&b->kv->trees, txn, gather_auth, &p, err);
    schema_be64(rev, p.state.rev);
    struct pair state[] = {{STR("authEnabled"), str_make(p.state.enabled ? "\1" : "\0", 1)},
                           {STR("authRevision"), str_make(rev, sizeof rev)}};
    if (rc == 0)
        rc = put_sorted(b, "auth", state, ARRAY_LEN(state), err);
    if (rc == 0)
        rc = put_sorted(b, "authRoles", p.roles.items, p.roles.len, err);
    if (rc == 0)
        rc = put_sorted(b, "authUsers", p.users.items, p.users.len, err);
    vec_free(&p.users);
    vec_free(&p.roles);
    return rc;
}

static int put_small(struct backup *b, MDB_txn *txn, struct error *err)
{
    static const char *const empty[] = {"cluster", "members_removed"};
    struct arena a;
    arena_init(&a);
    int rc = put_meta(b, err);
    if (rc == 0)
        rc = put_leases(b, txn, err);
    if (rc == 0)
        rc = put_alarms(b, &a, err);
    if (rc == 0)
        rc = put_members(b, &a, err);
    if (rc == 0)
        rc = put_auth(b, txn, &a, err);
    for (size_t i = 0; i < ARRAY_LEN(empty) && rc == 0; i++)
        rc = put_empty(b, empty[i], err);
    arena_free(&a);
    return rc;
}

/* ---- the key space ---- */

static int put_version(void *ctx, const struct kv_record *r)
{
    struct backup *b = ctx;
    char key[SCHEMA_REV_KEY_MAX];
    size_t n = schema_rev_key(key, r->id, r->tombstone);
    buf_clear(&b->value);
    schema_kv_write(r, &b->value);
    int rc = bolt_put(b->writer, str_make(key, n), buf_str(&b->value), b->err);
    if (rc < 0)
        return rc;
    return bolt_written(b->writer) - b->slice_began > SLICE_BYTES;
}

/* Between two slices: let others go first, and the disk begin with what is written. */
static void give_way(struct backup *b)
{
    struct timespec pause = {0, PAUSE_NS};
    uint64_t written = bolt_written(b->writer);
    if (written / SLICE_BYTES != b->slice_began / SLICE_BYTES)
        sync_file_range(b->fd, (off64_t)b->slice_began, (off64_t)(written - b->slice_began),
                        SYNC_FILE_RANGE_WRITE);
    nanosleep(&pause, NULL);
    for (int i = 0; i < 5 && atomic_load(&b->kv->apply_busy); i++)
        nanosleep(&pause, NULL);
}

static int put_keys(struct backup *b, const atomic_bool *stop, struct error *err)
{
    bool done = false;
    int rc = bolt_bucket_begin(b->writer, STR("key"));
    while (rc == 0 && !done) {
        if (atomic_load(&b->kv->stopping) || (stop && atomic_load(stop)))
            return error_set(err, ERR_CANCELLED, "stopped");
        b->slice_began = bolt_written(b->writer);
        rc = history_step(&b->history, SLICE_NS, put_version, b, &done, err);
        if (rc == 0 && !done)
            give_way(b);
    }
    return rc < 0 ? rc : bolt_bucket_end(b->writer, err);
}

/* State, log position and the small buckets, in one transaction, before which compaction is held. */
static int begin(struct backup *b, struct error *err)
{
    struct kv *kv = b->kv;
    MDB_txn *txn;
    int rc = check_room(b, err);
    if (rc == 0)
        rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = logdb_snapshot_meta(kv->db, txn, &b->raft, err);
    if (rc == 0)
        rc = mvcc_state_load(kv->db, txn, &b->state, err);
    if (rc == 0)
        rc = history_open(&b->history, kv, &b->state, b->state.rev, err);
    if (rc == 0)
        rc = put_small(b, txn, err);
    logdb_read_end(kv->db, txn);
    return rc;
}

int kv_backup(struct kv *kv, int fd, const atomic_bool *stop, struct kv_backup_info *out,
              struct error *err)
{
    struct error unseen;
    struct backup b = {.kv = kv, .fd = fd, .history = {.kv = kv, .slot = -1}};
    b.err = err = err ? err : &unseen; /* damage is told in any case */
    b.writer = bolt_writer_new(fd);
    buf_init(&b.value);
    int rc = kv_may_serve(kv, err);
    if (rc == 0)
        rc = begin(&b, err);
    if (rc == 0)
        rc = put_keys(&b, stop, err);
    history_close(&b.history);
    if (rc == 0)
        rc = bolt_finish(b.writer, &out->bytes, err);
    out->rev = b.state.rev;
    out->entries = b.history.visited;
    bolt_writer_free(b.writer);
    buf_free(&b.value);
    return rc < 0 ? kv_check_code(kv, rc, err) : 0;
}
