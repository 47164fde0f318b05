/*
 * c8s-apiserver: a control-plane member. Opens the store, serves its clients (etcd v3) and, unless
 * --store-only, the Kubernetes API; ends gracefully on SIGTERM and SIGINT.
 *
 * Threads: the store's own, one loop for store clients, config.loops_len loops for the API, the keeper,
 * and this one, which waits for signals.
 */
#include "apiserver/options.h"
#include "apiserver/watch_hub.h"
#include "base/log.h"
#include "base/mem.h"
#include "kvstore/etcd.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define GRACE_MS 5000
#define LOOPS_MAX 16

/* sd_notify: one datagram to the service manager, if there is one. */
static void notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    if (n == 0 || n >= sizeof to.sun_path)
        return;
    memcpy(to.sun_path, path, n);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = 0;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&to,
                         (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n)) < 0)
        log_warn("main", "the service manager was not told error=\"%s\"", strerror(errno));
    if (fd >= 0)
        close(fd);
}
