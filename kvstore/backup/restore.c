/*
 * Making a data directory out of a snapshot (kvstore/backup/backup.h, kv_restore).
 */

#include "kvstore/backup/backup.h"
#include "kvstore/auth/auth.h"
#include "bolt/backup_file.h"
#include "kvstore/backup/schema.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/mem.h"
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TXN_BYTES (8u << 20)

struct restore {
    struct kv *kv;
    const struct backup_file *file;
    struct logdb_txn txn;
    struct mvcc_write write;
    struct mvcc_state state;
    size_t txn_bytes;
    bool open;
    struct kv_restore_info *info;
    struct schema_rev last; /* of bucket key */
    struct auth_state auth;
};

/* ---- transactions ---- */

static int txn_begin(struct restore *r, struct error *err)
{
    if (r->open)
        return 0;
    int rc = logdb_begin(r->kv->db, &r->txn, err);
    if (rc < 0)
        return rc;
    rc = mvcc_write_open(&r->write, r->kv->db, &r->kv->trees, r->txn.mdb, &r->state, err);
    if (rc < 0) {
        logdb_abort(&r->txn);
        return rc;
    }
    r->open = true;
    r->txn_bytes = 0;
    return 0;
}

static int txn_end(struct restore *r, struct error *err)
{
    if (!r->open)
        return 0;
    r->open = false;
    r->state.next_node = r->write.state.next_node;
    int rc = mvcc_state_store(r->kv->db, r->txn.mdb, &r->state, err);
    mvcc_write_close(&r->write);
    if (rc == 0)
        return logdb_commit(&r->txn, err);
    logdb_abort(&r->txn);
    return rc;
}

static void txn_drop(struct restore *r)
{
    if (!r->open)
        return;
    r->open = false;
    mvcc_write_close(&r->write);
    logdb_abort(&r->txn);
}

/* Something of n bytes comes: within a transaction, or a new one when it has become large. */
static int txn_room(struct restore *r, size_t n, struct error *err)
{
    int rc = 0;
    if (r->open && r->txn_bytes >= TXN_BYTES)
        rc = txn_end(r, err);
    if (rc == 0)
        rc = txn_begin(r, err);
    r->txn_bytes += n;
    return rc;
}

/* ---- buckets ---- */

/* A bucket that may be missing. */
static int each(struct restore *r, const char *bucket, bolt_entry_fn *fn, struct error *err)
{
    int rc = bolt_each(&r->file->bolt, str_from(bucket), fn, r, err);
    return rc == ERR_NOT_FOUND ? 0 : rc < 0 ? error_wrap(err, "bucket %s", bucket) : 0;
}

static int take_meta(void *ctx, struct str key, struct str value, struct error *err)
{
    struct restore *r = ctx;
    struct schema_rev rev;
    if (!str_eqz(key, "scheduledCompactRev") && !str_eqz(key, "finishedCompactRev"))
        return 0;
    int rc = schema_rev_read(value, &rev, err);
    /* Scheduled but not finished: the new store's own compaction finishes it. */
    if (rc == 0)
        r->state.compact_rev = MAX(r->state.compact_rev, rev.id.rev);
    return rc;
}

static int take_lease(void *ctx, struct str key, struct str value, struct error *err)
{
    struct restore *r = ctx;
    struct schema_lease l;
    (void)key;
    int rc = schema_lease_read(value, &l, err);
    if (rc < 0)
        return rc;
    if (l.id == 0 || l.ttl_s < 0 || l.ttl_s > KV_LEASE_TTL_MAX_S || l.remaining_s < 0)
        return error_set(err, ERR_CORRUPT, "a lease is out of range");
    rc = txn_room(r, 64, err);
    if (rc == 0)
        rc = mvcc_lease_put(&r->write, l.id, MAX(l.ttl_s, 1), l.remaining_s, err);
    r->info->leases++;
    return rc;
}

