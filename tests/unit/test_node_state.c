/*
 * Back-off, directories that change at once, container logs, triggers.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "node/atomic_dir.h"
#include "node/backoff.h"
#include "node/files.h"
#include "node/logs.h"
#include "node/trigger.h"
#include <fcntl.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/test_node_state.XXXXXX";
static struct arena scratch;

static char *in_dir(const char *name)
{
    return arena_printf(&scratch, "%s/%s", dir, name);
}

/* ------------------------------------------------------------------------------- back-off --- */

#define S (int64_t)1000000000

static void backoff_doubles_up_to_its_limit_and_starts_over(void **state)
{
    static const uint64_t delays_s[] = {10, 20, 40, 80, 160, 300, 300};
    struct backoff *b = backoff_new(10 * S, 300 * S);
    int64_t now = 1000 * S;

    (void)state;
    assert_int_equal(backoff_wait(b, "u/a", now, now), 0); /* the first restart is at once */
    for (size_t i = 0; i < ARRAY_LEN(delays_s); i++) {
        assert_int_equal(backoff_next(b, "u/a", now), delays_s[i] * S);
        now += S; /* ran for a second and failed again */
        assert_int_equal(backoff_wait(b, "u/a", now, now), delays_s[i] * S);
        assert_int_equal(backoff_wait(b, "u/a", now, now + 4 * S), (delays_s[i] - 4) * S);
        now += (int64_t)delays_s[i] * S;
        assert_int_equal(backoff_wait(b, "u/a", now - (int64_t)delays_s[i] * S, now), 0);
    }
    now += 601 * S; /* ran for longer than twice the limit */
    assert_int_equal(backoff_wait(b, "u/a", now, now), 0);
    assert_int_equal(backoff_next(b, "u/a", now), 10 * S);
    backoff_free(b);
}

static void backoff_keys_are_forgotten_alone_or_together(void **state)
{
    struct backoff *b = backoff_new(10 * S, 300 * S);

    (void)state;
    backoff_next(b, "u/a", S);
    backoff_next(b, "u/b", S);
    backoff_next(b, "v/a", S);
    backoff_reset(b, "u/a");
    assert_int_equal(backoff_delay(b, "u/a"), 0);
    assert_int_equal(backoff_delay(b, "u/b"), 10 * S);
    backoff_reset_prefix(b, "u/");
    assert_int_equal(backoff_delay(b, "u/b"), 0);
    assert_int_equal(backoff_delay(b, "v/a"), 10 * S);
    backoff_free(b);
}

/* ----------------------------------------------------------------------------- atomic dir --- */

static void expect_file(const char *path, const char *content)
{
    struct str have;

    assert_int_equal(file_read(path, 1000, &scratch, &have, NULL), 0);
    assert_true(str_eqz(have, content));
}

