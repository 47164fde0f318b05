/*
 * Continue tokens of paged lists: the revision the first page was read at and the key to go on from,
 * in upstream's form (base64url of {"v":"meta.k8s.io/v1","rv":N,"start":"ns/name\0"}), so that a token
 * names a consistent snapshot until its revision is compacted.
 */
#ifndef C8S_APISERVER_REST_CONTINUE_TOKEN_H
#define C8S_APISERVER_REST_CONTINUE_TOKEN_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/* Go on from here at whatever revision is the newest: the rest of a list whose revision is gone. */
#define CONTINUE_NEWEST (-1)

struct continue_token {
    int64_t revision;  /* or CONTINUE_NEWEST */
    struct str start;  /* the key after the resource's prefix */
    int64_t remaining; /* keys from `start` on, counted once per list; -1: not counted */
};

/* NUL-terminated, in the arena. */
char *continue_token_make(struct arena *a, const struct continue_token *token);
/* ERR_INVALID: "continue key is not valid: …". */
int continue_token_parse(struct arena *a, const char *text, struct continue_token *out,
                         struct error *err);

#endif
