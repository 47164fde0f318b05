/*
 * Volume sources: what a pod's volumes and persistent volumes may be, as rows of a table.
 */
#ifndef C8S_API_VALIDATION_VOLUME_H
#define C8S_API_VALIDATION_VOLUME_H

#include "api/validation/internal.h"

typedef void source_check(struct field_errors *e, const struct path *at, const void *source);

/* A member of VolumeSource or PersistentVolumeSource (all are pointers). */
struct source_row {
    size_t offset;
    const char *name;        /* JSON name */
    const char *path;        /* what upstream calls it in errors; NULL: the name */
    const char *required[4]; /* strings that may not be empty */
    source_check *check;     /* the rest; NULL: nothing */
};

/* Exactly one of the rows' members of `sources` is set, and it is well. Returns it, or NULL. */
const struct source_row *check_sources(struct field_errors *e, const struct path *at,
                                       const void *sources, const struct source_row *rows,
                                       size_t n);

/* Rules of sources that both tables have. */
source_check check_host_path_source, check_nfs_source, check_fc_source, check_flocker_source,
    check_azure_disk_source, check_quobyte_source, check_partition_source, check_rbd_source,
    check_ceph_source;
void check_iscsi(struct field_errors *e, const struct path *at, const char *iqn, int32_t lun,
                 const char *initiator, bool chap, bool has_secret);
void check_flex_options(struct field_errors *e, const struct path *at, StringEntry *const *options,
                        size_t n);
void check_storageos_names(struct field_errors *e, const struct path *at, const char *name,
                           const char *ns);
void check_csi_driver_name(struct field_errors *e, const struct path *at, const char *driver);

/* persistent_volume.c: `name` is the volume's; one that stands in an attachment says less. */
void check_volume_spec(struct field_errors *e, const struct path *at, const char *name,
                       const Core__V1__PersistentVolumeSpec *spec, bool in_attachment);
/* Also the template of an ephemeral volume. */
void check_claim_spec(struct field_errors *e, const struct path *at,
                      const Core__V1__PersistentVolumeClaimSpec *spec);

#endif
