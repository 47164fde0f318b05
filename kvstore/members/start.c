/*
 * Who is this member? Asked of the peers when the data directory is empty (kvstore/members/members.h).
 *
 * A member's vote and its acknowledgements are promises kept in its log. One that has lost its log and
 * came back under its old id could vote twice in a term, or help to elect a leader that lacks a write that
 * it had itself acknowledged: acknowledged writes would be lost. So whoever has been seen under an id never
 * starts under it with an empty directory, in whatever mode: it is removed and added anew.
 *
 * A founder that starts for the first time after the others looks the same from its own side: only the
 * peers know whether it has been there before.
 */
#include "kvstore/members/members.h"
#include "kvstore/store.h"
#include "base/arena_str.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include <inttypes.h>
#include <time.h>

#define ASK_MS 2000             /* for an answer */
#define JOIN_NS (10 * NS_PER_S) /* how long a joining member asks again when too few answer */
#define ADDED_NS (3 * NS_PER_S) /* … when those who answer do not know of it */
#define JOIN_PAUSE_NS (300 * NS_PER_MS)
#define ASKED_MAX (RAFT_MEMBERS_MAX * 4)

/* Everybody that is asked, and the answers that could be read. */
struct inquiry {
    struct arena known; /* lives as long as the inquiry, the other one as long as its answers */
    VEC(struct str) urls;
    struct arena arena;
    struct raft_asked asked[ASKED_MAX];
    size_t asked_len;
    VEC(struct member_answer) answers;
    struct error why; /* of one that did not answer */
};

static void inquiry_clear(struct inquiry *q)
{
    for (size_t i = 0; i < q->asked_len; i++)
        buf_free(&q->asked[i].answer);
    for (size_t i = 0; i < q->answers.len; i++)
        member_answer_free(&q->answers.items[i]);
    vec_clear(&q->answers);
    q->asked_len = 0;
    arena_reset(&q->arena);
}

static void inquiry_free(struct inquiry *q)
{
    inquiry_clear(q);
    vec_free(&q->answers);
    vec_free(&q->urls);
    arena_free(&q->known);
    arena_free(&q->arena);
    mem_free(q);
}

/* Ask there from now on, too. False: that was so already, or is too much. */
static bool learn_url(struct inquiry *q, struct str url)
{
    for (size_t i = 0; i < q->urls.len; i++)
        if (str_eq(q->urls.items[i], url))
            return false;
    if (q->urls.len == ASKED_MAX)
        return false;
    vec_push(&q->urls, arena_copy(&q->known, url));
    return true;
}

/* To begin with: all other members of --initial-cluster. */
static struct inquiry *inquiry_new(struct kv *kv, const struct kv_member_config *own)
{
    struct inquiry *q = mem_zalloc(sizeof *q);
    arena_init(&q->known);
    arena_init(&q->arena);
    for (size_t i = 0; i < kv->o.members_len; i++) {
        const struct kv_member_config *m = &kv->o.members[i];
        for (size_t u = 0; m != own && u < m->peer_urls_len; u++)
            learn_url(q, m->peer_urls[u]);
    }
    return q;
}

/* Then those, too, that members name. Are there any? */
static bool learn(struct inquiry *q, const struct member_answer *from,
                  const struct kv_member_config *own)
{
    const struct kv_member *self = member_with_url(&from->records, own);
    bool more = false;
    for (size_t i = 0; i < from->records.items.len; i++) {
        const struct kv_member *m = &from->records.items.items[i];
        for (size_t u = 0; m != self && u < m->peer_urls_len; u++)
            more |= learn_url(q, m->peer_urls[u]);
    }
    return more;
}

static int gather(struct inquiry *q, bool *any_secure, struct error *err)
{
    *any_secure = false;
    for (size_t i = 0; i < q->urls.len; i++) {
        char address[256];
        bool secure;
        int rc = member_url_address(q->urls.items[i], address, &secure, err);
        if (rc < 0)
            return rc;
        *any_secure |= secure;
        q->asked[q->asked_len++] = (struct raft_asked){.address = arena_strdup(&q->arena, address)};
    }
    return 0;
}

