/*
 * PEM and what is in it, read as strictly as Go's encoding/pem and crypto/x509 read it: requests for certificates
 * and certificates that people store.
 */
#ifndef C8S_API_VALIDATION_PEM_H
#define C8S_API_VALIDATION_PEM_H

#include "base/arena.h"
#include "base/str.h"

struct pem_block {
    struct str type;  /* "CERTIFICATE"; a slice of the text */
    bool has_headers; /* "Key: value" lines before the data */
    struct str der;   /* decoded, in the arena */
};

/* The next block of *rest, which is what comes after it then; false: there is none. Whatever is no block is passed
 * over. */
bool pem_next(struct arena *a, struct str *rest, struct pem_block *out);

/* What is wrong with a PKCS #10 request in PEM, its signature included; NULL: nothing. */
const char *pem_request_problem(struct arena *a, struct str pem);

/* The same of certificates, of which there must be one at least, and nothing else. */
const char *pem_certificates_problem(struct arena *a, struct str pem);

#endif
