/*
 * Tidying (see tidy.h).
 */
#include "node/tidy.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "node/files.h"
#include "node/runtime.h"
#include "node/volumes.h"
#include <dirent.h>
#include <sys/stat.h>

#define SETTLED_S 30

const char *tidy_log_dir_uid(const char *name)
{
    const char *last = strrchr(name, '_');

    /* A uid has no underscore, nor have names: there are exactly two. */
    if (!last || last == name || !last[1] || strchr(name, '_') == last)
        return NULL;
    return last + 1;
}

/* Uids of all pods that the API has here or the runtime still holds. */
static int known_uids(struct agent *g, struct map *known, struct arena *a, struct error *err)
{
    struct object_refs pods = {0};
    CriPodSandbox **sandboxes;
    size_t n;
    int rc = cri_list_sandboxes(g->cri, NULL, 0, a, &sandboxes, &n, err);

    for (size_t i = 0; rc == 0 && i < n; i++) {
        const char *uid = cri_value(sandboxes[i]->labels, sandboxes[i]->n_labels, LABEL_POD_UID);
        if (uid)
            map_put(known, str_from(uid), known);
    }
    /* After the runtime: a pod that is made in between is in one of the two. */
    informer_list(g->pods, NULL, &pods);
    for (size_t i = 0; i < pods.len; i++)
        map_put(known, str_from(pods.items[i]->uid), known);
    object_refs_free(&pods);
    return rc;
}

/* A pod that was made since its uid was looked for has young directories. */
static bool settled(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0 && clock_wall_s() - st.st_mtime > SETTLED_S;
}

static void remove_unknown(struct agent *g, const struct map *known, const char *dir, bool logs)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    while (d && (e = readdir(d)) != NULL) {
        const char *uid = logs ? tidy_log_dir_uid(e->d_name) : e->d_name;
        struct error err = {0};
        char *path;
        int rc;

        if (e->d_name[0] == '.' || !uid || map_has(known, str_from(uid)))
            continue;
        path = mem_printf("%s/%s", dir, e->d_name);
        if (!settled(path)) {
            mem_free(path);
            continue;
        }
        rc = logs ? file_remove_tree(path, &err) : volumes_remove(g, uid, &err);
        if (rc == 0)
            agent_remove_cgroups(g, uid);
        if (rc < 0)
            log_warn("node", "left behind, cannot be removed path=%s err=\"%s\"", path,
                     err.message);
        else
            log_info("node", "removed what a pod had left behind path=%s", path);
        mem_free(path);
    }
    if (d)
        closedir(d);
}

void tidy_host(struct agent *g)
{
    struct error err = {0};
    struct map known;
    struct arena a;
    char *pods = mem_printf("%s/pods", g->options.root_dir);

    arena_init(&a);
    map_init(&known);
    if (known_uids(g, &known, &a, &err) == 0) {
        remove_unknown(g, &known, pods, false);
        remove_unknown(g, &known, g->options.pod_log_dir, true);
    }
    mem_free(pods);
    map_free(&known);
    arena_free(&a);
}
