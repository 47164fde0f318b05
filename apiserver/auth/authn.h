/*
 * Authentication: who sends a request. In kube-apiserver's order: client certificate (common name =
 * user, organisations = groups), bearer token (static token file, then service-account JWT), and
 * anonymous where allowed. A wrong credential (a token, a certificate of another CA) is 401 even where
 * anonymous requests are allowed.
 *
 * Threads: authn_new/free once; authn_request from any thread.
 */
#ifndef C8S_APISERVER_AUTH_AUTHN_H
#define C8S_APISERVER_AUTH_AUTHN_H

#include "net/jwt.h"
#include "base/arena.h"
#include "base/error.h"

struct user_extra {
    const char *key;
    const char **values;
    size_t values_len;
};

struct user {
    const char *name, *uid;
    const char **groups;
    size_t groups_len;
    struct user_extra *extra;
    size_t extra_len;
};

bool user_in_group(const struct user *u, const char *group);

/* The verified identity of a TLS peer, as the transport knows it; NULL fields where there is none. */
struct authn_peer {
    bool presented; /* there is a certificate at all */
    bool verified;
    const char *common_name;
    const char *const *organisations;
    size_t organisations_len;
    const char *const *user_ids; /* at most one is well, and none is empty */
    size_t user_ids_len;
    const char *fingerprint_sha256; /* hex */
};

struct kv;

struct authn_config {
    const char *token_file;   /* CSV: token,user,uid,"group1,group2"; NULL: none */
    struct jwt_keys *sa_keys; /* verification keys; NULL: no service-account tokens. Not owned */
    const char *sa_issuer;
    const char **audiences; /* API audiences; empty: the issuer */
    size_t audiences_len;
    bool anonymous;
    /*
     * The uid of a stored object, into `uid` (64 bytes), and when it is deleted (Unix time; 0: it is not): 1
     * found, 0 not there, negative: cannot say. Bound tokens die with their service account, pod, secret or
     * node, or soon after its time has come if finalizers hold it.
     */
    int (*lookup_uid)(void *ctx, const char *resource, const char *ns, const char *name,
                      char uid[64], int64_t *deleted_s);
    void *lookup_ctx;
    struct kv *kv;         /* for credentials that are objects (authn_stored.h); NULL: none are */
    bool bootstrap_tokens; /* of kube-system's bootstrap-token-… secrets */
};

struct authn;

struct authn *authn_new(const struct authn_config *config, struct error *err);
void authn_free(struct authn *a);

/*
 * The user (in the arena), or NULL with *err: ERR_DENIED "Unauthorized". `authorization` is the header
 * or empty. *err also tells why in its message, for the log; clients learn only the code.
 */
const struct user *authn_request(struct authn *a, const struct authn_peer *peer,
                                 struct str authorization, struct arena *arena, struct error *err);

/* A token on its own. `audiences` empty: the API's; a token that names its own must be for one of them. */
const struct user *authn_token(struct authn *a, struct str token, const char *const *audiences,
                               size_t audiences_len, struct arena *arena, struct error *err);
/* For TokenReview: also a token without audiences, which is for the API, must be for one that is asked for.
 * *matched: those of them that it is for, NULL-terminated. */
const struct user *authn_review(struct authn *a, struct str token, const char *const *audiences,
                                size_t audiences_len, const char ***matched, struct arena *arena,
                                struct error *err);

#endif
