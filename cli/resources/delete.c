/*
 * c8s delete: delete objects, and wait until they are gone.
 */
#include "cli/resources/res.h"

#include "base/clock.h"
#include "base/mem.h"
#include <stdio.h>
#include <time.h>

#define POLL_MS 200

struct delete
{
    struct res_session s;
    struct flag_list files;
    const char *label_selector, *field_selector, *cascade, *output, *dry_run;
    int64_t grace_s, timeout_s;
    bool all, all_namespaces, force, now, wait, ignore_not_found, recursive;
};

/* One object to delete. */
struct victim {
    const struct resource *resource;
    const char *ns, *name, *uid; /* uid as answered; "" unknown */
};

struct victims {
    struct victim *items;
    size_t len;
};

static void add_victim(struct delete *d, struct victims *v, const struct resource *r,
                       const char *ns, const char *name)
{
    v->items = arena_grow(&d->s.arena, v->items, v->len * sizeof *v->items,
                          (v->len + 1) * sizeof *v->items);
    v->items[v->len++] = (struct victim){r, ns, name, ""};
}

/* Objects that a selector, or --all, names. */
static int list_victims(struct delete *d, struct victims *v, const struct resource *r)
{
    char *path = res_path(&d->s, r, d->all_namespaces ? NULL : res_namespace(&d->s, r), NULL);
    path = res_query(&d->s, path, "labelSelector", d->label_selector);
    path = res_query(&d->s, path, "fieldSelector", d->field_selector);
    const struct client_response *answer =
        res_request(&d->s, &(struct client_request){.path = path}, NULL);
    yyjson_val *root, *item;
    size_t i, max;
    struct error err = {0};
    if (!answer)
        return -1;
    if (json_read(&d->s.arena, answer->body, &root, &err) < 0)
        return res_error(&d->s, "the server's answer: %s", err.message);
    yyjson_arr_foreach (yyjson_obj_get(root, "items"), i, max, item) {
        yyjson_val *meta = yyjson_obj_get(item, "metadata");
        add_victim(d, v, r, r->namespaced ? res_text(yyjson_obj_get(meta, "namespace")) : NULL,
                   res_text(yyjson_obj_get(meta, "name")));
    }
    return 0;
}

static int find_victims(struct delete *d, const struct flag_list *args, struct victims *v)
{
    struct res_documents docs;
    struct res_targets targets;
    if (d->files.len) {
        if (res_read_manifests(&d->s, &d->files, d->recursive, &docs) < 0)
            return -1;
        for (size_t i = 0; i < docs.len; i++)
            add_victim(d, v, docs.items[i].resource, docs.items[i].ns, docs.items[i].name);
        return 0;
    }
    if (!args->len)
        return res_error(&d->s, "You must provide one or more resources by argument or filename.");
    if (res_parse_targets(&d->s, args->items, args->len, &targets) < 0)
        return -1;
    for (size_t i = 0; i < targets.len; i++) {
        const struct res_target *t = &targets.items[i];
        if (t->name) {
            add_victim(d, v, t->resource, res_namespace(&d->s, t->resource), t->name);
        } else if (!d->all && !d->label_selector && !d->field_selector) {
            return res_error(&d->s, "resource(s) were provided, but no name was specified");
        } else if (list_victims(d, v, t->resource) < 0) {
            return -1;
        }
    }
    return 0;
}

/* ------------------------------------------------------------------------------------ deletion --- */

static const char *propagation(const struct delete *d)
{
    if (cstr_eq(d->cascade, "orphan") || cstr_eq(d->cascade, "false"))
        return "Orphan";
    return cstr_eq(d->cascade, "foreground") ? "Foreground" : "Background";
}

static struct str options_body(struct delete *d)
{
    char *text = arena_printf(&d->s.arena,
                              "{\"kind\":\"DeleteOptions\",\"apiVersion\":\"v1\","
                              "\"propagationPolicy\":\"%s\"",
                              propagation(d));
    if (d->grace_s >= 0)
        text = arena_printf(&d->s.arena, "%s,\"gracePeriodSeconds\":%lld", text,
                            (long long)d->grace_s);
    if (cstr_eq(d->dry_run, "server"))
        text = arena_printf(&d->s.arena, "%s,\"dryRun\":[\"All\"]", text);
    return str_from(arena_printf(&d->s.arena, "%s}", text));
}

static void report(struct delete *d, const struct victim *v)
{
    const char *type = res_type_text(&d->s, v->resource);
    const char *dry = cstr_eq(d->dry_run, "server")   ? " (server dry run)"
                      : cstr_eq(d->dry_run, "client") ? " (dry run)"
                                                      : "";
    if (cstr_eq(d->output, "name"))
        printf("%s/%s\n", type, v->name);
    else if (v->ns)
        printf("%s \"%s\" %sdeleted from %s namespace%s\n", type, v->name,
               d->grace_s == 0 ? "force " : "", v->ns, dry);
    else
        printf("%s \"%s\" %sdeleted%s\n", type, v->name, d->grace_s == 0 ? "force " : "", dry);
    fflush(stdout);
}

