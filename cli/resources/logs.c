/*
 * c8s logs: what a pod's containers print.
 */
#include "cli/resources/res.h"

#include "api/selector.h"
#include "base/mem.h"
#include "proto/apps_v1.pb-c.h"
#include "proto/core_v1.pb-c.h"
#include <stdio.h>

struct logs {
    struct res_session s;
    const char *container, *label_selector;
    int64_t tail, since_s, limit_bytes;
    bool follow, previous, timestamps, all_containers, prefix;
};

/* Log output of one container on its way. */
struct output {
    struct logs *l;
    const char *prefix; /* "[pod/x/c] ", or NULL */
    struct buf line;    /* only with a prefix: an incomplete line */
};

static bool print_data(void *ctx, struct str data)
{
    struct output *o = ctx;
    if (!o->prefix) {
        fwrite(data.p, 1, data.n, stdout);
    } else {
        buf_append_str(&o->line, data);
        ptrdiff_t end;
        while ((end = str_find_char(buf_str(&o->line), '\n')) >= 0) {
            printf("%s%.*s\n", o->prefix, (int)end, o->line.data);
            buf_consume(&o->line, (size_t)end + 1);
        }
    }
    return fflush(stdout) == 0;
}

static void print_container(struct logs *l, const Core__V1__Pod *pod, const char *container,
                            bool prefix)
{
    struct arena *a = &l->s.arena;
    const char *name = pod->metadata->name;
    char *path =
        arena_printf(a, "%s/log", res_path(&l->s, RESOURCE_PODS, pod->metadata->namespace_, name));
    path = res_query(&l->s, path, "container", container);
    path = res_query(&l->s, path, "follow", l->follow ? "true" : NULL);
    path = res_query(&l->s, path, "previous", l->previous ? "true" : NULL);
    path = res_query(&l->s, path, "timestamps", l->timestamps ? "true" : NULL);
    if (l->tail >= 0)
        path = res_query(&l->s, path, "tailLines", arena_printf(a, "%lld", (long long)l->tail));
    if (l->since_s > 0)
        path =
            res_query(&l->s, path, "sinceSeconds", arena_printf(a, "%lld", (long long)l->since_s));
    if (l->limit_bytes > 0)
        path = res_query(&l->s, path, "limitBytes",
                         arena_printf(a, "%lld", (long long)l->limit_bytes));
    struct output o = {.l = l,
                       .prefix = prefix ? arena_printf(a, "[pod/%s/%s] ", name, container) : NULL};
    buf_init(&o.line);
    struct error err = {0};
    struct client_request q = {.path = path, .accept = "*/*"};
    if (client_raw_stream(l->s.client, &q, print_data, &o, &err) < 0) {
        fflush(stdout);
        fprintf(stderr, "Error from server: %s\n", err.message);
        l->s.exit_code = 1;
    }
    buf_free(&o.line);
}

/* The container to show when none is named: the annotated default, else the first. */
static const char *default_container(struct logs *l, const Core__V1__Pod *pod)
{
    const char *annotated =
        annotations_get(pod->metadata, "kubectl.kubernetes.io/default-container");
    if (annotated)
        return annotated;
    if (pod->spec->n_containers > 1) {
        fprintf(stderr, "Defaulted container \"%s\" out of: ", pod->spec->containers[0]->name);
        for (size_t i = 0; i < pod->spec->n_containers; i++)
            fprintf(stderr, "%s%s", i ? ", " : "", pod->spec->containers[i]->name);
        for (size_t i = 0; i < pod->spec->n_init_containers; i++)
            fprintf(stderr, ", %s (init)", pod->spec->init_containers[i]->name);
        fputc('\n', stderr);
    }
    (void)l;
    return pod->spec->n_containers ? pod->spec->containers[0]->name : "";
}

static void print_pod(struct logs *l, const Core__V1__Pod *pod, bool prefix)
{
    if (!l->all_containers) {
        const char *container = l->container ? l->container : default_container(l, pod);
        print_container(l, pod, container, prefix);
        return;
    }
    for (size_t i = 0; i < pod->spec->n_init_containers; i++)
        print_container(l, pod, pod->spec->init_containers[i]->name, prefix);
    for (size_t i = 0; i < pod->spec->n_containers; i++)
        print_container(l, pod, pod->spec->containers[i]->name, prefix);
}

