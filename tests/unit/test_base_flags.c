/*
 * Specification of base/flags.h: what command lines are accepted and what the refusals say.
 */
#include "base/flags.h"
#include "base/mem.h"

#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

/* One flag of each type, and where they end up. */
struct options {
    const char *name, *output, *dry_run;
    bool verbose, wide, name_seen;
    struct flag_list urls, vars;
    int64_t count, heartbeat_ms, period_ns, timeout_s, level;
    uint64_t quota;
    double ratio;
    struct flag_list args;
};

static int parse(struct options *o, const char *line, struct error *err)
{
    const struct flag flags[] = {
        {.help = "Member:"},
        {"name", 'n', FLAG_STRING, &o->name, "NAME", "Name of this member.", .seen = &o->name_seen},
        {"output", 'o', FLAG_STRING, &o->output, NULL, "Format.", .choices = "json|yaml",
         .alias = "out"},
        {"dry-run", 0, FLAG_STRING, &o->dry_run, NULL, "Only try.", .implied = "client"},
        {"verbose", 'b', FLAG_BOOL, &o->verbose, NULL, "Say more."},
        {"wide", 'w', FLAG_BOOL, &o->wide, NULL, "Wide."},
        {"urls", 0, FLAG_LIST, &o->urls, "URLS", "Where to listen."},
        {"env", 'e', FLAG_REPEATED, &o->vars, NULL, "Variables."},
        {"count", 0, FLAG_INT, &o->count, NULL, "How many."},
        {"heartbeat", 0, FLAG_MS, &o->heartbeat_ms, NULL, "Beat."},
        {"period", 0, FLAG_DURATION, &o->period_ns, NULL, "Period."},
        {"timeout", 0, FLAG_SECONDS, &o->timeout_s, NULL, "Patience."},
        {"v", 'v', FLAG_COUNT, &o->level, NULL, "Log level."},
        {"quota", 0, FLAG_UINT, &o->quota, NULL, "Bytes."},
        {"ratio", 0, FLAG_FLOAT, &o->ratio, NULL, "Part."},
        {"proxy", 0, FLAG_UNSUPPORTED, NULL, NULL, "there is no proxy mode"},
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "prog",
                                    .summary = "A program.",
                                    .flags = flags,
                                    .env_prefix = "C8S_TEST_",
                                    .args_max = 2};
    static char copy[512];
    static char *argv[32];
    int argc = 0;
    snprintf(copy, sizeof copy, "prog %s", line);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        argv[argc++] = word;
    return flags_parse(&spec, argc, argv, &o->args, err);
}

static void options_free(struct options *o)
{
    flag_list_free(&o->urls);
    flag_list_free(&o->vars);
    flag_list_free(&o->args);
}

static void every_form_of_a_value(void **state)
{
    (void)state;
    static const char *const lines[] = {"--name x", "--name=x", "-name x", "-name=x",
                                        "-n x",     "-nx",      "-n=x"};
    for (size_t i = 0; i < ARRAY_LEN(lines); i++) {
        struct options o = {0};
        assert_int_equal(parse(&o, lines[i], NULL), 0);
        assert_string_equal(o.name, "x");
        assert_true(o.name_seen);
        options_free(&o);
    }
}

static void every_type(void **state)
{
    (void)state;
    struct options o = {.name = "default", .wide = true};
    struct error err = {0};
    int rc =
        parse(&o,
              "--verbose --wide=false --urls a,b --urls=c -e x=1,2 -e y --count -5 --heartbeat 100 "
              "--period 1h30m --timeout 1m --quota 8589934592 --ratio 0.25 --dry-run --out yaml "
              "-v -v first second",
              &err);
    assert_string_equal(err.message, "");
    assert_int_equal(rc, 0);
    assert_string_equal(o.name, "default");
    assert_false(o.name_seen);
    assert_true(o.verbose && !o.wide);
    assert_int_equal(o.urls.len, 3);
    assert_string_equal(o.urls.items[2], "c");
    assert_int_equal(o.vars.len, 2);
    assert_string_equal(o.vars.items[0], "x=1,2");
    assert_true(o.count == -5 && o.heartbeat_ms == 100 && o.timeout_s == 60 && o.level == 2);
    assert_true(o.period_ns == 5400000000000 && o.quota == 8589934592u && o.ratio == 0.25);
    assert_string_equal(o.dry_run, "client");
    assert_string_equal(o.output, "yaml");
    assert_int_equal(o.args.len, 2);
    assert_string_equal(o.args.items[1], "second");
    options_free(&o);
}

