/*
 * Volumes of a pod (see volumes.h).
 */
#include "node/volumes.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/vec.h"
#include "node/atomic_dir.h"
#include "node/files.h"
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <yyjson.h>

#define TOKEN_EXPIRATION_S 3600

/* --------------------------------------------------------------------------------- tokens --- */

struct token {
    char *key; /* audience and lifetime */
    char *value;
    int64_t renew_s; /* wall clock: from then on a new one is fetched */
};

struct token_cache {
    VEC(struct token) tokens;
};

struct token_cache *token_cache_new(void)
{
    return mem_zalloc(sizeof(struct token_cache));
}

void token_cache_free(struct token_cache *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->tokens.len; i++) {
        mem_free(t->tokens.items[i].key);
        mem_free(t->tokens.items[i].value);
    }
    vec_free(&t->tokens);
    mem_free(t);
}

/* Ask for a token that is bound to the pod. */
static int token_request(struct agent *g, const Core__V1__Pod *pod, const char *audience,
                         int64_t lifetime_s, char **token, struct error *err)
{
    const char *account = pod->spec->service_account_name;
    struct client_request q = {.method = "POST", .content_type = "application/json"};
    struct client_response r;
    struct buf body;
    struct arena a;
    yyjson_doc *doc = NULL;
    const char *value;
    int rc;

    arena_init(&a);
    buf_init(&body);
    buf_append_cstr(&body, "{\"apiVersion\":\"authentication.k8s.io/v1\",\"kind\":\"TokenRequest\","
                           "\"spec\":{\"audiences\":[");
    if (audience && *audience)
        buf_append_json_string(&body, str_from(audience));
    buf_printf(&body,
               "],\"expirationSeconds\":%" PRId64 ",\"boundObjectRef\":{\"apiVersion\":\"v1\","
               "\"kind\":\"Pod\",\"name\":",
               lifetime_s);
    buf_append_json_string(&body, str_from(pod->metadata->name));
    buf_append_cstr(&body, ",\"uid\":");
    buf_append_json_string(&body, str_from(pod->metadata->uid));
    buf_append_cstr(&body, "}}}");
    q.path = arena_printf(&a, "/api/v1/namespaces/%s/serviceaccounts/%s/token",
                          pod->metadata->namespace_, account && *account ? account : "default");
    q.body = buf_str(&body);
    rc = client_raw(g->client, &q, &a, &r, err);
    if (rc == 0)
        rc = client_check(&r, NULL, err);
    if (rc == 0) {
        doc = yyjson_read(r.body.p, r.body.n, 0);
        value = yyjson_get_str(yyjson_ptr_get(yyjson_doc_get_root(doc), "/status/token"));
        if (value)
            *token = mem_strdup(value);
        else
            rc = error_set(err, ERR_CORRUPT, "the answer to the token request has no status.token");
    }
    yyjson_doc_free(doc);
    buf_free(&body);
    arena_free(&a);
    return rc;
}

/* The token, fetched anew at 80 % of its life (or a day at most, as kubelet does). */
static int token_get(struct agent *g, struct token_cache *cache, const Core__V1__Pod *pod,
                     const Core__V1__ServiceAccountTokenProjection *p, const char **out,
                     struct error *err)
{
    int64_t lifetime = api_get(p, expiration_seconds, TOKEN_EXPIRATION_S), now = clock_wall_s();
    char *key = mem_printf("%s %" PRId64, p->audience ? p->audience : "", lifetime), *value = NULL;
    struct token *t = NULL;
    int rc = 0;

    for (size_t i = 0; i < cache->tokens.len && !t; i++) {
        if (strcmp(cache->tokens.items[i].key, key) == 0)
            t = &cache->tokens.items[i];
    }
    if (!t || now >= t->renew_s)
        rc = token_request(g, pod, p->audience, lifetime, &value, err);
    if (rc < 0 && !t) {
        mem_free(key);
        return rc;
    }
    if (!t) {
        vec_push(&cache->tokens, (struct token){.key = mem_strdup(key)});
        t = &cache->tokens.items[cache->tokens.len - 1];
    }
    if (value) {
        mem_free(t->value);
        t->value = value;
        t->renew_s = now + MIN(lifetime * 8 / 10, 86400);
    } /* else: the old one does for now, the next refresh tries again */
    mem_free(key);
    *out = t->value;
    return 0;
}

