/*
 * Authentication: see authn.h. Verified service-account tokens are remembered (by hash) until they
 * expire or a minute has passed, so that a signature is checked once a minute and not once a request;
 * the objects a token is bound to are looked up every time.
 */
#include "apiserver/auth/authn.h"
#include "apiserver/auth/authn_stored.h"
#include "base/arena_str.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/vec.h"
#include <openssl/sha.h>
#include <pthread.h>
#include <stdio.h>
#include <yyjson.h>

#define DELETED_LEEWAY_S 60 /* of an object that a token is bound to, as by kube-apiserver */
#define TOKEN_FILE_MAX (1 << 20)
#define CACHE_MAX 4096
#define CACHE_TTL_S 60

struct static_token {
    char *token;
    struct user user;
};

struct cached {
    int64_t until_s;
    char *payload;
    size_t payload_len;
};

struct authn {
    struct authn_config config;
    struct arena memory; /* static tokens */
    VEC(struct static_token) tokens;
    pthread_mutex_t cache_lock;
    struct map cache; /* SHA-256 of the token → struct cached */
};

bool user_in_group(const struct user *u, const char *group)
{
    for (size_t i = 0; i < u->groups_len; i++)
        if (strcmp(u->groups[i], group) == 0)
            return true;
    return false;
}

/* ---- static token file: token,user,uid,"group1,group2" ---- */

static char *csv_field(struct arena *a, char **p)
{
    char *s = *p, *out = arena_alloc(a, strlen(s) + 1), *o = out;
    while (*s == ' ')
        s++;
    if (*s == '"') {
        for (s++; *s && !(*s == '"' && s[1] != '"'); s++) {
            if (*s == '"')
                s++;
            *o++ = *s;
        }
        if (*s == '"')
            s++;
    }
    while (*s && *s != ',')
        *o++ = *s++;
    *o = 0;
    *p = *s == ',' ? s + 1 : NULL;
    return out;
}

static const char **split_groups(struct arena *a, const char *list, const char *extra, size_t *n)
{
    VEC(const char *) v = {0};
    struct str rest = str_from(list), part;
    while (rest.n && str_split(&rest, ',', &part)) {
        part = str_trim(part);
        if (part.n)
            vec_push(&v, arena_strndup(a, part.p, part.n));
    }
    vec_push(&v, extra);
    const char **out = arena_dup(a, v.items, v.len * sizeof *v.items);
    *n = v.len;
    vec_free(&v);
    return out;
}

static int load_tokens(struct authn *a, struct error *err)
{
    struct str rest, line;
    if (file_read(a->config.token_file, TOKEN_FILE_MAX, &a->memory, &rest, err) < 0)
        return error_wrap(err, "--token-auth-file");
    for (int number = 1; rest.n && str_split(&rest, '\n', &line); number++) {
        line = str_trim(line);
        if (!line.n)
            continue;
        char *p = arena_strndup(&a->memory, line.p, line.n), *field[4] = {0};
        for (int i = 0; i < 4 && p; i++)
            field[i] = csv_field(&a->memory, &p);
        if (!field[2] || !*field[0] || !*field[1])
            return error_set(err, ERR_INVALID,
                             "--token-auth-file %s line %d: want token,user,uid[,groups]",
                             a->config.token_file, number);
        struct static_token t = {.token = field[0], .user = {.name = field[1], .uid = field[2]}};
        t.user.groups = split_groups(&a->memory, field[3] ? field[3] : "", "system:authenticated",
                                     &t.user.groups_len);
        vec_push(&a->tokens, t);
    }
    return 0;
}

struct authn *authn_new(const struct authn_config *config, struct error *err)
{
    struct authn *a = mem_zalloc(sizeof *a);
    a->config = *config;
    arena_init(&a->memory);
    map_init(&a->cache);
    pthread_mutex_init(&a->cache_lock, NULL);
    if (config->token_file && load_tokens(a, err) < 0) {
        authn_free(a);
        return NULL;
    }
    return a;
}

static void cached_free(struct cached *c)
{
    if (c)
        mem_free(c->payload);
    mem_free(c);
}

static void cache_clear(struct authn *a)
{
    struct map_iter it = {0};
    while (map_next(&a->cache, &it))
        cached_free(it.value);
    map_clear(&a->cache);
}

void authn_free(struct authn *a)
{
    if (!a)
        return;
    cache_clear(a);
    map_free(&a->cache);
    pthread_mutex_destroy(&a->cache_lock);
    vec_free(&a->tokens);
    arena_free(&a->memory);
    mem_free(a);
}

/* ---- service-account tokens ---- */

