/*
 * The `c8s` command: a table of subcommands. A subcommand is a function that gets its own argc and
 * argv (argv[0] is its name), parses its flags with base/flags.h, and returns the exit code.
 *
 * To add one: declare it here, give it a row in main.c and its file in CMakeLists.txt.
 */
#ifndef C8S_CLI_CLI_H
#define C8S_CLI_CLI_H

struct cli_command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;  /* one line, in `c8s help` */
    const char *group; /* heading it stands under; rows of a group stand together */
};

/* Rows end with a NULL name. */
extern const struct cli_command cli_commands[];

/* The row of that name, or NULL. */
const struct cli_command *cli_find(const struct cli_command *table, const char *name);
/* Print the names and help lines of a table, grouped. */
void cli_print_commands(const struct cli_command *table);

/* Store: cli/kv/main.c */
int kv_main(int argc, char **argv);

/* Local clusters: cli/cluster/up.c, cli/cluster/status.c */
int cluster_up_main(int argc, char **argv);
int cluster_down_main(int argc, char **argv);
int cluster_pause_main(int argc, char **argv);
int cluster_unpause_main(int argc, char **argv);
int cluster_status_main(int argc, char **argv);
int cluster_kubeconfig_main(int argc, char **argv);

#endif
