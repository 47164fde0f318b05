/*
 * Authentication by a front proxy: who holds a certificate of --requestheader-client-ca-file (and a
 * name that is allowed) says in headers for whom it asks. It comes before every other way.
 */
#ifndef C8S_APISERVER_AUTH_AUTHN_FRONT_H
#define C8S_APISERVER_AUTH_AUTHN_FRONT_H

#include "apiserver/auth/authn.h"
#include "net/http.h"

/* The --requestheader-… flags; lists end with NULL, or are NULL. Names of headers in any case. */
struct front_proxy_config {
    const char *ca_file;              /* NULL: there is no front proxy */
    const char *const *allowed_names; /* empty: any */
    const char *const *username_headers, *const *uid_headers, *const *group_headers;
    const char *const *extra_prefixes;
};

/* The user that the proxy names, in the arena; NULL: the request is not from a front proxy, or names
 * none. Any thread. */
const struct user *front_proxy_user(const struct front_proxy_config *c,
                                    const struct http_exchange *x, struct arena *arena);

/* Leave out the headers by which a front proxy names a user, the usual ones and those of the flags: what a request is
 * passed on with says nothing of users. The arena takes the list of those that are left. */
void front_proxy_forget(const struct front_proxy_config *c, struct http_exchange *x,
                        struct arena *arena);

/* A key of "extra" as it stands in a header's name: lower case, percent-decoded. */
const char *extra_key_decoded(struct arena *a, struct str raw);
/* One more value of a key of "extra", which has room for as many keys, and values of each, as `max`. */
void user_add_extra(struct user *u, struct arena *a, const char *key, const char *value,
                    size_t max);
/* A user who is somebody is in system:authenticated; `groups` has room for one more. */
void user_add_authenticated(struct user *u);

#endif
