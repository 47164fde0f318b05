/*
 * Who the members are: ids, names and addresses, kept beside Raft's configuration (kvstore/members/members.h).
 *
 * A founding member's id is drawn from its peer URLs and the cluster token, so that all founders
 * compute the same configuration without talking.
 */
#include "kvstore/members/members.h"
#include "kvstore/members/level.h"
#include "kvstore/store.h"
#include "base/arena_str.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/varint.h"
#include <assert.h>
#include <inttypes.h>
#include <openssl/sha.h>

#define CLUSTER_VERSION 1

/* ---- records ---- */

void member_records_free(struct member_records *m)
{
    vec_free(&m->items);
    vec_free(&m->removed);
    *m = (struct member_records){0};
}

struct kv_member *member_find(struct member_records *m, uint64_t id)
{
    for (size_t i = 0; i < m->items.len; i++)
        if (m->items.items[i].id == id)
            return &m->items.items[i];
    return NULL;
}

bool member_removed(const struct member_records *m, uint64_t id)
{
    for (size_t i = 0; i < m->removed.len; i++)
        if (m->removed.items[i] == id)
            return true;
    return false;
}

static void put_urls(struct buf *b, const struct str *urls, size_t n)
{
    buf_append_varint(b, n);
    for (size_t i = 0; i < n; i++)
        buf_append_varint_bytes(b, urls[i]);
}

void members_encode(const struct member_records *l, struct buf *b)
{
    buf_append_varint(b, l->items.len);
    for (size_t i = 0; i < l->items.len; i++) {
        const struct kv_member *m = &l->items.items[i];
        buf_append_varint(b, m->id);
        buf_append_varint_bytes(b, m->name);
        put_urls(b, m->peer_urls, m->peer_urls_len);
        put_urls(b, m->client_urls, m->client_urls_len);
    }
}

void cluster_encode(const struct member_records *l, struct buf *b)
{
    size_t started = 0;
    for (size_t i = 0; i < l->items.len; i++)
        started += l->items.items[i].started;
    buf_append_varint(b, CLUSTER_VERSION);
    buf_append_varint(b, l->level);
    buf_append_varint_bytes(b, l->downgrade);
    buf_append_varint(b, started);
    for (size_t i = 0; i < l->items.len; i++)
        if (l->items.items[i].started)
            buf_append_varint(b, l->items.items[i].id);
    buf_append_varint(b, l->removed.len);
    for (size_t i = 0; i < l->removed.len; i++)
        buf_append_varint(b, l->removed.items[i]);
}

/* Strings are copied into the arena. */
struct reader {
    struct varint_reader in;
    struct arena *arena;
};

static struct str get_str(struct reader *r)
{
    return arena_copy(r->arena, varint_read_bytes(&r->in));
}

static struct str *get_urls(struct reader *r, size_t *len)
{
    uint64_t n = varint_read(&r->in);
    if (n > MEMBER_URLS_MAX)
        r->in.failed = true;
    *len = r->in.failed ? 0 : (size_t)n;
    struct str *urls = arena_array(r->arena, struct str, *len);
    for (size_t i = 0; i < *len; i++)
        urls[i] = get_str(r);
    return urls;
}

int members_decode(struct str in, struct arena *a, struct member_records *l, struct error *err)
{
    struct reader r = {{.left = in}, a};
    uint64_t n = varint_read(&r.in);
    for (uint64_t i = 0; i < n && i < RAFT_MEMBERS_MAX && !r.in.failed; i++) {
        struct kv_member m = {.id = varint_read(&r.in)};
        m.name = get_str(&r);
        m.peer_urls = get_urls(&r, &m.peer_urls_len);
        m.client_urls = get_urls(&r, &m.client_urls_len);
        vec_push(&l->items, m);
    }
    if (r.in.failed || r.in.left.n || n > RAFT_MEMBERS_MAX)
        return error_set(err, ERR_CORRUPT, "the member list has a wrong form");
    return 0;
}

