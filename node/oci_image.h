/*
 * Container images made from files on this machine: an OCI image layout in a tar archive, as
 * `ctr images import` and `skopeo copy oci-archive:` read it. One layer, no registry, no base
 * image. What is written depends only on the input (times are zero), so that the same files give
 * the same digest.
 */
#ifndef C8S_NODE_OCI_IMAGE_H
#define C8S_NODE_OCI_IMAGE_H

#include "base/error.h"
#include <stdbool.h>
#include <stddef.h>

/* One entry of the root file system. Parent directories are made (0755, root). */
struct oci_file {
    const char *path;   /* "/bin/busybox" */
    const char *source; /* a file to copy; NULL: see below */
    const char *link;   /* symbolic link to this; else, with source NULL, a directory */
    unsigned mode;      /* 0: the source's own mode, 0755 for a directory */
};

struct oci_image {
    const char *reference; /* "registry.example/name:tag": the whole name it gets on import */
    const struct oci_file *files;
    size_t files_len;
    /* NULL-terminated lists, or NULL. */
    const char *const *entrypoint;
    const char *const *cmd;
    const char *const *env;  /* "NAME=value" */
    const char *working_dir; /* or NULL */
    const char *user;        /* or NULL */
};

/* Write the archive; a failed one is removed. */
int oci_image_write(const struct oci_image *image, const char *archive, struct error *err);

#endif
