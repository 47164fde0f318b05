/*
 * JSON web tokens: compact serialisation, by OpenSSL. Keys are PEM files, several in one file allowed.
 *
 * Service accounts (keys as kubeadm makes them: sa.pub, sa.key) use RS256/384/512 and ES256/384/512, whichever a
 * key is for. The functions ending in _alg keep to one algorithm that the caller names, out of those and
 * PS256/384/512, EdDSA and, with a secret in place of a key, HS256/384/512: the store's clients' tokens.
 *
 * Threads: keys are immutable after loading; verify and sign may run on any thread.
 */
#ifndef C8S_NET_JWT_H
#define C8S_NET_JWT_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

struct jwt_keys;
struct jwt_signer;

/* Public keys, private keys or certificates from PEM files. */
struct jwt_keys *jwt_keys_new(void);
int jwt_keys_load(struct jwt_keys *k, const char *path, struct error *err);
void jwt_keys_free(struct jwt_keys *k);

struct jwt_signer *jwt_signer_load(const char *path, struct error *err);
void jwt_signer_free(struct jwt_signer *s);

#define JWT_MAX 16384 /* longer tokens are refused before any work is done */

/*
 * Check the signature; the payload (JSON text, unverified content) in the arena through *payload.
 * ERR_DENIED: malformed, unknown key, wrong algorithm or signature. Claims are the caller's to check.
 */
int jwt_verify(const struct jwt_keys *k, struct str token, struct arena *a, struct str *payload,
               struct error *err);
/* A signed token over the JSON text `payload`, NUL-terminated in the arena; NULL with *err. */
char *jwt_sign(const struct jwt_signer *s, struct str payload, struct arena *a, struct error *err);

/* One algorithm, by name. For HS… the file's bytes are the secret. ERR_INVALID: a key of another kind. */
bool jwt_alg_known(const char *alg);
int jwt_keys_load_alg(struct jwt_keys *k, const char *path, const char *alg, struct error *err);
struct jwt_signer *jwt_signer_load_alg(const char *path, const char *alg, struct error *err);
int jwt_verify_alg(const struct jwt_keys *k, const char *alg, struct str token, struct arena *a,
                   struct str *payload, struct error *err);
/* Does it make signatures that `k` accepts? */
bool jwt_signer_matches(const struct jwt_signer *s, const struct jwt_keys *k);

/* The JWKS document {"keys":[…]} for /openid/v1/jwks. */
struct buf;
void jwt_keys_jwks(const struct jwt_keys *k, struct buf *out);
/* Their algorithms, each once: ["RS256"]. */
void jwt_keys_algorithms(const struct jwt_keys *k, struct buf *out);

#endif
