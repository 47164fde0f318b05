/*
 * Small files, read whole.
 */
#ifndef C8S_BASE_FILE_H
#define C8S_BASE_FILE_H

#include "base/buf.h"
#include "base/error.h"

/*
 * Append what is in the file `path` ("-": standard input) to `out`, NUL bytes and all. ERR_NOT_FOUND when it
 * does not exist, ERR_LIMIT past bytes_max, else ERR_IO; the message names the file.
 */
int file_read(const char *path, size_t bytes_max, struct buf *out, struct error *err);

#endif
