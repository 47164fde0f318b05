/*
 * A directory whose files change all at once: what configMap, secret, downwardAPI and projected
 * volumes are. A reader that opened ..data sees one whole version.
 *
 *     dir/..2026_11_21_08_47_27.1234/a        the version
 *     dir/..data -> ..2026_11_21_08_47_27.1234
 *     dir/a -> ..data/a
 *
 * The layout is the published one: programs watch ..data.
 */
#ifndef C8S_NODE_ATOMIC_DIR_H
#define C8S_NODE_ATOMIC_DIR_H

#include "base/error.h"
#include "base/str.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct atomic_file {
    const char *path; /* relative, no "..", may have directories: "a/b" */
    struct str content;
    unsigned mode;
};

/* Is this a path that a volume may project to? Relative, no ".." part, not beginning with "..". */
bool atomic_path_ok(const char *path);

/* Make `dir` (which must exist) hold exactly these files. Nothing is written when it does already.
 * gid ≥ 0: the group that may read the files. *changed (may be NULL) says whether a new version was
 * put in place. */
int atomic_dir_write(const char *dir, const struct atomic_file *files, size_t n, int64_t gid,
                     bool *changed, struct error *err);

#endif
