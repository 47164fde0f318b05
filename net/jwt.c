/*
 * JWT signing and verification: see jwt.h.
 *
 * A key's id is the base64url SHA-256 of its DER public key, as upstream computes it, so tokens made by
 * one implementation verify on the other. ECDSA signatures stand in JWS as r ‖ s, while OpenSSL speaks DER.
 */
#include "net/jwt.h"
#include "base/arena_str.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"
#include "base/vec.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/sha.h>
#include <openssl/x509.h>
#include <errno.h>
#include <stdio.h>
#include <yyjson.h>

struct jwt_key {
    EVP_PKEY *pkey;
    char *kid;
    const char *alg; /* the algorithm this key signs with */
    size_t ec_part;  /* bytes of r and of s; 0: RSA */
};

struct jwt_keys {
    VEC(struct jwt_key) list;
};

struct jwt_signer {
    struct jwt_key key;
};

struct alg {
    const char *name;
    const char *digest; /* NULL: the key type has its own */
    int type;           /* EVP_PKEY_… */
    int bits;           /* EC curve size */
    size_t part;
    bool pss;
};

/* The first ACCOUNT_ALGS are those of service accounts. */
#define ACCOUNT_ALGS 6
static const struct alg algs[] = {
    {"RS256", "SHA256", EVP_PKEY_RSA, 0, 0},       {"RS384", "SHA384", EVP_PKEY_RSA, 0, 0},
    {"RS512", "SHA512", EVP_PKEY_RSA, 0, 0},       {"ES256", "SHA256", EVP_PKEY_EC, 256, 32},
    {"ES384", "SHA384", EVP_PKEY_EC, 384, 48},     {"ES512", "SHA512", EVP_PKEY_EC, 521, 66},
    {"PS256", "SHA256", EVP_PKEY_RSA, 0, 0, true}, {"PS384", "SHA384", EVP_PKEY_RSA, 0, 0, true},
    {"PS512", "SHA512", EVP_PKEY_RSA, 0, 0, true}, {"HS256", "SHA256", EVP_PKEY_HMAC, 0, 0},
    {"HS384", "SHA384", EVP_PKEY_HMAC, 0, 0},      {"HS512", "SHA512", EVP_PKEY_HMAC, 0, 0},
    {"EdDSA", NULL, EVP_PKEY_ED25519, 0, 0},
};

static const struct alg *alg_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(algs); i++)
        if (strcmp(algs[i].name, name) == 0)
            return &algs[i];
    return NULL;
}

bool jwt_alg_known(const char *alg)
{
    return alg_find(alg) != NULL;
}

/* NULL for a secret, which has no public part. */
static char *key_id(EVP_PKEY *pkey)
{
    unsigned char *der = NULL;
    int n = i2d_PUBKEY(pkey, &der);
    if (n <= 0)
        return NULL;
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256(der, (size_t)n, sum);
    OPENSSL_free(der);
    struct buf b;
    buf_init(&b);
    base64url_encode(&b, str_make(sum, sizeof sum));
    char *id = mem_strndup(b.data, b.len);
    buf_free(&b);
    return id;
}

static bool key_fits(const EVP_PKEY *pkey, const struct alg *alg)
{
    if (alg->type == EVP_PKEY_HMAC)
        return EVP_PKEY_is_a(pkey, "HMAC");
    return EVP_PKEY_get_base_id(pkey) == alg->type &&
           (!alg->bits || EVP_PKEY_get_bits(pkey) == alg->bits);
}

/* `wanted` NULL: what service accounts use it for. */
static int key_describe(EVP_PKEY *pkey, const struct alg *wanted, struct jwt_key *out,
                        struct error *err)
{
    int type = EVP_PKEY_get_base_id(pkey), bits = EVP_PKEY_get_bits(pkey);
    const char *name = NULL;
    size_t part = 0;
    if (wanted) {
        if (!key_fits(pkey, wanted))
            return error_set(err, ERR_INVALID, "the key is not one for %s", wanted->name);
        name = wanted->name;
        part = wanted->part;
    } else if (type == EVP_PKEY_RSA) {
        name = "RS256";
    } else if (type == EVP_PKEY_EC) {
        for (size_t i = 0; i < ACCOUNT_ALGS; i++)
            if (algs[i].bits == bits) {
                name = algs[i].name;
                part = algs[i].part;
            }
    }
    if (!name)
        return error_set(err, ERR_UNSUPPORTED,
                         "key type not usable for tokens (RSA or ECDSA P-256/384/521)");
    *out = (struct jwt_key){pkey, EVP_PKEY_is_a(pkey, "HMAC") ? NULL : key_id(pkey), name, part};
    return 0;
}

