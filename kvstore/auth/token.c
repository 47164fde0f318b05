/*
 * Tokens: what a client shows instead of its password (kvstore/auth/auth.h).
 *
 * A simple token is sixteen random letters, a dot, and the index of the log entry that made it. Every member
 * makes it when it applies that entry and keeps it in memory for a while after its last use there; a
 * restart forgets it. A JSON web token needs no memory: it names the user and the auth revision, signed.
 */
#include "kvstore/auth/auth.h"
#include "base/arena_str.h"
#include "base/clock.h"
#include "base/heap.h"
#include "base/log.h"
#include "base/random.h"
#include "net/jwt.h"
#include <time.h>
#include <yyjson.h>

#define TTL_DEFAULT_S 300
#define TOKENS_MAX 1000000 /* the oldest goes first */

struct token {
    struct heap_item by_end; /* clock_mono_ns */
    struct str user;         /* behind the struct, with a NUL */
    char *text;              /* behind the user */
};

struct auth_tokens {
    enum { TOKENS_NONE, TOKENS_SIMPLE, TOKENS_JWT } kind;
    uint64_t ttl_ns;
    pthread_mutex_t lock;
    struct map all; /* text → struct token */
    struct heap ends;
    struct jwt_keys *keys;
    struct jwt_signer *signer; /* NULL: only a public key */
    char *alg;
};

/* ---- what kind, out of --auth-token ---- */

struct jwt_spec {
    char *pub, *priv, *method;
    uint64_t ttl_ns;
};

static int spec_pair(struct jwt_spec *j, struct str name, struct str value, struct error *err)
{
    char *text = mem_strndup(value.p, value.n);
    char **to = str_eqz(name, "pub-key")       ? &j->pub
                : str_eqz(name, "priv-key")    ? &j->priv
                : str_eqz(name, "sign-method") ? &j->method
                                               : NULL;
    int rc = 0;
    int64_t ns;
    if (to && *to) {
        rc = error_set(err, ERR_INVALID, "%.*s is given twice", STR_ARG(name));
    } else if (to) {
        *to = text;
        return 0;
    } else if (!str_eqz(name, "ttl")) {
        log_warn("auth", "unknown option of JSON web tokens option=%.*s", STR_ARG(name));
    } else if (!clock_parse_duration(value, &ns) || ns <= 0) {
        rc = error_set(err, ERR_INVALID, "ttl \"%s\" is not a duration", text);
    } else {
        j->ttl_ns = (uint64_t)ns;
    }
    mem_free(text);
    return rc;
}

static int spec_parse(struct str options, struct jwt_spec *j, struct error *err)
{
    struct str part;
    int rc = 0;
    j->ttl_ns = TTL_DEFAULT_S * NS_PER_S;
    while (rc == 0 && str_split(&options, ',', &part)) {
        ptrdiff_t eq = str_find_char(part, '=');
        if (eq < 0)
            return error_set(err, ERR_INVALID, "\"%.*s\" is not NAME=VALUE", STR_ARG(part));
        rc = spec_pair(j, str_slice(part, 0, (size_t)eq), str_slice(part, (size_t)eq + 1, part.n),
                       err);
    }
    return rc;
}

static int open_keys(struct auth_tokens *t, const struct jwt_spec *j, struct error *err)
{
    bool secret = t->alg[0] == 'H'; /* the private key's bytes serve for both */
    const char *verify = secret || !j->pub ? j->priv : j->pub;
    if (!verify)
        return error_set(err, ERR_INVALID, "missing key data");
    t->keys = jwt_keys_new();
    int rc = jwt_keys_load_alg(t->keys, verify, t->alg, err);
    if (rc < 0 || !j->priv)
        return rc;
    t->signer = jwt_signer_load_alg(j->priv, t->alg, err);
    if (!t->signer)
        return ERR_INVALID;
    if (!secret && !jwt_signer_matches(t->signer, t->keys))
        return error_set(err, ERR_INVALID, "public and private keys don't match");
    return 0;
}

