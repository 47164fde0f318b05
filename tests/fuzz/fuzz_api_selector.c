/*
 * Label and field selectors: what parses, formats; the formatted text parses and chooses the same objects.
 */
#include "api/selector.h"
#include "proto/core_v1.pb-c.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena a;
    struct error err;
    struct label_selector labels, again;
    struct field_selector fields;
    struct str text = str_make(data, size);
    arena_init(&a);
    Core__V1__Pod *pod = api_new(&a, Core__V1__Pod);
    labels_set(&a, pod->metadata, "app", "web");
    labels_set(&a, pod->metadata, "n", "5");
    if (label_selector_parse(&a, text, &labels, &err) == 0) {
        struct buf printed = {0};
        label_selector_format(&labels, &printed);
        require(label_selector_parse(&a, buf_str(&printed), &again, &err) == 0);
        require(label_selector_matches_meta(&labels, pod->metadata) ==
                label_selector_matches_meta(&again, pod->metadata));
        buf_free(&printed);
    }
    if (field_selector_parse(&a, NULL, text, &fields, &err) == 0)
        field_selector_matches(&fields, pod);
    arena_free(&a);
    return 0;
}