/* The selector of a workload's pods as text; NULL (and printed) when the kind has none. */
static const char *selector_of(struct logs *l, const struct res_target *t)
{
    void *object = res_get_object(&l->s, t->resource, res_namespace(&l->s, t->resource), t->name);
    const struct schema_field *field;
    if (!object)
        return NULL;
    Meta__V1__LabelSelector **slot = object_member(object, "spec.selector", &field);
    struct label_selector selector;
    if (!slot || field->type != SCHEMA_MESSAGE ||
        field->message != Meta__V1__LabelSelector__SCHEMA ||
        label_selector_from(&l->s.arena, *slot, &selector, NULL) < 0) {
        res_error(&l->s, "cannot get the logs from %s: selecting pods by it is not supported",
                  t->resource->kind);
        return NULL;
    }
    struct buf b;
    buf_init(&b);
    label_selector_format(&selector, &b);
    const char *text = arena_strndup(&l->s.arena, b.data, b.len);
    buf_free(&b);
    return text;
}

static void print_selected(struct logs *l, const char *selector, bool only_first)
{
    Core__V1__PodList *pods = res_list_objects(&l->s, RESOURCE_PODS, l->s.ns, selector, NULL);
    if (!pods)
        return;
    if (!pods->n_items) {
        fprintf(stderr, "No resources found in %s namespace.\n", l->s.ns);
        l->s.exit_code = only_first;
        return;
    }
    if (only_first && pods->n_items > 1)
        fprintf(stderr, "Found %zu pods, using pod/%s\n", pods->n_items,
                pods->items[0]->metadata->name);
    for (size_t i = 0; i < (only_first ? 1 : pods->n_items); i++)
        print_pod(l, pods->items[i], l->prefix);
}

static void run(struct logs *l, const struct flag_list *args)
{
    if (!args->len && !l->label_selector) {
        res_error(&l->s,
                  "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME "
                  "is a required argument for the logs command");
        return;
    }
    if (res_connect(&l->s) < 0)
        return;
    if (!args->len) {
        if (l->tail == -1)
            l->tail = 10;
        print_selected(l, l->label_selector, false);
        return;
    }
    if (args->len > 1)
        l->container = args->items[1];
    struct res_targets targets;
    struct res_target target = {RESOURCE_PODS, args->items[0]};
    if (strchr(args->items[0], '/')) {
        if (res_parse_targets(&l->s, args->items, 1, &targets) < 0)
            return;
        target = targets.items[0];
    }
    if (target.resource == RESOURCE_PODS) {
        Core__V1__Pod *pod = res_get_object(&l->s, RESOURCE_PODS, l->s.ns, target.name);
        if (pod)
            print_pod(l, pod, l->prefix);
        return;
    }
    const char *selector = selector_of(l, &target);
    if (selector)
        print_selected(l, selector, true);
}

int res_logs_main(int argc, char **argv)
{
    struct logs l = {.tail = -1};
    struct flag_list args = {0};
    res_session_init(&l.s);
    const struct flag flags[] = {
        {"follow", 'f', FLAG_BOOL, &l.follow, NULL, "Go on as more is printed."},
        {"previous", 'p', FLAG_BOOL, &l.previous, NULL,
         "Of the container's last run before this one."},
        {"container", 'c', FLAG_STRING, &l.container, "NAME", "Which container."},
        {"all-containers", 0, FLAG_BOOL, &l.all_containers, NULL, "All of them."},
        {"tail", 0, FLAG_INT, &l.tail, "LINES", "Only the last lines; -1: all (10 with -l)."},
        {"since", 0, FLAG_SECONDS, &l.since_s, "TIME", "Only what is newer."},
        {"limit-bytes", 0, FLAG_INT, &l.limit_bytes, "BYTES", "At most so much."},
        {"timestamps", 0, FLAG_BOOL, &l.timestamps, NULL, "The time in front of each line."},
        {"prefix", 0, FLAG_BOOL, &l.prefix, NULL, "Pod and container in front of each line."},
        {"selector", 'l', FLAG_STRING, &l.label_selector, "SELECTOR",
         "Of the pods with these labels."},
        RES_GLOBAL_FLAGS(&l.s),
        FLAGS_END,
    };
    flags_parse_or_exit(
        &(struct flags_spec){.program = "c8s logs",
                             .summary = "Print a pod's logs.",
                             .usage = "[-f] [-p] (POD | TYPE/NAME) [-c CONTAINER] [flags]",
                             .flags = flags,
                             .args_max = 2},
        argc, argv, &args, 1);
    run(&l, &args);
    flag_list_free(&args);
    return res_end(&l.s);
}
