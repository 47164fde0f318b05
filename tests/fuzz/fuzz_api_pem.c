/* Requests and certificates in PEM, as clients put them into CertificateSigningRequests. */
#include "api/validation/pem.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct pem_block block;
    struct str text = fuzz_input(data, size), rest = text;
    arena_init(&a);
    size_t before = rest.n;
    while (pem_next(&a, &rest, &block)) {
        require(rest.n < before);
        before = rest.n;
    }
    pem_request_problem(&a, text);
    pem_certificates_problem(&a, text);
    arena_free(&a);
    fuzz_input_free(text);
    return 0;
}
