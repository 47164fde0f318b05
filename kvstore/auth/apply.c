/*
 * Changes of users and roles out of the log (kvstore/auth/auth.h).
 *
 * The rules are etcd's, in its order, since clients compare the errors: first who asks, then what is
 * asked. A change that breaks one does nothing. Every change that does something raises the auth
 * revision, except switching on.
 */
#include "kvstore/auth/auth.h"
#include "base/log.h"
#include "kvstore/store.h"
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

struct change {
    struct apply *apply;
    struct auth_store *store;
    const struct kv_auth_change *c;
    struct auth_state state;
    uint64_t index;
    struct error *err;
};

/* ---- to LMDB and to the tables ---- */

static int save_user(struct change *x, struct auth_user *u)
{
    struct buf b;
    buf_init(&b);
    auth_user_encode(u, &b);
    int rc = auth_disk_put(&x->apply->kv->trees, x->apply->txn.mdb, AUTH_USER, u->name, buf_str(&b),
                           &x->apply->write.state.next_node, x->err);
    buf_free(&b);
    if (rc < 0) {
        auth_user_free(u);
        return rc;
    }
    auth_store_set_user(x->store, u);
    return 0;
}

static int save_role(struct change *x, struct auth_role *r)
{
    struct buf b;
    buf_init(&b);
    auth_role_encode(r, &b);
    int rc = auth_disk_put(&x->apply->kv->trees, x->apply->txn.mdb, AUTH_ROLE, r->name, buf_str(&b),
                           &x->apply->write.state.next_node, x->err);
    buf_free(&b);
    if (rc < 0) {
        auth_role_free(r);
        return rc;
    }
    auth_store_set_role(x->store, r);
    return 0;
}

static int save_state(struct change *x)
{
    int rc = auth_disk_put_state(&x->apply->kv->trees, x->apply->txn.mdb, &x->state,
                                 &x->apply->write.state.next_node, x->err);
    if (rc == 0) {
        atomic_store(&x->store->rev, x->state.rev);
        atomic_store(&x->store->enabled, x->state.enabled);
    }
    return rc;
}

static int raise_revision(struct change *x)
{
    x->state.rev++;
    return save_state(x);
}

/* A user as it is but for its roles: all of `u` that are not `without`, and `with` in its place. */
static struct auth_user *user_with_roles(const struct auth_user *u, struct str without,
                                         struct str with)
{
    struct auth_user *n = auth_user_new(u->name);
    n->hash = str_make(arena_dup(&n->arena, u->hash.p, u->hash.n), u->hash.n);
    n->no_password = u->no_password;
    n->roles = arena_array(&n->arena, struct str, u->roles_len + 1);
    bool added = with.n == 0;
    for (size_t i = 0; i <= u->roles_len; i++) {
        if (!added && (i == u->roles_len || str_cmp(with, u->roles[i]) < 0)) {
            n->roles[n->roles_len++] = str_from(arena_strndup(&n->arena, with.p, with.n));
            added = true;
        }
        if (i < u->roles_len && !(without.n && str_eq(u->roles[i], without)))
            n->roles[n->roles_len++] =
                str_from(arena_strndup(&n->arena, u->roles[i].p, u->roles[i].n));
    }
    return n;
}

/* ---- the kinds: 0, a kv_auth_err for the caller, or what stops the member ---- */

static int enable(struct change *x)
{
    if (x->state.enabled)
        return 0;
    const struct auth_user *root = map_get(&x->store->users, STR("root"));
    if (!root)
        return KV_ERR_AUTH_ROOT_USER;
    if (!root->root)
        return KV_ERR_AUTH_ROOT_ROLE;
    x->state.enabled = true;
    log_info("auth", "authentication is on revision=%" PRIu64, x->state.rev);
    return save_state(x);
}

static int disable(struct change *x)
{
    if (!x->state.enabled)
        return 0;
    x->state.enabled = false;
    auth_token_drop_all(x->store->tokens);
    log_info("auth", "authentication is off");
    return raise_revision(x);
}

static int authenticate(struct change *x, struct pending *p)
{
    const struct auth_user *u = map_get(&x->store->users, x->c->name);
    if (!x->state.enabled)
        return KV_ERR_AUTH_NOT_ENABLED;
    if (!u || u->no_password)
        return KV_ERR_AUTH_FAILED;
    char *token =
        arena_printf(&x->apply->kv->apply_arena, "%.*s.%" PRIu64, STR_ARG(x->c->secret), x->index);
    auth_token_add(x->store->tokens, u->name, str_from(token));
    if (p)
        p->token = mem_strdup(token);
    return 0;
}

