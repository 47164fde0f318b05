/*
 * Reading manifests (cli/resources/res.h).
 */
#include "cli/resources/res.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/vec.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MANIFEST_BYTES_MAX (64u << 20)
#define DIRECTORY_DEPTH_MAX 16

static int read_file(struct res_session *s, const char *path, struct str *out)
{
    struct error err;
    return file_read(path, MANIFEST_BYTES_MAX, &s->arena, out, &err) < 0
               ? res_error(s, "%s", err.message)
               : 0;
}

static void add_document(struct res_session *s, struct res_documents *out, const char *source,
                         yyjson_val *object)
{
    struct str api_version, kind;
    json_type_meta(object, &api_version, &kind);
    if (!api_version.n || !kind.n) {
        res_error(s, "error validating \"%s\": %s not set", source,
                  api_version.n ? "kind" : "apiVersion");
        return;
    }
    if (str_has_suffix(kind, STR("List")) && yyjson_is_arr(yyjson_obj_get(object, "items"))) {
        yyjson_val *item;
        size_t i, max;
        yyjson_arr_foreach (yyjson_obj_get(object, "items"), i, max, item)
            add_document(s, out, source, item);
        return;
    }
    const struct resource *r = resource_find_kind(api_version, kind, NULL);
    if (!r) {
        struct str group, version;
        api_version_split(api_version, &group, &version);
        const char *name = group.n ? arena_printf(&s->arena, "%.*s.%.*s.%.*s", STR_ARG(kind),
                                                  STR_ARG(version), STR_ARG(group))
                                   : arena_strndup(&s->arena, kind.p, kind.n);
        r = res_resource(s, name);
    }
    if (!r)
        return;
    yyjson_val *meta = yyjson_obj_get(object, "metadata");
    const char *name = res_text(yyjson_obj_get(meta, "name")),
               *ns = res_text(yyjson_obj_get(meta, "namespace"));
    if (r->namespaced && *ns && s->ns_flag && strcmp(ns, s->ns_flag) != 0) {
        res_error(
            s,
            "the namespace from the provided object \"%s\" does not match the namespace \"%s\". "
            "You must pass '--namespace=%s' to perform this operation.",
            ns, s->ns_flag, ns);
        return;
    }
    out->items = arena_grow(&s->arena, out->items, out->len * sizeof *out->items,
                            (out->len + 1) * sizeof *out->items);
    out->items[out->len++] = (struct res_document){.source = source,
                                                   .object = object,
                                                   .resource = r,
                                                   .name = name,
                                                   .ns = !r->namespaced ? NULL
                                                         : *ns          ? ns
                                                                        : s->ns};
}

static int read_text(struct res_session *s, struct str text, const char *source,
                     struct res_documents *out)
{
    yyjson_val **documents;
    size_t count;
    struct error err = {0};
    if (yaml_read(&s->arena, text, &documents, &count, &err) < 0)
        return res_error(s, "error parsing %s: %s", source, err.message);
    for (size_t i = 0; i < count; i++)
        add_document(s, out, source, documents[i]);
    return 0;
}

static bool is_manifest_name(const char *name)
{
    static const char *const suffixes[] = {".yaml", ".yml", ".json"};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_has_suffix(str_from(name), str_from(suffixes[i])))
            return true;
    return false;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int read_path(struct res_session *s, const char *path, bool recursive, bool given,
                     struct res_documents *out, int depth);

static int read_directory(struct res_session *s, const char *path, bool recursive,
                          struct res_documents *out, int depth)
{
    DIR *dir = opendir(path);
    if (!dir)
        return res_error(s, "cannot read %s: %s", path, strerror(errno));
    VEC(char *) names = {0};
    struct dirent *entry;
    while ((entry = readdir(dir)) != NULL)
        if (entry->d_name[0] != '.')
            vec_push(&names, arena_printf(&s->arena, "%s/%s", path, entry->d_name));
    closedir(dir);
    if (names.len)
        qsort(names.items, names.len, sizeof *names.items, by_name);
    int rc = 0;
    for (size_t i = 0; i < names.len && rc == 0; i++)
        rc = read_path(s, names.items[i], recursive, false, out, depth + 1);
    vec_free(&names);
    return rc;
}

static int read_path(struct res_session *s, const char *path, bool recursive, bool given,
                     struct res_documents *out, int depth)
{
    struct stat st;
    if (stat(path, &st) < 0)
        return res_error(s, "the path \"%s\" does not exist", path);
    if (S_ISDIR(st.st_mode)) {
        if (!given && !recursive)
            return 0;
        if (depth > DIRECTORY_DEPTH_MAX)
            return res_error(s, "%s: directories nested too deep", path);
        return read_directory(s, path, recursive, out, depth);
    }
    if (!given && !is_manifest_name(path))
        return 0;
    struct str text;
    int rc = read_file(s, path, &text);
    return rc < 0 ? rc : read_text(s, text, path, out);
}

int res_read_manifests(struct res_session *s, const struct flag_list *files, bool recursive,
                       struct res_documents *out)
{
    memset(out, 0, sizeof *out);
    int rc = 0;
    for (size_t i = 0; i < files->len && rc == 0; i++) {
        struct str text;
        if (strcmp(files->items[i], "-") != 0)
            rc = read_path(s, files->items[i], recursive, true, out, 0);
        else if ((rc = read_file(s, "-", &text)) == 0)
            rc = read_text(s, text, "STDIN", out);
    }
    return rc;
}
