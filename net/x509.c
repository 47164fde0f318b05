/*
 * Making certificates and keys. See x509.h; reading them is x509_info.c.
 */
#include "net/x509_internal.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"
#include "base/random.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <time.h>

#define CLOCK_SKEW_S 300
#define YEAR_S (365ll * 24 * 3600)

void x509_pair_free(struct x509_pair *pair)
{
    if (pair->key_pem)
        OPENSSL_cleanse(pair->key_pem, strlen(pair->key_pem));
    mem_free(pair->key_pem);
    mem_free(pair->cert_pem);
    *pair = (struct x509_pair){0};
}

/* The text collected in a memory BIO, which is freed. */
static char *take_bio(BIO *bio)
{
    char *data = NULL;
    long n = BIO_get_mem_data(bio, &data);
    char *text = mem_strndup(data, (size_t)n);
    BIO_free(bio);
    return text;
}

static char *key_to_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    return take_bio(bio);
}

static char *public_to_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_PUBKEY(bio, key);
    return take_bio(bio);
}

static char *cert_to_pem(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509(bio, cert);
    return take_bio(bio);
}

static EVP_PKEY *key_from_pem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, x509_no_password, NULL) : NULL;
    BIO_free(bio);
    return key;
}

static X509 *cert_from_pem(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, x509_no_password, NULL) : NULL;
    BIO_free(bio);
    return cert;
}

/* Not by MBSTRING_UTF8, with which OpenSSL keeps to X.520's 64 characters: nodes have names of up to 253, and all
 * other components of Kubernetes read and write them. */
static bool add_entry(X509_NAME *name, const char *field, const char *value)
{
    return *value && utf8_valid(str_from(value)) &&
           X509_NAME_add_entry_by_txt(name, field, V_ASN1_UTF8STRING, (const unsigned char *)value,
                                      -1, -1, 0) == 1;
}

/* Organizations before the common name, the order kubeadm writes them in. */
static int fill_subject(X509_NAME *name, const struct x509_spec *spec, struct error *err)
{
    for (const char *const *o = spec->organizations; o && *o; o++)
        if (!add_entry(name, "O", *o))
            return openssl_error(err, ERR_INVALID, "organization `%s`", *o);
    if (spec->common_name && *spec->common_name && !add_entry(name, "CN", spec->common_name))
        return openssl_error(err, ERR_INVALID, "common name `%s`", spec->common_name);
    return 0;
}

static GENERAL_NAME *make_alt_name(const char *text)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    unsigned char ip[16];
    int n = inet_pton(AF_INET, text, ip) == 1 ? 4 : inet_pton(AF_INET6, text, ip) == 1 ? 16 : 0;
    if (n) {
        ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
        ASN1_OCTET_STRING_set(value, ip, n);
        GENERAL_NAME_set0_value(name, GEN_IPADD, value);
    } else {
        ASN1_IA5STRING *value = ASN1_IA5STRING_new();
        ASN1_STRING_set(value, text, -1);
        GENERAL_NAME_set0_value(name, GEN_DNS, value);
    }
    return name;
}

static GENERAL_NAMES *make_alt_names(const struct x509_spec *spec)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    for (const char *const *n = spec->alt_names; n && *n; n++)
        sk_GENERAL_NAME_push(names, make_alt_name(*n));
    return names;
}

static bool add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    bool ok = ext && X509_add_ext(cert, ext, -1) == 1;
    X509_EXTENSION_free(ext);
    return ok;
}

static bool add_extensions(X509 *cert, X509 *issuer, bool ca, unsigned usage)
{
    bool ok = add_extension(cert, issuer, NID_basic_constraints,
                            ca ? "critical,CA:TRUE" : "critical,CA:FALSE") &&
              add_extension(cert, issuer, NID_key_usage,
                            ca ? "critical,digitalSignature,keyEncipherment,keyCertSign,cRLSign"
                               : "critical,digitalSignature,keyEncipherment") &&
              add_extension(cert, issuer, NID_subject_key_identifier, "hash") &&
              add_extension(cert, issuer, NID_authority_key_identifier, "keyid");
    if (!ok || ca || !usage)
        return ok;
    const char *names = usage == (X509_USAGE_SERVER | X509_USAGE_CLIENT) ? "serverAuth,clientAuth"
                        : usage == X509_USAGE_SERVER                     ? "serverAuth"
                                                                         : "clientAuth";
    return add_extension(cert, issuer, NID_ext_key_usage, names);
}

