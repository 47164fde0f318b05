/*
 * Small file work that several parts of the agent share.
 */
#ifndef C8S_NODE_FILES_H
#define C8S_NODE_FILES_H

#include "base/arena.h"
#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include <stdbool.h>

/* mkdir -p; success when it is there already. */
int file_make_dirs(const char *path, unsigned mode, struct error *err);
/* Write by temporary file and rename. Does nothing when the file has this content already. */
int file_replace(const char *path, struct str content, unsigned mode, struct error *err);
/* The last `max` bytes of a regular file (no link, no FIFO to wait for), a NUL behind them. */
int file_read_end(const char *path, size_t max, struct arena *a, struct str *out,
                  struct error *err);
/* rm -rf that never enters what is mounted below (also of the same file system) and follows no link; success
 * when absent. Trees may be as deep as they like. */
int file_remove_tree(const char *path, struct error *err);
/* Unmount whatever is mounted at or below `dir` (read from /proc/self/mountinfo), deepest first. */
int file_unmount_below(const char *dir, struct error *err);

#endif
