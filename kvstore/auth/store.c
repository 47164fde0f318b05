/*
 * The tables of users and roles in memory, and what can be asked of them (kvstore/auth/auth.h).
 */
#include "kvstore/auth/auth.h"
#include "base/arena_str.h"
#include "base/encode.h"
#include "kvstore/store.h"
#include <assert.h>
#include <stdlib.h>

/* ---- users and roles ---- */

static struct str copy(struct arena *a, struct str s)
{
    return arena_copy(a, s);
}

struct auth_user *auth_user_new(struct str name)
{
    struct auth_user *u = mem_zalloc(sizeof *u);
    arena_init(&u->arena);
    arena_init(&u->range_arena);
    u->name = copy(&u->arena, name);
    return u;
}

void auth_user_free(struct auth_user *u)
{
    if (!u)
        return;
    arena_free(&u->arena);
    arena_free(&u->range_arena);
    mem_free(u);
}

struct auth_role *auth_role_new(struct str name)
{
    struct auth_role *r = mem_zalloc(sizeof *r);
    arena_init(&r->arena);
    r->name = copy(&r->arena, name);
    return r;
}

void auth_role_free(struct auth_role *r)
{
    if (!r)
        return;
    arena_free(&r->arena);
    mem_free(r);
}

bool auth_user_has_role(const struct auth_user *u, struct str role)
{
    for (size_t i = 0; i < u->roles_len; i++)
        if (str_eq(u->roles[i], role))
            return true;
    return false;
}

/* What follows from a user's roles. */
static void user_derive(struct auth_store *s, struct auth_user *u)
{
    VEC(struct kv_auth_permission) all = {0};
    u->root = auth_user_has_role(u, STR("root"));
    for (size_t i = 0; i < u->roles_len; i++) {
        const struct auth_role *r = map_get(&s->roles, u->roles[i]);
        for (size_t k = 0; r && k < r->perms_len; k++)
            vec_push(&all, r->perms[k]);
    }
    arena_reset(&u->range_arena);
    u->read = auth_ranges_make(&u->range_arena, all.items, all.len, false);
    u->write = auth_ranges_make(&u->range_arena, all.items, all.len, true);
    vec_free(&all);
}

void auth_store_set_user(struct auth_store *s, struct auth_user *u)
{
    user_derive(s, u);
    auth_user_free(map_put(&s->users, u->name, u));
}

static void role_changed(struct auth_store *s, struct str name)
{
    struct map_iter it = {0};
    while (map_next(&s->users, &it))
        if (auth_user_has_role(it.value, name))
            user_derive(s, it.value);
}

void auth_store_set_role(struct auth_store *s, struct auth_role *r)
{
    auth_role_free(map_put(&s->roles, r->name, r));
    role_changed(s, r->name);
}

void auth_store_drop_user(struct auth_store *s, struct str name)
{
    auth_user_free(map_remove(&s->users, name));
}

void auth_store_drop_role(struct auth_store *s, struct str name)
{
    struct auth_role *r = map_remove(&s->roles, name);
    role_changed(s, name);
    auth_role_free(r);
}

static void clear(struct auth_store *s)
{
    struct map_iter it = {0};
    while (map_next(&s->users, &it))
        auth_user_free(it.value);
    it = (struct map_iter){0};
    while (map_next(&s->roles, &it))
        auth_role_free(it.value);
    map_clear(&s->users);
    map_clear(&s->roles);
}

/* ---- opening ---- */

int auth_store_init(struct auth_store *s, const char *spec, uint32_t ttl_s, struct error *err)
{
    pthread_rwlock_init(&s->lock, NULL);
    map_init(&s->users);
    map_init(&s->roles);
    atomic_store(&s->rev, 1);
    return auth_tokens_new(spec ? spec : "simple", ttl_s, &s->tokens, err);
}

void auth_store_free(struct auth_store *s)
{
    clear(s);
    map_free(&s->users);
    map_free(&s->roles);
    auth_tokens_free(s->tokens);
    pthread_rwlock_destroy(&s->lock);
}

static int load_record(void *ctx, enum auth_kind kind, struct str name, struct str value,
                       struct error *err)
{
    struct auth_store *s = ctx;
    (void)name;
    if (kind == AUTH_USER) {
        struct auth_user *u = auth_user_decode(value, err);
        if (!u)
            return ERR_CORRUPT;
        auth_store_set_user(s, u);
    } else if (kind == AUTH_ROLE) { /* come before users: 'r' < 'u' */
        struct auth_role *r = auth_role_decode(value, err);
        if (!r)
            return ERR_CORRUPT;
        auth_store_set_role(s, r);
    }
    return 0;
}

int auth_store_load(struct auth_store *s, const struct mvcc_trees *trees, MDB_txn *txn,
                    struct error *err)
{
    struct auth_state state;
    pthread_rwlock_wrlock(&s->lock);
    clear(s);
    int rc = auth_disk_state(trees, txn, &state, err);
    if (rc == 0)
        rc = auth_disk_each(trees, txn, load_record, s, err);
    atomic_store(&s->rev, state.rev);
    atomic_store(&s->enabled, state.enabled);
    pthread_rwlock_unlock(&s->lock);
    auth_token_drop_all(s->tokens); /* of users that may be gone since */
    return rc;
}

/* ---- questions ---- */

bool kv_auth_enabled(const struct kv *kv)
{
    return atomic_load(&kv->auth.enabled);
}

