/* Inside net/ only: what streams need of a TLS context. */
#ifndef C8S_NET_TLS_INTERNAL_H
#define C8S_NET_TLS_INTERNAL_H

#include "net/tls.h"
#include "net/x509.h"
#include <openssl/ssl.h>

/* A new connection's state under the context's current files. */
SSL *tls_ssl_new(struct tls_context *ctx);
bool tls_context_is_server(const struct tls_context *ctx);

/* tls_peer and the memory it points into. */
struct tls_peer_owner {
    struct tls_peer peer;
    struct x509_info info;
};
/* After the handshake: NULL if the peer showed no certificate. */
struct tls_peer_owner *tls_peer_read(struct tls_context *ctx, SSL *ssl);
void tls_peer_free(struct tls_peer_owner *owner);
/* Offer the session filed under `key` (address and server name), and file new ones there. */
void tls_session_offer(struct tls_context *ctx, SSL *ssl, const char *key);

#endif
