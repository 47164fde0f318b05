/*
 * Requests for certificates and certificates in PEM: what is one, what is wrong with others. Requests are made
 * here, with keys and digests of every kind.
 */
#include "api/validation/pem.h"
#include "base/arena_str.h"
#include "base/mem.h"
#include "tests/unit/api_test.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <time.h>

static struct arena arena;

/* ---- blocks ---- */

#define A_BLOCK "-----BEGIN A-----\nAAEC\n-----END A-----\n"

/* The blocks of a text, as "TYPE:bytes in hex" with "!" after those with headers. */
static const char *blocks_of(const char *text)
{
    struct str rest = str_from(text);
    struct pem_block block;
    const char *all = "";
    while (pem_next(&arena, &rest, &block)) {
        all = arena_printf(&arena, "%s%.*s%s:", all, STR_ARG(block.type),
                           block.has_headers ? "!" : "");
        for (size_t i = 0; i < block.der.n; i++)
            all = arena_printf(&arena, "%s%02x", all, (unsigned char)block.der.p[i]);
        all = arena_printf(&arena, "%s ", all);
    }
    return all;
}

static void test_blocks(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"", ""},
        {A_BLOCK, "A:000102 "},
        {"some words\n" A_BLOCK "and more" A_BLOCK "\n" A_BLOCK, "A:000102 A:000102 "},
        {"-----BEGIN A-----  \r\nAA\n E C \r\n-----END A----- \t\r\n", "A:000102 "},
        {"-----BEGIN A-----\nAAEC\n-----END A-----", "A:000102 "},
        {"-----BEGIN A-----\n-----END A-----\n", "A: "},
        {"-----BEGIN A-----\nk: v\n l: w\n\nAAEC\n-----END A-----\n", "A!:000102 "},
        {"-----BEGIN A-----\nk: v\n-----END A-----\n", ""},
        {"-----BEGIN A-----\nAAEC\n-----END B-----\n" A_BLOCK, "A:000102 "},
        {"-----BEGIN A-----\nAAEC\n-----END A----- x\n" A_BLOCK, "A:000102 "},
        {"-----BEGIN A-----\nAAE\n-----END A-----\n" A_BLOCK, "A:000102 "},
        {"-----BEGIN A----\nAAEC\n-----END A-----\n", ""},
        {" -----BEGIN A-----\nAAEC\n-----END A-----\n", ""},
        {"-----BEGIN A-----\n-----BEGIN B-----\nAAEC\n-----END B-----\n", "B:000102 "},
        {"-----BEGIN A-----\nAAEC\n", ""},
        {"-----BEGIN A-----\nAAEC\n-----END A", ""},
        {"-----BEGIN -----\nAAEC\n-----END -----\n", ":000102 "},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *got = blocks_of(cases[i].text);
        if (strcmp(got, cases[i].want) != 0)
            fail_msg("%s: \"%s\", not \"%s\"", cases[i].text, got, cases[i].want);
    }
}

static void test_nul(void **state)
{
    static const char line[] = "-----BEGIN A-----\0\nAAEC\n-----END A-----\n";
    static const char data[] = "-----BEGIN A-----\nAAEC\0\n-----END A-----\n";
    struct pem_block block;
    struct str rest = str_make(line, sizeof line - 1);
    (void)state;
    assert_false(pem_next(&arena, &rest, &block)); /* no blank: Go's either */
    rest = str_make(data, sizeof data - 1);
    assert_false(pem_next(&arena, &rest, &block));
}

/* Lines that look like headers up to the end, and an END in every second one: each line is looked at once or twice, not
 * once for every END before it. */
static void test_headers_without_end(void **state)
{
    struct buf b;
    struct pem_block block;
    (void)state;
    buf_init(&b);
    for (int i = 0; i < 20000; i++)
        buf_append_cstr(&b, "-----BEGIN A:-----\n-----END :\n");
    struct str rest = buf_str(&b);
    clock_t start = clock();
    assert_false(pem_next(&arena, &rest, &block));
    assert_true(clock() - start < 2 * CLOCKS_PER_SEC);
    buf_free(&b);
}