uint64_t kv_auth_revision(const struct kv *kv)
{
    return atomic_load(&kv->auth.rev);
}

unsigned kv_auth_bcrypt_cost(const struct kv *kv)
{
    return kv->o.bcrypt_cost;
}

static int by_bytes(const void *a, const void *b)
{
    return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

struct str *auth_sorted_names(const struct map *m, struct arena *a, size_t *n)
{
    struct str *names = arena_array(a, struct str, m->len);
    struct map_iter it = {0};
    *n = 0;
    while (map_next(m, &it))
        names[(*n)++] = it.key;
    if (*n)
        qsort(names, *n, sizeof *names, by_bytes);
    return names;
}

static void list_names(struct auth_store *s, const struct map *m, struct arena *a,
                       struct str **names, size_t *n)
{
    pthread_rwlock_rdlock(&s->lock);
    *names = auth_sorted_names(m, a, n);
    for (size_t i = 0; i < *n; i++)
        (*names)[i] = copy(a, (*names)[i]);
    pthread_rwlock_unlock(&s->lock);
}

void kv_auth_user_list(struct kv *kv, struct arena *a, struct str **names, size_t *n)
{
    list_names(&kv->auth, &kv->auth.users, a, names, n);
}

void kv_auth_role_list(struct kv *kv, struct arena *a, struct str **names, size_t *n)
{
    list_names(&kv->auth, &kv->auth.roles, a, names, n);
}

int kv_auth_user_get(struct kv *kv, struct str name, struct arena *a, struct str **roles, size_t *n)
{
    struct auth_store *s = &kv->auth;
    int rc = KV_ERR_AUTH_USER_NOT_FOUND;
    *roles = NULL;
    *n = 0;
    pthread_rwlock_rdlock(&s->lock);
    const struct auth_user *u = map_get(&s->users, name);
    if (u) {
        rc = 0;
        *n = u->roles_len;
        *roles = arena_array(a, struct str, *n);
        for (size_t i = 0; i < *n; i++)
            (*roles)[i] = copy(a, u->roles[i]);
    }
    pthread_rwlock_unlock(&s->lock);
    return rc;
}

int kv_auth_role_get(struct kv *kv, struct str name, struct arena *a,
                     struct kv_auth_permission **perms, size_t *n)
{
    static const struct kv_auth_permission all = {KV_AUTH_READWRITE, {"", 0}, {"\0", 1}};
    struct auth_store *s = &kv->auth;
    int rc = KV_ERR_AUTH_ROLE_NOT_FOUND;
    *perms = NULL;
    *n = 0;
    pthread_rwlock_rdlock(&s->lock);
    const struct auth_role *r = map_get(&s->roles, name);
    if (r && str_eqz(name, "root")) {
        rc = 0;
        *n = 1;
        *perms = arena_dup(a, &all, sizeof all);
    } else if (r) {
        rc = 0;
        *n = r->perms_len;
        *perms = arena_dup(a, r->perms, *n * sizeof **perms);
        for (size_t i = 0; i < *n; i++) {
            (*perms)[i].key = copy(a, r->perms[i].key);
            (*perms)[i].end = copy(a, r->perms[i].end);
        }
    }
    pthread_rwlock_unlock(&s->lock);
    return rc;
}

int kv_auth_stored_password(struct kv *kv, struct str user, struct arena *a, struct str *hash,
                            uint64_t *rev)
{
    struct auth_store *s = &kv->auth;
    if (!kv_auth_enabled(kv))
        return KV_ERR_AUTH_NOT_ENABLED;
    int rc = 0;
    pthread_rwlock_rdlock(&s->lock);
    const struct auth_user *u = map_get(&s->users, user);
    if (!u)
        rc = KV_ERR_AUTH_FAILED;
    else if (u->no_password)
        rc = KV_ERR_AUTH_NO_PASSWORD;
    else
        *hash = copy(a, u->hash);
    *rev = kv_auth_revision(kv);
    pthread_rwlock_unlock(&s->lock);
    return rc;
}

static void hash_users(struct auth_store *s, struct arena *a, struct buf *b, uint32_t *crc)
{
    size_t n;
    struct str *names = auth_sorted_names(&s->users, a, &n);
    for (size_t i = 0; i < n; i++) {
        buf_clear(b);
        auth_user_encode(map_get(&s->users, names[i]), b);
        *crc = crc32c(*crc, b->data, b->len);
    }
}

static void hash_roles(struct auth_store *s, struct arena *a, struct buf *b, uint32_t *crc)
{
    size_t n;
    struct str *names = auth_sorted_names(&s->roles, a, &n);
    for (size_t i = 0; i < n; i++) {
        buf_clear(b);
        auth_role_encode(map_get(&s->roles, names[i]), b);
        *crc = crc32c(*crc, b->data, b->len);
    }
}

uint32_t kv_auth_hash(struct kv *kv)
{
    struct auth_store *s = &kv->auth;
    struct arena a;
    struct buf b;
    arena_init(&a);
    buf_init(&b);
    pthread_rwlock_rdlock(&s->lock);
    uint64_t state[2] = {atomic_load(&s->rev), atomic_load(&s->enabled)};
    uint32_t crc = crc32c(0, state, sizeof state);
    hash_users(s, &a, &b, &crc);
    hash_roles(s, &a, &b, &crc);
    pthread_rwlock_unlock(&s->lock);
    buf_free(&b);
    arena_free(&a);
    return crc;
}
