/*
 * Small files, read whole.
 */
#include "base/file.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int file_read(const char *path, size_t bytes_max, struct buf *out, struct error *err)
{
    bool standard = strcmp(path, "-") == 0;
    FILE *f = standard ? stdin : fopen(path, "re");
    if (!f)
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "open %s", path);
    char chunk[8192];
    size_t n, total = 0;
    while (total <= bytes_max && (n = fread(chunk, 1, sizeof chunk, f)) > 0) {
        buf_append(out, chunk, n);
        total += n;
    }
    int rc = 0;
    if (ferror(f))
        rc = error_errno(err, ERR_IO, errno, "read %s", path);
    else if (total > bytes_max || out->failed)
        rc = error_set(err, ERR_LIMIT, "%s is larger than %zu bytes", path, bytes_max);
    if (!standard)
        fclose(f);
    return rc;
}