static int ask(struct kv *kv, struct inquiry *q, struct error *err)
{
    struct tls_context *server = NULL, *client = NULL;
    bool secure;
    inquiry_clear(q);
    int rc = gather(q, &secure, err);
    if (rc == 0 && secure)
        rc = driver_peer_tls(kv, &server, &client, err);
    if (rc < 0) {
        q->asked_len = 0;
        return rc;
    }
    raft_ask(q->asked, q->asked_len, client, MEMBERS_QUESTION, ASK_MS);
    tls_context_unref(server);
    tls_context_unref(client);
    for (size_t i = 0; i < q->asked_len; i++) {
        struct member_answer a;
        if (q->asked[i].code < 0) {
            q->why = q->asked[i].err;
            continue;
        }
        if (member_answer_decode(buf_str(&q->asked[i].answer), &q->arena, &a, &q->why) == 0)
            vec_push(&q->answers, a);
        else
            member_answer_free(&a);
    }
    return 0;
}

/* ---- rules ---- */

/* Somebody knows that this id has run, or has heard from it. */
static bool has_been_here(const struct inquiry *q, uint64_t id)
{
    for (size_t i = 0; i < q->answers.len; i++) {
        struct member_answer *a = &q->answers.items[i];
        const struct kv_member *m = member_find(&a->records, id);
        if (m && m->started)
            return true;
        for (size_t k = 0; k < a->heard.len; k++)
            if (a->heard.items[k] == id)
                return true;
    }
    return false;
}

static int refuse_return(struct kv *kv, uint64_t id, struct error *err)
{
    const struct kv_member_config *own = members_own_config(kv);
    struct str url = own && own->peer_urls_len ? own->peer_urls[0] : STR("URL");
    return error_set(
        err, ERR_DENIED,
        "member %.*s (%" PRIx64 ") has been a member of this cluster before, and its data "
        "directory %s is empty: without its log it must not come back under its old id. "
        "Put the directory back; or replace the member: `etcdctl member remove %" PRIx64
        "`, `etcdctl member add %.*s --learner --peer-urls=%.*s`, then start it with an empty "
        "directory and --initial-cluster-state=existing",
        STR_ARG(kv->o.name), id, kv->o.data_dir, id, STR_ARG(kv->o.name), STR_ARG(url));
}

/* --initial-cluster-state=new */
static int found(struct kv *kv, const struct inquiry *q, struct error *err)
{
    const struct kv_member_config *own = members_own_config(kv);
    for (size_t i = 0; i < q->answers.len; i++) {
        struct member_answer *a = &q->answers.items[i];
        if (a->cluster_id != kv->cluster_id) {
            if (own && member_with_url(&a->records, own))
                return error_set(
                    err, ERR_DENIED,
                    "the peers form a cluster already, to which this member was added: "
                    "start it with --initial-cluster-state=existing");
            return error_set(
                err, ERR_DENIED,
                "the peers form another cluster (%" PRIx64 ") already: to join it, add this "
                "member first (`etcdctl member add %.*s --peer-urls=…`) and start it with "
                "--initial-cluster-state=existing",
                a->cluster_id, STR_ARG(kv->o.name));
        }
        if (member_removed(&a->records, kv->member_id))
            return error_set(err, ERR_DENIED,
                             "member %.*s (%" PRIx64
                             ") was removed from this cluster: add it again "
                             "(`etcdctl member add %.*s --peer-urls=…`) and start it with "
                             "--initial-cluster-state=existing",
                             STR_ARG(kv->o.name), kv->member_id, STR_ARG(kv->o.name));
    }
    return has_been_here(q, kv->member_id) ? refuse_return(kv, kv->member_id, err) : 0;
}

static int take_identity(struct kv *kv, struct inquiry *q, struct member_answer *a,
                         const struct kv_member *self, struct error *err)
{
    if (has_been_here(q, self->id))
        return refuse_return(kv, self->id, err);
    if (a->records.level > kv->o.level)
        return error_set(err, ERR_UNSUPPORTED,
                         "the cluster is at feature level %u, this program knows %u: it is too old",
                         a->records.level, kv->o.level);
    kv->cluster_id = a->cluster_id;
    kv->member_id = self->id;
    /* To begin with, until the leader's snapshot brings everything: whom to talk to. */
    struct buf b;
    struct member_records *now = &kv->members.now;
    buf_init(&b);
    members_encode(&a->records, &b);
    member_records_free(now);
    int rc = members_decode(buf_str(&b), &kv->arena, now, err);
    buf_free(&b);
    now->level = 1;
    log_info("store", "joining cluster=%" PRIx64 " member=%" PRIx64 " members=%zu", kv->cluster_id,
             kv->member_id, now->items.len);
    return rc;
}