/* ---------------------------------------------------------------------------------- files --- */

struct file_set {
    struct arena *a;
    struct atomic_file *items;
    size_t len;
};

static void file_add(struct file_set *s, const char *path, struct str content, unsigned mode)
{
    for (size_t i = 0; i < s->len; i++) {
        if (strcmp(s->items[i].path, path) == 0) { /* projected: the later source wins */
            s->items[i].content = content;
            s->items[i].mode = mode;
            return;
        }
    }
    s->items =
        arena_grow(s->a, s->items, s->len * sizeof *s->items, (s->len + 1) * sizeof *s->items);
    s->items[s->len++] = (struct atomic_file){path, content, mode};
}

struct key_value {
    const char *key;
    struct str value;
};

/* The keys that `items` chooses, or all. */
static int files_of_keys(struct file_set *s, const struct key_value *have, size_t n,
                         Core__V1__KeyToPath *const *items, size_t items_len, unsigned mode,
                         bool optional, struct error *err)
{
    if (items_len == 0) {
        for (size_t i = 0; i < n; i++)
            file_add(s, have[i].key, have[i].value, mode);
        return 0;
    }
    for (size_t k = 0; k < items_len; k++) {
        const struct key_value *found = NULL;

        for (size_t i = 0; i < n && !found; i++) {
            if (cstr_eq(have[i].key, items[k]->key))
                found = &have[i];
        }
        if (found)
            file_add(s, items[k]->path, found->value, (unsigned)api_get(items[k], mode, (int)mode));
        else if (!optional)
            return error_set(err, ERR_NOT_FOUND, "references non-existent key: %s", items[k]->key);
    }
    return 0;
}

static int files_of_configmap(struct file_set *s, const struct pod_context *x, const char *name,
                              Core__V1__KeyToPath *const *items, size_t items_len, unsigned mode,
                              bool optional, struct error *err)
{
    const Core__V1__ConfigMap *cm;
    struct key_value *have;
    size_t n = 0;
    int rc = x->configmap(x->ctx, x->pod->metadata->namespace_, name, s->a, &cm, err);

    if (rc < 0)
        return rc == ERR_NOT_FOUND && optional ? 0 : rc;
    have = arena_array(s->a, struct key_value, cm->n_data + cm->n_binary_data);
    for (size_t i = 0; i < cm->n_data; i++)
        have[n++] = (struct key_value){cm->data[i]->key, str_from(cm->data[i]->value)};
    for (size_t i = 0; i < cm->n_binary_data; i++)
        have[n++] =
            (struct key_value){cm->binary_data[i]->key, str_make(cm->binary_data[i]->value.data,
                                                                 cm->binary_data[i]->value.len)};
    rc = files_of_keys(s, have, n, items, items_len, mode, optional, err);
    return rc < 0 ? error_wrap(err, "configmap %s", name) : 0;
}

static int files_of_secret(struct file_set *s, const struct pod_context *x, const char *name,
                           Core__V1__KeyToPath *const *items, size_t items_len, unsigned mode,
                           bool optional, struct error *err)
{
    const Core__V1__Secret *secret;
    struct key_value *have;
    int rc = x->secret(x->ctx, x->pod->metadata->namespace_, name, s->a, &secret, err);

    if (rc < 0)
        return rc == ERR_NOT_FOUND && optional ? 0 : rc;
    have = arena_array(s->a, struct key_value, secret->n_data);
    for (size_t i = 0; i < secret->n_data; i++)
        have[i] = (struct key_value){secret->data[i]->key, str_make(secret->data[i]->value.data,
                                                                    secret->data[i]->value.len)};
    rc = files_of_keys(s, have, secret->n_data, items, items_len, mode, optional, err);
    return rc < 0 ? error_wrap(err, "secret %s", name) : 0;
}