static void key_close(struct jwt_key *k)
{
    EVP_PKEY_free(k->pkey);
    mem_free(k->kid);
}

struct jwt_keys *jwt_keys_new(void)
{
    return mem_zalloc(sizeof(struct jwt_keys));
}

void jwt_keys_free(struct jwt_keys *k)
{
    if (!k)
        return;
    for (size_t i = 0; i < k->list.len; i++)
        key_close(&k->list.items[i]);
    vec_free(&k->list);
    mem_free(k);
}

/* One PEM block as a key: public key, PKCS#1 public key, private key of any form, or certificate. */
static EVP_PKEY *pem_block_key(const char *name, const unsigned char *der, long n)
{
    const unsigned char *p = der;
    if (strcmp(name, "PUBLIC KEY") == 0)
        return d2i_PUBKEY(NULL, &p, n);
    if (strcmp(name, "RSA PUBLIC KEY") == 0)
        return d2i_PublicKey(EVP_PKEY_RSA, NULL, &p, n);
    if (strcmp(name, "CERTIFICATE") == 0) {
        X509 *x = d2i_X509(NULL, &p, n);
        EVP_PKEY *k = x ? X509_get_pubkey(x) : NULL;
        X509_free(x);
        return k;
    }
    if (strstr(name, "PRIVATE KEY"))
        return d2i_AutoPrivateKey(NULL, &p, n);
    return NULL;
}

static int keys_load(struct jwt_keys *k, const char *path, const struct alg *wanted,
                     struct error *err)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return error_errno(err, ERR_IO, errno, "open %s", path);
    char *name, *header;
    unsigned char *data;
    long n;
    int rc = 0;
    size_t found = 0;
    while (rc == 0 && PEM_read(f, &name, &header, &data, &n) == 1) {
        EVP_PKEY *pkey = pem_block_key(name, data, n);
        if (pkey) {
            struct jwt_key key;
            rc = key_describe(pkey, wanted, &key, err);
            if (rc < 0) {
                EVP_PKEY_free(pkey);
            } else {
                vec_push(&k->list, key);
                found++;
            }
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)n);
    }
    ERR_clear_error();
    fclose(f);
    if (rc < 0)
        return error_wrap(err, "%s", path);
    return found ? 0 : error_set(err, ERR_INVALID, "%s: no usable key", path);
}

/* A file's bytes as a key for HS…; NULL with *err. */
static EVP_PKEY *secret_load(const char *path, struct error *err)
{
    unsigned char secret[4096];
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(secret, 1, sizeof secret, f) : 0;
    if (!f) {
        error_errno(err, ERR_IO, errno, "open %s", path);
        return NULL;
    }
    fclose(f);
    EVP_PKEY *pkey = n ? EVP_PKEY_new_raw_private_key(EVP_PKEY_HMAC, NULL, secret, n) : NULL;
    OPENSSL_cleanse(secret, sizeof secret);
    if (!pkey)
        error_set(err, ERR_INVALID, "%s: no secret in it", path);
    return pkey;
}

static EVP_PKEY *private_load(const char *path, struct error *err)
{
    FILE *f = fopen(path, "r");
    if (!f) {
        error_errno(err, ERR_IO, errno, "open %s", path);
        return NULL;
    }
    EVP_PKEY *pkey = PEM_read_PrivateKey(f, NULL, NULL, NULL);
    fclose(f);
    ERR_clear_error();
    if (!pkey)
        error_set(err, ERR_INVALID, "%s: no private key", path);
    return pkey;
}

int jwt_keys_load(struct jwt_keys *k, const char *path, struct error *err)
{
    return keys_load(k, path, NULL, err);
}

