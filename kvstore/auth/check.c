/*
 * May this request be done? (kvstore/kv_auth.h)
 */
#include "kvstore/auth/auth.h"
#include "kvstore/store.h"

static bool off(const struct kv *kv, const struct kv_auth_info *who)
{
    return !who || !kv_auth_enabled(kv);
}

/* With the lock held. */
static int check_range(const struct auth_store *s, const struct kv_auth_info *who, struct str key,
                       struct str end, bool write)
{
    if (who->rev == 0)
        return KV_ERR_AUTH_USER_EMPTY;
    if (who->rev < atomic_load(&s->rev))
        return KV_ERR_AUTH_OLD_REVISION;
    const struct auth_user *u = map_get(&s->users, who->user);
    if (!u)
        return KV_ERR_AUTH_DENIED;
    if (u->root || auth_ranges_cover(write ? &u->write : &u->read, key, end))
        return 0;
    return KV_ERR_AUTH_DENIED;
}

static int check_admin(const struct auth_store *s, const struct kv_auth_info *who)
{
    if (who->user.n == 0)
        return KV_ERR_AUTH_USER_EMPTY;
    const struct auth_user *u = map_get(&s->users, who->user);
    if (!u)
        return KV_ERR_AUTH_USER_NOT_FOUND;
    return u->root ? 0 : KV_ERR_AUTH_DENIED;
}

int kv_auth_check_range(struct kv *kv, const struct kv_auth_info *who, struct str key,
                        struct str end, bool write)
{
    if (off(kv, who))
        return 0;
    pthread_rwlock_rdlock(&kv->auth.lock);
    int rc = check_range(&kv->auth, who, key, end, write);
    pthread_rwlock_unlock(&kv->auth.lock);
    return rc;
}

int kv_auth_check_user(struct kv *kv, const struct kv_auth_info *who)
{
    return off(kv, who) || who->user.n ? 0 : KV_ERR_AUTH_USER_EMPTY;
}

int kv_auth_check_admin(struct kv *kv, const struct kv_auth_info *who)
{
    if (off(kv, who))
        return 0;
    pthread_rwlock_rdlock(&kv->auth.lock);
    int rc = check_admin(&kv->auth, who);
    pthread_rwlock_unlock(&kv->auth.lock);
    return rc;
}

int kv_auth_check_user_get(struct kv *kv, const struct kv_auth_info *who, struct str user)
{
    int rc = kv_auth_check_admin(kv, who);
    return rc < 0 && user.n && str_eq(user, who->user) ? 0 : rc;
}

int kv_auth_check_role_get(struct kv *kv, const struct kv_auth_info *who, struct str role)
{
    int rc = kv_auth_check_admin(kv, who);
    if (rc == 0)
        return 0;
    pthread_rwlock_rdlock(&kv->auth.lock);
    const struct auth_user *u = map_get(&kv->auth.users, who->user);
    bool has = u && auth_user_has_role(u, role);
    pthread_rwlock_unlock(&kv->auth.lock);
    return has ? 0 : rc;
}

/* ---- leases and transactions ---- */

struct lease_keys {
    struct kv *kv;
    const struct kv_auth_info *who;
    bool write;
    int refused;
};

static int check_lease_key(void *ctx, struct str key)
{
    struct lease_keys *l = ctx;
    l->refused = check_range(&l->kv->auth, l->who, key, STR_NONE, l->write);
    return l->refused;
}

/* With the lock held. */
static int check_lease(struct kv *kv, const struct mvcc_view *v, const struct kv_auth_info *who,
                       int64_t lease, bool write)
{
    if (check_admin(&kv->auth, who) == 0)
        return 0;
    struct lease_keys l = {.kv = kv, .who = who, .write = write};
    int rc = mvcc_lease_keys(v, lease, SIZE_MAX, check_lease_key, &l, NULL);
    return l.refused ? l.refused : rc < 0 ? rc : 0;
}

int auth_check_lease(struct kv *kv, const struct mvcc_view *v, const struct kv_auth_info *who,
                     int64_t lease, bool write)
{
    if (off(kv, who))
        return 0;
    pthread_rwlock_rdlock(&kv->auth.lock);
    int rc = check_lease(kv, v, who, lease, write);
    pthread_rwlock_unlock(&kv->auth.lock);
    return rc;
}

int kv_auth_check_lease(struct kv *kv, const struct kv_auth_info *who, int64_t lease, bool write)
{
    MDB_txn *txn;
    if (off(kv, who))
        return 0;
    int rc = logdb_read_begin(kv->db, &txn, NULL);
    if (rc < 0)
        return rc;
    struct mvcc_view v = {&kv->trees, txn, INT64_MAX};
    rc = auth_check_lease(kv, &v, who, lease, write);
    logdb_read_end(kv->db, txn);
    return rc;
}

