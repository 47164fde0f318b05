/*
 * TLS contexts. See tls.h.
 *
 * A context keeps its options and an SSL_CTX made from them; a reload makes another SSL_CTX and
 * swaps it in. Connections hold a reference of their own on the SSL_CTX they began with.
 */
#include "net/tls_internal.h"
#include "net/x509_internal.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"

#include <assert.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>

#define SESSION_LIFETIME_S 7200
#define SESSIONS_MAX 64 /* addresses a client context remembers sessions for */

#define WATCH_MAX 5
#define WATCH_NS NS_PER_S

/* What a file looked like. */
struct file_mark {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

struct tls_context {
    atomic_uint refs;
    bool server;
    char *cert_file, *key_file, *ca_file, *second_ca_file, *crl_file;
    char *cert_pem, *key_pem, *ca_pem; /* NULL: from the file */
    char *min_version, *max_version, *cipher_suites;
    bool watch_files;
    _Atomic uint64_t look_at_ns;       /* when to look at the files next */
    struct file_mark marks[WATCH_MAX]; /* as read last; whoever moved look_at_ns on */
    enum tls_client_auth client_auth;
    bool insecure_skip_verify;
    unsigned char alpn[64]; /* wire format: length-prefixed names, most wanted first */
    unsigned alpn_len;
    pthread_mutex_t lock; /* guards ssl_ctx and sessions */
    SSL_CTX *ssl_ctx;
    struct map sessions; /* address → SSL_SESSION */
};

static int session_key_index = -1; /* ex_data of an SSL: what its sessions are filed under */
static pthread_once_t session_key_once = PTHREAD_ONCE_INIT;

static void free_address(void *parent, void *ptr, CRYPTO_EX_DATA *ad, int idx, long argl,
                         void *argp)
{
    (void)parent, (void)ad, (void)idx, (void)argl, (void)argp;
    mem_free(ptr);
}

static void make_session_key_index(void)
{
    session_key_index = SSL_get_ex_new_index(0, NULL, NULL, NULL, free_address);
}

static char *dup_or_null(const char *s)
{
    return s && *s ? mem_strdup(s) : NULL;
}

static char *dup_pem(struct str s)
{
    return s.n ? mem_strndup(s.p, s.n) : NULL;
}

static void set_alpn(struct tls_context *ctx, const char *const *names)
{
    static const char *const standard[] = {"h2", "http/1.1", NULL};
    for (names = names ? names : standard; *names; names++) {
        size_t n = strlen(*names);
        assert(n > 0 && ctx->alpn_len + 1 + n <= sizeof ctx->alpn);
        ctx->alpn[ctx->alpn_len++] = (unsigned char)n;
        memcpy(ctx->alpn + ctx->alpn_len, *names, n);
        ctx->alpn_len += (unsigned)n;
    }
}

/* The server chooses by its own preference; no common name fails the handshake (RFC 7301 §3.2). */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    (void)ssl;
    struct tls_context *ctx = arg;
    int rc =
        SSL_select_next_proto((unsigned char **)out, out_len, ctx->alpn, ctx->alpn_len, in, in_len);
    return rc == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* TLS_CLIENT_AUTH_REQUEST takes any certificate; SSL_get_verify_result still tells the truth. */
static int accept_any(int ok, X509_STORE_CTX *store)
{
    (void)ok, (void)store;
    return 1;
}

/* A revocation list that nobody renewed must not stop a cluster. */
static int accept_old_lists(int ok, X509_STORE_CTX *store)
{
    int e = X509_STORE_CTX_get_error(store);
    if (ok || (e != X509_V_ERR_CRL_HAS_EXPIRED && e != X509_V_ERR_CRL_NOT_YET_VALID &&
               e != X509_V_ERR_UNABLE_TO_GET_CRL))
        return ok;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    return 1;
}

static int use_certificate(SSL_CTX *ssl_ctx, struct str cert, struct str key, const char *name,
                           struct error *err)
{
    BIO *bio = BIO_new_mem_buf(cert.p, (int)cert.n);
    X509 *leaf = bio ? PEM_read_bio_X509(bio, NULL, x509_no_password, NULL) : NULL;
    int rc = 0;
    if (!leaf || SSL_CTX_use_certificate(ssl_ctx, leaf) != 1)
        rc = openssl_error(err, ERR_INVALID, "certificate %s", name);
    X509 *next;
    ERR_clear_error();
    while (rc == 0 && (next = PEM_read_bio_X509(bio, NULL, x509_no_password, NULL)))
        SSL_CTX_add0_chain_cert(ssl_ctx, next);
    if (rc == 0 && !x509_pem_ended())
        rc = openssl_error(err, ERR_INVALID, "chain of certificate %s", name);
    ERR_clear_error();
    X509_free(leaf);
    BIO_free(bio);
    if (rc < 0)
        return rc;
    bio = BIO_new_mem_buf(key.p, (int)key.n);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, x509_no_password, NULL) : NULL;
    if (!pkey || SSL_CTX_use_PrivateKey(ssl_ctx, pkey) != 1 ||
        SSL_CTX_check_private_key(ssl_ctx) != 1)
        rc = openssl_error(err, ERR_INVALID, "private key of %s", name);
    EVP_PKEY_free(pkey);
    BIO_free(bio);
    return rc;
}

