/*
 * etcd's configuration file: values of every form, sections, and what is wrong with a bad one.
 */
#include "apiserver/config_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct values {
    const char *name, *cert, *peer_cert;
    bool auth, peer_auth;
    int64_t heartbeat;
    struct flag_list urls;
    struct arena a;
    struct error err;
};

static int read_text(struct values *v, const char *text)
{
    const struct flag flags[] = {
        {"name", 0, FLAG_STRING, &v->name, NULL, "x"},
        {"cert-file", 0, FLAG_STRING, &v->cert, NULL, "x"},
        {"peer-cert-file", 0, FLAG_STRING, &v->peer_cert, NULL, "x"},
        {"client-cert-auth", 0, FLAG_BOOL, &v->auth, NULL, "x"},
        {"peer-client-cert-auth", 0, FLAG_BOOL, &v->peer_auth, NULL, "x"},
        {"heartbeat-interval", 0, FLAG_MS, &v->heartbeat, NULL, "x"},
        {"listen-client-urls", 0, FLAG_LIST, &v->urls, NULL, "x"},
        {"discovery", 0, FLAG_UNSUPPORTED, NULL, NULL, "there is none"},
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "x", .flags = flags};
    char path[] = "/tmp/c8s-config-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    int rc = config_file_read(path, &spec, &v->a, &v->err);
    unlink(path);
    return rc;
}

static int setup(void **state)
{
    struct values *v = calloc(1, sizeof *v);
    arena_init(&v->a);
    *state = v;
    return 0;
}

static int teardown(void **state)
{
    struct values *v = *state;
    flag_list_free(&v->urls);
    arena_free(&v->a);
    free(v);
    return 0;
}

static void sets_values_of_every_form(void **state)
{
    struct values *v = *state;
    assert_int_equal(read_text(v,
                               "# a comment\n"
                               "name: 'm1'\n"
                               "heartbeat-interval: 250\n"
                               "discovery:\n"
                               "listen-client-urls: https://10.0.0.1:2379,https://127.0.0.1:2379\n"
                               "client-transport-security:\n"
                               "  cert-file: /etc/a.crt\n"
                               "  client-cert-auth: true\n"
                               "peer-transport-security:\n"
                               "  cert-file: /etc/b.crt\n"),
                     0);
    assert_string_equal(v->name, "m1");
    assert_int_equal(v->heartbeat, 250);
    assert_int_equal(v->urls.len, 2);
    assert_string_equal(v->urls.items[1], "https://127.0.0.1:2379");
    assert_string_equal(v->cert, "/etc/a.crt");
    assert_string_equal(v->peer_cert, "/etc/b.crt");
    assert_true(v->auth);
    assert_false(v->peer_auth);
}

static void takes_lists_and_nothing(void **state)
{
    struct values *v = *state;
    assert_int_equal(read_text(v, "listen-client-urls: [http://a:1, http://b:2, http://c:3]\n"), 0);
    assert_int_equal(v->urls.len, 3);
    assert_int_equal(read_text(v, ""), 0);
    assert_int_equal(read_text(v, "client-transport-security:\n"), 0);
}

static void says_what_is_wrong(void **state)
{
    static const struct {
        const char *text, *message;
        int code;
    } cases[] = {
        {"naem: x\n", "naem: unknown key", ERR_NOT_FOUND},
        {"client-transport-security: {cert: x}\n", "client-transport-security.cert: unknown key",
         ERR_NOT_FOUND},
        {"client-transport-security: yes\n", "want a section", ERR_INVALID},
        {"name: {a: b}\n", "name: want a plain value", ERR_INVALID},
        {"heartbeat-interval: soon\n", "heartbeat-interval", ERR_INVALID},
        {"discovery: http://x\n", "there is none", ERR_UNSUPPORTED},
        {"- a\n- b\n", "want one document", ERR_INVALID},
        {"name: [\n", "", ERR_INVALID},
    };
    struct values *v = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_text(v, cases[i].text), cases[i].code);
        assert_non_null(strstr(v->err.message, cases[i].message));
        assert_non_null(strstr(v->err.message, "/tmp/c8s-config-"));
    }
    const struct flag none[] = {FLAGS_END};
    const struct flags_spec spec = {.flags = none};
    assert_int_equal(config_file_read("/nonexistent/x", &spec, &v->a, &v->err), ERR_NOT_FOUND);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {T(sets_values_of_every_form), T(takes_lists_and_nothing),
                                       T(says_what_is_wrong)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
