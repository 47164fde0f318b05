/*
 * Quantities: exact amounts of resources (`500m`, `1.5Gi`, `2e3`).
 *
 * A value is a whole number of nano-units in 128 bits, exact; parsing rounds finer fractions up and
 * caps at 2⁶³-1 units, as upstream does. The format (decimal SI, binary SI, exponent) is kept for
 * printing.
 */
#ifndef C8S_API_QUANTITY_H
#define C8S_API_QUANTITY_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

enum quantity_format { QUANTITY_DECIMAL_SI, QUANTITY_BINARY_SI, QUANTITY_DECIMAL_EXPONENT };

struct quantity {
    __int128 nanos; /* value × 10⁹ */
    enum quantity_format format;
};

#define QUANTITY_TEXT_MAX 64

/* ERR_INVALID with upstream's wording on anything else. */
int quantity_parse(struct str text, struct quantity *out, struct error *err);
/* NULL, "" and unparsable text count as 0: for stored objects, which were validated. */
struct quantity quantity_of(const char *text);
struct quantity quantity_from_i64(int64_t value, enum quantity_format format);
struct quantity quantity_from_milli(int64_t milli, enum quantity_format format);
int quantity_cmp(struct quantity a, struct quantity b); /* <0, 0, >0 */
/* The left operand's format is kept (the other's when the left is zero). Results saturate. */
struct quantity quantity_add(struct quantity a, struct quantity b);
struct quantity quantity_sub(struct quantity a, struct quantity b);
/* Whole units or thousandths, rounded up; saturating. */
int64_t quantity_value(struct quantity q);
int64_t quantity_milli(struct quantity q);
struct quantity
quantity_round_up_milli(struct quantity q); /* to whole thousandths, away from zero */
bool quantity_is_zero(struct quantity q);
/* Canonical text: mantissa without fraction, the largest suffix that keeps it exact. Returns the
 * length. */
size_t quantity_format(struct quantity q, char out[QUANTITY_TEXT_MAX]);
char *quantity_text(struct arena *a, struct quantity q);
/* Canonical text of a text ("0.5" → "500m"); NULL when it does not parse. */
char *quantity_canonical(struct arena *a, const char *text);

#endif