static int files_of_downward(struct file_set *s, const struct pod_context *x,
                             Core__V1__DownwardAPIVolumeFile *const *items, size_t n, unsigned mode,
                             struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *value = "";
        int rc = 0;

        if (items[i]->field_ref)
            rc = pod_field(x, items[i]->field_ref->field_path, s->a, &value, err);
        else if (items[i]->resource_field_ref)
            rc = pod_resource_field(x, items[i]->resource_field_ref, NULL, s->a, &value, err);
        if (rc < 0)
            return error_wrap(err, "%s", items[i]->path);
        file_add(s, items[i]->path, str_from(value), (unsigned)api_get(items[i], mode, (int)mode));
    }
    return 0;
}

static int files_of_projection(struct agent *g, struct file_set *s, const struct pod_context *x,
                               const Core__V1__VolumeProjection *p, unsigned mode,
                               struct token_cache *tokens, struct error *err)
{
    const char *token;
    int rc;

    if (p->config_map)
        return files_of_configmap(s, x, p->config_map->local_object_reference->name,
                                  p->config_map->items, p->config_map->n_items, mode,
                                  api_get(p->config_map, optional, false), err);
    if (p->secret)
        return files_of_secret(s, x, p->secret->local_object_reference->name, p->secret->items,
                               p->secret->n_items, mode, api_get(p->secret, optional, false), err);
    if (p->downward_api)
        return files_of_downward(s, x, p->downward_api->items, p->downward_api->n_items, mode, err);
    if (p->service_account_token) {
        rc = token_get(g, tokens, x->pod, p->service_account_token, &token, err);
        if (rc < 0)
            return error_wrap(err, "failed to fetch token");
        file_add(s, p->service_account_token->path, str_from(arena_strdup(s->a, token)), mode);
        return 0;
    }
    return error_set(err, ERR_UNSUPPORTED, "this kind of projection is not supported");
}

/* -------------------------------------------------------------------------------- volumes --- */

static const Core__V1__Volume *volume_find(const Core__V1__Pod *pod, const char *name)
{
    for (size_t i = 0; i < pod->spec->n_volumes; i++) {
        if (cstr_eq(pod->spec->volumes[i]->name, name))
            return pod->spec->volumes[i];
    }
    return NULL;
}

static const char *plugin_of(const Core__V1__VolumeSource *s)
{
    return s->config_map     ? "kubernetes.io~configmap"
           : s->secret       ? "kubernetes.io~secret"
           : s->empty_dir    ? "kubernetes.io~empty-dir"
           : s->downward_api ? "kubernetes.io~downward-api"
           : s->projected    ? "kubernetes.io~projected"
                             : NULL;
}

const char *volume_host_path(const struct agent *g, const Core__V1__Pod *pod, const char *name,
                             struct arena *a)
{
    const Core__V1__Volume *v = volume_find(pod, name);
    const char *plugin;

    if (!v || !v->volume_source)
        return NULL;
    if (v->volume_source->host_path)
        return v->volume_source->host_path->path;
    plugin = plugin_of(v->volume_source);
    return plugin ? arena_printf(a, "%s/volumes/%s/%s", agent_pod_dir(g, a, pod->metadata->uid),
                                 plugin, name)
                  : NULL;
}