int cluster_decode(struct str in, struct arena *a, struct member_records *l, struct error *err)
{
    struct reader r = {{.left = in}, a};
    uint64_t version = varint_read(&r.in);
    if (!r.in.failed && version != CLUSTER_VERSION)
        return error_set(err, ERR_UNSUPPORTED, "the cluster record is of version %" PRIu64,
                         version);
    l->level = (unsigned)varint_read(&r.in);
    l->downgrade = get_str(&r);
    uint64_t n = varint_read(&r.in);
    for (uint64_t i = 0; i < n && !r.in.failed; i++) {
        struct kv_member *m = member_find(l, varint_read(&r.in));
        if (m)
            m->started = true;
    }
    n = varint_read(&r.in);
    for (uint64_t i = 0; i < n && !r.in.failed; i++)
        vec_push(&l->removed, varint_read(&r.in));
    if (r.in.failed || r.in.left.n || l->level == 0 || l->removed.len > MEMBERS_REMOVED_MAX)
        return error_set(err, ERR_CORRUPT, "the cluster record has a wrong form");
    return 0;
}

int members_load(struct kv *kv, MDB_txn *txn, struct arena *a, struct member_records *m,
                 struct error *err)
{
    struct str s;
    m->level = KV_LEVEL_1;
    int rc = logdb_get_meta(kv->db, txn, "members", &s);
    if (rc == ERR_NOT_FOUND)
        return 0;
    if (rc < 0)
        return error_set(err, rc, "read the member list");
    rc = members_decode(s, a, m, err);
    if (rc < 0)
        return rc;
    rc = logdb_get_meta(kv->db, txn, "cluster", &s);
    if (rc == ERR_NOT_FOUND)
        return 0; /* written by a program of level 1 */
    return rc < 0 ? error_set(err, rc, "read the cluster record") : cluster_decode(s, a, m, err);
}

int members_save(struct kv *kv, MDB_txn *txn, const struct member_records *m, struct error *err)
{
    struct buf b;
    buf_init(&b);
    members_encode(m, &b);
    int rc = logdb_put_meta(kv->db, txn, "members", buf_str(&b), err);
    buf_clear(&b);
    cluster_encode(m, &b);
    if (rc == 0)
        rc = logdb_put_meta(kv->db, txn, "cluster", buf_str(&b), err);
    buf_free(&b);
    return rc;
}

/* ---- founding ---- */

uint64_t member_id_from(struct str token, const struct kv_member_config *m)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct buf b;
    uint64_t id = 0;
    buf_init(&b);
    for (size_t i = 0; i < m->peer_urls_len; i++) {
        buf_append_str(&b, m->peer_urls[i]);
        buf_append_char(&b, '\n');
    }
    if (m->peer_urls_len == 0)
        buf_append_str(&b, m->name);
    buf_append_char(&b, 0);
    buf_append_str(&b, token);
    SHA256((const unsigned char *)b.data, b.len, digest);
    buf_free(&b);
    for (int i = 0; i < 8; i++)
        id = id << 8 | digest[i];
    return id ? id : 1;
}

/* The member configurations to found from; one made up for a member that stands alone. */
static const struct kv_member_config *founders(struct kv *kv, size_t *n)
{
    if (kv->o.members_len) {
        *n = kv->o.members_len;
        return kv->o.members;
    }
    struct kv_member_config *m = arena_new(&kv->arena, struct kv_member_config);
    m->name = kv->o.name;
    *n = 1;
    return m;
}

const struct kv_member_config *members_own_config(const struct kv *kv)
{
    for (size_t i = 0; i < kv->o.members_len; i++)
        if (str_eq(kv->o.members[i].name, kv->o.name))
            return &kv->o.members[i];
    return NULL;
}

int members_bootstrap(struct kv *kv, struct raft_config *config, struct error *err)
{
    size_t n;
    const struct kv_member_config *m = founders(kv, &n);
    *config = (struct raft_config){0};
    if (n > RAFT_MEMBERS_MAX)
        return error_set(err, ERR_INVALID, "initial cluster has more than %d members",
                         RAFT_MEMBERS_MAX);
    kv->cluster_id = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t id = member_id_from(kv->o.cluster_token, &m[i]);
        if (raft_ids_has(&config->voters, id))
            return error_set(err, ERR_INVALID,
                             "two members of the initial cluster have the same peer URLs");
        raft_ids_add(&config->voters, id);
        kv->cluster_id ^= id * 0x9e3779b97f4a7c15ull;
        if (str_eq(m[i].name, kv->o.name))
            kv->member_id = id;
    }
    if (!kv->cluster_id)
        kv->cluster_id = 1;
    if (!kv->member_id)
        return error_set(err, ERR_INVALID, "name %.*s is not in the initial cluster",
                         STR_ARG(kv->o.name));
    return 0;
}

