/*
 * CertificateApproval and CertificateSigning: who approves a request, or signs it, must be allowed to
 * do so for its signer. CertificateSubjectRestriction: nobody becomes a system:master by a request.
 */
#include "apiserver/admission/certificates.h"
#include "api/validation/pem.h"

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

/* Of the block that whoever signs it finds, too: OpenSSL takes some for one that Go passes over, and the other way round. */
int admission_request_info(struct admission *ad,
                           const Certificates__V1__CertificateSigningRequest *csr,
                           struct x509_info *out, struct error *err)
{
    const ProtobufCBinaryData *pem = &csr->spec->request;
    struct str rest = str_make((const char *)pem->data, pem->len);
    struct pem_block block;
    if (!pem_next(ad->a, &rest, &block) || !str_eq(block.type, STR("CERTIFICATE REQUEST")))
        return error_set(err, ERR_INVALID, "PEM block type must be CERTIFICATE REQUEST");
    return x509_parse_request_der(block.der, out, err);
}

static struct status *subject(struct admission *ad)
{
    if (ad->op != ADMIT_CREATE || !admission_is(ad, CSR, ""))
        return NULL;
    const Certificates__V1__CertificateSigningRequest *csr = ad->object;
    if (strcmp(csr->spec->signer_name, CLIENT_SIGNER) != 0)
        return NULL;
    struct x509_info info;
    struct error err;
    if (admission_request_info(ad, csr, &info, &err) < 0)
        return admission_forbidden(ad, "failed to parse CSR: %s", err.message);
    bool master = false;
    for (size_t i = 0; i < info.organizations_len; i++)
        master |= strcmp(info.organizations[i], "system:masters") == 0;
    x509_info_free(&info);
    return master ? admission_forbidden(ad,
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
