/*
 * Detached processes, pid files, commands.
 */
#include "cli/process.h"
#include "base/clock.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATH_BYTES 512
#define OUTPUT_MAX (1024 * 1024)

/* --- identity --- */

struct identity {
    pid_t pid;
    uint64_t start_time; /* clock ticks since boot */
    char exe[PATH_BYTES];
};

/* State letter and start time from /proc/PID/stat; false when there is no such process. */
static bool read_stat(pid_t pid, char *state, uint64_t *start_time)
{
    char path[64], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return false;
    text[n] = '\0';
    /* The second field is the name in parentheses and may hold anything: count from the last ')'.
     */
    char *at = strrchr(text, ')');
    if (!at || !at[1] || !at[2])
        return false;
    *state = at[2];
    for (int field = 2; field < 22 && at; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return false;
    *start_time = strtoull(at, NULL, 10);
    return true;
}

static bool read_exe(pid_t pid, char exe[PATH_BYTES])
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    ssize_t n = readlink(path, exe, PATH_BYTES - 1);
    if (n <= 0)
        return false;
    exe[n] = '\0';
    char *deleted = strstr(exe, " (deleted)"); /* rebuilt while it runs */
    if (deleted)
        *deleted = '\0';
    return true;
}

static bool read_pid_file(const char *pid_file, struct identity *id)
{
    FILE *f = fopen(pid_file, "re");
    if (!f)
        return false;
    int pid = 0;
    unsigned long long start_time = 0;
    int fields = fscanf(f, "%d %llu %511s", &pid, &start_time, id->exe);
    fclose(f);
    id->pid = pid;
    id->start_time = start_time;
    return fields == 3 && pid > 1;
}

static bool alive(const struct identity *id)
{
    char state, exe[PATH_BYTES];
    uint64_t start_time;
    return read_stat(id->pid, &state, &start_time) && start_time == id->start_time &&
           state != 'Z' && state != 'X' && read_exe(id->pid, exe) && cstr_eq(exe, id->exe);
}

pid_t process_running(const char *pid_file)
{
    struct identity id;
    return read_pid_file(pid_file, &id) && alive(&id) ? id.pid : 0;
}

bool process_is_paused(pid_t pid)
{
    char state;
    uint64_t start_time;
    return read_stat(pid, &state, &start_time) && state == 'T';
}

static int write_pid_file(const char *pid_file, pid_t pid, struct error *err)
{
    struct identity id = {.pid = pid};
    char state;
    if (!read_stat(pid, &state, &id.start_time) || !read_exe(pid, id.exe))
        return error_set(err, ERR_IO, "process %d ended at once", (int)pid);
    FILE *f = fopen(pid_file, "we");
    if (!f)
        return error_errno(err, ERR_IO, errno, "write %s", pid_file);
    int n = fprintf(f, "%d %llu %s\n", (int)pid, (unsigned long long)id.start_time, id.exe);
    if (fclose(f) != 0 || n < 0)
        return error_errno(err, ERR_IO, errno, "write %s", pid_file);
    return 0;
}

/* --- start --- */

/* What the child tells through the pipe: its pid when it is about to execute, then, should that
 * fail, what failed. A pipe that closes after the pid means that the program runs. */
struct child_report {
    pid_t pid;
    int error_number;
    char step[32];
};

static void __attribute__((noreturn)) child_fail(int fd, const char *step)
{
    struct child_report report = {.error_number = errno};
    snprintf(report.step, sizeof report.step, "%s", step);
    ssize_t n = write(fd, &report, sizeof report);
    _exit(n == sizeof report ? 126 : 127);
}

static void redirect(int report_fd, const char *log_file)
{
    int in = open("/dev/null", O_RDONLY);
    int out = open(log_file, O_WRONLY | O_CREAT | O_APPEND, 0640);
    if (in < 0 || out < 0)
        child_fail(report_fd, "open the log file");
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    for (int fd = 3; fd < 64; fd++)
        if (fd != report_fd)
            close(fd);
}

/* In the grandchild: never returns. */
static void __attribute__((noreturn)) child_execute(const struct process_spec *spec, int fd)
{
    struct child_report report = {.pid = getpid()};
    if (write(fd, &report, sizeof report) != sizeof report)
        _exit(127);
    if (spec->netns) {
        int ns = open(spec->netns, O_RDONLY | O_CLOEXEC);
        if (ns < 0 || setns(ns, CLONE_NEWNET) < 0)
            child_fail(fd, "enter the network namespace");
    }
    if (spec->hostname &&
        (unshare(CLONE_NEWUTS) < 0 || sethostname(spec->hostname, strlen(spec->hostname)) < 0))
        child_fail(fd, "set the host name");
    redirect(fd, spec->log_file);
    for (const char *const *e = spec->environment; e && *e; e++)
        putenv((char *)*e);
    signal(SIGPIPE, SIG_DFL);
    execv(spec->argv[0], (char *const *)spec->argv);
    child_fail(fd, "execute");
}

/* Fork twice, so that the process is init's child and never a zombie of ours. */
static pid_t fork_detached(const struct process_spec *spec, int read_fd, int write_fd)
{
    pid_t child = fork();
    if (child != 0)
        return child;
    close(read_fd);
    setsid();
    pid_t grandchild = fork();
    if (grandchild < 0)
        child_fail(write_fd, "fork");
    if (grandchild > 0)
        _exit(0);
    child_execute(spec, write_fd);
}

