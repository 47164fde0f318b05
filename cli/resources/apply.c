/*
 * c8s apply: make the cluster's objects what manifests say.
 *
 * Client-side apply is a three-way merge: what the last apply said (kept in an annotation), what this one says, and
 * what the object is now. Server-side apply (--server-side) leaves the merge to the server.
 */
#include "cli/resources/res.h"

#include "api/patch/patch.h"
#include "base/arena_str.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

#define LAST_APPLIED "kubectl.kubernetes.io/last-applied-configuration"
#define APPLY_TRIES 5

struct apply {
    struct res_session s;
    struct flag_list files;
    const char *dry_run, *field_manager, *output, *label_selector;
    bool recursive, server_side, force_conflicts, overwrite;
};

static const char *suffix(const struct apply *a)
{
    if (cstr_eq(a->dry_run, "server"))
        return " (server dry run)";
    return cstr_eq(a->dry_run, "client") ? " (dry run)" : "";
}

static void report(struct apply *a, const struct res_document *d, const char *what,
                   yyjson_val *stored)
{
    if (cstr_eq(a->output, "name"))
        printf("%s/%s\n", res_type_text(&a->s, d->resource), d->name);
    else if (cstr_eq(a->output, "json") && stored)
        res_print_json(&a->s, stored, false);
    else if (cstr_eq(a->output, "yaml") && stored)
        res_print_yaml(&a->s, stored, false);
    else
        printf("%s/%s %s%s\n", res_type_text(&a->s, d->resource), d->name, what, suffix(a));
    fflush(stdout);
}

static char *write_query(struct apply *a, char *path)
{
    path = res_query(&a->s, path, "fieldManager", a->field_manager);
    path = res_query(&a->s, path, "fieldValidation", "Strict");
    return res_query(&a->s, path, "dryRun", cstr_eq(a->dry_run, "server") ? "All" : NULL);
}

/* ---------------------------------------------------------------------------------- annotation --- */

/* The manifest without its own last-applied annotation, as one line of JSON, and with it. */
static char *applied_text(struct res_session *s, yyjson_val *object)
{
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *copy = res_sorted(doc, object, true);
    yyjson_mut_val *meta = yyjson_mut_obj_get(copy, "metadata");
    yyjson_mut_val *annotations = yyjson_mut_obj_get(meta, "annotations");
    if (annotations)
        yyjson_mut_obj_remove_key(annotations, LAST_APPLIED);
    else if (meta)
        yyjson_mut_obj_add_obj(doc, meta, "annotations");
    yyjson_mut_doc_set_root(doc, copy);
    char *text = yyjson_mut_write(doc, 0, NULL);
    char *out = arena_printf(&s->arena, "%s\n", text ? text : "{}");
    free(text);
    yyjson_mut_doc_free(doc);
    return out;
}

static yyjson_val *with_annotation(struct res_session *s, const struct res_document *d,
                                   const char *applied)
{
    yyjson_mut_doc *doc = json_doc_new(&s->arena);
    yyjson_mut_val *copy = yyjson_val_mut_copy(doc, d->object);
    yyjson_mut_val *meta = yyjson_mut_obj_get(copy, "metadata");
    if (!meta)
        meta = yyjson_mut_obj_add_obj(doc, copy, "metadata");
    yyjson_mut_val *annotations = yyjson_mut_obj_get(meta, "annotations");
    if (!annotations || !yyjson_mut_is_obj(annotations)) {
        yyjson_mut_obj_remove_key(meta, "annotations");
        annotations = yyjson_mut_obj_add_obj(doc, meta, "annotations");
    }
    yyjson_mut_obj_put(annotations, yyjson_mut_str(doc, LAST_APPLIED),
                       yyjson_mut_strcpy(doc, applied));
    if (d->ns && !yyjson_mut_obj_get(meta, "namespace"))
        yyjson_mut_obj_add_strcpy(doc, meta, "namespace", d->ns);
    yyjson_mut_doc_set_root(doc, copy);
    char *text = yyjson_mut_write(doc, 0, NULL);
    yyjson_val *out = NULL;
    if (text)
        json_read(&s->arena, str_from(arena_strdup(&s->arena, text)), &out, NULL);
    free(text);
    return out;
}

