/*
 * HTTP/1 request bytes as a client may send them.
 */
#include "tests/fuzz/fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_connection("", 0, data, size);
    return 0;
}
