/*
 * c8s api-resources: what the server serves.
 */
#include "cli/resources/res.h"

#include "base/mem.h"
#include <stdio.h>

static const char *short_names(struct res_session *s, const struct discovered *d)
{
    struct buf b;
    buf_init(&b);
    for (size_t i = 0; d->short_names && d->short_names[i]; i++)
        buf_printf(&b, "%s%s", i ? "," : "", d->short_names[i]);
    const char *text = arena_strndup(&s->arena, b.data ? b.data : "", b.len);
    buf_free(&b);
    return text;
}

static void print(struct res_session *s, const char *group, const char *output, int namespaced,
                  bool headers)
{
    struct res_table t;
    res_table_init(&t, &s->arena);
    bool names = cstr_eq(output, "name");
    if (headers && !names)
        res_table_row(
            &t, (const char *[]){"NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND"}, 5);
    for (size_t i = 0; i < s->discovery.len; i++) {
        const struct discovered *d = &s->discovery.items[i];
        const struct resource *r = d->resource;
        if ((group && strcmp(group, r->group) != 0) ||
            (namespaced >= 0 && namespaced != r->namespaced))
            continue;
        if (names)
            printf("%s%s%s\n", r->plural, *r->group ? "." : "", r->group);
        else
            res_table_row(&t,
                          (const char *[]){r->plural, short_names(s, d), r->api_version,
                                           r->namespaced ? "true" : "false", r->kind},
                          5);
    }
    res_table_flush(&t);
}

int res_api_resources_main(int argc, char **argv)
{
    struct res_session s;
    const char *group = NULL, *output = NULL, *namespaced = NULL;
    bool no_headers = false;
    res_session_init(&s);
    const struct flag flags[] = {
        {"api-group", 0, FLAG_STRING, &group, "GROUP", "Only of this group."},
        {"namespaced", 0, FLAG_STRING, &namespaced, "BOOL",
         "Only what is, or is not, in namespaces.", "true|false", .implied = "true"},
        {"output", 'o', FLAG_STRING, &output, "FORMAT", "name: names only.", "name"},
        {"no-headers", 0, FLAG_BOOL, &no_headers, NULL, "Without the first line."},
        RES_GLOBAL_FLAGS(&s),
        FLAGS_END,
    };
    flags_parse_or_exit(&(struct flags_spec){.program = "c8s api-resources",
                                             .summary = "What the server serves.",
                                             .flags = flags},
                        argc, argv, NULL, 1);
    struct error err = {0};
    if (res_connect(&s) == 0) {
        s.discovered = true;
        if (discovery_load(s.client, &s.discovery, &err) < 0)
            res_error(&s, "%s", err.message);
        else
            print(&s, group, output, namespaced ? strcmp(namespaced, "true") == 0 : -1,
                  !no_headers);
    }
    return res_end(&s);
}
