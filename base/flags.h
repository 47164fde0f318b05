/*
 * Command lines, driven by a table: parsing, --help, --version and a man page come from the same
 * rows.
 *
 *     static const char *name = "default";          // a preset target is the default that --help
 * shows static int64_t heartbeat_ms = 100; const struct flag flags[] = {
 *         {.help = "Member:"},                                              // a heading in --help
 *         {"name", 0, FLAG_STRING, &name, "NAME", "Name of this member."},
 *         {"heartbeat-interval", 0, FLAG_MS, &heartbeat_ms, "MS", "Time between heartbeats."},
 *         FLAGS_END,
 *     };
 *     const struct flags_spec spec = {.program = "c8s-apiserver", .summary = "…", .flags = flags,
 *                                     .env_prefix = "ETCD_"};
 *     struct flag_list args = {0};
 *     flags_parse_or_exit(&spec, argc, argv, &args, 2);
 *
 * Accepted: `--name value`, `--name=value`, `-name value` (Go's form), `-n value`, `-nvalue`,
 * `-n=value`, grouped one-letter booleans (`-it`), `--` ends the flags. Booleans take a value only
 * as `--x=false`. Flags may stand between positional arguments. A later flag overrides an earlier
 * one, a list grows.
 */
#ifndef C8S_BASE_FLAGS_H
#define C8S_BASE_FLAGS_H

#include "base/error.h"
#include "base/str.h"
#include <stdio.h>

enum flag_type {
    FLAG_BOOL = 1, /* bool * */
    FLAG_STRING,   /* const char **: points into argv or the environment */
    FLAG_LIST,     /* struct flag_list *: comma-separated and repeatable */
    FLAG_REPEATED, /* struct flag_list *: repeatable, commas are part of the value */
    FLAG_INT,      /* int64_t * */
    FLAG_UINT,     /* uint64_t * */
    FLAG_FLOAT,    /* double * */
    FLAG_DURATION, /* int64_t *, nanoseconds: Go's form, "1h30m", "250ms", "0" */
    FLAG_MS,       /* int64_t *, milliseconds: a plain number of them, or Go's form */
    FLAG_SECONDS, /* int64_t *, seconds: a plain number of them, or Go's form (cut to whole seconds)
                   */
    FLAG_COUNT,   /* int64_t *: "-v" adds one, "-v=4" and "--v=4" set */
    FLAG_UNSUPPORTED, /* a known flag of the counterpart that we do not have: fails by name; help:
                         why */
};

/* Owned copies of the values, in order. Usable with vec.h. */
struct flag_list {
    char **items;
    size_t len, cap;
};

struct flag {
    const char *name; /* long name without dashes; NULL: a heading (help) or the end (no help) */
    char letter;      /* one-letter form, or 0 */
    enum flag_type type;
    void *target;
    const char *metavar; /* what --help calls the value: "URLS"; NULL: from the type */
    const char *help;    /* one sentence or more; NULL hides the flag */
    const char *choices; /* "simple|json|table": other values are refused; NULL: any */
    const char *alias;   /* another long name, or NULL */
    const char *implied; /* value when none is given: `--dry-run` for `--dry-run=client`; then a
                            value needs the '=' */
    bool *seen; /* set to true when given on the command line or in the environment; or NULL */
};

#define FLAGS_END    \
    {                \
        .name = NULL \
    }

struct flags_spec {
    const char *program; /* as typed: "c8s-apiserver", "c8s kv put" */
    const char *summary; /* one line */
    const char *usage;   /* after the program: "[flags] KEY [VALUE]"; NULL: "[flags]" */
    const char *details; /* paragraphs for --help and the man page, or NULL */
    const struct flag *flags;
    const char
        *env_prefix; /* "ETCD_": ETCD_DATA_DIR stands for --data-dir; the flag wins. NULL: none */
    size_t args_min;
    size_t args_max;       /* positional arguments allowed; FLAGS_ANY: no limit */
    bool stop_at_argument; /* everything from the first positional argument on is an argument */
};

#define FLAGS_ANY ((size_t)-1)

/* What flags_parse returns when it has printed what was asked for (--help, --version, --man). */
#define FLAGS_PRINTED 1

/*
 * Parse. 0; FLAGS_PRINTED; or ERR_INVALID / ERR_UNSUPPORTED with a message that names the flag or
 * the variable ("unknown flag: --foo"). argv[0] is skipped. Positional arguments are appended to
 * `args` (may be NULL when args_max is 0). Targets may have been changed in part on failure.
 */
int flags_parse(const struct flags_spec *spec, int argc, char **argv, struct flag_list *args,
                struct error *err);

/* As flags_parse; on failure prints "program: message" and ends with usage_exit, after --help with
 * 0. */
void flags_parse_or_exit(const struct flags_spec *spec, int argc, char **argv,
                         struct flag_list *args, int usage_exit);

/* The names of variables with the table's prefix that are no flag's: somebody's mistake, or another program's. */
void flags_unknown_variables(const struct flags_spec *spec, struct flag_list *names);

/* Set one flag by its long name, as a configuration file does. `value` must outlive the program's
 * use of it; a list is replaced. ERR_NOT_FOUND for an unknown name. */
int flags_set(const struct flags_spec *spec, const char *name, const char *value,
              struct error *err);

void flags_print_help(const struct flags_spec *spec, FILE *out);
/* What may stand behind the word `previous`: the values of that flag, if it has a set of them, or all flags,
 * one a line with a tab and a description. `--complete=PREVIOUS` prints it. */
void flags_print_completion(const struct flags_spec *spec, const char *previous, FILE *out);
/* The man page in section `section`, as roff. `--man` prints it with section 8. */
void flags_print_man(const struct flags_spec *spec, int section, FILE *out);

void flag_list_free(struct flag_list *l);
/* Append a copy. */
void flag_list_add(struct flag_list *l, const char *value);

#endif
