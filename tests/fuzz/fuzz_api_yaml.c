/*
 * YAML manifests: what is read, written and read again is the same.
 */
#include "api/codec.h"
#include "tests/fuzz/fuzz.h"

/* What is written is one document, and settles at the second writing (-.0 becomes -0 becomes 0). */
static void same_when_written(struct arena *a, yyjson_val *document)
{
    struct buf text[3] = {0};
    for (int i = 0; i < 3; i++) {
        yyjson_val **again;
        size_t count;
        yaml_write(document, &text[i]);
        require(yaml_read(a, buf_str(&text[i]), &again, &count, NULL) == 0);
        require(count == 1);
        document = again[0];
    }
    require(str_eq(buf_str(&text[1]), buf_str(&text[2])));
    for (int i = 0; i < 3; i++)
        buf_free(&text[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct arena a;
    struct error err = {0};
    yyjson_val **documents;
    size_t count;
    arena_init(&a);
    if (yaml_read(&a, in, &documents, &count, &err) == 0) {
        for (size_t i = 0; i < count; i++)
            same_when_written(&a, documents[i]);
    } else {
        require(err.code != 0 && err.message[0]);
    }
    arena_free(&a);
    fuzz_input_free(in);
    return 0;
}
