/*
 * Volumes of a pod (see volumes.h).
 */
#include "node/volumes.h"
#include "api/meta.h"
#include "api/quantity.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/map.h"
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

/* Ask for a token that is bound to the pod; the server may give it a shorter life than what was asked for. */
static int token_request(struct agent *g, const Core__V1__Pod *pod, const char *audience,
                         int64_t *lifetime_s, char **token, struct error *err)
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
               *lifetime_s);
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
        if (value) {
            yyjson_val *given = yyjson_ptr_get(yyjson_doc_get_root(doc), "/spec/expirationSeconds");
            *token = mem_strdup(value);
            if (yyjson_is_int(given) && yyjson_get_sint(given) > 0)
                *lifetime_s = MIN(*lifetime_s, yyjson_get_sint(given));
        } else
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
        rc = token_request(g, pod, p->audience, &lifetime, &value, err);
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
        t->renew_s = now + MIN(lifetime / 10 * 8, 86400);
    } /* else: the old one does for now, the next refresh tries again */
    mem_free(key);
    *out = t->value;
    return 0;
}

/* ---------------------------------------------------------------------------------- files --- */

struct file_set {
    struct arena *a;
    VEC(struct atomic_file) files;
    struct map by_path; /* path → 1 + index */
};

static void file_set_free(struct file_set *s)
{
    vec_free(&s->files);
    map_free(&s->by_path);
}

