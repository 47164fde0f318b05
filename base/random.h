/*
 * Random numbers: a seeded generator for simulation and jitter, and the kernel's for secrets.
 */
#ifndef C8S_BASE_RANDOM_H
#define C8S_BASE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

struct rng { /* xoshiro256** */
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* uniform in [0, n); n ≥ 1 */

void random_bytes(void *p, size_t n); /* getrandom(2); aborts if the kernel cannot */
uint64_t random_u64(void);
/* n characters from bcdfghjklmnpqrstvwxz2456789 (Kubernetes' safe alphabet for generated names) and
 * a NUL. */
void random_name(char *out, size_t n);
/* "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx" and a NUL. */
void random_uuid(char out[37]);

#endif