/* ---- requests ---- */

static EVP_PKEY *rsa_key(size_t bits)
{
    return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
}

static X509_REQ *request_for(EVP_PKEY *key)
{
    X509_REQ *request = X509_REQ_new();
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request), "CN", MBSTRING_ASC,
                               (const unsigned char *)"a", -1, -1, 0);
    X509_REQ_set_pubkey(request, key);
    return request;
}

static struct str pem_of(const char *type, const unsigned char *der, size_t n)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text;
    PEM_write_bio(bio, type, "", der, (long)n);
    long length = BIO_get_mem_data(bio, &text);
    struct str copy = arena_copy(&arena, str_make(text, (size_t)length));
    BIO_free(bio);
    return copy;
}

/* The request in PEM, with `more` zero bytes after it. */
static struct str request_pem(X509_REQ *request, size_t more)
{
    unsigned char *der = NULL;
    int n = i2d_X509_REQ(request, &der);
    assert_true(n > 0);
    unsigned char *all = arena_zalloc(&arena, (size_t)n + more);
    memcpy(all, der, (size_t)n);
    OPENSSL_free(der);
    return pem_of("CERTIFICATE REQUEST", all, (size_t)n + more);
}

static void expect(struct str pem, const char *want)
{
    const char *got = pem_request_problem(&arena, pem);
    if (!got || !want ? got != want : strcmp(got, want) != 0)
        fail_msg("%s, not %s", got ? got : "fine", want ? want : "fine");
}

/* Signs with `digest`, and expects; then with one bit of the signature turned. */
static void check_signed(EVP_PKEY *key, const EVP_MD *digest, const char *want, const char *damaged)
{
    X509_REQ *request = request_for(key);
    const ASN1_BIT_STRING *signature;
    assert_true(X509_REQ_sign(request, key, digest) > 0);
    expect(request_pem(request, 0), want);
    X509_REQ_get0_signature(request, &signature, NULL);
    signature->data[signature->length - 1] ^= 1;
    expect(request_pem(request, 0), damaged);
    X509_REQ_free(request);
}

static void test_signatures(void **state)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), *rsa = rsa_key(1024);
    EVP_PKEY *edwards = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), *small = rsa_key(512);
    static const char insecure[] = "x509: cannot verify signature: insecure algorithm MD5-RSA";
    static const char too_small[] = "crypto/rsa: 512-bit keys are insecure (see "
                                    "https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)";
    (void)state;
    check_signed(ec, EVP_sha256(), NULL, "x509: ECDSA verification failure");
    check_signed(rsa, EVP_sha256(), NULL, "crypto/rsa: verification error");
    check_signed(rsa, EVP_sha1(), NULL, "crypto/rsa: verification error");
    check_signed(rsa, EVP_md5(), insecure, insecure);
    check_signed(small, EVP_sha256(), too_small, too_small);
    check_signed(edwards, NULL, NULL, "x509: Ed25519 verification failure");
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
    EVP_PKEY_free(small);
    EVP_PKEY_free(edwards);
}

static void test_rsa_pss(void **state)
{
    EVP_PKEY *key = rsa_key(1024);
    X509_REQ *request = request_for(key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    EVP_PKEY_CTX *how;
    (void)state;
    assert_int_equal(EVP_DigestSignInit(ctx, &how, EVP_sha256(), NULL, key), 1);
    assert_true(EVP_PKEY_CTX_set_rsa_padding(how, RSA_PKCS1_PSS_PADDING) > 0);
    assert_true(X509_REQ_sign_ctx(request, ctx) > 0);
    expect(request_pem(request, 0), NULL);
    EVP_MD_CTX_free(ctx);
    X509_REQ_free(request);
    EVP_PKEY_free(key);
}

/* Signed with one kind of key, for another. */
static void test_key_of_another_kind(void **state)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), *rsa = rsa_key(1024);
    X509_REQ *request = request_for(ec);
    (void)state;
    assert_true(X509_REQ_sign(request, rsa, EVP_sha256()) > 0);
    expect(request_pem(request, 0), "x509: signature algorithm specifies an RSA public key, but "
                                    "have public key of type *ecdsa.PublicKey");
    X509_REQ_free(request);
    EVP_PKEY_free(ec);
    EVP_PKEY_free(rsa);
}

