/*
 * c8s create: from manifests, or a namespace, deployment, config map, secret or service account by flags.
 */
#include "cli/resources/res.h"

#include "base/file.h"
#include "base/encode.h"
#include "base/mem.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define FILE_BYTES_MAX (3u << 20)

struct create {
    struct res_session s;
    struct flag_list files, literals, from_files, images, command;
    const char *dry_run, *output;
    int64_t replicas, port;
    bool recursive;
};

static void report(struct create *c, const struct resource *r, const char *name, yyjson_val *object)
{
    if (cstr_eq(c->output, "name"))
        printf("%s/%s\n", res_type_text(&c->s, r), name);
    else if (cstr_eq(c->output, "yaml"))
        res_print_yaml(&c->s, object, false);
    else if (cstr_eq(c->output, "json"))
        res_print_json(&c->s, object, false);
    else
        printf("%s/%s created%s\n", res_type_text(&c->s, r), name,
               cstr_eq(c->dry_run, "server")   ? " (server dry run)"
               : cstr_eq(c->dry_run, "client") ? " (dry run)"
                                               : "");
}

static void create_object(struct create *c, const struct res_document *d)
{
    size_t n;
    if (cstr_eq(c->dry_run, "client")) {
        report(c, d->resource, d->name, d->object);
        return;
    }
    char *text = yyjson_val_write(d->object, 0, &n);
    char *path = res_path(&c->s, d->resource, d->ns, NULL);
    path = res_query(&c->s, path, "fieldManager", "kubectl-create");
    path = res_query(&c->s, path, "fieldValidation", "Strict");
    path = res_query(&c->s, path, "dryRun", cstr_eq(c->dry_run, "server") ? "All" : NULL);
    struct client_request q = {.method = "POST",
                               .path = path,
                               .content_type = "application/json",
                               .body = str_make(text, n)};
    const struct client_response *r = text ? res_request(&c->s, &q, NULL) : NULL;
    yyjson_val *stored = NULL;
    if (r && json_read(&c->s.arena, r->body, &stored, NULL) == 0)
        report(c, d->resource, res_text(res_member(stored, "metadata", "name", NULL)), stored);
    free(text);
}

/* ---------------------------------------------------------------------------------- generators --- */

static yyjson_mut_val *heading(struct create *c, yyjson_mut_doc *doc, const struct resource *r,
                               const char *name)
{
    yyjson_mut_val *o = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_str(doc, o, "apiVersion", r->api_version);
    yyjson_mut_obj_add_str(doc, o, "kind", r->kind);
    yyjson_mut_val *meta = yyjson_mut_obj_add_obj(doc, o, "metadata");
    yyjson_mut_obj_add_str(doc, meta, "name", name);
    if (r->namespaced)
        yyjson_mut_obj_add_str(doc, meta, "namespace", c->s.ns);
    return o;
}

static yyjson_mut_val *labels(yyjson_mut_doc *doc, const char *app)
{
    yyjson_mut_val *l = yyjson_mut_obj(doc);
    yyjson_mut_obj_add_str(doc, l, "app", app);
    return l;
}

static void add_container(struct create *c, yyjson_mut_doc *doc, yyjson_mut_val *containers,
                          const char *image)
{
    /* The image's own name, without registry, tag and digest. */
    const char *slash = strrchr(image, '/'), *base = slash ? slash + 1 : image;
    yyjson_mut_val *x = yyjson_mut_arr_add_obj(doc, containers);
    yyjson_mut_obj_add_strn(doc, x, "name", base, strcspn(base, ":@"));
    yyjson_mut_obj_add_str(doc, x, "image", image);
    if (c->port > 0) {
        yyjson_mut_val *ports = yyjson_mut_obj_add_arr(doc, x, "ports");
        yyjson_mut_obj_add_int(doc, yyjson_mut_arr_add_obj(doc, ports), "containerPort", c->port);
    }
    if (c->command.len) {
        yyjson_mut_val *command = yyjson_mut_obj_add_arr(doc, x, "command");
        for (size_t i = 0; i < c->command.len; i++)
            yyjson_mut_arr_add_str(doc, command, c->command.items[i]);
    }
}

