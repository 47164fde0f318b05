/*
 * The journal thread begins a segment while the checkpoint thread prepares the next one, at the worst
 * moment: between taking the prepared file and writing its header. Played by a host whose random
 * source, asked for the segment's salt just there, does what the other thread might.
 */
#include "base/mem.h"
#include "raft/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RECORDS 200

static struct journal *preparing; /* NULL: the hook does nothing */
static unsigned prepared;

static uint64_t random_and_prepare(struct host *h)
{
    (void)h;
    struct error err;
    if (preparing && journal_prepare(preparing, &err) < 0)
        fail_msg("%s", err.message);
    prepared += preparing != NULL;
    return host_random(host_posix());
}

static int count_record(void *ctx, const struct journal_record *r, struct error *err)
{
    (void)err;
    uint64_t *count = ctx;
    assert_int_equal(r->entries_len, 1);
    assert_int_equal(r->entries[0].index, ++*count);
    return 0;
}

static struct journal *open_journal(struct host *host, const char *dir, uint64_t *count)
{
    struct journal *j;
    struct error err;
    struct journal_options o = {.host = host, .dir = dir, .segment_bytes = 4096};
    *count = 0;
    if (journal_open(&o, (struct journal_pos){0, 0}, count_record, count, &j, NULL, &err) < 0)
        fail_msg("%s", err.message);
    return j;
}

static void a_segment_is_begun_while_the_next_is_prepared(void **state)
{
    (void)state;
    struct host_ops ops = *host_posix()->ops;
    struct host host = {&ops};
    ops.random = random_and_prepare;
    char dir[] = "/tmp/c8s-test-journal.XXXXXX", cmd[64];
    assert_non_null(mkdtemp(dir));
    uint64_t count;
    struct journal *j = open_journal(&host, dir, &count);
    struct blob *data = blob_new(300);
    memset(data->data, 7, data->len);
    preparing = j;
    for (uint64_t i = 1; i <= RECORDS; i++) {
        struct raft_entry e = {.index = i, .term = 1, .kind = RAFT_ENTRY_DATA, .data = data};
        struct error err;
        journal_append(j, &(struct raft_hard_state){1, 1, i - 1}, &e, 1);
        if (journal_flush(j, &err) < 0)
            fail_msg("%s", err.message);
    }
    preparing = NULL;
    assert_true(prepared > 5); /* segments were begun */
    journal_close(j);
    j = open_journal(host_posix(), dir, &count);
    assert_int_equal(count, RECORDS);
    journal_close(j);
    blob_unref(data);
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_is_begun_while_the_next_is_prepared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
