/*
 * Reading PEM, requests and certificates: see pem.h. Messages are Go's where its decoder's state does not matter;
 * of malformed DER they say what OpenSSL says.
 */
#include "api/validation/pem.h"
#include "api/validation/internal.h"
#include "base/arena_str.h"
#include "base/encode.h"
#include "base/mem.h"
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509.h>

#define BEGIN "-----BEGIN "
#define END "\n-----END "
#define DASHES "-----"
#define RSA_BITS_MIN 1024

/* ---- blocks ---- */

static ptrdiff_t find_last(struct str in, struct str what)
{
    for (size_t i = in.n < what.n ? 0 : in.n - what.n + 1; i-- > 0;)
        if (memcmp(in.p + i, what.p, what.n) == 0)
            return (ptrdiff_t)i;
    return -1;
}

/* The first line without its end and blanks there; *text goes on behind it. */
static struct str take_line(struct str *text)
{
    ptrdiff_t end = str_find_char(*text, '\n');
    struct str line = end < 0 ? *text : str_slice(*text, 0, (size_t)end);
    *text = end < 0 ? STR("") : str_slice(*text, (size_t)end + 1, text->n);
    while (line.n && memchr(" \t\r", line.p[line.n - 1], 3))
        line.n--;
    return line;
}

static bool decode_data(struct arena *a, struct str text, struct str *out)
{
    struct buf clean, der;
    buf_init(&clean);
    buf_init(&der);
    for (size_t i = 0; i < text.n; i++)
        if (!memchr(" \t\r\n", text.p[i], 4))
            buf_append_char(&clean, text.p[i]);
    bool fine = clean.len % 4 == 0 && base64_decode(&der, buf_str(&clean));
    if (fine)
        *out = arena_copy(a, buf_str(&der));
    buf_free(&clean);
    buf_free(&der);
    return fine;
}

/* The block that begins with the last BEGIN before the END at `end` of `text`; false: it is none. */
static bool block_at(struct arena *a, struct str text, size_t end, struct pem_block *out)
{
    ptrdiff_t begin = find_last(str_slice(text, 0, end), STR(BEGIN));
    if (begin < 0 || (begin > 0 && text.p[begin - 1] != '\n'))
        return false;
    struct str rest = str_slice(text, (size_t)begin + strlen(BEGIN), text.n);
    struct str line = take_line(&rest);
    if (!str_has_suffix(line, STR(DASHES)))
        return false;
    *out = (struct pem_block){.type = str_slice(line, 0, line.n - strlen(DASHES))};
    /* An empty block ends where its first line does. Behind its END nothing is looked at: what comes there may be long,
     * and is looked at again for every END in it. */
    const char *data_end = text.p + end, *trailer = data_end + strlen(END);
    struct str next = rest;
    while (rest.n && rest.p <= data_end + 1 && str_find_char(take_line(&next), ':') >= 0) {
        out->has_headers = true;
        rest = next;
    }
    if (!rest.n || rest.p > data_end + 1 || (out->has_headers && rest.p > data_end))
        return false;
    struct str after = str_make(trailer, (size_t)(text.p + text.n - trailer));
    line = take_line(&after);
    if (line.n != out->type.n + strlen(DASHES) || !str_has_prefix(line, out->type) ||
        !str_has_suffix(line, STR(DASHES)))
        return false;
    out->der = STR("");
    return rest.p >= data_end ||
           decode_data(a, str_make(rest.p, (size_t)(data_end - rest.p)), &out->der);
}

bool pem_next(struct arena *a, struct str *rest, struct pem_block *out)
{
    struct str text = *rest;
    ptrdiff_t end;
    while ((end = str_find(text, STR(END))) >= 0) {
        bool found = block_at(a, text, (size_t)end, out);
        text = str_slice(text, (size_t)end + strlen(END), text.n);
        if (found) {
            take_line(&text);
            *rest = text;
            return true;
        }
    }
    return false;
}

/* ---- requests ---- */

static const char *openssl_reason(struct arena *a)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());
    return arena_printf(a, "asn1: structure error: %s", reason ? reason : "malformed");
}

/* What Go's decoder says before it looks into a sequence; NULL: go on. OpenSSL's error queue is empty afterwards. */
static const char *outline_problem(struct str der)
{
    const unsigned char *p = (const unsigned char *)der.p;
    long length;
    int tag, class;
    if (der.n == 0)
        return "asn1: syntax error: sequence truncated";
    int rc = ASN1_get_object(&p, &length, &tag, &class, (long)der.n);
    ERR_clear_error();
    if (rc & 0x80)
        return "asn1: syntax error: data truncated";
    if ((size_t)((const char *)p - der.p) + (size_t)length < der.n)
        return "asn1: syntax error: trailing data";
    return NULL;
}