/* True when there is something to wait for. */
static bool delete_one(struct delete *d, struct victim *v)
{
    if (cstr_eq(d->dry_run, "client")) {
        report(d, v);
        return false;
    }
    struct client_status status;
    struct client_request q = {.method = "DELETE",
                               .path = res_path(&d->s, v->resource, v->ns, v->name),
                               .content_type = "application/json",
                               .body = options_body(d)};
    const struct client_response *r = res_request(&d->s, &q, &status);
    yyjson_val *root = NULL;
    if (!r)
        return false;
    if (status.http_status == 404 && d->ignore_not_found)
        return false;
    if (status.http_status >= 300) {
        res_print_status(&d->s, r);
        return false;
    }
    if (json_read(&d->s.arena, r->body, &root, NULL) == 0) {
        const char *uid = res_text(res_member(root, "metadata", "uid", NULL));
        v->uid = *uid ? uid : res_text(res_member(root, "details", "uid", NULL));
    }
    report(d, v);
    return !cstr_eq(d->dry_run, "server");
}

/* Gone, or another object of the same name. */
static bool is_gone(struct delete *d, const struct victim *v)
{
    struct client_status status;
    struct client_request q = {.path = res_path(&d->s, v->resource, v->ns, v->name)};
    const struct client_response *r = res_request(&d->s, &q, &status);
    yyjson_val *root = NULL;
    if (!r)
        return false;
    if (status.http_status == 404)
        return true;
    if (status.http_status >= 300 || json_read(&d->s.arena, r->body, &root, NULL) < 0)
        return false;
    const char *uid = res_text(res_member(root, "metadata", "uid", NULL));
    return *v->uid && *uid && strcmp(uid, v->uid) != 0;
}

static void wait_gone(struct delete *d, const struct victim *v, uint64_t deadline)
{
    while (d->s.exit_code == 0 && !is_gone(d, v)) {
        if (clock_mono_ns() >= deadline) {
            res_error(&d->s, "timed out waiting for the condition on %s/%s", v->resource->plural,
                      v->name);
            return;
        }
        nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000l}, NULL);
    }
}

static void run(struct delete *d, const struct flag_list *args)
{
    struct victims victims = {0};
    if (d->now)
        d->grace_s = 1;
    if (d->force && d->grace_s < 0)
        d->grace_s = 0;
    if (d->grace_s == 0 && !d->force) {
        d->grace_s = 1; /* as kubectl: 0 needs --force */
    }
    if (d->force && d->grace_s == 0) {
        d->wait = false;
        fprintf(stderr,
                "Warning: Immediate deletion does not wait for confirmation that the running "
                "resource has been terminated. The resource may continue to run on the "
                "cluster indefinitely.\n");
    }
    if (res_connect(&d->s) < 0 || find_victims(d, args, &victims) < 0)
        return;
    if (!victims.len && !d->s.exit_code)
        printf("No resources found\n");
    bool *waits = arena_array(&d->s.arena, bool, victims.len + 1);
    for (size_t i = 0; i < victims.len; i++)
        waits[i] = delete_one(d, &victims.items[i]);
    uint64_t deadline =
        d->timeout_s > 0 ? clock_mono_ns() + (uint64_t)d->timeout_s * NS_PER_S : UINT64_MAX;
    for (size_t i = 0; d->wait && i < victims.len; i++)
        if (waits[i])
            wait_gone(d, &victims.items[i], deadline);
}

int res_delete_main(int argc, char **argv)
{
    struct delete d = {.grace_s = -1, .wait = true, .cascade = "background", .dry_run = "none"};
    struct flag_list args = {0};
    res_session_init(&d.s);
    const struct flag flags[] = {
        {"filename", 'f', FLAG_LIST, &d.files, "FILE", "Objects that these manifests name."},
        {"recursive", 'R', FLAG_BOOL, &d.recursive, NULL, "Directories with what is below them."},
        {"selector", 'l', FLAG_STRING, &d.label_selector, "SELECTOR", "Objects with these labels."},
        {"field-selector", 0, FLAG_STRING, &d.field_selector, "SELECTOR",
         "Objects with these fields."},
        {"all", 0, FLAG_BOOL, &d.all, NULL, "All objects of the types."},
        {"all-namespaces", 'A', FLAG_BOOL, &d.all_namespaces, NULL, "Of all namespaces."},
        {"grace-period", 0, FLAG_INT, &d.grace_s, "SECONDS", "Time to end; -1: the object's own."},
        {"now", 0, FLAG_BOOL, &d.now, NULL, "Signal at once (a grace period of 1)."},
        {"force", 0, FLAG_BOOL, &d.force, NULL, "Do not wait for the node's word."},
        {"cascade", 0, FLAG_STRING, &d.cascade, "HOW", "What becomes of dependents.",
         "background|foreground|orphan|true|false", .implied = "background"},
        {"wait", 0, FLAG_BOOL, &d.wait, NULL, "Return when the objects are gone."},
        {"timeout", 0, FLAG_SECONDS, &d.timeout_s, "TIME",
         "How long to wait; 0: as long as it takes."},
        {"ignore-not-found", 0, FLAG_BOOL, &d.ignore_not_found, NULL,
         "Succeed also when an object does not exist."},
        {"dry-run", 0, FLAG_STRING, &d.dry_run, "WHERE", "Only say what would be done.",
         "none|client|server", .implied = "client"},
        {"output", 'o', FLAG_STRING, &d.output, "FORMAT", "name: print names only.", "name"},
        RES_GLOBAL_FLAGS(&d.s),
        FLAGS_END,
    };
    flags_parse_or_exit(&(struct flags_spec){.program = "c8s delete",
                                             .summary = "Delete objects.",
                                             .usage =
                                                 "(TYPE NAME… | TYPE/NAME… | TYPE -l SELECTOR | "
                                                 "-f FILE) [flags]",
                                             .flags = flags,
                                             .args_max = FLAGS_ANY},
                        argc, argv, &args, 1);
    run(&d, &args);
    flag_list_free(&args);
    flag_list_free(&d.files);
    return res_end(&d.s);
}
