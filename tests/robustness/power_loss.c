/*
 * Power loss of a real member: a library to preload, that puts the simulated disk of the unit tests
 * (tests/unit/disk_sim.h) under the process's writes and syncs, LMDB's included.
 *
 *   C8S_POWER_DIR    the directory (the member's data) whose files are on that disk
 *   C8S_POWER_FIFO   a FIFO; when a line comes through it, power fails: the directory is rewritten as a disk might hold it
 *                    (of unsynced writes any sectors, of unsynced names any prefix) and the process ends
 *   C8S_POWER_SEED   chooses what survives
 */
#include "tests/unit/disk_sim.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *wait_for_the_end(void *arg)
{
    char byte;
    int fd = *(int *)arg;
    if (read(fd, &byte, 1) == 1)
        disk_sim_reboot_and_exit();
    return NULL;
}

/* Before main(), and in nothing that is run on the way to it (`ip netns exec`). */
__attribute__((constructor)) static void begin(void)
{
    static int fd;
    char program[256];
    pthread_t thread;
    const char *dir = getenv("C8S_POWER_DIR"), *fifo = getenv("C8S_POWER_FIFO"),
               *seed = getenv("C8S_POWER_SEED");
    ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (!dir || !fifo || !seed || n < 13)
        return;
    program[n] = 0;
    if (strcmp(program + n - 13, "c8s-apiserver") != 0)
        return;
    fd = open(fifo, O_RDWR | O_CLOEXEC);
    if (fd < 0 || pthread_create(&thread, NULL, wait_for_the_end, &fd) != 0) {
        perror(fifo);
        abort();
    }
    pthread_detach(thread);
    disk_sim_start(dir, strtoull(seed, NULL, 10));
}