static int take_alarm(void *ctx, struct str key, struct str value, struct error *err)
{
    struct restore *r = ctx;
    struct kv_alarm alarm;
    (void)value;
    int rc = schema_alarm_read(key, &alarm, err);
    if (rc == 0)
        rc = txn_room(r, 32, err);
    if (rc < 0)
        return rc;
    struct apply a = {.kv = r->kv, .txn = r->txn};
    return alarms_apply(r->kv, &a, &(struct proposal_alarm){alarm.member, alarm.type, false}, err);
}

/* A user or a role: taken as it is, when it can be read. */
static int take_auth_record(struct restore *r, enum auth_kind kind, struct str name,
                            struct str value, struct error *err)
{
    int rc = txn_room(r, name.n + value.n, err);
    return rc < 0 ? rc
                  : auth_disk_put(&r->kv->trees, r->txn.mdb, kind, name, value,
                                  &r->write.state.next_node, err);
}

static int take_user(void *ctx, struct str key, struct str value, struct error *err)
{
    struct auth_user *u = auth_user_decode(value, err);
    if (!u)
        return ERR_CORRUPT;
    auth_user_free(u);
    return take_auth_record(ctx, AUTH_USER, key, value, err);
}

static int take_role(void *ctx, struct str key, struct str value, struct error *err)
{
    struct auth_role *role = auth_role_decode(value, err);
    if (!role)
        return ERR_CORRUPT;
    auth_role_free(role);
    return take_auth_record(ctx, AUTH_ROLE, key, value, err);
}

static int take_auth_state(void *ctx, struct str key, struct str value, struct error *err)
{
    struct restore *r = ctx;
    if (str_eqz(key, "authEnabled"))
        r->auth.enabled = value.n == 1 && value.p[0] == 1;
    else if (str_eqz(key, "authRevision") && !schema_be64_read(value, &r->auth.rev))
        return error_set(err, ERR_CORRUPT, "the auth revision has a wrong form");
    return 0;
}

static int take_auth(struct restore *r, struct error *err)
{
    r->auth = (struct auth_state){.rev = 1};
    int rc = each(r, "auth", take_auth_state, err);
    if (rc == 0)
        rc = each(r, "authRoles", take_role, err);
    if (rc == 0)
        rc = each(r, "authUsers", take_user, err);
    if (rc == 0)
        rc = txn_room(r, 64, err);
    return rc < 0 ? rc
                  : auth_disk_put_state(&r->kv->trees, r->txn.mdb, &r->auth,
                                        &r->write.state.next_node, err);
}

static int take_version(void *ctx, struct str key, struct str value, struct error *err)
{
    struct restore *r = ctx;
    struct schema_rev rev;
    struct kv_record rec;
    int64_t mod;
    int rc = schema_rev_read(key, &rev, err);
    if (rc == 0)
        rc = schema_kv_read(value, &rec, &mod, err);
    if (rc < 0)
        return rc;
    if (rev.id.rev < 1 || !revid_less(r->last.id, rev.id))
        return error_set(err, ERR_CORRUPT, "revisions are out of order");
    r->last = rev;
    r->state.rev = MAX(r->state.rev, rev.id.rev);
    if (rec.key.n == 0)
        return 0; /* the mark that a bumped revision leaves */
    rec.id = rev.id;
    rec.tombstone = rev.tombstone;
    if (rec.tombstone) {
        rec.create_rev = rec.version = rec.lease = 0;
        rec.value = STR_NONE;
    } else if (mod != rev.id.rev || rec.create_rev < 1 || rec.create_rev > mod || rec.version < 1) {
        return error_set(err, ERR_CORRUPT, "key at revision %" PRId64 " contradicts itself",
                         rev.id.rev);
    }
    rc = txn_room(r, rec.key.n + rec.value.n, err);
    if (rc == 0)
        rc = mvcc_import(&r->write, &rec, r->state.compact_rev, err);
    r->info->versions++;
    return rc;
}

