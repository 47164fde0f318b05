/* Tokens and users: signing and checking JWTs, the static token file, certificates, anonymous. */
#include "apiserver/auth/authn.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    char dir[64];
    struct arena a;
};

static const char *path(struct fixture *f, const char *name)
{
    return arena_printf(&f->a, "%s/%s", f->dir, name);
}

static void write_key(const char *file, const char *type)
{
    EVP_PKEY *key = strcmp(type, "rsa") == 0 ? EVP_RSA_gen(2048) : EVP_EC_gen(type);
    FILE *out = fopen(file, "w");
    assert_non_null(key);
    assert_int_equal(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(out);
    EVP_PKEY_free(key);
}

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof *f);
    arena_init(&f->a);
    strcpy(f->dir, "/tmp/c8s-authn-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    const char *files[] = {"rsa.key", "p256.key", "p384.key", "tokens", "bad"};
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        unlink(path(f, files[i]));
    rmdir(f->dir);
    arena_free(&f->a);
    mem_free(f);
    return 0;
}

static void every_key_type_signs_and_verifies(void **state)
{
    struct fixture *f = *state;
    const char *types[][2] = {{"rsa", "rsa.key"}, {"P-256", "p256.key"}, {"P-384", "p384.key"}};
    struct jwt_keys *all = jwt_keys_new();
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        write_key(path(f, types[i][1]), types[i][0]);
        assert_int_equal(jwt_keys_load(all, path(f, types[i][1]), NULL), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        struct error err = {0};
        struct jwt_signer *s = jwt_signer_load(path(f, types[i][1]), &err);
        char *token = jwt_sign(s, STR("{\"sub\":\"x\"}"), &f->a, &err);
        struct str payload;
        assert_int_equal(jwt_verify(all, str_from(token), &f->a, &payload, &err), 0);
        assert_true(str_eqz(payload, "{\"sub\":\"x\"}"));
        for (size_t k = 0; k < strlen(token); k += 7) { /* any changed character spoils it */
            char *changed = arena_strdup(&f->a, token);
            changed[k] = changed[k] == 'A' ? 'E' : 'A';
            assert_int_equal(jwt_verify(all, str_from(changed), &f->a, &payload, &err), ERR_DENIED);
        }
        struct jwt_keys *others = jwt_keys_new();
        assert_int_equal(jwt_keys_load(others, path(f, types[(i + 1) % 3][1]), NULL), 0);
        assert_int_equal(jwt_verify(others, str_from(token), &f->a, &payload, &err), ERR_DENIED);
        jwt_keys_free(others);
        jwt_signer_free(s);
    }
    struct buf b;
    buf_init(&b);
    jwt_keys_jwks(all, &b);
    assert_non_null(strstr(buf_cstr(&b), "\"crv\":\"P-384\""));
    buf_free(&b);
    jwt_keys_free(all);
}

static void malformed_tokens(void **state)
{
    struct fixture *f = *state;
    struct jwt_keys *keys = jwt_keys_new();
    assert_int_equal(jwt_keys_load(keys, path(f, "rsa.key"), NULL), 0);
    /* The third is {"alg":"none"}. */
    const char *bad[] = {"",        "a",  "eyJhbGciOiJub25lIn0.e30.",   "a.b",
                         "a.b.c.d", "..", "eyJhbGciOiJSUzI1NiJ9.e30.AA"};
    struct str payload;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_int_equal(jwt_verify(keys, str_from(bad[i]), &f->a, &payload, NULL), ERR_DENIED);
    jwt_keys_free(keys);
    struct error err = {0};
    assert_null(jwt_signer_load(path(f, "none"), &err));
    assert_int_equal(err.code, ERR_IO);
}

static char *token_with(struct fixture *f, struct jwt_signer *s, const char *iss, const char *aud,
                        int64_t exp)
{
    const char *claims =
        arena_printf(&f->a,
                     "{\"iss\":\"%s\",\"aud\":[\"%s\"],\"exp\":%lld,\"kubernetes.io\":{"
                     "\"namespace\":\"ns\",\"serviceaccount\":"
                     "{\"name\":\"sa\",\"uid\":\"u1\"},\"pod\":{\"name\":\"p\",\"uid\":\"u2\"}}}",
                     iss, aud, (long long)exp);
    return jwt_sign(s, str_from(claims), &f->a, NULL);
}

static bool pod_is_gone;
static int64_t pod_deleted_s;

static int lookup(void *ctx, const char *resource, const char *ns, const char *name, char uid[64],
                  int64_t *deleted_s)
{
    (void)ctx;
    (void)name;
    *deleted_s = strcmp(resource, "pods") == 0 ? pod_deleted_s : 0;
    assert_string_equal(ns, "ns");
    if (strcmp(resource, "pods") == 0 && pod_is_gone)
        return 0;
    strcpy(uid, strcmp(resource, "pods") == 0 ? "u2" : "u1");
    return 1;
}

