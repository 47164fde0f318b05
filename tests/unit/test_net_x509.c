/*
 * Certificates that are not as one would like them: encrypted, damaged, with long names; and files left over.
 */
#include "base/mem.h"
#include "net/tls.h"
#include "net/x509.h"

#include <poll.h>
#include <pty.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define ENCRYPTED(type)                                          \
    "-----BEGIN " type "-----\nProc-Type: 4,ENCRYPTED\n"         \
    "DEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n" \
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n-----END " type "-----\n"
#define DAMAGED "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"

static struct x509_pair make_ca(const char *name)
{
    struct x509_pair ca;
    struct error err = {0};
    assert_int_equal(x509_ca_new(&(struct x509_spec){.common_name = name}, &ca, &err), 0);
    return ca;
}

/* 0 when all of them are refused. */
static int read_encrypted(const struct x509_pair *ca)
{
    struct x509_info info;
    char *cert;
    struct str request = str_from(ENCRYPTED("CERTIFICATE REQUEST"));
    struct x509_pair locked = {ca->cert_pem, (char *)ENCRYPTED("EC PRIVATE KEY")}, pair;
    bool taken = x509_parse_request(request, &info, NULL) == 0 ||
                 x509_parse(str_from(ENCRYPTED("CERTIFICATE")), &info, NULL) == 0 ||
                 x509_request_sign(ca, request, 0, 0, &cert, NULL) == 0 ||
                 x509_key_matches(str_from(ca->cert_pem), str_from(locked.key_pem)) ||
                 x509_issue(&locked, &(struct x509_spec){.common_name = "a"}, &pair, NULL) == 0;
    return taken;
}

/* A request may come from anybody: nobody is asked for its password, not even where there is a terminal. */
static void never_asks_for_a_password(void **state)
{
    struct x509_pair ca = make_ca("ca");
    int terminal, status;
    char said[256];
    (void)state;
    pid_t child = forkpty(&terminal, NULL, NULL, NULL);
    assert_true(child >= 0);
    if (child == 0)
        _exit(read_encrypted(&ca));
    struct pollfd wait = {.fd = terminal, .events = POLLIN};
    assert_int_equal(poll(&wait, 1, 60000), 1);
    ssize_t n = read(terminal, said, sizeof said); /* EIO once the child has ended */
    if (n > 0)
        kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    close(terminal);
    x509_pair_free(&ca);
    assert_true(n <= 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* X.520 has 64 characters; a node's name alone may have 253. */
static void names_may_be_long(void **state)
{
    char name[300], group[100];
    (void)state;
    snprintf(name, sizeof name, "system:node:%0253d", 1);
    snprintf(group, sizeof group, "%080d", 2);
    const char *const groups[] = {group, NULL};
    const struct x509_spec spec = {.common_name = name, .organizations = groups};
    struct x509_pair ca = make_ca("ca"), pair;
    struct x509_info info;
    struct error err = {0};
    char *request, *key;
    assert_int_equal(x509_issue(&ca, &spec, &pair, &err), 0);
    assert_int_equal(x509_parse(str_from(pair.cert_pem), &info, &err), 0);
    assert_string_equal(info.common_name, name);
    assert_string_equal(info.organizations[0], group);
    x509_info_free(&info);
    assert_int_equal(x509_verify(str_from(pair.cert_pem), str_from(ca.cert_pem), 0, &err), 0);
    x509_pair_free(&pair);
    assert_int_equal(x509_request_new(&spec, &request, &key, &err), 0);
    assert_int_equal(x509_parse_request(str_from(request), &info, &err), 0);
    assert_string_equal(info.common_name, name);
    x509_info_free(&info);
    mem_free(request);
    mem_free(key);
    const char *const bad[] = {"", "\xff", NULL};
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(
            x509_issue(&ca, &(struct x509_spec){.organizations = bad + i}, &pair, &err),
            ERR_INVALID);
    x509_pair_free(&ca);
}

static void verifies_for_every_usage_that_is_asked(void **state)
{
    static const unsigned both = X509_USAGE_SERVER | X509_USAGE_CLIENT;
    struct x509_pair ca = make_ca("ca"), pair;
    struct error err = {0};
    (void)state;
    for (unsigned usage = X509_USAGE_SERVER; usage <= both; usage++) {
        const struct x509_spec spec = {.common_name = "a", .usage = usage};
        assert_int_equal(x509_issue(&ca, &spec, &pair, &err), 0);
        for (unsigned asked = 0; asked <= both; asked++)
            assert_int_equal(
                x509_verify(str_from(pair.cert_pem), str_from(ca.cert_pem), asked, &err),
                asked & ~usage ? ERR_DENIED : 0);
        x509_pair_free(&pair);
    }
    x509_pair_free(&ca);
}

/* What stands behind a certificate that cannot be read must not go missing without a word. */
static void refuses_a_bundle_that_is_damaged(void **state)
{
    struct x509_pair first = make_ca("first"), second = make_ca("second");
    struct error err = {0};
    (void)state;
    struct str cert = str_from(second.cert_pem);
    char *fine = mem_printf("words\n%s\n%swords", first.cert_pem, second.cert_pem);
    char *damaged = mem_printf("%s" DAMAGED "%s", first.cert_pem, second.cert_pem);
    assert_int_equal(x509_verify(cert, str_from(fine), 0, &err), 0);
    assert_int_equal(x509_verify(cert, str_from(damaged), 0, &err), ERR_INVALID);
    assert_non_null(strstr(err.message, "CA certificate 2 in PEM"));
    assert_null(tls_client_new(&(struct tls_options){.ca_pem = str_from(damaged)}, &err));
    assert_int_equal(err.code, ERR_INVALID);
    mem_free(fine);
    mem_free(damaged);
    x509_pair_free(&first);
    x509_pair_free(&second);
}

/* A process that died between two calls left a file; another one with its number comes. */
static void writes_where_a_file_was_left_over(void **state)
{
    char dir[] = "/tmp/c8s-test-x509-XXXXXX", path[64], left[96];
    struct error err = {0};
    char *back;
    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/a.key", dir);
    snprintf(left, sizeof left, "%s.tmp.%d", path, (int)getpid());
    FILE *f = fopen(left, "w");
    assert_non_null(f);
    fclose(f);
    assert_int_equal(x509_write_key(path, "new", &err), 0);
    assert_int_equal(x509_read_pem(path, &back, &err), 0);
    assert_string_equal(back, "new");
    mem_free(back);
    unlink(left);
    unlink(path);
    assert_int_equal(rmdir(dir), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(never_asks_for_a_password),
        cmocka_unit_test(names_may_be_long),
        cmocka_unit_test(verifies_for_every_usage_that_is_asked),
        cmocka_unit_test(refuses_a_bundle_that_is_damaged),
        cmocka_unit_test(writes_where_a_file_was_left_over),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
