/*
 * Ports for the servers of a test, which no other test gets while this one runs: tests/integration/ports.py says why and how.
 */
#ifndef C8S_TESTS_TEST_PORT_H
#define C8S_TESTS_TEST_PORT_H

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEST_PORT_FIRST = 12000, TEST_PORT_BLOCK = 200, TEST_PORT_BLOCKS = 90 };

/* The first port of a block that is this process's until it ends, or -1. */
static inline int test_port_reserve(void)
{
    char path[64];
    snprintf(path, sizeof path, "/tmp/c8s-test-ports-%u", getuid());
    mkdir(path, 0755);
    for (int i = 0; i < TEST_PORT_BLOCKS; i++) {
        int block = (getpid() + i) % TEST_PORT_BLOCKS;
        snprintf(path, sizeof path, "/tmp/c8s-test-ports-%u/%d", getuid(), block);
        int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            return TEST_PORT_FIRST + block * TEST_PORT_BLOCK;
        if (fd >= 0)
            close(fd);
    }
    return -1;
}

static inline bool test_port_is_unused(int port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    bool unused = bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    close(fd);
    return unused;
}

/* No port is given twice. Not for several threads; a forked process asks for its own. */
static inline int test_port(void)
{
    static int next, end;
    static pid_t owner;
    do {
        if (owner != getpid() || next == end) {
            owner = getpid();
            next = test_port_reserve();
            end = next + TEST_PORT_BLOCK;
        }
        if (next < 0) {
            fputs("all blocks of ports are reserved: see /tmp/c8s-test-ports-*\n", stderr);
            abort();
        }
    } while (!test_port_is_unused(next++));
    return next - 1;
}

#endif
