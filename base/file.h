/*
 * Small files, read whole.
 */
#ifndef C8S_BASE_FILE_H
#define C8S_BASE_FILE_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

/*
 * What is in the file `path` ("-": standard input), copied into the arena with a NUL behind the last byte.
 * ERR_NOT_FOUND when it does not exist, ERR_LIMIT past `limit` bytes, else ERR_IO; the message names the file.
 */
int file_read(const char *path, size_t limit, struct arena *a, struct str *out, struct error *err);

#endif
