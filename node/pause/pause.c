/*
 * c8s-pause: the first process of every pod. It holds the pod's namespaces while containers come
 * and go, and, where the pod shares one process namespace, reaps what is orphaned to it. Static, so
 * that an image of this one file is enough.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    sigset_t wanted;
    int sig;

    if (argc > 1 && (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0)) {
        puts("c8s-pause " C8S_VERSION);
        return 0;
    }
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGINT);
    sigaddset(&wanted, SIGTERM);
    sigaddset(&wanted, SIGCHLD);
    /* Process 1 of a namespace gets no default actions: a signal that is blocked and waited for
     * cannot be lost between two children, unlike one that a handler counts. */
    sigprocmask(SIG_BLOCK, &wanted, NULL);
    for (;;) {
        if (sigwait(&wanted, &sig) != 0)
            return 1;
        if (sig != SIGCHLD)
            return 0;
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
}