static struct str json_text(struct res_session *s, yyjson_val *v)
{
    size_t n;
    char *text = yyjson_val_write(v, 0, &n);
    struct str out = text ? arena_copy(&s->arena, str_make(text, n)) : STR("{}");
    free(text);
    return out;
}

/* -------------------------------------------------------------------------------------- client --- */

static yyjson_val *parse_answer(struct res_session *s, const struct client_response *r)
{
    yyjson_val *root = NULL;
    struct error err = {0};
    if (r && json_read(&s->arena, r->body, &root, &err) < 0)
        res_error(s, "the server's answer: %s", err.message);
    return root;
}

static void create(struct apply *a, const struct res_document *d, yyjson_val *modified)
{
    if (cstr_eq(a->dry_run, "client")) {
        report(a, d, "created", d->object);
        return;
    }
    struct client_request q = {.method = "POST",
                               .path = write_query(a, res_path(&a->s, d->resource, d->ns, NULL)),
                               .content_type = "application/json",
                               .body = json_text(&a->s, modified)};
    const struct client_response *r = res_request(&a->s, &q, NULL);
    if (r)
        report(a, d, "created", parse_answer(&a->s, r));
}

/* What to send so that `current` becomes what the manifest wants; empty: nothing. */
static int three_way(struct apply *a, const struct res_document *d, yyjson_val *modified,
                     yyjson_val *current, struct str *patch, bool *strategic)
{
    struct res_session *s = &a->s;
    const char *last = res_text(res_member(current, "metadata", "annotations", LAST_APPLIED, NULL));
    yyjson_val *original = NULL;
    struct error err = {0};
    if (*last && json_read(&s->arena, str_from(last), &original, &err) < 0)
        return res_error(s, "the annotation %s of %s/%s: %s", LAST_APPLIED, d->resource->plural,
                         d->name, err.message);
    if (!*last && current)
        fprintf(stderr,
                "Warning: resource %s/%s is missing the " LAST_APPLIED
                " annotation which is required by c8s apply. The annotation will be set now.\n",
                d->resource->plural, d->name);
    const struct schema_message *m =
        d->resource->message == SCHEMA_NONE ? NULL : schema_get(d->resource->message);
    yyjson_mut_doc *doc = json_doc_new(&s->arena);
    yyjson_mut_val *out = NULL;
    if (patch_three_way(&s->arena, m, original, modified, current, &out, doc, &err) < 0)
        return res_error(s, "%s/%s: %s", d->resource->plural, d->name, err.message);
    yyjson_mut_doc_set_root(doc, out);
    size_t n;
    char *text = yyjson_mut_write(doc, 0, &n);
    *patch = text ? arena_copy(&s->arena, str_make(text, n)) : STR("{}");
    *strategic = m != NULL;
    free(text);
    return 0;
}

/* True when it is done, in whatever way; false: the object changed under us, try again. */
static bool update(struct apply *a, const struct res_document *d, yyjson_val *modified,
                   yyjson_val *current)
{
    struct str patch = STR_NONE;
    bool strategic = false;
    if (three_way(a, d, modified, current, &patch, &strategic) < 0)
        return true;
    if (str_eqz(patch, "{}")) {
        report(a, d, "unchanged", current);
        return true;
    }
    if (cstr_eq(a->dry_run, "client")) {
        report(a, d, "configured", current);
        return true;
    }
    struct client_status status;
    struct client_request q = {.method = "PATCH",
                               .path = write_query(a, res_path(&a->s, d->resource, d->ns, d->name)),
                               .content_type = strategic ? "application/strategic-merge-patch+json"
                                                         : "application/merge-patch+json",
                               .body = patch};
    const struct client_response *r = res_request(&a->s, &q, &status);
    if (r && status.http_status == 409)
        return false;
    if (r && status.http_status >= 300)
        res_print_status(&a->s, r);
    else if (r)
        report(a, d, "configured", parse_answer(&a->s, r));
    return true;
}

