/*
 * Users, roles and the state of authentication on LMDB (kvstore/auth/auth.h).
 *
 *     tree `auth` (form of kvstore/tree.h):  kind:1 ‖ name  →  crc32c:4 ‖ value
 *
 * The checksum covers key and value. Values are what etcd stores, so that a snapshot in etcd's schema
 * takes them as they are.
 */
#include "kvstore/auth/auth.h"
#include "base/encode.h"
#include "net/protobuf.h"
#include "proto/etcd/auth.pb-c.h"

#define CRC_BYTES 4

static void key_make(struct buf *b, enum auth_kind kind, struct str name)
{
    buf_init(b);
    buf_append_char(b, (char)kind);
    buf_append_str(b, name);
}

int auth_disk_put(const struct mvcc_trees *t, MDB_txn *txn, enum auth_kind kind, struct str name,
                  struct str value, uint64_t *next_node, struct error *err)
{
    struct buf key;
    MDB_cursor *cursor;
    void *place;
    int rc = mdb_cursor_open(txn, t->auth, &cursor);
    if (rc)
        return mvcc_error(rc, err, "open a cursor");
    key_make(&key, kind, name);
    rc = tree_reserve(txn, t->auth, cursor, buf_str(&key), CRC_BYTES + value.n, &place, next_node);
    if (rc == 0) {
        uint32_t crc = crc32c(crc32c(0, key.data, key.len), value.p, value.n);
        memcpy(place, &crc, CRC_BYTES);
        if (value.n)
            memcpy((char *)place + CRC_BYTES, value.p, value.n);
    }
    mdb_cursor_close(cursor);
    buf_free(&key);
    return mvcc_error(rc, err, "write a record of users and roles");
}

int auth_disk_delete(const struct mvcc_trees *t, MDB_txn *txn, enum auth_kind kind, struct str name,
                     struct error *err)
{
    struct buf key;
    key_make(&key, kind, name);
    int rc = tree_delete(txn, t->auth, buf_str(&key));
    buf_free(&key);
    return mvcc_error(rc, err, "delete a record of users and roles");
}

static int record_open(struct str key, MDB_val v, struct str *value, struct error *err)
{
    uint32_t crc;
    if (v.mv_size < CRC_BYTES || key.n < 1)
        return error_set(err, ERR_CORRUPT, "a record of users and roles is too short");
    *value = str_make((char *)v.mv_data + CRC_BYTES, v.mv_size - CRC_BYTES);
    memcpy(&crc, v.mv_data, CRC_BYTES);
    if (crc != crc32c(crc32c(0, key.p, key.n), value->p, value->n))
        return error_set(err, ERR_CORRUPT, "a record of users and roles fails its checksum");
    return 0;
}

int auth_disk_each(const struct mvcc_trees *t, MDB_txn *txn, auth_record_fn *fn, void *ctx,
                   struct error *err)
{
    MDB_cursor *cursor;
    struct tree_iter it;
    struct str value;
    int rc = mdb_cursor_open(txn, t->auth, &cursor);
    if (rc)
        return mvcc_error(rc, err, "open a cursor");
    tree_iter_init(&it, cursor);
    int found = tree_seek(&it, STR_NONE);
    rc = 0;
    for (; found == 0 && rc == 0; found = tree_next(&it)) {
        rc = record_open(it.key, it.value, &value, err);
        if (rc == 0)
            rc = fn(ctx, (enum auth_kind)(unsigned char)it.key.p[0], str_slice(it.key, 1, it.key.n),
                    value, err);
        if (rc)
            break;
    }
    tree_iter_free(&it);
    mdb_cursor_close(cursor);
    if (rc == 0 && found != MDB_NOTFOUND)
        rc = mvcc_error(found, err, "read users and roles");
    return rc;
}

/* ---- the state ---- */

#define STATE_BYTES 9

static int state_decode(struct str value, struct auth_state *out, struct error *err)
{
    if (value.n != STATE_BYTES)
        return error_set(err, ERR_CORRUPT, "state of authentication of %zu bytes", value.n);
    out->enabled = value.p[0] != 0;
    memcpy(&out->rev, value.p + 1, sizeof out->rev);
    return 0;
}

