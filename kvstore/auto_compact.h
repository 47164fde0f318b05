/*
 * Compaction by itself, as etcd's --auto-compaction-mode and --auto-compaction-retention say. While this member leads:
 *
 *     periodic   the history of the last `retention` is kept. The revision is noted ten times per retention (or hour,
 *                if that is shorter), and the one noted a retention ago is compacted at, once per retention (or hour).
 *     revision   the last so many revisions are kept; looked at every five minutes.
 */
#ifndef C8S_KVSTORE_AUTO_COMPACT_H
#define C8S_KVSTORE_AUTO_COMPACT_H

#include "kvstore/kv.h"

struct auto_compact;

/* By kv's options; NULL: it is off. */
struct auto_compact *auto_compact_new(struct kv *kv);
/* Once nothing proposed is under way any more. */
void auto_compact_free(struct auto_compact *a);
/* House thread, often. `a` may be NULL. */
void auto_compact_step(struct auto_compact *a, uint64_t now_ns);

#endif
