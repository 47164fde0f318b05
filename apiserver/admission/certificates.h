/*
 * What a CertificateSigningRequest asks for, as its signer will read it.
 */
#ifndef C8S_APISERVER_ADMISSION_CERTIFICATES_H
#define C8S_APISERVER_ADMISSION_CERTIFICATES_H

#include "apiserver/admission/admission.h"
#include "net/x509.h"
#include "proto/certificates_v1.pb-c.h"

/* 0, with *out for x509_info_free; ERR_INVALID. */
int admission_request_info(struct admission *ad,
                           const Certificates__V1__CertificateSigningRequest *csr,
                           struct x509_info *out, struct error *err);

#endif
