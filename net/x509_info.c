/*
 * Reading certificates: what a certificate or signing request says, chain verification, PEM files.
 */
#include "net/x509_internal.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/mem.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PEM_FILE_MAX (1u << 20)
#define NAMES_MAX 256 /* names of one kind in one certificate; one that has more is refused */

int openssl_error(struct error *err, int code, const char *format, ...)
{
    unsigned long e = ERR_peek_last_error();
    char reason[160] = "unknown error";
    const char *text = e ? ERR_reason_error_string(e) : NULL;
    if (text)
        snprintf(reason, sizeof reason, "%s", text);
    ERR_clear_error();
    error_set(err, code, "%s", reason);
    char what[512];
    va_list args;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    error_wrap(err, "%s", what);
    return code;
}

int x509_no_password(char *buf, int size, int writing, void *ctx)
{
    (void)buf, (void)size, (void)writing, (void)ctx;
    return -1;
}

bool x509_pem_ended(void)
{
    unsigned long e = ERR_peek_last_error();
    return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

/* A copy as UTF-8, or NULL if it holds a NUL or cannot be converted. */
static char *asn1_text(const ASN1_STRING *s)
{
    unsigned char *utf8 = NULL;
    int n = ASN1_STRING_to_UTF8(&utf8, s);
    if (n < 0) {
        ERR_clear_error();
        return NULL;
    }
    struct str text = str_make(utf8, (size_t)n);
    char *copy = NULL;
    if (memchr(utf8, 0, (size_t)n) == NULL && utf8_valid(text))
        copy = mem_strndup(text.p ? text.p : "", text.n);
    OPENSSL_free(utf8);
    return copy;
}

static bool add_name(char ***list, size_t *len, char *name)
{
    if (!name || *len == NAMES_MAX) {
        mem_free(name);
        return false;
    }
    *list = mem_realloc_array(*list, *len + 1, sizeof **list);
    (*list)[(*len)++] = name;
    return true;
}

static bool is_user_id(const ASN1_OBJECT *attribute)
{
    char text[32];
    return OBJ_obj2txt(text, sizeof text, attribute, 1) > 0 && cstr_eq(text, "1.3.6.1.4.1.57683.2");
}

static bool read_subject(const X509_NAME *subject, struct x509_info *out)
{
    bool ok = true;
    for (int i = 0; i < X509_NAME_entry_count(subject); i++) {
        X509_NAME_ENTRY *entry = X509_NAME_get_entry(subject, i);
        const ASN1_OBJECT *attribute = X509_NAME_ENTRY_get_object(entry);
        int nid = OBJ_obj2nid(attribute);
        if (nid == NID_organizationName) {
            ok &= add_name(&out->organizations, &out->organizations_len,
                           asn1_text(X509_NAME_ENTRY_get_data(entry)));
        } else if (nid == NID_commonName) {
            char *cn = asn1_text(X509_NAME_ENTRY_get_data(entry));
            if (!cn) {
                ok = false;
                continue;
            }
            mem_free(out->common_name);
            out->common_name = cn;
        } else if (nid == NID_undef && is_user_id(attribute)) {
            ok &= add_name(&out->user_ids, &out->user_ids_len,
                           asn1_text(X509_NAME_ENTRY_get_data(entry)));
        }
    }
    return ok;
}

static char *ip_text(const ASN1_OCTET_STRING *ip)
{
    char text[INET6_ADDRSTRLEN];
    int n = ASN1_STRING_length(ip);
    const void *bytes = ASN1_STRING_get0_data(ip);
    if (n != 4 && n != 16)
        return NULL;
    if (!inet_ntop(n == 4 ? AF_INET : AF_INET6, bytes, text, sizeof text))
        return NULL;
    return mem_strdup(text);
}

static bool read_alt_names(const GENERAL_NAMES *names, struct x509_info *out)
{
    bool ok = true;
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type == GEN_DNS)
            ok &= add_name(&out->dns_names, &out->dns_names_len, asn1_text(name->d.dNSName));
        else if (name->type == GEN_URI)
            ok &=
                add_name(&out->uris, &out->uris_len, asn1_text(name->d.uniformResourceIdentifier));
        else if (name->type == GEN_IPADD)
            ok &= add_name(&out->ip_addresses, &out->ip_addresses_len, ip_text(name->d.iPAddress));
    }
    return ok;
}

static int64_t asn1_time_s(const ASN1_TIME *t)
{
    struct tm tm;
    if (!t || ASN1_TIME_to_tm(t, &tm) != 1)
        return 0;
    return (int64_t)timegm(&tm);
}

static void read_issuer(const X509_NAME *issuer, struct x509_info *out)
{
    int i = X509_NAME_get_index_by_NID(issuer, NID_commonName, -1);
    if (i >= 0)
        out->issuer = asn1_text(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(issuer, i)));
    if (!out->issuer)
        out->issuer = mem_strdup("");
}