static void apply_client(struct apply *a, const struct res_document *d)
{
    struct res_session *s = &a->s;
    yyjson_val *modified = with_annotation(s, d, applied_text(s, d->object));
    for (int tries = 0; tries < APPLY_TRIES; tries++) {
        struct client_status status;
        struct client_request q = {.path = res_path(s, d->resource, d->ns, d->name)};
        const struct client_response *r = res_request(s, &q, &status);
        if (!r)
            return;
        if (status.http_status == 404 && cstr_eq(status.reason, "NotFound")) {
            create(a, d, modified);
            return;
        }
        if (status.http_status >= 300) {
            res_print_status(s, r);
            return;
        }
        yyjson_val *current = parse_answer(s, r);
        if (!current || update(a, d, modified, current))
            return;
    }
    res_error(s, "%s/%s changed again and again while applying", d->resource->plural, d->name);
}

/* -------------------------------------------------------------------------------------- server --- */

static void apply_server(struct apply *a, const struct res_document *d)
{
    char *path = write_query(a, res_path(&a->s, d->resource, d->ns, d->name));
    path = res_query(&a->s, path, "force", a->force_conflicts ? "true" : NULL);
    struct client_request q = {.method = "PATCH",
                               .path = path,
                               .content_type = "application/apply-patch+yaml",
                               .body = json_text(&a->s, d->object)};
    const struct client_response *r = res_request(&a->s, &q, NULL);
    if (r)
        report(a, d, "serverside-applied", parse_answer(&a->s, r));
}

static void run(struct apply *a)
{
    struct res_documents docs;
    if (!a->files.len) {
        res_error(&a->s, "must specify one of -f and -k");
        return;
    }
    if (res_connect(&a->s) < 0 || res_read_manifests(&a->s, &a->files, a->recursive, &docs) < 0)
        return;
    if (!docs.len && a->s.exit_code == 0)
        res_error(&a->s, "no objects passed to apply");
    for (size_t i = 0; i < docs.len; i++) {
        if (!*docs.items[i].name)
            res_error(&a->s, "from %s: cannot use generate name with apply", docs.items[i].source);
        else if (a->server_side)
            apply_server(a, &docs.items[i]);
        else
            apply_client(a, &docs.items[i]);
    }
}

int res_apply_main(int argc, char **argv)
{
    struct apply a = {.dry_run = "none", .overwrite = true};
    res_session_init(&a.s);
    const struct flag flags[] = {
        {"filename", 'f', FLAG_LIST, &a.files, "FILE",
         "Files or directories; - is standard input."},
        {"recursive", 'R', FLAG_BOOL, &a.recursive, NULL, "Directories with what is below them."},
        {"server-side", 0, FLAG_BOOL, &a.server_side, NULL, "Let the server merge."},
        {"force-conflicts", 0, FLAG_BOOL, &a.force_conflicts, NULL,
         "Take fields over from other managers (with --server-side)."},
        {"field-manager", 0, FLAG_STRING, &a.field_manager, "NAME", "Who manages the fields."},
        {"dry-run", 0, FLAG_STRING, &a.dry_run, "WHERE", "Only say what would be done.",
         "none|client|server", .implied = "client"},
        {"output", 'o', FLAG_STRING, &a.output, "FORMAT", "What to print instead.",
         "name|json|yaml"},
        {"overwrite", 0, FLAG_BOOL, &a.overwrite, NULL,
         "Overwrite what others changed in fields that the manifest sets."},
        RES_GLOBAL_FLAGS(&a.s),
        FLAGS_END,
    };
    flags_parse_or_exit(&(struct flags_spec){.program = "c8s apply",
                                             .summary = "Make objects what manifests say.",
                                             .usage = "-f FILE [flags]",
                                             .flags = flags},
                        argc, argv, NULL, 1);
    if (!a.field_manager)
        a.field_manager = a.server_side ? "kubectl" : "kubectl-client-side-apply";
    run(&a);
    flag_list_free(&a.files);
    return res_end(&a.s);
}
