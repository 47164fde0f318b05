/*
 * Clocks. Code that the simulator drives does not call these: it takes the time as a parameter or
 * from struct host (raft/host.h).
 */
#ifndef C8S_BASE_CLOCK_H
#define C8S_BASE_CLOCK_H

#include "base/str.h"
#include <stddef.h>
#include <stdint.h>
#include <stdbool.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

uint64_t clock_mono_ns(void); /* CLOCK_MONOTONIC */
uint64_t clock_boot_ns(void); /* the same, and goes on while the machine is suspended */
int64_t clock_wall_ns(void);  /* since 1970, CLOCK_REALTIME */
int64_t clock_wall_s(void);

#define CLOCK_RFC3339_MAX 40
/* "2026-11-21T08:15:49Z"; with fraction digits 0, 3, 6 or 9: "…49.123456Z". Returns the length. */
size_t clock_format_rfc3339(int64_t seconds, int32_t nanos, int fraction_digits,
                            char out[CLOCK_RFC3339_MAX]);
/* Any RFC 3339 time, offset and fraction included; false on anything else. */
bool clock_parse_rfc3339(const char *s, size_t n, int64_t *seconds, int32_t *nanos);

/* A duration as Go writes it: "1h30m", "-1.5s", "250ms", "10us", "5ns", "0". A number without a
 * unit is refused, except 0. False on anything else, overflow of 64-bit nanoseconds included. */
bool clock_parse_duration(struct str s, int64_t *ns);
#define CLOCK_DURATION_MAX 32
/* Go's canonical form: "1h30m0s", "1.5s", "250ms", "0s". Returns the length. */
size_t clock_format_duration(int64_t ns, char out[CLOCK_DURATION_MAX]);

#endif
