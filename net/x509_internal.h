/* Inside net/ only: what tls.c and x509.c share. */
#ifndef C8S_NET_X509_INTERNAL_H
#define C8S_NET_X509_INTERNAL_H

#include "net/x509.h"
#include <stdbool.h>
#include <openssl/x509.h>

/* Fill *out from a parsed certificate. false (and *out still valid to free) if a name in it holds a
 * NUL or is not text: such a certificate must not be trusted to name anybody. */
bool x509_info_from_cert(X509 *cert, struct x509_info *out);
/* A pem_password_cb that has none, for every PEM_read_bio_*: without one OpenSSL asks on the terminal, and the thread
 * waits for somebody to type, whoever sent the text. */
int x509_no_password(char *buf, int size, int writing, void *ctx);
/* After a PEM_read_bio_* that gave nothing: was there no further block (true), or one that cannot be read? Empty the
 * error queue before the first. */
bool x509_pem_ended(void);
/* ERR_* with the newest reason of OpenSSL's error queue appended; empties the queue. */
int openssl_error(struct error *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