static void letters_group_and_dashes_end_flags(void **state)
{
    (void)state;
    struct options o = {0};
    assert_int_equal(parse(&o, "-bwn joe --heartbeat=1.5s -v=4 -- --verbose -", NULL), 0);
    assert_true(o.verbose && o.wide && o.heartbeat_ms == 1500 && o.level == 4);
    assert_string_equal(o.name, "joe");
    assert_string_equal(o.args.items[0], "--verbose");
    assert_string_equal(o.args.items[1], "-");
    options_free(&o);
}

static void refusals_name_the_flag(void **state)
{
    (void)state;
    static const struct {
        const char *line, *message;
        int code;
    } cases[] = {
        {"--foo", "unknown flag: --foo", ERR_INVALID},
        {"--foo=bar", "unknown flag: --foo", ERR_INVALID},
        {"-z", "unknown flag: -z", ERR_INVALID},
        {"-bz", "unknown flag: -z in -bz", ERR_INVALID},
        {"--name", "flag needs an argument: --name", ERR_INVALID},
        {"-n", "flag needs an argument: -n", ERR_INVALID},
        {"--count x", "invalid value \"x\" for --count: must be a whole number", ERR_INVALID},
        {"--quota -1", "invalid value \"-1\" for --quota: must be a whole number, 0 or more",
         ERR_INVALID},
        {"--verbose=maybe", "invalid value \"maybe\" for --verbose: must be true or false",
         ERR_INVALID},
        {"--period 5", "invalid value \"5\" for --period: must be a duration like 5m or 1h30m",
         ERR_INVALID},
        {"--ratio nan", "invalid value \"nan\" for --ratio: must be a number", ERR_INVALID},
        {"-o xml", "invalid value \"xml\" for -o: must be one of json|yaml", ERR_INVALID},
        {"--proxy on", "--proxy is not supported: there is no proxy mode", ERR_UNSUPPORTED},
        {"a b c", "unexpected argument: c", ERR_INVALID},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct options o = {0};
        struct error err = {0};
        assert_int_equal(parse(&o, cases[i].line, &err), cases[i].code);
        assert_string_equal(err.message, cases[i].message);
        options_free(&o);
    }
}

static void variables_stand_for_flags_and_flags_win(void **state)
{
    (void)state;
    setenv("C8S_TEST_NAME", "from-env", 1);
    setenv("C8S_TEST_DRY_RUN", "server", 1);
    setenv("C8S_TEST_URLS", "x,y", 1);
    struct options o = {0};
    assert_int_equal(parse(&o, "", NULL), 0);
    assert_string_equal(o.name, "from-env");
    assert_string_equal(o.dry_run, "server");
    assert_int_equal(o.urls.len, 2);
    assert_int_equal(parse(&o, "--name flag --urls z", NULL), 0);
    assert_string_equal(o.name, "flag");
    assert_int_equal(o.urls.len, 1);
    setenv("C8S_TEST_COUNT", "many", 1);
    struct error err = {0};
    assert_int_equal(parse(&o, "", &err), ERR_INVALID);
    assert_string_equal(err.message,
                        "invalid value \"many\" for C8S_TEST_COUNT: must be a whole number");
    unsetenv("C8S_TEST_NAME");
    unsetenv("C8S_TEST_DRY_RUN");
    unsetenv("C8S_TEST_URLS");
    unsetenv("C8S_TEST_COUNT");
    options_free(&o);
}

