/*
 * Writer of OCI image archives (see oci_image.h): a ustar layer, a config, a manifest and an index,
 * each blob named by its SHA-256, packed in one ustar archive.
 */
#include "node/oci_image.h"
#include "base/buf.h"
#include "base/encode.h"
#include "base/map.h"
#include "base/mem.h"
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define TAR_BLOCK 512
#define LAYER_BYTES_MAX (1ull << 30) /* images made here are small; a larger one is a mistake */
#define DIGEST_HEX (2 * SHA256_DIGEST_LENGTH)

struct digest {
    char hex[DIGEST_HEX + 1];
};

static struct digest digest_of(struct str s)
{
    unsigned char sum[SHA256_DIGEST_LENGTH];
    struct digest d;
    struct buf hex;

    SHA256((const unsigned char *)s.p, s.n, sum);
    buf_init(&hex);
    hex_encode(&hex, str_make(sum, sizeof sum));
    memcpy(d.hex, hex.data, DIGEST_HEX);
    d.hex[DIGEST_HEX] = 0;
    buf_free(&hex);
    return d;
}

/* One ustar header; `type` is '0' (file), '2' (symbolic link) or '5' (directory). */
static int tar_header(struct buf *out, const char *path, char type, unsigned mode, size_t size,
                      const char *link, struct error *err)
{
    char h[TAR_BLOCK] = {0};
    unsigned sum = 0;

    while (*path == '/')
        path++;
    if (strlen(path) >= 100 || (link && strlen(link) >= 100))
        return error_set(err, ERR_LIMIT, "path %s: longer than 99 bytes", path);
    memcpy(h, path, strlen(path));
    snprintf(h + 100, 8, "%07o", mode & 07777);
    snprintf(h + 108, 8, "%07o", 0u);
    snprintf(h + 116, 8, "%07o", 0u);
    snprintf(h + 124, 12, "%011llo", (unsigned long long)size);
    snprintf(h + 136, 12, "%011o", 0u);
    h[156] = type;
    if (link)
        memcpy(h + 157, link, strlen(link));
    memcpy(h + 257, "ustar\00000", 8);
    memset(h + 148, ' ', 8); /* the sum counts its own field as blanks */
    for (size_t i = 0; i < sizeof h; i++)
        sum += (unsigned char)h[i];
    snprintf(h + 148, 8, "%06o", sum);
    h[155] = ' ';
    buf_append(out, h, sizeof h);
    return 0;
}

static void tar_pad(struct buf *out)
{
    static const char zero[TAR_BLOCK];

    if (out->len % TAR_BLOCK)
        buf_append(out, zero, TAR_BLOCK - out->len % TAR_BLOCK);
}

static int tar_add(struct buf *out, const char *path, struct str content, unsigned mode,
                   struct error *err)
{
    int rc = tar_header(out, path, '0', mode, content.n, NULL, err);

    if (rc < 0)
        return rc;
    buf_append_str(out, content);
    tar_pad(out);
    return 0;
}

static void tar_finish(struct buf *out)
{
    static const char zero[2 * TAR_BLOCK];

    buf_append(out, zero, sizeof zero);
}

/* Every directory above `path` that is not in the archive yet. */
static int tar_parents(struct buf *out, struct map *seen, const char *path, struct error *err)
{
    for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        struct str dir = str_make(path, (size_t)(slash - path));
        char *name;
        int rc;

        if (map_put(seen, dir, seen))
            continue;
        name = mem_printf("%.*s/", STR_ARG(dir));
        rc = tar_header(out, name, '5', 0755, 0, NULL, err);
        mem_free(name);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int tar_add_source(struct buf *out, const struct oci_file *f, struct error *err)
{
    struct stat st;
    char *room;
    size_t done = 0;
    int rc, fd = open(f->source, O_RDONLY | O_CLOEXEC);

    if (fd < 0 || fstat(fd, &st) < 0) {
        rc =
            error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", f->source);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        rc = error_set(err, ERR_INVALID, "%s: not a regular file", f->source);
        goto out;
    }
    rc = tar_header(out, f->path, '0', f->mode ? f->mode : st.st_mode, (size_t)st.st_size, NULL,
                    err);
    if (rc < 0)
        goto out;
    room = buf_reserve(out, (size_t)st.st_size);
    if (!room) {
        rc = error_set(err, ERR_LIMIT, "%s: the layer would pass %llu bytes", f->source,
                       LAYER_BYTES_MAX);
        goto out;
    }
    while (done < (size_t)st.st_size) {
        ssize_t n = read(fd, room + done, (size_t)st.st_size - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = error_errno(err, ERR_IO, n ? errno : EIO, "read %s", f->source);
            goto out;
        }
        done += (size_t)n;
    }
    out->len += done;
    tar_pad(out);
out:
    if (fd >= 0)
        close(fd);
    return rc;
}

static int layer_write(struct buf *layer, const struct oci_image *image, struct error *err)
{
    struct map seen;
    int rc = 0;

    map_init(&seen);
    for (size_t i = 0; i < image->files_len && rc == 0; i++) {
        const struct oci_file *f = &image->files[i];

        if (f->path[0] != '/') {
            rc = error_set(err, ERR_INVALID, "path %s: must be absolute", f->path);
            break;
        }
        rc = tar_parents(layer, &seen, f->path, err);
        if (rc < 0)
            break;
        if (f->source) {
            rc = tar_add_source(layer, f, err);
        } else if (f->link) {
            rc = tar_header(layer, f->path, '2', 0777, 0, f->link, err);
        } else if (!map_put(&seen, str_from(f->path), &seen)) {
            char *name = mem_printf("%s/", f->path);
            rc = tar_header(layer, name, '5', f->mode ? f->mode : 0755, 0, NULL, err);
            mem_free(name);
        }
    }
    map_free(&seen);
    if (rc == 0)
        tar_finish(layer);
    return rc;
}

static void json_list(struct buf *out, const char *key, const char *const *items)
{
    if (!items || !items[0])
        return;
    buf_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; items[i]; i++) {
        if (i)
            buf_append_char(out, ',');
        buf_append_json_string(out, str_from(items[i]));
    }
    buf_append_char(out, ']');
}

