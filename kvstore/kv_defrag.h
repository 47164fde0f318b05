/*
 * Giving unused space of the store's file back to the disk, while it is in use. Part of kvstore/kv.h's interface.
 */
#ifndef C8S_KVSTORE_KV_DEFRAG_H
#define C8S_KVSTORE_KV_DEFRAG_H

#include "kvstore/kv.h"
#include "raft/log.h"

/*
 * Blocks, for as long as copying all that is in use takes; reads and writes go on, writes stand still only for
 * out->stopped_ns. Not on a loop's thread. Codes: logdb_defrag's (raft/log.h).
 */
int kv_defragment(struct kv *kv, const atomic_bool *stop, struct logdb_defrag_info *out,
                  struct error *err);

#endif