int jwt_keys_load_alg(struct jwt_keys *k, const char *path, const char *alg, struct error *err)
{
    const struct alg *wanted = alg_find(alg);
    if (!wanted)
        return error_set(err, ERR_INVALID, "algorithm %s is not known", alg);
    if (wanted->type != EVP_PKEY_HMAC)
        return keys_load(k, path, wanted, err);
    EVP_PKEY *pkey = secret_load(path, err);
    if (!pkey)
        return ERR_INVALID;
    vec_push(&k->list, ((struct jwt_key){pkey, NULL, wanted->name, 0}));
    return 0;
}

static struct jwt_signer *signer_load(const char *path, const struct alg *wanted, struct error *err)
{
    EVP_PKEY *pkey =
        wanted && wanted->type == EVP_PKEY_HMAC ? secret_load(path, err) : private_load(path, err);
    if (!pkey)
        return NULL;
    struct jwt_signer *s = mem_zalloc(sizeof *s);
    if (key_describe(pkey, wanted, &s->key, err) < 0) {
        EVP_PKEY_free(pkey);
        mem_free(s);
        return NULL;
    }
    return s;
}

struct jwt_signer *jwt_signer_load(const char *path, struct error *err)
{
    return signer_load(path, NULL, err);
}

struct jwt_signer *jwt_signer_load_alg(const char *path, const char *alg, struct error *err)
{
    const struct alg *wanted = alg_find(alg);
    if (wanted)
        return signer_load(path, wanted, err);
    error_set(err, ERR_INVALID, "algorithm %s is not known", alg);
    return NULL;
}

bool jwt_signer_matches(const struct jwt_signer *s, const struct jwt_keys *k)
{
    for (size_t i = 0; i < k->list.len; i++)
        if (EVP_PKEY_eq(s->key.pkey, k->list.items[i].pkey) == 1)
            return true;
    return false;
}

void jwt_signer_free(struct jwt_signer *s)
{
    if (!s)
        return;
    key_close(&s->key);
    mem_free(s);
}

/* JWS r ‖ s to DER; the caller frees with OPENSSL_free. 0 on failure. */
static int raw_to_der(const unsigned char *raw, size_t part, unsigned char **der)
{
    ECDSA_SIG *sig = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)part, NULL), *s = BN_bin2bn(raw + part, (int)part, NULL);
    ECDSA_SIG_set0(sig, r, s);
    *der = NULL;
    int n = i2d_ECDSA_SIG(sig, der);
    ECDSA_SIG_free(sig);
    return n;
}

static bool use_padding(EVP_PKEY_CTX *pctx, const struct alg *alg, int salt_length)
{
    return !alg->pss || (EVP_PKEY_CTX_set_rsa_padding(pctx, RSA_PKCS1_PSS_PADDING) == 1 &&
                         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, salt_length) == 1);
}

/* The bytes of a signature as OpenSSL makes it; NULL when it cannot. mem_free. */
static unsigned char *make_signature(const struct jwt_key *k, const struct alg *alg,
                                     struct str text, size_t *n)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    unsigned char *sig = NULL;
    bool ok = EVP_DigestSignInit_ex(ctx, &pctx, alg->digest, NULL, NULL, k->pkey, NULL) == 1 &&
              use_padding(pctx, alg, RSA_PSS_SALTLEN_DIGEST) &&
              EVP_DigestSign(ctx, NULL, n, (const unsigned char *)text.p, text.n) == 1 &&
              (sig = mem_alloc(*n)) &&
              EVP_DigestSign(ctx, sig, n, (const unsigned char *)text.p, text.n) == 1;
    EVP_MD_CTX_free(ctx);
    ERR_clear_error();
    if (ok)
        return sig;
    mem_free(sig);
    return NULL;
}

/* A secret's signature is checked by making it again. */
static bool secret_ok(const struct jwt_key *k, const struct alg *alg, struct str signed_part,
                      struct str sig)
{
    size_t n = 0;
    unsigned char *own = make_signature(k, alg, signed_part, &n);
    bool ok = own && str_eq_constant_time(sig, str_make(own, n));
    mem_free(own);
    return ok;
}

