/*
 * Command-line parser: every question about a flag is answered by its row of the table.
 */
#include "base/flags.h"
#include "base/clock.h"
#include "base/vec.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

void flag_list_add(struct flag_list *l, const char *value)
{
    vec_push(l, mem_strdup(value));
}

static void flag_list_clear(struct flag_list *l)
{
    for (size_t i = 0; i < l->len; i++)
        mem_free(l->items[i]);
    l->len = 0;
}

void flag_list_free(struct flag_list *l)
{
    flag_list_clear(l);
    vec_free(l);
}

/* --- the table --- */

static bool row_is_end(const struct flag *f)
{
    return !f->name && !f->help;
}

static const struct flag *find_name(const struct flags_spec *spec, struct str name)
{
    for (const struct flag *f = spec->flags; f && !row_is_end(f); f++)
        if (f->name && (str_eqz(name, f->name) || (f->alias && str_eqz(name, f->alias))))
            return f;
    return NULL;
}

static const struct flag *find_letter(const struct flags_spec *spec, char letter)
{
    for (const struct flag *f = spec->flags; f && !row_is_end(f); f++)
        if (f->name && f->letter == letter)
            return f;
    return NULL;
}

static bool takes_value(const struct flag *f)
{
    return f->type != FLAG_BOOL && f->type != FLAG_COUNT && !f->implied;
}

/* --- values --- */

static int bad_value(const char *source, const char *value, const char *expected, struct error *err)
{
    return error_set(err, ERR_INVALID, "invalid value \"%s\" for %s: %s", value, source, expected);
}

static bool in_choices(const char *choices, struct str value)
{
    struct str rest = str_from(choices), one;
    while (str_split(&rest, '|', &one))
        if (str_eq(one, value))
            return true;
    return false;
}

static int parse_bool(const char *value, bool *out)
{
    if (cstr_eq(value, "true") || cstr_eq(value, "1") || cstr_eq(value, "t") ||
        cstr_eq(value, "True") || cstr_eq(value, "TRUE") || cstr_eq(value, "T"))
        *out = true;
    else if (cstr_eq(value, "false") || cstr_eq(value, "0") || cstr_eq(value, "f") ||
             cstr_eq(value, "False") || cstr_eq(value, "FALSE") || cstr_eq(value, "F"))
        *out = false;
    else
        return ERR_INVALID;
    return 0;
}

/* A number of `unit_ns`, or a Go duration, which is turned into such a number. */
static int parse_time(const char *value, uint64_t unit_ns, int64_t *out)
{
    int64_t ns;
    if (str_to_i64(str_from(value), out))
        return 0;
    if (!clock_parse_duration(str_from(value), &ns))
        return ERR_INVALID;
    *out = ns / (int64_t)unit_ns;
    return 0;
}

static int parse_float(const char *value, double *out)
{
    char *end;
    errno = 0;
    double v = strtod(value, &end);
    if (end == value || *end || errno || !isfinite(v))
        return ERR_INVALID;
    *out = v;
    return 0;
}

static void add_split(struct flag_list *l, const char *value)
{
    struct str rest = str_from(value), one;
    while (*value && str_split(&rest, ',', &one)) {
        char *copy = mem_strndup(one.n ? one.p : "", one.n);
        vec_push(l, copy);
    }
}

/*
 * Store one value. `source` names where it came from, as the user wrote it ("--name", "ETCD_NAME").
 * `fresh`: the first value from this source, which replaces what a list held.
 */
static int store(const struct flag *f, const char *source, const char *value, bool fresh,
                 struct error *err)
{
    int rc = 0;
    const char *expected = NULL;
    if (f->choices && !in_choices(f->choices, str_from(value)))
        return error_set(err, ERR_INVALID, "invalid value \"%s\" for %s: must be one of %s", value,
                         source, f->choices);
    switch (f->type) {
    case FLAG_BOOL:
        rc = parse_bool(value, f->target);
        expected = "must be true or false";
        break;
    case FLAG_STRING:
        *(const char **)f->target = value;
        break;
    case FLAG_LIST:
    case FLAG_REPEATED:
        if (fresh)
            flag_list_clear(f->target);
        if (f->type == FLAG_LIST)
            add_split(f->target, value);
        else
            flag_list_add(f->target, value);
        break;
    case FLAG_INT:
    case FLAG_COUNT:
        rc = str_to_i64(str_from(value), f->target) ? 0 : ERR_INVALID;
        expected = "must be a whole number";
        break;
    case FLAG_UINT:
        rc = str_to_u64(str_from(value), f->target) ? 0 : ERR_INVALID;
        expected = "must be a whole number, 0 or more";
        break;
    case FLAG_FLOAT:
        rc = parse_float(value, f->target);
        expected = "must be a number";
        break;
    case FLAG_DURATION:
        rc = clock_parse_duration(str_from(value), f->target) ? 0 : ERR_INVALID;
        expected = "must be a duration like 5m or 1h30m";
        break;
    case FLAG_MS:
        rc = parse_time(value, NS_PER_MS, f->target);
        expected = "must be a number of milliseconds or a duration like 100ms";
        break;
    case FLAG_SECONDS:
        rc = parse_time(value, NS_PER_S, f->target);
        expected = "must be a number of seconds or a duration like 30s";
        break;
    case FLAG_UNSUPPORTED:
        return error_set(err, ERR_UNSUPPORTED, "%s is not supported%s%s", source,
                         f->help ? ": " : "", f->help ? f->help : "");
    }
    if (rc < 0)
        return bad_value(source, value, expected, err);
    if (f->seen)
        *f->seen = true;
    return 0;
}

