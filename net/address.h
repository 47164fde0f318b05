/*
 * Addresses as flags and URLs name them: "host:port", "[v6]:port", ":port", "unix:/path".
 */
#ifndef C8S_NET_ADDRESS_H
#define C8S_NET_ADDRESS_H

#include "base/error.h"
#include <stdbool.h>

struct net_address {
    bool is_unix;
    char path[108]; /* is_unix; a leading '@' is not special */
    char host[256]; /* without brackets; "" for ":port" */
    char port[8];   /* decimal, 0 … 65535 */
    bool numeric;   /* host is an IP address */
};

/* ERR_INVALID names what is wrong. */
int net_address_parse(const char *text, struct net_address *out, struct error *err);

#endif
