/*
 * Passwords: bcrypt, in the text form that etcd stores ("$2a$10$…"), by libcrypt.
 */
#include "kvstore/auth/auth.h"
#include "base/random.h"
#include <crypt.h>
#include <errno.h>

#define COST_MIN 4
#define COST_MAX 31
#define COST_DEFAULT 10
#define SALT_BYTES 16

int kv_auth_hash_password(const char *password, unsigned cost, char out[KV_AUTH_HASH_MAX],
                          struct error *err)
{
    struct crypt_data data = {0};
    char salt[SALT_BYTES], setting[KV_AUTH_HASH_MAX];
    if (strlen(password) > KV_AUTH_PASSWORD_MAX)
        return error_set(err, ERR_LIMIT, "password length exceeds %d bytes", KV_AUTH_PASSWORD_MAX);
    if (cost < COST_MIN || cost > COST_MAX)
        cost = COST_DEFAULT;
    random_bytes(salt, sizeof salt);
    /* $2a$ is what etcd writes; for passwords as libcrypt hashes them it is the same as $2b$. */
    if (!crypt_gensalt_rn("$2a$", cost, salt, sizeof salt, setting, sizeof setting))
        return error_errno(err, ERR_INTERNAL, errno, "make a salt");
    const char *hash = crypt_r(password, setting, &data);
    if (!hash || hash[0] != '$' || strlen(hash) >= KV_AUTH_HASH_MAX)
        return error_errno(err, ERR_INTERNAL, errno, "hash a password");
    strcpy(out, hash);
    explicit_bzero(&data, sizeof data);
    return 0;
}

bool kv_auth_password_ok(const char *password, struct str hash)
{
    struct crypt_data data = {0};
    char setting[KV_AUTH_HASH_MAX];
    if (hash.n == 0 || hash.n >= sizeof setting || hash.p[0] != '$')
        return false;
    memcpy(setting, hash.p, hash.n);
    setting[hash.n] = 0;
    const char *again = crypt_r(password, setting, &data);
    bool ok = again && again[0] == '$' && str_eq_constant_time(str_from(again), hash);
    explicit_bzero(&data, sizeof data);
    return ok;
}