struct txn_check {
    struct kv *kv;
    const struct mvcc_view *view; /* NULL: leases are looked at when it is applied */
    const struct kv_auth_info *who;
};

static int check_txn(const struct txn_check *c, const struct kv_txn_request *t);

static int check_put(const struct txn_check *c, const struct kv_put *put)
{
    const struct auth_store *s = &c->kv->auth;
    int rc = check_range(s, c->who, put->key, STR_NONE, true);
    if (rc == 0 && put->lease && c->view)
        rc = check_lease(c->kv, c->view, c->who, put->lease, true);
    if (rc == 0 && put->prev_kv)
        rc = check_range(s, c->who, put->key, STR_NONE, false);
    return rc;
}

static int check_op(const struct txn_check *c, const struct kv_op *op)
{
    const struct auth_store *s = &c->kv->auth;
    int rc = 0;
    switch (op->type) {
    case KV_OP_RANGE:
        return check_range(s, c->who, op->range.key, op->range.end, false);
    case KV_OP_PUT:
        return check_put(c, &op->put);
    case KV_OP_DELETE:
        if (op->del.prev_kv)
            rc = check_range(s, c->who, op->del.key, op->del.end, false);
        return rc ? rc : check_range(s, c->who, op->del.key, op->del.end, true);
    case KV_OP_TXN:
        return check_txn(c, op->txn);
    }
    return rc;
}

static int check_txn(const struct txn_check *c, const struct kv_txn_request *t)
{
    int rc = 0;
    for (size_t i = 0; i < t->compares_len && rc == 0; i++)
        rc = check_range(&c->kv->auth, c->who, t->compares[i].key, t->compares[i].end, false);
    for (size_t i = 0; i < t->then_len && rc == 0; i++)
        rc = check_op(c, &t->then[i]);
    for (size_t i = 0; i < t->otherwise_len && rc == 0; i++)
        rc = check_op(c, &t->otherwise[i]);
    return rc;
}

int auth_check_txn(struct kv *kv, const struct mvcc_view *v, const struct kv_auth_info *who,
                   const struct kv_txn_request *t)
{
    if (off(kv, who))
        return 0;
    struct txn_check c = {kv, v, who};
    pthread_rwlock_rdlock(&kv->auth.lock);
    int rc = check_txn(&c, t);
    pthread_rwlock_unlock(&kv->auth.lock);
    return rc;
}

int kv_auth_check_txn(struct kv *kv, const struct kv_auth_info *who, const struct kv_txn_request *t)
{
    return auth_check_txn(kv, NULL, who, t);
}

/* ---- words ---- */

const char *kv_auth_message(int code)
{
    switch (code) {
    case KV_ERR_AUTH_ROOT_USER:
        return "etcdserver: root user does not exist";
    case KV_ERR_AUTH_ROOT_ROLE:
        return "etcdserver: root user does not have root role";
    case KV_ERR_AUTH_USER_EXISTS:
        return "etcdserver: user name already exists";
    case KV_ERR_AUTH_USER_EMPTY:
        return "etcdserver: user name is empty";
    case KV_ERR_AUTH_USER_NOT_FOUND:
        return "etcdserver: user name not found";
    case KV_ERR_AUTH_ROLE_EXISTS:
        return "etcdserver: role name already exists";
    case KV_ERR_AUTH_ROLE_NOT_FOUND:
        return "etcdserver: role name not found";
    case KV_ERR_AUTH_ROLE_EMPTY:
        return "etcdserver: role name is empty";
    case KV_ERR_AUTH_FAILED:
        return "etcdserver: authentication failed, invalid user ID or password";
    case KV_ERR_AUTH_NO_PASSWORD:
        return "auth: authentication failed, password was given for no password user";
    case KV_ERR_AUTH_PERM_NOT_GIVEN:
        return "etcdserver: permission not given";
    case KV_ERR_AUTH_DENIED:
        return "etcdserver: permission denied";
    case KV_ERR_AUTH_NOT_GRANTED:
        return "etcdserver: role is not granted to the user";
    case KV_ERR_AUTH_PERM_NOT_GRANTED:
        return "etcdserver: permission is not granted to the role";
    case KV_ERR_AUTH_NOT_ENABLED:
        return "etcdserver: authentication is not enabled";
    case KV_ERR_AUTH_TOKEN:
        return "etcdserver: invalid auth token";
    case KV_ERR_AUTH_MGMT:
        return "etcdserver: invalid auth management";
    case KV_ERR_AUTH_OLD_REVISION:
        return "etcdserver: revision of auth store is old";
    case KV_ERR_AUTH_VERIFY_ONLY:
        return "auth: token signing attempted with verify-only key";
    default:
        return NULL;
    }
}
