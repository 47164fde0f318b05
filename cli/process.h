/*
 * Processes of a local cluster: started detached, found again through pid files, stopped for sure.
 *
 * A pid file holds "PID STARTTIME EXE\n". The start time (field 22 of /proc/PID/stat) and the
 * executable tell our process from a later one with the same number; nobody else's is ever
 * signalled.
 */
#ifndef C8S_CLI_PROCESS_H
#define C8S_CLI_PROCESS_H

#include "base/buf.h"
#include "base/error.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct process_spec {
    const char *const *argv; /* NULL-terminated; argv[0] is an absolute path */
    const char *netns;       /* "/run/netns/x" to start in, or NULL */
    const char *hostname;    /* in a UTS namespace of its own, or NULL: the machine's */
    const char *log_file;    /* standard output and error are appended to it */
    const char *pid_file;
    const char *const *environment; /* NULL-terminated "NAME=value" added to ours; or NULL */
};

/*
 * Start detached (own session, reparented to init, standard input /dev/null) and write the pid
 * file. Returns once the program is executing; ERR_IO with the reason when it cannot be executed.
 * Does nothing when the pid file's process already runs (*started false). pid and started may be
 * NULL.
 */
int process_start(const struct process_spec *spec, pid_t *pid, bool *started, struct error *err);

/* The pid file's process, 0 when there is no file or its process is gone. */
pid_t process_running(const char *pid_file);
/* Is it stopped by SIGSTOP (state T)? */
bool process_is_paused(pid_t pid);

/* SIGTERM, after timeout_ms SIGKILL; waits for the end and removes the pid file. 0 when not
 * running. */
int process_stop(const char *pid_file, int timeout_ms, struct error *err);
/* Send one signal; ERR_NOT_FOUND when not running. */
int process_signal(const char *pid_file, int signal_number, struct error *err);

/*
 * Run a command to its end, found in PATH, with `input` (may be empty) on standard input. Output of
 * both streams is appended to `output` (may be NULL). ERR_IO with the output's tail when the exit
 * code is not 0.
 */
int command_run(const char *const *argv, struct str input, struct buf *output, struct error *err);

#endif