static char *render(void (*print)(const struct flags_spec *, FILE *), const struct flags_spec *spec)
{
    char *text = NULL;
    size_t n = 0;
    FILE *out = open_memstream(&text, &n);
    print(spec, out);
    fclose(out);
    return text;
}

static void print_man_8(const struct flags_spec *spec, FILE *out)
{
    flags_print_man(spec, 8, out);
}

static void help_and_man_page_come_from_the_table(void **state)
{
    (void)state;
    const char *dir = "default.etcd";
    int64_t beat = 100;
    const struct flag flags[] = {
        {.help = "Member:"},
        {"data-dir", 'd', FLAG_STRING, &dir, "DIR", "Where data lives."},
        {"heartbeat", 0, FLAG_MS, &beat, NULL, ".dots and \\ survive."},
        {"secret", 0, FLAG_STRING, &dir, NULL, NULL},
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "c8s x", .summary = "Do x.", .usage = "KEY", .flags = flags};
    char *help = render(flags_print_help, &spec);
    assert_string_equal(help,
                        "Do x.\n\nUsage: c8s x KEY\n\n\nMember:\n"
                        "  -d, --data-dir DIR\n        Where data lives. (default default.etcd)\n"
                        "      --heartbeat MS\n        .dots and \\ survive. (default 100)\n"
                        "  -h, --help\n        Show this text.\n"
                        "      --version\n        Show the version.\n");
    free(help);
    char *man = render(print_man_8, &spec);
    assert_non_null(strstr(man, ".SH NAME\nc8s\\-x \\- Do x.\n"));
    assert_non_null(strstr(man, ".SS Member:\n"));
    assert_non_null(strstr(man, ".TP\n\\fB\\-d\\fR, \\fB\\-\\-data\\-dir\\fR \\fIDIR\\fR\n"
                                "Where data lives. Default: default.etcd.\n"));
    assert_non_null(strstr(man, "\n\\&.dots and \\e survive."));
    assert_null(strstr(man, "secret"));
    free(man);
}

static void arguments_can_end_the_flags_for_a_subcommand(void **state)
{
    (void)state;
    bool global = false;
    const struct flag flags[] = {{"global", 'g', FLAG_BOOL, &global, NULL, "Global."}, FLAGS_END};
    const struct flags_spec spec = {.program = "c8s",
                                    .flags = flags,
                                    .args_min = 1,
                                    .args_max = FLAGS_ANY,
                                    .stop_at_argument = true};
    char *argv[] = {"c8s", "-g", "get", "-o", "wide"};
    struct flag_list args = {0};
    assert_int_equal(flags_parse(&spec, 5, argv, &args, NULL), 0);
    assert_true(global);
    assert_int_equal(args.len, 3);
    assert_string_equal(args.items[1], "-o");
    flag_list_free(&args);
    struct error err = {0};
    assert_int_equal(flags_parse(&spec, 1, argv, &args, &err), ERR_INVALID);
    assert_string_equal(err.message, "missing argument: usage: c8s [flags]");
}

static void configuration_files_set_flags_by_name(void **state)
{
    (void)state;
    int64_t n = 0;
    const struct flag flags[] = {{"snapshot-count", 0, FLAG_INT, &n, NULL, "N."}, FLAGS_END};
    const struct flags_spec spec = {.program = "x", .flags = flags};
    struct error err = {0};
    assert_int_equal(flags_set(&spec, "snapshot-count", "10", &err), 0);
    assert_int_equal(n, 10);
    assert_int_equal(flags_set(&spec, "nope", "10", &err), ERR_NOT_FOUND);
    assert_string_equal(err.message, "unknown flag: nope");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_of_a_value),
        cmocka_unit_test(every_type),
        cmocka_unit_test(letters_group_and_dashes_end_flags),
        cmocka_unit_test(refusals_name_the_flag),
        cmocka_unit_test(variables_stand_for_flags_and_flags_win),
        cmocka_unit_test(help_and_man_page_come_from_the_table),
        cmocka_unit_test(arguments_can_end_the_flags_for_a_subcommand),
        cmocka_unit_test(configuration_files_set_flags_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