/* Payload of a token whose signature is good. */
static int verified_payload(struct authn *a, struct str token, struct arena *arena,
                            struct str *payload, struct error *err)
{
    unsigned char sum[SHA256_DIGEST_LENGTH];
    SHA256((const unsigned char *)token.p, token.n, sum);
    struct str key = str_make(sum, sizeof sum);
    int64_t now = clock_wall_s();
    bool hit = false;
    pthread_mutex_lock(&a->cache_lock);
    struct cached *c = map_get(&a->cache, key);
    if (c && c->until_s > now) {
        *payload = arena_copy(arena, str_make(c->payload, c->payload_len));
        hit = true;
    }
    pthread_mutex_unlock(&a->cache_lock);
    if (hit)
        return 0;
    int rc = jwt_verify(a->config.sa_keys, token, arena, payload, err);
    if (rc < 0)
        return rc;
    c = mem_zalloc(sizeof *c);
    c->until_s = now + CACHE_TTL_S;
    c->payload = mem_strndup(payload->p, payload->n);
    c->payload_len = payload->n;
    pthread_mutex_lock(&a->cache_lock);
    if (a->cache.len >= CACHE_MAX)
        cache_clear(a);
    cached_free(map_put(&a->cache, key, c));
    pthread_mutex_unlock(&a->cache_lock);
    return 0;
}

/* Is the token for this audience? `aud` NULL: it says nothing, and is for the API. */
static bool has_audience(const struct authn *a, yyjson_val *aud, const char *want)
{
    bool found = yyjson_equals_str(aud, want);
    size_t k, max;
    yyjson_val *v;
    if (!aud && !a->config.audiences_len)
        return cstr_eq(want, a->config.sa_issuer);
    for (size_t i = 0; !aud && !found && i < a->config.audiences_len; i++)
        found = strcmp(want, a->config.audiences[i]) == 0;
    if (yyjson_is_arr(aud))
        yyjson_arr_foreach (aud, k, max, v)
            found |= yyjson_equals_str(v, want);
    return found;
}

/* None asked for: the API's. */
static const char *const *audiences_wanted(const struct authn *a, const char *const *asked,
                                           size_t *n)
{
    if (*n)
        return asked;
    *n = a->config.audiences_len ? a->config.audiences_len : 1;
    return a->config.audiences_len ? (const char *const *)a->config.audiences
                                   : (const char *const *)&a->config.sa_issuer;
}

static int check_claims(struct authn *a, yyjson_val *root, const char *const *audiences, size_t n,
                        struct error *err)
{
    int64_t now = clock_wall_s();
    const char *iss = yyjson_get_str(yyjson_obj_get(root, "iss"));
    if (!iss || strcmp(iss, a->config.sa_issuer) != 0)
        return error_set(err, ERR_DENIED, "token of another issuer");
    yyjson_val *exp = yyjson_obj_get(root, "exp"), *nbf = yyjson_obj_get(root, "nbf");
    if (!yyjson_is_num(exp) || yyjson_get_num(exp) <= (double)now)
        return error_set(err, ERR_DENIED, "token has expired");
    if (yyjson_is_num(nbf) && yyjson_get_num(nbf) > (double)now + 60)
        return error_set(err, ERR_DENIED, "token is not valid yet");
    yyjson_val *aud = yyjson_obj_get(root, "aud");
    audiences = audiences_wanted(a, audiences, &n);
    for (size_t i = 0; aud && i < n; i++)
        if (has_audience(a, aud, audiences[i]))
            return 0;
    return error_set(err, ERR_DENIED, "token is for another audience");
}

/* {"name":…,"uid":…} must be what is stored; no object is fine. */
static int check_bound(struct authn *a, yyjson_val *object, const char *resource, const char *ns,
                       struct error *err)
{
    if (!object || !a->config.lookup_uid)
        return 0;
    const char *name = yyjson_get_str(yyjson_obj_get(object, "name"));
    const char *uid = yyjson_get_str(yyjson_obj_get(object, "uid"));
    char stored[64];
    int64_t deleted_s = 0;
    int rc =
        name ? a->config.lookup_uid(a->config.lookup_ctx, resource, ns, name, stored, &deleted_s)
             : 0;
    if (rc < 0)
        return error_set(err, ERR_UNAVAILABLE, "cannot look up %s", resource);
    bool over = deleted_s && deleted_s + DELETED_LEEWAY_S < clock_wall_s();
    if (rc == 0 || over || !uid || strcmp(uid, stored) != 0)
        return error_set(err, ERR_DENIED, "token is bound to %s \"%s\", which is gone", resource,
                         name ? name : "");
    return 0;
}

/* Which of the user's credentials was used. */
#define CREDENTIAL_ID "authentication.kubernetes.io/credential-id"

