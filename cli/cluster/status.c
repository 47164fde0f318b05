/*
 * c8s status and kubeconfig.
 */
#include "base/flags.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "cli/cluster/cluster.h"

#include <errno.h>
#include <stdio.h>

#define OBSERVE_TIMEOUT_MS 2000

/* "10.88.0.11:6443,…": where a process listens. */
static void addresses(const struct process_view *view, char out[128])
{
    static const char *const ports[] = {[ROLE_APISERVER] = "6443 2379 2380",
                                        [ROLE_SCHEDULER] = "10259",
                                        [ROLE_CONTROLLERS] = "10257",
                                        [ROLE_CONTAINERD] = "",
                                        [ROLE_NODE] = "10250"};
    struct str rest = str_from(ports[view->role]), port;
    size_t n = 0;
    out[0] = '\0';
    while (rest.n && str_split(&rest, ' ', &port))
        n += (size_t)snprintf(out + n, 128 - n, "%s%s:%.*s", n ? "," : "", view->host->address,
                              STR_ARG(port));
}

static const char *state_name(const struct process_view *view)
{
    return !view->pid ? "dead" : view->paused ? "paused" : view->ready ? "ready" : "not ready";
}

static void print_table(const struct process_view *views, size_t n)
{
    printf("%-14s %-12s %-8s %-10s %-7s %s\n", "HOST", "ROLE", "PID", "STATE", "LEADER", "ADDRESS");
    for (size_t i = 0; i < n; i++) {
        char where[128], pid[16];
        addresses(&views[i], where);
        snprintf(pid, sizeof pid, "%d", (int)views[i].pid);
        printf("%-14s %-12s %-8s %-10s %-7s %s\n", views[i].host->name,
               cluster_role_name(views[i].role), views[i].pid ? pid : "-", state_name(&views[i]),
               views[i].leader ? "leader" : "", where);
    }
    for (size_t i = 0; i < n; i++)
        if (views[i].pid && !views[i].ready && views[i].why[0])
            printf("%s on %s: %s\n", cluster_role_name(views[i].role), views[i].host->name,
                   views[i].why);
}

static void json_field(struct buf *out, const char *name, const char *value)
{
    buf_append_json_string(out, str_from(name));
    buf_append_cstr(out, ": ");
    buf_append_json_string(out, str_from(value));
}

static void json_addresses(struct buf *out, const struct process_view *view)
{
    char where[128];
    addresses(view, where);
    struct str rest = str_from(where), one;
    buf_append_cstr(out, "\"addresses\": [");
    for (bool first = true; *where && str_split(&rest, ',', &one); first = false) {
        buf_append_cstr(out, first ? "" : ", ");
        buf_append_json_string(out, one);
    }
    buf_append_cstr(out, "]");
}

static void json_process(struct cluster *c, const struct process_view *view, struct buf *out)
{
    buf_append_cstr(out, "    {");
    json_field(out, "role", cluster_role_name(view->role));
    buf_append_cstr(out, ", ");
    json_field(out, "host", view->host->name);
    buf_append_cstr(out, ", ");
    json_field(out, "netns", view->host->netns_name);
    buf_append_cstr(out, ", ");
    json_addresses(out, view);
    buf_printf(out, ", \"pid\": %d, \"running\": %s, \"paused\": %s, \"ready\": %s, ",
               (int)view->pid, view->pid ? "true" : "false", view->paused ? "true" : "false",
               view->ready ? "true" : "false");
    if (view->role == ROLE_APISERVER)
        buf_printf(out, "\"leader\": %s, ", view->leader ? "true" : "false");
    if (view->why[0]) {
        json_field(out, "reason", view->why);
        buf_append_cstr(out, ", ");
    }
    json_field(out, "log", cluster_log_file(c, view->host, view->role));
    buf_append_cstr(out, "}");
}

static void print_json(struct cluster *c, const struct process_view *views, size_t n)
{
    struct buf out = {0};
    buf_append_cstr(&out, "{\n  ");
    json_field(&out, "cluster", c->name);
    buf_append_cstr(&out, ",\n  ");
    json_field(&out, "kubeconfig", c->admin_conf);
    buf_append_cstr(&out, ",\n  \"server\": ");
    char *server = mem_printf("https://%s:6443", c->api_name);
    buf_append_json_string(&out, str_from(server));
    mem_free(server);
    buf_append_cstr(&out, ",\n  \"processes\": [\n");
    for (size_t i = 0; i < n; i++) {
        json_process(c, &views[i], &out);
        buf_append_cstr(&out, i + 1 < n ? ",\n" : "\n");
    }
    buf_append_cstr(&out, "  ]\n}\n");
    fwrite(out.data, 1, out.len, stdout);
    buf_free(&out);
}

/* 0 when everything is ready, 1 when something is not, 2 when there is no such cluster. */
int cluster_status_main(int argc, char **argv)
{
    const char *name = "c8s", *output = "table";
    const struct flag flags[] = {
        {"name", 0, FLAG_STRING, &name, "NAME", "Name of the cluster."},
        {"output", 'o', FLAG_STRING, &output, NULL, "Output format.", .choices = "table|json"},
        FLAGS_END,
    };
    const struct flags_spec spec = {
        .program = "c8s status",
        .summary =
            "Every process of a local cluster with its role, host, addresses, pid and readiness",
        .details = "Exit code 0: everything is ready; 1: something is not; 2: no such cluster.",
        .flags = flags};
    struct error err = {0};
    struct cluster *c = mem_zalloc(sizeof *c);
    flags_parse_or_exit(&spec, argc, argv, NULL, 2);
    int code = 2;
    if (cluster_load(name, c, &err) < 0) {
        fprintf(stderr, "c8s status: %s\n", err.message);
    } else {
        struct process_view views[CLUSTER_VIEWS_MAX];
        size_t n = cluster_observe(c, OBSERVE_TIMEOUT_MS, views);
        if (cstr_eq(output, "json"))
            print_json(c, views, n);
        else
            print_table(views, n);
        code = 0;
        for (size_t i = 0; i < n; i++)
            code |= !views[i].ready;
    }
    cluster_close(c);
    mem_free(c);
    return code;
}

int cluster_kubeconfig_main(int argc, char **argv)
{
    const char *name = "c8s";
    bool path_only = false;
    const struct flag flags[] = {
        {"name", 0, FLAG_STRING, &name, "NAME", "Name of the cluster."},
        {"path", 0, FLAG_BOOL, &path_only, NULL, "Print where the file is, not what is in it."},
        FLAGS_END,
    };
    const struct flags_spec spec = {.program = "c8s kubeconfig",
                                    .summary =
                                        "Print the kubeconfig of a local cluster's administrator",
                                    .flags = flags};
    struct error err = {0};
    struct cluster *c = mem_zalloc(sizeof *c);
    flags_parse_or_exit(&spec, argc, argv, NULL, 2);
    int rc = cluster_load(name, c, &err);
    if (rc == 0 && path_only) {
        printf("%s\n", c->admin_conf);
    } else if (rc == 0) {
        FILE *f = fopen(c->admin_conf, "re");
        if (!f)
            rc = error_errno(&err, ERR_IO, errno, "read %s", c->admin_conf);
        for (int ch; f && (ch = fgetc(f)) != EOF;)
            putchar(ch);
        if (f)
            fclose(f);
    }
    if (rc < 0)
        fprintf(stderr, "c8s kubeconfig: %s\n", err.message);
    cluster_close(c);
    mem_free(c);
    return rc < 0 ? 1 : 0;
}