/* Keys that Go verifies with. */
static const struct key_kind {
    int id;
    const char *name, *type;
} key_kinds[] = {{EVP_PKEY_RSA, "RSA", "*rsa.PublicKey"},
                 {EVP_PKEY_EC, "ECDSA", "*ecdsa.PublicKey"},
                 {EVP_PKEY_ED25519, "Ed25519", "ed25519.PublicKey"}};

static const struct key_kind *kind_of(int id)
{
    if (id == EVP_PKEY_RSA_PSS) /* a way to sign, with the same keys */
        id = EVP_PKEY_RSA;
    for (size_t i = 0; i < ARRAY_LEN(key_kinds); i++)
        if (key_kinds[i].id == id)
            return &key_kinds[i];
    return NULL;
}

static const char *signature_problem(struct arena *a, X509_REQ *request)
{
    static const char unknown[] = "x509: cannot verify signature: algorithm unimplemented";
    EVP_PKEY *key = X509_REQ_get0_pubkey(request);
    int digest, id;
    if (!OBJ_find_sigid_algs(X509_REQ_get_signature_nid(request), &digest, &id))
        return unknown;
    if (digest == NID_md5)
        return "x509: cannot verify signature: insecure algorithm MD5-RSA";
    const struct key_kind *with = kind_of(id), *have = kind_of(key ? EVP_PKEY_get_base_id(key) : 0);
    if (!with || !have)
        return unknown;
    if (with != have)
        return arena_printf(a,
                            "x509: signature algorithm specifies an %s public key, but have "
                            "public key of type %s",
                            with->name, have->type);
    bool rsa = have->id == EVP_PKEY_RSA;
    if (rsa && EVP_PKEY_get_bits(key) < RSA_BITS_MIN)
        return arena_printf(a,
                            "crypto/rsa: %d-bit keys are insecure (see "
                            "https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)",
                            EVP_PKEY_get_bits(key));
    if (X509_REQ_verify(request, key) == 1)
        return NULL;
    return rsa ? "crypto/rsa: verification error"
               : arena_printf(a, "x509: %s verification failure", have->name);
}

const char *pem_request_problem(struct arena *a, struct str pem)
{
    struct pem_block block;
    if (!pem_next(a, &pem, &block) || !str_eq(block.type, STR("CERTIFICATE REQUEST")))
        return "PEM block type must be CERTIFICATE REQUEST";
    const char *wrong = outline_problem(block.der);
    if (wrong)
        return wrong;
    const unsigned char *p = (const unsigned char *)block.der.p;
    X509_REQ *request = d2i_X509_REQ(NULL, &p, (long)block.der.n);
    wrong = request ? signature_problem(a, request) : openssl_reason(a);
    X509_REQ_free(request);
    ERR_clear_error();
    return wrong;
}

/* ---- certificates ---- */

static const char *certificate_problem(const unsigned char **p, long n)
{
    X509 *cert = d2i_X509(NULL, p, n);
    bool negative = cert && X509_get0_serialNumber(cert)->type & V_ASN1_NEG;
    X509_free(cert);
    ERR_clear_error();
    return !cert ? "x509: malformed certificate" : negative ? "x509: negative serial number" : NULL;
}

const char *pem_certificates_problem(struct arena *a, struct str pem)
{
    struct pem_block block;
    size_t blocks = 0;
    for (; pem_next(a, &pem, &block); blocks++) {
        if (!str_eq(block.type, STR("CERTIFICATE")))
            return arena_printf(a, "only CERTIFICATE PEM blocks are allowed, found %s",
                                field_quote(a, arena_strndup(a, block.type.p, block.type.n)));
        if (block.has_headers)
            return "no PEM block headers are permitted";
        if (block.der.n == 0)
            return "found CERTIFICATE PEM block containing 0 certificates";
        const unsigned char *p = (const unsigned char *)block.der.p, *end = p + block.der.n;
        while (p < end) {
            const char *wrong = certificate_problem(&p, end - p);
            if (wrong)
                return wrong;
        }
    }
    return blocks ? NULL : "must contain at least one CERTIFICATE PEM block";
}
