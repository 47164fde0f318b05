/*
 * Protobuf objects, from clients and out of the store: decoded, answered in every form, encoded
 * again.
 */
#include "api/codec.h"
#include "tests/fuzz/fuzz.h"

static void answer_in_every_form(struct str stored)
{
    const struct schema_message *m = stored_message(stored);
    const struct resource *r = m ? resource_of_message(m->id) : NULL;
    static const enum media media[] = {MEDIA_JSON, MEDIA_PROTOBUF};
    static const enum object_form forms[] = {FORM_FULL, FORM_METADATA};
    for (size_t i = 0; r && i < 4; i++) {
        struct buf out = {0};
        struct error err = {0};
        if (stored_answer(r, stored, 42, media[i & 1], forms[i >> 1], false, &out, &err) < 0)
            require(err.message[0] != '\0');
        buf_free(&out);
    }
    struct stored_meta meta;
    stored_meta(stored, &meta);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct arena a;
    struct error err = {0};
    void *object, *again;
    arena_init(&a);
    if (envelope_decode(&a, NULL, in, &object, &err) == 0) {
        struct buf first = {0}, second = {0};
        envelope_encode(object, &first);
        require(envelope_decode(&a, NULL, buf_str(&first), &again, NULL) == 0);
        envelope_encode(again, &second);
        require(str_eq(buf_str(&first), buf_str(&second)));
        buf_free(&first);
        buf_free(&second);
    } else {
        require(err.code != 0 && err.message[0]);
    }
    answer_in_every_form(in);
    struct str type, event;
    watch_event_read(in, MEDIA_PROTOBUF, &type, &event, &err);
    watch_event_read(in, MEDIA_JSON, &type, &event, &err);
    arena_free(&a);
    fuzz_input_free(in);
    return 0;
}
