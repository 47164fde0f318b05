/*
 * Automatic compaction (kvstore/auto_compact.h).
 */
#include "kvstore/auto_compact.h"
#include "kvstore/store.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>

#define HOUR_NS (3600 * NS_PER_S)
#define REVISION_CHECK_NS (300 * NS_PER_S)
#define NOTES_PER_PERIOD 10

struct note {
    uint64_t at_ns;
    int64_t rev;
};

struct auto_compact {
    struct kv *kv;
    uint64_t retention_ns; /* periodic; 0: by revision */
    uint64_t every_ns;     /* between looks */
    uint64_t look_ns, compacted_ns;
    VEC(struct note) notes; /* oldest first */
    int64_t last, asked;    /* compacted at; under way */
    atomic_bool busy;
    atomic_int code; /* how it ended */
};

struct auto_compact *auto_compact_new(struct kv *kv)
{
    const struct kv_options *o = &kv->o;
    if (!o->auto_compact_ns && o->auto_compact_revs <= 0)
        return NULL;
    struct auto_compact *a = mem_zalloc(sizeof *a);
    a->kv = kv;
    a->retention_ns = o->auto_compact_ns;
    a->every_ns = o->auto_compact_ns ? MIN(o->auto_compact_ns, HOUR_NS) / NOTES_PER_PERIOD
                                     : REVISION_CHECK_NS;
    if (o->auto_compact_check_ms)
        a->every_ns = o->auto_compact_check_ms * NS_PER_MS;
    return a;
}

void auto_compact_free(struct auto_compact *a)
{
    if (!a)
        return;
    vec_free(&a->notes);
    mem_free(a);
}

static void compacted(void *ctx, int code, int64_t rev)
{
    struct auto_compact *a = ctx;
    (void)rev;
    atomic_store(&a->code, code);
    atomic_store(&a->busy, false);
}

/* The revision of a retention ago; 0: not that long yet. Forgets what is older. */
static int64_t noted(struct auto_compact *a, uint64_t now_ns)
{
    size_t old = 0;
    while (old < a->notes.len && now_ns - a->notes.items[old].at_ns >= a->retention_ns)
        old++;
    if (old == 0)
        return 0;
    for (; old > 1; old--)
        vec_remove(&a->notes, 0);
    return a->notes.items[0].rev;
}

static int64_t target(struct auto_compact *a, uint64_t now_ns)
{
    int64_t now = kv_current_revision(a->kv);
    if (!a->retention_ns)
        return now - a->kv->o.auto_compact_revs;
    vec_push(&a->notes, ((struct note){now_ns, now}));
    int64_t rev = noted(a, now_ns);
    uint64_t period = MIN(a->retention_ns, HOUR_NS);
    return a->compacted_ns && now_ns - a->compacted_ns < period ? 0 : rev;
}

/* The one under way has ended. */
static void take_end(struct auto_compact *a, uint64_t now_ns)
{
    int code = atomic_load(&a->code);
    if (code == 0 || code == ERR_COMPACTED) {
        a->last = a->asked;
        a->compacted_ns = now_ns;
        log_info("store", "history compacted by itself rev=%" PRId64, a->asked);
    } else {
        log_warn("store", "compaction by itself failed, later again rev=%" PRId64 " code=%d",
                 a->asked, code);
    }
    a->asked = 0;
}

void auto_compact_step(struct auto_compact *a, uint64_t now_ns)
{
    if (!a || now_ns < a->look_ns || atomic_load(&a->busy))
        return;
    if (a->asked)
        take_end(a, now_ns);
    a->look_ns = now_ns + a->every_ns;
    int64_t rev = target(a, now_ns);
    bool leads = atomic_load(&a->kv->leader_term) != 0;
    if (!leads || rev <= a->last || rev <= kv_compacted_revision(a->kv))
        return;
    a->asked = rev;
    atomic_store(&a->busy, true);
    kv_compact(a->kv, rev, false, NULL, compacted, a);
}