static yyjson_mut_val *make_deployment(struct create *c, yyjson_mut_doc *doc, const char *name)
{
    yyjson_mut_val *o = heading(c, doc, RESOURCE_DEPLOYMENTS, name);
    if (!c->images.len) {
        res_error(&c->s, "required flag(s) \"image\" not set");
        return NULL;
    }
    yyjson_mut_obj_add_val(doc, yyjson_mut_obj_get(o, "metadata"), "labels", labels(doc, name));
    yyjson_mut_val *spec = yyjson_mut_obj_add_obj(doc, o, "spec");
    yyjson_mut_obj_add_int(doc, spec, "replicas", c->replicas);
    yyjson_mut_val *selector = yyjson_mut_obj_add_obj(doc, spec, "selector");
    yyjson_mut_obj_add_val(doc, selector, "matchLabels", labels(doc, name));
    yyjson_mut_val *template = yyjson_mut_obj_add_obj(doc, spec, "template");
    yyjson_mut_val *meta = yyjson_mut_obj_add_obj(doc, template, "metadata");
    yyjson_mut_obj_add_val(doc, meta, "labels", labels(doc, name));
    yyjson_mut_val *pod = yyjson_mut_obj_add_obj(doc, template, "spec");
    yyjson_mut_val *containers = yyjson_mut_obj_add_arr(doc, pod, "containers");
    for (size_t i = 0; i < c->images.len; i++)
        add_container(c, doc, containers, c->images.items[i]);
    return o;
}

static void add_datum(yyjson_mut_doc *doc, yyjson_mut_val *data, const char *key, struct str value,
                      bool secret)
{
    struct buf b;
    buf_init(&b);
    if (secret)
        base64_encode(&b, value);
    else
        buf_append_str(&b, value);
    yyjson_mut_obj_put(data, yyjson_mut_strcpy(doc, key),
                       yyjson_mut_strncpy(doc, b.data ? b.data : "", b.len));
    buf_free(&b);
}

/* --from-literal=key=value and --from-file=[key=]path */
static int add_data(struct create *c, yyjson_mut_doc *doc, yyjson_mut_val *data, bool secret)
{
    for (size_t i = 0; i < c->literals.len; i++) {
        const char *item = c->literals.items[i], *equals = strchr(item, '=');
        if (!equals || equals == item)
            return res_error(&c->s, "invalid literal source %s, expected key=value", item);
        char *key = arena_strndup(&c->s.arena, item, (size_t)(equals - item));
        add_datum(doc, data, key, str_from(equals + 1), secret);
    }
    for (size_t i = 0; i < c->from_files.len; i++) {
        const char *item = c->from_files.items[i], *equals = strchr(item, '=');
        const char *path = equals ? equals + 1 : item, *slash = strrchr(path, '/');
        const char *key = equals  ? arena_strndup(&c->s.arena, item, (size_t)(equals - item))
                          : slash ? slash + 1
                                  : path;
        struct str content;
        struct error err;
        if (file_read(path, FILE_BYTES_MAX, &c->s.arena, &content, &err) < 0)
            return res_error(&c->s, "%s", err.message);
        if (!secret && !utf8_valid(content))
            return res_error(&c->s, "%s is no text: a config map by flags takes text only", path);
        add_datum(doc, data, key, content, secret);
    }
    return 0;
}

static yyjson_mut_val *make_data(struct create *c, yyjson_mut_doc *doc, const char *name,
                                 bool secret)
{
    yyjson_mut_val *o = heading(c, doc, secret ? RESOURCE_SECRETS : RESOURCE_CONFIGMAPS, name);
    yyjson_mut_val *data = yyjson_mut_obj_add_obj(doc, o, "data");
    return add_data(c, doc, data, secret) < 0 ? NULL : o;
}

