/*
 * TLS contexts (OpenSSL), and what a peer's certificate says.
 *
 * TLS 1.2 and 1.3, ECDHE with AES-GCM or ChaCha20, session tickets for resumption, ALPN. A context
 * is made once, shared by reference by servers and clients on all threads, and can be reloaded
 * while in use: connections made afterwards use the new files.
 */
#ifndef C8S_NET_TLS_H
#define C8S_NET_TLS_H

#include "base/error.h"
#include "base/str.h"

struct tls_context;

enum tls_client_auth {
    TLS_CLIENT_AUTH_NONE,    /* do not ask clients for a certificate */
    TLS_CLIENT_AUTH_REQUEST, /* ask; take none or any, tls_peer.verified tells whether it chains to
                                the CA (the API server answers 401 itself) */
    TLS_CLIENT_AUTH_REQUIRE, /* the handshake fails without a certificate of the CA */
};

/* Each of certificate, key and CA is either a file or PEM text; strings are copied. */
struct tls_options {
    const char *cert_file, *key_file; /* own certificate chain (leaf first) and key */
    struct str cert_pem, key_pem;
    const char
        *ca_file; /* who may sign the peer; client: NULL and no ca_pem means the system's CAs */
    struct str ca_pem;
    const char *second_ca_file; /* a server tells whom this one signed (tls_peer.of_second_ca), and
                                   trusts nobody for it; NULL: none */
    const char
        *crl_file; /* revoked certificates; NULL: none. A list past its time still counts, and an
                             authority without a list has revoked nothing, as in etcd */
    enum tls_client_auth client_auth; /* server */
    bool insecure_skip_verify;        /* client: accept any server certificate */
    const char *const *alpn; /* NULL-terminated, most wanted first; NULL: {"h2", "http/1.1"} */
    const char *min_version; /* "TLS1.2" (default) or "TLS1.3" */
    const char *max_version; /* the same; NULL: the newest */
    bool
        watch_files; /* look every second or so, when a connection begins, whether a file has changed, and
                         read them all again then; what cannot be read leaves the old ones in use */
    const char *cipher_suites; /* comma-separated IANA or OpenSSL names for TLS 1.2; NULL: ours */
};

/* A server needs certificate and key. One reference; NULL and *err (file and reason) on failure. */
struct tls_context *tls_server_new(const struct tls_options *options, struct error *err);
/* A client may have a certificate and key of its own. */
struct tls_context *tls_client_new(const struct tls_options *options, struct error *err);
struct tls_context *
tls_context_ref(struct tls_context *ctx);        /* any thread; NULL is passed through */
void tls_context_unref(struct tls_context *ctx); /* any thread; NULL is fine */
/* Read the files again. On failure the old ones stay in use. Any thread. */
int tls_context_reload(struct tls_context *ctx, struct error *err);

/* What a peer's certificate says about it. Strings are NUL-terminated UTF-8 without embedded NUL (a
 * certificate that has one is treated as unverified). Lives as long as its connection. */
struct tls_peer {
    bool verified; /* chains to our CA, in its validity, for its usage (client or server) */
    const char *verify_error; /* why not; NULL when verified */
    bool of_second_ca;        /* chains to tls_options.second_ca_file */
    unsigned usage;           /* X509_USAGE_* (net/x509.h) of its extended key usage; 0: any */
    const char *common_name;  /* "" when the subject has none; the last one if several */
    const char *const *organizations; /* subject O, in order: Kubernetes' groups */
    size_t organizations_len;
    const char *const *user_ids; /* subject 1.3.6.1.4.1.57683.2: Kubernetes' uid of a user */
    size_t user_ids_len;
    const char *const *dns_names; /* subject alternative names */
    size_t dns_names_len;
    const char *const *uris;
    size_t uris_len;
    const char *const *ip_addresses; /* in text form */
    size_t ip_addresses_len;
    char fingerprint_sha256[65]; /* hex of the DER form */
    int64_t not_after_s;         /* seconds since 1970 */
};

#endif