static void file_add(struct file_set *s, const char *path, struct str content, unsigned mode)
{
    uintptr_t place = (uintptr_t)map_get(&s->by_path, str_from(path));

    if (place) { /* projected: the later source wins */
        s->files.items[place - 1] = (struct atomic_file){path, content, mode};
        return;
    }
    vec_push(&s->files, (struct atomic_file){path, content, mode});
    map_put(&s->by_path, str_from(path), (void *)(uintptr_t)s->files.len);
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
    struct map by_key;
    int rc = 0;

    map_init(&by_key);
    for (size_t i = 0; i < n; i++) {
        if (items_len == 0)
            file_add(s, have[i].key, have[i].value, mode);
        else
            map_put(&by_key, str_from(have[i].key), (void *)&have[i]);
    }
    for (size_t k = 0; k < items_len && rc == 0; k++) {
        const struct key_value *found = map_get(&by_key, str_from(items[k]->key));

        if (found)
            file_add(s, items[k]->path, found->value, (unsigned)api_get(items[k], mode, (int)mode));
        else if (!optional)
            rc = error_set(err, ERR_NOT_FOUND, "references non-existent key: %s", items[k]->key);
    }
    map_free(&by_key);
    return rc;
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

bool volume_is_read_only(const Core__V1__Pod *pod, const char *name)
{
    const Core__V1__Volume *v = volume_find(pod, name);
    const Core__V1__VolumeSource *s = v ? v->volume_source : NULL;

    return s && (s->config_map || s->secret || s->downward_api || s->projected);
}

static bool is_mount_point(const char *path)
{
    char *parent = mem_printf("%s/..", path);
    struct stat own, above;
    bool yes = stat(path, &own) == 0 && stat(parent, &above) == 0 && own.st_dev != above.st_dev;

    mem_free(parent);
    return yes;
}

static int mount_memory(const char *path, unsigned mode, int64_t gid, int64_t size,
                        struct error *err)
{
    char options[128];
    int n = snprintf(options, sizeof options, "mode=0%o", mode);

    if (gid >= 0)
        n += snprintf(options + n, sizeof options - (size_t)n, ",gid=%" PRId64, gid);
    if (size > 0)
        snprintf(options + n, sizeof options - (size_t)n, ",size=%" PRId64, size);
    return mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0
               ? 0
               : error_errno(err, ERR_IO, errno, "mount tmpfs on %s", path);
}

/* A directory that appears with its group and mode, so that what is there needs neither again. */
static int make_shared_dir(const char *path, unsigned mode, int64_t gid, struct error *err)
{
    char *young = mem_printf("%s.new", path);
    int rc = file_make_dirs(young, 0700, err);

    if (rc == 0 && gid >= 0 && chown(young, (uid_t)-1, (gid_t)gid) < 0)
        rc = error_errno(err, ERR_IO, errno, "change the group of %s", young);
    if (rc == 0 && chmod(young, mode) < 0)
        rc = error_errno(err, ERR_IO, errno, "chmod %s", young);
    if (rc == 0 && rename(young, path) < 0)
        rc = error_errno(err, ERR_IO, errno, "rename %s to %s", young, path);
    mem_free(young);
    return rc;
}

/* Made once: from then on it is the containers', who may have closed it to others. */
static int prepare_empty_dir(const Core__V1__EmptyDirVolumeSource *e, const char *path, int64_t gid,
                             struct error *err)
{
    unsigned mode = gid >= 0 ? 02777 : 0777;
    int64_t size = 0;
    int rc = 0;

    if (access(path, F_OK) < 0)
        rc = make_shared_dir(path, mode, gid, err);
    if (rc < 0 || !cstr_eq(e->medium, "Memory") || is_mount_point(path))
        return rc;
    if (e->size_limit && e->size_limit->string && *e->size_limit->string)
        size = quantity_value(quantity_of(e->size_limit->string));
    return mount_memory(path, mode, gid, size, err);
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

/*
 * Secrets and tokens are never written to a disk, and are gone with the pod's last mount. (A directory that has
 * files already is one that an earlier agent made on the disk: containers have it, and it stays.)
 */
static int prepare_memory(const char *path, struct error *err)
{
    char *data = mem_printf("%s/..data", path);
    struct stat st;
    int rc = 0;

    if (!is_mount_point(path) && lstat(data, &st) < 0)
        rc = mount_memory(path, 0755, -1, 0, err);
    mem_free(data);
    return rc;
}

static int collect_files(struct agent *g, const struct pod_context *x,
                         const Core__V1__VolumeSource *s, struct file_set *out,
                         struct token_cache *tokens, struct error *err)
{
    unsigned mode;
    int rc = 0;

    if (s->config_map) {
        rc = files_of_configmap(out, x, s->config_map->local_object_reference->name,
                                s->config_map->items, s->config_map->n_items,
                                (unsigned)api_get(s->config_map, default_mode, 0644),
                                api_get(s->config_map, optional, false), err);
    } else if (s->secret) {
        rc = files_of_secret(out, x, s->secret->secret_name, s->secret->items, s->secret->n_items,
                             (unsigned)api_get(s->secret, default_mode, 0644),
                             api_get(s->secret, optional, false), err);
    } else if (s->downward_api) {
        rc = files_of_downward(out, x, s->downward_api->items, s->downward_api->n_items,
                               (unsigned)api_get(s->downward_api, default_mode, 0644), err);
    } else {
        mode = (unsigned)api_get(s->projected, default_mode, 0644);
        for (size_t i = 0; i < s->projected->n_sources && rc == 0; i++)
            rc = files_of_projection(g, out, x, s->projected->sources[i], mode, tokens, err);
    }
    return rc;
}

static int prepare_files(struct agent *g, const struct pod_context *x,
                         const Core__V1__VolumeSource *s, const char *path, int64_t gid,
                         struct token_cache *tokens, struct arena *a, struct error *err)
{
    struct file_set set = {.a = a};
    int rc = collect_files(g, x, s, &set, tokens, err);

    if (rc == 0)
        rc = file_make_dirs(path, 0755, err);
    if (rc == 0 && !s->config_map)
        rc = prepare_memory(path, err);
    for (size_t i = 0; gid >= 0 && i < set.files.len; i++) {
        unsigned *mode = &set.files.items[i].mode;
        *mode |= (*mode & 0700) >> 3; /* the group reads what the owner does */
    }
    if (rc == 0)
        rc = atomic_dir_write(path, set.files.items, set.files.len, gid, NULL, err);
    file_set_free(&set);
    return rc;
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

static int open_in_root(int dir, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};

    return (int)syscall(SYS_openat2, dir, path, &how, sizeof how);
}

/* The directory `name` in `dir`, made with that mode when absent. The mode is set on what was opened, never
 * by name: a container may put a link in its place at any time. */
static int step_down(int dir, const char *name, unsigned mode)
{
    bool made = mkdirat(dir, name, 0700) == 0;
    int next = open_in_root(dir, name, O_DIRECTORY | (made ? O_RDONLY | O_NOFOLLOW : O_PATH));

    if (made && next >= 0 && fchmod(next, mode) < 0) /* past the umask */
        log_warn("volumes", "cannot open up a new subPath name=%s error=%s", name, strerror(errno));
    return next;
}

/* Open `sub` below `root` such that no link leads out of it; made as a directory, with the mode of the volume,
 * when absent. */
static int open_below(const char *root, const char *sub, struct error *err)
{
    struct str rest = str_from(sub), part;
    int fd, dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct stat st;

    if (dir < 0 || fstat(dir, &st) < 0)
        return error_errno(err, ERR_IO, errno, "open %s", root);
    fd = open_in_root(dir, sub, O_PATH);
    if (fd >= 0 || errno != ENOENT) {
        if (fd < 0)
            error_errno(err, ERR_IO, errno, "subPath %s", sub);
        close(dir);
        return fd;
    }
    while (dir >= 0 && str_split(&rest, '/', &part)) {
        char *name = mem_strndup(part.p, part.n);

        if (part.n && !str_eqz(part, ".")) {
            int next = step_down(dir, name, st.st_mode & 07777);
            if (next < 0)
                error_errno(err, ERR_IO, errno, "subPath %s", sub);
            close(dir);
            dir = next;
        }
        mem_free(name);
    }
    return dir;
}

/* As the API allows it: relative, no part "..", but for that written as one likes ("a/", "./a"). */
static bool sub_path_ok(const char *path)
{
    struct str rest = str_from(path), part;

    if (path[0] == '/')
        return false;
    while (str_split(&rest, '/', &part)) {
        if (str_eqz(part, ".."))
            return false;
    }
    return true;
}

/* Something to bind on, of the kind that is bound; what was bound there before goes. */
static int make_place(const char *place, bool directory, struct error *err)
{
    int fd;

    while (umount2(place, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
        ;
    if (directory) {
        unlink(place); /* it was a file then */
        return file_make_dirs(place, 0755, err);
    }
    rmdir(place);
    fd = open(place, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "create %s", place);
    close(fd);
    return 0;
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
    if (!sub_path_ok(sub_path))
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
    if (rc == 0)
        rc = make_place(place, S_ISDIR(st.st_mode), err);
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