/* CAs for verifying, and on a server the names it hints to clients. */
static int use_cas(struct tls_context *ctx, SSL_CTX *ssl_ctx, struct str pem, const char *name,
                   struct error *err)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    int count = 0;
    X509 *ca;
    ERR_clear_error();
    while (bio && (ca = PEM_read_bio_X509(bio, NULL, x509_no_password, NULL))) {
        X509_STORE_add_cert(store, ca);
        if (ctx->server)
            SSL_CTX_add_client_CA(ssl_ctx, ca);
        X509_free(ca);
        count++;
    }
    BIO_free(bio);
    if (count == 0 || !x509_pem_ended())
        return openssl_error(err, ERR_INVALID, "CA file %s: certificate %d", name, count + 1);
    ERR_clear_error();
    return 0;
}

static int use_crl(SSL_CTX *ssl_ctx, const char *path, struct error *err)
{
    char *pem = NULL;
    int rc = x509_read_pem(path, &pem, err);
    if (rc < 0)
        return rc;
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
    int count = 0;
    X509_CRL *crl;
    ERR_clear_error();
    while (bio && (crl = PEM_read_bio_X509_CRL(bio, NULL, x509_no_password, NULL))) {
        X509_STORE_add_crl(store, crl);
        X509_CRL_free(crl);
        count++;
    }
    BIO_free(bio);
    mem_free(pem);
    if (count == 0 || !x509_pem_ended())
        return openssl_error(err, ERR_INVALID, "CRL file %s: list %d", path, count + 1);
    ERR_clear_error();
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return 0;
}

static int use_ciphers(SSL_CTX *ssl_ctx, const char *suites, struct error *err)
{
    static const char ours[] = "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
                               "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
                               "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    /* AES-128 first: half the rounds, and no attack on it matters here. */
    if (SSL_CTX_set_ciphersuites(ssl_ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                          "TLS_CHACHA20_POLY1305_SHA256") != 1 ||
        SSL_CTX_set_cipher_list(ssl_ctx, ours) != 1)
        return openssl_error(err, ERR_INTERNAL, "cipher suites");
    if (!suites)
        return 0;
    struct buf list;
    buf_init(&list);
    struct str rest = str_from(suites), part;
    int rc = 0;
    while (rc == 0 && str_split(&rest, ',', &part)) {
        char *name = mem_strndup(part.p, part.n);
        const SSL_CIPHER *found = NULL;
        STACK_OF(SSL_CIPHER) *all = SSL_CTX_get_ciphers(ssl_ctx);
        for (int i = 0; !found && i < sk_SSL_CIPHER_num(all); i++) {
            const SSL_CIPHER *c = sk_SSL_CIPHER_value(all, i);
            if (cstr_eq(SSL_CIPHER_standard_name(c), name) || cstr_eq(SSL_CIPHER_get_name(c), name))
                found = c;
        }
        if (!found)
            rc = error_set(err, ERR_INVALID, "cipher suite `%s` is unknown or too weak", name);
        else if (!str_has_prefix(str_from(SSL_CIPHER_get_name(found)), STR("TLS_")))
            buf_printf(&list, "%s%s", list.len ? ":" : "", SSL_CIPHER_get_name(found));
        mem_free(name);
    }
    if (rc == 0 && list.len && SSL_CTX_set_cipher_list(ssl_ctx, buf_cstr(&list)) != 1)
        rc = openssl_error(err, ERR_INVALID, "cipher suites `%s`", suites);
    buf_free(&list);
    return rc;
}

