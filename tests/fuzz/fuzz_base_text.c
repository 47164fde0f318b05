/*
 * Decoders of base/: text encodings, times, durations, command-line values. Beside not crashing,
 * what they accept must survive encoding again.
 */
#include "base/clock.h"
#include "base/encode.h"
#include "tests/fuzz/fuzz.h"

static void base64_round_trip(struct str in)
{
    struct buf plain = {0}, text = {0}, again = {0};
    if (base64_decode(&plain, in)) {
        base64_encode(&text, buf_str(&plain));
        require(base64_decode(&again, buf_str(&text)));
        require(str_eq(buf_str(&plain), buf_str(&again)));
    }
    buf_free(&plain);
    buf_free(&text);
    buf_free(&again);
}

static void percent_round_trip(struct str in)
{
    struct buf plain = {0}, text = {0}, again = {0};
    if (percent_decode(&plain, in, false)) {
        percent_encode(&text, buf_str(&plain));
        require(percent_decode(&again, buf_str(&text), false));
        require(str_eq(buf_str(&plain), buf_str(&again)));
    }
    buf_free(&plain);
    buf_free(&text);
    buf_free(&again);
}

static void time_round_trip(struct str in)
{
    int64_t seconds, seconds_again;
    int32_t nanos, nanos_again;
    char text[CLOCK_RFC3339_MAX];
    if (!clock_parse_rfc3339(in.p, in.n, &seconds, &nanos))
        return;
    /* An offset can lead out of the years that have four digits. */
    if (seconds < -62135596800ll || seconds > 253402300799ll)
        return;
    size_t n = clock_format_rfc3339(seconds, nanos, 9, text);
    require(clock_parse_rfc3339(text, n, &seconds_again, &nanos_again));
    require(seconds == seconds_again && nanos == nanos_again);
}

static void duration_round_trip(struct str in)
{
    int64_t ns, again;
    char text[CLOCK_DURATION_MAX];
    if (!clock_parse_duration(in, &ns))
        return;
    size_t n = clock_format_duration(ns, text);
    require(clock_parse_duration(str_make(text, n), &again) && ns == again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str in = fuzz_input(data, size);
    base64_round_trip(in);
    percent_round_trip(in);
    time_round_trip(in);
    duration_round_trip(in);
    struct buf json = {0};
    buf_append_json_string(&json, in);
    require(utf8_valid(in) == utf8_valid(buf_str(&json)));
    require(crc32c(0, in.p, in.n) == crc32c_table(0, in.p, in.n));
    buf_free(&json);
    fuzz_input_free(in);
    return 0;
}
