/*
 * What happens to the members while the storm lasts, at intervals that the seed chose (0: never).
 */
#include "whole.h"
#include "client.h"
#include "faults.h"

#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <string.h>

static uint64_t pick(const uint64_t *choices, size_t n)
{
    return choices[chance_below(n)];
}
#define PICK(...) \
    pick((const uint64_t[]){__VA_ARGS__}, ARRAY_LEN(((const uint64_t[]){__VA_ARGS__})))

uint64_t storm_events = 8000; /* of a seed, on the average; the command line sets it */

void weather_draw(void)
{
    struct weather *w = &W.weather;
    w->founders = (uint32_t)PICK(1, 3, 3, 3, 3, 3, 5);
    w->change_us = PICK(0, 0, 300 * MS, 1000 * MS);
    if (faulty(W.faults, FAULT_JOIN_ALONE)) /* rare else */
        w->change_us = 300 * MS;
    w->members = w->founders + (w->change_us ? 2 : 0);
    w->delay_us = PICK(300, 1 * MS, 10 * MS, 60 * MS);
    w->slow = (uint32_t)PICK(0, 5, 20, 80);
    w->slow_us = PICK(100 * MS, 600 * MS, 2500 * MS);
    w->flush_us = PICK(200, 1 * MS, 10 * MS, 100 * MS);
    w->lost = (uint32_t)PICK(0, 0, 10, 50, 150);
    w->twice = (uint32_t)PICK(0, 0, 20, 150);
    w->overtaken = (uint32_t)PICK(0, 0, 20, 150);
    w->yield = (uint32_t)PICK(0, 0, 20, 150);
    w->op_us = PICK(2 * MS, 6 * MS, 20 * MS, 60 * MS);
    w->crash_us = PICK(0, 300 * MS, 800 * MS, 3000 * MS);
    w->partition_us = PICK(0, 0, 500 * MS, 1500 * MS);
    w->pause_us = PICK(0, 0, 700 * MS, 3000 * MS);
    w->clock_us = PICK(0, 300 * MS, 2000 * MS);
    w->disk_us = PICK(0, 0, 0, 1000 * MS, 3000 * MS);
    w->transfer_us = PICK(0, 0, 500 * MS, 3000 * MS);
    w->compact_us = PICK(0, 100 * MS, 500 * MS, 2000 * MS);
    w->defrag_us = PICK(0, 0, 400 * MS, 2000 * MS);
    w->full_us = PICK(0, 0, 0, 800 * MS, 2000 * MS);
    /* Not beside other changes of membership: who is left must be a majority without the rotten one. */
    w->rot_us = w->founders < 3 || w->change_us ? 0 : PICK(0, 0, 0, 700 * MS, 2000 * MS);
    w->power = (uint32_t)PICK(0, 300, 1000);
    w->at_write = (uint32_t)PICK(0, 500, 900);
    w->graceful = (uint32_t)PICK(0, 50, 200);
    w->drift_ppm = (uint32_t)PICK(0, 200, 20000);
    w->checkpoint_ms = (uint32_t)PICK(50, 200, 1000, 1000);
    w->segment_bytes = (uint32_t)PICK(4096, 8192, 32768);
    w->log_keep = (uint32_t)PICK(4, 20, 100, 1000);
    w->ring_bytes = (uint32_t)PICK(600, 4096, 65536, 1 << 20);
    w->clients = (uint32_t)PICK(2, 4, 8);
    w->keys = (uint32_t)PICK(3, 8, 24);
    w->storm_events = storm_events / 2 + chance_below(storm_events);
    W.members_len = w->members;
    W.power_losses = (w->power && w->crash_us) || w->disk_us;
}

static struct member *random_member(void)
{
    return &W.members[chance_below(W.members_len)];
}

static struct member *random_up(void)
{
    struct member *m = random_member();
    for (uint32_t i = 0; i < W.members_len && m->state != MEMBER_UP; i++)
        m = &W.members[m->number % W.members_len];
    return m->state == MEMBER_UP ? m : NULL;
}

struct happening {
    void (*fn)(void);
    uint64_t mean_us;
};

static void happen(void *ctx)
{
    const struct happening *h = ctx;
    if (W.calm)
        return;
    h->fn();
    later(1 + chance_below(2 * h->mean_us), happen, ctx);
}

/* ---- crashes ---- */

static void restart(void *ctx)
{
    struct member *m = ctx;
    if (m->state == MEMBER_DOWN && !m->retired && !m->ruined && !m->leaving && m->seat != SEAT_FREE)
        member_start(m);
}

/* Whoever is down, for whatever reason, comes back some time. */
static void look_after(void)
{
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        if (m->state == MEMBER_DOWN && !m->retired && m->seat != SEAT_FREE)
            later(chance_below(PICK(5 * MS, 200 * MS, 1500 * MS)), restart, m);
    }
}

static void crash_one(void)
{
    struct member *m = chance(400) ? leading_member() : random_member();
    if (!m || m->state == MEMBER_DOWN)
        return;
    enum death how = chance(W.weather.power) && W.power_losses ? DEATH_POWER : DEATH_CRASH;
    if (m->state == MEMBER_UP && chance(W.weather.graceful))
        member_stop(m);
    else if (chance(W.weather.at_write))
        disk_crash_in(m->disk, 1 + chance_below(PICK(5, 40, 300)), how);
    else
        member_crash(m, how);
}

static void happen_crash(void)
{
    crash_one();
    if (chance(150)) /* several at once: a rack loses power */
        for (int i = 0; i < 3; i++)
            crash_one();
}