/* An old directory says who it is. ERR_NOT_FOUND: it died before it learnt it. */
static int identity_load(struct kv *kv, struct error *err)
{
    struct str s;
    MDB_txn *txn;
    uint64_t ids[2];
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = logdb_get_meta(kv->db, txn, "identity", &s);
    if (rc == 0 && s.n == sizeof ids) {
        memcpy(ids, s.p, sizeof ids);
        kv->cluster_id = ids[0];
        kv->member_id = ids[1];
    }
    logdb_read_end(kv->db, txn);
    return rc ? error_set(err, rc, "read this member's identity") : 0;
}

/* A new directory learns who it is; an old one says it. */
int members_store_initial(struct kv *kv, struct error *err)
{
    if (!logdb_is_new(kv->db)) {
        int rc = identity_load(kv, err);
        if (rc != ERR_NOT_FOUND)
            return rc;
        /* Died between making the directory and the lines below: go on with them. Who joins has forgotten
         * what the peers told it. */
        if (kv->o.join_existing && (rc = members_ask_peers(kv, err)) < 0)
            return rc;
    }
    struct logdb_txn w;
    struct member_records l = {.level = kv->o.level};
    struct member_records *initial = &l;
    size_t n;
    const struct kv_member_config *m = founders(kv, &n);
    if (kv->o.join_existing)
        initial = &kv->members.now; /* as the peers told */
    else
        for (size_t i = 0; i < n; i++)
            vec_push(&l.items, ((struct kv_member){.id = member_id_from(kv->o.cluster_token, &m[i]),
                                                   .name = m[i].name,
                                                   .peer_urls = (struct str *)m[i].peer_urls,
                                                   .peer_urls_len = m[i].peer_urls_len}));
    int rc = logdb_begin(kv->db, &w, err);
    if (rc == 0) {
        uint64_t ids[2] = {kv->cluster_id, kv->member_id};
        rc = logdb_put_meta(kv->db, w.mdb, "identity", str_make(ids, sizeof ids), err);
        if (rc == 0)
            rc = members_save(kv, w.mdb, initial, err);
        if (rc == 0)
            rc = logdb_commit(&w, err);
        else
            logdb_abort(&w);
    }
    member_records_free(&l);
    /* The identity must survive: it decides which votes are this member's. */
    return rc < 0 ? rc : logdb_checkpoint(kv->db, NULL, err);
}

int members_stored(struct kv *kv, struct arena *a, struct kv_member **members, size_t *n,
                   struct error *err)
{
    struct member_records l = {0};
    MDB_txn *txn;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    rc = members_load(kv, txn, a, &l, err);
    logdb_read_end(kv->db, txn);
    if (rc < 0 || l.items.len == 0) {
        vec_clear(&l.items);
        const struct kv_member_config *m = founders(kv, n);
        for (size_t i = 0; i < *n; i++)
            vec_push(&l.items, ((struct kv_member){.id = member_id_from(kv->o.cluster_token, &m[i]),
                                                   .peer_urls = (struct str *)m[i].peer_urls,
                                                   .peer_urls_len = m[i].peer_urls_len}));
    }
    *n = l.items.len;
    *members = arena_dup(a, l.items.items, l.items.len * sizeof *l.items.items);
    member_records_free(&l);
    return 0;
}

/* ---- the copy in memory ---- */

void members_open(struct members *m)
{
    pthread_mutex_init(&m->lock, NULL);
    arena_init(&m->arena);
    list_init(&m->calls);
}

void members_close(struct members *m)
{
    assert(list_empty(&m->calls));
    member_records_free(&m->now);
    arena_free(&m->arena);
    pthread_mutex_destroy(&m->lock);
}