static void a_directory_changes_all_at_once(void **state)
{
    struct atomic_file files[] = {{"a", STR("1"), 0644}, {"sub/b", STR("2"), 0400}};
    const char *d = in_dir("vol");
    struct error err = {0};
    char before[256], after[256];
    struct stat st;
    bool changed;
    ssize_t n;

    (void)state;
    assert_int_equal(file_make_dirs(d, 0755, &err), 0);
    assert_int_equal(atomic_dir_write(d, files, 2, -1, &changed, &err), 0);
    assert_true(changed);
    expect_file(in_dir("vol/a"), "1");
    expect_file(in_dir("vol/sub/b"), "2");
    assert_int_equal(stat(in_dir("vol/sub/b"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0400);
    n = readlink(in_dir("vol/..data"), before, sizeof before - 1);
    assert_true(n > 0);
    before[n] = 0;

    assert_int_equal(atomic_dir_write(d, files, 2, -1, &changed, &err), 0);
    assert_false(changed);

    files[0].content = STR("new"); /* and sub/b goes */
    assert_int_equal(atomic_dir_write(d, files, 1, -1, &changed, &err), 0);
    assert_true(changed);
    expect_file(in_dir("vol/a"), "new");
    assert_true(lstat(in_dir("vol/sub"), &st) < 0);
    n = readlink(in_dir("vol/..data"), after, sizeof after - 1);
    after[MAX(n, 0)] = 0;
    assert_string_not_equal(before, after);
    assert_true(lstat(arena_printf(&scratch, "%s/%s", d, before), &st) < 0);
    assert_int_equal(readlink(in_dir("vol/a"), after, sizeof after), (ssize_t)strlen("..data/a"));

    assert_int_equal(atomic_dir_write(d, files, 0, -1, &changed, &err), 0); /* now empty */
    assert_true(changed);
    assert_true(lstat(in_dir("vol/a"), &st) < 0);
}

/* The version was put in place, then the disk was full: the links are made when there is room again. */
static void missing_links_are_made_later(void **state)
{
    struct atomic_file files[] = {{"a", STR("1"), 0644}};
    const char *d = in_dir("links");

    (void)state;
    assert_int_equal(file_make_dirs(d, 0755, NULL), 0);
    assert_int_equal(atomic_dir_write(d, files, 1, -1, NULL, NULL), 0);
    assert_int_equal(unlink(in_dir("links/a")), 0);
    assert_int_equal(atomic_dir_write(d, files, 1, -1, NULL, NULL), 0);
    expect_file(in_dir("links/a"), "1");
}

static void paths_stay_inside(void **state)
{
    static const char *const bad[] = {"",     "/a",     "..",  "../a", "a/../b",
                                      "a//b", "..data", "a/.", "a/"};
    static const char *const good[] = {"a", "a/b", "a..b", ".a", "a/..b"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct atomic_file f = {bad[i], STR("x"), 0644};
        struct error err = {0};

        assert_false(atomic_path_ok(bad[i]));
        assert_int_equal(atomic_dir_write(dir, &f, 1, -1, NULL, &err), ERR_INVALID);
    }
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_true(atomic_path_ok(good[i]));
}

/* ----------------------------------------------------------------------------------- logs --- */

static void a_record_is_time_stream_tag_text(void **state)
{
    static const char *const bad[] = {"",
                                      "x",
                                      "2026-11-21T08:15:49Z stdout",
                                      "yesterday stdout F text",
                                      "2026-11-21T08:15:49Z stdin F text",
                                      "4998-11-21T08:15:49Z stdout F text",
                                      "2026-11-21T08:15:49Z stdout X text",
                                      "2026-11-21T08:15:49Z stdout  text"};
    struct log_record r;

    (void)state;
    assert_true(log_parse(STR("2026-11-21T08:15:49.000000005Z stderr P a b"), &r));
    assert_true(r.is_stderr && r.partial);
    assert_true(str_eqz(r.text, "a b"));
    assert_int_equal(r.time_ns % S, 5);
    assert_true(log_parse(STR("2026-11-21T08:15:49Z stdout F "), &r));
    assert_int_equal(r.text.n, 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        assert_false(log_parse(str_from(bad[i]), &r));
}

static const char *sample(int from, int to)
{
    struct buf b;
    const char *text;

    buf_init(&b);
    for (int i = from; i <= to; i++)
        buf_printf(&b, "2026-11-21T08:15:%02d.000000000Z %s F line %d\n", i,
                   i % 2 ? "stdout" : "stderr", i);
    text = arena_strndup(&scratch, b.data, b.len);
    buf_free(&b);
    return text;
}

static const char *read_all(struct log_reader *r)
{
    struct error err = {0};
    struct buf out;
    const char *text;
    int rc;

    buf_init(&out);
    while ((rc = log_reader_read(r, 64, &out, &err)) == 1)
        ;
    assert_true(rc >= 0);
    text = arena_strndup(&scratch, out.data ? out.data : "", out.len);
    buf_free(&out);
    return text;
}

static const char *read_with(const char *path, struct log_options o)
{
    struct error err = {0};
    struct log_reader *r = log_reader_open(path, &o, &err);
    const char *text;

    assert_non_null(r);
    text = read_all(r);
    log_reader_free(r);
    return text;
}

static void options_choose_what_is_shown(void **state)
{
    const char *path = in_dir("0.log");
    int64_t from;
    int32_t nanos;

    (void)state;
    file_replace(path, str_from(sample(1, 5)), 0644, NULL);
#define OPTIONS(...) ((struct log_options){.tail_lines = -1, .limit_bytes = -1, __VA_ARGS__})
    assert_string_equal(read_with(path, OPTIONS(.stream = 0)),
                        "line 1\nline 2\nline 3\nline 4\nline 5\n");
    assert_string_equal(read_with(path, (struct log_options){.tail_lines = 2, .limit_bytes = -1}),
                        "line 4\nline 5\n");
    assert_string_equal(read_with(path, (struct log_options){.tail_lines = 9, .limit_bytes = -1}),
                        "line 1\nline 2\nline 3\nline 4\nline 5\n");
    assert_string_equal(read_with(path, (struct log_options){.tail_lines = 0, .limit_bytes = -1}),
                        "");
    assert_string_equal(read_with(path, (struct log_options){.tail_lines = -1, .limit_bytes = 9}),
                        "line 1\nli");
    assert_string_equal(read_with(path, OPTIONS(.stream = 2)), "line 2\nline 4\n");
    assert_string_equal(
        read_with(path,
                  (struct log_options){.tail_lines = 1, .limit_bytes = -1, .timestamps = true}),
        "2026-11-21T08:15:05.000000000Z line 5\n");
    assert_true(clock_parse_rfc3339("2026-11-21T08:15:04Z", 20, &from, &nanos));
    assert_string_equal(read_with(path, OPTIONS(.since_ns = from * S)), "line 4\nline 5\n");
    assert_string_equal(logs_tail(path, 2, 8, &scratch), "\nline 5\n");
    assert_string_equal(logs_tail(in_dir("none.log"), 2, 8, &scratch), "");
}

static void append(const char *path, const char *text)
{
    FILE *f = fopen(path, "a");

    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void a_reader_follows_growth_and_rotation(void **state)
{
    const char *path = in_dir("1.log");
    struct log_options o = {.tail_lines = -1, .limit_bytes = -1};
    struct error err = {0};
    struct log_reader *r;

    (void)state;
    append(path, sample(1, 1));
    r = log_reader_open(path, &o, &err);
    assert_string_equal(read_all(r), "line 1\n");
    append(path, "2026-11-21T08:15:02Z stdout P first ");
    assert_string_equal(read_all(r), ""); /* not a whole record yet */
    append(path, "half\n2026-11-21T08:15:02Z stdout F second half\n");
    assert_string_equal(read_all(r), "first halfsecond half\n");
    append(path, sample(3, 3));
    assert_true(logs_rotate(path, 1, 2)); /* the runtime goes on in a new file */
    append(path, sample(4, 5));
    assert_string_equal(read_all(r), "line 3\nline 4\nline 5\n");
    append(path, "rubbish\n");
    append(path, sample(6, 6));
    assert_string_equal(read_all(r), "line 6\n");
    log_reader_free(r);
    assert_null(log_reader_open(in_dir("no.log"), &o, &err));
    assert_int_equal(err.code, ERR_NOT_FOUND);
}

static void only_what_the_runtime_wrote_is_a_log(void **state)
{
    const struct log_options o = {.tail_lines = -1, .limit_bytes = -1};
    struct stat st;

    (void)state;
    append(in_dir("secret"), "2026-01-01T00:00:00Z stdout F not for you\n");
    assert_int_equal(symlink(in_dir("secret"), in_dir("9.log")), 0);
    assert_null(log_reader_open(in_dir("9.log"), &o, NULL));
    assert_false(logs_rotate(in_dir("9.log"), 1, 3));
    assert_int_equal(lstat(in_dir("9.log"), &st), 0);
    assert_int_equal(mkfifo(in_dir("8.log"), 0644), 0);
    assert_null(log_reader_open(in_dir("8.log"), &o, NULL)); /* and waits for no writer */
}

static void rotation_keeps_so_many_files(void **state)
{
    const char *path = in_dir("logs/2.log");
    int left = 0;

    (void)state;
    file_make_dirs(in_dir("logs"), 0755, NULL);
    append(path, sample(1, 1));
    assert_false(logs_rotate(path, 1000, 3)); /* not large enough */
    for (int i = 0; i < 5; i++) {
        struct timespec t = {.tv_nsec = 2000000}; /* names differ by milliseconds */
        assert_true(logs_rotate(path, 10, 3));
        append(path, sample(1, 1));
        nanosleep(&t, NULL);
    }
    if (system(arena_printf(&scratch, "test $(ls %s | wc -l) -eq 3", in_dir("logs"))) != 0)
        left = 1;
    assert_int_equal(left, 0); /* the live one and two before it */
    logs_remove(path);
    assert_int_equal(rmdir(in_dir("logs")), 0);
}

/* ------------------------------------------------------------------------------- triggers --- */

struct counted {
    sem_t ran;
    uint64_t again_ms;
};

static uint64_t count_run(void *ctx)
{
    struct counted *c = ctx;
    uint64_t again = c->again_ms;

    c->again_ms = 0;
    sem_post(&c->ran);
    return again;
}

static bool ran_within(struct counted *c, int ms)
{
    struct timespec at;

    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += ms / 1000;
    at.tv_nsec += (long)(ms % 1000) * 1000000;
    if (at.tv_nsec >= S) {
        at.tv_sec++;
        at.tv_nsec -= S;
    }
    return sem_timedwait(&c->ran, &at) == 0;
}

static void a_trigger_runs_when_poked_and_when_it_asked_to(void **state)
{
    struct counted c = {.again_ms = 10};
    struct trigger *t;

    (void)state;
    sem_init(&c.ran, 0, 0);
    t = trigger_start("test", 5, count_run, &c);
    assert_false(ran_within(&c, 30)); /* nobody asked */
    trigger_poke(t);
    assert_true(ran_within(&c, 5000));
    assert_true(ran_within(&c, 5000)); /* by itself, once */
    assert_false(ran_within(&c, 30));
    for (int i = 0; i < 100; i++) /* a burst becomes few runs */
        trigger_poke(t);
    assert_true(ran_within(&c, 5000));
    trigger_stop(t);
    sem_destroy(&c.ran);
}

static int set_up(void **state)
{
    (void)state;
    arena_init(&scratch);
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    arena_free(&scratch);
    return file_remove_tree(dir, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backoff_doubles_up_to_its_limit_and_starts_over),
        cmocka_unit_test(backoff_keys_are_forgotten_alone_or_together),
        cmocka_unit_test(a_directory_changes_all_at_once),
        cmocka_unit_test(missing_links_are_made_later),
        cmocka_unit_test(paths_stay_inside),
        cmocka_unit_test(a_record_is_time_stream_tag_text),
        cmocka_unit_test(options_choose_what_is_shown),
        cmocka_unit_test(a_reader_follows_growth_and_rotation),
        cmocka_unit_test(only_what_the_runtime_wrote_is_a_log),
        cmocka_unit_test(rotation_keeps_so_many_files),
        cmocka_unit_test(a_trigger_runs_when_poked_and_when_it_asked_to),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
