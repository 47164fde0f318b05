/*
 * Rules of volume sources that pods' volumes and persistent volumes share.
 */
#include "api/validation/pod.h"
#include "api/validation/volume.h"
#include <ctype.h>

const struct source_row *check_sources(struct field_errors *e, const struct path *at,
                                       const void *sources, const struct source_row *rows, size_t n)
{
    const struct source_row *first = NULL;
    for (size_t i = 0; i < n; i++) {
        const struct source_row *row = &rows[i];
        const void *source = *(void *const *)((const char *)sources + row->offset);
        if (!source)
            continue;
        if (first) {
            err_forbidden(e, AT(at, row->name), "may not specify more than 1 volume type");
            continue;
        }
        first = row;
        const struct path *path = AT(at, row->path ? row->path : row->name);
        for (size_t k = 0; k < 4 && row->required[k]; k++)
            check_required(e, AT(path, row->required[k]), object_string(source, row->required[k]));
        if (row->check)
            row->check(e, path, source);
    }
    if (!first)
        err_required(e, at, "must specify a volume type");
    return first;
}

/* --- paths ----------------------------------------------------------------------------------- */

bool has_parent_step(const char *path)
{
    struct str rest = str_from(path), part;
    while (str_split(&rest, '/', &part)) {
        if (str_eq(part, STR("..")))
            return true;
    }
    return false;
}

void check_descending_path(struct field_errors *e, const struct path *at, const char *path)
{
    if (path[0] == '/')
        err_invalid(e, at, path, "must be a relative path");
    if (has_parent_step(path))
        err_invalid(e, at, path, "must not contain '..'");
}

void check_local_path(struct field_errors *e, const struct path *at, const char *path)
{
    check_descending_path(e, at, path);
    if (strncmp(path, "..", 2) == 0 && strncmp(path, "../", 3) != 0)
        err_invalid(e, at, path, "must not start with '..'");
}

void check_host_path_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__HostPathVolumeSource *v = source;
    if (!check_required(e, AT(at, "path"), v->path))
        return;
    if (has_parent_step(v->path))
        err_invalid(e, AT(at, "path"), v->path, "must not contain '..'");
    if (v->type)
        check_one_of(e, AT(at, "type"), v->type,
                     ONE_OF("", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate",
                            "File", "FileOrCreate", "Socket"));
}

void check_nfs_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__NFSVolumeSource *v = source;
    if (v->path[0] != '/')
        err_invalid(e, AT(at, "path"), v->path, "must be an absolute path");
}

/* --- disks ----------------------------------------------------------------------------------- */

void check_partition_source(struct field_errors *e, const struct path *at, const void *source)
{
    const struct schema_field *f;
    const int32_t *partition = object_member(source, "partition", &f);
    if (*partition < 0 || *partition > 255)
        err_invalid_int(e, AT(at, "partition"), *partition, "must be between 1 and 255, inclusive");
}

void check_fc_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__FCVolumeSource *v = source;
    if (v->n_target_wwns == 0 && v->n_wwids == 0)
        err_required(e, AT(at, "targetWWNs"),
                     "must specify either targetWWNs or wwids, but not both");
    if (v->n_target_wwns && v->n_wwids)
        err_invalid_list(e, AT(at, "targetWWNs"), v->target_wwns, v->n_target_wwns,
                         "targetWWNs and wwids can not be specified simultaneously");
    if (v->n_target_wwns && !v->has_lun)
        err_required(e, AT(at, "lun"), "lun is required if targetWWNs is specified");
    else if (v->n_target_wwns)
        check_range(e, AT(at, "lun"), v->lun, 0, 255);
}

void check_flocker_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__FlockerVolumeSource *v = source;
    if (!*v->dataset_name && !*v->dataset_uuid)
        err_required(e, at, "one of datasetName and datasetUUID is required");
    if (*v->dataset_name && *v->dataset_uuid)
        err_invalid(e, at, "resource",
                    "datasetName and datasetUUID can not be specified simultaneously");
    if (strchr(v->dataset_name, '/'))
        err_invalid(e, AT(at, "datasetName"), v->dataset_name, "must not contain '/'");
}

void check_azure_disk_source(struct field_errors *e, const struct path *at, const void *source)
{
    const Core__V1__AzureDiskVolumeSource *v = source;
    if (v->caching_mode)
        check_one_of(e, AT(at, "cachingMode"), v->caching_mode,
                     ONE_OF("None", "ReadOnly", "ReadWrite"));
    if (!v->kind)
        return;
    check_one_of(e, AT(at, "kind"), v->kind, ONE_OF("Dedicated", "Managed", "Shared"));
    bool managed = strcmp(v->kind, "Managed") == 0;
    if (managed && strncmp(v->disk_uri, "/subscriptions/", 15) != 0)
        err_not_supported(e, AT(at, "diskURI"), v->disk_uri,
                          ONE_OF("/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/"
                                 "microsoft.compute/disks/{disk-id}"));
    if (!managed && strncmp(v->disk_uri, "https://", 8) != 0)
        err_not_supported(e, AT(at, "diskURI"), v->disk_uri,
                          ONE_OF("https://{account-name}.blob.core.windows.net/{container-name}/"
                                 "{disk-name}.vhd"));
}