static void json_member(struct buf *out, const char *key, const char *value)
{
    if (!value)
        return;
    buf_printf(out, ",\"%s\":", key);
    buf_append_json_string(out, str_from(value));
}

static const char *machine_architecture(void)
{
#if defined(__x86_64__)
    return "amd64";
#elif defined(__aarch64__)
    return "arm64";
#else
#error "name this architecture as OCI does"
#endif
}

static void config_write(struct buf *out, const struct oci_image *image, const struct digest *layer)
{
    buf_printf(out,
               "{\"created\":\"1970-01-01T00:00:00Z\",\"architecture\":\"%s\",\"os\":\"linux\","
               "\"config\":{\"Labels\":{}",
               machine_architecture());
    json_list(out, "Entrypoint", image->entrypoint);
    json_list(out, "Cmd", image->cmd);
    json_list(out, "Env", image->env);
    json_member(out, "WorkingDir", image->working_dir);
    json_member(out, "User", image->user);
    buf_printf(out,
               "},\"rootfs\":{\"type\":\"layers\",\"diff_ids\":[\"sha256:%s\"]},"
               "\"history\":[{\"created\":\"1970-01-01T00:00:00Z\",\"created_by\":\"c8s\"}]}",
               layer->hex);
}

/* config, layer, manifest and index into the archive, each blob under its digest. */
static int archive_write(struct buf *archive, const struct oci_image *image,
                         const struct buf *layer, struct error *err)
{
    struct digest layer_digest = digest_of(buf_str(layer)), config_digest, manifest_digest;
    struct buf config, manifest, index;
    char path[32 + DIGEST_HEX];
    int rc = 0;

    buf_init(&config);
    buf_init(&manifest);
    buf_init(&index);
    config_write(&config, image, &layer_digest);
    config_digest = digest_of(buf_str(&config));
    buf_printf(
        &manifest,
        "{\"schemaVersion\":2,\"mediaType\":\"application/vnd.oci.image.manifest.v1+json\","
        "\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\","
        "\"digest\":\"sha256:%s\",\"size\":%zu},\"layers\":[{\"mediaType\":"
        "\"application/vnd.oci.image.layer.v1.tar\",\"digest\":\"sha256:%s\",\"size\":%zu}]}",
        config_digest.hex, config.len, layer_digest.hex, layer->len);
    manifest_digest = digest_of(buf_str(&manifest));
    buf_printf(
        &index,
        "{\"schemaVersion\":2,\"manifests\":[{\"mediaType\":"
        "\"application/vnd.oci.image.manifest.v1+json\",\"digest\":\"sha256:%s\",\"size\":%zu,"
        "\"annotations\":{\"io.containerd.image.name\":",
        manifest_digest.hex, manifest.len);
    buf_append_json_string(&index, str_from(image->reference));
    buf_append_cstr(&index, ",\"org.opencontainers.image.ref.name\":");
    buf_append_json_string(&index, str_from(image->reference));
    buf_append_cstr(&index, "}}]}");

    rc = tar_add(archive, "oci-layout", STR("{\"imageLayoutVersion\":\"1.0.0\"}"), 0644, err);
    struct {
        const struct digest *digest;
        const struct buf *content;
    } blobs[] = {{&config_digest, &config}, {&layer_digest, layer}, {&manifest_digest, &manifest}};
    for (size_t i = 0; i < ARRAY_LEN(blobs) && rc == 0; i++) {
        snprintf(path, sizeof path, "blobs/sha256/%s", blobs[i].digest->hex);
        rc = tar_add(archive, path, buf_str(blobs[i].content), 0644, err);
    }
    if (rc == 0)
        rc = tar_add(archive, "index.json", buf_str(&index), 0644, err);
    tar_finish(archive);
    buf_free(&config);
    buf_free(&manifest);
    buf_free(&index);
    return rc;
}

static int file_write(const char *path, struct str content, struct error *err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    int rc = 0;

    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "create %s", path);
    while (content.n) {
        ssize_t n = write(fd, content.p, content.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            rc = error_errno(err, ERR_IO, errno, "write %s", path);
            break;
        }
        content = str_slice(content, (size_t)n, content.n);
    }
    if (close(fd) < 0 && rc == 0)
        rc = error_errno(err, ERR_IO, errno, "write %s", path);
    if (rc < 0)
        unlink(path);
    return rc;
}

int oci_image_write(const struct oci_image *image, const char *archive, struct error *err)
{
    struct buf layer, out;
    int rc;

    assert(image->reference && image->files_len > 0);
    buf_init_limited(&layer, LAYER_BYTES_MAX);
    buf_init(&out);
    rc = layer_write(&layer, image, err);
    if (rc == 0 && layer.failed)
        rc = error_set(err, ERR_LIMIT, "the layer would pass %llu bytes", LAYER_BYTES_MAX);
    if (rc == 0)
        rc = archive_write(&out, image, &layer, err);
    if (rc == 0)
        rc = file_write(archive, buf_str(&out), err);
    buf_free(&layer);
    buf_free(&out);
    return rc < 0 ? error_wrap(err, "image %s", image->reference) : 0;
}
