/*
 * `c8s kv`: the tree of verbs, and the way from a command line to one of them. See kv.h.
 */
#include "cli/kv/kv.h"
#include "base/mem.h"
#include "cli/cli.h"

#include <stdio.h>

#define ETCD_VERSION "3.6.0" /* what servers of ours say, too */
#define ETCD_API "3.6"

int kv_version_main(int argc, char **argv)
{
    static const struct flag flags[] = {FLAGS_END};
    static const struct flags_spec spec = {.program = "c8s kv version",
                                           .summary = "The versions of this program, as etcdctl "
                                                      "says them.",
                                           .flags = flags};
    flags_parse_or_exit(&spec, argc, argv, NULL, KV_EXIT_ERROR);
    puts("etcdctl version: " ETCD_VERSION "\nAPI version: " ETCD_API "\nc8s version: " C8S_VERSION);
    return 0;
}

static int help_main(int argc, char **argv);

const struct kv_verb kv_verbs[] = {
    {"put", kv_put_main, "Put a key"},
    {"get", kv_get_main, "Get a key or a range of keys"},
    {"del", kv_del_main, "Delete a key or a range of keys"},
    {"txn", kv_txn_main, "Compare and change keys in one transaction"},
    {"watch", kv_watch_main, "Watch a key or a range of keys"},
    {"compaction", kv_compact_main, "Forget history up to a revision"},
    {"compact", kv_compact_main, ""},
    {"lease", NULL, "Grant, revoke, keep alive and list leases", kv_lease_verbs},
    {"lock", kv_lock_main, "Hold a lock while a command runs"},
    {"elect", kv_elect_main, "Stand for an election, or watch one"},
    {"member", NULL, "List, add, remove, update and promote members", kv_member_verbs},
    {"endpoint", NULL, "Status, health and hashes of servers", kv_endpoint_verbs},
    {"move-leader", kv_move_leader_main, "Hand leadership over"},
    {"alarm", NULL, "List alarms and take them back", kv_alarm_verbs},
    {"defrag", kv_defrag_main, "Give back the space of what was compacted"},
    {"snapshot", NULL, "Save a backup, look at one, make a data directory of it",
     kv_snapshot_verbs},
    {"downgrade", NULL, "Go back to an older version", kv_downgrade_verbs},
    {"auth", NULL, "Check users, or nobody", kv_auth_verbs},
    {"user", NULL, "Users, their passwords and roles", kv_user_verbs},
    {"role", NULL, "Roles and what they may do", kv_role_verbs},
    {"make-mirror", kv_mirror_main, "Copy keys to another cluster and follow them"},
    {"check", NULL, "Is the cluster fast enough?", kv_check_verbs},
    {"bench", NULL, "Load generator: put, range, txn, watch, lease", kv_bench_verbs},
    {"version", kv_version_main, "The versions of this program"},
    {"completion", kv_completion_main, "Scripts for bash, zsh and fish"},
    {"help", help_main, "What a verb does"},
    {"__complete", kv_complete_main, ""},
    {NULL},
};

/* ------------------------------------------------------------------------- finding --- */

/* The verb of that name, or the only one that begins so. */
static const struct kv_verb *match(const struct kv_verb *verbs, const char *name)
{
    const struct kv_verb *found = NULL;
    size_t n = 0;
    for (const struct kv_verb *v = verbs; v->name; v++) {
        if (cstr_eq(v->name, name))
            return v;
        if (*v->help && *name && strncmp(v->name, name, strlen(name)) == 0) {
            found = v;
            n++;
        }
    }
    return n == 1 ? found : NULL;
}

/* Does a flag in front of the verb take the next word as its value? */
static bool takes_next(const char *flag)
{
    static const char *const alone[] = {"--insecure-skip-tls-verify",
                                        "--insecure-transport",
                                        "--insecure-discovery",
                                        "--cluster",
                                        "--hex",
                                        "--debug",
                                        "--help",
                                        "-h",
                                        NULL};
    for (const char *const *a = alone; *a; a++)
        if (cstr_eq(flag, *a))
            return false;
    bool attached = flag[1] != '-' && flag[2]; /* "-wjson" */
    return !attached && !strchr(flag, '=');
}

int kv_find_verb(int argc, char **argv, char **out, const struct kv_verb **verb)
{
    const struct kv_verb *verbs = kv_verbs;
    int flags = 0, i = 1;
    *verb = NULL;
    for (; i < argc && verbs; i++) {
        if (argv[i][0] == '-' && argv[i][1] && !cstr_eq(argv[i], "--")) {
            out[1 + flags++] = argv[i];
            if (takes_next(argv[i]) && i + 1 < argc)
                out[1 + flags++] = argv[++i];
            continue;
        }
        const struct kv_verb *next = match(verbs, argv[i]);
        if (!next)
            break;
        *verb = next;
        verbs = next->verbs;
    }
    out[0] = (char *)(*verb ? (*verb)->name : argv[0]);
    int n = 1 + flags;
    while (i < argc)
        out[n++] = argv[i++];
    out[n] = NULL;
    return n;
}

/* ---------------------------------------------------------------------------- help --- */

static void print_verbs(FILE *out, const char *program, const struct kv_verb *verbs)
{
    fprintf(out, "Usage: %s COMMAND [ARGUMENTS]\n\n", program);
    for (const struct kv_verb *v = verbs; v->name; v++)
        if (*v->help)
            fprintf(out, "  %-18s %s\n", v->name, v->help);
    fprintf(out, "\n'%s COMMAND --help' describes a command and its flags.\n", program);
}

static const char *program_of(const struct kv_verb *group, char *out, size_t size)
{
    snprintf(out, size, "c8s kv%s%s", group ? " " : "", group ? group->name : "");
    return out;
}

static bool is_help(const char *word)
{
    return cstr_eq(word, "--help") || cstr_eq(word, "-h") || cstr_eq(word, "help");
}

/* A group without a verb of it. */
static int group_main(const struct kv_verb *group, int argc, char **argv)
{
    char program[64];
    const struct kv_verb *verbs = group ? group->verbs : kv_verbs;
    const char *unknown = NULL;
    for (int i = argc - 1; i > 0; i--)
        unknown = is_help(argv[i]) ? unknown : argv[i];
    bool asked = argc > 1 && is_help(argv[1]);
    if (argc == 1 || asked || !unknown) {
        print_verbs(stdout, program_of(group, program, sizeof program), verbs);
        return 0;
    }
    kv_fail(KV_EXIT_ERROR, "unknown command \"%s\" for \"%s\"", unknown,
            program_of(group, program, sizeof program));
    fprintf(stderr, "Run '%s --help' for usage.\n", program);
    return KV_EXIT_ERROR;
}

static int run(int argc, char **argv)
{
    const struct kv_verb *verb;
    char **ordered = mem_zalloc(sizeof *ordered * ((size_t)argc + 1));
    int n = kv_find_verb(argc, argv, ordered, &verb);
    int code = verb && verb->run ? verb->run(n, ordered) : group_main(verb, n, ordered);
    mem_free(ordered);
    return code;
}

/* help VERB [VERB]: the same with --help behind. */
static int help_main(int argc, char **argv)
{
    char **words = mem_zalloc(sizeof *words * ((size_t)argc + 2));
    for (int i = 0; i < argc; i++)
        words[i] = argv[i];
    words[argc] = (char *)"--help";
    int code = run(argc + 1, words);
    mem_free(words);
    return code;
}

int kv_main(int argc, char **argv)
{
    return run(argc, argv);
}
