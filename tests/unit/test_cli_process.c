/*
 * Specification of cli/process.h: detached processes, and that nobody else's is taken for ours.
 */
#include "base/mem.h"
#include "cli/process.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char directory[] = "/tmp/c8s-process-XXXXXX";
static char pid_file[128], log_file[128];

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(pid_file, sizeof pid_file, "%s/pid", directory);
    snprintf(log_file, sizeof log_file, "%s/log", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(log_file);
    unlink(pid_file);
    return rmdir(directory);
}

static struct process_spec spec_of(const char *const *argv)
{
    return (struct process_spec){.argv = argv, .log_file = log_file, .pid_file = pid_file};
}

static void a_process_runs_detached_and_is_stopped(void **state)
{
    (void)state;
    static const char *const argv[] = {"/bin/sleep", "60", NULL};
    struct process_spec spec = spec_of(argv);
    struct error err = {0};
    pid_t pid = 0, again = 0;
    bool started = false;
    assert_int_equal(process_start(&spec, &pid, &started, &err), 0);
    assert_true(started && pid > 1);
    assert_int_equal(process_running(pid_file), pid);
    assert_int_not_equal(getsid(pid), getsid(0));
    assert_int_equal(process_start(&spec, &again, &started, &err), 0); /* already runs */
    assert_false(started);
    assert_int_equal(again, pid);

    assert_int_equal(process_signal(pid_file, SIGSTOP, &err), 0);
    for (int i = 0; i < 60000 && !process_is_paused(pid); i++)
        usleep(1000);
    assert_true(process_is_paused(pid));
    assert_int_equal(process_stop(pid_file, 5000, &err), 0); /* a paused one, too */
    assert_int_equal(process_running(pid_file), 0);
    assert_int_not_equal(access(pid_file, F_OK), 0);
    assert_int_equal(process_stop(pid_file, 5000, &err), 0);
    assert_int_equal(process_signal(pid_file, SIGTERM, &err), ERR_NOT_FOUND);
}

static void a_process_that_ignores_sigterm_is_killed(void **state)
{
    (void)state;
    static const char *const argv[] = {
        "/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.05; done", NULL};
    struct process_spec spec = spec_of(argv);
    struct error err = {0};
    pid_t pid = 0;
    assert_int_equal(process_start(&spec, &pid, NULL, &err), 0);
    for (int i = 0; i < 60000; i++) { /* until the trap is set */
        FILE *f = fopen(log_file, "r");
        int c = f ? fgetc(f) : EOF;
        if (f)
            fclose(f);
        if (c == 'r')
            break;
        usleep(1000);
    }
    assert_int_equal(process_stop(pid_file, 100, &err), 0);
    char exe[64], target[64];
    snprintf(exe, sizeof exe, "/proc/%d/exe", (int)pid);
    assert_true(readlink(exe, target, sizeof target) < 0); /* gone, or not yet reaped by init */
}

static void what_cannot_be_executed_is_an_error_with_its_reason(void **state)
{
    (void)state;
    static const char *const argv[] = {"/nonexistent/program", NULL};
    struct process_spec spec = spec_of(argv);
    struct error err = {0};
    assert_int_equal(process_start(&spec, NULL, NULL, &err), ERR_IO);
    assert_string_equal(err.message,
                        "start /nonexistent/program: execute: No such file or directory");
    static const char *const sleep_argv[] = {"/bin/sleep", "60", NULL};
    spec = spec_of(sleep_argv);
    spec.netns = "/run/netns/c8s-no-such-namespace";
    assert_int_equal(process_start(&spec, NULL, NULL, &err), ERR_IO);
    assert_non_null(strstr(err.message, "enter the network namespace"));
    assert_int_equal(process_running(pid_file), 0);
}

static void a_reused_pid_is_not_taken_for_ours(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "", "garbage", "1 1 /sbin/init\n"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        FILE *f = fopen(pid_file, "w");
        assert_non_null(f);
        struct buf text = {0};
        /* Our own pid, which is certainly alive, with a start time that is not ours. */
        if (i < 2)
            buf_printf(&text, i == 0 ? "%d 1 /bin/sleep\n" : "%d\n", (int)getpid());
        else
            buf_append_cstr(&text, bad[i]);
        fputs(buf_cstr(&text), f);
        fclose(f);
        buf_free(&text);
        assert_int_equal(process_running(pid_file), 0);
        assert_int_equal(process_stop(pid_file, 10, NULL), 0); /* and we live on */
    }
}

static void commands_give_their_output_and_their_failure(void **state)
{
    (void)state;
    struct buf out = {0};
    struct error err = {0};
    static const char *const cat[] = {"cat", NULL};
    assert_int_equal(command_run(cat, STR("hello"), &out, &err), 0);
    assert_string_equal(buf_cstr(&out), "hello");
    static const char *const fail[] = {"sh", "-c", "echo why; exit 3", NULL};
    assert_int_equal(command_run(fail, STR_NONE, NULL, &err), ERR_IO);
    assert_string_equal(err.message, "sh failed: why");
    static const char *const absent[] = {"c8s-no-such-command", NULL};
    assert_int_equal(command_run(absent, STR_NONE, NULL, &err), ERR_IO);
    assert_string_equal(
        err.message, "c8s-no-such-command failed: c8s-no-such-command: No such file or directory");
    buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_runs_detached_and_is_stopped),
        cmocka_unit_test(a_process_that_ignores_sigterm_is_killed),
        cmocka_unit_test(what_cannot_be_executed_is_an_error_with_its_reason),
        cmocka_unit_test(a_reused_pid_is_not_taken_for_ours),
        cmocka_unit_test(commands_give_their_output_and_their_failure),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
