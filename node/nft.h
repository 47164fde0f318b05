/*
 * Packet rules: one transaction of nftables commands through libnftables, in the network namespace
 * of the process. All of the text takes effect at once or none of it.
 */
#ifndef C8S_NODE_NFT_H
#define C8S_NODE_NFT_H

#include "base/error.h"
#include "base/str.h"

/* Any thread; one transaction at a time. The message is nftables' own, with the offending line. */
int nft_apply(struct str commands, struct error *err);

#endif