static bool is_mount_point(const char *path)
{
    char *parent = mem_printf("%s/..", path);
    struct stat own, above;
    bool yes = stat(path, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;

    mem_free(parent);
    return yes;
}

static int prepare_empty_dir(const Core__V1__EmptyDirVolumeSource *e, const char *path, int64_t gid,
                             struct error *err)
{
    bool memory = cstr_eq(e->medium, "Memory");
    int rc = file_make_dirs(path, 0777, err);

    if (rc < 0)
        return rc;
    if (memory && !is_mount_point(path)) {
        char options[64] = "mode=0777";
        if (e->size_limit && e->size_limit->string && *e->size_limit->string)
            snprintf(options, sizeof options, "mode=0777,size=%" PRId64,
                     quantity_value(quantity_of(e->size_limit->string)));
        if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
            return error_errno(err, ERR_IO, errno, "mount tmpfs on %s", path);
    }
    if (gid >= 0 && chown(path, (uid_t)-1, (gid_t)gid) < 0)
        return error_errno(err, ERR_IO, errno, "change the group of %s", path);
    if (chmod(path, gid >= 0 ? 02777 : 0777) < 0)
        return error_errno(err, ERR_IO, errno, "chmod %s", path);
    return 0;
}

static int prepare_host_path(const Core__V1__HostPathVolumeSource *h, struct error *err)
{
    static const struct {
        const char *type;
        mode_t mode;
        const char *words;
    } kinds[] = {{"Directory", S_IFDIR, "a directory"},
                 {"DirectoryOrCreate", S_IFDIR, "a directory"},
                 {"File", S_IFREG, "a file"},
                 {"FileOrCreate", S_IFREG, "a file"},
                 {"Socket", S_IFSOCK, "a socket file"},
                 {"CharDevice", S_IFCHR, "a character device"},
                 {"BlockDevice", S_IFBLK, "a block device"}};
    const char *type = h->type ? h->type : "";
    struct stat st;
    int fd;

    if (!*type)
        return 0;
    if (strcmp(type, "DirectoryOrCreate") == 0 && stat(h->path, &st) < 0) {
        int rc = file_make_dirs(h->path, 0755, err);
        if (rc < 0)
            return rc;
    }
    if (strcmp(type, "FileOrCreate") == 0 && stat(h->path, &st) < 0) {
        fd = open(h->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0)
            return error_errno(err, ERR_IO, errno, "create %s", h->path);
        close(fd);
    }
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        if (strcmp(type, kinds[i].type) != 0)
            continue;
        if (stat(h->path, &st) < 0 || (st.st_mode & S_IFMT) != kinds[i].mode)
            return error_set(err, ERR_INVALID, "hostPath type check failed: %s is not %s", h->path,
                             kinds[i].words);
        return 0;
    }
    return error_set(err, ERR_INVALID, "hostPath type %s: not known", type);
}

static int prepare_files(struct agent *g, const struct pod_context *x,
                         const Core__V1__VolumeSource *s, const char *path, int64_t gid,
                         struct token_cache *tokens, struct arena *a, struct error *err)
{
    struct file_set files = {.a = a};
    int rc = 0;

    if (s->config_map) {
        rc = files_of_configmap(&files, x, s->config_map->local_object_reference->name,
                                s->config_map->items, s->config_map->n_items,
                                (unsigned)api_get(s->config_map, default_mode, 0644),
                                api_get(s->config_map, optional, false), err);
    } else if (s->secret) {
        rc = files_of_secret(&files, x, s->secret->secret_name, s->secret->items,
                             s->secret->n_items, (unsigned)api_get(s->secret, default_mode, 0644),
                             api_get(s->secret, optional, false), err);
    } else if (s->downward_api) {
        rc = files_of_downward(&files, x, s->downward_api->items, s->downward_api->n_items,
                               (unsigned)api_get(s->downward_api, default_mode, 0644), err);
    } else {
        unsigned mode = (unsigned)api_get(s->projected, default_mode, 0644);
        for (size_t i = 0; i < s->projected->n_sources && rc == 0; i++)
            rc = files_of_projection(g, &files, x, s->projected->sources[i], mode, tokens, err);
    }
    if (rc == 0)
        rc = file_make_dirs(path, 0755, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; gid >= 0 && i < files.len; i++)
        files.items[i].mode |=
            (files.items[i].mode & 0700) >> 3; /* the group reads what the owner does */
    return atomic_dir_write(path, files.items, files.len, gid, NULL, err);
}

int volumes_prepare(struct agent *g, const struct pod_context *x, struct token_cache *tokens,
                    struct error *err)
{
    const Core__V1__PodSpec *spec = x->pod->spec;
    int64_t gid = spec->security_context ? api_get(spec->security_context, fs_group, -1) : -1;
    int rc = 0;

    for (size_t i = 0; i < spec->n_volumes && rc == 0; i++) {
        const Core__V1__Volume *v = spec->volumes[i];
        const Core__V1__VolumeSource *s = v->volume_source;
        struct arena a;
        const char *path;

        arena_init(&a);
        path = volume_host_path(g, x->pod, v->name, &a);
        if (!path)
            rc = error_set(err, ERR_UNSUPPORTED, "this kind of volume is not supported");
        else if (s->host_path)
            rc = prepare_host_path(s->host_path, err);
        else if (s->empty_dir)
            rc = prepare_empty_dir(s->empty_dir, path, gid, err);
        else
            rc = prepare_files(g, x, s, path, gid, tokens, &a, err);
        arena_free(&a);
        if (rc < 0)
            error_wrap(err, "MountVolume.SetUp failed for volume \"%s\"", v->name);
    }
    return rc;
}

