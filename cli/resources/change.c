/*
 * Small changes: c8s scale, label, annotate, cordon, uncordon.
 */
#include "cli/resources/res.h"

#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>

/* Send a merge patch; prints "type/name <what>". */
static void patch(struct res_session *s, const struct res_target *t, struct str body,
                  const char *what)
{
    struct client_request q = {.method = "PATCH",
                               .path =
                                   res_path(s, t->resource, res_namespace(s, t->resource), t->name),
                               .content_type = "application/merge-patch+json",
                               .body = body};
    if (res_request(s, &q, NULL)) {
        printf("%s/%s %s\n", res_type_text(s, t->resource), t->name, what);
        fflush(stdout);
    }
}

/* Targets with -l or --all resolved to names. */
static int named_targets(struct res_session *s, char *const *args, size_t len, const char *selector,
                         bool all, struct res_targets *out)
{
    struct res_targets given;
    memset(out, 0, sizeof *out);
    if (res_parse_targets(s, args, len, &given) < 0)
        return -1;
    for (size_t i = 0; i < given.len; i++) {
        const struct resource *r = given.items[i].resource;
        size_t room = out->len + 1;
        void *list = NULL;
        if (!given.items[i].name) {
            if (!selector && !all)
                return res_error(s, "resource(s) were provided, but no name was specified");
            list = res_list_objects(s, r, res_namespace(s, r), selector, NULL);
            if (!list)
                return -1;
            room = out->len + object_list_len(list);
        }
        out->items = arena_grow(&s->arena, out->items, out->len * sizeof *out->items,
                                (room + 1) * sizeof *out->items);
        if (!list)
            out->items[out->len++] = given.items[i];
        for (size_t k = 0; list && k < object_list_len(list); k++)
            out->items[out->len++] =
                (struct res_target){r, object_meta(object_list_item(list, k))->name};
    }
    if (!out->len)
        return res_error(s, "no objects named");
    return 0;
}

/* --------------------------------------------------------------------------------------- scale --- */

static void scale_one(struct res_session *s, const struct res_target *t, int64_t replicas,
                      int64_t current)
{
    const char *ns = res_namespace(s, t->resource);
    struct error err = {0};
    int32_t now = 0;
    if (current >= 0 &&
        client_get_scale(s->client, t->resource, ns, t->name, &now, NULL, &err) == 0 &&
        now != current) {
        res_error(s, "Expected replicas to be %lld, was %d", (long long)current, now);
        return;
    }
    if (err.code ||
        client_set_scale(s->client, t->resource, ns, t->name, (int32_t)replicas, &err) < 0) {
        res_error(s, "%s", err.message);
        return;
    }
    printf("%s/%s scaled\n", res_type_text(s, t->resource), t->name);
}

int res_scale_main(int argc, char **argv)
{
    struct res_session s;
    struct flag_list args = {0};
    int64_t replicas = -1, current = -1;
    const char *selector = NULL;
    bool all = false;
    res_session_init(&s);
    const struct flag flags[] = {
        {"replicas", 0, FLAG_INT, &replicas, "N", "How many there shall be. Required."},
        {"current-replicas", 0, FLAG_INT, &current, "N", "Only when there are so many now."},
        {"selector", 'l', FLAG_STRING, &selector, "SELECTOR", "Objects with these labels."},
        {"all", 0, FLAG_BOOL, &all, NULL, "All objects of the types."},
        RES_GLOBAL_FLAGS(&s),
        FLAGS_END,
    };
    flags_parse_or_exit(
        &(struct flags_spec){.program = "c8s scale",
                             .summary = "Set how many replicas there shall be.",
                             .usage = "--replicas=N (TYPE NAME | TYPE/NAME)… [flags]",
                             .flags = flags,
                             .args_min = 1,
                             .args_max = FLAGS_ANY},
        argc, argv, &args, 1);
    struct res_targets targets;
    if (replicas < 0 || replicas > INT32_MAX)
        res_error(
            &s,
            "the --replicas=COUNT flag is required, and COUNT must be greater than or equal to 0");
    else if (res_connect(&s) == 0 &&
             named_targets(&s, args.items, args.len, selector, all, &targets) == 0)
        for (size_t i = 0; i < targets.len; i++)
            scale_one(&s, &targets.items[i], replicas, current);
    flag_list_free(&args);
    return res_end(&s);
}

/* ------------------------------------------------------------------------- label and annotate --- */

struct changes {
    const char *kind; /* "labels", "annotations" */
    char **items;     /* key=value, key- */
    size_t len;
    bool overwrite;
};