static int fill(struct restore *r, const struct kv_restore_options *o, struct error *err)
{
    r->state = (struct mvcc_state){.rev = 1, .next_node = 1};
    int rc = each(r, "meta", take_meta, err);
    if (rc == 0)
        rc = each(r, "lease", take_lease, err);
    if (rc == 0)
        rc = each(r, "alarm", take_alarm, err);
    if (rc == 0)
        rc = take_auth(r, err);
    if (rc == 0) {
        rc = bolt_each(&r->file->bolt, STR("key"), take_version, r, err);
        if (rc == ERR_NOT_FOUND)
            rc = error_set(err, ERR_UNSUPPORTED,
                           "it holds no keys of etcd 3: not a snapshot of etcd 3.4 to 3.6");
        else if (rc < 0)
            error_wrap(err, "bucket key");
    }
    if (rc < 0)
        return rc;
    r->state.rev = MAX(r->state.rev, r->state.compact_rev);
    if (o->bump_revision > (uint64_t)(INT64_MAX - r->state.rev))
        return error_set(err, ERR_INVALID, "--bump-revision: the revision would be out of range");
    r->state.rev += (int64_t)o->bump_revision;
    if (o->mark_compacted)
        r->state.compact_rev = r->state.rev;
    r->info->rev = r->state.rev;
    r->info->compact_rev = r->state.compact_rev;
    rc = txn_begin(r, err);
    return rc < 0 ? rc : txn_end(r, err);
}

/* ---- the directory ---- */

static int check_empty(const char *path, struct error *err)
{
    DIR *d = opendir(path);
    if (!d)
        return errno == ENOENT ? 0 : error_errno(err, ERR_IO, errno, "open %s", path);
    int n = 0;
    for (const struct dirent *e; (e = readdir(d));)
        n += !cstr_eq(e->d_name, ".") && !cstr_eq(e->d_name, "..");
    closedir(d);
    return n ? error_set(err, ERR_EXISTS, "data-dir \"%s\" not empty or could not be read", path)
             : 0;
}

static int build(const struct kv_restore_options *o, const struct backup_file *f, const char *dir,
                 struct kv_restore_info *info, struct error *err)
{
    struct kv_options k = *o->kv;
    k.data_dir = dir;
    k.metrics = NULL;
    k.join_existing = false;
    k.map_bytes = MAX(k.map_bytes, 4ull * f->map_bytes + (1ull << 30));
    struct kv *kv = kv_storage_open(&k, err);
    if (!kv)
        return err->code;
    struct restore r = {.kv = kv, .file = f, .info = info};
    int rc = fill(&r, o, err);
    txn_drop(&r);
    if (rc == 0)
        rc = logdb_checkpoint(kv->db, NULL, err);
    kv_storage_close(kv);
    return rc;
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static int build_and_rename(const struct kv_restore_options *o, const struct backup_file *f,
                            struct kv_restore_info *info, struct error *err)
{
    struct host *host = host_posix();
    const char *dir = o->kv->data_dir;
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    char *tmp = mem_printf("%.*s.restore.%d", (int)n, dir, (int)getpid());
    char *parent = mem_strndup(dir, n);
    char *slash = strrchr(parent, '/');
    if (slash)
        slash[slash == parent] = 0;
    int rc = build(o, f, tmp, info, err);
    if (rc == 0 && rename(tmp, dir) < 0)
        rc = error_errno(err, ERR_IO, errno, "rename %s to %s", tmp, dir);
    if (rc < 0) {
        nftw(tmp, remove_entry, 16, FTW_DEPTH | FTW_PHYS); /* best effort: what failed is told */
    } else {
        int e = host->ops->sync_dir(host, slash ? parent : ".");
        rc = e < 0 ? error_errno(err, ERR_IO, -e, "flush the directory of %s", dir) : 0;
    }
    mem_free(parent);
    mem_free(tmp);
    return rc;
}

int kv_restore(const struct kv_restore_options *o, struct kv_restore_info *out, struct error *err)
{
    struct backup_file f;
    *out = (struct kv_restore_info){0};
    assert(err);
    int rc = check_empty(o->kv->data_dir, err);
    if (rc == 0)
        rc = backup_file_open(o->file, &f, err);
    if (rc < 0)
        return rc;
    if (!o->skip_hash_check)
        rc = backup_file_verify(&f, err);
    if (rc == 0)
        rc = build_and_rename(o, &f, out, err);
    backup_file_close(&f);
    return rc;
}