static void service_account_tokens(void **state)
{
    struct fixture *f = *state;
    struct jwt_keys *keys = jwt_keys_new();
    assert_int_equal(jwt_keys_load(keys, path(f, "p256.key"), NULL), 0);
    struct jwt_signer *s = jwt_signer_load(path(f, "p256.key"), NULL);
    struct authn_config c = {.sa_keys = keys, .sa_issuer = "iss", .lookup_uid = lookup};
    struct error err = {0};
    struct authn *a = authn_new(&c, &err);
    int64_t later = clock_wall_s() + 100;
    char *good = token_with(f, s, "iss", "iss", later);
    const struct user *u = authn_token(a, str_from(good), NULL, 0, &f->a, &err);
    assert_non_null(u);
    assert_string_equal(u->name, "system:serviceaccount:ns:sa");
    assert_string_equal(u->uid, "u1");
    assert_true(user_in_group(u, "system:serviceaccounts:ns"));
    assert_true(user_in_group(u, "system:authenticated"));
    assert_null(
        authn_token(a, str_from(token_with(f, s, "other", "iss", later)), NULL, 0, &f->a, &err));
    assert_null(
        authn_token(a, str_from(token_with(f, s, "iss", "else", later)), NULL, 0, &f->a, &err));
    assert_null(authn_token(a, str_from(token_with(f, s, "iss", "iss", later - 200)), NULL, 0,
                            &f->a, &err));
    const char *wanted[] = {"else"};
    assert_non_null(
        authn_token(a, str_from(token_with(f, s, "iss", "else", later)), wanted, 1, &f->a, &err));
    pod_is_gone = true; /* remembered tokens are still looked up */
    assert_null(authn_token(a, str_from(good), NULL, 0, &f->a, &err));
    pod_is_gone = false;
    /* While it ends it keeps its token; not long after, though finalizers hold it. */
    pod_deleted_s = clock_wall_s() - 30;
    assert_non_null(authn_token(a, str_from(good), NULL, 0, &f->a, &err));
    pod_deleted_s = clock_wall_s() - 90;
    assert_null(authn_token(a, str_from(good), NULL, 0, &f->a, &err));
    pod_deleted_s = 0;
    authn_free(a);
    jwt_signer_free(s);
    jwt_keys_free(keys);
}

static void write_file(const char *file, const char *text)
{
    FILE *out = fopen(file, "w");
    fputs(text, out);
    fclose(out);
}

static void certificates_files_and_anonymous(void **state)
{
    struct fixture *f = *state;
    struct error err = {0};
    write_file(path(f, "tokens"), "t1,carol,u1,\"dev,ops\"\n\nt2,dave,u2\n");
    struct authn *a =
        authn_new(&(struct authn_config){.token_file = path(f, "tokens"), .anonymous = true}, &err);
    const char *organisations[] = {"system:masters"};
    const char *ids[] = {"u-7", ""};
    struct authn_peer peer = {.presented = true,
                              .verified = true,
                              .common_name = "admin",
                              .organisations = organisations,
                              .organisations_len = 1,
                              .fingerprint_sha256 = "00ff"},
                      unknown = peer, identified = peer, ambiguous = peer, nameless = peer;
    unknown.verified = false;
    identified.user_ids = ambiguous.user_ids = ids;
    identified.user_ids_len = 1;
    ambiguous.user_ids_len = 2;
    nameless.user_ids = ids + 1;
    nameless.user_ids_len = 1;
    const struct user *u = authn_request(a, &peer, STR(""), &f->a, &err);
    assert_string_equal(u->name, "admin");
    assert_true(user_in_group(u, "system:masters"));
    assert_string_equal(u->uid, "");
    assert_int_equal(u->extra_len, 1);
    assert_string_equal(u->extra[0].key, "authentication.kubernetes.io/credential-id");
    assert_string_equal(u->extra[0].values[0], "X509SHA256=00ff");
    assert_string_equal(authn_request(a, &identified, STR(""), &f->a, &err)->uid, "u-7");
    assert_null(authn_request(a, &ambiguous, STR(""), &f->a, &err));
    assert_null(authn_request(a, &nameless, STR(""), &f->a, &err));
    assert_null(authn_request(a, &unknown, STR(""), &f->a, &err));
    assert_int_equal(err.code, ERR_DENIED);
    u = authn_request(a, NULL, STR(""), &f->a, &err);
    assert_string_equal(u->name, "system:anonymous");
    u = authn_request(a, NULL, STR("Bearer t1"), &f->a, &err);
    assert_string_equal(u->name, "carol");
    assert_true(user_in_group(u, "ops"));
    assert_string_equal(authn_request(a, NULL, STR("bearer  t2"), &f->a, &err)->name, "dave");
    assert_null(authn_request(a, NULL, STR("Bearer nope"), &f->a, &err));
    assert_int_equal(err.code, ERR_DENIED);
    authn_free(a);
    a = authn_new(&(struct authn_config){.anonymous = false}, &err);
    assert_null(authn_request(a, NULL, STR(""), &f->a, &err));
    authn_free(a);
    write_file(path(f, "bad"), "only-a-token\n");
    assert_null(authn_new(&(struct authn_config){.token_file = path(f, "bad")}, &err));
    assert_non_null(strstr(err.message, "line 1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_type_signs_and_verifies),
        cmocka_unit_test(malformed_tokens),
        cmocka_unit_test(service_account_tokens),
        cmocka_unit_test(certificates_files_and_anonymous),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