static bool signature_ok(const struct jwt_key *k, const struct alg *alg, struct str signed_part,
                         struct str sig)
{
    unsigned char *der = NULL;
    const unsigned char *p = (const unsigned char *)sig.p;
    size_t n = sig.n;
    if (alg->part) {
        if (sig.n != 2 * alg->part)
            return false;
        int der_n = raw_to_der(p, alg->part, &der);
        if (der_n <= 0)
            return false;
        p = der;
        n = (size_t)der_n;
    }
    if (alg->type == EVP_PKEY_HMAC)
        return secret_ok(k, alg, signed_part, sig);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *pctx = NULL;
    bool ok = EVP_DigestVerifyInit_ex(ctx, &pctx, alg->digest, NULL, NULL, k->pkey, NULL) == 1 &&
              use_padding(pctx, alg, RSA_PSS_SALTLEN_AUTO) &&
              EVP_DigestVerify(ctx, p, n, (const unsigned char *)signed_part.p, signed_part.n) == 1;
    EVP_MD_CTX_free(ctx);
    OPENSSL_free(der);
    ERR_clear_error();
    return ok;
}

static bool any_key_verifies(const struct jwt_keys *k, const char *kid, const struct alg *alg,
                             struct str signed_part, struct str sig)
{
    for (size_t i = 0; i < k->list.len; i++) {
        const struct jwt_key *key = &k->list.items[i];
        if (!key_fits(key->pkey, alg))
            continue;
        if (kid && *kid && key->kid && strcmp(kid, key->kid) != 0)
            continue;
        if (signature_ok(key, alg, signed_part, sig))
            return true;
    }
    return false;
}

/* Algorithm and key id from the header; NULL algorithm: refuse. */
static const struct alg *read_header(struct str header_b64, struct arena *a, const char **kid)
{
    struct buf b;
    buf_init(&b);
    const struct alg *alg = NULL;
    yyjson_doc *doc = base64_decode(&b, header_b64) ? yyjson_read(b.data, b.len, 0) : NULL;
    if (doc) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        const char *name = yyjson_get_str(yyjson_obj_get(root, "alg"));
        const char *id = yyjson_get_str(yyjson_obj_get(root, "kid"));
        alg = name ? alg_find(name) : NULL;
        *kid = id ? arena_strdup(a, id) : NULL;
    }
    yyjson_doc_free(doc);
    buf_free(&b);
    return alg;
}

static bool is_account_alg(const struct alg *alg)
{
    return alg - algs < ACCOUNT_ALGS;
}

/* `only` NULL: any of service accounts' algorithms. */
static int verify(const struct jwt_keys *k, const struct alg *only, struct str token,
                  struct arena *a, struct str *payload, struct error *err)
{
    if (token.n > JWT_MAX)
        return error_set(err, ERR_DENIED, "token longer than %d bytes", JWT_MAX);
    struct str rest = token, part[3] = {STR_NONE, STR_NONE, STR_NONE};
    size_t n = 0;
    for (struct str p; n < 3 && str_split(&rest, '.', &p); n++)
        part[n] = p;
    if (n != 3 || rest.p || !part[0].n || !part[1].n || !part[2].n)
        return error_set(err, ERR_DENIED, "invalid bearer token"); /* of no kind that is known */
    const char *kid = NULL;
    const struct alg *alg = read_header(part[0], a, &kid);
    if (!alg || (only ? alg != only : !is_account_alg(alg)))
        return error_set(err, ERR_DENIED, "token header malformed or algorithm not allowed");
    struct buf sig, body;
    buf_init(&sig);
    buf_init(&body);
    int rc = 0;
    struct str signed_part = str_make(token.p, part[0].n + 1 + part[1].n);
    if (!base64_decode(&sig, part[2]) || !base64_decode(&body, part[1]))
        rc = error_set(err, ERR_DENIED, "token is not base64url");
    else if (!any_key_verifies(k, kid, alg, signed_part, buf_str(&sig)))
        rc = error_set(err, ERR_DENIED, "token signed by no known key");
    else
        *payload = arena_copy(a, buf_str(&body));
    buf_free(&sig);
    buf_free(&body);
    return rc;
}

int jwt_verify(const struct jwt_keys *k, struct str token, struct arena *a, struct str *payload,
               struct error *err)
{
    return verify(k, NULL, token, a, payload, err);
}

int jwt_verify_alg(const struct jwt_keys *k, const char *alg, struct str token, struct arena *a,
                   struct str *payload, struct error *err)
{
    const struct alg *only = alg_find(alg);
    if (!only)
        return error_set(err, ERR_INVALID, "algorithm %s is not known", alg);
    return verify(k, only, token, a, payload, err);
}

