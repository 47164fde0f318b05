/*
 * Specification of base/log.h and metrics.h: what a line and a scrape look like.
 */
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static char last_line[4096];

static void keep_line(void *ctx, enum log_level level, const char *line)
{
    (void)ctx;
    (void)level;
    snprintf(last_line, sizeof last_line, "%s", line);
}

/* The line after its time. */
static const char *line_rest(const char *from)
{
    const char *at = strstr(last_line, from);
    return at ? at : last_line;
}

static void log_lines_are_logfmt(void **state)
{
    (void)state;
    log_set_sink(keep_line, NULL);
    log_info("raft", "became leader term=%llu last=%d", 4ull, 17);
    assert_memory_equal(last_line, "time=20", 7);
    assert_string_equal(line_rest("level="),
                        "level=info module=raft msg=\"became leader\" term=4 last=17");
    log_warn("net", "peer %s gone reason=%s empty=%s", "10.0.0.1", "no \"route\"\n", "");
    assert_string_equal(line_rest("level="), "level=warn module=net msg=\"peer 10.0.0.1 gone\" "
                                             "reason=\"no \\\"route\\\"\\n\" empty=\"\"");
    log_warn("net", "quoted by the format reason=\"%s\"", "a b");
    assert_string_equal(line_rest("reason="), "reason=\"a b\"");
    log_set_sink(NULL, NULL);
}

static void log_arguments_cannot_forge_fields(void **state)
{
    (void)state;
    log_set_sink(keep_line, NULL);
    log_error("api", "denied %s user=%s", "x level=debug", "eve admin=true");
    assert_string_equal(line_rest("level=error"),
                        "level=error module=api msg=\"denied x level=debug\" "
                        "user=\"eve admin=true\"");
    log_set_sink(NULL, NULL);
}

static void log_lines_as_json(void **state)
{
    (void)state;
    log_set_sink(keep_line, NULL);
    log_set_json(true);
    log_info("raft", "vote granted term=%d to=%s", 3, "m\"2");
    assert_string_equal(line_rest("\"level\""), "\"level\":\"info\",\"module\":\"raft\",\"msg\":"
                                                "\"vote granted\",\"term\":3,\"to\":\"m\\\"2\"}");
    log_set_json(false);
    log_set_sink(NULL, NULL);
}

static void log_levels_filter(void **state)
{
    (void)state;
    enum log_level level;
    assert_true(log_parse_level("warn", &level) && level == LOG_WARN);
    assert_false(log_parse_level("loud", &level));
    log_set_sink(keep_line, NULL);
    last_line[0] = '\0';
    log_debug("x", "hidden by default");
    assert_string_equal(last_line, "");
    log_set_level(LOG_DEBUG);
    log_debug("x", "shown");
    assert_string_equal(line_rest("msg="), "msg=shown");
    log_set_level(LOG_INFO);
    log_set_sink(NULL, NULL);
}

static double answer(void *ctx)
{
    return *(int *)ctx;
}

static void metrics_render_as_prometheus_text(void **state)
{
    (void)state;
    static const double bounds[] = {0.1, 1};
    int forty_two = 42;
    struct metrics *m = metrics_new();
    struct counter *puts_total = metrics_counter(m, "requests_total", "type=\"put\"", "Requests.");
    struct counter *gets_total = metrics_counter(m, "requests_total", "type=\"get\"", "Requests.");
    counter_add(puts_total, 2);
    counter_add(gets_total, 1);
    assert_ptr_equal(metrics_counter(m, "requests_total", "type=\"put\"", "Requests."), puts_total);
    struct gauge *g = metrics_gauge(m, "temperature", NULL, "Degrees.");
    gauge_set(g, 20);
    gauge_add(g, 0.5);
    metrics_gauge_fn(m, "answer", NULL, "Computed.", answer, &forty_two);
    struct histogram *h = metrics_histogram(m, "seconds", "op=\"a\"", "Time.", bounds, 2);
    histogram_observe(h, 0.1);
    histogram_observe(h, 0.5);
    histogram_observe(h, 7);

    struct buf out = {0};
    metrics_render(m, &out);
    static const char want[] = "# HELP requests_total Requests.\n# TYPE requests_total counter\n"
                               "requests_total{type=\"put\"} 2\nrequests_total{type=\"get\"} 1\n"
                               "# HELP temperature Degrees.\n# TYPE temperature gauge\n"
                               "temperature 20.5\n"
                               "# HELP answer Computed.\n# TYPE answer gauge\nanswer 42\n"
                               "# HELP seconds Time.\n# TYPE seconds histogram\n"
                               "seconds_bucket{op=\"a\",le=\"0.1\"} 1\n"
                               "seconds_bucket{op=\"a\",le=\"1\"} 2\n"
                               "seconds_bucket{op=\"a\",le=\"+Inf\"} 3\n";
    assert_memory_equal(buf_cstr(&out), want, sizeof want - 1);
    assert_non_null(strstr(buf_cstr(&out), "seconds_count{op=\"a\"} 3\n"));
    assert_non_null(strstr(buf_cstr(&out), "\nprocess_open_fds "));
    assert_non_null(strstr(buf_cstr(&out), "\nprocess_resident_memory_bytes "));
    buf_free(&out);
    metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log_lines_are_logfmt),
        cmocka_unit_test(log_arguments_cannot_forge_fields),
        cmocka_unit_test(log_lines_as_json),
        cmocka_unit_test(log_levels_filter),
        cmocka_unit_test(metrics_render_as_prometheus_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