void check_quobyte_source(struct field_errors *e, const struct path *at, const void *source)
{
    static const char pairs[] = "must be a host:port pair or multiple pairs separated by commas";
    const Core__V1__QuobyteVolumeSource *v = source;
    struct str rest = str_from(v->registry), part;
    if (!*v->registry)
        err_required(e, AT(at, "registry"), pairs);
    else if (strlen(v->tenant) >= 65)
        err_required(e, AT(at, "tenant"),
                     "must be a UUID and may not exceed a length of 64 characters");
    else
        while (str_split(&rest, ',', &part)) {
            if (str_find_char(part, ':') < 0)
                err_invalid(e, AT(at, "registry"), v->registry, pairs);
        }
    check_required(e, AT(at, "volume"), v->volume);
}

void check_rbd_source(struct field_errors *e, const struct path *at, const void *source)
{
    if (((const Core__V1__RBDVolumeSource *)source)->n_monitors == 0)
        err_required(e, AT(at, "monitors"), "");
}

void check_ceph_source(struct field_errors *e, const struct path *at, const void *source)
{
    if (((const Core__V1__CephFSVolumeSource *)source)->n_monitors == 0)
        err_required(e, AT(at, "monitors"), "");
}

/* "iqn.2001-04.com.example:storage", "eui." or "naa." and 16 or 32 hexadecimal digits. */
static bool iscsi_name(const char *s)
{
    size_t n = strlen(s), digits = strncmp(s, "eui.", 4) == 0   ? 16
                                   : strncmp(s, "naa.", 4) == 0 ? 32
                                                                : 0;
    if (digits) {
        for (size_t i = 4; i < n; i++) {
            if (!isalnum((unsigned char)s[i]))
                return false;
        }
        return n == 4 + digits;
    }
    if (strncmp(s, "iqn.", 4) != 0 || n < 13)
        return false;
    for (size_t i = 4; i < 11; i++) {
        if (i == 8 ? s[i] != '-' : !isdigit((unsigned char)s[i]))
            return false;
    }
    const char *colon = strchr(s + 11, ':');
    if (s[11] != '.' || !colon || colon == s + 12 || !colon[1])
        return false;
    for (const char *c = s + 12; c < colon; c++) {
        if (!isalnum((unsigned char)*c) && *c != '-' && *c != '.')
            return false;
    }
    return !strpbrk(colon + 1, ",;*&$| \t\n");
}

static void check_iscsi_name(struct field_errors *e, const struct path *at, const char *name)
{
    if (strncmp(name, "iqn", 3) != 0 && strncmp(name, "eui", 3) != 0 &&
        strncmp(name, "naa", 3) != 0)
        err_invalid(e, at, name, "must be valid format starting with iqn, eui, or naa");
    else if (!iscsi_name(name))
        err_invalid(e, at, name, "must be valid format");
}

void check_iscsi(struct field_errors *e, const struct path *at, const char *iqn, int32_t lun,
                 const char *initiator, bool chap, bool has_secret)
{
    if (check_required(e, AT(at, "iqn"), iqn))
        check_iscsi_name(e, AT(at, "iqn"), iqn);
    check_range(e, AT(at, "lun"), lun, 0, 255);
    if (chap && !has_secret)
        err_required(e, AT(at, "secretRef"), "");
    if (initiator)
        check_iscsi_name(e, AT(at, "initiatorname"), initiator);
}

/* --- drivers --------------------------------------------------------------------------------- */

void check_flex_options(struct field_errors *e, const struct path *at, StringEntry *const *options,
                        size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const char *key = options[i]->key;
        struct str ns = str_from(key);
        ptrdiff_t slash = str_find_char(ns, '/');
        if (slash >= 0)
            ns = str_slice(ns, 0, (size_t)slash);
        char *lower = arena_printf(e->arena, ".%.*s", STR_ARG(ns));
        for (char *c = lower; *c; c++)
            *c = (char)tolower((unsigned char)*c);
        if (str_has_suffix(str_from(lower), STR(".kubernetes.io")) ||
            str_has_suffix(str_from(lower), STR(".k8s.io")))
            err_invalid(e, KEY(AT(at, "options"), key), key,
                        "kubernetes.io and k8s.io namespaces are reserved");
    }
}

void check_storageos_names(struct field_errors *e, const struct path *at, const char *name,
                           const char *ns)
{
    check_required_string(e, AT(at, "volumeName"), name, validate_dns1123_label);
    check_optional(e, AT(at, "volumeNamespace"), ns, validate_dns1123_label);
}

void check_csi_driver_name(struct field_errors *e, const struct path *at, const char *driver)
{
    check_required(e, at, driver);
    if (strlen(driver) > 63)
        err_too_long(e, at, 63);
    char *lower = arena_strdup(e->arena, driver);
    for (char *c = lower; *c; c++)
        *c = (char)tolower((unsigned char)*c);
    const char *message = validate_dns1123_subdomain(lower);
    if (message)
        err_invalid_messages(e, at, driver, message);
}