static bool sign(const struct jwt_key *k, struct str text, struct buf *raw)
{
    const struct alg *alg = alg_find(k->alg);
    size_t n = 0;
    unsigned char *sig = make_signature(k, alg, text, &n);
    bool ok = sig != NULL;
    if (ok && alg->part) {
        const unsigned char *p = sig;
        ECDSA_SIG *e = d2i_ECDSA_SIG(NULL, &p, (long)n);
        unsigned char out[2 * 66];
        ok = e && BN_bn2binpad(ECDSA_SIG_get0_r(e), out, (int)alg->part) > 0 &&
             BN_bn2binpad(ECDSA_SIG_get0_s(e), out + alg->part, (int)alg->part) > 0;
        ECDSA_SIG_free(e);
        if (ok)
            buf_append(raw, out, 2 * alg->part);
    } else if (ok) {
        buf_append(raw, sig, n);
    }
    mem_free(sig);
    return ok;
}

char *jwt_sign(const struct jwt_signer *s, struct str payload, struct arena *a, struct error *err)
{
    char header[256];
    int n = s->key.kid
                ? snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":\"%s\"}", s->key.alg,
                           s->key.kid)
                : snprintf(header, sizeof header, "{\"alg\":\"%s\",\"typ\":\"JWT\"}", s->key.alg);
    struct buf b, raw;
    buf_init(&b);
    buf_init(&raw);
    base64url_encode(&b, str_make(header, (size_t)n));
    buf_append_char(&b, '.');
    base64url_encode(&b, payload);
    char *token = NULL;
    if (sign(&s->key, buf_str(&b), &raw)) {
        buf_append_char(&b, '.');
        base64url_encode(&b, buf_str(&raw));
        token = arena_strndup(a, b.data, b.len);
    } else {
        error_set(err, ERR_INTERNAL, "cannot sign the token");
    }
    buf_free(&b);
    buf_free(&raw);
    return token;
}

static void jwks_number(EVP_PKEY *pkey, const char *param, const char *member, size_t pad,
                        struct buf *out)
{
    BIGNUM *bn = NULL;
    if (EVP_PKEY_get_bn_param(pkey, param, &bn) != 1)
        return;
    size_t n = pad ? pad : (size_t)BN_num_bytes(bn);
    unsigned char *bytes = mem_zalloc(n);
    BN_bn2binpad(bn, bytes, (int)n);
    buf_printf(out, ",\"%s\":\"", member);
    base64url_encode(out, str_make(bytes, n));
    buf_append_char(out, '"');
    mem_free(bytes);
    BN_free(bn);
}

void jwt_keys_jwks(const struct jwt_keys *k, struct buf *out)
{
    buf_append_cstr(out, "{\"keys\":[");
    for (size_t i = 0; i < k->list.len; i++) {
        const struct jwt_key *key = &k->list.items[i];
        buf_printf(out, "%s{\"use\":\"sig\",\"kty\":\"%s\",\"kid\":\"%s\",\"alg\":\"%s\"",
                   i ? "," : "", key->ec_part ? "EC" : "RSA", key->kid, key->alg);
        if (key->ec_part) {
            buf_printf(out, ",\"crv\":\"P-%d\"", EVP_PKEY_get_bits(key->pkey));
            jwks_number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_X, "x", key->ec_part, out);
            jwks_number(key->pkey, OSSL_PKEY_PARAM_EC_PUB_Y, "y", key->ec_part, out);
        } else {
            jwks_number(key->pkey, OSSL_PKEY_PARAM_RSA_N, "n", 0, out);
            jwks_number(key->pkey, OSSL_PKEY_PARAM_RSA_E, "e", 0, out);
        }
        buf_append_char(out, '}');
    }
    buf_append_cstr(out, "]}");
}

void jwt_keys_algorithms(const struct jwt_keys *k, struct buf *out)
{
    buf_append_char(out, '[');
    for (size_t i = 0, written = 0; i < k->list.len; i++) {
        bool before = false;
        for (size_t j = 0; j < i; j++)
            before |= strcmp(k->list.items[j].alg, k->list.items[i].alg) == 0;
        if (!before)
            buf_printf(out, "%s\"%s\"", written++ ? "," : "", k->list.items[i].alg);
    }
    buf_append_char(out, ']');
}
