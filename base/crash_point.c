/*
 * Dying at a chosen place (base/crash_point.h).
 */
#include "base/crash_point.h"

#ifdef C8S_CRASH_POINTS
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum crash_point crash_point_armed; /* set before there are threads */
static atomic_int passes_left;

static const char *const names[] = {"nowhere",
#define CRASH_POINT_NAME(name) #name,
                                    CRASH_POINTS(CRASH_POINT_NAME)
#undef CRASH_POINT_NAME
};

const char *crash_point_name(enum crash_point point)
{
    return names[point];
}

void crash_points_arm(void)
{
    const char *where = getenv("C8S_CRASH_AT");
    if (!where)
        return;
    const char *colon = strchr(where, ':');
    size_t n = colon ? (size_t)(colon - where) : strlen(where);
    for (int i = 1; i < CRASH_POINTS_MAX; i++)
        if (strlen(names[i]) == n && memcmp(names[i], where, n) == 0) {
            atomic_store(&passes_left, colon ? atoi(colon + 1) : 1);
            crash_point_armed = (enum crash_point)i;
            return;
        }
    fprintf(stderr, "C8S_CRASH_AT: there is no point %s\n", where);
    exit(2);
}

void crash_point_reached(void)
{
    if (atomic_fetch_sub(&passes_left, 1) == 1) {
        kill(getpid(), SIGKILL);
        for (;;)
            pause();
    }
}
#endif
