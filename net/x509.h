/*
 * X.509 certificates and keys: make a CA, issue certificates, sign requests, read and write PEM.
 *
 * Keys are EC P-256, or RSA 2048 where a peer insists (x509_key_new_rsa). PEM text is
 * NUL-terminated and belongs to the caller (mem_free). Nothing here is on a request's path;
 * everything is thread-safe.
 */
#ifndef C8S_NET_X509_H
#define C8S_NET_X509_H

#include "base/error.h"
#include "base/str.h"

/* A certificate and its private key, as PEM. */
struct x509_pair {
    char *cert_pem;
    char *key_pem;
};
void x509_pair_free(struct x509_pair *pair); /* wipes the key */

enum x509_usage {
    X509_USAGE_SERVER = 1, /* extended key usage serverAuth */
    X509_USAGE_CLIENT = 2, /* clientAuth */
};

struct x509_spec {
    const char *common_name;
    const char *const *organizations; /* NULL-terminated; NULL: none */
    const char *const *alt_names;     /* NULL-terminated; each an IP address, or else a DNS name */
    unsigned usage;                   /* X509_USAGE_* or-ed; ignored for a CA */
    int64_t valid_s; /* from now (minus 5 min for clock skew); 0: a year, CA: ten years */
};

/* A self-signed CA (basicConstraints CA:TRUE critical, keyCertSign, cRLSign, key identifiers). */
int x509_ca_new(const struct x509_spec *spec, struct x509_pair *out, struct error *err);
/* A fresh key and a certificate for it signed by `ca`. */
int x509_issue(const struct x509_pair *ca, const struct x509_spec *spec, struct x509_pair *out,
               struct error *err);
/* A signing request (PEM) and its fresh key, for a node that joins. */
int x509_request_new(const struct x509_spec *spec, char **csr_pem, char **key_pem,
                     struct error *err);
/* Sign a request after checking its signature. Subject and alternative names are the request's;
 * usage and validity the caller's. */
int x509_request_sign(const struct x509_pair *ca, struct str csr_pem, unsigned usage,
                      int64_t valid_s, char **cert_pem, struct error *err);

/* Keys alone (service-account signing): private and public PEM. */
int x509_key_new_ec(char **private_pem, char **public_pem, struct error *err);
int x509_key_new_rsa(int bits, char **private_pem, char **public_pem, struct error *err);

/* What a certificate or request says. All strings owned by the struct (x509_info_free). */
struct x509_info {
    char *common_name; /* "" if none */
    char *issuer;      /* issuer's common name */
    char **organizations;
    size_t organizations_len;
    char **user_ids; /* subject attribute 1.3.6.1.4.1.57683.2, Kubernetes' uid of a user */
    size_t user_ids_len;
    char **dns_names;
    size_t dns_names_len;
    char **ip_addresses;
    size_t ip_addresses_len;
    char **uris;
    size_t uris_len;
    int64_t not_before_s, not_after_s; /* 0 for a request */
    bool is_ca;
    unsigned usage; /* X509_USAGE_* found in the extended key usage */
    char fingerprint_sha256[65];
};
int x509_parse(struct str cert_pem, struct x509_info *out, struct error *err);
int x509_parse_request(struct str csr_pem, struct x509_info *out, struct error *err);
/* The same of DER. For whom it matters that others read the same out of a PEM text: they may find another block in it. */
int x509_parse_request_der(struct str der, struct x509_info *out, struct error *err);
void x509_info_free(struct x509_info *info);
/* Does the certificate chain to the CA now, for that usage (0: any)? ERR_DENIED with the reason if
 * not. */
int x509_verify(struct str cert_pem, struct str ca_pem, unsigned usage, struct error *err);
/* Is the key the certificate's? */
bool x509_key_matches(struct str cert_pem, struct str key_pem);

/* Write a file by rename, flushed: mode 0600 for keys, 0644 for certificates. Directories must
 * exist. */
int x509_write_key(const char *path, const char *key_pem, struct error *err);
int x509_write_cert(const char *path, const char *cert_pem, struct error *err);
/* Read a PEM file of at most 1 MiB; NUL-terminated, mem_free. */
int x509_read_pem(const char *path, char **pem, struct error *err);
/* Both files of a pair at once. */
int x509_pair_read(const char *cert_path, const char *key_path, struct x509_pair *out,
                   struct error *err);
int x509_pair_write(const char *cert_path, const char *key_path, const struct x509_pair *pair,
                    struct error *err);

#endif
