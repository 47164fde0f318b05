/*
 * Alarms (kvstore/alarm.h).
 *
 * The meta record "alarms": version:1 (1), then per alarm: member (varint), type:1.
 */
#include "kvstore/alarm.h"
#include "kvstore/store.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/varint.h"
#include <assert.h>
#include <inttypes.h>

#define ALARMS_VERSION 1

const char *kv_alarm_name(enum kv_alarm_type type)
{
    static const char *const names[] = {"NONE", "NOSPACE", "CORRUPT"};
    return (unsigned)type < ARRAY_LEN(names) ? names[type] : "UNKNOWN";
}

void alarms_init(struct alarm_set *s)
{
    pthread_mutex_init(&s->lock, NULL);
}

void alarms_free(struct alarm_set *s)
{
    vec_free(&s->items);
    pthread_mutex_destroy(&s->lock);
}

/* Where it is in the list, or the list's length; `lock` held. */
static size_t find(const struct alarm_set *s, uint64_t member, enum kv_alarm_type type)
{
    size_t i = 0;
    while (i < s->items.len &&
           (s->items.items[i].member != member || s->items.items[i].type != type))
        i++;
    return i;
}

static void count_types(struct alarm_set *s)
{
    unsigned types = 0;
    for (size_t i = 0; i < s->items.len; i++)
        types |= 1u << s->items.items[i].type;
    atomic_store(&s->types, types);
}

/* ---- kept ---- */

int alarms_load(struct kv *kv, struct MDB_txn *txn, struct error *err)
{
    struct alarm_set *s = &kv->alarms;
    struct str in;
    int rc = logdb_get_meta(kv->db, txn, "alarms", &in);
    pthread_mutex_lock(&s->lock);
    vec_clear(&s->items);
    if (rc == 0) {
        struct varint_reader r = {.left = in};
        r.failed = varint_read_byte(&r, UINT8_MAX) != ALARMS_VERSION;
        while (r.left.n && !r.failed) {
            struct kv_alarm alarm = {.member = varint_read(&r)};
            alarm.type = varint_read_byte(&r, KV_ALARM_TYPE_MAX);
            r.failed |= alarm.type == KV_ALARM_NONE || s->items.len == KV_ALARMS_MAX;
            if (!r.failed)
                vec_push(&s->items, alarm);
        }
        rc = r.failed ? ERR_CORRUPT : 0;
    }
    count_types(s);
    pthread_mutex_unlock(&s->lock);
    if (rc == ERR_NOT_FOUND)
        return 0;
    return rc < 0 ? error_set(err, rc, "the list of alarms has a wrong form") : 0;
}

static int store(struct kv *kv, MDB_txn *txn, struct error *err)
{
    struct alarm_set *s = &kv->alarms;
    struct buf b;
    buf_init(&b);
    buf_append_char(&b, ALARMS_VERSION);
    for (size_t i = 0; i < s->items.len; i++) { /* the apply thread alone changes the list */
        buf_append_varint(&b, s->items.items[i].member);
        buf_append_char(&b, (char)s->items.items[i].type);
    }
    int rc = logdb_put_meta(kv->db, txn, "alarms", buf_str(&b), err);
    buf_free(&b);
    return rc;
}

int alarms_apply(struct kv *kv, struct apply *a, const struct proposal_alarm *p, struct error *err)
{
    struct alarm_set *s = &kv->alarms;
    pthread_mutex_lock(&s->lock);
    size_t at = find(s, p->member, p->type);
    bool there = at < s->items.len, change = there == p->clear;
    if (change && p->clear)
        vec_remove(&s->items, at);
    else if (change && s->items.len < KV_ALARMS_MAX)
        vec_push(&s->items, ((struct kv_alarm){p->member, p->type}));
    count_types(s);
    pthread_mutex_unlock(&s->lock);
    if (!change)
        return 0;
    log_warn("store", "alarm %s member=%" PRIx64 " type=%s", p->clear ? "cleared" : "raised",
             p->member, kv_alarm_name(p->type));
    return store(kv, a->txn.mdb, err);
}

/* ---- asked ---- */

bool kv_alarm_active(const struct kv *kv, enum kv_alarm_type type)
{
    return atomic_load_explicit(&kv->alarms.types, memory_order_relaxed) & 1u << type;
}

bool kv_alarm_has(struct kv *kv, uint64_t member, enum kv_alarm_type type)
{
    pthread_mutex_lock(&kv->alarms.lock);
    bool there = find(&kv->alarms, member, type) < kv->alarms.items.len;
    pthread_mutex_unlock(&kv->alarms.lock);
    return there;
}

void kv_alarm_list(struct kv *kv, struct arena *a, struct kv_alarm **alarms, size_t *len)
{
    struct alarm_set *s = &kv->alarms;
    pthread_mutex_lock(&s->lock);
    *len = s->items.len;
    *alarms = arena_dup(a, s->items.items, *len * sizeof **alarms);
    pthread_mutex_unlock(&s->lock);
}

/* ---- changed ---- */

static void propose(struct kv *kv, const struct proposal_alarm *alarm, struct loop *loop,
                    kv_revision_fn *cb, void *ctx)
{
    struct pending *p = pending_new(kv, PROPOSAL_ALARM, loop, ctx);
    struct proposal q = {.kind = PROPOSAL_ALARM, .alarm = *alarm};
    p->rev_cb = cb;
    if (alarm->type == KV_ALARM_NONE || alarm->type > KV_ALARM_TYPE_MAX)
        pending_fail(p, ERR_INVALID, "no such type of alarm");
    else
        pending_propose(p, &q);
}

void kv_alarm_raise(struct kv *kv, uint64_t member, enum kv_alarm_type type, struct loop *loop,
                    kv_revision_fn *cb, void *ctx)
{
    propose(kv, &(struct proposal_alarm){member, type, false}, loop, cb, ctx);
}

void kv_alarm_clear(struct kv *kv, uint64_t member, enum kv_alarm_type type, struct loop *loop,
                    kv_revision_fn *cb, void *ctx)
{
    propose(kv, &(struct proposal_alarm){member, type, true}, loop, cb, ctx);
}
