/*
 * Users, roles and permissions of the store's clients: etcd's authentication, replicated.
 *
 *     change   kv_auth_change ──▶ log ──▶ apply thread: LMDB tree `auth`, tables in memory, revision + 1
 *     check    kv_auth_check_*: the tables of this member, any thread, no LMDB, no waiting
 *
 * Who asks is a `struct kv_auth_info`: a user's name and the auth revision its token was good for. A write carries
 * it through the log and is checked when it is applied, against the tables as they are then: a permission
 * revoked meanwhile holds, and a token from before any change is refused (KV_ERR_AUTH_OLD_REVISION), upon
 * which clients authenticate again. NULL in its place is the process itself (the API server, lease
 * expiry), which may do everything.
 *
 * A fresh store has revision 1, no user, no role, and authentication off; then everything is allowed. The user `root` and
 * the role `root` are special: enabling needs a user root with the role root; who has that role may do everything.
 *
 * Threads: every function on any thread unless it says otherwise.
 */
#ifndef C8S_KVSTORE_KV_AUTH_H
#define C8S_KVSTORE_KV_AUTH_H

#include "kvstore/kv.h"

/* The comment is etcd's gRPC status. */
enum kv_auth_err {
    KV_ERR_AUTH_ROOT_USER = -120,        /* FailedPrecondition: enabling without user root */
    KV_ERR_AUTH_ROOT_ROLE = -121,        /* FailedPrecondition: user root lacks role root */
    KV_ERR_AUTH_USER_EXISTS = -122,      /* FailedPrecondition */
    KV_ERR_AUTH_USER_EMPTY = -123,       /* InvalidArgument: no name given, or nobody asks */
    KV_ERR_AUTH_USER_NOT_FOUND = -124,   /* FailedPrecondition */
    KV_ERR_AUTH_ROLE_EXISTS = -125,      /* FailedPrecondition */
    KV_ERR_AUTH_ROLE_NOT_FOUND = -126,   /* FailedPrecondition */
    KV_ERR_AUTH_ROLE_EMPTY = -127,       /* InvalidArgument */
    KV_ERR_AUTH_FAILED = -128,           /* InvalidArgument: wrong name or password */
    KV_ERR_AUTH_NO_PASSWORD = -129,      /* Unknown: password given for a user without one */
    KV_ERR_AUTH_PERM_NOT_GIVEN = -130,   /* InvalidArgument */
    KV_ERR_AUTH_DENIED = -131,           /* PermissionDenied */
    KV_ERR_AUTH_NOT_GRANTED = -132,      /* FailedPrecondition: the user has no such role */
    KV_ERR_AUTH_PERM_NOT_GRANTED = -133, /* FailedPrecondition: the role has no such permission */
    KV_ERR_AUTH_NOT_ENABLED = -134,      /* FailedPrecondition */
    KV_ERR_AUTH_TOKEN = -135,            /* Unauthenticated: unknown or expired token */
    KV_ERR_AUTH_MGMT = -136,             /* InvalidArgument: takes root away, or a wrong range */
    KV_ERR_AUTH_OLD_REVISION = -137,     /* InvalidArgument */
    KV_ERR_AUTH_VERIFY_ONLY = -138,      /* Unknown: only a public key to make tokens with */
};

/* etcd's words ("etcdserver: permission denied"); NULL for any other code. */
const char *kv_auth_message(int code);

/* Who asks. Nobody: user empty, rev 0. */
struct kv_auth_info {
    struct str user;
    uint64_t rev; /* auth revision at authentication (JWT) or at the request (others) */
};

/* ---- state ---- */

bool kv_auth_enabled(const struct kv *kv);
uint64_t kv_auth_revision(const struct kv *kv);
/* CRC-32C over all users, roles and the state: equal on members that have applied the same. */
uint32_t kv_auth_hash(struct kv *kv);

enum kv_auth_perm { KV_AUTH_READ, KV_AUTH_WRITE, KV_AUTH_READWRITE };
struct kv_auth_permission {
    enum kv_auth_perm type;
    struct str key, end; /* as in kv_range_request */
};

/* Answers are copied into `a`; names sorted in byte order. Local: kv_read_index first for a current answer. */
void kv_auth_user_list(struct kv *kv, struct arena *a, struct str **names, size_t *n);
void kv_auth_role_list(struct kv *kv, struct arena *a, struct str **names, size_t *n);
/* KV_ERR_AUTH_USER_NOT_FOUND; KV_ERR_AUTH_ROLE_NOT_FOUND. Role root shows one permission on everything. */
int kv_auth_user_get(struct kv *kv, struct str name, struct arena *a, struct str **roles,
                     size_t *n);
int kv_auth_role_get(struct kv *kv, struct str name, struct arena *a,
                     struct kv_auth_permission **perms, size_t *n);

/* ---- checks: 0 or one of kv_auth_err. All 0 while authentication is off, and for who == NULL. ---- */

int kv_auth_check_range(struct kv *kv, const struct kv_auth_info *who, struct str key,
                        struct str end, bool write);
