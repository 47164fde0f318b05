/*
 * The rate at which others may catch up (raft/pace.h).
 */
#include "raft/pace.h"

#include "base/clock.h"
#include "base/mem.h"

#define WINDOW_NS (100 * NS_PER_MS)
#define ECHO_NS NS_PER_S           /* so long after the last bytes commits still feel them */
#define BURST_NS (5 * NS_PER_MS)   /* that may be made good after a late wake-up */
#define QUICK_NS (2 * NS_PER_MS)   /* commits quicker than this need no sparing */
#define STUCK_NS (500 * NS_PER_MS) /* older than this: nothing is being committed */

void pace_init(struct pace *p, uint64_t now_ns)
{
    *p = (struct pace){.rate = PACE_START, .window_ns = now_ns};
}

static bool somebody_catches_up(const struct pace *p, uint64_t now_ns)
{
    return p->taken_ns && now_ns - p->taken_ns < ECHO_NS;
}

static void adapt(struct pace *p, uint64_t waits_ns)
{
    uint64_t limit = MAX(p->usual_ns, QUICK_NS) / 2 * 3;
    if (waits_ns >= STUCK_NS)
        p->rate = PACE_MAX;
    else if (p->recent_ns > limit)
        p->rate -= p->rate / 4;
    else
        p->rate += p->rate / 8;
    uint64_t least = MAX(PACE_FLOOR, PACE_AHEAD * p->arriving);
    p->rate = MIN(MAX(p->rate, least), PACE_MAX);
}

/* At the end of a window: draw the conclusions. */
static void turn(struct pace *p, uint64_t now_ns)
{
    uint64_t took = now_ns - p->window_ns;
    if (took < WINDOW_NS)
        return;
    uint64_t waits = p->count ? now_ns - p->under_way[p->first].at_ns : 0;
    uint64_t slowest = MAX(p->slowest_ns, waits);
    p->arriving = (p->arriving * 3 + p->appended * NS_PER_S / took) / 4;
    if (somebody_catches_up(p, now_ns)) {
        p->recent_ns = (p->recent_ns * 3 + slowest) / 4;
        adapt(p, waits);
    } else {
        if (slowest)
            p->usual_ns = p->usual_ns ? (p->usual_ns * 7 + slowest) / 8 : slowest;
        p->recent_ns = p->usual_ns;
        p->rate = PACE_START;
    }
    p->window_ns = now_ns;
    p->slowest_ns = p->appended = 0;
}

void pace_appended(struct pace *p, uint64_t index, uint64_t bytes, uint64_t now_ns)
{
    turn(p, now_ns);
    p->appended += bytes;
    if (p->count == PACE_UNDER_WAY)
        return;
    uint32_t at = (p->first + p->count++) % PACE_UNDER_WAY;
    p->under_way[at].index = index;
    p->under_way[at].at_ns = now_ns;
}

void pace_committed(struct pace *p, uint64_t index, uint64_t now_ns)
{
    while (p->count && p->under_way[p->first].index <= index) {
        p->slowest_ns = MAX(p->slowest_ns, now_ns - p->under_way[p->first].at_ns);
        p->first = (p->first + 1) % PACE_UNDER_WAY;
        p->count--;
    }
    turn(p, now_ns);
}

void pace_reset(struct pace *p)
{
    p->count = 0;
}

uint64_t pace_wait_ns(struct pace *p, uint64_t now_ns)
{
    turn(p, now_ns);
    return p->next_ns > now_ns ? p->next_ns - now_ns : 0;
}

void pace_taken(struct pace *p, uint64_t bytes, uint64_t now_ns)
{
    turn(p, now_ns);
    uint64_t from = now_ns > BURST_NS ? now_ns - BURST_NS : 0;
    p->next_ns = MAX(p->next_ns, from) + bytes * NS_PER_S / p->rate;
    p->taken_ns = now_ns;
}