static int open_jwt(struct auth_tokens *t, struct str options, struct error *err)
{
    struct jwt_spec j = {0};
    t->kind = TOKENS_JWT;
    int rc = spec_parse(options, &j, err);
    if (rc == 0 && (!j.method || !jwt_alg_known(j.method)))
        rc = error_set(err, ERR_INVALID, "sign-method \"%s\" is not known",
                       j.method ? j.method : "");
    if (rc == 0) {
        t->alg = mem_strdup(j.method);
        t->ttl_ns = j.ttl_ns;
        rc = open_keys(t, &j, err);
    }
    mem_free(j.pub);
    mem_free(j.priv);
    mem_free(j.method);
    return rc;
}

int auth_tokens_new(const char *spec, uint32_t ttl_s, struct auth_tokens **out, struct error *err)
{
    struct auth_tokens *t = mem_zalloc(sizeof *t);
    struct str rest = str_from(spec), kind = STR_NONE;
    int rc = 0;
    pthread_mutex_init(&t->lock, NULL);
    map_init(&t->all);
    heap_init(&t->ends);
    *out = t;
    t->ttl_ns = (ttl_s ? ttl_s : TTL_DEFAULT_S) * NS_PER_S;
    str_split(&rest, ',', &kind);
    if (str_eqz(kind, "simple"))
        t->kind = TOKENS_SIMPLE;
    else if (str_eqz(kind, "jwt"))
        rc = open_jwt(t, rest, err);
    else if (kind.n)
        rc = error_set(err, ERR_INVALID, "\"%.*s\" is no type of token (simple, jwt)",
                       STR_ARG(kind));
    return rc < 0 ? error_wrap(err, "--auth-token") : 0;
}

static void token_drop(struct auth_tokens *t, struct token *k)
{
    map_remove(&t->all, str_from(k->text));
    heap_remove(&t->ends, &k->by_end);
    mem_free(k);
}

void auth_tokens_free(struct auth_tokens *t)
{
    if (!t)
        return;
    auth_token_drop_all(t);
    map_free(&t->all);
    heap_free(&t->ends);
    pthread_mutex_destroy(&t->lock);
    jwt_keys_free(t->keys);
    jwt_signer_free(t->signer);
    mem_free(t->alg);
    mem_free(t);
}

bool auth_tokens_simple(const struct auth_tokens *t)
{
    return t->kind == TOKENS_SIMPLE;
}

/* ---- simple tokens ---- */

void auth_token_prefix(char out[AUTH_TOKEN_PREFIX + 1])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    for (int i = 0; i < AUTH_TOKEN_PREFIX;) {
        unsigned char c;
        random_bytes(&c, 1);
        if (c < 4 * 52) /* else the first letters would come more often */
            out[i++] = letters[c % 52];
    }
    out[AUTH_TOKEN_PREFIX] = 0;
}

static void drop_ended(struct auth_tokens *t, uint64_t now)
{
    struct heap_item *first;
    while ((first = heap_peek(&t->ends)) && (first->key <= now || t->all.len > TOKENS_MAX))
        token_drop(t, container_of(first, struct token, by_end));
}

void auth_token_add(struct auth_tokens *t, struct str user, struct str text)
{
    if (t->kind != TOKENS_SIMPLE)
        return;
    struct token *k = mem_zalloc(sizeof *k + user.n + 1 + text.n + 1);
    char *p = (char *)(k + 1);
    memcpy(p, user.p, user.n);
    k->user = str_make(p, user.n);
    k->text = p + user.n + 1;
    memcpy(k->text, text.p, text.n);
    uint64_t now = clock_mono_ns();
    pthread_mutex_lock(&t->lock);
    struct token *old = map_get(&t->all, text); /* an entry applied again after a restart */
    if (old)
        token_drop(t, old);
    map_put(&t->all, text, k);
    heap_insert(&t->ends, &k->by_end, now + t->ttl_ns);
    drop_ended(t, now);
    pthread_mutex_unlock(&t->lock);
}

