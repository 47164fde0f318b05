/*
 * The journal thread begins a segment while the checkpoint thread prepares the next one, at the worst
 * moment: between taking the prepared file and writing its header. Played by a host whose random
 * source, asked for the segment's salt just there, does what the other thread might.
 *
 * And the other way about: records are flushed while the checkpoint thread makes a segment or recycles
 * one, which takes long on a slow disk. Played by a host that in the midst of either lets the journal
 * thread write, and waits for it.
 */
#include "base/mem.h"
#include "raft/journal.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
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

/* ---- flushes beside it ---- */

#define FLUSH_LIMIT_S 10

static struct writer {
    struct journal *journal; /* NULL: nobody writes */
    uint64_t last;           /* index */
    unsigned moments;        /* at which a record was flushed beside the slow work */
} writer;

static void write_one(struct writer *w)
{
    struct error err;
    struct blob *data = blob_new(300);
    memset(data->data, 7, data->len);
    struct raft_entry e = {.index = ++w->last, .term = 1, .kind = RAFT_ENTRY_DATA, .data = data};
    journal_append(w->journal, &(struct raft_hard_state){1, 1, e.index - 1}, &e, 1);
    assert_int_equal(journal_flush(w->journal, &err), 0);
    blob_unref(data);
}

static void *write_beside(void *ctx)
{
    struct writer *w = ctx;
    struct journal_pos before = journal_end(w->journal);
    write_one(w);
    assert_true(journal_pos_cmp(journal_end(w->journal), before) > 0);
    return NULL;
}

/* The disk is slow just here: a record is written meanwhile, within the present segment. */
static void flush_meanwhile(void)
{
    struct writer *w = &writer;
    if (!w->journal)
        return;
    pthread_t thread;
    struct timespec until;
    assert_int_equal(pthread_create(&thread, NULL, write_beside, w), 0);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += FLUSH_LIMIT_S;
    if (pthread_timedjoin_np(thread, NULL, &until)) {
        /* It may use the journal as soon as this returns, which the test cannot go on from. */
        fprintf(stderr, "a flush waits for a segment that is made or recycled\n");
        _exit(1);
    }
    w->moments++;
}

static int slow_allocate(struct host_file *f, uint64_t size)
{
    flush_meanwhile();
    return host_posix()->ops->allocate(f, size);
}

static int slow_sync_dir(struct host *h, const char *path)
{
    (void)h;
    flush_meanwhile();
    return host_posix()->ops->sync_dir(host_posix(), path);
}

static int slow_rename(struct host *h, const char *from, const char *to)
{
    (void)h;
    flush_meanwhile();
    return host_posix()->ops->rename(host_posix(), from, to);
}

static void begin_segment(struct journal *j, struct writer *w)
{
    writer.journal = NULL;
    uint64_t segment = journal_end(j).segment;
    struct writer quiet = {.journal = j, .last = w->last};
    while (journal_end(j).segment == segment)
        write_one(&quiet);
    w->last = quiet.last;
    writer.journal = j;
}

static void records_are_flushed_while_a_segment_is_made_or_recycled(void **state)
{
    (void)state;
    struct host_ops ops = *host_posix()->ops;
    struct host host = {&ops};
    struct error err;
    ops.allocate = slow_allocate;
    ops.sync_dir = slow_sync_dir;
    ops.rename = slow_rename;
    char dir[] = "/tmp/c8s-test-journal.XXXXXX", cmd[64];
    assert_non_null(mkdtemp(dir));
    uint64_t count;
    struct journal *j = open_journal(&host, dir, &count);

    writer = (struct writer){.journal = j};
    assert_int_equal(journal_prepare(j, &err),
                     0); /* a new file: allocated, its name made durable */
    assert_int_equal(writer.moments, 2);
    begin_segment(j, &writer); /* the prepared one */
    uint64_t released = writer.last - 1;
    assert_int_equal(journal_release(j, (struct journal_pos){2, 64}, &err), 0); /* a spare */
    assert_int_equal(writer.moments, 3);
    assert_int_equal(journal_prepare(j, &err),
                     0); /* of the spare: renamed, its name made durable */
    assert_int_equal(writer.moments, 5);
    assert_int_equal(journal_end(j).segment, 2);

    writer.journal = NULL;
    journal_close(j);
    struct journal_options o = {.host = host_posix(), .dir = dir, .segment_bytes = 4096};
    count = released;
    if (journal_open(&o, (struct journal_pos){2, 64}, count_record, &count, &j, NULL, &err) < 0)
        fail_msg("%s", err.message);
    assert_int_equal(count, writer.last);
    journal_close(j);
    snprintf(cmd, sizeof cmd, "rm -r %s", dir);
    assert_int_equal(system(cmd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_is_begun_while_the_next_is_prepared),
        cmocka_unit_test(records_are_flushed_while_a_segment_is_made_or_recycled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
