/*
 * Restoring a backup into a new data directory (apiserver/restore.h): the flags are checked here, kvstore/backup/backup.h does
 * the work.
 */
#include "apiserver/restore.h"
#include "kvstore/backup/backup.h"
#include <inttypes.h>
#include <stdio.h>

/* What --initial-advertise-peer-urls says must be what the cluster is told of this member. */
static int check_peer_urls(const struct kv_options *kv, const struct flag_list *advertised,
                           struct error *err)
{
    const struct kv_member_config *own = NULL;
    for (size_t i = 0; i < kv->members_len; i++)
        if (str_eq(kv->members[i].name, kv->name))
            own = &kv->members[i];
    if (!own)
        return error_set(err, ERR_INVALID,
                         "couldn't find local name \"%.*s\" in the initial cluster configuration",
                         STR_ARG(kv->name));
    for (size_t k = 0; k < advertised->len; k++) {
        size_t i = 0;
        while (i < own->peer_urls_len && !str_eqz(own->peer_urls[i], advertised->items[k]))
            i++;
        if (i == own->peer_urls_len)
            return error_set(err, ERR_INVALID,
                             "--initial-cluster has %.*s=%.*s but missing from "
                             "--initial-advertise-peer-urls=%s",
                             STR_ARG(kv->name), STR_ARG(own->peer_urls[0]), advertised->items[k]);
    }
    return 0;
}

int restore_run(const struct options *o, struct arena *a)
{
    struct error err = {0};
    struct kv_options kv;
    struct kv_restore_info info;
    int rc = options_store(o, a, &kv, &err);
    if (rc == 0 && kv.members_len)
        rc = check_peer_urls(&kv, &o->advertise_peer_urls, &err);
    struct kv_restore_options r = {
        .file = o->restore_file,
        .kv = &kv,
        .skip_hash_check = o->restore_skip_hash_check,
        .bump_revision = o->restore_bump_revision,
        .mark_compacted = o->restore_mark_compacted,
    };
    if (rc == 0)
        rc = kv_restore(&r, &info, &err);
    if (rc < 0) {
        fprintf(stderr, "Error: %s\n", err.message);
        return 1;
    }
    fprintf(stderr,
            "restored %s into %s: revision %" PRId64 ", compacted %" PRId64 ", %" PRIu64
            " versions, %" PRIu64 " leases\n",
            r.file, kv.data_dir, info.rev, info.compact_rev, info.versions, info.leases);
    return 0;
}
