/*
 * --help and the man page, rendered from the table of flags.
 */
#include "base/clock.h"
#include "base/flags.h"

#define WRAP_COLUMN 96
#define HELP_COLUMN 8

static const char *metavar(const struct flag *f)
{
    if (f->metavar)
        return f->metavar;
    switch (f->type) {
    case FLAG_BOOL:
    case FLAG_UNSUPPORTED:
        return "";
    case FLAG_DURATION:
        return "DURATION";
    case FLAG_MS:
        return "MS";
    case FLAG_SECONDS:
        return "SECONDS";
    case FLAG_LIST:
        return "A,B,…";
    case FLAG_STRING:
    case FLAG_REPEATED:
        return "VALUE";
    case FLAG_INT:
    case FLAG_UINT:
    case FLAG_FLOAT:
    case FLAG_COUNT:
        return "N";
    }
    return "";
}

/* The target's present value is the default. Empty for what is off, empty or zero. */
static void default_text(const struct flag *f, char *out, size_t size)
{
    char duration[CLOCK_DURATION_MAX];
    out[0] = '\0';
    switch (f->type) {
    case FLAG_BOOL:
        if (*(const bool *)f->target)
            snprintf(out, size, "true");
        break;
    case FLAG_STRING: {
        const char *s = *(const char *const *)f->target;
        if (s && *s)
            snprintf(out, size, "%s", s);
        break;
    }
    case FLAG_LIST:
    case FLAG_REPEATED: {
        const struct flag_list *l = f->target;
        size_t used = 0;
        for (size_t i = 0; i < l->len && used < size; i++)
            used += (size_t)snprintf(out + used, size - used, "%s%s", i ? "," : "", l->items[i]);
        break;
    }
    case FLAG_DURATION:
        if (*(const int64_t *)f->target) {
            clock_format_duration(*(const int64_t *)f->target, duration);
            snprintf(out, size, "%s", duration);
        }
        break;
    case FLAG_INT:
    case FLAG_MS:
    case FLAG_SECONDS:
        if (*(const int64_t *)f->target)
            snprintf(out, size, "%lld", (long long)*(const int64_t *)f->target);
        break;
    case FLAG_UINT:
        if (*(const uint64_t *)f->target)
            snprintf(out, size, "%llu", (unsigned long long)*(const uint64_t *)f->target);
        break;
    case FLAG_FLOAT:
        if (*(const double *)f->target != 0)
            snprintf(out, size, "%g", *(const double *)f->target);
        break;
    case FLAG_COUNT:
    case FLAG_UNSUPPORTED:
        break;
    }
}

/* Words of `text` in lines that start at `indent` and end before WRAP_COLUMN. */
static void print_wrapped(FILE *out, const char *text, int indent)
{
    struct str rest = str_from(text), word;
    int column = 0;
    while (str_split(&rest, ' ', &word)) {
        if (word.n == 0)
            continue;
        if (column > 0 && column + 1 + (int)word.n > WRAP_COLUMN) {
            fputc('\n', out);
            column = 0;
        }
        column += column == 0 ? fprintf(out, "%*s%.*s", indent, "", STR_ARG(word))
                              : fprintf(out, " %.*s", STR_ARG(word));
    }
    fputc('\n', out);
}

static bool hidden(const struct flag *f)
{
    return !f->help || f->type == FLAG_UNSUPPORTED;
}

/* "  -o, --output=FORMAT" */
static void print_flag_name(const struct flag *f, FILE *out)
{
    const char *var = metavar(f);
    if (f->letter)
        fprintf(out, "  -%c, --%s", f->letter, f->name);
    else
        fprintf(out, "      --%s", f->name);
    if (*var)
        fprintf(out, f->implied ? "[=%s]" : " %s", var);
    fputc('\n', out);
}

static void print_flag_help(const struct flag *f, FILE *out)
{
    char text[2048], value[256];
    default_text(f, value, sizeof value);
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s", f->help, f->choices ? " One of " : "",
             f->choices ? f->choices : "", f->choices ? "." : "", *value ? " (default " : "", value,
             *value ? ")" : "");
    print_flag_name(f, out);
    print_wrapped(out, text, HELP_COLUMN);
}

