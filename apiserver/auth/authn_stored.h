/*
 * Credentials that are objects of the cluster: bootstrap tokens (secrets bootstrap-token-<id> in
 * kube-system), tokens of secrets of type kubernetes.io/service-account-token, and the uids that bound
 * tokens name. Each is read from the local store when it is used, so deleting the object ends it.
 *
 * Threads: any.
 */
#ifndef C8S_APISERVER_AUTH_AUTHN_STORED_H
#define C8S_APISERVER_AUTH_AUTHN_STORED_H

#include "apiserver/auth/authn.h"

struct kv;

/* "abcdef.0123456789abcdef" in its two parts; false: no bootstrap token. */
bool bootstrap_token_split(struct str token, struct str *id, struct str *secret);
/* A group that a bootstrap token may give: system:bootstrappers:… */
bool bootstrap_group_valid(const char *group);

/* The user of a bootstrap token, or NULL with *err. */
const struct user *bootstrap_token_user(struct kv *kv, struct str id, struct str secret,
                                        struct arena *a, struct error *err);
/* Does the secret still hold this token? */
bool secret_holds_token(struct kv *kv, const char *ns, const char *name, struct str token);
/* authn_config.lookup_uid over the store; ctx is the struct kv. */
int stored_uid(void *kv, const char *resource, const char *ns, const char *name, char uid[64],
               int64_t *deleted_s);

#endif
