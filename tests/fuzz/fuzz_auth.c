/*
 * Tokens of clients, with and without a good signature, and what members keep of users, roles and each other. The
 * first byte chooses which.
 */
#include "base/log.h"
#include "kvstore/auth/auth.h"
#include "kvstore/members/members.h"
#include "net/jwt.h"
#include "tests/fuzz/fuzz.h"
#include <stdio.h>
#include <unistd.h>

static struct auth_tokens *tokens;
static struct jwt_signer *signer;

int LLVMFuzzerInitialize(int *argc, char ***argv);

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    char path[] = "/tmp/fuzz_auth.XXXXXX", spec[128];
    struct error err;
    (void)argc, (void)argv;
    log_set_level(LOG_ERROR);
    int fd = mkstemp(path);
    require(fd >= 0 && write(fd, "0123456789abcdef0123456789abcdef", 32) == 32);
    close(fd);
    snprintf(spec, sizeof spec, "jwt,pub-key=%s,priv-key=%s,sign-method=HS256,ttl=1h", path, path);
    require(auth_tokens_new(spec, 300, &tokens, &err) == 0);
    signer = jwt_signer_load_alg(path, "HS256", &err);
    require(signer != NULL);
    unlink(path);
    return 0;
}

static void token(struct str in)
{
    struct arena a;
    struct kv_auth_info who;
    arena_init(&a);
    require(auth_token_info(tokens, in, 1, &a, &who) < 0); /* nobody guesses a signature */
    arena_free(&a);
}

/* Whoever has the key may still write anything. */
static void claims(struct str in)
{
    struct arena a;
    struct error err;
    struct kv_auth_info who;
    arena_init(&a);
    const char *text = jwt_sign(signer, in, &a, &err);
    if (text && auth_token_info(tokens, str_from(text), 1, &a, &who) == 0)
        require(who.user.p != NULL);
    arena_free(&a);
}

static void user(struct str in)
{
    struct error err = {0};
    struct auth_user *u = auth_user_decode(in, &err), *again;
    if (!u) {
        require(err.message[0] != '\0');
        return;
    }
    struct buf first = {0}, second = {0};
    auth_user_encode(u, &first);
    require((again = auth_user_decode(buf_str(&first), &err)) != NULL);
    auth_user_encode(again, &second);
    require(str_eq(buf_str(&first), buf_str(&second)));
    buf_free(&first);
    buf_free(&second);
    auth_user_free(u);
    auth_user_free(again);
}

static void role(struct str in)
{
    struct error err = {0};
    struct auth_role *r = auth_role_decode(in, &err), *again;
    if (!r) {
        require(err.message[0] != '\0');
        return;
    }
    struct buf first = {0}, second = {0};
    auth_role_encode(r, &first);
    require((again = auth_role_decode(buf_str(&first), &err)) != NULL);
    auth_role_encode(again, &second);
    require(str_eq(buf_str(&first), buf_str(&second)));
    buf_free(&first);
    buf_free(&second);
    auth_role_free(r);
    auth_role_free(again);
}

static void members(struct str in)
{
    struct arena a;
    struct member_records m = {0}, again = {0};
    struct member_answer answer = {0};
    arena_init(&a);
    if (members_decode(in, &a, &m, NULL) == 0) {
        struct buf first = {0}, second = {0};
        members_encode(&m, &first);
        require(members_decode(buf_str(&first), &a, &again, NULL) == 0);
        members_encode(&again, &second);
        require(str_eq(buf_str(&first), buf_str(&second)));
        buf_free(&first);
        buf_free(&second);
    }
    cluster_decode(in, &a, &m, NULL);
    member_answer_decode(in, &a, &answer, NULL);
    member_answer_free(&answer);
    member_records_free(&m);
    member_records_free(&again);
    arena_free(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const what[])(struct str) = {token, claims, user, role, members};
    if (size == 0)
        return 0;
    struct str in = fuzz_input(data + 1, size - 1);
    what[data[0] % ARRAY_LEN(what)](in);
    fuzz_input_free(in);
    return 0;
}