bool x509_info_from_cert(X509 *cert, struct x509_info *out)
{
    *out = (struct x509_info){0};
    bool ok = read_subject(X509_get_subject_name(cert), out);
    if (!out->common_name)
        out->common_name = mem_strdup("");
    read_issuer(X509_get_issuer_name(cert), out);
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    if (names) {
        ok &= read_alt_names(names, out);
        GENERAL_NAMES_free(names);
    }
    out->not_before_s = asn1_time_s(X509_get0_notBefore(cert));
    out->not_after_s = asn1_time_s(X509_get0_notAfter(cert));
    out->is_ca = X509_check_ca(cert) > 0;
    uint32_t usage = X509_get_extended_key_usage(cert);
    if (usage != UINT32_MAX) {
        out->usage |= usage & XKU_SSL_SERVER ? X509_USAGE_SERVER : 0;
        out->usage |= usage & XKU_SSL_CLIENT ? X509_USAGE_CLIENT : 0;
    }
    unsigned char digest[32];
    unsigned n = 0;
    if (X509_digest(cert, EVP_sha256(), digest, &n) == 1 && n == sizeof digest)
        for (unsigned i = 0; i < n; i++)
            snprintf(out->fingerprint_sha256 + 2 * i, 3, "%02x", digest[i]);
    ERR_clear_error();
    return ok;
}

static X509 *read_cert(struct str pem, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, PEM_FILE_MAX));
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, x509_no_password, NULL) : NULL;
    BIO_free(bio);
    if (!cert)
        openssl_error(err, ERR_INVALID, "not a PEM certificate");
    return cert;
}

int x509_parse(struct str cert_pem, struct x509_info *out, struct error *err)
{
    *out = (struct x509_info){0};
    X509 *cert = read_cert(cert_pem, err);
    if (!cert)
        return ERR_INVALID;
    bool ok = x509_info_from_cert(cert, out);
    X509_free(cert);
    if (ok)
        return 0;
    x509_info_free(out);
    return error_set(err, ERR_INVALID,
                     "certificate: a name holds a NUL, is not text or there are too many");
}

/* Frees the request. */
static int read_request(X509_REQ *req, struct x509_info *out, struct error *err)
{
    bool ok = read_subject(X509_REQ_get_subject_name(req), out);
    if (!out->common_name)
        out->common_name = mem_strdup("");
    out->issuer = mem_strdup("");
    STACK_OF(X509_EXTENSION) *extensions = X509_REQ_get_extensions(req);
    GENERAL_NAMES *names = X509V3_get_d2i(extensions, NID_subject_alt_name, NULL, NULL);
    if (names) {
        ok &= read_alt_names(names, out);
        GENERAL_NAMES_free(names);
    }
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    X509_REQ_free(req);
    ERR_clear_error();
    if (ok)
        return 0;
    x509_info_free(out);
    return error_set(err, ERR_INVALID,
                     "request: a name holds a NUL, is not text or there are too many");
}

int x509_parse_request(struct str csr_pem, struct x509_info *out, struct error *err)
{
    *out = (struct x509_info){0};
    BIO *bio = BIO_new_mem_buf(csr_pem.p, (int)MIN(csr_pem.n, PEM_FILE_MAX));
    X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, x509_no_password, NULL) : NULL;
    BIO_free(bio);
    return req ? read_request(req, out, err)
               : openssl_error(err, ERR_INVALID, "not a PEM certificate request");
}

int x509_parse_request_der(struct str der, struct x509_info *out, struct error *err)
{
    *out = (struct x509_info){0};
    const unsigned char *p = (const unsigned char *)der.p;
    X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.n);
    return req ? read_request(req, out, err)
               : openssl_error(err, ERR_INVALID, "not a certificate request");
}

static void free_names(char **names, size_t len)
{
    for (size_t i = 0; i < len; i++)
        mem_free(names[i]);
    mem_free(names);
}

void x509_info_free(struct x509_info *info)
{
    mem_free(info->common_name);
    mem_free(info->issuer);
    free_names(info->organizations, info->organizations_len);
    free_names(info->user_ids, info->user_ids_len);
    free_names(info->dns_names, info->dns_names_len);
    free_names(info->ip_addresses, info->ip_addresses_len);
    free_names(info->uris, info->uris_len);
    *info = (struct x509_info){0};
}

/* All certificates of `pem` into the store. */
static int add_cas(X509_STORE *store, struct str pem, struct error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)MIN(pem.n, PEM_FILE_MAX));
    int count = 0;
    X509 *ca;
    ERR_clear_error();
    while (bio && (ca = PEM_read_bio_X509(bio, NULL, x509_no_password, NULL))) {
        X509_STORE_add_cert(store, ca);
        X509_free(ca);
        count++;
    }
    BIO_free(bio);
    if (count == 0 || !x509_pem_ended())
        return openssl_error(err, ERR_INVALID, "CA certificate %d in PEM", count + 1);
    ERR_clear_error();
    return 0;
}