/* ---- partitions ---- */

static void cut_member(uint32_t n)
{
    for (uint32_t k = 1; k <= W.members_len; k++)
        if (k != n)
            W.cut[n][k] = W.cut[k][n] = true;
}

static void cut_halves(void)
{
    bool side[MEMBERS_MAX + 1];
    for (uint32_t n = 1; n <= W.members_len; n++)
        side[n] = chance(500);
    for (uint32_t a = 1; a <= W.members_len; a++)
        for (uint32_t b = 1; b <= W.members_len; b++)
            W.cut[a][b] = side[a] != side[b];
}

/* Each sees its neighbours only. */
static void cut_ring(void)
{
    uint32_t n = W.members_len;
    for (uint32_t a = 0; a < n; a++)
        for (uint32_t b = 0; b < n; b++)
            W.cut[a + 1][b + 1] = a != b && (a + 1) % n != b && (b + 1) % n != a;
}

static void happen_partition(void)
{
    const struct member *leader = leading_member();
    memset(W.cut, 0, sizeof W.cut);
    switch (chance_below(8)) {
    case 0:
        cut_member(random_member()->number);
        break;
    case 1:
    case 2:
        cut_member(leader ? leader->number : 1);
        break;
    case 3:
        cut_halves();
        break;
    case 4: { /* one direction of one link */
        uint32_t a = random_member()->number, b = random_member()->number;
        W.cut[a][b] = a != b;
        break;
    }
    case 5: /* the leader is heard and hears nothing, or the other way round */
        for (uint32_t k = 1; leader && k <= W.members_len; k++)
            if (k != leader->number)
                W.cut[k][leader->number] = true;
        break;
    case 6:
        cut_ring();
        break;
    default:
        break;
    }
    trace("links change");
}

/* ---- time ---- */

static void happen_pause(void)
{
    struct member *m = chance(500) ? leading_member() : random_member();
    if (!m)
        return;
    m->paused_until = W.now + chance_below(PICK(50 * MS, 600 * MS, 3000 * MS));
    trace("member %u pauses for %llu ms", m->number,
          (unsigned long long)((m->paused_until - W.now) / MS));
}

/* The wall clock jumps by hours, the monotonic one changes its pace. */
static void happen_clock(void)
{
    struct member *m = random_member();
    if (m->state == MEMBER_DOWN)
        return;
    m->mono_base_ns = member_mono_ns(m);
    m->clock_set_us = W.now;
    m->rate_ppm =
        1000000 - W.weather.drift_ppm + (uint32_t)chance_below(2 * W.weather.drift_ppm + 1);
    m->wall_offset_ns += ((int64_t)chance_below(20) - 10) * 3600 * 1000000000ll;
}

/* ---- disks ---- */

static void happen_disk(void)
{
    struct member *m = random_member();
    if (m->state != MEMBER_DOWN)
        disk_fail_in(m->disk, 1 + chance_below(PICK(5, 100)), chance(500) ? EIO : ENOSPC);
}

static void happen_transfer(void)
{
    struct member *m = leading_member();
    if (m && m->state == MEMBER_UP)
        client_move_leader(m);
}

static void happen_compact(void)
{
    struct member *m = random_up();
    if (m)
        client_compact(m);
}

static void happen_defrag(void)
{
    struct member *m = random_up();
    if (m)
        client_defrag(m);
}

static void unfill(void *ctx)
{
    const struct member *m = ctx;
    disk_unfill(m->disk);
}

/* Somebody else fills the disk for a while; who clears the alarm does it too early at times. */
static void happen_full(void)
{
    struct member *m = random_member();
    if (chance(500)) {
        disk_fill(m->disk, chance_below(256u << 10));
        later(chance_below(2 * SECOND), unfill, m);
    }
    m = leading_member();
    if (m)
        client_disarm(m);
}

void world_start(void)
{
    static struct happening happenings[12];
    const struct happening all[] = {
        {happen_crash, W.weather.crash_us},     {happen_partition, W.weather.partition_us},
        {happen_pause, W.weather.pause_us},     {happen_clock, W.weather.clock_us},
        {happen_disk, W.weather.disk_us},       {happen_transfer, W.weather.transfer_us},
        {happen_compact, W.weather.compact_us}, {happen_change, W.weather.change_us},
        {happen_defrag, W.weather.defrag_us},   {happen_full, W.weather.full_us},
        {happen_rot, W.weather.rot_us},         {look_after, 300 * MS},
    };
    static_assert(sizeof all == sizeof happenings, "one slot each");
    memcpy(happenings, all, sizeof all);
    for (size_t i = 0; i < ARRAY_LEN(happenings); i++)
        if (happenings[i].mean_us)
            later(500 * MS + chance_below(2 * happenings[i].mean_us), happen, &happenings[i]);
    for (uint32_t i = 0; i < W.members_len; i++) {
        W.members[i].seat = i < W.weather.founders ? SEAT_FOUNDER : SEAT_FREE;
        restart(&W.members[i]);
    }
}

/* A random minority stays dead; everything else is made whole. */
void world_heal(void)
{
    W.calm = true;
    memset(W.cut, 0, sizeof W.cut);
    seats_heal();
    for (uint32_t i = 0; i < W.members_len; i++) {
        struct member *m = &W.members[i];
        m->paused_until = 0;
        disk_process_is_well(m->disk);
        later(chance_below(50 * MS), restart, m);
    }
}

void world_look_after(void)
{
    seats_keep_quorum();
    for (uint32_t i = 0; i < W.members_len; i++)
        restart(&W.members[i]);
}