void members_self_removed(struct kv *kv, uint64_t by)
{
    struct members *m = &kv->members;
    pthread_mutex_lock(&m->lock);
    bool first = !m->self_removed;
    if (by && m->told_by.len < RAFT_MEMBERS_MAX)
        raft_ids_add(&m->told_by, by);
    if (first) {
        m->self_removed = true;
        m->self_removed_ns = host_mono_ns(kv->host);
    }
    pthread_mutex_unlock(&m->lock);
    if (!first)
        return;
    if (kv->driver)
        driver_retire(kv->driver);
    if (by)
        log_error("store",
                  "this member has been removed from the cluster, says a peer: stopping "
                  "member=%" PRIx64 " peer=%" PRIx64,
                  kv->member_id, by);
    else
        log_error("store",
                  "this member has been removed from the cluster: stopping member=%" PRIx64,
                  kv->member_id);
    log_error("store",
              "its data directory is of no use any more: remove it, add the member anew (`etcdctl "
              "member add`) and start it with --initial-cluster-state=existing data_dir=%s",
              kv->o.data_dir);
}

/* Tell the driver who is where now; m->lock held, so that nobody tells something older afterwards. */
static void tell_driver(struct kv *kv, const struct member_records *old, struct member_records *now)
{
    if (!kv->driver)
        return;
    for (size_t i = 0; i < now->items.len; i++)
        if (now->items.items[i].id != kv->member_id)
            driver_set_peer(kv->driver, &now->items.items[i]);
    for (size_t i = 0; i < old->items.len; i++) {
        uint64_t id = old->items.items[i].id;
        if (id != kv->member_id && !member_find(now, id))
            driver_expel(kv->driver, id);
    }
}

int members_refresh(struct kv *kv, struct error *err)
{
    struct members *m = &kv->members;
    struct member_records now = {0};
    struct raft_snapshot_meta meta;
    struct arena arena;
    MDB_txn *txn;
    int rc = logdb_read_begin(kv->db, &txn, err);
    if (rc < 0)
        return rc;
    arena_init(&arena);
    rc = members_load(kv, txn, &arena, &now, err);
    if (rc == 0)
        rc = logdb_snapshot_meta(kv->db, txn, &meta, err);
    logdb_read_end(kv->db, txn);
    if (rc == 0 && now.level > kv->o.level)
        rc = error_set(err, ERR_UNSUPPORTED,
                       "the cluster is at feature level %u, this program knows %u: it is too old",
                       now.level, kv->o.level);
    if (rc < 0) {
        member_records_free(&now);
        arena_free(&arena);
        return rc;
    }
    bool joining = meta.config.voters.len == 0; /* nothing applied yet */
    for (size_t i = 0; i < now.items.len; i++)
        now.items.items[i].is_learner = raft_config_is_learner(&meta.config, now.items.items[i].id);
    pthread_mutex_lock(&m->lock);
    tell_driver(kv, &m->now, &now);
    member_records_free(&m->now);
    arena_free(&m->arena);
    m->now = now;
    m->arena = arena;
    m->config = meta.config;
    bool gone =
        !joining && !member_find(&m->now, kv->member_id) && member_removed(&m->now, kv->member_id);
    pthread_mutex_unlock(&m->lock);
    atomic_store(&kv->level, now.level);
    atomic_store(&kv->learner, raft_config_is_learner(&meta.config, kv->member_id));
    if (gone)
        members_self_removed(kv, 0);
    return 0;
}

static struct str *dup_urls(struct arena *a, const struct str *urls, size_t n)
{
    struct str *out = arena_array(a, struct str, n);
    for (size_t i = 0; i < n; i++)
        out[i] = (struct str){arena_dup(a, urls[i].p, urls[i].n), urls[i].n};
    return out;
}

bool kv_is_learner(const struct kv *kv)
{
    return atomic_load_explicit(&kv->learner, memory_order_relaxed);
}

int kv_member_list(struct kv *kv, struct arena *a, struct kv_member **members, size_t *members_len,
                   struct error *err)
{
    struct members *m = &kv->members;
    (void)err;
    pthread_mutex_lock(&m->lock);
    size_t n = m->now.items.len;
    struct kv_member *out = arena_dup(a, m->now.items.items, n * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        out[i].name = (struct str){arena_dup(a, out[i].name.p, out[i].name.n), out[i].name.n};
        out[i].peer_urls = dup_urls(a, out[i].peer_urls, out[i].peer_urls_len);
        out[i].client_urls = dup_urls(a, out[i].client_urls, out[i].client_urls_len);
    }
    pthread_mutex_unlock(&m->lock);
    *members = out;
    *members_len = n;
    return 0;
}