/* For one purpose (0: any): a context keeps the first that it is given. */
static int verify_for(X509_STORE *store, X509 *cert, int purpose, struct error *err)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    int rc = 0;
    if (!ctx || X509_STORE_CTX_init(ctx, store, cert, NULL) != 1 ||
        (purpose && X509_STORE_CTX_set_purpose(ctx, purpose) != 1))
        rc = openssl_error(err, ERR_INTERNAL, "verify certificate");
    else if (X509_verify_cert(ctx) != 1)
        rc = error_set(err, ERR_DENIED, "certificate: %s",
                       X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
    X509_STORE_CTX_free(ctx);
    return rc;
}

int x509_verify(struct str cert_pem, struct str ca_pem, unsigned usage, struct error *err)
{
    X509 *cert = read_cert(cert_pem, err);
    if (!cert)
        return ERR_INVALID;
    X509_STORE *store = X509_STORE_new();
    int rc = store ? add_cas(store, ca_pem, err)
                   : openssl_error(err, ERR_INTERNAL, "verify certificate");
    if (rc == 0 && !usage)
        rc = verify_for(store, cert, 0, err);
    if (rc == 0 && (usage & X509_USAGE_SERVER))
        rc = verify_for(store, cert, X509_PURPOSE_SSL_SERVER, err);
    if (rc == 0 && (usage & X509_USAGE_CLIENT))
        rc = verify_for(store, cert, X509_PURPOSE_SSL_CLIENT, err);
    X509_STORE_free(store);
    X509_free(cert);
    ERR_clear_error();
    return rc;
}

bool x509_key_matches(struct str cert_pem, struct str key_pem)
{
    X509 *cert = read_cert(cert_pem, NULL);
    BIO *bio = BIO_new_mem_buf(key_pem.p, (int)MIN(key_pem.n, PEM_FILE_MAX));
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, x509_no_password, NULL) : NULL;
    bool ok = cert && key && X509_check_private_key(cert, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    X509_free(cert);
    ERR_clear_error();
    return ok;
}

/* Under a name of its own first: threads may write the same file, and one that was left over by a process that died is
 * in nobody's way. */
static int write_file(const char *path, const char *text, mode_t mode, struct error *err)
{
    char *tmp = mem_printf("%s.tmp.XXXXXX", path);
    int rc = 0;
    size_t n = strlen(text), done = 0;
    int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0) {
        rc = error_errno(err, ERR_IO, errno, "create %s", tmp);
        mem_free(tmp);
        return rc;
    }
    while (done < n) {
        ssize_t w = write(fd, text + done, n - done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            rc = error_errno(err, ERR_IO, errno, "write %s", tmp);
            break;
        }
        done += (size_t)w;
    }
    if (rc == 0 && (fchmod(fd, mode) < 0 || fsync(fd) < 0))
        rc = error_errno(err, ERR_IO, errno, "write %s", tmp);
    close(fd);
    if (rc == 0 && rename(tmp, path) < 0)
        rc = error_errno(err, ERR_IO, errno, "rename %s to %s", tmp, path);
    if (rc < 0)
        unlink(tmp);
    mem_free(tmp);
    return rc;
}

int x509_write_key(const char *path, const char *key_pem, struct error *err)
{
    return write_file(path, key_pem, 0600, err);
}

int x509_write_cert(const char *path, const char *cert_pem, struct error *err)
{
    return write_file(path, cert_pem, 0644, err);
}

int x509_read_pem(const char *path, char **pem, struct error *err)
{
    *pem = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "open %s", path);
    struct buf b;
    buf_init_limited(&b, PEM_FILE_MAX);
    int rc = 0;
    for (;;) {
        char *to = buf_reserve(&b, 4096);
        ssize_t n = to ? read(fd, to, 4096) : -1;
        if (!to)
            rc = error_set(err, ERR_LIMIT, "%s: larger than 1 MiB", path);
        else if (n < 0 && errno == EINTR)
            continue;
        else if (n < 0)
            rc = error_errno(err, ERR_IO, errno, "read %s", path);
        if (n <= 0)
            break;
        b.len += (size_t)n;
    }
    close(fd);
    if (rc == 0)
        *pem = mem_strndup(b.data ? b.data : "", b.len);
    buf_free(&b);
    return rc;
}

int x509_pair_read(const char *cert_path, const char *key_path, struct x509_pair *out,
                   struct error *err)
{
    *out = (struct x509_pair){0};
    int rc = x509_read_pem(cert_path, &out->cert_pem, err);
    if (rc == 0)
        rc = x509_read_pem(key_path, &out->key_pem, err);
    if (rc == 0 && !x509_key_matches(str_from(out->cert_pem), str_from(out->key_pem)))
        rc = error_set(err, ERR_INVALID, "%s is not the key of %s", key_path, cert_path);
    if (rc < 0)
        x509_pair_free(out);
    return rc;
}

int x509_pair_write(const char *cert_path, const char *key_path, const struct x509_pair *pair,
                    struct error *err)
{
    int rc = x509_write_key(key_path, pair->key_pem, err);
    return rc < 0 ? rc : x509_write_cert(cert_path, pair->cert_pem, err);
}