static int version_number(const char *name, int otherwise, int *out, struct error *err)
{
    *out = otherwise;
    if (!name || !*name)
        return 0;
    if (cstr_eq(name, "TLS1.2") || cstr_eq(name, "VersionTLS12"))
        *out = TLS1_2_VERSION;
    else if (cstr_eq(name, "TLS1.3") || cstr_eq(name, "VersionTLS13"))
        *out = TLS1_3_VERSION;
    else
        return error_set(err, ERR_INVALID, "TLS version `%s`: must be TLS1.2 or TLS1.3", name);
    return 0;
}

static int set_versions(const struct tls_context *ctx, SSL_CTX *ssl_ctx, struct error *err)
{
    int min, max;
    int rc = version_number(ctx->min_version, TLS1_2_VERSION, &min, err);
    if (rc == 0)
        rc = version_number(ctx->max_version, 0, &max, err);
    if (rc < 0)
        return rc;
    if (max && max < min)
        return error_set(err, ERR_INVALID, "TLS versions: the least, %s, is above the greatest, %s",
                         ctx->min_version, ctx->max_version);
    SSL_CTX_set_min_proto_version(ssl_ctx, min);
    SSL_CTX_set_max_proto_version(ssl_ctx, max);
    return 0;
}

static int file_or_pem(const char *pem, const char *file, char **owned, struct str *out,
                       struct error *err)
{
    *owned = NULL;
    if (!pem && file) {
        int rc = x509_read_pem(file, owned, err);
        if (rc < 0)
            return rc;
        pem = *owned;
    }
    *out = str_from(pem);
    return 0;
}

/* The second CA hangs on the SSL_CTX, which lives as long as its connections do. */
static int second_ca_index;
static pthread_once_t second_ca_once = PTHREAD_ONCE_INIT;

static void free_second_ca(void *parent, void *store, CRYPTO_EX_DATA *data, int index, long argl,
                           void *argp)
{
    (void)parent, (void)data, (void)index, (void)argl, (void)argp;
    X509_STORE_free(store);
}

static void make_second_ca_index(void)
{
    second_ca_index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, free_second_ca);
}

static int use_second_ca(SSL_CTX *ssl_ctx, const char *path, struct error *err)
{
    STACK_OF(X509_NAME) *names = SSL_load_client_CA_file(path);
    X509_STORE *store = X509_STORE_new();
    if (!names || !store || X509_STORE_load_file(store, path) != 1) {
        sk_X509_NAME_pop_free(names, X509_NAME_free);
        X509_STORE_free(store);
        return openssl_error(err, ERR_INVALID, "CA file %s", path);
    }
    while (sk_X509_NAME_num(names) > 0) { /* clients choose a certificate by them */
        X509_NAME *name = sk_X509_NAME_pop(names);
        STACK_OF(X509_NAME) *known = SSL_CTX_get_client_CA_list(ssl_ctx);
        if (known)
            sk_X509_NAME_push(known, name);
        else
            X509_NAME_free(name);
    }
    sk_X509_NAME_free(names);
    pthread_once(&second_ca_once, make_second_ca_index);
    SSL_CTX_set_ex_data(ssl_ctx, second_ca_index, store);
    return 0;
}

static bool is_of_second_ca(SSL *ssl, X509 *cert)
{
    pthread_once(&second_ca_once, make_second_ca_index);
    X509_STORE *store = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), second_ca_index);
    X509_STORE_CTX *check = store ? X509_STORE_CTX_new() : NULL;
    bool good =
        check && X509_STORE_CTX_init(check, store, cert, SSL_get_peer_cert_chain(ssl)) == 1 &&
        X509_STORE_CTX_set_default(check, "ssl_client") == 1 && X509_verify_cert(check) == 1;
    X509_STORE_CTX_free(check);
    ERR_clear_error();
    return good;
}