static void test_damaged_requests(void **state)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509_REQ *request = request_for(ec);
    unsigned char *der = NULL;
    (void)state;
    assert_true(X509_REQ_sign(request, ec, EVP_sha256()) > 0);
    size_t n = (size_t)i2d_X509_REQ(request, &der);
    expect(request_pem(request, 1), "asn1: syntax error: trailing data");
    expect(pem_of("CERTIFICATE REQUEST", der, n - 1), "asn1: syntax error: data truncated");
    expect(STR("-----BEGIN CERTIFICATE REQUEST-----\n-----END CERTIFICATE REQUEST-----\n"),
           "asn1: syntax error: sequence truncated");
    expect(pem_of("NEW CERTIFICATE REQUEST", der, n), "PEM block type must be CERTIFICATE REQUEST");
    der[0] = 0x31; /* a set */
    const char *got = pem_request_problem(&arena, pem_of("CERTIFICATE REQUEST", der, n));
    assert_non_null(got);
    assert_int_equal(strncmp(got, "asn1: structure error: ", 23), 0);
    struct str fine = request_pem(request, 0);
    expect(arena_copy(&arena,
                      str_from(arena_printf(&arena, "Subject: a\n%.*sand so on", STR_ARG(fine)))),
           NULL); /* what stands around the first block does not matter */
    OPENSSL_free(der);
    X509_REQ_free(request);
    EVP_PKEY_free(ec);
}

/* ---- certificates ---- */

static struct str certificate_pem(long serial)
{
    EVP_PKEY *ec = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
    X509 *cert = X509_new();
    unsigned char *der = NULL;
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), 60);
    X509_set_pubkey(cert, ec);
    assert_true(X509_sign(cert, ec, EVP_sha256()) > 0);
    int n = i2d_X509(cert, &der);
    struct str pem = pem_of("CERTIFICATE", der, (size_t)n);
    OPENSSL_free(der);
    X509_free(cert);
    EVP_PKEY_free(ec);
    return pem;
}

static void test_certificates(void **state)
{
    struct str one = certificate_pem(1), negative = certificate_pem(-1);
    (void)state;
    assert_null(pem_certificates_problem(&arena, one));
    const char *two = arena_printf(&arena, "%.*s\n%.*s", STR_ARG(one), STR_ARG(one));
    assert_null(pem_certificates_problem(&arena, str_from(two)));
    assert_string_equal(pem_certificates_problem(&arena, negative), "x509: negative serial number");
    const char *bad = arena_printf(&arena, "%.*s" A_BLOCK, STR_ARG(one));
    assert_string_equal(pem_certificates_problem(&arena, str_from(bad)),
                        "only CERTIFICATE PEM blocks are allowed, found \"A\"");
    assert_string_equal(
        pem_certificates_problem(&arena,
                                 STR("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n")),
        "found CERTIFICATE PEM block containing 0 certificates");
    assert_string_equal(
        pem_certificates_problem(
            &arena, STR("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")),
        "x509: malformed certificate");
    assert_string_equal(pem_certificates_problem(&arena, STR("x")),
                        "must contain at least one CERTIFICATE PEM block");
}

static int setup(void **state)
{
    (void)state;
    arena_init(&arena);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_free(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_headers_without_end),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_signatures),
        cmocka_unit_test(test_rsa_pss),
        cmocka_unit_test(test_key_of_another_kind),
        cmocka_unit_test(test_damaged_requests),
        cmocka_unit_test(test_certificates),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