int process_start(const struct process_spec *spec, pid_t *pid, bool *started, struct error *err)
{
    pid_t running = process_running(spec->pid_file);
    if (pid)
        *pid = running;
    if (started)
        *started = !running;
    if (running)
        return 0;

    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return error_errno(err, ERR_IO, errno, "start %s", spec->argv[0]);
    pid_t child = fork_detached(spec, fds[0], fds[1]);
    close(fds[1]);
    if (child < 0) {
        close(fds[0]);
        return error_errno(err, ERR_IO, errno, "start %s", spec->argv[0]);
    }
    struct child_report first = {0}, second = {0};
    ssize_t n = read(fds[0], &first, sizeof first);
    ssize_t m = n == sizeof first && !first.error_number ? read(fds[0], &second, sizeof second) : 0;
    close(fds[0]);
    waitpid(child, NULL, 0);
    struct child_report *failure = first.error_number ? &first : m > 0 ? &second : NULL;
    if (failure)
        return error_errno(err, ERR_IO, failure->error_number, "start %s: %s", spec->argv[0],
                           failure->step);
    if (n != sizeof first)
        return error_set(err, ERR_IO, "start %s: the process vanished", spec->argv[0]);
    if (pid)
        *pid = first.pid;
    int rc = write_pid_file(spec->pid_file, first.pid, err);
    return rc < 0 ? (error_wrap(err, "start %s (log: %s)", spec->argv[0], spec->log_file), rc) : 0;
}

/* --- stop --- */

/* Wait until the process behind pidfd ends; false after the time. */
static bool wait_end(int pidfd, int timeout_ms)
{
    struct pollfd p = {.fd = pidfd, .events = POLLIN};
    int n;
    do
        n = poll(&p, 1, timeout_ms);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

int process_stop(const char *pid_file, int timeout_ms, struct error *err)
{
    struct identity id;
    if (!read_pid_file(pid_file, &id))
        return 0;
    /* The pidfd is opened before the identity is checked: from there on it cannot be someone else.
     */
    int pidfd = (int)syscall(SYS_pidfd_open, id.pid, 0);
    int rc = 0;
    if (pidfd >= 0 && alive(&id)) {
        syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0);
        syscall(SYS_pidfd_send_signal, pidfd, SIGCONT, NULL,
                0); /* a paused one must see the first */
        if (!wait_end(pidfd, timeout_ms)) {
            syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
            if (!wait_end(pidfd, 10000))
                rc = error_set(err, ERR_TIMEOUT, "process %d (%s) does not end", (int)id.pid,
                               id.exe);
        }
    }
    if (pidfd >= 0)
        close(pidfd);
    if (rc == 0)
        unlink(pid_file);
    return rc;
}

int process_signal(const char *pid_file, int signal_number, struct error *err)
{
    pid_t pid = process_running(pid_file);
    if (!pid)
        return error_set(err, ERR_NOT_FOUND, "%s: not running", pid_file);
    if (kill(pid, signal_number) < 0)
        return error_errno(err, ERR_IO, errno, "signal process %d", (int)pid);
    return 0;
}

/* --- commands --- */

static void __attribute__((noreturn)) command_child(const char *const *argv, int in, int out)
{
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    execvp(argv[0], (char *const *)argv);
    dprintf(STDERR_FILENO, "%s: %s", argv[0], strerror(errno));
    _exit(127);
}

/* The input as a file descriptor, so that writing it cannot block on a command that does not read.
 */
static int input_fd(struct str input)
{
    int fd = (int)syscall(SYS_memfd_create, "input", 1u /* MFD_CLOEXEC */);
    if (fd < 0)
        return -1;
    if (input.n &&
        (write(fd, input.p, input.n) != (ssize_t)input.n || lseek(fd, 0, SEEK_SET) < 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

static void read_output(int fd, struct buf *out)
{
    for (;;) {
        char chunk[4096];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return;
        buf_append(out, chunk, (size_t)n);
    }
}

int command_run(const char *const *argv, struct str input, struct buf *output, struct error *err)
{
    struct buf text;
    buf_init_limited(&text, OUTPUT_MAX);
    int fds[2];
    int in = input_fd(input);
    if (in < 0 || pipe2(fds, O_CLOEXEC) < 0) {
        int saved = errno;
        if (in >= 0)
            close(in);
        return error_errno(err, ERR_IO, saved, "run %s", argv[0]);
    }
    pid_t child = fork();
    if (child == 0)
        command_child(argv, in, fds[1]);
    int fork_errno = errno;
    close(in);
    close(fds[1]);
    if (child < 0) {
        close(fds[0]);
        return error_errno(err, ERR_IO, fork_errno, "run %s", argv[0]);
    }
    read_output(fds[0], &text);
    close(fds[0]);
    int status = 0;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    int rc = 0;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) {
        struct str tail =
            str_trim(str_slice(buf_str(&text), text.len > 600 ? text.len - 600 : 0, text.len));
        rc = error_set(err, ERR_IO, "%s failed: %.*s", argv[0], STR_ARG(tail));
    }
    if (output)
        buf_append_str(output, buf_str(&text));
    buf_free(&text);
    return rc;
}