/* --------------------------------------------------------------------------------- sub path --- */

/* FNV-1a: the same in every process, so that a restarted agent finds the place again. */
static uint64_t hash_fnv(const char *s)
{
    uint64_t h = 14695981039346656037ull;

    for (; *s; s++)
        h = (h ^ (unsigned char)*s) * 1099511628211ull;
    return h;
}

/* Open `sub` below `root` such that no link leads out of it; made as a directory when absent. */
static int open_below(const char *root, const char *sub, struct error *err)
{
    struct open_how how = {.flags = O_PATH | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    struct str rest = str_from(sub), part;
    int fd, dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    if (dir < 0)
        return error_errno(err, ERR_IO, errno, "open %s", root);
    fd = (int)syscall(SYS_openat2, dir, sub, &how, sizeof how);
    if (fd >= 0 || errno != ENOENT) {
        if (fd < 0)
            error_errno(err, ERR_IO, errno, "subPath %s", sub);
        close(dir);
        return fd;
    }
    while (dir >= 0 && str_split(&rest, '/', &part)) {
        char *name = mem_strndup(part.p, part.n);
        int next = -1;

        if (part.n) {
            bool made = mkdirat(dir, name, 0777) == 0;
            if (made && fchmodat(dir, name, 0777, 0) < 0) /* past the umask */
                log_warn("volumes", "cannot open up a new subPath path=%s error=%s", sub,
                         strerror(errno));
            how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
            next = (int)syscall(SYS_openat2, dir, name, &how, sizeof how);
            if (next < 0)
                error_errno(err, ERR_IO, errno, "subPath %s", sub);
            close(dir);
            dir = next;
        }
        mem_free(name);
    }
    return dir;
}

int volume_mount_source(const struct agent *g, const Core__V1__Pod *pod, const char *volume,
                        const char *sub_path, struct arena *a, const char **out, struct error *err)
{
    const char *root = volume_host_path(g, pod, volume, a), *place, *dir;
    char *from;
    struct stat st;
    int fd, rc = 0;

    if (!root)
        return error_set(err, ERR_INVALID, "volume %s: not found in the pod", volume);
    *out = root;
    if (!sub_path || !*sub_path)
        return 0;
    if (!atomic_path_ok(sub_path))
        return error_set(err, ERR_INVALID, "subPath %s: must be a relative path without \"..\"",
                         sub_path);
    fd = open_below(root, sub_path, err);
    if (fd < 0)
        return ERR_IO;
    /* What was resolved is bound to a place that nobody inside the volume can change. */
    dir = arena_printf(a, "%s/volume-subpaths", agent_pod_dir(g, a, pod->metadata->uid));
    place = arena_printf(a, "%s/%s-%016" PRIx64, dir, volume, hash_fnv(sub_path));
    from = arena_printf(a, "/proc/self/fd/%d", fd);
    if (fstat(fd, &st) < 0)
        rc = error_errno(err, ERR_IO, errno, "subPath %s", sub_path);
    if (rc == 0)
        rc = file_make_dirs(dir, 0750, err);
    if (rc == 0) {
        while (umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
            ;
        if (S_ISDIR(st.st_mode)) {
            rc = file_make_dirs(place, 0755, err);
        } else {
            int made = open(place, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
            if (made < 0)
                rc = error_errno(err, ERR_IO, errno, "create %s", place);
            else
                close(made);
        }
    }
    if (rc == 0 && mount(from, place, NULL, MS_BIND | MS_REC, NULL) < 0)
        rc = error_errno(err, ERR_IO, errno, "bind %s below %s to %s", sub_path, root, place);
    close(fd);
    *out = place;
    return rc;
}

int volumes_remove(const struct agent *g, const char *uid, struct error *err)
{
    struct arena a;
    const char *dir;
    int rc;

    arena_init(&a);
    dir = agent_pod_dir(g, &a, uid);
    rc = file_unmount_below(dir, err);
    if (rc == 0)
        rc = file_remove_tree(dir, err);
    arena_free(&a);
    return rc;
}
