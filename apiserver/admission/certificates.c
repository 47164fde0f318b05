/*
 * CertificateApproval and CertificateSigning: who approves a request, or signs it, must be allowed to
 * do so for its signer. CertificateSubjectRestriction: nobody becomes a system:master by a request.
 */
#include "apiserver/admission/admission.h"
#include "proto/certificates_v1.pb-c.h"
#include <openssl/pem.h>
#include <openssl/x509.h>

#define CSR Certificates__V1__CertificateSigningRequest__SCHEMA
#define CLIENT_SIGNER "kubernetes.io/kube-apiserver-client"

/* Verb on the signer itself, or on all signers of its domain. */
static bool may(struct admission *ad, const char *verb, const char *signer)
{
    struct authz_attributes at = {.user = ad->user,
                                  .verb = verb,
                                  .is_resource = true,
                                  .group = "certificates.k8s.io",
                                  .resource = "signers",
                                  .subresource = "",
                                  .ns = "",
                                  .name = signer,
                                  .path = ""};
    if (authz_allowed(ad->rq->server->authz, &at, ad->a, NULL))
        return true;
    const char *slash = strchr(signer, '/');
    if (!slash)
        return false;
    at.name = arena_printf(ad->a, "%.*s/*", (int)(slash - signer), signer);
    return authz_allowed(ad->rq->server->authz, &at, ad->a, NULL);
}

static struct status *approval(struct admission *ad)
{
    if (ad->op != ADMIT_UPDATE || !admission_is(ad, CSR, "approval"))
        return NULL;
    const char *signer =
        ((const Certificates__V1__CertificateSigningRequest *)ad->old)->spec->signer_name;
    if (may(ad, "approve", signer))
        return NULL;
    return admission_forbidden(ad, "user not permitted to approve requests with signerName \"%s\"",
                               signer);
}

static bool same_certificate(const Certificates__V1__CertificateSigningRequestStatus *x,
                             const Certificates__V1__CertificateSigningRequestStatus *y)
{
    return x->certificate.len == y->certificate.len &&
           (x->certificate.len == 0 ||
            memcmp(x->certificate.data, y->certificate.data, x->certificate.len) == 0);
}

static bool same_conditions(const Certificates__V1__CertificateSigningRequestStatus *x,
                            const Certificates__V1__CertificateSigningRequestStatus *y)
{
    bool same = x->n_conditions == y->n_conditions;
    for (size_t i = 0; same && i < x->n_conditions; i++)
        same = object_equal(x->conditions[i], y->conditions[i]);
    return same;
}

static struct status *signing(struct admission *ad)
{
    if (ad->op != ADMIT_UPDATE || !admission_is(ad, CSR, "status"))
        return NULL;
    const Certificates__V1__CertificateSigningRequest *csr = ad->object, *old = ad->old;
    if (same_certificate(csr->status, old->status) && same_conditions(csr->status, old->status))
        return NULL;
    if (may(ad, "sign", old->spec->signer_name))
        return NULL;
    return admission_forbidden(ad, "user not permitted to sign requests with signerName \"%s\"",
                               old->spec->signer_name);
}

/* Does the request's subject have this organisation? -1: it cannot be read. */
static int has_organisation(const ProtobufCBinaryData *pem, const char *name)
{
    BIO *bio = BIO_new_mem_buf(pem->data, (int)MIN(pem->len, (size_t)1 << 20));
    X509_REQ *req = bio ? PEM_read_bio_X509_REQ(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!req)
        return -1;
    const X509_NAME *subject = X509_REQ_get_subject_name(req);
    int found = 0;
    for (int i = -1;
         (i = X509_NAME_get_index_by_NID((X509_NAME *)subject, NID_organizationName, i)) >= 0;) {
        unsigned char *text = NULL;
        int n =
            ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, i)));
        found |= n >= 0 && str_eqz(str_make(text, (size_t)n), name);
        OPENSSL_free(text);
    }
    X509_REQ_free(req);
    return found;
}

static struct status *subject(struct admission *ad)
{
    if (ad->op != ADMIT_CREATE || !admission_is(ad, CSR, ""))
        return NULL;
    const Certificates__V1__CertificateSigningRequest *csr = ad->object;
    if (strcmp(csr->spec->signer_name, CLIENT_SIGNER) != 0)
        return NULL;
    int has = has_organisation(&csr->spec->request, "system:masters");
    if (has < 0)
        return admission_forbidden(
            ad, "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST");
    return has ? admission_forbidden(ad,
                                     "use of %s signer with system:masters group is not allowed",
                                     csr->spec->signer_name)
               : NULL;
}

const struct admission_plugin admission_certificate_approval = {.name = "CertificateApproval",
                                                                .validate = approval};
const struct admission_plugin admission_certificate_signing = {.name = "CertificateSigning",
                                                               .validate = signing};
const struct admission_plugin admission_certificate_subject = {
    .name = "CertificateSubjectRestriction", .validate = subject};
