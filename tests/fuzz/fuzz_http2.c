/*
 * HTTP/2 frames behind a good preface, gRPC messages in them included.
 */
#include "tests/fuzz/fuzz_http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char head[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
    fuzz_connection(head, sizeof head - 1, data, size);
    return 0;
}
