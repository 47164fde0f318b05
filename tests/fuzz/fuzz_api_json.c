/*
 * JSON objects as clients send them: what is accepted means the same after a trip through the wire
 * form, and encoding it again changes nothing.
 */
#include "api/codec.h"
#include "tests/fuzz/fuzz.h"

static void same_through_wire(const void *object, const struct schema_message *m)
{
    struct arena a;
    struct buf wire = {0}, again = {0};
    void *copy;
    arena_init(&a);
    wire_encode(object, &wire);
    require(wire.len == wire_size(object));
    require(wire_decode(&a, m, buf_str(&wire), &copy, NULL) == 0);
    wire_encode(copy, &again);
    require(str_eq(buf_str(&wire), buf_str(&again)));
    buf_free(&wire);
    buf_free(&again);
    arena_free(&a);
}

/* Quantities settle at the second printing (see fuzz_api_quantity.c), all else at the first. */
static void same_through_json(const void *object, const struct schema_message *m)
{
    struct arena a;
    struct buf text[3] = {0};
    arena_init(&a);
    for (int i = 0; i < 3; i++) {
        void *copy;
        json_encode(object, JSON_DEFAULT, &text[i]);
        require(json_decode(&a, m, buf_str(&text[i]), NULL, &copy, NULL) == 0);
        object = copy;
    }
    require(str_eq(buf_str(&text[1]), buf_str(&text[2])));
    for (int i = 0; i < 3; i++)
        buf_free(&text[i]);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct arena a;
    struct field_problems problems = {0};
    struct error err = {0};
    void *object;
    arena_init(&a);
    if (json_decode(&a, NULL, in, &problems, &object, &err) == 0) {
        const struct schema_message *m = schema_of(object);
        same_through_wire(object, m);
        same_through_json(object, m);
    } else {
        require(err.code != 0 && err.message[0]);
    }
    arena_free(&a);
    fuzz_input_free(in);
    return 0;
}