static void add_extra(struct user *u, struct arena *arena, const char *key, const char *value)
{
    if (!value)
        return;
    const char **values = arena_array(arena, const char *, 1);
    values[0] = arena_strdup(arena, value);
    u->extra[u->extra_len++] = (struct user_extra){key, values, 1};
}

static const struct user *service_account_user(struct arena *arena, const char *ns,
                                               const char *name, const char *uid, yyjson_val *root,
                                               yyjson_val *pod, yyjson_val *node)
{
    struct user *u = arena_new(arena, struct user);
    u->name = arena_printf(arena, "system:serviceaccount:%s:%s", ns, name);
    u->uid = arena_strdup(arena, uid ? uid : "");
    u->groups = arena_array(arena, const char *, 3);
    u->groups[0] = "system:serviceaccounts";
    u->groups[1] = arena_printf(arena, "system:serviceaccounts:%s", ns);
    u->groups[2] = "system:authenticated";
    u->groups_len = 3;
    u->extra = arena_array(arena, struct user_extra, 5);
    const char *jti = yyjson_get_str(yyjson_obj_get(root, "jti"));
    if (jti)
        add_extra(u, arena, CREDENTIAL_ID, arena_printf(arena, "JTI=%s", jti));
    add_extra(u, arena, "authentication.kubernetes.io/node-name",
              yyjson_get_str(yyjson_obj_get(node, "name")));
    add_extra(u, arena, "authentication.kubernetes.io/node-uid",
              yyjson_get_str(yyjson_obj_get(node, "uid")));
    add_extra(u, arena, "authentication.kubernetes.io/pod-name",
              yyjson_get_str(yyjson_obj_get(pod, "name")));
    add_extra(u, arena, "authentication.kubernetes.io/pod-uid",
              yyjson_get_str(yyjson_obj_get(pod, "uid")));
    return u;
}

#define LEGACY_ISSUER "kubernetes/serviceaccount"
#define LEGACY "kubernetes.io/serviceaccount/"

/* A token without expiry that a secret holds: as long as the secret and the account are there. */
static const struct user *legacy_user(struct authn *a, yyjson_val *root, struct str token,
                                      struct arena *arena, struct error *err)
{
    const char *ns = yyjson_get_str(yyjson_obj_get(root, LEGACY "namespace"));
    const char *secret = yyjson_get_str(yyjson_obj_get(root, LEGACY "secret.name"));
    const char *name = yyjson_get_str(yyjson_obj_get(root, LEGACY "service-account.name"));
    const char *uid = yyjson_get_str(yyjson_obj_get(root, LEGACY "service-account.uid"));
    char stored[64];
    int64_t deleted_s = 0;
    if (!ns || !secret || !name || !uid || !a->config.kv) {
        error_set(err, ERR_DENIED, "token names no service account");
        return NULL;
    }
    if (!secret_holds_token(a->config.kv, ns, secret, token)) {
        error_set(err, ERR_DENIED, "token is not in secret %s/%s any more", ns, secret);
        return NULL;
    }
    if (stored_uid(a->config.kv, "serviceaccounts", ns, name, stored, &deleted_s) != 1 ||
        strcmp(stored, uid) != 0) {
        error_set(err, ERR_DENIED, "service account %s/%s is gone", ns, name);
        return NULL;
    }
    return service_account_user(arena, ns, name, uid, root, NULL, NULL);
}

static const struct user *jwt_user(struct authn *a, yyjson_val *root, struct str token,
                                   const char *const *audiences, size_t n, struct arena *arena,
                                   struct error *err)
{
    if (yyjson_equals_str(yyjson_obj_get(root, "iss"), LEGACY_ISSUER))
        return legacy_user(a, root, token, arena, err);
    if (check_claims(a, root, audiences, n, err) < 0)
        return NULL;
    yyjson_val *k = yyjson_obj_get(root, "kubernetes.io");
    const char *ns = yyjson_get_str(yyjson_obj_get(k, "namespace"));
    yyjson_val *sa = yyjson_obj_get(k, "serviceaccount"), *pod = yyjson_obj_get(k, "pod");
    yyjson_val *node = yyjson_obj_get(k, "node");
    const char *name = yyjson_get_str(yyjson_obj_get(sa, "name"));
    if (!ns || !name) {
        error_set(err, ERR_DENIED, "token names no service account");
        return NULL;
    }
    if (check_bound(a, sa, "serviceaccounts", ns, err) < 0 ||
        check_bound(a, pod, "pods", ns, err) < 0 ||
        check_bound(a, yyjson_obj_get(k, "secret"), "secrets", ns, err) < 0 ||
        (!pod && check_bound(a, node, "nodes", "", err) < 0))
        return NULL;
    return service_account_user(arena, ns, name, yyjson_get_str(yyjson_obj_get(sa, "uid")), root,
                                pod, node);
}

