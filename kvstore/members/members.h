/*
 * Inside the store: the member list in memory and on disk, and what follows from it.
 *
 *   members.c         the records, the copy in memory, founding
 *   change.c          proposing, checking and applying changes, levels, downgrades
 *   peers.c           what the transport asks (raft/peer_rules.h)
 *   start.c           who this member is: asks the peers when its directory is empty
 *   join.c            … and whose answer is to be believed
 *
 * Two meta records, both in snapshots. "members" is as old as the store; "cluster" came with level 2:
 *
 *     members  n, then per member: id, name, n peer URLs, n client URLs
 *     cluster  version (1), level, downgrade target, n started ids, n removed ids
 *
 * Integers are varints, strings a length and bytes. The configuration (who votes) is Raft's own record.
 */
#ifndef C8S_KVSTORE_MEMBERS_MEMBERS_H
#define C8S_KVSTORE_MEMBERS_MEMBERS_H

#include "base/list.h"
#include "base/vec.h"
#include "kvstore/kv_members.h"
#include "kvstore/proposal.h"
#include "raft/node.h"
#include <lmdb.h>
#include <pthread.h>

#define MEMBER_URLS_MAX 64
#define MEMBERS_REMOVED_MAX 4096 /* ids remembered; the oldest are forgotten first */
#define MEMBERS_HEARD_MAX 64

struct apply;
struct pending;

/* Both records. `items` and strings are in the arena given to the reader; the vectors are the holder's. */
struct member_records {
    VEC(struct kv_member) items; /* is_learner is not set */
    VEC(uint64_t) removed;       /* oldest first */
    unsigned level;
    struct str downgrade; /* "" or "3.5.0" */
};
void member_records_free(struct member_records *m);
void members_encode(const struct member_records *m, struct buf *out);
int members_decode(struct str in, struct arena *a, struct member_records *m, struct error *err);
void cluster_encode(const struct member_records *m, struct buf *out);
int cluster_decode(struct str in, struct arena *a, struct member_records *m, struct error *err);
struct kv_member *member_find(struct member_records *m, uint64_t id); /* NULL: not there */
bool member_removed(const struct member_records *m, uint64_t id);

/* What this member has applied, for every thread. */
struct members {
    pthread_mutex_t lock; /* short; also taken on the raft thread */
    struct arena arena;
    struct member_records now;
    struct raft_config config;
    struct { /* since this start: who connected, claiming what */
        uint64_t id;
        unsigned level;
    } heard[MEMBERS_HEARD_MAX];
    size_t heard_len;
    bool self_removed;
    uint64_t self_removed_ns;   /* when it was learnt */
    struct raft_id_set told_by; /* who said so: those have applied it, durably */
    bool removal_told;          /* options.on_removed was called */
    struct list calls;          /* changes that wait for an earlier one */
    bool level_asked;           /* a raise of the level is under way */
    bool changed;               /* apply thread: read the records again after this commit */
};

/* ---- members.c ---- */

void members_open(struct members *m);
void members_close(struct members *m);
int members_bootstrap(struct kv *kv, struct raft_config *config, struct error *err);
int members_store_initial(struct kv *kv, struct error *err);
/* As stored, or, where that cannot be read, as the options name the founders. Before the driver runs. */
int members_stored(struct kv *kv, struct arena *a, struct kv_member **members, size_t *n,
                   struct error *err);
int members_load(struct kv *kv, MDB_txn *txn, struct arena *a, struct member_records *m,
                 struct error *err);
int members_save(struct kv *kv, MDB_txn *txn, const struct member_records *m, struct error *err);
/* Read the records again and tell the driver: at start, after a commit that changed them, after a
 * snapshot. */
int members_refresh(struct kv *kv, struct error *err);
/* The id that a founder with these peer URLs has. */
uint64_t member_id_from(struct str token, const struct kv_member_config *m);
/* This member's own entry in options.members; NULL: none. */
const struct kv_member_config *members_own_config(const struct kv *kv);
/*
 * This member is out: it says so once, and takes no requests any more, but votes and acknowledges for a while
 * (options.on_removed comes when that is over). Any thread. `by`: the peer that told, 0: it applied its removal.
 */
void members_self_removed(struct kv *kv, uint64_t by);

/* ---- change.c ---- */

/* What a member says of itself (PROPOSAL_MEMBER). */
int members_apply(struct kv *kv, struct apply *a, const struct proposal_member *m,
                  struct error *err);
/* A CONFIG entry, in the transaction that applies it. */
int members_apply_change(struct kv *kv, struct apply *a, const struct raft_apply *e,
                         struct error *err);
int members_apply_cluster(struct kv *kv, struct apply *a, const struct proposal_cluster *c,
                          struct pending *p, struct error *err);
int members_check_change(void *ctx, const struct raft_change *change,
                         const struct raft_change_context *context);
/* On the house thread, some times a second. */
void members_step(struct kv *kv, uint64_t now_ns);
void members_cancel(struct kv *kv); /* the driver has stopped */

/* ---- peers.c ---- */

extern const struct raft_peer_rules kv_peer_rules;
/* "https://10.0.0.1:2380/" → "10.0.0.1:2380" in `out`; *secure: https. ERR_INVALID. */
int member_url_address(struct str url, char out[256], bool *secure, struct error *err);
/* Was this id heard of since the start? m->lock held. 0: no; else its level. */
unsigned members_heard(const struct members *m, uint64_t id);

/* An answer to raft_ask's question. */
struct member_answer {
    uint64_t cluster_id, member_id, applied;
    struct member_records records;
    VEC(uint64_t) heard;
    uint64_t
        change; /* the last change of membership in its log that is not in `records`; 0: none */
    struct raft_config config; /* who votes; empty: it is only joining itself */
};
#define MEMBERS_QUESTION STR("c8s members 1")
int member_answer_decode(struct str in, struct arena *a, struct member_answer *out,
                         struct error *err);
void member_answer_free(struct member_answer *a);

/* ---- join.c ---- */

/* The entry with one of these peer URLs; NULL: none. */
const struct kv_member *member_with_url(const struct member_records *m,
                                        const struct kv_member_config *own);
/*
 * Who is it that joins with the peer URLs `own`? 0: *self, an entry of *newest. ERR_UNAVAILABLE: too few have
 * answered, or what they know is not decided yet; ERR_NOT_FOUND: it was not added, as far as they know. Both may
 * change: ask again. *newest: the answer that is most up to date in any case; NULL: there is none.
 */
int members_judge(struct member_answer *answers, size_t n, const struct kv_member_config *own,
                  struct member_answer **newest, const struct kv_member **self, struct error *err);

/* ---- start.c ---- */

/*
 * Before the data directory is made: ask the members of options.members who they are. Sets kv->member_id
 * and kv->cluster_id when joining, and the records to begin with in kv->members.now. ERR_DENIED: this
 * member has been there before; ERR_NOT_FOUND: it was not added; ERR_UNAVAILABLE: too few answer, for 10 s.
 */
int members_ask_peers(struct kv *kv, struct error *err);
/* --force-new-cluster: this member alone, with all it has in its log. */
int members_force_new(struct kv *kv, struct error *err);

#endif