void flags_print_help(const struct flags_spec *spec, FILE *out)
{
    fprintf(out, "%s\n\nUsage: %s %s\n", spec->summary ? spec->summary : spec->program,
            spec->program, spec->usage ? spec->usage : "[flags]");
    if (spec->details)
        fprintf(out, "\n%s\n", spec->details);
    fputc('\n', out);
    for (const struct flag *f = spec->flags; f && (f->name || f->help); f++) {
        if (!f->name)
            fprintf(out, "\n%s\n", f->help);
        else if (!hidden(f))
            print_flag_help(f, out);
    }
    fprintf(out,
            "  -h, --help\n        Show this text.\n      --version\n        Show the version.\n");
    if (spec->env_prefix)
        fprintf(out, "\nEvery flag can be given as a variable: %sNAME for --name.\n",
                spec->env_prefix);
}

/* --- completion --- */

/* "a|b|c", one a line. */
static void print_choices(const char *choices, FILE *out)
{
    struct str rest = str_from(choices), one;
    while (str_split(&rest, '|', &one))
        fprintf(out, "%.*s\n", STR_ARG(one));
}

static bool is_flag(const struct flag *f, const char *word)
{
    return word[0] == '-' && ((word[1] == '-' && cstr_eq(word + 2, f->name)) ||
                              (f->letter && word[1] == f->letter && !word[2]));
}

void flags_print_completion(const struct flags_spec *spec, const char *previous, FILE *out)
{
    for (const struct flag *f = spec->flags; f && (f->name || f->help); f++) {
        if (!f->name || f->type == FLAG_BOOL || !is_flag(f, previous))
            continue;
        const char *values = f->choices ? f->choices : metavar(f);
        if (strchr(values, '|'))
            print_choices(values, out);
        return; /* any other value */
    }
    for (const struct flag *f = spec->flags; f && (f->name || f->help); f++)
        if (f->name && !hidden(f))
            fprintf(out, "--%s\t%s\n", f->name, f->help);
    fputs("--help\tShow this text.\n", out);
}

/* --- man page --- */

/* Text as roff: a leading dot or quote would be a request, a backslash an escape. */
static void roff_text(FILE *out, const char *s)
{
    bool line_start = true;
    for (; *s; s++) {
        if (line_start && (*s == '.' || *s == '\''))
            fputs("\\&", out);
        if (*s == '\\')
            fputs("\\e", out);
        else if (*s == '-')
            fputs("\\-", out);
        else
            fputc(*s, out);
        line_start = *s == '\n';
    }
}

static void roff_flag(const struct flag *f, FILE *out)
{
    char value[256];
    fputs(".TP\n\\fB", out);
    if (f->letter)
        fprintf(out, "\\-%c\\fR, \\fB", f->letter);
    fputs("\\-\\-", out);
    roff_text(out, f->name);
    fputs("\\fR", out);
    if (*metavar(f))
        fprintf(out, f->implied ? "[=\\fI%s\\fR]" : " \\fI%s\\fR", metavar(f));
    fputc('\n', out);
    roff_text(out, f->help);
    if (f->choices) {
        fputs(" One of ", out);
        roff_text(out, f->choices);
        fputc('.', out);
    }
    default_text(f, value, sizeof value);
    if (*value) {
        fputs(" Default: ", out);
        roff_text(out, value);
        fputc('.', out);
    }
    fputc('\n', out);
}

void flags_print_man(const struct flags_spec *spec, int section, FILE *out)
{
    char title[128];
    size_t n = 0;
    for (const char *c = spec->program; *c && n < sizeof title - 1; c++)
        title[n++] = *c == ' ' ? '-' : *c;
    title[n] = '\0';
    fprintf(out, ".TH \"%s\" %d \"\" \"c8s %s\"\n.SH NAME\n", title, section, C8S_VERSION);
    roff_text(out, title);
    fputs(" \\- ", out);
    roff_text(out, spec->summary ? spec->summary : "");
    fputs("\n.SH SYNOPSIS\n.B ", out);
    roff_text(out, spec->program);
    fputc('\n', out);
    roff_text(out, spec->usage ? spec->usage : "[flags]");
    fputc('\n', out);
    if (spec->details) {
        fputs(".SH DESCRIPTION\n", out);
        roff_text(out, spec->details);
        fputc('\n', out);
    }
    fputs(".SH OPTIONS\n", out);
    for (const struct flag *f = spec->flags; f && (f->name || f->help); f++) {
        if (!f->name) {
            fputs(".SS ", out);
            roff_text(out, f->help);
            fputc('\n', out);
        } else if (!hidden(f)) {
            roff_flag(f, out);
        }
    }
    if (spec->env_prefix) {
        fputs(".SH ENVIRONMENT\nEvery flag can be given as a variable: ", out);
        roff_text(out, spec->env_prefix);
        fputs("NAME for \\-\\-name.\n", out);
    }
}
