/*
 * Authorization by RBAC: may this user do this?
 *
 * Roles and bindings are compiled into an immutable snapshot, indexed by subject, so that a decision
 * costs a hash look-up per group and a walk over that user's rules. A watch on the four RBAC
 * resources marks the snapshot stale; the next decision rebuilds it from the store. Members of
 * system:masters may do everything.
 *
 * Threads: authz_new and authz_close on the loop given; decisions on any thread.
 */
#ifndef C8S_APISERVER_AUTH_AUTHZ_H
#define C8S_APISERVER_AUTH_AUTHZ_H

#include "apiserver/auth/authn.h"

struct kv;
struct loop;

struct authz_attributes {
    const struct user *user;
    const char *verb;
    bool is_resource;
    const char *group, *resource, *subresource, *ns, *name; /* "" where absent */
    const char *path;                                       /* non-resource requests */
    const char *fields; /* the field selector of a list or watch; NULL: none */
};

/* One rule; NULL-terminated lists. */
struct rbac_rule {
    const char **verbs, **groups, **resources, **names, **urls;
};

struct authz;

/* `nodes`: the Node authorizer (authz_node.h) is asked first. */
struct authz *authz_new(struct kv *kv, struct loop *loop, bool always_allow, bool nodes);
void authz_close(struct authz *z);

/* True: allowed. *reason (may be NULL): why, in the arena: `RBAC: allowed by …` or "". */
bool authz_allowed(struct authz *z, const struct authz_attributes *attr, struct arena *a,
                   const char **reason);

/* Visit the rules that hold for a user in a namespace ("" : cluster-wide ones only), those of a role once; then call
 * `then` (may be NULL), until whose return they are valid. */
typedef void authz_rule_fn(void *ctx, const struct rbac_rule *rule);
typedef void authz_then_fn(void *ctx);
void authz_user_rules(struct authz *z, const struct user *user, const char *ns,
                      authz_rule_fn *visit, authz_then_fn *then, void *ctx);

/*
 * Escalation: does the user hold every permission of `rules` in that namespace? Returns true, or false
 * with all that is missing as text (for the 403): a line each, sorted. A role whose lists multiply to more than can be
 * looked up in a fraction of a second, and that no single rule held allows as a whole, is not held.
 * (authz_escalation.c)
 */
bool authz_covers(struct authz *z, const struct user *user, const char *ns,
                  const struct rbac_rule *rules, size_t rules_len, struct arena *a,
                  const char **missing);
/* The rules of a stored (cluster) role; false when there is no such role. ns NULL: a cluster role. */
bool authz_role_rules(struct authz *z, const char *ns, const char *name, struct arena *a,
                      struct rbac_rule **rules, size_t *rules_len);
/* Rules of a Role or ClusterRole struct (rbac v1), in the arena. */
void rbac_rules_of(struct arena *a, const void *role, struct rbac_rule **rules, size_t *rules_len);

/* A rule's permissions one by one, each as a question (user and namespace are the caller's); "*" is one
 * that only "*" allows. Until a call returns false, which is then the answer. Pure. */
typedef bool permission_fn(void *ctx, const struct authz_attributes *at);
bool rbac_rule_each(const struct rbac_rule *rule, struct authz_attributes *at, permission_fn *visit,
                    void *ctx);
/* Do the rules together allow all that `rule` does? Pure. */
bool rbac_rules_cover(const struct rbac_rule *rules, size_t rules_len,
                      const struct rbac_rule *rule);

/* Does one rule allow it? Pure; for tests and reviews. */
bool rbac_rule_allows(const struct rbac_rule *rule, const struct authz_attributes *attr);

#endif