static const struct user *static_user(struct authn *a, struct str token)
{
    for (size_t i = 0; i < a->tokens.len; i++)
        if (str_eq_constant_time(str_from(a->tokens.items[i].token), token))
            return &a->tokens.items[i].user;
    return NULL;
}

const struct user *authn_token(struct authn *a, struct str token, const char *const *audiences,
                               size_t audiences_len, struct arena *arena, struct error *err)
{
    const struct user *u = static_user(a, token);
    struct str id, secret;
    if (u)
        return u;
    if (a->config.bootstrap_tokens && bootstrap_token_split(token, &id, &secret))
        return bootstrap_token_user(a->config.kv, id, secret, arena, err);
    if (!a->config.sa_keys) {
        error_set(err, ERR_DENIED, "unknown token");
        return NULL;
    }
    struct str payload;
    if (verified_payload(a, token, arena, &payload, err) < 0)
        return NULL;
    yyjson_doc *doc = yyjson_read(payload.p, payload.n, 0);
    if (!doc) {
        error_set(err, ERR_DENIED, "token payload is not JSON");
        return NULL;
    }
    u = jwt_user(a, yyjson_doc_get_root(doc), token, audiences, audiences_len, arena, err);
    yyjson_doc_free(doc);
    return u;
}

const struct user *authn_review(struct authn *a, struct str token, const char *const *audiences,
                                size_t n, const char ***matched, struct arena *arena,
                                struct error *err)
{
    struct error not_signed;
    struct str payload;
    yyjson_doc *doc = NULL;
    const struct user *u = authn_token(a, token, audiences, n, arena, err);
    size_t found = 0;
    if (!u)
        return NULL;
    audiences = audiences_wanted(a, audiences, &n);
    *matched = arena_array(arena, const char *, n + 1);
    if (a->config.sa_keys && verified_payload(a, token, arena, &payload, &not_signed) == 0)
        doc = yyjson_read(payload.p, payload.n, 0);
    yyjson_val *aud = yyjson_obj_get(yyjson_doc_get_root(doc), "aud");
    for (size_t i = 0; i < n; i++)
        if (audiences[i] && has_audience(a, aud, audiences[i]))
            (*matched)[found++] = audiences[i];
    yyjson_doc_free(doc);
    if (found || !audiences[0]) /* the API has no name */
        return u;
    error_set(err, ERR_DENIED, "%s", ""); /* a token without audiences: nothing is wrong with it */
    return NULL;
}

static const struct user *certificate_user(const struct authn_peer *peer, struct arena *arena,
                                           struct error *err)
{
    if (peer->user_ids_len > 1 || (peer->user_ids_len && !*peer->user_ids[0])) {
        error_set(err, ERR_DENIED, "client certificate: %s",
                  peer->user_ids_len > 1 ? "several UIDs" : "UID cannot be an empty string");
        return NULL;
    }
    struct user *u = arena_new(arena, struct user);
    u->name = arena_strdup(arena, peer->common_name);
    u->uid = peer->user_ids_len ? arena_strdup(arena, peer->user_ids[0]) : "";
    u->groups = arena_array(arena, const char *, peer->organisations_len + 1);
    for (size_t i = 0; i < peer->organisations_len; i++)
        u->groups[i] = arena_strdup(arena, peer->organisations[i]);
    u->groups[peer->organisations_len] = "system:authenticated";
    u->groups_len = peer->organisations_len + 1;
    u->extra = arena_array(arena, struct user_extra, 1);
    add_extra(u, arena, CREDENTIAL_ID,
              arena_printf(arena, "X509SHA256=%s", peer->fingerprint_sha256));
    return u;
}

static const char *anonymous_groups[] = {"system:unauthenticated"};
static const struct user anonymous_user = {
    .name = "system:anonymous", .uid = "", .groups = anonymous_groups, .groups_len = 1};

const struct user *authn_request(struct authn *a, const struct authn_peer *peer,
                                 struct str authorization, struct arena *arena, struct error *err)
{
    if (peer && peer->verified && peer->common_name && *peer->common_name)
        return certificate_user(peer, arena, err);
    struct str rest = str_trim(authorization), scheme;
    if (rest.n) {
        str_split(&rest, ' ', &scheme);
        rest = str_trim(rest);
        if (str_ieq(scheme, STR("Bearer")) && rest.n)
            return authn_token(a, rest, NULL, 0, arena, err);
    }
    if (peer && peer->presented) {
        error_set(err, ERR_DENIED, "client certificate is not of our CA");
        return NULL;
    }
    if (a->config.anonymous)
        return &anonymous_user;
    error_set(err, ERR_DENIED, "no credentials");
    return NULL;
}