int flags_set(const struct flags_spec *spec, const char *name, const char *value, struct error *err)
{
    const struct flag *f = find_name(spec, str_from(name));
    if (!f)
        return error_set(err, ERR_NOT_FOUND, "unknown flag: %s", name);
    return store(f, name, value, true, err);
}

/* --- environment --- */

/* "ETCD_" + "data-dir" → "ETCD_DATA_DIR"; free with mem_free. */
static char *env_name(const char *prefix, const char *flag)
{
    char *name = mem_printf("%s%s", prefix, flag);
    for (char *c = name; *c; c++) {
        if (*c == '-')
            *c = '_';
        else if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 'a' + 'A');
    }
    return name;
}

static int read_environment(const struct flags_spec *spec, struct error *err)
{
    if (!spec->env_prefix)
        return 0;
    for (const struct flag *f = spec->flags; f && !row_is_end(f); f++) {
        if (!f->name)
            continue;
        char *name = env_name(spec->env_prefix, f->name);
        const char *value = getenv(name);
        int rc = value && *value ? store(f, name, value, true, err) : 0;
        mem_free(name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

void flags_unknown_variables(const struct flags_spec *spec, struct flag_list *names)
{
    size_t n = spec->env_prefix ? strlen(spec->env_prefix) : 0;
    for (char **entry = environ; n && *entry; entry++) {
        struct str rest = str_from(*entry), name;
        str_split(&rest, '=', &name);
        if (strncmp(*entry, spec->env_prefix, n) != 0)
            continue;
        bool known = false;
        for (const struct flag *f = spec->flags; f && !row_is_end(f) && !known; f++) {
            char *variable = f->name ? env_name(spec->env_prefix, f->name) : NULL;
            known = variable && str_eqz(name, variable);
            mem_free(variable);
        }
        if (!known) {
            char *copy = mem_strndup(name.p, name.n);
            flag_list_add(names, copy);
            mem_free(copy);
        }
    }
}

/* --- the command line --- */

struct parser {
    const struct flags_spec *spec;
    int argc;
    char **argv;
    int next;   /* index of the argument to look at */
    bool *used; /* per row: given on the command line already */
    struct flag_list *args;
    struct error *err;
};

static size_t row_count(const struct flags_spec *spec)
{
    size_t n = 0;
    for (const struct flag *f = spec->flags; f && !row_is_end(f); f++)
        n++;
    return n;
}

static int store_argument(struct parser *p, const struct flag *f, const char *source,
                          const char *value)
{
    bool *used = &p->used[f - p->spec->flags];
    bool fresh = !*used;
    *used = true;
    return store(f, source, value, fresh, p->err);
}

/* The value of f: `inline_value` (after '=' or the letter), the implied one, or the next argument.
 */
static int take_value(struct parser *p, const struct flag *f, const char *source,
                      const char *inline_value)
{
    if (f->type == FLAG_UNSUPPORTED)
        return store(f, source, "", false, p->err);
    if (inline_value)
        return store_argument(p, f, source, inline_value);
    if (f->type == FLAG_COUNT) {
        ++*(int64_t *)f->target;
        p->used[f - p->spec->flags] = true;
        return 0;
    }
    if (!takes_value(f))
        return store_argument(p, f, source, f->implied ? f->implied : "true");
    if (p->next >= p->argc)
        return error_set(p->err, ERR_INVALID, "flag needs an argument: %s", source);
    return store_argument(p, f, source, p->argv[p->next++]);
}

/* --help, --version, --man and --complete=, unless the table has a flag of that name. */
static int built_in(const struct flags_spec *spec, struct str name, const char *value)
{
    if (str_eqz(name, "help") || str_eqz(name, "h"))
        flags_print_help(spec, stdout);
    else if (str_eqz(name, "version"))
        printf("%s %s\n", spec->program, C8S_VERSION);
    else if (str_eqz(name, "man"))
        flags_print_man(spec, 8, stdout);
    else if (str_eqz(name, "complete") && value)
        flags_print_completion(spec, value, stdout);
    else
        return 0;
    return FLAGS_PRINTED;
}

static int parse_long(struct parser *p, struct str name, const char *inline_value)
{
    char source[128];
    snprintf(source, sizeof source, "--%.*s", STR_ARG(str_slice(name, 0, 100)));
    const struct flag *f = find_name(p->spec, name);
    if (f)
        return take_value(p, f, source, inline_value);
    int rc = built_in(p->spec, name, inline_value);
    return rc ? rc : error_set(p->err, ERR_INVALID, "unknown flag: %s", source);
}

/* `-abc`: letters without a value, the last of which may have one attached. */
static int parse_letters(struct parser *p, const char *letters)
{
    for (const char *at = letters; *at; at++) {
        char source[3] = {'-', *at, '\0'};
        const struct flag *f = find_letter(p->spec, *at);
        if (!f) {
            int rc = *at == 'h' ? built_in(p->spec, STR("h"), NULL) : 0;
            if (rc)
                return rc;
            return at == letters && !at[1]
                       ? error_set(p->err, ERR_INVALID, "unknown flag: -%s", letters)
                       : error_set(p->err, ERR_INVALID, "unknown flag: -%c in -%s", *at, letters);
        }
        bool attached = at[1] == '=' || (at[1] && takes_value(f));
        if (attached)
            return take_value(p, f, source, at[1] == '=' ? at + 2 : at + 1);
        int rc = take_value(p, f, source, NULL);
        if (rc)
            return rc;
    }
    return 0;
}

static int parse_one(struct parser *p, const char *arg)
{
    const char *text = arg + 1 + (arg[1] == '-');
    const char *eq = strchr(text, '=');
    struct str name = str_make(text, eq ? (size_t)(eq - text) : strlen(text));
    /* Go's flag package takes -name for --name; a one-letter group that is also a name is the name.
     */
    if (arg[1] == '-' || (name.n > 1 && find_name(p->spec, name)))
        return parse_long(p, name, eq ? eq + 1 : NULL);
    return parse_letters(p, text);
}

static int add_positional(struct parser *p, const char *arg)
{
    if (p->args && p->args->len < p->spec->args_max) {
        flag_list_add(p->args, arg);
        return 0;
    }
    return error_set(p->err, ERR_INVALID, "unexpected argument: %s", arg);
}

static int parse_arguments(struct parser *p)
{
    bool flags_ended = false;
    while (p->next < p->argc) {
        const char *arg = p->argv[p->next++];
        int rc;
        if (flags_ended || arg[0] != '-' || arg[1] == '\0') {
            rc = add_positional(p, arg);
            flags_ended |= p->spec->stop_at_argument;
        } else if (strcmp(arg, "--") == 0) {
            flags_ended = true;
            rc = 0;
        } else {
            rc = parse_one(p, arg);
        }
        if (rc)
            return rc;
    }
    size_t count = p->args ? p->args->len : 0;
    if (count < p->spec->args_min)
        return error_set(p->err, ERR_INVALID, "missing argument: usage: %s %s", p->spec->program,
                         p->spec->usage ? p->spec->usage : "[flags]");
    return 0;
}

int flags_parse(const struct flags_spec *spec, int argc, char **argv, struct flag_list *args,
                struct error *err)
{
    int rc = read_environment(spec, err);
    if (rc < 0)
        return rc;
    struct parser p = {.spec = spec,
                       .argc = argc,
                       .argv = argv,
                       .next = 1,
                       .used = mem_zalloc(row_count(spec) + 1),
                       .args = args,
                       .err = err};
    rc = parse_arguments(&p);
    mem_free(p.used);
    return rc;
}

void flags_parse_or_exit(const struct flags_spec *spec, int argc, char **argv,
                         struct flag_list *args, int usage_exit)
{
    struct error err = {0};
    int rc = flags_parse(spec, argc, argv, args, &err);
    if (rc == 0)
        return;
    if (rc == FLAGS_PRINTED)
        exit(fflush(stdout) == 0 ? 0 : 1);
    fprintf(stderr, "%s: %s\nTry '%s --help'.\n", spec->program, err.message, spec->program);
    exit(usage_exit);
}
