/*
 * The numbers of long records (revisions, version, lease) without their values.
 *
 * A record's checksum covers its value, so that who wants only the revision of a definition of 500 KB would
 * read 500 KB. The head of a long record, which holds its numbers and its checksum, is kept here once the whole
 * was found right; a record whose head is byte for byte the one kept, under the same key and of the same
 * size, has the numbers that were checked. What is in its value now is not known: nobody may use it.
 *
 * Any thread. A fixed number of slots, by key: a key may push out another's head, which is then read in full
 * again.
 */
#ifndef C8S_KVSTORE_RECORD_HEADS_H
#define C8S_KVSTORE_RECORD_HEADS_H

#include "kvstore/record.h"

#define RECORD_HEADS_SLOTS 256
#define RECORD_HEADS_FROM (8 << 10) /* shorter records are quickly read */

struct record_heads;

struct record_heads *record_heads_new(void);
void record_heads_free(struct record_heads *h); /* NULL is fine */
/* As kv_record_read; out->value must not be used, except for its size. `h` NULL: reads in full. */
int record_heads_read(struct record_heads *h, struct str in, struct str key, struct kv_record *out,
                      struct error *err);

#endif
