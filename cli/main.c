/*
 * c8s: finds the subcommand in the table and runs it.
 */
#include "cli/cli.h"
#include "cli/resources/res.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

static int version_main(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("c8s %s\n", C8S_VERSION);
    return 0;
}

static int help_main(int argc, char **argv)
{
    const struct cli_command *command = argc > 1 ? cli_find(cli_commands, argv[1]) : NULL;
    if (command && command->run != help_main) {
        char *help_argv[] = {argv[1], "--help", NULL};
        return command->run(2, help_argv);
    }
    printf("c8s: Kubernetes in C\n\nUsage: c8s COMMAND [ARGUMENTS]\n");
    cli_print_commands(cli_commands);
    printf("\n'c8s COMMAND --help' describes a command.\n");
    return 0;
}

const struct cli_command cli_commands[] = {
    {"get", res_get_main, "Show objects", "Resources"},
    {"apply", res_apply_main, "Make objects what manifests say", "Resources"},
    {"create", res_create_main, "Create objects", "Resources"},
    {"describe", res_describe_main, "Tell all about objects", "Resources"},
    {"rollout", res_rollout_main, "Follow and steer rollouts of deployments", "Resources"},
    {"api-resources", res_api_resources_main, "What the server serves", "Resources"},
    {"delete", res_delete_main, "Delete objects", "Resources"},
    {"logs", res_logs_main, "Print a pod's logs", "Resources"},
    {"scale", res_scale_main, "Set how many replicas there shall be", "Resources"},
    {"label", res_label_main, "Set and remove labels", "Resources"},
    {"annotate", res_annotate_main, "Set and remove annotations", "Resources"},
    {"cordon", res_cordon_main, "Keep new pods off nodes", "Resources"},
    {"uncordon", res_uncordon_main, "Let nodes have new pods again", "Resources"},
    {"up", cluster_up_main, "Start a cluster on this machine, or what of it is dead",
     "Local cluster"},
    {"down", cluster_down_main, "Remove it without a trace", "Local cluster"},
    {"status", cluster_status_main, "Every process with its host, state and readiness",
     "Local cluster"},
    {"kubeconfig", cluster_kubeconfig_main, "Print its kubeconfig", "Local cluster"},
    {"pause", cluster_pause_main, "Freeze all or some of its hosts", "Local cluster"},
    {"unpause", cluster_unpause_main, "Let them go on", "Local cluster"},
    {"kv", kv_main, "The store: etcdctl's commands, and a load generator", "Store"},
    {"help", help_main, "Show this text, or a command's", "Other"},
    {"version", version_main, "Show the version", "Other"},
    {NULL},
};

const struct cli_command *cli_find(const struct cli_command *table, const char *name)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0)
            return table;
    return NULL;
}

void cli_print_commands(const struct cli_command *table)
{
    const char *group = NULL;
    for (; table->name; table++) {
        if (!group || strcmp(group, table->group) != 0)
            printf("\n%s:\n", table->group);
        group = table->group;
        printf("  %-14s %s\n", table->name, table->help);
    }
}

/* A link to c8s that is called etcdctl is etcdctl: scripts need not be changed. */
static bool is_etcdctl(const char *program)
{
    const char *slash = strrchr(program, '/');
    return strcmp(slash ? slash + 1 : program, "etcdctl") == 0;
}

int main(int argc, char **argv)
{
    if (argc > 0 && is_etcdctl(argv[0]))
        return kv_main(argc, argv);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help_main(1, argv);
    if (strcmp(argv[1], "--version") == 0)
        return version_main(1, argv);
    const struct cli_command *command = cli_find(cli_commands, argv[1]);
    if (!command) {
        fprintf(stderr, "c8s: unknown command \"%s\"\nTry 'c8s help'.\n", argv[1]);
        return 1;
    }
    return command->run(argc - 1, argv + 1);
}