int auth_disk_state(const struct mvcc_trees *t, MDB_txn *txn, struct auth_state *out,
                    struct error *err)
{
    MDB_val v;
    struct str value;
    *out = (struct auth_state){.rev = 1};
    int rc = tree_get(txn, t->auth, STR("s"), &v);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc)
        return mvcc_error(rc, err, "read the state of authentication");
    rc = record_open(STR("s"), v, &value, err);
    return rc < 0 ? rc : state_decode(value, out, err);
}

int auth_disk_put_state(const struct mvcc_trees *t, MDB_txn *txn, const struct auth_state *s,
                        uint64_t *next_node, struct error *err)
{
    char value[STATE_BYTES];
    value[0] = s->enabled;
    memcpy(value + 1, &s->rev, sizeof s->rev);
    return auth_disk_put(t, txn, AUTH_STATE, STR_NONE, str_make(value, sizeof value), next_node,
                         err);
}

/* ---- etcd's form ---- */

static struct str take(struct arena *a, ProtobufCBinaryData b)
{
    return str_make(arena_dup(a, b.data ? b.data : (void *)"", b.len), b.len);
}

static ProtobufCBinaryData give(struct str s)
{
    return (ProtobufCBinaryData){s.n, (uint8_t *)s.p};
}

struct auth_user *auth_user_decode(struct str value, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct auth_user *u = NULL;
    const Authpb__User *m = (const void *)pb_unpack(&a, &authpb__user__descriptor, value, err);
    if (m) {
        u = auth_user_new(str_make(m->name.data, m->name.len));
        u->hash = take(&u->arena, m->password);
        u->no_password = m->options && m->options->no_password;
        u->roles = arena_array(&u->arena, struct str, m->n_roles);
        u->roles_len = m->n_roles;
        for (size_t i = 0; i < m->n_roles; i++)
            u->roles[i] = str_from(arena_strdup(&u->arena, m->roles[i]));
    } else {
        error_set(err, ERR_CORRUPT, "a user's record has a wrong form");
    }
    arena_free(&a);
    return u;
}

void auth_user_encode(const struct auth_user *u, struct buf *out)
{
    struct arena a;
    Authpb__User m = AUTHPB__USER__INIT;
    Authpb__UserAddOptions options = AUTHPB__USER_ADD_OPTIONS__INIT;
    arena_init(&a);
    options.no_password = u->no_password;
    m.name = give(u->name);
    m.password = give(u->hash);
    m.options = &options;
    m.n_roles = u->roles_len;
    m.roles = arena_array(&a, char *, u->roles_len);
    for (size_t i = 0; i < u->roles_len; i++)
        m.roles[i] = arena_strndup(&a, u->roles[i].p, u->roles[i].n);
    buf_append_str(out, pb_pack(&a, &m.base));
    arena_free(&a);
}

struct auth_role *auth_role_decode(struct str value, struct error *err)
{
    struct arena a;
    arena_init(&a);
    struct auth_role *r = NULL;
    const Authpb__Role *m = (const void *)pb_unpack(&a, &authpb__role__descriptor, value, err);
    if (m) {
        r = auth_role_new(str_make(m->name.data, m->name.len));
        r->perms = arena_array(&r->arena, struct kv_auth_permission, m->n_keypermission);
        r->perms_len = m->n_keypermission;
        for (size_t i = 0; i < r->perms_len; i++)
            r->perms[i] = (struct kv_auth_permission){
                .type = (enum kv_auth_perm)m->keypermission[i]->permtype,
                .key = take(&r->arena, m->keypermission[i]->key),
                .end = take(&r->arena, m->keypermission[i]->range_end)};
    } else {
        error_set(err, ERR_CORRUPT, "a role's record has a wrong form");
    }
    arena_free(&a);
    return r;
}

void auth_role_encode(const struct auth_role *r, struct buf *out)
{
    struct arena a;
    Authpb__Role m = AUTHPB__ROLE__INIT;
    arena_init(&a);
    Authpb__Permission *all = arena_array(&a, Authpb__Permission, r->perms_len);
    m.name = give(r->name);
    m.n_keypermission = r->perms_len;
    m.keypermission = arena_array(&a, Authpb__Permission *, r->perms_len);
    for (size_t i = 0; i < r->perms_len; i++) {
        authpb__permission__init(&all[i]);
        all[i].permtype = (Authpb__Permission__Type)r->perms[i].type;
        all[i].key = give(r->perms[i].key);
        all[i].range_end = give(r->perms[i].end);
        m.keypermission[i] = &all[i];
    }
    buf_append_str(out, pb_pack(&a, &m.base));
    arena_free(&a);
}