static int load_files(struct tls_context *ctx, SSL_CTX *ssl_ctx, struct error *err)
{
    char *cert_owned = NULL, *key_owned = NULL, *ca_owned = NULL;
    struct str cert, key, ca;
    int rc = file_or_pem(ctx->cert_pem, ctx->cert_file, &cert_owned, &cert, err);
    if (rc == 0)
        rc = file_or_pem(ctx->key_pem, ctx->key_file, &key_owned, &key, err);
    if (rc == 0)
        rc = file_or_pem(ctx->ca_pem, ctx->ca_file, &ca_owned, &ca, err);
    if (rc == 0 && cert.n)
        rc = use_certificate(ssl_ctx, cert, key, ctx->cert_file ? ctx->cert_file : "(PEM)", err);
    else if (rc == 0 && ctx->server)
        rc = error_set(err, ERR_INVALID, "a TLS server needs a certificate and a key");
    if (rc == 0 && ca.n)
        rc = use_cas(ctx, ssl_ctx, ca, ctx->ca_file ? ctx->ca_file : "(PEM)", err);
    else if (rc == 0 && !ctx->server && !ctx->insecure_skip_verify) /* 40 ms: some hundred CAs */
        SSL_CTX_set_default_verify_paths(ssl_ctx);
    if (rc == 0 && ctx->second_ca_file)
        rc = use_second_ca(ssl_ctx, ctx->second_ca_file, err);
    if (rc == 0 && ctx->crl_file)
        rc = use_crl(ssl_ctx, ctx->crl_file, err);
    if (key_owned)
        OPENSSL_cleanse(key_owned, strlen(key_owned));
    mem_free(key_owned);
    mem_free(cert_owned);
    mem_free(ca_owned);
    return rc;
}

/* A client keeps the newest session of each address and name. Called with a session reference for
 * us. */
static int remember_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_context *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    const char *key = SSL_get_ex_data(ssl, session_key_index);
    if (!key)
        return 0;
    pthread_mutex_lock(&ctx->lock);
    bool room = ctx->sessions.len < SESSIONS_MAX || map_has(&ctx->sessions, str_from(key));
    SSL_SESSION *old = room ? map_put(&ctx->sessions, str_from(key), session) : NULL;
    pthread_mutex_unlock(&ctx->lock);
    SSL_SESSION_free(old);
    return room ? 1 : 0;
}

static SSL_CTX *make_ssl_ctx(struct tls_context *ctx, struct error *err)
{
    SSL_CTX *ssl_ctx = SSL_CTX_new(ctx->server ? TLS_server_method() : TLS_client_method());
    if (!ssl_ctx) {
        openssl_error(err, ERR_INTERNAL, "TLS context");
        return NULL;
    }
    SSL_CTX_set_app_data(ssl_ctx, ctx);
    /* A peer that just closes the connection is no attack for us: HTTP says where a message ends.
     */
    SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF |
                                     SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl_ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ssl_ctx, 1); /* header and body of a record with one recv */
    SSL_CTX_set_timeout(ssl_ctx, SESSION_LIFETIME_S);
    if (ctx->server) {
        /* Tickets carry the session, so no cache shared between threads is needed. */
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_num_tickets(ssl_ctx, 1);
        SSL_CTX_set_session_id_context(ssl_ctx, (const unsigned char *)"c8s", 3);
        SSL_CTX_set_alpn_select_cb(ssl_ctx, select_alpn, ctx);
        if (ctx->client_auth == TLS_CLIENT_AUTH_REQUEST)
            SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER, accept_any);
        else if (ctx->client_auth == TLS_CLIENT_AUTH_REQUIRE)
            SSL_CTX_set_verify(ssl_ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                               ctx->crl_file ? accept_old_lists : NULL);
    } else {
        SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(ssl_ctx, remember_session);
        SSL_CTX_set_alpn_protos(ssl_ctx, ctx->alpn, ctx->alpn_len);
        SSL_CTX_set_verify(ssl_ctx, ctx->insecure_skip_verify ? SSL_VERIFY_NONE : SSL_VERIFY_PEER,
                           ctx->crl_file ? accept_old_lists : NULL);
    }
    int rc = set_versions(ctx, ssl_ctx, err);
    if (rc == 0)
        rc = use_ciphers(ssl_ctx, ctx->cipher_suites, err);
    if (rc == 0)
        rc = load_files(ctx, ssl_ctx, err);
    if (rc < 0) {
        SSL_CTX_free(ssl_ctx);
        return NULL;
    }
    return ssl_ctx;
}