/* The words after `create`: what, and its name. */
static void generate(struct create *c, const struct flag_list *args)
{
    const struct resource *r = NULL;
    const char *what = args->items[0], *name = args->len > 1 ? args->items[args->len - 1] : NULL;
    yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
    yyjson_mut_val *o = NULL;
    bool generic = args->len == 3 && strcmp(args->items[1], "generic") == 0;
    if (!name || (args->len == 3 && !generic) || (strcmp(what, "secret") == 0 && !generic)) {
        res_error(&c->s, "expected: namespace|deployment|configmap|serviceaccount NAME, or secret "
                         "generic NAME");
    } else if (strcmp(what, "namespace") == 0 || strcmp(what, "ns") == 0) {
        o = heading(c, doc, r = RESOURCE_NAMESPACES, name);
    } else if (strcmp(what, "serviceaccount") == 0 || strcmp(what, "sa") == 0) {
        o = heading(c, doc, r = RESOURCE_SERVICEACCOUNTS, name);
    } else if (strcmp(what, "deployment") == 0 || strcmp(what, "deploy") == 0) {
        r = RESOURCE_DEPLOYMENTS;
        o = make_deployment(c, doc, name);
    } else if (strcmp(what, "configmap") == 0 || strcmp(what, "cm") == 0) {
        r = RESOURCE_CONFIGMAPS;
        o = make_data(c, doc, name, false);
    } else if (strcmp(what, "secret") == 0) {
        r = RESOURCE_SECRETS;
        o = make_data(c, doc, name, true);
    } else {
        res_error(&c->s, "cannot create a %s by flags; use -f", what);
    }
    if (o) {
        yyjson_mut_doc_set_root(doc, o);
        yyjson_doc *fixed = yyjson_mut_doc_imut_copy(doc, NULL);
        struct res_document d = {.object = yyjson_doc_get_root(fixed),
                                 .resource = r,
                                 .name = name,
                                 .ns = res_namespace(&c->s, r)};
        create_object(c, &d);
        yyjson_doc_free(fixed);
    }
    yyjson_mut_doc_free(doc);
}

int res_create_main(int argc, char **argv)
{
    struct create c = {.dry_run = "none", .replicas = 1};
    struct flag_list args = {0};
    res_session_init(&c.s);
    const struct flag flags[] = {
        {"filename", 'f', FLAG_LIST, &c.files, "FILE",
         "Files or directories; - is standard input."},
        {"recursive", 'R', FLAG_BOOL, &c.recursive, NULL, "Directories with what is below them."},
        {"image", 0, FLAG_LIST, &c.images, "IMAGE",
         "deployment: image of a container; repeatable."},
        {"replicas", 'r', FLAG_INT, &c.replicas, "N", "deployment: how many."},
        {"port", 0, FLAG_INT, &c.port, "PORT", "deployment: port of the container."},
        {"command", 0, FLAG_REPEATED, &c.command, "WORD",
         "deployment: a word of the command; repeatable."},
        {"from-literal", 0, FLAG_REPEATED, &c.literals, "KEY=VALUE", "configmap, secret: a datum."},
        {"from-file", 0, FLAG_REPEATED, &c.from_files, "[KEY=]FILE",
         "configmap, secret: a file's content."},
        {"dry-run", 0, FLAG_STRING, &c.dry_run, "WHERE", "Only say what would be done.",
         "none|client|server", .implied = "client"},
        {"output", 'o', FLAG_STRING, &c.output, "FORMAT", "What to print instead.",
         "name|json|yaml"},
        RES_GLOBAL_FLAGS(&c.s),
        FLAGS_END,
    };
    flags_parse_or_exit(
        &(struct flags_spec){
            .program = "c8s create",
            .summary = "Create objects.",
            .usage = "(-f FILE | namespace NAME | deployment NAME --image=IMAGE | "
                     "configmap NAME | secret generic NAME | serviceaccount NAME) [flags]",
            .flags = flags,
            .args_max = 3},
        argc, argv, &args, 1);
    struct res_documents docs;
    if (!c.files.len && !args.len)
        res_error(&c.s, "must specify one of -f and what to create");
    else if (res_connect(&c.s) == 0 && args.len)
        generate(&c, &args);
    else if (c.s.client && res_read_manifests(&c.s, &c.files, c.recursive, &docs) == 0)
        for (size_t i = 0; i < docs.len; i++)
            create_object(&c, &docs.items[i]);
    struct flag_list *lists[] = {&args,      &c.files,    &c.images,
                                 &c.command, &c.literals, &c.from_files};
    for (size_t i = 0; i < ARRAY_LEN(lists); i++)
        flag_list_free(lists[i]);
    return res_end(&c.s);
}
