/*
 * YAML manifests: what is read, written and read again is the same.
 */
#include "api/codec.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct arena a;
    struct error err = {0};
    yyjson_val **documents, **again;
    size_t count, count_again;
    arena_init(&a);
    if (yaml_read(&a, in, &documents, &count, &err) == 0) {
        for (size_t i = 0; i < count; i++) {
            struct buf first = {0}, second = {0};
            yaml_write(documents[i], &first);
            require(yaml_read(&a, buf_str(&first), &again, &count_again, NULL) == 0);
            require(count_again == 1);
            yaml_write(again[0], &second);
            require(str_eq(buf_str(&first), buf_str(&second)));
            buf_free(&first);
            buf_free(&second);
        }
    } else {
        require(err.code != 0 && err.message[0]);
    }
    arena_free(&a);
    fuzz_input_free(in);
    return 0;
}