/* Note what the files look like; is that new? */
static bool files_changed(struct tls_context *ctx)
{
    const char *const files[WATCH_MAX] = {ctx->cert_file, ctx->key_file, ctx->ca_file,
                                          ctx->crl_file, ctx->second_ca_file};
    bool changed = false;
    for (size_t i = 0; i < WATCH_MAX; i++) {
        struct file_mark *m = &ctx->marks[i];
        struct stat st;
        if (!files[i] || stat(files[i], &st) < 0)
            continue; /* between two versions of it, perhaps */
        changed |= m->device != st.st_dev || m->inode != st.st_ino || m->size != st.st_size ||
                   m->changed.tv_sec != st.st_mtim.tv_sec ||
                   m->changed.tv_nsec != st.st_mtim.tv_nsec;
        *m = (struct file_mark){st.st_dev, st.st_ino, st.st_size, st.st_mtim};
    }
    return changed;
}

/* One thread a second does it. */
static void look_at_files(struct tls_context *ctx)
{
    struct error err;
    uint64_t now = clock_mono_ns(), due = atomic_load(&ctx->look_at_ns);
    if (now < due || !atomic_compare_exchange_strong(&ctx->look_at_ns, &due, UINT64_MAX))
        return;
    if (files_changed(ctx)) {
        if (tls_context_reload(ctx, &err) == 0) {
            log_info("tls", "certificates read again file=%s", ctx->cert_file);
        } else {
            log_warn("tls", "cannot read the new certificates, the old ones stay error=\"%s\"",
                     err.message);
            ctx->marks[0] = (struct file_mark){0}; /* try again */
        }
    }
    atomic_store(&ctx->look_at_ns, now + WATCH_NS);
}

static struct tls_context *context_new(const struct tls_options *o, bool server, struct error *err)
{
    pthread_once(&session_key_once, make_session_key_index);
    struct tls_context *ctx = mem_zalloc(sizeof *ctx);
    atomic_init(&ctx->refs, 1);
    ctx->server = server;
    ctx->cert_file = dup_or_null(o->cert_file);
    ctx->key_file = dup_or_null(o->key_file);
    ctx->ca_file = dup_or_null(o->ca_file);
    ctx->second_ca_file = dup_or_null(o->second_ca_file);
    ctx->crl_file = dup_or_null(o->crl_file);
    ctx->cert_pem = dup_pem(o->cert_pem);
    ctx->key_pem = dup_pem(o->key_pem);
    ctx->ca_pem = dup_pem(o->ca_pem);
    ctx->min_version = dup_or_null(o->min_version);
    ctx->max_version = dup_or_null(o->max_version);
    ctx->watch_files = o->watch_files;
    ctx->cipher_suites = dup_or_null(o->cipher_suites);
    ctx->client_auth = o->client_auth;
    ctx->insecure_skip_verify = o->insecure_skip_verify;
    set_alpn(ctx, o->alpn);
    pthread_mutex_init(&ctx->lock, NULL);
    map_init(&ctx->sessions);
    files_changed(ctx);
    ctx->ssl_ctx = make_ssl_ctx(ctx, err);
    if (!ctx->ssl_ctx) {
        tls_context_unref(ctx);
        return NULL;
    }
    return ctx;
}

struct tls_context *tls_server_new(const struct tls_options *options, struct error *err)
{
    return context_new(options, true, err);
}

struct tls_context *tls_client_new(const struct tls_options *options, struct error *err)
{
    return context_new(options, false, err);
}

struct tls_context *tls_context_ref(struct tls_context *ctx)
{
    if (ctx)
        atomic_fetch_add_explicit(&ctx->refs, 1, memory_order_relaxed);
    return ctx;
}

static void drop_sessions(struct tls_context *ctx)
{
    struct map_iter it = {0};
    while (map_next(&ctx->sessions, &it))
        SSL_SESSION_free(it.value);
    map_clear(&ctx->sessions);
}

