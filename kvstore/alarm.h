/*
 * Alarms: what the whole cluster knows to be wrong with one of its members.
 *
 *     NOSPACE   its state passes the space quota: whatever makes the state grow is refused
 *               (puts, transactions with puts, lease grants: KV_ERR_NO_SPACE)
 *     CORRUPT   its state differs from the others', or is damaged: writes, compactions, lease grants and
 *               revocations are refused (ERR_CORRUPT), as etcd does; reads go on, since it is for the
 *               damaged member itself to refuse what it cannot trust
 *
 * An alarm of any member binds all of them. Raising and clearing go through the log (PROPOSAL_ALARM), so that
 * every member has the same list, which is kept in the meta tree ("alarms") and goes along in snapshots. An
 * alarm stays until somebody clears it (etcdctl alarm disarm); it is looked at when a request is proposed,
 * never when it is applied, so that it cannot make members differ.
 */
#ifndef C8S_KVSTORE_ALARM_H
#define C8S_KVSTORE_ALARM_H

#include "base/vec.h"
#include "kvstore/kv.h"
#include <pthread.h>

/* etcd's numbers. */
enum kv_alarm_type { KV_ALARM_NONE = 0, KV_ALARM_NOSPACE = 1, KV_ALARM_CORRUPT = 2 };
#define KV_ALARM_TYPE_MAX KV_ALARM_CORRUPT
#define KV_ALARMS_MAX \
    1024 /* kept at once: more than members × types; past it raising does nothing */

struct kv_alarm {
    uint64_t member;
    enum kv_alarm_type type; /* never NONE */
};

/*
 * Raise or clear one alarm, through the log. Any thread; the callback as of every asynchronous function of kv.h,
 * with code 0 once it is applied here (also when nothing changed), or the reason why it was not proposed or
 * is unknown. type must not be NONE (ERR_INVALID). Clearing what is not raised is no error.
 */
void kv_alarm_raise(struct kv *kv, uint64_t member, enum kv_alarm_type type, struct loop *loop,
                    kv_revision_fn *cb, void *ctx);
void kv_alarm_clear(struct kv *kv, uint64_t member, enum kv_alarm_type type, struct loop *loop,
                    kv_revision_fn *cb, void *ctx);

/* The alarms this member has applied, in the order raised; in `a`. Any thread. */
void kv_alarm_list(struct kv *kv, struct arena *a, struct kv_alarm **alarms, size_t *len);
/* Is any member's alarm of this type raised? Any thread, without a lock. */
bool kv_alarm_active(const struct kv *kv, enum kv_alarm_type type);
/* Is this one raised? */
bool kv_alarm_has(struct kv *kv, uint64_t member, enum kv_alarm_type type);
/* "NOSPACE", "CORRUPT", "NONE". */
const char *kv_alarm_name(enum kv_alarm_type type);

/* ---- for the store itself ---- */

struct alarm_set {
    pthread_mutex_t lock;
    VEC(struct kv_alarm) items;
    atomic_uint types; /* bit 1 << type */
};

struct apply;
struct proposal_alarm;
struct pending;

void alarms_init(struct alarm_set *s);
void alarms_free(struct alarm_set *s);
/* At start and after a snapshot. */
struct MDB_txn;
int alarms_load(struct kv *kv, struct MDB_txn *txn, struct error *err);
/* Apply thread: a committed PROPOSAL_ALARM. */
int alarms_apply(struct kv *kv, struct apply *a, const struct proposal_alarm *p, struct error *err);

#endif
