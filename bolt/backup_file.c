/*
 * Opening a snapshot file, its hash, and what `snapshot status` says of it (bolt/backup_file.h).
 */
#include "bolt/backup_file.h"
#include "base/encode.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512u /* database files are multiples of it: what is left over is the hash */

int backup_file_open(const char *path, struct backup_file *out, struct error *err)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", path);
    *out = (struct backup_file){.map = MAP_FAILED};
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return error_set(err, ERR_INVALID, "%s is not a file", path);
    }
    if (st.st_size == 0) {
        close(fd);
        return error_set(err, ERR_UNSUPPORTED, "%s is empty", path);
    }
    out->map_bytes = (size_t)st.st_size;
    out->map = mmap(NULL, out->map_bytes, PROT_READ, MAP_PRIVATE, fd, 0);
    int e = errno;
    close(fd);
    if (out->map == MAP_FAILED)
        return error_errno(err, ERR_IO, e, "read %s", path);
    madvise(out->map, out->map_bytes, MADV_SEQUENTIAL);
    out->has_hash = out->map_bytes % SECTOR == BACKUP_HASH_BYTES;
    size_t n = out->map_bytes - (out->has_hash ? BACKUP_HASH_BYTES : 0);
    int rc = bolt_open(str_make(out->map, n), &out->bolt, err);
    if (rc < 0) {
        backup_file_close(out);
        return error_wrap(err, "%s", path);
    }
    return 0;
}

void backup_file_close(struct backup_file *f)
{
    if (f->map != MAP_FAILED)
        munmap(f->map, f->map_bytes);
    f->map = MAP_FAILED;
}

int backup_file_verify(const struct backup_file *f, struct error *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len = 0;
    size_t n = f->map_bytes - BACKUP_HASH_BYTES;
    if (!f->has_hash)
        return error_set(err, ERR_CORRUPT, "snapshot missing hash but --skip-hash-check=false");
    if (!EVP_Digest(f->map, n, digest, &digest_len, EVP_sha256(), NULL))
        return error_set(err, ERR_INTERNAL, "SHA-256 failed");
    if (memcmp(digest, (const char *)f->map + n, BACKUP_HASH_BYTES) == 0)
        return 0;
    struct buf wanted, got;
    buf_init(&wanted);
    buf_init(&got);
    hex_encode(&wanted, str_make((const char *)f->map + n, BACKUP_HASH_BYTES));
    hex_encode(&got, str_make(digest, BACKUP_HASH_BYTES));
    int rc = error_set(err, ERR_CORRUPT, "the snapshot is damaged: expected sha256 %s, got %s",
                       buf_cstr(&wanted), buf_cstr(&got));
    buf_free(&wanted);
    buf_free(&got);
    return rc;
}

/* ---- status ---- */

struct summing {
    const struct backup_file *file;
    struct backup_status *out;
    bool is_key, is_meta;
};

static int sum_entry(void *ctx, struct str key, struct str value, struct error *err)
{
    struct summing *s = ctx;
    s->out->hash = crc32c(crc32c(s->out->hash, key.p, key.n), value.p, value.n);
    s->out->total_keys++;
    if (s->is_key) { /* revision:8 '_' number within it:8 ['t'] */
        if (key.n < 17 || key.n > 18 || key.p[8] != '_')
            return error_set(err, ERR_CORRUPT, "a revision has a wrong form");
        uint64_t rev = 0;
        for (int i = 0; i < 8; i++)
            rev = rev << 8 | (unsigned char)key.p[i];
        s->out->revision = (int64_t)rev;
    }
    if (s->is_meta && str_eqz(key, "storageVersion") && value.n < sizeof s->out->version) {
        memcpy(s->out->version, value.p, value.n);
        s->out->version[value.n] = 0;
    }
    return 0;
}

static int sum_bucket(void *ctx, struct str name, struct error *err)
{
    struct summing *s = ctx;
    s->out->hash = crc32c(s->out->hash, name.p, name.n);
    s->is_key = str_eqz(name, "key");
    s->is_meta = str_eqz(name, "meta");
    return bolt_each(&s->file->bolt, name, sum_entry, s, err);
}

int backup_file_status(const char *file, struct backup_status *out, struct error *err)
{
    struct backup_file f;
    *out = (struct backup_status){0};
    int rc = backup_file_open(file, &f, err);
    if (rc < 0)
        return rc;
    if (f.has_hash)
        rc = backup_file_verify(&f, err);
    struct summing s = {.file = &f, .out = out};
    if (rc == 0)
        rc = bolt_each_bucket(&f.bolt, sum_bucket, &s, err);
    out->total_bytes = f.bolt.bytes.n;
    backup_file_close(&f);
    return rc < 0 ? error_wrap(err, "%s", file) : 0;
}