/* Version, random serial, validity, key: everything but subject, names and extensions. */
static X509 *new_cert(EVP_PKEY *key, int64_t valid_s)
{
    X509 *cert = X509_new();
    unsigned char serial[16];
    random_bytes(serial, sizeof serial);
    serial[0] &= 0x7f; /* positive */
    BIGNUM *bn = BN_bin2bn(serial, sizeof serial, NULL);
    BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert));
    BN_free(bn);
    X509_set_version(cert, X509_VERSION_3);
    time_t now = time(NULL);
    ASN1_TIME_set(X509_getm_notBefore(cert), now - CLOCK_SKEW_S);
    ASN1_TIME_set(X509_getm_notAfter(cert), now + (time_t)valid_s);
    X509_set_pubkey(cert, key);
    return cert;
}

static int set_alt_names(X509 *cert, GENERAL_NAMES *names, struct error *err)
{
    int rc = 0;
    if (names && sk_GENERAL_NAME_num(names) > 0 &&
        X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) != 1)
        rc = openssl_error(err, ERR_INVALID, "alternative names");
    return rc;
}

int x509_ca_new(const struct x509_spec *spec, struct x509_pair *out, struct error *err)
{
    *out = (struct x509_pair){0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    if (!key)
        return openssl_error(err, ERR_INTERNAL, "make a key");
    X509 *cert = new_cert(key, spec->valid_s ? spec->valid_s : 10 * YEAR_S);
    int rc = fill_subject(X509_get_subject_name(cert), spec, err);
    if (rc == 0) {
        GENERAL_NAMES *names = make_alt_names(spec);
        rc = set_alt_names(cert, names, err);
        GENERAL_NAMES_free(names);
    }
    X509_set_issuer_name(cert, X509_get_subject_name(cert));
    if (rc == 0 &&
        (!add_extensions(cert, cert, true, 0) || X509_sign(cert, key, EVP_sha256()) == 0))
        rc = openssl_error(err, ERR_INTERNAL, "make CA certificate %s", spec->common_name);
    if (rc == 0) {
        out->cert_pem = cert_to_pem(cert);
        out->key_pem = key_to_pem(key);
    }
    X509_free(cert);
    EVP_PKEY_free(key);
    return rc;
}

/* Sign `key` for subject and names. The CA's own end bounds the validity. */
static int sign_cert(const struct x509_pair *ca, EVP_PKEY *key, const X509_NAME *subject,
                     GENERAL_NAMES *names, unsigned usage, int64_t valid_s, char **cert_pem,
                     struct error *err)
{
    X509 *issuer = cert_from_pem(ca->cert_pem);
    EVP_PKEY *issuer_key = key_from_pem(ca->key_pem);
    X509 *cert = NULL;
    int rc = 0;
    if (!issuer || !issuer_key) {
        rc = openssl_error(err, ERR_INVALID, "read the CA's certificate and key");
        goto out;
    }
    cert = new_cert(key, valid_s ? valid_s : YEAR_S);
    if (ASN1_TIME_compare(X509_get0_notAfter(cert), X509_get0_notAfter(issuer)) > 0)
        X509_set1_notAfter(cert, X509_get0_notAfter(issuer));
    X509_set_subject_name(cert, subject);
    X509_set_issuer_name(cert, X509_get_subject_name(issuer));
    if ((rc = set_alt_names(cert, names, err)) < 0)
        goto out;
    if (!add_extensions(cert, issuer, false, usage) ||
        X509_sign(cert, issuer_key, EVP_sha256()) == 0) {
        rc = openssl_error(err, ERR_INTERNAL, "sign certificate");
        goto out;
    }
    *cert_pem = cert_to_pem(cert);
out:
    X509_free(cert);
    EVP_PKEY_free(issuer_key);
    X509_free(issuer);
    return rc;
}

int x509_issue(const struct x509_pair *ca, const struct x509_spec *spec, struct x509_pair *out,
               struct error *err)
{
    *out = (struct x509_pair){0};
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_NAME *subject = X509_NAME_new();
    GENERAL_NAMES *names = make_alt_names(spec);
    int rc = key && subject ? fill_subject(subject, spec, err)
                            : openssl_error(err, ERR_INTERNAL, "make a key");
    if (rc == 0)
        rc = sign_cert(ca, key, subject, names, spec->usage, spec->valid_s, &out->cert_pem, err);
    if (rc == 0)
        out->key_pem = key_to_pem(key);
    GENERAL_NAMES_free(names);
    X509_NAME_free(subject);
    EVP_PKEY_free(key);
    return rc < 0
               ? error_wrap(err, "certificate for %s", spec->common_name ? spec->common_name : "")
               : 0;
}

int x509_request_new(const struct x509_spec *spec, char **csr_pem, char **key_pem,
                     struct error *err)
{
    *csr_pem = *key_pem = NULL;
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509_REQ *req = X509_REQ_new();
    GENERAL_NAMES *names = make_alt_names(spec);
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    int rc = key && req ? fill_subject(X509_REQ_get_subject_name(req), spec, err)
                        : openssl_error(err, ERR_INTERNAL, "make a key");
    if (rc < 0)
        goto out;
    X509_REQ_set_version(req, X509_REQ_VERSION_1);
    X509_REQ_set_pubkey(req, key);
    if (sk_GENERAL_NAME_num(names) > 0) {
        X509V3_add1_i2d(&extensions, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
        X509_REQ_add_extensions(req, extensions);
    }
    if (X509_REQ_sign(req, key, EVP_sha256()) == 0) {
        rc = openssl_error(err, ERR_INTERNAL, "sign request");
        goto out;
    }
    BIO *bio = BIO_new(BIO_s_mem());
    PEM_write_bio_X509_REQ(bio, req);
    *csr_pem = take_bio(bio);
    *key_pem = key_to_pem(key);
out:
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    GENERAL_NAMES_free(names);
    X509_REQ_free(req);
    EVP_PKEY_free(key);
    return rc;
}

int x509_request_sign(const struct x509_pair *ca, struct str csr_pem, unsigned usage,
                      int64_t valid_s, char **cert_pem, struct error *err)
{
    *cert_pem = NULL;
    BIO *bio = BIO_new_mem_buf(csr_pem.p, (int)MIN(csr_pem.n, 1u << 20));
    X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, x509_no_password, NULL) : NULL;
    BIO_free(bio);
    if (!req)
        return openssl_error(err, ERR_INVALID, "not a PEM certificate request");
    int rc;
    EVP_PKEY *key = X509_REQ_get0_pubkey(req);
    if (!key || X509_REQ_verify(req, key) != 1) {
        rc = openssl_error(err, ERR_INVALID, "request's signature does not fit its key");
    } else {
        STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(req);
        GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
        rc = sign_cert(ca, key, X509_REQ_get_subject_name(req), names, usage, valid_s, cert_pem,
                       err);
        GENERAL_NAMES_free(names);
        sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    }
    X509_REQ_free(req);
    ERR_clear_error();
    return rc;
}

static int split_key(EVP_PKEY *key, char **private_pem, char **public_pem, struct error *err)
{
    if (!key)
        return openssl_error(err, ERR_INTERNAL, "make a key");
    *private_pem = key_to_pem(key);
    *public_pem = public_to_pem(key);
    EVP_PKEY_free(key);
    return 0;
}

int x509_key_new_ec(char **private_pem, char **public_pem, struct error *err)
{
    return split_key(EVP_EC_gen("P-256"), private_pem, public_pem, err);
}

int x509_key_new_rsa(int bits, char **private_pem, char **public_pem, struct error *err)
{
    return split_key(EVP_RSA_gen((unsigned)bits), private_pem, public_pem, err);
}
