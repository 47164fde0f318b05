/*
 * Continue tokens of paged lists: the revision the first page was read at and the key to go on from,
 * in upstream's form (base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\0"}), so that a token
 * names a consistent snapshot until its revision is compacted.
 */
#ifndef C8S_APISERVER_CONTINUE_TOKEN_H
#define C8S_APISERVER_CONTINUE_TOKEN_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* `start`: the key after the resource's prefix. NUL-terminated, in the arena. */
char *continue_token_make(struct arena *a, int64_t revision, struct str start);
/* ERR_INVALID: "continue key is not valid: …". */
int continue_token_parse(struct arena *a, const char *token, int64_t *revision, struct str *start,
                         struct error *err);

#endif
