/*
 * --admission-control-config-file: an AdmissionConfiguration whose plugin PodSecurity (the only one with
 * a configuration) names exempt users, namespaces and runtime classes, and what namespaces without
 * labels get.
 */
#include "api/codec.h"
#include "apiserver/admission/admission.h"
#include "apiserver/admission/pod_security.h"
#include "base/vec.h"
#include <errno.h>
#include <stdio.h>

#define FILE_MAX (1u << 20)

static int read_file(const char *path, struct arena *a, struct str *out, struct error *err)
{
    FILE *f = fopen(path, "r");
    if (!f)
        return error_errno(err, ERR_IO, errno, "%s", path);
    char *text = arena_alloc(a, FILE_MAX);
    size_t n = fread(text, 1, FILE_MAX, f);
    fclose(f);
    *out = str_make(text, n);
    return n < FILE_MAX ? 0 : error_set(err, ERR_LIMIT, "%s: more than 1 MiB", path);
}

/* A list of strings, NULL-terminated; NULL for an empty one. */
static const char *const *strings(struct arena *a, yyjson_val *list)
{
    size_t n = yyjson_arr_size(list), i, max;
    const char **out = arena_array(a, const char *, n + 1);
    yyjson_val *v;
    yyjson_arr_foreach (list, i, max, v)
        out[i] = yyjson_is_str(v) ? arena_strdup(a, yyjson_get_str(v)) : "";
    return n ? out : NULL;
}

static int pod_security(yyjson_val *root, struct apiserver_config *c, struct arena *a,
                        struct error *err)
{
    static const char *const modes[] = {"enforce", "audit", "warn"};
    yyjson_val *exempt = yyjson_obj_get(root, "exemptions");
    yyjson_val *defaults = yyjson_obj_get(root, "defaults");
    struct pod_security_labels *p = arena_new(a, struct pod_security_labels);
    struct pod_security_policy *policies[] = {&p->enforce, &p->audit, &p->warn};
    c->pod_security_exempt_users = strings(a, yyjson_obj_get(exempt, "usernames"));
    c->pod_security_exempt_namespaces = strings(a, yyjson_obj_get(exempt, "namespaces"));
    c->pod_security_exempt_runtime_classes = strings(a, yyjson_obj_get(exempt, "runtimeClasses"));
    for (int i = 0; i < 3; i++) {
        const char *level = yyjson_get_str(yyjson_obj_get(defaults, modes[i]));
        const char *version =
            yyjson_get_str(yyjson_obj_get(defaults, arena_printf(a, "%s-version", modes[i])));
        policies[i]->latest = true;
        if ((level && *level && !pod_security_parse_level(level, &policies[i]->level)) ||
            (version && *version && !pod_security_parse_version(version, policies[i])))
            return error_set(err, ERR_INVALID, "PodSecurity: defaults.%s is no level or version",
                             modes[i]);
    }
    c->pod_security_defaults = p;
    return 0;
}

int admission_config_read(const char *path, struct apiserver_config *c, struct arena *a,
                          struct error *err)
{
    struct str text;
    yyjson_val **docs, *plugin;
    size_t n, i, max;
    if (read_file(path, a, &text, err) < 0 || yaml_read(a, text, &docs, &n, err) < 0)
        return error_wrap(err, "--admission-control-config-file");
    const char *kind = n == 1 ? yyjson_get_str(yyjson_obj_get(docs[0], "kind")) : NULL;
    if (!kind || strcmp(kind, "AdmissionConfiguration") != 0)
        return error_set(err, ERR_INVALID,
                         "--admission-control-config-file: %s is no AdmissionConfiguration", path);
    yyjson_arr_foreach (yyjson_obj_get(docs[0], "plugins"), i, max, plugin) {
        const char *name = yyjson_get_str(yyjson_obj_get(plugin, "name"));
        if (!name || strcmp(name, "PodSecurity") != 0)
            return error_set(err, ERR_UNSUPPORTED,
                             "--admission-control-config-file: plugin %s takes no configuration",
                             name ? name : "without a name");
        if (pod_security(yyjson_obj_get(plugin, "configuration"), c, a, err) < 0)
            return error_wrap(err, "--admission-control-config-file");
    }
    return 0;
}
