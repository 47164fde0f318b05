/*
 * Proposing changes of users and roles, and knowing whom a token stands for (kvstore/kv_auth.h).
 */
#include "kvstore/auth/auth.h"
#include "kvstore/store.h"

void kv_auth_change(struct kv *kv, const struct kv_auth_change *change,
                    const struct kv_auth_info *who, struct loop *loop, kv_auth_fn *cb, void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_AUTH, loop, ctx);
    struct proposal q = {.kind = PROPOSAL_AUTH, .auth = *change};
    char prefix[AUTH_TOKEN_PREFIX + 1];
    p->auth_cb = cb;
    proposal_ask(kv, &q, who);
    if (change->op == KV_AUTH_AUTHENTICATE) {
        auth_token_prefix(prefix);
        q.auth.secret = str_from(prefix);
    }
    pending_propose(p, &q);
}

void kv_lease_revoke_as(struct kv *kv, int64_t id, const struct kv_auth_info *who,
                        struct loop *loop, kv_lease_fn *cb, void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_LEASE_REVOKE, loop, ctx);
    struct proposal q = {.kind = PROPOSAL_LEASE_REVOKE, .lease = {id, 0}};
    p->lease_cb = cb;
    p->lease.id = id;
    proposal_ask(kv, &q, who);
    pending_propose(p, &q);
}

int kv_auth_token(struct kv *kv, struct str token, struct arena *a, struct kv_auth_info *out)
{
    return auth_token_info(kv->auth.tokens, token, kv_auth_revision(kv), a, out);
}

uint64_t kv_auth_token_index(struct kv *kv, struct str token)
{
    uint64_t index;
    ptrdiff_t dot = str_find_char(token, '.');
    if (!auth_tokens_simple(kv->auth.tokens) || dot < 0 ||
        !str_to_u64(str_slice(token, (size_t)dot + 1, token.n), &index))
        return 0;
    return index > atomic_load(&kv->applied) ? index : 0;
}

bool kv_auth_tokens_replicated(const struct kv *kv)
{
    return auth_tokens_simple(kv->auth.tokens);
}

int kv_auth_sign(struct kv *kv, struct str user, uint64_t rev, struct arena *a, const char **token,
                 struct error *err)
{
    return auth_token_sign(kv->auth.tokens, user, rev, a, token, err);
}