/* --initial-cluster-state=existing, as members_judge. *newest: NULL when nobody answers. */
static int join(struct kv *kv, struct inquiry *q, struct member_answer **newest, struct error *err)
{
    const struct kv_member *self;
    int rc =
        members_judge(q->answers.items, q->answers.len, members_own_config(kv), newest, &self, err);
    if (rc == 0)
        return take_identity(kv, q, *newest, self, err);
    if (*newest)
        return rc;
    return error_set(err, rc, "none of the members to join answers: %s",
                     q->asked_len ? q->why.message : "--initial-cluster names no other member");
}

/* Ask until it is known who this is, or for too long. */
static int join_in_time(struct kv *kv, struct inquiry *q, struct error *err)
{
    const struct timespec pause = {0, JOIN_PAUSE_NS};
    uint64_t began = host_mono_ns(kv->host);
    struct error told = {0};
    int rc;
    while ((rc = ask(kv, q, err)) == 0) {
        struct member_answer *newest = NULL;
        rc = join(kv, q, &newest, err);
        /* Whoever answered may not have applied the addition yet. */
        uint64_t waited = host_mono_ns(kv->host) - began;
        if (!(rc == ERR_NOT_FOUND && waited < ADDED_NS) &&
            !(rc == ERR_UNAVAILABLE && waited < JOIN_NS))
            break;
        if (newest && learn(q, newest, members_own_config(kv)))
            continue;
        if (strcmp(told.message, err->message) != 0)
            log_info("store", "asking the members again reason=\"%s\"", err->message);
        told = *err;
        nanosleep(&pause, NULL);
    }
    if (rc == ERR_UNAVAILABLE)
        error_wrap(err, "asked for %u s", (unsigned)(JOIN_NS / NS_PER_S));
    return rc;
}

int members_ask_peers(struct kv *kv, struct error *err)
{
    const struct kv_member_config *own = members_own_config(kv);
    if (kv->o.join_existing && (!own || own->peer_urls_len == 0))
        return error_set(
            err, ERR_INVALID,
            "--initial-cluster-state=existing needs --initial-cluster with this member and "
            "others");
    if (kv->o.members_len <= 1 && !kv->o.join_existing)
        return 0;
    struct inquiry *q = inquiry_new(kv, own);
    int rc = kv->o.join_existing ? join_in_time(kv, q, err) : ask(kv, q, err);
    if (rc == 0 && !kv->o.join_existing)
        rc = found(kv, q, err);
    inquiry_free(q);
    return rc;
}

int members_force_new(struct kv *kv, struct error *err)
{
    struct member_records m = {0};
    struct raft_config alone = {0};
    struct logdb_txn w;
    struct arena arena;
    arena_init(&arena);
    int rc = logdb_begin(kv->db, &w, err);
    if (rc == 0) {
        rc = members_load(kv, w.mdb, &arena, &m, err);
        for (size_t i = m.items.len; i-- > 0 && rc == 0;) {
            uint64_t id = m.items.items[i].id;
            if (id == kv->member_id)
                continue;
            vec_remove(&m.items, i);
            vec_push(&m.removed, id); /* should one of them live: it is told */
        }
        if (rc == 0 && m.items.len != 1)
            rc = error_set(err, ERR_DENIED,
                           "--force-new-cluster: this member is not in its own member list");
        if (rc == 0)
            rc = members_save(kv, w.mdb, &m, err);
        raft_ids_add(&alone.voters, kv->member_id);
        if (rc == 0)
            rc = logdb_force_config(&w, &alone, err);
        if (rc == 0)
            rc = logdb_commit(&w, err);
        else
            logdb_abort(&w);
    }
    if (rc == 0)
        rc = logdb_checkpoint(kv->db, NULL, err); /* the journal still tells the old story */
    if (rc == 0)
        log_warn("store",
                 "forced: this member is the whole cluster from here on member=%" PRIx64
                 " forgotten=%zu",
                 kv->member_id, m.removed.len);
    member_records_free(&m);
    arena_free(&arena);
    return rc;
}