void auth_token_drop_user(struct auth_tokens *t, struct str user)
{
    struct map_iter it = {0};
    pthread_mutex_lock(&t->lock);
    while (map_next(&t->all, &it)) {
        struct token *k = it.value;
        if (str_eq(k->user, user))
            token_drop(t, k);
    }
    pthread_mutex_unlock(&t->lock);
}

void auth_token_drop_all(struct auth_tokens *t)
{
    struct heap_item *first;
    pthread_mutex_lock(&t->lock);
    while ((first = heap_peek(&t->ends)))
        token_drop(t, container_of(first, struct token, by_end));
    pthread_mutex_unlock(&t->lock);
}

static int simple_info(struct auth_tokens *t, struct str text, uint64_t rev, struct arena *a,
                       struct kv_auth_info *out)
{
    uint64_t now = clock_mono_ns();
    pthread_mutex_lock(&t->lock);
    drop_ended(t, now);
    struct token *k = map_get(&t->all, text);
    if (k) {
        heap_remove(&t->ends, &k->by_end);
        heap_insert(&t->ends, &k->by_end, now + t->ttl_ns);
        *out = (struct kv_auth_info){arena_copy(a, k->user), rev};
    }
    pthread_mutex_unlock(&t->lock);
    return k ? 0 : KV_ERR_AUTH_TOKEN;
}

/* ---- JSON web tokens ---- */

static int jwt_info(struct auth_tokens *t, struct str text, struct arena *a,
                    struct kv_auth_info *out)
{
    struct str payload;
    struct error err;
    if (jwt_verify_alg(t->keys, t->alg, text, a, &payload, &err) < 0) {
        log_warn("auth", "a JSON web token was refused error=\"%s\"", err.message);
        return KV_ERR_AUTH_TOKEN;
    }
    yyjson_doc *doc = yyjson_read(payload.p, payload.n, 0);
    yyjson_val *root = yyjson_doc_get_root(doc);
    yyjson_val *user = yyjson_obj_get(root, "username"), *rev = yyjson_obj_get(root, "revision");
    yyjson_val *end = yyjson_obj_get(root, "exp"), *begin = yyjson_obj_get(root, "nbf");
    double now = (double)time(NULL);
    bool ok = yyjson_is_str(user) && yyjson_is_num(rev) && yyjson_get_num(rev) >= 0 &&
              yyjson_get_num(rev) < (double)INT64_MAX &&
              (!end || (yyjson_is_num(end) && now < yyjson_get_num(end))) &&
              (!begin || (yyjson_is_num(begin) && now >= yyjson_get_num(begin)));
    if (ok) {
        size_t n = yyjson_get_len(user);
        *out = (struct kv_auth_info){arena_copy(a, str_make(yyjson_get_str(user), n)),
                                     (uint64_t)yyjson_get_num(rev)};
    }
    yyjson_doc_free(doc);
    return ok ? 0 : KV_ERR_AUTH_TOKEN;
}

int auth_token_sign(struct auth_tokens *t, struct str user, uint64_t rev, struct arena *a,
                    const char **token, struct error *err)
{
    struct buf b;
    if (!t->signer)
        return error_set(err, KV_ERR_AUTH_VERIFY_ONLY, "%s",
                         kv_auth_message(KV_ERR_AUTH_VERIFY_ONLY));
    buf_init(&b);
    buf_printf(&b, "{\"exp\":%lld,\"revision\":%llu,\"username\":",
               (long long)time(NULL) + (long long)(t->ttl_ns / NS_PER_S), (unsigned long long)rev);
    buf_append_json_string(&b, user);
    buf_append_char(&b, '}');
    *token = jwt_sign(t->signer, buf_str(&b), a, err);
    buf_free(&b);
    return *token ? 0 : ERR_INTERNAL;
}

int auth_token_info(struct auth_tokens *t, struct str token, uint64_t rev, struct arena *a,
                    struct kv_auth_info *out)
{
    switch (t->kind) {
    case TOKENS_SIMPLE:
        return simple_info(t, token, rev, a, out);
    case TOKENS_JWT:
        return jwt_info(t, token, a, out);
    default:
        return KV_ERR_AUTH_TOKEN;
    }
}