static int user_add(struct change *x)
{
    if (!x->c->name.n)
        return KV_ERR_AUTH_USER_EMPTY;
    if (map_has(&x->store->users, x->c->name))
        return KV_ERR_AUTH_USER_EXISTS;
    struct auth_user *u = auth_user_new(x->c->name);
    u->no_password = x->c->no_password;
    if (!u->no_password)
        u->hash = str_make(arena_dup(&u->arena, x->c->secret.p, x->c->secret.n), x->c->secret.n);
    int rc = save_user(x, u);
    return rc < 0 ? rc : raise_revision(x);
}

static int user_delete(struct change *x)
{
    if (x->state.enabled && str_eqz(x->c->name, "root"))
        return KV_ERR_AUTH_MGMT;
    if (!map_has(&x->store->users, x->c->name))
        return KV_ERR_AUTH_USER_NOT_FOUND;
    int rc =
        auth_disk_delete(&x->apply->kv->trees, x->apply->txn.mdb, AUTH_USER, x->c->name, x->err);
    if (rc < 0)
        return rc;
    auth_store_drop_user(x->store, x->c->name);
    auth_token_drop_user(x->store->tokens, x->c->name);
    return raise_revision(x);
}

static int user_password(struct change *x)
{
    const struct auth_user *u = map_get(&x->store->users, x->c->name);
    if (!u)
        return KV_ERR_AUTH_USER_NOT_FOUND;
    struct auth_user *n = user_with_roles(u, STR_NONE, STR_NONE);
    n->hash = n->no_password
                  ? STR_NONE
                  : str_make(arena_dup(&n->arena, x->c->secret.p, x->c->secret.n), x->c->secret.n);
    int rc = save_user(x, n);
    auth_token_drop_user(x->store->tokens, x->c->name);
    return rc < 0 ? rc : raise_revision(x);
}

static int user_grant(struct change *x)
{
    const struct auth_user *u = map_get(&x->store->users, x->c->name);
    if (!u)
        return KV_ERR_AUTH_USER_NOT_FOUND;
    if (!str_eqz(x->c->role, "root") && !map_has(&x->store->roles, x->c->role))
        return KV_ERR_AUTH_ROLE_NOT_FOUND;
    if (auth_user_has_role(u, x->c->role))
        return 0;
    int rc = save_user(x, user_with_roles(u, STR_NONE, x->c->role));
    return rc < 0 ? rc : raise_revision(x);
}

static int user_revoke(struct change *x)
{
    if (x->state.enabled && str_eqz(x->c->name, "root") && str_eqz(x->c->role, "root"))
        return KV_ERR_AUTH_MGMT;
    const struct auth_user *u = map_get(&x->store->users, x->c->name);
    if (!u)
        return KV_ERR_AUTH_USER_NOT_FOUND;
    if (!auth_user_has_role(u, x->c->role))
        return KV_ERR_AUTH_NOT_GRANTED;
    int rc = save_user(x, user_with_roles(u, x->c->role, STR_NONE));
    return rc < 0 ? rc : raise_revision(x);
}

static int role_add(struct change *x)
{
    if (!x->c->role.n)
        return KV_ERR_AUTH_ROLE_EMPTY;
    if (map_has(&x->store->roles, x->c->role))
        return KV_ERR_AUTH_ROLE_EXISTS;
    int rc = save_role(x, auth_role_new(x->c->role));
    return rc < 0 ? rc : raise_revision(x);
}

/* Whoever has the role loses it; in name order, so that every member's LMDB looks the same. */
static int revoke_from_all(struct change *x, struct str role)
{
    size_t n;
    int rc = 0;
    struct str *names = auth_sorted_names(&x->store->users, &x->apply->kv->apply_arena, &n);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct auth_user *u = map_get(&x->store->users, names[i]);
        if (auth_user_has_role(u, role))
            rc = save_user(x, user_with_roles(u, role, STR_NONE));
    }
    return rc;
}

static int role_delete(struct change *x)
{
    if (x->state.enabled && str_eqz(x->c->role, "root"))
        return KV_ERR_AUTH_MGMT;
    if (!map_has(&x->store->roles, x->c->role))
        return KV_ERR_AUTH_ROLE_NOT_FOUND;
    int rc =
        auth_disk_delete(&x->apply->kv->trees, x->apply->txn.mdb, AUTH_ROLE, x->c->role, x->err);
    if (rc < 0)
        return rc;
    auth_store_drop_role(x->store, x->c->role);
    rc = revoke_from_all(x, x->c->role);
    return rc < 0 ? rc : raise_revision(x);
}

