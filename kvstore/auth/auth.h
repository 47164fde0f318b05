/*
 * Inside the store: users, roles and tokens (kvstore/kv_auth.h).
 *
 *   range.c         permissions as sorted disjoint ranges
 *   disk.c          the LMDB tree `auth`, in etcd's own form
 *   store.c         the tables in memory, and questions to them
 *   apply.c         changes, on the apply thread
 *   check.c         may this request be done?
 *   token.c         simple tokens, and JSON web tokens
 *   password.c bcrypt
 *   request.c       proposing a change
 *
 * The tables change on the apply thread only, together with LMDB; everybody else reads them under `lock`. While
 * authentication is off nobody takes the lock: `enabled` is looked at first.
 */
#ifndef C8S_KVSTORE_AUTH_AUTH_H
#define C8S_KVSTORE_AUTH_AUTH_H

#include "base/buf.h"
#include "base/map.h"
#include "base/vec.h"
#include "kvstore/kv_auth.h"
#include "kvstore/mvcc.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- range.c ---- */

struct auth_span {
    struct str from, end; /* [from, end) */
    bool open;            /* no end */
};
/* Sorted, disjoint, no two of them touching. */
struct auth_ranges {
    struct auth_span *items;
    size_t len;
};
/* What the permissions that allow reading (or writing) cover together; copied into `a`. */
struct auth_ranges auth_ranges_make(struct arena *a, const struct kv_auth_permission *perms,
                                    size_t n, bool write);
/* Is all of the range covered? key and end as in kv_range_request. */
bool auth_ranges_cover(const struct auth_ranges *r, struct str key, struct str end);
/* A permission's range as etcd accepts it: a key, and no end, "\0", or one behind the key. */
bool auth_range_valid(struct str key, struct str end);

/* ---- the tables ---- */

struct auth_role {
    struct arena arena; /* everything of it */
    struct str name;
    struct kv_auth_permission *perms; /* sorted by key */
    size_t perms_len;
};

struct auth_user {
    struct arena arena; /* name, hash, roles */
    struct str name, hash;
    struct str *roles; /* sorted */
    size_t roles_len;
    bool no_password;
    bool root; /* has role root */
    struct arena range_arena;
    struct auth_ranges read, write; /* of all its roles; made anew when one changes */
};

struct auth_tokens;

struct auth_store {
    pthread_rwlock_t lock;
    atomic_bool enabled;
    _Atomic uint64_t rev;
    struct map users; /* name → struct auth_user */
    struct map roles; /* name → struct auth_role */
    struct auth_tokens *tokens;
};

struct kv;
struct apply;
struct pending;

/* store.c. `spec`: --auth-token; ttl_s: of simple tokens. */
int auth_store_init(struct auth_store *s, const char *spec, uint32_t ttl_s, struct error *err);
void auth_store_free(struct auth_store *s);
/* Everything anew out of LMDB: at start and after a snapshot. */
int auth_store_load(struct auth_store *s, const struct mvcc_trees *trees, MDB_txn *txn,
                    struct error *err);
/* Replace or add; takes `u` (or `r`) over. The caller holds the lock for writing (or is alone). */
void auth_store_set_user(struct auth_store *s, struct auth_user *u);
void auth_store_set_role(struct auth_store *s, struct auth_role *r);
void auth_store_drop_user(struct auth_store *s, struct str name);
void auth_store_drop_role(struct auth_store *s, struct str name);
struct auth_user *auth_user_new(struct str name);
struct auth_role *auth_role_new(struct str name);
void auth_user_free(struct auth_user *u);
void auth_role_free(struct auth_role *r);
bool auth_user_has_role(const struct auth_user *u, struct str role);
/* Names in byte order, in `a` (pointing into the tables). */
struct str *auth_sorted_names(const struct map *m, struct arena *a, size_t *n);

/* ---- disk.c ---- */

struct auth_state {
    bool enabled;
    uint64_t rev; /* 1 in a fresh store */
};
int auth_disk_state(const struct mvcc_trees *t, MDB_txn *txn, struct auth_state *out,
                    struct error *err);
int auth_disk_put_state(const struct mvcc_trees *t, MDB_txn *txn, const struct auth_state *s,
                        uint64_t *next_node, struct error *err);

/* A record of the tree: 'u' ‖ user's name, 'r' ‖ role's name, 's' (the state). Values without their checksum: packed
 * authpb.User and authpb.Role, which is how etcd keeps them in its buckets authUsers and authRoles; of the
 * state: enabled:1 revision:8 (little-endian). */
enum auth_kind { AUTH_USER = 'u', AUTH_ROLE = 'r', AUTH_STATE = 's' };
int auth_disk_put(const struct mvcc_trees *t, MDB_txn *txn, enum auth_kind kind, struct str name,
                  struct str value, uint64_t *next_node, struct error *err);
int auth_disk_delete(const struct mvcc_trees *t, MDB_txn *txn, enum auth_kind kind, struct str name,
                     struct error *err);
/* All records in order. `fn` < 0 ends it. */
typedef int auth_record_fn(void *ctx, enum auth_kind kind, struct str name, struct str value,
                           struct error *err);
int auth_disk_each(const struct mvcc_trees *t, MDB_txn *txn, auth_record_fn *fn, void *ctx,
                   struct error *err);

/* A record's value and back. NULL: ERR_CORRUPT. */
struct auth_user *auth_user_decode(struct str value, struct error *err);
struct auth_role *auth_role_decode(struct str value, struct error *err);
void auth_user_encode(const struct auth_user *u, struct buf *out);
void auth_role_encode(const struct auth_role *r, struct buf *out);

/* ---- apply.c ---- */

/* A change from the log, at `index`. Fills p's answer, if there is a caller. < 0: stop the member. */
int auth_apply(struct apply *a, const struct kv_auth_change *c, const struct kv_auth_info *who,
               uint64_t index, struct pending *p, struct error *err);

/* ---- check.c ---- */

/* kv_auth_check_txn and kv_auth_check_lease within a transaction of the caller's. */
int auth_check_txn(struct kv *kv, const struct mvcc_view *v, const struct kv_auth_info *who,
                   const struct kv_txn_request *t);
int auth_check_lease(struct kv *kv, const struct mvcc_view *v, const struct kv_auth_info *who,
                     int64_t lease, bool write);

/* ---- token.c ---- */

/* "simple", "jwt,pub-key=…,priv-key=…,sign-method=…,ttl=…", or "" (no token is ever good). */
int auth_tokens_new(const char *spec, uint32_t ttl_s, struct auth_tokens **out, struct error *err);
void auth_tokens_free(struct auth_tokens *t);
bool auth_tokens_simple(const struct auth_tokens *t);
/* Simple tokens: a new one's random part; the apply thread's part of making and dropping them. */
#define AUTH_TOKEN_PREFIX 16
void auth_token_prefix(char out[AUTH_TOKEN_PREFIX + 1]);
void auth_token_add(struct auth_tokens *t, struct str user, struct str token);
void auth_token_drop_user(struct auth_tokens *t, struct str user);
void auth_token_drop_all(struct auth_tokens *t);
/* Whom it stands for, the name in `a`. rev: the present auth revision. */
int auth_token_info(struct auth_tokens *t, struct str token, uint64_t rev, struct arena *a,
                    struct kv_auth_info *out);
/* A JSON web token in `a`; slow: not on a loop. */
int auth_token_sign(struct auth_tokens *t, struct str user, uint64_t rev, struct arena *a,
                    const char **token, struct error *err);

#endif