/* The change as a merge patch, or NULL (printed) when it would overwrite. */
static char *change_patch(struct res_session *s, const struct changes *c,
                          const Meta__V1__ObjectMeta *meta)
{
    bool labels = strcmp(c->kind, "labels") == 0;
    struct buf b;
    buf_init(&b);
    buf_printf(&b, "{\"metadata\":{\"%s\":{", c->kind);
    for (size_t i = 0; i < c->len; i++) {
        const char *item = c->items[i], *equals = strchr(item, '=');
        size_t key_len = equals ? (size_t)(equals - item) : strlen(item) - 1;
        char *key = arena_strndup(&s->arena, item, key_len);
        const char *have = labels ? labels_get(meta, key) : annotations_get(meta, key);
        if (equals && have && !c->overwrite && strcmp(have, equals + 1) != 0) {
            res_error(s, "'%s' already has a value (%s), and --overwrite is false", key, have);
            buf_free(&b);
            return NULL;
        }
        buf_append_cstr(&b, i ? "," : "");
        buf_append_json_string(&b, str_from(key));
        buf_append_char(&b, ':');
        if (equals)
            buf_append_json_string(&b, str_from(equals + 1));
        else
            buf_append_cstr(&b, "null");
    }
    buf_append_cstr(&b, "}}}");
    char *text = arena_strndup(&s->arena, b.data, b.len);
    buf_free(&b);
    return text;
}

static void change_one(struct res_session *s, const struct changes *c, const struct res_target *t)
{
    struct error err = {0};
    struct client_options o = {.metadata_only = true};
    Meta__V1__PartialObjectMetadata *m = client_get(
        s->client, t->resource, res_namespace(s, t->resource), t->name, &o, &s->arena, &err);
    if (!m) {
        res_error(s, "%s", err.message);
        return;
    }
    char *body = change_patch(s, c, m->metadata);
    bool removes = c->len && !strchr(c->items[0], '=');
    const char *done =
        strcmp(c->kind, "labels") == 0 ? (removes ? "unlabeled" : "labeled") : "annotated";
    if (body)
        patch(s, t, str_from(body), done);
}

static bool is_change(const char *arg)
{
    size_t n = strlen(arg);
    return strchr(arg, '=') || (n > 1 && arg[n - 1] == '-');
}

static int change_main(int argc, char **argv, const char *program, const char *summary,
                       const char *kind)
{
    struct res_session s;
    struct flag_list args = {0};
    const char *selector = NULL;
    bool all = false;
    struct changes c = {.kind = kind};
    res_session_init(&s);
    const struct flag flags[] = {
        {"overwrite", 0, FLAG_BOOL, &c.overwrite, NULL, "Change values that are there already."},
        {"selector", 'l', FLAG_STRING, &selector, "SELECTOR", "Objects with these labels."},
        {"all", 0, FLAG_BOOL, &all, NULL, "All objects of the types."},
        RES_GLOBAL_FLAGS(&s),
        FLAGS_END,
    };
    flags_parse_or_exit(
        &(struct flags_spec){.program = program,
                             .summary = summary,
                             .usage = "(TYPE NAME… | TYPE/NAME…) KEY=VALUE… KEY-… [flags]",
                             .flags = flags,
                             .args_min = 1,
                             .args_max = FLAGS_ANY},
        argc, argv, &args, 1);
    size_t names = 0;
    while (names < args.len && !is_change(args.items[names]))
        names++;
    c.items = args.items + names;
    c.len = args.len - names;
    struct res_targets targets;
    if (!c.len || !names)
        res_error(
            &s, "at least one resource and one change (key=value, or key- to remove) is required");
    else if (res_connect(&s) == 0 &&
             named_targets(&s, args.items, names, selector, all, &targets) == 0)
        for (size_t i = 0; i < targets.len; i++)
            change_one(&s, &c, &targets.items[i]);
    flag_list_free(&args);
    return res_end(&s);
}

int res_label_main(int argc, char **argv)
{
    return change_main(argc, argv, "c8s label", "Set and remove labels.", "labels");
}

int res_annotate_main(int argc, char **argv)
{
    return change_main(argc, argv, "c8s annotate", "Set and remove annotations.", "annotations");
}

/* -------------------------------------------------------------------------------------- cordon --- */

static int cordon_main(int argc, char **argv, bool on)
{
    struct res_session s;
    struct flag_list args = {0};
    res_session_init(&s);
    const struct flag flags[] = {RES_GLOBAL_FLAGS(&s), FLAGS_END};
    flags_parse_or_exit(&(struct flags_spec){.program = on ? "c8s cordon" : "c8s uncordon",
                                             .summary = on ? "Keep new pods off nodes."
                                                           : "Let nodes have new pods again.",
                                             .usage = "NODE… [flags]",
                                             .flags = flags,
                                             .args_min = 1,
                                             .args_max = FLAGS_ANY},
                        argc, argv, &args, 1);
    const char *body =
        on ? "{\"spec\":{\"unschedulable\":true}}" : "{\"spec\":{\"unschedulable\":null}}";
    for (size_t i = 0; i < args.len && (s.client || res_connect(&s) == 0); i++) {
        const char *name = args.items[i];
        if (str_has_prefix(str_from(name), STR("node/")))
            name += strlen("node/");
        patch(&s, &(struct res_target){RESOURCE_NODES, name}, str_from(body),
              on ? "cordoned" : "uncordoned");
    }
    flag_list_free(&args);
    return res_end(&s);
}

int res_cordon_main(int argc, char **argv)
{
    return cordon_main(argc, argv, true);
}

int res_uncordon_main(int argc, char **argv)
{
    return cordon_main(argc, argv, false);
}
