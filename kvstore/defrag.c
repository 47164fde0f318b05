/*
 * Defragmenting one member's store (kvstore/kv_defrag.h).
 */
#include "kvstore/kv_defrag.h"
#include "kvstore/integrity/integrity.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/metrics.h"
#include <inttypes.h>

int kv_defragment(struct kv *kv, const atomic_bool *stop, struct logdb_defrag_info *out,
                  struct error *err)
{
    struct error unseen;
    struct logdb_defrag_options o = {.stop = stop, .busy = &kv->apply_busy};
    err = err ? err : &unseen;
    int rc = kv_may_serve(kv, err);
    if (rc == 0) {
        log_info("store", "defragmenting");
        if (kv->metrics.defragmenting)
            gauge_set(kv->metrics.defragmenting, 1);
        rc = logdb_defrag(kv->db, &o, out, err);
        if (kv->metrics.defragmenting)
            gauge_set(kv->metrics.defragmenting, 0);
    }
    if (rc == 0) {
        log_info("store",
                 "defragmented before_bytes=%" PRIu64 " after_bytes=%" PRIu64 " took_ms=%" PRIu64
                 " writes_stopped_us=%" PRIu64,
                 out->before_bytes, out->after_bytes, out->took_ns / 1000000,
                 out->stopped_ns / 1000);
        if (kv->metrics.defrag)
            histogram_observe(kv->metrics.defrag, (double)out->took_ns / 1e9);
        return 0;
    }
    log_warn("store", "not defragmented error=\"%s\"", err->message);
    if (logdb_failed(kv->db))
        kv_fail_stop(kv, err);
    return kv_check_code(kv, rc, err);
}
