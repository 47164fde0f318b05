/*
 * Quantities: the canonical text of what is accepted is accepted, canonical, and worth the same.
 */
#include "api/quantity.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    struct quantity q, again;
    char text[QUANTITY_TEXT_MAX], text_again[QUANTITY_TEXT_MAX];
    if (quantity_parse(in, &q, NULL) == 0) {
        size_t n = quantity_format(q, text);
        require(n < sizeof text);
        require(quantity_parse(str_make(text, n), &again, NULL) == 0);
        require(quantity_cmp(q, again) == 0);
        /* Binary amounts that no suffix fits print as plain digits, and those read as decimal: the
         * text settles at the second printing, as upstream's does. */
        n = quantity_format(again, text);
        require(quantity_parse(str_make(text, n), &again, NULL) == 0);
        size_t m = quantity_format(again, text_again);
        require(str_eq(str_make(text, n), str_make(text_again, m)));
        quantity_value(q);
        quantity_milli(q);
    }
    fuzz_input_free(in);
    return 0;
}
