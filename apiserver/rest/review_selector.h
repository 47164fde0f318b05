/*
 * The selectors of an access review as authorizers see them. What cannot be read, or is an operator of later versions,
 * is left out of the question, which only makes it wider, and the answer says so.
 */
#ifndef C8S_APISERVER_REST_REVIEW_SELECTOR_H
#define C8S_APISERVER_REST_REVIEW_SELECTOR_H

#include "base/arena.h"
#include "proto/authorization_v1.pb-c.h"

/* The field selector as text, as the query of a list has it; NULL: none. *ignored: what was left out, in the arena, or
 * "": the answer's evaluationError. The attributes have been validated. */
const char *review_field_selector(struct arena *a, const Authorization__V1__ResourceAttributes *at,
                                  const char **ignored);

#endif