static bool same_range(const struct kv_auth_permission *a, const struct kv_auth_permission *b)
{
    return str_eq(a->key, b->key) && str_eq(a->end, b->end);
}

/* A copy of it at the end of the role's; there is room. */
static void perm_add(struct auth_role *r, const struct kv_auth_permission *p)
{
    r->perms[r->perms_len++] = (struct kv_auth_permission){
        .type = p->type,
        .key = str_make(arena_dup(&r->arena, p->key.p, p->key.n), p->key.n),
        .end = str_make(arena_dup(&r->arena, p->end.p, p->end.n), p->end.n)};
}

static int role_grant(struct change *x)
{
    const struct kv_auth_permission *perm = &x->c->perm;
    if (!auth_range_valid(perm->key, perm->end))
        return KV_ERR_AUTH_MGMT;
    const struct auth_role *old = map_get(&x->store->roles, x->c->role);
    if (!old)
        return KV_ERR_AUTH_ROLE_NOT_FOUND;
    size_t at = 0; /* where it goes: the same range, else behind its key's others */
    while (at < old->perms_len && !same_range(&old->perms[at], perm))
        at++;
    bool same = at < old->perms_len;
    for (at = same ? at : 0; !same && at < old->perms_len; at++)
        if (str_cmp(old->perms[at].key, perm->key) > 0)
            break;
    struct auth_role *r = auth_role_new(x->c->role);
    r->perms = arena_array(&r->arena, struct kv_auth_permission, old->perms_len + 1);
    for (size_t i = 0; i < at; i++)
        perm_add(r, &old->perms[i]);
    perm_add(r, perm);
    for (size_t i = at + same; i < old->perms_len; i++)
        perm_add(r, &old->perms[i]);
    int rc = save_role(x, r);
    return rc < 0 ? rc : raise_revision(x);
}

static int role_revoke(struct change *x)
{
    const struct auth_role *old = map_get(&x->store->roles, x->c->role);
    if (!old)
        return KV_ERR_AUTH_ROLE_NOT_FOUND;
    struct auth_role *r = auth_role_new(x->c->role);
    r->perms = arena_array(&r->arena, struct kv_auth_permission, old->perms_len);
    for (size_t i = 0; i < old->perms_len; i++)
        if (!same_range(&old->perms[i], &x->c->perm))
            perm_add(r, &old->perms[i]);
    if (r->perms_len == old->perms_len) {
        auth_role_free(r);
        return KV_ERR_AUTH_PERM_NOT_GRANTED;
    }
    int rc = save_role(x, r);
    return rc < 0 ? rc : raise_revision(x);
}

static int change(struct change *x, struct pending *p)
{
    switch (x->c->op) {
    case KV_AUTH_ENABLE:
        return enable(x);
    case KV_AUTH_DISABLE:
        return disable(x);
    case KV_AUTH_AUTHENTICATE:
        return authenticate(x, p);
    case KV_AUTH_USER_ADD:
        return user_add(x);
    case KV_AUTH_USER_DELETE:
        return user_delete(x);
    case KV_AUTH_USER_PASSWORD:
        return user_password(x);
    case KV_AUTH_USER_GRANT_ROLE:
        return user_grant(x);
    case KV_AUTH_USER_REVOKE_ROLE:
        return user_revoke(x);
    case KV_AUTH_ROLE_ADD:
        return role_add(x);
    case KV_AUTH_ROLE_DELETE:
        return role_delete(x);
    case KV_AUTH_ROLE_GRANT:
        return role_grant(x);
    case KV_AUTH_ROLE_REVOKE:
        return role_revoke(x);
    }
    return 0;
}

static bool is_refusal(int rc)
{
    return rc <= KV_ERR_AUTH_ROOT_USER && rc >= KV_ERR_AUTH_VERIFY_ONLY;
}

int auth_apply(struct apply *a, const struct kv_auth_change *c, const struct kv_auth_info *who,
               uint64_t index, struct pending *p, struct error *err)
{
    struct kv *kv = a->kv;
    struct change x = {.apply = a, .store = &kv->auth, .c = c, .index = index, .err = err};
    x.state.enabled = kv_auth_enabled(kv);
    x.state.rev = kv_auth_revision(kv);
    int rc = c->op == KV_AUTH_AUTHENTICATE ? 0 : kv_auth_check_admin(kv, who);
    if (rc == 0) {
        pthread_rwlock_wrlock(&kv->auth.lock);
        rc = change(&x, p);
        pthread_rwlock_unlock(&kv->auth.lock);
    }
    if (rc < 0 && !is_refusal(rc))
        return rc;
    if (p) {
        p->code = rc;
        p->rev = a->write.state.rev;
    }
    return 0;
}
