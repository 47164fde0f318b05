/*
 * Node CIDRs: dividing the cluster's pod addresses among nodes (decisions; nodeipam.c writes them).
 */
#ifndef C8S_CONTROLLERS_NODEIPAM_H
#define C8S_CONTROLLERS_NODEIPAM_H

#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>

#define CIDR_TEXT_MAX 32

/* An IPv4 range cut into equal parts. */
struct cidr_pool {
    uint32_t base; /* host order */
    int prefix;    /* of the whole */
    int part_prefix;
    uint32_t parts;
    uint64_t *used; /* bitmap; owned */
    uint32_t next;  /* where to look first */
};

/* "10.244.0.0/16" cut into /24: 256 parts. ERR_INVALID names what is wrong. */
int cidr_pool_init(struct cidr_pool *p, const char *cidr, int part_prefix, struct error *err);
void cidr_pool_free(struct cidr_pool *p);
/* Mark a part as used. False: not a part of this range. */
bool cidr_pool_occupy(struct cidr_pool *p, const char *cidr);
void cidr_pool_release(struct cidr_pool *p, const char *cidr);
/* The next unused part; ERR_LIMIT when all are used. */
int cidr_pool_take(struct cidr_pool *p, char out[CIDR_TEXT_MAX], struct error *err);

#endif