void tls_context_unref(struct tls_context *ctx)
{
    if (!ctx || atomic_fetch_sub_explicit(&ctx->refs, 1, memory_order_acq_rel) != 1)
        return;
    drop_sessions(ctx);
    map_free(&ctx->sessions);
    SSL_CTX_free(ctx->ssl_ctx);
    pthread_mutex_destroy(&ctx->lock);
    if (ctx->key_pem)
        OPENSSL_cleanse(ctx->key_pem, strlen(ctx->key_pem));
    char *strings[] = {ctx->cert_file,      ctx->key_file,    ctx->ca_file,      ctx->crl_file,
                       ctx->second_ca_file, ctx->cert_pem,    ctx->key_pem,      ctx->ca_pem,
                       ctx->min_version,    ctx->max_version, ctx->cipher_suites};
    for (size_t i = 0; i < ARRAY_LEN(strings); i++)
        mem_free(strings[i]);
    mem_free(ctx);
}

int tls_context_reload(struct tls_context *ctx, struct error *err)
{
    SSL_CTX *fresh = make_ssl_ctx(ctx, err);
    if (!fresh)
        return error_wrap(err, "reload TLS files");
    pthread_mutex_lock(&ctx->lock);
    SSL_CTX *old = ctx->ssl_ctx;
    ctx->ssl_ctx = fresh;
    drop_sessions(ctx);
    pthread_mutex_unlock(&ctx->lock);
    SSL_CTX_free(old);
    return 0;
}

SSL *tls_ssl_new(struct tls_context *ctx)
{
    if (ctx->watch_files)
        look_at_files(ctx);
    pthread_mutex_lock(&ctx->lock);
    SSL *ssl = SSL_new(ctx->ssl_ctx);
    pthread_mutex_unlock(&ctx->lock);
    return ssl;
}

bool tls_context_is_server(const struct tls_context *ctx)
{
    return ctx->server;
}

void tls_session_offer(struct tls_context *ctx, SSL *ssl, const char *key)
{
    SSL_set_ex_data(ssl, session_key_index, mem_strdup(key));
    pthread_mutex_lock(&ctx->lock);
    SSL_SESSION *session = map_get(&ctx->sessions, str_from(key));
    if (session)
        SSL_set_session(ssl, session);
    pthread_mutex_unlock(&ctx->lock);
}

struct tls_peer_owner *tls_peer_read(struct tls_context *ctx, SSL *ssl)
{
    X509 *cert = SSL_get0_peer_certificate(ssl);
    if (!cert)
        return NULL;
    struct tls_peer_owner *owner = mem_zalloc(sizeof *owner);
    struct tls_peer *p = &owner->peer;
    bool clean = x509_info_from_cert(cert, &owner->info);
    long verify = SSL_get_verify_result(ssl);
    /* A resumed session keeps the old verdict; the certificate may have expired since. */
    bool expired = owner->info.not_after_s < (int64_t)time(NULL);
    bool checked =
        ctx->server ? ctx->client_auth != TLS_CLIENT_AUTH_NONE : !ctx->insecure_skip_verify;
    p->verified = checked && verify == X509_V_OK && clean && !expired;
    if (!p->verified)
        p->verify_error = !checked              ? "not checked"
                          : verify != X509_V_OK ? X509_verify_cert_error_string(verify)
                          : !clean              ? "a name holds a NUL or is not text"
                                                : "certificate has expired";
    p->of_second_ca = clean && is_of_second_ca(ssl, cert);
    p->usage = owner->info.usage;
    p->common_name = owner->info.common_name;
    p->organizations = (const char *const *)owner->info.organizations;
    p->organizations_len = owner->info.organizations_len;
    p->user_ids = (const char *const *)owner->info.user_ids;
    p->user_ids_len = owner->info.user_ids_len;
    p->dns_names = (const char *const *)owner->info.dns_names;
    p->dns_names_len = owner->info.dns_names_len;
    p->uris = (const char *const *)owner->info.uris;
    p->uris_len = owner->info.uris_len;
    p->ip_addresses = (const char *const *)owner->info.ip_addresses;
    p->ip_addresses_len = owner->info.ip_addresses_len;
    memcpy(p->fingerprint_sha256, owner->info.fingerprint_sha256, sizeof p->fingerprint_sha256);
    p->not_after_s = owner->info.not_after_s;
    return owner;
}

void tls_peer_free(struct tls_peer_owner *owner)
{
    if (!owner)
        return;
    x509_info_free(&owner->info);
    mem_free(owner);
}
