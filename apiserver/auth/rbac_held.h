/*
 * Rules that somebody holds, filed under every text that they name, so that a permission is looked up among few of
 * them: roles have as many rules as a request's body has room for, and one rule allows the product of its lists.
 *
 *     h = rbac_held_new(); rbac_held_add(h, rule) …; rbac_held_allows(h, &at, &steps); rbac_held_free(h)
 *
 * Rules are kept by pointer and must live as long. Looking up may be done on any thread; nothing changes by it.
 */
#ifndef C8S_APISERVER_AUTH_RBAC_HELD_H
#define C8S_APISERVER_AUTH_RBAC_HELD_H

#include "apiserver/auth/authz.h"

/* TOO_MUCH: the steps given (about one comparison each) were used up before the answer was known. */
enum rbac_answer { RBAC_NO, RBAC_YES, RBAC_TOO_MUCH };

struct rbac_held;

struct rbac_held *rbac_held_new(void);
void rbac_held_add(struct rbac_held *h, const struct rbac_rule *rule);
/* How many texts all rules together name. */
size_t rbac_held_length(const struct rbac_held *h);
void rbac_held_free(struct rbac_held *h); /* NULL is fine */

/* Does one of the rules allow it? `steps` NULL: whatever it takes. */
enum rbac_answer rbac_held_allows(const struct rbac_held *h, const struct authz_attributes *at,
                                  size_t *steps);

/*
 * Do they together allow all that `rule` does? Every permission that is missing is told (with at's user and namespace,
 * its strings the rule's, but for the resource's, which is valid during the call) until a call returns false. Answers
 * YES where one rule allows all without looking at the product of the lists.
 */
enum rbac_answer rbac_held_covers(const struct rbac_held *h, const struct rbac_rule *rule,
                                  struct authz_attributes *at, size_t *steps,
                                  permission_fn *missing, void *ctx);

#endif