/* Somebody known, whatever its rights (KV_ERR_AUTH_USER_EMPTY). */
int kv_auth_check_user(struct kv *kv, const struct kv_auth_info *who);
/* Role root. */
int kv_auth_check_admin(struct kv *kv, const struct kv_auth_info *who);
/* May ask for this user, or role: root, the user itself, one who has the role. */
int kv_auth_check_user_get(struct kv *kv, const struct kv_auth_info *who, struct str user);
int kv_auth_check_role_get(struct kv *kv, const struct kv_auth_info *who, struct str role);
/* Every comparison and operation of both branches, nested ones too, and the leases of its puts. Reads LMDB for those. */
int kv_auth_check_txn(struct kv *kv, const struct kv_auth_info *who,
                      const struct kv_txn_request *t);
/* Every key attached to the lease; a lease that does not exist passes. Reads LMDB. */
int kv_auth_check_lease(struct kv *kv, const struct kv_auth_info *who, int64_t lease, bool write);

/* ---- authentication ---- */

#define KV_AUTH_PASSWORD_MAX 72 /* bytes that bcrypt looks at; longer ones are refused */
#define KV_AUTH_HASH_MAX 64     /* bytes of a hash with its NUL */

/* bcrypt; cost 4…31 (others: 10). Takes 50 ms and more: never on a loop. ERR_LIMIT: too long. */
int kv_auth_hash_password(const char *password, unsigned cost, char out[KV_AUTH_HASH_MAX],
                          struct error *err);
bool kv_auth_password_ok(const char *password, struct str hash);
/* What to compare with: the hash in `a`, and the auth revision it was read at. KV_ERR_AUTH_NOT_ENABLED, _FAILED (no such
 * user), _NO_PASSWORD. */
int kv_auth_stored_password(struct kv *kv, struct str user, struct arena *a, struct str *hash,
                            uint64_t *rev);

/* Whom a token stands for; *out's name in `a`. A simple token's life begins anew. KV_ERR_AUTH_TOKEN. */
int kv_auth_token(struct kv *kv, struct str token, struct arena *a, struct kv_auth_info *out);
/* The log index that must be applied here before the token can be known; 0: none. */
uint64_t kv_auth_token_index(struct kv *kv, struct str token);
/* Calls back once log entry `index` is applied here, or with ERR_TIMEOUT. */
void kv_wait_applied(struct kv *kv, uint64_t index, uint32_t timeout_ms, struct loop *loop,
                     kv_revision_fn *cb, void *ctx);
/* Are tokens made by the log (simple), by KV_AUTH_AUTHENTICATE? Else kv_auth_sign makes one: slow, not on a loop;
 * KV_ERR_AUTH_VERIFY_ONLY, ERR_INTERNAL. */
bool kv_auth_tokens_replicated(const struct kv *kv);
int kv_auth_sign(struct kv *kv, struct str user, uint64_t rev, struct arena *a, const char **token,
                 struct error *err);
/* Cost for new hashes (options.bcrypt_cost). */
unsigned kv_auth_bcrypt_cost(const struct kv *kv);

/* ---- changes ---- */

enum kv_auth_op { /* stored in the log: never renumbered */
                  KV_AUTH_ENABLE = 1,
                  KV_AUTH_DISABLE = 2,
                  KV_AUTH_AUTHENTICATE =
                      3, /* a token for user `name`, whose password the caller has checked */
                  KV_AUTH_USER_ADD = 4, /* name, secret or no_password */
                  KV_AUTH_USER_DELETE = 5,
                  KV_AUTH_USER_PASSWORD = 6,    /* name, secret */
                  KV_AUTH_USER_GRANT_ROLE = 7,  /* name, role */
                  KV_AUTH_USER_REVOKE_ROLE = 8, /* name, role */
                  KV_AUTH_ROLE_ADD = 9,         /* role */
                  KV_AUTH_ROLE_DELETE = 10,     /* role */
                  KV_AUTH_ROLE_GRANT = 11,      /* role, perm */
                  KV_AUTH_ROLE_REVOKE = 12,     /* role, perm.key, perm.end */
                  KV_AUTH_OP_LAST = KV_AUTH_ROLE_REVOKE,
};

struct kv_auth_change {
    enum kv_auth_op op;
    struct str name, role;
    struct str secret; /* a bcrypt hash; AUTHENTICATE: made by kv_auth_change */
    bool no_password;
    struct kv_auth_permission perm;
};

struct kv_auth_result {
    int code;
    int64_t rev;       /* the store's revision */
    uint64_t auth_rev; /* after the change */
    const char *token; /* AUTHENTICATE */
};
typedef void kv_auth_fn(void *ctx, const struct kv_auth_result *result); /* valid during the call */

/* All but AUTHENTICATE need root while authentication is on. */
void kv_auth_change(struct kv *kv, const struct kv_auth_change *change,
                    const struct kv_auth_info *who, struct loop *loop, kv_auth_fn *cb, void *ctx);

/* kv_lease_revoke for a client, who must be allowed to write every key of the lease. */
void kv_lease_revoke_as(struct kv *kv, int64_t id, const struct kv_auth_info *who,
                        struct loop *loop, kv_lease_fn *cb, void *ctx);

#endif
